//! Law 7: no secret value is anywhere but in the vault's sealed blocks and where `reveal` puts it.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose};
use serde_json::{Value, json};

use crate::stage::{CONTOSO, MANIFEST, ONE, Ran, Stage, WOODGROVE};

/// How much of a value is already too much.
const FRAGMENT: usize = 16;

/// A value that must not be found, and the one place where it may be.
struct Canary {
    what: &'static str,
    value: String,
    allowed: Option<PathBuf>,
}

// A failing test must not print what it looks for.
impl fmt::Debug for Canary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.what)
    }
}

impl Canary {
    /// What to look for: any sixteen characters of it in a row, and its encodings.
    fn needles(&self) -> Vec<String> {
        let mut needles = Vec::new();
        let mut pieces = |text: &str| {
            let characters: Vec<char> = text.chars().collect();
            let wide = FRAGMENT.min(characters.len());
            // Half a window apart, so that no run of 24 goes unseen.
            needles.extend(
                characters
                    .windows(wide)
                    .step_by(FRAGMENT / 2)
                    .map(|w| w.iter().collect::<String>()),
            );
            needles.extend(characters.windows(wide).last().map(|w| w.iter().collect()));
        };
        pieces(&self.value);
        pieces(&url::form_urlencoded::byte_serialize(self.value.as_bytes()).collect::<String>());
        pieces(json!(self.value).to_string().trim_matches('"'));
        pieces(&self.value.bytes().map(|b| format!("{b:02x}")).collect::<String>());
        for engine in [&general_purpose::STANDARD_NO_PAD, &general_purpose::URL_SAFE_NO_PAD] {
            for shift in 0..3 {
                // Base64 depends on what stands before: the ends of each of three ways are cut off.
                let mut bytes = vec![0; shift];
                bytes.extend(self.value.as_bytes());
                let text = engine.encode(bytes);
                pieces(&text[4..text.len() - 2]);
            }
        }
        needles.sort();
        needles.dedup();
        needles
    }
}

/// All values that were ever secret on a stage.
fn canaries(stage: &Stage) -> Vec<Canary> {
    let operator = stage.sandbox.operator().client_secret;
    let env = stage.path("world").join("env");
    let mut all: Vec<Canary> = stage
        .sandbox
        .issued_secrets()
        .into_iter()
        .map(|value| match value == operator {
            // The sandbox hands its operator's secret to other clients by this file.
            true => Canary { what: "the operator's secret", value, allowed: Some(env.clone()) },
            false => Canary { what: "a secret that was issued", value, allowed: None },
        })
        .collect();
    assert!(all.iter().any(|c| c.value == operator));
    for exchange in stage.sandbox.traffic() {
        for name in ["access_token", "refresh_token", "id_token"] {
            if let Some(token) = exchange["response"]["body"][name].as_str() {
                // The parts before it are readable claims, some of which are shown on purpose.
                let signature = token.rsplit('.').next().unwrap().to_owned();
                all.push(Canary { what: "a token's signature", value: signature, allowed: None });
            }
        }
    }
    for file in files(&stage.path("config")) {
        let text = std::fs::read_to_string(&file).unwrap();
        let line = text.lines().find(|line| line.starts_with("AGE-SECRET-KEY-")).unwrap();
        let value = line.to_owned();
        all.push(Canary { what: "the vault's key", value, allowed: Some(file) });
    }
    all
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    entries
        .flat_map(|entry| {
            let path = entry.unwrap().path();
            if path.is_dir() { files(&path) } else { vec![path] }
        })
        .collect()
}

/// Looks for every canary in all that the runs showed and all that lies in the folder.
#[track_caller]
fn silence(stage: &Stage, runs: &[Ran]) {
    let canaries = canaries(stage);
    let mut places: Vec<(String, Option<PathBuf>, String)> = Vec::new();
    for run in runs {
        let seen: Vec<u8> = run.seen_as.iter().flatten().copied().collect();
        assert!(!seen.is_empty(), "tenantry {} was never looked at", run.arguments);
        let name = |part: &str| format!("{part} of tenantry {}", run.arguments);
        places.push((name("stdout"), None, run.stdout.clone()));
        places.push((name("stderr"), None, run.stderr.clone()));
        places.push((name("arguments"), None, String::from_utf8_lossy(&seen).into_owned()));
    }
    for file in files(stage.folder.path()) {
        let text = String::from_utf8_lossy(&std::fs::read(&file).unwrap()).into_owned();
        places.push((file.display().to_string(), Some(file), text));
    }
    let mut found = Vec::new();
    for canary in &canaries {
        let needles = canary.needles();
        for (name, file, text) in &places {
            if canary.allowed.is_some() && *file == canary.allowed {
                continue;
            }
            if needles.iter().any(|needle| text.contains(needle.as_str())) {
                found.push(format!("{} is in {name}", canary.what));
            }
        }
    }
    found.dedup();
    assert!(found.is_empty(), "{}", found.join("\n"));
    assert!(canaries.len() > 10 && places.len() > 20, "{} {}", canaries.len(), places.len());
}

#[test]
fn no_run_tells_a_secret() {
    let stage = Stage::with_vault(MANIFEST);
    let mut runs = Vec::new();
    let mut run = |arguments: &[&str], code: i32| {
        runs.push(stage.run(arguments).exits(code));
    };
    run(&["plan", "--full", "-vv"], 0);
    run(&["apply", "--yes", "-vv", "--report", "apply.json"], 0);
    stage.consent(CONTOSO, "contoso");
    stage.consent(WOODGROVE, "siem-eu");
    run(&["status", "-vv", "--report", "status.md"], 0);
    run(&["status", "--json", "--report", "status.csv"], 0);
    run(&["status", "--pending", "portal", "--report", "status.json"], 0);
    run(&["explain", "contoso", "-vv"], 0);
    run(&["explain", "tailspin", "--json"], 0);
    run(&["doctor", "-vv"], 0);
    run(&["doctor", "--json"], 0);
    run(&["validate", "--json"], 0);
    run(&["plan", "--json", "--report", "plan.json"], 0);
    run(&["plan", "--report", "plan.md"], 0);
    run(&["plan", "--report", "plan.csv"], 0);
    run(&["reveal", "contoso", "--field", "client-id"], 0);
    run(&["reveal", "nobody"], 1);
    stage.sandbox.advance("P340D").unwrap();
    run(&["plan", "--json"], 0);
    run(&["apply", "--yes", "--json", "-vv"], 0);
    run(&["apply", "--yes", "--json"], 0);
    silence(&stage, &runs);
}

/// Services that repeat what they were sent, and services that fail in every other way.
#[test]
fn no_failing_run_tells_a_secret() {
    let stage = Stage::with_vault(MANIFEST);
    let mut runs = Vec::new();
    let fault = |faults: Value| stage.sandbox.add_faults(&faults).unwrap();
    let echo = |operation: &str, status: u16| json!([{"operation": operation, "times": 9, "do": {"echo": status}}]);
    let mut fail = |faults: Value, arguments: &[&str]| -> Ran {
        stage.sandbox.clear_faults();
        fault(faults);
        let ran = stage.run(arguments);
        runs.push(ran.clone());
        ran
    };
    // Before there is anything.
    fail(echo("login.token", 401), &["plan", "-vv"]).exits(5);
    fail(echo("login.token", 400), &["doctor", "-vv", "--json"]).exits(5);
    fail(echo("application.list", 403), &["plan", "-vv"]).exits(5);
    fail(echo("application.list", 400), &["status", "--json", "-vv"]).exits(1);
    fail(echo("application.upsert", 400), &["apply", "--yes", "-vv"]);
    fail(echo("application.addPassword", 400), &["apply", "--yes", "--json", "-vv"]).exits(4);
    let echoed =
        fail(echo("application.addPassword", 403), &["apply", "--yes", "--report", "f.json"]);
    assert!(echoed.stderr.contains("[concealed]"), "{echoed:?}");
    for act in [json!("garbage"), json!("cut-after"), json!("cut-before"), json!("no-answer-after")]
    {
        let faults = json!([{"operation": "application.addPassword", "do": act}]);
        fail(faults, &["apply", "--yes", "-vv", "--tenant", "contoso"]);
    }
    fail(json!([]), &["apply", "--yes"]).exits(0);
    stage.consent(CONTOSO, "contoso");
    stage.consent(WOODGROVE, "siem-eu");
    // The apps' own secrets and tokens, repeated by Entra ID and by Graph.
    let id = stage.app("contoso")["appId"].as_str().unwrap().to_owned();
    let faults = json!([
        {"operation": "login.token", "match": {"body": id}, "times": 9, "do": {"echo": 401}},
        {"operation": "incident.list", "times": 9, "do": {"echo": 403}},
    ]);
    fail(faults.clone(), &["status", "-vv", "--report", "s.json"]).exits(0);
    fail(faults.clone(), &["status", "--json", "--report", "s.md"]).exits(0);
    fail(faults.clone(), &["apply", "--yes", "--json"]).exits(0);
    fail(faults, &["explain", "contoso", "--report", "s.csv"]).exits(0);
    fail(json!([{"operation": "login.token", "do": "garbage", "times": 9}]), &["plan", "-vv"]);
    // A secret that was never ours to see, in the words of an error.
    let other = stage.sandbox.issued_secrets().pop().unwrap();
    let body =
        json!({"error": {"code": other, "message": format!("the value is '{other}', sorry")}});
    let faults = json!([{"operation": "application.list", "times": 9,
                         "do": {"status": 400, "headers": {"request-id": other}, "body": body}}]);
    fail(faults.clone(), &["plan", "-vv"]).exits(1);
    fail(faults, &["doctor", "--json"]).exits(1);
    // A key that was mistyped, a secret that is wrong.
    stage.sandbox.clear_faults();
    let key = canaries(&stage).into_iter().find(|c| c.what == "the vault's key").unwrap();
    for wrong in [format!("{}X", key.value), key.value.to_lowercase(), format!("./{}", key.value)] {
        for arguments in [["reveal", "contoso"], ["doctor", "-vv"], ["apply", "--yes"]] {
            let mut command = stage.command(&arguments);
            command.env("TENANTRY_AGE_IDENTITY", &wrong);
            runs.push(crate::stage::finish(command, &arguments));
        }
    }
    silence(&stage, &runs);
}

#[test]
fn reveal_prints_the_one_value_that_was_asked_for() {
    let stage = Stage::with_vault(MANIFEST);
    stage.run(&["apply", "--yes"]).exits(0);
    let issued = stage.sandbox.issued_secrets();
    let shown = stage.run(&["reveal", "contoso"]).exits(0);
    let value = shown.stdout.trim_end_matches('\n');
    assert!(issued.iter().any(|secret| secret == value));
    assert_eq!(shown.stdout.lines().count(), 1);
    // It is the one that opens the app it was asked for.
    let hash = tenantry::sandbox::secret_hash(value);
    assert!(stage.app("contoso").to_string().contains(&hash));
    for secret in &issued {
        assert!(!shown.stderr.contains(secret.as_str()));
        assert!(secret == value || !shown.stdout.contains(secret.as_str()));
    }
    let audit = std::fs::read_to_string(stage.path("vault").join("audit.jsonl")).unwrap();
    assert!(audit.lines().last().unwrap().contains("reveal"), "{audit}");
    assert!(!audit.contains(value));
}

#[test]
fn the_sandbox_inside_a_command_tells_no_secret_either() {
    let stage = Stage::new(ONE);
    let arguments = ["apply", "--yes", "-vv", "--sandbox", "-f", "manifest.yaml"];
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tenantry"));
    command.env_clear().current_dir(stage.folder.path()).args(arguments);
    let applied = crate::stage::finish(command, &arguments).exits(0);
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tenantry"));
    let arguments = ["reveal", "contoso", "--sandbox", "-f", "manifest.yaml"];
    command.env_clear().current_dir(stage.folder.path()).args(arguments);
    let value = crate::stage::finish(command, &arguments).exits(0).stdout.trim().to_owned();
    assert_eq!(value.len(), 40);
    let canary = Canary { what: "the secret", value, allowed: None };
    let needles = canary.needles();
    let clean = |text: &str| needles.iter().all(|needle| !text.contains(needle.as_str()));
    assert!(clean(&applied.stdout) && clean(&applied.stderr));
    let kept = files(&stage.path(".tenantry"));
    assert!(kept.len() > 8, "{kept:?}");
    for file in kept {
        let text = String::from_utf8_lossy(&std::fs::read(&file).unwrap()).into_owned();
        assert!(clean(&text), "{}", file.display());
    }
}
