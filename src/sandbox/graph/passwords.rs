//! `addPassword` and `removePassword`.

use std::time::Instant;

use jiff::{Span, Timestamp};
use serde_json::{Map, Value, json};

use super::{
    call::{Call, WRITE_ALL, WRITE_OWNED},
    policy_rules::{self, Asked},
};
use crate::sandbox::{
    clock::{graph_time, plus},
    http::Response,
    random,
    schema::{PASSWORD_CREDENTIAL, Refusal},
    world::apps::App,
};

/// Years that a secret lives when nobody says how long.
const DEFAULT_YEARS: i64 = 2;

/// The most secrets of an app that personal accounts can sign in to.
const MOST_PERSONAL: usize = 2;

/// `POST /applications/{id}/addPassword`
pub(super) fn add(call: &mut Call<'_>) -> Result<Response, Refusal> {
    let body = match call.request.body.is_empty() {
        // Every member of the action is optional, so the whole body is.
        true => Map::new(),
        false => call.body()?,
    };
    call.require(&[WRITE_ALL, WRITE_OWNED])?;
    let app = call.app()?;
    call.require_app(app)?;
    let mut app = app.clone();
    if let Some(other) = body.keys().find(|k| *k != "passwordCredential") {
        return Err(unknown_parameter(other, "addPassword"));
    }
    let asked = match body.get("passwordCredential") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(asked)) => asked.clone(),
        Some(_) => {
            return Err(Refusal::malformed(
                "Expected an object for parameter 'passwordCredential'.",
            ));
        }
    };
    let now = call.now();
    let (key, secret) = make(call, &mut app, &asked, now)?;
    let mut shown =
        app.passwords().iter().find(|c| c["keyId"] == json!(key)).cloned().unwrap_or_default();
    shown["secretText"] = json!(secret);
    call.issue(&secret);
    let tenant = call.tenant();
    call.state.world.put_app(&tenant, app);
    Ok(call.whole(200, "microsoft.graph.passwordCredential", shown))
}

/// `POST /applications/{id}/removePassword`
pub(super) fn remove(call: &mut Call<'_>) -> Result<Response, Refusal> {
    let body = call.body()?;
    call.require(&[WRITE_ALL, WRITE_OWNED])?;
    let app = call.app()?;
    call.require_app(app)?;
    if let Some(other) = body.keys().find(|k| *k != "keyId") {
        return Err(unknown_parameter(other, "removePassword"));
    }
    let key = match body.get("keyId") {
        Some(Value::String(key)) if uuid::Uuid::parse_str(key).is_ok() => key.to_ascii_lowercase(),
        Some(_) => {
            return Err(Refusal::malformed(
                "Cannot convert the value of parameter 'keyId' to the expected type 'Edm.Guid'.",
            ));
        }
        None => {
            return Err(Refusal::malformed(
                "The parameter 'keyId' of action 'removePassword' is missing.",
            ));
        }
    };
    let unseen = app.fresh_keys.get(&key).is_some_and(|born| born.elapsed() < call.state.lag);
    if unseen || !app.passwords().iter().any(|c| c["keyId"] == json!(key)) {
        return Err(Refusal::bad_request("No password credential found with keyId."));
    }
    let (tenant, id) = (call.tenant(), app.id().to_owned());
    call.state.world.change_app(&tenant, &id, |app| {
        app.passwords_mut().retain(|c| c["keyId"] != json!(key));
        app.hashes.remove(&key);
        app.fresh_keys.remove(&key);
    });
    Ok(Response::empty(204))
}

fn unknown_parameter(name: &str, action: &str) -> Refusal {
    Refusal::malformed(format!(
        "The parameter '{name}' in the request payload is not a valid parameter for the operation '{action}'."
    ))
}

/// Adds a secret to an application as asked; its key id and its value.
///
/// # Errors
/// What Graph refuses: a value of the client's choice, ends before the start, what a policy bans.
pub(super) fn make(
    call: &Call<'_>,
    app: &mut App,
    asked: &Map<String, Value>,
    now: Timestamp,
) -> Result<(String, String), Refusal> {
    PASSWORD_CREDENTIAL.check(asked, "PasswordCredential")?;
    if asked.get("secretText").is_some_and(|s| !s.is_null()) {
        return Err(Refusal::bad_request(
            "New password credentials must be generated using service actions.",
        ));
    }
    let time = |name: &str| {
        asked.get(name).and_then(Value::as_str).and_then(|t| t.parse::<Timestamp>().ok())
    };
    let start = time("startDateTime").unwrap_or(now);
    let end = match time("endDateTime") {
        Some(end) => end,
        None => plus(start, Span::new().years(DEFAULT_YEARS)).unwrap_or(start),
    };
    if end <= start {
        return Err(Refusal::invalid_value(
            "passwordCredentials",
            "Application",
            "The credential ends before it starts.",
        ));
    }
    let by = Asked {
        directory: call.directory()?,
        actor: &call.caller.object_id,
        assigned: &app.policies,
    };
    policy_rules::password(&by, app, start, end)?;
    let personal = ["AzureADandPersonalMicrosoftAccount", "PersonalMicrosoftAccount"];
    if personal.contains(&app.audience()) && app.passwords().len() >= MOST_PERSONAL {
        return Err(Refusal::invalid_value(
            "passwordCredentials",
            "Application",
            "At most 2 secrets while personal accounts can sign in.",
        ));
    }
    let (key, secret) = (random::guid(), random::client_secret());
    app.passwords_mut().push(json!({
        "customKeyIdentifier": asked.get("customKeyIdentifier").cloned().unwrap_or_default(),
        "displayName": asked.get("displayName").cloned().unwrap_or_default(),
        "endDateTime": precise(end),
        "hint": secret.chars().take(3).collect::<String>(),
        "keyId": key,
        "secretText": null,
        "startDateTime": precise(start),
    }));
    app.hashes.insert(key.clone(), random::secret_hash(&secret));
    app.fresh_keys.insert(key.clone(), Instant::now());
    Ok((key, secret))
}

/// Microsoft keeps up to seven fractional digits.
fn precise(time: Timestamp) -> String {
    let ticks = time.subsec_nanosecond() / 100;
    if ticks == 0 {
        return graph_time(time);
    }
    let whole = time.strftime("%Y-%m-%dT%H:%M:%S").to_string();
    let digits = format!("{ticks:07}");
    format!("{whole}.{}Z", digits.trim_end_matches('0'))
}
