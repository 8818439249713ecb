//! Beginning near what an earlier connection, or this one before an outage, learnt about the path
//! (draft-ietf-tsvwg-careful-resume, RFC 9959).
//!
//! The draft's phases, and what they are here: *observe* is [`PathState`](super::PathState) at a connection's end;
//! *reconnaissance* is the handshake, whose round trip must be that of the path remembered; *unvalidated* and *validating*
//! are one flight of a part of the remembered window; *safe retreat* is to forget it all. Start-up runs throughout: it
//! leaps or leaves by what the acknowledgements of that flight show, and bounds its window by what was delivered as soon
//! as the flight is answered for.
//!
//! It differs from the draft in two things. The handshake counts as the initial flight: the
//! answers to a flight of data show our start-up as much as the memory knows. For that, the round trip must fit much more
//! closely.

use std::time::{Duration, Instant};

/// The path as an earlier connection has remembered it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PastPath {
    /// Delivery rate in bytes per second of UDP payload.
    pub bandwidth: u64,
    /// Bare round trip.
    pub min_rtt: Duration,
    /// How long ago that was.
    pub age: Duration,
}

/// Older knowledge is not used: a day brings the same hours of traffic again, and hardly another line.
pub const AGE_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// The handshake's round trip over the remembered one, at least and at most. The draft allows 0.5 to 10, which spares
/// unlike paths only the worst.
const RTT_LEAST: f64 = 0.75;
const RTT_MOST: f64 = 1.5;
/// ... and so much more, which a busy machine needs for a handshake.
const RTT_SLACK: Duration = Duration::from_millis(5);
/// Part of the remembered window to begin with: the draft's half.
const JUMP: f64 = 0.5;
/// Lost share of the flight that is neither the path's own nor chance...
const LOST_MOST: f64 = 0.25;
/// ... once so many bytes were lost: ten packets.
const LOST_LEAST: u64 = 10 * 1200;
/// Round trips within which the flight must leave and be answered for; a sender with nothing to send for longer
/// begins as usual. A transfer's opening takes two.
const ROUNDS: u32 = 5;

/// The memory at work.
#[derive(Debug, Clone)]
pub(super) enum CarefulResume {
    /// Nothing is remembered, it does not fit, or it has done its work.
    Over,
    /// The first round trip will show whether the path is the same.
    Reconnaissance(PastPath),
    /// A flight is under way.
    Validating(ResumeFlight),
    /// The flight was too much: what was sent before this moment says nothing about the path's own loss.
    Retreated(Instant),
}

/// The flight that tests the memory.
#[derive(Debug, Clone)]
pub(super) struct ResumeFlight {
    window: u64,
    acked: u64,
    lost: u64,
    end: Instant,
}

/// The cause of a loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LossCause {
    /// The path's, as far as we know.
    Path,
    /// The flight's, and this loss has shown it.
    Unmasked,
    /// The flight's, which is over.
    Flight,
}

impl CarefulResume {
    pub(super) fn new(past: Option<PastPath>) -> Self {
        match past {
            Some(past) if past.age <= AGE_MAX => Self::Reconnaissance(past),
            _ => Self::Over,
        }
    }

    /// Takes the first round trip. When the path is the one remembered and that is worth more than the `initial`
    /// window, the flight begins: [`window`](Self::window) holds from now on, and the bare round trip is returned.
    pub(super) fn on_first_rtt(&mut self, now: Instant, rtt: Duration, initial: u64) -> Option<Duration> {
        let Self::Reconnaissance(past) = *self else { return None };
        let window = (JUMP * past.bandwidth as f64 * past.min_rtt.min(rtt).as_secs_f64()) as u64;
        if !is_same(past.min_rtt, rtt) || window <= initial {
            *self = Self::Over;
            return None;
        }
        *self = Self::Validating(ResumeFlight { window, acked: 0, lost: 0, end: now + rtt * ROUNDS });
        Some(past.min_rtt.max(rtt))
    }

    /// The window that start-up may not fall below while the flight is under way; else zero.
    pub(super) fn window(&self) -> u64 {
        match self {
            Self::Validating(flight) => flight.window,
            _ => 0,
        }
    }

    pub(super) fn on_ack(&mut self, now: Instant, bytes: u64) {
        let Self::Validating(flight) = self else { return };
        flight.acked += bytes;
        if flight.is_answered() || now > flight.end {
            *self = Self::Over;
        }
    }

    /// Takes the loss of packets that were sent up to `sent`.
    pub(super) fn on_loss(&mut self, now: Instant, sent: Instant, bytes: u64) -> LossCause {
        match self {
            Self::Over => LossCause::Path,
            Self::Reconnaissance(_) => {
                // A handshake that loses packets has not shown the path to be the same.
                *self = Self::Over;
                LossCause::Path
            }
            Self::Validating(flight) => {
                flight.lost += bytes;
                let is_lossy = flight.is_lossy();
                if is_lossy {
                    self.retreat(now);
                } else if flight.is_answered() {
                    *self = Self::Over;
                }
                if is_lossy { LossCause::Unmasked } else { LossCause::Path }
            }
            Self::Retreated(at) if sent <= *at => LossCause::Flight,
            Self::Retreated(_) => LossCause::Path,
        }
    }

    /// A queue or loss has shown that the flight is too much, if one is under way.
    pub(super) fn retreat(&mut self, now: Instant) {
        if matches!(self, Self::Validating(_)) {
            *self = Self::Retreated(now);
        }
    }
}

impl ResumeFlight {
    fn is_answered(&self) -> bool {
        self.acked + self.lost >= self.window
    }

    fn is_lossy(&self) -> bool {
        self.lost >= LOST_LEAST && self.lost as f64 > LOST_MOST * (self.acked + self.lost) as f64
    }
}

fn is_same(known: Duration, seen: Duration) -> bool {
    seen >= known.mul_f64(RTT_LEAST) && seen <= known.mul_f64(RTT_MOST) + RTT_SLACK
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const INITIAL: u64 = 76_800;
    /// 100 Mbit/s and 100 ms.
    const PAST: PastPath = PastPath { bandwidth: 12_500_000, min_rtt: Duration::from_millis(100), age: Duration::ZERO };
    const FLIGHT: u64 = 625_000;

    fn begin(past: PastPath, rtt: Duration) -> (Instant, CarefulResume) {
        let now = Instant::now();
        let mut resume = CarefulResume::new(Some(past));
        assert_eq!(resume.window(), 0, "nothing is believed before the first round trip");
        resume.on_first_rtt(now, rtt, INITIAL);
        (now, resume)
    }

    #[test]
    fn the_same_path_begins_with_half_of_what_it_carried() {
        let mut resume = CarefulResume::new(Some(PAST));
        assert_eq!(resume.on_first_rtt(Instant::now(), 103 * MS, INITIAL), Some(103 * MS));
        assert_eq!(resume.window(), FLIGHT);
        assert_eq!(begin(PAST, 80 * MS).1.window(), FLIGHT / 100 * 80, "never faster than half the rate");
    }

    #[test]
    fn another_round_trip_is_another_path() {
        for rtt in [20, 50, 74, 156, 400] {
            assert_eq!(begin(PAST, rtt * MS).1.window(), 0, "{rtt} ms");
        }
    }

    #[test]
    fn old_and_worthless_knowledge_is_not_used() {
        let aged = |age| begin(PastPath { age, ..PAST }, 100 * MS).1.window();
        assert_eq!(aged(AGE_MAX), FLIGHT);
        assert_eq!(aged(AGE_MAX + MS), 0);
        assert_eq!(
            begin(PastPath { bandwidth: 1_500_000, ..PAST }, 100 * MS).1.window(),
            0,
            "start-up begins with more"
        );
        assert_eq!(begin(PastPath { bandwidth: 0, ..PAST }, 100 * MS).1.window(), 0);
    }

    #[test]
    fn a_handshake_that_loses_packets_shows_nothing() {
        let now = Instant::now();
        let mut resume = CarefulResume::new(Some(PAST));
        assert_eq!(resume.on_loss(now, now, 1200), LossCause::Path);
        assert_eq!(resume.on_first_rtt(now, 100 * MS, INITIAL), None);
    }

    #[test]
    fn the_flight_ends_when_it_is_answered_for_or_not_sent_in_time() {
        let (now, mut resume) = begin(PAST, 100 * MS);
        resume.on_ack(now + 100 * MS, FLIGHT - 20_000);
        assert_eq!(resume.on_loss(now + 101 * MS, now, 19_000), LossCause::Path);
        assert_eq!(resume.window(), FLIGHT);
        resume.on_ack(now + 102 * MS, 1000);
        assert_eq!(resume.window(), 0);
        let (now, mut idle) = begin(PAST, 100 * MS);
        idle.on_ack(now + 500 * MS, 1000);
        assert_eq!(idle.window(), FLIGHT);
        idle.on_ack(now + 501 * MS, 1000);
        assert_eq!(idle.window(), 0);
    }

    #[test]
    fn a_flight_that_is_lost_is_retreated_from_and_its_losses_are_not_the_paths() {
        let (now, mut resume) = begin(PAST, 100 * MS);
        let later = now + 110 * MS;
        resume.on_ack(later, 36_000);
        assert_eq!(resume.on_loss(later, now, 11_000), LossCause::Path, "a few are chance");
        assert_eq!(resume.on_loss(later, now, 6_000), LossCause::Unmasked);
        assert_eq!(resume.window(), 0);
        assert_eq!(resume.on_loss(later + MS, later - MS, 1200), LossCause::Flight);
        assert_eq!(resume.on_loss(later + 200 * MS, later + MS, 1200), LossCause::Path);
    }

    #[test]
    fn a_queue_retreats_only_from_a_flight() {
        let (now, mut resume) = begin(PAST, 100 * MS);
        resume.on_ack(now, FLIGHT);
        resume.retreat(now);
        assert_eq!(resume.on_loss(now, now, 1200), LossCause::Path);
        let (now, mut resume) = begin(PAST, 100 * MS);
        resume.retreat(now);
        assert_eq!(resume.on_loss(now, now, 1200), LossCause::Flight);
    }
}
