//! What other people's clients need beside Graph: Resource Manager's first questions, public host
//! names, pages.

use serde_json::json;

use super::support::{Fixture, Reply};

#[tokio::test]
async fn azure_cli_finds_its_endpoints_and_its_directory() {
    let f = Fixture::new().await;
    let base = f.sandbox.base_url();
    let get = async |path: &str| {
        Reply::of(f.client.get(format!("{base}{path}")).send().await.unwrap()).await
    };
    let one = get("/metadata/endpoints?api-version=2022-09-01").await;
    assert_eq!(one.body["authentication"]["loginEndpoint"], base.as_str());
    let list = get("/metadata/endpoints?api-version=2019-05-01").await;
    assert_eq!(list.body, json!([one.body]));
    assert_eq!(get("/subscriptions").await.status, 401);

    let o = &f.operator;
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", o.client_id.as_str()),
        ("client_secret", o.client_secret.as_str()),
        // As Azure CLI writes it: the audience ends in a slash already.
        ("scope", "https://management.core.windows.net//.default"),
    ];
    let token = f.token_request(&o.tenant_id, &form).await;
    let token = token.body["access_token"].as_str().unwrap();
    let ask = async |path: &str| {
        let request = f.client.get(format!("{base}{path}")).bearer_auth(token);
        Reply::of(request.send().await.unwrap()).await
    };
    assert_eq!(ask("/subscriptions?api-version=2022-12-01").await.body["value"], json!([]));
    assert_eq!(ask("/tenants").await.body["value"][0]["tenantId"], o.tenant_id.as_str());
    assert_eq!(ask("/v1.0/applications").await.status, 401);
}

#[tokio::test]
async fn public_hosts_are_served_under_their_own_names() {
    let f = Fixture::new().await;
    let port: u16 = f.sandbox.base_url().rsplit(':').next().unwrap().parse().unwrap();
    let here = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    let client = reqwest::Client::builder()
        .tls_certs_only([reqwest::Certificate::from_pem(f.sandbox.ca_pem().as_bytes()).unwrap()])
        .no_proxy()
        .resolve("login.microsoftonline.com", here)
        .resolve("graph.microsoft.com", here)
        .build()
        .unwrap();
    let found = client
        .get(format!("https://login.microsoftonline.com:{port}/contoso.example/v2.0/.well-known/openid-configuration"))
        .send()
        .await
        .unwrap();
    let found = Reply::of(found).await;
    let issuer = found.body["issuer"].as_str().unwrap();
    assert!(issuer.starts_with(&format!("https://login.microsoftonline.com:{port}/")), "{issuer}");
    let graph = client
        .get(format!("https://graph.microsoft.com:{port}/v1.0/applications"))
        .send()
        .await
        .unwrap();
    assert_eq!(Reply::of(graph).await.code(), "InvalidAuthenticationToken");
}

#[tokio::test]
async fn people_get_a_page_over_plain_http() {
    let f = Fixture::new().await;
    let page = f.client.get(f.sandbox.pages_url()).send().await.unwrap();
    assert_eq!(page.status().as_u16(), 200);
    assert!(page.text().await.unwrap().contains("sandbox"));
    let world =
        f.client.get(format!("{}/_sandbox/world", f.sandbox.pages_url())).send().await.unwrap();
    assert!(!world.text().await.unwrap().contains("directories"));
}
