//! Questions, at a real terminal: what is typed is the answer, and Ctrl-C is none.

use std::{
    io::{Read, Write},
    process::{Command, Stdio},
};

use crate::support::{Stage, list};

/// A command in a terminal of its own; its process is in the file `pid` beside the manifest.
pub(crate) fn in_terminal(stage: &Stage, args: &[&str]) -> Command {
    let inner = stage.command(args);
    let words: Vec<_> =
        std::iter::once(inner.get_program()).chain(inner.get_args()).map(quoted).collect();
    let mut command = Command::new("script");
    command.args(["-qec", &format!("echo $$ > pid; exec {}", words.join(" ")), "/dev/null"]);
    command.current_dir(inner.get_current_dir().unwrap()).env_clear();
    command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.env("PATH", std::env::var_os("PATH").unwrap()).env("SHELL", "/bin/sh");
    command
}

fn quoted(word: &std::ffi::OsStr) -> String {
    format!("'{}'", word.to_str().unwrap())
}

const ONE: &str = r"version: 1
fleet: acme-soc
home: {tenant: acme-soc.example, cloud: global}
vault: {path: vault}
tenants:
  contoso: {name: Contoso, domain: contoso.example, connector: graph-security, redirectUris: ['https://{domain}/x']}
";

/// Types keys once a question is asked; gives back the screen and how it ended.
fn typed(stage: &Stage, args: &[&str], question: &str, keys: &str) -> (String, Option<i32>) {
    let mut command = in_terminal(stage, args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().expect("script, of util-linux");
    let (mut keyboard, mut screen) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let (mut shown, mut some) = (String::new(), [0; 1024]);
    while !shown.contains(question) {
        let read = screen.read(&mut some).unwrap();
        assert!(read > 0, "{shown}");
        shown.push_str(&String::from_utf8_lossy(&some[..read]));
    }
    keyboard.write_all(keys.as_bytes()).unwrap();
    // The keyboard stays: nobody presses Enter, and nobody goes away.
    let mut rest = Vec::new();
    screen.read_to_end(&mut rest).unwrap();
    shown.push_str(&String::from_utf8_lossy(&rest));
    (shown, child.wait().unwrap().code())
}

fn apps(stage: &Stage) -> usize {
    let writes = ["application.upsert", "application.addPassword", "application.delete"];
    stage.sandbox.requests().iter().filter(|r| writes.iter().any(|w| r["operation"] == *w)).count()
}

/// What a terminal of so many columns shows of a command.
fn shown(stage: &Stage, args: &[&str], columns: usize) -> String {
    let command = in_terminal(stage, args);
    let line = command.get_args().nth(1).unwrap().to_str().unwrap();
    let mut narrow = Command::new("script");
    narrow.args(["-qec", &format!("stty rows 50 cols {columns}; {line}"), "/dev/null"]);
    narrow.current_dir(command.get_current_dir().unwrap()).env_clear();
    narrow.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = narrow.stdin(Stdio::null()).output().expect("script, of util-linux");
    anstream::adapter::strip_str(&String::from_utf8_lossy(&output.stdout)).to_string()
}

#[test]
fn on_a_narrow_terminal_every_key_is_whole_and_no_heading_is_broken() {
    let keys = ["contoso", "fourthcoffee", "world-of-importers"];
    let more = "  fourthcoffee: {name: F, domain: fourthcoffee.example, connector: mssp-siem, \
                signInAs: a@acme-soc.example, redirectUris: []}\n  \
                world-of-importers: {name: W, domain: wingtip.example, connector: \
                graph-security, redirectUris: ['https://{domain}/x']}\n";
    let stage = Stage::new(&format!("{ONE}{more}"));
    stage.apply();
    let screen = shown(&stage, &["status"], 60);
    let table: Vec<_> = screen.lines().skip_while(|line| !line.starts_with("TENANT")).collect();
    let rows: Vec<_> = table.iter().take_while(|line| !line.trim().is_empty()).collect();
    for key in keys {
        assert!(rows.iter().any(|row| row.split_whitespace().next() == Some(key)), "{screen}");
    }
    for line in table.iter().filter(|line| !line.contains("://") && !line.contains("tenantry ")) {
        assert!(line.trim_end().chars().count() <= 60, "{line}\n{screen}");
    }
}

#[test]
fn a_customer_goes_only_once_its_key_is_typed() {
    let stage = Stage::new(ONE);
    stage.apply().expect(0);
    let before = stage.sandbox.world()["directories"].clone();
    let (args, question) = (["offboard", "contoso"], "Type the key, contoso: ");
    for wrong in ["\r", "yes\r", "y\r", "contos\r", "Contoso\r", "contoso contoso\r"] {
        let (shown, code) = typed(&stage, &args, question, wrong);
        assert_eq!(code, Some(1), "{wrong:?}: {shown}");
        assert!(shown.contains("that was not the key; nothing was changed"), "{shown}");
        assert_eq!(stage.sandbox.world()["directories"], before, "{wrong:?}");
        stage.holds("contoso");
    }
    let (shown, code) = typed(&stage, &args, question, "contoso\r");
    assert_eq!(code, Some(0), "{shown}");
    // What goes was shown before it was asked about.
    let (asked, done) = shown.split_once(question).unwrap();
    assert!(asked.contains("Contoso"), "{asked}");
    assert!(done.contains("Done: contoso is offboarded."), "{done}");
    let home = stage.home();
    let ours = |table: &str| {
        let name = "tenantry-acme-soc--contoso";
        list(&home, table).iter().filter(|app| app["uniqueName"] == name).count()
    };
    assert_eq!((ours("applications"), ours("deletedItems")), (0, 1));
    assert_ne!(stage.run(&["reveal", "contoso"]).code, Some(0));
}

#[test]
fn ctrl_c_at_a_question_ends_the_run_at_once_and_changes_nothing() {
    let stage = Stage::new(ONE);
    let apply = "Only 'yes' is a yes: ";
    let (shown, code) = typed(&stage, &["apply"], apply, "\u{3}");
    assert_eq!((code, apps(&stage)), (Some(130), 0), "{shown}");
    let (shown, code) = typed(&stage, &["apply"], apply, "no\r");
    assert_eq!((code, apps(&stage)), (Some(1), 0), "{shown}");
    let (shown, code) = typed(&stage, &["apply"], apply, "yes\r");
    assert_eq!((code, apps(&stage)), (Some(0), 2), "{shown}");
    for (args, question) in
        [(&["rotate", "contoso"][..], apply), (&["offboard", "contoso"], "Type the key, contoso: ")]
    {
        let (shown, code) = typed(&stage, args, question, "conto\u{3}");
        assert_eq!((code, apps(&stage)), (Some(130), 2), "{shown}");
    }
}
