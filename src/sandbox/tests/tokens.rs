//! The token endpoint and discovery.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use reqwest::Method;
use serde_json::{Value, json};

use super::support::{Fixture, Reply};

const GRAPH: &str = "https://graph.microsoft.com/.default";

fn claims(reply: &Reply) -> Value {
    let token = reply.body["access_token"].as_str().unwrap();
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

fn code(reply: &Reply) -> (u16, &str, u64) {
    let number = reply.body["error_codes"][0].as_u64().unwrap_or_default();
    let description = reply.body["error_description"].as_str().unwrap_or_default();
    assert!(description.starts_with(&format!("AADSTS{number}: ")), "{reply:?}");
    for name in ["trace_id", "correlation_id", "timestamp", "error_uri"] {
        assert!(reply.body[name].is_string(), "{reply:?}");
    }
    (reply.status, reply.body["error"].as_str().unwrap_or_default(), number)
}

#[tokio::test]
async fn a_token_says_who_it_is_for() {
    let f = Fixture::new().await;
    let o = &f.operator;
    let reply = f.ask_token("acme-soc.example", &o.client_id, &o.client_secret).await;
    assert_eq!(reply.headers["cache-control"], "no-store, no-cache");
    assert!(reply.headers.contains_key("x-ms-request-id"));
    assert_eq!(reply.body["token_type"], "Bearer");
    assert!(reply.body["expires_in"].is_number());
    let claims = claims(&reply);
    assert_eq!(claims["tid"], o.tenant_id.as_str());
    assert_eq!(claims["appid"], o.client_id.as_str());
    assert_eq!(claims["aud"], "https://graph.microsoft.com");
    assert_eq!(claims["idtyp"], "app");
    assert!(claims["app_displayname"].is_string());
    assert!(claims["roles"].as_array().unwrap().contains(&json!("Application.ReadWrite.OwnedBy")));

    // The older endpoint tells numbers as texts, and takes the secret in a header too.
    let request = f
        .client
        .post(format!("{}/{}/oauth2/token", f.sandbox.base_url(), o.tenant_id))
        .basic_auth(&o.client_id, Some(&o.client_secret))
        .header("content-type", "application/x-www-form-urlencoded")
        .body("grant_type=client_credentials&resource=https%3A%2F%2Fapi.security.microsoft.com");
    let old = Reply::of(request.send().await.unwrap()).await;
    assert_eq!(old.status, 200, "{old:?}");
    assert!(old.body["expires_in"].is_string() && old.body["expires_on"].is_string());
    // Nothing is granted on that API: a token all the same, without roles.
    assert!(super::tokens::claims(&old).get("roles").is_none());
}

#[tokio::test]
async fn the_token_endpoint_refuses_by_number() {
    let f = Fixture::new().await;
    let o = f.operator.clone();
    let (client, secret) = (o.client_id.as_str(), o.client_secret.as_str());
    let base =
        [("grant_type", "client_credentials"), ("client_id", client), ("client_secret", secret)];
    let with = |more: &[(&'static str, &'static str)]| [&base[..], more].concat();
    let tenant = o.tenant_id.as_str();
    let ask = async |tenant: &str, form: &[(&str, &str)]| f.token_request(tenant, form).await;

    let r = ask("nope.example", &with(&[("scope", GRAPH)])).await;
    assert_eq!(code(&r), (400, "invalid_request", 90_002));
    let r = ask("not a tenant", &with(&[("scope", GRAPH)])).await;
    assert_eq!(code(&r), (400, "invalid_request", 900_023));
    let r = ask("common", &with(&[("scope", GRAPH)])).await;
    assert_eq!(code(&r), (400, "invalid_request", 90_019));
    let single = json!({"displayName": "Single", "signInAudience": "AzureADMyOrg"});
    let single = f.post("/applications", &single).await.body["appId"].clone();
    let mut alone = with(&[("scope", GRAPH)]);
    alone[1] = ("client_id", single.as_str().unwrap());
    let r = ask("common", &alone).await;
    assert_eq!(code(&r), (400, "invalid_request", 50_194));
    let r = ask(tenant, &base).await;
    assert_eq!(code(&r), (400, "invalid_request", 900_144));
    assert!(r.body["error_description"].as_str().unwrap().contains("'scope'"));
    let r = ask(tenant, &base[1..]).await;
    assert_eq!(code(&r), (400, "invalid_request", 900_144));
    let r = ask(tenant, &with(&[("scope", GRAPH), ("resource", "x")])).await;
    assert_eq!(code(&r), (400, "invalid_request", 901_002));
    let r = ask(tenant, &with(&[("scope", "https://graph.microsoft.com/User.Read")])).await;
    assert_eq!(code(&r), (400, "invalid_scope", 1_002_012));
    let r = ask(tenant, &with(&[("scope", "https://a/.default https://b/.default")])).await;
    assert_eq!(code(&r), (400, "invalid_scope", 70_011));
    let r = ask(tenant, &with(&[("scope", "https://graph.windows.net/.default")])).await;
    assert_eq!(code(&r), (400, "invalid_resource", 500_011));
    let r = ask(tenant, &[("grant_type", "password"), ("client_id", client)]).await;
    assert_eq!(code(&r), (400, "unsupported_grant_type", 70_003));
    let r = ask(tenant, &[base[0], base[1], ("scope", GRAPH)]).await;
    assert_eq!(code(&r), (401, "invalid_client", 7_000_218));
    let r = ask(tenant, &[base[0], base[1], ("client_secret", "wrong"), ("scope", GRAPH)]).await;
    assert_eq!(code(&r), (401, "invalid_client", 7_000_215));
    let r = f.ask_token(tenant, "6f1c0f5e-9999-4000-8000-000000000001", "x").await;
    assert_eq!(code(&r), (400, "unauthorized_client", 700_016));
    // The operator's app is for many directories, and nobody has made it known in Contoso.
    let r = f.ask_token("contoso.example", client, secret).await;
    assert_eq!(code(&r), (401, "invalid_client", 7_000_229));
    let get = f.client.get(format!("{}/{tenant}/oauth2/v2.0/token", f.sandbox.base_url()));
    let r = Reply::of(get.send().await.unwrap()).await;
    assert_eq!(code(&r).2, 900_561);
    let json_body = f
        .client
        .post(format!("{}/{tenant}/oauth2/v2.0/token", f.sandbox.base_url()))
        .header("content-type", "application/json")
        .body("{}");
    let r = Reply::of(json_body.send().await.unwrap()).await;
    assert_eq!(code(&r).2, 900_144);
}

/// A world in which an app of the home directory has a service principal at a customer.
async fn consented(f: &mut Fixture, audience: &str, enabled: bool) -> (String, String) {
    let made = f.upsert("one", &json!({"displayName": "One", "signInAudience": audience})).await;
    let (id, client) = (made.body["id"].as_str().unwrap(), made.body["appId"].as_str().unwrap());
    let end = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24 * 300);
    let asked = json!({"passwordCredential": {"endDateTime": end.to_string()}});
    let added = f.post(&format!("/applications/{id}/addPassword"), &asked).await;
    let secret = added.body["secretText"].as_str().unwrap().to_owned();
    let mut world = f.sandbox.world();
    let contoso = world["directories"]
        .as_array_mut()
        .unwrap()
        .iter_mut()
        .find(|d| d["name"] == "Contoso")
        .unwrap();
    let tenant = contoso["id"].as_str().unwrap().to_owned();
    contoso["servicePrincipals"].as_array_mut().unwrap().push(json!({
        "id": "6f1c0f5e-9999-4000-8000-000000000001", "appId": client, "displayName": "One", "accountEnabled": enabled,
    }));
    let graph =
        crate::sandbox::world::first_party::by_app_id(crate::sandbox::world::first_party::GRAPH)
            .unwrap();
    contoso["appRoleAssignments"].as_array_mut().unwrap().push(json!({
        "id": "x", "principalId": "6f1c0f5e-9999-4000-8000-000000000001", "principalType": "ServicePrincipal",
        "resourceId": graph.object_id(&tenant), "appRoleId": graph.role_id("SecurityIncident.Read.All"),
    }));
    f.sandbox.put_world(&world).unwrap();
    (client.to_owned(), secret)
}

#[tokio::test]
async fn a_consented_app_reads_incidents_until_its_secret_expires() {
    let mut f = Fixture::new().await;
    let (client, secret) = consented(&mut f, "AzureADMultipleOrgs", true).await;
    let reply = f.ask_token("contoso.example", &client, &secret).await;
    assert_eq!(claims(&reply)["roles"], json!(["SecurityIncident.Read.All"]));
    f.set_token(reply.body["access_token"].as_str().unwrap());
    let incidents = f.get("/security/incidents?$top=1").await;
    assert_eq!(incidents.status, 200, "{incidents:?}");
    assert_eq!(incidents.body["value"][0]["tenantId"], "6f1c0f5e-0000-4000-8000-000000000001");
    let alerts = f.get("/security/alerts_v2").await;
    assert_eq!(alerts.status, 200);
    let apps = f.get("/applications").await;
    assert_eq!(apps.status, 403);

    f.sandbox.advance("P301D").unwrap();
    let expired = f.ask_token("contoso.example", &client, &secret).await;
    assert_eq!(code(&expired), (401, "invalid_client", 7_000_222));
}

#[tokio::test]
async fn single_tenant_and_disabled_apps_are_told_so() {
    let mut f = Fixture::new().await;
    let (client, secret) = consented(&mut f, "AzureADMyOrg", true).await;
    let reply = f.ask_token("contoso.example", &client, &secret).await;
    assert_eq!(code(&reply), (400, "unauthorized_client", 650_059));
    let mut f = Fixture::new().await;
    let (client, secret) = consented(&mut f, "AzureADMultipleOrgs", false).await;
    let reply = f.ask_token("contoso.example", &client, &secret).await;
    assert_eq!(code(&reply), (400, "unauthorized_client", 7_000_112));
}

#[tokio::test]
async fn incidents_refuse_without_a_role_and_without_defender() {
    let mut f = Fixture::new().await;
    let none = f.get("/security/incidents").await;
    assert_eq!((none.status, none.code()), (403, "Forbidden"));
    assert!(none.message().starts_with(
        "Missing application roles. API required roles: SecurityIncident.Read.All,SecurityIncident.ReadWrite.All, application roles: "
    ));
    let mut world = f.sandbox.world();
    let home = world["directories"]
        .as_array_mut()
        .unwrap()
        .iter_mut()
        .find(|d| d["home"] == true)
        .unwrap();
    home["people"]["defender"] = json!("not-provisioned");
    f.sandbox.put_world(&world).unwrap();
    f.grant_operator(&["SecurityIncident.Read.All"]).await;
    let unprovisioned = f.get("/security/incidents").await;
    assert_eq!(
        (unprovisioned.status, unprovisioned.message()),
        (403, "Unauthorized request - Account is not provisioned.")
    );

    let o = f.operator.clone();
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", o.client_id.as_str()),
        ("client_secret", o.client_secret.as_str()),
        ("scope", "https://api.security.microsoft.com/.default"),
    ];
    let token = f.token_request(&o.tenant_id, &form).await.body["access_token"]
        .as_str()
        .unwrap()
        .to_owned();
    let request =
        f.client.get(format!("{}/api/incidents?$top=1", f.sandbox.base_url())).bearer_auth(token);
    let reply = Reply::of(request.send().await.unwrap()).await;
    assert_eq!((reply.status, reply.code()), (403, "Forbidden"));
    let bare = f.client.get(format!("{}/api/incidents", f.sandbox.base_url()));
    assert_eq!(Reply::of(bare.send().await.unwrap()).await.status, 401);
}

#[tokio::test]
async fn discovery_names_the_directory() {
    let f = Fixture::new().await;
    let get = async |path: &str| {
        let url = format!("{}{path}", f.sandbox.base_url());
        Reply::of(f.client.request(Method::GET, url).send().await.unwrap()).await
    };
    let found = get("/contoso.example/v2.0/.well-known/openid-configuration").await;
    assert_eq!(found.headers["cache-control"], "max-age=86400, private");
    let tenant = "6f1c0f5e-0000-4000-8000-000000000001";
    let base = f.sandbox.base_url();
    assert_eq!(found.body["issuer"], format!("{base}/{tenant}/v2.0"));
    assert_eq!(found.body["token_endpoint"], format!("{base}/{tenant}/oauth2/v2.0/token"));
    let keys = get(found.body["jwks_uri"].as_str().unwrap().trim_start_matches(&base)).await;
    assert!(keys.body["keys"][0]["kid"].is_string());
    let unknown = get("/nope.example/v2.0/.well-known/openid-configuration").await;
    assert_eq!(code(&unknown), (400, "invalid_tenant", 90_002));
    let common = get("/common/v2.0/.well-known/openid-configuration").await;
    assert!(common.body["issuer"].as_str().unwrap().contains("{tenantid}"));
    let instance = get(&format!(
        "/common/discovery/instance?api-version=1.1&authorization_endpoint={base}/common/oauth2/v2.0/authorize"
    ))
    .await;
    assert_eq!(instance.status, 200, "{instance:?}");
    let bad = get("/common/discovery/instance?authorization_endpoint=https://evil.example/common/oauth2/authorize").await;
    assert_eq!(code(&bad), (400, "invalid_instance", 50_049));
}

#[tokio::test]
async fn an_assertion_needs_a_federated_credential() {
    let f = Fixture::new().await;
    let mut world = f.sandbox.world();
    let o = f.operator.clone();
    let home = world["directories"]
        .as_array_mut()
        .unwrap()
        .iter_mut()
        .find(|d| d["home"] == true)
        .unwrap();
    let app = home["applications"]
        .as_array_mut()
        .unwrap()
        .iter_mut()
        .find(|a| a["appId"] == o.client_id.as_str())
        .unwrap();
    app["federatedIdentityCredentials"] = json!([{"issuer": "https://ci.example", "subject": "repo:a", "audiences": ["api://AzureADTokenExchange"]}]);
    f.sandbox.put_world(&world).unwrap();
    let part = |v: Value| URL_SAFE_NO_PAD.encode(v.to_string());
    let far = jiff::Timestamp::now().as_second() + 600;
    let assertion = |sub: &str, exp: i64| {
        let body = json!({"iss": "https://ci.example", "sub": sub, "aud": "api://AzureADTokenExchange", "exp": exp});
        format!("{}.{}.c2ln", part(json!({"alg": "RS256"})), part(body))
    };
    let ask = async |assertion: String| {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", o.client_id.as_str()),
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
            ("client_assertion", assertion.as_str()),
            ("scope", GRAPH),
        ];
        f.token_request(&o.tenant_id, &form).await
    };
    assert_eq!(ask(assertion("repo:a", far)).await.status, 200);
    assert_eq!(code(&ask(assertion("repo:b", far)).await).2, 700_213);
    assert_eq!(code(&ask(assertion("repo:a", far - 3_600)).await).2, 700_024);
    assert_eq!(code(&ask("no.jwt".to_owned()).await).2, 50_027);
}
