//! The kinds of credential that a vault keeps for an app: client secrets and certificates live one
//! life, and an app signs in with one kind of them, or with none.

use jiff::Timestamp;

use super::{
    diagnostic::{Code, Diagnostic},
    secrets,
    step::{Cap, ForeignSecret, RemovalReason, SecretReason, Step},
};
use crate::{
    ids::{KeyId, Nonce},
    inventory::{FoundApp, FoundSecret},
    lifetime::Lifetime,
    manifest::Credential,
    vault::{CredentialKind, Record},
};

/// All of them.
pub(super) const KINDS: [CredentialKind; 2] = [CredentialKind::Secret, CredentialKind::Certificate];

/// The kind that the vault keeps for an app of the manifest; nothing where it shows somebody else's
/// token.
pub const fn kept(wanted: &Credential) -> Option<CredentialKind> {
    match wanted {
        Credential::Secret => Some(CredentialKind::Secret),
        Credential::Certificate => Some(CredentialKind::Certificate),
        Credential::Federated(_) => None,
    }
}

/// What people call one.
pub const fn word(kind: CredentialKind) -> &'static str {
    match kind {
        CredentialKind::Secret => "secret",
        CredentialKind::Certificate => "certificate",
        CredentialKind::RefreshToken => "refresh token",
    }
}

/// What the directory shows of a kind.
pub fn found(app: Option<&FoundApp>, kind: CredentialKind) -> &[FoundSecret] {
    match (app, kind) {
        (Some(app), CredentialKind::Secret) => &app.secrets,
        (Some(app), CredentialKind::Certificate) => &app.certificates,
        (Some(_), CredentialKind::RefreshToken) | (None, _) => &[],
    }
}

/// The step that makes one.
pub(super) const fn addition(
    kind: CredentialKind,
    lifetime: Lifetime,
    reason: SecretReason,
) -> Step {
    match kind {
        CredentialKind::Certificate => Step::AddCertificate { lifetime, reason, capped_by: None },
        CredentialKind::Secret | CredentialKind::RefreshToken => {
            Step::AddSecret { lifetime, reason, capped_by: None }
        }
    }
}

/// The step that removes one of ours.
pub(super) fn removal(
    kind: CredentialKind,
    key_id: KeyId,
    nonce: Nonce,
    reason: RemovalReason,
) -> Step {
    step_of(kind, key_id, (Some(nonce), None), reason)
}

/// The step that removes one of others, by the name that they gave it.
pub(super) fn expulsion(kind: CredentialKind, foreign: &ForeignSecret) -> Step {
    let names = (None, foreign.display_name.clone());
    step_of(kind, foreign.key_id, names, RemovalReason::Foreign)
}

fn step_of(
    kind: CredentialKind,
    key_id: KeyId,
    (nonce, display_name): (Option<Nonce>, Option<String>),
    reason: RemovalReason,
) -> Step {
    match kind {
        CredentialKind::Certificate => {
            Step::RemoveCertificate { key_id, nonce, display_name, reason }
        }
        CredentialKind::Secret | CredentialKind::RefreshToken => {
            Step::RemoveSecret { key_id, nonce, display_name, reason }
        }
    }
}

/// What a step does to a credential that a vault keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed<'a> {
    /// It makes one, to live so long, which a policy may have capped.
    Makes { lifetime: Lifetime, capped_by: Option<&'a Cap> },
    /// It removes one.
    Removes { key_id: KeyId, reason: RemovalReason },
}

fn deed(step: &Step) -> Option<(CredentialKind, Deed<'_>)> {
    let makes = |lifetime: &Lifetime, capped_by| Deed::Makes { lifetime: *lifetime, capped_by };
    Some(match step {
        Step::AddSecret { lifetime, reason: _, capped_by } => {
            (CredentialKind::Secret, makes(lifetime, capped_by.as_ref()))
        }
        Step::AddCertificate { lifetime, reason: _, capped_by } => {
            (CredentialKind::Certificate, makes(lifetime, capped_by.as_ref()))
        }
        Step::RemoveSecret { key_id, reason, nonce: _, display_name: _ } => {
            (CredentialKind::Secret, Deed::Removes { key_id: *key_id, reason: *reason })
        }
        Step::RemoveCertificate { key_id, reason, nonce: _, display_name: _ } => {
            (CredentialKind::Certificate, Deed::Removes { key_id: *key_id, reason: *reason })
        }
        Step::RestoreApplication { .. }
        | Step::CreateApplication { .. }
        | Step::PatchApplication { .. }
        | Step::AddFederated { .. }
        | Step::UpdateFederated { .. }
        | Step::RemoveFederated { .. }
        | Step::AddOwner { .. } => return None,
    })
}

/// What kind of credential a step makes, if it makes one.
pub fn made_by(step: &Step) -> Option<CredentialKind> {
    match deed(step)? {
        (kind, Deed::Makes { .. }) => Some(kind),
        (_, Deed::Removes { .. }) => None,
    }
}

/// What a step makes live shorter than the manifest says, how long that is, and by which policy.
pub fn capped(step: &Step) -> Option<(&'static str, Lifetime, &Cap)> {
    match deed(step)? {
        (kind, Deed::Makes { lifetime, capped_by }) => Some((word(kind), lifetime, capped_by?)),
        (_, Deed::Removes { .. }) => None,
    }
}

/// Which credential a step removes, and why, if it removes one.
pub fn removed_by(step: &Step) -> Option<(KeyId, RemovalReason)> {
    match deed(step)? {
        (_, Deed::Removes { key_id, reason }) => Some((key_id, reason)),
        (_, Deed::Makes { .. }) => None,
    }
}

/// Whether a step removes what nobody holds the value of.
pub(super) fn removes_lost(step: &Step) -> bool {
    removed_by(step).is_some_and(|(_, reason)| reason == RemovalReason::ValueLost)
}

/// Credentials of ours that an app signs in with though the manifest wants another kind: they stay
/// until that is accepted, and go as every old one does.
pub(super) fn left_behind(
    wanted: &Credential,
    app: Option<&FoundApp>,
    record: Option<&Record>,
    now: Timestamp,
) -> Vec<Diagnostic> {
    let others = KINDS.into_iter().filter(|kind| kept(wanted) != Some(*kind));
    others.filter_map(|kind| left_of_kind(wanted, app, record?, kind, now)).collect()
}

fn left_of_kind(
    wanted: &Credential,
    app: Option<&FoundApp>,
    record: &Record,
    kind: CredentialKind,
    now: Timestamp,
) -> Option<Diagnostic> {
    let left: Vec<_> = record
        .of_kind(kind)
        .filter(|held| held.state.stands() && held.end.is_some_and(|end| end > now))
        .filter(|held| secrets::is_there(held, app, now))
        .collect();
    let last = left.iter().filter_map(|held| held.end).max()?;
    let word = match kind {
        CredentialKind::Secret => "client secret",
        CredentialKind::Certificate | CredentialKind::RefreshToken => word(kind),
    };
    let count = match left.len() {
        1 => format!("a {word} of ours"),
        several => format!("{several} {word}s of ours"),
    };
    let (until, hint) = match wanted {
        Credential::Secret | Credential::Certificate => {
            ("what the manifest wants", "an apply removes it once the overlap is over")
        }
        Credential::Federated(_) => (
            "a token of the issuers",
            "apply tries one where one can be had: in the pipeline that they issue to. Or, once nothing \
             uses it any more: Entra ID › App registrations › its name › Certificates & secrets › \
             delete",
        ),
    };
    let last = last.strftime("%Y-%m-%d");
    Some(
        Diagnostic::new(
            Code::SecretsLeft,
            format!(
                "{count} can still open the app until {until} is accepted, at most until {last}"
            ),
        )
        .hint(hint),
    )
}
