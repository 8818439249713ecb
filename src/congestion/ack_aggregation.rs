//! Does the path stop for moments, and then deliver all at once?
//!
//! Busy machines, Wi-Fi and radio links do. What waits meanwhile comes late, which looks like a queue for a whole round,
//! although there is room all the time; who yields to it yields again and again. A queue delivers at the rate of the slowest
//! link, and so do the packets of others that stand before ours: only a path that stopped delivers a lump much faster.

use std::time::{Duration, Instant};

/// Shortest pause that counts: late timers and bursts of the sender make up to half of it.
const PAUSE_MIN: Duration = Duration::from_millis(4);
/// ... and as long as so many packets of ours take: two bursts of the pacer, between which the packets of others pass.
const PAUSE_PACKETS: f64 = 20.0;
/// What waited comes within this part of the pause...
const LUMP_TIME: f64 = 1.0 / 16.0;
/// ... and is at least this part of what the pause would have brought...
const LUMP_SHARE: f64 = 0.5;
/// ... so many times as fast as the slowest link carries.
const LUMP_SPEED: f64 = 2.0;
/// A lump takes at least this part of its pause: acknowledgements that are read at one go have no time between them.
const LUMP_TIME_MIN: f64 = 1.0 / 64.0;
/// How long a pause is remembered.
const SPAN: Duration = Duration::from_secs(2);
/// Recent pauses from which on a path counts as one that pauses. Any path has one now and then.
const PAUSES: f64 = 2.5;
/// Part of a round's lateness that the smoothed one takes over.
const LATE_GAIN: f64 = 0.25;

/// The usual values that pauses and lumps are compared with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Usual {
    /// What we get, in bytes per second...
    pub(super) bandwidth: f64,
    /// ... and what the slowest link carries.
    pub(super) capacity: f64,
    pub(super) mtu: f64,
}

/// The bytes that came after a pause, so far.
#[derive(Debug, Clone, Copy)]
struct Lump {
    pause: Duration,
    began: Instant,
    bytes: f64,
}

impl Lump {
    /// Whether it is more than any queue gives.
    fn is_proof(&self, now: Instant, usual: &Usual) -> bool {
        let pause = self.pause.as_secs_f64();
        let time = now.saturating_duration_since(self.began).as_secs_f64().max(pause * LUMP_TIME_MIN);
        self.bytes > LUMP_SHARE * pause * usual.bandwidth && self.bytes > LUMP_SPEED * usual.capacity * time
    }
}

/// Counts pauses, and how late they make packets.
#[derive(Debug, Clone)]
pub(super) struct AckAggregation {
    heard: Option<Instant>,
    /// Bytes acknowledged until then.
    delivered: u64,
    /// Pauses of late; old ones count for less.
    pauses: f64,
    lump: Option<Lump>,
    late: Duration,
    /// The least round trips of the last round.
    low: Duration,
}

impl AckAggregation {
    pub(super) fn new() -> Self {
        Self { heard: None, delivered: 0, pauses: 0.0, lump: None, late: Duration::ZERO, low: Duration::MAX }
    }

    /// Whether the path stops so often that rounds are to be judged by what was not late.
    pub(super) fn is_on(&self) -> bool {
        self.pauses > PAUSES
    }

    /// How much later than the others packets are on average; zero on a path that flows.
    pub(super) fn late(&self) -> Duration {
        if self.is_on() { self.late } else { Duration::ZERO }
    }

    /// The least round trips of the round before.
    pub(super) fn low_before(&self) -> Duration {
        self.low
    }

    /// Takes an ACK, with which so many bytes are `delivered` in all. `usual`: where the sender has left no pauses itself.
    pub(super) fn on_ack(&mut self, now: Instant, delivered: u64, usual: Option<Usual>) {
        let pause = self.heard.replace(now).map_or(Duration::ZERO, |heard| now.saturating_duration_since(heard));
        self.pauses *= (-pause.as_secs_f64() / SPAN.as_secs_f64()).exp();
        let bytes = delivered - std::mem::replace(&mut self.delivered, delivered);
        let Some(usual) = usual else {
            self.lump = None;
            return;
        };
        let least = PAUSE_MIN.as_secs_f64().max(PAUSE_PACKETS * usual.mtu / usual.bandwidth.max(1.0));
        if pause.as_secs_f64() > least {
            self.lump = Some(Lump { pause, began: now, bytes: 0.0 });
        }
        let Some(lump) = &mut self.lump else { return };
        lump.bytes += bytes as f64;
        if lump.is_proof(now, &usual) {
            self.pauses += 1.0;
            self.lump = None;
        } else if now.saturating_duration_since(lump.began) > lump.pause.mul_f64(LUMP_TIME) {
            self.lump = None;
        }
    }

    /// Takes a round: its mean round trip, and that of its least ones.
    pub(super) fn on_round(&mut self, mean: Duration, low: Duration) {
        self.low = low;
        self.late = self.late.mul_f64(1.0 - LATE_GAIN) + mean.saturating_sub(low).mul_f64(LATE_GAIN);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    /// 100 Mbit/s, for ourselves.
    const ALONE: Usual = Usual { bandwidth: 12.5e6, capacity: 12.5e6, mtu: 1250.0 };
    /// What 100 Mbit/s carry in a millisecond.
    const PER_MS: u64 = 12_500;

    impl AckAggregation {
        fn on_more(&mut self, now: Instant, bytes: u64, usual: Option<Usual>) {
            self.on_ack(now, self.delivered + bytes, usual);
        }
    }

    /// A path that carries all of `usual` for 100 ms, then pauses for 20 ms, after which `lump` milliseconds' worth comes
    /// in so many steps of `step`; and so on.
    fn path(usual: Usual, lump: u64, steps: u32, step: Duration) -> AckAggregation {
        let mut ack_aggregation = AckAggregation::new();
        let mut now = Instant::now();
        for _ in 0..8 {
            for _ in 0..100 {
                now += MS;
                ack_aggregation.on_more(now, (usual.bandwidth / 1e3) as u64, Some(usual));
            }
            now += 20 * MS - step;
            for _ in 0..steps {
                now += step;
                ack_aggregation.on_more(now, lump * PER_MS / u64::from(steps), Some(usual));
            }
        }
        ack_aggregation
    }

    #[test]
    fn pauses_after_which_all_comes_at_once_are_ack_aggregation() {
        assert!(path(ALONE, 20, 10, MS / 20).is_on());
        assert!(path(ALONE, 20, 10, Duration::ZERO).is_on(), "read at one go");
    }

    #[test]
    fn a_pause_after_which_the_path_goes_on_at_its_rate_is_none() {
        assert!(!path(ALONE, 20, 20, MS).is_on());
    }

    #[test]
    fn the_packets_of_others_before_ours_are_none() {
        let quarter = Usual { bandwidth: ALONE.bandwidth / 4.0, ..ALONE };
        // Ours of 20 ms pass together, as fast as the link carries them.
        assert!(!path(quarter, 5, 5, MS).is_on());
    }

    #[test]
    fn pauses_of_the_sender_do_not_count() {
        let mut ack_aggregation = AckAggregation::new();
        let start = Instant::now();
        (1..100).for_each(|n| ack_aggregation.on_more(start + n * 20 * MS, 20 * PER_MS, None));
        assert!(!ack_aggregation.is_on());
    }

    #[test]
    fn a_path_that_flows_again_is_believed_after_some_seconds() {
        let mut ack_aggregation = path(ALONE, 20, 10, MS / 20);
        ack_aggregation.on_round(12 * MS, 10 * MS);
        assert!(!ack_aggregation.late().is_zero());
        let later = ack_aggregation.heard.expect("it has been heard of") + 2 * SPAN;
        ack_aggregation.on_more(later, PER_MS, None);
        assert!(!ack_aggregation.is_on() && ack_aggregation.late().is_zero());
    }

    #[test]
    fn lateness_is_what_the_mean_is_above_the_least() {
        let mut ack_aggregation = path(ALONE, 20, 10, MS / 20);
        (0..40).for_each(|_| ack_aggregation.on_round(105 * MS, 101 * MS));
        assert!(ack_aggregation.late().abs_diff(4 * MS) < MS / 100, "{:?}", ack_aggregation.late());
    }
}
