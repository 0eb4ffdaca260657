//! Where results go. A reader that has gone away (`| head`) ends no run and breaks nothing: what
//! was done is done, and the exit code says it.

use std::io::Write;

/// Prints a result, in colour where stdout takes it.
pub(super) fn print(text: &str) {
    let mut out = anstream::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Prints an error or a question, in colour where stderr takes it.
pub(super) fn tell(text: &str) {
    let mut err = anstream::stderr().lock();
    let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
}

/// Prints a JSON document.
pub(super) fn print_json(document: &serde_json::Value) {
    print(&format!("{document:#}\n"));
}
