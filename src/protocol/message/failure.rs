//! Why something was not transferred.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::cut;
use crate::protocol::DETAIL_BYTES_MAX;
use crate::protocol::path::{PATH_BYTES_MAX, escape};

/// Why a file was not transferred.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The kind of failure.
    pub status: Status,
    /// The cause in words (an operating system's message); untrusted text.
    pub detail: String,
}

/// The kinds of failure of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Status {
    /// The source does not exist (any more), or no name matched.
    NotFound,
    /// The source could not be opened or read.
    ReadFailed,
    /// The source changed while it was sent, more than once.
    Changed,
    /// The destination could not be created, written or renamed.
    WriteFailed,
    /// The destination's disk or quota is full.
    NoSpace,
    /// It exists, and [`IfExists::Fail`](super::IfExists::Fail) or the server's `--no-clobber` forbids replacing it.
    Exists,
    /// The name cannot exist there: reserved, too long, through a link, or of another kind.
    BadName,
    /// Reading or writing there is not allowed.
    NotAllowed,
    /// Another transfer writes the same file.
    Busy,
    /// The received content does not have the announced digest.
    VerifyFailed,
    /// The other side waited too long for this file.
    Timeout,
    /// The user of either end stopped it.
    Cancelled,
    /// Not a regular file, directory or link.
    Unsupported,
    /// The end that answers failed in a way that is its own fault.
    Internal,
}

impl Failure {
    /// A failure and its cause in words; what is over [`DETAIL_BYTES_MAX`] is cut.
    pub fn new(status: Status, detail: impl Into<String>) -> Self {
        Self { status, detail: cut(detail.into(), DETAIL_BYTES_MAX) }
    }
}

impl Status {
    fn text(self) -> &'static str {
        match self {
            Self::NotFound => "not found",
            Self::ReadFailed => "cannot be read",
            Self::Changed => "changed while it was sent",
            Self::WriteFailed => "cannot be written",
            Self::NoSpace => "no space left",
            Self::Exists => "exists",
            Self::BadName => "not possible",
            Self::NotAllowed => "not allowed",
            Self::Busy => "another transfer writes it",
            Self::VerifyFailed => "the content did not verify",
            Self::Timeout => "waited too long",
            Self::Cancelled => "stopped",
            Self::Unsupported => "not a file, directory or link",
            Self::Internal => "internal error",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.text())
    }
}

/// Safe to print: the detail is escaped.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.detail.is_empty() {
            return self.status.fmt(f);
        }
        write!(f, "{}: {}", self.status, escape(self.detail.as_bytes()))
    }
}

/// A source without a header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The name as asked for or as found; untrusted bytes.
    pub name: Vec<u8>,
    /// The reason, as a status and in words.
    pub failure: Failure,
}

impl Problem {
    /// A source without a header; a name over [`PATH_BYTES_MAX`] is cut.
    pub fn new(name: impl Into<Vec<u8>>, failure: Failure) -> Self {
        let mut name = name.into();
        name.truncate(PATH_BYTES_MAX);
        Self { name, failure }
    }
}

/// Something that is no failure and that a user may want to know: a file is there whole and something of it is not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remark {
    /// In words; untrusted text.
    pub text: String,
}

impl Remark {
    /// A remark; what is over [`DETAIL_BYTES_MAX`] is cut.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: cut(text.into(), DETAIL_BYTES_MAX) }
    }
}

#[cfg(test)]
pub(in crate::protocol) mod tests {
    use super::*;

    /// All statuses, in the order of the wire.
    pub(in crate::protocol) const STATUSES: [Status; 14] = [
        Status::NotFound,
        Status::ReadFailed,
        Status::Changed,
        Status::WriteFailed,
        Status::NoSpace,
        Status::Exists,
        Status::BadName,
        Status::NotAllowed,
        Status::Busy,
        Status::VerifyFailed,
        Status::Timeout,
        Status::Cancelled,
        Status::Unsupported,
        Status::Internal,
    ];

    #[test]
    fn a_failure_shows_its_kind_and_its_escaped_cause() {
        let shown = |detail: &str| Failure::new(Status::NoSpace, detail).to_string();
        assert_eq!(shown("disk quota exceeded"), "no space left: disk quota exceeded");
        assert_eq!(shown("a\x1b[2Jb\nqft: done"), "no space left: a\\033[2Jb\\nqft: done");
        assert_eq!(shown(""), "no space left");
    }

    #[test]
    fn status_texts_are_short_distinct_and_in_house_style() {
        let mut texts: Vec<String> = STATUSES.iter().map(Status::to_string).collect();
        assert!(texts.iter().all(|text| text.len() <= 30 && !text.ends_with('.') && text.is_ascii()));
        texts.sort_unstable();
        texts.dedup();
        assert_eq!(texts.len(), STATUSES.len());
    }
}
