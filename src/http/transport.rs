//! The one client under every pipeline: what may be contacted, and how much of an answer is read.

use async_trait::async_trait;
use azure_core::http::{AsyncRawResponse, HttpClient, Request, Url};
use bytes::BytesMut;
use futures::StreamExt;

use super::answer::{Refusal, Repeat};
use crate::{
    cloud::is_loopback,
    failure::{Cause, Failure},
};

/// More than this is never read of one answer. A page of 999 applications is about 4 MiB.
const LARGEST_ANSWER: usize = 64 * 1024 * 1024;

/// Whom a client may talk to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Everyone, over TLS.
    Anywhere,
    /// This machine: the sandbox never contacts another.
    Loopback,
}

/// The client as `azure_core` sees it.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) client: reqwest::Client,
    pub(super) reach: Reach,
}

impl Wire {
    fn check(&self, url: &Url) -> Result<(), Failure> {
        let host = url.host_str().unwrap_or_default();
        match self.reach {
            Reach::Loopback if !is_loopback(url) => Err(Failure::new(
                Cause::Guard,
                format!("{host} was not contacted: the sandbox stays on this machine"),
            )),
            // A managed identity's endpoint is plain http, on this machine or close to it.
            Reach::Anywhere if url.scheme() != "https" && !is_near(url) => Err(Failure::new(
                Cause::Guard,
                format!("{host} was not contacted: {} is not encrypted", url.scheme()),
            )),
            Reach::Loopback | Reach::Anywhere => Ok(()),
        }
    }
}

fn is_near(url: &Url) -> bool {
    is_loopback(url)
        || matches!(url.host(), Some(url::Host::Ipv4(ip)) if ip.is_link_local() || ip.is_private())
}

#[async_trait]
impl HttpClient for Wire {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        self.check(request.url()).map_err(Refusal::from)?;
        let host = request.url().host_str().unwrap_or_default().to_owned();
        let answer = self.client.execute_request(request).await.map_err(|e| lost(&host, &e))?;
        let (status, headers, mut body) = answer.deconstruct();
        let mut whole = BytesMut::new();
        while let Some(part) = body.next().await {
            let part = part.map_err(|e| lost(&host, &e))?;
            if whole.len() + part.len() > LARGEST_ANSWER {
                let mut failure = Failure::new(
                    Cause::Garbled,
                    format!("{host} sent more than {} MiB", LARGEST_ANSWER >> 20),
                );
                failure.status = Some(u16::from(status));
                return Err(Refusal::from(failure).into());
            }
            whole.extend_from_slice(&part);
        }
        Ok(AsyncRawResponse::from_bytes(status, headers, whole.freeze()))
    }
}

/// Puts words to a request that got no whole answer, and tells apart whether it had gone out.
fn lost(host: &str, error: &azure_core::Error) -> Refusal {
    let unreachable = matches!(error.kind(), azure_core::error::ErrorKind::Connection);
    let mut cause = None;
    let mut why = None;
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(here) = next {
        if let Some(tls) = here.downcast_ref::<rustls::Error>() {
            cause = Some(tls);
        } else if let Some(io) = here.downcast_ref::<std::io::Error>() {
            // rustls' own errors travel inside an io::Error, which does not name them as source.
            if let Some(tls) = io.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>()) {
                cause = Some(tls);
            }
        }
        why = Some(here.to_string());
        next = here.source();
    }
    let why = why.unwrap_or_default();
    if let (true, Some(tls)) = (unreachable, cause) {
        let failure =
            Failure::new(Cause::Unreachable, format!("{host}: no secure connection: {tls}")).hint(
                "The certificate is checked against the system's roots; a proxy's or a sandbox's \
                 own authority is named by SSL_CERT_FILE.",
            );
        return Refusal { repeat: Repeat::Never, ..Refusal::from(failure) };
    }
    Refusal::from(if unreachable {
        Failure::new(Cause::Unreachable, format!("{host} cannot be reached: {why}")).hint(
            "Nothing was sent. Is the network up, and does this host need a proxy (HTTPS_PROXY)?",
        )
    } else {
        Failure::new(Cause::NoAnswer, format!("{host} gave no whole answer: {why}"))
    })
}
