//! What comes in lumps: how much more was acknowledged than the bandwidth explains (`extra_acked` of BBR).

use super::SECOND;
use super::congestion::Tcp;

/// Rounds of a span; the most of the present span and the one before counts.
const ROUNDS: u32 = 5;
/// Segments after which a lump is over whatever it was.
const RESET: u64 = 1 << 20;

/// Watches acknowledgements.
#[derive(Debug, Default)]
pub(super) struct Aggregation {
    began: u64,
    acked: u64,
    /// The most of the span before, and of this one.
    extra: [u32; 2],
    rounds: u32,
}

impl Aggregation {
    pub(super) fn new(now: u64) -> Self {
        Self { began: now, ..Self::default() }
    }

    /// Takes an acknowledgement of so many segments; `bandwidth` in segments per second.
    pub(super) fn on_ack(&mut self, acked: u32, bandwidth: f64, round_start: bool, tcp: &Tcp) {
        self.rounds += u32::from(round_start);
        if self.rounds >= ROUNDS {
            self.rounds = 0;
            self.extra = [self.extra[1], 0];
        }
        let span = (tcp.delivered_at - self.began) as f64 / SECOND as f64;
        let mut expected = (bandwidth * span) as u64;
        if self.acked <= expected || self.acked + u64::from(acked) >= RESET {
            (self.acked, self.began, expected) = (0, tcp.delivered_at, 0);
        }
        self.acked += u64::from(acked);
        let extra = (self.acked - expected).min(u64::from(tcp.window)) as u32;
        self.extra[1] = self.extra[1].max(extra);
    }

    /// Segments.
    pub(super) fn most(&self) -> u32 {
        self.extra[0].max(self.extra[1])
    }
}
