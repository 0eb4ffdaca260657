//! The pipelines in `manifests/pipelines`: held against their systems' schemas, and their commands
//! run as they are written, in a shell that plays the runner, against the sandbox.

use std::{
    collections::BTreeMap,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::stage::{HOME, Ran, Stage, directory, finish};

const MANIFEST: &str = r#"version: 1
fleet: acme-soc
home: {tenant: acme-soc.example, cloud: global}
vault: {keyVault: 'https://acme-soc.vault.azure.net'}
defaults: {connector: graph-security, redirectUris: ["https://{domain}/SiemMsspConnector"]}
tenants:
  contoso: {name: Contoso, domain: contoso.example}
  fabrikam: {name: Fabrikam, domain: fabrikam.example}
  woodgrove: {name: Woodgrove Bank, domain: woodgrove.example}
"#;

fn pipelines() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/pipelines")
}

fn files(folder: &str) -> Vec<PathBuf> {
    let mut folders = vec![pipelines().join(folder)];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    assert!(!files.is_empty());
    files
}

fn document(path: &Path) -> Value {
    serde_yaml::from_str(&std::fs::read_to_string(path).unwrap())
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A step's script, by the name that the step shows.
fn scripts(document: &Value) -> BTreeMap<String, String> {
    fn walk(value: &Value, into: &mut BTreeMap<String, String>) {
        match value {
            Value::Object(members) => {
                let text = |name: &str| members.get(name).and_then(Value::as_str);
                let script = ["run", "bash"].iter().find_map(|name| text(name)).or_else(|| {
                    members.get("inputs").and_then(|inputs| inputs["inlineScript"].as_str())
                });
                if let Some(script) = script {
                    let name = text("name").filter(|_| text("run").is_some());
                    let name = name.or_else(|| text("displayName")).unwrap_or("Install tenantry");
                    into.entry(name.to_owned()).or_default().push_str(script);
                }
                members.values().for_each(|value| walk(value, into));
            }
            Value::Array(items) => items.iter().for_each(|value| walk(value, into)),
            _ => {}
        }
    }
    let mut scripts = BTreeMap::new();
    walk(document, &mut scripts);
    scripts
}

/// Whether a tool is on the PATH; says aloud where it is not.
pub(crate) fn has(tool: &str) -> bool {
    let found = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .any(|folder| folder.join(tool).is_file());
    if !found {
        assert_ne!(
            std::env::var("TENANTRY_LINTERS").as_deref(),
            Ok("required"),
            "{tool} is required here"
        );
        eprintln!("SKIPPED: {tool} is not on the PATH");
    }
    found
}

#[track_caller]
pub(crate) fn passes(mut command: Command) {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{command:?}\n{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn pipelines_are_what_their_systems_read() {
    if !has("check-jsonschema") {
        return;
    }
    for (folder, schema) in [
        ("github/workflows", "vendor.github-workflows"),
        ("github/actions", "vendor.github-actions"),
        ("azure", "vendor.azure-pipelines"),
    ] {
        let mut command = Command::new("check-jsonschema");
        // The schema of Azure Pipelines holds expressions that only this variant reads.
        command.args(["--builtin-schema", schema, "--regex-variant", "python"]).args(files(folder));
        passes(command);
    }
}

#[test]
fn scripts_are_sound_and_nothing_is_pasted_into_them() {
    let mut count = 0;
    for folder in ["github", "azure"] {
        for file in files(folder) {
            for (name, script) in scripts(&document(&file)) {
                let shown = format!("{}: {name}", file.display());
                // What is pasted in before the shell reads it can hold commands: expressions, and
                // macros such as $(Build.SourceVersionMessage), which are no commands of a shell.
                let macros = script.match_indices("$(").filter(|(at, _)| {
                    script[at + 2..].starts_with(|first: char| first.is_ascii_uppercase())
                });
                assert!(!script.contains("${{") && macros.count() == 0, "{shown}");
                let folder = tempfile::tempdir().unwrap();
                let path = folder.path().join("script.sh");
                std::fs::write(&path, format!("#!/usr/bin/env bash\n{script}")).unwrap();
                let mut command = Command::new("bash");
                command.arg("-n").arg(&path);
                passes(command);
                if has("shellcheck") {
                    let mut command = Command::new("shellcheck");
                    command.arg(&path);
                    passes(command);
                }
                count += 1;
            }
        }
    }
    assert!(count > 10, "{count}");
}

/// A runner: a folder with the repository, a PATH whose first folder is ours, and the variables
/// that its system sets.
struct Runner<'s> {
    stage: &'s Stage,
    variables: Vec<(String, String)>,
}

impl<'s> Runner<'s> {
    fn new(stage: &'s Stage, variables: &[(&str, String)]) -> Self {
        std::fs::write(stage.path("customers.yaml"), MANIFEST).unwrap();
        let runner = Self {
            stage,
            variables: variables.iter().map(|(n, v)| ((*n).to_owned(), v.clone())).collect(),
        };
        // All that stands between the pipeline and the sandbox: which cloud it is.
        runner.tool(
            "tenantry",
            &format!("exec '{}' \"$@\" --cloud world/cloud.yaml", env!("CARGO_BIN_EXE_tenantry")),
        );
        runner
    }

    /// Puts a tool before all others of its name.
    fn tool(&self, name: &str, script: &str) {
        let folder = self.stage.path("bin");
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join(name);
        std::fs::write(&path, format!("#!/usr/bin/env bash\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Runs a step of a pipeline as its system does, on a disk that has forgotten all but the
    /// repository.
    fn step(&self, file: &str, name: &str, more: &[(&str, &str)]) -> Ran {
        for forgotten in ["home", "config", ".tenantry"] {
            let _ = std::fs::remove_dir_all(self.stage.path(forgotten));
        }
        let path = pipelines().join(file);
        let scripts = scripts(&document(&path));
        let script = scripts.get(name).unwrap_or_else(|| panic!("{file} has no step {name}"));
        std::fs::write(self.stage.path("step.sh"), script).unwrap();
        let mut command = Command::new("bash");
        if file.starts_with("github") {
            // GitHub's default shell.
            command.arg("-e");
        }
        let like = self.stage.command(&[]);
        let paths = std::env::var_os("PATH").unwrap_or_default();
        let paths = std::iter::once(self.stage.path("bin")).chain(std::env::split_paths(&paths));
        command
            .arg("step.sh")
            .env_clear()
            .envs(like.get_envs().filter_map(|(name, value)| Some((name, value?))))
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .envs(more.iter().copied())
            .env("PATH", std::env::join_paths(paths).unwrap())
            .current_dir(self.stage.folder.path())
            .stdin(Stdio::null());
        finish(command, &[file, name])
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.stage.path(name)).unwrap_or_default()
    }
}

fn apps(stage: &Stage) -> usize {
    let world = stage.sandbox.world();
    let all = directory(&world, HOME)["applications"].as_array().unwrap().clone();
    let ours = |app: &Value| {
        app["tags"].as_array().is_some_and(|t| t.contains(&json!("tenantry:fleet=acme-soc")))
    };
    all.iter().filter(|app| ours(app)).count()
}

/// The value of an output that was written the way GitHub reads it.
fn output(text: &str, name: &str) -> String {
    let mut value = None;
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some((key, delimiter)) = line.split_once("<<") {
            let lines: Vec<&str> = lines.by_ref().take_while(|line| *line != delimiter).collect();
            value = (key == name).then(|| lines.join("\n")).or(value);
        } else if let Some((key, one)) = line.split_once('=') {
            value = (key == name).then(|| one.to_owned()).or(value);
        }
    }
    value.unwrap_or_else(|| panic!("no output {name} in {text}"))
}

#[test]
fn github_plans_comments_applies_what_was_approved_and_reports() {
    let stage = Stage::new(MANIFEST);
    stage.run(&["vault", "init"]).exits(0);
    let root = stage.folder.path().display().to_string();
    let runner = Runner::new(
        &stage,
        &[
            ("GITHUB_ACTIONS", "true".to_owned()),
            ("GITHUB_WORKSPACE", root.clone()),
            ("GITHUB_REPOSITORY", "acme/customers".to_owned()),
            ("GITHUB_OUTPUT", format!("{root}/outputs")),
            ("GITHUB_STEP_SUMMARY", format!("{root}/summary.md")),
        ],
    );
    // GitHub as far as a comment goes: one thread, whose comments have ids.
    runner.tool(
        "gh",
        r#"echo "$*" >> gh.log
case "$*" in
  *--method*) cp comment.md posted.md ;;
  *) [ -f posted.md ] && echo 77 ;;
esac
exit 0"#,
    );
    let plan = "github/workflows/tenantry-plan.yml";
    for _ in 0..2 {
        runner.step(plan, "Plan", &[]).exits(0);
        runner.step(plan, "Comment", &[("GH_TOKEN", "t"), ("PULL_REQUEST", "5")]).exits(0);
    }
    let comment = runner.text("posted.md");
    assert!(comment.starts_with("<!-- tenantry plan -->\n"), "{comment}");
    assert!(comment.contains("contoso") && comment.contains("3 to add"), "{comment}");
    let calls = runner.text("gh.log");
    let calls: Vec<&str> = calls.lines().filter(|call| call.contains("--method")).collect();
    assert!(calls[0].contains("--method POST repos/acme/customers/issues/5/comments"), "{calls:?}");
    assert!(calls[1].contains("--method PATCH repos/acme/customers/issues/comments/77"));
    assert_eq!((calls.len(), apps(&stage)), (2, 0));

    let apply = "github/workflows/tenantry-apply.yml";
    let planned = |runner: &Runner<'_>| {
        std::fs::write(stage.path("outputs"), "").unwrap();
        runner.step(apply, "Plan", &[]).exits(0);
        let outputs = runner.text("outputs");
        (output(&outputs, "changes"), output(&outputs, "checksum"))
    };
    let (changes, checksum) = planned(&runner);
    assert_eq!(changes, "true");
    runner.step(apply, "Apply", &[("CHECKSUM", &"0".repeat(64))]).exits(6);
    assert_eq!(apps(&stage), 0);
    runner.step(apply, "Apply", &[("CHECKSUM", &checksum)]).exits(0);
    assert_eq!(apps(&stage), 3);
    assert!(runner.text("apply.md").contains("contoso"));
    assert_eq!(planned(&runner).0, "false");

    let night = runner.step("github/workflows/tenantry-nightly.yml", "Status", &[]).exits(3);
    assert!(night.stdout.contains("3 need admin consent"), "{}", night.stdout);
    assert!(runner.text("status.html").contains("Woodgrove Bank"));
    let shards = "github/workflows/tenantry-shards.yml";
    for shard in ["1", "2", "3", "4"] {
        runner.step(shards, "Status of a shard", &[("SHARD", shard)]).exits(0);
    }
    let all = runner.step(shards, "Status of all", &[]).exits(3);
    assert!(all.stdout.contains("3 tenants:"), "{}", all.stdout);
    std::fs::remove_file(stage.path("shard-2.json")).unwrap();
    runner.step(shards, "Status of all", &[]).exits(64);
}

#[test]
fn azure_plans_comments_applies_what_was_approved_and_reports() {
    if !has("jq") || !has("curl") {
        return;
    }
    let stage = Stage::new(MANIFEST);
    stage.run(&["vault", "init"]).exits(0);
    let root = stage.folder.path().display().to_string();
    let runner = Runner::new(
        &stage,
        &[
            ("TF_BUILD", "True".to_owned()),
            ("BUILD_SOURCESDIRECTORY", root.clone()),
            ("AGENT_TEMPDIRECTORY", root.clone()),
            ("SYSTEM_COLLECTIONURI", "https://dev.azure.example/acme/".to_owned()),
            ("SYSTEM_TEAMPROJECTID", "soc".to_owned()),
            ("BUILD_REPOSITORY_ID", "customers".to_owned()),
            ("SYSTEM_PULLREQUEST_PULLREQUESTID", "5".to_owned()),
        ],
    );
    // Whoever the task has signed in: `az` gets tokens where the sandbox gives them.
    let curl = std::env::split_paths(&std::env::var_os("PATH").unwrap())
        .map(|folder| folder.join("curl"))
        .find(|path| path.is_file())
        .unwrap();
    let operator = stage.sandbox.operator();
    runner.tool(
        "az",
        &format!(
            r#"while [ $# -gt 0 ]; do case "$1" in --scope) scope=$2 ;; --resource) scope=$2/.default ;; esac; shift; done
token=$('{}' --silent --cacert '{}/world/ca.pem' --data-urlencode grant_type=client_credentials --data-urlencode client_id={} --data-urlencode client_secret={} --data-urlencode "scope=$scope" '{}/{}/oauth2/v2.0/token' | jq --raw-output .access_token)
printf '{{"accessToken":"%s","expires_on":%s,"expiresOn":"2099-01-01 00:00:00.000000","tokenType":"Bearer","tenant":"x","subscription":"x"}}\n' "$token" $(($(date +%s) + 3000))"#,
            curl.display(),
            // The tool is not started in this folder.
            root,
            operator.client_id,
            operator.client_secret,
            stage.sandbox.base_url(),
            operator.tenant_id,
        ),
    );
    // Azure DevOps as far as a comment goes.
    runner.tool(
        "curl",
        r#"cat >> curl.config
echo "$*" >> curl.log
case "$*" in
  *--request*) cp comment.json posted.json ;;
  *) if [ -f posted.json ]; then echo '{"value":[{"id":3,"comments":[{"content":"hello"}]},{"id":9,"comments":[{"content":"<!-- tenantry plan -->"}]}]}'; else echo '{"value":[]}'; fi ;;
esac"#,
    );
    let step = |file: &str, name: &str, more: &[(&str, &str)]| {
        // No secret of the operator's is there: only what `az` gives.
        let none = [("AZURE_CLIENT_SECRET", ""), ("AZURE_CLIENT_ID", ""), ("AZURE_TENANT_ID", "")];
        runner.step(file, name, &[&none, more].concat())
    };
    for _ in 0..2 {
        step("azure/plan.yml", "Plan", &[]).exits(0);
        step("azure/plan.yml", "Comment", &[("SYSTEM_ACCESSTOKEN", "canary-of-the-job")]).exits(0);
    }
    let posted: Value = serde_json::from_str(&runner.text("posted.json")).unwrap();
    let content = posted["content"].as_str().unwrap();
    assert!(content.starts_with("<!-- tenantry plan -->\n") && content.contains("contoso"));
    let calls = runner.text("curl.log");
    let writes: Vec<&str> = calls.lines().filter(|call| call.contains("--request")).collect();
    let threads = "https://dev.azure.example/acme/soc/_apis/git/repositories/customers/pullRequests/5/threads";
    assert!(writes[0].contains("POST") && writes[0].contains(&format!("{threads}?api-version")));
    assert!(writes[1].contains("PATCH") && writes[1].contains(&format!("{threads}/9/comments/1")));
    assert!(!calls.contains("canary-of-the-job"), "a token is no argument");
    assert!(runner.text("curl.config").contains("Bearer canary-of-the-job"));

    // A variable that the agent is told, of whichever stream it reads.
    let variable = |ran: &Ran, name: &str| {
        let told = format!("{}\n{}", ran.stdout, ran.stderr);
        let start = format!("##vso[task.setvariable variable={name};");
        let line = told.lines().find_map(|line| line.strip_prefix(&start)?.split_once(']'));
        let value = line.map(|(properties, value)| {
            assert!(properties.contains("isOutput=true"), "{properties}");
            value.to_owned()
        });
        value.unwrap_or_else(|| panic!("no variable {name} in {told}"))
    };
    let planned = step("azure/apply.yml", "Plan", &[]).exits(0);
    assert_eq!(variable(&planned, "changes"), "true");
    let checksum = variable(&planned, "checksum");
    step("azure/apply.yml", "Apply", &[("CHECKSUM", &"0".repeat(64))]).exits(6);
    step("azure/apply.yml", "Apply", &[("CHECKSUM", &checksum)]).exits(0);
    assert_eq!(apps(&stage), 3);
    assert_eq!(variable(&step("azure/apply.yml", "Plan", &[]).exits(0), "changes"), "false");
    // Yellow: the agent was told, and the task itself ends well.
    let night = step("azure/nightly.yml", "Status", &[]).exits(0);
    let told = format!("{}\n{}", night.stdout, night.stderr);
    assert!(told.contains("##vso[task.complete result=SucceededWithIssues;]"), "{told}");
    stage
        .sandbox
        .add_faults(&json!([{"operation": "login.token", "do": {"status": 400}, "times": 99}]))
        .unwrap();
    assert_ne!(step("azure/nightly.yml", "Status", &[]).code, 0);
}
