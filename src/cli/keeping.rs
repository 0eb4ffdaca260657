//! `tenantry vault init` and `tenantry reveal`: both need the manifest only to find the vault.

use std::fmt::Display;

use jiff::Timestamp;

use super::{
    Common,
    context::Context,
    reveal::{self, RevealArgs},
    vault::{self, InitArgs},
};
use crate::{report::error::Trouble, vault::Severity, verdict::Verdict};

pub(super) async fn init(args: InitArgs, common: Common) -> Result<Verdict, Trouble> {
    let context = Context::open(common).await?;
    let keeping = context.keeping().await?;
    let fleet = &context.manifest.fleet;
    let format = context.common.format();
    vault::run(&args, &keeping, fleet, format, &mut std::io::stdout()).await.map_err(|error| {
        trouble("the vault was not made", &error, error.severity(), error.hint())
    })?;
    context.close().await;
    Ok(Verdict::Done)
}

pub(super) async fn reveal(args: RevealArgs, common: Common) -> Result<Verdict, Trouble> {
    let context = Context::open(common).await?;
    let kept = context.vault().await?;
    let format = context.common.format();
    // Nobody is asked at Microsoft, so the audit has the name that this machine knows.
    let who = person();
    reveal::run(&args, &kept, &who, Timestamp::now(), format, &mut std::io::stdout())
        .await
        .map_err(|error| trouble("nothing was revealed", &error, error.severity(), error.hint()))?;
    context.close().await;
    Ok(Verdict::Done)
}

/// Who sits here, by the system's word: good enough for an audit that the same person could edit.
pub(super) fn person() -> String {
    ["SUDO_USER", "USER", "LOGNAME"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
        .unwrap_or_else(|| "unknown user".to_owned())
}

fn trouble(what: &str, error: &impl Display, severity: Severity, hint: Option<&str>) -> Trouble {
    let verdict = match severity {
        Severity::Guard => Verdict::Guarded,
        Severity::MayNot => Verdict::MayNot,
        Severity::Usage => Verdict::Usage,
        Severity::Failed => Verdict::Failed,
    };
    let trouble = Trouble::new(verdict, what).why(error.to_string());
    match hint {
        Some(hint) => trouble.next(hint),
        None => trouble,
    }
}
