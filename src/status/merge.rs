//! Several reports of one fleet, made one: what jobs that each had a part of it found.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;

use super::{Foreign, Left, Status, TenantStatus, worst_first};
use crate::{
    ids::{FleetName, TenantId, TenantKey},
    plan::{Orphan, forecast::Due},
    shard::Shard,
};

/// The version of the document that this build reads.
const FORMAT_VERSION: u32 = 1;

/// A report of a part, as `status --json` writes it. Its summary is not read: it is counted anew.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Part {
    format_version: u32,
    fleet: FleetName,
    home: TenantId,
    sandbox: bool,
    as_of: Timestamp,
    #[serde(default)]
    shard: Option<Shard>,
    #[serde(default)]
    partial: bool,
    tenants: Vec<TenantStatus>,
    #[serde(default)]
    due: Vec<Due>,
    #[serde(default)]
    foreign: Vec<Foreign>,
    #[serde(default)]
    orphans: Vec<Orphan>,
    #[serde(default)]
    leftovers: Vec<Left>,
}

/// All parts as one.
#[derive(Debug, Clone)]
pub struct Merged {
    /// How everybody is; of the oldest part's moment.
    pub status: Status,
    /// Whether it was against the sandbox.
    pub sandbox: bool,
}

/// Why reports cannot be made one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotMerged {
    /// There is none.
    #[error("no report was named")]
    Nothing,
    /// A newer build wrote it.
    #[error("{file}: its format is {version}, this build reads {FORMAT_VERSION}")]
    Version {
        /// Which one.
        file: String,
        /// Its format.
        version: u32,
    },
    /// They are not of one fleet in one place.
    #[error("{file} is of another fleet, of another home, or of another cloud than {first}")]
    Stranger {
        /// Which one.
        file: String,
        /// The one before it.
        first: String,
    },
    /// A tenant stands in two of them.
    #[error("tenant {tenant} is in {first} and in {second}")]
    Twice {
        /// Which tenant.
        tenant: TenantKey,
        /// Where it stands first.
        first: String,
        /// Where again.
        second: String,
    },
    /// A part of the fleet is in none of them.
    #[error("shard {0} is in none of the reports: its tenants would be missing unseen")]
    Missing(Shard),
    /// It was asked about some tenants only.
    #[error(
        "{0} is of some tenants only (--tenant, --label or --pending): the others would be missing unseen"
    )]
    Partial(String),
    /// They were cut differently.
    #[error("{file} is of shard {found}, {first} of another cut")]
    OtherCut {
        /// Which one.
        file: String,
        /// What it is of.
        found: Shard,
        /// The one before it.
        first: String,
    },
    /// Some are parts, others not.
    #[error("{0} does not say which shard it is of, and others do")]
    NoShard(String),
}

/// Makes one of all. Each comes with its file's name; `place` are the flags that lead a command to
/// the fleet.
///
/// # Errors
/// See [`NotMerged`]: where anything is missing or doubled, nothing is made.
pub fn merge(parts: Vec<(String, Part)>, place: String) -> Result<Merged, NotMerged> {
    let Some((first, head)) = parts.first().cloned() else { return Err(NotMerged::Nothing) };
    let (mut tenants, mut seen) = (Vec::new(), BTreeMap::<TenantKey, String>::new());
    let (mut as_of, mut shards, mut due) = (head.as_of, Vec::new(), Vec::new());
    let (mut foreign, mut orphans, mut left) = (Vec::new(), Vec::new(), Vec::new());
    for (file, part) in parts {
        if part.format_version != FORMAT_VERSION {
            return Err(NotMerged::Version { file, version: part.format_version });
        }
        if (&part.fleet, part.home, part.sandbox) != (&head.fleet, head.home, head.sandbox) {
            return Err(NotMerged::Stranger { file, first });
        }
        if part.partial {
            return Err(NotMerged::Partial(file));
        }
        match (head.shard, part.shard) {
            (None, None) => {}
            (Some(cut), Some(shard)) if cut.of() == shard.of() => shards.push(shard),
            (_, Some(found)) => return Err(NotMerged::OtherCut { file, found, first }),
            (Some(_), None) => return Err(NotMerged::NoShard(file)),
        }
        as_of = as_of.min(part.as_of);
        due.extend(part.due);
        foreign.extend(part.foreign);
        orphans.extend(part.orphans);
        left.extend(part.leftovers);
        for tenant in part.tenants {
            if let Some(first) = seen.insert(tenant.key.clone(), file.clone()) {
                return Err(NotMerged::Twice { tenant: tenant.key, first, second: file });
            }
            tenants.push(tenant);
        }
    }
    if let Some(missing) = head.shard.and_then(|cut| cut.all().find(|one| !shards.contains(one))) {
        return Err(NotMerged::Missing(missing));
    }
    worst_first(&mut tenants);
    due.sort();
    foreign.sort();
    // Every shard may have seen the same.
    orphans.sort();
    orphans.dedup();
    let Part { fleet, home, sandbox, .. } = head;
    let status = Status {
        fleet,
        home,
        as_of,
        shard: None,
        partial: false,
        tenants,
        due,
        foreign,
        orphans,
        left,
        place,
    };
    Ok(Merged { status, sandbox })
}
