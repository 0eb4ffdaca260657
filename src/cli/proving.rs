//! Asking what works, and putting the answer together: shared by apply, status and explain.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{
    apply::records,
    context::{Context, vault_trouble},
    reading::Reading,
};
use crate::{
    entra::UserToken,
    event::Event,
    failure::{Cause, Failure},
    ids::{AppKey, Nonce, TenantKey},
    prove::{self, Asking, Keeper, Reception, Trial, Wallet},
    report::{error::Trouble, progress::Phase, tokens},
    status::{self, FacetName, Proofs, RefreshProof, State, Status, TokenProof, WaitingFor},
    vault::{ConsentSeen, CredentialState, TenantSeen, Vault, VaultError, VaultWriter},
};

/// What was asked, and what it came to.
pub(super) struct Proved {
    pub(super) status: Status,
    /// Credentials that a token request accepted.
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

/// What was asked in this run so far: nobody is asked twice unless an answer may have changed.
#[derive(Default)]
pub(super) struct Asked {
    proofs: Proofs,
    /// What each tenant was asked with.
    credentials: BTreeMap<TenantKey, (AppKey, Option<Nonce>)>,
}

impl Asked {
    /// Drops what a tenant answered, for a person has changed it since.
    pub(super) fn forget(&mut self, tenant: &TenantKey) {
        let Proofs { tokens, refreshes, access } = &mut self.proofs;
        tokens.remove(tenant);
        refreshes.remove(tenant);
        access.remove(tenant);
        self.credentials.remove(tenant);
    }

    /// Whether a tenant was asked.
    pub(super) fn has(&self, tenant: &TenantKey) -> bool {
        self.credentials.contains_key(tenant)
    }

    /// How everybody is by what was asked so far.
    pub(super) fn so_far(&self, context: &Context, reading: &Reading) -> Status {
        self.status(context, reading, reading.now)
    }

    fn status(&self, context: &Context, reading: &Reading, as_of: Timestamp) -> Status {
        let Context { manifest, cloud, .. } = context;
        let Reading { plan, seen, now, .. } = reading;
        let occasion = status::Occasion { checked_at: *now, as_of, place: context.common.place() };
        status::status(manifest, cloud, plan, seen, &self.proofs, &occasion)
    }

    /// Puts the answer together, and tells it.
    pub(super) fn judge(
        self,
        context: &Context,
        reading: &Reading,
        as_of: Option<Timestamp>,
    ) -> Proved {
        let mut accepted: BTreeMap<AppKey, BTreeSet<Nonce>> = BTreeMap::new();
        for (tenant, (app, nonce)) in &self.credentials {
            // A refresh shows the same secret, and is refused where it is wrong.
            if matches!(self.proofs.tokens.get(tenant), Some(TokenProof::Granted { .. }))
                || matches!(self.proofs.refreshes.get(tenant), Some(RefreshProof::Refreshed { .. }))
            {
                accepted.entry(app.clone()).or_default().extend(nonce.clone());
            }
        }
        let status = self.status(context, reading, as_of.unwrap_or(reading.now));
        for tenant in &status.tenants {
            if self.proofs.tokens.contains_key(&tenant.key) {
                context.events.say(Event::Proved {
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
    let mut asked = Asked::default();
    ask(context, vault, reading, keeper, fresh, &mut asked, |_| true).await;
    asked.judge(context, reading, as_of)
}

/// Asks about those tenants in scope that were not asked yet and whose app is to be asked about.
pub(super) async fn ask(
    context: &Context,
    vault: &Vault,
    reading: &Reading,
    keeper: Keeper<'_>,
    fresh: &BTreeMap<TenantKey, UserToken>,
    asked: &mut Asked,
    of: impl Fn(&AppKey) -> bool,
) {
    let Context { manifest, network, cloud, stop, .. } = context;
    let mut questions = prove::questions(manifest, &reading.plan, &reading.seen, reading.now);
    questions.retain(|question| {
        let held = question.who();
        of(&held.app) && !asked.has(&held.tenant)
    });
    if questions.is_empty() {
        return;
    }
    let bar = context.progress.bar(Phase::Prove, questions.len());
    let credentials: Vec<_> = questions.iter().map(prove::Question::credential).collect();
    let on_tenant = |_: &TenantKey| bar.step();
    let asking = Asking {
        network,
        cloud,
        wallet: Wallet { vault, issuers: &context.issuers },
        keeper,
        fresh,
        parallelism: usize::from(context.common.parallelism),
        stop,
        on_tenant: &on_tenant,
    };
    let Proofs { tokens, refreshes, access } = prove::prove(&asking, questions).await;
    bar.finish();
    if let Some(words) = tokens::rotated(&refreshes).filter(|_| !context.common.quiet) {
        context.progress.say(&words);
    }
    asked.proofs.tokens.extend(tokens);
    asked.proofs.refreshes.extend(refreshes);
    asked.proofs.access.extend(access);
    for (tenant, app, nonce) in credentials {
        asked.credentials.insert(tenant, (app, nonce));
    }
}

/// Shows each new credential where its app is known, and lets those that are accepted take the places of
/// the old ones: only then anybody uses them. Gives back those that are not the ones to use yet.
///
/// # Errors
/// The vault could not be written or read.
pub(super) async fn succeed(
    context: &Context,
    vault: &VaultWriter,
    reading: &mut Reading,
) -> Result<BTreeMap<AppKey, Failure>, Trouble> {
    let Context { manifest, network, cloud, stop, .. } = context;
    let doing = "the vault could not remember which credential is the one to use";
    let trials = prove::trials(manifest, &reading.plan, &reading.seen, reading.now);
    if trials.is_empty() {
        return Ok(BTreeMap::new());
    }
    let asking = Asking {
        network,
        cloud,
        wallet: Wallet { vault, issuers: &context.issuers },
        keeper: Keeper::Writer(vault),
        fresh: &BTreeMap::new(),
        parallelism: usize::from(context.common.parallelism),
        stop,
        on_tenant: &|_| {},
    };
    let mut received = prove::try_out(&asking, &trials).await;
    let mut not_yet = BTreeMap::new();
    for Trial { app, shows, .. } in trials {
        let untold = || Reception::NotYet(Failure::new(Cause::Interrupted, "it was not tried"));
        let reception = received.remove(&app).unwrap_or_else(untold);
        let event = |current, failure| Event::SecretTried { app: app.clone(), current, failure };
        let accepted = match reception {
            Reception::NotYet(failure) => {
                context.events.say(event(false, Some(failure.clone())));
                not_yet.insert(app, failure);
                continue;
            }
            Reception::NotHere => continue,
            Reception::Accepted => true,
            Reception::Nowhere => false,
        };
        let at = reading.now;
        let succeed = vault.change(&app, move |record| record.succeed(shows.nonce(), accepted, at));
        succeed.await.map_err(|error| vault_trouble(doing, &error))?;
        context.events.say(event(true, None));
    }
    reading.seen.records = records(vault).await?;
    reading.plan_again(context);
    Ok(not_yet)
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
        let news = known.into_iter().flat_map(|record| &record.credentials).any(|credential| {
            credential.state == CredentialState::Stored && nonces.contains(&credential.nonce)
        });
        if news {
            let (nonces, at) = (nonces.clone(), reading.now);
            vault
                .change(app, move |record| {
                    for credential in record.own_mut() {
                        if credential.state == CredentialState::Stored
                            && nonces.contains(&credential.nonce)
                        {
                            credential.state = CredentialState::Proved;
                            credential.since.get_or_insert(at);
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
