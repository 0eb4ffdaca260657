//! Redirect URIs by Entra's rules (<https://learn.microsoft.com/en-us/entra/identity-platform/reply-url>).

use super::check::length;

/// The platform that a redirect URI is registered for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Platform {
    Web,
    Spa,
    PublicClient,
}

/// Whose accounts may sign in, as far as the rules differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Audience {
    /// Work and school accounts only.
    Organizations,
    /// Personal Microsoft accounts too.
    Personal,
}

const MAX_LENGTH: usize = 256;

/// Characters that Entra does not take in a redirect URI.
const FORBIDDEN: &[char] = &['!', '$', '\'', '(', ')', ',', ';'];

impl Audience {
    /// How many redirect URIs an application may have, over all platforms.
    pub(super) fn most_redirect_uris(self) -> usize {
        match self {
            Audience::Organizations => 256,
            Audience::Personal => 100,
        }
    }
}

/// Why Entra would not register this URI.
pub(super) fn check(uri: &str, platform: Platform, audience: Audience) -> Result<(), String> {
    if length(uri) > MAX_LENGTH {
        return Err(format!("The redirect URI is longer than {MAX_LENGTH} characters."));
    }
    if uri.contains('#') {
        return Err(format!("The redirect URI '{uri}' must not contain a fragment."));
    }
    if !uri.is_ascii() || uri.contains(|c: char| c.is_ascii_whitespace() || c.is_ascii_control()) {
        return Err(format!(
            "The redirect URI '{uri}' contains characters that are not supported."
        ));
    }
    if let Some(character) = uri.chars().find(|c| FORBIDDEN.contains(c)) {
        return Err(format!(
            "The redirect URI '{uri}' contains '{character}', which is not supported."
        ));
    }
    let Some((scheme, rest)) = uri.split_once(':') else {
        return Err(format!("The redirect URI '{uri}' is not an absolute URI."));
    };
    let valid_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    if !valid_scheme {
        return Err(format!("The redirect URI '{uri}' is not an absolute URI."));
    }
    match scheme.to_ascii_lowercase().as_str() {
        "https" => check_web_address(uri, rest, audience).map(|_| ()),
        "http" => {
            let host = check_web_address(uri, rest, audience)?;
            if host.eq_ignore_ascii_case("localhost") || host == "127.0.0.1" {
                Ok(())
            } else {
                Err(format!("The redirect URI '{uri}' must use https: http is for localhost only."))
            }
        }
        // What a browser would run or open on the machine itself.
        "javascript" | "data" | "file" | "vbscript" => {
            Err(format!("The scheme of the redirect URI '{uri}' is not allowed."))
        }
        _ => match platform {
            Platform::PublicClient if !rest.is_empty() => Ok(()),
            Platform::PublicClient => {
                Err(format!("The redirect URI '{uri}' is not an absolute URI."))
            }
            Platform::Web | Platform::Spa => {
                Err(format!("The redirect URI '{uri}' must start with https or http://localhost."))
            }
        },
    }
}

/// The host of what follows `http:` or `https:`, where all else is in order.
fn check_web_address<'a>(uri: &str, rest: &'a str, audience: Audience) -> Result<&'a str, String> {
    let not_absolute = || format!("The redirect URI '{uri}' is not an absolute URI.");
    let rest = rest.strip_prefix("//").ok_or_else(not_absolute)?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    if authority.contains('@') {
        return Err(format!("The redirect URI '{uri}' must not contain a user name."));
    }
    if authority.starts_with('[') {
        return Err(format!("The redirect URI '{uri}' must not use an IPv6 address."));
    }
    let host = match authority.split_once(':') {
        None => authority,
        Some((host, port)) if !port.is_empty() && port.parse::<u16>().is_ok() => host,
        Some(_) => return Err(not_absolute()),
    };
    let label = |label: &str| {
        !label.is_empty()
            && label.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '*'))
    };
    if !host.split('.').all(label) {
        return Err(not_absolute());
    }
    match audience {
        Audience::Organizations => {}
        Audience::Personal if uri.contains('*') => {
            return Err(format!(
                "The redirect URI '{uri}' must not contain a wildcard while personal accounts can sign in."
            ));
        }
        Audience::Personal if tail.contains('?') => {
            return Err(format!(
                "The redirect URI '{uri}' must not contain a query string while personal accounts can sign in."
            ));
        }
        Audience::Personal => {}
    }
    // `*.com`, `*` or `a*b.contoso.com` would match addresses of strangers.
    if host.contains('*')
        && (!host.starts_with("*.") || host[1..].contains('*') || host.matches('.').count() < 2)
    {
        return Err(format!("The wildcard of the redirect URI '{uri}' is not allowed."));
    }
    Ok(host)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Audience::{Organizations, Personal};
    use Platform::{PublicClient, Spa, Web};

    fn passes(uri: &str, platform: Platform, audience: Audience) {
        assert_eq!(check(uri, platform, audience), Ok(()), "{uri}");
    }

    fn refused(uri: &str, platform: Platform, audience: Audience, why: &str) {
        let said = check(uri, platform, audience).expect_err(uri);
        assert!(said.contains(why), "{uri}: {said}");
    }

    #[test]
    fn https_anywhere_and_http_on_this_machine() {
        for uri in [
            "https://contoso.com",
            "https://contoso.com/",
            "https://Contoso.com:8443/a/B?x=y",
            "https://SiemMsspConnector",
            "HTTPS://contoso.com/x",
            "https://192.0.2.1/x",
            "http://localhost",
            "http://localhost:8080/cb",
            "http://LOCALHOST/cb",
            "http://127.0.0.1:1/",
        ] {
            passes(uri, Web, Organizations);
            passes(uri, Spa, Organizations);
        }
        refused("http://contoso.com", Web, Organizations, "http is for localhost only");
        refused("http://localhost.contoso.com", Web, Organizations, "http is for localhost only");
        refused("http://127.0.0.2/", Web, Organizations, "http is for localhost only");
        refused("http://[::1]/", Web, Organizations, "IPv6");
        refused("https://[2001:db8::1]/", Web, Organizations, "IPv6");
    }

    #[test]
    fn other_schemes_for_public_clients_only() {
        for uri in [
            "msal00000000-0000-0000-0000-000000000000://auth",
            "urn:ietf:wg:oauth:2.0:oob",
            "ms-appx-web://x",
        ] {
            passes(uri, PublicClient, Organizations);
            refused(uri, Web, Organizations, "must start with https");
            refused(uri, Spa, Organizations, "must start with https");
        }
        for uri in ["javascript:alert", "data:text/html", "file:///etc/passwd", "JavaScript:x"] {
            refused(uri, PublicClient, Organizations, "scheme");
        }
        refused("http://contoso.com", PublicClient, Organizations, "http is for localhost only");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for uri in [
            "",
            "contoso.com",
            "/cb",
            "https:",
            "https:contoso.com",
            "https://",
            "https:///x",
            "://x",
            "1https://contoso.com",
            "https://a..b/",
            "https://a:/x",
            "https://a:99999/",
            "https://a:b/",
            "https://a%20b/",
            "urn:",
        ] {
            refused(
                uri,
                if uri == "urn:" { PublicClient } else { Web },
                Organizations,
                "is not an absolute URI",
            );
        }
    }

    #[test]
    fn characters_and_parts_that_entra_does_not_take() {
        refused("https://contoso.com/#a", Web, Organizations, "fragment");
        refused("https://contoso.com/#", Web, Organizations, "fragment");
        for character in FORBIDDEN {
            refused(
                &format!("https://contoso.com/a{character}b"),
                Web,
                Organizations,
                "is not supported",
            );
        }
        refused("https://contöso.com/", Web, Organizations, "characters that are not supported");
        refused("https://contoso.com/a b", Web, Organizations, "characters that are not supported");
        refused(
            "https://contoso.com/a\nb",
            Web,
            Organizations,
            "characters that are not supported",
        );
        refused("https://user@contoso.com/", Web, Organizations, "user name");
    }

    #[test]
    fn length_is_256() {
        let uri = |length: usize| format!("https://contoso.com/{}", "a".repeat(length - 20));
        passes(&uri(256), Web, Organizations);
        refused(&uri(257), Web, Organizations, "longer than 256");
    }

    #[test]
    fn wildcards_and_query_strings_are_for_organizations() {
        passes("https://*.contoso.com/cb", Web, Organizations);
        passes("https://contoso.com/*", Web, Organizations);
        refused("https://*.contoso.com/cb", Web, Personal, "wildcard");
        refused("https://contoso.com/*", Web, Personal, "wildcard");
        refused("https://contoso.com/?a=b", Web, Personal, "query string");
        passes("https://contoso.com/?a=b", Web, Organizations);
        passes("https://contoso.com/", Web, Personal);
        for uri in [
            "https://*/",
            "https://*.com/",
            "https://a*.contoso.com/",
            "https://*.*.contoso.com/",
            "https://contoso.*/",
        ] {
            refused(uri, Web, Organizations, "wildcard");
        }
    }
}
