//! The list of servers as text, a line each.

use super::{DEFAULT_MARK, Remote, SINCE};
use crate::keys::Ticket;
use crate::keys::trust::{content, with_line};

/// A server, `None` for a blank line or a comment, or what is wrong with the line.
pub(super) fn parse(line: &str) -> Result<Option<Remote>, String> {
    let mut words = content(line).split_whitespace();
    let Some(name) = words.next() else { return Ok(None) };
    let ticket: Ticket = words.next().ok_or("no address")?.parse().map_err(|error| format!("{error}"))?;
    let is_default = match words.next() {
        None => false,
        Some(DEFAULT_MARK) if words.next().is_none() => true,
        Some(_) => return Err(format!("only the word '{DEFAULT_MARK}' may follow the address")),
    };
    let since = comment(line).and_then(|comment| comment.trim_start().strip_prefix(SINCE)).map(str::trim_start);
    let since = since.and_then(|rest| rest.split_whitespace().next()).filter(|day| is_day(day));
    let (name, since) = (name.to_owned(), since.map(str::to_owned));
    Ok(Some(Remote { name, ticket: ticket.without_invite(), is_default, line: 0, since }))
}

/// The list with every server's line replaced by what `edit` makes of it; lines that it leaves as they are, comments
/// and broken lines stay to the letter.
pub(super) fn rewrite(text: &str, edit: impl Fn(Remote) -> Option<Remote>) -> String {
    let mut new = String::new();
    for (number, line) in (1..).zip(text.lines()) {
        let Ok(Some(remote)) = parse(line).map(|remote| remote.map(|remote| Remote { line: number, ..remote })) else {
            new = with_line(new, line);
            continue;
        };
        match edit(remote.clone()) {
            Some(same) if same == remote => new = with_line(new, line),
            Some(edited) if edited.since == remote.since => new = with_line(new, &edited.text(comment(line))),
            Some(edited) => new = with_line(new, &edited.text(edited.known_since().as_deref())),
            None => {}
        }
    }
    new
}

/// The comment behind the first `#`.
fn comment(line: &str) -> Option<&str> {
    line.split_once('#').map(|(_, comment)| comment)
}

/// Whether this is a day as [`day`](crate::calendar::day) writes it. Whatever else a person wrote is not repeated as
/// one.
fn is_day(text: &str) -> bool {
    text.len() == "2026-03-01".len() && text.bytes().all(|b| b.is_ascii_digit() || b == b'-')
}
