//! What others put on an app of ours that can sign in as it: seen by every command that looks, named,
//! nobody's illness, and removed only where that is asked for.

use std::fs;

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    certificates::add_theirs,
    stage::{CONTOSO, ONE, Ran, Stage},
};

const ISSUER: &str = "https://token.actions.githubusercontent.com";

/// Somebody trusts tokens of their own on the app of `contoso`; gives back the credential's id.
fn add_backdoor(stage: &Stage) -> String {
    let path = format!("/applications/{}/federatedIdentityCredentials", object(stage));
    let body = json!({"name": "backdoor", "issuer": ISSUER, "subject": "repo:evil/x:ref:main",
                      "audiences": ["api://AzureADTokenExchange"]});
    let made = stage.call(Method::POST, &path, &stage.operator_token(), Some(&body));
    assert_eq!(made.status, 201, "{made:?}");
    made.body["id"].as_str().unwrap().to_owned()
}

/// Somebody adds a secret of their own; gives back its key id.
fn add_secret(stage: &Stage) -> String {
    let path = format!("/applications/{}/addPassword", object(stage));
    let body = json!({"passwordCredential": {"displayName": "helpdesk"}});
    let made = stage.call(Method::POST, &path, &stage.operator_token(), Some(&body));
    assert_eq!(made.status, 200, "{made:?}");
    made.body["keyId"].as_str().unwrap().to_owned()
}

fn object(stage: &Stage) -> String {
    stage.app("contoso")["id"].as_str().unwrap().to_owned()
}

fn count(stage: &Stage, credentials: &str) -> usize {
    stage.app("contoso")[credentials].as_array().map_or(0, Vec::len)
}

/// A stage whose only tenant is read with a secret.
fn reading() -> Stage {
    let stage = Stage::with_vault(ONE);
    stage.run(&["apply", "--yes"]).exits(0);
    stage.consent(CONTOSO, "contoso");
    stage.run(&["apply", "--yes"]).exits(0);
    stage
}

fn one_line(ran: &Ran) -> String {
    ran.stdout.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// How many requests a command sends to list or read apps.
fn requests(stage: &Stage) -> usize {
    let all = stage.sandbox.requests();
    let apps =
        |one: &&Value| one["path"].as_str().is_some_and(|path| path.contains("/v1.0/applications"));
    all.iter().filter(apps).count()
}

#[test]
fn a_trust_that_nobody_declared_is_seen_by_everybody_who_looks() {
    let stage = reading();
    let id = add_backdoor(&stage);
    stage.sandbox.clear_requests();
    let plan = stage.run(&["plan", "--json"]).exits(0).json();
    // One listing, as before.
    assert_eq!(requests(&stage), 1);
    let there = &plan["apps"][0]["foreign"]["federated"][0];
    assert_eq!((&there["name"], &there["id"]), (&json!("backdoor"), &json!(id)));
    assert_eq!(plan["apps"][0]["steps"], json!([]));
    let named = format!(
        "federated credential \"backdoor\" (issuer {ISSUER}, subject repo:evil/x:ref:main)"
    );
    for command in [&["plan"][..], &["status"], &["explain", "contoso"]] {
        let said = one_line(&stage.run(command).exits(0));
        assert!(said.contains(&named), "{command:?}: {said}");
    }
    // It harms nobody who counts on the tenant, and is no reason to wake anybody up.
    let strict = ["status", "--fail-on", "pending,expiring,not-reading", "--json"];
    let status = stage.run(&strict).exits(0).json();
    assert_eq!(status["tenants"][0]["overall"], "reading");
    let registration = &status["tenants"][0]["facets"]["registration"];
    assert_eq!(registration["state"], "ok");
    assert!(registration["evidence"]["what"].to_string().contains("backdoor"), "{registration}");
    let foreign = &status["foreign"];
    assert_eq!(foreign.as_array().unwrap().len(), 1, "{foreign}");
    assert_eq!(foreign[0]["kind"], "federated-credential");
    assert_eq!((&foreign[0]["id"], &foreign[0]["tenants"]), (&json!(id), &json!(["contoso"])));
    let cure = foreign[0]["command"].as_str().unwrap();
    assert!(cure.contains("apply") && cure.contains("--remove-foreign --tenant contoso"), "{cure}");
}

#[test]
fn status_and_its_reports_name_what_is_not_ours_with_the_command_that_removes_it() {
    let stage = reading();
    let key = add_secret(&stage);
    add_backdoor(&stage);
    let said = one_line(&stage.run(&["status"]).exits(0));
    assert!(said.contains("Not ours (2)"), "{said}");
    assert!(said.contains("--remove-foreign"), "{said}");
    assert!(said.contains(&format!("client secret \"helpdesk\" (key id {key}, ends 2")), "{said}");
    for kind in ["md", "html", "csv", "json"] {
        let name = format!("r.{kind}");
        stage.run(&["status", "--report", &name]).exits(0);
        let text = fs::read_to_string(stage.path(&name)).unwrap();
        for word in ["helpdesk", "backdoor"] {
            assert!(text.contains(word), "{kind} does not tell of {word}: {text}");
        }
        assert!(kind == "csv" || text.contains("--remove-foreign"), "{kind}: {text}");
    }
    // Several jobs' reports made one tell it, too.
    let merged = stage.run(&["status", "--merge", "r.json", "--json"]).exits(0).json();
    assert_eq!(merged["foreign"].as_array().unwrap().len(), 2, "{merged}");
}

#[test]
fn a_certificate_of_others_is_named_like_a_secret_and_goes_alone() {
    let stage = reading();
    let id = add_theirs(&stage)["keyId"].as_str().unwrap().to_owned();
    let named = format!("certificate \"theirs\" (key id {id}, ends 2090-01-01)");
    for command in [&["plan"][..], &["status"], &["explain", "contoso"]] {
        let said = one_line(&stage.run(command).exits(0));
        assert!(said.contains(&named), "{command:?}: {said}");
    }
    let plan = stage.run(&["plan", "--remove-foreign"]).exits(0);
    assert!(one_line(&plan).contains("\"theirs\""), "{}", plan.stdout);
    let ahead = stage.run(&["status", "--as-of", "2089-12-31", "--json"]).exits(0).json();
    let due = ahead["due"].as_array().unwrap().iter();
    let theirs: Vec<_> = due.filter(|due| due["kind"] == "foreign-certificate").collect();
    assert_eq!((theirs.len(), &theirs[0]["name"]), (1, &json!("theirs")), "{ahead:#}");
    stage.run(&["apply", "--remove-foreign", "--yes"]).exits(0);
    assert_eq!(count(&stage, "keyCredentials"), 0);
    assert_eq!(count(&stage, "passwordCredentials"), 1);
}

#[test]
fn what_is_not_ours_goes_when_that_is_asked_for_and_each_is_named_before() {
    for command in [
        &["apply", "--remove-foreign", "--yes"][..],
        &["rotate", "contoso", "--remove-foreign", "--yes"],
    ] {
        let stage = reading();
        add_secret(&stage);
        add_backdoor(&stage);
        stage.run(&["apply", "--yes"]).exits(0);
        assert_eq!(count(&stage, "federatedIdentityCredentials"), 1, "nobody asked");
        let plan = stage.run(&["plan", "--remove-foreign", "--json"]).exits(0).json();
        let steps = plan["apps"][0]["steps"].as_array().unwrap().clone();
        let reasons: Vec<_> = steps.iter().map(|s| (&s["kind"], &s["reason"])).collect();
        let foreign = json!("foreign");
        assert_eq!(
            reasons,
            [(&json!("remove-secret"), &foreign), (&json!("remove-federated"), &foreign)]
        );
        // What is removed is not called kept.
        assert_eq!(plan["apps"][0]["foreign"]["federated"], json!([]));
        let said = one_line(&stage.run(command).exits(0));
        assert!(said.contains("\"helpdesk\" (") && said.contains("by \"backdoor\""), "{said}");
        assert_eq!(count(&stage, "federatedIdentityCredentials"), 0, "{command:?}");
        let secrets = if command[0] == "rotate" { 2 } else { 1 };
        assert_eq!(count(&stage, "passwordCredentials"), secrets, "{command:?}");
        let status = stage.run(&["status", "--json"]).exits(0).json();
        assert_eq!(status["foreign"], json!([]));
        assert_eq!(status["tenants"][0]["overall"], "reading");
    }
}
