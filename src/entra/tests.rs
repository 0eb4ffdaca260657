//! Tokens and discovery, against a server that says what it is told.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::{recipe::Surroundings, *};
use crate::{
    cloud::{Cloud, CloudName},
    failure::Cause,
    http::{
        Network, NetworkOptions,
        testing::{Reply, Server},
    },
    ids::TenantId,
    secret::Secret,
};

const THERE: &str = "6f1c0f5e-0000-4000-8000-000000000001";
const ELSEWHERE: &str = "6f1c0f5e-0000-4000-8000-000000000002";
const CLIENT: &str = "0b6d0000-0000-4000-8000-00000000000c";
const SCOPE: &str = "https://graph.microsoft.com/.default";

fn there() -> TenantId {
    THERE.parse().unwrap()
}

fn token(claims: Value) -> Reply {
    let jwt = format!("e30.{}.canary-signature", URL_SAFE_NO_PAD.encode(claims.to_string()));
    // Lifetimes are numbers here and text elsewhere; both must do.
    Reply::json(200, json!({"access_token": jwt, "expires_in": "3599", "token_type": "Bearer"}))
}

fn refused(code: u32, separator: &str) -> Reply {
    let words = format!("AADSTS{code}: No.{separator}Trace ID: t{separator}Timestamp: now");
    Reply::json(
        401,
        json!({"error": "invalid_client", "error_description": words, "error_codes": [code], "trace_id": "t"}),
    )
}

async fn ask(
    server: &Server,
    network: &Network,
    age: SecretAge,
) -> Result<AppToken, crate::failure::Failure> {
    let secret = ClientProof::Secret(Secret::new("canary-secret".to_owned()));
    let client = CLIENT.parse().unwrap();
    let api = Api { id: crate::connector::GRAPH, scope: SCOPE };
    app_token(network, &server.cloud(), there(), client, &secret, api, age).await
}

#[tokio::test]
async fn an_app_gets_a_token_of_the_directory_it_asked_for() {
    let server = Server::start(|_, _| {
        token(json!({"tid": THERE, "roles": ["SecurityIncident.Read.All"], "scp": null}))
    })
    .await;
    let (network, _) = server.network(Duration::from_secs(5));
    let got = ask(&server, &network, SecretAge::Settled).await.unwrap();
    assert!(got.roles.contains("SecurityIncident.Read.All") && got.scopes.is_empty());
    assert!((3000..3700).contains(&(got.expires.as_second() - jiff::Timestamp::now().as_second())));
    assert!(!format!("{got:?}").contains("canary"));
    let heard = server.heard();
    assert_eq!(heard[0].target, format!("/{THERE}/oauth2/v2.0/token"));
    assert!(heard[0].body.contains("client_secret=canary-secret"));
    assert_eq!((network.counters().token_requests, network.counters().total()), (1, 1));
}

#[tokio::test]
async fn a_token_of_another_directory_is_not_taken() {
    let server = Server::start(|_, _| token(json!({"tid": ELSEWHERE, "roles": ["X"]}))).await;
    let (network, _) = server.network(Duration::from_secs(5));
    let failure = ask(&server, &network, SecretAge::Settled).await.unwrap_err();
    assert_eq!(failure.cause, Cause::Garbled);

    let secret = Secret::new("canary-secret".to_owned());
    let operator = Operator::sandbox(&network, &server.cloud(), CLIENT.parse().unwrap(), secret);
    let failure = operator.identity(there()).await.unwrap_err();
    assert_eq!(failure.cause, Cause::SignIn);
    assert!(failure.message.contains(ELSEWHERE) && failure.message.contains(THERE), "{failure}");
}

#[tokio::test]
async fn refusals_keep_their_codes_whatever_separates_their_words() {
    for separator in [" ", "\r\n"] {
        let server = Server::start(move |_, _| refused(7_000_215, separator)).await;
        let (network, _) = server.network(Duration::from_secs(5));
        let failure = ask(&server, &network, SecretAge::Settled).await.unwrap_err();
        assert_eq!(failure.code.as_deref(), Some("AADSTS7000215"));
        assert_eq!((failure.cause, failure.status), (Cause::Refused, Some(401)));
        assert_eq!(failure.message, "No.");
        assert_eq!(failure.request_id.as_deref(), Some("t"));
        assert!(failure.hint.is_some());
        assert!(!format!("{failure:?}").contains("canary"));
        assert_eq!(server.heard().len(), 1, "a settled secret is not waited for");
    }
}

#[tokio::test]
async fn a_fresh_secret_is_waited_for_and_nothing_else_is() {
    let server = Server::start(|_, before| match before {
        0..3 => refused(7_000_215, " "),
        3 => token(json!({"tid": THERE})),
        _ => refused(7_000_222, " "),
    })
    .await;
    let (network, _) = server.network(Duration::from_secs(5));
    assert!(ask(&server, &network, SecretAge::Fresh).await.unwrap().roles.is_empty());
    assert_eq!(server.heard().len(), 4);
    let expired = ask(&server, &network, SecretAge::Fresh).await.unwrap_err();
    assert_eq!(expired.code.as_deref(), Some("AADSTS7000222"));
    assert_eq!(server.heard().len(), 5);
}

#[tokio::test]
async fn token_requests_outlive_faults_and_answers_without_a_token() {
    let server = Server::start(|_, before| match before {
        0 => Reply::Cut,
        1 => Reply::Answer(502, Vec::new(), "<html>".to_owned()),
        2 => Reply::json(200, json!({"token_type": "Bearer"})),
        3 => Reply::json(
            400,
            json!({"error": "temporarily_unavailable", "error_description": "AADSTS90033: wait"}),
        ),
        _ => token(json!({"tid": THERE})),
    })
    .await;
    let (network, _) = server.network(Duration::from_secs(5));
    ask(&server, &network, SecretAge::Settled).await.unwrap();
    assert_eq!(server.heard().len(), 5);
}

#[tokio::test]
async fn an_operator_signs_in_once_for_all_that_ask() {
    let claims = json!({"tid": THERE, "oid": ELSEWHERE, "appid": CLIENT, "app_displayname": "Ops",
        "idtyp": "app", "roles": ["Application.ReadWrite.OwnedBy"]});
    let server = Server::start(move |_, _| token(claims.clone())).await;
    let (network, _) = server.network(Duration::from_secs(5));
    let secret = Secret::new("canary-secret".to_owned());
    let operator = Operator::sandbox(&network, &server.cloud(), CLIENT.parse().unwrap(), secret);
    let (one, two) = tokio::join!(operator.identity(there()), operator.identity(there()));
    let identity = one.unwrap();
    assert_eq!(Ok(&identity), two.as_ref());
    assert_eq!(identity.kind, IdentityKind::App);
    assert_eq!(identity.name.as_deref(), Some("Ops"));
    assert_eq!(identity.object_id.unwrap().to_string(), ELSEWHERE);
    assert!(identity.roles.contains("Application.ReadWrite.OwnedBy"));
    assert_eq!(server.heard().len(), 1);
    assert!(!format!("{operator:?}").contains("canary"));
}

#[tokio::test]
async fn the_sandbox_takes_no_operator_of_the_environment() {
    let server = Server::start(|_, _| Reply::Cut).await;
    let (network, _) = server.network(Duration::from_secs(5));
    let refused = Operator::choose(&network, &server.cloud(), AuthMode::Auto).await.unwrap_err();
    assert_eq!(refused.cause, Cause::Guard);
}

#[tokio::test]
async fn where_nothing_is_there_every_way_says_why() {
    let network = Network::new(NetworkOptions::default()).unwrap();
    let cloud = Cloud::built_in(CloudName::Global);
    let around = |secret: bool| Surroundings {
        variable: Box::new(move |name| {
            (secret && name.starts_with("AZURE_CLIENT_")).then(|| "canary".to_owned())
        }),
        program: Box::new(|_| false),
        metadata: (std::net::Ipv4Addr::LOCALHOST, 9),
    };
    let none = Operator::choose_from(&network, &cloud, AuthMode::Auto, &around(false)).await;
    let failure = none.unwrap_err();
    assert_eq!(failure.cause, Cause::SignIn);
    for way in Way::AUTO {
        assert!(failure.message.contains(way.as_str()), "{failure}");
    }
    let some =
        Operator::choose_from(&network, &cloud, AuthMode::Auto, &around(true)).await.unwrap();
    assert_eq!((some.way(), some.attempts().len()), (Way::Environment, 6));
    assert!(some.attempts().iter().all(|a| a.why_not == "environment comes before it"));
    let named = Operator::choose_from(&network, &cloud, AuthMode::AzureCli, &around(true))
        .await
        .unwrap_err();
    assert!(named.message.contains("`az` is not installed"), "{named}");
    assert!(!format!("{some:?} {named:?} {:?}", some.attempts()).contains("canary"));
}

fn description(tenant: &str, instance: &str) -> Value {
    json!({
        "issuer": format!("https://login.microsoftonline.com/{tenant}/v2.0"),
        "token_endpoint": format!("https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token"),
        "cloud_instance_name": instance,
        "tenant_region_scope": "EU",
    })
}

#[tokio::test]
async fn a_domain_is_found_by_its_issuer() {
    let server =
        Server::start(|_, _| Reply::json(200, description(THERE, "microsoftonline.com"))).await;
    let (network, _) = server.network(Duration::from_secs(5));
    let found = discover(&network, &server.cloud(), "contoso.example").await.unwrap();
    assert_eq!((found.tenant, found.cloud()), (there(), Some(CloudName::Global)));
    let heard = server.heard();
    assert_eq!(heard[0].target, "/contoso.example/v2.0/.well-known/openid-configuration");
    assert!(!heard[0].head.contains("authorization"));
    assert!(discover(&network, &server.cloud(), "../evil").await.is_err());
    assert_eq!(server.heard().len(), 1);
}

#[tokio::test]
async fn what_discovery_cannot_mean_is_refused() {
    let mut two = description(THERE, "microsoftonline.com");
    two["token_endpoint"] = description(ELSEWHERE, "")["token_endpoint"].clone();
    let unknown = json!({"error": "invalid_tenant", "error_description": "AADSTS90002: Tenant 'x' not found.", "error_codes": [90002]});
    for (reply, cause) in [
        (Reply::json(400, unknown), Cause::NotFound),
        (Reply::json(200, description("common", "microsoftonline.com")), Cause::Garbled),
        (Reply::json(200, description(THERE, "microsoftonline.us")), Cause::Refused),
        (Reply::json(200, two), Cause::Garbled),
        (Reply::json(200, json!({"issuer": 7})), Cause::Garbled),
    ] {
        let server = Server::start(move |_, _| reply.clone()).await;
        let (network, _) = server.network(Duration::from_secs(5));
        let cloud = Cloud { name: Some(CloudName::Global), ..server.cloud() };
        let failure = discover(&network, &cloud, "contoso.example").await.unwrap_err();
        assert_eq!(failure.cause, cause, "{failure}");
    }
}

#[tokio::test]
async fn a_job_of_github_is_exchanged_for_a_token() {
    let server = Server::start(|heard, _| match heard.method.as_str() {
        "GET" => Reply::json(200, json!({"value": "canary-job-jwt"})),
        _ => token(json!({"tid": THERE})),
    })
    .await;
    let (network, _) = server.network(Duration::from_secs(5));
    let recipe = recipe::Recipe::Github {
        client: CLIENT.to_owned(),
        issuer: server.base.join("/oidc?x=1").unwrap(),
        job: Secret::new("canary-job".to_owned()),
    };
    let credential = recipe.credential(&network, &server.cloud(), there()).unwrap();
    credential.get_token(&[SCOPE], None).await.unwrap();
    let heard = server.heard();
    assert_eq!(heard[0].target, "/oidc?x=1&audience=api%3A%2F%2FAzureADTokenExchange");
    assert!(heard[0].head.contains("authorization: bearer canary-job"));
    assert!(heard[1].body.contains("client_assertion=canary-job-jwt"));
    assert!(!format!("{credential:?}").contains("canary"));
}
