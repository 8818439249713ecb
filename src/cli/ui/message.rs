//! Errors as the user reads them.

use std::io::Write as _;

use super::super::exit::{self, Complaint, Exit};
use super::fold::{fold, stderr_columns};
use super::json::Json;
use super::mode::has_colours;
use super::text::shown;
use crate::cli::run::lines::{self, LineSink};
use crate::keys::{self, Fingerprint, Identity};

/// An error in one line; only what has a key in it takes more.
pub(crate) fn message(error: &anyhow::Error) -> String {
    if let Some(Complaint::Untrusted(text)) = error.downcast_ref() {
        return text.lines().map(shown).collect::<Vec<_>>().join("\n");
    }
    let text = without_numbers(&shown(&format!("{error:#}")));
    match exit::is_not_enrolled(error).then(own_fingerprint).flatten() {
        Some(own) => format!("{text}\n  or have it let in there: qft peers allow {own}"),
        None => text,
    }
}

/// The words that the standard library puts behind the system's, before the number.
const NUMBER: &str = " (os error ";

/// The system's words without the numbers that the standard library appends: they say nothing more.
fn without_numbers(text: &str) -> String {
    let mut parts = text.split(NUMBER);
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(')').filter(|end| part[..*end].bytes().all(|b| b.is_ascii_digit()));
        match end {
            Some(end) => plain.push_str(&part[end + 1..]),
            None => plain.extend([NUMBER, part]),
        }
    }
    plain
}

/// This machine's key, for whoever may let it in.
fn own_fingerprint() -> Option<Fingerprint> {
    let identity = Identity::load_or_create(&keys::home().ok()?).ok()?;
    Some(identity.fingerprint())
}

/// Reports an error of a command that shows no progress.
pub(crate) fn report(error: &anyhow::Error, command: &str, json: bool) -> Exit {
    let exit = Exit::of_error(error);
    match json {
        true => Json::stdout().end(Some(&message(error)), exit, serde_json::json!({ "command": command })),
        // A user who has interrupted the command needs no message about it.
        false if matches!(error.downcast_ref(), Some(Complaint::Interrupted(_))) => {}
        false => say(&format!("qft: {}", message(error))),
    }
    exit
}

/// A line whose first word says that something is wrong, with that word in clap's colour for errors.
pub(crate) fn coloured(line: &str) -> String {
    let text = line.trim_start_matches(' ');
    let indent = &line[..line.len() - text.len()];
    let Some(word) = ["qft:", "failed:"].into_iter().find(|word| text.starts_with(word)) else {
        return line.to_owned();
    };
    format!("{indent}\x1b[1m\x1b[31m{word}\x1b[0m{}", &text[word.len()..])
}

/// The text as a terminal shows it: folded, and coloured where that is wanted.
fn dressed(text: &str) -> String {
    let columns = stderr_columns();
    let fold = |line| columns.map_or_else(|| vec![str::to_owned(line)], |columns| fold(line, columns));
    let lines = text.lines().flat_map(fold);
    let dress = |line: String| if has_colours() { coloured(&line) } else { line };
    lines.map(dress).collect::<Vec<_>>().join("\n")
}

/// Prints last words. Whoever does not read them does not keep the process.
fn say(text: &str) {
    let text = dressed(text);
    match LineSink::stderr() {
        Ok(lines) => {
            lines.push(format!("{text}\n").into_bytes());
            lines.flush(Some(lines::END_WAIT));
        }
        // Without a thread there is nobody else to write them.
        Err(_) => drop(writeln!(std::io::stderr(), "{text}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_that_says_that_something_is_wrong_is_coloured_and_nothing_else() {
        assert_eq!(coloured("qft: no"), "\x1b[1m\x1b[31mqft:\x1b[0m no");
        assert_eq!(coloured("  failed: qft: x"), "  \x1b[1m\x1b[31mfailed:\x1b[0m qft: x");
        for plain in ["sent 1 file", "note: failed: x", ""] {
            assert_eq!(coloured(plain), plain);
        }
    }

    #[test]
    fn the_systems_numbers_are_left_out_and_nothing_else() {
        for (text, plain) in [
            ("cannot make x: Permission denied (os error 13)", "cannot make x: Permission denied"),
            ("a (os error 2): b (os error 13); c", "a: b; c"),
            ("a file (os error x) (os error ", "a file (os error x) (os error "),
            ("plain", "plain"),
        ] {
            assert_eq!(without_numbers(text), plain);
        }
    }
}
