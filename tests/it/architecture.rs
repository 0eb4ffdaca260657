//! The house's rules, held by reading the source.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::Command,
};

/// Which room may import which, in the data's order: a room names only rooms above itself, so
/// imports go one way. `sandbox` names none.
const ROOMS: &[(&str, &[&str])] = &[
    ("secret", &[]),
    ("ids", &[]),
    ("lifetime", &[]),
    ("stop", &[]),
    ("shard", &["ids"]),
    ("text", &[]),
    ("sandbox", &[]),
    ("failure", &[]),
    ("verdict", &["stop"]),
    ("cloud", &[]),
    ("registration", &["ids"]),
    ("connector", &["ids", "registration"]),
    ("links", &["cloud", "ids", "registration"]),
    ("inventory", &["failure", "ids", "lifetime", "registration"]),
    ("manifest", &["cloud", "connector", "ids", "lifetime", "registration", "text"]),
    ("http", &["cloud", "failure", "ids", "text"]),
    ("vault", &["failure", "http", "ids", "secret", "shard"]),
    (
        "plan",
        &[
            "cloud",
            "connector",
            "failure",
            "ids",
            "inventory",
            "lifetime",
            "links",
            "manifest",
            "registration",
            "shard",
            "vault",
        ],
    ),
    (
        "status",
        &[
            "cloud",
            "connector",
            "failure",
            "ids",
            "inventory",
            "lifetime",
            "manifest",
            "plan",
            "registration",
            "shard",
            "vault",
        ],
    ),
    ("event", &["failure", "ids", "plan", "status"]),
    ("entra", &["cloud", "connector", "failure", "http", "ids", "registration", "secret", "text"]),
    (
        "graph",
        &[
            "cloud",
            "entra",
            "failure",
            "http",
            "ids",
            "inventory",
            "lifetime",
            "plan",
            "registration",
            "secret",
        ],
    ),
    ("defender", &["cloud", "connector", "entra", "failure", "http", "secret"]),
    (
        "prove",
        &[
            "cloud",
            "connector",
            "defender",
            "entra",
            "failure",
            "http",
            "ids",
            "manifest",
            "plan",
            "registration",
            "secret",
            "status",
            "stop",
            "vault",
        ],
    ),
    (
        "apply",
        &[
            "entra",
            "event",
            "failure",
            "graph",
            "ids",
            "inventory",
            "lifetime",
            "plan",
            "registration",
            "stop",
            "vault",
        ],
    ),
    (
        "offboard",
        &[
            "cloud",
            "connector",
            "entra",
            "event",
            "failure",
            "graph",
            "http",
            "ids",
            "inventory",
            "plan",
            "stop",
            "vault",
        ],
    ),
    (
        "consent",
        &[
            "cloud",
            "entra",
            "event",
            "failure",
            "http",
            "ids",
            "links",
            "plan",
            "prove",
            "registration",
            "secret",
            "stop",
            "text",
            "vault",
        ],
    ),
    (
        "incidents",
        &["cloud", "defender", "entra", "failure", "http", "ids", "prove", "status", "stop"],
    ),
    (
        "report",
        &[
            "cloud",
            "connector",
            "consent",
            "defender",
            "event",
            "failure",
            "ids",
            "incidents",
            "lifetime",
            "manifest",
            "offboard",
            "plan",
            "prove",
            "registration",
            "secret",
            "status",
            "text",
            "verdict",
        ],
    ),
    (
        "cli",
        &[
            "apply",
            "cloud",
            "connector",
            "consent",
            "defender",
            "entra",
            "event",
            "failure",
            "graph",
            "http",
            "ids",
            "incidents",
            "inventory",
            "links",
            "manifest",
            "offboard",
            "plan",
            "prove",
            "registration",
            "report",
            "sandbox",
            "secret",
            "shard",
            "status",
            "stop",
            "vault",
            "verdict",
        ],
    ),
];

/// The rooms that only compute: time, network, disk and environment are arguments there.
const PURE: [&str; 5] = ["connector", "registration", "inventory", "plan", "status"];

/// A source file: its room, its path, and its code without comments, texts and unit tests.
struct Source {
    room: String,
    path: PathBuf,
    whole: String,
    code: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<Source> {
    fn walk(folder: &Path, into: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, into);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                into.push(path);
            }
        }
    }
    let mut paths = Vec::new();
    walk(&root().join("src"), &mut paths);
    let tests = test_modules(&paths);
    let read = |path: PathBuf| {
        let whole = std::fs::read_to_string(&path).unwrap();
        let inner = path.strip_prefix(root().join("src")).unwrap();
        let first = inner.components().next().unwrap().as_os_str().to_str().unwrap();
        let room = first.trim_end_matches(".rs").to_owned();
        let of_tests = tests
            .iter()
            .any(|module| path.starts_with(module) || path == module.with_extension("rs"));
        let code = if of_tests { String::new() } else { code_of(&whole) };
        Source { room, path: inner.to_owned(), whole, code }
    };
    paths.into_iter().map(read).collect()
}

/// The modules that exist in tests only, each as the path of its folder.
fn test_modules(paths: &[PathBuf]) -> Vec<PathBuf> {
    let mut modules = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(path).unwrap();
        let folder = match path.file_stem().unwrap().to_str().unwrap() {
            "mod" | "lib" | "main" => path.parent().unwrap().to_owned(),
            _ => path.with_extension(""),
        };
        for piece in text.split("#[cfg(test)]\n").skip(1) {
            let declared = piece.lines().next().unwrap_or_default();
            let name = declared.rsplit_once("mod ").and_then(|(_, name)| name.strip_suffix(';'));
            modules.extend(name.map(|name| folder.join(name)));
        }
    }
    modules
}

/// Code alone: what follows the first module of unit tests is left out, and so are comments and
/// the insides of texts, which may say anything.
fn code_of(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let mut code = String::new();
    let characters: Vec<char> = text.chars().collect();
    let mut at = 0;
    while at < characters.len() {
        let rest = &characters[at..];
        if rest.starts_with(&['/', '/']) {
            at += rest.iter().position(|c| *c == '\n').unwrap_or(rest.len());
        } else if rest.starts_with(&['r', '#', '"']) {
            let end = rest.windows(2).skip(3).position(|w| w == ['"', '#']);
            code.push_str("\"\"");
            at += end.map_or(rest.len(), |end| end + 5);
        } else if rest[0] == '"' {
            let mut end = 1;
            while end < rest.len() && rest[end] != '"' {
                end += if rest[end] == '\\' { 2 } else { 1 };
            }
            code.push_str("\"\"");
            at += end + 1;
        } else if rest.starts_with(&['\'', '"', '\'']) {
            code.push_str("' '");
            at += 3;
        } else {
            code.push(rest[0]);
            at += 1;
        }
    }
    code
}

/// The rooms that a piece of code names: `crate::room`, and the members of `crate::{…}`.
fn imports(code: &str) -> BTreeSet<String> {
    let word = |text: &str| -> String {
        text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let mut rooms = BTreeSet::new();
    for (at, found) in code.match_indices("crate::") {
        let rest = &code[at + found.len()..];
        let Some(inside) = rest.strip_prefix('{') else {
            rooms.insert(word(rest));
            continue;
        };
        let (mut depth, mut start) = (0, 0);
        for (place, c) in inside.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => {
                    rooms.insert(word(&inside[start..place]));
                    break;
                }
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    rooms.insert(word(&inside[start..place]));
                    start = place + 1;
                }
                _ => {}
            }
        }
    }
    rooms.remove("");
    rooms
}

/// Lines of code that hold one of these words, with their place.
fn lines_with(source: &Source, words: &[&str]) -> Vec<String> {
    source
        .code
        .lines()
        .filter(|line| words.iter().any(|word| line.contains(word)))
        .map(|line| format!("{}: {}", source.path.display(), line.trim()))
        .collect()
}

#[track_caller]
fn none(found: Vec<String>) {
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn rooms_import_one_way() {
    let table: BTreeMap<&str, &[&str]> = ROOMS.iter().copied().collect();
    let order: Vec<&str> = ROOMS.iter().map(|(room, _)| *room).collect();
    for (place, (room, may)) in ROOMS.iter().enumerate() {
        for other in *may {
            assert!(
                order[..place].contains(other),
                "the table lets {room} import {other}, below it"
            );
        }
    }
    let mut used: BTreeSet<(String, String)> = BTreeSet::new();
    let mut wrong = Vec::new();
    for source in sources() {
        if ["lib", "main"].contains(&source.room.as_str()) {
            continue;
        }
        let Some(may) = table.get(source.room.as_str()) else {
            wrong.push(format!("{} is a room that the table does not know", source.room));
            continue;
        };
        for other in imports(&source.code) {
            if other != source.room && !may.contains(&other.as_str()) {
                wrong.push(format!("{} imports {other}", source.path.display()));
            }
            used.insert((source.room.clone(), other));
        }
    }
    none(wrong);
    // A table that allows what nobody needs would let it in unseen.
    for (room, may) in ROOMS {
        for other in *may {
            let pair = ((*room).to_owned(), (*other).to_owned());
            assert!(used.contains(&pair), "the table lets {room} import {other}, and it does not");
        }
    }
}

#[test]
fn the_sandbox_shares_nothing_with_the_client() {
    let mut wrong = Vec::new();
    for source in sources().into_iter().filter(|source| source.room == "sandbox") {
        // Its tests too: `whole`, not only the code.
        let foreign = imports(&source.whole).into_iter().filter(|room| room != "sandbox");
        wrong.extend(foreign.map(|room| format!("{} imports {room}", source.path.display())));
        wrong.extend(lines_with(&source, &["tenantry::"]));
    }
    none(wrong);
}

#[test]
fn the_middle_knows_no_clock_network_disk_or_environment() {
    const WORLDLY: &[&str] = &[
        "Timestamp::now",
        "Zoned::now",
        "ZonedDateTime::now",
        "SystemTime",
        "Instant",
        "std::env",
        "env::var",
        "std::fs",
        "fs::",
        "File::",
        "std::net",
        "std::process",
        "std::thread",
        "tokio",
        "reqwest",
        "azure_core",
        "uuid::Uuid::new_v4",
        "async fn",
    ];
    let pure = sources().into_iter().filter(|s| PURE.contains(&s.room.as_str()));
    none(pure.flat_map(|source| lines_with(&source, WORLDLY)).collect());
}

#[test]
fn only_main_ends_the_process() {
    const ENDS: &[&str] = &["process::exit", "ExitCode", "process::abort", "abort()", "exit("];
    let mut found: Vec<String> = sources()
        .iter()
        .filter(|source| source.room != "main")
        .flat_map(|source| lines_with(source, ENDS))
        .collect();
    // Aborting a task is not ending the process; two others are in debug builds, for the tests that
    // kill it at every write.
    found.retain(|line| {
        !line.contains("task.abort()")
            && !line.starts_with("vault/disk.rs: std::process::abort()")
            && !line.starts_with("incidents/mod.rs: std::process::abort()")
    });
    none(found);
}

#[test]
fn only_report_and_cli_print() {
    const PRINTS: &[&str] =
        &["println!", "print!(", "eprintln!", "eprint!(", "io::stdout", "io::stderr", "dbg!"];
    let silent = sources().into_iter().filter(|s| !["report", "cli"].contains(&s.room.as_str()));
    none(silent.flat_map(|source| lines_with(&source, PRINTS)).collect());
}

#[test]
fn files_stay_readable_and_nothing_is_left_undone() {
    let mut wrong = Vec::new();
    for source in sources() {
        let lines = source.whole.lines().count();
        if lines > 600 {
            wrong.push(format!("{} has {lines} lines", source.path.display()));
        }
        let code = code_of(&source.whole.replace("#[cfg(test)]", ""));
        for word in ["todo!", "unimplemented!", "allow(dead_code)", "unsafe "] {
            if code.contains(word) {
                wrong.push(format!("{} holds {word}", source.path.display()));
            }
        }
    }
    none(wrong);
}

#[test]
fn no_tracked_file_names_a_machine() {
    let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(root()).output();
    let Some(listed) = listed.ok().filter(|listed| listed.status.success()) else {
        use std::io::Write;
        let _ = writeln!(std::io::stderr(), "skipped: no git here to list the tracked files");
        return;
    };
    let mut wrong = Vec::new();
    let names = String::from_utf8(listed.stdout).unwrap();
    for name in names.split('\0').filter(|name| !name.is_empty()) {
        // In two halves, or this file would be found.
        let places = ["/wo", "/ro", "/ho"].iter().zip(["rk/", "ot/", "me/"]);
        let Ok(text) = std::fs::read_to_string(root().join(name)) else { continue };
        for (front, back) in places {
            let place = format!("{front}{back}");
            for (number, line) in text.lines().enumerate() {
                let mut hits = line.match_indices(&place);
                // A path begins there: `directory.example/home/` is an address.
                if hits.any(|(at, _)| {
                    !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '.' || c == '}')
                }) {
                    wrong.push(format!("{name}:{}: {}", number + 1, line.trim()));
                }
            }
        }
    }
    none(wrong);
}
