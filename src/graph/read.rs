//! Reading one directory whole, with as few requests as the question needs.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use futures::{StreamExt, TryStreamExt, future, stream};
use jiff::Timestamp;

use super::reader::{Page, Reader};
use crate::{
    failure::{Cause, Failure},
    ids::{AppKey, Application, ClientId, FleetName, ObjectId, ResourceId, UniqueName},
    inventory::{Binned, FoundApp, Glimpse, Inventory, Sight},
};

/// Point reads under way at once in one directory.
const POINT_READS: usize = 8;

/// What a reading shall find out.
#[derive(Debug)]
pub struct Ask<'a> {
    /// Whose apps.
    pub fleet: &'a FleetName,
    /// The apps that should be there, in this directory.
    pub expected: &'a BTreeSet<AppKey>,
    /// The apps of this directory that the vault knows.
    pub known: &'a [Known],
    /// How far to look.
    pub breadth: Breadth,
    /// Whether app management policies matter.
    pub policies: Want<'a>,
    /// The APIs whose permissions matter, and whether they do.
    pub catalogues: (&'a BTreeSet<ResourceId>, Want<'a>),
}

/// An app that the vault has a record of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Its client id.
    pub client_id: ClientId,
    /// Its object id, where the record has it.
    pub object_id: Option<ObjectId<Application>>,
}

/// How far to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breadth {
    /// At the fleet's apps; beyond them only where one that is expected or known is missing.
    AsNeeded,
    /// At every app and the bin.
    Everything,
}

/// Whether something costs its request.
#[derive(Clone, Copy)]
pub enum Want<'a> {
    /// It does not matter.
    No,
    /// It matters where this says so, given the fleet's apps, the server's clock, and whether an
    /// app is missing.
    If(&'a (dyn Fn(&[FoundApp], Timestamp, Missing) -> bool + Sync)),
    /// It matters.
    Yes,
}

impl std::fmt::Debug for Want<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::No => "No",
            Self::If(_) => "If(…)",
            Self::Yes => "Yes",
        })
    }
}

/// Whether an app that is expected, or that the vault knows, is missing from the fleet's listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// All are there.
    None,
    /// At least one is not.
    Some,
}

impl Want<'_> {
    fn holds(self, apps: &[FoundApp], now: Timestamp, missing: Missing) -> bool {
        match self {
            Self::No => false,
            Self::If(judge) => judge(apps, now, missing),
            Self::Yes => true,
        }
    }
}

/// Reads a directory: one listing by the fleet's tag; only where something is missing from it,
/// every app and the bin; point reads only for what the vault knows and neither the listing nor
/// the bin shows; policies and catalogues only where they matter.
///
/// # Errors
/// Where the listing cannot be read, or where anything else fails for another reason than a
/// missing right (that is [`Sight::Hidden`]).
pub async fn read_directory(reader: &Reader, ask: &Ask<'_>) -> Result<Inventory, Failure> {
    let Ask { fleet, expected, known, breadth, policies, catalogues: (resources, want) } = ask;
    let before = reader.requests();
    let Page { items, server_time } = reader.fleet_apps(fleet).await?;
    let read_at = server_time.unwrap_or_else(Timestamp::now);
    let mut apps = items;
    each_once(&mut apps);
    let listed = apps.as_slice();
    let index = Index::of(listed);
    let unlisted: Vec<&Known> = known.iter().filter(|known| !index.knows(known)).collect();
    let missing = if unlisted.is_empty() && expected.iter().all(|key| index.has(fleet, key)) {
        Missing::None
    } else {
        Missing::Some
    };
    let look = *breadth == Breadth::Everything || missing == Missing::Some;

    let others = async { if look { sight(reader.all_apps().await) } else { Ok(Sight::NotLooked) } };
    let bin = async { if look { sight(reader.bin().await) } else { Ok(Sight::NotLooked) } };
    let policies = async {
        if policies.holds(listed, read_at, missing) {
            sight(reader.policies().await)
        } else {
            Ok(Sight::NotLooked)
        }
    };
    let catalogues = async {
        if !want.holds(listed, read_at, missing) {
            return Ok(resources.iter().map(|id| (*id, Sight::NotLooked)).collect());
        }
        let each = resources.iter().map(|id| async move {
            // An API without a service principal here offers nothing that could be read.
            let seen = match reader.catalogue(*id).await {
                Err(failure) if failure.cause == Cause::NotFound => Ok(Sight::Hidden(failure)),
                other => sight(other),
            };
            seen.map(|seen| (*id, seen))
        });
        Ok(future::try_join_all(each).await?.into_iter().collect::<BTreeMap<_, _>>())
    };
    let (others, bin, policies, catalogues): (Sight<Vec<Glimpse>>, Sight<Vec<Binned>>, _, _) =
        future::try_join4(others, bin, policies, catalogues).await?;

    let binned = bin.seen().map(Vec::as_slice).unwrap_or_default();
    let sought = unlisted.into_iter().filter(|known| !binned.iter().any(|b| known.is(&b.app)));
    let found: Vec<Option<FoundApp>> = stream::iter(sought)
        .map(|known| async move {
            match known.object_id {
                Some(id) => reader.app(id).await,
                None => reader.app_by_client_id(known.client_id).await,
            }
        })
        .buffer_unordered(POINT_READS)
        .try_collect()
        .await?;
    apps.extend(found.into_iter().flatten());
    each_once(&mut apps);

    Ok(Inventory {
        apps,
        others,
        bin,
        policies,
        catalogues,
        requests: reader.requests() - before,
        ..Inventory::empty(reader.directory(), read_at)
    })
}

/// Sorts apps by their object ids, each once: a page boundary that moved while we read may show an
/// app twice.
fn each_once(apps: &mut Vec<FoundApp>) {
    apps.sort_by_key(|app| app.object_id);
    apps.dedup_by_key(|app| app.object_id);
}

/// What may not be read is hidden, not an error; everything else that fails is one.
pub(super) fn sight<T>(read: Result<T, Failure>) -> Result<Sight<T>, Failure> {
    match read {
        Ok(seen) => Ok(Sight::Seen(seen)),
        Err(failure) if failure.cause == Cause::Privilege => Ok(Sight::Hidden(failure)),
        Err(failure) => Err(failure),
    }
}

impl Known {
    fn is(&self, app: &FoundApp) -> bool {
        self.client_id == app.client_id || self.object_id == Some(app.object_id)
    }
}

/// What can be looked up in a listing of ten thousand apps without walking it for each question.
struct Index<'a> {
    names: HashSet<&'a str>,
    tags: HashSet<&'a str>,
    clients: HashSet<ClientId>,
    objects: HashSet<ObjectId<Application>>,
}

impl<'a> Index<'a> {
    fn of(apps: &'a [FoundApp]) -> Self {
        Self {
            names: apps
                .iter()
                .filter_map(|a| a.unique_name.as_ref())
                .map(UniqueName::as_str)
                .collect(),
            tags: apps.iter().flat_map(|a| &a.registration.tags).map(String::as_str).collect(),
            clients: apps.iter().map(|a| a.client_id).collect(),
            objects: apps.iter().map(|a| a.object_id).collect(),
        }
    }

    fn knows(&self, known: &Known) -> bool {
        self.clients.contains(&known.client_id)
            || known.object_id.is_some_and(|id| self.objects.contains(&id))
    }

    /// Whether the fleet's app of this key is there: by its unique name, or, where it was adopted
    /// and has none, by its tag.
    fn has(&self, fleet: &FleetName, key: &AppKey) -> bool {
        self.names.contains(UniqueName::of(fleet, key).as_str())
            || self.tags.contains(format!("tenantry:app={key}").as_str())
    }
}
