//! Takes secrets out of what a service says: some repeat what they were sent, and its words go to
//! screens, logs and reports.

use azure_core::http::{Body, Request, headers::AUTHORIZATION};

/// What stands in the place of a secret.
const CONCEALED: &str = "[concealed]";

/// Members of a form that are secrets
/// (<https://learn.microsoft.com/en-us/entra/identity-platform/v2-oauth2-client-creds-grant-flow>).
const SECRET_FIELDS: [&str; 7] = [
    "client_secret",
    "client_assertion",
    "assertion",
    "refresh_token",
    "code",
    "code_verifier",
    "password",
];

/// Shorter than this, a value is too likely to be a word of the message.
const SHORTEST: usize = 8;

/// The secrets that a request carries, as they were meant and as they were written.
pub(super) fn secrets_of(request: &Request) -> Vec<String> {
    let mut secrets = Vec::new();
    if let Some(header) = request.headers().get_optional_str(&AUTHORIZATION) {
        secrets.push(header.split_once(' ').map_or(header, |(_, token)| token).to_owned());
    }
    if let Body::Bytes(body) = request.body() {
        for pair in body.as_ref().split(|byte| *byte == b'&') {
            for (name, value) in url::form_urlencoded::parse(pair) {
                if SECRET_FIELDS.contains(&&*name) {
                    let written = pair.iter().position(|byte| *byte == b'=');
                    let written = &pair[written.map_or(0, |at| at + 1)..];
                    secrets.push(String::from_utf8_lossy(written).into_owned());
                    secrets.push(value.into_owned());
                }
            }
        }
    }
    secrets.retain(|secret| secret.len() >= SHORTEST);
    secrets
}

/// A service's words without these secrets, and without anything that has a secret's shape.
pub(super) fn conceal(words: &str, secrets: &[String]) -> String {
    let mut words = words.to_owned();
    for secret in secrets {
        words = words.replace(secret.as_str(), CONCEALED);
    }
    without_shapes(&words)
}

/// Client secrets of Entra ID are 40 characters with `8Q~` (another digit in other years) after the
/// first three; tokens are three parts of base64 of which the first is the JSON of a header.
fn without_shapes(words: &str) -> String {
    let part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '~');
    let mut out = String::with_capacity(words.len());
    let mut rest = words;
    while let Some(start) = rest.find(part) {
        let end = rest[start..].find(|c| !part(c)).map_or(rest.len(), |length| start + length);
        let run = &rest[start..end];
        out.push_str(&rest[..start]);
        out.push_str(if is_secret(run) { CONCEALED } else { run });
        rest = &rest[end..];
    }
    out.push_str(rest);
    out
}

fn is_secret(run: &str) -> bool {
    let bytes = run.as_bytes();
    let client_secret =
        bytes.len() >= 34 && bytes.windows(3).any(|w| w[0].is_ascii_digit() && &w[1..] == b"Q~");
    let token = bytes.len() >= 40 && run.contains("eyJ") && run.matches('.').count() >= 1;
    client_secret || token
}

#[cfg(test)]
mod tests {
    use azure_core::http::Method;

    use super::*;

    #[test]
    fn what_was_sent_does_not_come_back() {
        let url = "https://login.example/t/oauth2/v2.0/token".parse().unwrap();
        let mut request = Request::new(url, Method::Post);
        request.insert_header("authorization", "Bearer opaque-token-of-no-shape");
        request.set_body("client_id=app&client_secret=p%40ss%20word%21&grant_type=x&code=short");
        let secrets = secrets_of(&request);
        let said = conceal(
            "invalid: p@ss word! sent as client_secret=p%40ss%20word%21 with opaque-token-of-no-shape",
            &secrets,
        );
        assert_eq!(said, "invalid: [concealed] sent as client_secret=[concealed] with [concealed]");
        // Too short to be told from a word.
        assert_eq!(conceal("a short message", &secrets), "a short message");
    }

    #[test]
    fn what_has_a_secrets_shape_is_concealed_and_nothing_else_is() {
        let secret = "abc8Q~defghijklmnopqrstuvwxyz0123456789_";
        assert_eq!(conceal(&format!("'{secret}'."), &[]), "'[concealed]'.");
        let token = "eyJ0eXAiOiJKV1QifQ.eyJ0aWQiOiI2ZjFjMGY1ZSJ9.c2lnbmF0dXJl";
        assert_eq!(conceal(&format!("Bearer {token}\n"), &[]), "Bearer [concealed]\n");
        for plain in [
            "Application 'tenantry-acme-soc--a-very-long-key-of-a-very-long-name' was not found",
            "https://learn.microsoft.com/en-us/graph/api/resources/application?view=1.0",
            "request 0b6d0000-0000-4000-8000-000000000000, ümläut ~ end",
            "",
        ] {
            assert_eq!(conceal(plain, &[]), plain);
        }
    }
}
