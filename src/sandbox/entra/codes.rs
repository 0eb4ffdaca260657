//! Authorization codes and half-finished sign-ins: in memory only, and as hashes.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};

use super::{redirect::Platform, scopes::Wanted};
use crate::sandbox::random;

/// How long a code lives (<https://learn.microsoft.com/en-us/entra/identity-platform/v2-oauth2-auth-code-flow>:
/// about a minute).
pub(super) const CODE_LIFETIME: SignedDuration = SignedDuration::from_secs(60);
/// How many of either are remembered; the oldest go first.
const MOST: usize = 10_000;

/// Who signed in, by the directory of the account and the name there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Account {
    /// The directory where the account lives.
    pub(super) home: String,
    /// The name with which it signs in there.
    pub(super) name: String,
}

/// How a code's verifier is looked at (RFC 7636).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    /// The verifier's SHA-256, base64url.
    S256(String),
    /// The verifier itself.
    Plain(String),
}

/// What a code stands for.
#[derive(Debug, Clone)]
pub(super) struct Code {
    /// The directory that it was issued in.
    pub(super) tenant: String,
    /// The client that it was issued to.
    pub(super) client: String,
    /// The redirect URI of the request, as sent.
    pub(super) redirect: Option<String>,
    /// What the redirect URI is registered as.
    pub(super) platform: Platform,
    /// Who signed in.
    pub(super) account: Account,
    /// What was asked for.
    pub(super) wanted: Wanted,
    /// For PKCE.
    pub(super) challenge: Option<Challenge>,
    /// OpenID's nonce.
    pub(super) nonce: Option<String>,
    /// When it was issued.
    pub(super) issued: Timestamp,
    /// Whether a second factor was given.
    pub(super) factor: Factor,
    /// Whether it was redeemed already.
    pub(super) use_: Use,
}

/// How strongly someone signed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Factor {
    /// With a password.
    One,
    /// With a second factor too.
    Two,
}

/// Whether a code was redeemed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// Not yet.
    Fresh,
    /// Once, which is the only time.
    Redeemed,
}

/// A browser between the first page and the last.
#[derive(Debug, Clone)]
pub(super) struct Visit {
    /// The path and query that it is for: it is good for no other.
    pub(super) link: String,
    /// Who signed in, once someone did.
    pub(super) account: Option<Account>,
}

/// All of them.
#[derive(Debug, Default)]
pub(in crate::sandbox) struct Codes {
    codes: HashMap<String, Code>,
    visits: HashMap<String, (u64, Visit)>,
    order: u64,
}

impl Codes {
    /// Issues a code: its value, which is nowhere else.
    pub(super) fn issue(&mut self, code: Code) -> String {
        if self.codes.len() >= MOST
            && let Some(oldest) =
                self.codes.iter().min_by_key(|(_, c)| c.issued).map(|(hash, _)| hash.clone())
        {
            self.codes.remove(&oldest);
        }
        let value = opaque("1.A");
        self.codes.insert(random::secret_hash(&value), code);
        value
    }

    /// The code of that value.
    pub(super) fn get(&self, value: &str) -> Option<&Code> {
        self.codes.get(&random::secret_hash(value))
    }

    /// Marks it redeemed.
    pub(super) fn redeem(&mut self, value: &str) {
        if let Some(code) = self.codes.get_mut(&random::secret_hash(value)) {
            code.use_ = Use::Redeemed;
        }
    }

    /// Begins or goes on with a visit: its ticket, for the form.
    pub(super) fn begin(&mut self, visit: Visit) -> String {
        if self.visits.len() >= MOST
            && let Some(oldest) =
                self.visits.iter().min_by_key(|(_, (n, _))| *n).map(|(hash, _)| hash.clone())
        {
            self.visits.remove(&oldest);
        }
        self.order += 1;
        let ticket = random::guid();
        self.visits.insert(random::secret_hash(&ticket), (self.order, visit));
        ticket
    }

    /// Takes a visit back by its ticket: each form can be sent once.
    pub(super) fn resume(&mut self, ticket: &str, link: &str) -> Option<Visit> {
        let hash = random::secret_hash(ticket);
        if self.visits.get(&hash).is_none_or(|(_, v)| v.link != link) {
            return None;
        }
        self.visits.remove(&hash).map(|(_, visit)| visit)
    }
}

/// A long random text such as codes and refresh tokens are.
pub(super) fn opaque(start: &str) -> String {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    format!("{start}{}", URL_SAFE_NO_PAD.encode(random::bytes::<96>()))
}
