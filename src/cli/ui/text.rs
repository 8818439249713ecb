//! Text that others chose, made safe to print, and words for statuses.

use std::borrow::Cow;

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use crate::protocol::message::{Failure, Status};
use crate::protocol::path::escape;

/// How the causes of lost connections, and of those that did not come to stand, go on where they tell what to do about it.
const REMEDIES: [&str; 2] = ["; the same command ", "; try again"];

/// Makes text safe to print unless it is already: a name that was escaped before stays as it is, so that
/// no backslash is doubled.
pub(crate) fn shown(text: &str) -> Cow<'_, str> {
    let escaped = escape(text.as_bytes()).to_string();
    match escaped.replace(r"\\", r"\") == text {
        true => Cow::Borrowed(text),
        false => Cow::Owned(escaped),
    }
}

/// A cause, safe to print, without what to do about it: it is this command that tries again, and nobody has to repeat it.
pub(super) fn without_remedy(cause: &str) -> String {
    let end = REMEDIES.iter().filter_map(|remedy| cause.rfind(remedy)).min();
    shown(&cause[..end.unwrap_or(cause.len())]).to_string()
}

/// The message while a server lets nobody in, by the reason.
pub(crate) fn asking_again(cause: &str) -> String {
    format!("{}; asking again", without_remedy(cause))
}

/// The cause of a failure in one line: what kind, what to do about it, then the words of the side where it happened.
pub(crate) fn cause(failure: &Failure) -> String {
    let kind = format!("{}{}", failure.status, remedy(failure.status));
    match failure.detail.trim() {
        "" => kind,
        detail => format!("{kind}: {}", shown(detail)),
    }
}

/// The remedy of a failure, as the end of its text.
fn remedy(status: Status) -> &'static str {
    match status {
        Status::Changed => "; send it again when it is quiet",
        Status::NoSpace => "; free some and run the same command again",
        Status::VerifyFailed => "; run the same command again",
        Status::Internal => " of the other side; its log says why",
        _ => "",
    }
}

/// A short word for a status, as JSON has it.
pub(crate) fn status_key(status: Status) -> &'static str {
    match status {
        Status::NotFound => "not_found",
        Status::ReadFailed => "read_failed",
        Status::Changed => "changed",
        Status::WriteFailed => "write_failed",
        Status::NoSpace => "no_space",
        Status::Exists => "exists",
        Status::BadName => "bad_name",
        Status::NotAllowed => "not_allowed",
        Status::Busy => "busy",
        Status::VerifyFailed => "verify_failed",
        Status::Timeout => "timeout",
        Status::Cancelled => "cancelled",
        Status::Unsupported => "unsupported",
        Status::Internal => "internal",
    }
}

/// `text`, a path, in exactly `width` columns. The name at its end says more than the directories before it; of a name that
/// is too long itself, the middle goes: names of one kind begin or end alike.
pub(crate) fn fit(text: &str, width: usize) -> String {
    let needed = text.width();
    if needed <= width {
        return format!("{text}{}", " ".repeat(width - needed));
    }
    let name = text.rsplit('/').next().unwrap_or(text);
    // One column is for the mark of omission.
    let left = width.saturating_sub(1);
    let (head, tail) = match name.width() <= left {
        true => ("", text),
        false => (name, name),
    };
    let start = if head.is_empty() { "" } else { &head[..within(head.chars(), left / 2)] };
    let end = &tail[tail.len() - within(tail.chars().rev(), left - start.width())..];
    let mark = if width > 0 { "…" } else { "" };
    let blank = left.saturating_sub(start.width() + end.width());
    format!("{start}{mark}{end}{}", " ".repeat(blank))
}

/// Bytes of the first characters that fit into `columns`.
fn within(characters: impl Iterator<Item = char>, columns: usize) -> usize {
    let mut left = columns;
    let fits = characters.take_while(|c| match left.checked_sub(c.width().unwrap_or(0)) {
        Some(rest) => {
            left = rest;
            true
        }
        None => false,
    });
    fits.map(char::len_utf8).sum()
}

/// At most so many characters of a text: its start, which says what it is about, and its end.
pub(crate) fn clipped(text: &str, characters: usize) -> Cow<'_, str> {
    let count = text.chars().count();
    if count <= characters {
        return Cow::Borrowed(text);
    }
    let half = characters / 2;
    let start: String = text.chars().take(half).collect();
    let end: String = text.chars().skip(count - half).collect();
    Cow::Owned(format!("{start}…{end}"))
}

/// As many of `parts`, joined, as fit into `width` columns; the first ones matter most.
pub(crate) fn join_within(parts: &[String], separator: &str, width: usize) -> String {
    let mut line = String::new();
    for part in parts {
        let more = if line.is_empty() { part.clone() } else { format!("{line}{separator}{part}") };
        if more.width() > width {
            break;
        }
        line = more;
    }
    line
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::protocol::close::CloseCode;
    use crate::transport::TransportError;

    #[test]
    fn who_asks_again_by_itself_tells_the_reason_and_no_remedy() {
        let addr = ([192, 0, 2, 1], 4433).into();
        let refused = |code| TransportError::Refused { code };
        for (error, said) in [
            (refused(CloseCode::GoingAway), "the other side is shutting down; asking again"),
            (
                refused(CloseCode::Busy),
                "the other side has no place for one more client (in all, from this address, or with this key); asking \
                 again",
            ),
            (
                TransportError::TurnedAway { addr },
                "192.0.2.1:4433 takes no connections just now: it is stopping or full; asking again",
            ),
        ] {
            assert_eq!(asking_again(&error.to_string()), said);
        }
        assert_eq!(asking_again("odd\u{1b}"), r"odd\033; asking again");
    }

    #[test]
    fn text_is_escaped_once() {
        for safe in ["plain", "häßlich 国", r"back\slash", r"a\nb", r"a\\b", ""] {
            assert_eq!(shown(safe), safe);
        }
        assert_eq!(shown("a\nb"), r"a\nb");
        assert_eq!(shown("\x1b[31m"), r"\033[31m");
        assert_eq!(shown(&shown("a\u{202e}b")), r"a\342\200\256b");
    }

    #[test]
    fn a_cause_is_one_line_whatever_the_peer_says() {
        let failure = Failure { status: Status::WriteFailed, detail: "Permission\ndenied\x1b[2J".into() };
        assert_eq!(cause(&failure), r"cannot be written: Permission\ndenied\033[2J");
        let failure = Failure { status: Status::NotFound, detail: String::new() };
        assert_eq!(cause(&failure), "not found");
    }

    #[test]
    fn a_long_path_keeps_its_name_and_a_long_name_both_ends() {
        assert_eq!(fit("2026/raw/IMG_0042.dng", 16), "…aw/IMG_0042.dng");
        assert_eq!(fit("raw/IMG_0042.dng", 10), "IMG_…2.dng");
        assert_eq!(fit("file number 1 with quite a long name.dat", 20), "file numb…g name.dat");
        assert_eq!(fit("short", 8), "short   ");
        assert_eq!(fit("国国国", 4), "…国 ");
        assert_eq!(fit("国国国国", 6), "国…国 ");
        assert_eq!(fit("abc", 0), "");
    }

    #[test]
    fn a_long_text_keeps_both_ends() {
        assert_eq!(clipped("häßlich", 7), "häßlich");
        assert_eq!(clipped("ä1234567ß", 4), "ä1…7ß");
    }

    #[test]
    fn parts_that_do_not_fit_are_left_out() {
        let parts = ["rtt 182ms".to_owned(), "loss 1.3%".to_owned(), "0 failed".to_owned()];
        assert_eq!(join_within(&parts, "  ", 80), "rtt 182ms  loss 1.3%  0 failed");
        assert_eq!(join_within(&parts, "  ", 20), "rtt 182ms  loss 1.3%");
        assert_eq!(join_within(&parts, "  ", 5), "");
    }

    proptest! {
        #[test]
        fn a_fitted_name_has_exactly_its_width(text in "[a-z国é/.]{0,40}", width in 0_usize..40) {
            prop_assert_eq!(fit(&text, width).width(), width);
        }

        #[test]
        fn shown_text_moves_no_cursor(text in any::<String>()) {
            let shown = shown(&text);
            prop_assert!(!shown.chars().any(char::is_control));
        }
    }
}
