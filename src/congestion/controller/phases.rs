//! The phases: the decisions of each at the end of a round, and how one leads to the next.

use std::time::{Duration, Instant};

use super::window::initial_packets;
use super::{PathController, SHARED};
use crate::congestion::bandwidth::Bandwidth;
use crate::congestion::careful_resume::{CarefulResume, PastPath};
use crate::congestion::competitive_mode::{CompetitiveMode, CompetitiveRound};
use crate::congestion::competitors::Suspicion;
use crate::congestion::loss::is_flood;
use crate::congestion::probe::{ProbeStep, RoundSample};
use crate::congestion::queue_budget::Round;
use crate::congestion::startup::{Startup, StartupInputs};
use crate::congestion::state::Phase;
use crate::congestion::without::Mechanism;

/// Rounds after a drain or a probe until a round's queue and rate are those of cruising again.
pub(super) const SETTLE_ROUNDS: u32 = 2;
/// Rounds after a drain or a probe until the next probe: flows drain together, and shares move for some rounds.
pub(super) const CALM_ROUNDS: u32 = 12;
/// As [`SHARED`], under jitter, where the spacing of ACKs tells less and more is missed without probes.
const SHARED_JITTERY: f64 = 0.4;
/// The part of the rate of the flight that found the queue which is believed to be ours to keep. Where another flow runs,
/// ours has pushed it aside for the moment, and one that starts with all of that does not give it back for many seconds;
/// on an empty path the samples of the next rounds show the rest.
const FLIGHT_SHARE: f64 = 0.62;
/// On longer paths the first flight, which does not grow with them any more, pushes others aside for less of a round
/// trip, and what is missing would take longer to be found.
const FULL_FLIGHT_RTT: Duration = Duration::from_millis(250);

/// The queue budget of a flow at a policer's rate, which grows until something is lost. With less, the window would
/// shrink from round to round: quinn sends while a packet more fits, and an acknowledgement is due for several.
const POLICED_PACKETS: f64 = 3.0;

impl PathController {
    // ---- start-up ----

    /// The first round trip shows which window to begin with.
    pub(super) fn begin(&mut self, now: Instant, rtt: Duration) {
        let initial = initial_packets(rtt) * self.mtu;
        if let Some(bare) = self.resume.on_first_rtt(now, rtt, initial) {
            self.startup = Startup::on_known_path(bare);
        }
        self.window = initial.max(self.resume.window());
        self.first_flight_left = initial;
    }

    pub(super) fn known(&self) -> StartupInputs {
        StartupInputs {
            bandwidth: self.bandwidth.get(),
            min_rtt: self.min_rtt().as_secs_f64(),
            trains: self.startup.believed(self.train_rates()),
            flight: self.sampler.dispersion().filter(|_| !self.is_without(Mechanism::Dispersion)),
            leaps: !self.is_without(Mechanism::Leap),
        }
    }

    pub(super) fn on_startup_round(&mut self, now: Instant) {
        // The first flight is paced for an empty path: beside others, losing much of it tells nothing of what comes after.
        let is_flood = self.rounds > 1 && self.is_flood();
        if is_flood {
            self.bandwidth.believe(self.rounds, self.round_rate(now));
        }
        if self.startup.on_round(&self.samples, &self.known()) || is_flood {
            self.leave_startup(now);
        }
    }

    /// Takes the window that the answers to the latest flight have earned, and leaves when they show a queue.
    pub(super) fn on_startup_acks(&mut self, now: Instant, app_limited: bool) {
        if !app_limited {
            self.window = self.window.max(self.known().earned() as u64);
        }
        let is_queue_seen = self.startup.is_queue_seen(now, self.jitter());
        if is_queue_seen && !self.is_without(Mechanism::StartupQueue) {
            // Samples over a whole round trip have not caught up with a first flight that fills the path.
            if let Some(flight) = self.sampler.dispersion().filter(|_| !self.is_without(Mechanism::FlightShare)) {
                let share = if self.min_rtt() <= FULL_FLIGHT_RTT { FLIGHT_SHARE } else { 1.0 };
                self.bandwidth.on_sample(self.rounds, share * flight.rate);
            }
            self.leave_startup(now);
        }
    }

    fn leave_startup(&mut self, now: Instant) {
        self.resume.retreat(now);
        if let Some(min_rtt_filter) = &mut self.min_rtt_filter {
            min_rtt_filter.forget_drains();
        }
        self.start_drain(now);
    }

    /// Begins anew after an outage: the path may be another one now. Its next round trip tells, as that of a handshake does.
    pub(super) fn restart(&mut self, now: Instant) {
        let past = PastPath { bandwidth: self.bandwidth.get() as u64, min_rtt: self.min_rtt(), age: Duration::ZERO };
        self.phase = Phase::Startup;
        self.window = self.bounded(self.window / 2);
        self.min_rtt_filter = None;
        self.bandwidth = Bandwidth::new();
        self.sampler.forget_spacing();
        self.startup = Startup::new();
        self.resume = CarefulResume::new(Some(past).filter(|_| !self.is_without(Mechanism::CarefulResume)));
        self.competitive = None;
        self.loss.discard_block();
        self.start_epoch(now);
    }

    // ---- cruise ----

    pub(super) fn enter_cruise(&mut self, now: Instant) {
        self.phase = Phase::Cruise;
        self.phase_rounds = 0;
        if self.competitive.take().is_some() {
            if !self.is_without(Mechanism::LowerThreshold) {
                self.competitors.become_wary(now, None);
            }
            self.budget.empty();
            self.trust.on_end(now);
        }
        self.competitors.on_quiet();
    }

    pub(super) fn on_cruise_round(&mut self, now: Instant, round: &Round) {
        self.competitors.note_window(self.rounds, self.window);
        if self.samples.app_limited {
            return;
        }
        self.phase_rounds += 1;
        if self.is_flood() {
            // A queue that is full all the time looks like a longer path, and the best of many rounds like our share of it.
            self.bandwidth.believe(self.rounds, self.round_rate(now));
            self.budget.empty();
        }
        if self.bandwidth.is_policed() {
            self.on_policed_round(now);
        }
        // The queue of the first rounds is what the probe or the drain before them left.
        if self.probe_round(now, round) || self.phase_rounds <= SETTLE_ROUNDS {
            return;
        }
        let span = now.saturating_duration_since(self.samples.started);
        let mut judgement = self.competitors.on_round(now, round, span, self.bandwidth.is_full());
        judgement.cut &= !self.is_without(Mechanism::Cut);
        if self.is_without(Mechanism::Competitors) {
            judgement.suspicion = Suspicion::None;
        }
        // The last round alone says too little of a path that pauses.
        if !self.is_aggregating() && (judgement.cut || judgement.suspicion == Suspicion::Suspected) {
            self.bandwidth.believe(self.rounds, self.round_rate(now));
        }
        match judgement.suspicion {
            Suspicion::None if self.is_without(Mechanism::QueueBudget) => self.budget.fill(round),
            Suspicion::None => self.budget.on_round(round, !self.is_without(Mechanism::QueueBudgetProbe)),
            Suspicion::Suspected => {
                if !self.is_without(Mechanism::LowerThreshold) {
                    self.competitors.become_wary(now, Some(self.bandwidth.get()));
                }
                self.competitors.calm_down();
                self.start_drain(now);
            }
            Suspicion::Certain => self.start_competition(now),
        }
    }

    /// Holds at what a policer lets through, and goes on from there by a little each round.
    fn on_policed_round(&mut self, now: Instant) {
        let (lost, sent) = self.round_losses();
        if self.loss.is_unusual(lost, sent) {
            self.bandwidth.believe(self.rounds, self.round_rate(now));
            self.budget.set_ceiling(POLICED_PACKETS * self.mtu as f64);
        }
    }

    /// Whether there may be room on the path that only a probe finds. Beside others it finds what is theirs: they give way
    /// before a queue shows, and eight flows would take turns at having the path.
    fn is_room_likely(&self, jitter: Duration) -> bool {
        let alone = if jitter.is_zero() { SHARED } else { SHARED_JITTERY };
        self.train_rates().is_none_or(|(median, _)| self.bandwidth.get() >= alone * median)
    }

    /// Runs the probe. Says whether one is under way.
    fn probe_round(&mut self, now: Instant, round: &Round) -> bool {
        let jitter = self.jitter();
        let calm = self.bandwidth.is_full()
            && !self.is_without(Mechanism::Probe)
            && self.is_room_likely(jitter)
            && self.phase_rounds > CALM_ROUNDS
            && !self.trials.is_running()
            && self.competitors.is_calm();
        let shown = RoundSample { rate: self.round_rate(now), queue: round.queue, target: round.target, jitter };
        match self.prober.on_round(&shown, self.bandwidth.get(), calm) {
            ProbeStep::Idle => false,
            ProbeStep::Running => true,
            ProbeStep::Found(rate) => {
                self.bandwidth.raise(self.rounds, rate);
                if let Some(min_rtt_filter) = &mut self.min_rtt_filter
                    && !jitter.is_zero()
                {
                    min_rtt_filter.on_delivered(self.samples.standing_rtt().saturating_sub(jitter));
                }
                true
            }
            ProbeStep::Over => {
                self.phase_rounds = 0;
                false
            }
        }
    }

    // ---- contested ----

    pub(super) fn start_competition(&mut self, now: Instant) {
        if self.is_without(Mechanism::CompetitiveMode) {
            self.start_drain(now);
            return;
        }
        let window = self.competitors.recent_window().max(self.window as f64);
        let mut competitive = CompetitiveMode::new(now, window, self.trust.on_begin(now));
        if self.is_without(Mechanism::Search) {
            competitive.end_search();
        }
        self.competitive = Some(competitive);
        self.bandwidth.set_not_full();
        self.competitors.calm_down();
        self.enter_contested();
        self.drains.on_competition(now, self.trust.is_relapse(now));
        self.plan_drain(now);
    }

    pub(super) fn enter_contested(&mut self) {
        self.phase = Phase::Contested;
        self.phase_rounds = 0;
    }

    pub(super) fn on_contested_round(&mut self, now: Instant, round: &Round) {
        let sample =
            CompetitiveRound { rate: self.round_rate(now), queue: round.queue, rtt: self.samples.standing_rtt() };
        self.phase_rounds += 1;
        // A test leaves little in flight, which would be the measure of what competitive mode may hold after it.
        let is_settled = self.phase_rounds > SETTLE_ROUNDS;
        if let Some(competitive) = &mut self.competitive {
            competitive.on_round(now, round.mtu, is_settled.then_some(sample));
        }
    }

    /// Whether this round lost more than the path does. A congestion mark (no bytes) always says so.
    pub(super) fn is_congestion(&self, lost_bytes: u64) -> bool {
        let (lost, sent) = self.round_losses();
        lost_bytes == 0 || self.loss.is_unusual(lost, sent)
    }

    /// Whether this round lost more than any path does.
    fn is_flood(&self) -> bool {
        let (lost, sent) = self.round_losses();
        is_flood(lost, sent) && !self.is_without(Mechanism::Flood)
    }

    /// Lost packets of this round, and all of which something was heard in it.
    fn round_losses(&self) -> (f64, f64) {
        let mtu = self.mtu as f64;
        let lost = self.samples.lost as f64 / mtu;
        let acked = self.samples.acked(self.sampler.delivered()) as f64 / mtu;
        (lost, lost + acked)
    }
}
