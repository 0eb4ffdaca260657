//! What an app registration is: one shape, whether wanted or found.
//!
//! The manifest wants one, a directory holds one, and the plan compares the two property by
//! property; both are translated into this shape at the border.

use std::{collections::BTreeSet, fmt};

use serde::{Deserialize, Serialize};
use url::Url;

use crate::ids::{PermissionId, ResourceId};

/// Who may sign in to the app (`signInAudience`,
/// <https://learn.microsoft.com/en-us/entra/identity-platform/supported-accounts-validation>).
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
pub enum Audience {
    /// The directory the app lives in, and no other.
    #[serde(rename = "AzureADMyOrg")]
    MyOrg,
    /// Any work or school directory.
    #[serde(rename = "AzureADMultipleOrgs")]
    MultipleOrgs,
    /// Any directory, and personal accounts.
    #[serde(rename = "AzureADandPersonalMicrosoftAccount")]
    MultipleOrgsAndPersonal,
    /// Personal accounts only.
    #[serde(rename = "PersonalMicrosoftAccount")]
    Personal,
}

impl Audience {
    /// The word Graph uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MyOrg => "AzureADMyOrg",
            Self::MultipleOrgs => "AzureADMultipleOrgs",
            Self::MultipleOrgsAndPersonal => "AzureADandPersonalMicrosoftAccount",
            Self::Personal => "PersonalMicrosoftAccount",
        }
    }
}

impl fmt::Display for Audience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A web redirect URI, normalised the way Entra answers to it: a URI without a path gets its
/// trailing slash (<https://learn.microsoft.com/en-us/entra/identity-platform/reply-url>), the
/// scheme and host are in lower case, all else is kept to the letter.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RedirectUri(String);

impl RedirectUri {
    /// Normalises a URI; one that does not parse is kept as it is, so that what a directory holds
    /// can always be shown and given back unchanged.
    pub fn new(text: &str) -> Self {
        let Some((scheme, rest)) = text.split_once("://") else { return Self(text.to_owned()) };
        if Url::parse(text).is_err() {
            return Self(text.to_owned());
        }
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, tail) = rest.split_at(end);
        let slash = if tail.starts_with('/') { "" } else { "/" };
        Self(format!(
            "{}://{}{slash}{tail}",
            scheme.to_ascii_lowercase(),
            authority.to_ascii_lowercase()
        ))
    }

    /// The URI.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RedirectUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl fmt::Debug for RedirectUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedirectUri({})", self.0)
    }
}

/// Whether a permission is held by the app itself or by the user signed in to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PermissionKind {
    /// An app role (`Role`): the app acts as itself.
    Application,
    /// A scope (`Scope`): the app acts for the user.
    Delegated,
}

impl PermissionKind {
    /// The word in a manifest.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Application => "application",
            Self::Delegated => "delegated",
        }
    }
}

/// A permission as Graph writes it (`requiredResourceAccess`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Permission {
    /// The API.
    pub resource: ResourceId,
    /// Role or scope.
    pub kind: PermissionKind,
    /// Which one.
    pub id: PermissionId,
}

/// The links that the consent page shows (`info`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Links {
    /// `marketingUrl`
    pub marketing: Option<String>,
    /// `privacyStatementUrl`
    pub privacy: Option<String>,
    /// `supportUrl`
    pub support: Option<String>,
    /// `termsOfServiceUrl`
    pub terms: Option<String>,
}

/// Whose tokens an app accepts in place of a secret of its own
/// (<https://learn.microsoft.com/en-us/graph/api/resources/federatedidentitycredential>).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Federated {
    /// The issuer's URL, to the letter.
    pub issuer: String,
    /// The subject that its tokens name, to the letter.
    pub subject: String,
    /// The audience that they name.
    pub audience: String,
}

/// What an app registration is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Registration {
    /// `displayName`
    pub display_name: String,
    /// `signInAudience`; absent only where a directory holds a word we do not know.
    pub audience: Option<Audience>,
    /// `web.redirectUris`
    pub redirect_uris: BTreeSet<RedirectUri>,
    /// `requiredResourceAccess`
    pub permissions: BTreeSet<Permission>,
    /// `info`
    pub links: Links,
    /// `tags`
    pub tags: BTreeSet<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pathless_uri_gets_its_slash_and_a_path_keeps_its_case() {
        for (written, held) in [
            ("https://SiemMsspConnector", "https://siemmsspconnector/"),
            (
                "HTTPS://Contoso.example/SiemMsspConnector",
                "https://contoso.example/SiemMsspConnector",
            ),
            ("https://contoso.example?x=Y", "https://contoso.example/?x=Y"),
            ("not a uri", "not a uri"),
        ] {
            assert_eq!(RedirectUri::new(written).as_str(), held);
        }
    }
}
