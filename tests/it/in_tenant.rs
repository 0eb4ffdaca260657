//! `layout: in-tenant`: each customer owns its app, in its own directory.

use serde_json::{Value, json};
use tenantry::sandbox::Options;

use crate::stage::{
    CONTOSO, HOME, HUMONGOUS, NORTHWIND, PROSEWARE, READ_ALERTS, READ_INCIDENTS, Stage, WINGTIP,
    directory, directory_mut, granted, list,
};

const HEAD: &str = r#"version: 1
fleet: acme-soc
home: {tenant: acme-soc.example, cloud: global}
vault: {path: vault}
defaults:
  connector: graph-security
  layout: in-tenant
  displayName: "{name} SIEM MSSP Connector"
  redirectUris: ["https://{domain}/SiemMsspConnector"]
  signInAs: soc-reader@acme-soc.example
tenants:
"#;
const WILLING: &str = "  northwind: {name: Northwind Traders, domain: northwind.example}
  wingtip: {name: Wingtip Toys, domain: wingtip.example, connector: mssp-siem}
  humongous: {name: Humongous Insurance, domain: humongous.example, connector: defender-xdr}
";
/// `Incident.Read.All` of Microsoft Threat Protection.
const READ_DEFENDER: &str = "a9790345-4595-42e4-971a-ccdc79f19b7c";

fn manifest(more: &str) -> String {
    format!("{HEAD}{WILLING}{more}")
}

fn client(stage: &Stage, tenant: &str, key: &str) -> String {
    stage.app_in(tenant, key)["appId"].as_str().unwrap().to_owned()
}

fn granted_to(stage: &Stage, tenant: &str, key: &str) -> Option<Vec<String>> {
    granted(&stage.sandbox.world(), tenant, &client(stage, tenant, key))
}

fn tenant<'v>(document: &'v Value, key: &str) -> &'v Value {
    document["tenants"].as_array().unwrap().iter().find(|one| one["key"] == key).unwrap()
}

fn graph_requests(stage: &Stage) -> Vec<Value> {
    let mut requests = stage.sandbox.requests();
    requests.retain(|one| {
        let operation = one["operation"].as_str().unwrap_or_default();
        !["login.", "openid.", "incident.", "defender."].iter().any(|p| operation.starts_with(p))
    });
    requests
}

#[test]
fn each_customer_owns_its_app_whole_and_the_next_run_changes_nothing() {
    let stage = Stage::with_vault(&manifest(""));
    let planned = stage.run(&["plan", "--json"]).exits(0).json();
    assert_eq!(planned["summary"]["add"], 3);
    assert_eq!(planned["summary"]["grant"], 3);
    let kinds = |key: &str| -> Vec<String> {
        list(tenant(&planned, key), "steps")
            .iter()
            .map(|step| step["kind"].as_str().unwrap().to_owned())
            .collect()
    };
    let roles = ["create-service-principal", "grant-app-role", "grant-app-role"];
    assert_eq!(kinds("northwind"), roles);
    assert_eq!(kinds("wingtip"), ["create-service-principal", "grant-scopes"]);
    assert_eq!(tenant(&planned, "northwind")["manual"], json!([]));

    stage.run(&["apply", "--yes"]).exits(0);
    let world = stage.sandbox.world();
    for (id, key) in [(NORTHWIND, "northwind"), (WINGTIP, "wingtip"), (HUMONGOUS, "humongous")] {
        let app = stage.app_in(id, key);
        assert_eq!(app["signInAudience"], "AzureADMyOrg");
        assert_eq!(app["uniqueName"], format!("tenantry-acme-soc--{key}"));
        assert_eq!(list(&app, "passwordCredentials").len(), 1);
        let principal = list(directory(&world, id), "servicePrincipals")
            .iter()
            .find(|one| one["appId"] == app["appId"])
            .unwrap();
        let tags = principal["tags"].as_array().unwrap();
        assert!(tags.contains(&json!("WindowsAzureActiveDirectoryIntegratedApp")), "{tags:?}");
    }
    assert!(
        list(directory(&world, HOME), "applications")
            .iter()
            .all(|app| !app["uniqueName"].as_str().unwrap_or_default().starts_with("tenantry-")),
        "nothing of it lives in the provider's directory"
    );
    assert_eq!(
        granted_to(&stage, NORTHWIND, "northwind").unwrap(),
        [READ_INCIDENTS, READ_ALERTS].map(str::to_owned)
    );
    assert_eq!(granted_to(&stage, HUMONGOUS, "humongous").unwrap(), [READ_DEFENDER]);
    let scopes = granted_to(&stage, WINGTIP, "wingtip").unwrap();
    assert_eq!(scopes, ["SecurityIncident.Read.All offline_access"]);

    // Consent and secret are proved by tokens; the analyst's sign-in is left.
    let status = stage.run(&["status", "--json"]).exits(0).json();
    for key in ["northwind", "humongous"] {
        let facets = &tenant(&status, key)["facets"];
        assert_eq!(facets["consent"]["state"], "ok", "{key}: {facets:#}");
        assert_eq!(facets["secret"]["state"], "ok", "{key}: {facets:#}");
    }
    let facets = &tenant(&status, "wingtip")["facets"];
    assert_eq!(facets["secret"]["state"], "ok", "{facets:#}");
    assert_eq!(facets["consent"]["waitingFor"], "analyst", "{facets:#}");

    // A plan without changes: of each directory one listing, its service principals, and one
    // listing of what was granted.
    stage.sandbox.clear_requests();
    let planned = stage.run(&["plan", "--detailed-exitcode"]).exits(0);
    assert!(
        planned.stdout.contains("No changes. 3 apps are as the manifest says (10 requests"),
        "{}",
        planned.stdout
    );
    assert_eq!(graph_requests(&stage).len(), 10);

    let before = stage.sandbox.world();
    stage.sandbox.clear_requests();
    stage.run(&["apply", "--yes"]).exits(0);
    assert!(stage.sandbox.requests().iter().all(|one| one["graphWrite"] != true));
    assert_eq!(stage.sandbox.world()["directories"], before["directories"]);
    let audit = std::fs::read_to_string(stage.path("vault").join("audit.jsonl")).unwrap();
    assert!(audit.contains("\"grant-scopes\"") && audit.contains(WINGTIP), "{audit}");
}

#[test]
fn a_directory_that_cannot_be_read_is_a_row_of_its_own_tenant() {
    let stage =
        Stage::with_vault(&manifest("  contoso: {name: Contoso, domain: contoso.example}\n"));
    let planned = stage.run(&["plan", "--json"]).exits(0).json();
    assert_eq!(planned["summary"]["unreadable"], 1);
    assert_eq!(planned["summary"]["add"], 3);
    let applied = stage.run(&["apply", "--yes"]).exits(4);
    assert!(applied.stdout.contains("AADSTS7000229"), "{}", applied.stdout);
    let northwind = client(&stage, NORTHWIND, "northwind");
    let world = stage.sandbox.world();
    assert_eq!(list(directory(&world, CONTOSO), "applications"), &[] as &[Value]);
    // What could not be read is not said to be unchanged.
    let again = stage.run(&["plan"]).exits(0);
    assert!(again.stdout.contains("1 unreadable"), "{}", again.stdout);

    // Its administrator lets the operator in: doctor says by which link.
    let doctor = stage.run(&["doctor"]).exits(1);
    assert!(doctor.stdout.contains("contoso's directory"), "{}", doctor.stdout);
    let operator = stage.sandbox.operator().client_id;
    let link = format!("{}/{CONTOSO}/adminconsent?client_id={operator}", stage.sandbox.pages_url());
    assert!(matches!(stage.sandbox.open(&link), tenantry::sandbox::Opened::Landed(_)));
    stage.run(&["doctor"]).exits(0);
    stage.run(&["apply", "--yes"]).exits(0);
    assert_eq!(granted_to(&stage, CONTOSO, "contoso").unwrap().len(), 2);
    assert_eq!(client(&stage, NORTHWIND, "northwind"), northwind);
}

#[test]
fn a_provider_whose_own_directory_holds_no_app_needs_no_right_there() {
    let stage = Stage::with_vault(&manifest(""));
    stage.disempower();
    stage.run(&["apply", "--yes"]).exits(0);
    assert_eq!(granted_to(&stage, NORTHWIND, "northwind").unwrap().len(), 2);
    stage.run(&["plan", "--detailed-exitcode"]).exits(0);
}

#[test]
fn who_may_not_grant_is_told_what_is_missing_and_the_link_is_the_way() {
    let more = "  proseware: {name: Proseware, domain: proseware.example}\n";
    let stage = Stage::with_vault(&manifest(more));
    let planned = stage.run(&["plan", "--json", "--tenant", "proseware"]).exits(0).json();
    let proseware = tenant(&planned, "proseware");
    let kinds: Vec<_> = list(proseware, "steps").iter().map(|step| &step["kind"]).collect();
    assert_eq!(kinds, ["create-service-principal"]);
    assert_eq!(proseware["manual"][0]["kind"], "admin-consent");
    let said = proseware["diagnostics"][0].to_string();
    assert!(
        said.contains("may-not-grant") && said.contains("AppRoleAssignment.ReadWrite.All"),
        "{said}"
    );

    // The app and its service principal are made, so the secret is proved; consent is not.
    stage.run(&["apply", "--yes", "--tenant", "proseware"]).exits(0);
    assert_eq!(granted_to(&stage, PROSEWARE, "proseware").unwrap(), [] as [String; 0]);
    let status = stage.run(&["status", "--json", "--tenant", "proseware"]).exits(0).json();
    let facets = &tenant(&status, "proseware")["facets"];
    assert_eq!(facets["secret"]["state"], "ok", "{facets:#}");
    assert_eq!(facets["consent"]["waitingFor"], "customer-admin", "{facets:#}");
    let link = facets["consent"]["nextStep"]["link"].as_str().unwrap();
    assert!(matches!(stage.sandbox.open(link), tenantry::sandbox::Opened::Landed(_)));
    let status = stage.run(&["status", "--json", "--tenant", "proseware"]).exits(0).json();
    assert_eq!(tenant(&status, "proseware")["facets"]["consent"]["state"], "ok");
}

#[test]
fn what_was_taken_away_there_is_planned_again_and_foreign_grants_are_kept() {
    let stage = Stage::with_vault(&manifest(""));
    stage.run(&["apply", "--yes"]).exits(0);
    let northwind = client(&stage, NORTHWIND, "northwind");
    let wingtip = client(&stage, WINGTIP, "wingtip");
    stage.change_world(|world| {
        let directory = directory_mut(world, NORTHWIND);
        let gone = directory["servicePrincipals"].as_array().unwrap();
        let gone = gone.iter().find(|one| one["appId"] == *northwind).unwrap()["id"].clone();
        let roles = directory["appRoleAssignments"].as_array_mut().unwrap();
        roles.retain(|one| one["principalId"] != gone || one["appRoleId"] != READ_ALERTS);
        let scopes = &mut directory_mut(world, WINGTIP)["oauth2PermissionGrants"][0]["scope"];
        *scopes = json!("User.Read offline_access");
    });
    let planned = stage.run(&["plan", "--json"]).exits(0).json();
    assert_eq!(planned["summary"]["grant"], 2);
    let steps = &tenant(&planned, "wingtip")["steps"];
    assert_eq!(steps[0]["scopes"]["from"], json!(["User.Read", "offline_access"]));
    stage.run(&["apply", "--yes"]).exits(0);
    let world = stage.sandbox.world();
    assert_eq!(granted(&world, NORTHWIND, &northwind).unwrap().len(), 2);
    let scopes = granted(&world, WINGTIP, &wingtip).unwrap();
    assert_eq!(scopes, ["SecurityIncident.Read.All User.Read offline_access"]);
    stage.run(&["plan", "--detailed-exitcode"]).exits(0);
}

#[test]
fn a_directory_that_lags_is_waited_for() {
    let lag = std::time::Duration::from_millis(1500);
    let stage = Stage::with(&manifest(""), Options { lag, ..Options::default() });
    stage.run(&["vault", "init"]).exits(0);
    stage.run(&["apply", "--yes"]).exits(0);
    assert_eq!(granted_to(&stage, NORTHWIND, "northwind").unwrap().len(), 2);
    assert_eq!(granted_to(&stage, WINGTIP, "wingtip").unwrap().len(), 1);
}

#[test]
fn an_app_that_moves_into_its_customers_directory_is_not_made_anew_over_the_old_ones_values() {
    let at_home = manifest("").replace("layout: in-tenant", "layout: per-tenant");
    let stage = Stage::with_vault(&at_home);
    stage.run(&["apply", "--yes", "--tenant", "northwind"]).exits(0);
    let before = stage.app("northwind");
    std::fs::write(stage.path("manifest.yaml"), manifest("")).unwrap();
    let planned = stage.run(&["plan", "--json", "--tenant", "northwind"]).exits(0).json();
    assert_eq!(planned["apps"][0]["diagnostics"][0]["code"], "directory-changed");
    assert_eq!(planned["orphans"][0]["directory"], HOME);
    stage.run(&["apply", "--yes", "--tenant", "northwind"]).exits(1);
    assert_eq!(stage.app("northwind"), before);
    let world = stage.sandbox.world();
    assert_eq!(list(directory(&world, NORTHWIND), "applications"), &[] as &[Value]);
    stage.run(&["reveal", "northwind"]).exits(0);
}

#[test]
fn who_left_the_manifest_is_orphaned_in_its_own_directory() {
    let stage = Stage::with_vault(&manifest(""));
    stage.run(&["apply", "--yes"]).exits(0);
    let app = client(&stage, NORTHWIND, "northwind");
    let text = manifest("")
        .replace("  northwind: {name: Northwind Traders, domain: northwind.example}\n", "");
    std::fs::write(stage.path("manifest.yaml"), text).unwrap();
    let planned = stage.run(&["plan", "--json"]).exits(0).json();
    let orphan = &planned["orphans"][0];
    assert_eq!((&orphan["clientId"], &orphan["directory"]), (&json!(app), &json!(NORTHWIND)));
    for command in ["plan", "status"] {
        let shown = stage.run(&[command]).exits(0).stdout;
        let shown = shown.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(shown.contains(&format!("in directory {NORTHWIND} is of this fleet")), "{shown}");
        // The command in it leads to the same fleet.
        assert!(
            shown.contains("tenantry offboard -f manifest.yaml --cloud world/cloud.yaml northwind"),
            "{shown}"
        );
    }
    for (file, says) in [("s.md", "## No longer in the manifest (1)"), ("s.html", "<h2>No longer")]
    {
        stage.run(&["status", "--report", file]).exits(0);
        let text = std::fs::read_to_string(stage.path(file)).unwrap();
        assert!(text.contains(says) && text.contains(&app), "{text}");
    }
}

#[test]
fn an_operator_may_be_somebody_else_in_customers_directories() {
    let text = manifest("").replace("tenants:\n", "operator: {customers: cli}\ntenants:\n");
    let stage = Stage::with_vault(&text);
    // An Azure CLI that gives a token of the directory that it is asked for.
    let bin = stage.path("bin");
    std::fs::create_dir(&bin).unwrap();
    let operator = stage.sandbox.operator();
    for tenant in [NORTHWIND, WINGTIP, HUMONGOUS] {
        let token = stage.token(tenant, &operator.client_id, &operator.client_secret);
        let answer = json!({
            "accessToken": token, "expires_on": 4_102_444_800_i64,
            "expiresOn": "2099-12-31 23:59:59.000000", "tenant": tenant, "tokenType": "Bearer",
        });
        std::fs::write(bin.join(tenant), answer.to_string()).unwrap();
    }
    let script = "#!/bin/sh\nwhile [ $# -gt 0 ]; do\n  case \"$1\" in --tenant) tenant=$2;; --tenant=*) tenant=${1#--tenant=};; esac\n  shift\ndone\necho \"$tenant\" >> \"$(dirname \"$0\")/asked\"\ncat \"$(dirname \"$0\")/$tenant\"\n";
    let az = bin.join("az");
    std::fs::write(&az, script).unwrap();
    std::fs::set_permissions(&az, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    // The operator's own app is no more let into customers' directories by its own secret.
    let mut command = stage.command(&["apply", "--yes"]);
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    command.env("PATH", path);
    crate::stage::finish(command, &["apply", "--yes"]).exits(0);
    let asked = std::fs::read_to_string(bin.join("asked")).unwrap();
    for tenant in [NORTHWIND, WINGTIP, HUMONGOUS] {
        assert!(asked.contains(tenant), "{asked}");
    }
    assert!(!asked.contains(HOME), "{asked}");
    let of_home = |one: &Value| one["path"].as_str().unwrap_or_default().contains(HOME);
    let logins: Vec<_> = stage
        .sandbox
        .requests()
        .into_iter()
        .filter(|one| one["operation"] == "login.token" && one["method"] == "POST")
        .collect();
    assert!(logins.iter().any(of_home), "the provider's own directory is signed in to as before");
    assert_eq!(granted_to(&stage, NORTHWIND, "northwind").unwrap().len(), 2);
    let without = stage.run(&["plan"]).exits(5);
    assert!(without.stderr.contains("customers"), "{}", without.stderr);
}

/// No right of the operator's is left in a directory.
fn shut_out(stage: &Stage, tenant: &str) {
    let operator = stage.sandbox.operator().client_id;
    stage.change_world(|world| {
        let directory = directory_mut(world, tenant);
        let principals = directory["servicePrincipals"].as_array().unwrap();
        let own = principals.iter().find(|one| one["appId"] == *operator).unwrap()["id"].clone();
        let roles = directory["appRoleAssignments"].as_array_mut().unwrap();
        roles.retain(|one| one["principalId"] != own);
    });
}

#[test]
fn where_nobody_could_look_for_what_is_left_is_said() {
    let at_home = "  contoso: {name: Contoso, domain: contoso.example, layout: per-tenant}\n";
    let stage = Stage::with_vault(&manifest(at_home));
    stage.run(&["apply", "--yes"]).exits(0);
    // One leaves whose app is the provider's, and one whose app is its own.
    let (gone, kept) = WILLING.split_once('\n').unwrap();
    assert!(gone.contains("northwind"));
    std::fs::write(stage.path("manifest.yaml"), format!("{HEAD}{kept}")).unwrap();
    let orphans = |ran: &Value| -> Vec<String> {
        list(ran, "orphans").iter().map(|one| one["key"].as_str().unwrap().to_owned()).collect()
    };
    let unknown = |ran: &Value| -> Vec<String> {
        let all = list(ran, "diagnostics").iter().filter(|one| one["code"] == "orphans-unknown");
        all.map(|one| one["summary"].as_str().unwrap().to_owned()).collect()
    };
    let planned = stage.run(&["plan", "--json"]).exits(0).json();
    assert_eq!(
        (orphans(&planned), unknown(&planned).len()),
        (vec!["northwind".into(), "contoso".into()], 0)
    );

    shut_out(&stage, NORTHWIND);
    let planned = stage.run(&["plan", "--json"]).exits(0).json();
    let why = unknown(&planned);
    assert_eq!((orphans(&planned), why.len()), (vec!["contoso".into()], 1));
    assert!(why[0].contains(&format!("directory {NORTHWIND} could not be read")), "{why:?}");
    assert!(why[0].contains("Authorization_RequestDenied"), "{why:?}");

    shut_out(&stage, HOME);
    let planned = stage.run(&["plan", "--json"]).exits(0).json();
    let why = unknown(&planned);
    assert_eq!((orphans(&planned), why.len()), (vec![], 2));
    assert!(why.iter().any(|why| why.contains("the provider's directory could not")), "{why:?}");
    // Whoever applies reads it as well; nothing of it keeps the others from being served.
    for verb in [&["plan"][..], &["apply", "--yes"]] {
        let ran = stage.run(verb).exits(0);
        let said = ran.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains("apps of this fleet that are left there are unknown"), "{said}");
    }
}

#[test]
fn a_key_that_was_renamed_makes_no_second_app_in_its_customers_directory() {
    let stage = Stage::with_vault(&manifest(""));
    stage.run(&["apply", "--yes"]).exits(0);
    let before = stage.sandbox.world()["directories"].clone();
    let renamed = manifest("").replace("  northwind: {", "  north: {");
    std::fs::write(stage.path("manifest.yaml"), renamed).unwrap();
    let planned = stage.run(&["plan", "--json", "--tenant", "north"]).exits(0).json();
    let app = &list(&planned, "apps")[0];
    assert_eq!(app["diagnostics"][0]["code"], "renamed-key", "{app:#}");
    assert_eq!(app["steps"], json!([]));
    stage.run(&["apply", "--yes", "--tenant", "north"]).exits(1);
    assert_eq!(stage.sandbox.world()["directories"], before);
}

#[test]
fn nothing_is_granted_where_the_link_is_the_way() {
    let link = manifest("").replace("defaults:\n", "defaults:\n  consent: {strategy: link}\n");
    let stage = Stage::with_vault(&link);
    stage.run(&["apply", "--yes", "--tenant", "northwind"]).exits(0);
    stage.run(&["consent", "northwind"]).exits(0);
    assert_eq!(granted_to(&stage, NORTHWIND, "northwind").unwrap(), [] as [String; 0]);
}
