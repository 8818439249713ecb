//! Incoming connections that wait for their handshake, and how many handshakes a second are done.
//!
//! A handshake costs a signature before anything is known of who asks for it, so strangers who do nothing else could take
//! the time of those who are inside. Only so many a second are begun; who comes in a crowd waits for its turn, one of each
//! address in turn. The wait is short of what a client notices: even behind a full queue it is
//! [`INCOMING_MAX`] / [`HANDSHAKES_A_SECOND`] seconds.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::source_prefix::SourcePrefix;

/// Handshakes that are begun in a second while more are wanted. One costs some 0.3 ms of a core, so all of them an eighth.
pub const HANDSHAKES_A_SECOND: u32 = 400;
/// Handshakes that are begun at once after a quiet time: a build farm's start does not wait.
pub const HANDSHAKES_AT_ONCE: u32 = 128;
/// Connections that wait; what comes above is not answered, and a client asks again by itself after 0.3 s.
pub const INCOMING_MAX: usize = 512;
/// The same from one address, so that a crowd behind one leaves room for the others.
pub const INCOMING_PER_ADDRESS_MAX: usize = INCOMING_MAX / 2;

/// Those who wait, and how many may go on.
#[derive(Debug)]
pub(super) struct IncomingQueue<T> {
    waiting: HashMap<SourcePrefix, VecDeque<T>>,
    /// Addresses with somebody who waits, in the order of their turns.
    turns: VecDeque<SourcePrefix>,
    count: usize,
    /// Handshakes that may begin now.
    allowed: f64,
    at: Instant,
}

impl<T> IncomingQueue<T> {
    pub(super) fn new(now: Instant) -> Self {
        let allowed = f64::from(HANDSHAKES_AT_ONCE);
        Self { waiting: HashMap::new(), turns: VecDeque::new(), count: 0, allowed, at: now }
    }

    /// Lets somebody wait; gives it back where there is no room for more.
    pub(super) fn push(&mut self, prefix: SourcePrefix, incoming: T) -> Result<(), T> {
        let of_prefix = self.waiting.get(&prefix).map_or(0, VecDeque::len);
        if self.count >= INCOMING_MAX || of_prefix >= INCOMING_PER_ADDRESS_MAX {
            return Err(incoming);
        }
        if of_prefix == 0 {
            self.turns.push_back(prefix);
        }
        self.waiting.entry(prefix).or_default().push_back(incoming);
        self.count += 1;
        Ok(())
    }

    /// Whether more wait than can go on at once.
    pub(super) fn are_many(&self) -> bool {
        self.count > 0
    }

    /// When to call [`IncomingQueue::next`] again; `None` while nobody waits.
    pub(super) fn next_at(&self) -> Option<Instant> {
        let missing = (1.0 - self.allowed).max(0.0) / f64::from(HANDSHAKES_A_SECOND);
        (self.count > 0).then(|| self.at + Duration::from_secs_f64(missing))
    }

    /// The next one whose handshake may begin.
    pub(super) fn next(&mut self, now: Instant) -> Option<T> {
        let earned = now.saturating_duration_since(self.at).as_secs_f64() * f64::from(HANDSHAKES_A_SECOND);
        self.allowed = (self.allowed + earned).min(HANDSHAKES_AT_ONCE.into());
        self.at = self.at.max(now);
        // A timer may be early by what rounding leaves.
        if self.allowed < 0.999 {
            return None;
        }
        let prefix = self.turns.pop_front()?;
        let queue = self.waiting.get_mut(&prefix).expect("who has a turn has somebody who waits");
        let incoming = queue.pop_front().expect("an empty queue has no turn");
        if queue.is_empty() {
            self.waiting.remove(&prefix);
        } else {
            self.turns.push_back(prefix);
        }
        self.count -= 1;
        self.allowed -= 1.0;
        Some(incoming)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn house(host: u8) -> SourcePrefix {
        SourcePrefix::of(([10, 0, 0, host], 1).into())
    }

    #[test]
    fn the_first_ones_do_not_wait_and_a_crowd_goes_on_at_the_rate() {
        let start = Instant::now();
        let mut queue = IncomingQueue::new(start);
        let (mut now, mut begun) = (start, 0);
        while now < start + Duration::from_secs(2) {
            while queue.push(house(1), ()).is_ok() {}
            while queue.next(now).is_some() {
                begun += 1;
            }
            now = queue.next_at().expect("many wait");
        }
        let most = HANDSHAKES_AT_ONCE + 2 * HANDSHAKES_A_SECOND;
        assert!((most - 2..=most + 2).contains(&begun), "{begun}");
    }

    #[test]
    fn a_crowd_behind_one_address_makes_no_other_wait() {
        let start = Instant::now();
        let mut queue = IncomingQueue::new(start);
        for n in 0..2 * INCOMING_MAX {
            assert_eq!(queue.push(house(1), n).is_ok(), n < INCOMING_PER_ADDRESS_MAX);
        }
        queue.push(house(2), 7777).expect("there is room for others");
        assert_eq!((queue.next(start), queue.next(start)), (Some(0), Some(7777)));
        let rest: Vec<_> = std::iter::from_fn(|| queue.next(start)).collect();
        assert_eq!(rest.len(), HANDSHAKES_AT_ONCE as usize - 2);
    }

    #[test]
    fn nobody_who_waits_is_forgotten_and_nothing_is_remembered_of_who_is_gone() {
        let mut now = Instant::now();
        let mut queue = IncomingQueue::new(now);
        for n in 0..INCOMING_MAX {
            queue.push(house((n % 7) as u8), n).expect("there is room");
        }
        assert!(queue.push(house(9), 0).is_err());
        let mut seen = Vec::new();
        while let Some(at) = queue.next_at() {
            now = now.max(at);
            seen.extend(queue.next(now));
        }
        seen.sort_unstable();
        assert!(seen.into_iter().eq(0..INCOMING_MAX));
        assert!(queue.waiting.is_empty() && queue.turns.is_empty() && !queue.are_many());
    }
}
