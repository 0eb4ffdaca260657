//! All that is known of one tenant: a card a facet.

use std::collections::BTreeSet;

use maud::{Markup, html};

use super::{parts, status::COLUMNS};
use crate::{
    report::{
        paper::clean,
        status::{capital, facet_word},
    },
    status::{Facet, FacetName, NextStep, State, Status, TenantStatus},
};

/// The cards of a tenant, and who it is.
pub(super) fn all(status: &Status, tenant: &TenantStatus) -> Markup {
    // The same step may stand under several facets; it is told once, under the first one.
    let mut told: Vec<(&NextStep, FacetName)> = Vec::new();
    let mut first = BTreeSet::new();
    for name in COLUMNS {
        if let Some(next) = &tenant.facet(name).next_step
            && !told.iter().any(|(other, _)| *other == next)
        {
            told.push((next, name));
            first.insert(name);
        }
    }
    let legacy = if tenant.connector.needs().legacy { " (legacy)" } else { "" };
    html! {
        dl.ids {
            dt { "connector" } dd { (tenant.connector) (legacy) }
            @if let Some(id) = tenant.tenant_id {
                dt { "tenant id" } dd { (parts::value("tenant id", &id.to_string())) }
            }
            @if let Some(id) = tenant.client_id {
                dt { "application id" } dd { (parts::value("application id", &id.to_string())) }
            }
            @if let Some(good) = tenant.last_good {
                dt { "last read" } dd { (parts::moment(good)) }
            }
        }
        div.cards {
            @for name in COLUMNS {
                @let facet = tenant.facet(name);
                @let elsewhere = facet.next_step.as_ref().filter(|_| !first.contains(&name))
                    .and_then(|next| told.iter().find(|(other, _)| *other == next))
                    .map(|(_, name)| *name);
                (card(status, tenant, name, facet, elsewhere))
            }
        }
    }
}

fn card(
    status: &Status,
    tenant: &TenantStatus,
    name: FacetName,
    facet: &Facet,
    elsewhere: Option<FacetName>,
) -> Markup {
    html! {
        div id={ (tenant.key) "." (name.as_str()) } {
            h4 { (capital(name.as_str())) " " (parts::marked(facet, &facet_word(status, facet))) }
            @if facet.state == State::NotNeeded { p.soft { "not needed" } }
            p { (clean(&facet.evidence.what)) }
            p.soft {
                (parts::kind(facet)) " " (parts::moment(facet.evidence.at))
                @if facet.checked_at != facet.evidence.at {
                    ", checked " (parts::moment(facet.checked_at))
                }
                @if let Some(ends) = facet.ends { ", ends " (parts::moment(ends)) }
            }
            @match (&facet.next_step, elsewhere) {
                (Some(_), Some(other)) => {
                    p { "Next: as under " a href={ "#" (tenant.key) "." (other.as_str()) } { (other.as_str()) } }
                }
                (Some(next), None) => (step(next, facet)),
                (None, _) => {}
            }
        }
    }
}

/// Who must do what, where, with which values.
pub(super) fn step(next: &NextStep, facet: &Facet) -> Markup {
    let NextStep { who, what, link, values, command } = next;
    html! {
        p { b { "Next: " (clean(who)) } (parts::since(facet)) ": " (clean(what)) }
        @if let Some(link) = link { p { (parts::link(link)) } }
        @if !values.is_empty() {
            dl.ids {
                @for (name, value) in values { dt { (name) } dd { (parts::value(name, value)) } }
            }
        }
        @if let Some(command) = command { p { (parts::value("command", command)) } }
    }
}
