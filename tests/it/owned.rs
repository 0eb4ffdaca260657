//! Apps that customers own, in their own directories: taken over, handed over and offboarded there.

use serde_json::{Value, json};

use crate::{
    offboard::{nowhere, traces},
    stage::{HUMONGOUS, NORTHWIND, both_vaults, directory, directory_mut, granted},
    support::{Stage, list, ours},
};

const HEAD: &str = "\
version: 1
fleet: acme-soc
home: {tenant: acme-soc.example, cloud: global}
vault: {path: vault}
defaults:
  connector: graph-security
  layout: in-tenant
  displayName: '{name} SIEM MSSP Connector'
  redirectUris: ['https://siem.acme-soc.example/{key}']
tenants:
";
const NORTHWIND_LINE: &str = "  northwind: {name: Northwind Traders, domain: northwind.example}\n";
const HUMONGOUS_LINE: &str =
    "  humongous: {name: Humongous Insurance, domain: humongous.example}\n";

fn manifest(lines: &[&str]) -> String {
    format!("{HEAD}{}", lines.concat())
}

/// How many apps, service principals and grants of a client a directory has.
fn has(stage: &Stage, tenant: &str, client: &str) -> [usize; 3] {
    let world = stage.sandbox.world();
    let of_client = |table: &str| {
        list(directory(&world, tenant), table).iter().filter(|one| one["appId"] == client).count()
    };
    let granted = granted(&world, tenant, client).map_or(0, |all| all.len());
    [of_client("applications"), of_client("servicePrincipals"), granted]
}

fn principal(stage: &Stage, tenant: &str, client: &str) -> Value {
    let world = stage.sandbox.world();
    let all = list(directory(&world, tenant), "servicePrincipals");
    all.iter().find(|one| one["appId"] == client).unwrap()["id"].clone()
}

/// Every directory but one, as it is.
fn others(stage: &Stage, tenant: &str) -> Value {
    let mut world = stage.sandbox.world();
    world["directories"].as_array_mut().unwrap().retain(|one| one["id"] != tenant);
    world["directories"].clone()
}

fn client(app: &Value) -> String {
    app["appId"].as_str().unwrap().to_owned()
}

#[test]
fn a_customer_that_owns_its_app_is_offboarded_in_its_own_directory() {
    for manifest_of in both_vaults(&manifest(&[NORTHWIND_LINE, HUMONGOUS_LINE])) {
        let mut stage = Stage::new(&manifest_of);
        stage.apply().expect(0);
        let app = stage.app("northwind");
        let client = client(&app);
        let principal = principal(&stage, NORTHWIND, &client);
        assert_eq!(has(&stage, NORTHWIND, &client), [1, 1, 2]);
        let traces = traces(&stage, "northwind", NORTHWIND);
        let before = others(&stage, NORTHWIND);
        let needs = stage.run(&["offboard", "northwind"]);
        needs.expect(64).says("nobody to ask");
        assert_eq!(has(&stage, NORTHWIND, &client), [1, 1, 2]);

        stage.write_manifest(&manifest_of.replace(NORTHWIND_LINE, ""));
        let run = stage.run(&["offboard", "northwind", "--yes"]);
        run.expect(0).says("Done: northwind is offboarded.").says("gone (404); it lies in the bin");
        run.says("refused by Entra ID (AADSTS700016)").says("nothing of it is left (asked)");

        // The directory says so, and nobody else's was touched.
        assert_eq!(has(&stage, NORTHWIND, &client), [0, 0, 0]);
        let world = stage.sandbox.world();
        let directory = directory(&world, NORTHWIND);
        for table in ["appRoleAssignments", "oauth2PermissionGrants", "servicePrincipals"] {
            let text = directory[table].to_string();
            assert!(!text.contains(principal.as_str().unwrap()), "{table}: {text}");
        }
        let binned = list(directory, "deletedItems").iter().find(|one| one["id"] == app["id"]);
        assert_eq!(ours(binned.unwrap()), Vec::<&Value>::new());
        assert_eq!(others(&stage, NORTHWIND), before);
        stage.holds("humongous");

        // Nothing of it is in the vault, and nothing is left for the customer to do.
        nowhere(&stage, &traces, |_| false);
        assert_eq!(stage.status()["leftovers"], json!([]));
        assert_ne!(stage.run(&["reveal", "northwind"]).code, Some(0));
        let before = stage.sandbox.world()["directories"].clone();
        let again = stage.run(&["offboard", "northwind", "--yes"]);
        again.expect(64).says("nothing is known of northwind");
        // Whoever still has it in the manifest finds it in the bin of that directory.
        stage.write_manifest(&manifest_of);
        let again = stage.run(&["offboard", "northwind", "--yes"]);
        again.expect(0).says("Nothing of northwind is left");
        assert_eq!(stage.sandbox.world()["directories"], before);
    }
}

#[test]
fn cut_anywhere_it_is_run_again_and_ends_the_same_in_a_customers_directory() {
    let of = manifest(&[NORTHWIND_LINE, HUMONGOUS_LINE]);
    let mut stage = Stage::new(&of);
    stage.apply().expect(0);
    let app = stage.app("northwind");
    let client = client(&app);
    let traces = traces(&stage, "northwind", NORTHWIND);
    stage.write_manifest(&of.replace(NORTHWIND_LINE, ""));
    let (world, vault) = (stage.sandbox.world(), stage.keep_vault());
    let begin_again = || {
        stage.put_vault(&vault);
        stage.sandbox.put_world(&world).unwrap();
        stage.sandbox.clear_faults();
        stage.sandbox.clear_requests();
    };
    let offboard = ["offboard", "northwind", "--yes"];
    begin_again();
    stage.run(&offboard).expect(0);
    let requests = stage.asked().len();
    assert!(requests >= 7, "{requests}");
    for nth in 1..=requests {
        for act in ["cut-before", "cut-after"] {
            begin_again();
            stage.fault(json!({"operation": "*", "nth": nth, "do": act}));
            let cut = stage.run(&offboard);
            stage.all_faults_fired();
            let again = stage.run(&offboard);
            // Where the cut one did all of it, nothing is known of the key any more.
            let codes: &[_] = if cut.code == Some(0) { &[Some(64)] } else { &[Some(0)] };
            assert!(codes.contains(&again.code), "{nth} {act}: {cut:?}\n{again:?}");
            assert_eq!(has(&stage, NORTHWIND, &client), [0, 0, 0], "{nth} {act}");
            let world = stage.sandbox.world();
            let bin = list(directory(&world, NORTHWIND), "deletedItems");
            let binned = bin.iter().filter(|one| one["uniqueName"] == app["uniqueName"]);
            assert_eq!(binned.count(), 1, "{nth} {act}");
            nowhere(&stage, &traces, |_| false);
            stage.holds("humongous");
        }
    }
}

#[test]
fn a_customer_that_takes_its_own_app_over_keeps_it_with_what_was_granted() {
    for manifest_of in both_vaults(&manifest(&[NORTHWIND_LINE, HUMONGOUS_LINE])) {
        let mut stage = Stage::new(&manifest_of);
        stage.apply().expect(0);
        let client = client(&stage.app("northwind"));
        let (principal, traces) =
            (principal(&stage, NORTHWIND, &client), traces(&stage, "northwind", NORTHWIND));
        stage.write_manifest(&manifest_of.replace(NORTHWIND_LINE, ""));
        let run = stage.run(&["offboard", "northwind", "--keep-app", "--yes"]);
        run.expect(0).says("stays; our tags are off");
        assert_eq!(has(&stage, NORTHWIND, &client), [1, 1, 2]);
        assert_eq!(self::principal(&stage, NORTHWIND, &client), principal);
        let app = stage.app("northwind");
        assert_eq!((&app["tags"], ours(&app).len()), (&json!([]), 0));
        nowhere(&stage, &traces, |_| false);
        assert_eq!(stage.status()["leftovers"], json!([]));
    }
}

/// The client id of an app that the customer's people made by hand in their own directory.
const THEIRS: &str = "6f1c0f5e-0002-4000-8000-0000000000aa";
const THEIR_PRINCIPAL: &str = "6f1c0f5e-0003-4000-8000-0000000000aa";

/// Puts such an app into a directory, like the one of the seed that somebody made by hand at home.
fn made_by_hand(stage: &Stage, tenant: &str) {
    let home = stage.home();
    let twin = "6f1c0f5e-0002-4000-8000-000000000001";
    let twin = list(&home, "applications").iter().find(|app| app["appId"] == twin);
    let mut app = twin.unwrap().clone();
    app["id"] = json!("6f1c0f5e-0001-4000-8000-0000000000aa");
    app["appId"] = json!(THEIRS);
    app["tags"] = json!(["theirs"]);
    app["signInAudience"] = json!("AzureADMyOrg");
    app["passwordCredentials"] = json!([{
        "keyId": "6f1c0f5e-0009-4000-8000-0000000000aa", "displayName": "their SIEM",
        "startDateTime": "2026-01-01T00:00:00Z", "endDateTime": "2027-06-01T00:00:00Z",
        "secretHash": format!("sha256:{}", "0".repeat(64)),
    }]);
    let name = app["displayName"].clone();
    stage.change_world(|world| {
        let directory = directory_mut(world, tenant);
        directory["applications"].as_array_mut().unwrap().push(app);
        directory["servicePrincipals"].as_array_mut().unwrap().push(json!({
            "id": THEIR_PRINCIPAL, "appId": THEIRS, "displayName": name, "appDisplayName": name,
            "appOwnerOrganizationId": tenant, "servicePrincipalType": "Application",
            "accountEnabled": true, "servicePrincipalNames": [THEIRS],
            "signInAudience": "AzureADMyOrg",
        }));
    });
}

#[test]
fn an_app_that_a_customer_made_is_taken_over_where_it_is() {
    let adopt = ["adopt", "northwind", "--app-id", THEIRS, "--yes"];
    for manifest_of in both_vaults(&manifest(&[NORTHWIND_LINE])) {
        let stage = Stage::new(&manifest_of);
        // Nothing of that id is where the app has to live.
        made_by_hand(&stage, HUMONGOUS);
        let before = stage.sandbox.world()["directories"].clone();
        stage.run(&adopt).expect(7).says(&format!("no app of directory {NORTHWIND}"));
        assert_eq!(stage.sandbox.world()["directories"], before);

        let stage = Stage::new(&manifest_of);
        made_by_hand(&stage, NORTHWIND);
        assert_eq!(has(&stage, NORTHWIND, THEIRS), [1, 1, 0]);
        let count = |stage: &Stage| {
            let world = stage.sandbox.world();
            let directory = directory(&world, NORTHWIND);
            ["applications", "servicePrincipals"].map(|table| list(directory, table).len())
        };
        let (before, elsewhere) = (count(&stage), others(&stage, NORTHWIND));
        let run = stage.run(&adopt);
        run.expect(0).says("= client secret \"their SIEM\"").says("= tag theirs");
        // No other app and no other service principal, here or elsewhere.
        assert_eq!(count(&stage), before);
        assert_eq!(others(&stage, NORTHWIND), elsewhere);
        assert_eq!(has(&stage, NORTHWIND, THEIRS), [1, 1, 2]);
        assert_eq!(principal(&stage, NORTHWIND, THEIRS), THEIR_PRINCIPAL);
        let app = stage.app("northwind");
        assert_eq!(
            (app["appId"].as_str(), &app["signInAudience"]),
            (Some(THEIRS), &json!("AzureADMyOrg"))
        );
        assert_eq!(app["uniqueName"], "tenantry-acme-soc--northwind");
        assert_eq!((ours(&app).len(), list(&app, "passwordCredentials").len()), (1, 2));
        assert!(list(&app, "tags").contains(&json!("theirs")));
        stage.holds("northwind");
        let facets = stage.tenant("northwind")["facets"].clone();
        assert_eq!(
            (&facets["secret"]["state"], &facets["consent"]["state"]),
            (&json!("ok"), &json!("ok"))
        );

        // From now on it is as if we had made it, to the end.
        stage.sandbox.clear_requests();
        stage.run(&adopt).expect(0).says("No changes.");
        stage.apply().expect(0);
        stage.no_graph_write();
        let gone = stage.run(&["offboard", "northwind"]);
        gone.expect(64).says("1 of its credentials are not ours");
        stage.run(&["offboard", "northwind", "--yes"]).expect(0);
        assert_eq!(has(&stage, NORTHWIND, THEIRS), [0, 0, 0]);
    }
}
