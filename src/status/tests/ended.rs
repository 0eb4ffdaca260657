//! What has ended, today or by a day ahead: nobody reads with it, and it says nothing of consent.

use jiff::SignedDuration;

use super::{
    super::{
        AccessProof, FacetName, Overall, RefreshProof, Rotation, State, TokenProof, WaitingFor,
    },
    ALERTS, READ, World, failure, granted, now, refreshed,
};
use crate::{connector::GRAPH, vault::testing::seconds};

const READS: Option<AccessProof> = Some(AccessProof::Read { any: true, newest: None });

fn reading() -> World {
    let mut world = World::new();
    world.token("app", granted(&[(GRAPH, &[READ, ALERTS])], &[]));
    world.proofs.access.insert("app".parse().unwrap(), READS.unwrap());
    world.remembers("app", FacetName::Consent, "ok", None);
    world.tenant("app").last_good = Some(seconds(9));
    world
}

fn past_the_end(world: &mut World) {
    world.as_of = now() + SignedDuration::from_hours(400 * 24);
}

/// As the real clock finds it: the secret has ended, and nothing could be asked.
fn ended(world: &mut World, key: &str) {
    for held in &mut world.record(key).credentials {
        held.end = Some(seconds(30));
    }
    world.proofs = Default::default();
}

#[test]
fn a_day_ahead_on_which_the_secret_has_ended_is_judged_as_that_day_will_be() {
    let mut ahead = reading();
    assert_eq!(ahead.of("app").overall, Overall::Reading);
    past_the_end(&mut ahead);
    let mut come = reading();
    ended(&mut come, "app");
    for world in [&ahead, &come] {
        world.is("app", FacetName::Secret, State::Failed, Some(WaitingFor::Operator));
        world.is("app", FacetName::Consent, State::Unknown, None);
        world.is("app", FacetName::Access, State::Waiting, Some(WaitingFor::Operator));
        assert_eq!(world.of("app").overall, Overall::NotReading);
        let summary = world.status().summary();
        assert!(!summary.need_admin_consent.contains(&"app".parse().unwrap()));
        assert!(summary.need_operator.contains(&"app".parse().unwrap()));
    }
    let what = |world: &World| world.of("app").facet(FacetName::Secret).evidence.what.clone();
    assert!(what(&ahead).starts_with("it will have ended on"), "{}", what(&ahead));
    assert!(what(&come).starts_with("it has ended on"), "{}", what(&come));
}

#[test]
fn whoever_is_refused_stays_not_reading_when_the_secret_ends() {
    let mut world = reading();
    world.tenant("app").last_good = None;
    let refused = AccessProof::Refused(failure("Forbidden"));
    world.proofs.access.insert("app".parse().unwrap(), refused);
    assert_eq!(world.of("app").overall, Overall::NotReading);
    past_the_end(&mut world);
    assert_eq!(world.of("app").overall, Overall::NotReading);
    ended(&mut world, "app");
    assert_eq!(world.of("app").overall, Overall::NotReading);
}

#[test]
fn whoever_never_consented_is_still_asked_when_the_secret_ends() {
    let mut world = World::new();
    world.token("app", TokenProof::Refused(failure("AADSTS7000229")));
    world.remembers("app", FacetName::Consent, "waiting", Some("customer-admin"));
    past_the_end(&mut world);
    let asked = Some(WaitingFor::CustomerAdmin);
    // Nobody declined anything, and the secret is nobody's turn but ours.
    world.is("app", FacetName::Secret, State::Failed, Some(WaitingFor::Operator));
    let facet = world.is("app", FacetName::Consent, State::Unknown, asked);
    assert!(facet.next_step.unwrap().link.is_some());
    assert_eq!(world.of("app").overall, Overall::Onboarding);
}

#[test]
fn a_refresh_token_that_will_have_ended_reads_nothing() {
    let mut world = World::new();
    world.holds_refresh_token(80);
    world.token("siem", granted(&[(GRAPH, &[])], &[]));
    world.refresh(refreshed(&[READ], Rotation::Kept));
    world.proofs.access.insert("siem".parse().unwrap(), READS.unwrap());
    world.is("siem", FacetName::Access, State::Ok, None);
    world.as_of = now() + SignedDuration::from_hours(91 * 24);
    let analyst = Some(WaitingFor::Analyst);
    let facet = world.is("siem", FacetName::Token, State::Failed, analyst);
    assert!(facet.evidence.what.starts_with("unless somebody uses it"), "{facet:?}");
    world.is("siem", FacetName::Access, State::Waiting, analyst);
    assert_eq!(world.of("siem").overall, Overall::NotReading);
}

#[test]
fn a_consent_that_was_seen_stands_until_something_contradicts_it() {
    let no_key = || TokenProof::NoKey("no key".to_owned());
    for (state, who) in [("ok", None), ("waiting", Some("analyst")), ("failed", None)] {
        let mut world = World::new();
        world.remembers("app", FacetName::Consent, state, who);
        world.token("app", no_key());
        let facet = world.is("app", FacetName::Consent, State::Unknown, None);
        assert!(facet.evidence.what.contains("known since 2026-11-18"), "{facet:?}");
        assert!(facet.next_step.is_none());
    }
    for who in ["customer-admin", "operator"] {
        let mut world = World::new();
        world.remembers("app", FacetName::Consent, "waiting", Some(who));
        world.token("app", no_key());
        let asked = Some(WaitingFor::CustomerAdmin);
        world.is("app", FacetName::Consent, State::Unknown, asked);
        assert_eq!(world.status().summary().need_admin_consent.len(), 3);
    }
}

#[test]
fn a_consent_that_is_gone_says_until_when_it_worked() {
    let mut world = reading();
    world.proofs = Default::default();
    world.token("app", TokenProof::Refused(failure("AADSTS7000229")));
    let asked = Some(WaitingFor::CustomerAdmin);
    let facet = world.is("app", FacetName::Consent, State::Failed, asked);
    assert!(facet.evidence.what.starts_with("it worked until 2026-11-18 and is gone now"));
    assert!(facet.next_step.unwrap().link.is_some());
    assert_eq!(world.of("app").overall, Overall::NotReading);
    // The next run remembers what this one saw.
    world.remembers("app", FacetName::Consent, "failed", Some("customer-admin"));
    world.is("app", FacetName::Consent, State::Failed, asked);
}

#[test]
fn nobody_is_forgotten_whose_turn_is_in_none_of_the_lists() {
    let mut world = reading();
    world.token("app", TokenProof::Refused(failure("AADSTS7000112")));
    world.proofs.access.clear();
    world.is("app", FacetName::Consent, State::Failed, None);
    let summary = world.status().summary();
    assert_eq!(summary.need_other, ["app".parse().unwrap()]);
    assert!(!summary.need_admin_consent.contains(&"app".parse().unwrap()));
    let mut world = reading();
    world.refresh(RefreshProof::Refused(failure("AADSTS7000222")));
    assert!(!world.status().summary().need_other.contains(&"app".parse().unwrap()));
}
