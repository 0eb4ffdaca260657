//! `init --from-contracts`, through the real binary: from what a provider has with its customers to a
//! plan.

use serde_json::{Value, json};

use crate::stage::{HOME, ONE, Stage, directory_mut};

/// `CrossTenantInformation.ReadBasic.All`, the application permission on Graph.
const LOOK_UP: &str = "cac88765-0581-4025-9725-5ebc13f729ee";

/// A stage without a manifest.
fn stage() -> Stage {
    let stage = Stage::new(ONE);
    std::fs::remove_file(stage.path("manifest.yaml")).unwrap();
    stage
}

fn text(stage: &Stage) -> String {
    std::fs::read_to_string(stage.path("manifest.yaml")).unwrap()
}

/// Replaces the relationships of the provider.
fn put(stage: &Stage, relationships: &[Value]) {
    stage.change_world(|world| {
        directory_mut(world, HOME)["delegatedAdminRelationships"] = json!(relationships);
    });
}

fn relationship(n: usize, customer: &str) -> Value {
    json!({
        "id": format!("6f1c0f5e-0006-4000-8000-{n:012}-8777b240-c6f0-4469-9e98-a3205431b836"),
        "displayName": format!("Relationship {n}"), "duration": "P730D", "status": "active",
        "customer": {"tenantId": format!("6f1c0f5e-0000-4000-8000-{n:012}"), "displayName": customer},
        "createdDateTime": "2026-01-01T00:00:00Z", "activatedDateTime": "2026-01-02T00:00:00Z",
        "endDateTime": "2099-01-02T00:00:00Z",
    })
}

/// The names of the operations that Graph was asked for, each with how often.
fn asked(stage: &Stage, operation: &str) -> usize {
    stage.sandbox.requests().iter().filter(|request| request["operation"] == operation).count()
}

/// What is wrapped, put together again.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn writes(stage: &Stage) -> usize {
    stage.sandbox.requests().iter().filter(|request| request["graphWrite"] == true).count()
}

#[test]
fn from_contracts_to_a_plan() {
    let stage = stage();
    let ran = stage.run(&["init", "--from-contracts", "manifest.yaml"]).exits(0);
    assert!(ran.stdout.contains("wrote manifest.yaml\n4 customers taken"), "{}", ran.stdout);
    assert!(ran.stderr.starts_with("sandbox: "), "{}", ran.stderr);
    assert!(ran.stderr.contains("1 approvalPending, 1 created, 1 expired, 1 terminated"));
    assert!(ran.stderr.contains("end within 60 days: Fabrikam\n"), "{}", ran.stderr);
    assert_eq!((asked(&stage, "delegatedAdminRelationship.list"), writes(&stage)), (1, 0));
    assert_eq!(asked(&stage, "tenant.findById"), 4);

    let text = text(&stage);
    assert!(text.contains(&format!("tenant: {HOME} ")), "{text}");
    assert_eq!(text.matches("# the delegated admin relationship ends on 20").count(), 1, "{text}");
    assert!(text.contains("#   Globex (6f1c0f5e-0000-4000-8000-000000000004): approvalPending"));
    assert!(text.contains("#   Invitation for a new customer (no customer yet): created"));

    let valid = stage.run(&["validate", "--json"]).exits(0).json();
    stage.run(&["vault", "init"]).exits(0);
    let plan = stage.run(&["plan", "--json"]).exits(0).json();
    let keys = |value: &Value| -> Vec<String> {
        let tenants = value["tenants"].as_array().unwrap();
        tenants.iter().map(|tenant| tenant["key"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(keys(&plan), ["contoso", "fabrikam", "tailspin-toys", "woodgrove-bank"]);
    assert_eq!(plan["summary"]["add"], 4, "{valid}");
    let steps = plan["apps"].to_string();
    assert!(steps.contains("https://woodgrove.example/SiemMsspConnector"), "{steps}");

    // What is there is left as it is, and nobody is asked for it.
    stage.sandbox.clear_requests();
    let again = stage.run(&["init", "--from-contracts", "manifest.yaml"]).exits(1);
    assert!(again.stderr.contains("exists already"), "{}", again.stderr);
    assert_eq!(stage.sandbox.requests(), Vec::<Value>::new());
    assert_eq!(self::text(&stage), text);
    // The same contracts, the same file, named by domain or not.
    let ran = stage.run(&["init", "--from-contracts", "--stdout", "--home", "acme-soc.example"]);
    let by_domain = ran.exits(0).stdout;
    let tenants = |text: &str| text.split_once("\ntenants:").unwrap().1.to_owned();
    assert_eq!(tenants(&by_domain), tenants(&text));
    assert!(by_domain.contains("tenant: acme-soc.example "));
}

#[test]
fn who_may_not_read_contracts_is_told_the_right_to_ask_for() {
    let stage = stage();
    stage.disempower();
    let ran = stage.run(&["init", "--from-contracts", "manifest.yaml"]).exits(5);
    for word in ["Authorization_RequestDenied", "DelegatedAdminRelationship.Read.All"] {
        assert!(ran.stderr.contains(word), "{}", ran.stderr);
    }
    assert!(!stage.path("manifest.yaml").exists());
}

#[test]
fn without_the_right_to_look_domains_up_they_are_left_out_and_that_is_said() {
    let stage = stage();
    stage.change_world(|world| {
        let given = directory_mut(world, HOME)["appRoleAssignments"].as_array_mut().unwrap();
        given.retain(|given| given["appRoleId"] != LOOK_UP);
    });
    let ran = stage.run(&["init", "--from-contracts", "manifest.yaml"]).exits(0);
    let said = words(&ran.stderr);
    assert!(said.contains("domains were not looked up: 403"), "{said}");
    assert!(said.contains("CrossTenantInformation.ReadBasic.All"), "{said}");
    assert_eq!(asked(&stage, "tenant.findById"), 1);
    let text = text(&stage);
    assert_eq!(text.matches("redirectUris: []").count(), 4, "{text}");
    assert_eq!(text.matches("\n    domain:").count(), 0);
    stage.run(&["validate"]).exits(0);
}

#[test]
fn an_outage_writes_nothing() {
    let stage = stage();
    let outage = json!({"operation": "tenant.findById", "times": 200, "do": {"status": 503}});
    stage.sandbox.add_faults(&json!([outage])).unwrap();
    let ran = stage.run(&["init", "--from-contracts", "manifest.yaml"]).exits(1);
    assert!(ran.stderr.contains("domains cannot be looked up"), "{}", ran.stderr);
    assert!(!stage.path("manifest.yaml").exists());
}

#[test]
fn a_directory_nobody_knows_is_left_without_a_domain() {
    let stage = stage();
    put(&stage, &[relationship(1, "Contoso"), relationship(77, "Elsewhere")]);
    let ran = stage.run(&["init", "--from-contracts", "manifest.yaml"]).exits(0);
    assert!(ran.stderr.contains("no redirectUris either: Elsewhere\n"), "{}", ran.stderr);
    let text = text(&stage);
    assert!(
        text.contains("domain: contoso.example") && text.matches("redirectUris: []").count() == 1
    );
}

#[test]
fn nobody_is_said_plainly() {
    let stage = stage();
    put(&stage, &[]);
    let ran = stage.run(&["init", "--from-contracts", "manifest.yaml"]).exits(1);
    let said = words(&ran.stderr);
    assert!(said.contains("no active delegated admin relationship; nothing was written"), "{said}");
    let mut over = relationship(1, "Contoso");
    over["status"] = json!("terminated");
    put(&stage, &[over]);
    let ran = stage.run(&["init", "--from-contracts", "manifest.yaml"]).exits(1);
    assert!(ran.stderr.contains("not active: 1 terminated"), "{}", ran.stderr);
    assert!(!stage.path("manifest.yaml").exists());
}

#[test]
fn hundreds_of_customers_are_all_taken() {
    let stage = stage();
    let many: Vec<Value> =
        (1001..=1650).map(|n| relationship(n, &format!("Customer {n}"))).collect();
    put(&stage, &many);
    let ran = stage.run(&["init", "--from-contracts", "manifest.yaml"]).exits(0);
    assert!(ran.stdout.contains("650 customers taken"), "{}", ran.stdout);
    assert_eq!(asked(&stage, "delegatedAdminRelationship.list"), 3);
    assert_eq!(asked(&stage, "tenant.findById"), 650);
    stage.run(&["validate"]).exits(0);
}

#[test]
fn hostile_names_break_neither_the_manifest_nor_the_screen() {
    let stage = stage();
    let hostile = [
        "a\n  evil: {name: x}\n",
        "\": {}\nversion: 2",
        "\u{202e}txt.exe\u{2066}",
        "\u{1b}[2J\u{7}\u{9b}31m",
        "&anchor *alias !!binary |",
        "{domain} } {nobody}",
        "# comment",
        "\u{2028}\u{85}\u{feff}\u{fffe}",
    ];
    let mut all: Vec<Value> =
        (1..).zip(hostile).map(|(n, name)| relationship(2000 + n, name)).collect();
    let mut ended = relationship(3000, "x\n  worse: {name: y}\u{202e}\u{1b}[2J");
    ended["status"] = json!("expired");
    all.push(ended);
    put(&stage, &all);
    let ran = stage.run(&["init", "--from-contracts", "manifest.yaml"]).exits(0);
    let unseen = |c: char| c != '\n' && (c.is_control() || ('\u{202a}'..='\u{2069}').contains(&c));
    let text = text(&stage);
    for shown in [&text, &ran.stdout, &ran.stderr] {
        assert!(!shown.contains(unseen), "{shown:?}");
    }
    let valid = stage.run(&["validate"]).exits(0);
    assert!(valid.stdout.contains("tenants  8:"), "{}", valid.stdout);
    assert!(!text.contains("\n  worse"), "{text}");
}

#[test]
fn the_directory_must_be_named_and_a_list_is_something_else() {
    let stage = stage();
    let mut bare = stage.command(&["init", "--from-contracts"]);
    let out = bare.env_remove("AZURE_TENANT_ID").output().unwrap();
    let said = String::from_utf8(out.stderr).unwrap();
    assert_eq!(out.status.code(), Some(64), "{said}");
    assert!(said.contains("--home") && said.contains("AZURE_TENANT_ID"), "{said}");
    for arguments in [
        &["init", "--from-contracts", "--home", "not a directory"][..],
        &["init", "--from-contracts", "--fleet", "Not A Fleet"],
        &["init", "--from-contracts", "--from", "customers.csv"],
    ] {
        stage.run(arguments).exits(64);
    }
    assert_eq!(stage.sandbox.requests(), Vec::<Value>::new());
    stage.run(&["init", "--from-contracts", "--home", "nobody.example"]).exits(1);
}

#[test]
fn in_a_box_nobody_else_is_asked_and_the_environment_does_not_enter() {
    let stage = stage();
    let arguments = ["init", "--from-contracts", "--sandbox", "manifest.yaml"];
    let mut command = stage.command(&arguments);
    command.env("AZURE_TENANT_ID", "nobody.example");
    let ran = crate::stage::finish(command, &arguments).exits(0);
    assert!(ran.stderr.contains("nothing leaves this machine"), "{}", ran.stderr);
    assert!(text(&stage).contains(&format!("tenant: {HOME} ")));
    assert!(stage.path(".tenantry/sandbox/world").is_dir());
    assert_eq!(stage.sandbox.requests(), Vec::<Value>::new());
    stage.run(&["plan", "--sandbox"]).exits(0);
}
