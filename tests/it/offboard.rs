//! `offboard`: a customer is removed, whatever the run is cut at, and nothing of it is left but what
//! is named.

use std::{fs, path::Path};

use serde_json::{Value, json};
use tenantry::sandbox::{Options, secret_hash};

use crate::{
    stage::{both_vaults, in_key_vault},
    support::{Kept, Run, Running, Stage, VaultKind, directory_mut, kind, list, ours, until},
};

const CONTOSO: &str = "6f1c0f5e-0000-4000-8000-000000000001";
const WINGTIP: &str = "6f1c0f5e-0000-4000-8000-000000000008";
const FABRIKAM: &str = "6f1c0f5e-0000-4000-8000-000000000002";

const HEAD: &str = "\
version: 1
fleet: acme-soc
home: {tenant: acme-soc.example, cloud: global}
vault: {path: vault}
defaults:
  connector: graph-security
  displayName: '{name} SIEM MSSP Connector'
  redirectUris: ['https://siem.acme-soc.example/{key}']
  signInAs: soc-reader@acme-soc.example
sharedApps:
  siem-eu: {name: Acme SOC EU, redirectUris: ['https://siem.acme-soc.example/eu']}
tenants:
";
const CONTOSO_LINE: &str = "  contoso: {name: Contoso, domain: contoso.example}\n";
const WINGTIP_LINE: &str =
    "  wingtip: {name: Wingtip Toys, domain: wingtip.example, connector: mssp-siem}\n";
const FABRIKAM_LINE: &str =
    "  fabrikam: {name: Fabrikam, domain: fabrikam.example, app: siem-eu}\n";
const NORTHWIND_LINE: &str =
    "  northwind: {name: Northwind Traders, domain: northwind.example, app: siem-eu}\n";

fn manifest(lines: &[&str]) -> String {
    format!("{HEAD}{}", lines.concat())
}

/// A fleet whose administrators have consented.
fn consented(manifest: &str) -> Stage {
    let stage = Stage::new(manifest);
    stage.apply().expect(0);
    stage.send_links();
    stage
}

/// All that a world holds beside the directories of customers: what is ours.
fn our_part(stage: &Stage) -> Value {
    let world = stage.sandbox.world();
    json!([stage.home(), world["keyVaults"]])
}

/// Every file below a folder, with its path, but for the audit and the manifest.
fn files(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if !["audit.jsonl", "tenantry.yaml"].iter().any(|name| path.ends_with(name)) {
            let bytes = fs::read(&path).unwrap();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            found.push((name, String::from_utf8_lossy(&bytes).into_owned()));
        }
    }
}

/// No file of the fleet, and nothing of ours in the world, holds any of these, but for what is
/// excused.
#[track_caller]
pub(crate) fn nowhere(stage: &Stage, needles: &[String], excused: impl Fn(&str) -> bool) {
    let mut all = Vec::new();
    files(stage.manifest().parent().unwrap(), &mut all);
    let mut ours = our_part(stage);
    // The soft-deleted apps; what the seed has of contracts with customers, which is not ours; and
    // the audit of a key vault.
    for table in ["deletedItems", "delegatedAdminRelationships"] {
        ours[0][table] = Value::Null;
    }
    for vault in ours[1].as_array_mut().into_iter().flatten() {
        for table in ["secrets", "deletedSecrets"] {
            if let Some(secrets) = vault[table].as_object_mut() {
                for (name, secret) in secrets.iter().filter(|(name, _)| !name.ends_with("---audit"))
                {
                    all.push((name.clone(), secret.to_string()));
                }
                secrets.clear();
            }
        }
    }
    all.push(("the world".to_owned(), ours.to_string()));
    for (name, text) in all.iter().filter(|(name, _)| !excused(name)) {
        for needle in needles {
            assert!(!name.contains(needle), "{needle} in the name {name}");
            let around = text.find(needle.as_str()).map(|at| {
                let (from, to) = (at.saturating_sub(80), (at + 120).min(text.len()));
                String::from_utf8_lossy(&text.as_bytes()[from..to]).into_owned()
            });
            assert_eq!(around, None, "{needle} in {name}");
        }
    }
}

/// What is said of things left with customers, wherever that is kept.
fn names_leftovers(name: &str) -> bool {
    name == "offboarded.json" || name.contains("---left-")
}

/// Every id and value of an app and of its one tenant.
pub(crate) fn traces(stage: &Stage, key: &str, tenant: &str) -> Vec<String> {
    let app = stage.app(key);
    let mut traces: Vec<String> =
        ["id", "appId"].iter().map(|id| app[*id].as_str().unwrap().to_owned()).collect();
    for secret in ours(&app) {
        traces.push(secret["keyId"].as_str().unwrap().to_owned());
        let name = secret["displayName"].as_str().unwrap();
        traces.push(name.rsplit(' ').next().unwrap().to_owned());
    }
    let value = stage.reveal(key);
    traces.extend([secret_hash(&value), value, tenant.to_owned()]);
    // The bare word stands in the seed, too.
    traces.extend([format!("app={key}"), format!("--{key}"), format!("{key}.age")]);
    traces
}

fn principal(stage: &Stage, tenant: &str, client: &str) -> Option<String> {
    let mut world = stage.sandbox.world();
    let directory = directory_mut(&mut world, tenant).clone();
    let all = list(&directory, "servicePrincipals");
    let found = all.iter().find(|principal| principal["appId"] == client)?;
    Some(found["id"].as_str().unwrap().to_owned())
}

fn audit(stage: &Stage) -> Vec<Value> {
    let text = fs::read_to_string(stage.vault().join("audit.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_customer_goes_with_all_that_is_ours_and_only_what_is_named_stays() {
    for manifest_of in both_vaults(&manifest(&[CONTOSO_LINE, WINGTIP_LINE])) {
        let mut stage = consented(&manifest_of);
        let app = stage.app("contoso");
        let (client, object) = (app["appId"].clone(), app["id"].clone());
        let principal = principal(&stage, CONTOSO, client.as_str().unwrap()).unwrap();
        let traces = traces(&stage, "contoso", CONTOSO);
        let wingtip = stage.app("wingtip");
        stage.write_manifest(&manifest_of.replace(CONTOSO_LINE, ""));

        let run = stage.run(&["offboard", "contoso", "--yes"]);
        run.expect(0).says("Done: contoso is offboarded.").says("gone (404); it lies in the bin");
        run.says("refused by Entra ID (AADSTS").says("nothing of it is left (asked)");
        run.says(&format!("application id: {}", client.as_str().unwrap()));
        run.says(&format!("object id, in your directory: {principal}"));

        let home = stage.home();
        let binned = list(&home, "deletedItems").iter().find(|app| app["id"] == object).unwrap();
        assert_eq!(
            ours(binned),
            Vec::<&Value>::new(),
            "a restored app would have a secret of ours"
        );
        let deleted: jiff::Timestamp = binned["deletedDateTime"].as_str().unwrap().parse().unwrap();
        let until = deleted + jiff::SignedDuration::from_hours(30 * 24);
        run.says(&format!("restorable until {}", until.strftime("%Y-%m-%d %H:%M UTC")));
        nowhere(&stage, &traces, names_leftovers);
        assert_eq!(stage.app("wingtip"), wingtip);
        stage.holds("wingtip");

        // It is named until somebody says, or sees, that it is gone.
        let status = stage.status();
        let left = &status["leftovers"][0];
        assert_eq!((&left["tenant"], &left["clientId"]), (&json!("contoso"), &client));
        assert_eq!((&left["objectId"], &left["state"]), (&json!(principal), &json!("waiting")));
        stage.run(&["status"]).expect(0).says("Left with customers (1)");
        in_a_spreadsheet(&stage, left);
        stage.run(&["explain", "contoso"]).expect(0).says("Remove \"Contoso SIEM MSSP Connector\"");
        let by = ["attest", "contoso", "--removed", "--by", "Dana", "--ticket", "T-7"];
        stage.run(&by).expect(0).says("was removed, says Dana, T-7");
        nowhere(&stage, &traces, |_| false);
        assert_eq!(stage.status()["leftovers"], json!([]));
        stage.run(&by).expect(64);
        let nothing = stage.run(&["explain", "contoso"]);
        nothing.expect(64).says("nothing of ours is named as left with it");
        stage.run(&["offboard", "contoso", "--yes"]).expect(0).says("Nothing of contoso is left");
    }
}

/// What is left with a customer is a row of the table, beside the fleet's tenants.
fn in_a_spreadsheet(stage: &Stage, left: &Value) {
    let path = stage.manifest().parent().unwrap().join("status.csv");
    stage.run(&["status", "--report", path.to_str().unwrap()]).expect(0);
    let mut reader = csv::Reader::from_path(&path).unwrap();
    let rows: Vec<std::collections::BTreeMap<String, String>> =
        reader.deserialize().map(Result::unwrap).collect();
    let keys: Vec<&str> = rows.iter().map(|row| row["tenant"].as_str()).collect();
    assert_eq!(keys, ["wingtip", "contoso"]);
    let (wingtip, contoso) = (&rows[0], &rows[1]);
    for (column, member) in [
        ("tenant", "tenant"),
        ("name", "name"),
        ("tenantId", "tenantId"),
        ("clientId", "clientId"),
        ("left", "state"),
        ("leftObjectId", "objectId"),
    ] {
        assert_eq!(contoso[column], left[member].as_str().unwrap(), "{column}");
    }
    assert_eq!(contoso["leftEvidence"], left["evidence"]["what"].as_str().unwrap());
    for (column, member) in [("nextWho", "who"), ("nextWhat", "what"), ("leftCommand", "command")] {
        assert_eq!(contoso[column], left["nextStep"][member].as_str().unwrap(), "{column}");
    }
    assert_eq!(contoso["leftSince"], left["since"].as_str().unwrap()[..10]);
    // It is no tenant of the fleet, and a tenant of the fleet is nothing that is left.
    assert_eq!((contoso["state"].as_str(), contoso["access"].as_str()), ("offboarded", ""));
    assert_eq!((wingtip["left"].as_str(), wingtip["leftCommand"].as_str()), ("", ""));
    std::fs::remove_file(path).unwrap();
}

#[test]
fn a_refresh_token_goes_too_and_is_of_no_use_to_whoever_copied_it() {
    for manifest_of in both_vaults(&manifest(&[WINGTIP_LINE])) {
        let mut stage = consented(&manifest_of);
        stage.sign_in("wingtip").expect(0);
        let run = stage.run(&["reveal", "wingtip", "--field", "refresh-token"]);
        run.expect(0);
        let token = run.stdout.trim().to_owned();
        let mut traces = traces(&stage, "wingtip", WINGTIP);
        traces.extend([secret_hash(&token), token]);
        stage.write_manifest(&manifest_of.replace(WINGTIP_LINE, CONTOSO_LINE));
        let run = stage.run(&["offboard", "wingtip", "--yes"]);
        run.expect(0).says("refresh token of wingtip: dropped");
        nowhere(&stage, &traces, names_leftovers);
        // Nobody's sessions were ended for it.
        let asked = stage.asked();
        assert!(asked.iter().all(|request| !request["path"].as_str().unwrap().contains("revoke")));
    }
}

#[test]
fn nothing_is_left_with_a_customer_who_came_back() {
    for manifest_of in both_vaults(&manifest(&[CONTOSO_LINE])) {
        let stage = consented(&manifest_of);
        stage.run(&["offboard", "contoso", "--yes"]).expect(0);
        assert_eq!(list(&stage.status(), "leftovers").len(), 1);
        stage.apply().expect(0);
        assert_eq!(stage.status()["leftovers"], json!([]));
        let run = stage.run(&["explain", "contoso"]);
        run.expect(0);
        assert!(!run.stdout.contains("we stopped reading"), "{}", run.stdout);
        // Nobody's word makes away with what is in use.
        stage.run(&["attest", "contoso", "--removed", "--by", "Kim"]).expect(64);
        // It leaves again, and is named again.
        stage.run(&["offboard", "contoso", "--yes"]).expect(0);
        assert_eq!(list(&stage.status(), "leftovers").len(), 1);
    }
}

#[test]
fn a_customer_that_never_consented_has_nothing_left() {
    let stage = Stage::new(&manifest(&[CONTOSO_LINE]));
    stage.apply().expect(0);
    let run = stage.run(&["offboard", "contoso", "--yes", "--json"]);
    run.expect(0);
    let last: Value = serde_json::from_str(run.stdout.lines().last().unwrap()).unwrap();
    assert_eq!((&last["type"], &last["leftovers"]), (&json!("offboarded"), &json!([])));
    assert!(last["restorableUntil"].is_string());
    assert_eq!(stage.status()["leftovers"], json!([]));
    stage
        .run(&["plan"])
        .expect(0)
        .says("nothing of contoso is left in the vault, as after an offboard");
    for asked in [&["plan"][..], &["status"], &["explain", "contoso"]] {
        stage.run(asked).expect(0).says("apply onboards it again");
    }
    // Still in the manifest: said, and the next apply does what was said.
    stage.run(&["plan"]).expect(0).says("restored from the bin");
    stage.apply().expect(0);
    stage.holds("contoso");
}

#[test]
fn nothing_is_removed_without_the_key_or_a_yes() {
    let stage = consented(&manifest(&[CONTOSO_LINE]));
    let before = stage.sandbox.world()["directories"].clone();
    stage.run(&["offboard", "contoso"]).expect(64).says("nobody to ask");
    stage.run(&["offboard", "contoso", "--no-input"]).expect(64);
    stage.run(&["offboard", "nobody", "--yes"]).expect(64).says("nothing is known of nobody");
    stage.no_graph_write_since(&before);
    assert_eq!(audit(&stage).iter().filter(|line| line["verb"] == "offboard").count(), 0);
}

#[test]
fn the_audit_says_what_was_removed_before_and_after() {
    let stage = consented(&manifest(&[CONTOSO_LINE]));
    let app = stage.app("contoso");
    stage.run(&["offboard", "contoso", "--yes"]).expect(0);
    if kind() == VaultKind::KeyVault {
        return;
    }
    let lines: Vec<Value> =
        audit(&stage).into_iter().filter(|line| line["verb"] == "offboard").collect();
    let steps: Vec<&str> = lines.iter().map(|line| line["step"].as_str().unwrap()).collect();
    assert_eq!(steps, ["begin", "remove-secret", "delete-application", "remove-record"]);
    for line in &lines {
        assert_eq!(line["ids"]["clientId"], app["appId"]);
        assert_eq!((&line["ids"]["objectId"], &line["app"]), (&app["id"], &json!("contoso")));
    }
}

#[test]
fn a_tenant_of_a_shared_app_goes_alone() {
    for manifest_of in both_vaults(&manifest(&[FABRIKAM_LINE, NORTHWIND_LINE])) {
        let mut stage = consented(&manifest_of);
        let app = stage.app("siem-eu");
        // The app itself is in use.
        let refused = stage.run(&["offboard", "siem-eu", "--yes"]);
        refused.expect(7).says("fabrikam, northwind");
        stage.write_manifest(&manifest_of.replace(FABRIKAM_LINE, ""));
        let run = stage.run(&["offboard", "fabrikam", "--yes"]);
        run.expect(0).says("the app stays as it is");
        // Others use the app: nobody is told that it can sign in there no more.
        let said = run.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(!said.contains("sign in no more"), "{said}");
        run.says("it can still sign in to your directory");
        let left = stage.status()["leftovers"][0].clone();
        assert_eq!((&left["appStays"], &left["state"]), (&json!(true), &json!("waiting")));
        assert_eq!(left["evidence"]["what"], "the customer's directory shows it");
        stage.run(&["status", "--tenant", "*"]).expect(0).says("Left with customers (1)");
        stage
            .run(&["explain", "fabrikam"])
            .expect(0)
            .says("it can still sign in to your directory");
        assert_eq!(stage.app("siem-eu"), app);
        stage.holds("siem-eu");
        let traces = [FABRIKAM.to_owned(), "fabrikam".to_owned()];
        nowhere(&stage, &traces, names_leftovers);
        let left = stage.status()["leftovers"].clone();
        assert_eq!((left.as_array().unwrap().len(), &left[0]["clientId"]), (1, &app["appId"]));
        let status = stage.status();
        assert_eq!(status["summary"]["reading"], 1, "{status:#}");
        // The last user gone, the app may go.
        stage.write_manifest(
            &manifest_of
                .replace(FABRIKAM_LINE, "")
                .replace(NORTHWIND_LINE, CONTOSO_LINE)
                .replace("sharedApps:\n  siem-eu: {name: Acme SOC EU, redirectUris: ['https://siem.acme-soc.example/eu']}\n", ""),
        );
        stage.run(&["offboard", "siem-eu", "--yes"]).expect(0);
        assert_eq!(stage.status()["leftovers"].as_array().unwrap().len(), 2);
    }
}

#[test]
fn conflicting_marks_and_another_vaults_credentials_are_refused() {
    let stage = consented(&manifest(&[CONTOSO_LINE]));
    let tags = stage.app("contoso")["tags"].clone();
    let before = stage.sandbox.world();
    for (tag, says) in [
        ("tenantry:fleet=other", "marked as fleet acme-soc and as other"),
        ("tenantry:app=else", "several tags"),
    ] {
        stage.change_app("contoso", |app| app["tags"].as_array_mut().unwrap().push(json!(tag)));
        stage.run(&["offboard", "contoso", "--yes"]).expect(7).says(says);
        stage.change_app("contoso", |app| app["tags"] = tags.clone());
    }
    // Another fleet took it over: its name is its own, its marks are theirs.
    stage.change_app("contoso", |app| {
        app["tags"] = json!(["tenantry:fleet=other", "tenantry:app=contoso"]);
        app["uniqueName"] = json!("tenantry-other--contoso");
    });
    stage.run(&["offboard", "contoso", "--yes"]).expect(7).says("another fleet");
    stage.sandbox.put_world(&before).unwrap();
    if kind() == VaultKind::KeyVault {
        return;
    }
    // A vault that knows nothing of the app.
    stage.lose_vault();
    stage.init_vault();
    stage.run(&["offboard", "contoso", "--yes"]).expect(7).says("another vault");
    assert_eq!(stage.sandbox.world()["directories"], before["directories"]);
    let run = stage.run(&["offboard", "contoso", "--yes", "--vault-lost"]);
    run.expect(0).says("nobody could see whether it is there");
    assert_eq!(
        list(&stage.home(), "applications")
            .iter()
            .filter(|a| a["uniqueName"] == "tenantry-acme-soc--contoso")
            .count(),
        0
    );
}

#[test]
fn a_handover_leaves_the_app_and_what_others_put_on_it() {
    let mut stage = consented(&manifest(&[CONTOSO_LINE]));
    stage.change_app("contoso", |app| {
        app["tags"].as_array_mut().unwrap().push(json!("theirs"));
        let mut secret = app["passwordCredentials"][0].clone();
        secret["displayName"] = json!("their SIEM");
        secret["keyId"] = json!("6f1c0f5e-0009-4000-8000-000000000077");
        secret["secretHash"] = json!(secret_hash("theirs"));
        app["passwordCredentials"].as_array_mut().unwrap().push(secret);
    });
    let warned = stage.run(&["offboard", "contoso"]);
    warned.expect(64).says("1 of its credentials are not ours, and go with it");
    let run = stage.run(&["offboard", "contoso", "--yes", "--keep-app"]);
    run.expect(0)
        .says("stays; our tags are off")
        .says("its unique name, which nobody can take off");
    let app = stage.app("contoso");
    assert_eq!(app["tags"], json!(["theirs"]));
    assert_eq!(list(&app, "passwordCredentials").len(), 1);
    assert_eq!(app["passwordCredentials"][0]["displayName"], "their SIEM");
    assert_eq!(stage.status()["leftovers"], json!([]));
    // It is no more ours to remove, and nothing takes it back unasked.
    stage.run(&["plan"]).expect(7);
    stage.run(&["offboard", "contoso", "--yes", "--keep-app"]).expect(0).says("Nothing of contoso");
    stage.run(&["offboard", "contoso", "--yes"]).expect(7).says("it was handed over");
    stage.write_manifest(&manifest(&[WINGTIP_LINE]));
    stage.run(&["plan"]).expect(0);
    assert_eq!(stage.app("contoso"), app);
}

#[test]
fn what_is_gone_already_is_no_hindrance() {
    // Deleted by hand.
    let stage = consented(&manifest(&[CONTOSO_LINE]));
    let id = stage.app("contoso")["id"].clone();
    stage.change_home(|home| {
        let apps = home["applications"].as_array_mut().unwrap();
        let at = apps.iter().position(|app| app["id"] == id).unwrap();
        let mut app = apps.remove(at);
        app["deletedDateTime"] = json!("2026-11-01T00:00:00Z");
        home["deletedItems"].as_array_mut().unwrap().push(app);
    });
    let run = stage.run(&["offboard", "contoso", "--yes"]);
    run.expect(0).says("nothing of it is left (asked)");
    // What is in their directory was not to be seen any more, so it is named and called unknown.
    assert_eq!(stage.status()["leftovers"][0]["state"], "unknown");

    // Purged by hand.
    let stage = consented(&manifest(&[CONTOSO_LINE]));
    let id = stage.app("contoso")["id"].clone();
    stage.change_home(|home| {
        home["applications"].as_array_mut().unwrap().retain(|app| app["id"] != id);
    });
    stage.run(&["offboard", "contoso", "--yes"]).expect(0);
    // Its secret removed by hand.
    let stage = consented(&manifest(&[CONTOSO_LINE]));
    stage.change_app("contoso", |app| app["passwordCredentials"] = json!([]));
    stage.run(&["offboard", "contoso", "--yes"]).expect(0).says("refused by Entra ID (AADSTS");
}

#[test]
fn an_operator_who_may_look_sees_when_the_customer_removed_it() {
    let mut stage = consented(&manifest(&[CONTOSO_LINE]));
    let client = stage.app("contoso")["appId"].as_str().unwrap().to_owned();
    stage.write_manifest(&manifest(&[WINGTIP_LINE]));
    stage.run(&["offboard", "contoso", "--yes"]).expect(0);
    let of = |stage: &Stage| stage.status()["leftovers"].clone();
    assert!(of(&stage)[0]["evidence"]["what"].as_str().unwrap().contains("nobody here can look"));
    // The customer lets the operator's app read applications there.
    stage.let_in(CONTOSO, "Application.Read.All");
    assert_eq!(of(&stage)[0]["evidence"]["what"], "the customer's directory shows it");
    stage.change_world(|world| {
        let directory = directory_mut(world, CONTOSO);
        let all = directory["servicePrincipals"].as_array_mut().unwrap();
        all.retain(|principal| principal["appId"] != *client);
    });
    stage.run(&["status"]).expect(0).says("contoso: its enterprise application is gone");
    assert_eq!(of(&stage), json!([]));
    nowhere(&stage, &[client], |_| false);
}

#[test]
fn a_key_vault_that_may_not_be_purged_says_until_when() {
    let stage = consented(&in_key_vault(&manifest(&[CONTOSO_LINE])));
    stage.change_world(|world| world["keyVaults"][0]["purgeProtection"] = json!(true));
    let run = stage.run(&["offboard", "contoso", "--yes"]);
    run.expect(0).says("could not be made to purge it, so whoever may can recover it until");
    let world = stage.sandbox.world();
    let deleted = world["keyVaults"][0]["deletedSecrets"].as_object().unwrap();
    assert!(deleted.keys().any(|name| name == "tenantry-acme-soc--contoso"), "{deleted:?}");
    assert!(
        !world["keyVaults"][0]["secrets"]
            .as_object()
            .unwrap()
            .keys()
            .any(|n| n.contains("--contoso"))
    );
    // Back again: what lay there is taken up, and a new value is in it.
    stage.apply().expect(0);
    stage.holds("contoso");
}

#[test]
fn a_deletion_that_is_refused_leaves_the_rest_to_the_next_run() {
    let stage = consented(&manifest(&[CONTOSO_LINE]));
    stage.fault(json!({"operation": "application.delete", "do": {"status": 403}}));
    let run = stage.run(&["offboard", "contoso", "--yes"]);
    run.expect(4).says("1 of 3 steps are done").says("Authorization_RequestDenied");
    stage.all_faults_fired();
    let run = stage.run(&["offboard", "contoso", "--yes"]);
    run.expect(0).says("Done: contoso is offboarded.");
}

#[test]
fn a_report_is_the_protocol_of_it() {
    let stage = consented(&manifest(&[CONTOSO_LINE]));
    let report = stage.manifest().parent().unwrap().join("off.json");
    let path = report.to_str().unwrap();
    stage.run(&["offboard", "contoso", "--yes", "--report", path]).expect(0);
    let document: Value = serde_json::from_str(&fs::read_to_string(&report).unwrap()).unwrap();
    let kinds: Vec<&str> =
        list(&document, "steps").iter().map(|step| step["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["remove-secret", "delete-application", "remove-record"]);
    assert!(list(&document, "steps").iter().all(|step| step["state"] == "done"));
    let proofs: Vec<&str> =
        list(&document, "proofs").iter().map(|proof| proof["what"].as_str().unwrap()).collect();
    assert_eq!(proofs, ["app-gone", "secret-refused", "record-gone"]);
    for kind in ["off.md", "off.html", "off.csv"] {
        let path = stage.manifest().parent().unwrap().join(kind);
        stage.run(&["offboard", "contoso", "--yes", "--report", path.to_str().unwrap()]).expect(0);
        assert!(fs::read_to_string(path).unwrap().contains("contoso"));
    }
}

const OFFBOARD: [&str; 3] = ["offboard", "contoso", "--yes"];

/// How one run is cut.
#[derive(Debug, Clone, Copy)]
enum Cut {
    /// The k-th request's connection is cut, before or after its effect.
    Connection(usize, &'static str),
    /// The process is killed when the k-th request has come, without or with its effect.
    Killed(usize, &'static str),
    /// The process dies at the k-th write of the vault.
    AtWrite(usize),
}

fn cut(stage: &Stage, cut: Cut) -> Run {
    let fault =
        |nth: usize, act: &str| stage.fault(json!({"operation": "*", "nth": nth, "do": act}));
    match cut {
        Cut::Connection(nth, act) => {
            fault(nth, act);
            stage.run(&OFFBOARD)
        }
        Cut::Killed(nth, act) => {
            fault(nth, act);
            let mut running = stage.start(&OFFBOARD);
            until("the request at which the process is killed", || {
                assert!(!running.is_over(), "{cut:?}: it ended before it could be killed");
                stage.asked().iter().any(|request| request["fault"].is_string())
            });
            running.kill()
        }
        Cut::AtWrite(k) => {
            let mut command = stage.command(&OFFBOARD);
            command.env("TENANTRY_DIE_AT_VAULT_WRITE", k.to_string());
            Running::start(command).wait()
        }
    }
}

/// Cut at every request and at every write of the vault, and run again: the same end.
#[test]
fn cut_anywhere_it_is_run_again_and_ends_the_same() {
    let of = manifest(&[CONTOSO_LINE, WINGTIP_LINE]);
    let mut stage = consented(&of);
    let traces = traces(&stage, "contoso", CONTOSO);
    stage.write_manifest(&of.replace(CONTOSO_LINE, ""));
    let (world, vault): (Value, Kept) = (stage.sandbox.world(), stage.keep_vault());
    let begin_again = |stage: &Stage| {
        stage.put_vault(&vault);
        stage.sandbox.put_world(&world).unwrap();
        stage.sandbox.clear_faults();
        stage.sandbox.clear_requests();
    };
    begin_again(&stage);
    stage.run(&OFFBOARD).expect(0);
    let requests = stage.asked().len();
    assert!(requests >= 8, "{requests}");
    let mut cuts: Vec<Cut> = (1..=requests)
        .flat_map(|nth| {
            [
                Cut::Connection(nth, "cut-before"),
                Cut::Connection(nth, "cut-after"),
                Cut::Killed(nth, "no-answer"),
                Cut::Killed(nth, "no-answer-after"),
            ]
        })
        .collect();
    if kind() == VaultKind::Folder {
        // Two for each of: four lines of the audit, what is named, the file that goes.
        cuts.extend((1..=12).map(Cut::AtWrite));
    }
    for one in cuts {
        begin_again(&stage);
        let run = cut(&stage, one);
        if let Cut::Killed(..) | Cut::AtWrite(_) = one {
            assert_eq!(run.code, None, "{one:?}: {run:?}");
            stage.the_killed_one_is_forgotten();
        }
        stage.sandbox.clear_faults();
        let again = stage.run(&OFFBOARD);
        assert_eq!(again.code, Some(0), "{one:?}: {run:?}\n{again:?}");
        nowhere(&stage, &traces, names_leftovers);
        let left = stage.status()["leftovers"].clone();
        assert_eq!(left.as_array().unwrap().len(), 1, "{one:?}: {left}");
        assert!(left[0]["objectId"].is_string(), "{one:?}: {left}");
        let home = stage.home();
        let binned = list(&home, "deletedItems").iter();
        let ours = binned.filter(|app| app["uniqueName"] == "tenantry-acme-soc--contoso");
        assert_eq!(ours.count(), 1, "{one:?}");
        stage.holds("wingtip");
    }
}

impl Stage {
    /// The directories are as they were.
    #[track_caller]
    fn no_graph_write_since(&self, before: &Value) {
        assert_eq!(self.sandbox.world()["directories"], *before);
    }

    /// A customer lets the operator's app in, with one app role of Microsoft Graph.
    fn let_in(&self, tenant: &str, role: &str) {
        const GRAPH: &str = "00000003-0000-0000-c000-000000000000";
        // `Application.Read.All`
        // (<https://learn.microsoft.com/en-us/graph/permissions-reference#applicationreadall>).
        assert_eq!(role, "Application.Read.All");
        let id = "9a5d68dd-52b0-4cc2-bd40-abcf44ac3a30";
        let client = self.sandbox.operator().client_id;
        self.change_home(|home| {
            let apps = home["applications"].as_array_mut().unwrap();
            let own = apps.iter_mut().find(|app| app["appId"] == *client).unwrap();
            own["signInAudience"] = json!("AzureADMultipleOrgs");
        });
        self.change_world(|world| {
            let directory = directory_mut(world, tenant);
            let principal = "6f1c0f5e-0008-4000-8000-000000000001";
            let graph = crate::stage::principal_id(tenant, GRAPH);
            for (table, row) in [
                (
                    "servicePrincipals",
                    json!({"id": principal, "appId": client, "displayName": "operator",
                           "servicePrincipalType": "Application", "accountEnabled": true,
                           "servicePrincipalNames": [client],
                           "signInAudience": "AzureADMultipleOrgs"}),
                ),
                (
                    "appRoleAssignments",
                    json!({"id": "6f1c0f5e-0008-4000-8000-000000000002", "principalId": principal,
                           "principalType": "ServicePrincipal", "resourceId": graph,
                           "appRoleId": id}),
                ),
            ] {
                if directory[table].is_null() {
                    directory[table] = json!([]);
                }
                directory[table].as_array_mut().unwrap().push(row);
            }
        });
    }
}

#[test]
fn an_app_that_was_only_just_made_is_waited_for() {
    let lag = std::time::Duration::from_millis(200);
    let stage = Stage::with(&manifest(&[CONTOSO_LINE]), Options { lag, ..Options::default() });
    stage.apply().expect(0);
    stage.run(&["offboard", "contoso", "--yes"]).expect(0);
}
