//! What `doctor` sees of the vault.

use super::{Check, Health, works};
use crate::{
    cli::context::{Context, vault_trouble},
    vault::{KeyState, Place, Vault},
};

pub(super) async fn look(context: &Context, checks: &mut Vec<Check>) {
    let vault: Vault = match context.vault().await {
        Ok(vault) => vault,
        Err(trouble) => {
            checks.push(Check {
                about: "vault".to_owned(),
                health: Health::Missing,
                found: trouble.why.join("; "),
                remedy: trouble.next,
            });
            return;
        }
    };
    let health = match vault.health().await {
        Ok(health) => health,
        Err(error) => {
            let trouble = vault_trouble("vault", &error);
            checks.push(Check {
                about: "vault".to_owned(),
                health: Health::Missing,
                found: trouble.why.join("; "),
                remedy: trouble.next,
            });
            return;
        }
    };
    checks.push(works(
        "vault",
        format!(
            "{} in {}: {} apps, {} values",
            health.id, health.place, health.records, health.values
        ),
    ));
    checks.push(match &health.writable {
        Ok(()) => works("vault can be written", "yes"),
        Err(error) => Check {
            about: "vault can be written".to_owned(),
            health: Health::Missing,
            found: error.to_string(),
            remedy: error.hint().map(str::to_owned),
        },
    });
    checks.push(match &health.key {
        KeyState::Ready(origin) => works("vault's key", origin.to_string()),
        KeyState::Protected(origin) => {
            works("vault's key", format!("{origin}, behind a passphrase"))
        }
        KeyState::Unreadable(why) => Check {
            about: "vault's key".to_owned(),
            health: Health::Missing,
            found: why.to_string(),
            remedy: Some(why.hint().to_owned()),
        },
    });
    checks.push(Check {
        about: "who can read the vault".to_owned(),
        health: Health::Noted,
        found: match health.place {
            Place::Disk(_) => health.recipients.join(", "),
            Place::KeyVault(_) => "whoever its access rules let".to_owned(),
        },
        remedy: None,
    });
    for damage in &health.damaged {
        checks.push(Check {
            about: damage.place.to_string(),
            health: Health::Missing,
            found: damage.why.clone(),
            remedy: Some(
                "restore the file from a backup, or move it away and apply --reissue".to_owned(),
            ),
        });
    }
    for path in &health.open_to_others {
        checks.push(Check {
            about: path.display().to_string(),
            health: Health::Missing,
            found: "others on this machine may read it".to_owned(),
            remedy: Some(format!("chmod go-rwx {}", path.display())),
        });
    }
}
