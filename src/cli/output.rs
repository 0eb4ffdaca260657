//! Where results go. A reader that has gone away (`| head`) ends no run and breaks nothing: what
//! was done is done, and the exit code says it.

use std::io::{self, Write};

use crate::report::ci::reader;

/// Prints a result, in colour where stdout takes it.
pub(super) fn print(text: &str) {
    print_raw(&reader().harmless(text));
}

/// Prints a long result, folded under a title where a runner can fold.
pub(super) fn print_folded(title: &str, text: &str) {
    let ci = reader();
    print_raw(&ci.folded(title, &ci.harmless(text)));
}

/// Prints what is no text for people or programs of ours, as it is.
pub(super) fn print_raw(text: &str) {
    let mut out = anstream::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Prints an error or a question, in colour where stderr takes it.
pub(super) fn tell(text: &str) {
    command(&reader().harmless(text));
}

/// Prints commands for the runner, as they are.
pub(super) fn command(text: &str) {
    let mut err = anstream::stderr().lock();
    let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
}

/// Prints a JSON document.
pub(super) fn print_json(document: &serde_json::Value) {
    print_json_text(&format!("{document:#}\n"));
}

/// Standard output for lines of JSON that come one by one; unlike results, each must arrive.
pub(super) struct JsonLines;

impl Write for JsonLines {
    /// Takes whole lines.
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(lines);
        io::stdout().lock().write_all(reader().harmless_json(&text).as_bytes())?;
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stdout().lock().flush()
    }
}

/// Prints text that is JSON already.
pub(super) fn print_json_text(text: &str) {
    print_raw(&reader().harmless_json(text));
}
