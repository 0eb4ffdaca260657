//! Each facet's rules, by tables.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use uuid::Uuid;

use super::{
    super::{
        AccessProof, Death, EvidenceKind, FacetName, Overall, RefreshProof, Rotation, State,
        TokenProof, WaitingFor, changes, refresh_death,
    },
    ALERTS, READ, World, XDR, client, failure, granted, now, refreshed, silence,
};
use crate::{
    connector::{GRAPH, THREAT_PROTECTION},
    ids::ClientId,
    manifest::NamedPermission,
    plan::step::Target,
    registration::PermissionKind,
    vault::{
        Attestation, AttestedOutcome, ConsentDenied, CredentialKind, FacetMemory, testing::seconds,
    },
};

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
        ("app", TokenProof::Refused(failure("AADSTS7000215")), Unknown, admin, "cannot be proved"),
        ("app", TokenProof::Refused(silence()), Unknown, admin, "no consent was ever seen"),
        ("app", TokenProof::NoKey("no key".to_owned()), Unknown, admin, "no key"),
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
fn what_only_a_sign_in_could_show_is_said_where_nobody_signs_in() {
    let mut world = World::new();
    let app = world.manifest.apps.get_mut(&"app".parse().unwrap()).unwrap();
    app.permissions.insert(NamedPermission {
        resource: GRAPH,
        kind: PermissionKind::Delegated,
        name: "User.Read".to_owned(),
    });
    world.token("app", granted(&[(GRAPH, &[READ, ALERTS])], &[]));
    let facet = world.is("app", FacetName::Consent, State::Ok, None);
    assert!(facet.evidence.what.contains("whether User.Read was granted"), "{facet:?}");
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
    // Nobody else was seen to consent either.
    let everybody = ["siem", "two", "app"].map(|key| key.parse().unwrap());
    assert_eq!(world.status().summary().need_admin_consent, everybody);
    // Another app's no says nothing of this one.
    world.tenant("app").consent_denied = denied(ClientId::from_uuid(Uuid::from_u128(6)));
    world.is("app", FacetName::Consent, State::Waiting, Some(WaitingFor::CustomerAdmin));
    world.tenant("app").consent_denied = denied(client());
    world.token("app", granted(&[(GRAPH, &[READ, ALERTS])], &[]));
    world.is("app", FacetName::Consent, State::Ok, None);
}

#[test]
fn a_refresh_token_is_good_when_it_was_used() {
    let token = FacetName::Token;
    let mut world = World::new();
    world.is("app", token, State::NotNeeded, None);
    world.token("siem", granted(&[(GRAPH, &[])], &[]));
    let facet = world.is("siem", token, State::Waiting, Some(WaitingFor::Analyst));
    assert_eq!(facet.next_step.unwrap().command.unwrap(), "tenantry consent --sandbox siem");
    world.holds_refresh_token(80);
    world.is("siem", token, State::Unknown, None);
    world.refresh(refreshed(&[READ], Rotation::Kept));
    let facet = world.is("siem", token, State::Ok, None);
    assert_eq!(facet.ends, Some(now() + SignedDuration::from_hours(90 * 24)));
    assert!(facet.evidence.what.contains("reader@acme.example, lives 90 days"));
    assert_eq!(facet.evidence.kind, EvidenceKind::Proved);
    world.refresh(refreshed(&[READ], Rotation::NotKept("another run writes".to_owned())));
    let facet = world.is("siem", token, State::Ok, None);
    assert!(facet.evidence.what.contains("80 days") && facet.evidence.what.contains("another run"));
    world.refresh(refreshed(&[READ], Rotation::None));
    world.is("siem", token, State::Ok, None);
    world.as_of = now() + SignedDuration::from_hours(60 * 24);
    let facet = world.is("siem", token, State::Expiring, None);
    assert_eq!(
        facet.next_step.unwrap().command.unwrap(),
        "tenantry tokens refresh --sandbox --tenant siem"
    );
    world.as_of = now() + SignedDuration::from_hours(81 * 24);
    world.is("siem", token, State::Failed, Some(WaitingFor::Analyst));
    world.as_of = now();
    world.refresh(RefreshProof::NoKey("no key".to_owned()));
    world.is("siem", token, State::Unknown, None);
    world.refresh(RefreshProof::WrongUser { found: "boss@acme.example".to_owned() });
    let facet = world.is("siem", token, State::Failed, Some(WaitingFor::Analyst));
    assert!(facet.evidence.what.contains("boss@acme.example"), "{}", facet.evidence.what);
    world.refresh(RefreshProof::TooPowerful {
        user: Some("reader@acme.example".to_owned()),
        roles: vec!["Global Administrator".to_owned()],
        scopes: [READ.to_owned()].into(),
    });
    let facet = world.is("siem", token, State::Failed, Some(WaitingFor::Analyst));
    assert!(facet.evidence.what.contains("Global Administrator"), "{}", facet.evidence.what);
    assert_eq!(facet.next_step.unwrap().link, None);
    // The consent is as good as with any other token.
    world.is("siem", FacetName::Consent, State::Ok, None);
    // A refresh token of another app of that key is none.
    let mut world = World::new();
    world.holds_refresh_token(80);
    world.record("siem").client_id = Some(ClientId::from_uuid(Uuid::from_u128(5)));
    world.token("siem", granted(&[(GRAPH, &[])], &[]));
    world.is("siem", token, State::Waiting, Some(WaitingFor::Analyst));
}

#[test]
fn every_death_of_a_refresh_token_is_told_apart() {
    use WaitingFor::{Analyst, CustomerAdmin, Operator};
    for (code, death, who) in [
        ("AADSTS700082", Death::Idle, Analyst),
        ("AADSTS70008", Death::Expired, Analyst),
        ("AADSTS70043", Death::SignInFrequency, Analyst),
        ("AADSTS50173", Death::Revoked, Analyst),
        ("AADSTS50076", Death::MfaNeeded, Analyst),
        ("AADSTS50079", Death::MfaNeeded, Analyst),
        ("AADSTS50074", Death::MfaNeeded, Analyst),
        ("AADSTS53003", Death::Blocked, CustomerAdmin),
        ("AADSTS53000", Death::Blocked, CustomerAdmin),
        ("AADSTS530035", Death::Blocked, CustomerAdmin),
        ("AADSTS65001", Death::NotConsented, CustomerAdmin),
        ("AADSTS7000215", Death::WrongSecret, Operator),
        ("AADSTS7000222", Death::SecretEnded, Operator),
        ("AADSTS50057", Death::UserDisabled, Operator),
        ("AADSTS50055", Death::PasswordExpired, Analyst),
        ("AADSTS7000112", Death::AppDisabled, CustomerAdmin),
        ("AADSTS50020", Death::NotAUser, CustomerAdmin),
        ("AADSTS50034", Death::NotAUser, CustomerAdmin),
        ("AADSTS50105", Death::NotAssigned, CustomerAdmin),
        ("AADSTS500021", Death::RestrictedHere, Operator),
        ("AADSTS500212", Death::RestrictedHere, Operator),
        ("AADSTS500213", Death::RestrictedThere, CustomerAdmin),
        ("AADSTS90002", Death::NoDirectory, Operator),
        ("AADSTS90099", Death::Other, Analyst),
    ] {
        assert_eq!(refresh_death(&failure(code)), death, "{code}");
        let mut world = World::new();
        world.token("siem", granted(&[(GRAPH, &[])], &[]));
        world.holds_refresh_token(80);
        world.refresh(RefreshProof::Refused(failure(code)));
        let facet = world.is("siem", FacetName::Token, State::Failed, Some(who));
        let step = facet.next_step.unwrap();
        assert!(facet.evidence.what.starts_with(death.cause()) && step.what == death.cure());
        // A link is for consent, and consent is not what every administrator is asked for.
        assert_eq!(step.link.is_some(), death == Death::NotConsented, "{code}");
    }
    let mut world = World::new();
    world.refresh(RefreshProof::Refused(silence()));
    world.is("siem", FacetName::Token, State::Unknown, None);
    let words: BTreeSet<_> = Death::ALL.map(Death::cause).into();
    assert_eq!(words.len(), Death::ALL.len());
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
    // Nobody was waited for then and nobody is now, and yet it is not the same.
    let registration = world.tenant("app").facets.get_mut("registration").unwrap();
    registration.state = "failed".to_owned();
    let (found, _) = told(&world);
    assert_eq!((found.len(), found[0].to.state), (1, State::Ok));
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

#[test]
fn what_ends_by_a_day_stands_in_order_with_its_cure() {
    use crate::plan::forecast::{Cure, DueKind};
    let mut world = World::new();
    world.holds_refresh_token(80);
    let days = |days: i64| now() + SignedDuration::from_hours(days * 24);
    assert_eq!(world.status().due, []);
    world.as_of = days(49);
    assert_eq!(world.status().due, []);
    world.as_of = days(50);
    let status = world.status();
    let due = &status.due[0];
    assert_eq!((due.kind, due.cure), (DueKind::RefreshToken, Cure::RefreshTokens));
    assert_eq!((due.from, due.ends), (days(50), days(80)));
    assert_eq!(due.name.as_deref(), Some("reader@acme.example"));
    assert!(status.is_expiring());
    // Used in this very run, it lives 90 days more.
    world.refresh(refreshed(&[READ], Rotation::Kept));
    assert_eq!(world.status().due, []);
    world.proofs.refreshes.clear();

    world.as_of = days(340);
    let due = world.status().due;
    let found: Vec<_> = due.iter().map(|due| (due.app.as_str(), due.kind)).collect();
    let secret = DueKind::ClientSecret;
    let wanted =
        [("siem", DueKind::RefreshToken), ("app", secret), ("siem", secret), ("two", secret)];
    assert_eq!(found, wanted);
    let mut one = world.status();
    one.keep(&["two".parse().unwrap()]);
    assert_eq!((one.tenants.len(), one.due.len()), (1, 1));

    // What has ended already asks for more than it would have.
    world.record("siem").credentials.retain(|held| held.kind == CredentialKind::Secret);
    world.holds_refresh_token(-1);
    world.record("app").credentials[0].end = Some(seconds(30));
    world.as_of = now();
    let due = world.status().due;
    let found: Vec<_> = due.iter().map(|due| (due.app.as_str(), due.cure)).collect();
    assert_eq!(found, [("siem", Cure::Consent), ("app", Cure::Apply)]);
}
