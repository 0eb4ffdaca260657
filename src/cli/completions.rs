//! `tenantry completions`

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, output};
use crate::{report::error::Trouble, verdict::Verdict};

/// Print completions for a shell, to be sourced from its start-up file
#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// Which shell
    shell: Shell,
}

pub(super) fn run(args: &CompletionsArgs) -> Result<Verdict, Trouble> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "tenantry", &mut script);
    // Not straight to standard output: the generator panics where a reader has gone away.
    output::print_raw(&String::from_utf8_lossy(&script));
    Ok(Verdict::Done)
}
