//! Reading what a service says when it says no, and refusing answers that are not what they should be.
//!
//! This runs before `azure_core` and `azure_identity` look at an answer: they drop the status and
//! the code when the body holds a JSON escape such as `\r\n`, and Microsoft's do.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use azure_core::{
    error::ErrorKind,
    http::{
        AsyncRawResponse, Context, Request,
        headers::{AUTHORIZATION, Headers},
        policies::{Policy, PolicyResult},
    },
};
use jiff::Timestamp;
use serde_json::Value;

use super::{
    conceal::{conceal, secrets_of},
    header::{header, retry_after},
    hint,
    notice::Service,
};
use crate::{
    failure::{Cause, Failure},
    text::one_line,
};

/// Whether a failed call may be tried again at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// Where its method and its cause allow it.
    ByRule,
    /// It would only fail again.
    Never,
}

/// A failure on its way up a pipeline, with what the retry policy has to know of it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{failure}")]
pub(crate) struct Refusal {
    /// What the caller gets to see.
    pub(crate) failure: Failure,
    /// How long the service told us to wait.
    pub(crate) retry_after: Option<Duration>,
    /// Whether it may be tried again at all.
    pub(crate) repeat: Repeat,
}

impl From<Failure> for Refusal {
    fn from(mut failure: Failure) -> Self {
        failure.at.get_or_insert_with(Timestamp::now);
        let repeat = if failure.cause == Cause::Guard { Repeat::Never } else { Repeat::ByRule };
        Self { failure, retry_after: None, repeat }
    }
}

impl From<Refusal> for azure_core::Error {
    fn from(refusal: Refusal) -> Self {
        Self::new(ErrorKind::Other, refusal)
    }
}

impl Refusal {
    /// The refusal inside an error of `azure_core`, however often it was wrapped.
    pub(crate) fn within(error: &azure_core::Error) -> Option<&Self> {
        let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
        while let Some(here) = next {
            if let Some(refusal) = here.downcast_ref::<Self>() {
                return Some(refusal);
            }
            next = here.source();
        }
        None
    }
}

/// What an error of `azure_core` or `azure_identity` comes to.
pub(crate) fn failure_of(error: &azure_core::Error) -> Failure {
    if let Some(refusal) = Refusal::within(error) {
        return refusal.failure.clone();
    }
    let cause = match error.kind() {
        ErrorKind::Credential => Cause::SignIn,
        ErrorKind::Connection => Cause::Unreachable,
        ErrorKind::Io => Cause::NoAnswer,
        ErrorKind::HttpResponse { .. } | ErrorKind::DataConversion | ErrorKind::Other => {
            Cause::Garbled
        }
    };
    // azure_identity ends its messages with a line that links to its own guide.
    let words = error.to_string();
    let words = words.split("\nTo troubleshoot").next().unwrap_or_default();
    Refusal::from(Failure::new(cause, tidy(words))).failure
}

/// Reads every answer of one service: a no becomes a [`Refusal`], a yes must be JSON.
#[derive(Debug)]
pub(super) struct Answers {
    pub(super) service: Service,
}

#[async_trait]
impl Policy for Answers {
    async fn send(
        &self,
        ctx: &Context,
        request: &mut Request,
        next: &[Arc<dyn Policy>],
    ) -> PolicyResult {
        let answer = next[0].send(ctx, request, &next[1..]).await?;
        let raw = answer.try_into_raw_response().await?;
        let (status, headers, body) = raw.deconstruct();
        let code = u16::from(status);
        let body = bytes::Bytes::from(body);
        // The question of a key vault to whoever comes without a token; the crate answers it.
        if self.service == Service::KeyVault
            && code == 401
            && request.headers().get_optional_str(&AUTHORIZATION).is_none()
        {
            return Ok(AsyncRawResponse::from_bytes(status, headers, body));
        }
        if !status.is_success() {
            let secrets = secrets_of(request);
            return Err(read_refusal(self.service, code, &headers, &body, &secrets).into());
        }
        let host = request.url().host_str().unwrap_or_default();
        let garbled = |why: &str| {
            let mut failure = Failure::new(Cause::Garbled, format!("{host} answered {why}"));
            failure.status = Some(code);
            failure.request_id = request_id(&headers);
            azure_core::Error::from(Refusal::from(failure))
        };
        if code == 204 {
            return Ok(AsyncRawResponse::from_bytes(status, headers, bytes::Bytes::new()));
        }
        let body = match self.service {
            // Small, and azure_identity reads them too credulously.
            Service::Token => token_body(request, &body).map_err(garbled)?,
            Service::Graph | Service::Discovery | Service::Defender | Service::KeyVault => {
                // Only that it is JSON is asked here, so that a broken answer can be repeated;
                // what it says is read where it is wanted.
                serde_json::from_slice::<serde::de::IgnoredAny>(&body)
                    .map_err(|_| garbled("with something that is not JSON"))?;
                body
            }
        };
        Ok(AsyncRawResponse::from_bytes(status, headers, body))
    }
}

/// Makes a token answer what `azure_identity` expects: the lifetime is a number in one version
/// of the endpoint and a string in the other, and an answer without a token must not pass as one
/// with an empty token.
fn token_body(request: &Request, body: &[u8]) -> Result<bytes::Bytes, &'static str> {
    let mut value: Value =
        serde_json::from_slice(body).map_err(|_| "with something that is not JSON")?;
    if !request.url().path().ends_with("/token") {
        return Ok(bytes::Bytes::copy_from_slice(body));
    }
    if value.get("access_token").and_then(Value::as_str).is_none_or(str::is_empty) {
        return Err("without a token");
    }
    let seconds = value.get("expires_in").and_then(Value::as_str).map(str::parse::<u64>);
    match (seconds, value.get_mut("expires_in")) {
        (Some(Ok(seconds)), Some(slot)) => *slot = seconds.into(),
        (Some(Err(_)), _) => return Err("with a lifetime that is not a number"),
        (None | Some(Ok(_)), _) => return Ok(bytes::Bytes::copy_from_slice(body)),
    }
    Ok(value.to_string().into())
}

/// Puts an answer that is not a success into one shape, whichever service it came from. `secrets`
/// are those of the request: where the service repeats them, they are concealed.
pub(super) fn read_refusal(
    service: Service,
    status: u16,
    headers: &Headers,
    body: &[u8],
    secrets: &[String],
) -> Refusal {
    let mut said = Said::read(body);
    // Key Vault's outer code says no more than the status does.
    if service == Service::KeyVault && said.inner.is_some() {
        said.code = said.inner.take();
    }
    let conceal = |words: &str| tidy(&conceal(words, secrets));
    let cause = match (service, status) {
        (_, 300..=399) => Cause::Garbled,
        (_, 429) => Cause::Throttled,
        (_, 408 | 424 | 500..) => Cause::Service,
        (Service::Token, _) => Cause::SignIn,
        (Service::Discovery, _) if said.code.as_deref() == Some("AADSTS90002") => Cause::NotFound,
        (_, 404) => Cause::NotFound,
        (_, 403) if said.code.as_deref() == Some("Directory_QuotaExceeded") => Cause::Refused,
        (_, 401 | 403) => Cause::Privilege,
        (Service::Graph | Service::Discovery | Service::Defender | Service::KeyVault, _) => {
            Cause::Refused
        }
    };
    let message = match said.message {
        _ if cause == Cause::Garbled => {
            format!("{service} sent us elsewhere, which is never followed")
        }
        Some(words) => conceal(&brief(&words)),
        // What such a body holds is not repeated: it may be a page of HTML, or anything else.
        None => format!("{service} gave no reason that can be read"),
    };
    let code = said.code.as_deref();
    let hint = hint::for_policy(code, &message)
        .or_else(|| hint::for_code(code, cause, &message).map(str::to_owned));
    let failure = Failure {
        cause,
        status: Some(status),
        code: said.code.map(|code| conceal(&code)),
        message,
        request_id: request_id(headers).or(said.request_id).map(|id| conceal(&id)),
        at: Some(Timestamp::now()),
        hint,
    };
    let wait = retry_after(headers).or_else(|| wait_in_words(status, &failure.message));
    Refusal { failure, retry_after: wait, repeat: Repeat::ByRule }
}

fn request_id(headers: &Headers) -> Option<String> {
    ["request-id", "x-ms-request-id"].into_iter().find_map(|name| header(headers, name)).map(tidy)
}

/// What an error body says, in any of the shapes that Microsoft uses.
#[derive(Debug, Default)]
struct Said {
    code: Option<String>,
    message: Option<String>,
    request_id: Option<String>,
    /// The code within the code.
    inner: Option<String>,
}

impl Said {
    fn read(body: &[u8]) -> Self {
        let Ok(value) = serde_json::from_slice::<Value>(body) else { return Self::default() };
        let text = |value: &Value, name: &str| {
            value.get(name).and_then(Value::as_str).filter(|t| !t.is_empty()).map(str::to_owned)
        };
        match value.get("error") {
            // Graph and Defender: {"error":{"code","message","innerError":{"request-id"}}}
            Some(error @ Value::Object(_)) => {
                let inner = error.get("innerError").or_else(|| error.get("innererror"));
                Self {
                    code: text(error, "code").map(|c| tidy(&c)),
                    message: text(error, "message"),
                    request_id: inner.and_then(|i| text(i, "request-id")).map(|i| tidy(&i)),
                    inner: inner.and_then(|i| text(i, "code")).map(|c| tidy(&c)),
                }
            }
            // Entra ID: {"error":"invalid_client","error_description":"AADSTS7000215: …","error_codes":[…]}
            Some(Value::String(error)) => {
                let words = text(&value, "error_description");
                let number = value
                    .get("error_codes")
                    .and_then(|codes| codes.get(0))
                    .and_then(Value::as_u64)
                    .or_else(|| words.as_deref().and_then(aadsts));
                Self {
                    code: Some(number.map_or_else(|| tidy(error), |n| format!("AADSTS{n}"))),
                    message: words.map(|w| without_trace(&w).to_owned()),
                    request_id: text(&value, "trace_id").map(|i| tidy(&i)),
                    inner: None,
                }
            }
            // A pipeline's OIDC issuer: {"message":"…"}
            Some(_) | None => Self { message: text(&value, "message"), ..Self::default() },
        }
    }
}

/// The number after `AADSTS`, wherever it stands.
fn aadsts(words: &str) -> Option<u64> {
    let digits = &words[words.find("AADSTS")? + "AADSTS".len()..];
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().ok()
}

/// Entra ID's words without the code at their front (it has a field of its own) and without the
/// ids and times at their end, which are separated by blanks today and by `\r\n` until 2023.
fn without_trace(words: &str) -> &str {
    let words = words.split("Trace ID:").next().unwrap_or(words).trim();
    match words.split_once(": ") {
        Some((code, rest)) if code.starts_with("AADSTS") && !code.contains(' ') => rest,
        Some(_) | None => words,
    }
}

/// What Azure's role check says: nine lines of ids, of which the first and the action that was
/// refused tell a reader something
/// (<https://learn.microsoft.com/en-us/azure/key-vault/general/rbac-guide>).
fn brief(words: &str) -> String {
    let action = words.split_once("\nAction: '").and_then(|(_, rest)| rest.split_once('\''));
    match (words.split_once("\r\nIf role assignments"), action) {
        (Some((first, _)), Some((action, _))) => {
            format!("{} ({action})", first.trim_end_matches('.'))
        }
        _ => words.to_owned(),
    }
}

/// The Defender API says how long to wait only in words: "You can send requests again in 52 seconds."
fn wait_in_words(status: u16, message: &str) -> Option<Duration> {
    if status != 429 {
        return None;
    }
    let (_, rest) = message.split_once("again in ")?;
    let (number, unit) = rest.split_once(' ')?;
    unit.starts_with("second").then(|| number.parse().ok()).flatten().map(Duration::from_secs)
}

/// The most characters of a service's words.
const LONGEST: usize = 600;

/// A service's words in one line of bounded length, without anything a terminal would obey.
fn tidy(words: &str) -> String {
    one_line(words, LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(service: Service, status: u16, body: &str) -> Failure {
        read_refusal(service, status, &Headers::new(), body.as_bytes(), &[]).failure
    }

    #[test]
    fn of_a_role_check_the_action_is_kept_and_no_wall_of_ids() {
        let wall = "Caller is not authorized to perform action on resource.\r\nIf role assignments, \
                    deny assignments or role definitions were changed recently, please observe \
                    propagation time.\r\nCaller: appid=1;oid=2;iss=3\r\nAction: \
                    'Microsoft.KeyVault/vaults/secrets/getSecret/action'\r\nResource: '/s'\r\n";
        let want = "Caller is not authorized to perform action on resource \
                    (Microsoft.KeyVault/vaults/secrets/getSecret/action)";
        assert_eq!(brief(wall), want);
        assert_eq!(brief("no\r\nAction: 'x'"), "no\r\nAction: 'x'");
    }

    #[test]
    fn entra_codes_survive_carriage_returns() {
        let failure = refused(
            Service::Token,
            401,
            r#"{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret provided.\r\nTrace ID: 5f0c\r\nCorrelation ID: c","error_codes":[7000215],"trace_id":"5f0c"}"#,
        );
        assert_eq!(failure.code.as_deref(), Some("AADSTS7000215"));
        assert_eq!(failure.message, "Invalid client secret provided.");
        assert_eq!(failure.request_id.as_deref(), Some("5f0c"));
        assert_eq!((failure.cause, failure.status), (Cause::SignIn, Some(401)));
        assert!(failure.hint.is_some());
    }

    #[test]
    fn a_code_is_found_in_the_words_where_the_list_is_missing() {
        let failure = refused(
            Service::Token,
            400,
            r#"{"error":"unauthorized_client","error_description":"AADSTS700016: Application with identifier 'x' was not found. Trace ID: y"}"#,
        );
        assert_eq!(failure.code.as_deref(), Some("AADSTS700016"));
        assert_eq!(failure.message, "Application with identifier 'x' was not found.");
    }

    #[test]
    fn graph_errors_keep_code_words_and_request() {
        let failure = refused(
            Service::Graph,
            403,
            r#"{"error":{"code":"Authorization_RequestDenied","message":"Insufficient privileges to complete the operation.","innererror":{"request-id":"2f5e"}}}"#,
        );
        assert_eq!(failure.cause, Cause::Privilege);
        assert_eq!(failure.code.as_deref(), Some("Authorization_RequestDenied"));
        assert_eq!(failure.request_id.as_deref(), Some("2f5e"));
    }

    #[test]
    fn what_a_policy_refused_is_said_with_the_policys_id() {
        let of = |code: &str, message: &str| {
            let body = serde_json::json!({"error": {"code": code, "message": message}});
            refused(Service::Graph, 400, &body.to_string()).hint.unwrap_or_default()
        };
        let id = "8f2c0000-0000-4000-8000-000000000001";
        let assigned = format!("x as per assigned policy '{id}'.");
        let redirect =
            format!("Redirect URI 'https://a' not allowed as per assigned policy '{id}'.");
        for (code, message, says) in [
            ("CredentialInvalidLifetimeAsPerAppPolicy", &assigned, "live shorter"),
            ("CredentialTypeNotAllowedAsPerAppPolicy", &assigned, "of this kind"),
            ("SignInAudienceNotAllowedAsPerAppPolicy", &assigned, "other directories"),
            ("Request_BadRequest", &redirect, "this redirect URI"),
            ("SomethingNewAsPerAppPolicy", &assigned, "forbids this."),
        ] {
            let hint = of(code, message);
            assert!(hint.contains(id) && hint.contains(says), "{code}: {hint}");
        }
        let nameless = of("CredentialTypeNotAllowedAsPerAppPolicy", "Credential type not allowed.");
        assert!(nameless.starts_with("An app management policy forbids"), "{nameless}");
        assert_eq!(of("Request_BadRequest", "Another object has the same policy."), "");
    }

    #[test]
    fn pages_and_garbage_are_not_repeated_to_the_reader() {
        for body in ["<html>secret-in-a-page</html>", "", "[]", "{\"error\":7}", "\u{0}"] {
            let failure = refused(Service::Graph, 503, body);
            assert_eq!(failure.cause, Cause::Service);
            assert!(!failure.line().contains("secret-in-a-page"), "{failure}");
        }
    }

    #[test]
    fn nothing_a_terminal_obeys_gets_through() {
        let failure = refused(
            Service::Graph,
            400,
            &serde_json::json!({"error": {"code": "X\u{1b}[2J", "message": format!("a\u{1b}]0;x\u{7}\nb {}", "long ".repeat(500))}})
                .to_string(),
        );
        assert!(!failure.line().contains('\u{1b}') && !failure.line().contains('\n'));
        assert!(failure.message.chars().count() < 620);
    }

    #[test]
    fn defender_says_how_long_to_wait_in_words() {
        let body = r#"{"error":{"code":"TooManyRequests","message":"Too many. You can send requests again in 52 seconds.","target":"|x."}}"#;
        let refusal = read_refusal(Service::Defender, 429, &Headers::new(), body.as_bytes(), &[]);
        assert_eq!(refusal.retry_after, Some(Duration::from_secs(52)));
        assert_eq!(refusal.failure.cause, Cause::Throttled);
    }

    #[test]
    fn a_token_answer_with_text_for_numbers_is_mended_and_one_without_token_is_not_taken() {
        let request = |path: &str| {
            Request::new(
                azure_core::http::Url::parse(&format!("https://login.example{path}")).unwrap(),
                azure_core::http::Method::Post,
            )
        };
        let token = request("/t/oauth2/v2.0/token");
        let mended = token_body(&token, br#"{"access_token":"t","expires_in":"3599"}"#).unwrap();
        let mended: Value = serde_json::from_slice(&mended).unwrap();
        assert_eq!(mended["expires_in"], 3599);
        for bad in ["{}", r#"{"access_token":""}"#, r#"{"access_token":7}"#, "<html>"] {
            assert!(token_body(&token, bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(token_body(&request("/oidc"), br#"{"value":"jwt"}"#).is_ok());
    }
}
