//! Owners that the manifest names: added, checked for drift, and never taken from others.

use reqwest::Method;
use serde_json::{Value, json};

use crate::stage::{HOME, ONE, Stage, directory_mut};

/// Two users of the seed's home, and one that the tests add.
const DANA: &str = "6f1c0f5e-0005-4000-8000-000000000001";
const STRANGER: &str = "6f1c0f5e-0005-4000-8000-000000000003";
const KIM: &str = "6f1c0f5e-0005-4000-8000-0000000000f1";

fn manifest() -> String {
    ONE.replace("defaults: {", &format!("defaults: {{owners: [{DANA}, {KIM}], "))
}

fn stage() -> Stage {
    let stage = Stage::with_vault(&manifest());
    stage.change_world(|world| {
        let users = directory_mut(world, HOME)["users"].as_array_mut().unwrap();
        let mut kim = users[0].clone();
        kim["id"] = json!(KIM);
        kim["userPrincipalName"] = json!("kim@acme-soc.example");
        users.push(kim);
    });
    stage
}

fn owners(stage: &Stage) -> Vec<String> {
    let app = stage.app("contoso");
    let owners = app["owners"].as_array().unwrap();
    owners.iter().map(|owner| owner.as_str().unwrap().to_owned()).collect()
}

fn requests(stage: &Stage, part: &str) -> usize {
    let all = stage.sandbox.requests();
    all.iter().filter(|one| one["path"].as_str().is_some_and(|path| path.contains(part))).count()
}

#[test]
fn owners_are_added_once_and_drift_is_mended() {
    let stage = stage();
    stage.empower(&["Application.ReadWrite.All", "Directory.Read.All"]);
    let plan = stage.run(&["plan", "--json"]).exits(0).json();
    let kinds: Vec<_> = plan["apps"][0]["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step["kind"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(kinds, ["create-application", "add-secret", "add-owner", "add-owner"]);
    assert_eq!(plan["apps"][0]["steps"][2]["owner"], DANA);
    stage.run(&["apply", "--yes"]).exits(0);
    // Whoever made it stays an owner.
    assert_eq!(owners(&stage).len(), 3);
    assert!(owners(&stage).ends_with(&[DANA.to_owned(), KIM.to_owned()]));

    // A second run changes nothing. A directory follows one relation a request: owners cost a second
    // listing beside the federated credentials, and no request an app.
    stage.sandbox.clear_requests();
    let again = stage.run(&["apply", "--yes"]).exits(0).stdout;
    assert!(again.contains("No changes.") && !again.contains("not ours"), "{again}");
    assert_eq!(requests(&stage, "/v1.0/applications"), 2);

    // One goes, another comes: ours is put back, theirs is kept and shown.
    let id = stage.app("contoso")["id"].as_str().unwrap().to_owned();
    let token = stage.operator_token();
    let path = format!("/applications/{id}/owners");
    stage.call(Method::DELETE, &format!("{path}/{KIM}/$ref"), &token, None);
    let address = format!("{}/v1.0/directoryObjects/{STRANGER}", stage.sandbox.base_url());
    stage.call(Method::POST, &format!("{path}/$ref"), &token, Some(&json!({"@odata.id": address})));
    let plan = stage.run(&["plan", "--json"]).exits(0).json();
    let app = &plan["apps"][0];
    assert_eq!(app["steps"], json!([{"kind": "add-owner", "owner": KIM}]));
    assert_eq!(app["foreign"]["owners"], json!([STRANGER]));
    let status = stage.run(&["status", "--json"]).exits(0).json();
    assert_eq!(status["tenants"][0]["facets"]["registration"]["state"], "waiting");
    let said = stage.run(&["apply", "--yes"]).exits(0).stdout;
    assert!(said.contains(&format!("owner          {KIM}")), "{said}");
    assert!(
        owners(&stage).contains(&KIM.to_owned()) && owners(&stage).contains(&STRANGER.to_owned())
    );
}

#[test]
fn more_owners_than_one_answer_shows_are_read_to_the_end() {
    let stage = stage();
    stage.empower(&["Application.ReadWrite.All", "Directory.Read.All"]);
    stage.run(&["apply", "--yes"]).exits(0);
    stage.change_world(|world| {
        let home = directory_mut(world, HOME);
        let many: Vec<String> =
            (0..25).map(|n| format!("6f1c0f5e-0006-4000-8000-0000000000{n:02}")).collect();
        let pattern = home["users"][0].clone();
        for (n, id) in many.iter().enumerate() {
            let mut user = pattern.clone();
            user["id"] = json!(id);
            user["userPrincipalName"] = json!(format!("u{n}@acme-soc.example"));
            home["users"].as_array_mut().unwrap().push(user);
        }
        for app in home["applications"].as_array_mut().unwrap() {
            if app["tags"].as_array().is_some_and(|t| t.contains(&json!("tenantry:app=contoso"))) {
                let mut all: Vec<Value> = many.iter().map(|id| json!(id)).collect();
                all.extend(app["owners"].as_array().unwrap().iter().cloned());
                app["owners"] = json!(all);
            }
        }
    });
    let plan = stage.run(&["plan", "--json"]).exits(0).json();
    assert_eq!(plan["apps"][0]["steps"], json!([]), "{plan}");
    assert_eq!(plan["apps"][0]["foreign"]["owners"].as_array().unwrap().len(), 25);
}

#[test]
fn who_may_not_add_owners_is_told_what_it_takes_and_keeps_the_secret() {
    let stage = stage();
    let ran = stage.run(&["apply", "--yes"]).exits(4);
    let said: Vec<&str> =
        ran.stderr.split_whitespace().chain(ran.stdout.split_whitespace()).collect();
    let said = said.join(" ");
    assert!(said.contains("takes Application.ReadWrite.All and Directory.Read.All"), "{said}");
    assert_eq!(stage.app("contoso")["passwordCredentials"].as_array().unwrap().len(), 1);
    // Nobody of that id.
    let nobody = "6f1c0f5e-0005-4000-8000-00000000dead";
    std::fs::write(stage.path("manifest.yaml"), manifest().replace(KIM, nobody)).unwrap();
    stage.empower(&["Application.ReadWrite.All", "Directory.Read.All"]);
    let ran = stage.run(&["apply", "--yes"]).exits(4);
    let said: Vec<&str> =
        ran.stderr.split_whitespace().chain(ran.stdout.split_whitespace()).collect();
    assert!(said.join(" ").contains("is the object id of nobody"), "{said:?}");
}
