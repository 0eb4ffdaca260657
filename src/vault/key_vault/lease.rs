//! One writer per fleet, in a place that knows no locks: a claim each, and the first one writes.
//!
//! Key Vault cannot compare and swap. But it dates every secret by its own clock, in whole seconds,
//! and lists what was written: a claim is one secret of its own, and whoever has waited until the
//! second of his claim is over sees every claim that could be as early as his. Of those that live,
//! the earliest writes (of one second: the first by name); the others wait for it. A claim lives for
//! [`LEASE`] after its last renewal, so that a killed writer stands in nobody's way for long.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp};
use tokio::{runtime::Handle, runtime::RuntimeFlavor, task::JoinHandle};

use super::{
    tags::{Name, Names, Tags},
    wire::{Item, Wire},
};
use crate::{
    secret::Secret,
    shard::Shard,
    vault::{
        error::VaultError,
        lock::{self, Holder},
    },
};

/// The tag that says of which part of the fleet a claim is; one without it is of the whole.
const SHARD: &str = "shard";
/// How long a claim lives after it was made or renewed.
const LEASE: Duration = Duration::from_secs(120);
/// How often it is renewed.
const RENEWED: Duration = Duration::from_secs(30);
/// After so long without a renewal nothing is written any more: the claim must still stand while
/// the last request is on its way.
const TRUSTED: Duration = Duration::from_secs(80);
/// Longer than the second in which a claim was made, with what clocks may differ in between.
const SECOND_IS_OVER: Duration = Duration::from_millis(1_250);
/// How often a waiting writer looks whether the one before it is done.
const LOOK_AGAIN: Duration = Duration::from_millis(1_500);
/// How long letting go may take; what is left then ends by itself.
const LETTING_GO: Duration = Duration::from_secs(5);
/// How long a deleted claim is tried to be purged, so that no run leaves one in the bin: a key vault
/// may forbid it, or be busy with deleting for longer, and then purges it itself one day.
const CLEARING_UP: Duration = Duration::from_secs(3);

/// A claim of ours; deleted, and purged where that is allowed, when this is dropped.
pub(super) struct Lease {
    wire: Arc<Wire>,
    name: String,
    shard: Option<Shard>,
    /// Keeps the claim alive.
    task: JoinHandle<()>,
    renewed: Arc<Mutex<Instant>>,
    /// The vault's clock at a moment of ours.
    clock: (Timestamp, Instant),
}

impl Lease {
    /// Makes a claim. Whether it is the first, [`Lease::before`] says.
    pub(super) async fn claim(
        wire: &Arc<Wire>,
        names: &Names,
        command: &str,
        shard: Option<Shard>,
    ) -> Result<Self, VaultError> {
        let name = names.lease(&uuid::Uuid::new_v4().simple().to_string()[..16]);
        let holder = Holder::here(command);
        let mut tags: Tags = HashMap::from([
            ("pid".to_owned(), holder.pid.to_string()),
            ("host".to_owned(), holder.host.chars().take(256).collect()),
            ("command".to_owned(), holder.command.clone()),
        ]);
        tags.extend(shard.map(|shard| (SHARD.to_owned(), shard.to_string())));
        let words = Secret::new("Who writes just now; see the tags.".to_owned());
        let asked = Instant::now();
        let made = wire.set(&name, &words, &tags, None).await?;
        let renewed = Arc::new(Mutex::new(asked));
        let task = tokio::spawn({
            let (wire, name, renewed) = (wire.clone(), name.clone(), renewed.clone());
            async move {
                loop {
                    tokio::time::sleep(RENEWED).await;
                    let asked = Instant::now();
                    if wire.tag(&name, &tags).await.is_ok() {
                        *renewed.lock().unwrap_or_else(PoisonError::into_inner) = asked;
                    }
                }
            }
        });
        let clock = (made.updated, Instant::now());
        let lease = Self { wire: wire.clone(), name, shard, task, renewed, clock };
        tokio::time::sleep(SECOND_IS_OVER).await;
        Ok(lease)
    }

    /// Whose claim stands before ours, in a listing of the vault; claims that nobody renews any more
    /// are cleared away.
    pub(super) async fn before(&self, names: &Names, listed: &[Item]) -> Option<Item> {
        let (at, then) = self.clock;
        let now = SignedDuration::try_from(then.elapsed()).map_or(at, |passed| at + passed);
        let (live, dead) = claims(names, listed, now);
        for claim in dead {
            // Whoever else sees it deletes it too.
            let _ = self.wire.delete(&claim.name).await;
            let _ = tokio::time::timeout(CLEARING_UP, self.wire.purge_deleted(&claim.name)).await;
        }
        let mine = (self.name.as_str(), self.shard);
        first_in_the_way(live, mine)
    }

    /// Waits until a claim is gone or dead.
    pub(super) async fn outlast(&self, claim: &Item) -> Result<(), VaultError> {
        let mut updated = claim.updated;
        let mut seen = Instant::now();
        loop {
            tokio::time::sleep(LOOK_AGAIN).await;
            let versions = self.wire.versions(&claim.name).await?;
            let Some(now) = versions.first() else { return Ok(()) };
            if now.updated != updated {
                (updated, seen) = (now.updated, Instant::now());
            } else if seen.elapsed() > LEASE {
                return Ok(());
            }
        }
    }

    /// Whether we may still write.
    pub(super) fn stands(&self) -> bool {
        self.renewed.lock().unwrap_or_else(PoisonError::into_inner).elapsed() < TRUSTED
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.task.abort();
        let (wire, name) = (self.wire.clone(), std::mem::take(&mut self.name));
        let gone = async move {
            // What cannot be deleted now dies by itself.
            if let Ok(Ok(())) = tokio::time::timeout(LETTING_GO, wire.delete(&name)).await {
                let _ = tokio::time::timeout(CLEARING_UP, wire.purge_deleted(&name)).await;
            }
        };
        match Handle::try_current() {
            Ok(here) if here.runtime_flavor() == RuntimeFlavor::CurrentThread => {
                here.spawn(gone);
            }
            // The process may end right after this: it has to be done now.
            Ok(here) => tokio::task::block_in_place(|| here.block_on(gone)),
            Err(_) => {}
        }
    }
}

/// The claims of a fleet, those that live by age, and those that do not.
fn claims<'a>(names: &Names, listed: &'a [Item], now: Timestamp) -> (Vec<Item>, Vec<&'a Item>) {
    let all = listed.iter().filter(|item| names.read(&item.name) == Some(Name::Lease));
    let (live, dead): (Vec<&Item>, Vec<&Item>) = all.partition(|item| {
        SignedDuration::try_from(LEASE).is_ok_and(|lease| item.updated + lease > now)
    });
    let mut live: Vec<Item> = live.into_iter().cloned().collect();
    live.sort_by(|one, other| (one.created, &one.name).cmp(&(other.created, &other.name)));
    (live, dead)
}

/// Of the claims that live, by age, the first that stands in the way of one of them: an earlier one
/// that writes something of the same. Shards of one cut write side by side.
fn first_in_the_way(live: Vec<Item>, (name, shard): (&str, Option<Shard>)) -> Option<Item> {
    live.into_iter().take_while(|claim| claim.name != name).find(|claim| {
        let theirs = claim.tags.get(SHARD).and_then(|shard| shard.parse::<Shard>().ok());
        theirs.zip(shard).is_none_or(|(theirs, mine)| theirs.meets(mine))
    })
}

/// Who holds the lock, by a listing; nothing while nobody does.
pub(super) fn holder(names: &Names, listed: &[Item], now: Timestamp) -> Option<Holder> {
    claims(names, listed, now).0.first().map(told)
}

/// What a claim says of its writer.
pub(super) fn told(claim: &Item) -> Holder {
    let text = |name: &str| claim.tags.get(name).cloned().unwrap_or_default();
    lock::Holder {
        pid: text("pid").parse().unwrap_or_default(),
        host: text("host"),
        command: text("command"),
        since: claim.created,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::testing::{fleet, seconds};

    fn claim(names: &Names, id: &str, created: i64, updated: i64) -> Item {
        Item {
            name: names.lease(id),
            version: None,
            tags: Tags::new(),
            created: seconds(created),
            updated: seconds(updated),
            enabled: true,
        }
    }

    #[test]
    fn a_claim_waits_for_earlier_ones_of_the_same_part() {
        let names = Names::of(&fleet());
        let of = |id: &str, created, shard: Option<&str>| {
            let mut item = claim(&names, id, created, 60);
            item.tags.extend(shard.map(|shard| (SHARD.to_owned(), shard.to_owned())));
            item
        };
        let live = vec![
            of("a", 1, Some("1/2")),
            of("b", 2, Some("2/2")),
            of("c", 3, None),
            of("d", 4, Some("2/2")),
            of("e", 5, Some("1/3")),
        ];
        let waits = |id: &str, shard: Option<&str>| {
            let shard = shard.map(|shard| shard.parse().unwrap());
            let first = first_in_the_way(live.clone(), (&names.lease(id), shard))?;
            first.name.rsplit("lease-").next().map(str::to_owned)
        };
        assert_eq!(waits("a", Some("1/2")), None);
        assert_eq!(waits("b", Some("2/2")), None, "another part");
        assert_eq!(waits("c", None).as_deref(), Some("a"), "the whole");
        assert_eq!(waits("d", Some("2/2")).as_deref(), Some("b"), "the same part");
        assert_eq!(waits("e", Some("1/3")).as_deref(), Some("a"), "another cut");
        let live = [of("a", 1, Some("1/2")), of("f", 6, Some("3/3"))].to_vec();
        let third = (names.lease("f"), "3/3".parse().ok());
        assert!(first_in_the_way(live, (&third.0, third.1)).is_some(), "another cut");
    }

    #[test]
    fn of_the_claims_that_live_the_earliest_writes() {
        let names = Names::of(&fleet());
        let listed = [
            claim(&names, "a-late", 12, 60),
            claim(&names, "z-first", 10, 70),
            claim(&names, "y-first", 10, 70),
            // Nobody renews it any more, however early it came.
            claim(&names, "b-dead", 1, 1),
            Item { name: names.head().to_owned(), ..claim(&names, "x", 0, 100) },
        ];
        let (live, dead) = claims(&names, &listed, seconds(121));
        let told: Vec<&str> =
            live.iter().map(|item| item.name.rsplit("lease-").next().unwrap()).collect();
        assert_eq!(told, ["y-first", "z-first", "a-late"]);
        assert_eq!(dead.len(), 1);
        assert_eq!(dead[0].name, names.lease("b-dead"));
        assert!(holder(&names, &listed, seconds(121)).is_some());
        assert!(holder(&names, &listed, seconds(500)).is_none());
    }
}
