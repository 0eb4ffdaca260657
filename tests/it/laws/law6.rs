//! An empty vault, or another's, before apps that carry our mark: exit 7 and not one write.

use serde_json::{Value, json};
use tenantry::sandbox::{Options, secret_hash};

use super::{KEYS, MANIFEST};
use crate::support::{Stage, list, ours};

/// Every verb that could write refuses, says why, and writes nothing.
fn refused(stage: &Stage, why: &str) {
    let before = stage.sandbox.world();
    stage.sandbox.clear_requests();
    stage.run(&["apply", "--yes"]).expect(7).says(why);
    stage.run(&["apply", "--yes", "--json"]).expect(7);
    stage.run(&["plan"]).expect(7).says(why);
    stage.no_graph_write();
    assert_eq!(stage.sandbox.world()["directories"], before["directories"]);
}

/// The vault's value opens the app; nothing is left to do.
fn good_again(stage: &Stage, keys: &[&str]) {
    for key in keys {
        let app = stage.app(key);
        let value = secret_hash(&stage.reveal(key));
        let opens = ours(&app).iter().filter(|secret| secret["secretHash"] == *value).count();
        assert_eq!(opens, 1, "{key}");
    }
    stage.sandbox.clear_requests();
    stage.apply().expect(0);
    stage.no_graph_write();
}

#[test]
fn an_empty_vault_before_our_apps_is_refused_until_reissue_is_said() {
    let stage = Stage::new(MANIFEST);
    stage.apply().expect(0);
    let (kept, old) = (stage.keep_vault(), stage.reveal("contoso"));
    stage.lose_vault();
    // No vault at all is an error before anything is asked.
    stage.sandbox.clear_requests();
    let run = stage.run(&["apply", "--yes"]);
    assert!(!matches!(run.code, None | Some(0)), "{run:?}");
    assert_eq!(stage.asked_beside_the_vault(), Vec::<Value>::new());

    stage.init_vault();
    refused(&stage, "this vault has no file for it");
    // A part of the fleet is no way around it, and neither is an app that needs something else.
    stage.change_app("contoso", |app| app["displayName"] = json!("Renamed by hand"));
    stage.run(&["apply", "--yes", "--tenant", "contoso"]).expect(7);
    stage.no_graph_write();

    // With the right vault back all is well.
    let empty = stage.keep_vault();
    stage.put_vault(&kept);
    stage.apply().expect(0);
    assert_eq!(stage.reveal("contoso"), old);
    good_again(&stage, &KEYS);

    stage.put_vault(&empty);
    stage.run(&["apply", "--yes", "--reissue"]).expect(0);
    assert_ne!(stage.reveal("contoso"), old);
    for key in KEYS {
        // What another vault made is not ours to remove: someone may still hold it.
        assert_eq!(ours(&stage.app(key)).len(), 2, "{key}");
    }
    good_again(&stage, &KEYS);
}

#[test]
fn another_vault_before_our_apps_is_refused() {
    // Two vaults of one fleet: each made one of the apps.
    let stage = Stage::new(MANIFEST);
    stage.run(&["apply", "--yes", "--tenant", "contoso"]).expect(0);
    let first = stage.keep_vault();
    stage.lose_vault();
    stage.init_vault();
    stage.run(&["apply", "--yes", "--tenant", "fabrikam"]).expect(0);
    refused(&stage, "this vault has no file for it");
    let second = stage.keep_vault();
    stage.put_vault(&first);
    refused(&stage, "this vault has no file for it");

    // The second takes contoso over; then its secret is removed, and only the first's is left.
    stage.put_vault(&second);
    stage.run(&["apply", "--yes", "--reissue", "--tenant", "contoso"]).expect(0);
    let mine = secret_hash(&stage.reveal("contoso"));
    stage.change_app("contoso", |app| {
        let secrets = app["passwordCredentials"].as_array_mut().unwrap();
        secrets.retain(|secret| secret["secretHash"] != *mine);
    });
    // Directories may not show a young secret: let it be old.
    stage.sandbox.advance("PT10M").unwrap();
    refused(&stage, "made by another vault");
    stage.run(&["apply", "--yes", "--reissue"]).expect(0);
    good_again(&stage, &KEYS);
}

#[test]
fn an_old_copy_of_the_vault_takes_nothing_away_that_a_newer_one_made() {
    const MADE: &str = "another copy of this vault made what this one does not know: client secret";
    let stage = Stage::new(MANIFEST);
    stage.apply().expect(0);
    let old = stage.keep_vault();
    stage.run(&["rotate", "contoso", "--yes"]).expect(0);
    let (new, live) = (stage.keep_vault(), stage.reveal("contoso"));
    stage.sandbox.advance("PT10M").unwrap();

    // Nothing is due: the newer one's is named, by every command that looks, and kept.
    stage.put_vault(&old);
    stage.sandbox.clear_requests();
    stage.apply().expect(0).says(MADE);
    stage.run(&["plan"]).expect(0).says("was written last");
    let newer = ours(&stage.app("contoso"))[1]["keyId"].as_str().unwrap().to_owned();
    stage.run(&["status"]).expect(0).says(&newer);
    // Nor is it a stranger's.
    stage.run(&["apply", "--yes", "--remove-foreign"]).expect(0);
    stage.no_graph_write();
    stage.run(&["rotate", "contoso", "--yes"]).expect(7).says(MADE);
    let leaked = ["rotate", "contoso", "--now", "--revoke-old", "--yes"];
    stage.run(&leaked).expect(7).says(MADE);
    stage.no_graph_write();
    // The one that it knows is to be renewed.
    stage.sandbox.advance("P340D").unwrap();
    refused(&stage, MADE);

    // The newer one goes on as if there was no other.
    stage.put_vault(&new);
    stage.apply().expect(0);
    let hashes = |stage: &Stage| -> Vec<Value> {
        ours(&stage.app("contoso")).iter().map(|secret| secret["secretHash"].clone()).collect()
    };
    let made = hashes(&stage);
    assert_eq!(made.len(), 2);
    assert_eq!(made[0], *secret_hash(&live));
    let new = stage.keep_vault();
    // The one that the old copy knows is gone, and the newer ones, which it does not, are not.
    stage.put_vault(&old);
    stage.sandbox.advance("PT10M").unwrap();
    refused(&stage, MADE);
    assert_eq!(hashes(&stage), made);
    stage.put_vault(&new);
    stage.apply().expect(0);
    assert_eq!(hashes(&stage), made);

    // The newer one is lost for good, and somebody says so.
    stage.put_vault(&old);
    stage.run(&["apply", "--yes", "--reissue"]).expect(0);
    stage.holds("contoso");
    good_again(&stage, &KEYS);
    stage.put_vault(&new);
    stage.sandbox.advance("PT10M").unwrap();
    refused(&stage, MADE);
}

#[test]
fn conflicting_marks_are_refused() {
    let stage = Stage::new(MANIFEST);
    stage.apply().expect(0);
    let whole = stage.sandbox.world();
    let tagged = |key: &str, tag: &str| {
        stage.sandbox.put_world(&whole).unwrap();
        stage.change_app(key, |app| app["tags"].as_array_mut().unwrap().push(json!(tag)));
    };
    tagged("contoso", "tenantry:app=fabrikam");
    refused(&stage, "several tags");
    tagged("contoso", "tenantry:fleet=other");
    refused(&stage, "as fleet acme-soc and as other");
    // Two apps are marked as the same.
    stage.sandbox.put_world(&whole).unwrap();
    stage.change_home(|home| {
        let mut copy = list(home, "applications")
            .iter()
            .find(|app| app["uniqueName"] == "tenantry-acme-soc--contoso")
            .unwrap()
            .clone();
        copy["id"] = json!("6f1c0f5e-0001-4000-8000-000000000099");
        copy["appId"] = json!("6f1c0f5e-0002-4000-8000-000000000099");
        copy["uniqueName"] = Value::Null;
        copy["passwordCredentials"] = json!([]);
        home["applications"].as_array_mut().unwrap().push(copy);
    });
    refused(&stage, "2 apps are marked as contoso");
    // One whose tag names another app than its unique name.
    stage.sandbox.put_world(&whole).unwrap();
    stage.change_app("contoso", |app| {
        app["tags"] = json!(["tenantry:fleet=acme-soc", "tenantry:app=wingtip"]);
    });
    refused(&stage, "its unique name says app contoso");
    stage.sandbox.put_world(&whole).unwrap();
    good_again(&stage, &KEYS);
}

#[test]
fn without_a_yes_nothing_is_changed() {
    let stage = Stage::with(MANIFEST, Options::default());
    stage.run(&["apply", "--no-input"]).expect(64);
    stage.run(&["apply"]).expect(64);
    stage.no_graph_write();
    // Where nothing is to be changed there is nothing to ask.
    stage.apply().expect(0);
    stage.run(&["apply", "--no-input"]).expect(0);
}
