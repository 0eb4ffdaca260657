//! Entra ID: who we are, which directory a domain is, and tokens for the customers' apps,
//! as themselves and for the people who sign in to them.

mod app_token;
mod certificate;
mod claims;
mod discovery;
mod issuers;
mod operator;
mod pinned;
mod proof;
mod recipe;
mod sign_in;
#[cfg(test)]
mod tests;
mod user;
mod user_token;

pub use self::{
    app_token::{AppToken, SecretAge, app_token},
    certificate::{NewCertificate, SigningKey, make_certificate},
    claims::{Api, OTHER_DIRECTORY},
    discovery::{Discovered, discover},
    issuers::Issuers,
    operator::{Attempt, AuthMode, Identity, IdentityKind, Operator, Way},
    proof::ClientProof,
    sign_in::{Pkce, SignIn, authorize_url},
    user::{DirectoryRole, User},
    user_token::{Asker, Code, UserToken, redeem, refresh},
};
