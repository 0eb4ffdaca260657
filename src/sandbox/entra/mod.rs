//! Entra ID: tokens and discovery.

pub(super) mod arm;
mod client;
pub(super) mod discovery;
pub(super) mod errors;
pub(super) mod jwt;
mod route;
pub(super) mod token;

pub(super) use route::{Target, answer, route};
