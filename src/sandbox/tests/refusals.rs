//! What Graph refuses, word for word where clients match words.

use reqwest::Method;
use serde_json::{Value, json};

use super::support::{Fixture, Reply};

const MULTI: &str = "AzureADMultipleOrgs";

fn said(reply: &Reply) -> (u16, &str) {
    (reply.status, reply.code())
}

async fn made(f: &Fixture, name: &str) -> Value {
    let reply = f.upsert(name, &json!({"displayName": name, "signInAudience": MULTI})).await;
    assert_eq!(reply.status, 201, "{reply:?}");
    reply.body
}

fn id(app: &Value) -> &str {
    app["id"].as_str().unwrap()
}

#[tokio::test]
async fn tokens_are_looked_at() {
    let mut f = Fixture::new().await;
    f.set_token("");
    let reply = f.get("/applications").await;
    assert_eq!(said(&reply), (401, "InvalidAuthenticationToken"));
    assert_eq!(reply.message(), "Access token is empty.");
    assert!(reply.headers["www-authenticate"].to_str().unwrap().starts_with("Bearer"));
    f.set_token("abc");
    assert_eq!(f.get("/applications").await.status, 401);

    // A token for another API.
    let operator = f.operator.clone();
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", operator.client_id.as_str()),
        ("client_secret", operator.client_secret.as_str()),
        ("scope", "https://api.security.microsoft.com/.default"),
    ];
    let other = f.token_request(&operator.tenant_id, &form).await;
    f.set_token(other.body["access_token"].as_str().unwrap());
    assert!(f.get("/applications").await.message().contains("audience"));

    f.sign_in().await;
    f.sandbox.advance("PT2H").unwrap();
    let expired = f.get("/applications").await;
    assert_eq!(expired.status, 401);
    assert!(expired.message().contains("expired"), "{}", expired.message());
    let inner = &expired.body["error"]["innerError"];
    assert_eq!(inner["request-id"], expired.headers["request-id"].to_str().unwrap());
    assert_eq!(inner["date"].as_str().unwrap().len(), 19);
}

#[tokio::test]
async fn bodies_that_are_none_are_refused_and_nothing_panics() {
    let f = Fixture::new().await;
    let raw = async |kind: Option<&str>, body: Vec<u8>| {
        let mut request = f.request(Method::POST, "/applications").body(body);
        if let Some(kind) = kind {
            request = request.header("content-type", kind);
        }
        Reply::of(request.send().await.unwrap()).await
    };
    let json_type = Some("application/json");
    assert!(raw(json_type, b"{".to_vec()).await.message().starts_with("Unable to read JSON"));
    assert!(
        raw(json_type, b"\xff\xfe".to_vec()).await.message().starts_with("Unable to read JSON")
    );
    assert!(raw(json_type, b"[1]".to_vec()).await.message().starts_with("Unable to read JSON"));
    let twins = br#"{"displayName":"a","displayName":"b"}"#.to_vec();
    assert_eq!(raw(json_type, twins).await.status, 400);
    assert_eq!(raw(json_type, vec![b'['; 200_000]).await.status, 400);
    assert!(raw(json_type, Vec::new()).await.message().starts_with("Empty Payload"));
    assert_eq!(raw(Some("text/plain"), b"{}".to_vec()).await.status, 415);
    assert!(raw(None, b"{}".to_vec()).await.message().contains("Content-Type"));
    assert_eq!(raw(json_type, vec![b' '; 5 << 20]).await.status, 413);
    for method in [Method::PUT, Method::OPTIONS, Method::TRACE] {
        let reply =
            Reply::of(f.request(method.clone(), "/applications").send().await.unwrap()).await;
        assert_eq!(reply.status, 405, "{method}");
    }
    let head = f.request(Method::HEAD, "/applications").send().await.unwrap();
    assert_eq!(head.status().as_u16(), 405);
    assert_eq!(said(&f.get("/nothing").await), (400, "BadRequest"));
    assert_eq!(f.get("/applications/not-a-guid").await.status, 400);
    assert_eq!(f.get("/applications(appId='x')").await.status, 400);
    assert_eq!(f.get("/applications(colour='red')").await.status, 400);
    assert_eq!(f.get("/applications/%ff").await.status, 400);
    let nobody = "6f1c0f5e-9999-4000-8000-000000000001";
    let missing = f.get(&format!("/applications/{nobody}")).await;
    assert_eq!(said(&missing), (404, "Request_ResourceNotFound"));
    assert_eq!(
        missing.message(),
        format!(
            "Resource '{nobody}' does not exist or one of its queried reference-property objects are not present."
        )
    );
}

#[tokio::test]
async fn a_unique_name_is_taken_until_the_bin_forgets_it() {
    let f = Fixture::new().await;
    let app = made(&f, "one").await;
    let body = json!({"displayName": "x", "uniqueName": "one"});
    let clash = f.post("/applications", &body).await;
    let text = "Another object with the same value for property uniqueName already exists.";
    assert_eq!((clash.status, clash.code(), clash.message()), (400, "Request_BadRequest", text));
    assert_eq!(f.delete(&format!("/applications/{}", id(&app))).await.status, 204);
    assert_eq!(f.get("/applications(uniqueName='one')").await.status, 404);
    let held = f.upsert("one", &json!({"displayName": "one"})).await;
    assert_eq!((held.status, held.message()), (400, text));

    let restored =
        f.post(&format!("/directory/deletedItems/{}/restore", id(&app)), &json!({})).await;
    assert_eq!(restored.status, 200, "{restored:?}");
    assert_eq!(restored.body["deletedDateTime"], Value::Null);
    assert_eq!(f.get("/applications(uniqueName='one')").await.body["id"], app["id"]);

    f.delete(&format!("/applications/{}", id(&app))).await;
    f.sandbox.advance("P31D").unwrap();
    let mut f = f;
    f.sign_in().await;
    assert_eq!(f.upsert("one", &json!({"displayName": "one"})).await.status, 201);
}

#[tokio::test]
async fn unique_names_are_given_once() {
    let f = Fixture::new().await;
    let plain = f.post("/applications", &json!({"displayName": "p"})).await;
    assert_eq!((plain.status, &plain.body["uniqueName"]), (201, &Value::Null));
    let path = format!("/applications/{}", id(&plain.body));
    assert_eq!(f.patch(&path, &json!({"uniqueName": "late"})).await.status, 204);
    assert_eq!(f.patch(&path, &json!({"uniqueName": "late"})).await.status, 204);
    assert_eq!(f.patch(&path, &json!({"uniqueName": "other"})).await.status, 400);
    let mismatch = f.upsert("late", &json!({"displayName": "p", "uniqueName": "x"})).await;
    assert_eq!(mismatch.status, 400);
}

#[tokio::test]
async fn writes_are_strict() {
    let f = Fixture::new().await;
    for body in [
        json!({}),
        json!({"displayName": null}),
        json!({"displayName": "x", "colour": "red"}),
        json!({"displayName": "x", "appId": "6f1c0f5e-9999-4000-8000-000000000001"}),
        json!({"displayName": "x", "tags": "one"}),
        json!({"displayName": "x", "signInAudience": "Everybody"}),
        json!({"displayName": "x".repeat(121)}),
        json!({"displayName": "x", "web": {"redirectUris": ["http://x.example/a"]}}),
        json!({"displayName": "x", "passwordCredentials": [{"secretText": "mine"}]}),
        json!({"displayName": "x", "owners@odata.bind": ["https://graph.microsoft.com/v1.0/directoryObjects/6f1c0f5e-9999-4000-8000-000000000001"]}),
    ] {
        let reply = f.post("/applications", &body).await;
        assert!((400..=404).contains(&reply.status), "{body} {reply:?}");
    }
    let refused = f
        .upsert("u", &json!({"displayName": "u", "passwordCredentials": [{"displayName": "d"}]}))
        .await;
    assert_eq!(refused.status, 400);
    let app = made(&f, "one").await;
    let path = format!("/applications/{}", id(&app));
    let secrets = f.patch(&path, &json!({"passwordCredentials": []})).await;
    assert_eq!(secrets.status, 400, "{secrets:?}");
    assert_eq!(
        f.patch(&path, &json!({"createdDateTime": "2020-01-01T00:00:00Z"})).await.status,
        400
    );
    let partial = json!({"web": {"redirectUris": ["https://a.example/x"]}});
    assert_eq!(f.patch(&path, &partial).await.status, 204);
    let read = f.get(&path).await;
    assert_eq!(read.body["web"]["implicitGrantSettings"]["enableIdTokenIssuance"], false);
    assert_eq!(read.body["web"]["redirectUris"], partial["web"]["redirectUris"]);
}

#[tokio::test]
async fn a_creation_may_ask_for_a_secret_at_once() {
    let f = Fixture::new().await;
    let body = json!({"displayName": "x", "passwordCredentials": [{"displayName": "d"}]});
    let reply = f.post("/applications", &body).await;
    assert_eq!(reply.status, 201);
    let secret = reply.body["passwordCredentials"][0]["secretText"].as_str().unwrap();
    assert_eq!(secret.len(), 40);
    let read = f.get(&format!("/applications/{}", id(&reply.body))).await;
    assert_eq!(read.body["passwordCredentials"][0]["secretText"], Value::Null);
}

#[tokio::test]
async fn secrets_have_rules() {
    let f = Fixture::new().await;
    let app = made(&f, "one").await;
    let add = format!("/applications/{}/addPassword", id(&app));
    let remove = format!("/applications/{}/removePassword", id(&app));
    let ends_early = json!({"passwordCredential": {"startDateTime": "2027-01-01T00:00:00Z", "endDateTime": "2026-12-01T00:00:00Z"}});
    for body in [
        ends_early,
        json!({"passwordCredential": {"secretText": "mine"}}),
        json!({"passwordCredential": {"colour": "red"}}),
        json!({"passwordCredential": "x"}),
        json!({"credential": {}}),
    ] {
        assert_eq!(f.post(&add, &body).await.status, 400, "{body}");
    }
    let made = f.post(&add, &json!({})).await;
    assert_eq!(made.status, 200);
    let (start, end) =
        (made.body["startDateTime"].as_str().unwrap(), made.body["endDateTime"].as_str().unwrap());
    let year = |t: &str| t[..4].parse::<i32>().unwrap();
    assert_eq!(year(end) - year(start), 2);
    assert_eq!(start[4..], end[4..]);
    let key = &made.body["keyId"];
    let unknown = f.post(&remove, &json!({"keyId": "6f1c0f5e-9999-4000-8000-000000000001"})).await;
    assert_eq!(
        (unknown.status, unknown.message()),
        (400, "No password credential found with keyId.")
    );
    assert_eq!(f.post(&remove, &json!({"keyId": "x"})).await.status, 400);
    assert_eq!(f.post(&remove, &json!({"keyId": key})).await.status, 204);
    assert_eq!(
        f.get("/applications(uniqueName='one')").await.body["passwordCredentials"],
        json!([])
    );
}

#[tokio::test]
async fn only_owners_may_change_and_owned_by_may_not_look_into_the_bin() {
    let f = Fixture::new().await;
    let foreign = "6f1c0f5e-0001-4000-8000-000000000002";
    let reply = f.patch(&format!("/applications/{foreign}"), &json!({"displayName": "mine"})).await;
    assert_eq!(said(&reply), (403, "Authorization_RequestDenied"));
    assert_eq!(reply.message(), "Insufficient privileges to complete the operation.");
    assert_eq!(
        f.post(&format!("/applications/{foreign}/addPassword"), &json!({})).await.status,
        403
    );
    assert_eq!(f.delete(&format!("/applications/{foreign}")).await.status, 403);
    // The operator of the seed reads all applications, and so the bin.
    let bin =
        f.get("/directory/deletedItems/microsoft.graph.application?$select=id,uniqueName").await;
    assert_eq!(bin.body["value"][0]["uniqueName"], "tenantry-acme-soc--tailspin");
    assert_eq!(
        f.delete("/directory/deletedItems/6f1c0f5e-0001-4000-8000-000000000005").await.status,
        403
    );

    let mut world = f.sandbox.world();
    let home = world["directories"]
        .as_array_mut()
        .unwrap()
        .iter_mut()
        .find(|d| d["home"] == true)
        .unwrap();
    home["appRoleAssignments"]
        .as_array_mut()
        .unwrap()
        .retain(|a| a["appRoleId"] == "18a4783c-866b-4cc7-a460-3d5e5662c884");
    f.sandbox.put_world(&world).unwrap();
    let mut f = f;
    f.sign_in().await;
    assert_eq!(f.get("/applications").await.status, 200);
    for path in [
        "/directory/deletedItems/microsoft.graph.application",
        "/policies/defaultAppManagementPolicy",
        "/organization",
        "/servicePrincipals",
        "/domains",
        "/users",
        "/oauth2PermissionGrants",
    ] {
        assert_eq!(said(&f.get(path).await), (403, "Authorization_RequestDenied"), "{path}");
    }
    // Restoring its own is allowed.
    let own = f
        .post("/directory/deletedItems/6f1c0f5e-0001-4000-8000-000000000005/restore", &json!({}))
        .await;
    assert_eq!(own.status, 200, "{own:?}");
}

#[tokio::test]
async fn policies_speak_their_own_codes() {
    let f = Fixture::new().await;
    let policy = f.get("/policies/defaultAppManagementPolicy").await;
    assert_eq!(policy.body["id"], "00000000-0000-0000-0000-000000000000");
    assert_eq!(policy.body["isEnabled"], false);
    let app = made(&f, "old").await;
    let mut world = f.sandbox.world();
    let home = world["directories"]
        .as_array_mut()
        .unwrap()
        .iter_mut()
        .find(|d| d["home"] == true)
        .unwrap();
    home["policies"]["default"] = json!({
        "id": "11111111-0000-4000-8000-000000000001", "displayName": "d", "isEnabled": true,
        "applicationRestrictions": {
            "passwordCredentials": [
                {"restrictionType": "passwordLifetime", "state": "enabled", "maxLifetime": "P7D"},
                {"restrictionType": "passwordAddition", "state": "disabled"}],
            "keyCredentials": [],
            "audiences": {"azureAdMultipleOrgs": {"state": "enabled"}},
        },
        "servicePrincipalRestrictions": {"passwordCredentials": [], "keyCredentials": []},
    });
    f.sandbox.put_world(&world).unwrap();
    let add = format!("/applications/{}/addPassword", id(&app));
    let long = f.post(&add, &json!({})).await;
    let text = "Credential lifetime exceeds the max value allowed as per assigned policy '11111111-0000-4000-8000-000000000001'.";
    assert_eq!(
        (long.status, long.code(), long.message()),
        (400, "CredentialInvalidLifetimeAsPerAppPolicy", text)
    );
    assert_eq!(
        long.body["error"]["details"],
        json!([{"code": "InvalidKeyEndDate", "message": text, "target": "EndDate"}])
    );
    let audience = f.upsert("new", &json!({"displayName": "n", "signInAudience": MULTI})).await;
    assert_eq!(audience.code(), "SignInAudienceNotAllowedAsPerAppPolicy");
    assert!(audience.message().starts_with(
        "SignInAudience value 'AzureADMultipleOrgs' not allowed as per assigned policy"
    ));

    // The policy of the application's own overrides the default: 180 days are fine, a year is not.
    let own = "/directory/deletedItems/6f1c0f5e-0001-4000-8000-000000000005";
    f.post(&format!("{own}/restore"), &json!({})).await;
    let add = "/applications/6f1c0f5e-0001-4000-8000-000000000005/addPassword";
    let now = jiff::Timestamp::now();
    let end = |days: i64| {
        let end = now + jiff::SignedDuration::from_hours(24 * days);
        json!({"passwordCredential": {"endDateTime": end.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()}})
    };
    assert_eq!(f.post(add, &end(179)).await.status, 200);
    assert_eq!(f.post(add, &end(181)).await.code(), "CredentialInvalidLifetimeAsPerAppPolicy");

    let home = world["directories"]
        .as_array_mut()
        .unwrap()
        .iter_mut()
        .find(|d| d["home"] == true)
        .unwrap();
    let restrictions =
        &mut home["policies"]["default"]["applicationRestrictions"]["passwordCredentials"];
    restrictions[1]["state"] = json!("enabled");
    restrictions[1]["restrictForAppsCreatedAfterDateTime"] = json!("2025-01-01T00:00:00Z");
    f.sandbox.put_world(&world).unwrap();
    let banned = f.post(&format!("/applications/{}/addPassword", id(&app)), &end(1)).await;
    assert_eq!(
        (banned.code(), banned.message()),
        (
            "CredentialTypeNotAllowedAsPerAppPolicy",
            "Credential type not allowed as per assigned policy '11111111-0000-4000-8000-000000000001'."
        )
    );
}

#[tokio::test]
async fn the_quota_ends_creations() {
    let f = Fixture::new().await;
    let mut world = f.sandbox.world();
    let home = world["directories"]
        .as_array_mut()
        .unwrap()
        .iter_mut()
        .find(|d| d["home"] == true)
        .unwrap();
    // Four foreign apps, the operator's, one in the bin.
    home["quota"] = json!(7);
    f.sandbox.put_world(&world).unwrap();
    made(&f, "one").await;
    let reply = f.upsert("two", &json!({"displayName": "two"})).await;
    assert_eq!(said(&reply), (403, "Directory_QuotaExceeded"));
}
