//! Sections: what serde_yaml is given at a time.

use std::fmt;

use serde::de::{DeserializeSeed as _, Deserializer as _, MapAccess, Visitor};

use crate::manifest::{
    mistakes::Wrong,
    tree::{Kind, Trust, shown},
};

use super::{
    At, Cx, Field,
    step::{Read, Seed, next_key_is, no_more_keys, no_value},
};

/// The most bytes of one section: what serde_yaml holds of it is about ten times that.
const LARGEST: usize = 256 * 1024;
/// About how many bytes are read at once: a parser of its own for each of 100,000 tenants costs
/// more than their text.
const AT_ONCE: usize = 16 * 1024;

impl Cx<'_> {
    /// Reads one section with serde_yaml; nothing where it was reported before.
    pub(in crate::manifest) fn section<T: Read>(&mut self, at: At) -> Field<T> {
        let tree = self.tree(at);
        let wrong = Field { at: Some(at), value: None };
        if tree.trust(at.node) == Trust::Reported {
            return wrong;
        }
        if tree.is_null(at.node) {
            let value = T::empty();
            if value.is_none() {
                self.wrong(at, no_value(T::SHAPE));
            }
            return Field { at: Some(at), value };
        }
        let span = tree.span(at.node);
        if span.len() > LARGEST {
            let most = LARGEST / 1024;
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
        match Seed::new(self, at).deserialize(serde_yaml::Deserializer::from_str(&text)) {
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

    /// Reads the sections under several keys of one map: as many of the first ones as can be read
    /// at once, but at least one.
    pub(in crate::manifest) fn sections<T: Read>(&mut self, entries: &[(At, At)]) -> Vec<Field<T>> {
        let together = &entries[..self.together(entries)];
        let ([(first, _), ..], [.., (_, last)]) = (together, together) else { return Vec::new() };
        if together.len() > 1 {
            let tree = self.tree(*first);
            let span = tree.line_start(first.node)..tree.span(last.node).end;
            let text = &tree.source()[span];
            let walk = Walk::<T> { cx: self, entries: together, fields: Vec::new() };
            if let Ok(fields) = serde_yaml::Deserializer::from_str(text).deserialize_map(walk) {
                return fields;
            }
        }
        // By itself each section shows whether it is the one that cannot be read.
        together.iter().map(|(_, at)| self.section(*at)).collect()
    }

    /// How many of the first entries stand one after the other as a block of lines.
    fn together(&self, entries: &[(At, At)]) -> usize {
        let Some((first, _)) = entries.first() else { return 0 };
        let tree = self.tree(*first);
        let start = tree.span(first.node).start;
        let indent = &tree.source()[tree.line_start(first.node)..start];
        if !indent.bytes().all(|b| b == b' ') {
            return 1;
        }
        let mut count = 0;
        let mut before: Option<At> = None;
        for (key, at) in entries {
            let plain = tree.trust(at.node) == Trust::Sound
                && tree.kind(at.node) == Kind::Map
                && tree.span(at.node).end - start <= AT_ONCE
                && before.is_none_or(|before| tree.next(before.node) == Some(key.node));
            if !plain {
                break;
            }
            count += 1;
            before = Some(*at);
        }
        count.max(1)
    }
}

/// Reads neighbouring sections in step with their nodes.
struct Walk<'c, 't, 'e, T> {
    cx: &'c mut Cx<'t>,
    entries: &'e [(At, At)],
    fields: Vec<Field<T>>,
}

impl<'de, T: Read> Visitor<'de> for Walk<'_, '_, '_, T> {
    type Value = Vec<Field<T>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let Self { cx, entries, mut fields } = self;
        for (key, at) in entries {
            next_key_is(&mut map, cx.tree(*key).text(key.node))?;
            let value = map.next_value_seed(Seed::new(cx, *at))?;
            fields.push(Field { at: Some(*at), value });
        }
        no_more_keys(&mut map)?;
        Ok(fields)
    }
}
