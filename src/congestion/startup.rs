//! Start-up: as fast as the path lets us, without filling its queue to find out.
//!
//! Two signs end it: a queue, or bandwidth that stopped growing. Loss alone never does. What the spacing of ACKs foretells
//! makes it steeper and bounds it, and is dropped when delivery has shown it to be too low.

use std::time::{Duration, Instant};

use super::dispersion::DispersionSample;
use super::round::{GROUP_ACKS, RoundSamples};

/// Start-up ends at this queue: one sixteenth of the round trip...
const QUEUE_SHARE: f64 = 1.0 / 16.0;
/// ... but not for less than timers and bursts make by themselves (HyStart's four milliseconds)...
const QUEUE_MIN: Duration = Duration::from_millis(4);
/// ... nor for less than this times the spread of the first round, which is jitter.
const SPREADS: u32 = 2;
/// A queue stands for this part of the round trip at least: what came late for a moment is none, and while it stands the
/// window grows by an eighth at most.
const QUEUE_TIME: f64 = 0.1;
/// Start-up ends when bandwidth grew by less than this...
const GROWTH: f64 = 1.25;
/// ... in this many rounds.
const FLAT_ROUNDS: u32 = 3;
/// Window over product at most: 2/ln 2, what doubling per round needs (BBR).
const GAIN: f64 = 2.89;
/// While the spacing of ACKs says that the window is below this part of what fits...
const LEAP_SHARE: f64 = 0.7;
/// ... it grows by this times what is acknowledged, more than threefold per round, as the pacer holds it...
const LEAP: u64 = 3;
/// ... or by this when the trains agree within so much, which nothing but a link's own rate makes them do.
const FAR_LEAP: u64 = 7;
const AGREEMENT: f64 = 1.25;
/// Window over product at most once the spacing is known, which then bounds more closely; the rate lags by a round.
const LEAP_GAIN: f64 = 8.0;
/// Window over the product by ACK spacing.
const OVERSHOOT: f64 = 1.25;
/// Delivery rate over the rate by ACK spacing at which a queue must show within a round.
const GOAL: f64 = 0.92;

/// Window over the product by a flight that arrived as fast as it was sent: with the pacer's quarter, the next one leaves
/// three times as fast. Two took 20 ms longer at 100 Mbit/s and 100 ms, three no less.
const JUMP: f64 = 2.5;

/// Whether the trains of a path agree, by the median and the most of their rates.
pub(super) fn do_agree(median: f64, most: f64) -> bool {
    most < median * AGREEMENT
}

/// The estimates of the path in start-up, in bytes and seconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct StartupInputs {
    pub(super) bandwidth: f64,
    pub(super) min_rtt: f64,
    /// Median and maximum rate by the spacing of ACKs, while it is believed.
    pub(super) trains: Option<(f64, f64)>,
    /// What the packets of the latest flight show among themselves.
    pub(super) flight: Option<DispersionSample>,
    /// Whether the spacing of ACKs may make the growth steeper.
    pub(super) leaps: bool,
}

impl StartupInputs {
    /// How much the window may grow for `bytes` acknowledged.
    pub(super) fn growth(&self, window: u64, bytes: u64) -> u64 {
        let Some((median, most)) = self.trains.filter(|_| self.leaps) else { return bytes };
        if window as f64 > LEAP_SHARE * median * self.min_rtt {
            bytes
        } else if do_agree(median, most) {
            FAR_LEAP * bytes
        } else {
            LEAP * bytes
        }
    }

    /// The window that the latest flight has earned, at once: no more than the path carries, where that is known.
    pub(super) fn earned(&self) -> f64 {
        let Some(flight) = self.flight else { return 0.0 };
        let gain = if flight.stretched { 1.0 } else { JUMP };
        let most = self.trains.map_or(f64::INFINITY, |(median, _)| median);
        (flight.rate * gain).min(most) * self.min_rtt
    }

    /// The largest window, without head-room for loss.
    pub(super) fn bound(&self) -> f64 {
        self.earned().max(self.grown_bound())
    }

    /// How far the growth by ACKs may go.
    fn grown_bound(&self) -> f64 {
        match self.trains {
            Some((median, _)) => (LEAP_GAIN * self.bandwidth).min(OVERSHOOT * median) * self.min_rtt,
            None => GAIN * self.bandwidth * self.min_rtt,
        }
    }

    /// Whether we deliver what the spacing of ACKs showed: the path is full, or they were spaced by something else.
    fn is_goal_reached(&self) -> bool {
        self.trains.is_some_and(|(median, _)| self.bandwidth > GOAL * median)
    }
}

/// What the first round, whose window is too small for a queue, showed.
#[derive(Debug, Clone, Copy)]
struct Base {
    rtt: Duration,
    spread: Duration,
}

/// Watches for the end of start-up.
#[derive(Debug, Clone)]
pub(super) struct Startup {
    /// Round trips of the last ACKs, as a ring.
    recent: [Duration; GROUP_ACKS as usize],
    seen: usize,
    base: Option<Base>,
    /// Since when all round trips have a queue in them.
    queued: Option<Instant>,
    best: f64,
    flat_rounds: u32,
    /// We deliver what the spacing of ACKs foretold: a round from now, its queue stands or the foretelling was wrong.
    reached: bool,
    refuted: bool,
}

impl Startup {
    pub(super) fn new() -> Self {
        Self {
            recent: [Duration::MAX; GROUP_ACKS as usize],
            seen: 0,
            base: None,
            queued: None,
            best: 0.0,
            flat_rounds: 0,
            reached: false,
            refuted: false,
        }
    }

    /// On a path whose bare round trip is known: the first window may be large enough for a queue.
    pub(super) fn on_known_path(bare: Duration) -> Self {
        Self { base: Some(Base { rtt: bare, spread: Duration::ZERO }), ..Self::new() }
    }

    /// What the spacing of ACKs shows, unless delivery has refuted it.
    pub(super) fn believed(&self, trains: Option<(f64, f64)>) -> Option<(f64, f64)> {
        trains.filter(|_| !self.refuted)
    }

    pub(super) fn on_rtt(&mut self, rtt: Duration) {
        self.recent[self.seen % self.recent.len()] = rtt;
        self.seen += 1;
    }

    /// Whether for a while even the shortest of the last round trips has had a queue in it, which `jitter` alone does not
    /// make.
    pub(super) fn is_queue_seen(&mut self, now: Instant, jitter: Duration) -> bool {
        let Some(base) = self.base.filter(|base| self.is_late(base, jitter)) else {
            self.queued = None;
            return false;
        };
        let since = *self.queued.get_or_insert(now);
        now.saturating_duration_since(since) >= base.rtt.mul_f64(QUEUE_TIME)
    }

    fn is_late(&self, base: &Base, jitter: Duration) -> bool {
        let lowest = self.recent.iter().min().copied().unwrap_or(Duration::MAX);
        let least = QUEUE_MIN.max(base.rtt.mul_f64(QUEUE_SHARE)).max(base.spread * SPREADS);
        self.seen >= self.recent.len() && lowest > base.rtt + least + jitter
    }

    /// Ends a round. Says whether bandwidth has stopped growing.
    pub(super) fn on_round(&mut self, samples: &RoundSamples, known: &StartupInputs) -> bool {
        let bandwidth = known.bandwidth;
        self.base.get_or_insert_with(|| Base { rtt: samples.standing_rtt(), spread: samples.spread() });
        if samples.app_limited {
            return false;
        }
        // The window was bounded to a little more than what was foretold, for a whole round, and no queue ended it.
        self.refuted |= self.reached;
        self.reached = known.is_goal_reached();
        if bandwidth >= self.best * GROWTH {
            self.best = bandwidth;
            self.flat_rounds = 0;
        } else {
            self.flat_rounds += 1;
        }
        self.flat_rounds >= FLAT_ROUNDS
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn round(rtt: Duration) -> RoundSamples {
        let mut samples = RoundSamples::new(Instant::now(), 0, 0);
        (0..2 * GROUP_ACKS).for_each(|_| samples.on_rtt(rtt));
        samples
    }

    fn known(bandwidth: f64) -> StartupInputs {
        StartupInputs { bandwidth, min_rtt: 0.05, trains: None, flight: None, leaps: true }
    }

    #[test]
    fn a_queue_ends_it_and_a_single_late_ack_does_not() {
        let now = Instant::now();
        let at = |ms| now + ms * MS;
        let mut startup = Startup::new();
        startup.on_round(&round(100 * MS), &known(1.0));
        (0..GROUP_ACKS - 1).for_each(|_| startup.on_rtt(120 * MS));
        startup.on_rtt(101 * MS);
        assert!(!startup.is_queue_seen(at(0), Duration::ZERO));
        (0..GROUP_ACKS).for_each(|_| startup.on_rtt(110 * MS));
        assert!(!startup.is_queue_seen(at(0), Duration::ZERO), "it may be late for a moment");
        assert!(startup.is_queue_seen(at(13), Duration::ZERO));
        startup.on_rtt(101 * MS);
        assert!(!startup.is_queue_seen(at(14), Duration::ZERO));
    }

    #[test]
    fn three_rounds_without_growth_end_it() {
        let mut startup = Startup::new();
        let flat = [1.0, 2.0, 2.1, 2.2, 2.2].map(|rate| startup.on_round(&round(50 * MS), &known(rate)));
        assert_eq!(flat, [false, false, false, false, true]);
    }

    #[test]
    fn it_leaps_only_while_the_trains_show_far_more() {
        let known = StartupInputs { bandwidth: 1e6, min_rtt: 0.1, trains: Some((1e7, 2e7)), flight: None, leaps: true };
        assert_eq!(known.growth(100_000, 1000), 3000);
        assert_eq!(known.growth(800_000, 1000), 1000);
        assert_eq!(StartupInputs { trains: None, ..known }.growth(100_000, 1000), 1000);
        let agreed = StartupInputs { trains: Some((1e7, 1.1e7)), ..known };
        assert_eq!(agreed.growth(100_000, 1000), 7000);
    }

    #[test]
    fn a_flight_earns_the_next_one_up_to_what_the_path_carries() {
        let flight = |stretched| Some(DispersionSample { rate: 4e6, stretched });
        let known = StartupInputs { bandwidth: 1e6, min_rtt: 0.1, trains: None, flight: flight(false), leaps: true };
        assert_eq!(known.earned(), 1e6);
        assert_eq!(known.bound(), 1e6);
        assert_eq!(StartupInputs { trains: Some((5e6, 6e6)), ..known }.earned(), 5e5);
        assert_eq!(StartupInputs { flight: flight(true), ..known }.earned(), 4e5);
        assert_eq!(StartupInputs { flight: None, ..known }.earned(), 0.0);
    }

    #[test]
    fn trains_that_delivery_reaches_without_a_queue_are_not_believed_any_more() {
        let trains = Some((1e6, 1e6));
        let mut startup = Startup::new();
        let known = |bandwidth| StartupInputs { trains, ..known(bandwidth) };
        startup.on_round(&round(50 * MS), &known(5e5));
        startup.on_round(&round(50 * MS), &known(9.5e5));
        assert_eq!(startup.believed(trains), trains, "the queue of this round has a round to show");
        startup.on_round(&round(50 * MS), &known(1e6));
        assert_eq!(startup.believed(trains), None);
    }
}
