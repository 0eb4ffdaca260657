//! Both runners' ways of reading a line, written anew from their source, held against what we print.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// What a runner takes a line for.
#[derive(Debug, PartialEq, Eq)]
struct Command {
    name: String,
    properties: BTreeMap<String, String>,
    data: String,
}

/// The commands that GitHub's runner knows, and those of a log's format.
const GITHUB: &[&str] = &[
    "add-mask",
    "add-path",
    "add-matcher",
    "debug",
    "echo",
    "endgroup",
    "error",
    "group",
    "notice",
    "remove-matcher",
    "save-state",
    "set-env",
    "set-output",
    "stop-commands",
    "warning",
    "command",
    "section",
];

/// A comparison by culture passes over these.
fn by_culture(text: &str) -> String {
    text.chars()
        .filter(|c| !crate::text::steers(*c))
        .filter(|c| !matches!(c, '\u{200c}' | '\u{200d}' | '\u{fe00}'..='\u{fe0f}'))
        .collect()
}

fn properties(text: &str, between: char, read: fn(&str) -> String) -> BTreeMap<String, String> {
    text.split(between)
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.trim().to_lowercase(), read(value)))
        .collect()
}

fn github_data(text: &str) -> String {
    text.replace("%0D", "\r").replace("%0A", "\n").replace("%25", "%")
}

fn github_property(text: &str) -> String {
    let text = text.replace("%0D", "\r").replace("%0A", "\n").replace("%3A", ":");
    text.replace("%2C", ",").replace("%25", "%")
}

/// actions/runner, `ActionCommand.TryParseV2` and, after it, `TryParse`.
fn github(line: &str) -> Option<Command> {
    let of_name = |info: &str, between, read, data: String| {
        let (name, rest) = info.split_once(' ').unwrap_or((info, ""));
        let known = GITHUB.iter().any(|known| known.eq_ignore_ascii_case(name));
        let properties = properties(rest.trim(), between, read);
        known.then(|| Command { name: name.to_lowercase(), properties, data })
    };
    let second = line.trim_start().strip_prefix("::").and_then(|rest| {
        let (info, data) = rest.split_once("::")?;
        of_name(info, ',', github_property, github_data(data))
    });
    second.or_else(|| {
        let (info, data) = line[line.find("##[")? + 3..].split_once(']')?;
        of_name(info, ';', azure_read, azure_read(data))
    })
}

fn azure_read(text: &str) -> String {
    let text = text.replace("%3B", ";").replace("%0D", "\r").replace("%0A", "\n");
    text.replace("%5D", "]").replace("%AZP25", "%")
}

/// microsoft/azure-pipelines-agent, `Command.TryParse`; what it warns of (`##vso`) counts too.
fn azure(line: &str) -> Option<Command> {
    let (info, data) = line[line.find("##vso[")? + 6..].split_once(']')?;
    let (name, rest) = info.split_once(' ').unwrap_or((info, ""));
    let properties = properties(rest, ';', azure_read);
    (name.split('.').count() == 2).then(|| Command {
        name: name.to_owned(),
        properties,
        data: azure_read(data),
    })
}

/// Every command that either runner would find, as each stream is cut into lines.
fn commands(output: &str) -> Vec<Command> {
    let stripped = anstream::adapter::strip_str(output).to_string();
    let mut found = Vec::new();
    for text in [output, &stripped] {
        for line in text.split(['\n', '\r']) {
            for line in [line.to_owned(), by_culture(line)] {
                found.extend(github(&line).into_iter().chain(azure(&line)));
                assert!(!line.to_lowercase().contains("##vso"), "{line}");
            }
        }
    }
    found
}

const HOSTILE: &[&str] = &[
    "::add-mask::a",
    "  ::error file=x,line=1::y",
    "\t\u{a0}\u{85}::set-env name=PATH::/tmp",
    "\n::stop-commands::x",
    "\r::error::y",
    "\u{200d}::error::y",
    ":\u{200d}:error::y",
    "\u{1b}[31m::error::y\u{1b}[0m",
    "#\u{1b}[0m#[error]x",
    "##[add-mask]a",
    "a ##[group]b",
    "#\u{200d}#\u{200d}[error]x",
    "##vso[task.setvariable variable=x]y",
    "a ##vso[task.complete result=Succeeded;]",
    "###vso[task.setsecret]y",
    "##VSO[task.debug]y",
    "#\u{fe0f}#vso[task.debug]y",
    "%0A::error::",
    "::notice::::error::",
];

#[test]
fn text_from_outside_is_no_command() {
    for hostile in HOSTILE {
        for ci in [Ci::GitHub, Ci::Azure] {
            let said = ci.harmless(hostile).into_owned();
            assert_eq!(commands(&said), [], "{hostile:?} → {said:?}");
            let folded =
                ci.folded(hostile, &ci.harmless(&format!("{hostile}\n\nlast {hostile}\n")));
            let names: Vec<_> = github_only(&folded).into_iter().map(|c| c.name).collect();
            assert_eq!(names, ["group", "endgroup"], "{hostile:?} → {folded:?}");
        }
    }
    // Where nobody reads along, nothing is touched, and where nothing is dangerous neither.
    assert_eq!(Ci::None.harmless("##vso[a.b]c"), "##vso[a.b]c");
    let plain = "Zoë: a::b, C#, https://x.example/#y\n  12:30:00 ok\n";
    assert_eq!(Ci::GitHub.harmless(plain), plain);
}

fn github_only(output: &str) -> Vec<Command> {
    output.split(['\n', '\r']).filter_map(github).collect()
}

#[test]
fn json_stays_the_same_document() {
    let names: Vec<_> = HOSTILE.iter().map(|hostile| hostile.to_string()).collect();
    let document = serde_json::json!({ "names": names, "##vso[a.b]": "###" });
    for text in [document.to_string(), format!("{document:#}\n")] {
        let said = Ci::Azure.harmless_json(&text).into_owned();
        assert_eq!(commands(&said), [], "{said}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&said).unwrap(), document);
    }
}

#[test]
fn a_mask_is_a_line_each_and_never_of_a_scrap() {
    assert_eq!(
        Ci::GitHub.mask("50%of\r\n\nab\n  it all "),
        "::add-mask::50%25of\n::add-mask::it all\n"
    );
    assert_eq!(Ci::Azure.mask("a;b]c"), "##vso[task.setsecret]a%3Bb%5Dc\n");
    assert_eq!(Ci::None.mask("secret"), "");
}

fn annotation(level: Level, text: &str) -> Annotation {
    let place =
        Place { file: "a,b:c].yaml".into(), line: 3, column: 7, path: "tenants".to_owned() };
    Annotation::new(level, text, text, Some(&place))
}

#[test]
fn annotations_carry_their_place_and_are_no_other_command() {
    let name = |path: &Path| Some(path.display().to_string());
    for hostile in HOSTILE {
        let all = || vec![annotation(Level::Error, &format!("x {hostile}"))];
        let said = Ci::GitHub.annotations(all(), name);
        let [command] = &github_only(&said)[..] else { panic!("{said}") };
        assert_eq!(command.name, "error");
        assert_eq!(command.properties["file"], "a,b:c].yaml");
        assert_eq!((&*command.properties["line"], &*command.properties["col"]), ("3", "7"));
        assert_eq!(command.data, all()[0].message);
        assert_eq!(said.lines().count(), 1);
        let said = Ci::Azure.annotations(all(), name);
        let command = azure(said.trim_end_matches('\n')).unwrap();
        assert_eq!(command.name, "task.logissue");
        assert_eq!(command.properties["sourcepath"], "a,b:c].yaml");
        assert_eq!(command.properties["linenumber"], "3");
        assert_eq!(command.data, format!("{}: {}", all()[0].title, all()[0].message));
        assert_eq!(said.lines().count(), 1);
    }
}

#[test]
fn the_gravest_come_first_and_no_more_than_are_kept() {
    let mut all = Vec::new();
    for n in 0..25 {
        all.push(annotation(Level::Notice, &format!("notice {n}")));
        all.push(annotation(Level::Error, &format!("error {n}")));
    }
    all.push(annotation(Level::Warning, "warning"));
    let said = Ci::GitHub.annotations(all, |_| None);
    let found = github_only(&said);
    let names: Vec<_> = found.iter().map(|command| &*command.name).collect();
    let wanted: Vec<_> = [["error"; 10].as_slice(), &["warning"], &["notice"; 10]].concat();
    assert_eq!(names, wanted);
    assert!(found[9].data.starts_with("16 more errors"), "{said}");
    // Without a known file there is no place.
    assert!(!said.contains("line="), "{said}");
}

#[test]
fn a_summary_is_cut_between_rows_and_says_so() {
    let row = "| contoso | Contoso | reading |\n";
    let table = format!("# t\n\n| a | b | c |\n|---|---|---|\n{}", row.repeat(1000));
    assert_eq!(within(&table, table.len()), table);
    let cut = within(&table, 4096);
    assert!(cut.len() <= 4096, "{}", cut.len());
    let rows = cut.matches(row).count();
    assert!(rows > 100 && cut.contains(&format!("**{} more lines are left out**", 1000 - rows)));
    let code = format!("# t\n\n````text\n```\n{}````\nend\n", row.repeat(1000));
    let cut = within(&code, 4096);
    assert!(cut.len() <= 4096 && cut.contains("\n````\n\n**"), "{cut}");
    assert_eq!(within(&table, 100), "");
}

#[test]
fn an_output_cannot_set_another() {
    let said = Ci::GitHub.output("checksum", "a\nEOF\nchanges=false", "eof-5f0c");
    assert_eq!(said, "checksum<<eof-5f0c\na\nEOF\nchanges=false\neof-5f0c\n");
    let said = Ci::Azure.output("checksum", "a\n##vso[task.complete result=Failed;]", "");
    let command = azure(said.trim_end()).unwrap();
    assert_eq!(command.properties["variable"], "checksum");
    assert_eq!(command.properties["isoutput"], "true");
    assert_eq!(said.lines().count(), 1);
}

#[test]
fn only_what_is_worth_a_look_is_succeeded_with_issues() {
    let with: Vec<_> = Verdict::ALL
        .into_iter()
        .filter(|verdict| Ci::Azure.complete(*verdict).contains("SucceededWithIssues"))
        .map(Verdict::code)
        .collect();
    assert_eq!(with, [3, 4, 8]);
    let failed: Vec<_> = Verdict::ALL
        .into_iter()
        .filter(|verdict| Ci::Azure.complete(*verdict).contains("result=Failed;"))
        .map(Verdict::code)
        .collect();
    assert_eq!(failed, [1, 5, 6, 7, 64, 65, 130, 143]);
}

#[test]
fn each_runner_is_known_by_its_mark() {
    let with = |name: &'static str, value: &'static str| {
        Ci::detected(move |asked| (asked == name).then(|| value.to_owned()))
    };
    assert_eq!(with("GITHUB_ACTIONS", "true"), Ci::GitHub);
    assert_eq!(with("TF_BUILD", "True"), Ci::Azure);
    assert_eq!(with("GITHUB_ACTIONS", "false"), Ci::None);
    assert_eq!(with("CI", "true"), Ci::None);
}

/// Texts made of what commands are made of.
fn crafted() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("::"),
        Just(":"),
        Just("#"),
        Just("##"),
        Just("["),
        Just("]"),
        Just("##["),
        Just("##vso["),
        Just("vso"),
        Just("error"),
        Just("add-mask"),
        Just("group"),
        Just("task.debug"),
        Just(" "),
        Just("\n"),
        Just("\r"),
        Just("\t"),
        Just("%"),
        Just("%0A"),
        Just("%25"),
        Just("%AZP25"),
        Just(";"),
        Just(","),
        Just("="),
        Just("\u{200d}"),
        Just("\u{feff}"),
        Just("\u{a0}"),
        Just("\u{1b}[1m"),
        Just("\u{1b}"),
        Just("m"),
        Just("é"),
    ];
    proptest::collection::vec(piece, 0..14).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_text_is_ever_a_command(text in prop_oneof![crafted(), any::<String>()]) {
        for ci in [Ci::GitHub, Ci::Azure] {
            let said = ci.harmless(&text).into_owned();
            prop_assert_eq!(commands(&said), vec![], "{:?} → {:?}", text, said);
            // Nothing is lost of it.
            let plain = |text: &str| -> String {
                let marked = |c| if matches!(c, '\u{1b}' | '\u{80}'..='\u{9f}' | '\u{fffd}') { '?' } else { c };
                text.chars().filter(|c| *c != ' ').map(marked).collect()
            };
            prop_assert_eq!(plain(&said), plain(&text));
        }
        let json = serde_json::json!([text]).to_string();
        let said = Ci::GitHub.harmless_json(&json).into_owned();
        prop_assert_eq!(commands(&said), vec![]);
        prop_assert_eq!(serde_json::from_str::<[String; 1]>(&said).unwrap(), [text]);
    }

    #[test]
    fn what_is_escaped_comes_back(text in prop_oneof![crafted(), any::<String>()]) {
        prop_assert_eq!(github_data(&github::data(&text)), &*text);
        prop_assert_eq!(azure_read(&azure::escaped(&text)), &*text);
        let said = Ci::GitHub.annotations(vec![annotation(Level::Warning, &text)], |_| None);
        let [command] = &github_only(&said)[..] else { panic!("{said}") };
        prop_assert_eq!(&*command.name, "warning");
        let found = annotation(Level::Warning, &text);
        let said = Ci::Azure.annotations(vec![found.clone()], |_| Some("a;b]c".to_owned()));
        let command = azure(said.trim_end_matches('\n')).unwrap();
        prop_assert_eq!(&*command.properties["sourcepath"], "a;b]c");
        prop_assert_eq!(command.data, format!("{}: {}", found.title, found.message));
        prop_assert_eq!(said.lines().count(), 1);
        let said = Ci::GitHub.annotations(vec![found], |_| None);
        prop_assert_eq!(said.lines().count(), 1);
    }
}
