//! How much round trips vary by themselves: jitter, which is neither a queue nor the lack of one.
//!
//! A queue grows or is emptied, over many packets; jitter turns back at once. So what counts is how much of each step from
//! one group of round trips to the next is taken back by the step after it. On a clean link that is next to nothing. The
//! controller asks only where the spacing of ACKs within batches disagrees, too, as it never does on a clean link.

use std::time::Duration;

use super::round::GROUP_ACKS;

/// Packets of a group, at least: three bursts of the sender, within which round trips differ by the length of the burst.
const GROUP_PACKETS: u64 = 32;
/// Turns that are remembered: some rounds, so that a drain or a probe does not count.
const MEMORY: usize = 32;
/// Those needed before they mean anything.
const KNOWN: usize = 6;
/// The turn that stands for all of them. Steps that go on in one direction do not turn, so the median would be near zero
/// even where nothing but jitter is at work.
const QUANTILE: f64 = 0.75;
/// Turns of this part of the target are left to chance: late timers of busy machines make half as much.
const LEAST_SHARE: f64 = 0.12;
/// So are turns of so many packets of the slowest link: bursts, and losses between them, make up to that much.
const LEAST_PACKETS: u32 = 3;
/// Jitter over turns: the shortest of a group's round trips varies by less than a single one. Six re-sent 6 % at 10 Mbit/s
/// with a queue of 50 ms; three left more of fast paths unused.
const GAIN: u32 = 4;
/// At most this part of the bare round trip is believed. On the shortest paths nearly all that varies is the machines'
/// own doing, and room for it would only overflow their buffers.
const SHARE_MAX: f64 = 0.5;

/// Gathers round trips in groups, much as a round does, but across rounds.
#[derive(Debug, Clone)]
pub(super) struct JitterFilter {
    acks: u32,
    /// Bytes delivered when the group began.
    began: u64,
    group_min: Duration,
    last: Option<Duration>,
    /// Whether the last step went up, and how far it went.
    step: (bool, Duration),
    /// How much of each step the next one took back, as a ring.
    turns: [Duration; MEMORY],
    count: usize,
    /// The turn that stands for all, once enough are known.
    turn: Duration,
}

impl JitterFilter {
    pub(super) fn new() -> Self {
        Self {
            acks: 0,
            began: 0,
            group_min: Duration::MAX,
            last: None,
            step: (false, Duration::ZERO),
            turns: [Duration::ZERO; MEMORY],
            count: 0,
            turn: Duration::ZERO,
        }
    }

    /// Takes a round trip, when so many bytes had been `delivered` in all.
    pub(super) fn on_rtt(&mut self, rtt: Duration, delivered: u64, mtu: u64) {
        self.group_min = self.group_min.min(rtt);
        self.acks += 1;
        if self.acks >= GROUP_ACKS && delivered >= self.began + GROUP_PACKETS * mtu {
            let group = std::mem::replace(&mut self.group_min, Duration::MAX);
            (self.acks, self.began) = (0, delivered);
            self.on_group(group);
        }
    }

    fn on_group(&mut self, group: Duration) {
        let Some(last) = self.last.replace(group) else { return };
        let (rose, size) = (group > last, group.abs_diff(last));
        let (before_rose, before) = std::mem::replace(&mut self.step, (rose, size));
        self.turns[self.count % MEMORY] = if rose == before_rose { Duration::ZERO } else { size.min(before) };
        self.count += 1;
        if self.count >= KNOWN {
            self.turn = self.typical();
        }
    }

    fn typical(&self) -> Duration {
        let mut sorted = self.turns;
        let known = &mut sorted[..self.count.min(MEMORY)];
        known.sort_unstable();
        known[(known.len() as f64 * QUANTILE) as usize]
    }

    /// What jitter may add to the bare round trip `min_rtt`; zero on a clean link. `target` is the standing queue of a flow
    /// that is not short of bandwidth, `packet` the time that one packet takes on the slowest link.
    pub(super) fn jitter(&self, min_rtt: Duration, target: Duration, packet: Duration) -> Duration {
        let least = target.mul_f64(LEAST_SHARE).max(packet * LEAST_PACKETS);
        (self.turn.saturating_sub(least) * GAIN).min(min_rtt.mul_f64(SHARE_MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MTU: u64 = 1452;
    const RTT: Duration = Duration::from_millis(100);
    const TARGET: Duration = Duration::from_millis(5);
    const PACKET: Duration = Duration::from_micros(120);

    /// What is believed after groups of these round trips, in microseconds above the bare one.
    fn jitter_of(groups: impl IntoIterator<Item = u64>) -> Duration {
        let mut jitter_filter = JitterFilter::new();
        let mut delivered = 0;
        for above in groups {
            for _ in 0..GROUP_ACKS {
                delivered += 4 * MTU;
                jitter_filter.on_rtt(RTT + Duration::from_micros(above), delivered, MTU);
            }
        }
        jitter_filter.jitter(RTT, TARGET, PACKET)
    }

    #[test]
    fn what_goes_up_and_down_from_group_to_group_is_jitter() {
        let jitter = jitter_of((0..40).map(|group| if group % 2 == 0 { 0 } else { 4000 }));
        assert!(jitter > TARGET && jitter <= RTT / 2, "{jitter:?}");
    }

    #[test]
    fn a_queue_that_grows_and_is_drained_is_none() {
        assert_eq!(jitter_of((0..60).map(|group| 1000 * (group % 20))), Duration::ZERO);
    }

    #[test]
    fn small_turns_are_left_to_chance() {
        assert_eq!(jitter_of((0..40).map(|group| 500 * (group % 2))), Duration::ZERO);
    }

    #[test]
    fn a_few_groups_show_nothing() {
        assert_eq!(jitter_of([0, 9000, 0, 9000, 0]), Duration::ZERO);
    }

    #[test]
    fn no_more_than_half_the_round_trip_is_believed() {
        assert_eq!(jitter_of((0..40).map(|group| 90_000 * (group % 2))), RTT / 2);
    }
}
