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
use super::model::loss::LossBlock;
use super::model::round::Round;
use super::model::rtt::PROBE_RTT_INTERVAL;
use super::model::{PathModel, SHARED};
use super::phases::{CALM_ROUNDS, Experiment, Moment};

/// Part of the queue budget that one round takes away when the queue is at its target: a time constant of ten rounds,
/// slow beside the two rounds until a change is seen in the queue.
const DECAY: f64 = 0.1;
/// How steeply the decay grows with the queue. Steeper holds the target over a wider range of rates, flatter is less
/// moved by what flows measure differently.
const STEEPNESS: i32 = 3;
/// At most so much is taken away in a round.
const DECAY_MAX: f64 = 0.5;
/// Rounds without any queue before a mark is forgotten: the pipe is not full any more.
const EMPTY_ROUNDS: u32 = 5;
/// The queue budget is at most the target or so many times what it settles at.
const CEILING_SETTLED: f64 = 2.0;
/// How far below the product the queue budget may pull the window: bandwidth samples over-estimate by as much under
/// jitter.
const FLOOR_SHARE: f64 = 0.15;

/// Least queue budget of a small flow, as in Vegas: one that was starved finds its way back.
const FLOOR_PACKETS: f64 = 2.0;

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
        self.set_ceiling((self.bytes / 2.0).max(0.0), true);
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
        // A negative queue budget must shrink too while there is a queue.
        let decay = (DECAY * level.powi(STEEPNESS)).min(DECAY_MAX);
        self.bytes += step - decay * self.bytes.max(settled / 4.0);
        let full = round.bandwidth * round.target.as_secs_f64();
        self.bytes = self.bytes.min(full.max(CEILING_SETTLED * settled));
        self.relax_ceiling(step, full);
        self.bytes = self.bytes.max(FLOOR_PACKETS * round.mtu - FLOOR_SHARE * round.product);
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

/// How much more is sent.
const PROBE_GAIN: f64 = 1.15;

/// When to probe, for how long, and what a probe must show.
#[derive(Debug, Clone, Copy)]
struct ProbeParams {
    /// Rounds between two probes...
    rounds: u32,
    /// ... doubling with each that found nothing, up to this many times.
    backoff_max: u32,
    /// Rounds of a probe: one until more is delivered, the others to measure it.
    length: u32,
    /// Rate in a probe over rate before, for a probe that found something.
    found: f64,
}

impl ProbeParams {
    fn of(round: &Round) -> Self {
        if round.jitter.is_zero() { CLEAN } else { JITTERY }
    }
}

/// As [`SHARED`], under jitter, where the spacing of ACKs tells less and more is missed without probes.
const SHARED_JITTERY: f64 = 0.4;
/// On a clean path the queue tells, and what a probe takes from others for two rounds they need many more to get back.
const CLEAN: ProbeParams = ProbeParams { rounds: 200, backoff_max: 8, length: 2, found: 1.07 };
/// Under jitter only probes tell, and one of them may fail by chance; where they keep failing, the path is full, and they
/// would push the queue of others beyond its target. Single rounds are too uneven there, and of what a flow gains that
/// has half of a full path, a half is taken from the other: less than this counts.
const JITTERY: ProbeParams = ProbeParams { rounds: 8, backoff_max: 64, length: 3, found: 1.08 };

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
    fn wait(&mut self, round: &Round) -> bool {
        self.waited += 1;
        self.waited > ProbeParams::of(round).rounds * self.backoff
    }

    /// Takes a round of a probe.
    fn measure(&mut self, round: &Round) -> Option<ProbeFinding> {
        self.waited += 1;
        let (params, probe) = (ProbeParams::of(round), self.probe.as_mut()?);
        if probe.rounds > 1 {
            probe.rates += round.rate;
        }
        if probe.rounds < params.length {
            probe.rounds += 1;
            return None;
        }
        let rate = probe.rates / f64::from(probe.rounds - 1);
        // Bandwidth that comes with a longer queue was only taken from others.
        let queue_max = probe.queue + round.target / 2 + round.jitter / 4;
        if rate > probe.rate * params.found && round.queue < queue_max {
            self.probe = Some(BandwidthProbe::new(rate, probe.queue));
            self.backoff = 1;
            return Some(ProbeFinding::Room(rate));
        }
        self.probe = None;
        self.waited = 0;
        self.backoff = (self.backoff * 2).min(params.backoff_max);
        Some(ProbeFinding::Nothing)
    }
}

impl Experiment for Prober {
    type Finding = ProbeFinding;

    fn is_due(&mut self, model: &PathModel, at: &Moment) -> bool {
        let is_calm = model.bandwidth.is_full() && is_room_likely(model) && at.phase_rounds > CALM_ROUNDS;
        self.wait(&model.round) && is_calm && !model.is_without(Mechanism::Probe)
    }

    fn window(&self, model: &PathModel, at: &Moment) -> f64 {
        model.window(PROBE_GAIN, at.budget)
    }

    fn on_round(&mut self, model: &PathModel, _: &Moment) -> Option<ProbeFinding> {
        self.measure(&model.round)
    }
}

/// Whether there may be room on the path that only a probe finds. Beside others it finds what is theirs: they give way
/// before a queue shows, and eight flows would take turns at having the path.
fn is_room_likely(model: &PathModel) -> bool {
    let alone = if model.round.jitter.is_zero() { SHARED } else { SHARED_JITTERY };
    model.train_rates().is_none_or(|(median, _)| model.bandwidth.get() >= alone * median)
}

impl BandwidthProbe {
    fn new(rate: f64, queue: Duration) -> Self {
        Self { rate, queue, rounds: 1, rates: 0.0 }
    }
}

/// Window over product in a trial, without head-room: too little to overflow anything.
const TRIAL_GAIN: f64 = 0.9;
/// Blocks of a trial: the first still holds packets from before it.
const BLOCKS: u32 = 2;
/// A flow that gets little among others would take many seconds for two blocks, in which it gives up what it has.
const TRIAL_ROUNDS_MAX: u32 = 32;
/// A trial that leaves less than this of the loss has shown an overflow.
const EFFECT: f64 = 0.6;
/// What may be lost where no queue ever stands without a trial that shows it to be the path's own: head-room for more than
/// this, if it is our own doing, is what keeps it up.
const UNPROVEN_MAX: f64 = 0.02;
/// Loss over what a trial has shown that needs no other one.
const PROVEN: f64 = 1.5;

/// What a trial began from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Before {
    /// In bytes.
    pub(super) budget: f64,
    /// A queue has stood at some time.
    pub(super) has_queue: bool,
    /// It would have, if the path has one: start-up or a drain are some rounds ago.
    is_settled: bool,
}

impl Before {
    fn new(model: &PathModel, at: &Moment) -> Self {
        Self {
            budget: at.budget,
            has_queue: model.bandwidth.is_queue_seen() || model.is_queued(),
            is_settled: at.phase_rounds > CALM_ROUNDS,
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
    blocks: u32,
}

/// Runs one trial at a time.
#[derive(Debug, Clone)]
pub(super) struct LossTrial {
    trial: Option<Trial>,
    /// Rounds of it.
    rounds: u32,
    pause_until: Instant,
    /// What the path loses by itself, as a trial has shown.
    proven: f64,
}

impl LossTrial {
    pub(super) fn new(now: Instant) -> Self {
        Self { trial: None, rounds: 0, pause_until: now, proven: UNPROVEN_MAX }
    }

    pub(super) fn is_running(&self) -> bool {
        self.trial.is_some()
    }

    /// Breaks a trial off. Gives the queue budget before it, which it has not spoken against.
    pub(super) fn stop(&mut self) -> Option<f64> {
        self.trial.take().map(|trial| trial.before.budget)
    }

    /// Takes a round, and breaks off a trial that takes too long. Gives the queue budget before it then.
    pub(super) fn give_up(&mut self) -> Option<f64> {
        self.rounds += 1;
        if self.rounds > TRIAL_ROUNDS_MAX { self.stop() } else { None }
    }

    pub(super) fn begin(&mut self, model: &PathModel, at: &Moment, block: &LossBlock) -> Before {
        let before = Before::new(model, at);
        self.trial = Some(Trial { loss: block.share, before, blocks: 0 });
        self.rounds = 0;
        before
    }

    /// Whether a block asks for a trial; `present`: what it would begin from.
    fn is_doubtful(&self, now: Instant, block: &LossBlock, present: &Before) -> bool {
        let is_unproven = present.is_settled && !present.has_queue && block.share > self.proven * PROVEN;
        (block.excess || is_unproven) && now >= self.pause_until && !self.is_running()
    }

    /// Takes a block of a trial.
    fn measure(&mut self, now: Instant, block: &LossBlock) -> Option<TrialFinding> {
        let trial = self.trial.as_mut()?;
        trial.blocks += 1;
        if trial.blocks < BLOCKS {
            return None;
        }
        let Trial { loss, before, .. } = self.trial.take()?;
        self.pause_until = now + PROBE_RTT_INTERVAL;
        self.proven = block.share.max(UNPROVEN_MAX);
        let is_less = block.share < loss * EFFECT;
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
