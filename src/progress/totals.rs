//! The totals of a job, while it runs and at its end.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::protocol::message::Failure;

/// The totals of a job, updated as it runs and read at any time.
#[derive(Debug, Default)]
pub struct Counters {
    /// Files found so far (directories and links included).
    pub files_found: AtomicU64,
    /// Sum of their sizes in bytes.
    pub bytes_found: AtomicU64,
    /// Whether the search for files has ended, so that the two above are totals.
    pub scan_ended: AtomicBool,
    /// Files that were committed under their final names.
    pub files_done: AtomicU64,
    /// Files that needed no content.
    pub files_skipped: AtomicU64,
    /// Files and names that failed.
    pub files_failed: AtomicU64,
    /// Content bytes that the receiver wrote in this run: the only bytes that count for the rate.
    pub bytes_written: AtomicU64,
    /// Bytes that were there already in files that were continued or updated.
    pub bytes_resumed: AtomicU64,
    /// Bytes of files that were skipped.
    pub bytes_skipped: AtomicU64,
    /// Grows with every second in which content crossed the wire, reported yet or not.
    pub flows: AtomicU64,
    /// Smoothed round trip in microseconds.
    pub rtt_us: AtomicU64,
    /// Packets sent by the sending side.
    pub packets_sent: AtomicU64,
    /// Packets lost by the sending side.
    pub packets_lost: AtomicU64,
    /// The sending side's congestion window in bytes.
    pub window: AtomicU64,
    /// The sending side's packet size in bytes.
    pub mtu: AtomicU64,
    /// Bytes that the receiver has acknowledged, as the sender counts them, all that QUIC adds included.
    pub acked: AtomicU64,
    /// Those of them that were sent while there was nothing more to send.
    pub acked_idle: AtomicU64,
    /// How long files under way have waited for the sender's disk, all together, in microseconds.
    pub read_wait_us: AtomicU64,
    /// Likewise, until their connection took more of them.
    pub write_wait_us: AtomicU64,
    /// The time, in microseconds, that the sender tells of in the four above.
    pub sender_us: AtomicU64,
    /// Of that time, how long a processor was at work for the sender without a break.
    pub sender_processor_us: AtomicU64,
    /// Of a receiver: content bytes that came.
    pub taken: AtomicU64,
    /// Those of them that found half of what may wait for the disk waiting.
    pub taken_behind: AtomicU64,
    /// The share of a processor that this end has used, in thousandths; known at the end.
    pub processor_permille: AtomicU64,
    /// This end's UDP buffer for packets that arrive, in bytes, as the system granted it; 0 before there is a socket.
    pub udp_receive: AtomicU64,
    /// This end's UDP buffer for packets that leave, likewise.
    pub udp_send: AtomicU64,
}

impl Counters {
    /// Adds to one counter.
    pub(crate) fn add(counter: &AtomicU64, amount: u64) {
        counter.fetch_add(amount, Ordering::Relaxed);
    }

    /// The value of one counter now. Counters are not read together: their sums may differ by a file.
    pub fn read(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }
}

/// The result of a finished job.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobReport {
    /// Files that were committed under their final names.
    pub done: u64,
    /// Files that needed no content.
    pub skipped: u64,
    /// Files and names that failed, each with its cause, at most [`FAILURES_KEPT`] of them; what
    /// did not verify comes before others.
    pub failures: Vec<(String, Failure)>,
    /// How many failed in all.
    pub failed: u64,
    /// How many of those the other end has said: its disk or its rules are the cause.
    pub failed_by_peer: u64,
    /// Content bytes that crossed the wire and were written.
    pub bytes_written: u64,
    /// Bytes that were there already in files that were continued or updated.
    pub bytes_resumed: u64,
    /// Bytes of skipped files.
    pub bytes_skipped: u64,
    /// From the start of the job to its end.
    pub elapsed: Duration,
}

/// Failures listed by name in a [`JobReport`]; more are only counted, so that memory stays flat.
pub const FAILURES_KEPT: usize = 1000;
