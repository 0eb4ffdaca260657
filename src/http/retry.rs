//! When a call is made again: by its method and by why it failed, never for longer than one call
//! may take.
//!
//! The retry of `azure_core` is switched off everywhere: it repeats every method, `POST` included,
//! and takes any `Retry-After`.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use azure_core::http::{
    Context, Method, Request,
    policies::{Policy, PolicyResult},
};

use super::{
    answer::{Refusal, Repeat},
    gate::Gate,
    meter::Notices,
    notice::{Notice, Service},
};
use crate::{
    failure::{Cause, Failure},
    ids::TenantId,
};

/// What the caller knows that makes an error a matter of waiting: a directory is eventually
/// consistent. Put into the call's [`Context`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lag {
    /// This run made the object a moment ago: 404 `Request_ResourceNotFound` for seconds,
    /// sometimes minutes.
    NewObject,
    /// This run made the client secret or the certificate a moment ago: AADSTS7000215 or
    /// AADSTS700027 for up to a minute.
    NewSecret,
    /// A credential may be too young to be removed: 400 "No password credential found with
    /// keyId." for some seconds.
    YoungCredential,
    /// This run made the app a moment ago, and whoever makes service principals does not find it:
    /// 400 "does not reference a valid application object", or 403 "the backing application …
    /// must in the local tenant" for an operator who may touch its own apps only
    /// (hashicorp/terraform-provider-azuread, `service_principal_resource.go`).
    NewApplication,
    /// This run made the service principal a moment ago, and it cannot be granted anything yet: 404,
    /// or 400 "Not a valid reference update" (the same, `app_role_assignment_resource.go` and
    /// `service_principal_delegated_permission_grant_resource.go`).
    NewPrincipal,
}

impl Lag {
    /// How long it is waited for.
    const fn patience(self) -> Duration {
        Duration::from_secs(match self {
            Self::NewObject | Self::NewApplication | Self::NewPrincipal => 120,
            Self::NewSecret => 60,
            Self::YoungCredential => 8,
        })
    }

    pub(crate) fn explains(self, failure: &Failure) -> bool {
        let code = failure.code.as_deref().unwrap_or_default();
        match self {
            Self::NewObject => failure.status == Some(404) && code == "Request_ResourceNotFound",
            Self::NewSecret => matches!(code, "AADSTS7000215" | "AADSTS700027"),
            Self::YoungCredential => {
                failure.status == Some(400)
                    && failure.message.contains("No password credential found")
            }
            Self::NewApplication => match failure.status {
                Some(400) => failure.message.contains("does not reference a valid application"),
                Some(403) => {
                    failure.message.contains("backing application of the service principal")
                }
                Some(_) | None => false,
            },
            Self::NewPrincipal => match failure.status {
                Some(404) => code == "Request_ResourceNotFound",
                Some(400) => {
                    failure.message.contains("Not a valid reference update")
                        || failure.message.contains("queried reference-property objects")
                }
                Some(_) | None => false,
            },
        }
    }
}

/// What the caller knows of a token request: that what it shows is spent by it. Put into the call's
/// [`Context`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spends {
    /// A sign-in's code: a second try after a lost answer could only say that it is spent
    /// (AADSTS54005).
    Once,
}

/// Counts the tries of one call; put into the call's [`Context`] by a caller who has to know
/// whether a call that reports a second effect may have had the first one itself.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tries(Arc<AtomicU32>);

impl Tries {
    /// How often the call was sent.
    pub(crate) fn count(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How fast repeats follow one another.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pacing {
    /// The first wait after a fault; doubles each time.
    pub(crate) first: Duration,
    /// The longest such wait.
    pub(crate) longest: Duration,
    /// The first wait when throttled without a `Retry-After`; doubles each time.
    pub(crate) throttled: Duration,
    /// Tries after faults, the first one included.
    pub(crate) tries: u32,
    /// Tries when throttled, the first one included.
    pub(crate) throttled_tries: u32,
}

impl Default for Pacing {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(250),
            longest: Duration::from_secs(8),
            throttled: Duration::from_secs(1),
            tries: 6,
            throttled_tries: 20,
        }
    }
}

/// However long a service asks us to wait, after this a call may find out whether it still means it.
const LONGEST_SHUT: Duration = Duration::from_secs(150);

/// Why a call is made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Again {
    /// The service told us to come back later; it did nothing.
    Throttled,
    /// Nobody was there; nothing was sent.
    Unreachable,
    /// Two writes met on one object; this one did nothing.
    Contention,
    /// What was made a moment ago is not to be seen everywhere yet.
    Lag(Lag),
    /// A fault that may pass, of a call that may be made twice.
    Fault,
}

/// Decides whether a failed call may be made again; nothing else in tenantry repeats a request.
fn again(
    service: Service,
    method: Method,
    lag: Option<Lag>,
    spends: Option<Spends>,
    refusal: &Refusal,
) -> Option<Again> {
    let failure = &refusal.failure;
    if refusal.repeat == Repeat::Never {
        return None;
    }
    let code = failure.code.as_deref().unwrap_or_default();
    match (failure.status, failure.cause) {
        (Some(429), _) => return Some(Again::Throttled),
        (Some(503), _) if refusal.retry_after.is_some() => return Some(Again::Throttled),
        (None, Cause::Unreachable) => return Some(Again::Unreachable),
        (Some(409), _) if code == "Directory_ConcurrencyViolation" => {
            return Some(Again::Contention);
        }
        _ => {}
    }
    if let Some(lag) = lag.filter(|lag| lag.explains(failure)) {
        return Some(Again::Lag(lag));
    }
    // Asking twice for a token gives two tokens, and a PATCH with the same body ends the same. In a
    // key vault a second PUT makes a second version of the same, and what is deleted stays so.
    let harmless = match method {
        Method::Get | Method::Head | Method::Patch => true,
        Method::Post => service == Service::Token && spends.is_none(),
        // What Graph deletes is named by its id: the second time it is gone.
        Method::Delete => matches!(service, Service::Graph | Service::KeyVault),
        Method::Put => service == Service::KeyVault,
        // Whatever azure_core may learn to send.
        _ => false,
    };
    let passing = match (failure.status, failure.cause) {
        (Some(408 | 424 | 500 | 502 | 503 | 504), _) => true,
        (None, Cause::NoAnswer) | (None | Some(200..300), Cause::Garbled) => true,
        // Entra ID's transient troubles come with any status.
        _ => {
            matches!(code, "AADSTS90006" | "AADSTS90024" | "AADSTS90033" | "AADSTS90055")
                || code == "temporarily_unavailable"
        }
    };
    (harmless && passing).then_some(Again::Fault)
}

/// Makes one call, again where that is right, within its time.
pub(super) struct Retry {
    pub(super) service: Service,
    pub(super) directory: Option<TenantId>,
    pub(super) gate: Arc<Gate>,
    pub(super) pacing: Pacing,
    pub(super) call_limit: Duration,
    pub(super) notices: Notices,
}

impl fmt::Debug for Retry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retry").field("service", &self.service).finish_non_exhaustive()
    }
}

#[async_trait]
impl Policy for Retry {
    async fn send(
        &self,
        ctx: &Context,
        request: &mut Request,
        next: &[Arc<dyn Policy>],
    ) -> PolicyResult {
        let started = Instant::now();
        let deadline = started + self.call_limit;
        let lag = ctx.value::<Lag>().copied();
        let spends = ctx.value::<Spends>().copied();
        let method = request.method();
        self.gate.earn();
        let mut attempt = 1;
        loop {
            self.pass_gate(deadline).await?;
            if let Some(tries) = ctx.value::<Tries>() {
                tries.0.fetch_add(1, Ordering::Relaxed);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            // A call that may be made twice does not spend all its time on a server that hangs.
            let harmless = again(self.service, method, None, spends, &unanswered(left)).is_some();
            let patience = if harmless { left.min(self.call_limit / 2) } else { left };
            let result = tokio::time::timeout(patience, next[0].send(ctx, request, &next[1..]))
                .await
                .unwrap_or_else(|_| Err(unanswered(patience).into()));
            let error = match result {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let Some(refusal) = Refusal::within(&error) else { return Err(error) };
            let Some(why) = again(self.service, method, lag, spends, refusal) else {
                return Err(error);
            };
            let Some(wait) = self.wait(why, attempt, started, refusal) else { return Err(error) };
            if why == Again::Throttled && self.gate.shut(wait.min(LONGEST_SHUT)) {
                (self.notices)(Notice::Throttled {
                    service: self.service,
                    directory: self.directory,
                    wait,
                });
            }
            // A try that would be cut off a moment later only turns what is known into doubt.
            let a_moment = Duration::from_secs(5).min(self.call_limit / 8);
            if Instant::now() + wait + a_moment >= deadline {
                return Err(out_of_time(refusal, why, wait, self.call_limit).into());
            }
            if why != Again::Throttled {
                (self.notices)(Notice::Retrying {
                    service: self.service,
                    directory: self.directory,
                    method,
                    path: request.url().path().to_owned(),
                    why: refusal.failure.line(),
                    attempt: attempt + 1,
                    wait,
                });
                tokio::time::sleep(wait).await;
            }
            request.body_mut().reset().await?;
            attempt += 1;
        }
    }
}

impl Retry {
    /// Waits while this directory told anyone to wait; gives up at once where that is longer than
    /// this call may take, for a request made while throttled only makes it last longer.
    async fn pass_gate(&self, deadline: Instant) -> azure_core::Result<()> {
        while let Some(wait) = self.gate.wait() {
            if Instant::now() + wait >= deadline {
                let failure = Failure::new(
                    Cause::Throttled,
                    format!(
                        "not sent: {} asks this directory's calls to wait {} s more",
                        self.service,
                        wait.as_secs() + 1
                    ),
                )
                .hint(PATIENCE);
                return Err(Refusal::from(failure).into());
            }
            // Not all at the same moment.
            tokio::time::sleep(wait + jittered(Duration::from_millis(200))).await;
        }
        Ok(())
    }

    /// How long to wait before the next try, or nothing where there shall be none.
    fn wait(
        &self,
        why: Again,
        attempt: u32,
        started: Instant,
        refusal: &Refusal,
    ) -> Option<Duration> {
        let pacing = &self.pacing;
        let doubled = |first: Duration, longest: Duration| {
            let wait = first.saturating_mul(1 << (attempt - 1).min(16)).min(longest);
            wait / 2 + jittered(wait / 2)
        };
        match why {
            Again::Throttled => (attempt < pacing.throttled_tries).then(|| {
                refusal
                    .retry_after
                    .unwrap_or_else(|| doubled(pacing.throttled, pacing.longest * 4))
                    .max(pacing.first)
            }),
            Again::Unreachable | Again::Fault => (attempt < pacing.tries && self.gate.spend())
                .then(|| {
                    doubled(pacing.first, pacing.longest)
                        .max(refusal.retry_after.unwrap_or_default())
                }),
            Again::Contention => (attempt < pacing.tries).then(|| {
                doubled(pacing.first, pacing.longest).max(refusal.retry_after.unwrap_or_default())
            }),
            // The end of a lag is not announced: ask a little more often than for a fault.
            Again::Lag(lag) => (started.elapsed() < lag.patience())
                .then(|| doubled(pacing.first / 2, pacing.longest / 4)),
        }
    }
}

const PATIENCE: &str = "Run the same command again later, what is done stays done; or give calls more time (--timeout).";

/// A random part of a span, so that calls which failed together do not come back together.
fn jittered(span: Duration) -> Duration {
    let (_, random) = uuid::Uuid::new_v4().as_u64_pair();
    span.mul_f64((random & 0xffff) as f64 / 65536.0)
}

fn unanswered(patience: Duration) -> Refusal {
    Refusal::from(
        Failure::new(
            Cause::NoAnswer,
            format!("no answer within {} s", patience.as_secs_f32().ceil()),
        )
        .hint("Whether the request had its effect is unknown; running again finds out."),
    )
}

/// The last failure, where there is no time left to try again.
fn out_of_time(refusal: &Refusal, why: Again, wait: Duration, limit: Duration) -> Refusal {
    let mut refusal = refusal.clone();
    let limit = limit.as_secs();
    match why {
        Again::Throttled => {
            refusal.failure.message = format!(
                "told to wait {} s, longer than one call may take ({limit} s): {}",
                wait.as_secs(),
                refusal.failure.message
            );
            refusal.failure.cause = Cause::Throttled;
            refusal.failure.hint = Some(PATIENCE.to_owned());
        }
        Again::Unreachable | Again::Contention | Again::Lag(_) | Again::Fault => {
            refusal.failure.message =
                format!("{} (repeated for {limit} s)", refusal.failure.message);
        }
    }
    refusal
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: Option<u16>, cause: Cause, code: &str) -> Refusal {
        let mut failure = Failure::new(cause, "No password credential found with keyId.");
        failure.status = status;
        failure.code = Some(code.to_owned());
        Refusal::from(failure)
    }

    #[test]
    fn what_may_be_repeated_depends_on_method_and_cause() {
        use Again::*;
        let every = [Method::Get, Method::Patch, Method::Post, Method::Delete];
        let told = |mut refusal: Refusal| {
            refusal.retry_after = Some(Duration::from_secs(1));
            refusal
        };
        let harmless = Some(Fault);
        // For GET, PATCH, POST and DELETE on Graph.
        for (case, wanted) in [
            (refusal(Some(429), Cause::Throttled, ""), [Some(Throttled); 4]),
            (told(refusal(Some(503), Cause::Service, "")), [Some(Throttled); 4]),
            (refusal(Some(503), Cause::Service, ""), [harmless, harmless, None, harmless]),
            (refusal(Some(500), Cause::Service, ""), [harmless, harmless, None, harmless]),
            (refusal(Some(504), Cause::Service, ""), [harmless, harmless, None, harmless]),
            (refusal(Some(501), Cause::Service, ""), [None; 4]),
            (refusal(None, Cause::Unreachable, ""), [Some(Unreachable); 4]),
            (refusal(None, Cause::NoAnswer, ""), [harmless, harmless, None, harmless]),
            (refusal(Some(200), Cause::Garbled, ""), [harmless, harmless, None, harmless]),
            (refusal(Some(302), Cause::Garbled, ""), [None; 4]),
            (refusal(Some(400), Cause::Refused, "Request_BadRequest"), [None; 4]),
            (refusal(Some(404), Cause::NotFound, "Request_ResourceNotFound"), [None; 4]),
            (
                refusal(Some(409), Cause::Refused, "Directory_ConcurrencyViolation"),
                [Some(Contention); 4],
            ),
            (
                refusal(Some(409), Cause::Refused, "Request_MultipleObjectsWithSameKeyValue"),
                [None; 4],
            ),
            (refusal(None, Cause::Guard, ""), [None; 4]),
        ] {
            let found = every.map(|method| again(Service::Graph, method, None, None, &case));
            assert_eq!(found, wanted, "{case:?}");
        }
        let token =
            |spends, case: &Refusal| again(Service::Token, Method::Post, None, spends, case);
        for lost in [
            refusal(Some(500), Cause::Service, ""),
            refusal(None, Cause::NoAnswer, ""),
            refusal(Some(200), Cause::Garbled, ""),
        ] {
            assert_eq!(token(None, &lost), harmless);
            assert_eq!(token(Some(Spends::Once), &lost), None, "{lost:?}");
        }
        // Nothing was sent, or nothing was done.
        for (early, wanted) in [
            (refusal(None, Cause::Unreachable, ""), Unreachable),
            (refusal(Some(429), Cause::Throttled, ""), Throttled),
        ] {
            assert_eq!(token(Some(Spends::Once), &early), Some(wanted));
        }
    }

    #[test]
    fn a_lag_excuses_only_its_own_error() {
        let missing = refusal(Some(404), Cause::NotFound, "Request_ResourceNotFound");
        let wrong_secret = refusal(Some(401), Cause::SignIn, "AADSTS7000215");
        let no_key = refusal(Some(400), Cause::Refused, "Request_BadRequest");
        let said = |status, message: &str| {
            let mut refusal = refusal(Some(status), Cause::Refused, "Request_BadRequest");
            refusal.failure.message = message.to_owned();
            refusal
        };
        for (lag, message) in [
            (
                Lag::NewApplication,
                "The appId 'x' of the service principal does not reference a valid application object.",
            ),
            (Lag::NewPrincipal, "Not a valid reference update."),
            (
                Lag::NewPrincipal,
                "Resource 'x' does not exist or one of its queried reference-property objects are not present.",
            ),
        ] {
            let case = said(400, message);
            let other = said(400, "Property x is invalid.");
            assert!(lag.explains(&case.failure) && !lag.explains(&other.failure), "{lag:?}");
        }
        assert!(Lag::NewApplication.explains(&said(403, "When using this permission, the backing application of the service principal being created must in the local tenant").failure));
        assert!(
            !Lag::NewApplication
                .explains(&said(403, "Insufficient privileges to complete the operation.").failure)
        );
        for (lag, case) in [
            (Lag::NewObject, &missing),
            (Lag::NewSecret, &wrong_secret),
            (Lag::YoungCredential, &no_key),
        ] {
            for other in [&missing, &wrong_secret, &no_key] {
                let found = again(Service::Graph, Method::Post, Some(lag), None, other);
                let wanted = std::ptr::eq(other, case).then_some(Again::Lag(lag));
                assert_eq!(found, wanted, "{lag:?}: {other:?}");
            }
        }
    }
}
