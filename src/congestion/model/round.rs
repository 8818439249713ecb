//! A round: the samples between two decisions, of one round trip and enough ACKs to mean something.

use std::time::{Duration, Instant};

/// ACKs in a group, and in a round at least: the shortest of eight round trips shows the queue, as in HyStart.
pub(crate) const GROUP_ACKS: u32 = 8;

/// What timers and bursts of machines make by themselves: a time shorter than this tells nothing (HyStart's four
/// milliseconds).
pub(crate) const NOISE: Duration = Duration::from_millis(4);

/// Rounds until what is sent is felt: after a drain or a probe, the next one's queue and rate are those of cruising again.
pub(crate) const SETTLE_ROUNDS: u32 = 2;
/// What is seen so often in a row is no chance: BBR's rounds without growth that end its start-up.
pub(crate) const PROOF: u32 = 3;
/// Rounds that estimates remember, and as long as something must last to be more than a moment's doing: BBR's eight to ten.
pub(crate) const MEMORY_ROUNDS: u32 = 8;
/// Samples that estimates remember of what comes some times a round, so that a drain or a probe does not count.
pub(crate) const MEMORY_SAMPLES: usize = 4 * MEMORY_ROUNDS as usize;
/// Packets that quinn sends at once, which is RFC 9002's initial window too.
pub(crate) const BURST_PACKETS: u32 = 10;

/// One part in so many stands at either end of what is not alike: of a round's groups, of jitter's turns, or of spacings. With a
/// half of a round's groups, pauses of up to 25 ms every 50 were still a queue now and then: 64 MiB took 9.7 s at 100 Mbit/s, with
/// a fifth 8.7. With a half of the turns, jitter of 30 ms took 9 % of 20 Mbit/s and not 5.
pub(crate) const QUARTER: usize = 4;
/// Least target: below it, bursts of a pacer with a millisecond timer empty the queue.
const TARGET_MIN: Duration = Duration::from_millis(5);
/// Target as a part of the round trip on long paths.
const TARGET_SHARE: f64 = 0.05;
/// Target in packets of the flow itself: less cannot be told from the spacing of packets and ACKs. With six, the queue of a
/// path without a product (10 Mbit/s and 1 ms) stood at 11 ms; with five, 94.4 % of it was reached at 10 % loss, and not 95.1.
const TARGET_PACKETS: f64 = 5.5;
/// How far that may raise the target. A queue of more targets is held by no flows of our kind: if it goes without our doing, it
/// was a competitor's.
const FOREIGN_QUEUE: f64 = 2.0;
/// The queue budget that a path at its target settles at, in packets: this times the cube root of the whole path's
/// product in packets. Three gives 0.9 targets at 100 Mbit/s and 100 ms, 1.2 targets at 10 Mbit/s and 0.4 at 10 Gbit/s.
const SETTLED: f64 = 3.0;
/// Below this part of the target no queue stands...
pub(crate) const EMPTY: f64 = 0.25;
/// ... and after so many such rounds the path is not full any more: that is longer than a drain of another flow.
pub(crate) const EMPTY_ROUNDS: u32 = 4;

/// One round of ACKs.
#[derive(Debug, Clone)]
pub(crate) struct RoundSamples {
    /// The round is over when a packet sent after this one is acknowledged.
    last_packet: u64,
    acks: u32,
    min_rtt: Duration,
    rtt_sum: Duration,
    /// Shortest round trip of the ACKs of the group being gathered.
    group_min: Duration,
    /// The groups' shortest round trips.
    groups: Vec<Duration>,
    group_low: Duration,
    group_high: Duration,
    /// Delivered bytes when the round began.
    delivered: u64,
    pub(crate) started: Instant,
    /// The sender ran dry in it, so it says nothing about the path's limits.
    pub(crate) app_limited: bool,
    /// Packets were marked in it: a queue somewhere is too long.
    pub(crate) marked: bool,
    /// Bytes declared lost in it, but for those of a flight that only memory made so large.
    pub(crate) lost: u64,
}

impl RoundSamples {
    pub(crate) fn new(now: Instant, last_packet: u64, delivered: u64) -> Self {
        Self {
            last_packet,
            acks: 0,
            min_rtt: Duration::MAX,
            rtt_sum: Duration::ZERO,
            group_min: Duration::MAX,
            groups: Vec::new(),
            group_low: Duration::MAX,
            group_high: Duration::ZERO,
            delivered,
            started: now,
            app_limited: false,
            marked: false,
            lost: 0,
        }
    }

    pub(crate) fn on_rtt(&mut self, rtt: Duration) {
        self.min_rtt = self.min_rtt.min(rtt);
        self.group_min = self.group_min.min(rtt);
        self.rtt_sum += rtt;
        self.acks += 1;
        if self.acks.is_multiple_of(GROUP_ACKS) {
            self.groups.push(self.group_min);
            self.group_low = self.group_low.min(self.group_min);
            self.group_high = self.group_high.max(self.group_min);
            self.group_min = Duration::MAX;
        }
    }

    /// `acks`: that a round must have.
    pub(crate) fn is_over(&self, largest_acked: u64, acks: u32) -> bool {
        largest_acked > self.last_packet && self.acks >= acks
    }

    /// Shortest round trip of all.
    pub(crate) fn min_rtt(&self) -> Duration {
        self.min_rtt
    }

    /// Mean of the groups' shortest round trips: jitter hardly moves it, and unlike the shortest of all it is not
    /// shorter for a flow that has more ACKs.
    pub(crate) fn standing_rtt(&self) -> Duration {
        mean(&self.groups).unwrap_or(self.min_rtt)
    }

    /// The same of the quarter that is shortest: what is not late on a path that pauses. A queue leaves no packet out.
    pub(crate) fn low_rtt(&self) -> Duration {
        let mut groups = self.groups.clone();
        groups.sort_unstable();
        mean(&groups[..groups.len().div_ceil(QUARTER)]).unwrap_or(self.min_rtt)
    }

    /// Mean of all round trips.
    pub(crate) fn mean_rtt(&self) -> Duration {
        self.rtt_sum.checked_div(self.acks).unwrap_or(self.min_rtt)
    }

    /// How far the groups lie apart.
    pub(crate) fn spread(&self) -> Duration {
        self.group_high.saturating_sub(self.group_low)
    }

    /// Bytes acknowledged in the round, of `delivered` in all.
    pub(crate) fn acked(&self, delivered: u64) -> u64 {
        delivered - self.delivered
    }

    /// Bytes per second of the round; zero before any time has passed.
    pub(crate) fn rate(&self, now: Instant, delivered: u64) -> f64 {
        let span = now.saturating_duration_since(self.started).as_secs_f64();
        if span > 0.0 { self.acked(delivered) as f64 / span } else { 0.0 }
    }
}

fn mean(rtts: &[Duration]) -> Option<Duration> {
    rtts.iter().sum::<Duration>().checked_div(rtts.len() as u32)
}

/// What a round showed.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Round {
    /// Bytes per second delivered in it.
    pub(crate) rate: f64,
    /// The round trip that stood.
    pub(crate) standing: Duration,
    /// Standing queue: what stood all the time above the path's bare round trip and its jitter.
    pub(crate) queue: Duration,
    /// What jitter may add to round trips; zero on a clean path.
    pub(crate) jitter: Duration,
    /// The path's bare round trip.
    pub(crate) min_rtt: Duration,
    /// The standing queue that is aimed at.
    pub(crate) target: Duration,
    /// Bandwidth-delay product in bytes.
    pub(crate) product: f64,
    /// What we get of the path, bytes per second...
    pub(crate) bandwidth: f64,
    /// ... and what the spacing of ACKs says that it carries for all.
    pub(crate) capacity: f64,
    pub(crate) mtu: f64,
}

impl Round {
    /// Whether no queue stood.
    pub(crate) fn is_empty(&self) -> bool {
        self.queue <= self.target.mul_f64(EMPTY)
    }

    /// How many of our size the path carries.
    fn flows(&self) -> f64 {
        (self.capacity / self.bandwidth.max(1.0)).max(1.0)
    }

    /// The queue that so many flows of ours come to rest at: each adds the same to it in a round, and what each takes away
    /// grows with its cube.
    pub(crate) fn usual(&self) -> Duration {
        let target = base_target(self.min_rtt);
        let level = self.flows() * self.settled() / (self.capacity * target.as_secs_f64());
        target.mul_f64(level.powf(0.25).max(1.0))
    }

    /// The queue budget that holds the queue at its target. It follows from the path and not from our part of it, so
    /// that flows on one path aim at the same: the smaller one wins what the larger one loses until they are even (in
    /// 13 s instead of 22 where each goes by its own part).
    pub(crate) fn settled(&self) -> f64 {
        self.mtu * SETTLED * (self.flows() * self.product / self.mtu).max(1.0).cbrt()
    }
}

/// The standing queue that is worth its delay to a flow of this rate (bytes per second) on a path of this round trip.
///
/// A flow that gets little tolerates more, as in Swift (Kumar et al. 2020, flow scaling): it pushes back.
pub(crate) fn queue_target(min_rtt: Duration, bandwidth: f64, mtu: f64) -> Duration {
    let base = base_target(min_rtt);
    let packets = TARGET_PACKETS * mtu / bandwidth.max(1.0);
    base.max(Duration::from_secs_f64(packets.min(base.as_secs_f64() * FOREIGN_QUEUE)))
}

/// The longest queue that flows of our kind hold on a path of this round trip.
pub(crate) fn ours_max(min_rtt: Duration) -> Duration {
    base_target(min_rtt).mul_f64(FOREIGN_QUEUE)
}

/// The target of a flow that is not short of bandwidth.
pub(crate) fn base_target(min_rtt: Duration) -> Duration {
    TARGET_MIN.max(min_rtt.mul_f64(TARGET_SHARE))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_round_needs_a_newer_packet_and_enough_acks() {
        let mut samples = RoundSamples::new(Instant::now(), 10, 0);
        (0..GROUP_ACKS).for_each(|_| samples.on_rtt(50 * MS));
        assert!(!samples.is_over(10, GROUP_ACKS));
        assert!(samples.is_over(11, GROUP_ACKS));
        assert!(!samples.is_over(11, GROUP_ACKS + 1));
    }

    #[test]
    fn the_standing_round_trip_forgets_jitter_but_not_the_queue() {
        let mut samples = RoundSamples::new(Instant::now(), 0, 0);
        for ack in 0..64 {
            let jitter = if ack % 4 == 0 { Duration::ZERO } else { 9 * MS };
            let queue = if ack < 32 { 2 * MS } else { 6 * MS };
            samples.on_rtt(50 * MS + queue + jitter);
        }
        assert_eq!(samples.standing_rtt(), 54 * MS);
        assert_eq!(samples.min_rtt(), 52 * MS);
        assert_eq!(samples.spread(), 4 * MS);
    }

    #[test]
    fn slow_flows_tolerate_more_queue() {
        let rtt = 50 * MS;
        let target = |bandwidth| queue_target(rtt, bandwidth, 1452.0);
        assert_eq!(target(1e8), TARGET_MIN);
        assert!(target(1e6) > TARGET_MIN);
        assert_eq!(target(1e3), TARGET_MIN.mul_f64(FOREIGN_QUEUE));
    }
}
