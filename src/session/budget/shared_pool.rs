//! A pool of one resource, shared by a dynamic threshold: how much more a holder may take depends on what is left.

use std::sync::atomic::{AtomicUsize, Ordering, fence};
use std::sync::{Mutex, MutexGuard};

use rustc_hash::FxHashMap;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::keys::Fingerprint;

/// A connection may hold this many times what is left after it.
pub(super) const CONNECTION_TIMES: usize = 3;
/// All connections of one key together may hold this many times what is left after them.
pub(super) const KEY_TIMES: usize = 4;

/// A pool of one resource, and how much of it each connection holds.
#[derive(Debug)]
pub(super) struct SharedPool {
    state: Mutex<Holders>,
    /// Those that wait for something to be given back. To call them takes a lock, also where there are none.
    waiting: AtomicUsize,
    freed: Notify,
}

pub(super) struct PoolWaiter<'a>(&'a SharedPool);

#[derive(Debug)]
pub(super) struct Holders {
    pub(super) free: usize,
    /// There are as many as clients, and each is a digest: with a plain hash as well.
    pub(super) of_keys: FxHashMap<Fingerprint, usize>,
}

impl Holders {
    /// How much of the pool it would take if a connection that holds so much got `amount` more; `None`: more than its share.
    fn charge(&self, key: Fingerprint, held: &PoolShare, before: usize, amount: usize) -> Option<usize> {
        let own = held.charged(before.checked_add(amount)?);
        let more = own - held.charged(before);
        let left = self.free.checked_sub(more)?;
        let of_key = self.of_keys.get(&key).copied().unwrap_or(0) + more;
        let is_too_much = own > left.saturating_mul(CONNECTION_TIMES) || of_key > left.saturating_mul(KEY_TIMES);
        (more == 0 || !is_too_much).then_some(more)
    }
}

impl SharedPool {
    pub(super) fn new(all: usize) -> Self {
        let state = Mutex::new(Holders { free: all, of_keys: FxHashMap::default() });
        Self { state, waiting: AtomicUsize::new(0), freed: Notify::new() }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, Holders> {
        self.state.lock().expect("no holder panics")
    }

    /// Takes `amount` for a connection that holds `held`, if its share allows it.
    pub(super) fn take(&self, key: Fingerprint, held: &PoolShare, amount: usize) -> bool {
        if held.add_below_floor(amount) {
            return true;
        }
        let mut state = self.state();
        loop {
            let before = held.amount.load(Ordering::Acquire);
            let Some(more) = state.charge(key, held, before, amount) else { return false };
            if held.exchange(before, before + amount) {
                if more > 0 {
                    state.free -= more;
                    *state.of_keys.entry(key).or_default() += more;
                }
                return true;
            }
        }
    }

    /// Whether the share of a connection that holds `held` allows for `amount` more.
    pub(super) fn allows(&self, key: Fingerprint, held: &PoolShare, amount: usize) -> bool {
        self.state().charge(key, held, held.amount.load(Ordering::Acquire), amount).is_some()
    }

    pub(super) fn give_back(&self, key: Fingerprint, held: &PoolShare, amount: usize) {
        if !held.subtract_below_floor(amount) {
            self.give_back_charged(key, held, amount);
        }
        // Either whoever begins to wait finds what was given back, or it is found waiting here.
        fence(Ordering::SeqCst);
        if self.waiting.load(Ordering::Relaxed) > 0 {
            self.freed.notify_waiters();
        }
    }

    fn give_back_charged(&self, key: Fingerprint, held: &PoolShare, amount: usize) {
        let mut state = self.state();
        loop {
            let before = held.amount.load(Ordering::Acquire);
            let less = held.charged(before) - held.charged(before - amount);
            if !held.exchange(before, before - amount) {
                continue;
            }
            state.free += less;
            if let Some(of_key) = state.of_keys.get_mut(&key) {
                *of_key -= less;
                if *of_key == 0 {
                    state.of_keys.remove(&key);
                }
            }
            return;
        }
    }

    /// Begins to wait for what others give back. What is not there after this is worth waiting for.
    pub(super) fn wait(&self) -> PoolWaiter<'_> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        PoolWaiter(self)
    }
}

impl PoolWaiter<'_> {
    /// Resolves when something was given back after this call.
    pub(super) fn freed(&self) -> Notified<'_> {
        self.0.freed.notified()
    }
}

impl Drop for PoolWaiter<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The share of one connection in one resource. The part above the floor is changed under the pool's lock alone; the
/// part below it, which is most of what a connection with small files takes and gives, without the lock.
#[derive(Debug)]
pub(super) struct PoolShare {
    amount: AtomicUsize,
    /// The part that every connection may hold, and that therefore does not count.
    pub(super) floor: usize,
}

impl PoolShare {
    pub(super) fn nothing(floor: usize) -> Self {
        Self { amount: AtomicUsize::new(0), floor }
    }

    fn charged(&self, amount: usize) -> usize {
        amount.saturating_sub(self.floor)
    }

    /// False, and nothing is changed, where some of it would count.
    fn add_below_floor(&self, amount: usize) -> bool {
        let add = |before: usize| before.checked_add(amount).filter(|after| *after <= self.floor);
        self.amount.fetch_update(Ordering::AcqRel, Ordering::Acquire, add).is_ok()
    }

    /// The same of what is given back.
    fn subtract_below_floor(&self, amount: usize) -> bool {
        let subtract = |before: usize| if before <= self.floor { before.checked_sub(amount) } else { None };
        self.amount.fetch_update(Ordering::AcqRel, Ordering::Acquire, subtract).is_ok()
    }

    fn exchange(&self, before: usize, after: usize) -> bool {
        self.amount.compare_exchange(before, after, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}
