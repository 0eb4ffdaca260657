//! `adopt`: an app that exists already becomes ours, and what others put on it stays.

use serde_json::{Value, json};

use crate::{
    stage::both_vaults,
    support::{Stage, list, ours},
};

/// The app of the seed that is called as wingtip's would be, made by hand in the portal.
const TWIN: &str = "6f1c0f5e-0002-4000-8000-000000000001";

const MANIFEST: &str = "\
version: 1
fleet: acme-soc
home: {tenant: acme-soc.example, cloud: global}
vault: {path: vault}
defaults:
  connector: graph-security
  displayName: '{name} SIEM MSSP Connector'
  redirectUris: ['https://siem.acme-soc.example/{key}']
tenants:
  contoso: {name: Contoso, domain: contoso.example}
  wingtip: {name: Wingtip Toys, domain: wingtip.example}
";

/// The app of the seed, with what others put on it.
fn twin(stage: &Stage) -> Value {
    let home = stage.home();
    list(&home, "applications").iter().find(|app| app["appId"] == TWIN).unwrap().clone()
}

fn change_twin(stage: &Stage, change: impl FnOnce(&mut Value)) {
    stage.change_home(|home| {
        let apps = home["applications"].as_array_mut().unwrap();
        change(apps.iter_mut().find(|app| app["appId"] == TWIN).unwrap());
    });
}

fn foreign_secret() -> Value {
    json!({"keyId": "6f1c0f5e-0009-4000-8000-000000000001", "displayName": "their SIEM",
           "startDateTime": "2026-01-01T00:00:00Z", "endDateTime": "2027-01-01T00:00:00Z",
           "secretHash": format!("sha256:{}", "0".repeat(64))})
}

/// A stage whose operator may change apps that others made, and a twin with things of others.
fn stage(manifest: &str) -> Stage {
    let stage = Stage::new(manifest);
    stage.empower_writes();
    change_twin(&stage, |app| {
        app["tags"] = json!(["theirs"]);
        app["passwordCredentials"] = json!([foreign_secret()]);
        app["signInAudience"] = json!("AzureADMyOrg");
    });
    stage
}

const ADOPT: [&str; 5] = ["adopt", "wingtip", "--app-id", TWIN, "--yes"];

#[test]
fn an_app_becomes_ours_and_what_others_put_on_it_stays() {
    for manifest in both_vaults(MANIFEST) {
        let stage = stage(&manifest);
        let before = twin(&stage);
        stage.run(&ADOPT[..4]).expect(64).says("nobody to ask");
        assert_eq!(twin(&stage), before);
        let run = stage.run(&ADOPT);
        run.expect(0);
        run.says("audience AzureADMyOrg → AzureADMultipleOrgs");
        run.says("unique name + tenantry-acme-soc--wingtip");
        run.says("tag + tenantry:app=wingtip");
        run.says("redirect URI + https://siem.acme-soc.example/wingtip");
        run.says("= redirect URI https://wingtip.example/SiemMsspConnector");
        run.says("= client secret \"their SIEM\"").says("= tag theirs");
        let after = twin(&stage);
        assert_eq!(after["uniqueName"], "tenantry-acme-soc--wingtip");
        assert_eq!((&after["id"], &after["notes"]), (&before["id"], &before["notes"]));
        let uris = list(&after["web"], "redirectUris");
        assert!(uris.contains(&json!("https://wingtip.example/SiemMsspConnector")), "{uris:?}");
        assert!(list(&after, "tags").contains(&json!("theirs")));
        assert_eq!((ours(&after).len(), list(&after, "passwordCredentials").len()), (1, 2));
        stage.holds("wingtip");

        // From now on it is as if we had made it.
        let plan = stage.plan();
        let wingtip = list(&plan, "apps").iter().find(|app| app["key"] == "wingtip").unwrap();
        assert_eq!(wingtip["steps"], json!([]), "{wingtip:#}");
        stage.apply().expect(0);
        stage.sandbox.clear_requests();
        stage.run(&ADOPT).expect(0).says("No changes.");
        stage.no_graph_write();
        // And goes as one of ours.
        let gone = stage.run(&["offboard", "wingtip"]);
        gone.expect(64).says("1 of its credentials are not ours");
        stage.run(&["offboard", "wingtip", "--yes"]).expect(0);
    }
}

#[test]
fn an_app_whose_adoption_failed_is_nobodys_to_offboard() {
    let stage = stage(MANIFEST);
    let before = twin(&stage);
    let no = json!({"status": 403,
        "body": {"error": {"code": "Authorization_RequestDenied", "message": "no"}}});
    let faults = json!([{"operation": "application.update", "times": 9, "do": no}]);
    stage.sandbox.add_faults(&faults).unwrap();
    assert_ne!(stage.run(&ADOPT).code, Some(0));
    stage.sandbox.clear_faults();
    stage.run(&["offboard", "wingtip", "--yes"]);
    assert_eq!(twin(&stage), before);
}

#[test]
fn the_plan_tells_twins_apart_and_says_how_to_adopt_one() {
    let stage = stage(MANIFEST);
    let run = stage.run(&["plan"]);
    run.expect(0).says(&format!("an app of the same name without our mark exists: {TWIN}"));
    run.says("created 2024-05-02, AzureADMyOrg, 1 credential");
    run.says("redirect URI https://wingtip.example/SiemMsspConnector");
    run.says("tenantry adopt --cloud ").says(&format!("wingtip --app-id {TWIN}"));
}

#[test]
fn what_is_not_free_to_be_taken_is_refused() {
    let stage = stage(MANIFEST);
    let refused = |says: &str| {
        let before = stage.sandbox.world()["directories"].clone();
        stage.run(&ADOPT).expect(7).says(says);
        assert_eq!(stage.sandbox.world()["directories"], before);
    };
    for (tags, says) in [
        (json!(["tenantry:fleet=other", "tenantry:app=wingtip"]), "is marked already"),
        (json!(["tenantry:fleet=acme-soc", "tenantry:app=contoso"]), "is marked already"),
        (json!(["tenantry:tenant=6f1c0f5e-0000-4000-8000-000000000001"]), "is marked already"),
    ] {
        change_twin(&stage, |app| app["tags"] = tags);
        refused(says);
    }
    change_twin(&stage, |app| app["tags"] = json!([]));
    for name in ["tenantry-other--wingtip", "tenantry-acme-soc--else"] {
        change_twin(&stage, |app| app["uniqueName"] = json!(name));
        refused("which nobody can change");
    }
    change_twin(&stage, |app| app["uniqueName"] = Value::Null);
    let of = |id: &str| {
        ["adopt", "wingtip", "--yes", "--app-id"]
            .map(str::to_owned)
            .into_iter()
            .chain([id.to_owned()])
            .collect::<Vec<_>>()
    };
    let run = |id: &str| {
        let words = of(id);
        stage.run(&words.iter().map(String::as_str).collect::<Vec<_>>())
    };
    run("6f1c0f5e-0002-4000-8000-00000000ffff").expect(7).says("no app of directory");
    let operator = stage.sandbox.operator().client_id;
    run(&operator).expect(7).says("signs in with");
    // The deleted one of the seed.
    let home = stage.home();
    let binned = list(&home, "deletedItems")[0]["appId"].as_str().unwrap().to_owned();
    run(&binned).expect(7).says("lies in the bin");
    stage.run(&["adopt", "nobody", "--app-id", TWIN, "--yes"]).expect(64);
    // A key that has its app.
    stage.apply().expect(0);
    stage.run(&ADOPT).expect(7).says("wingtip has its app already");
}

#[test]
fn a_unique_name_of_its_own_stays_and_tags_do() {
    let stage = stage(MANIFEST);
    change_twin(&stage, |app| app["uniqueName"] = json!("bicep-siem"));
    stage.run(&ADOPT).expect(0);
    assert_eq!(twin(&stage)["uniqueName"], "bicep-siem");
    stage.sandbox.clear_requests();
    let plan = stage.plan();
    let wingtip = list(&plan, "apps").iter().find(|app| app["key"] == "wingtip").unwrap();
    assert_eq!((&wingtip["steps"], &wingtip["clientId"]), (&json!([]), &json!(TWIN)));
}

#[test]
fn a_name_in_the_bin_is_gone_without() {
    let stage = stage(MANIFEST);
    stage.run(&["apply", "--yes", "--tenant", "wingtip"]).expect(0);
    stage.run(&["offboard", "wingtip", "--yes"]).expect(0);
    stage.run(&ADOPT).expect(0).says("a deleted app holds the unique name");
    assert_eq!(twin(&stage)["uniqueName"], Value::Null);
    assert_eq!(ours(&twin(&stage)).len(), 1);
    let plan = stage.plan();
    let wingtip = list(&plan, "apps").iter().find(|app| app["key"] == "wingtip").unwrap();
    assert_eq!((&wingtip["steps"], &wingtip["clientId"]), (&json!([]), &json!(TWIN)));
}

#[test]
fn what_was_handed_over_is_not_overwritten_and_comes_back_by_adoption() {
    let stage = stage(MANIFEST);
    stage.run(&["apply", "--yes", "--tenant", "contoso"]).expect(0);
    let handed = stage.app("contoso");
    stage.run(&["offboard", "contoso", "--yes", "--keep-app"]).expect(0);
    let client = handed["appId"].as_str().unwrap();
    stage.run(&["apply", "--yes"]).expect(7).says("it was handed over");
    stage.run(&["adopt", "contoso", "--app-id", client, "--yes"]).expect(0);
    assert_eq!(stage.app("contoso")["id"], handed["id"]);
    stage.holds("contoso");
}

#[test]
fn cut_anywhere_an_adoption_is_run_again_and_ends_the_same() {
    let stage = stage(MANIFEST);
    let (world, vault) = (stage.sandbox.world(), stage.keep_vault());
    let begin_again = || {
        stage.put_vault(&vault);
        stage.sandbox.put_world(&world).unwrap();
        stage.sandbox.clear_faults();
        stage.sandbox.clear_requests();
    };
    begin_again();
    stage.run(&ADOPT).expect(0);
    let requests = stage.asked().len();
    for nth in 1..=requests {
        for act in ["cut-before", "cut-after"] {
            begin_again();
            stage.fault(json!({"operation": "*", "nth": nth, "do": act}));
            let cut = stage.run(&ADOPT);
            stage.sandbox.clear_faults();
            // A young credential may be missing from an answer only because it is young.
            stage.sandbox.advance("PT10M").unwrap();
            let again = stage.run(&ADOPT);
            assert_eq!(again.code, Some(0), "{nth} {act}: {cut:?}\n{again:?}");
            let app = twin(&stage);
            assert_eq!(app["uniqueName"], "tenantry-acme-soc--wingtip", "{nth} {act}");
            assert_eq!(list(&app, "passwordCredentials").len(), 2, "{nth} {act}: {app:#}");
            stage.holds("wingtip");
        }
    }
}

impl Stage {
    /// The operator may change every app of the provider's directory.
    fn empower_writes(&self) {
        // `Application.ReadWrite.All`
        // (<https://learn.microsoft.com/en-us/graph/permissions-reference#applicationreadwriteall>).
        let role = "1bfefb4e-e0b5-418b-a88f-73c46d2cc8e9";
        let client = self.sandbox.operator().client_id;
        self.change_home(|home| {
            let principals = list(home, "servicePrincipals");
            let own = principals.iter().find(|one| one["appId"] == *client).unwrap();
            let principal = own["id"].clone();
            let given = home["appRoleAssignments"].as_array_mut().unwrap();
            let graph = given[0]["resourceId"].clone();
            given.push(json!({"id": "6f1c0f5e-0008-4000-8000-000000000009",
                "principalId": principal, "principalType": "ServicePrincipal",
                "resourceId": graph, "appRoleId": role}));
        });
    }
}
