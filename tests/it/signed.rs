//! Plans that somebody signs off: applied as they are or not at all; and how much may be changed at
//! once.

use std::fs;

use serde_json::{Value, json};

use crate::support::{Run, Stage};

const HEADER: &str = "version: 1
fleet: acme-soc
home: {tenant: acme-soc.example, cloud: global}
vault: {path: vault}
defaults: {connector: graph-security, displayName: '{name} SIEM'}
tenants:
";

/// A manifest of that many tenants.
fn fleet(tenants: usize) -> String {
    let mut text = HEADER.to_owned();
    for number in 0..tenants {
        let id = format!("6f1c0f5e-0000-4000-8000-{number:012x}");
        text.push_str(&format!("  t{number}: {{name: Tenant {number}, id: {id}}}\n"));
    }
    text
}

/// Saves the plan of now, and gives back what is in the file.
#[track_caller]
fn saved(stage: &Stage, args: &[&str]) -> Value {
    let mut all = vec!["plan", "--out", "plan.json"];
    all.extend(args);
    stage.run(&all).expect(0).says("checksum").says("tenantry apply");
    let text = fs::read_to_string(stage.manifest().with_file_name("plan.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn rewrite(stage: &Stage, plan: &Value) {
    fs::write(stage.manifest().with_file_name("plan.json"), format!("{plan}\n")).unwrap();
}

/// Nothing was changed, and that is the code of it.
#[track_caller]
fn stale(stage: &Stage, args: &[&str]) -> Run {
    let before = stage.graph_writes().len();
    let run = stage.run(args);
    run.expect(6).says("nothing was changed");
    assert_eq!(stage.graph_writes().len(), before);
    run
}

#[test]
fn a_saved_plan_is_applied_without_a_question_and_once() {
    let stage = Stage::new(&fleet(2));
    let plan = saved(&stage, &[]);
    assert_eq!(plan["summary"]["add"], 2);
    // Nobody is there to say yes: the plan is the yes.
    stage.run(&["apply", "plan.json", "--no-input"]).expect(0);
    stage.holds("t0");
    stage.holds("t1");
    let run = stale(&stage, &["apply", "plan.json", "--no-input"]);
    run.says("t0: create-application is not planned any more");
    run.says("t1: add-secret is not planned any more").says("plan again");
    // What was just applied leaves nothing to do, and says so the same way each time.
    let (first, second) = (saved(&stage, &[]), saved(&stage, &[]));
    assert_eq!(first["summary"]["unchanged"], 2);
    assert_eq!(first["checksum"], second["checksum"]);
    stage.run(&["apply", "plan.json", "--no-input"]).expect(0);
}

#[test]
fn what_moved_since_is_said_and_nothing_is_changed() {
    let mut stage = Stage::new(&fleet(2));
    let plan = saved(&stage, &[]);
    stage.write_manifest(&fleet(3));
    stale(&stage, &["apply", "plan.json"]).says("t2: create-application is new");
    stage.write_manifest(&fleet(1));
    stale(&stage, &["apply", "plan.json"]).says("tenant t1 is not in the manifest any more");
    stage.write_manifest(&fleet(2).replace("{name} SIEM", "{name} MSSP"));
    stale(&stage, &["apply", "plan.json"])
        .says("t0: create-application is another than was planned");
    stage.write_manifest(&fleet(2));
    // Its steps are not those of its checksum.
    let mut altered = plan.clone();
    altered["apps"][0]["steps"][0]["registration"]["displayName"] = json!("Payroll");
    rewrite(&stage, &altered);
    stale(&stage, &["apply", "plan.json"]).says("changed after it was written");
    let mut other = plan.clone();
    other["checksum"] = json!("0".repeat(64));
    rewrite(&stage, &other);
    stale(&stage, &["apply", "plan.json"]).says("changed after it was written");
    let mut elsewhere = plan.clone();
    elsewhere["sandbox"] = json!(false);
    rewrite(&stage, &elsewhere);
    stale(&stage, &["apply", "plan.json"]).says("made against Microsoft, not the sandbox");
    for foreign in [json!({}), json!([1]), json!({"formatVersion": 2}), json!("plan")] {
        rewrite(&stage, &foreign);
        stage.run(&["apply", "plan.json"]).expect(64).says("no plan of tenantry's");
    }
    stage.run(&["apply", "nowhere.json"]).expect(64).says("cannot be read");
    // Formatted anew it is the same plan.
    let mut formatted = plan;
    formatted.sort_all_objects();
    rewrite(&stage, &formatted);
    stage.run(&["apply", "plan.json"]).expect(0);
    stage.holds("t1");
}

/// In the demo's world a policy names an app that lies in the bin, so that nobody sees the policy
/// before the app is restored: its secret lives shorter than the plan could say, and that is no more
/// than was signed off.
#[test]
fn a_deleted_app_that_a_policy_names_is_applied_as_it_was_signed_off() {
    let demo = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/demo.yaml");
    let stage = Stage::new(&fs::read_to_string(demo).unwrap());
    let plan = saved(&stage, &[]);
    let apps = plan["apps"].as_array().unwrap();
    let tailspin = apps.iter().find(|app| app["key"] == "tailspin").unwrap();
    let steps = tailspin["steps"].as_array().unwrap();
    let secret = steps.iter().find(|step| step["kind"] == "add-secret").unwrap();
    assert_eq!(secret["lifetime"], "1 year", "the policy was not seen");
    let run = stage.run(&["apply", "plan.json", "--no-input"]);
    run.expect(0).says("tailspin");
    let run = stage.run(&["plan", "--json"]);
    run.expect(0).says("\"unchanged\": 12");
}

#[test]
fn a_part_of_a_fleet_is_signed_off_as_that_part() {
    let stage = Stage::new(&fleet(3));
    let plan = saved(&stage, &["--tenant", "t1"]);
    assert_eq!(plan["apps"].as_array().unwrap().len(), 1);
    stage.run(&["apply", "plan.json", "--tenant", "t1"]).expect(64);
    stage.run(&["apply", "plan.json"]).expect(0);
    stage.holds("t1");
    assert!(stage.apps_of("t0").is_empty() && stage.apps_of("t2").is_empty());
}

#[test]
fn a_checksum_is_as_good_as_the_plan() {
    let stage = Stage::new(&fleet(2));
    let plan = saved(&stage, &[]);
    let checksum = plan["checksum"].as_str().unwrap();
    stage.run(&["apply", "--checksum", "abc"]).expect(64);
    stage.run(&["apply", "plan.json", "--checksum", checksum]).expect(64);
    let wrong = format!("{}0", &checksum[1..]);
    stale(&stage, &["apply", "--checksum", &wrong])
        .says(&format!("the checksum is {checksum} now"));
    stage.run(&["apply", "--checksum", &checksum.to_uppercase(), "--no-input"]).expect(0);
    stage.holds("t0");
    stale(&stage, &["apply", "--checksum", checksum]);
}

#[test]
fn a_lost_answer_is_no_reason_to_have_it_signed_off_again() {
    let stage = Stage::new(&fleet(1));
    saved(&stage, &[]);
    stage.fault(json!({"operation": "application.upsert", "times": 1, "do": "cut-after"}));
    stage.run(&["apply", "plan.json"]).expect(0);
    stage.all_faults_fired();
    stage.holds("t0");
}

#[test]
fn a_slip_in_the_defaults_does_not_reach_everybody() {
    let mut stage = Stage::new(&fleet(12));
    // New apps do not count.
    stage.apply().expect(0);
    stage.write_manifest(&fleet(12).replace("{name} SIEM", "{name} MSSP"));
    let before = stage.graph_writes().len();
    for args in [&["plan"][..], &["apply", "--yes"], &["plan", "--out", "plan.json"]] {
        stage.run(args).expect(7).says("12 of 12 existing apps would be changed, more than 30 %");
    }
    assert!(!stage.manifest().with_file_name("plan.json").exists());
    assert_eq!(stage.graph_writes().len(), before);
    // A third is more than 30 of 100, a quarter is not.
    let some = |count: usize| {
        let mut text = fleet(12);
        for number in 0..count {
            let name = format!("{{name: Tenant {number}, ");
            text = text.replace(&name, &format!("{name}displayName: Other {number}, "));
        }
        text
    };
    stage.write_manifest(&some(4));
    stage.run(&["apply", "--yes"]).expect(7);
    stage.run(&["apply", "--yes", "--max-change-percent", "25"]).expect(7);
    stage.write_manifest(&some(3));
    stage.run(&["apply", "--yes", "--max-change-percent", "24"]).expect(7);
    assert_eq!(stage.graph_writes().len(), before);
    stage.run(&["apply", "--yes"]).expect(0);
    stage.write_manifest(&fleet(12).replace("{name} SIEM", "{name} MSSP"));
    stage.run(&["apply", "--yes", "--max-change-percent", "100"]).expect(0);
    assert_eq!(stage.app("t11")["displayName"], "Tenant 11 MSSP");
    // Renewals do not count either.
    stage.sandbox.advance("P340D").unwrap();
    stage.apply().expect(0);
}

/// Each job of a cut fleet counts what all jobs change, and a chosen part is held against the whole.
#[test]
fn a_slip_does_not_reach_everybody_in_parts_either() {
    let mut stage = Stage::new(&fleet(12));
    stage.apply().expect(0);
    stage.write_manifest(&fleet(12).replace("{name} SIEM", "{name} MSSP"));
    let before = stage.graph_writes().len();
    for shard in 1..=8 {
        let shard = format!("{shard}/8");
        let run = stage.run(&["apply", "--yes", "--shard", &shard]);
        run.expect(7).says("12 of 12 existing apps would be changed");
    }
    let chosen = ["apply", "--yes", "--tenant", "t[0-3]"];
    stage.run(&chosen).expect(7).says("4 of 12 existing apps would be changed");
    assert_eq!(stage.graph_writes().len(), before);
    stage.run(&["apply", "--yes", "--tenant", "t[0-2]"]).expect(0);
}

#[test]
fn a_few_apps_are_changed_without_a_guard() {
    let mut stage = Stage::new(&fleet(9));
    stage.apply().expect(0);
    stage.write_manifest(&fleet(9).replace("{name} SIEM", "{name} MSSP"));
    stage.apply().expect(0);
    assert_eq!(stage.app("t8")["displayName"], "Tenant 8 MSSP");
}
