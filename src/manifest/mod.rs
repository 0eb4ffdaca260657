//! Text → [`Manifest`], every mistake at once, with its place.

pub mod schema;
pub mod select;
pub mod source;
pub mod starter;

mod contracts;
mod customer_list;
mod domain;
mod entry;
mod guard;
mod mistakes;
mod placeholder;
mod read;
mod redirect;
mod resolve;
mod sections;
mod span;
mod tree;
mod words;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::PathBuf,
};

use crate::{
    cloud::CloudName,
    connector::{Connector, GRAPH, PortalAuthorization},
    ids::{AppKey, FleetName, ResourceId, TenantId, TenantKey},
    lifetime::Lifetime,
    registration::{Audience, Federated, Links, PermissionKind, RedirectUri},
};

pub use contracts::{Contract, NotTaken, of_contracts};
pub use customer_list::{Listed, of_customers};
pub use guard::LARGEST;
pub use mistakes::{Excerpt, Mistake, Mistakes, Notice};
pub use redirect::LOOPBACK_PAGE;
pub use resolve::header::key_vault_address;
pub use schema::json_schema;
pub use source::{LoadError, Source, load};
pub use starter::starter;

/// Reads the files of one manifest: first the guard, then serde_yaml, then the rules.
///
/// # Errors
/// Everything that is wrong, each with its place.
pub fn parse(files: Vec<(PathBuf, Vec<u8>)>) -> Result<Manifest, Mistakes> {
    let mut log = mistakes::Log::default();
    let mut left = LARGEST;
    let mut trees = Vec::new();
    let mut reaches = Vec::new();
    for (file, bytes) in files {
        let within = left.checked_sub(bytes.len());
        left = within.unwrap_or(0);
        let (tree, reach) = guard::read(file, bytes, within, &mut log);
        trees.push(tree);
        reaches.push(reach);
    }
    resolve::resolve(&trees, &reaches, log)
}

/// Where something stands in a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file, as the user named it; `-` is standard input.
    pub file: PathBuf,
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1, in characters.
    pub column: usize,
    /// `tenants.contoso.redirectUris[0]`
    pub path: String,
}

/// A set of customers as their provider wants them: all defaults applied, all placeholders
/// filled, every rule of the manifest held.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// The name of the set.
    pub fleet: FleetName,
    /// The provider's directory.
    pub home: Home,
    /// Where values live.
    pub vault: VaultLocation,
    /// How the operator reaches customers' directories (`layout: in-tenant` only).
    pub operator: OperatorCustomers,
    /// Every app that should exist, per-tenant and shared.
    pub apps: BTreeMap<AppKey, App>,
    /// Every customer.
    pub tenants: BTreeMap<TenantKey, Tenant>,
    /// The folder of the file with the header; relative paths start there.
    pub folder: PathBuf,
    /// What is allowed and still worth saying.
    pub notices: Vec<Notice>,
}

/// The provider's directory.
#[derive(Debug, Clone)]
pub struct Home {
    /// Which one.
    pub tenant: DirectoryName,
    /// In which cloud.
    pub cloud: CloudName,
    /// Where it is written.
    pub place: Place,
}

/// A directory, by id or by one of its domains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DirectoryName {
    /// Its GUID.
    Id(TenantId),
    /// A verified domain of it.
    Domain(String),
}

impl fmt::Display for DirectoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Domain(domain) => f.write_str(domain),
        }
    }
}

/// Where values live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VaultLocation {
    /// A folder; already joined to the manifest's folder.
    Folder(PathBuf),
    /// An Azure Key Vault.
    KeyVault(url::Url),
}

/// How the operator reaches customers' directories.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OperatorCustomers {
    /// The operator's own multitenant app, consented there.
    #[default]
    App,
    /// The operator's Azure CLI session there.
    Cli,
}

/// Where an app lives.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// One app per customer, in the provider's directory.
    PerTenant,
    /// One app for many customers, in the provider's directory.
    Shared,
    /// One app in each customer's own directory.
    InTenant,
}

/// A permission as a manifest or a connector names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NamedPermission {
    /// The API.
    pub resource: ResourceId,
    /// Role or scope.
    pub kind: PermissionKind,
    /// `SecurityIncident.Read.All`
    pub name: String,
}

/// What proves to Entra that the app is the app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// A client secret.
    Secret,
    /// A certificate whose private key never leaves the vault.
    Certificate,
    /// Somebody else's token.
    Federated(Vec<Federated>),
}

/// How long a secret lives and when its successor comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecretRule {
    /// From issue to end; one year unless the manifest says otherwise.
    pub lifetime: Lifetime,
    /// This long before the end a second one is made.
    pub renew_before: Lifetime,
    /// This long the old one stays beside the new.
    pub overlap: Lifetime,
}

/// An app registration that should exist.
#[derive(Debug, Clone)]
pub struct App {
    /// Its key.
    pub key: AppKey,
    /// Where it lives.
    pub layout: Layout,
    /// What it reads with.
    pub connector: Connector,
    /// At most 120 characters, placeholders filled.
    pub display_name: String,
    /// Who may sign in.
    pub audience: Audience,
    /// All that must be registered, those for consent among them.
    pub redirect_uris: BTreeSet<RedirectUri>,
    /// All that it asks for.
    pub permissions: BTreeSet<NamedPermission>,
    /// What the consent page links to.
    pub links: Links,
    /// Who should own it besides its creator, by object id; empty where the manifest says nothing.
    pub owners: BTreeSet<uuid::Uuid>,
    /// What it signs in with.
    pub credential: Credential,
    /// How long its secret lives.
    pub secret: SecretRule,
    /// The tenants that use it; exactly one unless shared.
    pub tenants: Vec<TenantKey>,
    /// Where it is written.
    pub place: Place,
}

impl App {
    /// What a person who signs in to it is asked for: its delegated permissions on Graph, for which
    /// short names are enough, and the refresh token. A token is of one API: another API's
    /// permissions are consented to, and not in it.
    pub fn sign_in_scopes(&self) -> BTreeSet<String> {
        self.permissions
            .iter()
            .filter(|permission| permission.kind == PermissionKind::Delegated)
            .filter(|permission| permission.resource == GRAPH)
            .map(|permission| permission.name.clone())
            .chain(["offline_access".to_owned()])
            .collect()
    }
}

/// How the customer's administrator is asked.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Default,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum ConsentStrategy {
    /// A link to send; nothing waits.
    #[default]
    Link,
    /// A page on loopback, opened now.
    Browser,
    /// By Graph, with the operator's rights in that directory.
    Grant,
}

/// How consent is asked for, and where the administrator lands after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsentRule {
    /// How.
    pub strategy: ConsentStrategy,
    /// A page of the provider; already among the app's redirect URIs.
    pub redirect_uri: Option<RedirectUri>,
}

impl ConsentRule {
    /// Where the administrator lands after answering: on our own page where one is opened, else on
    /// the provider's; on one of the app's own where there is none.
    pub fn landing(&self) -> Option<RedirectUri> {
        match self.strategy {
            ConsentStrategy::Link | ConsentStrategy::Grant => self.redirect_uri.clone(),
            ConsentStrategy::Browser => Some(RedirectUri::new(LOOPBACK_PAGE)),
        }
    }
}

/// A customer.
#[derive(Debug, Clone)]
pub struct Tenant {
    /// Its key.
    pub key: TenantKey,
    /// Its directory, where the manifest names it.
    pub id: Option<TenantId>,
    /// What people call it.
    pub name: String,
    /// A domain of it; resolves to its directory where `id` is left out.
    pub domain: Option<String>,
    /// For `--label`.
    pub labels: BTreeMap<String, String>,
    /// What its incidents are read with.
    pub connector: Connector,
    /// The app it uses.
    pub app: AppKey,
    /// Where that app lives.
    pub layout: Layout,
    /// Whether someone must authorize the app in the Defender portal.
    pub portal: PortalAuthorization,
    /// The analyst who signs in once (delegated connectors).
    pub sign_in_as: Option<String>,
    /// How its administrator is asked.
    pub consent: ConsentRule,
    /// Where it is written.
    pub place: Place,
}
