//! The controller itself: quinn's callbacks, and what is done at the end of each round.

use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};

use quinn_proto::RttEstimator;
use quinn_proto::congestion::{Controller, ControllerFactory, ControllerMetrics};
use tracing::trace;

use super::compete::{Competition, Pressure, Starvation, Vacancy};
use super::config::{ControllerConfig, Mechanism, PastPath, PathSnapshot, PathState, Phase};
use super::cruise::{LossTrial, Prober, QueueBudget};
use super::drain::{Drain, ProbeRttSchedule};
use super::model::round::{BURST_PACKETS, Round, SETTLE_ROUNDS};
use super::model::{PathModel, SHARED};
use super::phases::{Experiment, PhaseEnd};
use super::startup::{CarefulResume, LossCause, Startup};
use crate::transport::limits::{ACK_EVERY, ACK_EVERY_LOOPBACK, INITIAL_RTT, MTU_JUMBO};

/// [`SHARED`] of the rate of the flight that found the queue is believed to be ours to keep. Where another flow runs, ours has
/// pushed it aside for the moment, and one that starts with all of that does not give it back for many seconds; on an empty path
/// the samples of the next rounds show the rest. On longer paths the first flight, which does not grow with them any more, pushes
/// others aside for less of a round trip, and what is missing would take longer to be found: 10 Mbit/s at 300 ms and 10 % loss
/// carried 93 % of it for the first quarter of a minute, and not 97.
const FULL_FLIGHT_RTT: Duration = Duration::from_millis(250);

/// Packets in flight before the first ACK, on a path of [`INITIAL_RTT`]: a queue of half a second at 2 Mbit/s, of three
/// quarters of the round trip at 10 Mbit/s. They go with the round trip, up to twice as many, so that their rate (which the
/// pacer holds) is the same on all paths: doubling costs nothing on short ones, and a burst does.
const INITIAL_PACKETS: u64 = 96;
/// The first flight leaves so many times as fast as its window would: in a fifth of the round trip. The rest of it is for
/// what its answers earn. A slow path queues it either way.
const FIRST_PACE: u64 = 4;
/// The least window. quinn sends while in flight + one packet < window, so this holds what one acknowledgement waits for and
/// a packet that may be lost of it; with less, each would wait for its timer.
const WINDOW_MIN_PACKETS: u64 = ACK_EVERY as u64 + 3;
/// The same within one machine: two acknowledgements' worth, or each would wait for its timer, which is a hundred round
/// trips there. There is no link whose queue it could fill.
const WINDOW_MIN_PACKETS_LOCAL: u64 = 2 * (ACK_EVERY_LOOPBACK as u64 + 1);

/// The rate model; see the [module documentation](super).
#[derive(Debug, Clone)]
pub struct PathController {
    config: Arc<ControllerConfig>,
    pub(super) model: PathModel,
    pub(super) phase: Phase,
    /// Rounds since the present phase, probe or trial began.
    pub(super) phase_rounds: u32,
    pub(super) window: u64,
    pub(super) last_sent_packet: u64,
    /// Bytes of the first flight that are still to be sent.
    pub(super) first_flight_left: u64,
    pub(super) startup: Startup,
    pub(super) drain: Drain,
    pub(super) budget: QueueBudget,
    pub(super) probe: Prober,
    pub(super) trial: LossTrial,
    pub(super) pressure: Pressure,
    pub(super) starvation: Starvation,
    pub(super) vacancy: Vacancy,
    pub(super) competition: Competition,
}

impl PathController {
    pub(super) fn new(config: Arc<ControllerConfig>, now: Instant, mtu: u16) -> Self {
        let mtu = u64::from(mtu);
        let past = config.past.filter(|_| !config.without.has(Mechanism::CarefulResume));
        let clock = config.clock.filter(|_| !config.without.has(Mechanism::ProbeRttSchedule));
        let (at, time) = clock.unwrap_or((now, Duration::ZERO));
        Self {
            model: PathModel::new(now, mtu, config.without),
            config,
            phase: Phase::Startup,
            phase_rounds: 0,
            window: INITIAL_PACKETS * mtu,
            last_sent_packet: 0,
            first_flight_left: 0,
            startup: Startup::new(past),
            drain: Drain::new(now, ProbeRttSchedule::new(at, time)),
            budget: QueueBudget::default(),
            probe: Prober::new(),
            trial: LossTrial::new(now),
            pressure: Pressure::default(),
            starvation: Starvation::default(),
            vacancy: Vacancy::default(),
            competition: Competition::default(),
        }
    }

    /// The live figures of the path.
    pub fn state(&self) -> &Arc<PathState> {
        &self.config.state
    }

    /// Whether a bench has switched this off.
    pub(super) fn is_without(&self, mechanism: Mechanism) -> bool {
        self.config.without.has(mechanism)
    }

    pub(super) fn start_round(&mut self, now: Instant) {
        self.model.start_round(now, self.last_sent_packet);
    }

    fn end_round(&mut self, now: Instant) {
        self.model.end_round(now);
        // A drain that begins now begins another round.
        let (lossless_rtt, rtt) = (self.model.lossless_rtt(), self.model.samples.min_rtt());
        self.trace();
        self.judge_losses(now);
        self.note_share();
        self.on_round(now);
        if self.phase != Phase::Drain {
            self.drain.note(lossless_rtt, self.window);
        }
        self.publish(rtt);
        self.start_round(now);
    }

    /// One line a round, in debug builds only: on short paths there are thousands a second.
    fn trace(&self) {
        let (rounds, trains, base_loss) = (self.model.rounds, self.model.sampler.train_rates(), self.model.loss.base());
        let (window, phase, app_limited) = (self.window, self.phase, self.model.samples.app_limited);
        let (budget, round) = (self.budget.bytes(), &self.model.round);
        trace!(rounds, ?phase, window, ?round, budget, base_loss, ?trains, app_limited, "round");
    }

    /// Takes the round's own delivery rate, unless it is one that a drain, a probe or a trial has made.
    fn note_share(&mut self) {
        let Round { rate, queue, target, .. } = self.model.round;
        if self.is_steady() && !self.trial.is_running() && rate > 0.0 && !self.model.samples.app_limited {
            self.model.bandwidth.on_round(self.model.rounds, rate, queue > target / 2);
        }
    }

    /// Whether a round's queue and rate are those of cruising.
    fn is_steady(&self) -> bool {
        self.phase == Phase::Cruise && self.phase_rounds >= SETTLE_ROUNDS
    }

    /// The losses of a flight too large for the path are not the path's loss: head-room for them would fill it up.
    fn note_loss(&mut self, now: Instant, sent: Instant, bytes: u64) {
        match self.startup.resume.on_loss(now, sent, bytes) {
            LossCause::Path => {
                self.model.loss.on_loss(bytes);
                self.model.samples.lost += bytes;
            }
            LossCause::Unmasked => {
                self.model.loss.discard_block();
                self.model.samples.lost = 0;
            }
            LossCause::Flight => {}
        }
    }

    /// The window that gives the first flight its pace, since quinn makes its pace of the window.
    fn first_pace(&self) -> u64 {
        initial_packets(self.model.min_rtt()) * self.model.mtu * FIRST_PACE
    }

    /// The first round trip shows which window to begin with.
    fn begin_if_due(&mut self, now: Instant, rtt: Duration) {
        let at = self.moment(now);
        if self.startup.is_due(&self.model, &at) {
            self.first_flight_left = initial_packets(rtt) * self.model.mtu;
            self.window = self.startup.begin(now, rtt, self.first_flight_left);
        }
    }

    /// Takes the window that the answers to the latest flight have earned, and leaves when they show a queue.
    fn on_startup_acks(&mut self, now: Instant, app_limited: bool) {
        if !app_limited {
            self.window = self.window.max(self.startup.inputs(&self.model).earned() as u64);
        }
        if self.startup.is_queue_seen(now, self.model.jitter()) && !self.is_without(Mechanism::StartupQueue) {
            // Samples over a whole round trip have not caught up with a first flight that fills the path.
            if let Some(flight) = self.model.sampler.dispersion().filter(|_| !self.is_without(Mechanism::FlightShare)) {
                let share = if self.model.min_rtt() <= FULL_FLIGHT_RTT { SHARED } else { 1.0 };
                self.model.bandwidth.on_sample(self.model.rounds, share * flight.rate);
            }
            self.leave_startup(now);
        }
    }

    /// Begins anew after an outage: the path may be another one now. Its next round trip tells, as that of a handshake does.
    fn restart(&mut self, now: Instant) {
        let (bandwidth, min_rtt) = (self.model.bandwidth.get() as u64, self.model.min_rtt());
        let past = PastPath { bandwidth, min_rtt, age: Duration::ZERO };
        self.window = self.bounded(self.window / 2);
        self.model.forget();
        self.competition.end();
        self.turn(now, PhaseEnd::Outage);
        self.startup.resume = CarefulResume::new(Some(past).filter(|_| !self.is_without(Mechanism::CarefulResume)));
    }

    fn update_window(&mut self, now: Instant) {
        if self.model.min_rtt_filter.is_some() && self.model.bandwidth.is_known() {
            self.window = self.bounded(self.wanted_window(now) as u64);
        }
        self.publish_pace();
    }

    pub(super) fn publish_pace(&self) {
        self.config.state.set_pace(self.pace());
    }

    /// The pace at which packets are to leave one by one, in bytes per second. Not while competitive mode is tested: the bursts of
    /// that show what the path carries.
    fn pace(&self) -> Option<f64> {
        let is_paced = self.phase == Phase::Contested && !self.is_without(Mechanism::Pace);
        is_paced.then(|| self.competition.pace(&self.model, self.window))?
    }

    fn wanted_window(&self, now: Instant) -> f64 {
        let (model, at) = (&self.model, self.moment(now));
        match self.phase {
            Phase::Startup => self.startup.window(model, &at),
            Phase::Drain => self.drain.window(model, &at),
            Phase::Cruise if self.trial.is_running() => self.trial.window(model, &at),
            Phase::Cruise if self.probe.is_running() => self.probe.window(model, &at),
            Phase::Cruise => model.window(1.0, at.budget),
            Phase::Contested => self.competition.window(model, &at),
        }
    }

    fn bounded(&self, window: u64) -> u64 {
        // Above that, quinn switches its pacer off.
        window.clamp(self.least_window(), u32::MAX.into())
    }

    fn least_window(&self) -> u64 {
        // On no network are packets of that size tried.
        let is_local = self.model.mtu > u64::from(MTU_JUMBO);
        self.model.mtu * if is_local { WINDOW_MIN_PACKETS_LOCAL } else { WINDOW_MIN_PACKETS }
    }

    /// `rtt`: the shortest round trip of the round.
    fn publish(&self, rtt: Duration) {
        self.config.state.publish(&PathSnapshot {
            bandwidth: self.model.bandwidth.get() as u64,
            min_rtt: self.model.min_rtt(),
            rtt,
            loss: self.model.loss.share(),
            window: self.window,
            phase: self.phase,
        });
    }
}

/// Packets of the first flight on a path of that round trip.
pub(super) fn initial_packets(rtt: Duration) -> u64 {
    let share = rtt.as_secs_f64() / INITIAL_RTT.as_secs_f64();
    ((INITIAL_PACKETS as f64 * share) as u64).clamp(BURST_PACKETS.into(), 2 * INITIAL_PACKETS)
}

impl ControllerFactory for ControllerConfig {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        Box::new(PathController::new(self, now, current_mtu))
    }
}

impl Controller for PathController {
    fn on_sent(&mut self, now: Instant, bytes: u64, last_packet_number: u64) {
        self.first_flight_left = self.first_flight_left.saturating_sub(bytes);
        self.last_sent_packet = last_packet_number;
        self.model.sampler.on_sent(now, self.pace().is_some());
    }

    fn on_ack(&mut self, now: Instant, sent: Instant, bytes: u64, app_limited: bool, rtt: &RttEstimator) {
        if !self.is_without(Mechanism::AckDelay) {
            self.model.sampler.on_smoothed_rtt(rtt.get(), rtt.min());
        }
        self.begin_if_due(now, now.saturating_duration_since(sent));
        self.startup.resume.on_ack(now, bytes);
        self.model.sampler.on_ack(now, sent, bytes);
        self.config.state.count(bytes, app_limited);
        self.model.loss.on_ack(bytes);
        if self.phase == Phase::Startup && !app_limited {
            self.window += self.startup.inputs(&self.model).growth(self.window, bytes);
        }
    }

    fn on_end_acks(&mut self, now: Instant, in_flight: u64, app_limited: bool, largest_packet_num_acked: Option<u64>) {
        self.model.watch_for_aggregation(now, self.is_steady() && !app_limited);
        if let Some(sample) = self.model.sampler.on_end_acks(now, in_flight, app_limited) {
            self.model.on_sample(now, &sample);
            // Acknowledgements of single packets are held back, which is no queue.
            if self.phase == Phase::Startup && !app_limited {
                self.startup.on_rtt(sample.rtt);
            }
        }
        if self.phase == Phase::Startup {
            self.on_startup_acks(now, app_limited);
        }
        self.drain_if_due(now);
        if largest_packet_num_acked
            .is_some_and(|acked| self.model.samples.is_over(acked, self.drain.round_acks(self.phase)))
        {
            self.end_round(now);
        }
        self.update_window(now);
    }

    fn on_congestion_event(&mut self, now: Instant, sent: Instant, is_persistent_congestion: bool, lost_bytes: u64) {
        if is_persistent_congestion {
            // Everything sent for several timeouts is gone: an outage.
            self.restart(now);
            return;
        }
        self.note_loss(now, sent, lost_bytes);
        if self.phase == Phase::Startup {
            // Loss must not slow the doubling; a full queue shows in the round trip.
            self.window += lost_bytes;
        }
        // quinn reports a congestion mark as a loss of nothing.
        let is_mark = lost_bytes == 0;
        self.model.samples.marked |= is_mark;
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.model.mtu = u64::from(new_mtu);
        self.window = self.window.max(self.least_window());
    }

    fn window(&self) -> u64 {
        // The pace of the first flight is made of what is shown.
        if self.first_flight_left == 0 || self.is_without(Mechanism::FirstPace) {
            return self.window;
        }
        self.window.max(self.first_pace())
    }

    fn metrics(&self) -> ControllerMetrics {
        let mut metrics = ControllerMetrics::default();
        metrics.congestion_window = self.window;
        metrics.pacing_rate = Some((self.model.bandwidth.get() * 8.0) as u64);
        metrics
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }

    fn initial_window(&self) -> u64 {
        INITIAL_PACKETS * self.model.mtu
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}
