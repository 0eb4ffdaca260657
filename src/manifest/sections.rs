//! The fields of a manifest, one table: the parser, the messages and the JSON Schema are made of
//! it. The sentence above a field is what an editor shows.

use serde::de::{Deserializer, IgnoredAny, MapAccess};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::{
    cloud::CloudName,
    connector::{Connector, PortalAuthorization},
    ids::TenantId,
    lifetime::Lifetime,
    registration::Audience,
};

use super::{
    ConsentStrategy, DirectoryName, Layout, OperatorCustomers,
    mistakes::Wrong,
    read::{At, Cx, Entries, Field, FieldName, List, Read, Section, Shape, Words, in_step},
    words::{
        AppRef, CredentialKind, DomainText, Free, LabelValue, NO_ENDPOINTS, PermissionName,
        Resource, nearest,
    },
};

macro_rules! section {
    (
        $(#[doc = $doc:literal])*
        $name:ident, unknown: $unknown:expr;
        $($(#[doc = $about:literal])* $field:ident: $kind:ty = $word:literal,)+
    ) => {
        $(#[doc = $doc])*
        #[derive(Debug, Default)]
        pub(super) struct $name {
            $($(#[doc = $about])* pub(super) $field: Field<$kind>,)+
        }

        impl $name {
            /// Its fields.
            pub(super) const SECTION: Section = Section {
                fields: &[$(FieldName { name: $word, shape: <$kind as Read>::SHAPE }),+],
                unknown: $unknown,
            };
        }

        impl Read for $name {
            const SHAPE: Shape = Shape::Map;

            fn empty() -> Option<Self> {
                Some(Self::default())
            }

            fn schema() -> Value {
                let mut fields = Map::new();
                $(fields.insert($word.to_owned(), described(
                    <$kind as Read>::schema(),
                    concat!($($about,)*),
                ));)+
                described(
                    json!({ "type": ["object", "null"], "additionalProperties": false, "properties": fields }),
                    concat!($($doc,)*),
                )
            }

            fn read<'de, D: Deserializer<'de>>(
                cx: &mut Cx<'_>,
                at: At,
                de: D,
            ) -> Result<Option<Self>, D::Error> {
                in_step(cx, at, de, Self::default()).map(Some)
            }
        }

        impl Entries for $name {
            fn entry<'de, A: MapAccess<'de>>(
                &mut self,
                cx: &mut Cx<'_>,
                key: At,
                at: At,
                map: &mut A,
            ) -> Result<(), A::Error> {
                match cx.tree(key).text(key.node) {
                    $($word => self.$field = Field::next(cx, at, map)?,)+
                    _ => {
                        cx.unknown(key, &Self::SECTION);
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(())
            }
        }
    };
}

/// Adds a description to a schema.
pub(super) fn described(mut schema: Value, about: &str) -> Value {
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("description".to_owned(), about.trim().into());
    }
    schema
}

section! {
    /// The provider's directory.
    Home, unknown: unknown_endpoint;
    /// Your own directory: its GUID or one of its domains.
    tenant: DirectoryName = "tenant",
    /// The Microsoft cloud that it and all customers live in; global unless said otherwise.
    cloud: CloudName = "cloud",
}

section! {
    /// Where secrets and tokens are kept: a folder of encrypted files, or an Azure Key Vault.
    Vault, unknown: unknown_field;
    /// A folder, relative to this file; `tenantry vault init` makes its key.
    path: Free = "path",
    /// The https address of an Azure Key Vault.
    key_vault: Free = "keyVault",
}

section! {
    /// How the operator works in customers' directories.
    Operator, unknown: unknown_field;
    /// `app`: the operator's own app, consented there; `cli`: an Azure CLI session there.
    customers: OperatorCustomers = "customers",
}

section! {
    /// The life of a client secret or certificate.
    SecretFields, unknown: unknown_field;
    /// From issue to end, at most two years; `1y` unless said otherwise. A directory's policy may
    /// shorten it.
    lifetime: Lifetime = "lifetime",
    /// This long before the end a second one is made; `30d` unless said otherwise.
    renew_before: Lifetime = "renewBefore",
    /// This long the old one stays beside the new; `7d` unless said otherwise.
    overlap: Lifetime = "overlap",
}

section! {
    /// How the customer's administrator is asked for consent.
    ConsentFields, unknown: unknown_field;
    /// `link`: a link to send; `browser`: a page opened now; `grant`: by Graph, with the
    /// operator's rights there.
    strategy: ConsentStrategy = "strategy",
    /// A page of yours on which the administrator lands; it is registered on the app.
    redirect_uri: Free = "redirectUri",
}

section! {
    /// What the consent page links to, each https.
    Info, unknown: unknown_field;
    /// The home page.
    marketing: Free = "marketing",
    /// The privacy statement.
    privacy: Free = "privacy",
    /// The support page.
    support: Free = "support",
    /// The terms of service.
    terms: Free = "terms",
}

section! {
    /// Permissions of one API, by name.
    PermissionFields, unknown: unknown_field;
    /// `Microsoft Graph`, `Microsoft Threat Protection`, `WindowsDefenderATP`, or an application id.
    resource: Resource = "resource",
    /// App roles, such as `SecurityIncident.Read.All`.
    application: List<PermissionName> = "application",
    /// Scopes that a signed-in user lends.
    delegated: List<PermissionName> = "delegated",
}

section! {
    /// A workflow of GitHub Actions: give `environment`, `branch` or `tag`.
    GitHub, unknown: unknown_field;
    /// `owner/name`
    repository: Free = "repository",
    /// An environment of the repository; the safest choice, it can ask for approval.
    environment: Free = "environment",
    /// A branch.
    branch: Free = "branch",
    /// A tag.
    tag: Free = "tag",
}

section! {
    /// A service connection of Azure Pipelines.
    AzurePipelines, unknown: unknown_field;
    /// The organization's name.
    organization: Free = "organization",
    /// The organization's id, a GUID.
    organization_id: Uuid = "organizationId",
    /// The project's name.
    project: Free = "project",
    /// The service connection's name.
    service_connection: Free = "serviceConnection",
}

section! {
    /// One issuer whose tokens stand in for a secret: `issuer` and `subject`, or a preset.
    FederatedFields, unknown: unknown_field;
    /// The https address of the issuer, to the letter.
    issuer: Free = "issuer",
    /// The subject that its tokens name, to the letter.
    subject: Free = "subject",
    /// The audience that its tokens name; `api://AzureADTokenExchange` unless said otherwise.
    audience: Free = "audience",
    /// Instead of issuer and subject: a workflow of GitHub Actions.
    github_actions: GitHub = "githubActions",
    /// Instead of issuer and subject: a service connection of Azure Pipelines.
    azure_pipelines: AzurePipelines = "azurePipelines",
}

section! {
    /// A tenant, or under `defaults` what holds for all: lists replace, maps merge.
    TenantFields, unknown: unknown_field;
    /// The directory's GUID; may be left out when the domain resolves to it.
    id: TenantId = "id",
    /// What people call the customer; the key unless said otherwise.
    name: Free = "name",
    /// A verified domain of the directory.
    domain: DomainText = "domain",
    /// Words of your own for `--label`.
    labels: Words<LabelValue> = "labels",
    /// What the customer's incidents are read with.
    connector: Connector = "connector",
    /// Where the app lives; `per-tenant` unless said otherwise.
    layout: Layout = "layout",
    /// Who may sign in; follows from the layout and is better left out.
    audience: Audience = "audience",
    /// The app's name; may hold {key} {name} {domain} {id}.
    display_name: Free = "displayName",
    /// The app's web redirect URIs; may hold {key} {name} {domain} {id}.
    redirect_uris: List<Free> = "redirectUris",
    /// Replaces the permissions of the connector.
    permissions: List<PermissionFields> = "permissions",
    /// What the consent page links to.
    info: Info = "info",
    /// Whether someone must authorize the app in the Defender portal; follows from the connector.
    portal_authorization: PortalAuthorization = "portalAuthorization",
    /// The analyst who signs in once, for connectors that need a user.
    sign_in_as: Free = "signInAs",
    /// How the customer's administrator is asked for consent.
    consent: ConsentFields = "consent",
    /// What the app signs in with; `secret` unless said otherwise.
    credential: CredentialKind = "credential",
    /// With `credential: federated`: the issuers whose tokens stand in for a secret.
    federated: List<FederatedFields> = "federated",
    /// The life of the secret.
    secret: SecretFields = "secret",
    /// The key of the shared app that this tenant uses; implies `layout: shared`.
    app: AppRef = "app",
    /// Object ids of users or service principals that own the app besides its creator.
    owners: List<Uuid> = "owners",
}

section! {
    /// An app that many tenants use; defaults apply, but for `redirectUris`.
    SharedFields, unknown: unknown_field;
    /// What people call it; the key unless said otherwise.
    name: Free = "name",
    /// What it reads incidents with.
    connector: Connector = "connector",
    /// The app's name; may hold {key} {name}.
    display_name: Free = "displayName",
    /// The app's web redirect URIs; may hold {key} {name}.
    redirect_uris: List<Free> = "redirectUris",
    /// Replaces the permissions of the connector.
    permissions: List<PermissionFields> = "permissions",
    /// What the consent page links to.
    info: Info = "info",
    /// What the app signs in with; `secret` unless said otherwise.
    credential: CredentialKind = "credential",
    /// With `credential: federated`: the issuers whose tokens stand in for a secret.
    federated: List<FederatedFields> = "federated",
    /// The life of the secret.
    secret: SecretFields = "secret",
    /// Object ids of users or service principals that own the app besides its creator.
    owners: List<Uuid> = "owners",
}

/// Names that people try, and what they mean here.
const SYNONYMS: [(&str, &str); 11] = [
    ("tenantId", "id"),
    ("directoryId", "id"),
    ("replyUrls", "redirectUris"),
    ("signInAudience", "audience"),
    ("scopes", "permissions"),
    ("requiredResourceAccess", "permissions"),
    ("user", "signInAs"),
    ("upn", "signInAs"),
    ("analyst", "signInAs"),
    ("expires", "lifetime"),
    ("keyvaultUrl", "keyVault"),
];

/// What to say of a field that a section does not know.
pub(super) fn unknown_field(name: &str, what: String, fields: &[FieldName]) -> Wrong {
    let names = || fields.iter().map(|field| field.name);
    let meant = SYNONYMS
        .iter()
        .find(|(synonym, _)| synonym.eq_ignore_ascii_case(name))
        .map(|(_, meant)| *meant)
        .filter(|meant| names().any(|name| name == *meant))
        .or_else(|| nearest(name, names()));
    let wrong = Wrong::new(what);
    match meant.and_then(|meant| fields.iter().find(|field| field.name == meant)) {
        Some(FieldName { name, shape }) => {
            wrong.label(format!("did you mean `{name}`{}?", shape.hint()))
        }
        None => {
            let all: Vec<_> = names().collect();
            wrong.label("no such field here").help(format!("fields here: {}", all.join(", ")))
        }
    }
}

/// The same for a section in which people look for endpoints.
pub(super) fn unknown_endpoint(name: &str, what: String, fields: &[FieldName]) -> Wrong {
    const ENDPOINTS: [&str; 12] = [
        "login",
        "graph",
        "defender",
        "portal",
        "vault",
        "pages",
        "endpoints",
        "endpoint",
        "authority",
        "authorityHost",
        "loginUrl",
        "graphUrl",
    ];
    if ENDPOINTS.iter().any(|endpoint| endpoint.eq_ignore_ascii_case(name)) {
        return Wrong::new(what).label("an endpoint cannot stand in a manifest").help(NO_ENDPOINTS);
    }
    unknown_field(name, what, fields)
}
