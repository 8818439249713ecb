//! The outcomes of files, in one word each: lines, the final block and JSON use the same words.

use super::text::shown;
use crate::cli::text::size;
use crate::cli::text::verb::Verb;
use crate::progress::FileProgress;
use crate::protocol::message::Why;

/// The outcome of a file whose content was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileOutcome {
    /// All of its content was moved.
    Sent,
    /// An unfinished file was continued.
    Resumed,
    /// The chunks of the old version that differed were replaced.
    Updated,
    /// It was compared, and nothing differed.
    Equal,
}

impl FileOutcome {
    /// That of a file that is done, by what it was when the job first asked for it.
    pub(crate) fn of(file: &FileProgress) -> Self {
        match file.first_why() {
            Why::Update if file.written_in_all() == 0 => Self::Equal,
            Why::Update if file.reused() > 0 => Self::Updated,
            Why::Resume if file.reused() > 0 => Self::Resumed,
            Why::New | Why::Replace | Why::Update | Why::Resume => Self::Sent,
        }
    }

    /// As JSON has it.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Resumed => "resumed",
            Self::Updated => "updated",
            Self::Equal => "equal",
        }
    }
}

/// Bytes of a file that is done which nobody moved, since they are zero and nothing was there before.
pub(crate) fn holes(file: &FileProgress) -> u64 {
    file.size.saturating_sub(file.written()).saturating_sub(file.resumed)
}

/// The line of a file that is done: `sent a.jpg, 2.9 MiB`.
pub(crate) fn line(verb: Verb, file: &FileProgress) -> String {
    let (path, whole) = (shown(&file.path), size::bytes(file.size));
    let part = || format!("{} of {whole}", size::bytes(file.written_in_all()));
    let mut text = match FileOutcome::of(file) {
        FileOutcome::Sent => format!("{} {path}, {whole}", verb.past()),
        FileOutcome::Resumed => format!("resumed {path}, {}", part()),
        FileOutcome::Updated => format!("updated {path}, {}", part()),
        FileOutcome::Equal => format!("unchanged {path} (compared)"),
    };
    match holes(file) {
        0 => {}
        all if all == file.size => text.push_str(", all holes"),
        some => text.push_str(&format!(", {} of it holes", size::bytes(some))),
    }
    if let Some(name) = file.name() {
        text.push_str(&format!(", as {}", shown(name)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(why: Why, resumed: u64, written: u64) -> FileProgress {
        let file = FileProgress::new("f".into(), 4 << 20, resumed, why);
        file.add_written(written);
        file
    }

    #[test]
    fn each_outcome_has_one_word() {
        const MIB: u64 = 1 << 20;
        for (why, resumed, written, key, text) in [
            (Why::New, 0, 4 * MIB, "sent", "sent f, 4.0 MiB"),
            (Why::Replace, 0, 4 * MIB, "sent", "sent f, 4.0 MiB"),
            (Why::New, 0, 0, "sent", "sent f, 4.0 MiB, all holes"),
            (Why::New, 0, MIB, "sent", "sent f, 4.0 MiB, 3.0 MiB of it holes"),
            (Why::Resume, 3 * MIB, MIB, "resumed", "resumed f, 1.0 MiB of 4.0 MiB"),
            (Why::Update, 4 * MIB, MIB, "updated", "updated f, 1.0 MiB of 4.0 MiB"),
            (Why::Update, 4 * MIB, 4 * MIB, "sent", "sent f, 4.0 MiB"),
            (Why::Update, 4 * MIB, 0, "equal", "unchanged f (compared)"),
        ] {
            let file = file(why, resumed, written);
            assert_eq!((FileOutcome::of(&file).key(), line(Verb::Send, &file).as_str()), (key, text));
        }
        let renamed = file(Why::Replace, 0, 4 * MIB);
        renamed.set_name("f~1".into());
        assert_eq!(line(Verb::Get, &renamed), "got f, 4.0 MiB, as f~1");
    }
}
