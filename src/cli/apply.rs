//! `tenantry apply`

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
};

use clap::Args;
use tokio::task::JoinHandle;

use super::{
    Common, consent,
    context::{Context, stdout_width, vault_trouble},
    granting, output,
    plan::{Limit, guarded, text, unreadable},
    proving,
    proving::Asked,
    reading,
    reading::Reading,
    status::FailOn,
};
use crate::{
    apply::{self, Ended, Hands},
    entra::Operator,
    event::Event,
    failure::{Cause, Failure},
    graph::Writers,
    ids::{AppKey, TenantId},
    inventory::FoundApp,
    manifest::Manifest,
    plan::{NotAPlan, Plan, SavedPlan, Wish, diagnostic::Severity},
    prove::Keeper,
    report::{
        adopt as adopt_words, apply as words, ci,
        error::Trouble,
        file,
        paper::Paper,
        plan::Extent,
        progress::{Bar, Phase, Progress},
        status as status_words,
    },
    stop::Stop,
    vault::{Records, Vault, VaultWriter},
    verdict::Verdict,
};

/// How often an app that is not what the plan took it for is read and planned again.
const ROUNDS: usize = 3;
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

    const fn is_something(&self) -> bool {
        match self {
            Self::Nothing => false,
            Self::Plan(_) | Self::Checksum(_) => true,
        }
    }
}

pub(super) async fn run(args: ApplyArgs, common: Common) -> Result<Verdict, Trouble> {
    let signed = Signed::of(&args)?;
    let mut context = Context::open(common).await?;
    let most_changes = args.limit.most_changes();
    let mut wish = Wish { reissue: args.reissue, most_changes, ..Wish::default() };
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
    }
    let extent = if args.full { Extent::Full } else { Extent::Short };
    let again = context.common.command("apply");
    carry(context, Job { verb: "apply", wish, signed, extent, fail_on: args.fail_on, again }).await
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
}

/// Plans, asks, changes, proves.
pub(super) async fn carry(mut context: Context, job: Job) -> Result<Verdict, Trouble> {
    let Job { verb, wish, signed, extent, fail_on, again } = job;
    let vault = context.vault().await?;
    let Some(writer) = turn(&context, &vault, verb).await?.map(Arc::new) else {
        let signal = context.stop.told().await;
        return Ok(Verdict::Stopped(signal));
    };
    writer.check_writable().await.map_err(|error| {
        vault_trouble("the vault cannot be written; nothing was changed", &error)
    })?;
    let mut reading = reading::read(&context, &vault, wish).await?;
    if !context.common.json {
        let title = format!("Plan for fleet {}", reading.plan.fleet);
        output::print_folded(&title, &text(&context, &reading, extent, stdout_width()));
        if wish.adopt.is_some() {
            let mut paper = Paper::new(stdout_width());
            reading.plan.apps.values().for_each(|app| adopt_words::kept(&mut paper, app));
            output::print(&paper.into_text());
        }
    }
    let (ending, checksum) = (context.common.ending.clone(), reading.plan.checksum());
    ending.annotate(ci::of_plan(&reading.plan, &context.manifest));
    ending.summary(|| {
        let screen = text(&context, &reading, Extent::Full, 100);
        let screen = anstream::adapter::strip_str(&screen).to_string();
        file::plan_markdown(&reading.plan, &screen, context.is_sandbox())
    });
    if let Some(failure) = reading.unreadable() {
        return Err(unreadable(&context, failure));
    }
    signed.check(&reading.plan, context.is_sandbox())?;
    if !confirmed(&context, &reading.plan, &signed)? {
        if let Some(signal) = context.stop.requested() {
            return Ok(Verdict::Stopped(signal));
        }
        return Err(Trouble::new(
            Verdict::Failed,
            "not applied: the answer was no; nothing was changed",
        ));
    }
    // Of an app that this run makes nobody can have accepted anything.
    let known: BTreeSet<AppKey> = reading
        .plan
        .apps
        .values()
        .filter(|app| app.target.client_id().is_some())
        .map(|app| app.key.clone())
        .collect();
    let (outcome, listener) = carry_out(&mut context, &writer, &mut reading, &signed, verb).await?;
    let (mut asked, nothing) = (Asked::default(), BTreeMap::new());
    let keeper = Keeper::Writer(&writer);
    let of = |app: &AppKey| known.contains(app);
    proving::ask(&context, &vault, &reading, keeper, &nothing, &mut asked, of).await;
    let not_granted = outcome.grants.failed.keys().cloned().collect();
    let fresh =
        consent::in_apply(&context, &writer, &mut reading, &mut asked, &not_granted).await?;
    let keeper = Keeper::Writer(&writer);
    proving::ask(&context, &vault, &reading, keeper, &fresh, &mut asked, |_| true).await;
    let proved = asked.judge(&context, &reading, None);
    if let Err(error) = proving::remember(&writer, &reading, &proved).await {
        context.progress.say(&format!("warning: the vault could not remember this run: {error}\n"));
    }
    let status = &proved.status;
    let summary = Event::Summary {
        done: outcome.done,
        failed: outcome.failed.keys().cloned().collect(),
        interrupted: outcome.interrupted.iter().cloned().collect(),
        not_granted: outcome.grants.failed.keys().cloned().collect(),
        tenants: status.summary(),
    };
    context.events.say(summary);
    listener.finish().await;
    let verdict =
        FailOn::verdict(&fail_on, status, verdict(&outcome, &reading.plan, &context.stop));
    if !context.common.json {
        let mut paper = Paper::new(stdout_width());
        let writes = context.network.counters().graph_writes;
        words::done(&mut paper, outcome.done, outcome.grants.tenants, writes);
        status_words::write(&mut paper, status);
        words::failures(
            &mut paper,
            &context.manifest,
            &again,
            &outcome.failed,
            &outcome.grants.failed,
            &outcome.interrupted,
        );
        words::exit_line(&mut paper, status, verdict);
        let title = format!("Tenants of fleet {}", status.fleet);
        output::print_folded(&title, &format!("\n{}", paper.into_text()));
    }
    let failed = outcome.all_failed(&context.manifest);
    ending.annotate(ci::of_failures(&failed, &context.manifest));
    ending.failed(failed);
    ending.outputs(outcome.changed() > 0, checksum, words::people_left(status));
    super::status::save(&context, status)?;
    context.close().await;
    Ok(verdict)
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

/// Whether the plan may be carried out; an empty one needs nobody's yes.
fn confirmed(context: &Context, plan: &Plan, signed: &Signed) -> Result<bool, Trouble> {
    let guards = plan.guards();
    if !guards.is_empty() {
        return Err(guarded(&crate::plan::Refused::Guards(guards)));
    }
    if plan.is_empty() || context.common.yes || signed.is_something() {
        return Ok(true);
    }
    if !context.may_ask() {
        return Err(Trouble::new(
            Verdict::Usage,
            "there is something to change, and nobody to ask; nothing was changed",
        )
        .next(
            "look at it with tenantry plan, then apply with --yes, or with the plan that was saved",
        ));
    }
    output::tell("Apply this? Only 'yes' is a yes: ");
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).map_err(|error| {
        Trouble::new(Verdict::Failed, format!("no answer could be read: {error}"))
    })?;
    Ok(answer.trim() == "yes")
}

/// How the changes went.
struct Outcome {
    done: usize,
    steps_done: usize,
    failed: BTreeMap<AppKey, Failure>,
    interrupted: BTreeSet<AppKey>,
    grants: granting::Outcome,
}

async fn carry_out(
    context: &mut Context,
    vault: &VaultWriter,
    reading: &mut Reading,
    signed: &Signed,
    verb: &'static str,
) -> Result<(Outcome, Listener), Trouble> {
    let apps = reading.plan.apps.values().filter(|app| !app.steps.is_empty()).count();
    let bar = context.progress.bar(Phase::Apply, apps);
    let listener = Listener::start(context, Some(bar.clone()));
    let mut outcome = Outcome {
        done: 0,
        steps_done: 0,
        failed: BTreeMap::new(),
        interrupted: BTreeSet::new(),
        grants: granting::Outcome::default(),
    };
    let who = who(reading).await;
    let mut plan = reading.plan.clone();
    let signed_off = signed.is_something().then(|| plan.clone());
    context.events.say(Event::Planned { checksum: plan.checksum(), summary: plan.summary() });
    for round in 1..=ROUNDS {
        if plan.is_empty() {
            break;
        }
        let approved = plan.approve().map_err(|refused| guarded(&refused))?;
        let writers = Writers::new(
            &context.network,
            &context.cloud,
            &reading.operator,
            approved.permit().clone(),
        );
        let found = found(reading);
        let on_app = |_: &AppKey| bar.step();
        let hands = Hands {
            writers: &writers,
            vault,
            who: &who,
            verb,
            events: &context.events,
            stop: &context.stop,
            parallelism: usize::from(context.common.parallelism),
            on_app: &on_app,
        };
        let ended = apply::apply(&approved, &found, &hands).await;
        let grantees = granting::grantees(&approved, &ended);
        let again = outcome.take(reading, ended, &approved);
        // Those who are planned again are granted to then.
        let now = approved.clone().without_grants_of(&again);
        outcome.grants.add(granting::grant(reading, &now, &grantees, &hands).await);
        reading.seen.records = records(vault).await?;
        reading.plan_again(context);
        if again.is_empty() || context.stop.requested().is_some() {
            outcome.interrupted.extend(again);
            break;
        }
        if round == ROUNDS {
            for key in again {
                let why = "it is not what any reading showed";
                outcome.failed.insert(key, Failure::new(Cause::Refused, why));
            }
            break;
        }
        let unread = reading::read_existing(context, reading, &again).await;
        let again = again.into_iter().filter(|key| !unread.contains_key(key)).collect();
        outcome.failed.extend(unread);
        plan = reading.plan.clone().only(&again);
        if let Some(signed_off) = &signed_off {
            let beyond = plan.beyond(signed_off);
            plan.apps.retain(|key, _| !beyond.contains(key));
            plan.tenants.retain(|_, tenant| !beyond.contains(&tenant.app));
            for key in beyond {
                let why = "more would have to be done to it than was signed off: plan again";
                outcome.failed.insert(key, Failure::new(Cause::Guard, why));
            }
        }
        let guards = plan.guards();
        if !guards.is_empty() {
            for (key, diagnostic) in guards {
                let failure = Failure::new(Cause::Guard, diagnostic.summary);
                outcome.failed.extend(key.map(|key| (key, failure)));
            }
            break;
        }
    }
    bar.finish();
    Ok((outcome, listener))
}

/// The operator's name for the audit; no name is no reason not to work.
pub(super) async fn who(reading: &Reading) -> String {
    who_is(&reading.operator, reading.seen.home).await
}

/// The same of any operator.
pub(super) async fn who_is(operator: &Operator, home: TenantId) -> String {
    match operator.identity(home).await {
        Ok(identity) => identity.to_string(),
        Err(_) => "an operator whose token does not say who it is".to_owned(),
    }
}

/// The apps that the plan's steps are about, as they were read.
fn found(reading: &Reading) -> BTreeMap<AppKey, FoundApp> {
    let mut by_client = BTreeMap::new();
    for (directory, inventory) in &reading.seen.inventories {
        let Ok(inventory) = inventory else { continue };
        let binned = inventory.bin.seen().into_iter().flatten().map(|binned| &binned.app);
        for app in inventory.apps.iter().chain(binned) {
            by_client.insert((*directory, app.client_id), app);
        }
    }
    reading
        .plan
        .apps
        .values()
        .filter_map(|app| {
            let found = by_client.get(&(app.directory?, app.target.client_id()?))?;
            Some((app.key.clone(), (*found).clone()))
        })
        .collect()
}

impl Outcome {
    /// How many steps were done, on apps and in customers' directories.
    fn changed(&self) -> usize {
        self.steps_done + self.grants.done
    }

    /// Every failure, each with the app it concerns.
    fn all_failed(&self, manifest: &Manifest) -> Vec<(AppKey, Failure)> {
        let of_apps = self.failed.iter().map(|(key, why)| (key.clone(), why.clone()));
        of_apps.chain(self.grants.failed_apps(manifest)).collect()
    }

    /// Takes in how each app ended, and gives back those to be planned again.
    fn take(
        &mut self,
        reading: &mut Reading,
        ended: BTreeMap<AppKey, Ended>,
        approved: &crate::plan::Approved,
    ) -> BTreeSet<AppKey> {
        let mut again = BTreeSet::new();
        let mut now: BTreeMap<TenantId, Vec<FoundApp>> = BTreeMap::new();
        for (key, end) in ended {
            let app = approved.plan().apps.get(&key);
            let mut is = |found: Option<FoundApp>| {
                if let Some(directory) = app.and_then(|app| app.directory) {
                    now.entry(directory).or_default().extend(found);
                }
            };
            match end {
                Ended::Done(found) => {
                    self.done += 1;
                    self.steps_done += app.map_or(0, |app| app.steps.len());
                    is(Some(found));
                }
                Ended::PlanAgain { done } => {
                    self.steps_done += done;
                    again.insert(key);
                }
                Ended::Failed { failure, done, found, step: _ } => {
                    self.steps_done += done;
                    self.failed.insert(key, failure);
                    is(found);
                }
                Ended::Interrupted { done, found } => {
                    self.steps_done += done;
                    self.interrupted.insert(key);
                    is(found);
                }
            }
        }
        for (directory, apps) in now {
            if let Some(Ok(inventory)) = reading.seen.inventories.get_mut(&directory) {
                reading::merge(inventory, apps);
            }
        }
        again
    }
}

fn verdict(outcome: &Outcome, plan: &Plan, stop: &Stop) -> Verdict {
    if let Some(signal) = stop.requested() {
        return Verdict::Stopped(signal);
    }
    let blocked = plan.apps.values().any(crate::plan::AppPlan::is_blocked)
        || plan
            .tenants
            .values()
            .any(|tenant| tenant.diagnostics.iter().any(|d| d.severity == Severity::Error));
    let failed = || outcome.failed.values().chain(outcome.grants.failed.values());
    let none_failed = failed().next().is_none();
    let may_not =
        !none_failed && failed().all(|f| matches!(f.cause, Cause::Privilege | Cause::SignIn));
    match (none_failed && !blocked, outcome.changed()) {
        (true, _) => Verdict::Done,
        (false, 0) if may_not && !blocked => Verdict::MayNot,
        (false, 0) => Verdict::Failed,
        (false, _) => Verdict::PartlyApplied,
    }
}

/// Whoever hears the events: JSON on stdout, or the bar.
pub(super) struct Listener {
    task: Option<JoinHandle<()>>,
}

impl Listener {
    /// Begins to listen; the bar, where there is one, shows what holds the work up.
    pub(super) fn start(context: &mut Context, bar: Option<Bar>) -> Self {
        let (_, closed) = tokio::sync::mpsc::unbounded_channel();
        let mut heard = std::mem::replace(&mut context.heard, closed);
        let (json, progress): (bool, Progress) = (context.common.json, context.progress.clone());
        let task = tokio::spawn(async move {
            while let Some(stamped) = heard.recv().await {
                let last =
                    matches!(stamped.event, Event::Summary { .. } | Event::Offboarded { .. });
                if json {
                    if let Ok(line) = serde_json::to_string(&stamped) {
                        output::print_json_text(&format!("{line}\n"));
                    }
                } else {
                    if let Some(bar) = &bar {
                        bar.hear(&stamped.event);
                    }
                    if let Event::StepFailed { app, tenant, step, failure } = &stamped.event {
                        progress.say(&words::failed_line(app, tenant.as_ref(), step, failure));
                    }
                }
                if last {
                    break;
                }
            }
        });
        Self { task: Some(task) }
    }

    /// Waits until everything said was heard; the summary is the last.
    pub(super) async fn finish(mut self) {
        if let Some(task) = self.task.take() {
            let _ = task.await;
        }
    }
}
