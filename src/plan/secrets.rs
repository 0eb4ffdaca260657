//! Which secrets an app needs, given what the directory shows, what the vault holds, and what the
//! directory's policies allow.

use jiff::{SignedDuration, Timestamp};

use super::{
    diagnostic::{Code, Diagnostic},
    policies::forbidden,
    step::{Cap, ForeignSecret, SecretReason, Step},
};
use crate::{
    ids::{Application, ObjectId, VaultId},
    inventory::{FoundSecret, Policies, Policy, RestrictionKind, Sight},
    lifetime::Lifetime,
    manifest::SecretRule,
    vault::{CredentialRecord, CredentialState, Ownership, Record, recognise},
};

/// A directory may not show a credential it has just made for about this long
/// (Terraform waits minutes for it; seconds are usual).
const UNSEEN_FOR: SignedDuration = SignedDuration::from_mins(2);

/// What the secrets of one app amount to.
#[derive(Debug, Default)]
pub(super) struct Secrets {
    /// Removals first, then at most one addition.
    pub(super) steps: Vec<Step>,
    pub(super) foreign: Vec<ForeignSecret>,
    pub(super) diagnostics: Vec<Diagnostic>,
    /// Every credential of ours on the app was made by another vault, and there is at least one.
    pub(super) only_another_vault: Option<VaultId>,
}

/// The live credential of ours that ends last, if the app has one.
pub fn newest_live<'a>(
    found: &[FoundSecret],
    record: Option<&'a Record>,
    now: Timestamp,
) -> Option<&'a CredentialRecord> {
    record?
        .secrets()
        .filter(|held| holds_value(held))
        .filter(|held| held.end.is_some_and(|end| end > now))
        .filter(|held| is_there(held, found, now))
        .max_by_key(|held| held.end)
}

fn has_value_of(record: &Record, secret: &FoundSecret) -> bool {
    record.secrets().any(|held| held.key_id == Some(secret.key_id) && held.state.has_value())
}

fn holds_value(held: &CredentialRecord) -> bool {
    match held.state {
        CredentialState::Stored | CredentialState::Proved => true,
        // A retiring one still opens the door, but it is on its way out.
        CredentialState::Intended | CredentialState::Retiring => false,
    }
}

/// Whether the directory has the credential: it shows it, or may not show it yet.
pub fn is_there(held: &CredentialRecord, found: &[FoundSecret], now: Timestamp) -> bool {
    found.iter().any(|secret| Some(secret.key_id) == held.key_id)
        || held.start.is_some_and(|start| now.duration_since(start) < UNSEEN_FOR)
}

/// When a second secret is made beside this one: `renewBefore` its end, yet never earlier than
/// two thirds of its real life, which a policy may have made short.
pub fn renewal_starts(rule: &SecretRule, start: Timestamp, end: Timestamp) -> Timestamp {
    let third = end.duration_since(start) / 3;
    let window = rule.renew_before.after(start).duration_since(start);
    end.checked_sub(window.min(third)).unwrap_or(end)
}

/// Decides the secrets of one app. `found` is empty for an app that does not exist yet.
pub(super) fn decide(
    found: &[FoundSecret],
    record: Option<&Record>,
    vault: VaultId,
    rule: &SecretRule,
    now: Timestamp,
) -> Secrets {
    let mut secrets = Secrets::default();
    let (mut ours, mut other) = (0, None);
    let mut lost = false;
    for secret in found {
        // The key id is Microsoft's and nobody can change it; names can be changed by hand. What we
        // hold the value of is never removed for its name.
        if record.is_some_and(|record| has_value_of(record, secret)) {
            ours += 1;
            continue;
        }
        match recognise(secret.display_name.as_deref(), vault, record) {
            Ownership::OursStored { .. } => ours += 1,
            Ownership::OursIntended { nonce } | Ownership::OursUnknown { nonce } => {
                ours += 1;
                lost = true;
                secrets.steps.push(Step::RemoveSecret { key_id: secret.key_id, nonce });
            }
            Ownership::OtherVault(maker) => {
                other = Some(maker);
                secrets.foreign.push(foreign(secret, Some(maker)));
            }
            Ownership::Foreign => secrets.foreign.push(foreign(secret, None)),
        }
    }
    secrets.only_another_vault = other.filter(|_| ours == 0);

    let reason = match newest_live(found, record, now) {
        Some(held) => {
            let due = held
                .end
                .zip(held.start)
                .is_some_and(|(end, start)| renewal_starts(rule, start, end) <= now);
            due.then_some(SecretReason::Renewal)
        }
        None => Some(missing_because(record, found, lost, now)),
    };
    if let Some(reason) = reason {
        secrets.steps.push(Step::AddSecret { lifetime: rule.lifetime, reason, capped_by: None });
    }
    secrets
}

fn missing_because(
    record: Option<&Record>,
    found: &[FoundSecret],
    lost: bool,
    now: Timestamp,
) -> SecretReason {
    let held: Vec<_> =
        record.iter().flat_map(|r| r.secrets()).filter(|held| holds_value(held)).collect();
    if held.iter().any(|c| c.end.is_some_and(|end| end <= now) && is_there(c, found, now)) {
        SecretReason::Expired
    } else if !held.is_empty() {
        SecretReason::RemovedOutside
    } else if lost {
        SecretReason::ValueLost
    } else {
        SecretReason::First
    }
}

fn foreign(secret: &FoundSecret, other_vault: Option<VaultId>) -> ForeignSecret {
    let FoundSecret { key_id, display_name, .. } = secret;
    ForeignSecret { key_id: *key_id, display_name: display_name.clone(), other_vault }
}

/// The policy that counts for an app: the custom one it is assigned to, else the directory's.
/// An app that does not exist yet can only meet the directory's.
pub(super) fn policy_for(
    policies: &Policies,
    app: Option<ObjectId<Application>>,
) -> Option<&Policy> {
    app.and_then(|id| {
        policies.custom.iter().find(|(_, apps)| apps.contains(&id)).map(|(policy, _)| policy)
    })
    .or(policies.default.as_ref())
}

/// Holds the planned secret against the policies: shortens it, or says that it cannot be made.
/// `created` is now for an app that does not exist yet.
pub(super) fn obey(
    secrets: &mut Secrets,
    policies: &Sight<Policies>,
    app: Option<ObjectId<Application>>,
    created: Timestamp,
    now: Timestamp,
) {
    let Some(position) =
        secrets.steps.iter().position(|step| matches!(step, Step::AddSecret { .. }))
    else {
        return;
    };
    let Some(policy) = policies.seen().and_then(|policies| policy_for(policies, app)) else {
        return;
    };
    for restriction in &policy.restrictions {
        if !restriction.concerns(created) {
            continue;
        }
        match &restriction.kind {
            RestrictionKind::NoSecrets => {
                secrets.diagnostics.push(forbidden(
                    Code::SecretForbidden,
                    policy,
                    restriction,
                    "new client secrets",
                    "ask for an exemption for this app in Entra ID › Enterprise applications › \
                     Application policies, or use a credential that the policy allows",
                ));
                if restriction.exempt.is_empty() {
                    secrets.steps.remove(position);
                    return;
                }
            }
            RestrictionKind::SecretLifetime(most) => shorten(secrets, position, policy, *most, now),
            RestrictionKind::CertificateLifetime(_)
            | RestrictionKind::TrustedCertificates
            | RestrictionKind::NoMultipleOrgs
            | RestrictionKind::RedirectUris(_) => {}
        }
    }
}

fn shorten(
    secrets: &mut Secrets,
    position: usize,
    policy: &Policy,
    most: Lifetime,
    now: Timestamp,
) {
    let Some(Step::AddSecret { lifetime, capped_by, .. }) = secrets.steps.get_mut(position) else {
        return;
    };
    if lifetime.after(now) <= most.after(now) {
        return;
    }
    let wanted = capped_by.as_ref().map_or(*lifetime, |cap| cap.wanted);
    *lifetime = most;
    *capped_by = Some(Cap { policy: policy.name.clone(), policy_id: policy.id.clone(), wanted });
    secrets.diagnostics.retain(|d| d.code != Code::SecretShortened);
    secrets.diagnostics.push(Diagnostic::new(
        Code::SecretShortened,
        format!("the secret lives {most} instead of {wanted}: policy \"{}\" caps it", policy.name),
    ));
}
