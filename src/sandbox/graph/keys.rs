//! Key credentials: certificates that an application signs its assertions with
//! (<https://learn.microsoft.com/en-us/graph/api/resources/keycredential>,
//! <https://learn.microsoft.com/en-us/graph/applications-how-to-add-certificate>).
//!
//! A list that is sent replaces the old one. One that is there already is known by its `keyId`, may
//! come without its `key`, and cannot become another.

use std::{borrow::Cow, time::Instant};

use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::sandbox::{
    certificate::Certificate, clock::graph_time, odata::Query, random, schema::Refusal,
    world::apps::App,
};

/// Looks at the key credentials of an application that is made or changed, and adds what the
/// directory adds. `old` are those that it has.
pub(super) fn take(graph: &mut Map<String, Value>, old: &[Value]) -> Result<(), Refusal> {
    let Some(Value::Array(keys)) = graph.get_mut("keyCredentials") else {
        return Ok(());
    };
    for key in keys {
        let known = old.iter().find(|old| !key["keyId"].is_null() && old["keyId"] == key["keyId"]);
        match known {
            Some(known) => {
                let another = |name: &str| !key[name].is_null() && key[name] != known[name];
                if ["key", "type", "usage"].into_iter().any(another) {
                    return Err(Refusal::bad_request(format!(
                        "Update to existing credential with KeyId '{}' is not allowed.",
                        key["keyId"].as_str().unwrap_or_default()
                    )));
                }
                *key = known.clone();
            }
            None => fresh(key)?,
        }
    }
    Ok(())
}

fn fresh(key: &mut Value) -> Result<(), Refusal> {
    if key["keyId"].is_null() {
        key["keyId"] = json!(random::guid());
    }
    match (key["type"].as_str(), key["usage"].as_str()) {
        (Some("AsymmetricX509Cert"), Some("Verify")) => {}
        // Keys for signing SAML tokens and the like: nothing here uses them.
        (Some("AsymmetricX509Cert" | "X509CertAndPassword" | "Symmetric"), Some(_)) => {
            return Ok(());
        }
        (_, _) => {
            return Err(Refusal::invalid_value(
                "type",
                "KeyCredential",
                "A key credential needs a type and a usage.",
            ));
        }
    }
    let certificate = key["key"]
        .as_str()
        .and_then(|text| STANDARD.decode(text).ok())
        .and_then(|der| Certificate::read(&der))
        .ok_or_else(|| Refusal::bad_request("Key value is invalid certificate"))?;
    let time = |name: &str| key[name].as_str().and_then(|text| text.parse::<Timestamp>().ok());
    let start = time("startDateTime").unwrap_or(certificate.not_before);
    let end = time("endDateTime").unwrap_or(certificate.not_after);
    if start < certificate.not_before || start > certificate.not_after {
        return Err(dates("KeyCredentialsInvalidStartDate", "start"));
    }
    if end > certificate.not_after || end <= start {
        return Err(dates("KeyCredentialsInvalidEndDate", "end"));
    }
    key["startDateTime"] = json!(graph_time(start));
    key["endDateTime"] = json!(graph_time(end));
    if key["customKeyIdentifier"].is_null() {
        key["customKeyIdentifier"] = json!(STANDARD.encode(&certificate.sha1));
    }
    if key["displayName"].is_null() {
        key["displayName"] = json!(certificate.subject);
    }
    Ok(())
}

fn dates(code: &'static str, which: &str) -> Refusal {
    Refusal::new(400, code, format!("Key credential {which} date is invalid."))
}

/// Notes which of them are new in this process: they take their time to be seen, as secrets do.
pub(super) fn note(app: &mut App, old: &[Value]) {
    let fresh: Vec<String> = app.graph["keyCredentials"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|key| !old.iter().any(|old| old["keyId"] == key["keyId"]))
        .filter_map(|key| key["keyId"].as_str().map(str::to_owned))
        .collect();
    app.fresh_keys.extend(fresh.into_iter().map(|key| (key, Instant::now())));
}

/// What an answer shows of them: the certificate itself only where one application is read and
/// asked for them by name, and never those that lag.
pub(super) fn shown<'a>(item: Cow<'a, Value>, one: Option<&Query>) -> Cow<'a, Value> {
    let whole = one.is_some_and(|query| query.selects("keyCredentials"));
    let has_keys = item["keyCredentials"].as_array().is_some_and(|keys| !keys.is_empty());
    if whole || !has_keys {
        return item;
    }
    let mut item = item.into_owned();
    for key in item["keyCredentials"].as_array_mut().into_iter().flatten() {
        key["key"] = Value::Null;
    }
    Cow::Owned(item)
}
