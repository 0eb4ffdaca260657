//! What a pipeline's runner reads in our output: masks, annotations, groups, outputs, a summary;
//! and the care that nothing else in it is read as a command.
//!
//! Only texts are made here; `cli` decides which, and where they go.

mod azure;
mod findings;
mod github;
mod harmless;
mod summary;

#[cfg(test)]
mod tests;

use std::{borrow::Cow, path::Path, sync::OnceLock};

pub use self::{
    findings::{of_failures, of_mistakes, of_notices, of_plan, of_status, of_trouble},
    summary::{MOST as MOST_SUMMARY, within},
};
use super::paper::clean;
use crate::{manifest::Place, text::one_line, verdict::Verdict};

/// How many annotations of a level a runner keeps of one step: GitHub
/// (<https://docs.github.com/actions/reference/limits>) and Azure's agent
/// (`src/Agent.Worker/ExecutionContext.cs`) alike.
const MOST_OF_A_LEVEL: usize = 10;
/// How much of a message is shown, in characters.
const LONGEST_MESSAGE: usize = 4000;
/// A line shorter than this would be masked wherever it happens to stand.
const SHORTEST_MASK: usize = 4;

/// Whose runner reads along; set once, like the colour.
static READER: OnceLock<Ci> = OnceLock::new();

/// From now on nothing that is printed can be taken for a command of this runner.
pub fn read_by(ci: Ci) {
    // Once is enough: a process is one run.
    let _ = READER.set(ci);
}

/// Whose runner reads along.
pub fn reader() -> Ci {
    READER.get().copied().unwrap_or_default()
}

/// Whose runner reads our output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ci {
    /// Nobody's.
    #[default]
    None,
    /// GitHub Actions.
    GitHub,
    /// Azure Pipelines.
    Azure,
}

/// How much something matters to whoever looks at a run, the gravest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// It failed.
    Error,
    /// It will, or someone should look.
    Warning,
    /// Good to know.
    Notice,
}

/// Something to be shown beside a run, at its place in the manifest where it has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotation {
    /// How much it matters.
    pub level: Level,
    /// A few words.
    pub title: String,
    /// What there is to say; may have lines.
    pub message: String,
    /// Where it is written.
    pub place: Option<Place>,
}

impl Annotation {
    /// An annotation. Text from outside is made fit to be shown here.
    pub fn new(level: Level, title: &str, message: &str, place: Option<&Place>) -> Self {
        // Escaping is enough for the runner that it is for; the other one may be reading.
        let tame = |text: &str| harmless::harmless(text, harmless::Kind::Text).into_owned();
        let lines: Vec<_> = message.lines().map(clean).collect();
        let mut message = tame(&lines.join("\n"));
        if let Some((at, _)) = message.char_indices().nth(LONGEST_MESSAGE) {
            message.truncate(at);
            message.push('…');
        }
        Self { level, title: tame(&one_line(title, 200)), message, place: place.cloned() }
    }
}

/// Where the last lines of a text begin, those that are not indented; its last paragraph where the
/// last line is.
fn end_of(text: &str) -> usize {
    let mut end = text.len();
    for line in text.split_inclusive('\n').rev() {
        if line.starts_with(char::is_whitespace) {
            break;
        }
        end -= line.len();
    }
    match end {
        // All of it: nothing to fold, or no end to be told.
        0 => text.len(),
        end if end == text.len() => text.rfind("\n\n").map_or(end, |at| at + 2),
        end => end,
    }
}

impl Ci {
    /// Whose runner started us, by what it sets in the environment of every step
    /// (<https://docs.github.com/actions/reference/workflows-and-actions/variables>,
    /// <https://learn.microsoft.com/azure/devops/pipelines/build/variables>).
    pub fn detected(variable: impl Fn(&str) -> Option<String>) -> Self {
        let is_true = |name| variable(name).is_some_and(|text| text.eq_ignore_ascii_case("true"));
        if is_true("GITHUB_ACTIONS") {
            Self::GitHub
        } else if is_true("TF_BUILD") {
            Self::Azure
        } else {
            Self::None
        }
    }

    /// The variable that names the folder in which the repository lies: what annotations name is
    /// relative to it.
    pub fn root_variable(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::GitHub => Some("GITHUB_WORKSPACE"),
            Self::Azure => Some("BUILD_SOURCESDIRECTORY"),
        }
    }

    /// A text that people read, which this runner takes for no command.
    pub fn harmless(self, text: &str) -> Cow<'_, str> {
        match self {
            Self::None => Cow::Borrowed(text),
            Self::GitHub | Self::Azure => harmless::harmless(text, harmless::Kind::Text),
        }
    }

    /// The same of JSON, which stays the same document.
    pub fn harmless_json(self, text: &str) -> Cow<'_, str> {
        match self {
            Self::None => Cow::Borrowed(text),
            Self::GitHub | Self::Azure => harmless::harmless(text, harmless::Kind::Json),
        }
    }

    /// Has the runner show `***` in the place of a value, line by line: it compares line by line.
    pub fn mask(self, value: &str) -> String {
        let lines = value.split(['\n', '\r']).map(str::trim);
        lines
            .filter(|line| line.chars().count() >= SHORTEST_MASK)
            .map(|line| match self {
                Self::None => String::new(),
                Self::GitHub => github::mask(line),
                Self::Azure => azure::mask(line),
            })
            .collect()
    }

    /// Annotations, the gravest first, and no more of a level than the runner keeps. `file` says how
    /// the runner names a file; nothing where it does not know it.
    pub fn annotations(
        self,
        mut all: Vec<Annotation>,
        file: impl Fn(&Path) -> Option<String>,
    ) -> String {
        all.sort_by_key(|annotation| annotation.level);
        let mut kept = Vec::new();
        for of_level in all.chunk_by(|a, b| a.level == b.level) {
            if of_level.len() <= MOST_OF_A_LEVEL {
                kept.extend_from_slice(of_level);
                continue;
            }
            let (shown, rest) = of_level.split_at(MOST_OF_A_LEVEL - 1);
            kept.extend_from_slice(shown);
            let (title, more) = match of_level[0].level {
                Level::Error => ("More errors", "errors"),
                Level::Warning => ("More warnings", "warnings"),
                Level::Notice => ("More notices", "notices"),
            };
            let message =
                format!("{} more {more}: see the summary, the report or the log", rest.len());
            kept.push(Annotation::new(of_level[0].level, title, &message, None));
        }
        kept.iter()
            .map(|annotation| {
                let named = annotation.place.as_ref().and_then(|place| file(&place.file));
                match self {
                    Self::None => String::new(),
                    Self::GitHub => github::annotation(annotation, named.as_deref()),
                    Self::Azure => azure::annotation(annotation, named.as_deref()),
                }
            })
            .collect()
    }

    /// A long text that is folded under a title, its end apart: that is what it comes to.
    /// Beginning and end go out as one, so no error in between leaves a group open. The text is
    /// harmless already.
    pub fn folded(self, title: &str, text: &str) -> String {
        let title = &self.harmless(&one_line(title, 200)).into_owned();
        let (begin, end) = match self {
            Self::None => return text.to_owned(),
            Self::GitHub => (github::group(title), github::END_OF_GROUP),
            Self::Azure => (azure::group(title), azure::END_OF_GROUP),
        };
        let whole = text.trim_end_matches('\n');
        let (long, last) = whole.split_at(end_of(whole));
        let long = long.trim_end_matches('\n');
        let last = if last.is_empty() { String::new() } else { format!("{last}\n") };
        format!("{begin}{long}\n{end}{last}")
    }

    /// An output for later steps: for GitHub a piece of `$GITHUB_OUTPUT`, for Azure a command.
    pub fn output(self, name: &str, value: &str, delimiter: &str) -> String {
        match self {
            Self::None => String::new(),
            Self::GitHub => github::output(name, value, delimiter),
            Self::Azure => azure::output(name, value),
        }
    }

    /// Has the runner take a file as its summary; GitHub reads its own file unasked.
    pub fn take_summary(self, path: &str) -> String {
        match self {
            Self::None | Self::GitHub => String::new(),
            Self::Azure => azure::summary(path),
        }
    }

    /// How the task is to be shown, where an exit code alone does not say it.
    pub fn complete(self, verdict: Verdict) -> String {
        match self {
            Self::None | Self::GitHub => String::new(),
            Self::Azure => azure::complete(verdict),
        }
    }
}
