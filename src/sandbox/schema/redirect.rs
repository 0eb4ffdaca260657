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
