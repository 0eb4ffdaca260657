//! `consent: {strategy: grant}` for the provider's own apps: made known and granted in each
//! customer's directory, by the operator's rights there.

use serde_json::{Value, json};

use crate::stage::{
    CONTOSO, FOURTHCOFFEE, HOME, HUMONGOUS, NORTHWIND, PROSEWARE, READ_ALERTS, READ_INCIDENTS,
    Stage, WINGTIP, directory, directory_mut, granted, list,
};

const HEAD: &str = r#"version: 1
fleet: acme-soc
home: {tenant: acme-soc.example, cloud: global}
vault: {path: vault}
defaults:
  connector: graph-security
  redirectUris: ["https://{domain}/SiemMsspConnector"]
  consent: {strategy: grant}
sharedApps:
  siem-eu: {name: Acme SOC EU, connector: defender-xdr, redirectUris: ["https://siem.acme-soc.example/eu"]}
tenants:
  northwind: {name: Northwind Traders, domain: northwind.example}
  humongous: {name: Humongous Insurance, domain: humongous.example, app: siem-eu}
"#;
const COFFEE_TOO: &str =
    "  fourthcoffee: {name: Fourth Coffee, domain: fourthcoffee.example, app: siem-eu}\n";
const THREAT_PROTECTION: &str = "8ee8fdad-f234-4243-8f3b-15c294843740";

fn client(stage: &Stage, key: &str) -> String {
    stage.app(key)["appId"].as_str().unwrap().to_owned()
}

fn granted_to(stage: &Stage, tenant: &str, key: &str) -> Option<Vec<String>> {
    granted(&stage.sandbox.world(), tenant, &client(stage, key))
}

fn tenant<'v>(document: &'v Value, key: &str) -> &'v Value {
    document["tenants"].as_array().unwrap().iter().find(|one| one["key"] == key).unwrap()
}

fn writes(stage: &Stage) -> usize {
    stage.sandbox.requests().iter().filter(|one| one["graphWrite"] == true).count()
}

#[test]
fn the_providers_app_is_made_known_and_granted_and_the_next_run_changes_nothing() {
    let stage = Stage::with_vault(HEAD);
    // The client id is not known when this is planned.
    let first = stage.run(&["plan", "--json"]).exits(0).json();
    assert_eq!(first["summary"]["grant"], 2);
    assert_eq!(tenant(&first, "northwind")["manual"], json!([]));
    let checksum = first["checksum"].as_str().unwrap().to_owned();
    stage.run(&["apply", "--checksum", &checksum]).exits(0);
    assert_eq!(
        granted_to(&stage, NORTHWIND, "northwind").unwrap(),
        [READ_INCIDENTS, READ_ALERTS].map(str::to_owned)
    );
    assert_eq!(granted_to(&stage, HUMONGOUS, "siem-eu").unwrap().len(), 1);
    let status = stage.run(&["status", "--json"]).exits(0).json();
    for key in ["northwind", "humongous"] {
        assert_eq!(tenant(&status, key)["facets"]["consent"]["state"], "ok", "{status:#}");
    }
    // One listing at home; at each customer's its service principals and what was granted.
    let planned = stage.run(&["plan", "--detailed-exitcode"]).exits(0);
    assert!(planned.stdout.contains("(5 requests, 0 writes)"), "{}", planned.stdout);
    stage.sandbox.clear_requests();
    stage.run(&["apply", "--yes"]).exits(0);
    stage.run(&["consent"]).exits(0);
    assert_eq!(writes(&stage), 0);
}

#[test]
fn a_saved_plan_holds_what_is_granted() {
    let stage = Stage::with_vault(HEAD);
    stage.run(&["plan", "--out", "plan.json"]).exits(0);
    // Somebody makes the plan smaller than what its checksum says.
    let text = std::fs::read_to_string(stage.path("plan.json")).unwrap();
    let mut altered: Value = serde_json::from_str(&text).unwrap();
    altered["tenants"][0]["steps"] = json!([]);
    std::fs::write(stage.path("altered.json"), altered.to_string()).unwrap();
    stage.run(&["apply", "altered.json"]).exits(6);
    // What is granted meanwhile makes it another plan.
    stage.run(&["apply", "plan.json"]).exits(0);
    let moved = stage.run(&["apply", "plan.json"]).exits(6);
    assert!(moved.stderr.contains("grant-app-role is not planned any more"), "{}", moved.stderr);
}

#[test]
fn consent_grants_to_apps_that_are_there_and_only_where_the_strategy_says_so() {
    let link = HEAD.replace("strategy: grant", "strategy: link");
    let stage = Stage::with_vault(&link);
    stage.run(&["apply", "--yes"]).exits(0);
    stage.sandbox.clear_requests();
    stage.run(&["consent"]).exits(0);
    assert_eq!(writes(&stage), 0, "a link is sent, nothing is granted");
    assert_eq!(granted_to(&stage, NORTHWIND, "northwind"), None);

    // One of the two is to be granted by Graph.
    let one = link.replace(
        "domain: northwind.example}",
        "domain: northwind.example, consent: {strategy: grant}}",
    );
    std::fs::write(stage.path("manifest.yaml"), one).unwrap();
    stage.run(&["consent"]).exits(0);
    assert_eq!(granted_to(&stage, NORTHWIND, "northwind").unwrap().len(), 2);
    assert_eq!(granted_to(&stage, HUMONGOUS, "siem-eu"), None);
}

#[test]
fn a_new_permission_in_the_manifest_is_granted_to_existing_customers() {
    let stage = Stage::with_vault(HEAD);
    stage.run(&["apply", "--yes"]).exits(0);
    let more = HEAD.replace(
        "domain: northwind.example}",
        "domain: northwind.example, permissions: [{resource: Microsoft Graph, application: \
         [SecurityIncident.Read.All, SecurityAlert.Read.All, ThreatHunting.Read.All]}]}",
    );
    std::fs::write(stage.path("manifest.yaml"), more).unwrap();
    let planned = stage.run(&["plan", "--json"]).exits(0).json();
    assert_eq!(planned["summary"]["change"], 1);
    assert_eq!(tenant(&planned, "northwind")["steps"][0]["name"], "ThreatHunting.Read.All");
    stage.run(&["apply", "--yes"]).exits(0);
    assert_eq!(granted_to(&stage, NORTHWIND, "northwind").unwrap().len(), 3);
    stage.run(&["plan", "--detailed-exitcode"]).exits(0);
}

#[test]
fn an_api_that_is_missing_is_made_known_or_explained() {
    let stage = Stage::with_vault(&format!("{HEAD}{COFFEE_TOO}"));
    stage.change_world(|world| {
        for id in [HUMONGOUS, FOURTHCOFFEE] {
            let known = directory_mut(world, id)["firstParty"].as_array_mut().unwrap();
            known.retain(|api| *api != THREAT_PROTECTION);
        }
        directory_mut(world, FOURTHCOFFEE)["people"]["defender"] = json!("not-provisioned");
    });
    // Fourth Coffee has no Defender: the API cannot be had there. The others are done all the same.
    let ran = stage.run(&["apply", "--yes"]).exits(4);
    assert!(ran.stdout.contains("× fourthcoffee:"), "{}", ran.stdout);
    assert!(ran.stderr.contains("AADSTS650052"), "{}", ran.stderr);
    assert!(ran.stdout.contains("--tenant fourthcoffee"), "{}", ran.stdout);
    let world = stage.sandbox.world();
    let known = list(directory(&world, HUMONGOUS), "firstParty");
    assert!(known.contains(&json!(THREAT_PROTECTION)));
    assert_eq!(granted_to(&stage, HUMONGOUS, "siem-eu").unwrap().len(), 1);
    assert_eq!(granted_to(&stage, NORTHWIND, "northwind").unwrap().len(), 2);
}

#[test]
fn who_may_not_is_told_why_and_the_link_is_the_way() {
    let more = "  contoso: {name: Contoso, domain: contoso.example}
  proseware: {name: Proseware, domain: proseware.example}\n";
    let stage = Stage::with_vault(&format!("{HEAD}{more}"));
    let planned = stage.run(&["plan", "--json"]).exits(0).json();
    for (key, why) in [("contoso", "AADSTS7000229"), ("proseware", "Application.ReadWrite.All")] {
        let one = tenant(&planned, key);
        assert_eq!(one["steps"], json!([]));
        assert_eq!(one["manual"][0]["kind"], "admin-consent");
        assert!(one["diagnostics"][0].to_string().contains(why), "{one:#}");
    }
    let ran = stage.run(&["apply", "--yes", "--json"]).exits(0);
    let links: Vec<_> =
        ran.lines().into_iter().filter(|line| line["type"] == "consent-link").collect();
    assert_eq!(links.len(), 2, "{links:#?}");
    assert_eq!(granted_to(&stage, CONTOSO, "contoso"), None);
    assert_eq!(granted_to(&stage, PROSEWARE, "proseware"), None);
    assert_eq!(granted_to(&stage, NORTHWIND, "northwind").unwrap().len(), 2);
}

#[test]
fn a_right_that_is_lost_between_plan_and_grant_fails_one_tenant_and_leaves_it_the_link() {
    let stage = Stage::with_vault(HEAD);
    stage
        .sandbox
        .add_faults(&json!([{
            "operation": "servicePrincipal.create", "match": {"tenant": NORTHWIND},
            "do": {"status": 403},
        }]))
        .unwrap();
    let ran = stage.run(&["apply", "--yes", "--json"]).exits(4);
    let lines = ran.lines();
    let of = |kind: &str, key: &str| {
        lines.iter().filter(|line| line["type"] == kind && line["tenant"] == key).count()
    };
    assert_eq!(of("step-failed", "northwind"), 1);
    assert_eq!(of("step-skipped", "northwind"), 2);
    assert_eq!(of("consent-link", "northwind"), 1);
    assert_eq!(lines.last().unwrap()["notGranted"], json!(["northwind"]));
    assert_eq!(granted_to(&stage, HUMONGOUS, "siem-eu").unwrap().len(), 1);
    stage.run(&["apply", "--yes"]).exits(0);
    assert_eq!(granted_to(&stage, NORTHWIND, "northwind").unwrap().len(), 2);
}

#[test]
fn an_owner_that_cannot_be_added_holds_no_grant_up() {
    let owned = HEAD
        .replace("defaults:\n", "defaults:\n  owners: [6f1c0f5e-0005-4000-8000-000000000001]\n");
    let stage = Stage::with_vault(&owned);
    for round in ["made by this run", "there already"] {
        stage.run(&["apply", "--yes"]).exits(4);
        assert_eq!(granted_to(&stage, NORTHWIND, "northwind").unwrap().len(), 2, "{round}");
        assert_eq!(granted_to(&stage, HUMONGOUS, "siem-eu").unwrap().len(), 1, "{round}");
        // Somebody takes the grants away, so that the next run has some to make.
        for (tenant, key) in [(NORTHWIND, "northwind"), (HUMONGOUS, "siem-eu")] {
            let app = client(&stage, key);
            stage.change_world(|world| {
                let there = directory_mut(world, tenant);
                let ours = list(there, "servicePrincipals").iter().find(|one| one["appId"] == app);
                let ours = ours.unwrap()["id"].clone();
                let grants = there["appRoleAssignments"].as_array_mut().unwrap();
                grants.retain(|grant| grant["principalId"] != ours);
            });
        }
    }
}

#[test]
fn what_somebody_granted_meanwhile_is_as_good() {
    let stage = Stage::with_vault(HEAD);
    // A connection is cut after a grant had its effect: the next run finds it there.
    for (operation, code) in [("servicePrincipal.create", 4), ("appRoleAssignment.create", 1)] {
        stage.sandbox.add_faults(&json!([{"operation": operation, "do": "cut-after"}])).unwrap();
        stage.run(&["apply", "--yes", "--parallelism", "1"]).exits(code);
        assert_eq!(stage.sandbox.unused_faults(), [] as [Value; 0]);
    }
    stage.run(&["apply", "--yes"]).exits(0);
    assert_eq!(granted_to(&stage, NORTHWIND, "northwind").unwrap().len(), 2);
    assert_eq!(granted_to(&stage, HUMONGOUS, "siem-eu").unwrap().len(), 1);
    stage.run(&["plan", "--detailed-exitcode"]).exits(0);
}

#[test]
fn throttling_in_a_customers_directory_is_waited_out() {
    let stage = Stage::with_vault(HEAD);
    for operation in
        ["servicePrincipal.list", "servicePrincipal.create", "appRoleAssignment.create"]
    {
        let throttle = json!([{
            "operation": operation, "do": {"status": 429, "headers": {"Retry-After": "1"}},
        }]);
        stage.sandbox.add_faults(&throttle).unwrap();
    }
    stage.run(&["apply", "--yes"]).exits(0);
    assert_eq!(stage.sandbox.unused_faults(), [] as [Value; 0]);
    assert_eq!(granted_to(&stage, NORTHWIND, "northwind").unwrap().len(), 2);
    assert_eq!(granted_to(&stage, HUMONGOUS, "siem-eu").unwrap().len(), 1);
}

#[test]
fn an_app_in_the_bin_that_is_another_directorys_is_neither_restored_nor_granted_anything() {
    let stage = Stage::with_vault(HEAD);
    stage.run(&["apply", "--yes"]).exits(0);
    let old = client(&stage, "northwind");
    stage.run(&["offboard", "northwind", "--yes"]).exits(0);
    // The domain is another customer's now.
    stage.change_world(|world| {
        directory_mut(world, NORTHWIND)["domains"] = json!(["northwind-old.example"]);
        let domains = directory_mut(world, WINGTIP)["domains"].as_array_mut().unwrap();
        domains.push(json!("northwind.example"));
    });
    let before = stage.sandbox.world();
    let planned = stage.run(&["plan", "--json"]).exits(0).json();
    let apps = planned["apps"].as_array().unwrap();
    let app = apps.iter().find(|app| app["key"] == "northwind").unwrap();
    assert_eq!(
        (&app["steps"], &app["diagnostics"][0]["code"]),
        (&json!([]), &json!("directory-changed"))
    );
    assert!(app["diagnostics"][0]["hint"].as_str().unwrap().contains(&old), "{app:#}");
    let one = tenant(&planned, "northwind");
    assert_eq!((&one["steps"], &one["manual"]), (&json!([]), &json!([])));
    stage.run(&["apply", "--yes"]).exits(1);
    let after = stage.sandbox.world();
    for id in [NORTHWIND, WINGTIP, HOME] {
        for table in ["servicePrincipals", "appRoleAssignments", "applications", "deletedItems"] {
            assert_eq!(list(directory(&after, id), table), list(directory(&before, id), table));
        }
    }
    // The customer really moved, and somebody emptied the bin.
    stage.change_world(|world| directory_mut(world, HOME)["deletedItems"] = json!([]));
    stage.run(&["apply", "--yes"]).exits(0);
    assert_ne!(client(&stage, "northwind"), old);
    assert_eq!(granted_to(&stage, WINGTIP, "northwind").unwrap().len(), 2);
}
