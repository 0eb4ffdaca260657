//! One writer per fleet: a lock that the system releases when its holder dies.

use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    shard::Shard,
    vault::{disk, error::VaultError},
};

/// Who holds the lock, as a person would look for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Holder {
    /// The process.
    pub pid: u32,
    /// The machine it runs on.
    pub host: String,
    /// What it does: `apply`, `rotate`, …
    pub command: String,
    /// Since when it holds the lock.
    pub since: Timestamp,
}

impl Holder {
    /// This process, from now on.
    pub(super) fn here(command: &str) -> Self {
        Self {
            pid: std::process::id(),
            host: host(),
            command: command.to_owned(),
            since: Timestamp::now(),
        }
    }
}

/// The lock, held until this is dropped or the process ends in whatever way.
pub(super) struct Held {
    /// Closing them releases the lock.
    _files: Vec<File>,
    note: PathBuf,
}

impl Drop for Held {
    fn drop(&mut self) {
        // Only a courtesy to those who look; the lock itself goes with the file's closing.
        let _ = fs::remove_file(&self.note);
    }
}

// The lock's file is never removed: a second process might lock the old one while a third makes a
// new one. Who holds it stands in a second file, readable while the first is locked on any system.
fn lock_file(folder: &Path) -> PathBuf {
    folder.join(".lock")
}

/// The lock of one shard, beside the whole one, which all shards share.
fn shard_file(folder: &Path, shard: Shard) -> PathBuf {
    folder.join(format!(".lock-{}-of-{}", shard.index(), shard.of()))
}

/// The shard of such a file.
fn shard_of(name: &str) -> Option<Shard> {
    let (index, of) = name.strip_prefix(".lock-")?.split_once("-of-")?;
    format!("{index}/{of}").parse().ok()
}

fn note_file(folder: &Path, shard: Option<Shard>) -> PathBuf {
    folder.join(match shard {
        None => ".lock-holder.json".to_owned(),
        Some(shard) => format!(".lock-holder-{}-of-{}.json", shard.index(), shard.of()),
    })
}

fn open(path: &Path) -> Result<File, VaultError> {
    disk::open_or_make(path).map_err(VaultError::disk("open the lock", path))
}

/// Whether a lock could be taken.
fn taken(path: &Path, tried: Result<(), TryLockError>) -> Result<bool, VaultError> {
    match tried {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(VaultError::disk("lock", path)(error)),
    }
}

/// Takes the lock if nobody holds it, and clears away what a killed holder left half-written. Shards
/// of one cut hold it together, each its own part; whoever writes the whole fleet, or cuts it
/// otherwise, holds it alone.
pub(super) fn try_lock(
    folder: &Path,
    command: &str,
    shard: Option<Shard>,
) -> Result<Option<Held>, VaultError> {
    let path = lock_file(folder);
    let whole = open(&path)?;
    let clear = || disk::sweep(folder).map_err(VaultError::disk("clear left-overs from", folder));
    let files = match shard {
        None => {
            if !taken(&path, whole.try_lock())? {
                return Ok(None);
            }
            clear()?;
            vec![whole]
        }
        Some(shard) => {
            // One shard at a time looks around: two that came together would each see nobody.
            let gate_path = folder.join(".lock-shards");
            let gate = open(&gate_path)?;
            gate.lock().map_err(VaultError::disk("lock", &gate_path))?;
            // What is half-written may be another shard's, unless nobody else is here.
            if taken(&path, whole.try_lock())? {
                clear()?;
            }
            if !taken(&path, whole.try_lock_shared())? {
                return Ok(None);
            }
            let listed = fs::read_dir(folder).map_err(VaultError::disk("read", folder))?;
            for name in listed.filter_map(|entry| entry.ok()?.file_name().into_string().ok()) {
                if shard_of(&name).is_some_and(|other| other.of() != shard.of()) {
                    let path = folder.join(name);
                    if !taken(&path, open(&path)?.try_lock_shared())? {
                        return Ok(None);
                    }
                }
            }
            let path = shard_file(folder, shard);
            let own = open(&path)?;
            if !taken(&path, own.try_lock())? {
                return Ok(None);
            }
            vec![whole, own]
        }
    };
    let held = Held { _files: files, note: note_file(folder, shard) };
    let note =
        serde_json::to_vec(&Holder::here(command)).expect("a holder is plain text and numbers");
    disk::prepare(folder, &note)
        .and_then(|prepared| prepared.put_unseen(&held.note))
        .map_err(VaultError::disk("write", &held.note))?;
    Ok(Some(held))
}

/// Who holds the lock, if somebody does and has said so.
pub(super) fn holder(folder: &Path) -> Option<Holder> {
    // Without a lock's file nobody holds one, and looking must not make it.
    let file = File::open(lock_file(folder)).ok()?;
    // Shards hold it together, so that sharing it would tell nothing.
    match file.try_lock() {
        Ok(()) => None,
        Err(_) => told(folder),
    }
}

/// What the last holder said of itself; the present one, or one of them, while the lock is held.
pub(super) fn told(folder: &Path) -> Option<Holder> {
    let names =
        fs::read_dir(folder).ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut notes: Vec<String> =
        names.filter(|n| n.starts_with(".lock-holder") && n.ends_with(".json")).collect();
    notes.sort();
    notes.iter().find_map(|name| serde_json::from_slice(&fs::read(folder.join(name)).ok()?).ok())
}

/// This machine's name: two machines may share a folder.
fn host() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .or_else(|| std::env::var("HOSTNAME").ok())
        .or_else(|| std::env::var("COMPUTERNAME").ok())
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "this machine".to_owned())
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead as _, BufReader},
        process::{Command, Stdio},
    };

    use super::*;

    #[test]
    fn a_second_holder_waits_and_learns_who_is_first() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(holder(folder.path()), None);
        let first = try_lock(folder.path(), "apply", None).unwrap().expect("nobody holds it");
        assert!(try_lock(folder.path(), "rotate", None).unwrap().is_none());
        let seen = holder(folder.path()).expect("somebody holds it");
        assert_eq!((seen.pid, seen.command.as_str()), (std::process::id(), "apply"));
        drop(first);
        assert_eq!(holder(folder.path()), None);
        assert!(try_lock(folder.path(), "rotate", None).unwrap().is_some());
    }

    #[test]
    fn shards_of_one_cut_write_side_by_side_and_nobody_else_with_them() {
        let folder = tempfile::tempdir().unwrap();
        let take = |shard: Option<&str>| {
            let shard = shard.map(|shard| shard.parse().unwrap());
            try_lock(folder.path(), "apply", shard).unwrap()
        };
        let half_written = folder.path().join(".new-left.tmp");
        fs::write(&half_written, "half").unwrap();
        let first = take(Some("1/2")).expect("nobody is here");
        assert!(!half_written.exists());
        // From now on it is somebody's.
        fs::write(&half_written, "half").unwrap();
        let second = take(Some("2/2")).expect("another part");
        assert!(half_written.exists());
        assert!(take(Some("1/2")).is_none(), "the same part");
        assert!(take(Some("1/3")).is_none() && take(Some("3/3")).is_none(), "another cut");
        assert!(take(None).is_none(), "the whole");
        assert!(holder(folder.path()).is_some());
        drop(first);
        assert!(take(None).is_none() && take(Some("2/3")).is_none(), "one part is still written");
        let again = take(Some("1/2")).expect("it was let go");
        drop((again, second));
        assert_eq!(holder(folder.path()), None);
        let whole = take(None).expect("nobody is here");
        assert!(take(Some("1/2")).is_none());
        drop(whole);
        assert!(take(Some("1/3")).is_some());
    }

    /// Not a test of its own: the child of the next one, which holds the lock until it is killed.
    #[test]
    #[ignore = "run by a_killed_holder_leaves_no_lock"]
    fn child_that_holds_the_lock() {
        let Some(folder) = std::env::var_os("TENANTRY_TEST_LOCK_FOLDER") else { return };
        let folder = Path::new(&folder);
        let _held = try_lock(folder, "child", None).unwrap().expect("nobody holds it");
        fs::write(folder.join(".new-left.tmp"), "half").unwrap();
        println!("\nheld");
        std::thread::sleep(std::time::Duration::from_secs(60));
    }

    #[test]
    fn a_killed_holder_leaves_no_lock() {
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "vault::lock::tests::child_that_holds_the_lock"])
            .args(["--ignored", "--nocapture"])
            .env("TENANTRY_TEST_LOCK_FOLDER", folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        assert!(output.lines().any(|line| line.unwrap() == "held"));

        assert!(try_lock(folder.path(), "second", None).unwrap().is_none());
        let seen = holder(folder.path()).expect("the child holds it");
        assert_eq!((seen.pid, seen.command.as_str()), (child.id(), "child"));

        child.kill().unwrap();
        child.wait().unwrap();
        let _held =
            try_lock(folder.path(), "second", None).unwrap().expect("the system released it");
        assert_eq!(holder(folder.path()).unwrap().pid, std::process::id());
        assert!(!folder.path().join(".new-left.tmp").exists());
    }
}
