//! The tenant as a whole, from its facets.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Facet, FacetName, State};

/// A tenant in one word; the order is worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Overall {
    /// It was reading and is not, or all else is good and the call is refused.
    NotReading,
    /// It could not be found out.
    Unknown,
    /// Not yet, and it is somebody's turn.
    Onboarding,
    /// Reading, but something expires or waits.
    ActionDue,
    /// Reading, and nothing is left to do.
    Reading,
}

impl Overall {
    /// The stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotReading => "not-reading",
            Self::Unknown => "unknown",
            Self::Onboarding => "onboarding",
            Self::ActionDue => "action-due",
            Self::Reading => "reading",
        }
    }

    /// Derives it. `was_reading`: incidents could be read at some time before.
    pub(super) fn of(facets: &BTreeMap<FacetName, Facet>, was_reading: bool) -> Self {
        let state = |name: FacetName| facets[&name].state;
        let others = || FacetName::ALL.into_iter().filter(|n| *n != FacetName::Access).map(state);
        let good = |state| matches!(state, State::Ok | State::NotNeeded | State::Expiring);
        // What is known to have failed weighs more than what could not be asked because of it.
        let failed = [FacetName::Consent, FacetName::Secret, FacetName::Token]
            .into_iter()
            .any(|name| state(name) == State::Failed);
        match state(FacetName::Access) {
            State::Ok => {
                if others().all(|state| matches!(state, State::Ok | State::NotNeeded)) {
                    Self::Reading
                } else {
                    Self::ActionDue
                }
            }
            State::Unknown if was_reading && failed => Self::NotReading,
            State::Unknown => Self::Unknown,
            State::Failed if was_reading || others().all(good) => Self::NotReading,
            State::Waiting if was_reading => Self::NotReading,
            State::Failed | State::Waiting | State::Expiring | State::NotNeeded => {
                if !failed && others().any(|state| state == State::Unknown) {
                    Self::Unknown
                } else {
                    Self::Onboarding
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{Evidence, EvidenceKind};

    fn facets(states: [State; 6]) -> BTreeMap<FacetName, Facet> {
        let at = jiff::Timestamp::UNIX_EPOCH;
        FacetName::ALL
            .into_iter()
            .zip(states)
            .map(|(name, state)| {
                let evidence = Evidence { kind: EvidenceKind::Observed, at, what: String::new() };
                let facet = Facet {
                    state,
                    waiting_for: None,
                    evidence,
                    checked_at: at,
                    since: None,
                    next_step: None,
                    ends: None,
                };
                (name, facet)
            })
            .collect()
    }

    #[test]
    fn the_whole_follows_from_the_parts() {
        use State::{Expiring, Failed, NotNeeded, Ok, Unknown, Waiting};
        let good = [Ok, Ok, Ok, NotNeeded, NotNeeded];
        let of = |parts: [State; 5], access, was| {
            let [a, b, c, d, e] = parts;
            Overall::of(&facets([a, b, c, d, e, access]), was)
        };
        assert_eq!(of(good, Ok, true), Overall::Reading);
        assert_eq!(of([Ok, Expiring, Ok, NotNeeded, NotNeeded], Ok, true), Overall::ActionDue);
        assert_eq!(of([Ok, Ok, Ok, Ok, Waiting], Ok, false), Overall::ActionDue);
        assert_eq!(of(good, Failed, false), Overall::NotReading);
        assert_eq!(of(good, Unknown, true), Overall::Unknown);
        let waiting = [Ok, Waiting, Waiting, NotNeeded, NotNeeded];
        assert_eq!(of(waiting, Waiting, false), Overall::Onboarding);
        assert_eq!(of(waiting, Waiting, true), Overall::NotReading);
        let hidden = [Unknown, Waiting, Waiting, NotNeeded, NotNeeded];
        assert_eq!(of(hidden, Waiting, false), Overall::Unknown);
        let disabled = [Ok, Unknown, Failed, NotNeeded, NotNeeded];
        assert_eq!(of(disabled, Unknown, true), Overall::NotReading);
        assert_eq!(of(disabled, Unknown, false), Overall::Unknown);
        assert_eq!(of(disabled, Waiting, false), Overall::Onboarding);
    }
}
