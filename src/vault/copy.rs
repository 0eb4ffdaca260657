//! Moving a fleet's vault: the same vault in another place.
//!
//! The id stays, for it is part of the name of every credential at Microsoft; so the two must not be
//! written side by side, and whoever copies is told to put the old one away.

use std::path::PathBuf;

use crate::{
    ids::{Nonce, VaultId},
    secret::Secret,
    vault::{
        AuditEntry, Keeping, NewVault, Place, Record, Vault, VaultError, VaultWriter,
        record::CredentialRecord,
    },
};

/// What was copied, and found there again.
#[derive(Debug, Clone)]
pub struct CopyReport {
    /// Where it is now.
    pub place: Place,
    /// Which vault it is, there as here.
    pub id: VaultId,
    /// How many apps' records.
    pub apps: usize,
    /// How many values, each read back and compared.
    pub values: usize,
    /// The key file that was made for it, in a folder.
    pub key_file: Option<PathBuf>,
}

impl VaultWriter {
    /// Copies everything to another place, reads it back there and compares it. One that was begun
    /// and not finished is gone on with. Here nothing is changed but the audit.
    ///
    /// # Errors
    /// A value cannot be read here; there is another vault there; either place refuses; what is read
    /// back is not what was written.
    pub async fn copy_to(
        &self,
        keeping: &Keeping,
        entry: AuditEntry,
    ) -> Result<CopyReport, VaultError> {
        self.unlock().await?;
        let records = self.records().await?;
        let (there, key_file) = match Vault::open(keeping, &self.fleet).await {
            Ok(there) if there.id() == self.id() => (there, None),
            Ok(there) => return Err(VaultError::Exists { place: there.place() }),
            Err(VaultError::Missing { .. }) => {
                let new = NewVault { id: Some(self.id()), ..NewVault::default() };
                let (there, report) = Vault::init(keeping, &self.fleet, new).await?;
                (there, report.key_file)
            }
            Err(other) => return Err(other),
        };
        if there.place().is_same(&self.place()) {
            return Err(VaultError::Usage("the vault is there already: name another place"));
        }
        let place = there.place();
        let hand = there.try_lock("vault copy").await?;
        let hand = hand.ok_or_else(|| VaultError::Busy { place: place.clone() })?;
        hand.unlock().await?;
        let mut values = 0;
        for record in records.values() {
            let held = self.values_of(record).await?;
            if !hand.holds(record, &held).await? {
                hand.rebuild(record, &held).await?;
            }
            if !hand.holds(record, &held).await? {
                return Err(VaultError::ReadBack { place });
            }
            values += held.len();
        }
        let leftovers = self.leftovers().await?;
        for leftover in &leftovers {
            hand.name_leftover(leftover).await?;
        }
        if hand.records().await? != records || hand.leftovers().await? != leftovers {
            return Err(VaultError::ReadBack { place });
        }
        let entry = entry.step("copied").id("to", &place);
        hand.audit(entry.clone()).await?;
        self.audit(entry).await?;
        Ok(CopyReport { place, id: self.id(), apps: records.len(), values, key_file })
    }

    /// The values that a record speaks of.
    async fn values_of(&self, record: &Record) -> Result<Vec<(Nonce, Secret<String>)>, VaultError> {
        let mut held = Vec::new();
        for nonce in record.held() {
            held.push((nonce.clone(), self.value(&record.app, &nonce).await?));
        }
        Ok(held)
    }

    /// Whether exactly this is here.
    async fn holds(
        &self,
        record: &Record,
        held: &[(Nonce, Secret<String>)],
    ) -> Result<bool, VaultError> {
        if self.record(&record.app).await?.as_ref() != Some(record) {
            return Ok(false);
        }
        for (nonce, value) in held {
            if *self.value(&record.app, nonce).await?.expose() != *value.expose() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Writes a record and its values one by one, each with what there is of the record by then.
    async fn rebuild(
        &self,
        record: &Record,
        held: &[(Nonce, Secret<String>)],
    ) -> Result<(), VaultError> {
        let (valued, plain): (Vec<CredentialRecord>, Vec<CredentialRecord>) =
            record.credentials.iter().cloned().partition(|one| one.state.has_value());
        let mut so_far = record.clone();
        so_far.credentials = plain;
        match self.record(&record.app).await? {
            // What an earlier try left is taken back first.
            Some(_) => self.drop_values(&so_far).await?,
            None => self.write_record(&so_far).await?,
        }
        for credential in valued {
            let Some((nonce, value)) = held.iter().find(|(nonce, _)| *nonce == credential.nonce)
            else {
                continue;
            };
            so_far.credentials.push(credential);
            self.store_value(&so_far, nonce, value).await?;
        }
        // In the order in which they stand here.
        self.write_record(record).await
    }
}
