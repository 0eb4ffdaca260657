//! Who can read a vault, and with what.

use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

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
        let error = Vault::init(&place.keeping(), &fleet(), new).await.unwrap_err();
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
