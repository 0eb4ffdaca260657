//! `tenantry explain`

use std::collections::BTreeMap;

use clap::Args;

use super::{
    Common,
    context::{Context, scope, stdout_width},
    left::{self, About},
    output,
    plan::unreadable,
    proving, reading,
};
use crate::{
    ids::TenantKey,
    report::{error::Trouble, explain as words, json, offboard, paper::Paper},
    verdict::Verdict,
};

/// Explain one tenant: how it is, why, whose turn it is, what to do, which command to run
#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    /// The tenant's key in the manifest, or of one that was offboarded
    #[arg(value_name = "KEY")]
    key: String,
}

pub(super) async fn run(args: ExplainArgs, mut common: Common) -> Result<Verdict, Trouble> {
    let key: TenantKey =
        args.key.parse().map_err(|error| Trouble::new(Verdict::Usage, format!("KEY: {error}")))?;
    common.tenant.clear();
    common.label.clear();
    let mut context = Context::open(common).await?;
    let vault = context.vault().await?;
    let operator = context.operator().await?;
    let turn = proving::Turn::try_take(&vault, "explain").await;
    let of = About::Tenant(&key);
    let left = left::look(&context, &vault, turn.writer(), &operator, of).await?;
    drop(turn);
    context.common.tenant = vec![key.to_string()];
    if !context.manifest.tenants.contains_key(&key) && !left.is_empty() {
        if context.common.json {
            output::print_json(&json::left(&context.manifest.fleet, &left, context.is_sandbox()));
        } else {
            let mut paper = Paper::new(stdout_width());
            offboard::explain(&mut paper, &context.manifest.fleet, &left);
            output::print(&paper.into_text());
        }
        context.close().await;
        return Ok(Verdict::Done);
    }
    if !context.manifest.tenants.contains_key(&key) {
        return Err(Trouble::new(
            Verdict::Usage,
            format!(
                "{key} is no tenant of the manifest, and nothing of ours is named as left with it"
            ),
        )
        .why("of a customer that was offboarded no more is kept, once that is gone, than the audit")
        .next("the keys are those under `tenants` in the manifest"));
    }
    context.scope = scope(&context.common, &context.manifest)?;
    let reading = reading::read(&context, &vault, crate::plan::Wish::default()).await?;
    let turn = proving::Turn::try_take(&vault, "explain").await;
    let fresh = BTreeMap::new();
    let mut proved = proving::prove(&context, &vault, &reading, None, turn.keeper(), &fresh).await;
    proved.status.left = left;
    drop(turn);
    if context.common.json {
        output::print_json(&json::status(&proved.status, context.is_sandbox()));
    } else if let Some(tenant) = proved.status.tenants.first() {
        let mut paper = Paper::new(stdout_width());
        words::write(&mut paper, &proved.status, tenant);
        offboard::explain(&mut paper, &proved.status.fleet, &proved.status.left);
        output::print(&paper.into_text());
    }
    super::status::save(&context, &proved.status)?;
    if let Some(failure) = reading.unreadable() {
        return Err(unreadable(&context, failure));
    }
    context.close().await;
    Ok(Verdict::Done)
}
