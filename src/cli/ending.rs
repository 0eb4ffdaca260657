//! What is written when a run ends, however it ends: the report, and what a pipeline's runner
//! reads.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use clap::ValueEnum;
use uuid::Uuid;

use super::output;
use crate::{
    event::Event,
    ids::FleetName,
    report::{
        ci::{self, Annotation, Ci},
        error::Trouble,
        failed::{Failed, FailedSteps},
        file::{self, Kind},
        ran::Ran,
    },
    verdict::Verdict,
};

/// Which pipeline the output is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Choice {
    /// Told by the environment
    Auto,
    /// GitHub Actions
    Github,
    /// Azure Pipelines
    Azure,
    /// None: print nothing for a runner
    None,
}

/// What the environment of a pipeline gives us that is secret. Each was there before us, and the
/// runner mostly masks it already; but not what a script fetched and exported itself.
const SECRETS: &[&str] = &[
    "AZURE_CLIENT_SECRET",
    "AZURE_CLIENT_CERTIFICATE_PASSWORD",
    "AZURE_PASSWORD",
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
    "SYSTEM_ACCESSTOKEN",
    "IDENTITY_HEADER",
    "MSI_SECRET",
];

/// The vault's key, or the path of its file, which is no secret; a key may have lines about it.
const KEY: &str = "TENANTRY_AGE_IDENTITY";

/// Everything that is secret in the environment, a line each where it has lines.
fn secrets() -> Vec<String> {
    let mut secrets: Vec<_> = SECRETS.iter().filter_map(|name| variable(name)).collect();
    let key = variable(KEY).unwrap_or_default();
    secrets.extend(key.lines().filter(|l| l.contains("AGE-SECRET-KEY-")).map(str::to_owned));
    secrets
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.trim().is_empty())
}

/// What is known of a run, for whoever has to tell of it at its end. Cloning gives another hand on
/// the same one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ending {
    known: Arc<Mutex<Known>>,
}

#[derive(Debug, Default)]
struct Known {
    ci: Ci,
    verb: &'static str,
    report: Option<PathBuf>,
    fleet: Option<FleetName>,
    sandbox: bool,
    /// The report as it was made before the run ended.
    made: Option<(Kind, String)>,
    annotations: Vec<Annotation>,
    /// Markdown for the run's page.
    summary: Option<String>,
    outputs: Vec<(&'static str, String)>,
    failed: Vec<FailedSteps>,
    ran: Ran,
}

impl Ending {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a run: decides whom it talks to, and has what is secret masked before a word is said.
    ///
    /// Only what the environment gave us is masked. Secrets that we make never come near the output,
    /// and a mask would be just that: the value, in our output, for a reader that may not be there.
    pub(super) fn begin(&self, choice: Choice, verb: &'static str, report: Option<&Path>) {
        let found = Ci::detected(variable);
        let ci = match choice {
            Choice::Auto => found,
            Choice::Github => Ci::GitHub,
            Choice::Azure => Ci::Azure,
            Choice::None => Ci::None,
        };
        ci::read_by(ci);
        let mut known = self.known();
        (known.ci, known.verb) = (ci, verb);
        known.report = report.map(Path::to_owned);
        // Where no runner started us nobody takes the masks out of what is shown, and a file would
        // keep them. Whoever is told to speak as to another is masked for the one that listens.
        if found != Ci::None && ci != Ci::None && !kept() {
            output::command(&secrets().iter().map(|value| found.mask(value)).collect::<String>());
        }
    }

    /// Whose runner reads along.
    pub(super) fn ci(&self) -> Ci {
        self.known().ci
    }

    /// The fleet is known now.
    pub(super) fn of_fleet(&self, fleet: &FleetName, sandbox: bool) {
        let mut known = self.known();
        known.fleet = Some(fleet.clone());
        known.sandbox = sandbox;
    }

    /// Something happened on the way.
    pub(super) fn hear(&self, event: &Event) {
        self.known().ran.hear(event);
    }

    /// A report that tells how everybody is, with what this run did before it.
    pub(super) fn with_what_was_done(&self, kind: Kind, report: String) -> String {
        let known = self.known();
        known.ran.join(known.verb, kind, report)
    }

    /// A report was made and written.
    pub(super) fn reported(&self, kind: Kind, text: String) {
        self.known().made = Some((kind, text));
    }

    /// What is worth an annotation; all are printed together at the end, the gravest first.
    pub(super) fn annotate(&self, annotations: Vec<Annotation>) {
        self.known().annotations.extend(annotations);
    }

    /// What the run's page shows; made only where somebody reads it.
    pub(super) fn summary(&self, markdown: impl FnOnce() -> String) {
        if self.ci() != Ci::None {
            let markdown = markdown();
            self.known().summary = Some(markdown);
        }
    }

    /// What later steps can use.
    pub(super) fn outputs(&self, changes: bool, checksum: String, pending: usize) {
        self.known().outputs = vec![
            ("changes", changes.to_string()),
            ("checksum", checksum),
            ("pending", pending.to_string()),
        ];
    }

    /// Whose steps failed, for the report.
    pub(super) fn failed(&self, failed: Vec<FailedSteps>) {
        self.known().failed.extend(failed);
    }

    /// Ends a run. A report that cannot be written any more is said and changes no exit code: it
    /// would hide what happened.
    pub(super) fn end(&self, verdict: Verdict, trouble: Option<&Trouble>) {
        let mut known = std::mem::take(&mut *self.known());
        if let Some(trouble) = trouble {
            known.annotations.extend(ci::of_trouble(trouble));
        }
        if let Some(summary) = known.summary.take() {
            known.summary = Some(known.ran.join(known.verb, Kind::Markdown, summary));
        }
        match verdict {
            // What was found is no failure, even where a pipeline asked to be told by the exit code.
            Verdict::Done | Verdict::ChangesPlanned | Verdict::Pending | Verdict::Expiring => {}
            Verdict::Failed
            | Verdict::PartlyApplied
            | Verdict::MayNot
            | Verdict::StalePlan
            | Verdict::Guarded
            | Verdict::Usage
            | Verdict::InvalidManifest
            | Verdict::Stopped(_) => known.report_failure(verdict, trouble),
        }
        known.tell_runner(verdict);
    }
}

/// Whether what we say on stderr is kept in a file, where no runner reads it.
#[cfg(unix)]
fn kept() -> bool {
    use std::os::fd::AsFd;
    let stderr = io::stderr();
    stderr
        .as_fd()
        .try_clone_to_owned()
        .and_then(|fd| File::from(fd).metadata())
        .is_ok_and(|about| about.is_file())
}

#[cfg(not(unix))]
fn kept() -> bool {
    false
}

impl Known {
    fn report_failure(&mut self, verdict: Verdict, trouble: Option<&Trouble>) {
        let failed = Failed {
            verb: self.verb,
            fleet: self.fleet.as_ref(),
            sandbox: self.sandbox,
            verdict,
            trouble,
            steps: &self.failed,
        };
        if let Some((path, kind)) =
            self.report.as_ref().and_then(|path| Some((path, Kind::of(path).ok()?)))
        {
            let text = match &self.made {
                Some((_, made)) => failed.join(kind, made),
                None => self.ran.join(self.verb, kind, failed.report(kind)),
            };
            if let Err(error) = file::save(path, &text) {
                warn(&format!("the report {} was not written", path.display()), &error);
            }
        }
        if self.ci != Ci::None {
            self.summary = Some(match self.summary.take() {
                Some(summary) => failed.join(Kind::Markdown, &summary),
                None => failed.report(Kind::Markdown),
            });
        }
    }

    /// Commands go to stderr: stdout is the result's, which a pipeline may keep in a file
    /// (`plan --json > plan.json`). GitHub's runner reads both streams
    /// (actions/runner, `src/Runner.Worker/Handlers/ScriptHandler.cs`), and so does Azure's agent
    /// (microsoft/azure-pipelines-agent, `src/Agent.Worker/Handlers/NodeHandler.cs`), whose script
    /// tasks join the two anyway (microsoft/azure-pipelines-tasks, `Tasks/BashV3/bash.ts`). Not for a
    /// task with `failOnStderr`, which our notices would fail as well.
    fn tell_runner(&mut self, verdict: Verdict) {
        if self.ci == Ci::None {
            return;
        }
        let mut commands = self.ci.annotations(std::mem::take(&mut self.annotations), {
            let roots = Roots::of(self.ci);
            move |file| roots.name(file)
        });
        let mut outputs = String::new();
        for (name, value) in &self.outputs {
            let delimiter = format!("end-{}", Uuid::new_v4());
            outputs.push_str(&self.ci.output(name, value, &delimiter));
        }
        match self.ci {
            Ci::None => {}
            Ci::GitHub => {
                if let Some(path) = variable("GITHUB_OUTPUT")
                    && let Err(error) = append(Path::new(&path), &outputs)
                {
                    warn("the outputs were not written", &error);
                }
            }
            Ci::Azure => commands.push_str(&outputs),
        }
        if let Some(summary) = self.summary.take() {
            match write_summary(self.ci, &summary) {
                Ok(Some(path)) => {
                    commands.push_str(&self.ci.take_summary(&path.to_string_lossy()));
                }
                Ok(None) => {}
                Err(error) => warn("the summary was not written", &error),
            }
        }
        commands.push_str(&self.ci.complete(verdict));
        output::command(&commands);
    }
}

fn warn(what: &str, error: &io::Error) {
    output::tell(&format!("warning: {what}: {error}\n"));
}

fn append(path: &Path, text: &str) -> io::Result<()> {
    if text.is_empty() {
        return Ok(());
    }
    OpenOptions::new().append(true).create(true).open(path)?.write_all(text.as_bytes())
}

/// Writes the summary to where the runner takes it, and gives back its place where the runner must
/// be told. Earlier commands of the same step may have written there.
fn write_summary(ci: Ci, markdown: &str) -> io::Result<Option<PathBuf>> {
    match ci {
        Ci::None => Ok(None),
        Ci::GitHub => {
            let Some(path) = variable("GITHUB_STEP_SUMMARY") else { return Ok(None) };
            let path = Path::new(&path);
            let there = fs::metadata(path).map_or(0, |about| about.len());
            let room =
                ci::MOST_SUMMARY.saturating_sub(usize::try_from(there).unwrap_or(usize::MAX));
            // What stood there may not end its line.
            let between = if there > 0 { "\n\n" } else { "" };
            let text = ci::within(markdown, room.saturating_sub(between.len()));
            if !text.is_empty() {
                append(path, &format!("{between}{text}"))?;
            }
            Ok(None)
        }
        Ci::Azure => {
            let Some(folder) = variable("AGENT_TEMPDIRECTORY") else { return Ok(None) };
            let path = Path::new(&folder).join(format!("tenantry-{}.md", Uuid::new_v4()));
            file::save(&path, &ci::within(markdown, ci::MOST_SUMMARY))?;
            Ok(Some(std::path::absolute(path)?))
        }
    }
}

/// Where the repository lies, and where we are.
struct Roots {
    root: Option<PathBuf>,
}

impl Roots {
    fn of(ci: Ci) -> Self {
        let root = ci.root_variable().and_then(variable).map(PathBuf::from);
        Self { root: root.map(|root| fs::canonicalize(&root).unwrap_or(root)) }
    }

    /// A file as the runner names it: relative to the repository where it lies within, with `/`.
    fn name(&self, file: &Path) -> Option<String> {
        if file == Path::new("-") {
            return None;
        }
        let Some(root) = &self.root else { return Some(file.to_string_lossy().into_owned()) };
        let whole = fs::canonicalize(file).or_else(|_| std::path::absolute(file)).ok()?;
        let Ok(inner) = whole.strip_prefix(root) else {
            return Some(whole.to_string_lossy().into_owned());
        };
        let parts: Vec<_> = inner.iter().map(|part| part.to_string_lossy()).collect();
        Some(parts.join("/"))
    }
}
