//! Standing aside for a moment, to see the path without a queue, at the same moments as everyone else of our kind.
//!
//! A flow that drains alone sees the queue that the others hold. Eight that look at different times take each other for
//! strangers, and in competitive modes with each other they look again at different times, for ever. When all look at
//! once, the path shows itself to all. BBR's ProbeRTT falls into step by itself, because it nearly empties the path and
//! stays there (Cardwell et al. 2016). Ours are too short for that. They go by the clock on the wall, and a flow whose clock
//! is wrong follows the others: when the queue becomes shorter than a flow of ours makes it by itself, somebody drains, and
//! everyone who sees that drains with him.

use std::ops::Range;
use std::time::{Duration, Instant};

use super::config::{Mechanism, Phase};
use super::model::bandwidth::SMOOTHING;
use super::model::rate::AGREEMENT;
use super::model::round::{GROUP_ACKS, SETTLE_ROUNDS, base_target, ours_max};
use super::model::rtt::{Drained, LONG_RTT, MinRttFilter, PROBE_RTT_INTERVAL, QueueResponse};
use super::model::{ALONE, PathModel, REDUCTION, SHARE};
use super::phases::{Experiment, Moment};

/// A window below the product, to see the path's bare round trip. What goes of a queue tells who has stood aside only while some
/// of it stays: with 0.7, of 765 cells beside others 124 missed a bound and not 94, and 1.5 % less of paths of 300 ms was used.
const GAIN: f64 = 0.9;
/// The same after start-up on a path longer than [`LONG_RTT`], where a drain costs a short transfer much: with 0.9, 4
/// MiB at 100 Mbit/s and 100 ms took 2 % longer.
const GAIN_LONG: f64 = 0.95;
/// Part of the queue that a test of competitive mode withdraws: with more, the queue could be gone before it shows who else has
/// stood aside.
const TEST_SHARE: f64 = 0.25;
/// So much of what we have withdrawn has gone of the queue: we alone have stood aside, and more of it stands. With 0.75 to 1.4,
/// eight of ours took it for that when all of them had emptied the queue together.
const AS_MUCH: Range<f64> = 0.875..1.2;

/// When the drains were, and when the next one is.
#[derive(Debug, Clone)]
pub(super) struct Drain {
    schedule: ProbeRttSchedule,
    began: Instant,
    ended: Instant,
    next: Instant,
    /// The bare round trip that was believed when the drain began.
    believed: Duration,
    /// The round trip of the last round before it, with what was lost, and the window.
    before: (Duration, u64),
    /// The least round trip that stood in a round of it...
    least: Duration,
    /// ... and the least with what was lost.
    least_lossless: Duration,
    /// The round trip that stands in rounds of cruise, smoothed; nothing before the first one after a drain.
    usual: Option<Duration>,
}

impl Drain {
    pub(super) fn new(now: Instant, schedule: ProbeRttSchedule) -> Self {
        Self {
            schedule,
            began: now,
            ended: now,
            next: now,
            believed: Duration::ZERO,
            before: (Duration::ZERO, 0),
            least: Duration::MAX,
            least_lossless: Duration::MAX,
            usual: None,
        }
    }

    /// Begins at this bare round trip.
    pub(super) fn begin(&mut self, now: Instant, believed: Duration) {
        (self.began, self.believed, self.usual) = (now, believed, None);
        (self.least, self.least_lossless) = (Duration::MAX, Duration::MAX);
    }

    /// Takes a round of another phase: its round trip, with what was lost, and the window.
    pub(super) fn note(&mut self, round_trip: Duration, window: u64) {
        self.before = (round_trip, window);
    }

    /// ACKs that a round must have. In a drain fewer do: with as many, that of a small flow would begin when those of the
    /// others are over.
    pub(super) fn round_acks(&self, phase: Phase) -> u32 {
        if phase == Phase::Drain { GROUP_ACKS / 2 } else { GROUP_ACKS }
    }

    /// Whether the bare round trip is so much shorter than believed that the queue of others was taken for path.
    pub(super) fn is_much_shorter(&self, min_rtt: Duration) -> bool {
        self.believed > min_rtt + ours_max(min_rtt)
    }

    /// Plans the next drain, as soon as the path asks for it...
    pub(super) fn plan(&mut self, model: &PathModel, at: &Moment) {
        let is_doubtful = model.min_rtt_filter.as_ref().is_some_and(MinRttFilter::is_doubtful);
        // Beside a competitor who has not been seen, each round takes some of what is left.
        let is_starved = model.bandwidth.get() < SHARE * model.capacity() && !model.bandwidth.is_policed();
        let pace = if is_doubtful || is_starved || at.is_contested { DrainPace::Unrest } else { DrainPace::Calm };
        self.plan_at(at.now, pace, model.min_rtt());
    }

    /// ... or at this pace.
    pub(super) fn plan_at(&mut self, now: Instant, pace: DrainPace, min_rtt: Duration) {
        self.next = self.schedule.next(now, pace.period(min_rtt));
    }

    /// Takes a settled round of cruise. When the queue has become shorter than it was, by more than it does by itself, others
    /// drain: we do too, unless we have lately.
    pub(super) fn follow(&mut self, now: Instant, model: &PathModel) {
        let standing = model.standing_rtt();
        let usual = self.usual.unwrap_or(standing);
        self.usual = Some(usual.mul_f64(1.0 - SMOOTHING) + standing.mul_f64(SMOOTHING));
        let is_dip = standing + base_target(model.min_rtt()) / 2 + model.jitter() < usual;
        let is_late = now.saturating_duration_since(self.ended) > DrainPace::Calm.period(model.min_rtt()) / 2;
        if is_dip && is_late && model.is_shared() && !model.is_without(Mechanism::FollowedDrains) {
            self.next = now;
        }
    }

    /// A flow that is alone needs no drain where the queue has just been empty anyway. One that is not must not miss a
    /// drain of the others, and under jitter the two cannot be told apart.
    fn is_worthwhile(&self, now: Instant, model: &PathModel) -> bool {
        let seen = model.min_rtt_filter.as_ref().filter(|_| model.jitter().is_zero()).map(MinRttFilter::seen);
        let last = seen.map_or(self.ended, |seen| seen.max(self.ended));
        model.is_shared() || now.saturating_duration_since(last) >= DrainPace::Calm.period(model.min_rtt()) / 2
    }

    /// The queue that was ours to withdraw.
    fn withdrawn(&self, model: &PathModel, window: u64) -> Duration {
        Duration::from_secs_f64(self.before.1.saturating_sub(window) as f64 / model.capacity().max(1.0))
    }

    /// What the queue did. One that is full all the time stays as it is, whatever we withdraw, and drops less; where losses have cut
    /// the share (`at.is_cut`), a queue that has not moved is such a one. One that has grown has moved, however much we withdrew:
    /// BBR came back meanwhile. How much we withdraw follows from what the path carries.
    fn response(&self, model: &PathModel, at: &Moment) -> QueueResponse {
        let (before, target) = (self.before.0, base_target(model.min_rtt()));
        let (withdrawn, gone) = (self.withdrawn(model, at.window), before.saturating_sub(self.least_lossless));
        let is_clean = !at.is_cut && model.jitter().is_zero() && !model.is_aggregating() && !model.is_loss_unusual();
        let is_unmoved = before.abs_diff(model.standing_rtt()) < withdrawn.min(target) / 4;
        let part = gone.as_secs_f64() / withdrawn.as_secs_f64();
        if model.is_capacity_guessed() || model.is_without(Mechanism::QueueResponse) {
            QueueResponse::Unclear
        } else if gone > (2 * withdrawn).mul_f64(AGREEMENT) {
            // Two of ours beside a competitor are not enough.
            QueueResponse::Joint
        } else if is_clean && is_unmoved && withdrawn >= target / 2 && !model.is_without(Mechanism::LongerPath) {
            QueueResponse::Absent
        } else if withdrawn >= target / 4 && AS_MUCH.contains(&part) {
            QueueResponse::Alone
        } else {
            QueueResponse::Unclear
        }
    }

    /// What a test of competitive mode leaves of the window, in bytes.
    fn tested(&self, model: &PathModel) -> f64 {
        let (round_trip, window) = (self.before.0, self.before.1 as f64);
        let queue =
            round_trip.saturating_sub(model.min_rtt()).mul_f64(TEST_SHARE).max(base_target(model.min_rtt()) / 2);
        (window - queue.as_secs_f64() * model.capacity()).max(window / 2.0)
    }

    /// In bytes, without head-room.
    fn wanted(&self, model: &PathModel) -> f64 {
        let bandwidth = model.bandwidth.get();
        let Some(min_rtt_filter) = &model.min_rtt_filter else { return bandwidth };
        // It may hold the rest of the path in a queue that it takes for path, and so may some of the others.
        let is_doubtful = min_rtt_filter.is_doubtful() && bandwidth < ALONE * model.capacity();
        if min_rtt_filter.is_drained() && is_doubtful && !model.is_without(Mechanism::DeepDrains) {
            return GAIN * REDUCTION * bandwidth * (min_rtt_filter.least() + model.jitter()).as_secs_f64();
        }
        let gentle = !min_rtt_filter.is_drained() && model.min_rtt() > LONG_RTT;
        model.product() * if gentle { GAIN_LONG } else { GAIN }
    }
}

impl Experiment for Drain {
    type Finding = Drained;

    fn is_due(&mut self, model: &PathModel, at: &Moment) -> bool {
        if at.now < self.next || model.samples.app_limited {
            return false;
        }
        match at.phase {
            Phase::Startup | Phase::Drain => false,
            Phase::Contested => true,
            Phase::Cruise if model.is_without(Mechanism::Drains) => false,
            Phase::Cruise => {
                let is_worthwhile = self.is_worthwhile(at.now, model);
                if !is_worthwhile {
                    self.plan_at(at.now, DrainPace::Calm, model.min_rtt());
                }
                is_worthwhile
            }
        }
    }

    fn window(&self, model: &PathModel, at: &Moment) -> f64 {
        if at.is_contested { self.tested(model) } else { self.wanted(model) * model.headroom() }
    }

    /// One round to empty the queue, one to see it empty, of [`LONG_RTT`] at least: half of BBR's ProbeRTT. Flows on short paths whose
    /// clocks differ by 50 ms would not meet otherwise, and eight of ours at 20 ms came to Jain's 77 % and not 97.
    fn on_round(&mut self, model: &PathModel, at: &Moment) -> Option<Drained> {
        self.least = self.least.min(model.standing_rtt());
        self.least_lossless = self.least_lossless.min(model.lossless_rtt());
        let lasted = at.now.saturating_duration_since(self.began);
        if at.phase_rounds < SETTLE_ROUNDS || lasted < LONG_RTT * SETTLE_ROUNDS {
            return None;
        }
        self.ended = at.now;
        Some(Drained {
            standing: self.least,
            target: model.round.target,
            jitter: model.jitter(),
            believed: self.believed,
            response: self.response(model, at),
            is_shared: model.may_be_shared(),
            is_contested: at.is_contested,
        })
    }
}

/// Least time between two drains, in round trips. So soon on a path that is not known yet, or beside a competitor who may be
/// one of ours, or go: there is much to win.
const LEAST_ROUNDS: u32 = 25;

/// How soon to look again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DrainPace {
    /// The bare round trip was seen, and nobody pushes.
    Calm,
    /// It was guessed, or competitive mode is on.
    Unrest,
}

impl DrainPace {
    /// The time between two looks at a path of this bare round trip.
    pub(super) fn period(self, rtt: Duration) -> Duration {
        let wanted = match self {
            // They cost little on short paths.
            Self::Calm if rtt <= LONG_RTT => PROBE_RTT_INTERVAL / 2,
            Self::Calm => PROBE_RTT_INTERVAL.max(rtt * LEAST_ROUNDS),
            Self::Unrest => rtt * LEAST_ROUNDS,
        };
        // Flows of different round trips meet: all periods are the shortest times a power of two.
        let mut period = PROBE_RTT_INTERVAL / 4;
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
        assert_eq!(one.next(at, PROBE_RTT_INTERVAL / 4), now + 5 * SECOND);
        assert_eq!(other.next(at, PROBE_RTT_INTERVAL / 4), now + 5 * SECOND);
        assert_eq!(one.next(now + 5 * SECOND, PROBE_RTT_INTERVAL / 4), now + 5 * SECOND + PROBE_RTT_INTERVAL / 4);
    }

    #[test]
    fn every_long_period_falls_on_a_beat_of_every_shorter_one() {
        let periods = [20, 50, 100, 300, 600].map(|ms| DrainPace::Calm.period(Duration::from_millis(ms)));
        assert_eq!(periods, [5, 5, 10, 10, 20].map(Duration::from_secs));
        for period in periods {
            assert_eq!(period.as_nanos() % (PROBE_RTT_INTERVAL / 4).as_nanos(), 0);
            assert!(DrainPace::Unrest.period(SECOND / 10) <= period);
        }
    }
}
