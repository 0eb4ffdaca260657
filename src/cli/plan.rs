//! `tenantry plan`

use std::path::{Path, PathBuf};

use clap::Args;
use jiff::Timestamp;

use super::{
    Common,
    context::{Context, stdout_width},
    output,
    reading::{self, Reading},
};
use crate::{
    plan::{Ahead, Percent, Refused, Wish},
    report::{
        ci,
        error::Trouble,
        file::{self, Kind},
        forecast, html, json,
        paper::Paper,
        plan::{self as words, Extent},
    },
    verdict::Verdict,
};

/// Show every change, every person's step and every obstacle; change nothing
///
/// Reads the manifest, the vault's headers and every directory in which apps live or are granted
/// something, and prints what apply would do. It cannot write: every request but GET is refused
/// beneath it, token requests apart.
#[derive(Debug, Args)]
pub(super) struct PlanArgs {
    /// Show every app, those without changes too
    #[arg(long)]
    full: bool,
    /// Exit with 2 where changes are planned
    #[arg(long)]
    detailed_exitcode: bool,
    /// Plan to make new secrets for apps whose vault is lost
    #[arg(long)]
    reissue: bool,
    /// Plan to remove secrets, certificates and federated credentials that are not ours: each is named
    #[arg(long)]
    remove_foreign: bool,
    /// Plan what would be due on this day, if nobody did anything until then
    #[arg(long, value_name = "DATE", value_parser = super::status::moment, conflicts_with = "out")]
    as_of: Option<Timestamp>,
    /// Also save the plan, to be looked at and then applied as it is: tenantry apply FILE
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    limit: Limit,
}

/// How much may be changed at once.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct Limit {
    /// Refuse to change more of the existing apps than this, from 10 of them up; new apps and new
    /// secrets do not count
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u8).range(0..=100))]
    max_change_percent: u8,
}

impl Limit {
    /// The same for the planner.
    pub(super) fn most_changes(self) -> Option<Percent> {
        Some(Percent(self.max_change_percent))
    }
}

pub(super) async fn run(args: PlanArgs, common: Common) -> Result<Verdict, Trouble> {
    let context = Context::open(common).await?;
    let vault = context.vault().await?;
    let wish = Wish {
        reissue: args.reissue,
        remove_foreign: args.remove_foreign,
        most_changes: args.limit.most_changes(),
        as_of: args.as_of,
        ..Wish::default()
    };
    let reading = reading::read(&context, &vault, wish).await?;
    super::status::ahead(args.as_of, reading.seen.clock(reading.now))?;
    let plan = &reading.plan;
    let extent = if args.full { Extent::Full } else { Extent::Short };
    if context.common.json {
        output::print_json(&json::plan(
            plan,
            &context.common.place(),
            context.is_sandbox(),
            &reading.seen.wish,
        ));
    } else {
        let title = format!("Plan for fleet {}", plan.fleet);
        output::print_folded(&title, &text(&context, &reading, extent, stdout_width()));
    }
    let whole = || {
        let screen = text(&context, &reading, Extent::Full, 100);
        anstream::adapter::strip_str(&screen).to_string()
    };
    let ending = &context.common.ending;
    ending.annotate(ci::of_plan(plan, &context.manifest));
    ending.summary(|| file::plan_markdown(plan, &whole(), context.is_sandbox()));
    // Of what could not be read nobody may take `changes=false`.
    if reading.unreadable().is_none() && !(plan.is_empty() && plan.summary().unreadable > 0) {
        ending.outputs(!plan.is_empty(), plan.checksum(), plan.summary().manual);
    }
    context.report(|kind| match kind {
        Kind::Json => file::json_text(&json::plan(
            plan,
            &context.common.place(),
            context.is_sandbox(),
            &reading.seen.wish,
        )),
        Kind::Markdown => file::plan_markdown(plan, &whole(), context.is_sandbox()),
        Kind::Html => html::plan(plan, &whole(), context.is_sandbox()),
        Kind::Csv => file::plan_csv(plan),
    })?;
    let verdict = verdict(&args, &context, &reading)?;
    if let Some(path) = &args.out {
        save(&context, &reading, path)?;
    }
    context.close().await;
    Ok(verdict)
}

/// Saves the plan, where nothing stands in its way: what cannot be applied is not to be signed off.
fn save(context: &Context, reading: &Reading, path: &Path) -> Result<(), Trouble> {
    let plan = &reading.plan;
    let text = file::json_text(&json::plan(
        plan,
        &context.common.place(),
        context.is_sandbox(),
        &reading.seen.wish,
    ));
    file::save(path, &text).map_err(|error| {
        Trouble::new(Verdict::Failed, format!("the plan was not saved to {}", path.display()))
            .why(error.to_string())
    })?;
    context.progress.say(&format!(
        "saved in {}, checksum {}; to apply it as it is: {} {}\n",
        path.display(),
        plan.checksum(),
        context.common.command("apply"),
        super::quoted(&path.display().to_string())
    ));
    Ok(())
}

fn verdict(args: &PlanArgs, context: &Context, reading: &Reading) -> Result<Verdict, Trouble> {
    if let Some(failure) = reading.unreadable() {
        return Err(unreadable(context, failure));
    }
    let guards = reading.plan.guards();
    if !guards.is_empty() {
        return Err(guarded(&Refused::Guards(guards)));
    }
    let changes = args.detailed_exitcode && !reading.plan.is_empty();
    Ok(if changes { Verdict::ChangesPlanned } else { Verdict::Done })
}

/// A plan as it stands on the screen.
pub(super) fn text(context: &Context, reading: &Reading, extent: Extent, width: usize) -> String {
    let mut paper = Paper::new(width).at(context.common.place());
    words::write(&mut paper, &context.manifest, &reading.plan, reading.requests, extent);
    if let Some(Ahead { as_of, due }) = &reading.plan.ahead {
        forecast::write(&mut paper, due, *as_of, &context.common.place());
    }
    paper.into_text()
}

/// The provider's directory could not be read: nothing can be planned.
pub(super) fn unreadable(context: &Context, failure: &crate::failure::Failure) -> Trouble {
    let home = &context.manifest.home.tenant;
    Trouble::of(format!("the provider's directory {home} could not be read"), failure)
}

/// A guard refused.
pub(super) fn guarded(refused: &Refused) -> Trouble {
    let Refused::Guards(guards) = refused;
    let mut trouble = Trouble::new(Verdict::Guarded, "a guard refused; nothing was changed");
    for (app, diagnostic) in guards.iter().take(10) {
        let app = app.as_ref().map_or_else(String::new, |app| format!("{app}: "));
        trouble = trouble.why(format!("{app}{}", diagnostic.summary));
    }
    if guards.len() > 10 {
        trouble = trouble.why(format!("… {} more", guards.len() - 10));
    }
    match guards.iter().find_map(|(_, diagnostic)| diagnostic.hint.clone()) {
        Some(hint) => trouble.next(hint),
        None => trouble,
    }
}
