//! What is not as the vault remembers it.

use jiff::Timestamp;
use serde::Serialize;

use super::{FacetName, State, Status, WaitingFor};
use crate::{ids::TenantKey, manifest::Manifest, vault::Records};

/// A facet as the vault remembers it, in the words of the report of that day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Was {
    /// Its state.
    pub state: String,
    /// Whom it waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<String>,
    /// Since when.
    pub since: Timestamp,
}

/// A facet as it is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Is {
    /// Its state.
    pub state: State,
    /// Whom it waits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<WaitingFor>,
}

/// A facet that is not as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// Of which tenant.
    pub tenant: TenantKey,
    /// Which.
    pub facet: FacetName,
    /// What it was; absent where the vault remembers nothing of it.
    pub from: Option<Was>,
    /// What it is.
    pub to: Is,
}

/// All that differs from what the vault's headers remember, in the status's order, and the moment
/// of the newest of those memories. What was and is the same in state and person is no change,
/// whatever its evidence says.
pub fn changes(
    status: &Status,
    manifest: &Manifest,
    records: &Records,
) -> (Vec<Change>, Option<Timestamp>) {
    let (mut changes, mut latest) = (Vec::new(), None);
    for tenant in &status.tenants {
        let remembered = manifest
            .tenants
            .get(&tenant.key)
            .and_then(|wanted| records.get(&wanted.app)?.tenants.get(&tenant.key));
        for name in FacetName::ALL {
            let facet = tenant.facet(name);
            let from = remembered.and_then(|tenant| tenant.facets.get(name.as_str()));
            latest = latest.max(from.map(|memory| memory.since));
            let same = from.is_some_and(|memory| {
                memory.state == facet.state.as_str()
                    && memory.waiting_for.as_deref() == facet.waiting_for.map(WaitingFor::as_str)
            });
            if !same {
                changes.push(Change {
                    tenant: tenant.key.clone(),
                    facet: name,
                    from: from.map(|memory| Was {
                        state: memory.state.clone(),
                        waiting_for: memory.waiting_for.clone(),
                        since: memory.since,
                    }),
                    to: Is { state: facet.state, waiting_for: facet.waiting_for },
                });
            }
        }
    }
    (changes, latest)
}
