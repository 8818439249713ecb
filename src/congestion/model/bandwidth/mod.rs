//! How fast the path delivers to us: the best of late while it is not full, our share once it is. Does it stop for moments, and
//! then deliver all at once (ACK aggregation)? And the windowed extremes that really expire of which this and others are made.
//!
//! Busy machines, Wi-Fi and radio links stop. What waits meanwhile comes late, which looks like a queue for a whole round,
//! although there is room all the time; who yields to it yields again and again. A queue delivers at the rate of the slowest
//! link, and so do the packets of others that stand before ours: only a path that stopped delivers a lump much faster.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::round::{BURST_PACKETS, EMPTY_ROUNDS, MEMORY_ROUNDS, NOISE, PROOF, SETTLE_ROUNDS};
use super::rtt::PROBE_RTT_INTERVAL;

/// Our share of a full path is averaged over the rounds until a change is felt. Every round of memory holds on to the share that
/// was, and flows even out the slower: what divides two of them at 100 Mbit/s and 200 ms falls to 1/e in 26 s with four, in 22 s
/// with two.
type Shares = [f64; SETTLE_ROUNDS as usize];

/// The bandwidth estimate, in bytes per second.
#[derive(Debug, Clone)]
pub(crate) struct Bandwidth {
    best: MaxFilter,
    /// Delivery rates of the last rounds, as a ring.
    shares: Shares,
    /// A queue stood lately: the path is full and the last rounds show our share of it.
    full: bool,
    /// Rounds without a queue since.
    empty_rounds: u32,
    /// A queue stood at some time.
    queue_seen: bool,
    /// The path is full and shows no queue: more than our share is dropped at once.
    policed: bool,
    /// The path pauses: some rounds bring what belongs to others.
    uneven: bool,
}

impl Bandwidth {
    pub(crate) fn new() -> Self {
        Self {
            best: MaxFilter::new(MEMORY_ROUNDS.into()),
            shares: Shares::default(),
            full: false,
            empty_rounds: 0,
            queue_seen: false,
            policed: false,
            uneven: false,
        }
    }

    /// The best of the last rounds while the path is not full. Once it is, the mean: a maximum reads a few percent high,
    /// which would outweigh the queue budget, and with it the force that makes flows share evenly. Under ACK
    /// aggregation it is the maximum again: each round that a pause fell into would lower the window, and with it all
    /// rounds after.
    pub(crate) fn get(&self) -> f64 {
        let known = self.shares.iter().all(|&share| share > 0.0);
        if self.is_full() && known && !self.uneven {
            self.shares.iter().sum::<f64>() / f64::from(SETTLE_ROUNDS)
        } else {
            self.best()
        }
    }

    /// The best of the last rounds.
    pub(crate) fn best(&self) -> f64 {
        self.best.get().unwrap_or(0.0)
    }

    pub(crate) fn is_known(&self) -> bool {
        self.best.get().is_some()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.full || self.policed
    }

    /// Whether a queue stood of late.
    pub(crate) fn is_queued_lately(&self) -> bool {
        self.full
    }

    /// Whether a queue has ever stood.
    pub(crate) fn is_queue_seen(&self) -> bool {
        self.queue_seen
    }

    pub(crate) fn is_policed(&self) -> bool {
        self.policed
    }

    pub(crate) fn set_policed(&mut self) {
        self.policed = true;
    }

    /// Whether the path pauses.
    pub(crate) fn set_uneven(&mut self, uneven: bool) {
        self.uneven = uneven;
    }

    /// Whether the path is full is not known any more, nor what limits us.
    pub(crate) fn set_not_full(&mut self) {
        (self.full, self.policed) = (false, false);
    }

    pub(crate) fn on_sample(&mut self, round: u64, rate: f64) {
        self.best.push(round, rate);
    }

    /// Takes the delivery rate of a whole round and whether a queue stood in it.
    pub(crate) fn on_round(&mut self, round: u64, rate: f64, queue_stood: bool) {
        if queue_stood {
            self.empty_rounds = 0;
            (self.full, self.queue_seen, self.policed) = (true, true, false);
        } else {
            self.empty_rounds += 1;
        }
        if self.empty_rounds >= EMPTY_ROUNDS {
            self.full = false;
        }
        // What we get while others drain is not our share: it would be too much for all when they come back.
        if self.empty_rounds == 0 || !self.full || self.policed {
            self.shares[round as usize % SETTLE_ROUNDS as usize] = rate;
        }
    }

    /// A probe has found this much.
    pub(crate) fn raise(&mut self, round: u64, rate: f64) {
        self.best.push(round, rate);
        self.shares = [rate; SETTLE_ROUNDS as usize];
    }

    /// Forgets all but the last round.
    pub(crate) fn believe(&mut self, round: u64, rate: f64) {
        self.best.clear();
        self.raise(round, rate);
    }
}

/// Part of a new value that a smoothed one takes over: four values of memory.
pub(crate) const SMOOTHING: f64 = 0.25;

/// The largest of the values seen in the last `span` steps of a counter that only grows (rounds, nanoseconds).
///
/// A monotonic queue: each value is pushed and popped once, so an update costs O(1) on average.
/// Negate the values for a minimum.
#[derive(Debug, Clone)]
pub(crate) struct MaxFilter {
    span: u64,
    values: VecDeque<(u64, f64)>,
}

impl MaxFilter {
    pub(crate) fn new(span: u64) -> Self {
        Self { span, values: VecDeque::new() }
    }

    /// Adds `value` seen at `at`. Smaller values that are older can never be the maximum again and go.
    pub(crate) fn push(&mut self, at: u64, value: f64) {
        while self.values.back().is_some_and(|&(_, old)| old <= value) {
            self.values.pop_back();
        }
        self.values.push_back((at, value));
        self.expire(at);
    }

    /// Forgets what is older than the span. The newest value stays: an old figure is better than none.
    pub(crate) fn expire(&mut self, now: u64) {
        while self.values.len() > 1 && self.values[0].0 + self.span < now {
            self.values.pop_front();
        }
    }

    pub(crate) fn get(&self) -> Option<f64> {
        self.values.front().map(|&(_, value)| value)
    }

    pub(crate) fn clear(&mut self) {
        self.values.clear();
    }
}

/// What the slowest link carries for all, by the spacing of ACKs and by what we get of a full path: the most of some seconds,
/// since a flow that gets little has hardly any spacings, and those are too wide.
#[derive(Debug, Clone)]
pub(crate) struct Capacity {
    start: Instant,
    most: MaxFilter,
    /// What the spacings of the last rounds have shown, as a ring: what waited in a machine for a moment comes as fast as that
    /// machine reads.
    spaced: [f64; PROOF as usize],
    rounds: usize,
}

impl Capacity {
    pub(crate) fn new(start: Instant) -> Self {
        let most = MaxFilter::new(PROBE_RTT_INTERVAL.as_nanos() as u64);
        Self { start, most, spaced: [0.0; PROOF as usize], rounds: 0 }
    }

    /// In bytes per second; zero before it is known.
    pub(crate) fn get(&self) -> f64 {
        self.most.get().unwrap_or(0.0)
    }

    /// Takes what the spacings of a round show, and what was delivered in one in which a queue stood.
    pub(crate) fn on_round(&mut self, now: Instant, spaced: Option<f64>, full: Option<f64>) {
        let at = now.saturating_duration_since(self.start).as_nanos() as u64;
        if let Some(rate) = spaced {
            self.spaced[self.rounds % PROOF as usize] = rate;
            self.rounds += 1;
            self.most.push(at, self.spaced.iter().copied().fold(f64::INFINITY, f64::min));
        }
        if let Some(rate) = full {
            self.most.push(at, rate);
        }
    }

    /// The path may be another one.
    pub(crate) fn forget(&mut self) {
        self.most.clear();
        self.spaced = [0.0; PROOF as usize];
    }
}

/// What waited comes within this part of the pause...
const LUMP_TIME: f64 = 1.0 / 16.0;
/// ... is so many times as fast as the slowest link carries, and more than one part in so many of what the pause would have
/// brought.
const LUMP_SPEED: f64 = 2.0;
/// How long a pause is remembered.
const SPAN: Duration = Duration::from_secs(2);
/// Recent pauses from which on a path counts as one that pauses. Any path has one now and then.
const PAUSES: f64 = 2.5;

/// The usual values that pauses and lumps are compared with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usual {
    /// What we get, in bytes per second...
    pub(crate) bandwidth: f64,
    /// ... and what the slowest link carries.
    pub(crate) capacity: f64,
    pub(crate) mtu: f64,
}

/// The bytes that came after a pause, so far.
#[derive(Debug, Clone, Copy)]
struct Lump {
    pause: Duration,
    began: Instant,
    bytes: f64,
}

impl Lump {
    /// Whether it is more than any queue gives.
    fn is_proof(&self, now: Instant, usual: &Usual) -> bool {
        let pause = self.pause.as_secs_f64();
        let time = now.saturating_duration_since(self.began).as_secs_f64();
        self.bytes > pause * usual.bandwidth / LUMP_SPEED && self.bytes > LUMP_SPEED * usual.capacity * time
    }
}

/// Counts pauses, and how late they make packets.
#[derive(Debug, Clone)]
pub(crate) struct AckAggregation {
    heard: Option<Instant>,
    /// Bytes acknowledged until then.
    delivered: u64,
    /// Pauses of late; old ones count for less.
    pauses: f64,
    lump: Option<Lump>,
    late: Duration,
    /// The least round trips of the last round.
    low: Duration,
}

impl AckAggregation {
    pub(crate) fn new() -> Self {
        Self { heard: None, delivered: 0, pauses: 0.0, lump: None, late: Duration::ZERO, low: Duration::MAX }
    }

    /// Whether the path stops so often that rounds are to be judged by what was not late.
    pub(crate) fn is_on(&self) -> bool {
        self.pauses > PAUSES
    }

    /// How much later than the others packets are on average; zero on a path that flows.
    pub(crate) fn late(&self) -> Duration {
        if self.is_on() { self.late } else { Duration::ZERO }
    }

    /// The least round trips of the round before.
    pub(crate) fn low_before(&self) -> Duration {
        self.low
    }

    /// Takes an ACK, with which so many bytes are `delivered` in all. `usual`: where the sender has left no pauses itself.
    pub(crate) fn on_ack(&mut self, now: Instant, delivered: u64, usual: Option<Usual>) {
        let pause = self.heard.replace(now).map_or(Duration::ZERO, |heard| now.saturating_duration_since(heard));
        self.pauses *= (-pause.as_secs_f64() / SPAN.as_secs_f64()).exp();
        let bytes = delivered - std::mem::replace(&mut self.delivered, delivered);
        let Some(usual) = usual else {
            self.lump = None;
            return;
        };
        // Between two bursts of the pacer the packets of others pass.
        let bursts = f64::from(2 * BURST_PACKETS) * usual.mtu / usual.bandwidth.max(1.0);
        let least = NOISE.as_secs_f64().max(bursts);
        if pause.as_secs_f64() > least {
            self.lump = Some(Lump { pause, began: now, bytes: 0.0 });
        }
        let Some(lump) = &mut self.lump else { return };
        lump.bytes += bytes as f64;
        if lump.is_proof(now, &usual) {
            self.pauses += 1.0;
            self.lump = None;
        } else if now.saturating_duration_since(lump.began) > lump.pause.mul_f64(LUMP_TIME) {
            self.lump = None;
        }
    }

    /// Takes a round: its mean round trip, and that of its least ones.
    pub(crate) fn on_round(&mut self, mean: Duration, low: Duration) {
        self.low = low;
        self.late = self.late.mul_f64(1.0 - SMOOTHING) + mean.saturating_sub(low).mul_f64(SMOOTHING);
    }
}

#[cfg(test)]
mod tests;
