//! `tenantry status`

use std::{collections::BTreeMap, path::PathBuf};

use clap::{Args, ValueEnum};
use jiff::Timestamp;

use super::{
    Common,
    context::{Context, report, stdout_width},
    left::{self, About},
    output,
    plan::unreadable,
    proving, reading,
};
use crate::{
    manifest::select::Selection,
    report::{
        apply::{exit_line, people_left},
        ci,
        error::Trouble,
        file::{self, Kind},
        html, json,
        paper::Paper,
        status as words,
    },
    status::{self, Status},
    verdict::Verdict,
};

/// Show how every tenant is, worst first, and whose turn it is; change nothing
///
/// Proves what can be proved by calling it: a token in each customer's directory, then one call for
/// incidents. It cannot write to Graph. What no call can prove is shown as said or unknown, never as
/// good.
#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// Only the tenants that this is left for, with all there is to paste
    #[arg(long, value_name = "WHAT")]
    pending: Option<Pending>,
    /// Only what changed since the last run that the vault remembers
    #[arg(long)]
    since_last: bool,
    /// Judge ends and windows as of this day, and list what is to be renewed by then
    #[arg(long, value_name = "DATE", value_parser = moment)]
    as_of: Option<Timestamp>,
    /// Fail where this is left: pending, expiring, not-reading; may be repeated
    #[arg(long, value_name = "WHAT", value_delimiter = ',')]
    fail_on: Vec<FailOn>,
    /// Make one of the JSON reports of several jobs (--shard); contacts nobody, needs no manifest
    #[arg(
        long,
        value_name = "FILE",
        num_args = 1..,
        conflicts_with_all = ["since_last", "as_of", "tenant", "label", "shard"]
    )]
    merge: Vec<PathBuf>,
}

/// What is left for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Pending {
    /// Portal authorization
    Portal,
    /// Admin consent
    Consent,
    /// The analyst's sign-in
    SignIn,
}

/// What shall not be left when a command ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum FailOn {
    /// A person must act: exit 3
    Pending,
    /// Something expires soon: exit 8
    Expiring,
    /// A tenant is not reading, or nobody can tell: exit 1
    NotReading,
}

impl FailOn {
    /// The graver of how the command went and of what was left.
    pub(super) fn verdict(asked: &[Self], status: &Status, so_far: Verdict) -> Verdict {
        asked.iter().fold(so_far, |verdict, asked| {
            verdict.and(match asked {
                Self::Pending if status.is_pending() => Verdict::Pending,
                Self::Expiring if status.is_expiring() => Verdict::Expiring,
                Self::NotReading if status.is_not_reading() => Verdict::Failed,
                Self::Pending | Self::Expiring | Self::NotReading => Verdict::Done,
            })
        })
    }
}

/// A day, or a moment.
pub(super) fn moment(text: &str) -> Result<Timestamp, String> {
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Ok(moment);
    }
    format!("{text}T00:00:00Z").parse().map_err(|_| "write it like 2027-03-31".to_owned())
}

/// A day ahead, as it is worked with: nothing where it is today.
///
/// # Errors
/// It lies in the past: what was then cannot be asked any more.
pub(super) fn ahead(
    as_of: Option<Timestamp>,
    now: Timestamp,
) -> Result<Option<Timestamp>, Trouble> {
    let Some(as_of) = as_of else { return Ok(None) };
    let day = |at: Timestamp| at.strftime("%Y-%m-%d").to_string();
    if day(as_of) < day(now) {
        return Err(Trouble::new(
            Verdict::Usage,
            format!("--as-of {} lies in the past", day(as_of)),
        )
        .why(format!("today is {} by Microsoft's clock", day(now)))
        .next("--as-of looks ahead; what was is in the vault's audit.jsonl"));
    }
    Ok(Some(as_of).filter(|as_of| *as_of > now))
}

pub(super) async fn run(args: StatusArgs, common: Common) -> Result<Verdict, Trouble> {
    if !args.merge.is_empty() {
        return merge(&args, &common);
    }
    let context = Context::open(common).await?;
    let vault = context.vault().await?;
    let reading = reading::read(&context, &vault, crate::plan::Wish::default()).await?;
    let as_of = ahead(args.as_of, reading.now)?;
    let turn = proving::Turn::try_take(&vault, "status").await;
    let fresh = BTreeMap::new();
    let proved = proving::prove(&context, &vault, &reading, as_of, turn.keeper(), &fresh).await;
    // Whoever changes the vault meanwhile knows better than this reading.
    if as_of.is_none()
        && let Some(writer) = turn.writer()
        && let Err(error) = proving::remember(writer, &reading, &proved).await
    {
        context.progress.say(&format!("warning: the vault could not remember this run: {error}\n"));
    }
    let mut proved_status = proved.status;
    if args.as_of.is_none() {
        let (writer, operator) = (turn.writer(), &reading.operator);
        let about = if is_of_all(&context) {
            About::Fleet
        } else {
            let wrong = |why| Trouble::new(Verdict::Usage, why);
            let Common { tenant, label, .. } = &context.common;
            About::Chosen(Selection::new(tenant, label).map_err(wrong)?)
        };
        proved_status.left = left::look(&context, &vault, writer, operator, about).await?;
    }
    drop(turn);
    let status = chosen(proved_status, args.pending);
    // Held against the headers as they were read, before this run wrote what it saw.
    let changed =
        args.since_last.then(|| status::changes(&status, &context.manifest, &reading.seen.records));
    let verdict = FailOn::verdict(&args.fail_on, &status, Verdict::Done);
    if context.common.json {
        let sandbox = context.is_sandbox();
        output::print_json(&match &changed {
            Some((changes, latest)) => json::status_changes(&status, sandbox, changes, *latest),
            None => json::status(&status, sandbox),
        });
    } else {
        let mut paper = Paper::new(stdout_width());
        match &changed {
            Some((changes, latest)) => words::changes(&mut paper, &status, changes, *latest),
            None => write(&mut paper, &status, args.pending),
        }
        exit_line(&mut paper, &status, verdict);
        output::print_folded(&format!("Tenants of fleet {}", status.fleet), &paper.into_text());
    }
    // Of what could not be read nobody may take `changes=false`.
    if reading.unreadable().is_none() {
        context.common.ending.outputs(
            !reading.plan.is_empty(),
            reading.plan.checksum(),
            people_left(&status),
        );
    }
    save(&context, &status)?;
    if let Some(failure) = reading.unreadable() {
        return Err(unreadable(&context, failure));
    }
    let stopped = context.stop.requested();
    context.close().await;
    Ok(stopped.map_or(verdict, Verdict::Stopped))
}

/// Whether the run is about the whole fleet, or a whole shard of it: who was offboarded is in no
/// manifest, and answers to no pattern.
fn is_of_all(context: &Context) -> bool {
    context.common.tenant.is_empty() && context.common.label.is_empty()
}

/// Makes one of several jobs' reports.
fn merge(args: &StatusArgs, common: &Common) -> Result<Verdict, Trouble> {
    let wrong = |why: String| {
        Trouble::new(Verdict::Usage, "the reports cannot be made one")
            .why(why)
            .next("name the JSON report of every shard once: status --shard K/N --report FILE.json")
    };
    let read = |path: &PathBuf| {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|e| wrong(format!("{name}: {e}")))?;
        let part: status::Part = serde_json::from_str(&text)
            .map_err(|e| wrong(format!("{name} is no status report of tenantry: {e}")))?;
        Ok((name, part))
    };
    let parts = args.merge.iter().map(read).collect::<Result<_, Trouble>>()?;
    let merged = status::merge(parts, common.place()).map_err(|why| wrong(why.to_string()))?;
    let status::Merged { status, sandbox } = merged;
    let status = chosen(status, args.pending);
    let verdict = FailOn::verdict(&args.fail_on, &status, Verdict::Done);
    if common.json {
        output::print_json(&json::status(&status, sandbox));
    } else {
        let mut paper = Paper::new(stdout_width());
        write(&mut paper, &status, args.pending);
        exit_line(&mut paper, &status, verdict);
        output::print(&paper.into_text());
    }
    tell(common, sandbox, &status)?;
    Ok(verdict)
}

/// A status as it stands on the screen: all of it, or what is left for the people asked about.
fn write(paper: &mut Paper, status: &Status, pending: Option<Pending>) {
    match pending {
        Some(Pending::Portal) => words::portal(paper, status),
        Some(Pending::Consent) => words::consent(paper, status),
        Some(Pending::SignIn) => words::sign_in(paper, status),
        None => return words::write(paper, status),
    }
    paper.gap();
    words::last_line(paper, status);
}

fn chosen(status: Status, pending: Option<Pending>) -> Status {
    match pending {
        Some(pending) => only(status, pending),
        None => status,
    }
}

fn only(mut status: Status, pending: Pending) -> Status {
    let summary = status.summary();
    let keys = match pending {
        Pending::Portal => summary.need_portal_authorization,
        Pending::Consent => summary.need_admin_consent,
        Pending::SignIn => summary.need_sign_in,
    };
    let all = status.tenants.len();
    status.keep(&keys);
    status.partial |= status.tenants.len() < all;
    status
}

/// Writes the report that was asked for, and what a pipeline shows of the tenants.
pub(super) fn save(context: &Context, status: &Status) -> Result<(), Trouble> {
    context.common.ending.annotate(ci::of_status(status, &context.manifest));
    tell(&context.common, context.is_sandbox(), status)
}

/// The same of tenants of which no manifest is at hand.
fn tell(common: &Common, sandbox: bool, status: &Status) -> Result<(), Trouble> {
    common.ending.summary(|| file::status_markdown(status, sandbox));
    report(common, |kind| {
        let report = match kind {
            Kind::Json => file::json_text(&json::status(status, sandbox)),
            Kind::Markdown => file::status_markdown(status, sandbox),
            Kind::Html => html::status(status, sandbox),
            Kind::Csv => file::status_csv(status, sandbox),
        };
        common.ending.with_what_was_done(kind, report)
    })
}
