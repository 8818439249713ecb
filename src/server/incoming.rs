//! Incoming connections that wait for their handshake, and how many handshakes a second are done.
//!
//! A handshake costs a signature before anything is known of who asks for it, so strangers who do nothing else could take
//! the time of those who are inside. While anybody is served only so many a second are begun; who comes in a crowd waits for
//! its turn, one of each address in turn. While nobody is served that time is nobody's, and four times as many are begun: a
//! client that comes then does not stand behind a crowd that is larger than the lower rate.
//!
//! Of a crowd behind one address few wait here, so that whoever gets into the line is through it at about the time at which it
//! would ask again by itself: after [`INCOMING_PER_ADDRESS_MAX`] / [`HANDSHAKES_A_SECOND`] seconds at most.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::source_prefix::SourcePrefix;

/// Handshakes that are begun in a second while somebody is served and more are wanted. One costs some 0.3 ms of a core, so
/// all of them an eighth.
pub const HANDSHAKES_A_SECOND: u32 = 400;
/// The same while nobody is served: half a core.
pub const HANDSHAKES_A_SECOND_AT_REST: u32 = 4 * HANDSHAKES_A_SECOND;
/// Handshakes that are begun at once after a quiet time: a build farm's start does not wait.
pub const HANDSHAKES_AT_ONCE: u32 = 128;
/// Connections that wait; what comes above is not answered, and a client asks again by itself after 0.3 s.
pub const INCOMING_MAX: usize = 512;
/// The same from one address, so that a crowd behind one leaves room for the others.
pub const INCOMING_PER_ADDRESS_MAX: usize = INCOMING_MAX / 4;
/// Time between two looks whether anybody is served, and whether there is a place again where there was none.
const LOOK: Duration = Duration::from_millis(10);

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
    a_second: u32,
    /// When it was looked last whether anybody is served.
    looked: Option<Instant>,
    /// Nobody who waits has a place until then, as far as is known.
    blocked_until: Option<Instant>,
}

impl<T> IncomingQueue<T> {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            waiting: HashMap::new(),
            turns: VecDeque::new(),
            count: 0,
            allowed: f64::from(HANDSHAKES_AT_ONCE),
            at: now,
            a_second: HANDSHAKES_A_SECOND,
            looked: None,
            blocked_until: None,
        }
    }

    /// Lets somebody wait; gives it back where there is no room for more.
    pub(super) fn push(&mut self, prefix: SourcePrefix, incoming: T) -> Result<(), T> {
        let of_prefix = self.waiting.get(&prefix).map_or(0, VecDeque::len);
        if self.count >= INCOMING_MAX || of_prefix >= INCOMING_PER_ADDRESS_MAX {
            return Err(incoming);
        }
        if of_prefix == 0 {
            self.turns.push_back(prefix);
            // There may be a place for this one.
            self.blocked_until = None;
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
        let missing = (1.0 - self.allowed).max(0.0) / f64::from(self.a_second);
        let allowed_at = self.at + Duration::from_secs_f64(missing);
        (self.count > 0).then(|| self.blocked_until.map_or(allowed_at, |until| until.max(allowed_at)))
    }

    /// Sets the rate by whether anybody is served, which is asked now and then while somebody waits.
    pub(super) fn look(&mut self, now: Instant, is_anybody_served: impl FnOnce() -> bool) {
        let is_due = self.looked.is_none_or(|looked| now.saturating_duration_since(looked) >= LOOK);
        if self.count == 0 || !is_due {
            return;
        }
        // What was earned before was earned at the rate before.
        self.earn(now);
        self.looked = Some(now);
        self.a_second = if is_anybody_served() { HANDSHAKES_A_SECOND } else { HANDSHAKES_A_SECOND_AT_REST };
    }

    fn earn(&mut self, now: Instant) {
        let earned = now.saturating_duration_since(self.at).as_secs_f64() * f64::from(self.a_second);
        self.allowed = (self.allowed + earned).min(HANDSHAKES_AT_ONCE.into());
        self.at = self.at.max(now);
    }

    /// The next one whose handshake may begin; `has_place` says whether one from an address may.
    pub(super) fn next(&mut self, now: Instant, has_place: impl Fn(SourcePrefix) -> bool) -> Option<T> {
        self.earn(now);
        // A timer may be early by what rounding leaves.
        if self.allowed < 0.999 || self.blocked_until.is_some_and(|until| now < until) {
            return None;
        }
        let turn = self.turns.iter().position(|prefix| has_place(*prefix));
        self.blocked_until = (turn.is_none() && self.count > 0).then(|| now + LOOK);
        let prefix = self.turns.remove(turn?).expect("it was found there");
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

    /// Handshakes that are begun in two seconds in which more are wanted.
    fn begun_in_two_seconds(start: Instant, queue: &mut IncomingQueue<()>, is_anybody_served: bool) -> u32 {
        let (mut now, mut begun) = (start, 0);
        while now < start + Duration::from_secs(2) {
            while queue.push(house(1), ()).is_ok() {}
            queue.look(now, || is_anybody_served);
            while queue.next(now, |_| true).is_some() {
                begun += 1;
                while queue.push(house(1), ()).is_ok() {}
            }
            now = queue.next_at().expect("many wait");
        }
        begun
    }

    #[test]
    fn the_first_ones_do_not_wait_and_a_crowd_goes_on_at_the_rate() {
        for (is_anybody_served, a_second) in [(true, HANDSHAKES_A_SECOND), (false, HANDSHAKES_A_SECOND_AT_REST)] {
            let start = Instant::now();
            let begun = begun_in_two_seconds(start, &mut IncomingQueue::new(start), is_anybody_served);
            let most = HANDSHAKES_AT_ONCE + 2 * a_second;
            assert!((most - 2..=most + 2).contains(&begun), "{begun} while served: {is_anybody_served}");
        }
    }

    #[test]
    fn once_somebody_is_served_a_crowd_that_was_there_before_goes_on_at_the_lower_rate() {
        let start = Instant::now();
        let mut queue = IncomingQueue::new(start);
        begun_in_two_seconds(start, &mut queue, false);
        let begun = begun_in_two_seconds(start + Duration::from_secs(2), &mut queue, true);
        // Until the next look the rate stays.
        let late = (LOOK.as_secs_f64() * f64::from(HANDSHAKES_A_SECOND_AT_REST)) as u32;
        let most = 2 * HANDSHAKES_A_SECOND;
        assert!((most - 2..=most + late + 2).contains(&begun), "{begun}");
    }

    #[test]
    fn whether_anybody_is_served_is_asked_only_while_somebody_waits_and_not_at_each_step() {
        let start = Instant::now();
        let mut queue = IncomingQueue::new(start);
        queue.look(start, || panic!("nobody waits"));
        queue.push(house(1), ()).expect("there is room");
        queue.look(start, || true);
        queue.look(start + LOOK / 2, || panic!("it was asked just now"));
    }

    #[test]
    fn a_crowd_behind_one_address_makes_no_other_wait() {
        let start = Instant::now();
        let mut queue = IncomingQueue::new(start);
        for n in 0..2 * INCOMING_MAX {
            assert_eq!(queue.push(house(1), n).is_ok(), n < INCOMING_PER_ADDRESS_MAX);
        }
        queue.push(house(2), 7777).expect("there is room for others");
        let mut next = || queue.next(start, |_| true);
        assert_eq!((next(), next()), (Some(0), Some(7777)));
        let rest: Vec<_> = std::iter::from_fn(next).collect();
        assert_eq!(rest.len(), HANDSHAKES_AT_ONCE as usize - 2);
    }

    #[test]
    fn an_address_without_a_place_loses_no_turn_and_makes_no_other_wait() {
        let start = Instant::now();
        let mut queue = IncomingQueue::new(start);
        for n in [1, 2, 3] {
            queue.push(house(1), n).expect("there is room");
        }
        queue.push(house(2), 7777).expect("there is room");
        assert_eq!(queue.next(start, |prefix| prefix == house(2)), Some(7777));
        assert_eq!(queue.next(start, |_| false), None);
        // It is looked again after a while, and not all the time.
        assert_eq!(queue.next_at(), Some(start + LOOK));
        assert_eq!(queue.next(start + LOOK / 2, |_| panic!("it was asked just now")), None);
        queue.push(house(3), 8888).expect("there is room");
        assert_eq!(
            queue.next(start + LOOK / 2, |prefix| prefix == house(3)),
            Some(8888),
            "nobody has asked for it yet"
        );
        assert_eq!(queue.next(start + LOOK, |_| true), Some(1));
        assert_eq!(queue.next(start + LOOK, |_| true), Some(2));
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
            seen.extend(queue.next(now, |_| true));
        }
        seen.sort_unstable();
        assert!(seen.into_iter().eq(0..INCOMING_MAX));
        assert!(queue.waiting.is_empty() && queue.turns.is_empty() && !queue.are_many());
    }
}
