//! A round: the samples between two decisions, of one round trip and enough ACKs to mean something.

use std::time::{Duration, Instant};

/// ACKs in a group, and in a round at least: the shortest of eight round trips shows the queue, as in HyStart.
pub(super) const GROUP_ACKS: u32 = 8;

/// One part in so many of a round's groups are its least ones. With a half of them, pauses of up to
/// 25 ms every 50 were still a queue now and then: 64 MiB took 9.7 s at 100 Mbit/s, with a fifth 8.7.
const LOW_PART: usize = 4;

/// One round of ACKs.
#[derive(Debug, Clone)]
pub(super) struct RoundSamples {
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
    pub(super) started: Instant,
    /// The sender ran dry in it, so it says nothing about the path's limits.
    pub(super) app_limited: bool,
    /// Bytes declared lost in it, but for those of a flight that only memory made so large.
    pub(super) lost: u64,
}

impl RoundSamples {
    pub(super) fn new(now: Instant, last_packet: u64, delivered: u64) -> Self {
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
            lost: 0,
        }
    }

    pub(super) fn on_rtt(&mut self, rtt: Duration) {
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
    pub(super) fn is_over(&self, largest_acked: u64, acks: u32) -> bool {
        largest_acked > self.last_packet && self.acks >= acks
    }

    pub(super) fn acks(&self) -> u32 {
        self.acks
    }

    /// Shortest round trip of all.
    pub(super) fn min_rtt(&self) -> Duration {
        self.min_rtt
    }

    /// Mean of the groups' shortest round trips: jitter hardly moves it, and unlike the shortest of all it is not
    /// shorter for a flow that has more ACKs.
    pub(super) fn standing_rtt(&self) -> Duration {
        mean(&self.groups).unwrap_or(self.min_rtt)
    }

    /// The same of the quarter that is shortest: what is not late on a path that pauses. A queue leaves no packet out.
    pub(super) fn low_rtt(&self) -> Duration {
        let mut groups = self.groups.clone();
        groups.sort_unstable();
        mean(&groups[..groups.len().div_ceil(LOW_PART)]).unwrap_or(self.min_rtt)
    }

    /// Mean of all round trips.
    pub(super) fn mean_rtt(&self) -> Duration {
        self.rtt_sum.checked_div(self.acks).unwrap_or(self.min_rtt)
    }

    /// How far the groups lie apart.
    pub(super) fn spread(&self) -> Duration {
        self.group_high.saturating_sub(self.group_low)
    }

    /// Bytes acknowledged in the round, of `delivered` in all.
    pub(super) fn acked(&self, delivered: u64) -> u64 {
        delivered - self.delivered
    }

    /// Bytes per second of the round; zero before any time has passed.
    pub(super) fn rate(&self, now: Instant, delivered: u64) -> f64 {
        let span = now.saturating_duration_since(self.started).as_secs_f64();
        if span > 0.0 { self.acked(delivered) as f64 / span } else { 0.0 }
    }
}

fn mean(rtts: &[Duration]) -> Option<Duration> {
    rtts.iter().sum::<Duration>().checked_div(rtts.len() as u32)
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
}
