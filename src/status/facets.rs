//! How each facet of a tenant is found.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{
    AccessProof, Evidence, EvidenceKind, Facet, FacetName, NextStep, Overall, RefreshProof, State,
    TenantStatus, TokenProof, WaitingFor, refresh_death,
};
use crate::{
    cloud::Cloud,
    connector::PortalAuthorization,
    failure::{Cause, Failure},
    ids::TenantId,
    inventory::FoundApp,
    lifetime::days_between,
    manifest::{App, NamedPermission, Tenant},
    plan::{
        AppPlan, TenantPlan,
        diagnostic::{Diagnostic, Severity},
        manual::{self, Manual},
        secrets,
        step::{Step, Target},
    },
    registration::PermissionKind,
    vault::{AttestedOutcome, CredentialRecord, Record, TenantRecord},
};

/// All that is known of one tenant.
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
    pub(super) checked_at: Timestamp,
    pub(super) as_of: Timestamp,
}

/// What a refused token request says of consent.
enum Refusal {
    /// The app is not known in that directory: nobody consented.
    NotConsented,
    /// The app was switched off there.
    Disabled,
    /// The secret is not the app's, or not yet.
    WrongSecret,
    /// The secret has ended.
    Expired,
    /// Something else, or nobody answered.
    Other,
}

/// Codes: <https://learn.microsoft.com/en-us/entra/identity-platform/reference-error-codes>.
fn refusal(failure: &Failure) -> Refusal {
    match failure.code.as_deref() {
        Some("AADSTS7000229" | "AADSTS700016") => Refusal::NotConsented,
        Some("AADSTS7000112") => Refusal::Disabled,
        Some("AADSTS7000215") => Refusal::WrongSecret,
        Some("AADSTS7000222") => Refusal::Expired,
        Some(_) | None => Refusal::Other,
    }
}

impl View<'_> {
    pub(super) fn status(&self) -> TenantStatus {
        let mut facets = BTreeMap::from([
            (FacetName::Registration, self.registration()),
            (FacetName::Secret, self.secret()),
            (FacetName::Consent, self.consent()),
            (FacetName::Token, self.token()),
            (FacetName::Portal, self.portal()),
        ]);
        let access = self.access(&facets);
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
            overall: Overall::of(&facets, last_good.is_some()),
            facets,
            last_good,
        }
    }

    fn remembered(&self) -> Option<&TenantRecord> {
        self.record?.tenants.get(&self.tenant.key)
    }

    fn facet(&self, state: State, kind: EvidenceKind, what: impl Into<String>) -> Facet {
        Facet {
            state,
            waiting_for: None,
            evidence: Evidence { kind, at: self.checked_at, what: what.into() },
            checked_at: self.checked_at,
            since: None,
            next_step: None,
            ends: None,
        }
    }

    fn waiting(&self, person: WaitingFor, kind: EvidenceKind, what: impl Into<String>) -> Facet {
        Facet { waiting_for: Some(person), ..self.facet(State::Waiting, kind, what) }
    }

    /// What stands in the way of the app or the tenant, if something does.
    fn obstacle(&self) -> Option<&Diagnostic> {
        self.planned
            .diagnostics
            .iter()
            .chain(&self.app_plan.diagnostics)
            .find(|d| d.severity == Severity::Error)
    }

    fn by_operator(&self, what: impl Into<String>) -> NextStep {
        NextStep {
            who: "the operator".to_owned(),
            what: what.into(),
            link: None,
            values: BTreeMap::new(),
            command: Some(format!("tenantry apply --tenant {}", self.tenant.key)),
        }
    }

    fn registration(&self) -> Facet {
        use EvidenceKind::Observed;
        if matches!(self.app_plan.target, Target::Unknown)
            && let Some(why) = self.obstacle()
        {
            return self.facet(State::Unknown, Observed, why.summary.clone());
        }
        if let Some(why) = self.obstacle() {
            let mut facet = self.facet(State::Failed, Observed, why.summary.clone());
            facet.next_step = Some(NextStep {
                command: Some(format!("tenantry plan --tenant {}", self.tenant.key)),
                ..self.by_operator(why.hint.clone().unwrap_or_else(|| why.summary.clone()))
            });
            return facet;
        }
        let differs = self.app_plan.steps.iter().any(|step| match step {
            Step::RestoreApplication { .. }
            | Step::CreateApplication { .. }
            | Step::PatchApplication { .. } => true,
            Step::RemoveSecret { .. } | Step::AddSecret { .. } => false,
        });
        match self.app_plan.target {
            Target::Absent => {
                let mut facet =
                    self.waiting(WaitingFor::Operator, Observed, "the app does not exist yet");
                facet.next_step = Some(self.by_operator("create the app"));
                facet
            }
            Target::Deleted { .. } => {
                let mut facet = self.waiting(WaitingFor::Operator, Observed, "the app was deleted");
                facet.next_step = Some(self.by_operator("restore the app"));
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

    /// The credential that a SIEM would be given, where there is one.
    fn live(&self) -> Option<&CredentialRecord> {
        let found = self.found.map_or(&[][..], |app| app.secrets.as_slice());
        secrets::newest_live(found, self.record, self.checked_at)
    }

    fn secret(&self) -> Facet {
        use EvidenceKind::{Observed, Proved};
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
                .flat_map(|record| record.secrets())
                .filter(|credential| credential.state.has_value())
                .filter_map(|credential| credential.end)
                .filter(|end| *end <= self.checked_at)
                .max();
            let mut facet = match ended {
                Some(end) => self.facet(
                    State::Failed,
                    Observed,
                    format!("it has ended on {}", end.strftime("%Y-%m-%d")),
                ),
                None => self.waiting(
                    WaitingFor::Operator,
                    Observed,
                    "the vault holds no live secret for this app",
                ),
            };
            facet.next_step = Some(self.by_operator("make a secret"));
            return facet;
        };
        let days = live.end.map_or(0, |end| days_between(self.as_of, end));
        let ends = live.end.map_or_else(String::new, |end| {
            format!("ends {} ({days} days)", end.strftime("%Y-%m-%d"))
        });
        let mut facet = match self.token {
            Some(TokenProof::Granted { .. }) => self.facet(
                State::Ok,
                Proved,
                format!("accepted in the customer's directory; {ends}"),
            ),
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
                Refusal::Disabled | Refusal::Other => self.facet(
                    State::Unknown,
                    Observed,
                    format!("stored, not proved: {}; {ends}", why.line()),
                ),
            },
            Some(TokenProof::NoKey(why)) => {
                self.facet(State::Unknown, Observed, format!("stored, not proved: {why}; {ends}"))
            }
            None => self.facet(State::Unknown, Observed, format!("stored, not proved; {ends}")),
        };
        facet.ends = live.end;
        if let Some((start, end)) = live.start.zip(live.end) {
            let command = self.by_operator("make its successor");
            if end <= self.as_of {
                facet.state = State::Failed;
                facet.evidence.what = format!("it has ended on {}", end.strftime("%Y-%m-%d"));
                facet.next_step = Some(command);
            } else if secrets::renewal_starts(&self.app.secret, start, end) <= self.as_of
                && matches!(facet.state, State::Ok | State::Waiting | State::Unknown)
            {
                facet.state = State::Expiring;
                facet.next_step = Some(command);
            }
        }
        facet
    }

    /// The application permissions that the token of the connector's API must carry.
    fn needed_roles(&self) -> Vec<&str> {
        self.roles().filter(|p| self.is_judged(p)).map(|p| p.name.as_str()).collect()
    }

    /// Those of other APIs, for which no token is asked.
    fn unasked_roles(&self) -> Vec<&str> {
        self.roles().filter(|p| !self.is_judged(p)).map(|p| p.name.as_str()).collect()
    }

    fn roles(&self) -> impl Iterator<Item = &NamedPermission> {
        self.app.permissions.iter().filter(|p| p.kind == PermissionKind::Application)
    }

    fn is_judged(&self, permission: &NamedPermission) -> bool {
        self.tenant.connector.needs().judges(permission.resource)
    }

    fn by_administrator(&self) -> NextStep {
        let manual = manual::admin_consent(
            self.cloud,
            self.tenant,
            self.planned.directory,
            self.app_plan.target.client_id(),
        );
        step_of(manual, "open the link and accept what the app asks for")
    }

    fn consent(&self) -> Facet {
        use EvidenceKind::{Observed, Proved};
        if matches!(self.app_plan.target, Target::Unknown) {
            return self.facet(State::Unknown, Observed, "the app could not be read");
        }
        if !matches!(self.app_plan.target, Target::Existing { .. }) {
            return self.waiting(
                WaitingFor::Operator,
                Observed,
                "there is no app to consent to yet",
            );
        }
        let ask = |facet: Facet| Facet { next_step: Some(self.by_administrator()), ..facet };
        match self.token {
            Some(TokenProof::Granted { roles, refused: _ }) => {
                if self.tenant.connector.needs().delegated {
                    let mut facet = self.waiting(
                        WaitingFor::Analyst,
                        Observed,
                        "the app is known in the customer's directory; what was granted shows at the sign-in",
                    );
                    facet.next_step = Some(self.by_analyst());
                    return facet;
                }
                let roles: BTreeSet<String> = roles.values().flatten().cloned().collect();
                let needed = self.needed_roles();
                let missing: Vec<_> =
                    needed.iter().filter(|role| !roles.contains(**role)).copied().collect();
                if missing.is_empty() {
                    let extra: Vec<_> = roles
                        .iter()
                        .filter(|role| !needed.contains(&role.as_str()))
                        .map(String::as_str)
                        .collect();
                    let more = if extra.is_empty() {
                        String::new()
                    } else {
                        format!("; beyond the manifest: {}", extra.join(", "))
                    };
                    let carries = format!("the token carries {}{more}", needed.join(", "));
                    let unasked = self.unasked_roles();
                    if unasked.is_empty() {
                        return self.facet(State::Ok, Proved, carries);
                    }
                    // A token of one API proves nothing of another.
                    let unasked = unasked.join(", ");
                    return self.facet(
                        State::Unknown,
                        Observed,
                        format!("{carries}; not proved: {unasked}, of another API"),
                    );
                }
                let has = if roles.is_empty() {
                    "no application permission".to_owned()
                } else {
                    roles.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
                };
                ask(self.waiting(
                    WaitingFor::CustomerAdmin,
                    Proved,
                    format!("the token carries {has}, and lacks {}", missing.join(", ")),
                ))
            }
            Some(TokenProof::Refused(why)) => match refusal(why) {
                Refusal::NotConsented => ask(self.waiting(
                    WaitingFor::CustomerAdmin,
                    Proved,
                    "nobody has consented: the app is not known in the customer's directory",
                )),
                Refusal::Disabled => ask(self.facet(
                    State::Failed,
                    Proved,
                    format!("the app was switched off in the customer's directory: {}", why.line()),
                )),
                Refusal::WrongSecret | Refusal::Expired | Refusal::Other => {
                    self.facet(State::Unknown, Observed, format!("not proved: {}", why.line()))
                }
            },
            Some(TokenProof::NoKey(why)) => {
                self.facet(State::Unknown, Observed, format!("not proved: {why}"))
            }
            None if self.live().is_none() => ask(self.waiting(
                WaitingFor::Operator,
                Observed,
                "there is no secret to ask with yet",
            )),
            None => self.facet(State::Unknown, Observed, "not asked"),
        }
    }

    fn by_analyst(&self) -> NextStep {
        step_of(manual::sign_in(self.tenant), "sign in once, so that a refresh token can be kept")
    }

    fn token(&self) -> Facet {
        use EvidenceKind::Observed;
        if !self.tenant.connector.needs().delegated {
            return self.facet(State::NotNeeded, Observed, "this connector acts as itself");
        }
        let held = "the vault holds no refresh token";
        if let Some(RefreshProof::Refused(why)) = self.refresh {
            let death = refresh_death(why);
            let mut facet = self.facet(
                State::Failed,
                EvidenceKind::Proved,
                format!("{}: {}", death.cause(), why.line()),
            );
            facet.waiting_for = Some(death.waiting_for());
            return facet;
        }
        match self.token {
            Some(TokenProof::Granted { .. }) => {
                let mut facet = self.waiting(WaitingFor::Analyst, Observed, held);
                facet.next_step = Some(self.by_analyst());
                facet
            }
            Some(TokenProof::Refused(_) | TokenProof::NoKey(_)) | None => {
                match self.consent().waiting_for {
                    Some(person) => {
                        self.waiting(person, Observed, format!("{held}; consent comes first"))
                    }
                    None => self.facet(
                        State::Unknown,
                        Observed,
                        format!("{held}; consent is not known"),
                    ),
                }
            }
        }
    }

    fn portal(&self) -> Facet {
        use EvidenceKind::{Attested, Observed};
        if self.tenant.portal == PortalAuthorization::NotNeeded {
            return self.facet(State::NotNeeded, Observed, "this connector needs no portal step");
        }
        let client = self.app_plan.target.client_id();
        let attestation = self
            .remembered()
            .and_then(|tenant| tenant.attestation.as_ref())
            .filter(|attestation| Some(attestation.client_id) == client);
        let manual = manual::portal_authorization(
            self.cloud,
            self.tenant,
            self.planned.directory,
            client,
            self.home,
        );
        let next = step_of(
            manual,
            "Settings › Endpoints › APIs › SIEM › MSSP › paste both ids › Authorize application",
        );
        let Some(attestation) = attestation else {
            let mut facet = self.waiting(
                WaitingFor::PortalAdmin,
                Observed,
                "nobody has said that the app was authorized in the portal; no call can show it",
            );
            facet.next_step = Some(next);
            return facet;
        };
        let ticket =
            attestation.ticket.as_deref().map_or_else(String::new, |ticket| format!(", {ticket}"));
        let by = format!("{} on {}{ticket}", attestation.by, attestation.at.strftime("%Y-%m-%d"));
        let mut facet = match attestation.outcome {
            AttestedOutcome::Authorized => {
                self.facet(State::Ok, Attested, format!("authorized by {by}"))
            }
            AttestedOutcome::PageMissing => self.facet(
                State::NotNeeded,
                Attested,
                format!("the portal has no such page any more: {by}"),
            ),
            AttestedOutcome::Refused => {
                let mut facet = self.facet(State::Failed, Attested, format!("refused: {by}"));
                facet.next_step = Some(next);
                facet
            }
        };
        facet.evidence.at = attestation.at;
        facet
    }

    fn access(&self, others: &BTreeMap<FacetName, Facet>) -> Facet {
        use EvidenceKind::{Observed, Proved};
        match self.access {
            Some(AccessProof::Read { any: true, newest }) => {
                let newest = newest.map_or_else(String::new, |newest| {
                    format!(", the newest of {}", newest.strftime("%Y-%m-%d %H:%M"))
                });
                self.facet(State::Ok, Proved, format!("incidents can be read{newest}"))
            }
            Some(AccessProof::Read { any: false, .. }) => self.facet(
                State::Ok,
                Proved,
                "the call works; there are no incidents (200 and none)",
            ),
            Some(AccessProof::Refused(why)) => {
                let state = match why.cause {
                    Cause::Refused | Cause::Privilege | Cause::NotFound | Cause::SignIn => {
                        State::Failed
                    }
                    Cause::Throttled
                    | Cause::Service
                    | Cause::Unreachable
                    | Cause::NoAnswer
                    | Cause::Garbled
                    | Cause::Guard
                    | Cause::Interrupted => State::Unknown,
                };
                let mut facet = self.facet(state, Proved, why.line());
                facet.next_step = why.hint.clone().map(|hint| NextStep {
                    who: format!("{} or the operator", self.tenant.name),
                    what: hint,
                    link: None,
                    values: BTreeMap::new(),
                    command: Some(format!("tenantry explain {}", self.tenant.key)),
                });
                facet
            }
            None => {
                // Not tried: it waits for whatever comes first.
                let first =
                    FacetName::ALL.into_iter().filter_map(|name| others.get(&name)).find(|facet| {
                        !matches!(facet.state, State::Ok | State::NotNeeded | State::Expiring)
                    });
                match first.map(|facet| (facet.state, facet.waiting_for)) {
                    Some((State::Waiting, Some(person))) => {
                        self.waiting(person, Observed, "not tried: something else comes first")
                    }
                    Some((State::Failed, _)) => self.waiting(
                        WaitingFor::Operator,
                        Observed,
                        "not tried: something else failed",
                    ),
                    Some(_) | None => self.facet(State::Unknown, Observed, "not tried"),
                }
            }
        }
    }
}

fn step_of(manual: Manual, what: &str) -> NextStep {
    let Manual { kind: _, who, link, values, since: _ } = manual;
    NextStep { who, what: what.to_owned(), link, values, command: None }
}
