//! How much the path loses: the share that is always lost, and what is lost on top of it.

use std::time::{Duration, Instant};

use super::filter::MaxFilter;

/// A block is judged when it holds this many packets: at 10 % loss its standard deviation is 1.5 points.
const BLOCK_PACKETS: u64 = 400;
/// A quarter of each new block: four blocks of memory.
const GAIN: f64 = 0.25;
/// More than this is an outage or our own doing, never head-room to be filled.
const SHARE_MAX: f64 = 0.25;
/// The base is the lowest block of this long: twice the time between two drains, so that one drain is always in it.
const BASE_SPAN: Duration = Duration::from_secs(25);
/// Losses above the base by less than this are left to chance.
const EXCESS_MIN: f64 = 0.02;
/// Standard deviations above the base that chance may explain: the base is itself a minimum, some two below the mean.
const EXCESS_SIGMAS: f64 = 5.0;

/// Loss of one block of packets against the base.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// What the path always loses.
    Usual,
    /// Clearly more: a queue overflows or a policer cuts.
    Excess,
}

/// Estimates loss from acknowledged and lost bytes.
#[derive(Debug, Clone)]
pub(super) struct LossMeter {
    start: Instant,
    acked: u64,
    lost: u64,
    share: Option<f64>,
    base: MaxFilter,
}

impl LossMeter {
    pub(super) fn new(now: Instant) -> Self {
        Self { start: now, acked: 0, lost: 0, share: None, base: MaxFilter::new(BASE_SPAN.as_nanos() as u64) }
    }

    pub(super) fn on_ack(&mut self, bytes: u64) {
        self.acked += bytes;
    }

    pub(super) fn on_loss(&mut self, bytes: u64) {
        self.lost += bytes;
    }

    /// Drops the block being counted: an outage, or the overflow that ended start-up, says nothing about the path.
    pub(super) fn discard_block(&mut self) {
        self.acked = 0;
        self.lost = 0;
    }

    /// Loss share for head-room, `0.0..=0.25`.
    pub(super) fn share(&self) -> f64 {
        self.share.unwrap_or_else(|| self.block_share()).min(SHARE_MAX)
    }

    fn block_share(&self) -> f64 {
        self.lost as f64 / (self.acked + self.lost).max(1) as f64
    }

    /// Judges the block when it is large enough. Call at the end of a round.
    pub(super) fn end_round(&mut self, now: Instant, mtu: u64) -> Verdict {
        let packets = (self.acked + self.lost) / mtu;
        if packets < BLOCK_PACKETS {
            return Verdict::Usual;
        }
        let share = self.block_share();
        self.discard_block();
        let previous = self.share.unwrap_or(share);
        self.share = Some(previous + GAIN * (share - previous));
        let at = now.saturating_duration_since(self.start).as_nanos() as u64;
        self.base.push(at, -share);
        let base = -self.base.get().expect("a value was pushed");
        let sigma = (base.max(0.001) * (1.0 - base) / packets as f64).sqrt();
        if share > base + EXCESS_MIN + EXCESS_SIGMAS * sigma { Verdict::Excess } else { Verdict::Usual }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MTU: u64 = 1000;

    fn block(meter: &mut LossMeter, now: Instant, lost: u64) -> Verdict {
        meter.on_ack((1000 - lost) * MTU);
        meter.on_loss(lost * MTU);
        meter.end_round(now, MTU)
    }

    #[test]
    fn steady_loss_is_usual_and_measured() {
        let now = Instant::now();
        let mut meter = LossMeter::new(now);
        for lost in [95, 105, 100, 110, 90, 104, 96, 100] {
            assert_eq!(block(&mut meter, now, lost), Verdict::Usual);
        }
        assert!((meter.share() - 0.1).abs() < 0.01, "{}", meter.share());
    }

    #[test]
    fn a_jump_above_the_base_is_excess() {
        let now = Instant::now();
        let mut meter = LossMeter::new(now);
        assert_eq!(block(&mut meter, now, 10), Verdict::Usual);
        assert_eq!(block(&mut meter, now, 80), Verdict::Excess);
    }

    #[test]
    fn the_base_follows_a_path_that_became_worse() {
        let now = Instant::now();
        let mut meter = LossMeter::new(now);
        block(&mut meter, now, 0);
        let later = now + BASE_SPAN + Duration::from_secs(1);
        block(&mut meter, later, 80);
        assert_eq!(block(&mut meter, later, 85), Verdict::Usual);
    }

    #[test]
    fn head_room_is_bounded() {
        let now = Instant::now();
        let mut meter = LossMeter::new(now);
        block(&mut meter, now, 900);
        assert!(meter.share() <= SHARE_MAX);
    }
}
