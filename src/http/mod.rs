//! One client, and the policies that every call goes through.
//!
//! From the outside in: the read-only guard, the bearer token, the retry, the reading of answers,
//! the meter. `azure_identity` gets the same client and the same policies for its token requests.

mod answer;
mod conceal;
mod gate;
mod guard;
mod header;
mod hint;
mod meter;
mod notice;
mod retry;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod transport;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use azure_core::{
    cloud::CustomConfiguration,
    credentials::TokenCredential,
    http::{
        ClientOptions, Context, Pipeline, PipelineSendOptions, RawResponse, Request, RetryOptions,
        Transport, policies::Policy, policies::auth::BearerTokenAuthorizationPolicy,
    },
};
use jiff::Timestamp;
use url::Url;

use self::{
    answer::Answers,
    gate::Gate,
    guard::ReadOnly,
    meter::{Meter, ServerClock, Talk, Tally},
    retry::{Pacing, Retry},
    transport::{Reach, Wire},
};
pub(crate) use self::{
    answer::{Refusal, failure_of},
    guard::Access,
    hint::{Grant, hint_for_code, hint_for_grant},
    retry::{Lag, Spends, Tries},
};
pub use self::{
    meter::{Counters, Notices},
    notice::{Notice, Service},
};
use crate::{
    failure::{Cause, Failure},
    ids::TenantId,
};

/// Makes ring the process's one provider of cryptography; may be called any number of times.
pub fn install_tls() {
    // Refused when one is installed already, which then is ours: no other is linked in.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Which certificates are trusted, and with that, who may be talked to.
#[derive(Debug, Clone)]
pub enum Trust {
    /// The system's authorities, or those of `SSL_CERT_FILE`; proxies of the environment are used.
    System,
    /// The sandbox's own authority and no other; nothing but this machine is contacted, no proxy.
    Sandbox {
        /// Its certificate.
        ca_pem: String,
    },
}

/// How a [`Network`] behaves.
#[derive(Clone)]
pub struct NetworkOptions {
    /// Who may be talked to.
    pub trust: Trust,
    /// How long one call may take with all its repeats (`--timeout`).
    pub call_limit: Duration,
    /// From 1 on, every request is told to `notices`.
    pub verbosity: u8,
    /// Takes what the calls say about themselves; must not block.
    pub notices: Notices,
}

impl Default for NetworkOptions {
    fn default() -> Self {
        Self {
            trust: Trust::System,
            call_limit: Duration::from_secs(120),
            verbosity: 0,
            notices: Arc::new(|_| {}),
        }
    }
}

impl fmt::Debug for NetworkOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NetworkOptions")
            .field("call_limit", &self.call_limit)
            .field("verbosity", &self.verbosity)
            .finish_non_exhaustive()
    }
}

/// The one way out: a client, and what its calls share. Cheap to clone.
#[derive(Clone)]
pub struct Network(Arc<Inner>);

struct Inner {
    transport: Transport,
    options: NetworkOptions,
    pacing: Pacing,
    tally: Arc<Tally>,
    shared: Mutex<HashMap<(Service, Option<TenantId>), Shared>>,
}

/// What all pipelines to one service in one directory share. The clock is among it because the
/// first request of a writer may need the time that a reader was told.
#[derive(Clone, Default)]
struct Shared {
    gate: Arc<Gate>,
    clock: Arc<ServerClock>,
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").field("options", &self.0.options).finish_non_exhaustive()
    }
}

impl Network {
    /// Builds the client.
    ///
    /// # Errors
    /// When the certificates that shall be trusted cannot be read, or the system has none.
    pub fn new(options: NetworkOptions) -> Result<Self, Failure> {
        Self::with_pacing(options, Pacing::default())
    }

    fn with_pacing(options: NetworkOptions, pacing: Pacing) -> Result<Self, Failure> {
        install_tls();
        let builder = reqwest::Client::builder()
            // Some services answer with a redirect to a page; a token must not travel there.
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(20).min(options.call_limit))
            .gzip(true)
            .deflate(true);
        let (builder, reach) = match &options.trust {
            Trust::System => (builder, Reach::Anywhere),
            Trust::Sandbox { ca_pem } => {
                let authorities = reqwest::Certificate::from_pem_bundle(ca_pem.as_bytes())
                    .map_err(|e| no_client(&e))?;
                (builder.no_proxy().tls_certs_only(authorities), Reach::Loopback)
            }
        };
        let client = builder.build().map_err(|e| no_client(&e))?;
        Ok(Self(Arc::new(Inner {
            transport: Transport::new(Arc::new(Wire { client, reach })),
            options,
            pacing,
            tally: Arc::default(),
            shared: Mutex::default(),
        })))
    }

    /// How many requests went out so far, over all pipelines.
    pub fn counters(&self) -> Counters {
        self.0.tally.read()
    }

    /// Whether this network may contact nothing but this machine.
    pub(crate) fn trust(&self) -> &Trust {
        &self.0.options.trust
    }

    /// What a client of Microsoft's own crates (`azure_identity`, Key Vault) needs to send its
    /// calls our way: the shared client, our policies, and the login host of our cloud.
    ///
    /// `directory` says which directory's throttling they share, where they are about one.
    pub fn client_options(
        &self,
        service: Service,
        directory: Option<TenantId>,
        login: &Url,
    ) -> ClientOptions {
        let Watch { per_call, per_try, .. } = self.watch(service, directory);
        let mut cloud = CustomConfiguration::default();
        login.as_str().trim_end_matches('/').clone_into(&mut cloud.authority_host);
        ClientOptions {
            cloud: Some(Arc::new(cloud.into())),
            per_call_policies: per_call,
            per_try_policies: per_try,
            ..self.bare_options()
        }
    }

    fn bare_options(&self) -> ClientOptions {
        ClientOptions {
            transport: Some(self.0.transport.clone()),
            retry: RetryOptions::none(),
            ..ClientOptions::default()
        }
    }

    /// A pipeline of our own.
    pub(crate) fn calls(
        &self,
        service: Service,
        directory: Option<TenantId>,
        access: Access,
        bearer: Option<Bearer>,
    ) -> Calls {
        let Watch { per_call, per_try, own, clock } = self.watch(service, directory);
        let mut before: Vec<Arc<dyn Policy>> = Vec::new();
        match access {
            Access::ReadOnly => before.push(Arc::new(ReadOnly)),
            Access::ReadWrite => {}
        }
        if let Some(Bearer { credential, scope }) = bearer {
            before.push(Arc::new(BearerTokenAuthorizationPolicy::new(credential, [scope])));
        }
        before.extend(per_call);
        let pipeline = Pipeline::new(
            option_env!("CARGO_PKG_NAME"),
            option_env!("CARGO_PKG_VERSION"),
            self.bare_options(),
            before,
            per_try,
            None,
        );
        Calls { pipeline, own, clock }
    }

    fn watch(&self, service: Service, directory: Option<TenantId>) -> Watch {
        let Inner { options, pacing, tally, shared, transport: _ } = &*self.0;
        let Shared { gate, clock } = shared
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry((service, directory))
            .or_default()
            .clone();
        let own = Arc::<Tally>::default();
        Watch {
            per_call: vec![Arc::new(Retry {
                service,
                directory,
                gate,
                pacing: *pacing,
                call_limit: options.call_limit,
                notices: Arc::clone(&options.notices),
            })],
            per_try: vec![
                Arc::new(Answers { service }),
                Arc::new(Meter {
                    service,
                    all: Arc::clone(tally),
                    own: Arc::clone(&own),
                    clock: Arc::clone(&clock),
                    notices: Arc::clone(&options.notices),
                    talk: if options.verbosity > 0 { Talk::Traffic } else { Talk::Quiet },
                }),
            ],
            own,
            clock,
        }
    }
}

/// The policies of one pipeline, and what they keep.
struct Watch {
    per_call: Vec<Arc<dyn Policy>>,
    per_try: Vec<Arc<dyn Policy>>,
    own: Arc<Tally>,
    clock: Arc<ServerClock>,
}

/// Whose token goes into a pipeline's requests.
pub(crate) struct Bearer {
    pub(crate) credential: Arc<dyn TokenCredential>,
    pub(crate) scope: String,
}

/// A pipeline of ours.
#[derive(Debug, Clone)]
pub(crate) struct Calls {
    pipeline: Pipeline,
    own: Arc<Tally>,
    clock: Arc<ServerClock>,
}

impl Calls {
    /// Sends a request and reads the whole answer.
    pub(crate) async fn send(
        &self,
        context: &Context<'_>,
        mut request: Request,
    ) -> Result<RawResponse, Failure> {
        // Our own policy reads every answer that is not a success.
        let options = PipelineSendOptions { skip_checks: true, ..PipelineSendOptions::default() };
        self.pipeline.send(context, &mut request, Some(options)).await.map_err(|e| failure_of(&e))
    }

    /// How many requests this pipeline sent, repeats included.
    pub(crate) fn requests(&self) -> u32 {
        self.own.read().total()
    }

    /// The server's clock, to about a second; nothing before its first answer to any pipeline of
    /// this service and directory.
    pub(crate) fn server_time(&self) -> Option<Timestamp> {
        self.clock.now()
    }
}

fn no_client(error: &dyn std::error::Error) -> Failure {
    let mut why = error.to_string();
    let mut next = error.source();
    while let Some(here) = next {
        why = here.to_string();
        next = here.source();
    }
    Failure::new(Cause::Guard, format!("no secure connections can be made: {why}"))
        .hint("The system's certificates are used, or those of SSL_CERT_FILE.")
}
