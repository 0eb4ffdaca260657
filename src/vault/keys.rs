//! The key that opens values: where it is, whose it is, and asking for its passphrase once.
//!
//! Writing needs only the recipients, which stand in `vault.json`; this room is for reading.
//! A key is an age X25519 identity, in the file format of `age-keygen`, so that
//! `age -d -i KEY` and `rage` open the values too.

use std::{
    fmt, fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use age::{
    Decryptor, Encryptor,
    armor::{ArmoredReader, ArmoredWriter, Format},
    scrypt,
    secrecy::{ExposeSecret as _, SecretString},
    x25519,
};
use etcetera::BaseStrategy as _;
use jiff::Timestamp;
use tokio::sync::OnceCell;
use zeroize::Zeroizing;

use crate::{
    ids::VaultId,
    secret::Secret,
    vault::{
        disk,
        error::{KeyOrigin, KeyTrouble, VaultError},
    },
};

/// An age identity itself (`AGE-SECRET-KEY-1…`, several a line each), or the path of a file that
/// holds one; whatever has a key in it is taken as a key.
pub const IDENTITY_VARIABLE: &str = "TENANTRY_AGE_IDENTITY";
/// The passphrase of a protected key file.
pub const PASSPHRASE_VARIABLE: &str = "TENANTRY_AGE_PASSPHRASE";

/// What scrypt costs: 2^18, about a second, age's own choice. Up to 2^22 is accepted in a key file
/// from elsewhere.
const WORK: u8 = 18;
const MOST_WORK: u8 = 22;

/// Asks somebody for the passphrase of this file.
pub type AskPassphrase = fn(&Path) -> io::Result<Secret<String>>;

/// Where a passphrase comes from, should the key file be protected by one.
#[derive(Clone)]
pub enum Passphrase {
    /// From nowhere.
    None,
    /// It is known already.
    Given(Secret<String>),
    /// From a person; asked at most once in a run, and only when a value is needed.
    Ask(AskPassphrase),
}

/// Where to look for the key.
#[derive(Clone)]
pub struct KeySource {
    /// What [`IDENTITY_VARIABLE`] says; goes before any key file.
    pub identity: Option<Secret<String>>,
    /// The folder of key files, each named by its vault.
    pub folder: Option<PathBuf>,
    /// What opens a protected key file.
    pub passphrase: Passphrase,
}

impl KeySource {
    /// The operator's own: the environment, then the user's configuration folder
    /// (`$XDG_CONFIG_HOME/tenantry/keys`, by default `~/.config/tenantry/keys`). An empty variable
    /// is one that is not set: that is how pipelines pass a secret which they withhold.
    pub fn of_operator(ask: Option<AskPassphrase>) -> Self {
        let variable = |name| std::env::var(name).ok().filter(|text| !text.trim().is_empty());
        let passphrase = match (variable(PASSPHRASE_VARIABLE), ask) {
            (Some(given), _) => Passphrase::Given(Secret::new(given)),
            (None, Some(ask)) => Passphrase::Ask(ask),
            (None, None) => Passphrase::None,
        };
        Self {
            identity: variable(IDENTITY_VARIABLE).map(Secret::new),
            folder: etcetera::choose_base_strategy()
                .ok()
                .map(|user| user.config_dir().join("tenantry").join("keys")),
            passphrase,
        }
    }

    /// This folder and nothing else: nothing of the user, nothing of the environment.
    pub fn folder(folder: impl Into<PathBuf>) -> Self {
        Self { identity: None, folder: Some(folder.into()), passphrase: Passphrase::None }
    }

    /// The key file of a vault.
    pub fn file_of(&self, vault: VaultId) -> Option<PathBuf> {
        self.folder.as_ref().map(|folder| folder.join(format!("{vault}.key")))
    }
}

impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { identity, folder, passphrase: _ } = self;
        f.debug_struct("KeySource").field("identity", identity).field("folder", folder).finish()
    }
}

/// Whether values can be read, as far as can be told without asking anybody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyState {
    /// The key is here and opens the vault.
    Ready(KeyOrigin),
    /// A key file is here and a passphrase can be had; whether it fits shows when it is used.
    Protected(KeyOrigin),
    /// Values can be written and not read.
    Unreadable(KeyTrouble),
}

/// The key of one vault, opened at most once.
pub(super) struct Keyring {
    vault: VaultId,
    recipients: Vec<String>,
    found: Found,
    opened: OnceCell<Result<Vec<x25519::Identity>, KeyTrouble>>,
}

enum Found {
    Plain { identities: Vec<x25519::Identity>, from: KeyOrigin },
    Protected { armored: Vec<u8>, file: PathBuf, passphrase: Passphrase },
    Nothing(KeyTrouble),
}

impl Keyring {
    /// Looks for the key; blocks on small files, asks nobody.
    pub(super) fn look(source: &KeySource, vault: VaultId, recipients: Vec<String>) -> Self {
        let found = find(source, vault).unwrap_or_else(Found::Nothing);
        Self::new(found, vault, recipients)
    }

    /// The key just made.
    pub(super) fn made(made: &MadeKey, vault: VaultId, recipients: Vec<String>) -> Self {
        let (identities, from) = (made.identities.clone(), made.from.clone());
        Self::new(Found::Plain { identities, from }, vault, recipients)
    }

    fn new(found: Found, vault: VaultId, recipients: Vec<String>) -> Self {
        let found = match found {
            Found::Plain { identities, from } => match fitting(&identities, &recipients) {
                true => Found::Plain { identities, from },
                false => Found::Nothing(KeyTrouble::OfAnother { from, vault }),
            },
            Found::Protected { .. } | Found::Nothing(_) => found,
        };
        Self { vault, recipients, found, opened: OnceCell::new() }
    }

    /// What can be told without asking.
    pub(super) fn state(&self) -> KeyState {
        match (self.opened.get(), &self.found) {
            (Some(Err(trouble)), _) => KeyState::Unreadable(trouble.clone()),
            (_, Found::Plain { from, .. }) => KeyState::Ready(from.clone()),
            (Some(Ok(_)), Found::Protected { file, .. }) => {
                KeyState::Ready(KeyOrigin::File(file.clone()))
            }
            (None, Found::Protected { file, passphrase, .. }) => {
                let from = KeyOrigin::File(file.clone());
                match passphrase {
                    Passphrase::None => KeyState::Unreadable(KeyTrouble::PassphraseNeeded { from }),
                    Passphrase::Given(_) | Passphrase::Ask(_) => KeyState::Protected(from),
                }
            }
            (_, Found::Nothing(trouble)) => KeyState::Unreadable(trouble.clone()),
        }
    }

    /// The identities; the first call may ask for a passphrase, a wrong one is not asked for again.
    pub(super) async fn identities(&self) -> Result<&[x25519::Identity], KeyTrouble> {
        let opened = self.opened.get_or_init(async || match &self.found {
            Found::Plain { identities, .. } => Ok(identities.clone()),
            Found::Nothing(trouble) => Err(trouble.clone()),
            Found::Protected { armored, file, passphrase } => {
                let from = KeyOrigin::File(file.clone());
                let (armored, file, passphrase) =
                    (armored.clone(), file.clone(), passphrase.clone());
                // A second of scrypt, and perhaps a person's answer.
                let opening =
                    tokio::task::spawn_blocking(move || unprotect(&armored, &file, &passphrase));
                let identities = opening.await.map_err(|error| KeyTrouble::Unreadable {
                    from: from.clone(),
                    why: error.to_string(),
                })??;
                match fitting(&identities, &self.recipients) {
                    true => Ok(identities),
                    false => Err(KeyTrouble::OfAnother { from, vault: self.vault }),
                }
            }
        });
        opened.await.as_deref().map_err(Clone::clone)
    }
}

/// Whether one of these keys is among the recipients.
fn fitting(identities: &[x25519::Identity], recipients: &[String]) -> bool {
    identities.iter().any(|identity| recipients.contains(&identity.to_public().to_string()))
}

fn find(source: &KeySource, vault: VaultId) -> Result<Found, KeyTrouble> {
    if let Some(text) = &source.identity {
        let (identities, from) = from_environment(text)?;
        return Ok(Found::Plain { identities, from });
    }
    let Some(file) = source.file_of(vault) else {
        return Err(KeyTrouble::Absent { vault, looked: KeyOrigin::Nowhere });
    };
    let from = KeyOrigin::File(file.clone());
    match fs::read(&file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(KeyTrouble::Absent { vault, looked: from })
        }
        Err(error) => Err(KeyTrouble::Unreadable { from, why: error.to_string() }),
        Ok(bytes) => {
            let bytes = Zeroizing::new(bytes);
            match Decryptor::new_buffered(ArmoredReader::new(&bytes[..])) {
                Ok(decryptor) if decryptor.is_scrypt() => Ok(Found::Protected {
                    armored: bytes.to_vec(),
                    file,
                    passphrase: source.passphrase.clone(),
                }),
                _ => Ok(Found::Plain { identities: parse(&bytes, &from)?, from }),
            }
        }
    }
}

/// The identities that [`IDENTITY_VARIABLE`] holds or names.
fn from_environment(
    text: &Secret<String>,
) -> Result<(Vec<x25519::Identity>, KeyOrigin), KeyTrouble> {
    let text = text.expose().trim();
    // Anything that has a key in it is no path, however it is quoted: it must not end in a message.
    if text.to_ascii_uppercase().contains("AGE-SECRET-KEY-") {
        let from = KeyOrigin::Environment;
        return Ok((parse(text.as_bytes(), &from)?, from));
    }
    let from = KeyOrigin::EnvironmentFile;
    let bytes =
        Zeroizing::new(fs::read(text).map_err(|error| KeyTrouble::Unreadable {
            from: from.clone(),
            why: error.to_string(),
        })?);
    Ok((parse(&bytes, &from)?, from))
}

/// Reads an identity file: a key a line, `#` and empty lines apart.
fn parse(bytes: &[u8], from: &KeyOrigin) -> Result<Vec<x25519::Identity>, KeyTrouble> {
    let wrong = || KeyTrouble::NotAnIdentity { from: from.clone() };
    let identities: Vec<x25519::Identity> = std::str::from_utf8(bytes)
        .map_err(|_| wrong())?
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| line.parse().map_err(|_| wrong()))
        .collect::<Result<_, _>>()?;
    if identities.is_empty() { Err(wrong()) } else { Ok(identities) }
}

fn unprotect(
    armored: &[u8],
    file: &Path,
    passphrase: &Passphrase,
) -> Result<Vec<x25519::Identity>, KeyTrouble> {
    let from = KeyOrigin::File(file.to_owned());
    let passphrase = match passphrase {
        Passphrase::None => return Err(KeyTrouble::PassphraseNeeded { from }),
        Passphrase::Given(given) => given.clone(),
        Passphrase::Ask(ask) => ask(file).map_err(|error| KeyTrouble::Unreadable {
            from: from.clone(),
            why: error.to_string(),
        })?,
    };
    let mut identity = scrypt::Identity::new(SecretString::from(passphrase.expose().clone()));
    identity.set_max_work_factor(MOST_WORK);
    let mut reader = Decryptor::new_buffered(ArmoredReader::new(armored))
        .and_then(|decryptor| decryptor.decrypt(std::iter::once(&identity as &dyn age::Identity)))
        .map_err(|error| match error {
            age::DecryptError::DecryptionFailed
            | age::DecryptError::KeyDecryptionFailed
            | age::DecryptError::NoMatchingKeys => {
                KeyTrouble::WrongPassphrase { from: from.clone() }
            }
            other => KeyTrouble::Unreadable { from: from.clone(), why: other.to_string() },
        })?;
    let mut plain = Zeroizing::new(Vec::with_capacity(armored.len()));
    reader
        .read_to_end(&mut plain)
        .map_err(|error| KeyTrouble::Unreadable { from: from.clone(), why: error.to_string() })?;
    parse(&plain, &from)
}

/// The key of a vault that is being made.
pub(super) struct MadeKey {
    identities: Vec<x25519::Identity>,
    from: KeyOrigin,
    /// The file, where we made one: to be taken back if the vault is not made after all.
    pub(super) file: Option<PathBuf>,
}

impl MadeKey {
    /// The public halves.
    pub(super) fn recipients(&self) -> impl Iterator<Item = String> {
        self.identities.iter().map(|identity| identity.to_public().to_string())
    }
}

/// Makes the key of a new vault, or takes the one that the environment gives, or the one that a
/// vault which is moved has already.
pub(super) fn make(
    source: &KeySource,
    vault: VaultId,
    passphrase: Option<&Secret<String>>,
) -> Result<MadeKey, VaultError> {
    if let Some(text) = &source.identity {
        if passphrase.is_some() {
            return Err(VaultError::Usage(
                "a passphrase protects a key file, but the key is given by TENANTRY_AGE_IDENTITY",
            ));
        }
        let (identities, from) = from_environment(text)?;
        return Ok(MadeKey { identities, from, file: None });
    }
    let Some((folder, file)) = source.folder.as_ref().zip(source.file_of(vault)) else {
        return Err(KeyTrouble::Absent { vault, looked: KeyOrigin::Nowhere }.into());
    };
    // A vault that is moved has its key already.
    match find(source, vault) {
        Ok(Found::Plain { identities, from }) => {
            return Ok(MadeKey { identities, from, file: None });
        }
        Ok(Found::Protected { armored, file, passphrase }) => {
            let identities = unprotect(&armored, &file, &passphrase)?;
            return Ok(MadeKey { identities, from: KeyOrigin::File(file), file: None });
        }
        Ok(Found::Nothing(_)) | Err(_) => {}
    }
    let identity = x25519::Identity::generate();
    let content = key_file(&identity, vault, passphrase)
        .map_err(|error| VaultError::disk("protect", &file)(io::Error::other(error)))?;
    disk::make_folder(folder).map_err(VaultError::disk("make", folder))?;
    disk::create(folder, &file, &content).map_err(VaultError::disk("write", &file))?;
    let from = KeyOrigin::File(file.clone());
    Ok(MadeKey { identities: vec![identity], from, file: Some(file) })
}

/// The text of a key file, protected where a passphrase is given.
fn key_file(
    identity: &x25519::Identity,
    vault: VaultId,
    passphrase: Option<&Secret<String>>,
) -> Result<Zeroizing<Vec<u8>>, age::EncryptError> {
    use std::io::Write as _;
    let mut plain = Zeroizing::new(Vec::with_capacity(512));
    writeln!(plain, "# key of tenantry vault {vault}")?;
    writeln!(plain, "# created: {:.0}", Timestamp::now())?;
    writeln!(plain, "# public key: {}", identity.to_public())?;
    writeln!(plain, "{}", identity.to_string().expose_secret())?;
    let Some(passphrase) = passphrase else { return Ok(plain) };

    let mut recipient = scrypt::Recipient::new(SecretString::from(passphrase.expose().clone()));
    recipient.set_work_factor(WORK);
    let mut armored = Zeroizing::new(Vec::with_capacity(1024));
    let armor = ArmoredWriter::wrap_output(&mut *armored, Format::AsciiArmor)?;
    let recipients = std::iter::once(&recipient as &dyn age::Recipient);
    let mut writer = Encryptor::with_recipients(recipients)?.wrap_output(armor)?;
    writer.write_all(&plain)?;
    writer.finish()?.finish()?;
    Ok(armored)
}

/// Reads a recipient as somebody gives it.
///
/// # Errors
/// It is not an X25519 recipient (`age1…`). A secret key given by mistake is not repeated.
pub(super) fn recipient(text: &str) -> Result<x25519::Recipient, VaultError> {
    text.trim().parse().map_err(|_| VaultError::NotARecipient {
        text: if text.to_ascii_uppercase().contains("SECRET") {
            "a secret key".to_owned()
        } else {
            text.to_owned()
        },
    })
}
