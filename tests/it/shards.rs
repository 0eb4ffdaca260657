//! Shards: jobs that each have a part of a fleet make together what one job makes, side by side.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::stage::{HOME, Stage, directory};

/// Twenty tenants with apps of their own, two on a shared one, and a shared one without tenants.
fn manifest(vault: &str) -> String {
    let mut text = format!(
        "version: 1\nfleet: acme-soc\nhome: {{tenant: acme-soc.example, cloud: global}}\n\
         vault: {vault}\ndefaults:\n  connector: graph-security\n  \
         redirectUris: [\"https://{{domain}}/SiemMsspConnector\"]\nsharedApps:\n  \
         siem-eu: {{name: EU, redirectUris: [\"https://siem.acme-soc.example/eu\"]}}\n  \
         siem-us: {{name: US, redirectUris: [\"https://siem.acme-soc.example/us\"]}}\ntenants:\n"
    );
    for n in 0..20 {
        text.push_str(&format!(
            "  customer-{n}: {{name: Customer {n}, domain: c{n}.example, \
             id: 7f1c0f5e-0000-4000-8000-0000000000{n:02}}}\n"
        ));
    }
    text.push_str("  woodgrove: {name: Woodgrove, domain: woodgrove.example, app: siem-eu}\n");
    text.push_str("  lucerne: {name: Lucerne, domain: lucerne.example, app: siem-eu}\n");
    text
}

const SHARDS: [&str; 3] = ["1/3", "2/3", "3/3"];

/// The keys of a plan's apps and tenants, and of its orphans.
fn keys(plan: &Value) -> BTreeSet<String> {
    ["apps", "tenants", "orphans"]
        .iter()
        .flat_map(|list| {
            let all = plan[*list].as_array().unwrap();
            all.iter().map(move |one| format!("{list} {}", one["key"].as_str().unwrap()))
        })
        .collect()
}

/// What the directory holds of the fleet, without what is random.
fn apps(stage: &Stage) -> Vec<Value> {
    let world = stage.sandbox.world();
    let mut apps: Vec<Value> = directory(&world, HOME)["applications"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|app| app["uniqueName"].as_str().is_some_and(|name| name.contains("acme-soc")))
        .map(|app| {
            json!([
                app["uniqueName"],
                app["tags"],
                app["web"]["redirectUris"],
                app["passwordCredentials"].as_array().unwrap().len()
            ])
        })
        .collect();
    apps.sort_by_key(Value::to_string);
    apps
}

#[test]
fn the_parts_of_a_plan_are_the_whole_plan_and_no_app_is_in_two() {
    let stage = Stage::with_vault(&manifest("{path: vault}"));
    stage.run(&["apply", "--yes"]).exits(0);
    // One that left the manifest is some shard's, too.
    let fewer = manifest("{path: vault}").replace("  customer-7: ", "  renamed: ");
    std::fs::write(stage.path("manifest.yaml"), fewer).unwrap();
    let whole = stage.run(&["plan", "--json"]).exits(0).json();
    assert_eq!(whole["shard"], Value::Null);
    assert_eq!(whole["orphans"].as_array().unwrap().len(), 1);
    let parts = SHARDS.map(|shard| {
        let part = stage.run(&["plan", "--json", "--shard", shard]).exits(0).json();
        assert_eq!((&part["shard"], &part["partial"]), (&json!(shard), &json!(true)));
        keys(&part)
    });
    assert!(parts.iter().all(|part| part.len() > 5), "{parts:?}");
    assert_eq!(parts.iter().map(BTreeSet::len).sum::<usize>(), keys(&whole).len());
    assert_eq!(parts.into_iter().flatten().collect::<BTreeSet<_>>(), keys(&whole));
    // A status tells of it too, and once, as a whole or put together again.
    let status = stage.run(&["status", "--json"]).exits(0).json();
    assert_eq!(status["orphans"], whole["orphans"]);
    let files = SHARDS.map(|shard| format!("{}.json", &shard[..1]));
    for (shard, file) in SHARDS.iter().zip(&files) {
        stage.run(&["status", "--shard", shard, "--report", file]).exits(0);
    }
    let merged = ["status", "--merge", &files[0], &files[1], &files[2], "--json"];
    assert_eq!(stage.run(&merged).exits(0).json()["orphans"], whole["orphans"]);
    for wrong in ["0/3", "4/3", "x", "1/2000"] {
        stage.run(&["plan", "--shard", wrong]).exits(64);
    }
}

#[test]
fn shards_side_by_side_make_what_one_job_makes_and_their_reports_are_its_report() {
    let alone = Stage::with_vault(&manifest("{path: vault}"));
    alone.run(&["apply", "--yes"]).exits(0);
    let stage = Stage::with_vault(&manifest("{path: vault}"));
    side_by_side(&stage);
    assert_eq!(apps(&stage), apps(&alone));
    assert_eq!(apps(&stage).len(), 22);
    let again = stage.run(&["plan", "--detailed-exitcode"]).exits(0);
    assert!(again.stdout.contains("No changes. 22 apps"), "{}", again.stdout);

    let merged = stage.run(&["status", "--merge", "s1.json", "s2.json", "s3.json", "--json"]);
    let (merged, whole) =
        (merged.exits(0).json(), stage.run(&["status", "--json"]).exits(0).json());
    assert_eq!(merged["summary"], whole["summary"]);
    assert_eq!(merged["tenants"].as_array().unwrap().len(), 22);
    let order = |status: &Value| -> Vec<(String, String)> {
        let text = |one: &Value| one.as_str().unwrap().to_owned();
        let all = status["tenants"].as_array().unwrap();
        all.iter().map(|one| (text(&one["overall"]), text(&one["key"]))).collect()
    };
    assert_eq!(order(&merged), order(&whole));
    // The same words, and the same letters in the report.
    let report = |arguments: &[&str]| {
        stage.run(arguments).exits(3);
        let text = std::fs::read_to_string(stage.path("all.md")).unwrap();
        text.lines().filter(|line| line.contains("adminconsent")).count()
    };
    let fail = ["--fail-on", "pending", "--report", "all.md"];
    let merging = [&["status", "--merge", "s3.json", "s1.json", "s2.json"][..], &fail].concat();
    let (of_parts, of_whole) = (report(&merging), report(&[&["status"][..], &fail].concat()));
    assert!(of_whole >= 2);
    assert_eq!(of_parts, of_whole);

    // What was asked about some tenants only would hide the others.
    let some = &merged["tenants"].as_array().unwrap()[0]["key"].as_str().unwrap().to_owned();
    stage.run(&["status", "--tenant", some, "--report", "some.json"]).exits(0);
    stage.run(&["status", "--pending", "portal", "--report", "portal.json"]).exits(0);
    for (files, why) in [
        (&["some.json"][..], "some.json is of some tenants only"),
        (&["portal.json"], "portal.json is of some tenants only"),
        (&["s1.json", "s3.json"], "shard 2/3 is in none of the reports"),
        (&["s1.json", "s2.json", "s2.json", "s3.json"], "is in s2.json and in s2.json"),
        (&["s1.json", "all.md"], "all.md is no status report"),
        (&["nowhere.json"], "nowhere.json: No such file"),
    ] {
        let refused = stage.run(&[&["status", "--merge"][..], files].concat()).exits(64);
        assert!(refused.stderr.contains(why), "{}", refused.stderr);
    }
    stage.run(&["status", "--merge", "s1.json", "--shard", "1/3"]).exits(64);
}

#[test]
fn shards_write_one_key_vault_side_by_side() {
    let stage = Stage::new(&manifest("{keyVault: 'https://acme-soc.vault.azure.net'}"));
    stage.run(&["vault", "init"]).exits(0);
    side_by_side(&stage);
    assert_eq!(apps(&stage).len(), 22);
    let again = stage.run(&["plan", "--detailed-exitcode"]).exits(0);
    assert!(again.stdout.contains("No changes. 22 apps"), "{}", again.stdout);
}

/// Applies all shards at once: none waits for another.
fn side_by_side(stage: &Stage) {
    std::thread::scope(|scope| {
        for (n, shard) in SHARDS.iter().enumerate() {
            scope.spawn(move || {
                let report = format!("s{}.json", n + 1);
                let ran =
                    stage.run(&["apply", "--yes", "--shard", shard, "--report", &report]).exits(0);
                assert!(!ran.stderr.contains("waiting"), "{}", ran.stderr);
            });
        }
    });
}

#[test]
fn a_shards_saved_plan_is_applied_as_that_shard() {
    let stage = Stage::with_vault(&manifest("{path: vault}"));
    stage.run(&["plan", "--shard", "2/3", "--out", "plan.json"]).exits(0);
    stage.run(&["apply", "plan.json", "--shard", "1/3"]).exits(64);
    assert!(apps(&stage).is_empty());
    stage.run(&["apply", "plan.json", "--shard", "2/3"]).exits(0);
    let part = stage.run(&["plan", "--shard", "2/3", "--json"]).exits(0).json();
    assert_eq!(apps(&stage).len(), part["apps"].as_array().unwrap().len());
    assert!((1..22).contains(&apps(&stage).len()));
}
