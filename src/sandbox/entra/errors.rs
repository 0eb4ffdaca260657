//! How Entra ID says no: `AADSTS…` documents
//! (<https://learn.microsoft.com/en-us/entra/identity-platform/reference-error-codes>).

use jiff::Timestamp;
use serde_json::json;

use crate::sandbox::{http::Response, random};

/// A refusal of Entra ID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::sandbox) struct Aadsts {
    /// HTTP status.
    pub(in crate::sandbox) status: u16,
    /// OAuth's `error`.
    pub(in crate::sandbox) error: &'static str,
    /// The number after `AADSTS`.
    pub(in crate::sandbox) code: u32,
    /// The sentence after it.
    pub(in crate::sandbox) message: String,
    /// OAuth's `suberror`: what kind of person's help is needed.
    pub(super) suberror: Option<&'static str>,
    /// What a new sign-in must satisfy, as JSON in a string.
    pub(super) claims: Option<String>,
}

impl Aadsts {
    /// A refusal from its parts.
    pub(in crate::sandbox) fn new(
        status: u16,
        error: &'static str,
        code: u32,
        message: impl Into<String>,
    ) -> Self {
        Self { status, error, code, message: message.into(), suberror: None, claims: None }
    }

    /// 400 `invalid_grant`: a code or refresh token that does not do.
    pub(super) fn invalid_grant(code: u32, message: impl Into<String>) -> Self {
        Self::new(400, "invalid_grant", code, message)
    }

    /// The same with a `suberror`.
    #[must_use]
    pub(super) fn because(mut self, suberror: &'static str) -> Self {
        self.suberror = Some(suberror);
        self
    }

    /// The same with the `claims` that a new sign-in must ask for.
    #[must_use]
    pub(super) fn wanting(mut self, claims: String) -> Self {
        self.claims = Some(claims);
        self
    }

    /// `AADSTS…: …` with the ids that a help desk asks for.
    pub(super) fn description(&self, now: Timestamp, trace: &str, correlation: &str) -> String {
        let Self { status: _, error: _, code, message, suberror: _, claims: _ } = self;
        let timestamp = now.strftime("%Y-%m-%d %H:%M:%SZ");
        format!(
            "AADSTS{code}: {message} Trace ID: {trace} Correlation ID: {correlation} Timestamp: {timestamp}"
        )
    }

    /// 400 `invalid_request`.
    pub(super) fn invalid_request(code: u32, message: impl Into<String>) -> Self {
        Self::new(400, "invalid_request", code, message)
    }

    /// 401 `invalid_client`.
    pub(super) fn invalid_client(code: u32, message: impl Into<String>) -> Self {
        Self::new(401, "invalid_client", code, message)
    }

    /// 900144: a parameter is missing.
    pub(super) fn missing(parameter: &str) -> Self {
        Self::invalid_request(
            900_144,
            format!("The request body must contain the following parameter: '{parameter}'."),
        )
    }

    /// 90002: no such directory. Discovery and the token endpoint differ in `error`.
    pub(super) fn unknown_tenant(error: &'static str, tenant: &str) -> Self {
        Self::new(
            400,
            error,
            90_002,
            format!(
                "Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are \
                 signing into the correct cloud. Check with your subscription administrator, this may \
                 happen if there are no active subscriptions for the tenant."
            ),
        )
    }

    /// 900023: the path names nothing that could be a directory.
    pub(super) fn no_tenant_identifier(tenant: &str) -> Self {
        Self::invalid_request(
            900_023,
            format!(
                "Specified tenant identifier '{tenant}' is neither a valid DNS name, nor a valid external domain."
            ),
        )
    }

    /// The answer, at this time; `correlation` is the client's own id where it sent one.
    pub(in crate::sandbox) fn response(
        &self,
        now: Timestamp,
        correlation: Option<&str>,
    ) -> Response {
        let trace = random::guid();
        let correlation = correlation.map_or_else(random::guid, str::to_owned);
        let timestamp = now.strftime("%Y-%m-%d %H:%M:%SZ").to_string();
        let Self { status, error, code, message: _, suberror, claims } = self;
        let mut body = json!({
            "error": error,
            "error_description": self.description(now, &trace, &correlation),
            "error_codes": [code],
            "timestamp": timestamp,
            "trace_id": trace,
            "correlation_id": correlation,
            "error_uri": format!("https://login.microsoftonline.com/error?code={code}"),
        });
        if let Some(suberror) = suberror {
            body["suberror"] = json!(suberror);
        }
        if let Some(claims) = claims {
            body["claims"] = json!(claims);
        }
        Response::json(*status, &body).with("x-ms-request-id", trace)
    }
}
