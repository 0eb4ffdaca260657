//! Which of Entra ID's endpoints a path names.

use hyper::Method;

use super::{
    asking::Purpose,
    discovery::{self, Version},
    errors::Aadsts,
    token::{self, Endpoint},
    visit,
};
use crate::sandbox::{
    engine::{Context, State},
    http::{Request, Response, percent_decode},
    operation::Operation,
};

/// One endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::sandbox) enum Target {
    /// The token endpoint of a directory.
    Token(String, Endpoint),
    /// The OpenID configuration of a directory.
    OpenidConfiguration(String, Version),
    /// Instance discovery.
    Instance,
    /// The signing keys.
    Keys,
    /// Where people sign in and consent.
    Visit(String, Purpose, Endpoint),
    /// Nothing that is known.
    Unknown,
}

/// Finds the endpoint.
pub(in crate::sandbox) fn route(path: &str) -> (Operation, Target) {
    let segments: Option<Vec<String>> =
        path.trim_start_matches('/').split('/').map(percent_decode).collect();
    let segments = segments.unwrap_or_default();
    let names: Vec<&str> = segments.iter().map(String::as_str).collect();
    match names.as_slice() {
        ["common", "discovery", "instance"] => (Operation::InstanceDiscovery, Target::Instance),
        [_, "discovery", "keys"] | [_, "discovery", "v2.0", "keys"] => {
            (Operation::SigningKeys, Target::Keys)
        }
        [tenant, "oauth2", "v2.0", "token"] => {
            (Operation::Token, Target::Token((*tenant).to_owned(), Endpoint::V2))
        }
        [tenant, "oauth2", "token"] => {
            (Operation::Token, Target::Token((*tenant).to_owned(), Endpoint::V1))
        }
        [tenant, "v2.0", ".well-known", "openid-configuration"] => (
            Operation::OpenidConfiguration,
            Target::OpenidConfiguration((*tenant).to_owned(), Version::V2),
        ),
        [tenant, ".well-known", "openid-configuration"] => (
            Operation::OpenidConfiguration,
            Target::OpenidConfiguration((*tenant).to_owned(), Version::V1),
        ),
        [tenant, "adminconsent"] => visit(tenant, Purpose::AdminConsent, Endpoint::V1),
        [tenant, "v2.0", "adminconsent"] => visit(tenant, Purpose::AdminConsent, Endpoint::V2),
        [tenant, "oauth2", "authorize"] => visit(tenant, Purpose::Authorize, Endpoint::V1),
        [tenant, "oauth2", "v2.0", "authorize"] => visit(tenant, Purpose::Authorize, Endpoint::V2),
        _ => (Operation::LoginPage, Target::Unknown),
    }
}

fn visit(tenant: &str, purpose: Purpose, endpoint: Endpoint) -> (Operation, Target) {
    let operation = match purpose {
        Purpose::Authorize => Operation::Authorize,
        Purpose::AdminConsent => Operation::AdminConsent,
    };
    (operation, Target::Visit(tenant.to_owned(), purpose, endpoint))
}

/// Answers at that endpoint.
pub(in crate::sandbox) fn answer(
    state: &mut State,
    context: &Context<'_>,
    request: &Request,
    target: &Target,
) -> Response {
    let reads = request.method == Method::GET || request.method == Method::HEAD;
    let response = match target {
        Target::Token(tenant, endpoint) => {
            token::answer(state, context, request, tenant, *endpoint)
                .with("cache-control", "no-store, no-cache")
                .with("pragma", "no-cache")
                .with("expires", "-1")
        }
        Target::Visit(tenant, purpose, endpoint) if reads || request.method == Method::POST => {
            visit::answer(state, context, request, tenant, *purpose, *endpoint)
        }
        _ if !reads => Aadsts::invalid_request(
            900_561,
            format!(
                "The endpoint only accepts GET requests. Received a {} request.",
                request.method
            ),
        )
        .response(state.world.now(), request.header("client-request-id"))
        .with("allow", "GET"),
        Target::OpenidConfiguration(tenant, version) => {
            discovery::openid_configuration(&state.world, request, tenant, *version)
        }
        Target::Instance => discovery::instance(&state.world, request),
        Target::Keys => Response::json(200, &context.signer.key_set())
            .with("cache-control", "max-age=86400, private"),
        Target::Visit(..) | Target::Unknown => {
            Response::html(404, "<!doctype html><title>404</title><p>Not found.")
        }
    };
    response
        .with("x-ms-ests-server", "2.1.0 - sandbox")
        .with("strict-transport-security", "max-age=31536000; includeSubDomains")
        .with("x-content-type-options", "nosniff")
}
