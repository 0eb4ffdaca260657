//! What a scalar of a manifest may be: each kind says what it takes, in the parser and in the
//! JSON Schema alike.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    cloud::CloudName,
    connector::{Connector, PortalAuthorization, RESOURCES},
    ids::{FleetName, ResourceId, TenantId},
    lifetime::Lifetime,
    registration::Audience,
};

use super::{
    ConsentStrategy, DirectoryName, Layout, OperatorCustomers,
    domain::{self, Domain},
    mistakes::Wrong,
    read::Leaf,
    span,
    tree::shown,
};

/// The known word nearest to one that is not known.
pub(super) fn nearest<'w>(word: &str, known: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    // `redirect_uris`, `RedirectURIs` and `redirectUris` differ in taste only.
    let plain = |text: &str| -> String {
        text.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
    };
    // A hostile word can have 256 KiB; no known one has 80.
    let word = plain(word.get(..80).unwrap_or(if word.len() <= 80 { word } else { "" }));
    if word.is_empty() {
        return None;
    }
    known
        .into_iter()
        .map(|candidate| {
            let other = plain(candidate);
            let alike = strsim::jaro_winkler(&word, &other)
                .max(strsim::normalized_damerau_levenshtein(&word, &other));
            (candidate, alike)
        })
        .filter(|(_, alike)| *alike >= 0.8)
        .max_by(|(_, a), (_, b)| a.total_cmp(b))
        .map(|(candidate, _)| candidate)
}

/// A text of the user's own: any characters but control characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Free(pub(super) String);

impl Leaf for Free {
    fn schema() -> Value {
        // YAML reads `name: 365` as a number; it is the text that stands there.
        json!({ "type": ["string", "number", "boolean"], "minLength": 1 })
    }

    fn take(text: String) -> Result<Self, Wrong> {
        if text.trim().is_empty() {
            return Err(Wrong::new("is empty").label("leave the field out, or give it a value"));
        }
        Ok(Self(text))
    }
}

/// A label's value; may be empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LabelValue(pub(super) String);

impl Leaf for LabelValue {
    fn schema() -> Value {
        json!({ "type": ["string", "number", "boolean"], "maxLength": 256 })
    }

    fn take(text: String) -> Result<Self, Wrong> {
        match text.chars().count() {
            0..=256 => Ok(Self(text)),
            many => {
                Err(Wrong::new(format!("a label may have 256 characters, this one has {many}")))
            }
        }
    }
}

/// A tenant's domain, or under `defaults` a text that makes one of the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DomainText(pub(super) String);

impl Leaf for DomainText {
    fn schema() -> Value {
        json!({
            "type": "string",
            "anyOf": [{ "pattern": domain::PATTERN }, { "pattern": "[{]key[}]" }],
            "maxLength": 253,
        })
    }

    fn take(text: String) -> Result<Self, Wrong> {
        if text.contains("{key}") {
            return Ok(Self(text));
        }
        Domain::take(text).map(|domain| Self(domain.0))
    }
}

/// An API that permissions are asked of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Resource(pub(super) ResourceId);

impl Leaf for Resource {
    fn schema() -> Value {
        let names: Vec<_> = RESOURCES.iter().map(|(name, _)| *name).collect();
        json!({ "type": "string", "anyOf": [{ "enum": names }, { "pattern": GUID }] })
    }

    fn take(text: String) -> Result<Self, Wrong> {
        if let Some((_, id)) = RESOURCES.iter().find(|(name, _)| *name == text) {
            return Ok(Self(*id));
        }
        if let Ok(id) = text.parse() {
            return Ok(Self(id));
        }
        let names: Vec<_> = RESOURCES.iter().map(|(name, _)| *name).collect();
        let wrong =
            Wrong::new(format!("`{}` is not an API this build knows by name", shown(&text)))
                .help(format!("one of: {}; or the API's application id", names.join(", ")));
        Err(match nearest(&text, names) {
            Some(near) => wrong.label(format!("did you mean `{near}`?")),
            None => wrong,
        })
    }
}

/// A permission's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PermissionName(pub(super) String);

impl Leaf for PermissionName {
    fn schema() -> Value {
        json!({ "type": "string", "pattern": "^[A-Za-z0-9._-]+$", "maxLength": 120 })
    }

    fn take(text: String) -> Result<Self, Wrong> {
        if Uuid::try_parse(&text).is_ok() {
            return Err(Wrong::new("permissions are written by name, their ids are looked up")
                .label("for example `SecurityIncident.Read.All`"));
        }
        let sound = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        if text.is_empty() || text.len() > 120 || !text.bytes().all(sound) {
            return Err(Wrong::new(format!("`{}` is not a permission's name", shown(&text)))
                .label("for example `SecurityIncident.Read.All`"));
        }
        Ok(Self(text))
    }
}

/// `version: 1`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct VersionOne;

impl Leaf for VersionOne {
    fn schema() -> Value {
        json!({ "const": 1 })
    }

    fn take(text: String) -> Result<Self, Wrong> {
        if text == "1" {
            return Ok(Self);
        }
        Err(Wrong::new(format!("this tenantry reads version 1, not `{}`", shown(&text)))
            .label("write `1`"))
    }
}

impl Leaf for FleetName {
    fn schema() -> Value {
        json!({
            "type": "string",
            "pattern": "^[a-z0-9]+(-[a-z0-9]+)*$",
            "maxLength": Self::LONGEST,
        })
    }

    fn take(text: String) -> Result<Self, Wrong> {
        text.parse().map_err(|error: crate::ids::NotAnId| {
            Wrong::new(format!("`{}` is not {}", shown(&text), error.wanted))
                .label("part of every app's key, so it cannot change later")
        })
    }
}

/// The key of a shared app, not yet looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AppRef(pub(super) String);

impl Leaf for AppRef {
    fn schema() -> Value {
        json!({ "type": "string", "pattern": "^[a-z0-9]+(-[a-z0-9]+)*$", "maxLength": 64 })
    }

    fn take(text: String) -> Result<Self, Wrong> {
        Ok(Self(text))
    }
}

const GUID: &str = "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$";

fn not_a_guid(text: &str, wanted: &str) -> Wrong {
    Wrong::new(format!("`{}` is not {wanted}", shown(text)))
        .label("expected 00000000-0000-0000-0000-000000000000")
}

impl Leaf for TenantId {
    fn schema() -> Value {
        json!({ "type": "string", "pattern": GUID })
    }

    fn take(text: String) -> Result<Self, Wrong> {
        let id: Self = text.parse().map_err(|_| {
            let wrong = not_a_guid(&text, "a tenant id (a GUID)");
            if domain::looks_like_one(&text) {
                wrong.help("a domain belongs into `domain`; it resolves to the id")
            } else {
                wrong
            }
        })?;
        if id.as_uuid().is_nil() {
            return Err(Wrong::new("the zero GUID is no directory"));
        }
        Ok(id)
    }
}

impl Leaf for Uuid {
    fn schema() -> Value {
        json!({ "type": "string", "pattern": GUID })
    }

    fn take(text: String) -> Result<Self, Wrong> {
        Self::try_parse(&text)
            .ok()
            .filter(|_| text.len() == 36)
            .ok_or_else(|| not_a_guid(&text, "an object id (a GUID)"))
    }
}

impl Leaf for DirectoryName {
    fn schema() -> Value {
        json!({ "type": "string", "anyOf": [{ "pattern": GUID }, { "pattern": domain::PATTERN }] })
    }

    fn take(text: String) -> Result<Self, Wrong> {
        if text.parse::<TenantId>().is_ok() {
            return TenantId::take(text).map(Self::Id);
        }
        Domain::take(text).map(|domain| Self::Domain(domain.0))
    }
}

impl Leaf for Lifetime {
    fn schema() -> Value {
        json!({
            "type": "string",
            "pattern": "^ *([0-9]+ *(y|years?|mo|months?|w|weeks?|d|days?) *)+$",
        })
    }

    fn take(text: String) -> Result<Self, Wrong> {
        span::lifetime(&text)
    }
}

macro_rules! choices {
    ($($(#[$doc:meta])* $kind:ty, $noun:literal: [$($word:expr => $value:expr),+ $(,)?];)+) => {$(
        impl Leaf for $kind {
            fn schema() -> Value {
                json!({ "enum": [$($word),+] })
            }

            fn take(text: String) -> Result<Self, Wrong> {
                $(if text == $word { return Ok($value); })+
                Err(not_a_choice(&text, $noun, &[$($word),+]))
            }
        }
    )+};
}

fn not_a_choice(text: &str, noun: &str, words: &[&str]) -> Wrong {
    let wrong = Wrong::new(format!("`{}` is not {noun}", shown(text)));
    let all = words.join(", ");
    if noun == "a cloud" && (text.contains("://") || text.contains('.')) {
        return wrong.label(format!("one of: {all}")).help(NO_ENDPOINTS);
    }
    match nearest(text, words.iter().copied()) {
        Some(near) => wrong.label(format!("did you mean `{near}`?")).help(format!("one of: {all}")),
        None => wrong.label(format!("one of: {all}")),
    }
}

/// Why endpoints are refused, and the way out.
pub(super) const NO_ENDPOINTS: &str = "endpoints never come from a manifest: whoever may propose a change to it could send the \
     operator's credential anywhere; give them on the command line with --cloud FILE";

choices! {
    CloudName, "a cloud": [
        "global" => Self::Global, "gcc" => Self::Gcc, "gcc-high" => Self::GccHigh,
        "dod" => Self::Dod, "china" => Self::China,
    ];
    Connector, "a connector": [
        "mssp-siem" => Self::MsspSiem, "graph-security" => Self::GraphSecurity,
        "defender-xdr" => Self::DefenderXdr,
    ];
    Layout, "a layout": [
        "per-tenant" => Self::PerTenant, "shared" => Self::Shared, "in-tenant" => Self::InTenant,
    ];
    Audience, "an audience": [
        "AzureADMyOrg" => Self::MyOrg, "AzureADMultipleOrgs" => Self::MultipleOrgs,
        "AzureADandPersonalMicrosoftAccount" => Self::MultipleOrgsAndPersonal,
        "PersonalMicrosoftAccount" => Self::Personal,
    ];
    PortalAuthorization, "a portal authorization": [
        "required" => Self::Required, "not-needed" => Self::NotNeeded,
    ];
    ConsentStrategy, "a consent strategy": [
        "link" => Self::Link, "browser" => Self::Browser, "grant" => Self::Grant,
    ];
    OperatorCustomers, "a way to reach customers": ["app" => Self::App, "cli" => Self::Cli];
    CredentialKind, "a credential": [
        "secret" => Self::Secret, "certificate" => Self::Certificate, "federated" => Self::Federated,
    ];
}

/// What an app signs in with, before its federated issuers are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CredentialKind {
    /// A client secret.
    Secret,
    /// A certificate.
    Certificate,
    /// Somebody else's token.
    Federated,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_keyboard_finds_its_word_and_nonsense_finds_none() {
        let known = ["redirectUris", "displayName", "signInAs", "domain"];
        for (slip, word) in [
            ("redirectUrl", Some("redirectUris")),
            ("redirect_uris", Some("redirectUris")),
            ("DisplayName", Some("displayName")),
            ("domian", Some("domain")),
            ("zzz", None),
            ("", None),
        ] {
            assert_eq!(nearest(slip, known), word, "{slip}");
        }
    }
}
