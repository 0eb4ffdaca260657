//! Redirect URIs by Entra's rules
//! (<https://learn.microsoft.com/en-us/entra/identity-platform/reply-url>).

use url::{Host, Url};

use crate::registration::{Audience, RedirectUri};

use super::mistakes::Wrong;

/// The most characters of a redirect URI.
const LONGEST: usize = 256;

/// The loopback page on which consent and sign-in end; registered where a browser is used. Entra
/// ignores the port of a localhost URI.
pub const LOOPBACK_PAGE: &str = "http://localhost/tenantry";

/// The most redirect URIs an app of an audience may have.
pub(super) const fn most(audience: Audience) -> usize {
    match audience {
        Audience::MyOrg | Audience::MultipleOrgs => 256,
        Audience::MultipleOrgsAndPersonal | Audience::Personal => 100,
    }
}

/// Takes a redirect URI with its placeholders filled in.
///
/// # Errors
/// The first of Entra's rules that it breaks. The sentence does not name the URI, so that one
/// template that is wrong for 400 tenants is one mistake.
pub(super) fn take(text: &str, audience: Audience) -> Result<RedirectUri, Wrong> {
    let wrong = |what: &str| Wrong::new(what).label(label_of(text));
    if let Some(c) = text.chars().find(|c| c.is_whitespace() || c.is_control()) {
        return Err(wrong(if c == ' ' {
            "a redirect URI has no spaces"
        } else {
            "a redirect URI has no white space and no control characters"
        }));
    }
    if text.contains('*') {
        return Err(wrong(
            "wildcards in redirect URIs are refused: any host they match could take a token",
        ));
    }
    if let Some(c) = text.chars().find(|c| "!$'(),;".contains(*c)) {
        return Err(
            Wrong::new(format!("Entra takes no `{c}` in a redirect URI")).label(label_of(text))
        );
    }
    if let Some(c) = text.chars().find(|c| "\\<>\"{}|^`".contains(*c)) {
        return Err(Wrong::new(format!("a URI cannot hold `{c}`")).label("percent-encode it"));
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(wrong("a redirect URI begins with `https://`"));
    };
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    if !authority.is_ascii() {
        return Err(wrong("Entra takes no internationalised domain names in redirect URIs"));
    }
    if !text.is_ascii() {
        return Err(wrong("a URI is ASCII").label("percent-encode all other characters"));
    }
    if authority.contains('@') {
        return Err(wrong("a redirect URI names no user"));
    }
    // The URL parser would take the first piece of the path for the host.
    if authority.is_empty() {
        return Err(wrong("the redirect URI has no host"));
    }
    let Ok(url) = Url::parse(text) else { return Err(wrong("this is not a URI")) };
    if text.contains('#') {
        return Err(wrong("a redirect URI has no fragment (`#`): Entra appends its own answer"));
    }
    if matches!(url.host(), Some(Host::Ipv6(_))) {
        return Err(
            wrong("Entra takes no IPv6 addresses in redirect URIs").label("use `localhost`")
        );
    }
    let loopback = matches!(url.host_str(), Some("localhost" | "127.0.0.1"));
    match scheme.to_ascii_lowercase().as_str() {
        "https" => {}
        "http" if loopback => {}
        "http" => {
            return Err(wrong("a redirect URI is https; http only for localhost and 127.0.0.1"));
        }
        _ => return Err(wrong("a redirect URI of a web app is https")),
    }
    if url.query().is_some() && most(audience) == 100 {
        return Err(wrong("with personal accounts Entra takes no query (`?`) in redirect URIs"));
    }
    let uri = RedirectUri::new(text);
    let length = uri.as_str().len();
    if length > LONGEST {
        return Err(Wrong::new(format!("a redirect URI has at most {LONGEST} characters"))
            .label(format!("this one has {length}")));
    }
    Ok(uri)
}

fn label_of(text: &str) -> String {
    super::tree::shown(text)
}

/// Two of these URIs that Entra cannot tell apart, because it ignores the port of `localhost`.
pub(super) fn same_but_for_the_port<'u>(
    uris: impl IntoIterator<Item = &'u RedirectUri>,
) -> Option<(&'u RedirectUri, &'u RedirectUri)> {
    let mut seen: Vec<(Url, &RedirectUri)> = Vec::new();
    for uri in uris {
        if !uri.as_str().contains("://localhost") {
            continue;
        }
        let Ok(mut url) = Url::parse(uri.as_str()) else { continue };
        if url.host_str() != Some("localhost") || url.set_port(None).is_err() {
            continue;
        }
        if let Some((_, other)) = seen.iter().find(|(other, _)| *other == url) {
            return Some((other, uri));
        }
        seen.push((url, uri));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_entra_takes_is_taken_as_it_answers_to_it() {
        for (written, held) in [
            (
                "https://contoso.example/SiemMsspConnector",
                "https://contoso.example/SiemMsspConnector",
            ),
            ("https://SiemMsspConnector", "https://siemmsspconnector/"),
            ("http://localhost:8400/x", "http://localhost:8400/x"),
            ("http://127.0.0.1/x", "http://127.0.0.1/x"),
            ("https://a.example/x?y=1", "https://a.example/x?y=1"),
            ("https://a.example/%20", "https://a.example/%20"),
        ] {
            assert_eq!(take(written, Audience::MultipleOrgs).unwrap().as_str(), held);
        }
        assert!(take(&format!("https://a.example/{}", "x".repeat(238)), Audience::MyOrg).is_ok());
    }

    #[test]
    fn what_entra_refuses_is_refused_with_its_reason() {
        let long = format!("https://a.example/{}", "x".repeat(239));
        for (text, says) in [
            ("", "begins with `https://`"),
            ("contoso.example/x", "begins with `https://`"),
            ("http://contoso.example/x", "http only for localhost"),
            ("http://localhost.evil.example/", "http only for localhost"),
            ("http://127.0.0.2/", "http only for localhost"),
            ("ms-app://x", "is https"),
            ("https://[::1]/x", "IPv6"),
            ("http://[::1]:80/x", "IPv6"),
            ("https://*.contoso.example/x", "wildcards"),
            ("https://a.example/*", "wildcards"),
            ("https://a.example/x#y", "fragment"),
            ("https://a.example/a b", "no spaces"),
            ("https://a.example/(x)", "no `(`"),
            ("https://a.example/x;y", "no `;`"),
            ("https://a.example/it's", "no `'`"),
            ("https://bücher.example/x", "internationalised"),
            ("https://a.example/ü", "ASCII"),
            ("https://me@a.example/", "names no user"),
            ("https:///x", "has no host"),
            ("https://:80/x", "not a URI"),
            ("https://a.example:99999/", "not a URI"),
            ("https://a.example\\x", "cannot hold"),
            (&long, "at most 256"),
        ] {
            let wrong = format!("{:?}", take(text, Audience::MultipleOrgs).expect_err(text));
            assert!(wrong.contains(says), "{text}: {wrong}");
        }
        let query = take("https://a.example/x?y=1", Audience::MultipleOrgsAndPersonal);
        assert!(format!("{:?}", query.unwrap_err()).contains("personal"));
    }

    #[test]
    fn only_localhost_ignores_its_port() {
        let uris = |list: &[&str]| list.iter().map(|u| RedirectUri::new(u)).collect::<Vec<_>>();
        let clash = uris(&["http://localhost:1/x", "http://localhost/x"]);
        assert!(same_but_for_the_port(&clash).is_some());
        for fine in [
            ["http://localhost:1/x", "http://localhost:1/y"],
            ["http://localhost:1/x", "https://localhost:1/x"],
            ["http://127.0.0.1:1/x", "http://127.0.0.1:2/x"],
            ["https://a.example:1/x", "https://a.example:2/x"],
        ] {
            assert!(same_but_for_the_port(&uris(&fine)).is_none(), "{fine:?}");
        }
    }
}
