//! Applications and their secrets.

use serde_json::json;

use super::support::Fixture;

#[tokio::test]
async fn an_upsert_creates_then_changes_then_finds() {
    let f = Fixture::new().await;
    let body = json!({"displayName": "One", "signInAudience": "AzureADMultipleOrgs", "tags": ["t=1"],
        "web": {"redirectUris": ["https://one.example/SiemMsspConnector"]}});
    let made = f.upsert("one", &body).await;
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(made.body["uniqueName"], "one");
    assert_eq!(made.body["passwordCredentials"], json!([]));
    let again = f.upsert("one", &json!({"displayName": "Two"})).await;
    assert_eq!(again.status, 204, "{again:?}");
    let read = f.get("/applications(uniqueName='one')").await;
    assert_eq!(read.body["displayName"], "Two");
    assert_eq!(read.body["tags"], json!(["t=1"]));
    assert_eq!(read.body["id"], made.body["id"]);
    let missing = f.patch("/applications(uniqueName='none')", &body).await;
    assert_eq!((missing.status, missing.code()), (404, "Request_ResourceNotFound"));
}

#[tokio::test]
async fn a_secret_is_told_once_and_signs_in_where_the_app_has_a_principal() {
    let f = Fixture::new().await;
    let made = f
        .upsert("one", &json!({"displayName": "One", "signInAudience": "AzureADMultipleOrgs"}))
        .await;
    let (id, client) = (made.body["id"].as_str().unwrap(), made.body["appId"].as_str().unwrap());
    let added = f
        .post(
            &format!("/applications/{id}/addPassword"),
            &json!({"passwordCredential": {"displayName": "d", "endDateTime": "2099-01-01T00:00:00Z"}}),
        )
        .await;
    assert_eq!(added.status, 200, "{added:?}");
    let secret = added.body["secretText"].as_str().unwrap();
    assert_eq!(added.body["hint"], secret[..3]);
    let read = f.get(&format!("/applications/{id}")).await;
    assert_eq!(read.body["passwordCredentials"][0]["secretText"], json!(null));
    assert_eq!(read.body["passwordCredentials"][0]["keyId"], added.body["keyId"]);
    let refused = f.ask_token("contoso.example", client, secret).await;
    assert_eq!((refused.status, &refused.body["error_codes"]), (401, &json!([7_000_229])));
    assert!(!f.sandbox.world().to_string().contains(secret));
    assert!(f.sandbox.issued_secrets().iter().any(|s| s == secret));
}

#[tokio::test]
async fn federated_credentials_are_distinct_and_few() {
    let f = Fixture::new().await;
    f.upsert("one", &json!({"displayName": "One"})).await;
    let path = "/applications(uniqueName='one')/federatedIdentityCredentials";
    let body = json!({"name": "ci", "issuer": "https://ci.example", "subject": "repo:a",
        "audiences": ["api://AzureADTokenExchange"]});
    let made = f.post(path, &body).await;
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(f.post(path, &body).await.code(), "Request_MultipleObjectsWithSameKeyValue");
    let same = json!({"name": "other", "issuer": "https://ci.example", "subject": "repo:a", "audiences": ["x"]});
    assert_eq!(f.post(path, &same).await.status, 400);
    let two = json!({"name": "two", "issuer": "https://ci.example", "subject": "b", "audiences": ["x", "y"]});
    assert_eq!(f.post(path, &two).await.status, 400);
    assert_eq!(f.post(path, &json!({"name": "three"})).await.status, 400);
    let one = format!("{path}/{}", made.body["id"].as_str().unwrap());
    assert_eq!(f.patch(&one, &json!({"subject": "repo:b"})).await.status, 204);
    assert_eq!(f.patch(&one, &json!({"name": "new"})).await.status, 400);
    assert_eq!(f.get(path).await.body["value"][0]["subject"], "repo:b");
    assert_eq!(f.delete(&one).await.status, 204);
    assert_eq!(f.get(&one).await.status, 404);
}
