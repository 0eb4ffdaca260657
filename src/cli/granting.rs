//! Granting in customers' directories, as apply and consent do it.

use std::collections::{BTreeMap, BTreeSet};

use super::reading::Reading;
use crate::{
    apply::{self, Ended, GrantEnd, Granted, Grantee, Hands},
    failure::Failure,
    graph::ObjectAge,
    ids::{AppKey, TenantId, TenantKey},
    inventory::{Principals, Sight},
    manifest::Manifest,
    plan::{Approved, step::Step},
    report::failed::FailedSteps,
};

/// What granting came to.
#[derive(Default)]
pub(super) struct Outcome {
    /// How many steps were done.
    pub(super) done: usize,
    /// For how many tenants all were.
    pub(super) tenants: usize,
    pub(super) failed: BTreeMap<TenantKey, Failure>,
    pub(super) interrupted: BTreeSet<TenantKey>,
}

impl Outcome {
    /// Every failure, each with its tenant and the app that was to be granted something.
    pub(super) fn failed_steps(&self, manifest: &Manifest) -> impl Iterator<Item = FailedSteps> {
        self.failed.iter().filter_map(|(key, failure)| {
            let app = manifest.tenants.get(key)?.app.clone();
            Some(FailedSteps { app, tenant: Some(key.clone()), failure: failure.clone() })
        })
    }

    /// Adds what another round came to.
    pub(super) fn add(&mut self, other: Self) {
        let Self { done, tenants, failed, interrupted } = other;
        self.done += done;
        self.tenants += tenants;
        self.failed.extend(failed);
        self.interrupted.extend(interrupted);
    }
}

/// The apps that can be granted something: those whose own steps are all done, or that had none.
/// Only owners that could not be added hold nothing up: no grant stands on them.
pub(super) fn grantees(
    approved: &Approved,
    ended: &BTreeMap<AppKey, Ended>,
) -> BTreeMap<AppKey, Grantee> {
    let apps = approved.plan().apps.values();
    let grantee = |app: &crate::plan::AppPlan| match (ended.get(&app.key), app.target.client_id()) {
        (Some(Ended::Done(found)), None) => {
            Some(Grantee { client: found.client_id, age: ObjectAge::JustMade })
        }
        (Some(Ended::Done(_)) | None, Some(client)) => {
            Some(Grantee { client, age: ObjectAge::Settled })
        }
        (Some(Ended::Failed { step: _, failure: _, done, found: Some(found) }), target)
            if app.steps.iter().skip(*done).all(|step| matches!(step, Step::AddOwner { .. })) =>
        {
            let age = target.map_or(ObjectAge::JustMade, |_| ObjectAge::Settled);
            Some(Grantee { client: found.client_id, age })
        }
        (
            Some(Ended::PlanAgain { .. } | Ended::Failed { .. } | Ended::Interrupted { .. }) | None,
            _,
        ) => None,
    };
    apps.filter_map(|app| Some((app.key.clone(), grantee(app)?))).collect()
}

/// Grants what the plan says, and takes what the directories hold then into the reading.
pub(super) async fn grant(
    reading: &mut Reading,
    approved: &Approved,
    apps: &BTreeMap<AppKey, Grantee>,
    hands: &Hands<'_>,
) -> Outcome {
    let found: BTreeMap<TenantId, Principals> = reading
        .seen
        .inventories
        .iter()
        .filter_map(|(id, one)| Some((*id, one.as_ref().ok()?.principals.seen()?.clone())))
        .collect();
    let mut outcome = Outcome::default();
    for (key, granted) in apply::grant(approved, apps, &found, hands).await {
        let Granted { directory, client, principal, apis, done, end } = granted;
        outcome.done += done;
        match end {
            GrantEnd::Done => outcome.tenants += 1,
            GrantEnd::Failed(failure) => {
                outcome.failed.insert(key, failure);
            }
            GrantEnd::Interrupted => {
                outcome.interrupted.insert(key);
            }
        }
        if let Some(Ok(inventory)) = reading.seen.inventories.get_mut(&directory)
            && let Sight::Seen(known) = &mut inventory.principals
        {
            known.apis.extend(apis);
            known.apps.extend(principal.map(|principal| (client, principal)));
        }
    }
    outcome
}
