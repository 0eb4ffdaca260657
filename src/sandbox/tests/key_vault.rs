//! A key vault over https: versions, deletion, rights, and where its values are kept.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::support::{Fixture, Reply};
use crate::sandbox::Options;

const VALUE: &str = "canary~Q8w.a-value-of-the-vault";

/// A key vault and a token for it.
struct Vault {
    f: Fixture,
    base: String,
    token: String,
}

impl Vault {
    async fn new() -> Self {
        Self::with(Options::default()).await
    }

    async fn with(options: Options) -> Self {
        let f = Fixture::with(options).await;
        let base = format!("{}/keyvault/acme-soc", f.sandbox.base_url());
        let token = token(&f, "https://vault.azure.net/.default").await;
        Self { f, base, token }
    }

    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Reply {
        let joint = if path.contains('?') { '&' } else { '?' };
        self.raw(method, &format!("{}/{path}{joint}api-version=7.6", self.base), body).await
    }

    async fn raw(&self, method: Method, url: &str, body: Option<Value>) -> Reply {
        let mut request = self.f.client.request(method, url).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        Reply::of(request.send().await.unwrap()).await
    }

    async fn set(&self, name: &str, value: &str) -> Reply {
        self.ask(Method::PUT, &format!("secrets/{name}"), Some(json!({"value": value}))).await
    }

    async fn get(&self, path: &str) -> Reply {
        self.ask(Method::GET, path, None).await
    }

    /// Gives the operator another role in place of the one it has.
    fn as_role(&self, role: &str) {
        let mut world = self.f.sandbox.world();
        world["keyVaults"][0]["assignments"][0]["role"] = json!(role);
        self.f.sandbox.put_world(&world).unwrap();
    }
}

async fn token(f: &Fixture, scope: &str) -> String {
    let o = &f.operator;
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", o.client_id.as_str()),
        ("client_secret", o.client_secret.as_str()),
        ("scope", scope),
    ];
    let reply = f.token_request(&o.tenant_id, &form).await;
    reply.body["access_token"].as_str().unwrap_or_else(|| panic!("{reply:?}")).to_owned()
}

fn refusal(reply: &Reply) -> (u16, &str, &str) {
    let inner = reply.body["error"]["innererror"]["code"].as_str().unwrap_or_default();
    (reply.status, reply.code(), inner)
}

#[tokio::test]
async fn whoever_comes_without_a_token_is_told_where_to_get_one() {
    let v = Vault::new().await;
    let url = format!("{}/secrets?api-version=7.6", v.base);
    let bare = Reply::of(v.f.client.get(&url).send().await.unwrap()).await;
    assert_eq!(refusal(&bare), (401, "Unauthorized", ""));
    assert!(bare.message().starts_with("AKV10000"), "{bare:?}");
    let challenge = bare.headers["www-authenticate"].to_str().unwrap();
    assert_eq!(
        challenge,
        format!(
            "Bearer authorization=\"{}/{}\", resource=\"https://vault.azure.net\"",
            v.f.sandbox.base_url(),
            v.f.operator.tenant_id
        )
    );
    // A token for another service does not do.
    let graph = token(&v.f, "https://graph.microsoft.com/.default").await;
    let reply = Reply::of(v.f.client.get(&url).bearer_auth(graph).send().await.unwrap()).await;
    assert_eq!(refusal(&reply), (401, "Unauthorized", ""));
    assert!(
        reply.message().starts_with("AKV10022") && reply.headers.contains_key("www-authenticate")
    );
    // And one for the vault none for Graph.
    let mut f = v.f;
    f.set_token(&v.token);
    assert_eq!(f.get("/applications").await.status, 401);
}

#[tokio::test]
async fn each_write_is_a_version_and_the_newest_counts() {
    let v = Vault::new().await;
    let first = v.set("One", "first").await;
    assert_eq!(first.status, 200, "{first:?}");
    assert_eq!(first.body["value"], "first");
    let id = first.body["id"].as_str().unwrap().to_owned();
    assert!(id.starts_with(&format!("{}/secrets/One/", v.base)), "{id}");
    assert!(first.headers.contains_key("x-ms-request-id"));
    v.set("one", "second").await;
    assert_eq!(v.get("secrets/ONE").await.body["value"], "second");
    let old = v.raw(Method::GET, &format!("{id}?api-version=7.6"), None).await;
    assert_eq!(old.body["value"], "first");
    assert_eq!(v.get("secrets/one/versions").await.body["value"].as_array().unwrap().len(), 2);
    let listed = v.get("secrets").await;
    assert_eq!(listed.body["value"][0]["id"], format!("{}/secrets/One", v.base));
    assert!(listed.body["value"][0].get("value").is_none());

    // Tags are replaced, what is not named stays, and the value cannot be changed.
    let change = json!({"tags": {"a": "1"}, "attributes": {"enabled": true, "exp": 1_900_000_000}});
    let changed = v.ask(Method::PATCH, "secrets/one", Some(change)).await;
    assert_eq!((changed.status, &changed.body["tags"]), (200, &json!({"a": "1"})));
    assert_eq!(changed.body["attributes"]["exp"], 1_900_000_000);
    assert_eq!(v.get("secrets").await.body["value"][0]["tags"], json!({"a": "1"}));
    let reply = v.ask(Method::PATCH, "secrets/one", Some(json!({"value": "x"}))).await;
    assert_eq!(refusal(&reply), (400, "BadParameter", ""));
    v.ask(Method::PATCH, "secrets/one", Some(json!({"attributes": {"enabled": false}}))).await;
    assert_eq!(refusal(&v.get("secrets/one").await), (403, "Forbidden", "SecretDisabled"));
    assert_eq!(
        v.raw(Method::GET, &format!("{id}?api-version=7.6"), None).await.body["value"],
        "first"
    );
    assert_eq!(v.get("secrets").await.body["value"][0]["attributes"]["enabled"], false);
}

#[tokio::test]
async fn a_deleted_name_is_nobodys_until_it_is_recovered_or_purged() {
    let v = Vault::new().await;
    v.set("one", "first").await;
    let gone = v.ask(Method::DELETE, "secrets/one", None).await;
    assert_eq!(gone.status, 200, "{gone:?}");
    assert_eq!(gone.body["recoveryId"], format!("{}/deletedsecrets/one", v.base));
    assert_eq!(refusal(&v.get("secrets/one").await), (404, "SecretNotFound", ""));
    assert_eq!(v.get("secrets").await.body["value"], json!([]));
    let again = v.set("one", "other").await;
    assert_eq!(refusal(&again), (409, "Conflict", "ObjectIsDeletedButRecoverable"));
    assert_eq!(v.get("deletedsecrets").await.body["value"].as_array().unwrap().len(), 1);
    let back = v.ask(Method::POST, "deletedsecrets/one/recover", None).await;
    assert_eq!(back.status, 200, "{back:?}");
    assert_eq!(v.get("secrets/one").await.body["value"], "first");

    // Deletion takes its moment.
    v.f.sandbox.set_lag(Duration::from_secs(60));
    v.ask(Method::DELETE, "secrets/one", None).await;
    for (method, path) in
        [(Method::POST, "deletedsecrets/one/recover"), (Method::DELETE, "deletedsecrets/one")]
    {
        assert_eq!(
            refusal(&v.ask(method, path, None).await),
            (409, "Conflict", "ObjectIsBeingDeleted")
        );
    }
    assert_eq!(refusal(&v.set("one", "x").await).2, "ObjectIsBeingDeleted");
    v.f.sandbox.set_lag(Duration::ZERO);
    assert_eq!(v.ask(Method::DELETE, "deletedsecrets/one", None).await.status, 204);
    assert_eq!(v.set("one", "anew").await.status, 200);
    assert_eq!(v.get("secrets/one/versions").await.body["value"].as_array().unwrap().len(), 1);

    // After ninety days nothing is left.
    v.ask(Method::DELETE, "secrets/one", None).await;
    v.f.sandbox.advance("P91D").unwrap();
    let v = Vault { token: token(&v.f, "https://vault.azure.net/.default").await, ..v };
    assert_eq!(v.get("deletedsecrets/one").await.status, 404);
    assert_eq!(v.set("one", "third").await.status, 200);
}

#[tokio::test]
async fn a_backup_is_restored_where_the_name_is_free() {
    let v = Vault::new().await;
    v.set("one", VALUE).await;
    v.set("one", "second").await;
    let blob = v.ask(Method::POST, "secrets/one/backup", None).await;
    let blob = json!({"value": blob.body["value"]});
    assert!(!blob.to_string().contains(VALUE));
    let taken = v.ask(Method::POST, "secrets/restore", Some(blob.clone())).await;
    assert_eq!(taken.status, 409, "{taken:?}");
    v.ask(Method::DELETE, "secrets/one", None).await;
    v.ask(Method::DELETE, "deletedsecrets/one", None).await;
    let back = v.ask(Method::POST, "secrets/restore", Some(blob)).await;
    assert_eq!(back.status, 200, "{back:?}");
    assert_eq!(v.get("secrets/one").await.body["value"], "second");
    let forged = v.ask(Method::POST, "secrets/restore", Some(json!({"value": "AAAA"}))).await;
    assert_eq!(forged.status, 400);
}

#[tokio::test]
async fn roles_decide_who_reads_values_and_who_reads_names() {
    let v = Vault::new().await;
    v.set("one", VALUE).await;
    v.as_role("Key Vault Reader");
    assert_eq!(v.get("secrets").await.status, 200);
    assert_eq!(v.get("secrets/one/versions").await.status, 200);
    let denied = v.get("secrets/one").await;
    assert_eq!(refusal(&denied), (403, "Forbidden", "ForbiddenByRbac"));
    assert!(
        denied.message().contains("getSecret")
            && denied.message().contains(&v.f.operator.client_id)
    );
    assert_eq!(v.set("one", "x").await.status, 403);
    v.as_role("Key Vault Secrets User");
    assert_eq!(v.get("secrets/one").await.body["value"], VALUE);
    for (method, path) in [(Method::DELETE, "secrets/one"), (Method::POST, "secrets/one/backup")] {
        assert_eq!(v.ask(method, path, None).await.status, 403, "{path}");
    }
    assert_eq!(v.ask(Method::PATCH, "secrets/one", Some(json!({"tags": {}}))).await.status, 403);
    let mut world = v.f.sandbox.world();
    world["keyVaults"][0]["assignments"] = json!([]);
    v.f.sandbox.put_world(&world).unwrap();
    assert_eq!(v.get("secrets").await.status, 403);
    world["keyVaults"][0]["assignments"] = json!([{"principalId": "x", "role": "Owner of all"}]);
    assert!(v.f.sandbox.put_world(&world).unwrap_err().contains("Owner of all"));
}

#[tokio::test]
async fn what_is_too_long_or_wrong_is_refused() {
    let v = Vault::new().await;
    let put = async |name: &str, body: Value| {
        v.ask(Method::PUT, &format!("secrets/{name}"), Some(body)).await.status
    };
    let long = "x".repeat(128);
    assert_eq!(put(&long, json!({"value": "x"})).await, 400);
    assert_eq!(put(&long[1..], json!({"value": "x"})).await, 200);
    assert_eq!(put("under_score", json!({"value": "x"})).await, 400);
    assert_eq!(put("a", json!({"value": "x".repeat(25_601)})).await, 400);
    assert_eq!(put("a", json!({"value": "x".repeat(25_600)})).await, 200);
    assert_eq!(put("a", json!({})).await, 400);
    assert_eq!(put("a", json!({"value": "x", "colour": 1})).await, 400);
    let tags = |count: usize, length: usize| -> Value {
        (0..count)
            .map(|n| (format!("t{n}"), json!("v".repeat(length))))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    assert_eq!(put("a", json!({"value": "x", "tags": tags(15, 256)})).await, 200);
    assert_eq!(put("a", json!({"value": "x", "tags": tags(16, 1)})).await, 400);
    assert_eq!(put("a", json!({"value": "x", "tags": tags(1, 257)})).await, 400);
    assert_eq!(put("a", json!({"value": "x", "attributes": {"nbf": 2, "exp": 1}})).await, 400);
    let no_version = v.raw(Method::GET, &format!("{}/secrets", v.base), None).await;
    assert_eq!(refusal(&no_version), (400, "BadParameter", ""));
    let strange = v.raw(Method::GET, &format!("{}/secrets?api-version=9", v.base), None).await;
    assert_eq!(strange.status, 400);
    assert_eq!(v.get("secrets/a/not-a-version").await.status, 400);
    assert_eq!(v.get("secrets?maxresults=26").await.status, 400);
    assert_eq!(v.get("keys").await.status, 404);
    let nowhere = v.base.replace("acme-soc", "nowhere");
    assert_eq!(
        v.raw(Method::GET, &format!("{nowhere}/secrets?api-version=7.6"), None).await.status,
        404
    );
    let plain =
        v.f.client.put(format!("{}/secrets/a?api-version=7.6", v.base)).bearer_auth(&v.token);
    assert_eq!(plain.body("{\"value\":\"x\"}").send().await.unwrap().status(), 415);
}

#[tokio::test]
async fn lists_come_in_pages_that_name_the_next() {
    let v = Vault::new().await;
    for number in 0..60 {
        v.set(&format!("s{number:02}"), "x").await;
    }
    let (mut url, mut names, mut pages) =
        (format!("{}/secrets?api-version=7.6", v.base), Vec::new(), 0);
    loop {
        let page = v.raw(Method::GET, &url, None).await;
        let items = page.body["value"].as_array().unwrap();
        assert!(items.len() <= 25);
        names.extend(items.iter().map(|item| item["id"].as_str().unwrap().to_owned()));
        pages += 1;
        match page.body["nextLink"].as_str() {
            Some(next) => {
                assert!(next.starts_with(&v.base), "{next}");
                url = next.to_owned();
            }
            None => break,
        }
    }
    names.dedup();
    assert_eq!((pages, names.len()), (3, 60));
    assert_eq!(v.get("secrets?$skiptoken=nonsense").await.status, 400);
    // By its bare address the world's first vault answers, by its own host the named one.
    let bare = format!("{}/secrets/s00?api-version=7.6", v.f.sandbox.base_url());
    assert_eq!(v.raw(Method::GET, &bare, None).await.status, 200);
    let request =
        v.f.client.get(&bare).bearer_auth(&v.token).header("host", "acme-soc.vault.azure.net");
    let reply = Reply::of(request.send().await.unwrap()).await;
    assert!(
        reply.body["id"]
            .as_str()
            .unwrap()
            .starts_with("https://acme-soc.vault.azure.net/secrets/s00/"),
        "{reply:?}"
    );
}

#[tokio::test]
async fn values_outlive_a_restart_and_stand_nowhere_in_clear() {
    let dir = tempfile::tempdir().unwrap();
    let options = || Options { dir: Some(dir.path().to_owned()), ..Options::default() };
    let v = Vault::with(options()).await;
    v.set("one", VALUE).await;
    v.set("two", "second").await;
    v.ask(Method::DELETE, "secrets/two", None).await;
    assert!(!v.f.sandbox.world().to_string().contains(VALUE));
    // A world that is put keeps the values whose hashes it names, and takes new ones in clear.
    let mut world = v.f.sandbox.world();
    world["keyVaults"][0]["secrets"]["three"] = json!({"name": "three", "versions": [{
        "id": "0".repeat(32), "value": "third-in-clear", "enabled": true, "created": 1, "updated": 1}]});
    v.f.sandbox.put_world(&world).unwrap();
    assert_eq!(v.get("secrets/three").await.body["value"], "third-in-clear");
    v.set("four", "fourth").await;
    let clean = || {
        for entry in std::fs::read_dir(dir.path()).unwrap() {
            let path = entry.unwrap().path();
            let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
            for value in [VALUE, "third-in-clear"] {
                assert!(!text.contains(value), "{}", path.display());
            }
        }
    };
    clean();
    assert!(
        std::fs::read_to_string(dir.path().join("requests.jsonl"))
            .unwrap()
            .contains("vault.setSecret")
    );
    v.f.sandbox.stop().await;
    clean();
    let v = Vault::with(options()).await;
    for (name, value) in [("one", VALUE), ("three", "third-in-clear"), ("four", "fourth")] {
        assert_eq!(v.get(&format!("secrets/{name}")).await.body["value"], value);
    }
    assert_eq!(v.ask(Method::POST, "deletedsecrets/two/recover", None).await.status, 200);
    assert_eq!(v.get("secrets/two").await.body["value"], "second");
}

#[tokio::test]
async fn faults_reach_a_key_vault_by_the_names_of_its_operations() {
    let v = Vault::new().await;
    v.f.sandbox
        .add_faults(&json!([
            {"operation": "vault.setSecret", "do": "cut-after"},
            {"operation": "vault.getSecret",
                "do": {"status": 429, "headers": {"retry-after": "7"}}}]))
        .unwrap();
    let url = format!("{}/secrets/one?api-version=7.6", v.base);
    let sent =
        v.f.client.put(&url).bearer_auth(&v.token).header("content-type", "application/json");
    assert!(sent.body("{\"value\":\"x\"}").send().await.is_err());
    let throttled = v.get("secrets/one").await;
    assert_eq!(refusal(&throttled), (429, "Throttled", ""));
    assert_eq!(throttled.headers["retry-after"], "7");
    assert_eq!(v.get("secrets/one").await.body["value"], "x");
}
