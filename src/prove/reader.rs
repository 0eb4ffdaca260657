//! Who can read incidents, by the vault's word alone, and the token to read with.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{
    Keeper,
    app_tokens::scope,
    held::{Held, use_token},
    shown,
    wallet::Wallet,
};
use crate::{
    cloud::Cloud,
    connector::Connector,
    entra::{self, Api, AppToken},
    failure::{Cause, Failure},
    http::Network,
    ids::TenantKey,
    manifest::Manifest,
    status::RefreshProof,
    vault::Records,
};

/// A tenant of which the vault holds all that reading takes.
#[derive(Debug, Clone)]
pub struct Reader {
    /// Whose app, with which secret, where, and as whom it reads.
    pub who: Held,
    /// What it reads with.
    pub connector: Connector,
    /// When its incidents could last be read, by the vault's memory.
    pub last_good: Option<Timestamp>,
}

/// Why a tenant cannot be read yet, or any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// Its app was never created.
    App,
    /// The vault holds no live secret of its app.
    Secret,
    /// Its directory was never seen.
    Directory,
    /// Its analyst never signed in.
    SignIn,
}

/// A tenant that cannot be read.
#[derive(Debug, Clone, PartialEq)]
pub struct Unready {
    /// What is missing.
    pub missing: Missing,
    /// When its incidents could last be read, by the vault's memory.
    pub last_good: Option<Timestamp>,
}

/// Those of these tenants that can be read, and what the others lack. Nobody is asked.
pub fn readers(
    manifest: &Manifest,
    tenants: &BTreeSet<TenantKey>,
    records: &Records,
    now: Timestamp,
) -> (Vec<Reader>, BTreeMap<TenantKey, Unready>) {
    let (mut ready, mut not) = (Vec::new(), BTreeMap::new());
    for tenant in tenants.iter().filter_map(|key| manifest.tenants.get(key)) {
        let record = records.get(&tenant.app);
        let pinned = record.and_then(|record| record.tenants.get(&tenant.key));
        let last_good = pinned.and_then(|pinned| pinned.last_good);
        let reader = (|| {
            let app = manifest.apps.get(&tenant.app).ok_or(Missing::App)?;
            let record = record.ok_or(Missing::App)?;
            let client = record.client_id.ok_or(Missing::App)?;
            let own = record.in_use(now);
            let shows = shown(app, own, now).ok_or(Missing::Secret)?;
            let directory = tenant.id.or(pinned.map(|pinned| pinned.id));
            let directory = directory.ok_or(Missing::Directory)?;
            if tenant.connector.needs().delegated && record.refresh_token(&tenant.key).is_none() {
                return Err(Missing::SignIn);
            }
            Ok(Reader {
                who: Held {
                    tenant: tenant.key.clone(),
                    directory,
                    app: tenant.app.clone(),
                    client,
                    shows,
                    sign_in_as: tenant.sign_in_as.clone(),
                    scopes: app.sign_in_scopes(),
                },
                connector: tenant.connector,
                last_good,
            })
        })();
        match reader {
            Ok(reader) => ready.push(reader),
            Err(missing) => drop(not.insert(tenant.key.clone(), Unready { missing, last_good })),
        }
    }
    (ready, not)
}

/// What a token to read with came to.
#[derive(Debug)]
pub struct Entry {
    /// The token, or why there is none.
    pub token: Result<AppToken, Failure>,
    /// What became of the refresh token, where one was used.
    pub refresh: Option<RefreshProof>,
}

/// Gets a token to read with: the app's own, or the analyst's by the refresh token that is held.
pub async fn enter(
    network: &Network,
    cloud: &Cloud,
    wallet: &Wallet<'_>,
    keeper: &Keeper<'_>,
    reader: &Reader,
) -> Entry {
    let Reader { who, connector, last_good: _ } = reader;
    let failed = |failure| Entry { token: Err(failure), refresh: None };
    let proof = match wallet.proof(&who.app, &who.shows).await {
        Ok(proof) => proof,
        Err(why) => {
            let why = format!("its app cannot sign in here: {why}");
            return failed(Failure::new(Cause::Guard, why));
        }
    };
    if connector.needs().delegated {
        let vault = wallet.vault;
        let Some(used) = use_token(who, network, cloud, vault, keeper, &proof, None).await else {
            let why = "its refresh token is gone";
            return failed(Failure::new(Cause::Guard, why).hint("tenantry consent gets a new one"));
        };
        let token = match (used.token, &used.proof) {
            (Some(token), _) => Ok(token.token),
            (None, RefreshProof::Refused(failure)) => Err(failure.clone()),
            (
                None,
                RefreshProof::NoKey(_)
                | RefreshProof::WrongUser { .. }
                | RefreshProof::TooPowerful { .. }
                | RefreshProof::Refreshed { .. },
            ) => Err(Failure::new(Cause::Guard, "its refresh token may not be used")),
        };
        return Entry { token, refresh: Some(used.proof) };
    }
    let own = connector.needs().permissions.first().map(|(api, ..)| *api);
    let Some((id, scope)) = own.and_then(|own| Some((own, scope(cloud, own)?))) else {
        return failed(Failure::new(Cause::Refused, "this cloud has no Defender API"));
    };
    let api = Api { id, scope: &scope };
    let (directory, age) = (who.directory, who.shows.age());
    let token = entra::app_token(network, cloud, directory, who.client, &proof, api, age).await;
    Entry { token, refresh: None }
}
