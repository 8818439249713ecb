//! Sharing with senders that fill every queue: CUBIC's window (RFC 9438), taken only while they are there.
//!
//! A delay-based sender starves beside a loss-based one (Copa, section 2.2). When the queue stays long although our own
//! part of it is gone, someone else holds it, and we take the share CUBIC would.

use std::time::Instant;

/// CUBIC's constants.
const C: f64 = 0.4;
const BETA: f64 = 0.7;
/// Packets per round that keep Reno's average at this beta: 3 (1 - beta) / (1 + beta).
const FRIENDLY_STEP: f64 = 3.0 * (1.0 - BETA) / (1.0 + BETA);
/// Growth per round until the first loss; slow-start would lose half a window to find out.
const SEARCH_GROWTH: f64 = 1.2;

/// A CUBIC window in bytes.
#[derive(Debug, Clone)]
pub(super) struct Contest {
    window: f64,
    window_max: f64,
    /// What Reno would have by now: on short paths the cubic curve is slower than that, and CUBIC takes the larger.
    friendly: f64,
    epoch: Instant,
    reduced_at: Instant,
    /// No loss yet: how much there is to take is not known.
    searching: bool,
}

impl Contest {
    pub(super) fn new(now: Instant, window: f64) -> Self {
        Self { window, window_max: window, friendly: window, epoch: now, reduced_at: now, searching: true }
    }

    pub(super) fn window(&self) -> f64 {
        self.window
    }

    /// Follows the cubic curve.
    pub(super) fn on_round(&mut self, now: Instant, mtu: f64) {
        if self.searching {
            self.window *= SEARCH_GROWTH;
            return;
        }
        let packets_max = self.window_max / mtu;
        let k = (packets_max * (1.0 - BETA) / C).cbrt();
        let t = now.saturating_duration_since(self.epoch).as_secs_f64();
        let target = (C * (t - k).powi(3) + packets_max) * mtu;
        self.friendly += FRIENDLY_STEP * mtu;
        let target = target.max(self.friendly);
        // At most half as much again per round, as the RFC bounds it.
        self.window = target.clamp(self.window, self.window * 1.5);
    }

    /// Whether the window was reduced after `time`.
    pub(super) fn reduced_since(&self, time: Instant) -> bool {
        !self.searching && self.reduced_at >= time
    }

    /// A loss above the path's own: at most one reduction for what was sent before the last one.
    pub(super) fn on_loss(&mut self, now: Instant, sent: Instant) {
        if sent <= self.reduced_at {
            return;
        }
        self.reduced_at = now;
        self.searching = false;
        self.epoch = now;
        self.window_max = self.window;
        self.window *= BETA;
        self.friendly = self.window;
    }
}
