//! Entra ID: who we are, which directory a domain is, and tokens for the customers' apps.

mod app_token;
mod claims;
mod discovery;
mod operator;
mod pinned;
mod recipe;
#[cfg(test)]
mod tests;

pub use self::{
    app_token::{AppToken, SecretAge, app_token},
    discovery::{Discovered, discover},
    operator::{Attempt, AuthMode, Identity, IdentityKind, Operator, Way},
};
