//! The files of a manifest: `-f`, repeated; a folder; `-` for standard input.

use std::{
    fs, io,
    io::Read as _,
    path::{Path, PathBuf},
};

use super::{LARGEST, Manifest, Mistakes, parse};

/// One `-f`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file, or a folder whose `*.yaml` and `*.yml` are meant (sorted, not those of folders
    /// within it): which of the two shows when it is read.
    Path(PathBuf),
    /// `-`
    Stdin,
}

impl From<PathBuf> for Source {
    fn from(path: PathBuf) -> Self {
        if path == Path::new("-") { Self::Stdin } else { Self::Path(path) }
    }
}

/// Why there is no manifest.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file that cannot be read: not the manifest's mistake.
    #[error("cannot read {}: {error}", path.display())]
    Unreadable {
        /// The file or folder; `-` is standard input.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
        /// What to do about it.
        hint: Option<String>,
    },
    /// The manifest is wrong.
    #[error(transparent)]
    Mistakes(#[from] Mistakes),
}

impl LoadError {
    /// All of it for a terminal of `width` columns.
    pub fn render(&self, colour: bool, width: usize) -> String {
        match self {
            Self::Mistakes(mistakes) => mistakes.render(colour, width),
            Self::Unreadable { hint, .. } => {
                let hint = hint.as_ref().map(|hint| format!("  {hint}\n")).unwrap_or_default();
                format!("error: {self}\n{hint}")
            }
        }
    }
}

/// Reads a manifest from its files.
///
/// # Errors
/// A file that cannot be read, or else everything that is wrong.
pub fn load(sources: &[Source]) -> Result<Manifest, LoadError> {
    let mut files: Vec<(PathBuf, Vec<u8>)> = Vec::new();
    // One byte more than allowed is enough to see that it is too much.
    let mut left = LARGEST as u64 + 1;
    for source in sources {
        for path in files_of(source)? {
            if files.iter().any(|(known, _)| *known == path) {
                continue;
            }
            let bytes = read(&path, source, left).map_err(|error| {
                let hint = (error.kind() == io::ErrorKind::NotFound).then(|| {
                    "`tenantry init` writes one to start from; -f names another file".to_owned()
                });
                LoadError::Unreadable { path: path.clone(), error, hint }
            })?;
            left -= bytes.len() as u64;
            files.push((path, bytes));
        }
    }
    Ok(parse(files)?)
}

fn read(path: &Path, source: &Source, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match source {
        Source::Stdin => io::stdin().lock().take(most).read_to_end(&mut bytes)?,
        Source::Path(_) => fs::File::open(path)?.take(most).read_to_end(&mut bytes)?,
    };
    Ok(bytes)
}

fn files_of(source: &Source) -> Result<Vec<PathBuf>, LoadError> {
    let path = match source {
        Source::Stdin => return Ok(vec![PathBuf::from("-")]),
        Source::Path(path) => path,
    };
    if !path.is_dir() {
        return Ok(vec![path.clone()]);
    }
    let unreadable = |error| LoadError::Unreadable { path: path.clone(), error, hint: None };
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(unreadable)? {
        let file = entry.map_err(unreadable)?.path();
        let hidden = file.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        let yaml = file.extension().is_some_and(|end| end == "yaml" || end == "yml");
        if yaml && !hidden && !file.is_dir() {
            files.push(file);
        }
    }
    if files.is_empty() {
        return Err(LoadError::Unreadable {
            path: path.clone(),
            error: io::Error::new(io::ErrorKind::NotFound, "no *.yaml or *.yml in this folder"),
            hint: Some("folders within it are not searched".to_owned()),
        });
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_its_yaml_files_sorted_and_not_those_below() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b.yaml", "a.yml", ".hidden.yaml", "c.json"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        fs::create_dir(dir.path().join("d.yaml")).unwrap();
        let files = files_of(&Source::Path(dir.path().to_owned())).unwrap();
        assert_eq!(files, [dir.path().join("a.yml"), dir.path().join("b.yaml")]);
    }

    #[test]
    fn what_cannot_be_read_is_not_a_mistake_of_the_manifest() {
        let dir = tempfile::tempdir().unwrap();
        for path in [dir.path().join("none.yaml"), dir.path().to_owned()] {
            let error = load(&[Source::Path(path)]).unwrap_err();
            assert!(matches!(error, LoadError::Unreadable { hint: Some(_), .. }), "{error}");
        }
    }
}
