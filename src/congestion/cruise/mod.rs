//! The queue budget: how many bytes beyond the bandwidth-delay product may be in flight. And two experiments with it.
//!
//! The window is `bandwidth × min_rtt + queue_budget`. Once a round the standing queue is compared with its target and
//! the queue budget moves by addition up and by multiplication down. Two flows see the same queue, so their allowances,
//! and with them their shares, converge as AIMD windows do (Chiu and Jain 1989), while the queue stays a few
//! milliseconds.
//!
//! A *probe* sends more than the queue allows, to see whether it is delivered: under jitter, a path that is not full can look
//! as if a queue stood, and nothing else would ever find out. A *loss trial* sends less for a moment than any queue needs, and
//! the loss tells whether it was our own doing.

use std::time::{Duration, Instant};

use super::config::Mechanism;
use super::model::loss::{EXCESS_MIN, LossBlock};
use super::model::round::{EMPTY_ROUNDS, MEMORY_ROUNDS, Round, SETTLE_ROUNDS};
use super::model::rtt::PROBE_RTT_INTERVAL;
use super::model::{PathModel, REDUCTION, SHARED};
use super::phases::{Experiment, Moment};

/// Part of the queue budget that one round takes away when the queue is at its target: a time constant of ten rounds,
/// slow beside the two rounds until a change is seen in the queue.
const DECAY: f64 = 0.1;
/// How steeply the decay grows with the queue. Steeper holds the target over a wider range of rates, flatter is less
/// moved by what flows measure differently.
const STEEPNESS: i32 = 3;
/// What a probe sends beyond the product. The queue budget may pull the window as far below it: bandwidth
/// samples over-estimate by as much under jitter.
const STEP: f64 = 0.15;
/// Least queue budget of a small flow, as in Vegas: one that was starved finds its way back. And that of a flow at a policer's
/// rate, which grows until something is lost. With two, its window would shrink from round to round (95.5 % of 20 Mbit/s and
/// not 98): quinn sends while a packet more fits, and an acknowledgement is due for several.
pub(super) const FLOOR_PACKETS: f64 = 3.0;

/// Signed bytes beyond the bandwidth-delay product.
#[derive(Debug, Clone, Default)]
pub(super) struct QueueBudget {
    bytes: f64,
    empty_rounds: u32,
    /// Upper bound learnt from excess loss: a queue shorter than the target overflowed there.
    ceiling: Option<f64>,
    /// It was learnt where a queue stood.
    had_queue: bool,
    /// The marks of the last round have been answered.
    marks_answered: bool,
}

impl QueueBudget {
    pub(super) fn bytes(&self) -> f64 {
        self.bytes
    }

    /// Sets the queue budget to the whole target: the state after start-up.
    pub(super) fn fill(&mut self, round: &Round) {
        self.bytes = round.bandwidth * round.target.as_secs_f64();
        self.empty_rounds = 0;
    }

    /// Begins anew, beside others who do too.
    pub(super) fn empty(&mut self) {
        self.bytes = 0.0;
        self.empty_rounds = 0;
    }

    /// Bounds it to nearly nothing, to see whether that ends a loss.
    pub(super) fn withhold(&mut self, mtu: f64) {
        self.empty_rounds = 0;
        self.set_ceiling(FLOOR_PACKETS * mtu, false);
    }

    /// A queue shorter than the target overflows above this. Where one stood (`had_queue`), that is forgotten when it has gone.
    pub(super) fn set_ceiling(&mut self, bytes: f64, had_queue: bool) {
        self.had_queue = had_queue;
        self.bytes = self.bytes.min(bytes);
        self.ceiling = Some(bytes);
    }

    /// Takes whether a queue was marked in a round. The marks of the next round are of what was sent before the answer.
    pub(super) fn answer_marks(&mut self, marked: bool) {
        self.marks_answered = !self.marks_answered && marked;
        if self.marks_answered {
            self.on_marks();
        }
    }

    /// The queue was marked as too long: half of the budget is given up, and comes back slowly while a queue stands.
    fn on_marks(&mut self) {
        self.set_ceiling((self.bytes * REDUCTION).max(0.0), true);
    }

    /// The loss had nothing to do with it.
    pub(super) fn restore(&mut self, bytes: f64) {
        self.bytes = bytes;
        self.ceiling = None;
    }

    pub(super) fn on_round(&mut self, round: &Round) {
        let settled = round.settled();
        let step = DECAY * settled;
        let level = round.queue.as_secs_f64() / round.target.as_secs_f64();
        self.empty_rounds = if round.is_empty() { self.empty_rounds + 1 } else { 0 };
        if self.had_queue && self.empty_rounds >= EMPTY_ROUNDS {
            self.ceiling = None;
        }
        // A negative queue budget must shrink too while there is a queue. With all of it taken away at once, a path that
        // becomes 30 ms longer carried 92.5 % and not 95.5.
        let decay = (DECAY * level.powi(STEEPNESS)).min(REDUCTION);
        self.bytes += step - decay * self.bytes.max(settled / 4.0);
        let full = round.bandwidth * round.target.as_secs_f64();
        self.bytes = self.bytes.min(full + settled);
        self.relax_ceiling(step, full);
        self.bytes = self.bytes.max(FLOOR_PACKETS * round.mtu - STEP * round.product);
    }

    /// The path may have become better: a little more each round, and no bound once it no longer binds.
    fn relax_ceiling(&mut self, step: f64, full: f64) {
        if let Some(ceiling) = &mut self.ceiling {
            self.bytes = self.bytes.min(*ceiling);
            *ceiling += step / 16.0;
            if *ceiling > full {
                self.ceiling = None;
            }
        }
    }
}

/// The finding of a probe.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum ProbeFinding {
    /// There is room for this much, in bytes per second, and it goes on from there.
    Room(f64),
    /// There is none, and it is over.
    Nothing,
}

#[derive(Debug, Clone, Copy)]
struct BandwidthProbe {
    rate: f64,
    /// The standing queue before it.
    queue: Duration,
    rounds: u32,
    /// Sum of the rates of the rounds that measure.
    rates: f64,
}

/// Decides when to probe and what came of it.
#[derive(Debug, Clone)]
pub(super) struct Prober {
    probe: Option<BandwidthProbe>,
    backoff: u32,
    waited: u32,
}

impl Prober {
    pub(super) fn new() -> Self {
        Self { probe: None, backoff: 1, waited: 0 }
    }

    pub(super) fn is_running(&self) -> bool {
        self.probe.is_some()
    }

    pub(super) fn begin(&mut self, model: &PathModel) {
        self.probe = Some(BandwidthProbe::new(model.bandwidth.get(), model.round.queue));
    }

    pub(super) fn stop(&mut self) {
        self.probe = None;
    }

    /// Whether one more round has been enough of a pause.
    fn wait(&mut self) -> bool {
        self.waited += 1;
        self.waited > self.backoff.saturating_mul(MEMORY_ROUNDS)
    }

    /// Takes a round of a probe.
    fn measure(&mut self, round: &Round) -> Option<ProbeFinding> {
        self.waited += 1;
        let probe = self.probe.as_mut()?;
        // In the first round it is not felt yet, and single ones are too uneven.
        if probe.rounds > 1 {
            probe.rates += round.rate;
        }
        if probe.rounds <= SETTLE_ROUNDS {
            probe.rounds += 1;
            return None;
        }
        let rate = probe.rates / f64::from(probe.rounds - 1);
        // Of what a flow gains that has half of a full path, a half is taken from the other: less counts for nothing. Nor does
        // bandwidth that comes with a longer queue.
        let queue_max = probe.queue + round.target / 2 + round.jitter / 4;
        if rate > probe.rate * (1.0 + STEP / 2.0) && round.queue < queue_max {
            self.probe = Some(BandwidthProbe::new(rate, probe.queue));
            self.backoff = 1;
            return Some(ProbeFinding::Room(rate));
        }
        // One of them may fail by chance, but where they keep failing, the path is full, and they would push the queue of others
        // beyond its target.
        self.probe = None;
        self.waited = 0;
        self.backoff = self.backoff.saturating_mul(2);
        Some(ProbeFinding::Nothing)
    }
}

impl Experiment for Prober {
    type Finding = ProbeFinding;

    fn is_due(&mut self, model: &PathModel, at: &Moment) -> bool {
        let is_calm = model.bandwidth.is_full() && is_room_likely(model) && at.phase_rounds > MEMORY_ROUNDS;
        self.wait() && is_calm && !model.is_without(Mechanism::Probe)
    }

    fn window(&self, model: &PathModel, at: &Moment) -> f64 {
        model.window(1.0 + STEP, at.budget)
    }

    fn on_round(&mut self, model: &PathModel, _: &Moment) -> Option<ProbeFinding> {
        self.measure(&model.round)
    }
}

/// Whether there may be room on the path that only a probe finds: on a clean one the queue tells. Beside others it finds what is
/// theirs: they give way before a queue shows, and eight flows would take turns at having the path.
fn is_room_likely(model: &PathModel) -> bool {
    let is_alone = |(median, _)| model.bandwidth.get() >= SHARED * median;
    !model.round.jitter.is_zero() && model.train_rates().is_none_or(is_alone)
}

impl BandwidthProbe {
    fn new(rate: f64, queue: Duration) -> Self {
        Self { rate, queue, rounds: 1, rates: 0.0 }
    }
}

/// Window over product in a trial, without head-room: too little to overflow anything. With 0.85, 92 % passed a policer of
/// 20 Mbit/s and not 97; with 0.95, a queue of 3 ms lost 10 % and not 4.
const TRIAL_GAIN: f64 = 0.9;

/// What a trial began from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Before {
    /// In bytes.
    pub(super) budget: f64,
    /// A queue has stood of late.
    pub(super) has_queue: bool,
    /// It would have, if the path has one: start-up or a drain are some rounds ago.
    is_settled: bool,
    /// A policer's rate is held.
    is_policed: bool,
}

impl Before {
    fn new(model: &PathModel, at: &Moment) -> Self {
        Self {
            budget: at.budget,
            has_queue: model.bandwidth.is_queued_lately() || model.is_queued(),
            is_settled: at.phase_rounds > MEMORY_ROUNDS,
            is_policed: model.bandwidth.is_policed(),
        }
    }
}

/// The finding of a loss trial.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum TrialFinding {
    /// The loss went away: a queue shorter than the queue budget before it overflowed, or there is none.
    Overflow(Before),
    /// The loss stayed: it is the path's, and the queue budget had nothing to do with it.
    Path(Before),
}

#[derive(Debug, Clone, Copy)]
struct Trial {
    loss: f64,
    before: Before,
    /// The first block still holds packets from before it.
    is_felt: bool,
}

/// Runs one trial at a time.
#[derive(Debug, Clone)]
pub(super) struct LossTrial {
    trial: Option<Trial>,
    pause_until: Instant,
    /// The last one began where a queue stood. Where none does any more, what it has found says nothing.
    had_queue: bool,
    /// What the path loses by itself, as a trial has shown. Head-room for more, if it is our own doing, keeps it up.
    proven: f64,
}

impl LossTrial {
    pub(super) fn new(now: Instant) -> Self {
        Self { trial: None, pause_until: now, had_queue: false, proven: EXCESS_MIN }
    }

    pub(super) fn is_running(&self) -> bool {
        self.trial.is_some()
    }

    /// Breaks a trial off. Gives the queue budget before it, which it has not spoken against.
    pub(super) fn stop(&mut self) -> Option<f64> {
        self.trial.take().map(|trial| trial.before.budget)
    }

    pub(super) fn begin(&mut self, model: &PathModel, at: &Moment, block: &LossBlock) -> Before {
        let before = Before::new(model, at);
        self.trial = Some(Trial { loss: block.share, before, is_felt: false });
        before
    }

    /// Whether a block asks for a trial; `present`: what it would begin from.
    fn is_doubtful(&self, now: Instant, block: &LossBlock, present: &Before) -> bool {
        let is_unproven = present.is_settled && !present.has_queue && block.share * REDUCTION > self.proven;
        let is_outdated = self.had_queue && !present.has_queue;
        // A bucket that is full passes for a path that loses nothing more: while none is known, what is lost later speaks against
        // the last finding.
        let is_refuted = is_unproven && !present.is_policed;
        let is_paused = now < self.pause_until && !is_outdated && !is_refuted;
        (block.excess || is_unproven) && !is_paused && !self.is_running()
    }

    /// Takes a block of a trial.
    fn measure(&mut self, now: Instant, block: &LossBlock) -> Option<TrialFinding> {
        let trial = self.trial.as_mut()?;
        if !std::mem::replace(&mut trial.is_felt, true) {
            return None;
        }
        let Trial { loss, before, .. } = self.trial.take()?;
        self.pause_until = now + PROBE_RTT_INTERVAL;
        self.had_queue = before.has_queue;
        self.proven = block.share.max(EXCESS_MIN);
        // A loss that is less than half of another is not the same one.
        let is_less = block.share < loss * REDUCTION;
        Some(if is_less { TrialFinding::Overflow(before) } else { TrialFinding::Path(before) })
    }
}

impl Experiment for LossTrial {
    type Finding = TrialFinding;

    fn is_due(&mut self, model: &PathModel, at: &Moment) -> bool {
        at.block.is_some_and(|block| self.is_doubtful(at.now, &block, &Before::new(model, at)))
    }

    fn window(&self, model: &PathModel, _: &Moment) -> f64 {
        TRIAL_GAIN * model.product()
    }

    fn on_round(&mut self, _: &PathModel, at: &Moment) -> Option<TrialFinding> {
        self.measure(at.now, &at.block?)
    }
}

#[cfg(test)]
mod tests;
