//! Delivery-rate samples (draft-cheng-iccrg-delivery-rate-estimation), keyed by send time, and the rate of one flight's packets
//! among themselves.
//!
//! quinn tells a controller neither packet numbers on ACK nor single packets on send, but every packet of a batch
//! carries the batch's send time, and that is enough: state is kept per batch (at most ten datagrams).
//!
//! Such a sample spans a round trip, so in start-up it lags by one, and the spacing of ACKs within a batch is a
//! matter of microseconds, which busy machines blur. In between is the dispersion: the packets of one round trip, from the first
//! to the last acknowledged so far. They cannot read faster than they were sent, nor than they arrived.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::round::{BURST_PACKETS, MEMORY_ROUNDS, MEMORY_SAMPLES, NOISE, PROOF, QUARTER};
use super::rtt::UndelayedRtt;
use crate::transport::limits::{ACK_EVERY, MTU_START};

/// What had been delivered when a batch was sent.
#[derive(Debug, Clone, Copy)]
struct SendState {
    at: Instant,
    delivered: u64,
    delivered_at: Instant,
    /// Send time of the packet whose ACK was the latest when this batch went out.
    first_sent: Instant,
    app_limited: bool,
    /// Its packets left one by one: their spacing is that of the sender.
    is_paced: bool,
}

/// One measurement, from the newest packet of one ACK.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// Bytes per second.
    pub(crate) rate: f64,
    /// Round trip of the newest acknowledged packet, ACK delay included.
    pub(crate) rtt: Duration,
    /// The sender had nothing to send at that time: the rate is only a lower bound.
    pub(crate) app_limited: bool,
}

/// Rates within so much of each other are the same.
pub(crate) const AGREEMENT: f64 = 1.25;

/// Whether the trains of a path agree, by the median and the most of their rates.
pub(crate) fn do_agree(median: f64, most: f64) -> bool {
    most < median * AGREEMENT
}

/// Packets of one batch leave back to back and reach us as ACKs spread by the slowest link: their spacing is its rate,
/// known after one round trip. It is no more than a hint: aggregation makes it too high, cross traffic and acknowledgements
/// that were held back make it too low.
#[derive(Debug, Clone, Default)]
struct Trains {
    sent: Option<Instant>,
    first: Option<Instant>,
    bytes: u64,
    /// The best of the train being gathered: an acknowledgement that was held back must not spoil those before it.
    best: f64,
    /// The rates of the last trains, as a ring.
    rates: [f64; MEMORY_ROUNDS as usize],
    count: usize,
}

impl Trains {
    /// An ACK whose newest packet was sent at `sent`, with `bytes` of that batch. Only such an ACK tells when the batch
    /// arrived: one that comes for a later packet was caused by that one.
    fn on_ack(&mut self, now: Instant, sent: Instant, bytes: u64) {
        let Some(first) = self.first.filter(|_| self.sent == Some(sent)) else {
            self.finish();
            *self =
                Self { sent: Some(sent), first: Some(now), rates: self.rates, count: self.count, ..Self::default() };
            return;
        };
        if first == now {
            return;
        }
        self.bytes += bytes;
        // One acknowledgement stands for as many packets.
        if self.bytes >= u64::from(ACK_EVERY) * u64::from(MTU_START) {
            self.best = self.best.max(self.bytes as f64 / now.saturating_duration_since(first).as_secs_f64());
        }
    }

    fn finish(&mut self) {
        if self.best > 0.0 {
            self.rates[self.count % self.rates.len()] = self.best;
            self.count += 1;
        }
    }

    /// Whether so many trains are known that their median means something. A flow of few packets is acknowledged before a batch is
    /// complete, and the few trains that it has are too wide.
    fn are_enough(&self) -> bool {
        self.count >= self.rates.len()
    }

    /// (median, maximum) of the last trains.
    fn spread(&self) -> Option<(f64, f64)> {
        if self.count < PROOF as usize {
            return None;
        }
        let mut sorted = self.rates;
        let known = &mut sorted[..self.count.min(MEMORY_ROUNDS as usize)];
        known.sort_by(f64::total_cmp);
        Some((known[known.len() / 2], known[known.len() - 1]))
    }
}

/// How much of a batch an acknowledgement is for.
#[derive(Debug, Clone, Copy, Default)]
struct Acked {
    packets: u32,
    bytes: u64,
}

impl Acked {
    fn add(&mut self, bytes: u64) {
        self.packets += 1;
        self.bytes += bytes;
    }
}

/// The time between two acknowledgements of one batch, and the bytes of the later one.
#[derive(Debug, Clone, Copy, Default)]
struct Spacing {
    bytes: u64,
    time: Duration,
}

impl Spacing {
    /// Bytes per second; infinite where both came at once.
    fn rate(&self) -> f64 {
        self.bytes as f64 / self.time.as_secs_f64()
    }
}

/// The last spacings, as a ring.
///
/// Late machines make one of them longer and another one shorter, down to nothing. The rates of both are far off and so is their
/// median, but the time of many together is what it would have been: beside one BBR of Linux's at 100 Mbit/s, whose packets carry
/// 96 of ours, the median of eight batches was 87 to 125, and this was 91 to 104.
#[derive(Debug, Clone, Default)]
struct Spacings {
    /// The send time of the batch that the last acknowledgement was for, and when that came.
    heard: Option<(Instant, Instant)>,
    ring: [Spacing; MEMORY_SAMPLES],
    count: usize,
}

impl Spacings {
    /// An ACK whose newest packet was sent at `sent`, with so much of that batch. One for no more packets than may arrive before it
    /// is due was held back.
    fn on_ack(&mut self, now: Instant, sent: Instant, acked: Acked) {
        let before = self.heard.replace((sent, now)).filter(|&(batch, _)| batch == sent);
        if let Some((_, heard)) = before.filter(|_| acked.packets > ACK_EVERY) {
            let time = now.saturating_duration_since(heard);
            self.ring[self.count % self.ring.len()] = Spacing { bytes: acked.bytes, time };
            self.count += 1;
        }
    }

    /// The mean of the middle half, in bytes per second.
    fn mean_rate(&self) -> Option<f64> {
        if self.count < MEMORY_ROUNDS as usize {
            return None;
        }
        let mut sorted = self.ring;
        let known = &mut sorted[..self.count.min(MEMORY_SAMPLES)];
        known.sort_by(|one, other| one.rate().total_cmp(&other.rate()));
        let ends = known.len() / QUARTER;
        let middle = &known[ends..known.len() - ends];
        let bytes = middle.iter().map(|spacing| spacing.bytes).sum();
        let time: Duration = middle.iter().map(|spacing| spacing.time).sum();
        (!time.is_zero()).then(|| Spacing { bytes, time }.rate())
    }
}

/// Makes [`Sample`]s out of the controller's callbacks.
#[derive(Debug, Clone)]
pub(crate) struct RateSampler {
    batches: VecDeque<SendState>,
    delivered: u64,
    delivered_at: Instant,
    first_sent: Instant,
    /// Newest batch with a packet in the ACK being processed, and how much of it.
    newest: Option<SendState>,
    acked: Acked,
    /// Batches belong to an idle spell until more than this much is delivered: the first flight after it, too, whose rate is
    /// that of the sender's beginning.
    limited_until: Option<u64>,
    /// Nothing is in flight: the next batch starts the clocks again.
    idle: bool,
    trains: Trains,
    spacings: Spacings,
    dispersion: Dispersion,
    undelayed: UndelayedRtt,
    /// What had been delivered at the last ACK that told anything.
    dispersed: u64,
}

impl RateSampler {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            batches: VecDeque::new(),
            delivered: 0,
            delivered_at: now,
            first_sent: now,
            newest: None,
            acked: Acked::default(),
            limited_until: None,
            idle: true,
            trains: Trains::default(),
            spacings: Spacings::default(),
            dispersion: Dispersion::default(),
            undelayed: UndelayedRtt::default(),
            dispersed: 0,
        }
    }

    /// What the spacing of ACKs says about the slowest link, in bytes per second: median and maximum of the last batches.
    pub(crate) fn train_rates(&self) -> Option<(f64, f64)> {
        self.trains.spread()
    }

    /// The same as a mean, which a few late acknowledgements do not move.
    pub(crate) fn spaced_rate(&self) -> Option<f64> {
        self.spacings.mean_rate()
    }

    /// Whether as many batches are known as are remembered.
    pub(crate) fn has_enough_trains(&self) -> bool {
        self.trains.are_enough()
    }

    /// What the packets of the latest flight show among themselves.
    pub(crate) fn dispersion(&self) -> Option<DispersionSample> {
        self.dispersion.shown()
    }

    /// The path may be another one: what it showed of its slowest link says nothing any more.
    pub(crate) fn forget_spacing(&mut self) {
        (self.trains, self.spacings) = (Trains::default(), Spacings::default());
        self.dispersion = Dispersion::default();
    }

    /// Bytes acknowledged so far.
    pub(crate) fn delivered(&self) -> u64 {
        self.delivered
    }

    pub(crate) fn on_sent(&mut self, now: Instant, is_paced: bool) {
        if self.idle {
            self.idle = false;
            self.first_sent = now;
            self.delivered_at = now;
        }
        if self.batches.back().is_some_and(|last| last.at == now) {
            return;
        }
        self.batches.push_back(SendState {
            at: now,
            delivered: self.delivered,
            delivered_at: self.delivered_at,
            first_sent: self.first_sent,
            app_limited: self.limited_until.is_some(),
            is_paced,
        });
    }

    pub(crate) fn on_smoothed_rtt(&mut self, smoothed: Duration, min: Duration) {
        self.undelayed.on_smoothed(smoothed, min);
    }

    /// The round trip as quinn smooths it, once it has.
    pub(crate) fn smoothed_rtt(&self) -> Option<Duration> {
        self.undelayed.smoothed()
    }

    pub(crate) fn on_ack(&mut self, now: Instant, sent: Instant, bytes: u64) {
        self.delivered += bytes;
        self.delivered_at = now;
        match self.newest {
            Some(newest) if newest.at == sent => self.acked.add(bytes),
            Some(newest) if newest.at > sent => {}
            _ => self.begin_batch(sent, bytes),
        }
    }

    fn begin_batch(&mut self, sent: Instant, bytes: u64) {
        let index = self.batches.partition_point(|batch| batch.at < sent);
        // No entry: an MTU probe (quinn does not announce them) or a packet older than one already acknowledged.
        if let Some(batch) = self.batches.get(index).filter(|batch| batch.at == sent) {
            (self.newest, self.acked) = (Some(*batch), Acked { packets: 1, bytes });
        }
    }

    /// Ends an ACK. `in_flight` is what is still outstanding, `app_limited` whether the sender ran dry before it.
    pub(crate) fn on_end_acks(&mut self, now: Instant, in_flight: u64, app_limited: bool) -> Option<Sample> {
        self.idle = in_flight == 0;
        if app_limited {
            self.limited_until = Some(self.delivered + in_flight);
        } else {
            self.limited_until = self.limited_until.filter(|&until| self.delivered <= until);
        }
        let batch = self.newest.take()?;
        if !batch.is_paced {
            self.trains.on_ack(now, batch.at, self.acked.bytes);
            self.spacings.on_ack(now, batch.at, self.acked);
        }
        self.dispersion.on_ack(now, batch.at, self.delivered - self.dispersed);
        self.dispersed = self.delivered;
        self.first_sent = batch.at;
        // The acknowledged batch stays, since the rest of its packets may come with the next ACK.
        while self.batches.front().is_some_and(|old| old.at < batch.at) {
            self.batches.pop_front();
        }
        // The longer of the two intervals: ACKs can be compressed, sends can be bunched; both would read too high.
        let acks = now.saturating_duration_since(batch.delivered_at);
        let sends = batch.at.saturating_duration_since(batch.first_sent);
        let interval = acks.max(sends).as_secs_f64();
        let rtt = self.undelayed.on_sample(now.saturating_duration_since(batch.at));
        let bytes = (self.delivered - batch.delivered) as f64;
        (interval > 0.0).then(|| Sample { rate: bytes / interval, rtt, app_limited: batch.app_limited })
    }
}

/// A pause between two packets of this part of the round trip begins a new flight: what came before it says nothing about
/// how fast the path is.
const PAUSE_SHARE: f64 = 0.25;

/// The sample of a flight.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct DispersionSample {
    /// Bytes per second.
    pub(crate) rate: f64,
    /// The path is slower than we sent.
    pub(crate) stretched: bool,
}

/// The flight being acknowledged.
#[derive(Debug, Clone, Copy)]
struct AckedFlight {
    first_sent: Instant,
    first_acked: Instant,
    last_sent: Instant,
    bytes: u64,
}

/// Measures flight after flight.
#[derive(Debug, Clone, Default)]
pub(crate) struct Dispersion {
    flight: Option<AckedFlight>,
    shown: Option<DispersionSample>,
}

impl Dispersion {
    /// The sample of the latest flight with enough packets.
    pub(crate) fn shown(&self) -> Option<DispersionSample> {
        self.shown
    }

    /// An ACK of so many `bytes` in all, the newest of them sent at `sent`.
    pub(crate) fn on_ack(&mut self, now: Instant, sent: Instant, bytes: u64) {
        let pause = now.saturating_duration_since(sent).mul_f64(PAUSE_SHARE);
        let goes_on = |flight: &AckedFlight| {
            sent <= flight.first_acked && sent.saturating_duration_since(flight.last_sent) < pause
        };
        let Some(mut flight) = self.flight.filter(goes_on) else {
            self.flight = Some(AckedFlight { first_sent: sent, first_acked: now, last_sent: sent, bytes: 0 });
            return;
        };
        flight.bytes += bytes;
        flight.last_sent = flight.last_sent.max(sent);
        self.flight = Some(flight);
        self.shown = flight.show(now).or(self.shown);
    }
}

impl AckedFlight {
    fn show(&self, now: Instant) -> Option<DispersionSample> {
        let arriving = now.saturating_duration_since(self.first_acked);
        let sending = self.last_sent.saturating_duration_since(self.first_sent);
        let span = arriving.max(sending);
        // With fewer packets than that, it is one burst more or less.
        let is_enough = self.bytes >= 2 * u64::from(BURST_PACKETS) * u64::from(MTU_START);
        (is_enough && span >= NOISE).then(|| DispersionSample {
            rate: self.bytes as f64 / span.as_secs_f64(),
            // Not only late.
            stretched: arriving > sending.mul_f64(AGREEMENT),
        })
    }
}

#[cfg(test)]
mod tests;
