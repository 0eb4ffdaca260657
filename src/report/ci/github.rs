//! GitHub Actions: the commands that its runner reads in a step's output, and their escaping.
//!
//! As the runner takes them apart (actions/runner, `src/Runner.Common/ActionCommand.cs`), and as
//! GitHub describes them
//! (<https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands>).

use super::{Annotation, Level};

/// The text after the second `::`.
pub(super) fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// The value of a property, which ends at `,` and before `::`.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

/// From now on the runner shows `***` in the place of this line.
pub(super) fn mask(line: &str) -> String {
    format!("::add-mask::{}\n", data(line))
}

pub(super) fn annotation(annotation: &Annotation, file: Option<&str>) -> String {
    let Annotation { level, title, message, place } = annotation;
    let name = match level {
        Level::Error => "error",
        Level::Warning => "warning",
        Level::Notice => "notice",
    };
    let mut properties = Vec::new();
    if let (Some(file), Some(place)) = (file, place) {
        properties.push(format!("file={}", property(file)));
        properties.push(format!("line={}", place.line));
        properties.push(format!("col={}", place.column));
    }
    properties.push(format!("title={}", property(title)));
    format!("::{name} {}::{}\n", properties.join(","), data(message))
}

pub(super) fn group(title: &str) -> String {
    format!("::group::{}\n", data(title))
}

pub(super) const END_OF_GROUP: &str = "::endgroup::\n";

/// An output as `$GITHUB_OUTPUT` takes it. The delimiter is a random one, or a value could end
/// itself and set outputs of its own.
pub(super) fn output(name: &str, value: &str, delimiter: &str) -> String {
    format!("{name}<<{delimiter}\n{value}\n{delimiter}\n")
}
