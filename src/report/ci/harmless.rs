//! Text that no runner takes for a command.
//!
//! GitHub's runner takes a line for one where it begins with `::`, and also where `##[` stands
//! anywhere in it; Azure's agent where `##vso[` stands anywhere. Both read standard output and
//! standard error. Both compare by culture, as .NET does where nothing else is said: characters
//! without weight do not count, so `#` + zero-width joiner + `#[` is `##[` to them
//! (<https://learn.microsoft.com/dotnet/standard/base-types/best-practices-strings>).
//!
//! GitHub's `::stop-commands::` would not do: it would have to reach the runner before the text it
//! guards, and two streams have no order between them; Azure has no such thing.

use std::borrow::Cow;

use crate::text::steers;

/// What a text is, and so what may be put into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// For people: a space keeps two signs apart.
    Text,
    /// A JSON document: the second sign is spelled as an escape, and the document stays the same.
    Json,
}

/// How far the beginning of a line has come towards `::`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Start {
    Nothing,
    OneColon,
    Over,
}

/// Characters that a comparison by culture passes over.
fn weightless(c: char) -> bool {
    steers(c) || matches!(c, '\u{200c}' | '\u{200d}' | '\u{fe00}'..='\u{fe0f}')
}

/// How long the rest of a sequence for colour is, behind its first sign; 0 where it is another one:
/// ours are all for colour, and others come from outside.
fn paint(rest: &str) -> usize {
    let Some(inner) = rest.strip_prefix('[') else { return 0 };
    let numbers = inner.bytes().take_while(|b| b.is_ascii_digit() || *b == b';').count();
    if inner[numbers..].starts_with('m') { numbers + 2 } else { 0 }
}

/// The same text, with every `::` at the beginning of a line and every `##` taken apart.
pub(super) fn harmless(text: &str, kind: Kind) -> Cow<'_, str> {
    if !text.contains(['#', ':']) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    let (mut start, mut sharp) = (Start::Nothing, false);
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match c {
            '\n' | '\r' => (start, sharp) = (Start::Nothing, false),
            // Colour may be stripped after us: what stands on its two sides is then neighbours.
            '\u{1b}' => {
                let paint = paint(characters.as_str());
                out.push_str(if paint == 0 { "\u{fffd}" } else { "\u{1b}" });
                if paint == 0 {
                    (start, sharp) = (Start::Over, false);
                }
                out.extend(characters.by_ref().take(paint));
                continue;
            }
            // The eight-bit forms of the same.
            '\u{80}'..='\u{9f}' => {
                match kind {
                    Kind::Text => out.push(char::REPLACEMENT_CHARACTER),
                    Kind::Json => out.push_str(&format!("\\u{:04x}", u32::from(c))),
                }
                (start, sharp) = (Start::Over, false);
                continue;
            }
            c if weightless(c) => {}
            '#' => {
                if sharp && kind == Kind::Json {
                    out.push_str("\\u0023");
                    continue;
                }
                if sharp {
                    out.push(' ');
                }
                (start, sharp) = (Start::Over, true);
            }
            ':' => {
                start = match start {
                    Start::Nothing => Start::OneColon,
                    Start::OneColon if kind == Kind::Text => {
                        out.push(' ');
                        Start::Over
                    }
                    Start::OneColon | Start::Over => Start::Over,
                };
                sharp = false;
            }
            c if c.is_whitespace() && start == Start::Nothing => sharp = false,
            _ => (start, sharp) = (Start::Over, false),
        }
        out.push(c);
    }
    Cow::Owned(out)
}
