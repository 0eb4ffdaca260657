//! What the vault remembers of one tenant besides its refresh token.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::{ClientId, TenantId, TenantKey};

/// One tenant as the vault remembers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TenantRecord {
    /// Its directory, pinned: the same key never comes to mean another directory unnoticed.
    pub id: TenantId,
    /// What each facet was last, by its name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub facets: BTreeMap<String, FacetMemory>,
    /// When its incidents could last be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_good: Option<Timestamp>,
    /// What somebody said of the portal step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attestation: Option<Attestation>,
    /// That its administrator said no, until a token shows the consent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consent_denied: Option<ConsentDenied>,
}

impl TenantRecord {
    /// A tenant of which nothing is known but its directory.
    pub fn pinned(id: TenantId) -> Self {
        Self {
            id,
            facets: BTreeMap::new(),
            last_good: None,
            attestation: None,
            consent_denied: None,
        }
    }

    /// The last moment at which a run is known to have written this, if any is.
    pub(super) fn last_written(&self) -> Option<Timestamp> {
        let facets = self.facets.values().map(|memory| memory.since);
        let denied = self.consent_denied.as_ref().map(|denied| denied.at);
        facets.chain(self.last_good).chain(denied).max()
    }

    /// Remembers what a run saw; `since` stays where nothing changed.
    pub(super) fn remember(&mut self, seen: &TenantSeen, at: Timestamp) {
        let TenantSeen { tenant: _, id: _, facets, last_good, consent } = seen;
        for (name, (state, waiting_for)) in facets {
            let same = self
                .facets
                .get(name)
                .is_some_and(|old| old.state == *state && old.waiting_for == *waiting_for);
            if !same {
                let memory = FacetMemory {
                    state: state.clone(),
                    waiting_for: waiting_for.clone(),
                    since: at,
                };
                self.facets.insert(name.clone(), memory);
            }
        }
        self.last_good = self.last_good.max(*last_good);
        match consent {
            ConsentSeen::Proved => self.consent_denied = None,
            ConsentSeen::NotProved => {}
        }
    }
}

/// What a facet was when it was last looked at, in the words of the JSON report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FacetMemory {
    /// `ok`, `waiting`, …
    pub state: String,
    /// `customer-admin`, `analyst`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<String>,
    /// Since when it has been so.
    pub since: Timestamp,
}

/// Somebody's word on the portal step, which no call can prove.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Attestation {
    /// The app it was given for; void for any other.
    pub client_id: ClientId,
    /// Who did it.
    pub by: String,
    /// Where it is written down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<String>,
    /// When it was done.
    pub at: Timestamp,
    /// How it went.
    pub outcome: AttestedOutcome,
}

/// An administrator's no to the consent page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConsentDenied {
    /// The app that was asked for; says nothing of any other.
    pub client_id: ClientId,
    /// When.
    pub at: Timestamp,
    /// In the page's words, or in ours.
    pub why: String,
}

/// How the portal step went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AttestedOutcome {
    /// The app was authorized.
    Authorized,
    /// The portal has no such page any more.
    PageMissing,
    /// The portal refused.
    Refused,
}

/// What one run saw of one tenant, to be remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantSeen {
    /// Which tenant.
    pub tenant: TenantKey,
    /// Its directory.
    pub id: TenantId,
    /// Facets by name: state, and whom it waits for.
    pub facets: BTreeMap<String, (String, Option<String>)>,
    /// When its incidents were read, if they were.
    pub last_good: Option<Timestamp>,
    /// Whether a token showed that consent was given.
    pub consent: ConsentSeen,
}

/// What a run saw of a tenant's consent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConsentSeen {
    /// A token carries all that is asked for: an earlier no is over.
    Proved,
    /// It does not, or none was given.
    NotProved,
}
