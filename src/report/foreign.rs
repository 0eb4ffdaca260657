//! What others put on our apps, in words: on the screen, in files, for machines.

use serde_json::{Value, json};

use super::{
    file::markdown_text,
    paper::{Ink, Paper, clean, shortened, word},
};
use crate::{
    ids::TenantKey,
    status::{Foreign, Status, command},
};

const LEAD: &str = "Each of these can sign in as that app. They are kept, and removed by";

/// The command that removes it; `place` are the flags that lead to the fleet.
fn removed_by(one: &Foreign, place: &str) -> String {
    // Whichever of an app's tenants is named, it is the whole app's.
    let tenant = one.tenants.first().map(|key| format!(" --tenant {key}")).unwrap_or_default();
    command(place, "apply", &format!("--remove-foreign{tenant}"))
}

/// The command that removes all of them.
fn all_removed_by(status: &Status) -> String {
    match status.foreign.as_slice() {
        [first, rest @ ..] if rest.iter().all(|one| one.app == first.app) => {
            removed_by(first, &status.place)
        }
        _ => status.command("apply", "--remove-foreign"),
    }
}

fn title(status: &Status) -> String {
    format!("Not ours ({})", status.foreign.len())
}

/// Writes each with the app that it opens; nothing where there is none.
pub fn write(paper: &mut Paper, status: &Status) {
    const SHOWN: usize = 20;
    let all = &status.foreign;
    if all.is_empty() {
        return;
    }
    paper.gap();
    let command = all_removed_by(status);
    paper.line(0, &[word(Ink::Bold, title(status)), word(Ink::Plain, format!("  {command}"))]);
    let column = all.iter().map(|one| one.app.as_str().len()).max().unwrap_or(0).clamp(8, 24);
    for Foreign { app, tenants: _, credential } in all.iter().take(SHOWN) {
        let key = shortened(app.as_str(), column);
        paper.say(2, Some(word(Ink::Wait, format!("{key:<column$}"))), &credential.to_string());
    }
    if let Some(more) = all.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        paper.line(2, &[word(Ink::Dim, format!("… {more} more (--json and reports list all)"))]);
    }
}

/// The same as Markdown.
pub(super) fn markdown(status: &Status) -> String {
    if status.foreign.is_empty() {
        return String::new();
    }
    let command = all_removed_by(status);
    let mut text = format!("\n## {}\n\n{LEAD} `{command}`.\n\n", title(status));
    for Foreign { app, tenants: _, credential } in &status.foreign {
        text.push_str(&format!("- **{app}**: {}\n", markdown_text(&credential.to_string())));
    }
    text
}

/// The same as a part of an HTML file.
pub(super) fn markup(status: &Status) -> maud::Markup {
    maud::html! {
        @if !status.foreign.is_empty() {
            section {
                h2 { (title(status)) }
                p.soft { (LEAD) " " code { (clean(&all_removed_by(status))) } "." }
                ul {
                    @for Foreign { app, tenants: _, credential } in &status.foreign {
                        li { strong { (app) } ": " (clean(&credential.to_string())) }
                    }
                }
            }
        }
    }
}

/// The same for machines.
pub(super) fn value(status: &Status) -> Value {
    status
        .foreign
        .iter()
        .map(|one| {
            let mut one_value = super::json::value(one);
            one_value["command"] = json!(removed_by(one, &status.place));
            one_value
        })
        .collect()
}

/// What is on a tenant's app, as one field.
pub(super) fn field(status: &Status, tenant: &TenantKey) -> String {
    let here = status.foreign.iter().filter(|one| one.tenants.contains(tenant));
    here.map(|one| one.credential.to_string()).collect::<Vec<_>>().join("; ")
}
