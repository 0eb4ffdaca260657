//! How the changes went, in words.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    forecast,
    paper::{Ink, Paper, word},
    plan::{count, few},
};
use crate::{
    failure::Failure,
    ids::{AppKey, TenantKey},
    lifetime::Lifetime,
    manifest::{App, Credential, Manifest},
    plan::{AppPlan, Plan, diagnostic::Code, step::Cap},
    status::Status,
    verdict::Verdict,
};

/// What a step is about to do, for an error's first line; nothing where its word is no step's.
pub(super) fn doing(step: &str) -> Option<&'static str> {
    words(step).map(|(doing, _)| doing)
}

/// What a step has done.
pub(super) fn did(step: &str) -> Option<&'static str> {
    words(step).map(|(_, did)| did)
}

fn words(step: &str) -> Option<(&'static str, &'static str)> {
    Some(match step {
        "restore-application" => ("restore the app", "app restored from the bin"),
        "create-application" => ("create the app", "app created"),
        "patch-application" => ("change the app", "app changed"),
        "remove-secret" => ("remove a client secret", "a client secret removed"),
        "add-secret" => ("add a client secret", "client secret added"),
        "remove-certificate" => ("remove a certificate", "a certificate removed"),
        "add-certificate" => ("add a certificate", "certificate added"),
        "add-federated" => ("trust an issuer", "trust in an issuer added"),
        "update-federated" => ("change the trust in an issuer", "trust in an issuer changed"),
        "remove-federated" => ("end the trust in an issuer", "trust in an issuer ended"),
        "add-owner" => ("add an owner", "an owner added"),
        "remove-marks" => ("take our tags off the app", "our tags taken off the app"),
        "delete-application" => ("delete the app", "app deleted, restorable for 30 days"),
        "remove-record" => ("remove the vault's record", "the vault's record removed"),
        "forget-tenant" => {
            ("remove what the vault has of the tenant", "what the vault had of the tenant removed")
        }
        "create-service-principal" => {
            ("create a service principal", "enterprise app made in the customer's directory")
        }
        "grant-app-role" => ("grant an app role", "app role granted"),
        "grant-scopes" => ("grant scopes", "delegated scopes granted"),
        _ => return None,
    })
}

/// A step that failed, while the others go on.
pub fn failed_line(
    app: &AppKey,
    tenant: Option<&TenantKey>,
    step: &str,
    failure: &Failure,
) -> String {
    let mut paper = Paper::new(100);
    let whose = tenant.map_or(app.as_str(), TenantKey::as_str);
    paper.say(
        0,
        Some(word(Ink::Bad, "error:")),
        &format!("{whose}: could not {}", doing(step).unwrap_or(step)),
    );
    paper.say(2, None, &failure.line());
    if let Some(hint) = &failure.hint {
        paper.say(2, Some(word(Ink::Bold, "Do:")), hint);
    }
    paper.into_text()
}

/// New secrets that are not the ones to use yet; nothing where there are none.
pub fn not_yet(apps: &BTreeMap<AppKey, Failure>) -> String {
    let mut paper = Paper::new(100);
    for (app, failure) in apps {
        let line = format!(
            "{app}: what is new is there and not in use yet, the old one stays in use; the next run \
             tries again ({})",
            failure.line()
        );
        paper.say(0, Some(word(Ink::Wait, "warning:")), &line);
    }
    paper.into_text()
}

/// Why there is nothing to rotate of an app.
pub fn no_secret(app: &AppKey) -> String {
    format!("{app} signs in with a token of somebody whom it trusts (`credential: federated`)")
}

/// The same of one among others, which are rotated.
pub fn nothing_to_rotate(app: &AppKey) -> String {
    let mut paper = Paper::new(100);
    let line = format!("{app}: there is no secret to rotate: {}", no_secret(app));
    paper.say(0, Some(word(Ink::Wait, "note:")), &line);
    paper.into_text()
}

/// That the new secret which is asked for was made before.
pub fn goes_on(app: &AppKey) -> String {
    let mut paper = Paper::new(100);
    let line = format!(
        "{app}: an earlier run made a new secret, which is not in use yet: this run goes on with it"
    );
    paper.say(0, Some(word(Ink::Wait, "note:")), &line);
    paper.into_text()
}

/// How much was changed; nothing where nothing was.
pub fn done(paper: &mut Paper, apps: usize, granted: usize, writes: u32) {
    if writes > 0 {
        let granted = match granted {
            0 => String::new(),
            many => format!(", {} granted", count(many, "tenant")),
        };
        let writes = count(writes as usize, "write");
        let line = format!("Done: {}{granted}, {writes} to Graph.", count(apps, "app"));
        paper.line(0, &[word(Ink::Good, line)]);
        paper.gap();
    }
}

/// A secret that a policy made shorter than the plan said: which policies name a deleted app shows
/// only when it is restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shortened {
    /// What it is.
    pub what: &'static str,
    /// How long it lives.
    pub lifetime: Lifetime,
    /// Which policy caps it.
    pub cap: Cap,
}

/// Whose secret or certificate is shorter than the plan said, and why.
pub fn shortened(paper: &mut Paper, shortened: &BTreeMap<AppKey, Shortened>) {
    for (app, Shortened { what, lifetime, cap }) in shortened {
        let line = format!(
            "{app}: the {what} lives {lifetime} instead of {}: policy \"{}\" ({}) caps it",
            cap.wanted, cap.policy, cap.policy_id
        );
        paper.say(0, Some(word(Ink::Wait, "!")), &line);
    }
    if !shortened.is_empty() {
        paper.gap();
    }
}

/// Whose SIEM holds a secret that opens nothing any more.
pub fn refill(paper: &mut Paper, manifest: &Manifest, apps: &BTreeSet<AppKey>, place: &str) {
    let used = apps.iter().filter_map(|app| manifest.apps.get(app));
    let (filled, otherwise): (Vec<_>, Vec<_>) = used
        .filter(|app| !app.tenants.is_empty())
        .partition(|app| app.credential == Credential::Secret);
    let mut say = |apps: &[&App], what: &str, command: Option<String>| {
        if apps.is_empty() {
            return;
        }
        let names = few(apps.iter().map(|app| app.key.as_str()));
        let line =
            format!("What a SIEM was filled with for {names} opens nothing any more: {what}.");
        paper.say(0, Some(word(Ink::Wait, "!")), &line);
        if let Some(command) = command {
            // Not wrapped: it is there to be pasted into a shell.
            paper.line(2, &[word(Ink::Plain, command)]);
        }
        paper.gap();
    };
    let keys: Vec<_> = filled.iter().flat_map(|app| &app.tenants).map(TenantKey::as_str).collect();
    say(&filled, "fill it again now", Some(forecast::export(place, &keys)));
    say(&otherwise, "it must sign in as the manifest says now", None);
}

/// Which policy is to blame where a run ends as failed although no call did.
pub fn blocked(paper: &mut Paper, plan: &Plan, verdict: Verdict) {
    let why = |app: &AppPlan| {
        let policy = app.diagnostics.iter().find(|d| {
            matches!(
                d.code,
                Code::SecretForbidden
                    | Code::CertificateForbidden
                    | Code::AudienceForbidden
                    | Code::RedirectForbidden
            )
        })?;
        Some(format!("{}: {}", app.key, policy.summary))
    };
    let all: Vec<_> = plan.apps.values().filter_map(why).collect();
    let Some(first) = all.first() else { return };
    if !matches!(verdict, Verdict::Failed | Verdict::PartlyApplied) {
        return;
    }
    let more = match all.len() {
        1 => String::new(),
        many => format!(" (and {} more)", many - 1),
    };
    let line = format!(
        "exit {}: {} blocked by policy; {first}{more}",
        verdict.code(),
        count(all.len(), "app"),
    );
    paper.say(0, None, &line);
}

/// Who failed, why, and how to run only those again: `command` with their tenants.
pub fn failures(
    paper: &mut Paper,
    manifest: &Manifest,
    command: &str,
    failed: &BTreeMap<AppKey, Failure>,
    not_granted: &BTreeMap<TenantKey, Failure>,
    interrupted: &BTreeSet<AppKey>,
) {
    let of_apps = failed.iter().map(|(key, failure)| (key.as_str(), failure));
    let of_tenants = not_granted.iter().map(|(key, failure)| (key.as_str(), failure));
    let rows: Vec<_> = of_apps.chain(of_tenants).collect();
    if !rows.is_empty() {
        paper.gap();
        paper.line(0, &[word(Ink::Bad, format!("Failed ({})", rows.len()))]);
        for (key, failure) in rows {
            paper.say(2, Some(word(Ink::Bad, "×")), &format!("{key}: {}", failure.line()));
        }
    }
    if !interrupted.is_empty() {
        paper.gap();
        paper.line(0, &[word(Ink::Wait, format!("Not finished ({})", interrupted.len()))]);
        let keys: Vec<_> = interrupted.iter().map(AppKey::as_str).collect();
        paper.say(2, None, &keys.join(", "));
    }
    let again: BTreeSet<&str> = failed
        .keys()
        .chain(interrupted)
        .filter_map(|key| manifest.apps.get(key)?.tenants.first())
        .chain(not_granted.keys())
        .map(crate::ids::TenantKey::as_str)
        .collect();
    if !again.is_empty() {
        let chosen: Vec<_> = again.iter().map(|key| format!("--tenant {key}")).collect();
        paper.gap();
        // Not wrapped: it is there to be pasted into a shell.
        paper.line(0, &[word(Ink::Plain, "Only these again:")]);
        paper.line(2, &[word(Ink::Plain, format!("{command} {}", chosen.join(" ")))]);
    }
}

/// How many steps are left for people.
pub fn people_left(status: &Status) -> usize {
    let summary = status.summary();
    summary.need_admin_consent.len()
        + summary.need_sign_in.len()
        + summary.need_portal_authorization.len()
}

/// The last line where success hides work for people.
pub fn exit_line(paper: &mut Paper, status: &Status, verdict: Verdict) {
    let people = people_left(status);
    if verdict == Verdict::Done && people > 0 {
        let verb = if people == 1 { "is" } else { "are" };
        paper.line(
            0,
            &[word(
                Ink::Plain,
                format!("exit 0: {} for people {verb} left", count(people, "step")),
            )],
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::schema;

    #[test]
    fn every_kind_of_step_has_its_words() {
        for kind in schema::STEPS.into_iter().chain(schema::GRANTS) {
            assert!(doing(kind).is_some() && did(kind).is_some(), "{kind}");
        }
    }
}
