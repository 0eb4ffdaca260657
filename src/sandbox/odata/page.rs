//! One page of a listing, and the way to the next.

use std::cmp::Ordering;
use std::hash::{DefaultHasher, Hash, Hasher};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;

use super::eval::at;
use super::fold;
use super::tree::Path;
use crate::sandbox::schema::{Entity, Kind, Refusal, Service, Support};

/// One page of a listing.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// The resources, each with what the query shows of it.
    pub items: Vec<Value>,
    /// How many there are on all pages, where that was asked and is answered.
    pub count: Option<usize>,
    /// The query string of the next page's address, without `?`; none on the last page.
    pub next: Option<String>,
}

/// One key of `$orderby`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Order {
    path: Path,
    dates: Dates,
    direction: Direction,
}

/// Are the texts at a path moments?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dates {
    Yes,
    No,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Up,
    Down,
}

/// A value to sort by; null comes first.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Null,
    Bool(bool),
    Number(i64),
    Moment(jiff::Timestamp),
    Text(String),
}

impl Order {
    pub(super) fn key(&self, item: &Value) -> Key {
        match at(item, &self.path) {
            Value::Bool(value) => Key::Bool(*value),
            Value::Number(number) => number.as_i64().map_or(Key::Null, Key::Number),
            Value::String(text) => match (self.dates, text.parse()) {
                (Dates::Yes, Ok(moment)) => Key::Moment(moment),
                (Dates::Yes, Err(_)) | (Dates::No, _) => Key::Text(fold(text)),
            },
            Value::Null | Value::Array(_) | Value::Object(_) => Key::Null,
        }
    }

    pub(super) fn compare(&self, one: &Key, other: &Key) -> Ordering {
        match self.direction {
            Direction::Up => one.cmp(other),
            Direction::Down => other.cmp(one),
        }
    }
}

/// Reads `displayName desc,createdDateTime`. Says what sorting needs, too.
pub(super) fn order(text: &str, entity: &'static Entity) -> Result<(Vec<Order>, Support), Refusal> {
    let mut orders = Vec::new();
    let mut needs = Support::Always;
    for item in text.split(',') {
        let mut words = item.split_whitespace();
        let name = words.next().unwrap_or_default();
        let direction = match words.next().map(str::to_ascii_lowercase).as_deref() {
            None | Some("asc") => Direction::Up,
            Some("desc") => Direction::Down,
            Some(_) => return Err(syntax(text)),
        };
        if words.next().is_some() || name.is_empty() {
            return Err(syntax(text));
        }
        let property = entity.property(name).ok_or_else(|| match entity.service {
            Service::Directory => Refusal::unsupported_query(format!(
                "Property '{name}' does not exist as a declared property or extension property."
            )),
            Service::Settings | Service::Security | Service::Partner => {
                Refusal::malformed(format!(
                    "Could not find a property named '{name}' on type '{}'.",
                    entity.type_name()
                ))
            }
        })?;
        match property.sort {
            Support::Always => {}
            Support::Advanced => needs = Support::Advanced,
            Support::Never => return Err(unsorted()),
        }
        let dates = if matches!(property.kind, Kind::DateTime) { Dates::Yes } else { Dates::No };
        orders.push(Order { path: vec![property.name], dates, direction });
    }
    Ok((orders, needs))
}

/// The directory's words for a sort that it does not do
/// (<https://devblogs.microsoft.com/microsoft365dev/build-advanced-queries-with-count-filter-search-and-orderby>).
pub(super) fn unsorted() -> Refusal {
    Refusal::unsupported_query("Sorting not supported for current query.")
}

fn syntax(text: &str) -> Refusal {
    Refusal::malformed(format!("Syntax error in $orderby: '{text}'."))
}

/// Where a page begins. It remembers the last item, so that items which come or go
/// meanwhile neither repeat nor hide others, and the place, should that item be gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// Items on the pages before.
    pub(super) offset: usize,
    /// The id of the last of them.
    pub(super) last: String,
}

impl Place {
    /// The text of a `$skiptoken` that only the same query takes back.
    pub(super) fn token(&self, query: u64) -> String {
        URL_SAFE_NO_PAD.encode(format!("{query:016x}.{}.{}", self.offset, self.last))
    }

    pub(super) fn read(token: &str, query: u64) -> Result<Self, Refusal> {
        let garbled =
            || Refusal::bad_request("Invalid value for $skiptoken: the page token is malformed.");
        let text = URL_SAFE_NO_PAD.decode(token).map_err(|_| garbled())?;
        let text = String::from_utf8(text).map_err(|_| garbled())?;
        let mut parts = text.splitn(3, '.');
        let (Some(mark), Some(offset), Some(last)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(garbled());
        };
        let mark = u64::from_str_radix(mark, 16).map_err(|_| garbled())?;
        let offset = offset.parse().map_err(|_| garbled())?;
        if mark != query {
            return Err(Refusal::new(
                400,
                "Directory_ExpiredPageToken",
                "The specified page token value has expired and can no longer be included in your request.",
            ));
        }
        Ok(Self { offset, last: last.to_owned() })
    }

    /// The index of the first item after this place.
    pub(super) fn find(&self, items: &[&Value]) -> usize {
        let here = |item: &&Value| id(item) == self.last;
        // Nearly always it is still where it was.
        let expected = self.offset.saturating_sub(1);
        if items.get(expected).is_some_and(here) {
            return expected + 1;
        }
        match items.iter().position(here) {
            Some(place) if !self.last.is_empty() => place + 1,
            // Gone: what followed it has moved up by one.
            _ => expected.min(items.len()),
        }
    }
}

pub(super) fn id(item: &Value) -> &str {
    item.get("id").and_then(Value::as_str).unwrap_or_default()
}

/// A mark of the things that decide which items come in which order.
pub(super) fn mark(parts: &[Option<&str>], entity: &Entity) -> u64 {
    let mut hasher = DefaultHasher::new();
    entity.name.hash(&mut hasher);
    parts.hash(&mut hasher);
    hasher.finish()
}
