//! Who asks for a token: which client, whether the directory knows it, and its proof.

use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use serde_json::Value;

use super::{assertion, errors::Aadsts, refusals, token::Form};
use crate::sandbox::{
    engine::State,
    http::{Request, percent_decode},
    random,
    world::{World, apps::App, directory::Directory},
};

/// What a client says of itself.
pub(super) struct Claimed {
    /// Its client id, as sent.
    pub(super) id: String,
    /// The address that was asked, as the client may name it in an assertion.
    asked: String,
    proof: Proof,
}

enum Proof {
    None,
    Secret(String),
    Assertion(String),
}

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Reads the client's id and proof from the form or from a Basic header (RFC 6749, 2.3.1).
pub(super) fn claimed(request: &Request, form: &Form) -> Result<Claimed, Aadsts> {
    let asked = format!("{}{}", request.origin(), request.path);
    if let Some((id, secret)) = request.header("authorization").and_then(basic) {
        return Ok(Claimed { id, asked, proof: Proof::Secret(secret) });
    }
    let id = form.get("client_id").ok_or_else(|| Aadsts::missing("client_id"))?.to_owned();
    let proof = match (form.get("client_secret"), form.get("client_assertion")) {
        (Some(secret), _) => Proof::Secret(secret.to_owned()),
        (None, Some(assertion)) => {
            match form.get("client_assertion_type") {
                Some(ASSERTION_TYPE) => {}
                Some(_) => {
                    return Err(Aadsts::invalid_request(
                        500_112,
                        "The 'client_assertion_type' is not supported.",
                    ));
                }
                None => return Err(Aadsts::missing("client_assertion_type")),
            }
            Proof::Assertion(assertion.to_owned())
        }
        (None, None) => Proof::None,
    };
    Ok(Claimed { id, asked, proof })
}

fn basic(header: &str) -> Option<(String, String)> {
    let (scheme, value) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(value.trim()).ok()?).ok()?;
    let (id, secret) = text.split_once(':')?;
    Some((percent_decode(id)?, percent_decode(secret)?))
}

/// The client's application and its service principal in the directory.
pub(super) fn known<'w>(
    world: &'w World,
    directory: &Directory,
    claimed: &Claimed,
) -> Result<(&'w App, Value), Aadsts> {
    let client = claimed.id.to_ascii_lowercase();
    let tenant = &directory.meta.id;
    let not_found = || {
        Aadsts::new(
            400,
            "unauthorized_client",
            700_016,
            format!(
                "Application with identifier '{}' was not found in the directory '{}'. This can happen if \
                 the application has not been installed by the administrator of the tenant or consented to \
                 by any user in the tenant. You may have sent your authentication request to the wrong tenant.",
                claimed.id, directory.meta.name
            ),
        )
    };
    let (home, app) = world.client(&client).ok_or_else(not_found)?;
    let principal = directory.principals.by_app_id(&client);
    if app.audience() == "AzureADMyOrg" && home != tenant {
        return Err(match principal {
            None => not_found(),
            Some(_) => Aadsts::new(
                400,
                "unauthorized_client",
                650_059,
                format!(
                    "The application (appId:{client}) is not configured for use in tenant (tenantId: \
                     {tenant}). The value AzureADMyOrg set for application property SignInAudience is \
                     limiting its use in the tenant."
                ),
            ),
        });
    }
    let Some(principal) = principal else {
        return Err(Aadsts::invalid_client(
            7_000_229,
            format!(
                "The client application {client} is missing service principal in the tenant {tenant}. See \
                 instructions here: https://go.microsoft.com/fwlink/?linkid=2225119"
            ),
        ));
    };
    refusals::enabled(directory, app)?;
    Ok((app, principal.clone()))
}

/// Looks at the client's proof.
pub(super) fn proved(
    state: &State,
    app: &App,
    claimed: &Claimed,
    now: Timestamp,
) -> Result<(), Aadsts> {
    match &claimed.proof {
        Proof::None => Err(Aadsts::invalid_client(
            7_000_218,
            "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
        )),
        Proof::Secret(secret) => secret_is_live(state, app, secret, now),
        Proof::Assertion(assertion) => {
            assertion::is_good(state, app, assertion, &claimed.asked, now)
        }
    }
}

fn secret_is_live(state: &State, app: &App, secret: &str, now: Timestamp) -> Result<(), Aadsts> {
    let wrong = || {
        Aadsts::invalid_client(
            7_000_215,
            format!(
                "Invalid client secret provided. Ensure the secret being sent in the request is the client \
                 secret value, not the client secret ID, for a secret added to app '{}'.",
                app.app_id()
            ),
        )
    };
    let hash = random::secret_hash(secret);
    let key = app.hashes.iter().find(|(_, h)| **h == hash).map(|(key, _)| key).ok_or_else(wrong)?;
    // A fresh secret takes its time to reach every server.
    if app.fresh_keys.get(key).is_some_and(|born| born.elapsed() < state.lag) {
        return Err(wrong());
    }
    let credential =
        app.passwords().iter().find(|c| c["keyId"].as_str() == Some(key)).ok_or_else(wrong)?;
    let time = |name: &str| credential[name].as_str().and_then(|t| t.parse::<Timestamp>().ok());
    if time("startDateTime").is_some_and(|start| now < start) {
        return Err(wrong());
    }
    if time("endDateTime").is_none_or(|end| now >= end) {
        return Err(Aadsts::invalid_client(
            7_000_222,
            format!(
                "The provided client secret keys for app '{}' are expired. Visit the Azure portal to create \
                 new keys for your app: https://aka.ms/NewClientSecret, or consider using certificate \
                 credentials for added security: https://aka.ms/certCreds.",
                app.app_id()
            ),
        ));
    }
    Ok(())
}
