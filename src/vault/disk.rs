//! Files that are whole or not there: written beside, synced, renamed, and the folder synced.
//!
//! Everything here blocks; the vault calls it on threads that may.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write as _},
    path::Path,
};

use tempfile::NamedTempFile;

/// How the temporary files of a writer begin and end; what a killed writer left is known by it.
const TEMPORARY: (&str, &str) = (".new-", ".tmp");

/// A whole file beside its place, not yet under its name.
pub(super) struct Prepared {
    file: NamedTempFile,
}

/// Writes a whole file (0600) into `folder`, without a name yet and not yet synced.
pub(super) fn prepare(folder: &Path, content: &[u8]) -> io::Result<Prepared> {
    let mut file =
        tempfile::Builder::new().prefix(TEMPORARY.0).suffix(TEMPORARY.1).tempfile_in(folder)?;
    file.write_all(content)?;
    Ok(Prepared { file })
}

impl Prepared {
    /// Brings the content to the disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.as_file().sync_all()
    }

    /// Puts it under its name, in place of what was there. The folder is not synced yet.
    pub(super) fn put(self, path: &Path) -> io::Result<()> {
        cut_here();
        self.file.persist(path).map_err(|error| error.error)?;
        cut_here();
        Ok(())
    }

    /// The same for a note that may be lost: no cut is tried there.
    pub(super) fn put_unseen(self, path: &Path) -> io::Result<()> {
        self.file.persist(path).map_err(|error| error.error)?;
        Ok(())
    }

    /// Puts it under its name unless something is there.
    pub(super) fn put_new(self, path: &Path) -> io::Result<()> {
        self.file.persist_noclobber(path).map_err(|error| error.error)?;
        Ok(())
    }
}

/// Makes a file that must not be there yet, as a whole.
pub(super) fn create(folder: &Path, path: &Path, content: &[u8]) -> io::Result<()> {
    let prepared = prepare(folder, content)?;
    prepared.sync()?;
    prepared.put_new(path)?;
    sync_folder(folder)
}

/// Removes a file for good; one that is not there is gone already.
pub(super) fn remove(folder: &Path, path: &Path) -> io::Result<()> {
    cut_here();
    match fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    sync_folder(folder)?;
    cut_here();
    Ok(())
}

/// Appends whole lines and syncs them.
pub(super) fn append(path: &Path, lines: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true);
    private(&mut options);
    let mut file = options.open(path)?;
    // Appended by several processes: each waits for its turn, which is short.
    file.lock()?;
    let torn = !ends_in_newline(&file)?;
    cut_here();
    if torn {
        // A writer was killed in the middle of its line: ours starts on a line of its own.
        file.write_all(b"\n")?;
    }
    file.write_all(lines.as_bytes())?;
    file.sync_data()?;
    cut_here();
    Ok(())
}

fn ends_in_newline(mut file: &File) -> io::Result<bool> {
    use std::io::{Read as _, Seek as _, SeekFrom};
    if file.metadata()?.len() == 0 {
        return Ok(true);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

/// Opens a file that stays there for good (a lock), making it (0600) where it is not.
pub(super) fn open_or_make(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    private(&mut options);
    options.open(path)
}

/// Makes a folder (0700) and those above it. One that is there and empty is made private too; one
/// that holds something keeps its rights, for it is not ours alone.
pub(super) fn make_folder(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)?;
    #[cfg(unix)]
    if fs::read_dir(path)?.next().is_none() {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

/// Makes renames in a folder last.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    // Only Unix opens a folder to sync it; elsewhere renames are the file system's own affair.
    #[cfg(unix)]
    File::open(folder)?.sync_all()?;
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
}

/// Removes what killed writers left. Only for the holder of the lock: nobody else is writing then.
pub(super) fn sweep(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(TEMPORARY.0) && name.ends_with(TEMPORARY.1) {
            match fs::remove_file(entry.path()) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
    }
    Ok(())
}

/// Whether others than the owner may read or write it (Unix only; elsewhere rights are inherited).
pub(super) fn open_to_others(path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::metadata(path).is_ok_and(|about| about.permissions().mode() & 0o077 != 0)
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        false
    }
}

fn private(options: &mut OpenOptions) {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    #[cfg(not(unix))]
    let _ = options;
}

/// Where the law "cut anywhere" cuts: in builds for tests, the process dies at the k-th of these
/// points, `k` given by `TENANTRY_DIE_AT_VAULT_WRITE`, without unwinding, as by SIGKILL. A release
/// build has none of it.
fn cut_here() {
    #[cfg(debug_assertions)]
    {
        use std::sync::{
            LazyLock,
            atomic::{AtomicU64, Ordering},
        };
        static AT: LazyLock<Option<u64>> =
            LazyLock::new(|| std::env::var("TENANTRY_DIE_AT_VAULT_WRITE").ok()?.parse().ok());
        static PASSED: AtomicU64 = AtomicU64::new(0);
        if let Some(at) = *AT
            && PASSED.fetch_add(1, Ordering::SeqCst) + 1 == at
        {
            std::process::abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    fn mode(path: &Path) -> u32 {
        use std::os::unix::fs::PermissionsExt as _;
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn replace(folder: &Path, path: &Path, content: &[u8]) -> io::Result<()> {
        let prepared = prepare(folder, content)?;
        prepared.sync()?;
        prepared.put(path)
    }

    #[cfg(unix)]
    #[test]
    fn files_and_folders_are_the_owners_alone() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("a/b");
        make_folder(&folder).unwrap();
        replace(&folder, &folder.join("replaced"), b"x").unwrap();
        create(&folder, &folder.join("created"), b"x").unwrap();
        append(&folder.join("appended"), "x\n").unwrap();
        open_or_make(&folder.join("made")).unwrap();
        assert_eq!(mode(&root.path().join("a")), 0o700);
        assert_eq!(mode(&folder), 0o700);
        for file in ["replaced", "created", "appended", "made"] {
            assert_eq!(mode(&folder.join(file)), 0o600, "{file}");
            assert!(!open_to_others(&folder.join(file)));
        }
    }

    #[test]
    fn create_leaves_what_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        create(folder.path(), &path, b"first").unwrap();
        let error = create(folder.path(), &path, b"second").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"first");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_killed_writer_leaves_the_old_content_and_what_it_left_is_swept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let new = b"new content";
        replace(folder.path(), &path, b"old").unwrap();
        for written in 0..=new.len() {
            // A process that dies runs no destructor: the file beside stays.
            let left = prepare(folder.path(), &new[..written]).unwrap();
            left.file.keep().unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"old");
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2 + new.len());
        sweep(folder.path()).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert_eq!(fs::read(&path).unwrap(), b"old");
    }

    #[test]
    fn a_torn_line_does_not_swallow_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        fs::write(&path, "whole\ntor").unwrap();
        append(&path, "next\n").unwrap();
        append(&path, "last\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "whole\ntor\nnext\nlast\n");
    }
}
