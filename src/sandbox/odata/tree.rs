//! What `$filter` says, as a tree.

use super::token::Literal;

/// A filter whose names and types are in order.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Filter {
    Or(Vec<Filter>),
    And(Vec<Filter>),
    Not(Box<Filter>),
    Compare { path: Path, operator: Operator, literal: Literal },
    In { path: Path, literals: Vec<Literal> },
    Affix { path: Path, affix: Affix, text: String },
    Any { path: Path, body: Box<Filter> },
    Count { path: Path, operator: Operator, number: i64 },
}

/// Members to go through, from the resource or, inside `any`, from one element. Empty is
/// the element itself.
pub(super) type Path = Vec<&'static str>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Eq,
    Ne,
    Gt,
    Ge,
    Lt,
    Le,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Affix {
    Start,
    End,
}

impl Operator {
    pub(super) fn read(word: &str) -> Option<Self> {
        Some(match word.to_ascii_lowercase().as_str() {
            "eq" => Operator::Eq,
            "ne" => Operator::Ne,
            "gt" => Operator::Gt,
            "ge" => Operator::Ge,
            "lt" => Operator::Lt,
            "le" => Operator::Le,
            _ => return None,
        })
    }

    /// The name in OData's error texts.
    pub(super) fn kind(self) -> &'static str {
        match self {
            Operator::Eq => "Equal",
            Operator::Ne => "NotEqual",
            Operator::Gt => "GreaterThan",
            Operator::Ge => "GreaterThanOrEqual",
            Operator::Lt => "LessThan",
            Operator::Le => "LessThanOrEqual",
        }
    }
}
