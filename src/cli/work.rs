//! Carrying out a plan, from the yes to the last line: shared by the commands that change apps.

use std::collections::{BTreeMap, BTreeSet};

use tokio::task::JoinHandle;

use super::{
    apply::{Signed, records},
    context::{Context, stdout_width},
    granting, output,
    plan::{guarded, text, unreadable},
    proving,
    proving::Asked,
    question, reading,
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
    plan::{
        Plan,
        diagnostic::Severity,
        kinds,
        step::{RemovalReason, SecretReason, Step},
    },
    report::{
        adopt as adopt_words, apply as words, ci,
        error::Trouble,
        failed::FailedSteps,
        file,
        paper::Paper,
        plan::Extent,
        progress::{Bar, Phase, Progress},
        status as status_words,
    },
    stop::Stop,
    vault::VaultWriter,
    verdict::Verdict,
};

/// What to do where nobody can be asked, and no saved plan is of this kind.
pub(super) const WITH_YES: &str = "the same command with --yes carries it out";

/// How often an app that is not what the plan took it for is read and planned again.
const ROUNDS: usize = 3;

/// Shows what is planned, on the screen and to a pipeline's runner.
///
/// # Errors
/// The directory in which the apps live could not be read.
pub(super) fn show(context: &Context, reading: &Reading, extent: Extent) -> Result<(), Trouble> {
    if !context.common.json {
        let title = format!("Plan for fleet {}", reading.plan.fleet);
        output::print_folded(&title, &text(context, reading, extent, stdout_width()));
        if reading.seen.wish.adopt.is_some() {
            let mut paper = Paper::new(stdout_width());
            reading.plan.apps.values().for_each(|app| adopt_words::kept(&mut paper, app));
            output::print(&paper.into_text());
        }
    }
    let ending = &context.common.ending;
    ending.annotate(ci::of_plan(&reading.plan, &context.manifest));
    ending.summary(|| {
        let screen = text(context, reading, Extent::Full, 100);
        let screen = anstream::adapter::strip_str(&screen).to_string();
        file::plan_markdown(&reading.plan, &screen, context.is_sandbox())
    });
    reading.unreadable().map_or(Ok(()), |failure| Err(unreadable(context, failure)))
}

/// How the run ends where the plan may not be carried out; an empty one needs nobody's yes.
/// `instead` is what to do where nobody can be asked.
pub(super) async fn unconfirmed(
    context: &Context,
    plan: &Plan,
    signed: &Signed,
    instead: &str,
) -> Result<Option<Verdict>, Trouble> {
    let guards = plan.guards();
    if !guards.is_empty() {
        return Err(guarded(&crate::plan::Refused::Guards(guards)));
    }
    if plan.is_empty() || context.common.yes || signed.is_something() {
        return Ok(None);
    }
    if !context.may_ask() {
        return Err(Trouble::new(
            Verdict::Usage,
            "there is something to change, and nobody to ask; nothing was changed",
        )
        .next(instead));
    }
    match question::ask(context, "Apply this? Only 'yes' is a yes: ").await?.as_deref() {
        Some("yes") => Ok(None),
        Some(_) => {
            let why = "not applied: the answer was no; nothing was changed";
            Err(Trouble::new(Verdict::Failed, why))
        }
        None => Ok(Some(Verdict::Stopped(context.stop.told().await))),
    }
}

/// How the changes went.
#[derive(Default)]
pub(super) struct Outcome {
    done: BTreeSet<AppKey>,
    steps_done: usize,
    pub(super) failed: BTreeMap<AppKey, Failure>,
    pub(super) interrupted: BTreeSet<AppKey>,
    /// Apps of which the secret that a SIEM may hold opens nothing any more.
    refill: BTreeSet<AppKey>,
    /// Secrets and certificates that a policy made shorter, though the plan that was shown could not say so.
    shortened: BTreeMap<AppKey, words::Shortened>,
    pub(super) grants: granting::Outcome,
}

/// Changes under way, and who hears of them.
pub(super) struct Work {
    pub(super) outcome: Outcome,
    listener: Listener,
    bar: Bar,
    who: String,
    command: &'static str,
    checksum: String,
    /// The apps whose credential the plan that was shown already called shortened.
    told: BTreeSet<AppKey>,
}

impl Work {
    pub(super) async fn begin(
        context: &mut Context,
        reading: &Reading,
        command: &'static str,
    ) -> Self {
        let apps = reading.plan.apps.values().filter(|app| !app.steps.is_empty()).count();
        let bar = context.progress.bar(Phase::Apply, apps);
        let listener = Listener::start(context, Some(bar.clone()));
        let checksum = reading.plan.checksum();
        let planned =
            Event::Planned { checksum: checksum.clone(), summary: reading.plan.summary() };
        context.events.say(planned);
        let who = who(reading).await;
        let capped = |step: &Step| kinds::capped(step).is_some();
        let told = reading.plan.apps.values().filter(|app| app.steps.iter().any(capped));
        let told = told.map(|app| app.key.clone()).collect();
        Self { outcome: Outcome::default(), listener, bar, who, command, checksum, told }
    }

    /// Does what is planned, and plans again what turned out to be otherwise.
    pub(super) async fn carry_out(
        &mut self,
        context: &Context,
        vault: &VaultWriter,
        reading: &mut Reading,
        mut plan: Plan,
        signed: &Signed,
    ) -> Result<(), Trouble> {
        let Self { outcome, bar, who, command, .. } = self;
        let signed_off = signed.is_something().then(|| plan.clone());
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
                who,
                verb: command,
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
        Ok(())
    }
}

/// The operator's name for the audit; no name is no reason not to work.
pub(super) async fn who(reading: &Reading) -> String {
    who_is(&reading.operator, reading.seen.home).await
}

/// The same before anything was read.
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

    /// Every failure, each with the app or the tenant whose steps failed.
    fn all_failed(&self, manifest: &Manifest) -> Vec<FailedSteps> {
        let of_apps = self.failed.iter().map(|(app, failure)| FailedSteps {
            app: app.clone(),
            tenant: None,
            failure: failure.clone(),
        });
        of_apps.chain(self.grants.failed_steps(manifest)).collect()
    }

    /// What whoever reads the end must know of steps that were done.
    fn note(&mut self, key: &AppKey, steps: &[Step]) {
        for step in steps {
            if let Some((what, lifetime, cap)) = kinds::capped(step) {
                let shortened = words::Shortened { what, lifetime, cap: cap.clone() };
                self.shortened.insert(key.clone(), shortened);
            }
            match step {
                Step::RemoveSecret { reason: RemovalReason::Revoked, .. } => {
                    self.refill.insert(key.clone());
                }
                Step::AddSecret { reason, .. } => match reason {
                    SecretReason::Expired | SecretReason::RemovedOutside => {
                        self.refill.insert(key.clone());
                    }
                    SecretReason::First
                    | SecretReason::Renewal
                    | SecretReason::ValueLost
                    | SecretReason::Asked => {}
                },
                // No SIEM was filled with a certificate.
                Step::AddCertificate { .. }
                | Step::RemoveCertificate { .. }
                | Step::RemoveSecret { .. }
                | Step::RestoreApplication { .. }
                | Step::CreateApplication { .. }
                | Step::PatchApplication { .. }
                | Step::AddFederated { .. }
                | Step::UpdateFederated { .. }
                | Step::RemoveFederated { .. }
                | Step::AddOwner { .. } => {}
            }
        }
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
                    self.note(&key, app.map_or(&[], |app| app.steps.as_slice()));
                    self.done.insert(key);
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
        let ending = context.common.ending.clone();
        let task = tokio::spawn(async move {
            while let Some(stamped) = heard.recv().await {
                ending.hear(&stamped.event);
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

/// Remembers and tells how everybody is after a run that changed something, and ends it. `again` is
/// the command that those need who failed.
pub(super) async fn conclude(
    context: Context,
    work: Work,
    writer: &VaultWriter,
    reading: &Reading,
    asked: Asked,
    fail_on: &[FailOn],
    again: &str,
) -> Result<Verdict, Trouble> {
    let Work { mut outcome, listener, checksum, told, .. } = work;
    outcome.shortened.retain(|app, _| !told.contains(app));
    let ending = context.common.ending.clone();
    let proved = asked.judge(&context, reading, None);
    if let Err(error) = proving::remember(writer, reading, &proved).await {
        context.progress.say(&format!("warning: the vault could not remember this run: {error}\n"));
    }
    let status = &proved.status;
    let summary = Event::Summary {
        done: outcome.done.len(),
        failed: outcome.failed.keys().cloned().collect(),
        interrupted: outcome.interrupted.iter().cloned().collect(),
        not_granted: outcome.grants.failed.keys().cloned().collect(),
        refill: outcome.refill.iter().cloned().collect(),
        tenants: status.summary(),
    };
    context.events.say(summary);
    listener.finish().await;
    let verdict = FailOn::verdict(fail_on, status, verdict(&outcome, &reading.plan, &context.stop));
    if !context.common.json {
        let mut paper = Paper::new(stdout_width());
        let writes = context.network.counters().graph_writes;
        words::done(&mut paper, outcome.done.len(), outcome.grants.tenants, writes);
        words::shortened(&mut paper, &outcome.shortened);
        words::refill(&mut paper, &context.manifest, &outcome.refill, &status.place);
        status_words::write(&mut paper, status);
        words::failures(
            &mut paper,
            &context.manifest,
            again,
            &outcome.failed,
            &outcome.grants.failed,
            &outcome.interrupted,
        );
        words::blocked(&mut paper, &reading.plan, verdict);
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
