//! What the vault remembers of the steps that people take: what was seen stands until something
//! contradicts it.

use jiff::Timestamp;

use crate::{
    ids::TenantKey,
    vault::{FacetMemory, Record},
};

/// Whether the vault remembers that a facet was good.
fn was_good(memory: &FacetMemory) -> bool {
    matches!(memory.state.as_str(), "ok" | "expiring")
}

/// Since when it has been known that the customer's administrator has accepted; nothing where that
/// was never seen, or was seen gone. Whoever waits for the analyst has seen the app in the
/// customer's directory, and so has whoever found it switched off there.
pub fn consent_since(record: Option<&Record>, tenant: &TenantKey) -> Option<Timestamp> {
    let memory = record?.tenants.get(tenant)?.facets.get("consent")?;
    let seen = was_good(memory)
        || match (memory.state.as_str(), memory.waiting_for.as_deref()) {
            ("waiting", Some("analyst")) | ("failed", None) => true,
            (_, Some(_) | None) => false,
        };
    seen.then_some(memory.since)
}

/// Whether the analyst's sign-in is still to be asked for, as far as the vault knows: nobody has
/// signed in, or what came of it is of no use by `now`, and nobody else's turn comes before.
pub(super) fn asks_sign_in(record: Option<&Record>, tenant: &TenantKey, now: Timestamp) -> bool {
    let held = record.and_then(|record| record.refresh_token(tenant));
    let memory = record
        .and_then(|record| record.tenants.get(tenant))
        .and_then(|tenant| tenant.facets.get("token"));
    match (memory, held) {
        (_, Some(held)) if held.end.is_some_and(|end| end <= now) => true,
        (Some(memory), _) => {
            !was_good(memory) && memory.waiting_for.as_deref().is_none_or(|who| who == "analyst")
        }
        (None, _) => true,
    }
}
