//! OAuth2 permission grants: what a client may do for a signed-in user.

use serde_json::{Map, Value, json};

use super::{
    call::{Call, WRITE_ALL, not_found},
    principals,
};
use crate::sandbox::{
    http::Response,
    random,
    schema::{OAUTH2_PERMISSION_GRANT, Refusal, Write, merge_patch},
};

const WRITE: &str = "DelegatedPermissionGrant.ReadWrite.All";
const READ: &[&str] = &["DelegatedPermissionGrant.Read.All", WRITE, "Directory.Read.All"];

/// `GET /oauth2PermissionGrants`
pub(super) fn list(call: &mut Call<'_>) -> Result<Response, Refusal> {
    call.require(READ)?;
    let query = call.query(&OAUTH2_PERMISSION_GRANT)?;
    let items = call.directory()?.grants.iter();
    Ok(call.many(&query, "oauth2PermissionGrants", items))
}

/// `GET /servicePrincipals/{id}/oauth2PermissionGrants`
pub(super) fn list_of_principal(call: &mut Call<'_>) -> Result<Response, Refusal> {
    if !call.caller.has(READ) {
        call.require(&[WRITE_ALL, "Application.Read.All"])?;
    }
    let query = call.query(&OAUTH2_PERMISSION_GRANT)?;
    let directory = call.directory()?;
    let principal = principals::find(directory, call.key(0)?)?;
    let items = directory.grants.iter().filter(|g| g["clientId"] == principal["id"]);
    Ok(call.many(&query, "oauth2PermissionGrants", items))
}

fn named(call: &Call<'_>) -> Result<(String, Value), Refusal> {
    let id = call.key(0)?.text().to_owned();
    let item = call.directory()?.grants.get(&id).cloned().ok_or_else(|| not_found(&id))?;
    Ok((id, item))
}

/// `GET /oauth2PermissionGrants/{id}`
pub(super) fn get(call: &mut Call<'_>) -> Result<Response, Refusal> {
    call.require(READ)?;
    let query = call.query(&OAUTH2_PERMISSION_GRANT)?;
    let (_, item) = named(call)?;
    Ok(call.one(&query, "oauth2PermissionGrants", &item))
}

/// `POST /oauth2PermissionGrants`
pub(super) fn create(call: &mut Call<'_>) -> Result<Response, Refusal> {
    let body = call.body()?;
    call.require(&[WRITE])?;
    OAUTH2_PERMISSION_GRANT.check_write(&body, Write::Create)?;
    let text = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_ascii_lowercase);
    let (client, resource) =
        (text("clientId").unwrap_or_default(), text("resourceId").unwrap_or_default());
    let principal = text("principalId");
    let whole = body.get("consentType").and_then(Value::as_str) == Some("AllPrincipals");
    if whole == principal.is_some() {
        return Err(Refusal::invalid_value(
            "principalId",
            "OAuth2PermissionGrant",
            "Named for consentType Principal, and only then.",
        ));
    }
    let tenant = call.tenant();
    let directory = call.directory()?;
    for id in [&client, &resource] {
        // A fresh service principal cannot be referred to yet.
        if directory.principal(id).is_none() || call.principal_lags(id) {
            return Err(Refusal::bad_request(format!(
                "Resource '{id}' does not exist or one of its queried reference-property objects are not present."
            )));
        }
    }
    if let Some(user) = &principal
        && !directory.meta.users.iter().any(|u| u.id.eq_ignore_ascii_case(user))
    {
        return Err(Refusal::bad_request(format!(
            "Resource '{user}' does not exist or one of its queried reference-property objects are not present."
        )));
    }
    let twice = directory.grants.iter().any(|g| {
        g["clientId"] == client.as_str()
            && g["resourceId"] == resource.as_str()
            && g["principalId"] == json!(principal)
    });
    if twice {
        return Err(Refusal::new(
            409,
            "Request_MultipleObjectsWithSameKeyValue",
            "Permission entry already exists.",
        ));
    }
    let id = random::guid().replace('-', "");
    let item = json!({
        "clientId": client,
        "consentType": body["consentType"],
        "id": id,
        "principalId": principal,
        "resourceId": resource,
        "scope": body.get("scope").cloned().unwrap_or_default(),
    });
    call.state.world.put_grant(&tenant, &id, item.clone());
    Ok(call.whole(201, "oauth2PermissionGrants/$entity", item))
}

/// `PATCH /oauth2PermissionGrants/{id}`
pub(super) fn update(call: &mut Call<'_>) -> Result<Response, Refusal> {
    let body: Map<String, Value> = call.body()?;
    call.require(&[WRITE])?;
    let (id, item) = named(call)?;
    OAUTH2_PERMISSION_GRANT.check_write(&body, Write::Update)?;
    let Value::Object(members) = item else {
        return Err(not_found(&id));
    };
    let tenant = call.tenant();
    let merged = Value::Object(merge_patch(&members, &body));
    call.state.world.put_grant(&tenant, &id, merged);
    Ok(Response::empty(204))
}

/// `DELETE /oauth2PermissionGrants/{id}`
pub(super) fn delete(call: &mut Call<'_>) -> Result<Response, Refusal> {
    call.require(&[WRITE])?;
    let (id, _) = named(call)?;
    let tenant = call.tenant();
    call.state.world.remove_grant(&tenant, &id);
    Ok(Response::empty(204))
}
