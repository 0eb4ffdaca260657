//! One file a verb: its arguments and its run.

mod adopt;
mod apply;
mod attest;
mod completions;
mod consent;
mod context;
mod contracts;
mod customers;
mod doctor;
mod ending;
mod explain;
mod export;
mod granting;
mod handout;
mod incidents;
mod init;
mod keeping;
mod left;
mod offboard;
mod offline;
mod output;
mod plan;
mod proving;
mod question;
mod reading;
mod reveal;
mod rotate;
mod sandbox;
mod schema;
mod status;
mod tokens;
mod validate;
mod vault;
mod work;

use std::{path::PathBuf, time::Duration};

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

use self::{
    ending::{Choice, Ending},
    sandbox::SandboxCommand,
};
use crate::{entra::AuthMode, report::error::Trouble, shard::Shard, verdict::Verdict};

/// Onboards customer tenants to Microsoft Defender for a managed security provider.
///
/// One YAML manifest says which customers there are. tenantry creates, through Microsoft Graph, the
/// app registrations, redirect URIs and one-year client secrets, proves what works by calling it,
/// and says, tenant by tenant, who must still do what: above all which tenants still need portal
/// authorization. It can be run as often as one likes: a second run changes nothing.
#[derive(Debug, Parser)]
#[command(name = "tenantry", version, max_term_width = 100, after_long_help = exit_codes())]
pub struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    verb: Verb,
}

/// The manifest where nobody names one.
const DEFAULT_MANIFEST: &str = "tenantry.yaml";

/// Flags that every verb takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Everywhere")]
pub(crate) struct Common {
    /// The manifest: a file, a folder of files, or - for standard input; may be repeated
    #[arg(
        short = 'f',
        long = "manifest",
        value_name = "PATH",
        default_value = DEFAULT_MANIFEST,
        global = true
    )]
    pub(crate) manifest: Vec<PathBuf>,
    /// Only these tenants: a key or a pattern such as 'eu-*'; may be repeated
    #[arg(long, value_name = "KEY", global = true)]
    pub(crate) tenant: Vec<String>,
    /// Only tenants with this label; may be repeated, all must hold
    #[arg(long, value_name = "NAME=VALUE", global = true)]
    pub(crate) label: Vec<String>,
    /// Only this part of the fleet, as one of several jobs: 3/8; cut by the apps' keys
    #[arg(long, value_name = "K/N", global = true)]
    pub(crate) shard: Option<Shard>,
    /// How many apps or tenants are worked on at once
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256), global = true)]
    pub(crate) parallelism: u16,
    /// Print JSON instead of text (apply, rotate: one event a line)
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Also write a report: .json, .md, .html or .csv
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) report: Option<PathBuf>,
    /// Answer every question with yes
    #[arg(short = 'y', long, global = true)]
    pub(crate) yes: bool,
    /// Never ask; implied without a terminal
    #[arg(long, global = true)]
    pub(crate) no_input: bool,
    /// How the operator signs in
    #[arg(long, value_name = "MODE", default_value = "auto", global = true)]
    pub(crate) auth: AuthMode,
    /// A cloud's name, or a file with the endpoints of another one
    #[arg(long, value_name = "NAME|FILE", global = true)]
    pub(crate) cloud: Option<String>,
    /// Give up on one call, with all its repeats, after this long
    #[arg(long, value_name = "TIME", default_value = "120s", value_parser = duration, global = true)]
    pub(crate) timeout: Duration,
    /// When to use colour
    #[arg(long, value_name = "WHEN", default_value = "auto", global = true)]
    pub(crate) color: Color,
    /// Whose runner reads the output: annotations, groups, a summary, outputs
    #[arg(long, value_name = "WHOSE", default_value = "auto", global = true)]
    pub(crate) ci: Choice,
    /// Only results and errors: no progress, no notices
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// Say on stderr what is requested; twice: also what is repeated and why
    #[arg(short, long, action = ArgAction::Count, global = true)]
    pub(crate) verbose: u8,
    /// Run against Microsoft in a box on this machine: no account, nothing leaves
    #[arg(long, global = true)]
    pub(crate) sandbox: bool,
    /// The sandbox's first world, where the built-in one does not fit
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) world: Option<PathBuf>,
    /// What is known when the run ends.
    #[arg(skip)]
    pub(crate) ending: Ending,
}

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// How a verb prints its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// For programs (`--json`).
    Json,
}

impl Common {
    /// How results are printed.
    fn format(&self) -> Format {
        if self.json { Format::Json } else { Format::Text }
    }

    /// A verb as it must be typed to reach the same fleet in the same place; how much of it and
    /// how fast is left to whoever types.
    fn command(&self, verb: &str) -> String {
        crate::status::command(&self.place(), verb, "")
    }

    /// The flags that lead to the same fleet in the same place.
    fn place(&self) -> String {
        let mut words = Vec::new();
        if self.manifest != [PathBuf::from(DEFAULT_MANIFEST)] {
            for path in &self.manifest {
                words.extend(["-f".to_owned(), path.display().to_string()]);
            }
        }
        if let Some(mode) = self.auth.to_possible_value().filter(|_| self.auth != AuthMode::Auto) {
            words.extend(["--auth".to_owned(), mode.get_name().to_owned()]);
        }
        if let Some(cloud) = &self.cloud {
            words.extend(["--cloud".to_owned(), cloud.clone()]);
        }
        if self.sandbox {
            words.push("--sandbox".to_owned());
        }
        words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
    }
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Write a commented manifest to start from
    Init(init::InitArgs),
    /// Check a manifest without contacting anybody
    Validate(validate::ValidateArgs),
    /// Print the JSON Schema of the manifest, or of what tenantry prints
    Schema(schema::SchemaArgs),
    Completions(completions::CompletionsArgs),
    /// Make the place where secrets are kept
    #[command(subcommand)]
    Vault(vault::VaultCommand),
    Plan(plan::PlanArgs),
    Apply(apply::ApplyArgs),
    Consent(consent::ConsentArgs),
    Status(status::StatusArgs),
    Explain(explain::ExplainArgs),
    Rotate(rotate::RotateArgs),
    /// Keep what sign-ins left alive
    #[command(subcommand)]
    Tokens(tokens::TokensCommand),
    Attest(attest::AttestArgs),
    Adopt(adopt::AdoptArgs),
    Offboard(offboard::OffboardArgs),
    Doctor(doctor::DoctorArgs),
    Export(export::ExportArgs),
    Incidents(incidents::IncidentsArgs),
    /// Print a secret or an id from the vault, on purpose
    ///
    /// The audit gets a line first. The value goes to stdout and nowhere else.
    Reveal(reveal::RevealArgs),
    Sandbox(sandbox::SandboxArgs),
}

impl Verb {
    /// Its name, as it is typed.
    const fn name(&self) -> &'static str {
        match self {
            Self::Init(_) => "init",
            Self::Validate(_) => "validate",
            Self::Schema(_) => "schema",
            Self::Completions(_) => "completions",
            Self::Vault(_) => "vault",
            Self::Plan(_) => "plan",
            Self::Apply(_) => "apply",
            Self::Consent(_) => "consent",
            Self::Status(_) => "status",
            Self::Explain(_) => "explain",
            Self::Rotate(_) => "rotate",
            Self::Tokens(_) => "tokens",
            Self::Attest(_) => "attest",
            Self::Adopt(_) => "adopt",
            Self::Offboard(_) => "offboard",
            Self::Doctor(_) => "doctor",
            Self::Export(_) => "export",
            Self::Incidents(_) => "incidents",
            Self::Reveal(_) => "reveal",
            Self::Sandbox(_) => "sandbox",
        }
    }

    /// Whether it writes the report that `--report` asks for.
    const fn reports(&self) -> bool {
        matches!(
            self,
            Self::Plan(_)
                | Self::Apply(_)
                | Self::Rotate(_)
                | Self::Status(_)
                | Self::Adopt(_)
                | Self::Offboard(_)
                | Self::Doctor(_)
        )
    }

    /// Whether it is about tenants of which some can be chosen.
    const fn chooses(&self) -> bool {
        !matches!(
            self,
            Self::Init(_)
                | Self::Validate(_)
                | Self::Schema(_)
                | Self::Completions(_)
                | Self::Vault(_)
                | Self::Sandbox(_)
        )
    }

    /// Whether all flags that were given mean something to it. One that would change nothing is
    /// refused: whoever gave it believes that it did.
    fn takes(&self, common: &Common) -> Result<(), Trouble> {
        let given = [
            ("--report", common.report.is_some(), self.reports()),
            ("--tenant", !common.tenant.is_empty(), self.chooses()),
            ("--label", !common.label.is_empty(), self.chooses()),
            ("--shard", common.shard.is_some(), self.chooses()),
        ];
        match given.into_iter().find(|(_, given, means)| *given && !means) {
            None => Ok(()),
            Some((flag, ..)) => Err(Trouble::new(
                Verdict::Usage,
                format!("{flag} means nothing to tenantry {}", self.name()),
            )
            .next(format!("leave {flag} out"))),
        }
    }
}

/// A word that a shell takes as it is.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

fn exit_codes() -> String {
    let mut text = String::from("Exit codes:\n");
    for verdict in Verdict::ALL {
        text.push_str(&format!("  {:>3}  {}\n", verdict.code(), verdict.meaning()));
    }
    text
}

/// A time such as `90s`, `2m`, `500ms`.
fn duration(text: &str) -> Result<Duration, String> {
    let span: jiff::SignedDuration =
        text.parse().map_err(|_| "write it like 90s, 2m or 500ms".to_owned())?;
    Duration::try_from(span)
        .ok()
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| "it must be more than nothing".to_owned())
}

/// Parses the command line, runs the verb, prints an error where there is one, and says how it
/// ended. clap's own exits (help, version, wrong usage) are turned into verdicts too.
pub async fn main(args: impl IntoIterator<Item = std::ffi::OsString>) -> Verdict {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            return refused(&error);
        }
    };
    let Cli { common, verb } = cli;
    match common.color {
        Color::Auto => anstream::ColorChoice::Auto,
        Color::Always => anstream::ColorChoice::Always,
        Color::Never => anstream::ColorChoice::Never,
    }
    .write_global();
    let ending = common.ending.clone();
    let report = common.report.as_deref().filter(|_| verb.reports());
    ending.begin(common.ci, verb.name(), report);
    let place = common.place();
    let run = async {
        verb.takes(&common)?;
        run(common, verb).await
    };
    match run.await {
        Ok(verdict) => {
            ending.end(verdict, None);
            verdict
        }
        Err(trouble) => {
            let trouble = trouble.placed(&place);
            output::tell(&trouble.render(context::stderr_width()));
            ending.end(trouble.verdict, Some(&trouble));
            trouble.verdict
        }
    }
}

/// Help, the version, or wrong usage: clap's own ends. What was asked for may hold text from
/// anywhere, so it is printed our way.
fn refused(error: &clap::Error) -> Verdict {
    let ending = Ending::default();
    ending.begin(Choice::Auto, "", None);
    let text = error.render().ansi().to_string();
    if !error.use_stderr() {
        output::print(&text);
        return Verdict::Done;
    }
    output::tell(&text);
    ending.end(Verdict::Usage, None);
    Verdict::Usage
}

async fn run(common: Common, verb: Verb) -> Result<Verdict, Trouble> {
    match verb {
        Verb::Init(args) if args.from_contracts => contracts::init(args, common).await,
        Verb::Init(args) => offline::init(&args),
        Verb::Validate(args) => offline::validate(&args, &common),
        Verb::Schema(args) => offline::schema(&args),
        Verb::Completions(args) => completions::run(&args),
        Verb::Vault(vault::VaultCommand::Init(args)) => keeping::init(args, common).await,
        Verb::Vault(vault::VaultCommand::Copy(args)) => keeping::copy(args, common).await,
        Verb::Plan(args) => plan::run(args, common).await,
        Verb::Apply(args) => apply::run(args, common).await,
        Verb::Consent(args) => consent::run(args, common).await,
        Verb::Status(args) => status::run(args, common).await,
        Verb::Explain(args) => explain::run(args, common).await,
        Verb::Rotate(args) => rotate::run(args, common).await,
        Verb::Tokens(tokens::TokensCommand::Refresh) => tokens::refresh(common).await,
        Verb::Attest(args) => attest::run(args, common).await,
        Verb::Adopt(args) => adopt::run(args, common).await,
        Verb::Offboard(args) => offboard::run(args, common).await,
        Verb::Doctor(args) => doctor::run(args, common).await,
        Verb::Export(args) => export::run(args, common).await,
        Verb::Incidents(args) => incidents::run(args, common).await,
        Verb::Reveal(args) => keeping::reveal(args, common).await,
        Verb::Sandbox(args) => match args.command {
            Some(SandboxCommand::Reset) => sandbox::reset(&context::sandbox_folder(&common)),
            None => sandbox::run(args, common.world.as_deref()).await,
        },
    }
}
