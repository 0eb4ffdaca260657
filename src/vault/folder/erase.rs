//! Taking things out of a vault's folder for good, and naming what is left elsewhere.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Folder, read_bounded};
use crate::{
    ids::{AppKey, TenantKey},
    vault::{disk, error::VaultError, leftover::Leftover},
};

/// `offboarded.json`: what is left with customers.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Left {
    format_version: u32,
    leftovers: Vec<Leftover>,
}

const FORMAT: u32 = 1;

impl Folder {
    /// Removes an app's file with every value in it.
    pub(in crate::vault) fn erase(&self, app: &AppKey) -> Result<(), VaultError> {
        let _turn = self.turn(app);
        let path = self.file_of(app);
        disk::remove(&self.path, &path).map_err(VaultError::disk("remove", &path))?;
        match read_bounded(&path)? {
            None => Ok(()),
            Some(_) => Err(VaultError::ReadBack { place: path.into() }),
        }
    }

    /// Takes one tenant, and its refresh token, out of an app's file.
    pub(in crate::vault) fn forget_tenant(
        &self,
        app: &AppKey,
        tenant: &TenantKey,
    ) -> Result<(), VaultError> {
        let _turn = self.turn(app);
        let Some(old) = self.load(app)? else { return Ok(()) };
        let mut file = old.clone();
        if let Some(gone) = file.record.forget_token(tenant) {
            file.values.remove(&gone);
        }
        file.record.tenants.remove(tenant);
        if file == old { Ok(()) } else { self.save(Some(&old), &file) }
    }

    fn left_file(&self) -> PathBuf {
        self.path.join("offboarded.json")
    }

    /// What is left with customers.
    pub(in crate::vault) fn leftovers(&self) -> Result<Vec<Leftover>, VaultError> {
        let path = self.left_file();
        let Some(bytes) = read_bounded(&path)? else { return Ok(Vec::new()) };
        let Left { format_version, leftovers } = serde_json::from_slice(&bytes)
            .map_err(|error| VaultError::damaged(&path, error.to_string()))?;
        if format_version != FORMAT {
            let why = format!("a newer tenantry wrote it (format {format_version})");
            return Err(VaultError::damaged(path, why));
        }
        Ok(Leftover::sorted(leftovers))
    }

    /// Names it, in the place of what was said of the same before.
    pub(in crate::vault) fn name_leftover(&self, leftover: Leftover) -> Result<(), VaultError> {
        let mut all = self.leftovers()?;
        if all.contains(&leftover) {
            return Ok(());
        }
        all.retain(|one| !one.is(&leftover));
        all.push(leftover);
        self.write_left(all)
    }

    /// Forgets it.
    pub(in crate::vault) fn forget_leftover(&self, leftover: &Leftover) -> Result<(), VaultError> {
        let mut all = self.leftovers()?;
        let before = all.len();
        all.retain(|one| !one.is(leftover));
        if all.len() == before { Ok(()) } else { self.write_left(all) }
    }

    /// Called one after the other: who offboards holds the lock, and goes from one to the next.
    fn write_left(&self, leftovers: Vec<Leftover>) -> Result<(), VaultError> {
        let path = self.left_file();
        if leftovers.is_empty() {
            return disk::remove(&self.path, &path).map_err(VaultError::disk("remove", &path));
        }
        let left = Left { format_version: FORMAT, leftovers: Leftover::sorted(leftovers) };
        let mut text = serde_json::to_vec_pretty(&left).expect("it is plain text");
        text.push(b'\n');
        disk::prepare(&self.path, &text)
            .and_then(|prepared| {
                prepared.sync()?;
                prepared.put(&path)?;
                disk::sync_folder(&self.path)
            })
            .map_err(VaultError::disk("write", &path))?;
        match read_bounded(&path)? {
            Some(back) if back == text => Ok(()),
            Some(_) | None => Err(VaultError::ReadBack { place: path.into() }),
        }
    }
}
