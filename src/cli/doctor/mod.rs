//! `tenantry doctor`

mod directory;
mod rights;
mod vault;

use clap::Args;
use serde_json::json;

use super::{
    Common,
    context::{Context, stdout_width},
    output,
    reading::stopped,
};
use crate::{
    failure::Failure,
    report::{
        doctor::{self as words, Check, Health},
        error::Trouble,
        file::{self, Kind},
        html,
        json::FORMAT_VERSION,
        paper::Paper,
    },
    verdict::Verdict,
};

/// Show what works and what is missing: identity, rights, policies, clocks, vault
///
/// Says which way of signing in was taken and why the others were not; of each right that this
/// manifest's plan needs whether the operator has it, how to get it, and which are more than it takes;
/// how near the operator is to its quota; what customers see of the publisher; whether each customer
/// is in this cloud; and whether the vault can be read and written. It changes nothing.
#[derive(Debug, Args)]
pub(super) struct DoctorArgs {}

pub(super) async fn run(args: DoctorArgs, common: Common) -> Result<Verdict, Trouble> {
    let DoctorArgs {} = args;
    let context = Context::open(common).await?;
    let mut checks = Vec::new();
    let look = async {
        let found = directory::look(&context, &mut checks).await;
        vault::look(&context, &mut checks).await;
        found
    };
    let (verdict, rights) = tokio::select! {
        biased;
        signal = context.stop.told() => return Err(stopped(signal)),
        found = look => found,
    };
    let document = json!({
        "formatVersion": FORMAT_VERSION,
        "fleet": context.manifest.fleet,
        "sandbox": context.is_sandbox(),
        "checks": checks,
        "rights": rights,
    });
    let (fleet, sandbox) = (&context.manifest.fleet, context.is_sandbox());
    context.report(|kind| match kind {
        Kind::Json => file::json_text(&document),
        Kind::Markdown => words::markdown(fleet, &checks, sandbox),
        Kind::Html => html::doctor(fleet, &checks, sandbox),
        Kind::Csv => words::csv(&checks, sandbox),
    })?;
    if context.common.json {
        output::print_json(&document);
    } else {
        let mut paper = Paper::new(stdout_width());
        words::write(&mut paper, &checks);
        output::print(&paper.into_text());
    }
    let missing = checks.iter().any(|check| check.health == Health::Missing);
    context.close().await;
    Ok(if verdict == Verdict::Done && missing { Verdict::Failed } else { verdict })
}

fn works(about: &str, found: impl Into<String>) -> Check {
    Check { about: about.to_owned(), health: Health::Works, found: found.into(), remedy: None }
}

fn failed(about: &str, failure: &Failure, remedy: &str) -> Check {
    let health = if failure.cause.is_an_answer() { Health::Missing } else { Health::Unknown };
    let remedy = failure.hint.clone().unwrap_or_else(|| remedy.to_owned());
    Check { about: about.to_owned(), health, found: failure.line(), remedy: Some(remedy) }
}
