//! How often a packet is to leave: the rules, without sockets and clocks.

use std::time::{Duration, Instant};

use crate::transport::limits::MTU_NETWORK;

/// Most duplicates of a packet beside itself.
pub(super) const COPIES_MAX: u32 = 3;
/// Packets of a flight that may be missed all the same, on average, when all that was lost of it has been sent again
/// once: one transfer in fifty pays for one more round trip.
const MISSED_MAX: f64 = 0.02;
/// Of what the path carries, the part that packets and their duplicates may take together. While we send more, nothing
/// is copied: the link is in use.
const SHARE: f64 = 0.5;
/// Time that may be caught up, and that a full link is remembered: what leaves in one go is a few milliseconds of it.
const MEMORY: Duration = Duration::from_millis(10);
/// The least of that: a packet with all its duplicates, however slow the path.
const CREDIT_MIN: f64 = (1 + COPIES_MAX as u64) as f64 * MTU_NETWORK as f64;
/// Bytes that must have been acknowledged before anything is copied. A loss counted among fewer packets says little; and
/// who has acknowledged as much is where it says it is, so that nobody can be flooded through us.
const ACKNOWLEDGED_MIN: f64 = 64.0 * MTU_NETWORK as f64;
/// Bytes after which those before count half.
const HALF_LIFE: f64 = (4 << 20) as f64;
/// Duplicates of what is urgent.
const URGENT_COPIES: u32 = 2;
/// Packets, with their duplicates, that may leave as urgent: a message or two, and what acknowledgements leave
/// meanwhile.
const URGENT_BYTES_MAX: usize = 16 << 10;

/// The capacity that one connection leaves unused, and how much of it duplicates may take.
#[derive(Debug)]
pub(super) struct IdleBudget {
    /// Bytes of late.
    acknowledged: f64,
    lost: f64,
    /// Bytes per second that the path carries.
    rate: f64,
    /// Packets that it holds.
    flight: f64,
    /// Bytes that may be copied; below zero while the link is in use.
    credit: f64,
    at: Instant,
    /// Until when what leaves is waited for, and how many bytes of it may be copied.
    urgent: Option<(Instant, usize)>,
}

impl IdleBudget {
    pub(super) fn new(now: Instant) -> Self {
        Self { acknowledged: 0.0, lost: 0.0, rate: 0.0, flight: 0.0, credit: 0.0, at: now, urgent: None }
    }

    pub(super) fn on_acknowledged(&mut self, bytes: u64) {
        self.acknowledged += bytes as f64;
        if self.acknowledged > HALF_LIFE {
            self.acknowledged /= 2.0;
            self.lost /= 2.0;
        }
    }

    pub(super) fn on_lost(&mut self, bytes: u64) {
        self.lost += bytes as f64;
    }

    /// The path carries `rate` bytes per second, and `flight` bytes are under way when it is full.
    pub(super) fn on_path(&mut self, rate: f64, flight: u64) {
        self.rate = rate;
        self.flight = flight as f64 / f64::from(MTU_NETWORK);
    }

    /// What leaves until then is short and waited for: it is copied whatever is known of the path.
    pub(super) fn on_urgent(&mut self, until: Instant) {
        self.urgent = Some((until, URGENT_BYTES_MAX));
    }

    /// `bytes` have left: how many duplicates of them are to follow. They are counted as sent.
    pub(super) fn on_sent(&mut self, now: Instant, bytes: usize) -> u32 {
        self.earn(now);
        self.spend(bytes);
        if let Some(duplicates) = self.urgent_duplicates(now, bytes) {
            return duplicates;
        }
        if self.acknowledged < ACKNOWLEDGED_MIN {
            return 0;
        }
        let wanted = duplicates_for(self.loss(), self.flight);
        let mut duplicates = 0;
        while duplicates < wanted && self.credit >= bytes as f64 {
            self.spend(bytes);
            duplicates += 1;
        }
        duplicates
    }

    /// The part of what was sent that was lost, of late.
    fn loss(&self) -> f64 {
        self.lost / (self.acknowledged + self.lost).max(1.0)
    }

    fn urgent_duplicates(&mut self, now: Instant, bytes: usize) -> Option<u32> {
        let (until, left) = self.urgent.as_mut()?;
        match left.checked_sub(bytes * (1 + URGENT_COPIES as usize)) {
            Some(rest) if now <= *until => {
                *left = rest;
                Some(URGENT_COPIES)
            }
            _ => {
                self.urgent = None;
                None
            }
        }
    }

    fn earn(&mut self, now: Instant) {
        let earned = now.saturating_duration_since(self.at).as_secs_f64() * self.rate * SHARE;
        self.credit = (self.credit + earned).min(self.credit_max());
        self.at = self.at.max(now);
    }

    fn spend(&mut self, bytes: usize) {
        self.credit = (self.credit - bytes as f64).max(-self.credit_max());
    }

    fn credit_max(&self) -> f64 {
        (self.rate * SHARE * MEMORY.as_secs_f64()).max(CREDIT_MIN)
    }
}

/// Duplicates of each packet that is sent again, so that a flight of which a part of `loss` is lost is whole after one
/// round of repairs.
fn duplicates_for(loss: f64, flight: f64) -> u32 {
    // Lost, and lost again.
    let mut missed = flight * loss * loss;
    let mut duplicates = 0;
    while missed > MISSED_MAX && duplicates < COPIES_MAX {
        missed *= loss;
        duplicates += 1;
    }
    duplicates
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PACKET: usize = MTU_NETWORK as usize;
    const SECOND: Duration = Duration::from_secs(1);
    /// 100 Mbit/s.
    const RATE: f64 = 12.5e6;
    const FLIGHT: u64 = 2_500_000;

    /// A path of [`RATE`] and [`FLIGHT`], of which a part of `loss` is lost, after a second of silence.
    fn path(start: Instant, loss: f64) -> IdleBudget {
        let mut idle = IdleBudget::new(start);
        idle.on_path(RATE, FLIGHT);
        idle.on_acknowledged(1_000_000);
        idle.on_lost((1e6 * loss / (1.0 - loss)) as u64);
        idle
    }

    #[test]
    fn as_many_copies_as_it_takes_to_repair_a_flight_in_one_round() {
        for (loss, flight, duplicates) in [
            (0.0, 1e6, 0),
            (0.001, 1700.0, 0),
            (0.01, 50.0, 0),
            (0.01, 850.0, 1),
            (0.05, 5.0, 0),
            (0.05, 1700.0, 2),
            (0.1, 1700.0, 3),
            (0.1, 15.0, 1),
            (0.5, 1e6, COPIES_MAX),
        ] {
            assert_eq!(duplicates_for(loss, flight), duplicates, "{loss} of {flight}");
        }
    }

    #[test]
    fn a_path_without_loss_carries_no_copies() {
        let start = Instant::now();
        let mut idle = path(start, 0.0);
        assert!((1..1000).all(|n| idle.on_sent(start + n * SECOND, PACKET) == 0));
    }

    #[test]
    fn a_full_link_carries_no_copies_and_they_begin_soon_after_it() {
        let start = Instant::now();
        let mut idle = path(start, 0.05);
        let step = Duration::from_secs_f64(PACKET as f64 / RATE);
        let full: Vec<u32> = (1..10_000).map(|n| idle.on_sent(start + n * step, PACKET)).collect();
        let begun = CREDIT_MIN.max(RATE * SHARE * MEMORY.as_secs_f64()) as usize / PACKET;
        assert!(full[2 * begun..].iter().all(|duplicates| *duplicates == 0), "copies on a full link");
        let end = start + 10_000 * step;
        let first = (1..).find(|wait| idle.on_sent(end + *wait * MEMORY / 4, 100) == 2);
        assert!(first.is_some_and(|wait| wait <= 8), "{first:?}");
    }

    #[test]
    fn little_is_known_of_a_path_that_has_acknowledged_little() {
        let start = Instant::now();
        let mut idle = IdleBudget::new(start);
        idle.on_path(RATE, FLIGHT);
        idle.on_lost(1_000_000);
        idle.on_acknowledged(ACKNOWLEDGED_MIN as u64 - 1);
        assert_eq!(idle.on_sent(start + SECOND, PACKET), 0);
        idle.on_acknowledged(2);
        assert_eq!(idle.on_sent(start + 2 * SECOND, PACKET), COPIES_MAX);
    }

    #[test]
    fn what_was_lost_is_forgotten() {
        let start = Instant::now();
        let mut idle = path(start, 0.05);
        assert_eq!(idle.on_sent(start + SECOND, PACKET), 2);
        for _ in 0..100 {
            idle.on_acknowledged(HALF_LIFE as u64 / 4);
        }
        assert_eq!(idle.on_sent(start + 2 * SECOND, PACKET), 0);
    }

    #[test]
    fn what_is_urgent_is_copied_on_any_path_for_a_while_and_not_without_end() {
        let start = Instant::now();
        let mut idle = IdleBudget::new(start);
        idle.on_urgent(start + SECOND);
        assert_eq!(idle.on_sent(start, 100), URGENT_COPIES);
        assert_eq!(idle.on_sent(start + SECOND, 100), URGENT_COPIES);
        assert_eq!(idle.on_sent(start + SECOND + MEMORY, 100), 0, "too late");
        idle.on_urgent(start + 3 * SECOND);
        let copied: u32 = (0..1000).map(|_| 100 * idle.on_sent(start + 2 * SECOND, 100)).sum();
        assert!(copied > 0 && copied as usize <= URGENT_BYTES_MAX, "{copied}");
    }

    proptest! {
        #[test]
        fn copies_take_no_more_than_their_share_of_what_the_path_carries(
            loss in 0.0..0.9_f64, sends in proptest::collection::vec((0_u64..20_000, 1_usize..65_000), 1..300),
        ) {
            let start = Instant::now();
            let mut idle = path(start, loss);
            let (mut now, mut sent, mut copied) = (start, 0, 0);
            for (micros, bytes) in sends {
                now += Duration::from_micros(micros);
                let duplicates = idle.on_sent(now, bytes);
                prop_assert!(duplicates <= COPIES_MAX);
                sent += bytes;
                copied += duplicates as usize * bytes;
            }
            let earned = (now - start).as_secs_f64() * RATE * SHARE + idle.credit_max();
            prop_assert!(copied as f64 <= earned, "{} beside {}, {}", copied, sent, earned);
        }
    }
}
