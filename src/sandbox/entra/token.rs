//! The token endpoint, v1 and v2, and its client credentials
//! (<https://learn.microsoft.com/en-us/entra/identity-platform/v2-oauth2-client-creds-grant-flow>).

use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{client, errors::Aadsts, refusals, user_token};
use crate::sandbox::{
    engine::{Context, State},
    http::{Request, Response, form_pairs},
    random,
    world::{World, directory::Directory, first_party},
};

/// Seconds that a token lives.
pub(super) const LIFETIME: i64 = 3_599;

/// Which of the two endpoints was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sandbox) enum Endpoint {
    /// `/oauth2/token`, with `resource`.
    V1,
    /// `/oauth2/v2.0/token`, with `scope`.
    V2,
}

/// The parameters of one request, each at most once.
pub(super) struct Form {
    pairs: Vec<(String, String)>,
}

impl Form {
    fn read(request: &Request) -> Result<Self, Aadsts> {
        // Any other content type is not read at all, so its first parameter is missing.
        if request.media_type().as_deref() != Some("application/x-www-form-urlencoded") {
            return Err(Aadsts::missing("grant_type"));
        }
        if std::str::from_utf8(&request.body).is_err() {
            return Err(malformed());
        }
        let pairs = form_pairs(&request.body);
        for (i, (name, _)) in pairs.iter().enumerate() {
            if pairs[..i].iter().any(|(n, _)| n == name) {
                return Err(Aadsts::invalid_request(
                    9_000_411,
                    format!(
                        "The request is not properly formatted. The parameter '{name}' is duplicated."
                    ),
                ));
            }
        }
        Ok(Self { pairs })
    }

    /// A parameter that is there and not empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.pairs
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
            .filter(|v| !v.is_empty())
    }
}

fn malformed() -> Aadsts {
    Aadsts::invalid_request(9_002_313, "Invalid request. Request is malformed or invalid.")
}

/// Answers a request to the token endpoint of `tenant`.
pub(in crate::sandbox) fn answer(
    state: &mut State,
    context: &Context<'_>,
    request: &Request,
    tenant: &str,
    endpoint: Endpoint,
) -> Response {
    let now = state.world.now();
    let correlation =
        request.header("client-request-id").filter(|id| uuid::Uuid::parse_str(id).is_ok());
    match token(state, context, request, tenant, endpoint, now) {
        Ok(body) => Response::json(200, &body).with("x-ms-request-id", random::guid()),
        Err(refusal) => refusal.response(now, correlation),
    }
}

fn token(
    state: &mut State,
    context: &Context<'_>,
    request: &Request,
    tenant: &str,
    endpoint: Endpoint,
    now: Timestamp,
) -> Result<Value, Aadsts> {
    if request.method != hyper::Method::POST {
        return Err(Aadsts::invalid_request(
            900_561,
            format!(
                "The endpoint only accepts POST requests. Received a {} request.",
                request.method
            ),
        ));
    }
    let form = Form::read(request)?;
    let grant = form.get("grant_type").ok_or_else(|| Aadsts::missing("grant_type"))?;
    match grant {
        "client_credentials" => {}
        "authorization_code" => {
            return user_token::redeem(state, context, request, &form, (tenant, endpoint), now);
        }
        "refresh_token" => {
            return user_token::refresh(state, context, request, &form, (tenant, endpoint), now);
        }
        _ => {
            return Err(Aadsts::new(
                400,
                "unsupported_grant_type",
                70_003,
                format!("The app requested an unsupported grant type '{grant}'."),
            ));
        }
    }
    let claimed = client::claimed(request, &form)?;
    let directory = directory(&state.world, tenant, &claimed.id)?;
    let resource = match endpoint {
        Endpoint::V1 => form.get("resource").ok_or_else(|| Aadsts::missing("resource"))?.to_owned(),
        Endpoint::V2 => resource_of_scope(&form)?,
    };
    let (app, principal) = client::known(&state.world, directory, &claimed)?;
    client::proved(state, app, &claimed, now)?;
    let target = resource_principal(directory, &resource, request, context).ok_or_else(|| {
        Aadsts::new(
            400,
            "invalid_resource",
            500_011,
            format!(
                "The resource principal named {resource} was not found in the tenant named {}. This can \
                 happen if the application has not been installed by the administrator of the tenant or \
                 consented to by any user in the tenant. You might have sent your authentication request \
                 to the wrong tenant.",
                directory.meta.name
            ),
        )
    })?;
    let id = principal["id"].as_str().unwrap_or_default();
    let target_id = target["appId"].as_str().unwrap_or_default();
    if !refusals::lets_in(directory, target_id, id) {
        return Err(Aadsts::invalid_grant(
            501_051,
            format!(
                "Application '{}'({}) is not assigned to a role for the application '{resource}'({}).",
                app.app_id(),
                app.name(),
                target["displayName"].as_str().unwrap_or_default()
            ),
        ));
    }
    let seconds = now.as_second();
    let claims = claims(directory, app, &principal, &target, &resource, seconds);
    let access_token = context.signer.sign(&claims);
    Ok(match endpoint {
        Endpoint::V2 => json!({
            "token_type": "Bearer", "expires_in": LIFETIME, "ext_expires_in": LIFETIME,
            "access_token": access_token,
        }),
        Endpoint::V1 => json!({
            "token_type": "Bearer", "expires_in": LIFETIME.to_string(),
            "ext_expires_in": LIFETIME.to_string(),
            "expires_on": (seconds + LIFETIME).to_string(),
            "not_before": (seconds - 300).to_string(),
            "resource": resource, "access_token": access_token,
        }),
    })
}

fn claims(
    directory: &Directory,
    app: &crate::sandbox::world::apps::App,
    principal: &Value,
    target: &Value,
    resource: &str,
    seconds: i64,
) -> Value {
    let tenant = &directory.meta.id;
    let mut claims = json!({
        "aud": resource,
        "iss": format!("https://sts.windows.net/{tenant}/"),
        "iat": seconds - 300,
        "nbf": seconds - 300,
        "exp": seconds + LIFETIME,
        "aio": STANDARD.encode(random::bytes::<24>()),
        "app_displayname": app.name(),
        "appid": app.app_id(),
        "appidacr": "1",
        "idp": format!("https://sts.windows.net/{tenant}/"),
        "idtyp": "app",
        "oid": principal["id"],
        "rh": ".",
        "sub": principal["id"],
        "tenant_region_scope": directory.meta.region,
        "tid": tenant,
        "uti": random::guid(),
        "ver": "1.0",
        "wids": ["0997a1d0-0d1d-4acb-b408-d5ca73121e90"],
    });
    let roles = directory.roles_of(principal["id"].as_str().unwrap_or_default(), target);
    // A token without any granted role has no such claim at all: a token proves nothing yet.
    if !roles.is_empty() {
        claims["roles"] = json!(roles);
    }
    claims
}

/// Whose directory the path names. The id of the client only words the refusals.
pub(super) fn directory<'w>(
    world: &'w World,
    tenant: &str,
    client: &str,
) -> Result<&'w Directory, Aadsts> {
    let name = tenant.to_ascii_lowercase();
    if ["common", "organizations", "consumers"].contains(&name.as_str()) {
        let multitenant = world
            .client(&client.to_ascii_lowercase())
            .is_some_and(|(_, app)| app.audience() != "AzureADMyOrg");
        return Err(if multitenant {
            Aadsts::invalid_request(
                90_019,
                "No tenant-identifying information found in either the request or implied by any provided credentials.",
            )
        } else {
            Aadsts::invalid_request(
                50_194,
                format!(
                    "Application '{client}' is not configured as a multi-tenant application. Usage of the \
                     /common endpoint is not supported for such apps created after '10/15/2018'. Use a \
                     tenant-specific endpoint or configure the application to be multi-tenant."
                ),
            )
        });
    }
    if !plausible_tenant(&name) {
        return Err(Aadsts::no_tenant_identifier(tenant));
    }
    world
        .resolve(&name)
        .and_then(|id| world.directory(&id))
        .ok_or_else(|| Aadsts::unknown_tenant("invalid_request", tenant))
}

/// Whether a path segment could name a directory: a GUID or a DNS name.
pub(super) fn plausible_tenant(name: &str) -> bool {
    uuid::Uuid::parse_str(name).is_ok()
        || (name.len() <= 253
            && name.contains('.')
            && name.split('.').all(|label| {
                !label.is_empty()
                    && label.len() <= 63
                    && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
            }))
}

/// The one resource that a v2 request asks for.
fn resource_of_scope(form: &Form) -> Result<String, Aadsts> {
    if form.get("resource").is_some() {
        return Err(Aadsts::invalid_request(
            901_002,
            "The 'resource' request parameter is not supported.",
        ));
    }
    let scope = form.get("scope").ok_or_else(|| Aadsts::missing("scope"))?;
    let mut scopes = scope
        .split_ascii_whitespace()
        .filter(|s| !["openid", "profile", "offline_access", "email"].contains(s));
    let invalid = || {
        Aadsts::new(
            400,
            "invalid_scope",
            70_011,
            format!(
                "The provided request must include a 'scope' input parameter. The provided value for the \
                 input parameter 'scope' is not valid. The scope {scope} is not valid."
            ),
        )
    };
    let first = scopes.next().ok_or_else(invalid)?;
    if scopes.next().is_some() {
        return Err(invalid());
    }
    let resource = first.strip_suffix("/.default").ok_or_else(|| {
        Aadsts::new(
            400,
            "invalid_scope",
            1_002_012,
            format!(
                "The provided value for scope {scope} is not valid. Client credential flows must have a \
                 scope value with /.default suffixed to the resource identifier (application ID URI)."
            ),
        )
    })?;
    if resource.is_empty() {
        return Err(invalid());
    }
    Ok(resource.to_owned())
}

/// The service principal of the resource that was asked for, in that directory.
fn resource_principal(
    directory: &Directory,
    resource: &str,
    request: &Request,
    context: &Context<'_>,
) -> Option<Value> {
    let name = resource.trim_end_matches('/');
    // The sandbox's own address stands for Graph: its clients know no other name for it.
    let own = [request.origin(), context.base.to_owned()];
    let app_id = if own.iter().any(|o| o.eq_ignore_ascii_case(name)) {
        first_party::GRAPH.to_owned()
    } else if let Some(api) = first_party::by_resource(name) {
        api.app_id.to_owned()
    } else {
        let lower = name.to_ascii_lowercase();
        return directory.principal_by_app_id(&lower).or_else(|| {
            directory
                .principals
                .table
                .iter()
                .find(|p| {
                    p["servicePrincipalNames"]
                        .as_array()
                        .is_some_and(|names| names.iter().any(|n| *n == name))
                })
                .cloned()
        });
    };
    directory.principal_by_app_id(&app_id)
}
