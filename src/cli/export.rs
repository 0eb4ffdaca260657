//! `tenantry export`

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{
    Common,
    context::{no_manifest, sources},
    output,
};
use crate::{
    ids::TenantKey,
    manifest::{self, DirectoryName},
    report::{error::Trouble, file, pages, paper::clean},
    verdict::Verdict,
};

/// Write a file for others to use: the page that administrators land on after consenting
///
/// Contacts nobody. Put the page where consent.redirectUri points to, as a static file; one page
/// serves every customer.
#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    /// The tenants that it is for
    #[arg(value_name = "KEY", required = true)]
    keys: Vec<TenantKey>,
    /// What to write
    #[arg(long, value_name = "WHAT")]
    format: Format,
    /// Where to, instead of standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// What can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// The static page at consent.redirectUri
    ConsentPage,
}

pub(super) fn run(args: ExportArgs, common: &Common) -> Result<Verdict, Trouble> {
    let ExportArgs { keys, format, out } = args;
    let manifest = manifest::load(&sources(common)).map_err(|e| no_manifest(common, &e))?;
    if let Some(key) = keys.iter().find(|key| !manifest.tenants.contains_key(*key)) {
        return Err(Trouble::new(
            Verdict::Usage,
            format!("no tenant of the manifest answers to {key}"),
        )
        .next("the keys are those under `tenants` in the manifest"));
    }
    let text = match format {
        Format::ConsentPage => pages::landing(provider(&manifest.home.tenant)),
    };
    let Some(path) = out else {
        output::print(&text);
        return Ok(Verdict::Done);
    };
    file::save(&path, &text).map_err(|error| {
        Trouble::new(Verdict::Failed, format!("the page {} was not written", path.display()))
            .why(error.to_string())
    })?;
    output::print(&format!("wrote {}\n", clean(&path.to_string_lossy())));
    Ok(Verdict::Done)
}

/// The provider as customers know it: its domain. A directory's id would tell them nothing.
fn provider(home: &DirectoryName) -> Option<&str> {
    match home {
        DirectoryName::Domain(domain) => Some(domain.as_str()),
        DirectoryName::Id(_) => None,
    }
}
