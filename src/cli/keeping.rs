//! `tenantry vault init`, `tenantry vault copy` and `tenantry reveal`: they need the manifest only to
//! find the vault.

use std::fmt::Display;

use jiff::Timestamp;

use serde_json::json;

use super::{
    Common, Format,
    apply::turn,
    context::{Context, vault_trouble},
    output,
    reveal::{self, RevealArgs},
    vault::{self, CopyArgs, InitArgs},
};
use crate::{
    cloud::CloudName,
    manifest::{self, VaultLocation},
    report::{error::Trouble, plan::count},
    vault::{AuditEntry, CopyReport, Severity},
    verdict::Verdict,
};

pub(super) async fn init(args: InitArgs, common: Common) -> Result<Verdict, Trouble> {
    let context = Context::open(common).await?;
    let keeping = context.keeping().await?;
    let fleet = &context.manifest.fleet;
    let format = context.common.format();
    // The place that is said comes from the manifest: it goes out the way all text does.
    let mut said = Vec::new();
    vault::run(&args, &keeping, fleet, format, &mut said).await.map_err(|error| {
        trouble("the vault was not made", &error, error.severity(), error.hint())
    })?;
    let said = String::from_utf8_lossy(&said);
    match format {
        Format::Text => output::print(&said),
        Format::Json => output::print_json_text(&said),
    }
    context.close().await;
    Ok(Verdict::Done)
}

pub(super) async fn copy(args: CopyArgs, common: Common) -> Result<Verdict, Trouble> {
    let context = Context::open(common).await?;
    if context.is_boxed() {
        return Err(Trouble::new(Verdict::Usage, "the sandbox's own vault is not copied")
            .next("leave --sandbox out, or use a server: tenantry sandbox, and --cloud"));
    }
    let to = if args.to.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("https:")) {
        let cloud = context.cloud.name.or(Some(CloudName::Global));
        let named = manifest::key_vault_address(&args.to, cloud)
            .map_err(|why| Trouble::new(Verdict::Usage, format!("--to: {why}")))?;
        VaultLocation::KeyVault(named)
    } else if let Some(scheme) = scheme(&args.to) {
        return Err(Trouble::new(
            Verdict::Usage,
            format!("--to: {scheme}: is no place for a vault"),
        )
        .next("name a folder, or a key vault as https://NAME.vault.azure.net"));
    } else {
        VaultLocation::Folder(args.to.clone().into())
    };
    let target = context.keeping_at(&to).await?;
    let vault = context.vault().await?;
    let Some(writer) = turn(&context, &vault, "vault copy").await? else {
        return Ok(Verdict::Stopped(context.stop.told().await));
    };
    let entry = AuditEntry::new(Timestamp::now(), person(), "vault copy");
    let report = writer.copy_to(&target, entry).await.map_err(|error| {
        vault_trouble("the vault was not copied; the old one is as it was", &error)
    })?;
    let CopyReport { place, id, apps, values, key_file } = &report;
    if context.common.json {
        output::print_json(&json!({
            "formatVersion": 1, "vault": id, "to": place.to_string(), "apps": apps,
            "values": values, "keyFile": key_file,
        }));
    } else {
        let key = key_file.as_ref().map_or_else(String::new, |file| {
            format!("Its key is {}: back it up.\n", file.display())
        });
        output::print(&format!(
            "vault {id} copied to {place}: {} and {}, each value compared\n{key}Now name the new \
             place under `vault` in the manifest, and put the old one away.\n",
            count(*apps, "app"),
            count(*values, "value"),
        ));
    }
    drop(writer);
    context.close().await;
    Ok(Verdict::Done)
}

/// The scheme of what looks like an address and would make a folder of that name. A single letter is
/// a Windows drive.
fn scheme(place: &str) -> Option<&str> {
    let (scheme, rest) = place.split_once(':')?;
    let spelled = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    (spelled && scheme.len() > 1 && rest.starts_with('/')).then_some(scheme)
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
