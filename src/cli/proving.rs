//! Asking what works, and putting the answer together: shared by apply, status and explain.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{context::Context, reading::Reading};
use crate::{
    entra::UserToken,
    event::Event,
    ids::{AppKey, Nonce, TenantKey},
    prove::{self, Asking, Keeper},
    report::{progress::Phase, tokens},
    status::{self, FacetName, Proofs, RefreshProof, State, Status, TokenProof, WaitingFor},
    vault::{ConsentSeen, CredentialState, TenantSeen, Vault, VaultError, VaultWriter},
};

/// What was asked, and what it came to.
pub(super) struct Proved {
    pub(super) status: Status,
    /// Secrets that a token request accepted.
    accepted: BTreeMap<AppKey, BTreeSet<Nonce>>,
}

/// The vault's lock, taken without waiting: whoever only looks keeps what it must, where it can.
pub(super) struct Turn(Result<Option<VaultWriter>, VaultError>);

impl Turn {
    pub(super) async fn try_take(vault: &Vault, command: &str) -> Self {
        Self(vault.try_lock(command).await)
    }

    /// The hand that writes, where nobody else does.
    pub(super) fn writer(&self) -> Option<&VaultWriter> {
        self.0.as_ref().ok()?.as_ref()
    }

    /// Who keeps new refresh tokens.
    pub(super) fn keeper(&self) -> Keeper<'_> {
        match &self.0 {
            Ok(Some(writer)) => Keeper::Writer(writer),
            Ok(None) => Keeper::Nobody("another run writes this fleet's vault".to_owned()),
            Err(error) => Keeper::Nobody(error.to_string()),
        }
    }
}

/// Asks about every tenant in scope. `fresh` is what sign-ins of this same run gave.
pub(super) async fn prove(
    context: &Context,
    vault: &Vault,
    reading: &Reading,
    as_of: Option<Timestamp>,
    keeper: Keeper<'_>,
    fresh: &BTreeMap<TenantKey, UserToken>,
) -> Proved {
    let Context { manifest, network, cloud, stop, events, .. } = context;
    let questions = prove::questions(manifest, &reading.plan, &reading.seen, reading.now);
    let bar = context.progress.bar(Phase::Prove, questions.len());
    let asked: Vec<_> = questions.iter().map(prove::Question::credential).collect();
    let on_tenant = |_: &TenantKey| bar.step();
    let asking = Asking {
        network,
        cloud,
        vault,
        keeper,
        fresh,
        parallelism: usize::from(context.common.parallelism),
        stop,
        on_tenant: &on_tenant,
    };
    let proofs: Proofs = prove::prove(&asking, questions).await;
    bar.finish();
    if let Some(words) = tokens::rotated(&proofs.refreshes).filter(|_| !context.common.quiet) {
        context.progress.say(&words);
    }
    let mut accepted: BTreeMap<AppKey, BTreeSet<Nonce>> = BTreeMap::new();
    for (tenant, app, nonce) in asked {
        // A refresh shows the same secret, and is refused where it is wrong.
        if matches!(proofs.tokens.get(&tenant), Some(TokenProof::Granted { .. }))
            || matches!(proofs.refreshes.get(&tenant), Some(RefreshProof::Refreshed { .. }))
        {
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
            consent: match tenant.facet(FacetName::Consent).state {
                State::Ok => ConsentSeen::Proved,
                State::Waiting
                | State::Expiring
                | State::Failed
                | State::Unknown
                | State::NotNeeded => ConsentSeen::NotProved,
            },
        });
    }
    vault.remember(seen, reading.now).await.map(drop)
}
