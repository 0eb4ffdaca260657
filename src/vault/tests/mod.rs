//! The vault as its users meet it.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use tempfile::TempDir;
use uuid::Uuid;

use super::*;
use crate::{
    ids::TenantId,
    vault::testing::{created, credential, fleet, full_record, record, seconds},
};

mod crash;
mod keys;
mod tokens;

const VALUE: &str = "canary~Q8w.value-that-must-not-be-seen";

struct Place {
    root: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { root: tempfile::tempdir().unwrap() }
    }
    fn folder(&self) -> PathBuf {
        self.root.path().join("vault")
    }
    fn keeping(&self) -> Keeping {
        self.with(self.keys())
    }
    fn with(&self, keys: KeySource) -> Keeping {
        Keeping::folder(self.folder(), keys)
    }
    fn keys(&self) -> KeySource {
        KeySource::folder(self.root.path().join("keys"))
    }
    async fn init(&self) -> Vault {
        self.init_with(NewVault::default()).await.0
    }
    async fn init_with(&self, new: NewVault) -> (Vault, InitReport) {
        Vault::init(&self.keeping(), &fleet(), new).await.unwrap()
    }
    async fn open(&self, keys: KeySource) -> Vault {
        Vault::open(&self.with(keys), &fleet()).await.unwrap()
    }
}

fn secret(text: &str) -> Secret<String> {
    Secret::new(text.to_owned())
}

async fn writer(vault: &Vault) -> VaultWriter {
    vault.try_lock("test").await.unwrap().expect("nobody else writes")
}

/// Stores one app with one value.
async fn store(writer: &VaultWriter, app: &str, value: &str) -> (Record, Nonce) {
    let mut record = created(app);
    record.credentials = vec![credential(CredentialState::Stored)];
    let nonce = record.credentials[0].nonce.clone();
    writer.store_value(&record, &nonce, &secret(value)).await.unwrap();
    (record, nonce)
}

#[tokio::test]
async fn a_value_comes_back_after_the_whole_life_of_a_credential() {
    let place = Place::new();
    let writer = writer(&place.init().await).await;
    // The app before its upsert, the nonce before its addPassword.
    let mut wanted = record("contoso");
    let nonce = Nonce::fresh();
    wanted.credentials.push(CredentialRecord::intended(
        nonce.clone(),
        CredentialKind::Secret,
        seconds(0),
    ));
    writer.write_record(&wanted).await.unwrap();
    assert!(matches!(writer.value(&wanted.app, &nonce).await, Err(VaultError::NoValue { .. })));
    // A state that claims a value which is not there is never written.
    let mut early = wanted.clone();
    early.credential_mut(&nonce).unwrap().state = CredentialState::Stored;
    assert!(matches!(
        writer.write_record(&early).await,
        Err(VaultError::Contradicts { why: Contradiction::ValueMissing(_), .. })
    ));
    assert!(matches!(
        writer.store_value(&early, &nonce, &secret(VALUE)).await,
        Err(VaultError::Contradicts { why: Contradiction::ValueWithoutClientId, .. })
    ));

    wanted.client_id = created("contoso").client_id;
    wanted.credential_mut(&nonce).unwrap().state = CredentialState::Stored;
    writer.store_value(&wanted, &nonce, &secret(VALUE)).await.unwrap();
    let proved = writer
        .change(&wanted.app, |record| record.credentials[0].state = CredentialState::Proved)
        .await
        .unwrap();
    assert_eq!(proved.credentials[0].state, CredentialState::Proved);
    assert_eq!(writer.value(&wanted.app, &nonce).await.unwrap().expose(), VALUE);

    // Another handle, with the key from the disk, sees the same.
    let reader = place.open(place.keys()).await;
    assert!(reader.can_read());
    assert_eq!(
        reader.records().await.unwrap(),
        Records::from([(proved.app.clone(), proved.clone())])
    );
    assert_eq!(reader.record(&proved.app).await.unwrap(), Some(proved.clone()));
    assert_eq!(reader.value(&proved.app, &nonce).await.unwrap().expose(), VALUE);

    // A value replaced (a refresh token rotates), then dropped with its credential.
    writer.store_value(&proved, &nonce, &secret("second")).await.unwrap();
    assert_eq!(reader.value(&proved.app, &nonce).await.unwrap().expose(), "second");
    let mut without = proved.clone();
    without.credentials.clear();
    assert!(writer.write_record(&without).await.is_err(), "a value is dropped only on purpose");
    writer.drop_values(&without).await.unwrap();
    assert_eq!(reader.record(&proved.app).await.unwrap(), Some(without));
    assert!(!fs::read_to_string(place.folder().join("contoso.age")).unwrap().contains("BEGIN"));
}

#[tokio::test]
async fn a_record_that_names_another_app_does_not_keep_the_values_of_the_old_one() {
    let place = Place::new();
    let writer = writer(&place.init().await).await;
    let (record, nonce) = store(&writer, "contoso", VALUE).await;
    let mut recreated = record.clone();
    recreated.client_id = created("contoso").client_id;
    assert!(matches!(
        writer.write_record(&recreated).await,
        Err(VaultError::Contradicts { why: Contradiction::ValuesOfAnother, .. })
    ));
    assert_eq!(writer.value(&record.app, &nonce).await.unwrap().expose(), VALUE);
    recreated.credentials.clear();
    writer.drop_values(&recreated).await.unwrap();
}

#[tokio::test]
async fn init_never_replaces_and_open_never_guesses() {
    let place = Place::new();
    let missing = Vault::open(&place.keeping(), &fleet()).await.unwrap_err();
    assert!(matches!(missing, VaultError::Missing { .. }));
    assert!(missing.hint().unwrap().contains("tenantry vault init"));

    let vault = place.init().await;
    let again = Vault::init(&place.keeping(), &fleet(), NewVault::default()).await;
    assert!(matches!(again, Err(VaultError::Exists { .. })));
    assert_eq!(fs::read_dir(place.root.path().join("keys")).unwrap().count(), 1);

    let stranger = "other-fleet".parse().unwrap();
    let error = Vault::open(&place.keeping(), &stranger).await.unwrap_err();
    assert!(matches!(error, VaultError::OtherFleet { .. }));
    let error = Vault::init(&place.keeping(), &stranger, NewVault::default()).await;
    assert!(matches!(error, Err(VaultError::Exists { .. })));

    store(&writer(&vault).await, "contoso", VALUE).await;
    let about = place.folder().join("vault.json");
    fs::write(&about, "{}").unwrap();
    let error = Vault::open(&place.keeping(), &fleet()).await.unwrap_err();
    assert!(matches!(error, VaultError::Damaged(_)));
    fs::remove_file(&about).unwrap();
    let error = Vault::open(&place.keeping(), &fleet()).await.unwrap_err();
    assert!(matches!(error, VaultError::Headless { records: 1, .. }));
    let error = Vault::open_or_init(&place.keeping(), &fleet()).await.unwrap_err();
    assert!(matches!(error, VaultError::Headless { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_who_make_the_same_vault_end_with_one() {
    let place = Place::new();
    let keeping = place.keeping();
    let makers = (0..8).map(|_| {
        let keeping = keeping.clone();
        tokio::spawn(async move { Vault::open_or_init(&keeping, &fleet()).await.unwrap() })
    });
    let vaults = futures::future::join_all(makers.collect::<Vec<_>>()).await;
    let ids: Vec<_> = vaults.into_iter().map(|vault| vault.unwrap()).collect();
    assert!(ids.iter().all(|vault| vault.id() == ids[0].id() && vault.can_read()));
    assert_eq!(fs::read_dir(place.root.path().join("keys")).unwrap().count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_writer_waits_and_is_told_for_whom() {
    let place = Place::new();
    let vault = place.init().await;
    let first = vault.lock("apply", |_| panic!("nobody to wait for")).await.unwrap();
    let second = place.open(place.keys()).await;
    assert!(second.try_lock("rotate").await.unwrap().is_none());
    assert_eq!(second.health().await.unwrap().holder.unwrap().command, "apply");
    let (told, heard) = tokio::sync::oneshot::channel();
    let waiter = tokio::spawn(async move {
        second.lock("rotate", |holder| drop(told.send(holder.cloned()))).await.unwrap()
    });
    let holder = heard.await.unwrap().expect("it has said who it is");
    assert_eq!((holder.pid, holder.command.as_str()), (std::process::id(), "apply"));
    assert!(!waiter.is_finished());
    drop(first);
    waiter.await.unwrap();
    assert_eq!(vault.health().await.unwrap().holder, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_that_change_one_record_lose_nothing() {
    let place = Place::new();
    let writer = Arc::new(writer(&place.init().await).await);
    let app = created("shared");
    writer.write_record(&app).await.unwrap();
    let tasks = (0..20).map(|number| {
        let (writer, app) = (writer.clone(), app.app.clone());
        tokio::spawn(async move {
            writer
                .change(&app, move |record| {
                    let tenant = TenantRecord::pinned(TenantId::from_uuid(Uuid::new_v4()));
                    record.tenants.insert(format!("t{number}").parse().unwrap(), tenant);
                })
                .await
                .unwrap();
        })
    });
    futures::future::join_all(tasks.collect::<Vec<_>>()).await;
    assert_eq!(writer.record(&app.app).await.unwrap().unwrap().tenants.len(), 20);
}

#[tokio::test]
async fn what_was_seen_is_remembered_and_only_changes_are_written() {
    let place = Place::new();
    let writer = writer(&place.init().await).await;
    let (record, nonce) = store(&writer, "contoso", VALUE).await;
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
    assert_eq!(writer.remember(all.clone(), seconds(1)).await.unwrap(), 1);
    assert_eq!(writer.remember(all.clone(), seconds(2)).await.unwrap(), 0);
    let known = writer.record(&record.app).await.unwrap().unwrap();
    assert_eq!(known.tenants[&seen.tenant].facets["secret"].since, seconds(1));
    assert_eq!(writer.value(&record.app, &nonce).await.unwrap().expose(), VALUE);

    let moved = TenantSeen { id: TenantId::from_uuid(Uuid::new_v4()), ..seen };
    let error =
        writer.remember(BTreeMap::from([(record.app, vec![moved])]), seconds(3)).await.unwrap_err();
    assert!(error.to_string().contains("pinned to directory"), "{error}");
}

#[cfg(unix)]
#[tokio::test]
async fn everything_is_the_owners_alone_and_health_says_where_it_is_not() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = Place::new();
    let (vault, report) = place.init_with(NewVault::default()).await;
    let hand = writer(&vault).await;
    store(&hand, "contoso", VALUE).await;
    hand.audit(AuditEntry::new(seconds(0), "ada", "apply")).await.unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for folder in [place.folder(), place.root.path().join("keys")] {
        assert_eq!(mode(&folder), 0o700);
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            assert_eq!(mode(&path), 0o600, "{}", path.display());
        }
    }
    let health = vault.health().await.unwrap();
    assert!(health.writable.is_ok() && health.open_to_others.is_empty());
    assert_eq!((health.records, health.values, health.damaged.len()), (1, 1, 0));
    assert_eq!(health.key, KeyState::Ready(KeyOrigin::File(report.key_file.clone().unwrap())));

    let key = report.key_file.unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(vault.health().await.unwrap().open_to_others, [key]);
}

#[tokio::test]
async fn no_value_is_seen_outside_its_block() {
    let place = Place::new();
    let vault = place.init().await;
    let hand = writer(&vault).await;
    let (record, nonce) = store(&hand, "contoso", VALUE).await;
    hand.audit(AuditEntry::new(seconds(0), "ada", "reveal").app(&record.app)).await.unwrap();
    let shown = format!(
        "{vault:?} {hand:?} {record:?} {:?} {:?} {:?}",
        vault.health().await.unwrap(),
        vault.value(&record.app, &nonce).await.unwrap(),
        vault.records().await.unwrap(),
    );
    assert!(!shown.contains(VALUE) && !shown.contains("AGE-SECRET-KEY"));
    for entry in fs::read_dir(place.folder()).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        let found =
            |needle: &str| bytes.windows(needle.len()).any(|part| part == needle.as_bytes());
        assert!(!found(VALUE) && !found("AGE-SECRET-KEY"));
    }
}

#[tokio::test]
async fn ten_thousand_records_are_read_in_a_moment() {
    const APPS: usize = 10_000;
    let place = Place::new();
    let vault = place.init().await;
    let Backend::Folder(folder, _) = &vault.backend else { unreachable!("it is in a folder") };
    for number in 0..APPS {
        let record = full_record(&format!("tenant-{number}"));
        let values = record.credentials[..2]
            .iter()
            .map(|one| (one.nonce.clone(), testing::sealed()))
            .collect();
        let text = format::write(vault.id(), &format::AppFile { record: record.clone(), values });
        fs::write(folder.file_of(&record.app), text).unwrap();
    }
    let start = Instant::now();
    assert_eq!(vault.records().await.unwrap().len(), APPS);
    let took = start.elapsed();
    eprintln!("{APPS} records in {took:?}");
    // Without optimisation the same takes several times as long; the machine may be busy too.
    let patience = if cfg!(debug_assertions) { 10 } else { 1 };
    assert!(took < Duration::from_secs(patience), "{took:?}");
}
