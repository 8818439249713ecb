//! The model of the path that all phases use: its round trip and what lengthens it, its bandwidth, its losses.

use std::time::{Duration, Instant};

use super::phases::SETTLE_ROUNDS;
use super::{PathController, SHARED};
use crate::congestion::ack_aggregation::Usual;
use crate::congestion::min_rtt::MinRttFilter;
use crate::congestion::queue_budget::{Round, base_target, queue_target};
use crate::congestion::startup::do_agree;
use crate::congestion::state::Phase;
use crate::congestion::without::Mechanism;

impl PathController {
    /// The bare round trip; zero when not known yet.
    pub(super) fn min_rtt(&self) -> Duration {
        self.min_rtt_filter.as_ref().map_or(Duration::ZERO, MinRttFilter::rtt)
    }

    pub(super) fn is_drained(&self) -> bool {
        self.min_rtt_filter.as_ref().is_some_and(MinRttFilter::is_drained)
    }

    /// Bandwidth-delay product in bytes. What makes packets late is part of it: they are under way, and a window without
    /// them would lower the rate, and with it the next window (Little's law).
    pub(super) fn product(&self) -> f64 {
        let late = if self.is_aggregating() { self.ack_aggregation.late() } else { Duration::ZERO };
        self.bandwidth.get() * (self.min_rtt() + self.jitter().max(late)).as_secs_f64()
    }

    /// Whether the path stops so often that rounds are to be judged by what was not late.
    pub(super) fn is_aggregating(&self) -> bool {
        self.ack_aggregation.is_on() && !self.is_without(Mechanism::AckAggregation)
    }

    /// What the spacing of ACKs says about the slowest link: median and maximum of the last batches.
    pub(super) fn train_rates(&self) -> Option<(f64, f64)> {
        self.sampler.train_rates().filter(|_| !self.is_without(Mechanism::Trains))
    }

    /// What the spacing of ACKs says that the slowest link carries, in bytes per second: the most of late, since what we
    /// send evenly comes evenly.
    pub(super) fn capacity(&self) -> Option<f64> {
        self.train_rates().map(|(_, most)| most)
    }

    /// Whether much of what the path carries surely goes to others: all spacings must agree, or a machine that wakes late
    /// makes believe so.
    pub(super) fn is_shared(&self) -> bool {
        let rates = self.train_rates();
        rates.is_some_and(|(median, most)| do_agree(median, most) && self.bandwidth.get() < SHARED * median)
    }

    /// Lost packets count as in flight for a round trip, so a full pipe needs this much more.
    pub(super) fn headroom(&self) -> f64 {
        let base = if self.is_without(Mechanism::Headroom) { 0.0 } else { self.loss.base() };
        1.0 / (1.0 - base)
    }

    /// The round trip that stood all the time in this round.
    pub(super) fn standing_rtt(&self) -> Duration {
        if self.is_aggregating() { self.samples.low_rtt() } else { self.samples.standing_rtt() }
    }

    /// The same; under ACK aggregation that may fill a whole round, in this one or the one before.
    fn lasting_rtt(&self) -> Duration {
        let standing = self.standing_rtt();
        if self.is_aggregating() { standing.min(self.ack_aggregation.low_before()) } else { standing }
    }

    /// Looks for pauses of the path, while the sender leaves none itself.
    pub(super) fn watch_for_aggregation(&mut self, now: Instant, app_limited: bool) {
        let steady = self.phase == Phase::Cruise && self.phase_rounds >= SETTLE_ROUNDS && !app_limited;
        let capacity = self.train_rates().filter(|_| steady).map(|(median, _)| median);
        let usual = |capacity| Usual { bandwidth: self.bandwidth.best(), capacity, mtu: self.mtu as f64 };
        self.ack_aggregation.on_ack(now, self.sampler.delivered(), capacity.map(usual));
    }

    /// The sample of the round that just ended.
    pub(super) fn round(&self) -> Round {
        let min_rtt = self.min_rtt();
        let bandwidth = self.bandwidth.get();
        Round {
            queue: self.lasting_rtt().saturating_sub(min_rtt + self.jitter()),
            rtt: min_rtt,
            target: self.queue_target(min_rtt, bandwidth),
            product: self.product(),
            bandwidth,
            capacity: self.capacity().unwrap_or(bandwidth),
            mtu: self.mtu as f64,
        }
    }

    fn queue_target(&self, min_rtt: Duration, bandwidth: f64) -> Duration {
        if self.is_without(Mechanism::ScaledTarget) {
            return base_target(min_rtt);
        }
        queue_target(min_rtt, bandwidth, self.mtu as f64)
    }

    /// The most that jitter adds to the bare round trip; zero on a clean path.
    pub(super) fn jitter(&self) -> Duration {
        if self.is_without(Mechanism::Jitter) {
            return Duration::ZERO;
        }
        let min_rtt = self.min_rtt();
        // On a clean link all batches are spaced alike; jitter presses some of them together.
        let Some((median, most)) = self.train_rates() else { return Duration::ZERO };
        if do_agree(median, most) {
            return Duration::ZERO;
        }
        let packet = self.mtu as f64 / most;
        self.jitter_filter.jitter(min_rtt, base_target(min_rtt), Duration::from_secs_f64(packet))
    }
}
