//! Making, changing and deleting applications.

use std::{borrow::Cow, time::Instant};

use serde_json::{Map, Value, json};

use super::{
    call::{Call, WRITE_ALL, WRITE_OWNED, not_found, reference},
    keys, passwords,
    path::Key,
    policy_rules::{self, Asked},
    redirect_rules,
};
use crate::sandbox::{
    http::Response,
    random,
    schema::{APPLICATION, Refusal, Write, application_defaults, check_application, merge_patch},
    world::{apps::App, directory::Directory},
};

/// Objects that `owners@odata.bind` may name, by the collection in the address.
pub(super) const OWNER_COLLECTIONS: &[&str] = &["directoryObjects", "servicePrincipals", "users"];

/// The greatest number of owners of one application.
pub(super) const MOST_OWNERS: usize = 100;

/// `POST /applications`
pub(super) fn create(call: &mut Call<'_>) -> Result<Response, Refusal> {
    let body = call.body()?;
    call.require(&[WRITE_ALL, WRITE_OWNED, "AppRegistration.Create"])?;
    APPLICATION.check_write(&body, Write::Create)?;
    make(call, body)
}

/// `PATCH /applications(uniqueName='…')`
pub(super) fn upsert(call: &mut Call<'_>) -> Result<Response, Refusal> {
    let mut body = call.body()?;
    call.require(&[WRITE_ALL, WRITE_OWNED])?;
    let Key::Alternate(_, name) = call.key(0)?.clone() else {
        return Err(Refusal::malformed("The request URI names no object."));
    };
    if let Some(other) = body.get("uniqueName")
        && *other != json!(name)
    {
        return Err(Refusal::bad_request(
            "The value of property 'uniqueName' does not match the key in the request URI.",
        ));
    }
    body.remove("uniqueName");
    let creates = call.request.prefers("create-if-missing");
    let exists = call.directory()?.apps.by_unique_name(&name).is_some();
    if exists || !creates {
        // The key lags like every other: a fresh object cannot be found by it either.
        call.app()?;
        let write = if creates { Write::Upsert } else { Write::Update };
        return change(call, body, write);
    }
    APPLICATION.check_write(&body, Write::Upsert)?;
    body.insert("uniqueName".to_owned(), json!(name));
    make(call, body)
}

/// `PATCH /applications/{id}`
pub(super) fn update(call: &mut Call<'_>) -> Result<Response, Refusal> {
    let body = call.body()?;
    call.require(&[WRITE_ALL, WRITE_OWNED])?;
    change(call, body, Write::Update)
}

/// `DELETE /applications/{id}`
pub(super) fn delete(call: &mut Call<'_>) -> Result<Response, Refusal> {
    call.require(&[WRITE_ALL, WRITE_OWNED])?;
    let app = call.app()?;
    call.require_app(app)?;
    let id = app.id().to_owned();
    let (tenant, now) = (call.tenant(), call.now_text());
    call.state.world.bin_app(&tenant, &id, &now);
    Ok(Response::empty(204))
}

/// 400: another application, deleted ones included, holds the unique name.
pub(super) fn unique_name_is_free(directory: &Directory, name: &str) -> Result<(), Refusal> {
    let taken = directory.apps.by_unique_name(name).is_some()
        || directory.deleted_apps.by_unique_name(name).is_some();
    if taken { Err(already_exists("uniqueName")) } else { Ok(()) }
}

fn already_exists(property: &str) -> Refusal {
    Refusal::bad_request(format!(
        "Another object with the same value for property {property} already exists."
    ))
    .with_detail("ObjectConflict", "The value is taken.", property)
}

fn identifier_uris_are_free(
    call: &Call<'_>,
    directory: &Directory,
    app: &Map<String, Value>,
) -> Result<(), Refusal> {
    let wanted: Vec<&str> = app
        .get("identifierUris")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    if wanted.is_empty() {
        return Ok(());
    }
    // Single-tenant apps share the space of their directory only.
    let own = app.get("signInAudience").and_then(Value::as_str) == Some("AzureADMyOrg");
    let taken = call
        .state
        .world
        .directories()
        .filter(|d| d.meta.id == directory.meta.id || !own)
        .flat_map(|d| d.apps.iter().chain(d.deleted_apps.iter()))
        .filter(|other| Some(other.id()) != app.get("id").and_then(Value::as_str))
        .filter_map(|other| other.graph["identifierUris"].as_array())
        .flatten()
        .filter_map(Value::as_str)
        .any(|uri| wanted.contains(&uri));
    if taken { Err(already_exists("identifierUris")) } else { Ok(()) }
}

/// Makes an application from a body that was checked.
fn make(call: &mut Call<'_>, mut body: Map<String, Value>) -> Result<Response, Refusal> {
    let tenant = call.tenant();
    let directory = call.directory()?;
    if let Some(name) = body.get("uniqueName").and_then(Value::as_str) {
        unique_name_is_free(directory, name)?;
    }
    let quota = directory.meta.quota.unwrap_or(300_000);
    if directory.apps.len() + directory.deleted_apps.len() >= quota {
        return Err(Refusal::new(
            403,
            "Directory_QuotaExceeded",
            "The directory object quota limit for the Principal has been exceeded. Please ask your \
             administrator to increase the quota limit or delete objects to reduce the used quota.",
        ));
    }
    let owners = bound_owners(call, directory, &body)?;
    let credentials = match body.remove("passwordCredentials") {
        Some(Value::Array(list)) => list,
        Some(_) | None => Vec::new(),
    };
    let mut graph = merge_patch(&application_defaults(), &body);
    for (name, value) in [
        ("id", json!(random::guid())),
        ("appId", json!(random::guid())),
        ("createdDateTime", json!(call.now_text())),
        ("createdByAppId", json!(call.caller.app_id)),
        ("publisherDomain", json!(directory.default_domain())),
    ] {
        graph.insert(name.to_owned(), value);
    }
    keys::take(&mut graph, &[])?;
    check_application(&graph)?;
    identifier_uris_are_free(call, directory, &graph)?;
    let asked = Asked { directory, actor: &call.caller.object_id, assigned: &[] };
    policy_rules::audience(&asked, &graph)?;
    policy_rules::identifier_uris(&asked, None, &graph)?;
    policy_rules::keys(&asked, &graph, Vec::new().as_slice())?;
    redirect_rules::redirect_uris(&asked, None, &graph)?;
    let mut app = App::new(graph);
    app.owners = owners;
    keys::note(&mut app, &[]);
    app.born = Some(Instant::now());
    let now = call.now();
    let mut secrets = Vec::new();
    for credential in credentials {
        let Value::Object(asked) = credential else {
            continue;
        };
        secrets.push(passwords::make(call, &mut app, &asked, now)?);
    }
    let mut shown = keys::shown(Cow::Borrowed(&app.graph), None).into_owned();
    for (key, secret) in &secrets {
        if let Some(credential) = shown["passwordCredentials"]
            .as_array_mut()
            .and_then(|list| list.iter_mut().find(|c| c["keyId"] == json!(key)))
        {
            credential["secretText"] = json!(secret);
        }
    }
    for (_, secret) in &secrets {
        call.issue(secret);
    }
    let location = format!(
        "{}/v1.0/{tenant}/directoryObjects/{}/Microsoft.DirectoryServices.Application",
        call.request.origin(),
        app.id()
    );
    call.state.world.put_app(&tenant, app);
    Ok(call.whole(201, "applications/$entity", shown).with("location", location))
}

/// The owners of a new application: the caller, and whom the body binds.
fn bound_owners(
    call: &Call<'_>,
    directory: &Directory,
    body: &Map<String, Value>,
) -> Result<Vec<String>, Refusal> {
    let mut owners = vec![call.caller.object_id.clone()];
    let bound = body
        .get("owners@odata.bind")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str);
    for address in bound {
        let id = reference(address, OWNER_COLLECTIONS)
            .filter(|id| super::owners::object(directory, id).is_some())
            .ok_or_else(|| not_found(address.rsplit('/').next().unwrap_or(address)))?;
        if !owners.contains(&id) {
            owners.push(id);
        }
    }
    Ok(owners)
}

/// Changes the application that the path names.
fn change(
    call: &mut Call<'_>,
    mut body: Map<String, Value>,
    write: Write,
) -> Result<Response, Refusal> {
    let tenant = call.tenant();
    let directory = call.directory()?;
    let app = call.app()?;
    call.require_app(app)?;
    let named = backfill(directory, app, &mut body)?;
    APPLICATION.check_write(&body, write)?;
    let mut graph = merge_patch(app.members(), &body);
    if let Some(name) = named {
        graph.insert("uniqueName".to_owned(), name.into());
    }
    let old = app.graph["keyCredentials"].as_array().cloned().unwrap_or_default();
    keys::take(&mut graph, &old)?;
    check_application(&graph)?;
    let asked = Asked { directory, actor: &call.caller.object_id, assigned: &app.policies };
    redirect_rules::redirect_uris(&asked, Some(app.members()), &graph)?;
    if body.contains_key("identifierUris") {
        identifier_uris_are_free(call, directory, &graph)?;
        policy_rules::identifier_uris(&asked, Some(app), &graph)?;
    }
    if body.contains_key("signInAudience") && graph["signInAudience"] != app.graph["signInAudience"]
    {
        policy_rules::audience(&asked, &graph)?;
    }
    if body.contains_key("keyCredentials") {
        policy_rules::keys(&asked, &graph, &old)?;
    }
    enabled_things_stay(app, &graph)?;
    let id = app.id().to_owned();
    call.state.world.change_app(&tenant, &id, |app| {
        app.graph = Value::Object(graph);
        keys::note(app, &old);
    });
    Ok(Response::empty(204))
}

/// A unique name may be given once to an application that has none; after that it stays.
fn backfill(
    directory: &Directory,
    app: &App,
    body: &mut Map<String, Value>,
) -> Result<Option<String>, Refusal> {
    let Some(value) = body.remove("uniqueName") else {
        return Ok(None);
    };
    match (app.unique_name(), value) {
        (Some(old), Value::String(new)) if old == new => Ok(None),
        (None, Value::Null) => Ok(None),
        (None, Value::String(new)) if !new.is_empty() => {
            unique_name_is_free(directory, &new)?;
            Ok(Some(new))
        }
        (Some(_) | None, _) => {
            Err(Refusal::bad_request("Property 'uniqueName' is read-only and cannot be set."))
        }
    }
}

/// An enabled role or scope must be disabled before it goes.
fn enabled_things_stay(app: &App, graph: &Map<String, Value>) -> Result<(), Refusal> {
    let gone = |old: &Value, new: Option<&Value>| {
        old.as_array().into_iter().flatten().any(|entry| {
            entry["isEnabled"] == true
                && !new
                    .and_then(Value::as_array)
                    .is_some_and(|list| list.iter().any(|e| e["id"] == entry["id"]))
        })
    };
    if gone(&app.graph["appRoles"], graph.get("appRoles"))
        || gone(
            &app.graph["api"]["oauth2PermissionScopes"],
            graph.get("api").map(|api| &api["oauth2PermissionScopes"]),
        )
    {
        return Err(Refusal::new(
            400,
            "CannotDeleteOrUpdateEnabledEntitlement",
            "Permission (scope or role) cannot be deleted or updated unless disabled first.",
        ));
    }
    Ok(())
}
