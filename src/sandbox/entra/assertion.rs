//! Assertions in the place of a secret: a token of an issuer that the application trusts, or one
//! that it signed itself with the key of a certificate
//! (<https://learn.microsoft.com/en-us/entra/identity-platform/certificate-credentials>).

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jiff::Timestamp;
use ring::signature::{
    RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, RsaParameters, UnparsedPublicKey,
};
use serde_json::Value;
use url::Url;

use super::{errors::Aadsts, jwt};
use crate::sandbox::{certificate::Certificate, engine::State, world::apps::App};

/// How far clocks may be apart.
const SKEW: i64 = 300;

/// Looks at an assertion for an application; `asked` is the address that the request went to.
pub(super) fn is_good(
    state: &State,
    app: &App,
    assertion: &str,
    asked: &str,
    now: Timestamp,
) -> Result<(), Aadsts> {
    let claims = jwt::claims(assertion)
        .ok_or_else(|| Aadsts::invalid_client(50_027, "JWT token is invalid or malformed."))?;
    // A date may have a fraction (RFC 7519, 2): MSAL for Python writes one.
    let date = |name: &str| claims[name].as_f64();
    let Some(expiry) = date("exp") else {
        return Err(Aadsts::invalid_client(
            700_021,
            "Client assertion application identifier doesn't have an expiry.",
        ));
    };
    let second = now.as_second() as f64;
    if expiry <= second || date("nbf").is_some_and(|begins| begins > second + SKEW as f64) {
        return Err(Aadsts::invalid_client(
            700_024,
            "Client assertion is not within its valid time range.",
        ));
    }
    let is_own = |name: &str| {
        claims[name].as_str().is_some_and(|text| text.eq_ignore_ascii_case(app.app_id()))
    };
    if is_own("iss") {
        if !is_own("sub") {
            return Err(Aadsts::invalid_client(
                700_021,
                "Client assertion application identifier doesn't match 'client_id' parameter.",
            ));
        }
        signed_by_itself(state, app, assertion, now)?;
        return meant_for(&claims, asked);
    }
    issued(app, &claims)
}

/// Signed with the key of one of the application's own certificates, which its header names.
fn signed_by_itself(
    state: &State,
    app: &App,
    assertion: &str,
    now: Timestamp,
) -> Result<(), Aadsts> {
    let header = jwt::header(assertion).unwrap_or_default();
    let algorithm: &RsaParameters = match header["alg"].as_str() {
        Some("PS256") => &RSA_PSS_2048_8192_SHA256,
        Some("RS256") => &RSA_PKCS1_2048_8192_SHA256,
        _ => return Err(invalid("The signature algorithm is not supported")),
    };
    let named = |name: &str| {
        header[name]
            .as_str()
            .and_then(|text| URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok())
    };
    let (sha256, sha1) = (named("x5t#S256"), named("x5t"));
    let keys = app.graph["keyCredentials"].as_array().map_or(&[][..], Vec::as_slice);
    let certificate = |key: &Value| {
        let der = STANDARD.decode(key["key"].as_str()?).ok()?;
        Certificate::read(&der)
    };
    let is_it = |found: &Certificate| match (&sha256, &sha1) {
        (Some(sha256), _) => found.sha256 == *sha256,
        // A client may put the longer thumbprint under the shorter one's name.
        (None, Some(either)) => found.sha1 == *either || found.sha256 == *either,
        (None, None) => false,
    };
    let lags = |key: &Value| {
        let born = key["keyId"].as_str().and_then(|id| app.fresh_keys.get(id));
        born.is_some_and(|born| born.elapsed() < state.lag)
    };
    let found = keys
        .iter()
        .filter(|key| key["usage"] == "Verify" && !lags(key))
        .find_map(|key| Some((key, certificate(key).filter(is_it)?)));
    let Some((key, certificate)) = found else {
        return Err(Aadsts::invalid_client(
            700_027,
            "The certificate with identifier used to sign the client assertion is not registered on \
             application. [Reason - The key was not found.]",
        ));
    };
    let time = |name: &str| key[name].as_str().and_then(|text| text.parse::<Timestamp>().ok());
    let ended = |end: Option<Timestamp>| end.is_none_or(|end| now >= end);
    if ended(time("endDateTime")) || ended(Some(certificate.not_after)) {
        return Err(Aadsts::invalid_client(
            700_027,
            "The certificate with identifier used to sign the client assertion is expired on \
             application. [Reason - The key used is expired.]",
        ));
    }
    if time("startDateTime").is_some_and(|start| start.as_second() > now.as_second() + SKEW) {
        return Err(invalid("The key used is not valid yet"));
    }
    let public = certificate.rsa.ok_or_else(|| invalid("The key used is no RSA key"))?;
    let bad = || invalid("The signature is not the key's");
    let (signed, signature) = assertion.rsplit_once('.').ok_or_else(bad)?;
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| bad())?;
    UnparsedPublicKey::new(algorithm, public)
        .verify(signed.as_bytes(), &signature)
        .map_err(|_| bad())
}

fn invalid(reason: &str) -> Aadsts {
    Aadsts::invalid_client(
        700_027,
        format!("Client assertion contains an invalid signature. [Reason - {reason}.]"),
    )
}

/// Whether its audience is the endpoint that was asked, in one of its forms.
fn meant_for(claims: &Value, asked: &str) -> Result<(), Aadsts> {
    let parts = |text: &str| {
        let url = Url::parse(text).ok().filter(|url| url.scheme() == "https")?;
        let mut segments = url.path_segments()?;
        let tenant = segments.next()?.to_ascii_lowercase();
        let rest = segments.collect::<Vec<_>>().join("/");
        Some((url.authority().to_ascii_lowercase(), tenant, rest))
    };
    let good = (|| {
        let (host, tenant, rest) = parts(claims["aud"].as_str()?)?;
        let (own_host, own_tenant, _) = parts(asked)?;
        let host = host == own_host || host == "login.microsoftonline.com";
        let tenant = [own_tenant.as_str(), "common", "organizations"].contains(&tenant.as_str());
        let endpoints = ["oauth2/v2.0/token", "oauth2/token", "v2.0", ""];
        (host && tenant && endpoints.contains(&rest.trim_end_matches('/'))).then_some(())
    })();
    good.ok_or_else(|| {
        Aadsts::invalid_client(
            700_023,
            "Client assertion audience claim does not match Realm issuer.",
        )
    })
}

/// A federated identity credential of the application names issuer, subject and audience. The
/// signature is not looked at: the sandbox knows no other issuer's keys.
fn issued(app: &App, claims: &Value) -> Result<(), Aadsts> {
    let audiences: Vec<&str> = match &claims["aud"] {
        Value::String(one) => vec![one],
        Value::Array(many) => many.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let matching = app.federated.iter().any(|f| {
        f["issuer"] == claims["iss"]
            && f["subject"] == claims["sub"]
            && f["audiences"]
                .as_array()
                .is_some_and(|a| a.iter().filter_map(Value::as_str).any(|a| audiences.contains(&a)))
    });
    if matching {
        return Ok(());
    }
    let said = |name: &str| claims[name].as_str().unwrap_or("").to_owned();
    Err(Aadsts::invalid_client(
        700_213,
        format!(
            "No matching federated identity record found for presented assertion subject '{}'. Check your \
             federated identity credential Subject, Audience and Issuer against the presented assertion \
             (issuer '{}').",
            said("sub"),
            said("iss")
        ),
    ))
}
