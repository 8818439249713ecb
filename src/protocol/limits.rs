//! How much of anything one end may say to the other.

#[cfg(doc)]
use super::message;
use super::path::PATH_BYTES_MAX;

/// Longest message of a frame in bytes, its length prefix not counted. A long path and its error fit many times;
/// a hundred connections that each hold one frame cost a few megabytes.
pub const FRAME_BYTES_MAX: usize = 64 * 1024;

/// Most files of one sender that are offered and not settled: hides a round trip of 300 ms at 27,000 small
/// files a second, and bounds what a receiver has to remember.
pub const HEADERS_AHEAD_MAX: usize = 8192;

/// How often one file of a job may be on offer: a source that changes while it is sent is offered again, and one that
/// never rests would be for ever.
pub const OFFERS_MAX: u8 = 3;

/// Most files of a job whose start goes ahead of its answer: what a client may open streams for before the server has
/// let it in, so few.
pub const EARLY_FILES_MAX: usize = 64;

/// Most bytes that go ahead, all those files together: what a path of 100 Mbit/s takes in 80 ms. No new connection sends
/// as much before the first answer; one to a server that is known does. A server keeps them for a stranger too.
pub const EARLY_BYTES_MAX: u64 = 1 << 20;

/// Most bytes of chunks that have begun to arrive and are not complete, each counted whole, over all data streams of
/// a connection: what a receiver has to hold to write whole chunks. 1 Gbit/s at 300 ms, six times.
pub const BEGUN_BYTES_MAX: usize = 256 << 20;

/// Most digests in one [`message::Have`]: 16 KiB of a 64 KiB frame, so that the first answers come early.
pub const HAVE_DIGESTS_MAX: usize = 1024;

/// Most names in one [`message::Message::Entries`] or [`PartsFound`](message::Message::PartsFound): the first screenful
/// comes early; long paths fill a frame with fewer.
pub const ENTRIES_MAX: usize = 1024;

/// Most patterns in one [`message::Get`]: what a shell expands, within a frame.
pub const PATTERNS_MAX: usize = 1024;

/// Longest pattern in bytes: as long as the longest path.
pub const PATTERN_BYTES_MAX: usize = PATH_BYTES_MAX;

/// Most names in one [`message::Names`].
pub const NAMES_MAX: usize = 1024;

/// Most bytes of names in one [`message::Names`], give or take what frames them: half a frame.
pub const NAMES_BYTES_MAX: usize = 32 * 1024;

/// Most [`message::Names`] that a client may be ahead of the server's [`message::Message::MoreNames`]: the server keeps
/// them. Names of 40 bytes go out at 16,000 a second over a round trip of 100 ms.
pub const NAMES_AHEAD_MAX: usize = 2;

/// Most filter lines in one [`message::Get`].
pub const FILTERS_MAX: usize = 1024;

/// Longest filter line in bytes: as long as the longest path.
pub const FILTER_BYTES_MAX: usize = PATH_BYTES_MAX;

/// Longest target of a symbolic link in bytes (Linux `PATH_MAX`).
pub const LINK_BYTES_MAX: usize = PATH_BYTES_MAX;

/// Longest name of an end in bytes: the longest host name that DNS allows.
pub const NAME_BYTES_MAX: usize = 255;

/// Longest cause in words in bytes; more would not fit a terminal line many times over.
pub const DETAIL_BYTES_MAX: usize = 1024;

/// Largest file in bytes: the largest offset that a file has on unix. So no sum of an offset and a length overflows.
pub const FILE_BYTES_MAX: u64 = i64::MAX as u64;

/// Most remarks of one job: the first screenful; a tree may give rise to any number.
pub const REMARKS_MAX: usize = 32;

/// Longest time in milliseconds that one [`message::Probe`] gets: a path of 600 ms has long settled by then.
pub const PROBE_MILLIS_MAX: u32 = 30_000;

/// Most bytes that one [`message::Probe`] moves: half a second of 40 Gbit/s. A shorter time is no worse measurement there.
pub const PROBE_BYTES_MAX: u64 = 2 << 30;

/// Most bytes that one echo returns: a thousand round trips of eight bytes.
pub const PROBE_ECHO_BYTES_MAX: usize = 8 * 1024;
