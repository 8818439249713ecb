//! `--bwlimit`: a rate as it is typed.
//!
//! A number alone is KiB per second to rsync and rclone, and bytes per second to wget and curl: it is refused here.

use std::str::FromStr;

use crate::cli::text::size;
use crate::transport::Rate;

/// What may follow the number, in any case of letters, and what it stands for: bits per second, so that all are whole.
const UNITS: [(&str, u128); 13] = [
    ("B", 8),
    ("K", 8 << 10),
    ("KiB", 8 << 10),
    ("M", 8 << 20),
    ("MiB", 8 << 20),
    ("G", 8 << 30),
    ("GiB", 8 << 30),
    ("T", 8 << 40),
    ("TiB", 8 << 40),
    ("kbit", 1_000),
    ("mbit", 1_000_000),
    ("gbit", 1_000_000_000),
    ("tbit", 1_000_000_000_000),
];
/// Digits of a number, so that no product overflows.
const DIGITS_MAX: usize = 20;
/// The fraction of a whole number.
const NO_FRACTION: &str = "0";
/// How a rate is written.
const SHAPE: &str = "a rate looks like 500K, 10M or 1G (KiB, MiB or GiB per second), or 80kbit, 80mbit or 1gbit";

/// A limit on bytes per second; `None` is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BandwidthLimit(Option<Rate>);

impl BandwidthLimit {
    /// The limit of an option that need not be there.
    pub(crate) fn rate_of(option: Option<Self>) -> Option<Rate> {
        option.and_then(|limit| limit.0)
    }
}

impl FromStr for BandwidthLimit {
    type Err = String;

    /// Reads a number, which may have a fraction, with a unit. Only zero needs no unit.
    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (digits, unit) = text.split_at(unit_at);
        let number = Number::parse(digits)?;
        if number.digits == 0 && unit.is_empty() {
            return Ok(Self(None));
        }
        if unit.is_empty() {
            return Err(both_readings(digits, number));
        }
        let unit = unit.strip_suffix("/s").unwrap_or(unit).trim_start();
        let bits = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).ok_or(SHAPE)?.1;
        let rate = number.bytes_per_second(bits)?;
        match Rate::new(rate) {
            None if number.digits != 0 => Err("that is less than a byte per second; 0 is no limit".to_owned()),
            rate => Ok(Self(rate)),
        }
    }
}

/// A decimal number: `digits` over ten to the power of `decimals`.
#[derive(Debug, Clone, Copy)]
struct Number {
    digits: u128,
    decimals: u32,
}

impl Number {
    fn parse(text: &str) -> Result<Self, String> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, NO_FRACTION));
        let is_number = |part: &str| !part.is_empty() && part.bytes().all(|digit| digit.is_ascii_digit());
        if !is_number(whole) || !is_number(fraction) {
            return Err(SHAPE.to_owned());
        }
        if whole.len() + fraction.len() > DIGITS_MAX {
            return Err("too many digits".to_owned());
        }
        let digits = format!("{whole}{fraction}").parse().expect("few enough digits");
        Ok(Self { digits, decimals: fraction.len() as u32 })
    }

    /// Of so many of a unit of `bits`; what is less than a byte is cut off.
    fn bytes_per_second(self, bits: u128) -> Result<u64, String> {
        let bytes = self.digits * bits / (8 * 10_u128.pow(self.decimals));
        u64::try_from(bytes).map_err(|_| "that is too much; 0 is no limit".to_owned())
    }
}

/// What a number without a unit may mean.
fn both_readings(digits: &str, number: Number) -> String {
    let bits = number.bytes_per_second(1_000_000).map(|rate| size::rate(rate as f64));
    match bits {
        Ok(bits) => format!("{digits} what? {digits}K is {digits} KiB/s, {digits}mbit is {bits}"),
        Err(error) => error,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rate(text: &str) -> Result<u64, String> {
        text.parse::<BandwidthLimit>()
            .map(|limit| BandwidthLimit::rate_of(Some(limit)).map_or(0, Rate::bytes_per_second))
    }

    #[test]
    fn letters_are_binary_bytes_and_bits_are_decimal() {
        let table = [
            ("500K", 500 << 10),
            ("500k", 500 << 10),
            ("500KiB", 500 << 10),
            ("500KiB/s", 500 << 10),
            ("10M", 10 << 20),
            ("10 MiB/s", 10 << 20),
            ("1.5M", 3 << 19),
            ("0.001K", 1),
            ("1G", 1 << 30),
            ("2TiB", 2 << 40),
            ("2000B", 2000),
            ("80kbit", 10_000),
            ("80mbit", 10_000_000),
            ("80Mbit/s", 10_000_000),
            ("1gbit", 125_000_000),
            ("2.5Gbit", 312_500_000),
            ("0", 0),
            ("0.0", 0),
            ("0M", 0),
        ];
        for (text, bytes) in table {
            assert_eq!(rate(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn a_number_without_a_unit_shows_both_readings() {
        assert_eq!(rate("10"), Err("10 what? 10K is 10 KiB/s, 10mbit is 1.2 MiB/s".to_owned()));
        assert_eq!(rate("1000"), Err("1000 what? 1000K is 1000 KiB/s, 1000mbit is 119 MiB/s".to_owned()));
        assert_eq!(rate("1.5"), Err("1.5 what? 1.5K is 1.5 KiB/s, 1.5mbit is 183 KiB/s".to_owned()));
    }

    #[test]
    fn what_is_not_a_rate_is_told_how_one_looks() {
        // MB and Mb are read in two ways each, so they are not read at all.
        for text in ["", "M", "-1M", "+1M", ".5M", "5.M", "1.2.3M", "10MB", "10Mb", "10Mbps", "10M/m", "1e3K", "10/s"] {
            assert_eq!(rate(text), Err(SHAPE.to_owned()), "{text}");
        }
        for text in ["0.1B", "7bit", "99999999999T", "999999999999999999999K", "18446744073709551616B"] {
            assert!(rate(text).is_err(), "{text}");
        }
        assert_eq!(rate("18446744073709551615B"), Err("too many digits".to_owned()));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in ".{0,40}", number in "[0-9.]{0,30}", unit in "[a-zA-Z/ ]{0,6}") {
            let _ = (rate(&text), rate(&number), rate(&format!("{number}{unit}")));
        }

        #[test]
        fn a_whole_number_is_that_many_of_its_unit(number in 1..=1_u64 << 20, unit in prop::sample::select(&UNITS)) {
            let (name, bits) = unit;
            let bytes = (u128::from(number) * bits / 8) as u64;
            prop_assert_eq!(rate(&format!("{number}{name}")), Ok(bytes));
            prop_assert_eq!(rate(&format!("{number}.0{}", name.to_lowercase())), Ok(bytes));
            prop_assert_eq!(rate(&format!("{number}{}/s", name.to_uppercase())), Ok(bytes));
        }

        #[test]
        fn a_number_without_a_unit_is_never_a_rate(number in 1..u64::from(u32::MAX)) {
            let words = rate(&number.to_string()).expect_err("no unit");
            let question = format!("{number} what? ");
            prop_assert!(words.starts_with(&question), "{}", words);
        }
    }
}
