//! What can go wrong in the vault, each with what to do next. No error ever holds a value.

use std::{fmt, io, path::PathBuf};

use crate::{
    ids::{AppKey, FleetName, Nonce, VaultId},
    vault::record::Contradiction,
};

/// Why the vault did not do what was asked of it.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// There is no vault there.
    #[error("there is no vault at {}", folder.display())]
    Missing {
        /// Where it should be.
        folder: PathBuf,
    },
    /// There are files of a vault there, but not the one that says which vault it is.
    #[error("{} holds {files} record(s) of a vault, but its vault.json is gone", folder.display())]
    Headless {
        /// Where it should be.
        folder: PathBuf,
        /// How many files of apps are there.
        files: usize,
    },
    /// A vault was to be made where there is one.
    #[error("there is a vault at {} already", folder.display())]
    Exists {
        /// Where it is.
        folder: PathBuf,
    },
    /// The vault is another fleet's.
    #[error("the vault at {} belongs to fleet {found}, not to {wanted}", folder.display())]
    OtherFleet {
        /// Where it is.
        folder: PathBuf,
        /// Whose it is.
        found: String,
        /// Whose it should be.
        wanted: FleetName,
    },
    /// Files are not what this vault wrote.
    #[error("{}", list(.0))]
    Damaged(Vec<Damage>),
    /// The disk refused.
    #[error("could not {doing} {}: {source}", path.display())]
    Disk {
        /// What was tried, as in `could not … FILE`.
        doing: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A value is needed and the key that would open it is not at hand.
    #[error(transparent)]
    Key(#[from] KeyTrouble),
    /// The vault has no file for the app.
    #[error("the vault has no record of app {app}")]
    NoRecord {
        /// Which app.
        app: AppKey,
    },
    /// The vault has no value for the credential.
    #[error("the vault holds no value for credential {nonce} of app {app}")]
    NoValue {
        /// Which app.
        app: AppKey,
        /// Which credential.
        nonce: Nonce,
    },
    /// What was to be written does not go together with itself or with what is there. A mistake of
    /// ours, found before anything was written.
    #[error("the record of app {app} was not written: {why}")]
    Contradicts {
        /// Which app.
        app: AppKey,
        /// Why not.
        why: Contradiction,
    },
    /// What was read back is not what was written.
    #[error("{} does not read back as it was written", path.display())]
    ReadBack {
        /// Which file.
        path: PathBuf,
    },
    /// A text that should be an age recipient.
    #[error("`{text}` is not an age recipient")]
    NotARecipient {
        /// What was given. A secret key is never repeated here.
        text: String,
    },
    /// What was asked of `vault init` does not go together.
    #[error("{0}")]
    Usage(&'static str),
    /// The manifest names an Azure Key Vault.
    #[error("values cannot be kept in {0} yet: this build has the folder only")]
    KeyVault(url::Url),
    /// The process is on its way out.
    #[error("the vault was interrupted")]
    Interrupted,
}

/// How a failure of the vault ends a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The vault is lost, wrong or not to be trusted: nothing may be changed (exit 7).
    Guard,
    /// It was asked for in a way that cannot be meant (exit 64).
    Usage,
    /// It did not work (exit 1).
    Failed,
}

/// A file that is not what this vault wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Which.
    pub path: PathBuf,
    /// What is wrong with it.
    pub why: String,
}

/// Where a key came from, or was looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyOrigin {
    /// `TENANTRY_AGE_IDENTITY` itself.
    Environment,
    /// The file that `TENANTRY_AGE_IDENTITY` names.
    EnvironmentFile,
    /// The key file made for this vault.
    File(PathBuf),
    /// Nowhere: no folder for key files is known.
    Nowhere,
}

impl fmt::Display for KeyOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment => f.write_str("TENANTRY_AGE_IDENTITY"),
            // Not its path: a mistyped key must not be repeated on a screen.
            Self::EnvironmentFile => f.write_str("the file that TENANTRY_AGE_IDENTITY names"),
            Self::File(path) => path.display().fmt(f),
            Self::Nowhere => f.write_str("no folder of the user"),
        }
    }
}

/// Why values cannot be read. The vault can still be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyTrouble {
    /// No key is there.
    #[error("the key of vault {vault} is not here (looked at {looked})")]
    Absent {
        /// Whose key.
        vault: VaultId,
        /// Where it would be.
        looked: KeyOrigin,
    },
    /// It is there and cannot be read.
    #[error("the key of the vault cannot be read from {from}: {why}")]
    Unreadable {
        /// From where.
        from: KeyOrigin,
        /// What the system said.
        why: String,
    },
    /// What is there is not an age identity.
    #[error("{from} holds no age identity (AGE-SECRET-KEY-1…)")]
    NotAnIdentity {
        /// Where.
        from: KeyOrigin,
    },
    /// It is a key, but not of this vault.
    #[error("the key in {from} does not open vault {vault}")]
    OfAnother {
        /// Where.
        from: KeyOrigin,
        /// Which vault it should open.
        vault: VaultId,
    },
    /// It is protected, and nobody gives the passphrase.
    #[error("{from} is protected by a passphrase")]
    PassphraseNeeded {
        /// Where.
        from: KeyOrigin,
    },
    /// It is protected, and the passphrase given is wrong.
    #[error("the passphrase does not open {from}")]
    WrongPassphrase {
        /// Where.
        from: KeyOrigin,
    },
}

impl KeyTrouble {
    /// What to do next.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Absent { .. } => {
                "put the key file there from your backup, or set TENANTRY_AGE_IDENTITY to the key \
                 or to a file that holds it; without the key, new secrets have to be made \
                 (tenantry apply --reissue)"
            }
            Self::Unreadable { .. } => "check that the file is there and that you may read it",
            Self::NotAnIdentity { .. } => {
                "give an age X25519 identity, as age-keygen and `tenantry vault init` write it"
            }
            Self::OfAnother { .. } => {
                "use the key that `tenantry vault init` made for this vault, or unset \
                 TENANTRY_AGE_IDENTITY to use the key file"
            }
            Self::PassphraseNeeded { .. } => "run it in a terminal, or set TENANTRY_AGE_PASSPHRASE",
            Self::WrongPassphrase { .. } => {
                "try again; nobody but the one who chose the passphrase knows it"
            }
        }
    }
}

impl VaultError {
    /// A refusal of the disk.
    pub(super) fn disk(
        doing: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Disk { doing, path, source }
    }

    /// One damaged file.
    pub(super) fn damaged(path: impl Into<PathBuf>, why: impl Into<String>) -> Self {
        Self::Damaged(vec![Damage { path: path.into(), why: why.into() }])
    }

    /// How it ends a run.
    pub fn severity(&self) -> Severity {
        match self {
            Self::Missing { .. }
            | Self::Headless { .. }
            | Self::Exists { .. }
            | Self::OtherFleet { .. }
            | Self::Damaged(_) => Severity::Guard,
            Self::NotARecipient { .. } | Self::Usage(_) => Severity::Usage,
            Self::Disk { .. }
            | Self::Key(_)
            | Self::NoRecord { .. }
            | Self::NoValue { .. }
            | Self::Contradicts { .. }
            | Self::ReadBack { .. }
            | Self::KeyVault(_)
            | Self::Interrupted => Severity::Failed,
        }
    }

    /// What to do next, where we know it.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Missing { .. } => {
                "make one with `tenantry vault init`; if there was one, bring it back from your \
                 backup instead: a new vault knows none of the old secrets"
            }
            Self::Headless { .. } => {
                "bring vault.json back from your backup; a new one would not know its own files"
            }
            Self::Exists { .. } => "nothing was changed; to start afresh, move the folder away",
            Self::OtherFleet { .. } => "give each fleet a folder of its own (vault.path)",
            Self::Damaged(_) => {
                "bring the named files back from your backup or your repository; or move them away \
                 and make new secrets for those apps (tenantry apply --reissue)"
            }
            Self::Disk { .. } => "check that the folder is there, is yours, and is not full",
            Self::Key(trouble) => trouble.hint(),
            Self::NoRecord { .. } | Self::NoValue { .. } => {
                "tenantry plan shows what is missing; apply makes it"
            }
            Self::Contradicts { .. } => {
                "nothing was written; please report this with the line above"
            }
            Self::ReadBack { .. } => {
                "the disk does not keep what is written to it; use another folder"
            }
            Self::NotARecipient { .. } => "a recipient is public and begins with age1",
            Self::KeyVault(_) => "use vault.path for now",
            Self::Usage(_) | Self::Interrupted => return None,
        })
    }
}

/// All damaged files in one sentence, the first few by name.
fn list(damages: &[Damage]) -> String {
    const SHOWN: usize = 5;
    let mut text = damages
        .iter()
        .take(SHOWN)
        .map(|Damage { path, why }| format!("{} is damaged: {why}", path.display()))
        .collect::<Vec<_>>()
        .join("; ");
    if damages.len() > SHOWN {
        text.push_str(&format!("; and {} more files", damages.len() - SHOWN));
    }
    text
}
