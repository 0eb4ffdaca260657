//! The vault in an Azure Key Vault: the same promises as a folder's, kept by other means.
//!
//! Values are versions of secrets, and what is said of them stands in tags (see [`tags`]). Key Vault
//! encrypts and decides who reads, so there is no key of ours. It has no locks: see [`lease`].

use std::{
    collections::{BTreeMap, hash_map::DefaultHasher},
    hash::{Hash as _, Hasher as _},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use jiff::Timestamp;
use url::Url;
use uuid::Uuid;

mod erase;
mod hand;
mod lease;
mod tags;
#[cfg(test)]
mod tests;
mod wire;

pub(super) use hand::Held;
pub use wire::KeyVaultAccess;

use self::{
    lease::Lease,
    tags::{Bound, Name, Names, TenantPart},
    wire::{Binned, Got, Item, Wire},
};
use crate::{
    failure::Cause,
    ids::{AppKey, FleetName, Nonce, TenantKey, VaultId},
    secret::Secret,
    shard::Shard,
    vault::{
        audit::AuditEntry,
        credential::CredentialKind,
        error::{Damage, KeyOrigin, KeyTrouble, Place, VaultError},
        health::Health,
        keys::KeyState,
        lock::Holder,
        record::{Record, Records},
    },
};

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

/// An app as its secrets tell it.
#[derive(Debug, Clone)]
struct Known {
    record: Record,
    /// Which value the newest version of the app's secret has.
    value: Option<Bound>,
    /// The same of each tenant's secret.
    tenants: BTreeMap<TenantKey, Option<Bound>>,
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
            // Which vault it is, the tags of a disabled secret say, too.
            Err(error) if is_disabled(&error) => {
                let newest = newest(&wire, &names).await?;
                (newest.tags, KeyState::Ready(KeyOrigin::KeyVault))
            }
            Err(error) => match not_allowed(wire.url(), &error) {
                // Whoever may read no value may still read tags.
                Some(trouble) => {
                    let newest = newest(&wire, &names).await?;
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
        let lease = Lease::claim(&wire, &names, "vault init", None).await?;
        loop {
            let listed = wire.list().await?;
            if listed.iter().any(|item| item.name == names.head()) {
                return Err(exists());
            }
            let records = apps(&names, &listed);
            if records > 0 {
                return Err(left_over(&wire, &names, records).await?);
            }
            match lease.before(&names, &listed).await {
                None => break,
                Some(first) => lease.outlast(&first).await?,
            }
        }
        // A new vault beside what was deleted of one would not know it once it is recovered.
        let deleted = in_bin(&wire, &names).await?;
        if !deleted.is_empty() {
            return Err(buried(&wire, deleted));
        }
        let id = id.unwrap_or_else(|| VaultId::from_uuid(Uuid::new_v4()));
        let words = Secret::new(format!(
            "The vault of tenantry for fleet {fleet}. What it is, its tags say."
        ));
        let head = tags::of_head(id, fleet);
        // Nor where one may not look into the bin.
        if wire.set_unless_deleted(names.head(), &words, &head).await?.is_none() {
            let name = names.head().to_owned();
            return Err(buried(&wire, vec![Binned { name, tags: head, until: None }]));
        }
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
                    Ok((record, value)) if record.app == app => {
                        apps.insert(app, Known { record, value, tenants: BTreeMap::new() });
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
                Some(Name::Head | Name::Lease | Name::Audit | Name::Leftover) | None => {}
            }
        }
        for (app, item) in of_tenants {
            match (tags::read::<TenantPart>(self.id, &item.tags), apps.get_mut(&app)) {
                (Ok((part, value)), Some(known)) => {
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
                    known.tenants.insert(part.tenant.clone(), value);
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
            (CredentialKind::RefreshToken, None)
            | (CredentialKind::Secret | CredentialKind::Certificate, _) => self.names.app(app),
        };
        self.version(&name, &label).await
    }

    /// The value of the version of that label: the newest as a rule, else one before it.
    async fn version(&self, name: &str, label: &str) -> Result<Secret<String>, VaultError> {
        let opened = |error: VaultError| match not_allowed(self.wire.url(), &error) {
            Some(trouble) => VaultError::Key(trouble),
            None => error,
        };
        let is_it = |item: &Item| Bound::read(&item.tags).is_some_and(|value| value.label == label);
        match self.wire.get(name, None).await {
            Ok(Some(got)) if is_it(&got.item) => return self.checked(name, got),
            Ok(Some(_) | None) => {}
            Err(error) if is_disabled(&error) => {}
            Err(error) => return Err(opened(error)),
        }
        let (enabled, disabled): (Vec<Item>, Vec<Item>) = self
            .wire
            .versions(name)
            .await?
            .into_iter()
            .filter(is_it)
            .partition(|version| version.enabled);
        let version = enabled.into_iter().find_map(|item| item.version);
        let got = match &version {
            Some(version) => self.wire.get(name, Some(version)).await.map_err(opened)?,
            None => None,
        };
        if let Some(got) = got.filter(|got| is_it(&got.item)) {
            return self.checked(name, got);
        }
        let why = match disabled.into_iter().find_map(|item| item.version) {
            Some(version) => format!(
                "the version that holds the value is disabled; \
                 `az keyvault secret set-attributes --vault-name {} --name {name} --version \
                 {version} --enabled true` brings it back",
                self.wire.vault_name()
            ),
            None => {
                "no version of it has the tag `label` that says that it holds the value".to_owned()
            }
        };
        Err(damaged(self.wire.place(name), why))
    }

    /// A value, where it is the one that its tags were written with.
    fn checked(&self, name: &str, got: Got) -> Result<Secret<String>, VaultError> {
        if Bound::read(&got.item.tags).is_none_or(|value| value.is(self.id, &got.value)) {
            return Ok(got.value);
        }
        let why = "its value is not the one that was written with its tags: somebody put another \
                   there";
        Err(damaged(self.wire.place(name), why))
    }

    /// Takes the right to write, or says who has it. Whoever waits stands in line.
    pub(super) async fn lock(
        self: &Arc<Self>,
        command: &str,
        shard: Option<Shard>,
        waiting: Option<impl FnOnce(Option<&Holder>)>,
    ) -> Result<Option<Held>, VaultError> {
        let lease = Lease::claim(&self.wire, &self.names, command, shard).await?;
        let mut waiting = waiting;
        let waits = waiting.is_some();
        loop {
            let listed = self.wire.list().await?;
            let Some(first) = lease.before(&self.names, &listed).await else {
                // What was listed under the lock is true for as long as it is held; what is broken
                // in it is found when it is asked for.
                let (_, damages) = self.assemble(&listed);
                self.alone.store(damages.is_empty(), Ordering::Release);
                return Ok(Some(Held::new(self.clone(), lease)));
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

fn damaged(place: Place, why: impl Into<String>) -> VaultError {
    VaultError::Damaged(vec![Damage { place, why: why.into() }])
}

/// Whether a version is not given because somebody disabled it
/// (<https://learn.microsoft.com/en-us/azure/key-vault/secrets/about-secrets#secret-attributes>).
fn is_disabled(error: &VaultError) -> bool {
    match error {
        VaultError::Refused { failure, .. } => failure.code.as_deref() == Some("SecretDisabled"),
        _ => false,
    }
}

/// That values may not be read, where an error says so.
fn not_allowed(url: &Url, error: &VaultError) -> Option<KeyTrouble> {
    match error {
        VaultError::Refused { failure, .. }
            if failure.cause == Cause::Privilege
                && failure.status == Some(403)
                && !is_disabled(error) =>
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

/// The newest version of the first secret, without its value.
async fn newest(wire: &Wire, names: &Names) -> Result<Item, VaultError> {
    let versions = wire.versions(names.head()).await?;
    match versions.into_iter().max_by_key(|version| version.created) {
        Some(newest) => Ok(newest),
        None => Err(nothing_there(wire, names).await),
    }
}

/// There is no vault, or only what is left of one.
async fn nothing_there(wire: &Wire, names: &Names) -> VaultError {
    let listed = match wire.list().await {
        Ok(listed) => listed,
        Err(error) => return error,
    };
    match left_over(wire, names, apps(names, &listed)).await {
        Ok(error) | Err(error) => error,
    }
}

/// What is wrong with a vault without its first secret, of which so many records are there.
async fn left_over(wire: &Wire, names: &Names, records: usize) -> Result<VaultError, VaultError> {
    let deleted = in_bin(wire, names).await?;
    let head_too = deleted.iter().any(|one| one.name == names.head());
    Ok(match records {
        0 if deleted.is_empty() => {
            VaultError::Missing { place: Place::KeyVault(wire.url().clone()) }
        }
        1.. if !head_too => headless(wire, names, records),
        _ => buried(wire, deleted),
    })
}

/// What lies in the bin of a fleet's vault: nothing where one may not look.
async fn in_bin(wire: &Wire, names: &Names) -> Result<Vec<Binned>, VaultError> {
    let mut all = wire.list_deleted().await?.unwrap_or_default();
    all.retain(|one| match names.read(&one.name) {
        Some(Name::Head | Name::App(_) | Name::Tenant(_) | Name::Leftover) => true,
        Some(Name::Lease | Name::Audit) | None => false,
    });
    Ok(all)
}

fn buried(wire: &Wire, deleted: Vec<Binned>) -> VaultError {
    VaultError::Buried {
        place: Place::KeyVault(wire.url().clone()),
        until: deleted.iter().filter_map(|one| one.until).min(),
        secrets: deleted.into_iter().map(|one| one.name).collect(),
    }
}
