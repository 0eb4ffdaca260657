//! A connector's app, and the people who consent to it and sign in to it.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::support::{Fixture, Reply};
use crate::sandbox::{Opened, Options};

pub(super) const CONTOSO: &str = "6f1c0f5e-0000-4000-8000-000000000001";
pub(super) const GRAPH: &str = "00000003-0000-0000-c000-000000000000";
const INCIDENTS: &str = "b9abcc4f-94fc-4457-9141-d20ce80ec952";
const OFFLINE: &str = "7427e0e9-2fba-42fe-b0c0-848c9e6a8182";
pub(super) const READER: &str = "soc-reader@acme-soc.example";
pub(super) const VERIFIER: &str = "a-verifier-that-is-long-enough-for-the-rules-0123456789";
pub(super) const REDIRECT: &str = "http://localhost:4711/tenantry";
const SCOPES: &str =
    "openid profile offline_access https://graph.microsoft.com/SecurityIncident.Read.All";

pub(super) struct Story {
    pub(super) f: Fixture,
    pub(super) client: String,
    pub(super) object: String,
    pub(super) secret: String,
}

impl Story {
    /// An app with the connector's delegated permissions, and its analyst a guest of Contoso.
    pub(super) async fn new() -> Self {
        Self::with(Options::default()).await
    }

    pub(super) async fn with(options: Options) -> Self {
        let f = Fixture::with(options).await;
        f.sandbox
            .ensure_directories(&[crate::sandbox::NewDirectory {
                id: Some(CONTOSO.to_owned()),
                domain: None,
                name: "Contoso".to_owned(),
                home: false,
                users: vec![READER.to_owned()],
            }])
            .unwrap();
        let made = f
            .upsert(
                "one",
                &json!({"displayName": "One <b>", "signInAudience": "AzureADMultipleOrgs",
                    "web": {"redirectUris": ["http://localhost/tenantry", "https://a.example/x"]},
                    "requiredResourceAccess": [{"resourceAppId": GRAPH, "resourceAccess": [
                        {"id": INCIDENTS, "type": "Scope"}, {"id": OFFLINE, "type": "Scope"},
                        {"id": "45cc0394-e837-488b-a098-1918f48d186c", "type": "Role"}]}]}),
            )
            .await;
        assert_eq!(made.status, 201, "{made:?}");
        let object = made.body["id"].as_str().unwrap().to_owned();
        let end = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24 * 300);
        let asked = json!({"passwordCredential": {"endDateTime": end.to_string()}});
        let added = f.post(&format!("/applications/{object}/addPassword"), &asked).await;
        Self {
            client: made.body["appId"].as_str().unwrap().to_owned(),
            object,
            secret: added.body["secretText"].as_str().unwrap().to_owned(),
            f,
        }
    }

    pub(super) fn link(&self, path: &str, pairs: &[(&str, &str)]) -> String {
        let mut url = url::Url::parse(&format!("{}/{path}", self.f.sandbox.pages_url())).unwrap();
        url.query_pairs_mut().append_pair("client_id", &self.client).extend_pairs(pairs);
        url.to_string()
    }

    pub(super) fn consent_link(&self) -> String {
        self.link(
            &format!("{CONTOSO}/adminconsent"),
            &[("redirect_uri", REDIRECT), ("state", "s3cr3t-state")],
        )
    }

    pub(super) fn sign_in_link(&self, more: &[(&str, &str)]) -> String {
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER));
        let mut pairs = vec![
            ("response_type", "code"),
            ("redirect_uri", REDIRECT),
            ("scope", SCOPES),
            ("state", "s3cr3t-state"),
            ("code_challenge", challenge.as_str()),
            ("code_challenge_method", "S256"),
            ("login_hint", READER),
        ];
        pairs.retain(|(name, _)| !more.iter().any(|(n, _)| n == name));
        pairs.extend(more.iter().copied().filter(|(_, v)| !v.is_empty()));
        self.link(&format!("{CONTOSO}/oauth2/v2.0/authorize"), &pairs)
    }

    pub(super) fn consent(&self) {
        assert!(landed(&self.f.sandbox.open(&self.consent_link())).contains("admin_consent=True"));
    }

    pub(super) fn code(&self) -> String {
        pair(&landed(&self.f.sandbox.open(&self.sign_in_link(&[]))), "code").unwrap()
    }

    pub(super) async fn redeem(&self, tenant: &str, code: &str, changes: &[(&str, &str)]) -> Reply {
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("client_id", self.client.as_str()),
            ("client_secret", self.secret.as_str()),
            ("code", code),
            ("redirect_uri", REDIRECT),
            ("code_verifier", VERIFIER),
        ];
        form.retain(|(name, _)| !changes.iter().any(|(n, _)| n == name));
        form.extend(changes.iter().copied().filter(|(_, v)| !v.is_empty()));
        self.f.token_request(tenant, &form).await
    }

    pub(super) async fn refresh(&self, tenant: &str, token: &str) -> Reply {
        let form = [
            ("grant_type", "refresh_token"),
            ("client_id", self.client.as_str()),
            ("client_secret", self.secret.as_str()),
            ("refresh_token", token),
            ("scope", SCOPES),
        ];
        self.f.token_request(tenant, &form).await
    }

    /// A refresh token of the analyst.
    pub(super) async fn refresh_token(&self) -> String {
        self.consent();
        let reply = self.redeem(CONTOSO, &self.code(), &[]).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.body["refresh_token"].as_str().unwrap().to_owned()
    }

    /// Changes a directory of the world.
    pub(super) fn change(&self, name: &str, change: impl FnOnce(&mut Value)) {
        let mut world = self.f.sandbox.world();
        let directories = world["directories"].as_array_mut().unwrap();
        change(directories.iter_mut().find(|d| d["name"] == name).unwrap());
        self.f.sandbox.put_world(&world).unwrap();
    }
}

pub(super) fn landed(opened: &Opened) -> String {
    match opened {
        Opened::Landed(at) => at.clone(),
        Opened::Shown(text) => panic!("shown: {text}"),
        Opened::Nobody => panic!("nobody"),
    }
}

pub(super) fn shown(opened: &Opened) -> String {
    match opened {
        Opened::Shown(text) => text.clone(),
        Opened::Landed(at) => panic!("landed: {at}"),
        Opened::Nobody => panic!("nobody"),
    }
}

pub(super) fn pair(address: &str, name: &str) -> Option<String> {
    let url = url::Url::parse(address).unwrap();
    url.query_pairs().find(|(n, _)| n == name).map(|(_, v)| v.into_owned())
}

pub(super) fn refusal(reply: &Reply) -> (u16, &str, u64, Option<&str>) {
    let number = reply.body["error_codes"][0].as_u64().unwrap_or_default();
    (
        reply.status,
        reply.body["error"].as_str().unwrap_or_default(),
        number,
        reply.body["suberror"].as_str(),
    )
}

pub(super) fn claims(token: &Value) -> Value {
    let payload = token.as_str().unwrap().split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}
