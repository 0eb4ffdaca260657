//! What is left with customers that were offboarded: looked for, shown, and forgotten when it is
//! gone or somebody says so.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{
    context::{Context, vault_trouble},
    keeping::person,
    output,
};
use crate::{
    entra::Operator,
    ids::{AppKey, TenantKey},
    manifest::select::Selection,
    offboard::{self, Ways},
    plan::offboard::{Sighting, witness},
    report::{error::Trouble, paper::clean},
    status::Left,
    vault::{AuditEntry, Leftover, Vault, VaultWriter},
    verdict::Verdict,
};

/// Which of it a command is about.
pub(super) enum About<'a> {
    /// All of this job's part of the fleet.
    Fleet,
    /// Those that answer to what stood on the command line.
    Chosen(Selection),
    /// One tenant's.
    Tenant(&'a TenantKey),
}

/// Looks into the customers' directories where the operator may, and forgets what is gone there,
/// where the vault can be written.
pub(super) async fn look(
    context: &Context,
    vault: &Vault,
    writer: Option<&VaultWriter>,
    operator: &Operator,
    about: About<'_>,
) -> Result<Vec<Left>, Trouble> {
    let unread = |error| vault_trouble("what is left with customers cannot be read", &error);
    let mut named = vault.leftovers().await.map_err(unread)?;
    named.retain(|one| match &about {
        About::Fleet => context.scope.shard.is_none_or(|shard| shard.holds(&one.app)),
        About::Chosen(selection) => selection.names(&one.tenant),
        About::Tenant(key) => one.tenant == **key || one.app == AppKey::from(*key),
    });
    if named.is_empty() {
        return Ok(Vec::new());
    }
    let records = vault.records().await.map_err(unread)?;
    named.retain(|one| !one.is_in_use_again(&records));
    // An app that others still use is the one that can ask in that customer's directory.
    let mut proofs = BTreeMap::new();
    for one in named.iter().filter(|one| one.outlived_by_app(&records)) {
        let record = records.get(&one.app);
        if let Some((client, held)) = witness(record)
            && !proofs.contains_key(&client)
            && let Some(proof) = offboard::shown_by(vault, &one.app, held).await
        {
            proofs.insert(client, proof);
        }
    }
    let Context { network, cloud, .. } = context;
    let ways = Ways { network, cloud, operator };
    let parallelism = usize::from(context.common.parallelism);
    let (mut left, now, place) = (Vec::new(), Timestamp::now(), context.common.place());
    for (leftover, sighting) in offboard::look_again(ways, &named, &proofs, parallelism).await {
        let stays = leftover.outlived_by_app(&records);
        match Left::of(&leftover, Some(&sighting), stays, &place, now) {
            Some(still) => {
                left.push(still);
                remember(context, writer, &leftover, &sighting, now).await;
            }
            None => {
                let tenant = &leftover.tenant;
                context.progress.say(&format!("{tenant}: its enterprise application is gone\n"));
                if let Some(writer) = writer
                    && let Err(error) = gone(writer, &leftover, "seen-gone", &person(), &[]).await
                {
                    let warning = format!("warning: the vault names it still: {error}\n");
                    context.progress.say(&warning);
                }
            }
        }
    }
    Ok(left)
}

/// Keeps what was seen of it, where it tells more than what was known.
async fn remember(
    context: &Context,
    writer: Option<&VaultWriter>,
    leftover: &Leftover,
    sighting: &Sighting,
    now: Timestamp,
) {
    let (Some(writer), Sighting::There(Some(principal))) = (writer, sighting) else { return };
    // A new day is worth a line; the same day again is not.
    let day = |at: Timestamp| at.strftime("%Y-%m-%d").to_string();
    let known = leftover.principal == Some(*principal)
        && leftover.seen.is_some_and(|seen| day(seen) == day(now));
    if !known {
        let seen = Leftover { principal: Some(*principal), seen: Some(now), ..leftover.clone() };
        if let Err(error) = writer.name_leftover(&seen).await {
            context.progress.say(&format!("warning: the vault could not remember it: {error}\n"));
        }
    }
}

async fn gone(
    writer: &VaultWriter,
    leftover: &Leftover,
    step: &str,
    who: &str,
    ids: &[(&str, &str)],
) -> Result<(), crate::vault::VaultError> {
    let mut entry = AuditEntry::new(Timestamp::now(), who, "offboard")
        .step(step)
        .app(&leftover.app)
        .tenant(&leftover.tenant)
        .id("clientId", leftover.client_id)
        .id("directory", leftover.directory);
    for (name, id) in ids {
        entry = entry.id(name, id);
    }
    writer.audit(entry).await?;
    writer.forget_leftover(leftover).await
}

/// Takes somebody's word that a customer removed it.
pub(super) async fn attest(
    context: &Context,
    writer: &VaultWriter,
    key: &TenantKey,
    by: &str,
    ticket: Option<&str>,
) -> Result<Verdict, Trouble> {
    let unwritten = |error| vault_trouble("nothing was recorded", &error);
    let mut named = writer.leftovers().await.map_err(unwritten)?;
    let records = writer.records().await.map_err(unwritten)?;
    named.retain(|one| one.tenant == *key && !one.is_in_use_again(&records));
    if named.is_empty() {
        let why =
            format!("nothing of ours is named as left with {key}: there is nothing to attest");
        return Err(Trouble::new(Verdict::Usage, why)
            .next("tenantry status lists what is left with customers"));
    }
    let mut ids = vec![("by", by)];
    ids.extend(ticket.map(|ticket| ("ticket", ticket)));
    for leftover in &named {
        gone(writer, leftover, "attested-gone", &person(), &ids).await.map_err(unwritten)?;
    }
    let clients: Vec<String> = named.iter().map(|one| one.client_id.to_string()).collect();
    if context.common.json {
        output::print_json(&serde_json::json!({
            "formatVersion": crate::report::json::FORMAT_VERSION,
            "fleet": context.manifest.fleet,
            "sandbox": context.is_sandbox(),
            "tenant": key,
            "removed": clients,
        }));
    } else {
        let ticket = ticket.map_or_else(String::new, |ticket| format!(", {ticket}"));
        let line = format!(
            "{key}: the enterprise application of application id {} was removed, says {by}{ticket}; \
             it is named no more",
            clients.join(", ")
        );
        output::print(&format!("{}\n", clean(&line)));
    }
    Ok(Verdict::Done)
}
