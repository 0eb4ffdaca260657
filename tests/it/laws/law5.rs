//! One app failing in each possible way leaves the others done and itself a row that says why.

use std::thread;

use serde_json::{Value, json};
use tenantry::sandbox::Options;

use super::{KEYS, MANIFEST, lose_value};
use crate::support::{Run, Stage, list, ours};

/// The one that fails.
const VICTIM: &str = "fabrikam";

/// What the victim is before the run that fails.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Start {
    /// It does not exist.
    Absent,
    /// It exists, and somebody renamed it.
    Renamed,
    /// It exists, and has a secret of ours whose value was lost.
    ValueLost,
}

/// How often the fault strikes.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Often {
    /// At the first request.
    Once,
    /// As long as the run lasts.
    Always,
}

struct Case {
    start: Start,
    operation: &'static str,
    act: Value,
    often: Often,
    /// How long one call may take.
    timeout: &'static str,
    /// What the row says.
    says: &'static str,
}

fn case(
    start: Start,
    operation: &'static str,
    act: Value,
    often: Often,
    timeout: &'static str,
    says: &'static str,
) -> Case {
    Case { start, operation, act, often, timeout, says }
}

fn cases() -> Vec<Case> {
    use Often::{Always, Once};
    use Start::{Absent, Renamed, ValueLost};
    let quota = json!({"status": 403, "body": {"error": {
        "code": "Directory_QuotaExceeded",
        "message": "The directory object quota limit for the Tenant has been exceeded. Please ask \
                    your administrator to increase the quota limit or delete objects to reduce the \
                    used quota.",
    }}});
    let policy = json!({"status": 400, "body": {"error": {
        "code": "CredentialInvalidLifetimeAsPerAppPolicy",
        "message": "Credential lifetime exceeds the max value allowed as per assigned policy.",
    }}});
    let status = |status: u16| json!({"status": status});
    let (denied, fault) = ("Authorization_RequestDenied", "Service_InternalServerError");
    let (upsert, update) = ("application.upsert", "application.update");
    let (add, remove) = ("application.addPassword", "application.removePassword");
    let mut cases = vec![
        case(Absent, upsert, quota.clone(), Once, "30s", "Directory_QuotaExceeded"),
        case(Absent, add, policy, Once, "30s", "CredentialInvalidLifetimeAsPerAppPolicy"),
        case(Absent, add, quota, Once, "30s", "Directory_QuotaExceeded"),
        // No second try: the first may have had its effect.
        case(Absent, add, status(500), Once, "30s", fault),
        case(Absent, add, json!("garbage"), Once, "30s", ""),
        case(Absent, add, json!("cut-before"), Once, "30s", ""),
        case(Absent, add, json!("cut-after"), Once, "30s", ""),
        case(Absent, add, json!("no-answer"), Once, "2s", "no answer within 2 s"),
        case(Absent, add, json!("no-answer-after"), Once, "2s", "no answer within 2 s"),
        case(ValueLost, remove, status(500), Once, "30s", fault),
        case(ValueLost, remove, json!("cut-before"), Once, "30s", ""),
        case(ValueLost, remove, json!("cut-after"), Once, "30s", ""),
        case(ValueLost, remove, json!("no-answer"), Once, "2s", "no answer within 2 s"),
        case(ValueLost, remove, json!("no-answer-after"), Once, "2s", "no answer within 2 s"),
    ];
    for (start, operation) in
        [(Absent, upsert), (Absent, add), (Renamed, update), (ValueLost, remove)]
    {
        cases.push(case(start, operation, status(403), Once, "30s", denied));
        cases.push(case(start, operation, status(400), Once, "30s", "Request_BadRequest"));
    }
    // What may be repeated is, until the time of one call is over.
    for (start, operation) in [(Absent, upsert), (Renamed, update)] {
        cases.push(case(start, operation, status(500), Always, "2s", fault));
        cases.push(case(start, operation, status(503), Always, "2s", "serviceNotAvailable"));
        cases.push(case(start, operation, json!("no-answer"), Always, "2s", "no answer"));
        cases.push(case(start, operation, json!("no-answer-after"), Always, "2s", "no answer"));
        cases.push(case(start, operation, json!("cut-before"), Always, "2s", ""));
        cases.push(case(start, operation, json!("cut-after"), Always, "2s", ""));
    }
    cases
}

/// A stage on which the others are yet to be made, and the victim is as it shall be.
fn stage(start: Start) -> Stage {
    let stage = Stage::with(MANIFEST, Options::default());
    if start == Start::Absent {
        return stage;
    }
    stage.run(&["apply", "--yes", "--tenant", VICTIM]).expect(0);
    match start {
        Start::Absent => {}
        Start::Renamed => {
            stage.change_app(VICTIM, |app| app["displayName"] = json!("Renamed by hand"));
        }
        Start::ValueLost => lose_value(&stage, VICTIM),
    }
    // A young credential may be missing from an answer only because it is young.
    stage.sandbox.advance("PT10M").unwrap();
    stage
}

fn run(case: &Case) {
    let Case { start, operation, act, often, timeout, says } = case;
    let stage = stage(*start);
    let times = match often {
        Often::Once => 1,
        Often::Always => 1000,
    };
    stage.fault(json!({
        "operation": operation, "match": {"app": stage.unique_name(VICTIM)},
        "times": times, "do": act,
    }));
    stage.sandbox.clear_requests();
    // A connection that is cut takes along whatever else is on it: one app at a time.
    let cut = act.as_str().is_some_and(|act| act.starts_with("cut"));
    let parallelism = if cut { "1" } else { "16" };
    let failed = stage.run(&["apply", "--yes", "--timeout", timeout, "--parallelism", parallelism]);
    failed.expect(4);
    let row = row(&failed);
    assert!(row.contains(says), "{row}");
    if act["status"].is_number() {
        let status = act["status"].to_string();
        assert!(row.contains(&status) && row.contains("request "), "{row}");
    }
    let fired = stage.asked().iter().filter(|request| request["fault"].is_string()).count();
    match often {
        Often::Once => assert_eq!(fired, 1),
        Often::Always => assert!(fired > 1, "{fired}"),
    }
    stage.sandbox.clear_faults();
    the_others_are_done(&stage);

    // The line that the run ends with makes good what failed, and nothing else.
    let others = || KEYS.map(|key| (key != VICTIM).then(|| stage.app(key)));
    let before = others();
    stage.run(&stage.only_these_again(&failed)).expect(0);
    assert_eq!(others(), before);
    stage.holds(VICTIM);
    stage.sandbox.clear_requests();
    stage.apply().expect(0);
    stage.no_graph_write();
}

/// What the run says of the victim, in one line.
fn row(run: &Run) -> String {
    let lines: Vec<_> = run.stdout.lines().collect();
    let from = lines.iter().position(|line| *line == "Failed (1)").expect(&run.stdout);
    let row: Vec<_> = lines[from + 1..]
        .iter()
        .take_while(|line| !line.is_empty())
        .flat_map(|line| line.split_whitespace())
        .collect();
    assert!(row.join(" ").starts_with(&format!("× {VICTIM}: ")), "{row:?}");
    row.join(" ")
}

fn the_others_are_done(stage: &Stage) {
    for key in KEYS.iter().filter(|key| **key != VICTIM) {
        stage.holds(key);
    }
}

#[test]
fn one_app_failing_in_any_way_leaves_the_others_done() {
    let (cases, stages) = (cases(), 4);
    let mut failed = Vec::new();
    thread::scope(|scope| {
        let cases = &cases;
        let tried: Vec<_> = (0..stages)
            .map(|first| {
                scope.spawn(move || {
                    let mut failed = Vec::new();
                    for case in cases.iter().skip(first).step_by(stages) {
                        if let Err(panic) = std::panic::catch_unwind(|| run(case)) {
                            let why = panic.downcast_ref::<String>().cloned().unwrap_or_default();
                            let Case { start, operation, act, often, .. } = case;
                            failed.push(format!("{start:?} {operation} {act} {often:?}: {why}"));
                        }
                    }
                    failed
                })
            })
            .collect();
        for thread in tried {
            failed.extend(thread.join().unwrap());
        }
    });
    assert!(failed.is_empty(), "{} of {}\n{}", failed.len(), cases.len(), failed.join("\n\n"));
}

#[test]
fn garbage_that_may_be_asked_again_is_asked_again() {
    let stage = Stage::new(MANIFEST);
    for operation in ["application.list", "application.upsert", "login.token", "deletedItem.list"] {
        stage.fault(json!({"operation": operation, "times": 2, "do": "garbage"}));
    }
    stage.apply().expect(0);
    stage.all_faults_fired();
    for key in KEYS {
        stage.holds(key);
    }
}

#[test]
fn throttling_is_waited_out_and_where_it_is_too_long_every_row_says_so() {
    let throttle = |operation: &str, wait: &str| json!({"operation": operation, "do": {"status": 429, "headers": {"Retry-After": wait}}});
    let stage = Stage::new(MANIFEST);
    stage.fault(throttle("application.upsert", "1"));
    stage.fault(throttle("application.addPassword", "1"));
    stage.apply().expect(0);
    stage.all_faults_fired();
    for key in KEYS {
        stage.holds(key);
    }
    // A directory's throttling is everybody's: nobody else asks meanwhile.
    let stage = Stage::new(MANIFEST);
    stage.fault(throttle("application.addPassword", "600"));
    let run = stage.run(&["apply", "--yes", "--timeout", "5s", "--parallelism", "1"]);
    run.expect(4).says("Failed (4)").says("contoso: 429 TooManyRequests: told to wait 600 s");
    run.says("fabrikam: not sent: Graph asks this directory's calls to wait");
    stage.all_faults_fired();
    stage.run(&stage.only_these_again(&run)).expect(0);
    for key in KEYS {
        stage.holds(key);
    }
}

#[test]
fn an_app_whose_restoring_fails_leaves_the_others_done() {
    let stage = Stage::new(MANIFEST);
    stage.fault(json!({"operation": "deletedItem.restore", "do": {"status": 403}}));
    let run = stage.apply();
    run.expect(4).says("× tailspin: 403 Authorization_RequestDenied").says("Only these again:");
    stage.all_faults_fired();
    for key in KEYS.iter().filter(|key| **key != "tailspin") {
        stage.holds(key);
    }
    assert_eq!(list(&stage.home(), "deletedItems").len(), 1);
    stage.run(&stage.only_these_again(&run)).expect(0);
    stage.holds("tailspin");
}

#[test]
fn a_policy_that_bans_secrets_blocks_its_app_and_no_other() {
    // The seed's custom policy is assigned to the deleted tailspin: nobody sees it until then.
    let stage = Stage::new(MANIFEST);
    let ban = |state: &str| {
        stage.change_home(|home| {
            home["policies"]["custom"][0]["restrictions"]["passwordCredentials"] =
                json!([{"restrictionType": "passwordAddition", "state": state}]);
        });
    };
    ban("enabled");
    stage.apply().expect(4).says("forbids new client secrets");
    for key in KEYS.iter().filter(|key| **key != "tailspin") {
        stage.holds(key);
    }
    assert_eq!(ours(&stage.app("tailspin")).len(), 0);
    // The plan sees it now, and the run does not even try.
    stage.sandbox.clear_requests();
    stage.run(&["plan"]).says("forbids new client secrets");
    stage.apply().expect(1).says("forbids new client secrets");
    stage.no_graph_write();
    ban("disabled");
    stage.apply().expect(0);
    stage.holds("tailspin");
}

#[test]
fn a_ban_of_the_whole_directory_leaves_nothing_half_done() {
    let stage = Stage::new(MANIFEST);
    stage.change_home(|home| {
        home["policies"]["default"] = json!({
            "id": "00000000-0000-0000-0000-000000000000", "displayName": "Default policy",
            "description": "", "isEnabled": true,
            "applicationRestrictions": {
                "passwordCredentials": [{"restrictionType": "passwordAddition", "state": "enabled"}],
                "keyCredentials": [],
            },
            "servicePrincipalRestrictions": {"passwordCredentials": [], "keyCredentials": []},
        });
    });
    stage
        .run(&["apply", "--yes", "--tenant", "contoso", "--tenant", "fabrikam"])
        .expect(1)
        .says("forbids new client secrets");
    stage.no_graph_write();
}

#[test]
fn an_operator_who_may_write_nothing_is_told_so() {
    let stage = Stage::new(MANIFEST);
    for operation in ["application.upsert", "deletedItem.restore"] {
        let times = if operation == "application.upsert" { 3 } else { 1 };
        stage.fault(json!({"operation": operation, "times": times, "do": {"status": 403}}));
    }
    let before = stage.sandbox.world();
    stage.apply().expect(5).says("Authorization_RequestDenied");
    stage.all_faults_fired();
    assert_eq!(stage.sandbox.world()["directories"], before["directories"]);
    stage.apply().expect(0);
}
