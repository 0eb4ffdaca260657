//! Who may talk to the page on loopback: pure questions about a request's head.
//!
//! Any site that a browser shows can send requests to a loopback port, and one whose name it points
//! at 127.0.0.1 can read the answers too ("DNS rebinding"). So the name must be ours, and whatever
//! drives the page must come from it.

use hyper::{
    HeaderMap, Uri,
    header::{HOST, HeaderName, ORIGIN},
};

/// Set by browsers on every request to loopback (<https://www.w3.org/TR/fetch-metadata/>).
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Whether the request is for `localhost:PORT` by that very name.
pub(super) fn is_for_us(uri: &Uri, headers: &HeaderMap, port: u16) -> bool {
    let ours = format!("localhost:{port}");
    let named = match uri.authority() {
        Some(authority) => authority.as_str() == ours,
        None => true,
    };
    named && only(headers, &HOST) == Some(Some(ours.as_str()))
}

/// Whether a form was sent by our own page. One of the two headers must be there, and none may say
/// otherwise.
pub(super) fn is_by_us(headers: &HeaderMap, port: u16) -> bool {
    let ours = format!("http://localhost:{port}");
    match (only(headers, &ORIGIN), only(headers, &SEC_FETCH_SITE)) {
        (Some(Some(origin)), Some(None)) => origin == ours,
        (Some(None), Some(Some(site))) => site == "same-origin",
        (Some(Some(origin)), Some(Some(site))) => origin == ours && site == "same-origin",
        (Some(None), Some(None)) | (None, _) | (_, None) => false,
    }
}

/// A header's one value; `Some(None)` where it is absent, `None` where it is there twice or no text.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<Option<&'h str>> {
    let mut all = headers.get_all(name).iter();
    match (all.next(), all.next()) {
        (None, _) => Some(None),
        (Some(value), None) => value.to_str().ok().map(Some),
        (Some(_), Some(_)) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn only_the_name_localhost_with_our_port_is_us() {
        let path: Uri = "/x".parse().unwrap();
        let asked = |uri: &Uri, hosts: &[&'static str]| {
            let pairs: Vec<_> = hosts.iter().map(|host| ("host", *host)).collect();
            is_for_us(uri, &headers(&pairs), 4711)
        };
        assert!(asked(&path, &["localhost:4711"]));
        for hosts in [
            &[][..],
            &["localhost"],
            &["localhost:4712"],
            &["127.0.0.1:4711"],
            &["evil.example:4711"],
            &["localhost:4711.evil.example"],
            &["localhost:4711", "evil.example"],
            &["localhost:4711", "localhost:4711"],
        ] {
            assert!(!asked(&path, hosts), "{hosts:?}");
        }
        assert!(!asked(&"http://evil.example/x".parse().unwrap(), &["localhost:4711"]));
        assert!(asked(&"http://localhost:4711/x".parse().unwrap(), &["localhost:4711"]));
    }

    #[test]
    fn a_form_of_another_origin_is_not_ours() {
        let by = |pairs: &[(&'static str, &'static str)]| is_by_us(&headers(pairs), 4711);
        let (us, same) = (("origin", "http://localhost:4711"), ("sec-fetch-site", "same-origin"));
        assert!(by(&[us]) && by(&[same]) && by(&[us, same]));
        for pairs in [
            &[][..],
            &[("origin", "null")],
            &[("origin", "http://localhost:4712")],
            &[("origin", "https://localhost:4711")],
            &[("origin", "http://127.0.0.1:4711")],
            &[("origin", "null"), same],
            &[us, ("sec-fetch-site", "cross-site")],
            &[us, ("sec-fetch-site", "same-site")],
            &[("sec-fetch-site", "none")],
            &[us, ("origin", "http://evil.example")],
        ] {
            assert!(!by(pairs), "{pairs:?}");
        }
    }
}
