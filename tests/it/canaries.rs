//! Law 7: no secret value is anywhere but in the vault's sealed blocks and where `reveal` puts it.

use std::{
    collections::HashMap,
    fmt,
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose};
use serde_json::{Value, json};

use crate::{
    asking::{Asked, Asking, asked},
    stage::{CONTOSO, MANIFEST, ONE, Ran, Stage, WOODGROVE, directory_mut},
};

/// How much of a value is already too much.
const FRAGMENT: usize = 16;

/// What every age identity begins with.
const KEY: &str = "AGE-SECRET-KEY-1";

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
        let form = exchange["request"]["body"].as_str().unwrap_or_default();
        for (name, value) in url::form_urlencoded::parse(form.as_bytes()) {
            let what = match &*name {
                "code" => "a code",
                "code_verifier" => "a verifier",
                "refresh_token" => "a refresh token",
                _ => continue,
            };
            all.push(Canary { what, value: value.into_owned(), allowed: None });
        }
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
        // What every key begins with is said where one is missing.
        let value = text.lines().find_map(|line| line.strip_prefix(KEY)).unwrap().to_owned();
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
    silence_but_for(stage, runs, &[]);
}

/// The same where people opened these links: what is in them stands once on stderr, for them, and
/// nowhere else.
#[track_caller]
fn silence_but_for(stage: &Stage, runs: &[Ran], links: &[String]) {
    let mut canaries = canaries(stage);
    for link in links {
        for (name, value) in url::Url::parse(link).unwrap().query_pairs() {
            let what = match &*name {
                "state" => "a state",
                "code_challenge" => "a challenge",
                _ => continue,
            };
            canaries.push(Canary { what, value: value.into_owned(), allowed: None });
        }
    }
    let mut places: Vec<(String, Option<PathBuf>, String)> = Vec::new();
    for run in runs {
        let seen: Vec<u8> = run.seen_as.iter().flatten().copied().collect();
        assert!(!seen.is_empty(), "tenantry {} was never looked at", run.arguments);
        let name = |part: &str| format!("{part} of tenantry {}", run.arguments);
        places.push((name("stdout"), None, run.stdout.clone()));
        let mut stderr = run.stderr.clone();
        for link in links {
            stderr = stderr.replacen(link.as_str(), "", 1);
        }
        places.push((name("stderr"), None, stderr));
        places.push((name("arguments"), None, String::from_utf8_lossy(&seen).into_owned()));
    }
    for file in files(stage.folder.path()) {
        let text = String::from_utf8_lossy(&std::fs::read(&file).unwrap()).into_owned();
        places.push((file.display().to_string(), Some(file), text));
    }
    // Many windows of many values in much text: every place is read once, against all of them.
    let mut windows: HashMap<Vec<u8>, Vec<&Canary>> = HashMap::new();
    for canary in &canaries {
        for needle in canary.needles() {
            assert_eq!(needle.len(), FRAGMENT, "{canary:?} is too short to be looked for");
            windows.entry(needle.into_bytes()).or_default().push(canary);
        }
    }
    let mut found = Vec::new();
    for (name, file, text) in &places {
        let hits = text.as_bytes().windows(FRAGMENT).filter_map(|window| windows.get(window));
        for canary in hits.flatten() {
            if canary.allowed.is_none() || *file != canary.allowed {
                found.push(format!("{} is in {name}", canary.what));
            }
        }
    }
    found.sort();
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
    run(&["reveal", "nobody"], 64);
    run(&["incidents", "-vv", "--checkpoint", "seen"], 0);
    run(&["export", "--format", "sentinel"], 0);
    run(&["export", "--tenant", "contoso", "--format", "json", "-vv"], 0);
    // Where the values are meant to be, which is then put away.
    for format in ["splunk", "elastic", "wazuh", "env"] {
        run(
            &["export", "contoso", "adatum", "--format", format, "--out", "out", "-vv"],
            match format {
                "splunk" | "env" => 0,
                _ => 1,
            },
        );
        let out = stage.path("out");
        std::fs::remove_dir_all(&out).or_else(|_| std::fs::remove_file(&out)).unwrap();
    }
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
    fail(faults.clone(), &["incidents", "-vv"]).exits(1);
    fail(faults, &["explain", "contoso"]).exits(0);
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
    for wrong in [format!("{KEY}{}X", key.value), format!("./{KEY}{}", key.value)] {
        for arguments in [["reveal", "contoso"], ["doctor", "-vv"], ["apply", "--yes"]] {
            let mut command = stage.command(&arguments);
            command.env("TENANTRY_AGE_IDENTITY", &wrong);
            let ran = crate::stage::finish(command, &arguments);
            assert!(ran.code != 0 || arguments[0] == "apply", "{ran:?}");
            runs.push(ran);
        }
    }
    silence(&stage, &runs);
}

/// The manifest, where the administrator and the analyst of tailspin are asked by `consent`.
fn with_people() -> String {
    MANIFEST.replace("connector: mssp-siem}", "connector: mssp-siem, consent: {strategy: browser}}")
}

const TAILSPIN: &str = "6f1c0f5e-0000-4000-8000-000000000003";

/// Every kind of what a sign-in brings, under its name.
#[track_caller]
fn all_kinds(stage: &Stage) {
    let (mut sent, mut given) = (String::new(), String::new());
    for exchange in stage.sandbox.traffic() {
        sent.push_str(exchange["request"]["body"].as_str().unwrap_or_default());
        sent.push('&');
        given.push_str(&exchange["response"]["body"].to_string());
    }
    for kind in ["&code=", "&code_verifier=", "&refresh_token="] {
        assert!(sent.contains(kind), "no {kind} was ever sent");
    }
    for kind in ["\"access_token\":", "\"refresh_token\":"] {
        assert!(given.contains(kind), "no {kind} was ever given");
    }
}

#[test]
fn no_run_tells_a_token_or_what_leads_to_one() {
    let stage = Stage::with_vault(&with_people());
    let mut runs = vec![stage.run(&["apply", "--yes", "-vv", "--report", "apply.html"]).exits(0)];
    let Asked { ran, links, landed } = asked(&stage, &["consent", "tailspin", "--paste", "-vv"]);
    runs.push(ran.exits(0));
    // The administrator's, then the analyst's.
    assert_eq!((links.len(), landed.len()), (2, 2));
    stage.consent(CONTOSO, "contoso");
    let mut run = |arguments: &[&str], code: i32| {
        runs.push(stage.run(arguments).exits(code));
    };
    run(&["status", "-vv", "--json", "--report", "status.json"], 0);
    run(&["status", "-vv", "--report", "status.html"], 0);
    run(&["status", "--since-last", "--report", "status.md"], 0);
    run(&["status", "--pending", "sign-in", "--report", "status.csv"], 0);
    run(&["tokens", "refresh", "-vv"], 0);
    run(&["tokens", "refresh", "-vv", "--json"], 0);
    run(&["explain", "tailspin", "-vv"], 0);
    run(&["explain", "tailspin", "--json"], 0);
    run(&["attest", "tailspin", "--by", "Dana", "--ticket", "CHG-1", "-vv"], 0);
    run(&["plan", "--full", "-vv", "--report", "plan.html"], 0);
    run(&["plan", "--json", "--report", "plan.json"], 0);
    run(&["plan", "--report", "plan.csv"], 0);
    run(&["doctor", "-vv"], 0);
    run(&["doctor", "--json"], 0);
    run(&["export", "tailspin", "--format", "consent-page", "--out", "landing.html"], 0);
    run(&["apply", "--yes", "--json", "-vv", "--report", "again.json"], 0);
    run(&["apply", "--yes", "-vv", "--report", "again.md"], 0);
    // What dies says so.
    stage.change_world(|world| {
        directory_mut(world, TAILSPIN)["signIn"] = json!({"policy": "block"})
    });
    run(&["tokens", "refresh", "-vv"], 1);
    run(&["status", "-vv", "--json", "--report", "dead.html"], 0);
    all_kinds(&stage);
    silence_but_for(&stage, &runs, &links);
}

/// Answers that never come to their end, services that repeat what they were sent, and people who
/// paste what does not belong there.
#[test]
fn no_failing_run_tells_a_token_either() {
    let stage = Stage::with_vault(&with_people());
    let (mut runs, mut links) = (vec![stage.run(&["apply", "--yes"]).exits(0)], Vec::new());
    let fault = |matching: &str, act: Value| {
        stage.sandbox.clear_faults();
        let faults = json!([{"operation": "login.token", "match": {"body": matching}, "times": 99, "do": act}]);
        stage.sandbox.add_faults(&faults).unwrap();
    };
    let consent: [&[&str]; 2] =
        [&["consent", "tailspin", "--paste", "-vv"], &["consent", "tailspin", "--paste", "--json"]];
    // The first is before the administrator's consent, the others are after it.
    let acts = [
        json!({"echo": 400}),
        json!({"echo": 401}),
        json!({"echo": 403}),
        json!("garbage"),
        json!("cut-after"),
    ];
    for (number, act) in acts.into_iter().enumerate() {
        fault("grant_type=authorization_code", act);
        let told = asked(&stage, consent[number % 2]);
        assert!(!told.links.is_empty());
        links.extend(told.links);
        runs.push(told.ran);
    }
    stage.sandbox.clear_faults();
    // A code with a state that nobody gave, and one that was pasted twice in one address.
    for spoil in [
        |state: &str| format!("state={state}x"),
        |state: &str| format!("state={state}&code=1.Aother"),
    ] {
        let mut asking = Asking::start(&stage, &["consent", "tailspin", "--paste", "-vv"]);
        let link = asking.next_link().unwrap();
        let state = parameter(&link, "state");
        let tenantry::sandbox::Opened::Landed(address) = stage.sandbox.open(&link) else {
            panic!("{link}")
        };
        asking.paste(&address.replace(&format!("state={state}"), &spoil(&state)));
        links.append(&mut asking.links);
        let ran = asking.finish();
        assert!(ran.stderr.contains("not taken"), "{ran:?}");
        runs.push(ran);
    }
    // Nobody who may: another user than the manifest names.
    stage.change_world(|world| {
        directory_mut(world, TAILSPIN)["people"] = json!({"signsInAs": "admin@tailspin.example"});
    });
    let told = asked(&stage, &["consent", "tailspin", "--paste", "-vv", "--json"]);
    links.extend(told.links);
    runs.push(told.ran);
    stage.change_world(|world| directory_mut(world, TAILSPIN)["people"] = json!({}));
    let told = asked(&stage, &["consent", "tailspin", "--paste", "-vv"]);
    links.extend(told.links);
    runs.push(told.ran.exits(0));
    // Held now, and used.
    let used: [&[&str]; 5] = [
        &["tokens", "refresh", "-vv"],
        &["status", "-vv", "--json", "--report", "failing.html"],
        &["tokens", "refresh", "--json"],
        &["explain", "tailspin", "-vv"],
        &["apply", "--yes", "--json", "-vv", "--report", "failing.csv"],
    ];
    // A secret of this minute is tried again before it is given up: few runs, for they are long.
    for (status, runs_of_it) in [(400, 5), (401, 1), (403, 1)] {
        fault("grant_type=refresh_token", json!({"echo": status}));
        for arguments in &used[..runs_of_it] {
            runs.push(stage.run(arguments));
        }
    }
    // An answer that lacks what it is for; nobody asked for an id token, and here is one.
    let signature = "c2lnbmF0dXJlLW9mLWFuLWlkLXRva2VuLXRoYXQtbm9ib2R5LWFza2Vk";
    let unfinished = json!({"status": 200, "body": {
        "token_type": "Bearer", "expires_in": 3600, "refresh_token": "1.AnUnfinishedAnswersRefreshToken",
        "id_token": format!("eyJ0eXAiOiJKV1QifQ.eyJzdWIiOiJ4In0.{signature}"),
    }});
    for act in [json!("garbage"), json!("cut-after"), unfinished] {
        fault("grant_type=refresh_token", act);
        for arguments in &used[..1] {
            runs.push(stage.run(arguments));
        }
    }
    assert!(stage.sandbox.traffic().iter().any(|e| e.to_string().contains(signature)));
    // Graph repeats the analyst's token.
    stage.sandbox.clear_faults();
    let faults = json!([{"operation": "incident.list", "times": 99, "do": {"echo": 403}}]);
    stage.sandbox.add_faults(&faults).unwrap();
    for arguments in used {
        runs.push(stage.run(arguments));
    }
    stage.sandbox.clear_faults();
    runs.push(stage.run(&["tokens", "refresh", "-vv"]).exits(0));
    assert!(runs.iter().any(|ran| ran.stdout.contains("[concealed]")));
    all_kinds(&stage);
    silence_but_for(&stage, &runs, &links);
}

/// A parameter of a link.
fn parameter(link: &str, name: &str) -> String {
    let link = url::Url::parse(link).unwrap();
    link.query_pairs().find(|(known, _)| known == name).unwrap().1.into_owned()
}

#[test]
fn reveal_prints_the_refresh_token_that_was_asked_for() {
    let stage = Stage::with_vault(&with_people());
    stage.run(&["apply", "--yes"]).exits(0);
    asked(&stage, &["consent", "tailspin", "--paste"]).ran.exits(0);
    let reveal = ["reveal", "tailspin", "--field", "refresh-token"];
    let shown = stage.run(&reveal).exits(0);
    let value = shown.stdout.trim_end_matches('\n');
    assert_eq!(shown.stdout.lines().count(), 1);
    for secret in stage.sandbox.issued_secrets() {
        assert!(!shown.stderr.contains(secret.as_str()));
        assert!(secret == value || !shown.stdout.contains(secret.as_str()));
    }
    // It is the one that the directory would take.
    let world = stage.sandbox.world();
    let hash = tenantry::sandbox::secret_hash(value);
    assert!(crate::stage::directory(&world, TAILSPIN)["refreshTokens"].to_string().contains(&hash));
    // The value that `reveal` without a field prints is another one.
    assert_ne!(stage.run(&["reveal", "tailspin"]).exits(0).stdout, shown.stdout);
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
