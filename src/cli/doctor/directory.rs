//! What `doctor` sees of the provider's directory, of who we are there, and of the customers' clouds.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, stream};
use jiff::Timestamp;

use super::{
    Check, Health, failed,
    rights::{self, Held, Rights},
    works,
};
use crate::{
    cli::context::Context,
    entra::{self, Identity, IdentityKind, Operator},
    failure::{Cause, Failure},
    graph::{Owners, Publisher, Reader},
    ids::{AppKey, TenantId},
    inventory::{FoundApp, Policies, Sight},
    manifest::Layout,
    plan::{
        diagnostic::Severity,
        marks::{self, Marked},
        secrets,
    },
    report::plan::count,
    verdict::Verdict,
};

/// How far clocks may be apart before it is said.
const SKEW_SECONDS: i64 = 60;
/// The directory objects that one who holds no administrator's role may have made, those in the bin
/// included (<https://learn.microsoft.com/en-us/entra/identity/users/directory-service-limits-restrictions>).
const QUOTA: usize = 250;
/// From here on it is time to do something about it.
const QUOTA_NEAR: usize = 200;
/// How many of a kind are named.
const NAMED: usize = 5;

/// Everything about the provider's directory and who we are there.
pub(super) async fn look(context: &Context, checks: &mut Vec<Check>) -> (Verdict, Option<Rights>) {
    let home = match context.home().await {
        Ok(home) => {
            checks.push(works(
                "provider's directory",
                format!("{} is {home}", context.manifest.home.tenant),
            ));
            home
        }
        Err(failure) => {
            checks.push(failed(
                "provider's directory",
                &failure,
                "correct home.tenant in the manifest",
            ));
            return (Verdict::Failed, None);
        }
    };
    let operator = match context.operator().await {
        Ok(operator) => operator,
        Err(trouble) => {
            checks.push(Check {
                about: "way to sign in".to_owned(),
                health: Health::Missing,
                found: trouble.why.join("; "),
                remedy: trouble.next.clone(),
            });
            return (trouble.verdict, None);
        }
    };
    checks.push(works("way to sign in", operator.way().to_string()));
    for attempt in operator.attempts() {
        checks.push(noted(&attempt.way.to_string(), format!("not taken: {}", attempt.why_not)));
    }
    let identity = match operator.identity(home).await {
        Ok(identity) => identity,
        Err(failure) => {
            checks.push(failed("operator", &failure, "sign in again"));
            return (Verdict::MayNot, None);
        }
    };
    checks.push(works("operator", identity.to_string()));
    let rights = readings(context, &operator, &identity, home, checks).await;
    let own = identity.client_id.filter(|_| identity.kind == IdentityKind::App);
    checks.extend(crate::cli::customers::checks(context, &operator, own).await);
    (Verdict::Done, rights)
}

fn noted(about: &str, found: impl Into<String>) -> Check {
    Check { health: Health::Noted, ..works(about, found) }
}

fn unknown(about: &str, found: impl Into<String>) -> Check {
    Check { health: Health::Unknown, ..works(about, found) }
}

/// Tries each reading that a plan may need.
async fn readings(
    context: &Context,
    operator: &Operator,
    identity: &Identity,
    home: TenantId,
    checks: &mut Vec<Check>,
) -> Option<Rights> {
    let reader = match Reader::new(&context.network, &context.cloud, home, operator) {
        Ok(reader) => reader.with(Owners::Read),
        Err(failure) => {
            checks.push(failed("Microsoft Graph", &failure, "sign in again"));
            return None;
        }
    };
    let fleet = &context.manifest.fleet;
    let (apps, bin, policies) =
        futures::join!(reader.fleet_apps(fleet), reader.bin(), reader.policies());
    let apps = apps.map(|page| page.items);
    let mut answers = BTreeMap::new();
    let seen = match (&apps, &bin) {
        (Ok(apps), Ok(bin)) => {
            Ok(format!("{} apps of this fleet, {} in the bin", apps.len(), bin.len()))
        }
        (Err(failure), _) | (_, Err(failure)) => Err(failure.clone()),
    };
    answers.insert("Application.Read.All", seen);
    let seen = policies.as_ref().map_err(Failure::clone).map(|policies| {
        let default = policies.default.as_ref().map_or("none", |policy| &policy.name);
        format!("default policy: {default}; {} custom", policies.custom.len())
    });
    answers.insert("Policy.Read.ApplicationConfiguration", seen);
    let held = Held { identity, answers };
    let (rights, found) = rights::judge(&context.manifest, &context.scope, &held);
    checks.extend(found);
    if let Some(theirs) = reader.server_time() {
        let apart = Timestamp::now().duration_since(theirs).as_secs().abs();
        checks.push(if apart <= SKEW_SECONDS {
            works("clock", format!("{} from Microsoft's", span(apart)))
        } else {
            noted("clock", format!("{} from Microsoft's; theirs is used", span(apart)))
        });
    }
    checks.push(quota(context, &reader, identity, apps.as_deref().ok()).await);
    if let Ok(apps) = &apps {
        let now = reader.server_time().unwrap_or_else(Timestamp::now);
        let policies = policies.ok().map(Sight::Seen);
        checks.extend(policies.iter().flat_map(|all| forbidden(context, apps, all, now)));
        checks.extend(owners(context, apps));
        checks.push(publisher(&reader, context).await);
    }
    checks.push(clouds(context).await);
    Some(rights)
}

/// Seconds, in the greatest unit that two of them fill.
fn span(seconds: i64) -> String {
    let (n, unit) = match seconds {
        0..120 => return format!("{seconds} s"),
        120..7_200 => (seconds / 60, "minute"),
        7_200..172_800 => (seconds / 3_600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    count(usize::try_from(n).unwrap_or_default(), unit)
}

/// How much the operator has made of what one may make.
async fn quota(
    context: &Context,
    reader: &Reader,
    identity: &Identity,
    apps: Option<&[FoundApp]>,
) -> Check {
    let about = "object quota of the operator";
    let client = match (identity.kind, identity.client_id) {
        (IdentityKind::App, Some(client)) => client,
        (IdentityKind::App, None) | (IdentityKind::Person, _) => {
            return unknown(
                about,
                format!(
                    "no list tells what a person made; without an administrator's role it is {QUOTA} \
                     objects, the bin included"
                ),
            );
        }
    };
    let made = match reader.made_by(client).await {
        Ok(made) => made,
        Err(failure) => return unknown(about, failure.line()),
    };
    let there: BTreeSet<AppKey> =
        apps.into_iter().flatten().filter_map(|app| key_of(context, app)).collect();
    // An app that its customer owns is made in that directory, and counts there.
    let manifest = &context.manifest;
    let wanted = context.scope.apps.iter().filter_map(|key| manifest.apps.get(key));
    let to_come = wanted
        .filter(|app| match app.layout {
            Layout::PerTenant | Layout::Shared => !there.contains(&app.key),
            Layout::InTenant => false,
        })
        .count();
    let found = format!(
        "it has made {made} apps, the bin included, of {QUOTA} objects that one without an \
         administrator's role may make; this manifest adds {to_come}"
    );
    let remedy = Some(
        "empty the bin of what is gone for good, ask Microsoft or an administrator to raise the quota, \
         or give the operator's service principal the role Application Administrator, which has none"
            .to_owned(),
    );
    match made + to_come {
        ..QUOTA_NEAR => works(about, found),
        QUOTA_NEAR..=QUOTA => Check { remedy, ..noted(about, found) },
        _ => Check { health: Health::Missing, remedy, ..works(about, found) },
    }
}

fn key_of(context: &Context, app: &FoundApp) -> Option<AppKey> {
    match marks::read(&context.manifest.fleet, app) {
        Marked::Ours { key, .. } => Some(key),
        Marked::Not | Marked::Conflicting(_) => None,
    }
}

/// The first of many, and how many more there are.
fn few(all: &[String]) -> String {
    let more = all.len().saturating_sub(NAMED);
    let tail = if more > 0 { format!(", … {more} more") } else { String::new() };
    format!("{}{tail}", all[..all.len().min(NAMED)].join(", "))
}

/// What the provider's policies forbid or shorten of the credentials that the manifest wants, each
/// with the apps it is said of.
fn forbidden(
    context: &Context,
    apps: &[FoundApp],
    policies: &Sight<Policies>,
    now: Timestamp,
) -> Vec<Check> {
    let there: BTreeMap<AppKey, &FoundApp> =
        apps.iter().filter_map(|app| Some((key_of(context, app)?, app))).collect();
    let mut said: BTreeMap<(String, Option<String>), (Severity, Vec<String>)> = BTreeMap::new();
    for wanted in context.scope.apps.iter().filter_map(|key| context.manifest.apps.get(key)) {
        // What a customer's directory forbids is that directory's; a plan looks there.
        if wanted.layout == Layout::InTenant {
            continue;
        }
        let found = there.get(&wanted.key);
        let created = found.and_then(|app| app.created).unwrap_or(now);
        let app = found.map(|app| app.object_id);
        for told in secrets::foretold(wanted, policies, app, created, now) {
            let (_, apps) =
                said.entry((told.summary, told.hint)).or_insert((told.severity, Vec::new()));
            apps.push(wanted.key.to_string());
        }
    }
    let check = |((summary, hint), (severity, apps)): (_, (Severity, Vec<String>))| Check {
        about: "policies".to_owned(),
        health: match severity {
            Severity::Error => Health::Missing,
            Severity::Warning | Severity::Notice => Health::Noted,
        },
        found: format!("{summary} ({})", few(&apps)),
        remedy: hint,
    };
    said.into_iter().map(check).collect()
}

/// Whether the apps have the owners that the manifest names, where it names some.
fn owners(context: &Context, apps: &[FoundApp]) -> Option<Check> {
    let manifest = &context.manifest;
    let named = |key: &AppKey| manifest.apps.get(key).map(|app| &app.owners);
    if !context.scope.apps.iter().any(|key| named(key).is_some_and(|o| !o.is_empty())) {
        return None;
    }
    let mut lacking = Vec::new();
    let mut right = 0_usize;
    for app in apps {
        let Some((key, wanted)) = key_of(context, app).and_then(|k| Some((k.clone(), named(&k)?)))
        else {
            continue;
        };
        let held = app.owners.clone().unwrap_or_default();
        match wanted.difference(&held).count() {
            0 => right += 1,
            n => lacking.push(format!("{key} lacks {n}")),
        }
    }
    Some(if lacking.is_empty() {
        works("owners", format!("{right} apps have those that the manifest names"))
    } else {
        Check { remedy: Some(context.common.command("apply")), ..noted("owners", few(&lacking)) }
    })
}

/// What customers see on the consent page
/// (<https://learn.microsoft.com/en-us/entra/identity-platform/publisher-verification-overview>).
async fn publisher(reader: &Reader, context: &Context) -> Check {
    let about = "verified publisher";
    let apps = match reader.publishers(&context.manifest.fleet).await {
        Ok(apps) => apps,
        Err(failure) => return unknown(about, failure.line()),
    };
    let verified: BTreeSet<_> = apps.iter().filter_map(|app| app.verified.clone()).collect();
    let unverified: Vec<String> = apps
        .iter()
        .filter(|app| app.verified.is_none())
        .map(|Publisher { app, .. }| app.clone())
        .collect();
    if apps.is_empty() {
        return noted(
            about,
            "no app is made yet; a new one has none until somebody verifies it, and customers then see \
             \"unverified\"",
        );
    }
    if unverified.is_empty() {
        let names: Vec<_> = verified.into_iter().collect();
        return works(about, format!("{}, which customers see when they consent", few(&names)));
    }
    Check {
        remedy: Some(
            "Entra ID › App registrations › the app › Branding & properties › Publisher verification, \
             with an account of the Microsoft AI Cloud Partner Program"
                .to_owned(),
        ),
        ..noted(
            about,
            format!(
                "{} of {} apps have none ({}): customers see \"unverified\" when they consent. \
                 Administrators can accept that; users cannot, of apps for other directories made \
                 since 2020-11",
                unverified.len(),
                apps.len(),
                few(&unverified)
            ),
        )
    }
}

/// Whether every customer's directory is in the manifest's cloud.
async fn clouds(context: &Context) -> Check {
    let about = "customers' clouds";
    let chosen: Vec<_> =
        context.scope.tenants.iter().filter_map(|key| context.manifest.tenants.get(key)).collect();
    let asked: Vec<_> = stream::iter(chosen)
        .map(|tenant| async move {
            let id = tenant.id.map(|id| id.to_string());
            let Some(name) = id.or_else(|| tenant.domain.clone()) else {
                return (&tenant.key, Err(Failure::new(Cause::Guard, "neither id nor domain")));
            };
            (&tenant.key, entra::discover(&context.network, &context.cloud, &name).await)
        })
        .buffer_unordered(usize::from(context.common.parallelism))
        .collect()
        .await;
    let (mut wrong, mut silent) = (Vec::new(), Vec::new());
    for (key, answer) in &asked {
        match answer {
            Ok(_) => {}
            Err(failure) => match failure.cause {
                Cause::Refused | Cause::NotFound | Cause::Garbled | Cause::Guard => {
                    wrong.push(format!("{key}: {}", failure.message));
                }
                Cause::SignIn
                | Cause::Privilege
                | Cause::Throttled
                | Cause::Service
                | Cause::Unreachable
                | Cause::NoAnswer
                | Cause::Interrupted => silent.push(format!("{key}: {}", failure.message)),
            },
        }
    }
    wrong.sort();
    silent.sort();
    let cloud = context.cloud.name.map_or_else(|| "this cloud".to_owned(), |name| name.to_string());
    match (wrong.as_slice(), silent.as_slice()) {
        ([], []) => works(about, format!("{} directories, all in {cloud}", asked.len())),
        ([], silent) => unknown(about, few(silent)),
        (wrong, _) => Check {
            health: Health::Missing,
            remedy: Some(
                "correct `id` or `domain`; a customer of another cloud stands in a manifest of its own"
                    .to_owned(),
            ),
            ..works(about, few(wrong))
        },
    }
}
