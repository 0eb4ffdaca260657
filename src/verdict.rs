//! How a command ended: one table, one exhaustive match.

use crate::stop::Signal;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Done.
    Done,
    /// Failed.
    Failed,
    /// Changes are planned (only with `--detailed-exitcode`).
    ChangesPlanned,
    /// Nothing is left for us, a person must act (only with `--fail-on pending`).
    Pending,
    /// At least one step was done and at least one failed.
    PartlyApplied,
    /// The operator may not: sign-in or privilege. Nothing was changed.
    MayNot,
    /// The saved plan is stale or its checksum differs. Nothing was changed.
    StalePlan,
    /// A guard refused. Nothing was changed.
    Guarded,
    /// Something expires soon (only with `--fail-on expiring`).
    Expiring,
    /// Wrong usage.
    Usage,
    /// The manifest is invalid. Nothing was contacted.
    InvalidManifest,
    /// Told to stop.
    Stopped(Signal),
}

impl Verdict {
    /// Every verdict, in the order of the codes, for the table in the README and in the help.
    pub const ALL: [Self; 13] = [
        Self::Done,
        Self::Failed,
        Self::ChangesPlanned,
        Self::Pending,
        Self::PartlyApplied,
        Self::MayNot,
        Self::StalePlan,
        Self::Guarded,
        Self::Expiring,
        Self::Usage,
        Self::InvalidManifest,
        Self::Stopped(Signal::Interrupt),
        Self::Stopped(Signal::Terminate),
    ];

    /// The process's exit code.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::ChangesPlanned => 2,
            Self::Pending => 3,
            Self::PartlyApplied => 4,
            Self::MayNot => 5,
            Self::StalePlan => 6,
            Self::Guarded => 7,
            Self::Expiring => 8,
            Self::Usage => 64,
            Self::InvalidManifest => 65,
            Self::Stopped(Signal::Interrupt) => 130,
            Self::Stopped(Signal::Terminate) => 143,
        }
    }

    /// What it means, in a few words.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::ChangesPlanned => "changes are planned (only with --detailed-exitcode)",
            Self::Pending => "nothing left for us, a person must act (only with --fail-on pending)",
            Self::PartlyApplied => "partly applied: at least one step done, at least one failed",
            Self::MayNot => "the operator may not (sign-in or privilege); nothing was changed",
            Self::StalePlan => {
                "the saved plan is stale or its checksum differs; nothing was changed"
            }
            Self::Guarded => {
                "a guard refused (vault, marks, too many changes); nothing was changed"
            }
            Self::Expiring => "something expires soon (only with --fail-on expiring)",
            Self::Usage => "wrong usage",
            Self::InvalidManifest => "invalid manifest; nothing was contacted",
            Self::Stopped(Signal::Interrupt) => "interrupted; what is left is listed",
            Self::Stopped(Signal::Terminate) => "terminated; what is left is listed",
        }
    }

    /// The graver one comes first: what stopped us, then 1, 4, 5, 6, 7 before 2, before 8,
    /// before 3, before 0.
    const fn gravity(self) -> u8 {
        match self {
            Self::Usage | Self::InvalidManifest => 0,
            Self::Stopped(_) => 1,
            Self::Failed => 2,
            Self::PartlyApplied => 3,
            Self::MayNot => 4,
            Self::StalePlan => 5,
            Self::Guarded => 6,
            Self::ChangesPlanned => 7,
            Self::Expiring => 8,
            Self::Pending => 9,
            Self::Done => 10,
        }
    }

    /// The graver of two.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        if other.gravity() < self.gravity() { other } else { self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_whole_and_codes_differ() {
        let mut codes: Vec<_> = Verdict::ALL.iter().map(|v| v.code()).collect();
        codes.dedup();
        assert_eq!(codes, [0, 1, 2, 3, 4, 5, 6, 7, 8, 64, 65, 130, 143]);
    }

    #[test]
    fn failures_come_before_what_was_asked_for_and_that_before_people() {
        use Verdict::{ChangesPlanned, Done, Expiring, Failed, Guarded, PartlyApplied, Pending};
        let order = [Failed, PartlyApplied, Guarded, ChangesPlanned, Expiring, Pending, Done];
        for (n, graver) in order.iter().enumerate() {
            for lesser in &order[n..] {
                assert_eq!(graver.and(*lesser), *graver);
                assert_eq!(lesser.and(*graver), *graver);
            }
        }
    }
}
