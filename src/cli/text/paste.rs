//! Command lines that are printed to be pasted: quoted for the shell, and such that the server takes them.

use std::borrow::Cow;

use crate::keys::Ticket;
use crate::server::AccessMode;

/// The placeholder for the user's own files; nobody is to quote it.
const FILES: &str = "FILES";

/// A word as sh, bash, zsh and fish read it back.
pub(crate) fn word(text: &str) -> Cow<'_, str> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:@+,%".contains(c);
    match !text.is_empty() && text.chars().all(is_plain) {
        true => text.into(),
        false => format!("'{}'", text.replace('\'', r"'\''")).into(),
    }
}

/// The line for the other machine: sending where that is allowed, else fetching. `options` are words, not yet quoted.
pub(crate) fn first_line(ticket: &Ticket, mode: AccessMode, options: &[&str]) -> String {
    let ticket = ticket.to_string();
    let (mut line, end) = match mode {
        AccessMode::ReadWrite | AccessMode::WriteOnly => (format!("qft send {FILES}"), ["--to", &ticket]),
        AccessMode::ReadOnly => ("qft get".to_owned(), [ticket.as_str(), "."]),
    };
    for word in options.iter().chain(&end) {
        line.push(' ');
        line.push_str(&self::word(word));
    }
    line
}

/// The other use of the same ticket, where the line itself does not say it.
pub(crate) fn other_use(mode: AccessMode) -> Option<&'static str> {
    match mode {
        AccessMode::ReadWrite => Some("to fetch, with the same ticket: qft ls TICKET, qft get TICKET/PATH ."),
        AccessMode::ReadOnly => Some("for a part, with the same ticket: qft ls TICKET, qft get TICKET/PATH ."),
        AccessMode::WriteOnly => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Fingerprint;

    fn ticket(host: &str) -> Ticket {
        Ticket { fingerprint: Fingerprint([7; 32]), invite: None, host: host.to_owned(), port: 9 }
    }

    #[test]
    fn a_word_is_quoted_where_a_shell_would_read_it_otherwise() {
        for (text, quoted) in [
            ("qft://abc:def@10.0.0.7:4433", "qft://abc:def@10.0.0.7:4433"),
            ("qft://abc@[fd00::2]:4433", "'qft://abc@[fd00::2]:4433'"),
            ("my token", "'my token'"),
            ("it's", r"'it'\''s'"),
            ("~/token", "'~/token'"),
            ("", "''"),
        ] {
            assert_eq!(word(text), quoted);
        }
    }

    #[test]
    fn the_line_is_one_that_the_server_takes() {
        let place = ticket("10.0.0.7");
        assert_eq!(first_line(&place, AccessMode::ReadWrite, &[]), format!("qft send FILES --to {place}"));
        assert_eq!(first_line(&place, AccessMode::WriteOnly, &[]), format!("qft send FILES --to {place}"));
        assert_eq!(first_line(&place, AccessMode::ReadOnly, &[]), format!("qft get {place} ."));
        let with_token = first_line(&ticket("::1"), AccessMode::ReadOnly, &["--token-file", "my token"]);
        assert_eq!(with_token, format!("qft get --token-file 'my token' '{}' .", ticket("::1")));
    }
}
