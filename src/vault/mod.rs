//! Where values live that Graph tells once, and what makes our own things recognisable.
//!
//! It is a folder of files, or an Azure Key Vault. A [`Vault`] can only read; what writes is the [`VaultWriter`] that its lock gives, one at a time
//! per fleet. Records (the clear headers) need no key, writing needs only the recipients, and only
//! [`Vault::value`] needs the key. A vault is one fleet's, for its files are named by app keys.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use crate::{
    ids::{AppKey, FleetName, Nonce, TenantKey, VaultId},
    secret::Secret,
    shard::Shard,
};

mod audit;
mod bin;
mod copy;
mod credential;
mod disk;
mod error;
mod folder;
mod format;
mod health;
mod init;
mod key_vault;
mod keys;
mod leftover;
mod lock;
mod record;
mod seal;
mod tenant;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod writer;

pub use audit::AuditEntry;
pub use bin::Deleted;
pub use copy::CopyReport;
pub use credential::{
    CredentialKind, CredentialRecord, CredentialState, NewRefreshToken, REFRESH_TOKEN_LIVES,
};
pub use error::{Damage, KeyOrigin, KeyTrouble, Place, Severity, VaultError};
pub use health::Health;
pub use init::{InitReport, NewVault};
pub use key_vault::KeyVaultAccess;
pub use keys::{
    AskPassphrase, IDENTITY_VARIABLE, KeySource, KeyState, PASSPHRASE_VARIABLE, Passphrase,
};
pub use leftover::{Erased, Leftover};
pub use lock::Holder;
pub use record::{Contradiction, Federation, Ownership, Record, Records, preferred, recognise};
pub use tenant::{
    Attestation, AttestedOutcome, ConsentDenied, ConsentSeen, FacetMemory, TenantRecord, TenantSeen,
};
pub use writer::VaultWriter;

use folder::Folder;
use key_vault::KeyVault;
use keys::Keyring;
use writer::Held;

/// How often a waiting writer looks whether the lock is free.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Where a fleet's vault is, and what it takes to get in.
#[derive(Debug, Clone)]
pub enum Keeping {
    /// A folder, and where to look for the key of what is in it.
    Folder(PathBuf, KeySource),
    /// An Azure Key Vault.
    KeyVault(KeyVaultAccess),
}

impl Keeping {
    /// A folder with the key in another.
    pub fn folder(path: impl Into<PathBuf>, keys: KeySource) -> Self {
        Self::Folder(path.into(), keys)
    }
}

/// A fleet's vault, to be read.
#[derive(Clone)]
pub struct Vault {
    fleet: FleetName,
    backend: Backend,
    /// The part of the fleet that is written.
    shard: Option<Shard>,
}

/// Where a vault is kept.
#[derive(Clone)]
enum Backend {
    /// In a folder, with the key that opens its values.
    Folder(Arc<Folder>, Arc<Keyring>),
    /// In an Azure Key Vault, which needs no key of ours.
    KeyVault(Arc<KeyVault>),
}

impl Vault {
    /// Opens a fleet's vault. Looks for the key, and asks nobody for its passphrase yet.
    ///
    /// # Errors
    /// There is none ([`VaultError::Missing`], [`VaultError::Headless`]), it is another fleet's,
    /// or it cannot be read.
    pub async fn open(keeping: &Keeping, fleet: &FleetName) -> Result<Self, VaultError> {
        let backend = match keeping.clone() {
            Keeping::Folder(path, keys) => {
                let fleet = fleet.clone();
                blocking(move || {
                    let folder = Folder::open(&path, &fleet)?;
                    let about = &folder.about;
                    let keyring = Keyring::look(&keys, about.id, about.recipients.clone());
                    Ok(Backend::Folder(Arc::new(folder), Arc::new(keyring)))
                })
                .await?
            }
            Keeping::KeyVault(access) => {
                Backend::KeyVault(Arc::new(KeyVault::open(&access, fleet).await?))
            }
        };
        Ok(Self { fleet: fleet.clone(), backend, shard: None })
    }

    /// Makes a vault with a new id, and in a folder with a new key (or the key that the environment
    /// gives), where there is none.
    ///
    /// # Errors
    /// There is one already, or what is left of one; a recipient is not one; the place refuses.
    pub async fn init(
        keeping: &Keeping,
        fleet: &FleetName,
        new: NewVault,
    ) -> Result<(Self, InitReport), VaultError> {
        match keeping.clone() {
            Keeping::Folder(path, keys) => {
                let fleet = fleet.clone();
                blocking(move || init::init(&path, &fleet, &keys, &new)).await
            }
            Keeping::KeyVault(access) => {
                if new.passphrase.is_some() || !new.recipients.is_empty() {
                    return Err(VaultError::Usage(
                        "--passphrase and --recipient are for a vault in a folder: who reads a key \
                         vault, its access rules say",
                    ));
                }
                let made = Arc::new(KeyVault::make(&access, fleet, new.id).await?);
                let report = InitReport {
                    place: Place::KeyVault(made.url().clone()),
                    id: made.id,
                    key_file: None,
                    recipients: Vec::new(),
                };
                let backend = Backend::KeyVault(made);
                let vault = Self { fleet: fleet.clone(), backend, shard: None };
                Ok((vault, report))
            }
        }
    }

    /// Opens the vault, or makes it: for `--sandbox` alone, whose vault is nobody's loss.
    ///
    /// # Errors
    /// As [`Vault::open`] and [`Vault::init`].
    pub async fn open_or_init(keeping: &Keeping, fleet: &FleetName) -> Result<Self, VaultError> {
        match Self::open(keeping, fleet).await {
            Err(VaultError::Missing { .. }) => {}
            other => return other,
        }
        match Self::init(keeping, fleet, NewVault::default()).await {
            Ok((vault, _)) => Ok(vault),
            // Somebody else was faster.
            Err(VaultError::Exists { .. }) => Self::open(keeping, fleet).await,
            Err(other) => Err(other),
        }
    }

    /// Where it is.
    pub fn place(&self) -> Place {
        match &self.backend {
            Backend::Folder(folder, _) => (&folder.path).into(),
            Backend::KeyVault(vault) => Place::KeyVault(vault.url().clone()),
        }
    }

    /// Its id; part of the display name of every credential that it has a value for.
    pub fn id(&self) -> VaultId {
        match &self.backend {
            Backend::Folder(folder, _) => folder.about.id,
            Backend::KeyVault(vault) => vault.id,
        }
    }

    /// Whether values can be read, as far as can be told without asking for a passphrase.
    pub fn key(&self) -> KeyState {
        match &self.backend {
            Backend::Folder(_, keyring) => keyring.state(),
            Backend::KeyVault(vault) => vault.key.clone(),
        }
    }

    /// Whether values can be read: `false` is "recipients only", and proofs that need a value are
    /// unknown then.
    pub fn can_read(&self) -> bool {
        match self.key() {
            KeyState::Ready(_) | KeyState::Protected(_) => true,
            KeyState::Unreadable(_) => false,
        }
    }

    /// Opens the key now, so that a passphrase is asked for before anything else is on the screen.
    ///
    /// # Errors
    /// Why values cannot be read.
    pub async fn unlock(&self) -> Result<(), KeyTrouble> {
        match &self.backend {
            Backend::Folder(_, keyring) => keyring.identities().await.map(|_| ()),
            Backend::KeyVault(vault) => match &vault.key {
                KeyState::Ready(_) | KeyState::Protected(_) => Ok(()),
                KeyState::Unreadable(why) => Err(why.clone()),
            },
        }
    }

    /// Every record. Needs no key.
    ///
    /// # Errors
    /// Names every file that is damaged: a plan without them would make those apps' secrets anew.
    pub async fn records(&self) -> Result<Records, VaultError> {
        match self.survey().await? {
            (records, damages) if damages.is_empty() => Ok(records),
            (_, damages) => Err(VaultError::Damaged(damages)),
        }
    }

    /// Every record that can be read, and every file that cannot: for looking, where one damaged
    /// file must not hide the others. Whatever changes something takes [`Vault::records`].
    ///
    /// # Errors
    /// The folder cannot be listed or the disk refuses.
    pub async fn survey(&self) -> Result<(Records, Vec<Damage>), VaultError> {
        match &self.backend {
            Backend::Folder(folder, _) => on(folder, Folder::survey).await,
            Backend::KeyVault(vault) => vault.survey().await,
        }
    }

    /// One app's record, where there is one. Needs no key.
    ///
    /// # Errors
    /// Its file is damaged or cannot be read.
    pub async fn record(&self, app: &AppKey) -> Result<Option<Record>, VaultError> {
        match &self.backend {
            Backend::Folder(folder, _) => {
                let app = app.clone();
                on(folder, move |folder| Ok(folder.load(&app)?.map(|file| file.record))).await
            }
            Backend::KeyVault(vault) => vault.record(app).await,
        }
    }

    /// What offboarding left with customers, and nobody has seen gone yet. Needs no key.
    ///
    /// # Errors
    /// It is damaged or cannot be read.
    pub async fn leftovers(&self) -> Result<Vec<Leftover>, VaultError> {
        match &self.backend {
            Backend::Folder(folder, _) => on(folder, Folder::leftovers).await,
            Backend::KeyVault(vault) => vault.leftovers().await,
        }
    }

    /// The secrets of these apps that were deleted from this vault and can be recovered; nothing
    /// where one may not look. A folder keeps nothing that was deleted.
    ///
    /// # Errors
    /// The place refuses.
    pub async fn deleted(
        &self,
        apps: &BTreeSet<AppKey>,
    ) -> Result<BTreeMap<AppKey, Deleted>, VaultError> {
        match &self.backend {
            Backend::Folder(..) => Ok(BTreeMap::new()),
            Backend::KeyVault(vault) => vault.deleted(apps).await,
        }
    }

    /// Whether something that was deleted of an app, or of one tenant of it, can still be recovered
    /// here: a key vault keeps what is deleted from it.
    ///
    /// # Errors
    /// The place refuses.
    pub async fn buried(
        &self,
        app: &AppKey,
        tenant: Option<&TenantKey>,
    ) -> Result<bool, VaultError> {
        match &self.backend {
            Backend::Folder(..) => Ok(false),
            Backend::KeyVault(vault) => vault.buried(app, tenant).await,
        }
    }

    /// The value of one credential, after checking that it belongs to what the header says.
    ///
    /// # Errors
    /// No such value, no key, or a block that belongs elsewhere.
    pub async fn value(&self, app: &AppKey, nonce: &Nonce) -> Result<Secret<String>, VaultError> {
        let (folder, keyring) = match &self.backend {
            Backend::Folder(folder, keyring) => (folder, keyring),
            Backend::KeyVault(vault) => return vault.value(app, nonce).await,
        };
        let (app, nonce) = (app.clone(), nonce.clone());
        let (app, block, label) = on(folder, move |folder| {
            let (block, label) = folder.block(&app, &nonce)?;
            Ok((app, block, label))
        })
        .await?;
        let identities = keyring.identities().await?.to_vec();
        on(folder, move |folder| folder.open_block(&app, &identities, &block, &label)).await
    }

    /// Waits until nobody else writes, then gives the only hand that can. `waiting` is called once
    /// if it has to wait, with the one it waits for where that is known.
    ///
    /// The system releases the lock when its holder ends, however it ends.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub async fn lock(
        &self,
        command: &str,
        waiting: impl FnOnce(Option<&Holder>),
    ) -> Result<VaultWriter, VaultError> {
        let folder = match &self.backend {
            Backend::Folder(folder, _) => folder,
            Backend::KeyVault(vault) => {
                let held = vault.lock(command, self.shard, Some(waiting)).await?;
                // Whoever waits ends with it.
                let held = held.ok_or(VaultError::Interrupted)?;
                return Ok(self.writer(Held::KeyVault(held)));
            }
        };
        let mut waiting = Some(waiting);
        // Looking again and again instead of waiting in the system: this way a signal ends the wait.
        loop {
            if let Some(writer) = self.try_lock(command).await? {
                return Ok(writer);
            }
            if let Some(waiting) = waiting.take() {
                let holder = on(folder, |folder| Ok(lock::told(&folder.path))).await?;
                waiting(holder.as_ref());
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// The same without waiting: `None` while somebody else writes.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub async fn try_lock(&self, command: &str) -> Result<Option<VaultWriter>, VaultError> {
        let held = match &self.backend {
            Backend::Folder(folder, _) => {
                let (command, shard) = (command.to_owned(), self.shard);
                on(folder, move |folder| lock::try_lock(&folder.path, &command, shard))
                    .await?
                    .map(|held| Held::Folder(folder.clone(), Arc::new(held)))
            }
            Backend::KeyVault(vault) => vault
                .lock(command, self.shard, None::<fn(Option<&Holder>)>)
                .await?
                .map(Held::KeyVault),
        };
        Ok(held.map(|held| self.writer(held)))
    }

    /// The same for a job that writes only this part of the fleet, beside others that write theirs.
    #[must_use]
    pub fn of_shard(mut self, shard: Option<Shard>) -> Self {
        self.shard = shard;
        self
    }

    fn writer(&self, held: Held) -> VaultWriter {
        VaultWriter { vault: self.clone(), held }
    }

    /// Whether a file can be written: asked before anything is changed at Microsoft.
    ///
    /// # Errors
    /// Why not.
    pub async fn check_writable(&self) -> Result<(), VaultError> {
        match &self.backend {
            Backend::Folder(folder, _) => on(folder, |folder| folder.check_writable()).await,
            Backend::KeyVault(vault) => vault.check_writable(&self.fleet).await,
        }
    }

    /// Adds one line to the audit and brings it to the disk. Needs no lock: whoever reveals a value
    /// does not wait for an apply.
    ///
    /// # Errors
    /// The line could not be written; what it tells of must not be done then.
    pub async fn audit(&self, entry: AuditEntry) -> Result<(), VaultError> {
        match &self.backend {
            Backend::Folder(folder, _) => {
                on(folder, move |folder| audit::append(&folder.path, &[entry])).await
            }
            Backend::KeyVault(vault) => vault.audit(&entry).await,
        }
    }

    /// What `doctor` says.
    ///
    /// # Errors
    /// The folder cannot even be listed.
    pub async fn health(&self) -> Result<Health, VaultError> {
        let folder = match &self.backend {
            Backend::Folder(folder, _) => folder,
            Backend::KeyVault(vault) => return vault.health(&self.fleet).await,
        };
        let key = self.key();
        on(folder, move |folder| {
            let (records, damaged) = folder.survey()?;
            let mut private = vec![folder.path.clone(), folder::about_file(&folder.path)];
            private.extend(match &key {
                KeyState::Ready(KeyOrigin::File(file))
                | KeyState::Protected(KeyOrigin::File(file)) => Some(file.clone()),
                KeyState::Ready(_) | KeyState::Protected(_) | KeyState::Unreadable(_) => None,
            });
            private.retain(|path| disk::open_to_others(path));
            Ok(Health {
                place: (&folder.path).into(),
                id: folder.about.id,
                recipients: folder.about.recipients.clone(),
                writable: folder.check_writable(),
                key,
                records: records.len(),
                values: records
                    .values()
                    .flat_map(|record| &record.credentials)
                    .filter(|credential| credential.state.has_value())
                    .count(),
                damaged,
                holder: lock::holder(&folder.path),
                open_to_others: private,
            })
        })
        .await
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Vault");
        shown.field("id", &self.id());
        match &self.backend {
            Backend::Folder(folder, _) => shown.field("folder", &folder.path),
            Backend::KeyVault(vault) => shown.field("keyVault", &vault.url().as_str()),
        };
        shown.finish()
    }
}

async fn on<T: Send + 'static>(
    folder: &Arc<Folder>,
    work: impl FnOnce(&Folder) -> Result<T, VaultError> + Send + 'static,
) -> Result<T, VaultError> {
    let folder = folder.clone();
    blocking(move || work(&folder)).await
}

/// Runs what blocks on a thread that may.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, VaultError> + Send + 'static,
) -> Result<T, VaultError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(VaultError::Interrupted),
        },
    }
}
