//! What the core says while it works; only the report room turns it into words.

use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::mpsc;
use url::Url;

use crate::{
    failure::Failure,
    ids::{AppKey, ClientId, KeyId, TenantId, TenantKey},
    plan::{Summary, manual::ManualKind},
    status::{FacetName, Left, State, StatusSummary},
};

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Event {
    /// The plan is made and approved.
    Planned {
        /// What it would do, as a fingerprint.
        checksum: String,
        /// How much.
        summary: Summary,
    },
    /// A step begins.
    StepStarted {
        /// On which app.
        app: AppKey,
        /// In whose directory, where it concerns one tenant of that app.
        #[serde(skip_serializing_if = "Option::is_none")]
        tenant: Option<TenantKey>,
        /// What kind.
        step: &'static str,
    },
    /// A step is done.
    StepDone {
        /// On which app.
        app: AppKey,
        /// In whose directory, where it concerns one tenant of that app.
        #[serde(skip_serializing_if = "Option::is_none")]
        tenant: Option<TenantKey>,
        /// What kind.
        step: &'static str,
        /// The app's client id.
        #[serde(skip_serializing_if = "Option::is_none")]
        client_id: Option<ClientId>,
        /// The credential it made or removed.
        #[serde(skip_serializing_if = "Option::is_none")]
        key_id: Option<KeyId>,
        /// When that credential ends.
        #[serde(skip_serializing_if = "Option::is_none")]
        ends: Option<Timestamp>,
    },
    /// A step failed; the app's later steps are skipped.
    StepFailed {
        /// On which app.
        app: AppKey,
        /// In whose directory, where it concerns one tenant of that app.
        #[serde(skip_serializing_if = "Option::is_none")]
        tenant: Option<TenantKey>,
        /// What kind.
        step: &'static str,
        /// Why.
        failure: Failure,
    },
    /// A step was not tried.
    StepSkipped {
        /// On which app.
        app: AppKey,
        /// In whose directory, where it concerns one tenant of that app.
        #[serde(skip_serializing_if = "Option::is_none")]
        tenant: Option<TenantKey>,
        /// What kind.
        step: &'static str,
        /// Why, in a word: `an earlier step failed`, `interrupted`.
        because: &'static str,
    },
    /// A new secret, certificate or trust was shown where its app is known.
    SecretTried {
        /// Whose.
        app: AppKey,
        /// Whether it is the one to use now; else the old one stays in use.
        current: bool,
        /// Why it is not.
        #[serde(skip_serializing_if = "Option::is_none")]
        failure: Option<Failure>,
    },
    /// A service told us to wait.
    Throttled {
        /// Which directory, where it concerns one.
        #[serde(skip_serializing_if = "Option::is_none")]
        directory: Option<TenantId>,
        /// For how many seconds.
        seconds: u64,
    },
    /// A link waits for a person. Never one with a `state` in it: that belongs to one run.
    ConsentLink {
        /// Which tenant.
        tenant: TenantKey,
        /// What is asked of the person.
        kind: ManualKind,
        /// Where.
        link: Url,
    },
    /// A person has accepted, or signed in, in the right directory.
    ConsentGranted {
        /// Which tenant.
        tenant: TenantKey,
        /// What was asked.
        kind: ManualKind,
    },
    /// A person, or Entra ID for them, said no.
    ConsentDenied {
        /// Which tenant.
        tenant: TenantKey,
        /// What was asked.
        kind: ManualKind,
        /// `access_denied`, `AADSTS65004`, … where the answer held one.
        #[serde(skip_serializing_if = "Option::is_none")]
        code: Option<String>,
        /// Why, in words; foreign ones are shortened and cleaned before they come here.
        why: String,
    },
    /// A tenant was asked what works.
    Proved {
        /// Which tenant.
        tenant: TenantKey,
        /// Each facet that the question decided.
        facets: Vec<(FacetName, State)>,
    },
    /// An offboarding is over.
    Offboarded {
        /// Which app, or whose.
        app: AppKey,
        /// Which tenant, where the app is shared and stays.
        #[serde(skip_serializing_if = "Option::is_none")]
        tenant: Option<TenantKey>,
        /// How many steps were done.
        done: usize,
        /// Until when the app can be restored, where this run deleted it.
        #[serde(skip_serializing_if = "Option::is_none")]
        restorable_until: Option<Timestamp>,
        /// What is left with customers.
        leftovers: Vec<Left>,
    },
    /// All is over.
    Summary {
        /// Apps that were changed as planned.
        done: usize,
        /// Apps that failed.
        failed: Vec<AppKey>,
        /// Apps that were not finished because the run was told to stop.
        interrupted: Vec<AppKey>,
        /// Tenants for whom something could not be granted.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        not_granted: Vec<TenantKey>,
        /// Apps of which the secret that a SIEM may hold opens nothing any more.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        refill: Vec<AppKey>,
        /// The tenants.
        tenants: StatusSummary,
    },
}

/// An event and its moment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Stamped {
    /// When, by our clock.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub event: Event,
}

/// Where events go. Cloning it gives another hand to the same end.
#[derive(Debug, Clone)]
pub struct Events(mpsc::UnboundedSender<Stamped>);

impl Events {
    /// A pair: one end for the core, one for the reporter.
    pub fn channel() -> (Self, mpsc::UnboundedReceiver<Stamped>) {
        let (to, from) = mpsc::unbounded_channel();
        (Self(to), from)
    }

    /// Says that something happened. Nobody listening is no reason to stop working.
    pub fn say(&self, event: Event) {
        let _ = self.0.send(Stamped { at: Timestamp::now(), event });
    }
}
