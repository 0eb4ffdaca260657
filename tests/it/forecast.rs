//! The days ahead: what ends, when, and the command for it, on the screen, for machines, in files.

use std::fs;

use jiff::{Timestamp, ToSpan, ZonedDateTime, tz::TimeZone};
use reqwest::Method;
use serde_json::{Value, json};

use crate::stage::{MANIFEST, ONE, Stage};

/// The date so many days from now.
fn day(days: i64) -> String {
    let then = ZonedDateTime::new(Timestamp::now(), TimeZone::UTC).saturating_add(days.days());
    then.strftime("%Y-%m-%d").to_string()
}

fn due(document: &Value) -> Vec<(String, String)> {
    let due = document["due"].as_array().unwrap().iter();
    due.map(|one| {
        let text = |name: &str| one[name].as_str().unwrap().to_owned();
        (text("kind"), text("app"))
    })
    .collect()
}

#[test]
fn what_ends_by_a_day_is_told_with_the_day_and_the_command() {
    let stage = Stage::with_vault(ONE);
    stage.run(&["apply", "--yes"]).exits(0);
    let before = stage.sandbox.world();
    let early = ["status", "--as-of", &day(100), "--fail-on", "expiring", "--json"];
    assert_eq!(due(&stage.run(&early).exits(0).json()), []);

    let late = day(340);
    let document = stage.run(&["status", "--as-of", &late, "--json"]).exits(0).json();
    assert_eq!(due(&document), [("client-secret".to_owned(), "contoso".to_owned())]);
    let one = &document["due"][0];
    assert!(one["ends"].as_str().unwrap().starts_with(&day(365)), "{one}");
    assert_eq!(one["tenants"], json!(["contoso"]));
    assert_eq!(
        one["command"],
        "tenantry apply -f manifest.yaml --cloud world/cloud.yaml --tenant contoso"
    );
    let screen = stage.run(&["status", "--as-of", &late, "--fail-on", "expiring"]).exits(8).stdout;
    assert!(screen.contains(&format!("Ends soon, seen from {late} (1)")), "{screen}");
    assert!(screen.contains(&format!("{} contoso", day(365))), "{screen}");
    assert!(screen.contains("from ") && screen.contains("tenantry apply"), "{screen}");

    // When it has ended nobody is told that all is well; what is worse comes first.
    let over = day(400);
    stage.run(&["status", "--as-of", &over, "--fail-on", "expiring"]).exits(8);
    stage.run(&["status", "--as-of", &late, "--fail-on", "pending,expiring"]).exits(8);

    for kind in ["md", "html", "csv", "json"] {
        let name = format!("r.{kind}");
        stage.run(&["status", "--as-of", &late, "--report", &name]).exits(0);
        let text = fs::read_to_string(stage.path(&name)).unwrap();
        assert!(text.contains(&day(365)) && text.contains("tenantry apply"), "{kind}: {text}");
    }
    let applications =
        |world: &Value| crate::stage::directory(world, crate::stage::HOME)["applications"].clone();
    assert_eq!(applications(&stage.sandbox.world()), applications(&before));
}

#[test]
fn what_is_not_ours_is_told_too_and_fails_nobody() {
    let stage = Stage::with_vault(ONE);
    stage.run(&["apply", "--yes"]).exits(0);
    let id = stage.app("contoso")["id"].as_str().unwrap().to_owned();
    let end =
        ZonedDateTime::new(Timestamp::now(), TimeZone::UTC).saturating_add(60.days()).timestamp();
    let theirs = json!({"passwordCredential": {"displayName": "by hand", "endDateTime": end}});
    let path = format!("/applications/{id}/addPassword");
    let made = stage.call(Method::POST, &path, &stage.operator_token(), Some(&theirs));
    assert_eq!(made.status, 200, "{made:?}");
    let document = stage
        .run(&["status", "--as-of", &day(45), "--fail-on", "expiring", "--json"])
        .exits(0)
        .json();
    assert_eq!(due(&document), [("foreign-secret".to_owned(), "contoso".to_owned())]);
    let one = &document["due"][0];
    assert_eq!((&one["name"], &one["command"]), (&json!("by hand"), &Value::Null));
    let screen = stage.run(&["status", "--as-of", &day(45)]).exits(0).stdout;
    assert!(screen.contains("\"by hand\", not ours"), "{screen}");
}

#[test]
fn a_plan_looks_ahead_first_what_ends_first_and_only_ahead() {
    let stage = Stage::with_vault(MANIFEST);
    stage.run(&["apply", "--yes"]).exits(0);
    let today = stage.run(&["plan", "--json"]).exits(0).json();
    assert!(today.get("asOf").is_none() && today.get("due").is_none(), "{today}");
    let late = day(364);
    let ahead = stage.run(&["plan", "--as-of", &late, "--json"]).exits(0).json();
    assert!(ahead["asOf"].as_str().unwrap().starts_with(&late));
    // A policy lets tailspin's secret live for 180 days.
    let apps: Vec<String> = due(&ahead).into_iter().map(|(_, app)| app).collect();
    assert_eq!(apps, ["tailspin", "adatum", "contoso", "siem-eu"]);
    for app in ahead["apps"].as_array().unwrap() {
        let reason = if app["key"] == "tailspin" { "expired" } else { "renewal" };
        assert_eq!(app["steps"][0]["reason"], reason, "{app}");
    }
    let screen = stage.run(&["plan", "--as-of", &late]).exits(0).stdout;
    assert!(screen.contains(&format!("as of {late}")), "{screen}");
    assert!(screen.contains("Ends soon"), "{screen}");
    // What nobody may sign off: a plan of a day that is not today.
    stage.run(&["plan", "--as-of", &late, "--out", "p.json"]).exits(64);
    for verb in ["plan", "status"] {
        stage.run(&[verb, "--as-of", "2020-01-31"]).exits(64);
        stage.run(&[verb, "--as-of", &day(0)]).exits(0);
    }
    // Tomorrow's past: the box's clock is what counts.
    stage.sandbox.advance("P30D").unwrap();
    stage.run(&["status", "--as-of", &day(10)]).exits(64);
}

/// How each tenant is as a whole, as a status says.
fn overall(document: &Value) -> Vec<(String, String)> {
    let tenants = document["tenants"].as_array().unwrap().iter();
    let mut all: Vec<_> = tenants
        .map(|tenant| {
            let text = |name: &str| tenant[name].as_str().unwrap().to_owned();
            (text("key"), text("overall"))
        })
        .collect();
    all.sort();
    all
}

#[test]
fn the_day_ahead_is_what_the_clock_brings_and_nobody_is_asked_again_for_what_they_gave() {
    let stage = Stage::with_vault(MANIFEST);
    stage.run(&["apply", "--yes"]).exits(0);
    stage.consent(crate::stage::CONTOSO, "contoso");
    stage.run(&["status"]).exits(0);
    let steps = |document: &Value| {
        let kinds = document["tenants"].as_array().unwrap().iter();
        let kinds = kinds.filter(|one| one["key"] == "contoso");
        kinds.map(|one| one["manual"].as_array().unwrap().len()).sum::<usize>()
    };
    let ahead = stage.run(&["status", "--as-of", &day(400), "--json"]).exits(0).json();
    stage.sandbox.advance("P400D").unwrap();
    let come = stage.run(&["status", "--json"]).exits(0).json();
    assert_eq!(overall(&ahead), overall(&come));
    for document in [&ahead, &come] {
        let mut tenants = document["tenants"].as_array().unwrap().iter();
        let contoso = tenants.find(|one| one["key"] == "contoso").unwrap();
        assert_eq!(contoso["overall"], "not-reading", "{contoso:#}");
        assert_eq!(contoso["facets"]["consent"]["state"], "unknown", "{contoso:#}");
        assert!(contoso["facets"]["consent"].get("waitingFor").is_none(), "{contoso:#}");
    }
    let screen = stage.run(&["status"]).exits(0).stdout;
    assert!(!screen.contains("declined") && !screen.contains("nobody is waited for"), "{screen}");
    // The secret has ended, and the consent is as it was.
    let plan = stage.run(&["plan", "--json"]).exits(0).json();
    assert_eq!(steps(&plan), 0, "{plan:#}");
    let people = come["summary"]["needAdminConsent"].as_array().unwrap().len();
    let asked = plan["tenants"].as_array().unwrap().iter().filter(|one| {
        one["manual"].as_array().unwrap().iter().any(|step| step["kind"] == "admin-consent")
    });
    assert_eq!(asked.count(), people);
}
