//! Counting requests, and noting the server's clock.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Instant,
};

use async_trait::async_trait;
use azure_core::http::{
    Context, Method, Request,
    policies::{Policy, PolicyResult},
};
use jiff::{SignedDuration, Timestamp};

use super::{
    answer::Refusal,
    conceal::conceal,
    header::{date, header},
    notice::{Notice, Service},
};

/// Takes notices; it must not block.
pub type Notices = Arc<dyn Fn(Notice) + Send + Sync>;

/// How many requests went out, repeats included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// `GET` on Microsoft Graph.
    pub graph_reads: u32,
    /// Everything else on Microsoft Graph.
    pub graph_writes: u32,
    /// Requests for a token.
    pub token_requests: u32,
    /// Discovery, the Defender API and Key Vault.
    pub other: u32,
}

impl Counters {
    /// All of them.
    pub fn total(self) -> u32 {
        self.graph_reads + self.graph_writes + self.token_requests + self.other
    }
}

/// [`Counters`] that are still being counted.
#[derive(Debug, Default)]
pub(super) struct Tally {
    graph_reads: AtomicU32,
    graph_writes: AtomicU32,
    token_requests: AtomicU32,
    other: AtomicU32,
}

impl Tally {
    fn count(&self, service: Service, method: Method) {
        let counter = match (service, method) {
            (Service::Graph, Method::Get) => &self.graph_reads,
            (Service::Graph, _) => &self.graph_writes,
            (Service::Token, _) => &self.token_requests,
            (Service::Discovery | Service::Defender | Service::KeyVault, _) => &self.other,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> Counters {
        Counters {
            graph_reads: self.graph_reads.load(Ordering::Relaxed),
            graph_writes: self.graph_writes.load(Ordering::Relaxed),
            token_requests: self.token_requests.load(Ordering::Relaxed),
            other: self.other.load(Ordering::Relaxed),
        }
    }
}

/// The clock of the server at the other end of the pipelines to one service and directory.
#[derive(Debug, Default)]
pub(super) struct ServerClock(Mutex<Option<(Timestamp, Instant)>>);

impl ServerClock {
    fn set(&self, time: Timestamp) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((time, Instant::now()));
    }

    /// What it shows now, to about a second; nothing before the first answer that carried a date.
    pub(super) fn now(&self) -> Option<Timestamp> {
        let (time, then) = *self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref()?;
        let since = SignedDuration::try_from(then.elapsed()).ok()?;
        time.checked_add(since).ok()
    }
}

/// Whether every request is told to the notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Talk {
    Quiet,
    Traffic,
}

/// The innermost policy: sees each request that really goes out.
pub(super) struct Meter {
    pub(super) service: Service,
    pub(super) all: Arc<Tally>,
    pub(super) own: Arc<Tally>,
    pub(super) clock: Arc<ServerClock>,
    pub(super) notices: Notices,
    pub(super) talk: Talk,
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meter").field("service", &self.service).finish_non_exhaustive()
    }
}

#[async_trait]
impl Policy for Meter {
    async fn send(
        &self,
        ctx: &Context,
        request: &mut Request,
        next: &[Arc<dyn Policy>],
    ) -> PolicyResult {
        let method = request.method();
        self.all.count(self.service, method);
        self.own.count(self.service, method);
        let sent = Instant::now();
        let result = next[0].send(ctx, request, &next[1..]).await;
        if let Some(time) = result.as_ref().ok().and_then(|answer| date(answer.headers())) {
            self.clock.set(time);
        }
        if self.talk == Talk::Traffic {
            let status = match &result {
                Ok(answer) => Some(u16::from(answer.status())),
                Err(error) => Refusal::within(error).and_then(|r| r.failure.status),
            };
            let request_id = result.as_ref().ok().and_then(|answer| {
                ["request-id", "x-ms-request-id"]
                    .into_iter()
                    .find_map(|name| header(answer.headers(), name))
                    .map(|id| conceal(id, &[]))
            });
            (self.notices)(Notice::Traffic {
                service: self.service,
                method,
                host: request.url().host_str().unwrap_or_default().to_owned(),
                path: request.url().path().to_owned(),
                status,
                request_id,
                took: sent.elapsed(),
            });
        }
        result
    }
}
