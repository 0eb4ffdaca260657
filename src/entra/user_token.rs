//! Tokens of an app that acts for a person: a code redeemed once, a refresh token used as often as
//! it lives (<https://learn.microsoft.com/en-us/entra/identity-platform/v2-oauth2-auth-code-flow>).

#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, time::Duration};

use azure_core::http::{Context, Method, Request};
use jiff::Timestamp;
use serde::Deserialize;
use url::{Url, form_urlencoded};

use super::{
    app_token::{AppToken, SecretAge, not_the_operators},
    claims::{Api, Bearer, Claims, Wanted},
    proof::{ClientProof, Showing, Shown},
    user::User,
};
use crate::{
    cloud::Cloud,
    connector::GRAPH,
    failure::{Cause, Failure},
    http::{Access, Grant, Lag, Network, Service, Spends, Tries, hint_for_grant},
    ids::{ClientId, TenantId},
    secret::Secret,
};

/// The longest refresh token that is believed, in bytes; Microsoft's are a few kilobytes.
const LONGEST_REFRESH_TOKEN: usize = 64 * 1024;

/// A token of an app for one person in one directory.
#[derive(Debug, Clone)]
pub struct UserToken {
    /// The token; its directory and its app were checked against those that were asked for.
    pub token: AppToken,
    /// The refresh token that came with it.
    pub refresh: Option<Secret<String>>,
    /// Whose it is.
    pub user: User,
    /// When it was given, by the server's clock where that is known.
    pub given: Timestamp,
}

/// An app that asks a directory's token endpoint for a token, and what it shows there.
#[derive(Debug, Clone, Copy)]
pub struct Asker<'a> {
    /// The way out.
    pub network: &'a Network,
    /// The cloud.
    pub cloud: &'a Cloud,
    /// The directory that is asked.
    pub directory: TenantId,
    /// The app.
    pub client: ClientId,
    /// What it shows.
    pub proof: &'a ClientProof,
    /// How old that is.
    pub age: SecretAge,
}

/// A code that a sign-in gave, and what it was asked for with.
#[derive(Debug, Clone, Copy)]
pub struct Code<'a> {
    /// The code: good for about a minute and for one use.
    pub code: &'a Secret<String>,
    /// The redirect URI of the sign-in, the port included.
    pub redirect: &'a Url,
    /// The verifier of the sign-in's proof key.
    pub verifier: &'a Secret<String>,
}

/// Redeems a code. It is not repeated where an answer may have been lost: the code could be spent
/// by then, and the repeat would hide that behind AADSTS54005.
///
/// # Errors
/// Entra ID's refusal with its AADSTS code ([`Cause::Refused`]; the hint says what to do), a token
/// of another directory or app or of none that can be read ([`Cause::Garbled`]), or the network's.
pub async fn redeem(
    asker: &Asker<'_>,
    code: &Code<'_>,
    scopes: &BTreeSet<String>,
) -> Result<UserToken, Failure> {
    let Code { code, redirect, verifier } = *code;
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code.expose()),
        ("redirect_uri", redirect.as_str()),
        ("code_verifier", verifier.expose()),
    ];
    ask(asker, Grant::Code, &form, scopes).await
}

/// Uses a refresh token. Safe to repeat: the old one stays good when a new one is given
/// (<https://learn.microsoft.com/en-us/entra/identity-platform/refresh-tokens>).
///
/// # Errors
/// As [`redeem`].
pub async fn refresh(
    asker: &Asker<'_>,
    refresh_token: &Secret<String>,
    scopes: &BTreeSet<String>,
) -> Result<UserToken, Failure> {
    let form = [("grant_type", "refresh_token"), ("refresh_token", refresh_token.expose())];
    ask(asker, Grant::RefreshToken, &form, scopes).await
}

#[derive(Deserialize)]
struct Answer {
    access_token: Secret<String>,
    /// Seconds; a number by now, whichever the service wrote.
    expires_in: Option<u64>,
    refresh_token: Option<Secret<String>>,
    id_token: Option<Secret<String>>,
}

async fn ask(
    asker: &Asker<'_>,
    grant: Grant,
    of_grant: &[(&str, &str)],
    scopes: &BTreeSet<String>,
) -> Result<UserToken, Failure> {
    let Asker { network, cloud, directory, client, proof, age } = *asker;
    let showing = Showing { network, cloud, directory, client, proof };
    let scope = scopes.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
    let request = |shown: &Shown| {
        let form = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(of_grant)
            .append_pair("client_id", &client.to_string())
            .extend_pairs(shown.members())
            .append_pair("scope", &scope)
            .finish();
        let mut request = Request::new(showing.endpoint(), Method::Post);
        request.insert_header("content-type", "application/x-www-form-urlencoded");
        request.insert_header("accept", "application/json");
        request.set_body(form);
        request
    };

    // A token request is a POST that changes nothing in a directory.
    let calls = network.calls(Service::Token, Some(directory), Access::ReadWrite, None);
    let tries = Tries::default();
    let mut context = Context::new().with_value(tries.clone());
    if let Grant::Code = grant {
        context.insert(Spends::Once);
    }
    if let SecretAge::Fresh = age {
        context.insert(Lag::NewSecret);
    }
    let began = showing.moment();
    let first = calls.send(&context, request(&showing.at(began))).await;
    // The client is looked at before what it brings: nothing of that is spent.
    let answer = match first {
        Err(failure) => match showing.again(&failure, began) {
            Some(shown) => calls.send(&context, request(&shown)).await,
            None => Err(failure),
        },
        given => given,
    };
    let answer = answer.map_err(|failure| refused(not_the_operators(failure), grant, &tries))?;
    let given = calls.server_time().unwrap_or_else(Timestamp::now);
    let garbled = |why: String| {
        let failure = Failure::new(Cause::Garbled, why);
        refused(failure, grant, &tries)
    };
    let Answer { access_token, expires_in, refresh_token, id_token } =
        serde_json::from_slice(answer.body().as_ref())
            // serde's own words may repeat what stood there.
            .map_err(|_| garbled("the token endpoint's answer is not what it should be".into()))?;

    let claims = Claims::read(access_token.expose());
    let graph = cloud.graph_scope();
    // A scope without the name of an API is one of Graph.
    let api =
        scopes.iter().all(|scope| !scope.contains('/')).then_some(Api { id: GRAPH, scope: &graph });
    claims
        .check(&Wanted { directory, client, api, bearer: Bearer::Person })
        .map_err(|failure| refused(failure, grant, &tries))?;
    // The id token tells names that the other may lack; only of the same person.
    let about = id_token
        .map(|token| Claims::read(token.expose()))
        .filter(|about| about.tid == claims.tid && about.oid == claims.oid);
    let user = User::of(&claims, about.as_ref());
    let lives = Duration::from_secs(expires_in.unwrap_or(0));
    let token = AppToken {
        directory,
        scopes: claims.scopes(),
        roles: claims.roles,
        expires: given.checked_add(lives).unwrap_or(Timestamp::MAX),
        bearer: access_token,
    };
    // What no form could carry back is no token: it must not take the place of one that works.
    let refresh = refresh_token.filter(|token| sendable(token.expose()));
    Ok(UserToken { token, refresh, user, given })
}

/// Adds what this grant knows of a failure.
fn refused(mut failure: Failure, grant: Grant, tries: &Tries) -> Failure {
    if let Some(hint) = hint_for_grant(grant, &failure) {
        failure.hint = Some(hint.to_owned());
    }
    // A try before this one was answered with a passing trouble, and spent the code all the same.
    if grant == Grant::Code && tries.count() > 1 && failure.code.as_deref() == Some("AADSTS54005") {
        failure.message.push_str(" (by an earlier try of this same run)");
    }
    failure
}

/// Whether this can be a refresh token: printable ASCII, as RFC 6749, A.17 has it.
fn sendable(token: &str) -> bool {
    (1..=LONGEST_REFRESH_TOKEN).contains(&token.len())
        && token.bytes().all(|byte| (0x20..=0x7e).contains(&byte))
}
