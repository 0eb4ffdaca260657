//! Deleted items: listing, restoring, purging.

use serde_json::Value;

use super::{
    call::{Call, WRITE_ALL, WRITE_OWNED, denied, not_found},
    principals,
};
use crate::sandbox::{
    http::Response,
    schema::{APPLICATION, DIRECTORY_OBJECT, Refusal, SERVICE_PRINCIPAL},
};

/// Who may look into the bin; `OwnedBy` alone may not.
const READ: &[&str] = &["Application.Read.All", WRITE_ALL, "Directory.Read.All"];

/// `GET /directory/deletedItems/microsoft.graph.application` (or `…servicePrincipal`)
pub(super) fn list(call: &mut Call<'_>) -> Result<Response, Refusal> {
    call.require(READ)?;
    let directory = call.directory()?;
    match call.route.cast.as_deref() {
        Some("application") => {
            let query = call.query(&APPLICATION)?;
            let items: Vec<&Value> = directory.deleted_apps.iter().map(|a| &a.graph).collect();
            Ok(call.many(
                &query,
                "directory/deletedItems/microsoft.graph.application",
                items.into_iter(),
            ))
        }
        Some("serviceprincipal") => {
            let query = call.query(&SERVICE_PRINCIPAL)?;
            Ok(call.many(
                &query,
                "directory/deletedItems/microsoft.graph.servicePrincipal",
                directory.deleted_principals.table.iter(),
            ))
        }
        Some(other) => Err(Refusal::malformed(format!(
            "Resource not found for the segment 'microsoft.graph.{other}'."
        ))),
        None => Err(Refusal::malformed("The type of the deleted items must be named.")),
    }
}

fn found(call: &Call<'_>) -> Result<(String, Value), Refusal> {
    let id = call.key(0)?.text().to_ascii_lowercase();
    let directory = call.directory()?;
    let app = directory.deleted_apps.get(&id).map(|a| a.graph.clone());
    let item = match app {
        Some(app) => Some(with_type("#microsoft.graph.application", app)),
        None => directory
            .deleted_principals
            .table
            .get(&id)
            .map(|p| with_type("#microsoft.graph.servicePrincipal", p.clone())),
    };
    item.map(|item| (id.clone(), item)).ok_or_else(|| not_found(&id))
}

fn with_type(name: &str, value: Value) -> Value {
    let mut out = serde_json::Map::new();
    out.insert("@odata.type".to_owned(), name.into());
    if let Value::Object(members) = value {
        out.extend(members);
    }
    Value::Object(out)
}

/// `GET /directory/deletedItems/{id}`
pub(super) fn get(call: &mut Call<'_>) -> Result<Response, Refusal> {
    call.require(READ)?;
    call.query(&DIRECTORY_OBJECT)?;
    let (_, item) = found(call)?;
    Ok(call.whole(200, "directoryObjects/$entity", principals::public(item)))
}

/// `POST /directory/deletedItems/{id}/restore`. A service principal that went with its
/// application stays in the bin.
pub(super) fn restore(call: &mut Call<'_>) -> Result<Response, Refusal> {
    call.require(&[WRITE_ALL, WRITE_OWNED])?;
    let (id, mut item) = found(call)?;
    let tenant = call.tenant();
    let directory = call.directory()?;
    match directory.deleted_apps.get(&id) {
        Some(app) => {
            call.require_app(app)?;
            call.state.world.restore_app(&tenant, &id);
        }
        None => {
            call.require(&[WRITE_ALL])?;
            let app_id = item["appId"].as_str().unwrap_or_default().to_owned();
            if directory.principals.by_app_id(&app_id).is_some() {
                return Err(super::principals::in_use(&app_id));
            }
            call.state.world.restore_principal(&tenant, &id);
        }
    }
    item["deletedDateTime"] = Value::Null;
    Ok(call.whole(200, "directoryObjects/$entity", principals::public(item)))
}

/// `DELETE /directory/deletedItems/{id}`
pub(super) fn purge(call: &mut Call<'_>) -> Result<Response, Refusal> {
    if !call.caller.has(&[WRITE_ALL]) {
        return Err(denied());
    }
    let (id, _) = found(call)?;
    let tenant = call.tenant();
    call.state.world.purge(&tenant, &id);
    Ok(Response::empty(204))
}
