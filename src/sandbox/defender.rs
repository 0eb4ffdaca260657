//! The Defender XDR API: incidents
//! (<https://learn.microsoft.com/en-us/defender-xdr/api-list-incidents>).

use serde_json::{Value, json};

use super::{
    engine::{Context, State},
    graph::caller,
    http::{Request, Response, form_pairs},
    odata::{Query, Shape},
    operation::Operation,
    random,
    schema::DEFENDER_INCIDENT,
    world::{directory::Defender, first_party},
};

/// One endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// `/api/incidents`
    Incidents,
    /// `/api/incidents/{id}`
    Incident(String),
    /// Nothing that is known.
    Unknown,
}

/// The most incidents on a page.
const MOST: usize = 100;

/// Finds the endpoint.
pub(super) fn route(path: &str) -> (Operation, Target) {
    let names: Vec<&str> = path.trim_matches('/').split('/').collect();
    match names.as_slice() {
        ["api", "incidents"] => (Operation::ListDefenderIncidents, Target::Incidents),
        ["api", "incidents", id] => {
            (Operation::GetDefenderIncident, Target::Incident((*id).to_owned()))
        }
        _ => (Operation::UnknownDefender, Target::Unknown),
    }
}

/// The error document of a refusal.
pub(super) fn refused(status: u16, code: &str, message: &str) -> Response {
    Response::json(
        status,
        &json!({"error": {"code": code, "message": message, "target": format!("|{}.", random::guid())}}),
    )
}

/// Answers at that endpoint.
pub(super) fn answer(
    state: &mut State,
    context: &Context<'_>,
    request: &Request,
    target: &Target,
) -> Response {
    match serve(state, context, request, target) {
        Ok(response) | Err(response) => response,
    }
}

fn serve(
    state: &mut State,
    context: &Context<'_>,
    request: &Request,
    target: &Target,
) -> Result<Response, Response> {
    let caller =
        caller::authenticate(&state.world, context, request, first_party::THREAT_PROTECTION)
            .map_err(|r| refused(401, "Unauthorized", &r.message))?;
    if let Some(throttle) = &mut state.throttle {
        throttle.admit_to_defender(&caller).map_err(|seconds| {
            let words = format!(
                "You have exceeded the number of calls allowed. You can send requests again in {seconds} seconds."
            );
            refused(429, "TooManyRequests", &words)
        })?;
    }
    if request.method != hyper::Method::GET {
        return Err(refused(405, "BadRequest", "The method is not allowed here."));
    }
    let wanted =
        ["Incident.Read.All", "Incident.ReadWrite.All", "Incident.Read", "Incident.ReadWrite"];
    if !caller.has(&wanted) {
        return Err(refused(
            403,
            "Forbidden",
            &format!(
                "Missing application roles. API required roles: Incident.Read.All,Incident.ReadWrite.All, application roles: {}.",
                caller.permissions.join(",")
            ),
        ));
    }
    if !caller.may_read_incidents() {
        return Err(refused(
            403,
            "Forbidden",
            "The user does not have the required permissions to perform this action.",
        ));
    }
    let directory = state
        .world
        .directory(&caller.tenant)
        .ok_or_else(|| refused(401, "Unauthorized", "The tenant is gone."))?;
    if directory.meta.people.defender == Defender::NotProvisioned {
        return Err(refused(
            403,
            "Forbidden",
            "Unauthorized request - Account is not provisioned.",
        ));
    }
    let items: Vec<Value> = directory.meta.incidents.iter().map(shape).collect();
    match target {
        Target::Incidents => {
            let Asked { top, skip, filter } = asked(request)?;
            let matching =
                items.into_iter().filter(|i| filter.as_ref().is_none_or(|f| f.matches(i)));
            let page: Vec<Value> = matching.skip(skip).take(top).collect();
            Ok(Response::json(
                200,
                &json!({
                    "@odata.context": format!("{}/api/$metadata#Incidents", request.origin()),
                    "value": page,
                }),
            ))
        }
        Target::Incident(id) => items
            .into_iter()
            .find(|i| i["incidentId"].as_u64().is_some_and(|n| id.parse() == Ok(n)))
            .map(|i| Response::json(200, &i))
            .ok_or_else(|| refused(404, "ResourceNotFound", "No such incident.")),
        Target::Unknown => Err(refused(404, "ResourceNotFound", "No such resource.")),
    }
}

/// What a listing is asked for.
struct Asked {
    top: usize,
    skip: usize,
    filter: Option<Query>,
}

fn asked(request: &Request) -> Result<Asked, Response> {
    let mut asked = Asked { top: MOST, skip: 0, filter: None };
    for (name, value) in form_pairs(request.query.as_deref().unwrap_or_default().as_bytes()) {
        let number = || {
            value.parse::<usize>().map_err(|_| {
                refused(400, "ODataError", &format!("Invalid value '{value}' for {name}."))
            })
        };
        match name.as_str() {
            "$top" => {
                asked.top = number()?;
                if asked.top == 0 || asked.top > MOST {
                    return Err(refused(
                        400,
                        "ODataError",
                        &format!(
                            "The limit of '{MOST}' for Top query has been exceeded. The value from the incoming request is '{}'.",
                            asked.top
                        ),
                    ));
                }
            }
            "$skip" => asked.skip = number()?,
            "$filter" => {
                let raw: String = url::form_urlencoded::byte_serialize(value.as_bytes()).collect();
                let raw = format!("$filter={raw}");
                let read = Query::parse(Some(&raw), false, &DEFENDER_INCIDENT, Shape::Collection);
                asked.filter = Some(read.map_err(|r| refused(400, "ODataError", &r.message))?);
            }
            other => {
                return Err(refused(
                    400,
                    "ODataError",
                    &format!("The query option '{other}' is not supported."),
                ));
            }
        }
    }
    Ok(asked)
}

/// An incident of the world (as Graph shows it) as this older API shows it.
fn shape(incident: &Value) -> Value {
    let capital = |name: &str, fallback: &str| {
        let text = incident[name].as_str().unwrap_or(fallback);
        let mut chars = text.chars();
        chars
            .next()
            .map_or_else(String::new, |c| c.to_ascii_uppercase().to_string() + chars.as_str())
    };
    json!({
        "incidentId": incident["id"].as_str().and_then(|id| id.parse::<u64>().ok()),
        "redirectIncidentId": null,
        "incidentName": incident["displayName"],
        "createdTime": incident["createdDateTime"],
        "lastUpdateTime": incident["lastUpdateDateTime"],
        "assignedTo": incident["assignedTo"],
        "classification": capital("classification", "unknown"),
        "determination": match incident["determination"].as_str() {
            None | Some("unknown") => "NotAvailable".to_owned(),
            Some(_) => capital("determination", ""),
        },
        "status": capital("status", "active"),
        "severity": capital("severity", "low"),
        "tags": [],
        "comments": [],
        "alerts": [],
    })
}
