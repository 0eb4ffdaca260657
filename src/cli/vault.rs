//! `tenantry vault init`: makes the place where secrets are kept, once per fleet.

use std::{
    io::{self, Write},
    path::Path,
};

use serde_json::json;

use crate::{
    cli::Format,
    ids::FleetName,
    secret::Secret,
    vault::{
        InitReport, Keeping, KeySource, NewVault, PASSPHRASE_VARIABLE, Passphrase, Place, Severity,
        Vault, VaultError,
    },
};

/// What can be done with the vault itself.
#[derive(Debug, clap::Subcommand)]
pub(super) enum VaultCommand {
    /// Make the vault: its id, and the key that opens what is stored in it
    ///
    /// Run it once per fleet, then back up the key file that it names: a secret in the vault
    /// cannot be read without the key, and Microsoft tells no secret twice.
    ///
    /// If TENANTRY_AGE_IDENTITY is set, that key is the vault's and no key file is made.
    /// Where a vault is already, nothing is changed.
    Init(InitArgs),
    /// Copy the vault to another place, and compare every value there
    ///
    /// It stays the same vault, so that no secret has to be made anew. Afterwards name the new place
    /// under `vault` in the manifest and put the old one away: two that are written side by side
    /// know nothing of each other. The audit stays where it is.
    Copy(CopyArgs),
}

/// Arguments of `vault copy`.
#[derive(Debug, clap::Args)]
pub(super) struct CopyArgs {
    /// A folder, or https://NAME.vault.azure.net
    #[arg(long, value_name = "PLACE")]
    pub(super) to: String,
}

/// Arguments of `vault init`.
#[derive(Debug, Default, clap::Args)]
pub(super) struct InitArgs {
    /// Protect the key file with a passphrase, asked for here or read from TENANTRY_AGE_PASSPHRASE
    #[arg(long)]
    pub(super) passphrase: bool,

    /// Let the owner of this age key read the vault too (a colleague, a pipeline); repeatable
    #[arg(long = "recipient", value_name = "age1…")]
    pub(super) recipients: Vec<String>,
}

/// Why `vault init` did not.
#[derive(Debug, thiserror::Error)]
pub(super) enum InitError {
    /// The vault could not be made.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// A passphrase is wanted where no key is.
    #[error("a key vault has no key file that a passphrase could protect")]
    NoKey,
    /// A passphrase is wanted and nobody can be asked.
    #[error("nobody can be asked for a passphrase here")]
    NobodyToAsk,
    /// Asking for the passphrase failed.
    #[error("the passphrase was not taken: {0}")]
    Asking(#[source] io::Error),
    /// The vault was made, and the report of it could not be printed.
    #[error("the vault was made, but its report could not be printed: {0}")]
    Output(#[source] io::Error),
}

impl InitError {
    /// How it ends the run.
    pub(super) fn severity(&self) -> Severity {
        match self {
            Self::Vault(error) => error.severity(),
            Self::NoKey | Self::NobodyToAsk | Self::Asking(_) => Severity::Usage,
            Self::Output(_) => Severity::Failed,
        }
    }

    /// What to do next, where we know it.
    pub(super) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Vault(error) => error.hint(),
            Self::NobodyToAsk => Some("run it in a terminal, or set TENANTRY_AGE_PASSPHRASE"),
            Self::NoKey => Some("leave --passphrase out: who reads it, its access rules say"),
            Self::Asking(_) | Self::Output(_) => None,
        }
    }
}

/// Makes the vault of `fleet` and says what was made and what to back up.
///
/// # Errors
/// See [`InitError`]; where it is not [`InitError::Output`], nothing was made.
pub(super) async fn run(
    args: &InitArgs,
    keeping: &Keeping,
    fleet: &FleetName,
    format: Format,
    out: &mut impl Write,
) -> Result<(), InitError> {
    let InitArgs { passphrase, recipients } = args;
    let passphrase = match (passphrase, keeping) {
        (false, _) => None,
        (true, Keeping::Folder(_, keys)) => Some(new_passphrase(keys)?),
        (true, Keeping::KeyVault(_)) => {
            return Err(InitError::NoKey);
        }
    };
    let protected = passphrase.is_some();
    let new = NewVault { id: None, passphrase, recipients: recipients.clone() };
    let (_, report) = Vault::init(keeping, fleet, new).await?;
    let text = match format {
        Format::Text => text(&report, fleet, protected),
        Format::Json => json(&report, fleet, protected),
    };
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(InitError::Output)
}

fn text(report: &InitReport, fleet: &FleetName, protected: bool) -> String {
    let InitReport { place, id, key_file, recipients } = report;
    let mut text = format!("vault {id} made for fleet {fleet}\n");
    match place {
        Place::Disk(folder) => text.push_str(&format!("  folder      {}\n", folder.display())),
        Place::KeyVault(_) => {
            text.push_str(&format!("  key vault   {place}\n"));
            text.push_str(
                "Who may read its secrets, its access rules say: Key Vault Secrets Officer for apply,\n\
                 Secrets User for status, Reader for plan.\n",
            );
            return text;
        }
    }
    match key_file {
        Some(file) => {
            let how = if protected { "opened by your passphrase" } else { "no passphrase" };
            text.push_str(&format!("  key         {} ({how})\n", file.display()));
        }
        None => {
            text.push_str("  key         the one in TENANTRY_AGE_IDENTITY, kept nowhere else\n")
        }
    }
    for (number, recipient) in recipients.iter().enumerate() {
        let word = if number == 0 { "readable by" } else { "" };
        text.push_str(&format!("  {word:<11} {recipient}\n"));
    }
    text.push_str(match key_file {
        Some(_) => {
            "Back up the key file, apart from the folder: without it no secret in this vault can\n\
             be read again, and each has to be made anew (tenantry apply --reissue).\n"
        }
        None => {
            "Keep that key: without it no secret in this vault can be read again, and each has to\n\
             be made anew (tenantry apply --reissue).\n"
        }
    });
    text
}

fn json(report: &InitReport, fleet: &FleetName, protected: bool) -> String {
    let InitReport { place, id, key_file, recipients } = report;
    let (folder, key_vault) = match place {
        Place::Disk(folder) => (Some(folder), None),
        Place::KeyVault(_) => (None, Some(place.to_string())),
    };
    let value = json!({
        "formatVersion": 1,
        "vault": id,
        "fleet": fleet,
        "folder": folder,
        "keyVault": key_vault,
        "keyFile": key_file,
        "keyProtected": protected,
        "recipients": recipients,
    });
    format!("{value:#}\n")
}

/// The passphrase that a new key file is to have: from the environment, or typed twice.
fn new_passphrase(keys: &KeySource) -> Result<Secret<String>, InitError> {
    match &keys.passphrase {
        Passphrase::Given(given) => Ok(given.clone()),
        Passphrase::None => Err(InitError::NobodyToAsk),
        Passphrase::Ask(_) => {
            let first = ask("New passphrase of the vault's key").map_err(InitError::Asking)?;
            let second = ask("The same again").map_err(InitError::Asking)?;
            if first.expose() == second.expose() {
                Ok(first)
            } else {
                Err(InitError::Asking(io::Error::other("the two are not the same")))
            }
        }
    }
}

/// Asks on the terminal for the passphrase of a key file: what [`KeySource::of_operator`] is given
/// wherever somebody sits before a terminal and may be asked.
///
/// # Errors
/// There is no terminal, or nothing was typed.
pub(super) fn ask_passphrase(file: &Path) -> io::Result<Secret<String>> {
    ask(&format!("Passphrase of {} (or set {PASSPHRASE_VARIABLE})", file.display()))
}

/// Asks on standard error, so that standard output stays the result's.
fn ask(what: &str) -> io::Result<Secret<String>> {
    let terminal = console::Term::stderr();
    if !terminal.is_term() {
        return Err(io::Error::other("standard error is not a terminal"));
    }
    terminal.write_str(&format!("{what}: "))?;
    let typed = Secret::new(terminal.read_secure_line()?);
    if typed.expose().is_empty() {
        return Err(io::Error::other("nothing was typed"));
    }
    Ok(typed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::testing::fleet;

    async fn init(args: InitArgs, keys: KeySource, format: Format, root: &Path) -> String {
        let keeping = Keeping::folder(root.join("vault"), keys);
        let mut out = Vec::new();
        run(&args, &keeping, &fleet(), format, &mut out).await.unwrap();
        String::from_utf8(out).unwrap()
    }

    #[tokio::test]
    async fn it_says_what_it_made_and_what_to_back_up() {
        let root = tempfile::tempdir().unwrap();
        let keys = KeySource::folder(root.path().join("keys"));
        let said = init(InitArgs::default(), keys.clone(), Format::Text, root.path()).await;
        let keeping = Keeping::folder(root.path().join("vault"), keys.clone());
        let vault = Vault::open(&keeping, &fleet()).await.unwrap();
        let file = keys.file_of(vault.id()).unwrap();
        assert!(file.exists() && said.contains(&file.display().to_string()), "{said}");
        assert!(said.contains(&vault.id().to_string()) && said.contains("Back up"), "{said}");
        assert!(!said.contains("AGE-SECRET"), "{said}");

        let mut out = Vec::new();
        let again = run(&InitArgs::default(), &keeping, &fleet(), Format::Text, &mut out).await;
        assert_eq!(again.unwrap_err().severity(), Severity::Guard);
        assert!(out.is_empty());
    }

    #[tokio::test]
    async fn a_key_from_the_environment_makes_no_file() {
        let root = tempfile::tempdir().unwrap();
        let key = age::x25519::Identity::generate();
        let mut keys = KeySource::folder(root.path().join("keys"));
        let text = age::secrecy::ExposeSecret::expose_secret(&key.to_string()).to_owned();
        keys.identity = Some(Secret::new(text));
        let said = init(InitArgs::default(), keys, Format::Json, root.path()).await;
        let said: serde_json::Value = serde_json::from_str(&said).unwrap();
        assert_eq!(said["keyFile"], serde_json::Value::Null);
        assert_eq!(said["recipients"], json!([key.to_public().to_string()]));
        assert!(!root.path().join("keys").exists());
    }

    #[tokio::test]
    async fn a_passphrase_that_nobody_can_give_is_wrong_usage_and_makes_nothing() {
        let root = tempfile::tempdir().unwrap();
        let args = InitArgs { passphrase: true, ..InitArgs::default() };
        let keys = KeySource::folder(root.path().join("keys"));
        let keeping = Keeping::folder(root.path().join("vault"), keys.clone());
        let error =
            run(&args, &keeping, &fleet(), Format::Text, &mut Vec::new()).await.unwrap_err();
        assert_eq!(error.severity(), Severity::Usage);
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0);

        let passphrase = Passphrase::Given(Secret::new("correct horse".to_owned()));
        let said = init(args, KeySource { passphrase, ..keys }, Format::Text, root.path()).await;
        assert!(said.contains("opened by your passphrase"), "{said}");
    }
}
