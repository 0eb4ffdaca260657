//! Which credentials an app needs, given what the directory shows, what the vault holds, and what
//! the directory's policies allow. Secrets and certificates live one life; an app signs in with one
//! kind of them, or with somebody else's tokens.

use jiff::{SignedDuration, Timestamp};

use super::{
    Fate, Wish,
    diagnostic::{Code, Diagnostic},
    foreign::{self, Theirs},
    kinds,
    policies::forbidden,
    retire::{self, Successor},
    step::{Cap, ForeignSecret, RemovalReason, SecretReason, Step},
};
use crate::{
    ids::{Application, ObjectId, VaultId},
    inventory::{FoundApp, FoundSecret, Policies, Policy, RestrictionKind, Sight},
    lifetime::Lifetime,
    manifest::{App, Credential, SecretRule},
    vault::{CredentialKind, CredentialRecord, Ownership, Record, preferred, recognise},
};

/// A directory may not show a credential it has just made for about this long
/// (Terraform waits minutes for it; seconds are usual).
const UNSEEN_FOR: SignedDuration = SignedDuration::from_mins(2);

/// What the credentials of one app amount to.
#[derive(Debug, Default)]
pub(super) struct Credentials {
    /// What is lost goes first, then comes at most one addition, then go those that have had their
    /// day.
    pub(super) steps: Vec<Step>,
    /// Whether one is to be made, or one that may work to go.
    pub(super) are_due: bool,
    /// Whether one of ours lives and stands already.
    stands: bool,
    pub(super) foreign_secrets: Vec<ForeignSecret>,
    pub(super) foreign_certificates: Vec<ForeignSecret>,
    pub(super) diagnostics: Vec<Diagnostic>,
    /// What bears this vault's mark and the vault never meant to make: another copy of it did.
    pub(super) of_another_copy: Vec<(CredentialKind, ForeignSecret)>,
    /// Every credential of ours on the app was made by another vault, and there is at least one.
    pub(super) only_another_vault: Option<VaultId>,
}

/// Whether one of ours lives, is in the directory, and no successor has replaced it.
fn stands(app: Option<&FoundApp>, held: &CredentialRecord, now: Timestamp) -> bool {
    held.state.stands() && held.end.is_some_and(|end| end > now) && is_there(held, app, now)
}

/// The youngest credential of a kind that stands, if the app has one.
fn newest_live<'a>(
    app: Option<&FoundApp>,
    record: Option<&'a Record>,
    kind: CredentialKind,
    now: Timestamp,
) -> Option<&'a CredentialRecord> {
    record?
        .of_kind(kind)
        .filter(|held| stands(app, held, now))
        .max_by_key(|held| (held.born(), held.end))
}

/// The credential to use, of those that the directory has: while the youngest was not accepted yet,
/// one that it is to succeed, of whatever kind that is.
pub fn serving<'a>(
    app: Option<&FoundApp>,
    record: Option<&'a Record>,
    now: Timestamp,
) -> Option<&'a CredentialRecord> {
    let own = record?.own();
    preferred(own.filter(|held| held.end.is_some() && is_there(held, app, now)), now)
}

/// The credential that is to take the place of others once it is accepted.
pub fn heir<'a>(
    wanted: &Credential,
    app: Option<&FoundApp>,
    record: Option<&'a Record>,
    now: Timestamp,
) -> Option<&'a CredentialRecord> {
    let newest = newest_live(app, record, kinds::kept(wanted)?, now)?;
    let replaced =
        |held: &CredentialRecord| held.state.has_value() && held.end.is_some_and(|end| end > now);
    let stands = |held: &CredentialRecord| {
        held.nonce != newest.nonce
            && replaced(held)
            && (held.state.stands() || !newest.is_settled())
    };
    record?.own().any(stands).then_some(newest)
}

/// The youngest credential, where it was made beside others and has not taken their place yet: what a
/// run left that was cut, or that nobody answered.
pub fn untried(record: &Record) -> Option<&CredentialRecord> {
    let standing: Vec<_> = record.own().filter(|held| held.state.stands()).collect();
    let youngest = standing.iter().max_by_key(|held| (held.born(), held.end))?;
    (standing.len() > 1 && !youngest.is_settled()).then_some(*youngest)
}

fn has_value_of(record: &Record, found: &FoundSecret) -> bool {
    record.own().any(|held| held.key_id == Some(found.key_id) && held.state.has_value())
}

/// Whether the directory has the credential: it shows it, or may not show it yet.
pub fn is_there(held: &CredentialRecord, app: Option<&FoundApp>, now: Timestamp) -> bool {
    kinds::found(app, held.kind).iter().any(|found| Some(found.key_id) == held.key_id)
        || held.start.is_some_and(|start| now.duration_since(start) < UNSEEN_FOR)
}

/// When a second one is made beside this one: `renewBefore` its end, yet never earlier than
/// two thirds of its real life, which a policy may have made short.
pub fn renewal_starts(rule: &SecretRule, start: Timestamp, end: Timestamp) -> Timestamp {
    let third = end.duration_since(start) / 3;
    let window = rule.renew_before.after(start).duration_since(start);
    end.checked_sub(window.min(third)).unwrap_or(end)
}

/// Decides the credentials of one app; there is none for one that does not exist yet.
pub(super) fn decide(
    app: Option<&FoundApp>,
    record: Option<&Record>,
    wanted: &Credential,
    vault: VaultId,
    rule: &SecretRule,
    wish: &Wish,
    now: Timestamp,
) -> Credentials {
    let mut decided = Credentials::default();
    let (mut ours, mut other) = (0, None);
    let mut lost = false;
    let kept = kinds::kept(wanted);
    for kind in kinds::KINDS {
        for found in kinds::found(app, kind) {
            // The key id is the directory's and nobody can change it; names can be changed by hand.
            // What we hold the value of is never removed for its name.
            if record.is_some_and(|record| has_value_of(record, found)) {
                ours += 1;
                continue;
            }
            let theirs = match kind {
                CredentialKind::Certificate => &mut decided.foreign_certificates,
                CredentialKind::Secret | CredentialKind::RefreshToken => {
                    &mut decided.foreign_secrets
                }
            };
            let removal = |nonce, reason| kinds::removal(kind, found.key_id, nonce, reason);
            match recognise(found.display_name.as_deref(), vault, record) {
                Ownership::OursStored { .. } => ours += 1,
                Ownership::OursIntended { nonce } => {
                    ours += 1;
                    lost |= kept == Some(kind);
                    decided.steps.push(removal(nonce, RemovalReason::ValueLost));
                }
                Ownership::OursUnknown { nonce } => {
                    ours += 1;
                    if wish.reissue {
                        // Whoever knew it is lost for good, they say.
                        lost |= kept == Some(kind);
                        decided.steps.push(removal(nonce, RemovalReason::ValueLost));
                    } else if found.end.is_some_and(|end| end <= now) {
                        decided.steps.push(removal(nonce, RemovalReason::Expired));
                    } else {
                        decided.of_another_copy.push((kind, foreign(found, Some(vault))));
                    }
                }
                Ownership::OtherVault(maker) => {
                    other = Some(maker);
                    theirs.push(foreign(found, Some(maker)));
                }
                Ownership::Foreign => theirs.push(foreign(found, None)),
            }
        }
    }
    decided.only_another_vault = other.filter(|_| ours == 0);
    decided.stands = record.into_iter().flat_map(Record::own).any(|held| stands(app, held, now));

    let rotated = wish.rotate.as_ref();
    let addition = kept.and_then(|kind| {
        let reason = match newest_live(app, record, kind, now) {
            Some(held) => {
                let due = held
                    .end
                    .zip(held.start)
                    .is_some_and(|(end, start)| renewal_starts(rule, start, end) <= now);
                let asked = rotated.is_some_and(|rotate| rotate.old.contains(&held.nonce));
                let reason = if due { SecretReason::Renewal } else { SecretReason::Asked };
                (due || asked).then_some(reason)
            }
            None => Some(missing_because(app, record, kind, lost, now)),
        };
        Some(kinds::addition(kind, rule.lifetime, reason?))
    });
    let is_added = addition.is_some();
    decided.are_due |= is_added || decided.steps.iter().any(kinds::removes_lost);
    decided.steps.extend(addition);
    let revoked = rotated.filter(|rotate| rotate.fate == Fate::Revoked).map(|rotate| &rotate.old);
    if let Some(record) = record {
        let is_there = |held: &CredentialRecord| is_there(held, app, now);
        let all: Vec<_> = record.own().collect();
        let successor = Successor::of(wanted, record);
        let gone = retire::due(&all, is_there, successor, rule.overlap, revoked, now);
        decided.are_due |= gone.iter().any(|gone| gone.reason != RemovalReason::Expired);
        let removal = |gone: retire::Gone| {
            let retire::Gone { kind, key_id, nonce, reason } = gone;
            kinds::removal(kind, key_id, nonce, reason)
        };
        decided.steps.extend(gone.into_iter().map(removal));
        let held = |old: &&CredentialRecord| old.state.has_value() && is_there(old);
        let old = record
            .own()
            .filter(held)
            .filter(|held| revoked.is_some_and(|old| is_added && old.contains(&held.nonce)));
        decided.diagnostics.extend(will_be_revoked(&old.collect::<Vec<_>>(), wanted));
    }
    if wish.remove_foreign {
        // What another vault of ours made is no stranger's: only that vault retires it.
        let is_strange = |foreign: &&ForeignSecret| foreign.other_vault.is_none();
        let Credentials { steps, foreign_secrets, foreign_certificates, .. } = &mut decided;
        for (kind, theirs) in [
            (CredentialKind::Secret, foreign_secrets),
            (CredentialKind::Certificate, foreign_certificates),
        ] {
            let strangers = theirs.iter().filter(is_strange);
            steps.extend(strangers.map(|foreign| kinds::expulsion(kind, foreign)));
        }
    }
    decided
}

impl Credentials {
    /// Takes back the addition at this position, and whatever waits for it.
    fn give_up(&mut self, position: usize) {
        self.steps.remove(position);
        if !self.stands {
            // Whatever goes now might be the last that opens a door.
            self.steps.retain(kinds::removes_lost);
        }
        // Without a new one none is shortened, and no old one goes.
        let leaked = self.diagnostics.iter().any(|told| told.code == Code::OldRevoked);
        self.diagnostics.retain(|told| {
            !matches!(
                told.code,
                Code::OldRevoked | Code::SecretShortened | Code::CertificateShortened
            )
        });
        let forbids = |told: &&mut Diagnostic| {
            matches!(told.code, Code::SecretForbidden | Code::CertificateForbidden)
        };
        let why = self.diagnostics.iter_mut().find(forbids);
        if let Some(hint) = why.filter(|_| leaked).and_then(|told| told.hint.as_mut()) {
            hint.push_str(
                ". Until then what leaked goes on opening the app; if being locked out is the lesser \
                 harm: Entra ID › App registrations › its name › Certificates & secrets › delete",
            );
        }
    }

    /// Names what another copy of this vault made, which whoever uses it must not lose.
    pub(super) fn another_copy(&self, code: Code) -> Option<Diagnostic> {
        let theirs: Vec<_> =
            self.of_another_copy.iter().map(|(kind, one)| Theirs::kept(*kind, one)).collect();
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

/// What a plan cannot hold as a step yet: whether the new one is accepted shows only when it is
/// there.
fn will_be_revoked(old: &[&CredentialRecord], wanted: &Credential) -> Option<Diagnostic> {
    let first = old.first()?;
    let word = if old.iter().all(|one| one.kind == first.kind) {
        kinds::word(first.kind)
    } else {
        "credential"
    };
    let what = match old.len() {
        1 => format!("the {word} of ours that is there now is"),
        many => format!("the {many} {word}s of ours that are there now are"),
    };
    let hint = match wanted {
        Credential::Certificate => {
            "whoever was given one needs the new one after that: tenantry reveal --field certificate"
        }
        Credential::Secret | Credential::Federated(_) => {
            "fill the SIEM again after that: tenantry export"
        }
    };
    Some(
        Diagnostic::new(
            Code::OldRevoked,
            format!(
                "{what} removed in this same run, once the new one is accepted in the customer's \
             directory, or, where nobody has consented yet and so nobody can accept it, stored"
            ),
        )
        .hint(hint),
    )
}

fn missing_because(
    app: Option<&FoundApp>,
    record: Option<&Record>,
    kind: CredentialKind,
    lost: bool,
    now: Timestamp,
) -> SecretReason {
    let of_kind = record.into_iter().flat_map(|record| record.of_kind(kind));
    let held: Vec<_> = of_kind.filter(|held| held.state.stands()).collect();
    if held.iter().any(|held| held.has_ended(now) && is_there(held, app, now)) {
        SecretReason::Expired
    } else if !held.is_empty() {
        SecretReason::RemovedOutside
    } else if lost {
        SecretReason::ValueLost
    } else {
        SecretReason::First
    }
}

/// A secret or a certificate that is not ours, as it is named.
pub(super) fn foreign(found: &FoundSecret, other_vault: Option<VaultId>) -> ForeignSecret {
    let FoundSecret { key_id, display_name, start: _, end } = found;
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

/// What the policies have to say to a new credential of the kind that the manifest wants for an app,
/// whether or not one is due; for who asks before there is a plan. `created` is now for an app that
/// does not exist yet.
pub fn foretold(
    wanted: &App,
    policies: &Sight<Policies>,
    app: Option<ObjectId<Application>>,
    created: Timestamp,
    now: Timestamp,
) -> Vec<Diagnostic> {
    let Some(kind) = kinds::kept(&wanted.credential) else { return Vec::new() };
    let one = kinds::addition(kind, wanted.secret.lifetime, SecretReason::First);
    let mut decided = Credentials { steps: vec![one], ..Credentials::default() };
    obey(&mut decided, policies, app, created, now);
    decided.diagnostics
}

/// Holds the planned credential against the policies: shortens it, or says that it cannot be made.
/// `created` is now for an app that does not exist yet.
pub(super) fn obey(
    decided: &mut Credentials,
    policies: &Sight<Policies>,
    app: Option<ObjectId<Application>>,
    created: Timestamp,
    now: Timestamp,
) {
    let made = decided.steps.iter().enumerate();
    let Some((position, kind)) =
        made.filter_map(|(at, step)| Some((at, kinds::made_by(step)?))).next()
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
        let (code, what, way_out) = match (&restriction.kind, kind) {
            (RestrictionKind::NoSecrets, CredentialKind::Secret) => (
                Code::SecretForbidden,
                "new client secrets",
                match app {
                    Some(_) => {
                        "ask for an exemption for this app in Entra ID › Enterprise applications › \
                         Application policies, or write `credential: federated` or `credential: \
                         certificate` in the manifest"
                    }
                    // There is nothing yet that could be exempted.
                    None => {
                        "write `credential: federated` or `credential: certificate` in the \
                         manifest: the policy forbids secrets only. An exemption takes an app that \
                         is there"
                    }
                },
            ),
            (RestrictionKind::TrustedCertificates, CredentialKind::Certificate) => (
                Code::CertificateForbidden,
                "certificates but of the authorities that it names, and tenantry's are signed \
                 with their own keys",
                match app {
                    Some(_) => {
                        "ask for an exemption for this app in Entra ID › Enterprise applications › \
                         Application policies, or write `credential: federated` in the manifest"
                    }
                    None => {
                        "write `credential: federated` in the manifest. An exemption takes an app \
                         that is there"
                    }
                },
            ),
            (RestrictionKind::SecretLifetime(most), CredentialKind::Secret)
            | (RestrictionKind::CertificateLifetime(most), CredentialKind::Certificate) => {
                if most.after(now) <= now {
                    decided.diagnostics.push(ends_at_once(policy, kind));
                    decided.give_up(position);
                    return;
                }
                shorten(decided, position, policy, *most, now);
                continue;
            }
            (
                RestrictionKind::NoSecrets
                | RestrictionKind::SecretLifetime(_)
                | RestrictionKind::CertificateLifetime(_)
                | RestrictionKind::TrustedCertificates
                | RestrictionKind::NoMultipleOrgs
                | RestrictionKind::RedirectUris(_),
                CredentialKind::Secret | CredentialKind::Certificate | CredentialKind::RefreshToken,
            ) => continue,
        };
        decided.diagnostics.push(forbidden(code, policy, restriction, what, way_out));
        if restriction.exempt.is_empty() {
            decided.give_up(position);
            return;
        }
    }
}

/// A run a day can keep nothing alive that does not live for one.
fn ends_at_once(policy: &Policy, kind: CredentialKind) -> Diagnostic {
    let (code, what, instead) = match kind {
        CredentialKind::Certificate => {
            (Code::CertificateForbidden, "certificate", "`credential: federated`")
        }
        CredentialKind::Secret | CredentialKind::RefreshToken => (
            Code::SecretForbidden,
            "client secret",
            "`credential: federated` or `credential: certificate`",
        ),
    };
    Diagnostic::new(
        code,
        format!(
            "policy \"{}\" ({}) lets a new {what} live less than a day, too short to be renewed by a \
             run a day",
            policy.name, policy.id
        ),
    )
    .hint(format!("ask for a longer `maxLifetime`, or write {instead} in the manifest"))
}

fn shorten(
    decided: &mut Credentials,
    position: usize,
    policy: &Policy,
    most: Lifetime,
    now: Timestamp,
) {
    let (lifetime, capped_by, code, word) = match decided.steps.get_mut(position) {
        Some(Step::AddSecret { lifetime, capped_by, reason: _ }) => {
            (lifetime, capped_by, Code::SecretShortened, "secret")
        }
        Some(Step::AddCertificate { lifetime, capped_by, reason: _ }) => {
            (lifetime, capped_by, Code::CertificateShortened, "certificate")
        }
        Some(_) | None => return,
    };
    if lifetime.after(now) <= most.after(now) {
        return;
    }
    let wanted = capped_by.as_ref().map_or(*lifetime, |cap| cap.wanted);
    *lifetime = most;
    *capped_by = Some(Cap { policy: policy.name.clone(), policy_id: policy.id.clone(), wanted });
    decided.diagnostics.retain(|d| d.code != code);
    decided.diagnostics.push(Diagnostic::new(
        code,
        format!("the {word} lives {most} instead of {wanted}: policy \"{}\" caps it", policy.name),
    ));
}
