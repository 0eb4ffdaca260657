//! Faults, lag, limits and concurrency.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use super::support::{Fixture, Reply};
use crate::sandbox::{Options, Throttling};

const BODY: fn() -> Value =
    || json!({"displayName": "One", "signInAudience": "AzureADMultipleOrgs"});

fn upsert(f: &Fixture, name: &str) -> reqwest::RequestBuilder {
    f.request(Method::PATCH, &format!("/applications(uniqueName='{name}')"))
        .header("prefer", "create-if-missing")
        .header("content-type", "application/json")
        .body(BODY().to_string())
}

#[tokio::test]
async fn a_cut_has_no_answer_and_its_side_of_the_effect() {
    let f = Fixture::new().await;
    for (act, exists) in [("cut-before", false), ("cut-after", true)] {
        f.sandbox.add_faults(&json!([{"operation": "application.upsert", "do": act}])).unwrap();
        let error = upsert(&f, act).send().await.unwrap_err();
        assert!(!error.is_timeout(), "{error}");
        let found = f.get(&format!("/applications(uniqueName='{act}')")).await;
        assert_eq!(found.status == 200, exists, "{act}");
    }
    assert!(f.sandbox.unused_faults().is_empty());
    let log = f.sandbox.requests();
    let cut: Vec<&Value> = log.iter().filter(|e| !e["fault"].is_null()).collect();
    assert_eq!(cut.len(), 2);
    assert_eq!(cut[0]["status"], Value::Null);
    assert_eq!(cut[0]["graphWrite"], true);
}

#[tokio::test]
async fn scripted_answers_come_instead_slow_ones_late_and_garbage_after() {
    let f = Fixture::new().await;
    let faults = json!([
        {"operation": "application.upsert", "do": {"status": 503, "headers": {"Retry-After": 7}}},
        {"operation": "application.upsert", "nth": 2, "do": {"status": 429, "body": {"own": true}}},
        {"operation": "application.upsert", "nth": 3, "do": "garbage"},
        {"operation": "application.upsert", "nth": 4, "do": {"slow": "300ms"}},
    ]);
    let added = f
        .client
        .post(format!("{}/_sandbox/faults", f.sandbox.base_url()))
        .body(faults.to_string())
        .send()
        .await
        .unwrap();
    assert_eq!(added.status().as_u16(), 201);
    let first = Reply::of(upsert(&f, "a").send().await.unwrap()).await;
    assert_eq!((first.status, first.code()), (503, "serviceNotAvailable"));
    assert_eq!(first.headers["retry-after"], "7");
    assert!(first.headers.contains_key("request-id"));
    let second = Reply::of(upsert(&f, "a").send().await.unwrap()).await;
    assert_eq!((second.status, &second.body["own"]), (429, &json!(true)));
    assert_eq!(f.get("/applications(uniqueName='a')").await.status, 404);
    let third = Reply::of(upsert(&f, "a").send().await.unwrap()).await;
    assert!(third.status == 201 && third.body.is_string(), "{third:?}");
    let started = Instant::now();
    assert_eq!(Reply::of(upsert(&f, "a").send().await.unwrap()).await.status, 204);
    assert!(started.elapsed() >= Duration::from_millis(300));

    let audit =
        f.client.get(format!("{}/_sandbox/faults", f.sandbox.base_url())).send().await.unwrap();
    let audit = Reply::of(audit).await;
    assert_eq!(audit.body["unused"], json!([]));
    assert_eq!(audit.body["given"].as_array().unwrap().len(), 4);
    let refused = f
        .client
        .post(format!("{}/_sandbox/faults", f.sandbox.base_url()))
        .body(r#"[{"operation":"application.fly","do":"garbage"}]"#)
        .send()
        .await
        .unwrap();
    assert_eq!(refused.status().as_u16(), 400);
}

#[tokio::test]
async fn no_answer_means_none() {
    let f = Fixture::new().await;
    f.sandbox
        .add_faults(&json!([{"operation": "*", "match": {"app": "b"}, "do": "no-answer-after"}]))
        .unwrap();
    assert_eq!(Reply::of(upsert(&f, "a").send().await.unwrap()).await.status, 201);
    let waited = tokio::time::timeout(Duration::from_millis(300), upsert(&f, "b").send()).await;
    assert!(waited.is_err());
    assert_eq!(f.get("/applications/$count").await.status, 400);
    f.sandbox.clear_faults();
    assert_eq!(f.get("/applications(uniqueName='b')").await.status, 200);
}

#[tokio::test]
async fn the_nth_request_of_all_is_counted_over_services() {
    let f = Fixture::new().await;
    f.sandbox.add_faults(&json!([{"operation": "*", "nth": 2, "do": {"status": 500}}])).unwrap();
    let o = &f.operator;
    assert_eq!(f.ask_token(&o.tenant_id, &o.client_id, &o.client_secret).await.status, 200);
    assert_eq!(f.get("/applications").await.status, 500);
    assert_eq!(f.get("/applications").await.status, 200);
}

#[tokio::test]
async fn fresh_things_lag() {
    let f = Fixture::new().await;
    f.sandbox.set_lag(Duration::from_millis(600));
    let made = Reply::of(upsert(&f, "one").send().await.unwrap()).await;
    assert_eq!(made.status, 201);
    let id = made.body["id"].as_str().unwrap();
    let client = made.body["appId"].as_str().unwrap();
    let add = format!("/applications/{id}/addPassword");
    for (method, path) in [
        (Method::GET, format!("/applications/{id}")),
        (Method::GET, format!("/applications(appId='{client}')")),
        (Method::GET, "/applications(uniqueName='one')".to_owned()),
        (Method::PATCH, format!("/applications/{id}")),
        (Method::POST, add.clone()),
    ] {
        let reply = f.send(method, &path, &json!({})).await;
        assert_eq!((reply.status, reply.code()), (404, "Request_ResourceNotFound"), "{path}");
    }
    assert_eq!(Reply::of(upsert(&f, "one").send().await.unwrap()).await.status, 404);
    let listed = f.get("/applications?$filter=uniqueName eq 'one'").await;
    assert_eq!(listed.body["value"], json!([]));
    let principal = f.post("/servicePrincipals", &json!({"appId": client})).await;
    assert_eq!(principal.status, 403, "{principal:?}");
    assert!(principal.message().starts_with("When using this permission, the backing application"));

    tokio::time::sleep(Duration::from_millis(650)).await;
    assert_eq!(f.get("/applications?$filter=uniqueName eq 'one'").await.body["value"][0]["id"], id);
    let principal = f.post("/servicePrincipals", &json!({"appId": client})).await;
    assert_eq!(principal.status, 201, "{principal:?}");
    let added = f.post(&add, &json!({})).await;
    let (key, secret) = (&added.body["keyId"], added.body["secretText"].as_str().unwrap());
    assert_eq!(f.get(&format!("/applications/{id}")).await.body["passwordCredentials"], json!([]));
    let remove = format!("/applications/{id}/removePassword");
    let refused = f.post(&remove, &json!({"keyId": key})).await;
    assert_eq!(refused.message(), "No password credential found with keyId.");
    let token = f.ask_token("acme-soc.example", client, secret).await;
    assert_eq!(token.body["error_codes"], json!([7_000_215]));
    tokio::time::sleep(Duration::from_millis(650)).await;
    assert_eq!(
        &f.get(&format!("/applications/{id}")).await.body["passwordCredentials"][0]["keyId"],
        key
    );
    assert_eq!(f.ask_token("acme-soc.example", client, secret).await.status, 200);
    assert_eq!(f.post(&remove, &json!({"keyId": key})).await.status, 204);
}

#[tokio::test]
async fn credentials_of_one_app_are_not_written_side_by_side() {
    let f =
        Fixture::with(Options { latency: Duration::from_millis(100), ..Options::default() }).await;
    let one = f.upsert("one", &BODY()).await;
    let two = f.upsert("two", &BODY()).await;
    let path =
        |app: &Reply| format!("/applications/{}/addPassword", app.body["id"].as_str().unwrap());
    let empty = json!({});
    let (a, b, c) = (path(&one), path(&one), path(&two));
    let (a, b, c) = tokio::join!(f.post(&a, &empty), f.post(&b, &empty), f.post(&c, &empty));
    let mut both = [a.status, b.status];
    both.sort_unstable();
    assert_eq!(both, [200, 409]);
    assert_eq!(c.status, 200);
    let refused = if a.status == 409 { a } else { b };
    assert_eq!(refused.code(), "Directory_ConcurrencyViolation");
    assert_eq!(f.post(&path(&one), &empty).await.status, 200);
}

#[tokio::test]
async fn limits_hold_only_when_asked_for() {
    let f = Fixture::with(Options { throttling: Throttling::On, ..Options::default() }).await;
    let fine = f.get("/applications?$select=id&$top=5").await;
    assert_eq!(fine.headers["x-ms-resource-unit"], "1");
    assert_eq!(f.get("/applications").await.headers["x-ms-resource-unit"], "2");
    // Twenty in an envelope run the bucket dry faster than it fills.
    let requests: Vec<Value> = (0..20)
        .map(|n| json!({"id": n.to_string(), "method": "GET", "url": "/applications(uniqueName='none')"}))
        .collect();
    let batch = json!({"requests": requests});
    let mut refused = None;
    for _ in 0..400 {
        let reply = f.post("/$batch", &batch).await;
        assert_eq!(reply.status, 200);
        let answers = reply.body["responses"].as_array().unwrap();
        refused = answers.iter().find(|r| r["status"] == 429).cloned();
        if refused.is_some() {
            break;
        }
    }
    let refused = refused.unwrap();
    assert_eq!(refused["body"]["error"]["code"], "TooManyRequests");
    let wait: u64 = refused["headers"]["Retry-After"].as_str().unwrap().parse().unwrap();
    assert!(wait >= 1);
    let scope = refused["headers"]["x-ms-throttle-scope"].as_str().unwrap();
    assert!(scope.starts_with("Tenant_Application/ReadWrite/"), "{scope}");
}
