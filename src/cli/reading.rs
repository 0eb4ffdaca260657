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
    entra::{self, Operator},
    failure::{Cause, Failure},
    graph::{Ask, Breadth, Known, Missing, Reader, Want, read_directory},
    ids::{AppKey, ResourceId, TenantId, TenantKey, UniqueName},
    inventory::{FoundApp, Inventory, Policies, Sight},
    manifest::{Credential, Tenant},
    plan::{self, Needs, Plan, Resolved, Scope, Seen, Wish},
    report::error::Trouble,
    vault::{Federation, Records, Vault},
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
pub(super) async fn read(context: &Context, vault: &Vault, wish: Wish) -> Result<Reading, Trouble> {
    let Context { manifest, scope, cloud, .. } = context;
    let operator = context.operator().await?;
    let records = vault
        .records()
        .await
        .map_err(|error| vault_trouble("the vault's records cannot be read", &error))?;
    let home = context.home().await.map_err(|failure| {
        let named = &context.manifest.home.tenant;
        Trouble::of(format!("the provider's directory {named} could not be looked up"), &failure)
    })?;
    let directories = directories(context, &records).await;
    let mut seen =
        Seen { home, directories, inventories: BTreeMap::new(), records, vault: vault.id(), wish };
    seen.inventories = stream::iter(parts(context, &seen))
        .map(|part| {
            let (operator, seen) = (&operator, &seen);
            async move { (part.directory, inventory(context, operator, seen, &part).await) }
        })
        .buffer_unordered(usize::from(context.common.parallelism))
        .collect()
        .await;
    let now = seen.now(Timestamp::now());
    let requests = seen.inventories.values().flatten().map(|inventory| inventory.requests).sum();
    let plan = plan::plan(manifest, scope, cloud, &seen, now);
    Ok(Reading { operator, seen, plan, now, requests })
}

/// A directory, and the part of the scope whose apps live in it.
struct Part {
    directory: TenantId,
    scope: Scope,
}

/// Every directory to read: the provider's always, for what is left in it shows there; each
/// customer's in which an app of the scope lives, or in which the vault knows one that the manifest
/// names no more.
fn parts(context: &Context, seen: &Seen) -> Vec<Part> {
    let Context { manifest, scope, .. } = context;
    let nothing = || Scope { tenants: BTreeSet::new(), apps: BTreeSet::new(), shard: scope.shard };
    let mut parts = BTreeMap::from([(seen.home, nothing())]);
    for app in scope.apps.iter().filter_map(|key| manifest.apps.get(key)) {
        let Some(directory) = seen.directory(app) else { continue };
        let part = parts.entry(directory).or_insert_with(nothing);
        part.apps.insert(app.key.clone());
        let theirs = app.tenants.iter().filter(|key| scope.tenants.contains(*key));
        part.tenants.extend(theirs.cloned());
    }
    if scope.tenants.len() == manifest.tenants.len() || scope.shard.is_some() {
        let left = seen.records.iter().filter(|(key, record)| {
            record.client_id.is_some()
                && !manifest.apps.contains_key(*key)
                && scope.shard.is_none_or(|shard| shard.holds(key))
        });
        for (_, record) in left {
            parts.entry(record.directory).or_insert_with(nothing);
        }
    }
    parts.into_iter().map(|(directory, scope)| Part { directory, scope }).collect()
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

/// Reads one directory: the fleet's listing, and beyond it only what the plan that follows from
/// that listing would need.
async fn inventory(
    context: &Context,
    operator: &Operator,
    seen: &Seen,
    part: &Part,
) -> Result<Inventory, Failure> {
    let Context { manifest, cloud, .. } = context;
    let Part { directory, scope } = part;
    let reader = reader(context, operator, *directory, &seen.records, scope.apps.iter())?;
    let records: Records = seen
        .records
        .iter()
        .filter(|(key, record)| scope.apps.contains(*key) || record.directory == *directory)
        .map(|(key, record)| (key.clone(), record.clone()))
        .collect();
    let known: Vec<Known> = records
        .iter()
        .filter(|(key, record)| scope.apps.contains(*key) && record.directory == *directory)
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
        let first = Inventory {
            directory: *directory,
            read_at: now,
            apps: apps.to_vec(),
            others: Sight::NotLooked,
            bin: Sight::NotLooked,
            policies: Sight::NotLooked,
            catalogues: BTreeMap::new(),
            requests: 0,
        };
        let first_seen = Seen {
            home: seen.home,
            directories: seen.directories.clone(),
            inventories: BTreeMap::from([(*directory, Ok(first))]),
            records: records.clone(),
            vault: seen.vault,
            wish: seen.wish,
        };
        plan::plan(manifest, scope, cloud, &first_seen, now).needs(manifest)
    };
    // Both questions are asked of one listing: it is planned once.
    let known_needs = OnceLock::new();
    let needs = |apps: &[FoundApp], now: Timestamp| known_needs.get_or_init(|| needs(apps, now));
    let policies = |apps: &[FoundApp], now: Timestamp, _: Missing| needs(apps, now).policies;
    let catalogues =
        |apps: &[FoundApp], now: Timestamp, _: Missing| !needs(apps, now).resources.is_empty();
    read_directory(
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
    .await
}

/// A reader of a directory; it asks for federated credentials only where one of these apps shall
/// have some, or may have some of ours.
fn reader<'k>(
    context: &Context,
    operator: &Operator,
    directory: TenantId,
    records: &Records,
    mut apps: impl Iterator<Item = &'k AppKey>,
) -> Result<Reader, Failure> {
    let reader = Reader::new(&context.network, &context.cloud, directory, operator)?;
    let federated = apps.any(|key| {
        let wanted = context.manifest.apps.get(key).map(|app| &app.credential);
        matches!(wanted, Some(Credential::Federated(_)))
            || records.get(key).is_some_and(|record| record.federated == Federation::Meant)
    });
    Ok(if federated { reader.with_federated() } else { reader })
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
        match read_again(context, &reading.operator, directory, &reading.seen.records, &keys).await
        {
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
    records: &Records,
    apps: &[&AppKey],
) -> Result<(Vec<FoundApp>, Sight<Policies>), Failure> {
    let reader = reader(context, operator, directory, records, apps.iter().copied())?;
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
