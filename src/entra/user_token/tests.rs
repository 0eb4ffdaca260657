//! Codes and refresh tokens, against a server that says what it is told.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::*;
use crate::http::testing::{Heard, Reply, Server};

const THERE: &str = "6f1c0f5e-0000-4000-8000-000000000001";
const ELSEWHERE: &str = "6f1c0f5e-0000-4000-8000-000000000002";
const CLIENT: &str = "0b6d0000-0000-4000-8000-00000000000c";
const SECRETS: [&str; 4] =
    ["canary~secret+&=%", "canary.code/+ =&", "canary-verifier", "canary.refresh~old+&="];

fn jwt(claims: &Value) -> String {
    format!("e30.{}.canary-signature", URL_SAFE_NO_PAD.encode(claims.to_string()))
}

fn claims() -> Value {
    json!({
        "tid": THERE, "appid": CLIENT, "oid": ELSEWHERE, "scp": "SecurityIncident.Read.All openid",
        "upn": "Soc-Reader@acme-soc.example", "wids": ["5d6b6bb7-de71-4623-b4af-96380a352509"],
    })
}

fn given(claims: &Value, expires_in: Value) -> Reply {
    Reply::json(
        200,
        json!({
            "token_type": "Bearer", "access_token": jwt(claims), "expires_in": expires_in,
            "scope": "SecurityIncident.Read.All", "refresh_token": "canary.refresh~new",
        }),
    )
}

/// A refusal that repeats all that it was sent, as it was sent and as it was meant.
fn refused(code: u32, heard: &Heard) -> Reply {
    let meant = form(heard).into_values().collect::<Vec<_>>().join(" or ");
    let words =
        format!("AADSTS{code}: No, neither {meant} nor {} is right. Trace ID: t", heard.body);
    Reply::json(
        400,
        json!({"error": "invalid_grant", "error_description": words, "error_codes": [code]}),
    )
}

#[derive(Clone, Copy)]
enum With {
    Code,
    Refresh,
}

async fn ask(server: &Server, with: With) -> Result<UserToken, Failure> {
    let (network, _) = server.network(Duration::from_secs(5));
    let cloud = server.cloud();
    let [secret, code, verifier, refresh_token] = SECRETS.map(|s| Secret::new(s.to_owned()));
    let secret = ClientProof::Secret(secret);
    let asker = Asker {
        network: &network,
        cloud: &cloud,
        directory: THERE.parse().unwrap(),
        client: CLIENT.parse().unwrap(),
        proof: &secret,
        age: SecretAge::Settled,
    };
    let redirect = Url::parse("http://localhost:49152/tenantry").unwrap();
    let scopes = ["SecurityIncident.Read.All".to_owned(), "offline_access".to_owned()].into();
    let asked = format!("{asker:?}");
    let got = match with {
        With::Code => {
            let code = Code { code: &code, redirect: &redirect, verifier: &verifier };
            assert!(!format!("{code:?}").contains("canary"));
            redeem(&asker, &code, &scopes).await
        }
        With::Refresh => refresh(&asker, &refresh_token, &scopes).await,
    };
    for printed in [asked, format!("{got:?}")] {
        assert!(!printed.contains("canary"), "{printed}");
    }
    got
}

fn form(heard: &Heard) -> BTreeMap<String, String> {
    form_urlencoded::parse(heard.body.as_bytes()).into_owned().collect()
}

#[tokio::test]
async fn a_code_is_redeemed_with_all_that_belongs_to_it() {
    for expires_in in [json!(3599), json!("3599")] {
        let server = Server::start(move |_, _| given(&claims(), expires_in.clone())).await;
        let got = ask(&server, With::Code).await.unwrap();
        assert_eq!(got.token.scopes.len(), 2);
        assert!(got.user.is("soc-reader@acme-soc.example") && got.user.excess().is_empty());
        assert_eq!(got.refresh.unwrap().expose(), "canary.refresh~new");
        let lives = got.token.expires.as_second() - Timestamp::now().as_second();
        assert!((3590..3610).contains(&lives), "{lives}");
        let heard = server.heard();
        assert_eq!(heard[0].target, format!("/{THERE}/oauth2/v2.0/token"));
        assert!(heard[0].head.contains("content-type: application/x-www-form-urlencoded"));
        assert!(
            !heard[0].head.contains("\r\norigin:"),
            "a browser's word, refused by AADSTS9002326"
        );
        let wanted = [
            ("client_id", CLIENT),
            ("client_secret", SECRETS[0]),
            ("grant_type", "authorization_code"),
            ("code", SECRETS[1]),
            ("redirect_uri", "http://localhost:49152/tenantry"),
            ("code_verifier", SECRETS[2]),
            ("scope", "SecurityIncident.Read.All offline_access"),
        ];
        assert_eq!(form(&heard[0]), wanted.map(|(k, v)| (k.to_owned(), v.to_owned())).into());
    }
}

#[tokio::test]
async fn a_code_is_not_shown_twice_and_a_refresh_token_is() {
    let lost = [
        Reply::Cut,
        Reply::Short,
        Reply::Answer(502, Vec::new(), "<html>".to_owned()),
        Reply::json(200, json!({"token_type": "Bearer"})),
    ];
    for lost in lost {
        let broken = lost.clone();
        let server = Server::start(move |heard, before| match before {
            0 => broken.clone(),
            _ if heard.body.contains("code=") => refused(54005, heard),
            _ => given(&claims(), json!(60)),
        })
        .await;
        let failure = ask(&server, With::Code).await.unwrap_err();
        assert_eq!(server.heard().len(), 1, "{lost:?}");
        assert_ne!(failure.code.as_deref(), Some("AADSTS54005"));
        assert!(failure.hint.unwrap().contains("sign in again"));
        let broken = lost.clone();
        let server = Server::start(move |_, before| match before {
            0 => broken.clone(),
            _ => given(&claims(), json!(60)),
        })
        .await;
        assert!(ask(&server, With::Refresh).await.is_ok(), "{lost:?}");
        assert_eq!(server.heard().len(), 2);
    }
    // Told to come back later, nothing was done: even a code may be shown again.
    let server = Server::start(|_, before| match before {
        0 => Reply::json(429, json!({"error": "x"})),
        _ => given(&claims(), json!(60)),
    })
    .await;
    assert!(ask(&server, With::Code).await.is_ok());
}

#[tokio::test]
async fn each_refusal_of_a_sign_in_says_its_cause_and_its_cure() {
    let mut hints = BTreeMap::new();
    for (code, words) in [
        (70008, "too late"),
        (54005, "redeemed already"),
        (50148, "another sign-in"),
        (501_481, "another sign-in"),
        (500_112, "redirect URI"),
        (700_005, "another directory"),
        (7_000_215, "not taken"),
        (7_000_222, "has expired"),
        (9_002_313, "not whole"),
        (50076, "second factor"),
        (53003, "conditional access"),
        (65001, "consent"),
    ] {
        let server = Server::start(move |heard, _| refused(code, heard)).await;
        let failure = ask(&server, With::Code).await.unwrap_err();
        assert_eq!(failure.code, Some(format!("AADSTS{code}")));
        assert_eq!(failure.cause, Cause::Refused);
        let hint = failure.hint.unwrap();
        assert!(hint.contains(words), "{code}: {hint}");
        hints.insert(hint, code);
        assert_eq!(server.heard().len(), 1);
    }
    assert_eq!(hints.len(), 11, "each told apart, but for the two codes of a wrong verifier");
}

#[tokio::test]
async fn each_death_of_a_refresh_token_says_its_cause_and_its_cure() {
    let mut hints = BTreeMap::new();
    let codes = [700_082, 70008, 50173, 70043, 50076, 53003, 700_005, 7_000_215, 7_000_222, 50057];
    for code in codes {
        let server = Server::start(move |heard, _| refused(code, heard)).await;
        let failure = ask(&server, With::Refresh).await.unwrap_err();
        assert_eq!(failure.code, Some(format!("AADSTS{code}")));
        hints.insert(failure.hint.unwrap(), code);
    }
    assert_eq!(hints.len(), codes.len());
}

#[tokio::test]
async fn a_token_of_another_directory_or_app_or_of_none_is_not_taken() {
    for (name, value) in [("tid", json!(ELSEWHERE)), ("tid", Value::Null), ("appid", json!(THERE))]
    {
        let mut claims = claims();
        claims[name] = value.clone();
        let server = Server::start(move |_, _| given(&claims, json!(60))).await;
        for with in [With::Code, With::Refresh] {
            let failure = ask(&server, with).await.unwrap_err();
            assert_eq!(failure.cause, Cause::Garbled);
            let wanted = if name == "tid" { THERE } else { CLIENT };
            assert!(failure.message.contains(wanted), "{failure}");
            assert!(
                failure.message.contains(value.as_str().unwrap_or("does not say")),
                "{failure}"
            );
        }
    }
}

#[tokio::test]
async fn the_id_token_names_the_same_person_only() {
    let access = json!({"tid": THERE, "oid": ELSEWHERE, "scp": "x"});
    for (oid, known) in [(ELSEWHERE, true), (CLIENT, false)] {
        let about = jwt(&json!({"tid": THERE, "oid": oid, "preferred_username": "a@b.example"}));
        let body = json!({"access_token": jwt(&access), "expires_in": 60, "id_token": about});
        let server = Server::start(move |_, _| Reply::json(200, body.clone())).await;
        let got = ask(&server, With::Code).await.unwrap();
        assert_eq!(got.user.is("a@b.example"), known);
        assert!(got.refresh.is_none());
    }
}

#[test]
fn what_no_form_could_carry_back_is_no_refresh_token() {
    assert!(super::sendable("0.AXo~canary-._"));
    let long = "x".repeat(super::LONGEST_REFRESH_TOKEN + 1);
    for odd in ["", "a\nb", "\u{202e}", &long] {
        assert!(!super::sendable(odd), "{}", odd.len());
    }
}

#[tokio::test]
async fn an_email_is_not_a_name() {
    let server = Server::start(|_, _| {
        let mut claims = claims();
        claims["upn"] = json!("evil@contoso.example");
        claims["email"] = json!("soc-reader@acme-soc.example");
        given(&claims, json!(3600))
    })
    .await;
    let got = ask(&server, With::Code).await.unwrap();
    assert!(got.user.is("evil@contoso.example") && !got.user.is("soc-reader@acme-soc.example"));
}
