//! Places for clients: how many are inside, whose they are, and whose place goes to the next.
//!
//! No address and no key has more than its part of the places. Where none is free, a client that does nothing gives its
//! place up: first those of the key that has most, then those that have done nothing for longest. It is told so
//! ([`CloseCode::Busy`]), and a client that still has work comes again by itself.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::source_prefix::SourcePrefix;
use crate::keys::Fingerprint;
use crate::protocol::close::CloseCode;
use crate::transport::limits::KEEP_ALIVE;

/// Clients that are let in at the same time unless told otherwise. What all of them together make a server hold is
/// bounded beside that, by its budget.
pub const CLIENTS_MAX: usize = 64;
/// One address (one home, one office behind a router) may hold this part of the places: a half.
pub const ADDRESS_SHARE: usize = 2;
/// One key may hold this part of the places: a half. Even a command for each file of a directory stays below it.
pub const KEY_SHARE: usize = 2;
/// A client without a job may be put out after this time: a command begins its job with its first packet.
pub const IDLE_AFTER: Duration = Duration::from_secs(10);
/// A client whose job stands still, and not for our sake, may be put out after this time.
pub const STILL_AFTER: Duration = Duration::from_secs(60);

/// A client may put out a connection of its own over which nothing has come for this time: it has lost it, and comes again
/// with the same job. One that it still has says something every [`KEEP_ALIVE`].
pub(super) const SILENT_AFTER: Duration = KEEP_ALIVE.saturating_add(Duration::from_secs(2));

/// All places of a server.
#[derive(Debug)]
pub(super) struct Places {
    max: usize,
    state: Mutex<PlacesState>,
}

#[derive(Debug, Default)]
struct PlacesState {
    next: u64,
    taken: Vec<TakenPlace>,
}

struct TakenPlace {
    number: u64,
    prefix: SourcePrefix,
    key: Fingerprint,
    /// The client's activity at the last look, and since when it has not changed.
    work: ClientActivity,
    since: Instant,
    /// The packets that have come from it, and since when none has.
    received: u64,
    heard: Instant,
    put_out: Box<dyn Fn() + Send>,
}

impl std::fmt::Debug for TakenPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { number, prefix, key, work, .. } = self;
        f.debug_struct("TakenPlace")
            .field("number", number)
            .field("prefix", prefix)
            .field("key", &key.short())
            .field("work", work)
            .finish_non_exhaustive()
    }
}

/// The activity of a client, as far as it can be seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct ClientActivity {
    /// It has a job that is not over.
    pub(super) runs: bool,
    /// This end owes it the next step.
    pub(super) is_ours: bool,
    /// The progress of its jobs so far, as a number that only grows.
    pub(super) moved: u64,
}

impl TakenPlace {
    fn may_be_put_out(&self, now: Instant) -> bool {
        let patience = if self.work.runs { STILL_AFTER } else { IDLE_AFTER };
        !self.work.is_ours && now.saturating_duration_since(self.since) >= patience
    }

    /// Whether nothing has come from it for so long that the next connection of the same client may take its place.
    fn is_silent(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.heard) >= SILENT_AFTER
    }
}

impl Places {
    pub(super) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { max, state: Mutex::default() })
    }

    /// Most that are inside at the same time.
    pub(super) fn max(&self) -> usize {
        self.max
    }

    fn state(&self) -> MutexGuard<'_, PlacesState> {
        self.state.lock().expect("no holder panics")
    }

    /// Whether somebody from there could get a place, as far as that can be told before its key is known.
    pub(super) fn may_have_room(&self, prefix: SourcePrefix, now: Instant) -> bool {
        let state = self.state();
        self.limit(&state, prefix, None)
            .is_none_or(|limit| state.whose(limit).any(|taken| taken.may_be_put_out(now) || taken.is_silent(now)))
    }

    /// The limit that stands in the way of one more.
    fn limit(&self, state: &PlacesState, prefix: SourcePrefix, key: Option<Fingerprint>) -> Option<PlaceLimit> {
        let limits = [Some(PlaceLimit::Address(prefix)), key.map(PlaceLimit::Key), Some(PlaceLimit::All)];
        limits.into_iter().flatten().find(|limit| state.whose(*limit).count() >= limit.most(self.max))
    }

    /// Takes a place; `put_out` ends the connection when the place is to go to another.
    ///
    /// # Errors
    /// [`CloseCode::Busy`] when none is free and nobody who does nothing has more than the one who asks.
    pub(super) fn enter(
        self: &Arc<Self>,
        prefix: SourcePrefix,
        key: Fingerprint,
        now: Instant,
        put_out: impl Fn() + Send + 'static,
    ) -> Result<PlaceGuard, CloseCode> {
        let mut state = self.state();
        while let Some(limit) = self.limit(&state, prefix, Some(key)) {
            let at = state.first_to_go(limit, key, now).ok_or(CloseCode::Busy)?;
            let gone = state.taken.swap_remove(at);
            (gone.put_out)();
        }
        let number = state.next;
        state.next += 1;
        let put_out = Box::new(put_out);
        let (work, since, heard) = (ClientActivity::default(), now, now);
        state.taken.push(TakenPlace { number, prefix, key, work, since, received: 0, heard, put_out });
        drop(state);
        Ok(PlaceGuard { places: self.clone(), number })
    }
}

/// A bound on places.
#[derive(Debug, Clone, Copy)]
enum PlaceLimit {
    All,
    Address(SourcePrefix),
    Key(Fingerprint),
}

impl PlaceLimit {
    fn holds_for(self, taken: &TakenPlace) -> bool {
        match self {
            Self::All => true,
            Self::Address(prefix) => taken.prefix == prefix,
            Self::Key(key) => taken.key == key,
        }
    }

    fn most(self, all: usize) -> usize {
        match self {
            Self::All => all,
            Self::Address(_) => all.div_ceil(ADDRESS_SHARE),
            Self::Key(_) => all.div_ceil(KEY_SHARE),
        }
    }
}

impl PlacesState {
    fn whose(&self, limit: PlaceLimit) -> impl Iterator<Item = &TakenPlace> {
        self.taken.iter().filter(move |taken| limit.holds_for(taken))
    }

    fn places_of(&self, key: Fingerprint) -> usize {
        self.whose(PlaceLimit::Key(key)).count()
    }

    /// The client that gives its place up for `newcomer`.
    fn first_to_go(&self, limit: PlaceLimit, newcomer: Fingerprint, now: Instant) -> Option<usize> {
        let own = self.places_of(newcomer);
        let may_go = self.taken.iter().enumerate().filter(|(_, taken)| {
            let is_own = taken.key == newcomer;
            limit.holds_for(taken)
                && (taken.may_be_put_out(now) || is_own && taken.is_silent(now))
                && (is_own || self.places_of(taken.key) > own)
        });
        // A client that comes again takes the place of its own lost connection, and no other client's.
        let first = may_go.max_by_key(|(_, taken)| {
            let is_lost = taken.key == newcomer && taken.is_silent(now);
            (is_lost, self.places_of(taken.key), now.saturating_duration_since(taken.since))
        });
        first.map(|(at, _)| at)
    }
}

/// A client's place; given back when it is dropped.
#[derive(Debug)]
pub(super) struct PlaceGuard {
    places: Arc<Places>,
    number: u64,
}

impl PlaceGuard {
    /// Notes what the client does, and how many packets have come from it. To be called every second.
    pub(super) fn note(&self, work: ClientActivity, received: u64, now: Instant) {
        let mut state = self.places.state();
        let Some(taken) = state.taken.iter_mut().find(|taken| taken.number == self.number) else { return };
        if taken.work != work {
            (taken.work, taken.since) = (work, now);
        }
        if taken.received != received {
            (taken.received, taken.heard) = (received, now);
        }
    }

    /// Whether the place has gone to another client.
    pub(super) fn is_lost(&self) -> bool {
        !self.places.state().taken.iter().any(|taken| taken.number == self.number)
    }
}

impl Drop for PlaceGuard {
    fn drop(&mut self) {
        self.places.state().taken.retain(|taken| taken.number != self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::keys::Identity;

    fn key() -> Fingerprint {
        Identity::ephemeral().expect("a key").fingerprint()
    }

    fn house(host: u8) -> SourcePrefix {
        SourcePrefix::of(([10, 0, 0, host], 1).into())
    }

    /// Somebody who comes in, and whether it was put out.
    #[derive(Debug)]
    struct TestClient {
        place: PlaceGuard,
        is_out: Arc<AtomicBool>,
    }

    impl TestClient {
        fn is_out(&self) -> bool {
            assert_eq!(self.is_out.load(Ordering::Relaxed), self.place.is_lost());
            self.place.is_lost()
        }
    }

    fn enter(places: &Arc<Places>, host: u8, key: Fingerprint, now: Instant) -> Result<TestClient, CloseCode> {
        let is_out = Arc::<AtomicBool>::default();
        let put_out = is_out.clone();
        let place = places.enter(house(host), key, now, move || put_out.store(true, Ordering::Relaxed))?;
        Ok(TestClient { place, is_out })
    }

    #[test]
    fn places_are_counted_in_all_for_each_address_and_for_each_key_and_given_back() {
        let (places, now) = (Places::new(4), Instant::now());
        let of_one_address: Vec<_> = (0..3).map(|_| enter(&places, 1, key(), now).ok()).collect();
        assert_eq!(of_one_address.iter().flatten().count(), 2, "one address has half of the places");
        drop(of_one_address);
        let one = key();
        let of_one_key: Vec<_> = (0..3).map(|host| enter(&places, host, one, now).ok()).collect();
        assert_eq!(of_one_key.iter().flatten().count(), 2, "one key has half of the places");
        let others: Vec<_> = (5..8).map(|host| enter(&places, host, key(), now).ok()).collect();
        assert_eq!(others.iter().flatten().count(), 2, "all places are taken");
        drop((of_one_key, others));
        assert!(places.state().taken.is_empty());
    }

    #[test]
    fn who_does_nothing_gives_its_place_up_first_those_of_the_key_that_has_most() {
        let (places, start) = (Places::new(6), Instant::now());
        let (many, few) = (key(), key());
        let of_few: Vec<_> = (0..2).map(|host| enter(&places, host, few, start).expect("a place")).collect();
        let later = start + IDLE_AFTER / 2;
        let of_many: Vec<_> = (2..5).map(|host| enter(&places, host, many, later).expect("a place")).collect();
        let busy = enter(&places, 9, key(), start).expect("a place");
        assert!(enter(&places, 10, key(), later).is_err(), "all have just come");
        assert!(!places.may_have_room(house(10), later));
        let now = later + IDLE_AFTER;
        assert!(places.may_have_room(house(10), now));
        busy.place.note(ClientActivity { runs: true, is_ours: false, moved: 7 }, 1, now);
        let newcomer = enter(&places, 10, key(), now).expect("a place of the one with most");
        assert_eq!(of_many.iter().filter(|guest| guest.is_out()).count(), 1);
        assert!(of_few.iter().all(|guest| !guest.is_out()) && !busy.is_out() && !newcomer.is_out());
        let _own = enter(&places, 11, few, now).expect("the place of one of its own, for it has as many as the other");
        assert_eq!(of_few.iter().filter(|guest| guest.is_out()).count(), 1);
        assert_eq!(of_many.iter().filter(|guest| guest.is_out()).count(), 1);
    }

    #[test]
    fn a_job_that_stands_still_is_patiently_waited_for_and_one_that_waits_for_us_longer() {
        let (places, start) = (Places::new(1), Instant::now());
        let guest = enter(&places, 1, key(), start).expect("a place");
        guest.place.note(ClientActivity { runs: true, is_ours: true, moved: 0 }, 1, start);
        assert!(enter(&places, 2, key(), start + STILL_AFTER * 100).is_err());
        guest.place.note(ClientActivity { runs: true, is_ours: false, moved: 0 }, 1, start);
        assert!(enter(&places, 2, key(), start + STILL_AFTER / 2).is_err());
        guest.place.note(ClientActivity { runs: true, is_ours: false, moved: 1 }, 2, start + STILL_AFTER / 2);
        assert!(enter(&places, 2, key(), start + STILL_AFTER).is_err(), "it has moved meanwhile");
        assert!(enter(&places, 2, key(), start + STILL_AFTER * 2).is_ok());
        assert!(guest.is_out());
    }

    #[test]
    fn a_key_at_its_limit_takes_the_place_of_its_own_connection_that_does_nothing() {
        let (places, start) = (Places::new(4), Instant::now());
        let one = key();
        let first = enter(&places, 1, one, start).expect("a place");
        let second = enter(&places, 2, one, start + IDLE_AFTER).expect("a place");
        let third = enter(&places, 3, one, start + IDLE_AFTER).expect("the place of the first");
        assert!(first.is_out() && !second.is_out() && !third.is_out());
    }

    #[test]
    fn a_client_that_comes_again_takes_the_place_of_its_silent_connection_and_no_other_client_does() {
        let (places, start) = (Places::new(2), Instant::now());
        let (one, other) = (key(), key());
        let at_work = |n| ClientActivity { runs: true, is_ours: true, moved: n };
        let (lost, living) = (enter(&places, 1, one, start).unwrap(), enter(&places, 2, other, start).unwrap());
        let mut now = start;
        for second in 1..=SILENT_AFTER.as_secs() {
            now = start + Duration::from_secs(second);
            lost.place.note(at_work(0), 7, start);
            living.place.note(at_work(0), second, now);
        }
        assert!(enter(&places, 3, one, now - Duration::from_secs(1)).is_err(), "it may only be slow");
        assert!(places.may_have_room(house(3), now));
        assert!(enter(&places, 3, key(), now).is_err(), "a third has to wait until it is gone");
        let again = enter(&places, 3, one, now).expect("its own place");
        assert!(lost.is_out() && !living.is_out() && !again.is_out());
        assert!(enter(&places, 4, one, now).is_err(), "what it has now is heard");
    }
}
