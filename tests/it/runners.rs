//! Pipelines: what GitHub's runner and Azure's agent find in our output, and what is left in their
//! files, through the real binary.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::stage::{HUMONGOUS, MANIFEST, ONE, Ran, Stage, finish};

/// A manifest whose names are commands.
const HOSTILE: &str = r###"version: 1
fleet: acme-soc
home: {tenant: acme-soc.example, cloud: global}
vault: {path: vault}
defaults: {connector: graph-security, redirectUris: ["https://{domain}/SiemMsspConnector"]}
tenants:
  contoso:
    name: "::add-mask::a"
    domain: contoso.example
    displayName: "x ##vso[task.setvariable variable=x]y"
    labels: {a: "##[error]b"}
  tailspin: {name: "##vso[task.complete result=Succeeded;]y", domain: tailspin.example}
  adatum: {name: "%0A::error::z ##[add-mask]a", domain: adatum.example}
  litware: {name: "::stop-commands::w", domain: "no-such-directory.example"}
"###;

#[derive(Clone, Copy, PartialEq)]
enum Runner {
    GitHub,
    Azure,
}

/// A step of a pipeline on a stage.
struct Step<'s> {
    stage: &'s Stage,
    runner: Runner,
}

impl Step<'_> {
    fn command(&self, arguments: &[&str]) -> Command {
        let Self { stage, runner } = self;
        let mut command = stage.command(arguments);
        match runner {
            Runner::GitHub => command
                .env("GITHUB_ACTIONS", "true")
                .env("GITHUB_WORKSPACE", stage.folder.path())
                .env("GITHUB_OUTPUT", stage.path("output"))
                .env("GITHUB_STEP_SUMMARY", stage.path("summary")),
            Runner::Azure => command
                .env("TF_BUILD", "True")
                .env("BUILD_SOURCESDIRECTORY", stage.folder.path())
                .env("AGENT_TEMPDIRECTORY", stage.folder.path()),
        };
        command
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        finish(self.command(arguments), arguments)
    }

    fn summary(&self) -> String {
        std::fs::read_to_string(self.stage.path("summary")).unwrap_or_default()
    }

    /// The outputs, as the runner reads `NAME<<DELIMITER`.
    fn outputs(&self) -> Vec<(String, String)> {
        let text = std::fs::read_to_string(self.stage.path("output")).unwrap_or_default();
        let mut lines = text.lines();
        let mut found = Vec::new();
        while let Some(line) = lines.next() {
            let (name, delimiter) = line.split_once("<<").unwrap();
            let value: Vec<_> = lines.by_ref().take_while(|line| *line != delimiter).collect();
            found.push((name.to_owned(), value.join("\n")));
        }
        found
    }
}

fn github(stage: &Stage) -> Step<'_> {
    Step { stage, runner: Runner::GitHub }
}

fn azure(stage: &Stage) -> Step<'_> {
    Step { stage, runner: Runner::Azure }
}

/// The commands that a runner finds in both streams, as they stand there. Written from its source:
/// GitHub's looks at the beginning of a line for `::`, and anywhere for `##[`; Azure's agent
/// anywhere for `##vso[`.
fn commands(ran: &Ran) -> Vec<String> {
    let lines = ran.stderr.split(['\n', '\r']).chain(ran.stdout.split(['\n', '\r']));
    lines
        .map(str::trim_start)
        .filter(|line| {
            let of_github = line.strip_prefix("::").is_some_and(|rest| rest.contains("::"));
            of_github || line.contains("##[") || line.contains("##vso")
        })
        .map(str::to_owned)
        .collect()
}

/// Asserts that every command is one of ours: it begins its line, with one of these words.
#[track_caller]
fn only(ran: &Ran, begins: &[&str]) -> Vec<String> {
    let found = commands(ran);
    for line in &found {
        assert!(begins.iter().any(|begin| line.starts_with(begin)), "{line}\n{ran:?}");
        // Nor is there another in it, were it for somebody else's runner.
        assert_eq!(line.matches("##").count(), usize::from(line.starts_with("##")), "{line}");
    }
    found
}

const OF_GITHUB: &[&str] = &[
    "::add-mask::",
    "::error ",
    "::warning ",
    "::notice ",
    "::group::Plan for fleet acme-soc",
    "::group::Tenants of fleet acme-soc",
    "::endgroup::",
];
const OF_AZURE: &[&str] = &[
    "##vso[task.setsecret]",
    "##vso[task.logissue type=error;",
    "##vso[task.logissue type=warning;",
    "##vso[task.setvariable variable=changes;isOutput=true;]",
    "##vso[task.setvariable variable=checksum;isOutput=true;]",
    "##vso[task.setvariable variable=pending;isOutput=true;]",
    "##vso[task.uploadsummary]",
    "##vso[task.complete result=",
    "##[group]Plan for fleet acme-soc",
    "##[group]Tenants of fleet acme-soc",
    "##[endgroup]",
];

fn fault(stage: &Stage, operation: &str, message: &str, status: u16) {
    let body = json!({"error": {"code": "Request_BadRequest", "message": message,
        "innerError": {"request-id": "0b6d0000-0000-4000-8000-00000000feed"}}});
    let faults =
        json!([{"operation": operation, "times": 50, "do": {"status": status, "body": body}}]);
    stage.sandbox.add_faults(&faults).unwrap();
}

/// The reports of every kind that a run with these arguments leaves.
fn reports(step: &Step<'_>, arguments: &[&str], code: i32) -> [String; 4] {
    ["json", "md", "html", "csv"].map(|kind| {
        let name = format!("report.{kind}");
        let path = step.stage.path(&name);
        std::fs::write(&path, "of yesterday").unwrap();
        let with: Vec<_> = arguments.iter().copied().chain(["--report", &name]).collect();
        step.run(&with).exits(code);
        let text = std::fs::read_to_string(&path).unwrap();
        assert_ne!(text, "of yesterday", "{name}");
        text
    })
}

#[test]
fn every_mistake_is_an_annotation_at_its_place() {
    let stage =
        Stage::new("version: 1\nfleet: Not A Fleet\nhome: {tenant: 'a ::b', cloud: global}\n");
    let step = github(&stage);
    let ran = step.run(&["plan", "--json"]).exits(65);
    let found = only(&ran, OF_GITHUB);
    let mistakes = ran.json()["mistakes"].as_array().unwrap().clone();
    let errors: Vec<_> = found.iter().filter(|line| line.starts_with("::error ")).collect();
    assert_eq!(errors.len(), mistakes.len(), "{found:?}");
    for (error, mistake) in errors.iter().zip(&mistakes) {
        let place =
            format!("file=manifest.yaml,line={},col={},", mistake["line"], mistake["column"]);
        assert!(error.contains(&place), "{error} {mistake}");
    }
    assert!(step.summary().contains("manifest.yaml\\:2"), "{}", step.summary());
    assert_eq!(step.outputs(), []);
    // Another folder is the repository's root.
    let mut command = step.command(&["validate"]);
    command.env("GITHUB_WORKSPACE", stage.folder.path().parent().unwrap());
    let ran = finish(command, &["validate"]).exits(65);
    let folder = stage.folder.path().file_name().unwrap().to_str().unwrap();
    assert!(ran.stderr.contains(&format!("file={folder}/manifest.yaml,line=2,col=")), "{ran:?}");
    let ran = azure(&stage).run(&["plan"]).exits(65);
    let found = only(&ran, OF_AZURE);
    let place =
        "##vso[task.logissue type=error;sourcepath=manifest.yaml;linenumber=2;columnnumber=";
    assert!(found.iter().any(|line| line.starts_with(place)), "{found:?}");
    assert!(found.iter().any(|line| line.contains("result=Failed;")), "{found:?}");
}

#[test]
fn a_run_tells_github_what_came_of_it() {
    let stage = Stage::with_vault(MANIFEST);
    let step = github(&stage);
    let ran = step.run(&["plan"]).exits(0);
    only(&ran, OF_GITHUB);
    assert!(ran.stdout.starts_with("::group::Plan for fleet acme-soc\n"), "{ran:?}");
    assert!(ran.stdout.contains("\n::endgroup::\n"), "{ran:?}");
    assert!(!ran.stdout.trim_end().ends_with("::endgroup::"), "{ran:?}");
    let json = stage.run(&["plan", "--json"]).json();
    let wanted = |changes: &str, checksum: &str, pending: &str| -> Vec<(String, String)> {
        [("changes", changes), ("checksum", checksum), ("pending", pending)]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec()
    };
    let checksum = json["checksum"].as_str().unwrap();
    let manual = json["summary"]["manual"].to_string();
    assert_eq!(step.outputs(), wanted("true", checksum, &manual));
    assert!(step.summary().contains("# tenantry plan: fleet acme-soc"), "{}", step.summary());

    std::fs::write(stage.path("output"), "").unwrap();
    let ran = step.run(&["apply", "--yes"]).exits(0);
    only(&ran, OF_GITHUB);
    assert_eq!(ran.stdout.matches("::group::").count(), 2, "{ran:?}");
    assert_eq!(ran.stdout.matches("::endgroup::").count(), 2, "{ran:?}");
    let outputs = step.outputs();
    assert_eq!((&*outputs[0].1, &*outputs[1].1), ("true", checksum));
    // What was done comes before how everybody is now.
    let page = step.summary();
    let (done, status) = (page.find("**tenantry apply\\: "), page.find("# tenantry status"));
    assert!(done.is_some() && done < status, "{page}");
    assert!(page.contains("- **contoso**: app created; client secret added, ends "), "{page}");

    std::fs::write(stage.path("output"), "").unwrap();
    let ran = step.run(&["status"]).exits(0);
    let found = only(&ran, OF_GITHUB);
    // Each at its tenant.
    let line = 1 + MANIFEST.lines().position(|line| line.starts_with("  contoso:")).unwrap();
    let place = format!("file=manifest.yaml,line={line},col=");
    assert!(found.iter().any(|f| f.starts_with("::notice ") && f.contains(&place)), "{found:?}");
    let summary = &stage.run(&["status", "--json"]).json()["summary"];
    let people: usize = ["needPortalAuthorization", "needAdminConsent", "needSignIn"]
        .iter()
        .map(|name| summary[name].as_array().unwrap().len())
        .sum();
    assert_eq!(step.outputs()[0].1, "false");
    assert_eq!(step.outputs()[2].1, people.to_string());
    assert!(step.summary().contains("# tenantry status: fleet acme-soc"));
}

#[test]
fn a_run_tells_azure_what_came_of_it() {
    let stage = Stage::with_vault(MANIFEST);
    let step = azure(&stage);
    step.run(&["apply", "--yes"]).exits(0);
    let ran = step.run(&["status", "--fail-on", "pending", "--json"]).exits(3);
    let found = only(&ran, OF_AZURE);
    // The result's stream is JSON and nothing else.
    let status = ran.json();
    let said = |begin: &str| found.iter().find_map(|line| line.strip_prefix(begin)).unwrap();
    let changes = said("##vso[task.setvariable variable=changes;isOutput=true;]");
    assert_eq!(changes, "false");
    let summary = std::fs::read_to_string(said("##vso[task.uploadsummary]")).unwrap();
    assert!(summary.contains("# tenantry status: fleet acme-soc"), "{summary}");
    assert!(found.last().unwrap().starts_with("##vso[task.complete result=SucceededWithIssues;]"));
    assert_eq!(status["fleet"], "acme-soc");
    // Nothing to be said of a run that went well; overridden, nothing at all.
    let ran = step.run(&["status"]).exits(0);
    assert!(!only(&ran, OF_AZURE).iter().any(|line| line.contains("task.complete")), "{ran:?}");
    let ran = step.run(&["status", "--ci", "none"]).exits(0);
    assert_eq!(commands(&ran), Vec::<String>::new());
    let ran = stage.run(&["status", "--ci", "github"]).exits(0);
    assert!(ran.stdout.starts_with("::group::Tenants"), "{ran:?}");
    assert_eq!(commands(&stage.run(&["status"])), Vec::<String>::new());
}

#[test]
fn every_report_of_an_apply_says_what_was_done_and_what_not() {
    let stage = Stage::with_vault(MANIFEST);
    // It breaks in the middle of an app: one step is done, one fails.
    fault(&stage, "application.addPassword", "no", 400);
    let step = github(&stage);
    let run = ["apply", "--yes", "--tenant", "contoso", "--report", "report.json"];
    step.run(&run).exits(4);
    let text = std::fs::read_to_string(stage.path("report.json")).unwrap();
    let report: Value = serde_json::from_str(&text).unwrap();
    let schema = stage.run(&["schema", "--of", "status"]).json();
    jsonschema::validate(&schema, &report).unwrap();
    let ran = &report["ran"];
    assert_eq!(ran["verb"], "apply");
    let steps = |member: &str| -> Vec<String> {
        let of = ran[member].as_array().unwrap().iter();
        of.map(|one| format!("{} {}", one["app"], one["step"]).replace('"', "")).collect()
    };
    assert_eq!(steps("done"), ["contoso create-application"]);
    assert_eq!(steps("left"), ["contoso add-secret"]);
    let page = step.summary();
    assert!(
        page.contains("Not done:\n\n- **contoso**: add a client secret \\(failed\\)"),
        "{page}"
    );
    stage.sandbox.clear_faults();
    for (kind, done) in
        [("md", "- **contoso**: client secret added"), ("html", "client secret added")]
    {
        // Each has one more secret to make, so that there is something to tell.
        let path = format!("report.{kind}");
        step.run(&["rotate", "contoso", "--yes", "--report", &path]);
        let text = std::fs::read_to_string(stage.path(&path)).unwrap();
        assert!(text.contains(done) && text.contains("tenantry rotate"), "{text}");
    }
}

#[test]
fn no_name_and_no_message_from_outside_is_a_command() {
    let stage = Stage::with_vault(HOSTILE);
    let message =
        "no\n::set-env name=PATH::/tmp\r\n##vso[task.setvariable variable=x]y\n##[error]z";
    for (step, ours) in [(github(&stage), OF_GITHUB), (azure(&stage), OF_AZURE)] {
        stage.sandbox.clear_faults();
        fault(&stage, "application.upsert", message, 400);
        for arguments in [
            &["plan"][..],
            &["plan", "--full", "-v"],
            &["plan", "--json"],
            &["apply", "--yes", "-vv"],
            &["apply", "--yes", "--json"],
            &["status"],
            &["status", "--json"],
            &["status", "--color", "always"],
            &["explain", "contoso"],
            &["validate"],
            &["validate", "--json"],
            &["plan", "--tenant", "##vso[task.debug]x"],
            &["plan", "--##vso[task.debug]x"],
            &["plan", "--timeout", "\n::error::x"],
        ] {
            let ran = step.run(arguments);
            only(&ran, ours);
            if arguments.contains(&"--json") && ran.code != 64 {
                // Still what it was: the names are in it as they are.
                assert!(ran.lines_or_document() > 0, "{ran:?}");
            }
        }
        // An app that failed is an error at its place.
        let ran = step.run(&["apply", "--yes", "--tenant", "contoso"]).exits(1);
        let line = 1 + HOSTILE.lines().position(|line| line.starts_with("  contoso:")).unwrap();
        let place = match step.runner {
            Runner::GitHub => format!("::error file=manifest.yaml,line={line},col="),
            Runner::Azure => {
                format!(
                    "##vso[task.logissue type=error;sourcepath=manifest.yaml;linenumber={line};"
                )
            }
        };
        let found = only(&ran, ours);
        let error =
            found.iter().find(|l| l.starts_with(&place) && l.contains("Request_BadRequest"));
        assert!(error.is_some_and(|line| line.contains("(request ")), "{found:?}");
    }
    let names = |ran: &Ran| -> Vec<Value> {
        ran.json()["tenants"].as_array().unwrap().iter().map(|t| t["name"].clone()).collect()
    };
    let through = github(&stage).run(&["plan", "--json"]);
    assert_eq!(names(&through), names(&stage.run(&["plan", "--json"])));
    assert_eq!(names(&through)[1], "::add-mask::a");
}

impl Ran {
    fn lines_or_document(&self) -> usize {
        serde_json::from_str::<Value>(&self.stdout).map_or_else(|_| self.lines().len(), |_| 1)
    }
}

#[test]
fn what_is_secret_here_is_masked_first_and_never_said_again() {
    let stage = Stage::with_vault(ONE);
    let secret = stage.sandbox.operator().client_secret;
    let key = "AGE-SECRET-KEY-1QQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQ";
    for (step, mask) in [(github(&stage), "::add-mask::"), (azure(&stage), "##vso[task.setsecret]")]
    {
        for arguments in [&["plan"][..], &["status", "--json"], &["plan", "--no-such-flag"]] {
            let mut command = step.command(arguments);
            command.env("TENANTRY_AGE_IDENTITY", format!("# made today\n{key}\n"));
            let ran = finish(command, arguments);
            let first: Vec<_> = ran.stderr.lines().take(2).collect();
            assert_eq!(first, [format!("{mask}{secret}"), format!("{mask}{key}")], "{arguments:?}");
            assert_eq!(ran.stderr.matches(&secret).count(), 1);
            assert!(!ran.stdout.contains(&secret) && !ran.stdout.contains(mask));
        }
        // No secret that was made is said, not even to have it masked.
        let ran = step.run(&["apply", "--yes", "-vv"]);
        for made in stage.sandbox.issued_secrets().iter().filter(|made| **made != secret) {
            assert!(!ran.stderr.contains(made.as_str()) && !ran.stdout.contains(made.as_str()));
        }
        assert!(!step.summary().contains(&secret));
    }
    // Where no runner reads along, or a file would keep it, it is not said at all.
    let ran = stage.run(&["plan", "--ci", "github"]).exits(0);
    assert!(!ran.stderr.contains(&secret));
    let log: PathBuf = stage.path("log");
    let mut command = github(&stage).command(&["plan"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(std::fs::File::create(&log).unwrap());
    assert!(command.status().unwrap().success());
    assert!(!std::fs::read_to_string(&log).unwrap().contains(&secret));
}

#[test]
fn a_report_is_written_even_when_nothing_could_be_looked_at() {
    type Break = fn(&Stage);
    let cases: [(&str, &[&str], i32, Break, &str); 6] = [
        (
            "an invalid manifest",
            &["plan"],
            65,
            |s| {
                std::fs::write(s.path("manifest.yaml"), "version: 1\nfleet: Not A Fleet\n")
                    .unwrap();
            },
            "Not A Fleet",
        ),
        (
            "no manifest",
            &["status"],
            64,
            |s| {
                std::fs::remove_file(s.path("manifest.yaml")).unwrap();
            },
            "manifest.yaml",
        ),
        (
            "no vault",
            &["apply", "--yes"],
            7,
            |s| {
                std::fs::remove_dir_all(s.path("vault")).unwrap();
            },
            "vault",
        ),
        (
            "an operator who may not",
            &["apply", "--yes"],
            5,
            Stage::disempower,
            "Authorization_RequestDenied",
        ),
        (
            "an unreadable directory",
            &["plan"],
            1,
            |s| {
                fault(s, "application.list", "no", 400);
            },
            "Request_BadRequest",
        ),
        ("nobody to ask", &["apply"], 64, |_| {}, "nobody to ask"),
    ];
    for (name, arguments, code, break_it, why) in cases {
        let stage = Stage::with_vault(ONE);
        break_it(&stage);
        let step = github(&stage);
        let [document, markdown, html, csv] = reports(&step, arguments, code);
        let document: Value = serde_json::from_str(&document).unwrap();
        assert_eq!(document["failed"]["exitCode"], code, "{name}: {document:#}");
        assert_eq!(document["formatVersion"], 1);
        if ![64, 65].contains(&code) {
            assert_eq!(document["fleet"], "acme-soc", "{name}: {document:#}");
        }
        assert!(document["failed"].to_string().contains(why), "{name}: {document:#}");
        assert!(markdown.contains(&format!("Failed, exit {code}")), "{name}: {markdown}");
        assert!(html.contains(&format!("Failed, exit {code}")), "{name}: {html}");
        assert!(csv.lines().count() > 1, "{name}: {csv}");
        if why == "Authorization_RequestDenied" {
            assert_eq!(document["failed"]["failure"]["code"], why);
            assert!(document["failed"]["failure"]["requestId"].is_string(), "{document:#}");
        }
        assert!(step.summary().contains(&format!("Failed, exit {code}")), "{name}");
        assert_eq!(step.outputs(), [], "{name}");
        // The same without any pipeline.
        let path = stage.path("again.json");
        let with: Vec<_> = arguments.iter().copied().chain(["--report", "again.json"]).collect();
        stage.run(&with).exits(code);
        let again: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        assert_eq!(again["failed"]["exitCode"], code);
    }
}

#[test]
fn a_guard_and_a_step_that_failed_are_in_the_report() {
    let stage = Stage::with_vault(MANIFEST);
    let faults = json!([{"operation": "application.upsert", "times": 50,
        "match": {"app": "tenantry-acme-soc--contoso"},
        "do": {"status": 400, "body": {"error": {"code": "Request_BadRequest", "message": "no",
            "innerError": {"request-id": "0b6d0000-0000-4000-8000-00000000feed"}}}}}]);
    stage.sandbox.add_faults(&faults).unwrap();
    let step = azure(&stage);
    let ran = step.run(&["apply", "--yes", "--report", "report.json"]).exits(4);
    assert!(
        only(&ran, OF_AZURE).iter().any(|line| line.contains("SucceededWithIssues")),
        "{ran:?}"
    );
    let read = || -> Value {
        serde_json::from_slice(&std::fs::read(stage.path("report.json")).unwrap()).unwrap()
    };
    let report = read();
    assert_eq!(report["failed"]["exitCode"], 4);
    assert_eq!(report["failed"]["apps"][0]["app"], "contoso");
    assert_eq!(report["failed"]["apps"][0]["failure"]["code"], "Request_BadRequest");
    assert_eq!(report["tenants"].as_array().unwrap().len(), 5, "{report:#}");
    stage.sandbox.clear_faults();
    step.run(&["apply", "--yes", "--report", "report.json"]).exits(0);
    assert_eq!(read()["failed"], Value::Null);
    // The vault's own loss: the plan is there, and why it was refused.
    std::fs::remove_dir_all(stage.path("vault")).unwrap();
    stage.run(&["vault", "init"]).exits(0);
    step.run(&["plan", "--report", "report.json"]).exits(7);
    let report = read();
    assert_eq!(report["failed"]["exitCode"], 7);
    assert_eq!(report["apps"].as_array().unwrap().len(), 4, "{report:#}");
}

#[test]
fn a_summary_never_outgrows_what_the_runner_takes() {
    const MOST: usize = 1024 * 1024;
    let mut manifest = ONE.to_owned();
    for n in 0..6000 {
        manifest.push_str(&format!(
            "  customer-{n:04}: {{name: Customer with a long name {n:04}, domain: customer-{n:04}.example, id: 6f1c0f5e-0000-4000-8000-1{n:011}}}\n"
        ));
    }
    let stage = Stage::with_vault(&manifest);
    let step = github(&stage);
    // Another command of the step has been there.
    let before = "what stood there\n".repeat(100);
    std::fs::write(stage.path("summary"), &before).unwrap();
    step.run(&["plan", "--tenant", "customer-*"]).exits(0);
    let summary = step.summary();
    assert!(summary.len() > MOST / 2 && summary.len() <= MOST, "{}", summary.len());
    assert!(summary.starts_with(&before));
    assert!(
        summary.trim_end().ends_with("`--report FILE` has them all."),
        "{}",
        &summary[summary.len() - 300..]
    );
    assert!(summary.contains(" more lines are left out**"));
    step.run(&["plan", "--tenant", "customer-*"]).exits(0);
    assert_eq!(step.summary(), summary, "full is full");
}

#[test]
fn a_run_that_is_told_to_stop_leaves_its_report() {
    let stage = Stage::with_vault(MANIFEST);
    let faults = json!([{"operation": "application.upsert", "do": {"slow": "1500ms"}}]);
    stage.sandbox.add_faults(&faults).unwrap();
    let arguments = ["apply", "--yes", "--parallelism", "1", "--report", "report.json"];
    let mut command = github(&stage).command(&arguments);
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    while !stage.sandbox.requests().iter().any(|r| r["operation"] == "application.upsert") {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let mut kill = Command::new("kill");
    assert!(kill.arg("-TERM").arg(child.id().to_string()).status().unwrap().success());
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(143));
    let report: Value =
        serde_json::from_slice(&std::fs::read(stage.path("report.json")).unwrap()).unwrap();
    assert_eq!(report["failed"]["exitCode"], 143);
    assert_eq!(report["tenants"].as_array().unwrap().len(), 5);
    assert!(github(&stage).summary().contains("Failed, exit 143"));
}

#[test]
fn a_path_from_the_manifest_is_no_command_either() {
    let vault = "vault: {path: \"##vso[task.setvariable variable=x]y\"}";
    let stage = Stage::new(&ONE.replace("vault: {path: vault}", vault));
    for arguments in [&["plan"][..], &["vault", "init"], &["plan"], &["doctor"]] {
        only(&azure(&stage).run(arguments), OF_AZURE);
    }
}

#[test]
fn no_value_is_printed_into_a_pipelines_log_unless_it_is_meant() {
    let stage = Stage::with_vault(ONE);
    stage.run(&["apply", "--yes"]).exits(0);
    let secret = stage.run(&["reveal", "contoso"]).exits(0).stdout.trim().to_owned();
    for step in [github(&stage), azure(&stage)] {
        for format in ["env", "wazuh"] {
            let ran = step.run(&["export", "contoso", "--format", format]).exits(64);
            assert!(ran.stderr.contains("whose log keeps what is printed"), "{}", ran.stderr);
            assert!(!ran.stdout.contains(&secret) && !ran.stderr.contains(&secret));
        }
        step.run(&["export", "contoso", "--format", "env", "--out", "siem.env"]).exits(0);
        let ran = step.run(&["export", "contoso", "--format", "env", "--reveal"]).exits(0);
        assert!(ran.stdout.contains(&secret));
    }
}

#[test]
fn what_fails_in_a_customers_directory_is_shown_at_that_customer() {
    const GRANTED: &str = r#"version: 1
fleet: acme-soc
home: {tenant: acme-soc.example, cloud: global}
vault: {path: vault}
defaults: {connector: defender-xdr, consent: {strategy: grant}}
sharedApps:
  siem-eu: {name: Acme SOC EU, redirectUris: ["https://siem.acme-soc.example/eu"]}
tenants:
  northwind: {name: Northwind Traders, domain: northwind.example, app: siem-eu}
  humongous: {name: Humongous Insurance, domain: humongous.example, app: siem-eu}
"#;
    let stage = Stage::with_vault(GRANTED);
    let refuse = || {
        let fault = json!([{"operation": "servicePrincipal.create", "match": {"tenant": HUMONGOUS},
                            "do": {"status": 403}}]);
        stage.sandbox.add_faults(&fault).unwrap();
    };
    let line = 1 + GRANTED.lines().position(|line| line.starts_with("  humongous:")).unwrap();
    let errors = |ran: &Ran, begins: &[&str], error: &str| -> Vec<String> {
        only(ran, begins).into_iter().filter(|line| line.starts_with(error)).collect()
    };
    let applied = ["apply", "--yes", "--report", "report.json"];
    // The first one makes the app and serves the other customer; the others do nothing that works.
    for (arguments, code) in [(&applied[..], 4), (&applied, 5), (&["consent"], 1)] {
        refuse();
        let ran = github(&stage).run(arguments).exits(code);
        let found = errors(&ran, OF_GITHUB, "::error ");
        let begin = format!("::error file=manifest.yaml,line={line},col=");
        assert_eq!(found.len(), 1, "{found:?}");
        let one = &found[0];
        assert!(one.starts_with(&begin) && one.contains("humongous%3A failed"), "{found:?}");

        refuse();
        let ran = azure(&stage).run(arguments).exits(if code == 4 { 5 } else { code });
        let found = errors(&ran, OF_AZURE, "##vso[task.logissue type=error;");
        let place = format!("sourcepath=manifest.yaml;linenumber={line};columnnumber=");
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains(&place) && found[0].contains("humongous: failed"), "{found:?}");
        assert_eq!(stage.sandbox.unused_faults(), [] as [Value; 0]);
    }
    // Whoever reads the report learns which customer it was, too.
    let text = std::fs::read_to_string(stage.path("report.json")).unwrap();
    let failed = &serde_json::from_str::<Value>(&text).unwrap()["failed"]["apps"];
    assert_eq!(failed.as_array().unwrap().len(), 1, "{failed}");
    assert_eq!((&failed[0]["app"], &failed[0]["tenant"]), (&json!("siem-eu"), &json!("humongous")));
}
