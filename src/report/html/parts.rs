//! Small pieces of a report: marks, moments, links, values to copy.

use jiff::Timestamp;
use maud::{Markup, html};
use url::Url;

use crate::{
    report::{
        paper::{Ink, Word, clean},
        status::overall_word,
    },
    status::{EvidenceKind, Facet, Overall, State},
};

/// Said on top of everything that was played in the sandbox.
pub(super) fn sandbox_note() -> Markup {
    html! { p.sandbox { "sandbox: Microsoft in a box. Nothing here is real, and nobody is asked." } }
}

const fn class(ink: Ink) -> &'static str {
    match ink {
        Ink::Good => "good",
        Ink::Wait => "wait",
        Ink::Bad => "bad",
        Ink::Plain | Ink::Bold | Ink::Dim => "soft",
    }
}

fn with_mark(mark: &str, word: &Word) -> Markup {
    html! { span class={ "m " (class(word.ink())) } { i aria-hidden="true" { (mark) } " " (word.text()) } }
}

/// A facet's word behind its mark.
pub(super) fn marked(facet: &Facet, word: &Word) -> Markup {
    let mark = match (facet.state, facet.evidence.kind) {
        (State::Ok, EvidenceKind::Attested) => "✎",
        (State::Ok, EvidenceKind::Proved | EvidenceKind::Observed) => "✓",
        (State::Waiting, _) => "○",
        (State::Expiring, _) => "!",
        (State::Failed, _) => "✗",
        (State::Unknown, _) => "?",
        (State::NotNeeded, _) => {
            return html! { span.soft { i aria-hidden="true" { "–" } span.away { "not needed" } } };
        }
    };
    with_mark(mark, word)
}

/// The tenant as a whole behind its mark.
pub(super) fn marked_overall(overall: Overall) -> Markup {
    let mark = match overall {
        Overall::NotReading => "✗",
        Overall::Unknown => "?",
        Overall::Onboarding => "○",
        Overall::ActionDue => "!",
        Overall::Reading => "✓",
    };
    with_mark(mark, &overall_word(overall))
}

/// What kind of knowledge a facet rests on.
pub(super) const fn kind(facet: &Facet) -> &'static str {
    match facet.evidence.kind {
        EvidenceKind::Proved => "proved",
        EvidenceKind::Attested => "attested",
        EvidenceKind::Observed => "observed",
    }
}

/// The kind, where the facet's word does not say it already.
pub(super) const fn kind_beside(facet: &Facet) -> Option<&'static str> {
    match (facet.state, facet.evidence.kind) {
        (State::Ok, EvidenceKind::Attested) | (State::NotNeeded, _) => None,
        _ => Some(kind(facet)),
    }
}

/// A moment, to the minute for people and to the second for programs.
pub(super) fn moment(at: Timestamp) -> Markup {
    let whole = at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    html! { time datetime=(whole) { (at.strftime("%Y-%m-%d %H:%M UTC")) } }
}

/// Since when it has been so.
pub(super) fn since(facet: &Facet) -> Markup {
    html! {
        @if let Some(since) = facet.since { ", waiting since " (since.strftime("%Y-%m-%d")) }
    }
}

/// A value that is there to be copied: by the button, or by a click that takes it as a whole.
pub(super) fn value(name: &str, value: &str) -> Markup {
    let value = clean(value);
    html! { code.v { (value) } (copy(name)) }
}

/// A link, spelled out: it is there to be opened, sent and printed. Any scheme but http and https
/// stays text, so that no report can be made to run something.
pub(super) fn link(link: &Url) -> Markup {
    html! {
        @match link.scheme() {
            "http" | "https" => {
                a.v href=(link) target="_blank" rel="noopener noreferrer" { (link) }
            }
            _ => code.v { (clean(link.as_str())) },
        }
        (copy("link"))
    }
}

/// The button behind a value; it is seen where JavaScript runs.
fn copy(name: &str) -> Markup {
    html! { " " button.c type="button" aria-label={ "copy " (name) } { "copy" } }
}
