//! `tenantry export`

mod ready;

use std::{
    collections::BTreeMap,
    io::{ErrorKind, IsTerminal, Write},
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};
use serde_json::json;
use zeroize::Zeroizing;

use self::ready::{Gathered, gather};
use super::{
    Common,
    context::{self, Context, no_manifest, sources, stdout_width},
    output,
};
use crate::{
    ids::TenantKey,
    manifest::{self, DirectoryName, Manifest},
    plan::Scope,
    report::{
        ci,
        error::Trouble,
        file, pages,
        paper::{Paper, clean},
        plan::count,
        siem::{Document, Handover, Siem, Values, sentinel},
    },
    verdict::Verdict,
};

/// Write what a SIEM is filled with, or the page that administrators land on after consenting
///
/// A file that holds secrets is its owner's alone (0600). The audit gets a line for each value first.
/// Tenants that have no app, secret or sign-in yet, or that the SIEM cannot read, are named and left
/// out, and the others are written; the exit code is 1 then. Those that wait for somebody's consent
/// are written and named.
///
/// Contacts nobody but the vault.
#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    /// The tenants that it is for; all that --tenant and --label choose where none is named
    #[arg(value_name = "KEY")]
    keys: Vec<TenantKey>,
    /// What to write
    #[arg(long, value_name = "WHAT")]
    format: Format,
    /// Where to, instead of standard output: a file; for splunk and elastic a folder
    #[arg(long, value_name = "PATH")]
    out: Option<PathBuf>,
    /// Write secrets even to a terminal; with json: write them at all
    #[arg(long)]
    reveal: bool,
}

/// What can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Splunk Add-on for Microsoft Security: a script that creates the accounts, and inputs.conf
    Splunk,
    /// Elastic's m365_defender: a Fleet package policy for each tenant
    Elastic,
    /// Wazuh's ms-graph: a block for ossec.conf
    Wazuh,
    /// Variables for a shell, as Microsoft's libraries read them; of several tenants, each name begins
    /// with the tenant's
    Env,
    /// Ids, addresses and where the secrets lie; the secrets themselves with --reveal
    Json,
    /// Nothing, and why
    Sentinel,
    /// The static page to serve at consent.redirectUri: one page serves every customer
    ConsentPage,
}

pub(super) async fn run(args: ExportArgs, common: Common) -> Result<Verdict, Trouble> {
    let ExportArgs { keys, format, out, reveal } = args;
    let asked = Asked { keys, out, reveal };
    match format {
        Format::Splunk => siem(Siem::Splunk, &asked, common).await,
        Format::Elastic => siem(Siem::Elastic, &asked, common).await,
        Format::Wazuh => siem(Siem::Wazuh, &asked, common).await,
        Format::Env => siem(Siem::Env, &asked, common).await,
        Format::Json => siem(Siem::Json, &asked, common).await,
        Format::Sentinel => plain(&asked, &common, |_| sentinel(stdout_width())),
        Format::ConsentPage => {
            plain(&asked, &common, |manifest| pages::landing(provider(&manifest.home.tenant)))
        }
    }
}

/// What was asked for besides the format.
struct Asked {
    keys: Vec<TenantKey>,
    out: Option<PathBuf>,
    reveal: bool,
}

/// What needs nothing but the manifest.
fn plain(
    asked: &Asked,
    common: &Common,
    text: impl FnOnce(&Manifest) -> String,
) -> Result<Verdict, Trouble> {
    let manifest = manifest::load(&sources(common)).map_err(|e| no_manifest(common, &e))?;
    chosen(common, &manifest, &asked.keys)?;
    let text = text(&manifest);
    let Some(path) = &asked.out else {
        output::print(&text);
        return Ok(Verdict::Done);
    };
    let text = anstream::adapter::strip_str(&text).to_string();
    // No secret is in it, and a web server must be able to read it: the rights are the system's own.
    std::fs::write(path, &text).map_err(|error| not_written(path, &error))?;
    wrote(std::slice::from_ref(path));
    Ok(Verdict::Done)
}

/// What is filled from the vault.
async fn siem(siem: Siem, asked: &Asked, common: Common) -> Result<Verdict, Trouble> {
    let Asked { keys, out, reveal } = asked;
    let values = match (siem.needs_values(), reveal) {
        (true, _) | (false, true) => Values::Written,
        (false, false) => Values::Referred,
    };
    if values == Values::Written && out.is_none() && !reveal {
        // What a pipeline's step prints is kept in its log.
        let shown_by = match common.ending.ci() {
            _ if std::io::stdout().is_terminal() => Some("a terminal"),
            ci::Ci::None => None,
            ci::Ci::GitHub | ci::Ci::Azure => Some("a pipeline, whose log keeps what is printed"),
        };
        if let Some(place) = shown_by {
            return Err(Trouble::new(
                Verdict::Usage,
                format!("--format {} holds secrets, and this is {place}", siem.as_str()),
            )
            .next("give a place with --out; --reveal shows them here all the same"));
        }
    }
    let context = Context::open(common).await?;
    let chosen = chosen(&context.common, &context.manifest, keys)?;
    let vault = context.vault().await?;
    let gathered = tokio::select! {
        biased;
        signal = context.stop.told() => return Ok(Verdict::Stopped(signal)),
        gathered = gather(&context, &vault, &chosen, siem, values) => gathered?,
    };
    let Gathered { handover, never_read } = gathered;
    // A list of nobody is still a list; a file for a SIEM without a tenant would be of no use.
    if !handover.tenants.is_empty() || siem == Siem::Json {
        deliver(siem, &handover, out.as_deref(), &context)?;
        advise(siem, &handover, &never_read, &context);
    }
    let verdict = left_out(&handover, &context.common);
    context.close().await;
    verdict
}

/// The tenants that are meant: those named, those that `--tenant` and `--label` choose, or all.
fn chosen(common: &Common, manifest: &Manifest, keys: &[TenantKey]) -> Result<Scope, Trouble> {
    if let Some(key) = keys.iter().find(|key| !manifest.tenants.contains_key(*key)) {
        return Err(Trouble::new(
            Verdict::Usage,
            format!("no tenant of the manifest answers to {key}"),
        )
        .next("the keys are those under `tenants` in the manifest"));
    }
    let mut common = common.clone();
    common.tenant.extend(keys.iter().map(ToString::to_string));
    let scope = context::scope(&common, manifest)?;
    match keys.iter().find(|key| !scope.tenants.contains(*key)) {
        Some(key) => {
            Err(Trouble::new(Verdict::Usage, format!("{key} has not every --label that is asked")))
        }
        None => Ok(scope),
    }
}

/// Brings the files to where they were asked for.
fn deliver(
    siem: Siem,
    handover: &Handover<'_>,
    out: Option<&Path>,
    context: &Context,
) -> Result<(), Trouble> {
    let documents = siem.write(handover);
    let Some(path) = out else {
        // Not through what paints and strips colours: every byte counts.
        let mut stdout = std::io::stdout().lock();
        let text = siem.joined(&documents);
        // But for what a runner would take for a command: only names can hold such a thing.
        let ci = ci::reader();
        let text = Zeroizing::new(match siem {
            Siem::Json => ci.harmless_json(&text).into_owned(),
            Siem::Splunk | Siem::Elastic | Siem::Wazuh | Siem::Env => {
                ci.harmless(&text).into_owned()
            }
        });
        return stdout
            .write_all(text.as_bytes())
            .and_then(|()| stdout.flush())
            .map_err(|error| not_written(Path::new("standard output"), &error));
    };
    let mut written = Vec::new();
    if siem.is_folder() {
        file::make_folder(path).map_err(|error| not_written(path, &error))?;
        for Document { name, text } in &documents {
            let path = path.join(name);
            file::save(&path, text).map_err(|error| not_written(&path, &error))?;
            written.push(path);
        }
    } else {
        for Document { name: _, text } in &documents {
            file::save(path, text).map_err(|error| not_written(path, &error))?;
            written.push(path.to_owned());
        }
    }
    if context.common.json {
        let left_out = handover.left_out.iter().map(|(key, why)| json!({"key": key, "why": why}));
        output::print_json(&json!({
            "formatVersion": 1,
            "fleet": handover.fleet,
            "format": siem.as_str(),
            "sandbox": handover.sandbox,
            "wrote": written,
            "tenants": handover.tenants.iter().map(|tenant| &tenant.key).collect::<Vec<_>>(),
            "leftOut": left_out.collect::<Vec<_>>(),
        }));
    } else {
        wrote(&written);
    }
    Ok(())
}

/// Says what to do with the files, and what to know of them.
fn advise(siem: Siem, handover: &Handover<'_>, never_read: &[TenantKey], context: &Context) {
    if context.common.quiet {
        return;
    }
    let mut paper = Paper::new(context::stderr_width());
    let next = siem.next(handover.values);
    paper.say(0, None, &format!("{}: {next}.", count(handover.tenants.len(), "tenant")));
    if !never_read.is_empty() {
        let keys: Vec<_> = never_read.iter().map(ToString::to_string).collect();
        paper.say(
            0,
            None,
            &format!(
                "Incidents of {} have never been read here: whoever reads them now may be refused \
                 until everyone has done their part ({} says who).",
                keys.join(", "),
                context.common.command("status")
            ),
        );
    }
    for tenant in &handover.tenants {
        if siem == Siem::Elastic
            && let Some(ends) = tenant.refresh_token.as_ref().and_then(|token| token.ends)
        {
            paper.say(
                0,
                None,
                &format!(
                    "{}: Elastic uses this refresh token and stores no newer one: export again \
                     before {ends:.0}.",
                    tenant.key
                ),
            );
        }
    }
    context.progress.say(&paper.into_text());
}

/// How it ends: failed where somebody was left out.
fn left_out(handover: &Handover<'_>, common: &Common) -> Result<Verdict, Trouble> {
    let Handover { left_out, asked, tenants, .. } = handover;
    if left_out.is_empty() {
        return Ok(Verdict::Done);
    }
    let what = match tenants.len() {
        0 => format!("nothing to export: {} left out", count(left_out.len(), "tenant")),
        _ => format!("{} of {asked} left out; the others are written", left_out.len()),
    };
    // Many are left out for one reason: it is said once.
    let mut reasons: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (key, why) in left_out {
        reasons.entry(why).or_default().push(key.as_str());
    }
    let trouble = reasons.into_iter().fold(Trouble::new(Verdict::Failed, what), |trouble, one| {
        let (why, keys) = one;
        trouble.why(format!("{}: {why}", keys.join(", ")))
    });
    Err(trouble.next(format!(
        "{} says what each still needs; name the tenants that you want to leave the others unsaid",
        common.command("explain KEY")
    )))
}

fn wrote(paths: &[PathBuf]) {
    for path in paths {
        output::print(&format!("wrote {}\n", clean(&path.to_string_lossy())));
    }
}

fn not_written(path: &Path, error: &std::io::Error) -> Trouble {
    let trouble = Trouble::new(
        Verdict::Failed,
        format!("{} was not written", clean(&path.to_string_lossy())),
    );
    match error.kind() {
        // The system's words would name a file that we only meant to rename.
        ErrorKind::NotFound => {
            trouble.why("the folder that it shall be in does not exist").next("make it first")
        }
        ErrorKind::AlreadyExists | ErrorKind::NotADirectory => trouble
            .why("there is a file of that name where a folder must be")
            .next("splunk and elastic are written into a folder: give --out another name"),
        _ => trouble.why(error.to_string()),
    }
}

/// The provider as customers know it: its domain. A directory's id would tell them nothing.
fn provider(home: &DirectoryName) -> Option<&str> {
    match home {
        DirectoryName::Domain(domain) => Some(domain.as_str()),
        DirectoryName::Id(_) => None,
    }
}
