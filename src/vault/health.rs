//! What `doctor` says of a vault.

use std::path::PathBuf;

use crate::{
    ids::VaultId,
    vault::{
        error::{Damage, Place, VaultError},
        keys::KeyState,
        lock::Holder,
    },
};

/// How a vault is.
#[derive(Debug)]
pub struct Health {
    /// Where it is.
    pub place: Place,
    /// Which one it is.
    pub id: VaultId,
    /// To whom values are sealed (public keys); each of them can read every value. None in a key
    /// vault, whose owner decides who reads.
    pub recipients: Vec<String>,
    /// Whether it can be written.
    pub writable: Result<(), VaultError>,
    /// Whether values can be read, and with which key.
    pub key: KeyState,
    /// How many apps it has a record of.
    pub records: usize,
    /// How many values it holds.
    pub values: usize,
    /// Files and secrets that cannot be read.
    pub damaged: Vec<Damage>,
    /// Who is writing just now.
    pub holder: Option<Holder>,
    /// Files and folders that others than their owner may open.
    pub open_to_others: Vec<PathBuf>,
}
