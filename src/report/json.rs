//! The same for machines: stable, camelCase, additive changes only.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use super::{forecast, foreign};
use crate::{
    ids::FleetName,
    plan::{Ahead, AppPlan, Plan, TenantPlan, Wish, foreign::Theirs},
    status::{Change, Left, Status},
};

/// The version of every JSON document that tenantry prints.
pub const FORMAT_VERSION: u32 = 1;

/// Plain data of ours always serialises: its maps have text keys and its numbers are finite.
pub(super) fn value(data: &impl Serialize) -> Value {
    serde_json::to_value(data).unwrap_or(Value::Null)
}

/// A plan as JSON. `place` are the flags that lead a command to its fleet, `sandbox` says whether it
/// was made against the sandbox, `wish` what was asked for.
pub fn plan(plan: &Plan, place: &str, sandbox: bool, wish: &Wish) -> Value {
    // Taken apart without `..`: a saved plan must be made again from the same wish. What `rotate`
    // and `adopt` ask for is never saved.
    let Wish { reissue, remove_foreign, rotate: _, adopt: _, most_changes: _, as_of: _ } = wish;
    let apps: Vec<Value> = plan.apps.values().map(app).collect();
    let tenants: Vec<Value> = plan.tenants.values().map(tenant).collect();
    let mut document = json!({
        "formatVersion": FORMAT_VERSION,
        "fleet": plan.fleet,
        "home": plan.home,
        "vault": plan.vault,
        "sandbox": sandbox,
        "partial": plan.partial,
        "shard": plan.shard,
        "reissue": reissue,
        "removeForeign": remove_foreign,
        "checksum": plan.checksum(),
        "apps": apps,
        "tenants": tenants,
        "orphans": value(&plan.orphans),
        "diagnostics": value(&plan.diagnostics),
        "summary": value(&plan.summary()),
    });
    if let Some(Ahead { as_of, due }) = &plan.ahead {
        document["asOf"] = value(as_of);
        document["due"] = forecast::value(due, place);
    }
    document
}

fn app(app: &AppPlan) -> Value {
    // Taken apart without `..`: a new member must be thought of here.
    let AppPlan {
        key,
        display_name,
        layout,
        connector,
        directory,
        target,
        steps,
        pins: _,
        diagnostics,
        foreign,
    } = app;
    json!({
        "key": key,
        "displayName": display_name,
        "layout": layout,
        "connector": connector,
        "directory": directory,
        "clientId": target.client_id(),
        "steps": value(steps),
        "diagnostics": value(diagnostics),
        "foreign": value(foreign),
        "foreignCredentials": value(&Theirs::on(foreign)),
    })
}

fn tenant(tenant: &TenantPlan) -> Value {
    let TenantPlan { key, name, directory, app, steps, manual, diagnostics } = tenant;
    json!({
        "key": key,
        "name": name,
        "tenantId": directory,
        "app": app,
        "steps": value(steps),
        "manual": value(manual),
        "diagnostics": value(diagnostics),
    })
}

/// The status of every tenant as JSON.
pub fn status(status: &Status, sandbox: bool) -> Value {
    let Status {
        fleet,
        home,
        as_of,
        shard,
        partial,
        tenants,
        due,
        foreign: _,
        orphans,
        left,
        place,
    } = status;
    document(
        fleet,
        json!({
            "home": home,
            "sandbox": sandbox,
            "asOf": as_of,
            "shard": shard,
            "due": forecast::value(due, place),
            "partial": partial,
            "tenants": value(tenants),
            "foreign": foreign::value(status),
            "orphans": value(orphans),
            "leftovers": value(left),
            "summary": value(&status.summary()),
        }),
    )
}

/// The same with what changed since the vault last remembered something new, which was at `latest`.
pub fn status_changes(
    status: &Status,
    sandbox: bool,
    changes: &[Change],
    latest: Option<Timestamp>,
) -> Value {
    let mut document = self::status(status, sandbox);
    if let Some(members) = document.as_object_mut() {
        members.insert("changes".to_owned(), value(&changes));
        members.insert("changesSince".to_owned(), value(&latest));
    }
    document
}

/// What is left with a customer that no manifest names.
pub fn left(fleet: &FleetName, left: &[Left], sandbox: bool) -> Value {
    document(fleet, json!({ "sandbox": sandbox, "leftovers": value(&left) }))
}

fn document(fleet: &FleetName, rest: Value) -> Value {
    let mut document = json!({ "formatVersion": FORMAT_VERSION, "fleet": fleet });
    if let (Some(document), Value::Object(rest)) = (document.as_object_mut(), rest) {
        document.extend(rest);
    }
    document
}
