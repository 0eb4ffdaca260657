//! Reads the incidents of all tenants that can be read, side by side, each handed out once.

mod checkpoint;
mod output;
mod pace;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Write},
    sync::{Mutex, PoisonError},
    time::Instant,
};

use futures::{StreamExt, stream};
use jiff::Timestamp;
use serde_json::Value;

use self::pace::Pace;
pub use self::{
    checkpoint::{Checkpoint, CheckpointError, Subject},
    output::Output,
};
use crate::{
    cloud::Cloud,
    defender::{self, Incident, IncidentQuery},
    entra::AppToken,
    failure::{Cause, Failure},
    http::Network,
    ids::{TenantId, TenantKey},
    prove::{self, Entry, Keeper, Reader, Wallet},
    status::RefreshProof,
    stop::Stop,
};

/// A token that ends sooner than this is not used for another page.
const SPARE: jiff::SignedDuration = jiff::SignedDuration::from_mins(2);

/// How often a list is read from its beginning because it moved meanwhile.
const TRIES: usize = 5;

/// What reading needs.
pub struct Reading<'a> {
    /// The way out.
    pub network: &'a Network,
    /// The cloud.
    pub cloud: &'a Cloud,
    /// What the apps show.
    pub wallet: Wallet<'a>,
    /// Who keeps new refresh tokens.
    pub keeper: Keeper<'a>,
    /// How many tenants at once.
    pub parallelism: usize,
    /// Whether we were told to stop.
    pub stop: &'a Stop,
    /// What is asked for.
    pub query: &'a IncidentQuery,
    /// From when on, of tenants that the checkpoint does not know.
    pub since: Option<Timestamp>,
    /// Told when we hold back a directory's calls ourselves.
    pub on_wait: &'a (dyn Fn(TenantId, std::time::Duration) + Sync),
}

/// How reading one tenant ended.
#[derive(Debug)]
pub enum Outcome {
    /// All was read.
    Read,
    /// The run was told to stop, or its output was closed.
    Interrupted,
    /// Not all was read.
    Failed(Failure),
}

/// What became of one tenant.
#[derive(Debug)]
pub struct Told {
    /// How it ended.
    pub outcome: Outcome,
    /// How many incidents were handed out.
    pub handed: usize,
    /// What became of its refresh token, where one was used.
    pub refresh: Option<RefreshProof>,
}

/// Where incidents go, a line each, and what keeps account of them.
pub struct Delivery<W>(Mutex<Desk<W>>);

struct Desk<W> {
    out: W,
    checkpoint: Option<Checkpoint>,
    /// How many lines went out.
    lines: usize,
    /// Why nothing goes out any more.
    broken: Option<io::Error>,
}

impl<W: Write> Delivery<W> {
    /// Lines go to `out`.
    pub fn new(out: W, checkpoint: Option<Checkpoint>) -> Self {
        Self(Mutex::new(Desk { out, checkpoint, lines: 0, broken: None }))
    }

    /// Ends it: the checkpoint, and why lines could not be written, where they could not.
    pub fn end(self) -> (Option<Checkpoint>, Option<io::Error>) {
        let Desk { out: _, checkpoint, lines: _, broken } =
            self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        (checkpoint, broken)
    }

    fn desk<T>(&self, work: impl FnOnce(&mut Desk<W>) -> io::Result<T>) -> Option<T> {
        let mut desk = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if desk.broken.is_some() {
            return None;
        }
        match work(&mut desk) {
            Ok(done) => Some(done),
            Err(error) => {
                desk.broken = Some(error);
                None
            }
        }
    }

    fn since(&self, reader: &Reader) -> Option<Timestamp> {
        let desk = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        desk.checkpoint.as_ref()?.since(&reader.who.tenant, reader.who.directory)
    }

    /// Hands an incident out, unless it was before as it is now; nothing where nobody takes it.
    fn hand(&self, reader: &Reader, incident: &Incident) -> Option<bool> {
        let (tenant, directory) = (&reader.who.tenant, reader.who.directory);
        let Incident { id, updated, all: _ } = incident;
        self.desk(|desk| {
            if let Some(checkpoint) = &desk.checkpoint
                && checkpoint.has(tenant, directory, id, updated)
            {
                return Ok(false);
            }
            desk.out.write_all(line(reader, incident).as_bytes())?;
            desk.out.flush()?;
            desk.lines += 1;
            die_after(desk.lines);
            if let Some(checkpoint) = &mut desk.checkpoint {
                checkpoint.handed(tenant, directory, id, updated)?;
            }
            Ok(true)
        })
    }

    fn through(&self, reader: &Reader, at: Timestamp) {
        self.desk(|desk| match &mut desk.checkpoint {
            Some(checkpoint) => checkpoint.through(&reader.who.tenant, reader.who.directory, at),
            None => Ok(()),
        });
    }
}

/// In debug builds, dies after line `k` and before it is accounted for, `k` given by
/// `TENANTRY_DIE_AT_INCIDENT`, without unwinding, as by SIGKILL. A release build has no such thing.
fn die_after(lines: usize) {
    #[cfg(debug_assertions)]
    {
        static AT: std::sync::LazyLock<Option<usize>> = std::sync::LazyLock::new(|| {
            std::env::var("TENANTRY_DIE_AT_INCIDENT").ok()?.parse().ok()
        });
        if *AT == Some(lines) {
            std::process::abort();
        }
    }
    #[cfg(not(debug_assertions))]
    let _ = lines;
}

/// An incident as a line: whose it is, then all that the service said.
fn line(reader: &Reader, incident: &Incident) -> String {
    let mut line = serde_json::Map::new();
    line.insert("tenantKey".to_owned(), reader.who.tenant.as_str().into());
    line.insert("tenantId".to_owned(), reader.who.directory.to_string().into());
    line.insert("connector".to_owned(), reader.connector.needs().name.into());
    for (name, value) in &incident.all {
        if !line.contains_key(name) {
            line.insert(name.clone(), value.clone());
        }
    }
    format!("{}\n", Value::Object(line))
}

/// Reads them all; one tenant's trouble stays its own.
pub async fn read<W: Write + Send>(
    reading: &Reading<'_>,
    readers: &[Reader],
    delivery: &Delivery<W>,
) -> BTreeMap<TenantKey, Told> {
    let pace = Pace::default();
    stream::iter(readers)
        .map(async |reader| {
            let mut tour = Tour { reading, reader, pace: &pace, refresh: None, handed: 0 };
            let outcome = tour.run(delivery).await;
            let Tour { refresh, handed, .. } = tour;
            (reader.who.tenant.clone(), Told { outcome, handed, refresh })
        })
        .buffer_unordered(reading.parallelism.max(1))
        .collect()
        .await
}

/// Reading one tenant.
struct Tour<'a, 'r> {
    reading: &'a Reading<'r>,
    reader: &'a Reader,
    pace: &'a Pace,
    refresh: Option<RefreshProof>,
    handed: usize,
}

/// How reading a list once ended.
enum Round {
    Whole,
    /// It moved while it was read: something may have been missed.
    Moved,
    Interrupted,
}

impl Tour<'_, '_> {
    async fn run<W: Write>(&mut self, delivery: &Delivery<W>) -> Outcome {
        let since = delivery.since(self.reader).or(self.reading.since);
        let (mut token, mut began) = (None, None);
        for _ in 0..TRIES {
            match self.round(delivery, since, &mut token, &mut began).await {
                Ok(Round::Whole) => {
                    delivery.through(self.reader, began.unwrap_or_else(Timestamp::now));
                    return Outcome::Read;
                }
                Ok(Round::Moved) => {}
                Ok(Round::Interrupted) => return Outcome::Interrupted,
                Err(failure) => return Outcome::Failed(failure),
            }
        }
        Outcome::Failed(
            Failure::new(Cause::Garbled, "its list of incidents moved each time it was read")
                .hint("run it again; --since makes the list shorter"),
        )
    }

    /// Reads the list once, from its beginning to its end. Every page begins with the last incident
    /// of the page before, so that one that slid away in between is noticed.
    async fn round<W: Write>(
        &mut self,
        delivery: &Delivery<W>,
        since: Option<Timestamp>,
        token: &mut Option<AppToken>,
        began: &mut Option<Timestamp>,
    ) -> Result<Round, Failure> {
        let Reading { network, cloud, query, .. } = *self.reading;
        let Reader { who, connector, .. } = self.reader;
        let probe = connector.needs().probe;
        let (mut seen, mut skip, mut overlap, mut idle) = (BTreeSet::new(), 0, false, 0);
        loop {
            let Some(bearer) = self.turn(token).await? else { return Ok(Round::Interrupted) };
            let page = defender::incidents(network, cloud, probe, bearer, query, since, skip);
            let page = tokio::select! {
                page = page => page?,
                _ = self.reading.stop.told() => return Ok(Round::Interrupted),
            };
            began.get_or_insert_with(|| page.at.unwrap_or_else(Timestamp::now));
            let slid = page.incidents.first().is_none_or(|first| !seen.contains(&first.id));
            if overlap && slid {
                return Ok(Round::Moved);
            }
            let before = seen.len();
            for incident in &page.incidents {
                let own = who.directory.to_string();
                if incident.tenant().is_some_and(|tenant| !tenant.eq_ignore_ascii_case(&own)) {
                    let why = "an incident came that is another directory's";
                    return Err(Failure::new(Cause::Garbled, why));
                }
                let new = seen.insert(incident.id.clone());
                if !new || !query.wants(incident) {
                    continue;
                }
                if self.reading.stop.requested().is_some() {
                    return Ok(Round::Interrupted);
                }
                match delivery.hand(self.reader, incident) {
                    Some(true) => self.handed += 1,
                    Some(false) => {}
                    None => return Ok(Round::Interrupted),
                }
            }
            if !page.more {
                return Ok(Round::Whole);
            }
            idle = if seen.len() == before { idle + 1 } else { 0 };
            if idle == TRIES {
                let why = "the same incidents come page after page";
                return Err(Failure::new(Cause::Garbled, why));
            }
            overlap = page.incidents.len() > 1;
            skip += page.incidents.len().saturating_sub(usize::from(overlap)).max(1);
        }
    }

    /// Waits until this directory may be called again, with a token that lives long enough; nothing
    /// where the run was told to stop.
    async fn turn<'t>(
        &mut self,
        token: &'t mut Option<AppToken>,
    ) -> Result<Option<&'t AppToken>, Failure> {
        let Reading { network, cloud, ref wallet, ref keeper, stop, on_wait, .. } = *self.reading;
        let directory = self.reader.who.directory;
        while let Err(wait) = self.pace.admit(directory, Instant::now()) {
            on_wait(directory, wait);
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                _ = stop.told() => return Ok(None),
            }
        }
        if stop.requested().is_some() {
            return Ok(None);
        }
        if token.as_ref().is_none_or(|token| token.expires < Timestamp::now() + SPARE) {
            let Entry { token: new, refresh } =
                prove::enter(network, cloud, wallet, keeper, self.reader).await;
            self.refresh = refresh.or(self.refresh.take());
            *token = Some(new?);
        }
        Ok(token.as_ref())
    }
}
