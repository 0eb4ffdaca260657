//! The listeners: https for clients, plain http for people's browsers.

use std::{convert::Infallible, io, net::Ipv4Addr, sync::Arc, time::Duration};

use axum::body::{Body, to_bytes};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use serde_json::json;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{Notify, watch},
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

use super::{
    clock::http_date,
    http::{LARGEST_BODY, Request, Response},
    pipeline::{Ending, Shared},
    routing::Door,
};

/// How long a client may take for its handshake or its headers.
const PATIENCE: Duration = Duration::from_secs(20);

/// Binds a loopback port; 0 takes any.
///
/// # Errors
/// When the port is taken or not allowed.
pub(super) async fn bind(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await
}

/// Serves clients until told to stop.
pub(super) async fn serve_api(
    shared: Arc<Shared>,
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    stop: watch::Receiver<()>,
) {
    let acceptor = TlsAcceptor::from(tls);
    serve(listener, stop, move |tcp, stop| {
        let (shared, acceptor) = (Arc::clone(&shared), acceptor.clone());
        async move {
            // The handshake belongs to the connection's own task: a client that never finishes it
            // holds up nobody.
            if let Ok(Ok(stream)) = timeout(PATIENCE, acceptor.accept(tcp)).await {
                connection(shared, stream, Door::Api, stop).await;
            }
        }
    })
    .await;
}

/// Serves people's browsers until told to stop.
pub(super) async fn serve_pages(
    shared: Arc<Shared>,
    listener: TcpListener,
    stop: watch::Receiver<()>,
) {
    serve(listener, stop, move |tcp, stop| {
        let shared = Arc::clone(&shared);
        connection(shared, tcp, Door::Pages, stop)
    })
    .await;
}

async fn serve<F, W>(listener: TcpListener, mut stop: watch::Receiver<()>, work: F)
where
    F: Fn(TcpStream, watch::Receiver<()>) -> W,
    W: Future<Output = ()> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = stop.changed() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((tcp, _)) => {
                    // Without this, small answers wait for the client's delayed acknowledgement.
                    let _ = tcp.set_nodelay(true);
                    connections.spawn(work(tcp, stop.clone()));
                }
                // Out of file handles, most likely: give connections a moment to end.
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            },
        }
    }
}

async fn connection<S>(shared: Arc<Shared>, stream: S, door: Door, mut stop: watch::Receiver<()>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let cut = Arc::new(Notify::new());
    let service = service_fn({
        let cut = Arc::clone(&cut);
        move |incoming: hyper::Request<Incoming>| {
            let (shared, cut) = (Arc::clone(&shared), Arc::clone(&cut));
            async move { Ok::<_, Infallible>(respond(&shared, incoming, door, &cut).await) }
        }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(Some(PATIENCE));
    builder.http2().timer(TokioTimer::new());
    let serving = builder.serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        _ = serving => {}
        // Dropping the stream closes the connection with no answer on it.
        () = cut.notified() => {}
        _ = stop.changed() => {}
    }
}

async fn respond(
    shared: &Shared,
    incoming: hyper::Request<Incoming>,
    door: Door,
    cut: &Notify,
) -> hyper::Response<Body> {
    let request = match read(incoming, shared.base()).await {
        Ok(request) => request,
        Err(response) => return finish(shared, response),
    };
    match shared.process(&request, door).await {
        Ending::Answer(response) => finish(shared, response),
        Ending::Cut => {
            cut.notify_one();
            std::future::pending().await
        }
        Ending::Never => std::future::pending().await,
    }
}

async fn read(incoming: hyper::Request<Incoming>, base: &str) -> Result<Request, Response> {
    let (parts, body) = incoming.into_parts();
    let host = parts
        .uri
        .authority()
        .map(|a| a.as_str().to_owned())
        .or_else(|| {
            let host = parts.headers.get(hyper::header::HOST)?;
            host.to_str().ok().map(str::to_owned)
        })
        .filter(|h| !h.is_empty() && h.len() <= 255)
        .unwrap_or_else(|| base.trim_start_matches("https://").to_owned());
    let length = parts
        .headers
        .get(hyper::header::CONTENT_LENGTH)
        .and_then(|v| v.to_str().ok()?.parse::<usize>().ok());
    if length.is_some_and(|length| length > LARGEST_BODY) {
        return Err(too_large());
    }
    let body = match timeout(PATIENCE, to_bytes(Body::new(body), LARGEST_BODY)).await {
        Ok(Ok(body)) => body,
        Ok(Err(error)) => {
            // The limit is the only failure with that source; all others are the client's wire.
            let limit = std::error::Error::source(&error)
                .is_some_and(|source| source.to_string().contains("length limit"));
            return Err(if limit { too_large() } else { unreadable() });
        }
        Err(_) => return Err(unreadable()),
    };
    Ok(Request {
        method: parts.method,
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().map(str::to_owned),
        host,
        headers: parts.headers,
        body,
    })
}

fn too_large() -> Response {
    Response::json(
        413,
        &json!({"error": {"code": "RequestEntityTooLarge", "message": "The request body is too large."}}),
    )
}

fn unreadable() -> Response {
    Response::json(
        400,
        &json!({"error": {"code": "BadRequest", "message": "The request body ended before its length."}}),
    )
}

fn finish(shared: &Shared, response: Response) -> hyper::Response<Body> {
    let date = http_date(shared.lock().world.now());
    let response = response.with("date", date);
    let mut out = hyper::Response::new(Body::from(response.body));
    if let Ok(status) = hyper::StatusCode::from_u16(response.status) {
        *out.status_mut() = status;
    }
    for (name, value) in response.headers {
        // A value that is no header, echoed from a client, is left out.
        let pair = (
            hyper::header::HeaderName::from_bytes(name.as_bytes()),
            hyper::header::HeaderValue::from_str(&value),
        );
        if let (Ok(name), Ok(value)) = pair {
            out.headers_mut().insert(name, value);
        }
    }
    out
}
