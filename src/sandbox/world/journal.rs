//! The world on disk: a snapshot and, after it, a journal of what changed since.
//!
//! A change is in the journal before its answer goes out, so a killed sandbox loses nothing that
//! it answered. Written to the system, not synced to the disk: a sandbox survives its own death,
//! not the machine's.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::{World, form::Loaded};
use crate::sandbox::files;

/// The open journal of a folder.
#[derive(Debug)]
pub(in crate::sandbox) struct Journal {
    snapshot: PathBuf,
    path: PathBuf,
    file: File,
}

impl Journal {
    fn paths(dir: &Path) -> (PathBuf, PathBuf) {
        (dir.join("world.json"), dir.join("world.journal"))
    }

    /// The world that a folder keeps; nothing where it keeps none.
    ///
    /// # Errors
    /// When files cannot be read, or hold no world.
    pub(in crate::sandbox) fn read(dir: &Path) -> io::Result<Option<(World, Loaded)>> {
        let (snapshot, path) = Self::paths(dir);
        if !snapshot.exists() {
            return Ok(None);
        }
        let broken = |file: &Path, why: String| {
            io::Error::new(io::ErrorKind::InvalidData, format!("{}: {why}", file.display()))
        };
        let value: Value = serde_json::from_slice(&fs::read(&snapshot)?)
            .map_err(|e| broken(&snapshot, e.to_string()))?;
        let (mut world, loaded) = World::from_json(&value).map_err(|e| broken(&snapshot, e))?;
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => String::new(),
            Err(e) => return Err(e),
        };
        // A last line without its end was being written when the sandbox died: nobody was told
        // that it happened.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        for line in whole.lines() {
            let entry: Value =
                serde_json::from_str(line).map_err(|e| broken(&path, e.to_string()))?;
            world.replay(&entry).map_err(|e| broken(&path, e))?;
        }
        Ok(Some((world, loaded)))
    }

    /// Writes a fresh snapshot and begins an empty journal.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub(in crate::sandbox) fn begin(dir: &Path, world: &World) -> io::Result<Self> {
        let (snapshot, path) = Self::paths(dir);
        files::write_private(&snapshot, world.to_json().to_string().as_bytes())?;
        let file = files::append(&path)?;
        file.set_len(0)?;
        Ok(Self { snapshot, path, file })
    }

    /// Appends one entry.
    ///
    /// # Errors
    /// When the disk refuses it.
    pub(in crate::sandbox) fn append(&mut self, entry: &Value) -> io::Result<()> {
        let mut line = entry.to_string();
        line.push('\n');
        self.file.write_all(line.as_bytes())
    }

    /// Makes the snapshot whole again and empties the journal.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub(in crate::sandbox) fn compact(&mut self, world: &World) -> io::Result<()> {
        // Entries that are in the snapshot already do no harm when replayed: each says what an
        // object is, not what was done to it.
        files::write_private(&self.snapshot, world.to_json().to_string().as_bytes())?;
        self.file = files::append(&self.path)?;
        self.file.set_len(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::world::seed;

    #[test]
    fn a_torn_last_line_is_forgotten_and_the_rest_kept() {
        let dir = tempfile::tempdir().unwrap();
        let (mut world, _) = World::from_json(&seed::built_in()).unwrap();
        let mut journal = Journal::begin(dir.path(), &world).unwrap();
        world.ensure_operator();
        journal.append(&world.take_changes().unwrap()).unwrap();
        let kept = world.to_json();
        world.advance("P1D").unwrap();
        let line = world.take_changes().unwrap().to_string();
        journal.file.write_all(&line.as_bytes()[..line.len() / 2]).unwrap();
        drop(journal);
        let (again, _) = Journal::read(dir.path()).unwrap().unwrap();
        assert_eq!(again.to_json(), kept);

        let mut journal = Journal::begin(dir.path(), &again).unwrap();
        journal.compact(&world).unwrap();
        let (again, _) = Journal::read(dir.path()).unwrap().unwrap();
        assert_eq!(again.to_json(), world.to_json());
    }
}
