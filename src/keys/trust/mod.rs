//! The clients that are let in, the servers that are trusted, and their rights: lists in the home directory.
//!
//! The lists are plain text, one entry a line. What a person wrote into them (comments, lines of a newer version)
//! stays.
//!
//! | file | holds |
//! |---|---|
//! | `clients`, `entry`, `rights`, `revoked` | `authorized_clients`: who may come in, what each may do, and who may not any more |
//! | `invites` | open invites, as hashes, and who redeems one |
//! | `remotes` | known servers, by name |
//! | `stamp` | whether a list has changed since it was read |

mod clients;
mod entry;
mod invites;
mod remotes;
mod revoked;
mod rights;
mod stamp;

pub use clients::{Allowed, ClientListing, Clients, KeyStatus, ListedClient};
pub use entry::{ClientEntry, check_client_name};
pub use invites::{INVITE_LIFETIME, InviteError, Invites, OpenInvite, RedeemError};
pub use remotes::{NameError, Remote, Remotes, check_remote_name};
pub use rights::{AccessMode, Rights, parse_expiry, parse_root};
pub(crate) use stamp::Stamps;

use super::address::Host;
use crate::protocol::path::escape;

/// Longest name of a peer in a list, in characters.
const NAME_CHARS_MAX: usize = 32;

/// A short plain name made of what a peer calls itself (or of a host name): its first label, only ASCII letters,
/// digits, `-` and `_`; `fallback` when nothing is left. The result can neither break a line of a list nor look like
/// a path or an address.
pub fn short_name(raw: &str, fallback: &str) -> String {
    // The first label of an address says nothing (`192`), so an address is kept whole.
    let is_address = raw.parse::<Host>().is_ok_and(|host| host.ip().is_some());
    let label = if is_address { raw } else { raw.split('.').next().unwrap_or_default() };
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' };
    let name: String = label.chars().take(NAME_CHARS_MAX).map(plain).collect();
    let name = name.trim_matches('-');
    if name.is_empty() { fallback.to_owned() } else { name.to_owned() }
}

/// The text before a comment, without white space around it.
fn content(line: &str) -> &str {
    line.split('#').next().unwrap_or_default().trim()
}

/// Whether a name is one that the lists take as it is; else why not.
fn check_name(name: &str) -> Result<(), String> {
    match short_name(name, "") == name && !name.is_empty() {
        true => Ok(()),
        false => Err(format!(
            "'{}' is no name: letters, digits, - and _, at most {NAME_CHARS_MAX}, and no - at either end",
            escape(name.as_bytes())
        )),
    }
}

/// A name that is nobody's yet: `wanted`, or that with a number behind it.
fn free_name(wanted: &str, is_taken: impl Fn(&str) -> bool) -> String {
    let numbered = (2_u64..).map(|number| format!("{wanted}-{number}"));
    let mut names = std::iter::once(wanted.to_owned()).chain(numbered);
    names.find(|name| !is_taken(name)).expect("lists are finite, the numbers are not")
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
    use super::*;

    #[test]
    fn a_peers_name_becomes_short_and_plain() {
        for (raw, name) in [
            ("box", "box"),
            ("box.lan.example", "box"),
            ("192.168.1.5", "192-168-1-5"),
            ("fe80::1", "fe80--1"),
            ("fe80::1%eth0.100", "fe80--1-eth0-100"),
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
