//! From a node to a value: serde_yaml reads, the guard's tree says where, and one wrong value
//! hides no other.
//!
//! A section (one tenant, `defaults`, one shared app, …) is handed to serde_yaml by itself, so
//! that 100,000 tenants never stand in memory as YAML events, and it is read in step with the
//! tree: each value is read by the seed of the field it belongs to, a value of the wrong shape is
//! reported and stepped over.

mod section;
mod step;

use super::{
    mistakes::{Log, Wrong},
    tree::{NodeId, Tree, shown},
};

pub(super) use step::{Entries, Leaf, List, Read, Words, in_step};

/// A node of one of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct At {
    /// Which file, by its place in the list.
    pub(super) file: usize,
    /// Which node of it.
    pub(super) node: NodeId,
}

/// What reading needs: the files and a place for mistakes.
#[derive(Debug)]
pub(super) struct Cx<'t> {
    /// The files in their order.
    pub(super) trees: &'t [Tree],
    /// What was found wrong so far.
    pub(super) log: &'t mut Log,
}

impl<'t> Cx<'t> {
    /// The file of a node.
    pub(super) fn tree(&self, at: At) -> &'t Tree {
        &self.trees[at.file]
    }

    /// Reports a node, its path first: `tenants.contoso.id: …`.
    pub(super) fn wrong(&mut self, at: At, wrong: Wrong) {
        self.log.at(self.tree(at), at.node, wrong.with_path());
    }

    /// Reports a node whose message names it already.
    pub(super) fn wrong_as_said(&mut self, at: At, wrong: Wrong) {
        self.log.at(self.tree(at), at.node, wrong);
    }

    /// Says something about a node that is no mistake.
    pub(super) fn notice(&mut self, at: At, what: impl Into<String>) {
        let tree = self.tree(at);
        self.log.notice(tree, at.node, what.into());
    }

    /// Whether a node stands within another.
    pub(super) fn is_within(&self, at: At, outer: At) -> bool {
        at.file == outer.file && self.tree(at).is_within(at.node, outer.node)
    }

    /// Reports a key that its section does not know.
    pub(super) fn unknown(&mut self, key: At, section: &Section) {
        let tree = self.tree(key);
        let name = shown(tree.text(key.node));
        let parent = match tree.parent(key.node).map(|map| tree.path(map)) {
            None => String::new(),
            Some(path) if path.is_empty() => String::new(),
            Some(path) => format!(" in {path}"),
        };
        let what = format!("unknown field `{name}`{parent}");
        self.wrong_as_said(key, (section.unknown)(tree.text(key.node), what, section.fields));
    }
}

/// A field of a section: absent, wrong (and reported), or there.
#[derive(Debug, Clone)]
pub(super) struct Field<T> {
    /// Where its value stands; absent if the field is.
    pub(super) at: Option<At>,
    /// Its value; absent if the field is, or if it was wrong.
    pub(super) value: Option<T>,
}

impl<T> Default for Field<T> {
    fn default() -> Self {
        Self { at: None, value: None }
    }
}

impl<T> Field<T> {
    /// Its place and value, where it has both.
    pub(super) fn get(&self) -> Option<(At, &T)> {
        Some((self.at?, self.value.as_ref()?))
    }

    /// Its value, or what stands for it where it is absent; nothing if it was wrong.
    pub(super) fn settle(&self, absent: T) -> Option<T>
    where
        T: Clone,
    {
        if self.is_given() { self.value.clone() } else { Some(absent) }
    }

    /// Whether something is written, right or wrong.
    pub(super) fn is_given(&self) -> bool {
        self.at.is_some()
    }

    /// This field, or the other where this one is absent. A wrong field hides the other.
    pub(super) fn or<'f>(&'f self, other: &'f Self) -> &'f Self {
        if self.is_given() { self } else { other }
    }
}

/// A field of a section that merges: the tenant's own, or that of `defaults`.
pub(super) fn pick<S, T: Clone>(
    own: &Field<S>,
    base: &Field<S>,
    field: fn(&S) -> &Field<T>,
) -> Field<T> {
    for section in [own, base] {
        match &section.value {
            Some(value) if field(value).is_given() => return field(value).clone(),
            // The section was wrong as a whole: what it would have said is unknown.
            None if section.is_given() => return Field { at: section.at, value: None },
            Some(_) | None => {}
        }
    }
    Field::default()
}

/// A value with its place.
#[derive(Debug, Clone)]
pub(super) struct Item<T> {
    /// Where it stands.
    pub(super) at: At,
    /// What it is.
    pub(super) value: T,
}

/// What shape YAML must have for a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// A text, a number or a truth value.
    Scalar,
    /// A map.
    Map,
    /// A list.
    List,
}

impl Shape {
    /// The words after `expected`.
    fn words(self) -> &'static str {
        match self {
            Self::Scalar => "a text",
            Self::Map => "a map of fields",
            Self::List => "a list",
        }
    }

    /// The words after a field's name, for shapes that surprise.
    pub(super) fn hint(self) -> &'static str {
        match self {
            Self::Scalar => "",
            Self::Map => " (a map)",
            Self::List => " (a list)",
        }
    }
}

/// What a section is, for messages and the schema.
#[derive(Debug)]
pub(super) struct Section {
    /// Its fields in the order of the documentation.
    pub(super) fields: &'static [FieldName],
    /// What to say of a field it does not know: name, sentence, the fields it knows.
    pub(super) unknown: fn(&str, String, &[FieldName]) -> Wrong,
}

/// A field that a section knows.
#[derive(Debug)]
pub(super) struct FieldName {
    /// Its name.
    pub(super) name: &'static str,
    /// The shape of its value.
    pub(super) shape: Shape,
}
