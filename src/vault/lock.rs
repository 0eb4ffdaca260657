//! One writer per fleet: a lock that the system releases when its holder dies.

use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::vault::{disk, error::VaultError};

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
    /// Closing it releases the lock.
    _file: File,
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

fn note_file(folder: &Path) -> PathBuf {
    folder.join(".lock-holder.json")
}

/// Takes the lock if nobody holds it, and clears away what a killed holder left half-written.
pub(super) fn try_lock(folder: &Path, command: &str) -> Result<Option<Held>, VaultError> {
    let path = lock_file(folder);
    let file = disk::open_or_make(&path).map_err(VaultError::disk("open the lock", &path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(VaultError::disk("lock", &path)(error)),
    }
    let held = Held { _file: file, note: note_file(folder) };
    disk::sweep(folder).map_err(VaultError::disk("clear left-overs from", folder))?;
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
    match file.try_lock_shared() {
        Ok(()) => None,
        Err(_) => told(folder),
    }
}

/// What the last holder said of itself; the present one while the lock is held.
pub(super) fn told(folder: &Path) -> Option<Holder> {
    serde_json::from_slice(&fs::read(note_file(folder)).ok()?).ok()
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
        let first = try_lock(folder.path(), "apply").unwrap().expect("nobody holds it");
        assert!(try_lock(folder.path(), "rotate").unwrap().is_none());
        let seen = holder(folder.path()).expect("somebody holds it");
        assert_eq!((seen.pid, seen.command.as_str()), (std::process::id(), "apply"));
        drop(first);
        assert_eq!(holder(folder.path()), None);
        assert!(try_lock(folder.path(), "rotate").unwrap().is_some());
    }

    /// Not a test of its own: the child of the next one, which holds the lock until it is killed.
    #[test]
    #[ignore = "run by a_killed_holder_leaves_no_lock"]
    fn child_that_holds_the_lock() {
        let Some(folder) = std::env::var_os("TENANTRY_TEST_LOCK_FOLDER") else { return };
        let folder = Path::new(&folder);
        let _held = try_lock(folder, "child").unwrap().expect("nobody holds it");
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

        assert!(try_lock(folder.path(), "second").unwrap().is_none());
        let seen = holder(folder.path()).expect("the child holds it");
        assert_eq!((seen.pid, seen.command.as_str()), (child.id(), "child"));

        child.kill().unwrap();
        child.wait().unwrap();
        let _held = try_lock(folder.path(), "second").unwrap().expect("the system released it");
        assert_eq!(holder(folder.path()).unwrap().pid, std::process::id());
        assert!(!folder.path().join(".new-left.tmp").exists());
    }
}
