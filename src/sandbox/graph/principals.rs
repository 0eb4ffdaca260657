//! Service principals.

use serde_json::{Value, json};

use super::{
    call::{Call, WRITE_ALL, WRITE_OWNED, denied, not_found, require_guid},
    owners,
    path::Key,
};
use crate::sandbox::{
    http::Response,
    random,
    schema::{
        DIRECTORY_OBJECT, Refusal, SERVICE_PRINCIPAL, Write, merge_patch,
        service_principal_defaults,
    },
    world::{
        apps::App,
        directory::{Defender, Directory},
        first_party,
    },
};

/// Who may read service principals that are not the caller's own.
pub(super) const READ: &[&str] = &["Application.Read.All", WRITE_ALL, "Directory.Read.All"];

/// Members that only the world has: they never leave it.
const PRIVATE: &[&str] = &["owners", "customSecurityAttributes"];

/// What may be shown of a stored object.
pub(super) fn public(mut item: Value) -> Value {
    if let Some(members) = item.as_object_mut() {
        members.retain(|name, _| !PRIVATE.contains(&name.as_str()));
    }
    item
}

/// The service principal that a key names.
pub(super) fn find(directory: &Directory, key: &Key) -> Result<Value, Refusal> {
    let found = match key {
        Key::Id(id) => {
            require_guid(id)?;
            directory.principal(&id.to_ascii_lowercase())
        }
        Key::Alternate(name, value) if name == "appId" => {
            if uuid::Uuid::parse_str(value).is_err() {
                return Err(Refusal::bad_request(
                    "Invalid value specified for property 'appId' of resource 'ServicePrincipal'.",
                ));
            }
            directory.principal_by_app_id(&value.to_ascii_lowercase())
        }
        Key::Alternate(_, _) => {
            return Err(Refusal::malformed(
                "The alternate key is not declared on the entity 'servicePrincipal'.",
            ));
        }
    };
    found.ok_or_else(|| not_found(key.text()))
}

fn owned(call: &Call<'_>, principal: &Value) -> bool {
    let own = principal["owners"]
        .as_array()
        .is_some_and(|o| o.iter().any(|o| *o == call.caller.object_id.as_str()));
    own || principal["id"] == call.caller.object_id.as_str()
}

/// `GET /servicePrincipals`
pub(super) fn list(call: &mut Call<'_>) -> Result<Response, Refusal> {
    call.require(READ)?;
    let query = call.query(&SERVICE_PRINCIPAL)?;
    let directory = call.directory()?;
    let mut items: Vec<Value> = directory.principals.table.iter().cloned().collect();
    items.extend(directory.first_parties().map(|f| f.principal(&directory.meta.id)));
    Ok(call.many(&query, "servicePrincipals", items.iter()))
}

/// `GET /servicePrincipals/{id}`
pub(super) fn get(call: &mut Call<'_>) -> Result<Response, Refusal> {
    if !call.caller.has(READ) && !call.caller.has(&[WRITE_OWNED]) {
        return Err(denied());
    }
    let query = call.query(&SERVICE_PRINCIPAL)?;
    let item = find(call.directory()?, call.key(0)?)?;
    if !call.caller.has(READ) && !owned(call, &item) {
        return Err(denied());
    }
    Ok(call.one(&query, "servicePrincipals", &item))
}

/// 409: the directory has one for that app already.
pub(super) fn in_use(app_id: &str) -> Refusal {
    Refusal::new(
        409,
        "Request_MultipleObjectsWithSameKeyValue",
        format!(
            "The service principal cannot be created, updated, or restored because the service principal \
             name {app_id} is already in use."
        ),
    )
}

/// A service principal for an application, as consent and `POST /servicePrincipals` make it.
pub(in crate::sandbox) fn of_application(
    app: &App,
    home: &str,
    owner: Option<&str>,
) -> (String, Value) {
    let id = random::guid();
    let mut value = Value::Object(service_principal_defaults());
    let graph = &app.graph;
    for (name, member) in [
        ("id", json!(id)),
        ("appId", json!(app.app_id())),
        ("displayName", json!(app.name())),
        ("appDisplayName", json!(app.name())),
        ("appDescription", graph["description"].clone()),
        ("appOwnerOrganizationId", json!(home)),
        ("signInAudience", json!(app.audience())),
        ("servicePrincipalNames", names(app)),
        ("replyUrls", graph["web"]["redirectUris"].clone()),
        ("homepage", graph["web"]["homePageUrl"].clone()),
        ("tags", graph["tags"].clone()),
        ("appRoles", graph["appRoles"].clone()),
        ("oauth2PermissionScopes", graph["api"]["oauth2PermissionScopes"].clone()),
        ("info", graph["info"].clone()),
        ("verifiedPublisher", graph["verifiedPublisher"].clone()),
        ("owners", json!(owner.into_iter().collect::<Vec<_>>())),
    ] {
        // A list or object that the application does not have stays at its default.
        if !member.is_null() || value[name].is_null() {
            value[name] = member;
        }
    }
    (id, value)
}

fn names(app: &App) -> Value {
    let mut names = vec![json!(app.app_id())];
    names.extend(app.graph["identifierUris"].as_array().into_iter().flatten().cloned());
    Value::Array(names)
}

/// `POST /servicePrincipals`
pub(super) fn create(call: &mut Call<'_>) -> Result<Response, Refusal> {
    let body = call.body()?;
    call.require(&[WRITE_ALL, WRITE_OWNED])?;
    SERVICE_PRINCIPAL.check_write(&body, Write::Create)?;
    let asked = body.get("appId").and_then(Value::as_str).unwrap_or_default();
    let app_id = uuid::Uuid::parse_str(asked)
        .map_err(|_| {
            Refusal::invalid_value("appId", "ServicePrincipal", "The value must be a GUID.")
        })?
        .to_string();
    let tenant = call.tenant();
    let directory = call.directory()?;
    if let Some(api) = first_party::by_app_id(&app_id) {
        return create_first_party(call, api);
    }
    let no_application = || {
        Refusal::bad_request(format!(
            "The appId '{app_id}' of the service principal does not reference a valid application object."
        ))
        .with_detail("NoBackingApplicationObject", "No such application.", "appId")
    };
    let full = call.caller.has(&[WRITE_ALL]);
    let not_local = || {
        Refusal::new(
            403,
            "Authorization_RequestDenied",
            "When using this permission, the backing application of the service principal being created must in the local tenant",
        )
    };
    let Some((home, app)) = call.state.world.client(&app_id) else {
        return Err(if full { no_application() } else { not_local() });
    };
    // A fresh application is not there yet for the service that makes service principals.
    if call.lags(app) {
        return Err(if full { no_application() } else { not_local() });
    }
    let local = home == tenant;
    if !full {
        if !local {
            return Err(not_local());
        }
        call.require_app(app)?;
    }
    if !local && app.audience() == "AzureADMyOrg" {
        return Err(no_application());
    }
    if directory.principals.by_app_id(&app_id).is_some() {
        return Err(in_use(&app_id));
    }
    let (id, made) = of_application(app, home, Some(&call.caller.object_id));
    let Value::Object(made) = made else {
        return Err(no_application());
    };
    let mut rest = body.clone();
    rest.remove("appId");
    let merged = Value::Object(merge_patch(&made, &rest));
    call.state.world.put_principal(&tenant, &id, merged.clone());
    call.state.world.principal_is_born(&tenant, &id);
    Ok(call.whole(201, "servicePrincipals/$entity", public(merged)))
}

fn create_first_party(
    call: &mut Call<'_>,
    api: &'static first_party::FirstParty,
) -> Result<Response, Refusal> {
    call.require(&[WRITE_ALL])?;
    let tenant = call.tenant();
    let directory = call.directory()?;
    if directory.first_parties().any(|f| f.app_id == api.app_id) {
        return Err(in_use(api.app_id));
    }
    let defender = [first_party::THREAT_PROTECTION, first_party::DEFENDER_ATP];
    if defender.contains(&api.app_id) && directory.meta.people.defender == Defender::NotProvisioned
    {
        return Err(Refusal::bad_request(format!(
            "The appId '{}' of the service principal does not reference a valid application object.",
            api.app_id
        )));
    }
    call.state.world.change_meta(&tenant, |m| m.first_party.push(api.app_id.to_owned()));
    Ok(call.whole(201, "servicePrincipals/$entity", api.principal(&tenant)))
}

/// The caller's right to change a service principal that is not Microsoft's.
fn changeable(call: &Call<'_>) -> Result<(String, Value), Refusal> {
    call.require(&[WRITE_ALL, WRITE_OWNED])?;
    let item = find(call.directory()?, call.key(0)?)?;
    if !call.caller.has(&[WRITE_ALL]) && !owned(call, &item) {
        return Err(denied());
    }
    let id = item["id"].as_str().unwrap_or_default().to_owned();
    if call.directory()?.principals.table.get(&id).is_none() {
        return Err(denied());
    }
    Ok((id, item))
}

/// `PATCH /servicePrincipals/{id}`
pub(super) fn update(call: &mut Call<'_>) -> Result<Response, Refusal> {
    let body = call.body()?;
    let (id, item) = changeable(call)?;
    SERVICE_PRINCIPAL.check_write(&body, Write::Update)?;
    let Value::Object(members) = item else {
        return Err(not_found(&id));
    };
    let merged = Value::Object(merge_patch(&members, &body));
    let tenant = call.tenant();
    call.state.world.put_principal(&tenant, &id, merged);
    Ok(Response::empty(204))
}

/// `DELETE /servicePrincipals/{id}`
pub(super) fn delete(call: &mut Call<'_>) -> Result<Response, Refusal> {
    let (id, _) = changeable(call)?;
    let (tenant, now) = (call.tenant(), call.now_text());
    call.state.world.bin_principal(&tenant, &id, &now);
    Ok(Response::empty(204))
}

/// `GET /servicePrincipals/{id}/owners`
pub(super) fn owners(call: &mut Call<'_>) -> Result<Response, Refusal> {
    call.require(READ)?;
    call.query(&DIRECTORY_OBJECT)?;
    let directory = call.directory()?;
    let item = find(directory, call.key(0)?)?;
    let ids: Vec<String> = item["owners"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    let items: Vec<Value> = owners::objects(directory, &ids).into_iter().map(public).collect();
    Ok(call.whole(200, "directoryObjects", json!({"value": items})))
}
