//! Each exit code through the real binary, and which comes first where several would fit.

use std::process::{Command, Stdio};

use serde_json::json;
use tenantry::sandbox::secret_hash;

use crate::stage::{CONTOSO, MANIFEST, ONE, Stage, finish};

fn fault(stage: &Stage, operation: &str, status: u16) {
    let faults = json!([{"operation": operation, "times": 50, "do": {"status": status}}]);
    stage.sandbox.add_faults(&faults).unwrap();
}

fn writes(stage: &Stage) -> usize {
    stage.sandbox.requests().iter().filter(|r| r["graphWrite"] == true).count()
}

#[test]
fn done_and_what_is_done_only_when_asked_for() {
    let stage = Stage::with_vault(ONE);
    stage.run(&["plan"]).exits(0);
    stage.run(&["plan", "--detailed-exitcode"]).exits(2);
    stage.run(&["apply", "--yes"]).exits(0);
    stage.run(&["plan", "--detailed-exitcode"]).exits(0);
    stage.run(&["status"]).exits(0);
    stage.run(&["status", "--fail-on", "pending"]).exits(3);
    stage.run(&["apply", "--yes", "--fail-on", "pending"]).exits(3);
    stage.run(&["status", "--fail-on", "not-reading"]).exits(0);
    stage.consent(CONTOSO, "contoso");
    stage.run(&["status", "--fail-on", "pending,expiring,not-reading"]).exits(0);
    stage.sandbox.advance("P340D").unwrap();
    stage.run(&["status", "--fail-on", "expiring"]).exits(8);
    stage.run(&["status", "--fail-on", "pending,expiring"]).exits(8);
    stage.run(&["status"]).exits(0);
    // Graver than both: nobody reads any more.
    fault(&stage, "incident.list", 403);
    stage.run(&["status", "--fail-on", "pending,expiring,not-reading"]).exits(1);
    stage.sandbox.clear_faults();
    // A plan that is stale, though there is much to change and something expires.
    let stale = "0".repeat(64);
    stage.run(&["apply", "--checksum", &stale, "--fail-on", "pending,expiring"]).exits(6);
}

#[test]
fn a_failure_is_1_and_a_part_of_it_4() {
    let stage = Stage::with_vault(MANIFEST);
    fault(&stage, "application.upsert", 400);
    stage.run(&["apply", "--yes", "--tenant", "contoso"]).exits(1);
    // The others are done, and what failed comes before what is pending.
    stage.sandbox.clear_faults();
    let faults = json!([{"operation": "application.upsert", "times": 50,
                         "match": {"app": "tenantry-acme-soc--contoso"}, "do": {"status": 400}}]);
    stage.sandbox.add_faults(&faults).unwrap();
    stage.run(&["apply", "--yes", "--fail-on", "pending"]).exits(4);
    stage.sandbox.clear_faults();
    stage.run(&["apply", "--yes"]).exits(0);
    // What cannot be read cannot be planned.
    fault(&stage, "application.list", 400);
    stage.run(&["plan", "--detailed-exitcode"]).exits(1);
    stage.run(&["status", "--fail-on", "pending"]).exits(1);
}

#[test]
fn a_file_or_a_tenant_that_is_not_there_is_wrong_usage_for_every_verb() {
    let stage = Stage::with_vault(ONE);
    for verb in [
        &["plan"][..],
        &["apply"],
        &["status"],
        &["consent"],
        &["explain", "contoso"],
        &["attest", "contoso", "--by", "Ada"],
        &["tokens", "refresh"],
        &["doctor"],
        &["reveal", "contoso"],
        &["vault", "init"],
        &["validate"],
        &["export", "contoso", "--format", "consent-page"],
        &["export", "contoso", "--format", "env"],
    ] {
        let mut command = stage.command(verb);
        command.current_dir(stage.path("world"));
        finish(command, verb).exits(64);
        let named: Vec<_> = verb.iter().copied().chain(["-f", "nowhere.yaml"]).collect();
        stage.run(&named).exits(64);
    }
    for verb in [
        &["explain", "nobody"][..],
        &["consent", "nobody"],
        &["reveal", "nobody"],
        &["attest", "nobody", "--by", "Ada"],
        &["status", "--tenant", "nobody"],
        &["export", "nobody", "--format", "consent-page"],
        &["export", "nobody", "--format", "env"],
    ] {
        stage.run(verb).exits(64);
    }
}

#[test]
fn an_operator_who_may_not_is_5_and_changes_nothing() {
    let stage = Stage::with_vault(ONE);
    for arguments in [["plan", "--detailed-exitcode"], ["apply", "--yes"], ["status", "--json"]] {
        let mut command = stage.command(&arguments);
        command.env("AZURE_CLIENT_SECRET", "wrong8Q~wrong");
        let ran = finish(command, &arguments).exits(5);
        assert!(ran.stderr.contains("AADSTS7000215"), "{ran:?}");
    }
    fault(&stage, "application.upsert", 403);
    stage.run(&["apply", "--yes"]).exits(5);
    stage.sandbox.clear_faults();
    stage.disempower();
    let before = writes(&stage);
    for arguments in [["plan", "--detailed-exitcode"], ["apply", "--yes"]] {
        let ran = stage.run(&arguments).exits(5);
        assert!(ran.stderr.contains("Authorization_RequestDenied"), "{ran:?}");
    }
    assert_eq!(writes(&stage), before);
}

#[test]
fn what_keeps_all_apps_from_being_read_is_said_once_with_their_keys() {
    let stage = Stage::with_vault(MANIFEST);
    let mut command = stage.command(&["plan", "--full"]);
    command.env("AZURE_CLIENT_SECRET", "wrong8Q~wrong");
    let plan = finish(command, &["plan"]).exits(5).stdout;
    assert_eq!(plan.matches("AADSTS7000215").count(), 1, "{plan}");
    let apps = stage.run(&["plan", "--json"]).json()["apps"].clone();
    let keys: Vec<_> =
        apps.as_array().unwrap().iter().map(|app| app["key"].as_str().unwrap()).collect();
    assert!(plan.contains(&format!("{} apps: {}", keys.len(), keys.join(", "))), "{plan}");
}

#[test]
fn a_guard_is_7_and_changes_nothing() {
    let stage = Stage::new(ONE);
    stage.run(&["apply", "--yes"]).exits(7);
    stage.run(&["vault", "init"]).exits(0);
    stage.run(&["vault", "init"]).exits(7);
    stage.run(&["apply", "--yes"]).exits(0);
    let before = writes(&stage);
    std::fs::remove_dir_all(stage.path("vault")).unwrap();
    stage.run(&["apply", "--yes"]).exits(7);
    stage.run(&["vault", "init"]).exits(0);
    stage.run(&["apply", "--yes"]).exits(7);
    stage.run(&["plan", "--detailed-exitcode"]).exits(7);
    assert_eq!(writes(&stage), before);
    stage.run(&["plan", "--detailed-exitcode", "--reissue"]).exits(2);
    stage.run(&["apply", "--yes", "--reissue"]).exits(0);
}

#[test]
fn wrong_usage_is_64_and_asks_nobody() {
    let stage = Stage::with_vault(ONE);
    stage.sandbox.clear_requests();
    for arguments in [
        &["aply"][..],
        &["plan", "--no-such-flag"],
        &["plan", "--parallelism", "0"],
        &["plan", "--tenant", "nobody"],
        &["plan", "--label", "no-equals-sign"],
        &["plan", "--report", "plan.docx"],
        &["plan", "--timeout", "soon"],
        &["status", "--fail-on", "rain"],
        &["explain", "Not A Key"],
        &["schema", "--of", "everything"],
    ] {
        stage.run(arguments).exits(64);
    }
    assert_eq!(stage.sandbox.requests().len(), 0);
    // A yes is needed and nobody can give it.
    stage.run(&["apply"]).exits(64);
    stage.run(&["apply", "--no-input"]).exits(64);
    assert_eq!(writes(&stage), 0);
    stage.run(&["apply", "--yes"]).exits(0);
    // None is needed where nothing changes.
    stage.run(&["apply", "--no-input"]).exits(0);
    stage.run(&["--help"]).exits(0);
    stage.run(&["--version"]).exits(0);
}

#[test]
fn a_wrong_manifest_is_65_and_nobody_is_asked() {
    let stage = Stage::new("version: 1\nfleet: Not A Fleet\n");
    for verb in [
        &["validate"][..],
        &["plan"],
        &["apply", "--yes"],
        &["status"],
        &["doctor"],
        &["explain", "contoso"],
        &["reveal", "contoso"],
        &["vault", "init"],
    ] {
        stage.run(verb).exits(65);
    }
    assert_eq!(stage.sandbox.requests().len(), 0);
}

/// A run that is told to stop when a request of that operation has come: how it ended, and both its
/// streams.
fn told_to_stop(
    stage: &Stage,
    arguments: &[&str],
    operation: &str,
    signal: &str,
) -> (Option<i32>, String, String) {
    stage.sandbox.clear_requests();
    let mut command = stage.command(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    while !stage.sandbox.requests().iter().any(|r| r["operation"] == *operation) {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let mut kill = Command::new("kill");
    kill.arg(format!("-{signal}")).arg(child.id().to_string());
    assert!(kill.status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_signal_is_130_or_143_and_what_is_left_is_listed() {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let stage = Stage::with_vault(MANIFEST);
        let faults = json!([{"operation": "application.upsert", "do": {"slow": "1500ms"}}]);
        stage.sandbox.add_faults(&faults).unwrap();
        let apply = ["apply", "--yes", "--parallelism", "1", "--report", "report.md"];
        // Told while the first app is being made.
        let (ended, said, _) = told_to_stop(&stage, &apply, "application.upsert", signal);
        assert_eq!(ended, Some(code), "{said}");
        assert!(said.contains("Not finished"), "{said}");
        let report = std::fs::read_to_string(stage.path("report.md")).unwrap();
        assert!(report.contains("create the app \\(interrupted\\)"), "{report}");
        stage.run(&["apply", "--yes"]).exits(0);
    }
}

#[test]
fn a_signal_inside_a_rotation_leaves_a_report_of_what_was_done_and_the_old_secret_in_use() {
    let secrets = |stage: &Stage, key: &str| -> Vec<String> {
        let mut all = stage.app(key)["passwordCredentials"].as_array().unwrap().clone();
        all.sort_by_key(|secret| secret["startDateTime"].to_string());
        all.iter().map(|secret| secret["secretHash"].as_str().unwrap().to_owned()).collect()
    };
    let used = |stage: &Stage, key: &str| {
        secret_hash(stage.run(&["reveal", key]).exits(0).stdout.trim_end())
    };
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let stage = Stage::with_vault(MANIFEST);
        stage.run(&["apply", "--yes"]).exits(0);
        let old = secrets(&stage, "adatum");
        let faults = json!([{"operation": "application.addPassword", "do": {"slow": "1500ms"}}]);
        stage.sandbox.add_faults(&faults).unwrap();
        let rotate = ["rotate", "--all", "--yes", "--parallelism", "1", "--report", "report.md"];
        let (ended, said, told) = told_to_stop(&stage, &rotate, "application.addPassword", signal);
        assert_eq!(ended, Some(code), "{said}{told}");
        // What was on its way was finished, and nothing else was begun.
        let both = secrets(&stage, "adatum");
        assert_eq!((both.len(), &both[0]), (2, &old[0]));
        for key in ["contoso", "siem-eu", "tailspin"] {
            assert_eq!(secrets(&stage, key).len(), 1, "{key}");
        }
        let words = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains("Not finished (3) contoso, siem-eu, tailspin"), "{words}");
        assert!(told.contains("adatum: what is new is there and not in use yet"), "{told}");
        assert_eq!(used(&stage, "adatum"), old[0]);
        let report = std::fs::read_to_string(stage.path("report.md")).unwrap();
        assert!(report.contains("- **adatum**: client secret added"), "{report}");
        let left = "- **contoso**: add a client secret \\(interrupted\\)";
        assert!(report.contains(left), "{report}");
        // The next run goes on where it stopped, and makes no third one.
        let again: &[_] = if code == 130 { &["apply", "--yes"] } else { &rotate[..3] };
        let ran = stage.run(again).exits(0);
        let goes_on = "adatum: an earlier run made a new secret";
        assert_eq!(ran.stderr.contains(goes_on), again[0] == "rotate", "{}", ran.stderr);
        assert_eq!(secrets(&stage, "contoso").len(), 1 + usize::from(again[0] == "rotate"));
        assert_eq!(secrets(&stage, "adatum"), both);
        assert_eq!(used(&stage, "adatum"), both[1]);
    }
}

#[test]
fn a_signal_while_reading_ends_every_verb_as_that_signal() {
    let stage = Stage::with_vault(ONE);
    let faults = json!([{"operation": "application.list", "times": 50, "do": {"slow": "20s"}}]);
    stage.sandbox.add_faults(&faults).unwrap();
    for verb in [&["plan"][..], &["status"], &["doctor"], &["apply", "--yes"]] {
        let (ended, _, said) = told_to_stop(&stage, verb, "application.list", "TERM");
        assert_eq!(ended, Some(143), "{verb:?}");
        assert!(said.contains("nothing was changed"), "{verb:?}: {said}");
    }
}
