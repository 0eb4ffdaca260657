//! `tokens refresh`: refresh tokens kept alive, each death told apart, and what `status` makes of it.

use std::time::Duration;

use jsonschema::Validator;
use serde_json::{Value, json};
use tenantry::status::Death;

use crate::{
    asking::{Asking, asked},
    stage::{HOME, Ran, Stage, directory_mut},
};

const WINGTIP: &str = "6f1c0f5e-0000-4000-8000-000000000008";
const INITECH: &str = "6f1c0f5e-0000-4000-8000-000000000005";
/// The analyst of wingtip; that of initech is another.
const READER: &str = "soc-reader@acme-soc.example";

const MANIFEST: &str = r#"version: 1
fleet: acme-soc
home: {tenant: acme-soc.example, cloud: global}
vault: {path: vault}
defaults:
  connector: mssp-siem
  redirectUris: ["https://{domain}/SiemMsspConnector"]
  signInAs: soc-reader@acme-soc.example
  consent: {strategy: browser}
tenants:
  wingtip: {name: Wingtip Toys, domain: wingtip.example}
  initech: {name: Initech, domain: initech.example, signInAs: night-shift@acme-soc.example}
  tailspin: {name: Tailspin Toys, domain: tailspin.example}
"#;

/// Two tenants whose analysts have signed in, and one where nobody has consented.
fn signed_in() -> Stage {
    let stage = Stage::with_vault(MANIFEST);
    stage.change_world(|world| directory_mut(world, INITECH)["people"] = json!({}));
    stage.run(&["apply", "--yes"]).exits(0);
    let asked = asked(&stage, &["consent", "--paste", "wingtip", "initech"]);
    asked.ran.exits(0);
    assert_eq!(asked.landed.len(), 4);
    stage
}

fn held(stage: &Stage, key: &str) -> String {
    let shown = stage.run(&["reveal", key, "--field", "refresh-token"]).exits(0).stdout;
    shown.trim_end().to_owned()
}

fn schema(stage: &Stage, of: &str) -> Validator {
    let schema = stage.run(&["schema", "--of", of]).exits(0).json();
    jsonschema::draft202012::options().should_validate_formats(true).build(&schema).unwrap()
}

/// The document of a run, which its schema describes.
#[track_caller]
fn document(validator: &Validator, ran: &Ran) -> Value {
    let document = ran.json();
    let mistakes: Vec<_> =
        validator.iter_errors(&document).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(mistakes.is_empty(), "{}\n{document:#}", mistakes.join("\n"));
    document
}

/// The row of a tenant in a document.
#[track_caller]
fn row<'d>(document: &'d Value, key: &str) -> &'d Value {
    let rows = document["tenants"].as_array().unwrap();
    rows.iter().find(|row| row["key"] == key).unwrap_or_else(|| panic!("{key}: {document:#}"))
}

/// Puts the world back as it was, but for the refresh tokens that were issued since.
fn undo(stage: &Stage, before: &Value) {
    let now = stage.sandbox.world();
    let mut world = before.clone();
    for directory in world["directories"].as_array_mut().unwrap() {
        let issued = crate::stage::directory(&now, directory["id"].as_str().unwrap());
        directory["refreshTokens"] = issued["refreshTokens"].clone();
    }
    stage.sandbox.put_world(&world).unwrap();
}

#[test]
fn nothing_held_is_nothing_to_do() {
    let stage = Stage::with_vault(MANIFEST);
    let ran = stage.run(&["tokens", "refresh"]).exits(0);
    assert!(ran.stdout.contains("no refresh token is held"), "{ran:?}");
    stage.run(&["apply", "--yes"]).exits(0);
    let tokens = schema(&stage, "tokens");
    let ran = stage.run(&["tokens", "refresh", "--json"]).exits(0);
    let document = document(&tokens, &ran);
    assert_eq!((&document["summary"]["held"], &document["tenants"]), (&json!(0), &json!([])));
}

#[test]
fn a_refresh_replaces_what_the_vault_holds_and_the_old_one_lives_on() {
    let stage = signed_in();
    let (old, other) = (held(&stage, "wingtip"), held(&stage, "initech"));
    stage.sandbox.clear_requests();
    let ran = stage.run(&["tokens", "refresh", "--tenant", "wingtip"]).exits(0);
    assert!(ran.stdout.contains("1 refresh token: 1 refreshed"), "{ran:?}");
    let new = held(&stage, "wingtip");
    assert_ne!(new, old);
    assert_eq!(held(&stage, "initech"), other);
    // Entra ID alone was asked, and once.
    let operations: Vec<Value> =
        stage.sandbox.requests().iter().map(|asked| asked["operation"].clone()).collect();
    assert!(operations.iter().all(|name| name.as_str().unwrap().starts_with("login.")));
    assert_eq!(operations.iter().filter(|name| *name == "login.token").count(), 1);
    // A vault from before the refresh is still good for something.
    for token in [&old, &new] {
        let wingtip = stage.app("wingtip")["appId"].as_str().unwrap().to_owned();
        let secret = stage.run(&["reveal", "wingtip"]).exits(0).stdout;
        let answer = stage.refresh(WINGTIP, &wingtip, secret.trim_end(), token);
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let tokens = schema(&stage, "tokens");
    let ran = stage.run(&["tokens", "refresh", "--json"]).exits(0);
    let document = document(&tokens, &ran);
    assert_eq!(document["summary"]["refreshed"], 2);
    assert_eq!(row(&document, "wingtip")["result"], "refreshed");
    assert_eq!(row(&document, "wingtip")["user"], READER);
    assert_ne!(held(&stage, "wingtip"), new);
    assert_ne!(held(&stage, "initech"), other);
}

/// What is done to the world, what is said of wingtip's token then, and whether initech's lives.
struct Case {
    change: Box<dyn Fn(&Stage)>,
    death: Death,
    code: &'static str,
    /// Whose turn `status` says it is.
    who: &'static str,
    other: Other,
}

#[derive(PartialEq, Eq)]
enum Other {
    Lives,
    Dies,
}

fn cases() -> Vec<Case> {
    use Other::{Dies, Lives};
    let case = |death, code, who, other, change: Box<dyn Fn(&Stage)>| Case {
        change,
        death,
        code,
        who,
        other,
    };
    let wingtip = |change: fn(&mut Value)| -> Box<dyn Fn(&Stage)> {
        Box::new(move |stage| stage.change_world(|world| change(directory_mut(world, WINGTIP))))
    };
    let reader = |directory: &'static str, member: &'static str, value: Value| {
        let change = move |stage: &Stage| {
            stage.change_world(|world| {
                let users = directory_mut(world, directory)["users"].as_array_mut().unwrap();
                let user = users
                    .iter_mut()
                    .find(|user| user["userPrincipalName"] == READER || user["mail"] == READER);
                user.unwrap()[member] = value.clone();
            });
        };
        Box::new(change) as Box<dyn Fn(&Stage)>
    };
    // What the sandbox has no knob for.
    let answer = |code: u32, name: &'static str| -> Box<dyn Fn(&Stage)> {
        Box::new(move |stage| {
            let body = json!({"error": name, "error_codes": [code],
                              "error_description": format!("AADSTS{code}: so it is.")});
            let faults = json!([{
                "operation": "login.token", "times": 99,
                "match": {"path": WINGTIP, "body": "grant_type=refresh_token"},
                "do": {"status": 400, "body": body},
            }]);
            stage.sandbox.add_faults(&faults).unwrap();
        })
    };
    let soon = (jiff::Timestamp::now() + Duration::from_secs(3600)).to_string();
    vec![
        case(
            Death::Revoked,
            "AADSTS50173",
            "analyst",
            Lives,
            reader(HOME, "sessionsValidFrom", json!(soon)),
        ),
        case(
            Death::UserDisabled,
            "AADSTS50057",
            "operator",
            Lives,
            reader(HOME, "disabled", json!(true)),
        ),
        case(
            Death::UserDisabled,
            "AADSTS50057",
            "operator",
            Lives,
            reader(WINGTIP, "disabled", json!(true)),
        ),
        case(
            Death::MfaNeeded,
            "AADSTS50076",
            "analyst",
            Lives,
            wingtip(|directory| directory["signIn"] = json!({"policy": "mfa"})),
        ),
        case(
            Death::Blocked,
            "AADSTS53003",
            "customer-admin",
            Lives,
            wingtip(|directory| directory["signIn"] = json!({"policy": "block"})),
        ),
        case(
            Death::Blocked,
            "AADSTS53003",
            "customer-admin",
            Lives,
            wingtip(|directory| directory["signIn"] = json!({"policy": "location"})),
        ),
        case(
            Death::SignInFrequency,
            "AADSTS70043",
            "analyst",
            Lives,
            Box::new(|stage| {
                stage.change_world(|world| {
                    directory_mut(world, WINGTIP)["signIn"] = json!({"frequency": "P1D"});
                });
                stage.sandbox.advance("P2D").unwrap();
            }),
        ),
        case(
            Death::NotConsented,
            "AADSTS65001",
            "customer-admin",
            Lives,
            wingtip(|directory| directory["oauth2PermissionGrants"] = json!([])),
        ),
        case(
            Death::NotConsented,
            "AADSTS65001",
            "customer-admin",
            Lives,
            wingtip(|directory| {
                directory["oauth2PermissionGrants"] = json!([]);
                directory["servicePrincipals"] = json!([]);
            }),
        ),
        case(
            Death::WrongSecret,
            "AADSTS7000215",
            "operator",
            Lives,
            Box::new(|stage| {
                let id = stage.app("wingtip")["id"].clone();
                stage.change_world(|world| {
                    let apps = directory_mut(world, HOME)["applications"].as_array_mut().unwrap();
                    let app = apps.iter_mut().find(|app| app["id"] == id).unwrap();
                    let other = tenantry::sandbox::secret_hash("another");
                    app["passwordCredentials"][0]["secretHash"] = json!(other);
                });
            }),
        ),
        case(Death::Expired, "AADSTS70008", "analyst", Lives, answer(70_008, "invalid_grant")),
        case(
            Death::PasswordExpired,
            "AADSTS50055",
            "analyst",
            Lives,
            answer(50_055, "invalid_grant"),
        ),
        case(
            Death::WrongClient,
            "AADSTS700005",
            "analyst",
            Lives,
            answer(700_005, "invalid_grant"),
        ),
        case(Death::Other, "AADSTS90099", "analyst", Lives, answer(90_099, "invalid_grant")),
        case(
            Death::Idle,
            "AADSTS700082",
            "analyst",
            Dies,
            Box::new(|stage| stage.sandbox.advance("P91D").unwrap()),
        ),
    ]
}

#[test]
fn every_death_is_told_apart_with_its_cause_and_its_cure() {
    let stage = signed_in();
    let (tokens, status) = (schema(&stage, "tokens"), schema(&stage, "status"));
    let before = stage.sandbox.world();
    let kept = held(&stage, "wingtip");
    for Case { change, death, code, who, other } in cases() {
        change(&stage);
        let said = |ran: &Ran| {
            let line = ran.stdout.lines().find(|line| line.starts_with("wingtip: ")).unwrap();
            for words in [death.cause(), code, death.cure()] {
                assert!(line.contains(words), "{code}: {words}\n{line}");
            }
        };
        // One of two, and the only one.
        let (partly, works) = if other == Other::Lives { (4, 1) } else { (1, 0) };
        let both = stage.run(&["tokens", "refresh"]).exits(partly);
        said(&both);
        let counted = format!("2 refresh tokens: {works} refreshed · {} FAILED", 2 - works);
        assert!(both.stdout.contains(&counted), "{code}: {}", both.stdout);
        said(&stage.run(&["tokens", "refresh", "--tenant", "wingtip"]).exits(1));

        let ran = stage.run(&["tokens", "refresh", "--json", "--tenant", "wingtip"]).exits(1);
        let document_ = document(&tokens, &ran);
        let wingtip = row(&document_, "wingtip");
        assert_eq!(wingtip["result"], "failed", "{code}");
        assert_eq!(wingtip["cause"], death.cause(), "{code}");
        assert_eq!(wingtip["cure"], death.cure(), "{code}");
        assert_eq!(wingtip["failure"]["code"], code);

        let ran = stage.run(&["status", "--json"]).exits(0);
        let document_ = document(&status, &ran);
        let facet = &row(&document_, "wingtip")["facets"]["token"];
        assert_eq!(facet["state"], "failed", "{code}: {facet:#}");
        assert_eq!(facet["evidence"]["kind"], "proved", "{code}");
        assert_eq!(facet["waitingFor"], who, "{code}");
        let what = facet["evidence"]["what"].as_str().unwrap();
        assert!(what.starts_with(death.cause()) && what.contains(code), "{code}: {what}");
        assert_eq!(facet["nextStep"]["what"], death.cure(), "{code}");
        let lives = if other == Other::Lives { "ok" } else { "failed" };
        assert_eq!(row(&document_, "initech")["facets"]["token"]["state"], lives, "{code}");

        stage.sandbox.clear_faults();
        undo(&stage, &before);
        assert_eq!(held(&stage, "wingtip"), kept, "{code}: a dead answer changes nothing here");
    }
    // What died in none of these ways works again.
    stage.run(&["tokens", "refresh"]).exits(0);
}

/// An answer that was lost, or that says nothing, is no death; what is held still works.
#[test]
fn an_answer_that_tells_nothing_leaves_what_is_held() {
    let stage = signed_in();
    let kept = held(&stage, "wingtip");
    let faults = json!([{"operation": "login.token", "times": 99, "match": {"path": WINGTIP}, "do": "garbage"}]);
    stage.sandbox.add_faults(&faults).unwrap();
    let ran = stage.run(&["tokens", "refresh"]).exits(4);
    assert!(ran.stdout.contains("1 refreshed · 1 unknown"), "{ran:?}");
    assert!(ran.stdout.contains(Death::Unanswered.cause()), "{ran:?}");
    let document = stage.run(&["status", "--json"]).exits(0).json();
    let facet = &row(&document, "wingtip")["facets"]["token"];
    assert_eq!((&facet["state"], &facet["waitingFor"]), (&json!("unknown"), &Value::Null));
    assert_eq!(held(&stage, "wingtip"), kept);
    stage.sandbox.clear_faults();
    stage.run(&["tokens", "refresh"]).exits(0);
    assert_ne!(held(&stage, "wingtip"), kept);
}

#[test]
fn two_runs_take_turns_at_the_vault() {
    let stage = signed_in();
    // A run that waits for a person holds the vault's lock.
    let mut asking = Asking::start(&stage, &["consent", "--paste", "tailspin"]);
    asking.next_link().unwrap();
    let before = held(&stage, "wingtip");
    let ran = stage.run(&["status", "--tenant", "wingtip"]).exits(0);
    assert!(ran.stderr.contains("the new not kept"), "{ran:?}");
    assert!(ran.stderr.contains("the old still work"), "{ran:?}");
    assert_eq!(held(&stage, "wingtip"), before);
    let document = stage.run(&["status", "--json"]).exits(0).json();
    let facet = &row(&document, "wingtip")["facets"]["token"];
    assert_eq!(facet["state"], "ok");
    let what = facet["evidence"]["what"].as_str().unwrap();
    assert!(what.contains("was not kept") && what.contains("still works"), "{what}");

    let mut command = stage.command(&["tokens", "refresh", "--tenant", "wingtip"]);
    command.stdin(std::process::Stdio::null());
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let mut refreshing = command.spawn().unwrap();
    std::thread::sleep(Duration::from_secs(3));
    assert!(refreshing.try_wait().unwrap().is_none(), "it did not wait for its turn");
    // Nobody answered, and consent says so.
    asking.finish().exits(1);
    let ended = refreshing.wait_with_output().unwrap();
    assert!(ended.status.success(), "{ended:?}");
    assert_ne!(held(&stage, "wingtip"), before);
}
