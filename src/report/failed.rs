//! How a run that failed reads in a report: there is one, even where nothing could be looked at.

use maud::{Markup, html};
use serde_json::{Value, json};

use super::{
    error::Trouble,
    file::{Kind, csv_line, json_text, markdown_text, with_part},
    html::{Document, Script, document},
    json::{FORMAT_VERSION, value},
    paper::clean,
};
use crate::{
    failure::Failure,
    ids::{AppKey, FleetName, TenantKey},
    verdict::Verdict,
};

/// Why the steps of somebody were not all done.
#[derive(Debug, Clone)]
pub struct FailedSteps {
    /// The app that they are about.
    pub app: AppKey,
    /// The customer in whose directory they are taken; nobody where they are the app's own.
    pub tenant: Option<TenantKey>,
    /// Why.
    pub failure: Failure,
}

impl FailedSteps {
    /// Whose they are, as the manifest names it.
    pub fn whose(&self) -> &str {
        self.tenant.as_ref().map_or(self.app.as_str(), TenantKey::as_str)
    }
}

/// A run that did not end well.
#[derive(Debug)]
pub struct Failed<'r> {
    /// Which verb.
    pub verb: &'static str,
    /// Which fleet, where the manifest was read.
    pub fleet: Option<&'r FleetName>,
    /// Whether it played in the sandbox.
    pub sandbox: bool,
    /// How it ended.
    pub verdict: Verdict,
    /// The error that ended it, where one did.
    pub trouble: Option<&'r Trouble>,
    /// Whose steps failed.
    pub steps: &'r [FailedSteps],
}

impl Failed<'_> {
    /// A report of nothing but the failure.
    pub fn report(&self, kind: Kind) -> String {
        match kind {
            Kind::Json => json_text(&json!({
                "formatVersion": FORMAT_VERSION,
                "fleet": self.fleet,
                "sandbox": self.sandbox,
                "failed": self.document(),
            })),
            Kind::Markdown => format!("# {}\n\n{}{}", self.title(), self.note(), self.markdown()),
            Kind::Html => document(Document {
                title: &self.title(),
                class: "report",
                style: "",
                script: Script::None,
                head: html! {},
                body: html! {
                    main {
                        h1 { (self.title()) }
                        @if self.sandbox { p { strong { "sandbox" } ": nothing here is real." } }
                        (self.markup())
                    }
                },
            }),
            Kind::Csv => self.csv(),
        }
    }

    /// The same in a report that was made before the run failed.
    pub fn join(&self, kind: Kind, report: &str) -> String {
        let document = ("failed", || self.document());
        with_part(kind, report, document, || self.markdown(), || self.markup())
            .unwrap_or_else(|| self.report(kind))
    }

    fn title(&self) -> String {
        match self.fleet {
            Some(fleet) => format!("tenantry {}: fleet {fleet}", self.verb),
            None => format!("tenantry {}", self.verb),
        }
    }

    fn note(&self) -> &'static str {
        if self.sandbox { "**sandbox**: nothing here is real.\n\n" } else { "" }
    }

    fn headline(&self) -> String {
        format!("exit {}: {}", self.verdict.code(), self.verdict.meaning())
    }

    /// What went wrong and what to do about it, a line each.
    fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(Trouble { verdict: _, what, why, next, cause: _ }) = self.trouble {
            lines.push(what.clone());
            lines.extend(why.iter().cloned());
            lines.extend(next.iter().map(|next| format!("Do: {next}")));
        }
        if let Some(mistakes) = self.trouble.and_then(Trouble::mistakes) {
            lines.extend(mistakes.list().iter().map(|mistake| {
                let place = &mistake.place;
                let file = place.file.display();
                let hint = mistake.help.as_ref().map_or_else(String::new, |h| format!(" ({h})"));
                format!("{file}:{}:{}: {}{hint}", place.line, place.column, mistake.sentence())
            }));
        }
        let failed = |one: &FailedSteps| format!("{}: {}", one.whose(), one.failure.line());
        lines.extend(self.steps.iter().map(failed));
        lines
    }

    /// `{verb, exitCode, meaning, what, why, next, failure, mistakes, apps}`
    fn document(&self) -> Value {
        let mistakes = self.trouble.and_then(Trouble::mistakes).map(|mistakes| {
            let document = mistakes.to_json();
            document.get("mistakes").cloned().unwrap_or_default()
        });
        let apps: Vec<_> = self
            .steps
            .iter()
            .map(|FailedSteps { app, tenant, failure }| {
                json!({ "app": app, "tenant": tenant, "failure": value(failure) })
            })
            .collect();
        json!({
            "verb": self.verb,
            "exitCode": self.verdict.code(),
            "meaning": self.verdict.meaning(),
            "what": self.trouble.map(|trouble| &trouble.what),
            "why": self.trouble.map_or_else(Vec::new, |trouble| trouble.why.clone()),
            "next": self.trouble.and_then(|trouble| trouble.next.as_ref()),
            "failure": self.trouble.and_then(Trouble::failure).map(value),
            "mistakes": mistakes,
            "apps": apps,
        })
    }

    fn markdown(&self) -> String {
        let mut text = format!("**Failed, {}**\n", markdown_text(&self.headline()));
        for line in self.lines() {
            text.push_str(&format!("\n- {}", markdown_text(&line)));
        }
        text.push('\n');
        text
    }

    fn markup(&self) -> Markup {
        html! {
            section {
                h2 { "Failed, " (self.headline()) }
                ul { @for line in self.lines() { li { (clean(&line)) } } }
            }
        }
    }

    /// A line a mistake, or each app and tenant whose steps failed, or one for the run.
    fn csv(&self) -> String {
        let mut text = String::from(
            "verb,fleet,exitCode,what,app,file,line,column,status,code,requestId,next,sandbox,tenant\r\n",
        );
        let mut row = |what: &str,
                       whose: [&str; 2],
                       at: [String; 3],
                       failure: Option<&Failure>,
                       next: &str| {
            let [app, tenant] = whose;
            let failed = |field: fn(&Failure) -> Option<String>| failure.and_then(field);
            let [file, line, column] = at;
            let fields = [
                self.verb.to_owned(),
                self.fleet.map_or_else(String::new, ToString::to_string),
                self.verdict.code().to_string(),
                what.to_owned(),
                app.to_owned(),
                file,
                line,
                column,
                failed(|f| f.status.map(|status| status.to_string())).unwrap_or_default(),
                failed(|f| f.code.clone()).unwrap_or_default(),
                failed(|f| f.request_id.clone()).unwrap_or_default(),
                next.to_owned(),
                if self.sandbox { "yes" } else { "no" }.to_owned(),
                tenant.to_owned(),
            ];
            text.push_str(&csv_line(&fields));
        };
        let nowhere = || [String::new(), String::new(), String::new()];
        match self.trouble.map(|trouble| (trouble, trouble.mistakes())) {
            Some((_, Some(mistakes))) => {
                for mistake in mistakes.list() {
                    let place = &mistake.place;
                    let file = place.file.to_string_lossy().into_owned();
                    let at = [file, place.line.to_string(), place.column.to_string()];
                    let help = mistake.help.as_deref().unwrap_or_default();
                    row(&mistake.sentence(), ["", ""], at, None, help);
                }
            }
            Some((trouble, None)) => {
                let mut what = vec![trouble.what.clone()];
                what.extend(trouble.why.iter().cloned());
                let next = trouble.next.as_deref().unwrap_or_default();
                row(&what.join(": "), ["", ""], nowhere(), trouble.failure(), next);
            }
            None => {}
        }
        for FailedSteps { app, tenant, failure } in self.steps {
            let next = failure.hint.as_deref().unwrap_or_default();
            let tenant = tenant.as_ref().map_or("", TenantKey::as_str);
            row(&failure.line(), [app.as_str(), tenant], nowhere(), Some(failure), next);
        }
        text
    }
}
