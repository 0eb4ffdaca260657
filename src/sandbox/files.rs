//! The files of a sandbox's folder, and the lock that keeps two sandboxes out of one.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// Writes a file that only its owner may read; replaces it in one step.
pub(super) fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace(path, bytes, Readers::Owner)
}

/// Writes a file that all may read; replaces it in one step.
pub(super) fn write_public(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace(path, bytes, Readers::All)
}

#[derive(Clone, Copy)]
enum Readers {
    Owner,
    All,
}

fn replace(path: &Path, bytes: &[u8], readers: Readers) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    match fs::remove_file(&beside) {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(e),
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(match readers {
            Readers::Owner => 0o600,
            Readers::All => 0o644,
        });
    }
    #[cfg(not(unix))]
    let _ = readers;
    let mut file = options.open(&beside)?;
    file.write_all(bytes)?;
    file.sync_data()?;
    drop(file);
    fs::rename(&beside, path)
}

/// Opens a file for appending; only its owner may read it.
pub(super) fn append(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options.open(path)
}

/// The lock of a folder: the system releases it when its holder dies.
#[derive(Debug)]
pub(super) struct DirLock {
    _file: File,
}

/// Takes the folder's lock; nothing when another sandbox holds it.
pub(super) fn lock(dir: &Path) -> io::Result<Option<DirLock>> {
    let file = append(&dir.join("lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(DirLock { _file: file })),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(e)) => Err(e),
    }
}

/// The `env` file: what a shell must export so that other people's clients reach the sandbox.
pub(super) fn env_file(tenant: &str, client: &str, secret: &str, ca: &Path) -> String {
    format!(
        "export AZURE_TENANT_ID={tenant}\n\
         export AZURE_CLIENT_ID={client}\n\
         export AZURE_CLIENT_SECRET='{secret}'\n\
         export SSL_CERT_FILE='{}'\n",
        ca.display().to_string().replace('\'', "'\\''")
    )
}

/// The client id and secret that an `env` file holds.
pub(super) fn read_env(text: &str) -> Option<(String, String)> {
    let value = |name: &str| {
        text.lines()
            .filter_map(|l| l.strip_prefix("export "))
            .filter_map(|l| l.split_once('='))
            .find(|(n, _)| *n == name)
            .map(|(_, v)| v.trim_matches('\'').to_owned())
    };
    Some((value("AZURE_CLIENT_ID")?, value("AZURE_CLIENT_SECRET")?))
}

/// The `cloud.yaml` file, for `--cloud`. What people open lies behind plain http: their browsers
/// do not know the CA.
pub(super) fn cloud_yaml(base: &str, pages: &str) -> String {
    format!(
        "# The sandbox's endpoints, for --cloud.\n\
         login: {base}\ngraph: {base}\ndefender: {base}\nportal: {pages}\nvault: {base}/keyvault/\n\
         pages: {pages}\nsandbox: true\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_env_file_is_read_back() {
        let text = env_file("t", "c", "s~1", Path::new("/a b/ca.pem"));
        assert_eq!(read_env(&text), Some(("c".to_owned(), "s~1".to_owned())));
        assert_eq!(read_env("nothing"), None);
    }

    #[test]
    fn a_second_lock_is_refused_until_the_first_goes() {
        let dir = tempfile::tempdir().unwrap();
        let first = lock(dir.path()).unwrap();
        assert!(first.is_some());
        assert!(lock(dir.path()).unwrap().is_none());
        drop(first);
        assert!(lock(dir.path()).unwrap().is_some());
    }

    #[cfg(unix)]
    #[test]
    fn private_files_are_private_even_when_they_replace_public_ones() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("env");
        write_public(&path, b"x").unwrap();
        write_private(&path, b"y").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read(&path).unwrap(), b"y");
    }
}
