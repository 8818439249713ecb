//! The controller itself: what a round is made of, and what all phases know.

mod callbacks;
mod config;
mod drain;
mod model;
mod phases;
mod window;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::trace;

use super::ack_aggregation::AckAggregation;
use super::bandwidth::Bandwidth;
use super::careful_resume::{CarefulResume, LossCause};
use super::competitive_mode::{CompetitiveMode, TestTrust};
use super::competitors::Competitors;
use super::jitter::JitterFilter;
use super::loss::{LossBlock, LossMeter};
use super::min_rtt::MinRttFilter;
use super::probe::Prober;
use super::probe_rtt::ProbeRttSchedule;
use super::queue_budget::{QueueBudget, Round, base_target};
use super::rate::{RateSampler, Sample};
use super::round::RoundSamples;
use super::startup::Startup;
use super::state::{PathSnapshot, Phase};
use super::trial::{Before, LossTrials, TrialOutcome};
use super::without::Mechanism;
pub use config::ControllerConfig;
use drain::Drains;
use phases::{CALM_ROUNDS, SETTLE_ROUNDS};
use window::INITIAL_PACKETS;

/// A flow that gets less of the path than this is not alone.
const SHARED: f64 = 0.7;

/// The rate model; see the [module documentation](super).
#[derive(Debug, Clone)]
pub struct PathController {
    config: Arc<ControllerConfig>,
    mtu: u64,
    window: u64,
    phase: Phase,
    /// Rounds since the connection began, and since the present phase, probe or trial did.
    rounds: u64,
    phase_rounds: u32,
    last_sent_packet: u64,
    /// Bytes of the first flight that are still to be sent.
    first_flight_left: u64,
    samples: RoundSamples,
    jitter_filter: JitterFilter,
    ack_aggregation: AckAggregation,
    sampler: RateSampler,
    bandwidth: Bandwidth,
    min_rtt_filter: Option<MinRttFilter>,
    loss: LossMeter,
    startup: Startup,
    resume: CarefulResume,
    budget: QueueBudget,
    prober: Prober,
    trials: LossTrials,
    competitors: Competitors,
    drains: Drains,
    competitive: Option<CompetitiveMode>,
    trust: TestTrust,
}

impl PathController {
    fn new(config: Arc<ControllerConfig>, now: Instant, mtu: u16) -> Self {
        let mtu = u64::from(mtu);
        let resume = CarefulResume::new(config.past.filter(|_| !config.without.has(Mechanism::CarefulResume)));
        let clock = config.clock.filter(|_| !config.without.has(Mechanism::ProbeRttSchedule));
        let (at, time) = clock.unwrap_or((now, Duration::ZERO));
        Self {
            config,
            mtu,
            window: INITIAL_PACKETS * mtu,
            phase: Phase::Startup,
            rounds: 0,
            phase_rounds: 0,
            last_sent_packet: 0,
            first_flight_left: 0,
            samples: RoundSamples::new(now, 0, 0),
            jitter_filter: JitterFilter::new(),
            ack_aggregation: AckAggregation::new(),
            sampler: RateSampler::new(now),
            bandwidth: Bandwidth::new(),
            min_rtt_filter: None,
            loss: LossMeter::new(now),
            startup: Startup::new(),
            resume,
            budget: QueueBudget::default(),
            prober: Prober::new(),
            trials: LossTrials::new(now),
            competitors: Competitors::new(now),
            drains: Drains::new(now, ProbeRttSchedule::new(at, time)),
            competitive: None,
            trust: TestTrust::new(),
        }
    }

    /// Whether a bench has switched this off.
    fn is_without(&self, mechanism: Mechanism) -> bool {
        self.config.without.has(mechanism)
    }

    fn round_rate(&self, now: Instant) -> f64 {
        self.samples.rate(now, self.sampler.delivered())
    }

    fn on_sample(&mut self, now: Instant, sample: &Sample) {
        let whole_rounds = !self.is_without(Mechanism::WholeRounds);
        let min_rtt_filter = self.min_rtt_filter.get_or_insert_with(|| MinRttFilter::new(now, sample.rtt));
        min_rtt_filter.on_sample(sample.rtt);
        if !whole_rounds {
            min_rtt_filter.on_round(now, sample.rtt, Duration::ZERO);
        }
        self.samples.on_rtt(sample.rtt);
        self.jitter_filter.on_rtt(sample.rtt, self.sampler.delivered(), self.mtu);
        self.samples.app_limited |= sample.app_limited;
        if !sample.app_limited || sample.rate > self.bandwidth.get() {
            self.bandwidth.on_sample(self.rounds, sample.rate);
        }
    }

    fn start_epoch(&mut self, now: Instant) {
        self.samples = RoundSamples::new(now, self.last_sent_packet, self.sampler.delivered());
    }

    fn on_epoch(&mut self, now: Instant) {
        self.rounds += 1;
        self.bandwidth.set_uneven(self.is_aggregating() || self.is_without(Mechanism::Share));
        let (standing, jitter) = (self.standing_rtt(), self.jitter());
        if let Some(min_rtt_filter) = &mut self.min_rtt_filter {
            min_rtt_filter.on_round(now, standing, jitter);
        }
        let round = self.round();
        self.trace(&round);
        if self.competitive.is_some() {
            // Packets that a full queue drops are not the path's loss: with head-room for them the flow would send ever
            // more.
            self.loss.discard_block();
        } else if let Some(block) = self.loss.end_round(now, self.mtu) {
            self.on_loss_block(now, &block);
        }
        self.note_share(now, &round);
        match self.phase {
            Phase::Startup => self.on_startup_round(now),
            Phase::Drain => self.on_drain_round(now, &round),
            Phase::Cruise => self.on_cruise_round(now, &round),
            Phase::Contested => self.on_contested_round(now, &round),
        }
        self.publish();
        self.ack_aggregation.on_round(self.samples.mean_rtt(), self.samples.low_rtt());
        self.start_epoch(now);
    }

    /// One line a round, in debug builds only: on short paths there are thousands a second.
    fn trace(&self, round: &Round) {
        let trains = self.sampler.train_rates();
        let (rounds, window, phase, app_limited) = (self.rounds, self.window, self.phase, self.samples.app_limited);
        let (budget, base_loss, min_rtt) = (self.budget.bytes(), self.loss.base(), self.min_rtt());
        let jitter = self.jitter();
        trace!(rounds, ?jitter, ?phase, window, ?round, ?min_rtt, budget, base_loss, ?trains, app_limited, "round");
    }

    /// Takes the round's own delivery rate, unless it is one that a drain, a probe or a trial has made.
    fn note_share(&mut self, now: Instant, round: &Round) {
        let settled = self.phase == Phase::Cruise && self.phase_rounds >= SETTLE_ROUNDS && !self.trials.is_running();
        let rate = self.round_rate(now);
        if settled && rate > 0.0 && !self.samples.app_limited {
            self.bandwidth.on_round(self.rounds, rate, round.queue > round.target / 2);
        }
    }

    fn on_loss_block(&mut self, now: Instant, block: &LossBlock) {
        if self.phase != Phase::Cruise {
            if let Some(budget) = self.trials.stop() {
                self.budget.restore(budget);
            }
            return;
        }
        if self.is_without(Mechanism::Trial) {
            return;
        }
        let least = self.min_rtt_filter.as_ref().map_or(Duration::ZERO, MinRttFilter::least);
        let before = Before {
            budget: self.budget.bytes(),
            // Whoever comes late takes the queue of others for path: the shortest round trip of all tells.
            has_queue: self.bandwidth.is_queue_seen() || self.standing_rtt() > least + base_target(least) / 4,
            is_settled: self.phase_rounds > CALM_ROUNDS,
        };
        match self.trials.on_block(now, block, before) {
            TrialOutcome::Nothing => return,
            TrialOutcome::Begin => {
                self.budget.withhold(self.mtu as f64);
                if !before.has_queue {
                    // The best of some rounds may be far above what a bucket lets through.
                    self.bandwidth.believe(self.rounds, self.round_rate(now));
                }
                return;
            }
            TrialOutcome::Overflow(before) => {
                self.budget.set_ceiling((before.budget / 2.0).max(0.0));
                if !before.has_queue && !self.is_without(Mechanism::Policer) {
                    // None ever will stand: a policer's bucket was empty, and each packet beyond its rate is dropped.
                    self.bandwidth.set_policed();
                    self.bandwidth.believe(self.rounds, self.round_rate(now));
                }
            }
            TrialOutcome::Path(before) => self.budget.restore(before.budget),
        }
        // Below the product there was no queue to overflow: what was still lost is the path's own loss.
        self.loss.accept(now, block.share);
        self.phase_rounds = 0;
    }

    /// The losses of a flight too large for the path are not the path's loss: head-room for them would fill it up.
    fn note_loss(&mut self, now: Instant, sent: Instant, bytes: u64) {
        match self.resume.on_loss(now, sent, bytes) {
            LossCause::Path => {
                self.loss.on_loss(bytes);
                self.samples.lost += bytes;
            }
            LossCause::Unmasked => {
                self.loss.discard_block();
                self.samples.lost = 0;
            }
            LossCause::Flight => {}
        }
    }

    fn publish(&self) {
        self.config.state.publish(&PathSnapshot {
            bandwidth: self.bandwidth.get() as u64,
            min_rtt: self.min_rtt(),
            rtt: self.samples.min_rtt(),
            loss: self.loss.share(),
            window: self.window,
            phase: self.phase,
        });
    }
}
