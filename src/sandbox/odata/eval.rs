//! Does a resource match a filter?

use std::cmp::Ordering;

use serde_json::Value;

use super::fold;
use super::token::Literal;
use super::tree::{Affix, Filter, Operator};

impl Filter {
    /// Does this resource, or inside `any` this element, match?
    pub(super) fn matches(&self, item: &Value) -> bool {
        match self {
            Filter::Or(choices) => choices.iter().any(|choice| choice.matches(item)),
            Filter::And(parts) => parts.iter().all(|part| part.matches(item)),
            Filter::Not(inner) => !inner.matches(item),
            Filter::Compare { path, operator, literal } => {
                compare(at(item, path), *operator, literal)
            }
            Filter::In { path, literals } => {
                let value = at(item, path);
                literals.iter().any(|literal| compare(value, Operator::Eq, literal))
            }
            Filter::Affix { path, affix, text } => {
                at(item, path).as_str().is_some_and(|value| match affix {
                    Affix::Start => fold(value).starts_with(text.as_str()),
                    Affix::End => fold(value).ends_with(text.as_str()),
                })
            }
            Filter::Any { path, body } => elements(at(item, path)).iter().any(|e| body.matches(e)),
            Filter::Count { path, operator, number } => {
                let count = elements(at(item, path)).len();
                i64::try_from(count).is_ok_and(|count| holds(*operator, count.cmp(number)))
            }
        }
    }
}

/// What stands at a path; null where there is nothing.
pub(super) fn at<'a>(item: &'a Value, path: &[&str]) -> &'a Value {
    path.iter().fold(item, |value, name| value.get(name).unwrap_or(&Value::Null))
}

fn elements(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Null equals null only, and is neither more nor less than anything (OData 4.01, part 2,
/// section 5.1.1.1).
fn compare(value: &Value, operator: Operator, literal: &Literal) -> bool {
    let equals_null = *literal == Literal::Null;
    if value.is_null() || equals_null {
        return match operator {
            Operator::Eq => value.is_null() == equals_null,
            Operator::Ne => value.is_null() != equals_null,
            Operator::Gt | Operator::Ge | Operator::Lt | Operator::Le => false,
        };
    }
    match ordering(value, literal) {
        Some(ordering) => holds(operator, ordering),
        // Values of another type than the table says are equal to nothing.
        None => operator == Operator::Ne,
    }
}

fn ordering(value: &Value, literal: &Literal) -> Option<Ordering> {
    match literal {
        Literal::Null => None,
        Literal::Bool(wanted) => Some(value.as_bool()?.cmp(wanted)),
        Literal::Int(wanted) => Some(value.as_i64()?.cmp(wanted)),
        Literal::Decimal(wanted) => value.as_f64()?.partial_cmp(wanted),
        Literal::Text(wanted) | Literal::Guid(wanted) => {
            let text = value.as_str()?;
            if text.is_ascii() && text.eq_ignore_ascii_case(wanted) {
                return Some(Ordering::Equal);
            }
            Some(fold(text).as_str().cmp(wanted))
        }
        Literal::Moment(wanted) => {
            Some(value.as_str()?.parse::<jiff::Timestamp>().ok()?.cmp(wanted))
        }
    }
}

fn holds(operator: Operator, ordering: Ordering) -> bool {
    match operator {
        Operator::Eq => ordering.is_eq(),
        Operator::Ne => ordering.is_ne(),
        Operator::Gt => ordering.is_gt(),
        Operator::Ge => ordering.is_ge(),
        Operator::Lt => ordering.is_lt(),
        Operator::Le => ordering.is_le(),
    }
}
