//! What the directory's policies forbid of a registration, and what that takes out of a plan.
//!
//! Policies stop what is added; what is there goes on
//! (<https://learn.microsoft.com/en-us/graph/api/resources/applicationauthenticationmethodpolicy>).

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::{
    AppPlan,
    diagnostic::{Code, Diagnostic},
    secrets::policy_for,
    step::{Edit, Step},
};
use crate::{
    ids::{Application, ObjectId},
    inventory::{Policies, Policy, Restriction, RestrictionKind, Sight},
    registration::{Audience, RedirectUri},
};

/// What a plan would add that a policy may forbid; credentials apart.
struct Added {
    multiple_orgs: bool,
    redirect_uris: BTreeSet<RedirectUri>,
}

impl Added {
    fn by(steps: &[Step]) -> Self {
        let mut added = Self { multiple_orgs: false, redirect_uris: BTreeSet::new() };
        let multiple = Some(Audience::MultipleOrgs);
        for step in steps {
            match step {
                Step::CreateApplication { registration, .. } => {
                    added.multiple_orgs |= registration.audience == multiple;
                    added.redirect_uris.extend(registration.redirect_uris.iter().cloned());
                }
                Step::PatchApplication { edits, .. } => {
                    for edit in edits {
                        match edit {
                            Edit::Audience(change) => added.multiple_orgs |= change.to == multiple,
                            Edit::RedirectUris(change) => added
                                .redirect_uris
                                .extend(change.to.difference(&change.from).cloned()),
                            Edit::DisplayName(_)
                            | Edit::Permissions(_)
                            | Edit::Links(_)
                            | Edit::Tags(_)
                            | Edit::UniqueName(_) => {}
                        }
                    }
                }
                Step::RestoreApplication { .. }
                | Step::RemoveSecret { .. }
                | Step::AddSecret { .. }
                | Step::RemoveCertificate { .. }
                | Step::AddCertificate { .. }
                | Step::AddFederated { .. }
                | Step::UpdateFederated { .. }
                | Step::RemoveFederated { .. }
                | Step::AddOwner { .. } => {}
            }
        }
        added
    }
}

/// Says what of the registration the policy that counts for the app forbids to add. `created` is
/// now for an app that does not exist yet.
pub(super) fn judge(
    plan: &mut AppPlan,
    policies: &Sight<Policies>,
    app: Option<ObjectId<Application>>,
    created: Timestamp,
) {
    let Some(policy) = policies.seen().and_then(|policies| policy_for(policies, app)) else {
        return;
    };
    let Added { multiple_orgs, redirect_uris } = Added::by(&plan.steps);
    for restriction in policy.restrictions.iter().filter(|r| r.concerns(created)) {
        match &restriction.kind {
            RestrictionKind::NoMultipleOrgs if multiple_orgs => plan.diagnostics.push(forbidden(
                Code::AudienceForbidden,
                policy,
                restriction,
                "apps for other directories",
                "ask for an exemption, or let each customer own the app: layout: in-tenant",
            )),
            RestrictionKind::RedirectUris(rule) => {
                let forbids: Vec<_> = redirect_uris
                    .iter()
                    .filter(|uri| rule.forbids(uri))
                    .map(RedirectUri::as_str)
                    .collect();
                if !forbids.is_empty() {
                    plan.diagnostics.push(forbidden(
                        Code::RedirectForbidden,
                        policy,
                        restriction,
                        &format!("the redirect URI {}", forbids.join(", ")),
                        "ask for an exemption, or choose other `redirectUris`",
                    ));
                }
            }
            RestrictionKind::NoMultipleOrgs
            | RestrictionKind::NoSecrets
            | RestrictionKind::SecretLifetime(_)
            | RestrictionKind::CertificateLifetime(_)
            | RestrictionKind::TrustedCertificates => {}
        }
    }
}

/// What a ban means: an obstacle, or, where it exempts whoever carries an attribute, something that
/// only the attempt can tell.
pub(super) fn forbidden(
    code: Code,
    policy: &Policy,
    restriction: &Restriction,
    what: &str,
    hint: &str,
) -> Diagnostic {
    let name = format!("policy \"{}\" ({})", policy.name, policy.id);
    if restriction.exempt.is_empty() {
        return Diagnostic::new(code, format!("{name} forbids {what}")).hint(hint);
    }
    Diagnostic::new(
        Code::PolicyMayForbid,
        format!(
            "{name} forbids {what}, but not to whoever carries the custom security attribute {}; \
             whether the operator does cannot be read, so apply finds out",
            restriction.exempt.join(" or ")
        ),
    )
    .hint(hint)
}

/// Takes out of a plan what a policy forbids: all of it for an app that is yet to be made, so that
/// nothing is left half-done, and only what is forbidden for one that is there.
pub(super) fn give_way(plan: &mut AppPlan, is_there: bool) {
    let forbids = |code| plan.diagnostics.iter().any(|d| d.code == code);
    if forbids(Code::AudienceForbidden) {
        plan.steps.clear();
    } else if forbids(Code::RedirectForbidden) {
        if !is_there {
            plan.steps.clear();
        }
        for step in &mut plan.steps {
            if let Step::PatchApplication { edits, .. } = step {
                edits.retain(|edit| !matches!(edit, Edit::RedirectUris(_)));
            }
        }
        plan.steps.retain(
            |step| !matches!(step, Step::PatchApplication { edits, .. } if edits.is_empty()),
        );
    }
    let no_credential = forbids(Code::SecretForbidden) || forbids(Code::CertificateForbidden);
    if no_credential && !is_there {
        plan.steps.clear();
    }
}
