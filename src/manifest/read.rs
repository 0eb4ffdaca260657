//! From a node to a value: serde_yaml reads, the guard's tree says where, and one wrong value
//! hides no other.
//!
//! A section (one tenant, `defaults`, one shared app, …) is handed to serde_yaml by itself, so
//! that 100,000 tenants never stand in memory as YAML events, and it is read in step with the
//! tree: each value is read by the seed of the field it belongs to, a value of the wrong shape is
//! reported and stepped over.

use std::{collections::BTreeMap, fmt, marker::PhantomData};

use serde::{
    Deserialize as _,
    de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Value, json};

use super::{
    mistakes::{Log, Wrong},
    tree::{Kind, NodeId, Tree, Trust, shown},
};

/// The most bytes of one section: what serde_yaml holds of it is about ten times that.
const LARGEST_SECTION: usize = 256 * 1024;

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
    pub(super) fn wrong(&mut self, at: At, mut wrong: Wrong) {
        let tree = self.tree(at);
        wrong.lead(&tree.path(at.node));
        self.log.at(tree, at.node, wrong);
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

    /// Reads one section with serde_yaml; nothing where it is not a map or was reported before.
    pub(super) fn section<T: Read>(&mut self, at: At) -> Field<T> {
        let tree = self.tree(at);
        let wrong = Field { at: Some(at), value: None };
        if tree.trust(at.node) == Trust::Reported {
            return wrong;
        }
        if tree.is_null(at.node) {
            return Field { at: Some(at), value: T::empty() };
        }
        let span = tree.span(at.node);
        if span.len() > LARGEST_SECTION {
            let most = LARGEST_SECTION / 1024;
            self.wrong(at, Wrong::new(format!("one section may have at most {most} KiB")));
            return wrong;
        }
        // A block map keeps the indentation of its first line, so that all lines agree.
        let (line, _) = tree.line_and_column(span.start);
        let indent = span.start - tree.line(line).start;
        let mut text = match tree.source().as_bytes().get(span.start) {
            Some(b'{' | b'[' | b'"' | b'\'') => String::new(),
            _ => " ".repeat(indent.min(1024)),
        };
        text.push_str(&tree.source()[span]);
        let seed = Seed { cx: self, at, kind: PhantomData::<T> };
        match seed.deserialize(serde_yaml::Deserializer::from_str(&text)) {
            Ok(value) => Field { at: Some(at), value },
            Err(error) => {
                // The guard's parser took it and serde_yaml does not: two readers would see two
                // manifests, so neither is believed.
                let error = shown(&error.to_string());
                self.wrong(
                    at,
                    Wrong::new(format!("YAML readers disagree about this section ({error})"))
                        .help("write it more plainly: texts in double quotes, one field a line"),
                );
                wrong
            }
        }
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

/// A value that can be read from a node.
pub(super) trait Read: Sized {
    /// The shape it must have.
    const SHAPE: Shape;

    /// What it is where YAML has nothing (`defaults:` with all its fields commented out).
    fn empty() -> Option<Self> {
        None
    }

    /// Its part of the JSON Schema.
    fn schema() -> Value;

    /// Reads it; a wrong value is reported and becomes nothing.
    ///
    /// # Errors
    /// Only where serde_yaml sees something else than the guard.
    fn read<'de, D: Deserializer<'de>>(
        cx: &mut Cx<'_>,
        at: At,
        de: D,
    ) -> Result<Option<Self>, D::Error>;
}

/// Reads a `T` in step with a node.
struct Seed<'c, 't, T> {
    cx: &'c mut Cx<'t>,
    at: At,
    kind: PhantomData<T>,
}

impl<'de, T: Read> DeserializeSeed<'de> for Seed<'_, '_, T> {
    type Value = Option<T>;

    fn deserialize<D: Deserializer<'de>>(self, de: D) -> Result<Option<T>, D::Error> {
        let Self { cx, at, kind: _ } = self;
        let tree = cx.tree(at);
        let found = match tree.kind(at.node) {
            Kind::Plain | Kind::Quoted => Shape::Scalar,
            Kind::Map => Shape::Map,
            Kind::List => Shape::List,
            Kind::Alias => {
                IgnoredAny::deserialize(de)?;
                return Ok(None);
            }
        };
        if tree.is_null(at.node) {
            IgnoredAny::deserialize(de)?;
            let empty = T::empty();
            if empty.is_none() {
                let wrong = Wrong::new("has no value").label(match T::SHAPE {
                    Shape::List => "write `[]` for an empty list, or leave the field out",
                    Shape::Scalar | Shape::Map => "leave the field out, or give it a value",
                });
                cx.wrong(at, wrong);
            }
            return Ok(empty);
        }
        if found == T::SHAPE {
            return T::read(cx, at, de);
        }
        IgnoredAny::deserialize(de)?;
        let mut wrong =
            Wrong::new(format!("expected {}, found {}", T::SHAPE.words(), found.words()));
        let text = &tree.source()[tree.span(at.node)];
        wrong = match (T::SHAPE, found) {
            (Shape::Scalar, Shape::Map) if text.starts_with('{') => {
                let line = shown(text.lines().next().unwrap_or_default());
                wrong.help(format!("a text that begins with `{{` stands in quotes: \"{line}\""))
            }
            (Shape::Scalar, Shape::List) if text.starts_with('[') => {
                wrong.help("leave the brackets out, or put the whole text in quotes")
            }
            (Shape::List, Shape::Scalar) => {
                wrong.help(format!("a list of one is [\"{}\"]", shown(tree.text(at.node))))
            }
            _ => wrong,
        };
        cx.wrong(at, wrong);
        Ok(None)
    }
}

impl<'de, T: Read> Field<T> {
    /// Reads a field's value in step with its node.
    pub(super) fn next<A: MapAccess<'de>>(
        cx: &mut Cx<'_>,
        at: At,
        map: &mut A,
    ) -> Result<Self, A::Error> {
        let value = map.next_value_seed(Seed { cx, at, kind: PhantomData })?;
        // `secret:` with nothing beneath is as if it were not there.
        let tree = cx.tree(at);
        if tree.is_null(at.node) && value.is_some() {
            return Ok(Self::default());
        }
        Ok(Self { at: Some(at), value })
    }
}

/// A scalar's text as serde_yaml reads it: `1.10`, `no` and `true` are what stands there.
struct Text;

impl Visitor<'_> for Text {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }
}

/// Reads the text of a scalar.
pub(super) fn text<'de, D: Deserializer<'de>>(de: D) -> Result<String, D::Error> {
    de.deserialize_str(Text)
}

/// A value that is written as one text.
pub(super) trait Leaf: Sized {
    /// Its part of the JSON Schema.
    fn schema() -> Value;

    /// Takes the text, or says what is wrong with it.
    fn take(text: String) -> Result<Self, Wrong>;
}

impl<T: Leaf> Read for T {
    const SHAPE: Shape = Shape::Scalar;

    fn schema() -> Value {
        T::schema()
    }

    fn read<'de, D: Deserializer<'de>>(
        cx: &mut Cx<'_>,
        at: At,
        de: D,
    ) -> Result<Option<Self>, D::Error> {
        let text = text(de)?;
        if let Some(control) = text.chars().find(|c| c.is_control()) {
            let code = u32::from(control);
            let what = match control {
                '\n' => "must be one line".to_owned(),
                _ => format!("holds the control character U+{code:04X}"),
            };
            cx.wrong(at, Wrong::new(what));
            return Ok(None);
        }
        match T::take(text) {
            Ok(value) => Ok(Some(value)),
            Err(wrong) => {
                cx.wrong(at, wrong);
                Ok(None)
            }
        }
    }
}

/// A list.
#[derive(Debug, Clone)]
pub(super) struct List<T> {
    /// The items that could be read.
    pub(super) items: Vec<Item<T>>,
    /// How many could not; they were reported.
    pub(super) wrong: usize,
}

impl<T: Read> Read for List<T> {
    const SHAPE: Shape = Shape::List;

    fn schema() -> Value {
        json!({ "type": "array", "items": T::schema() })
    }

    fn read<'de, D: Deserializer<'de>>(
        cx: &mut Cx<'_>,
        at: At,
        de: D,
    ) -> Result<Option<Self>, D::Error> {
        struct Items<'c, 't, T>(&'c mut Cx<'t>, At, PhantomData<T>);

        impl<'de, T: Read> Visitor<'de> for Items<'_, '_, T> {
            type Value = Option<List<T>>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let Self(cx, at, _) = self;
                let tree = cx.tree(at);
                let mut list = List { items: Vec::new(), wrong: 0 };
                for node in tree.children(at.node) {
                    let at = At { file: at.file, node };
                    let item = seq.next_element_seed(Seed { cx, at, kind: PhantomData::<T> })?;
                    match item.ok_or_else(|| A::Error::custom("fewer items"))? {
                        Some(value) => list.items.push(Item { at, value }),
                        None => list.wrong += 1,
                    }
                }
                if seq.next_element::<IgnoredAny>()?.is_some() {
                    return Err(A::Error::custom("more items"));
                }
                Ok(Some(list))
            }
        }

        de.deserialize_seq(Items(cx, at, PhantomData))
    }
}

/// A map whose keys are the user's own.
#[derive(Debug, Clone)]
pub(super) struct Words<T> {
    /// What could be read, by its key.
    pub(super) words: BTreeMap<String, Item<T>>,
    /// How many could not; they were reported.
    pub(super) wrong: usize,
}

impl<T: Read> Read for Words<T> {
    const SHAPE: Shape = Shape::Map;

    fn empty() -> Option<Self> {
        Some(Self { words: BTreeMap::new(), wrong: 0 })
    }

    fn schema() -> Value {
        json!({ "type": "object", "additionalProperties": T::schema() })
    }

    fn read<'de, D: Deserializer<'de>>(
        cx: &mut Cx<'_>,
        at: At,
        de: D,
    ) -> Result<Option<Self>, D::Error> {
        in_step(cx, at, de, Self { words: BTreeMap::new(), wrong: 0 }).map(Some)
    }
}

impl<T: Read> Entries for Words<T> {
    fn entry<'de, A: MapAccess<'de>>(
        &mut self,
        cx: &mut Cx<'_>,
        key: At,
        at: At,
        map: &mut A,
    ) -> Result<(), A::Error> {
        match map.next_value_seed(Seed { cx, at, kind: PhantomData::<T> })? {
            Some(value) => {
                let key = cx.tree(key).text(key.node).to_owned();
                self.words.insert(key, Item { at, value });
            }
            None => self.wrong += 1,
        }
        Ok(())
    }
}

/// Takes the entries of a map one by one.
pub(super) trait Entries {
    /// Takes one entry: must read exactly one value from the map.
    ///
    /// # Errors
    /// Only where serde_yaml sees something else than the guard.
    fn entry<'de, A: MapAccess<'de>>(
        &mut self,
        cx: &mut Cx<'_>,
        key: At,
        at: At,
        map: &mut A,
    ) -> Result<(), A::Error>;
}

/// Walks a map of serde_yaml's and a map of the guard's tree together.
///
/// # Errors
/// Where the two differ.
pub(super) fn in_step<'de, D: Deserializer<'de>, E: Entries>(
    cx: &mut Cx<'_>,
    at: At,
    de: D,
    entries: E,
) -> Result<E, D::Error> {
    struct Walk<'c, 't, E>(&'c mut Cx<'t>, At, E);

    impl<'de, E: Entries> Visitor<'de> for Walk<'_, '_, E> {
        type Value = E;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a map")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<E, A::Error> {
            let Self(cx, at, mut entries) = self;
            let tree = cx.tree(at);
            for (key, value) in tree.entries(at.node) {
                if map.next_key::<String>()?.as_deref() != Some(tree.text(key)) {
                    return Err(A::Error::custom("another key"));
                }
                if tree.trust(key) == Trust::Reported {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
                let (key, value) =
                    (At { file: at.file, node: key }, At { file: at.file, node: value });
                entries.entry(cx, key, value, &mut map)?;
            }
            match map.next_key::<String>()? {
                None => Ok(entries),
                Some(_) => Err(A::Error::custom("more keys")),
            }
        }
    }

    de.deserialize_map(Walk(cx, at, entries))
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
