//! All rules, without I/O: feed them messages, names and what came of disk work, get decisions.
//!
//! * [`file`](mod@file): one file, from its offer to its digest.
//! * `commit`: how what is complete becomes a file: in which steps, and under which name.
//! * `job`: one job, that is many files over one connection.
//!
//! ```text
//! sender                                      receiver
//!   Header ──────────────────────────────────▶  file::resume::decide
//!   job::early ── the start, unasked ────────▶  job::early
//!   file::SendFile  ◀────── Pos From(offset) ── file::ReceiveFile
//!     │  content ranges at or after offset ──▶   │ on_range, on_chunk
//!     │  ◀────────────── Have (before offset) ── │ on_prefix
//!     │  repair ranges before offset ─────────▶  │ on_range, on_chunk
//!     └─ close() ── Tail ─────────────────────▶  └─ on_tail, judge()
//! ```
//!
//! Nothing here is async, knows the time or touches a disk; the rooms to the right drive it.

pub(crate) mod commit;
pub(crate) mod file;
pub(crate) mod job;

/// Vectors grow by doubling: what is kept in one may take so many times its bytes.
pub(crate) const GROWTH: usize = 2;

/// Room that is taken from a budget, and given back when it is dropped.
pub(crate) trait Room {
    /// Takes more; `false`: there is none.
    fn grow(&mut self, amount: usize) -> bool;
    /// Gives back all but so much.
    fn shrink_to(&mut self, amount: usize);
}

/// Room that a test counts, which never comes back: what is left of it.
#[cfg(test)]
pub(crate) struct CountedRoom(pub(crate) usize);

#[cfg(test)]
impl Room for CountedRoom {
    fn grow(&mut self, amount: usize) -> bool {
        let left = self.0.checked_sub(amount);
        self.0 = left.unwrap_or(self.0);
        left.is_some()
    }

    fn shrink_to(&mut self, _: usize) {}
}

/// The peer broke the rules: the connection is closed, and the same is never tried again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A range does not start or end where a chunk does, is empty, or reaches beyond its file.
    #[error("range {offset}+{len} does not fit its file")]
    BadRange {
        /// Where the range starts.
        offset: u64,
        /// How many bytes it has.
        len: u64,
    },
    /// A chunk would be carried by two streams.
    #[error("range at {offset} was sent before")]
    Overlap {
        /// Where the range starts.
        offset: u64,
    },
    /// A repair of a chunk whose digest was not offered yet.
    #[error("repair at {offset} before its digest was offered")]
    EarlyRepair {
        /// Where the range starts.
        offset: u64,
    },
    /// More data streams than the tail announced, or a tail that announces fewer than there were.
    #[error("the tail announced {announced} ranges, {seen} came")]
    RangeCount {
        /// The number that the tail announced.
        announced: u64,
        /// The number that was seen.
        seen: u64,
    },
    /// More content ahead of the answers than a job may have.
    #[error("{files} files and {bytes} bytes are too much ahead of the answers")]
    TooMuchEarly {
        /// Files, with the one too many.
        files: u64,
        /// Bytes, with those too many.
        bytes: u64,
    },
    /// A file was said to be complete twice.
    #[error("a second tail for the same file")]
    SecondTail,
    /// An answer that cannot follow from the offer.
    #[error("start at {offset} is neither a chunk boundary nor the end of the file")]
    BadStart {
        /// The offset in the answer.
        offset: u64,
    },
    /// Digests out of order or beyond what was offered.
    #[error("digests from chunk {first} are out of order")]
    BadHave {
        /// The first chunk of the message.
        first: u64,
    },
}

/// Chunks of a file whose digests are summed up where the file is closed, holes among them: 16 GiB of file, or 256 KiB of
/// digests, which take less than half a millisecond. A file of a terabyte that is all holes costs a peer two messages, so
/// what is larger goes on behind all other work.
pub(crate) const SUM_CHUNKS_AT_ONCE: u64 = 1 << 14;

/// Chunks that are summed up there at one go: six milliseconds.
pub(crate) const SUM_CHUNKS_A_STEP: u64 = 1 << 18;

/// Files larger than this are refused: 16 TiB, the limit of ext4, which also bounds the digest table.
pub(crate) const ACCEPTED_FILE_BYTES_MAX: u64 = 16 << 40;
