//! One file a verb: its arguments and its run.

pub mod reveal;
pub mod sandbox;
pub mod vault;

/// How a verb prints its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// For programs (`--json`).
    Json,
}
