//! People's steps: who is asked for what, the page on loopback that asks, and what to make of an
//! answer.
//!
//! No answer is believed: an administrator's is proved by a token of the very directory that was
//! asked, an analyst's by whose token the code gives. No words for screens, and no state on disk:
//! what was asked dies with the run.

#[cfg(test)]
mod against_sandbox;
mod answer;
mod desk;
mod guard;
mod page;
mod sign_in;
mod state;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use crate::{
    ids::{AppKey, ClientId, ResourceId, TenantId, TenantKey},
    plan::manual::ManualKind,
    prove::Shows,
    registration::RedirectUri,
};

pub use self::{
    answer::{LONGEST, Unreadable},
    desk::{Desk, Office, RowState, RowView, Taken},
    page::{Ended, Look, Page, PageError, Screen},
    sign_in::Privileged,
};

/// A person's turn in one tenant.
#[derive(Debug, Clone)]
pub struct Ask {
    /// The tenant.
    pub tenant: TenantKey,
    /// What people call it.
    pub name: String,
    /// Who is asked, as the plan names them.
    pub who: String,
    /// The app.
    pub app: AppKey,
    /// What people see it called.
    pub app_name: String,
    /// The tenant's directory.
    pub directory: TenantId,
    /// The app's client id.
    pub client: ClientId,
    /// What the app shows.
    pub shows: Shows,
    /// What is asked.
    pub what: What,
}

/// What a person is asked for.
#[derive(Debug, Clone)]
pub enum What {
    /// The customer's administrator accepts what the app asks for.
    AdminConsent {
        /// Where the administrator lands where no page of ours waits; one of the app's own where
        /// there is none.
        landing: Option<RedirectUri>,
        /// The analyst whose turn is next, where one signs in in this run.
        then: Option<Reader>,
        /// What shows that they did.
        shown_by: ShownBy,
    },
    /// The analyst signs in.
    SignIn(Reader),
}

impl What {
    /// The same in the plan's word.
    pub const fn kind(&self) -> ManualKind {
        match self {
            Self::AdminConsent { landing: _, then: _, shown_by: _ } => ManualKind::AdminConsent,
            Self::SignIn(_) => ManualKind::SignIn,
        }
    }
}

/// The token of the app that shows an administrator's consent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownBy {
    /// The API it is of.
    pub api: ResourceId,
    /// The scope that asks for it.
    pub scope: String,
    /// What it must carry. Nothing where a person will sign in: the sign-in shows what was granted,
    /// a token alone only that the app is known.
    pub roles: BTreeSet<String>,
}

/// The analyst, and what the token shall carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reader {
    /// `signInAs`.
    pub user: String,
    /// Scopes as the sign-in page takes them.
    pub scopes: BTreeSet<String>,
}
