//! App-management policies: the directory's default and those of single applications.

use serde_json::{Map, Value, json};

use super::{
    applications,
    call::{Call, WRITE_ALL, not_found, reference},
    path::{Key, Version},
};
use crate::sandbox::{
    http::Response,
    random,
    schema::{
        APP_MANAGEMENT_POLICY, APP_MANAGEMENT_POLICY_BETA, APPLICATION, Entity, Refusal,
        TENANT_APP_MANAGEMENT_POLICY, TENANT_APP_MANAGEMENT_POLICY_BETA, Write, merge_patch,
    },
    world::directory::Directory,
};

const WRITE: &str = "Policy.ReadWrite.ApplicationConfiguration";
const READ: &[&str] = &["Policy.Read.ApplicationConfiguration", "Policy.Read.All", WRITE];

/// The id of a default policy that nobody ever configured.
const NEVER_CONFIGURED: &str = "00000000-0000-0000-0000-000000000000";

fn default_policy(directory: &Directory) -> Value {
    let stored = &directory.meta.policies.default;
    if !stored.is_null() {
        return stored.clone();
    }
    json!({
        "id": NEVER_CONFIGURED,
        "deletedDateTime": null,
        "displayName": "Default app management tenant policy",
        "description": "Default tenant policy that enforces app management restrictions on applications and service principals. To apply policy to targeted resources, create a new policy under appManagementPolicies collection.",
        "isEnabled": false,
        "applicationRestrictions": {"passwordCredentials": [], "keyCredentials": []},
        "servicePrincipalRestrictions": {"passwordCredentials": [], "keyCredentials": []},
    })
}

/// The default policy's members in the version that was asked.
fn default_entity(call: &Call<'_>) -> &'static Entity {
    match call.route.version {
        Version::V1 => &TENANT_APP_MANAGEMENT_POLICY,
        Version::Beta => &TENANT_APP_MANAGEMENT_POLICY_BETA,
    }
}

/// A custom policy's members in the version that was asked.
fn custom_entity(call: &Call<'_>) -> &'static Entity {
    match call.route.version {
        Version::V1 => &APP_MANAGEMENT_POLICY,
        Version::Beta => &APP_MANAGEMENT_POLICY_BETA,
    }
}

/// A policy as the version tells it: `v1.0` knows nothing of audiences and redirect URIs.
fn told(version: Version, mut policy: Value) -> Value {
    if version == Version::V1 {
        for place in ["/applicationRestrictions", "/restrictions/applicationRestrictions"] {
            if let Some(Value::Object(members)) = policy.pointer_mut(place) {
                members.retain(|name, _| !["audiences", "redirectUris"].contains(&name.as_str()));
            }
        }
    }
    policy
}

/// The policies with these ids, as an expanded link shows them.
pub(super) fn of(version: Version, directory: &Directory, ids: &[String]) -> Vec<Value> {
    directory
        .meta
        .policies
        .custom
        .iter()
        .filter(|p| ids.iter().any(|id| p["id"] == *id.as_str()))
        .map(|p| told(version, p.clone()))
        .collect()
}

/// `GET /policies/defaultAppManagementPolicy`
pub(super) fn get_default(call: &mut Call<'_>) -> Result<Response, Refusal> {
    call.require(READ)?;
    let query = call.query(default_entity(call))?;
    let item = told(call.route.version, default_policy(call.directory()?));
    Ok(call.one(&query, "policies/defaultAppManagementPolicy", &item))
}

/// `PATCH /policies/defaultAppManagementPolicy`
pub(super) fn update_default(call: &mut Call<'_>) -> Result<Response, Refusal> {
    let body = call.body()?;
    call.require(&[WRITE])?;
    default_entity(call).check_write(&body, Write::Update)?;
    let Value::Object(mut members) = default_policy(call.directory()?) else {
        return Err(not_found(NEVER_CONFIGURED));
    };
    if members.get("id") == Some(&json!(NEVER_CONFIGURED)) {
        members.insert("id".to_owned(), json!(random::guid()));
    }
    let merged = Value::Object(merge_patch(&members, &body));
    let tenant = call.tenant();
    call.state.world.change_meta(&tenant, |m| m.policies.default = merged);
    Ok(Response::empty(204))
}

/// The applications that a policy is assigned to.
fn targets_of(directory: &Directory, id: &str) -> Vec<Value> {
    directory
        .apps
        .iter()
        .filter(|app| app.policies.iter().any(|p| p == id))
        .map(|app| {
            let mut out = Map::new();
            out.insert("@odata.type".to_owned(), "#microsoft.graph.application".into());
            out.extend(app.members().clone());
            Value::Object(out)
        })
        .collect()
}

fn viewed(version: Version, directory: &Directory, policy: &Value, expand: bool) -> Value {
    let mut item = told(version, policy.clone());
    if expand {
        let id = policy["id"].as_str().unwrap_or_default();
        item["appliesTo"] = Value::Array(targets_of(directory, id));
    }
    item
}

/// `GET /policies/appManagementPolicies`
pub(super) fn list(call: &mut Call<'_>) -> Result<Response, Refusal> {
    call.require(READ)?;
    let query = call.query(custom_entity(call))?;
    let directory = call.directory()?;
    let expand = !query.expansions().is_empty();
    let version = call.route.version;
    let custom = directory.meta.policies.custom.iter();
    let items: Vec<Value> = custom.map(|p| viewed(version, directory, p, expand)).collect();
    Ok(call.many(&query, "policies/appManagementPolicies", items.iter()))
}

fn named(call: &Call<'_>, key: usize) -> Result<(String, Value), Refusal> {
    let id = call.key(key)?.text().to_ascii_lowercase();
    let item = call
        .directory()?
        .meta
        .policies
        .custom
        .iter()
        .find(|p| p["id"] == id.as_str())
        .cloned()
        .ok_or_else(|| not_found(&id))?;
    Ok((id, item))
}

/// `GET /policies/appManagementPolicies/{id}`
pub(super) fn get(call: &mut Call<'_>) -> Result<Response, Refusal> {
    call.require(READ)?;
    let query = call.query(custom_entity(call))?;
    let (_, item) = named(call, 0)?;
    let expand = !query.expansions().is_empty();
    let item = viewed(call.route.version, call.directory()?, &item, expand);
    Ok(call.one(&query, "policies/appManagementPolicies", &item))
}

/// `POST /policies/appManagementPolicies`
pub(super) fn create(call: &mut Call<'_>) -> Result<Response, Refusal> {
    let body = call.body()?;
    call.require(&[WRITE])?;
    custom_entity(call).check_write(&body, Write::Create)?;
    let Value::Object(defaults) = json!({
        "id": random::guid(), "deletedDateTime": null, "displayName": null, "description": null,
        "isEnabled": false, "restrictions": {"passwordCredentials": [], "keyCredentials": []},
    }) else {
        return Err(Refusal::malformed("No body."));
    };
    let item = Value::Object(merge_patch(&defaults, &body));
    let tenant = call.tenant();
    let stored = item.clone();
    call.state.world.change_meta(&tenant, |m| m.policies.custom.push(stored));
    Ok(call.whole(201, "policies/appManagementPolicies/$entity", item))
}

/// `PATCH /policies/appManagementPolicies/{id}`
pub(super) fn update(call: &mut Call<'_>) -> Result<Response, Refusal> {
    let body = call.body()?;
    call.require(&[WRITE])?;
    let (id, item) = named(call, 0)?;
    custom_entity(call).check_write(&body, Write::Update)?;
    let Value::Object(members) = item else {
        return Err(not_found(&id));
    };
    let merged = Value::Object(merge_patch(&members, &body));
    let tenant = call.tenant();
    call.state.world.change_meta(&tenant, |m| {
        if let Some(policy) = m.policies.custom.iter_mut().find(|p| p["id"] == id.as_str()) {
            *policy = merged;
        }
    });
    Ok(Response::empty(204))
}

/// `DELETE /policies/appManagementPolicies/{id}`
pub(super) fn delete(call: &mut Call<'_>) -> Result<Response, Refusal> {
    call.require(&[WRITE])?;
    let (id, _) = named(call, 0)?;
    let tenant = call.tenant();
    let holders: Vec<String> = call
        .directory()?
        .apps
        .iter()
        .filter(|a| a.policies.contains(&id))
        .map(|a| a.id().to_owned())
        .collect();
    for holder in holders {
        call.state.world.change_app(&tenant, &holder, |app| app.policies.retain(|p| *p != id));
    }
    call.state.world.change_meta(&tenant, |m| m.policies.custom.retain(|p| p["id"] != id.as_str()));
    Ok(Response::empty(204))
}

/// `GET /policies/appManagementPolicies/{id}/appliesTo`
pub(super) fn targets(call: &mut Call<'_>) -> Result<Response, Refusal> {
    call.require(READ)?;
    let query = call.query(&APPLICATION)?;
    let (id, _) = named(call, 0)?;
    let items = targets_of(call.directory()?, &id);
    Ok(call.many(&query, "directoryObjects", items.iter()))
}

/// `GET /applications/{id}/appManagementPolicies`
pub(super) fn list_of_application(call: &mut Call<'_>) -> Result<Response, Refusal> {
    call.require(READ)?;
    call.require(applications::READ)?;
    let query = call.query(custom_entity(call))?;
    let ids = call.app()?.policies.clone();
    let items = of(call.route.version, call.directory()?, &ids);
    Ok(call.many(&query, "policies/appManagementPolicies", items.iter()))
}

/// `POST /applications/{id}/appManagementPolicies/$ref`
pub(super) fn assign(call: &mut Call<'_>) -> Result<Response, Refusal> {
    let body = call.body()?;
    call.require(&[WRITE])?;
    call.require(&[WRITE_ALL, "Application.Read.All"])?;
    let address = body
        .get("@odata.id")
        .and_then(Value::as_str)
        .ok_or_else(|| Refusal::malformed("A value must be provided for '@odata.id'."))?;
    let id = reference(address, &["appManagementPolicies"]).ok_or_else(|| {
        Refusal::bad_request(format!("Invalid URL specified for '@odata.id': {address}"))
    })?;
    let directory = call.directory()?;
    if !directory.meta.policies.custom.iter().any(|p| p["id"] == id.as_str()) {
        return Err(not_found(&id));
    }
    let app = call.app()?;
    if app.policies.contains(&id) {
        return Err(Refusal::bad_request(
            "One or more added object references already exist for the following modified properties: 'appManagementPolicies'.",
        ));
    }
    if !app.policies.is_empty() {
        return Err(Refusal::bad_request(
            "The number of policies assigned to the object exceeds the maximum of 1.",
        ));
    }
    let (tenant, app_id) = (call.tenant(), app.id().to_owned());
    call.state.world.change_app(&tenant, &app_id, |app| app.policies.push(id));
    Ok(Response::empty(204))
}

/// `DELETE /applications/{id}/appManagementPolicies/{id}/$ref`
pub(super) fn unassign(call: &mut Call<'_>) -> Result<Response, Refusal> {
    call.require(&[WRITE])?;
    let id = match call.key(1)? {
        Key::Id(id) | Key::Alternate(_, id) => id.to_ascii_lowercase(),
    };
    let app = call.app()?;
    if !app.policies.contains(&id) {
        return Err(not_found(&id));
    }
    let (tenant, app_id) = (call.tenant(), app.id().to_owned());
    call.state.world.change_app(&tenant, &app_id, |app| app.policies.retain(|p| *p != id));
    Ok(Response::empty(204))
}
