//! Why a call did not do what was asked of it: one shape for every service.

use jiff::Timestamp;
use serde::Serialize;

/// What kind of no it was; decides what may be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// The operator could not sign in at all.
    SignIn,
    /// The caller may not do this (401 or 403 of a service).
    Privilege,
    /// The service understood and refused (other 4xx).
    Refused,
    /// The thing does not exist, or not yet (404).
    NotFound,
    /// Still throttled when the patience for it was used up.
    Throttled,
    /// The service failed (5xx) for longer than we repeat.
    Service,
    /// Nobody answered at that address: the request had no effect.
    Unreachable,
    /// The request went out and no whole answer came back: its effect is unknown.
    NoAnswer,
    /// An answer came that is not what the protocol says.
    Garbled,
    /// We refused to send it ourselves (the read-only guard, a link to a foreign host).
    Guard,
    /// The run was told to stop before this was tried.
    Interrupted,
}

impl Cause {
    /// Whether somebody answered, and the answer was no; else nothing is known of what was asked.
    pub const fn is_an_answer(self) -> bool {
        match self {
            Self::SignIn | Self::Privilege | Self::Refused | Self::NotFound => true,
            Self::Throttled
            | Self::Service
            | Self::Unreachable
            | Self::NoAnswer
            | Self::Garbled
            | Self::Guard
            | Self::Interrupted => false,
        }
    }
}

/// A call that failed, with all that helps to find out why.
#[derive(Debug, Clone, PartialEq, Serialize, thiserror::Error)]
#[error("{}", self.line())]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// What kind of no it was.
    pub cause: Cause,
    /// HTTP status, where there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// `Request_BadRequest`, `AADSTS7000215`, …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The service's own words, or ours where it said nothing. Never holds a secret.
    pub message: String,
    /// The service's id of the request, for a support case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// When it happened, by our clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// What to do next, where we know it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Failure {
    /// A failure with nothing known but its kind and words.
    pub fn new(cause: Cause, message: impl Into<String>) -> Self {
        Self {
            cause,
            status: None,
            code: None,
            message: message.into(),
            request_id: None,
            at: None,
            hint: None,
        }
    }

    /// The same with advice.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// One line: status, code, words, request id, time.
    pub fn line(&self) -> String {
        let mut line = String::new();
        if let Some(status) = self.status {
            line.push_str(&format!("{status} "));
        }
        if let Some(code) = &self.code {
            line.push_str(code);
            line.push_str(": ");
        }
        line.push_str(&self.message);
        if let Some(id) = &self.request_id {
            line.push_str(&format!(" (request {id}"));
            if let Some(at) = self.at {
                line.push_str(&format!(", {}", at.strftime("%H:%M:%S")));
            }
            line.push(')');
        }
        line
    }
}
