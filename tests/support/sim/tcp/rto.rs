//! The retransmission timeout (RFC 6298) with Linux's least variance.

use super::{MILLIS, SECOND};

/// The variance counts as this at least.
const VARIANCE_MIN: u64 = 200 * MILLIS;
const RTO_MAX: u64 = 120 * SECOND;
const BACKOFF_MAX: u32 = 8;

/// The timer, and the round trips that it follows from.
#[derive(Debug, Default)]
pub(super) struct Rto {
    smoothed: u64,
    variance: u64,
    backoff: u32,
    due: Option<u64>,
}

impl Rto {
    pub(super) fn on_rtt(&mut self, rtt: u64) {
        if self.smoothed == 0 {
            (self.smoothed, self.variance) = (rtt, rtt / 2);
            return;
        }
        self.variance = (3 * self.variance + self.smoothed.abs_diff(rtt)) / 4;
        self.smoothed = (7 * self.smoothed + rtt) / 8;
    }

    /// The smoothed round trip; zero when not known.
    pub(super) fn smoothed(&self) -> u64 {
        self.smoothed
    }

    /// Starts the timer again, if anything is out.
    pub(super) fn arm(&mut self, now: u64, is_out: bool) {
        let timeout = self.smoothed + (4 * self.variance).max(VARIANCE_MIN);
        let timeout = (timeout << self.backoff.min(BACKOFF_MAX)).min(RTO_MAX);
        self.due = is_out.then_some(now + timeout);
    }

    pub(super) fn disarm(&mut self) {
        self.due = None;
    }

    /// Something new was acknowledged.
    pub(super) fn on_progress(&mut self) {
        self.backoff = 0;
    }

    pub(super) fn back_off(&mut self) {
        self.backoff += 1;
    }

    pub(super) fn due(&self) -> Option<u64> {
        self.due
    }
}
