//! The hand that writes into a key vault.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, atomic::Ordering},
};

use futures::StreamExt as _;
use jiff::Timestamp;

use super::{
    KeyVault, Known,
    lease::Lease,
    tags::{self, Bound, TenantPart, app_part},
};
use crate::{
    ids::{AppKey, Nonce, TenantKey},
    secret::Secret,
    vault::{
        credential::{CredentialKind, NewRefreshToken},
        error::{Place, VaultError},
        record::{Contradiction, Record},
        tenant::TenantSeen,
    },
};

/// Apps that are written side by side when a run remembers what it saw.
const WRITERS: usize = 16;

/// The right to write, until it is dropped.
pub(in crate::vault) struct Held {
    pub(super) vault: Arc<KeyVault>,
    lease: Lease,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.vault.alone.store(false, Ordering::Release);
    }
}

/// What is to become of the values, where a record is written.
pub(super) enum Values<'a> {
    /// They stay.
    Kept,
    /// One is added, or takes the place of the one before it.
    Set(&'a Nonce, &'a Secret<String>),
}

impl Held {
    pub(super) fn new(vault: Arc<KeyVault>, lease: Lease) -> Self {
        Self { vault, lease }
    }

    pub(super) fn must_stand(&self) -> Result<(), VaultError> {
        if self.lease.stands() {
            return Ok(());
        }
        Err(VaultError::LeaseLost { place: Place::KeyVault(self.vault.url().clone()) })
    }

    /// Writes a record as a whole, the values beside it kept.
    pub(in crate::vault) async fn write_record(&self, record: &Record) -> Result<(), VaultError> {
        let _turn = self.vault.turn(&record.app).await;
        let old = self.vault.app(&record.app).await?;
        let held = old.as_ref().map(|old| old.record.held()).unwrap_or_default();
        self.save(old, record, &held, Values::Kept).await
    }

    /// Changes a record that is there.
    pub(in crate::vault) async fn change(
        &self,
        app: &AppKey,
        change: impl FnOnce(&mut Record),
    ) -> Result<(Record, bool), VaultError> {
        let _turn = self.vault.turn(app).await;
        let old = self.vault.must(app).await?;
        let mut new = old.record.clone();
        change(&mut new);
        if new == old.record {
            return Ok((new, false));
        }
        let held = old.record.held();
        self.save(Some(old), &new, &held, Values::Kept).await?;
        Ok((new, true))
    }

    /// Writes a record and a value in one request, and reads the value back where that is allowed.
    pub(in crate::vault) async fn store_value(
        &self,
        record: &Record,
        nonce: &Nonce,
        value: &Secret<String>,
    ) -> Result<(), VaultError> {
        let _turn = self.vault.turn(&record.app).await;
        let old = self.vault.app(&record.app).await?;
        let mut held = old.as_ref().map(|old| old.record.held()).unwrap_or_default();
        held.insert(nonce.clone());
        self.save(old, record, &held, Values::Set(nonce, value)).await?;
        self.read_back(&record.app, nonce, value).await
    }

    /// Puts a new refresh token in the place of the tenant's old one, whose version stays behind.
    pub(in crate::vault) async fn keep_refresh_token(
        &self,
        app: &AppKey,
        new: NewRefreshToken,
    ) -> Result<Nonce, VaultError> {
        let _turn = self.vault.turn(app).await;
        let old = self.vault.must(app).await?;
        let value = new.value.clone();
        let mut record = old.record.clone();
        let mut held = record.held();
        let (nonce, gone) = record.exchange_token(new).map_err(|why| contradicts(app, why))?;
        held.retain(|nonce| Some(nonce) != gone.as_ref());
        held.insert(nonce.clone());
        self.save(Some(old), &record, &held, Values::Set(&nonce, &value)).await?;
        self.read_back(app, &nonce, &value).await?;
        Ok(nonce)
    }

    async fn read_back(
        &self,
        app: &AppKey,
        nonce: &Nonce,
        value: &Secret<String>,
    ) -> Result<(), VaultError> {
        match self.vault.value(app, nonce).await {
            Ok(back) if *back.expose() == *value.expose() => Ok(()),
            // Who may write and not read has to believe the answer.
            Err(VaultError::Key(_)) => Ok(()),
            Ok(_) => Err(VaultError::ReadBack {
                place: self.vault.wire.place(&self.vault.names.app(app)),
            }),
            Err(error) => Err(error),
        }
    }

    /// Drops a tenant's refresh token, if there is one.
    pub(in crate::vault) async fn forget_refresh_token(
        &self,
        app: &AppKey,
        tenant: &TenantKey,
    ) -> Result<bool, VaultError> {
        let _turn = self.vault.turn(app).await;
        let old = self.vault.must(app).await?;
        let mut record = old.record.clone();
        let Some(gone) = record.forget_token(tenant) else { return Ok(false) };
        let mut held = old.record.held();
        held.remove(&gone);
        self.save(Some(old), &record, &held, Values::Kept).await?;
        Ok(true)
    }

    /// Writes a record and drops the values of which it no longer speaks.
    pub(in crate::vault) async fn drop_values(&self, record: &Record) -> Result<(), VaultError> {
        let _turn = self.vault.turn(&record.app).await;
        let old = self.vault.must(&record.app).await?;
        let before = old.record.held();
        let held: BTreeSet<Nonce> = before.intersection(&record.held()).cloned().collect();
        self.save(Some(old), record, &held, Values::Kept).await?;
        if held.len() < before.len() {
            let labels = held.iter().filter_map(|nonce| tags::label(record, nonce)).collect();
            self.silence(&self.vault.names.app(&record.app), &labels).await?;
        }
        Ok(())
    }

    /// Makes every version unreadable that holds another value than these.
    async fn silence(&self, name: &str, labels: &BTreeSet<String>) -> Result<(), VaultError> {
        for version in self.vault.wire.versions(name).await? {
            let gone = version.tags.get("label").is_some_and(|label| !labels.contains(label));
            if let (true, true, Some(id)) = (gone, version.enabled, &version.version) {
                self.vault.wire.disable(name, id).await?;
            }
        }
        Ok(())
    }

    /// Remembers what a run saw of many tenants; says how many apps changed.
    pub(in crate::vault) async fn remember(
        &self,
        seen: &BTreeMap<AppKey, Vec<TenantSeen>>,
        at: Timestamp,
    ) -> Result<usize, VaultError> {
        let work = futures::stream::iter(seen).map(|(app, tenants)| async move {
            // An app that the vault does not know has nothing to be compared with later.
            if self.vault.app(app).await?.is_none() {
                return Ok(false);
            }
            let mut why = None;
            let (_, changed) = self
                .change(app, |record| {
                    let before = record.clone();
                    for tenant in tenants {
                        if let Err(error) = record.remember(tenant, at) {
                            why = Some(error);
                            *record = before;
                            return;
                        }
                    }
                })
                .await?;
            match why {
                Some(why) => Err(contradicts(app, why)),
                None => Ok(changed),
            }
        });
        // The others are remembered also where one is not.
        let done: Vec<Result<bool, VaultError>> = work.buffer_unordered(WRITERS).collect().await;
        done.into_iter().try_fold(0, |sum, one| one.map(|changed| sum + usize::from(changed)))
    }

    /// Writes what differs, an app's secret before its tenants'. `held` are the values that will be
    /// there.
    pub(super) async fn save(
        &self,
        old: Option<Known>,
        new: &Record,
        held: &BTreeSet<Nonce>,
        values: Values<'_>,
    ) -> Result<(), VaultError> {
        self.must_stand()?;
        let app = &new.app;
        new.check(held.iter()).map_err(|why| contradicts(app, why))?;
        let added = match values {
            Values::Kept => None,
            Values::Set(nonce, value) => Some((nonce, value)),
        };
        if let Some(old) = &old {
            for nonce in held.iter().filter(|nonce| added.is_none_or(|(new, _)| new != *nonce)) {
                if tags::label(&old.record, nonce) != tags::label(new, nonce) {
                    return Err(contradicts(app, Contradiction::ValuesOfAnother));
                }
            }
        }
        let labels: BTreeSet<String> =
            held.iter().filter_map(|nonce| tags::label(new, nonce)).collect();
        let mut now = old.clone().unwrap_or_else(|| Known {
            record: app_part(new),
            value: None,
            tenants: BTreeMap::new(),
        });

        let (part, name) = (app_part(new), self.vault.names.app(app));
        let of_app = added
            .filter(|(nonce, _)| new.credential(nonce).is_some_and(|one| one.kind.is_of_app()));
        let there = old
            .as_ref()
            .map(|old| Secreted { same: app_part(&old.record) == part, value: old.value.clone() });
        now.value = self.put(&name, &part, of_app, new, there, &labels, app.as_str()).await?;
        let mut written = part;
        written.tenants.clone_from(&now.record.tenants);
        let tokens = now.record.credentials.iter();
        let tokens = tokens.filter(|one| one.kind == CredentialKind::RefreshToken);
        written.credentials.extend(tokens.cloned().collect::<Vec<_>>());
        now.record = written;
        self.vault.known().insert(app.clone(), now.clone());

        let all: BTreeSet<&TenantKey> =
            new.tenants.keys().chain(now.record.tenants.keys()).collect();
        let all: Vec<TenantKey> = all.into_iter().cloned().collect();
        for tenant in &all {
            let before = TenantPart::of(&now.record, tenant);
            let name = self.vault.names.tenant(app, tenant);
            let Some(part) = TenantPart::of(new, tenant) else {
                self.vault.wire.delete(&name).await?;
                now.tenants.remove(tenant);
                now.record.tenants.remove(tenant);
                now.record.forget_token(tenant);
                self.vault.known().insert(app.clone(), now.clone());
                continue;
            };
            let of_tenant = added.filter(|(nonce, _)| {
                part.token.as_ref().is_some_and(|token| token.nonce == **nonce)
            });
            if before.as_ref() == Some(&part) && of_tenant.is_none() {
                continue;
            }
            let there = before.as_ref().map(|_| Secreted {
                same: false,
                value: now.tenants.get(tenant).cloned().flatten(),
            });
            let what = tenant.as_str();
            let value = self.put(&name, &part, of_tenant, new, there, &labels, what).await?;
            now.tenants.insert(tenant.clone(), value);
            now.record.forget_token(tenant);
            now.record.credentials.extend(part.token);
            now.record.tenants.insert(tenant.clone(), part.record);
            self.vault.known().insert(app.clone(), now.clone());
        }
        // In the order of the record that was given.
        now.record = new.clone();
        self.vault.known().insert(app.clone(), now);
        Ok(())
    }

    /// Brings one secret up to date; gives back what its newest version has then.
    #[expect(clippy::too_many_arguments, reason = "one place decides between four requests")]
    async fn put<T: serde::Serialize>(
        &self,
        name: &str,
        part: &T,
        value: Option<(&Nonce, &Secret<String>)>,
        record: &Record,
        there: Option<Secreted>,
        labels: &BTreeSet<String>,
        what: &str,
    ) -> Result<Option<Bound>, VaultError> {
        let wire = &self.vault.wire;
        let tags = |value: Option<&Bound>| {
            tags::write(self.vault.id, part, value).map_err(|length| VaultError::TooLong {
                what: what.to_owned(),
                length,
                most: tags::MOST,
                place: wire.place(name),
            })
        };
        if let Some((nonce, value)) = value {
            let end = record.credential(nonce).and_then(|credential| credential.end);
            let bound =
                tags::label(record, nonce).map(|label| Bound::to(self.vault.id, label, value));
            wire.set(name, value, &tags(bound.as_ref())?, end).await?;
            return Ok(bound);
        }
        match there {
            Some(Secreted { same: true, value }) => Ok(value),
            Some(Secreted { same: false, value }) => {
                let stays = value.as_ref().is_none_or(|value| labels.contains(&value.label));
                if stays {
                    let value = self.bound(name, value).await;
                    wire.tag(name, &tags(value.as_ref())?).await?;
                    return Ok(value);
                }
                // The newest version holds a value of which nothing is to be left.
                wire.set(name, &no_value(), &tags(None)?, None).await?;
                self.silence(name, labels).await?;
                Ok(None)
            }
            None => {
                wire.set(name, &no_value(), &tags(None)?, None).await?;
                Ok(None)
            }
        }
    }

    /// The same, bound, where it was written before values were and can be read here.
    async fn bound(&self, name: &str, value: Option<Bound>) -> Option<Bound> {
        let value = value?;
        if value.is_bound() {
            return Some(value);
        }
        match self.vault.wire.get(name, None).await {
            Ok(Some(got)) if Bound::read(&got.item.tags).as_ref() == Some(&value) => {
                Some(Bound::to(self.vault.id, value.label, &got.value))
            }
            // Who may not read it leaves it as it is to the next one who may.
            Ok(Some(_) | None) | Err(_) => Some(value),
        }
    }
}

/// A secret that is there.
struct Secreted {
    /// Whether its tags say already what they shall.
    same: bool,
    /// Which value its newest version has.
    value: Option<Bound>,
}

fn no_value() -> Secret<String> {
    Secret::new("No value is kept here now.".to_owned())
}

fn contradicts(app: &AppKey, why: Contradiction) -> VaultError {
    VaultError::Contradicts { app: app.clone(), why }
}
