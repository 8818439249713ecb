//! Proportional rate reduction (RFC 6937) as Linux has it: the window comes down with what is delivered.

use super::congestion::Tcp;
use super::sample::Sample;

/// A reduction that is under way.
#[derive(Debug, Default)]
pub(super) struct Reduction {
    prior_window: u32,
    delivered: u32,
    out: u32,
}

impl Reduction {
    /// Begins, from this window.
    pub(super) fn new(prior_window: u32) -> Self {
        Self { prior_window, delivered: 0, out: 0 }
    }

    pub(super) fn on_sent(&mut self) {
        self.out += 1;
    }

    /// The window after an acknowledgement; `None` when that told nothing. `has_advanced`: the first segment that is not
    /// acknowledged is another one now.
    pub(super) fn on_ack(&mut self, sample: &Sample, has_advanced: bool, tcp: &Tcp) -> Option<u32> {
        if sample.acked == 0 && sample.lost == 0 {
            return None;
        }
        self.delivered += sample.acked;
        let Tcp { in_flight, threshold, .. } = *tcp;
        let sent = if in_flight > threshold {
            (u64::from(threshold) * u64::from(self.delivered)).div_ceil(u64::from(self.prior_window).max(1)) as u32
        } else {
            let more = u32::from(has_advanced && sample.lost == 0);
            let count = self.delivered.saturating_sub(self.out).max(sample.acked) + more;
            self.out + count.min(threshold - in_flight)
        };
        // The first repetition leaves at once.
        let count = sent.saturating_sub(self.out).max(u32::from(self.out == 0));
        Some(in_flight + count)
    }
}
