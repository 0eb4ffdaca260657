//! Defender incidents and alerts through Graph
//! (<https://learn.microsoft.com/en-us/graph/api/security-list-incidents>).

use serde_json::{Value, json};

use super::call::{Call, not_found};
use crate::sandbox::{
    http::Response,
    odata::Shape,
    schema::{ALERT, Entity, INCIDENT, Refusal},
    world::directory::Defender,
};

/// 403 of the security API: it says what it wants and what the token has.
fn missing_roles(call: &Call<'_>, wanted: &[&str]) -> Refusal {
    Refusal::new(
        403,
        "Forbidden",
        format!(
            "Missing application roles. API required roles: {}, application roles: {}.",
            wanted.join(","),
            call.caller.permissions.join(",")
        ),
    )
}

fn admitted(call: &Call<'_>, wanted: &[&str]) -> Result<(), Refusal> {
    if !call.caller.has(wanted) {
        return Err(missing_roles(call, wanted));
    }
    if !call.caller.may_read_incidents() {
        return Err(Refusal::new(
            403,
            "Forbidden",
            "The user does not have the required permissions to perform this action.",
        ));
    }
    match call.directory()?.meta.people.defender {
        Defender::Provisioned => Ok(()),
        Defender::NotProvisioned => Err(Refusal::new(
            403,
            "Forbidden",
            "Unauthorized request - Account is not provisioned.",
        )),
    }
}

fn serve(
    call: &Call<'_>,
    entity: &'static Entity,
    context: &str,
    items: &[Value],
) -> Result<Response, Refusal> {
    let query = call.query(entity)?;
    if call.route.shape != Shape::Single {
        return Ok(call.many(&query, context, items.iter()));
    }
    let key = call.key(0)?.text();
    let item = items.iter().find(|i| i["id"] == key).ok_or_else(|| not_found(key))?;
    Ok(call.one(&query, context, item))
}

/// `GET /security/incidents`
pub(super) fn incidents(call: &mut Call<'_>) -> Result<Response, Refusal> {
    admitted(call, &["SecurityIncident.Read.All", "SecurityIncident.ReadWrite.All"])?;
    let directory = call.directory()?;
    let expand = call.query(&INCIDENT)?.expansions().iter().any(|e| e.navigation == "alerts");
    let items: Vec<Value> = directory
        .meta
        .incidents
        .iter()
        .map(|incident| {
            let mut item = incident.clone();
            let id = item["id"].as_str().unwrap_or_default().to_owned();
            item["tenantId"] = json!(directory.meta.id);
            item["incidentWebUrl"] = json!(format!(
                "https://security.microsoft.com/incidents/{id}?tid={}",
                directory.meta.id
            ));
            if expand {
                let alerts: Vec<&Value> = directory
                    .meta
                    .alerts
                    .iter()
                    .filter(|a| a["incidentId"] == id.as_str())
                    .collect();
                item["alerts"] = json!(alerts);
            }
            item
        })
        .collect();
    serve(call, &INCIDENT, "security/incidents", &items)
}

/// `GET /security/alerts_v2`
pub(super) fn alerts(call: &mut Call<'_>) -> Result<Response, Refusal> {
    admitted(
        call,
        &[
            "SecurityAlert.Read.All",
            "SecurityAlert.ReadWrite.All",
            "SecurityIncident.Read.All",
            "SecurityIncident.ReadWrite.All",
        ],
    )?;
    let directory = call.directory()?;
    let items: Vec<Value> = directory
        .meta
        .alerts
        .iter()
        .map(|alert| {
            let mut item = alert.clone();
            item["tenantId"] = json!(directory.meta.id);
            item
        })
        .collect();
    serve(call, &ALERT, "security/alerts_v2", &items)
}
