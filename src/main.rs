//! Parses, runs, says how it ended; the only exit.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    ExitCode::from(tenantry::cli::main(std::env::args_os()).await.code())
}
