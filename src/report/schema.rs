//! JSON Schemas of what tenantry prints: open, because members are only ever added.

use serde_json::{Value, json};

use crate::{
    plan::{diagnostic::Code, forecast::DueKind, foreign::TheirsKind},
    status::{FacetName, Overall, State, WaitingFor},
};

const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// Kinds of steps, as in a plan and in events.
pub(super) const STEPS: [&str; 15] = [
    "restore-application",
    "create-application",
    "patch-application",
    "remove-secret",
    "add-secret",
    "remove-certificate",
    "add-certificate",
    "add-federated",
    "update-federated",
    "remove-federated",
    "remove-marks",
    "delete-application",
    "remove-record",
    "forget-tenant",
    "add-owner",
];

/// Kinds of steps in a customer's directory, as in a plan and in events.
pub(super) const GRANTS: [&str; 3] = ["create-service-principal", "grant-app-role", "grant-scopes"];

/// States of facets.
const STATES: [State; 6] =
    [State::Ok, State::Waiting, State::Expiring, State::Failed, State::Unknown, State::NotNeeded];

/// Kinds of steps for people, as in a plan and in events.
const MANUALS: [&str; 4] = ["admin-consent", "sign-in", "portal-authorization", "removal"];

fn text() -> Value {
    json!({ "type": "string" })
}

fn guid() -> Value {
    json!({ "type": "string", "format": "uuid" })
}

fn moment() -> Value {
    json!({ "type": "string", "format": "date-time" })
}

fn count() -> Value {
    json!({ "type": "integer", "minimum": 0 })
}

fn list(of: Value) -> Value {
    json!({ "type": "array", "items": of })
}

fn or_null(of: Value) -> Value {
    json!({ "anyOf": [of, { "type": "null" }] })
}

fn words(words: impl IntoIterator<Item = &'static str>) -> Value {
    json!({ "enum": words.into_iter().collect::<Vec<_>>() })
}

/// An object of which these members are always there.
fn object(always: Value, sometimes: Value) -> Value {
    let mut properties = always.clone();
    let required: Vec<_> = always.as_object().into_iter().flat_map(|o| o.keys().cloned()).collect();
    if let (Some(all), Value::Object(more)) = (properties.as_object_mut(), sometimes) {
        all.extend(more);
    }
    json!({ "type": "object", "properties": properties, "required": required })
}

fn document(title: &str, schema: Value) -> Value {
    let mut document = json!({ "$schema": DIALECT, "title": title });
    if let (Some(document), Value::Object(schema)) = (document.as_object_mut(), schema) {
        document.extend(schema);
    }
    document
}

fn diagnostic() -> Value {
    object(
        json!({
            "severity": words(["error", "warning", "notice"]),
            "code": words(Code::ALL.iter().map(|code| code.as_str())),
            "summary": text(),
        }),
        json!({ "hint": text() }),
    )
}

/// The schema of `plan --json`.
pub fn plan() -> Value {
    let step = object(
        json!({ "kind": words(STEPS) }),
        json!({
            "edits": list(object(json!({ "property": text(), "from": {}, "to": {} }), json!({}))),
            "lifetime": text(),
            "reason": text(),
            "name": text(),
            "owner": guid(),
            "keyId": guid(),
            "nonce": text(),
            "displayName": text(),
        }),
    );
    let grant = object(
        json!({ "kind": words(GRANTS) }),
        json!({
            "of": text(),
            "tags": list(text()),
            "resource": guid(),
            "role": guid(),
            "name": text(),
            "scopes": object(json!({ "from": list(text()), "to": list(text()) }), json!({})),
        }),
    );
    let app = object(
        json!({ "key": text(), "steps": list(step), "diagnostics": list(diagnostic()) }),
        json!({
            "displayName": text(),
            "clientId": or_null(guid()),
            "directory": or_null(guid()),
            "foreignCredentials": list(object(theirs(), theirs_at_times())),
        }),
    );
    let manual = object(
        json!({
            "kind": words(MANUALS),
            "who": text(),
            "values": { "type": "object", "additionalProperties": text() },
        }),
        json!({ "link": text(), "since": moment() }),
    );
    let tenant = object(
        json!({
            "key": text(),
            "tenantId": or_null(guid()),
            "app": text(),
            "steps": list(grant),
            "manual": list(manual),
            "diagnostics": list(diagnostic()),
        }),
        json!({ "name": text() }),
    );
    document(
        "tenantry plan --json",
        object(
            json!({
                "formatVersion": { "const": super::json::FORMAT_VERSION },
                "fleet": text(),
                "checksum": { "type": "string", "pattern": "^[0-9a-f]{64}$" },
                "apps": list(app),
                "tenants": list(tenant),
                "summary": summary_of_plan(),
            }),
            json!({
                "home": guid(),
                "vault": guid(),
                "sandbox": { "type": "boolean" },
                "partial": { "type": "boolean" },
                "shard": or_null(text()),
                "reissue": { "type": "boolean" },
                "removeForeign": { "type": "boolean" },
                "orphans": list(orphan()),
                "diagnostics": list(diagnostic()),
                "asOf": moment(),
                "due": list(due()),
            }),
        ),
    )
}

fn summary_of_plan() -> Value {
    object(
        json!({
            "add": count(), "change": count(), "remove": count(), "grant": count(),
            "unchanged": count(),
            "unreadable": count(), "blocked": count(), "manual": count(),
        }),
        json!({}),
    )
}

/// An app of the fleet that the manifest names no more.
fn orphan() -> Value {
    object(
        json!({
            "key": text(),
            "directory": guid(),
            "displayName": text(),
            "clientId": guid(),
        }),
        json!({}),
    )
}

/// A credential of others on an app of ours.
fn theirs() -> Value {
    json!({
        "kind": words(TheirsKind::ALL.map(TheirsKind::as_str)),
        "id": text(),
        "name": or_null(text()),
        "ends": or_null(moment()),
    })
}

fn theirs_at_times() -> Value {
    json!({ "issuer": text(), "subject": text(), "otherVault": guid() })
}

/// The same with the app that it opens, and the command that removes it.
fn foreign() -> Value {
    let mut always = theirs();
    always["app"] = text();
    always["tenants"] = list(text());
    always["command"] = text();
    object(always, theirs_at_times())
}

/// Something that is to be renewed by a day.
fn due() -> Value {
    object(
        json!({
            "ends": moment(),
            "from": moment(),
            "kind": words(DueKind::ALL.map(DueKind::as_str)),
            "app": text(),
            "tenants": list(text()),
            "cure": words(["apply", "refresh-tokens", "consent", "not-ours", "export"]),
        }),
        json!({ "name": or_null(text()), "command": or_null(text()) }),
    )
}

fn failure() -> Value {
    object(
        json!({ "cause": text(), "message": text() }),
        json!({
            "status": count(), "code": text(), "requestId": text(), "at": moment(), "hint": text(),
        }),
    )
}

/// The schema of a line of `apply --json`.
pub fn event() -> Value {
    document(
        "a line of tenantry apply --json",
        object(
            json!({
                "at": moment(),
                "type": words([
                    "planned", "step-started", "step-done", "step-failed", "step-skipped",
                    "secret-tried", "throttled", "consent-link", "consent-granted", "consent-denied",
                    "proved", "offboarded", "summary",
                ]),
            }),
            json!({
                "app": text(),
                "tenant": text(),
                "step": words(STEPS.into_iter().chain(GRANTS)),
                "clientId": guid(),
                "keyId": guid(),
                "ends": moment(),
                "failure": failure(),
                "because": text(),
                "current": { "type": "boolean" },
                "directory": guid(),
                "seconds": count(),
                "kind": words(MANUALS),
                "link": text(),
                "code": text(),
                "why": text(),
                "checksum": text(),
                "summary": summary_of_plan(),
                "done": count(),
                "restorableUntil": moment(),
                "leftovers": list(left()),
                "failed": list(text()),
                "interrupted": list(text()),
                "notGranted": list(text()),
                "refill": list(text()),
                "tenants": summary_of_status(),
            }),
        ),
    )
}

/// What is left with a customer that was offboarded.
fn left() -> Value {
    object(
        json!({
            "tenant": text(),
            "name": text(),
            "app": text(),
            "appName": text(),
            "tenantId": guid(),
            "clientId": guid(),
            "since": moment(),
            "state": words(STATES.map(State::as_str)),
            "evidence": evidence(),
            "nextStep": next_step(),
        }),
        json!({ "objectId": guid(), "appStays": { "type": "boolean" } }),
    )
}

fn evidence() -> Value {
    object(
        json!({ "kind": words(["proved", "attested", "observed"]), "at": moment(), "what": text() }),
        json!({}),
    )
}

fn next_step() -> Value {
    object(
        json!({ "who": text(), "what": text() }),
        json!({
            "link": text(),
            "values": { "type": "object", "additionalProperties": text() },
            "command": text(),
        }),
    )
}

fn summary_of_status() -> Value {
    object(
        json!({
            "reading": count(), "actionDue": count(), "notReading": count(),
            "onboarding": count(), "unknown": count(),
            "needPortalAuthorization": list(text()),
            "needAdminConsent": list(text()),
            "needSignIn": list(text()),
        }),
        json!({ "needOperator": list(text()), "needOther": list(text()) }),
    )
}

/// The schema of `doctor --json`.
pub fn doctor() -> Value {
    let check = object(
        json!({
            "about": text(),
            "health": words(["works", "missing", "unknown", "noted"]),
            "found": text(),
        }),
        json!({ "remedy": text() }),
    );
    let rights = object(
        json!({
            "least": list(text()),
            "missing": list(text()),
            "inCustomers": list(text()),
            "more": list(text()),
        }),
        json!({}),
    );
    document(
        "tenantry doctor --json",
        object(
            json!({
                "formatVersion": { "const": super::json::FORMAT_VERSION },
                "fleet": text(),
                "sandbox": { "type": "boolean" },
                "checks": list(check),
            }),
            json!({ "rights": or_null(rights) }),
        ),
    )
}

/// The schema of `tokens refresh --json`.
pub fn tokens() -> Value {
    let tenant = object(
        json!({ "key": text(), "result": words(["refreshed", "not-kept", "failed", "unknown"]) }),
        json!({ "user": text(), "cause": text(), "cure": text(), "failure": failure() }),
    );
    document(
        "tenantry tokens refresh --json",
        object(
            json!({
                "formatVersion": { "const": super::json::FORMAT_VERSION },
                "fleet": text(),
                "sandbox": { "type": "boolean" },
                "tenants": list(tenant),
                "summary": object(
                    json!({
                        "held": count(), "refreshed": count(), "notKept": count(),
                        "failed": count(), "unknown": count(), "notTried": count(),
                    }),
                    json!({}),
                ),
            }),
            json!({}),
        ),
    )
}

/// The schema of `status --json`.
pub fn status() -> Value {
    let overall = [
        Overall::NotReading,
        Overall::Unknown,
        Overall::Onboarding,
        Overall::ActionDue,
        Overall::Reading,
    ];
    let states = STATES;
    let people = [
        WaitingFor::Operator,
        WaitingFor::CustomerAdmin,
        WaitingFor::Analyst,
        WaitingFor::PortalAdmin,
        WaitingFor::Microsoft,
        WaitingFor::Time,
    ];
    let facet = object(
        json!({
            "state": words(states.map(State::as_str)),
            "evidence": evidence(),
            "checkedAt": moment(),
            "nextStep": or_null(next_step()),
        }),
        json!({
            "waitingFor": words(people.map(WaitingFor::as_str)),
            "since": moment(),
            "ends": moment(),
        }),
    );
    let permission = object(
        json!({ "resource": guid(), "kind": words(["application", "delegated"]), "name": text() }),
        json!({}),
    );
    let asked = object(
        json!({
            "appName": text(),
            "permissions": list(permission),
            "landing": or_null(text()),
            "signInAs": or_null(text()),
        }),
        json!({}),
    );
    let facets: serde_json::Map<_, _> =
        FacetName::ALL.into_iter().map(|name| (name.as_str().to_owned(), facet.clone())).collect();
    let tenant = object(
        json!({
            "key": text(),
            "tenantId": or_null(guid()),
            "clientId": or_null(guid()),
            "overall": words(overall.map(Overall::as_str)),
            "facets": object(Value::Object(facets), json!({})),
        }),
        json!({ "name": text(), "connector": text(), "lastGood": moment(), "asked": asked }),
    );
    let state = json!({ "state": words(states.map(State::as_str)) });
    let person = json!({ "waitingFor": words(people.map(WaitingFor::as_str)) });
    let was = object(json!({ "state": state["state"], "since": moment() }), person.clone());
    let change = object(
        json!({
            "tenant": text(),
            "facet": words(FacetName::ALL.map(FacetName::as_str)),
            "from": or_null(was),
            "to": object(state, person),
        }),
        json!({}),
    );
    document(
        "tenantry status --json",
        object(
            json!({
                "formatVersion": { "const": super::json::FORMAT_VERSION },
                "fleet": text(),
                "asOf": moment(),
                "tenants": list(tenant),
                "summary": summary_of_status(),
            }),
            json!({
                "home": guid(),
                "sandbox": { "type": "boolean" },
                "partial": { "type": "boolean" },
                "shard": or_null(text()),
                "due": list(due()),
                "foreign": list(foreign()),
                "orphans": list(orphan()),
                "leftovers": list(left()),
                "changes": list(change),
                "changesSince": or_null(moment()),
                "ran": ran(),
            }),
        ),
    )
}

/// What the run did whose report this is.
fn ran() -> Value {
    let step = || json!({ "app": text(), "step": words(STEPS.into_iter().chain(GRANTS)) });
    let mut left = step();
    left["because"] = text();
    object(
        json!({
            "verb": text(),
            "done": list(object(
                step(),
                json!({ "tenant": text(), "keyId": guid(), "ends": moment() }),
            )),
            "left": list(object(left, json!({ "tenant": text() }))),
            "interrupted": list(text()),
        }),
        json!({}),
    )
}
