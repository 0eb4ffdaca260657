//! `--json` is what `tenantry schema` says, and its counts are those of the text.

use jsonschema::Validator;
use serde_json::{Value, json};

use crate::stage::{CONTOSO, MANIFEST, ONE, Stage};

fn schema(stage: &Stage, of: &str) -> Validator {
    let schema = stage.run(&["schema", "--of", of]).exits(0).json();
    jsonschema::draft202012::options().should_validate_formats(true).build(&schema).unwrap()
}

#[track_caller]
fn valid(validator: &Validator, document: &Value) {
    let mistakes: Vec<_> =
        validator.iter_errors(document).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(mistakes.is_empty(), "{}\n{document:#}", mistakes.join("\n"));
}

/// The counts of a status's JSON and of its text.
#[track_caller]
fn same_counts(document: &Value, text: &crate::stage::Ran) {
    let summary = &document["summary"];
    for (name, word) in [
        ("reading", "reading"),
        ("actionDue", "action due"),
        ("notReading", "NOT READING"),
        ("onboarding", "onboarding"),
        ("unknown", "unknown"),
    ] {
        assert_eq!(summary[name], json!(text.counted(word)), "{name}\n{}", text.stdout);
    }
    for (name, words) in [
        ("needAdminConsent", &["need admin consent", "needs admin consent", "admin consent"][..]),
        ("needSignIn", &["need sign-in", "needs sign-in", "sign-in"]),
        (
            "needPortalAuthorization",
            &["need portal authorization", "needs portal authorization", "portal authorization"],
        ),
    ] {
        let said = words.iter().map(|word| text.counted(word)).max().unwrap();
        let listed = summary[name].as_array().unwrap().len();
        assert_eq!(listed as u64, said, "{name}\n{}", text.stdout);
    }
    let tenants = document["tenants"].as_array().unwrap().len();
    assert_eq!(tenants as u64, text.counted("tenant"), "{}", text.stdout);
}

#[test]
fn every_document_is_as_its_schema_says_and_counts_as_the_text_does() {
    let stage = Stage::with_vault(MANIFEST);
    let (plan, event, status) =
        (schema(&stage, "plan"), schema(&stage, "event"), schema(&stage, "status"));
    let planned = || {
        let document = stage.run(&["plan", "--json"]).exits(0).json();
        valid(&plan, &document);
        let text = stage.run(&["plan"]).exits(0);
        let last = text.stdout.lines().rev().find(|l| l.starts_with("Plan: ")).map(str::to_owned);
        match last {
            Some(line) => {
                let of = |name: &str| document["summary"][name].as_u64().unwrap();
                let said = format!(
                    "Plan: {} to add, {} to change, {} to remove",
                    of("add"),
                    of("change"),
                    of("remove")
                );
                assert!(line.starts_with(&said), "{line}\n{said}");
                assert!(line.contains(&format!("{} step", of("manual"))), "{line}");
            }
            None => assert!(text.stdout.contains("No changes."), "{}", text.stdout),
        }
        document
    };
    let asked = || {
        let document = stage.run(&["status", "--json"]).exits(0).json();
        valid(&status, &document);
        same_counts(&document, &stage.run(&["status"]).exits(0));
        document
    };
    let applied = |code: i32| -> Vec<Value> {
        let lines = stage.run(&["apply", "--yes", "--json"]).exits(code).lines();
        lines.iter().for_each(|line| valid(&event, line));
        lines
    };
    planned();
    asked();
    // One fails, one is throttled, the others are done.
    let faults = json!([
        {"operation": "application.upsert", "match": {"app": "tenantry-acme-soc--contoso"}, "do": {"status": 400}},
        {"operation": "application.addPassword", "do": {"status": 429, "headers": {"retry-after": "1"}}},
    ]);
    stage.sandbox.add_faults(&faults).unwrap();
    let lines = applied(4);
    let kinds: std::collections::BTreeSet<_> =
        lines.iter().map(|line| line["type"].as_str().unwrap()).collect();
    assert_eq!(
        kinds.into_iter().collect::<Vec<_>>(),
        [
            "consent-link",
            "planned",
            "proved",
            "step-done",
            "step-failed",
            "step-skipped",
            "step-started",
            "summary",
            "throttled"
        ]
    );
    let last = lines.last().unwrap();
    assert_eq!((&last["type"], &last["failed"]), (&json!("summary"), &json!(["contoso"])));
    applied(0);
    assert_eq!(applied(0)[0]["summary"]["unchanged"], 4);
    let explained = stage.run(&["explain", "tailspin", "--json"]).exits(0).json();
    valid(&status, &explained);
    assert_eq!(planned()["summary"]["add"], 0);
    stage.consent(CONTOSO, "contoso");
    assert_eq!(asked()["summary"]["reading"], 1);
    stage.sandbox.advance("P340D").unwrap();
    asked();
    assert_eq!(planned()["summary"]["change"], 4);
    // What a report file holds is the same document.
    stage.run(&["status", "--report", "s.json"]).exits(0);
    let text = std::fs::read_to_string(stage.path("s.json")).unwrap();
    valid(&status, &serde_json::from_str(&text).unwrap());
    stage.run(&["plan", "--report", "p.json"]).exits(0);
    let text = std::fs::read_to_string(stage.path("p.json")).unwrap();
    valid(&plan, &serde_json::from_str(&text).unwrap());
    // A directory that cannot be read: rows, not a gap.
    let faults = json!([{"operation": "application.list", "times": 9, "do": {"status": 400}}]);
    stage.sandbox.add_faults(&faults).unwrap();
    let unread = stage.run(&["status", "--json"]).exits(1).json();
    valid(&status, &unread);
    assert_eq!(unread["tenants"].as_array().unwrap().len(), 5);
}

/// A table that is pasted into a ticket says what somebody only said; a document keeps the state, and
/// the evidence beside it.
#[test]
fn what_somebody_said_is_called_attested_in_every_table() {
    let manifest = ONE.replace("defaults: {", "defaults: {portalAuthorization: required, ");
    let stage = Stage::with_vault(&manifest);
    stage.run(&["apply", "--yes"]).exits(0);
    stage.run(&["attest", "contoso", "--by", "Dana"]).exits(0);
    let report = |kind: &str| {
        let name = format!("r.{kind}");
        stage.run(&["status", "--report", &name]).exits(0);
        std::fs::read_to_string(stage.path(&name)).unwrap()
    };
    for (kind, cell) in [("md", "| attested |"), ("csv", ",attested,")] {
        let text = report(kind);
        assert!(text.contains(cell), "{kind}: {text}");
    }
    let document: Value = serde_json::from_str(&report("json")).unwrap();
    let portal = &document["tenants"][0]["facets"]["portal"];
    assert_eq!(portal["state"], "ok");
    assert_eq!(portal["evidence"]["kind"], "attested");
}
