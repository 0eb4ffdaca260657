//! How long a credential lives: a calendar span, never a count of seconds.

use std::fmt;

/// A calendar span of days, weeks, months or years; `1y` is a year, not 365 days.
///
/// Kept as its four numbers: a span of jiff's is four times as large, and a manifest holds three
/// lifetimes for each of 100,000 apps.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Lifetime {
    years: i16,
    months: i32,
    weeks: i32,
    days: i32,
}

/// Days from one moment to another, to the nearest: a secret that was made for a year has 365 of
/// them left, although it ends some minutes before the year does.
pub fn days_between(from: jiff::Timestamp, to: jiff::Timestamp) -> i64 {
    const DAY: i64 = 24 * 60 * 60;
    (to.duration_since(from).as_secs() + DAY / 2).div_euclid(DAY)
}

impl Lifetime {
    /// Wraps a span that has only days, weeks, months and years; other units are dropped.
    pub fn new(span: jiff::Span) -> Self {
        Self {
            years: span.get_years(),
            months: span.get_months(),
            weeks: span.get_weeks(),
            days: span.get_days(),
        }
    }

    /// The span, to be added to a zoned time.
    pub fn span(self) -> jiff::Span {
        let Self { years, months, weeks, days } = self;
        jiff::Span::new().years(years).months(months).weeks(weeks).days(days)
    }

    /// The moment this span after `start`, by the calendar in UTC.
    pub fn after(self, start: jiff::Timestamp) -> jiff::Timestamp {
        jiff::ZonedDateTime::new(start, jiff::tz::TimeZone::UTC)
            .saturating_add(self.span())
            .timestamp()
    }

    /// About how many days it is, counted from a day in a year without a leap day.
    pub fn days(self) -> i64 {
        let start = jiff::Timestamp::UNIX_EPOCH;
        self.after(start).duration_since(start).as_hours() / 24
    }
}

impl fmt::Display for Lifetime {
    /// `1 year`, `6 months`, `30 days`, as a person says it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            (i64::from(self.years), "year"),
            (i64::from(self.months), "month"),
            (i64::from(self.weeks), "week"),
            (i64::from(self.days), "day"),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lifetime_keeps_every_unit_and_counts_by_the_calendar() {
        let span = jiff::Span::new().years(1).months(2).weeks(3).days(4);
        let lifetime = Lifetime::new(span);
        assert_eq!(lifetime.span().fieldwise(), span.fieldwise());
        assert_eq!(lifetime.to_string(), "1 year 2 months 3 weeks 4 days");
        let start: jiff::Timestamp = "2028-02-29T12:00:00Z".parse().unwrap();
        let year = Lifetime::new(jiff::Span::new().years(1));
        assert_eq!(year.after(start).to_string(), "2029-02-28T12:00:00Z");
        assert_eq!(year.days(), 365);
    }
}
