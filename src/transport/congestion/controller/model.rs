//! What all phases know of the path: its round trip and what lengthens it, its bandwidth, its losses.

use std::time::{Duration, Instant};

use super::phases::SETTLE_ROUNDS;
use super::{PathController, SHARED};
use crate::transport::congestion::allowance::{Round, base_target, queue_target};
use crate::transport::congestion::floor::Floor;
use crate::transport::congestion::startup::do_agree;
use crate::transport::congestion::state::Phase;
use crate::transport::congestion::stutter::Usual;

impl PathController {
    /// The bare round trip; zero when not known yet.
    pub(super) fn min_rtt(&self) -> Duration {
        self.floor.as_ref().map_or(Duration::ZERO, Floor::rtt)
    }

    pub(super) fn is_drained(&self) -> bool {
        self.floor.as_ref().is_some_and(Floor::is_drained)
    }

    /// Bandwidth-delay product in bytes. What makes packets late is part of it: they are under way, and a window without
    /// them would lower the rate, and with it the next window (Little's law).
    pub(super) fn product(&self) -> f64 {
        let rtt = self.min_rtt();
        self.bandwidth.get() * (rtt + self.jitter().max(self.stutter.late(rtt))).as_secs_f64()
    }

    /// What the spacing of ACKs says that the slowest link carries, in bytes per second: the most of late, since what we
    /// send evenly comes evenly.
    pub(super) fn capacity(&self) -> Option<f64> {
        self.sampler.train_rates().map(|(_, most)| most)
    }

    /// Whether much of what the path carries surely goes to others: all spacings must agree, or a machine that wakes late
    /// makes believe so.
    pub(super) fn is_shared(&self) -> bool {
        let rates = self.sampler.train_rates();
        rates.is_some_and(|(median, most)| do_agree(median, most) && self.bandwidth.get() < SHARED * median)
    }

    /// Lost packets count as in flight for a round trip, so a full pipe needs this much more.
    pub(super) fn headroom(&self) -> f64 {
        1.0 / (1.0 - self.loss.base())
    }

    /// The round trip that stood all the time in this round.
    pub(super) fn standing_rtt(&self) -> Duration {
        if self.stutter.is_on() { self.epoch.low_rtt() } else { self.epoch.standing_rtt() }
    }

    /// The same; under a stutter that may fill a whole round, in this one or the one before.
    fn lasting_rtt(&self) -> Duration {
        let standing = self.standing_rtt();
        if self.stutter.is_on() { standing.min(self.stutter.low_before()) } else { standing }
    }

    /// Looks for pauses of the path, while the sender leaves none itself.
    pub(super) fn watch_for_stutter(&mut self, now: Instant, app_limited: bool) {
        let steady = self.phase == Phase::Cruise && self.phase_rounds >= SETTLE_ROUNDS && !app_limited;
        let capacity = self.sampler.train_rates().filter(|_| steady).map(|(median, _)| median);
        let usual = |capacity| Usual {
            bandwidth: self.bandwidth.best(),
            capacity,
            window: self.window as f64,
            mtu: self.mtu as f64,
        };
        self.stutter.on_ack(now, self.sampler.delivered(), capacity.map(usual));
    }

    /// What the round that just ended showed.
    pub(super) fn round(&self) -> Round {
        let min_rtt = self.min_rtt();
        let bandwidth = self.bandwidth.get();
        Round {
            queue: self.lasting_rtt().saturating_sub(min_rtt + self.jitter()),
            rtt: min_rtt,
            target: queue_target(min_rtt, bandwidth, self.mtu as f64),
            product: self.product(),
            bandwidth,
            capacity: self.capacity().unwrap_or(bandwidth),
            mtu: self.mtu as f64,
        }
    }

    /// What jitter may add to the bare round trip; zero on a clean path.
    pub(super) fn jitter(&self) -> Duration {
        let min_rtt = self.min_rtt();
        // On a clean link all batches are spaced alike; jitter presses some of them together.
        let Some((median, most)) = self.sampler.train_rates() else { return Duration::ZERO };
        if do_agree(median, most) {
            return Duration::ZERO;
        }
        let packet = self.mtu as f64 / most;
        self.noise.jitter(min_rtt, base_target(min_rtt), Duration::from_secs_f64(packet))
    }
}
