//! `$search` over the directory's index
//! (<https://learn.microsoft.com/en-us/graph/search-query-parameter>).

use serde_json::Value;

use super::fold;
use crate::sandbox::schema::{Entity, Refusal, Support};

/// Deeper nesting is refused.
const MAX_DEPTH: usize = 16;

/// A search that is in order.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Search {
    Or(Vec<Search>),
    And(Vec<Search>),
    /// Every word must begin a word of the property.
    Words {
        property: &'static str,
        words: Vec<String>,
    },
    /// The property, or an element of it, must begin so.
    Start {
        property: &'static str,
        text: String,
    },
}

impl Search {
    pub(super) fn matches(&self, item: &Value) -> bool {
        match self {
            Search::Or(choices) => choices.iter().any(|choice| choice.matches(item)),
            Search::And(parts) => parts.iter().all(|part| part.matches(item)),
            Search::Words { property, words: wanted } => {
                let found =
                    item.get(property).and_then(Value::as_str).map(words).unwrap_or_default();
                wanted.iter().all(|word| found.iter().any(|other| other.starts_with(word.as_str())))
            }
            Search::Start { property, text } => match item.get(property) {
                Some(Value::Array(values)) => values
                    .iter()
                    .filter_map(Value::as_str)
                    .any(|v| fold(v).starts_with(text.as_str())),
                Some(Value::String(value)) => fold(value).starts_with(text.as_str()),
                _ => false,
            },
        }
    }
}

/// Reads `"displayName:one" AND ("description:two" OR …)`.
pub(super) fn parse(text: &str, entity: &'static Entity) -> Result<Search, Refusal> {
    let mut parser = Parser { text, rest: text, depth: 0, entity };
    let search = parser.or()?;
    parser.skip_space();
    if parser.rest.is_empty() { Ok(search) } else { Err(parser.syntax_error()) }
}

struct Parser<'a> {
    text: &'a str,
    rest: &'a str,
    depth: usize,
    entity: &'static Entity,
}

impl Parser<'_> {
    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn takes(&mut self, word: &str) -> bool {
        self.skip_space();
        match self.rest.strip_prefix(word) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn or(&mut self) -> Result<Search, Refusal> {
        let mut choices = vec![self.and()?];
        while self.takes("OR") {
            choices.push(self.and()?);
        }
        Ok(one_or(choices, Search::Or))
    }

    fn and(&mut self) -> Result<Search, Refusal> {
        let mut parts = vec![self.clause()?];
        while self.takes("AND") {
            parts.push(self.clause()?);
        }
        Ok(one_or(parts, Search::And))
    }

    fn clause(&mut self) -> Result<Search, Refusal> {
        if self.takes("(") {
            if self.depth == MAX_DEPTH {
                return Err(Refusal::malformed("Recursion depth exceeded allowed limit."));
            }
            self.depth += 1;
            let inner = self.or()?;
            self.depth -= 1;
            return if self.takes(")") { Ok(inner) } else { Err(self.syntax_error()) };
        }
        if !self.takes("\"") {
            return Err(self.syntax_error());
        }
        let mut phrase = String::new();
        let mut characters = self.rest.char_indices();
        loop {
            match characters.next() {
                None => return Err(self.syntax_error()),
                Some((_, '\\')) => match characters.next() {
                    Some((_, escaped)) => phrase.push(escaped),
                    None => return Err(self.syntax_error()),
                },
                Some((end, '"')) => {
                    self.rest = &self.rest[end + 1..];
                    break;
                }
                Some((_, other)) => phrase.push(other),
            }
        }
        self.phrase(&phrase)
    }

    fn phrase(&self, phrase: &str) -> Result<Search, Refusal> {
        let unsupported = || Refusal::unsupported_query("Unsupported Query.");
        let (name, wanted) = phrase.split_once(':').ok_or_else(unsupported)?;
        let property = self
            .entity
            .property(name.trim())
            .filter(|property| property.filter.starts != Support::Never)
            .ok_or_else(unsupported)?;
        let wanted = wanted.trim();
        if wanted.is_empty() {
            return Err(unsupported());
        }
        Ok(match property.name {
            "displayName" | "description" => {
                Search::Words { property: property.name, words: words(wanted) }
            }
            other => Search::Start { property: other, text: fold(wanted) },
        })
    }

    fn syntax_error(&self) -> Refusal {
        let at = self.text.len() - self.rest.len();
        match self.rest.chars().next() {
            Some(character) => Refusal::malformed(format!(
                "Syntax error: character '{character}' is not valid at position {at} in '{}'.",
                self.text
            )),
            None => Refusal::malformed(format!(
                "Expression expected at position {at} in '{}'.",
                self.text
            )),
        }
    }
}

/// Words as the index cuts them: at everything that is neither letter nor digit.
fn words(text: &str) -> Vec<String> {
    fold(text)
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

fn one_or(mut parts: Vec<Search>, join: fn(Vec<Search>) -> Search) -> Search {
    if parts.len() == 1
        && let Some(only) = parts.pop()
    {
        return only;
    }
    join(parts)
}
