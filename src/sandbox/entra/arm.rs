//! Azure Resource Manager, as far as Azure CLI needs it to sign in as a service principal.

use serde_json::json;

use crate::sandbox::{
    engine::{Context, State},
    graph::caller,
    http::{Request, Response, form_pairs},
    operation::Operation,
    world::first_party,
};

/// The operation that a path names, if it is one of Resource Manager's.
pub(in crate::sandbox) fn route(path: &str) -> Option<Operation> {
    match path.trim_matches('/') {
        "metadata/endpoints" => Some(Operation::ArmMetadata),
        "subscriptions" => Some(Operation::ArmSubscriptions),
        "tenants" => Some(Operation::ArmTenants),
        _ => None,
    }
}

/// Answers one of them.
pub(in crate::sandbox) fn answer(
    state: &State,
    context: &Context<'_>,
    request: &Request,
    operation: Operation,
) -> Response {
    if request.method != hyper::Method::GET {
        return Response::json(
            405,
            &json!({"error": {"code": "HttpMethodNotSupported", "message": "The HTTP method is not supported at this location."}}),
        );
    }
    if operation == Operation::ArmMetadata {
        let cloud = metadata(&request.origin());
        let pairs = form_pairs(request.query.as_deref().unwrap_or_default().as_bytes());
        // The versions of 2019 answer with a list of clouds, later ones with the one that was asked.
        let list =
            pairs.iter().any(|(name, value)| name == "api-version" && value.starts_with("2019-"));
        return Response::json(200, &if list { json!([cloud]) } else { cloud });
    }
    let caller = match caller::authenticate(&state.world, context, request, first_party::ARM) {
        Ok(caller) => caller,
        Err(_) => {
            return Response::json(
                401,
                &json!({"error": {"code": "InvalidAuthenticationToken", "message": "The access token is invalid."}}),
            );
        }
    };
    if operation == Operation::ArmSubscriptions {
        // No subscriptions: Azure CLI signs in with --allow-no-subscriptions.
        return Response::json(200, &json!({"value": [], "count": {"type": "Total", "value": 0}}));
    }
    let directory = state.world.directory(&caller.tenant);
    Response::json(
        200,
        &json!({"value": [{
            "id": format!("/tenants/{}", caller.tenant),
            "tenantId": caller.tenant,
            "displayName": directory.map(|d| d.meta.name.clone()),
            "defaultDomain": directory.map(|d| d.default_domain().to_owned()),
            "tenantCategory": "Home",
        }]}),
    )
}

fn metadata(origin: &str) -> serde_json::Value {
    json!({
        "name": "TenantrySandbox",
        "portal": origin,
        "authentication": {
            "loginEndpoint": origin,
            "audiences": ["https://management.core.windows.net/", "https://management.azure.com/"],
            "tenant": "common",
            "identityProvider": "AAD",
        },
        "media": origin,
        "graph": origin,
        "graphAudience": origin,
        "microsoftGraphResourceId": format!("{origin}/"),
        "resourceManager": format!("{origin}/"),
        "gallery": format!("{origin}/"),
        "batch": format!("{origin}/"),
        "suffixes": {"keyVaultDns": "vault.sandbox.example", "storage": "core.sandbox.example"},
    })
}
