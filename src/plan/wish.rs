//! What the operator said about changes, beyond the manifest.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::ids::{ClientId, Nonce};

/// What the operator said about changes, beyond the manifest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wish {
    /// A lost vault's secrets shall be issued again.
    pub reissue: bool,
    /// Secrets that are not ours shall go.
    pub remove_foreign: bool,
    /// New secrets are asked for, and nothing else.
    pub rotate: Option<Rotate>,
    /// This app shall become the one in scope, which does not exist yet.
    pub adopt: Option<ClientId>,
    /// How many of the existing apps may be changed at once; nothing where none are to be.
    pub most_changes: Option<Percent>,
    /// A day ahead: plan what would be due then, if nobody did anything until then.
    pub as_of: Option<Timestamp>,
}

/// New secrets on demand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotate {
    /// The secrets that the vault held when the run began: each app gets one that is not among them.
    pub old: BTreeSet<Nonce>,
    /// What becomes of them.
    pub fate: Fate,
}

/// What becomes of secrets that have a successor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// They stay for the overlap, as after every renewal.
    Retire,
    /// They leaked: they go as soon as the successor is accepted.
    Revoked,
}

/// A share of the existing apps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Percent(pub u8);
