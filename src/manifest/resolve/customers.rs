//! The same customer may stand in a manifest twice, with different connectors.

use std::collections::HashMap;

use crate::{
    connector::Connector,
    ids::TenantId,
    manifest::{
        mistakes::Wrong,
        read::{At, Cx},
    },
};

/// Every customer so far, by id and by domain.
#[derive(Debug, Default)]
pub(super) struct Customers {
    by_id: HashMap<TenantId, First>,
    by_domain: HashMap<Box<str>, (First, Option<(TenantId, At)>)>,
}

/// The first tenant of a customer with each connector, by the place of the tenant.
#[derive(Debug, Default)]
struct First([Option<At>; Connector::ALL.len()]);

impl First {
    /// Takes the place of a customer and connector, or says who has it.
    fn take(&mut self, connector: Connector, at: At) -> Option<At> {
        let slot = match connector {
            Connector::MsspSiem => 0,
            Connector::GraphSecurity => 1,
            Connector::DefenderXdr => 2,
        };
        let first = self.0[slot];
        self.0[slot] = first.or(Some(at));
        first
    }
}

/// A tenant as it is added; `id` and `domain` each with the place where they are written.
pub(super) struct Customer<'c> {
    /// The tenant.
    pub(super) at: At,
    /// What it is read with.
    pub(super) connector: Connector,
    /// Its directory.
    pub(super) id: Option<(At, TenantId)>,
    /// Its domain.
    pub(super) domain: Option<(At, &'c str)>,
}

impl Customers {
    /// Adds a customer, and reports one that is there already.
    pub(super) fn add(&mut self, cx: &mut Cx<'_>, customer: Customer<'_>) {
        let Customer { at, connector, id, domain } = customer;
        let mut first = None;
        if let Some((id_at, id)) = id {
            first = self.by_id.entry(id).or_default().take(connector, at);
            if let Some(first) = first {
                twice(cx, own(cx, id_at, at), first, connector, "id");
            }
        }
        let Some((domain_at, domain)) = domain else { return };
        let place = own(cx, domain_at, at);
        let (of_domain, known) = self.by_domain.entry(domain.into()).or_default();
        let with_domain = of_domain.take(connector, at);
        match (*known, id) {
            (Some((other, there)), Some((_, id))) if other != id => {
                let there = key_of(cx, there);
                let wrong = Wrong::new(format!(
                    "`{domain}` is the domain of `{there}` too, with another id"
                ))
                .label(format!("there: {other}"))
                .help("a domain belongs to one directory");
                cx.wrong(place, wrong);
            }
            (_, id) => {
                *known = known.or(id.map(|(_, id)| (id, at)));
                if let (Some(with_domain), None) = (with_domain, first) {
                    twice(cx, place, with_domain, connector, "domain");
                }
            }
        }
    }
}

/// A value inherited from `defaults` says nothing about which tenant is at fault: the tenant does.
fn own(cx: &Cx<'_>, at: At, tenant: At) -> At {
    if cx.is_within(at, tenant) { at } else { tenant }
}

/// The key of a tenant.
fn key_of(cx: &Cx<'_>, tenant: At) -> String {
    let path = cx.tree(tenant).path(tenant.node);
    path.rsplit('.').next().unwrap_or_default().to_owned()
}

fn twice(cx: &mut Cx<'_>, at: At, first: At, connector: Connector, by: &str) {
    let first = key_of(cx, first);
    let wrong = Wrong::new(format!("the same customer and connector as `{first}`"))
        .label(format!("same {by}, both with {connector}"))
        .help("one of the two is too many; the same customer may stand twice with different connectors");
    cx.wrong(at, wrong);
}
