//! Whether the connector's API answers for this tenant.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::{AccessProof, EvidenceKind, Facet, FacetName, State, WaitingFor, facets::View};
use crate::failure::Cause;

/// What must be good before the call can be tried. The portal step is not among it: nothing shows
/// that the call depends on it.
const BEFORE: [FacetName; 4] =
    [FacetName::Registration, FacetName::Secret, FacetName::Consent, FacetName::Token];

impl View<'_> {
    pub(super) fn access(&self, others: &BTreeMap<FacetName, Facet>) -> Facet {
        use EvidenceKind::{Observed, Proved};
        match self.access {
            Some(AccessProof::Read { any: true, newest }) => {
                let newest = newest.map_or_else(String::new, |newest| {
                    let date = newest.strftime("%Y-%m-%d %H:%M");
                    match age(newest, self.occasion.checked_at) {
                        Some(age) => format!("; the newest is {age} old ({date})"),
                        None => format!("; the newest is dated in the future ({date})"),
                    }
                });
                self.facet(State::Ok, Proved, format!("incidents can be read{newest}"))
            }
            Some(AccessProof::Read { any: false, newest: _ }) => self.facet(
                State::Ok,
                Proved,
                "the call works; there are no incidents (200 and none)",
            ),
            Some(AccessProof::Refused(why)) => {
                let (state, kind) = if why.cause.is_an_answer() {
                    (State::Failed, Proved)
                } else {
                    (State::Unknown, Observed)
                };
                let mut facet = self.facet(state, kind, why.line());
                let forbidden = why.cause == Cause::Privilege;
                let role = self
                    .tenant
                    .sign_in_as
                    .as_deref()
                    .filter(|_| forbidden && self.tenant.connector.needs().delegated);
                let roleless = role.map(|analyst| {
                    format!(
                        "give {analyst} the role Security Reader in {}'s directory: the call reads \
                         what the analyst may read",
                        self.tenant.name
                    )
                });
                // Advice for the operator's own calls to Graph is of no use in a customer's Defender.
                let own = why.code.as_deref() == Some("Authorization_RequestDenied");
                let hint = why.hint.clone().filter(|_| !own);
                facet.next_step = hint.or(roleless).map(|what| {
                    let mut step = self.by_administrator(what);
                    (step.link, step.values) = (None, BTreeMap::new());
                    step.command = Some(self.command("explain", self.tenant.key.as_str()));
                    // Forbidden with a token that is taken is theirs to allow; any other no may be
                    // of our own making.
                    if !forbidden || why.status != Some(403) {
                        step.who = format!("the operator or {}", step.who);
                    }
                    step
                });
                facet
            }
            None => {
                // Not tried: it waits for what failed, for that is known, or else for what comes
                // first.
                let before = || BEFORE.into_iter().filter_map(|name| others.get(&name));
                let first = before().find(|facet| facet.state == State::Failed).or_else(|| {
                    before().find(|facet| {
                        !matches!(facet.state, State::Ok | State::NotNeeded | State::Expiring)
                    })
                });
                let waits = |person, what: &str| self.waiting(person, Observed, what);
                match first.map(|facet| (facet.state, facet.waiting_for)) {
                    Some((State::Waiting, Some(person))) => {
                        waits(person, "not tried: something else comes first")
                    }
                    Some((State::Failed, person)) => waits(
                        person.unwrap_or(WaitingFor::Operator),
                        "not tried: something else failed",
                    ),
                    Some(_) | None => self.facet(State::Unknown, Observed, "not tried"),
                }
            }
        }
    }
}

/// How far clocks may be apart without a word about it.
const CLOCKS: SignedDuration = SignedDuration::from_mins(5);

/// How old something is, in the unit that fits: `3 h`, `12 d`; nothing where it is of the future.
fn age(then: Timestamp, now: Timestamp) -> Option<String> {
    let old = now.duration_since(then);
    if old < -CLOCKS {
        return None;
    }
    let old = old.max(SignedDuration::ZERO);
    Some(match (old.as_mins(), old.as_hours()) {
        (mins, 0) => format!("{mins} min"),
        (_, hours @ 1..48) => format!("{hours} h"),
        (_, hours) => format!("{} d", hours / 24),
    })
}
