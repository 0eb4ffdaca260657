//! What was handed out already, kept in a file, so that a run goes on where another was cut.
//!
//! A journal of JSON lines. A line of output comes first, its line here right after it; when a
//! tenant has been read to its end, all that was said of it before is behind one moment. A cut
//! between the two lines is found by looking at the output itself, where that is a file.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{File, OpenOptions, TryLockError},
    io::{self, BufRead, BufReader, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::output::Output;
use crate::{
    defender::IncidentQuery,
    ids::{FleetName, TenantId, TenantKey},
};

/// How far a reading goes back behind the last one: an incident may come to be seen some time after
/// the moment that it bears.
const OVERLAP: SignedDuration = SignedDuration::from_mins(10);

/// What a checkpoint is of; another question needs another file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Subject {
    /// The fleet.
    pub fleet: FleetName,
    /// What is asked of every tenant.
    pub query: IncidentQuery,
}

/// A line of the journal.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "kebab-case", rename_all_fields = "camelCase")]
enum Line {
    /// The first one.
    Subject {
        format_version: u32,
        #[serde(flatten)]
        subject: Subject,
    },
    /// A run began to write to this file.
    Began { output: Output },
    /// An incident was handed out.
    Handed { tenant: TenantKey, directory: TenantId, id: String, updated: String },
    /// A tenant was read to its end.
    Through { tenant: TenantKey, directory: TenantId, at: Timestamp },
    /// The run ended by itself: nothing stands between its output and this journal.
    Ended,
}

const FORMAT_VERSION: u32 = 1;

/// Why a checkpoint cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The disk said no.
    #[error("{path}: {error}")]
    Disk {
        /// The file.
        path: String,
        /// Why.
        error: io::Error,
    },
    /// Another run uses it now.
    #[error("{path} is used by another run")]
    Busy {
        /// The file.
        path: String,
    },
    /// It is no checkpoint.
    #[error("{path}, line {line}: this is no checkpoint of tenantry: {why}")]
    Foreign {
        /// The file.
        path: String,
        /// Where.
        line: usize,
        /// Why not.
        why: String,
    },
    /// It is one of another question.
    #[error("{path} is of fleet {fleet} with other filters, or of another fleet")]
    OtherSubject {
        /// The file.
        path: String,
        /// The fleet that it is of.
        fleet: FleetName,
    },
}

/// How far one tenant was read.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mark {
    directory: TenantId,
    through: Option<Timestamp>,
    /// Incidents handed out: id, and when it last changed.
    handed: BTreeSet<(String, String)>,
}

impl Mark {
    fn of(directory: TenantId) -> Self {
        Self { directory, through: None, handed: BTreeSet::new() }
    }

    /// From when on the next reading asks.
    fn since(&self) -> Option<Timestamp> {
        self.through.map(|through| through.checked_sub(OVERLAP).unwrap_or(Timestamp::MIN))
    }

    /// Forgets what the next reading cannot meet again.
    fn forget(&mut self) {
        let Some(since) = self.since() else { return };
        self.handed.retain(|(_, updated)| match updated.parse::<Timestamp>() {
            Ok(updated) => updated >= since,
            Err(_) => true,
        });
    }
}

/// An open checkpoint. Nobody else opens it meanwhile.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    file: File,
    /// Holds the lock on the file that this one has replaced.
    _former: Option<File>,
    marks: BTreeMap<TenantKey, Mark>,
}

impl Checkpoint {
    /// Opens it, or makes one; `output` tells where this run's lines go, and is asked when what a
    /// run before left torn there is out of it.
    ///
    /// # Errors
    /// See [`CheckpointError`]; an unusable file is left as it is.
    pub fn open(
        path: &Path,
        subject: &Subject,
        output: impl FnOnce() -> Output,
    ) -> Result<Self, CheckpointError> {
        let disk = |error| CheckpointError::Disk { path: path.display().to_string(), error };
        let former = match OpenOptions::new().read(true).write(true).open(path) {
            Ok(file) => Some(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(disk(error)),
        };
        let mut marks = BTreeMap::new();
        if let Some(file) = &former {
            lock(file, path)?;
            let cut = read(file, path, subject, &mut marks)?;
            if let Some(output) = cut {
                for (tenant, directory, id, updated) in output.reconcile().map_err(disk)? {
                    handed(&mut marks, tenant, directory, id, updated);
                }
            }
        }
        marks.values_mut().for_each(Mark::forget);
        let file = rewrite(path, subject, &marks, output()).map_err(disk)?;
        Ok(Self { path: path.to_owned(), file, _former: former, marks })
    }

    /// From when on a tenant is to be asked, where it was read before.
    pub(super) fn since(&self, tenant: &TenantKey, directory: TenantId) -> Option<Timestamp> {
        self.marks.get(tenant).filter(|mark| mark.directory == directory)?.since()
    }

    /// Whether an incident was handed out as it is now.
    pub(super) fn has(
        &self,
        tenant: &TenantKey,
        directory: TenantId,
        id: &str,
        updated: &str,
    ) -> bool {
        self.marks
            .get(tenant)
            .filter(|mark| mark.directory == directory)
            .is_some_and(|mark| mark.handed.contains(&(id.to_owned(), updated.to_owned())))
    }

    /// Notes that an incident was handed out, right after it was.
    pub(super) fn handed(
        &mut self,
        tenant: &TenantKey,
        directory: TenantId,
        id: &str,
        updated: &str,
    ) -> io::Result<()> {
        let (tenant, id, updated) = (tenant.clone(), id.to_owned(), updated.to_owned());
        let line = Line::Handed { tenant, directory, id, updated };
        append(&self.file, &line)?;
        if let Line::Handed { tenant, directory, id, updated } = line {
            handed(&mut self.marks, tenant, directory, id, updated);
        }
        Ok(())
    }

    /// Notes that a tenant was read to its end, by an asking that began at that moment.
    pub(super) fn through(
        &mut self,
        tenant: &TenantKey,
        directory: TenantId,
        at: Timestamp,
    ) -> io::Result<()> {
        append(&self.file, &Line::Through { tenant: tenant.clone(), directory, at })?;
        through(&mut self.marks, tenant.clone(), directory, at);
        Ok(())
    }

    /// Ends the run in an orderly way.
    ///
    /// # Errors
    /// The disk's.
    pub fn end(self) -> Result<(), CheckpointError> {
        let Self { path, file, _former: _, marks: _ } = self;
        append(&file, &Line::Ended)
            .and_then(|()| file.sync_all())
            .map_err(|error| CheckpointError::Disk { path: path.display().to_string(), error })
    }
}

fn lock(file: &File, path: &Path) -> Result<(), CheckpointError> {
    let path = path.display().to_string();
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(CheckpointError::Busy { path }),
        Err(TryLockError::Error(error)) => Err(CheckpointError::Disk { path, error }),
    }
}

/// One system call, so that a killed process leaves a whole line or none.
fn append(mut file: &File, line: &Line) -> io::Result<()> {
    file.write_all(&text(line)?)
}

fn text(line: &Line) -> io::Result<Vec<u8>> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    Ok(text)
}

fn mark(
    marks: &mut BTreeMap<TenantKey, Mark>,
    tenant: TenantKey,
    directory: TenantId,
) -> &mut Mark {
    let mark = marks.entry(tenant).or_insert_with(|| Mark::of(directory));
    if mark.directory != directory {
        // The key has come to mean another customer.
        *mark = Mark::of(directory);
    }
    mark
}

fn handed(
    marks: &mut BTreeMap<TenantKey, Mark>,
    tenant: TenantKey,
    directory: TenantId,
    id: String,
    updated: String,
) {
    mark(marks, tenant, directory).handed.insert((id, updated));
}

fn through(
    marks: &mut BTreeMap<TenantKey, Mark>,
    tenant: TenantKey,
    directory: TenantId,
    at: Timestamp,
) {
    let mark = mark(marks, tenant, directory);
    mark.through = mark.through.max(Some(at));
    mark.forget();
}

/// Reads the journal; gives back the output of a run that was cut.
fn read(
    file: &File,
    path: &Path,
    subject: &Subject,
    marks: &mut BTreeMap<TenantKey, Mark>,
) -> Result<Option<Output>, CheckpointError> {
    let shown = path.display().to_string();
    let disk = |error| CheckpointError::Disk { path: shown.clone(), error };
    let mut reader = BufReader::new(file);
    reader.seek(SeekFrom::Start(0)).map_err(disk)?;
    let (mut cut, mut number, mut bytes) = (None, 0, Vec::new());
    loop {
        bytes.clear();
        if reader.read_until(b'\n', &mut bytes).map_err(disk)? == 0 {
            break;
        }
        number += 1;
        // The machine went down while the last line was on its way.
        if bytes.last() != Some(&b'\n') && number > 1 {
            break;
        }
        let foreign =
            |why: String| CheckpointError::Foreign { path: shown.clone(), line: number, why };
        let line = serde_json::from_slice(&bytes).map_err(|error| foreign(error.to_string()))?;
        match (number, line) {
            (1, Line::Subject { format_version: FORMAT_VERSION, subject: known }) => {
                if known != *subject {
                    let fleet = known.fleet;
                    return Err(CheckpointError::OtherSubject { path: shown, fleet });
                }
            }
            (1, Line::Subject { format_version, .. }) => {
                return Err(foreign(format!("its format {format_version} is not known here")));
            }
            (1, _) => return Err(foreign("it does not say what it is of".to_owned())),
            (_, Line::Subject { .. }) => return Err(foreign("it begins twice".to_owned())),
            (_, Line::Began { output }) => cut = Some(output),
            (_, Line::Handed { tenant, directory, id, updated }) => {
                handed(marks, tenant, directory, id, updated);
            }
            (_, Line::Through { tenant, directory, at }) => through(marks, tenant, directory, at),
            (_, Line::Ended) => cut = None,
        }
    }
    Ok(cut)
}

/// Writes all that is known into a new file, and puts it in the place of the old one at once.
fn rewrite(
    path: &Path,
    subject: &Subject,
    marks: &BTreeMap<TenantKey, Mark>,
    output: Output,
) -> io::Result<File> {
    let mut all =
        text(&Line::Subject { format_version: FORMAT_VERSION, subject: subject.clone() })?;
    for (tenant, Mark { directory, through, handed }) in marks {
        let (tenant, directory) = (tenant.clone(), *directory);
        if let Some(at) = *through {
            all.extend(text(&Line::Through { tenant: tenant.clone(), directory, at })?);
        }
        for (id, updated) in handed.iter().cloned() {
            let tenant = tenant.clone();
            all.extend(text(&Line::Handed { tenant, directory, id, updated })?);
        }
    }
    all.extend(text(&Line::Began { output })?);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut new = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
    new.write_all(&all)?;
    new.as_file().sync_all()?;
    // Held before anybody else can open it under its name.
    new.as_file().try_lock().map_err(io::Error::other)?;
    Ok(new.persist(path)?)
}
