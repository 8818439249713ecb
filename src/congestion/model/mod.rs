//! The model of the path, which observes and decides nothing: each estimate once, out of what acknowledgements and losses say.

use std::time::{Duration, Instant};

use bandwidth::{AckAggregation, Bandwidth, Capacity, Usual};
use loss::{EXCESS_MIN, LossMeter, SIGMAS, is_flood};
use rate::{RateSampler, Sample, do_agree};
use round::{EMPTY, Round, RoundSamples, base_target, queue_target};
use rtt::{DrainFinding, Drained, JitterFilter, MinRttFilter};

use super::config::{Mechanism, Without};
use crate::transport::limits::{ACK_EVERY, PACKET_THRESHOLD};

pub(super) mod bandwidth;
pub(super) mod loss;
pub(super) mod rate;
pub(super) mod round;
pub(super) mod rtt;

/// A flow that gets less of the path than this is not alone, or has not begun to use it.
pub(super) const SHARED: f64 = 0.7;
/// One that gets this much of it has all of it, as far as rates are known.
pub(super) const ALONE: f64 = 0.9;
/// The share of the path that is held: a little more than a third, of which tests and the search for others leave three tenths
/// beside one other. It is 1.8 of what would be fair beside four.
pub(super) const SHARE: f64 = 0.36;
/// Part that is kept of what may be too much: RFC 9002's reduction after a loss or a mark, and RFC 9959's of a remembered window.
pub(super) const REDUCTION: f64 = 0.5;

/// What is known of the path.
#[derive(Debug, Clone)]
pub(super) struct PathModel {
    without: Without,
    pub(super) mtu: u64,
    /// Rounds since the connection began.
    pub(super) rounds: u64,
    pub(super) samples: RoundSamples,
    /// What the last round showed.
    pub(super) round: Round,
    pub(super) sampler: RateSampler,
    pub(super) bandwidth: Bandwidth,
    /// Nothing before the first sample.
    pub(super) min_rtt_filter: Option<MinRttFilter>,
    pub(super) loss: LossMeter,
    jitter_filter: JitterFilter,
    pub(super) capacity: Capacity,
    ack_aggregation: AckAggregation,
}

impl PathModel {
    pub(super) fn new(now: Instant, mtu: u64, without: Without) -> Self {
        Self {
            without,
            mtu,
            rounds: 0,
            samples: RoundSamples::new(now, 0, 0),
            round: Round::default(),
            sampler: RateSampler::new(now),
            bandwidth: Bandwidth::new(),
            min_rtt_filter: None,
            loss: LossMeter::new(now),
            jitter_filter: JitterFilter::new(),
            capacity: Capacity::new(now),
            ack_aggregation: AckAggregation::new(),
        }
    }

    /// The path may be another one now: what was learnt of it is forgotten, but for its losses and its jitter.
    pub(super) fn forget(&mut self) {
        self.min_rtt_filter = None;
        self.bandwidth = Bandwidth::new();
        self.capacity.forget();
        self.sampler.forget_spacing();
        self.loss.discard_block();
    }

    /// Whether a bench has switched this off.
    pub(super) fn is_without(&self, mechanism: Mechanism) -> bool {
        self.without.has(mechanism)
    }

    // ---- what is observed ----

    pub(super) fn on_sample(&mut self, now: Instant, sample: &Sample) {
        let whole_rounds = !self.is_without(Mechanism::WholeRounds);
        let min_rtt_filter = self.min_rtt_filter.get_or_insert_with(|| MinRttFilter::new(now, sample.rtt));
        min_rtt_filter.on_sample(sample.rtt);
        if !whole_rounds {
            min_rtt_filter.on_round(now, sample.rtt, Duration::ZERO);
        }
        self.samples.on_rtt(sample.rtt);
        self.jitter_filter.on_rtt(sample.rtt, self.sampler.delivered(), self.mtu);
        self.samples.app_limited |= sample.app_limited;
        if !sample.app_limited || sample.rate > self.bandwidth.get() {
            self.bandwidth.on_sample(self.rounds, sample.rate);
        }
    }

    /// Looks for pauses of the path. `is_steady`: the sender leaves none itself.
    pub(super) fn watch_for_aggregation(&mut self, now: Instant, is_steady: bool) {
        let capacity = self.train_rates().filter(|_| is_steady).map(|(median, _)| median);
        let usual = |capacity| Usual { bandwidth: self.bandwidth.best(), capacity, mtu: self.mtu as f64 };
        self.ack_aggregation.on_ack(now, self.sampler.delivered(), capacity.map(usual));
    }

    pub(super) fn end_round(&mut self, now: Instant) {
        self.rounds += 1;
        self.bandwidth.set_uneven(self.is_aggregating() || self.is_without(Mechanism::Share));
        let (standing, jitter) = (self.standing_rtt(), self.jitter());
        if let Some(min_rtt_filter) = &mut self.min_rtt_filter {
            min_rtt_filter.on_round(now, standing, jitter);
        }
        self.note_capacity(now);
        self.round = self.show_round(now);
        self.ack_aggregation.on_round(self.samples.mean_rtt(), self.samples.low_rtt());
    }

    /// Notes what the round shows of the slowest link. Beside others few spacings agree, since their packets come between ours,
    /// yet their middle holds; jitter and a path that pauses move it.
    fn note_capacity(&mut self, now: Instant) {
        let is_clean = !self.is_aggregating() && self.jitter() < base_target(self.min_rtt()) / 2;
        // The lower of the two: where many acknowledgements come at once, the mean is too high.
        let lower = |(median, _): (f64, f64)| self.sampler.spaced_rate().map_or(median, |mean| median.min(mean));
        let spaced = self.train_rates().filter(|_| is_clean).map(lower);
        let full = self.is_queued().then(|| self.samples.rate(now, self.sampler.delivered()));
        self.capacity.on_round(now, spaced, full);
    }

    /// The next round ends when a packet after this one is acknowledged.
    pub(super) fn start_round(&mut self, now: Instant, last_sent_packet: u64) {
        self.samples = RoundSamples::new(now, last_sent_packet, self.sampler.delivered());
    }

    /// What the round that just ended showed is believed, and nothing older.
    pub(super) fn believe_round(&mut self) {
        self.bandwidth.believe(self.rounds, self.round.rate);
    }

    /// A probe has found this much, in bytes per second.
    pub(super) fn on_probed(&mut self, rate: f64) {
        self.bandwidth.raise(self.rounds, rate);
        if let Some(min_rtt_filter) = &mut self.min_rtt_filter
            && !self.round.jitter.is_zero()
        {
            min_rtt_filter.on_delivered(self.round.standing.saturating_sub(self.round.jitter));
        }
    }

    /// Ends a drain: takes the bare round trip as it has shown it.
    pub(super) fn on_drained(&mut self, drained: &Drained) -> DrainFinding {
        self.min_rtt_filter.as_mut().map_or(DrainFinding::Quiet, |min_rtt_filter| min_rtt_filter.on_drained(drained))
    }

    /// Ends a loss trial, in which this share was lost. Below the product there was no queue to overflow: it is the path's own loss.
    /// A policer's bucket may have made the product too large, and head-room for what it drops keeps the loss up.
    pub(super) fn on_tried(&mut self, now: Instant, share: f64) {
        self.loss.accept(now, if self.bandwidth.is_policed() { share.min(EXCESS_MIN) } else { share });
    }

    // ---- what is known ----

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

    /// What the slowest link carries for all, in bytes per second.
    pub(super) fn capacity(&self) -> f64 {
        self.capacity.get().max(self.bandwidth.get())
    }

    /// Whether that may be far too little: hardly any spacing of ACKs was seen.
    pub(super) fn is_capacity_guessed(&self) -> bool {
        !self.sampler.has_enough_trains()
    }

    /// Whether much of what the path carries goes to others.
    pub(super) fn is_shared(&self) -> bool {
        self.bandwidth.get() < SHARED * self.capacity()
    }

    /// Whether it may.
    pub(super) fn may_be_shared(&self) -> bool {
        self.is_shared() || self.is_capacity_guessed()
    }

    /// Lost packets count as in flight for a round trip, so a full pipe needs this much more.
    pub(super) fn headroom(&self) -> f64 {
        let base = if self.is_without(Mechanism::Headroom) { 0.0 } else { self.loss.base() };
        1.0 / (1.0 - base)
    }

    /// What is lost stays in flight until so many later packets are acknowledged. On a path that holds fewer, that is long
    /// after the round trip that the head-room is for, and a run of losses would stop the flow.
    fn unmissed(&self) -> f64 {
        if self.is_without(Mechanism::Unmissed) {
            return 0.0;
        }
        let (base, mtu) = (self.loss.base(), self.mtu as f64);
        let later = f64::from(PACKET_THRESHOLD + ACK_EVERY);
        let beyond = (later - self.product() / mtu).max(0.0);
        // Without the deviation, runs of losses held a small window up: 92.5 % of 10 Mbit/s at 1 ms and 10 % loss and not 97.
        (base * later + SIGMAS * (base * (1.0 - base) * beyond).sqrt()) * mtu
    }

    /// The window that keeps a full pipe, at `gain` times its product, and `budget` bytes beyond it.
    pub(super) fn window(&self, gain: f64, budget: f64) -> f64 {
        (self.product() * gain + budget) * self.headroom() + self.unmissed()
    }

    /// The most that jitter adds to the bare round trip; zero on a clean path.
    pub(super) fn jitter(&self) -> Duration {
        if self.is_without(Mechanism::Jitter) {
            return Duration::ZERO;
        }
        // On a clean link all batches are spaced alike; jitter presses some of them together.
        let Some((median, most)) = self.train_rates() else { return Duration::ZERO };
        if do_agree(median, most) {
            return Duration::ZERO;
        }
        let packet = self.mtu as f64 / most;
        self.jitter_filter.jitter(self.min_rtt(), Duration::from_secs_f64(packet))
    }

    // ---- the round ----

    /// The round trip that stood all the time in this round.
    pub(super) fn standing_rtt(&self) -> Duration {
        if self.is_aggregating() { self.samples.low_rtt() } else { self.samples.standing_rtt() }
    }

    /// The round trip that would stand if the queue had held what it dropped. One that is full all the time stays as it is when
    /// something is withdrawn, and drops less.
    pub(super) fn lossless_rtt(&self) -> Duration {
        if !self.is_loss_unusual() {
            return self.standing_rtt();
        }
        // A round ends by acknowledgements, so one packet of it has arrived at least.
        let (_, sent) = self.round_losses();
        self.standing_rtt().div_f64((1.0 - self.unusual_loss()).max(1.0 / sent))
    }

    /// The round trip that stood; under ACK aggregation that may fill a whole round, in this one or the one before.
    fn lasting_rtt(&self) -> Duration {
        let standing = self.standing_rtt();
        if self.is_aggregating() { standing.min(self.ack_aggregation.low_before()) } else { standing }
    }

    fn show_round(&self, now: Instant) -> Round {
        let (min_rtt, jitter, bandwidth) = (self.min_rtt(), self.jitter(), self.bandwidth.get());
        Round {
            rate: self.samples.rate(now, self.sampler.delivered()),
            standing: self.samples.standing_rtt(),
            queue: self.lasting_rtt().saturating_sub(min_rtt + jitter),
            jitter,
            min_rtt,
            target: self.queue_target(min_rtt, bandwidth),
            product: self.product(),
            bandwidth,
            capacity: self.capacity(),
            mtu: self.mtu as f64,
        }
    }

    fn queue_target(&self, min_rtt: Duration, bandwidth: f64) -> Duration {
        if self.is_without(Mechanism::ScaledTarget) {
            return base_target(min_rtt);
        }
        queue_target(min_rtt, bandwidth, self.mtu as f64)
    }

    /// Lost packets of this round, and all of which something was heard in it.
    fn round_losses(&self) -> (f64, f64) {
        let mtu = self.mtu as f64;
        let lost = self.samples.lost as f64 / mtu;
        let acked = self.samples.acked(self.sampler.delivered()) as f64 / mtu;
        (lost, lost + acked)
    }

    /// The part of this round that was lost beyond what the path loses.
    pub(super) fn unusual_loss(&self) -> f64 {
        let (lost, sent) = self.round_losses();
        (lost / sent.max(1.0) - self.loss.base()).max(0.0)
    }

    /// Whether this round lost more than the path does.
    pub(super) fn is_loss_unusual(&self) -> bool {
        let (lost, sent) = self.round_losses();
        self.loss.is_unusual(lost, sent)
    }

    /// Whether this round lost more than any path does.
    pub(super) fn is_flood(&self) -> bool {
        let (lost, sent) = self.round_losses();
        is_flood(lost, sent) && !self.is_without(Mechanism::Flood)
    }

    /// Whether a queue that stood in this round was marked as too long (RFC 9002, section 7.1). Where none stood, it was a burst
    /// of ours, which a smaller window would not make shorter.
    pub(super) fn is_queue_marked(&self) -> bool {
        self.samples.marked && !self.round.is_empty() && !self.is_without(Mechanism::Marks)
    }

    /// Whether a queue stood in this round. Whoever comes late takes the queue of others for path: the shortest round trip of
    /// all tells.
    pub(super) fn is_queued(&self) -> bool {
        self.is_queued_beyond(Duration::ZERO)
    }

    /// The same, where packets wait for so long before they leave.
    pub(super) fn is_queued_beyond(&self, held_back: Duration) -> bool {
        let least = self.min_rtt_filter.as_ref().map_or(Duration::ZERO, MinRttFilter::least);
        self.standing_rtt() > least + held_back + base_target(least).mul_f64(EMPTY)
    }
}

#[cfg(test)]
mod tests;
