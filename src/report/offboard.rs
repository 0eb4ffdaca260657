//! An offboarding, in words: what goes, what was proved gone, what stays with customers.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    file::fence,
    html,
    json::{FORMAT_VERSION, value},
    letter::to_remove,
    paper::{Ink, Paper, word},
    plan::write_diagnostic,
};
use crate::{
    ids::FleetName,
    manifest::DirectoryName,
    offboard::{BIN_KEEPS, Bin, Ended, Erased, Proof},
    plan::{
        diagnostic::{Code, Diagnostic, Severity},
        offboard::{Offboarding, Removal, Subject},
        step::Target,
    },
    status::Left,
};

/// Where what is removed is listed.
const INDENT: usize = 16;

/// What would be removed.
pub fn plan(paper: &mut Paper, home: &DirectoryName, plan: &Offboarding, left: &[Left]) {
    let key = plan.subject.key();
    let title = format!("Offboard {key} from fleet {}, home {home}", plan.fleet);
    paper.line(0, &[word(Ink::Bold, title)]);
    let name = plan.display_name.as_deref().map(|name| format!("app \"{name}\""));
    let what = match (&plan.subject, name) {
        (Subject::App(_), name) => name.unwrap_or_default(),
        (Subject::Tenant { app, .. }, _) => format!("tenant of the shared app {app}"),
    };
    let mark = if plan.is_empty() { word(Ink::Plain, "=") } else { word(Ink::Bad, "-") };
    paper.line(2, &[mark, word(Ink::Bold, format!("{key:<11}")), word(Ink::Plain, what)]);
    let minus = || Some(word(Ink::Bad, "-"));
    let is_credential = |step: &&Removal| {
        matches!(
            step,
            Removal::RemoveSecret { .. }
                | Removal::RemoveCertificate { .. }
                | Removal::RemoveFederated { .. }
        )
    };
    let secrets = plan.steps.iter().filter(is_credential).count();
    if secrets > 0 {
        let line = format!("credentials    {secrets} of ours");
        paper.say(INDENT, minus(), &line);
    }
    for step in &plan.steps {
        let line = match step {
            Removal::RemoveSecret { .. }
            | Removal::RemoveCertificate { .. }
            | Removal::RemoveFederated { .. } => continue,
            Removal::RemoveMarks { .. } => {
                "marks          our tags; the app itself stays (--keep-app), and its unique name, \
                 which nobody can take off"
            }
            Removal::DeleteApplication { .. } => {
                "app            deleted; it can be restored for 30 days"
            }
            Removal::RemoveRecord => "vault record   with every value in it",
            Removal::ForgetTenant { .. } => "vault record   of this tenant; the app stays as it is",
        };
        paper.say(INDENT, minus(), line);
    }
    for tenant in &plan.tokens {
        paper.say(INDENT, minus(), &format!("refresh token  of {tenant}"));
    }
    for one in left {
        let text = format!(
            "stays in the directory of {}: the enterprise application, a step for them",
            one.name
        );
        paper.say(INDENT, Some(word(Ink::Wait, "!")), &text);
    }
    for diagnostic in &plan.diagnostics {
        write_diagnostic(paper, INDENT, None, diagnostic);
    }
    if plan.is_empty() && plan.diagnostics.iter().all(|d| d.severity != Severity::Error) {
        paper.line(0, &[word(Ink::Plain, format!("Nothing of {key} is left to remove."))]);
        if let Some(deleted) = plan.deleted.and_then(|at| at.checked_add(BIN_KEEPS).ok()) {
            paper.say(
                2,
                None,
                &format!("Its app lies in the bin, restorable until {}.", moment(deleted)),
            );
        }
    }
}

fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// What came of it.
pub fn ended(
    paper: &mut Paper,
    fleet: &FleetName,
    plan: &Offboarding,
    ended: &Ended,
    left: &[Left],
) {
    let key = plan.subject.key();
    paper.gap();
    match (&ended.failed, ended.interrupted) {
        (None, false) => {
            paper.line(0, &[word(Ink::Good, format!("Done: {key} is offboarded."))]);
        }
        (Some((step, failure)), _) => {
            let (done, all) = (ended.done, plan.steps.len());
            paper.line(0, &[word(Ink::Bad, format!("{key}: {done} of {all} steps are done"))]);
            paper.say(2, Some(word(Ink::Bad, "×")), &format!("{step}: {}", failure.line()));
            let next = "run the same again: it goes on where it stopped";
            let next = failure.hint.as_deref().unwrap_or(next);
            paper.say(2, Some(word(Ink::Bold, "Do:")), next);
        }
        (None, true) => {
            let (done, all) = (ended.done, plan.steps.len());
            let line = format!("{key}: {done} of {all} steps are done; run the same again");
            paper.line(0, &[word(Ink::Wait, line)]);
        }
    }
    for proof in &ended.proofs {
        let (what, how) = proof_words(proof);
        paper.say(2, Some(word(Ink::Plain, format!("{what:<14}"))), &how);
    }
    if ended.failed.is_none() && !ended.interrupted {
        for tenant in &plan.tokens {
            let how = match plan.subject {
                Subject::App(_) if plan.keep_app => {
                    "dropped; it is of no use without a credential of the app, and ours are gone"
                }
                Subject::App(_) => {
                    "dropped; it is of no use without a credential of the app. Entra ID has no call \
                     that ends one app's token alone, and the analyst's other sessions were left alone"
                }
                Subject::Tenant { .. } => "dropped here; see above for what a copy could still do",
            };
            let what = word(Ink::Plain, format!("{:<14}", "refresh token"));
            paper.say(2, Some(what), &format!("of {tenant}: {how}"));
        }
    }
    left_with_customers(paper, fleet, left);
    // At the end too: a nightly apply takes the manifest at its word.
    if ended.failed.is_none() && !ended.interrupted {
        let wanted = |one: &&Diagnostic| one.code == Code::StillInManifest;
        for diagnostic in plan.diagnostics.iter().filter(wanted) {
            paper.gap();
            write_diagnostic(paper, 2, None, diagnostic);
        }
    }
}

/// What is left with customers, with the text to send to each.
fn left_with_customers(paper: &mut Paper, fleet: &FleetName, left: &[Left]) {
    list(paper, left);
    for one in left {
        paper.gap();
        for line in to_remove(fleet, one).text().lines() {
            paper.say(2, None, line);
        }
    }
}

/// What is left with customers, a row each.
pub fn list(paper: &mut Paper, left: &[Left]) {
    if left.is_empty() {
        return;
    }
    paper.gap();
    let title = format!("Left with customers ({})", left.len());
    paper.line(0, &[word(Ink::Bold, title), word(Ink::Plain, "  they remove it")]);
    for one in left {
        paper.line(
            2,
            &[
                word(Ink::Plain, format!("{:<11}", one.tenant.as_str())),
                word(Ink::Plain, format!("application id {}", one.client_id)),
            ],
        );
        paper.say(
            14,
            None,
            &format!("since {}: {}", one.since.strftime("%Y-%m-%d"), one.evidence.what),
        );
        if let Some(command) = &one.next_step.command {
            paper.line(14, &[word(Ink::Plain, "then:"), word(Ink::Bold, command)]);
        }
    }
}

/// One thing that is left, for whoever asks about its tenant: the text to send, and what then.
pub fn explain(paper: &mut Paper, fleet: &FleetName, left: &[Left]) {
    left_with_customers(paper, fleet, left);
}

fn proof_words(proof: &Proof) -> (&'static str, String) {
    match proof {
        Proof::AppGone { object_id: _, deleted, restorable_until, bin } => {
            let until = restorable_until
                .map_or_else(String::new, |at| format!(", restorable until {}", moment(at)));
            let how = match (bin, deleted) {
                (Bin::Holds, _) => format!("gone (404); it lies in the bin{until}"),
                (Bin::Hidden, _) => format!(
                    "gone (404); the bin may not be read by this operator: it should lie there{until}"
                ),
                (Bin::Lacks, _) => {
                    "gone (404), and not in the bin: nobody can restore it".to_owned()
                }
            };
            ("app", how)
        }
        Proof::MarksGone { .. } => ("app", "stays; our tags are off (read back)".to_owned()),
        Proof::CredentialsGone { key_ids } => {
            ("credentials", format!("{} of ours gone (read back)", key_ids.len()))
        }
        Proof::SecretRefused { directory: _, code } => {
            ("secret", format!("refused by Entra ID ({code})"))
        }
        Proof::SecretUnproved { code } => {
            let why = "Entra ID does not know the app there, so it did not look at it";
            ("secret", format!("not proved: {why} ({code})"))
        }
        Proof::SecretNotShown => {
            ("secret", "not tried: the vault gave no value to try it with".to_owned())
        }
        Proof::RecordGone { erased } => ("vault", erased_words(*erased)),
    }
}

fn erased_words(erased: Erased) -> String {
    match erased {
        Erased::Gone => "nothing of it is left (asked)".to_owned(),
        Erased::Recoverable { until: Some(at) } => format!(
            "deleted; the key vault could not be made to purge it, so whoever may can recover it \
             until {}",
            moment(at)
        ),
        Erased::Recoverable { until: None } => {
            "deleted; nobody here may see until when it can be recovered".to_owned()
        }
    }
}

/// Until when the app can be restored, where that was found out.
pub fn restorable_until(ended: &Ended) -> Option<Timestamp> {
    ended.proofs.iter().find_map(|proof| match proof {
        Proof::AppGone { restorable_until, .. } => *restorable_until,
        Proof::MarksGone { .. }
        | Proof::CredentialsGone { .. }
        | Proof::SecretRefused { .. }
        | Proof::SecretUnproved { .. }
        | Proof::SecretNotShown
        | Proof::RecordGone { .. } => None,
    })
}

/// All of it as one document.
pub fn document_json(
    plan: &Offboarding,
    ended: Option<&Ended>,
    left: &[Left],
    sandbox: bool,
) -> Value {
    let Offboarding {
        fleet,
        home,
        vault: _,
        subject,
        display_name,
        directory,
        target,
        deleted: _,
        keep_app,
        steps,
        tokens,
        leftovers: _,
        foreign,
        diagnostics,
    } = plan;
    let done = ended.map_or(0, |ended| ended.done);
    let failed = ended.and_then(|ended| ended.failed.as_ref());
    let steps: Vec<Value> = steps
        .iter()
        .enumerate()
        .map(|(n, step)| {
            let mut step = value(step);
            let state = match (n, failed) {
                (n, _) if n < done => "done",
                (n, Some(_)) if n == done => "failed",
                (_, _) => "left",
            };
            step["state"] = json!(state);
            step
        })
        .collect();
    let object = match target {
        Target::Existing { object_id, .. } | Target::Deleted { object_id, .. } => Some(object_id),
        Target::Absent | Target::Unknown => None,
    };
    json!({
        "formatVersion": FORMAT_VERSION,
        "fleet": fleet,
        "home": home,
        "sandbox": sandbox,
        "key": subject.key(),
        "app": subject.app(),
        "displayName": display_name,
        "directory": directory,
        "clientId": target.client_id(),
        "objectId": object,
        "keepApp": keep_app,
        "steps": steps,
        "refreshTokens": tokens,
        "foreign": value(foreign),
        "diagnostics": value(diagnostics),
        "proofs": ended.map_or_else(|| json!([]), |ended| value(&ended.proofs)),
        "failure": failed.map(|(_, failure)| value(failure)),
        "restorableUntil": ended.and_then(restorable_until),
        "leftovers": value(&left),
    })
}

/// The same for a ticket: the screen, whole.
pub fn markdown(plan: &Offboarding, screen: &str, sandbox: bool) -> String {
    let mut text =
        format!("# tenantry offboard: {} of fleet {}\n\n", plan.subject.key(), plan.fleet);
    if sandbox {
        text.push_str("**sandbox**: nothing here is real.\n\n");
    }
    let fence = fence(screen);
    text.push_str(&format!("{fence}text\n{screen}\n{fence}\n"));
    text
}

/// The same for a browser.
pub fn html(plan: &Offboarding, screen: &str, sandbox: bool) -> String {
    let title = format!("Offboarding of {} from fleet {}", plan.subject.key(), plan.fleet);
    html::screen(&title, sandbox, &maud::html! {}, "What was removed", screen)
}

/// The same for a spreadsheet: a line for each step, then one for each thing that is left.
pub fn csv(plan: &Offboarding, ended: Option<&Ended>, left: &[Left], sandbox: bool) -> String {
    let document = document_json(plan, ended, left, sandbox);
    let mut text = String::from("key,what,id,state,sandbox\r\n");
    let key = plan.subject.key();
    let steps = document["steps"].as_array().into_iter().flatten();
    for step in steps {
        let of = |name: &str| step[name].as_str().unwrap_or_default();
        let id = [of("keyId"), of("id"), of("objectId"), of("tenant")].concat();
        text.push_str(&format!("{key},{},{id},{},{sandbox}\r\n", of("kind"), of("state")));
    }
    for one in left {
        let (tenant, client, state) = (&one.tenant, one.client_id, one.state.as_str());
        text.push_str(&format!("{tenant},enterprise-application,{client},{state},{sandbox}\r\n"));
    }
    text
}
