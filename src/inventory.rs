//! What was found in one directory; an unreadable directory is a value.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use url::Url;
use uuid::Uuid;

use crate::{
    failure::Failure,
    ids::{
        Application, ClientId, FederatedCredential, KeyId, ObjectId, PermissionId, ResourceId,
        ServicePrincipal, TenantId, UniqueName,
    },
    lifetime::Lifetime,
    registration::{Audience, Federated, PermissionKind, RedirectUri, Registration},
};

/// A client secret or a certificate as a directory shows it: everything but its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundSecret {
    /// `keyId`
    pub key_id: KeyId,
    /// `displayName`; ours reads as a [`crate::ids::CredentialName`].
    pub display_name: Option<String>,
    /// `startDateTime`
    pub start: Option<Timestamp>,
    /// `endDateTime`
    pub end: Option<Timestamp>,
}

/// A federated identity credential as a directory shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundFederated {
    /// `id`
    pub id: ObjectId<FederatedCredential>,
    /// `name`
    pub name: String,
    /// `issuer`, `subject`, and the one of `audiences`.
    pub trusts: Federated,
}

/// An app registration as a directory holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundApp {
    /// `id`
    pub object_id: ObjectId<Application>,
    /// `appId`
    pub client_id: ClientId,
    /// `uniqueName`
    pub unique_name: Option<UniqueName>,
    /// Its properties.
    pub registration: Registration,
    /// Its client secrets.
    pub secrets: Vec<FoundSecret>,
    /// Its certificates.
    pub certificates: Vec<FoundSecret>,
    /// Its federated identity credentials; nothing where nobody asked for them.
    pub federated: Option<Vec<FoundFederated>>,
    /// `createdDateTime`
    pub created: Option<Timestamp>,
    /// The object ids of its owners, where they were asked for.
    pub owners: Option<BTreeSet<Uuid>>,
}

/// Enough of an app to tell whether it is a twin of ours or one whose tags were stripped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glimpse {
    /// `id`
    pub object_id: ObjectId<Application>,
    /// `appId`
    pub client_id: ClientId,
    /// `displayName`
    pub display_name: Option<String>,
    /// `uniqueName`
    pub unique_name: Option<UniqueName>,
    /// `tags`
    pub tags: Vec<String>,
    /// `createdDateTime`
    pub created: Option<Timestamp>,
    /// `signInAudience`
    pub audience: Option<Audience>,
    /// `web.redirectUris`
    pub redirect_uris: Vec<String>,
    /// How many secrets and certificates.
    pub credentials: usize,
}

/// How long what was deleted stays in the bin
/// (<https://learn.microsoft.com/en-us/entra/identity-platform/quickstart-remove-app>: 30 days).
pub const BIN_KEEPS: SignedDuration = SignedDuration::from_hours(30 * 24);

/// An app in the bin: deleted less than 30 days ago. Read whole, so that a plan can say what
/// restoring it will still leave to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binned {
    /// The app as it was.
    pub app: FoundApp,
    /// `deletedDateTime`
    pub deleted: Option<Timestamp>,
}

/// Something that one run may read and another may not, or did not have to.
#[derive(Debug, Clone, PartialEq)]
pub enum Sight<T> {
    /// Nothing asked for it.
    NotLooked,
    /// It could not be read: unknown, never to be taken for empty.
    Hidden(Failure),
    /// It was read.
    Seen(T),
}

impl<T> Sight<T> {
    /// What was seen, where it was.
    pub fn seen(&self) -> Option<&T> {
        match self {
            Self::Seen(value) => Some(value),
            Self::NotLooked | Self::Hidden(_) => None,
        }
    }
}

/// What a directory's app-management policies say of credentials and audiences
/// (<https://learn.microsoft.com/en-us/graph/api/resources/applicationauthenticationmethodpolicy>).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policies {
    /// How much Graph told of them.
    pub told: Told,
    /// The directory's default policy, where it is enabled.
    pub default: Option<Policy>,
    /// Custom policies; one that an app is assigned to overrides the default for that app.
    pub custom: Vec<(Policy, Vec<ObjectId<Application>>)>,
}

/// How much of its policies Graph told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Told {
    /// All of them.
    #[default]
    Whole,
    /// Only what they say of credentials: what they say of audiences and redirect URIs stands in
    /// Graph's beta, which did not answer.
    OfCredentials,
}

/// One app-management policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// `id`, as text.
    pub id: String,
    /// `displayName`
    pub name: String,
    /// Its restrictions that are enabled and that concern us.
    pub restrictions: Vec<Restriction>,
}

/// One restriction of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restriction {
    /// What it forbids.
    pub kind: RestrictionKind,
    /// Only apps created after this are concerned; all where absent.
    pub apps_created_after: Option<Timestamp>,
    /// The custom security attributes that exempt whoever makes the call, as `id = value`. Whether
    /// the operator carries one cannot be read with the rights that this work needs.
    pub exempt: Vec<String>,
}

impl Restriction {
    /// Whether it concerns an app of this age; one that does not exist yet is as old as now.
    pub fn concerns(&self, created: Timestamp) -> bool {
        self.apps_created_after.is_none_or(|after| created > after)
    }
}

/// What a restriction forbids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RestrictionKind {
    /// `passwordAddition`: no new client secret at all.
    NoSecrets,
    /// `passwordLifetime`: none that lives longer than this ISO 8601 duration.
    SecretLifetime(Lifetime),
    /// `asymmetricKeyLifetime`: no certificate that lives longer than this.
    CertificateLifetime(Lifetime),
    /// `trustedCertificateAuthority`: no certificate but of authorities that the directory names; one
    /// that is signed with its own key is of none of them.
    TrustedCertificates,
    /// `audiences.azureAdMultipleOrgs`: no app for other directories.
    NoMultipleOrgs,
    /// `redirectUris`: not every redirect URI.
    RedirectUris(RedirectRule),
}

/// Which web redirect URIs a policy lets be added
/// (<https://learn.microsoft.com/en-us/graph/api/resources/redirecturiconfiguration?view=graph-rest-beta>).
/// Its rule about wildcards is none of these: a manifest may hold no wildcard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RedirectRule {
    /// `uriWithoutAllowedScheme`: these schemes and no other.
    OnlySchemes(BTreeSet<String>),
    /// `uriWithBlockedScheme`: none of these schemes.
    NotSchemes {
        /// The schemes.
        schemes: BTreeSet<String>,
        /// Forms that are let through all the same; a `*` stands for the rest.
        exempt: BTreeSet<String>,
    },
    /// `uriWithoutAllowedDomain`: these hosts and no other. They match whole, in any case.
    OnlyDomains(BTreeSet<String>),
    /// `uriWithBlockedDomain`: none of these hosts.
    NotDomains(BTreeSet<String>),
}

impl RedirectRule {
    /// Whether it forbids to add this one.
    pub fn forbids(&self, uri: &RedirectUri) -> bool {
        let Ok(url) = Url::parse(uri.as_str()) else { return false };
        let is = |one: &String, other: &str| one.eq_ignore_ascii_case(other);
        let host = url.host_str().unwrap_or_default();
        match self {
            Self::OnlySchemes(schemes) => {
                !schemes.iter().any(|scheme| scheme == "*" || is(scheme, url.scheme()))
            }
            Self::NotSchemes { schemes, exempt } => {
                schemes.iter().any(|scheme| is(scheme, url.scheme()))
                    && !exempt.iter().any(|form| match form.split_once('*') {
                        Some((front, _)) => uri.as_str().starts_with(front),
                        None => RedirectUri::new(form) == *uri,
                    })
            }
            Self::OnlyDomains(domains) => !domains.iter().any(|domain| is(domain, host)),
            Self::NotDomains(domains) => domains.iter().any(|domain| is(domain, host)),
        }
    }
}

/// The permissions that an API offers, as its service principal in this directory lists them.
pub type Catalogue = BTreeMap<(PermissionKind, String), PermissionId>;

/// The scopes of one API that an app may use for everyone of a directory
/// (<https://learn.microsoft.com/en-us/graph/api/resources/oauth2permissiongrant>).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantedScopes {
    /// `id`, as text.
    pub id: String,
    /// `scope`, word by word.
    pub scopes: BTreeSet<String>,
}

/// What an app is, and may do, in one directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundPrincipal {
    /// `id`
    pub object_id: ObjectId<ServicePrincipal>,
    /// The app roles that were assigned to it.
    pub roles: BTreeSet<(ResourceId, PermissionId)>,
    /// What was granted for all of the directory's people, by API.
    pub scopes: BTreeMap<ResourceId, GrantedScopes>,
}

impl FoundPrincipal {
    /// One to which nothing is granted yet.
    pub const fn bare(object_id: ObjectId<ServicePrincipal>) -> Self {
        Self { object_id, roles: BTreeSet::new(), scopes: BTreeMap::new() }
    }
}

/// The service principals of one directory, as far as they were asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Principals {
    /// Those of our apps.
    pub apps: BTreeMap<ClientId, FoundPrincipal>,
    /// Those of the APIs that our apps ask for.
    pub apis: BTreeMap<ResourceId, ObjectId<ServicePrincipal>>,
}

/// What the operator may do in a directory, as far as its token tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Rights {
    /// An app's: what its token carries, and nothing else.
    Exactly(BTreeSet<String>),
    /// A person's: directory roles count too, and no token tells them whole.
    #[default]
    Unknown,
}

/// What was found in one directory.
#[derive(Debug, Clone, PartialEq)]
pub struct Inventory {
    /// Which directory.
    pub directory: TenantId,
    /// The server's clock when it was read: what every end and every window is measured against.
    pub read_at: Timestamp,
    /// The operator's object id in it, where it mattered: whoever makes an app owns it.
    pub operator: Option<Uuid>,
    /// Every app that carries the fleet's tag, and every app that the vault knows.
    pub apps: Vec<FoundApp>,
    /// Every app of the directory, to find twins and stripped tags.
    pub others: Sight<Vec<Glimpse>>,
    /// The bin: apps deleted less than 30 days ago.
    pub bin: Sight<Vec<Binned>>,
    /// Policies.
    pub policies: Sight<Policies>,
    /// Service principals of our apps and of the APIs that they ask for.
    pub principals: Sight<Principals>,
    /// What the operator may do here.
    pub rights: Rights,
    /// Permissions by name, for each API that was asked.
    pub catalogues: BTreeMap<ResourceId, Sight<Catalogue>>,
    /// How many requests it took.
    pub requests: u32,
}

impl Inventory {
    /// A directory of which nothing was looked at yet.
    pub const fn empty(directory: TenantId, read_at: Timestamp) -> Self {
        Self {
            directory,
            read_at,
            operator: None,
            apps: Vec::new(),
            others: Sight::NotLooked,
            bin: Sight::NotLooked,
            policies: Sight::NotLooked,
            principals: Sight::NotLooked,
            rights: Rights::Unknown,
            catalogues: BTreeMap::new(),
            requests: 0,
        }
    }
}

/// Every directory that was read, or why it could not be.
pub type Inventories = BTreeMap<TenantId, Result<Inventory, Failure>>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_uri_is_held_against_each_rule() {
        let set = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        let https = RedirectUri::new("https://App.Contoso.example/SiemMsspConnector");
        let local = RedirectUri::new("http://localhost:8400/tenantry");
        let blocked = |exempt: &[&str]| RedirectRule::NotSchemes {
            schemes: set(&["HTTP"]),
            exempt: set(exempt),
        };
        for (rule, of_https, of_local) in [
            (RedirectRule::OnlySchemes(set(&["HTTPS"])), false, true),
            (RedirectRule::OnlySchemes(set(&["*"])), false, false),
            (RedirectRule::OnlySchemes(set(&[])), true, true),
            (blocked(&[]), false, true),
            (blocked(&["http://localhost:*"]), false, false),
            (blocked(&["http://localhost:8400/tenantry"]), false, false),
            (blocked(&["http://localhost"]), false, true),
            // A domain is no suffix.
            (RedirectRule::OnlyDomains(set(&["contoso.example"])), true, true),
            (RedirectRule::OnlyDomains(set(&["APP.contoso.example", "localhost"])), false, false),
            (RedirectRule::NotDomains(set(&["localhost"])), false, true),
            (RedirectRule::NotDomains(set(&["contoso.example"])), false, false),
        ] {
            assert_eq!(
                (rule.forbids(&https), rule.forbids(&local)),
                (of_https, of_local),
                "{rule:?}"
            );
        }
    }
}
