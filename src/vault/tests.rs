//! The vault as its users meet it.

use std::{
    fs,
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
    time::Instant,
};

use tempfile::TempDir;
use uuid::Uuid;

use super::*;
use crate::{
    ids::TenantId,
    vault::testing::{created, credential, fleet, full_record, record, seconds},
};

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
    fn location(&self) -> VaultLocation {
        VaultLocation::Folder(self.folder())
    }
    fn keys(&self) -> KeySource {
        KeySource::folder(self.root.path().join("keys"))
    }
    async fn init(&self) -> Vault {
        self.init_with(NewVault::default()).await.0
    }
    async fn init_with(&self, new: NewVault) -> (Vault, InitReport) {
        Vault::init(&self.location(), &fleet(), self.keys(), new).await.unwrap()
    }
    async fn open(&self, keys: KeySource) -> Vault {
        Vault::open(&self.location(), &fleet(), keys).await.unwrap()
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
async fn recipients_alone_can_write_and_not_read() {
    let place = Place::new();
    drop(place.init().await);
    let blind = place.open(KeySource::folder(place.root.path().join("elsewhere"))).await;
    assert!(!blind.can_read());
    let keyless = writer(&blind).await;
    let (record, nonce) = store(&keyless, "contoso", VALUE).await;
    let error = keyless.value(&record.app, &nonce).await.unwrap_err();
    assert!(matches!(error, VaultError::Key(KeyTrouble::Absent { .. })), "{error}");
    assert!(error.hint().unwrap().contains("TENANTRY_AGE_IDENTITY"));
    assert_eq!(blind.records().await.unwrap().len(), 1);

    let seeing = place.open(place.keys()).await;
    assert_eq!(seeing.value(&record.app, &nonce).await.unwrap().expose(), VALUE);
}

#[tokio::test]
async fn another_vaults_key_is_told_from_none() {
    let (place, other) = (Place::new(), Place::new());
    let (_, report) = other.init_with(NewVault::default()).await;
    place.init().await;
    let key = fs::read_to_string(report.key_file.unwrap()).unwrap();
    let mut keys = place.keys();
    keys.identity = Some(secret(&key));
    let vault = place.open(keys).await;
    assert!(!vault.can_read());
    let trouble = vault.unlock().await.unwrap_err();
    assert!(matches!(trouble, KeyTrouble::OfAnother { from: KeyOrigin::Environment, .. }));
}

#[tokio::test]
async fn a_team_shares_a_vault_by_its_recipients() {
    let place = Place::new();
    let pipeline = age::x25519::Identity::generate();
    let text = |identity: &age::x25519::Identity| {
        age::secrecy::ExposeSecret::expose_secret(&identity.to_string()).to_owned()
    };
    let new = NewVault { recipients: vec![pipeline.to_public().to_string()], ..Default::default() };
    let (vault, report) = place.init_with(new).await;
    assert_eq!(report.recipients.len(), 2);
    let (record, nonce) = store(&writer(&vault).await, "contoso", VALUE).await;

    // The identity itself, and a file that holds it.
    let file = place.root.path().join("identity.txt");
    fs::write(&file, format!("# made elsewhere\n{}\n", text(&pipeline))).unwrap();
    for identity in [text(&pipeline), file.display().to_string()] {
        let keys = KeySource {
            identity: Some(secret(&identity)),
            folder: None,
            passphrase: Passphrase::None,
        };
        let vault = place.open(keys).await;
        assert_eq!(vault.value(&record.app, &nonce).await.unwrap().expose(), VALUE);
    }
    // A recipient that is none, or a secret key by mistake, is refused and the latter not repeated.
    for wrong in ["age1nonsense".to_owned(), text(&pipeline)] {
        let place = Place::new();
        let new = NewVault { recipients: vec![wrong], ..Default::default() };
        let error = Vault::init(&place.location(), &fleet(), place.keys(), new).await.unwrap_err();
        assert_eq!(error.severity(), Severity::Usage);
        assert!(!error.to_string().contains("AGE-SECRET"), "{error}");
        assert!(!place.folder().exists() && !place.root.path().join("keys").exists());
    }
}

#[tokio::test]
async fn a_mistyped_identity_is_never_repeated() {
    let place = Place::new();
    place.init().await;
    for wrong in
        ["\"AGE-SECRET-KEY-1WRONG\"", "/no/such/file/AGE-SECRET-KEY-", "hunter2-not-a-path"]
    {
        let mut keys = place.keys();
        keys.identity = Some(secret(wrong));
        assert!(!format!("{keys:?}").contains(wrong));
        let trouble = place.open(keys).await.unlock().await.unwrap_err();
        let words = format!("{trouble} {trouble:?} {}", trouble.hint());
        assert!(!words.contains("WRONG") && !words.contains("hunter2"), "{words}");
    }
}

#[tokio::test]
async fn a_passphrase_is_asked_for_once_and_only_when_a_value_is_needed() {
    static ASKED: AtomicU32 = AtomicU32::new(0);
    fn right(_: &Path) -> std::io::Result<Secret<String>> {
        ASKED.fetch_add(1, Ordering::SeqCst);
        Ok(secret("correct horse"))
    }
    fn wrong(_: &Path) -> std::io::Result<Secret<String>> {
        ASKED.fetch_add(1, Ordering::SeqCst);
        Ok(secret("battery staple"))
    }
    let place = Place::new();
    let new = NewVault { passphrase: Some(secret("correct horse")), ..Default::default() };
    let (made, report) = place.init_with(new).await;
    let (record, nonce) = store(&writer(&made).await, "contoso", VALUE).await;
    let key_file = fs::read_to_string(report.key_file.unwrap()).unwrap();
    assert!(key_file.starts_with("-----BEGIN AGE") && !key_file.contains("AGE-SECRET"));

    let mut keys = place.keys();
    let bare = place.open(keys.clone()).await;
    assert!(!bare.can_read());
    assert!(matches!(bare.unlock().await, Err(KeyTrouble::PassphraseNeeded { .. })));

    keys.passphrase = Passphrase::Ask(right);
    let asking = place.open(keys.clone()).await;
    assert_eq!(asking.records().await.unwrap().len(), 1);
    assert!(matches!(asking.key(), KeyState::Protected(_)));
    assert_eq!(ASKED.load(Ordering::SeqCst), 0);
    for _ in 0..3 {
        assert_eq!(asking.value(&record.app, &nonce).await.unwrap().expose(), VALUE);
    }
    assert_eq!(ASKED.load(Ordering::SeqCst), 1);

    keys.passphrase = Passphrase::Ask(wrong);
    let refused = place.open(keys.clone()).await;
    for _ in 0..2 {
        assert!(matches!(refused.unlock().await, Err(KeyTrouble::WrongPassphrase { .. })));
    }
    assert_eq!(ASKED.load(Ordering::SeqCst), 2);
    assert!(!refused.can_read());

    keys.passphrase = Passphrase::Given(secret("correct horse"));
    assert_eq!(place.open(keys).await.value(&record.app, &nonce).await.unwrap().expose(), VALUE);
}

#[tokio::test]
async fn init_never_replaces_and_open_never_guesses() {
    let place = Place::new();
    let missing = Vault::open(&place.location(), &fleet(), place.keys()).await.unwrap_err();
    assert!(matches!(missing, VaultError::Missing { .. }));
    assert!(missing.hint().unwrap().contains("tenantry vault init"));

    let vault = place.init().await;
    let again = Vault::init(&place.location(), &fleet(), place.keys(), NewVault::default()).await;
    assert!(matches!(again, Err(VaultError::Exists { .. })));
    assert_eq!(fs::read_dir(place.root.path().join("keys")).unwrap().count(), 1);

    let stranger = "other-fleet".parse().unwrap();
    let error = Vault::open(&place.location(), &stranger, place.keys()).await.unwrap_err();
    assert!(matches!(error, VaultError::OtherFleet { .. }));
    let error = Vault::init(&place.location(), &stranger, place.keys(), NewVault::default()).await;
    assert!(matches!(error, Err(VaultError::Exists { .. })));

    store(&writer(&vault).await, "contoso", VALUE).await;
    let about = place.folder().join("vault.json");
    fs::write(&about, "{}").unwrap();
    let error = Vault::open(&place.location(), &fleet(), place.keys()).await.unwrap_err();
    assert!(matches!(error, VaultError::Damaged(_)));
    fs::remove_file(&about).unwrap();
    let error = Vault::open(&place.location(), &fleet(), place.keys()).await.unwrap_err();
    assert!(matches!(error, VaultError::Headless { files: 1, .. }));
    let error = Vault::open_or_init(&place.location(), &fleet(), place.keys()).await.unwrap_err();
    assert!(matches!(error, VaultError::Headless { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_who_make_the_same_vault_end_with_one() {
    let place = Place::new();
    let (location, keys) = (place.location(), place.keys());
    let makers = (0..8).map(|_| {
        let (location, keys) = (location.clone(), keys.clone());
        tokio::spawn(async move { Vault::open_or_init(&location, &fleet(), keys).await.unwrap() })
    });
    let vaults = futures::future::join_all(makers.collect::<Vec<_>>()).await;
    let ids: Vec<_> = vaults.into_iter().map(|vault| vault.unwrap()).collect();
    assert!(ids.iter().all(|vault| vault.id() == ids[0].id() && vault.can_read()));
    assert_eq!(fs::read_dir(place.root.path().join("keys")).unwrap().count(), 1);
}

#[tokio::test]
async fn a_block_copied_between_files_is_refused() {
    let place = Place::new();
    let writer = writer(&place.init().await).await;
    let (mine, nonce) = store(&writer, "contoso", VALUE).await;
    let (theirs, other) = store(&writer, "fabrikam", "theirs").await;
    let Backend::Folder(folder) = &writer.backend;
    let mut file = folder.load(&mine.app).unwrap().unwrap();
    let stranger = folder.load(&theirs.app).unwrap().unwrap().values[&other].clone();
    file.values.insert(nonce.clone(), stranger);
    // As somebody would who knows the format, checksum included.
    let path = place.folder().join("contoso.age");
    fs::write(&path, format::write(writer.id(), &file)).unwrap();
    assert_eq!(writer.records().await.unwrap().len(), 2);
    let error = writer.value(&mine.app, &nonce).await.unwrap_err();
    let words = error.to_string();
    assert!(words.contains("contoso.age") && words.contains("belongs to app fabrikam"), "{words}");
    assert_eq!(error.severity(), Severity::Guard);
    assert!(error.hint().unwrap().contains("backup"));
}

#[tokio::test]
async fn a_file_cut_anywhere_is_an_error_that_names_it() {
    let place = Place::new();
    let writer = writer(&place.init().await).await;
    let (record, nonce) = store(&writer, "contoso", VALUE).await;
    store(&writer, "fabrikam", "theirs").await;
    let path = place.folder().join("contoso.age");
    let whole = fs::read(&path).unwrap();
    for end in 0..whole.len() {
        fs::write(&path, &whole[..end]).unwrap();
        let error = writer.value(&record.app, &nonce).await.unwrap_err();
        assert!(matches!(&error, VaultError::Damaged(_)), "{end}: {error}");
    }
    let error = writer.records().await.unwrap_err().to_string();
    assert!(error.contains("contoso.age") && !error.contains("fabrikam.age"), "{error}");
    assert!(writer.write_record(&record).await.is_err(), "never written over");
    fs::write(&path, whole).unwrap();
    assert_eq!(writer.value(&record.app, &nonce).await.unwrap().expose(), VALUE);
    fs::write(place.folder().join("contoso (copy).age"), "x").unwrap();
    assert!(writer.records().await.unwrap_err().to_string().contains("contoso (copy).age"));
}

#[tokio::test]
async fn whatever_a_killed_writer_leaves_the_record_before_it_is_read() {
    let place = Place::new();
    let vault = place.init().await;
    let hand = writer(&vault).await;
    let (record, nonce) = store(&hand, "contoso", VALUE).await;
    drop(hand);
    let next = fs::read(place.folder().join("contoso.age")).unwrap();
    for end in (0..=next.len()).step_by(97) {
        fs::write(place.folder().join(format!(".new-{end}.tmp")), &next[..end]).unwrap();
        assert_eq!(vault.value(&record.app, &nonce).await.unwrap().expose(), VALUE);
        assert_eq!(vault.records().await.unwrap().len(), 1);
    }
    let _hand = writer(&vault).await;
    let left = fs::read_dir(place.folder())
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with(".new-"))
        .count();
    assert_eq!(left, 0);
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
    let Backend::Folder(folder) = &vault.backend;
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
