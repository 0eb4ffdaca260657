//! What is left with customers that were offboarded: whose turn it is, until it is seen gone.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Evidence, EvidenceKind, NextStep, State, command};
use crate::{
    ids::{AppKey, ClientId, ObjectId, ServicePrincipal, TenantId, TenantKey},
    plan::{manual::administrator, offboard::Sighting},
    vault::Leftover,
};

/// An enterprise application of ours in the directory of a customer that was offboarded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Left {
    /// Whose directory it is in.
    pub tenant: TenantKey,
    /// What people call them.
    pub name: String,
    /// The app that was offboarded.
    pub app: AppKey,
    /// What it was called.
    pub app_name: String,
    /// The customer's directory.
    pub tenant_id: TenantId,
    /// What it is found by there.
    pub client_id: ClientId,
    /// Whether others still use the app, so that it exists, and can sign in there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub app_stays: bool,
    /// Its object id there, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object_id: Option<ObjectId<ServicePrincipal>>,
    /// Since when it has been left.
    pub since: Timestamp,
    /// Waiting where it was seen, unknown where nobody could look.
    pub state: State,
    /// What that rests on.
    pub evidence: Evidence,
    /// What the customer's side does about it.
    pub next_step: NextStep,
}

impl Left {
    /// What is to be said of it; nothing where it was seen gone. `app_stays` is whether others use
    /// the app still; `place` are the flags that lead a command to the fleet.
    pub fn of(
        leftover: &Leftover,
        sighting: Option<&Sighting>,
        app_stays: bool,
        place: &str,
        now: Timestamp,
    ) -> Option<Self> {
        let Leftover { tenant, name, app, directory, client_id, app_name, since, principal, seen } =
            leftover.clone();
        let day = |at: Timestamp| at.strftime("%Y-%m-%d").to_string();
        let why = match sighting {
            Some(Sighting::Unknown(why)) => format!("; nobody here can look now: {why}"),
            Some(Sighting::There(_) | Sighting::Absent) | None => String::new(),
        };
        let (state, kind, at, what, found) = match (sighting, seen) {
            (Some(Sighting::Absent), _) => return None,
            (Some(Sighting::There(found)), _) => {
                let what = "the customer's directory shows it".to_owned();
                (State::Waiting, EvidenceKind::Observed, now, what, *found)
            }
            (Some(Sighting::Unknown(_)) | None, Some(at)) => {
                let what = format!("it was there when last seen, {}{why}", day(at));
                (State::Waiting, EvidenceKind::Observed, at, what, None)
            }
            (Some(Sighting::Unknown(_)) | None, None) => {
                let what = format!("nobody could see whether it is there{why}");
                (State::Unknown, EvidenceKind::Observed, now, what, None)
            }
        };
        let object_id = found.or(principal);
        let mut values = std::collections::BTreeMap::new();
        values.insert("application id".into(), client_id.to_string());
        if let Some(object) = object_id {
            values.insert("object id".into(), object.to_string());
        }
        let next_step = NextStep {
            who: administrator(&name),
            what: format!("removes the enterprise application \"{app_name}\" from their directory"),
            link: None,
            values,
            command: Some(command(place, "attest", &format!("{tenant} --removed --by NAME"))),
        };
        Some(Self {
            tenant,
            name,
            app,
            app_name,
            tenant_id: directory,
            client_id,
            app_stays,
            object_id,
            since,
            state,
            evidence: Evidence { kind, at, what },
            next_step,
        })
    }
}
