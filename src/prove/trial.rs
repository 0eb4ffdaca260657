//! Whether what is to take another credential's place is accepted, before anybody relies on it.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use jiff::Timestamp;

use super::{
    Asking,
    app_tokens::{AppTokens, Shown},
    held::age,
    side_by_side,
    wallet::Shows,
};
use crate::{
    connector::GRAPH,
    failure::{Cause, Failure},
    ids::{AppKey, ClientId, TenantId, TenantKey},
    manifest::{Credential, Manifest},
    plan::{Plan, Seen, federated, kinds, secrets},
    status::{Refusal, refusal},
    vault::Federation,
};

/// What is to be shown wherever its app is known.
#[derive(Debug, Clone)]
pub struct Trial {
    /// Whose it is.
    pub app: AppKey,
    /// A credential of the vault, or tokens of issuers that the app trusts.
    pub shows: Shows,
    /// Whether it became the one to use already, and only the others do not know yet.
    pub settled: bool,
    client: ClientId,
    /// The directories to show it in.
    tenants: Vec<(TenantKey, TenantId)>,
    /// Whether these are all in which the app may be known.
    whole: bool,
}

/// How it was received.
#[derive(Debug, Clone, PartialEq)]
pub enum Reception {
    /// It was accepted, and nowhere refused.
    Accepted,
    /// Nobody consented yet, so there is nobody to accept it.
    Nowhere,
    /// It was refused, or nothing can be said of it: the one before it stays in use.
    NotYet(Failure),
    /// It cannot be had here, and elsewhere it can: tokens of a pipeline.
    NotHere,
}

/// What is to take the places of credentials that apps signed in with until now.
pub fn trials(manifest: &Manifest, plan: &Plan, seen: &Seen, now: Timestamp) -> Vec<Trial> {
    let trial = |key: &AppKey| {
        let app = manifest.apps.get(key)?;
        let planned = plan.apps.get(key)?;
        let client = planned.target.client_id()?;
        let inventory = seen.inventories.get(&planned.directory?)?.as_ref().ok()?;
        let found = inventory.apps.iter().find(|found| found.client_id == client)?;
        let record = seen.records.get(key).filter(|record| record.client_id == Some(client))?;
        let (shows, settled) = match &app.credential {
            credential @ (Credential::Secret | Credential::Certificate) => {
                let heir = secrets::heir(credential, Some(found), Some(record), now)?;
                let (kind, nonce, age) = (heir.kind, heir.nonce.clone(), age(heir.start, now));
                (Shows::Kept { kind, nonce, age }, heir.is_settled())
            }
            Credential::Federated(trusted) => {
                let settled = record.federated == Federation::Settled;
                let old = secrets::serving(Some(found), Some(record), now)?;
                if planned.steps.iter().any(federated::adds_trust) || settled && !old.state.stands()
                {
                    return None;
                }
                (Shows::Issued(trusted.clone()), settled)
            }
        };
        let tenants: Vec<_> = app
            .tenants
            .iter()
            .filter_map(|tenant| Some((tenant.clone(), plan.tenants.get(tenant)?.directory?)))
            .collect();
        Some(Trial {
            app: key.clone(),
            shows,
            settled,
            client,
            whole: tenants.len() == app.tenants.len(),
            tenants,
        })
    };
    plan.apps.keys().filter_map(trial).collect()
}

/// Shows each of them in every directory of its app's tenants, side by side. A token for Graph is
/// asked for: Graph is known everywhere, and a token is given as soon as the app is
/// (<https://learn.microsoft.com/en-us/entra/identity-platform/access-token-claims-reference>).
pub async fn try_out(asking: &Asking<'_>, trials: &[Trial]) -> BTreeMap<AppKey, Reception> {
    let received: Mutex<BTreeMap<AppKey, Reception>> = Mutex::default();
    let tokens = AppTokens::new(asking.network, asking.cloud);
    side_by_side(asking, trials, async |trial| {
        let reception = one(asking, &tokens, trial).await;
        received
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(trial.app.clone(), reception);
    })
    .await;
    received.into_inner().unwrap_or_else(PoisonError::into_inner)
}

async fn one(asking: &Asking<'_>, tokens: &AppTokens<'_>, trial: &Trial) -> Reception {
    let Trial { app, shows, settled, client, tenants, whole } = trial;
    if *settled {
        return Reception::Accepted;
    }
    let proof = match (asking.wallet.proof(app, shows).await, shows) {
        (Ok(proof), _) => proof,
        (Err(_), Shows::Issued(_)) => return Reception::NotHere,
        (Err(why), Shows::Kept { kind, .. }) => {
            let why = format!("the new {} cannot be read here: {why}", kinds::word(*kind));
            return Reception::NotYet(Failure::new(Cause::Guard, why));
        }
    };
    let shown = Shown { client: *client, proof: &proof, age: shows.age() };
    let (mut accepted, mut silent, mut blocked) = (false, None, None);
    let answers = futures::future::join_all(
        tenants.iter().map(|(_, directory)| tokens.token(shown, *directory, GRAPH)),
    );
    for answer in answers.await {
        match answer {
            Ok(_) => accepted = true,
            Err(failure) => match refusal(&failure) {
                // Where it is not taken somebody would be locked out, whoever else takes it.
                Refusal::WrongSecret | Refusal::Expired => return Reception::NotYet(failure),
                Refusal::NotConsented => {}
                // No secret opens anything there as long as that is so.
                Refusal::NoSuchApi | Refusal::Disabled => blocked = Some(failure),
                Refusal::Distrusted | Refusal::Other if failure.cause.is_an_answer() => {
                    blocked = Some(failure);
                }
                Refusal::Distrusted | Refusal::Other => silent = Some(failure),
            },
        }
    }
    match (accepted, silent) {
        // Who did not answer may refuse it, and would be locked out.
        (_, Some(failure)) => Reception::NotYet(failure),
        (true, None) if *whole => Reception::Accepted,
        (false, None) if *whole => blocked.map_or(Reception::Nowhere, Reception::NotYet),
        (_, None) => Reception::NotYet(Failure::new(
            Cause::Guard,
            "not every tenant of the app could be asked",
        )),
    }
}
