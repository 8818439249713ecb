//! Is someone else holding the queue, and what we take while he does.
//!
//! Our own kind keeps it near the target, so a queue that stays long although we yield belongs to a sender that fills
//! queues, or the path has become slower. A drain tells the two apart; [`Competitors`] says when to look.
//!
//! A delay-based sender starves beside a loss-based one (Copa, section 2.2). While another holds the queue,
//! [`CompetitiveMode`] takes the share that CUBIC's window (RFC 9438) would, and tests from time to time whether it is still
//! there.

use std::time::{Duration, Instant};

use super::config::Mechanism;
use super::model::PathModel;
use super::model::bandwidth::MaxFilter;
use super::model::round::{EMPTY_ROUNDS, Round};
use super::model::rtt::{DrainFinding, FOREIGN_QUEUE};
use super::phases::{Experiment, Moment, SETTLE_ROUNDS};
use crate::transport::limits::ACK_EVERY;

/// Queue in targets that counts as pressure...
const PRESSURE_QUEUE: f64 = 1.75;
/// ... and that many rounds of it are someone else's doing.
const PRESSURE_ROUNDS: f64 = 16.0;
/// A round is as long as a round trip, and at least this: on short paths the queue of a moment's overshoot lasts for many.
const PRESSURE_RTT: Duration = Duration::from_millis(50);
/// So is a fall of our rate to this part of what it was, under a standing queue. Two flows of ours end at a half.
const SQUEEZED_SHARE: f64 = 0.45;
/// One that goes on to this part of what it was at the suspicion needs no drain to tell: beside our own kind it would have
/// come to rest. A late flow cannot tell the queue that a competitor holds from the path, nor empty it.
const STARVED_SHARE: f64 = 0.5;
/// How long a competitor is remembered. After a suspicion, half the pressure is enough for the next one; a competitive mode
/// that begins so soon after another one goes on with it; and so old is the best rate that ours is compared with, since CUBIC
/// grows by the clock and not by round trips.
pub(super) const MEMORY: Duration = Duration::from_secs(20);
/// Queue in targets at which the window is cut at once.
const CUT_QUEUE: u32 = 3;
/// Rounds until a cut can be seen in the queue.
const CUT_ROUNDS: u32 = 3;
/// A cut that leaves more of the queue than this was futile: the queue is not ours.
const CUT_EFFECT: f64 = 0.75;
/// A cut weighs as many rounds of pressure: a competitor that grows slowly makes many small cuts necessary.
const CUT_PRESSURE: f64 = 4.0;
/// Rounds over which our largest window is remembered: what we had before a competitor pushed.
const RECENT_ROUNDS: u64 = 100;
/// Part of a round's rate that the smoothed one takes over. Single rounds of small windows are uneven, and the best of
/// twenty seconds of them is far above what we had.
const RATE_GAIN: f64 = 1.0 / 8.0;

/// How sure we are of a competitor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Suspicion {
    None,
    /// A drain must tell.
    Suspected,
    Certain,
}

/// The judgement on a round.
#[derive(Debug, Clone, Copy)]
pub(super) struct Judgement {
    /// The queue is far too long: believe the last round's rate and nothing older.
    pub(super) cut: bool,
    pub(super) suspicion: Suspicion,
}

/// A cut of the window.
#[derive(Debug, Clone, Copy)]
struct Cut {
    /// The queue before it.
    queue: Duration,
    rounds: u32,
}

/// A suspicion that was acted on.
#[derive(Debug, Clone, Copy)]
struct LowerThreshold {
    from: Instant,
    /// Our rate then, unless it was competitive mode's, which says nothing about what is ours.
    rate: Option<f64>,
}

/// Watches the queue and our share.
#[derive(Debug, Clone)]
pub(super) struct Competitors {
    start: Instant,
    pressure: f64,
    cut: Option<Cut>,
    wary: Option<LowerThreshold>,
    /// Our rate, smoothed.
    rate: Option<f64>,
    recent_window: MaxFilter,
    recent_rate: MaxFilter,
}

impl Competitors {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            start: now,
            pressure: 0.0,
            cut: None,
            wary: None,
            rate: None,
            recent_window: MaxFilter::new(RECENT_ROUNDS),
            recent_rate: MaxFilter::new(MEMORY.as_nanos() as u64),
        }
    }

    fn wary(&self, now: Instant) -> Option<LowerThreshold> {
        self.wary.filter(|wary| now.saturating_duration_since(wary.from) < MEMORY)
    }

    pub(super) fn is_calm(&self) -> bool {
        self.pressure == 0.0
    }

    /// The largest window of the last rounds.
    pub(super) fn recent_window(&self) -> f64 {
        self.recent_window.get().unwrap_or(0.0)
    }

    pub(super) fn note_window(&mut self, round: u64, window: u64) {
        self.recent_window.push(round, window as f64);
    }

    /// A drain has emptied the queue: what we had before, the path no longer gives.
    pub(super) fn on_quiet(&mut self) {
        self.calm_down();
        self.recent_window.clear();
    }

    /// Competitive mode has begun.
    pub(super) fn calm_down(&mut self) {
        self.pressure = 0.0;
        self.cut = None;
    }

    /// A suspicion has been acted on, at this rate, or competitive mode is over.
    pub(super) fn become_wary(&mut self, now: Instant, rate: Option<f64>) {
        self.wary = Some(LowerThreshold { from: now, rate });
        self.rate = None;
        self.recent_rate.clear();
    }

    /// Judges a round of cruising that took so many `round_trips`. `full`: a queue has stood lately.
    pub(super) fn on_round(&mut self, now: Instant, round: &Round, round_trips: f64, full: bool) -> Judgement {
        self.weigh(round, round_trips);
        let wary = self.wary(now);
        let rounds = if wary.is_some() { PRESSURE_ROUNDS / 2.0 } else { PRESSURE_ROUNDS };
        let rate = self.note_rate(now, round.bandwidth);
        let squeezed = full && wary.is_none() && rate < self.recent_rate.get().unwrap_or(0.0) * SQUEEZED_SHARE;
        let before = wary.and_then(|wary| wary.rate);
        let starved = full && before.is_some_and(|before| rate < before * STARVED_SHARE);
        let (cut, futile) = self.judge_cut(round);
        let suspicion = if !futile && !squeezed && !starved && self.pressure < rounds {
            Suspicion::None
        } else if starved || (wary.is_some() && round.queue > round.usual() * FOREIGN_QUEUE) {
            // A drain is not even needed: the competitor may just then have backed off.
            Suspicion::Certain
        } else {
            Suspicion::Suspected
        };
        Judgement { cut, suspicion }
    }

    fn note_rate(&mut self, now: Instant, bandwidth: f64) -> f64 {
        let before = self.rate.unwrap_or(bandwidth);
        let rate = before + RATE_GAIN * (bandwidth - before);
        self.rate = Some(rate);
        self.recent_rate.push(now.saturating_duration_since(self.start).as_nanos() as u64, rate);
        rate
    }

    fn weigh(&mut self, round: &Round, round_trips: f64) {
        if round.queue > round.usual().mul_f64(PRESSURE_QUEUE) {
            self.pressure += round_trips;
        } else if round.queue < round.usual() {
            self.pressure = (self.pressure - round_trips).max(0.0);
        }
    }

    /// (whether to cut now, whether the last cut was futile)
    fn judge_cut(&mut self, round: &Round) -> (bool, bool) {
        if round.queue <= round.usual() * CUT_QUEUE {
            self.cut = None;
            return (false, false);
        }
        match &mut self.cut {
            Some(cut) if cut.rounds < CUT_ROUNDS => {
                cut.rounds += 1;
                return (false, false);
            }
            Some(cut) if round.queue > cut.queue.mul_f64(CUT_EFFECT) => return (false, true),
            _ => {}
        }
        self.cut = Some(Cut { queue: round.queue, rounds: 0 });
        self.pressure += CUT_PRESSURE;
        (true, false)
    }
}

/// CUBIC's constants.
const C: f64 = 0.4;
const BETA: f64 = 0.7;
/// Growth per round at most: half as much again, as the RFC bounds it.
const GROWTH_MAX: f64 = 1.5;
/// Growth per round of the search; slow start would lose half a window to find out.
const SEARCH_GROWTH: f64 = 1.2;
/// The search ends at the first loss at which we have this part of the path...
const SEARCH_SHARE: f64 = 1.0 / 3.0;
/// ... or at the last of so many losses. A loss makes room, since everyone gives up three tenths and takes many seconds to
/// come back for them; a flow that came late and got little can use it.
const SEARCH_LOSSES: u32 = 3;
/// So many tests in a row must find nobody: after a loss, a competitor may leave the queue empty for a moment.
const PASSES: u32 = 2;
/// A contest that begins soon after another one shows that the last tests were wrong, and wants twice as many, up to this.
const PASSES_MAX: u32 = 8;
/// A queue that was so many times what we held of it went because others stood aside at the same moment. Only our kind does.
const JOINT: f64 = 2.0;

/// A CUBIC window in bytes.
#[derive(Debug, Clone)]
pub(super) struct CompetitiveMode {
    window: f64,
    window_max: f64,
    /// What Reno would have by now: on short paths the cubic curve is slower than that, and CUBIC takes the larger.
    friendly: f64,
    reduced_at: Instant,
    /// Losses until the search is over: how much there is to take is not known yet.
    search_losses: u32,
    /// Tests that must find nobody, and how many of them are still to come.
    passes: u32,
    passes_left: u32,
    /// The last round, but for those of tests.
    last: Option<Round>,
}

impl CompetitiveMode {
    pub(super) fn new(now: Instant, window: f64, passes: u32) -> Self {
        Self {
            window,
            window_max: window,
            friendly: window,
            reduced_at: now,
            search_losses: SEARCH_LOSSES,
            passes,
            passes_left: passes,
            last: None,
        }
    }

    pub(super) fn window(&self) -> f64 {
        self.window
    }

    /// What there is to take is not looked for.
    pub(super) fn end_search(&mut self) {
        self.search_losses = 0;
    }

    fn is_searching(&self) -> bool {
        self.search_losses > 0
    }

    /// Follows the cubic curve. `sample`: what the round showed, unless it says more of the test before it.
    pub(super) fn on_round(&mut self, now: Instant, mtu: f64, sample: Option<Round>) {
        self.last = sample.or(self.last);
        if self.is_searching() {
            self.window = (self.window * SEARCH_GROWTH).min(self.bound(mtu));
            return;
        }
        let packets_max = self.window_max / mtu;
        let k = (packets_max * (1.0 - BETA) / C).cbrt();
        let t = now.saturating_duration_since(self.reduced_at).as_secs_f64();
        let cubic = (C * (t - k).powi(3) + packets_max) * mtu;
        // The packets per round that keep Reno's average at this beta.
        self.friendly += 3.0 * (1.0 - BETA) / (1.0 + BETA) * mtu;
        let window = cubic.max(self.friendly).clamp(self.window, self.window * GROWTH_MAX);
        self.window = window.min(self.bound(mtu));
    }

    /// What arrives in a round trip is in flight, and what one acknowledgement waits for; of much more than that, the rest is
    /// only lost, whatever losses are taken for.
    fn bound(&self, mtu: f64) -> f64 {
        let Some(last) = self.last.filter(|last| last.rate > 0.0) else { return f64::MAX };
        GROWTH_MAX * last.rate * last.standing.as_secs_f64() + f64::from(ACK_EVERY) * mtu
    }

    /// A loss above the path's own: at most one reduction for what was sent before the last one. `share` is our part of
    /// the path.
    pub(super) fn on_loss(&mut self, now: Instant, sent: Instant, share: f64) {
        if sent <= self.reduced_at {
            return;
        }
        self.reduced_at = now;
        self.search_losses = if share < SEARCH_SHARE { self.search_losses.saturating_sub(1) } else { 0 };
        self.window_max = self.window;
        self.window *= BETA;
        self.friendly = self.window;
    }

    /// A test found nobody. Says whether that is enough to end competitive mode. `capacity`: of the whole path, in
    /// bytes per second; `target`: the queue that our kind holds.
    pub(super) fn on_quiet(&mut self, capacity: f64, target: Duration) -> bool {
        let ours = Duration::from_secs_f64(self.window / capacity.max(1.0));
        let joint = self.last.is_some_and(|last| last.queue > (ours + target).mul_f64(JOINT));
        self.passes_left = if joint { 0 } else { self.passes_left.saturating_sub(1) };
        self.passes_left == 0
    }

    /// A test found the competitor.
    pub(super) fn on_foreign(&mut self) {
        self.passes_left = self.passes;
    }
}

/// The finding of a test, while competitive mode is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CompetitionFinding {
    Stays,
    Gone,
    /// Nobody holds a queue any more, without a test: who fills queues leaves none empty for longer than a drain of his.
    PathEmpty,
}

/// Round trips that a round took, of at least [`PRESSURE_RTT`].
fn rounds_of(model: &PathModel, now: Instant) -> f64 {
    let span = now.saturating_duration_since(model.samples.started);
    let round_trip = (model.round.min_rtt + model.round.queue).max(PRESSURE_RTT);
    span.as_secs_f64() / round_trip.as_secs_f64()
}

/// Competitive mode, as an experiment: on while a competitor is there.
#[derive(Debug, Clone)]
pub(super) struct Competition {
    pub(super) competitors: Competitors,
    /// On the last round of cruising.
    pub(super) judgement: Judgement,
    mode: Option<CompetitiveMode>,
    /// Rounds of it without any queue, in a row.
    empty_rounds: f64,
    /// Tests in a row that must find nobody to end it.
    passes: u32,
    ended: Option<Instant>,
}

impl Competition {
    pub(super) fn new(now: Instant) -> Self {
        let judgement = Judgement { cut: false, suspicion: Suspicion::None };
        Self {
            competitors: Competitors::new(now),
            judgement,
            mode: None,
            empty_rounds: 0.0,
            passes: PASSES,
            ended: None,
        }
    }

    pub(super) fn is_on(&self) -> bool {
        self.mode.is_some()
    }

    /// What arrived in the last round of competitive mode, in bytes per second.
    pub(super) fn last_rate(&self) -> Option<f64> {
        self.mode.as_ref()?.last.map(|last| last.rate).filter(|&rate| rate > 0.0)
    }

    /// Begins. Says whether it goes on with the last one, which ended too soon.
    pub(super) fn begin(&mut self, now: Instant, window: u64, searches: bool) -> bool {
        let is_relapse = self.ended.is_some_and(|ended| now.saturating_duration_since(ended) < MEMORY);
        self.passes = if is_relapse { (self.passes * 2).min(PASSES_MAX) } else { PASSES };
        let window = self.competitors.recent_window().max(window as f64);
        let mut mode = CompetitiveMode::new(now, window, self.passes);
        if !searches {
            mode.end_search();
        }
        self.mode = Some(mode);
        self.empty_rounds = 0.0;
        self.competitors.calm_down();
        is_relapse
    }

    pub(super) fn on_loss(&mut self, now: Instant, sent: Instant, share: f64) {
        if let Some(mode) = &mut self.mode {
            mode.on_loss(now, sent, share);
        }
    }

    /// Nobody holds the queue. Says whether competitive mode was on; it is remembered if `is_wary`.
    pub(super) fn end(&mut self, now: Instant, is_wary: bool) -> bool {
        let was_on = self.mode.take().is_some();
        if was_on {
            if is_wary {
                self.competitors.become_wary(now, None);
            }
            self.ended = Some(now);
        }
        was_on
    }

    /// The path may be another one.
    pub(super) fn stop(&mut self) {
        self.mode = None;
    }
}

impl Experiment for Competition {
    type Finding = CompetitionFinding;

    /// Judges a round of cruising: a competitor is certain.
    fn is_due(&mut self, model: &PathModel, at: &Moment) -> bool {
        let (round_trips, is_full) = (rounds_of(model, at.now), model.bandwidth.is_full());
        self.judgement = self.competitors.on_round(at.now, &model.round, round_trips, is_full);
        if model.is_without(Mechanism::Competitors) {
            self.judgement.suspicion = Suspicion::None;
        }
        self.judgement.suspicion == Suspicion::Certain
    }

    /// Bandwidth that is there without any queue is the flow's own whoever else is there; chance losses would take it from
    /// a small window.
    fn window(&self, model: &PathModel, _: &Moment) -> f64 {
        self.mode.as_ref().map_or(0.0, CompetitiveMode::window).max(model.product() * model.headroom())
    }

    /// Takes a round of competitive mode, or of the drain that has tested it.
    fn on_round(&mut self, model: &PathModel, at: &Moment) -> Option<CompetitionFinding> {
        let mode = self.mode.as_mut()?;
        let Some(drained) = at.drained else {
            // A test leaves little in flight, which would be the measure of what competitive mode may hold after it.
            let is_settled = at.phase_rounds > SETTLE_ROUNDS;
            mode.on_round(at.now, model.round.mtu, is_settled.then_some(model.round));
            self.empty_rounds = if model.is_queued() { 0.0 } else { self.empty_rounds + rounds_of(model, at.now) };
            return (self.empty_rounds > f64::from(EMPTY_ROUNDS)).then_some(CompetitionFinding::PathEmpty);
        };
        let is_over = match drained {
            DrainFinding::Foreign => {
                mode.on_foreign();
                false
            }
            DrainFinding::Quiet => mode.on_quiet(model.capacity().unwrap_or(f64::MAX), model.round.target),
            DrainFinding::Longer => true,
        };
        Some(if is_over { CompetitionFinding::Gone } else { CompetitionFinding::Stays })
    }
}

#[cfg(test)]
mod tests;
