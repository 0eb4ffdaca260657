//! How a run that failed reads in a report: there is one, even where nothing could be looked at.

use maud::{Markup, html};
use serde_json::{Value, json};

use super::{
    error::Trouble,
    file::{Kind, csv_field, json_text, markdown_text, with_part},
    html::{Document, Script, document},
    json::{FORMAT_VERSION, value},
    paper::clean,
};
use crate::{
    failure::Failure,
    ids::{AppKey, FleetName},
    verdict::Verdict,
};

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
    /// The apps whose steps failed.
    pub apps: &'r [(AppKey, Failure)],
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
        lines.extend(self.apps.iter().map(|(app, failure)| format!("{app}: {}", failure.line())));
        lines
    }

    /// `{verb, exitCode, meaning, what, why, next, failure, mistakes, apps}`
    fn document(&self) -> Value {
        let mistakes = self.trouble.and_then(Trouble::mistakes).map(|mistakes| {
            let document = mistakes.to_json();
            document.get("mistakes").cloned().unwrap_or_default()
        });
        let apps: Vec<_> = self
            .apps
            .iter()
            .map(|(app, failure)| json!({ "app": app, "failure": value(failure) }))
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

    /// A line a mistake or a failed app, or one for the run.
    fn csv(&self) -> String {
        let mut text = String::from(
            "verb,fleet,exitCode,what,app,file,line,column,status,code,requestId,next,sandbox\r\n",
        );
        let mut row =
            |what: &str, app: &str, at: [String; 3], failure: Option<&Failure>, next: &str| {
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
                ];
                let fields: Vec<_> = fields.iter().map(|field| csv_field(field)).collect();
                text.push_str(&fields.join(","));
                text.push_str("\r\n");
            };
        let nowhere = || [String::new(), String::new(), String::new()];
        match self.trouble.map(|trouble| (trouble, trouble.mistakes())) {
            Some((_, Some(mistakes))) => {
                for mistake in mistakes.list() {
                    let place = &mistake.place;
                    let file = place.file.to_string_lossy().into_owned();
                    let at = [file, place.line.to_string(), place.column.to_string()];
                    let help = mistake.help.as_deref().unwrap_or_default();
                    row(&mistake.sentence(), "", at, None, help);
                }
            }
            Some((trouble, None)) => {
                let mut what = vec![trouble.what.clone()];
                what.extend(trouble.why.iter().cloned());
                let next = trouble.next.as_deref().unwrap_or_default();
                row(&what.join(": "), "", nowhere(), trouble.failure(), next);
            }
            None => {}
        }
        for (app, failure) in self.apps {
            let next = failure.hint.as_deref().unwrap_or_default();
            row(&failure.line(), app.as_str(), nowhere(), Some(failure), next);
        }
        text
    }
}
