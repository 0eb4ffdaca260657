//! The refresh token: used, held, and each way in which it dies.

use super::{
    super::{Death, refresh_death},
    *,
};

#[test]
fn a_refresh_token_is_good_when_it_was_used() {
    let token = FacetName::Token;
    let mut world = World::new();
    world.is("app", token, State::NotNeeded, None);
    world.token("siem", granted(&[(GRAPH, &[])], &[]));
    let facet = world.is("siem", token, State::Waiting, Some(WaitingFor::Analyst));
    assert_eq!(facet.next_step.unwrap().command.unwrap(), "tenantry consent siem");
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
    assert_eq!(facet.next_step.unwrap().command.unwrap(), "tenantry tokens refresh --tenant siem");
    world.as_of = now() + SignedDuration::from_hours(81 * 24);
    world.is("siem", token, State::Failed, Some(WaitingFor::Analyst));
    world.as_of = now();
    world.refresh(RefreshProof::NoKey("no key".to_owned()));
    world.is("siem", token, State::Unknown, None);
    world.refresh(RefreshProof::WrongUser { found: "boss@acme.example".to_owned() });
    let facet = world.is("siem", token, State::Failed, Some(WaitingFor::Analyst));
    assert!(facet.evidence.what.contains("boss@acme.example"), "{}", facet.evidence.what);
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
        ("AADSTS7000222", Death::WrongSecret, Operator),
        ("AADSTS50057", Death::UserDisabled, Operator),
        ("AADSTS50055", Death::PasswordExpired, Analyst),
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
