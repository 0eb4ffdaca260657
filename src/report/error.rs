//! An error as a person meets it: what we were doing, why it failed, what to do next.

use super::{
    advice,
    paper::{Ink, Paper, word},
};
use crate::{
    failure::{Cause, Failure},
    manifest::Mistakes,
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
    /// What it comes from, where that says more than words.
    pub cause: Origin,
}

/// What an error comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum Origin {
    /// Nothing but what the words say.
    Words,
    /// A call that failed.
    Call(Box<Failure>),
    /// A manifest that is wrong.
    Manifest(Box<Mistakes>),
}

impl Trouble {
    /// An error that ends a command with this verdict.
    pub fn new(verdict: Verdict, what: impl Into<String>) -> Self {
        let (why, next, cause) = (Vec::new(), None, Origin::Words);
        Self { verdict, what: what.into(), why, next, cause }
    }

    /// A manifest that is wrong.
    pub fn of_manifest(mistakes: &Mistakes) -> Self {
        let cause = Origin::Manifest(Box::new(mistakes.clone()));
        Self { cause, ..Self::new(Verdict::InvalidManifest, mistakes.headline()) }
    }

    /// The mistakes, where it is a manifest that is wrong.
    pub fn mistakes(&self) -> Option<&Mistakes> {
        match &self.cause {
            Origin::Manifest(mistakes) => Some(mistakes),
            Origin::Words | Origin::Call(_) => None,
        }
    }

    /// The call that failed, where it was one.
    pub fn failure(&self) -> Option<&Failure> {
        match &self.cause {
            Origin::Call(failure) => Some(failure),
            Origin::Words | Origin::Manifest(_) => None,
        }
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
        let cause = Origin::Call(Box::new(failure.clone()));
        let trouble = Self { cause, ..Self::new(verdict, doing).why(failure.line()) };
        match &failure.hint {
            Some(hint) => trouble.next(hint),
            None => trouble,
        }
    }

    /// The same with commands in its advice that reach the same fleet in the same place: whoever
    /// reads them pastes them.
    #[must_use]
    pub fn placed(mut self, place: &str) -> Self {
        self.next = self.next.map(|next| advice::placed(&next, place));
        self
    }

    /// The error as text, with colour.
    pub fn render(&self, width: usize) -> String {
        if let Some(mistakes) = self.mistakes() {
            return mistakes.render(true, width);
        }
        let Self { verdict: _, what, why, next, cause: _ } = self;
        let mut paper = Paper::new(width);
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
