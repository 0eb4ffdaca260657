//! What was deleted from a key vault and can still be recovered.

use jiff::Timestamp;

/// A secret of an app in the bin of the key vault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deleted {
    /// The key vault's name.
    pub vault: String,
    /// The secret's name.
    pub secret: String,
    /// When the key vault purges it, where it says so.
    pub until: Option<Timestamp>,
}

impl Deleted {
    /// The command that brings it back
    /// (<https://learn.microsoft.com/en-us/cli/azure/keyvault/secret#az-keyvault-secret-recover>).
    pub fn recover(&self) -> String {
        let Self { vault, secret, until: _ } = self;
        format!("az keyvault secret recover --vault-name {vault} --name {secret}")
    }
}
