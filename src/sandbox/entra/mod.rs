//! Entra ID: tokens, discovery, and the pages where people sign in and consent.

pub(super) mod arm;
mod asking;
mod assertion;
mod client;
pub(super) mod codes;
pub(super) mod discovery;
pub(super) mod errors;
pub(super) mod grants;
pub(super) mod jwt;
mod redirect;
mod refusals;
mod route;
mod scopes;
pub(super) mod token;
mod user_token;
mod visit;

pub(super) use route::{Target, answer, route};
