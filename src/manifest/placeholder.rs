//! `{key} {name} {domain} {id}` in a text.

use super::mistakes::Wrong;

/// What a placeholder may stand for. A field that holds nothing is a value that is missing; a
/// name that is not here is unknown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Values<'v> {
    /// Each placeholder that is known here, with its value where there is one.
    pub(super) known: &'v [(&'static str, Option<&'v str>)],
}

/// Why a text cannot be filled in.
#[derive(Debug)]
pub(super) enum Unfilled {
    /// The text itself is wrong, whoever it is filled in for.
    Text(Wrong),
    /// This placeholder has no value here.
    Missing(&'static str),
}

impl Values<'_> {
    /// Fills the placeholders in, once: braces within a value are left as they are.
    ///
    /// # Errors
    /// A placeholder nobody knows, one without a value, or a brace that stands alone.
    pub(super) fn fill(&self, text: &str) -> Result<String, Unfilled> {
        let mut out = String::new();
        let mut rest = text;
        while let Some(brace) = rest.find(['{', '}']) {
            out.push_str(&rest[..brace]);
            let inner = rest[brace..].strip_prefix('{').and_then(|open| open.split_once('}'));
            let Some((name, tail)) = inner else {
                return Err(Unfilled::Text(self.names(Wrong::new("a brace stands alone"))));
            };
            let Some((known, value)) = self.known.iter().find(|(known, _)| *known == name) else {
                let what =
                    format!("the placeholder `{{{}}}` is not known here", super::tree::shown(name));
                return Err(Unfilled::Text(self.names(Wrong::new(what))));
            };
            out.push_str(value.ok_or(Unfilled::Missing(known))?);
            rest = tail;
        }
        out.push_str(rest);
        Ok(out)
    }

    fn names(&self, wrong: Wrong) -> Wrong {
        let names: Vec<_> = self.known.iter().map(|(name, _)| format!("{{{name}}}")).collect();
        wrong.label(format!("known here: {}", names.join(" ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_filled_once_and_what_has_no_value_is_named() {
        let values = Values { known: &[("key", Some("a")), ("name", Some("{key}")), ("id", None)] };
        assert_eq!(values.fill("x {key} {name} y").unwrap(), "x a {key} y");
        assert!(matches!(values.fill("{id}"), Err(Unfilled::Missing("id"))));
        for text in ["{", "}", "{other}", "{key", "key}", "{ key }", "{{key}}"] {
            assert!(matches!(values.fill(text), Err(Unfilled::Text(_))), "{text}");
        }
    }
}
