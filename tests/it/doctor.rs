//! What doctor says of the operator: rights one by one, where each is missing, and what else decides
//! whether a run can go well.

use serde_json::{Value, json};

use crate::stage::{CONTOSO, HOME, MANIFEST, ONE, Stage, directory_mut};

/// The document of a doctor run that ends with this code.
fn examine(stage: &Stage, code: i32) -> Value {
    stage.run(&["doctor", "--json"]).exits(code).json()
}

/// The check whose subject begins like this.
#[track_caller]
fn check(document: &Value, about: &str) -> Value {
    let checks = document["checks"].as_array().unwrap();
    let found = checks.iter().find(|check| check["about"].as_str().unwrap().starts_with(about));
    found.unwrap_or_else(|| panic!("nothing about {about} in {document:#}")).clone()
}

#[track_caller]
fn is(document: &Value, about: &str, health: &str, says: &str) {
    let check = check(document, about);
    let said = format!("{} {}", check["found"], check["remedy"]);
    assert!(check["health"] == health && said.contains(says), "{says}: {check:#}");
}

#[test]
fn an_operator_who_may_do_all_of_it_and_no_more_is_told_so() {
    let stage = Stage::with_vault(MANIFEST);
    let document = examine(&stage, 0);
    let least = [
        "Application.Read.All",
        "Application.ReadWrite.OwnedBy",
        "Policy.Read.ApplicationConfiguration",
    ];
    assert_eq!(document["rights"]["least"], json!(least));
    for none in ["missing", "inCustomers", "more"] {
        assert_eq!(document["rights"][none], json!([]), "{none}");
    }
    for right in least {
        is(&document, right, "works", "");
    }
    is(&document, "object quota", "works", "this manifest adds 4");
    is(&document, "customers' clouds", "works", "5 directories, all in");
    is(&document, "verified publisher", "noted", "unverified");
    is(&document, "vault can be written", "works", "yes");
    assert!(stage.sandbox.requests().iter().all(|request| {
        request["host"] == "login.microsoftonline.com"
            || request["method"] == "GET"
            || request["path"].as_str().unwrap().ends_with("/token")
    }));
}

#[test]
fn each_missing_right_is_named_with_the_way_to_it() {
    for (right, exit, way) in [
        (
            "Application.ReadWrite.OwnedBy",
            1,
            "--api-permissions 18a4783c-866b-4cc7-a460-3d5e5662c884=Role",
        ),
        ("Application.Read.All", 1, "--api-permissions 9a5d68dd-52b0-4cc2-bd40-abcf44ac3a30=Role"),
        (
            "Policy.Read.ApplicationConfiguration",
            1,
            "Application permissions › Policy.Read.ApplicationConfiguration",
        ),
    ] {
        let stage = Stage::with_vault(ONE);
        stage.without(&[right]);
        let document = examine(&stage, exit);
        assert_eq!(document["rights"]["missing"], json!([right]));
        is(&document, right, "missing", way);
        let screen = stage.run(&["doctor"]).exits(exit).stdout;
        assert!(screen.contains("missing") && screen.contains(right), "{screen}");
    }
    // What only another command needs is not missed.
    let stage = Stage::with_vault(ONE);
    stage.without(&["CrossTenantInformation.ReadBasic.All", "DelegatedAdminRelationship.Read.All"]);
    assert_eq!(examine(&stage, 0)["rights"]["missing"], json!([]));
}

#[test]
fn a_greater_right_is_as_good_as_the_lesser_ones_within_it() {
    let stage = Stage::with_vault(ONE);
    stage.without(&["Application.ReadWrite.OwnedBy"]);
    stage.empower(&["Application.ReadWrite.All"]);
    let document = examine(&stage, 0);
    assert_eq!(document["rights"]["missing"], json!([]));
    let within = "within Application.ReadWrite.All";
    is(&document, "Application.ReadWrite.OwnedBy", "works", within);
}

#[test]
fn what_the_operator_lacks_in_a_customers_directory_is_a_row_of_its_own() {
    let own = ONE.replace("tenants:\n", "tenants:\n  proseware: {name: Proseware, domain: proseware.example, layout: in-tenant}\n  northwind: {name: Northwind Traders, domain: northwind.example, layout: in-tenant}\n");
    let stage = Stage::with_vault(&own);
    let document = examine(&stage, 1);
    is(&document, "northwind's directory", "works", "grant app roles");
    is(&document, "proseware's directory", "missing", "cannot grant app roles");
    is(&document, "proseware's directory", "missing", "AppRoleAssignment.ReadWrite.All");
}

#[test]
fn power_that_nothing_needs_is_said() {
    let stage = Stage::with_vault(ONE);
    stage.empower(&["Application.ReadWrite.All", "Directory.Read.All"]);
    let document = examine(&stage, 0);
    let more = ["Application.ReadWrite.All", "Directory.Read.All"];
    assert_eq!(document["rights"]["more"], json!(more));
    is(&document, "more than this manifest needs", "noted", "Application.ReadWrite.All");
    // The same is the least where owners are to be added.
    let owners = "defaults: {owners: [6f1c0f5e-0005-4000-8000-000000000001], ";
    std::fs::write(stage.path("manifest.yaml"), ONE.replace("defaults: {", owners)).unwrap();
    stage.run(&["apply", "--yes"]).exits(0);
    let document = examine(&stage, 0);
    assert!(!document["rights"]["more"].as_array().unwrap().contains(&json!(more[0])));
    is(&document, "owners", "works", "1 apps");
    stage.change_world(|world| {
        for app in directory_mut(world, HOME)["applications"].as_array_mut().unwrap() {
            if app["tags"].as_array().is_some_and(|t| t.contains(&json!("tenantry:app=contoso"))) {
                app["owners"].as_array_mut().unwrap().pop();
            }
        }
    });
    is(&examine(&stage, 0), "owners", "noted", "contoso lacks 1");
}

#[test]
fn a_quota_that_the_manifest_would_break_is_told_before() {
    let stage = Stage::with_vault(ONE);
    stage.run(&["apply", "--yes"]).exits(0);
    let fill = |to: usize| {
        stage.change_world(|world| {
            let apps = directory_mut(world, HOME)["applications"].as_array_mut().unwrap();
            let ours = |app: &&Value| {
                app["tags"].as_array().is_some_and(|t| t.contains(&json!("tenantry:app=contoso")))
            };
            let pattern = apps.iter().find(ours).unwrap().clone();
            for n in apps.len()..to {
                let mut app = pattern.clone();
                app["id"] = json!(format!("6f1c0f5e-0007-4000-8000-{n:012}"));
                app["appId"] = json!(format!("6f1c0f5e-0008-4000-8000-{n:012}"));
                app["tags"] = json!([]);
                app["uniqueName"] = Value::Null;
                app["passwordCredentials"] = json!([]);
                apps.push(app);
            }
        });
    };
    is(&examine(&stage, 0), "object quota", "works", "of 250 objects");
    // An app in its customer's own directory counts there.
    let elsewhere =
        "  northwind: {name: Northwind Traders, domain: northwind.example, layout: in-tenant}";
    std::fs::write(stage.path("manifest.yaml"), format!("{ONE}{elsewhere}\n")).unwrap();
    is(&examine(&stage, 0), "object quota", "works", "this manifest adds 0");
    fill(230);
    is(&examine(&stage, 0), "object quota", "noted", "empty the bin");
    fill(270);
    is(&examine(&stage, 1), "object quota", "missing", "empty the bin");
}

#[test]
fn publishers_and_clouds_are_looked_at() {
    let stage = Stage::with_vault(ONE);
    stage.run(&["apply", "--yes"]).exits(0);
    is(&examine(&stage, 0), "verified publisher", "noted", "1 of 1 apps have none");
    stage.change_world(|world| {
        for app in directory_mut(world, HOME)["applications"].as_array_mut().unwrap() {
            if app["tags"].as_array().is_some_and(|t| t.contains(&json!("tenantry:app=contoso"))) {
                app["verifiedPublisher"] = json!({"displayName": "Acme SOC", "verifiedPublisherId": "1234567", "addedDateTime": "2026-01-01T00:00:00Z"});
            }
        }
    });
    is(&examine(&stage, 0), "verified publisher", "works", "Acme SOC");
    let elsewhere = ONE.replace("contoso.example}", "nobody.example}");
    std::fs::write(stage.path("manifest.yaml"), elsewhere).unwrap();
    is(&examine(&stage, 1), "customers' clouds", "missing", "contoso");
    let by_id = ONE.replace("{name: Contoso", &format!("{{id: {CONTOSO}, name: Contoso"));
    std::fs::write(stage.path("manifest.yaml"), by_id).unwrap();
    is(&examine(&stage, 0), "customers' clouds", "works", "1 directories");
}

#[test]
fn the_report_is_a_file_of_each_kind() {
    let stage = Stage::with_vault(ONE);
    for kind in ["json", "md", "html", "csv"] {
        let name = format!("doctor.{kind}");
        stage.run(&["doctor", "--report", &name]).exits(0);
        let text = std::fs::read_to_string(stage.path(&name)).unwrap();
        assert!(text.contains("least rights for this manifest"), "{kind}: {text}");
    }
}
