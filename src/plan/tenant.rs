//! What is planned for one tenant: the steps that only people can take.

use jiff::Timestamp;

use super::{
    AppPlan, Seen, TenantPlan,
    diagnostic::{Code, Diagnostic},
    grant, manual,
    pin::{changed, directory_unknown},
    remembered,
    step::Target,
};
use crate::{
    cloud::Cloud,
    connector::PortalAuthorization,
    manifest::{ConsentStrategy, Layout, Manifest, Tenant},
    vault::AttestedOutcome,
};

pub(super) fn plan(
    manifest: &Manifest,
    wanted: &Tenant,
    app: Option<&AppPlan>,
    cloud: &Cloud,
    seen: &Seen,
    now: Timestamp,
) -> TenantPlan {
    let mut plan = TenantPlan {
        key: wanted.key.clone(),
        name: wanted.name.clone(),
        directory: None,
        app: wanted.app.clone(),
        steps: Vec::new(),
        manual: Vec::new(),
        diagnostics: Vec::new(),
    };
    let record = seen.records.get(&wanted.app).and_then(|record| record.tenants.get(&wanted.key));
    match seen.directories.get(&wanted.key) {
        Some(Ok(resolved)) => {
            plan.directory = Some(resolved.id);
            if let Some(why) = &resolved.stale {
                plan.diagnostics.push(Diagnostic::new(
                    Code::PinnedUnchecked,
                    format!(
                        "its domain could not be looked up, the pinned directory is used: {}",
                        why.line()
                    ),
                ));
            }
            if let Some(record) = record
                && record.id != resolved.id
            {
                plan.diagnostics.push(changed(&wanted.key, record.id, resolved.id));
                // Which of the two it is, a person has to say: nobody is asked in either.
                plan.directory = None;
                return plan;
            }
        }
        Some(Err(why)) => {
            plan.diagnostics.push(directory_unknown(&wanted.key, &why.line(), why.hint.as_deref()));
            return plan;
        }
        None => return plan,
    }
    let is_elsewhere =
        |app: &AppPlan| app.diagnostics.iter().any(|told| told.code == Code::DirectoryChanged);
    if app.is_some_and(is_elsewhere) {
        // Its row says why: an app of another directory is granted nothing in this one.
        plan.directory = None;
        return plan;
    }
    let granted = grants(&mut plan, manifest, wanted, app, seen);
    people(&mut plan, wanted, app, cloud, granted, seen, now);
    plan
}

/// Whether somebody's consent is still to be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Consent {
    /// All that the app asks for is granted by this plan, or was.
    Granted,
    /// An administrator has to accept.
    Asked,
}

fn grants(
    plan: &mut TenantPlan,
    manifest: &Manifest,
    wanted: &Tenant,
    app: Option<&AppPlan>,
    seen: &Seen,
) -> Consent {
    let known = plan.directory.zip(app).zip(manifest.apps.get(&wanted.app));
    let Some(((directory, app_plan), app)) = known else { return Consent::Asked };
    let planned = grant::plan(&manifest.fleet, wanted, app, app_plan, directory, seen);
    plan.steps = planned.steps;
    plan.diagnostics.extend(planned.diagnostics);
    if planned.whole { Consent::Granted } else { Consent::Asked }
}

fn people(
    plan: &mut TenantPlan,
    wanted: &Tenant,
    app: Option<&AppPlan>,
    cloud: &Cloud,
    granted: Consent,
    seen: &Seen,
    now: Timestamp,
) {
    // Of an app that nobody can see in its customer's directory nothing can be asked there.
    let hidden = app.is_some_and(|app| match app.layout {
        Layout::InTenant => app.target == Target::Unknown,
        Layout::PerTenant | Layout::Shared => false,
    });
    if hidden {
        return;
    }
    let client = app.and_then(|app| app.target.client_id());
    let record = seen
        .records
        .get(&wanted.app)
        // What people did for another client id counts for nothing.
        .filter(|record| client.is_some() && record.client_id == client);
    let remembered = record.and_then(|record| record.tenants.get(&wanted.key));
    if granted == Consent::Asked && remembered::consent_since(record, &wanted.key).is_none() {
        plan.manual.push(manual::admin_consent(cloud, wanted, plan.directory, client));
        let unseen_landing = wanted.consent.strategy == ConsentStrategy::Link
            && wanted.consent.redirect_uri.is_none();
        if unseen_landing {
            plan.diagnostics.push(
                Diagnostic::new(
                    Code::NoLandingPage,
                    "after accepting, the administrator will land on one of the app's redirect URIs, which may show an error",
                )
                .hint("consent.redirectUri names a page of yours to land on"),
            );
        }
    }
    if wanted.connector.needs().delegated {
        if remembered::asks_sign_in(record, &wanted.key, now) {
            plan.manual.push(manual::sign_in(wanted));
        }
        // Said at every plan: such a policy may be made at any time, and ends what works today.
        plan.diagnostics.push(
            Diagnostic::new(
                Code::TokenMayEnd,
                "a sign-in frequency or location policy of the customer can end the analyst's refresh token at any time",
            )
            .hint("ask the customer to exempt the analyst from both for this app, or use a connector that signs nobody in"),
        );
    }
    let attested = client
        .zip(remembered.and_then(|tenant| tenant.attestation.as_ref()))
        .is_some_and(|(client, attestation)| {
            attestation.client_id == client
                && match attestation.outcome {
                    AttestedOutcome::Authorized | AttestedOutcome::PageMissing => true,
                    AttestedOutcome::Refused => false,
                }
        });
    match wanted.portal {
        PortalAuthorization::Required if !attested => plan
            .manual
            .push(manual::portal_authorization(cloud, wanted, plan.directory, client, seen.home)),
        PortalAuthorization::Required | PortalAuthorization::NotNeeded => {}
    }
}
