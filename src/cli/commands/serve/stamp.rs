//! When a line of the log was written, and how much it matters, as whoever keeps the log wants it.

use std::io::IsTerminal as _;
use std::time::SystemTime;

use rustix::fs::fstat;

use crate::calendar;

/// Names the stream that journald reads, as `DEVICE:INODE` (systemd.exec(5)).
const JOURNAL_VARIABLE: &str = "JOURNAL_STREAM";

/// How much a line matters, in syslog's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Priority {
    /// Something is not as it should be.
    Warning = 4,
    Info = 6,
}

/// The prefix of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LinePrefix {
    /// Nothing: somebody is watching.
    Nothing,
    /// The time, as RFC 3339 has it.
    Time,
    /// The priority, as sd-daemon(3) has it; journald knows the time.
    Journal,
}

impl LinePrefix {
    /// The prefix that suits standard error.
    pub(super) fn of_stderr() -> Self {
        let stderr = std::io::stderr();
        let named = std::env::var(JOURNAL_VARIABLE).ok();
        let own = fstat(&stderr).ok().map(|stat| format!("{}:{}", stat.st_dev, stat.st_ino));
        match (named.is_some() && named == own, stderr.is_terminal()) {
            (true, _) => Self::Journal,
            (false, true) => Self::Nothing,
            (false, false) => Self::Time,
        }
    }

    /// The lines of a text as they are written; `time` is when it happened, if that matters.
    pub(super) fn lines(self, priority: Priority, text: &str, time: Option<SystemTime>) -> String {
        let before = match (self, time) {
            (Self::Journal, _) => format!("<{}>", priority as u8),
            (Self::Time, Some(time)) => format!("{} ", calendar::moment(time)),
            (Self::Time, None) | (Self::Nothing, _) => String::new(),
        };
        let lines = text.split('\n').map(|line| format!("{before}{line}\n"));
        lines.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_keeper_of_a_log_gets_what_it_lacks() {
        let time = Some(SystemTime::UNIX_EPOCH);
        for (stamp, time, lines) in [
            (LinePrefix::Nothing, time, "a\nb\n"),
            (LinePrefix::Time, time, "1970-01-01T00:00:00Z a\n1970-01-01T00:00:00Z b\n"),
            (LinePrefix::Time, None, "a\nb\n"),
            (LinePrefix::Journal, time, "<4>a\n<4>b\n"),
            (LinePrefix::Journal, None, "<4>a\n<4>b\n"),
        ] {
            assert_eq!(stamp.lines(Priority::Warning, "a\nb", time), lines, "{stamp:?}");
        }
        assert_eq!(LinePrefix::Journal.lines(Priority::Info, "a", None), "<6>a\n");
    }
}
