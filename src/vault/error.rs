//! What can go wrong in the vault, each with what to do next. No error ever holds a value.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use url::Url;

use crate::{
    failure::{Cause, Failure},
    ids::{AppKey, FleetName, Nonce, VaultId},
    vault::record::Contradiction,
};

/// Where a vault is, or a part of one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A folder or a file.
    Disk(PathBuf),
    /// An Azure Key Vault, or a secret in one.
    KeyVault(Url),
}

impl Place {
    /// Whether two names lead to one place.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Disk(one), Self::Disk(two)) => {
                let real = |path: &PathBuf| path.canonicalize().unwrap_or_else(|_| path.clone());
                real(one) == real(two)
            }
            (Self::KeyVault(one), Self::KeyVault(two)) => one == two,
            (Self::Disk(_) | Self::KeyVault(_), _) => false,
        }
    }
}

impl From<&Path> for Place {
    fn from(path: &Path) -> Self {
        Self::Disk(path.to_owned())
    }
}

impl From<&PathBuf> for Place {
    fn from(path: &PathBuf) -> Self {
        Self::Disk(path.clone())
    }
}

impl From<PathBuf> for Place {
    fn from(path: PathBuf) -> Self {
        Self::Disk(path)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disk(path) => path.display().fmt(f),
            Self::KeyVault(url) => f.write_str(url.as_str().trim_end_matches('/')),
        }
    }
}

/// Why the vault did not do what was asked of it.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// There is no vault there.
    #[error("there is no vault at {place}")]
    Missing {
        /// Where it should be.
        place: Place,
    },
    /// There are files of a vault there, but not the one that says which vault it is.
    #[error("{place} holds {records} record(s) of a vault, but its {head} is gone")]
    Headless {
        /// Where it should be.
        place: Place,
        /// How many records of apps are there.
        records: usize,
        /// What says which vault it is: a file, or a secret in a key vault.
        head: String,
    },
    /// The vault, or a part of it, was deleted and can still be recovered.
    #[error("the vault of this fleet was deleted, and lies in the bin of {place}{}", lies(.secrets, *.until))]
    Buried {
        /// In which key vault.
        place: Place,
        /// What can be recovered.
        secrets: Vec<String>,
        /// When the first of it is purged, where that is said.
        until: Option<Timestamp>,
    },
    /// A vault was to be made where there is one.
    #[error("there is a vault at {place} already")]
    Exists {
        /// Where it is.
        place: Place,
    },
    /// A vault was to be copied over itself, and has learnt there what is not known here.
    #[error(
        "the vault at {place} has gone on since it was copied there: of app {app} it knows more than this one"
    )]
    GoneOn {
        /// Where it is.
        place: Place,
        /// The first app of which it knows more.
        app: AppKey,
    },
    /// The vault is another fleet's.
    #[error("the vault at {place} belongs to fleet {found}, not to {wanted}")]
    OtherFleet {
        /// Where it is.
        place: Place,
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
    #[error("{place} does not read back as it was written")]
    ReadBack {
        /// Which file or secret.
        place: Place,
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
    /// The key vault, or the way to it, refused.
    #[error("could not {doing} {place}: {failure}")]
    Refused {
        /// What was tried, as in `could not … SECRET`.
        doing: &'static str,
        /// On which vault or secret.
        place: Place,
        /// What came back.
        failure: Box<Failure>,
    },
    /// A record is larger than the tags of one secret.
    #[error("what is to be remembered of {what} is {length} characters long; {place} takes {most}")]
    TooLong {
        /// Of which app or tenant.
        what: String,
        /// How long it is.
        length: usize,
        /// How long it may be.
        most: usize,
        /// Where.
        place: Place,
    },
    /// Another run writes there just now.
    #[error("another run writes the vault at {place} just now")]
    Busy {
        /// Where.
        place: Place,
    },
    /// The lease by which we alone may write ran out before it could be renewed.
    #[error("the right to write into {place} ran out: the key vault could not be reached in time")]
    LeaseLost {
        /// Where.
        place: Place,
    },
    /// The process is on its way out.
    #[error("the vault was interrupted")]
    Interrupted,
}

/// How a failure of the vault ends a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The vault is lost, wrong or not to be trusted: nothing may be changed (exit 7).
    Guard,
    /// The operator may not use it, or cannot sign in to it (exit 5).
    MayNot,
    /// It was asked for in a way that cannot be meant (exit 64).
    Usage,
    /// It did not work (exit 1).
    Failed,
}

/// A file or a secret that is not what this vault wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Which.
    pub place: Place,
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
    /// Azure Key Vault itself, which opens values to whom its owner allows.
    KeyVault,
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
            Self::KeyVault => f.write_str("Azure Key Vault keeps it"),
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
    /// Azure Key Vault does not let us read values.
    #[error("{vault} does not let us read values: {why}")]
    NotAllowed {
        /// Which.
        vault: Url,
        /// In its words.
        why: String,
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
            Self::NotAllowed { .. } => {
                "give the operator the role Key Vault Secrets User on it, or Secrets Officer to \
                 write too; plan needs neither"
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

    /// One damaged file or secret.
    pub(super) fn damaged(place: impl Into<Place>, why: impl Into<String>) -> Self {
        Self::Damaged(vec![Damage { place: place.into(), why: why.into() }])
    }

    /// How it ends a run.
    pub fn severity(&self) -> Severity {
        match self {
            Self::Missing { .. }
            | Self::Headless { .. }
            | Self::Buried { .. }
            | Self::Exists { .. }
            | Self::GoneOn { .. }
            | Self::OtherFleet { .. }
            | Self::Damaged(_) => Severity::Guard,
            Self::NotARecipient { .. } | Self::Usage(_) => Severity::Usage,
            Self::Disk { .. }
            | Self::Key(_)
            | Self::NoRecord { .. }
            | Self::NoValue { .. }
            | Self::Contradicts { .. }
            | Self::ReadBack { .. }
            | Self::TooLong { .. }
            | Self::Busy { .. }
            | Self::LeaseLost { .. }
            | Self::Interrupted => Severity::Failed,
            Self::Refused { failure, .. } => match failure.cause {
                Cause::SignIn | Cause::Privilege => Severity::MayNot,
                _ => Severity::Failed,
            },
        }
    }

    /// What to do next, where we know it.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Missing { place: Place::KeyVault(_) } => {
                "make one with `tenantry vault init`; if there was one, look first for what was \
                 deleted (`az keyvault secret list-deleted --vault-name VAULT`) and recover it: a new \
                 vault knows none of the old secrets"
            }
            Self::Missing { place: Place::Disk(_) } => {
                "make one with `tenantry vault init`; if there was one, bring it back from your \
                 backup instead: a new vault knows none of the old secrets"
            }
            Self::Headless { .. } => {
                "bring it back from your backup (a deleted secret: `az keyvault secret recover`); a \
                 new one would not know its own records"
            }
            Self::Buried { .. } => {
                "nothing was changed; recover each of them with `az keyvault secret recover \
                 --vault-name VAULT --name SECRET`, and it is the same vault again; for a new one, \
                 purge them first"
            }
            Self::Exists { place: Place::Disk(_) } => {
                "nothing was changed; to start afresh, move the folder away"
            }
            Self::Exists { place: Place::KeyVault(_) } => {
                "nothing was changed; every machine that may read it can use it as it is"
            }
            Self::GoneOn { .. } => {
                "nothing was changed there. Name that place in the manifest and copy from it instead; \
                 only if what it learnt is worth nothing, empty it first"
            }
            Self::OtherFleet { .. } => "give each fleet a folder of its own (vault.path)",
            Self::Damaged(damages)
                if damages.iter().all(|one| matches!(one.place, Place::KeyVault(_))) =>
            {
                "bring back what is named: the versions of a secret, and what was deleted of it, \
                 are still in the key vault (az keyvault secret list-versions, list-deleted)"
            }
            Self::Damaged(_) => {
                "bring what is named back from your backup or your repository; or move it away \
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
            Self::ReadBack { .. } => "what is written there is not kept; use another place",
            Self::NotARecipient { .. } => "a recipient is public and begins with age1",
            Self::Refused { failure, .. } => match failure.cause {
                Cause::SignIn => "tenantry doctor says who signs in, and why not otherwise",
                Cause::Privilege => {
                    "give the operator the role Key Vault Secrets Officer on that key vault; status \
                     needs only Key Vault Secrets User, and plan Key Vault Reader, which sees names \
                     and tags and no value"
                }
                Cause::Unreachable | Cause::NoAnswer => {
                    "check vault.keyVault in the manifest, and that its firewall lets this machine in"
                }
                Cause::NotFound => {
                    "there is no key vault of that name: correct vault.keyVault, or make it first"
                }
                _ => "run the same command again later; what is done stays done",
            },
            Self::TooLong { .. } => {
                "names given to attest (--by, --ticket) fill a tenant's record: shorten them; an \
                 app's is filled by its credentials: `tenantry rotate KEY --now --revoke-old` leaves \
                 one of ours"
            }
            Self::Busy { .. } => "wait for it to end",
            Self::LeaseLost { .. } => "run the same command again; what is done stays done",
            Self::Usage(_) | Self::Interrupted => return None,
        })
    }
}

/// What lies in a bin, the first few by name, and until when.
fn lies(secrets: &[String], until: Option<Timestamp>) -> String {
    const SHOWN: usize = 5;
    let until = until.map_or_else(String::new, |at| format!(" until {}", at.strftime("%Y-%m-%d")));
    let names = secrets.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = secrets.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{until}: {names}{more}")
}

/// All damaged files in one sentence, the first few by name.
fn list(damages: &[Damage]) -> String {
    const SHOWN: usize = 5;
    let mut text = damages
        .iter()
        .take(SHOWN)
        .map(|Damage { place, why }| format!("{place} is damaged: {why}"))
        .collect::<Vec<_>>()
        .join("; ");
    if damages.len() > SHOWN {
        text.push_str(&format!("; and {} more", damages.len() - SHOWN));
    }
    text
}
