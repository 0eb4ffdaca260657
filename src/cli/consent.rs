//! `tenantry consent`, and the same as a phase of apply.

mod ways;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use clap::Args;

use super::{
    Common,
    apply::{records, turn},
    context::{Context, stdout_width},
    granting, output,
    plan::{guarded, unreadable},
    proving,
    proving::Asked,
    reading,
    reading::Reading,
    status::FailOn,
    work::{Listener, who},
};
use crate::{
    apply::Hands,
    consent::{Ask, Desk, Office, Privileged, Reader, RowState, ShownBy, What},
    entra::UserToken,
    event::Event,
    graph::Writers,
    ids::TenantKey,
    manifest::ConsentStrategy,
    plan::{
        Scope, Wish,
        manual::{ManualKind, administrator},
    },
    prove::{self, Keeper},
    report::{
        apply::exit_line,
        ci, consent as words,
        error::Trouble,
        paper::Paper,
        progress::{Bar, Phase},
        status as status_words,
    },
    status::{FacetName, State, Status, WaitingFor},
    vault::VaultWriter,
    verdict::Verdict,
};

/// How long apply waits for people at its page.
const PATIENCE: Duration = Duration::from_secs(600);

/// Ask the people whose turn it is: administrators who consent, analysts who sign in
///
/// Opens a page on this machine with a button for each tenant, and takes the answers. Tenants of
/// strategy `link` get their link printed and are not waited for; those of strategy `grant` are
/// granted by Graph, with the operator's rights in their directories. What comes back is proved in
/// the customer's own directory; refresh tokens of the right user go into the vault.
#[derive(Debug, Args)]
pub(super) struct ConsentArgs {
    /// Only these tenants
    #[arg(value_name = "KEY")]
    keys: Vec<TenantKey>,
    /// Print each link, and read the address that the browser ended on from standard input
    #[arg(long)]
    paste: bool,
    /// Keep the token of an analyst who may do more than read: whoever steals it may do that too
    #[arg(long)]
    allow_privileged: bool,
    /// Fail where this is left: pending, expiring, not-reading; may be repeated
    #[arg(long, value_name = "WHAT", value_delimiter = ',')]
    fail_on: Vec<FailOn>,
    /// How long to wait for people; nobody's answer in that time is a failure
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = super::duration)]
    wait: Duration,
}

pub(super) async fn run(args: ConsentArgs, mut common: Common) -> Result<Verdict, Trouble> {
    let ConsentArgs { keys, paste, allow_privileged, fail_on, wait } = args;
    if !keys.is_empty() {
        common.tenant = keys.iter().map(ToString::to_string).collect();
        common.label.clear();
    }
    let mut context = Context::open(common).await?;
    let vault = context.vault().await?;
    let Some(writer) = turn(&context, &vault, "consent").await?.map(Arc::new) else {
        let signal = context.stop.told().await;
        return Ok(Verdict::Stopped(signal));
    };
    let mut reading = reading::read(&context, &vault, Wish::default()).await?;
    if let Some(failure) = reading.unreadable() {
        return Err(unreadable(&context, failure));
    }
    let listener = Listener::start(&mut context, None);
    let granted = grant(&context, &writer, &mut reading).await?;
    let (mut proofs, nothing) = (Asked::default(), BTreeMap::new());
    let keeper = Keeper::Writer(&writer);
    proving::ask(&context, &vault, &reading, keeper, &nothing, &mut proofs, |_| true).await;
    let first = proofs.so_far(&context, &reading);
    let not_granted: BTreeSet<TenantKey> = granted.failed.keys().cloned().collect();
    let asks = asks(&context, &reading, |tenant| turns(&first, tenant, &not_granted));
    let asked: BTreeSet<TenantKey> = asks.iter().map(|ask| ask.tenant.clone()).collect();
    if context.stop.requested().is_none() {
        for key in keys.iter().filter(|key| !asked.contains(*key)) {
            context.progress.say(&words::nobodys_turn(key));
        }
    }
    let way = if paste { Way::Paste } else { Way::Page };
    let privileged = if allow_privileged { Privileged::Allowed } else { Privileged::Refused };
    let round = Round { way, privileged, wait, sign_ins: SignIns::Asked };
    let ended = phase(&context, &writer, &reading, asks, round).await?;
    // Only those who were asked are shown, and only those who said yes are proved again.
    let shown = if asked.is_empty() { context.scope.tenants.clone() } else { asked };
    context.scope = Scope::of(&context.manifest, shown);
    ended.taken_in(&context, &writer, &mut reading, &mut proofs).await?;
    let (keeper, fresh) = (Keeper::Writer(&writer), &ended.fresh);
    proving::ask(&context, &vault, &reading, keeper, fresh, &mut proofs, |_| true).await;
    let proved = proofs.judge(&context, &reading, None);
    if let Err(error) = proving::remember(&writer, &reading, &proved).await {
        context.progress.say(&format!("warning: the vault could not remember this run: {error}\n"));
    }
    let status = &proved.status;
    context.events.say(Event::Summary {
        done: 0,
        failed: Vec::new(),
        interrupted: Vec::new(),
        not_granted: granted.failed.keys().cloned().collect(),
        refill: Vec::new(),
        tenants: status.summary(),
    });
    listener.finish().await;
    let verdict =
        context.stop.requested().map_or_else(|| ended.verdict(&granted), Verdict::Stopped);
    let verdict = FailOn::verdict(&fail_on, status, verdict);
    if !context.common.json {
        let mut paper = Paper::new(stdout_width());
        status_words::write(&mut paper, status);
        exit_line(&mut paper, status, verdict);
        output::print(&format!("\n{}", paper.into_text()));
    }
    let failed: Vec<_> = granted.failed_steps(&context.manifest).collect();
    context.common.ending.annotate(ci::of_failures(&failed, &context.manifest));
    context.common.ending.failed(failed);
    super::status::save(&context, status)?;
    context.close().await;
    Ok(verdict)
}

/// Grants in the directories of those tenants whose strategy says so, whose app is there already.
async fn grant(
    context: &Context,
    writer: &VaultWriter,
    reading: &mut Reading,
) -> Result<granting::Outcome, Trouble> {
    let by_graph = |key: &TenantKey| {
        let tenant = context.manifest.tenants.get(key);
        tenant.is_some_and(|tenant| tenant.consent.strategy == ConsentStrategy::Grant)
    };
    let plan = reading.plan.clone().only_grants(by_graph);
    if plan.is_empty() {
        return Ok(granting::Outcome::default());
    }
    let approved = plan.approve().map_err(|refused| guarded(&refused))?;
    let permit = approved.permit().clone();
    let writers = Writers::new(&context.network, &context.cloud, &reading.operator, permit);
    let who = who(reading).await;
    let hands = Hands {
        writers: &writers,
        vault: writer,
        who: &who,
        verb: "consent",
        events: &context.events,
        stop: &context.stop,
        parallelism: usize::from(context.common.parallelism),
        on_app: &|_| {},
    };
    let grantees = granting::grantees(&approved, &BTreeMap::new());
    let outcome = granting::grant(reading, &approved, &grantees, &hands).await;
    reading.plan_again(context);
    Ok(outcome)
}

/// The phase as apply has it: after the changes, and after those were proved who can have answered
/// already: what they said is in `proofs`. Gives back what sign-ins gave.
pub(super) async fn in_apply(
    context: &Context,
    writer: &Arc<VaultWriter>,
    reading: &mut Reading,
    proofs: &mut Asked,
    not_granted: &BTreeSet<TenantKey>,
) -> Result<BTreeMap<TenantKey, UserToken>, Trouble> {
    let first = proofs.so_far(context, reading);
    let asks = asks(context, reading, |tenant| {
        if proofs.has(tenant) {
            return turns(&first, tenant, not_granted);
        }
        let manual = reading.plan.tenants.get(tenant).map_or(&[][..], |plan| &plan.manual);
        let has = |kind| manual.iter().any(|step| step.kind == kind);
        // What could not be granted is left to the link.
        if has(ManualKind::AdminConsent) || not_granted.contains(tenant) {
            Some(ManualKind::AdminConsent)
        } else {
            has(ManualKind::SignIn).then_some(ManualKind::SignIn)
        }
    });
    let round = Round {
        way: Way::Page,
        privileged: Privileged::Refused,
        wait: PATIENCE,
        sign_ins: SignIns::LeftAlone,
    };
    let ended = phase(context, writer, reading, asks, round).await?;
    ended.taken_in(context, writer, reading, proofs).await?;
    Ok(ended.fresh)
}

/// What a round came to.
#[derive(Default)]
struct Ended {
    /// What sign-ins gave.
    fresh: BTreeMap<TenantKey, UserToken>,
    /// Tenants of whom somebody said yes.
    granted: BTreeSet<TenantKey>,
    /// How many questions were answered with a proved yes.
    yes: usize,
    /// How many came to nothing: a no, or silence where an answer was waited for.
    no: usize,
}

impl Ended {
    fn of(desk: &Desk, waited: Waited) -> Self {
        let mut ended = Self { fresh: desk.tokens().into_iter().collect(), ..Self::default() };
        for row in desk.view() {
            match (row.state, waited) {
                (RowState::Granted, _) => {
                    ended.yes += 1;
                    ended.granted.insert(row.ask.tenant);
                }
                (RowState::Refused(_), _) | (RowState::Open | RowState::Started, Waited::Here) => {
                    ended.no += 1;
                }
                (RowState::Open | RowState::Started, Waited::Nowhere) => {}
            }
        }
        ended
    }

    fn verdict(&self, granted: &granting::Outcome) -> Verdict {
        match (self.yes + granted.done, self.no + granted.failed.len()) {
            (_, 0) => Verdict::Done,
            (0, _) => Verdict::Failed,
            (_, _) => Verdict::PartlyApplied,
        }
    }

    /// Plans with what the round left in the vault, and lets those be proved again who said yes.
    async fn taken_in(
        &self,
        context: &Context,
        writer: &VaultWriter,
        reading: &mut Reading,
        proofs: &mut Asked,
    ) -> Result<(), Trouble> {
        reading.seen.records = records(writer).await?;
        reading.plan_again(context);
        self.granted.iter().for_each(|tenant| proofs.forget(tenant));
        Ok(())
    }
}

/// Whether anybody's answer is waited for: the sandbox's people answer at once or never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waited {
    Here,
    Nowhere,
}

/// How people are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Page,
    Paste,
}

/// Whether analysts are asked in this run; the sandbox's always are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SignIns {
    Asked,
    LeftAlone,
}

/// One round of asking.
struct Round {
    way: Way,
    privileged: Privileged,
    wait: Duration,
    sign_ins: SignIns,
}

/// Whose turn it is by what was just proved.
fn turns(
    status: &Status,
    tenant: &TenantKey,
    not_granted: &BTreeSet<TenantKey>,
) -> Option<ManualKind> {
    let tenant = status.tenants.iter().find(|status| status.key == *tenant)?;
    let consent = tenant.facet(FacetName::Consent);
    // Where nobody here can tell whether they accepted, they are asked all the same.
    let untold = consent.state == State::Unknown
        && consent.next_step.as_ref().is_some_and(|step| step.link.is_some());
    // What could not be granted is left to the link.
    let left =
        not_granted.contains(&tenant.key) && tenant.waits(FacetName::Consent, WaitingFor::Operator);
    if untold || left || tenant.waits(FacetName::Consent, WaitingFor::CustomerAdmin) {
        return Some(ManualKind::AdminConsent);
    }
    [FacetName::Consent, FacetName::Token]
        .into_iter()
        .any(|facet| tenant.waits(facet, WaitingFor::Analyst))
        .then_some(ManualKind::SignIn)
}

/// The questions, of every tenant whose app exists and has a live secret here: without one no
/// answer can be proved.
fn asks(
    context: &Context,
    reading: &Reading,
    turn: impl Fn(&TenantKey) -> Option<ManualKind>,
) -> Vec<Ask> {
    let Context { manifest, .. } = context;
    let questions = prove::questions(manifest, &reading.plan, &reading.seen, reading.now);
    questions
        .iter()
        .filter_map(|question| {
            let held = question.who();
            let tenant = manifest.tenants.get(&held.tenant)?;
            let app = manifest.apps.get(&held.app)?;
            let kind = turn(&held.tenant)?;
            let reader = held
                .sign_in_as
                .clone()
                .filter(|_| tenant.connector.needs().delegated)
                .map(|user| Reader { user, scopes: held.scopes.clone() });
            let (what, who) = match kind {
                ManualKind::AdminConsent => (
                    What::AdminConsent {
                        landing: tenant.consent.landing(),
                        then: reader,
                        shown_by: {
                            let (api, scope, roles) = question.shown_by(&context.cloud)?;
                            ShownBy { api, scope, roles }
                        },
                    },
                    administrator(&tenant.name),
                ),
                ManualKind::SignIn => {
                    let reader = reader?;
                    let who = reader.user.clone();
                    (What::SignIn(reader), who)
                }
                ManualKind::PortalAuthorization | ManualKind::Removal => return None,
            };
            Some(Ask {
                tenant: held.tenant.clone(),
                name: tenant.name.clone(),
                who,
                app: held.app.clone(),
                app_name: app.display_name.to_string(),
                directory: held.directory,
                client: held.client,
                shows: held.shows.clone(),
                what,
            })
        })
        .collect()
}

/// Asks everybody, each in the way that the manifest and this place allow.
async fn phase(
    context: &Context,
    writer: &Arc<VaultWriter>,
    reading: &Reading,
    asks: Vec<Ask>,
    round: Round,
) -> Result<Ended, Trouble> {
    let Round { way, privileged, wait, sign_ins } = round;
    if asks.is_empty() || context.stop.requested().is_some() {
        return Ok(Ended::default());
    }
    let people = context.people();
    let can_ask = people.is_some() || way == Way::Paste || context.may_ask();
    let (mut now, mut later, mut pageless) = (Vec::new(), 0, Vec::new());
    for mut ask in asks {
        let strategy = context.manifest.tenants.get(&ask.tenant).map(|t| t.consent.strategy);
        match (&mut ask.what, strategy) {
            (What::AdminConsent { .. }, Some(ConsentStrategy::Browser)) if can_ask => {
                if let (What::AdminConsent { then, .. }, SignIns::LeftAlone, None) =
                    (&mut ask.what, sign_ins, people)
                {
                    *then = None;
                }
                now.push(ask);
            }
            (What::AdminConsent { .. }, strategy) => {
                link(context, reading, &ask);
                if people.is_some() {
                    now.push(ask);
                    continue;
                }
                later += 1;
                if strategy == Some(ConsentStrategy::Browser) {
                    pageless.push(ask.tenant);
                }
            }
            (What::SignIn(_), _) if people.is_some() => now.push(ask),
            (What::SignIn(_), _) if sign_ins == SignIns::Asked && can_ask => now.push(ask),
            (What::SignIn(reader), _) => {
                let command = context.common.command("consent");
                let line = words::sign_in_elsewhere(&ask.tenant, &reader.user, &command);
                if sign_ins == SignIns::Asked {
                    context.progress.say(&line);
                }
                later += 1;
            }
        }
    }
    if !pageless.is_empty() {
        context.progress.say(&words::no_page(&pageless));
    }
    let bar = context.progress.bar(Phase::Consent, now.len() + later);
    let office = Office {
        network: context.network.clone(),
        cloud: context.cloud.clone(),
        vault: writer.clone(),
        issuers: context.issuers.clone(),
        who: who(reading).await,
        events: context.events.clone(),
        privileged,
    };
    let desk = Arc::new(Desk::new(office, now));
    count(&bar, &desk, later);
    let waited = if people.is_some() { Waited::Nowhere } else { Waited::Here };
    match (people, way) {
        _ if desk.view().is_empty() => {}
        (Some(world), _) => ways::played(context, world, &desk, &bar).await,
        (None, Way::Page) => ways::page(context, &desk, wait, &bar, later).await?,
        (None, Way::Paste) => ways::paste(context, &desk, wait).await,
    }
    count(&bar, &desk, later);
    if waited == Waited::Here {
        context.progress.say(&words::silent(&desk.view()));
    }
    bar.finish();
    Ok(Ended::of(&desk, waited))
}

/// A link that waits for somebody elsewhere: the plan's own, in which nothing belongs to this run.
fn link(context: &Context, reading: &Reading, ask: &Ask) {
    let manual = reading.plan.tenants.get(&ask.tenant).map_or(&[][..], |plan| &plan.manual);
    let kind = ask.what.kind();
    let link = manual.iter().find(|step| step.kind == kind).and_then(|step| step.link.clone());
    // The plan asks nobody whose consent it remembers; a proof may know better.
    let link = link.unwrap_or_else(|| {
        let tenant = context.manifest.tenants.get(&ask.tenant);
        let landing = tenant.and_then(|tenant| tenant.consent.redirect_uri.as_ref());
        crate::links::admin_consent(&context.cloud, ask.directory, ask.client, landing)
    });
    context.events.say(Event::ConsentLink { tenant: ask.tenant.clone(), kind, link });
}

fn count(bar: &Bar, desk: &Desk, later: usize) {
    let (mut accepted, mut declined, mut waiting) = (0, 0, later);
    for row in desk.view() {
        match row.state {
            RowState::Open | RowState::Started => waiting += 1,
            RowState::Granted => accepted += 1,
            RowState::Refused(_) => declined += 1,
        }
    }
    bar.answers(accepted, declined, waiting);
}
