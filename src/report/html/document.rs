//! The frame of every HTML document of ours: head, policy, style, script.

use base64::{Engine, prelude::BASE64_STANDARD};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

/// The look of reports and pages alike.
const STYLE: &str = include_str!("../style.css");

/// What a document may run.
#[derive(Debug, Clone, Copy)]
pub(in crate::report) enum Script {
    /// Nothing.
    None,
    /// These lines.
    Lines(&'static str),
    /// These lines, which may ask the server that the document came from, and nobody else.
    Asking(&'static str),
}

impl Script {
    const fn text(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Lines(text) | Self::Asking(text) => Some(text),
        }
    }
}

/// A document to be framed.
#[derive(Debug)]
pub(in crate::report) struct Document<'d> {
    /// What the tab says.
    pub(in crate::report) title: &'d str,
    /// The body's class: its layout.
    pub(in crate::report) class: &'static str,
    /// Style of this document alone, after the common one.
    pub(in crate::report) style: &'static str,
    /// What it runs.
    pub(in crate::report) script: Script,
    /// What else stands in the head.
    pub(in crate::report) head: Markup,
    /// What is seen.
    pub(in crate::report) body: Markup,
}

/// A source of a content security policy: the digest of the text between the tags
/// (<https://www.w3.org/TR/CSP3/#external-hash>, "inline").
fn digest(text: &str) -> String {
    format!("'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(text)))
}

/// A whole document. Its policy forbids everything that the document does not need; it leaves
/// `form-action` open, because browsers hold a form's redirects against it too, and ours redirect
/// to a sign-in page elsewhere.
pub(in crate::report) fn document(document: Document<'_>) -> String {
    let Document { title, class, style, script, head, body } = document;
    let style = format!("{STYLE}{style}");
    let mut policy = format!("default-src 'none'; base-uri 'none'; style-src {}", digest(&style));
    if let Some(text) = script.text() {
        policy.push_str(&format!("; script-src {}", digest(text)));
    }
    if let Script::Asking(_) = script {
        policy.push_str("; connect-src 'self'");
    }
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="robots" content="noindex";
                title { (title) }
                // An empty icon: no browser asks a server for one.
                link rel="icon" href="data:,";
                style { (PreEscaped(&style)) }
                (head)
            }
            body class=(class) {
                (body)
                @if let Some(text) = script.text() { script { (PreEscaped(text)) } }
            }
        }
    }
    .into_string()
}
