//! JSON batching: one envelope, up to twenty requests
//! (<https://learn.microsoft.com/en-us/graph/json-batching>).

use hyper::{
    HeaderMap, Method,
    body::Bytes,
    header::{HeaderName, HeaderValue},
};
use serde_json::{Map, Value, json};

use super::call;
use crate::sandbox::{
    http::{Request, Response},
    schema::Refusal,
};

/// The most requests in one envelope.
const MOST: usize = 20;

/// One request of an envelope.
pub(in crate::sandbox) struct Item {
    /// Its id in the envelope.
    pub(in crate::sandbox) id: String,
    /// Ids of requests that must succeed before it.
    pub(in crate::sandbox) depends_on: Vec<String>,
    /// The request itself.
    pub(in crate::sandbox) request: Request,
}

fn refuse(message: impl Into<String>) -> Refusal {
    Refusal::malformed(message)
}

/// Takes an envelope apart.
///
/// # Errors
/// 400 for the whole batch: no list, too many, twins, dependencies on later requests.
pub(in crate::sandbox) fn open(outer: &Request) -> Result<Vec<Item>, Refusal> {
    let body = call::body(outer)?;
    let list = match body.get("requests") {
        Some(Value::Array(list)) if body.len() == 1 => list,
        Some(_) | None => {
            return Err(refuse("Invalid batch payload format."));
        }
    };
    if list.len() > MOST {
        return Err(refuse(format!(
            "Number of batch request steps exceeds the maximum value of {MOST}."
        )));
    }
    if list.is_empty() {
        return Err(refuse("Batch request must contain at least one request."));
    }
    let version = outer.path.trim_start_matches('/').split('/').next().unwrap_or("v1.0");
    let mut items: Vec<Item> = Vec::new();
    for entry in list {
        let entry = entry.as_object().ok_or_else(|| refuse("Invalid batch payload format."))?;
        let item = read(entry, outer, version)?;
        if items.iter().any(|i| i.id == item.id) {
            return Err(refuse("Request Id values must be unique."));
        }
        if let Some(unknown) = item.depends_on.iter().find(|d| !items.iter().any(|i| i.id == **d)) {
            return Err(refuse(format!(
                "The dependsOn value '{unknown}' names no earlier request."
            )));
        }
        items.push(item);
    }
    Ok(items)
}

fn read(entry: &Map<String, Value>, outer: &Request, version: &str) -> Result<Item, Refusal> {
    let text =
        |name: &str| {
            entry.get(name).and_then(Value::as_str).filter(|s| !s.is_empty()).ok_or_else(|| {
                refuse(format!("Invalid batch payload format: '{name}' is missing."))
            })
        };
    let id = text("id")?.to_owned();
    let method = Method::from_bytes(text("method")?.to_ascii_uppercase().as_bytes())
        .map_err(|_| refuse("Invalid batch payload format: 'method'."))?;
    let url = text("url")?;
    if url.contains("://") || url.contains("$batch") {
        return Err(refuse("Invalid batch payload format: 'url' must be relative."));
    }
    let (path, query) = match url.split_once('?') {
        Some((path, query)) => (path, Some(query.to_owned())),
        None => (url, None),
    };
    let mut headers = HeaderMap::new();
    // The caller's token and the id of its request hold for all of them.
    for name in ["authorization", "client-request-id"] {
        if let Some(value) = outer.headers.get(name) {
            headers.insert(HeaderName::from_static(name), value.clone());
        }
    }
    match entry.get("headers") {
        None | Some(Value::Null) => {}
        Some(Value::Object(given)) => {
            for (name, value) in given {
                let pair = (
                    HeaderName::from_bytes(name.as_bytes()).ok(),
                    value.as_str().and_then(|v| HeaderValue::from_str(v).ok()),
                );
                let (Some(name), Some(value)) = pair else {
                    return Err(refuse(format!("Invalid batch payload format: header '{name}'.")));
                };
                if name != "authorization" {
                    headers.insert(name, value);
                }
            }
        }
        Some(_) => return Err(refuse("Invalid batch payload format: 'headers'.")),
    }
    let body = match entry.get("body") {
        None | Some(Value::Null) => Bytes::new(),
        Some(Value::String(text)) => Bytes::from(text.clone().into_bytes()),
        Some(other) => Bytes::from(other.to_string().into_bytes()),
    };
    let depends_on = match entry.get("dependsOn") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(ids)) => ids
            .iter()
            .map(|v| v.as_str().map(str::to_owned))
            .collect::<Option<_>>()
            .ok_or_else(|| refuse("Invalid batch payload format: 'dependsOn'."))?,
        Some(_) => return Err(refuse("Invalid batch payload format: 'dependsOn'.")),
    };
    Ok(Item {
        id,
        depends_on,
        request: Request {
            method,
            path: format!("/{version}/{}", path.trim_start_matches('/')),
            query,
            host: outer.host.clone(),
            headers,
            body,
        },
    })
}

/// One answer in the envelope.
pub(in crate::sandbox) fn answer(id: &str, response: &Response) -> Value {
    let mut headers = Map::new();
    for (name, value) in &response.headers {
        let name = match name.as_ref() {
            "content-type" => "Content-Type",
            "retry-after" => "Retry-After",
            "cache-control" => "Cache-Control",
            "location" => "Location",
            other => other,
        };
        headers.insert(name.to_owned(), json!(value));
    }
    let mut out = Map::new();
    out.insert("id".to_owned(), json!(id));
    out.insert("status".to_owned(), json!(response.status));
    out.insert("headers".to_owned(), Value::Object(headers));
    if !response.body.is_empty() {
        let body = serde_json::from_slice(&response.body)
            .unwrap_or_else(|_| json!(String::from_utf8_lossy(&response.body)));
        out.insert("body".to_owned(), body);
    }
    Value::Object(out)
}

/// 424: a request that this one depends on has failed.
pub(in crate::sandbox) fn failed_dependency(id: &str) -> Value {
    json!({
        "id": id,
        "status": 424,
        "headers": {"Content-Type": "application/json"},
        "body": {"error": {"code": "FailedDependency", "message": "The request depends on one that failed."}},
    })
}
