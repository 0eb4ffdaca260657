//! What Entra ID publishes: OpenID configuration per directory, instance discovery, signing keys
//! (<https://learn.microsoft.com/en-us/entra/identity-platform/v2-protocols-oidc>).

use serde_json::{Value, json};

use super::{errors::Aadsts, token};
use crate::sandbox::{
    http::{Request, Response, form_pairs},
    world::World,
};

/// Which shape of discovery was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sandbox) enum Version {
    /// `/{tenant}/.well-known/openid-configuration`.
    V1,
    /// `/{tenant}/v2.0/.well-known/openid-configuration`.
    V2,
}

/// The OpenID configuration of a directory, named by id, domain, or one of the common words.
pub(in crate::sandbox) fn openid_configuration(
    world: &World,
    request: &Request,
    tenant: &str,
    version: Version,
) -> Response {
    let name = tenant.to_ascii_lowercase();
    let common = ["common", "organizations", "consumers"].contains(&name.as_str());
    let directory = world.resolve(&name).and_then(|id| world.directory(&id));
    if !common && directory.is_none() {
        let refusal = if token::plausible_tenant(&name) {
            Aadsts::unknown_tenant("invalid_tenant", tenant)
        } else {
            Aadsts::no_tenant_identifier(tenant)
        };
        return refusal.response(world.now(), request.header("client-request-id"));
    }
    let origin = request.origin();
    let segment = directory.map_or(name.as_str(), |d| d.meta.id.as_str());
    // The common configurations have a template in the place of the directory's id.
    let issued_by = directory.map_or("{tenantid}", |d| d.meta.id.as_str());
    let (oauth, issuer) = match version {
        Version::V1 => {
            (format!("{origin}/{segment}/oauth2"), format!("https://sts.windows.net/{issued_by}/"))
        }
        Version::V2 => {
            (format!("{origin}/{segment}/oauth2/v2.0"), format!("{origin}/{issued_by}/v2.0"))
        }
    };
    let keys = match version {
        Version::V1 => format!("{origin}/{segment}/discovery/keys"),
        Version::V2 => format!("{origin}/{segment}/discovery/v2.0/keys"),
    };
    let mut body = json!({
        "token_endpoint": format!("{oauth}/token"),
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
        "jwks_uri": keys,
        "response_modes_supported": ["query", "fragment", "form_post"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["ES256"],
        "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "issuer": issuer,
        "request_uri_parameter_supported": false,
        "userinfo_endpoint": format!("{origin}/oidc/userinfo"),
        "authorization_endpoint": format!("{oauth}/authorize"),
        "device_authorization_endpoint": format!("{oauth}/devicecode"),
        "http_logout_supported": true,
        "frontchannel_logout_supported": true,
        "end_session_endpoint": format!("{oauth}/logout"),
        "claims_supported": ["sub", "iss", "aud", "exp", "iat", "nonce", "preferred_username", "name", "tid", "ver"],
        "kerberos_endpoint": format!("{origin}/{segment}/kerberos"),
        "tenant_region_scope": directory.map(|d| d.meta.region.clone()),
        "cloud_instance_name": "microsoftonline.com",
        "cloud_graph_host_name": "graph.windows.net",
        "msgraph_host": request.host,
        "rbac_url": "https://pas.windows.net",
    });
    if let Some(sub) = directory.and_then(|d| d.meta.sub_region.clone()) {
        body["tenant_region_sub_scope"] = Value::String(sub);
    }
    Response::json(200, &body).with("cache-control", "max-age=86400, private")
}

/// `/common/discovery/instance`: which hosts are the same sign-in service.
pub(in crate::sandbox) fn instance(world: &World, request: &Request) -> Response {
    let pairs = form_pairs(request.query.as_deref().unwrap_or_default().as_bytes());
    let asked = pairs.iter().find(|(n, _)| n == "authorization_endpoint").map(|(_, v)| v.clone());
    let Some(endpoint) = asked else {
        return Aadsts::missing("authorization_endpoint")
            .response(world.now(), request.header("client-request-id"));
    };
    let url = url::Url::parse(&endpoint).ok().filter(|u| u.scheme() == "https");
    let host = url.as_ref().and_then(|u| {
        let host = u.host_str()?;
        Some(u.port().map_or_else(|| host.to_owned(), |p| format!("{host}:{p}")))
    });
    let known =
        |host: &str| host == request.host || PUBLIC.iter().any(|group| group.contains(&host));
    let (Some(url), Some(host)) = (url, host.filter(|h| known(h))) else {
        return Aadsts::new(400, "invalid_instance", 50_049, "Unknown or invalid instance.")
            .response(world.now(), request.header("client-request-id"));
    };
    let tenant = url
        .path_segments()
        .and_then(|mut s| s.next().map(str::to_owned))
        .filter(|s| !s.is_empty())
        .unwrap_or_else(|| "common".to_owned());
    let mut metadata = vec![json!({
        "preferred_network": request.host, "preferred_cache": request.host, "aliases": [request.host],
    })];
    metadata.extend(PUBLIC.iter().filter(|g| !g.contains(&request.host.as_str())).map(|group| {
        json!({"preferred_network": group[0], "preferred_cache": group[1], "aliases": group})
    }));
    Response::json(
        200,
        &json!({
            "tenant_discovery_endpoint": format!("https://{host}/{tenant}/v2.0/.well-known/openid-configuration"),
            "api-version": "1.1",
            "metadata": metadata,
        }),
    )
    .with("cache-control", "max-age=86400, private")
}

/// The public hosts, by cloud; aliases of one service stand together.
const PUBLIC: &[&[&str]] = &[
    &["login.microsoftonline.com", "login.windows.net", "login.microsoft.com", "sts.windows.net"],
    &["login.partner.microsoftonline.cn", "login.chinacloudapi.cn"],
    &["login.microsoftonline.us", "login.usgovcloudapi.net"],
];
