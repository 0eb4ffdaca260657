//! A plan, in words.

use std::collections::BTreeMap;

use super::{
    orphans,
    paper::{Ink, Paper, Word, shortened, word},
};
use crate::{
    connector::api_name,
    ids::KeyId,
    lifetime::Lifetime,
    manifest::Manifest,
    plan::{
        Ahead, AppPlan, Outcome, Plan, TenantPlan,
        diagnostic::{Code, Diagnostic, Severity},
        grant::{Grant, Whose},
        manual::ManualKind,
        step::{Cap, Edit, RemovalReason, SecretReason, Step},
    },
    registration::Federated,
};

/// How many apps with something in the way, or to look at, a short plan shows.
const LOUD: usize = 10;
/// How many of the others.
const QUIET: usize = 3;

/// How much of a plan is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// The first of each kind.
    Short,
    /// All of it, unchanged apps among them.
    Full,
}

/// Writes a plan. `requests` are the Graph requests that reading took.
pub fn write(paper: &mut Paper, manifest: &Manifest, plan: &Plan, requests: u32, extent: Extent) {
    let home = &manifest.home.tenant;
    let mut title = format!("Plan for fleet {}, home {home}", plan.fleet);
    if let Some(Ahead { as_of, due: _ }) = &plan.ahead {
        title.push_str(&format!(", as of {}", as_of.strftime("%Y-%m-%d")));
    }
    paper.line(0, &[word(Ink::Bold, title)]);
    let (mut loud, mut quiet) = match extent {
        Extent::Full => (usize::MAX, usize::MAX),
        Extent::Short => (LOUD, QUIET),
    };
    let mut hidden = 0;
    let unread = unread(plan);
    for app in plan.apps.values() {
        if unread.iter().any(|(_, apps)| apps.iter().any(|other| other.key == app.key)) {
            continue;
        }
        let unchanged = app.outcome() == Outcome::Unchanged && grants(plan, app).next().is_none();
        if extent == Extent::Short && unchanged && !is_loud(app) {
            continue;
        }
        let left = if is_loud(app) { &mut loud } else { &mut quiet };
        if *left == 0 {
            hidden += 1;
        } else {
            *left -= 1;
            write_app(paper, plan, app);
        }
    }
    if hidden > 0 {
        paper.line(2, &[word(Ink::Dim, format!("… {hidden} more (--full shows all)"))]);
    }
    for (diagnostic, apps) in unread {
        let keys = few(apps.iter().map(|app| app.key.as_str()));
        let many = count(apps.len(), "app");
        paper.line(2, &[word(Ink::Wait, "?"), word(Ink::Plain, format!("{many}: {keys}"))]);
        write_diagnostic(paper, 4, None, diagnostic);
    }
    for tenant in plan.tenants.values() {
        for diagnostic in tenant.diagnostics.iter().filter(|d| d.severity != Severity::Notice) {
            let owned = plan.apps.get(&tenant.app).is_some_and(|app| {
                app.diagnostics.iter().any(|other| other.code == diagnostic.code)
            });
            if !owned {
                write_diagnostic(paper, 2, Some(tenant.key.as_str()), diagnostic);
            }
        }
    }
    if extent == Extent::Full || !plan.is_empty() {
        write_warnings(paper, plan);
    }
    for orphan in &plan.orphans {
        let text = format!("{}  {}", orphan.key, orphans::sentence(orphan, plan.home));
        paper.advise(2, Some(word(Ink::Wait, "?")), &text);
    }
    for diagnostic in &plan.diagnostics {
        write_diagnostic(paper, 2, None, diagnostic);
    }
    write_last_line(paper, plan, requests);
}

/// Why several apps could not be read, where it is the same for all of them: said once, with their
/// keys. Each may have been told so by another request.
fn unread(plan: &Plan) -> Vec<(&Diagnostic, Vec<&AppPlan>)> {
    let mut directories: BTreeMap<_, (&Diagnostic, Vec<&AppPlan>)> = BTreeMap::new();
    for app in plan.apps.values().filter(|app| app.outcome() == Outcome::Unreadable) {
        if let Some(why) = app.diagnostics.iter().find(|d| d.code == Code::Unreadable) {
            directories.entry(app.directory).or_insert_with(|| (why, Vec::new())).1.push(app);
        }
    }
    directories.into_values().filter(|(_, apps)| apps.len() > 1).collect()
}

/// What concerns many tenants alike is said once, with their keys.
fn write_warnings(paper: &mut Paper, plan: &Plan) {
    for code in [Code::NoLandingPage, Code::TokenMayEnd] {
        let concerned: Vec<_> = plan
            .tenants
            .values()
            .filter_map(|tenant| {
                Some((tenant, tenant.diagnostics.iter().find(|d| d.code == code)?))
            })
            .collect();
        let Some((_, diagnostic)) = concerned.first() else { continue };
        let keys = few(concerned.iter().map(|(tenant, _)| tenant.key.as_str()));
        let hint = diagnostic.hint.as_ref().map_or_else(String::new, |hint| format!("; {hint}"));
        paper.say(2, Some(word(Ink::Wait, "!")), &format!("{}{hint} ({keys})", diagnostic.summary));
    }
}

/// The first of many keys, and how many more there are.
pub(super) fn few<'a>(keys: impl ExactSizeIterator<Item = &'a str>) -> String {
    const SHOWN: usize = 6;
    let more = keys.len().saturating_sub(SHOWN);
    let tail = if more > 0 { format!(", … {more} more") } else { String::new() };
    format!("{}{tail}", keys.take(SHOWN).collect::<Vec<_>>().join(", "))
}

/// Whether an app has something that must be seen.
fn is_loud(app: &AppPlan) -> bool {
    app.diagnostics.iter().any(|d| {
        d.severity != Severity::Notice || matches!(d.code, Code::ForeignKept | Code::InTheBin)
    })
}

fn write_last_line(paper: &mut Paper, plan: &Plan, requests: u32) {
    let summary = plan.summary();
    if plan.is_empty() && summary.blocked == 0 && summary.unreadable == 0 {
        let apps = count(plan.apps.len(), "app");
        let verb = if plan.apps.len() == 1 { "is" } else { "are" };
        paper.line(
            0,
            &[word(
                Ink::Plain,
                format!(
                    "No changes. {apps} {verb} as the manifest says ({}, 0 writes).",
                    count(requests as usize, "request")
                ),
            )],
        );
        return;
    }
    let mut line = format!(
        "Plan: {} to add, {} to change, {} to remove",
        summary.add, summary.change, summary.remove
    );
    if summary.grant > 0 {
        line.push_str(&format!(", {} to grant", count(summary.grant, "tenant")));
    }
    if summary.blocked > 0 {
        line.push_str(&format!(", {} blocked", summary.blocked));
    }
    if summary.unreadable > 0 {
        line.push_str(&format!(", {} unreadable", summary.unreadable));
    }
    line.push_str(&format!("; {} for people.", count(summary.manual, "step")));
    paper.say(0, None, &line);
}

/// `1 app`, `2 apps`.
pub fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

fn write_app(paper: &mut Paper, plan: &Plan, app: &AppPlan) {
    let mark = match app.outcome() {
        Outcome::Add => word(Ink::Good, "+"),
        Outcome::Change => word(Ink::Wait, "~"),
        Outcome::Unchanged if grants(plan, app).next().is_some() => word(Ink::Wait, "~"),
        Outcome::Unchanged => word(Ink::Plain, "="),
        Outcome::Unreadable => word(Ink::Wait, "?"),
        Outcome::Blocked => word(Ink::Bad, "×"),
    };
    let key = shortened(app.key.as_str(), 24);
    let name = format!("app \"{}\"", app.display_name);
    paper.line(2, &[mark, word(Ink::Bold, format!("{key:<11}")), word(Ink::Plain, name)]);
    let indent = 16;
    for step in &app.steps {
        write_step(paper, indent, step);
    }
    for diagnostic in &app.diagnostics {
        // What shortens a credential stands beside it.
        let stands_beside =
            matches!(diagnostic.code, Code::SecretShortened | Code::CertificateShortened);
        if diagnostic.severity != Severity::Notice && !stands_beside
            || matches!(diagnostic.code, Code::ForeignKept | Code::BlastRadius | Code::InTheBin)
        {
            write_diagnostic(paper, indent, None, diagnostic);
        }
    }
    let users: Vec<&TenantPlan> = plan.tenants.values().filter(|t| t.app == app.key).collect();
    let many = users.len() > 1;
    write_grants(paper, indent, plan, app, many);
    for kind in [ManualKind::AdminConsent, ManualKind::SignIn, ManualKind::PortalAuthorization] {
        let asked: Vec<_> = users
            .iter()
            .flat_map(|tenant| tenant.manual.iter().map(move |manual| (*tenant, manual)))
            .filter(|(_, manual)| manual.kind == kind)
            .collect();
        let text = match (asked.as_slice(), many) {
            ([], _) => continue,
            ([(_, manual)], false) => match kind {
                ManualKind::AdminConsent => format!("{} consents (link)", manual.who),
                ManualKind::SignIn => format!("{} signs in", manual.who),
                ManualKind::PortalAuthorization => {
                    "someone authorizes the app in the Defender portal".to_owned()
                }
                // Asked of those who are offboarded, by no plan.
                ManualKind::Removal => continue,
            },
            (several, _) => {
                let names = few(several.iter().map(|(tenant, _)| tenant.key.as_str()));
                match kind {
                    ManualKind::AdminConsent => {
                        format!("administrators consent (link): {names}")
                    }
                    ManualKind::SignIn => format!("the analyst signs in for: {names}"),
                    ManualKind::PortalAuthorization => {
                        format!("someone authorizes the app in the Defender portal of: {names}")
                    }
                    ManualKind::Removal => continue,
                }
            }
        };
        paper.say(indent, Some(word(Ink::Wait, "!")), &text);
    }
}

/// The tenants of an app in whose directories something is granted.
fn grants<'a>(plan: &'a Plan, app: &'a AppPlan) -> impl Iterator<Item = &'a TenantPlan> {
    plan.tenants.values().filter(|tenant| tenant.app == app.key && !tenant.steps.is_empty())
}

/// What is granted in the customers' directories: each thing where there is one customer, else in
/// which directories.
fn write_grants(paper: &mut Paper, indent: usize, plan: &Plan, app: &AppPlan, many: bool) {
    let plus = || Some(word(Ink::Good, "+"));
    let granted: Vec<_> = grants(plan, app).collect();
    if many {
        if !granted.is_empty() {
            let keys = few(granted.iter().map(|tenant| tenant.key.as_str()));
            paper.say(indent, plus(), &format!("granted by Graph in the directories of: {keys}"));
        }
        return;
    }
    for step in granted.iter().flat_map(|tenant| &tenant.steps) {
        let line = match step {
            Grant::CreateServicePrincipal { of: Whose::App, .. } => {
                "enterprise app in the customer's directory".to_owned()
            }
            Grant::CreateServicePrincipal { of: Whose::Api(api), .. } => {
                format!("enterprise app of {}, which is missing there", api_name(*api))
            }
            Grant::GrantAppRole { resource, name, role: _ } => {
                format!("grant          {name} of {}", api_name(*resource))
            }
            Grant::GrantScopes { resource, scopes } => {
                let new: Vec<_> = scopes.to.difference(&scopes.from).map(String::as_str).collect();
                format!("grant          {} of {} (delegated)", new.join(", "), api_name(*resource))
            }
        };
        paper.say(indent, plus(), &line);
    }
}

fn write_step(paper: &mut Paper, indent: usize, step: &Step) {
    let plus = || Some(word(Ink::Good, "+"));
    let changed = || Some(word(Ink::Wait, "~"));
    match step {
        Step::RestoreApplication { .. } => {
            paper.say(indent, plus(), "restored from the bin, not made twice");
        }
        Step::CreateApplication { registration, .. } => {
            for uri in &registration.redirect_uris {
                paper.say(indent, plus(), &format!("redirect URI   {uri}"));
            }
        }
        Step::PatchApplication { edits, .. } => {
            for edit in edits {
                for line in edit_lines(edit) {
                    paper.say(indent, changed(), &line);
                }
            }
        }
        Step::RemoveSecret { key_id, nonce: _, display_name, reason } => {
            let line =
                format!("client secret  {}", removed(*reason, *key_id, display_name.as_deref()));
            paper.say(indent, Some(word(Ink::Bad, "-")), &line);
        }
        Step::RemoveCertificate { key_id, nonce: _, display_name, reason } => {
            let line =
                format!("certificate    {}", removed(*reason, *key_id, display_name.as_deref()));
            paper.say(indent, Some(word(Ink::Bad, "-")), &line);
        }
        Step::AddSecret { lifetime, reason, capped_by } => {
            let line = format!("client secret  {}", added(*lifetime, *reason, capped_by.as_ref()));
            paper.say(indent, plus(), &line);
        }
        Step::AddCertificate { lifetime, reason, capped_by } => {
            let line = format!("certificate    {}", added(*lifetime, *reason, capped_by.as_ref()));
            paper.say(indent, plus(), &line);
        }
        Step::AddFederated { name: _, trusts } => {
            paper.say(indent, plus(), &format!("trusts         {}", issuer(trusts)));
        }
        Step::UpdateFederated { name: _, change, .. } => {
            let from = issuer(&change.from);
            let text = format!("trusts         {from} → {}", issuer(&change.to));
            paper.say(indent, changed(), &text);
        }
        Step::RemoveFederated { id: _, name, trusted, reason } => {
            let whose = match reason {
                RemovalReason::Foreign => format!(" by \"{name}\", which is not ours"),
                RemovalReason::Unwanted
                | RemovalReason::ValueLost
                | RemovalReason::Retired
                | RemovalReason::Expired
                | RemovalReason::Revoked => String::new(),
            };
            let mark = Some(word(Ink::Bad, "-"));
            paper.say(indent, mark, &format!("trusts         {}{whose}", issuer(trusted)));
        }
        Step::AddOwner { owner } => paper.say(indent, plus(), &format!("owner          {owner}")),
    }
}

/// How long a new credential lives, and why it is made.
fn added(lifetime: Lifetime, reason: SecretReason, capped_by: Option<&Cap>) -> String {
    let because = match reason {
        SecretReason::First => "",
        SecretReason::Renewal => ", beside the one that ends soon",
        SecretReason::Expired => ", because the old one has expired",
        SecretReason::ValueLost => ", because the value of the old one was lost",
        SecretReason::RemovedOutside => ", because somebody removed the old one",
        SecretReason::Asked => ", beside the one that is there, as was asked for",
    };
    let cap = capped_by.map_or_else(String::new, |cap| {
        format!(" instead of {}: policy \"{}\" caps it", cap.wanted, cap.policy)
    });
    format!("{lifetime}{cap}{because}")
}

/// Which credential goes, and why.
fn removed(reason: RemovalReason, key_id: KeyId, display_name: Option<&str>) -> String {
    match reason {
        RemovalReason::ValueLost => {
            "one of ours whose value was lost before it was stored".to_owned()
        }
        RemovalReason::Retired => {
            "the old one: its successor has taken its place, the overlap is over".to_owned()
        }
        RemovalReason::Expired => "one of ours that has expired".to_owned(),
        RemovalReason::Revoked => "an old one, as was asked for".to_owned(),
        RemovalReason::Unwanted => "one that the manifest names no more".to_owned(),
        RemovalReason::Foreign => match display_name {
            Some(name) => format!("\"{name}\" ({key_id}), which is not ours"),
            None => format!("{key_id}, which has no name and is not ours"),
        },
    }
}

/// Whose tokens are taken; the audience only where it is not the usual one.
fn issuer(trusts: &Federated) -> String {
    let Federated { issuer, subject, audience } = trusts;
    let audience = match audience.as_str() {
        "api://AzureADTokenExchange" => String::new(),
        other => format!(" for {other}"),
    };
    format!("{subject} of {issuer}{audience}")
}

/// An edit, a line for each thing that changes.
pub(super) fn edit_lines(edit: &Edit) -> Vec<String> {
    fn sets<T: Ord + std::fmt::Display>(
        what: &str,
        from: &std::collections::BTreeSet<T>,
        to: &std::collections::BTreeSet<T>,
    ) -> Vec<String> {
        let added = to.difference(from).map(|one| format!("{what} + {one}"));
        let removed = from.difference(to).map(|one| format!("{what} - {one}"));
        added.chain(removed).collect()
    }
    match edit {
        Edit::DisplayName(change) => {
            vec![format!("name           \"{}\" → \"{}\"", change.from, change.to)]
        }
        Edit::Audience(change) => {
            let text = |audience: Option<crate::registration::Audience>| {
                audience.map_or("(unknown)", crate::registration::Audience::as_str)
            };
            vec![format!("audience       {} → {}", text(change.from), text(change.to))]
        }
        Edit::RedirectUris(change) => sets("redirect URI  ", &change.from, &change.to),
        Edit::Permissions(change) => {
            let named = |set: &std::collections::BTreeSet<crate::registration::Permission>| {
                set.iter().map(permission_name).collect::<std::collections::BTreeSet<_>>()
            };
            sets("permission    ", &named(&change.from), &named(&change.to))
        }
        Edit::Links(_) => vec!["links of the consent page".to_owned()],
        Edit::Tags(change) => sets("tag           ", &change.from, &change.to),
        Edit::UniqueName(named) => vec![format!("unique name    + {}", named.to)],
    }
}

fn permission_name(permission: &crate::registration::Permission) -> String {
    use crate::{connector::KNOWN_PERMISSIONS, registration::PermissionKind};
    let kind = match permission.kind {
        PermissionKind::Application => "application",
        PermissionKind::Delegated => "delegated",
    };
    let id = permission.id.as_uuid();
    let name = KNOWN_PERMISSIONS
        .iter()
        .find(|(resource, _, role, scope)| {
            *resource == permission.resource && [*role, *scope].contains(&Some(id))
        })
        .map_or_else(|| id.to_string(), |(_, name, ..)| (*name).to_owned());
    format!("{name} ({kind})")
}

pub(super) fn write_diagnostic(
    paper: &mut Paper,
    indent: usize,
    whose: Option<&str>,
    diagnostic: &Diagnostic,
) {
    let mark: Word = match diagnostic.severity {
        Severity::Error => word(Ink::Bad, "×"),
        Severity::Warning => word(Ink::Wait, "!"),
        Severity::Notice => word(Ink::Dim, "·"),
    };
    let whose = whose.map_or_else(String::new, |key| format!("{key}: "));
    paper.advise(indent, Some(mark), &format!("{whose}{}", diagnostic.summary));
    if let Some(hint) = diagnostic.hint.as_ref().filter(|_| diagnostic.severity != Severity::Notice)
    {
        paper.advise(indent + 2, None, hint);
    }
}
