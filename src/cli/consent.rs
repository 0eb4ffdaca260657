//! `tenantry consent`, and the same as a phase of apply.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::BufRead,
    sync::Arc,
    time::Duration,
};

use clap::Args;
use futures::{StreamExt, stream};
use tokio::sync::mpsc;
use url::Url;

use super::{
    Common,
    apply::{Listener, turn, who},
    context::{Context, stdout_width},
    output,
    plan::unreadable,
    proving, reading,
    reading::Reading,
};
use crate::{
    consent::{Ask, Desk, Ended, LONGEST, Look, Office, Page, Privileged, Reader, RowState, What},
    entra::UserToken,
    event::Event,
    failure::Failure,
    ids::TenantKey,
    manifest::{ConsentStrategy, LOOPBACK_PAGE},
    plan::{Scope, manual::ManualKind},
    prove::{self, Keeper},
    registration::RedirectUri,
    report::{
        apply::exit_line,
        consent as words,
        error::Trouble,
        pages,
        paper::Paper,
        progress::{Bar, Phase},
        status as status_words,
    },
    sandbox::{Opened, Sandbox},
    status::{FacetName, Status, WaitingFor},
    vault::VaultWriter,
    verdict::Verdict,
};

/// How long apply waits for people at its page.
const PATIENCE: Duration = Duration::from_secs(600);

/// How often a pasted address that is none may be pasted again, in a terminal.
const TRIES: usize = 3;

/// Ask the people whose turn it is: administrators who consent, analysts who sign in
///
/// Opens a page on this machine with a button for each tenant, and takes the answers. Tenants of
/// strategy `link` get their link printed and are not waited for. What comes back is proved in the
/// customer's own directory; refresh tokens of the right user go into the vault.
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
    /// How long to wait for people
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = super::duration)]
    wait: Duration,
}

pub(super) async fn run(args: ConsentArgs, mut common: Common) -> Result<Verdict, Trouble> {
    let ConsentArgs { keys, paste, allow_privileged, wait } = args;
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
    let mut reading = reading::read(&context, &vault, false).await?;
    if let Some(failure) = reading.unreadable() {
        return Err(unreadable(&context, failure));
    }
    let listener = Listener::start(&mut context, None);
    let nothing = BTreeMap::new();
    let keeper = Keeper::Writer(&writer);
    let first = proving::prove(&context, &vault, &reading, None, keeper, &nothing).await;
    let asks = asks(&context, &reading, |tenant| turns(&first.status, tenant));
    let asked: BTreeSet<TenantKey> = asks.iter().map(|ask| ask.tenant.clone()).collect();
    for key in keys.iter().filter(|key| !asked.contains(*key)) {
        context.progress.say(&words::nobodys_turn(key));
    }
    let way = if paste { Way::Paste } else { Way::Page };
    let privileged = if allow_privileged { Privileged::Allowed } else { Privileged::Refused };
    let round = Round { way, privileged, wait, sign_ins: SignIns::Asked };
    let fresh = phase(&context, &writer, &reading, asks, round).await?;
    // Only those who were asked are proved again, and shown.
    let shown = if asked.is_empty() { context.scope.tenants.clone() } else { asked };
    context.scope = Scope::of(&context.manifest, shown);
    reading.seen.records = writer.records().await.map_err(|error| {
        super::context::vault_trouble("the vault's records cannot be read", &error)
    })?;
    reading.plan_again(&context);
    let keeper = Keeper::Writer(&writer);
    let proved = proving::prove(&context, &vault, &reading, None, keeper, &fresh).await;
    if let Err(error) = proving::remember(&writer, &reading, &proved).await {
        context.progress.say(&format!("warning: the vault could not remember this run: {error}\n"));
    }
    let status = &proved.status;
    context.events.say(Event::Summary {
        done: 0,
        failed: Vec::new(),
        interrupted: Vec::new(),
        tenants: status.summary(),
    });
    listener.finish().await;
    let verdict = context.stop.requested().map_or(Verdict::Done, Verdict::Stopped);
    if !context.common.json {
        let mut paper = Paper::new(stdout_width());
        status_words::write(&mut paper, status);
        exit_line(&mut paper, status, verdict);
        output::print(&format!("\n{}", paper.into_text()));
    }
    super::status::save(&context, status)?;
    context.close().await;
    Ok(verdict)
}

/// The phase as apply has it: after the changes, before the proof. Gives back what sign-ins gave.
pub(super) async fn in_apply(
    context: &Context,
    writer: &Arc<VaultWriter>,
    reading: &Reading,
) -> Result<BTreeMap<TenantKey, UserToken>, Trouble> {
    let asks = asks(context, reading, |tenant| {
        let manual = reading.plan.tenants.get(tenant).map_or(&[][..], |plan| &plan.manual);
        let has = |kind| manual.iter().any(|step| step.kind == kind);
        if has(ManualKind::AdminConsent) {
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
    phase(context, writer, reading, asks, round).await
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
fn turns(status: &Status, tenant: &TenantKey) -> Option<ManualKind> {
    let tenant = status.tenants.iter().find(|status| status.key == *tenant)?;
    if tenant.waits(FacetName::Consent, WaitingFor::CustomerAdmin) {
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
                        landing: match tenant.consent.strategy {
                            ConsentStrategy::Link | ConsentStrategy::Grant => {
                                tenant.consent.redirect_uri.clone()
                            }
                            ConsentStrategy::Browser => Some(RedirectUri::new(LOOPBACK_PAGE)),
                        },
                        then: reader,
                    },
                    format!("an administrator of {}", tenant.name),
                ),
                ManualKind::SignIn => {
                    let reader = reader?;
                    let who = reader.user.clone();
                    (What::SignIn(reader), who)
                }
                ManualKind::PortalAuthorization => return None,
            };
            Some(Ask {
                tenant: held.tenant.clone(),
                name: tenant.name.clone(),
                who,
                app: held.app.clone(),
                app_name: app.display_name.to_string(),
                directory: held.directory,
                client: held.client,
                secret: held.nonce.clone(),
                age: held.age,
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
) -> Result<BTreeMap<TenantKey, UserToken>, Trouble> {
    let Round { way, privileged, wait, sign_ins } = round;
    if asks.is_empty() || context.stop.requested().is_some() {
        return Ok(BTreeMap::new());
    }
    let people = context.people();
    let can_ask = people.is_some() || way == Way::Paste || context.may_ask();
    let (mut now, mut later) = (Vec::new(), 0);
    for mut ask in asks {
        let strategy = context.manifest.tenants.get(&ask.tenant).map(|t| t.consent.strategy);
        match (&mut ask.what, strategy) {
            (What::AdminConsent { .. }, Some(ConsentStrategy::Browser)) if can_ask => {
                if let (What::AdminConsent { landing: _, then }, SignIns::LeftAlone, None) =
                    (&mut ask.what, sign_ins, people)
                {
                    *then = None;
                }
                now.push(ask);
            }
            (What::AdminConsent { .. }, _) => {
                link(context, reading, &ask);
                match people {
                    Some(_) => now.push(ask),
                    None => later += 1,
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
    let bar = context.progress.bar(Phase::Consent, now.len() + later);
    let office = Office {
        network: context.network.clone(),
        cloud: context.cloud.clone(),
        vault: writer.clone(),
        who: who(reading).await,
        events: context.events.clone(),
        privileged,
    };
    let desk = Arc::new(Desk::new(office, now));
    count(&bar, &desk, later);
    match (people, way) {
        _ if desk.view().is_empty() => {}
        (Some(world), _) => played(context, world, &desk, &bar).await,
        (None, Way::Page) => page(context, &desk, wait, &bar, later).await?,
        (None, Way::Paste) => paste(context, &desk, wait).await,
    }
    count(&bar, &desk, later);
    if people.is_none() {
        context.progress.say(&words::silent(&desk.view()));
    }
    bar.finish();
    Ok(desk.tokens().into_iter().collect())
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

async fn page(
    context: &Context,
    desk: &Arc<Desk>,
    wait: Duration,
    bar: &Bar,
    later: usize,
) -> Result<(), Trouble> {
    let page = Page::open().await.map_err(|error| {
        Trouble::of("people cannot be asked on a page of this machine", &Failure::from(error))
    })?;
    context.progress.say(&words::address(&page.address(), desk.view().len()));
    if has_display() {
        // Where no browser starts, the address stands above.
        let _ = open::that_detached(page.ticket());
    }
    let (fleet, sandbox) = (context.manifest.fleet.clone(), context.is_sandbox());
    let look = Look {
        draw: Box::new(move |screen| words::page(&fleet, sandbox, screen)),
        headers: &pages::HEADERS,
    };
    let mut changes = desk.changes();
    let watching = async {
        while changes.changed().await.is_ok() {
            count(bar, desk, later);
        }
        std::future::pending::<()>().await;
    };
    let ended = tokio::select! {
        ended = page.run(desk.clone(), look, wait, &context.stop) => ended,
        () = watching => Ended::Stopped,
    };
    for row in 0..desk.view().len() {
        if let Some(taken) = desk.taken(row) {
            context.progress.say(&words::taken(&taken));
        }
    }
    context.progress.say(words::ended(ended));
    Ok(())
}

/// The world's people answer, each handed the link that is for them.
async fn played(context: &Context, world: &Sandbox, desk: &Desk, bar: &Bar) {
    let Ok(page) = Url::parse(LOOPBACK_PAGE) else { return };
    let mut asked = 0;
    // Longer as it goes on: an analyst's turn comes after the consent.
    while asked < desk.view().len() && context.stop.requested().is_none() {
        let rows = desk.view();
        let parallelism = usize::from(context.common.parallelism);
        stream::iter(rows.iter().enumerate().skip(asked))
            .for_each_concurrent(parallelism, async |(number, row)| {
                if context.stop.requested().is_some() {
                    return;
                }
                let page = match &row.ask.what {
                    What::AdminConsent { .. } => None,
                    What::SignIn(_) => Some(&page),
                };
                let opened = match desk.link(number, page) {
                    Ok(link) => world.open(link.as_str()),
                    Err(failure) => Opened::Shown(failure.message),
                };
                match opened {
                    Opened::Landed(address) => {
                        if let Err(why) = desk.take(&address).await {
                            desk.shown(number, &why.to_string());
                        }
                    }
                    Opened::Shown(words) => drop(desk.shown(number, &words)),
                    Opened::Nobody => {}
                }
                count(bar, desk, 0);
            })
            .await;
        asked = rows.len();
    }
}

/// Whether a browser can show itself: without a display the address alone is printed.
fn has_display() -> bool {
    if cfg!(any(target_os = "macos", target_os = "windows")) {
        return true;
    }
    ["DISPLAY", "WAYLAND_DISPLAY", "BROWSER"]
        .into_iter()
        .any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
}

/// One question after the other: the link to stderr, the address from stdin.
async fn paste(context: &Context, desk: &Arc<Desk>, wait: Duration) {
    // Registered without a port; nobody listens there, and the address is all that is wanted.
    let Ok(redirect) = Url::parse(LOOPBACK_PAGE) else { return };
    let mut lines = lines();
    let mut number = 0;
    // Longer as it goes on: an analyst's turn comes after the consent.
    while number < desk.view().len() {
        let link = match desk.link(number, Some(&redirect)) {
            Ok(link) => link,
            Err(failure) => {
                context.progress.say(&format!("{}\n", failure.line()));
                number += 1;
                continue;
            }
        };
        if let Some(view) = desk.view().get(number) {
            context.progress.say(&words::paste(view, link.as_str()));
        }
        let tries = if context.may_ask() { TRIES } else { 1 };
        for _ in 0..tries {
            let line = tokio::select! {
                line = lines.recv() => line,
                () = tokio::time::sleep(wait) => None,
                _ = context.stop.told() => return,
            };
            let Some(line) = line else { return };
            // Not dropped at a signal: a code is good for one use.
            match desk.take(line.trim()).await {
                Ok((_, taken)) => {
                    context.progress.say(&words::taken(&taken));
                    break;
                }
                Err(why) => context.progress.say(&words::not_taken(&why)),
            }
        }
        number += 1;
    }
}

/// Lines of stdin, bounded. A thread of its own, for the runtime would wait for its end.
fn lines() -> mpsc::Receiver<String> {
    let (to, from) = mpsc::channel(1);
    std::thread::spawn(move || {
        let mut input = std::io::stdin().lock();
        loop {
            let mut line = Vec::new();
            let mut bounded = std::io::Read::take(&mut input, 2 * LONGEST as u64);
            match bounded.read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
            let line = String::from_utf8_lossy(&line).into_owned();
            if to.blocking_send(line).is_err() {
                break;
            }
        }
    });
    from
}
