//! The life of a secret, in a folder and in a key vault: renewed beside the old one, used only once
//! it is accepted, the old one removed when its overlap is over; and `rotate`, which does it now.

use std::time::Duration;

use serde_json::{Value, json};
use tenantry::sandbox::secret_hash;

use crate::stage::{CONTOSO, HOME, ONE, Stage, WOODGROVE, both_vaults, directory_mut};

pub(crate) const LUCERNE: &str = "6f1c0f5e-0000-4000-8000-000000000012";

/// One app that two customers use.
pub(crate) const SHARED: &str = r#"version: 1
fleet: acme-soc
home: {tenant: acme-soc.example, cloud: global}
vault: {path: vault}
defaults: {connector: graph-security}
sharedApps:
  siem-eu: {name: Acme SOC EU, redirectUris: ["https://siem.acme-soc.example/eu"]}
tenants:
  woodgrove: {name: Woodgrove Bank, domain: woodgrove.example, app: siem-eu}
  lucerne: {name: Lucerne Publishing, domain: lucerne.example, app: siem-eu}
"#;

/// A stage in each kind of vault, its apps made and nobody's consent given.
fn stages(manifest: &str) -> [Stage; 2] {
    both_vaults(manifest).map(|manifest| {
        let stage = Stage::with_vault(&manifest);
        stage.run(&["apply", "--yes"]).exits(0);
        stage
    })
}

/// The same with contoso's consent, its secret accepted.
fn reading() -> [Stage; 2] {
    let stages = stages(ONE);
    for stage in &stages {
        stage.consent(CONTOSO, "contoso");
        stage.run(&["apply", "--yes"]).exits(0);
        is_reading(stage);
    }
    stages
}

#[track_caller]
fn is_reading(stage: &Stage) {
    let status = stage.run(&["status", "--json"]).exits(0).json();
    assert_eq!(status["summary"]["notReading"], 0, "{status:#}");
    let access = &status["tenants"][0]["facets"]["access"]["state"];
    assert_eq!(access, "ok", "{status:#}");
}

/// The hashes of an app's secrets of ours, the oldest first.
fn hashes(stage: &Stage, key: &str) -> Vec<String> {
    let app = stage.app(key);
    let mut ours = app["passwordCredentials"].as_array().unwrap().clone();
    ours.retain(|secret| {
        secret["displayName"].as_str().is_some_and(|name| name.starts_with("tenantry "))
    });
    ours.sort_by_key(|secret| secret["startDateTime"].to_string());
    ours.iter().map(|secret| secret["secretHash"].as_str().unwrap().to_owned()).collect()
}

/// The hash of what the vault hands out.
fn handed_out(stage: &Stage, key: &str) -> String {
    secret_hash(stage.run(&["reveal", key]).exits(0).stdout.trim_end())
}

/// The steps that a plan holds for the only app, each as its kind and its reason.
pub(crate) fn planned(stage: &Stage, more: &[&str]) -> Vec<(String, String)> {
    let plan = stage.run(&[&["plan", "--json"], more].concat()).exits(0).json();
    let steps = plan["apps"][0]["steps"].as_array().unwrap().clone();
    let word = |step: &Value, name: &str| step[name].as_str().unwrap_or_default().to_owned();
    steps.iter().map(|step| (word(step, "kind"), word(step, "reason"))).collect()
}

pub(crate) fn steps<const N: usize>(steps: [(&str, &str); N]) -> Vec<(String, String)> {
    steps.map(|(kind, reason)| (kind.to_owned(), reason.to_owned())).into()
}

/// Somebody adds a secret of their own.
fn add_foreign(stage: &Stage, key: &str, name: &str) -> Value {
    let object = stage.app(key)["id"].as_str().unwrap().to_owned();
    let body = json!({"passwordCredential": {"displayName": name}});
    let path = format!("/applications/{object}/addPassword");
    let answer = stage.call(reqwest::Method::POST, &path, &stage.operator_token(), Some(&body));
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body["keyId"].clone()
}

fn key_ids(stage: &Stage, key: &str) -> Vec<Value> {
    let app = stage.app(key);
    app["passwordCredentials"].as_array().unwrap().iter().map(|s| s["keyId"].clone()).collect()
}

/// New secrets are not known to Entra ID for as long as this lasts.
fn refuse_new_ones(stage: &Stage) {
    stage.sandbox.set_lag(Duration::from_secs(3_600));
}

fn take_new_ones(stage: &Stage) {
    stage.sandbox.set_lag(Duration::ZERO);
}

/// Entra ID does not take an app's youngest secret any more; gives back the hash of the one that it
/// took.
fn spoil_youngest(stage: &Stage, key: &str) -> String {
    let hash = hashes(stage, key).pop().unwrap();
    let spoilt = format!("sha256:{}", "0".repeat(64));
    stage.change_world(|world| *secret(world, &hash) = json!(spoilt));
    hash
}

/// The hash of a secret in a world, to be changed.
fn secret<'w>(world: &'w mut Value, hash: &str) -> &'w mut Value {
    let apps = directory_mut(world, HOME)["applications"].as_array_mut().unwrap().iter_mut();
    let mut secrets = apps.flat_map(|app| app["passwordCredentials"].as_array_mut().unwrap());
    &mut secrets.find(|secret| secret["secretHash"] == hash).unwrap()["secretHash"]
}

#[test]
fn a_secret_is_renewed_proved_used_and_the_old_one_goes_after_the_overlap() {
    for stage in reading() {
        let first = hashes(&stage, "contoso");
        stage.sandbox.advance("P330D").unwrap();
        assert_eq!(planned(&stage, &[]), []);
        stage.sandbox.advance("P10D").unwrap();
        assert_eq!(planned(&stage, &[]), steps([("add-secret", "renewal")]));
        stage.run(&["apply", "--yes"]).exits(0);
        let both = hashes(&stage, "contoso");
        assert_eq!(both.len(), 2);
        assert_eq!(both[0], first[0]);
        assert_eq!(handed_out(&stage, "contoso"), both[1]);
        is_reading(&stage);
        // Nothing is due until the SIEM has had its time.
        assert_eq!(planned(&stage, &[]), []);
        tells_whom_to_fill_again(&stage);
        stage.sandbox.advance("P6D").unwrap();
        assert_eq!(planned(&stage, &[]), []);
        stage.run(&["apply", "--yes"]).exits(0);
        assert_eq!(hashes(&stage, "contoso"), both);
        stage.sandbox.advance("P2D").unwrap();
        assert_eq!(planned(&stage, &[]), steps([("remove-secret", "retired")]));
        stage.run(&["apply", "--yes"]).exits(0);
        assert_eq!(hashes(&stage, "contoso"), both[1..]);
        assert_eq!(handed_out(&stage, "contoso"), both[1]);
        assert_eq!(planned(&stage, &[]), []);
        is_reading(&stage);
        assert!(accounts_for(&stage, "apply", "remove-secret"));
        assert_eq!(retiring(&stage), Vec::<Value>::new());
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What `status` tells machines of secrets that have a successor.
fn retiring(stage: &Stage) -> Vec<Value> {
    let strict = ["status", "--fail-on", "pending,expiring,not-reading", "--json"];
    let status = stage.run(&strict).exits(0).json();
    let mut due = status["due"].as_array().unwrap().clone();
    due.retain(|one| one["kind"] == "retiring-secret");
    due
}

/// Whoever filled a SIEM with a secret that has a successor is told until when it works, by all that
/// tell of the tenant; no run fails for it.
#[track_caller]
fn tells_whom_to_fill_again(stage: &Stage) {
    let told = retiring(stage);
    assert_eq!(told.len(), 1, "{told:?}");
    let command =
        "tenantry export -f manifest.yaml --cloud world/cloud.yaml contoso --format FORMAT";
    assert_eq!(told[0]["command"], command);
    let day = &told[0]["ends"].as_str().unwrap()[..10];
    for verb in [&["status"][..], &["explain", "contoso"], &["apply", "--yes"]] {
        let said = one_line(&stage.run(verb).exits(0).stdout);
        for word in [day, "old", "fill", command] {
            assert!(said.contains(word), "{verb:?} does not say `{word}`: {said}");
        }
    }
}

/// The audit's lines, where the vault is a folder: what a key vault keeps, its world does not tell.
fn audit(stage: &Stage) -> Option<Vec<Value>> {
    let text = std::fs::read_to_string(stage.path("vault").join("audit.jsonl")).ok()?;
    Some(text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

/// Whether the audit, where it can be read, has a line about such a step.
fn accounts_for(stage: &Stage, verb: &str, step: &str) -> bool {
    audit(stage).is_none_or(|lines| lines.iter().any(|l| l["verb"] == verb && l["step"] == step))
}

#[test]
fn an_app_that_a_listing_misses_loses_no_value() {
    for stage in reading() {
        let value = handed_out(&stage, "contoso");
        // Replicas that lag behind show nothing of it, and only the upsert meets it.
        let nothing = json!({"status": 200, "body": {"value": []}});
        let missing = json!({"status": 404,
            "body": {"error": {"code": "Request_ResourceNotFound", "message": "no"}}});
        let faults = json!([
            {"operation": "application.list", "times": 99, "do": nothing},
            {"operation": "application.get", "times": 99, "do": missing},
        ]);
        stage.sandbox.add_faults(&faults).unwrap();
        assert_eq!(planned(&stage, &[])[0].0, "create-application");
        stage.run(&["apply", "--yes"]);
        stage.sandbox.clear_faults();
        assert_eq!(handed_out(&stage, "contoso"), value);
        stage.run(&["apply", "--yes"]).exits(0);
        assert_eq!((handed_out(&stage, "contoso"), hashes(&stage, "contoso").len()), (value, 1));
        is_reading(&stage);
    }
}

#[test]
fn a_new_one_that_is_refused_leaves_the_old_one_in_use_until_a_later_run() {
    for stage in reading() {
        let first = hashes(&stage, "contoso");
        stage.sandbox.advance("P340D").unwrap();
        refuse_new_ones(&stage);
        let ran = stage.run(&["apply", "--yes"]).exits(0);
        assert!(ran.stderr.contains("the old one stays in use"), "{}", ran.stderr);
        assert_eq!(handed_out(&stage, "contoso"), first[0]);
        is_reading(&stage);
        // Graph shows it by now, and still it is refused.
        take_new_ones(&stage);
        let taken = spoil_youngest(&stage, "contoso");
        // No third one is made of impatience, and the overlap of nobody begins.
        stage.sandbox.advance("P10D").unwrap();
        assert_eq!(planned(&stage, &[]), []);
        let ran = stage.run(&["apply", "--yes"]).exits(0);
        assert!(ran.stderr.contains("the old one stays in use"), "{}", ran.stderr);
        let both = hashes(&stage, "contoso");
        assert_eq!((both.len(), &both[0]), (2, &first[0]));
        assert_eq!(handed_out(&stage, "contoso"), first[0]);
        is_reading(&stage);
        stage.change_world(|world| *secret(world, &both[1]) = json!(taken));
        let both = hashes(&stage, "contoso");
        let ran = stage.run(&["apply", "--yes"]).exits(0);
        assert!(!ran.stderr.contains("stays in use"), "{}", ran.stderr);
        assert_eq!(handed_out(&stage, "contoso"), both[1]);
        assert_eq!(planned(&stage, &[]), []);
        stage.sandbox.advance("P8D").unwrap();
        stage.run(&["apply", "--yes"]).exits(0);
        assert_eq!(hashes(&stage, "contoso"), both[1..]);
        is_reading(&stage);
    }
}

#[test]
fn before_consent_a_new_one_is_in_use_once_it_is_stored() {
    for stage in stages(ONE) {
        stage.sandbox.advance("P340D").unwrap();
        stage.run(&["apply", "--yes"]).exits(0);
        let both = hashes(&stage, "contoso");
        assert_eq!(both.len(), 2);
        assert_eq!(handed_out(&stage, "contoso"), both[1]);
        stage.sandbox.advance("P8D").unwrap();
        assert_eq!(planned(&stage, &[]), steps([("remove-secret", "retired")]));
        // Nobody uses it yet, and nobody says so.
        let ran = stage.run(&["apply", "--yes"]).exits(0);
        let said = one_line(&ran.stdout);
        assert!(said.contains("its successor has taken its place"), "{said}");
        assert_eq!(hashes(&stage, "contoso"), both[1..]);
    }
}

#[test]
fn a_shared_app_changes_over_only_where_nobody_refuses() {
    for stage in stages(SHARED) {
        stage.consent(WOODGROVE, "siem-eu");
        stage.consent(LUCERNE, "siem-eu");
        stage.run(&["apply", "--yes"]).exits(0);
        let first = hashes(&stage, "siem-eu");
        stage.sandbox.advance("P340D").unwrap();
        // One customer's servers do not know the new one: what is refused there is Entra's word.
        let refused = json!({"error": "invalid_client", "error_codes": [7_000_215],
            "error_description": "AADSTS7000215: Invalid client secret provided."});
        let fault = json!([{"operation": "login.token", "match": {"tenant": LUCERNE},
            "times": 100, "do": {"status": 401, "body": refused}}]);
        stage.sandbox.add_faults(&fault).unwrap();
        let ran = stage.run(&["apply", "--yes"]).exits(0);
        assert!(ran.stderr.contains("the old one stays in use"), "{}", ran.stderr);
        stage.sandbox.clear_faults();
        let both = hashes(&stage, "siem-eu");
        assert_eq!((both.len(), &both[0]), (2, &first[0]));
        assert_eq!(handed_out(&stage, "siem-eu"), first[0]);
        // One customer's word is not enough to forget the other.
        stage.run(&["apply", "--yes"]).exits(0);
        assert_eq!(handed_out(&stage, "siem-eu"), both[1]);
        stage.sandbox.advance("P8D").unwrap();
        stage.run(&["apply", "--yes"]).exits(0);
        assert_eq!(hashes(&stage, "siem-eu"), both[1..]);
    }
}

#[test]
fn who_does_not_answer_or_was_not_asked_is_not_locked_out() {
    for stage in stages(SHARED) {
        stage.consent(WOODGROVE, "siem-eu");
        stage.consent(LUCERNE, "siem-eu");
        stage.run(&["apply", "--yes"]).exits(0);
        let first = hashes(&stage, "siem-eu");
        let fault = json!([{"operation": "login.token", "match": {"tenant": LUCERNE},
            "times": 100, "do": {"status": 503, "body": {}}}]);
        stage.sandbox.add_faults(&fault).unwrap();
        let ran = stage.run(&["rotate", "woodgrove", "--now", "--revoke-old", "--yes"]);
        assert_ne!(ran.code, 0, "{ran:?}");
        let both = hashes(&stage, "siem-eu");
        assert_eq!((both.len(), &both[0]), (2, &first[0]));
        assert_eq!(handed_out(&stage, "siem-eu"), first[0]);
        stage.sandbox.clear_faults();
        // A run that asks one of two customers cannot speak for the other.
        stage.run(&["apply", "--yes", "--tenant", "woodgrove"]).exits(0);
        assert_eq!(handed_out(&stage, "siem-eu"), first[0]);
        stage.run(&["apply", "--yes"]).exits(0);
        assert_eq!(handed_out(&stage, "siem-eu"), both[1]);
    }
}

#[test]
fn what_has_expired_is_cleaned_and_replaced_in_one_run() {
    for stage in reading() {
        let first = hashes(&stage, "contoso");
        stage.sandbox.advance("P400D").unwrap();
        let due = [("add-secret", "expired"), ("remove-secret", "expired")];
        assert_eq!(planned(&stage, &[]), steps(due));
        stage.run(&["apply", "--yes"]).exits(0);
        let now = hashes(&stage, "contoso");
        assert_eq!(now.len(), 1);
        assert_ne!(now, first);
        assert_eq!(handed_out(&stage, "contoso"), now[0]);
        assert_eq!(planned(&stage, &[]), []);
        is_reading(&stage);
    }
}

#[test]
fn what_is_not_ours_goes_only_when_it_is_named() {
    for stage in reading() {
        let helpdesk = add_foreign(&stage, "contoso", "helpdesk");
        let other = "tenantry 11111111-2222-4333-8444-555555555555 0123456789abcdef";
        let of_another_vault = add_foreign(&stage, "contoso", other);
        let ours = hashes(&stage, "contoso");
        stage.sandbox.advance("P345D").unwrap();
        stage.run(&["apply", "--yes"]).exits(0);
        stage.sandbox.advance("P8D").unwrap();
        stage.run(&["apply", "--yes"]).exits(0);
        assert!(key_ids(&stage, "contoso").contains(&helpdesk));
        assert_ne!(hashes(&stage, "contoso"), ours);
        let ran = stage.run(&["plan", "--remove-foreign"]).exits(0);
        assert!(ran.stdout.contains("\"helpdesk\""), "{}", ran.stdout);
        let due = steps([("remove-secret", "foreign")]);
        assert_eq!(planned(&stage, &["--remove-foreign"]), due);
        assert_eq!(planned(&stage, &[]), []);
        // A saved plan says that it was asked for.
        stage.run(&["plan", "--remove-foreign", "--out", "saved.json"]).exits(0);
        stage.run(&["apply", "saved.json"]).exits(0);
        assert!(!key_ids(&stage, "contoso").contains(&helpdesk));
        assert!(key_ids(&stage, "contoso").contains(&of_another_vault));
        assert_eq!(key_ids(&stage, "contoso").len(), 2);
        is_reading(&stage);
    }
}

#[test]
fn what_somebody_removed_at_microsoft_meanwhile_is_forgotten() {
    for stage in reading() {
        stage.sandbox.advance("P340D").unwrap();
        stage.run(&["apply", "--yes"]).exits(0);
        let both = hashes(&stage, "contoso");
        stage.change_world(|world| {
            for app in directory_mut(world, HOME)["applications"].as_array_mut().unwrap() {
                let secrets = app["passwordCredentials"].as_array_mut().unwrap();
                secrets.retain(|secret| secret["secretHash"] != *both[0]);
            }
        });
        assert_eq!(planned(&stage, &[]), []);
        stage.sandbox.advance("P8D").unwrap();
        assert_eq!(planned(&stage, &[]), steps([("remove-secret", "retired")]));
        stage.sandbox.clear_requests();
        stage.run(&["apply", "--yes"]).exits(0);
        let writes = stage.sandbox.requests();
        assert!(writes.iter().all(|request| request["graphWrite"] != true), "{writes:?}");
        assert_eq!(hashes(&stage, "contoso"), both[1..]);
        assert_eq!(planned(&stage, &[]), []);
    }
}

#[test]
fn rotate_makes_a_new_one_now_and_lets_the_old_one_retire() {
    for stage in reading() {
        let helpdesk = add_foreign(&stage, "contoso", "helpdesk");
        let first = hashes(&stage, "contoso");
        stage.run(&["rotate", "contoso"]).exits(64);
        assert_eq!(hashes(&stage, "contoso"), first);
        let ran = stage.run(&["rotate", "contoso", "--yes", "--json"]).exits(0);
        let tried = ran.lines().into_iter().find(|line| line["type"] == "secret-tried").unwrap();
        assert_eq!((&tried["app"], &tried["current"]), (&json!("contoso"), &json!(true)));
        let both = hashes(&stage, "contoso");
        assert_eq!((both.len(), &both[0]), (2, &first[0]));
        assert_eq!(handed_out(&stage, "contoso"), both[1]);
        assert_eq!(planned(&stage, &[]), []);
        stage.sandbox.advance("P8D").unwrap();
        stage.run(&["apply", "--yes"]).exits(0);
        assert_eq!(hashes(&stage, "contoso"), both[1..]);
        assert!(key_ids(&stage, "contoso").contains(&helpdesk));
        assert!(accounts_for(&stage, "rotate", "add-secret"));
    }
}

#[test]
fn a_leaked_one_is_gone_at_the_end_of_the_run() {
    for stage in reading() {
        let helpdesk = add_foreign(&stage, "contoso", "helpdesk");
        // Two generations are there already.
        stage.run(&["rotate", "contoso", "--yes"]).exits(0);
        let old = hashes(&stage, "contoso");
        assert_eq!(old.len(), 2);
        let ran = stage.run(&["rotate", "contoso", "--now", "--revoke-old", "--yes"]).exits(0);
        let said: Vec<_> = ran.stdout.split_whitespace().collect();
        assert!(said.join(" ").contains("removed in this same run"), "{}", ran.stdout);
        assert!(said.join(" ").contains("fill it again now"), "{}", ran.stdout);
        assert!(ran.stdout.contains("contoso --format FORMAT"), "{}", ran.stdout);
        let now = hashes(&stage, "contoso");
        assert_eq!(now.len(), 1, "{now:?}");
        assert!(!old.contains(&now[0]));
        assert_eq!(handed_out(&stage, "contoso"), now[0]);
        assert!(key_ids(&stage, "contoso").contains(&helpdesk));
        assert_eq!(planned(&stage, &[]), []);
        is_reading(&stage);
    }
}

#[test]
fn a_leaked_one_stays_where_its_successor_is_refused_and_the_run_fails() {
    for stage in reading() {
        let old = hashes(&stage, "contoso");
        refuse_new_ones(&stage);
        let leaked = ["rotate", "contoso", "--now", "--revoke-old", "--yes"];
        let ran = stage.run(&leaked).exits(4);
        assert!(ran.stdout.contains("tenantry rotate"), "{}", ran.stdout);
        assert!(ran.stdout.contains("--now --revoke-old"), "{}", ran.stdout);
        assert!(hashes(&stage, "contoso").contains(&old[0]));
        assert_eq!(handed_out(&stage, "contoso"), old[0]);
        is_reading(&stage);
        take_new_ones(&stage);
        stage.run(&leaked).exits(0);
        let now = hashes(&stage, "contoso");
        assert_eq!(now.len(), 1);
        assert_ne!(now, old);
        is_reading(&stage);
    }
}

#[test]
fn before_consent_a_leaked_one_goes_once_the_new_one_is_stored() {
    for stage in stages(ONE) {
        let old = hashes(&stage, "contoso");
        let ran = stage.run(&["rotate", "contoso", "--now", "--revoke-old", "--yes"]).exits(0);
        let said = one_line(&ran.stdout);
        assert!(
            said.contains("where nobody has consented yet and so nobody can accept it, stored"),
            "{said}"
        );
        let now = hashes(&stage, "contoso");
        assert_eq!(now.len(), 1);
        assert_ne!(now, old);
        assert_eq!(handed_out(&stage, "contoso"), now[0]);
    }
}

#[test]
fn rotate_wants_to_know_whose() {
    let [stage, _] = stages(ONE);
    let before = hashes(&stage, "contoso");
    let ran = stage.run(&["rotate", "--yes"]).exits(64);
    assert!(ran.stderr.contains("--all"), "{}", ran.stderr);
    stage.run(&["rotate", "contoso", "--revoke-old", "--yes"]).exits(64);
    stage.run(&["rotate", "contoso", "--now", "--yes"]).exits(64);
    stage.run(&["rotate", "nobody", "--yes"]).exits(64);
    assert_eq!(hashes(&stage, "contoso"), before);
    stage.run(&["rotate", "--all", "--yes"]).exits(0);
    assert_eq!(hashes(&stage, "contoso").len(), 2);
}
