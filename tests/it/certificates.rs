//! Apps that sign in with a certificate: its key is made here and kept in the vault alone, and it
//! lives as a secret does, from its renewal to its end. In a folder and in a key vault.
//!
//! Graph replaces an app's certificates as a whole, so what others put there is held against what
//! was there before, to the letter.

use std::{path::Path, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::{Timestamp, ToSpan, ZonedDateTime, tz::TimeZone};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    rotation::{LUCERNE, SHARED, planned, steps},
    stage::{CONTOSO, HOME, ONE, Ran, Stage, WOODGROVE, directory, directory_mut, finish, list},
};

/// The two kinds of vault.
const VAULTS: [&str; 2] =
    ["vault: {path: vault}", "vault: {keyVault: 'https://acme-soc.vault.azure.net'}"];

/// One tenant whose app signs in with this.
fn signing_in_with(credential: &str, vault: &str) -> String {
    ONE.replace("defaults: {", &format!("defaults: {{credential: {credential}, "))
        .replace(VAULTS[0], vault)
}

/// A stage whose app was made to sign in with this, and is read with it.
fn reading(credential: &str, vault: &str) -> Stage {
    let stage = Stage::with_vault(&signing_in_with(credential, vault));
    stage.run(&["apply", "--yes"]).exits(0);
    stage.consent(CONTOSO, "contoso");
    stage.run(&["apply", "--yes"]).exits(0);
    is_reading(&stage);
    stage
}

#[track_caller]
fn is_reading(stage: &Stage) {
    let status = stage.run(&["status", "--json"]).exits(0);
    assert_eq!(facet(&status, "access")["state"], "ok", "{:#}", status.json());
    assert!(!stage.run(&["incidents"]).exits(0).lines().is_empty());
}

#[track_caller]
fn facet(ran: &Ran, name: &str) -> Value {
    ran.json()["tenants"][0]["facets"][name].clone()
}

fn wants(stage: &Stage, credential: &str, vault: &str) {
    std::fs::write(stage.path("manifest.yaml"), signing_in_with(credential, vault)).unwrap();
}

/// The app's certificates, ours and others', as the directory holds them.
fn certificates(stage: &Stage) -> Vec<Value> {
    stage.app("contoso")["keyCredentials"].as_array().cloned().unwrap_or_default()
}

fn secrets(stage: &Stage) -> usize {
    stage.app("contoso")["passwordCredentials"].as_array().unwrap().len()
}

/// Those that tenantry made, the oldest first: the certificate itself.
fn ours(stage: &Stage) -> Vec<String> {
    let mut all = certificates(stage);
    all.retain(|one| one["displayName"].as_str().is_some_and(|n| n.starts_with("tenantry ")));
    all.sort_by_key(|one| one["startDateTime"].as_str().unwrap().to_owned());
    all.iter().map(|one| one["key"].as_str().unwrap().to_owned()).collect()
}

/// The certificate that the vault hands out.
fn handed_out(stage: &Stage) -> String {
    let pem = stage.run(&["reveal", "contoso", "--field", "certificate"]).exits(0).stdout;
    block(&pem, "CERTIFICATE").concat()
}

/// The lines of a part of a PEM.
fn block(pem: &str, what: &str) -> Vec<String> {
    let lines = pem.lines().skip_while(|line| !line.contains(&format!("BEGIN {what}")));
    let lines = lines.skip(1).take_while(|line| !line.starts_with("-----END"));
    lines.map(str::to_owned).collect()
}

/// Somebody's own certificate, as they add it by the portal.
pub(crate) fn add_theirs(stage: &Stage) -> Value {
    add(stage, "theirs")
}

fn add(stage: &Stage, name: &str) -> Value {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2090, 1, 1);
    let certificate = params.self_signed(&key).unwrap();
    let app = stage.app("contoso")["id"].as_str().unwrap().to_owned();
    let operator = stage.operator_token();
    let path = format!("/applications/{app}?$select=keyCredentials");
    let mut keys = stage.call(Method::GET, &path, &operator, None).body["keyCredentials"].clone();
    let id = uuid::Uuid::new_v4().to_string();
    keys.as_array_mut().unwrap().push(json!({
        "keyId": id, "type": "AsymmetricX509Cert", "usage": "Verify", "displayName": name,
        "key": STANDARD.encode(certificate.der()),
    }));
    let path = format!("/applications/{app}");
    let body = json!({"keyCredentials": keys});
    let answer = stage.call(Method::PATCH, &path, &operator, Some(&body));
    assert_eq!(answer.status, 204, "{answer:?}");
    find(stage, &id).unwrap()
}

/// One of the app's certificates by its id.
fn find(stage: &Stage, id: &str) -> Option<Value> {
    certificates(stage).into_iter().find(|one| one["keyId"] == id)
}

#[track_caller]
fn is_untouched(stage: &Stage, theirs: &Value) {
    assert_eq!(find(stage, theirs["keyId"].as_str().unwrap()).as_ref(), Some(theirs));
}

#[test]
fn an_app_with_a_certificate_reads_and_its_key_is_in_the_vault_alone() {
    for vault in VAULTS {
        let stage = Stage::with_vault(&signing_in_with("certificate", vault));
        let make = steps([("create-application", ""), ("add-certificate", "first")]);
        assert_eq!(planned(&stage, &[]), make);
        let applied = stage.run(&["apply", "--yes", "-v", "--report", "done.html"]).exits(0);
        assert_eq!((certificates(&stage).len(), secrets(&stage)), (1, 0));
        assert_eq!(planned(&stage, &[]), []);
        let waiting = stage.run(&["status", "--json"]).exits(0);
        assert_eq!(facet(&waiting, "secret")["waitingFor"], "customer-admin");
        stage.consent(CONTOSO, "contoso");
        let status = stage.run(&["status", "--json", "-v"]).exits(0);
        for name in ["registration", "secret", "consent", "access"] {
            assert_eq!(facet(&status, name)["state"], "ok", "{name}");
        }
        assert!(facet(&status, "secret")["ends"].is_string());
        let rotated = stage.run(&["rotate", "contoso", "--yes", "--json", "-v"]).exits(0);
        let read = stage.run(&["incidents", "-v"]).exits(0);
        assert!(!read.lines().is_empty());

        // It is shown on purpose alone, and its key is nowhere else, whole or in part.
        let revealed = stage.run(&["reveal", "contoso", "--field", "certificate"]).exits(0);
        let told = stage.run(&["reveal", "contoso"]);
        assert!(told.code != 0 && told.stderr.contains("certificate"), "{}", told.stderr);
        let key = block(&revealed.stdout, "PRIVATE KEY");
        assert!(key.len() > 10, "{}", key.len());
        let heard = [&applied, &waiting, &status, &rotated, &read, &told];
        let heard: String = heard.iter().flat_map(|ran| [&*ran.stdout, &*ran.stderr]).collect();
        let sent = serde_json::to_string(&beside_the_vault(&stage)).unwrap();
        assert!(heard.contains("contoso") && sent.contains("keyCredentials"));
        // A line of the key stands in what was sent in some encoding of its own, if at all.
        for line in key.iter().filter(|line| line.len() > 60) {
            let bytes = STANDARD.decode(line).unwrap();
            for text in [line.clone(), line.replace('+', "-").replace('/', "_"), hex(&bytes)] {
                assert!(!heard.contains(&text), "on a screen");
                assert!(!sent.contains(&text), "in the traffic");
                assert!(!anywhere(stage.folder.path(), text.as_bytes()), "on the disk");
            }
            assert!(!anywhere(stage.folder.path(), &bytes), "on the disk");
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What went to and from Graph and Entra ID; a key vault is where values belong.
fn beside_the_vault(stage: &Stage) -> Vec<Value> {
    let vault = |exchange: &Value| exchange["operation"].as_str().unwrap().starts_with("vault.");
    stage.sandbox.traffic().into_iter().filter(|exchange| !vault(exchange)).collect()
}

/// Whether any file of a folder holds this.
fn anywhere(folder: &Path, needle: &[u8]) -> bool {
    std::fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return anywhere(&path, needle);
        }
        std::fs::read(&path).unwrap().windows(needle.len()).any(|window| window == needle)
    })
}

#[test]
fn a_certificate_is_renewed_accepted_used_and_the_old_one_goes_after_the_overlap() {
    for vault in VAULTS {
        let stage = reading("certificate", vault);
        let theirs = add_theirs(&stage);
        let first = ours(&stage);
        let shown = stage.run(&["plan", "--json"]).exits(0).json();
        assert_eq!(shown["apps"][0]["foreign"]["certificates"], 1);
        stage.sandbox.advance("P330D").unwrap();
        assert_eq!(planned(&stage, &[]), []);
        stage.sandbox.advance("P10D").unwrap();
        assert_eq!(planned(&stage, &[]), steps([("add-certificate", "renewal")]));
        stage.run(&["apply", "--yes"]).exits(0);
        let both = ours(&stage);
        assert_eq!((both.len(), &both[0]), (2, &first[0]));
        assert_eq!(handed_out(&stage), both[1]);
        is_reading(&stage);
        is_untouched(&stage, &theirs);
        stage.sandbox.advance("P6D").unwrap();
        stage.run(&["apply", "--yes"]).exits(0);
        assert_eq!(ours(&stage), both);
        stage.sandbox.advance("P2D").unwrap();
        assert_eq!(planned(&stage, &[]), steps([("remove-certificate", "retired")]));
        stage.run(&["apply", "--yes"]).exits(0);
        assert_eq!(ours(&stage), both[1..]);
        assert_eq!(handed_out(&stage), both[1]);
        assert_eq!(planned(&stage, &[]), []);
        is_reading(&stage);
        is_untouched(&stage, &theirs);

        // Nobody renewed it in time: both in one run.
        stage.sandbox.advance("P400D").unwrap();
        let due = steps([("add-certificate", "expired"), ("remove-certificate", "expired")]);
        assert_eq!(planned(&stage, &[]), due);
        stage.run(&["apply", "--yes"]).exits(0);
        let now = ours(&stage);
        assert_eq!(now.len(), 1);
        assert_ne!(now, both[1..]);
        is_reading(&stage);
        is_untouched(&stage, &theirs);
    }
}

#[test]
fn one_that_is_refused_leaves_the_old_one_in_use_until_a_later_run() {
    for vault in VAULTS {
        let stage = reading("certificate", vault);
        let first = ours(&stage);
        stage.sandbox.advance("P340D").unwrap();
        // Entra ID does not know new ones for as long as this lasts.
        stage.sandbox.set_lag(Duration::from_secs(3_600));
        let ran = stage.run(&["apply", "--yes"]).exits(0);
        assert!(ran.stderr.contains("the old one stays in use"), "{}", ran.stderr);
        assert_eq!(handed_out(&stage), first[0]);
        is_reading(&stage);
        stage.sandbox.advance("P10D").unwrap();
        let leaked = stage.run(&["rotate", "contoso", "--now", "--revoke-old", "--yes"]);
        assert_ne!(leaked.code, 0);
        assert!(ours(&stage).contains(&first[0]));
        assert_eq!(handed_out(&stage), first[0]);
        stage.sandbox.set_lag(Duration::ZERO);
        let ran = stage.run(&["apply", "--yes"]).exits(0);
        assert!(!ran.stderr.contains("stays in use"), "{}", ran.stderr);
        let all = ours(&stage);
        assert_eq!(handed_out(&stage), *all.last().unwrap());
        stage.sandbox.advance("P8D").unwrap();
        stage.run(&["apply", "--yes"]).exits(0);
        assert_eq!(ours(&stage), all[all.len() - 1..]);
        is_reading(&stage);
    }
}

#[test]
fn a_leaked_one_is_gone_at_the_end_of_the_run_and_others_only_when_named() {
    for vault in VAULTS {
        let stage = reading("certificate", vault);
        let theirs = add_theirs(&stage);
        let first = ours(&stage);
        stage.run(&["rotate", "contoso", "--yes"]).exits(0);
        let both = ours(&stage);
        assert_eq!((both.len(), &both[0]), (2, &first[0]));
        stage.run(&["rotate", "contoso", "--now", "--revoke-old", "--yes"]).exits(0);
        let last = ours(&stage);
        assert_eq!((last.len(), both.contains(&last[0])), (1, false));
        assert_eq!(handed_out(&stage), last[0]);
        is_untouched(&stage, &theirs);
        assert_eq!(planned(&stage, &[]), []);
        let other = add(&stage, "tenantry 11111111-2222-4333-8444-555555555555 0123456789abcdef");
        let due = steps([("remove-certificate", "foreign")]);
        assert_eq!(planned(&stage, &["--remove-foreign"]), due);
        stage.run(&["apply", "--remove-foreign", "--yes"]).exits(0);
        let left = certificates(&stage);
        assert!(left.len() == 2 && left.iter().any(|one| one["key"] == *last[0]), "{left:#?}");
        is_untouched(&stage, &other);
        is_reading(&stage);
    }
}

#[test]
fn one_whose_key_was_lost_is_removed_and_replaced() {
    for vault in VAULTS {
        let (mut died, mut lost) = (0, 0);
        for write in [1, 4, 5, 6] {
            let stage = Stage::with_vault(&signing_in_with("certificate", vault));
            let mut command = stage.command(&["apply", "--yes"]);
            if vault == VAULTS[0] {
                command.env("TENANTRY_DIE_AT_VAULT_WRITE", write.to_string());
            } else {
                let refused = json!([{"operation": "vault.setSecret", "nth": write,
                                      "do": {"status": 403}}]);
                stage.sandbox.add_faults(&refused).unwrap();
            }
            died += usize::from(finish(command, &["apply"]).code != 0);
            stage.sandbox.clear_faults();
            let made = stage.sandbox.world().to_string().contains("tenantry:app=contoso");
            let before = if made { ours(&stage) } else { Vec::new() };
            let theirs = made.then(|| add_theirs(&stage));
            let due = planned(&stage, &[]);
            stage.run(&["apply", "--yes"]).exits(0);
            if due.contains(&("remove-certificate".to_owned(), "value-lost".to_owned())) {
                lost += 1;
                assert!(!ours(&stage).contains(&before[0]));
            }
            assert_eq!(ours(&stage).len(), 1, "{write}");
            assert_eq!(handed_out(&stage), ours(&stage)[0], "{write}");
            if let Some(theirs) = theirs {
                is_untouched(&stage, &theirs);
            }
            assert_eq!(planned(&stage, &[]), [], "{write}");
            stage.consent(CONTOSO, "contoso");
            is_reading(&stage);
        }
        assert!(died >= 2 && lost >= 1, "{died} {lost}");
    }
}

#[test]
fn an_app_that_shall_sign_in_otherwise_changes_over_as_to_a_successor() {
    for vault in VAULTS {
        let stage = reading("secret", vault);
        let theirs = add_theirs(&stage);
        wants(&stage, "certificate", vault);
        // It is read all the while, and said not to be as the manifest wants.
        let before = stage.run(&["status", "--json"]).exits(0);
        assert_eq!(facet(&before, "access")["state"], "ok");
        assert_eq!(facet(&before, "secret")["waitingFor"], "operator");
        assert_eq!(planned(&stage, &[]), steps([("add-certificate", "first")]));
        stage.sandbox.set_lag(Duration::from_secs(3_600));
        let ran = stage.run(&["apply", "--yes"]).exits(0);
        assert!(ran.stderr.contains("the old one stays in use"), "{}", ran.stderr);
        is_reading(&stage);
        // What is not accepted sends nobody away, however long that takes.
        stage.sandbox.advance("P20D").unwrap();
        stage.run(&["apply", "--yes"]).exits(0);
        assert_eq!((ours(&stage).len(), secrets(&stage)), (1, 1));
        is_reading(&stage);
        stage.sandbox.set_lag(Duration::ZERO);
        stage.run(&["apply", "--yes"]).exits(0);
        assert_eq!((ours(&stage).len(), secrets(&stage)), (1, 1));
        let after = stage.run(&["status", "--json"]).exits(0);
        assert_eq!(facet(&after, "secret")["state"], "ok");
        assert_eq!(planned(&stage, &[]), []);
        let told = stage.run(&["status"]).exits(0).stdout;
        let told = told.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(told.contains("old client secret, removed then or by a later run"), "{told}");
        assert!(told.contains("contoso --field certificate"), "{told}");
        stage.sandbox.advance("P6D").unwrap();
        assert_eq!(planned(&stage, &[]), []);
        stage.sandbox.advance("P2D").unwrap();
        assert_eq!(planned(&stage, &[]), steps([("remove-secret", "retired")]));
        stage.run(&["apply", "--yes"]).exits(0);
        assert_eq!((ours(&stage).len(), secrets(&stage)), (1, 0));
        is_reading(&stage);

        // And back again.
        wants(&stage, "secret", vault);
        assert_eq!(planned(&stage, &[]), steps([("add-secret", "first")]));
        stage.run(&["apply", "--yes"]).exits(0);
        assert_eq!((ours(&stage).len(), secrets(&stage)), (1, 1));
        is_reading(&stage);
        stage.sandbox.advance("P8D").unwrap();
        assert_eq!(planned(&stage, &[]), steps([("remove-certificate", "retired")]));
        stage.run(&["apply", "--yes"]).exits(0);
        assert_eq!((ours(&stage).len(), secrets(&stage)), (0, 1));
        assert_eq!(planned(&stage, &[]), []);
        is_reading(&stage);
        is_untouched(&stage, &theirs);
    }
}

#[test]
fn a_shared_app_changes_over_once_every_customer_has_answered() {
    for vault in VAULTS {
        let shall = |credential: &str| {
            let credential = format!("defaults: {{credential: {credential}, ");
            SHARED.replace("defaults: {", &credential).replace(VAULTS[0], vault)
        };
        let stage = Stage::with_vault(&shall("secret"));
        stage.run(&["apply", "--yes"]).exits(0);
        stage.consent(WOODGROVE, "siem-eu");
        stage.consent(LUCERNE, "siem-eu");
        stage.run(&["apply", "--yes"]).exits(0);
        let count = |what: &str| stage.app("siem-eu")[what].as_array().unwrap().len();
        let in_use = || {
            let due = stage.run(&["status", "--as-of", "2999-01-01", "--json"]).exits(0).json();
            let mut kinds: Vec<_> = due["due"].as_array().unwrap().iter().collect();
            kinds.retain(|due| due["kind"] != "retiring-secret");
            kinds[0]["kind"].clone()
        };
        let fault = json!([{"operation": "login.token", "match": {"tenant": LUCERNE},
            "times": 100, "do": {"status": 503, "body": {}}}]);
        stage.sandbox.add_faults(&fault).unwrap();
        std::fs::write(stage.path("manifest.yaml"), shall("certificate")).unwrap();
        stage.run(&["apply", "--yes"]).exits(0);
        assert_eq!(in_use(), "client-secret");
        stage.sandbox.clear_faults();
        // A run that asks one of two customers cannot speak for the other.
        stage.run(&["apply", "--yes", "--tenant", "woodgrove"]).exits(0);
        assert_eq!(in_use(), "client-secret");
        stage.sandbox.advance("P20D").unwrap();
        assert_eq!(planned(&stage, &[]), []);
        stage.run(&["apply", "--yes"]).exits(0);
        assert_eq!(in_use(), "certificate");
        assert_eq!((count("passwordCredentials"), count("keyCredentials")), (1, 1));
        stage.sandbox.advance("P8D").unwrap();
        stage.run(&["apply", "--yes"]).exits(0);
        assert_eq!((count("passwordCredentials"), count("keyCredentials")), (0, 1));
    }
}

#[test]
fn with_a_customer_goes_our_certificate_and_at_a_handover_no_other() {
    for vault in VAULTS {
        let stage = reading("certificate", vault);
        let theirs = add_theirs(&stage);
        let app = stage.app("contoso")["id"].clone();
        let warned = stage.run(&["offboard", "contoso"]).exits(64);
        assert!(warned.stdout.contains("1 of its credentials are not ours"), "{}", warned.stdout);
        let handed = stage.run(&["offboard", "contoso", "--yes", "--keep-app"]).exits(0);
        assert!(handed.stdout.contains("1 of ours gone"), "{}", handed.stdout);
        assert!(handed.stdout.contains("refused by Entra ID (AADSTS700027)"), "{}", handed.stdout);
        let world = stage.sandbox.world();
        let mut apps = list(directory(&world, HOME), "applications").iter();
        let app = apps.find(|one| one["id"] == app).unwrap();
        assert_eq!(app["keyCredentials"], json!([theirs]));

        let stage = reading("certificate", vault);
        let gone = stage.run(&["offboard", "contoso", "--yes", "--json"]).exits(0);
        let done = gone.lines();
        assert!(done.iter().any(|line| line["step"] == "remove-certificate"), "{done:#?}");
    }
}

#[test]
fn a_certificate_that_ends_is_told_with_the_day_and_the_command() {
    let stage = reading("certificate", VAULTS[0]);
    let day = |days: i64| {
        let then = ZonedDateTime::new(Timestamp::now(), TimeZone::UTC).saturating_add(days.days());
        then.strftime("%Y-%m-%d").to_string()
    };
    for verb in ["status", "plan"] {
        let early = stage.run(&[verb, "--as-of", &day(100), "--json"]).exits(0).json();
        assert_eq!(early["due"], json!([]), "{verb}");
        let late = stage.run(&[verb, "--as-of", &day(340), "--json"]).exits(0).json();
        let due = &late["due"][0];
        assert_eq!((&due["kind"], &due["app"]), (&json!("certificate"), &json!("contoso")));
        assert!(due["ends"].as_str().unwrap().starts_with(&day(365)), "{due}");
        assert!(due["command"].as_str().unwrap().starts_with("tenantry apply"), "{due}");
    }
    let ends = stage.run(&["status", "--as-of", &day(340), "--fail-on", "expiring"]).exits(8);
    assert!(ends.stdout.contains("certificate"), "{}", ends.stdout);
}

#[test]
fn policies_shorten_a_certificate_or_forbid_it() {
    let policy = |restriction: Value| {
        json!({
            "id": "11111111-0000-4000-8000-000000000001", "displayName": "Short lives",
            "isEnabled": true,
            "applicationRestrictions": {"passwordCredentials": [], "keyCredentials": [restriction]},
            "servicePrincipalRestrictions": {"passwordCredentials": [], "keyCredentials": []},
        })
    };
    let stage = Stage::with_vault(&signing_in_with("certificate", VAULTS[0]));
    let set = |stage: &Stage, restriction: Value| {
        stage.change_world(|world| {
            directory_mut(world, HOME)["policies"]["default"] = policy(restriction.clone());
        });
    };
    set(
        &stage,
        json!({"restrictionType": "trustedCertificateAuthority", "state": "enabled",
               "certificateBasedApplicationConfigurationIds": []}),
    );
    let refused = stage.run(&["plan", "--json"]).exits(0).json();
    let codes = refused["apps"][0]["diagnostics"].to_string();
    assert!(codes.contains("certificate-forbidden-by-policy"), "{codes}");
    assert_eq!(refused["apps"][0]["steps"], json!([]));
    set(
        &stage,
        json!({"restrictionType": "asymmetricKeyLifetime", "state": "enabled",
               "maxLifetime": "P90D"}),
    );
    let shorter = stage.run(&["plan", "--json"]).exits(0).json();
    let codes = shorter["apps"][0]["diagnostics"].to_string();
    assert!(codes.contains("certificate-shortened-by-policy"), "{codes}");
    stage.run(&["apply", "--yes"]).exits(0);
    assert_eq!(certificates(&stage).len(), 1);
}
