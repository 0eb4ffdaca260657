//! `tenantry attest`

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use serde_json::json;

use super::{
    Common,
    context::{Context, vault_trouble},
    keeping::person,
    left, output,
};
use crate::{
    connector::PortalAuthorization,
    ids::{ClientId, TenantKey},
    manifest::{Manifest, Tenant},
    report::{error::Trouble, json::FORMAT_VERSION, paper::clean, plan::count},
    status::portal_left,
    vault::{Attestation, AttestedOutcome, AuditEntry, Record, Records},
    verdict::Verdict,
};

/// The longest name or ticket: enough for either, and a line of the audit stays a line.
const LONGEST: usize = 200;

/// Record who took a tenant's portal step, when, and how it went; nothing else can show it
///
/// With --removed: who removed our enterprise application from the directory of a customer that was
/// offboarded. What is recorded holds for the app of today only: a new application id makes it void. The vault's
/// audit gets a line. Nobody is asked at Microsoft.
#[derive(Debug, Args)]
pub(super) struct AttestArgs {
    /// The tenant's key; with --removed, one that was offboarded
    #[arg(value_name = "KEY")]
    key: TenantKey,
    /// Who did it
    #[arg(long, value_name = "NAME", required_unless_present = "withdraw", value_parser = words)]
    by: Option<String>,
    /// Where that is written down
    #[arg(long, value_name = "ID", value_parser = words)]
    ticket: Option<String>,
    /// The application id that was typed into the portal, checked against the vault's
    #[arg(long, value_name = "ID")]
    client_id: Option<ClientId>,
    /// When it was done; now, unless said
    #[arg(long, value_name = "DATE", value_parser = super::status::moment)]
    at: Option<Timestamp>,
    /// How it went
    #[arg(long, value_name = "OUTCOME", default_value = "authorized")]
    outcome: Outcome,
    /// The customer was offboarded, and removed our enterprise application from their directory
    #[arg(long, conflicts_with_all = ["at", "outcome", "client_id", "withdraw"])]
    removed: bool,
    /// Take back what was recorded
    #[arg(long, conflicts_with_all = ["by", "ticket", "at", "outcome", "client_id"])]
    withdraw: bool,
}

/// How the portal step went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Outcome {
    /// The app was authorized
    Authorized,
    /// The portal has no such page any more: the step is not needed
    PageMissing,
    /// The portal refused: the step is still to be taken
    Refused,
}

impl Outcome {
    const fn recorded(self) -> AttestedOutcome {
        match self {
            Self::Authorized => AttestedOutcome::Authorized,
            Self::PageMissing => AttestedOutcome::PageMissing,
            Self::Refused => AttestedOutcome::Refused,
        }
    }
}

/// One line of text with something in it.
fn words(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    if clean(text) != text {
        return Err("it holds control characters".to_owned());
    }
    // As a key vault's tags hold them: what is beyond the first 65,536 counts twice there.
    if text.encode_utf16().count() > LONGEST {
        return Err(format!("it is longer than {LONGEST} characters (an emoji counts as two)"));
    }
    Ok(text.to_owned())
}

/// What is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Decision {
    /// It stands there already.
    Nothing,
    /// This, in the place of whatever was there.
    Write(Attestation),
    /// What was there is taken back.
    Withdraw,
}

/// Whose app it is, and what the vault knows of it.
fn find<'a>(
    manifest: &'a Manifest,
    records: &'a Records,
    args: &AttestArgs,
) -> Result<(&'a Tenant, &'a Record, ClientId), Trouble> {
    let key = &args.key;
    let tenant = manifest.tenants.get(key).ok_or_else(|| {
        Trouble::new(Verdict::Usage, format!("no tenant of the manifest is called {key}"))
            .next("the keys are those under `tenants` in the manifest")
    })?;
    match tenant.portal {
        PortalAuthorization::Required => {}
        // What was said before the manifest changed its mind can still be taken back.
        PortalAuthorization::NotNeeded if args.withdraw => {}
        PortalAuthorization::NotNeeded => {
            return Err(Trouble::new(
                Verdict::Usage,
                format!(
                    "{key} needs no portal authorization: there is nothing to attest (connector {})",
                    tenant.connector
                ),
            )
            .next("`portalAuthorization: required` in the manifest asks for it all the same"));
        }
    }
    let app = records.get(&tenant.app).filter(|record| record.tenants.contains_key(key));
    app.and_then(|record| Some((tenant, record, record.client_id?))).ok_or_else(|| {
        Trouble::new(
            Verdict::Failed,
            format!("{key} has no app yet, so there was nothing to authorize in the portal"),
        )
        .next(format!("tenantry apply --tenant {key} creates it"))
    })
}

fn decide(
    args: &AttestArgs,
    held: Option<&Attestation>,
    client_id: ClientId,
    now: Timestamp,
) -> Result<Decision, Trouble> {
    // clap asks for a name where nothing is withdrawn.
    let Some(by) = args.by.clone().filter(|_| !args.withdraw) else {
        return Ok(if held.is_some() { Decision::Withdraw } else { Decision::Nothing });
    };
    if args.at.is_some_and(|at| at > now) {
        return Err(Trouble::new(Verdict::Usage, "--at is in the future")
            .next("attest what was done, when it was done"));
    }
    let wanted = Attestation {
        client_id,
        by,
        ticket: args.ticket.clone(),
        // Saying the same again, without a date, changes no date.
        at: args
            .at
            .or(held.filter(|held| held.client_id == client_id).map(|held| held.at))
            .unwrap_or(now),
        outcome: args.outcome.recorded(),
    };
    if held == Some(&wanted) {
        return Ok(Decision::Nothing);
    }
    Ok(Decision::Write(Attestation { at: args.at.unwrap_or(now), ..wanted }))
}

const fn outcome_word(outcome: AttestedOutcome) -> &'static str {
    match outcome {
        AttestedOutcome::Authorized => "authorized",
        AttestedOutcome::PageMissing => "page-missing",
        AttestedOutcome::Refused => "refused",
    }
}

fn entry(
    args: &AttestArgs,
    record: &Record,
    client: ClientId,
    decision: &Decision,
    now: Timestamp,
) -> AuditEntry {
    let step = match decision {
        Decision::Write(attestation) => outcome_word(attestation.outcome),
        Decision::Withdraw | Decision::Nothing => "withdraw",
    };
    let mut entry = AuditEntry::new(now, person(), "attest")
        .step(step)
        .app(&record.app)
        .tenant(&args.key)
        .id("clientId", client);
    if let Decision::Write(Attestation { client_id: _, by, ticket, at, outcome: _ }) = decision {
        entry = entry.id("by", by).id("at", at);
        if let Some(ticket) = ticket {
            entry = entry.id("ticket", ticket);
        }
    }
    entry
}

pub(super) async fn run(args: AttestArgs, common: Common) -> Result<Verdict, Trouble> {
    let context = Context::open(common).await?;
    let vault = context.vault().await?;
    let unwritten = |error| vault_trouble("nothing was recorded", &error);
    let progress = &context.progress;
    let writer = vault
        .lock("attest", |_| progress.say("waiting: another tenantry writes to this vault\n"))
        .await
        .map_err(unwritten)?;
    if let Some(by) = args.by.as_deref().filter(|_| args.removed) {
        let verdict =
            left::attest(&context, &writer, &args.key, by, args.ticket.as_deref()).await?;
        context.close().await;
        return Ok(verdict);
    }
    let mut records = vault
        .records()
        .await
        .map_err(|error| vault_trouble("the vault's records cannot be read", &error))?;
    let now = Timestamp::now();
    let (_, record, client) = find(&context.manifest, &records, &args)?;
    if let Some(typed) = args.client_id.filter(|typed| *typed != client) {
        let key = &args.key;
        return Err(Trouble::new(
            Verdict::Usage,
            format!(
                "{key}'s app has the application id {client} by the vault, {typed} was authorized; \
                 nothing was recorded"
            ),
        )
        .next(format!("tenantry plan --tenant {key} shows which of the two is there")));
    }
    let held = record.tenants.get(&args.key).and_then(|tenant| tenant.attestation.as_ref());
    let decision = decide(&args, held, client, now)?;
    let standing = match &decision {
        Decision::Nothing => held.cloned(),
        Decision::Write(attestation) => Some(attestation.clone()),
        Decision::Withdraw => None,
    };
    let changed = decision != Decision::Nothing;
    if changed {
        vault.audit(entry(&args, record, client, &decision, now)).await.map_err(unwritten)?;
        let (key, new) = (args.key.clone(), standing.clone());
        let app = record.app.clone();
        let record = writer
            .change(&app, move |record| {
                if let Some(tenant) = record.tenants.get_mut(&key) {
                    tenant.attestation = new;
                }
            })
            .await
            .map_err(unwritten)?;
        records.insert(app, record);
    }
    let left = portal_left(&context.manifest, &records);
    if context.common.json {
        output::print_json(&json!({
            "formatVersion": FORMAT_VERSION,
            "fleet": context.manifest.fleet,
            "sandbox": context.is_sandbox(),
            "tenant": args.key,
            "clientId": client,
            "changed": changed,
            "attestation": standing,
            "needPortalAuthorization": left,
        }));
    } else {
        let place = context.common.place();
        let pending = crate::status::command(&place, "status", "--pending portal");
        output::print(&text(&args.key, standing.as_ref(), changed, left.len(), &pending));
    }
    context.close().await;
    Ok(Verdict::Done)
}

fn text(
    key: &TenantKey,
    standing: Option<&Attestation>,
    changed: bool,
    left: usize,
    pending: &str,
) -> String {
    let already = if changed { "" } else { " (recorded already)" };
    let line = match standing {
        Some(Attestation { client_id, by, ticket, at, outcome }) => {
            let ticket = ticket.as_deref().map_or_else(String::new, |id| format!(", {id}"));
            let how = match outcome {
                AttestedOutcome::Authorized => "authorized in the Defender portal",
                AttestedOutcome::PageMissing => {
                    "the portal has no such page, the step is not needed"
                }
                AttestedOutcome::Refused => "refused by the portal, still to be done",
            };
            let day = at.strftime("%Y-%m-%d");
            format!(
                "{key}: {how}, says {by} on {day}{ticket}; for application id {client_id}{already}"
            )
        }
        None if changed => {
            format!("{key}: taken back; nobody has said that the app was authorized")
        }
        None => format!("{key}: there was nothing to take back"),
    };
    let verb = if left == 1 { "needs" } else { "need" };
    let rest = match left {
        0 => "No tenant needs portal authorization any more.".to_owned(),
        left => format!("{} still {verb} portal authorization: {pending}", count(left, "tenant")),
    };
    format!("{}\n{rest}\n", clean(&line))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::vault::testing::seconds;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: AttestArgs,
    }

    fn args(line: &str) -> Result<AttestArgs, clap::Error> {
        Line::try_parse_from(std::iter::once("attest").chain(line.split(' '))).map(|line| line.args)
    }

    #[test]
    fn what_is_said_must_be_words_and_not_of_tomorrow() {
        assert!(args("contoso").is_err());
        assert!(words(" \t ").is_err() && words("Ada\u{1b}[2J").is_err());
        assert!(words(&"x".repeat(LONGEST + 1)).is_err());
        assert!(words(&"🦀".repeat(LONGEST / 2)).is_ok());
        assert!(words(&"🦀".repeat(LONGEST / 2 + 1)).is_err(), "it takes two units in a tag");
        assert_eq!(words(" Ada ").unwrap(), "Ada");
        assert!(args("contoso --withdraw --by ada").is_err());
        let client = ClientId::from_uuid(uuid::Uuid::from_u128(1));
        let future = args("contoso --by ada --at 2999-01-01").unwrap();
        assert_eq!(decide(&future, None, client, seconds(0)).unwrap_err().verdict, Verdict::Usage);
    }

    #[test]
    fn the_same_words_again_change_nothing_and_others_do() {
        let client = ClientId::from_uuid(uuid::Uuid::from_u128(1));
        let said = args("contoso --by ada --ticket T-1").unwrap();
        let Decision::Write(first) = decide(&said, None, client, seconds(0)).unwrap() else {
            panic!("nothing was written");
        };
        assert_eq!((first.at, first.outcome), (seconds(0), AttestedOutcome::Authorized));
        let again =
            |line: &str, client| decide(&args(line).unwrap(), Some(&first), client, seconds(9));
        assert_eq!(again("contoso --by ada --ticket T-1", client).unwrap(), Decision::Nothing);
        for other in ["contoso --by ada", "contoso --by ada --ticket T-1 --outcome refused"] {
            let Decision::Write(second) = again(other, client).unwrap() else {
                panic!("{other} changed nothing");
            };
            assert_eq!(second.at, seconds(9));
        }
        // The same words of another app are other words.
        let other = ClientId::from_uuid(uuid::Uuid::from_u128(2));
        let of_other = again("contoso --by ada --ticket T-1", other).unwrap();
        assert!(
            matches!(of_other, Decision::Write(new) if new.client_id == other && new.at == seconds(9))
        );
        assert_eq!(again("contoso --withdraw", client).unwrap(), Decision::Withdraw);
        let withdraw = args("contoso --withdraw").unwrap();
        assert_eq!(decide(&withdraw, None, client, seconds(0)).unwrap(), Decision::Nothing);
    }
}
