//! Standing aside for two rounds, to see the path without a queue, at the same moments as everyone else of our kind.
//!
//! A flow that drains alone sees the queue that the others hold. Eight that look at different times take each other for
//! strangers, and in competitive modes with each other they look again at different times, for ever. When all look at
//! once, the path shows itself to all. BBR's ProbeRTT falls into step by itself, because it nearly empties the path and
//! stays there (Cardwell et al. 2016); ours are too short for that and go by the clock on the wall instead. Clocks that
//! are some milliseconds apart do no harm, since a drain lasts for two round trips; one that is far off only loses the
//! advantage.

use std::time::{Duration, Instant};

use super::config::{Mechanism, Phase};
use super::model::PathModel;
use super::model::round::{GROUP_ACKS, base_target};
use super::model::rtt::{Drained, FOREIGN_QUEUE, MinRttFilter, PROBE_RTT_INTERVAL};
use super::phases::{Experiment, Moment, SETTLE_ROUNDS};
use crate::transport::limits::ACK_DELAY_MAX;

/// A round of a drain needs fewer ACKs than others: with as many, that of a small flow would begin when those of the others
/// are over.
const ROUND_ACKS: u32 = 3;
/// A window below the product, to see the path's bare round trip. Deep enough for a flow that came late and believes the
/// queue of others to be part of the path.
const GAIN: f64 = 0.7;
/// Among others, of whom some may believe that.
const GAIN_SHARED: f64 = 0.35;
/// The drain after start-up on a path longer than [`LONG_RTT`], where a deep one would cost a short transfer much.
const GAIN_LONG: f64 = 0.95;
const LONG_RTT: Duration = Duration::from_millis(50);
/// So many targets are withdrawn, and the round trip is what it was: no queue stands there.
const UNANSWERED: u32 = 3;
/// Time from the first contest in which the competitors may still turn out to be our own kind.
const UNREST_SPAN: Duration = Duration::from_secs(15);

/// When the drains were, and when the next one is.
#[derive(Debug, Clone)]
pub(super) struct Drain {
    schedule: ProbeRttSchedule,
    began: Instant,
    ended: Instant,
    next: Instant,
    /// The bare round trip that was believed when the drain began.
    believed: Duration,
    /// The round trip that stood in the last round before it, and the window.
    before: (Duration, u64),
    /// When the first contest of late began.
    unrest: Option<Instant>,
}

impl Drain {
    pub(super) fn new(now: Instant, schedule: ProbeRttSchedule) -> Self {
        let before = (Duration::ZERO, 0);
        Self { schedule, began: now, ended: now, next: now, believed: Duration::ZERO, before, unrest: None }
    }

    /// Begins at this bare round trip.
    pub(super) fn begin(&mut self, now: Instant, believed: Duration) {
        (self.began, self.believed) = (now, believed);
    }

    /// Takes a round of another phase.
    pub(super) fn note(&mut self, standing: Duration, window: u64) {
        self.before = (standing, window);
    }

    /// Whether a packet sent at `sent` belongs to the drain that runs.
    pub(super) fn is_of(&self, phase: Phase, sent: Instant) -> bool {
        phase == Phase::Drain && sent >= self.began
    }

    pub(super) fn round_acks(&self, phase: Phase) -> u32 {
        if phase == Phase::Drain { ROUND_ACKS } else { GROUP_ACKS }
    }

    /// Whether the bare round trip is so much shorter than believed that the queue of others was taken for path.
    pub(super) fn is_much_shorter(&self, min_rtt: Duration) -> bool {
        self.believed > min_rtt + base_target(min_rtt) * FOREIGN_QUEUE
    }

    /// Competitive mode begins. `again`: not long after another one.
    pub(super) fn on_competition(&mut self, now: Instant, again: bool) {
        if !again || self.unrest.is_none() {
            self.unrest = Some(now);
        }
    }

    fn is_unrest(&self, now: Instant) -> bool {
        self.unrest.is_some_and(|since| now.saturating_duration_since(since) < UNREST_SPAN)
    }

    /// Plans the next drain, as soon as the path asks for it...
    pub(super) fn plan(&mut self, model: &PathModel, at: &Moment) {
        let doubtful = model.min_rtt_filter.as_ref().is_some_and(MinRttFilter::is_doubtful);
        let pace = if doubtful || (self.is_unrest(at.now) && !model.is_without(Mechanism::Unrest)) {
            DrainPace::Unrest
        } else if at.is_contested {
            DrainPace::Contest
        } else {
            DrainPace::Calm
        };
        self.plan_at(at.now, pace, model.min_rtt());
    }

    /// ... or at this pace.
    pub(super) fn plan_at(&mut self, now: Instant, pace: DrainPace, min_rtt: Duration) {
        self.next = self.schedule.next(now, pace.period(min_rtt));
    }

    /// A flow that is alone needs no drain where the queue has just been empty anyway. One that is not must not miss a
    /// drain of the others, and under jitter the two cannot be told apart.
    fn is_worthwhile(&self, now: Instant, model: &PathModel) -> bool {
        let seen = model.min_rtt_filter.as_ref().filter(|_| model.jitter().is_zero()).map(MinRttFilter::seen);
        let last = seen.map_or(self.ended, |seen| seen.max(self.ended));
        model.is_shared() || now.saturating_duration_since(last) >= DrainPace::Calm.period(model.min_rtt()) / 2
    }

    /// Whether the drain has shown that no queue stands: any queue, whoever holds it, would be shorter by what we have withdrawn,
    /// unless it is full all the time and loses packets.
    fn is_queue_absent(&self, model: &PathModel, window: u64) -> bool {
        let (standing, before) = self.before;
        let capacity = model.capacity().unwrap_or_else(|| model.bandwidth.get()).max(1.0);
        let withdrawn = Duration::from_secs_f64(before.saturating_sub(window) as f64 / capacity);
        let target = base_target(model.min_rtt());
        let is_clean = model.jitter().is_zero() && !model.is_aggregating() && !model.is_loss_unusual();
        is_clean && withdrawn > target * UNANSWERED && standing.abs_diff(model.standing_rtt()) < target / 4
    }

    /// In bytes, without head-room.
    fn wanted(&self, model: &PathModel, is_contested: bool) -> f64 {
        let bandwidth = model.bandwidth.get();
        let Some(min_rtt_filter) = &model.min_rtt_filter else { return bandwidth };
        let is_crowded = is_contested || model.is_shared();
        if min_rtt_filter.is_drained() && is_crowded && !model.is_without(Mechanism::DeepDrains) {
            return GAIN_SHARED * bandwidth * (min_rtt_filter.least() + model.jitter()).as_secs_f64();
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
        self.wanted(model, at.is_contested) * model.headroom()
    }

    /// One round to empty the queue, one to see it empty.
    fn on_round(&mut self, model: &PathModel, at: &Moment) -> Option<Drained> {
        if at.phase_rounds < SETTLE_ROUNDS {
            return None;
        }
        self.ended = at.now;
        // Competitive mode's own tests must not overlook a short queue.
        let is_small = !at.is_contested && model.samples.acks() < GROUP_ACKS;
        Some(Drained {
            standing: model.standing_rtt(),
            target: model.round.target,
            jitter: model.jitter(),
            delay: if is_small { ACK_DELAY_MAX } else { Duration::ZERO },
            takes_longer: !model.is_without(Mechanism::LongerPath),
            is_absent: self.is_queue_absent(model, at.window),
            is_crowded: at.is_contested || model.is_shared(),
        })
    }
}

/// There, we look after so many round trips, at least half of that, so that drains cost little on short paths, and no
/// longer...
const CALM_ROUNDS: u32 = 100;
/// ... unless that were fewer than this many round trips.
const LEAST_ROUNDS: u32 = 30;
/// On a path that is not known yet, or whose flows have just begun to fight: there is much to win.
const UNREST_ROUNDS: u32 = 25;

/// How soon to look again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DrainPace {
    /// The bare round trip was seen, and nobody pushes.
    Calm,
    /// It was guessed, or a competitor has just shown up that may be one of ours.
    Unrest,
    /// The competitor stays. Each look gives him room that takes long to be won back.
    Contest,
}

impl DrainPace {
    /// The time between two looks at a path of this bare round trip.
    pub(super) fn period(self, rtt: Duration) -> Duration {
        let wanted = match self {
            Self::Calm => (rtt * CALM_ROUNDS).clamp(PROBE_RTT_INTERVAL / 2, PROBE_RTT_INTERVAL).max(rtt * LEAST_ROUNDS),
            Self::Unrest => rtt * UNREST_ROUNDS,
            Self::Contest => PROBE_RTT_INTERVAL.max(rtt * LEAST_ROUNDS),
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

    #[test]
    fn a_contest_on_a_short_path_is_tested_more_rarely_than_a_calm_path() {
        let rtt = Duration::from_millis(20);
        assert!(DrainPace::Contest.period(rtt) > DrainPace::Calm.period(rtt));
    }
}
