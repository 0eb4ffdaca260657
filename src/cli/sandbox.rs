//! `tenantry sandbox`: Microsoft in a box, as a server for any client.

use std::{
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use serde_json::Value;

use super::output;
use crate::{
    report::error::Trouble,
    sandbox::{Options, Sandbox, StartError, Throttling},
    stop::Stop,
    verdict::Verdict,
};

/// Serve Microsoft Graph, Entra ID, Defender and Key Vault on this machine, until stopped
///
/// Everything is real https on 127.0.0.1, with a certificate authority of its own: nothing leaves
/// the machine and no account is needed. The folder gets ca.pem, env (shell exports for other
/// people's clients), cloud.yaml (for --cloud) and requests.jsonl (one line a request), and keeps
/// the world, so that the next start goes on where this one ended. /_sandbox/ on the same address
/// shows and changes the world, scripts faults and moves the clock.
///
///   tenantry sandbox --port 8443 --dir .sandbox &
///   . .sandbox/env
///   tenantry plan --cloud .sandbox/cloud.yaml
#[derive(Debug, Args)]
#[command(verbatim_doc_comment, args_conflicts_with_subcommands = true)]
pub(super) struct SandboxArgs {
    #[command(subcommand)]
    pub(super) command: Option<SandboxCommand>,
    /// The port on 127.0.0.1; 0 takes any
    #[arg(long, value_name = "PORT", default_value_t = 8443)]
    pub(super) port: u16,
    /// The folder that keeps the world and tells clients how to connect
    #[arg(long, value_name = "DIR", default_value = ".sandbox")]
    pub(super) dir: PathBuf,
    /// How long every request takes at least, such as 50ms
    #[arg(long, value_name = "TIME", value_parser = crate::sandbox::wait, default_value = "0ms")]
    pub(super) latency: Duration,
    /// Hold clients to Microsoft's limits
    #[arg(long)]
    pub(super) throttle: bool,
    /// How long new objects and secrets stay unseen, such as 5s
    #[arg(long, value_name = "TIME", value_parser = crate::sandbox::wait, default_value = "0ms")]
    pub(super) lag: Duration,
    /// Misbehaviour to begin with: a JSON list as POST /_sandbox/faults takes it
    #[arg(long, value_name = "FILE")]
    pub(super) faults: Option<PathBuf>,
}

/// What can be done with a sandbox besides serving it.
#[derive(Debug, Clone, Copy, clap::Subcommand)]
pub(super) enum SandboxCommand {
    /// Start afresh: forget the world, the vault and the key that `--sandbox` keeps beside the manifest
    Reset,
}

/// Forgets what `--sandbox` keeps in this folder.
///
/// # Errors
/// Another command uses it, or the disk refuses.
pub(super) fn reset(folder: &Path) -> Result<Verdict, Trouble> {
    let trouble = |why: String| {
        Trouble::new(Verdict::Failed, format!("{} was not reset", folder.display())).why(why)
    };
    if !folder.exists() {
        output::print(&format!(
            "{} is not there: the next --sandbox starts afresh anyway\n",
            folder.display()
        ));
        return Ok(Verdict::Done);
    }
    let turn = std::fs::File::create(folder.join("lock")).map_err(|e| trouble(e.to_string()))?;
    turn.try_lock().map_err(|_| trouble("another command uses it".to_owned()))?;
    std::fs::remove_dir_all(folder).map_err(|e| trouble(e.to_string()))?;
    output::print(&format!("{} is gone: the next --sandbox starts afresh\n", folder.display()));
    Ok(Verdict::Done)
}

/// Serves until SIGINT or SIGTERM; `world` is the file of another seed.
///
/// # Errors
/// A taken port, a folder in use, a seed or faults that are none.
pub(super) async fn run(args: SandboxArgs, world: Option<&Path>) -> Result<Verdict, Trouble> {
    let SandboxArgs { command: _, port, dir, latency, throttle, lag, faults } = args;
    let keeps = dir.join("world.json").exists();
    let world = match world {
        Some(path) if keeps => {
            return Err(Trouble::new(
                Verdict::Usage,
                format!(
                    "{} keeps a world already, so {} would not be used",
                    dir.display(),
                    path.display()
                ),
            )
            .next("choose another --dir, or remove the folder to start afresh"));
        }
        Some(path) => Some(json_file(path)?),
        None => None,
    };
    let faults = match faults {
        None => Vec::new(),
        Some(path) => match json_file(&path)? {
            Value::Array(list) => list,
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Object(_) => {
                return Err(Trouble::new(
                    Verdict::Usage,
                    format!("{}: faults must be a JSON list", path.display()),
                ));
            }
        },
    };
    let stop = Stop::listen()
        .map_err(|e| Trouble::new(Verdict::Failed, format!("signals cannot be watched: {e}")))?;
    let options = Options {
        port,
        dir: Some(dir.clone()),
        world,
        latency,
        throttling: if throttle { Throttling::On } else { Throttling::Off },
        lag,
        faults,
        ..Options::default()
    };
    let sandbox = Sandbox::start(options).await.map_err(refused)?;
    // A reader that went away must not stop the server.
    let _ = std::io::stdout().lock().write_all(greeting(&sandbox, &dir).as_bytes());
    let signal = stop.told().await;
    sandbox.stop().await;
    Ok(Verdict::Stopped(signal))
}

fn json_file(path: &Path) -> Result<Value, Trouble> {
    let trouble = |why: String| Trouble::new(Verdict::Usage, format!("{}: {why}", path.display()));
    let text = std::fs::read(path).map_err(|e| trouble(e.to_string()))?;
    serde_json::from_slice(&text).map_err(|e| trouble(format!("it is no JSON: {e}")))
}

fn refused(error: StartError) -> Trouble {
    let verdict = match error {
        StartError::World(_) | StartError::Faults(_) => Verdict::Usage,
        StartError::PortTaken(_)
        | StartError::DirBusy(_)
        | StartError::Dir { .. }
        | StartError::Io(_) => Verdict::Failed,
    };
    Trouble::new(verdict, error.to_string())
}

fn greeting(sandbox: &Sandbox, dir: &Path) -> String {
    let dir = dir.display();
    format!(
        "listening {base}\n\
         pages     {pages}\n\
         \n\
         {dir}/env         . {dir}/env: the operator's identity and the CA, for any client\n\
         {dir}/cloud.yaml  --cloud {dir}/cloud.yaml: the endpoints, for tenantry\n\
         {dir}/ca.pem      what clients must trust\n\
         {dir}/requests.jsonl\n\
         \n\
         {base}/_sandbox/  world, requests, faults, clock\n\
         Ctrl-C stops it; the world stays in {dir}.\n",
        base = sandbox.base_url(),
        pages = sandbox.pages_url(),
    )
}
