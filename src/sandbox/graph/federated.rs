//! Federated identity credentials: trust in another issuer's tokens instead of a secret
//! (<https://learn.microsoft.com/en-us/graph/api/resources/federatedidentitycredentials-overview>).

use serde_json::{Map, Value, json};

use super::{
    applications::READ,
    call::{Call, WRITE_ALL, WRITE_OWNED, not_found},
    path::Key,
};
use crate::sandbox::{http::Response, random, schema::Refusal, world::apps::App};

/// The most of them on one application.
const MOST: usize = 20;

/// The longest name, and the longest of each other text, in characters.
const NAME: usize = 120;
const TEXT: usize = 600;

/// `GET /applications/{id}/federatedIdentityCredentials`
pub(super) fn list(call: &mut Call<'_>) -> Result<Response, Refusal> {
    call.require(READ)?;
    let items = call.app()?.federated.clone();
    Ok(call.whole(200, "federatedIdentityCredentials", json!({ "value": items })))
}

/// The credential that the path names, by id or by name.
fn named(call: &Call<'_>) -> Result<Value, Refusal> {
    let app = call.app()?;
    let key = call.key(1)?;
    let member = match key {
        Key::Alternate(name, _) if name == "name" => "name",
        Key::Id(_) | Key::Alternate(_, _) => "id",
    };
    app.federated
        .iter()
        .find(|f| f[member] == key.text())
        .cloned()
        .ok_or_else(|| not_found(key.text()))
}

/// `GET /applications/{id}/federatedIdentityCredentials/{id}`
pub(super) fn get(call: &mut Call<'_>) -> Result<Response, Refusal> {
    call.require(READ)?;
    let item = named(call)?;
    Ok(call.whole(200, "federatedIdentityCredentials/$entity", item))
}

fn invalid(property: &str, why: &str) -> Refusal {
    Refusal::invalid_value(property, "FederatedIdentityCredential", why)
}

/// Looks at what is sent, and at what would be.
fn check(body: &Map<String, Value>, whole: &Value) -> Result<(), Refusal> {
    for (name, value) in body {
        let text_within = |limit: usize| {
            value.as_str().is_some_and(|t| !t.is_empty() && t.chars().count() <= limit)
        };
        let good = match name.as_str() {
            "name" => {
                text_within(NAME)
                    && value.as_str().is_some_and(|t| {
                        t.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
                    })
            }
            "issuer" => {
                text_within(TEXT)
                    && value
                        .as_str()
                        .is_some_and(|t| url::Url::parse(t).is_ok_and(|u| u.scheme() == "https"))
            }
            "subject" => text_within(TEXT),
            "description" => value.is_null() || text_within(TEXT),
            "audiences" => value.as_array().is_some_and(|a| {
                a.len() == 1
                    && a[0].as_str().is_some_and(|t| !t.is_empty() && t.chars().count() <= TEXT)
            }),
            name if name.starts_with("@odata.") => true,
            other => {
                return Err(Refusal::bad_request(format!(
                    "Property '{other}' does not exist as a declared property or extension property."
                )));
            }
        };
        if !good {
            return Err(invalid(name, "The value is not allowed."));
        }
    }
    for name in ["name", "issuer", "subject", "audiences"] {
        if whole[name].is_null() {
            return Err(invalid(name, "A value is required."));
        }
    }
    Ok(())
}

/// No two credentials of an application share a name, or an issuer and subject.
fn distinct(app: &App, whole: &Value) -> Result<(), Refusal> {
    let others = || app.federated.iter().filter(|f| f["id"] != whole["id"]);
    if others().any(|f| f["name"] == whole["name"]) {
        let name = whole["name"].as_str().unwrap_or_default();
        return Err(Refusal::new(
            409,
            "Request_MultipleObjectsWithSameKeyValue",
            format!("FederatedIdentityCredential with name {name} already exists."),
        ));
    }
    if others().any(|f| f["issuer"] == whole["issuer"] && f["subject"] == whole["subject"]) {
        return Err(Refusal::bad_request(
            "FederatedIdentityCredential with the given issuer and subject already exists.",
        ));
    }
    Ok(())
}

fn store(call: &mut Call<'_>, change: impl FnOnce(&mut Vec<Value>)) -> Result<(), Refusal> {
    let (tenant, id) = (call.tenant(), call.app()?.id().to_owned());
    call.state.world.change_app(&tenant, &id, |app| change(&mut app.federated));
    Ok(())
}

/// `POST /applications/{id}/federatedIdentityCredentials`
pub(super) fn add(call: &mut Call<'_>) -> Result<Response, Refusal> {
    let body = call.body()?;
    call.require(&[WRITE_ALL, WRITE_OWNED])?;
    let app = call.app()?;
    call.require_app(app)?;
    let mut whole = json!({"id": random::guid(), "name": null, "issuer": null, "subject": null,
        "description": null, "audiences": null});
    put(&mut whole, &body);
    check(&body, &whole)?;
    distinct(app, &whole)?;
    if app.federated.len() >= MOST {
        return Err(Refusal::bad_request(format!(
            "The number of federated identity credentials on an application is limited to {MOST}."
        )));
    }
    let made = whole.clone();
    store(call, |list| list.push(made))?;
    Ok(call.whole(201, "federatedIdentityCredentials/$entity", whole))
}

fn put(whole: &mut Value, body: &Map<String, Value>) {
    for (name, value) in body {
        if !name.contains('@') {
            whole[name.as_str()] = value.clone();
        }
    }
}

/// `PATCH /applications/{id}/federatedIdentityCredentials/{id}`
pub(super) fn update(call: &mut Call<'_>) -> Result<Response, Refusal> {
    let body = call.body()?;
    call.require(&[WRITE_ALL, WRITE_OWNED])?;
    let app = call.app()?;
    call.require_app(app)?;
    let old = named(call)?;
    if body.get("name").is_some_and(|name| *name != old["name"]) {
        return Err(Refusal::bad_request("Property 'name' is read-only and cannot be set."));
    }
    let mut whole = old.clone();
    put(&mut whole, &body);
    check(&body, &whole)?;
    distinct(app, &whole)?;
    store(call, |list| {
        if let Some(item) = list.iter_mut().find(|f| f["id"] == old["id"]) {
            *item = whole;
        }
    })?;
    Ok(Response::empty(204))
}

/// `DELETE /applications/{id}/federatedIdentityCredentials/{id}`
pub(super) fn remove(call: &mut Call<'_>) -> Result<Response, Refusal> {
    call.require(&[WRITE_ALL, WRITE_OWNED])?;
    let app = call.app()?;
    call.require_app(app)?;
    let old = named(call)?;
    store(call, |list| list.retain(|f| f["id"] != old["id"]))?;
    Ok(Response::empty(204))
}
