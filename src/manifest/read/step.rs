//! Walking serde_yaml's values and the guard's tree together.

use std::{collections::BTreeMap, fmt, marker::PhantomData};

use serde::{
    Deserialize as _,
    de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Value, json};

use crate::manifest::{
    mistakes::Wrong,
    tree::{Kind, Trust, shown},
};

use super::{At, Cx, Field, Item, Shape};

/// A value that can be read from a node.
pub(in crate::manifest) trait Read: Sized {
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
pub(super) struct Seed<'c, 't, T> {
    cx: &'c mut Cx<'t>,
    at: At,
    kind: PhantomData<T>,
}

impl<'c, 't, T> Seed<'c, 't, T> {
    /// Reads this node.
    pub(super) fn new(cx: &'c mut Cx<'t>, at: At) -> Self {
        Self { cx, at, kind: PhantomData }
    }
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
                cx.wrong(at, no_value(T::SHAPE));
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
    pub(in crate::manifest) fn next<A: MapAccess<'de>>(
        cx: &mut Cx<'_>,
        at: At,
        map: &mut A,
    ) -> Result<Self, A::Error> {
        let value = map.next_value_seed(Seed::new(cx, at))?;
        // `secret:` with nothing beneath is as if it were not there.
        let tree = cx.tree(at);
        if tree.is_null(at.node) && value.is_some() {
            return Ok(Self::default());
        }
        Ok(Self { at: Some(at), value })
    }
}

/// What to say of a field without a value.
pub(super) fn no_value(wanted: Shape) -> Wrong {
    Wrong::new("has no value").label(match wanted {
        Shape::List => "write `[]` for an empty list, or leave the field out",
        Shape::Scalar | Shape::Map => "leave the field out, or give it a value",
    })
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
pub(in crate::manifest) fn text<'de, D: Deserializer<'de>>(de: D) -> Result<String, D::Error> {
    de.deserialize_str(Text)
}

/// A value that is written as one text.
pub(in crate::manifest) trait Leaf: Sized {
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
        if let Some((before, steers)) =
            text.chars().enumerate().find(|(_, c)| crate::text::steers(*c))
        {
            let (code, nth) = (u32::from(steers), before + 1);
            let what = match steers {
                '\n' => "must be one line".to_owned(),
                c if c.is_control() => format!("holds the control character U+{code:04X}"),
                _ => format!("holds the invisible character U+{code:04X} (character {nth})"),
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
pub(in crate::manifest) struct List<T> {
    /// The items that could be read.
    pub(in crate::manifest) items: Vec<Item<T>>,
    /// How many could not; they were reported.
    pub(in crate::manifest) wrong: usize,
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
                    let item = seq.next_element_seed(Seed::<T>::new(cx, at))?;
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
pub(in crate::manifest) struct Words<T> {
    /// What could be read, by its key.
    pub(in crate::manifest) words: BTreeMap<String, Item<T>>,
    /// How many could not; they were reported.
    pub(in crate::manifest) wrong: usize,
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
        match map.next_value_seed(Seed::<T>::new(cx, at))? {
            Some(value) => {
                let key = cx.tree(key).text(key.node).to_owned();
                self.words.insert(key, Item { at, value });
            }
            None => self.wrong += 1,
        }
        Ok(())
    }
}

/// A key that should be this text.
struct Key<'k>(&'k str);

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, de: D) -> Result<(), D::Error> {
        de.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the key `{}`", shown(self.0))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        if text == self.0 { Ok(()) } else { Err(E::custom("another key")) }
    }
}

/// Reads the next key of a map.
///
/// # Errors
/// Where it is another one, or there is none.
pub(super) fn next_key_is<'de, A: MapAccess<'de>>(map: &mut A, key: &str) -> Result<(), A::Error> {
    map.next_key_seed(Key(key))?.ok_or_else(|| A::Error::custom("fewer keys"))
}

/// Reads the end of a map.
///
/// # Errors
/// Where there is another key.
pub(super) fn no_more_keys<'de, A: MapAccess<'de>>(map: &mut A) -> Result<(), A::Error> {
    match map.next_key::<IgnoredAny>()? {
        None => Ok(()),
        Some(_) => Err(A::Error::custom("more keys")),
    }
}

/// Takes the entries of a map one by one.
pub(in crate::manifest) trait Entries {
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
pub(in crate::manifest) fn in_step<'de, D: Deserializer<'de>, E: Entries>(
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
                next_key_is(&mut map, tree.text(key))?;
                if tree.trust(key) == Trust::Reported {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
                let (key, value) =
                    (At { file: at.file, node: key }, At { file: at.file, node: value });
                entries.entry(cx, key, value, &mut map)?;
            }
            no_more_keys(&mut map)?;
            Ok(entries)
        }
    }

    de.deserialize_map(Walk(cx, at, entries))
}
