//! Where an answer may go: redirect URIs by Entra's rules of matching
//! (<https://learn.microsoft.com/en-us/entra/identity-platform/reply-url>).

use super::errors::Aadsts;
use crate::sandbox::world::apps::App;

/// What a redirect URI was registered as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Platform {
    /// A server that keeps a secret.
    Web,
    /// A page that keeps none.
    SinglePage,
    /// A program on a device.
    PublicClient,
}

fn registered(app: &App) -> impl Iterator<Item = (Platform, &str)> {
    [
        ("web", Platform::Web),
        ("spa", Platform::SinglePage),
        ("publicClient", Platform::PublicClient),
    ]
    .into_iter()
    .flat_map(|(member, platform)| {
        app.graph
            .get(member)
            .and_then(|m| m.get("redirectUris"))
            .and_then(serde_json::Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(move |uri| uri.as_str().map(|uri| (platform, uri)))
    })
}

/// The redirect URI of a request: the one that it names, if it is registered; or else the first
/// registered one.
///
/// # Errors
/// 50011 and 500113, which people see on the page: nothing is redirected.
pub(super) fn find(app: &App, asked: Option<&str>) -> Result<(Platform, String), Aadsts> {
    let Some(asked) = asked else {
        return registered(app).next().map(|(p, uri)| (p, uri.to_owned())).ok_or_else(|| {
            Aadsts::invalid_request(500_113, "No reply address is registered for the application.")
        });
    };
    registered(app)
        .find(|(_, uri)| matches(uri, asked))
        .map(|(platform, _)| (platform, asked.to_owned()))
        .ok_or_else(|| {
            Aadsts::invalid_request(
                50_011,
                format!(
                    "The redirect URI '{asked}' specified in the request does not match the redirect URIs \
                     configured for the application '{}'. Make sure the redirect URI sent in the request \
                     matches one added to your application in the Azure portal. Navigate to \
                     https://aka.ms/redirectUriMismatchError to learn more about how to troubleshoot this \
                     error.",
                    app.app_id()
                ),
            )
        })
}

/// Whether a sent redirect URI is a registered one: scheme and host in any case, the path exactly;
/// the port does not count on `localhost`, and only there.
fn matches(registered: &str, asked: &str) -> bool {
    let (Some(one), Some(other)) = (parts(registered), parts(asked)) else {
        return registered == asked;
    };
    one.scheme.eq_ignore_ascii_case(other.scheme)
        && one.host.eq_ignore_ascii_case(other.host)
        && (one.port == other.port || one.host.eq_ignore_ascii_case("localhost"))
        && one.rest == other.rest
}

struct Parts<'a> {
    scheme: &'a str,
    host: &'a str,
    port: &'a str,
    rest: &'a str,
}

fn parts(uri: &str) -> Option<Parts<'_>> {
    let (scheme, rest) = uri.split_once("://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    if authority.contains('@') {
        return None;
    }
    let (host, port) = match authority.split_once(':') {
        None => (authority, ""),
        // `localhost:evil.example` is nobody's port.
        Some((_, port)) if !is_port(port) => return None,
        Some(both) => both,
    };
    // No path and the root are the same address.
    Some(Parts { scheme, host, port, rest: if rest.is_empty() { "/" } else { rest } })
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_ignored_on_localhost_only_and_paths_never() {
        for (registered, asked, same) in [
            ("http://localhost/tenantry", "http://localhost:4711/tenantry", true),
            ("http://localhost:1/tenantry", "http://LOCALHOST:2/tenantry", true),
            ("http://localhost/tenantry", "http://localhost/Tenantry", false),
            ("http://localhost/tenantry", "http://localhost/tenantry/", false),
            ("http://localhost/tenantry", "http://127.0.0.1:4711/tenantry", false),
            ("http://localhost/tenantry", "https://localhost/tenantry", false),
            ("http://127.0.0.1:1/x", "http://127.0.0.1:2/x", false),
            ("https://a.example", "https://a.example/", true),
            ("https://a.example/x", "https://a.example:8443/x", false),
            ("https://a.example/x", "https://a.example/x?y=1", false),
            ("https://a.example/x", "https://b@a.example/x", false),
            ("http://localhost/x", "http://localhost.evil.example/x", false),
            ("http://localhost/x", "http://localhost:evil.example/x", false),
            ("http://localhost/x", "http://localhost:80@evil.example/x", false),
            ("http://localhost/x", "http://localhost@evil.example/x", false),
            ("http://localhost/x", "http://localhost:80:80/x", false),
            ("http://localhost/x", "http://localhost:+80/x", false),
            ("http://localhost/x", "http://localhost:65536/x", false),
            ("http://localhost/x", "http://localhost:/x", false),
        ] {
            assert_eq!(matches(registered, asked), same, "{registered} {asked}");
        }
    }
}
