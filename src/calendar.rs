//! Days and times of the civil calendar, in UTC: what lists and listings say of a moment.

use std::time::{Duration, SystemTime};

/// Seconds in a day.
const DAY_SECS: i64 = 86_400;
/// Days from 1 March of year 0, where the counting begins, to 1 January 1970.
const EPOCH_DAYS: i64 = 719_468;
/// Days in 400 years, after which the calendar repeats.
const ERA_DAYS: i64 = 146_097;

/// Year, month, day and second of the day (Howard Hinnant's `civil_from_days`: the year begins in March, so that a
/// leap day is its last).
pub(crate) fn civil(secs: i64) -> (i64, i64, i64, i64) {
    let days = secs.div_euclid(DAY_SECS) + EPOCH_DAYS;
    let era = days.div_euclid(ERA_DAYS);
    let day_of_era = days.rem_euclid(ERA_DAYS);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day, secs.rem_euclid(DAY_SECS))
}

/// Seconds from 1970 to the start of a day (`days_from_civil`); `None` for one that the calendar does not have.
fn day_start(year: i64, month: i64, day: i64) -> Option<i64> {
    let shifted = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (shifted.div_euclid(400), shifted.rem_euclid(400));
    let from_march = (month + 9) % 12;
    let day_of_year = (153 * from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let secs = (era * ERA_DAYS + day_of_era - EPOCH_DAYS) * DAY_SECS;
    // A 30th of February comes back as a day in March.
    (civil(secs) == (year, month, day, 0)).then_some(secs)
}

/// A day as `2026-03-01`.
pub(crate) fn day(time: SystemTime) -> String {
    let (year, month, day, _) = civil(secs_of(time));
    format!("{year:04}-{month:02}-{day:02}")
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
    let (year, month, day, second) = civil(secs);
    let (hours, minutes, seconds) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}Z")
}

/// Whole seconds since 1970; an earlier time is 1970.
fn secs_of(time: SystemTime) -> i64 {
    let secs = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    i64::try_from(secs).unwrap_or(i64::MAX)
}

/// Reads when something ends: `2026-12-31` is the end of that day, `2026-12-31T18:00` and
/// `2026-12-31T18:00:00Z` are that moment; all in UTC. `None` for anything else and for times before 1970.
pub(crate) fn parse_end(text: &str) -> Option<SystemTime> {
    parse(text, DAY_SECS)
}

/// Reads since when something counts: as [`parse_end`], but a day from its start.
pub(crate) fn parse_start(text: &str) -> Option<SystemTime> {
    parse(text, 0)
}

/// A moment, or that so many seconds after the start of a day.
fn parse(text: &str, of_day: i64) -> Option<SystemTime> {
    let (date, clock) = match text.split_once('T') {
        Some((date, clock)) => (date, Some(clock.strip_suffix('Z').unwrap_or(clock))),
        None => (text, None),
    };
    let [year, month, day] = numbers::<3>(date, '-', [4, 2, 2])?;
    let start = day_start(year, month, day)?;
    let secs = match clock {
        None => start + of_day,
        Some(clock) => start + second_of_day(clock)?,
    };
    Some(SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(secs).ok()?))
}

fn second_of_day(clock: &str) -> Option<i64> {
    let [hours, minutes, seconds] = match clock.len() {
        5 => numbers::<2>(clock, ':', [2, 2]).map(|[hours, minutes]| [hours, minutes, 0])?,
        _ => numbers::<3>(clock, ':', [2, 2, 2])?,
    };
    let is_time = hours < 24 && minutes < 60 && seconds < 60;
    is_time.then_some(hours * 3600 + minutes * 60 + seconds)
}

/// `N` numbers of exactly so many digits each.
fn numbers<const N: usize>(text: &str, separator: char, digits: [usize; N]) -> Option<[i64; N]> {
    let mut numbers = [0; N];
    let mut parts = text.split(separator);
    for (number, digits) in numbers.iter_mut().zip(digits) {
        let part = parts.next().filter(|part| part.len() == digits && part.bytes().all(|b| b.is_ascii_digit()))?;
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(secs)
    }

    #[test]
    fn days_become_dates() {
        let table = [
            (0, (1970, 1, 1, 0)),
            (-1, (1969, 12, 31, 86_399)),
            (951_782_399, (2000, 2, 28, 86_399)),
            (951_782_400, (2000, 2, 29, 0)),
            (4_107_542_399, (2100, 2, 28, 86_399)),
            (4_107_542_400, (2100, 3, 1, 0)),
            (-11_676_096_000, (1600, 1, 1, 0)),
        ];
        for (secs, expected) in table {
            assert_eq!(civil(secs), expected, "{secs}");
            let (year, month, day, second) = expected;
            assert_eq!(day_start(year, month, day).map(|start| start + second), Some(secs));
        }
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
            "2026-12-31T12:00:00+01:00",
            "2026-12-31-01",
            "tomorrow",
        ] {
            assert_eq!(parse_end(text), None, "{text}");
        }
    }
}
