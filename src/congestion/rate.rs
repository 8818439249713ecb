//! Delivery-rate samples (draft-cheng-iccrg-delivery-rate-estimation), keyed by send time.
//!
//! quinn tells a controller neither packet numbers on ACK nor single packets on send, but every packet of a batch
//! carries the batch's send time, and that is enough: state is kept per batch (at most ten datagrams).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::dispersion::{self, Dispersion};

/// What had been delivered when a batch was sent.
#[derive(Debug, Clone, Copy)]
struct SendState {
    at: Instant,
    delivered: u64,
    delivered_at: Instant,
    /// Send time of the packet whose ACK was the latest when this batch went out.
    first_sent: Instant,
    app_limited: bool,
}

/// One measurement, from the newest packet of one ACK.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    /// Bytes per second.
    pub(super) rate: f64,
    /// Round trip of the newest acknowledged packet, ACK delay included.
    pub(super) rtt: Duration,
    /// The sender had nothing to send at that time: the rate is only a lower bound.
    pub(super) app_limited: bool,
}

/// Trains remembered.
const TRAINS: usize = 8;
/// Trains needed before they mean anything.
const TRAINS_MIN: usize = 3;
/// Bytes after the first ACK of a train, at least: four packets.
const TRAIN_BYTES_MIN: u64 = 4 * 1200;

/// Packets of one batch leave back to back and reach us as ACKs spread by the slowest link: their spacing is its rate,
/// known after one round trip. A hint for start-up only: aggregation makes it too high, cross traffic and acknowledgements
/// that were held back too low.
#[derive(Debug, Clone, Default)]
struct Trains {
    sent: Option<Instant>,
    first: Option<Instant>,
    bytes: u64,
    /// The best of the train being gathered: an acknowledgement that was held back must not spoil those before it.
    best: f64,
    rates: [f64; TRAINS],
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
        if self.bytes >= TRAIN_BYTES_MIN {
            self.best = self.best.max(self.bytes as f64 / now.saturating_duration_since(first).as_secs_f64());
        }
    }

    fn finish(&mut self) {
        if self.best > 0.0 {
            self.rates[self.count % TRAINS] = self.best;
            self.count += 1;
        }
    }

    /// (median, maximum) of the last trains.
    fn spread(&self) -> Option<(f64, f64)> {
        if self.count < TRAINS_MIN {
            return None;
        }
        let mut sorted = self.rates;
        let known = &mut sorted[..self.count.min(TRAINS)];
        known.sort_by(f64::total_cmp);
        Some((known[known.len() / 2], known[known.len() - 1]))
    }
}

/// Makes [`Sample`]s out of the controller's callbacks.
#[derive(Debug, Clone)]
pub(super) struct RateSampler {
    batches: VecDeque<SendState>,
    delivered: u64,
    delivered_at: Instant,
    first_sent: Instant,
    /// Newest batch with a packet in the ACK being processed, and how many bytes of it.
    acked: Option<SendState>,
    acked_bytes: u64,
    /// Batches belong to an idle spell until more than this much is delivered: the first flight after it, too, whose rate is
    /// that of the sender's beginning.
    limited_until: Option<u64>,
    /// Nothing is in flight: the next batch starts the clocks again.
    idle: bool,
    trains: Trains,
    dispersion: Dispersion,
    /// What had been delivered at the last ACK that told anything.
    dispersed: u64,
}

impl RateSampler {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            batches: VecDeque::new(),
            delivered: 0,
            delivered_at: now,
            first_sent: now,
            acked: None,
            acked_bytes: 0,
            limited_until: None,
            idle: true,
            trains: Trains::default(),
            dispersion: Dispersion::default(),
            dispersed: 0,
        }
    }

    /// What the spacing of ACKs says about the slowest link, in bytes per second: median and maximum of the last batches.
    pub(super) fn train_rates(&self) -> Option<(f64, f64)> {
        self.trains.spread()
    }

    /// What the packets of the latest flight show among themselves.
    pub(super) fn dispersion(&self) -> Option<dispersion::DispersionSample> {
        self.dispersion.shown()
    }

    /// The path may be another one: what it showed of its slowest link says nothing any more.
    pub(super) fn forget_spacing(&mut self) {
        (self.trains, self.dispersion) = (Trains::default(), Dispersion::default());
    }

    /// Bytes acknowledged so far.
    pub(super) fn delivered(&self) -> u64 {
        self.delivered
    }

    pub(super) fn on_sent(&mut self, now: Instant) {
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
        });
    }

    pub(super) fn on_ack(&mut self, now: Instant, sent: Instant, bytes: u64) {
        self.delivered += bytes;
        self.delivered_at = now;
        match self.acked {
            Some(newest) if newest.at == sent => self.acked_bytes += bytes,
            Some(newest) if newest.at > sent => {}
            _ => self.begin_batch(sent, bytes),
        }
    }

    fn begin_batch(&mut self, sent: Instant, bytes: u64) {
        let index = self.batches.partition_point(|batch| batch.at < sent);
        // No entry: an MTU probe (quinn does not announce them) or a packet older than one already acknowledged.
        if let Some(batch) = self.batches.get(index).filter(|batch| batch.at == sent) {
            (self.acked, self.acked_bytes) = (Some(*batch), bytes);
        }
    }

    /// Ends an ACK. `in_flight` is what is still outstanding, `app_limited` whether the sender ran dry before it.
    pub(super) fn on_end_acks(&mut self, now: Instant, in_flight: u64, app_limited: bool) -> Option<Sample> {
        self.idle = in_flight == 0;
        if app_limited {
            self.limited_until = Some(self.delivered + in_flight);
        } else {
            self.limited_until = self.limited_until.filter(|&until| self.delivered <= until);
        }
        let batch = self.acked.take()?;
        self.trains.on_ack(now, batch.at, self.acked_bytes);
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
        let rtt = now.saturating_duration_since(batch.at);
        let bytes = (self.delivered - batch.delivered) as f64;
        (interval > 0.0).then(|| Sample { rate: bytes / interval, rtt, app_limited: batch.app_limited })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Sends 10 packets of 1000 bytes every 10 ms and acknowledges each batch 50 ms later.
    fn steady(sampler: &mut RateSampler, start: Instant, batches: u32) -> Vec<Sample> {
        let mut samples = Vec::new();
        for tick in 0..batches + 5 {
            let now = start + tick * 10 * MS;
            if tick >= 5 {
                let sent = start + (tick - 5) * 10 * MS;
                (0..10).for_each(|_| sampler.on_ack(now, sent, 1000));
                samples.extend(sampler.on_end_acks(now, 40_000, false));
            }
            sampler.on_sent(now);
        }
        samples
    }

    #[test]
    fn a_steady_sender_is_measured_at_its_rate() {
        let start = Instant::now();
        let samples = steady(&mut RateSampler::new(start), start, 50);
        let last = samples.last().expect("acknowledged");
        assert!((last.rate - 1e6).abs() < 1e3, "{}", last.rate);
        assert_eq!(last.rtt, 50 * MS);
        assert!(!last.app_limited);
    }

    #[test]
    fn compressed_acks_do_not_read_faster_than_what_was_sent() {
        let start = Instant::now();
        let mut sampler = RateSampler::new(start);
        steady(&mut sampler, start, 50);
        // Five batches are outstanding; all are acknowledged within a microsecond.
        let now = start + 700 * MS;
        for batch in 50..55u32 {
            let at = now + Duration::from_nanos(batch.into());
            (0..10).for_each(|_| sampler.on_ack(at, start + batch * 10 * MS, 1000));
            let sample = sampler.on_end_acks(at, 0, false).expect("a batch was acknowledged");
            assert!(sample.rate < 1.3e6, "{}", sample.rate);
        }
    }

    /// One batch of ten packets, of which each of `acks` (time in microseconds, packets) acknowledges some.
    fn train(sampler: &mut RateSampler, start: Instant, acks: &[(u64, u32)]) {
        let at = |micros| start + Duration::from_micros(micros);
        sampler.on_sent(start);
        for &(micros, packets) in acks {
            (0..packets).for_each(|_| sampler.on_ack(at(micros), start, 1200));
            sampler.on_end_acks(at(micros), 100_000, false);
        }
    }

    #[test]
    fn the_spacing_of_a_batch_shows_the_rate_and_a_held_back_ack_does_not_spoil_it() {
        let start = Instant::now();
        let mut sampler = RateSampler::new(start);
        for batch in 0..4u32 {
            // Four packets in 0.4 ms; the last one waits ten milliseconds for its acknowledgement.
            train(&mut sampler, start + batch * 20 * MS, &[(50_000, 5), (50_400, 4), (60_400, 1)]);
        }
        let (median, most) = sampler.train_rates().expect("three whole trains");
        assert!((median - 1.2e7).abs() < 1e5 && (most - 1.2e7).abs() < 1e5, "{median} {most}");
    }

    #[test]
    fn an_ack_that_a_later_batch_caused_says_nothing_about_an_earlier_one() {
        let start = Instant::now();
        let mut sampler = RateSampler::new(start);
        for batch in 0..8u32 {
            let sent = start + batch * 10 * MS;
            sampler.on_sent(sent);
            // The second half of the batch before it comes with the first half of this one, ten milliseconds later.
            let now = sent + 100 * MS;
            (0..5).for_each(|_| sampler.on_ack(now, sent - 10 * MS, 1200));
            (0..5).for_each(|_| sampler.on_ack(now, sent, 1200));
            sampler.on_end_acks(now, 100_000, false);
        }
        assert_eq!(sampler.train_rates(), None);
    }

    #[test]
    fn what_was_sent_in_an_idle_spell_is_marked() {
        let start = Instant::now();
        let mut sampler = RateSampler::new(start);
        sampler.on_sent(start);
        sampler.on_ack(start + MS, start, 1000);
        assert!(sampler.on_end_acks(start + MS, 5000, true).is_some());
        sampler.on_sent(start + 2 * MS);
        sampler.on_ack(start + 3 * MS, start + 2 * MS, 1000);
        assert!(sampler.on_end_acks(start + 3 * MS, 4000, false).expect("acknowledged").app_limited);
    }

    #[test]
    fn the_first_flight_after_an_idle_spell_is_marked_and_the_next_one_is_not() {
        let start = Instant::now();
        let mut sampler = RateSampler::new(start);
        sampler.on_sent(start);
        sampler.on_ack(start + MS, start, 1000);
        sampler.on_end_acks(start + MS, 0, true);
        for (at, marked) in [(10, true), (12, false)] {
            sampler.on_sent(start + at * MS);
            sampler.on_ack(start + (at + 1) * MS, start + at * MS, 1000);
            let sample = sampler.on_end_acks(start + (at + 1) * MS, 9000, false).expect("acknowledged");
            assert_eq!(sample.app_limited, marked, "sent at {at} ms");
        }
    }
}
