//! The same customer may stand in a manifest twice, with different connectors.

use std::collections::HashMap;

use crate::{
    connector::Connector,
    ids::{TenantId, TenantKey},
    manifest::{
        mistakes::Wrong,
        read::{At, Cx},
    },
};

/// Every customer so far, by id and by domain.
#[derive(Debug, Default)]
pub(super) struct Customers {
    by_id: HashMap<TenantId, Vec<(Connector, TenantKey)>>,
    by_domain: HashMap<String, Vec<(Connector, TenantKey, Option<TenantId>)>>,
}

impl Customers {
    /// Adds a customer, unless it is there already.
    pub(super) fn add(
        &mut self,
        cx: &mut Cx<'_>,
        at: At,
        key: &TenantKey,
        connector: Connector,
        id: Option<(At, TenantId)>,
        domain: Option<(At, &str)>,
    ) {
        let mut reported = false;
        if let Some((id_at, id)) = id {
            let same = self.by_id.entry(id).or_default();
            if let Some((_, first)) = same.iter().find(|(c, _)| *c == connector) {
                twice(cx, own(cx, id_at, at), first, connector, "id");
                reported = true;
            }
            same.push((connector, key.clone()));
        }
        if let Some((domain_at, domain)) = domain {
            let same = self.by_domain.entry(domain.to_owned()).or_default();
            let id = id.map(|(_, id)| id);
            let place = own(cx, domain_at, at);
            if let Some((_, first, other)) =
                same.iter().find(|(_, _, other)| id.is_some() && other.is_some() && *other != id)
            {
                let wrong = Wrong::new(format!(
                    "`{domain}` is the domain of `{first}` too, with another id"
                ))
                .label(format!("there: {}", other.map(|id| id.to_string()).unwrap_or_default()))
                .help("a domain belongs to one directory");
                cx.wrong(place, wrong);
            } else if let Some((_, first, _)) =
                same.iter().find(|(c, _, _)| *c == connector).filter(|_| !reported)
            {
                twice(cx, place, first, connector, "domain");
            }
            same.push((connector, key.clone(), id));
        }
    }
}

/// A value inherited from `defaults` says nothing about which tenant is at fault: the tenant does.
fn own(cx: &Cx<'_>, at: At, tenant: At) -> At {
    if cx.is_within(at, tenant) { at } else { tenant }
}

fn twice(cx: &mut Cx<'_>, at: At, first: &TenantKey, connector: Connector, by: &str) {
    let wrong = Wrong::new(format!("the same customer and connector as `{first}`"))
        .label(format!("same {by}, both with {connector}"))
        .help("one of the two is too many; the same customer may stand twice with different connectors");
    cx.wrong(at, wrong);
}
