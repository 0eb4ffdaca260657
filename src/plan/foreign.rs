//! What can sign in as an app of ours and is not ours, one by one.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::step::{Foreign, ForeignFederated, ForeignSecret};
use crate::{ids::VaultId, vault::CredentialKind};

/// What it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TheirsKind {
    /// A client secret.
    ClientSecret,
    /// A certificate.
    Certificate,
    /// A federated credential: it opens the app to somebody's tokens, without any secret.
    FederatedCredential,
}

impl TheirsKind {
    /// Every kind, for the schema.
    pub const ALL: [Self; 3] = [Self::ClientSecret, Self::Certificate, Self::FederatedCredential];

    /// The stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClientSecret => "client-secret",
            Self::Certificate => "certificate",
            Self::FederatedCredential => "federated-credential",
        }
    }
}

/// A credential of others on an app of ours: whoever has it can sign in as that app.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Theirs {
    /// What it is.
    pub kind: TheirsKind,
    /// What its maker called it.
    pub name: Option<String>,
    /// Its key id; of a federated credential its id.
    pub id: String,
    /// When it ends; nothing where it does not, or where the directory does not say.
    pub ends: Option<Timestamp>,
    /// Whose tokens a federated credential takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// For which subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The other tenantry vault that made it, where one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other_vault: Option<VaultId>,
}

impl Theirs {
    /// Every credential of others on an app.
    pub fn on(foreign: &Foreign) -> Vec<Self> {
        let Foreign { redirect_uris: _, tags: _, secrets, certificates, federated, owners: _ } =
            foreign;
        let trust = |ForeignFederated { id, name, issuer, subject }: &_| Self {
            kind: TheirsKind::FederatedCredential,
            name: Some(name.clone()),
            id: id.to_string(),
            ends: None,
            issuer: Some(issuer.clone()),
            subject: Some(subject.clone()),
            other_vault: None,
        };
        let secrets = secrets.iter().map(|one| Self::kept(CredentialKind::Secret, one));
        let certificates = certificates.iter();
        let certificates = certificates.map(|one| Self::kept(CredentialKind::Certificate, one));
        secrets.chain(certificates).chain(federated.iter().map(trust)).collect()
    }

    /// A client secret or a certificate of others.
    pub(super) fn kept(kind: CredentialKind, theirs: &ForeignSecret) -> Self {
        let ForeignSecret { key_id, display_name, ends, other_vault } = theirs;
        Self {
            kind: match kind {
                CredentialKind::Certificate => TheirsKind::Certificate,
                CredentialKind::Secret | CredentialKind::RefreshToken => TheirsKind::ClientSecret,
            },
            name: display_name.clone(),
            id: key_id.to_string(),
            ends: *ends,
            issuer: None,
            subject: None,
            other_vault: *other_vault,
        }
    }
}

impl fmt::Display for Theirs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, name, id, ends, issuer, subject, other_vault } = self;
        f.write_str(match kind {
            TheirsKind::ClientSecret => "client secret",
            TheirsKind::Certificate => "certificate",
            TheirsKind::FederatedCredential => "federated credential",
        })?;
        match (other_vault, name.as_deref().filter(|name| !name.is_empty())) {
            (Some(vault), _) => write!(f, " of tenantry's vault {vault}")?,
            (None, Some(name)) => write!(f, " \"{name}\"")?,
            (None, None) => f.write_str(" without a name")?,
        }
        match kind {
            TheirsKind::ClientSecret | TheirsKind::Certificate => {
                write!(f, " (key id {id}")?;
                match ends {
                    Some(ends) => write!(f, ", ends {})", ends.strftime("%Y-%m-%d")),
                    None => f.write_str(")"),
                }
            }
            TheirsKind::FederatedCredential => {
                let [issuer, subject] = [issuer, subject].map(|text| text.as_deref().unwrap_or(""));
                write!(f, " (issuer {issuer}, subject {subject})")
            }
        }
    }
}

/// The first of many, each named, and how many more there are.
pub fn named(theirs: &[Theirs]) -> String {
    const NAMED: usize = 5;
    let mut words: Vec<_> = theirs.iter().take(NAMED).map(ToString::to_string).collect();
    if let Some(more) = theirs.len().checked_sub(NAMED).filter(|more| *more > 0) {
        words.push(format!("{more} more credentials"));
    }
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::ids::{KeyId, ObjectId};

    #[test]
    fn each_is_named_so_that_it_can_be_found_and_many_are_counted() {
        let id = Uuid::from_u128(7);
        let secret = |name: Option<&str>| ForeignSecret {
            key_id: KeyId::from_uuid(id),
            display_name: name.map(str::to_owned),
            ends: Some("2027-03-31T10:00:00Z".parse().unwrap()),
            other_vault: None,
        };
        let mut foreign = Foreign {
            secrets: vec![secret(Some("backdoor")), secret(None)],
            federated: vec![ForeignFederated {
                id: ObjectId::from_uuid(id),
                name: "ci".to_owned(),
                issuer: "https://i.example".to_owned(),
                subject: "repo:x".to_owned(),
            }],
            ..Foreign::default()
        };
        let all = Theirs::on(&foreign);
        assert_eq!(
            named(&all),
            format!(
                "client secret \"backdoor\" (key id {id}, ends 2027-03-31), client secret without a \
                 name (key id {id}, ends 2027-03-31), federated credential \"ci\" (issuer \
                 https://i.example, subject repo:x)"
            )
        );
        let written = serde_json::to_value(&all).unwrap();
        assert_eq!(written[2]["kind"], TheirsKind::FederatedCredential.as_str());
        assert_eq!(serde_json::from_value::<Vec<Theirs>>(written).unwrap(), all);
        foreign.secrets = vec![secret(None); 7];
        assert!(named(&Theirs::on(&foreign)).ends_with(", 3 more credentials"));
    }
}
