//! How a person is asked to sign in to an app: the page's address, and the proof key that ties the
//! code it gives to whoever asked.

use std::{collections::BTreeSet, fmt};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use graph_rs_sdk::identity::{
    AuthCodeAuthorizationUrlParameterBuilder, AzureCloudInstance, Prompt, ResponseMode,
};
use sha2::{Digest, Sha256};
use url::Url;
use uuid::Uuid;

use crate::{
    cloud::Cloud,
    failure::{Cause, Failure},
    ids::{ClientId, TenantId},
    secret::Secret,
};

/// A proof key for one sign-in: whoever redeems the code must know the verifier, of which the page
/// saw only the SHA-256 (<https://www.rfc-editor.org/rfc/rfc7636>, method `S256`).
#[derive(Clone)]
pub struct Pkce {
    verifier: Secret<String>,
    challenge: String,
}

impl Pkce {
    /// A new one, of 366 random bits.
    pub fn fresh() -> Self {
        let random = [Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4()];
        let bytes: Vec<u8> = random.iter().flat_map(|part| *part.as_bytes()).collect();
        Self::of(URL_SAFE_NO_PAD.encode(bytes))
    }

    fn of(verifier: String) -> Self {
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()));
        Self { verifier: Secret::new(verifier), challenge }
    }

    /// What is shown when the code is redeemed, and never before.
    pub fn verifier(&self) -> &Secret<String> {
        &self.verifier
    }

    /// What goes into the page's address.
    pub fn challenge(&self) -> &str {
        &self.challenge
    }
}

impl fmt::Debug for Pkce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pkce").field("challenge", &self.challenge).finish_non_exhaustive()
    }
}

/// One sign-in as it is asked for.
#[derive(Debug, Clone, Copy)]
pub struct SignIn<'a> {
    /// The cloud, whose pages people open.
    pub cloud: &'a Cloud,
    /// The directory to sign in to; never `common`.
    pub tenant: TenantId,
    /// The app.
    pub client: ClientId,
    /// Where the browser goes with the answer; on `localhost` the port is not compared with what is
    /// registered (<https://learn.microsoft.com/en-us/entra/identity-platform/reply-url>).
    pub redirect: &'a Url,
    /// What the token shall carry; with `offline_access` a refresh token comes too.
    pub scopes: &'a BTreeSet<String>,
    /// Comes back with the answer, and belongs to this sign-in alone.
    pub state: &'a Secret<String>,
    /// Its proof key.
    pub pkce: &'a Pkce,
    /// Who shall sign in. The page refuses a hint beside its account picker (MSAL.js #3315 on
    /// GitHub), so that whoever names nobody gets the picker, and whoever names somebody does not.
    pub login_hint: Option<&'a str>,
}

/// The address of the sign-in page, spelled by `graph-rs-sdk` and moved to this cloud's pages
/// (<https://learn.microsoft.com/en-us/entra/identity-platform/v2-oauth2-auth-code-flow>).
///
/// # Errors
/// [`Cause::Guard`] where it cannot be spelled: no scope, or a client id of zeros.
pub fn authorize_url(asked: &SignIn<'_>) -> Result<Url, Failure> {
    let SignIn { cloud, tenant, client, redirect, scopes, state, pkce, login_hint } = *asked;
    let mut spelled = AuthCodeAuthorizationUrlParameterBuilder::new(client.as_uuid());
    spelled
        .with_tenant(tenant.to_string())
        .with_redirect_uri(redirect.clone())
        .with_scope(scopes)
        .with_state(state.expose())
        .with_code_challenge(pkce.challenge())
        .with_code_challenge_method("S256")
        .with_response_mode(ResponseMode::Query);
    match login_hint {
        Some(name) => spelled.with_login_hint(name),
        None => spelled.with_prompt(Prompt::SelectAccount),
    };
    // Its words could hold what was asked for: they are dropped.
    let spelled = spelled.url_with_host(&AzureCloudInstance::AzurePublic).map_err(|_| {
        Failure::new(Cause::Guard, "the address of the sign-in page could not be spelled")
    })?;
    let mut url = cloud.pages.clone();
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend([&tenant.to_string(), "oauth2", "v2.0", "authorize"]);
    }
    url.set_query(spelled.query());
    Ok(url)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::cloud::CloudName;

    #[test]
    fn the_challenge_is_the_one_of_the_standard() {
        // RFC 7636, appendix B.
        let pkce = Pkce::of("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".to_owned());
        assert_eq!(pkce.challenge(), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    #[test]
    fn each_proof_key_is_new_long_enough_and_not_printed() {
        let (one, two) = (Pkce::fresh(), Pkce::fresh());
        assert_ne!(one.challenge(), two.challenge());
        assert_eq!(one.verifier().expose().len(), 64);
        assert!(!format!("{one:?}").contains(one.verifier().expose().as_str()));
    }

    #[test]
    fn the_address_is_pinned_to_the_tenant_and_holds_what_the_flow_asks_for() {
        let cloud = Cloud::built_in(CloudName::Global);
        let pkce = Pkce::fresh();
        let (redirect, state) = (
            Url::parse("http://localhost:49152/tenantry").unwrap(),
            Secret::new("a state+&=".to_owned()),
        );
        let scopes: BTreeSet<String> =
            ["SecurityIncident.Read.All".to_owned(), "offline_access".to_owned()].into();
        let mut asked = SignIn {
            cloud: &cloud,
            tenant: "6f1c0f5e-0000-4000-8000-000000000001".parse().unwrap(),
            client: "0b6d0000-0000-4000-8000-000000000002".parse().unwrap(),
            redirect: &redirect,
            scopes: &scopes,
            state: &state,
            pkce: &pkce,
            login_hint: None,
        };
        let url = authorize_url(&asked).unwrap();
        assert_eq!(
            url.as_str().split('?').next().unwrap(),
            "https://login.microsoftonline.com/6f1c0f5e-0000-4000-8000-000000000001/oauth2/v2.0/authorize"
        );
        let query: BTreeMap<String, String> = url.query_pairs().into_owned().collect();
        let mut wanted: BTreeMap<String, String> = [
            ("client_id", "0b6d0000-0000-4000-8000-000000000002"),
            ("response_type", "code"),
            ("redirect_uri", "http://localhost:49152/tenantry"),
            ("response_mode", "query"),
            ("scope", "SecurityIncident.Read.All offline_access"),
            ("state", "a state+&="),
            ("prompt", "select_account"),
            ("code_challenge", pkce.challenge()),
            ("code_challenge_method", "S256"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        assert_eq!(query, wanted);
        asked.login_hint = Some("soc-reader@acme-soc.example");
        let query: BTreeMap<String, String> =
            authorize_url(&asked).unwrap().query_pairs().into_owned().collect();
        wanted.remove("prompt");
        wanted.insert("login_hint".into(), "soc-reader@acme-soc.example".into());
        assert_eq!(query, wanted);
        assert!(!format!("{asked:?}").contains("a state"));
    }
}
