//! What all calls to one service in one directory share: when to wait, and how often to repeat.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Repeats that a directory may have before its first successes have earned it more.
const BUDGET_AT_START: f64 = 20.0;
/// The most that it can save up.
const BUDGET_AT_MOST: f64 = 100.0;
/// What each first try earns: one repeat for five calls.
const EARNED_BY_A_CALL: f64 = 0.2;

/// The state that the calls of one service in one directory share.
///
/// Throttling is per app and directory (<https://learn.microsoft.com/en-us/graph/throttling-limits>),
/// and requests made while throttled still count: when one call is told to wait, all wait. The
/// budget keeps a service that is down from being asked many times over by every call of a fleet.
#[derive(Debug)]
pub(crate) struct Gate {
    shut_until: Mutex<Option<Instant>>,
    budget: Mutex<f64>,
}

impl Default for Gate {
    fn default() -> Self {
        Self { shut_until: Mutex::new(None), budget: Mutex::new(BUDGET_AT_START) }
    }
}

impl Gate {
    /// How long a call that wants to go now still has to wait.
    pub(crate) fn wait(&self) -> Option<Duration> {
        let until = *self.shut_until.lock().unwrap_or_else(PoisonError::into_inner);
        until?.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
    }

    /// Shuts the gate for at least this long; says whether that is news worth telling.
    pub(crate) fn shut(&self, wait: Duration) -> bool {
        let until = Instant::now() + wait;
        let mut shut = self.shut_until.lock().unwrap_or_else(PoisonError::into_inner);
        // Calls in flight are all told the same within moments: only a real extension is news.
        let news = shut.is_none_or(|before| until > before + Duration::from_millis(500));
        if shut.is_none_or(|before| until > before) {
            *shut = Some(until);
        }
        news
    }

    /// A call is made for the first time.
    pub(crate) fn earn(&self) {
        let mut budget = self.budget.lock().unwrap_or_else(PoisonError::into_inner);
        *budget = (*budget + EARNED_BY_A_CALL).min(BUDGET_AT_MOST);
    }

    /// Whether one more repeat is within the budget; takes it where it is.
    pub(crate) fn spend(&self) -> bool {
        let mut budget = self.budget.lock().unwrap_or_else(PoisonError::into_inner);
        if *budget < 1.0 {
            return false;
        }
        *budget -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_wait_counts_and_small_extensions_are_no_news() {
        let gate = Gate::default();
        assert_eq!(gate.wait(), None);
        assert!(gate.shut(Duration::from_secs(10)));
        assert!(!gate.shut(Duration::from_secs(1)));
        assert!(gate.wait().unwrap() > Duration::from_secs(9));
        assert!(gate.shut(Duration::from_secs(20)));
    }

    #[test]
    fn a_budget_runs_dry_and_calls_refill_it() {
        let gate = Gate::default();
        assert_eq!((0..1000).filter(|_| gate.spend()).count(), 20);
        for _ in 0..6 {
            gate.earn();
        }
        assert!(gate.spend());
        assert!(!gate.spend());
    }
}
