//! The phases: what an experiment is, one table of what leads from one phase to the next, and the decisions at the end of each
//! round.

use std::time::Instant;

use super::compete::{Pressure, Starvation, Vacancy};
use super::config::{Mechanism, Phase};
use super::controller::PathController;
use super::cruise::{FLOOR_PACKETS, ProbeFinding, TrialFinding};
use super::drain::DrainPace;
use super::model::PathModel;
use super::model::loss::LossBlock;
use super::model::round::SETTLE_ROUNDS;
use super::model::rtt::DrainFinding;
use super::startup::{Startup, StartupEnd};

/// An experiment with the window: what is sent while it runs shows what the path does not show by itself.
pub(super) trait Experiment {
    type Finding;

    /// Whether it is to begin.
    fn is_due(&mut self, model: &PathModel, at: &Moment) -> bool;

    /// Bytes in flight while it runs.
    fn window(&self, model: &PathModel, at: &Moment) -> f64;

    /// What it has found at the end of a round; nothing while it goes on.
    fn on_round(&mut self, model: &PathModel, at: &Moment) -> Option<Self::Finding>;
}

/// What an experiment goes by, besides the model.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub(super) now: Instant,
    pub(super) phase: Phase,
    /// Rounds since the present phase, probe or trial began.
    pub(super) phase_rounds: u32,
    pub(super) window: u64,
    /// The queue budget in it.
    pub(super) budget: f64,
    /// Competitive mode is on, also while a drain tests whether it still need be.
    pub(super) is_contested: bool,
    /// Losses have cut the share that it holds.
    pub(super) is_cut: bool,
    /// The block of packets that ended with the round.
    pub(super) block: Option<LossBlock>,
}

/// What ends a phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PhaseEnd {
    /// Nothing arrives any more.
    Outage,
    /// Start-up has found the limit.
    PathFull,
    /// It is time to look for the bare round trip, or the queue does not obey.
    DrainDue,
    /// A queue stays that is not ours.
    Competitor,
    /// No queue stays but ours.
    QueueOurs,
    /// Whoever held the queue is gone, and with him most of what was sent.
    PathEmpty,
}

impl Phase {
    /// The table of phases.
    fn after(self, end: PhaseEnd) -> Self {
        match (self, end) {
            (_, PhaseEnd::Outage) | (Self::Cruise | Self::Contested, PhaseEnd::PathEmpty) => Self::Startup,
            (Self::Startup, PhaseEnd::PathFull) | (Self::Cruise | Self::Contested, PhaseEnd::DrainDue) => Self::Drain,
            (Self::Drain, PhaseEnd::QueueOurs) => Self::Cruise,
            (Self::Drain | Self::Cruise, PhaseEnd::Competitor) => Self::Contested,
            (phase, _) => phase,
        }
    }
}

impl PathController {
    pub(super) fn turn(&mut self, now: Instant, end: PhaseEnd) {
        (self.phase, self.phase_rounds) = (self.phase.after(end), 0);
        match self.phase {
            Phase::Startup => self.enter_startup(now),
            Phase::Drain => self.enter_drain(now),
            Phase::Cruise => self.enter_cruise(),
            Phase::Contested => self.enter_contested(now),
        }
        self.publish_pace();
    }

    pub(super) fn moment(&self, now: Instant) -> Moment {
        Moment {
            now,
            phase: self.phase,
            phase_rounds: self.phase_rounds,
            window: self.window,
            budget: self.budget.bytes(),
            is_contested: self.competition.is_on(),
            is_cut: self.competition.is_cut(),
            block: None,
        }
    }

    pub(super) fn on_round(&mut self, now: Instant) {
        match self.phase {
            Phase::Startup => self.on_startup_round(now),
            Phase::Drain => self.on_drain_round(now),
            Phase::Cruise => self.on_cruise_round(now),
            Phase::Contested => self.on_contested_round(now),
        }
    }

    // ---- start-up ----

    fn on_startup_round(&mut self, now: Instant) {
        let at = self.moment(now);
        let Some(end) = self.startup.on_round(&self.model, &at) else { return };
        if end == StartupEnd::Flood {
            self.model.believe_round();
        }
        self.leave_startup(now);
    }

    pub(super) fn leave_startup(&mut self, now: Instant) {
        self.startup.resume.retreat(now);
        self.turn(now, PhaseEnd::PathFull);
    }

    fn enter_startup(&mut self, now: Instant) {
        self.end_competition();
        self.model.bandwidth.set_not_full();
        self.startup = Startup::new(None);
        self.start_round(now);
    }

    // ---- drain ----

    pub(super) fn drain_if_due(&mut self, now: Instant) {
        let at = self.moment(now);
        if self.drain.is_due(&self.model, &at) {
            self.turn(now, PhaseEnd::DrainDue);
        }
    }

    fn enter_drain(&mut self, now: Instant) {
        if let Some(rate) = self.competition.last_rate() {
            // All that wait in a full queue get the whole path together; the best of several rounds would be too much for it.
            self.model.bandwidth.believe(self.model.rounds, rate);
        }
        self.drain.begin(now, self.model.min_rtt());
        self.probe.stop();
        self.model.loss.discard_block();
        self.start_round(now);
    }

    fn on_drain_round(&mut self, now: Instant) {
        self.phase_rounds += 1;
        let (was_drained, at) = (self.model.is_drained(), self.moment(now));
        let Some(drained) = self.drain.on_round(&self.model, &at) else { return };
        let found = self.model.on_drained(&drained);
        if self.drain.is_much_shorter(self.model.min_rtt()) {
            self.budget.empty();
        }
        self.drain.plan(&self.model, &at);
        if found == DrainFinding::Slower {
            self.model.believe_round();
            self.budget.empty();
            self.drain.plan_at(now, DrainPace::Unrest, self.model.min_rtt());
        }
        if found == DrainFinding::Foreign && !self.is_without(Mechanism::CompetitiveMode) {
            self.turn(now, PhaseEnd::Competitor);
            return;
        }
        if !was_drained {
            // Start-up ends here, and the whole target is a better first guess than nothing.
            self.budget.fill(&self.model.round);
        }
        self.turn(now, PhaseEnd::QueueOurs);
    }

    // ---- cruise ----

    fn enter_cruise(&mut self) {
        self.competition.on_our_kind();
        self.end_competition();
        self.pressure = Pressure::default();
        self.starvation = Starvation::default();
        self.vacancy = Vacancy::default();
    }

    fn end_competition(&mut self) {
        if self.competition.end() {
            self.budget.empty();
        }
    }

    fn on_cruise_round(&mut self, now: Instant) {
        self.budget.answer_marks(self.model.is_queue_marked());
        if self.model.samples.app_limited {
            return;
        }
        self.phase_rounds += 1;
        if self.model.is_flood() {
            // A queue that is full all the time looks like a longer path, and the best of many rounds like our share of it.
            self.model.believe_round();
            self.budget.empty();
        }
        if self.model.bandwidth.is_policed() && self.model.is_loss_unusual() {
            // Holds at what a policer lets through, and goes on from there by a little each round.
            self.model.believe_round();
            self.budget.set_ceiling(FLOOR_PACKETS * self.model.mtu as f64, false);
        }
        // The queue of the first rounds is what the probe or the drain before them left.
        if !self.probe_round(now) && self.phase_rounds > SETTLE_ROUNDS {
            self.judge_queue(now);
        }
    }

    fn judge_queue(&mut self, now: Instant) {
        let at = self.moment(now);
        let is_expected = self.competition.is_expected_back(now);
        let is_watched = !self.is_without(Mechanism::Pressure);
        let is_pressed = self.pressure.on_round(&self.model, now, is_expected) && is_watched;
        let is_starved = self.starvation.on_round(&self.model) && is_watched;
        let is_shown = self.competition.is_due(&self.model, &at)
            || is_starved
            || is_pressed && self.competition.was_on_lately(now);
        if is_shown && !self.is_without(Mechanism::CompetitiveMode) {
            self.turn(now, PhaseEnd::Competitor);
            return;
        }
        if is_pressed {
            self.drain.plan_at(now, DrainPace::Unrest, self.model.min_rtt());
        }
        if self.vacancy.on_round(&self.model, now) {
            self.turn(now, PhaseEnd::PathEmpty);
            return;
        }
        self.drain.follow(now, &self.model);
        if self.is_without(Mechanism::QueueBudget) {
            self.budget.fill(&self.model.round);
        } else {
            self.budget.on_round(&self.model.round);
        }
    }

    /// Runs the probe. Says whether one is under way.
    fn probe_round(&mut self, now: Instant) -> bool {
        let at = self.moment(now);
        if !self.probe.is_running() {
            let is_due = self.probe.is_due(&self.model, &at);
            let begins = is_due && !self.trial.is_running() && self.pressure.is_none();
            if begins {
                self.probe.begin(&self.model);
            }
            return begins;
        }
        match self.probe.on_round(&self.model, &at) {
            None => true,
            Some(ProbeFinding::Room(rate)) => {
                self.model.on_probed(rate);
                true
            }
            Some(ProbeFinding::Nothing) => {
                self.phase_rounds = 0;
                false
            }
        }
    }

    /// Judges the losses of the round, and runs the loss trial.
    pub(super) fn judge_losses(&mut self, now: Instant) {
        if self.competition.is_on() {
            // Packets that a full queue drops are not the path's loss: with head-room for them the flow would send ever
            // more.
            self.model.loss.discard_block();
            return;
        }
        let Some(block) = self.model.loss.end_round(now, self.model.mtu) else { return };
        if self.phase != Phase::Cruise {
            if let Some(budget) = self.trial.stop() {
                self.budget.restore(budget);
            }
        } else if !self.is_without(Mechanism::Trial) {
            self.trial_round(&Moment { block: Some(block), ..self.moment(now) }, &block);
        }
    }

    fn trial_round(&mut self, at: &Moment, block: &LossBlock) {
        if self.trial.is_due(&self.model, at) {
            let before = self.trial.begin(&self.model, at, block);
            self.budget.withhold(self.model.mtu as f64);
            if !before.has_queue {
                // The best of some rounds may be far above what a bucket lets through.
                self.model.believe_round();
            }
            return;
        }
        match self.trial.on_round(&self.model, at) {
            None => return,
            Some(TrialFinding::Overflow(before)) => {
                self.budget.set_ceiling((before.budget / 2.0).max(0.0), before.has_queue);
                if !before.has_queue && !self.is_without(Mechanism::Policer) {
                    // None ever will stand: a policer's bucket was empty, and each packet beyond its rate is dropped.
                    self.model.bandwidth.set_policed();
                    self.model.believe_round();
                }
            }
            Some(TrialFinding::Path(before)) => self.budget.restore(before.budget),
        }
        self.model.on_tried(at.now, block.share);
        self.phase_rounds = 0;
    }

    // ---- contested ----

    fn enter_contested(&mut self, now: Instant) {
        if self.competition.is_on() {
            self.competition.on_tested();
            return;
        }
        self.competition.begin(self.window, self.model.capacity(), self.model.bandwidth.get());
        self.model.bandwidth.set_not_full();
        self.drain.plan(&self.model, &self.moment(now));
    }

    fn on_contested_round(&mut self, now: Instant) {
        self.phase_rounds += 1;
        if let Some(end) = self.competition.on_round(&self.model, &self.moment(now)) {
            self.turn(now, end);
        }
    }
}

#[cfg(test)]
mod tests;
