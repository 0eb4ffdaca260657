//! Making a vault where there is none.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use uuid::Uuid;

use crate::{
    ids::{FleetName, VaultId},
    secret::Secret,
    vault::{
        Backend, Vault,
        error::{Place, VaultError},
        folder::{About, Folder},
        keys::{self, KeySource, Keyring},
    },
};

/// What `vault init` is asked for beyond the place.
#[derive(Debug, Clone, Default)]
pub struct NewVault {
    /// The id of a vault that is moved; a new one otherwise.
    pub id: Option<VaultId>,
    /// Protects the key file.
    pub passphrase: Option<Secret<String>>,
    /// Others who shall be able to read: age X25519 recipients (`age1…`).
    pub recipients: Vec<String>,
}

/// What `vault init` made.
#[derive(Debug, Clone)]
pub struct InitReport {
    /// Where the vault is.
    pub place: Place,
    /// Its id.
    pub id: VaultId,
    /// The key file that was made; none where the environment gave the key.
    pub key_file: Option<PathBuf>,
    /// To whom values are sealed, the vault's own key first.
    pub recipients: Vec<String>,
}

/// Makes key, folder and `vault.json`, in this order; blocks.
pub(super) fn init(
    path: &Path,
    fleet: &FleetName,
    keys: &KeySource,
    new: &NewVault,
) -> Result<(Vault, InitReport), VaultError> {
    match Folder::open(path, fleet) {
        Err(VaultError::Missing { .. }) => {}
        Err(VaultError::OtherFleet { .. } | VaultError::Damaged(_)) | Ok(_) => {
            return Err(VaultError::Exists { place: path.into() });
        }
        Err(other) => return Err(other),
    }
    let others: Vec<String> = new
        .recipients
        .iter()
        .map(|text| keys::recipient(text).map(|recipient| recipient.to_string()))
        .collect::<Result<_, _>>()?;

    let id = new.id.unwrap_or_else(|| VaultId::from_uuid(Uuid::new_v4()));
    // The key first: a vault without its key would take values that nobody can read.
    let made = keys::make(keys, id, new.passphrase.as_ref())?;
    let mut recipients: Vec<String> = made.recipients().collect();
    for other in others {
        if !recipients.contains(&other) {
            recipients.push(other);
        }
    }
    let folder =
        Folder::make(path, About::new(id, fleet, recipients.clone())).inspect_err(|_| {
            if let Some(file) = &made.file {
                // Ours, new, and the key of nothing.
                let _ = std::fs::remove_file(file);
            }
        })?;
    let report = InitReport {
        place: path.into(),
        id,
        key_file: made.file.clone(),
        recipients: recipients.clone(),
    };
    let keyring = Arc::new(Keyring::made(&made, id, recipients));
    let backend = Backend::Folder(Arc::new(folder), keyring);
    Ok((Vault { fleet: fleet.clone(), backend, shard: None }, report))
}
