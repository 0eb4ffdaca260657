//! Files cut, copied and garbled, and writers killed.

use super::*;

#[tokio::test]
async fn a_block_copied_between_files_is_refused() {
    let place = Place::new();
    let writer = writer(&place.init().await).await;
    let (mine, nonce) = store(&writer, "contoso", VALUE).await;
    let (theirs, other) = store(&writer, "fabrikam", "theirs").await;
    let Backend::Folder(folder, _) = &writer.backend else { unreachable!("it is in a folder") };
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

/// What the child of the next test writes, one step after the other.
async fn one_life(place: &Path) {
    let keys = KeySource::folder(place.join("keys"));
    let vault = Vault::open(&Keeping::folder(place.join("vault"), keys), &fleet()).await.unwrap();
    let hand = vault.lock("apply", |_| ()).await.unwrap();
    let mut app = record("contoso");
    let nonce = Nonce::fresh();
    let intended = CredentialRecord::intended(nonce.clone(), CredentialKind::Secret, seconds(0));
    app.credentials.push(intended);
    hand.write_record(&app).await.unwrap();
    app.client_id = created("contoso").client_id;
    app.credential_mut(&nonce).unwrap().state = CredentialState::Stored;
    hand.store_value(&app, &nonce, &secret(VALUE)).await.unwrap();
    hand.audit(AuditEntry::new(seconds(1), "ada", "apply").step("add-secret")).await.unwrap();
    hand.change(&app.app, |app| app.credentials[0].state = CredentialState::Proved).await.unwrap();
    app.credentials.clear();
    hand.drop_values(&app).await.unwrap();
}

/// Not a test of its own: the child of the next one, which dies at the write that it is told.
#[tokio::test]
#[ignore = "run by killed_at_any_write_the_vault_is_whole"]
async fn child_that_dies_at_a_write() {
    if let Some(place) = std::env::var_os("TENANTRY_TEST_VAULT_PLACE") {
        one_life(Path::new(&place)).await;
    }
}

#[tokio::test]
async fn killed_at_any_write_the_vault_is_whole() {
    let mut ends = Vec::new();
    loop {
        let place = Place::new();
        let vault = place.init().await;
        let died = ends.len() + 1;
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "vault::tests::crash::child_that_dies_at_a_write", "--ignored"])
            .env("TENANTRY_TEST_VAULT_PLACE", place.root.path())
            .env("TENANTRY_DIE_AT_VAULT_WRITE", died.to_string())
            .output()
            .unwrap();
        // Whole, free, and each value that the header claims is there.
        let hand = vault.try_lock("next").await.unwrap().expect("the dead hold no lock");
        let records = hand.records().await.unwrap();
        let state = match records.values().next() {
            None => "nothing".to_owned(),
            Some(app) => match app.credentials.first() {
                None => "dropped".to_owned(),
                Some(known) => {
                    let value = hand.value(&app.app, &known.nonce).await;
                    match known.state {
                        CredentialState::Intended => assert!(value.is_err()),
                        _ => assert_eq!(value.unwrap().expose(), VALUE),
                    }
                    format!("{:?}", known.state)
                }
            },
        };
        hand.audit(AuditEntry::new(seconds(2), "bob", "next")).await.unwrap();
        let audit = fs::read_to_string(place.folder().join("audit.jsonl")).unwrap();
        assert!(audit.lines().all(|line| serde_json::from_str::<AuditEntry>(line).is_ok()));
        ends.push(state);
        if child.status.success() {
            break;
        }
    }
    assert_eq!(
        ends,
        [
            "nothing", "Intended", "Intended", "Stored", "Stored", "Stored", "Stored", "Proved",
            "Proved", "dropped", "dropped"
        ]
    );
}
