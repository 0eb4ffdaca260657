//! What a request asks for: `scope` of the second version, `resource` of the first
//! (<https://learn.microsoft.com/en-us/entra/identity-platform/scopes-oidc>).

use super::{errors::Aadsts, grants::OPENID, token::Endpoint};
use crate::sandbox::{
    http::Request,
    world::{directory::Directory, first_party},
};

/// The names of an API's permissions that are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Names {
    /// `/.default`: all that the app registered and that was granted.
    Default,
    /// These.
    Listed(Vec<String>),
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    /// The client id of the API.
    pub(super) resource: String,
    /// The API as the client named it: the token's audience.
    pub(super) audience: String,
    /// Its permissions.
    pub(super) names: Names,
    /// Which of OpenID's scopes were named.
    pub(super) openid: Vec<String>,
    /// Whether `offline_access` was named (the first version always gives a refresh token).
    pub(super) offline: Offline,
    /// Which version asked.
    pub(super) endpoint: Endpoint,
}

/// Whether a refresh token is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Offline {
    /// It is.
    Access,
    /// It is not.
    No,
}

/// Microsoft Graph's name where a scope names no API.
const GRAPH: &str = "https://graph.microsoft.com";

/// Reads `scope`.
///
/// # Errors
/// 70011 and 28000: malformed, or of more than one API.
pub(super) fn read(
    text: &str,
    directory: Option<&Directory>,
    request: &Request,
    base: &str,
) -> Result<Wanted, Aadsts> {
    let invalid = |why: &str| {
        Aadsts::new(
            400,
            "invalid_scope",
            70_011,
            format!(
                "The provided request must include a 'scope' input parameter. The provided value for the \
                 input parameter 'scope' is not valid. {why}"
            ),
        )
    };
    let (mut audience, mut resource): (Option<String>, Option<String>) = (None, None);
    let (mut listed, mut default) = (Vec::new(), false);
    let (mut openid, mut offline) = (Vec::new(), Offline::No);
    for scope in text.split_ascii_whitespace() {
        if scope.eq_ignore_ascii_case("offline_access") {
            offline = Offline::Access;
            continue;
        }
        if let Some(known) = OPENID.iter().find(|o| o.eq_ignore_ascii_case(scope)) {
            openid.push((*known).to_owned());
            continue;
        }
        let (api, name) = match scope.rsplit_once('/') {
            Some((api, name)) if !api.is_empty() && !name.is_empty() => (api, name),
            Some(_) => return Err(invalid(&format!("The scope {scope} is not valid."))),
            None => (GRAPH, scope),
        };
        let id =
            api_of(api, directory, request, base).ok_or_else(|| no_such_api(api, directory))?;
        match &resource {
            Some(first) if *first != id => {
                return Err(Aadsts::new(
                    400,
                    "invalid_request",
                    28_000,
                    format!(
                        "Provided value for the input parameter scope is not valid because it contains more \
                         than one resource. Scope {text} is not valid."
                    ),
                ));
            }
            Some(_) | None => resource = Some(id),
        }
        audience.get_or_insert_with(|| api.to_owned());
        if name == ".default" {
            default = true;
        } else {
            listed.push(name.to_owned());
        }
    }
    if default && !listed.is_empty() {
        return Err(invalid(".default scope can't be combined with resource-specific scopes."));
    }
    if resource.is_none() && openid.is_empty() && offline == Offline::No {
        return Err(invalid(&format!("The scope '{text}' is not valid.")));
    }
    Ok(Wanted {
        resource: resource.unwrap_or_else(|| first_party::GRAPH.to_owned()),
        audience: audience.unwrap_or_else(|| GRAPH.to_owned()),
        names: if default { Names::Default } else { Names::Listed(listed) },
        openid,
        offline,
        endpoint: Endpoint::V2,
    })
}

/// What the first version's `resource` means: all that was granted on it.
///
/// # Errors
/// 500011: no such API here.
pub(super) fn of_resource(
    resource: &str,
    directory: Option<&Directory>,
    request: &Request,
    base: &str,
) -> Result<Wanted, Aadsts> {
    let id = api_of(resource, directory, request, base)
        .ok_or_else(|| no_such_api(resource, directory))?;
    Ok(Wanted {
        resource: id,
        audience: resource.to_owned(),
        names: Names::Default,
        openid: vec!["openid".to_owned()],
        offline: Offline::Access,
        endpoint: Endpoint::V1,
    })
}

fn no_such_api(name: &str, directory: Option<&Directory>) -> Aadsts {
    Aadsts::new(
        400,
        "invalid_resource",
        500_011,
        format!(
            "The resource principal named {name} was not found in the tenant named {}. This can happen if \
             the application has not been installed by the administrator of the tenant or consented to by \
             any user in the tenant. You might have sent your authentication request to the wrong tenant.",
            directory.map_or("Microsoft", |d| d.meta.name.as_str())
        ),
    )
}

/// The client id of the API of that name.
fn api_of(
    name: &str,
    directory: Option<&Directory>,
    request: &Request,
    base: &str,
) -> Option<String> {
    let bare = name.trim_end_matches('/');
    let own = base.replace("127.0.0.1", "localhost");
    // The sandbox's own address stands for Graph: its clients know no other name for it.
    if [request.origin().as_str(), base, own.as_str()].iter().any(|o| o.eq_ignore_ascii_case(bare))
    {
        return Some(first_party::GRAPH.to_owned());
    }
    if let Some(api) = first_party::by_resource(bare) {
        return Some(api.app_id.to_owned());
    }
    let directory = directory?;
    let lower = bare.to_ascii_lowercase();
    directory
        .principals
        .table
        .iter()
        .find(|p| {
            p["appId"] == lower.as_str()
                || p["servicePrincipalNames"]
                    .as_array()
                    .is_some_and(|names| names.iter().any(|n| *n == name))
        })
        .and_then(|p| p["appId"].as_str().map(str::to_owned))
}
