//! What a run has changed, as its report and a pipeline's page say it: the state of the tenants
//! alone does not tell the one who gave the yes what came of it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use maud::{Markup, html};
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    apply::{did, doing},
    file::{Kind, markdown_text, with_part},
    json::value,
    paper::clean,
    plan::count,
};
use crate::{
    event::Event,
    ids::{AppKey, KeyId, TenantKey},
};

/// How many lines stand open; more are folded away, so that what comes after them is found.
const OPEN: usize = 20;

/// What was done, and what not.
#[derive(Debug, Clone, Default)]
pub struct Ran {
    done: Vec<Done>,
    left: Vec<LeftOut>,
    interrupted: Vec<AppKey>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Done {
    app: AppKey,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<TenantKey>,
    step: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Option<KeyId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ends: Option<Timestamp>,
}

/// A step that failed or was not tried.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct LeftOut {
    app: AppKey,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<TenantKey>,
    step: &'static str,
    because: &'static str,
}

impl Ran {
    /// Takes in what happened.
    pub fn hear(&mut self, event: &Event) {
        match event {
            Event::StepDone { app, tenant, step, client_id: _, key_id, ends } => {
                let (app, tenant) = (app.clone(), tenant.clone());
                self.done.push(Done { app, tenant, step, key_id: *key_id, ends: *ends });
            }
            Event::StepFailed { app, tenant, step, failure: _ } => {
                self.leave(app, tenant.as_ref(), step, "failed");
            }
            Event::StepSkipped { app, tenant, step, because } => {
                self.leave(app, tenant.as_ref(), step, because);
            }
            Event::Summary { interrupted, .. } => self.interrupted.clone_from(interrupted),
            Event::Planned { .. }
            | Event::StepStarted { .. }
            | Event::SecretTried { .. }
            | Event::Throttled { .. }
            | Event::ConsentLink { .. }
            | Event::ConsentGranted { .. }
            | Event::ConsentDenied { .. }
            | Event::Proved { .. }
            | Event::Offboarded { .. } => {}
        }
    }

    fn leave(
        &mut self,
        app: &AppKey,
        tenant: Option<&TenantKey>,
        step: &'static str,
        because: &'static str,
    ) {
        let (app, tenant) = (app.clone(), tenant.cloned());
        self.left.push(LeftOut { app, tenant, step, because });
    }

    /// Whether there is nothing to tell: no step was done, none was left.
    pub const fn is_nothing(&self) -> bool {
        self.done.is_empty() && self.left.is_empty() && self.interrupted.is_empty()
    }

    /// A report, with what `verb` did before it.
    pub fn join(&self, verb: &str, kind: Kind, report: String) -> String {
        if self.is_nothing() {
            return report;
        }
        let document = ("ran", || self.document(verb));
        with_part(kind, &report, document, || self.markdown(verb), || self.markup(verb))
            .unwrap_or(report)
    }

    fn headline(&self, verb: &str) -> String {
        let apps: BTreeSet<_> = self.done.iter().map(|done| &done.app).collect();
        let steps = count(self.done.len(), "step");
        let mut line = match self.done.as_slice() {
            [] => format!("tenantry {verb}: nothing was changed"),
            _ => format!("tenantry {verb}: {steps} done on {}", count(apps.len(), "app")),
        };
        let left = self.lines_left().len();
        if left > 0 {
            line.push_str(&format!(", {} not finished", count(left, "app")));
        }
        line
    }

    /// What was done for each app or tenant, in the order in which it was done.
    fn lines_done(&self) -> BTreeMap<&str, Vec<String>> {
        let mut lines: BTreeMap<&str, Vec<(String, usize)>> = BTreeMap::new();
        for Done { app, tenant, step, key_id: _, ends } in &self.done {
            let until = ends
                .map_or_else(String::new, |ends| format!(", ends {}", ends.strftime("%Y-%m-%d")));
            let text = format!("{}{until}", did(step).unwrap_or(step));
            let of = lines.entry(whose(app, tenant.as_ref())).or_default();
            match of.iter_mut().find(|(known, _)| *known == text) {
                Some((_, times)) => *times += 1,
                None => of.push((text, 1)),
            }
        }
        let times = |(text, times): (String, usize)| match times {
            1 => text,
            many => format!("{text} ({many} times)"),
        };
        lines.into_iter().map(|(key, of)| (key, of.into_iter().map(times).collect())).collect()
    }

    /// What is left of each app or tenant that was not finished, with the reason.
    fn lines_left(&self) -> BTreeMap<&str, Vec<String>> {
        let mut lines: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for LeftOut { app, tenant, step, because } in &self.left {
            let text = format!("{} ({because})", doing(step).unwrap_or(step));
            lines.entry(whose(app, tenant.as_ref())).or_default().push(text);
        }
        for app in &self.interrupted {
            // Its last request was still under way.
            let unknown = || vec!["interrupted; the next run finds out how far it came".to_owned()];
            lines.entry(app.as_str()).or_insert_with(unknown);
        }
        lines
    }

    /// `{verb, done, left, interrupted}`
    fn document(&self, verb: &str) -> Value {
        let Self { done, left, interrupted } = self;
        json!({
            "verb": verb,
            "done": value(done),
            "left": value(left),
            "interrupted": value(interrupted),
        })
    }

    fn markdown(&self, verb: &str) -> String {
        let mut text = format!("**{}**\n", markdown_text(&self.headline(verb)));
        for (title, lines) in self.parts() {
            let (begin, end) = if lines.len() > OPEN {
                (format!("<details><summary>{title}</summary>"), "\n</details>\n")
            } else {
                (title.to_owned(), "")
            };
            text.push_str(&format!("\n{begin}\n\n"));
            for (key, of) in lines {
                text.push_str(&format!("- **{key}**: {}\n", markdown_text(&of.join("; "))));
            }
            text.push_str(end);
        }
        text
    }

    fn markup(&self, verb: &str) -> Markup {
        html! {
            section {
                h2 { (self.headline(verb)) }
                @for (title, lines) in self.parts() {
                    details open[lines.len() <= OPEN] {
                        summary { (title) }
                        ul {
                            @for (key, of) in lines {
                                li { strong { (key) } ": " (clean(&of.join("; "))) }
                            }
                        }
                    }
                }
            }
        }
    }

    fn parts(&self) -> Vec<(&'static str, BTreeMap<&str, Vec<String>>)> {
        let parts = [("Done:", self.lines_done()), ("Not done:", self.lines_left())];
        parts.into_iter().filter(|(_, lines)| !lines.is_empty()).collect()
    }
}

fn whose<'a>(app: &'a AppKey, tenant: Option<&'a TenantKey>) -> &'a str {
    tenant.map_or(app.as_str(), TenantKey::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> AppKey {
        text.parse().expect("a key")
    }

    fn ran() -> Ran {
        let mut ran = Ran::default();
        let done = |app: &str, step, ends: Option<&str>| Event::StepDone {
            app: key(app),
            tenant: None,
            step,
            client_id: None,
            key_id: None,
            ends: ends.map(|at| at.parse().expect("a moment")),
        };
        let skipped = |app: &str, step, because| Event::StepSkipped {
            app: key(app),
            tenant: None,
            step,
            because,
        };
        ran.hear(&done("fabrikam", "create-application", None));
        ran.hear(&done("fabrikam", "add-secret", Some("2027-11-28T00:00:00Z")));
        ran.hear(&done("contoso", "remove-secret", None));
        ran.hear(&done("contoso", "remove-secret", None));
        ran.hear(&skipped("contoso", "add-owner", "interrupted"));
        ran
    }

    #[test]
    fn a_page_says_what_was_done_and_what_not_before_how_everybody_is() {
        let text = ran().join("apply", Kind::Markdown, "# status\n".to_owned());
        let want = "**tenantry apply\\: 4 steps done on 2 apps, 1 app not finished**\n\
                    \nDone:\n\n\
                    - **contoso**: a client secret removed \\(2 times\\)\n\
                    - **fabrikam**: app created; client secret added, ends 2027-11-28\n\
                    \nNot done:\n\n\
                    - **contoso**: add an owner \\(interrupted\\)\n\
                    \n# status\n";
        assert_eq!(text, want);
    }

    #[test]
    fn many_lines_are_folded_away() {
        let mut many = Ran::default();
        for app in 0..=OPEN {
            many.leave(&key(&format!("app-{app}")), None, "add-secret", "interrupted");
        }
        let text = many.join("apply", Kind::Markdown, String::new());
        assert!(text.contains("<details><summary>Not done:</summary>\n\n- **app-0**"), "{text}");
        assert!(many.join("apply", Kind::Html, "<main".to_owned()).contains("<details><summary>"));
        assert!(ran().join("apply", Kind::Html, "<main".to_owned()).contains("<details open>"));
    }

    #[test]
    fn a_run_that_changed_nothing_leaves_its_report_as_it_is() {
        for kind in [Kind::Json, Kind::Markdown, Kind::Html, Kind::Csv] {
            assert_eq!(Ran::default().join("apply", kind, "{}".to_owned()), "{}");
        }
    }

    #[test]
    fn a_json_report_gets_a_member_and_keeps_its_own() {
        let text = ran().join("apply", Kind::Json, "{\"fleet\":\"soc\"}".to_owned());
        let read: Value = serde_json::from_str(&text).expect("it is JSON");
        assert_eq!(read["fleet"], "soc");
        assert_eq!(read["ran"]["done"][1]["ends"], "2027-11-28T00:00:00Z");
        assert_eq!(read["ran"]["left"][0]["because"], "interrupted");
    }
}
