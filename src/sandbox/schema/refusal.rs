//! How Graph says no.

use std::fmt;

use serde_json::{Map, Value, json};

/// An answer of Graph that refuses a request: a status and the parts of its error document.
///
/// It says nothing of ids and dates: those belong to the request, so [`Refusal::to_body`]
/// takes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status, 400 to 599.
    pub status: u16,
    /// `error.code`, such as `Request_BadRequest`.
    pub code: String,
    /// `error.message`. Clients match on it, because one code covers many cases.
    pub message: String,
    /// `error.details`; left out of the document when empty.
    pub details: Vec<Detail>,
}

/// One entry of `error.details`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detail {
    /// A finer code, such as `InvalidKeyEndDate`.
    pub code: String,
    /// What is wrong, in words.
    pub message: String,
    /// The property that it is about.
    pub target: String,
}

impl Refusal {
    /// A refusal with these parts and no details.
    pub fn new(status: u16, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { status, code: code.into(), message: message.into(), details: Vec::new() }
    }

    /// 400 `Request_BadRequest`: the directory looked at the values and refuses them.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "Request_BadRequest", message)
    }

    /// 400 `Request_UnsupportedQuery`: the directory does not answer such queries.
    pub fn unsupported_query(message: impl Into<String>) -> Self {
        Self::new(400, "Request_UnsupportedQuery", message)
    }

    /// 400 `BadRequest`: the gateway in front of the directory could not read the request.
    pub fn malformed(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// 400: a value that the directory does not take, with the reason as a detail.
    ///
    /// The message is Graph's own and names only the property
    /// (<https://github.com/Azure/reliable-web-app-pattern-dotnet/pull/357>).
    pub fn invalid_value(property: &str, resource: &str, why: impl Into<String>) -> Self {
        Self::bad_request(format!(
            "Invalid value specified for property '{property}' of resource '{resource}'."
        ))
        .with_detail("InvalidValue", why, property)
    }

    /// The same refusal with one more detail.
    #[must_use]
    pub fn with_detail(
        mut self,
        code: impl Into<String>,
        message: impl Into<String>,
        target: impl Into<String>,
    ) -> Self {
        self.details.push(Detail {
            code: code.into(),
            message: message.into(),
            target: target.into(),
        });
        self
    }

    /// The error document.
    ///
    /// `date` is written as Graph writes it: to the second and without a zone
    /// (`2026-02-13T10:17:06`). `client_request_id` echoes the request header of that name.
    /// Prose says `innererror`, the wire says `innerError`
    /// (<https://learn.microsoft.com/en-us/graph/errors>).
    pub fn to_body(&self, date: &str, request_id: &str, client_request_id: &str) -> Value {
        let mut error = Map::new();
        error.insert("code".into(), json!(self.code));
        error.insert("message".into(), json!(self.message));
        if !self.details.is_empty() {
            let details = self.details.iter().map(
                |Detail { code, message, target }| json!({"code": code, "message": message, "target": target}),
            );
            error.insert("details".into(), details.collect());
        }
        error.insert(
            "innerError".into(),
            json!({"date": date, "request-id": request_id, "client-request-id": client_request_id}),
        );
        json!({ "error": error })
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.status, self.code, self.message)
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_has_the_shape_of_graphs_errors() {
        let refusal = Refusal::invalid_value("web", "Application", "no such scheme");
        assert_eq!(
            refusal.to_body("2026-02-13T10:17:06", "r", "c"),
            json!({"error": {
                "code": "Request_BadRequest",
                "message": "Invalid value specified for property 'web' of resource 'Application'.",
                "details": [{"code": "InvalidValue", "message": "no such scheme", "target": "web"}],
                "innerError": {"date": "2026-02-13T10:17:06", "request-id": "r", "client-request-id": "c"},
            }})
        );
    }

    #[test]
    fn details_are_left_out_when_there_are_none() {
        let body = Refusal::malformed("x").to_body("d", "r", "c");
        assert_eq!(body["error"].get("details"), None);
        assert_eq!(body["error"]["code"], "BadRequest");
    }
}
