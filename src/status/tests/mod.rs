//! The rules of the facets, one by one; in their own files the refresh token's, and the law over
//! anything that can be met.

mod laws;
mod tokens;

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::{
    AccessProof, EvidenceKind, Facet, FacetName, Overall, Proofs, RefreshProof, Rotation, State,
    Status, TenantStatus, TokenProof, WaitingFor, changes, portal_left, status,
};
use crate::{
    cloud::{Cloud, CloudName},
    connector::{GRAPH, PortalAuthorization, THREAT_PROTECTION},
    failure::{Cause, Failure},
    ids::{ClientId, ObjectId, ResourceId, TenantId, TenantKey, VaultId},
    manifest::{self, Manifest},
    plan::{
        AppPlan, Plan, Resolved, Seen, TenantPlan,
        step::{Foreign, Target},
    },
    vault::{
        Attestation, AttestedOutcome, ConsentDenied, CredentialKind, CredentialRecord,
        CredentialState, FacetMemory, Record, TenantRecord,
        testing::{record, seconds},
    },
};

const MANIFEST: &str = r#"
version: 1
fleet: acme-soc
home: {tenant: 91c20000-0000-4000-8000-000000000001}
vault: {path: vault}
defaults: {connector: graph-security, redirectUris: ["https://{domain}/x"], signInAs: reader@acme.example}
tenants:
  app: {id: 6f1c0f5e-0000-4000-8000-000000000001, name: App, domain: a.example}
  two:
    id: 6f1c0f5e-0000-4000-8000-000000000002
    name: Two
    domain: b.example
    portalAuthorization: required
    permissions:
      - {resource: Microsoft Graph, application: [SecurityIncident.Read.All]}
      - {resource: Microsoft Threat Protection, application: [Incident.Read.All]}
  siem:
    id: 6f1c0f5e-0000-4000-8000-000000000003
    name: Siem
    domain: c.example
    connector: mssp-siem
"#;

fn manifest() -> Manifest {
    manifest::parse(vec![("t.yaml".into(), MANIFEST.as_bytes().to_vec())]).unwrap()
}

fn client() -> ClientId {
    ClientId::from_uuid(Uuid::from_u128(7))
}

/// A world in which all is registered and stored, and nothing has been tried.
struct World {
    manifest: Manifest,
    plan: Plan,
    seen: Seen,
    proofs: Proofs,
    as_of: Timestamp,
}

impl World {
    fn new() -> Self {
        let manifest = manifest();
        let home = TenantId::from_uuid(Uuid::from_u128(9));
        let mut plan = Plan {
            fleet: manifest.fleet.clone(),
            home,
            apps: BTreeMap::new(),
            tenants: BTreeMap::new(),
            orphans: Vec::new(),
            diagnostics: Vec::new(),
            partial: false,
        };
        let mut seen = Seen {
            home,
            directories: BTreeMap::new(),
            inventories: BTreeMap::new(),
            records: BTreeMap::new(),
            vault: VaultId::from_uuid(Uuid::from_u128(1)),
            reissue: false,
        };
        for tenant in manifest.tenants.values() {
            let app = &manifest.apps[&tenant.app];
            let id = tenant.id.unwrap();
            plan.apps.insert(
                app.key.clone(),
                AppPlan {
                    key: app.key.clone(),
                    display_name: app.display_name.clone(),
                    layout: app.layout,
                    connector: app.connector,
                    directory: Some(home),
                    target: Target::Existing {
                        object_id: ObjectId::from_uuid(Uuid::from_u128(8)),
                        client_id: client(),
                    },
                    steps: Vec::new(),
                    pins: BTreeMap::new(),
                    diagnostics: Vec::new(),
                    foreign: Foreign::default(),
                },
            );
            plan.tenants.insert(
                tenant.key.clone(),
                TenantPlan {
                    key: tenant.key.clone(),
                    name: tenant.name.clone(),
                    directory: Some(id),
                    app: app.key.clone(),
                    manual: Vec::new(),
                    diagnostics: Vec::new(),
                },
            );
            seen.directories.insert(tenant.key.clone(), Ok(Resolved { id, stale: None }));
            let mut record = record(app.key.as_str());
            record.client_id = Some(client());
            record.credentials.push(CredentialRecord {
                state: CredentialState::Stored,
                start: Some(seconds(0)),
                end: Some(seconds(365 * 86_400)),
                ..CredentialRecord::intended(
                    crate::ids::Nonce::fresh(),
                    CredentialKind::Secret,
                    seconds(0),
                )
            });
            record.tenants.insert(tenant.key.clone(), TenantRecord::pinned(id));
            seen.records.insert(app.key.clone(), record);
        }
        Self { manifest, plan, seen, proofs: Proofs::default(), as_of: now() }
    }

    fn record(&mut self, key: &str) -> &mut Record {
        self.seen.records.get_mut(&key.parse().unwrap()).unwrap()
    }

    fn tenant(&mut self, key: &str) -> &mut TenantRecord {
        let tenant: TenantKey = key.parse().unwrap();
        self.record(key).tenants.get_mut(&tenant).unwrap()
    }

    fn token(&mut self, key: &str, proof: TokenProof) {
        self.proofs.tokens.insert(key.parse().unwrap(), proof);
    }

    fn refresh(&mut self, proof: RefreshProof) {
        self.proofs.refreshes.insert("siem".parse().unwrap(), proof);
    }

    fn holds_refresh_token(&mut self, days_left: i64) {
        let end = now() + SignedDuration::from_hours(days_left * 24);
        self.record("siem").credentials.push(CredentialRecord {
            state: CredentialState::Stored,
            start: Some(seconds(0)),
            end: Some(end),
            tenant: Some("siem".parse().unwrap()),
            user: Some("reader@acme.example".to_owned()),
            ..CredentialRecord::intended(
                crate::ids::Nonce::fresh(),
                CredentialKind::RefreshToken,
                seconds(0),
            )
        });
    }

    fn status(&self) -> Status {
        let cloud = Cloud::built_in(CloudName::Global);
        status(&self.manifest, &cloud, &self.plan, &self.seen, &self.proofs, now(), self.as_of)
    }

    fn of(&self, key: &str) -> TenantStatus {
        self.status().tenants.into_iter().find(|tenant| tenant.key.as_str() == key).unwrap()
    }

    #[track_caller]
    fn is(&self, key: &str, name: FacetName, state: State, who: Option<WaitingFor>) -> Facet {
        let facet = self.of(key).facet(name).clone();
        let found = (facet.state, facet.waiting_for);
        assert_eq!(found, (state, who), "{key} {}: {facet:?}", name.as_str());
        facet
    }
}

fn now() -> Timestamp {
    seconds(60)
}

fn failure(code: &str) -> Failure {
    Failure { code: Some(code.to_owned()), ..Failure::new(Cause::Refused, "no") }
}

fn silence() -> Failure {
    Failure::new(Cause::NoAnswer, "nobody answered")
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn granted(roles: &[(ResourceId, &[&str])], refused: &[(ResourceId, Failure)]) -> TokenProof {
    TokenProof::Granted {
        roles: roles.iter().map(|(api, roles)| (*api, names(roles))).collect(),
        refused: refused.iter().cloned().collect(),
    }
}

fn refreshed(scopes: &[&str], rotation: Rotation) -> RefreshProof {
    let user = Some("reader@acme.example".to_owned());
    RefreshProof::Refreshed { user, scopes: names(scopes), rotation }
}

const READ: &str = "SecurityIncident.Read.All";
const ALERTS: &str = "SecurityAlert.Read.All";
const XDR: &str = "Incident.Read.All";

#[test]
fn consent_is_what_the_tokens_of_every_api_carry() {
    use State::{Failed, Ok, Unknown, Waiting};
    let admin = Some(WaitingFor::CustomerAdmin);
    let cases: Vec<(&str, TokenProof, State, Option<WaitingFor>, &str)> = vec![
        ("app", granted(&[(GRAPH, &[READ, ALERTS])], &[]), Ok, None, "carries"),
        (
            "app",
            granted(&[(GRAPH, &[READ, ALERTS, "X.Y"])], &[]),
            Ok,
            None,
            "beyond the manifest: X.Y",
        ),
        (
            "app",
            granted(&[(GRAPH, &[READ])], &[]),
            Waiting,
            admin,
            "lacks SecurityAlert.Read.All: less",
        ),
        ("app", granted(&[(GRAPH, &[])], &[]), Waiting, admin, "nothing that was asked for"),
        ("two", granted(&[(GRAPH, &[READ]), (THREAT_PROTECTION, &[XDR])], &[]), Ok, None, XDR),
        ("two", granted(&[(GRAPH, &[READ])], &[]), Unknown, None, "not proved: Incident.Read.All"),
        (
            "two",
            granted(&[(GRAPH, &[READ])], &[(THREAT_PROTECTION, silence())]),
            Unknown,
            None,
            "nobody answered",
        ),
        (
            "two",
            granted(&[(GRAPH, &[READ])], &[(THREAT_PROTECTION, failure("AADSTS500011"))]),
            Waiting,
            admin,
            "lacks Incident.Read.All",
        ),
        (
            "app",
            TokenProof::Refused(failure("AADSTS7000229")),
            Waiting,
            admin,
            "nobody has consented",
        ),
        ("app", TokenProof::Refused(failure("AADSTS7000112")), Failed, None, "switched off"),
        ("app", TokenProof::Refused(failure("AADSTS7000215")), Unknown, None, "not proved"),
        ("app", TokenProof::Refused(silence()), Unknown, None, "not proved"),
        ("app", TokenProof::NoKey("no key".to_owned()), Unknown, None, "no key"),
        ("siem", TokenProof::Refused(failure("AADSTS7000229")), Waiting, admin, "nobody has"),
        ("siem", granted(&[(GRAPH, &[])], &[]), Waiting, Some(WaitingFor::Analyst), "sign-in"),
    ];
    for (key, proof, state, who, words) in cases {
        let mut world = World::new();
        world.token(key, proof.clone());
        let facet = world.is(key, FacetName::Consent, state, who);
        assert!(facet.evidence.what.contains(words), "{proof:?}: {}", facet.evidence.what);
        if who == admin {
            let link = facet.next_step.unwrap().link.unwrap();
            assert!(link.path().ends_with("/adminconsent") && !link.as_str().contains("common"));
        }
    }
}

#[test]
fn after_a_refresh_its_scopes_are_the_consent() {
    let mut world = World::new();
    world.token("siem", granted(&[(GRAPH, &[])], &[]));
    world.holds_refresh_token(80);
    world.refresh(refreshed(&[READ, "openid", "X.Y"], Rotation::Kept));
    let facet = world.is("siem", FacetName::Consent, State::Ok, None);
    assert_eq!(facet.evidence.kind, EvidenceKind::Proved);
    assert!(facet.evidence.what.contains("beyond the manifest: X.Y"), "{}", facet.evidence.what);
    world.refresh(refreshed(&["User.Read"], Rotation::Kept));
    let facet =
        world.is("siem", FacetName::Consent, State::Waiting, Some(WaitingFor::CustomerAdmin));
    assert!(facet.next_step.unwrap().link.is_some());
    world.refresh(RefreshProof::Refused(failure("AADSTS65001")));
    world.is("siem", FacetName::Consent, State::Waiting, Some(WaitingFor::CustomerAdmin));
}

#[test]
fn a_declined_consent_has_failed_until_a_token_shows_it() {
    let mut world = World::new();
    let denied =
        |client_id| Some(ConsentDenied { client_id, at: seconds(-5), why: "too much".into() });
    world.tenant("app").consent_denied = denied(client());
    world.token("app", TokenProof::Refused(failure("AADSTS7000229")));
    let facet = world.is("app", FacetName::Consent, State::Failed, Some(WaitingFor::CustomerAdmin));
    assert_eq!((facet.evidence.kind, facet.evidence.at), (EvidenceKind::Observed, seconds(-5)));
    assert!(
        facet.evidence.what.contains("App declined on") && facet.evidence.what.contains("too much")
    );
    assert!(facet.next_step.unwrap().link.is_some());
    world.is("app", FacetName::Access, State::Waiting, Some(WaitingFor::CustomerAdmin));
    assert_eq!(world.of("app").overall, Overall::Onboarding);
    assert_eq!(world.status().summary().need_admin_consent, ["app".parse().unwrap()]);
    // Another app's no says nothing of this one.
    world.tenant("app").consent_denied = denied(ClientId::from_uuid(Uuid::from_u128(6)));
    world.is("app", FacetName::Consent, State::Waiting, Some(WaitingFor::CustomerAdmin));
    world.tenant("app").consent_denied = denied(client());
    world.token("app", granted(&[(GRAPH, &[READ, ALERTS])], &[]));
    world.is("app", FacetName::Consent, State::Ok, None);
}

#[test]
fn the_portal_moves_by_words_alone() {
    let portal = FacetName::Portal;
    let said = |outcome, client_id| {
        Some(Attestation { client_id, by: "ada".into(), ticket: None, at: seconds(-9), outcome })
    };
    let other = ClientId::from_uuid(Uuid::from_u128(6));
    let mut world = World::new();
    world.is("app", portal, State::NotNeeded, None);
    let admin = Some(WaitingFor::PortalAdmin);
    for (said, state, who, needs) in [
        (None, State::Waiting, admin, true),
        (said(AttestedOutcome::Authorized, client()), State::Ok, None, false),
        (said(AttestedOutcome::Authorized, other), State::Waiting, admin, true),
        (said(AttestedOutcome::PageMissing, client()), State::NotNeeded, None, false),
        (said(AttestedOutcome::Refused, client()), State::Failed, admin, true),
    ] {
        world.tenant("two").attestation = said.clone();
        for readable in [None, Some(AccessProof::Read { any: true, newest: None })] {
            world.proofs.access =
                readable.iter().map(|p| ("two".parse().unwrap(), p.clone())).collect();
            // Whether the directory could be read changes nothing.
            for target in [world.plan.apps[&"two".parse().unwrap()].target, Target::Unknown] {
                let mut world_now = World::new();
                world_now.seen = world.seen.clone();
                world_now.proofs = world.proofs.clone();
                world_now.plan.apps.get_mut(&"two".parse().unwrap()).unwrap().target = target;
                let facet = world_now.is("two", portal, state, who);
                assert_eq!(world_now.of("two").needs_portal(), needs);
                assert_eq!(facet.evidence.what.contains("already be read"), readable.is_some());
                assert_ne!(facet.evidence.kind, EvidenceKind::Proved);
            }
        }
    }
}

#[test]
fn access_waits_for_whoever_comes_first_and_names_the_age_of_what_it_read() {
    let access = FacetName::Access;
    let mut world = World::new();
    world.token("siem", granted(&[(GRAPH, &[])], &[]));
    world.is("siem", access, State::Waiting, Some(WaitingFor::Analyst));
    world.holds_refresh_token(80);
    world.refresh(RefreshProof::Refused(failure("AADSTS50173")));
    world.is("siem", access, State::Waiting, Some(WaitingFor::Analyst));
    assert_eq!(world.of("siem").overall, Overall::Onboarding);
    world.tenant("siem").last_good = Some(seconds(-9));
    assert_eq!(world.of("siem").overall, Overall::NotReading);
    let mut read = |proof| {
        world.proofs.access.insert("siem".parse().unwrap(), proof);
        world.of("siem").facet(access).clone()
    };
    let newest = Some(now() - SignedDuration::from_hours(3));
    let facet = read(AccessProof::Read { any: true, newest });
    assert!(facet.state == State::Ok && facet.evidence.what.contains("3 h old"));
    assert!(
        read(AccessProof::Read { any: false, newest: None }).evidence.what.contains("200 and none")
    );
    assert_eq!(read(AccessProof::Refused(failure("Forbidden"))).state, State::Failed);
    assert_eq!(read(AccessProof::Refused(silence())).state, State::Unknown);
}

#[test]
fn what_changed_is_told_from_what_is_remembered() {
    let mut world = World::new();
    world.token("app", TokenProof::Refused(failure("AADSTS7000229")));
    for facet in FacetName::ALL {
        for key in ["app", "two", "siem"] {
            let now = world.of(key).facet(facet).clone();
            let memory = FacetMemory {
                state: now.state.as_str().to_owned(),
                waiting_for: now.waiting_for.map(|who| who.as_str().to_owned()),
                since: seconds(1),
            };
            world.tenant(key).facets.insert(facet.as_str().to_owned(), memory);
        }
    }
    let told = |world: &World| changes(&world.status(), &world.manifest, &world.seen.records);
    assert_eq!(told(&world), (Vec::new(), Some(seconds(1))));
    world.token("app", granted(&[(GRAPH, &[READ, ALERTS])], &[]));
    let (found, _) = told(&world);
    let consent = found.iter().find(|change| change.facet == FacetName::Consent).unwrap();
    let from = consent.from.as_ref().unwrap();
    assert_eq!(
        (from.state.as_str(), from.waiting_for.as_deref()),
        ("waiting", Some("customer-admin"))
    );
    assert_eq!((consent.tenant.as_str(), consent.to.state), ("app", State::Ok));
    assert!(found.iter().all(|change| change.tenant.as_str() == "app"));
}
