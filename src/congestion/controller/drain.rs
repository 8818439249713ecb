//! Standing aside for two rounds, to see the path without a queue.

use std::time::{Duration, Instant};

use super::PathController;
use crate::congestion::min_rtt::{DrainFinding, Drained, MinRttFilter};
use crate::congestion::probe_rtt::{ProbeRttPace, ProbeRttSchedule};
use crate::congestion::queue_budget::{Round, base_target};
use crate::congestion::round::GROUP_ACKS;
use crate::congestion::state::Phase;
use crate::congestion::without::Mechanism;
use crate::transport::tuning::ACK_DELAY_MAX;

/// One round to empty the queue, one to see it empty.
const ROUNDS: u32 = 2;
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
/// The bare round trip is found to be so many targets shorter than believed: the queue of others was taken for path.
const MISTAKEN: u32 = 2;
/// Time from the first contest in which the competitors may still turn out to be our own kind.
const UNREST_SPAN: Duration = Duration::from_secs(15);

/// When the drains were, and when the next one is.
#[derive(Debug, Clone)]
pub(super) struct Drains {
    schedule: ProbeRttSchedule,
    began: Instant,
    ended: Instant,
    next: Instant,
    /// The bare round trip that was believed when the drain began.
    believed: Duration,
    /// When the first contest of late began.
    unrest: Option<Instant>,
}

impl Drains {
    pub(super) fn new(now: Instant, schedule: ProbeRttSchedule) -> Self {
        Self { schedule, began: now, ended: now, next: now, believed: Duration::ZERO, unrest: None }
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

    fn plan(&mut self, now: Instant, period: Duration) {
        self.next = self.schedule.next(now, period);
    }
}

impl PathController {
    /// Whether to look for the bare round trip now.
    pub(super) fn is_drain_due(&mut self, now: Instant) -> bool {
        if now < self.drains.next || self.samples.app_limited {
            return false;
        }
        match self.phase {
            Phase::Startup | Phase::Drain => false,
            Phase::Contested => true,
            Phase::Cruise if self.is_without(Mechanism::Drains) => false,
            Phase::Cruise => self.is_worth_a_drain(now),
        }
    }

    /// A flow that is alone needs no drain where the queue has just been empty anyway. One that is not must not miss a
    /// drain of the others, and under jitter the two cannot be told apart.
    fn is_worth_a_drain(&mut self, now: Instant) -> bool {
        let period = ProbeRttPace::Calm.period(self.min_rtt());
        let seen = self.min_rtt_filter.as_ref().filter(|_| self.jitter().is_zero()).map(MinRttFilter::seen);
        let last = seen.map_or(self.drains.ended, |seen| seen.max(self.drains.ended));
        let is_worth = self.is_shared() || now.saturating_duration_since(last) >= period / 2;
        if !is_worth {
            self.drains.plan(now, period);
        }
        is_worth
    }

    pub(super) fn plan_drain(&mut self, now: Instant) {
        let doubtful = self.min_rtt_filter.as_ref().is_some_and(MinRttFilter::is_doubtful);
        let pace = if doubtful || (self.drains.is_unrest(now) && !self.is_without(Mechanism::Unrest)) {
            ProbeRttPace::Unrest
        } else if self.competitive.is_some() {
            ProbeRttPace::Contest
        } else {
            ProbeRttPace::Calm
        };
        self.drains.plan(now, pace.period(self.min_rtt()));
    }

    pub(super) fn start_drain(&mut self, now: Instant) {
        if let Some(competitive) = &self.competitive
            && competitive.last().rate > 0.0
        {
            // All that wait in a full queue get the whole path together; the best of several rounds would be too much for it.
            self.bandwidth.believe(self.rounds, competitive.last().rate);
        }
        (self.drains.began, self.drains.believed) = (now, self.min_rtt());
        self.phase = Phase::Drain;
        self.phase_rounds = 0;
        self.prober.stop();
        self.loss.discard_block();
        self.start_epoch(now);
    }

    /// Whether others surely use the path too.
    fn is_crowded(&self) -> bool {
        self.competitive.is_some() || self.is_shared()
    }

    /// The window of a drain, in bytes without head-room.
    pub(super) fn drain_window(&self) -> f64 {
        let bandwidth = self.bandwidth.get();
        let Some(min_rtt_filter) = &self.min_rtt_filter else { return bandwidth };
        if self.is_drained() && self.is_crowded() && !self.is_without(Mechanism::DeepDrains) {
            return GAIN_SHARED * bandwidth * (min_rtt_filter.least() + self.jitter()).as_secs_f64();
        }
        let gentle = !self.is_drained() && self.min_rtt() > LONG_RTT;
        self.product() * if gentle { GAIN_LONG } else { GAIN }
    }

    /// Whether a packet sent at `sent` belongs to the drain that runs.
    pub(super) fn is_of_drain(&self, sent: Instant) -> bool {
        self.phase == Phase::Drain && sent >= self.drains.began
    }

    pub(super) fn round_acks(&self) -> u32 {
        if self.phase == Phase::Drain { ROUND_ACKS } else { GROUP_ACKS }
    }

    pub(super) fn on_drain_round(&mut self, now: Instant, round: &Round) {
        self.phase_rounds += 1;
        if self.phase_rounds < ROUNDS {
            return;
        }
        let was_drained = self.is_drained();
        let found = self.look_at_path(now, round);
        self.drains.ended = now;
        if found == DrainFinding::Foreign {
            self.on_foreign_queue(now);
            return;
        }
        self.plan_drain(now);
        let capacity = self.capacity().unwrap_or(f64::MAX);
        let is_alone = found == DrainFinding::Longer;
        if !is_alone
            && self.competitive.as_mut().is_some_and(|competitive| !competitive.on_quiet(capacity, round.target))
        {
            self.enter_contested();
            self.drains.plan(now, ProbeRttPace::Unrest.period(self.min_rtt()));
            return;
        }
        if !was_drained {
            // Start-up ends here, and the whole target is a better first guess than nothing.
            self.budget.fill(round);
        }
        self.enter_cruise(now);
    }

    /// Takes what the drain has shown: the bare round trip and the path's own loss.
    fn look_at_path(&mut self, now: Instant, round: &Round) -> DrainFinding {
        let (standing, jitter) = (self.standing_rtt(), self.jitter());
        let is_crowded = self.is_crowded();
        let (takes_longer, takes_loss) =
            (!self.is_without(Mechanism::LongerPath), !self.is_without(Mechanism::DrainLoss));
        let Some(min_rtt_filter) = &mut self.min_rtt_filter else { return DrainFinding::Quiet };
        let was_drained = min_rtt_filter.is_drained();
        // Competitive mode's own tests must not overlook a short queue.
        let is_small = self.competitive.is_none() && self.samples.acks() < GROUP_ACKS;
        let delay = if is_small { ACK_DELAY_MAX } else { Duration::ZERO };
        let found = min_rtt_filter.on_drained(&Drained { standing, target: round.target, jitter, delay, takes_longer });
        if self.drains.believed > min_rtt_filter.rtt() + base_target(min_rtt_filter.rtt()) * MISTAKEN {
            self.budget.empty();
        }
        if found == DrainFinding::Foreign || !was_drained {
            self.loss.forget_drain();
        } else if is_crowded && takes_loss {
            self.loss.on_empty_queue(now, self.mtu);
        }
        found
    }

    fn on_foreign_queue(&mut self, now: Instant) {
        if let Some(competitive) = &mut self.competitive {
            competitive.on_foreign();
            self.enter_contested();
            self.plan_drain(now);
        } else if self.is_without(Mechanism::CompetitiveMode) {
            self.plan_drain(now);
            self.enter_cruise(now);
        } else {
            self.start_competition(now);
        }
    }
}
