//! When to look at the path: at the same moments as everyone else of our kind.
//!
//! A flow that drains alone sees the queue that the others hold. Eight that look at different times take each other for
//! strangers, and in competitive modes with each other they look again at different times, for ever. When all look at
//! once, the path shows itself to all. BBR's ProbeRTT falls into step by itself, because it nearly empties the path and
//! stays there (Cardwell et al. 2016); ours are too short for that and go by the clock on the wall instead. Clocks that
//! are some milliseconds apart do no harm, since a drain lasts for two round trips; one that is far off only loses the
//! advantage.

use std::time::{Duration, Instant};

/// The shortest time between two beats. All other periods are this times a power of two, so that flows of different
/// round trips meet.
const BEAT: Duration = Duration::from_millis(2500);
/// On a path that is known: after so many round trips, at least so long, so that drains cost little on short paths...
const CALM_ROUNDS: u32 = 100;
const CALM_MIN: Duration = Duration::from_secs(5);
/// ... but no longer than BBR's ten seconds...
const CALM_MAX: Duration = Duration::from_secs(10);
/// ... unless that were fewer than this many round trips.
const LEAST_ROUNDS: u32 = 30;
/// On a path that is not known yet, or whose flows have just begun to fight: there is much to win.
const UNREST_ROUNDS: u32 = 25;

/// How soon to look again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ProbeRttPace {
    /// The bare round trip was seen, and nobody pushes.
    Calm,
    /// It was guessed, or a competitor has just shown up that may be one of ours.
    Unrest,
    /// The competitor stays. Each look gives him room that takes long to be won back.
    Contest,
}

impl ProbeRttPace {
    /// The time between two looks at a path of this bare round trip.
    pub(super) fn period(self, rtt: Duration) -> Duration {
        let wanted = match self {
            Self::Calm => (rtt * CALM_ROUNDS).clamp(CALM_MIN, CALM_MAX).max(rtt * LEAST_ROUNDS),
            Self::Unrest => rtt * UNREST_ROUNDS,
            Self::Contest => CALM_MAX.max(rtt * LEAST_ROUNDS),
        };
        let mut period = BEAT;
        while period < wanted {
            period *= 2;
        }
        period
    }
}

/// A grid of moments that all flows share whose clocks agree.
#[derive(Debug, Clone, Copy)]
pub(super) struct ProbeRttSchedule {
    from: Instant,
    /// The time of day at `from`, counted from any common beginning.
    time: Duration,
}

impl ProbeRttSchedule {
    pub(super) fn new(from: Instant, time: Duration) -> Self {
        Self { from, time }
    }

    /// The first moment of this period after `now`.
    pub(super) fn next(&self, now: Instant, period: Duration) -> Instant {
        let time = self.time + now.saturating_duration_since(self.from);
        let since = Duration::from_nanos((time.as_nanos() % period.as_nanos()) as u64);
        now + (period - since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn flows_that_begin_at_any_time_meet() {
        let now = Instant::now();
        let (one, other) =
            (ProbeRttSchedule::new(now, 1000 * SECOND), ProbeRttSchedule::new(now + 3 * SECOND, 1003 * SECOND));
        let at = now + 4 * SECOND;
        assert_eq!(one.next(at, BEAT), now + 5 * SECOND);
        assert_eq!(other.next(at, BEAT), now + 5 * SECOND);
        assert_eq!(one.next(now + 5 * SECOND, BEAT), now + 5 * SECOND + BEAT);
    }

    #[test]
    fn every_long_period_falls_on_a_beat_of_every_shorter_one() {
        let periods = [20, 50, 100, 300, 600].map(|ms| ProbeRttPace::Calm.period(Duration::from_millis(ms)));
        assert_eq!(periods, [5, 5, 10, 10, 20].map(Duration::from_secs));
        for period in periods {
            assert_eq!(period.as_nanos() % BEAT.as_nanos(), 0);
            assert!(ProbeRttPace::Unrest.period(SECOND / 10) <= period);
        }
    }

    #[test]
    fn a_contest_on_a_short_path_is_tested_more_rarely_than_a_calm_path() {
        let rtt = Duration::from_millis(20);
        assert!(ProbeRttPace::Contest.period(rtt) > ProbeRttPace::Calm.period(rtt));
    }
}
