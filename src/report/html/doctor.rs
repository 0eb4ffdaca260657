//! What `doctor` found, as one HTML file.

use maud::html;

use super::{Document, Script, document, parts};
use crate::{
    ids::FleetName,
    report::{
        doctor::{Check, last_line},
        paper::clean,
    },
};

/// The checks, in the order in which they were made.
pub fn doctor(fleet: &FleetName, checks: &[Check], sandbox: bool) -> String {
    document(Document {
        title: &format!("Doctor for fleet {fleet}"),
        class: "report",
        style: "",
        script: Script::None,
        head: html! {},
        body: html! {
            @if sandbox { (parts::sandbox_note()) }
            main {
                h1 { "Doctor for fleet " (fleet) }
                p.sum { (last_line(checks)) }
                ul {
                    @for Check { about, health, found, remedy } in checks {
                        li {
                            strong { (health.as_str()) } " · " (clean(about)) ": " (clean(found))
                            @if let Some(remedy) = remedy { br; "Do: " (clean(remedy)) }
                        }
                    }
                }
            }
        },
    })
}
