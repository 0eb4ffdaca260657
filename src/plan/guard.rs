//! How much of a fleet may change at once: a slip in `defaults` reaches every app of it.

use super::{
    AppPlan, Percent, Plan,
    diagnostic::{Code, Diagnostic},
    step::Target,
};

/// Up to here a change of all of them is nothing to wonder at.
const FEW_APPS: usize = 10;

/// How many of how many existing apps of a whole fleet would be changed by more than a secret.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Changed {
    changed: usize,
    pub(super) existing: usize,
}

impl Changed {
    /// Counts an app that is planned.
    pub(super) fn count(&mut self, app: &AppPlan) {
        if matches!(app.target, Target::Existing { .. }) {
            self.existing += 1;
            self.changed += usize::from(Plan::changes(app));
        }
    }

    /// Whether more would be changed than somebody thought likely.
    pub(super) fn too_many(self, most: Percent) -> Option<Diagnostic> {
        let Self { changed, existing } = self;
        if existing < FEW_APPS || changed * 100 <= usize::from(most.0) * existing {
            return None;
        }
        let most = most.0;
        Some(
            Diagnostic::new(
                Code::TooManyChanges,
                format!(
                    "{changed} of {existing} existing apps would be changed, more than {most} %"
                ),
            )
            .hint("look at it with tenantry plan --full; --max-change-percent 100 lets it happen"),
        )
    }
}
