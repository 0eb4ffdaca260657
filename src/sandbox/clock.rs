//! The sandbox's clock: the machine's, plus an offset that only moves forward.

use std::time::Duration;

use jiff::{SignedDuration, Span, Timestamp, tz::TimeZone};

/// How far the sandbox's time is ahead of the machine's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Clock {
    /// Milliseconds.
    pub(super) ahead: i64,
}

impl Clock {
    /// The sandbox's now.
    pub(super) fn now(self) -> Timestamp {
        let real = Timestamp::now();
        real.checked_add(SignedDuration::from_millis(self.ahead)).unwrap_or(real)
    }

    /// Moves forward by an ISO 8601 duration (`P340D`, `PT2H`, `P1Y`); calendar units count from
    /// the sandbox's now, in UTC.
    ///
    /// # Errors
    /// In words, when the text is no duration, is negative, or leads out of range.
    pub(super) fn advance(&mut self, duration: &str) -> Result<(), String> {
        let span: Span = duration
            .parse()
            .map_err(|_| format!("`{duration}` is no ISO 8601 duration such as P340D or PT2H"))?;
        if span.is_negative() {
            return Err("the clock only moves forward".to_owned());
        }
        let now = self.now();
        let later = plus(now, span).ok_or_else(|| format!("`{duration}` leads out of range"))?;
        self.ahead += later.as_millisecond() - now.as_millisecond();
        Ok(())
    }
}

/// A wait such as `50ms`, `5s` or `2m`.
///
/// # Errors
/// In words, when the text is no such wait or is longer than an hour.
pub fn wait(text: &str) -> Result<Duration, String> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let wrong = || format!("`{text}` is no wait such as 50ms, 5s or 2m (an hour at most)");
    let number: u64 = text[..end].parse().map_err(|_| wrong())?;
    let milliseconds = match &text[end..] {
        "ms" => Some(number),
        "s" => number.checked_mul(1_000),
        "m" => number.checked_mul(60_000),
        _ => None,
    };
    milliseconds.filter(|ms| *ms <= 3_600_000).map(Duration::from_millis).ok_or_else(wrong)
}

/// A time plus a calendar span, in UTC.
pub(super) fn plus(time: Timestamp, span: Span) -> Option<Timestamp> {
    time.to_zoned_datetime(TimeZone::UTC).checked_add(span).ok().map(|z| z.timestamp())
}

/// A time as Graph writes it: `2026-01-01T00:00:00Z`, whole seconds.
pub(super) fn graph_time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A time as an HTTP `Date` header.
pub(super) fn http_date(time: Timestamp) -> String {
    time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_read_with_their_unit() {
        assert_eq!(wait("50ms"), Ok(Duration::from_millis(50)));
        assert_eq!(wait("2m"), Ok(Duration::from_secs(120)));
        for bad in ["", "5", "s", "5h", "-1s", "61m", "1.5s"] {
            assert!(wait(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn advances_by_calendar_spans_and_never_back() {
        let mut clock = Clock::default();
        clock.advance("P340D").unwrap();
        assert!((clock.ahead - 340 * 86_400_000).abs() < 2_000);
        assert!(clock.advance("-P1D").is_err());
        assert!(clock.advance("soon").is_err());
        assert!(clock.advance("P9999Y").is_err());
    }
}
