//! Asking what works, and putting the answer together: shared by apply, status and explain.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{context::Context, reading::Reading};
use crate::{
    event::Event,
    ids::{AppKey, Nonce},
    prove::{self, Asking},
    report::progress::Phase,
    status::{self, FacetName, Proofs, State, Status, TokenProof, WaitingFor},
    vault::{CredentialState, TenantSeen, Vault, VaultError, VaultWriter},
};

/// What was asked, and what it came to.
pub(super) struct Proved {
    pub(super) status: Status,
    /// Secrets that a token request accepted.
    accepted: BTreeMap<AppKey, BTreeSet<Nonce>>,
}

/// Asks about every tenant in scope.
pub(super) async fn prove(
    context: &Context,
    vault: &Vault,
    reading: &Reading,
    as_of: Option<Timestamp>,
) -> Proved {
    let Context { manifest, network, cloud, stop, events, .. } = context;
    let questions = prove::questions(manifest, &reading.plan, &reading.seen, reading.now);
    let bar = context.progress.bar(Phase::Prove, questions.len());
    let asked: Vec<_> = questions.iter().map(prove::Question::credential).collect();
    let on_tenant = |_: &crate::ids::TenantKey| bar.step();
    let asking = Asking {
        network,
        cloud,
        vault,
        parallelism: usize::from(context.common.parallelism),
        stop,
        on_tenant: &on_tenant,
    };
    let proofs: Proofs = prove::prove(&asking, questions).await;
    bar.finish();
    let mut accepted: BTreeMap<AppKey, BTreeSet<Nonce>> = BTreeMap::new();
    for (tenant, app, nonce) in asked {
        if matches!(proofs.tokens.get(&tenant), Some(TokenProof::Granted { .. })) {
            accepted.entry(app).or_default().insert(nonce);
        }
    }
    let status = status::status(
        manifest,
        cloud,
        &reading.plan,
        &reading.seen,
        &proofs,
        reading.now,
        as_of.unwrap_or(reading.now),
    );
    for tenant in &status.tenants {
        if proofs.tokens.contains_key(&tenant.key) {
            events.say(Event::Proved {
                tenant: tenant.key.clone(),
                facets: FacetName::ALL
                    .into_iter()
                    .map(|name| (name, tenant.facet(name).state))
                    .collect(),
            });
        }
    }
    Proved { status, accepted }
}

/// Remembers what was seen: which secrets were accepted, and how each facet is since when.
///
/// # Errors
/// The vault could not be written; what was found out stands all the same.
pub(super) async fn remember(
    vault: &VaultWriter,
    reading: &Reading,
    proved: &Proved,
) -> Result<(), VaultError> {
    for (app, nonces) in &proved.accepted {
        let known = reading.seen.records.get(app);
        let news = known.into_iter().flat_map(|record| record.secrets()).any(|credential| {
            credential.state == CredentialState::Stored && nonces.contains(&credential.nonce)
        });
        if news {
            let nonces = nonces.clone();
            vault
                .change(app, move |record| {
                    for credential in record.secrets_mut() {
                        if credential.state == CredentialState::Stored
                            && nonces.contains(&credential.nonce)
                        {
                            credential.state = CredentialState::Proved;
                        }
                    }
                })
                .await?;
        }
    }
    let mut seen: BTreeMap<AppKey, Vec<TenantSeen>> = BTreeMap::new();
    for tenant in &proved.status.tenants {
        let Some(id) = tenant.tenant_id else { continue };
        let Some(planned) = reading.plan.tenants.get(&tenant.key) else { continue };
        // A tenant whose directory is not the pinned one has its row, and changes no memory.
        if planned
            .diagnostics
            .iter()
            .any(|d| d.code == crate::plan::diagnostic::Code::DirectoryChanged)
        {
            continue;
        }
        let facets = tenant
            .facets
            .iter()
            // What could not be found out this time is no reason to forget what was.
            .filter(|(_, facet)| facet.state != State::Unknown)
            .map(|(name, facet)| {
                let person = facet.waiting_for.map(|who: WaitingFor| who.as_str().to_owned());
                (name.as_str().to_owned(), (facet.state.as_str().to_owned(), person))
            })
            .collect();
        let last_good = (tenant.facet(FacetName::Access).state == State::Ok).then_some(reading.now);
        seen.entry(planned.app.clone()).or_default().push(TenantSeen {
            tenant: tenant.key.clone(),
            id,
            facets,
            last_good,
        });
    }
    vault.remember(seen, reading.now).await.map(drop)
}
