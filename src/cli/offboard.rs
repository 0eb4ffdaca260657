//! `tenantry offboard KEY`

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use jiff::Timestamp;

use super::{
    Common,
    apply::turn,
    context::{Context, stdout_width, vault_trouble},
    output,
    plan::guarded,
    question,
    work::{Listener, who_is},
};
use crate::{
    entra::{ClientProof, Operator},
    event::Event,
    graph::{Ask, Breadth, Known as KnownApp, Reader, Want, Writer, read_directory},
    ids::{AppKey, ClientId, TenantId, TenantKey},
    inventory::Inventory,
    manifest::{DirectoryName, Layout},
    offboard::{self, Ended, Hands, Ways, Witness},
    plan::{
        self, Seen,
        offboard::{Known, Offboarding, Sighting, Subject, Wish, witness},
        step::Target,
    },
    report::{
        error::Trouble,
        file::{self, Kind},
        offboard as words,
        paper::Paper,
        progress::Phase,
    },
    status::Left,
    vault::{Leftover, VaultWriter},
    verdict::Verdict,
};

/// Remove a customer: credentials, app, vault record; and prove each gone
///
/// The key may be in the manifest or only in our marks: what left the manifest stays until it is
/// offboarded. The app goes to the bin, from which it can be restored for 30 days; the last line
/// says until when. Told to stop or cut, it is run again and goes on. It asks for the key to be
/// typed; --yes does it without. What stays in the customer's own directory, their enterprise
/// application with what they granted, only they can remove: there is a text for them, and status
/// names it until it is seen gone or `tenantry attest KEY --removed` says so.
#[derive(Debug, Args)]
pub(super) struct OffboardArgs {
    /// The key of a tenant, or of a shared app that no tenant uses any more
    #[arg(value_name = "KEY")]
    key: TenantKey,
    /// Hand over: the app stays, without our credentials and tags
    #[arg(long)]
    keep_app: bool,
    /// The vault that made the app's credentials is lost for good: remove them all the same
    #[arg(long)]
    vault_lost: bool,
}

/// What was read, and what follows from it.
struct Reading {
    operator: Operator,
    plan: Offboarding,
    /// What is to be seen refused.
    shown: Option<(ClientId, ClientProof)>,
    asked_in: TenantId,
    /// All that is named in the vault already.
    named: Vec<Leftover>,
    now: Timestamp,
}

pub(super) async fn run(args: OffboardArgs, mut common: Common) -> Result<Verdict, Trouble> {
    if common.shard.is_some() {
        return Err(Trouble::new(Verdict::Usage, "--shard has nothing to do with one customer"));
    }
    // The key says which one.
    common.tenant.clear();
    common.label.clear();
    let mut context = Context::open(common).await?;
    let vault = context.vault().await?;
    let Some(writer) = turn(&context, &vault, "offboard").await? else {
        let signal = context.stop.told().await;
        return Ok(Verdict::Stopped(signal));
    };
    writer.check_writable().await.map_err(|error| {
        vault_trouble("the vault cannot be written; nothing was changed", &error)
    })?;
    let reading = read(&context, &writer, &args).await?;
    let left = lefts(&context, &reading, &args.key);
    let home = context.manifest.home.tenant.clone();
    let place = context.common.place();
    let planned = |width| {
        let mut paper = Paper::new(width).at(place.clone());
        words::plan(&mut paper, &home, &reading.plan, &left);
        paper
    };
    if !context.common.json {
        output::print_folded(
            &format!("Offboard {}", args.key),
            &planned(stdout_width()).into_text(),
        );
    }
    let guards = reading.plan.guards();
    if !guards.is_empty() {
        return Err(guarded(&plan::Refused::Guards(guards)));
    }
    let (ended, listener) = if reading.plan.is_empty() {
        (None, Listener::start(&mut context, None))
    } else {
        if !confirmed(&context, &args.key).await? {
            if let Some(signal) = context.stop.requested() {
                return Ok(Verdict::Stopped(signal));
            }
            let why = "not offboarded: that was not the key; nothing was changed";
            return Err(Trouble::new(Verdict::Failed, why));
        }
        let (ended, listener) = carry_out(&mut context, &writer, &reading).await?;
        (Some(ended), listener)
    };
    context.events.say(Event::Offboarded {
        app: reading.plan.subject.app().clone(),
        tenant: match &reading.plan.subject {
            Subject::App(_) => None,
            Subject::Tenant { tenant, .. } => Some(tenant.clone()),
        },
        done: ended.as_ref().map_or(0, |ended| ended.done),
        restorable_until: ended.as_ref().and_then(words::restorable_until),
        leftovers: left.clone(),
    });
    listener.finish().await;
    let after = |paper: &mut Paper| match &ended {
        Some(ended) => words::ended(paper, &reading.plan.fleet, &reading.plan, ended, &left),
        None => words::explain(paper, &reading.plan.fleet, &left),
    };
    if !context.common.json {
        let mut paper = Paper::new(stdout_width()).at(context.common.place());
        after(&mut paper);
        output::print(&paper.into_text());
    }
    let sandbox = context.is_sandbox();
    let screen = || {
        let mut paper = planned(100);
        after(&mut paper);
        anstream::adapter::strip_str(&paper.into_text()).to_string()
    };
    context.common.ending.summary(|| words::markdown(&reading.plan, &screen(), sandbox));
    context.report(|kind| {
        let (plan, ended) = (&reading.plan, ended.as_ref());
        match kind {
            Kind::Json => file::json_text(&words::document_json(plan, ended, &left, sandbox)),
            Kind::Markdown => words::markdown(plan, &screen(), sandbox),
            Kind::Html => words::html(plan, &screen(), sandbox),
            Kind::Csv => words::csv(plan, ended, &left, sandbox),
        }
    })?;
    let verdict = match &ended {
        Some(ended) => verdict(&context, ended),
        None => Verdict::Done,
    };
    context.close().await;
    Ok(verdict)
}

fn verdict(context: &Context, ended: &Ended) -> Verdict {
    match (&ended.failed, context.stop.requested()) {
        (_, Some(signal)) if ended.failed.is_some() || ended.interrupted => {
            Verdict::Stopped(signal)
        }
        (None, _) => Verdict::Done,
        (Some(_), _) if ended.done > 0 => Verdict::PartlyApplied,
        (Some((_, failure)), _) => Trouble::of("", failure).verdict,
    }
}

/// What will be, or is, left with customers: what this plan names, and what was named of the same
/// key before.
fn lefts(context: &Context, reading: &Reading, key: &TenantKey) -> Vec<Left> {
    let planned = &reading.plan.leftovers;
    let of_key = |one: &&Leftover| one.tenant == *key || one.app == AppKey::from(key);
    let before = reading
        .named
        .iter()
        .filter(of_key)
        .filter(|one| !planned.iter().any(|other| other.is(one)));
    let place = context.common.place();
    let is_of_tenant = matches!(reading.plan.subject, Subject::Tenant { .. });
    planned
        .iter()
        .chain(before)
        .filter_map(|one| {
            let stays = is_of_tenant && AppKey::from(&one.tenant) != one.app;
            Left::of(one, None, stays, &place, reading.now)
        })
        .collect()
}

/// Whether the key was typed, or a yes was given beforehand.
async fn confirmed(context: &Context, key: &TenantKey) -> Result<bool, Trouble> {
    if context.common.yes {
        return Ok(true);
    }
    if !context.may_ask() {
        return Err(Trouble::new(
            Verdict::Usage,
            "there is something to remove, and nobody to ask; nothing was changed",
        )
        .next(format!("type the key where you can be asked, or: offboard {key} --yes")));
    }
    let question = format!("Remove this? Type the key, {key}: ");
    let answer = question::ask(context, &question).await?;
    Ok(answer.as_deref() == Some(key.as_str()))
}

/// Reads the vault, the app's directory, and what each customer's directory says; then plans.
async fn read(
    context: &Context,
    vault: &VaultWriter,
    args: &OffboardArgs,
) -> Result<Reading, Trouble> {
    let Context { manifest, cloud, network, .. } = context;
    let operator = context.operator().await?;
    let records = super::apply::records(vault).await?;
    let unread = |error| vault_trouble("what is left with customers cannot be read", &error);
    let named = vault.leftovers().await.map_err(unread)?;
    let looked_up = |failure| {
        Trouble::of(format!("the directory of {} could not be looked up", args.key), &failure)
    };
    let home = context.home().await.map_err(looked_up)?;
    let mut seen = Seen {
        home,
        directories: BTreeMap::new(),
        inventories: BTreeMap::new(),
        records,
        deleted: BTreeMap::new(),
        vault: vault.id(),
        wish: plan::Wish::default(),
    };
    let subject = Subject::of(manifest, &seen, &args.key);
    let record = seen.records.get(subject.app()).cloned();
    let directory = match (&record, manifest.apps.get(subject.app())) {
        (Some(record), _) => record.directory,
        (None, Some(app)) if app.layout == Layout::InTenant => {
            let tenant = app.tenants.first().and_then(|key| manifest.tenants.get(key));
            match tenant.map(|tenant| (tenant.id, tenant.domain.clone())) {
                Some((Some(id), _)) => id,
                Some((None, Some(domain))) => {
                    let named = DirectoryName::Domain(domain);
                    super::context::directory(network, cloud, &named).await.map_err(looked_up)?
                }
                Some((None, None)) | None => home,
            }
        }
        (None, _) => home,
    };
    let inventory = inventory(context, &operator, &subject, &seen, directory).await?;
    let now = inventory.read_at;
    let (tenant, app) = match &subject {
        Subject::App(app) => (None, app),
        Subject::Tenant { tenant, app } => (Some(tenant), app),
    };
    let unburied = |error| vault_trouble("what was deleted from the vault cannot be read", &error);
    let buried = vault.buried(app, tenant).await.map_err(unburied)?;
    let shown = match witness(record.as_ref()) {
        Some((client, held)) => {
            offboard::shown_by(vault, app, held).await.map(|proof| (client, proof))
        }
        None => None,
    };
    let ways = Ways { network, cloud, operator: &operator };
    let customers: BTreeMap<TenantKey, TenantId> = record
        .iter()
        .flat_map(|record| &record.tenants)
        .filter(|(key, known)| tenant.is_none_or(|tenant| tenant == *key) && known.id != directory)
        .map(|(key, known)| (key.clone(), known.id))
        .collect();
    let sightings = match record.as_ref().and_then(|record| record.client_id) {
        Some(client) => {
            let parallelism = usize::from(context.common.parallelism);
            let proof = shown.as_ref().map(|(_, proof)| proof);
            offboard::look(ways, client, proof, &customers, parallelism).await
        }
        None => BTreeMap::new(),
    };
    let wish = Wish { keep_app: args.keep_app, vault_lost: args.vault_lost };
    let known = Known { subject: &subject, sightings: &sightings, leftovers: &named, buried, wish };
    let plan = plan::offboard::offboard(manifest, &seen, &inventory, &known, now);
    let is_named = named.iter().any(|one| one.tenant == args.key || one.app == *subject.app());
    let key_is_known = manifest.tenants.contains_key(&args.key)
        || manifest.apps.contains_key(subject.app())
        || record.is_some()
        || is_named;
    if plan.target == Target::Absent && plan.is_empty() && !key_is_known {
        return Err(Trouble::new(
            Verdict::Usage,
            format!("nothing is known of {}: no app has its marks, no vault its record", args.key),
        )
        .next("tenantry plan lists the apps of this fleet that left the manifest"));
    }
    let asked_in = customers
        .iter()
        .find(|(key, _)| matches!(sightings.get(*key), Some(Sighting::There(_))))
        .map_or(directory, |(_, id)| *id);
    seen.inventories.insert(directory, Ok(inventory));
    Ok(Reading { operator, plan, shown, asked_in, named, now })
}

async fn inventory(
    context: &Context,
    operator: &Operator,
    subject: &Subject,
    seen: &Seen,
    directory: TenantId,
) -> Result<Inventory, Trouble> {
    let Context { manifest, cloud, network, .. } = context;
    let unreadable = |failure: crate::failure::Failure| {
        Trouble::of(format!("the directory {directory} of the app could not be read"), &failure)
    };
    let reader = Reader::new(network, cloud, directory, operator).map_err(unreadable)?;
    let expected = BTreeSet::from([subject.app().clone()]);
    let known: Vec<KnownApp> = seen
        .records
        .get(subject.app())
        .and_then(|record| {
            Some(KnownApp { client_id: record.client_id?, object_id: record.object_id })
        })
        .into_iter()
        .collect();
    let ask = Ask {
        fleet: &manifest.fleet,
        expected: &expected,
        known: &known,
        breadth: Breadth::AsNeeded,
        policies: Want::No,
        catalogues: (&BTreeSet::new(), Want::No),
    };
    read_directory(&reader, &ask).await.map_err(unreadable)
}

async fn carry_out(
    context: &mut Context,
    vault: &VaultWriter,
    reading: &Reading,
) -> Result<(Ended, Listener), Trouble> {
    let bar = context.progress.bar(Phase::Offboard, 1);
    let listener = Listener::start(context, Some(bar.clone()));
    let plan = &reading.plan;
    context.events.say(Event::Planned { checksum: plan.checksum(), summary: plan.summary() });
    let approved = plan.clone().approve().map_err(|refused| guarded(&refused))?;
    let Context { network, cloud, .. } = &*context;
    let cannot = |failure| Trouble::of("the operator cannot sign in", &failure);
    let operator = &reading.operator;
    let permit = approved.permit().clone();
    let writer = Writer::new(network, cloud, plan.directory, operator, permit).map_err(cannot)?;
    let who = who_is(operator, plan.home).await;
    let witness = reading.shown.as_ref().map(|(client, proof)| Witness { client: *client, proof });
    let hands = Hands {
        ways: Ways { network, cloud, operator },
        writer: &writer,
        vault,
        who: &who,
        events: &context.events,
        stop: &context.stop,
        witness,
        asked_in: reading.asked_in,
    };
    let ended = offboard::offboard(&approved, &hands).await;
    bar.step();
    bar.finish();
    Ok((ended, listener))
}
