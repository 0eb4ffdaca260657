//! What is planned for one tenant: the steps that only people can take.

use super::{
    AppPlan, Seen, TenantPlan,
    app::{changed, directory_unknown},
    diagnostic::{Code, Diagnostic},
    manual,
};
use crate::{
    cloud::Cloud,
    connector::PortalAuthorization,
    ids::TenantId,
    manifest::{ConsentStrategy, Tenant},
    vault::AttestedOutcome,
};

pub(super) fn plan(
    wanted: &Tenant,
    app: Option<&AppPlan>,
    cloud: &Cloud,
    seen: &Seen,
) -> TenantPlan {
    let mut plan = TenantPlan {
        key: wanted.key.clone(),
        name: wanted.name.clone(),
        directory: None,
        app: wanted.app.clone(),
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
    people(&mut plan, wanted, app, cloud, seen.home, seen);
    plan
}

fn people(
    plan: &mut TenantPlan,
    wanted: &Tenant,
    app: Option<&AppPlan>,
    cloud: &Cloud,
    home: TenantId,
    seen: &Seen,
) {
    let client = app.and_then(|app| app.target.client_id());
    let remembered = seen
        .records
        .get(&wanted.app)
        // What people did for another client id counts for nothing.
        .filter(|record| client.is_some() && record.client_id == client)
        .and_then(|record| record.tenants.get(&wanted.key));
    let was_ok = |facet: &str| {
        remembered
            .and_then(|tenant| tenant.facets.get(facet))
            .is_some_and(|last| matches!(last.state.as_str(), "ok" | "expiring"))
    };
    if !was_ok("consent") {
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
        if !was_ok("token") {
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
            .push(manual::portal_authorization(cloud, wanted, plan.directory, client, home)),
        PortalAuthorization::Required | PortalAuthorization::NotNeeded => {}
    }
}
