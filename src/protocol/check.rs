//! The bounds of a decoded message: its counts and lengths, and numbers without a meaning.

use super::message::{
    Done, Failure, Get, Have, Header, Kind, ListedPart, ListingEntry, Message, Mtime, PartFate, Pos, Problem, Verdict,
};
use super::{
    DETAIL_BYTES_MAX, ENTRIES_MAX, FILE_BYTES_MAX, FILTER_BYTES_MAX, FILTERS_MAX, FRAME_BYTES_MAX, HAVE_DIGESTS_MAX,
    LINK_BYTES_MAX, NAME_BYTES_MAX, NAMES_MAX, PATTERN_BYTES_MAX, PATTERNS_MAX, path,
};

const NANOS_A_SECOND: u32 = 1_000_000_000;

/// Why bytes are no message, or a message cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The message is longer than [`FRAME_BYTES_MAX`]; known from the length alone when it comes from a peer.
    #[error("frame of {len} bytes is over the limit of {FRAME_BYTES_MAX}")]
    TooLong {
        /// Bytes of the message, without the length before it.
        len: usize,
    },
    /// The bytes are no message of this version.
    #[error("malformed message: {0}")]
    Malformed(String),
    /// The frame goes on after its message.
    #[error("{extra} bytes after the message in its frame")]
    Trailing {
        /// How many bytes there are too many.
        extra: usize,
    },
    /// A part of the message is outside its limit.
    #[error("{what} is outside its limit")]
    Limit {
        /// Which part of the message.
        what: &'static str,
    },
    /// The stream ended within a frame.
    #[error("stream ended {have} bytes into a frame")]
    Truncated {
        /// Bytes of the frame that did arrive, its length included.
        have: usize,
    },
}

/// Holds a message against every limit of the wire that a single message can break.
///
/// Called for both directions: what breaks a limit is neither taken nor sent. Order and context (is the id on
/// offer, does the offset fit the size) are for the rules of transfer.
///
/// # Errors
/// [`CodecError::Limit`] with the first part that is outside its limit.
pub(super) fn check(message: &Message) -> Result<(), CodecError> {
    match message {
        Message::Hello(hello) => at_most("name", hello.name.len(), NAME_BYTES_MAX),
        Message::Welcome(welcome) => at_most("name", welcome.name.len(), NAME_BYTES_MAX),
        Message::Get(get) => check_get(get),
        Message::Select(select) => {
            require("number of patterns", !select.listed || select.get.patterns.len() == 1)?;
            check_get(&select.get)
        }
        Message::Names(names) => at_most("number of names", names.names.len(), NAMES_MAX),
        Message::List(list) => at_most("pattern", list.pattern.len(), PATTERN_BYTES_MAX),
        Message::Entries(entries) => {
            at_most("number of entries", entries.len(), ENTRIES_MAX)?;
            entries.iter().try_for_each(check_entry)
        }
        Message::Header(Header { kind, size, mtime, .. }) => check_meta(kind, *size, *mtime),
        Message::Pos(Pos { verdict, .. }) => check_verdict(verdict),
        Message::Have(have) => check_have(have),
        Message::Done(Done { failure, .. }) => failure.as_ref().map_or(Ok(()), check_failure),
        Message::Cancel(Done { failure, .. }) => {
            require("cancel without a failure", failure.is_some())?;
            failure.as_ref().map_or(Ok(()), check_failure)
        }
        Message::Problem(Problem { name, failure }) => {
            at_most("name", name.len(), path::PATH_BYTES_MAX)?;
            check_failure(failure)
        }
        Message::PartsFound(parts) => {
            at_most("number of parts", parts.len(), ENTRIES_MAX)?;
            parts.iter().try_for_each(check_part)
        }
        Message::Remark(remark) => at_most("remark", remark.text.len(), DETAIL_BYTES_MAX),
        Message::Push(_)
        | Message::Tail(_)
        | Message::End(_)
        | Message::GoAway
        | Message::Settled
        | Message::Link(_)
        | Message::SenderStats(_)
        | Message::Probe(_)
        | Message::ProbeReady(_)
        | Message::ProbeDone(_)
        | Message::Offered
        | Message::Named(_)
        | Message::MoreNames
        | Message::Parts(_)
        | Message::Location(_) => Ok(()),
    }
}

fn check_get(get: &Get) -> Result<(), CodecError> {
    at_most("number of patterns", get.patterns.len(), PATTERNS_MAX)?;
    at_most("number of filters", get.filters.len(), FILTERS_MAX)?;
    get.patterns.iter().try_for_each(|pattern| at_most("pattern", pattern.len(), PATTERN_BYTES_MAX))?;
    get.filters.iter().try_for_each(|filter| at_most("filter", filter.len(), FILTER_BYTES_MAX))
}

fn check_entry(entry: &ListingEntry) -> Result<(), CodecError> {
    check_meta(&entry.kind, entry.size, entry.mtime)
}

fn check_part(part: &ListedPart) -> Result<(), CodecError> {
    require("size", part.size <= FILE_BYTES_MAX)?;
    match &part.fate {
        PartFate::Left(failure) => check_failure(failure),
        PartFate::Kept | PartFate::Removed => Ok(()),
    }
}

fn check_meta(kind: &Kind, size: u64, mtime: Mtime) -> Result<(), CodecError> {
    if let Kind::Link(target) = kind {
        at_most("link target", target.len(), LINK_BYTES_MAX)?;
        require("link target", !target.is_empty() && !target.contains(&0))?;
    }
    let size_max = if matches!(kind, Kind::File) { FILE_BYTES_MAX } else { 0 };
    require("size", size <= size_max)?;
    require("nanoseconds", mtime.nanos < NANOS_A_SECOND)
}

fn check_verdict(verdict: &Verdict) -> Result<(), CodecError> {
    match verdict {
        Verdict::Skip(_) => Ok(()),
        Verdict::Refuse(failure) => check_failure(failure),
        Verdict::From { offset, .. } => require("offset", *offset <= FILE_BYTES_MAX),
    }
}

fn check_have(have: &Have) -> Result<(), CodecError> {
    at_most("number of digests", have.digests.len(), HAVE_DIGESTS_MAX)?;
    // So that first + count cannot overflow: a chunk index is far below a byte offset.
    require("chunk index", have.first <= FILE_BYTES_MAX)
}

fn check_failure(failure: &Failure) -> Result<(), CodecError> {
    at_most("detail", failure.detail.len(), DETAIL_BYTES_MAX)
}

fn at_most(what: &'static str, len: usize, max: usize) -> Result<(), CodecError> {
    require(what, len <= max)
}

fn require(what: &'static str, holds: bool) -> Result<(), CodecError> {
    if holds { Ok(()) } else { Err(limit(what)) }
}

fn limit(what: &'static str) -> CodecError {
    CodecError::Limit { what }
}
