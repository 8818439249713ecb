//! Long lines on a terminal: folded between words, so that nothing is cut where it is read, and no command where it is
//! copied.

use std::io::IsTerminal as _;

use unicode_width::UnicodeWidthStr as _;

/// Columns by which what goes on is indented further.
const INDENT: usize = 2;
/// A terminal narrower than this folds by itself.
const COLUMNS_MIN: usize = 40;

/// The width of the terminal that standard error is; `None` where it is none.
pub(crate) fn stderr_columns() -> Option<usize> {
    let stderr = std::io::stderr();
    let told = || rustix::termios::tcgetwinsize(&stderr).map_or(0, |size| usize::from(size.ws_col));
    if !stderr.is_terminal() {
        return None;
    }
    Some(told()).filter(|columns| *columns >= COLUMNS_MIN)
}

/// A line in lines of at most `columns`, where its parts allow that; the first keeps its indent, the others are indented
/// further.
pub(crate) fn fold(line: &str, columns: usize) -> Vec<String> {
    if line.width() <= columns {
        return vec![line.to_owned()];
    }
    let text = line.trim_start_matches(' ');
    let first = line.len() - text.len();
    let mut lines = vec![" ".repeat(first)];
    let mut is_empty = true;
    for part in parts(text) {
        let last = lines.last_mut().expect("there is always one");
        let space = usize::from(!is_empty);
        if is_empty || last.width() + space + part.width() <= columns {
            last.push_str(&" ".repeat(space));
            last.push_str(part);
        } else {
            lines.push(format!("{}{part}", " ".repeat(first + INDENT)));
        }
        is_empty = false;
    }
    lines
}

/// The parts that must not be broken across lines: words, quotations, and commands up to the end of their clause.
fn parts(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text.trim_start_matches(' ');
    while !rest.is_empty() {
        let end = match rest {
            _ if rest.starts_with("qft ") || rest.starts_with("sudo ") => end_of_clause(rest),
            _ => end_of_word(rest),
        };
        let (part, more) = rest.split_at(end);
        parts.push(part);
        rest = more.trim_start_matches(' ');
    }
    parts
}

/// Where the first word ends, with all that a quote in it holds together.
fn end_of_word(text: &str) -> usize {
    let mut is_quoted = false;
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        match c {
            // An apostrophe inside of a word is none.
            '\'' if is_quoted => is_quoted = false,
            '\'' if !before.is_alphanumeric() => is_quoted = text[at + 1..].contains('\''),
            ' ' if !is_quoted => return at,
            _ => {}
        }
        before = c;
    }
    text.len()
}

/// Where a command ends that nobody has quoted.
fn end_of_clause(text: &str) -> usize {
    text.find("; ").map(|at| at + 1).or_else(|| text.find(" (")).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_folded_between_words_and_keep_their_indent() {
        assert_eq!(fold("short", 5), ["short"]);
        let text = "  failed: photos/a.jpg: not possible: a file is in the way";
        assert_eq!(fold(text, 30), ["  failed: photos/a.jpg: not", "    possible: a file is in the", "    way"]);
        assert_eq!(fold("abcdefghijkl mn", 5), ["abcdefghijkl", "  mn"], "a long word is not cut");
    }

    #[test]
    fn what_is_to_be_copied_stays_in_one_piece() {
        let text = "box: not known here; run 'qft serve --invite' there, and paste what it's told";
        let lines = fold(text, 40);
        assert!(lines.iter().any(|line| line.contains("'qft serve --invite'")), "{lines:?}");
        assert!(lines.iter().all(|line| line.width() <= 40), "{lines:?}");
        let text = "  or have it let in there: qft peers allow abcdefghijklmnopqrstuvwxyz; then again";
        assert_eq!(
            fold(text, 50),
            ["  or have it let in there:", "    qft peers allow abcdefghijklmnopqrstuvwxyz;", "    then again"]
        );
    }

    #[test]
    fn nothing_is_lost() {
        let text = "a  'b c' d'e qft f g; h 'i";
        let joined = fold(text, 8).iter().map(|line| line.trim().to_owned()).collect::<Vec<_>>().join(" ");
        assert_eq!(joined, "a 'b c' d'e qft f g; h 'i");
    }
}
