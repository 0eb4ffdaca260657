//! The operations on secrets.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Call, Refused};
use crate::sandbox::{
    http::Response,
    operation::Operation,
    random,
    world::vaults::{Deleted, RECOVERABLE_DAYS, Secret, Version},
};

/// The most bytes of a value.
const LARGEST_VALUE: usize = 25_600;
/// The most tags of a version, and the longest that their names and values may be
/// (<https://learn.microsoft.com/en-us/azure/key-vault/secrets/about-secrets#secret-tags>).
const MOST_TAGS: usize = 15;
const LONGEST_TAG: usize = 256;
const LONGEST_CONTENT_TYPE: usize = 255;
/// Secrets on a page.
const PAGE: usize = 25;

pub(super) fn handle(call: &mut Call<'_>, operation: Operation) -> Result<Response, Refused> {
    match operation {
        Operation::SetSecret => set(call),
        Operation::GetSecret => get(call),
        Operation::UpdateSecret => update(call),
        Operation::DeleteSecret => delete(call),
        Operation::ListSecrets => list(call),
        Operation::ListSecretVersions => versions(call),
        Operation::ListDeletedSecrets => list_deleted(call),
        Operation::GetDeletedSecret => get_deleted(call),
        Operation::RecoverSecret => recover(call),
        Operation::PurgeSecret => purge(call),
        Operation::BackupSecret => backup(call),
        Operation::RestoreSecret => restore(call),
        _ => Err(Refused::new(404, "Not Found", "No such operation.")),
    }
}

/// The name in the path, as sent and in lower case.
fn name(call: &Call<'_>) -> Result<(String, String), Refused> {
    let name = call.parts.get(1).cloned().unwrap_or_default();
    let good = (1..=127).contains(&name.len())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    if !good {
        return Err(Refused::parameter(format!(
            "The request URI contains an invalid name: {name}"
        )));
    }
    let lower = name.to_ascii_lowercase();
    Ok((name, lower))
}

fn not_found(name: &str) -> Refused {
    Refused::new(
        404,
        "SecretNotFound",
        format!(
            "A secret with (name/id) {name} was not found in this key vault. If you recently deleted \
             this secret you may be able to recover it using the correct recovery command. For help \
             resolving this issue, please see https://go.microsoft.com/fwlink/?linkid=2125182"
        ),
    )
}

fn found(call: &Call<'_>) -> Result<(String, Secret), Refused> {
    let (name, lower) = name(call)?;
    let secret = call.vault()?.secrets.get(&lower).cloned();
    secret.map(|secret| (lower, secret)).ok_or_else(|| not_found(&name))
}

/// The body's members; nothing else may stand there.
fn body(call: &Call<'_>, known: &[&str]) -> Result<Map<String, Value>, Refused> {
    if call.request.media_type().as_deref() != Some("application/json") {
        return Err(Refused::new(
            415,
            "UnsupportedMediaType",
            "Content-Type must be application/json.",
        ));
    }
    let value: Value = serde_json::from_slice(&call.request.body)
        .map_err(|_| Refused::parameter("The body of the request is not valid JSON."))?;
    let Value::Object(members) = value else {
        return Err(Refused::parameter("The body of the request must be an object."));
    };
    if let Some(strange) = members.keys().find(|name| !known.contains(&name.as_str())) {
        return Err(Refused::parameter(format!("Unexpected property: {strange}")));
    }
    Ok(members)
}

/// What a body says of a version, beside its value.
#[derive(Default)]
struct Said {
    content_type: Option<String>,
    tags: Option<BTreeMap<String, String>>,
    enabled: Option<bool>,
    nbf: Option<i64>,
    exp: Option<i64>,
}

fn said(members: &Map<String, Value>) -> Result<Said, Refused> {
    let mut said = Said::default();
    match members.get("contentType") {
        None | Some(Value::Null) => {}
        Some(Value::String(text)) if text.chars().count() <= LONGEST_CONTENT_TYPE => {
            said.content_type = Some(text.clone());
        }
        Some(_) => return Err(Refused::parameter("Property contentType has an invalid value.")),
    }
    match members.get("tags") {
        None | Some(Value::Null) => {}
        Some(Value::Object(tags)) => {
            if tags.len() > MOST_TAGS {
                return Err(Refused::parameter(format!(
                    "Property tags has more than the maximum number of tags: {MOST_TAGS}."
                )));
            }
            let mut all = BTreeMap::new();
            for (name, value) in tags {
                let Some(value) = value.as_str() else {
                    return Err(Refused::parameter(format!(
                        "The value of tag {name} is not a string."
                    )));
                };
                if name.chars().count() > LONGEST_TAG || value.chars().count() > LONGEST_TAG {
                    return Err(Refused::parameter(format!(
                        "Tag name or value exceeds the maximum length of {LONGEST_TAG}."
                    )));
                }
                all.insert(name.clone(), value.to_owned());
            }
            said.tags = Some(all);
        }
        Some(_) => return Err(Refused::parameter("Property tags has an invalid value.")),
    }
    match members.get("attributes") {
        None | Some(Value::Null) => {}
        Some(Value::Object(attributes)) => {
            for (name, value) in attributes {
                let number = || {
                    value.as_i64().map(Some).ok_or_else(|| {
                        Refused::parameter(format!(
                            "Property attributes.{name} has an invalid value."
                        ))
                    })
                };
                match (name.as_str(), value) {
                    (_, Value::Null) => {}
                    ("enabled", Value::Bool(enabled)) => said.enabled = Some(*enabled),
                    ("nbf", _) => said.nbf = number()?,
                    ("exp", _) => said.exp = number()?,
                    // What only the vault sets is taken and not looked at.
                    ("created" | "updated" | "recoveryLevel" | "recoverableDays", _) => {}
                    _ => {
                        return Err(Refused::parameter(format!(
                            "Property attributes.{name} has an invalid value."
                        )));
                    }
                }
            }
        }
        Some(_) => return Err(Refused::parameter("Property attributes has an invalid value.")),
    }
    if let (Some(from), Some(to)) = (said.nbf, said.exp)
        && from >= to
    {
        return Err(Refused::parameter("Property nbf must be before exp."));
    }
    Ok(said)
}

/// Refuses a name that was deleted and may still come back.
fn free(call: &Call<'_>, lower: &str) -> Result<(), Refused> {
    let Some(deleted) = call.vault()?.deleted_secrets.get(lower) else { return Ok(()) };
    if settling(call, deleted) {
        return Err(Refused::new(
            409,
            "Conflict",
            format!("Secret {lower} is currently being deleted."),
        )
        .because("ObjectIsBeingDeleted"));
    }
    Err(Refused::new(
        409,
        "Conflict",
        format!(
            "Secret {lower} is currently in a deleted but recoverable state, and its name cannot be \
             reused; in this state, the secret can only be recovered or purged."
        ),
    )
    .because("ObjectIsDeletedButRecoverable"))
}

fn settling(call: &Call<'_>, deleted: &Deleted) -> bool {
    deleted.since.is_some_and(|since| since.elapsed() < call.state.lag)
}

fn set(call: &mut Call<'_>) -> Result<Response, Refused> {
    let (name, lower) = name(call)?;
    let members = body(call, &["value", "contentType", "tags", "attributes"])?;
    let Some(value) = members.get("value").and_then(Value::as_str) else {
        return Err(Refused::parameter("The parameter value is required."));
    };
    if value.len() > LARGEST_VALUE {
        return Err(Refused::parameter(format!(
            "The value of the secret exceeds the maximum size of {LARGEST_VALUE} bytes."
        )));
    }
    let said = said(&members)?;
    free(call, &lower)?;
    let value_hash = kept(call, value)?;
    let version = Version {
        id: random::guid().replace('-', ""),
        value_hash,
        content_type: said.content_type,
        tags: said.tags.unwrap_or_default(),
        enabled: said.enabled.unwrap_or(true),
        created: call.now,
        updated: call.now,
        nbf: said.nbf,
        exp: said.exp,
    };
    let mut secret = match call.vault()?.secrets.get(&lower) {
        Some(secret) => secret.clone(),
        None => Secret { name, versions: Vec::new() },
    };
    secret.versions.push(version.clone());
    let mut answer = bundle(call, &secret, &version);
    answer["value"] = json!(value);
    let vault = call.vault.clone();
    call.state.world.put_secret(&vault, &lower, Some(secret));
    Ok(Response::json(200, &answer))
}

fn kept(call: &mut Call<'_>, value: &str) -> Result<String, Refused> {
    call.state.values.keep(value).map_err(|error| {
        Refused::new(
            500,
            "InternalServerError",
            format!("The sandbox cannot keep the value: {error}"),
        )
    })
}

/// The version that a path names, or the newest one.
fn chosen<'s>(call: &Call<'_>, secret: &'s Secret) -> Result<&'s Version, Refused> {
    match call.parts.get(2).map(String::as_str).filter(|version| !version.is_empty()) {
        None => secret.newest().ok_or_else(|| not_found(&secret.name)),
        Some(version) if version.len() == 32 && version.bytes().all(|b| b.is_ascii_hexdigit()) => {
            let found = secret.versions.iter().find(|v| v.id.eq_ignore_ascii_case(version));
            found.ok_or_else(|| not_found(&format!("{}/{version}", secret.name)))
        }
        Some(version) => Err(Refused::parameter(format!(
            "The request URI contains an invalid version: {version}"
        ))),
    }
}

fn get(call: &mut Call<'_>) -> Result<Response, Refused> {
    let (_, secret) = found(call)?;
    let version = chosen(call, &secret)?;
    if !version.enabled {
        return Err(Refused::new(
            403,
            "Forbidden",
            "Operation get is not allowed on a disabled secret.",
        )
        .because("SecretDisabled"));
    }
    let Some(value) = call.state.values.get(&version.value_hash) else {
        return Err(Refused::new(
            500,
            "InternalServerError",
            "The world names a value that is not kept.",
        ));
    };
    let mut answer = bundle(call, &secret, version);
    answer["value"] = json!(value);
    Ok(Response::json(200, &answer))
}

fn update(call: &mut Call<'_>) -> Result<Response, Refused> {
    let (lower, mut secret) = found(call)?;
    let id = chosen(call, &secret)?.id.clone();
    let said = said(&body(call, &["contentType", "tags", "attributes"])?)?;
    let now = call.now;
    let Some(version) = secret.versions.iter_mut().find(|version| version.id == id) else {
        return Err(not_found(&lower));
    };
    let Said { content_type, tags, enabled, nbf, exp } = said;
    version.content_type = content_type.or(version.content_type.take());
    version.tags = tags.unwrap_or_else(|| std::mem::take(&mut version.tags));
    version.enabled = enabled.unwrap_or(version.enabled);
    version.nbf = nbf.or(version.nbf);
    version.exp = exp.or(version.exp);
    version.updated = now;
    let version = version.clone();
    let answer = bundle(call, &secret, &version);
    let vault = call.vault.clone();
    call.state.world.put_secret(&vault, &lower, Some(secret));
    Ok(Response::json(200, &answer))
}

fn delete(call: &mut Call<'_>) -> Result<Response, Refused> {
    let (lower, _) = found(call)?;
    let (vault, now) = (call.vault.clone(), call.now);
    call.state.world.delete_secret(&vault, &lower, now);
    let deleted = call.vault()?.deleted_secrets.get(&lower).cloned();
    let deleted = deleted.ok_or_else(|| not_found(&lower))?;
    Ok(Response::json(200, &deleted_bundle(call, &deleted)))
}

/// One page of what a list holds, by names.
fn page(call: &Call<'_>, path: &str, all: Vec<(String, Value)>) -> Result<Response, Refused> {
    let most = match call.query("maxresults") {
        None => PAGE,
        Some(text) => text
            .parse()
            .ok()
            .filter(|n| (1..=PAGE).contains(n))
            .ok_or_else(|| Refused::parameter("maxresults must be between 1 and 25."))?,
    };
    let after = match call.query("$skiptoken") {
        None => None,
        Some(token) => Some(
            call.state
                .values
                .open_sealed(&token)
                .ok_or_else(|| Refused::parameter("The skiptoken is not valid."))?,
        ),
    };
    let mut rest = all.into_iter().filter(|(name, _)| after.as_ref().is_none_or(|a| name > a));
    let items: Vec<(String, Value)> = rest.by_ref().take(most).collect();
    let next = match (rest.next(), items.last()) {
        (Some(_), Some((last, _))) => {
            let version = call.query("api-version").unwrap_or_default();
            let token = call.state.values.seal(last);
            json!(format!(
                "{}/{path}?api-version={version}&$skiptoken={token}&maxresults={most}",
                call.base
            ))
        }
        (_, _) => Value::Null,
    };
    let items: Vec<Value> = items.into_iter().map(|(_, item)| item).collect();
    Ok(Response::json(200, &json!({"value": items, "nextLink": next})))
}

fn list(call: &mut Call<'_>) -> Result<Response, Refused> {
    let mut all = Vec::new();
    for (lower, secret) in &call.vault()?.secrets {
        let Some(newest) = secret.newest() else { continue };
        let mut item = properties(newest);
        item["id"] = json!(format!("{}/secrets/{}", call.base, secret.name));
        all.push((lower.clone(), item));
    }
    page(call, "secrets", all)
}

fn versions(call: &mut Call<'_>) -> Result<Response, Refused> {
    let (_, secret) = found(call)?;
    let mut all: Vec<(String, Value)> = secret
        .versions
        .iter()
        .map(|version| {
            let mut item = properties(version);
            item["id"] = json!(format!("{}/secrets/{}/{}", call.base, secret.name, version.id));
            (version.id.clone(), item)
        })
        .collect();
    all.sort_by(|one, other| one.0.cmp(&other.0));
    page(call, &format!("secrets/{}/versions", secret.name), all)
}

fn list_deleted(call: &mut Call<'_>) -> Result<Response, Refused> {
    let all: Vec<(String, Value)> = call
        .vault()?
        .deleted_secrets
        .iter()
        .map(|(lower, deleted)| {
            let mut item = deleted_bundle(call, deleted);
            item["id"] = json!(format!("{}/secrets/{}", call.base, deleted.secret.name));
            (lower.clone(), item)
        })
        .collect();
    page(call, "deletedsecrets", all)
}

fn the_deleted(call: &Call<'_>) -> Result<(String, Deleted), Refused> {
    let (name, lower) = name(call)?;
    let deleted = call.vault()?.deleted_secrets.get(&lower).cloned();
    deleted.map(|deleted| (lower, deleted)).ok_or_else(|| {
        Refused::new(404, "SecretNotFound", format!("Deleted Secret not found: {name}"))
    })
}

fn settled(call: &Call<'_>) -> Result<(String, Deleted), Refused> {
    let (lower, deleted) = the_deleted(call)?;
    if settling(call, &deleted) {
        return Err(Refused::new(
            409,
            "Conflict",
            format!("Secret {lower} is currently being deleted."),
        )
        .because("ObjectIsBeingDeleted"));
    }
    Ok((lower, deleted))
}

fn get_deleted(call: &mut Call<'_>) -> Result<Response, Refused> {
    let (_, deleted) = the_deleted(call)?;
    Ok(Response::json(200, &deleted_bundle(call, &deleted)))
}

fn recover(call: &mut Call<'_>) -> Result<Response, Refused> {
    let (lower, deleted) = settled(call)?;
    let vault = call.vault.clone();
    call.state.world.put_secret(&vault, &lower, Some(deleted.secret.clone()));
    let newest = deleted.secret.newest().ok_or_else(|| not_found(&lower))?;
    Ok(Response::json(200, &bundle(call, &deleted.secret, newest)))
}

fn purge(call: &mut Call<'_>) -> Result<Response, Refused> {
    let (lower, _) = settled(call)?;
    if call.vault()?.purge_protection {
        return Err(Refused::new(
            403,
            "Forbidden",
            "Operation \"purge\" is not allowed because purge protection is enabled for this vault. \
             Key Vault service will automatically purge it after the retention period has passed.",
        ));
    }
    let vault = call.vault.clone();
    call.state.world.put_secret(&vault, &lower, None);
    Ok(Response::empty(204))
}

fn backup(call: &mut Call<'_>) -> Result<Response, Refused> {
    let (_, secret) = found(call)?;
    let blob = json!({"directory": call.vault()?.directory, "secret": secret}).to_string();
    Ok(Response::json(200, &json!({"value": call.state.values.seal(&blob)})))
}

fn restore(call: &mut Call<'_>) -> Result<Response, Refused> {
    let members = body(call, &["value"])?;
    let broken = || Refused::parameter("The backup blob is not valid.");
    let blob = members.get("value").and_then(Value::as_str).ok_or_else(broken)?;
    let opened = call.state.values.open_sealed(blob).ok_or_else(broken)?;
    let mut blob: Value = serde_json::from_str(&opened).map_err(|_| broken())?;
    if blob["directory"] != call.vault()?.directory.as_str() {
        return Err(broken());
    }
    let secret: Secret = serde_json::from_value(blob["secret"].take()).map_err(|_| broken())?;
    let lower = secret.name.to_ascii_lowercase();
    free(call, &lower)?;
    if call.vault()?.secrets.contains_key(&lower) {
        return Err(Refused::new(
            409,
            "Conflict",
            format!("Secret already exists: {}", secret.name),
        ));
    }
    let newest = secret.newest().cloned().ok_or_else(broken)?;
    let answer = bundle(call, &secret, &newest);
    let vault = call.vault.clone();
    call.state.world.put_secret(&vault, &lower, Some(secret));
    Ok(Response::json(200, &answer))
}

/// What is shown of a version, but for its id and its value.
fn properties(version: &Version) -> Value {
    let mut attributes = json!({
        "enabled": version.enabled, "created": version.created, "updated": version.updated,
        "recoveryLevel": "Recoverable+Purgeable", "recoverableDays": RECOVERABLE_DAYS,
    });
    for (name, time) in [("nbf", version.nbf), ("exp", version.exp)] {
        if let Some(time) = time {
            attributes[name] = json!(time);
        }
    }
    let mut item = json!({"attributes": attributes});
    if !version.tags.is_empty() {
        item["tags"] = json!(version.tags);
    }
    if let Some(content_type) = &version.content_type {
        item["contentType"] = json!(content_type);
    }
    item
}

fn bundle(call: &Call<'_>, secret: &Secret, version: &Version) -> Value {
    let mut item = properties(version);
    item["id"] = json!(format!("{}/secrets/{}/{}", call.base, secret.name, version.id));
    item
}

fn deleted_bundle(call: &Call<'_>, deleted: &Deleted) -> Value {
    let Some(newest) = deleted.secret.newest() else { return Value::Null };
    let mut item = bundle(call, &deleted.secret, newest);
    item["recoveryId"] = json!(format!("{}/deletedsecrets/{}", call.base, deleted.secret.name));
    item["deletedDate"] = json!(deleted.deleted);
    item["scheduledPurgeDate"] = json!(deleted.purged_at());
    item
}
