//! What the vault knows of one credential besides its value.

use std::{cmp::Reverse, collections::BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    ids::{KeyId, Nonce, TenantId, TenantKey},
    secret::Secret,
};

/// A credential of ours: everything but its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CredentialRecord {
    /// What stands in its display name.
    pub nonce: Nonce,
    /// What it is.
    pub kind: CredentialKind,
    /// How far it has come.
    pub state: CredentialState,
    /// When we set out to make it.
    pub intended_at: Timestamp,
    /// `keyId`, as the directory answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<KeyId>,
    /// `startDateTime`, as the directory answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Timestamp>,
    /// `endDateTime`, as the directory answered; of a refresh token, when it dies unused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<Timestamp>,
    /// When it became the one to use; of one that retires, when its successor did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Of a refresh token: the tenant it reads. A secret is its app's, and names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<TenantKey>,
    /// Of a refresh token: who signed in, as the token named them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Of a refresh token: their object id in the tenant's directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<Uuid>,
    /// Of a refresh token: the directory roles beyond reading that it was kept in spite of, by the
    /// ids of their templates.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub allowed_roles: BTreeSet<Uuid>,
}

/// How long an unused refresh token lives
/// (<https://learn.microsoft.com/en-us/entra/identity-platform/refresh-tokens>: 90 days, and each
/// use gives a new one; policies of the directory may end it earlier).
pub const REFRESH_TOKEN_LIVES: SignedDuration = SignedDuration::from_hours(90 * 24);

impl CredentialRecord {
    /// One that is about to be asked for.
    pub fn intended(nonce: Nonce, kind: CredentialKind, at: Timestamp) -> Self {
        Self {
            nonce,
            kind,
            state: CredentialState::Intended,
            intended_at: at,
            key_id: None,
            start: None,
            end: None,
            since: None,
            tenant: None,
            user: None,
            object: None,
            allowed_roles: BTreeSet::new(),
        }
    }

    /// Whether it has become the one to use: it was accepted, or nobody could accept anything yet
    /// when it was stored.
    pub const fn is_settled(&self) -> bool {
        match self.state {
            CredentialState::Proved => true,
            CredentialState::Stored => self.since.is_some(),
            CredentialState::Intended | CredentialState::Retiring => false,
        }
    }

    /// Whether its end has come; what tells none has not.
    pub fn has_ended(&self, now: Timestamp) -> bool {
        self.end.is_some_and(|end| end <= now)
    }

    /// How old it is, for one that is made beside another.
    pub fn born(&self) -> Timestamp {
        self.start.unwrap_or(self.intended_at)
    }

    /// What makes one of several the one to use, the greater the rather; nothing where it has no
    /// value or has ended. One that is settled, the youngest of them; else the oldest that was not
    /// tried yet, for a younger one may not be known everywhere; else one that retires.
    pub fn preference(&self, now: Timestamp) -> Option<impl Ord + use<'_>> {
        if self.has_ended(now) {
            return None;
        }
        let rank = match self.state {
            CredentialState::Intended => return None,
            CredentialState::Retiring => 0,
            CredentialState::Stored | CredentialState::Proved if self.is_settled() => 2,
            CredentialState::Stored | CredentialState::Proved => 1,
        };
        let (youngest, oldest) = match rank {
            1 => (None, Some(Reverse(self.born()))),
            _ => (Some(self.born()), None),
        };
        // The nonce decides last, so that every run chooses the same one.
        Some((rank, youngest, oldest, self.end, Reverse(&self.nonce)))
    }

    /// A refresh token that was given at a moment of the server's clock.
    pub(super) fn refresh_token(tenant: TenantKey, user: String, at: Timestamp) -> Self {
        Self {
            state: CredentialState::Stored,
            start: Some(at),
            end: at.checked_add(REFRESH_TOKEN_LIVES).ok(),
            tenant: Some(tenant),
            user: Some(user),
            ..Self::intended(Nonce::fresh(), CredentialKind::RefreshToken, at)
        }
    }
}

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CredentialKind {
    /// A client secret of the app, in the directory it lives in.
    Secret,
    /// What a sign-in in a tenant's directory left: gives access tokens of that user.
    RefreshToken,
    /// A certificate of the app, and its key.
    Certificate,
}

impl CredentialKind {
    /// Whether it is the app's, and no tenant's.
    pub const fn is_of_app(self) -> bool {
        match self {
            Self::Secret | Self::Certificate => true,
            Self::RefreshToken => false,
        }
    }
}

/// A refresh token that was just given, to be kept in the place of the tenant's old one.
#[derive(Debug, Clone)]
pub struct NewRefreshToken {
    /// Which tenant it reads.
    pub tenant: TenantKey,
    /// The directory that gave it.
    pub directory: TenantId,
    /// Who signed in, as the token names them.
    pub user: String,
    /// Their object id in that directory, where the token has it.
    pub object: Option<Uuid>,
    /// The directory roles beyond reading that the one who ran the sign-in allowed.
    pub allowed_roles: BTreeSet<Uuid>,
    /// The token.
    pub value: Secret<String>,
    /// When it was given, by the server's clock.
    pub at: Timestamp,
}

/// How far a credential has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CredentialState {
    /// It may exist; the vault has no value for it.
    Intended,
    /// The value is in the vault.
    Stored,
    /// The value is in the vault, and a token request has accepted it.
    Proved,
    /// A successor has taken its place; it stays for the overlap.
    Retiring,
}

impl CredentialState {
    /// Whether the vault must hold a value for a credential in this state.
    pub const fn has_value(self) -> bool {
        match self {
            Self::Intended => false,
            Self::Stored | Self::Proved | Self::Retiring => true,
        }
    }

    /// Whether it is one that may be used for good: its value is held, and no successor has taken
    /// its place.
    pub const fn stands(self) -> bool {
        match self {
            Self::Stored | Self::Proved => true,
            Self::Intended | Self::Retiring => false,
        }
    }
}
