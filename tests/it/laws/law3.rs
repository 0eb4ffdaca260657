//! Two applies at once, a signal in the middle, a directory that lags: the same end, at the latest
//! after one more apply.

use std::{thread, time::Duration};

use serde_json::{Value, json};
use tenantry::sandbox::Options;

use super::{KEYS, MANIFEST};
use crate::support::{Stage, VaultKind, kind, list, until};

/// All is held, nothing is there twice, and one more apply writes nothing.
fn the_same_end(stage: &Stage) {
    stage.sandbox.clear_requests();
    stage.apply().expect(0);
    stage.no_graph_write();
    for key in KEYS {
        stage.holds(key);
    }
    let home = stage.home();
    let fleet = list(&home, "applications").iter().filter(|app| app["uniqueName"].is_string());
    assert_eq!(fleet.count(), KEYS.len());
}

fn slow(operation: &str, time: &str) -> Value {
    json!({"operation": operation, "do": {"slow": time}})
}

fn faulted(stage: &Stage) -> bool {
    stage.asked().iter().any(|request| request["fault"].is_string())
}

fn under_way(stage: &Stage, operation: &str) -> bool {
    stage.asked().iter().any(|request| request["operation"] == operation)
}

#[test]
fn two_applies_at_once_end_as_one() {
    let latency = Duration::from_millis(20);
    let stage = Stage::with(MANIFEST, Options { latency, ..Options::default() });
    stage.fault(slow("application.addPassword", "1s"));
    let first = stage.start(&["apply", "--yes"]);
    until("the first apply writes", || under_way(&stage, "application.addPassword"));
    let second = stage.start(&["apply", "--yes"]);
    let third = stage.start(&["apply", "--yes"]);
    first.wait().expect(0);
    second
        .wait()
        .expect(0)
        .says("waiting: another run writes this fleet's vault (apply of process");
    third.wait().expect(0).says("waiting:");
    stage.all_faults_fired();
    let made =
        |name: &str| stage.asked().iter().filter(|request| request["operation"] == name).count();
    assert_eq!(made("application.addPassword"), KEYS.len());
    the_same_end(&stage);
}

#[test]
fn a_killed_apply_lets_the_waiting_one_go_on() {
    for act in ["no-answer", "no-answer-after"] {
        let stage = Stage::new(MANIFEST);
        stage.fault(json!({"operation": "application.addPassword", "nth": 2, "do": act}));
        let first = stage.start(&["apply", "--yes", "--parallelism", "1"]);
        until("the first apply hangs", || faulted(&stage));
        stage.sandbox.clear_requests();
        let mut second = stage.start(&["apply", "--yes"]);
        // Its own claim on a key vault takes a second and more.
        let looks = if kind() == VaultKind::Folder { 700 } else { 4_000 };
        thread::sleep(Duration::from_millis(looks));
        assert!(!second.is_over());
        assert_eq!(stage.asked_beside_the_vault(), Vec::<Value>::new(), "it waits before it reads");
        first.kill();
        stage.the_killed_one_is_forgotten();
        second.wait().expect(0).says("waiting: another run");
        stage.all_faults_fired();
        the_same_end(&stage);
    }
}

#[test]
fn a_waiting_apply_can_be_told_to_stop() {
    let stage = Stage::new(MANIFEST);
    stage.fault(slow("application.addPassword", "2s"));
    let first = stage.start(&["apply", "--yes"]);
    until("the first apply writes", || under_way(&stage, "application.addPassword"));
    let second = stage.start(&["apply", "--yes"]);
    thread::sleep(Duration::from_millis(500));
    second.signal("INT");
    second.wait().expect(130);
    first.wait().expect(0);
    stage.all_faults_fired();
    the_same_end(&stage);
}

#[test]
fn a_signal_lets_the_step_in_flight_finish_and_lists_what_is_left() {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let stage = Stage::new(MANIFEST);
        stage.fault(slow("application.addPassword", "1500ms"));
        let running = stage.start(&["apply", "--yes", "--parallelism", "1"]);
        until("a secret is under way", || under_way(&stage, "application.addPassword"));
        running.signal(signal);
        let run = running.wait();
        run.expect(code).says("Not finished (3)").says("Only these again:");
        stage.all_faults_fired();
        stage.holds("contoso");
        let home = stage.home();
        let fleet: Vec<_> = list(&home, "applications")
            .iter()
            .filter_map(|app| app["uniqueName"].as_str())
            .collect();
        assert_eq!(fleet, [stage.unique_name("contoso")], "no new step was started");
        stage.run(&stage.only_these_again(&run)).expect(0);
        the_same_end(&stage);
    }
}

#[test]
fn a_signal_before_the_first_step_changes_nothing() {
    let stage = Stage::new(MANIFEST);
    stage.fault(slow("application.list", "1s"));
    let running = stage.start(&["apply", "--yes"]);
    until("the listing is under way", || under_way(&stage, "application.list"));
    running.signal("INT");
    running.wait().expect(130);
    stage.all_faults_fired();
    stage.no_graph_write();
    stage.apply().expect(0);
    the_same_end(&stage);
}

#[test]
fn a_directory_that_lags_is_waited_for_and_nothing_is_made_twice() {
    let lag = Duration::from_secs(3);
    let stage = Stage::with(MANIFEST, Options { lag, ..Options::default() });
    stage.apply().expect(0);
    for key in KEYS {
        stage.holds(key);
    }
    let values = KEYS.map(|key| stage.reveal(key));
    // At once, while listings and credentials are still behind.
    stage.sandbox.clear_requests();
    stage.apply().expect(0);
    stage.no_graph_write();
    thread::sleep(lag);
    the_same_end(&stage);
    assert_eq!(KEYS.map(|key| stage.reveal(key)), values);
}

#[test]
fn a_process_killed_in_a_directory_that_lags_leaves_nothing_behind() {
    let lag = Duration::from_secs(3);
    for (operation, act) in [
        ("application.upsert", "no-answer-after"),
        ("application.addPassword", "no-answer-after"),
        ("deletedItem.restore", "no-answer-after"),
    ] {
        let stage = Stage::with(MANIFEST, Options { lag, ..Options::default() });
        stage.fault(json!({"operation": operation, "do": act}));
        let running = stage.start(&["apply", "--yes", "--parallelism", "1"]);
        until("the process can be killed", || faulted(&stage));
        running.kill();
        stage.the_killed_one_is_forgotten();
        stage.all_faults_fired();
        // At once, while nothing shows yet what the killed one did …
        stage.apply().expect(0);
        // … and what could not be seen then is put right when it can.
        thread::sleep(lag);
        stage.apply().expect(0);
        the_same_end(&stage);
    }
}

#[test]
fn a_cut_connection_takes_no_other_app_with_it() {
    // Slow enough that all apps are under way when it happens.
    let latency = Duration::from_millis(50);
    let stage = Stage::with(MANIFEST, Options { latency, ..Options::default() });
    stage.fault(json!({"operation": "application.addPassword", "nth": 2, "do": "cut-after"}));
    let run = stage.run(&["apply", "--yes"]);
    stage.all_faults_fired();
    run.expect(4).says("Failed (1)");
    stage.sandbox.advance("PT10M").unwrap();
    stage.apply().expect(0);
    the_same_end(&stage);
}
