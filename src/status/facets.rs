//! How each facet of a tenant is found.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{
    AccessProof, Asked, Evidence, EvidenceKind, Facet, FacetName, NextStep, Occasion, Overall,
    RefreshProof, State, TenantStatus, TokenProof, WaitingFor,
};
use crate::{
    cloud::Cloud,
    connector::PortalAuthorization,
    failure::Failure,
    ids::{ClientId, TenantId},
    inventory::FoundApp,
    lifetime::days_between,
    manifest::{App, Credential, Tenant},
    plan::{
        AppPlan, TenantPlan,
        diagnostic::{Code, Diagnostic, Severity},
        foreign::{Theirs, named},
        kinds,
        manual::{self, Manual, ManualKind},
        secrets,
        step::{Step, Target},
    },
    vault::{CredentialKind, CredentialRecord, Record, TenantRecord},
};

/// All that is known of one tenant.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) tenant: &'a Tenant,
    pub(super) app: &'a App,
    pub(super) app_plan: &'a AppPlan,
    pub(super) planned: &'a TenantPlan,
    pub(super) record: Option<&'a Record>,
    pub(super) found: Option<&'a FoundApp>,
    pub(super) token: Option<&'a TokenProof>,
    pub(super) refresh: Option<&'a RefreshProof>,
    pub(super) access: Option<&'a AccessProof>,
    pub(super) cloud: &'a Cloud,
    pub(super) home: TenantId,
    pub(super) occasion: &'a Occasion,
}

/// What a refused token request says of consent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The app is not known in that directory: nobody consented.
    NotConsented,
    /// The API is not known there, or the app was granted nothing of it.
    NoSuchApi,
    /// The app was switched off there.
    Disabled,
    /// The secret is not the app's, or not yet.
    WrongSecret,
    /// The secret has ended.
    Expired,
    /// The token of an issuer is not of one that the app trusts, or has ended.
    Distrusted,
    /// Something else, or nobody answered.
    Other,
}

/// Reads a refusal by its code
/// (<https://learn.microsoft.com/en-us/entra/identity-platform/reference-error-codes>).
pub fn refusal(failure: &Failure) -> Refusal {
    match failure.code.as_deref() {
        Some("AADSTS7000229" | "AADSTS700016") => Refusal::NotConsented,
        Some("AADSTS500011" | "AADSTS650052" | "AADSTS65001") => Refusal::NoSuchApi,
        Some("AADSTS7000112") => Refusal::Disabled,
        Some("AADSTS7000215" | "AADSTS700027") => Refusal::WrongSecret,
        Some("AADSTS7000222") => Refusal::Expired,
        Some("AADSTS70021" | "AADSTS700211" | "AADSTS700212" | "AADSTS700213" | "AADSTS700024") => {
            Refusal::Distrusted
        }
        Some(_) | None => Refusal::Other,
    }
}

impl View<'_> {
    pub(super) fn status(&self) -> TenantStatus {
        let secret = self.secret();
        // What was asked today says nothing of a day on which there is nothing to ask with.
        let then = match self.has_ended(&secret) {
            true => View { token: None, refresh: None, access: None, ..*self },
            false => *self,
        };
        let token = then.token();
        let then = match self.has_ended(&token) {
            true => View { refresh: None, access: None, ..then },
            false => then,
        };
        let consent = then.consent();
        let was_whole = self.was_whole(&secret);
        let mut facets = BTreeMap::from([
            (FacetName::Registration, self.registration()),
            (FacetName::Secret, secret),
            (FacetName::Consent, consent),
            (FacetName::Token, token),
            (FacetName::Portal, self.portal()),
        ]);
        let access = then.access(&facets);
        if let (State::Ok, Some(portal)) = (access.state, facets.get_mut(&FacetName::Portal))
            && self.tenant.portal == PortalAuthorization::Required
        {
            // A note, and nothing more: no call proves the portal step, and none un-proves it.
            portal.evidence.what.push_str("; incidents can already be read");
        }
        facets.insert(FacetName::Access, access);
        let remembered = self.remembered();
        for (name, facet) in &mut facets {
            let last = remembered.and_then(|tenant| tenant.facets.get(name.as_str()));
            facet.since = last
                .filter(|last| {
                    last.state == facet.state.as_str()
                        && last.waiting_for.as_deref() == facet.waiting_for.map(WaitingFor::as_str)
                })
                .map(|last| last.since);
        }
        let last_good = remembered.and_then(|tenant| tenant.last_good);
        TenantStatus {
            key: self.tenant.key.clone(),
            name: self.tenant.name.clone(),
            tenant_id: self.planned.directory,
            client_id: self.app_plan.target.client_id(),
            connector: self.tenant.connector,
            overall: Overall::of(&facets, was_whole || last_good.is_some()),
            facets,
            last_good,
            asked: Asked {
                app_name: self.app.display_name.clone(),
                permissions: self.app.permissions.clone(),
                landing: self.tenant.consent.redirect_uri.as_ref().map(ToString::to_string),
                sign_in_as: self.tenant.sign_in_as.clone(),
            },
        }
    }

    /// Whether what it is of has ended by the day that is asked about.
    fn has_ended(&self, facet: &Facet) -> bool {
        facet.state == State::Failed && facet.ends.is_some_and(|end| end <= self.occasion.as_of)
    }

    /// Whether the call is known to have been made, though nothing may have come of it: it was read
    /// today, or all that it takes was there before the secret ended.
    fn was_whole(&self, secret: &Facet) -> bool {
        let read = matches!(self.access, Some(AccessProof::Read { .. }));
        let waits =
            self.planned.manual.iter().any(|manual| manual.kind != ManualKind::AdminConsent);
        read || (self.has_ended(secret) && self.consent_since().is_some() && !waits)
    }

    /// The client id that people's words are for: the directory's, and the vault's where the
    /// directory could not be read.
    pub(super) fn client(&self) -> Option<ClientId> {
        match self.app_plan.target {
            Target::Unknown => self.record.and_then(|record| record.client_id),
            Target::Existing { client_id, .. } | Target::Deleted { client_id, .. } => {
                Some(client_id)
            }
            Target::Absent => None,
        }
    }

    pub(super) fn remembered(&self) -> Option<&TenantRecord> {
        self.record?.tenants.get(&self.tenant.key)
    }

    pub(super) fn facet(&self, state: State, kind: EvidenceKind, what: impl Into<String>) -> Facet {
        Facet {
            state,
            waiting_for: None,
            evidence: Evidence { kind, at: self.occasion.checked_at, what: what.into() },
            checked_at: self.occasion.checked_at,
            since: None,
            next_step: None,
            ends: None,
        }
    }

    pub(super) fn waiting(
        &self,
        person: WaitingFor,
        kind: EvidenceKind,
        what: impl Into<String>,
    ) -> Facet {
        Facet { waiting_for: Some(person), ..self.facet(State::Waiting, kind, what) }
    }

    /// What stands in the way of the app or the tenant, if something does.
    pub(super) fn obstacle(&self) -> Option<&Diagnostic> {
        self.planned
            .diagnostics
            .iter()
            .chain(&self.app_plan.diagnostics)
            .find(|d| d.severity == Severity::Error)
    }

    /// A command about the same fleet.
    pub(super) fn command(&self, verb: &str, rest: &str) -> String {
        super::command(&self.occasion.place, verb, rest)
    }

    pub(super) fn by_operator(&self, what: impl Into<String>) -> NextStep {
        NextStep {
            who: "the operator".to_owned(),
            what: what.into(),
            link: None,
            values: BTreeMap::new(),
            command: Some(self.command("apply", &format!("--tenant {}", self.tenant.key))),
        }
    }

    /// That the plan sees it offboarded, though the manifest names it.
    fn offboarded(&self) -> Option<&Diagnostic> {
        self.app_plan.diagnostics.iter().find(|said| said.code == Code::StillInManifest)
    }

    /// With a note of what others put on the app: it is as it should be, and not ours alone.
    fn registration(&self) -> Facet {
        let mut facet = self.registered();
        let theirs = Theirs::on(&self.app_plan.foreign);
        if !theirs.is_empty() {
            let note = format!("; not ours on it: {}", named(&theirs));
            facet.evidence.what.push_str(&note);
        }
        facet
    }

    fn registered(&self) -> Facet {
        use EvidenceKind::Observed;
        if matches!(self.app_plan.target, Target::Unknown)
            && let Some(why) = self.obstacle()
        {
            return self.facet(State::Unknown, Observed, why.summary.clone());
        }
        if let Some(why) = self.obstacle() {
            let mut facet = self.facet(State::Failed, Observed, why.summary.clone());
            facet.next_step = Some(NextStep {
                command: Some(self.command("plan", &format!("--tenant {}", self.tenant.key))),
                ..self.by_operator(why.hint.clone().unwrap_or_else(|| why.summary.clone()))
            });
            return facet;
        }
        let differs = self.app_plan.steps.iter().any(|step| match step {
            Step::RestoreApplication { .. }
            | Step::CreateApplication { .. }
            | Step::PatchApplication { .. }
            | Step::AddOwner { .. } => true,
            Step::RemoveSecret { .. }
            | Step::AddSecret { .. }
            | Step::RemoveCertificate { .. }
            | Step::AddCertificate { .. }
            | Step::AddFederated { .. }
            | Step::UpdateFederated { .. }
            | Step::RemoveFederated { .. } => false,
        });
        match self.app_plan.target {
            Target::Absent => {
                let mut facet =
                    self.waiting(WaitingFor::Operator, Observed, "the app does not exist yet");
                facet.next_step = Some(self.by_operator("create the app"));
                facet
            }
            Target::Deleted { .. } => {
                let (why, what) = match self.offboarded() {
                    Some(said) => (
                        said.summary.as_str(),
                        "take it out of the manifest, or apply onboards it again",
                    ),
                    None => ("the app was deleted", "restore the app"),
                };
                let mut facet = self.waiting(WaitingFor::Operator, Observed, why);
                facet.next_step = Some(self.by_operator(what));
                facet
            }
            Target::Existing { .. } if differs => {
                let mut facet = self.waiting(
                    WaitingFor::Operator,
                    Observed,
                    "the app differs from the manifest",
                );
                facet.next_step = Some(self.by_operator("bring the app to what the manifest says"));
                facet
            }
            Target::Existing { .. } => {
                self.facet(State::Ok, Observed, "the app is as the manifest says")
            }
            Target::Unknown => self.facet(State::Unknown, Observed, "the app could not be read"),
        }
    }

    /// The credential that a SIEM would be given, where there is one. Of a day ahead it is the one
    /// that takes its place, where one is there already.
    fn live(&self) -> Option<&CredentialRecord> {
        let at = |moment| secrets::serving(self.found, self.record, moment);
        let now = at(self.occasion.checked_at);
        let lives = |held: &&CredentialRecord| held.end.is_none_or(|end| end > self.occasion.as_of);
        now.filter(lives).or_else(|| at(self.occasion.as_of)).or(now)
    }

    /// Whether it still lives on the day that is asked about.
    pub(super) fn has_live(&self) -> bool {
        self.live().is_some_and(|held| held.end.is_none_or(|end| end > self.occasion.as_of))
    }

    /// It has ended: the operator's turn, whoever else was waited for.
    fn ended(&self, end: Timestamp, word: &str) -> Facet {
        let when =
            if end <= self.occasion.checked_at { "it has ended" } else { "it will have ended" };
        let what = format!("{when} on {}", end.strftime("%Y-%m-%d"));
        Facet {
            waiting_for: Some(WaitingFor::Operator),
            next_step: Some(self.by_operator(format!("make a {word} in its place"))),
            ends: Some(end),
            ..self.facet(State::Failed, EvidenceKind::Observed, what)
        }
    }

    fn secret(&self) -> Facet {
        use EvidenceKind::{Observed, Proved};
        let kind = match &self.app.credential {
            Credential::Secret => CredentialKind::Secret,
            Credential::Certificate => CredentialKind::Certificate,
            Credential::Federated(trusted) => return self.trusts(trusted),
        };
        let word = kinds::word(kind);
        if matches!(self.app_plan.target, Target::Unknown) {
            return self.facet(State::Unknown, Observed, "the app could not be read");
        }
        let Some(live) = self.live() else {
            let blocked = self.app_plan.is_blocked();
            if let Some(why) = self.obstacle().filter(|_| blocked) {
                return self.facet(State::Failed, Observed, why.summary.clone());
            }
            // One that has ended is no secret that was never made: its customers are read no more.
            let ended = self
                .record
                .filter(|record| record.client_id == self.app_plan.target.client_id())
                .into_iter()
                .flat_map(Record::own)
                .filter(|credential| credential.state.has_value())
                .filter_map(|credential| credential.end)
                .filter(|end| *end <= self.occasion.checked_at)
                .max();
            if let Some(end) = ended {
                return self.ended(end, word);
            }
            let what = format!("the vault holds no live {word} for this app");
            let mut facet = self.waiting(WaitingFor::Operator, Observed, what);
            facet.next_step = Some(self.by_operator(format!("make a {word}")));
            return facet;
        };
        let days = live.end.map_or(0, |end| days_between(self.occasion.as_of, end));
        let ends = live.end.map_or_else(String::new, |end| {
            format!("ends {} ({days} days)", end.strftime("%Y-%m-%d"))
        });
        // A refresh brings the secret along: Entra ID looks at it before the refresh token.
        let by_refresh = match self.refresh {
            Some(
                RefreshProof::Refreshed { .. }
                | RefreshProof::WrongUser { .. }
                | RefreshProof::TooPowerful { .. },
            ) => true,
            Some(RefreshProof::Refused(_) | RefreshProof::NoKey(_)) | None => false,
        };
        let accepted = || {
            self.facet(State::Ok, Proved, format!("accepted in the customer's directory; {ends}"))
        };
        let mut facet = match self.token {
            Some(TokenProof::Granted { .. }) => accepted(),
            Some(TokenProof::Refused(_) | TokenProof::NoKey(_) | TokenProof::Damaged(_)) | None
                if by_refresh =>
            {
                accepted()
            }
            Some(TokenProof::Refused(why)) => match refusal(why) {
                Refusal::NotConsented => self.waiting(
                    WaitingFor::CustomerAdmin,
                    Observed,
                    format!("stored, provable after consent; {ends}"),
                ),
                Refusal::WrongSecret | Refusal::Expired => {
                    let mut facet =
                        self.facet(State::Failed, Proved, format!("refused: {}", why.line()));
                    facet.next_step = Some(self.by_operator(
                        "look at the app's credentials in Entra ID: the one in the vault is not taken",
                    ));
                    facet
                }
                Refusal::NoSuchApi | Refusal::Disabled | Refusal::Distrusted | Refusal::Other => {
                    self.facet(
                        State::Unknown,
                        Observed,
                        format!("stored, not proved: {}; {ends}", why.line()),
                    )
                }
            },
            Some(TokenProof::NoKey(why)) => {
                self.facet(State::Unknown, Observed, format!("stored, not proved: {why}; {ends}"))
            }
            Some(TokenProof::Damaged(why)) => {
                let mut facet = self.facet(State::Unknown, Observed, format!("{why}; {ends}"));
                facet.next_step = Some(NextStep {
                    command: None,
                    ..self.by_operator(
                        "bring back into the vault what the evidence names; where that is lost, \
                         remove the credential from the app, and apply makes its successor",
                    )
                });
                facet
            }
            None => self.facet(State::Unknown, Observed, format!("stored, not proved; {ends}")),
        };
        if live.kind != kind && facet.state == State::Ok {
            facet.state = State::Waiting;
            facet.waiting_for = Some(WaitingFor::Operator);
            let what = format!(
                "it is a {} still, and the manifest wants a {word}; ",
                kinds::word(live.kind)
            );
            facet.evidence.what.insert_str(0, &what);
            facet.next_step =
                Some(self.by_operator(format!("make a {word}, or see why it is not accepted")));
        }
        facet.ends = live.end;
        if let Some((start, end)) = live.start.zip(live.end) {
            let command = self.by_operator("make its successor");
            if end <= self.occasion.as_of {
                return self.ended(end, word);
            }
            if secrets::renewal_starts(&self.app.secret, start, end) <= self.occasion.as_of
                && matches!(facet.state, State::Ok | State::Waiting | State::Unknown)
            {
                facet.state = State::Expiring;
                facet.next_step = Some(command);
            }
        }
        facet
    }

    pub(super) fn step(&self, manual: Manual, what: impl Into<String>) -> NextStep {
        let Manual { kind, who, link, values, since: _ } = manual;
        let key = &self.tenant.key;
        let command = match kind {
            ManualKind::AdminConsent | ManualKind::Removal => None,
            ManualKind::SignIn => Some(self.command("consent", key.as_str())),
            ManualKind::PortalAuthorization => {
                // Where the vault knows another app, it must not be that one that is recorded.
                let typed = self
                    .app_plan
                    .target
                    .client_id()
                    .filter(|client| self.record.and_then(|r| r.client_id) != Some(*client))
                    .map_or_else(String::new, |client| format!(" --client-id {client}"));
                Some(self.command("attest", &format!("{key} --by NAME --ticket ID{typed}")))
            }
        };
        NextStep { who, what: what.into(), link, values, command }
    }

    pub(super) fn by_administrator(&self, what: impl Into<String>) -> NextStep {
        let client = self.app_plan.target.client_id();
        let directory = self.planned.directory;
        self.step(manual::admin_consent(self.cloud, self.tenant, directory, client), what)
    }

    pub(super) fn by_analyst(&self, what: impl Into<String>) -> NextStep {
        self.step(manual::sign_in(self.tenant), what)
    }
}
