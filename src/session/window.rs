//! How much a peer may send before it was read: this end's receive window, which is memory that the peer may fill. Beside it
//! stands how many streams the peer may do that on.
//!
//! A window is a promise that cannot be taken back: QUIC narrows it only as the peer sends. So all that is promised is
//! taken from the connection's [`Account`], and given back when the peer has used it up or is gone. Each connection
//! aims at its part of what is there for all windows, which changes as others come and go.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use quinn::{Connection, VarInt};

use super::budget::{Account, Hold, Receiving};
use super::streams::StreamLimit;
use super::unread::Unread;
use crate::transport::{self, RECEIVE_WINDOW_BEFORE_HELLO};

/// The bytes that every connection may send from the start, charged to no account.
const START: usize = RECEIVE_WINDOW_BEFORE_HELLO as usize;
/// The window when all of it waits for the disk: what frees the disk may be a message of the peer's.
const WINDOW_MIN: usize = 1 << 20;
/// The window follows what waits, and what there is for all, in steps of this part of it: each step costs a wake-up of the
/// connection.
const STEPS: usize = 16;
/// The least that is worth asking the account for.
const GROW_MIN: usize = 1 << 20;

/// The window of one connection.
pub(crate) struct ReceiveWindow {
    connection: Connection,
    receiving: Receiving,
    streams: StreamLimit,
    /// The largest for a peer as far away as this one.
    most: usize,
    /// Told of what the peer may send.
    unread: Arc<Unread>,
    /// Bytes that were read and wait for the disk: they narrow the window, so that both together are bounded.
    waiting: AtomicUsize,
    /// A copy of [`Promise::bound`], to look at without the lock.
    bound: AtomicUsize,
    promise: Mutex<Promise>,
}

/// The window that was promised to the peer.
struct Promise {
    /// The most that the peer may have in flight and that may wait here, together.
    bound: usize,
    /// Of an earlier, larger promise: what it may still send beyond the bound.
    owed: usize,
    /// All of it but the start.
    hold: Hold,
    /// The window as QUIC has it.
    set: usize,
}

impl ReceiveWindow {
    /// Opens the window of a peer that is about to send, as far as there is room for it now.
    pub(crate) fn open(connection: Connection, account: &Account, unread: Arc<Unread>) -> Self {
        let receiving = account.receive();
        let most = transport::receive_window(&connection) as usize;
        let hold = account.take_memory(0).expect("nothing is always there");
        let promise = Mutex::new(Promise { bound: START, owed: 0, hold, set: 0 });
        let (waiting, bound) = (AtomicUsize::new(0), AtomicUsize::new(START));
        let streams = StreamLimit::open(connection.clone(), account, &receiving);
        let window = Self { connection, receiving, streams, most, unread, waiting, bound, promise };
        window.follow();
        window
    }

    /// The account of what the peer has sent and this end has not read.
    pub(crate) fn unread(&self) -> &Arc<Unread> {
        &self.unread
    }

    /// A stream of the peer's has ended.
    pub(crate) fn on_stream_ended(&self) {
        self.streams.on_ended(&self.receiving);
    }

    /// Most bytes that may wait.
    pub(crate) fn bound(&self) -> usize {
        self.bound.load(Ordering::Relaxed)
    }

    /// Bytes that wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// `bytes` more were read and wait, which takes some memory beside them.
    pub(crate) fn add(&self, bytes: usize, beside: usize) {
        self.waiting.fetch_add(bytes + beside, Ordering::Relaxed);
        self.promise().use_up(bytes);
        self.follow();
    }

    /// So many wait no longer; gives how many waited before.
    pub(crate) fn remove(&self, bytes: usize) -> usize {
        let before = self.waiting.fetch_sub(bytes, Ordering::Relaxed);
        self.follow();
        before
    }

    fn promise(&self) -> MutexGuard<'_, Promise> {
        self.promise.lock().expect("no holder panics")
    }

    /// Sets the window to what is left of the bound, if that differs by a step.
    fn follow(&self) {
        let mut promise = self.promise();
        promise.aim_at(self.most.min(self.receiving.share()).max(START));
        self.bound.store(promise.bound, Ordering::Relaxed);
        self.unread.set_window((promise.bound + promise.owed).saturating_sub(self.waiting()));
        // Read under the lock: whoever sets the window last must have seen the latest.
        let left = promise.bound.saturating_sub(self.waiting()).max(WINDOW_MIN);
        if left.abs_diff(promise.set) < promise.bound / STEPS {
            return;
        }
        promise.set = left;
        let left = u32::try_from(left).expect("no window is larger than the largest, which is one");
        self.connection.set_receive_window(VarInt::from_u32(left));
    }
}

impl Promise {
    /// Moves the bound to `target`, if that differs by a step: down at once, up as far as the account allows.
    fn aim_at(&mut self, target: usize) {
        if target.abs_diff(self.bound) < self.bound / STEPS {
            return;
        }
        if target < self.bound {
            self.owed += self.bound - target;
            self.bound = target;
            return;
        }
        let mut more = target - self.bound;
        while more >= GROW_MIN.min(target - self.bound) {
            // The part that is owed is charged already.
            if self.owed >= more || self.hold.grow(more - self.owed) {
                self.bound += more;
                self.owed = self.owed.saturating_sub(more);
                return;
            }
            more /= 2;
        }
    }

    /// The peer has sent so much, and was not given room for as much again where it is owed some.
    fn use_up(&mut self, bytes: usize) {
        let used = bytes.min(self.owed);
        self.owed -= used;
        self.hold.shrink(used);
    }
}

#[cfg(test)]
mod tests {
    use super::super::budget::{Budget, MEMORY_BYTES};
    use super::*;
    use crate::keys::Identity;
    use crate::transport::limits::RECEIVE_WINDOW;

    const MIB: usize = 1 << 20;

    fn promise(budget: &Budget) -> Promise {
        let account = budget.account(Identity::ephemeral().expect("a key").fingerprint());
        let hold = account.take_memory(0).expect("nothing is always there");
        Promise { bound: START, owed: 0, hold, set: 0 }
    }

    #[test]
    fn one_or_two_far_peers_get_the_largest_window() {
        let budget = Budget::new(MEMORY_BYTES, 1);
        for _ in 0..2 {
            let mut one = promise(&budget);
            one.aim_at(RECEIVE_WINDOW as usize);
            assert_eq!(one.bound, RECEIVE_WINDOW as usize);
            std::mem::forget(one);
        }
    }

    #[test]
    fn what_was_promised_is_held_until_it_was_used() {
        let budget = Budget::new(MEMORY_BYTES, 1);
        let mut one = promise(&budget);
        one.aim_at(40 * MIB);
        let held = one.hold.amount();
        assert_eq!(held, 40 * MIB - START);
        one.aim_at(8 * MIB);
        assert_eq!((one.bound, one.owed, one.hold.amount()), (8 * MIB, 32 * MIB, held), "it can still send it all");
        one.use_up(10 * MIB);
        assert_eq!((one.owed, one.hold.amount()), (22 * MIB, held - 10 * MIB));
        one.aim_at(16 * MIB);
        assert_eq!((one.bound, one.owed, one.hold.amount()), (16 * MIB, 14 * MIB, held - 10 * MIB));
        one.use_up(100 * MIB);
        assert_eq!((one.owed, one.hold.amount()), (0, 16 * MIB - START));
        drop(one);
        assert_eq!(budget.free(), MEMORY_BYTES);
    }

    #[test]
    fn where_little_is_left_a_window_is_small_and_where_nothing_is_it_is_the_first() {
        let budget = Budget::new(8 * MIB, 1);
        let mut one = promise(&budget);
        one.aim_at(64 * MIB);
        assert!(one.bound > START && one.bound < 9 * MIB, "{}", one.bound);
        let empty = Budget::new(0, 1);
        let mut other = promise(&empty);
        other.aim_at(64 * MIB);
        assert!(other.bound < START + 3 * MIB, "{}", other.bound);
    }
}
