//! The history of a server's jobs, one line of JSON each, kept for months in the home directory.
//!
//! All servers of a home write to one file. It is bounded: when it is full it takes the place of the one before it, so at
//! most twice [`HISTORY_BYTES_MAX`] lie there. What is written is written by a thread of its own; what cannot be
//! written, because the disk is full or hangs, is lost, and no transfer notices.
//!
//! | file | noun |
//! |---|---|
//! | `entry` | one job |
//! | `log` | the file, and the thread that writes it |
//! | `sums` | what many jobs came to |

mod entry;
mod log;
mod sums;

pub use self::entry::{HistoryEntry, JobOutcome};
pub(super) use self::log::HistoryLog;
pub use self::log::{HISTORY_BYTES_MAX, LINES_AHEAD_MAX, read};
pub use self::sums::{Moved, Sums};
