//! One tenant, whole: whose turn it is, what to do, the command to run, and what all that rests on.

use super::{
    forecast, foreign,
    letter::{PORTAL_NOTE, PORTAL_PATH, letters, readable},
    paper::{Ink, Paper, word},
    status::{capital, facet_word, overall_word, since_words},
};
use crate::status::{EvidenceKind, FacetName, NextStep, Overall, State, Status, TenantStatus};

/// Writes one tenant.
pub fn write(paper: &mut Paper, status: &Status, tenant: &TenantStatus) {
    let legacy = if tenant.connector.needs().legacy { " (legacy)" } else { "" };
    let directory =
        tenant.tenant_id.map_or_else(|| "directory unknown".to_owned(), |id| id.to_string());
    paper.flow(
        0,
        2,
        &[
            word(Ink::Bold, tenant.key.as_str()),
            word(Ink::Plain, format!("· {}", tenant.name)),
            word(Ink::Plain, format!("· {directory}")),
            word(Ink::Plain, format!("· connector {}{legacy}", tenant.connector)),
        ],
    );
    paper.line(0, &[word(Ink::Plain, "It is"), overall_word(tenant.overall)]);
    // The same step may stand under several facets; it is told once, with its cause where one of
    // them failed.
    let steps = || {
        let facets = FacetName::ALL.into_iter().map(|name| (name, tenant.facet(name)));
        facets.filter_map(|(name, facet)| Some((name, facet.state, facet.next_step.as_ref()?)))
    };
    let mut told: Vec<&NextStep> = Vec::new();
    for (name, state, next) in steps() {
        let better = steps().any(|(other, its, step)| {
            other != name && its == State::Failed && state != State::Failed && same(step, next)
        });
        if better || told.iter().any(|step| same(step, next)) {
            continue;
        }
        told.push(next);
        turn(paper, status, tenant, name, next);
    }
    if tenant.overall == Overall::Reading {
        paper.gap();
        paper.line(0, &[word(Ink::Good, "Nothing is left to do.")]);
    }
    facets(paper, status, tenant);
    forecast::retiring(paper, status);
    foreign::write(paper, status);
    for letter in letters(status, tenant) {
        paper.gap();
        paper.line(0, &[word(Ink::Bold, format!("Text for {}:", letter.to))]);
        for line in letter.text().lines() {
            paper.say(2, Some(word(Ink::Dim, "|")), line);
        }
    }
}

/// Whether two steps are one for whoever takes them.
fn same(one: &NextStep, other: &NextStep) -> bool {
    one == other || (one.who == other.who && one.command.is_some() && one.command == other.command)
}

/// Whose turn, since when, and the steps of it.
fn turn(
    paper: &mut Paper,
    status: &Status,
    tenant: &TenantStatus,
    name: FacetName,
    next: &NextStep,
) {
    let facet = tenant.facet(name);
    paper.gap();
    paper.say(0, Some(word(Ink::Bold, "Turn:")), &next.who);
    if let Some(since) = since_words(status, facet) {
        paper.say(0, Some(word(Ink::Bold, "Since:")), &since);
    }
    if facet.state == State::Failed {
        paper.say(0, Some(word(Ink::Bold, "Cause:")), &facet.evidence.what);
    }
    paper.gap();
    let mut n = 0;
    let mut numbered = |paper: &mut Paper, text: &str| {
        n += 1;
        // Not wrapped: links and ids are there to be copied.
        paper.line(0, &[word(Ink::Plain, format!("{n}.")), word(Ink::Plain, text)]);
    };
    if let Some(link) = &next.link {
        numbered(paper, &format!("Open   {link}"));
    }
    match name {
        FacetName::Portal => {
            numbered(paper, PORTAL_PATH);
            let mut verb = "Paste";
            for (what, value) in &next.values {
                let text = format!("{verb}  {what:<18}  {value}");
                if verb.is_empty() {
                    paper.line(8, &[word(Ink::Plain, format!("  {what:<18}  {value}"))]);
                } else {
                    numbered(paper, &text);
                }
                verb = "";
            }
            numbered(paper, "Authorize application");
            paper.line(0, &[word(Ink::Plain, "Then:"), command(next)]);
            let gone = status
                .command("attest", &format!("{} --by NAME --outcome page-missing", tenant.key));
            paper.flow(0, 2, &[word(Ink::Plain, "If the page is gone:"), word(Ink::Bold, gone)]);
            paper.say(0, None, &format!("{PORTAL_NOTE}{}", readable(tenant)));
        }
        FacetName::Registration
        | FacetName::Secret
        | FacetName::Consent
        | FacetName::Token
        | FacetName::Access => {
            for (what, value) in &next.values {
                numbered(paper, &format!("Have   {what}   {value}"));
            }
            // The link stands above.
            let what = next.what.strip_prefix("open the link and ").unwrap_or(&next.what);
            paper.say(0, Some(word(Ink::Plain, format!("{}.", n + 1))), &capital(what));
            // Whoever reads this has run that command.
            if next.command.as_ref().is_some_and(|line| !line.starts_with("tenantry explain")) {
                paper.line(0, &[word(Ink::Plain, "Run:"), command(next)]);
            }
        }
    }
}

fn command(next: &NextStep) -> super::paper::Word {
    word(Ink::Bold, next.command.as_deref().unwrap_or_default())
}

/// Every facet and what it rests on.
fn facets(paper: &mut Paper, status: &Status, tenant: &TenantStatus) {
    paper.gap();
    for name in FacetName::ALL {
        let facet = tenant.facet(name);
        let kind = match (facet.state, facet.evidence.kind) {
            (State::NotNeeded, EvidenceKind::Observed) => "",
            (_, EvidenceKind::Proved) => "proved",
            (_, EvidenceKind::Attested) => "attested",
            (_, EvidenceKind::Observed) => "observed",
        };
        paper.line(
            2,
            &[
                word(Ink::Plain, format!("{:<13}", name.as_str())),
                facet_word(status, facet),
                word(Ink::Dim, kind),
            ],
        );
        paper.say(16, None, &facet.evidence.what);
    }
    if let Some(client) = tenant.client_id {
        paper.line(2, &[word(Ink::Plain, format!("{:<13} {client}", "app"))]);
    }
}
