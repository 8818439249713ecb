//! What is remembered of the paths to others, in two files of the home directory: `paths` of those to servers, `client_paths`
//! of those to clients. Whoever sends remembers.
//!
//! The program alone writes them: `ADDRESS BYTES_PER_SECOND ROUND_TRIP_US WHEN`, one path a line. They go by address and not
//! by key, since a peer has other paths under its other addresses. Nothing in them is trusted: the congestion controller
//! tests what it is told. They say who was met where within a day, so they are readable for their owner alone.

mod list;
mod memory;

use quinn::Connection;

use crate::congestion::{PastPath, PathState};
pub use list::PathList;
pub use memory::PathMemory;

/// Bytes that must have been sent for the path to be known: three seconds at 10 Mbit/s.
const SENT_MIN: u64 = 4 << 20;

/// The lesson of a connection whose controller reports into `state`; `None` when it is too little.
pub(crate) fn learnt(connection: &Connection, state: &PathState) -> Option<PastPath> {
    state.snapshot().past().filter(|_| connection.stats().udp_tx.bytes >= SENT_MIN)
}
