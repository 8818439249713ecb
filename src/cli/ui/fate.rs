//! What becomes of a file, in one word each: lines, the final block, a dry run and JSON say it alike.

use super::super::exit::Verb;
use super::super::size;
use super::text::shown;
use crate::progress::FileProgress;
use crate::protocol::message::Why;

/// What has become of a file whose content was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// All of its content was moved.
    Sent,
    /// An unfinished file was continued.
    Resumed,
    /// What differed in the old version was replaced.
    Updated,
    /// It was compared, and nothing differed.
    Equal,
}

impl Fate {
    /// That of a file that is done.
    pub(crate) fn of(file: &FileProgress) -> Self {
        match file.why {
            Why::Update if file.written() == 0 => Self::Equal,
            Why::Update if file.reused() > 0 => Self::Updated,
            Why::Resume => Self::Resumed,
            Why::New | Why::Replace | Why::Update => Self::Sent,
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
    let part = || format!("{} of {whole}", size::bytes(file.written()));
    let mut text = match Fate::of(file) {
        Fate::Sent => format!("{} {path}, {whole}", verb.past()),
        Fate::Resumed => format!("resumed {path}, {}", part()),
        Fate::Updated => format!("updated {path}, {}", part()),
        Fate::Equal => format!("unchanged {path} (compared)"),
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

/// What a dry run finds for a file whose content would be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Prospect {
    /// Nothing of that name is there.
    New,
    /// It gets another name, since its own is taken.
    Rename,
    /// It replaces what is there.
    Replace,
    /// An unfinished file would be continued.
    Resume,
    /// Its content would be compared with the old version's, and what differs replaced.
    Update,
    /// Its content would be compared, and may be the same.
    Compare,
}

impl Prospect {
    /// `from`: how many of its bytes are there. `steps_aside`: what exists is to stay, under its name.
    pub(crate) fn of(why: Why, from: u64, size: u64, steps_aside: bool) -> Self {
        match why {
            Why::Replace | Why::Update if steps_aside => Self::Rename,
            Why::New => Self::New,
            Why::Replace => Self::Replace,
            Why::Resume => Self::Resume,
            Why::Update if from == size => Self::Compare,
            Why::Update => Self::Update,
        }
    }
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
    fn each_fate_has_one_word() {
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
            assert_eq!((Fate::of(&file).key(), line(Verb::Send, &file).as_str()), (key, text));
        }
        let renamed = file(Why::Replace, 0, 4 * MIB);
        renamed.set_name("f~1".into());
        assert_eq!(line(Verb::Get, &renamed), "got f, 4.0 MiB, as f~1");
    }

    #[test]
    fn a_dry_run_says_what_is_certain() {
        for (why, from, steps_aside, prospect) in [
            (Why::New, 0, false, Prospect::New),
            (Why::New, 0, true, Prospect::New),
            (Why::Replace, 0, false, Prospect::Replace),
            (Why::Replace, 0, true, Prospect::Rename),
            (Why::Resume, 4, false, Prospect::Resume),
            (Why::Update, 4, false, Prospect::Update),
            (Why::Update, 8, false, Prospect::Compare),
        ] {
            assert_eq!(Prospect::of(why, from, 8, steps_aside), prospect, "{why:?} {from}");
        }
    }
}
