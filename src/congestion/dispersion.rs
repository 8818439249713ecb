//! The rate of one flight's packets among themselves, known as soon as a few have been acknowledged.
//!
//! A delivery-rate sample spans a round trip, so in start-up it lags by one, and the spacing of ACKs within a batch is a
//! matter of microseconds, which busy machines blur. In between: the packets of one round trip, from the first to the last
//! acknowledged so far. They cannot read faster than they were sent, nor than they arrived.

use std::time::{Duration, Instant};

/// Bytes after the first ACK of a flight, at least: two batches and a half...
const BYTES_MIN: u64 = 24 * 1200;
/// ... and as long, at least: four times what a busy machine is late.
const SPAN_MIN: Duration = Duration::from_millis(4);
/// Arriving took so much longer than sending: the path is slower than we sent, not only late.
const STRETCH: f64 = 1.25;
/// A pause between two packets of this part of the round trip begins a new flight: what came before it says nothing about
/// how fast the path is.
const PAUSE_SHARE: f64 = 0.25;

/// The sample of a flight.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct DispersionSample {
    /// Bytes per second.
    pub(super) rate: f64,
    /// The path is slower than we sent.
    pub(super) stretched: bool,
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
pub(super) struct Dispersion {
    flight: Option<AckedFlight>,
    shown: Option<DispersionSample>,
}

impl Dispersion {
    /// The sample of the latest flight with enough packets.
    pub(super) fn shown(&self) -> Option<DispersionSample> {
        self.shown
    }

    /// An ACK of so many `bytes` in all, the newest of them sent at `sent`.
    pub(super) fn on_ack(&mut self, now: Instant, sent: Instant, bytes: u64) {
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
        (self.bytes >= BYTES_MIN && span >= SPAN_MIN).then(|| DispersionSample {
            rate: self.bytes as f64 / span.as_secs_f64(),
            stretched: arriving > sending.mul_f64(STRETCH),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const BATCH: u64 = 10 * 1200;

    /// Ten batches sent every `sent_every`, acknowledged from 100 ms on every `acked_every`.
    fn flight(sent_every: Duration, acked_every: Duration) -> Option<DispersionSample> {
        let start = Instant::now();
        let mut dispersion = Dispersion::default();
        for batch in 0..10 {
            dispersion.on_ack(start + 100 * MS + acked_every * batch, start + sent_every * batch, BATCH);
        }
        dispersion.shown()
    }

    #[test]
    fn a_flight_that_arrives_as_it_left_shows_how_fast_it_was_sent() {
        let shown = flight(2 * MS, 2 * MS).expect("a hundred packets");
        assert!((shown.rate - 6e6).abs() < 1e3 && !shown.stretched, "{shown:?}");
    }

    #[test]
    fn a_flight_that_is_stretched_shows_the_path() {
        let shown = flight(2 * MS, 5 * MS).expect("a hundred packets");
        assert!((shown.rate - 2.4e6).abs() < 1e3 && shown.stretched, "{shown:?}");
    }

    #[test]
    fn acks_that_come_together_show_no_more_than_was_sent() {
        let shown = flight(2 * MS, Duration::ZERO).expect("a hundred packets");
        assert!((shown.rate - 6e6).abs() < 1e3 && !shown.stretched, "{shown:?}");
    }

    #[test]
    fn what_came_before_a_pause_does_not_count() {
        let start = Instant::now();
        let mut dispersion = Dispersion::default();
        dispersion.on_ack(start + 100 * MS, start, BATCH);
        for batch in 0..10 {
            let sent = start + (40 + 2 * batch) * MS;
            dispersion.on_ack(sent + 100 * MS, sent, BATCH);
        }
        let shown = dispersion.shown().expect("a hundred packets");
        assert!((shown.rate - 6e6).abs() < 1e3, "{shown:?}");
    }

    #[test]
    fn a_few_packets_show_nothing() {
        let start = Instant::now();
        let mut dispersion = Dispersion::default();
        (0..3).for_each(|batch| dispersion.on_ack(start + (100 + batch) * MS, start + batch * MS, BATCH));
        assert_eq!(dispersion.shown(), None);
    }
}
