//! The vault in an Azure Key Vault: the same promises as a folder's, kept by other means.
//!
//! Values are versions of secrets, and what is said of them stands in tags (see [`tags`]). Key Vault
//! encrypts and decides who reads, so there is no key of ours. It has no locks: see [`lease`].

use std::{
    collections::{BTreeMap, BTreeSet, hash_map::DefaultHasher},
    hash::{Hash as _, Hasher as _},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use futures::StreamExt as _;
use jiff::Timestamp;
use url::Url;
use uuid::Uuid;

mod lease;
mod tags;
#[cfg(test)]
mod tests;
mod wire;

pub use wire::KeyVaultAccess;

use self::{
    lease::Lease,
    tags::{Name, Names, TenantPart, app_part},
    wire::{Item, Wire},
};
use crate::{
    failure::Cause,
    ids::{AppKey, FleetName, Nonce, TenantKey, VaultId},
    secret::Secret,
    vault::{
        audit::AuditEntry,
        error::{Damage, KeyOrigin, KeyTrouble, Place, VaultError},
        health::Health,
        keys::KeyState,
        lock::Holder,
        record::{Contradiction, CredentialKind, NewRefreshToken, Record, Records},
        tenant::TenantSeen,
    },
};

/// Apps that are written side by side when a run remembers what it saw.
const WRITERS: usize = 16;

/// A fleet's key vault, opened.
pub(super) struct KeyVault {
    wire: Arc<Wire>,
    names: Names,
    pub(super) id: VaultId,
    /// Whether values can be read.
    pub(super) key: KeyState,
    /// What the last listing held, and what was written since.
    known: Mutex<BTreeMap<AppKey, Known>>,
    /// Whether nobody else writes, so that what is known is all there is.
    alone: AtomicBool,
    /// Whoever changes an app's secrets holds its turn from reading to writing.
    turns: [tokio::sync::Mutex<()>; 64],
}

/// The right to write, until it is dropped.
pub(super) struct Held {
    vault: Arc<KeyVault>,
    lease: Lease,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.vault.alone.store(false, Ordering::Release);
    }
}

/// An app as its secrets tell it.
#[derive(Debug, Clone)]
struct Known {
    record: Record,
    /// Whose value the newest version of the app's secret has.
    label: Option<String>,
    /// The same of each tenant's secret.
    tenants: BTreeMap<TenantKey, Option<String>>,
}

impl KeyVault {
    /// Opens what is there.
    pub(super) async fn open(
        access: &KeyVaultAccess,
        fleet: &FleetName,
    ) -> Result<Self, VaultError> {
        let wire = Arc::new(Wire::new(access)?);
        let names = Names::of(fleet);
        let place = wire.place(names.head());
        let (tags, key) = match wire.get(names.head(), None).await {
            Ok(Some(got)) => (got.item.tags, KeyState::Ready(KeyOrigin::KeyVault)),
            Ok(None) => return Err(nothing_there(&wire, &names).await),
            Err(error) => match not_allowed(wire.url(), &error) {
                // Whoever may read no value may still read tags.
                Some(trouble) => {
                    let versions = wire.versions(names.head()).await?;
                    let newest = versions.into_iter().max_by_key(|version| version.created);
                    let Some(newest) = newest else {
                        return Err(nothing_there(&wire, &names).await);
                    };
                    (newest.tags, KeyState::Unreadable(trouble))
                }
                None => return Err(error),
            },
        };
        let (id, found) = tags::head(&tags).map_err(|why| damaged(place, why))?;
        if found != fleet.as_str() {
            return Err(VaultError::OtherFleet {
                place: Place::KeyVault(wire.url().clone()),
                found,
                wanted: fleet.clone(),
            });
        }
        Ok(Self {
            wire,
            names,
            id,
            key,
            known: Mutex::default(),
            alone: AtomicBool::new(false),
            turns: std::array::from_fn(|_| tokio::sync::Mutex::default()),
        })
    }

    /// Makes one where there is none.
    pub(super) async fn make(
        access: &KeyVaultAccess,
        fleet: &FleetName,
        id: Option<VaultId>,
    ) -> Result<Self, VaultError> {
        let wire = Arc::new(Wire::new(access)?);
        let names = Names::of(fleet);
        let exists = || VaultError::Exists { place: Place::KeyVault(wire.url().clone()) };
        // Whoever makes the same at the same time: the first one does, the others find it there.
        let lease = Lease::claim(&wire, &names, "vault init").await?;
        loop {
            let listed = wire.list().await?;
            if listed.iter().any(|item| item.name == names.head()) {
                return Err(exists());
            }
            let records = apps(&names, &listed);
            if records > 0 {
                return Err(headless(&wire, &names, records));
            }
            match lease.before(&names, &listed).await {
                None => break,
                Some(first) => lease.outlast(&first).await?,
            }
        }
        let id = id.unwrap_or_else(|| VaultId::from_uuid(Uuid::new_v4()));
        let words = format!("The vault of tenantry for fleet {fleet}. What it is, its tags say.");
        wire.set(names.head(), &Secret::new(words), &tags::of_head(id, fleet), None).await?;
        drop(lease);
        Self::open(access, fleet).await
    }

    pub(super) fn url(&self) -> &Url {
        self.wire.url()
    }

    /// Every record, and every secret that is not what a vault writes.
    pub(super) async fn survey(&self) -> Result<(Records, Vec<Damage>), VaultError> {
        if self.alone.load(Ordering::Acquire) {
            let known = self.known().clone();
            let records = known.into_iter().map(|(app, known)| (app, known.record)).collect();
            return Ok((records, Vec::new()));
        }
        let listed = self.wire.list().await?;
        Ok(self.assemble(&listed))
    }

    /// Keeps what a listing says.
    fn assemble(&self, listed: &[Item]) -> (Records, Vec<Damage>) {
        let (mut apps, mut damages) = (BTreeMap::<AppKey, Known>::new(), Vec::new());
        let mut broken = |item: &Item, why: String| {
            damages.push(Damage { place: self.wire.place(&item.name), why });
        };
        let mut of_tenants = Vec::new();
        for item in listed {
            match self.names.read(&item.name) {
                Some(Name::App(app)) => match tags::read::<Record>(self.id, &item.tags) {
                    Ok((record, label)) if record.app == app => {
                        apps.insert(app, Known { record, label, tenants: BTreeMap::new() });
                    }
                    Ok((record, _)) => {
                        broken(
                            item,
                            format!("it is the secret of app {}, under another name", record.app),
                        );
                    }
                    Err(why) => broken(item, why),
                },
                Some(Name::Tenant(app)) => of_tenants.push((app, item)),
                Some(Name::Head | Name::Lease | Name::Audit) | None => {}
            }
        }
        for (app, item) in of_tenants {
            match (tags::read::<TenantPart>(self.id, &item.tags), apps.get_mut(&app)) {
                (Ok((part, label)), Some(known)) => {
                    if self.names.tenant(&app, &part.tenant) != item.name {
                        broken(
                            item,
                            format!(
                                "it is the secret of tenant {}, under another name",
                                part.tenant
                            ),
                        );
                        continue;
                    }
                    known.tenants.insert(part.tenant.clone(), label);
                    known.record.credentials.extend(part.token);
                    known.record.tenants.insert(part.tenant, part.record);
                }
                // Its app's secret was deleted, or is said to be broken already.
                (Ok(_), None) => {}
                (Err(why), _) => broken(item, why),
            }
        }
        apps.retain(|app, known| match known.record.check(known.record.held().iter()) {
            Ok(()) => true,
            Err(why) => {
                let place = self.wire.place(&self.names.app(app));
                damages.push(Damage { place, why: why.to_string() });
                false
            }
        });
        damages.sort_by(|one, other| one.place.cmp(&other.place));
        let records = apps.iter().map(|(app, known)| (app.clone(), known.record.clone())).collect();
        *self.known() = apps;
        (records, damages)
    }

    pub(super) async fn record(&self, app: &AppKey) -> Result<Option<Record>, VaultError> {
        Ok(self.app(app).await?.map(|known| known.record))
    }

    async fn app(&self, app: &AppKey) -> Result<Option<Known>, VaultError> {
        if let Some(known) = self.known().get(app) {
            return Ok(Some(known.clone()));
        }
        if self.alone.load(Ordering::Acquire) {
            return Ok(None);
        }
        let (_, damages) = self.survey().await?;
        let own = self.wire.place(&self.names.app(app));
        match damages.into_iter().find(|damage| damage.place == own) {
            Some(damage) => Err(VaultError::Damaged(vec![damage])),
            None => Ok(self.known().get(app).cloned()),
        }
    }

    async fn must(&self, app: &AppKey) -> Result<Known, VaultError> {
        self.app(app).await?.ok_or_else(|| VaultError::NoRecord { app: app.clone() })
    }

    /// The value of one credential, after checking that it is the one that the record speaks of.
    pub(super) async fn value(
        &self,
        app: &AppKey,
        nonce: &Nonce,
    ) -> Result<Secret<String>, VaultError> {
        let record = self.must(app).await?.record;
        let held = record.credential(nonce).filter(|credential| credential.state.has_value());
        let (Some(credential), Some(label)) = (held, tags::label(&record, nonce)) else {
            return Err(VaultError::NoValue { app: app.clone(), nonce: nonce.clone() });
        };
        let name = match (&credential.kind, &credential.tenant) {
            (CredentialKind::RefreshToken, Some(tenant)) => self.names.tenant(app, tenant),
            (CredentialKind::RefreshToken, None) | (CredentialKind::Secret, _) => {
                self.names.app(app)
            }
        };
        self.version(&name, &label).await
    }

    /// The value of the version of that label: the newest as a rule, else one before it.
    async fn version(&self, name: &str, label: &str) -> Result<Secret<String>, VaultError> {
        let opened = |error: VaultError| match not_allowed(self.wire.url(), &error) {
            Some(trouble) => VaultError::Key(trouble),
            None => error,
        };
        let is_it = |item: &Item| item.tags.get("label").is_some_and(|found| found == label);
        if let Some(got) = self.wire.get(name, None).await.map_err(opened)?
            && is_it(&got.item)
        {
            return Ok(got.value);
        }
        let older =
            self.wire.versions(name).await?.into_iter().find(|item| item.enabled && is_it(item));
        let version = older.and_then(|item| item.version);
        let got = match &version {
            Some(version) => self.wire.get(name, Some(version)).await.map_err(opened)?,
            None => None,
        };
        match got.filter(|got| is_it(&got.item)) {
            Some(got) => Ok(got.value),
            None => Err(damaged(self.wire.place(name), "none of its versions holds the value")),
        }
    }

    /// Takes the right to write, or says who has it. Whoever waits stands in line.
    pub(super) async fn lock(
        self: &Arc<Self>,
        command: &str,
        waiting: Option<impl FnOnce(Option<&Holder>)>,
    ) -> Result<Option<Held>, VaultError> {
        let lease = Lease::claim(&self.wire, &self.names, command).await?;
        let mut waiting = waiting;
        let waits = waiting.is_some();
        loop {
            let listed = self.wire.list().await?;
            let Some(first) = lease.before(&self.names, &listed).await else {
                // What was listed under the lock is true for as long as it is held; what is broken
                // in it is found when it is asked for.
                let (_, damages) = self.assemble(&listed);
                self.alone.store(damages.is_empty(), Ordering::Release);
                return Ok(Some(Held { vault: self.clone(), lease }));
            };
            if !waits {
                return Ok(None);
            }
            if let Some(waiting) = waiting.take() {
                waiting(Some(&lease::told(&first)));
            }
            lease.outlast(&first).await?;
        }
    }

    /// Whether a secret can be written: the first one's tags are, with what they say already.
    pub(super) async fn check_writable(&self, fleet: &FleetName) -> Result<(), VaultError> {
        let head = tags::of_head(self.id, fleet);
        self.wire.tag(self.names.head(), &head).await.map(|_| ())
    }

    /// Adds a line to the audit.
    pub(super) async fn audit(&self, entry: &AuditEntry) -> Result<(), VaultError> {
        let line = serde_json::to_string(entry).expect("an entry is plain text");
        let none = tags::Tags::new();
        self.wire.set(&self.names.audit(), &Secret::new(line), &none, None).await.map(|_| ())
    }

    /// What `doctor` says.
    pub(super) async fn health(&self, fleet: &FleetName) -> Result<Health, VaultError> {
        let listed = self.wire.list().await?;
        let holder = lease::holder(&self.names, &listed, Timestamp::now());
        let (records, damaged) = self.assemble(&listed);
        Ok(Health {
            place: Place::KeyVault(self.wire.url().clone()),
            id: self.id,
            recipients: Vec::new(),
            writable: self.check_writable(fleet).await,
            key: self.key.clone(),
            records: records.len(),
            values: records.values().map(|record| record.held().len()).sum(),
            damaged,
            holder,
            open_to_others: Vec::new(),
        })
    }

    fn known(&self) -> std::sync::MutexGuard<'_, BTreeMap<AppKey, Known>> {
        // What it guards is replaced as a whole: a panic elsewhere does not spoil it.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn turn(&self, app: &AppKey) -> tokio::sync::MutexGuard<'_, ()> {
        let mut hasher = DefaultHasher::new();
        app.hash(&mut hasher);
        let turn = usize::try_from(hasher.finish() % self.turns.len() as u64).unwrap_or(0);
        self.turns[turn].lock().await
    }
}

/// What is to become of the values, where a record is written.
enum Values<'a> {
    /// They stay.
    Kept,
    /// One is added, or takes the place of the one before it.
    Set(&'a Nonce, &'a Secret<String>),
}

impl Held {
    fn must_stand(&self) -> Result<(), VaultError> {
        if self.lease.stands() {
            return Ok(());
        }
        Err(VaultError::LeaseLost { place: Place::KeyVault(self.vault.url().clone()) })
    }

    /// Writes a record as a whole, the values beside it kept.
    pub(super) async fn write_record(&self, record: &Record) -> Result<(), VaultError> {
        let _turn = self.vault.turn(&record.app).await;
        let old = self.vault.app(&record.app).await?;
        let held = old.as_ref().map(|old| old.record.held()).unwrap_or_default();
        self.save(old, record, &held, Values::Kept).await
    }

    /// Changes a record that is there.
    pub(super) async fn change(
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
    pub(super) async fn store_value(
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
    pub(super) async fn keep_refresh_token(
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
    pub(super) async fn forget_refresh_token(
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
    pub(super) async fn drop_values(&self, record: &Record) -> Result<(), VaultError> {
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
    pub(super) async fn remember(
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
    async fn save(
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
            label: None,
            tenants: BTreeMap::new(),
        });

        let (part, name) = (app_part(new), self.vault.names.app(app));
        let of_app = added.filter(|(nonce, _)| {
            new.credential(nonce).is_some_and(|one| one.kind == CredentialKind::Secret)
        });
        let there = old
            .as_ref()
            .map(|old| Secreted { same: app_part(&old.record) == part, label: old.label.clone() });
        now.label = self.put(&name, &part, of_app, new, there, &labels, app.as_str()).await?;
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
                label: now.tenants.get(tenant).cloned().flatten(),
            });
            let what = tenant.as_str();
            let label = self.put(&name, &part, of_tenant, new, there, &labels, what).await?;
            now.tenants.insert(tenant.clone(), label);
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

    /// Brings one secret up to date; gives back whose value its newest version has then.
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
    ) -> Result<Option<String>, VaultError> {
        let wire = &self.vault.wire;
        let tags = |label: Option<&str>| {
            tags::write(self.vault.id, part, label).map_err(|length| VaultError::TooLong {
                what: what.to_owned(),
                length,
                most: tags::MOST,
                place: wire.place(name),
            })
        };
        if let Some((nonce, value)) = value {
            let label = tags::label(record, nonce);
            let end = record.credential(nonce).and_then(|credential| credential.end);
            wire.set(name, value, &tags(label.as_deref())?, end).await?;
            return Ok(label);
        }
        match there {
            Some(Secreted { same: true, label }) => Ok(label),
            Some(Secreted { same: false, label }) => {
                let stays = label.as_ref().is_none_or(|label| labels.contains(label));
                if stays {
                    wire.tag(name, &tags(label.as_deref())?).await?;
                    return Ok(label);
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
}

/// A secret that is there.
struct Secreted {
    /// Whether its tags say already what they shall.
    same: bool,
    /// Whose value its newest version has.
    label: Option<String>,
}

fn no_value() -> Secret<String> {
    Secret::new("No value is kept here now.".to_owned())
}

fn contradicts(app: &AppKey, why: Contradiction) -> VaultError {
    VaultError::Contradicts { app: app.clone(), why }
}

fn damaged(place: Place, why: impl Into<String>) -> VaultError {
    VaultError::Damaged(vec![Damage { place, why: why.into() }])
}

/// That values may not be read, where an error says so.
fn not_allowed(url: &Url, error: &VaultError) -> Option<KeyTrouble> {
    match error {
        VaultError::Refused { failure, .. }
            if failure.cause == Cause::Privilege && failure.status == Some(403) =>
        {
            Some(KeyTrouble::NotAllowed { vault: url.clone(), why: failure.line() })
        }
        _ => None,
    }
}

fn apps(names: &Names, listed: &[Item]) -> usize {
    listed.iter().filter(|item| matches!(names.read(&item.name), Some(Name::App(_)))).count()
}

fn headless(wire: &Wire, names: &Names, records: usize) -> VaultError {
    let head = format!("secret {}", names.head());
    VaultError::Headless { place: Place::KeyVault(wire.url().clone()), records, head }
}

/// There is no vault, or only what is left of one.
async fn nothing_there(wire: &Wire, names: &Names) -> VaultError {
    match wire.list().await {
        Ok(listed) => match apps(names, &listed) {
            0 => VaultError::Missing { place: Place::KeyVault(wire.url().clone()) },
            records => headless(wire, names, records),
        },
        Err(error) => error,
    }
}
