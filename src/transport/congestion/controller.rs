//! The controller itself: callbacks in, a window out.

use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};

use quinn_proto::RttEstimator;
use quinn_proto::congestion::{Controller, ControllerFactory, ControllerMetrics};

use super::allowance::{Allowance, Round, base_target, queue_target};
use super::contest::Contest;
use super::filter::MaxFilter;
use super::loss::{Block, LossMeter};
use super::rate::{RateSampler, Sample};
use super::state::{PathSnapshot, PathState, Phase};

/// Packets in flight before the first ACK, on a path of [`INITIAL_RTT`] or more.
const INITIAL_PACKETS: u64 = 64;
/// On shorter paths the initial window shrinks with the round trip: doubling costs nothing there, a burst does.
const INITIAL_RTT: Duration = Duration::from_millis(100);
const INITIAL_PACKETS_MIN: u64 = 10;
/// The least window: quinn sends while in flight + one packet < window, so three packets, enough for an ACK of two.
const WINDOW_MIN_PACKETS: u64 = 4;
/// Above this quinn switches its pacer off (`window > u32::MAX`).
const WINDOW_MAX: u64 = u32::MAX as u64;
/// Rounds over which the best bandwidth sample counts.
const BANDWIDTH_ROUNDS: u64 = 8;
/// Rounds over which our share of a full path is averaged.
const SHARE_ROUNDS: usize = 4;
/// Rounds without a queue until the path counts as not full: longer than a drain of another flow.
const EMPTY_ROUNDS: u32 = 4;
/// Rounds after a drain until a round's delivery rate is that of cruising again.
const SETTLE_ROUNDS: u32 = 2;
/// Rounds after a drain or a probe until the next probe.
const CALM_ROUNDS: u32 = 12;
/// Rounds between two tries whether the path has more to give than the queue says...
const PROBE_ROUNDS: u32 = 50;
/// ... doubling with each that found nothing, up to this many times.
const PROBE_BACKOFF_MAX: u32 = 8;
/// How much more is tried, for two rounds: one until it is delivered, one to measure it.
const PROBE_GAIN: f64 = 1.15;
const PROBE_LENGTH: u32 = 2;
/// Rate after a probe over rate before, for a probe that found something.
const PROBE_FOUND: f64 = 1.07;
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
/// While the spacing of ACKs says that the window is below this part of what fits...
const STARTUP_LEAP_SHARE: f64 = 0.7;
/// ... it grows by this times what is acknowledged: a bit more than threefold per round, as the pacer holds it.
const STARTUP_LEAP: u64 = 3;
/// Window over product at most once the spacing is known, which then bounds more closely; the rate lags by a round.
const STARTUP_LEAP_GAIN: f64 = 8.0;
/// Window over the product by ACK spacing.
const STARTUP_OVERSHOOT: f64 = 1.25;
/// Delivery rate over the rate by ACK spacing at which start-up is over.
const STARTUP_GOAL: f64 = 0.92;
/// Start-up knows the bare round trip: empty the queue and no more.
const STARTUP_DRAIN_GAIN: f64 = 0.95;
/// On shorter paths a deep drain costs next to nothing.
const STARTUP_DRAIN_RTT: Duration = Duration::from_millis(50);
/// A window below the product, to see the path's bare round trip. Deep enough for a flow that came late and believes the
/// queue of others to be part of the path.
const DRAIN_GAIN: f64 = 0.7;
/// One round to empty the queue, one to see it empty.
const DRAIN_ROUNDS: u32 = 2;
/// The shortest round trip is looked for again when it was not seen for so long (BBR's ten seconds)...
const MIN_RTT_SPAN: Duration = Duration::from_secs(10);
/// ... earlier on short paths, where a drain costs little: after so many round trips, at least so long...
const MIN_RTT_ROUNDS_SHORT: u32 = 100;
const MIN_RTT_SPAN_SHORT: Duration = Duration::from_secs(3);
/// ... and never before this many round trips, so that drains cost little on long paths.
const MIN_RTT_ROUNDS: u32 = 30;
/// Queue in targets that counts as pressure...
const PRESSURE_QUEUE: f64 = 1.75;
/// ... and that many rounds of it are someone else's doing.
const PRESSURE_ROUNDS: u32 = 16;
/// So is a fall of our rate to this part of what it was, under a standing queue. Two flows of ours end at a half.
const SQUEEZED_SHARE: f64 = 0.35;
/// After a contest, the competitor is likely still there: less is enough...
const WARY_ROUNDS: u32 = 8;
const WARY_SHARE: f64 = 0.7;
/// ... for so long.
const WARY_SPAN: Duration = Duration::from_secs(20);
/// Queue in targets at which the window is cut at once.
const BRAKE_QUEUE: u32 = 3;
/// Rounds until a cut can be seen in the queue.
const BRAKE_ROUNDS: u32 = 3;
/// A cut that leaves more of the queue than this was futile: the queue is not ours.
const BRAKE_EFFECT: f64 = 0.75;
/// A cut weighs as many rounds of pressure: a competitor that grows slowly makes many small cuts necessary.
const BRAKE_PRESSURE: u32 = 4;
/// Queue in targets that stays without us and is more than other flows of ours would hold: a competitor.
const FOREIGN_QUEUE: u32 = 2;
/// In a contest, the queue is drained after so long to see whether the competitor is still there; twice as long each
/// time it is.
const CONTEST_SPAN: Duration = Duration::from_secs(4);
const CONTEST_SPAN_MAX: Duration = Duration::from_secs(30);
/// So many tests in a row must find nobody: after a loss, a competitor may leave the queue empty for a moment.
const CONTEST_PASSES: u32 = 2;
/// In round trips at least this.
const CONTEST_SPAN_ROUNDS: u32 = 40;
/// The test follows a loss, when every competitor has just backed off: two of our flows that take each other for
/// strangers then find the queue empty together. Without any loss it comes after so many spans.
const CONTEST_PATIENCE: u32 = 3;
/// Blocks of a loss trial: the first still holds packets from before it.
const TRIAL_BLOCKS: u32 = 2;
/// Window over product in a trial, without head-room: too little to overflow anything.
const TRIAL_GAIN: f64 = 0.9;
/// A trial that leaves less than this of the loss has shown an overflow.
const TRIAL_EFFECT: f64 = 0.6;
/// Pause after a trial.
const TRIAL_PAUSE: Duration = Duration::from_secs(10);
/// Drains in a row that show the same longer round trip: the path has changed.
const RAISED_DRAINS: u32 = 3;
/// What "the same" means: a path's round trip is steady, a competitor's queue is not.
const RAISED_TOLERANCE: f64 = 0.03;
/// A contest starts from the largest window of the last rounds: what we had before the competitor pushed.
const RECENT_ROUNDS: u64 = 100;

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

/// What the first round of start-up, whose window is too small for a queue, showed.
#[derive(Debug, Clone, Copy)]
struct StartupBase {
    value: Duration,
    /// How far the groups of ACKs lie apart: jitter.
    spread: Duration,
}

/// A cut of the window and what the queue was before it.
#[derive(Debug, Clone, Copy)]
struct Brake {
    queue: Duration,
    rounds: u32,
}

/// More than the queue would allow is sent, to see whether it is delivered: under jitter, a path that is not full can look
/// as if a queue stood.
#[derive(Debug, Clone, Copy)]
struct Probe {
    rate: f64,
    /// The standing queue before it.
    queue: Duration,
    rounds: u32,
}

/// Little is sent to see whether a loss is our own doing.
#[derive(Debug, Clone, Copy)]
struct LossTrial {
    loss: f64,
    allowance: f64,
    blocks: u32,
}

/// A longer round trip that drains have shown.
#[derive(Debug, Clone, Copy)]
struct Raised {
    value: Duration,
    seen: u32,
}

/// What is gathered between two decisions: at least a round trip, at least [`ROUND_ACKS`].
#[derive(Debug, Clone)]
struct Epoch {
    last_packet: u64,
    acks: u32,
    min_rtt: Duration,
    /// Shortest round trip of the ACKs of the group being gathered.
    group_min: Duration,
    /// Sum and number of the groups' shortest round trips.
    group_sum: Duration,
    groups: u32,
    group_low: Duration,
    group_high: Duration,
    app_limited: bool,
    started: Instant,
    delivered: u64,
    lost: u64,
}

impl Epoch {
    fn new(now: Instant, last_packet: u64, delivered: u64) -> Self {
        Self {
            last_packet,
            acks: 0,
            min_rtt: Duration::MAX,
            group_min: Duration::MAX,
            group_sum: Duration::ZERO,
            groups: 0,
            group_low: Duration::MAX,
            group_high: Duration::ZERO,
            app_limited: false,
            started: now,
            delivered,
            lost: 0,
        }
    }

    fn on_rtt(&mut self, rtt: Duration) {
        self.min_rtt = self.min_rtt.min(rtt);
        self.group_min = self.group_min.min(rtt);
        self.acks += 1;
        if self.acks.is_multiple_of(ROUND_ACKS) {
            self.group_sum += self.group_min;
            self.groups += 1;
            self.group_low = self.group_low.min(self.group_min);
            self.group_high = self.group_high.max(self.group_min);
            self.group_min = Duration::MAX;
        }
    }

    fn spread(&self) -> Duration {
        self.group_high.saturating_sub(self.group_low)
    }

    /// Mean of the groups' shortest round trips: jitter hardly moves it, and unlike the shortest of all it is not
    /// shorter for a flow that has more ACKs.
    fn standing_rtt(&self) -> Duration {
        if self.groups == 0 { self.min_rtt } else { self.group_sum / self.groups }
    }
}

/// The rate model; see the [module documentation](super).
#[derive(Debug, Clone)]
pub struct PathController {
    config: Arc<ControllerConfig>,
    mtu: u64,
    sampler: RateSampler,
    bandwidth: MaxFilter,
    /// Delivery rates of the last rounds, as a ring.
    shares: [f64; SHARE_ROUNDS],
    cruise_rounds: u32,
    probe: Option<Probe>,
    probe_backoff: u32,
    probe_wait: u32,
    /// A queue stood lately: the path is full and the last rounds show our share of it.
    full: bool,
    /// Rounds without a queue since.
    empty_rounds: u32,
    loss: LossMeter,
    min_rtt: Option<MinRtt>,
    last_sent_packet: u64,
    rounds: u64,
    epoch: Epoch,
    phase: Phase,
    window: u64,
    allowance: Allowance,
    contest: Option<Contest>,
    contest_tested: Instant,
    contest_span: Duration,
    contest_passed: u32,
    wary_from: Option<Instant>,
    pressure: u32,
    brake: Option<Brake>,
    trial: Option<LossTrial>,
    trial_after: Instant,
    /// The first drain is over.
    drained: bool,
    raised: Option<Raised>,
    recent_window: MaxFilter,
    recent_bandwidth: MaxFilter,
    /// Round trips of the last ACKs in start-up.
    recent: [Duration; STARTUP_ACKS],
    recent_len: usize,
    startup_base: Option<StartupBase>,
    startup_best: f64,
    startup_flat: u32,
    drain_rounds: u32,
    /// Round trip that the last drain ended with.
    drain_rtt: Duration,
}

impl PathController {
    fn new(config: Arc<ControllerConfig>, now: Instant, mtu: u16) -> Self {
        let mtu = u64::from(mtu);
        let epoch = Epoch::new(now, 0, 0);
        Self {
            config,
            mtu,
            sampler: RateSampler::new(now),
            bandwidth: MaxFilter::new(BANDWIDTH_ROUNDS),
            shares: [0.0; SHARE_ROUNDS],
            cruise_rounds: 0,
            probe: None,
            probe_backoff: 1,
            probe_wait: 0,
            full: false,
            empty_rounds: 0,
            loss: LossMeter::new(now),
            min_rtt: None,
            last_sent_packet: 0,
            rounds: 0,
            epoch,
            phase: Phase::Startup,
            window: INITIAL_PACKETS * mtu,
            allowance: Allowance::default(),
            contest: None,
            contest_tested: now,
            contest_span: CONTEST_SPAN,
            contest_passed: 0,
            wary_from: None,
            recent_bandwidth: MaxFilter::new(RECENT_ROUNDS),
            pressure: 0,
            brake: None,
            trial: None,
            trial_after: now,
            drained: false,
            raised: None,
            recent_window: MaxFilter::new(RECENT_ROUNDS),
            recent: [Duration::MAX; STARTUP_ACKS],
            recent_len: 0,
            startup_base: None,
            startup_best: 0.0,
            startup_flat: 0,
            drain_rounds: 0,
            drain_rtt: Duration::MAX,
        }
    }

    /// Bytes per second. The best of the last rounds while the path is not full. Once it is, the mean: a maximum reads
    /// a few percent high, which would outweigh the allowance, and with it the force that makes flows share evenly.
    fn bandwidth(&self) -> f64 {
        let mean = self.shares.iter().sum::<f64>() / SHARE_ROUNDS as f64;
        let known = self.shares.iter().all(|&share| share > 0.0);
        if self.full && known { mean } else { self.bandwidth.get().unwrap_or(0.0) }
    }

    /// Takes the round's own delivery rate.
    fn note_share(&mut self, now: Instant, round: &Round) {
        let span = now.saturating_duration_since(self.epoch.started).as_secs_f64();
        let delivered = (self.sampler.delivered() - self.epoch.delivered) as f64;
        // The first rounds after a drain deliver what was sent in it.
        let settled = self.phase == Phase::Cruise && self.cruise_rounds >= SETTLE_ROUNDS && self.trial.is_none();
        if span <= 0.0 || self.epoch.app_limited || !settled {
            return;
        }
        if round.queue > round.target / 2 {
            self.empty_rounds = 0;
            self.full = true;
        } else {
            self.empty_rounds += 1;
        }
        if self.empty_rounds >= EMPTY_ROUNDS {
            self.full = false;
        }
        // What we get while others drain is not our share: it would be too much for all when they come back.
        if self.empty_rounds == 0 || !self.full {
            self.shares[self.rounds as usize % SHARE_ROUNDS] = delivered / span;
        }
    }

    /// Bandwidth-delay product in bytes.
    fn product(&self) -> f64 {
        self.bandwidth() * self.min_rtt.map_or(0.0, |min| min.value.as_secs_f64())
    }

    /// Lost packets count as in flight for a round trip, so a full pipe needs this much more.
    fn headroom(&self) -> f64 {
        1.0 / (1.0 - self.loss.base())
    }

    fn on_sample(&mut self, now: Instant, sample: Sample) {
        match &mut self.min_rtt {
            Some(min) if self.drained || sample.rtt > min.value => {}
            min => *min = Some(MinRtt { value: sample.rtt, seen: now }),
        }
        self.epoch.on_rtt(sample.rtt);
        self.epoch.app_limited |= sample.app_limited;
        if !sample.app_limited || sample.rate > self.bandwidth() {
            self.bandwidth.push(self.rounds, sample.rate);
        }
        if self.phase == Phase::Startup {
            self.recent[self.recent_len % STARTUP_ACKS] = sample.rtt;
            self.recent_len += 1;
        }
    }

    /// Once a drain has shown the path without our queue, whole rounds are compared with it, not the luckiest packet:
    /// under jitter that one is far below what any window could give.
    fn note_rtt(&mut self, now: Instant) {
        let standing = self.epoch.standing_rtt();
        if self.drained
            && let Some(min) = &mut self.min_rtt
            && standing <= min.value
        {
            *min = MinRtt { value: standing, seen: now };
        }
    }

    fn on_loss_block(&mut self, now: Instant, block: Block) {
        if self.phase != Phase::Cruise {
            self.trial = None;
            return;
        }
        match &mut self.trial {
            Some(trial) if trial.blocks + 1 < TRIAL_BLOCKS => trial.blocks += 1,
            Some(trial) => {
                let trial = *trial;
                self.trial = None;
                self.cruise_rounds = 0;
                self.trial_after = now + TRIAL_PAUSE;
                // Below the product there is no queue to overflow: what is still lost is the path's own loss.
                self.loss.accept(now, block.share);
                if block.share < trial.loss * TRIAL_EFFECT {
                    self.allowance.set_ceiling((trial.allowance / 2.0).max(0.0));
                } else {
                    self.allowance.restore(trial.allowance);
                }
            }
            None if block.excess && now >= self.trial_after => {
                let allowance = self.allowance.withhold(self.mtu as f64);
                self.trial = Some(LossTrial { loss: block.share, allowance, blocks: 0 });
            }
            None => {}
        }
    }

    fn start_epoch(&mut self, now: Instant) {
        self.epoch = Epoch::new(now, self.last_sent_packet, self.sampler.delivered());
    }

    fn on_epoch(&mut self, now: Instant) {
        self.rounds += 1;
        self.note_rtt(now);
        let round = self.round();
        if let Some(block) = self.loss.end_round(now, self.mtu) {
            self.on_loss_block(now, block);
        }
        self.note_share(now, &round);
        match self.phase {
            Phase::Startup => self.on_startup_round(now),
            Phase::Drain => self.on_drain_round(now, &round),
            Phase::Cruise => self.on_cruise_round(now, &round),
            Phase::Contested => self.on_contested_round(now, &round),
        }
        self.publish();
        self.debug(now, &round);
        self.start_epoch(now);
    }

    #[allow(clippy::all)]
    fn debug(&self, now: Instant, r: &Round) {
        if std::env::var_os("DBG").is_some() {
            use std::sync::OnceLock;
            static T0: OnceLock<Instant> = OnceLock::new();
            let t0 = *T0.get_or_init(|| now);
            eprintln!(
                "{:x} {:8.3} {:?} W {} bw {:.2} M max {:.2} min {:.2} q {:.2} prod {:.0} alpha {:.0} full {} press {} wary {} probe {}",
                Arc::as_ptr(&self.config) as usize & 0xffff,
                (now - t0).as_secs_f64(),
                self.phase,
                self.window,
                self.bandwidth() * 8e-6,
                self.bandwidth.get().unwrap_or(0.0) * 8e-6,
                self.min_rtt.map_or(0.0, |m| m.value.as_secs_f64() * 1e3),
                r.queue.as_secs_f64() * 1e3,
                self.product(),
                self.allowance.bytes(),
                self.full,
                self.pressure,
                self.is_wary(now),
                self.probe.is_some()
            );
        }
    }

    fn round(&self) -> Round {
        let min_rtt = self.min_rtt.map_or(Duration::ZERO, |min| min.value);
        Round {
            queue: self.epoch.standing_rtt().saturating_sub(min_rtt),
            target: queue_target(min_rtt, self.bandwidth(), self.mtu as f64),
            product: self.product(),
            bandwidth: self.bandwidth(),
            mtu: self.mtu as f64,
        }
    }

    // ---- start-up ----

    /// Whether the spacing of ACKs says that the path carries much more than what is in flight.
    fn is_far_from_full(&self) -> bool {
        self.train_product(|(median, _)| median)
            .is_some_and(|product| (self.window as f64) < STARTUP_LEAP_SHARE * product)
    }

    /// Bandwidth-delay product by ACK spacing.
    fn train_product(&self, pick: fn((f64, f64)) -> f64) -> Option<f64> {
        let min = self.min_rtt?.value.as_secs_f64();
        Some(pick(self.sampler.train_rates()?) * min)
    }

    /// The largest window in start-up.
    fn startup_bound(&self) -> f64 {
        let gain = if self.sampler.train_rates().is_some() { STARTUP_LEAP_GAIN } else { STARTUP_GAIN };
        let by_rate = gain * self.product();
        let by_trains = self.train_product(|(_, most)| most).map_or(f64::MAX, |product| STARTUP_OVERSHOOT * product);
        (by_rate.min(by_trains) * self.headroom()).max(self.initial_window() as f64)
    }

    /// Whether we deliver what the spacing of ACKs showed: the path is full, without a queue having had to show it.
    fn startup_goal_reached(&self) -> bool {
        self.sampler.train_rates().is_some_and(|(_, most)| self.bandwidth() > STARTUP_GOAL * most)
    }

    fn startup_queue_seen(&self) -> bool {
        let Some(base) = self.startup_base else { return false };
        if self.recent_len < STARTUP_ACKS {
            return false;
        }
        let lowest = self.recent.iter().min().copied().unwrap_or(Duration::MAX);
        lowest > base.value + STARTUP_QUEUE_MIN.max(base.value.mul_f64(STARTUP_QUEUE_SHARE)).max(base.spread * 2)
    }

    fn on_startup_round(&mut self, now: Instant) {
        self.startup_base
            .get_or_insert_with(|| StartupBase { value: self.epoch.standing_rtt(), spread: self.epoch.spread() });
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
        self.drained = false;
        self.probe = None;
        self.start_drain(now);
    }

    fn start_startup(&mut self, now: Instant, window: u64) {
        self.phase = Phase::Startup;
        self.window = window.clamp(self.initial_window(), WINDOW_MAX);
        self.bandwidth.clear();
        self.recent_len = 0;
        self.startup_best = 0.0;
        self.startup_flat = 0;
        self.contest = None;
        self.drained = false;
        self.full = false;
        self.startup_base = None;
        self.loss.discard_block();
        self.start_epoch(now);
    }

    // ---- drain ----

    fn start_drain(&mut self, now: Instant) {
        self.phase = Phase::Drain;
        self.probe = None;
        self.drain_rounds = 0;
        self.loss.discard_block();
        self.start_epoch(now);
    }

    fn on_drain_round(&mut self, now: Instant, round: &Round) {
        self.drain_rounds += 1;
        if self.drain_rounds < DRAIN_ROUNDS {
            return;
        }
        self.drain_rtt = self.epoch.standing_rtt();
        let old = self.min_rtt.map_or(self.drain_rtt, |min| min.value);
        let is_bare = !self.drained || self.drain_rtt <= old + round.target / 2 || self.is_new_floor();
        let quiet = is_bare || self.drain_rtt <= old + base_target(old) * FOREIGN_QUEUE;
        if quiet && self.contest.is_some() {
            self.contest_passed += 1;
            if self.contest_passed < CONTEST_PASSES {
                self.contest_tested = now;
                self.phase = Phase::Contested;
                return;
            }
        }
        if quiet {
            // A little more than before is another flow of ours: not the bare path, yet nothing to fight.
            let value = if is_bare { self.drain_rtt } else { old };
            self.min_rtt = Some(MinRtt { value, seen: now });
            self.raised = None;
            if !self.drained {
                // Start-up ends here, and the whole target is a better first guess than nothing.
                self.drained = true;
                self.allowance.fill(round);
            }
            self.enter_cruise(now);
            // What we had before a suspicion that came to nothing, the path no longer gives.
            self.recent_window.clear();
        } else if self.contest.is_some() {
            self.contest_passed = 0;
            self.contest_span = (self.contest_span * 2).min(CONTEST_SPAN_MAX);
            self.contest_tested = now;
            self.phase = Phase::Contested;
        } else {
            self.start_contest(now);
        }
    }

    /// Whether several drains in a row ended at the round trip of this one.
    fn is_new_floor(&mut self) -> bool {
        let same = |value: Duration| {
            self.drain_rtt.abs_diff(value) <= value.mul_f64(RAISED_TOLERANCE).max(Duration::from_millis(1))
        };
        let seen = match self.raised {
            Some(raised) if same(raised.value) => raised.seen + 1,
            _ => 1,
        };
        self.raised = Some(Raised { value: self.drain_rtt, seen });
        seen >= RAISED_DRAINS
    }

    // ---- cruise ----

    fn min_rtt_is_stale(&self, now: Instant) -> bool {
        self.min_rtt.is_some_and(|min| {
            let span = (min.value * MIN_RTT_ROUNDS_SHORT).clamp(MIN_RTT_SPAN_SHORT, MIN_RTT_SPAN);
            now.saturating_duration_since(min.seen) > span.max(min.value * MIN_RTT_ROUNDS)
        })
    }

    fn enter_cruise(&mut self, now: Instant) {
        self.phase = Phase::Cruise;
        self.cruise_rounds = 0;
        self.pressure = 0;
        self.brake = None;
        if !self.is_wary(now) {
            self.contest_span = CONTEST_SPAN;
        }
        if self.contest.take().is_some() {
            self.wary_from = Some(now);
            self.recent_bandwidth.clear();
        }
    }

    fn is_wary(&self, now: Instant) -> bool {
        self.wary_from.is_some_and(|from| now.saturating_duration_since(from) < WARY_SPAN)
    }

    fn on_cruise_round(&mut self, now: Instant, round: &Round) {
        self.recent_window.push(self.rounds, self.window as f64);
        if self.epoch.app_limited {
            return;
        }
        if self.min_rtt_is_stale(now) {
            self.start_drain(now);
            return;
        }
        self.cruise_rounds += 1;
        // The queue of the first rounds is what the probe or the drain before them left.
        if self.probe_round(now, round) || self.cruise_rounds <= SETTLE_ROUNDS {
            return;
        }
        self.weigh(round);
        let (rounds, share) =
            if self.is_wary(now) { (WARY_ROUNDS, WARY_SHARE) } else { (PRESSURE_ROUNDS, SQUEEZED_SHARE) };
        self.recent_bandwidth.push(self.rounds, round.bandwidth);
        let most = self.recent_bandwidth.get().unwrap_or(0.0);
        let squeezed = self.full && round.bandwidth < most * share;
        let futile = self.brake_round(now, round);
        if futile || squeezed || self.pressure >= rounds {
            self.on_suspicion(now, round);
            return;
        }
        self.allowance.on_round(round);
    }

    /// Someone else holds the queue, or the path has become slower: a drain tells. A second suspicion soon after needs
    /// no test, since a competitor may just then have backed off.
    fn on_suspicion(&mut self, now: Instant, round: &Round) {
        if self.is_wary(now) && round.queue > round.target * 2 {
            self.start_contest(now);
        } else {
            self.wary_from = Some(now);
            self.believe_last_round(now);
            self.start_drain(now);
            self.pressure = 0;
            self.brake = None;
            self.recent_bandwidth.clear();
        }
    }

    /// Runs the probe. Says whether one is under way, when nothing else is to be decided.
    fn probe_round(&mut self, now: Instant, round: &Round) -> bool {
        let span = now.saturating_duration_since(self.epoch.started).as_secs_f64();
        let rate = (self.sampler.delivered() - self.epoch.delivered) as f64 / span.max(1e-9);
        self.probe_wait += 1;
        let due = self.probe_wait > PROBE_ROUNDS * self.probe_backoff && self.is_calm();
        match &mut self.probe {
            Some(probe) if probe.rounds < PROBE_LENGTH => {
                probe.rounds += 1;
                true
            }
            Some(probe) if rate > probe.rate * PROBE_FOUND && round.queue < probe.queue + round.target / 2 => {
                // More to be had, and not taken from others through a longer queue: go on from here at once.
                *probe = Probe { rate, queue: probe.queue, rounds: 1 };
                self.probe_backoff = 1;
                self.bandwidth.push(self.rounds, rate);
                self.shares = [rate; SHARE_ROUNDS];
                true
            }
            Some(_) => {
                self.probe = None;
                self.cruise_rounds = 0;
                self.probe_wait = 0;
                self.probe_backoff = (self.probe_backoff * 2).min(PROBE_BACKOFF_MAX);
                false
            }
            None if due => {
                self.probe = Some(Probe { rate: self.bandwidth(), queue: round.queue, rounds: 1 });
                true
            }
            None => false,
        }
    }

    /// Nothing has moved for a while. A drain moves the shares of others for some rounds, and flows drain together.
    fn is_calm(&self) -> bool {
        self.full && self.cruise_rounds > CALM_ROUNDS && self.trial.is_none() && self.pressure == 0
    }

    fn weigh(&mut self, round: &Round) {
        if round.queue > round.target.mul_f64(PRESSURE_QUEUE) {
            self.pressure += 1;
        } else if round.queue < round.target {
            self.pressure = self.pressure.saturating_sub(1);
        }
    }

    /// Cuts the window when the queue is far too long. Says whether the last cut was futile.
    fn brake_round(&mut self, now: Instant, round: &Round) -> bool {
        if round.queue <= round.target * BRAKE_QUEUE {
            self.brake = None;
            return false;
        }
        match &mut self.brake {
            Some(brake) if brake.rounds < BRAKE_ROUNDS => {
                brake.rounds += 1;
                return false;
            }
            Some(brake) if round.queue > brake.queue.mul_f64(BRAKE_EFFECT) => return true,
            _ => {}
        }
        self.brake = Some(Brake { queue: round.queue, rounds: 0 });
        self.pressure += BRAKE_PRESSURE;
        self.believe_last_round(now);
        false
    }

    /// A long queue says that the best of the last rounds is out of date.
    fn believe_last_round(&mut self, now: Instant) {
        let span = now.saturating_duration_since(self.epoch.started).as_secs_f64();
        let delivered = (self.sampler.delivered() - self.epoch.delivered) as f64;
        if span > 0.0 {
            self.bandwidth.clear();
            self.bandwidth.push(self.rounds, delivered / span);
            self.shares = [delivered / span; SHARE_ROUNDS];
        }
    }

    // ---- contested ----

    fn start_contest(&mut self, now: Instant) {
        let window = self.recent_window.get().unwrap_or(0.0).max(self.window as f64);
        self.contest = Some(Contest::new(now, window));
        self.full = false;
        self.contest_tested = now;
        self.contest_passed = 0;
        self.phase = Phase::Contested;
        self.pressure = 0;
        self.brake = None;
    }

    fn on_contested_round(&mut self, now: Instant, round: &Round) {
        let round_trip = self.min_rtt.map_or(Duration::ZERO, |min| min.value);
        let Some(contest) = &mut self.contest else { return };
        contest.on_round(now, round.mtu);
        let reduced = contest.reduced_since(self.epoch.started);
        let span = self.contest_span.max(round_trip * CONTEST_SPAN_ROUNDS);
        let since = now.saturating_duration_since(self.contest_tested);
        if since > span * CONTEST_PATIENCE || (since > span && reduced) {
            self.start_drain(now);
        }
    }

    // ---- window ----

    fn update_window(&mut self) {
        if self.min_rtt.is_none() || self.bandwidth.get().is_none() {
            return;
        }
        let window = match self.phase {
            Phase::Startup => (self.window as f64).min(self.startup_bound()),
            Phase::Drain => {
                let long = self.min_rtt.is_some_and(|min| min.value > STARTUP_DRAIN_RTT);
                let gain = if long && !self.drained { STARTUP_DRAIN_GAIN } else { DRAIN_GAIN };
                gain * self.product() * self.headroom()
            }
            Phase::Cruise if self.trial.is_some() => TRIAL_GAIN * self.product(),
            Phase::Cruise => {
                let gain = if self.probe.is_some() { PROBE_GAIN } else { 1.0 };
                (self.product() * gain + self.allowance.bytes()) * self.headroom()
            }
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

    /// Whether this round lost more than the path does by itself. A mark (no bytes) always says so.
    fn loss_is_congestion(&self, lost_bytes: u64, _now: Instant) -> bool {
        let mtu = self.mtu as f64;
        let lost = self.epoch.lost as f64 / mtu;
        let acked = (self.sampler.delivered() - self.epoch.delivered) as f64 / mtu;
        lost_bytes == 0 || self.loss.is_unusual(lost, lost + acked)
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
            self.window += if self.is_far_from_full() { STARTUP_LEAP * bytes } else { bytes };
        }
    }

    fn on_end_acks(&mut self, now: Instant, in_flight: u64, app_limited: bool, largest_packet_num_acked: Option<u64>) {
        if let Some(sample) = self.sampler.on_end_acks(now, in_flight, app_limited) {
            self.on_sample(now, sample);
        }
        if self.phase == Phase::Startup && (self.startup_queue_seen() || self.startup_goal_reached()) {
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
        self.epoch.lost += lost_bytes;
        if self.phase == Phase::Startup {
            self.window += lost_bytes;
        }
        if self.contest.is_some()
            && self.loss_is_congestion(lost_bytes, now)
            && let Some(contest) = &mut self.contest
        {
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
