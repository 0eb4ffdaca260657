//! An error as a person meets it: what we were doing, why it failed, what to do next.

use super::paper::{Ink, Paper, word};
use crate::{
    failure::{Cause, Failure},
    verdict::Verdict,
};

/// An error that ends a command.
#[derive(Debug, Clone, PartialEq)]
pub struct Trouble {
    /// How the command ends.
    pub verdict: Verdict,
    /// What we were doing, to what; with what went wrong, where that fits one line.
    pub what: String,
    /// Why, a line each.
    pub why: Vec<String>,
    /// What to do next.
    pub next: Option<String>,
}

impl Trouble {
    /// An error that ends a command with this verdict.
    pub fn new(verdict: Verdict, what: impl Into<String>) -> Self {
        Self { verdict, what: what.into(), why: Vec::new(), next: None }
    }

    /// The end of a command whose error was told already.
    pub fn silent(verdict: Verdict) -> Self {
        Self::new(verdict, "")
    }

    /// The same with a reason.
    #[must_use]
    pub fn why(mut self, why: impl Into<String>) -> Self {
        self.why.push(why.into());
        self
    }

    /// The same with advice.
    #[must_use]
    pub fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }

    /// A call that failed before anything was changed.
    pub fn of(doing: impl Into<String>, failure: &Failure) -> Self {
        let verdict = match failure.cause {
            Cause::SignIn | Cause::Privilege => Verdict::MayNot,
            Cause::Refused
            | Cause::NotFound
            | Cause::Throttled
            | Cause::Service
            | Cause::Unreachable
            | Cause::NoAnswer
            | Cause::Garbled
            | Cause::Guard
            | Cause::Interrupted => Verdict::Failed,
        };
        let trouble = Self::new(verdict, doing).why(failure.line());
        match &failure.hint {
            Some(hint) => trouble.next(hint),
            None => trouble,
        }
    }

    /// The error as text, with colour.
    pub fn render(&self, width: usize) -> String {
        let Self { verdict: _, what, why, next } = self;
        let mut paper = Paper::new(width);
        if what.is_empty() {
            return paper.into_text();
        }
        paper.say(0, Some(word(Ink::Bad, "error:")), what);
        for line in why {
            paper.say(2, None, line);
        }
        if let Some(next) = next {
            paper.say(2, Some(word(Ink::Bold, "Do:")), next);
        }
        paper.into_text()
    }
}
