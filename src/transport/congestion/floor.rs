//! The path's bare round trip: what a drain shows, until a longer or a shorter one is shown.

use std::time::{Duration, Instant};

use super::allowance::base_target;

/// The bare round trip is looked for again when it was not seen for so long (BBR's ten seconds)...
const SPAN_MAX: Duration = Duration::from_secs(10);
/// ... earlier on short paths, where a drain costs little: after so many round trips, at least so long...
const SPAN_ROUNDS: u32 = 100;
const SPAN_MIN: Duration = Duration::from_secs(3);
/// ... and never before this many round trips, so that drains cost little on long paths.
const ROUNDS_MIN: u32 = 30;
/// Queue in targets that stays without us and is more than other flows of ours would hold: a competitor.
const FOREIGN_QUEUE: u32 = 2;
/// Drains in a row that show the same longer round trip: the path has changed.
const RAISED_DRAINS: u32 = 3;
/// What "the same" means: a path's round trip is steady, a competitor's queue is not.
const RAISED_TOLERANCE: f64 = 0.03;
const RAISED_TOLERANCE_MIN: Duration = Duration::from_millis(1);

/// A longer round trip that drains have shown.
#[derive(Debug, Clone, Copy)]
struct Raised {
    value: Duration,
    drains: u32,
}

/// What a drain found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// The bare path, or no more queue than our own kind holds.
    Quiet,
    /// A queue that is not ours.
    Foreign,
}

/// The bare round trip and when it was last seen.
#[derive(Debug, Clone)]
pub(super) struct Floor {
    value: Duration,
    seen: Instant,
    /// A drain has shown it; before that it is the shortest sample.
    drained: bool,
    /// Only the drain after start-up has, which is gentle on long paths: a queue of others may have stood all the time.
    guessed: bool,
    raised: Option<Raised>,
}

impl Floor {
    pub(super) fn new(now: Instant, rtt: Duration) -> Self {
        Self { value: rtt, seen: now, drained: false, guessed: false, raised: None }
    }

    pub(super) fn rtt(&self) -> Duration {
        self.value
    }

    pub(super) fn is_drained(&self) -> bool {
        self.drained
    }

    /// Whether a second look would tell more.
    pub(super) fn is_guessed(&self) -> bool {
        self.guessed
    }

    /// The next drain is believed whatever it shows.
    pub(super) fn forget_drains(&mut self) {
        self.drained = false;
    }

    /// Before the first drain, the shortest sample is the best guess.
    pub(super) fn on_sample(&mut self, now: Instant, rtt: Duration) {
        if !self.drained && rtt <= self.value {
            (self.value, self.seen) = (rtt, now);
        }
    }

    /// After it, whole rounds are compared, not the luckiest packet: under jitter that one is far below what any window
    /// could give. Nor are rounds shorter than `jitter` makes them believed, for the same reason.
    pub(super) fn on_round(&mut self, now: Instant, standing: Duration, jitter: Duration) {
        if self.drained && standing + jitter <= self.value {
            (self.value, self.seen) = (standing + jitter, now);
        }
    }

    /// A probe was delivered at this round trip: what stands there is no queue. Packets in a row do not overtake each other,
    /// so jitter makes round trips longer the faster they follow each other, and what a slow beginning has shown is too short.
    pub(super) fn on_delivered(&mut self, standing: Duration) {
        self.value = self.value.max(standing);
    }

    /// Ends a drain. `target` is the standing queue we aim at, `jitter` what may look like one.
    pub(super) fn on_drained(&mut self, now: Instant, standing: Duration, target: Duration, jitter: Duration) -> Found {
        let is_bare = !self.drained || standing <= self.value + target / 2 + jitter || self.is_raised(standing);
        if !is_bare && standing > self.value + base_target(self.value) * FOREIGN_QUEUE + jitter {
            return Found::Foreign;
        }
        // A little more than before is another flow of ours: not the bare path, yet nothing to fight.
        if is_bare {
            self.value = standing;
        }
        self.guessed = !self.drained;
        (self.seen, self.raised, self.drained) = (now, None, true);
        Found::Quiet
    }

    /// Whether several drains in a row ended at this round trip.
    fn is_raised(&mut self, standing: Duration) -> bool {
        let same =
            |value: Duration| standing.abs_diff(value) <= value.mul_f64(RAISED_TOLERANCE).max(RAISED_TOLERANCE_MIN);
        let drains = match self.raised {
            Some(raised) if same(raised.value) => raised.drains + 1,
            _ => 1,
        };
        self.raised = Some(Raised { value: standing, drains });
        drains >= RAISED_DRAINS
    }

    pub(super) fn is_stale(&self, now: Instant) -> bool {
        let span = (self.value * SPAN_ROUNDS).clamp(SPAN_MIN, SPAN_MAX);
        now.saturating_duration_since(self.seen) > span.max(self.value * ROUNDS_MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn drained(rtt: Duration) -> (Instant, Floor) {
        let now = Instant::now();
        let mut floor = Floor::new(now, rtt);
        assert_eq!(floor.on_drained(now, rtt, 5 * MS, Duration::ZERO), Found::Quiet);
        (now, floor)
    }

    #[test]
    fn a_queue_that_stays_in_a_drain_is_foreign() {
        let (now, mut floor) = drained(100 * MS);
        assert_eq!(floor.on_drained(now, 150 * MS, 5 * MS, Duration::ZERO), Found::Foreign);
        assert_eq!(floor.rtt(), 100 * MS);
    }

    #[test]
    fn a_longer_path_is_believed_at_the_third_drain() {
        let (now, mut floor) = drained(100 * MS);
        assert_eq!(floor.on_drained(now, 150 * MS, 5 * MS, Duration::ZERO), Found::Foreign);
        assert_eq!(floor.on_drained(now, 151 * MS, 5 * MS, Duration::ZERO), Found::Foreign);
        assert_eq!(floor.on_drained(now, 150 * MS, 5 * MS, Duration::ZERO), Found::Quiet);
        assert_eq!(floor.rtt(), 150 * MS);
    }

    #[test]
    fn a_changing_queue_is_never_taken_for_the_path() {
        let (now, mut floor) = drained(100 * MS);
        for rtt in [150, 170, 190, 150, 165, 180] {
            assert_eq!(floor.on_drained(now, rtt * MS, 5 * MS, Duration::ZERO), Found::Foreign);
        }
    }

    #[test]
    fn the_queue_of_another_flow_of_ours_is_neither_foreign_nor_the_path() {
        let (now, mut floor) = drained(100 * MS);
        assert_eq!(floor.on_drained(now, 106 * MS, 5 * MS, Duration::ZERO), Found::Quiet);
        assert_eq!(floor.rtt(), 100 * MS);
    }

    #[test]
    fn it_goes_stale_when_it_is_not_seen() {
        let (now, mut floor) = drained(100 * MS);
        assert!(!floor.is_stale(now + 10_000 * MS));
        assert!(floor.is_stale(now + 10_001 * MS));
        floor.on_round(now + 9000 * MS, 100 * MS, Duration::ZERO);
        assert!(!floor.is_stale(now + 10_001 * MS));
    }
}
