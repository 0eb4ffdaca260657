//! The words of `$filter`.

use crate::sandbox::schema::{Refusal, is_guid};

/// A literal as it was written.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Literal {
    Null,
    Bool(bool),
    Int(i64),
    Decimal(f64),
    Text(String),
    Guid(String),
    Moment(jiff::Timestamp),
}

/// One word.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Open,
    Close,
    Comma,
    Slash,
    Colon,
    /// A name or a keyword; `$count` too.
    Name(String),
    Literal(Literal),
}

impl Literal {
    /// The type in OData's error texts.
    pub(super) fn edm(&self) -> &'static str {
        match self {
            Literal::Null => "<null>",
            Literal::Bool(_) => "Edm.Boolean",
            Literal::Int(number) if i32::try_from(*number).is_ok() => "Edm.Int32",
            Literal::Int(_) => "Edm.Int64",
            Literal::Decimal(_) => "Edm.Double",
            Literal::Text(_) => "Edm.String",
            Literal::Guid(_) => "Edm.Guid",
            Literal::Moment(_) => "Edm.DateTimeOffset",
        }
    }
}

/// Cuts a filter into words, each with the place where it begins.
pub(super) fn tokens(text: &str) -> Result<Vec<(usize, Token)>, Refusal> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let at = text.len() - rest.len();
        let (token, length) = match first {
            space if space.is_whitespace() => {
                rest = &rest[space.len_utf8()..];
                continue;
            }
            '(' => (Token::Open, 1),
            ')' => (Token::Close, 1),
            ',' => (Token::Comma, 1),
            '/' => (Token::Slash, 1),
            ':' => (Token::Colon, 1),
            '\'' => quoted(rest, at, text)?,
            _ if rest.get(..36).is_some_and(is_guid) && !continues(&rest[36..]) => {
                (Token::Literal(Literal::Guid(rest[..36].to_owned())), 36)
            }
            '0'..='9' | '-' | '.' => number_or_moment(rest, at, text)?,
            letter if letter.is_ascii_alphabetic() || matches!(letter, '_' | '$') => name(rest),
            other => {
                return Err(invalid(format!(
                    "Syntax error: character '{other}' is not valid at position {at} in '{text}'."
                )));
            }
        };
        tokens.push((at, token));
        rest = &rest[length..];
    }
    Ok(tokens)
}

fn continues(rest: &str) -> bool {
    rest.starts_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
}

/// A text in single quotes; two of them mean one inside.
fn quoted(rest: &str, at: usize, whole: &str) -> Result<(Token, usize), Refusal> {
    let mut text = String::new();
    let mut characters = rest.char_indices().skip(1).peekable();
    while let Some((place, character)) = characters.next() {
        if character != '\'' {
            text.push(character);
        } else if characters.next_if(|(_, next)| *next == '\'').is_some() {
            text.push('\'');
        } else {
            return Ok((Token::Literal(Literal::Text(text)), place + 1));
        }
    }
    Err(invalid(format!("There is an unterminated string literal at position {at} in '{whole}'.")))
}

fn name(rest: &str) -> (Token, usize) {
    let end = rest
        .char_indices()
        .skip(1)
        .find(|(_, c)| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '.')))
        .map_or(rest.len(), |(place, _)| place);
    let word = &rest[..end];
    let token = match word {
        "null" => Token::Literal(Literal::Null),
        "true" => Token::Literal(Literal::Bool(true)),
        "false" => Token::Literal(Literal::Bool(false)),
        _ => Token::Name(word.to_owned()),
    };
    (token, end)
}

/// A number, a date or a moment. A date alone means its midnight in UTC.
fn number_or_moment(rest: &str, at: usize, whole: &str) -> Result<(Token, usize), Refusal> {
    let end = rest
        .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | ':' | '+')))
        .unwrap_or(rest.len());
    let word = &rest[..end];
    let literal = if let Ok(number) = word.parse::<i64>() {
        Literal::Int(number)
    } else if let Ok(moment) = word.parse::<jiff::Timestamp>() {
        Literal::Moment(moment)
    } else if let Some(midnight) = word
        .parse::<jiff::civil::Date>()
        .ok()
        .filter(|_| word.len() == 10)
        .and_then(|date| date.to_zoned_datetime(jiff::tz::TimeZone::UTC).ok())
    {
        Literal::Moment(midnight.timestamp())
    } else if let Some(number) = word.parse::<f64>().ok().filter(|number| number.is_finite()) {
        Literal::Decimal(number)
    } else {
        return Err(invalid(format!("Unrecognized '{word}' literal at '{at}' in '{whole}'.")));
    };
    Ok((Token::Literal(literal), end))
}

/// 400: the filter is not one.
pub(super) fn invalid(why: impl AsRef<str>) -> Refusal {
    Refusal::malformed(format!("Invalid filter clause: {}", why.as_ref()))
}
