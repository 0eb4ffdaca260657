//! The law over anything that can be met: no facet is good without evidence.

use proptest::prelude::*;

use super::*;

fn a_failure() -> impl Strategy<Value = Failure> {
    prop_oneof![
        Just(silence()),
        prop::sample::select(vec![
            "AADSTS7000229",
            "AADSTS7000215",
            "AADSTS7000112",
            "AADSTS65001",
            "AADSTS500011",
            "AADSTS50173",
            "AADSTS53003",
            "AADSTS90099",
        ])
        .prop_map(failure),
    ]
}

fn some_names() -> impl Strategy<Value = BTreeSet<String>> {
    prop::sample::subsequence(vec![READ, ALERTS, XDR, "X.Y", "openid"], 0..=5)
        .prop_map(|chosen| names(&chosen))
}

fn a_token() -> impl Strategy<Value = Option<TokenProof>> {
    let apis = || prop::sample::select(vec![GRAPH, THREAT_PROTECTION]);
    prop::option::of(prop_oneof![
        3 => (
            prop::collection::btree_map(apis(), some_names(), 0..3),
            prop::collection::btree_map(apis(), a_failure(), 0..3),
        )
            .prop_map(|(roles, refused)| TokenProof::Granted { roles, refused }),
        1 => a_failure().prop_map(TokenProof::Refused),
        1 => Just(TokenProof::NoKey("no key".to_owned())),
    ])
}

fn a_refresh() -> impl Strategy<Value = Option<RefreshProof>> {
    let rotation = prop_oneof![
        Just(Rotation::Kept),
        Just(Rotation::None),
        Just(Rotation::NotKept("busy".to_owned()))
    ];
    prop::option::of(prop_oneof![
        3 => (some_names(), rotation).prop_map(|(scopes, rotation)| RefreshProof::Refreshed {
            user: Some("reader@acme.example".to_owned()),
            scopes,
            rotation,
        }),
        1 => a_failure().prop_map(RefreshProof::Refused),
        1 => Just(RefreshProof::NoKey("no key".to_owned())),
        1 => Just(RefreshProof::WrongUser { found: "boss".to_owned() }),
    ])
}

fn an_access() -> impl Strategy<Value = Option<AccessProof>> {
    prop::option::of(prop_oneof![
        any::<bool>().prop_map(|any| AccessProof::Read { any, newest: None }),
        a_failure().prop_map(AccessProof::Refused),
    ])
}

fn an_attestation() -> impl Strategy<Value = Option<Attestation>> {
    let outcome = prop::sample::select(vec![
        AttestedOutcome::Authorized,
        AttestedOutcome::PageMissing,
        AttestedOutcome::Refused,
    ]);
    prop::option::of((outcome, 6..=7_u128).prop_map(|(outcome, client)| Attestation {
        client_id: ClientId::from_uuid(Uuid::from_u128(client)),
        by: "ada".to_owned(),
        ticket: None,
        at: seconds(-9),
        outcome,
    }))
}

proptest! {
    #[test]
    fn nothing_is_good_without_a_proof_of_this_run_or_words_that_are_named(
        parts in prop::collection::vec(
            (a_token(), a_refresh(), an_access(), an_attestation(), any::<(bool, bool, bool)>()),
            3,
        ),
    ) {
        let mut world = World::new();
        for (key, (token, refresh, access, said, (denied, held, lost))) in
            ["app", "two", "siem"].into_iter().zip(parts)
        {
            let tenant: TenantKey = key.parse().unwrap();
            world.tenant(key).attestation = said;
            world.tenant(key).consent_denied = denied.then(|| ConsentDenied {
                client_id: client(), at: seconds(-5), why: "no".to_owned(),
            });
            if held && key == "siem" {
                world.holds_refresh_token(80);
            }
            if lost {
                world.plan.apps.get_mut(&key.parse().unwrap()).unwrap().target = Target::Unknown;
            }
            world.proofs.tokens.extend(token.map(|proof| (tenant.clone(), proof)));
            world.proofs.refreshes.extend(refresh.map(|proof| (tenant.clone(), proof)));
            world.proofs.access.extend(access.map(|proof| (tenant.clone(), proof)));
        }
        let status = world.status();
        for tenant in &status.tenants {
            let wanted = &world.manifest.tenants[&tenant.key];
            let refreshed = match world.proofs.refreshes.get(&tenant.key) {
                Some(RefreshProof::Refreshed { scopes, .. }) => Some(scopes),
                _ => None,
            };
            let roles = match world.proofs.tokens.get(&tenant.key) {
                Some(TokenProof::Granted { roles, .. }) => Some(roles),
                _ => None,
            };
            for (name, facet) in &tenant.facets {
                let good = matches!(facet.state, State::Ok | State::Expiring);
                match name {
                    // Read, not called: whether it is as the manifest says is all there is to know.
                    FacetName::Registration => {}
                    FacetName::Secret if good => {
                        let taken = matches!(
                            world.proofs.refreshes.get(&tenant.key),
                            Some(RefreshProof::Refreshed { .. } | RefreshProof::WrongUser { .. })
                        );
                        prop_assert!(roles.is_some() || taken);
                        prop_assert_eq!(facet.evidence.kind, EvidenceKind::Proved);
                    }
                    FacetName::Consent if good => {
                        prop_assert_eq!(facet.evidence.kind, EvidenceKind::Proved);
                        let carried = |api: ResourceId, name: &str| {
                            roles.and_then(|roles| roles.get(&api)).is_some_and(|r| r.contains(name))
                        };
                        let enough = match tenant.key.as_str() {
                            "app" => carried(GRAPH, READ) && carried(GRAPH, ALERTS),
                            "two" => carried(GRAPH, READ) && carried(THREAT_PROTECTION, XDR),
                            _ => refreshed.is_some_and(|scopes| scopes.contains(READ)),
                        };
                        prop_assert!(enough);
                    }
                    FacetName::Token if good => {
                        prop_assert!(refreshed.is_some());
                        prop_assert_eq!(facet.evidence.kind, EvidenceKind::Proved);
                    }
                    FacetName::Access if good => {
                        let proof = world.proofs.access.get(&tenant.key);
                        prop_assert!(matches!(proof, Some(AccessProof::Read { .. })), "{:?}", proof);
                        prop_assert_eq!(facet.evidence.kind, EvidenceKind::Proved);
                    }
                    FacetName::Portal if good => {
                        prop_assert_eq!(facet.evidence.kind, EvidenceKind::Attested);
                        prop_assert!(facet.evidence.what.contains("ada"));
                    }
                    FacetName::Secret
                    | FacetName::Consent
                    | FacetName::Token
                    | FacetName::Access
                    | FacetName::Portal => {}
                }
                if facet.state == State::Unknown {
                    prop_assert_ne!(facet.evidence.kind, EvidenceKind::Proved);
                    prop_assert_ne!(tenant.overall, Overall::Reading);
                }
            }
            let said = world.seen.records[&wanted.app].tenants[&tenant.key].attestation.as_ref();
            let settled = said.is_some_and(|said| {
                said.client_id == client() && said.outcome != AttestedOutcome::Refused
            });
            let needs = wanted.portal == PortalAuthorization::Required && !settled;
            prop_assert_eq!(tenant.needs_portal(), needs);
        }
        let listed: BTreeSet<_> = status.summary().need_portal_authorization.into_iter().collect();
        let left: BTreeSet<_> =
            portal_left(&world.manifest, &world.seen.records).into_iter().collect();
        prop_assert_eq!(listed, left);
    }
}
