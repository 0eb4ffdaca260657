//! What `doctor` found, in words.

use serde::Serialize;

use super::{
    file::{csv_field, markdown_text},
    paper::{Ink, Paper, word},
};
use crate::ids::FleetName;

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Health {
    /// It works.
    Works,
    /// It is missing, and a plan may need it.
    Missing,
    /// It could not be found out.
    Unknown,
    /// Good to know.
    Noted,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// What was looked at.
    pub about: String,
    /// How it came out.
    pub health: Health,
    /// What was found.
    pub found: String,
    /// How to get it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Health {
    /// The stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Works => "works",
            Self::Missing => "missing",
            Self::Unknown => "unknown",
            Self::Noted => "noted",
        }
    }
}

/// The checks as Markdown.
pub fn markdown(fleet: &FleetName, checks: &[Check], sandbox: bool) -> String {
    let note = if sandbox { "**sandbox**: nothing here is real.\n\n" } else { "" };
    let mut text = format!("# tenantry doctor: fleet {fleet}\n\n{note}{}\n\n", last_line(checks));
    text.push_str("| | what | found | to do |\n|---|---|---|---|\n");
    for Check { about, health, found, remedy } in checks {
        let [about, found, remedy] =
            [about.as_str(), found.as_str(), remedy.as_deref().unwrap_or_default()]
                .map(markdown_text);
        text.push_str(&format!("| {} | {about} | {found} | {remedy} |\n", health.as_str()));
    }
    text
}

/// The checks as CSV (RFC 4180): a line each.
pub fn csv(checks: &[Check], sandbox: bool) -> String {
    let mut text = String::from("health,about,found,remedy,sandbox\r\n");
    for Check { about, health, found, remedy } in checks {
        let sandbox = if sandbox { "yes" } else { "no" };
        let remedy = remedy.as_deref().unwrap_or_default();
        let fields = [health.as_str(), about, found, remedy, sandbox].map(csv_field);
        text.push_str(&fields.join(","));
        text.push_str("\r\n");
    }
    text
}

/// Writes the checks, in the order in which they were made.
pub fn write(paper: &mut Paper, checks: &[Check]) {
    for Check { about, health, found, remedy } in checks {
        let mark = match health {
            Health::Works => word(Ink::Good, "ok      "),
            Health::Missing => word(Ink::Bad, "missing "),
            Health::Unknown => word(Ink::Wait, "unknown "),
            Health::Noted => word(Ink::Dim, "·       "),
        };
        paper.say(0, Some(mark), &format!("{about}: {found}"));
        if let Some(remedy) = remedy {
            paper.say(9, None, &format!("Do: {remedy}"));
        }
    }
    paper.gap();
    paper.line(0, &[word(Ink::Bold, last_line(checks))]);
}

/// How many are missing, how many could not be found out.
pub(super) fn last_line(checks: &[Check]) -> String {
    let missing = checks.iter().filter(|check| check.health == Health::Missing).count();
    let unknown = checks.iter().filter(|check| check.health == Health::Unknown).count();
    match (missing, unknown) {
        (0, 0) => "Nothing is missing.".to_owned(),
        (0, unknown) => format!("{unknown} could not be found out."),
        (missing, 0) => format!("{missing} missing."),
        (missing, unknown) => format!("{missing} missing, {unknown} could not be found out."),
    }
}
