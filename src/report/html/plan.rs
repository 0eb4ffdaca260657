//! A plan as one HTML file, and any other screen that is kept as one.

use maud::{Markup, html};

use super::{Document, Script, document, parts};
use crate::{plan::Plan, report::plan::count};

/// A plan: what it comes to, and the text of the screen.
pub fn plan(plan: &Plan, text: &str, sandbox: bool) -> String {
    let summary = plan.summary();
    let lead = html! {
        p.sum {
            (summary.add) " to add, " (summary.change) " to change, " (summary.remove)
            " to remove; " (count(summary.manual, "step")) " for people."
        }
        p.soft { "Checksum " code { (plan.checksum()) } }
    };
    screen(&format!("Plan for fleet {}", plan.fleet), sandbox, &lead, "The plan", text)
}

/// The text of a screen under a title.
pub(in crate::report) fn screen(
    title: &str,
    sandbox: bool,
    lead: &Markup,
    label: &str,
    text: &str,
) -> String {
    document(Document {
        title,
        class: "report",
        style: "pre { overflow-x: auto; white-space: pre-wrap; padding: 1rem; border: 1px solid var(--line); border-radius: 0.6rem; background: var(--card); }",
        script: Script::None,
        head: html! {},
        body: html! {
            @if sandbox { (parts::sandbox_note()) }
            main {
                h1 { (title) }
                (lead)
                pre tabindex="0" aria-label=(label) { (text) }
            }
        },
    })
}
