//! Graph's query options: reading them as strictly as Graph does, and answering them.
//!
//! <https://learn.microsoft.com/en-us/graph/query-parameters>,
//! <https://learn.microsoft.com/en-us/graph/aad-advanced-queries>.

mod eval;
mod filter;
mod options;
mod page;
mod project;
mod search;
mod token;
mod tree;

#[cfg(test)]
mod tests;

use serde_json::Value;

use self::options::Options;
use self::page::{Key, Order, Place};
use self::project::Selection;
use self::search::Search;
use self::token::Literal;
use self::tree::{Filter, Operator};
use super::schema::{Entity, Refusal, Service, Support};

pub use page::Page;
pub use project::Expansion;

/// What an address names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A list of resources.
    Collection,
    /// One resource.
    Single,
    /// The number of resources in a list: an address that ends in `/$count`.
    Count,
}

/// Is the query an advanced one: header `ConsistencyLevel: eventual` and `$count=true`?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Advanced {
    Yes,
    No,
}

/// A query that Graph would answer.
#[derive(Debug, Clone)]
pub struct Query {
    entity: &'static Entity,
    filter: Option<Filter>,
    search: Option<Search>,
    orders: Vec<Order>,
    selection: Option<Selection>,
    expansions: Vec<Expansion>,
    top: Option<usize>,
    skip: usize,
    counts: Counts,
    place: Option<Place>,
    mark: u64,
    raw: String,
    costs: Costs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Counts {
    Yes,
    No,
}

/// What the price of a query depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Costs {
    select: Asked,
    expand: Asked,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Yes,
    No,
}

/// A condition that every match meets, so that an index can name the candidates. Texts are
/// [`fold`]ed: the index must be too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EqualityHint {
    /// One of the tags is this.
    Tag(String),
    /// `appId` is this.
    AppId(String),
    /// `displayName` is this.
    DisplayName(String),
    /// `uniqueName` is this.
    UniqueName(String),
}

/// A text as the directory compares texts: without regard to case.
pub fn fold(text: &str) -> String {
    if text.is_ascii() { text.to_ascii_lowercase() } else { text.to_lowercase() }
}

impl Query {
    /// Reads the query string of an address (what follows `?`), for resources of a kind.
    /// `eventual` says whether the request carried `ConsistencyLevel: eventual`.
    ///
    /// # Errors
    /// The refusal that Graph would send: unknown, repeated, malformed or unsupported
    /// options, advanced queries without what they need, page tokens of other queries.
    pub fn parse(
        raw_query: Option<&str>,
        eventual: bool,
        entity: &'static Entity,
        shape: Shape,
    ) -> Result<Self, Refusal> {
        let options = options::read(raw_query.unwrap_or_default())?;
        check_shape(&options, shape, eventual, entity)?;
        let counted = match options.count.as_deref() {
            None => false,
            Some(text) => read_bool(text)?,
        };
        let advanced = match shape {
            Shape::Collection if eventual && counted => Advanced::Yes,
            Shape::Count if eventual => Advanced::Yes,
            Shape::Collection | Shape::Single | Shape::Count => Advanced::No,
        };
        let counts = match (entity.service, advanced) {
            // Without the header `$count=true` is ignored in silence.
            (Service::Directory, Advanced::Yes) => Counts::Yes,
            (Service::Security | Service::Partner, _) if counted => Counts::Yes,
            (Service::Directory | Service::Settings | Service::Security | Service::Partner, _) => {
                Counts::No
            }
        };
        let top = options.top.as_deref().map(|text| read_top(text, entity)).transpose()?;
        let skip = options.skip.as_deref().map(|text| read_skip(text, entity)).transpose()?;
        let filter = match options.filter.as_deref() {
            None => None,
            Some(text) => Some(filter::parse(text, entity, advanced)?),
        };
        let search = match options.search.as_deref() {
            None => None,
            Some(text) => Some(read_search(text, eventual, entity)?),
        };
        let orders = match options.orderby.as_deref() {
            None => Vec::new(),
            Some(text) => read_orders(text, &options, advanced, entity)?,
        };
        let selection = match options.select.as_deref() {
            None => None,
            Some(text) => project::select(text, entity)?,
        };
        let expansions = match options.expand.as_deref() {
            None => Vec::new(),
            // "$expand is not currently supported with advanced queries"
            // (aad-advanced-queries, a note).
            Some(_) if entity.service == Service::Directory && advanced == Advanced::Yes => {
                return Err(Refusal::unsupported_query("Unsupported Query."));
            }
            Some(text) => project::expand(text, entity)?,
        };
        let mark = page::mark(
            &[
                options.filter.as_deref(),
                options.search.as_deref(),
                options.orderby.as_deref(),
                options.skip.as_deref(),
            ],
            entity,
        );
        let place =
            options.skiptoken.as_deref().map(|token| Place::read(token, mark)).transpose()?;
        let asked = |option: &Option<String>| if option.is_some() { Asked::Yes } else { Asked::No };
        let costs = Costs { select: asked(&options.select), expand: asked(&options.expand) };
        Ok(Self {
            entity,
            filter,
            search,
            orders,
            selection,
            expansions,
            top,
            skip: skip.unwrap_or_default(),
            counts,
            place,
            mark,
            raw: options.raw,
            costs,
        })
    }

    /// A condition that every match meets, where there is one that an index can answer.
    pub fn filter_hint(&self) -> Option<EqualityHint> {
        hint(self.filter.as_ref()?)
    }

    /// Does this resource meet `$filter` and `$search`?
    pub fn matches(&self, item: &Value) -> bool {
        self.filter.as_ref().is_none_or(|filter| filter.matches(item))
            && self.search.as_ref().is_none_or(|search| search.matches(item))
    }

    /// How many of these resources match: the answer to `/$count`.
    pub fn count<'a>(&self, items: impl Iterator<Item = &'a Value>) -> usize {
        items.filter(|item| self.matches(item)).count()
    }

    /// One page of these resources: those that match, in the order asked for or else the
    /// one in which they come, which must be the same for every page.
    pub fn page<'a>(&self, items: impl Iterator<Item = &'a Value>) -> Page {
        let mut matching: Vec<&Value> = items.filter(|item| self.matches(item)).collect();
        if !self.orders.is_empty() {
            matching = self.sorted(matching);
        }
        let start = match &self.place {
            Some(place) => place.find(&matching),
            None => self.skip.min(matching.len()),
        };
        let size = self.top.unwrap_or(self.entity.pages.default);
        let end = matching.len().min(start.saturating_add(size));
        let shown = &matching[start..end];
        let next = match shown.last() {
            Some(last) if end < matching.len() => {
                let place = Place { offset: end, last: page::id(last).to_owned() };
                let token = place.token(self.mark);
                Some(if self.raw.is_empty() {
                    format!("$skiptoken={token}")
                } else {
                    format!("{}&$skiptoken={token}", self.raw)
                })
            }
            Some(_) | None => None,
        };
        Page {
            items: shown.iter().map(|item| self.project(item)).collect(),
            count: match self.counts {
                Counts::Yes => Some(matching.len()),
                Counts::No => None,
            },
            next,
        }
    }

    fn sorted<'a>(&self, items: Vec<&'a Value>) -> Vec<&'a Value> {
        let mut keyed: Vec<(Vec<Key>, &Value)> = items
            .into_iter()
            .map(|item| (self.orders.iter().map(|order| order.key(item)).collect(), item))
            .collect();
        keyed.sort_by(|(one, _), (other, _)| {
            self.orders
                .iter()
                .zip(one.iter().zip(other))
                .map(|(order, (one, other))| order.compare(one, other))
                .find(|ordering| ordering.is_ne())
                .unwrap_or(std::cmp::Ordering::Equal)
        });
        keyed.into_iter().map(|(_, item)| item).collect()
    }

    /// What the answer shows of a resource: what `$select` names, else the usual
    /// properties; annotations (`@odata.…`); and expanded links that the item carries.
    /// Members that no table knows never leave the world.
    pub fn project(&self, item: &Value) -> Value {
        let Value::Object(members) = item else { return item.clone() };
        let mut shown = match &self.selection {
            Some(selection) => selection.apply(members),
            None => project::usual(self.entity, members),
        };
        for expansion in &self.expansions {
            if let Some(targets) = members.get(expansion.navigation) {
                shown.insert(expansion.navigation.to_owned(), targets.clone());
            }
        }
        Value::Object(shown)
    }

    /// Whether `$select` names this property, or a member of it.
    pub fn selects(&self, property: &str) -> bool {
        self.selection.as_ref().is_some_and(|selection| {
            let named = |name: &String| name.split('/').next() == Some(property);
            selection.names.iter().any(named)
        })
    }

    /// The links to follow.
    pub fn expansions(&self) -> &[Expansion] {
        &self.expansions
    }

    /// What `@odata.context` says after the name of the collection: nothing, or for example
    /// `(id,displayName,owners())`.
    pub fn context_suffix(&self) -> String {
        let mut names: Vec<String> = match &self.selection {
            Some(selection) => selection.names.clone(),
            None => Vec::new(),
        };
        names.extend(
            self.expansions.iter().map(|expansion| {
                format!("{}({})", expansion.navigation, expansion.select.join(","))
            }),
        );
        if names.is_empty() { String::new() } else { format!("({})", names.join(",")) }
    }

    /// The price of the query in resource units, from the price of the plain request:
    /// `$select` is one less, `$expand` one more, `$top` under 20 one less, at least one
    /// (<https://learn.microsoft.com/en-us/graph/throttling-limits>).
    pub fn cost(&self, base: u32) -> u32 {
        let mut cost = base;
        if self.costs.expand == Asked::Yes {
            cost = cost.saturating_add(1);
        }
        if self.costs.select == Asked::Yes {
            cost = cost.saturating_sub(1);
        }
        if self.top.is_some_and(|top| top < 20) {
            cost = cost.saturating_sub(1);
        }
        cost.max(1)
    }
}

fn hint(filter: &Filter) -> Option<EqualityHint> {
    match filter {
        Filter::And(parts) => parts.iter().find_map(hint),
        Filter::Compare { path, operator: Operator::Eq, literal: Literal::Text(text) } => {
            match path.as_slice() {
                ["appId"] => Some(EqualityHint::AppId(text.clone())),
                ["displayName"] => Some(EqualityHint::DisplayName(text.clone())),
                ["uniqueName"] => Some(EqualityHint::UniqueName(text.clone())),
                _ => None,
            }
        }
        Filter::Any { path, body } => match (path.as_slice(), body.as_ref()) {
            (
                ["tags"],
                Filter::Compare { path, operator: Operator::Eq, literal: Literal::Text(text) },
            ) if path.is_empty() => Some(EqualityHint::Tag(text.clone())),
            _ => None,
        },
        Filter::Compare { .. }
        | Filter::Or(_)
        | Filter::Not(_)
        | Filter::In { .. }
        | Filter::Affix { .. }
        | Filter::Count { .. } => None,
    }
}

/// Which options an address takes at all.
fn check_shape(
    options: &Options,
    shape: Shape,
    eventual: bool,
    entity: &Entity,
) -> Result<(), Refusal> {
    let lists_only = [
        &options.filter,
        &options.search,
        &options.orderby,
        &options.top,
        &options.skip,
        &options.count,
        &options.skiptoken,
    ];
    match shape {
        Shape::Collection => Ok(()),
        Shape::Single if lists_only.iter().any(|option| option.is_some()) => {
            Err(Refusal::malformed(
                "The query specified in the URI is not valid. The requested resource is not a collection. Query options $filter, $orderby, $count, $skip, and $top can be applied only on collections.",
            ))
        }
        Shape::Single => Ok(()),
        // <https://learn.microsoft.com/en-us/graph/aad-advanced-queries>, "Error handling".
        Shape::Count if !eventual || entity.service != Service::Directory => {
            Err(Refusal::bad_request("$count is not currently supported."))
        }
        Shape::Count => Ok(()),
    }
}

fn read_bool(text: &str) -> Result<bool, Refusal> {
    if text.eq_ignore_ascii_case("true") {
        Ok(true)
    } else if text.eq_ignore_ascii_case("false") {
        Ok(false)
    } else {
        Err(Refusal::malformed(format!(
            "Invalid value '{text}' for $count query option found. The $count query option must be 'true' or 'false'."
        )))
    }
}

fn read_top(text: &str, entity: &Entity) -> Result<usize, Refusal> {
    let number: i64 = text.parse().map_err(|_| not_a_number("top", text))?;
    let max = entity.pages.max;
    match (usize::try_from(number), entity.service) {
        (Ok(top), _) if (1..=max).contains(&top) => Ok(top),
        (_, Service::Directory | Service::Settings) => Err(Refusal::unsupported_query(format!(
            "Invalid page size specified: '{number}'. Must be between 1 and {max} inclusive."
        ))),
        (Ok(0) | Err(_), Service::Security | Service::Partner) => Err(not_a_number("top", text)),
        (Ok(_), Service::Security | Service::Partner) => Err(Refusal::malformed(format!(
            "The limit of '{max}' for Top query has been exceeded. The value from the incoming request is '{number}'."
        ))),
    }
}

fn read_skip(text: &str, entity: &Entity) -> Result<usize, Refusal> {
    match entity.service {
        Service::Directory | Service::Settings | Service::Partner => {
            Err(Refusal::bad_request("'$skip' is not supported by the service."))
        }
        Service::Security => text.parse().map_err(|_| not_a_number("skip", text)),
    }
}

fn not_a_number(option: &str, text: &str) -> Refusal {
    Refusal::malformed(format!(
        "Invalid value '{text}' for ${option} query option found. The ${option} query option requires a non-negative integer value."
    ))
}

fn read_search(text: &str, eventual: bool, entity: &'static Entity) -> Result<Search, Refusal> {
    match entity.service {
        Service::Directory if eventual => search::parse(text, entity),
        Service::Directory => Err(Refusal::unsupported_query(
            "Request with $search query parameter only works through MSGraph with a special request header: 'ConsistencyLevel: eventual'",
        )),
        Service::Settings | Service::Security | Service::Partner => {
            Err(Refusal::malformed("The query parameter '$search' is not supported."))
        }
    }
}

fn read_orders(
    text: &str,
    options: &Options,
    advanced: Advanced,
    entity: &'static Entity,
) -> Result<Vec<Order>, Refusal> {
    let (orders, needs) = page::order(text, entity)?;
    let needs_advanced = match entity.service {
        Service::Directory | Service::Settings => {
            needs == Support::Advanced || options.filter.is_some()
        }
        Service::Security | Service::Partner => false,
    };
    match advanced {
        Advanced::No if needs_advanced => Err(page::unsorted()),
        Advanced::No | Advanced::Yes => Ok(orders),
    }
}
