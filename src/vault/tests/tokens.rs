//! Refresh tokens: kept at each rotation in one replacement, beside the secrets and never among
//! them.

use super::*;
use crate::ids::{CredentialName, TenantKey};

const OLD: &str = "canary-old-refresh-token";
const NEW: &str = "canary-new-refresh-token";

fn tenant(key: &str) -> TenantKey {
    key.parse().unwrap()
}

fn token(of: &str, directory: TenantId, value: &str) -> NewRefreshToken {
    NewRefreshToken {
        tenant: tenant(of),
        directory,
        user: "soc-reader@acme-soc.example".to_owned(),
        object: None,
        allowed_roles: std::collections::BTreeSet::new(),
        value: secret(value),
        at: seconds(100),
    }
}

async fn held(vault: &Vault, app: &AppKey, of: &str) -> Option<String> {
    let record = vault.record(app).await.unwrap().unwrap();
    let nonce = record.refresh_token(&tenant(of))?.nonce.clone();
    Some(vault.value(app, &nonce).await.unwrap().expose().clone())
}

fn directory(number: u128) -> TenantId {
    TenantId::from_uuid(Uuid::from_u128(number))
}

#[tokio::test]
async fn a_new_token_takes_the_place_of_the_tenants_old_one_and_of_nothing_else() {
    let place = Place::new();
    let hand = writer(&place.init().await).await;
    let (record, nonce) = store(&hand, "shared", VALUE).await;
    let app = record.app.clone();
    hand.keep_refresh_token(&app, token("contoso", directory(1), OLD)).await.unwrap();
    hand.keep_refresh_token(&app, token("fabrikam", directory(2), "theirs")).await.unwrap();
    let newest = hand.keep_refresh_token(&app, token("contoso", directory(1), NEW)).await.unwrap();

    assert_eq!(held(&hand, &app, "contoso").await.as_deref(), Some(NEW));
    assert_eq!(held(&hand, &app, "fabrikam").await.as_deref(), Some("theirs"));
    assert_eq!(hand.value(&app, &nonce).await.unwrap().expose(), VALUE);
    let known = hand.record(&app).await.unwrap().unwrap();
    assert_eq!((known.credentials.len(), known.own().count()), (3, 1));
    let kept = known.refresh_token(&tenant("contoso")).unwrap();
    assert_eq!((&kept.nonce, kept.state), (&newest, CredentialState::Stored));
    assert_eq!(kept.start, Some(seconds(100)));
    assert_eq!(kept.end, Some(seconds(100 + 90 * 86_400)));
    assert_eq!(kept.user.as_deref(), Some("soc-reader@acme-soc.example"));
    assert_eq!(known.current(CredentialKind::Secret, seconds(5)).unwrap().nonce, nonce);
    // A credential in a directory that bears its name is not taken for it.
    let name = CredentialName { vault: hand.id(), nonce: newest.clone() }.to_string();
    assert_eq!(
        recognise(Some(&name), hand.id(), Some(&known)),
        Ownership::OursUnknown { nonce: newest }
    );
    let text = fs::read_to_string(place.folder().join("shared.age")).unwrap();
    assert!(!text.contains("canary"));

    assert!(hand.forget_refresh_token(&app, &tenant("contoso")).await.unwrap());
    assert!(!hand.forget_refresh_token(&app, &tenant("contoso")).await.unwrap());
    assert_eq!(held(&hand, &app, "contoso").await, None);
    assert_eq!(held(&hand, &app, "fabrikam").await.as_deref(), Some("theirs"));
}

#[tokio::test]
async fn a_token_that_cannot_be_kept_leaves_the_old_one() {
    let place = Place::new();
    let hand = writer(&place.init().await).await;
    let (record, _) = store(&hand, "contoso", VALUE).await;
    let app = record.app.clone();
    hand.keep_refresh_token(&app, token("contoso", directory(1), OLD)).await.unwrap();
    let elsewhere = hand.keep_refresh_token(&app, token("contoso", directory(2), NEW)).await;
    let error = elsewhere.unwrap_err();
    assert!(
        matches!(&error, VaultError::Contradicts { why: Contradiction::Repinned { .. }, .. }),
        "{error}"
    );
    assert!(!error.to_string().contains("canary"));
    let bare = super::record("bare");
    hand.write_record(&bare).await.unwrap();
    // Before the app has a client id it cannot be said whose the token is.
    assert!(hand.keep_refresh_token(&bare.app, token("bare", directory(3), NEW)).await.is_err());
    let nobody = "nobody".parse().unwrap();
    assert!(hand.keep_refresh_token(&nobody, token("nobody", directory(4), NEW)).await.is_err());
    assert_eq!(held(&hand, &app, "contoso").await.as_deref(), Some(OLD));
    // Nor does a record that forgot the tenant, or a second token, get in.
    let mut known = hand.record(&app).await.unwrap().unwrap();
    known.tenants.clear();
    assert!(hand.write_record(&known).await.is_err());
    assert_eq!(held(&hand, &app, "contoso").await.as_deref(), Some(OLD));
}

#[tokio::test]
async fn with_recipients_only_a_token_is_kept_and_cannot_be_read() {
    let place = Place::new();
    let full = place.init().await;
    let hand = writer(&full).await;
    let (record, _) = store(&hand, "contoso", VALUE).await;
    drop(hand);
    let blind = place.open(KeySource::folder(place.root.path().join("no keys"))).await;
    let hand = writer(&blind).await;
    let nonce =
        hand.keep_refresh_token(&record.app, token("contoso", directory(1), NEW)).await.unwrap();
    assert!(hand.value(&record.app, &nonce).await.is_err());
    assert_eq!(held(&full, &record.app, "contoso").await.as_deref(), Some(NEW));
}

#[tokio::test]
async fn files_of_before_still_read_and_new_members_come_back() {
    let place = Place::new();
    let hand = writer(&place.init().await).await;
    let (record, _) = store(&hand, "contoso", VALUE).await;
    let text = fs::read_to_string(place.folder().join("contoso.age")).unwrap();
    // What an app without sign-ins looks like has not changed.
    assert!(!text.contains("\"user\"") && !text.contains("consentDenied"), "{text}");
    hand.keep_refresh_token(&record.app, token("contoso", directory(1), NEW)).await.unwrap();
    let denied = ConsentDenied {
        client_id: record.client_id.unwrap(),
        at: seconds(7),
        why: "The admin canceled the request".to_owned(),
    };
    let wanted = denied.clone();
    hand.change(&record.app, move |record| {
        for tenant in record.tenants.values_mut() {
            tenant.consent_denied = Some(denied.clone());
        }
    })
    .await
    .unwrap();
    let known = hand.record(&record.app).await.unwrap().unwrap();
    assert_eq!(known.tenants[&tenant("contoso")].consent_denied, Some(wanted));

    // A token that shows the consent ends the no, and nothing else does.
    for (consent, left) in [(ConsentSeen::NotProved, 1), (ConsentSeen::Proved, 0)] {
        let seen = TenantSeen {
            tenant: tenant("contoso"),
            id: directory(1),
            facets: BTreeMap::new(),
            last_good: None,
            consent,
        };
        hand.remember(BTreeMap::from([(record.app.clone(), vec![seen])]), seconds(9))
            .await
            .unwrap();
        let known = hand.record(&record.app).await.unwrap().unwrap();
        assert_eq!(known.tenants.values().filter(|t| t.consent_denied.is_some()).count(), left);
    }
}

/// Not a test of its own: the child of the next one, which dies at the write that it is told.
#[tokio::test]
#[ignore = "run by killed_at_any_write_of_a_rotation_a_token_is_there"]
async fn child_that_dies_at_a_rotation() {
    let Some(place) = std::env::var_os("TENANTRY_TEST_VAULT_PLACE") else { return };
    let place = std::path::Path::new(&place);
    let keys = KeySource::folder(place.join("keys"));
    let vault = Vault::open(&Keeping::folder(place.join("vault"), keys), &fleet()).await;
    let hand = writer(&vault.unwrap()).await;
    let app = "contoso".parse().unwrap();
    hand.keep_sign_in(&app, token("contoso", directory(1), NEW), "ada", "consent").await.unwrap();
}

#[tokio::test]
async fn killed_at_any_write_of_a_rotation_a_token_is_there() {
    let mut ends = Vec::new();
    loop {
        let place = Place::new();
        let vault = place.init().await;
        let hand = writer(&vault).await;
        let (record, nonce) = store(&hand, "contoso", VALUE).await;
        hand.keep_refresh_token(&record.app, token("contoso", directory(1), OLD)).await.unwrap();
        drop(hand);
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "vault::tests::tokens::child_that_dies_at_a_rotation", "--ignored"])
            .env("TENANTRY_TEST_VAULT_PLACE", place.root.path())
            .env("TENANTRY_DIE_AT_VAULT_WRITE", (ends.len() + 1).to_string())
            .output()
            .unwrap();
        let hand = vault.try_lock("next").await.unwrap().expect("the dead hold no lock");
        assert_eq!(hand.records().await.unwrap().len(), 1);
        assert_eq!(hand.value(&record.app, &nonce).await.unwrap().expose(), VALUE);
        ends.push(held(&hand, &record.app, "contoso").await.unwrap());
        // Whatever was left, the next run rotates on from it.
        hand.keep_refresh_token(&record.app, token("contoso", directory(1), "next")).await.unwrap();
        assert_eq!(held(&hand, &record.app, "contoso").await.as_deref(), Some("next"));
        if child.status.success() {
            let audit = fs::read_to_string(place.folder().join("audit.jsonl")).unwrap();
            let line: AuditEntry = serde_json::from_str(audit.trim()).unwrap();
            assert_eq!((line.step.as_deref(), line.who.as_str()), (Some("sign-in"), "ada"));
            assert!(line.ids.contains_key("nonce") && !audit.contains("canary"));
            break;
        }
    }
    // Before the rename, after it, around the line of audit, and undisturbed.
    assert_eq!(ends, [OLD, NEW, NEW, NEW, NEW]);
}
