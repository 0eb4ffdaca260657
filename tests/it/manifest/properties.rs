//! Whatever is in the file: no panic, and each error has a place within it.

use std::path::PathBuf;

use proptest::prelude::*;
use tenantry::manifest;

use super::demo;

/// Reads bytes; says what breaks the law, if anything does.
fn holds(bytes: &[u8]) -> Result<(), TestCaseError> {
    let Err(mistakes) = manifest::parse(vec![(PathBuf::from("any.yaml"), bytes.to_vec())]) else {
        return Ok(());
    };
    prop_assert!(!mistakes.list().is_empty());
    let text = String::from_utf8_lossy(bytes);
    let lines = text.split(['\n', '\r']).count();
    for mistake in mistakes.list() {
        let place = &mistake.place;
        prop_assert!((1..=lines).contains(&place.line), "{place:?} of {lines} lines");
        prop_assert!(place.column >= 1 && place.column <= text.chars().count() + 1, "{place:?}");
        prop_assert!(!mistake.what.is_empty());
        if let Some(excerpt) = &mistake.excerpt {
            prop_assert!(excerpt.text.get(excerpt.span.clone()).is_some(), "{excerpt:?}");
            prop_assert!(!excerpt.text.contains(char::is_control), "{excerpt:?}");
        }
    }
    let shown = mistakes.render(false, 80);
    prop_assert!(shown.matches("  × ").count() >= mistakes.list().len(), "{shown}");
    prop_assert!(!mistakes.to_json().to_string().is_empty());
    Ok(())
}

/// A piece of YAML, or of what a manifest is made of.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "{",
            "}",
            "[",
            "]",
            ":",
            ": ",
            "- ",
            "? ",
            "# ",
            "\n",
            "\n  ",
            "\n    ",
            "\t",
            "\r",
            "'",
            "\"",
            "|",
            ">-",
            "&a ",
            "*a",
            "!t ",
            "<<: ",
            "---\n",
            "...\n",
            "%YAML 1.2\n",
            "~",
            "null",
            ",",
            "\u{feff}",
            "\u{2028}",
            "é",
            "\0",
            "{name}",
            "version: 1",
            "tenants:",
            "defaults:",
            "secret:",
            "lifetime: 1y",
            "redirectUris:",
            "domain: a.example",
            "permissions:",
            "sharedApps:",
            "app: x",
            "1.10",
            "yes",
            "-1",
            "a",
            "https://a.example/",
        ])
        .prop_map(str::to_owned),
        "[ -~]{0,6}",
        "\\PC{0,3}",
    ]
}

/// One change to a text.
#[derive(Debug, Clone)]
enum Change {
    Cut(usize, usize),
    Insert(usize, String),
    Copy(usize, usize, usize),
    Replace(usize, u8),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (any::<usize>(), 0usize..40).prop_map(|(at, n)| Change::Cut(at, n)),
        (any::<usize>(), piece()).prop_map(|(at, text)| Change::Insert(at, text)),
        (any::<usize>(), 0usize..200, any::<usize>()).prop_map(|(a, n, b)| Change::Copy(a, n, b)),
        (any::<usize>(), any::<u8>()).prop_map(|(at, byte)| Change::Replace(at, byte)),
    ]
}

fn apply(bytes: &mut Vec<u8>, change: Change) {
    let len = bytes.len().max(1);
    match change {
        Change::Cut(at, n) => {
            let at = at % len;
            bytes.drain(at.min(bytes.len())..(at + n).min(bytes.len()));
        }
        Change::Insert(at, text) => {
            let at = (at % len).min(bytes.len());
            bytes.splice(at..at, text.into_bytes());
        }
        Change::Copy(from, n, to) => {
            let from = (from % len).min(bytes.len());
            let part = bytes[from..(from + n).min(bytes.len())].to_vec();
            let to = (to % len).min(bytes.len());
            bytes.splice(to..to, part);
        }
        Change::Replace(at, byte) => {
            if let Some(old) = bytes.get_mut(at % len) {
                *old = byte;
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        holds(&bytes)?;
    }

    #[test]
    fn any_pieces_of_yaml(pieces in prop::collection::vec(piece(), 0..60)) {
        holds(pieces.concat().as_bytes())?;
    }

    #[test]
    fn a_valid_manifest_with_changes(changes in prop::collection::vec(change(), 1..6)) {
        let mut bytes = std::fs::read(demo()).unwrap();
        for change in changes {
            apply(&mut bytes, change);
        }
        holds(&bytes)?;
    }

    #[test]
    fn any_value_in_any_field(
        field in prop::sample::select(vec![
            "id", "name", "domain", "labels", "connector", "layout", "audience", "displayName",
            "redirectUris", "permissions", "info", "portalAuthorization", "signInAs", "consent",
            "credential", "federated", "secret", "app", "owners",
        ]),
        pieces in prop::collection::vec(piece(), 0..6),
    ) {
        let value = pieces.concat();
        holds(format!("{}tenants:\n  a:\n    {field}: {value}\n", super::HEADER).as_bytes())?;
        let quoted = value.replace(['\n', '\r', '"', '\\'], " ");
        holds(format!("{}tenants:\n  a: {{domain: a.example, {field}: \"{quoted}\"}}\n", super::HEADER).as_bytes())?;
        holds(format!("{}tenants:\n  a:\n    domain: a.example\n    {field}: [\"{quoted}\"]\n", super::HEADER).as_bytes())?;
    }
}
