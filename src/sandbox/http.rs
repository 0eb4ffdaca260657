//! A request and its answer as plain values: what every handler takes and gives.

use std::borrow::Cow;

use hyper::{HeaderMap, Method, body::Bytes};
use serde_json::Value;

/// The largest body that is read, in bytes; Microsoft Graph stops at about 4 MB too.
pub(super) const LARGEST_BODY: usize = 4 * 1024 * 1024;

/// One request, wholly read.
#[derive(Debug, Clone)]
pub(super) struct Request {
    /// The method, as sent.
    pub(super) method: Method,
    /// The path, still percent-encoded.
    pub(super) path: String,
    /// What follows `?`, still encoded.
    pub(super) query: Option<String>,
    /// The authority that the client named (`127.0.0.1:8443`): links are built from it.
    pub(super) host: String,
    /// All headers.
    pub(super) headers: HeaderMap,
    /// The body; empty where there is none.
    pub(super) body: Bytes,
}

impl Request {
    /// A header's value, where it is there and is text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|v| v.to_str().ok())
    }

    /// `https://` and the authority that the client named.
    pub(super) fn origin(&self) -> String {
        format!("https://{}", self.host)
    }

    /// Whether a form comes from one of our own pages, as far as the browser says.
    pub(super) fn same_origin(&self) -> bool {
        self.header("origin").is_none_or(|origin| {
            origin.split_once("://").is_some_and(|(_, host)| host == self.host)
        })
    }

    /// The media type without its parameters, in lower case.
    pub(super) fn media_type(&self) -> Option<String> {
        let value = self.header("content-type")?;
        Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
    }

    /// Whether the `Prefer` header holds this preference (case does not count).
    pub(super) fn prefers(&self, preference: &str) -> bool {
        self.headers
            .get_all("prefer")
            .iter()
            .filter_map(|v| v.to_str().ok())
            .flat_map(|v| v.split(','))
            .any(|p| p.trim().eq_ignore_ascii_case(preference))
    }
}

/// One answer.
#[derive(Debug, Clone)]
pub(super) struct Response {
    /// The HTTP status.
    pub(super) status: u16,
    /// Headers in order; names in lower case.
    pub(super) headers: Vec<(Cow<'static, str>, String)>,
    /// The body.
    pub(super) body: Vec<u8>,
}

impl Response {
    /// An answer without a body.
    pub(super) fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new() }
    }

    /// A JSON answer.
    pub(super) fn json(status: u16, body: &Value) -> Self {
        Self {
            status,
            headers: vec![("content-type".into(), "application/json; charset=utf-8".to_owned())],
            body: body.to_string().into_bytes(),
        }
    }

    /// A page for people.
    pub(super) fn html(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: vec![("content-type".into(), "text/html; charset=utf-8".to_owned())],
            body: body.into(),
        }
    }

    /// Adds a header, replacing one of the same name.
    #[must_use]
    pub(super) fn with(
        mut self,
        name: impl Into<Cow<'static, str>>,
        value: impl Into<String>,
    ) -> Self {
        let name = name.into();
        self.headers.retain(|(n, _)| *n != name);
        self.headers.push((name, value.into()));
        self
    }
}

/// Decodes `%XX`; nothing where an escape is broken or the bytes are not UTF-8.
pub(super) fn percent_decode(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        if bytes[i] == b'%' {
            let hex = bytes.get(i + 1..i + 3)?;
            let high = char::from(hex[0]).to_digit(16)?;
            let low = char::from(hex[1]).to_digit(16)?;
            out.push(u8::try_from(high * 16 + low).ok()?);
            i += 3;
        } else {
            out.push(bytes[i]);
            i += 1;
        }
    }
    String::from_utf8(out).ok()
}

/// The pairs of a query string or of an `application/x-www-form-urlencoded` body.
pub(super) fn form_pairs(bytes: &[u8]) -> Vec<(String, String)> {
    url::form_urlencoded::parse(bytes).map(|(k, v)| (k.into_owned(), v.into_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_decoding_refuses_what_is_broken() {
        assert_eq!(percent_decode("a%27b%20c").as_deref(), Some("a'b c"));
        assert_eq!(percent_decode("%2"), None);
        assert_eq!(percent_decode("%zz"), None);
        assert_eq!(percent_decode("%ff"), None);
        assert_eq!(percent_decode("%é1"), None);
        assert_eq!(percent_decode("100%"), None);
    }
}
