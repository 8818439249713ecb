//! Clients and their rights as `qft peers` shows them, for people and for programs.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::calendar;
use crate::cli::ui::text::shown;
use crate::keys::trust::{AccessMode, ListedClient, OpenInvite, Rights};

/// Longest comment that a table shows, in columns.
const COMMENT_COLUMNS: usize = 24;

/// A row of the table.
pub(super) fn client_row(client: &ListedClient, now: SystemTime) -> Vec<String> {
    let Rights { root, expires, .. } = &client.rights;
    let until = match expires {
        None => "-".to_owned(),
        Some(end) if *end <= now => format!("{} (over)", minute(*end)),
        Some(end) => minute(*end),
    };
    let comment: String = shown(&client.comment).chars().take(COMMENT_COLUMNS).collect();
    vec![
        shown(&client.name).into_owned(),
        client.fingerprint.short(),
        may(&client.rights),
        root.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string),
        until,
        comment,
    ]
}

/// The rights, in words.
fn may(rights: &Rights) -> String {
    let mode = match rights.mode {
        AccessMode::ReadWrite => "send, get",
        AccessMode::ReadOnly => "get",
        AccessMode::WriteOnly => "send",
    };
    match rights.no_clobber && rights.mode.writes() {
        true => format!("{mode}, no clobber"),
        false => mode.to_owned(),
    }
}

/// All that rights say, in one line.
pub(super) fn all(rights: &Rights) -> String {
    let mut text = format!("may {}", may(rights).replace("send, get", "send and get"));
    if let Some(root) = &rights.root {
        text.push_str(&format!(", only in {root}"));
    }
    if let Some(end) = rights.expires {
        text.push_str(&format!(", until {}", minute(end)));
    }
    text
}

/// A time in the largest unit that divides it.
pub(super) fn whole(time: Duration) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second")];
    let secs = time.as_secs();
    let (unit, name) = UNITS.into_iter().find(|(unit, _)| secs.is_multiple_of(*unit)).expect("a second divides all");
    let count = secs / unit;
    format!("{count} {name}{}", if count == 1 { "" } else { "s" })
}

/// `2026-12-31 18:00 UTC`; the end of a day is written as that day.
fn minute(time: SystemTime) -> String {
    let text = calendar::moment(time);
    match text.strip_suffix("T00:00:00Z") {
        Some(_) => calendar::day(time - Duration::from_secs(1)),
        None => format!("{} UTC", text[..16].replace('T', " ")),
    }
}

/// A client's name and the start of its key.
pub(super) fn who(client: &ListedClient) -> String {
    format!("{} ({})", shown(&client.name), client.fingerprint.short())
}

/// The name of the client that an open invite is for, if there is one.
pub(super) fn whose(invite: &OpenInvite) -> String {
    invite.entry.name.as_ref().map(|name| format!(" for {}", shown(name))).unwrap_or_default()
}

/// An open invite in one line.
pub(super) fn invite_line(invite: &OpenInvite) -> String {
    let whose = whose(invite);
    let (id, rights, until) = (&invite.id, all(&invite.entry.rights), minute(invite.until));
    format!("open invite {id}{whose}: {rights}; to be used until {until}")
}

/// A client as an event has it.
pub(super) fn client_json(client: &ListedClient) -> Value {
    let mut body = rights_json(&client.rights);
    body["name"] = client.name.as_str().into();
    body["fingerprint"] = client.fingerprint.to_string().into();
    body["comment"] = client.comment.as_str().into();
    body
}

/// An open invite as an event has it.
pub(super) fn invite_json(invite: &OpenInvite) -> Value {
    let mut body = rights_json(&invite.entry.rights);
    body["name"] = invite.entry.name.as_deref().into();
    body["id"] = invite.id.as_str().into();
    body["valid_until"] = calendar::moment(invite.until).into();
    body
}

fn rights_json(rights: &Rights) -> Value {
    json!({
        "read": rights.mode.reads(), "write": rights.mode.writes(), "no_clobber": rights.no_clobber,
        "root": rights.root.as_ref().map(ToString::to_string), "expires": rights.expires.map(calendar::moment),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_are_told_in_words() {
        for (options, words) in [
            ("ro", "may get"),
            ("wo,no-clobber", "may send, no clobber"),
            ("ro,no-clobber", "may get"),
            ("root=in,expires=2026-12-31", "may send and get, only in in, until 2026-12-31"),
            ("expires=2026-12-31T18:00", "may send and get, until 2026-12-31 18:00 UTC"),
        ] {
            assert_eq!(all(&Rights::parse(options).expect(options)), words);
        }
    }

    #[test]
    fn a_time_is_told_in_the_largest_unit_that_divides_it() {
        for (secs, words) in
            [(1, "1 second"), (90, "90 seconds"), (900, "15 minutes"), (7200, "2 hours"), (86_400, "1 day")]
        {
            assert_eq!(whole(Duration::from_secs(secs)), words);
        }
    }
}
