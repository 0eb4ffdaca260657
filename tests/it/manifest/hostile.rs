//! Input that means harm: each ends in a placed error, soon.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use tenantry::manifest::{self, Mistakes};

use super::HEADER;

const MIB: usize = 1024 * 1024;

/// The promise is 2 s for a release build; unoptimised code on a busy machine takes ten times that.
const SOON: Duration = Duration::from_secs(if cfg!(debug_assertions) { 60 } else { 2 });

fn refused(bytes: impl Into<Vec<u8>>) -> Mistakes {
    let begun = Instant::now();
    let mistakes =
        manifest::parse(vec![(PathBuf::from("hostile.yaml"), bytes.into())]).unwrap_err();
    let took = begun.elapsed();
    assert!(took < SOON, "{took:?}: {mistakes}");
    for mistake in mistakes.list() {
        assert!(mistake.place.line > 0 && mistake.place.column > 0);
    }
    let shown = mistakes.render(false, 80);
    assert!(shown.len() < 1000 * 2000, "a screen of {} bytes", shown.len());
    mistakes
}

/// What is said of the first mistake, with its place.
fn first(bytes: impl Into<Vec<u8>>) -> String {
    let mistakes = refused(bytes);
    let first = &mistakes.list()[0];
    format!("{}:{} {}", first.place.line, first.place.column, first.what)
}

#[test]
fn nesting_ends_early() {
    for text in [
        "[".repeat(100_000),
        "{".repeat(100_000),
        format!("a: {}", "[".repeat(100_000)),
        "{a: ".repeat(100_000),
        "- ".repeat(100_000),
        "? ".repeat(100_000),
        "a:\n".to_owned() + &(1..2000).map(|n| " ".repeat(n) + "a:\n").collect::<String>(),
    ] {
        let said = first(text.as_str());
        let known = ["recursion limit", "nested more than 32", "a key must be a text"];
        assert!(known.iter().any(|known| said.contains(known)), "{said}");
    }
    assert_eq!(
        first("a: ".to_owned() + &"{a: ".repeat(100_000)),
        "1:128 maps and lists are nested more than 32 deep"
    );
}

#[test]
fn aliases_are_never_followed() {
    let mut bomb = "a0: &a0 [x, x]\n".to_owned();
    for n in 1..64 {
        bomb += &format!("a{n}: &a{n} [*a{m}, *a{m}]\n", m = n - 1);
    }
    let mistakes = refused(bomb);
    assert!(mistakes.list().iter().any(|m| m.what == "aliases such as `*a0` are not read"));

    let long = format!("a: &a \"{}\"\nb:\n{}", "x".repeat(MIB), "  - *a\n".repeat(400));
    assert!(first(long).starts_with("1:2 256 KiB go by from here"));
}

#[test]
fn size_has_a_limit_over_all_files() {
    let big = "a: b\n".to_owned() + &"#".repeat(17 * MIB);
    assert!(first(big).starts_with("1:1 a manifest may have at most 16 MiB"));

    let half = format!("version: 1\n{}", "# comment\n".repeat(20_000)).into_bytes();
    let many = (0..90).map(|n| (PathBuf::from(format!("{n}.yaml")), half.clone())).collect();
    let mistakes = manifest::parse(many).unwrap_err();
    let too_many = mistakes.list().iter().filter(|m| m.what.contains("16 MiB")).count();
    assert_eq!(too_many, 90 - 16 * MIB / half.len());
}

#[test]
fn long_lists_cost_little() {
    let list = format!("[{}1]", "1,".repeat(8 * MIB - 16));
    assert!(first(list.as_str()).starts_with("1:1 256 KiB go by from here"));
    let said = first(format!("version: {list}"));
    assert!(said.ends_with("the file holds more than 4000000 values"), "{said}");

    let uris: String = (0..20_000).map(|n| format!("    - https://a.example/{n}\n")).collect();
    let said = first(format!("{HEADER}tenants:\n  a:\n    redirectUris:\n{uris}"));
    assert_eq!(said, "7:3 one section may have at most 256 KiB");
}

#[test]
fn mistakes_without_number_stop_at_a_thousand() {
    let tenants: String = (0..200_000).map(|n| format!("  a{n}:\n")).collect();
    for text in [
        "a: 1\n".repeat(300_000),
        "a: &x 1\n".repeat(300_000),
        format!("{HEADER}tenants:\n{tenants}"),
    ] {
        let mistakes = refused(text);
        assert_eq!(mistakes.list().len(), 1000);
        assert!(mistakes.there_are_more());
        assert_eq!(
            mistakes.headline(),
            "more than 1000 mistakes in hostile.yaml, nothing was contacted"
        );
    }
}

#[test]
fn nothing_is_read_behind_a_gap() {
    // Were the gap taken for the end, the second tenant would be an orphan.
    let gap = "# comment\n".repeat(30_000);
    let text =
        format!("{HEADER}tenants:\n  a: {{domain: a.example}}\n{gap}  b: {{domain: b.example}}\n");
    assert!(first(text).starts_with("7:25 256 KiB go by from here"));
}

#[test]
fn bytes_that_are_no_text_are_placed() {
    let header = HEADER.as_bytes();
    let with = |tail: &[u8]| [header, tail].concat();
    for (bytes, said) in [
        (Vec::new(), "1:1 the file is empty, or holds nothing but comments"),
        (b"\n\n  \n".to_vec(), "1:1 the file is empty, or holds nothing but comments"),
        (b"---\n".to_vec(), "1:1 the file is empty, or holds nothing but comments"),
        (b"~".to_vec(), "1:1 the file is empty, or holds nothing but comments"),
        ("\u{feff}".into(), "1:1 the file is empty, or holds nothing but comments"),
        (b"\xff\xfev\0e\0".to_vec(), "1:1 the file is UTF-16, a manifest is UTF-8"),
        (with(b"a: b\0\n"), "6:5 the file holds a NUL character"),
        (with(b"a: \xff\n"), "6:3 the byte 0xff is not UTF-8"),
        (
            with("\u{e9}: \u{e9}\u{feff}".as_bytes()),
            "6:5 a byte-order mark stands within the file, it may only begin it",
        ),
        (with(b"a: \x1b[31m\n"), "6:4 the control character U+001B is not allowed"),
        (
            with("a: b\u{2028}c: d".as_bytes()),
            "6:5 the character U+2028 ends a line to some YAML readers and not to others",
        ),
        (with(b"tenants:\n\ta: b\n"), "7:1 a tab is used as indentation"),
        (with(b"--- \nversion: 1\n"), "6:1 a second YAML document begins here"),
        (b"just a text".to_vec(), "1:1 a manifest is a map of fields, this file is not"),
        (b"[1, 2]".to_vec(), "1:1 a manifest is a map of fields, this file is not"),
    ] {
        assert_eq!(first(bytes.clone()), said, "{:?}", String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn a_hundred_thousand_tenants_are_accepted() {
    // Unoptimised, a fifth of them says as much in a fifth of the time.
    let count = if cfg!(debug_assertions) { 20_000 } else { 100_000 };
    let tenants: String = (0..count)
        .map(|n| format!("  t{n}:\n    name: Tenant {n}\n    domain: t{n}.example\n    labels: {{region: eu}}\n"))
        .collect();
    let begun = Instant::now();
    let text = format!("{HEADER}tenants:\n{tenants}");
    let manifest = manifest::parse(vec![("many.yaml".into(), text.into_bytes())]).unwrap();
    assert_eq!((manifest.tenants.len(), manifest.apps.len()), (count, count));
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
}

/// The address space of the whole process is capped, so that a parser that buffers its input a
/// hundredfold is caught, whatever the machine has.
#[cfg(target_os = "linux")]
#[test]
fn memory_is_bounded() {
    use std::process::{Command, Stdio};

    let dir = tempfile::tempdir().unwrap();
    let long = "x".repeat(MIB);
    for (name, text) in [
        ("list.yaml", format!("[{}1]", "1,".repeat(8 * MIB - 16))),
        ("lines.yaml", format!("version:\n{}", "- 1\n".repeat(4 * MIB - 16))),
        ("braces.yaml", "{".repeat(100_000)),
        ("alias.yaml", format!("a: &a \"{long}\"\nb:\n{}", "  - *a\n".repeat(400))),
    ] {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        // 300 MB, and what a process reserves without using it (stacks and arenas of threads).
        let status = Command::new("sh")
            .args(["-c", "ulimit -v 600000; exec \"$0\" validate -f \"$1\""])
            .arg(env!("CARGO_BIN_EXE_tenantry"))
            .arg(&path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert_eq!(status.code(), Some(65), "{name}");
    }
}
