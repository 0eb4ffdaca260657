//! `tenantry tokens refresh`

use std::collections::BTreeMap;

use clap::Subcommand;
use jiff::Timestamp;

use super::{
    Common,
    apply::turn,
    context::{Context, vault_trouble},
    output,
};
use crate::{
    ids::TenantKey,
    prove::{self, Asking, Keeper, Wallet},
    report::{
        error::Trouble,
        progress::Phase,
        tokens::{Document, Summary},
    },
    verdict::Verdict,
};

/// What is done with refresh tokens.
#[derive(Debug, Clone, Copy, Subcommand)]
pub(super) enum TokensCommand {
    /// Use every held refresh token once, and keep the new one that comes in its place
    ///
    /// One that nobody uses for 90 days dies, and its analyst must sign in again: run this at least
    /// every 30 days where no status or apply runs. It asks Entra ID alone, and changes only the
    /// vault.
    Refresh,
}

pub(super) async fn refresh(common: Common) -> Result<Verdict, Trouble> {
    let context = Context::open(common).await?;
    let vault = context.vault().await?;
    let Some(writer) = turn(&context, &vault, "tokens refresh").await? else {
        return Ok(Verdict::Stopped(context.stop.told().await));
    };
    let records = vault
        .records()
        .await
        .map_err(|error| vault_trouble("the vault's records cannot be read", &error))?;
    let (held, unusable) =
        prove::held(&context.manifest, &context.scope.tenants, &records, Timestamp::now());
    let all = held.len() + unusable.len();
    let bar = context.progress.bar(Phase::Prove, held.len());
    let on_tenant = |_: &TenantKey| bar.step();
    let asking = Asking {
        network: &context.network,
        cloud: &context.cloud,
        wallet: Wallet { vault: &vault, issuers: &context.issuers },
        keeper: Keeper::Writer(&writer),
        fresh: &BTreeMap::new(),
        parallelism: usize::from(context.common.parallelism),
        stop: &context.stop,
        on_tenant: &on_tenant,
    };
    let mut proofs = prove::refresh(&asking, &held).await;
    bar.finish();
    proofs.extend(unusable);
    let document = Document::of(&context.manifest.fleet, context.is_sandbox(), all, &proofs);
    if context.common.json {
        output::print_json(&document.json());
    } else {
        output::print(&document.text());
    }
    let stopped = context.stop.requested();
    context.close().await;
    Ok(stopped.map_or_else(|| verdict(document.summary()), Verdict::Stopped))
}

/// Done where every token works and lives on, failed where none does.
fn verdict(summary: Summary) -> Verdict {
    let Summary { held, refreshed, .. } = summary;
    match (held - refreshed, refreshed) {
        (0, _) => Verdict::Done,
        (_, 0) => Verdict::Failed,
        (_, _) => Verdict::PartlyApplied,
    }
}
