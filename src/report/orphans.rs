//! Apps of this fleet that the manifest names no more, in words.

use maud::{Markup, html};

use super::{
    advice,
    file::markdown_text,
    paper::{Ink, Paper, clean, word},
};
use crate::{ids::TenantId, plan::Orphan, status::Status};

/// What it is and what becomes of it; the command in it lacks the flags that lead to the fleet.
pub(super) fn sentence(orphan: &Orphan, home: TenantId) -> String {
    let Orphan { key, directory, display_name, client_id } = orphan;
    let place =
        if *directory == home { String::new() } else { format!(" in directory {directory}") };
    format!(
        "app \"{display_name}\" ({client_id}){place} is of this fleet and stands in the manifest no \
         more; it stays until tenantry offboard {key}"
    )
}

fn title(status: &Status) -> String {
    format!("No longer in the manifest ({})", status.orphans.len())
}

/// All of them, each with its key and its sentence.
fn told(status: &Status) -> impl Iterator<Item = (&str, String)> {
    status.orphans.iter().map(|orphan| {
        let text = advice::placed(&sentence(orphan, status.home), &status.place);
        (orphan.key.as_str(), text)
    })
}

/// Writes them on a screen.
pub(super) fn write(paper: &mut Paper, status: &Status) {
    if status.orphans.is_empty() {
        return;
    }
    paper.gap();
    paper.line(0, &[word(Ink::Bold, title(status))]);
    for (key, text) in told(status) {
        paper.say(2, Some(word(Ink::Bold, key)), &text);
    }
}

/// The same as a part of a Markdown file.
pub(super) fn markdown(status: &Status) -> String {
    if status.orphans.is_empty() {
        return String::new();
    }
    let mut text = format!("\n## {}\n\n", title(status));
    for (key, told) in told(status) {
        text.push_str(&format!("- **{key}**: {}\n", markdown_text(&told)));
    }
    text
}

/// The same as a part of an HTML file.
pub(super) fn markup(status: &Status) -> Markup {
    html! {
        @if !status.orphans.is_empty() {
            section {
                h2 { (title(status)) }
                ul {
                    @for (key, text) in told(status) {
                        li { strong { (key) } ": " (clean(&text)) }
                    }
                }
            }
        }
    }
}
