//! What people see while it works: bars on a terminal, nothing without one.

use std::{io::Write as _, sync::Arc, time::Duration};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use super::ci;
use crate::event::Event;

/// What a bar counts, for its line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Reading directories.
    Read,
    /// Changing apps.
    Apply,
    /// Removing a customer.
    Offboard,
    /// Waiting for people's answers.
    Consent,
    /// Asking what works.
    Prove,
}

/// The bars. Cloning gives another hand on the same ones.
#[derive(Debug, Clone)]
pub struct Progress {
    bars: Arc<MultiProgress>,
    shown: bool,
}

impl Progress {
    /// Bars on stderr, where that is a terminal and they are wanted.
    pub fn new(wanted: bool) -> Self {
        let target =
            if wanted { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bars = MultiProgress::with_draw_target(target);
        let shown = wanted && !bars.is_hidden();
        Self { bars: Arc::new(bars), shown }
    }

    /// A bar for one phase.
    pub fn bar(&self, phase: Phase, of: usize) -> Bar {
        let (name, what) = match phase {
            Phase::Read => ("read", "directories"),
            Phase::Apply => ("apply", "apps"),
            Phase::Offboard => ("offboard", "apps"),
            Phase::Consent => ("consent", ""),
            Phase::Prove => ("prove", "tenants"),
        };
        // Nothing to do, nothing to show.
        let bar = match (phase, of) {
            (Phase::Apply, 0) => return Bar { bar: ProgressBar::hidden() },
            (_, of) => self.bars.add(ProgressBar::new(of as u64)),
        };
        let template = match phase {
            // People answer in their own time: no rate.
            Phase::Consent => format!("{name:<8} {{bar:20}}  {{msg}}"),
            Phase::Read | Phase::Apply | Phase::Offboard | Phase::Prove => format!(
                "{name:<8} {{bar:20}}  {{pos}}/{{len}} {what}  {{rate}}  {{elapsed}}  {{msg}}"
            ),
        };
        if let Ok(style) = ProgressStyle::with_template(&template) {
            let style =
                style.with_key("rate", |state: &ProgressState, to: &mut dyn std::fmt::Write| {
                    // A bar that cannot be written is a bar that nobody sees.
                    let _ = write!(to, "{:.0}/s", state.per_sec());
                });
            bar.set_style(style.progress_chars("██░"));
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        Bar { bar }
    }

    /// Prints a line to stderr, above the bars where there are some.
    pub fn say(&self, line: &str) {
        let line = ci::reader().harmless(line);
        // Not the macro: it ends the run where nothing can be written, as on a full disk, and
        // what a run changes matters more than what it says of it.
        let write = || {
            let _ = anstream::stderr().write_all(line.as_bytes());
        };
        if self.shown {
            self.bars.suspend(write);
        } else {
            write();
        }
    }
}

/// One bar.
#[derive(Debug, Clone)]
pub struct Bar {
    bar: ProgressBar,
}

impl Bar {
    /// One more is done.
    pub fn step(&self) {
        self.bar.inc(1);
    }

    /// Shows what an event means to someone who waits.
    pub fn hear(&self, event: &Event) {
        match event {
            Event::Throttled { seconds, .. } => {
                self.bar.set_message(format!("throttled, {seconds} s"));
            }
            Event::StepDone { .. } | Event::StepFailed { .. } => self.bar.set_message(""),
            Event::Planned { .. }
            | Event::StepStarted { .. }
            | Event::StepSkipped { .. }
            | Event::ConsentLink { .. }
            | Event::ConsentGranted { .. }
            | Event::ConsentDenied { .. }
            | Event::Proved { .. }
            | Event::Offboarded { .. }
            | Event::SecretTried { .. }
            | Event::Summary { .. } => {}
        }
    }

    /// Says what is waited for.
    pub fn message(&self, text: String) {
        self.bar.set_message(text);
    }

    /// Shows how many people have answered what.
    pub fn answers(&self, accepted: usize, declined: usize, waiting: usize) {
        self.bar.set_position((accepted + declined) as u64);
        self.bar
            .set_message(format!("{accepted} accepted, {declined} declined, {waiting} waiting"));
    }

    /// Leaves the bar as it is.
    pub fn finish(&self) {
        self.bar.finish();
    }
}
