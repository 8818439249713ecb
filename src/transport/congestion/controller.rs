//! The controller itself: callbacks in, a window out.

use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};

use quinn_proto::RttEstimator;
use quinn_proto::congestion::{Controller, ControllerFactory, ControllerMetrics};

use super::allowance::{Allowance, Round, queue_target};
use super::contest::Contest;
use super::filter::MaxFilter;
use super::loss::{LossMeter, Verdict};
use super::rate::{RateSampler, Sample};
use super::state::{PathSnapshot, PathState, Phase};

/// Packets in flight before the first ACK, on a path of [`INITIAL_RTT`] or more.
const INITIAL_PACKETS: u64 = 64;
/// On shorter paths the initial window shrinks with the round trip: doubling costs nothing there, a burst does.
const INITIAL_RTT: Duration = Duration::from_millis(20);
const INITIAL_PACKETS_MIN: u64 = 10;
/// The least window: quinn sends while in flight + one packet < window, so three packets, enough for an ACK of two.
const WINDOW_MIN_PACKETS: u64 = 4;
/// Above this quinn switches its pacer off (`window > u32::MAX`).
const WINDOW_MAX: u64 = u32::MAX as u64;
/// Rounds over which the best bandwidth sample counts.
const BANDWIDTH_ROUNDS: u64 = 8;
/// ACKs in a round at least, so that its shortest round trip is more than one sample.
const ROUND_ACKS: u32 = 8;
/// The last ACKs whose shortest round trip shows the queue in start-up, as in HyStart.
const STARTUP_ACKS: usize = 8;
/// Start-up ends at this queue: one sixteenth of the round trip...
const STARTUP_QUEUE_SHARE: f64 = 1.0 / 16.0;
/// ... but not for less than timers and bursts make by themselves.
const STARTUP_QUEUE_MIN: Duration = Duration::from_millis(4);
/// Start-up ends when bandwidth grew by less than this...
const STARTUP_GROWTH: f64 = 1.25;
/// ... in this many rounds.
const STARTUP_FLAT_ROUNDS: u32 = 3;
/// Window over product in start-up at most: 2/ln 2, what doubling per round needs (BBR).
const STARTUP_GAIN: f64 = 2.89;
/// A window below the product, to see the path's bare round trip.
const DRAIN_GAIN: f64 = 0.85;
/// One round to empty the queue, one to see it empty.
const DRAIN_ROUNDS: u32 = 2;
/// The shortest round trip is looked for again when it was not seen for so long (BBR's ten seconds)...
const MIN_RTT_SPAN: Duration = Duration::from_secs(10);
/// ... or this many round trips, so that drains cost little on long paths.
const MIN_RTT_ROUNDS: u32 = 30;
/// Rounds with a queue beyond [`CONTEST_QUEUE`] targets until we believe that it is not ours.
const CONTEST_ROUNDS: u32 = 16;
const CONTEST_QUEUE: f64 = 1.5;

/// What a connection's controller is given.
#[derive(Debug, Clone, Default)]
pub struct ControllerConfig {
    /// Where the controller writes its live figures.
    pub state: Arc<PathState>,
    /// Upper bound of the sending rate in bytes of UDP payload per second. It bounds the window to `cap × rtt`, so below a
    /// round trip of about a millisecond the least window of four packets may exceed it.
    pub cap: Option<u64>,
}

impl ControllerConfig {
    /// A controller without a bound that reports into `state`.
    pub fn new(state: Arc<PathState>) -> Self {
        Self { state, cap: None }
    }
}

impl ControllerFactory for ControllerConfig {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        Box::new(PathController::new(self, now, current_mtu))
    }
}

/// Shortest round trip and when it was last seen.
#[derive(Debug, Clone, Copy)]
struct MinRtt {
    value: Duration,
    seen: Instant,
}

/// What is gathered between two decisions: at least a round trip, at least [`ROUND_ACKS`].
#[derive(Debug, Clone)]
struct Epoch {
    last_packet: u64,
    acks: u32,
    min_rtt: Duration,
    app_limited: bool,
    started: Instant,
    delivered: u64,
}

/// The rate model; see the [module documentation](super).
#[derive(Debug, Clone)]
pub struct PathController {
    config: Arc<ControllerConfig>,
    mtu: u64,
    sampler: RateSampler,
    bandwidth: MaxFilter,
    loss: LossMeter,
    min_rtt: Option<MinRtt>,
    last_sent_packet: u64,
    rounds: u64,
    epoch: Epoch,
    phase: Phase,
    window: u64,
    allowance: Allowance,
    contest: Option<Contest>,
    squeezed: u32,
    /// Round trips of the last ACKs in start-up.
    recent: [Duration; STARTUP_ACKS],
    recent_len: usize,
    startup_best: f64,
    startup_flat: u32,
    drain_rounds: u32,
    /// Shortest round trip of the drain so far.
    drain_min: Duration,
}

impl PathController {
    fn new(config: Arc<ControllerConfig>, now: Instant, mtu: u16) -> Self {
        let mtu = u64::from(mtu);
        let epoch =
            Epoch { last_packet: 0, acks: 0, min_rtt: Duration::MAX, app_limited: false, started: now, delivered: 0 };
        Self {
            config,
            mtu,
            sampler: RateSampler::new(now),
            bandwidth: MaxFilter::new(BANDWIDTH_ROUNDS),
            loss: LossMeter::new(now),
            min_rtt: None,
            last_sent_packet: 0,
            rounds: 0,
            epoch,
            phase: Phase::Startup,
            window: INITIAL_PACKETS * mtu,
            allowance: Allowance::default(),
            contest: None,
            squeezed: 0,
            recent: [Duration::MAX; STARTUP_ACKS],
            recent_len: 0,
            startup_best: 0.0,
            startup_flat: 0,
            drain_rounds: 0,
            drain_min: Duration::MAX,
        }
    }

    fn bandwidth(&self) -> f64 {
        self.bandwidth.get().unwrap_or(0.0)
    }

    /// Bandwidth-delay product in bytes.
    fn product(&self) -> f64 {
        self.bandwidth() * self.min_rtt.map_or(0.0, |min| min.value.as_secs_f64())
    }

    /// Lost packets count as in flight for a round trip, so a full pipe needs this much more.
    fn headroom(&self) -> f64 {
        1.0 / (1.0 - self.loss.share())
    }

    fn on_sample(&mut self, now: Instant, sample: Sample) {
        match &mut self.min_rtt {
            Some(min) if sample.rtt > min.value => {}
            min => *min = Some(MinRtt { value: sample.rtt, seen: now }),
        }
        self.epoch.min_rtt = self.epoch.min_rtt.min(sample.rtt);
        self.epoch.acks += 1;
        self.epoch.app_limited |= sample.app_limited;
        if !sample.app_limited || sample.rate > self.bandwidth() {
            self.bandwidth.push(self.rounds, sample.rate);
        }
        if self.phase == Phase::Startup {
            self.recent[self.recent_len % STARTUP_ACKS] = sample.rtt;
            self.recent_len += 1;
        }
    }

    fn start_epoch(&mut self, now: Instant) {
        self.epoch = Epoch {
            last_packet: self.last_sent_packet,
            acks: 0,
            min_rtt: Duration::MAX,
            app_limited: false,
            started: now,
            delivered: self.sampler.delivered(),
        };
    }

    fn on_epoch(&mut self, now: Instant) {
        self.rounds += 1;
        let verdict = self.loss.end_round(now, self.mtu);
        let round = self.round(now, verdict);
        match self.phase {
            Phase::Startup => self.on_startup_round(now),
            Phase::Drain => self.on_drain_round(now, &round),
            Phase::Cruise => self.on_cruise_round(now, &round),
            Phase::Contested => self.on_contested_round(now, &round),
        }
        self.publish();
        self.start_epoch(now);
    }

    fn round(&self, _now: Instant, verdict: Verdict) -> Round {
        let min_rtt = self.min_rtt.map_or(Duration::ZERO, |min| min.value);
        Round {
            queue: self.epoch.min_rtt.saturating_sub(min_rtt),
            target: queue_target(min_rtt),
            product: self.product(),
            bandwidth: self.bandwidth(),
            mtu: self.mtu as f64,
            excess_loss: verdict == Verdict::Excess,
        }
    }

    // ---- start-up ----

    fn startup_queue_seen(&self) -> bool {
        let Some(min) = self.min_rtt else { return false };
        if self.recent_len < STARTUP_ACKS {
            return false;
        }
        let lowest = self.recent.iter().min().copied().unwrap_or(Duration::MAX);
        lowest > min.value + STARTUP_QUEUE_MIN.max(min.value.mul_f64(STARTUP_QUEUE_SHARE))
    }

    fn on_startup_round(&mut self, now: Instant) {
        if self.epoch.app_limited {
            return;
        }
        let best = self.bandwidth();
        if best >= self.startup_best * STARTUP_GROWTH {
            self.startup_best = best;
            self.startup_flat = 0;
        } else {
            self.startup_flat += 1;
        }
        if self.startup_flat >= STARTUP_FLAT_ROUNDS {
            self.leave_startup(now);
        }
    }

    fn leave_startup(&mut self, now: Instant) {
        self.start_drain(now);
        self.drain_min = self.min_rtt.map_or(Duration::MAX, |min| min.value);
    }

    fn start_startup(&mut self, now: Instant, window: u64) {
        self.phase = Phase::Startup;
        self.window = window.clamp(self.initial_window(), WINDOW_MAX);
        self.bandwidth.clear();
        self.recent_len = 0;
        self.startup_best = 0.0;
        self.startup_flat = 0;
        self.contest = None;
        self.loss.discard_block();
        self.start_epoch(now);
    }

    // ---- drain ----

    fn start_drain(&mut self, now: Instant) {
        self.phase = Phase::Drain;
        self.drain_rounds = 0;
        self.drain_min = Duration::MAX;
        self.loss.discard_block();
        self.start_epoch(now);
    }

    fn on_drain_round(&mut self, now: Instant, round: &Round) {
        self.drain_rounds += 1;
        self.drain_min = self.drain_min.min(self.epoch.min_rtt);
        if self.drain_rounds < DRAIN_ROUNDS {
            return;
        }
        self.min_rtt = Some(MinRtt { value: self.drain_min, seen: now });
        self.allowance.fill(round);
        self.phase = Phase::Cruise;
    }

    // ---- cruise ----

    fn min_rtt_is_stale(&self, now: Instant) -> bool {
        self.min_rtt
            .is_some_and(|min| now.saturating_duration_since(min.seen) > MIN_RTT_SPAN.max(min.value * MIN_RTT_ROUNDS))
    }

    fn on_cruise_round(&mut self, now: Instant, round: &Round) {
        if self.min_rtt_is_stale(now) {
            self.start_drain(now);
            return;
        }
        if self.epoch.app_limited {
            return;
        }
        if round.queue > round.target * 2 {
            self.brake(now);
        }
        self.allowance.on_round(round);
        let squeezed = round.queue > round.target.mul_f64(CONTEST_QUEUE);
        self.squeezed = if squeezed { self.squeezed + 1 } else { self.squeezed.saturating_sub(2) };
        if self.squeezed >= CONTEST_ROUNDS {
            self.squeezed = 0;
            self.contest = Some(Contest::new(now, self.window as f64));
            self.phase = Phase::Contested;
        }
    }

    /// A long queue says that the best of the last rounds is out of date: believe the last round alone.
    fn brake(&mut self, now: Instant) {
        let span = now.saturating_duration_since(self.epoch.started).as_secs_f64();
        let delivered = (self.sampler.delivered() - self.epoch.delivered) as f64;
        if span > 0.0 {
            self.bandwidth.clear();
            self.bandwidth.push(self.rounds, delivered / span);
        }
    }

    // ---- contested ----

    fn on_contested_round(&mut self, now: Instant, round: &Round) {
        let Some(contest) = &mut self.contest else { return };
        contest.on_round(now, round.mtu);
        if round.queue < round.target {
            self.contest = None;
            self.phase = Phase::Cruise;
            self.allowance.fill(round);
        }
    }

    // ---- window ----

    fn update_window(&mut self) {
        if self.min_rtt.is_none() || self.bandwidth.get().is_none() {
            return;
        }
        let window = match self.phase {
            Phase::Startup => {
                let most = STARTUP_GAIN * self.product() * self.headroom();
                (self.window as f64).min(most.max(self.initial_window() as f64))
            }
            Phase::Drain => DRAIN_GAIN * self.product() * self.headroom(),
            Phase::Cruise => (self.product() + self.allowance.bytes()) * self.headroom(),
            Phase::Contested => self.contest.as_ref().map_or(0.0, Contest::window),
        };
        self.window = self.bounded(window as u64);
    }

    fn bounded(&self, window: u64) -> u64 {
        let cap = match (self.config.cap, self.min_rtt) {
            (Some(rate), Some(min)) => (rate as f64 * min.value.as_secs_f64()) as u64,
            _ => WINDOW_MAX,
        };
        window.min(cap).clamp(WINDOW_MIN_PACKETS * self.mtu, WINDOW_MAX)
    }

    fn publish(&self) {
        let min_rtt = self.min_rtt.map_or(Duration::ZERO, |min| min.value);
        self.config.state.publish(&PathSnapshot {
            bandwidth: self.bandwidth() as u64,
            min_rtt,
            rtt: self.epoch.min_rtt,
            loss: self.loss.share(),
            window: self.window,
            phase: self.phase,
        });
    }
}

impl Controller for PathController {
    fn on_sent(&mut self, now: Instant, _bytes: u64, last_packet_number: u64) {
        self.last_sent_packet = last_packet_number;
        self.sampler.on_sent(now);
    }

    fn on_ack(&mut self, now: Instant, sent: Instant, bytes: u64, app_limited: bool, _rtt: &RttEstimator) {
        if self.min_rtt.is_none() {
            let rtt = now.saturating_duration_since(sent);
            self.window = initial_packets(rtt) * self.mtu;
        }
        self.sampler.on_ack(now, sent, bytes);
        self.loss.on_ack(bytes);
        if self.phase == Phase::Startup && !app_limited {
            self.window += bytes;
        }
    }

    fn on_end_acks(&mut self, now: Instant, in_flight: u64, app_limited: bool, largest_packet_num_acked: Option<u64>) {
        if let Some(sample) = self.sampler.on_end_acks(now, in_flight, app_limited) {
            self.on_sample(now, sample);
        }
        if self.phase == Phase::Startup && self.startup_queue_seen() {
            self.leave_startup(now);
        }
        let round_over = largest_packet_num_acked.is_some_and(|acked| acked > self.epoch.last_packet);
        if round_over && self.epoch.acks >= ROUND_ACKS {
            self.on_epoch(now);
        }
        self.update_window();
    }

    fn on_congestion_event(&mut self, now: Instant, sent: Instant, is_persistent_congestion: bool, lost_bytes: u64) {
        if is_persistent_congestion {
            // Everything sent for several timeouts is gone: an outage. The path may be another one now.
            let half = self.window / 2;
            self.start_startup(now, half);
            return;
        }
        self.loss.on_loss(lost_bytes);
        if self.phase == Phase::Startup {
            self.window += lost_bytes;
        }
        if let Some(contest) = &mut self.contest {
            contest.on_loss(now, sent);
        }
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.mtu = u64::from(new_mtu);
        self.window = self.window.max(WINDOW_MIN_PACKETS * self.mtu);
    }

    fn window(&self) -> u64 {
        self.window
    }

    fn metrics(&self) -> ControllerMetrics {
        let mut metrics = ControllerMetrics::default();
        metrics.congestion_window = self.window;
        metrics.pacing_rate = Some((self.bandwidth() * 8.0) as u64);
        metrics
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }

    fn initial_window(&self) -> u64 {
        INITIAL_PACKETS * self.mtu
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

fn initial_packets(rtt: Duration) -> u64 {
    let share = rtt.as_secs_f64() / INITIAL_RTT.as_secs_f64();
    ((INITIAL_PACKETS as f64 * share) as u64).clamp(INITIAL_PACKETS_MIN, INITIAL_PACKETS)
}
