//! After an apply the world holds exactly what the manifest says, and nothing else changed; the
//! next plan is empty; the next apply sends no write.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Span, Timestamp, tz::TimeZone};
use serde_json::{Value, json};

use crate::support::{Stage, VaultKind, home, kind, list, normal, ours};

const DEMO: &str = include_str!("../../../manifests/demo.yaml");

/// Connectors' permissions, by id: API, permission, type.
const GRAPH_SECURITY: &[(&str, &str, &str)] = &[
    (GRAPH, "45cc0394-e837-488b-a098-1918f48d186c", "Role"),
    (GRAPH, "472e4a4d-bb4a-4026-98d1-0b0d74cb74a5", "Role"),
];
const DEFENDER_XDR: &[(&str, &str, &str)] =
    &[("8ee8fdad-f234-4243-8f3b-15c294843740", "a9790345-4595-42e4-971a-ccdc79f19b7c", "Role")];
const MSSP_SIEM: &[(&str, &str, &str)] = &[
    (GRAPH, "7427e0e9-2fba-42fe-b0c0-848c9e6a8182", "Scope"),
    (GRAPH, "b9abcc4f-94fc-4457-9141-d20ce80ec952", "Scope"),
];
const GRAPH: &str = "00000003-0000-0000-c000-000000000000";

/// One app as the demo manifest wants it.
struct Wanted {
    key: &'static str,
    name: &'static str,
    /// The customer's directory, for apps of one customer: its number in the seed.
    customer: Option<u8>,
    redirect: &'static str,
    permissions: &'static [(&'static str, &'static str, &'static str)],
    life: Life,
}

enum Life {
    Year,
    Months(i32),
    Days(i32),
}

fn demo() -> Vec<Wanted> {
    let one = |key, name, customer, redirect, permissions| Wanted {
        key,
        name,
        customer: Some(customer),
        redirect,
        permissions,
        life: Life::Year,
    };
    let shared = |key, name, redirect, permissions| Wanted {
        key,
        name,
        customer: None,
        redirect,
        permissions,
        life: Life::Year,
    };
    let mut all = vec![
        one(
            "contoso",
            "Contoso SIEM MSSP Connector",
            1,
            "https://contoso.example/SiemMsspConnector",
            GRAPH_SECURITY,
        ),
        one(
            "fabrikam",
            "Fabrikam SIEM MSSP Connector",
            2,
            "https://fabrikam.example/SiemMsspConnector",
            GRAPH_SECURITY,
        ),
        one(
            "tailspin",
            "Tailspin Toys SIEM MSSP Connector",
            3,
            "https://tailspin.example/SiemMsspConnector",
            MSSP_SIEM,
        ),
        one(
            "globex",
            "Globex SIEM MSSP Connector",
            4,
            "https://globex.example/SiemMsspConnector",
            GRAPH_SECURITY,
        ),
        one(
            "initech",
            "Initech SIEM MSSP Connector",
            5,
            "https://initech.example/SiemMsspConnector",
            MSSP_SIEM,
        ),
        one(
            "adatum",
            "Adatum SIEM MSSP Connector",
            6,
            "https://adatum.example/SiemMsspConnector",
            DEFENDER_XDR,
        ),
        one(
            "northwind",
            "Northwind Traders SIEM MSSP Connector",
            7,
            "https://northwind.example/SiemMsspConnector",
            GRAPH_SECURITY,
        ),
        one(
            "wingtip",
            "Wingtip Toys SIEM MSSP Connector",
            8,
            "https://wingtip.example/SiemMsspConnector",
            MSSP_SIEM,
        ),
        one(
            "litware",
            "Litware SIEM MSSP Connector",
            9,
            "https://litware.example/SiemMsspConnector",
            DEFENDER_XDR,
        ),
        one(
            "proseware",
            "Proseware SIEM MSSP Connector",
            10,
            "https://proseware.example/SiemMsspConnector",
            GRAPH_SECURITY,
        ),
        shared(
            "siem-eu",
            "Acme SOC EU SIEM MSSP Connector",
            "https://siem.acme-soc.example/eu",
            GRAPH_SECURITY,
        ),
        shared(
            "siem-us",
            "Acme SOC US SIEM MSSP Connector",
            "https://siem.acme-soc.example/us",
            DEFENDER_XDR,
        ),
    ];
    for wanted in &mut all {
        match wanted.key {
            "litware" => wanted.life = Life::Months(6),
            // The seed gives the deleted app a policy: 180 days at most.
            "tailspin" => wanted.life = Life::Days(180),
            _ => {}
        }
    }
    all
}

fn demo_stage() -> Stage {
    Stage::new(&DEMO.replace(".tenantry/vault", "vault"))
}

/// An app of the world, reduced to what the manifest decides, in one order.
fn told(app: &Value) -> Value {
    let mut permissions: Vec<String> = list(app, "requiredResourceAccess")
        .iter()
        .flat_map(|api| {
            let id = api["resourceAppId"].as_str().unwrap().to_owned();
            list(api, "resourceAccess").iter().map(move |access| {
                let (permission, kind) = (&access["id"], &access["type"]);
                format!("{id} {} {}", permission.as_str().unwrap(), kind.as_str().unwrap())
            })
        })
        .collect();
    permissions.sort();
    let mut tags: Vec<_> = list(app, "tags").to_vec();
    tags.sort_by_key(Value::to_string);
    json!({
        "uniqueName": app["uniqueName"],
        "displayName": app["displayName"],
        "audience": app["signInAudience"],
        "redirectUris": app["web"]["redirectUris"],
        "permissions": permissions,
        "tags": tags,
    })
}

fn wanted(stage: &Stage, wanted: &Wanted) -> Value {
    let mut permissions: Vec<String> = wanted
        .permissions
        .iter()
        .map(|(api, permission, kind)| format!("{api} {permission} {kind}"))
        .collect();
    permissions.sort();
    let mut redirects = vec![wanted.redirect];
    if wanted.permissions == MSSP_SIEM {
        // Where the analyst's browser comes back to after signing in.
        redirects.insert(0, "http://localhost/tenantry");
    }
    let mut tags =
        vec![format!("tenantry:app={}", wanted.key), format!("tenantry:fleet={}", stage.fleet)];
    if let Some(number) = wanted.customer {
        tags.push(format!("tenantry:tenant=6f1c0f5e-0000-4000-8000-0000000000{number:02}"));
    }
    json!({
        "uniqueName": stage.unique_name(wanted.key),
        "displayName": wanted.name,
        "audience": "AzureADMultipleOrgs",
        "redirectUris": redirects,
        "permissions": permissions,
        "tags": tags,
    })
}

fn ends_well(secret: &Value, life: &Life) {
    let now = Timestamp::now().to_zoned_datetime(TimeZone::UTC);
    let span = match life {
        Life::Year => Span::new().years(1),
        Life::Months(months) => Span::new().months(*months),
        Life::Days(days) => Span::new().days(*days),
    };
    let full = now.checked_add(span).unwrap().timestamp();
    let end: Timestamp = secret["endDateTime"].as_str().unwrap().parse().unwrap();
    let short = full.duration_since(end);
    assert!(
        short > -SignedDuration::from_mins(1) && short < SignedDuration::from_hours(24),
        "it ends on {end}, {short:#} before its full life is over"
    );
}

/// The world without the fleet's apps.
fn rest(stage: &Stage, world: &Value) -> Value {
    let mut rest = normal(world);
    let name = stage.unique_name("");
    for directory in rest["directories"].as_array_mut().unwrap() {
        for table in ["applications", "deletedItems"] {
            if let Some(apps) = directory[table].as_array_mut() {
                apps.retain(|app| {
                    !app["uniqueName"].as_str().is_some_and(|n| n.starts_with(&name))
                });
            }
        }
    }
    rest
}

/// The next plan is empty, and the next apply sends nothing.
fn settled(stage: &Stage) {
    let (first, second) = (stage.plan(), stage.plan());
    assert_eq!(first["checksum"], second["checksum"]);
    for app in first["apps"].as_array().unwrap() {
        assert_eq!(app["steps"], json!([]), "{app:#}");
    }
    stage.run(&["plan", "--detailed-exitcode"]).expect(0);
    let before = stage.sandbox.world();
    stage.sandbox.clear_requests();
    stage.apply().expect(0);
    stage.no_graph_write();
    assert_eq!(stage.sandbox.world()["directories"], before["directories"]);
}

#[test]
fn the_world_holds_what_the_manifest_says_and_the_next_run_changes_nothing() {
    let stage = demo_stage();
    let before = stage.sandbox.world();
    let binned = list(home(&before), "deletedItems")[0]["appId"].clone();
    stage.run(&["plan", "--detailed-exitcode"]).expect(2);
    stage.apply().expect(0);

    let world = stage.sandbox.world();
    assert_eq!(rest(&stage, &world), rest(&stage, &before));
    let demo = demo();
    let fleet: Vec<_> = list(home(&world), "applications")
        .iter()
        .filter(|app| app["uniqueName"].is_string())
        .collect();
    assert_eq!(fleet.len(), demo.len());
    for app in &demo {
        let found = stage.app(app.key);
        assert_eq!(told(&found), wanted(&stage, app));
        let secrets = list(&found, "passwordCredentials");
        assert_eq!(secrets.len(), 1, "{}", app.key);
        ends_well(&secrets[0], &app.life);
        stage.holds(app.key);
    }
    // The deleted one is the same app again, not a new one of its name.
    assert_eq!(stage.app("tailspin")["appId"], binned);
    assert_eq!(list(home(&world), "deletedItems"), &[] as &[Value]);
    settled(&stage);
}

#[test]
fn what_others_put_there_is_kept_and_what_they_took_is_put_back() {
    let stage = demo_stage();
    stage.apply().expect(0);
    let secrets = ["contoso", "litware"].map(|key| stage.reveal(key));
    let helpdesk = json!({
        "keyId": "6f1c0f5e-0009-4000-8000-000000000001", "displayName": "helpdesk",
        "startDateTime": "2026-01-01T00:00:00Z", "endDateTime": "2027-11-01T00:00:00Z",
        "hint": "abc", "secretText": null, "customKeyIdentifier": null,
        "secretHash": "sha256:0000000000000000000000000000000000000000000000000000000000000000",
    });
    stage.change_app("contoso", |app| {
        app["displayName"] = json!("Renamed by hand");
        app["signInAudience"] = json!("AzureADMyOrg");
        app["web"]["redirectUris"] = json!(["https://helpdesk.example/callback"]);
        app["requiredResourceAccess"] = json!([]);
        app["tags"].as_array_mut().unwrap().push(json!("helpdesk"));
        app["passwordCredentials"].as_array_mut().unwrap().push(helpdesk.clone());
    });
    // A name can be changed by hand; the key id says that the value is still held.
    stage.change_app("litware", |app| {
        let name = &mut app["passwordCredentials"][0]["displayName"];
        let (vault, nonce) = name.as_str().unwrap().rsplit_once(' ').unwrap();
        let nonce: String = nonce.chars().rev().collect();
        *name = json!(format!("{vault} {nonce}"));
    });
    // Nobody's mark is left on this one but its unique name.
    stage.change_app("globex", |app| app["tags"] = json!(["helpdesk"]));
    // Somebody added an API that the manifest does not name.
    stage.change_app("siem-eu", |app| {
        app["requiredResourceAccess"].as_array_mut().unwrap().push(json!({
            "resourceAppId": "fc780465-2017-40d4-a0c5-307022471b92",
            "resourceAccess": [{"id": "ea8291d3-4b9a-44b5-bc3a-6cea3026dc79", "type": "Role"}],
        }));
    });
    let before = stage.sandbox.world();
    stage.run(&["plan", "--detailed-exitcode"]).expect(2);
    stage.apply().expect(0);

    let world = stage.sandbox.world();
    assert_eq!(rest(&stage, &world), rest(&stage, &before));
    for app in demo() {
        let (mut found, mut wanted) = (told(&stage.app(app.key)), wanted(&stage, &app));
        if ["contoso", "globex"].contains(&app.key) {
            wanted["tags"].as_array_mut().unwrap().insert(0, json!("helpdesk"));
        }
        if app.key == "contoso" {
            wanted["redirectUris"] = json!([
                "https://contoso.example/SiemMsspConnector",
                "https://helpdesk.example/callback"
            ]);
            found["redirectUris"].as_array_mut().unwrap().sort_by_key(Value::to_string);
        }
        assert_eq!(found, wanted);
        stage.holds(app.key);
    }
    let contoso = stage.app("contoso");
    assert_eq!(list(&contoso, "passwordCredentials").len(), 2);
    assert!(list(&contoso, "passwordCredentials").contains(&helpdesk));
    assert_eq!(ours(&contoso).len(), 1);
    // Nothing was wrong with the secret, so it is the same.
    assert_eq!(["contoso", "litware"].map(|key| stage.reveal(key)), secrets);
    settled(&stage);
}

#[test]
fn a_run_for_some_tenants_touches_no_other_app() {
    let stage = demo_stage();
    stage.run(&["apply", "--yes", "--tenant", "contoso", "--tenant", "lucerne"]).expect(0);
    let apps: BTreeSet<_> = list(&stage.home(), "applications")
        .iter()
        .filter_map(|app| app["uniqueName"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(apps, BTreeSet::from([stage.unique_name("contoso"), stage.unique_name("siem-eu")]));
    stage.apply().expect(0);
    settled(&stage);
}

#[test]
fn a_secret_that_was_removed_at_microsoft_is_not_handed_out_any_more() {
    let stage = demo_stage();
    let contoso = ["apply", "--yes", "--tenant", "contoso"];
    stage.run(&contoso).expect(0);
    let client = stage.app("contoso")["appId"].clone();
    let in_contoso = |change: &dyn Fn(&mut Value)| {
        let mut world = stage.sandbox.world();
        let directories = world["directories"].as_array_mut().unwrap();
        change(directories.iter_mut().find(|directory| directory["name"] == "Contoso").unwrap());
        stage.sandbox.put_world(&world).unwrap();
    };
    // The customer's administrator has consented, so the secret is proved.
    in_contoso(&|directory| {
        directory["servicePrincipals"] = json!([{
            "id": "6f1c0f5e-0003-4000-8000-000000000099", "appId": client,
            "displayName": "Contoso SIEM MSSP Connector", "servicePrincipalType": "Application",
            "accountEnabled": true, "servicePrincipalNames": [client],
        }]);
    });
    stage.run(&contoso).expect(0);
    let old = stage.reveal("contoso");
    if kind() == VaultKind::Folder {
        let kept = std::fs::read_to_string(stage.vault().join("contoso.age")).unwrap();
        assert!(kept.contains("\"proved\""), "{kept}");
    }
    // Then somebody removes the secret, and the consent, so that its successor cannot be proved.
    stage.change_app("contoso", |app| app["passwordCredentials"] = json!([]));
    in_contoso(&|directory| directory["servicePrincipals"] = json!([]));
    stage.sandbox.advance("PT10M").unwrap();
    stage.run(&contoso).expect(0);
    assert_ne!(stage.reveal("contoso"), old);
    stage.holds("contoso");
}
