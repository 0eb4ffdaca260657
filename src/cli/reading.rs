//! Reading all that a plan is made from, with as few requests as it takes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::OnceLock,
};

use futures::{StreamExt, stream};
use jiff::Timestamp;

use super::context::{Context, vault_trouble};
use crate::{
    cloud::CloudName,
    entra::{self, Identity, IdentityKind, Operator},
    failure::{Cause, Failure},
    graph::{Ask, Asked, Breadth, Known, Missing, Owners, Reader, Want, read_directory},
    ids::{AppKey, ResourceId, TenantId, TenantKey, UniqueName},
    inventory::{FoundApp, Inventory, Policies, Rights, Sight},
    manifest::{ConsentStrategy, Layout, Tenant},
    plan::{self, Fate, Needs, Plan, Resolved, Scope, Seen, Wish, secrets},
    report::error::Trouble,
    stop::Signal,
    vault::{Records, Vault},
    verdict::Verdict,
};

/// What was read, and the plan that follows from it.
pub(super) struct Reading {
    pub(super) operator: Operator,
    pub(super) seen: Seen,
    pub(super) plan: Plan,
    /// The server's clock, or ours where the server was not reached.
    pub(super) now: Timestamp,
    /// Graph requests that it took.
    pub(super) requests: u32,
}

impl Reading {
    /// Why the provider's directory could not be read, where it could not and an app in scope lives
    /// there. A customer's directory is a row of its own tenants, never the end of a run.
    pub(super) fn unreadable(&self) -> Option<&Failure> {
        let home = self.seen.home;
        let needed = self.plan.apps.is_empty()
            || self.plan.apps.values().any(|app| app.directory == Some(home));
        self.seen.inventories.get(&home)?.as_ref().err().filter(|_| needed)
    }

    /// Plans again from what is known now.
    pub(super) fn plan_again(&mut self, context: &Context) {
        let Context { manifest, scope, cloud, .. } = context;
        self.plan = plan::plan(manifest, scope, cloud, &self.seen, self.now);
    }
}

/// Reads the vault's records, the tenants' directories and every directory in which apps of the
/// scope live, and plans.
///
/// # Errors
/// The vault or the provider's directory cannot be read, or the run was told to stop meanwhile:
/// nothing was changed.
pub(super) async fn read(context: &Context, vault: &Vault, wish: Wish) -> Result<Reading, Trouble> {
    tokio::select! {
        biased;
        signal = context.stop.told() => Err(stopped(signal)),
        reading = read_all(context, vault, wish) => reading,
    }
}

/// A run that was told to stop before it knew what there is.
pub(super) fn stopped(signal: Signal) -> Trouble {
    Trouble::new(Verdict::Stopped(signal), "told to stop while reading; nothing was changed")
}

async fn read_all(context: &Context, vault: &Vault, mut wish: Wish) -> Result<Reading, Trouble> {
    let Context { manifest, scope, cloud, .. } = context;
    let operator = context.operator().await?;
    let records = vault
        .records()
        .await
        .map_err(|error| vault_trouble("the vault's records cannot be read", &error))?;
    if let Some(rotate) = &mut wish.rotate {
        for record in records.values() {
            // What an earlier run made and nobody has tried yet is the new one that is asked for.
            let new = match rotate.fate {
                Fate::Retire => secrets::untried(record).map(|secret| &secret.nonce),
                Fate::Revoked => None,
            };
            let held = record.own().map(|credential| &credential.nonce);
            rotate.old.extend(held.filter(|nonce| Some(*nonce) != new).cloned());
        }
    }
    let home = context.home().await.map_err(|failure| {
        let named = &context.manifest.home.tenant;
        Trouble::of(format!("the provider's directory {named} could not be looked up"), &failure)
    })?;
    let directories = directories(context, &records).await;
    let mut seen = Seen {
        home,
        directories,
        inventories: BTreeMap::new(),
        records,
        deleted: BTreeMap::new(),
        vault: vault.id(),
        wish,
    };
    let mut parts = parts(context, &seen);
    // The provider's first: it says which client ids the customers' directories are asked about.
    if let Some(part) = parts.remove(&home) {
        let inventory = look(context, &operator, &seen, home, &part).await;
        seen.inventories.insert(home, inventory);
        let own = granted_at(context, &seen, &part, &mut parts);
        if let Some(Ok(inventory)) = seen.inventories.get(&home).filter(|_| !own.is_empty()) {
            let inventory = inventory.clone();
            let more = principals(context, &operator, inventory, &own).await;
            seen.inventories.insert(home, more);
        }
    }
    let theirs: Vec<_> = stream::iter(parts)
        .map(|(directory, part)| {
            let (operator, seen) = (&operator, &seen);
            async move { (directory, look(context, operator, seen, directory, &part).await) }
        })
        .buffer_unordered(usize::from(context.common.parallelism))
        .collect()
        .await;
    seen.inventories.extend(theirs);
    let now = seen.now(Timestamp::now());
    let requests = seen.inventories.values().flatten().map(|inventory| inventory.requests).sum();
    let mut plan = plan::plan(manifest, scope, cloud, &seen, now);
    let unknown = unknown_to_vault(&plan, &seen);
    if !unknown.is_empty() {
        let deleted = vault.deleted(&unknown).await;
        seen.deleted =
            deleted.map_err(|error| vault_trouble("the vault's bin cannot be read", &error))?;
        if !seen.deleted.is_empty() {
            plan = plan::plan(manifest, scope, cloud, &seen, now);
        }
    }
    Ok(Reading { operator, seen, plan, now, requests })
}

/// The apps that exist and of which the vault has no record: on good days there are none, and its bin
/// is not looked into.
fn unknown_to_vault(plan: &plan::Plan, seen: &Seen) -> BTreeSet<AppKey> {
    let apps = plan.apps.values().filter(|app| seen.app(app).is_some());
    apps.map(|app| app.key.clone()).filter(|key| !seen.records.contains_key(key)).collect()
}

/// What is looked for in one directory.
struct Part {
    /// The part of the scope whose apps live in it.
    scope: Scope,
    /// Whether apps of ours may live in it.
    apps: Apps,
    /// The provider's apps that are granted something in it, and the APIs that they ask for.
    grants: Asked,
}

/// Whether apps of ours may live in a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Apps {
    /// They may: the fleet's listing is read.
    Listed,
    /// They do not: something is granted there, that is all.
    None,
}

impl Part {
    fn new(context: &Context, apps: Apps) -> Self {
        let shard = context.scope.shard;
        let scope = Scope { tenants: BTreeSet::new(), apps: BTreeSet::new(), shard };
        Self { scope, apps, grants: Asked::default() }
    }
}

/// Every directory in which apps are read: the provider's always, for what is left in it shows
/// there; each customer's in which an app of the scope lives, or in which the vault knows one that
/// the manifest names no more.
fn parts(context: &Context, seen: &Seen) -> BTreeMap<TenantId, Part> {
    let Context { manifest, scope, .. } = context;
    let new = || Part::new(context, Apps::Listed);
    let mut parts = BTreeMap::from([(seen.home, new())]);
    for app in scope.apps.iter().filter_map(|key| manifest.apps.get(key)) {
        let Some(directory) = seen.directory(app) else { continue };
        let part = parts.entry(directory).or_insert_with(new);
        part.scope.apps.insert(app.key.clone());
        let theirs = app.tenants.iter().filter(|key| scope.tenants.contains(*key));
        part.scope.tenants.extend(theirs.cloned());
    }
    if scope.tenants.len() == manifest.tenants.len() || scope.shard.is_some() {
        let left = seen.records.iter().filter(|(key, record)| {
            record.client_id.is_some()
                && !manifest.apps.contains_key(*key)
                && scope.shard.is_none_or(|shard| shard.holds(key))
        });
        for (_, record) in left {
            parts.entry(record.directory).or_insert_with(new);
        }
    }
    parts
}

/// Adds the directories in which the provider's own apps are granted something; gives back what is
/// asked of the provider's own, which may be a customer, too.
fn granted_at(
    context: &Context,
    seen: &Seen,
    home: &Part,
    parts: &mut BTreeMap<TenantId, Part>,
) -> Asked {
    let Context { manifest, cloud, .. } = context;
    let mut own = Asked::default();
    let granted: Vec<&Tenant> = home
        .scope
        .tenants
        .iter()
        .filter_map(|key| manifest.tenants.get(key))
        .filter(|tenant| asks_for_grants(tenant))
        .collect();
    if granted.is_empty() {
        return own;
    }
    let plan = plan::plan(manifest, &home.scope, cloud, seen, seen.now(Timestamp::now()));
    for tenant in granted {
        let Some(Ok(resolved)) = seen.directories.get(&tenant.key) else { continue };
        let asked = if resolved.id == seen.home {
            &mut own
        } else {
            let new = || Part::new(context, Apps::None);
            &mut parts.entry(resolved.id).or_insert_with(new).grants
        };
        ask_about(asked, context, &plan, &tenant.app);
    }
    own
}

/// Whether anything in a tenant's directory is made or granted by Graph.
fn asks_for_grants(tenant: &Tenant) -> bool {
    tenant.layout == Layout::InTenant || tenant.consent.strategy == ConsentStrategy::Grant
}

fn ask_about(asked: &mut Asked, context: &Context, plan: &Plan, app: &AppKey) {
    let Some(wanted) = context.manifest.apps.get(app) else { return };
    asked.apis.extend(wanted.permissions.iter().map(|permission| permission.resource));
    if let Some(client) = plan.apps.get(app).and_then(|app| app.target.client_id()) {
        let kinds = wanted.permissions.iter().map(|permission| permission.kind);
        asked.apps.entry(client).or_default().extend(kinds);
    }
}

/// Each tenant's directory: as the manifest names it, or as its domain resolves now; where asking
/// fails, the pinned one.
async fn directories(
    context: &Context,
    records: &Records,
) -> BTreeMap<TenantKey, Result<Resolved, Failure>> {
    let chosen = context.scope.tenants.iter().filter_map(|key| context.manifest.tenants.get(key));
    stream::iter(chosen)
        .map(
            |tenant| async move { (tenant.key.clone(), directory(context, tenant, records).await) },
        )
        .buffer_unordered(usize::from(context.common.parallelism))
        .collect()
        .await
}

async fn directory(
    context: &Context,
    tenant: &Tenant,
    records: &Records,
) -> Result<Resolved, Failure> {
    if let Some(id) = tenant.id {
        return Ok(Resolved { id, stale: None });
    }
    let domain = tenant
        .domain
        .as_deref()
        .ok_or_else(|| Failure::new(Cause::Guard, "it has neither an id nor a domain"))?;
    match entra::discover(&context.network, &context.cloud, domain).await {
        Ok(found) => {
            let theirs = found.cloud();
            let ours = context.cloud.name;
            match theirs.zip(ours).filter(|(theirs, ours)| !same_cloud(*theirs, *ours)) {
                Some((theirs, ours)) => Err(Failure::new(
                    Cause::Refused,
                    format!("{domain} belongs to the cloud {theirs}, the manifest says {ours}"),
                )
                .hint("a fleet lives in one cloud: put this customer into a manifest of its own")),
                None => Ok(Resolved { id: found.tenant, stale: None }),
            }
        }
        Err(failure) => {
            let pinned = records
                .get(&tenant.app)
                .and_then(|record| record.tenants.get(&tenant.key))
                .map(|record| record.id);
            // Only silence lets the pinned one stand; "no such directory" is an answer.
            let silent = matches!(
                failure.cause,
                Cause::Unreachable | Cause::NoAnswer | Cause::Service | Cause::Throttled
            );
            match pinned.filter(|_| silent) {
                Some(id) => Ok(Resolved { id, stale: Some(failure) }),
                None => Err(failure),
            }
        }
    }
}

/// GCC signs in at the global login, so a tenant of either may be read from the other.
fn same_cloud(theirs: CloudName, ours: CloudName) -> bool {
    let login = |name| match name {
        CloudName::Global | CloudName::Gcc => 0,
        CloudName::GccHigh | CloudName::Dod => 1,
        CloudName::China => 2,
    };
    login(theirs) == login(ours)
}

/// Reads one directory, and what its apps are and may do there.
async fn look(
    context: &Context,
    operator: &Operator,
    seen: &Seen,
    directory: TenantId,
    part: &Part,
) -> Result<Inventory, Failure> {
    let Context { manifest, cloud, .. } = context;
    let inventory = match part.apps {
        Apps::Listed => inventory(context, operator, seen, directory, &part.scope).await?,
        Apps::None => Inventory::empty(directory, seen.now(Timestamp::now())),
    };
    let mut asked = part.grants.clone();
    let tenants = part.scope.tenants.iter().filter_map(|key| manifest.tenants.get(key));
    let here: Vec<_> = tenants.filter(|tenant| tenant.layout == Layout::InTenant).collect();
    if !here.is_empty() {
        let now = inventory.read_at;
        let first_seen = Seen {
            inventories: BTreeMap::from([(directory, Ok(inventory.clone()))]),
            ..seen.clone()
        };
        let plan = plan::plan(manifest, &part.scope, cloud, &first_seen, now);
        for tenant in here {
            ask_about(&mut asked, context, &plan, &tenant.app);
        }
    }
    if asked.is_empty() {
        return Ok(inventory);
    }
    principals(context, operator, inventory, &asked).await
}

/// Adds to a directory's inventory the service principals that are asked about, and what the
/// operator's token says that it may do there.
async fn principals(
    context: &Context,
    operator: &Operator,
    mut inventory: Inventory,
    asked: &Asked,
) -> Result<Inventory, Failure> {
    let directory = inventory.directory;
    let reader = Reader::new(&context.network, &context.cloud, directory, operator)?;
    inventory.principals = reader.principals(asked).await?;
    inventory.requests += reader.requests();
    inventory.rights = match operator.identity(directory).await {
        Ok(Identity { kind: IdentityKind::App, roles, .. }) => Rights::Exactly(roles),
        Ok(Identity { kind: IdentityKind::Person, .. }) | Err(_) => Rights::Unknown,
    };
    Ok(inventory)
}

/// Whether any app of a scope says who shall own it: else nobody's owners are read.
fn owners_of(context: &Context, scope: &Scope) -> Owners {
    let mut apps = scope.apps.iter().filter_map(|key| context.manifest.apps.get(key));
    if apps.any(|app| !app.owners.is_empty()) { Owners::Read } else { Owners::Left }
}

/// Reads the apps of one directory: the fleet's listing, and beyond it only what the plan that
/// follows from that listing would need.
async fn inventory(
    context: &Context,
    operator: &Operator,
    seen: &Seen,
    directory: TenantId,
    scope: &Scope,
) -> Result<Inventory, Failure> {
    let Context { manifest, cloud, .. } = context;
    let owners = owners_of(context, scope);
    let reader = Reader::new(&context.network, &context.cloud, directory, operator)?.with(owners);
    let records: Records = seen
        .records
        .iter()
        .filter(|(key, record)| scope.apps.contains(*key) || record.directory == directory)
        .map(|(key, record)| (key.clone(), record.clone()))
        .collect();
    let known: Vec<Known> = records
        .iter()
        .filter(|(key, record)| scope.apps.contains(*key) && record.directory == directory)
        .filter_map(|(_, record)| {
            Some(Known { client_id: record.client_id?, object_id: record.object_id })
        })
        .chain(seen.wish.adopt.map(|client_id| Known { client_id, object_id: None }))
        .collect();
    let resources: BTreeSet<ResourceId> = scope
        .apps
        .iter()
        .filter_map(|key| manifest.apps.get(key))
        .flat_map(|app| app.permissions.iter().map(|permission| permission.resource))
        .collect();
    let needs = |apps: &[FoundApp], now: Timestamp| -> Needs {
        let first = Inventory { apps: apps.to_vec(), ..Inventory::empty(directory, now) };
        let first_seen = Seen {
            home: seen.home,
            directories: seen.directories.clone(),
            inventories: BTreeMap::from([(directory, Ok(first))]),
            records: records.clone(),
            deleted: seen.deleted.clone(),
            vault: seen.vault,
            wish: seen.wish.clone(),
        };
        let now = first_seen.now(now);
        plan::plan(manifest, scope, cloud, &first_seen, now).needs(manifest)
    };
    // Both questions are asked of one listing: it is planned once.
    let known_needs = OnceLock::new();
    let needs = |apps: &[FoundApp], now: Timestamp| known_needs.get_or_init(|| needs(apps, now));
    let policies = |apps: &[FoundApp], now: Timestamp, _: Missing| needs(apps, now).policies;
    let catalogues =
        |apps: &[FoundApp], now: Timestamp, _: Missing| !needs(apps, now).resources.is_empty();
    let mut inventory = read_directory(
        &reader,
        &Ask {
            fleet: &manifest.fleet,
            expected: &scope.apps,
            known: &known,
            breadth: Breadth::AsNeeded,
            policies: Want::If(&policies),
            catalogues: (&resources, Want::If(&catalogues)),
        },
    )
    .await?;
    if owners == Owners::Read {
        // Of a token that is at hand already; where it does not say, the operator is shown as one of
        // the owners that nobody named.
        let identity = operator.identity(directory).await.ok();
        inventory.operator = identity.and_then(|identity| identity.object_id);
    }
    Ok(inventory)
}

/// Reads apps that were not what the plan took them for, and the policies that they may meet; gives
/// back those that could not be read again, and why.
pub(super) async fn read_existing(
    context: &Context,
    reading: &mut Reading,
    apps: &BTreeSet<AppKey>,
) -> BTreeMap<AppKey, Failure> {
    let mut by_directory: BTreeMap<TenantId, Vec<&AppKey>> = BTreeMap::new();
    for key in apps {
        let directory = reading.plan.apps.get(key).and_then(|app| app.directory);
        by_directory.entry(directory.unwrap_or(reading.seen.home)).or_default().push(key);
    }
    let mut failed = BTreeMap::new();
    for (directory, keys) in by_directory {
        match read_again(context, &reading.operator, directory, &keys).await {
            Ok((found, policies)) => {
                if let Some(Ok(inventory)) = reading.seen.inventories.get_mut(&directory) {
                    merge(inventory, found);
                    inventory.policies = policies;
                }
            }
            Err(why) => failed.extend(keys.into_iter().map(|key| (key.clone(), why.clone()))),
        }
    }
    reading.plan_again(context);
    failed
}

async fn read_again(
    context: &Context,
    operator: &Operator,
    directory: TenantId,
    apps: &[&AppKey],
) -> Result<(Vec<FoundApp>, Sight<Policies>), Failure> {
    let reader = Reader::new(&context.network, &context.cloud, directory, operator)?
        .with(owners_of(context, &context.scope));
    let mut found = Vec::new();
    for key in apps {
        let name = UniqueName::of(&context.manifest.fleet, key);
        found.extend(reader.app_by_unique_name(&name).await?);
    }
    let policies = match reader.policies().await {
        Ok(policies) => Sight::Seen(policies),
        Err(failure) => Sight::Hidden(failure),
    };
    Ok((found, policies))
}

/// Puts apps as they are now in the place of what the inventory held of them.
pub(super) fn merge(inventory: &mut Inventory, apps: impl IntoIterator<Item = FoundApp>) {
    let mut now: BTreeMap<_, _> = apps.into_iter().map(|app| (app.object_id, app)).collect();
    for held in &mut inventory.apps {
        if let Some(app) = now.remove(&held.object_id) {
            *held = app;
        }
    }
    let restored: BTreeSet<_> = now.keys().copied().collect();
    if let Sight::Seen(bin) = &mut inventory.bin {
        bin.retain(|binned| !restored.contains(&binned.app.object_id));
    }
    inventory.apps.extend(now.into_values());
}
