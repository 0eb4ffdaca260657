//! Whether the customer has granted what the connector needs: a token alone proves nothing, what
//! it carries does.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{
    Death, EvidenceKind, Facet, FacetName, RefreshProof, State, TokenProof, WaitingFor,
    facets::{Refusal, View, refusal},
    refresh_death,
};
use crate::{
    connector::{GRAPH, api_name, steers_the_sign_in},
    failure::Failure,
    ids::ResourceId,
    manifest::{ConsentStrategy, NamedPermission},
    plan::{manual::ManualKind, remembered::consent_since, step::Target},
    registration::PermissionKind,
    vault::ConsentDenied,
};

/// What tokens carry, held against what the manifest asks for.
#[derive(Default)]
struct Held {
    carried: BTreeSet<String>,
    missing: BTreeSet<String>,
    extra: BTreeSet<String>,
    /// What no token of this run speaks of, and why.
    unproved: BTreeSet<String>,
}

impl Held {
    /// Takes one API's token: what it carries, and what was wanted of that API.
    fn weigh(&mut self, wanted: &BTreeSet<&str>, carries: &BTreeSet<String>) {
        let (has, lacks): (Vec<&str>, Vec<&str>) =
            wanted.iter().copied().partition(|name| carries.contains(*name));
        self.carried.extend(has.into_iter().map(str::to_owned));
        self.missing.extend(lacks.into_iter().map(str::to_owned));
        let extra = carries
            .iter()
            .filter(|name| !wanted.contains(name.as_str()))
            .filter(|name| !steers_the_sign_in(name));
        self.extra.extend(extra.cloned());
    }

    /// What the tokens carry, in words.
    fn words(&self) -> String {
        let extra = if self.extra.is_empty() {
            String::new()
        } else {
            format!("; beyond the manifest: {}", joined(&self.extra))
        };
        let carried = if self.carried.is_empty() {
            "nothing that was asked for".to_owned()
        } else {
            joined(&self.carried)
        };
        format!("the token carries {carried}{extra}")
    }
}

fn joined(names: &BTreeSet<String>) -> String {
    names.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

impl View<'_> {
    fn wanted(&self, kind: PermissionKind) -> BTreeMap<ResourceId, BTreeSet<&str>> {
        let mut wanted: BTreeMap<ResourceId, BTreeSet<&str>> = BTreeMap::new();
        for NamedPermission { resource, kind: of, name } in &self.app.permissions {
            if *of == kind && !steers_the_sign_in(name) {
                wanted.entry(*resource).or_default().insert(name);
            }
        }
        wanted
    }

    /// Holds the permissions of the app itself against the tokens of each API.
    fn weigh_roles(
        &self,
        held: &mut Held,
        roles: &BTreeMap<ResourceId, BTreeSet<String>>,
        refused: &BTreeMap<ResourceId, Failure>,
    ) {
        let wanted = self.wanted(PermissionKind::Application);
        let apis: BTreeSet<_> = wanted.keys().chain(roles.keys()).collect();
        let none = BTreeSet::new();
        for resource in apis {
            let names = wanted.get(resource).unwrap_or(&none);
            let unproved = |why: &str| {
                names
                    .iter()
                    .map(|name| format!("{name} of {}: {why}", api_name(*resource)))
                    .collect::<Vec<_>>()
            };
            match (roles.get(resource), refused.get(resource)) {
                (Some(carries), _) => held.weigh(names, carries),
                (None, Some(why)) => match refusal(why) {
                    Refusal::NotConsented | Refusal::NoSuchApi => {
                        held.missing.extend(names.iter().map(|name| (*name).to_owned()));
                    }
                    Refusal::Disabled
                    | Refusal::WrongSecret
                    | Refusal::Expired
                    | Refusal::Distrusted
                    | Refusal::Other => held.unproved.extend(unproved(&why.line())),
                },
                // A token of one API proves nothing of another.
                (None, None) => held.unproved.extend(unproved("no token was asked for")),
            }
        }
    }

    /// Holds the permissions of the signed-in user against what a refresh brought, a token of Graph.
    fn weigh_scopes(&self, held: &mut Held, scopes: &BTreeSet<String>) {
        let mut wanted = self.wanted(PermissionKind::Delegated);
        held.weigh(&wanted.remove(&GRAPH).unwrap_or_default(), scopes);
        for (resource, names) in wanted {
            let why = format!("of {}: no token was asked for", api_name(resource));
            held.unproved.extend(names.into_iter().map(|name| format!("{name} {why}")));
        }
    }

    /// What a token says of consent, once all that it must carry is known.
    fn judge(&self, held: &Held) -> Facet {
        use EvidenceKind::{Observed, Proved};
        let words = held.words();
        if !held.missing.is_empty() {
            let lacks = joined(&held.missing);
            let (what, todo) = if held.carried.is_empty() {
                (format!("{words}; it lacks {lacks}"), ACCEPT)
            } else {
                (
                    format!(
                        "{words}; it lacks {lacks}: less was granted than the manifest asks for"
                    ),
                    "open the link and accept again: the app asks for more than was granted",
                )
            };
            return self.ask(Proved, what, todo);
        }
        if !held.unproved.is_empty() {
            let unproved = joined(&held.unproved);
            return self.facet(
                State::Unknown,
                Observed,
                format!("{words}; not proved: {unproved}"),
            );
        }
        self.facet(State::Ok, Proved, words)
    }

    /// The administrator's turn: to accept, or, where they have said no, to think again.
    fn ask(&self, kind: EvidenceKind, what: impl Into<String>, todo: &str) -> Facet {
        if self.is_granted_by_us() {
            let mut facet = self.waiting(WaitingFor::Operator, kind, what);
            facet.next_step = Some(self.by_operator("grant it in the customer's directory"));
            return facet;
        }
        let mut facet = match self.denied() {
            Some(ConsentDenied { client_id: _, at, why }) => {
                let mut facet = self.facet(
                    State::Failed,
                    EvidenceKind::Observed,
                    format!(
                        "an administrator of {} declined on {}: {why}",
                        self.tenant.name,
                        at.strftime("%Y-%m-%d")
                    ),
                );
                facet.evidence.at = *at;
                facet.waiting_for = Some(WaitingFor::CustomerAdmin);
                facet
            }
            None => self.waiting(WaitingFor::CustomerAdmin, kind, what),
        };
        facet.next_step = Some(match self.denied() {
            Some(_) => self.by_administrator(
                "say what held them back, then open the link and accept what the app asks for",
            ),
            None => self.by_administrator(todo),
        });
        facet
    }

    /// Whether the next run grants it, without any administrator of the customer.
    fn is_granted_by_us(&self) -> bool {
        match self.tenant.consent.strategy {
            ConsentStrategy::Grant => !self.planned.steps.is_empty(),
            ConsentStrategy::Link | ConsentStrategy::Browser => false,
        }
    }

    /// The administrator's no to this very app.
    fn denied(&self) -> Option<&ConsentDenied> {
        let client = self.app_plan.target.client_id()?;
        self.remembered()?.consent_denied.as_ref().filter(|denied| denied.client_id == client)
    }

    pub(super) fn consent(&self) -> Facet {
        use EvidenceKind::{Observed, Proved};
        match self.app_plan.target {
            Target::Unknown => {
                return self.facet(State::Unknown, Observed, "the app could not be read");
            }
            // It keeps its client id, and what was granted to that, when it comes back.
            Target::Deleted { .. } if self.consent_since().is_some() => {
                return self.unproved("the app was deleted");
            }
            Target::Absent | Target::Deleted { .. } => {
                return self.waiting(
                    WaitingFor::Operator,
                    Observed,
                    "there is no app to consent to yet",
                );
            }
            Target::Existing { .. } => {}
        }
        let delegated = self.tenant.connector.needs().delegated;
        // A refresh shows the consent itself, and is heard first.
        match self.refresh.filter(|_| delegated) {
            Some(
                RefreshProof::Refreshed { user: _, scopes, rotation: _ }
                | RefreshProof::TooPowerful { user: _, roles: _, scopes },
            ) => {
                let mut held = Held::default();
                self.weigh_scopes(&mut held, scopes);
                match self.token {
                    Some(TokenProof::Granted { roles, refused }) => {
                        self.weigh_roles(&mut held, roles, refused);
                    }
                    Some(
                        TokenProof::Refused(_) | TokenProof::NoKey(_) | TokenProof::Damaged(_),
                    )
                    | None => {
                        self.weigh_roles(&mut held, &BTreeMap::new(), &BTreeMap::new());
                    }
                }
                return self.judge(&held);
            }
            Some(RefreshProof::Refused(why)) if refresh_death(why) == Death::NotConsented => {
                let what = format!("it was withdrawn: {}", why.line());
                return self.not_there(&what, &what);
            }
            Some(
                RefreshProof::Refused(_) | RefreshProof::NoKey(_) | RefreshProof::WrongUser { .. },
            )
            | None => {}
        }
        match self.token {
            Some(TokenProof::Granted { roles: _, refused: _ }) if delegated => {
                let no = self.denied().map_or_else(String::new, |denied| {
                    format!(" (an administrator declined on {})", denied.at.strftime("%Y-%m-%d"))
                });
                let mut facet = self.waiting(
                    WaitingFor::Analyst,
                    Observed,
                    format!(
                        "the app is known in the customer's directory; what was granted shows at \
                         the sign-in{no}"
                    ),
                );
                facet.next_step = Some(self.by_analyst(SIGN_IN));
                facet
            }
            Some(TokenProof::Granted { roles, refused }) => {
                let mut held = Held::default();
                self.weigh_roles(&mut held, roles, refused);
                let mut facet = self.judge(&held);
                let unseen: Vec<_> =
                    self.wanted(PermissionKind::Delegated).into_values().flatten().collect();
                if !unseen.is_empty() {
                    facet.evidence.what.push_str(&format!(
                        "; no token shows whether {} was granted: with this connector nobody signs in",
                        unseen.join(", ")
                    ));
                }
                facet
            }
            Some(TokenProof::Refused(why)) => match refusal(why) {
                Refusal::NotConsented => self.not_there(
                    "nobody has consented: the app is not known in the customer's directory",
                    "the app is not known in the customer's directory any more",
                ),
                Refusal::NoSuchApi => {
                    let what = format!("nothing of the API is granted: {}", why.line());
                    self.not_there(&what, &what)
                }
                Refusal::Disabled => {
                    let mut facet = self.facet(
                        State::Failed,
                        Proved,
                        format!(
                            "the app was switched off in the customer's directory: {}",
                            why.line()
                        ),
                    );
                    let mut step = self.by_administrator(
                        "switch the app on again: Entra ID › Enterprise applications › its name › \
                         Properties › Enabled for users to sign in",
                    );
                    // Consent is not what is missing.
                    step.link = None;
                    facet.next_step = Some(step);
                    facet
                }
                Refusal::WrongSecret | Refusal::Expired | Refusal::Distrusted | Refusal::Other => {
                    self.unproved(&why.line())
                }
            },
            Some(TokenProof::NoKey(why) | TokenProof::Damaged(why)) => self.unproved(why),
            None if !self.has_live() && !self.trusts_issuers() => {
                self.unproved("there is no live secret to ask with")
            }
            None => self.unproved("not asked"),
        }
    }

    /// Since when the consent has been known, as far as the vault remembers.
    pub(super) fn consent_since(&self) -> Option<Timestamp> {
        let client = self.app_plan.target.client_id();
        let record = self.record.filter(|record| client.is_some() && record.client_id == client);
        consent_since(record, &self.tenant.key)
    }

    /// What is known where nothing here can show it. An ended secret or a missing key says nothing
    /// of consent: what the vault remembers stands, and whoever was never seen to accept is still
    /// asked.
    fn unproved(&self, why: &str) -> Facet {
        let unknown = |what: String| self.facet(State::Unknown, EvidenceKind::Observed, what);
        let asks = self.planned.manual.iter().any(|manual| manual.kind == ManualKind::AdminConsent);
        match self.consent_since() {
            Some(since) => unknown(format!(
                "not proved: {why}; it was there when last seen, known since {}",
                since.strftime("%Y-%m-%d")
            )),
            None if asks && self.denied().is_some() => {
                self.ask(EvidenceKind::Observed, why, ACCEPT)
            }
            None if asks => Facet {
                waiting_for: Some(WaitingFor::CustomerAdmin),
                next_step: Some(self.by_administrator(ACCEPT_UNLESS)),
                ..unknown(format!("cannot be proved here: {why}; no consent was ever seen"))
            },
            None => unknown(format!("not proved: {why}")),
        }
    }

    /// Until when it worked, where it did for this very app and was not declined since.
    fn worked_until(&self) -> Option<Timestamp> {
        let tenant = self.remembered().filter(|_| self.denied().is_none())?;
        let memory = tenant.facets.get(FacetName::Consent.as_str());
        let gone = memory.is_some_and(|memory| memory.state == State::Failed.as_str());
        tenant.last_good.filter(|_| gone || self.consent_since().is_some())
    }

    /// Nobody has consented, or nobody has any more.
    fn not_there(&self, never: &str, gone: &str) -> Facet {
        let Some(until) = self.worked_until().filter(|_| !self.is_granted_by_us()) else {
            return self.ask(EvidenceKind::Proved, never, ACCEPT);
        };
        let day = until.strftime("%Y-%m-%d");
        let what = format!("it worked until {day} and is gone now: {gone}");
        Facet { state: State::Failed, ..self.ask(EvidenceKind::Proved, what, ACCEPT_AGAIN) }
    }
}

const ACCEPT_AGAIN: &str =
    "open the link and accept again, or say that the incidents are to be read no more";

const ACCEPT_UNLESS: &str = "open the link and accept what the app asks for, unless that is done: \
                             from here it cannot be told";

const ACCEPT: &str = "open the link and accept what the app asks for";

/// What the analyst is asked for.
pub(super) const SIGN_IN: &str = "sign in once, so that a refresh token can be kept";
