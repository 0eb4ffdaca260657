//! The calls to Azure Key Vault, by its official crate, over the one client of this process
//! (<https://learn.microsoft.com/en-us/rest/api/keyvault/secrets/>).

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use azure_core::{
    credentials::{AccessToken, TokenCredential, TokenRequestOptions},
    error::ErrorKind,
    http::{
        Context, Request, RequestContent,
        policies::{Policy, PolicyResult},
    },
};
use azure_security_keyvault_secrets::{
    SecretClient, SecretClientOptions,
    models::{
        DeletedSecretProperties, Secret as Answer, SecretAttributes, SecretClientGetSecretOptions,
        SecretClientUpdateSecretPropertiesOptions, SecretProperties, SetSecretParameters,
        UpdateSecretPropertiesParameters,
    },
};
use futures::TryStreamExt as _;
use jiff::Timestamp;
use url::Url;

use super::tags::Tags;
use crate::{
    failure::{Cause, Failure},
    http::{Network, Refusal, Service, failure_of},
    secret::Secret,
    vault::error::{Place, VaultError},
};

/// Where a key vault is, and how to get in.
#[derive(Clone)]
pub struct KeyVaultAccess {
    /// The one way out.
    pub network: Network,
    /// The vault's address.
    pub url: Url,
    /// Who asks.
    pub credential: Arc<dyn TokenCredential>,
    /// The scope of this cloud's key vaults; no token for any other is given away.
    pub scope: String,
    /// Where this cloud's Entra ID is.
    pub login: Url,
}

impl std::fmt::Debug for KeyVaultAccess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyVaultAccess").field("url", &self.url).finish_non_exhaustive()
    }
}

/// A key vault that can be called.
pub(super) struct Wire {
    client: SecretClient,
    url: Url,
}

/// A secret or a version of one, without its value.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) name: String,
    pub(super) version: Option<String>,
    pub(super) tags: Tags,
    pub(super) created: Timestamp,
    pub(super) updated: Timestamp,
    pub(super) enabled: bool,
}

/// A version's value and what is said of it.
#[derive(Debug)]
pub(super) struct Got {
    pub(super) item: Item,
    pub(super) value: Secret<String>,
}

/// A secret in the bin.
#[derive(Debug, Clone)]
pub(super) struct Binned {
    pub(super) name: String,
    pub(super) tags: Tags,
    /// When the key vault purges it by itself.
    pub(super) until: Option<Timestamp>,
}

/// How long a name that was just deleted or recovered may stay in between.
const SETTLES: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// How long a name that was deleted may not show among the deleted ones.
const UNSEEN: Duration = Duration::from_secs(5);

/// Whether something can still be recovered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purged {
    /// No more.
    Now,
    /// Whoever asks may not purge, or nobody may.
    Not {
        /// When it goes by itself, where the key vault says so.
        until: Option<Timestamp>,
    },
}

impl Wire {
    pub(super) fn new(access: &KeyVaultAccess) -> Result<Self, VaultError> {
        let KeyVaultAccess { network, url, credential, scope, login } = access;
        let mut client_options = network.client_options(Service::KeyVault, None, login);
        client_options.per_call_policies.push(Arc::new(SameOrigin(url.clone())));
        let options = SecretClientOptions {
            client_options,
            // Which token is given away, the credential below decides, also where a cloud of one's
            // own has no such names.
            verify_challenge_resource: Some(false),
            ..SecretClientOptions::default()
        };
        let credential = Arc::new(OnlyFor { inner: credential.clone(), scope: scope.clone() });
        let client =
            SecretClient::new(url.as_str(), credential, Some(options)).map_err(|error| {
                VaultError::Refused {
                    doing: "open",
                    place: Place::KeyVault(url.clone()),
                    failure: Box::new(failure_of(&error)),
                }
            })?;
        Ok(Self { client, url: url.clone() })
    }

    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    /// The key vault's name, as Azure CLI takes it.
    pub(super) fn vault_name(&self) -> String {
        let last = self.url.path_segments().and_then(|mut parts| parts.rfind(|p| !p.is_empty()));
        let host = self.url.host_str().and_then(|host| host.split('.').next());
        last.or(host).unwrap_or_default().to_owned()
    }

    /// Where a secret of this name is.
    pub(super) fn place(&self, name: &str) -> Place {
        let mut url = self.url.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(["secrets", name]);
        }
        Place::KeyVault(url)
    }

    fn refused(
        &self,
        doing: &'static str,
        name: &str,
    ) -> impl FnOnce(azure_core::Error) -> VaultError + use<> {
        let place =
            if name.is_empty() { Place::KeyVault(self.url.clone()) } else { self.place(name) };
        move |error| VaultError::Refused { doing, place, failure: Box::new(failure_of(&error)) }
    }

    /// Makes a new version. A name that was deleted is recovered first.
    pub(super) async fn set(
        &self,
        name: &str,
        value: &Secret<String>,
        tags: &Tags,
        expires: Option<Timestamp>,
    ) -> Result<Item, VaultError> {
        let started = tokio::time::Instant::now();
        loop {
            let error = match self.put(name, value, tags, expires).await? {
                Ok(item) => return Ok(item),
                Err(error) => error,
            };
            let code = code_of(&error);
            let settling = started.elapsed() < SETTLES;
            match code.as_deref() {
                Some("ObjectIsDeletedButRecoverable") if settling => self.recover(name).await?,
                Some("ObjectIsBeingDeleted" | "ObjectIsBeingRecovered") if settling => {}
                Some(_) | None => return Err(self.refused("write", name)(error)),
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// The same, but for a name that was deleted and may still come back: then nothing is written.
    pub(super) async fn set_unless_deleted(
        &self,
        name: &str,
        value: &Secret<String>,
        tags: &Tags,
    ) -> Result<Option<Item>, VaultError> {
        match self.put(name, value, tags, None).await? {
            Ok(item) => Ok(Some(item)),
            Err(error) => match code_of(&error).as_deref() {
                Some(
                    "ObjectIsDeletedButRecoverable"
                    | "ObjectIsBeingDeleted"
                    | "ObjectIsBeingRecovered",
                ) => Ok(None),
                Some(_) | None => Err(self.refused("write", name)(error)),
            },
        }
    }

    /// One try at a new version.
    async fn put(
        &self,
        name: &str,
        value: &Secret<String>,
        tags: &Tags,
        expires: Option<Timestamp>,
    ) -> Result<azure_core::Result<Item>, VaultError> {
        let parameters = SetSecretParameters {
            content_type: Some("text/plain".to_owned()),
            secret_attributes: expires.map(|at| SecretAttributes {
                enabled: Some(true),
                expires: azure_core::time::OffsetDateTime::from_unix_timestamp(at.as_second()).ok(),
                ..SecretAttributes::default()
            }),
            tags: Some(tags.clone()),
            value: Some(value.expose().clone()),
        };
        let content = RequestContent::try_from(parameters).map_err(self.refused("write", name))?;
        match self.client.set_secret(name, content, None).await {
            Ok(answer) => {
                let answer = answer.into_model().map_err(self.refused("write", name))?;
                self.got(name, answer).map(|got| Ok(got.item))
            }
            Err(error) => Ok(Err(error)),
        }
    }

    async fn recover(&self, name: &str) -> Result<(), VaultError> {
        match self.client.recover_deleted_secret(name, None).await {
            Ok(_) => Ok(()),
            // Somebody else did, or it is on its way; the next write shows.
            Err(error) if matches!(status_of(&error), Some(404 | 409)) => Ok(()),
            Err(error) => Err(self.refused("recover", name)(error)),
        }
    }

    /// Replaces the tags of the newest version.
    pub(super) async fn tag(&self, name: &str, tags: &Tags) -> Result<Item, VaultError> {
        let change = UpdateSecretPropertiesParameters {
            tags: Some(tags.clone()),
            ..UpdateSecretPropertiesParameters::default()
        };
        self.update(name, None, change).await
    }

    /// Makes a version unreadable: one version alone cannot be deleted.
    pub(super) async fn disable(&self, name: &str, version: &str) -> Result<(), VaultError> {
        let change = UpdateSecretPropertiesParameters {
            secret_attributes: Some(SecretAttributes {
                enabled: Some(false),
                ..SecretAttributes::default()
            }),
            ..UpdateSecretPropertiesParameters::default()
        };
        self.update(name, Some(version), change).await.map(|_| ())
    }

    async fn update(
        &self,
        name: &str,
        version: Option<&str>,
        change: UpdateSecretPropertiesParameters,
    ) -> Result<Item, VaultError> {
        let content = RequestContent::try_from(change).map_err(self.refused("change", name))?;
        let options = SecretClientUpdateSecretPropertiesOptions {
            secret_version: version.map(str::to_owned),
            ..SecretClientUpdateSecretPropertiesOptions::default()
        };
        let answer = self
            .client
            .update_secret_properties(name, content, Some(options))
            .await
            .and_then(azure_core::http::Response::into_model)
            .map_err(self.refused("change", name))?;
        self.got(name, answer).map(|got| got.item)
    }

    /// A version's value, the newest one's where none is named; nothing where there is none.
    pub(super) async fn get(
        &self,
        name: &str,
        version: Option<&str>,
    ) -> Result<Option<Got>, VaultError> {
        let options = SecretClientGetSecretOptions {
            secret_version: version.map(str::to_owned),
            ..SecretClientGetSecretOptions::default()
        };
        let answer = self
            .client
            .get_secret(name, Some(options))
            .await
            .and_then(azure_core::http::Response::into_model);
        match answer {
            Ok(answer) => self.got(name, answer).map(Some),
            Err(error) if status_of(&error) == Some(404) => Ok(None),
            Err(error) => Err(self.refused("read", name)(error)),
        }
    }

    /// Every secret of the vault, by its newest version.
    pub(super) async fn list(&self) -> Result<Vec<Item>, VaultError> {
        let refused = self.refused("list", "");
        let pages = match self.client.list_secret_properties(None) {
            Ok(pages) => pages,
            Err(error) => return Err(refused(error)),
        };
        let found: Vec<SecretProperties> = pages.try_collect().await.map_err(refused)?;
        found.into_iter().map(|secret| self.item(secret)).collect()
    }

    /// Every version of a secret.
    pub(super) async fn versions(&self, name: &str) -> Result<Vec<Item>, VaultError> {
        let refused = self.refused("list the versions of", name);
        let pages = match self.client.list_secret_properties_versions(name, None) {
            Ok(pages) => pages,
            Err(error) => return Err(refused(error)),
        };
        let found: Vec<SecretProperties> = match pages.try_collect().await {
            Ok(found) => found,
            Err(error) if status_of(&error) == Some(404) => Vec::new(),
            Err(error) => return Err(refused(error)),
        };
        found.into_iter().map(|secret| self.item(secret)).collect()
    }

    /// Deletes a secret with all its versions; it can be recovered for as long as the vault says.
    pub(super) async fn delete(&self, name: &str) -> Result<(), VaultError> {
        match self.client.delete_secret(name, None).await {
            Ok(_) => Ok(()),
            Err(error) if status_of(&error) == Some(404) => Ok(()),
            Err(error) => Err(self.refused("delete", name)(error)),
        }
    }

    /// What was deleted and can be recovered; nothing where one may not look.
    pub(super) async fn list_deleted(&self) -> Result<Option<Vec<Binned>>, VaultError> {
        let refused = self.refused("list what was deleted from", "");
        let pages = match self.client.list_deleted_secret_properties(None) {
            Ok(pages) => pages,
            Err(error) => return Err(refused(error)),
        };
        let found: Vec<DeletedSecretProperties> = match pages.try_collect().await {
            Ok(found) => found,
            Err(error) if status_of(&error) == Some(403) => return Ok(None),
            Err(error) => return Err(refused(error)),
        };
        let binned = |secret: DeletedSecretProperties| {
            let (name, _) = parts(&secret.id?)?;
            Some(Binned {
                name: name.to_ascii_lowercase(),
                tags: secret.tags.unwrap_or_default(),
                until: secret
                    .scheduled_purge_date
                    .and_then(|at| Timestamp::from_second(at.unix_timestamp()).ok()),
            })
        };
        Ok(Some(found.into_iter().filter_map(binned).collect()))
    }

    /// Purges what was just deleted, for as long as the key vault is still busy with deleting it;
    /// what may not be purged stays, and goes by itself.
    pub(super) async fn purge_deleted(&self, name: &str) {
        while let Err(error) = self.client.purge_deleted_secret(name, None).await {
            if !matches!(status_of(&error), Some(404 | 409)) {
                return;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Makes what was deleted unrecoverable, where that is allowed. A name that was just deleted is
    /// waited for.
    pub(super) async fn purge(&self, name: &str) -> Result<Purged, VaultError> {
        let started = tokio::time::Instant::now();
        loop {
            let until = match self.client.get_deleted_secret(name, None).await {
                Ok(answer) => {
                    let deleted = answer.into_model().map_err(self.refused("look for", name))?;
                    deleted
                        .scheduled_purge_date
                        .and_then(|at| Timestamp::from_second(at.unix_timestamp()).ok())
                }
                Err(error) => match status_of(&error) {
                    // Not there yet, or not any more: only the list of what lives can tell.
                    Some(404) if started.elapsed() > UNSEEN => return Ok(Purged::Now),
                    Some(404) => {
                        tokio::time::sleep(LOOK_AGAIN).await;
                        continue;
                    }
                    Some(403) => None,
                    Some(_) | None => return Err(self.refused("look for", name)(error)),
                },
            };
            let error = match self.client.purge_deleted_secret(name, None).await {
                Ok(_) => return Ok(Purged::Now),
                Err(error) => error,
            };
            match status_of(&error) {
                Some(404) => return Ok(Purged::Now),
                Some(403) => return Ok(Purged::Not { until }),
                Some(409) if started.elapsed() < SETTLES => {}
                Some(_) | None => return Err(self.refused("purge", name)(error)),
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    fn item(&self, secret: SecretProperties) -> Result<Item, VaultError> {
        let (id, attributes) = (secret.id.unwrap_or_default(), secret.attributes);
        let (name, version) = parts(&id).ok_or_else(|| self.garbled("", "an id without a name"))?;
        self.made(name, version, attributes, secret.tags)
    }

    fn got(&self, name: &str, answer: Answer) -> Result<Got, VaultError> {
        let id = answer.id.unwrap_or_default();
        let (found, version) =
            parts(&id).ok_or_else(|| self.garbled(name, "an id without a name"))?;
        // A value of another secret must never pass for this one's.
        if !found.eq_ignore_ascii_case(name) {
            return Err(self.garbled(name, "another secret than the one asked for"));
        }
        let item = self.made(found, version, answer.attributes, answer.tags)?;
        Ok(Got { item, value: Secret::new(answer.value.unwrap_or_default()) })
    }

    fn made(
        &self,
        name: String,
        version: Option<String>,
        attributes: Option<SecretAttributes>,
        tags: Option<Tags>,
    ) -> Result<Item, VaultError> {
        let attributes = attributes.unwrap_or_default();
        let time = |at: Option<azure_core::time::OffsetDateTime>| {
            Timestamp::from_second(at?.unix_timestamp()).ok()
        };
        let (Some(created), Some(updated)) = (time(attributes.created), time(attributes.updated))
        else {
            return Err(self.garbled(&name, "no times"));
        };
        Ok(Item {
            name: name.to_ascii_lowercase(),
            version,
            tags: tags.unwrap_or_default(),
            created,
            updated,
            enabled: attributes.enabled.unwrap_or(true),
        })
    }

    fn garbled(&self, name: &str, what: &str) -> VaultError {
        let failure = Failure::new(Cause::Garbled, format!("Key Vault answered with {what}"));
        let place =
            if name.is_empty() { Place::KeyVault(self.url.clone()) } else { self.place(name) };
        VaultError::Refused { doing: "read", place, failure: Box::new(failure) }
    }
}

/// Name and version from `…/secrets/NAME/VERSION`.
fn parts(id: &str) -> Option<(String, Option<String>)> {
    let url = Url::parse(id).ok()?;
    let (_, rest) = url.path().rsplit_once("/secrets/")?;
    let (name, version) = match rest.trim_end_matches('/').split_once('/') {
        Some((name, version)) => (name, Some(version.to_owned())),
        None => (rest.trim_end_matches('/'), None),
    };
    (!name.is_empty()).then(|| (name.to_owned(), version))
}

fn code_of(error: &azure_core::Error) -> Option<String> {
    Refusal::within(error)?.failure.code.clone()
}

fn status_of(error: &azure_core::Error) -> Option<u16> {
    Refusal::within(error)?.failure.status
}

/// Gives a token for one service and no other: which one is asked for, a key vault's own challenge
/// says, and a false one could ask for Graph's.
#[derive(Debug)]
struct OnlyFor {
    inner: Arc<dyn TokenCredential>,
    scope: String,
}

#[async_trait]
impl TokenCredential for OnlyFor {
    async fn get_token(
        &self,
        scopes: &[&str],
        options: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        let plain = |scope: &str| scope.replace("//.default", "/.default");
        if scopes.iter().any(|scope| plain(scope) != self.scope) || scopes.is_empty() {
            return Err(azure_core::Error::with_message(
                ErrorKind::Credential,
                format!(
                    "the key vault asks for a token for {}, which is not {}: none was given",
                    scopes.join(", "),
                    self.scope
                ),
            ));
        }
        self.inner.get_token(&[&self.scope], options).await
    }
}

/// Sends nothing to anybody but the vault: a next link may name whom it likes.
#[derive(Debug)]
struct SameOrigin(Url);

#[async_trait]
impl Policy for SameOrigin {
    async fn send(
        &self,
        ctx: &Context,
        request: &mut Request,
        next: &[Arc<dyn Policy>],
    ) -> PolicyResult {
        if request.url().origin() != self.0.origin() {
            let failure = Failure::new(
                Cause::Guard,
                "the key vault sent us elsewhere, which is never followed",
            );
            return Err(Refusal::from(failure).into());
        }
        next[0].send(ctx, request, &next[1..]).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_and_a_version_are_read_from_any_address() {
        let said = |id: &str| parts(id).map(|(name, version)| format!("{name} {version:?}"));
        for (id, is) in [
            ("https://a.vault.azure.net/secrets/x", Some("x None")),
            ("https://a.vault.azure.net/secrets/x/0123", Some("x Some(\"0123\")")),
            (
                "https://127.0.0.1:8443/keyvault/a/secrets/x/01?api-version=7.5",
                Some("x Some(\"01\")"),
            ),
            ("https://127.0.0.1:8443/keyvault/a/secrets/", None),
            ("https://a.vault.azure.net/keys/x", None),
            ("x", None),
        ] {
            assert_eq!(said(id).as_deref(), is, "{id}");
        }
    }
}
