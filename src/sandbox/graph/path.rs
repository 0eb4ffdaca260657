//! A Graph address taken apart: collections, keys and functions.

use crate::sandbox::{http::percent_decode, schema::Refusal};

/// How one object is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::sandbox) enum Key {
    /// By its id: `applications/{id}` or `applications('id')`.
    Id(String),
    /// By an alternate key: `applications(appId='…')`.
    Alternate(String, String),
}

impl Key {
    /// The text in it, as sent.
    pub(in crate::sandbox) fn text(&self) -> &str {
        match self {
            Self::Id(text) | Self::Alternate(_, text) => text,
        }
    }
}

/// One part of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// A collection, a link, an action: in lower case, without a namespace.
    Name(String),
    /// A key of the collection before it.
    Key(Key),
}

/// Which of Graph's two versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sandbox) enum Version {
    /// `/v1.0`
    V1,
    /// `/beta`
    Beta,
}

impl Version {
    /// As it stands in addresses.
    pub(in crate::sandbox) const fn word(self) -> &'static str {
        match self {
            Self::V1 => "v1.0",
            Self::Beta => "beta",
        }
    }
}

/// Collections after which a segment is a key.
const COLLECTIONS: &[&str] = &[
    "applications",
    "serviceprincipals",
    "owners",
    "deleteditems",
    "oauth2permissiongrants",
    "organization",
    "domains",
    "users",
    "appmanagementpolicies",
    "directoryobjects",
    "incidents",
    "alerts_v2",
    "approleassignments",
    "approleassignedto",
    "appliesto",
    "federatedidentitycredentials",
    "delegatedadminrelationships",
];

/// Takes a path apart: its version and its parts.
pub(super) fn parts(path: &str) -> Result<(Version, Vec<Part>), Refusal> {
    let mut segments = path.trim_matches('/').split('/');
    let version = match segments.next() {
        Some("v1.0") => Version::V1,
        Some("beta") => Version::Beta,
        Some(other) => {
            return Err(Refusal::malformed(format!("Invalid version: {other}")));
        }
        None => return Err(Refusal::malformed("Invalid version")),
    };
    let mut parts = Vec::new();
    for (i, segment) in segments.enumerate() {
        let decoded = percent_decode(segment)
            .ok_or_else(|| Refusal::malformed("The request URI is not valid."))?;
        if i == 0 && decoded.eq_ignore_ascii_case("myorganization") {
            continue;
        }
        if decoded.is_empty() {
            return Err(Refusal::malformed("Resource not found for the segment ''."));
        }
        segment_parts(&decoded, &mut parts)?;
    }
    Ok((version, parts))
}

fn segment_parts(segment: &str, parts: &mut Vec<Part>) -> Result<(), Refusal> {
    let after_collection =
        matches!(parts.last(), Some(Part::Name(n)) if COLLECTIONS.contains(&n.as_str()));
    let lower = segment.to_ascii_lowercase();
    if after_collection
        && !segment.starts_with('$')
        && !lower.starts_with("microsoft.graph.")
        && lower != "delta"
    {
        parts.push(Part::Key(Key::Id(segment.to_owned())));
        return Ok(());
    }
    let Some((name, rest)) = segment.split_once('(') else {
        parts.push(Part::Name(plain(&lower)));
        return Ok(());
    };
    let inside = rest.strip_suffix(')').ok_or_else(|| unbalanced(segment))?;
    parts.push(Part::Name(plain(&name.to_ascii_lowercase())));
    if inside.is_empty() {
        return Ok(());
    }
    let key = match inside.split_once('=') {
        Some((name, value)) if !name.starts_with('\'') => Key::Alternate(
            name.trim().to_owned(),
            literal(value.trim()).ok_or_else(|| unbalanced(segment))?,
        ),
        Some(_) | None => Key::Id(literal(inside).unwrap_or_else(|| inside.to_owned())),
    };
    parts.push(Part::Key(key));
    Ok(())
}

fn plain(name: &str) -> String {
    name.strip_prefix("microsoft.graph.").unwrap_or(name).to_owned()
}

fn unbalanced(segment: &str) -> Refusal {
    Refusal::malformed(format!("Resource not found for the segment '{segment}'."))
}

/// What stands between quotes; a doubled quote is one.
fn literal(text: &str) -> Option<String> {
    let inside = text.strip_prefix('\'')?.strip_suffix('\'')?;
    let single = inside.replace("''", "");
    if single.contains('\'') {
        return None;
    }
    Some(inside.replace("''", "'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Part {
        Part::Name(text.to_owned())
    }

    #[test]
    fn keys_come_in_three_forms_and_are_decoded() {
        let id = Part::Key(Key::Id("7".to_owned()));
        for path in [
            "/v1.0/applications/7",
            "/v1.0/myorganization/applications('7')",
            "/beta/Applications/7/",
        ] {
            assert_eq!(parts(path).unwrap().1, [name("applications"), id.clone()], "{path}");
        }
        let (_, found) = parts("/v1.0/applications(uniqueName%3D'a%27%27b')/addPassword").unwrap();
        let key = Key::Alternate("uniqueName".to_owned(), "a'b".to_owned());
        assert_eq!(found, [name("applications"), Part::Key(key), name("addpassword")]);
        let (_, found) = parts("/v1.0/directory/deletedItems/microsoft.graph.application").unwrap();
        assert_eq!(found, [name("directory"), name("deleteditems"), name("application")]);
    }

    #[test]
    fn broken_paths_are_refused() {
        for path in [
            "/v2.0/x",
            "/",
            "/v1.0/applications(appId='x",
            "/v1.0/a//b",
            "/v1.0/%ff",
            "/v1.0/f(a='x'y')",
        ] {
            assert!(parts(path).is_err(), "{path}");
        }
    }
}
