//! Which secrets an app needs, given what the directory shows, what the vault holds, and what the
//! directory's policies allow.

use jiff::{SignedDuration, Timestamp};

use super::{
    Fate, Wish,
    diagnostic::{Code, Diagnostic},
    foreign::{self, Theirs},
    policies::forbidden,
    retire,
    step::{Cap, ForeignSecret, RemovalReason, SecretReason, Step},
};
use crate::{
    ids::{Application, KeyId, Nonce, ObjectId, VaultId},
    inventory::{FoundSecret, Policies, Policy, RestrictionKind, Sight},
    lifetime::Lifetime,
    manifest::SecretRule,
    vault::{CredentialRecord, Ownership, Record, recognise},
};

/// A directory may not show a credential it has just made for about this long
/// (Terraform waits minutes for it; seconds are usual).
const UNSEEN_FOR: SignedDuration = SignedDuration::from_mins(2);

/// What the secrets of one app amount to.
#[derive(Debug, Default)]
pub(super) struct Secrets {
    /// What is lost goes first, then comes at most one addition, then go those that have had their
    /// day.
    pub(super) steps: Vec<Step>,
    /// Whether a secret is to be made, or one that may work to go.
    pub(super) are_due: bool,
    /// Whether one of ours lives and stands already.
    stands: bool,
    pub(super) foreign: Vec<ForeignSecret>,
    pub(super) diagnostics: Vec<Diagnostic>,
    /// What bears this vault's mark and the vault never meant to make: another copy of it did.
    pub(super) of_another_copy: Vec<ForeignSecret>,
    /// Every credential of ours on the app was made by another vault, and there is at least one.
    pub(super) only_another_vault: Option<VaultId>,
}

/// The youngest secret of ours that lives and that no successor has replaced, if the app has one.
fn newest_live<'a>(
    found: &[FoundSecret],
    record: Option<&'a Record>,
    now: Timestamp,
) -> Option<&'a CredentialRecord> {
    record?
        .secrets()
        .filter(|held| held.state.stands())
        .filter(|held| held.end.is_some_and(|end| end > now))
        .filter(|held| is_there(held, found, now))
        .max_by_key(|held| (held.born(), held.end))
}

/// The secret to use, of those that the directory has: while the youngest was not accepted yet, one
/// that it is to succeed.
pub fn serving<'a>(
    found: &[FoundSecret],
    record: Option<&'a Record>,
    now: Timestamp,
) -> Option<&'a CredentialRecord> {
    record?
        .secrets()
        .filter(|held| held.end.is_some() && is_there(held, found, now))
        .filter_map(|held| Some((held.preference(now)?, held)))
        .max_by(|(one, _), (other, _)| one.cmp(other))
        .map(|(_, held)| held)
}

/// The secret that is to take the place of others once it is accepted.
pub fn heir<'a>(
    found: &[FoundSecret],
    record: Option<&'a Record>,
    now: Timestamp,
) -> Option<&'a CredentialRecord> {
    let newest = newest_live(found, record, now)?;
    let replaced =
        |held: &CredentialRecord| held.state.has_value() && held.end.is_some_and(|end| end > now);
    let stands = |held: &CredentialRecord| {
        held.nonce != newest.nonce
            && replaced(held)
            && (held.state.stands() || !newest.is_settled())
    };
    record?.secrets().any(stands).then_some(newest)
}

/// The youngest secret, where it was made beside others and has not taken their place yet: what a run
/// left that was cut, or that nobody answered.
pub fn untried(record: &Record) -> Option<&CredentialRecord> {
    let standing: Vec<_> = record.secrets().filter(|held| held.state.stands()).collect();
    let youngest = standing.iter().max_by_key(|held| (held.born(), held.end))?;
    (standing.len() > 1 && !youngest.is_settled()).then_some(*youngest)
}

fn has_value_of(record: &Record, secret: &FoundSecret) -> bool {
    record.secrets().any(|held| held.key_id == Some(secret.key_id) && held.state.has_value())
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
    wish: &Wish,
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
            Ownership::OursIntended { nonce } => {
                ours += 1;
                lost = true;
                secrets.steps.push(removal(secret.key_id, nonce, RemovalReason::ValueLost));
            }
            Ownership::OursUnknown { nonce } => {
                ours += 1;
                if wish.reissue {
                    // Whoever knew it is lost for good, they say.
                    lost = true;
                    secrets.steps.push(removal(secret.key_id, nonce, RemovalReason::ValueLost));
                } else if secret.end.is_some_and(|end| end <= now) {
                    secrets.steps.push(removal(secret.key_id, nonce, RemovalReason::Expired));
                } else {
                    secrets.of_another_copy.push(foreign(secret, Some(vault)));
                }
            }
            Ownership::OtherVault(maker) => {
                other = Some(maker);
                secrets.foreign.push(foreign(secret, Some(maker)));
            }
            Ownership::Foreign => secrets.foreign.push(foreign(secret, None)),
        }
    }
    secrets.only_another_vault = other.filter(|_| ours == 0);

    let rotated = wish.rotate.as_ref();
    let reason = match newest_live(found, record, now) {
        Some(held) => {
            secrets.stands = true;
            let due = held
                .end
                .zip(held.start)
                .is_some_and(|(end, start)| renewal_starts(rule, start, end) <= now);
            let asked = rotated.is_some_and(|rotate| rotate.old.contains(&held.nonce));
            let reason = if due { SecretReason::Renewal } else { SecretReason::Asked };
            (due || asked).then_some(reason)
        }
        None => Some(missing_because(record, found, lost, now)),
    };
    if let Some(reason) = reason {
        secrets.steps.push(Step::AddSecret { lifetime: rule.lifetime, reason, capped_by: None });
    }
    secrets.are_due |= lost || reason.is_some();
    let revoked = rotated.filter(|rotate| rotate.fate == Fate::Revoked).map(|rotate| &rotate.old);
    if let Some(record) = record {
        let is_there = |held: &CredentialRecord| is_there(held, found, now);
        let all: Vec<_> = record.secrets().collect();
        let gone = retire::due(&all, is_there, rule.overlap, revoked, now);
        secrets.are_due |= gone.iter().any(|(.., reason)| *reason != RemovalReason::Expired);
        secrets
            .steps
            .extend(gone.into_iter().map(|(key, nonce, reason)| removal(key, nonce, reason)));
        let held = |old: &&CredentialRecord| old.state.has_value() && is_there(old);
        let old = record.secrets().filter(held).filter(|held| {
            revoked.is_some_and(|old| reason.is_some() && old.contains(&held.nonce))
        });
        secrets.diagnostics.extend(will_be_revoked(old.count()));
    }
    if wish.remove_foreign {
        // What another vault of ours made is no stranger's: only that vault retires it.
        let strangers = secrets.foreign.iter().filter(|foreign| foreign.other_vault.is_none());
        secrets.steps.extend(strangers.map(|foreign| Step::RemoveSecret {
            key_id: foreign.key_id,
            nonce: None,
            display_name: foreign.display_name.clone(),
            reason: RemovalReason::Foreign,
        }));
    }
    secrets
}

impl Secrets {
    /// Takes back the addition at this position, and whatever waits for it.
    fn give_up(&mut self, position: usize) {
        self.steps.remove(position);
        if !self.stands {
            // Whatever goes now might be the last that opens a door.
            self.steps.retain(|step| {
                matches!(step, Step::RemoveSecret { reason: RemovalReason::ValueLost, .. })
            });
        }
        // Without a new one none is shortened, and no old one goes.
        let leaked = self.diagnostics.iter().any(|told| told.code == Code::OldRevoked);
        self.diagnostics
            .retain(|told| !matches!(told.code, Code::OldRevoked | Code::SecretShortened));
        let why = self.diagnostics.iter_mut().find(|told| told.code == Code::SecretForbidden);
        if let Some(hint) = why.filter(|_| leaked).and_then(|told| told.hint.as_mut()) {
            hint.push_str(
                ". Until then what leaked goes on opening the app; if being locked out is the lesser \
                 harm: Entra ID › App registrations › its name › Certificates & secrets › delete",
            );
        }
    }

    /// Names what another copy of this vault made, which whoever uses it must not lose.
    pub(super) fn another_copy(&self, code: Code) -> Option<Diagnostic> {
        let theirs: Vec<_> = self.of_another_copy.iter().map(Theirs::secret).collect();
        (!theirs.is_empty()).then(|| {
            let named = foreign::named(&theirs);
            Diagnostic::new(
                code,
                format!("another copy of this vault made what this one does not know: {named}"),
            )
            .hint(
                "this one may be old: a pipeline's cache, a backup, what `vault copy` left. Bring \
                 the one that was written last; only if that is lost for good: apply --reissue \
                 removes what it made, and makes new secrets",
            )
        })
    }
}

fn removal(key_id: KeyId, nonce: Nonce, reason: RemovalReason) -> Step {
    Step::RemoveSecret { key_id, nonce: Some(nonce), display_name: None, reason }
}

/// What a plan cannot hold as a step yet: whether the new one is accepted shows only when it is
/// there.
fn will_be_revoked(old: usize) -> Option<Diagnostic> {
    let what = match old {
        0 => return None,
        1 => "the secret of ours that is there now is".to_owned(),
        many => format!("the {many} secrets of ours that are there now are"),
    };
    Some(
        Diagnostic::new(
            Code::OldRevoked,
            format!(
                "{what} removed in this same run, once the new one is accepted in the customer's \
             directory, or, where nobody has consented yet and so nobody can accept it, stored"
            ),
        )
        .hint("fill the SIEM again after that: tenantry export"),
    )
}

fn missing_because(
    record: Option<&Record>,
    found: &[FoundSecret],
    lost: bool,
    now: Timestamp,
) -> SecretReason {
    let held: Vec<_> =
        record.iter().flat_map(|r| r.secrets()).filter(|held| held.state.stands()).collect();
    if held.iter().any(|held| held.has_ended(now) && is_there(held, found, now)) {
        SecretReason::Expired
    } else if !held.is_empty() {
        SecretReason::RemovedOutside
    } else if lost {
        SecretReason::ValueLost
    } else {
        SecretReason::First
    }
}

/// A secret that is not ours, as it is named.
pub(super) fn foreign(secret: &FoundSecret, other_vault: Option<VaultId>) -> ForeignSecret {
    let FoundSecret { key_id, display_name, start: _, end } = secret;
    ForeignSecret { key_id: *key_id, display_name: display_name.clone(), ends: *end, other_vault }
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
                    match app {
                        Some(_) => {
                            "ask for an exemption for this app in Entra ID › Enterprise \
                             applications › Application policies, or write `credential: federated` \
                             or `credential: certificate` in the manifest"
                        }
                        // There is nothing yet that could be exempted.
                        None => {
                            "write `credential: federated` or `credential: certificate` in the \
                             manifest: the policy forbids secrets only. An exemption takes an app \
                             that is there"
                        }
                    },
                ));
                if restriction.exempt.is_empty() {
                    secrets.give_up(position);
                    return;
                }
            }
            RestrictionKind::SecretLifetime(most) if most.after(now) <= now => {
                secrets.diagnostics.push(ends_at_once(policy));
                secrets.give_up(position);
                return;
            }
            RestrictionKind::SecretLifetime(most) => shorten(secrets, position, policy, *most, now),
            RestrictionKind::CertificateLifetime(_)
            | RestrictionKind::TrustedCertificates
            | RestrictionKind::NoMultipleOrgs
            | RestrictionKind::RedirectUris(_) => {}
        }
    }
}

/// A run a day can keep nothing alive that does not live for one.
fn ends_at_once(policy: &Policy) -> Diagnostic {
    Diagnostic::new(
        Code::SecretForbidden,
        format!(
            "policy \"{}\" ({}) lets a new client secret live less than a day, too short to be \
             renewed by a run a day",
            policy.name, policy.id
        ),
    )
    .hint(
        "ask for a longer `maxLifetime`, or write `credential: federated` or `credential: \
         certificate` in the manifest",
    )
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
