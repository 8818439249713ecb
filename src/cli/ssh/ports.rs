//! The range of UDP ports that a far end chooses from.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// The ports that mosh uses, so that a firewall which lets mosh through needs no change.
const DEFAULT: Ports = Ports { first: 60_000, last: 61_000 };

/// Ports from the first to the last, neither of them 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ports {
    first: u16,
    last: u16,
}

impl Ports {
    /// All of them, in order.
    pub(crate) fn all(self) -> RangeInclusive<u16> {
        self.first..=self.last
    }
}

impl Default for Ports {
    fn default() -> Self {
        DEFAULT
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.first == self.last {
            true => write!(f, "{}", self.first),
            false => write!(f, "{}-{}", self.first, self.last),
        }
    }
}

impl FromStr for Ports {
    type Err = String;

    /// Reads `A-B` or `A`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (first.trim().parse(), last.trim().parse()) {
            (Ok(first @ 1..), Ok(last)) if first <= last => Ok(Self { first, last }),
            _ => Err(format!("ports look like {DEFAULT}, or like one number from 1 to 65535")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_or_a_single_port_is_read() {
        for (text, shown, many) in
            [("60000-61000", "60000-61000", 1001), ("4433", "4433", 1), ("1-65535", "1-65535", 65_535)]
        {
            let ports: Ports = text.parse().expect("a range");
            assert_eq!((ports.to_string().as_str(), ports.all().count()), (shown, many));
        }
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for text in ["", "-", "0", "0-5", "9-8", "1-65536", "a-b", "1-2-3", "60000:61000"] {
            assert!(text.parse::<Ports>().is_err(), "{text}");
        }
    }
}
