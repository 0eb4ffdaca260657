//! Owners of applications, and directory objects by id.

use serde_json::{Value, json};

use super::{
    applications::READ,
    call::{Call, WRITE_ALL, WRITE_OWNED, not_found, reference, require_guid},
    principals,
    write::{MOST_OWNERS, OWNER_COLLECTIONS},
};
use crate::sandbox::{
    http::Response,
    schema::{DIRECTORY_OBJECT, Refusal},
    world::directory::{Directory, User},
};

/// A user as Graph shows it.
pub(super) fn user(user: &User) -> Value {
    json!({
        "id": user.id,
        "businessPhones": [],
        "displayName": user.display_name,
        "givenName": null,
        "jobTitle": null,
        "mail": user.user_principal_name,
        "mobilePhone": null,
        "officeLocation": null,
        "preferredLanguage": null,
        "surname": null,
        "userPrincipalName": user.user_principal_name,
        "accountEnabled": true,
        "userType": "Member",
    })
}

/// A user or a service principal by its object id, with its type.
pub(super) fn object(directory: &Directory, id: &str) -> Option<Value> {
    if let Some(found) = directory.meta.users.iter().find(|u| u.id.eq_ignore_ascii_case(id)) {
        return Some(typed("#microsoft.graph.user", user(found)));
    }
    directory.principal(id).map(|p| typed("#microsoft.graph.servicePrincipal", p))
}

fn typed(name: &str, value: Value) -> Value {
    let mut out = serde_json::Map::new();
    out.insert("@odata.type".to_owned(), name.into());
    if let Value::Object(members) = value {
        out.extend(members);
    }
    Value::Object(out)
}

/// Those of these ids that are still there.
pub(super) fn objects(directory: &Directory, ids: &[String]) -> Vec<Value> {
    ids.iter().filter_map(|id| object(directory, id)).collect()
}

/// `GET /applications/{id}/owners`, and its `$ref` form.
pub(super) fn list(call: &mut Call<'_>) -> Result<Response, Refusal> {
    call.require(READ)?;
    // Owners are of mixed types: the options of directoryObject hold for all of them, and the
    // answer shows what each type has.
    let query = call.query(&DIRECTORY_OBJECT)?;
    let owners = call.app()?.owners.clone();
    let directory = call.directory()?;
    let items = objects(directory, &owners);
    if call.request.path.ends_with("$ref") {
        let links: Vec<Value> = items
            .iter()
            .map(|o| {
                let id = o["id"].as_str().unwrap_or_default();
                json!({"@odata.id": format!("{}/v1.0/{}/directoryObjects/{id}", call.request.origin(), call.caller.tenant)})
            })
            .collect();
        return Ok(call.whole(200, "Collection($ref)", json!({"value": links})));
    }
    let narrowed = call.request.query.as_deref().is_some_and(|q| !q.is_empty());
    if narrowed {
        return Ok(call.many(&query, "directoryObjects", items.iter()));
    }
    Ok(call.whole(200, "directoryObjects", json!({"value": items})))
}

/// `POST /applications/{id}/owners/$ref`: takes more than to change the application, "OwnedBy isn't
/// sufficient to add another owner"
/// (<https://learn.microsoft.com/en-us/graph/api/application-post-owners>).
pub(super) fn add(call: &mut Call<'_>) -> Result<Response, Refusal> {
    let body = call.body()?;
    call.require(&[WRITE_ALL])?;
    call.require(&["Directory.Read.All"])?;
    let app = call.app()?;
    call.require_app(app)?;
    let address = match body.get("@odata.id") {
        Some(Value::String(address)) if body.len() == 1 => address,
        Some(_) | None => {
            return Err(Refusal::malformed(
                "A value must be provided for '@odata.id', and nothing else.",
            ));
        }
    };
    let id = reference(address, OWNER_COLLECTIONS).ok_or_else(|| {
        Refusal::bad_request(format!("Invalid URL specified for '@odata.id': {address}"))
    })?;
    if object(call.directory()?, &id).is_none() {
        return Err(not_found(&id));
    }
    if app.owners.contains(&id) {
        return Err(Refusal::bad_request(
            "One or more added object references already exist for the following modified properties: 'owners'.",
        ));
    }
    if app.owners.len() >= MOST_OWNERS {
        return Err(Refusal::new(
            403,
            "Directory_QuotaExceeded",
            format!(
                "Unable to perform operation as '{}' would exceed the maximum quota count '{MOST_OWNERS}' for forward-link 'owners'.",
                MOST_OWNERS + 1
            ),
        ));
    }
    let (tenant, app_id) = (call.tenant(), app.id().to_owned());
    call.state.world.change_app(&tenant, &app_id, |app| app.owners.push(id));
    Ok(Response::empty(204))
}

/// `DELETE /applications/{id}/owners/{id}/$ref`
pub(super) fn remove(call: &mut Call<'_>) -> Result<Response, Refusal> {
    call.require(&[WRITE_ALL, WRITE_OWNED])?;
    let app = call.app()?;
    call.require_app(app)?;
    let owner = call.key(1)?.text().to_ascii_lowercase();
    if !app.owners.contains(&owner) {
        return Err(not_found(&owner));
    }
    let (tenant, id) = (call.tenant(), app.id().to_owned());
    call.state.world.change_app(&tenant, &id, |app| app.owners.retain(|o| *o != owner));
    Ok(Response::empty(204))
}

/// `GET /directoryObjects/{id}`
pub(super) fn directory_object(call: &mut Call<'_>) -> Result<Response, Refusal> {
    call.require(&["Directory.Read.All", "Application.Read.All", WRITE_ALL, "User.Read.All"])?;
    call.query(&DIRECTORY_OBJECT)?;
    let id = call.key(0)?.text().to_ascii_lowercase();
    require_guid(&id)?;
    let directory = call.directory()?;
    let item = object(directory, &id)
        .or_else(|| {
            directory
                .apps
                .get(&id)
                .filter(|app| !call.lags(app))
                .map(|app| typed("#microsoft.graph.application", app.graph.clone()))
        })
        .ok_or_else(|| not_found(&id))?;
    Ok(call.whole(200, "directoryObjects/$entity", principals::public(item)))
}
