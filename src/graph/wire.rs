//! What goes over the wire: structs of our own for what Graph sends and for what we send.
//!
//! Reading is tolerant (unknown members, `null` for a collection, up to seven digits of a second):
//! <https://learn.microsoft.com/en-us/graph/api/resources/application>. What we send holds only
//! documented properties that may be written.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

use crate::{
    ids::{Application, ClientId, KeyId, ObjectId, PermissionId, ResourceId, UniqueName},
    inventory::{Binned, FoundApp, FoundFederated, FoundSecret, Glimpse},
    registration::{
        Audience, Federated, Links, Permission, PermissionKind, RedirectUri, Registration,
    },
    secret::Secret,
};

/// One page of a list.
#[derive(Deserialize)]
pub(super) struct Page<T> {
    // Optional, for a list may be `null`; not defaulted, for an answer without it is no list.
    pub(super) value: Option<Vec<T>>,
    #[serde(rename = "@odata.nextLink")]
    pub(super) next_link: Option<String>,
}

/// The properties of an app that a full reading asks for.
///
/// Asking for `keyCredentials` is limited to 150 requests a minute and directory, far more than a
/// listing of 999 a page needs
/// (<https://learn.microsoft.com/en-us/graph/api/resources/application#properties>).
pub(super) const APP: [&str; 12] = [
    "id",
    "appId",
    "uniqueName",
    "displayName",
    "signInAudience",
    "web",
    "requiredResourceAccess",
    "info",
    "tags",
    "passwordCredentials",
    "keyCredentials",
    "createdDateTime",
];

/// The relation that holds an app's federated identity credentials.
pub(super) const FEDERATED: &str = "federatedIdentityCredentials";

/// The properties of an app that a glimpse asks for.
pub(super) const GLIMPSE: [&str; 10] = [
    "id",
    "appId",
    "uniqueName",
    "displayName",
    "tags",
    "createdDateTime",
    "signInAudience",
    "web",
    "passwordCredentials",
    "keyCredentials",
];

/// An application object.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct App {
    id: Uuid,
    app_id: Uuid,
    unique_name: Option<String>,
    display_name: Option<String>,
    sign_in_audience: Option<String>,
    web: Option<Web>,
    required_resource_access: Option<Vec<RequiredAccess>>,
    info: Option<Info>,
    tags: Option<Vec<String>>,
    password_credentials: Option<Vec<Password>>,
    key_credentials: Option<Vec<Password>>,
    federated_identity_credentials: Option<Vec<FederatedCredential>>,
    #[serde(default, deserialize_with = "time")]
    created_date_time: Option<Timestamp>,
    #[serde(default, deserialize_with = "time")]
    deleted_date_time: Option<Timestamp>,
    owners: Option<Vec<Owner>>,
}

/// Whoever owns an app: only the id is asked for.
#[derive(Deserialize)]
pub(super) struct Owner {
    pub(super) id: Option<Uuid>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Web {
    redirect_uris: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RequiredAccess {
    resource_app_id: Option<String>,
    resource_access: Option<Vec<ResourceAccess>>,
}

#[derive(Deserialize)]
struct ResourceAccess {
    id: Option<Uuid>,
    r#type: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Info {
    marketing_url: Option<String>,
    privacy_statement_url: Option<String>,
    support_url: Option<String>,
    terms_of_service_url: Option<String>,
}

/// A client secret, with its value where it was made by this very call; or a certificate, of which
/// the same is told.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Password {
    pub(super) key_id: Option<Uuid>,
    display_name: Option<String>,
    #[serde(default, deserialize_with = "time")]
    pub(super) start_date_time: Option<Timestamp>,
    #[serde(default, deserialize_with = "time")]
    pub(super) end_date_time: Option<Timestamp>,
    #[serde(default, deserialize_with = "value")]
    pub(super) secret_text: Option<Secret<String>>,
}

/// A federated identity credential
/// (<https://learn.microsoft.com/en-us/graph/api/resources/federatedidentitycredential>).
#[derive(Deserialize)]
pub(super) struct FederatedCredential {
    id: Option<Uuid>,
    name: Option<String>,
    issuer: Option<String>,
    subject: Option<String>,
    audiences: Option<Vec<String>>,
}

impl FederatedCredential {
    /// One without an id cannot be named, and so neither changed nor removed.
    pub(super) fn found(self) -> Option<FoundFederated> {
        let Self { id, name, issuer, subject, audiences } = self;
        Some(FoundFederated {
            id: ObjectId::from_uuid(id?),
            name: name.unwrap_or_default(),
            trusts: Federated {
                issuer: issuer.unwrap_or_default(),
                subject: subject.unwrap_or_default(),
                // The list may have one member only.
                audience: audiences.unwrap_or_default().into_iter().next().unwrap_or_default(),
            },
        })
    }
}

/// What we send of a federated identity credential; the name is set once, and stays.
#[derive(Debug, Serialize)]
pub(super) struct FederatedBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    issuer: &'a str,
    subject: &'a str,
    audiences: [&'a str; 1],
}

impl<'a> FederatedBody<'a> {
    pub(super) fn new(name: Option<&'a str>, trusts: &'a Federated) -> Self {
        let Federated { issuer, subject, audience } = trusts;
        Self { name, issuer, subject, audiences: [audience] }
    }
}

/// A secret's value, kept from the first moment as one.
fn value<'de, D: Deserializer<'de>>(de: D) -> Result<Option<Secret<String>>, D::Error> {
    Ok(Option::<String>::deserialize(de)?.map(Secret::new))
}

/// A time as Graph writes it; one that cannot be read is as good as none.
pub(super) fn time<'de, D: Deserializer<'de>>(de: D) -> Result<Option<Timestamp>, D::Error> {
    Ok(Option::<String>::deserialize(de)?.and_then(|text| text.parse().ok()))
}

impl App {
    /// The app in the shape in which it is compared.
    pub(super) fn found(self) -> FoundApp {
        let Self {
            id,
            app_id,
            unique_name,
            display_name,
            sign_in_audience,
            web,
            required_resource_access,
            info,
            tags,
            password_credentials,
            key_credentials,
            federated_identity_credentials,
            created_date_time,
            deleted_date_time: _,
            owners,
        } = self;
        FoundApp {
            object_id: ObjectId::from_uuid(id),
            client_id: ClientId::from_uuid(app_id),
            unique_name: unique_name.map(UniqueName::found),
            registration: Registration {
                display_name: display_name.unwrap_or_default(),
                audience: sign_in_audience.as_deref().and_then(audience),
                redirect_uris: web
                    .and_then(|web| web.redirect_uris)
                    .unwrap_or_default()
                    .iter()
                    .map(|uri| RedirectUri::new(uri))
                    .collect(),
                permissions: permissions(required_resource_access.unwrap_or_default()),
                links: info.map(links).unwrap_or_default(),
                tags: tags.unwrap_or_default().into_iter().collect(),
            },
            secrets: password_credentials
                .unwrap_or_default()
                .into_iter()
                .filter_map(Password::found)
                .collect(),
            certificates: key_credentials
                .unwrap_or_default()
                .into_iter()
                .filter_map(Password::found)
                .collect(),
            federated: federated_identity_credentials
                .map(|all| all.into_iter().filter_map(FederatedCredential::found).collect()),
            created: created_date_time,
            owners: owners.map(|owners| owners.into_iter().filter_map(|owner| owner.id).collect()),
        }
    }

    /// The app as it lies in the bin.
    pub(super) fn binned(self) -> Binned {
        let deleted = self.deleted_date_time;
        Binned { app: self.found(), deleted }
    }

    /// Only what tells whether it is one of ours.
    pub(super) fn glimpse(self) -> Glimpse {
        Glimpse {
            object_id: ObjectId::from_uuid(self.id),
            client_id: ClientId::from_uuid(self.app_id),
            display_name: self.display_name,
            unique_name: self.unique_name.map(UniqueName::found),
            tags: self.tags.unwrap_or_default(),
            created: self.created_date_time,
            audience: self.sign_in_audience.as_deref().and_then(audience),
            redirect_uris: self.web.and_then(|web| web.redirect_uris).unwrap_or_default(),
            credentials: self.password_credentials.map_or(0, |all| all.len())
                + self.key_credentials.map_or(0, |all| all.len()),
        }
    }
}

impl Password {
    /// A secret without a key id cannot be named, and so neither shown nor removed.
    fn found(self) -> Option<FoundSecret> {
        Some(FoundSecret {
            key_id: KeyId::from_uuid(self.key_id?),
            display_name: self.display_name,
            start: self.start_date_time,
            end: self.end_date_time,
        })
    }
}

fn audience(word: &str) -> Option<Audience> {
    [Audience::MyOrg, Audience::MultipleOrgs, Audience::MultipleOrgsAndPersonal, Audience::Personal]
        .into_iter()
        .find(|a| a.as_str() == word)
}

const ROLE: &str = "Role";
const SCOPE: &str = "Scope";

fn permissions(required: Vec<RequiredAccess>) -> BTreeSet<Permission> {
    let mut all = BTreeSet::new();
    for RequiredAccess { resource_app_id, resource_access } in required {
        let Some(resource) =
            resource_app_id.and_then(|id| Uuid::try_parse(&id).ok()).map(ResourceId::from_uuid)
        else {
            continue;
        };
        for ResourceAccess { id, r#type } in resource_access.unwrap_or_default() {
            let kind = match r#type.as_deref() {
                Some(ROLE) => PermissionKind::Application,
                Some(SCOPE) => PermissionKind::Delegated,
                Some(_) | None => continue,
            };
            if let Some(id) = id.map(PermissionId::from_uuid) {
                all.insert(Permission { resource, kind, id });
            }
        }
    }
    all
}

fn links(info: Info) -> Links {
    Links {
        marketing: info.marketing_url,
        privacy: info.privacy_statement_url,
        support: info.support_url,
        terms: info.terms_of_service_url,
    }
}

/// What we send of an app; absent members are left as they are.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AppBody {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) display_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sign_in_audience: Option<Audience>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) web: Option<WebBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) required_resource_access: Option<Vec<RequiredAccessBody>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) info: Option<InfoBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tags: Option<BTreeSet<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) unique_name: Option<UniqueName>,
}

/// `web`, of which we own one collection; it is replaced whole.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WebBody {
    redirect_uris: BTreeSet<RedirectUri>,
}

/// `requiredResourceAccess`, grouped by API and sorted, so that the same wish is the same text.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RequiredAccessBody {
    resource_app_id: ResourceId,
    resource_access: Vec<ResourceAccessBody>,
}

#[derive(Debug, Serialize)]
struct ResourceAccessBody {
    id: PermissionId,
    r#type: &'static str,
}

/// `info`; a `null` takes a link away.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct InfoBody {
    marketing_url: Option<String>,
    privacy_statement_url: Option<String>,
    support_url: Option<String>,
    terms_of_service_url: Option<String>,
}

impl From<&BTreeSet<RedirectUri>> for WebBody {
    fn from(uris: &BTreeSet<RedirectUri>) -> Self {
        Self { redirect_uris: uris.clone() }
    }
}

impl From<&Links> for InfoBody {
    fn from(Links { marketing, privacy, support, terms }: &Links) -> Self {
        Self {
            marketing_url: marketing.clone(),
            privacy_statement_url: privacy.clone(),
            support_url: support.clone(),
            terms_of_service_url: terms.clone(),
        }
    }
}

pub(super) fn required(permissions: &BTreeSet<Permission>) -> Vec<RequiredAccessBody> {
    let mut by_resource: BTreeMap<ResourceId, Vec<ResourceAccessBody>> = BTreeMap::new();
    for Permission { resource, kind, id } in permissions {
        let r#type = match kind {
            PermissionKind::Application => ROLE,
            PermissionKind::Delegated => SCOPE,
        };
        by_resource.entry(*resource).or_default().push(ResourceAccessBody { id: *id, r#type });
    }
    by_resource
        .into_iter()
        .map(|(resource_app_id, resource_access)| RequiredAccessBody {
            resource_app_id,
            resource_access,
        })
        .collect()
}

impl From<&Registration> for AppBody {
    fn from(wanted: &Registration) -> Self {
        let Registration { display_name, audience, redirect_uris, permissions, links, tags } =
            wanted;
        Self {
            display_name: Some(display_name.clone()),
            sign_in_audience: *audience,
            web: Some(redirect_uris.into()),
            required_resource_access: Some(required(permissions)),
            // An app without links is born without; saying so would only be noise.
            info: (*links != Links::default()).then(|| links.into()),
            tags: Some(tags.clone()),
            // An upsert has it in its address.
            unique_name: None,
        }
    }
}

/// The certificates of an app as they are sent back: to the letter, for a list that is sent replaces
/// the old one.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Keys {
    pub(super) key_credentials: Vec<serde_json::Value>,
}

/// A certificate that is new.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct KeyBody<'a> {
    pub(super) key_id: KeyId,
    pub(super) display_name: String,
    pub(super) start_date_time: String,
    pub(super) end_date_time: String,
    pub(super) r#type: &'a str,
    pub(super) usage: &'a str,
    /// The certificate (DER) in base64.
    pub(super) key: String,
}

/// The body of `addPassword`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AddPassword {
    pub(super) password_credential: PasswordBody,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PasswordBody {
    pub(super) display_name: String,
    /// In whole seconds: Graph knows no more than seven digits of one.
    pub(super) end_date_time: String,
}

/// An app, of which only the owners are asked for.
#[derive(Deserialize)]
pub(super) struct OwnersOf {
    id: Uuid,
    owners: Option<Vec<Owner>>,
}

impl OwnersOf {
    pub(super) fn found(self) -> (ObjectId<Application>, BTreeSet<Uuid>) {
        let Self { id, owners } = self;
        let owners = owners.unwrap_or_default().into_iter().filter_map(|owner| owner.id);
        (ObjectId::from_uuid(id), owners.collect())
    }
}

/// The body of a new link to an object.
#[derive(Debug, Serialize)]
pub(super) struct Reference {
    #[serde(rename = "@odata.id")]
    pub(super) id: String,
}

/// The body of `removePassword`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RemovePassword {
    pub(super) key_id: KeyId,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_is_read_however_sparse_it_is() {
        let sparse = r#"{"id":"0b6d0000-0000-4000-8000-000000000001","appId":"0b6d0000-0000-4000-8000-000000000002",
            "displayName":null,"signInAudience":"SomethingNew","web":null,"tags":null,"passwordCredentials":null,
            "requiredResourceAccess":[{"resourceAppId":"not a guid","resourceAccess":null}],"info":{"logoUrl":null},
            "extension_x":[1],"createdDateTime":"2026-01-01T00:00:00.1234567Z"}"#;
        let app = serde_json::from_str::<App>(sparse).unwrap().found();
        assert_eq!(app.registration.audience, None);
        assert!(app.secrets.is_empty() && app.registration.permissions.is_empty());
        assert_eq!(app.created.unwrap().to_string(), "2026-01-01T00:00:00.1234567Z");
        for missing in [r#"{"appId":"0b6d0000-0000-4000-8000-000000000002"}"#, "{}", "null"] {
            assert!(serde_json::from_str::<App>(missing).is_err(), "{missing}");
        }
    }

    #[test]
    fn what_is_sent_reads_back_as_what_was_wanted() {
        let permission = |resource: u128, kind, id: u128| Permission {
            resource: ResourceId::from_uuid(Uuid::from_u128(resource)),
            kind,
            id: PermissionId::from_uuid(Uuid::from_u128(id)),
        };
        let wanted = Registration {
            display_name: "Contoso".to_owned(),
            audience: Some(Audience::MultipleOrgs),
            redirect_uris: [RedirectUri::new("https://contoso.example/x")].into(),
            permissions: [
                permission(2, PermissionKind::Application, 9),
                permission(1, PermissionKind::Delegated, 8),
                permission(2, PermissionKind::Delegated, 7),
            ]
            .into(),
            links: Links { support: Some("https://s.example".to_owned()), ..Links::default() },
            tags: ["b".to_owned(), "a".to_owned()].into(),
        };
        let mut sent = serde_json::to_value(AppBody::from(&wanted)).unwrap();
        assert_eq!(sent["requiredResourceAccess"].as_array().unwrap().len(), 2);
        sent["id"] = "0b6d0000-0000-4000-8000-000000000001".into();
        sent["appId"] = "0b6d0000-0000-4000-8000-000000000002".into();
        let back = serde_json::from_value::<App>(sent).unwrap().found();
        assert_eq!(back.registration, wanted);
    }
}
