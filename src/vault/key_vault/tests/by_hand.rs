//! What people do to a key vault by hand, and what becomes of it.

use serde_json::json;

use super::{Place, VALUE, store, writer};
use crate::vault::{CredentialState, NewVault, Vault, VaultError, testing::fleet};

/// What somebody does who deletes these secrets by hand.
fn delete(vault: &mut serde_json::Value, which: impl Fn(&str) -> bool) {
    let secrets = vault["secrets"].as_object().unwrap().clone();
    for (name, secret) in secrets.into_iter().filter(|(name, _)| which(name)) {
        vault["secrets"].as_object_mut().unwrap().remove(&name);
        let deleted = secret["versions"][0]["updated"].clone();
        vault["deletedSecrets"][name] = json!({"secret": secret, "deleted": deleted});
    }
}

/// What somebody does who recovers all of it.
fn recover(vault: &mut serde_json::Value) {
    let deleted = vault["deletedSecrets"].as_object().unwrap().clone();
    for (name, deleted) in deleted {
        vault["secrets"][name] = deleted["secret"].clone();
    }
    vault["deletedSecrets"] = json!({});
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lies_in_the_bin_is_not_replaced_by_a_new_vault() {
    let place = Place::new().await;
    let vault = place.init().await;
    let (record, nonce) = store(&writer(&vault).await, "contoso", VALUE).await;
    let all = |_: &str| true;
    let head = |name: &str| name == "tenantry-acme-soc";
    let others = |name: &str| name != "tenantry-acme-soc";
    for which in [&all as &dyn Fn(&str) -> bool, &head, &others] {
        place.change(|vault| delete(vault, which));
        if which("tenantry-acme-soc") {
            let error = Vault::open(&place.keeping(), &fleet()).await.unwrap_err();
            assert!(matches!(error, VaultError::Buried { .. }), "{error}");
            assert!(!error.hint().unwrap().contains("vault init"));
        } else {
            // Somebody purged the first one.
            place.change(|vault| {
                vault["secrets"].as_object_mut().unwrap().remove("tenantry-acme-soc").unwrap();
            });
        }
        let error = Vault::init(&place.keeping(), &fleet(), NewVault::default()).await.unwrap_err();
        assert!(matches!(error, VaultError::Buried { until: Some(_), .. }), "{error}");
        assert_eq!(error.severity(), crate::vault::Severity::Guard);
        assert!(error.to_string().contains("tenantry-acme-soc"), "{error}");
        if which("tenantry-acme-soc") {
            place.change(recover);
            let vault = place.open().await;
            assert_eq!(vault.records().await.unwrap()[&record.app], record);
            assert_eq!(vault.value(&record.app, &nonce).await.unwrap().expose(), VALUE);
        }
    }
    // Another fleet's are not this one's.
    let other = "other-fleet".parse().unwrap();
    Vault::init(&place.keeping(), &other, NewVault::default()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_look_into_the_bin_makes_no_vault_over_it_either() {
    let place = Place::new().await;
    place.init().await;
    place.change(|vault| delete(vault, |_| true));
    place
        .sandbox
        .add_faults(&json!([{"operation": "vault.listDeleted", "do": {"status": 403}}]))
        .unwrap();
    let error = Vault::init(&place.keeping(), &fleet(), NewVault::default()).await.unwrap_err();
    assert!(matches!(error, VaultError::Buried { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_was_not_written_with_its_tags_is_given_to_nobody() {
    let place = Place::new().await;
    let hand = writer(&place.init().await).await;
    let (mine, nonce) = store(&hand, "contoso", VALUE).await;
    let (theirs, other) = store(&hand, "fabrikam", "theirs").await;
    drop(hand);
    let good = place.sandbox.world();
    let named = |app: &str| format!("tenantry-acme-soc--{app}");
    // Values swapped by hand.
    place.change(|vault| {
        let of = |app: &str| vault["secrets"][named(app)]["versions"][0]["valueHash"].clone();
        let (one, two) = (of("contoso"), of("fabrikam"));
        vault["secrets"][named("contoso")]["versions"][0]["valueHash"] = two;
        vault["secrets"][named("fabrikam")]["versions"][0]["valueHash"] = one;
    });
    for (app, nonce) in [(&mine.app, &nonce), (&theirs.app, &other)] {
        let error = place.open().await.value(app, nonce).await.unwrap_err();
        assert!(matches!(error, VaultError::Damaged(_)), "{error}");
        assert_eq!(error.severity(), crate::vault::Severity::Guard);
    }
    // A version made by hand, with the tags of the one before.
    place.sandbox.put_world(&good).unwrap();
    place.change(|vault| {
        let hash = vault["secrets"][named("fabrikam")]["versions"][0]["valueHash"].clone();
        let versions = vault["secrets"][named("contoso")]["versions"].as_array_mut().unwrap();
        let mut manual = versions[0].clone();
        manual["valueHash"] = hash;
        manual["id"] = json!("0".repeat(32));
        versions.push(manual);
    });
    let error = place.open().await.value(&mine.app, &nonce).await.unwrap_err();
    assert!(matches!(error, VaultError::Damaged(_)), "{error}");
    // Nor does a change of the record bind what is there now.
    let hand = writer(&place.open().await).await;
    hand.change(&mine.app, |record| record.credentials[0].state = CredentialState::Proved)
        .await
        .unwrap();
    assert!(matches!(hand.value(&mine.app, &nonce).await, Err(VaultError::Damaged(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_was_never_bound_is_read_and_bound_by_the_next_write() {
    let place = Place::new().await;
    let hand = writer(&place.init().await).await;
    let (record, nonce) = store(&hand, "contoso", VALUE).await;
    drop(hand);
    let tag = |change: &dyn Fn(&mut String)| {
        let mut found = String::new();
        place.change(|vault| {
            let version = &mut vault["secrets"]["tenantry-acme-soc--contoso"]["versions"][0];
            found = version["tags"]["tenantry-vault"].as_str().unwrap().to_owned();
            change(&mut found);
            version["tags"]["tenantry-vault"] = json!(found);
        });
        found
    };
    let bound = tag(&|_| {});
    assert!(bound.contains(" sha256:"), "{bound}");
    tag(&|tag| tag.truncate(36));
    let vault = place.open().await;
    assert_eq!(vault.value(&record.app, &nonce).await.unwrap().expose(), VALUE);
    let hand = writer(&vault).await;
    hand.change(&record.app, |record| record.credentials[0].state = CredentialState::Proved)
        .await
        .unwrap();
    drop(hand);
    assert_eq!(tag(&|_| {}), bound);
    assert_eq!(place.open().await.value(&record.app, &nonce).await.unwrap().expose(), VALUE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_version_and_a_lost_label_are_told_with_their_cause() {
    let place = Place::new().await;
    let hand = writer(&place.init().await).await;
    let (record, nonce) = store(&hand, "contoso", VALUE).await;
    drop(hand);
    let good = place.sandbox.world();
    let version = |change: &dyn Fn(&mut serde_json::Value)| {
        place.change(|vault| {
            change(&mut vault["secrets"]["tenantry-acme-soc--contoso"]["versions"][0]);
        });
    };
    version(&|version| version["enabled"] = json!(false));
    let vault = place.open().await;
    assert_eq!(vault.records().await.unwrap().len(), 1);
    let error = vault.value(&record.app, &nonce).await.unwrap_err().to_string();
    assert!(error.contains("--vault-name acme-soc --name tenantry-acme-soc--contoso"), "{error}");
    assert!(error.contains("--enabled true"), "{error}");
    place.sandbox.put_world(&good).unwrap();
    version(&|version| drop(version["tags"].as_object_mut().unwrap().remove("label")));
    let error = place.open().await.value(&record.app, &nonce).await.unwrap_err();
    assert!(matches!(error, VaultError::Damaged(_)) && error.to_string().contains("`label`"));
    // The first secret's value is words: which vault it is, its tags say.
    place.sandbox.put_world(&good).unwrap();
    place.change(|vault| {
        vault["secrets"]["tenantry-acme-soc"]["versions"][0]["enabled"] = json!(false);
    });
    let vault = place.open().await;
    assert!(vault.can_read());
    assert_eq!(vault.value(&record.app, &nonce).await.unwrap().expose(), VALUE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_was_let_go_leaves_nothing_in_the_bin_where_that_is_allowed() {
    let place = Place::new().await;
    let vault = place.init().await;
    let left = || {
        let world = place.sandbox.world();
        world["keyVaults"][0]["deletedSecrets"].as_object().map_or(0, |all| all.len())
    };
    drop(writer(&vault).await);
    assert_eq!(left(), 0);
    place.change(|vault| vault["purgeProtection"] = json!(true));
    place.sandbox.clear_requests();
    drop(writer(&vault).await);
    assert_eq!(left(), 1, "it may not be purged");
    assert_eq!(place.asked("vault.purge"), 1, "and nobody insists");
}
