//! Sizes, rates and times as people read them: short, with a fixed most width, so that columns stay put.
//!
//! indicatif's own `BinaryBytes` has two decimals and up to eleven columns, and no form for `1.23/2.00 GiB`.

use std::time::Duration;

use indicatif::HumanCount;

const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
const BIT_UNITS: [&str; 5] = ["bit", "kbit", "Mbit", "Gbit", "Tbit"];
/// From here on a number would round to four digits: the next unit is used.
const NEXT_UNIT: f64 = 999.95;

/// `512 B`, `7.9 GiB`: at most nine columns.
pub(crate) fn bytes(size: u64) -> String {
    let unit = unit_of(size as f64);
    format!("{} {}", number(size as f64, unit), UNITS[unit])
}

/// `1.23/2.00 GiB`: both in the unit of the second, with three of its digits, so that the first does not stand still
/// for long.
pub(crate) fn pair(part: u64, whole: u64) -> String {
    let unit = unit_of(whole.max(part) as f64);
    let [part, whole] = [part, whole].map(|size| size as f64 / 1024_f64.powi(unit as i32));
    let decimals = match whole.max(part) {
        _ if unit == 0 => 0,
        ..9.995 => 2,
        ..99.95 => 1,
        _ => 0,
    };
    format!("{part:.decimals$}/{whole:.decimals$} {}", UNITS[unit])
}

/// `41 MiB/s`, `1.2 MiB/s`: at most ten columns.
pub(crate) fn rate(bytes_per_second: f64) -> String {
    let unit = unit_of(bytes_per_second);
    let value = bytes_per_second / 1024_f64.powi(unit as i32);
    match value < 9.95 && unit > 0 {
        true => format!("{value:.1} {}/s", UNITS[unit]),
        false => format!("{value:.0} {}/s", UNITS[unit]),
    }
}

/// `96 Mbit/s`, `1.2 Gbit/s`: what people call a link's rate. Decimal, as links are sold.
pub(crate) fn bits(bytes_per_second: f64) -> String {
    let mut value = bytes_per_second * 8.0;
    let mut unit = 0;
    while value >= NEXT_UNIT && unit + 1 < BIT_UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    match value < 9.95 && unit > 0 {
        true => format!("{value:.1} {}/s", BIT_UNITS[unit]),
        false => format!("{value:.0} {}/s", BIT_UNITS[unit]),
    }
}

/// `0.8s`, `41s`, `22m14s`, `3h05m`, `2d04h`.
pub(crate) fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match seconds {
        0..=9 => format!("{:.1}s", time.as_secs_f64()),
        10..=59 => format!("{seconds}s"),
        60..=3599 => format!("{minutes}m{:02}s", seconds % 60),
        3600..=86_399 => format!("{hours}h{minutes:02}m"),
        _ => format!("{days}d{hours:02}h"),
    }
}

/// `0.4 ms`, `182 ms`: times on a path.
pub(crate) fn millis(time: Duration) -> String {
    match time.as_micros() {
        0..=9_999 => format!("{:.1} ms", time.as_secs_f64() * 1000.0),
        _ => format!("{} ms", time.as_millis()),
    }
}

/// As [`span`], without tenths: for times that count up or down on the screen.
pub(crate) fn rough(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..=59 => format!("{seconds}s"),
        _ => span(time),
    }
}

/// `10,000`.
pub(crate) fn count(number: u64) -> String {
    HumanCount(number).to_string()
}

/// `1 file`, `10,000 files`.
pub(crate) fn files(number: u64) -> String {
    format!("{} file{}", count(number), if number == 1 { "" } else { "s" })
}

/// Whole percent of `part` in `whole`; 100 only when nothing is missing.
pub(crate) fn percent(part: u64, whole: u64) -> u64 {
    match whole {
        0 => 100,
        _ => (u128::from(part.min(whole)) * 100 / u128::from(whole)) as u64,
    }
}

fn unit_of(mut value: f64) -> usize {
    let mut unit = 0;
    while value >= NEXT_UNIT && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    unit
}

fn number(value: f64, unit: usize) -> String {
    match unit {
        0 => format!("{value:.0}"),
        _ => format!("{:.1}", value / 1024_f64.powi(unit as i32)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_one_decimal_and_a_unit() {
        let table = [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 KiB"),
            (16 << 10, "16.0 KiB"),
            (1_047_000, "1.0 MiB"),
            (137_331_580_000, "127.9 GiB"),
            (u64::MAX, "16.0 EiB"),
        ];
        for (size, text) in table {
            assert_eq!(bytes(size), text);
        }
    }

    #[test]
    fn no_size_is_wider_than_nine_columns() {
        for shift in 0..64 {
            for near in [0_u64, 1, 23, 24, 25] {
                let size = (1_u64 << shift).saturating_mul(1000).saturating_sub(near);
                assert!(bytes(size).len() <= 9, "{}", bytes(size));
            }
        }
    }

    #[test]
    fn a_pair_shares_the_unit_of_the_whole() {
        assert_eq!(pair(1_288_490_188, 2 << 30), "1.20/2.00 GiB");
        assert_eq!(pair(3, 2 << 20), "0.00/2.00 MiB");
        assert_eq!(pair(128 << 20, 700 << 20), "128/700 MiB");
        assert_eq!(pair(1 << 30, 20 << 30), "1.0/20.0 GiB");
        assert_eq!(pair(0, 0), "0/0 B");
    }

    #[test]
    fn rates_are_short() {
        assert_eq!(rate(0.0), "0 B/s");
        assert_eq!(rate(41.2 * 1024.0 * 1024.0), "41 MiB/s");
        assert_eq!(rate(1.25e9), "1.2 GiB/s");
        assert_eq!(bits(12.0e6), "96 Mbit/s");
        assert_eq!(bits(150e6), "1.2 Gbit/s");
        assert_eq!(bits(0.0), "0 bit/s");
    }

    #[test]
    fn spans_use_two_units_at_most() {
        let table = [(0.84, "0.8s"), (41.7, "41s"), (1334.0, "22m14s"), (11_100.0, "3h05m"), (187_200.0, "2d04h")];
        for (seconds, text) in table {
            assert_eq!(span(Duration::from_secs_f64(seconds)), text);
        }
    }

    #[test]
    fn a_hundred_percent_means_everything() {
        assert_eq!(percent(999_999, 1_000_000), 99);
        assert_eq!(percent(5, 5), 100);
        assert_eq!(percent(7, 5), 100);
        assert_eq!(percent(0, 0), 100);
        assert_eq!(percent(u64::MAX - 1, u64::MAX), 99);
    }
}
