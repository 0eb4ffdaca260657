//! Moving a fleet's vault: the same vault in another place.
//!
//! The id stays, for it is part of the name of every credential at Microsoft; so the two must not be
//! written side by side, and whoever copies is told to put the old one away.

use std::path::PathBuf;

use crate::{
    ids::{AppKey, Nonce, VaultId},
    secret::Secret,
    vault::{
        AuditEntry, Keeping, NewVault, Place, Record, Records, Vault, VaultError, VaultWriter,
        credential::CredentialRecord,
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
    /// A value cannot be read here; there is another vault there, or this one, and it has gone on
    /// without this place; either place refuses; what is read back is not what was written.
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
        if let Some(app) = gone_on(&records, &hand.records().await?) {
            return Err(VaultError::GoneOn { place, app });
        }
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
            match self.value(&record.app, nonce).await {
                Ok(found) if *found.expose() == *value.expose() => {}
                // What somebody else put there is written anew.
                Ok(_) | Err(VaultError::Damaged(_)) => return Ok(false),
                Err(error) => return Err(error),
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

/// The first app of which the other place knows more than this one: it has been written since it was
/// copied there, and what it learnt stands nowhere else. A copy that was begun and not finished knows
/// less, and so does one that was made before this place went on.
fn gone_on(here: &Records, there: &Records) -> Option<AppKey> {
    there
        .values()
        .find(|record| here.get(&record.app).is_none_or(|known| knows_more(record, known)))
        .map(|record| record.app.clone())
}

fn knows_more(there: &Record, here: &Record) -> bool {
    let credential = there
        .credentials
        .iter()
        .filter(|one| one.state.has_value() && here.credential(&one.nonce).is_none())
        .any(|one| {
            // What this place has since put in its stead, or removed, it knows a successor of.
            !here
                .credentials
                .iter()
                .any(|known| succeeds(known, one) && known.intended_at > one.intended_at)
        });
    credential
        || there.tenants.iter().any(|(key, tenant)| {
            here.tenants.get(key).is_none_or(|known| tenant.last_written() > known.last_written())
        })
}

/// Whether one credential can be what came after another.
fn succeeds(one: &CredentialRecord, other: &CredentialRecord) -> bool {
    one.kind == other.kind && one.tenant == other.tenant
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::{
        CredentialKind, CredentialState, TenantRecord,
        testing::{record, seconds},
    };

    fn secret(record: &mut Record, at: i64) {
        let mut one =
            CredentialRecord::intended(Nonce::fresh(), CredentialKind::Secret, seconds(at));
        one.state = CredentialState::Proved;
        record.credentials.push(one);
    }

    #[test]
    fn only_a_place_that_has_learnt_what_this_one_does_not_know_has_gone_on() {
        let mut here = record("contoso");
        here.credentials.clear();
        let key: crate::ids::TenantKey = "contoso".parse().unwrap();
        let mut tenant = TenantRecord::pinned(here.directory);
        tenant.last_good = Some(seconds(50));
        here.tenants.insert(key.clone(), tenant);
        secret(&mut here, 10);
        let all = |record: &Record| Records::from([(record.app.clone(), record.clone())]);

        let mut less = here.clone();
        less.credentials.clear();
        less.tenants.clear();
        assert_eq!(gone_on(&all(&here), &Records::new()), None, "nothing there");
        assert_eq!(gone_on(&all(&here), &all(&less)), None, "begun and not finished");
        assert_eq!(gone_on(&all(&here), &all(&here)), None, "the same");

        let mut renewed = here.clone();
        secret(&mut renewed, 60);
        assert_eq!(gone_on(&all(&here), &all(&renewed)), Some(here.app.clone()));
        // This place renewed it and retired the old one: what is there is only old.
        let mut later = renewed.clone();
        later.credentials.remove(0);
        assert_eq!(gone_on(&all(&later), &all(&here)), None);

        let mut read = here.clone();
        read.tenants.get_mut(&key).unwrap().last_good = Some(seconds(51));
        assert_eq!(gone_on(&all(&here), &all(&read)), Some(here.app.clone()));
        assert_eq!(gone_on(&all(&read), &all(&here)), None);
        assert_eq!(gone_on(&Records::new(), &all(&here)), Some(here.app.clone()));
    }
}
