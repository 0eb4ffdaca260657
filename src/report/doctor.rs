//! What `doctor` found, in words.

use serde::Serialize;

use super::paper::{Ink, Paper, word};

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
    let missing = checks.iter().filter(|check| check.health == Health::Missing).count();
    paper.gap();
    let unknown = checks.iter().filter(|check| check.health == Health::Unknown).count();
    let line = match (missing, unknown) {
        (0, 0) => "Nothing is missing.".to_owned(),
        (0, unknown) => format!("{unknown} could not be found out."),
        (missing, 0) => format!("{missing} missing."),
        (missing, unknown) => format!("{missing} missing, {unknown} could not be found out."),
    };
    paper.line(0, &[word(Ink::Bold, line)]);
}
