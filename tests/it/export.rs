//! `export`: what a SIEM is filled with opens what it should, is its owner's alone, and reaches no
//! screen unasked.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use reqwest::Method;
use serde_json::Value;

use crate::{
    asking::asked,
    stage::{CONTOSO, MANIFEST, Ran, Stage, WOODGROVE, finish},
};

const TAILSPIN: &str = "6f1c0f5e-0000-4000-8000-000000000003";

/// A fleet whose administrators of Contoso and Woodgrove have consented.
fn applied() -> Stage {
    let people = "connector: mssp-siem, consent: {strategy: browser}}";
    let stage = Stage::with_vault(&MANIFEST.replace("connector: mssp-siem}", people));
    stage.run(&["apply", "--yes"]).exits(0);
    stage.consent(CONTOSO, "contoso");
    stage.consent(WOODGROVE, "siem-eu");
    stage
}

/// The secret that `reveal` gives, by the tenants' keys.
fn revealed(stage: &Stage, key: &str) -> String {
    stage.run(&["reveal", key]).exits(0).stdout.trim().to_owned()
}

#[track_caller]
fn own(path: &Path) {
    let mode = fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600, "{}", path.display());
}

/// Nothing that was ever issued is on the screen.
#[track_caller]
fn silent(stage: &Stage, ran: &Ran) {
    for secret in stage.sandbox.issued_secrets() {
        assert!(!ran.stdout.contains(&secret) && !ran.stderr.contains(&secret), "a secret shows");
    }
}

/// Incidents can be read in a tenant with these.
#[track_caller]
fn reads(stage: &Stage, tenant: &str, client: &str, secret: &str) {
    let token = stage.token(tenant, client, secret);
    let answer = stage.call(Method::GET, "/security/incidents?$top=1", &token, None);
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// What was noted of a verb.
fn audit(stage: &Stage, verb: &str) -> Vec<Value> {
    let text = fs::read_to_string(stage.path("vault").join("audit.jsonl")).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["verb"] == verb).collect()
}

/// A curl that keeps what it reads, and answers as Splunk does to a new account.
fn curl(stage: &Stage) -> PathBuf {
    let folder = stage.path("bin");
    fs::create_dir_all(&folder).unwrap();
    let script = "#!/bin/sh\ncat >>\"$(dirname \"$0\")/read\"\nprintf 201\n";
    fs::write(folder.join("curl"), script).unwrap();
    fs::set_permissions(folder.join("curl"), fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

#[test]
fn splunk_is_given_what_opens_each_customer() {
    let stage = applied();
    let ran = stage.run(&["export", "--format", "splunk", "--out", "siem", "-vv"]).exits(1);
    silent(&stage, &ran);
    assert!(ran.stderr.contains("1 of 5 left out; the others are written"), "{}", ran.stderr);
    assert!(ran.stderr.contains("tailspin: Splunk's add-on has no field for a refresh token"));
    let (script, inputs) = (stage.path("siem/create-accounts.sh"), stage.path("siem/inputs.conf"));
    own(&script);
    own(&inputs);
    assert_eq!(fs::metadata(stage.path("siem")).unwrap().permissions().mode() & 0o777, 0o700);

    // Splunk's administrator runs it.
    let folder = curl(&stage);
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    for shell in ["sh", "bash"] {
        let checked = Command::new(shell).arg("-n").arg(&script).status().unwrap();
        assert!(checked.success(), "{shell} -n");
    }
    let mut command = Command::new("bash");
    command.arg(&script).env_clear().env("PATH", path).env("SPLUNK_TOKEN", "t");
    let ran = finish(command, &["create-accounts.sh"]).exits(0);
    assert_eq!(ran.stdout.lines().count(), 3, "an account an app: {}", ran.stdout);
    silent(&stage, &ran);
    let seen: Vec<u8> = ran.seen_as.iter().flatten().copied().collect();
    let seen = String::from_utf8_lossy(&seen).into_owned();
    assert!(stage.sandbox.issued_secrets().iter().all(|secret| !seen.contains(secret.as_str())));
    let mut accounts: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    let mut name = String::new();
    for line in fs::read_to_string(folder.join("read")).unwrap().lines() {
        let Some(field) = line.strip_prefix("data-urlencode = \"") else { continue };
        let (field, value) = field.trim_end_matches('"').split_once('=').unwrap();
        if field == "name" {
            name = value.to_owned();
        }
        accounts.entry(name.clone()).or_default().insert(field.to_owned(), value.to_owned());
    }
    // What the add-on would do: the input's directory, the account's id and secret.
    let inputs = fs::read_to_string(&inputs).unwrap();
    let input = |key: &str| -> BTreeMap<&str, &str> {
        let (_, rest) = inputs.split_once(&format!("://tenantry_acme_soc__{key}]\n")).unwrap();
        rest.lines().map_while(|line| line.split_once(" = ")).collect()
    };
    for (key, tenant) in [("contoso", CONTOSO), ("woodgrove", WOODGROVE)] {
        let input = input(key);
        let account = &accounts[input["azure_app_account"]];
        assert_eq!((input["tenant_id"], input["environment"]), (tenant, "commercial-graph-api"));
        reads(&stage, input["tenant_id"], &account["username"], &account["password"]);
    }
    assert_eq!(input("lucerne")["azure_app_account"], input("woodgrove")["azure_app_account"]);
    assert_eq!(input("adatum")["environment"], "commercial");
}

#[test]
fn each_value_is_noted_before_it_is_handed_out() {
    let stage = applied();
    let keys = ["contoso", "lucerne", "woodgrove"];
    let arguments = [&["export", "--format", "wazuh", "--out", "w.conf"][..], &keys].concat();
    stage.run(&arguments).exits(0);
    let noted = audit(&stage, "export wazuh");
    let said: Vec<_> = noted.iter().map(|line| (&line["app"], &line["tenant"])).collect();
    assert_eq!(said.len(), 2, "one for each value: {noted:?}");
    assert!(said.contains(&(&"contoso".into(), &"contoso".into())), "{said:?}");
    assert!(said.contains(&(&"siem-eu".into(), &Value::Null)), "{said:?}");
    assert!(noted.iter().all(|line| line["who"] == "dana" && line["ids"]["keyId"].is_string()));
    let text = fs::read_to_string(stage.path("w.conf")).unwrap();
    assert_eq!(text.matches("<api_auth>").count(), 3);
    assert!(
        text.contains(&format!("<secret_value>{}</secret_value>", revealed(&stage, "contoso")))
    );

    // Where it cannot be noted, nothing is written, and no older file is touched.
    let audit = stage.path("vault").join("audit.jsonl");
    fs::remove_file(&audit).unwrap();
    fs::create_dir(&audit).unwrap();
    fs::write(stage.path("env"), "as it was").unwrap();
    let ran = stage.run(&["export", "contoso", "--format", "env", "--out", "env"]).exits(1);
    assert!(ran.stderr.contains("cannot be noted down"), "{}", ran.stderr);
    assert_eq!(fs::read_to_string(stage.path("env")).unwrap(), "as it was");
    // What holds no value needs no line.
    stage.run(&["export", "contoso", "--format", "json"]).exits(0);
}

#[test]
fn a_shell_signs_in_with_what_it_reads() {
    let stage = applied();
    let file = stage.path("contoso.env");
    fs::write(&file, "export OLD=1\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let ran = stage.run(&["export", "contoso", "--format", "env", "--out", "contoso.env"]).exits(0);
    silent(&stage, &ran);
    assert_eq!(ran.stdout, "wrote contoso.env\n");
    own(&file);
    // A pipe is not a screen: the same text.
    let piped = stage.run(&["export", "contoso", "--format", "env", "-q"]).exits(0);
    assert_eq!(piped.stdout, fs::read_to_string(&file).unwrap());
    assert_eq!(piped.stderr.lines().count(), 1, "the sandbox says so: {}", piped.stderr);
    let shown = Command::new("sh")
        .args(["-c", ". ./contoso.env; printf '%s %s %s' \"$AZURE_TENANT_ID\" \"$AZURE_CLIENT_ID\" \"$AZURE_CLIENT_SECRET\""])
        .current_dir(stage.folder.path())
        .output()
        .unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    let [tenant, client, secret] = shown.split(' ').collect::<Vec<_>>()[..] else {
        panic!("{} words", shown.split(' ').count());
    };
    reads(&stage, tenant, client, secret);
    let several = stage.run(&["export", "--tenant", "c*", "--tenant", "adatum", "--format", "env"]);
    assert!(several.exits(0).stdout.contains("export ADATUM_AZURE_CLIENT_SECRET='"));
}

#[test]
fn elastic_uses_the_analysts_token_once_there_is_one() {
    let stage = applied();
    let export = ["export", "tailspin", "contoso", "--format", "elastic", "--out", "fleet"];
    let before = stage.run(&export).exits(1);
    assert!(before.stderr.contains("tailspin: no refresh token is held"), "{}", before.stderr);
    assert!(
        !stage.path("fleet/tailspin.json").exists() && stage.path("fleet/contoso.json").exists()
    );
    asked(&stage, &["consent", "tailspin", "--paste"]).ran.exits(0);
    let after = stage.run(&export).exits(0);
    silent(&stage, &after);
    let hint = after.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(hint.contains("tailspin: Elastic uses this refresh token"), "{hint}");
    assert!(hint.contains("Incidents of contoso have never been read here"), "{hint}");
    own(&stage.path("fleet/tailspin.json"));
    let policy = fs::read_to_string(stage.path("fleet/tailspin.json")).unwrap();
    let policy: Value = serde_json::from_str(&policy).unwrap();
    let input = &policy["inputs"]["m365_defender-httpjson"];
    let incidents = &input["streams"]["m365_defender.incident"]["vars"];
    let params = incidents["oauth_endpoint_params"].as_str().unwrap();
    let params: serde_yaml::Mapping = serde_yaml::from_str(params).unwrap();
    let var = |name: &str| input["vars"][name].as_str().unwrap();
    assert_eq!(var("tenant_id"), TAILSPIN);
    let token = params["refresh_token"].as_str().unwrap();
    let answer = stage.refresh(TAILSPIN, var("client_id"), var("client_secret"), token);
    assert_eq!(answer.status, 200);
    let access = answer.body["access_token"].as_str().unwrap();
    let incidents = stage.call(Method::GET, "/security/incidents?$top=1", access, None);
    assert_eq!(incidents.status, 200, "{incidents:?}");
    let noted = audit(&stage, "export elastic");
    assert!(noted.iter().any(|l| l["step"] == "refresh-token" && l["tenant"] == "tailspin"));
}

#[test]
fn the_list_holds_values_only_when_they_are_revealed() {
    let stage = applied();
    let plain = stage.run(&["export", "contoso", "adatum", "--format", "json"]).exits(0);
    silent(&stage, &plain);
    assert_eq!(audit(&stage, "export json"), Vec::<Value>::new());
    let list = plain.json();
    assert_eq!(list["tenants"].as_array().unwrap().len(), 2);
    assert_eq!((&list["formatVersion"], &list["sandbox"]), (&1.into(), &true.into()));
    assert_eq!(list["tenants"][1]["clientId"], stage.app("contoso")["appId"]);
    let arguments = ["export", "contoso", "--format", "json", "--reveal", "--out", "list.json"];
    silent(&stage, &stage.run(&arguments).exits(0));
    own(&stage.path("list.json"));
    let list = fs::read_to_string(stage.path("list.json")).unwrap();
    let list: Value = serde_json::from_str(&list).unwrap();
    assert_eq!(list["tenants"][0]["clientSecret"], revealed(&stage, "contoso").as_str());
    assert_eq!(audit(&stage, "export json").len(), 1);
}

/// The binary in a terminal: how it ended, and what was on the screen.
fn in_terminal(stage: &Stage, arguments: &[&str]) -> (i32, String) {
    let inner = stage.command(arguments);
    let words = std::iter::once(inner.get_program()).chain(inner.get_args());
    let words: Vec<_> = words.map(|word| format!("'{}'", word.to_str().unwrap())).collect();
    let mut command = Command::new("script");
    let line = format!("stty cols 200; exec {}", words.join(" "));
    command
        .args(["--quiet", "--return", "--command", &line, "/dev/null"])
        .env_clear()
        .envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .env("SHELL", "/bin/sh")
        .current_dir(inner.get_current_dir().unwrap())
        .stdin(Stdio::null());
    let output = command.output().expect("script, of util-linux");
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn a_terminal_shows_values_only_when_they_are_revealed() {
    let stage = applied();
    let secret = revealed(&stage, "contoso");
    let formats = ["splunk", "elastic", "wazuh", "env"];
    for format in formats {
        let (code, screen) = in_terminal(&stage, &["export", "contoso", "--format", format]);
        assert_eq!(code, 64, "{screen}");
        assert!(screen.contains("holds secrets, and this is a terminal"), "{screen}");
        assert!(screen.contains("--out") && !screen.contains(&secret), "{format}");
        assert_eq!(audit(&stage, &format!("export {format}")), Vec::<Value>::new());
    }
    let (code, screen) = in_terminal(&stage, &["export", "contoso", "--format", "json"]);
    assert!(code == 0 && screen.contains("\"clientId\"") && !screen.contains(&secret), "json");
    for format in [&formats[..], &["json"]].concat() {
        let arguments = ["export", "contoso", "--format", format, "--reveal"];
        let (code, screen) = in_terminal(&stage, &arguments);
        assert!(code == 0 && screen.contains(&secret), "{format}");
        let (code, screen) =
            in_terminal(&stage, &["export", "contoso", "--format", format, "--out", "kept"]);
        assert!(code == 0 && !screen.contains(&secret), "{format} {code}");
        let _ = fs::remove_dir_all(stage.path("kept"));
        let _ = fs::remove_file(stage.path("kept"));
    }
}

#[test]
fn who_is_not_ready_is_named_and_nobody_else_suffers() {
    let stage = Stage::with_vault(MANIFEST);
    let ran = stage.run(&["export", "--format", "env", "--out", "env"]).exits(1);
    assert!(ran.stderr.contains("nothing to export: 5 tenants left out"), "{}", ran.stderr);
    let all = "adatum, contoso, lucerne, tailspin, woodgrove: its app has not been";
    assert!(ran.stderr.contains(all), "a reason is said once: {}", ran.stderr);
    assert!(!stage.path("env").exists());
    stage.run(&["apply", "--yes", "--tenant", "contoso"]).exits(0);
    let json = ["export", "--format", "env", "--out", "env", "--json"];
    let ran = stage.run(&json).exits(1);
    silent(&stage, &ran);
    let said = ran.json();
    assert_eq!(said["tenants"], serde_json::json!(["contoso"]));
    assert_eq!(said["leftOut"].as_array().unwrap().len(), 4);
    assert!(stage.path("env").exists());

    // A damaged file hides its own app and no other; a secret that ended is not given out.
    stage.run(&["apply", "--yes"]).exits(0);
    fs::write(stage.path("vault/adatum.age"), "").unwrap();
    let ran = stage.run(&["export", "contoso", "adatum", "--format", "wazuh"]).exits(1);
    assert!(ran.stdout.contains(&revealed(&stage, "contoso")), "a pipe is not a screen");
    let ran = stage.run(&["export", "contoso", "adatum", "--format", "env"]).exits(1);
    assert!(ran.stderr.contains("adatum: ") && ran.stderr.contains("adatum.age"), "{}", ran.stderr);
    assert!(ran.stdout.contains("export CONTOSO_AZURE_CLIENT_ID="), "names as asked for");
    // Another directory than the one that the vault knows would be another customer.
    stage.consent(CONTOSO, "contoso");
    stage.run(&["status", "--tenant", "contoso"]);
    let moved = MANIFEST.replace("domain: contoso.example", &format!("id: {WOODGROVE}"));
    fs::write(stage.path("manifest.yaml"), moved.replace("{domain}", "x.example")).unwrap();
    let ran = stage.run(&["export", "contoso", "--format", "env"]).exits(1);
    assert!(ran.stderr.contains(&format!("names directory {WOODGROVE}")), "{}", ran.stderr);
    assert_eq!(ran.stdout, "");
}

#[test]
fn tenants_are_chosen_by_key_pattern_and_label() {
    let labelled = MANIFEST
        .replace("contoso.example}", "contoso.example, labels: {region: eu}}")
        .replace("adatum.example,", "adatum.example, labels: {region: us},");
    let stage = Stage::with_vault(&labelled);
    stage.run(&["apply", "--yes"]).exits(0);
    let keys = |arguments: &[&str]| -> Vec<String> {
        let all = [&["export", "--format", "json"], arguments].concat();
        let list = stage.run(&all).exits(0).json();
        let tenants = list["tenants"].as_array().unwrap().iter();
        tenants.map(|tenant| tenant["key"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(keys(&["--label", "region=eu"]), ["contoso"]);
    assert_eq!(keys(&["--tenant", "*c*", "adatum"]), ["adatum", "contoso", "lucerne"]);
    assert_eq!(keys(&["contoso", "--label", "region=eu"]), ["contoso"]);
    for wrong in [
        &["nobody"][..],
        &["contoso", "nobody"],
        &["--tenant", "nobody"],
        &["contoso", "--label", "region=us"],
    ] {
        for format in ["json", "env", "splunk", "sentinel"] {
            let all = [&["export", "--format", format], wrong].concat();
            let ran = stage.run(&all).exits(64);
            assert_eq!(ran.stdout, "", "{all:?}");
        }
    }
}

#[test]
fn sentinel_is_told_that_there_is_nothing_to_fill() {
    let stage = Stage::new(MANIFEST);
    let ran = stage.run(&["export", "contoso", "--format", "sentinel"]).exits(0);
    let said = ran.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        said.contains("there is nothing to fill") && said.contains("Azure Lighthouse"),
        "{said}"
    );
    assert!(stage.sandbox.requests().is_empty(), "nobody is contacted, and no vault is needed");
}
