//! The credential of an app that has none of its own: whether it trusts whom it shall, and whether
//! a token of theirs was taken.

use super::{
    EvidenceKind, Facet, NextStep, RefreshProof, State, TokenProof, WaitingFor,
    facets::{Refusal, View, refusal},
};
use crate::{
    manifest::Credential,
    plan::step::{Step, Target},
    registration::Federated,
};

impl View<'_> {
    /// Nothing of it ends, and nothing of it is stored: only where an issuer gives a token can it
    /// be proved.
    pub(super) fn trusts(&self, trusted: &[Federated]) -> Facet {
        use EvidenceKind::{Observed, Proved};
        match self.app_plan.target {
            Target::Unknown => {
                return self.facet(State::Unknown, Observed, "the app could not be read");
            }
            Target::Absent | Target::Existing { .. } | Target::Deleted { .. } => {}
        }
        if let Some(why) = self.obstacle() {
            return self.facet(State::Failed, Observed, why.summary.clone());
        }
        let lacks = self.app_plan.steps.iter().any(|step| match step {
            Step::AddFederated { .. }
            | Step::UpdateFederated { .. }
            | Step::CreateApplication { .. }
            | Step::RestoreApplication { .. } => true,
            Step::PatchApplication { .. }
            | Step::AddSecret { .. }
            | Step::RemoveSecret { .. }
            | Step::AddCertificate { .. }
            | Step::RemoveCertificate { .. }
            | Step::RemoveFederated { .. }
            | Step::AddOwner { .. } => false,
        });
        if lacks {
            let mut facet = self.waiting(
                WaitingFor::Operator,
                Observed,
                "the app does not trust all of the manifest's issuers yet",
            );
            facet.next_step = Some(self.by_operator("let the app trust them"));
            return facet;
        }
        let accepted = || {
            let what =
                "a token of its issuer was accepted in the customer's directory; nothing ends";
            self.facet(State::Ok, Proved, what)
        };
        // A refresh shows the same token, and Entra ID looks at it first.
        match (self.token, self.refresh) {
            (Some(TokenProof::Granted { .. }), _)
            | (
                _,
                Some(
                    RefreshProof::Refreshed { .. }
                    | RefreshProof::WrongUser { .. }
                    | RefreshProof::TooPowerful { .. },
                ),
            ) => accepted(),
            (Some(TokenProof::Refused(why)), _) => match refusal(why) {
                Refusal::NotConsented => self.waiting(
                    WaitingFor::CustomerAdmin,
                    Observed,
                    "its issuers are trusted, provable after consent",
                ),
                Refusal::Distrusted => {
                    let mut facet =
                        self.facet(State::Failed, Proved, format!("refused: {}", why.line()));
                    facet.next_step = Some(self.by_operator(
                        "compare issuer, subject and audience of the manifest with what the token \
                         names",
                    ));
                    facet
                }
                Refusal::NoSuchApi
                | Refusal::Disabled
                | Refusal::WrongSecret
                | Refusal::Expired
                | Refusal::Other => self.facet(
                    State::Unknown,
                    Observed,
                    format!("its issuers are trusted, not proved: {}", why.line()),
                ),
            },
            (Some(TokenProof::NoKey(why) | TokenProof::Damaged(why)), _) => {
                let mut facet = self.facet(
                    State::Unknown,
                    Observed,
                    format!("its issuers are trusted, not provable here: {why}"),
                );
                facet.next_step = Some(self.by_issuer(trusted));
                facet
            }
            (None, _) => {
                self.facet(State::Unknown, Observed, "its issuers are trusted, not proved")
            }
        }
    }

    /// Whether the app has no credential of its own.
    pub(super) fn trusts_issuers(&self) -> bool {
        match &self.app.credential {
            Credential::Federated(_) => true,
            Credential::Secret | Credential::Certificate => false,
        }
    }

    /// Only a job of an issuer can prove it.
    fn by_issuer(&self, trusted: &[Federated]) -> NextStep {
        let subjects: Vec<_> = trusted.iter().map(|one| one.subject.as_str()).collect();
        NextStep {
            who: subjects.join(" or "),
            command: Some(self.command("status", &format!("--tenant {}", self.tenant.key))),
            ..self
                .by_operator("run it there: only where an issuer gives a token can this be proved")
        }
    }
}
