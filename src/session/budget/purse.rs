//! What there is of one thing, shared by a dynamic threshold: how much more a holder may take depends on what is left.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};

use tokio::sync::Notify;

use crate::keys::Fingerprint;

/// A connection may hold this many times what is left after it.
pub(super) const CONNECTION_TIMES: usize = 3;
/// All connections of one key together may hold this many times what is left after them.
pub(super) const KEY_TIMES: usize = 4;

/// What there is of one thing, and who holds how much of it.
#[derive(Debug)]
pub(super) struct Purse {
    state: Mutex<Holders>,
    /// Something was given back.
    pub(super) freed: Notify,
}

#[derive(Debug)]
pub(super) struct Holders {
    pub(super) free: usize,
    pub(super) of_keys: HashMap<Fingerprint, usize>,
}

impl Purse {
    pub(super) fn new(all: usize) -> Self {
        let state = Mutex::new(Holders { free: all, of_keys: HashMap::new() });
        Self { state, freed: Notify::new() }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, Holders> {
        self.state.lock().expect("no holder panics")
    }

    /// Takes `amount` for a connection that holds `held`, if its share allows it.
    pub(super) fn take(&self, key: Fingerprint, held: &Held, amount: usize) -> bool {
        let mut state = self.state();
        let before = held.amount.load(Ordering::Relaxed);
        let more = held.charged(before.saturating_add(amount)) - held.charged(before);
        if more > 0 {
            let Some(left) = state.free.checked_sub(more) else { return false };
            let of_key = state.of_keys.get(&key).copied().unwrap_or(0) + more;
            let own = held.charged(before.saturating_add(amount));
            if own > left.saturating_mul(CONNECTION_TIMES) || of_key > left.saturating_mul(KEY_TIMES) {
                return false;
            }
            state.free = left;
            state.of_keys.insert(key, of_key);
        }
        held.amount.store(before + amount, Ordering::Relaxed);
        true
    }

    pub(super) fn give_back(&self, key: Fingerprint, held: &Held, amount: usize) {
        let mut state = self.state();
        let before = held.amount.load(Ordering::Relaxed);
        let less = held.charged(before) - held.charged(before - amount);
        held.amount.store(before - amount, Ordering::Relaxed);
        if less > 0 {
            state.free += less;
            if let Some(of_key) = state.of_keys.get_mut(&key) {
                *of_key -= less;
                if *of_key == 0 {
                    state.of_keys.remove(&key);
                }
            }
        }
        drop(state);
        self.freed.notify_waiters();
    }
}

/// What one connection holds of one thing. It is changed under the purse's lock alone.
#[derive(Debug)]
pub(super) struct Held {
    amount: AtomicUsize,
    /// What counts for nothing.
    pub(super) floor: usize,
}

impl Held {
    pub(super) fn nothing(floor: usize) -> Self {
        Self { amount: AtomicUsize::new(0), floor }
    }

    fn charged(&self, amount: usize) -> usize {
        amount.saturating_sub(self.floor)
    }
}
