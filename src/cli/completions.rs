//! `tenantry completions`

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::Cli;
use crate::{report::error::Trouble, verdict::Verdict};

/// Print completions for a shell, to be sourced from its start-up file
#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// Which shell
    shell: Shell,
}

pub(super) fn run(args: &CompletionsArgs) -> Result<Verdict, Trouble> {
    clap_complete::generate(args.shell, &mut Cli::command(), "tenantry", &mut std::io::stdout());
    Ok(Verdict::Done)
}
