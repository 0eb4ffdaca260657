//! The tenants, in words: the table, what is wrong, who must still do what.

use jiff::Timestamp;

use super::{
    forecast, foreign, orphans,
    paper::{Ink, Paper, Word, shortened, word},
    plan::count,
};
use crate::{
    lifetime::days_between,
    plan::forecast::Cure,
    status::{
        Change, EvidenceKind, Facet, FacetName, NextStep, Overall, State, Status, TenantStatus,
        WaitingFor,
    },
};

/// How many causes are spelled out under the table.
const CAUSES: usize = 10;

/// The tenant as a whole, as a person reads it.
pub(super) fn overall_word(overall: Overall) -> Word {
    match overall {
        Overall::NotReading => word(Ink::Bad, "NOT READING"),
        Overall::Unknown => word(Ink::Bad, "unknown"),
        Overall::Onboarding => word(Ink::Wait, "onboarding"),
        Overall::ActionDue => word(Ink::Wait, "action due"),
        Overall::Reading => word(Ink::Good, "reading"),
    }
}

/// A facet in one word.
pub(super) fn facet_word(status: &Status, facet: &Facet) -> Word {
    let days =
        facet.ends.map(|end| format!(" {} d", days_between(status.as_of, end))).unwrap_or_default();
    match (facet.state, facet.evidence.kind) {
        (State::Ok, EvidenceKind::Attested) => word(Ink::Good, "attested"),
        (State::Ok, EvidenceKind::Proved | EvidenceKind::Observed) => {
            word(Ink::Good, format!("ok{days}"))
        }
        (State::Waiting, _) => word(Ink::Wait, "waiting"),
        (State::Expiring, _) => word(Ink::Wait, format!("ends{days}")),
        (State::Failed, _) if facet.ends.is_some_and(|end| end <= status.as_of) => {
            word(Ink::Bad, "ended")
        }
        (State::Failed, EvidenceKind::Observed)
            if facet.waiting_for == Some(WaitingFor::CustomerAdmin) =>
        {
            word(Ink::Bad, "declined")
        }
        (State::Failed, _) => word(Ink::Bad, "failed"),
        (State::Unknown, _) => word(Ink::Bad, "unknown"),
        (State::NotNeeded, _) => word(Ink::Dim, "–"),
    }
}

/// The same where there is little room.
fn short_word(facet: &Facet) -> Word {
    match (facet.state, facet.evidence.kind) {
        (State::Ok, EvidenceKind::Attested) => word(Ink::Good, "said"),
        (State::Ok, EvidenceKind::Proved | EvidenceKind::Observed) => word(Ink::Good, "ok"),
        (State::Waiting, _) => word(Ink::Wait, "wait"),
        (State::Expiring, _) => word(Ink::Wait, "ends"),
        (State::Failed, _) => word(Ink::Bad, "failed"),
        (State::Unknown, _) => word(Ink::Bad, "unknown"),
        (State::NotNeeded, _) => word(Ink::Dim, "–"),
    }
}

/// Writes the table, worst first, and under it the causes and the lists of those who are waited
/// for.
pub fn write(paper: &mut Paper, status: &Status) {
    table(paper, status);
    causes(paper, status);
    forecast::write(paper, &status.due, status.as_of, &status.place);
    if status.due.iter().any(|due| due.cure == Cure::Apply) {
        let day = status.as_of.strftime("%Y-%m-%d");
        let command = status.command("plan", &format!("--as-of {day}"));
        let words = "policies are not read here; whether one forbids a new secret is told by";
        paper.say(2, Some(word(Ink::Dim, "·")), words);
        paper.line(4, &[word(Ink::Plain, command)]);
    }
    foreign::write(paper, status);
    orphans::write(paper, status);
    operator(paper, status);
    consent(paper, status);
    sign_in(paper, status);
    portal(paper, status);
    super::offboard::list(paper, &status.left);
    paper.gap();
    last_line(paper, status);
}

fn table(paper: &mut Paper, status: &Status) {
    if status.tenants.is_empty() {
        paper.line(0, &[word(Ink::Plain, "No tenants.")]);
        return;
    }
    let roomy = paper.width() >= 110;
    let narrow = paper.width() < 80;
    let mut titles = vec!["TENANT", "STATE", "ACCESS", "CONSENT", "SECRET", "TOKEN", "PORTAL"];
    if roomy {
        titles.push("WHOSE TURN");
    }
    let mut rows: Vec<Vec<Word>> =
        vec![titles.iter().map(|title| word(Ink::Bold, title)).collect()];
    for tenant in &status.tenants {
        let cell = |name| {
            let facet = tenant.facet(name);
            if narrow { short_word(facet) } else { facet_word(status, facet) }
        };
        let mut row = vec![
            word(Ink::Plain, tenant.key.as_str()),
            overall_word(tenant.overall),
            cell(FacetName::Access),
            cell(FacetName::Consent),
            cell(FacetName::Secret),
            cell(FacetName::Token),
            cell(FacetName::Portal),
        ];
        if roomy {
            row.push(word(Ink::Plain, turn(tenant)));
        }
        rows.push(row);
    }
    // The key takes what the others leave: it is what one types. Where it would not fit, columns go
    // whose news stand in the lists below as well.
    let left = |rows: &[Vec<Word>]| {
        let others: usize = (1..rows[0].len())
            .map(|column| 2 + rows.iter().map(|row| row[column].width()).max().unwrap_or(0))
            .sum();
        paper.width().saturating_sub(others).clamp(6, 32)
    };
    let keys = status.tenants.iter().map(|tenant| tenant.key.as_str().len()).max().unwrap_or(0);
    for title in ["TOKEN", "SECRET"] {
        let dropped = rows[0].iter().position(|cell| cell.text() == title);
        if let Some(column) = dropped.filter(|_| narrow && left(&rows) < keys.min(32)) {
            rows.iter_mut().for_each(|row| drop(row.remove(column)));
        }
    }
    let longest = left(&rows);
    for (row, tenant) in rows.iter_mut().skip(1).zip(&status.tenants) {
        row[0] = word(Ink::Plain, shortened(tenant.key.as_str(), longest));
    }
    paper.table(0, &rows);
}

/// Whose turn it is, first the one that everything waits for.
fn turn(tenant: &TenantStatus) -> String {
    let waited_for = FacetName::ALL.into_iter().find_map(|name| tenant.facet(name).waiting_for);
    // What failed waits for nobody by name, and its next step still says who can mend it.
    let mends = || worst(tenant).and_then(|(_, facet)| facet.next_step.as_ref());
    match waited_for {
        Some(who) => person(who).to_owned(),
        None => mends().map_or_else(String::new, |next| shortened(&next.who, 32)),
    }
}

/// A person, in words.
pub(super) fn person(who: WaitingFor) -> &'static str {
    match who {
        WaitingFor::Operator => "the operator",
        WaitingFor::CustomerAdmin => "the customer's administrator",
        WaitingFor::Analyst => "the analyst",
        WaitingFor::PortalAdmin => "a portal administrator",
        WaitingFor::Microsoft => "Microsoft",
        WaitingFor::Time => "nobody, it will pass",
    }
}

/// The facet that is to blame for a tenant that is not well.
pub(super) fn worst(tenant: &TenantStatus) -> Option<(FacetName, &Facet)> {
    let of = |state: State| {
        FacetName::ALL
            .into_iter()
            .map(|name| (name, tenant.facet(name)))
            .find(|(_, facet)| facet.state == state)
    };
    of(State::Failed).or_else(|| of(State::Unknown)).or_else(|| of(State::Expiring))
}

fn causes(paper: &mut Paper, status: &Status) {
    let blamed: Vec<_> = status
        .tenants
        .iter()
        .filter_map(|tenant| worst(tenant).map(|(name, facet)| (tenant, name, facet)))
        .collect();
    if blamed.is_empty() {
        return;
    }
    paper.gap();
    for (tenant, name, facet) in blamed.iter().take(CAUSES) {
        let next = facet.next_step.as_ref().map_or_else(String::new, |next| {
            format!(" {}: {}", capital(&next.who), sentence(&next.what))
        });
        paper.say(
            0,
            None,
            &format!(
                "{}: {} {}: {}{next}",
                tenant.key,
                name.as_str(),
                facet.state.as_str(),
                sentence(&facet.evidence.what)
            ),
        );
        paper.line(2, &[word(Ink::Plain, status.command("explain", tenant.key.as_str()))]);
    }
    if blamed.len() > CAUSES {
        paper.line(
            0,
            &[word(
                Ink::Dim,
                format!("… {} more: {}", blamed.len() - CAUSES, status.command("explain", "KEY")),
            )],
        );
    }
}

/// With one full stop at its end.
fn sentence(text: &str) -> String {
    format!("{}.", text.trim_end_matches('.'))
}

/// With a capital at its beginning, unless it begins with something that is written as it is: an
/// address, a subject, an id.
pub(super) fn capital(text: &str) -> String {
    let first = text.split_whitespace().next().unwrap_or_default();
    let word = first.trim_end_matches([',', '.', ':', ';']);
    if !word.chars().all(|letter| letter.is_alphabetic() || matches!(letter, '-' | '\'' | '’')) {
        return text.to_owned();
    }
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

fn heading(paper: &mut Paper, title: &str, n: usize, where_to: &str) {
    paper.gap();
    paper.say(0, Some(word(Ink::Bold, format!("{title} ({n})"))), &format!("  {where_to}"));
}

fn key_column(tenants: &[(&TenantStatus, &Facet)]) -> usize {
    tenants.iter().map(|(tenant, _)| tenant.key.as_str().len()).max().unwrap_or(0).clamp(8, 24)
}

fn waiting(status: &Status, name: FacetName, person: WaitingFor) -> Vec<(&TenantStatus, &Facet)> {
    status
        .tenants
        .iter()
        .filter(|tenant| tenant.waits(name, person))
        .map(|tenant| (tenant, tenant.facet(name)))
        .collect()
}

fn since(facet: &Facet) -> String {
    facet.since.map_or_else(String::new, |since| format!("since {}", since.strftime("%Y-%m-%d")))
}

/// Since when a facet is as it is, and how long that is: `2026-11-20 (3 days)`.
pub(super) fn since_words(status: &Status, facet: &Facet) -> Option<String> {
    let since = facet.since?;
    let days = usize::try_from(days_between(since, status.as_of)).unwrap_or(0);
    Some(format!("{} ({})", since.strftime("%Y-%m-%d"), count(days, "day")))
}

fn link_of(next: Option<&NextStep>) -> &str {
    next.and_then(|next| next.link.as_ref()).map_or("(no link yet)", |link| link.as_str())
}

/// Writes the list of tenants that the operator is waited for, under the command that goes on.
fn operator(paper: &mut Paper, status: &Status) {
    let tenants: Vec<_> = status
        .tenants
        .iter()
        .filter_map(|tenant| Some((tenant, tenant.facet(tenant.operators_turn()?))))
        .collect();
    if tenants.is_empty() {
        return;
    }
    heading(paper, "Operator", tenants.len(), &status.command("apply", ""));
    let column = key_column(&tenants);
    for (tenant, facet) in tenants.iter().take(CAUSES) {
        let key = shortened(tenant.key.as_str(), column);
        paper.line(
            2,
            &[word(Ink::Plain, format!("{key:<column$}")), word(Ink::Plain, &facet.evidence.what)],
        );
    }
    if tenants.len() > CAUSES {
        paper.line(2, &[word(Ink::Dim, format!("… {} more", tenants.len() - CAUSES))]);
    }
}

/// Writes the list of tenants whose administrator is waited for, each with its link.
pub fn consent(paper: &mut Paper, status: &Status) {
    let tenants = waiting(status, FacetName::Consent, WaitingFor::CustomerAdmin);
    if tenants.is_empty() {
        return;
    }
    heading(paper, "Consent", tenants.len(), "send these to the customers' administrators");
    let column = key_column(&tenants);
    for (tenant, facet) in &tenants {
        let key = shortened(tenant.key.as_str(), column);
        let link = link_of(facet.next_step.as_ref());
        paper.line(2, &[word(Ink::Plain, format!("{key:<column$}")), word(Ink::Plain, link)]);
    }
}

/// Writes the list of tenants whose analyst is waited for.
pub fn sign_in(paper: &mut Paper, status: &Status) {
    let tenants = waiting(status, FacetName::Token, WaitingFor::Analyst);
    if tenants.is_empty() {
        return;
    }
    heading(paper, "Sign-in", tenants.len(), "each analyst signs in once");
    let column = key_column(&tenants);
    for (tenant, facet) in &tenants {
        let key = shortened(tenant.key.as_str(), column);
        let next = facet.next_step.as_ref();
        let who = next.map_or("", |next| next.who.as_str());
        paper.line(2, &[word(Ink::Plain, format!("{key:<column$}")), word(Ink::Plain, who)]);
        for command in next.into_iter().filter_map(|next| next.command.as_ref()) {
            paper.line(2 + column + 1, &[word(Ink::Dim, command)]);
        }
    }
}

/// Writes the list of tenants that still need portal authorization, with all there is to paste.
pub fn portal(paper: &mut Paper, status: &Status) {
    let tenants: Vec<_> = status
        .tenants
        .iter()
        .filter(|tenant| tenant.needs_portal())
        .map(|tenant| (tenant, tenant.facet(FacetName::Portal)))
        .collect();
    if tenants.is_empty() {
        return;
    }
    heading(
        paper,
        "Portal authorization",
        tenants.len(),
        "Settings › Endpoints › APIs › SIEM › MSSP",
    );
    let column = key_column(&tenants);
    for (tenant, facet) in &tenants {
        let key = shortened(tenant.key.as_str(), column);
        let next = facet.next_step.as_ref();
        paper.flow(
            2,
            2 + column + 1,
            &[
                word(Ink::Plain, format!("{key:<column$}")),
                word(Ink::Plain, link_of(next)),
                word(Ink::Dim, since(facet)),
            ],
        );
        for (name, value) in next.into_iter().flat_map(|next| &next.values) {
            paper.flow(
                2 + column + 1,
                6,
                &[word(Ink::Dim, format!("{name:<18}")), word(Ink::Plain, value)],
            );
        }
    }
    paper.say(
        2,
        Some(word(Ink::Dim, "·")),
        "no call can show whether this was done; Microsoft says since 2026-09 that it belongs to the \
         deprecated SIEM API. Who has done it is recorded per tenant, and for this application id only",
    );
}

/// What came of asking people: `9 accepted, 1 declined, 2 waiting`.
pub fn consent_line(counts: ConsentCounts) -> String {
    let ConsentCounts { accepted, declined, waiting } = counts;
    let parts: Vec<_> = [(accepted, "accepted"), (declined, "declined"), (waiting, "waiting")]
        .into_iter()
        .filter(|(n, _)| *n > 0)
        .map(|(n, what)| format!("{n} {what}"))
        .collect();
    if parts.is_empty() { "nobody was asked".to_owned() } else { parts.join(", ") }
}

/// How many people were asked, by what came of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ConsentCounts {
    /// Accepted, or signed in.
    pub accepted: usize,
    /// Said no, or were refused.
    pub declined: usize,
    /// Have not answered.
    pub waiting: usize,
}

/// Writes what changed since the vault last remembered something new, which was at `latest`.
pub fn changes(paper: &mut Paper, status: &Status, changes: &[Change], latest: Option<Timestamp>) {
    let day = |at: Timestamp| at.strftime("%Y-%m-%d %H:%M").to_string();
    match (changes, latest) {
        ([], Some(latest)) => {
            paper.say(0, None, &format!("Nothing changed since {} UTC.", day(latest)));
        }
        ([], None) => paper.say(0, None, "Nothing changed: there is nothing to look at."),
        (_, Some(latest)) => {
            paper.say(
                0,
                None,
                &format!("Changed since the vault last noted a change, {} UTC", day(latest)),
            );
        }
        (_, None) => paper.say(0, None, "The vault remembers nothing yet: all is new."),
    }
    let column = changes.iter().map(|c| c.tenant.as_str().len()).max().unwrap_or(0).clamp(8, 24);
    let mut last = None;
    for Change { tenant, facet, from, to } in changes {
        let key =
            if last == Some(tenant) { String::new() } else { shortened(tenant.as_str(), column) };
        last = Some(tenant);
        let person = |who: Option<&str>| who.map_or_else(String::new, |who| format!(" ({who})"));
        let was = from.as_ref().map_or_else(
            || "new".to_owned(),
            |was| format!("{}{}", was.state, person(was.waiting_for.as_deref())),
        );
        let ink = match to.state {
            State::Ok | State::NotNeeded => Ink::Good,
            State::Waiting | State::Expiring => Ink::Wait,
            State::Failed | State::Unknown => Ink::Bad,
        };
        paper.line(
            2,
            &[
                word(Ink::Bold, format!("{key:<column$}")),
                word(Ink::Plain, format!("{}: {was} →", facet.as_str())),
                word(
                    ink,
                    format!(
                        "{}{}",
                        to.state.as_str(),
                        person(to.waiting_for.map(WaitingFor::as_str))
                    ),
                ),
            ],
        );
    }
    paper.gap();
    last_line(paper, status);
}

/// The line that every screen and report ends with.
pub fn last_line_text(status: &Status) -> String {
    let summary = status.summary();
    let mut parts = Vec::new();
    for (n, words) in [
        (summary.reading, "reading"),
        (summary.action_due, "action due"),
        (summary.not_reading, "NOT READING"),
        (summary.onboarding, "onboarding"),
        (summary.unknown, "unknown"),
    ] {
        if n > 0 {
            parts.push(format!("{n} {words}"));
        }
    }
    let mut people = Vec::new();
    for (n, words) in [
        (summary.need_admin_consent.len(), "admin consent"),
        (summary.need_sign_in.len(), "sign-in"),
        (summary.need_portal_authorization.len(), "portal authorization"),
        (summary.need_operator.len(), "the operator"),
        (summary.need_other.len(), "something else"),
    ] {
        if n > 0 {
            people.push(format!("{n} {words}"));
        }
    }
    let needs = match people.as_slice() {
        [] => "nobody is waited for".to_owned(),
        [first, rest @ ..] => {
            let verb = if first.starts_with("1 ") { "needs" } else { "need" };
            let first = first.replacen(' ', &format!(" {verb} "), 1);
            std::iter::once(first).chain(rest.iter().cloned()).collect::<Vec<_>>().join(", ")
        }
    };
    if status.tenants.is_empty() {
        return "0 tenants: nobody is waited for".to_owned();
    }
    format!("{}: {}; {needs}", count(status.tenants.len(), "tenant"), parts.join(" · "))
}

/// Writes that line.
pub fn last_line(paper: &mut Paper, status: &Status) {
    paper.say(0, None, &last_line_text(status));
}
