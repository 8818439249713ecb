//! Days and times of the civil calendar, in UTC: what lists and listings say of a moment.

use std::time::{Duration, SystemTime};

use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{Date, Time, UtcDateTime};

/// A day of the calendar, which has no leap seconds.
const DAY: Duration = Duration::from_secs(86_400);
/// How a day is written.
const DATE: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day]");
/// How a time of the day is.
const CLOCK: &[BorrowedFormatItem<'_>] = format_description!("[hour]:[minute][optional [:[second]]]");

/// A moment in seconds since 1970, or the nearest one whose year has four digits.
fn utc(secs: i64) -> UtcDateTime {
    let nearest = if secs < 0 { UtcDateTime::MIN } else { UtcDateTime::MAX };
    UtcDateTime::from_unix_timestamp(secs).unwrap_or(nearest)
}

/// A day as `2026-03-01`.
pub(crate) fn day(time: SystemTime) -> String {
    utc(secs_of(time)).date().to_string()
}

/// A moment as `2026-03-02T14:05:09Z`, as RFC 3339 has it.
pub(crate) fn moment(time: SystemTime) -> String {
    moment_of(secs_of(time))
}

/// The same with milliseconds, `2026-03-02T14:05:09.007Z`: events follow each other faster than seconds do.
pub(crate) fn moment_millis(time: SystemTime) -> String {
    let millis = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().subsec_millis();
    let moment = moment(time);
    format!("{}.{millis:03}Z", moment.trim_end_matches('Z'))
}

/// The same as [`moment`], from seconds since 1970.
pub(crate) fn moment_of(secs: i64) -> String {
    let (date, (hours, minutes, seconds)) = (utc(secs).date(), utc(secs).time().as_hms());
    format!("{date}T{hours:02}:{minutes:02}:{seconds:02}Z")
}

/// The same to the minute, for people: `2026-03-02 14:05`.
pub(crate) fn minute_of(secs: i64) -> String {
    let (date, (hours, minutes, _)) = (utc(secs).date(), utc(secs).time().as_hms());
    format!("{date} {hours:02}:{minutes:02}")
}

/// Whole seconds since 1970; an earlier time is 1970.
fn secs_of(time: SystemTime) -> i64 {
    let secs = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    i64::try_from(secs).unwrap_or(i64::MAX)
}

/// Reads when something ends: `2026-12-31` is the end of that day, `2026-12-31T18:00` and
/// `2026-12-31T18:00:00Z` are that moment; all in UTC. `None` for anything else and for times before 1970.
pub(crate) fn parse_end(text: &str) -> Option<SystemTime> {
    parse(text, DAY)
}

/// Reads since when something counts: as [`parse_end`], but a day from its start.
pub(crate) fn parse_start(text: &str) -> Option<SystemTime> {
    parse(text, Duration::ZERO)
}

/// A moment, or that so long after the start of a day.
fn parse(text: &str, of_day: Duration) -> Option<SystemTime> {
    let (date, clock) = match text.split_once('T') {
        Some((date, clock)) => (date, Some(clock.strip_suffix('Z').unwrap_or(clock))),
        None => (text, None),
    };
    // The parser takes a year with a sign, too.
    let date = Date::parse(date, DATE).ok().filter(|_| date.starts_with(|first: char| first.is_ascii_digit()))?;
    let end = match clock {
        None => date.midnight().checked_add(of_day.try_into().ok()?)?,
        Some(clock) => date.with_time(Time::parse(clock, CLOCK).ok()?),
    };
    let secs = u64::try_from(end.as_utc().unix_timestamp()).ok()?;
    Some(SystemTime::UNIX_EPOCH + Duration::from_secs(secs))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(secs)
    }

    #[test]
    fn what_a_peer_may_say_of_a_time_has_a_text() {
        for (secs, expected) in [
            (-1, "1969-12-31T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
            (-11_676_096_000, "1600-01-01T00:00:00Z"),
            (i64::MIN, "-9999-01-01T00:00:00Z"),
            (i64::MAX, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(moment_of(secs), expected, "{secs}");
        }
        assert_eq!(minute_of(1_772_460_309), "2026-03-02 14:05");
    }

    #[test]
    fn days_and_moments_are_written_as_the_calendar_has_them() {
        assert_eq!(day(at(1_709_164_800)), "2024-02-29");
        assert_eq!(moment(at(1_772_460_309)), "2026-03-02T14:05:09Z");
        assert_eq!(day(SystemTime::UNIX_EPOCH - Duration::from_secs(5)), "1970-01-01");
    }

    #[test]
    fn a_day_ends_with_its_last_second_and_a_moment_where_it_says() {
        for (text, secs) in [
            ("1970-01-01", 86_400),
            ("2024-02-29", 1_709_251_200),
            ("2026-03-02T14:05:09Z", 1_772_460_309),
            ("2026-03-02T14:05:09", 1_772_460_309),
            ("2026-03-02T14:05", 1_772_460_300),
            ("2026-03-02T00:00Z", 1_772_409_600),
        ] {
            assert_eq!(parse_end(text), Some(at(secs)), "{text}");
        }
        assert_eq!(parse_end(&moment(at(1_772_460_309))), Some(at(1_772_460_309)));
        assert_eq!(parse_start("2024-02-29"), Some(at(1_709_164_800)));
        assert_eq!(parse_start("2026-03-02T14:05"), Some(at(1_772_460_300)));
    }

    #[test]
    fn what_the_calendar_does_not_have_is_no_time() {
        for text in [
            "",
            "2026",
            "2026-1-1",
            "2026-13-01",
            "2026-00-01",
            "2026-02-29",
            "2026-04-31",
            "2026-12-31T24:00",
            "2026-12-31T12:60",
            "2026-12-31T1:00",
            "2026-12-31T",
            "2026-12-31 12:00",
            "1969-12-31T23:59",
            "+026-01-01",
            "+2026-01-01",
            "12026-01-01",
            "2026-12-31T12:00:",
            "2026-12-31T12:00:60",
            "2026-12-31T12:00:00+01:00",
            "2026-12-31-01",
            "tomorrow",
        ] {
            assert_eq!(parse_end(text), None, "{text}");
        }
    }
}
