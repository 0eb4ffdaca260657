//! `tenantry rotate`

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;

use super::{
    Common,
    apply::{Signed, turn},
    context::{Context, vault_trouble},
    proving,
    proving::Asked,
    reading,
    reading::Reading,
    status::FailOn,
    work::{WITH_YES, Work, conclude, show, unconfirmed},
};
use crate::{
    failure::{Cause, Failure},
    ids::{AppKey, TenantKey},
    manifest::Credential,
    plan::{AppPlan, Fate, Rotate, Wish, diagnostic::Code, kinds, secrets, step::Target},
    prove::Keeper,
    report::{apply as words, error::Trouble, plan::Extent},
    verdict::Verdict,
};

/// Make new secrets now, beside the old ones
///
/// Each chosen tenant's app gets a new secret, which is stored, shown to Entra ID in the customers'
/// directories, and used only once it is accepted there. The old one stays for the overlap, and a
/// later apply removes it. Where an earlier run made one that is not in use yet, this one goes on
/// with that. Nothing else of the apps is changed. Renewals need no rotate: apply makes them in time.
#[derive(Debug, Args)]
pub(super) struct RotateArgs {
    /// The tenants' keys; --tenant and --label choose them too
    #[arg(value_name = "KEY")]
    keys: Vec<TenantKey>,
    /// Every app of the fleet
    #[arg(long, conflicts_with_all = ["keys", "tenant", "label"])]
    all: bool,
    /// Do not wait for the overlap; only together with --revoke-old
    #[arg(long, requires = "revoke_old")]
    now: bool,
    /// A secret leaked: remove all older ones of ours in this same run, once the new one is accepted;
    /// where it is refused, they stay and the run fails. Before consent nobody can accept it: then
    /// they go once it is stored
    #[arg(long, requires = "now")]
    revoke_old: bool,
    /// Also remove secrets, certificates and federated credentials that are not ours: each is named
    /// in the plan
    #[arg(long)]
    remove_foreign: bool,
    /// Show every app of the plan
    #[arg(long)]
    full: bool,
    /// Fail where this is left: pending, expiring, not-reading; may be repeated
    #[arg(long, value_name = "WHAT", value_delimiter = ',')]
    fail_on: Vec<FailOn>,
}

pub(super) async fn run(args: RotateArgs, mut common: Common) -> Result<Verdict, Trouble> {
    let RotateArgs { keys, all, now: _, revoke_old, remove_foreign, full, fail_on } = args;
    common.tenant.extend(keys.iter().map(ToString::to_string));
    if !all && common.tenant.is_empty() && common.label.is_empty() {
        return Err(Trouble::new(
            Verdict::Usage,
            "nobody was chosen, so no secret was made; nothing was changed",
        )
        .next("name tenants: tenantry rotate KEY…, --tenant or --label; or --all"));
    }
    let mut context = Context::open(common).await?;
    whole_apps(&mut context);
    let vault = context.vault().await?;
    let Some(writer) = turn(&context, &vault, "rotate").await? else {
        return Ok(Verdict::Stopped(context.stop.told().await));
    };
    writer.check_writable().await.map_err(|error| {
        vault_trouble("the vault cannot be written; nothing was changed", &error)
    })?;
    let fate = if revoke_old { Fate::Revoked } else { Fate::Retire };
    let rotate = Some(Rotate { old: BTreeSet::new(), fate });
    let wish = Wish { remove_foreign, rotate, ..Wish::default() };
    let mut reading = reading::read(&context, &vault, wish).await?;
    let bare = without_secret(&context, &reading);
    if !bare.is_empty() && bare.len() == reading.plan.apps.len() {
        return Err(nothing_to_rotate(&context, &reading, &bare));
    }
    show(&context, &reading, if full { Extent::Full } else { Extent::Short })?;
    for app in &bare {
        context.progress.say(&words::nothing_to_rotate(app));
    }
    for app in gone_on_with(&reading, fate) {
        context.progress.say(&words::goes_on(app));
    }
    let (plan, signed) = (&reading.plan, Signed::Nothing);
    if let Some(verdict) = unconfirmed(&context, plan, &signed, WITH_YES).await? {
        return Ok(verdict);
    }
    let mut work = Work::begin(&mut context, &reading, "rotate").await;
    work.outcome.failed.extend(absent(&reading, &bare));
    let plan = reading.plan.clone();
    work.carry_out(&context, &writer, &mut reading, plan, &Signed::Nothing).await?;
    let not_yet = proving::succeed(&context, &writer, &mut reading).await?;
    context.progress.say(&words::not_yet(&not_yet));
    work.outcome.failed.extend(not_yet);
    match fate {
        Fate::Retire => {}
        Fate::Revoked => {
            let outcome = &work.outcome;
            let good = |app: &AppKey| {
                !outcome.failed.contains_key(app) && !outcome.interrupted.contains(app)
            };
            let good = reading.plan.apps.keys().filter(|app| good(app)).cloned().collect();
            let plan = reading.plan.clone().only(&good);
            work.carry_out(&context, &writer, &mut reading, plan, &Signed::Nothing).await?;
        }
    }
    let (mut asked, nothing) = (Asked::default(), BTreeMap::new());
    let keeper = Keeper::Writer(&writer);
    proving::ask(&context, &vault, &reading, keeper, &nothing, &mut asked, |_| true).await;
    let flags = if revoke_old { " --now --revoke-old" } else { "" };
    let again = format!("{}{flags}", context.common.command("rotate"));
    conclude(context, work, &writer, &reading, asked, &fail_on, &again).await
}

/// Chooses with each tenant all that use the same app: one secret opens them all, so each of them
/// must take the new one.
fn whole_apps(context: &mut Context) {
    let Context { manifest, scope, .. } = context;
    scope.tenants = manifest
        .tenants
        .values()
        .filter(|tenant| scope.apps.contains(&tenant.app))
        .map(|tenant| tenant.key.clone())
        .collect();
}

/// The apps of which an earlier run has made the new secret that is asked for.
fn gone_on_with(reading: &Reading, fate: Fate) -> impl Iterator<Item = &AppKey> {
    let made = move |app: &&AppPlan| {
        let untried = reading.seen.records.get(&app.key).and_then(secrets::untried);
        let adds = app.steps.iter().any(|step| kinds::made_by(step).is_some());
        match fate {
            Fate::Retire => untried.is_some() && !adds,
            Fate::Revoked => false,
        }
    };
    reading.plan.apps.values().filter(made).map(|app| &app.key)
}

/// The apps that sign in without a secret, and have none of ours left that could go.
fn without_secret(context: &Context, reading: &Reading) -> BTreeSet<AppKey> {
    let wanted = |app: &AppPlan| Some(&context.manifest.apps.get(&app.key)?.credential);
    let bare = reading.plan.apps.values().filter(|app| match wanted(app) {
        Some(Credential::Federated(_)) => app.steps.is_empty(),
        Some(Credential::Secret | Credential::Certificate) | None => false,
    });
    bare.map(|app| app.key.clone()).collect()
}

/// Nobody who was chosen has a secret: that is no run that went well.
fn nothing_to_rotate(context: &Context, reading: &Reading, apps: &BTreeSet<AppKey>) -> Trouble {
    let trouble = Trouble::new(Verdict::Usage, "there is no secret to rotate; nothing was changed");
    let mut trouble = apps.iter().take(10).fold(trouble, |t, app| t.why(words::no_secret(app)));
    if apps.len() > 10 {
        trouble = trouble.why(format!("… {} more", apps.len() - 10));
    }
    // One of before may still open it, which is what somebody who rotates wants to know.
    let diagnostics = reading.plan.apps.values().flat_map(|app| &app.diagnostics);
    for left in diagnostics.filter(|one| one.code == Code::SecretsLeft).take(10) {
        trouble = trouble.why(left.summary.clone());
        trouble = trouble.next(left.hint.clone().unwrap_or_default());
    }
    if trouble.next.is_some() {
        return trouble;
    }
    trouble.next(format!(
        "whom such an app trusts stands in the manifest, under federated; {} shows what of it holds",
        context.common.command("plan")
    ))
}

/// Apps for which there is nothing to rotate yet, or any more.
fn absent(reading: &Reading, bare: &BTreeSet<AppKey>) -> BTreeMap<AppKey, Failure> {
    let why = |target| match target {
        Target::Absent => Some("it does not exist yet"),
        Target::Deleted { .. } => Some("it was deleted"),
        Target::Existing { .. } | Target::Unknown => None,
    };
    let apps = reading.plan.apps.values().filter(|app| !bare.contains(&app.key));
    let absent = apps.filter_map(|app| {
        let failure = Failure::new(Cause::Guard, why(app.target)?)
            .hint("tenantry apply brings it back, with a new secret");
        Some((app.key.clone(), failure))
    });
    absent.collect()
}
