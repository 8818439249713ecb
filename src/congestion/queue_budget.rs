//! How many bytes beyond the bandwidth-delay product may be in flight: the knob that holds the standing queue.
//!
//! The window is `bandwidth × min_rtt + queue_budget`. Once a round the standing queue is compared with its target and
//! the queue budget moves by addition up and by multiplication down. Two flows see the same queue, so their allowances,
//! and with them their shares, converge as AIMD windows do (Chiu and Jain 1989), while the queue stays a few
//! milliseconds.

use std::time::Duration;

/// Least target: below it, bursts of a pacer with a millisecond timer empty the queue.
const TARGET_MIN: Duration = Duration::from_millis(5);
/// Target as a part of the round trip on long paths.
const TARGET_SHARE: f64 = 0.05;
/// Target in packets of the flow itself: less cannot be told from the spacing of packets and ACKs. With six, the queue of a
/// path without a product (10 Mbit/s and 1 ms) stood at 11 ms.
const TARGET_PACKETS: f64 = 5.5;
/// How far that may raise the target.
const TARGET_SCALE_MAX: f64 = 2.0;
/// Part of the queue budget that one round takes away when the queue is at its target: a time constant of ten rounds,
/// slow beside the two rounds until a change is seen in the queue.
const DECAY: f64 = 0.1;
/// How steeply the decay grows with the queue. Steeper holds the target over a wider range of rates, flatter is less
/// moved by what flows measure differently.
const STEEPNESS: i32 = 3;
/// At most so much is taken away in a round.
const DECAY_MAX: f64 = 0.5;
/// The queue budget that a path at its target settles at, in packets: this times the cube root of the whole path's
/// product in packets. Three gives 0.9 targets at 100 Mbit/s and 100 ms, 1.2 targets at 10 Mbit/s and 0.4 at 10 Gbit/s.
const SETTLED: f64 = 3.0;
/// The whole path is at most believed to carry so many times what we get: the spacing of ACKs can be far off.
const WHOLE_MAX: f64 = 8.0;
/// Rounds without any queue before the pipe counts as not full.
const EMPTY_ROUNDS: u32 = 5;
/// "Without any": below this part of the target.
const EMPTY: f64 = 0.25;
/// Growth per round while the pipe is not full.
const PROBE_GAIN: f64 = 0.25;
/// Rounds of growth that must show in the bandwidth, by this much.
const PROBE_ROUNDS: u32 = 4;
const PROBE_FOUND: f64 = 1.1;
/// Rounds after a probe that showed nothing.
const PROBE_PAUSE: u32 = 50;
/// Without a probe, the queue budget is at most the target or so many times what it settles at.
const CEILING_SETTLED: f64 = 2.0;
/// How far below the product the queue budget may pull the window: bandwidth samples over-estimate by as much under
/// jitter.
const FLOOR_SHARE: f64 = 0.15;

/// Least queue budget of a small flow, as in Vegas: one that was starved finds its way back.
const FLOOR_PACKETS: f64 = 2.0;

/// The sample of a round.
#[derive(Debug, Clone, Copy)]
pub(super) struct Round {
    /// Standing queue: shortest round trip of the round above the path's.
    pub(super) queue: Duration,
    /// The path's bare round trip.
    pub(super) rtt: Duration,
    pub(super) target: Duration,
    /// Bandwidth-delay product in bytes.
    pub(super) product: f64,
    /// What we get of the path, bytes per second...
    pub(super) bandwidth: f64,
    /// ... and what the spacing of ACKs says that it carries for all.
    pub(super) capacity: f64,
    pub(super) mtu: f64,
}

impl Round {
    /// How many of our size the path carries.
    fn flows(&self) -> f64 {
        (self.capacity / self.bandwidth.max(1.0)).clamp(1.0, WHOLE_MAX)
    }

    /// The queue that so many flows of ours come to rest at: each adds the same to it in a round, and what each takes away
    /// grows with its cube.
    pub(super) fn usual(&self) -> Duration {
        let target = base_target(self.rtt);
        let level = self.flows() * self.settled() / (self.capacity * target.as_secs_f64());
        target.mul_f64(level.powf(0.25).max(1.0))
    }

    /// The queue budget that holds the queue at its target. It follows from the path and not from our part of it, so
    /// that flows on one path aim at the same: the smaller one wins what the larger one loses until they are even (in
    /// 13 s instead of 22 where each goes by its own part).
    fn settled(&self) -> f64 {
        self.mtu * SETTLED * (self.flows() * self.product / self.mtu).max(1.0).cbrt()
    }
}

/// The standing queue that is worth its delay to a flow of this rate (bytes per second) on a path of this round trip.
///
/// A flow that gets little tolerates more, as in Swift (Kumar et al. 2020, flow scaling): it pushes back.
pub(super) fn queue_target(min_rtt: Duration, bandwidth: f64, mtu: f64) -> Duration {
    let base = base_target(min_rtt);
    let packets = TARGET_PACKETS * mtu / bandwidth.max(1.0);
    base.max(Duration::from_secs_f64(packets.min(base.as_secs_f64() * TARGET_SCALE_MAX)))
}

/// Growth while no queue shows.
#[derive(Debug, Clone, Copy)]
struct BudgetProbe {
    /// The queue budget before it.
    before: f64,
    bandwidth: f64,
    rounds: u32,
}

/// The target of a flow that is not short of bandwidth.
pub(super) fn base_target(min_rtt: Duration) -> Duration {
    TARGET_MIN.max(min_rtt.mul_f64(TARGET_SHARE))
}

/// Signed bytes beyond the bandwidth-delay product.
#[derive(Debug, Clone, Default)]
pub(super) struct QueueBudget {
    bytes: f64,
    probe: Option<BudgetProbe>,
    /// Rounds until the next probe may begin.
    pause: u32,
    empty_rounds: u32,
    /// Upper bound learnt from excess loss: a queue shorter than the target overflowed there.
    ceiling: Option<f64>,
}

impl QueueBudget {
    pub(super) fn bytes(&self) -> f64 {
        self.bytes
    }

    /// Sets the queue budget to the whole target: the state after start-up.
    pub(super) fn fill(&mut self, round: &Round) {
        self.bytes = round.bandwidth * round.target.as_secs_f64();
        self.empty_rounds = 0;
        self.probe = None;
    }

    /// Begins anew, beside others who do too.
    pub(super) fn empty(&mut self) {
        self.bytes = 0.0;
        self.empty_rounds = 0;
        self.probe = None;
    }

    /// Bounds it to nearly nothing, to see whether that ends a loss.
    pub(super) fn withhold(&mut self, mtu: f64) {
        self.empty_rounds = 0;
        self.probe = None;
        self.set_ceiling(FLOOR_PACKETS * mtu);
    }

    /// A queue shorter than the target overflows above this.
    pub(super) fn set_ceiling(&mut self, bytes: f64) {
        self.bytes = self.bytes.min(bytes);
        self.ceiling = Some(bytes);
    }

    /// The loss had nothing to do with it.
    pub(super) fn restore(&mut self, bytes: f64) {
        self.bytes = bytes;
        self.ceiling = None;
    }

    /// `probes`: whether it may grow beyond its ceiling while no queue shows.
    pub(super) fn on_round(&mut self, round: &Round, probes: bool) {
        let settled = round.settled();
        let step = DECAY * settled;
        let level = round.queue.as_secs_f64() / round.target.as_secs_f64();
        self.empty_rounds = if level < EMPTY { self.empty_rounds + 1 } else { 0 };
        if level > 1.0
            && let Some(probe) = self.probe.take()
        {
            self.bytes = probe.before;
        }
        // A negative queue budget must shrink too while there is a queue.
        let decay = (DECAY * level.powi(STEEPNESS)).min(DECAY_MAX);
        self.bytes += step - decay * self.bytes.max(settled / 4.0);
        let full = round.bandwidth * round.target.as_secs_f64();
        self.bytes = self.bytes.min(full.max(CEILING_SETTLED * settled));
        if probes {
            self.probe(round);
        }
        self.relax_ceiling(step, full);
        self.bytes = self.bytes.max(FLOOR_PACKETS * round.mtu - FLOOR_SHARE * round.product);
    }

    /// Grows by a quarter each round while no queue shows. When that brings no bandwidth, the path has no queue to show
    /// (a policer, a tiny buffer), and more would only be lost.
    fn probe(&mut self, round: &Round) {
        self.pause = self.pause.saturating_sub(1);
        if self.empty_rounds < EMPTY_ROUNDS || self.pause > 0 {
            return;
        }
        let bytes = self.bytes;
        let probe = self.probe.get_or_insert(BudgetProbe { before: bytes, bandwidth: round.bandwidth, rounds: 0 });
        if round.bandwidth > probe.bandwidth * PROBE_FOUND {
            (probe.bandwidth, probe.rounds) = (round.bandwidth, 0);
        }
        probe.rounds += 1;
        if probe.rounds > PROBE_ROUNDS {
            self.bytes = probe.before;
            self.probe = None;
            self.pause = PROBE_PAUSE;
        } else {
            self.bytes = self.bytes.max(PROBE_GAIN * round.product);
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    const MTU: f64 = 1452.0;
    const TARGET: Duration = Duration::from_millis(5);
    const RTT: Duration = Duration::from_millis(100);
    /// A flow that has 100 Mbit/s for itself, at its target.
    const ALONE: Round = Round {
        queue: TARGET,
        rtt: RTT,
        target: TARGET,
        product: 1.25e6,
        bandwidth: 12.5e6,
        capacity: 12.5e6,
        mtu: MTU,
    };

    /// A path of 100 Mbit/s and 100 ms, shared by flows of these allowances and shares; gives the queue after each round.
    fn run(flows: &mut [(QueueBudget, f64)], rounds: usize) -> Duration {
        const CAPACITY: f64 = 12.5e6;
        let mut queue = Duration::ZERO;
        for _ in 0..rounds {
            let product = CAPACITY * 0.1;
            let held: f64 = flows.iter().map(|(budget, share)| share * product + budget.bytes()).sum();
            queue = Duration::from_secs_f64(((held - product) / CAPACITY).max(0.0));
            for (budget, share) in flows.iter_mut() {
                // FIFO: what a flow gets is its part of what is in the path.
                *share = (*share * product + budget.bytes()) / held;
                let bandwidth = *share * CAPACITY;
                let product = *share * product;
                let round = Round { queue, rtt: RTT, target: TARGET, product, bandwidth, capacity: CAPACITY, mtu: MTU };
                budget.on_round(&round, true);
            }
        }
        queue
    }

    #[test]
    fn one_flow_settles_at_its_target() {
        let queue = run(&mut [(QueueBudget::default(), 1.0)], 300);
        assert!(queue > TARGET.mul_f64(0.6) && queue < TARGET.mul_f64(1.4), "{queue:?}");
    }

    #[test]
    fn two_flows_converge_to_equal_shares() {
        let mut flows = [(QueueBudget::default(), 0.9), (QueueBudget::default(), 0.1)];
        let queue = run(&mut flows, 600);
        assert!((flows[0].1 - 0.5).abs() < 0.05, "{} {}", flows[0].1, flows[1].1);
        assert!(queue < TARGET * 2, "{queue:?}");
    }

    #[test]
    fn growth_that_brings_no_bandwidth_is_given_up() {
        let mut budget = QueueBudget::default();
        let round = Round { queue: Duration::ZERO, ..ALONE };
        let sizes: Vec<_> = (0..30)
            .map(|_| {
                budget.on_round(&round, true);
                budget.bytes()
            })
            .collect();
        assert!(sizes.iter().any(|&bytes| bytes >= PROBE_GAIN * round.product));
        assert!(sizes[29] < 0.1 * round.product, "{}", sizes[29]);
    }

    #[test]
    fn a_ceiling_binds_until_it_has_been_outgrown() {
        let mut budget = QueueBudget::default();
        let round = Round { queue: TARGET / 2, ..ALONE };
        budget.set_ceiling(3.0 * MTU);
        budget.on_round(&round, true);
        assert!(budget.bytes() <= 3.0 * MTU);
        (0..5000).for_each(|_| budget.on_round(&round, true));
        assert!(budget.bytes() > 20.0 * MTU, "{}", budget.bytes());
    }

    #[test]
    fn slow_flows_tolerate_more_queue() {
        let rtt = Duration::from_millis(50);
        let target = |bandwidth| queue_target(rtt, bandwidth, MTU);
        assert_eq!(target(1e8), TARGET_MIN);
        assert!(target(1e6) > TARGET_MIN);
        assert_eq!(target(1e3), TARGET_MIN.mul_f64(TARGET_SCALE_MAX));
    }
}
