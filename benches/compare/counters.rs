//! What a link saw.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A packet that comes out so much later than due is late: programs at round trips of tens of milliseconds notice.
pub(crate) const LATE: Duration = Duration::from_millis(5);

/// What one direction did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Counters {
    /// Packets and bytes that were offered, lost ones included.
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    /// Packets lost at random.
    pub(crate) lost: u64,
    /// Packets dropped because the queue was full.
    pub(crate) queue_drops: u64,
    /// How much later than due the latest packet came out: what this machine added to the link.
    pub(crate) late_max_ms: f64,
    /// Share of the packets that came out late by more than [`LATE`], in percent.
    pub(crate) late_percent: f64,
}
