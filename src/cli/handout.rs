//! Handing a value of the vault out, to whoever asked for it on purpose: which one, or why there is
//! none, and never without a line of the audit first.

use jiff::Timestamp;

use crate::{
    ids::TenantKey,
    secret::Secret,
    vault::{
        AuditEntry, CredentialKind, CredentialRecord, CredentialState, Federation, Record, Vault,
        VaultError,
    },
};

/// Why a value is not there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Why {
    /// The app has not been created.
    #[error("its app has not been created yet")]
    NotCreated,
    /// No secret was ever made.
    #[error("it has no client secret")]
    NoSecret,
    /// No certificate was ever made.
    #[error("it has no certificate")]
    NoCertificate,
    /// It has a credential of the other kind.
    #[error("its app signs in with a {0}")]
    OtherKind(&'static str),
    /// It has none at all.
    #[error("its app signs in with somebody else's token: it has no credential of its own")]
    Federated,
    /// One was asked for, and its value never arrived.
    #[error("the value of its {0} was lost on the way")]
    ValueLost(&'static str),
    /// All have ended.
    #[error("its {0} ended on {1:.0}")]
    Ended(&'static str, Timestamp),
    /// Nobody signed in.
    #[error("no refresh token is held: its analyst has not signed in")]
    NotSignedIn,
    /// A shared app has many tenants.
    #[error("it is an app that several tenants may use, not a tenant")]
    NotATenant,
    /// A directory answered without it.
    #[error("it is not known")]
    Unknown,
}

impl Why {
    /// What to do next, where we know it.
    pub(super) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NotCreated
            | Self::NoSecret
            | Self::NoCertificate
            | Self::ValueLost(_)
            | Self::Ended(..) => Some("tenantry apply makes a new one"),
            Self::OtherKind(_) => Some("--field names it: secret, certificate"),
            Self::Federated => Some("tenantry plan shows whose tokens it takes"),
            Self::NotSignedIn => Some("tenantry consent lets the analyst sign in"),
            Self::NotATenant => Some("name one of its tenants"),
            Self::Unknown => None,
        }
    }
}

/// The secret to use, or why there is none.
pub(super) fn secret(record: &Record, now: Timestamp) -> Result<&CredentialRecord, Why> {
    record.current(CredentialKind::Secret, now).ok_or_else(|| {
        let other = record.current(CredentialKind::Certificate, now).map(|_| "certificate");
        why_none(record, CredentialKind::Secret, ("client secret", Why::NoSecret), other)
    })
}

/// The certificate to use, or why there is none.
pub(super) fn certificate(record: &Record, now: Timestamp) -> Result<&CredentialRecord, Why> {
    record.current(CredentialKind::Certificate, now).ok_or_else(|| {
        let other = record.current(CredentialKind::Secret, now).map(|_| "client secret");
        let none = ("certificate", Why::NoCertificate);
        why_none(record, CredentialKind::Certificate, none, other)
    })
}

/// Why there is none of a kind, given what it is called, and what there is of the other.
fn why_none(
    record: &Record,
    kind: CredentialKind,
    (word, none): (&'static str, Why),
    other: Option<&'static str>,
) -> Why {
    if record.client_id.is_none() {
        return Why::NotCreated;
    }
    let mut lost = false;
    let mut ended = None;
    for credential in record.of_kind(kind) {
        match credential.state {
            CredentialState::Intended => lost = true,
            CredentialState::Stored | CredentialState::Proved | CredentialState::Retiring => {
                ended = ended.max(credential.end);
            }
        }
    }
    match (other, record.federated, ended, lost) {
        (Some(other), ..) => Why::OtherKind(other),
        (None, _, Some(end), _) => Why::Ended(word, end),
        (None, _, None, true) => Why::ValueLost(word),
        (None, Federation::Settled, None, false) => Why::Federated,
        (None, Federation::Untried, None, false) => none,
    }
}

/// Why a value was not handed out.
#[derive(Debug, thiserror::Error)]
pub(super) enum Kept {
    /// The vault did not give it.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The line could not be written; the value was not shown.
    #[error("not handed out, because it cannot be noted down: {0}")]
    NotAudited(#[source] VaultError),
}

/// Who asks, by which verb, and when.
pub(super) struct Asker<'a> {
    pub(super) who: &'a str,
    pub(super) verb: &'a str,
    pub(super) now: Timestamp,
}

/// A value, after the audit has got its line.
pub(super) async fn hand_out(
    vault: &Vault,
    asker: &Asker<'_>,
    record: &Record,
    tenant: Option<&TenantKey>,
    credential: &CredentialRecord,
) -> Result<Secret<String>, Kept> {
    let value = vault.value(&record.app, &credential.nonce).await?;
    vault.audit(entry(asker, record, tenant, credential)).await.map_err(Kept::NotAudited)?;
    Ok(value)
}

fn entry(
    asker: &Asker<'_>,
    record: &Record,
    tenant: Option<&TenantKey>,
    credential: &CredentialRecord,
) -> AuditEntry {
    let Asker { who, verb, now } = asker;
    let what = match credential.kind {
        CredentialKind::Secret => "secret",
        CredentialKind::Certificate => "certificate",
        CredentialKind::RefreshToken => "refresh-token",
    };
    let mut entry = AuditEntry::new(*now, *who, *verb)
        .step(what)
        .app(&record.app)
        .id("nonce", &credential.nonce);
    if let Some(tenant) = tenant {
        entry = entry.tenant(tenant);
    }
    if let Some(client_id) = record.client_id {
        entry = entry.id("clientId", client_id);
    }
    if let Some(key_id) = credential.key_id {
        entry = entry.id("keyId", key_id);
    }
    entry
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::testing::{created, credential, seconds};

    #[test]
    fn a_secret_that_ended_is_not_given_out() {
        let mut record = created("contoso");
        record.credentials = vec![credential(CredentialState::Proved)];
        let end = record.credentials[0].end.unwrap();
        assert!(secret(&record, seconds(0)).is_ok());
        assert_eq!(secret(&record, end), Err(Why::Ended("client secret", end)));
        let none = certificate(&record, seconds(0));
        assert_eq!(none, Err(Why::OtherKind("client secret")));
        record.credentials.clear();
        assert_eq!(secret(&record, end), Err(Why::NoSecret));
    }
}
