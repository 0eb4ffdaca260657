//! `tenantry plan`

use clap::Args;

use super::{
    Common,
    context::{Context, stdout_width},
    output,
    reading::{self, Reading},
};
use crate::{
    plan::Refused,
    report::{
        error::Trouble,
        file::{self, Kind},
        html, json,
        paper::Paper,
        plan::{self as words, Extent},
    },
    verdict::Verdict,
};

/// Show every change, every person's step and every obstacle; change nothing
///
/// Reads the manifest, the vault's headers and the provider's directory, and prints what apply
/// would do. It cannot write: every request but GET is refused beneath it, token requests apart.
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
}

pub(super) async fn run(args: PlanArgs, common: Common) -> Result<Verdict, Trouble> {
    let context = Context::open(common).await?;
    let vault = context.vault().await?;
    let reading = reading::read(&context, &vault, args.reissue).await?;
    let plan = &reading.plan;
    let extent = if args.full { Extent::Full } else { Extent::Short };
    if context.common.json {
        output::print_json(&json::plan(plan, context.is_sandbox()));
    } else {
        output::print(&text(&context, &reading, extent, stdout_width()));
    }
    let whole = || {
        let screen = text(&context, &reading, Extent::Full, 100);
        anstream::adapter::strip_str(&screen).to_string()
    };
    context.report(|kind| match kind {
        Kind::Json => file::json_text(&json::plan(plan, context.is_sandbox())),
        Kind::Markdown => file::plan_markdown(plan, &whole(), context.is_sandbox()),
        Kind::Html => html::plan(plan, &whole(), context.is_sandbox()),
        Kind::Csv => file::plan_csv(plan),
    })?;
    let verdict = verdict(&args, &context, &reading)?;
    context.close().await;
    Ok(verdict)
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
    let mut paper = Paper::new(width);
    words::write(&mut paper, &context.manifest, &reading.plan, reading.requests, extent);
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
