//! Golden scripts: `tests/golden/*.md` are tutorials that are run.
//!
//! A block ```` ```yaml NAME ```` is a file. A block ```` ```console ```` is a command after `$ `;
//! the blocks `stdout`, `stderr` and `exit` after it are what came of it (a missing one: nothing,
//! and 0). `scripts/bless` writes them anew.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Set by `scripts/bless`: write down what came instead of comparing.
const BLESS: &str = "TENANTRY_BLESS";

/// Runs a script and compares it with what it says came of it.
#[track_caller]
fn play(name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    let written = std::fs::read_to_string(&path).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/demo.yaml");
    std::fs::copy(demo, folder.path().join("demo.yaml")).unwrap();
    let played = Script { folder: folder.path().to_owned(), ids: BTreeMap::new() }.play(&written);
    if std::env::var_os(BLESS).is_some() {
        std::fs::write(&path, played).unwrap();
        return;
    }
    if played == written {
        return;
    }
    let differs = written
        .lines()
        .zip(played.lines())
        .position(|(a, b)| a != b)
        .unwrap_or_else(|| written.lines().count().min(played.lines().count()));
    let show = |text: &str| {
        text.lines().skip(differs.saturating_sub(3)).take(9).collect::<Vec<_>>().join("\n")
    };
    panic!(
        "{} differs from line {}; scripts/bless accepts it\n--- written\n{}\n--- now\n{}",
        path.display(),
        differs + 1,
        show(&written),
        show(&played)
    );
}

struct Script {
    folder: PathBuf,
    /// Ids as they came and what they are called in the script.
    ids: BTreeMap<String, String>,
}

impl Script {
    /// The script with what came of its commands this time.
    fn play(mut self, written: &str) -> String {
        let mut out = String::new();
        let mut lines = written.lines().peekable();
        let mut after_command = false;
        while let Some(line) = lines.next() {
            let Some(kind) = line.strip_prefix("```") else {
                // The empty lines between a command and what came of it are written anew.
                if !(after_command && line.is_empty() && Self::result_follows(&lines)) {
                    out.push_str(line);
                    out.push('\n');
                    after_command = after_command && line.is_empty();
                }
                continue;
            };
            let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            let text = block.iter().map(|line| format!("{line}\n")).collect::<String>();
            if after_command && ["stdout", "stderr", "exit"].contains(&kind) {
                continue;
            }
            out.push_str(&format!("{line}\n{text}```\n"));
            after_command = kind == "console";
            if let Some(name) = kind.strip_prefix("yaml ") {
                std::fs::write(self.folder.join(name), &text).unwrap();
            }
            if after_command {
                let command = text.strip_prefix("$ ").unwrap_or_else(|| panic!("no `$ `: {text}"));
                out.push_str(&self.run(command));
            }
        }
        out
    }

    fn result_follows(lines: &std::iter::Peekable<std::str::Lines<'_>>) -> bool {
        let next = lines.clone().find(|line| !line.is_empty());
        next.is_some_and(|line| ["```stdout", "```stderr", "```exit"].contains(&line))
    }

    fn run(&mut self, command: &str) -> String {
        let binary = Path::new(env!("CARGO_BIN_EXE_tenantry")).parent().unwrap();
        let mut path = binary.as_os_str().to_owned();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        let output = Command::new("sh")
            .args(["-c", command])
            .env_clear()
            .env("PATH", path)
            .env("HOME", self.folder.join("person"))
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let mut out = String::new();
        for (kind, bytes) in [("stdout", output.stdout), ("stderr", output.stderr)] {
            let text = self.normal(&String::from_utf8(bytes).unwrap());
            if !text.is_empty() {
                let end = if text.ends_with('\n') { "" } else { "\n" };
                out.push_str(&format!("\n```{kind}\n{text}{end}```\n"));
            }
        }
        match output.status.code() {
            Some(0) => {}
            code => out.push_str(&format!("\n```exit\n{}\n```\n", code.unwrap_or(-1))),
        }
        out
    }

    /// What differs from run to run, put in the same words, as wide as it was where that matters.
    fn normal(&mut self, text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        let mut before = ' ';
        while let Some(first) = rest.chars().next() {
            let (taken, words) =
                if before.is_alphanumeric() { (0, String::new()) } else { self.variable(rest) };
            if taken > 0 {
                out.push_str(&words);
                before = rest[..taken].chars().next_back().unwrap_or(' ');
                rest = &rest[taken..];
                continue;
            }
            out.push(if first == '\u{1b}' { '␛' } else { first });
            before = first;
            rest = &rest[first.len_utf8()..];
        }
        // A line's end that nobody sees would be lost in an editor.
        out.lines().map(|line| format!("{}\n", line.trim_end())).collect()
    }

    /// Whether something that varies begins here: how long it is, and what is written instead.
    fn variable(&mut self, text: &str) -> (usize, String) {
        let like = |pattern: &str| shaped(text, pattern);
        if like("xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx") {
            let id = &text[..36];
            // The built-in world's own ids are the same everywhere.
            if id.starts_with("6f1c0f5e-") {
                return (36, id.to_owned());
            }
            let number = self.ids.len() + 1;
            let name = || format!("11111111-0000-4000-8000-{number:012}");
            return (36, self.ids.entry(id.to_owned()).or_insert_with(name).clone());
        }
        if like("####-##-##T##:##:##") {
            let length = text.find('Z').map_or(19, |end| end + 1);
            return (length, "YYYY-MM-DDThh:mm:ssZ".to_owned());
        }
        if like("####-##-## ##:##") {
            return (16, "YYYY-MM-DD hh:mm".to_owned());
        }
        if like("####-##-##") {
            return (10, "YYYY-MM-DD".to_owned());
        }
        if like("##:##:##") {
            return (8, "hh:mm:ss".to_owned());
        }
        if like("##:## UTC") {
            return (5, "hh:mm".to_owned());
        }
        if like("127.0.0.1:#####") {
            return (15, "127.0.0.1:PORT".to_owned());
        }
        for days in ["### days", "### d "] {
            if like(days) {
                return (3, "DDD".to_owned());
            }
        }
        if like("???8Q~") && text.len() >= 40 {
            return (40, "(a secret of 40 characters)".to_owned());
        }
        if text.starts_with("age1") && text.len() >= 62 {
            return (62, "age1(a recipient)".to_owned());
        }
        (0, String::new())
    }
}

/// Whether a text begins like a pattern: `x` is a hexadecimal digit, `#` a digit, `?` anything that
/// can be seen; everything else is itself.
fn shaped(text: &str, pattern: &str) -> bool {
    let mut characters = text.chars();
    pattern.chars().all(|wanted| {
        characters.next().is_some_and(|given| match wanted {
            'x' => given.is_ascii_hexdigit(),
            '#' => given.is_ascii_digit(),
            '?' => given.is_ascii_graphic(),
            other => other == given,
        })
    })
}

#[test]
fn what_varies_is_put_in_the_same_words() {
    let mut script = Script { folder: PathBuf::new(), ids: BTreeMap::new() };
    let id = "0b6d0000-0000-4000-8000-00000000abcd";
    let said = format!(
        "{id} {id}, 2026-11-23 at 14:02:11 on https://127.0.0.1:41233/?x=1; 179 days, ok 365 d –\n\
         abc8Q~defghijklmnopqrstuvwxyz0123456789_\n6f1c0f5e-0000-4000-8000-000000000001 12 apps"
    );
    assert_eq!(
        script.normal(&said),
        "11111111-0000-4000-8000-000000000001 11111111-0000-4000-8000-000000000001, YYYY-MM-DD at \
         hh:mm:ss on https://127.0.0.1:PORT/?x=1; DDD days, ok DDD d –\n\
         (a secret of 40 characters)\n6f1c0f5e-0000-4000-8000-000000000001 12 apps\n"
    );
}

#[test]
fn first_run() {
    play("first-run.md");
}

#[test]
fn mistakes() {
    play("mistakes.md");
}

#[test]
fn guards() {
    play("guards.md");
}

#[test]
fn usage() {
    play("usage.md");
}

#[test]
fn colour() {
    play("colour.md");
}

#[test]
fn portal() {
    play("portal.md");
}

#[test]
fn in_tenant() {
    play("in-tenant.md");
}

#[test]
fn leaving() {
    play("leaving.md");
}

#[test]
fn doctor() {
    play("doctor.md");
}

#[test]
fn rotate() {
    play("rotate.md");
}

#[test]
fn every_script_is_played() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "colour.md",
            "doctor.md",
            "first-run.md",
            "guards.md",
            "in-tenant.md",
            "leaving.md",
            "mistakes.md",
            "portal.md",
            "rotate.md",
            "usage.md"
        ]
    );
}
