//! Apps that sign in without a client secret: with a token of an issuer that they trust.
//!
//! What became of an app is asked of the sandbox's world; the real binary does everything, with its
//! values in a folder and in a key vault alike.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use reqwest::Method;
use serde_json::{Value, json};

use crate::stage::{CONTOSO, ONE, Ran, Stage, finish};

const ISSUER: &str = "https://issuer.example";
const AUDIENCE: &str = "api://AzureADTokenExchange";

/// The two kinds of vault.
const VAULTS: [&str; 2] =
    ["vault: {path: vault}", "vault: {keyVault: 'https://acme-soc.vault.azure.net'}"];

/// One tenant whose app trusts these.
fn trusting(issuers: &str) -> String {
    let credential = format!("credential: federated, federated: [{issuers}], ");
    ONE.replace("defaults: {", &format!("defaults: {{{credential}"))
}

/// An issuer of the manifest.
fn issuer(subject: &str) -> String {
    format!("{{issuer: '{ISSUER}', subject: {subject}}}")
}

/// A token as an issuer gives it; the sandbox knows no issuer's keys.
fn token(subject: &str) -> String {
    let claims = json!({"iss": ISSUER, "sub": subject, "aud": AUDIENCE, "exp": 4_102_444_800_i64});
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.canary", part(&json!({"alg": "RS256"})), part(&claims))
}

/// Runs the binary where the issuer gives a token of this subject.
fn run_as(stage: &Stage, subject: &str, arguments: &[&str]) -> Ran {
    std::fs::write(stage.path("token"), token(subject)).unwrap();
    let mut command = stage.command(arguments);
    command.env("AZURE_FEDERATED_TOKEN_FILE", stage.path("token"));
    finish(command, arguments)
}

/// The subjects that the app trusts, and what the credentials are called.
fn trusted(stage: &Stage) -> Vec<(String, String)> {
    let app = stage.app("contoso");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let all = app["federatedIdentityCredentials"].as_array().cloned().unwrap_or_default();
    all.iter().map(|one| (text(&one["subject"]), text(&one["name"]))).collect()
}

fn subjects(stage: &Stage) -> Vec<String> {
    trusted(stage).into_iter().map(|(subject, _)| subject).collect()
}

#[track_caller]
fn facet(ran: &Ran, name: &str) -> Value {
    ran.json()["tenants"][0]["facets"][name].clone()
}

fn write_manifest(stage: &Stage, manifest: &str) {
    std::fs::write(stage.path("manifest.yaml"), manifest).unwrap();
}

#[test]
fn an_app_without_a_secret_reads_where_its_issuer_gives_a_token() {
    for vault in VAULTS {
        let manifest = trusting(&issuer("soc")).replace(VAULTS[0], vault);
        let stage = Stage::with_vault(&manifest);
        let planned = stage.run(&["plan", "--json"]).exits(0).json();
        let kinds: Vec<_> =
            planned["apps"][0]["steps"].as_array().unwrap().iter().map(|s| &s["kind"]).collect();
        assert_eq!(kinds, ["create-application", "add-federated"]);
        stage.run(&["apply", "--yes"]).exits(0);
        assert_eq!(subjects(&stage), ["soc"]);
        assert_eq!(stage.app("contoso")["passwordCredentials"], json!([]));
        // Nothing is left to do, and nothing more is asked than of a fleet with secrets.
        let again = stage.run(&["plan", "--json"]).exits(0).json();
        assert_eq!(again["summary"]["unchanged"], 1, "{again}");

        // Before consent nobody can tell more, wherever it runs.
        let there = run_as(&stage, "soc", &["status", "--json"]);
        assert_eq!(facet(&there, "secret")["waitingFor"], "customer-admin");
        assert_eq!(facet(&there, "consent")["waitingFor"], "customer-admin");
        stage.consent(CONTOSO, "contoso");

        // Where no issuer gives a token, nothing is said to be good, and who can tell is named.
        let elsewhere = stage.run(&["status", "--json"]).exits(0);
        for name in ["secret", "consent", "access"] {
            assert_eq!(facet(&elsewhere, name)["state"], "unknown", "{name}");
        }
        assert_eq!(facet(&elsewhere, "secret")["nextStep"]["who"], "soc");
        let link = facet(&elsewhere, "consent")["nextStep"]["link"].clone();
        assert!(link.as_str().unwrap().contains("/adminconsent"), "{link}");
        let other = run_as(&stage, "intern", &["status", "--json"]);
        assert_eq!(facet(&other, "secret")["state"], "unknown");
        let why = facet(&other, "secret")["evidence"]["what"].to_string();
        assert!(why.contains("intern") && why.contains("does not trust"), "{why}");

        let there = run_as(&stage, "soc", &["status", "--json"]).exits(0);
        for name in ["registration", "secret", "consent", "access"] {
            assert_eq!(facet(&there, name)["state"], "ok", "{name}");
        }
        assert_eq!(facet(&there, "secret")["evidence"]["kind"], "proved");
        assert!(facet(&there, "secret").get("ends").is_none());
        let read = run_as(&stage, "soc", &["incidents"]).exits(0);
        // Whose incidents could be read is missed where they cannot be.
        let missed = stage.run(&["incidents"]).exits(1);
        assert!(missed.stderr.contains("no issuer gives a token here"), "{}", missed.stderr);
        assert!(!read.lines().is_empty() && !read.stderr.contains("canary"), "{}", read.stderr);

        let left_out = stage.run(&["export", "contoso", "--format", "env"]);
        let told = format!("{}{}", left_out.stdout, left_out.stderr);
        assert!(told.contains("it has no secret"), "{told}");
    }
}

#[test]
fn only_our_own_trust_is_changed_and_taken_away() {
    for vault in VAULTS {
        let write = |stage: &Stage, manifest: &str| {
            write_manifest(stage, &manifest.replace(VAULTS[0], vault));
        };
        let both = format!("{}, {}", issuer("soc"), issuer("night-shift"));
        let stage = Stage::with_vault(&trusting(&both).replace(VAULTS[0], vault));
        stage.run(&["apply", "--yes"]).exits(0);
        assert_eq!(subjects(&stage), ["soc", "night-shift"]);
        // Somebody adds one of their own, and turns one of ours to a subject of theirs.
        let app = stage.app("contoso")["id"].as_str().unwrap().to_owned();
        let operator = stage.operator_token();
        let theirs = json!({"name": "their-pipeline", "issuer": ISSUER, "subject": "theirs",
                            "audiences": [AUDIENCE]});
        let path = format!("/applications/{app}/federatedIdentityCredentials");
        let answer = stage.call(Method::POST, &path, &operator, Some(&theirs));
        assert_eq!(answer.status, 201, "{answer:?}");
        let (_, ours) = trusted(&stage)[0].clone();
        let bent = format!("{path}(name='{ours}')");
        let answer = stage.call(Method::PATCH, &bent, &operator, Some(&json!({"subject": "bent"})));
        assert_eq!(answer.status, 204, "{answer:?}");
        let planned = stage.run(&["plan", "--json"]).exits(0).json();
        assert_eq!(planned["apps"][0]["steps"][0]["kind"], "update-federated");
        assert_eq!(planned["apps"][0]["foreign"]["federated"][0]["name"], "their-pipeline");
        stage.run(&["apply", "--yes"]).exits(0);
        assert_eq!(subjects(&stage), ["soc", "night-shift", "theirs"]);

        // One leaves the manifest, another comes; another audience is no other credential.
        let moved = format!(
            "{{issuer: '{ISSUER}', subject: soc, audience: 'api://other'}}, {}",
            issuer("day-shift")
        );
        write(&stage, &trusting(&moved));
        stage.run(&["apply", "--yes"]).exits(0);
        assert_eq!(subjects(&stage), ["soc", "theirs", "day-shift"]);
        let all = stage.app("contoso")["federatedIdentityCredentials"].clone();
        assert_eq!(all[0]["audiences"], json!(["api://other"]));

        // A secret after all: once the overlap is over ours go, also when the run is cut before.
        write(&stage, ONE);
        stage.consent(CONTOSO, "contoso");
        stage.run(&["apply", "--yes"]).exits(0);
        assert_eq!(subjects(&stage), ["soc", "theirs", "day-shift"]);
        stage.sandbox.advance("P8D").unwrap();
        stage
            .sandbox
            .add_faults(&json!([{"operation": "application.removeFederatedCredential",
                                 "do": {"status": 400}}]))
            .unwrap();
        stage.run(&["apply", "--yes"]).exits(1);
        stage.run(&["apply", "--yes"]).exits(0);
        assert_eq!(subjects(&stage), ["theirs"]);
        assert_eq!(stage.app("contoso")["passwordCredentials"].as_array().unwrap().len(), 1);
    }
}

#[test]
fn a_trust_stays_until_what_replaces_it_was_accepted_and_the_overlap_is_over() {
    for vault in VAULTS {
        let stage = Stage::with_vault(&trusting(&issuer("soc")).replace(VAULTS[0], vault));
        stage.run(&["apply", "--yes"]).exits(0);
        stage.consent(CONTOSO, "contoso");
        run_as(&stage, "soc", &["apply", "--yes"]).exits(0);
        write_manifest(&stage, &ONE.replace(VAULTS[0], vault));
        // Nobody can tell whether the new secret is taken: whoever reads by tokens goes on.
        let silent = json!([{"operation": "login.token", "match": {"tenant": CONTOSO},
                             "times": 1000, "do": {"status": 503}}]);
        stage.sandbox.add_faults(&silent).unwrap();
        for _ in 0..2 {
            stage.run(&["apply", "--yes"]);
            assert_eq!(stage.app("contoso")["passwordCredentials"].as_array().unwrap().len(), 1);
            assert_eq!(subjects(&stage), ["soc"]);
            stage.sandbox.advance("P8D").unwrap();
        }
        stage.sandbox.clear_faults();
        stage.run(&["apply", "--yes"]).exits(0);
        assert_eq!(subjects(&stage), ["soc"]);
        stage.run(&["plan", "--detailed-exitcode"]).exits(0);
        stage.sandbox.advance("P8D").unwrap();
        stage.run(&["apply", "--yes"]).exits(0);
        assert_eq!(subjects(&stage), Vec::<String>::new());
        assert_eq!(stage.app("contoso")["passwordCredentials"].as_array().unwrap().len(), 1);
    }
}

#[test]
fn who_has_no_secret_is_told_that_there_is_none_to_rotate() {
    for vault in VAULTS {
        let manifest = trusting(&issuer("soc")).replace(VAULTS[0], vault);
        let stage = Stage::with_vault(&manifest);
        let refused = |arguments: &[&str]| {
            let ran = stage.run(arguments).exits(64);
            let said = ran.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
            for word in
                ["there is no secret to rotate", "contoso signs in", "`credential: federated`"]
            {
                assert!(said.contains(word), "{said}");
            }
        };
        // Neither before it exists nor after.
        refused(&["rotate", "contoso", "--yes"]);
        stage.run(&["apply", "--yes"]).exits(0);
        stage.sandbox.clear_requests();
        refused(&["rotate", "contoso", "--yes"]);
        refused(&["rotate", "--all", "--now", "--revoke-old", "--yes"]);
        assert!(stage.sandbox.requests().iter().all(|request| request["graphWrite"] != true));
        assert_eq!(subjects(&stage), ["soc"]);

        // Beside one that has a secret it is no hindrance, and is said.
        let credential = format!("credential: federated, federated: [{}]", issuer("soc"));
        let both = ONE.replace("contoso.example}", &format!("contoso.example, {credential}}}"));
        let adatum = "  adatum: {name: Adatum, domain: adatum.example}\n";
        write_manifest(&stage, &format!("{both}{adatum}").replace(VAULTS[0], vault));
        stage.run(&["apply", "--yes"]).exits(0);
        let ran = stage.run(&["rotate", "--all", "--yes"]).exits(0);
        assert!(ran.stderr.contains("contoso: there is no secret to rotate"), "{}", ran.stderr);
        assert!(!ran.stderr.contains("adatum: there is no secret"), "{}", ran.stderr);
        assert_eq!(stage.app("adatum")["passwordCredentials"].as_array().unwrap().len(), 2);
        assert_eq!(stage.app("contoso")["passwordCredentials"], json!([]));
    }
}

#[test]
fn a_secret_of_before_that_still_opens_an_app_is_not_said_to_be_none() {
    for vault in VAULTS {
        let of = |manifest: &str| manifest.replace(VAULTS[0], vault);
        let stage = Stage::with_vault(&of(ONE));
        stage.run(&["apply", "--yes"]).exits(0);
        write_manifest(&stage, &of(&trusting(&issuer("soc"))));
        stage.run(&["apply", "--yes"]).exits(0);
        let before = stage.app("contoso")["passwordCredentials"].clone();
        assert_eq!(before.as_array().unwrap().len(), 1);
        let leaked = ["rotate", "contoso", "--now", "--revoke-old", "--yes"];
        let ran = stage.run(&leaked).exits(64);
        let said = ran.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains("a client secret of ours can still open the app"), "{said}");
        assert!(said.contains("Certificates & secrets"), "{said}");
        assert_eq!(stage.app("contoso")["passwordCredentials"], before);
    }
}

#[test]
fn what_an_app_signed_in_with_before_goes_once_its_issuers_tokens_are_accepted() {
    for (vault, before) in
        VAULTS.iter().flat_map(|vault| [(vault, "secret"), (vault, "certificate")])
    {
        let kind = if before == "secret" { "passwordCredentials" } else { "keyCredentials" };
        let manifest = |credential: &str| {
            let manifest = ONE.replace("defaults: {", &format!("defaults: {{{credential}, "));
            manifest.replace(VAULTS[0], vault)
        };
        let stage = Stage::with_vault(&manifest(&format!("credential: {before}")));
        stage.run(&["apply", "--yes"]).exits(0);
        stage.consent(CONTOSO, "contoso");
        stage.run(&["apply", "--yes"]).exits(0);
        let left = |stage: &Stage| stage.app("contoso")[kind].as_array().unwrap().len();
        write_manifest(
            &stage,
            &manifest(&format!("credential: federated, federated: [{}]", issuer("soc"))),
        );
        stage.run(&["apply", "--yes"]).exits(0);
        // Where no issuer gives a token nothing is known of it, however long ago it was made.
        stage.sandbox.advance("P20D").unwrap();
        let planned = stage.run(&["plan", "--json"]).exits(0).json();
        assert_eq!(planned["apps"][0]["steps"], json!([]));
        assert!(planned["apps"][0]["diagnostics"].to_string().contains("secrets-left"));
        stage.run(&["apply", "--yes"]).exits(0);
        assert_eq!(left(&stage), 1);
        // There it is tried, and the overlap begins.
        run_as(&stage, "intern", &["apply", "--yes"]).exits(0);
        run_as(&stage, "soc", &["apply", "--yes"]).exits(0);
        let planned = stage.run(&["plan", "--json"]).exits(0).json();
        assert_eq!(planned["summary"]["unchanged"], 1, "{planned}");
        assert!(!planned["apps"][0]["diagnostics"].to_string().contains("secrets-left"));
        let told = run_as(&stage, "soc", &["status"]).exits(0).stdout;
        let told = told.split_whitespace().collect::<Vec<_>>().join(" ");
        let must = "must sign in before with a token that the app takes";
        assert_eq!(told.contains(must), before == "secret", "{told}");
        stage.sandbox.advance("P6D").unwrap();
        run_as(&stage, "soc", &["apply", "--yes"]).exits(0);
        assert_eq!(left(&stage), 1);
        stage.sandbox.advance("P2D").unwrap();
        run_as(&stage, "soc", &["apply", "--yes"]).exits(0);
        assert_eq!(left(&stage), 0);
        let status = run_as(&stage, "soc", &["status", "--json"]).exits(0);
        assert_eq!(facet(&status, "access")["state"], "ok");
    }
}
