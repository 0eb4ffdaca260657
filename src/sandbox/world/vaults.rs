//! Azure Key Vaults: what they hold, but for the values, of which only hashes are here.

use std::{
    collections::{BTreeMap, HashMap},
    time::Instant,
};

use serde::{Deserialize, Serialize};

use super::{Kind, World};

/// How many days a deleted secret can be recovered.
pub(in crate::sandbox) const RECOVERABLE_DAYS: i64 = 90;

/// One key vault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::sandbox) struct KeyVault {
    /// The first label of its host name.
    pub(in crate::sandbox) name: String,
    /// The directory whose identities it trusts.
    pub(in crate::sandbox) directory: String,
    /// Its region.
    #[serde(default = "somewhere")]
    pub(in crate::sandbox) location: String,
    /// Who may do what with all that is in it.
    #[serde(default)]
    pub(in crate::sandbox) assignments: Vec<Assignment>,
    /// Its secrets by their names in lower case.
    #[serde(default)]
    pub(in crate::sandbox) secrets: BTreeMap<String, Secret>,
    /// Whether nobody may purge what was deleted, whatever their role
    /// (<https://learn.microsoft.com/en-us/azure/key-vault/general/soft-delete-overview#purge-protection>).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(in crate::sandbox) purge_protection: bool,
    /// Those that were deleted and can still be recovered.
    #[serde(default)]
    pub(in crate::sandbox) deleted_secrets: BTreeMap<String, Deleted>,
}

fn somewhere() -> String {
    "westeurope".to_owned()
}

/// A role that somebody has in a key vault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::sandbox) struct Assignment {
    /// The object id of a user or service principal.
    pub(in crate::sandbox) principal_id: String,
    /// The role's name.
    pub(in crate::sandbox) role: String,
}

/// One secret: its versions, the oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::sandbox) struct Secret {
    /// Its name as it was first written.
    pub(in crate::sandbox) name: String,
    /// Never empty.
    pub(in crate::sandbox) versions: Vec<Version>,
}

/// One version of a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::sandbox) struct Version {
    /// 32 hexadecimal digits.
    pub(in crate::sandbox) id: String,
    /// The hash of its value.
    pub(in crate::sandbox) value_hash: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::sandbox) content_type: Option<String>,
    #[serde(default)]
    pub(in crate::sandbox) tags: BTreeMap<String, String>,
    /// Whether the value can be read.
    pub(in crate::sandbox) enabled: bool,
    /// In Unix seconds, like all times of a key vault.
    pub(in crate::sandbox) created: i64,
    pub(in crate::sandbox) updated: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::sandbox) nbf: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::sandbox) exp: Option<i64>,
}

/// A deleted secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::sandbox) struct Deleted {
    pub(in crate::sandbox) secret: Secret,
    /// When it was deleted, in Unix seconds.
    pub(in crate::sandbox) deleted: i64,
    /// The same in this process, for what takes a moment.
    #[serde(skip)]
    pub(in crate::sandbox) since: Option<Instant>,
}

impl PartialEq for Deleted {
    fn eq(&self, other: &Self) -> bool {
        self.secret == other.secret && self.deleted == other.deleted
    }
}

impl Eq for Deleted {}

impl Deleted {
    /// When nothing of it is left.
    pub(in crate::sandbox) fn purged_at(&self) -> i64 {
        self.deleted + RECOVERABLE_DAYS * 86_400
    }
}

impl Secret {
    /// The version that counts where none is named.
    pub(in crate::sandbox) fn newest(&self) -> Option<&Version> {
        self.versions.last()
    }
}

/// The roles, and which actions each allows
/// (<https://learn.microsoft.com/en-us/azure/key-vault/general/rbac-guide>).
const ROLES: &[(&str, &[&str])] = &[
    ("Key Vault Administrator", &["*"]),
    ("Key Vault Secrets Officer", &["*"]),
    ("Key Vault Secrets User", &["getSecret", "readMetadata"]),
    ("Key Vault Reader", &["readMetadata"]),
];

impl KeyVault {
    /// Whether somebody may do that with a secret.
    pub(in crate::sandbox) fn allows(&self, principal: &str, action: &str) -> bool {
        self.assignments.iter().filter(|a| a.principal_id.eq_ignore_ascii_case(principal)).any(
            |a| {
                ROLES
                    .iter()
                    .filter(|(role, _)| *role == a.role)
                    .any(|(_, actions)| actions.contains(&"*") || actions.contains(&action))
            },
        )
    }

    /// A key vault as a world file holds it.
    ///
    /// # Errors
    /// In words.
    pub(super) fn checked(mut self) -> Result<Self, String> {
        let label = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if !(3..=24).contains(&self.name.len()) || !self.name.chars().all(label) {
            return Err(format!("`{}` is no name of a key vault", self.name));
        }
        self.name.make_ascii_lowercase();
        self.directory.make_ascii_lowercase();
        for assignment in &self.assignments {
            if !ROLES.iter().any(|(role, _)| *role == assignment.role) {
                return Err(format!("no role of a key vault is `{}`", assignment.role));
            }
        }
        let secrets =
            self.secrets.iter().chain(self.deleted_secrets.iter().map(|(n, d)| (n, &d.secret)));
        for (name, secret) in secrets {
            if secret.versions.is_empty() || secret.name.to_ascii_lowercase() != *name {
                return Err(format!("the secret `{name}` needs its name and a version"));
            }
        }
        Ok(self)
    }
}

/// What the journal says of one secret.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Entry {
    live: Option<Secret>,
    deleted: Option<Deleted>,
}

impl World {
    /// All key vaults by their names.
    pub(in crate::sandbox) fn key_vaults(&self) -> &BTreeMap<String, KeyVault> {
        &self.key_vaults
    }

    /// Adds or replaces a key vault.
    pub(in crate::sandbox) fn put_key_vault(&mut self, vault: KeyVault) {
        let name = vault.name.clone();
        self.key_vaults.insert(name.clone(), vault);
        self.touch(&name, Kind::KeyVault, "");
    }

    /// Makes a secret live, or gone where nothing is given; in either case it is not deleted.
    pub(in crate::sandbox) fn put_secret(
        &mut self,
        vault: &str,
        name: &str,
        secret: Option<Secret>,
    ) {
        if let Some(found) = self.key_vaults.get_mut(vault) {
            found.deleted_secrets.remove(name);
            match secret {
                Some(secret) => found.secrets.insert(name.to_owned(), secret),
                None => found.secrets.remove(name),
            };
            self.touch(vault, Kind::VaultSecret, name);
        }
    }

    /// Deletes a secret; it can be recovered.
    pub(in crate::sandbox) fn delete_secret(&mut self, vault: &str, name: &str, now: i64) {
        if let Some(found) = self.key_vaults.get_mut(vault)
            && let Some(secret) = found.secrets.remove(name)
        {
            let deleted = Deleted { secret, deleted: now, since: Some(Instant::now()) };
            found.deleted_secrets.insert(name.to_owned(), deleted);
            self.touch(vault, Kind::VaultSecret, name);
        }
    }

    /// Forgets what was deleted too long ago.
    pub(in crate::sandbox) fn purge_old_secrets(&mut self, vault: &str) {
        let now = self.now().as_second();
        let over: Vec<String> = self.key_vaults.get(vault).map_or_else(Vec::new, |found| {
            let over = found.deleted_secrets.iter().filter(|(_, d)| d.purged_at() <= now);
            over.map(|(name, _)| name.clone()).collect()
        });
        for name in over {
            self.put_secret(vault, &name, None);
        }
    }

    pub(super) fn current_secret(&self, vault: &str, name: &str) -> Option<serde_json::Value> {
        let found = self.key_vaults.get(vault)?;
        let entry = Entry {
            live: found.secrets.get(name).cloned(),
            deleted: found.deleted_secrets.get(name).cloned(),
        };
        serde_json::to_value(entry).ok()
    }

    /// What the journal says of a key vault or of one of its secrets.
    ///
    /// # Errors
    /// In words.
    pub(super) fn replay_vault(
        &mut self,
        vault: &str,
        secret: Option<&str>,
        value: Option<&serde_json::Value>,
    ) -> Result<(), String> {
        let value = value.cloned().unwrap_or_default();
        let Some(name) = secret else {
            let found: KeyVault = serde_json::from_value(value).map_err(|e| e.to_string())?;
            self.key_vaults.insert(vault.to_owned(), found.checked()?);
            return Ok(());
        };
        let entry: Entry = serde_json::from_value(value).map_err(|e| e.to_string())?;
        let found =
            self.key_vaults.get_mut(vault).ok_or_else(|| format!("no key vault {vault}"))?;
        found.secrets.remove(name);
        found.deleted_secrets.remove(name);
        found.secrets.extend(entry.live.map(|live| (name.to_owned(), live)));
        found.deleted_secrets.extend(entry.deleted.map(|gone| (name.to_owned(), gone)));
        Ok(())
    }
}

/// Takes values that a world file gives in clear out of a key vault's JSON and puts their hashes
/// there; gives back the values by their hashes.
pub(super) fn hash_values(
    vault: &mut serde_json::Value,
    hash: impl Fn(&str) -> String,
) -> HashMap<String, String> {
    let mut values = HashMap::new();
    for table in ["secrets", "deletedSecrets"] {
        let Some(secrets) = vault.get_mut(table).and_then(|t| t.as_object_mut()) else { continue };
        for secret in secrets.values_mut() {
            let secret = match secret.get("secret") {
                Some(_) => &mut secret["secret"],
                None => secret,
            };
            for version in secret["versions"].as_array_mut().into_iter().flatten() {
                let clear = version.as_object_mut().and_then(|v| v.remove("value"));
                if let Some(serde_json::Value::String(value)) = clear {
                    let hashed = hash(&value);
                    version["valueHash"] = hashed.clone().into();
                    values.insert(hashed, value);
                }
            }
        }
    }
    values
}
