//! Microsoft in a box: Graph, Entra ID and Defender on loopback, stricter than the real ones.
//!
//! Nothing here imports from the rooms of the client, so that a mistake made there cannot
//! be made here too.

pub mod odata;
pub mod schema;
