//! The reports of a ledger, of either role, to whoever watches the job.

use crate::protocol::message::{Failure, SkipReason, Why};
use crate::protocol::path::WirePath;

/// An event for the observer. `P` is how far a file is.
pub(crate) enum LedgerReport<P> {
    /// A file is part of the job.
    Found {
        path: WirePath,
        /// Its size in bytes.
        size: u64,
    },
    /// There are no more files than those found.
    SearchEnded,
    /// A file is asked for; with `is_checked`, the sender compares first what is there of it.
    Started { progress: P, is_checked: bool },
    /// Content of a file leaves.
    Begun(P),
    /// The existing content of a file is hashed, at the receiver, or compared, at the sender.
    Compared(P),
    /// All of a file is there, and is judged and committed; at the sender: all of it is sent.
    Complete(P),
    /// So many bytes more have been written at the other end.
    Written(P, u64),
    /// A file gets another name than its own, escaped for display.
    Named(P, String),
    /// A file is committed.
    Finished { path: WirePath, progress: P },
    /// A file needs no content.
    Skipped {
        path: WirePath,
        /// Its size in bytes.
        size: u64,
        reason: SkipReason,
    },
    /// In a dry run: a file would be sent.
    Planned {
        path: WirePath,
        /// Its size in bytes.
        size: u64,
        /// Where its content would start.
        from: u64,
        /// The kind of content that would be sent.
        why: Why,
        /// The name that it would get instead of its own, escaped for display.
        named: Option<String>,
    },
    /// A file, or a name, failed.
    Failed {
        /// The name as the sender has it: bytes that a peer may have chosen.
        name: Vec<u8>,
        failure: Failure,
        /// The other end has said so.
        by_peer: bool,
    },
    /// Something of the job that is no failure.
    Note(String),
}

#[cfg(test)]
impl<P: std::fmt::Display> LedgerReport<P> {
    /// In words, for the tables of both ledgers.
    pub(crate) fn in_words(self) -> String {
        match self {
            Self::Found { path, .. } => format!("found {path}"),
            Self::SearchEnded => "search ended".to_owned(),
            Self::Started { progress, is_checked: false } => format!("started {progress}"),
            Self::Started { progress, is_checked: true } => format!("checking {progress}"),
            Self::Begun(progress) => format!("begun {progress}"),
            Self::Compared(progress) => format!("compared {progress}"),
            Self::Complete(progress) => format!("complete {progress}"),
            Self::Written(progress, bytes) => format!("written {progress} {bytes}"),
            Self::Named(progress, name) => format!("named {progress} {name}"),
            Self::Finished { progress, .. } => format!("finished {progress}"),
            Self::Skipped { path, reason, .. } => format!("skipped {path} {reason:?}"),
            Self::Planned { path, named, .. } => format!("planned {path} {named:?}"),
            Self::Failed { name, failure, .. } => {
                format!("failed {} {:?}", String::from_utf8_lossy(&name), failure.status)
            }
            Self::Note(text) => format!("note {text}"),
        }
    }
}
