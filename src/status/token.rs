//! Whether a refresh token of the analyst is held and works.

use jiff::Timestamp;

use super::{
    EvidenceKind, Facet, NextStep, RefreshProof, Rotation, State, TokenProof, WaitingFor,
    consent::SIGN_IN, facets::View, refresh_death,
};
use crate::{
    lifetime::days_between,
    plan::forecast::REFRESH_DUE,
    vault::{CredentialRecord, REFRESH_TOKEN_LIVES},
};

impl View<'_> {
    /// The refresh token that the vault holds for this tenant and this app.
    fn held(&self) -> Option<&CredentialRecord> {
        self.record
            .filter(|record| record.client_id.is_some() && record.client_id == self.client())?
            .refresh_token(&self.tenant.key)
    }

    pub(super) fn token(&self) -> Facet {
        use EvidenceKind::{Observed, Proved};
        if !self.tenant.connector.needs().delegated {
            return self.facet(State::NotNeeded, Observed, "this connector acts as itself");
        }
        match self.refresh {
            Some(RefreshProof::Refreshed { user, scopes: _, rotation }) => {
                self.refreshed(user.as_deref(), rotation)
            }
            Some(RefreshProof::Refused(why)) => {
                let death = refresh_death(why);
                let what = format!("{}: {}", death.cause(), why.line());
                let Some(person) = death.waiting_for() else {
                    let what = format!("held, not proved: {what}");
                    return self.with_end(self.facet(State::Unknown, Observed, what));
                };
                let mut facet = self.facet(State::Failed, Proved, what);
                facet.waiting_for = Some(person);
                facet.next_step = Some(match person {
                    WaitingFor::CustomerAdmin => {
                        let mut step = self.by_administrator(death.cure());
                        if !death.is_cured_by_consent() {
                            step.link = None;
                        }
                        step
                    }
                    WaitingFor::Operator => {
                        NextStep { command: None, ..self.by_operator(death.cure()) }
                    }
                    WaitingFor::Analyst
                    | WaitingFor::PortalAdmin
                    | WaitingFor::Microsoft
                    | WaitingFor::Time => self.by_analyst(death.cure()),
                });
                facet
            }
            Some(RefreshProof::NoKey(why)) => self.with_end(self.facet(
                State::Unknown,
                Observed,
                format!("held, not proved: {why}"),
            )),
            Some(RefreshProof::WrongUser { found }) => {
                let wanted = self.tenant.sign_in_as.as_deref().unwrap_or("(nobody)");
                let mut facet = self.facet(
                    State::Failed,
                    Proved,
                    format!(
                        "it is one of {found}, the manifest says {wanted}; nothing was read with it"
                    ),
                );
                facet.waiting_for = Some(WaitingFor::Analyst);
                facet.next_step = Some(self.by_analyst(format!("sign in as {wanted}")));
                facet
            }
            Some(RefreshProof::TooPowerful { user, roles, scopes: _ }) => {
                let whose = user.as_deref().unwrap_or("whoever signed in");
                let mut facet = self.facet(
                    State::Failed,
                    Proved,
                    format!(
                        "{whose} holds more power there than reading takes ({}); nothing was read \
                         with it",
                        roles.join(", ")
                    ),
                );
                facet.waiting_for = Some(WaitingFor::Analyst);
                facet.next_step = Some(self.by_analyst(format!(
                    "let the customer take {} from {whose}, or sign in as a user who has only \
                     Security Reader",
                    roles.join(", ")
                )));
                facet
            }
            None => self.not_refreshed(),
        }
    }

    fn refreshed(&self, user: Option<&str>, rotation: &Rotation) -> Facet {
        let kept = self.held().and_then(|held| held.end);
        let (end, note) = match rotation {
            Rotation::Kept => {
                (self.occasion.checked_at.checked_add(REFRESH_TOKEN_LIVES).ok(), String::new())
            }
            Rotation::NotKept(why) => {
                (kept, format!("; the new one was not kept, the old one still works: {why}"))
            }
            Rotation::None => (kept, "; no new one came with the answer".to_owned()),
        };
        let whose = user.unwrap_or("somebody whom the token does not name");
        let idle = end.map_or_else(String::new, |end| {
            format!(
                ", lives {} days more unless it is used",
                days_between(self.occasion.as_of, end)
            )
        });
        let mut facet =
            self.facet(State::Ok, EvidenceKind::Proved, format!("used as {whose}{idle}{note}"));
        facet.ends = end;
        self.soon_over(facet, end)
    }

    fn not_refreshed(&self) -> Facet {
        use EvidenceKind::Observed;
        if let Some(held) = self.held() {
            let whose = held.user.as_deref().unwrap_or("somebody");
            let what = format!("one of {whose} is held; it was not tried");
            return self.with_end(self.facet(State::Unknown, Observed, what));
        }
        let none = "the vault holds no refresh token";
        match self.token {
            Some(TokenProof::Granted { .. }) => {
                let mut facet = self.waiting(WaitingFor::Analyst, Observed, none);
                facet.next_step = Some(self.by_analyst(SIGN_IN));
                facet
            }
            Some(TokenProof::Refused(_) | TokenProof::NoKey(_) | TokenProof::Damaged(_)) | None => {
                match self.consent().waiting_for {
                    Some(person) => {
                        self.waiting(person, Observed, format!("{none}; consent comes first"))
                    }
                    None => self.facet(
                        State::Unknown,
                        Observed,
                        format!("{none}; consent is not known"),
                    ),
                }
            }
        }
    }

    /// With the end that the vault remembers; past it, whatever is not known is known after all.
    fn with_end(&self, mut facet: Facet) -> Facet {
        facet.ends = self.held().and_then(|held| held.end);
        let end = facet.ends;
        self.soon_over(facet, end)
    }

    fn soon_over(&self, mut facet: Facet, end: Option<Timestamp>) -> Facet {
        let Some(end) = end else { return facet };
        if end <= self.occasion.as_of {
            facet.state = State::Failed;
            facet.evidence.kind = EvidenceKind::Observed;
            let day = end.strftime("%Y-%m-%d");
            facet.evidence.what = if end <= self.occasion.checked_at {
                format!("nobody used it for 90 days: it ended on {day}")
            } else {
                format!("unless somebody uses it before, it will have ended on {day}")
            };
            facet.waiting_for = Some(WaitingFor::Analyst);
            facet.next_step = Some(self.by_analyst("sign in once more"));
        } else if facet.state == State::Ok && end.duration_since(self.occasion.as_of) <= REFRESH_DUE
        {
            facet.state = State::Expiring;
            facet.next_step = Some(NextStep {
                command: Some(
                    self.command("tokens refresh", &format!("--tenant {}", self.tenant.key)),
                ),
                ..self.by_operator("use it, so that it lives 90 days more")
            });
        }
        facet
    }
}
