//! What an app has to show for itself, and how this process comes by it.

use crate::{
    entra::{ClientProof, Issuers, SecretAge},
    ids::{AppKey, Nonce},
    registration::Federated,
    status::TokenProof,
    vault::{CredentialKind, Vault, VaultError},
};

/// What an app has to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shows {
    /// A secret or a certificate, whose value is in the vault.
    Kept {
        /// Which of the two.
        kind: CredentialKind,
        /// Its name there.
        nonce: Nonce,
        /// How old it is.
        age: SecretAge,
    },
    /// A token of one of the issuers that it trusts: where one can be had, and not elsewhere.
    Issued(Vec<Federated>),
}

impl Shows {
    /// The credential in the vault, where it is one.
    pub fn nonce(&self) -> Option<&Nonce> {
        match self {
            Self::Kept { kind: _, nonce, age: _ } => Some(nonce),
            Self::Issued(_) => None,
        }
    }

    /// How old it is; a token that was just issued is known wherever its issuer is.
    pub fn age(&self) -> SecretAge {
        match self {
            Self::Kept { kind: _, nonce: _, age } => *age,
            Self::Issued(_) => SecretAge::Settled,
        }
    }
}

/// Why an app cannot show anything here, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unshown {
    /// This process has no key to the vault, or no token of such an issuer.
    NoKey(String),
    /// What the vault holds is not what it wrote, wherever one asks.
    Damaged(String),
}

impl Unshown {
    pub(super) fn token(&self) -> TokenProof {
        match self {
            Self::NoKey(why) => TokenProof::NoKey(why.clone()),
            Self::Damaged(why) => TokenProof::Damaged(why.clone()),
        }
    }
}

impl std::fmt::Display for Unshown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoKey(why) | Self::Damaged(why) => f.write_str(why),
        }
    }
}

/// Where what apps show is taken from.
#[derive(Debug, Clone, Copy)]
pub struct Wallet<'a> {
    /// What is kept.
    pub vault: &'a Vault,
    /// Who issues tokens to this process.
    pub issuers: &'a Issuers,
}

impl Wallet<'_> {
    /// Takes out what an app shows.
    ///
    /// # Errors
    /// Why this process cannot.
    pub async fn proof(&self, app: &AppKey, shows: &Shows) -> Result<ClientProof, Unshown> {
        match shows {
            Shows::Kept { kind, nonce, age: _ } => {
                let value = self.vault.value(app, nonce).await.map_err(|error| match error {
                    VaultError::Damaged(_) => Unshown::Damaged(error.to_string()),
                    other => Unshown::NoKey(other.to_string()),
                })?;
                match kind {
                    CredentialKind::Certificate => {
                        ClientProof::certificate(&value).map_err(Unshown::Damaged)
                    }
                    // A refresh token is not what an app shows for itself; the record knows.
                    CredentialKind::Secret | CredentialKind::RefreshToken => {
                        Ok(ClientProof::Secret(value))
                    }
                }
            }
            Shows::Issued(trusted) => {
                let token = self.issuers.token_for(trusted).await;
                token.map(ClientProof::Issued).map_err(Unshown::NoKey)
            }
        }
    }
}
