//! What every handler works on: the state behind one lock, and what never changes beside it.

use std::{collections::HashSet, io, time::Duration};

use serde_json::Value;

use super::{
    entra::{codes::Codes, jwt::Signer},
    faults::Faults,
    key_vault::values::Values,
    requests::RequestLog,
    throttle::Throttle,
    world::{World, journal::Journal},
};

/// Everything that changes.
pub(super) struct State {
    /// What the sandbox remembers.
    pub(super) world: World,
    /// Where it is kept; nothing for a world in memory.
    pub(super) journal: Option<Journal>,
    /// Misbehaviour that was asked for.
    pub(super) faults: Faults,
    /// What was asked of the sandbox.
    pub(super) log: RequestLog,
    /// Microsoft's limits, where they are switched on.
    pub(super) throttle: Option<Throttle>,
    /// How long fresh things stay unseen.
    pub(super) lag: Duration,
    /// Every secret value that was ever issued or seeded; never written anywhere.
    pub(super) issued: Vec<String>,
    /// What the key vaults keep.
    pub(super) values: Values,
    /// Authorization codes and half-finished sign-ins.
    pub(super) codes: Codes,
    /// Full requests and answers, where recording is switched on.
    pub(super) traffic: Option<Vec<Value>>,
    /// Applications whose credentials are being written at this moment.
    pub(super) busy: HashSet<(String, String)>,
}

impl State {
    /// Puts what changed into the journal: to be called before the answer goes out.
    ///
    /// # Errors
    /// When the disk refuses it.
    pub(super) fn keep(&mut self) -> io::Result<()> {
        let entry = self.world.take_changes();
        match (entry, &mut self.journal) {
            (Some(entry), Some(journal)) => journal.append(&entry),
            (Some(_) | None, _) => Ok(()),
        }
    }
}

/// What never changes while the sandbox runs.
pub(super) struct Context<'a> {
    /// Signs and checks tokens.
    pub(super) signer: &'a Signer,
    /// `https://127.0.0.1:PORT`.
    pub(super) base: &'a str,
}
