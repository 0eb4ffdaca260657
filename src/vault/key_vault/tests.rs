//! The key vault against the sandbox's: the promises of a folder's vault, kept by other means.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use azure_core::credentials::TokenCredential;
use serde_json::json;
use uuid::Uuid;

use crate::{
    cloud::Cloud,
    entra::Operator,
    http::{Network, NetworkOptions, Trust},
    ids::{Nonce, TenantId, TenantKey},
    sandbox::{Options, Sandbox},
    secret::Secret,
    vault::{
        AuditEntry, ConsentSeen, CredentialKind, CredentialRecord, CredentialState, Keeping,
        KeyVaultAccess, NewRefreshToken, NewVault, Record, Records, TenantSeen, Vault, VaultError,
        VaultWriter,
        record::Contradiction,
        testing::{created, credential, fleet, full_record, record, seconds},
    },
};

mod by_hand;

const VALUE: &str = "canary~Q8w.value-that-must-not-be-seen";

struct Place {
    sandbox: Sandbox,
    access: KeyVaultAccess,
}

impl Place {
    async fn new() -> Self {
        let sandbox = Sandbox::start(Options::default()).await.unwrap();
        let cloud = Cloud::from_file_text(&sandbox.cloud_yaml()).unwrap();
        let options = NetworkOptions {
            trust: Trust::Sandbox { ca_pem: sandbox.ca_pem().to_owned() },
            call_limit: Duration::from_secs(20),
            ..NetworkOptions::default()
        };
        let network = Network::new(options).unwrap();
        let who = sandbox.operator();
        let secret = Secret::new(who.client_secret);
        let operator = Operator::sandbox(&network, &cloud, who.client_id.parse().unwrap(), secret);
        let credential: Arc<dyn TokenCredential> =
            operator.credential(who.tenant_id.parse().unwrap()).unwrap();
        let access = KeyVaultAccess {
            network,
            url: cloud.key_vault(&"https://acme-soc.vault.azure.net".parse().unwrap()),
            credential,
            scope: cloud.key_vault_scope(),
            login: cloud.login.clone(),
        };
        Self { sandbox, access }
    }

    fn keeping(&self) -> Keeping {
        Keeping::KeyVault(self.access.clone())
    }

    async fn init(&self) -> Vault {
        Vault::init(&self.keeping(), &fleet(), NewVault::default()).await.unwrap().0
    }

    async fn open(&self) -> Vault {
        Vault::open(&self.keeping(), &fleet()).await.unwrap()
    }

    /// Changes what the key vault is.
    fn change(&self, change: impl FnOnce(&mut serde_json::Value)) {
        let mut world = self.sandbox.world();
        change(&mut world["keyVaults"][0]);
        self.sandbox.put_world(&world).unwrap();
    }

    fn as_role(&self, role: &str) {
        self.change(|vault| vault["assignments"][0]["role"] = json!(role));
    }

    fn asked(&self, operation: &str) -> usize {
        self.sandbox.requests().iter().filter(|r| r["operation"] == operation).count()
    }
}

fn secret(text: &str) -> Secret<String> {
    Secret::new(text.to_owned())
}

async fn writer(vault: &Vault) -> VaultWriter {
    vault.try_lock("test").await.unwrap().expect("nobody else writes")
}

async fn store(writer: &VaultWriter, app: &str, value: &str) -> (Record, Nonce) {
    let mut record = created(app);
    record.credentials = vec![credential(CredentialState::Stored)];
    let nonce = record.credentials[0].nonce.clone();
    writer.store_value(&record, &nonce, &secret(value)).await.unwrap();
    (record, nonce)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_comes_back_after_the_whole_life_of_a_credential() {
    let place = Place::new().await;
    let hand = writer(&place.init().await).await;
    let mut wanted = record("contoso");
    let nonce = Nonce::fresh();
    wanted.credentials.push(CredentialRecord::intended(
        nonce.clone(),
        CredentialKind::Secret,
        seconds(0),
    ));
    hand.write_record(&wanted).await.unwrap();
    assert!(matches!(hand.value(&wanted.app, &nonce).await, Err(VaultError::NoValue { .. })));
    let mut early = wanted.clone();
    early.credential_mut(&nonce).unwrap().state = CredentialState::Stored;
    assert!(matches!(
        hand.write_record(&early).await,
        Err(VaultError::Contradicts { why: Contradiction::ValueMissing(_), .. })
    ));
    assert!(matches!(
        hand.store_value(&early, &nonce, &secret(VALUE)).await,
        Err(VaultError::Contradicts { why: Contradiction::ValueWithoutClientId, .. })
    ));
    wanted.client_id = created("contoso").client_id;
    wanted.credential_mut(&nonce).unwrap().state = CredentialState::Stored;
    hand.store_value(&wanted, &nonce, &secret(VALUE)).await.unwrap();
    let proved = hand
        .change(&wanted.app, |record| record.credentials[0].state = CredentialState::Proved)
        .await
        .unwrap();

    let reader = place.open().await;
    assert!(reader.can_read());
    assert_eq!(
        reader.records().await.unwrap(),
        Records::from([(proved.app.clone(), proved.clone())])
    );
    assert_eq!(reader.record(&proved.app).await.unwrap(), Some(proved.clone()));
    assert_eq!(reader.value(&proved.app, &nonce).await.unwrap().expose(), VALUE);

    // A successor takes its place as a version; the old one stays readable until it is dropped.
    let mut rotated = proved.clone();
    rotated.credentials[0].state = CredentialState::Retiring;
    rotated.credentials.push(credential(CredentialState::Stored));
    let next = rotated.credentials[1].nonce.clone();
    hand.store_value(&rotated, &next, &secret("second")).await.unwrap();
    let reader = place.open().await;
    assert_eq!(reader.value(&proved.app, &nonce).await.unwrap().expose(), VALUE);
    assert_eq!(reader.value(&proved.app, &next).await.unwrap().expose(), "second");
    let mut only = rotated.clone();
    only.credentials.remove(0);
    assert!(hand.write_record(&only).await.is_err(), "a value is dropped only on purpose");
    hand.drop_values(&only).await.unwrap();
    only.credentials.clear();
    hand.drop_values(&only).await.unwrap();
    assert_eq!(place.open().await.record(&only.app).await.unwrap(), Some(only));
    let world = place.sandbox.world();
    let versions = &world["keyVaults"][0]["secrets"]["tenantry-acme-soc--contoso"]["versions"];
    for version in versions.as_array().unwrap() {
        let holds = version["tags"].get("label").is_some();
        assert_eq!(version["enabled"], !holds, "no dropped value can be read: {version}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_names_another_app_does_not_keep_the_values_of_the_old_one() {
    let place = Place::new().await;
    let hand = writer(&place.init().await).await;
    let (record, nonce) = store(&hand, "contoso", VALUE).await;
    let mut recreated = record.clone();
    recreated.client_id = created("contoso").client_id;
    assert!(matches!(
        hand.write_record(&recreated).await,
        Err(VaultError::Contradicts { why: Contradiction::ValuesOfAnother, .. })
    ));
    assert_eq!(hand.value(&record.app, &nonce).await.unwrap().expose(), VALUE);
    recreated.credentials.clear();
    hand.drop_values(&recreated).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn init_never_replaces_and_open_never_guesses() {
    let place = Place::new().await;
    let missing = Vault::open(&place.keeping(), &fleet()).await.unwrap_err();
    assert!(matches!(missing, VaultError::Missing { .. }), "{missing}");
    let vault = place.init().await;
    let again = Vault::init(&place.keeping(), &fleet(), NewVault::default()).await;
    assert!(matches!(again, Err(VaultError::Exists { .. })));
    // Another fleet has its own beside it.
    let other = "other-fleet".parse().unwrap();
    let theirs = Vault::init(&place.keeping(), &other, NewVault::default()).await.unwrap().0;
    assert_ne!(theirs.id(), vault.id());
    assert_eq!(place.open().await.id(), vault.id());

    store(&writer(&vault).await, "contoso", VALUE).await;
    assert_eq!(theirs.records().await.unwrap().len(), 0);
    place.change(|vault| {
        let secrets = vault["secrets"].as_object_mut().unwrap();
        secrets.remove("tenantry-acme-soc").unwrap();
    });
    let error = Vault::open(&place.keeping(), &fleet()).await.unwrap_err();
    assert!(matches!(error, VaultError::Headless { records: 1, .. }), "{error}");
    let error = Vault::open_or_init(&place.keeping(), &fleet()).await.unwrap_err();
    assert!(matches!(error, VaultError::Headless { .. }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_who_make_the_same_vault_end_with_one() {
    let place = Place::new().await;
    let makers = (0..4).map(|_| {
        let keeping = place.keeping();
        tokio::spawn(async move { Vault::open_or_init(&keeping, &fleet()).await.unwrap().id() })
    });
    let ids = futures::future::join_all(makers.collect::<Vec<_>>()).await;
    let ids: Vec<_> = ids.into_iter().map(Result::unwrap).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_eq!(place.open().await.id(), ids[0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_second_writer_waits_and_is_told_for_whom() {
    let place = Place::new().await;
    let vault = place.init().await;
    let first = vault.lock("apply", |_| panic!("nobody to wait for")).await.unwrap();
    let second = place.open().await;
    assert!(second.try_lock("rotate").await.unwrap().is_none());
    assert_eq!(second.health().await.unwrap().holder.unwrap().command, "apply");
    let (told, heard) = tokio::sync::oneshot::channel();
    let waiter = tokio::spawn(async move {
        second.lock("rotate", |holder| drop(told.send(holder.cloned()))).await.unwrap()
    });
    let holder = heard.await.unwrap().expect("it has said who it is");
    assert_eq!((holder.pid, holder.command.as_str()), (std::process::id(), "apply"));
    assert!(!waiter.is_finished());
    // What the first one writes, the second one sees when its turn comes.
    let (record, _) = store(&first, "contoso", VALUE).await;
    drop(first);
    let hand = waiter.await.unwrap();
    assert_eq!(hand.records().await.unwrap().len(), 1);
    assert_eq!(hand.record(&record.app).await.unwrap(), Some(record));
    drop(hand);
    assert_eq!(vault.health().await.unwrap().holder, None);
    // Nor does the first one go on believing what it knew while it was alone.
    let hand = writer(&place.open().await).await;
    store(&hand, "fabrikam", VALUE).await;
    assert_eq!(vault.records().await.unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_writers_at_once_one_writes_at_a_time() {
    let place = Place::new().await;
    let vault = place.init().await;
    let first = writer(&vault).await;
    first.write_record(&created("shared")).await.unwrap();
    drop(first);
    let inside = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let writers = (0..4).map(|number| {
        let (keeping, inside) = (place.keeping(), inside.clone());
        tokio::spawn(async move {
            let vault = Vault::open(&keeping, &fleet()).await.unwrap();
            let hand = vault.lock("test", |_| {}).await.unwrap();
            assert_eq!(inside.fetch_add(1, std::sync::atomic::Ordering::SeqCst), 0);
            hand.change(&"shared".parse().unwrap(), move |record| {
                let id = TenantId::from_uuid(Uuid::new_v4());
                let tenant = crate::vault::TenantRecord::pinned(id);
                record.tenants.insert(format!("t{number}").parse().unwrap(), tenant);
            })
            .await
            .unwrap();
            inside.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
        })
    });
    for done in futures::future::join_all(writers.collect::<Vec<_>>()).await {
        done.unwrap();
    }
    let record = place.open().await.record(&"shared".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(record.tenants.len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn tasks_that_change_one_record_lose_nothing() {
    let place = Place::new().await;
    let hand = Arc::new(writer(&place.init().await).await);
    let app = created("shared");
    hand.write_record(&app).await.unwrap();
    let tasks = (0..20).map(|number| {
        let (hand, app) = (hand.clone(), app.app.clone());
        tokio::spawn(async move {
            hand.change(&app, move |record| {
                let id = TenantId::from_uuid(Uuid::new_v4());
                let tenant = crate::vault::TenantRecord::pinned(id);
                record.tenants.insert(format!("t{number}").parse().unwrap(), tenant);
            })
            .await
            .unwrap();
        })
    });
    futures::future::join_all(tasks.collect::<Vec<_>>()).await;
    assert_eq!(place.open().await.record(&app.app).await.unwrap().unwrap().tenants.len(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_seen_is_remembered_and_only_changes_are_written() {
    let place = Place::new().await;
    let hand = writer(&place.init().await).await;
    let (record, nonce) = store(&hand, "contoso", VALUE).await;
    let seen = TenantSeen {
        tenant: "contoso".parse().unwrap(),
        id: TenantId::from_uuid(Uuid::new_v4()),
        facets: BTreeMap::from([("secret".into(), ("ok".into(), None))]),
        last_good: None,
        consent: ConsentSeen::NotProved,
    };
    let all = BTreeMap::from([
        (record.app.clone(), vec![seen.clone()]),
        ("unknown".parse().unwrap(), vec![seen.clone()]),
    ]);
    assert_eq!(hand.remember(all.clone(), seconds(1)).await.unwrap(), 1);
    place.sandbox.clear_requests();
    assert_eq!(hand.remember(all, seconds(2)).await.unwrap(), 0);
    assert_eq!(place.sandbox.requests().len(), 0, "nothing changed, so nothing was asked");
    let known = place.open().await.record(&record.app).await.unwrap().unwrap();
    assert_eq!(known.tenants[&seen.tenant].facets["secret"].since, seconds(1));
    assert_eq!(hand.value(&record.app, &nonce).await.unwrap().expose(), VALUE);
    let moved = TenantSeen { id: TenantId::from_uuid(Uuid::new_v4()), ..seen };
    let error =
        hand.remember(BTreeMap::from([(record.app, vec![moved])]), seconds(3)).await.unwrap_err();
    assert!(error.to_string().contains("pinned to directory"), "{error}");
}

fn token(tenant: &str, directory: TenantId, value: &str) -> NewRefreshToken {
    NewRefreshToken {
        tenant: tenant.parse().unwrap(),
        directory,
        user: "ada@acme-soc.example".into(),
        object: None,
        allowed_roles: std::collections::BTreeSet::new(),
        value: secret(value),
        at: seconds(1),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refresh_tokens_rotate_beside_the_secrets_and_none_is_lost() {
    let place = Place::new().await;
    let hand = writer(&place.init().await).await;
    let (record, secret_nonce) = store(&hand, "shared", VALUE).await;
    let (one, two) = (TenantId::from_uuid(Uuid::new_v4()), TenantId::from_uuid(Uuid::new_v4()));
    let first = hand.keep_refresh_token(&record.app, token("one", one, "token-1")).await.unwrap();
    let other = hand.keep_refresh_token(&record.app, token("two", two, "token-2")).await.unwrap();
    let next = hand.keep_refresh_token(&record.app, token("one", one, "token-3")).await.unwrap();
    let reader = place.open().await;
    for (nonce, value) in [(&secret_nonce, VALUE), (&other, "token-2"), (&next, "token-3")] {
        assert_eq!(reader.value(&record.app, nonce).await.unwrap().expose(), value);
    }
    assert!(matches!(reader.value(&record.app, &first).await, Err(VaultError::NoValue { .. })));
    let elsewhere = hand.keep_refresh_token(&record.app, token("one", two, "x")).await;
    assert!(matches!(elsewhere, Err(VaultError::Contradicts { .. })));

    // The answer to a write is lost: the write is made again, and the newest token is the one kept.
    place
        .sandbox
        .add_faults(&json!([{"operation": "vault.setSecret", "do": "cut-after"}]))
        .unwrap();
    let kept = hand.keep_refresh_token(&record.app, token("one", one, "token-4")).await.unwrap();
    assert_eq!(place.open().await.value(&record.app, &kept).await.unwrap().expose(), "token-4");

    let tenant: TenantKey = "one".parse().unwrap();
    assert!(hand.forget_refresh_token(&record.app, &tenant).await.unwrap());
    assert!(!hand.forget_refresh_token(&record.app, &tenant).await.unwrap());
    let known = place.open().await.record(&record.app).await.unwrap().unwrap();
    assert!(known.refresh_token(&tenant).is_none() && known.tenants.contains_key(&tenant));
    assert_eq!(place.open().await.value(&record.app, &other).await.unwrap().expose(), "token-2");
}

/// A run is killed at each of its writes: what another finds there is whole, and old or new.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_never_comes_leaves_what_was_there() {
    let place = Place::new().await;
    let hand = writer(&place.init().await).await;
    let (record, _) = store(&hand, "shared", VALUE).await;
    let directory = TenantId::from_uuid(Uuid::new_v4());
    let old = hand.keep_refresh_token(&record.app, token("one", directory, "old")).await.unwrap();
    for kind in ["cut-before", "cut-after"] {
        place
            .sandbox
            .add_faults(&json!([{"operation": "vault.setSecret", "do": kind, "times": 50}]))
            .unwrap();
        let failed = hand.keep_refresh_token(&record.app, token("one", directory, "new")).await;
        assert!(matches!(failed, Err(VaultError::Refused { .. })), "{failed:?}");
        place.sandbox.clear_faults();
        let reader = place.open().await;
        let known = reader.records().await.unwrap().remove(&record.app).unwrap();
        let tenant: TenantKey = "one".parse().unwrap();
        let now = known.refresh_token(&tenant).expect("one of the two is there").nonce.clone();
        let value = reader.value(&record.app, &now).await.unwrap();
        match kind {
            "cut-before" => assert_eq!((now, value.expose().as_str()), (old.clone(), "old")),
            _ => assert_eq!(value.expose(), "new"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_read_names_plans_and_who_may_read_values_proves() {
    let place = Place::new().await;
    let vault = place.init().await;
    let (record, nonce) = {
        let hand = writer(&vault).await;
        let (record, nonce) = store(&hand, "contoso", VALUE).await;
        hand.audit(AuditEntry::new(seconds(0), "ada", "apply")).await.unwrap();
        (record, nonce)
    };
    place.as_role("Key Vault Reader");
    let reader = place.open().await;
    assert_eq!(reader.id(), vault.id());
    assert!(!reader.can_read() && reader.unlock().await.is_err());
    assert_eq!(reader.records().await.unwrap()[&record.app], record);
    assert!(matches!(reader.value(&record.app, &nonce).await, Err(VaultError::Key(_))));
    let error = reader.try_lock("apply").await.unwrap_err();
    assert!(error.to_string().contains("ForbiddenByRbac"), "{error}");
    assert_eq!(error.severity(), crate::vault::Severity::MayNot);
    assert!(error.hint().unwrap().contains("Key Vault Secrets Officer"));
    assert!(reader.check_writable().await.is_err());

    place.as_role("Key Vault Secrets User");
    let user = place.open().await;
    assert_eq!(user.value(&record.app, &nonce).await.unwrap().expose(), VALUE);
    place.change(|vault| vault["assignments"] = json!([]));
    let error = Vault::open(&place.keeping(), &fleet()).await.unwrap_err();
    assert_eq!(error.severity(), crate::vault::Severity::MayNot);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_name_is_recovered_and_a_broken_one_named() {
    let place = Place::new().await;
    let vault = place.init().await;
    let hand = writer(&vault).await;
    let (record, _) = store(&hand, "contoso", VALUE).await;
    let directory = TenantId::from_uuid(Uuid::new_v4());
    hand.keep_refresh_token(&record.app, token("one", directory, "t")).await.unwrap();
    // The tenant leaves the app, and comes back while its secret lies in the bin.
    let mut without = hand.record(&record.app).await.unwrap().unwrap();
    without.forget_token(&"one".parse().unwrap());
    without.tenants.clear();
    hand.drop_values(&without).await.unwrap();
    assert_eq!(place.asked("vault.deleteSecret"), 2, "the tenant's, and the claim of init");
    let again = hand.keep_refresh_token(&record.app, token("one", directory, "u")).await.unwrap();
    assert_eq!(place.asked("vault.recover"), 1);
    assert_eq!(place.open().await.value(&record.app, &again).await.unwrap().expose(), "u");
    drop(hand);

    place.change(|vault| {
        let tags = &mut vault["secrets"]["tenantry-acme-soc--contoso"]["versions"];
        let newest = tags.as_array_mut().unwrap().last_mut().unwrap();
        newest["tags"]["record-01"] = json!("{\"app\":");
    });
    let reader = place.open().await;
    let error = reader.records().await.unwrap_err();
    assert!(error.to_string().contains("secrets/tenantry-acme-soc--contoso is damaged"), "{error}");
    // Nor is it taken for missing under the lock, where a plan would make its secret anew.
    let hand = writer(&reader).await;
    assert!(matches!(hand.records().await, Err(VaultError::Damaged(_))));
    assert!(matches!(hand.record(&record.app).await, Err(VaultError::Damaged(_))));
    drop(hand);
    assert!(matches!(reader.record(&record.app).await, Err(VaultError::Damaged(_))));
    assert_eq!(reader.survey().await.unwrap().1.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_of_another_app_is_not_taken_for_this_ones() {
    let place = Place::new().await;
    let hand = writer(&place.init().await).await;
    let (mine, nonce) = store(&hand, "contoso", VALUE).await;
    store(&hand, "fabrikam", "theirs").await;
    drop(hand);
    place.change(|vault| {
        let theirs = vault["secrets"]["tenantry-acme-soc--fabrikam"]["versions"][0].clone();
        let mut moved = theirs;
        moved["tags"] = {
            let mine = &vault["secrets"]["tenantry-acme-soc--contoso"]["versions"][0]["tags"];
            let mut tags = mine.clone();
            tags["label"] = moved["tags"]["label"].clone();
            tags
        };
        vault["secrets"]["tenantry-acme-soc--contoso"]["versions"] = json!([moved]);
    });
    let error = place.open().await.value(&mine.app, &nonce).await.unwrap_err();
    assert!(matches!(error, VaultError::Damaged(_)), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_vault_that_asks_for_another_token_gets_none() {
    let place = Place::new().await;
    let mut access = place.access.clone();
    access.scope = "https://graph.microsoft.com/.default".to_owned();
    let error = Vault::open(&Keeping::KeyVault(access), &fleet()).await.unwrap_err();
    assert!(error.to_string().contains("none was given"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn four_hundred_apps_are_read_in_a_listing_and_no_value_is_seen() {
    let place = Place::new().await;
    let hand = writer(&place.init().await).await;
    let apps: Vec<Record> = (0..400)
        .map(|number| {
            let mut record = full_record(&format!("t{number}"));
            record.credentials.retain(|one| !one.state.has_value());
            record
        })
        .collect();
    futures::future::join_all(apps.iter().map(|record| hand.write_record(record)))
        .await
        .into_iter()
        .for_each(|written| written.unwrap());
    let (record, nonce) = store(&hand, "contoso", VALUE).await;
    place.sandbox.clear_requests();
    let vault = place.open().await;
    assert_eq!(vault.records().await.unwrap().len(), 401);
    // One to open; then two secrets an app, with head and claim, 25 a page.
    assert_eq!(place.asked("vault.listSecrets"), 33);
    assert!(place.sandbox.requests().len() <= 36, "{}", place.sandbox.requests().len());
    let shown = format!(
        "{vault:?} {hand:?} {record:?} {:?} {:?}",
        vault.health().await.unwrap(),
        vault.value(&record.app, &nonce).await.unwrap()
    );
    assert!(!shown.contains(VALUE));
}
