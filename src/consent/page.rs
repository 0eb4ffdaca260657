//! The page on loopback: lists whose turn it is, sends people to Microsoft's page, and takes the
//! answers. Nobody drives it but who has its address.

use std::{
    convert::Infallible,
    io,
    net::{Ipv4Addr, Ipv6Addr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::body::{Body, to_bytes};
use hyper::{Method, Request, Response, StatusCode, body::Incoming, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use jiff::{SignedDuration, Timestamp};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinSet,
    time::{sleep, timeout},
};
use url::{Url, form_urlencoded};

use super::{
    answer::{LONGEST, Unreadable},
    desk::{Desk, RowView, Taken},
    guard,
    state::Token,
};
use crate::{
    failure::{Cause, Failure},
    stop::{self, Stop},
};

/// How long a browser may take for a request's head or body.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many connections at once.
const MOST_CONNECTIONS: usize = 64;
/// The largest form, in bytes: it holds one token.
const LARGEST_FORM: usize = 1024;
/// How often a port is tried that only one of the two loopback addresses has free.
const PORTS: usize = 16;
/// How long the page stays after the last answer, so that browsers see the end: they ask every two
/// seconds.
const LINGER: Duration = Duration::from_secs(5);

/// What a page says; its words come from whoever shows it.
#[derive(Debug)]
pub enum Screen<'a> {
    /// Whose turn it is.
    List {
        /// Every question, and where its form goes.
        rows: &'a [(RowView, String)],
        /// When nobody is waited for any more.
        ends_at: Timestamp,
        /// What a form must bring along, in the field `token`.
        token: &'a str,
    },
    /// A browser came back with an answer.
    Taken(&'a Taken),
    /// A browser came with something else.
    NotTaken(Unreadable),
    /// A question that cannot be asked now.
    NotAsked(&'a Failure),
    /// No such page, or not for this visitor.
    Nothing,
}

/// How the page looks, and the headers that go with it.
pub struct Look {
    /// A whole document.
    pub draw: Box<dyn Fn(&Screen<'_>) -> String + Send + Sync>,
    /// Headers of every document.
    pub headers: &'static [(&'static str, &'static str)],
}

/// How waiting for people ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Everybody has answered.
    Answered,
    /// The time was over; a sign-in that Microsoft refused on its own page never comes back.
    TimeOver,
    /// The run was told to stop.
    Stopped,
}

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// No port.
    #[error("no port of this machine's loopback can be listened on: {0}")]
    Port(#[source] io::Error),
    /// No token.
    #[error(transparent)]
    Random(#[from] Failure),
}

/// A page that listens and is not served yet.
#[derive(Debug)]
pub struct Page {
    listeners: Vec<TcpListener>,
    port: u16,
    token: Token,
    ticket: Token,
}

impl Page {
    /// Listens on loopback: on both addresses that `localhost` may mean, with the same port, for
    /// whoever had the other one would be sent the answers.
    ///
    /// # Errors
    /// No port is free, or no randomness.
    pub async fn open() -> Result<Self, PageError> {
        let (token, ticket) = (Token::fresh()?, Token::fresh()?);
        let mut last = None;
        for _ in 0..PORTS {
            let four =
                TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(PageError::Port)?;
            let port = four.local_addr().map_err(PageError::Port)?.port();
            let listeners = match TcpListener::bind((Ipv6Addr::LOCALHOST, port)).await {
                Ok(six) => vec![four, six],
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                    last = Some(error);
                    continue;
                }
                // No IPv6 here: `localhost` cannot mean it either.
                Err(_) => vec![four],
            };
            return Ok(Self { listeners, port, token, ticket });
        }
        Err(PageError::Port(last.unwrap_or_else(|| io::ErrorKind::AddrInUse.into())))
    }

    /// The page's address, for the person at this terminal.
    pub fn address(&self) -> String {
        format!("http://localhost:{}/{}/", self.port, self.token.expose())
    }

    /// An address that leads there once: a browser is started with it, and other users of this
    /// machine can read the arguments of programs.
    pub fn ticket(&self) -> String {
        format!("http://localhost:{}/open/{}", self.port, self.ticket.expose())
    }

    /// Where Microsoft sends browsers back to; registered without the port, which is ignored for
    /// `localhost` (<https://learn.microsoft.com/en-us/entra/identity-platform/reply-url>).
    fn redirect(&self) -> Option<Url> {
        Url::parse(&format!("http://localhost:{}/tenantry", self.port)).ok()
    }

    /// Serves the page until everybody has answered, the time is over or the run is told to stop.
    /// An answer that has come is taken to its end, for at most ten seconds more.
    pub async fn run(self, desk: Arc<Desk>, look: Look, wait: Duration, stop: &Stop) -> Ended {
        let redirect = self.redirect();
        let Self { listeners, port, token, ticket } = self;
        let ends_at = SignedDuration::try_from(wait)
            .ok()
            .and_then(|wait| Timestamp::now().checked_add(wait).ok())
            .unwrap_or(Timestamp::MAX);
        let shared = Arc::new(Shared {
            port,
            token,
            ticket,
            opened: AtomicBool::new(false),
            redirect,
            desk: desk.clone(),
            look,
            ends_at,
            taking: watch::Sender::new(0),
            shown: watch::Sender::new(None),
        });
        let mut servers = JoinSet::new();
        let room = Arc::new(Semaphore::new(MOST_CONNECTIONS));
        for listener in listeners {
            servers.spawn(serve(shared.clone(), listener, room.clone()));
        }
        let mut changes = desk.changes();
        let done = async {
            while !desk.is_done() {
                if changes.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        let ended = tokio::select! {
            () = done => Ended::Answered,
            () = sleep(wait) => Ended::TimeOver,
            _ = stop.told() => Ended::Stopped,
        };
        let mut taking = shared.taking.subscribe();
        let _ = timeout(stop::PATIENCE, taking.wait_for(|number| *number == 0)).await;
        if ended == Ended::Answered {
            let last = *desk.changes().borrow();
            let mut shown = shared.shown.subscribe();
            let seen = shown.wait_for(|version| *version == Some(last));
            tokio::select! {
                _ = timeout(LINGER, seen) => {}
                _ = stop.told() => {}
            }
        }
        servers.shutdown().await;
        ended
    }
}

struct Shared {
    port: u16,
    token: Token,
    ticket: Token,
    opened: AtomicBool,
    redirect: Option<Url>,
    desk: Arc<Desk>,
    look: Look,
    ends_at: Timestamp,
    /// How many answers are being taken.
    taking: watch::Sender<usize>,
    /// Which version of the list was fetched last.
    shown: watch::Sender<Option<u64>>,
}

async fn serve(shared: Arc<Shared>, listener: TcpListener, room: Arc<Semaphore>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    // Above the limit a connection is closed at once.
                    if let Ok(seat) = room.clone().try_acquire_owned() {
                        let shared = shared.clone();
                        connections.spawn(async move {
                            connection(shared, stream).await;
                            drop(seat);
                        });
                    }
                }
                // Out of file handles, most likely: give connections a moment to end.
                Err(_) => sleep(Duration::from_millis(20)).await,
            },
        }
    }
}

async fn connection(shared: Arc<Shared>, stream: TcpStream) {
    let service = service_fn(move |request: Request<Incoming>| {
        let shared = shared.clone();
        async move { Ok::<_, Infallible>(shared.answer(request).await) }
    });
    // A browser that goes away in the middle is no concern of ours.
    let _ = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(2 * LONGEST)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

impl Shared {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<Body> {
        if !guard::is_for_us(request.uri(), request.headers(), self.port) {
            return self.page(StatusCode::FORBIDDEN, &Screen::Nothing);
        }
        let path = request.uri().path().to_owned();
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        let allowed = match parts.as_slice() {
            [_, "start", _] => Method::POST,
            _ => Method::GET,
        };
        if *request.method() != allowed {
            let mut response = self.page(StatusCode::METHOD_NOT_ALLOWED, &Screen::Nothing);
            set(&mut response, "allow", allowed.as_str());
            return response;
        }
        match parts.as_slice() {
            ["tenantry"] => self.came_back(&request).await,
            ["open", ticket]
                if self.ticket.is(ticket) && !self.opened.swap(true, Ordering::SeqCst) =>
            {
                self.see(&format!("/{}/", self.token.expose()))
            }
            [token, ""] if self.token.is(token) => self.list(),
            [token, "state"] if self.token.is(token) => {
                let version = self.desk.changes().borrow().to_string();
                let mut response = self.answer_with(StatusCode::OK, version);
                set(&mut response, "content-type", "text/plain; charset=utf-8");
                response
            }
            [token, "done", number] if self.token.is(token) => self.done(number),
            [token, "start", number] if self.token.is(token) => {
                let number = number.parse().ok();
                self.start(number, request).await
            }
            _ => self.page(StatusCode::NOT_FOUND, &Screen::Nothing),
        }
    }

    fn list(&self) -> Response<Body> {
        // Before the rows are read: what comes in between is seen at the next look.
        let version = *self.desk.changes().borrow();
        let token = self.token.expose();
        let rows: Vec<_> = (0..)
            .zip(self.desk.view())
            .map(|(number, row): (usize, _)| (row, format!("/{token}/start/{number}")))
            .collect();
        let screen = Screen::List { rows: &rows, ends_at: self.ends_at, token };
        let response = self.page(StatusCode::OK, &screen);
        self.shown.send_replace(Some(version));
        response
    }

    async fn start(&self, number: Option<usize>, request: Request<Incoming>) -> Response<Body> {
        if !guard::is_by_us(request.headers(), self.port) {
            return self.page(StatusCode::FORBIDDEN, &Screen::Nothing);
        }
        let body = timeout(PATIENCE, to_bytes(Body::new(request.into_body()), LARGEST_FORM)).await;
        let Ok(Ok(body)) = body else {
            return self.page(StatusCode::BAD_REQUEST, &Screen::Nothing);
        };
        let mut fields = form_urlencoded::parse(&body).filter(|(name, _)| name == "token");
        let brought = matches!(
            (fields.next(), fields.next()), (Some((_, token)), None) if self.token.is(&token)
        );
        let (true, Some(number)) = (brought, number) else {
            return self.page(StatusCode::FORBIDDEN, &Screen::Nothing);
        };
        match self.desk.link(number, self.redirect.as_ref()) {
            Ok(link) => self.see(link.as_str()),
            Err(failure) => self.page(StatusCode::CONFLICT, &Screen::NotAsked(&failure)),
        }
    }

    /// A browser comes back from Microsoft's page. It is sent on at once, so that no code stays in
    /// its history.
    async fn came_back(self: &Arc<Self>, request: &Request<Incoming>) -> Response<Body> {
        let address = request.uri().path_and_query().map_or("", |address| address.as_str());
        let (shared, address) = (self.clone(), address.to_owned());
        self.taking.send_modify(|number| *number += 1);
        // A task of its own: a browser that is closed meanwhile does not lose the code.
        let taken = tokio::spawn(async move {
            let taken = shared.desk.take(&address).await;
            shared.taking.send_modify(|number| *number -= 1);
            taken
        });
        match taken.await {
            Ok(Ok((number, _))) => self.see(&format!("/{}/done/{number}", self.token.expose())),
            Ok(Err(why)) => self.page(StatusCode::BAD_REQUEST, &Screen::NotTaken(why)),
            Err(_) => self.page(StatusCode::INTERNAL_SERVER_ERROR, &Screen::Nothing),
        }
    }

    fn done(&self, number: &str) -> Response<Body> {
        let taken = number.parse().ok().and_then(|number| self.desk.taken(number));
        match taken {
            Some(taken) => self.page(StatusCode::OK, &Screen::Taken(&taken)),
            None => self.page(StatusCode::NOT_FOUND, &Screen::Nothing),
        }
    }

    fn see(&self, address: &str) -> Response<Body> {
        let mut response = self.answer_with(StatusCode::SEE_OTHER, String::new());
        set(&mut response, "location", address);
        response
    }

    fn page(&self, status: StatusCode, screen: &Screen<'_>) -> Response<Body> {
        self.answer_with(status, (self.look.draw)(screen))
    }

    fn answer_with(&self, status: StatusCode, body: String) -> Response<Body> {
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        for (name, value) in self.look.headers {
            set(&mut response, name, value);
        }
        // For browsers that do not know `frame-ancestors`.
        set(&mut response, "x-frame-options", "DENY");
        set(&mut response, "cross-origin-opener-policy", "same-origin");
        set(&mut response, "cross-origin-resource-policy", "same-origin");
        response
    }
}

fn set(response: &mut Response<Body>, name: &str, value: &str) {
    let pair = (
        hyper::header::HeaderName::from_bytes(name.as_bytes()),
        hyper::header::HeaderValue::from_str(value),
    );
    // A value that is no header is left out rather than sent as two.
    if let (Ok(name), Ok(value)) = pair {
        response.headers_mut().insert(name, value);
    }
}

impl From<PageError> for Failure {
    fn from(error: PageError) -> Self {
        match error {
            PageError::Port(_) => Self::new(Cause::Guard, error.to_string())
                .hint("--paste takes the address that the browser ends on instead"),
            PageError::Random(failure) => failure,
        }
    }
}
