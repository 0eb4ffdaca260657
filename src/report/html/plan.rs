//! A plan as one HTML file.

use maud::html;

use super::{Document, Script, document, parts};
use crate::plan::Plan;

/// A plan: what it comes to, and the text of the screen.
pub fn plan(plan: &Plan, screen: &str, sandbox: bool) -> String {
    let summary = plan.summary();
    document(Document {
        title: &format!("Plan for fleet {}", plan.fleet),
        class: "report",
        style: "pre { overflow-x: auto; white-space: pre-wrap; padding: 1rem; border: 1px solid var(--line); border-radius: 0.6rem; background: var(--card); }",
        script: Script::None,
        head: html! {},
        body: html! {
            @if sandbox { (parts::sandbox_note()) }
            main {
                h1 { "Plan for fleet " (plan.fleet) }
                p.sum {
                    (summary.add) " to add, " (summary.change) " to change, " (summary.remove)
                    " to remove; " (summary.manual) " steps for people."
                }
                p.soft { "Checksum " code { (plan.checksum()) } }
                pre tabindex="0" aria-label="The plan" { (screen) }
            }
        },
    })
}
