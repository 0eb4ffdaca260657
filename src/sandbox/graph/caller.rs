//! Who calls: the token looked at as Graph looks at it.

use serde_json::Value;

use crate::sandbox::{
    engine::Context,
    entra::jwt::Rejected,
    http::Request,
    schema::Refusal,
    world::{World, first_party, people},
};

/// The caller behind a good token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::sandbox) struct Caller {
    /// The directory that the token is for.
    pub(in crate::sandbox) tenant: String,
    /// The client id.
    pub(in crate::sandbox) app_id: String,
    /// The object id of the client's service principal (or of the user).
    pub(in crate::sandbox) object_id: String,
    /// The permissions that the token carries: app roles, or delegated scopes.
    pub(in crate::sandbox) permissions: Vec<String>,
    /// For a user's token, the ids of the user's directory roles.
    pub(in crate::sandbox) user_roles: Option<Vec<String>>,
}

impl Caller {
    /// Whether Defender lets the caller read: an app by its permissions alone, a user by a role too.
    pub(in crate::sandbox) fn may_read_incidents(&self) -> bool {
        self.user_roles
            .as_ref()
            .is_none_or(|roles| people::reads_incidents(roles.iter().map(String::as_str)))
    }

    /// Whether the token carries any of these permissions.
    pub(in crate::sandbox) fn has(&self, any: &[&str]) -> bool {
        self.permissions.iter().any(|p| any.contains(&p.as_str()))
    }
}

/// Checks the bearer token of a request for one of Microsoft's APIs.
///
/// # Errors
/// 401 `InvalidAuthenticationToken`, with the reason.
pub(in crate::sandbox) fn authenticate(
    world: &World,
    context: &Context<'_>,
    request: &Request,
    api: &str,
) -> Result<Caller, Refusal> {
    let refuse = |why: &str| Err(Refusal::new(401, "InvalidAuthenticationToken", why));
    let token = match request.header("authorization").map(|h| h.split_once(' ')) {
        Some(Some((scheme, token))) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
        Some(_) | None => "",
    };
    if token.is_empty() {
        return refuse("Access token is empty.");
    }
    let claims = match context.signer.verify(token) {
        Ok(claims) => claims,
        Err(Rejected::Malformed) => return refuse("IDX14100: JWT is not well formed."),
        Err(Rejected::Signature) => {
            return refuse("Access token validation failure. Invalid signature.");
        }
    };
    let now = world.now().as_second();
    if claims["exp"].as_i64().is_none_or(|end| end <= now) {
        return refuse("Lifetime validation failed, the token is expired.");
    }
    let audience = claims["aud"].as_str().unwrap_or_default();
    if !means(audience, api, request, context) {
        return refuse("Access token validation failure. Invalid audience.");
    }
    let text = |name: &str| claims[name].as_str().unwrap_or_default().to_owned();
    let tenant = text("tid");
    if world.directory(&tenant).is_none() {
        return refuse("Access token validation failure. Invalid tenant.");
    }
    let mut permissions: Vec<String> = claims["roles"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    permissions.extend(text("scp").split_ascii_whitespace().map(str::to_owned));
    let user_roles = (claims["idtyp"] == "user").then(|| {
        let ids = claims["wids"].as_array().into_iter().flatten();
        ids.filter_map(Value::as_str).map(str::to_owned).collect()
    });
    Ok(Caller { tenant, app_id: text("appid"), object_id: text("oid"), permissions, user_roles })
}

/// Whether a token's audience means this API.
fn means(audience: &str, api: &str, request: &Request, context: &Context<'_>) -> bool {
    let audience = audience.trim_end_matches('/');
    if let Some(known) = first_party::by_resource(audience) {
        return known.app_id == api;
    }
    // The sandbox's own address stands for Graph. It has two names on one port.
    let own = context.base.replace("127.0.0.1", "localhost");
    api == first_party::GRAPH
        && [request.origin().as_str(), context.base, own.as_str()]
            .iter()
            .any(|o| o.eq_ignore_ascii_case(audience))
}
