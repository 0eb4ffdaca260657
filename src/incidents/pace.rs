//! Never asking a directory more often than Defender allows: 50 calls a minute, 1,500 an hour
//! (<https://learn.microsoft.com/en-us/defender-xdr/api-list-incidents>).

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::ids::TenantId;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const A_MINUTE: usize = 50;
const AN_HOUR: usize = 1_500;

/// When each directory was called in the last hour. Two tenants of one directory share its measure.
#[derive(Debug, Default)]
pub(super) struct Pace(Mutex<BTreeMap<TenantId, VecDeque<Instant>>>);

impl Pace {
    /// Counts a call that is to be made now, or says how long it must wait.
    pub(super) fn admit(&self, directory: TenantId, now: Instant) -> Result<(), Duration> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let calls = all.entry(directory).or_default();
        while calls.front().is_some_and(|first| now.duration_since(*first) >= HOUR) {
            calls.pop_front();
        }
        for (most, within) in [(A_MINUTE, MINUTE), (AN_HOUR, HOUR)] {
            let oldest = calls.len().checked_sub(most).and_then(|at| calls.get(at));
            let wait = oldest.and_then(|oldest| within.checked_sub(now.duration_since(*oldest)));
            if let Some(wait) = wait.filter(|wait| !wait.is_zero()) {
                return Err(wait);
            }
        }
        calls.push_back(now);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_minute_holds_more_than_fifty_calls_and_no_hour_more_than_1500() {
        let (pace, directory) =
            (Pace::default(), "6f1c0f5e-0000-4000-8000-000000000001".parse().unwrap());
        let start = Instant::now();
        let (mut now, mut made) = (start, Vec::new());
        while made.len() < 3_200 {
            match pace.admit(directory, now) {
                Ok(()) => made.push(now),
                Err(wait) => {
                    assert!(pace.admit(directory, now + wait - Duration::from_millis(1)).is_err());
                    now += wait;
                }
            }
            now += Duration::from_millis(20);
        }
        let most = |within: Duration| {
            let until = |at: usize| made.partition_point(|one| *one < made[at] + within) - at;
            (0..made.len()).map(until).max()
        };
        assert_eq!((most(MINUTE), most(HOUR)), (Some(50), Some(1_500)));
        // A directory of its own has a measure of its own.
        assert!(pace.admit("6f1c0f5e-0000-4000-8000-000000000002".parse().unwrap(), now).is_ok());
    }
}
