//! Refresh tokens: renewed, and each of their deaths.

use serde_json::{Value, json};

use super::{
    story::{CONTOSO, REDIRECT, Story, VERIFIER, landed, refusal},
    support::Fixture,
};
use crate::sandbox::{Opened, Options};

#[tokio::test]
async fn a_refresh_token_is_renewed_and_the_old_one_stays_good() {
    let s = Story::new().await;
    let old = s.refresh_token().await;
    let reply = s.refresh(CONTOSO, &old).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let new = reply.body["refresh_token"].as_str().unwrap();
    assert_ne!(new, old);
    assert_eq!(s.refresh(CONTOSO, &old).await.status, 200);
    assert_eq!(s.refresh(CONTOSO, new).await.status, 200);
    assert_eq!(s.refresh("organizations", new).await.status, 400);
    // Bound to user and client, not to the directory: at home the app was never consented to.
    let home = s.refresh("acme-soc.example", &old).await;
    assert_eq!(refusal(&home), (400, "invalid_grant", 65_001, Some("consent_required")));
    s.f.sandbox.advance("P80D").unwrap();
    let later = s.refresh(CONTOSO, new).await.body["refresh_token"].as_str().unwrap().to_owned();
    s.f.sandbox.advance("P80D").unwrap();
    assert_eq!(refusal(&s.refresh(CONTOSO, new).await), (400, "invalid_grant", 700_082, None));
    assert_eq!(s.refresh(CONTOSO, &later).await.status, 200);
    assert_eq!(refusal(&s.refresh(CONTOSO, "0.Anonsense").await).2, 9_002_313);
    for secret in [&old, &later] {
        assert!(s.f.sandbox.issued_secrets().contains(secret));
        assert!(!s.f.sandbox.world().to_string().contains(secret.as_str()));
    }
}

#[tokio::test]
async fn each_death_of_a_refresh_token_has_its_number() {
    let s = Story::new().await;
    let token = s.refresh_token().await;
    let alive = s.f.sandbox.world();
    let grant = "invalid_grant";
    let ask = async |tenant: &str| s.refresh(tenant, &token).await;

    s.change("Contoso", |d| d["signIn"] = json!({"policy": "mfa"}));
    assert_eq!(refusal(&ask(CONTOSO).await), (400, grant, 50_076, Some("basic_action")));
    // A sign-in under the policy gives the second factor, and its token stays good.
    let strong = s.redeem(CONTOSO, &s.code(), &[]).await;
    let strong = strong.body["refresh_token"].as_str().unwrap().to_owned();
    assert_eq!(s.refresh(CONTOSO, &strong).await.status, 200);

    for policy in ["block", "location"] {
        s.change("Contoso", |d| d["signIn"] = json!({"policy": policy}));
        let reply = ask(CONTOSO).await;
        assert_eq!(refusal(&reply), (400, grant, 53_003, Some("message_only")));
        let wanted: Value = serde_json::from_str(reply.body["claims"].as_str().unwrap()).unwrap();
        assert!(wanted["access_token"]["capolids"]["values"][0].is_string());
        match (policy, s.f.sandbox.open(&s.sign_in_link(&[]))) {
            ("block", Opened::Shown(text)) => assert!(text.contains("AADSTS53003"), "{text}"),
            ("location", Opened::Landed(_)) => {}
            (policy, other) => panic!("{policy}: {other:?}"),
        }
    }

    s.f.sandbox.put_world(&alive).unwrap();
    s.change("Contoso", |d| d["signIn"] = json!({"frequency": "P1D"}));
    assert_eq!(ask(CONTOSO).await.status, 200);
    s.f.sandbox.advance("P1D").unwrap();
    assert_eq!(refusal(&ask(CONTOSO).await), (400, grant, 70_043, Some("token_expired")));

    // Only where the account lives: that is how Microsoft revokes guests' tokens.
    s.f.sandbox.put_world(&alive).unwrap();
    let soon = (jiff::Timestamp::now() + jiff::SignedDuration::from_secs(5)).to_string();
    s.change("Contoso", |d| d["users"][0]["sessionsValidFrom"] = json!(soon));
    assert_eq!(ask(CONTOSO).await.status, 200);
    s.change("Acme SOC", |d| d["users"][0]["sessionsValidFrom"] = json!(soon));
    assert_eq!(refusal(&ask(CONTOSO).await), (400, grant, 50_173, Some("bad_token")));

    for directory in ["Contoso", "Acme SOC"] {
        s.f.sandbox.put_world(&alive).unwrap();
        s.change(directory, |d| d["users"][0]["disabled"] = json!(true));
        assert_eq!(refusal(&ask(CONTOSO).await), (400, grant, 50_057, None), "{directory}");
    }

    s.f.sandbox.put_world(&alive).unwrap();
    s.change("Contoso", |d| d["oauth2PermissionGrants"] = json!([]));
    assert_eq!(refusal(&ask(CONTOSO).await), (400, grant, 65_001, Some("consent_required")));
    s.change("Contoso", |d| d["servicePrincipals"] = json!([]));
    assert_eq!(refusal(&ask(CONTOSO).await), (400, grant, 65_001, Some("consent_required")));

    s.f.sandbox.put_world(&alive).unwrap();
    s.change("Contoso", |d| d["servicePrincipals"][0]["accountEnabled"] = json!(false));
    assert_eq!(refusal(&ask(CONTOSO).await), (400, "unauthorized_client", 7_000_112, None));

    // Another client's, and a stranger's directory.
    s.f.sandbox.put_world(&alive).unwrap();
    let fabrikam = s.link("fabrikam.example/adminconsent", &[("redirect_uri", REDIRECT)]);
    landed(&s.f.sandbox.open(&fabrikam));
    assert_eq!(refusal(&ask("fabrikam.example").await), (400, grant, 50_020, None));
    let o = s.f.operator.clone();
    let form = [
        ("grant_type", "refresh_token"),
        ("client_id", o.client_id.as_str()),
        ("client_secret", o.client_secret.as_str()),
        ("refresh_token", token.as_str()),
    ];
    let reply = s.f.token_request("acme-soc.example", &form).await;
    assert_eq!(refusal(&reply), (400, grant, 70_000, Some("client_mismatch")));

    s.f.sandbox.put_world(&alive).unwrap();
    s.f.sandbox.advance("P301D").unwrap();
    assert_eq!(refusal(&ask(CONTOSO).await), (401, "invalid_client", 7_000_222, None));
}

/// A nightly run of a year leaves as many as four months do.
#[tokio::test]
async fn refresh_tokens_long_dead_are_forgotten() {
    let s = Story::new().await;
    let first = s.refresh_token().await;
    let mut token = first.clone();
    let kept = || -> usize {
        let world = s.f.sandbox.world();
        let all = world["directories"].as_array().unwrap();
        all.iter().filter_map(|d| d["refreshTokens"].as_array()).map(Vec::len).sum()
    };
    for week in 1..=42 {
        s.f.sandbox.advance("P7D").unwrap();
        token = s.refresh(CONTOSO, &token).await.body["refresh_token"].as_str().unwrap().to_owned();
        // Of 120 days, the last one counted with its own.
        assert_eq!(kept(), (week + 1).min(18), "week {week}");
        if week == 13 {
            let dead = s.refresh(CONTOSO, &first).await;
            assert_eq!(refusal(&dead), (400, "invalid_grant", 700_082, None));
        }
    }
}

#[tokio::test]
async fn refresh_tokens_outlive_a_restart_and_stand_nowhere_in_clear() {
    let dir = tempfile::tempdir().unwrap();
    let options = || Options { dir: Some(dir.path().to_owned()), ..Options::default() };
    let mut s = Story::with(options()).await;
    let token = s.refresh_token().await;
    let rotated =
        s.refresh(CONTOSO, &token).await.body["refresh_token"].as_str().unwrap().to_owned();
    let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap_or_default();
    let codes = s.f.sandbox.issued_secrets();
    let clean = || {
        for file in ["world.json", "world.journal", "requests.jsonl"] {
            let text = read(file);
            for secret in codes.iter().filter(|c| c.starts_with("1.A") || c.starts_with("0.A")) {
                assert!(!text.contains(secret.as_str()), "{file}");
            }
            assert!(!text.contains("s3cr3t-state") && !text.contains(VERIFIER), "{file}");
        }
    };
    assert!(codes.iter().any(|c| c.starts_with("1.A")));
    clean();
    assert!(read("requests.jsonl").contains("login.authorize"));
    let Story { f, client, object, secret } = s;
    f.sandbox.stop().await;
    clean();
    let f = Fixture::with(options()).await;
    s = Story { f, client, object, secret };
    assert_eq!(s.refresh(CONTOSO, &token).await.status, 200);
    assert_eq!(s.refresh(CONTOSO, &rotated).await.status, 200);
    assert!(!s.object.is_empty());
}
