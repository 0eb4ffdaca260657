//! `tenantry incidents`

use std::{collections::BTreeMap, os::fd::AsFd, path::PathBuf};

use clap::Args;
use jiff::{SignedDuration, Span, Timestamp, tz::TimeZone};

use super::{
    Common,
    context::{Context, vault_trouble},
    output, proving,
    status::moment,
};
use crate::{
    defender::{IncidentQuery, Severity, Standing},
    event::Event,
    incidents::{self, Checkpoint, CheckpointError, Delivery, Reading, Subject},
    prove,
    report::{error::Trouble, incidents as words, tokens},
    verdict::Verdict,
};

/// Read the incidents of all tenants that can be read, one JSON a line
///
/// Each line is what the service sent, with tenantKey, tenantId and connector before it. Tenants are
/// read side by side, never faster than 50 calls a minute and 1,500 an hour each. Who can be read is
/// taken from the vault: Graph is not asked what apps there are.
#[derive(Debug, Args)]
pub(super) struct IncidentsArgs {
    /// Only what changed since then: 2026-11-01, 2026-11-01T08:00:00Z, or a time ago such as 24h, 7d
    ///
    /// A tenant that the checkpoint knows is read on from there.
    #[arg(long, value_name = "WHEN", value_parser = since)]
    since: Option<Timestamp>,
    /// Only these severities
    #[arg(long, value_name = "SEVERITY", value_delimiter = ',')]
    severity: Vec<Severity>,
    /// Only incidents that stand so
    #[arg(long, value_name = "STATUS", value_delimiter = ',')]
    status: Vec<Standing>,
    /// With their alerts (the Defender XDR API always sends them)
    #[arg(long)]
    alerts: bool,
    /// Keep account in this file of what was handed out, and go on from there
    ///
    /// Each state of an incident is handed out once, however often a run is cut. Where the output is
    /// a file, it is looked at for what arrived; into a pipe, a line whose process is killed in the
    /// moment of writing it may come again, and none is lost.
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
}

/// A day, a moment, or a time ago.
fn since(text: &str) -> Result<Timestamp, String> {
    let Err(no_moment) = moment(text) else { return moment(text) };
    let ago: Span = text.parse().map_err(|_| format!("{no_moment}, or like 24h, 7d"))?;
    if ago.is_negative() {
        return Err("write how long ago without a sign, like 24h".to_owned());
    }
    Timestamp::now()
        .to_zoned_datetime(TimeZone::UTC)
        .checked_sub(ago)
        .map(|then| then.timestamp())
        .map_err(|_| "that is before all time".to_owned())
}

pub(super) async fn run(args: IncidentsArgs, common: Common) -> Result<Verdict, Trouble> {
    let IncidentsArgs { since, severity, status, alerts, checkpoint } = args;
    let query = IncidentQuery {
        severity: severity.into_iter().collect(),
        status: status.into_iter().collect(),
        alerts,
    };
    let context = Context::open(common).await?;
    // Another run's checkpoint is found before anybody is asked.
    let checkpoint = checkpoint
        .map(|path| {
            let subject = Subject { fleet: context.manifest.fleet.clone(), query: query.clone() };
            let output = || incidents::Output::of(std::io::stdout().as_fd());
            Checkpoint::open(&path, &subject, output).map_err(|error| no_checkpoint(&error))
        })
        .transpose()?;
    let vault = context.vault().await?;
    let records = vault
        .records()
        .await
        .map_err(|error| vault_trouble("the vault's records cannot be read", &error))?;
    let (readers, unready) =
        prove::readers(&context.manifest, &context.scope.tenants, &records, Timestamp::now());
    // Only a refresh token leaves something to be kept.
    let delegated = readers.iter().any(|reader| reader.connector.needs().delegated);
    let turn = match delegated {
        true => Some(proving::Turn::try_take(&vault, "incidents").await),
        false => None,
    };
    let nobody = || prove::Keeper::Nobody("no refresh token was expected".to_owned());
    let reading = Reading {
        network: &context.network,
        cloud: &context.cloud,
        wallet: prove::Wallet { vault: &vault, issuers: &context.issuers },
        keeper: turn.as_ref().map_or_else(nobody, proving::Turn::keeper),
        parallelism: usize::from(context.common.parallelism),
        stop: &context.stop,
        query: &query,
        since,
        on_wait: &|directory, wait| {
            let seconds = SignedDuration::try_from(wait).map_or(0, |wait| wait.as_secs());
            context.events.say(Event::Throttled {
                directory: Some(directory),
                seconds: u64::try_from(seconds).unwrap_or(0).max(1),
            });
            context.progress.say(&words::waiting(directory, wait));
        },
    };
    let delivery = Delivery::new(output::JsonLines, checkpoint);
    let told = incidents::read(&reading, &readers, &delivery).await;
    drop(turn);
    let (checkpoint, broken) = delivery.end();
    let refreshes: BTreeMap<_, _> = told
        .iter()
        .filter_map(|(tenant, told)| Some((tenant.clone(), told.refresh.clone()?)))
        .collect();
    let report = words::Report::of(&readers, &unready, told);
    // Whose incidents are missing must be seen, also under --quiet.
    output::tell(&report.failures(&context.common.place()));
    if !context.common.quiet {
        context.progress.say(&tokens::rotated(&refreshes).unwrap_or_default());
        context.progress.say(&report.summary());
    }
    if let Some(error) = broken {
        // A line may be torn: the account stays open, so that the next run looks at the output.
        drop(checkpoint);
        return Err(Trouble::new(Verdict::Failed, "the incidents could not be handed on")
            .why(error.to_string())
            .next("run it again: with --checkpoint it goes on where it was cut"));
    }
    if let Some(checkpoint) = checkpoint {
        checkpoint.end().map_err(|error| no_checkpoint(&error))?;
    }
    let stopped = context.stop.requested();
    let verdict = if report.any_failed() { Verdict::Failed } else { Verdict::Done };
    context.close().await;
    Ok(stopped.map_or(verdict, Verdict::Stopped))
}

fn no_checkpoint(error: &CheckpointError) -> Trouble {
    let (verdict, next) = match error {
        CheckpointError::Disk { .. } => {
            (Verdict::Failed, "the file and its folder must be writable")
        }
        CheckpointError::Busy { .. } => (Verdict::Failed, "wait for it, or name a file of its own"),
        CheckpointError::Foreign { .. } | CheckpointError::OtherSubject { .. } => {
            (Verdict::Usage, "name another file: each fleet and each set of filters has its own")
        }
    };
    Trouble::new(verdict, "the checkpoint cannot be used").why(error.to_string()).next(next)
}
