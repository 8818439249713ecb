//! How many connections there may be, and whose goes when there are too many.
//!
//! As with pending connections: at the bound the *oldest* goes that has not asked for anything that it may have, for an
//! honest request takes a round trip or two. Whoever only holds connections open loses them, and a scraper gets through.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::oneshot;

use super::super::source_prefix::SourcePrefix;

/// Connections at the same time.
pub const HTTP_CONNECTIONS_MAX: usize = 64;
/// Of these from one address, so that one leaves room for the others.
pub const HTTP_CONNECTIONS_PER_ADDRESS_MAX: usize = HTTP_CONNECTIONS_MAX / 2;

#[derive(Debug, Default)]
pub(super) struct HttpSlots(Mutex<HttpSlotsState>);

#[derive(Debug, Default)]
struct HttpSlotsState {
    next: u64,
    /// Oldest first.
    taken: VecDeque<TakenSlot>,
}

#[derive(Debug)]
struct TakenSlot {
    number: u64,
    prefix: SourcePrefix,
    /// It has asked for something that it may have.
    is_known: bool,
    /// Dropped to end the connection.
    _hold: oneshot::Sender<()>,
}

impl HttpSlots {
    fn state(&self) -> MutexGuard<'_, HttpSlotsState> {
        self.0.lock().expect("no holder panics")
    }

    /// A place for one more, and whether another had to go for it; `None` when all that are there are known.
    pub(super) fn take(self: &Arc<Self>, prefix: SourcePrefix) -> Option<(HttpSlot, bool)> {
        let mut state = self.state();
        let of_prefix = state.taken.iter().filter(|taken| taken.prefix == prefix).count();
        let is_full = match (of_prefix, state.taken.len()) {
            (HTTP_CONNECTIONS_PER_ADDRESS_MAX.., _) => {
                state.send_oldest_away(|taken| taken.prefix == prefix)?;
                true
            }
            (_, HTTP_CONNECTIONS_MAX..) => {
                state.send_oldest_away(|_| true)?;
                true
            }
            _ => false,
        };
        let (hold, ended) = oneshot::channel();
        let number = state.next;
        state.next += 1;
        state.taken.push_back(TakenSlot { number, prefix, is_known: false, _hold: hold });
        drop(state);
        Some((HttpSlot { slots: self.clone(), number, ended }, is_full))
    }

    /// The connection of that seat has asked for something that it may have.
    pub(super) fn know(&self, number: u64) {
        if let Some(taken) = self.state().taken.iter_mut().find(|taken| taken.number == number) {
            taken.is_known = true;
        }
    }
}

impl HttpSlotsState {
    fn send_oldest_away(&mut self, is_meant: impl Fn(&TakenSlot) -> bool) -> Option<()> {
        let at = self.taken.iter().position(|taken| !taken.is_known && is_meant(taken))?;
        self.taken.remove(at).map(drop)
    }
}

/// One connection's place; given back when it is dropped.
#[derive(Debug)]
pub(super) struct HttpSlot {
    slots: Arc<HttpSlots>,
    number: u64,
    ended: oneshot::Receiver<()>,
}

impl HttpSlot {
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Resolves when the place is given to somebody else.
    pub(super) async fn lost(&mut self) {
        // The other half says nothing; it is dropped.
        let _ = (&mut self.ended).await;
    }
}

impl Drop for HttpSlot {
    fn drop(&mut self) {
        self.slots.state().taken.retain(|taken| taken.number != self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(host: u8) -> SourcePrefix {
        SourcePrefix::of(([10, 0, 0, host], 1).into())
    }

    fn is_lost(slot: &mut HttpSlot) -> bool {
        !matches!(slot.ended.try_recv(), Err(oneshot::error::TryRecvError::Empty))
    }

    #[test]
    fn ten_thousand_silent_connections_keep_no_scraper_out() {
        let slots = Arc::<HttpSlots>::default();
        let (scraper, _) = slots.take(prefix(200)).expect("there is room");
        slots.know(scraper.number());
        let mut silent: Vec<HttpSlot> = Vec::new();
        for n in 0..10_000_u32 {
            silent.extend(slots.take(prefix((n % 100) as u8)).map(|(slot, _)| slot));
            silent.retain_mut(|slot| !is_lost(slot));
            assert!(slots.state().taken.len() <= HTTP_CONNECTIONS_MAX);
        }
        assert_eq!(silent.len(), HTTP_CONNECTIONS_MAX - 1);
        let (mut next, was_full) = slots.take(prefix(201)).expect("the oldest goes");
        assert!(was_full && is_lost(&mut silent[0]) && !is_lost(&mut next));
        let mut scraper = scraper;
        assert!(!is_lost(&mut scraper), "whoever asked for something stays");
    }

    #[test]
    fn one_address_leaves_room_for_the_others() {
        let slots = Arc::<HttpSlots>::default();
        let mut held: Vec<HttpSlot> = Vec::new();
        for n in 0..HTTP_CONNECTIONS_PER_ADDRESS_MAX {
            let (slot, was_full) = slots.take(prefix(1)).expect("there is room");
            assert!(!was_full, "{n}");
            held.push(slot);
        }
        let (_more, was_full) = slots.take(prefix(1)).expect("its own oldest goes");
        assert!(was_full && is_lost(&mut held[0]));
        let (other, was_full) = slots.take(prefix(2)).expect("there is room for others");
        assert!(!was_full);
        drop(other);
        held.iter().for_each(|slot| slots.know(slot.number()));
        drop(_more);
        let (_one, _) = slots.take(prefix(1)).expect("room was given back");
    }

    #[test]
    fn when_all_are_known_the_next_has_to_wait() {
        let slots = Arc::<HttpSlots>::default();
        let all: Vec<_> = (0..HTTP_CONNECTIONS_MAX as u8).filter_map(|n| slots.take(prefix(n))).collect();
        all.iter().for_each(|(slot, _)| slots.know(slot.number()));
        assert_eq!(all.len(), HTTP_CONNECTIONS_MAX);
        assert!(slots.take(prefix(99)).is_none());
        drop(all);
        assert!(slots.take(prefix(99)).is_some());
    }
}
