//! Reading `$filter`: names, types, and what the directory has an index for.

use super::token::{Literal, Token, invalid, tokens};
use super::tree::{Affix, Filter, Operator, Path};
use super::{Advanced, fold};
use crate::sandbox::schema::{self, Entity, Kind, Property, Refusal, Service, Support};

/// Longer filters are refused, in bytes.
const MAX_LENGTH: usize = 8 * 1024;
/// Deeper nesting is refused, so that no filter can exhaust the stack.
const MAX_DEPTH: usize = 24;
/// `or` takes this many clauses and `in` this many values, and no more.
const MAX_CHOICES: usize = 15;

/// Reads a filter over resources of a kind.
///
/// # Errors
/// As Graph refuses: `BadRequest` for what is no filter or compares what cannot be
/// compared, `Request_UnsupportedQuery` for what the directory has no index for.
pub(super) fn parse(
    text: &str,
    entity: &'static Entity,
    advanced: Advanced,
) -> Result<Filter, Refusal> {
    if text.len() > MAX_LENGTH {
        return Err(invalid("The filter is too long."));
    }
    let tokens = tokens(text)?;
    let mut parser = Parser { text, tokens: &tokens, at: 0, depth: 0, entity, advanced };
    let filter = parser.or(&Scope::Entity)?;
    match parser.peek() {
        None => Ok(filter),
        Some(_) => Err(parser.syntax_error()),
    }
}

struct Parser<'a> {
    text: &'a str,
    tokens: &'a [(usize, Token)],
    at: usize,
    depth: usize,
    entity: &'static Entity,
    advanced: Advanced,
}

/// What names are looked up in.
enum Scope<'a> {
    Entity,
    /// Inside `list/any(variable:…)`.
    Element {
        variable: &'a str,
        list: &'static Property,
        element: &'static Kind,
    },
}

/// A path with what stands at its end.
struct Target {
    path: Path,
    /// The property that error texts name.
    name: &'static str,
    kind: &'static Kind,
    filter: schema::Filter,
    list: Option<&'static Property>,
}

/// How a path went on.
enum Tail {
    Value,
    Any,
    Count,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<&'a Token> {
        self.tokens.get(self.at).map(|(_, token)| token)
    }

    fn next(&mut self) -> Option<&'a Token> {
        let token = self.peek();
        self.at += 1;
        token
    }

    fn takes(&mut self, token: &Token) -> bool {
        let found = self.peek() == Some(token);
        if found {
            self.at += 1;
        }
        found
    }

    fn expect(&mut self, token: &Token) -> Result<(), Refusal> {
        if self.takes(token) { Ok(()) } else { Err(self.syntax_error()) }
    }

    fn takes_keyword(&mut self, keyword: &str) -> bool {
        let found =
            matches!(self.peek(), Some(Token::Name(name)) if name.eq_ignore_ascii_case(keyword));
        if found {
            self.at += 1;
        }
        found
    }

    fn syntax_error(&self) -> Refusal {
        let at = self.tokens.get(self.at).map_or(self.text.len(), |(at, _)| *at);
        invalid(format!("Syntax error at position {at} in '{}'.", self.text))
    }

    fn deeper<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        if self.depth == MAX_DEPTH {
            return Err(invalid("Recursion depth exceeded allowed limit."));
        }
        self.depth += 1;
        let outcome = read(self);
        self.depth -= 1;
        outcome
    }

    fn or(&mut self, scope: &Scope<'_>) -> Result<Filter, Refusal> {
        let first = self.and(scope)?;
        let mut choices = vec![first];
        while self.takes_keyword("or") {
            choices.push(self.and(scope)?);
        }
        self.check_choices(choices.len())?;
        Ok(one_or(choices, Filter::Or))
    }

    fn and(&mut self, scope: &Scope<'_>) -> Result<Filter, Refusal> {
        let mut parts = vec![self.unary(scope)?];
        while self.takes_keyword("and") {
            parts.push(self.unary(scope)?);
        }
        Ok(one_or(parts, Filter::And))
    }

    fn unary(&mut self, scope: &Scope<'_>) -> Result<Filter, Refusal> {
        if self.takes(&Token::Open) {
            let inner = self.deeper(|parser| parser.or(scope))?;
            self.expect(&Token::Close)?;
            return Ok(inner);
        }
        if self.takes_keyword("not") {
            self.need_advanced(|| operator_needs_header("not"))?;
            let bare = !matches!(self.peek(), Some(Token::Open));
            let inner = self.deeper(|parser| parser.unary(scope))?;
            // `not` binds tighter than `eq`: `not displayName eq 'x'` negates a text.
            return match inner {
                Filter::Compare { .. } | Filter::In { .. } | Filter::Count { .. } if bare => {
                    Err(invalid(
                        "A unary operator with an incompatible type was detected. Found operand type 'Edm.String' for operator kind 'Not'.",
                    ))
                }
                inner => Ok(Filter::Not(Box::new(inner))),
            };
        }
        self.clause(scope)
    }

    fn clause(&mut self, scope: &Scope<'_>) -> Result<Filter, Refusal> {
        let Some(Token::Name(first)) = self.next() else {
            self.at -= 1;
            return Err(self.syntax_error());
        };
        if self.peek() == Some(&Token::Open) {
            return self.function(first, scope);
        }
        let (target, tail) = self.path(first, scope)?;
        match tail {
            Tail::Any => self.any(target),
            Tail::Count => self.count(target),
            Tail::Value => self.comparison(target, scope),
        }
    }

    fn function(&mut self, name: &str, scope: &Scope<'_>) -> Result<Filter, Refusal> {
        let affix = match name.to_ascii_lowercase().as_str() {
            "startswith" => Affix::Start,
            "endswith" => Affix::End,
            "contains" | "tolower" | "toupper" => {
                return Err(Refusal::unsupported_query("Unsupported Query."));
            }
            _ => {
                return Err(invalid(format!(
                    "An unknown function with name '{name}' was found. This may also be a function import or a key lookup on a navigation property, which is not allowed."
                )));
            }
        };
        self.expect(&Token::Open)?;
        let Some(Token::Name(first)) = self.next() else {
            self.at -= 1;
            return Err(self.syntax_error());
        };
        let (target, Tail::Value) = self.path(first, scope)? else {
            return Err(self.syntax_error());
        };
        self.expect(&Token::Comma)?;
        let literal = self.literal()?;
        self.expect(&Token::Close)?;
        let (Literal::Text(text), true) = (&literal, is_text(target.kind)) else {
            return Err(invalid(format!(
                "No function signature for the function with name '{}' matches the specified arguments.",
                name.to_ascii_lowercase()
            )));
        };
        let support = match affix {
            Affix::Start => target.filter.starts,
            Affix::End => {
                self.need_advanced(|| operator_needs_header("endsWith"))?;
                target.filter.ends
            }
        };
        self.check_support(support, &target)?;
        Ok(Filter::Affix { path: target.path, affix, text: fold(text) })
    }

    /// A path that starts with a name already read.
    fn path(&mut self, first: &str, scope: &Scope<'_>) -> Result<(Target, Tail), Refusal> {
        let mut target = match scope {
            Scope::Entity => self.entity_target(first)?,
            Scope::Element { variable, list, element } if *variable == first => Target {
                path: Vec::new(),
                name: list.name,
                kind: element,
                filter: match element {
                    Kind::Complex(_) => schema::Filter::NONE,
                    _ => list.filter,
                },
                list: None,
            },
            Scope::Element { .. } => {
                return Err(invalid(format!(
                    "Could not find a property named '{first}' in the scope of the expression."
                )));
            }
        };
        while self.takes(&Token::Slash) {
            let Some(Token::Name(name)) = self.next() else {
                self.at -= 1;
                return Err(self.syntax_error());
            };
            let calls = self.peek() == Some(&Token::Open);
            match name.to_ascii_lowercase().as_str() {
                "any" if calls => return Ok((target, Tail::Any)),
                "all" if calls => return Err(Refusal::unsupported_query("Unsupported Query.")),
                "$count" => return Ok((target, Tail::Count)),
                _ => {}
            }
            let Kind::Complex(complex) = target.kind else {
                return Err(invalid(format!(
                    "The parent value for a property access of a property '{name}' is not a single value."
                )));
            };
            let property = complex.property(name).ok_or_else(|| {
                invalid(format!(
                    "Could not find a property named '{name}' on type 'microsoft.graph.{}'.",
                    complex.name
                ))
            })?;
            target.path.push(property.name);
            target.enter(property);
        }
        Ok((target, Tail::Value))
    }

    fn entity_target(&self, name: &str) -> Result<Target, Refusal> {
        let property = self.entity.property(name).ok_or_else(|| match self.entity.service {
            // Open types: the gateway lets any name pass, the directory then misses it.
            Service::Directory => Refusal::unsupported_query(format!(
                "Property '{name}' does not exist as a declared property or extension property."
            )),
            Service::Settings | Service::Security | Service::Partner => invalid(format!(
                "Could not find a property named '{name}' on type '{}'.",
                self.entity.type_name()
            )),
        })?;
        let mut target = Target {
            path: vec![property.name],
            name: property.name,
            kind: &property.kind,
            filter: property.filter,
            list: None,
        };
        target.enter(property);
        Ok(target)
    }

    fn any(&mut self, target: Target) -> Result<Filter, Refusal> {
        let (Some(list), Kind::List(element)) = (target.list, target.kind) else {
            return Err(invalid("Any/All may only be used following a collection."));
        };
        self.expect(&Token::Open)?;
        let Some(Token::Name(variable)) = self.next() else {
            return Err(Refusal::unsupported_query("Unsupported Query."));
        };
        self.expect(&Token::Colon)?;
        let scope = Scope::Element { variable, list, element };
        let body = self.deeper(|parser| parser.or(&scope))?;
        self.expect(&Token::Close)?;
        Ok(Filter::Any { path: target.path, body: Box::new(body) })
    }

    fn count(&mut self, target: Target) -> Result<Filter, Refusal> {
        if target.list.is_none() {
            return Err(invalid("The segment '$count' must follow a collection."));
        }
        let operator = self.operator()?;
        let literal = self.literal()?;
        let Literal::Int(number) = literal else {
            return Err(incompatible("Edm.Int64", &literal, operator));
        };
        self.need_advanced(|| Refusal::unsupported_query("Unsupported Query."))?;
        self.check_support(target.filter.count, &target)?;
        // Only "is it empty" and "is there one" have an index.
        match (operator, number) {
            (Operator::Eq | Operator::Ne, 0 | 1) => {
                Ok(Filter::Count { path: target.path, operator, number })
            }
            _ => Err(Refusal::unsupported_query("Unsupported Query.")),
        }
    }

    fn comparison(&mut self, target: Target, scope: &Scope<'_>) -> Result<Filter, Refusal> {
        if self.takes_keyword("in") {
            self.expect(&Token::Open)?;
            let mut literals = vec![self.compared(&target, Operator::Eq)?];
            while self.takes(&Token::Comma) {
                literals.push(self.compared(&target, Operator::Eq)?);
            }
            self.expect(&Token::Close)?;
            self.check_choices(literals.len())?;
            self.check_support(target.filter.equal, &target)?;
            return Ok(Filter::In { path: target.path, literals });
        }
        let operator = self.operator()?;
        let literal = self.compared(&target, operator)?;
        match (operator, scope) {
            (Operator::Eq, _) => {
                self.check_support(target.filter.equal, &target)?;
                // "null values" is a column of its own in aad-advanced-queries.
                if literal == Literal::Null {
                    self.need_advanced(|| unsupported_clause(&target, self.entity))?;
                }
            }
            (Operator::Ne, Scope::Entity) => {
                self.need_advanced(|| operator_needs_header("ne"))?;
                self.check_support(target.filter.equal, &target)?;
            }
            // Inside `any` only `not` negates, from outside.
            (Operator::Ne, Scope::Element { .. }) => match self.entity.service {
                Service::Directory | Service::Settings => {
                    return Err(unsupported_clause(&target, self.entity));
                }
                Service::Security | Service::Partner => {
                    self.check_support(target.filter.equal, &target)?;
                }
            },
            (Operator::Gt | Operator::Ge | Operator::Lt | Operator::Le, _) => {
                self.check_support(target.filter.order, &target)?;
            }
        }
        Ok(Filter::Compare { path: target.path, operator, literal })
    }

    fn operator(&mut self) -> Result<Operator, Refusal> {
        if let Some(Token::Name(word)) = self.peek()
            && let Some(operator) = Operator::read(word)
        {
            self.at += 1;
            return Ok(operator);
        }
        Err(self.syntax_error())
    }

    fn literal(&mut self) -> Result<Literal, Refusal> {
        match self.next() {
            Some(Token::Literal(literal)) => Ok(literal.clone()),
            _ => {
                self.at -= 1;
                Err(self.syntax_error())
            }
        }
    }

    /// A literal that can be compared with what stands at the target, ready to compare.
    fn compared(&mut self, target: &Target, operator: Operator) -> Result<Literal, Refusal> {
        let literal = self.literal()?;
        let fits = match (target.kind, &literal) {
            (Kind::Complex(_) | Kind::Open | Kind::List(_) | Kind::Binary | Kind::Duration, _) => {
                return Err(unsupported_clause(target, self.entity));
            }
            (_, Literal::Null) => true,
            (Kind::Enum(words), Literal::Text(word)) => {
                if !words.iter().any(|known| known.eq_ignore_ascii_case(word)) {
                    return Err(invalid(format!(
                        "The string '{word}' is not a valid enumeration type constant."
                    )));
                }
                true
            }
            (Kind::Text(_) | Kind::Word(_), Literal::Text(_))
            | (Kind::Guid, Literal::Guid(_))
            | (Kind::Bool, Literal::Bool(_))
            | (Kind::Int, Literal::Int(_) | Literal::Decimal(_))
            | (Kind::DateTime, Literal::Moment(_)) => true,
            (
                Kind::Text(_)
                | Kind::Word(_)
                | Kind::Enum(_)
                | Kind::Guid
                | Kind::Bool
                | Kind::Int
                | Kind::DateTime,
                _,
            ) => false,
        };
        if !fits {
            return Err(incompatible(&target.kind.edm(), &literal, operator));
        }
        Ok(match literal {
            Literal::Text(text) => Literal::Text(fold(&text)),
            Literal::Guid(text) => Literal::Guid(fold(&text)),
            other @ (Literal::Null
            | Literal::Bool(_)
            | Literal::Int(_)
            | Literal::Decimal(_)
            | Literal::Moment(_)) => other,
        })
    }

    fn need_advanced(&self, refusal: impl FnOnce() -> Refusal) -> Result<(), Refusal> {
        match (self.entity.service, self.advanced) {
            (Service::Directory | Service::Settings, Advanced::No) => Err(refusal()),
            (Service::Directory | Service::Settings, Advanced::Yes)
            | (Service::Security | Service::Partner, _) => Ok(()),
        }
    }

    fn check_support(&self, support: Support, target: &Target) -> Result<(), Refusal> {
        match support {
            Support::Always => Ok(()),
            Support::Advanced => self.need_advanced(|| unsupported_clause(target, self.entity)),
            Support::Never if target.filter == schema::Filter::NONE => {
                Err(Refusal::unsupported_query(
                    "The request uses a filter property that is not indexed.",
                ))
            }
            Support::Never => Err(unsupported_clause(target, self.entity)),
        }
    }

    fn check_choices(&self, count: usize) -> Result<(), Refusal> {
        if count > MAX_CHOICES {
            return Err(Refusal::unsupported_query(format!(
                "Too many child clauses specified in search filter expression containing 'OR' operators: {count}. Max allowed: {MAX_CHOICES}."
            )));
        }
        Ok(())
    }
}

impl Target {
    fn enter(&mut self, property: &'static Property) {
        self.name = property.name;
        self.kind = &property.kind;
        self.filter = property.filter;
        self.list = match property.kind {
            Kind::List(_) => Some(property),
            _ => None,
        };
    }
}

fn one_or(mut parts: Vec<Filter>, join: fn(Vec<Filter>) -> Filter) -> Filter {
    if parts.len() == 1
        && let Some(only) = parts.pop()
    {
        return only;
    }
    join(parts)
}

fn is_text(kind: &Kind) -> bool {
    matches!(kind, Kind::Text(_) | Kind::Word(_))
}

fn incompatible(left: &str, literal: &Literal, operator: Operator) -> Refusal {
    invalid(format!(
        "A binary operator with incompatible types was detected. Found operand types '{left}' and '{}' for operator kind '{}'.",
        literal.edm(),
        operator.kind()
    ))
}

fn unsupported_clause(target: &Target, entity: &Entity) -> Refusal {
    Refusal::unsupported_query(format!(
        "Unsupported or invalid query filter clause specified for property '{}' of resource '{}'.",
        target.name, entity.resource
    ))
}

/// <https://learn.microsoft.com/en-us/graph/aad-advanced-queries>, "Error handling".
fn operator_needs_header(operator: &str) -> Refusal {
    Refusal::unsupported_query(format!(
        "Operator '{operator}' is not supported because the required parameters might be missing. Try adding $count=true query parameter and ConsistencyLevel:eventual header. Refer to https://aka.ms/graph-docs/advanced-queries for more information"
    ))
}
