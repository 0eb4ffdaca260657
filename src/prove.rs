//! Asks the services what works: tokens in each customer's directory, then one call.
//!
//! A proof never changes anything at Microsoft: a token request leaves nothing behind, and the call
//! is a `GET`. What it changes is the vault: a refresh token that was used is replaced by the one
//! that came with the answer.

mod app_tokens;
mod held;
mod reader;
#[cfg(test)]
mod tests;
mod trial;
mod wallet;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
};

use futures::{StreamExt, future, stream};
use jiff::Timestamp;

use self::{
    app_tokens::{AppTokens, Shown, scope},
    held::{Used, age, use_token},
};
pub use self::{
    held::{Held, held},
    reader::{Entry, Missing, Reader, Unready, enter, readers},
    trial::{Reception, Trial, trials, try_out},
    wallet::{Shows, Unshown, Wallet},
};
use crate::{
    cloud::Cloud,
    connector::{Needs, steers_the_sign_in},
    defender,
    entra::{AppToken, ClientProof, UserToken},
    failure::{Cause, Failure},
    http::Network,
    ids::{AppKey, Nonce, ResourceId, TenantKey},
    manifest::{App, Credential, Manifest},
    plan::{Plan, Seen, secrets},
    registration::PermissionKind,
    status::{AccessProof, Proofs, RefreshProof, TokenProof},
    stop::Stop,
    vault::{CredentialRecord, Vault, VaultWriter},
};

/// One tenant to ask about.
#[derive(Debug, Clone)]
pub struct Question {
    /// Whose app, with which secret, where, and as whom it reads.
    who: Held,
    needs: &'static Needs,
    /// The application permissions that the app has, by API. The connector's own API is always
    /// there: without a permission on it, its token shows at least that the app is known.
    apis: BTreeMap<ResourceId, BTreeSet<String>>,
}

impl Question {
    /// The tenant, its app, and the credential in the vault that is asked with, if it is one.
    pub fn credential(&self) -> (TenantKey, AppKey, Option<Nonce>) {
        (self.who.tenant.clone(), self.who.app.clone(), self.who.shows.nonce().cloned())
    }

    /// Whose app, with which secret, where, and as whom it reads.
    pub fn who(&self) -> &Held {
        &self.who
    }

    /// What shows that the administrator accepted: the API that the connector reads, the scope that
    /// asks for its token, and the roles that must be in it. For one that reads as a person nothing
    /// must: the sign-in shows it.
    pub fn shown_by(&self, cloud: &Cloud) -> Option<(ResourceId, String, BTreeSet<String>)> {
        let own = self.own_api()?;
        Some((own, scope(cloud, own)?, self.apis.get(&own).cloned().unwrap_or_default()))
    }

    /// The API that the connector reads.
    fn own_api(&self) -> Option<ResourceId> {
        self.needs.permissions.first().map(|(api, ..)| *api)
    }
}

/// What an app has to show; nothing where it shall have a secret and has none.
fn shown(app: &App, secret: Option<&CredentialRecord>, now: Timestamp) -> Option<Shows> {
    match &app.credential {
        Credential::Secret | Credential::Certificate => secret.map(|live| Shows::Kept {
            kind: live.kind,
            nonce: live.nonce.clone(),
            age: age(live.start, now),
        }),
        Credential::Federated(trusted) => Some(Shows::Issued(trusted.clone())),
    }
}

/// The questions that can be asked: of every tenant whose app exists and has something
/// to show.
pub fn questions(manifest: &Manifest, plan: &Plan, seen: &Seen, now: Timestamp) -> Vec<Question> {
    let mut questions = Vec::new();
    for planned in plan.tenants.values() {
        let question = (|| {
            let tenant = manifest.tenants.get(&planned.key)?;
            let app = manifest.apps.get(&tenant.app)?;
            let app_plan = plan.apps.get(&tenant.app)?;
            let client = app_plan.target.client_id()?;
            let inventory = seen.inventories.get(&app_plan.directory?)?.as_ref().ok()?;
            let found = inventory.apps.iter().find(|found| found.client_id == client)?;
            let record = seen.records.get(&tenant.app)?;
            let live = secrets::serving(Some(found), Some(record), now);
            let needs = tenant.connector.needs();
            let mut apis: BTreeMap<ResourceId, BTreeSet<String>> = BTreeMap::new();
            for permission in &app.permissions {
                if permission.kind == PermissionKind::Application {
                    apis.entry(permission.resource).or_default().insert(permission.name.clone());
                }
            }
            let mut question = Question {
                who: Held {
                    tenant: planned.key.clone(),
                    directory: planned.directory?,
                    app: tenant.app.clone(),
                    client,
                    shows: shown(app, live, now)?,
                    sign_in_as: tenant.sign_in_as.clone(),
                    scopes: app.sign_in_scopes(),
                },
                needs,
                apis,
            };
            if let Some(own) = question.own_api() {
                question.apis.entry(own).or_default();
            }
            Some(question)
        })();
        questions.extend(question);
    }
    questions
}

/// Who keeps the refresh tokens that come in the place of those that were used.
#[derive(Debug)]
pub enum Keeper<'a> {
    /// The hand that writes the vault.
    Writer(&'a VaultWriter),
    /// Nobody, and why: the old ones stay, and still work.
    Nobody(String),
}

/// What asking needs.
pub struct Asking<'a> {
    /// The way out.
    pub network: &'a Network,
    /// The cloud.
    pub cloud: &'a Cloud,
    /// What the apps show.
    pub wallet: Wallet<'a>,
    /// Who keeps new refresh tokens.
    pub keeper: Keeper<'a>,
    /// What sign-ins of this same run gave.
    pub fresh: &'a BTreeMap<TenantKey, UserToken>,
    /// How many tenants at once.
    pub parallelism: usize,
    /// Whether we were told to stop.
    pub stop: &'a Stop,
    /// Called when a tenant has been asked.
    pub on_tenant: &'a (dyn Fn(&TenantKey) + Sync),
}

/// Asks them all, side by side; one tenant's trouble stays its own.
pub async fn prove(asking: &Asking<'_>, questions: Vec<Question>) -> Proofs {
    let proofs: Mutex<Proofs> = Mutex::default();
    let values = values(&asking.wallet, questions.iter().map(|question| &question.who)).await;
    let tokens = AppTokens::new(asking.network, asking.cloud);
    side_by_side(asking, &questions, async |question| {
        let answer = ask(asking, &tokens, question, value_of(&values, &question.who)).await;
        let tenant = &question.who.tenant;
        let mut proofs = proofs.lock().unwrap_or_else(PoisonError::into_inner);
        proofs.tokens.insert(tenant.clone(), answer.token);
        proofs.refreshes.extend(answer.refresh.map(|proof| (tenant.clone(), proof)));
        proofs.access.extend(answer.access.map(|proof| (tenant.clone(), proof)));
        drop(proofs);
        (asking.on_tenant)(tenant);
    })
    .await;
    proofs.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Uses every held refresh token once, side by side, and keeps what comes in its place.
pub async fn refresh(asking: &Asking<'_>, held: &[Held]) -> BTreeMap<TenantKey, RefreshProof> {
    let proofs: Mutex<BTreeMap<TenantKey, RefreshProof>> = Mutex::default();
    let values = values(&asking.wallet, held.iter()).await;
    side_by_side(asking, held, async |held| {
        let Asking { network, cloud, wallet, keeper, fresh, .. } = asking;
        let proof = match value_of(&values, held) {
            Err(why) => Some(RefreshProof::NoKey(why.to_string())),
            Ok(proof) => {
                let (fresh, vault) = (fresh.get(&held.tenant), wallet.vault);
                use_token(held, network, cloud, vault, keeper, proof, fresh).await.map(|u| u.proof)
            }
        };
        let mut proofs = proofs.lock().unwrap_or_else(PoisonError::into_inner);
        proofs.extend(proof.map(|proof| (held.tenant.clone(), proof)));
        drop(proofs);
        (asking.on_tenant)(&held.tenant);
    })
    .await;
    proofs.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Does the same for each, as many at once as allowed, until told to stop.
async fn side_by_side<'a, T>(asking: &Asking<'_>, all: &'a [T], each: impl AsyncFn(&'a T)) {
    let work = stream::iter(all).for_each_concurrent(asking.parallelism.max(1), async |one| {
        if asking.stop.requested().is_none() {
            each(one).await;
        }
    });
    tokio::select! {
        () = work => {}
        _ = asking.stop.told() => {}
    }
}

type Values = BTreeMap<(AppKey, Option<Nonce>), Result<ClientProof, Unshown>>;

/// What each app shows, once, however many tenants share it.
async fn values(wallet: &Wallet<'_>, all: impl Iterator<Item = &Held>) -> Values {
    let mut values = Values::new();
    for who in all {
        let key = (who.app.clone(), who.shows.nonce().cloned());
        if let std::collections::btree_map::Entry::Vacant(free) = values.entry(key) {
            free.insert(wallet.proof(&who.app, &who.shows).await);
        }
    }
    values
}

fn value_of<'v>(values: &'v Values, who: &Held) -> Result<&'v ClientProof, Unshown> {
    match values.get(&(who.app.clone(), who.shows.nonce().cloned())) {
        Some(Ok(value)) => Ok(value),
        Some(Err(why)) => Err(why.clone()),
        None => Err(Unshown::NoKey("what it shows was not looked for".to_owned())),
    }
}

/// All that was found out about one tenant.
struct Answer {
    token: TokenProof,
    refresh: Option<RefreshProof>,
    access: Option<AccessProof>,
}

async fn ask(
    asking: &Asking<'_>,
    tokens: &AppTokens<'_>,
    question: &Question,
    proof: Result<&ClientProof, Unshown>,
) -> Answer {
    let Asking { network, cloud, wallet, keeper, fresh, .. } = asking;
    let vault = wallet.vault;
    let Question { who, needs, apis } = question;
    let proof = match proof {
        Ok(proof) => proof,
        Err(why) => {
            let token = why.token();
            let refresh =
                holds_token(vault, who).await.then(|| RefreshProof::NoKey(why.to_string()));
            return Answer { token, refresh, access: None };
        }
    };
    let shown = Shown { client: who.client, proof, age: who.shows.age() };
    let app_tokens = future::join_all(
        apis.keys().map(async |api| (*api, tokens.token(shown, who.directory, *api).await)),
    );
    // A delegated connector reads with the analyst's token, never with the app's own.
    let signed_in = async {
        if !needs.delegated {
            return None;
        }
        use_token(who, network, cloud, vault, keeper, proof, fresh.get(&who.tenant)).await
    };
    let (app_tokens, used) = future::join(app_tokens, signed_in).await;
    let app_tokens: BTreeMap<_, _> = app_tokens.into_iter().collect();
    let reader = if needs.delegated {
        used.as_ref().and_then(|used| reading_user(used, fresh.get(&who.tenant))).filter(|token| {
            carries_any(&token.scopes, who.scopes.iter().filter(|scope| !steers_the_sign_in(scope)))
        })
    } else {
        question.own_api().and_then(|own| {
            let token = app_tokens.get(&own)?.as_ref().ok()?;
            let wanted = apis.get(&own)?;
            carries_any(&token.roles, wanted.iter()).then_some(token)
        })
    };
    let access = match reader {
        Some(token) => {
            Some(match defender::newest_incident(network, cloud, needs.probe, token).await {
                Ok(newest) => AccessProof::Read { any: newest.any, newest: newest.created },
                Err(failure) => AccessProof::Refused(failure),
            })
        }
        None => None,
    };
    let token = token_proof(app_tokens, question.own_api());
    Answer { token, refresh: used.map(|used| used.proof), access }
}

/// Whether the vault has a refresh token for it, which nobody here can read.
async fn holds_token(vault: &Vault, who: &Held) -> bool {
    let record = vault.record(&who.app).await.ok().flatten();
    record.is_some_and(|record| record.refresh_token(&who.tenant).is_some())
}

/// Whether a token carries at least one of what is wanted, if anything is. One that lacks some of it
/// may still read: the call tells, and the rest is waited for.
fn carries_any<'a>(has: &BTreeSet<String>, wanted: impl Iterator<Item = &'a String>) -> bool {
    let mut wanted = wanted.peekable();
    wanted.peek().is_none() || wanted.any(|permission| has.contains(permission))
}

/// The analyst's token to read with: the refreshed one, or the sign-in's own where nobody answered
/// the refresh.
fn reading_user<'u>(used: &'u Used, fresh: Option<&'u UserToken>) -> Option<&'u AppToken> {
    match (&used.token, &used.proof) {
        (Some(token), _) => Some(&token.token),
        (None, RefreshProof::Refused(failure)) => fresh
            .filter(|_| {
                matches!(
                    failure.cause,
                    Cause::Unreachable | Cause::NoAnswer | Cause::Service | Cause::Throttled
                )
            })
            .map(|fresh| &fresh.token),
        (
            None,
            RefreshProof::Refreshed { .. }
            | RefreshProof::NoKey(_)
            | RefreshProof::WrongUser { .. }
            | RefreshProof::TooPowerful { .. },
        ) => None,
    }
}

/// One proof of all tokens: refused only where every API refused, in the words of the connector's
/// own API.
fn token_proof(
    answers: BTreeMap<ResourceId, Result<AppToken, Failure>>,
    own: Option<ResourceId>,
) -> TokenProof {
    let (mut roles, mut refused) = (BTreeMap::new(), BTreeMap::new());
    for (api, answer) in answers {
        match answer {
            Ok(token) => drop(roles.insert(api, token.roles)),
            Err(failure) => drop(refused.insert(api, failure)),
        }
    }
    let told = own.filter(|own| refused.contains_key(own)).or(refused.keys().next().copied());
    match told {
        Some(told) if roles.is_empty() => {
            let nothing = || Failure::new(Cause::Garbled, "no answer was kept");
            TokenProof::Refused(refused.remove(&told).unwrap_or_else(nothing))
        }
        Some(_) | None => TokenProof::Granted { roles, refused },
    }
}
