//! The status as one HTML file: who must do what, the tenants by facet, and behind each tenant
//! all that is known.

use maud::{Markup, html};

use super::{Document, Script, cards, document, parts};
use crate::{
    report::{
        forecast, foreign, orphans,
        paper::clean,
        status::{capital, facet_word, last_line_text, overall_word, person, worst},
    },
    status::{Facet, FacetName, Left, Overall, State, Status, TenantStatus, WaitingFor},
};

/// The facets as columns: what matters most stands first.
pub(super) const COLUMNS: [FacetName; 6] = [
    FacetName::Access,
    FacetName::Consent,
    FacetName::Secret,
    FacetName::Token,
    FacetName::Portal,
    FacetName::Registration,
];

/// The status as a file that is whole in itself.
pub fn status(status: &Status, sandbox: bool) -> String {
    let Status {
        fleet,
        home,
        as_of,
        shard: _,
        partial: _,
        tenants,
        due,
        foreign: _,
        orphans: _,
        left,
        place,
    } = status;
    let body = html! {
        @if sandbox { (parts::sandbox_note()) }
        header {
            h1 { "Status of fleet " (fleet) }
            p.soft { "As of " (parts::moment(*as_of)) " · home " code { (home) } }
            p.sum role="status" { (last_line_text(status)) }
        }
        main {
            (filter(status))
            @if tenants.is_empty() { p { "No tenants." } } @else { (grid(status)) }
            (forecast::markup(due, *as_of, place))
            (foreign::markup(status))
            (orphans::markup(status))
            (people(status))
            (with_customers(left))
        }
        p.away id="said" role="status" {}
    };
    document(Document {
        title: &format!("Status of fleet {fleet}"),
        class: "report",
        style: include_str!("status.css"),
        script: Script::Lines(include_str!("status.js")),
        head: html! {},
        body,
    })
}

/// Whose turn it is, as the filter names it: one word a person.
fn turns(tenant: &TenantStatus) -> String {
    let mut turns: Vec<_> =
        tenant.facets.values().filter_map(|f| f.waiting_for).map(WaitingFor::as_str).collect();
    turns.sort_unstable();
    turns.dedup();
    turns.join(" ")
}

fn state_key(overall: Overall) -> &'static str {
    overall.as_str()
}

/// Only what there is can be chosen. Shown where JavaScript runs.
fn filter(status: &Status) -> Markup {
    let mut overalls: Vec<_> = status.tenants.iter().map(|tenant| tenant.overall).collect();
    overalls.sort_unstable();
    overalls.dedup();
    let mut turns: Vec<_> = status
        .tenants
        .iter()
        .flat_map(|tenant| tenant.facets.values().filter_map(|facet| facet.waiting_for))
        .collect();
    turns.sort_unstable();
    turns.dedup();
    html! {
        form.filter id="filter" role="search" hidden {
            label { "Search " input type="search" id="text" placeholder="name, id, error …"; }
            label {
                "State "
                select id="state" {
                    option value="" { "all" }
                    @for overall in overalls {
                        option value=(state_key(overall)) {
                            (overall_word(overall).text())
                        }
                    }
                }
            }
            label {
                "Whose turn "
                select id="turn" {
                    option value="" { "anybody's" }
                    @for turn in turns { option value=(turn.as_str()) { (person(turn)) } }
                }
            }
            output id="shown" aria-live="polite" {}
        }
    }
}

/// What is left in the directories of customers that were offboarded.
fn with_customers(left: &[Left]) -> Markup {
    html! {
        @if !left.is_empty() {
            h2 { "Left with customers (" (left.len()) ")" }
            ul {
                @for one in left {
                    li {
                        strong { (one.tenant) } " " (clean(&one.name)) ": "
                        (clean(&one.next_step.what)) ", application id " code { (one.client_id) }
                        ", since " (one.since.strftime("%Y-%m-%d").to_string()) "; "
                        (clean(&one.evidence.what))
                    }
                }
            }
        }
    }
}

fn grid(status: &Status) -> Markup {
    html! {
        h2 { "Tenants" }
        table.grid {
            caption.away { "Tenants, worst first, by facet; each cell leads to its evidence." }
            thead {
                tr {
                    th scope="col" { "Tenant" }
                    th scope="col" { "State" }
                    @for name in COLUMNS { th scope="col" { (capital(name.as_str())) } }
                }
            }
            @for tenant in &status.tenants { (row(status, tenant)) }
        }
        p.none id="none" hidden { "No tenant is like that." }
    }
}

/// A tenant: its line of cells, and behind it all that is known.
fn row(status: &Status, tenant: &TenantStatus) -> Markup {
    let key = &tenant.key;
    html! {
        tbody data-t=(key) data-s=(state_key(tenant.overall)) data-w=(turns(tenant)) {
            tr {
                th scope="row" { (clean(&tenant.name)) " " code.soft { (key) } }
                td data-h="State" { (parts::marked_overall(tenant.overall)) }
                @for name in COLUMNS {
                    @let facet = tenant.facet(name);
                    td data-h=(capital(name.as_str())) { (cell(status, tenant, name, facet)) }
                }
            }
            tr.more {
                td colspan="8" {
                    details {
                        summary { (line(tenant)) }
                        (cards::all(status, tenant))
                    }
                }
            }
        }
    }
}

fn cell(status: &Status, tenant: &TenantStatus, name: FacetName, facet: &Facet) -> Markup {
    let marked = parts::marked(facet, &facet_word(status, facet));
    match facet.state {
        State::NotNeeded => html! { (marked) },
        State::Ok | State::Waiting | State::Expiring | State::Failed | State::Unknown => html! {
            a href={ "#" (tenant.key) "." (name.as_str()) } { (marked) }
            @if let Some(kind) = parts::kind_beside(facet) { small { (kind) } }
        },
    }
}

/// What there is to know about a tenant at a glance: what is wrong, or whose turn it is.
fn line(tenant: &TenantStatus) -> Markup {
    if let Some((name, facet)) = worst(tenant) {
        return html! {
            b { (capital(name.as_str())) " " (facet.state.as_str()) ": " }
            (clean(&facet.evidence.what))
        };
    }
    let waiting = || FacetName::ALL.into_iter().map(|name| tenant.facet(name));
    let next = waiting().find(|facet| facet.waiting_for.is_some() && facet.next_step.is_some());
    let turn = waiting().find_map(|facet| facet.waiting_for);
    match (next.and_then(|facet| Some((facet, facet.next_step.as_ref()?))), turn) {
        (Some((facet, next)), _) => html! {
            b { "Turn: " (clean(&next.who)) } (parts::since(facet)) ": " (clean(&next.what))
        },
        (None, Some(who)) => html! { b { "Turn: " (person(who)) } },
        (None, None) => html! { "Evidence" },
    }
}

/// The lists of those who are waited for, with what they need.
fn people(status: &Status) -> Markup {
    let waiting = |name, person| -> Vec<&TenantStatus> {
        status.tenants.iter().filter(|tenant| tenant.waits(name, person)).collect()
    };
    let portal: Vec<_> = status.tenants.iter().filter(|tenant| tenant.needs_portal()).collect();
    html! {
        (list(
            "consent", "Admin consent",
            "Send each link to that customer's administrator; it works in that customer's directory only.",
            FacetName::Consent, &waiting(FacetName::Consent, WaitingFor::CustomerAdmin),
        ))
        (list(
            "sign-in", "Sign-in", "Each analyst signs in once.",
            FacetName::Token, &waiting(FacetName::Token, WaitingFor::Analyst),
        ))
        (list(
            "portal", "Portal authorization",
            "In the customer's Defender portal: Settings › Endpoints › APIs › SIEM › MSSP. No call can \
             show whether this was done; Microsoft says since 2026-09 that it belongs to the \
             deprecated SIEM API. Who has done it is recorded per tenant, and for this application \
             id only.",
            FacetName::Portal, &portal,
        ))
    }
}

fn list(
    id: &'static str,
    title: &str,
    lead: &str,
    name: FacetName,
    tenants: &[&TenantStatus],
) -> Markup {
    html! {
        @if !tenants.is_empty() {
            section id=(id) {
                h2 { (title) " (" (tenants.len()) ")" }
                p.soft { (lead) }
                ul.steps {
                    @for tenant in tenants {
                        @let facet = tenant.facet(name);
                        li data-t=(tenant.key) {
                            h3 { (clean(&tenant.name)) " " code.soft { (tenant.key) } }
                            @match &facet.next_step {
                                Some(next) => (cards::step(next, facet)),
                                None => p { (clean(&facet.evidence.what)) },
                            }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::Timestamp;

    use super::*;
    use crate::{
        connector::Connector,
        status::{Evidence, EvidenceKind, NextStep},
    };

    const HOSTILE: &str = "</title></script><script>alert(1)</script>\" onload='x'\u{202e}";

    fn tenant(key: &str, link: &str) -> TenantStatus {
        let facet = Facet {
            state: State::Waiting,
            waiting_for: Some(WaitingFor::PortalAdmin),
            evidence: Evidence {
                kind: EvidenceKind::Observed,
                at: Timestamp::UNIX_EPOCH,
                what: HOSTILE.to_owned(),
            },
            checked_at: Timestamp::UNIX_EPOCH,
            since: None,
            next_step: Some(NextStep {
                who: HOSTILE.to_owned(),
                what: HOSTILE.to_owned(),
                link: Some(link.parse().unwrap()),
                values: BTreeMap::from([("application id".into(), HOSTILE.to_owned())]),
                command: Some(HOSTILE.to_owned()),
            }),
            ends: None,
        };
        TenantStatus {
            key: key.parse().unwrap(),
            name: HOSTILE.to_owned(),
            tenant_id: None,
            client_id: None,
            connector: Connector::MsspSiem,
            overall: Overall::Onboarding,
            facets: FacetName::ALL.into_iter().map(|name| (name, facet.clone())).collect(),
            last_good: None,
            asked: crate::status::Asked {
                app_name: HOSTILE.to_owned(),
                permissions: std::collections::BTreeSet::new(),
                landing: Some(HOSTILE.to_owned()),
                sign_in_as: Some(HOSTILE.to_owned()),
            },
        }
    }

    fn foreign() -> crate::status::Foreign {
        crate::status::Foreign {
            app: "contoso".parse().unwrap(),
            tenants: Vec::new(),
            credential: crate::plan::foreign::Theirs {
                kind: crate::plan::foreign::TheirsKind::ClientSecret,
                name: Some(HOSTILE.to_owned()),
                id: String::new(),
                ends: None,
                issuer: None,
                subject: None,
                other_vault: None,
            },
        }
    }

    fn orphan() -> crate::plan::Orphan {
        crate::plan::Orphan {
            key: "gone".parse().unwrap(),
            directory: "6f1c0f5e-0000-4000-8000-000000000100".parse().unwrap(),
            display_name: HOSTILE.to_owned(),
            client_id: "6f1c0f5e-0000-4000-8000-000000000101".parse().unwrap(),
        }
    }

    fn report(tenants: Vec<TenantStatus>) -> String {
        status(
            &Status {
                fleet: "acme-soc".parse().unwrap(),
                home: "6f1c0f5e-0000-4000-8000-000000000100".parse().unwrap(),
                as_of: Timestamp::UNIX_EPOCH,
                shard: None,
                partial: false,
                tenants,
                due: Vec::new(),
                foreign: vec![foreign()],
                orphans: vec![orphan()],
                left: Vec::new(),
                place: String::new(),
            },
            false,
        )
    }

    #[test]
    fn foreign_text_is_only_text_wherever_it_stands() {
        let page = report(vec![tenant("contoso", "https://a.example/?x=\"'<b>")]);
        assert!(!page.contains("<script>alert"), "{page}");
        assert!(!page.contains("\" onload"), "{page}");
        assert!(!page.contains('\u{202e}'), "{page}");
        // Its name twice, its evidence, its step: each at least once, each escaped.
        assert!(page.matches("&lt;script&gt;alert(1)").count() > 10, "{page}");
    }

    #[test]
    fn only_the_web_is_linked_to() {
        for link in ["javascript:alert(1)", "data:text/html,x", "file:///etc/passwd"] {
            let page = report(vec![tenant("contoso", link)]);
            assert!(!page.contains(&format!("href=\"{link}")), "{link}");
            assert!(page.contains(&format!("<code class=\"v\">{link}")), "{link} is told as text");
        }
        let page = report(vec![tenant("contoso", "https://a.example/")]);
        assert!(page.contains("href=\"https://a.example/\""), "{page}");
    }

    #[test]
    fn a_step_that_stands_under_six_facets_is_told_once() {
        let page = report(vec![tenant("contoso", "https://a.example/")]);
        let cards = page.split("class=\"cards\"").nth(1).unwrap();
        let cards = cards.split("</tbody>").next().unwrap();
        assert_eq!(cards.matches("Next: as under").count(), 5);
        assert_eq!(cards.matches("href=\"https://a.example/\"").count(), 1);
    }

    #[test]
    fn a_thousand_tenants_stay_a_file_that_opens() {
        let link = "https://security.microsoft.com/?tid=6f1c0f5e-0000-4000-8000-000000000100";
        let tenants = (0..1000).map(|n| tenant(&format!("t{n}"), link)).collect();
        let size = report(tenants).len();
        assert!(size < 9_000_000, "{size} bytes");
    }

    #[test]
    fn what_somebody_said_is_not_marked_like_what_was_proved() {
        let mut said = tenant("contoso", "https://a.example/");
        let portal = said.facets.get_mut(&FacetName::Portal).unwrap();
        (portal.state, portal.evidence.kind) = (State::Ok, EvidenceKind::Attested);
        let page = report(vec![said]);
        assert!(page.contains("✎</i> attested"), "{page}");
        assert!(!page.contains("✓</i> ok"), "{page}");
    }
}
