//! `tenantry apply`

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
};

use clap::Args;

use super::{
    Common, consent,
    context::{Context, vault_trouble},
    plan::Limit,
    proving,
    proving::Asked,
    reading,
    status::FailOn,
    work::{Work, conclude, show, unconfirmed},
};
use crate::{
    ids::AppKey,
    plan::{NotAPlan, Plan, SavedPlan, Wish},
    prove::Keeper,
    report::{apply as words, error::Trouble, plan::Extent},
    vault::{Records, Vault, VaultWriter},
    verdict::Verdict,
};

/// How many lines say what moved since a plan was signed off.
const MOST_MOVED: usize = 20;

/// Create and change what the plan says, store the secrets, prove what works
///
/// Plans, asks, changes, proves, and ends with a table of all tenants, worst first, and under it
/// who must still do what. A second run changes nothing. One app's failure touches no other.
#[derive(Debug, Args)]
pub(super) struct ApplyArgs {
    /// Show every app of the plan
    #[arg(long)]
    full: bool,
    /// Make new secrets for apps whose vault is lost for good
    #[arg(long)]
    reissue: bool,
    /// Remove secrets, certificates and federated credentials that are not ours: each is named in the
    /// plan
    #[arg(long)]
    remove_foreign: bool,
    /// Fail where this is left: pending, expiring, not-reading; may be repeated
    #[arg(long, value_name = "WHAT", value_delimiter = ',')]
    fail_on: Vec<FailOn>,
    /// A plan that `plan --out` saved: applied without asking, if it is still what would be done
    #[arg(value_name = "FILE", conflicts_with_all = ["checksum", "tenant", "label"])]
    plan: Option<PathBuf>,
    /// The checksum of a plan that somebody signed off: applied without asking, if it still holds
    #[arg(long, value_name = "SHA-256", value_parser = checksum)]
    checksum: Option<String>,
    #[command(flatten)]
    limit: Limit,
}

/// A whole checksum, as a plan prints it.
fn checksum(text: &str) -> Result<String, String> {
    let text = text.trim().to_ascii_lowercase();
    if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        Ok(text)
    } else {
        Err("a checksum has 64 hexadecimal digits".to_owned())
    }
}

/// What was signed off, if anything was.
pub(super) enum Signed {
    Nothing,
    Plan(Box<SavedPlan>),
    Checksum(String),
}

impl Signed {
    fn of(args: &ApplyArgs) -> Result<Self, Trouble> {
        let Some(path) = &args.plan else {
            return Ok(args.checksum.clone().map_or(Self::Nothing, Self::Checksum));
        };
        let wrong = |verdict, why: String| {
            Trouble::new(verdict, format!("{}: {why}; nothing was changed", path.display()))
                .next("tenantry plan --out FILE saves one")
        };
        let text = std::fs::read_to_string(path)
            .map_err(|error| wrong(Verdict::Usage, format!("it cannot be read: {error}")))?;
        let saved = SavedPlan::parse(&text).map_err(|why| {
            let verdict = match why {
                NotAPlan::Foreign(_) => Verdict::Usage,
                NotAPlan::Altered => Verdict::StalePlan,
            };
            wrong(verdict, why.to_string())
        })?;
        Ok(Self::Plan(Box::new(saved)))
    }

    /// Whether the plan of now is what was signed off.
    fn check(&self, plan: &Plan, sandbox: bool) -> Result<(), Trouble> {
        let moved = match self {
            Self::Nothing => Vec::new(),
            Self::Plan(saved) => saved.moved(plan, sandbox),
            Self::Checksum(signed) if *signed == plan.checksum() => Vec::new(),
            Self::Checksum(_) => vec![format!("the checksum is {} now", plan.checksum())],
        };
        if moved.is_empty() {
            return Ok(());
        }
        let mut trouble = Trouble::new(
            Verdict::StalePlan,
            "what would be done is not what was signed off; nothing was changed",
        );
        let more = moved.len().saturating_sub(MOST_MOVED);
        for line in moved.into_iter().take(MOST_MOVED) {
            trouble = trouble.why(line);
        }
        if more > 0 {
            trouble = trouble.why(format!("… {more} more"));
        }
        trouble.why.extend(plan.unseen_here());
        Err(trouble.next("plan again, and have that signed off"))
    }

    pub(super) const fn is_something(&self) -> bool {
        match self {
            Self::Nothing => false,
            Self::Plan(_) | Self::Checksum(_) => true,
        }
    }
}

pub(super) async fn run(args: ApplyArgs, common: Common) -> Result<Verdict, Trouble> {
    let signed = Signed::of(&args)?;
    let mut context = Context::open(common).await?;
    let mut wish = Wish {
        reissue: args.reissue,
        remove_foreign: args.remove_foreign,
        most_changes: args.limit.most_changes(),
        ..Wish::default()
    };
    if let Signed::Plan(saved) = &signed {
        let scope = saved.scope(&context.manifest);
        let asked = context.common.shard;
        if asked.is_some() && asked != scope.shard {
            return Err(Trouble::new(
                Verdict::Usage,
                "the saved plan is not of the shard that --shard names; nothing was changed",
            )
            .next("leave --shard out: the plan knows what it is of"));
        }
        context.scope = scope;
        wish.reissue |= saved.reissue;
        wish.remove_foreign |= saved.remove_foreign;
    }
    let extent = if args.full { Extent::Full } else { Extent::Short };
    let again = context.common.command("apply");
    let (verb, fail_on) = ("apply", args.fail_on);
    let instead = "the same command with --yes carries it out; so does apply FILE, with the plan that \
                   plan --out FILE saved and somebody looked at";
    carry(context, Job { verb, wish, signed, extent, fail_on, again, instead }).await
}

/// What is to be carried out, and how.
pub(super) struct Job {
    /// For the audit and whoever waits for the vault.
    pub(super) verb: &'static str,
    pub(super) wish: Wish,
    pub(super) signed: Signed,
    pub(super) extent: Extent,
    pub(super) fail_on: Vec<FailOn>,
    /// The command that is typed to go on with what failed; its tenants are added.
    pub(super) again: String,
    /// What to do where nobody can be asked.
    pub(super) instead: &'static str,
}

/// Plans, asks, changes, proves.
pub(super) async fn carry(mut context: Context, job: Job) -> Result<Verdict, Trouble> {
    let Job { verb, wish, signed, extent, fail_on, again, instead } = job;
    let vault = context.vault().await?;
    let Some(writer) = turn(&context, &vault, verb).await?.map(Arc::new) else {
        let signal = context.stop.told().await;
        return Ok(Verdict::Stopped(signal));
    };
    writer.check_writable().await.map_err(|error| {
        vault_trouble("the vault cannot be written; nothing was changed", &error)
    })?;
    let mut reading = reading::read(&context, &vault, wish).await?;
    show(&context, &reading, extent)?;
    signed.check(&reading.plan, context.is_sandbox())?;
    if let Some(verdict) = unconfirmed(&context, &reading.plan, &signed, instead).await? {
        return Ok(verdict);
    }
    // Of an app that this run makes nobody can have accepted anything.
    let known: BTreeSet<AppKey> = reading
        .plan
        .apps
        .values()
        .filter(|app| app.target.client_id().is_some())
        .map(|app| app.key.clone())
        .collect();
    let mut work = Work::begin(&mut context, &reading, verb).await;
    let plan = reading.plan.clone();
    work.carry_out(&context, &writer, &mut reading, plan, &signed).await?;
    let not_yet = proving::succeed(&context, &writer, &mut reading).await?;
    context.progress.say(&words::not_yet(&not_yet));
    let (mut asked, nothing) = (Asked::default(), BTreeMap::new());
    let keeper = Keeper::Writer(&writer);
    let of = |app: &AppKey| known.contains(app);
    proving::ask(&context, &vault, &reading, keeper, &nothing, &mut asked, of).await;
    let not_granted = work.outcome.grants.failed.keys().cloned().collect();
    let fresh =
        consent::in_apply(&context, &writer, &mut reading, &mut asked, &not_granted).await?;
    let keeper = Keeper::Writer(&writer);
    proving::ask(&context, &vault, &reading, keeper, &fresh, &mut asked, |_| true).await;
    conclude(context, work, &writer, &reading, asked, &fail_on, &again).await
}

pub(super) async fn records(vault: &Vault) -> Result<Records, Trouble> {
    vault
        .records()
        .await
        .map_err(|error| vault_trouble("the vault's records cannot be read", &error))
}

/// Waits for the vault's lock; nothing where the run is told to stop meanwhile.
pub(super) async fn turn(
    context: &Context,
    vault: &Vault,
    command: &str,
) -> Result<Option<VaultWriter>, Trouble> {
    let progress = context.progress.clone();
    let waiting = move |holder: Option<&crate::vault::Holder>| {
        let who = holder.map_or_else(String::new, |holder| {
            format!(
                " ({} of process {} on {}, since {})",
                holder.command,
                holder.pid,
                holder.host,
                holder.since.strftime("%H:%M:%S")
            )
        });
        progress.say(&format!("waiting: another run writes this fleet's vault{who}\n"));
    };
    tokio::select! {
        locked = vault.lock(command, waiting) => locked
            .map(Some)
            .map_err(|error| vault_trouble("the vault cannot be locked; nothing was changed", &error)),
        _ = context.stop.told() => Ok(None),
    }
}
