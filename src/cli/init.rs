//! `tenantry init`

use std::{
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
};

use crate::{
    ids::FleetName,
    manifest::{json_schema, of_customers, starter},
};

/// Write a commented manifest to start from.
///
/// It is valid as it stands: `tenantry validate` checks it offline, and
/// `tenantry apply --sandbox` does the whole job with it in a box. An existing file is never
/// overwritten.
#[derive(Debug, clap::Args)]
pub(super) struct InitArgs {
    /// The file to write
    #[arg(value_name = "FILE", default_value = "tenantry.yaml")]
    pub(super) path: PathBuf,
    /// Print it instead of writing a file
    #[arg(long, conflicts_with_all = ["path", "schema"])]
    pub(super) stdout: bool,
    /// Also write tenantry.schema.json beside it, so that editors complete and check it
    #[arg(long)]
    pub(super) schema: bool,
    /// The name of your set of customers: a-z, 0-9 and hyphens; it cannot change later
    #[arg(long, value_name = "NAME", default_value = "my-soc")]
    pub(super) fleet: String,
    /// Fill it from a list of customers: CSV with titles such as name, domain, tenant id, label:region
    #[arg(long, value_name = "CUSTOMERS.csv")]
    pub(super) from: Option<PathBuf>,
    /// Fill it from your contracts: sign in, and read who granted you delegated admin rights
    #[arg(long, conflicts_with = "from")]
    pub(super) from_contracts: bool,
    /// Your own directory: its GUID or one of its domains. Left out, the file has my-soc.example, and
    /// --from-contracts takes AZURE_TENANT_ID
    #[arg(long, value_name = "DIRECTORY")]
    pub(super) home: Option<String>,
}

/// The directory in a manifest where nobody names one.
const EXAMPLE_HOME: &str = "my-soc.example";

/// What `init` did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Started {
    /// The manifest, for stdout.
    Printed(String),
    /// The files it wrote, the manifest first.
    Written(Vec<PathBuf>),
}

/// What a list of customers came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Taken {
    /// How many customers; none where there was no list.
    pub(super) customers: Option<usize>,
    /// Columns that stand for nothing in a manifest.
    pub(super) unused: Vec<String>,
}

/// Why `init` did nothing, or not all.
#[derive(Debug, thiserror::Error)]
pub(super) enum InitError {
    /// `--fleet` or `--home` cannot be used: wrong usage.
    #[error("{0}")]
    Usage(String),
    /// The list of customers cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The list of customers is wrong, in these lines.
    #[error("{}", .0.join("\n"))]
    List(Vec<String>),
    /// The file is there already.
    #[error("{} exists already and is left as it is; name another file, or print with --stdout", .0.display())]
    Exists(PathBuf),
    /// The system refused.
    #[error("cannot write {}: {error}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
}

/// Writes or prints the manifest, without asking anybody.
///
/// # Errors
/// A name that cannot be used, a file that exists, or one that cannot be written.
pub(super) fn run(args: &InitArgs) -> Result<(Started, Taken), InitError> {
    let fleet = fleet(args)?;
    let home = args.home.as_deref().unwrap_or(EXAMPLE_HOME);
    let text =
        starter(&fleet, home).map_err(|error| InitError::Usage(format!("--home: {error}")))?;
    let (text, taken) = match &args.from {
        None => (text, Taken::default()),
        Some(list) => {
            let csv =
                fs::read(list).map_err(|error| InitError::Read { path: list.clone(), error })?;
            let listed = of_customers(&fleet, home, list, &csv).map_err(InitError::List)?;
            (listed.text, Taken { customers: Some(listed.customers), unused: listed.unused })
        }
    };
    Ok((put(args, text)?, taken))
}

/// The fleet's name.
///
/// # Errors
/// One that cannot be used.
pub(super) fn fleet(args: &InitArgs) -> Result<FleetName, InitError> {
    args.fleet.parse().map_err(|error| InitError::Usage(format!("--fleet: {error}")))
}

/// The files that are to be written, the manifest first; none where it is printed.
fn files(args: &InitArgs) -> Vec<PathBuf> {
    let schema = args.schema.then(|| args.path.with_file_name("tenantry.schema.json"));
    if args.stdout {
        Vec::new()
    } else {
        std::iter::once(args.path.clone()).chain(schema).collect()
    }
}

/// Looks whether everything can be written: nothing is unless all can be.
///
/// # Errors
/// A file that is there.
pub(super) fn nothing_in_the_way(args: &InitArgs) -> Result<(), InitError> {
    match files(args).into_iter().find(|path| path.exists()) {
        Some(path) => Err(InitError::Exists(path)),
        None => Ok(()),
    }
}

/// Writes or prints this manifest.
///
/// # Errors
/// A file that exists, or one that cannot be written.
pub(super) fn put(args: &InitArgs, text: String) -> Result<Started, InitError> {
    if args.stdout {
        return Ok(Started::Printed(text));
    }
    nothing_in_the_way(args)?;
    let files = files(args);
    let texts = [text, format!("{:#}\n", json_schema())];
    for (path, text) in files.iter().zip(&texts) {
        write_new(path, text)?;
    }
    Ok(Started::Written(files))
}

fn write_new(path: &Path, text: &str) -> Result<(), InitError> {
    let file = fs::OpenOptions::new().write(true).create_new(true).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => InitError::Exists(path.to_owned()),
        _ => InitError::Write { path: path.to_owned(), error },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(path: PathBuf) -> InitArgs {
        let fleet = "my-soc".to_owned();
        let (home, from, from_contracts) = (None, None, false);
        InitArgs { path, stdout: false, schema: true, fleet, home, from, from_contracts }
    }

    #[test]
    fn it_writes_once_and_never_overwrites() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tenantry.yaml");
        let schema = dir.path().join("tenantry.schema.json");
        assert_eq!(
            run(&args(path.clone())).unwrap().0,
            Started::Written(vec![path.clone(), schema.clone()])
        );
        fs::write(&path, "mine").unwrap();
        assert!(matches!(run(&args(path.clone())), Err(InitError::Exists(p)) if p == path));
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");

        // The schema is in the way: the manifest is not written either.
        fs::remove_file(&path).unwrap();
        assert!(matches!(run(&args(path.clone())), Err(InitError::Exists(p)) if p == schema));
        assert!(!path.exists());
    }

    #[test]
    fn names_that_cannot_be_used_are_wrong_usage() {
        let dir = tempfile::tempdir().unwrap();
        for (fleet, home) in [("My SOC", "a.example"), ("soc", "a b")] {
            let (fleet, home) = (fleet.to_owned(), Some(home.to_owned()));
            let args = InitArgs { fleet, home, ..args(dir.path().join("t.yaml")) };
            assert!(matches!(run(&args), Err(InitError::Usage(_))));
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
