//! The binary.

use clap::{Parser, Subcommand};
use tenantry::cli::sandbox;

/// Onboards customer tenants to Microsoft Defender.
#[derive(Debug, Parser)]
#[command(name = "tenantry", version)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Sandbox(sandbox::SandboxArgs),
}

#[tokio::main]
async fn main() -> std::process::ExitCode {
    let Cli { verb: Verb::Sandbox(args) } = Cli::parse();
    match sandbox::run(args, None).await {
        Ok(verdict) => verdict.code().into(),
        Err(trouble) => {
            anstream::eprint!("{}", trouble.render(100));
            trouble.verdict.code().into()
        }
    }
}
