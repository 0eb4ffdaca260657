//! What of a run is worth an annotation, and how much it matters.

use super::{Annotation, Level};
use crate::{
    manifest::{Manifest, Mistakes, Place},
    plan::{
        Plan,
        diagnostic::{Diagnostic, Severity},
    },
    report::{error::Trouble, failed::FailedSteps, status::worst},
    status::{FacetName, Overall, State, Status, TenantStatus},
};

/// Every mistake of a manifest.
pub fn of_mistakes(mistakes: &Mistakes) -> Vec<Annotation> {
    let list = mistakes.list().iter().map(|mistake| {
        let mut message = mistake.sentence();
        for more in [Some(&mistake.label), mistake.help.as_ref()].into_iter().flatten() {
            if !more.is_empty() {
                message.push('\n');
                message.push_str(more);
            }
        }
        Annotation::new(Level::Error, "Invalid manifest", &message, Some(&mistake.place))
    });
    list.collect()
}

/// What a manifest is allowed to say and should not.
pub fn of_notices(manifest: &Manifest) -> Vec<Annotation> {
    let notices = manifest.notices.iter();
    notices.map(|n| Annotation::new(Level::Notice, "Manifest", &n.what, Some(&n.place))).collect()
}

/// The error that ended a run.
pub fn of_trouble(trouble: &Trouble) -> Vec<Annotation> {
    if let Some(mistakes) = trouble.mistakes() {
        return of_mistakes(mistakes);
    }
    let Trouble { verdict, what, why, next, cause: _ } = trouble;
    let mut lines = vec![what.clone()];
    lines.extend(why.iter().cloned());
    lines.extend(next.iter().map(|next| format!("Do: {next}")));
    let title = format!("tenantry: exit {}, {}", verdict.code(), verdict.meaning());
    vec![Annotation::new(Level::Error, &title, &lines.join("\n"), None)]
}

/// What a plan saw.
pub fn of_plan(plan: &Plan, manifest: &Manifest) -> Vec<Annotation> {
    let one = |subject: &str, place: Option<&Place>, diagnostic: &Diagnostic| {
        let Diagnostic { severity, code, summary, hint } = diagnostic;
        let level = match severity {
            Severity::Error => Level::Error,
            Severity::Warning => Level::Warning,
            Severity::Notice => Level::Notice,
        };
        let mut message = summary.clone();
        if let Some(hint) = hint {
            message.push_str(&format!("\nDo: {hint}"));
        }
        Annotation::new(level, &format!("{subject}: {}", code.as_str()), &message, place)
    };
    let fleet = format!("fleet {}", plan.fleet);
    let mut all: Vec<_> = plan.diagnostics.iter().map(|d| one(&fleet, None, d)).collect();
    for app in plan.apps.values() {
        let place = manifest.apps.get(&app.key).map(|app| &app.place);
        all.extend(app.diagnostics.iter().map(|d| one(app.key.as_str(), place, d)));
    }
    for tenant in plan.tenants.values() {
        let place = manifest.tenants.get(&tenant.key).map(|tenant| &tenant.place);
        all.extend(tenant.diagnostics.iter().map(|d| one(tenant.key.as_str(), place, d)));
    }
    all
}

/// The tenants that are not as they should be: those that are not reading first, then what nobody
/// knows and what expires, then those that wait for somebody.
pub fn of_status(status: &Status, manifest: &Manifest) -> Vec<Annotation> {
    let one = |tenant: &TenantStatus| {
        let expires = FacetName::ALL.iter().any(|n| tenant.facet(*n).state == State::Expiring);
        let (level, words) = match tenant.overall {
            Overall::Reading => return None,
            Overall::NotReading => (Level::Error, "not reading"),
            Overall::Unknown => (Level::Warning, "unknown"),
            Overall::ActionDue if expires => (Level::Warning, "something expires soon"),
            Overall::ActionDue => (Level::Notice, "action due"),
            Overall::Onboarding => (Level::Notice, "onboarding"),
        };
        let mut lines = Vec::new();
        let blamed = worst(tenant);
        if let Some((name, facet)) = blamed {
            lines.push(format!("{}: {}", name.as_str(), facet.evidence.what));
        }
        let next = blamed.and_then(|(_, facet)| facet.next_step.as_ref()).or_else(|| {
            FacetName::ALL.into_iter().find_map(|name| tenant.facet(name).next_step.as_ref())
        });
        lines.extend(next.map(|next| format!("{}: {}", next.who, next.what)));
        if lines.is_empty() {
            lines.push(words.to_owned());
        }
        let place = manifest.tenants.get(&tenant.key).map(|tenant| &tenant.place);
        let title = format!("{}: {words}", tenant.key);
        Some(Annotation::new(level, &title, &lines.join("\n"), place))
    };
    status.tenants.iter().filter_map(one).collect()
}

/// The steps that failed, each at the app that it is about, or at the customer in whose directory it
/// is taken.
pub fn of_failures(failures: &[FailedSteps], manifest: &Manifest) -> Vec<Annotation> {
    let one = |steps: &FailedSteps| {
        let FailedSteps { app, tenant, failure } = steps;
        let mut message = failure.line();
        if let Some(hint) = &failure.hint {
            message.push_str(&format!("\nDo: {hint}"));
        }
        let place = match tenant {
            Some(tenant) => manifest.tenants.get(tenant).map(|tenant| &tenant.place),
            None => manifest.apps.get(app).map(|app| &app.place),
        };
        let title = format!("{}: failed", steps.whose());
        Annotation::new(Level::Error, &title, &message, place)
    };
    failures.iter().map(one).collect()
}
