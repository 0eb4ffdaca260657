//! The hand that writes.

use std::{collections::BTreeMap, fmt, ops::Deref, sync::Arc};

use jiff::Timestamp;

use super::{
    AuditEntry, Backend, Erased, Leftover, NewRefreshToken, Record, TenantSeen, Vault, VaultError,
    folder::Folder, key_vault, lock, on,
};
use crate::{
    ids::{AppKey, Nonce, TenantKey},
    secret::Secret,
};

/// The one hand that writes a fleet's vault, until it is dropped. It can do all that a [`Vault`]
/// can. Every writing method ends when what it wrote is on the disk and has been read back.
pub struct VaultWriter {
    pub(super) vault: Vault,
    pub(super) held: Held,
}

/// What gives the right to write.
pub(super) enum Held {
    Folder(Arc<Folder>, Arc<lock::Held>),
    KeyVault(key_vault::Held),
}

impl Deref for VaultWriter {
    type Target = Vault;

    fn deref(&self) -> &Vault {
        &self.vault
    }
}

impl fmt::Debug for VaultWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("VaultWriter").field(&self.vault).finish()
    }
}

impl VaultWriter {
    /// Writes a record as a whole, the values beside it kept.
    ///
    /// # Errors
    /// The record and the values do not go together (nothing is written then); the disk refuses.
    pub async fn write_record(&self, record: &Record) -> Result<(), VaultError> {
        match &self.held {
            Held::Folder(folder, held) => {
                let record = record.clone();
                write(folder, held, move |folder| folder.write_record(&record)).await
            }
            Held::KeyVault(held) => held.write_record(record).await,
        }
    }

    /// Changes something in a record, whatever other tasks have changed in it since it was read;
    /// gives back what it is now. The values beside it are kept.
    ///
    /// # Errors
    /// No such record; else as [`VaultWriter::write_record`].
    pub async fn change(
        &self,
        app: &AppKey,
        change: impl FnOnce(&mut Record) + Send + 'static,
    ) -> Result<Record, VaultError> {
        match &self.held {
            Held::Folder(folder, held) => {
                let app = app.clone();
                write(folder, held, move |folder| folder.change(&app, change)).await
            }
            Held::KeyVault(held) => held.change(app, change).await.map(|(record, _)| record),
        }
    }

    /// Writes a record, in which the credential has its new state already, and the credential's
    /// value in one go; then reads the value back: opened and compared where the key is at hand,
    /// compared as bytes with recipients only.
    ///
    /// # Errors
    /// The app has no client id yet or the record and the values do not go together (nothing is
    /// written then); the disk refuses; it does not read back.
    pub async fn store_value(
        &self,
        record: &Record,
        nonce: &Nonce,
        value: &Secret<String>,
    ) -> Result<(), VaultError> {
        let (folder, held) = match &self.held {
            Held::Folder(folder, held) => (folder, held),
            Held::KeyVault(held) => return held.store_value(record, nonce, value).await,
        };
        let (app, written) = (record.app.clone(), nonce.clone());
        let (record, nonce, wanted) = (record.clone(), nonce.clone(), value.clone());
        let (path, block, back) = write(folder, held, move |folder| {
            let block = folder.store_value(&record, &nonce, &wanted)?;
            let (back, _) = folder.block(&record.app, &nonce)?;
            Ok((folder.file_of(&record.app), block, back))
        })
        .await?;
        if block != back {
            return Err(VaultError::ReadBack { place: path.into() });
        }
        // A key that does not open is no reason to call a stored value lost: bytes must do then.
        let opens = self.unlock().await.is_ok();
        if opens && *self.value(&app, &written).await?.expose() != *value.expose() {
            return Err(VaultError::ReadBack { place: path.into() });
        }
        Ok(())
    }

    /// Keeps a refresh token in the place of the tenant's old one, in one replacement of the file:
    /// whatever happens meanwhile, one of the two is there. The old one still works then, for Entra
    /// ID does not revoke it when it gives a new one
    /// (<https://learn.microsoft.com/en-us/entra/identity-platform/refresh-tokens>). Gives back the
    /// new one's name.
    ///
    /// # Errors
    /// No such record, an app without a client id, a tenant that is pinned to another directory, or
    /// a value that does not open when it is sealed (nothing is written then); the disk refuses; it
    /// does not read back.
    pub async fn keep_refresh_token(
        &self,
        app: &AppKey,
        new: NewRefreshToken,
    ) -> Result<Nonce, VaultError> {
        let (folder, held) = match &self.held {
            Held::Folder(folder, held) => (folder, held),
            Held::KeyVault(held) => return held.keep_refresh_token(app, new).await,
        };
        // The old one goes only for a new one that opens, where that can be tried.
        let identities = match &self.backend {
            Backend::Folder(_, keyring) => keyring.identities().await.map(<[_]>::to_vec),
            Backend::KeyVault(_) => Ok(Vec::new()),
        };
        let (app, identities) = (app.clone(), identities.unwrap_or_default());
        write(folder, held, move |folder| folder.keep_refresh_token(&app, new, &identities)).await
    }

    /// Keeps the refresh token of a sign-in that just took place, and gives the audit its line:
    /// `who` ran `command`. Rotations have none: nobody decided them.
    ///
    /// # Errors
    /// As [`VaultWriter::keep_refresh_token`]; or the line could not be written, and the token is
    /// kept all the same.
    pub async fn keep_sign_in(
        &self,
        app: &AppKey,
        new: NewRefreshToken,
        who: &str,
        command: &str,
    ) -> Result<Nonce, VaultError> {
        let entry = AuditEntry::new(new.at, who, command)
            .step("sign-in")
            .app(app)
            .tenant(&new.tenant)
            .id("directory", new.directory)
            .id("user", &new.user);
        let nonce = self.keep_refresh_token(app, new).await?;
        self.audit(entry.id("nonce", &nonce)).await?;
        Ok(nonce)
    }

    /// Drops a tenant's refresh token, if one is held; says whether one was.
    ///
    /// # Errors
    /// No such record, or the disk refuses.
    pub async fn forget_refresh_token(
        &self,
        app: &AppKey,
        tenant: &TenantKey,
    ) -> Result<bool, VaultError> {
        match &self.held {
            Held::Folder(folder, held) => {
                let (app, tenant) = (app.clone(), tenant.clone());
                write(folder, held, move |folder| folder.forget_refresh_token(&app, &tenant)).await
            }
            Held::KeyVault(held) => held.forget_refresh_token(app, tenant).await,
        }
    }

    /// Writes a record and drops the values of the credentials that it no longer has, or that it
    /// says to be only intended.
    ///
    /// # Errors
    /// As [`VaultWriter::change`].
    pub async fn drop_values(&self, record: &Record) -> Result<(), VaultError> {
        match &self.held {
            Held::Folder(folder, held) => {
                let record = record.clone();
                write(folder, held, move |folder| folder.drop_values(&record)).await
            }
            Held::KeyVault(held) => held.drop_values(record).await,
        }
    }

    /// Removes an app's record and every value beside it, and looks whether they are gone. What is
    /// gone already is no error.
    ///
    /// # Errors
    /// The place refuses, or still shows it afterwards.
    pub async fn erase(&self, app: &AppKey) -> Result<Erased, VaultError> {
        match &self.held {
            Held::Folder(folder, held) => {
                let app = app.clone();
                write(folder, held, move |folder| folder.erase(&app)).await?;
                Ok(Erased::Gone)
            }
            Held::KeyVault(held) => held.erase(app).await,
        }
    }

    /// Forgets one tenant of an app that others go on using: its record, and its refresh token.
    ///
    /// # Errors
    /// As [`VaultWriter::change`].
    pub async fn forget_tenant(
        &self,
        app: &AppKey,
        tenant: &TenantKey,
    ) -> Result<Erased, VaultError> {
        match &self.held {
            Held::Folder(folder, held) => {
                let (app, tenant) = (app.clone(), tenant.clone());
                write(folder, held, move |folder| folder.forget_tenant(&app, &tenant)).await?;
                Ok(Erased::Gone)
            }
            Held::KeyVault(held) => held.forget_tenant(app, tenant).await,
        }
    }

    /// Names what is left with a customer, in the place of what was said of the same before.
    ///
    /// # Errors
    /// The place refuses.
    pub async fn name_leftover(&self, leftover: &Leftover) -> Result<(), VaultError> {
        match &self.held {
            Held::Folder(folder, held) => {
                let leftover = leftover.clone();
                write(folder, held, move |folder| folder.name_leftover(leftover)).await
            }
            Held::KeyVault(held) => held.name_leftover(leftover).await,
        }
    }

    /// Forgets what was left with a customer: it is gone, or somebody said so.
    ///
    /// # Errors
    /// The place refuses.
    pub async fn forget_leftover(&self, leftover: &Leftover) -> Result<(), VaultError> {
        match &self.held {
            Held::Folder(folder, held) => {
                let leftover = leftover.clone();
                write(folder, held, move |folder| folder.forget_leftover(&leftover)).await
            }
            Held::KeyVault(held) => held.forget_leftover(leftover).await,
        }
    }

    /// Remembers what a run saw of many tenants, for `--since-last`; gives back how many files
    /// changed. Apps without a record are passed over.
    ///
    /// # Errors
    /// A tenant is pinned to another directory, a file is damaged, or the disk refuses; the other
    /// apps are remembered all the same.
    pub async fn remember(
        &self,
        seen: BTreeMap<AppKey, Vec<TenantSeen>>,
        at: Timestamp,
    ) -> Result<usize, VaultError> {
        match &self.held {
            Held::Folder(folder, held) => {
                write(folder, held, move |folder| folder.remember(&seen, at)).await
            }
            Held::KeyVault(held) => held.remember(&seen, at).await,
        }
    }
}

async fn write<T: Send + 'static>(
    folder: &Arc<Folder>,
    held: &Arc<lock::Held>,
    work: impl FnOnce(&Folder) -> Result<T, VaultError> + Send + 'static,
) -> Result<T, VaultError> {
    // A future that is dropped does not stop the thread that writes for it: the lock stays
    // until that thread is done.
    let held = held.clone();
    on(folder, move |folder| {
        let done = work(folder);
        drop(held);
        done
    })
    .await
}
