//! Azure Pipelines: the commands that its agent reads in a task's output, and their escaping.
//!
//! As the agent takes them apart (microsoft/azure-pipelines-agent,
//! `src/Microsoft.VisualStudio.Services.Agent/Command.cs`), and as Microsoft describes them
//! (<https://learn.microsoft.com/azure/devops/pipelines/scripts/logging-commands>).

use super::{Annotation, Level};
use crate::verdict::Verdict;

/// A message or a property's value; the agent reads both alike.
pub(super) fn escaped(text: &str) -> String {
    text.replace('%', "%AZP25")
        .replace(';', "%3B")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
        .replace(']', "%5D")
}

fn command(name: &str, properties: &[(&str, &str)], message: &str) -> String {
    let properties: String =
        properties.iter().map(|(name, value)| format!("{name}={};", escaped(value))).collect();
    let space = if properties.is_empty() { "" } else { " " };
    format!("##vso[{name}{space}{properties}]{}\n", escaped(message))
}

/// From now on the agent shows `***` in the place of this line.
pub(super) fn mask(line: &str) -> String {
    command("task.setsecret", &[], line)
}

/// An issue of the task; nothing for a notice, which Azure Pipelines does not know.
pub(super) fn annotation(annotation: &Annotation, file: Option<&str>) -> String {
    let Annotation { level, title, message, place } = annotation;
    let kind = match level {
        Level::Error => "error",
        Level::Warning => "warning",
        Level::Notice => return String::new(),
    };
    let mut properties = vec![("type", kind)];
    let (line, column);
    if let (Some(file), Some(place)) = (file, place) {
        (line, column) = (place.line.to_string(), place.column.to_string());
        properties.push(("sourcepath", file));
        properties.push(("linenumber", line.as_str()));
        properties.push(("columnnumber", column.as_str()));
    }
    command("task.logissue", &properties, &format!("{title}: {message}"))
}

/// The formatting commands are the log's, not the agent's: nothing is unescaped in them, so the
/// title is one harmless line already.
pub(super) fn group(title: &str) -> String {
    format!("##[group]{title}\n")
}

pub(super) const END_OF_GROUP: &str = "##[endgroup]\n";

/// A variable that later steps read as `<step's name>.<name>`.
pub(super) fn output(name: &str, value: &str) -> String {
    command("task.setvariable", &[("variable", name), ("isOutput", "true")], value)
}

/// A Markdown file for the run's summary page.
pub(super) fn summary(path: &str) -> String {
    command("task.uploadsummary", &[], path)
}

/// How the task ended. The agent keeps the worst of what it hears, and a script's task says
/// `Failed` itself for any exit code but 0: to be left with `SucceededWithIssues` a script ends with
/// 0 after our 3, 4 or 8. What is an answer and no failure (2) is left to the script.
pub(super) fn complete(verdict: Verdict) -> String {
    let result = match verdict {
        Verdict::Done | Verdict::ChangesPlanned => return String::new(),
        Verdict::Pending | Verdict::PartlyApplied | Verdict::Expiring => "SucceededWithIssues",
        Verdict::Failed
        | Verdict::MayNot
        | Verdict::StalePlan
        | Verdict::Guarded
        | Verdict::Usage
        | Verdict::InvalidManifest
        | Verdict::Stopped(_) => "Failed",
    };
    command("task.complete", &[("result", result)], verdict.meaning())
}
