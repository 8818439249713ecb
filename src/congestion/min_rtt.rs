//! The path's bare round trip: what a drain shows, until a longer or a shorter one is shown.

use std::time::{Duration, Instant};

use super::queue_budget::base_target;

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

/// The sample of a drain.
#[derive(Debug, Clone, Copy)]
pub(super) struct Drained {
    /// The round trip that stood.
    pub(super) standing: Duration,
    /// The queue we aim at.
    pub(super) target: Duration,
    /// What may look like a queue: jitter...
    pub(super) jitter: Duration,
    /// ... and acknowledgements that waited for more packets, where a flow is too small to have others.
    pub(super) delay: Duration,
    /// Whether drains that agree make the bare round trip longer.
    pub(super) takes_longer: bool,
}

/// The finding of a drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DrainFinding {
    /// The bare path, or no more queue than our own kind holds.
    Quiet,
    /// A queue that is not ours.
    Foreign,
    /// The longer round trip is no competitor's queue but the path itself, which has become longer.
    Longer,
}

/// The bare round trip and when it was last seen.
#[derive(Debug, Clone)]
pub(super) struct MinRttFilter {
    value: Duration,
    /// When the value was last seen in a round.
    seen: Instant,
    /// The shortest sample of all.
    least: Duration,
    /// A drain has shown it; before that it is the shortest sample.
    drained: bool,
    /// Only the drain after start-up has, which is gentle on long paths: a queue of others may have stood all the time.
    guessed: bool,
    raised: Option<Raised>,
}

impl MinRttFilter {
    pub(super) fn new(now: Instant, rtt: Duration) -> Self {
        Self { value: rtt, seen: now, least: rtt, drained: false, guessed: false, raised: None }
    }

    pub(super) fn rtt(&self) -> Duration {
        self.value
    }

    /// The shortest ever seen: a later value may have the queue of others in it.
    pub(super) fn least(&self) -> Duration {
        self.least
    }

    /// When it was last seen without a drain.
    pub(super) fn seen(&self) -> Instant {
        self.seen
    }

    pub(super) fn is_drained(&self) -> bool {
        self.drained
    }

    /// Whether a second look would tell more.
    pub(super) fn is_doubtful(&self) -> bool {
        self.guessed || self.raised.is_some()
    }

    /// The next drain is believed whatever it shows.
    pub(super) fn forget_drains(&mut self) {
        self.drained = false;
    }

    /// Before the first drain, the shortest sample is the best guess.
    pub(super) fn on_sample(&mut self, rtt: Duration) {
        self.least = self.least.min(rtt);
        if !self.drained && rtt <= self.value {
            self.value = rtt;
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

    /// Ends a drain.
    pub(super) fn on_drained(&mut self, drained: &Drained) -> DrainFinding {
        let Drained { standing, target, jitter, delay, takes_longer } = *drained;
        let is_known = !self.drained || standing <= self.value + target / 2 + jitter;
        let is_longer = !is_known && self.is_raised(standing) && takes_longer;
        if is_known || is_longer {
            (self.value, self.raised) = (standing, None);
        } else if standing > self.value + base_target(self.value) * FOREIGN_QUEUE + jitter + delay {
            return DrainFinding::Foreign;
        }
        // A little more than before is another flow of ours: not the bare path, yet nothing to fight.
        self.guessed = !self.drained;
        self.drained = true;
        if is_longer { DrainFinding::Longer } else { DrainFinding::Quiet }
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
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn shown(standing: Duration) -> Drained {
        Drained { standing, target: 5 * MS, jitter: Duration::ZERO, delay: Duration::ZERO, takes_longer: true }
    }

    fn drained(rtt: Duration) -> MinRttFilter {
        let mut min_rtt_filter = MinRttFilter::new(Instant::now(), rtt);
        assert_eq!(min_rtt_filter.on_drained(&shown(rtt)), DrainFinding::Quiet);
        min_rtt_filter
    }

    #[test]
    fn a_queue_that_stays_in_a_drain_is_foreign() {
        let mut min_rtt_filter = drained(100 * MS);
        assert_eq!(min_rtt_filter.on_drained(&shown(150 * MS)), DrainFinding::Foreign);
        assert_eq!(min_rtt_filter.rtt(), 100 * MS);
    }

    #[test]
    fn a_longer_path_is_believed_at_the_third_drain() {
        let mut min_rtt_filter = drained(100 * MS);
        assert_eq!(min_rtt_filter.on_drained(&shown(150 * MS)), DrainFinding::Foreign);
        assert_eq!(min_rtt_filter.on_drained(&shown(151 * MS)), DrainFinding::Foreign);
        assert_eq!(min_rtt_filter.on_drained(&shown(150 * MS)), DrainFinding::Longer);
        assert_eq!(min_rtt_filter.rtt(), 150 * MS);
    }

    /// By less than a stranger's queue, too: yielding to what is no queue at all would leave next to nothing.
    #[test]
    fn a_path_that_is_a_little_longer_is_believed_as_late() {
        let mut min_rtt_filter = drained(20 * MS);
        for _ in 0..2 {
            assert_eq!(min_rtt_filter.on_drained(&shown(26 * MS)), DrainFinding::Quiet);
            assert!(min_rtt_filter.is_doubtful() && min_rtt_filter.rtt() == 20 * MS);
        }
        assert_eq!(min_rtt_filter.on_drained(&shown(26 * MS)), DrainFinding::Longer);
        assert!(!min_rtt_filter.is_doubtful() && min_rtt_filter.rtt() == 26 * MS);
    }

    #[test]
    fn a_changing_queue_is_never_taken_for_the_path() {
        let mut min_rtt_filter = drained(100 * MS);
        for rtt in [150, 170, 190, 150, 165, 180] {
            assert_eq!(min_rtt_filter.on_drained(&shown(rtt * MS)), DrainFinding::Foreign);
        }
    }

    #[test]
    fn the_queue_of_another_flow_of_ours_is_neither_foreign_nor_the_path() {
        let mut min_rtt_filter = drained(100 * MS);
        assert_eq!(min_rtt_filter.on_drained(&shown(106 * MS)), DrainFinding::Quiet);
        assert_eq!(min_rtt_filter.rtt(), 100 * MS);
    }

    #[test]
    fn late_acknowledgements_of_a_small_flow_are_no_competitor() {
        let mut min_rtt_filter = drained(20 * MS);
        assert_eq!(min_rtt_filter.on_drained(&Drained { delay: 10 * MS, ..shown(31 * MS) }), DrainFinding::Quiet);
        assert_eq!(min_rtt_filter.rtt(), 20 * MS);
        assert_eq!(min_rtt_filter.on_drained(&shown(31 * MS)), DrainFinding::Foreign);
    }

    #[test]
    fn the_shortest_sample_outlives_a_drain_that_others_spoiled() {
        let mut min_rtt_filter = MinRttFilter::new(Instant::now(), 50 * MS);
        assert_eq!(min_rtt_filter.on_drained(&shown(90 * MS)), DrainFinding::Quiet);
        assert_eq!((min_rtt_filter.rtt(), min_rtt_filter.least()), (90 * MS, 50 * MS));
    }
}
