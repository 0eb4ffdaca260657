//! Refresh tokens: used to see that they work, and to keep them alive.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::{Keeper, shown, wallet::Shows};
use crate::{
    cloud::Cloud,
    entra::{self, Asker, ClientProof, SecretAge, UserToken},
    failure::{Cause, Failure},
    http::Network,
    ids::{AppKey, ClientId, TenantId, TenantKey},
    manifest::Manifest,
    plan::kinds,
    secret::Secret,
    status::{RefreshProof, Rotation},
    vault::{CredentialRecord, NewRefreshToken, Records, Vault, VaultError},
};

/// Entra may not know a secret for about a minute after it was made.
const FRESH_FOR: SignedDuration = SignedDuration::from_mins(1);

/// How old a secret is that was given at this moment.
pub(super) fn age(start: Option<Timestamp>, now: Timestamp) -> SecretAge {
    match start {
        Some(start) if now.duration_since(start) < FRESH_FOR => SecretAge::Fresh,
        Some(_) | None => SecretAge::Settled,
    }
}

/// A tenant whose refresh token may be held, and all that it takes to use it.
#[derive(Debug, Clone)]
pub struct Held {
    /// The tenant.
    pub tenant: TenantKey,
    /// Its directory.
    pub directory: TenantId,
    /// Its app.
    pub app: AppKey,
    /// The app's client id.
    pub client: ClientId,
    /// What the app shows.
    pub shows: Shows,
    /// The only one whose token is used; anybody's where the manifest names nobody.
    pub sign_in_as: Option<String>,
    /// What is asked for.
    pub scopes: BTreeSet<String>,
}

impl Held {
    /// Whose it is.
    pub fn tenant(&self) -> &TenantKey {
        &self.tenant
    }
}

/// The refresh tokens that the vault holds for these tenants, by the vault's word alone, without
/// asking anybody; and those of which it is clear at once that they cannot be used.
pub fn held(
    manifest: &Manifest,
    tenants: &BTreeSet<TenantKey>,
    records: &Records,
    now: Timestamp,
) -> (Vec<Held>, BTreeMap<TenantKey, RefreshProof>) {
    let (mut usable, mut not) = (Vec::new(), BTreeMap::new());
    for tenant in tenants.iter().filter_map(|key| manifest.tenants.get(key)) {
        let Some(app) = manifest.apps.get(&tenant.app) else { continue };
        let Some(record) = records.get(&tenant.app) else { continue };
        let Some(pinned) = record.tenants.get(&tenant.key) else { continue };
        if !tenant.connector.needs().delegated || record.refresh_token(&tenant.key).is_none() {
            continue;
        }
        let key = tenant.key.clone();
        if let Some(named) = tenant.id.filter(|id| *id != pinned.id) {
            let why = Failure::new(
                Cause::Guard,
                format!("the manifest names directory {named}, the token is of {}", pinned.id),
            );
            not.insert(key, RefreshProof::Refused(why));
            continue;
        }
        let own = record.in_use(now);
        let shows = shown(app, own, now);
        let (Some(client), Some(shows)) = (record.client_id, shows) else {
            let word = kinds::kept(&app.credential).map_or("credential", kinds::word);
            let ended = record.own().filter(|held| held.state.has_value() && held.has_ended(now));
            let ended = ended.filter_map(|held| held.end).max();
            let what = match ended {
                Some(end) => {
                    format!("the {word} of its app has ended on {}", end.strftime("%Y-%m-%d"))
                }
                None => format!("the vault holds no live {word} of its app"),
            };
            let why = Failure::new(Cause::Guard, what).hint("tenantry apply makes one");
            not.insert(key, RefreshProof::Refused(why));
            continue;
        };
        usable.push(Held {
            tenant: key,
            directory: pinned.id,
            app: tenant.app.clone(),
            client,
            shows,
            sign_in_as: tenant.sign_in_as.clone(),
            scopes: app.sign_in_scopes(),
        });
    }
    (usable, not)
}

/// What using a refresh token came to, and the access token, where it may be used.
pub(super) struct Used {
    pub(super) proof: RefreshProof,
    pub(super) token: Option<UserToken>,
}

impl Used {
    fn nothing(proof: RefreshProof) -> Self {
        Self { proof, token: None }
    }
}

/// Uses a tenant's refresh token, and keeps the one that comes in its place at once. `fresh` is
/// what a sign-in of this same run gave; nothing where no token is held.
pub(super) async fn use_token(
    held: &Held,
    network: &Network,
    cloud: &Cloud,
    vault: &Vault,
    keeper: &Keeper<'_>,
    proof: &ClientProof,
    fresh: Option<&UserToken>,
) -> Option<Used> {
    let Held { directory, client, shows, scopes, sign_in_as, .. } = held;
    let kept = match kept(held, vault).await {
        Ok(kept) => kept,
        Err(why) => return Some(Used::nothing(RefreshProof::NoKey(why))),
    };
    let (known, token) = match (fresh.and_then(|fresh| fresh.refresh.clone()), kept) {
        (Some(token), kept) => (kept.map(|(known, _)| known), token),
        (None, Some((known, token))) => (Some(known), token),
        (None, None) => return None,
    };
    let (directory, client, age) = (*directory, *client, shows.age());
    let asker = Asker { network, cloud, directory, client, proof, age };
    let got = match entra::refresh(&asker, &token, scopes).await {
        Ok(got) => got,
        Err(failure) => return Some(Used::nothing(RefreshProof::Refused(failure))),
    };
    if sign_in_as.as_deref().is_some_and(|wanted| !got.user.is(wanted)) {
        let found = got.user.name().unwrap_or("a user whom the token does not name").to_owned();
        return Some(Used::nothing(RefreshProof::WrongUser { found }));
    }
    let (object, allowed) =
        known.map(|known| (known.object, known.allowed_roles)).unwrap_or_default();
    if let Some((was, is)) = object.zip(got.user.object).filter(|(was, is)| was != is) {
        let name = got.user.name().unwrap_or("a user whom the token does not name");
        let found = format!("{name}, by the object id {is}, where {was} had signed in");
        return Some(Used::nothing(RefreshProof::WrongUser { found }));
    }
    let excess = got.user.excess_beyond(&allowed);
    if !excess.is_empty() {
        // The old one stays: it is good again once the roles are gone.
        return Some(Used::nothing(RefreshProof::TooPowerful {
            user: got.user.name().map(str::to_owned),
            roles: excess.iter().map(ToString::to_string).collect(),
            scopes: got.token.scopes.clone(),
        }));
    }
    let rotation = rotate(held, keeper, &got, allowed).await;
    let proof = RefreshProof::Refreshed {
        user: got.user.name().map(str::to_owned),
        scopes: got.token.scopes.clone(),
        rotation,
    };
    Some(Used { proof, token: Some(got) })
}

/// The token that the vault holds, if it holds one.
async fn kept(
    held: &Held,
    vault: &Vault,
) -> Result<Option<(CredentialRecord, Secret<String>)>, String> {
    let Held { tenant, app, client, .. } = held;
    let mut again = true;
    loop {
        let record = vault.record(app).await.map_err(|error| error.to_string())?;
        // A token of an app that is gone is of no use to its successor.
        let known = record
            .filter(|record| record.client_id == Some(*client))
            .as_ref()
            .and_then(|record| record.refresh_token(tenant))
            .cloned();
        let Some(known) = known else { return Ok(None) };
        match vault.value(app, &known.nonce).await {
            Ok(value) => return Ok(Some((known, value))),
            // Another run has put a new one in its place meanwhile.
            Err(VaultError::NoValue { .. }) if again => again = false,
            Err(error) => return Err(error.to_string()),
        }
    }
}

async fn rotate(
    held: &Held,
    keeper: &Keeper<'_>,
    got: &UserToken,
    allowed_roles: BTreeSet<Uuid>,
) -> Rotation {
    let Some(value) = got.refresh.clone() else { return Rotation::None };
    let writer = match keeper {
        Keeper::Writer(writer) => writer,
        Keeper::Nobody(why) => return Rotation::NotKept(why.clone()),
    };
    let named = got.user.name().or(held.sign_in_as.as_deref());
    let new = NewRefreshToken {
        tenant: held.tenant.clone(),
        directory: held.directory,
        user: named.unwrap_or("unnamed").to_owned(),
        object: got.user.object,
        allowed_roles,
        value,
        at: got.given,
    };
    match writer.keep_refresh_token(&held.app, new).await {
        Ok(_) => Rotation::Kept,
        Err(error) => Rotation::NotKept(error.to_string()),
    }
}
