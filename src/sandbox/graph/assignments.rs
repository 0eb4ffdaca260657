//! App role assignments: what a service principal may do by itself.

use serde_json::{Value, json};

use super::{
    call::{Call, WRITE_ALL, denied, not_found},
    principals,
};
use crate::sandbox::{
    http::Response,
    random,
    schema::{APP_ROLE_ASSIGNMENT, Refusal, Write},
    world::first_party,
};

const READ: &[&str] =
    &["Application.Read.All", WRITE_ALL, "Directory.Read.All", "AppRoleAssignment.ReadWrite.All"];

fn list_by(call: &mut Call<'_>, member: &str, link: &str) -> Result<Response, Refusal> {
    call.require(READ)?;
    let query = call.query(&APP_ROLE_ASSIGNMENT)?;
    let directory = call.directory()?;
    let principal = principals::find(directory, call.key(0)?)?;
    let id = principal["id"].as_str().unwrap_or_default();
    let items = directory.assignments.iter().filter(|a| a[member] == id);
    Ok(call.many(&query, &format!("servicePrincipals('{id}')/{link}"), items))
}

/// `GET /servicePrincipals/{id}/appRoleAssignments`
pub(super) fn list(call: &mut Call<'_>) -> Result<Response, Refusal> {
    list_by(call, "principalId", "appRoleAssignments")
}

/// `GET /servicePrincipals/{id}/appRoleAssignedTo`
pub(super) fn list_assigned_to(call: &mut Call<'_>) -> Result<Response, Refusal> {
    list_by(call, "resourceId", "appRoleAssignedTo")
}

fn named(call: &Call<'_>) -> Result<Value, Refusal> {
    let directory = call.directory()?;
    let principal = principals::find(directory, call.key(0)?)?;
    // Ids of assignments are case-sensitive.
    let id = call.key(1)?.text();
    directory
        .assignments
        .get(id)
        .filter(|a| a["principalId"] == principal["id"] || a["resourceId"] == principal["id"])
        .cloned()
        .ok_or_else(|| not_found(id))
}

/// `GET /servicePrincipals/{id}/appRoleAssignments/{id}`
pub(super) fn get(call: &mut Call<'_>) -> Result<Response, Refusal> {
    call.require(READ)?;
    let query = call.query(&APP_ROLE_ASSIGNMENT)?;
    let item = named(call)?;
    Ok(call.one(&query, "appRoleAssignments", &item))
}

/// Roles of Graph itself are given by `AppRoleAssignment.ReadWrite.All` only.
fn may_write(call: &Call<'_>, resource: &Value) -> Result<(), Refusal> {
    if call.caller.has(&["AppRoleAssignment.ReadWrite.All"]) {
        return Ok(());
    }
    if call.caller.has(&[WRITE_ALL]) && resource["appId"] != first_party::GRAPH {
        return Ok(());
    }
    Err(denied())
}

/// `POST /servicePrincipals/{id}/appRoleAssignments` and `…/appRoleAssignedTo`
pub(super) fn create(call: &mut Call<'_>) -> Result<Response, Refusal> {
    let body = call.body()?;
    call.require(&["AppRoleAssignment.ReadWrite.All", WRITE_ALL])?;
    APP_ROLE_ASSIGNMENT.check_write(&body, Write::Create)?;
    let tenant = call.tenant();
    let directory = call.directory()?;
    let anchor = principals::find(directory, call.key(0)?)?;
    let id_of = |name: &str| {
        body.get(name).and_then(Value::as_str).unwrap_or_default().to_ascii_lowercase()
    };
    let (principal_id, resource_id, role_id) =
        (id_of("principalId"), id_of("resourceId"), id_of("appRoleId"));
    let not_valid = || Refusal::bad_request("Not a valid reference update.");
    let anchored = if call.request.path.to_ascii_lowercase().ends_with("approleassignedto") {
        anchor["id"] == resource_id.as_str()
    } else {
        anchor["id"] == principal_id.as_str()
    };
    if !anchored {
        return Err(not_valid());
    }
    // A fresh service principal cannot be referred to yet.
    if call.principal_lags(&principal_id) {
        return Err(not_valid());
    }
    let user = || directory.meta.users.iter().find(|u| u.id == principal_id);
    let (name, kind) = match (directory.principal(&principal_id), user()) {
        (Some(principal), _) => (principal["displayName"].clone(), "ServicePrincipal"),
        (None, Some(user)) => (json!(user.display_name), "User"),
        (None, None) => return Err(not_found(&principal_id)),
    };
    let member = if kind == "User" { "User" } else { "Application" };
    let resource = directory.principal(&resource_id).ok_or_else(|| not_found(&resource_id))?;
    may_write(call, &resource)?;
    let role = resource["appRoles"].as_array().into_iter().flatten().find(|r| {
        let for_it = r["allowedMemberTypes"].as_array().is_some_and(|m| m.contains(&json!(member)));
        r["id"] == role_id.as_str() && r["isEnabled"] == true && for_it
    });
    let default_role = role_id == "00000000-0000-0000-0000-000000000000";
    if role.is_none() && !default_role {
        return Err(Refusal::bad_request("Permission being assigned was not found on application")
            .with_detail("InvalidUpdate", "No such role on the resource.", "appRoleId"));
    }
    let twice = directory.assignments.iter().any(|a| {
        a["principalId"] == principal_id.as_str()
            && a["resourceId"] == resource_id.as_str()
            && a["appRoleId"] == role_id.as_str()
    });
    if twice {
        return Err(Refusal::bad_request("Permission being assigned already exists on the object")
            .with_detail(
                "InvalidUpdate",
                "Permission being assigned already exists on the object",
                "appRoleId",
            ));
    }
    let id = random::guid();
    let item = json!({
        "id": id,
        "deletedDateTime": null,
        "appRoleId": role_id,
        "createdDateTime": call.now_text(),
        "principalDisplayName": name,
        "principalId": principal_id,
        "principalType": kind,
        "resourceDisplayName": resource["displayName"],
        "resourceId": resource_id,
    });
    call.state.world.put_assignment(&tenant, &id, item.clone());
    Ok(call.whole(201, "appRoleAssignments/$entity", item))
}

/// `DELETE /servicePrincipals/{id}/appRoleAssignments/{id}` and `…/appRoleAssignedTo/{id}`
pub(super) fn delete(call: &mut Call<'_>) -> Result<Response, Refusal> {
    call.require(&["AppRoleAssignment.ReadWrite.All", WRITE_ALL])?;
    let item = named(call)?;
    let resource = call
        .directory()?
        .principal(item["resourceId"].as_str().unwrap_or_default())
        .unwrap_or_default();
    may_write(call, &resource)?;
    let tenant = call.tenant();
    let id = item["id"].as_str().unwrap_or_default();
    call.state.world.remove_assignment(&tenant, id);
    Ok(Response::empty(204))
}
