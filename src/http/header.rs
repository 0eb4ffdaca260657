//! The headers of an answer that steer us: its clock, and how long it tells us to wait.

use std::time::Duration;

use azure_core::http::headers::{HeaderName, Headers};
use jiff::{Timestamp, fmt::rfc2822::DateTimeParser};

/// A header's text, by its name in lower case.
pub(super) fn header<'a>(headers: &'a Headers, name: &'static str) -> Option<&'a str> {
    headers.get_optional_str(&HeaderName::from_static(name)).filter(|text| !text.is_empty())
}

/// The server's clock (`Date`, in whole seconds).
pub(super) fn date(headers: &Headers) -> Option<Timestamp> {
    http_date(header(headers, "date")?)
}

fn http_date(text: &str) -> Option<Timestamp> {
    DateTimeParser::new().parse_timestamp(text).ok()
}

/// How long `Retry-After` tells us to wait, in seconds or until a date
/// (<https://www.rfc-editor.org/rfc/rfc9110#field.retry-after>); a date is measured against the
/// server's own clock where it sends one.
pub(super) fn retry_after(headers: &Headers) -> Option<Duration> {
    for name in ["retry-after-ms", "x-ms-retry-after-ms"] {
        if let Some(Ok(ms)) = header(headers, name).map(str::parse) {
            return Some(Duration::from_millis(ms));
        }
    }
    let text = header(headers, "retry-after")?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let until = http_date(text)?;
    let now = date(headers).unwrap_or_else(Timestamp::now);
    Some(Duration::try_from(until.duration_since(now)).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(pairs: &[(&'static str, &'static str)]) -> Headers {
        let mut headers = Headers::new();
        for (name, value) in pairs {
            headers.insert(*name, *value);
        }
        headers
    }

    #[test]
    fn waits_are_read_in_seconds_and_as_dates() {
        let date = ("date", "Mon, 23 Nov 2026 12:00:00 GMT");
        for (given, wanted) in [
            (vec![("retry-after", "7")], Some(7)),
            (vec![("retry-after", " 7 ")], Some(7)),
            (vec![date, ("retry-after", "Mon, 23 Nov 2026 12:00:30 GMT")], Some(30)),
            (vec![date, ("retry-after", "Mon, 23 Nov 2026 11:00:30 GMT")], Some(0)),
            (vec![("retry-after-ms", "3000")], Some(3)),
            (vec![("retry-after", "soon")], None),
            (vec![("retry-after", "-1")], None),
            (vec![], None),
        ] {
            assert_eq!(retry_after(&with(&given)), wanted.map(Duration::from_secs), "{given:?}");
        }
    }
}
