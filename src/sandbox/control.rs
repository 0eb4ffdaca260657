//! `/_sandbox/…`: the sandbox's own control, for tests and demos; no part of any real cloud.

use hyper::Method;
use serde_json::{Value, json};

use super::{
    http::{Request, Response},
    operation::Operation,
    people::{self, Opened},
    pipeline::Shared,
    world::World,
};

/// Answers a control request.
pub(super) fn answer(shared: &Shared, request: &Request) -> Response {
    let what = request.path.strip_prefix("/_sandbox").unwrap_or_default().trim_matches('/');
    let (methods, result): (&str, Option<Result<Response, String>>) = match what {
        "" => ("GET", on_get(request, || Ok(index()))),
        "world" => (
            "GET, PUT",
            match request.method {
                Method::GET => Some(Ok(Response::json(200, &shared.lock().world.to_json()))),
                Method::PUT => Some(parsed(request).and_then(|v| put_world(shared, &v))),
                _ => None,
            },
        ),
        "requests" => (
            "GET, DELETE",
            match request.method {
                Method::GET => {
                    Some(Ok(Response::json(200, &Value::Array(shared.lock().log.json()))))
                }
                Method::DELETE => {
                    shared.lock().log.clear();
                    Some(Ok(Response::empty(204)))
                }
                _ => None,
            },
        ),
        "faults" => (
            "GET, POST, DELETE",
            match request.method {
                Method::GET => Some(Ok(Response::json(200, &shared.lock().faults.audit()))),
                Method::POST => Some(parsed(request).and_then(|v| {
                    let count = shared.lock().faults.add(&v)?;
                    Ok(Response::json(201, &json!({"added": count})))
                })),
                Method::DELETE => {
                    shared.lock().faults.clear();
                    Some(Ok(Response::empty(204)))
                }
                _ => None,
            },
        ),
        "people" => (
            "POST",
            (request.method == Method::POST).then(|| {
                parsed(request).and_then(|v| {
                    let came = match people::open(shared, people::asked(&v)?) {
                        Opened::Landed(at) => json!({"landed": at}),
                        Opened::Shown(text) => json!({"shown": text}),
                        Opened::Nobody => json!({"nobody": true}),
                    };
                    Ok(Response::json(200, &came))
                })
            }),
        ),
        "clock" => (
            "GET, POST",
            match request.method {
                Method::GET => Some(Ok(clock(shared))),
                Method::POST => Some(parsed(request).and_then(|v| advance(shared, &v))),
                _ => None,
            },
        ),
        "operations" => (
            "GET",
            on_get(request, || {
                let names: Vec<&str> =
                    Operation::ALL.iter().filter(|o| o.is_scriptable()).map(|o| o.name()).collect();
                Ok(Response::json(200, &json!(names)))
            }),
        ),
        _ => {
            return failed(404, &format!("/_sandbox has no `{what}`"));
        }
    };
    match result {
        Some(Ok(response)) => response,
        Some(Err(why)) => failed(400, &why),
        None => failed(405, &format!("/_sandbox/{what} takes {methods}")).with("allow", methods),
    }
}

fn on_get(
    request: &Request,
    make: impl FnOnce() -> Result<Response, String>,
) -> Option<Result<Response, String>> {
    (request.method == Method::GET).then(make)
}

fn failed(status: u16, why: &str) -> Response {
    Response::json(status, &json!({"error": why}))
}

fn parsed(request: &Request) -> Result<Value, String> {
    serde_json::from_slice(&request.body).map_err(|e| format!("the body is no JSON: {e}"))
}

fn index() -> Response {
    Response::json(
        200,
        &json!({
            "world": "GET, PUT: everything that the sandbox remembers",
            "requests": "GET, DELETE: what was asked of it",
            "faults": "GET, POST, DELETE: misbehaviour on demand",
            "people": "POST {\"open\": LINK}: hands a link to the person it is for",
            "clock": "GET, POST {\"advance\": \"P340D\"}",
            "operations": "GET: the names that faults take",
        }),
    )
}

/// Replaces the world.
///
/// # Errors
/// In words, when it is none; the old one stays.
pub(super) fn put_world(shared: &Shared, value: &Value) -> Result<Response, String> {
    let (world, loaded) = World::from_json(value)?;
    let mut state = shared.lock();
    for value in &loaded.values {
        state.values.keep(value).map_err(|e| format!("a value cannot be kept: {e}"))?;
    }
    state.world = world;
    state.issued.extend(loaded.secrets);
    state.busy.clear();
    (shared.after_put)(&mut state).map_err(|e| format!("the world cannot be kept: {e}"))?;
    Ok(Response::empty(204))
}

fn clock(shared: &Shared) -> Response {
    let now = shared.lock().world.now();
    Response::json(200, &json!({"now": now.to_string()}))
}

fn advance(shared: &Shared, value: &Value) -> Result<Response, String> {
    let object = value.as_object().ok_or("the body must be an object")?;
    let duration = match (object.get("advance"), object.len()) {
        (Some(Value::String(duration)), 1) => duration,
        _ => return Err("the body must be {\"advance\": \"P340D\"}".to_owned()),
    };
    {
        let mut state = shared.lock();
        state.world.advance(duration)?;
        state.keep().map_err(|e| format!("the clock cannot be kept: {e}"))?;
    }
    Ok(clock(shared))
}
