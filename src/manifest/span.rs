//! Lifetimes as they are written: `30d`, `2w`, `6mo`, `1y`, `1y6mo`.

use crate::lifetime::Lifetime;

use super::{mistakes::Wrong, tree::shown};

/// The longest a credential may live; the Entra portal offers no more.
const LONGEST_DAYS: i64 = 730;

/// Reads a lifetime: a calendar span of days, weeks, months and years, longer than nothing and at
/// most two years.
///
/// # Errors
/// Says what is wrong with it.
pub(super) fn lifetime(text: &str) -> Result<Lifetime, Wrong> {
    let trimmed = text.trim();
    if trimmed.starts_with('-') {
        return Err(Wrong::new(format!("`{}` is negative", shown(text))).label("for example `1y`"));
    }
    let mut units = Units::default();
    let mut rest = trimmed;
    if rest.is_empty() {
        return Err(not_one(text));
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at(digits);
        let tail = tail.trim_start();
        let letters = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, tail) = tail.split_at(letters);
        rest = tail.trim_start_matches([' ', ',']);
        if number.is_empty() || (unit.is_empty() && !rest.is_empty()) {
            return Err(not_one(text));
        }
        let slot = match unit.to_ascii_lowercase().as_str() {
            "y" | "yr" | "yrs" | "year" | "years" => &mut units.years,
            "mo" | "mos" | "month" | "months" => &mut units.months,
            "w" | "wk" | "wks" | "week" | "weeks" => &mut units.weeks,
            "d" | "day" | "days" => &mut units.days,
            "" => {
                let what = format!("`{}` has no unit", shown(text));
                return Err(Wrong::new(what).label(format!("days? `{}d`", shown(number))));
            }
            "m" => {
                let what = format!("`{}`: `m` could be months or minutes", shown(text));
                return Err(Wrong::new(what).label(format!("months are `{}mo`", shown(number))));
            }
            "h" | "hr" | "hrs" | "hour" | "hours" | "min" | "mins" | "minute" | "minutes" | "s"
            | "sec" | "secs" | "second" | "seconds" => {
                let what = format!("`{}`: hours and minutes are not kept", shown(text));
                return Err(Wrong::new(what).label("whole days, weeks, months or years: `30d`"));
            }
            _ => return Err(not_one(text)),
        };
        if slot.is_some() {
            return Err(Wrong::new(format!("`{}` names a unit twice", shown(text))));
        }
        *slot = Some(number.parse::<i64>().map_err(|_| too_long(text))?);
    }
    let Units { years, months, weeks, days } = units;
    let span = jiff::Span::new()
        .try_years(years.unwrap_or(0))
        .and_then(|s| s.try_months(months.unwrap_or(0)))
        .and_then(|s| s.try_weeks(weeks.unwrap_or(0)))
        .and_then(|s| s.try_days(days.unwrap_or(0)))
        .map_err(|_| too_long(text))?;
    let lifetime = Lifetime::new(span);
    match lifetime.days() {
        0 => Err(Wrong::new(format!("`{}` is no time at all", shown(text))).label("at least `1d`")),
        1..=LONGEST_DAYS => Ok(lifetime),
        _ => Err(too_long(text)),
    }
}

/// How often each unit was named.
#[derive(Default)]
struct Units {
    years: Option<i64>,
    months: Option<i64>,
    weeks: Option<i64>,
    days: Option<i64>,
}

fn too_long(text: &str) -> Wrong {
    Wrong::new(format!("`{}` is more than two years", shown(text))).label("at most `2y`")
}

fn not_one(text: &str) -> Wrong {
    Wrong::new(format!("`{}` is not a lifetime", shown(text)))
        .label("days, weeks, months or years: `30d`, `2w`, `6mo`, `1y`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calendar_spans_are_read_and_everything_shorter_is_refused() {
        for (text, says) in [
            ("30d", "30 days"),
            ("1y", "1 year"),
            ("6mo", "6 months"),
            ("2w", "2 weeks"),
            ("1y6mo", "1 year 6 months"),
            (" 1 year 6 months ", "1 year 6 months"),
            ("2y", "2 years"),
            ("24mo", "24 months"),
            ("730d", "730 days"),
        ] {
            let lifetime = lifetime(text).map_err(|w| format!("{text}: {w:?}")).unwrap();
            assert_eq!(lifetime.to_string(), says);
        }
        for (text, says) in [
            ("", "is not a lifetime"),
            ("soon", "is not a lifetime"),
            ("y", "is not a lifetime"),
            ("P1Y", "is not a lifetime"),
            ("1.5y", "is not a lifetime"),
            ("365", "has no unit"),
            ("6m", "`m` could be months"),
            ("12h", "hours and minutes"),
            ("90 minutes", "hours and minutes"),
            ("0d", "no time at all"),
            ("-1y", "negative"),
            ("2y1d", "more than two years"),
            ("731d", "more than two years"),
            ("99999999999999999999y", "more than two years"),
            ("9999999y", "more than two years"),
            ("1y1y", "twice"),
        ] {
            let wrong = format!("{:?}", lifetime(text).map(|l| l.to_string()).expect_err(text));
            assert!(wrong.contains(says), "{text}: {wrong}");
        }
    }
}
