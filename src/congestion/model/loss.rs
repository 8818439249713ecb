//! How much the path loses: the share that is always lost, and what is lost on top of it.

use std::time::{Duration, Instant};

use super::bandwidth::{MaxFilter, SMOOTHING};
use super::rtt::PROBE_RTT_INTERVAL;

/// A block is judged when it holds this many packets: at 10 % loss its standard deviation is 1.5 points.
const BLOCK_PACKETS: u64 = 400;
/// More than this is an outage or windows that are too large, ours or those of others: never head-room to be filled, and a
/// reason to send less.
pub(crate) const SHARE_MAX: f64 = 0.25;
/// Losses above the base by less than this are left to chance.
pub(crate) const EXCESS_MIN: f64 = 0.01;
/// Standard deviations that chance may explain. A false alarm costs a trial, so three are enough.
pub(crate) const SIGMAS: f64 = 3.0;

/// The sample of a block of packets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct LossBlock {
    pub(crate) share: f64,
    /// Clearly more than the path always loses: a queue overflows, a policer cuts, or the path became worse.
    pub(crate) excess: bool,
}

/// Estimates loss from acknowledged and lost bytes.
#[derive(Debug, Clone)]
pub(crate) struct LossMeter {
    start: Instant,
    acked: u64,
    lost: u64,
    /// Loss of the last blocks, smoothed.
    share: Option<f64>,
    /// The same without blocks that lost more than any path does.
    path: Option<f64>,
    base: MaxFilter,
}

impl LossMeter {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            start: now,
            acked: 0,
            lost: 0,
            share: None,
            path: None,
            base: MaxFilter::new(base_span().as_nanos() as u64),
        }
    }

    pub(crate) fn on_ack(&mut self, bytes: u64) {
        self.acked += bytes;
    }

    pub(crate) fn on_loss(&mut self, bytes: u64) {
        self.lost += bytes;
    }

    /// Drops the block being counted: an outage, or the overflow that ended start-up, says nothing about the path.
    pub(crate) fn discard_block(&mut self) {
        self.acked = 0;
        self.lost = 0;
    }

    /// Loss of the last blocks, `0.0..=1.0`.
    pub(crate) fn share(&self) -> f64 {
        self.share.unwrap_or_else(|| self.block_share())
    }

    /// What the path loses whatever we send, for head-room, `0.0..=0.25`. Not the present loss: head-room for losses that
    /// the head-room makes would keep itself alive.
    pub(crate) fn base(&self) -> f64 {
        let first = || Some(self.block_share()).filter(|&share| share <= SHARE_MAX);
        self.base.get().map(|negated| -negated).or_else(first).unwrap_or(0.0)
    }

    /// Whether `lost` of `sent` packets is more than the path explains. Not than the last blocks do: in competitive
    /// mode they hold what competitive mode itself loses, and no loss would ever end its growth. One packet alone is
    /// always chance, or a flow of few packets would give way to every loss that comes by.
    pub(crate) fn is_unusual(&self, lost: f64, sent: f64) -> bool {
        is_above(self.base(), lost, sent)
    }

    fn block_share(&self) -> f64 {
        self.lost as f64 / (self.acked + self.lost).max(1) as f64
    }

    /// Judges the block when it is large enough. Call at the end of a round.
    pub(crate) fn end_round(&mut self, now: Instant, mtu: u64) -> Option<LossBlock> {
        let packets = (self.acked + self.lost) / mtu;
        if packets < BLOCK_PACKETS {
            return None;
        }
        let share = self.block_share();
        self.discard_block();
        self.share = Some(smoothed(self.share, share));
        if share > SHARE_MAX {
            return Some(LossBlock { share, excess: true });
        }
        let smooth = smoothed(self.path, share);
        self.path = Some(smooth);
        let at = now.saturating_duration_since(self.start).as_nanos() as u64;
        // The lowest single block would be chance more than path.
        self.base.push(at, -smooth);
        let base = -self.base.get().expect("a value was pushed");
        let sigma = (base.max(0.001) * (1.0 - base) / packets as f64).sqrt();
        Some(LossBlock { share, excess: share > base + EXCESS_MIN + SIGMAS * sigma })
    }

    /// The path loses this much by itself, whatever it lost before.
    pub(crate) fn accept(&mut self, now: Instant, share: f64) {
        if share > SHARE_MAX {
            return;
        }
        self.base.clear();
        (self.share, self.path) = (Some(share), Some(share));
        let at = now.saturating_duration_since(self.start).as_nanos() as u64;
        self.base.push(at, -share);
    }
}

/// Whether `lost` of `sent` packets is more than any path loses by itself: somebody's windows are too large for it, even if
/// the queue, full all the time, looks like a longer path.
pub(crate) fn is_flood(lost: f64, sent: f64) -> bool {
    is_above(SHARE_MAX, lost, sent)
}

/// The base is the lowest block of this long: more than twice the time between two drains, so that one is always in it.
fn base_span() -> Duration {
    PROBE_RTT_INTERVAL * 5 / 2
}

fn is_above(share: f64, lost: f64, sent: f64) -> bool {
    let expected = share * sent;
    // One packet never tells anything.
    lost > 1.0 + expected + SIGMAS * expected.sqrt()
}

fn smoothed(previous: Option<f64>, share: f64) -> f64 {
    let previous = previous.unwrap_or(share);
    previous + SMOOTHING * (share - previous)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MTU: u64 = 1000;

    fn is_excess(meter: &mut LossMeter, now: Instant, lost: u64) -> bool {
        meter.on_ack((1000 - lost) * MTU);
        meter.on_loss(lost * MTU);
        meter.end_round(now, MTU).expect("a full block").excess
    }

    #[test]
    fn steady_loss_is_usual_and_measured() {
        let now = Instant::now();
        let mut meter = LossMeter::new(now);
        for lost in [95, 105, 100, 110, 90, 104, 96, 100] {
            assert!(!is_excess(&mut meter, now, lost));
        }
        assert!((meter.share() - 0.1).abs() < 0.01, "{}", meter.share());
    }

    #[test]
    fn a_jump_above_the_base_is_excess() {
        let now = Instant::now();
        let mut meter = LossMeter::new(now);
        assert!(!is_excess(&mut meter, now, 10));
        assert!(is_excess(&mut meter, now, 80));
    }

    #[test]
    fn the_base_follows_a_path_that_became_worse() {
        let now = Instant::now();
        let mut meter = LossMeter::new(now);
        is_excess(&mut meter, now, 0);
        let later = now + base_span() + Duration::from_secs(1);
        (0..20).for_each(|_| {
            is_excess(&mut meter, later, 80);
        });
        // The smoothed loss has arrived by now, and its low start expires with the next span.
        assert!(!is_excess(&mut meter, later + base_span() + Duration::from_secs(1), 85));
        assert!((meter.base() - 0.08).abs() < 0.01, "{}", meter.base());
    }

    #[test]
    fn what_no_path_loses_by_itself_is_never_the_base() {
        let now = Instant::now();
        let mut meter = LossMeter::new(now);
        meter.on_loss(4 * MTU);
        meter.on_ack(6 * MTU);
        assert_eq!(meter.base(), 0.0, "not even before the first block");
        (0..5).for_each(|_| assert!(is_excess(&mut meter, now, 400)));
        meter.accept(now, 0.5);
        assert_eq!(meter.base(), 0.0);
        assert!(meter.share() > 0.3, "it is told nevertheless: {}", meter.share());
        is_excess(&mut meter, now, 100);
        assert!((meter.base() - 0.1).abs() < 0.01, "{}", meter.base());
    }

    #[test]
    fn a_flood_is_more_than_chance_makes_of_the_worst_path() {
        for (lost, sent, expected) in [
            (5.0, 8.0, false),
            (8.0, 8.0, true),
            (40.0, 100.0, false),
            (45.0, 100.0, true),
            (290.0, 1000.0, false),
            (320.0, 1000.0, true),
        ] {
            assert_eq!(is_flood(lost, sent), expected, "{lost} of {sent}");
        }
    }

    #[test]
    fn an_accepted_loss_is_the_base_at_once() {
        let now = Instant::now();
        let mut meter = LossMeter::new(now);
        is_excess(&mut meter, now, 0);
        meter.accept(now, 0.1);
        assert!(!is_excess(&mut meter, now, 105));
        assert!((meter.base() - 0.1).abs() < 0.01, "{}", meter.base());
    }

    #[test]
    fn a_loss_is_unusual_by_what_the_path_loses_and_not_by_what_was_lost_of_late() {
        let now = Instant::now();
        let mut meter = LossMeter::new(now);
        is_excess(&mut meter, now, 10);
        is_excess(&mut meter, now, 400);
        assert!(meter.is_unusual(60.0, 1000.0));
        assert!(!meter.is_unusual(15.0, 1000.0));
    }

    #[test]
    fn head_room_is_bounded() {
        let now = Instant::now();
        let mut meter = LossMeter::new(now);
        is_excess(&mut meter, now, 900);
        assert!(meter.base() <= SHARE_MAX);
    }
}
