//! A started sandbox and a client that trusts it.

use reqwest::{Client, Method, StatusCode, header::HeaderMap};
use serde_json::{Value, json};

use crate::sandbox::{Operator, Options, Sandbox};

/// A sandbox, a client of it, and the operator's token.
pub(super) struct Fixture {
    pub(super) sandbox: Sandbox,
    pub(super) client: Client,
    pub(super) operator: Operator,
    token: String,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Value,
}

impl Reply {
    pub(super) fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or_default()
    }

    pub(super) fn message(&self) -> &str {
        self.body["error"]["message"].as_str().unwrap_or_default()
    }

    pub(super) async fn of(response: reqwest::Response) -> Self {
        let status = response.status();
        let headers = response.headers().clone();
        let bytes = response.bytes().await.unwrap();
        let body = if bytes.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&bytes)
                .unwrap_or_else(|_| json!(String::from_utf8_lossy(&bytes)))
        };
        assert!(status != StatusCode::NO_CONTENT || body.is_null());
        Self { status: status.as_u16(), headers, body }
    }
}

pub(super) fn client_of(sandbox: &Sandbox) -> Client {
    // Another test may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .tls_certs_only([reqwest::Certificate::from_pem(sandbox.ca_pem().as_bytes()).unwrap()])
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap()
}

impl Fixture {
    pub(super) async fn new() -> Self {
        Self::with(Options::default()).await
    }

    pub(super) async fn with(options: Options) -> Self {
        let sandbox = Sandbox::start(options).await.unwrap();
        let client = client_of(&sandbox);
        let operator = sandbox.operator();
        let mut fixture = Self { sandbox, client, operator, token: String::new() };
        fixture.sign_in().await;
        fixture
    }

    /// A fresh token of the operator, with the roles that it has now.
    pub(super) async fn sign_in(&mut self) {
        let operator = self.operator.clone();
        let reply =
            self.ask_token(&operator.tenant_id, &operator.client_id, &operator.client_secret).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        self.token = reply.body["access_token"].as_str().unwrap().to_owned();
    }

    /// Asks for a Graph token by client credentials.
    pub(super) async fn ask_token(&self, tenant: &str, client: &str, secret: &str) -> Reply {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", client),
            ("client_secret", secret),
            ("scope", "https://graph.microsoft.com/.default"),
        ];
        self.token_request(tenant, &form).await
    }

    /// Any form to the v2 token endpoint.
    pub(super) async fn token_request(&self, tenant: &str, form: &[(&str, &str)]) -> Reply {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let url = format!("{}/{tenant}/oauth2/v2.0/token", self.sandbox.base_url());
        let request = self
            .client
            .post(url)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body);
        Reply::of(request.send().await.unwrap()).await
    }

    /// Replaces the operator's token.
    pub(super) fn set_token(&mut self, token: &str) {
        self.token = token.to_owned();
    }

    /// A request to Graph v1.0 with the operator's token; `path` begins with `/`.
    pub(super) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client
            .request(method, format!("{}/v1.0{path}", self.sandbox.base_url()))
            .bearer_auth(&self.token)
    }

    pub(super) async fn get(&self, path: &str) -> Reply {
        Reply::of(self.request(Method::GET, path).send().await.unwrap()).await
    }

    pub(super) async fn delete(&self, path: &str) -> Reply {
        Reply::of(self.request(Method::DELETE, path).send().await.unwrap()).await
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> Reply {
        self.send(Method::POST, path, body).await
    }

    pub(super) async fn patch(&self, path: &str, body: &Value) -> Reply {
        self.send(Method::PATCH, path, body).await
    }

    pub(super) async fn send(&self, method: Method, path: &str, body: &Value) -> Reply {
        let request = self
            .request(method, path)
            .header("content-type", "application/json")
            .body(body.to_string());
        Reply::of(request.send().await.unwrap()).await
    }

    /// An upsert, with the preference that creates.
    pub(super) async fn upsert(&self, name: &str, body: &Value) -> Reply {
        let request = self
            .request(Method::PATCH, &format!("/applications(uniqueName='{name}')"))
            .header("prefer", "create-if-missing")
            .header("content-type", "application/json")
            .body(body.to_string());
        Reply::of(request.send().await.unwrap()).await
    }

    /// Gives the operator more roles, and a token that has them.
    pub(super) async fn grant_operator(&mut self, roles: &[&str]) {
        let mut world = self.sandbox.world();
        let operator = self.operator.clone();
        let directory = world["directories"]
            .as_array_mut()
            .unwrap()
            .iter_mut()
            .find(|d| d["id"] == operator.tenant_id.as_str())
            .unwrap();
        let principal = directory["servicePrincipals"]
            .as_array()
            .unwrap()
            .iter()
            .find(|p| p["appId"] == operator.client_id.as_str())
            .unwrap()["id"]
            .clone();
        let graph = crate::sandbox::world::first_party::by_app_id(
            crate::sandbox::world::first_party::GRAPH,
        )
        .unwrap();
        for role in roles {
            directory["appRoleAssignments"].as_array_mut().unwrap().push(json!({
                "id": format!("granted-{role}"), "principalId": principal, "principalType": "ServicePrincipal",
                "resourceId": graph.object_id(&operator.tenant_id), "appRoleId": graph.role_id(role).unwrap(),
            }));
        }
        self.sandbox.put_world(&world).unwrap();
        self.sign_in().await;
    }
}
