//! Who is let in, and who is trusted: lists in the home directory, and invites in memory.
//!
//! The lists are plain text, one entry a line. What a person wrote into them (comments, lines of a newer version)
//! stays.

mod clients;
mod invites;
mod remotes;

pub use clients::{Client, Clients};
pub use invites::{INVITE_LIFETIME, InviteError, Invites, WRONG_TRIES_MAX};
pub use remotes::{Remote, Remotes};

use std::time::SystemTime;

/// Longest name of a peer in a list, in characters.
const NAME_CHARS_MAX: usize = 32;
/// Seconds in a day.
const DAY_SECS: u64 = 86_400;

/// A short plain name made of what a peer calls itself (or of a host name): its first label, only ASCII letters,
/// digits, `-` and `_`; `fallback` when nothing is left. The result can neither break a line of a list nor look like
/// a path or an address.
pub fn short_name(raw: &str, fallback: &str) -> String {
    // The first label of an address says nothing (`192`), so an address is kept whole.
    let is_address = raw.parse::<std::net::IpAddr>().is_ok();
    let label = if is_address { raw } else { raw.split('.').next().unwrap_or_default() };
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' };
    let name: String = label.chars().take(NAME_CHARS_MAX).map(plain).collect();
    let name = name.trim_matches('-');
    if name.is_empty() { fallback.to_owned() } else { name.to_owned() }
}

/// A day as `2026-03-01` (UTC).
pub(crate) fn date(time: SystemTime) -> String {
    let secs = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    // Days are counted from 1 March of year 0, so that a leap day is the last day of its year
    // (Howard Hinnant, "chrono-compatible low-level date algorithms").
    let days = secs / DAY_SECS + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

/// What stands before a comment, without white space around it.
fn content(line: &str) -> &str {
    line.split('#').next().unwrap_or_default().trim()
}

/// The text of a list with `line` as its new last line.
fn with_line(mut text: String, line: &str) -> String {
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(line);
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn days_are_written_as_the_calendar_has_them() {
        for (secs, day) in [
            (0, "1970-01-01"),
            (951_782_399, "2000-02-28"),
            (951_782_400, "2000-02-29"),
            (951_868_800, "2000-03-01"),
            (1_704_067_199, "2023-12-31"),
            (1_709_164_800, "2024-02-29"),
            (4_107_542_400, "2100-03-01"),
        ] {
            assert_eq!(date(SystemTime::UNIX_EPOCH + Duration::from_secs(secs)), day);
        }
    }

    #[test]
    fn a_peers_name_becomes_short_and_plain() {
        for (raw, name) in [
            ("box", "box"),
            ("box.lan.example", "box"),
            ("192.168.1.5", "192-168-1-5"),
            ("fe80::1", "fe80--1"),
            ("Anna's Mac", "Anna-s-Mac"),
            ("../../etc", "peer"),
            ("a\n# b\x1b[2J", "a---b--2J"),
            ("", "peer"),
            ("日本", "peer"),
        ] {
            assert_eq!(short_name(raw, "peer"), name, "{raw:?}");
        }
        assert_eq!(short_name(&"x".repeat(500), "peer").len(), NAME_CHARS_MAX);
    }
}
