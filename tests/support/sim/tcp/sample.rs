//! Delivery-rate samples as in `tcp_rate.c`.

use super::scoreboard::Sent;

/// What one acknowledgement showed.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sample {
    /// Segments delivered over `interval`; `None` = the acknowledgement tells nothing.
    pub(super) delivered: Option<u64>,
    /// Nanoseconds.
    pub(super) interval: u64,
    /// Delivered in all when the segment was sent.
    pub(super) prior_delivered: u64,
    /// Lost since it was sent.
    pub(super) lost_since: u32,
    /// In flight when it was sent.
    pub(super) tx_in_flight: u32,
    /// Segments that this acknowledgement delivered...
    pub(super) acked: u32,
    /// ... and that it showed to be lost.
    pub(super) lost: u32,
    /// In flight before it.
    pub(super) prior_in_flight: u32,
    /// Of the latest segment that was sent once.
    pub(super) rtt: Option<u64>,
    /// Segments with a congestion mark.
    pub(super) marked: u32,
}

/// Gathers one sample.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gathering {
    newest: Option<Sent>,
}

impl Gathering {
    pub(super) fn new() -> Self {
        Self { newest: None }
    }

    pub(super) fn on_delivered(&mut self, sent: &Sent) {
        if self.newest.is_none_or(|newest| newest.order < sent.order) {
            self.newest = Some(*sent);
        }
    }

    /// The one that was sent last.
    pub(super) fn newest(&self) -> Option<&Sent> {
        self.newest.as_ref()
    }

    pub(super) fn finish(&self, now: u64, delivered: u64, lost: u64, min_rtt: u64, sample: &mut Sample) {
        let Some(newest) = self.newest else { return };
        sample.prior_delivered = newest.delivered;
        sample.lost_since = (lost - newest.lost_before) as u32;
        sample.tx_in_flight = newest.in_flight;
        let sending = newest.at - newest.first_sent;
        let acking = now - newest.delivered_at;
        sample.interval = sending.max(acking);
        // Shorter than any round trip: the acknowledgement was of something else.
        if sample.interval >= min_rtt && sample.interval > 0 {
            sample.delivered = Some(delivered - newest.delivered);
        }
    }
}
