//! How long a credential lives: a calendar span, never a count of seconds.

use std::fmt;

/// A calendar span of days, weeks, months or years; `1y` is a year, not 365 days.
#[derive(Clone, Copy)]
pub struct Lifetime(jiff::Span);

impl Lifetime {
    /// Wraps a span that has only days, weeks, months and years.
    pub fn new(span: jiff::Span) -> Self {
        Self(span)
    }

    /// The span, to be added to a zoned time.
    pub fn span(self) -> jiff::Span {
        self.0
    }

    /// The moment this span after `start`, by the calendar in UTC.
    pub fn after(self, start: jiff::Timestamp) -> jiff::Timestamp {
        jiff::ZonedDateTime::new(start, jiff::tz::TimeZone::UTC).saturating_add(self.0).timestamp()
    }

    /// About how many days it is, counted from a day in a year without a leap day.
    pub fn days(self) -> i64 {
        let start = jiff::Timestamp::UNIX_EPOCH;
        self.after(start).duration_since(start).as_hours() / 24
    }
}

impl PartialEq for Lifetime {
    fn eq(&self, other: &Self) -> bool {
        self.0.fieldwise() == other.0.fieldwise()
    }
}
impl Eq for Lifetime {}

impl fmt::Display for Lifetime {
    /// `1 year`, `6 months`, `30 days`, as a person says it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            (i64::from(self.0.get_years()), "year"),
            (i64::from(self.0.get_months()), "month"),
            (i64::from(self.0.get_weeks()), "week"),
            (i64::from(self.0.get_days()), "day"),
        ];
        let mut first = true;
        for (count, unit) in parts.into_iter().filter(|(count, _)| *count != 0) {
            if !first {
                f.write_str(" ")?;
            }
            first = false;
            write!(f, "{count} {unit}{}", if count == 1 { "" } else { "s" })?;
        }
        if first {
            f.write_str("0 days")?;
        }
        Ok(())
    }
}
impl fmt::Debug for Lifetime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lifetime({self})")
    }
}
