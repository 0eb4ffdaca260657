//! The facets of every tenant, from inventory, vault and proofs: pure.
//!
//! Two laws: `unknown` is never shown as good, and what somebody said is never shown as proved.

mod access;
mod changes;
mod consent;
mod death;
mod facets;
mod foreign;
mod left;
mod merge;
mod overall;
mod portal;
mod token;
mod trust;

#[cfg(test)]
mod tests;

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use url::Url;

pub use self::{
    changes::{Change, Is, Was, changes},
    death::{Death, refresh_death},
    facets::{Refusal, refusal},
    foreign::Foreign,
    left::Left,
    merge::{Merged, NotMerged, Part, merge},
    overall::Overall,
    portal::portal_left,
};
use crate::{
    cloud::Cloud,
    connector::Connector,
    failure::Failure,
    ids::{ClientId, FleetName, ResourceId, TenantId, TenantKey},
    manifest::{Manifest, NamedPermission},
    plan::{
        Orphan, Plan, Seen,
        forecast::{Due, forecast},
    },
    shard::Shard,
};

/// One aspect of a tenant, in the order in which they become good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FacetName {
    /// The app is as the manifest says.
    Registration,
    /// The vault holds a live credential that Entra accepts in the customer's directory.
    Secret,
    /// The customer's administrator has granted what the connector needs.
    Consent,
    /// A refresh token of the analyst is held and works.
    Token,
    /// The app was authorized in the Defender portal.
    Portal,
    /// Incidents can be read.
    Access,
}

impl FacetName {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Registration, Self::Secret, Self::Consent, Self::Token, Self::Portal, Self::Access];

    /// The stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Registration => "registration",
            Self::Secret => "secret",
            Self::Consent => "consent",
            Self::Token => "token",
            Self::Portal => "portal",
            Self::Access => "access",
        }
    }
}

/// How a facet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Good, with evidence.
    Ok,
    /// Somebody or something has to act first.
    Waiting,
    /// Good, and soon not any more.
    Expiring,
    /// Tried, and refused.
    Failed,
    /// Could not be found out.
    Unknown,
    /// This tenant has no need of it.
    NotNeeded,
}

impl State {
    /// The stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Waiting => "waiting",
            Self::Expiring => "expiring",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
            Self::NotNeeded => "not-needed",
        }
    }
}

/// Whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WaitingFor {
    /// Whoever runs tenantry.
    Operator,
    /// The customer's administrator.
    CustomerAdmin,
    /// The analyst who signs in.
    Analyst,
    /// Someone who may manage the Defender portal's system settings.
    PortalAdmin,
    /// Microsoft: replication, provisioning.
    Microsoft,
    /// Nobody: it will pass.
    Time,
}

impl WaitingFor {
    /// The stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::CustomerAdmin => "customer-admin",
            Self::Analyst => "analyst",
            Self::PortalAdmin => "portal-admin",
            Self::Microsoft => "microsoft",
            Self::Time => "time",
        }
    }
}

/// What kind of knowledge a facet rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EvidenceKind {
    /// A call of this run worked, or was refused in a way that tells.
    Proved,
    /// Somebody said so.
    Attested,
    /// It was read, or follows from what was read.
    Observed,
}

/// What a facet rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Evidence {
    /// What kind of knowledge.
    pub kind: EvidenceKind,
    /// When.
    pub at: Timestamp,
    /// One sentence.
    pub what: String,
}

/// Who must do what, where, with which values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NextStep {
    /// Who.
    pub who: String,
    /// What.
    pub what: String,
    /// Where.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<Url>,
    /// What to paste there.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub values: BTreeMap<Cow<'static, str>, String>,
    /// The command to run, here or afterwards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
}

/// One aspect of one tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Facet {
    /// How it is.
    pub state: State,
    /// Whose turn it is, where it waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<WaitingFor>,
    /// What that rests on.
    pub evidence: Evidence,
    /// When it was looked at.
    pub checked_at: Timestamp,
    /// Since when it has been so, as far as the vault remembers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// What to do about it; nothing where nothing has to be done.
    pub next_step: Option<NextStep>,
    /// When it ends, where it does (secrets).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ends: Option<Timestamp>,
}

/// What token requests as the app, in the customer's directory, came to.
#[derive(Debug, Clone, PartialEq)]
pub enum TokenProof {
    /// At least one token came. One is asked for each API that the app has application permissions
    /// on, and for Graph where it has none: a token of one API proves nothing of another.
    Granted {
        /// `roles` of the token of each API that gave one; empty where nothing is consented to.
        roles: BTreeMap<ResourceId, BTreeSet<String>>,
        /// The APIs that gave none.
        refused: BTreeMap<ResourceId, Failure>,
    },
    /// All were refused, or nobody answered.
    Refused(Failure),
    /// This machine has nothing to show: no key to the vault, or no token of an issuer.
    NoKey(String),
    /// What the vault holds is not what it wrote: there is nothing to show anywhere.
    Damaged(String),
}

/// What using the analyst's refresh token came to.
#[derive(Debug, Clone, PartialEq)]
pub enum RefreshProof {
    /// It worked.
    Refreshed {
        /// Whose it is, as the token says.
        user: Option<String>,
        /// The delegated permissions that the token carries (`scp`).
        scopes: BTreeSet<String>,
        /// What became of the refresh token that came with the answer.
        rotation: Rotation,
    },
    /// It was refused ([`refresh_death`] says why), or nobody answered.
    Refused(Failure),
    /// This machine cannot use it: it has no key to the vault, or no token of its app's issuer.
    NoKey(String),
    /// It worked for somebody else than the manifest's `signInAs`; nothing was done with it.
    WrongUser {
        /// Whose it is.
        found: String,
    },
    /// It worked for somebody who by now holds more power there than reading takes, and nobody
    /// allowed that; nothing was done with it.
    TooPowerful {
        /// Whose it is, as the token says.
        user: Option<String>,
        /// The directory roles that nobody allowed.
        roles: Vec<String>,
        /// The delegated permissions that the token carries (`scp`).
        scopes: BTreeSet<String>,
    },
}

/// What became of the refresh token that an answer brought: each use replaces it, and the old one
/// stays good until it ends by itself
/// (<https://learn.microsoft.com/en-us/entra/identity-platform/refresh-tokens>).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rotation {
    /// It is in the vault, and the old one is not any more.
    Kept,
    /// It could not be kept, and why: another run writes, or the vault refused.
    NotKept(String),
    /// The answer held no new one.
    None,
}

/// What the connector's call came to.
#[derive(Debug, Clone, PartialEq)]
pub enum AccessProof {
    /// Incidents could be read.
    Read {
        /// Whether there was any.
        any: bool,
        /// When the newest was created.
        newest: Option<Timestamp>,
    },
    /// It was refused, or nobody answered.
    Refused(Failure),
}

/// What was tried for each tenant; one that is missing was not tried.
#[derive(Debug, Clone, Default)]
pub struct Proofs {
    /// Token requests.
    pub tokens: BTreeMap<TenantKey, TokenProof>,
    /// Refreshes (delegated connectors).
    pub refreshes: BTreeMap<TenantKey, RefreshProof>,
    /// The connectors' calls.
    pub access: BTreeMap<TenantKey, AccessProof>,
}

/// What the people who are waited for must be told of the app, beyond links and ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Asked {
    /// The app's display name: what the consent page shows.
    pub app_name: String,
    /// What it asks for.
    pub permissions: BTreeSet<NamedPermission>,
    /// A page of the provider that the administrator lands on.
    pub landing: Option<String>,
    /// The analyst who signs in.
    pub sign_in_as: Option<String>,
}

/// One tenant, whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TenantStatus {
    /// Its key.
    pub key: TenantKey,
    /// What people call it.
    pub name: String,
    /// Its directory.
    pub tenant_id: Option<TenantId>,
    /// The client id of its app.
    pub client_id: Option<ClientId>,
    /// What it is read with.
    pub connector: Connector,
    /// The tenant as a whole.
    pub overall: Overall,
    /// One by one.
    pub facets: BTreeMap<FacetName, Facet>,
    /// When its incidents could last be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_good: Option<Timestamp>,
    /// For the texts that people are sent.
    pub asked: Asked,
}

impl TenantStatus {
    /// A facet; every tenant has all of them.
    pub fn facet(&self, name: FacetName) -> &Facet {
        &self.facets[&name]
    }

    /// Whether someone must still authorize the app in the Defender portal, whatever else is.
    pub fn needs_portal(&self) -> bool {
        match self.facet(FacetName::Portal).state {
            State::Ok | State::NotNeeded => false,
            State::Waiting | State::Expiring | State::Failed | State::Unknown => true,
        }
    }

    /// The facet that the next apply is waited for with, if one is.
    pub fn operators_turn(&self) -> Option<FacetName> {
        [FacetName::Registration, FacetName::Secret, FacetName::Consent]
            .into_iter()
            .find(|name| self.waits(*name, WaitingFor::Operator))
    }

    /// Whether somebody must act, and none of those who are listed by what they must do.
    fn needs_other(&self) -> bool {
        let listed = self.needs_portal()
            || self.waits(FacetName::Consent, WaitingFor::CustomerAdmin)
            || self.waits(FacetName::Token, WaitingFor::Analyst)
            || self.operators_turn().is_some();
        let acts = |facet: &Facet| match facet.state {
            State::Waiting | State::Failed | State::Unknown => facet.next_step.is_some(),
            State::Ok | State::Expiring | State::NotNeeded => false,
        };
        !listed && self.facets.values().any(acts)
    }

    /// Whether the facet waits for that person.
    pub fn waits(&self, name: FacetName, person: WaitingFor) -> bool {
        self.facet(name).waiting_for == Some(person)
    }
}

/// Every tenant in scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The fleet.
    pub fleet: FleetName,
    /// The provider's directory.
    pub home: TenantId,
    /// The moment it speaks of: the server's clock, or `--as-of`.
    pub as_of: Timestamp,
    /// The part of the fleet that it is of.
    pub shard: Option<Shard>,
    /// Whether tenants of that part were left out: only some were asked for.
    pub partial: bool,
    /// Worst first.
    pub tenants: Vec<TenantStatus>,
    /// What is to be renewed by that moment, first what ends first.
    pub due: Vec<Due>,
    /// What others put on our apps.
    pub foreign: Vec<Foreign>,
    /// Apps of ours that the manifest names no more.
    pub orphans: Vec<Orphan>,
    /// What is left with customers that were offboarded, where it was asked for.
    pub left: Vec<Left>,
    /// The flags that lead a command to the same fleet in the same place.
    pub place: String,
}

/// How many tenants are how, and who is waited for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusSummary {
    /// All is well.
    pub reading: usize,
    /// Reading, but something expires or waits.
    pub action_due: usize,
    /// Was and is not, or ought to and does not.
    pub not_reading: usize,
    /// On the way.
    pub onboarding: usize,
    /// Could not be found out.
    pub unknown: usize,
    /// Portal required and not attested, whatever the other facets say.
    pub need_portal_authorization: Vec<TenantKey>,
    /// The administrator's turn.
    pub need_admin_consent: Vec<TenantKey>,
    /// The analyst's turn.
    pub need_sign_in: Vec<TenantKey>,
    /// The operator's turn: the next apply goes on.
    pub need_operator: Vec<TenantKey>,
    /// None of these, and somebody must act all the same: an app switched off, a policy in the way.
    pub need_other: Vec<TenantKey>,
}

/// When a status was asked for, and how.
#[derive(Debug, Clone)]
pub struct Occasion {
    /// When the proofs were made.
    pub checked_at: Timestamp,
    /// The moment for which secrets and tokens are judged.
    pub as_of: Timestamp,
    /// The flags that lead a command to the same fleet in the same place; empty where none are
    /// needed.
    pub place: String,
}

/// A command as it must be typed to reach the same fleet: the flags of the place stand after the
/// verb.
pub fn command(place: &str, verb: &str, rest: &str) -> String {
    let words = ["tenantry", verb, place, rest];
    words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Puts together what is known of every tenant in the plan.
pub fn status(
    manifest: &Manifest,
    cloud: &Cloud,
    plan: &Plan,
    seen: &Seen,
    proofs: &Proofs,
    occasion: &Occasion,
) -> Status {
    let mut tenants: Vec<_> = plan
        .tenants
        .values()
        .filter_map(|planned| {
            let tenant = manifest.tenants.get(&planned.key)?;
            let app = manifest.apps.get(&tenant.app)?;
            let app_plan = plan.apps.get(&tenant.app)?;
            let view = facets::View {
                tenant,
                app,
                app_plan,
                planned,
                record: seen.records.get(&tenant.app),
                found: seen.app(app_plan),
                token: proofs.tokens.get(&tenant.key),
                refresh: proofs.refreshes.get(&tenant.key),
                access: proofs.access.get(&tenant.key),
                cloud,
                home: seen.home,
                occasion,
            };
            Some(view.status())
        })
        .collect();
    worst_first(&mut tenants);
    let Occasion { checked_at, as_of, place } = occasion;
    // A token that this run used lives longer than the vault's header said before.
    let refresh_ends = tenants
        .iter()
        .filter_map(|tenant| Some((tenant.key.clone(), tenant.facet(FacetName::Token).ends?)))
        .collect();
    let due = forecast(manifest, plan, seen, &refresh_ends, *checked_at, *as_of);
    let shard = plan.shard;
    let all = manifest.tenants.values().filter(|one| shard.is_none_or(|s| s.holds(&one.app)));
    let partial = all.count() > tenants.len();
    let (fleet, place) = (manifest.fleet.clone(), place.clone());
    Status {
        fleet,
        home: seen.home,
        as_of: *as_of,
        shard,
        partial,
        tenants,
        due,
        foreign: foreign::of(manifest, plan),
        orphans: plan.orphans.clone(),
        left: Vec::new(),
        place,
    }
}

/// Those that need somebody most come first.
fn worst_first(tenants: &mut [TenantStatus]) {
    tenants.sort_by(|a, b| (a.overall, &a.key).cmp(&(b.overall, &b.key)));
}

impl Status {
    /// A command about the same fleet, as it must be typed.
    pub fn command(&self, verb: &str, rest: &str) -> String {
        command(&self.place, verb, rest)
    }

    /// Counts, and the lists of those who are waited for.
    pub fn summary(&self) -> StatusSummary {
        let mut summary = StatusSummary::default();
        for tenant in &self.tenants {
            match tenant.overall {
                Overall::Reading => summary.reading += 1,
                Overall::ActionDue => summary.action_due += 1,
                Overall::NotReading => summary.not_reading += 1,
                Overall::Onboarding => summary.onboarding += 1,
                Overall::Unknown => summary.unknown += 1,
            }
            if tenant.needs_portal() {
                summary.need_portal_authorization.push(tenant.key.clone());
            }
            if tenant.waits(FacetName::Consent, WaitingFor::CustomerAdmin) {
                summary.need_admin_consent.push(tenant.key.clone());
            }
            if tenant.waits(FacetName::Token, WaitingFor::Analyst) {
                summary.need_sign_in.push(tenant.key.clone());
            }
            if tenant.operators_turn().is_some() {
                summary.need_operator.push(tenant.key.clone());
            }
            if tenant.needs_other() {
                summary.need_other.push(tenant.key.clone());
            }
        }
        summary
    }

    /// Whether a person still has to act.
    pub fn is_pending(&self) -> bool {
        self.tenants.iter().any(|tenant| {
            tenant.facets.values().any(|facet| match facet.waiting_for {
                Some(WaitingFor::CustomerAdmin | WaitingFor::Analyst | WaitingFor::PortalAdmin) => {
                    true
                }
                Some(WaitingFor::Operator | WaitingFor::Microsoft | WaitingFor::Time) | None => {
                    false
                }
            })
        })
    }

    /// Whether something of ours ends soon, or has ended by then.
    pub fn is_expiring(&self) -> bool {
        self.due.iter().any(|due| due.kind.is_ours())
            || self.tenants.iter().any(|t| t.facets.values().any(|f| f.state == State::Expiring))
    }

    /// Keeps only these tenants, and what is to be renewed or is not ours on their apps; what is of
    /// nobody in the manifest is of none of them.
    pub fn keep(&mut self, keys: &[TenantKey]) {
        self.tenants.retain(|tenant| keys.contains(&tenant.key));
        self.due.retain(|due| due.tenants.iter().any(|key| keys.contains(key)));
        self.orphans.clear();
        self.foreign.retain(|one| one.tenants.iter().any(|key| keys.contains(key)));
    }

    /// Whether a tenant is not reading, or nobody can tell.
    pub fn is_not_reading(&self) -> bool {
        self.tenants.iter().any(|t| matches!(t.overall, Overall::NotReading | Overall::Unknown))
    }
}
