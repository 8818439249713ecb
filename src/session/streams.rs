//! How many streams a peer may have open: what QUIC and we keep for each is memory that the peer may take.
//!
//! As a window, such a limit is a promise that cannot be taken back: QUIC lowers it only as streams end. So all that is
//! promised is taken from the connection's [`Account`], and given back when a stream beyond the limit has ended. Each
//! connection that receives aims at its part of [`STREAMS_BYTES`], from its first job on: a file takes a stream for two round
//! trips, and who would first have to show that it needs many waited for them.

use std::sync::{Mutex, MutexGuard};

use quinn::{Connection, VarInt};

use super::budget::{Account, Hold, Receiving};
use crate::transport::{STREAMS_BEFORE_HELLO, STREAMS_MAX};

/// What an open stream takes at most while its content is read as it comes: both halves in QUIC, and the task that serves it.
pub const STREAM_BYTES: usize = 3 << 10;
/// What QUIC keeps of it when its task has ended: the half that the peer has not acknowledged, its places in maps that never
/// become smaller, and what is kept for the next stream. Not given back before the connection is.
const KEPT_BYTES: usize = 512;
/// Of the memory, what the streams of all connections that receive aim at together. One alone gets as many as there may be.
pub const STREAMS_BYTES: usize = STREAMS_MAX as usize * STREAM_BYTES;
/// Every connection may open these from the start, which are taken from no account.
const START: usize = STREAMS_BEFORE_HELLO as usize;
/// The limit follows its aim in steps of this part of it: each costs a wake-up of the connection.
const STEPS: usize = 8;

/// The streams of one connection that its peer opens.
pub(super) struct StreamLimit {
    connection: Connection,
    promise: Mutex<StreamsPromise>,
}

/// The number of streams that the peer was promised.
struct StreamsPromise {
    /// Streams that it may have open at once.
    limit: usize,
    /// Those that are open, or that it may open still: of an earlier, higher limit there may be more.
    granted: usize,
    /// All of these but the first.
    hold: Hold,
}

impl StreamLimit {
    /// The limit of a peer that is about to send, as far as there is room for it now.
    pub(super) fn open(connection: Connection, account: &Account, receiving: &Receiving) -> Self {
        let promise = Mutex::new(StreamsPromise::new(account));
        let streams = Self { connection, promise };
        streams.follow(&mut streams.promise(), receiving);
        streams
    }

    fn promise(&self) -> MutexGuard<'_, StreamsPromise> {
        self.promise.lock().expect("no holder panics")
    }

    /// A stream has ended, as far as this end knows.
    pub(super) fn on_ended(&self, receiving: &Receiving) {
        let mut promise = self.promise();
        promise.end_one();
        self.follow(&mut promise, receiving);
    }

    fn follow(&self, promise: &mut StreamsPromise, receiving: &Receiving) {
        if promise.aim_at(receiving.share_of(STREAMS_BYTES)) {
            let limit = u32::try_from(promise.limit).expect("no limit is higher than the highest, which is one");
            self.connection.set_max_concurrent_bi_streams(VarInt::from_u32(limit));
        }
    }
}

impl StreamsPromise {
    fn new(account: &Account) -> Self {
        let hold = account.take_for_streams(0).expect("nothing is always there");
        Self { limit: START, granted: START, hold }
    }

    /// Moves the limit to what so many bytes are enough for, if that differs by a step: down at once, up as far as the
    /// account allows. Whether it has moved.
    fn aim_at(&mut self, bytes: usize) -> bool {
        let target = (bytes / STREAM_BYTES).clamp(START, STREAMS_MAX as usize);
        let before = self.limit;
        if target.abs_diff(before) < before.div_ceil(STEPS) {
            return false;
        }
        self.limit = if target < before { target } else { before + self.grant(target - before) };
        self.limit != before
    }

    /// As many more as there is room for, up to `more`.
    fn grant(&mut self, mut more: usize) -> usize {
        let least = self.limit.div_ceil(STEPS).min(more);
        while more >= least {
            // Those of an earlier limit count already.
            let new = (self.limit + more).saturating_sub(self.granted);
            if self.hold.grow(new * STREAM_BYTES) {
                self.granted += new;
                return more;
            }
            more /= 2;
        }
        0
    }

    fn end_one(&mut self) {
        if self.granted > self.limit {
            self.granted -= 1;
            self.hold.shrink(STREAM_BYTES - KEPT_BYTES);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::budget::{Budget, MEMORY_BYTES, WORDS_FLOOR_BYTES};
    use super::*;
    use crate::keys::Identity;

    const MOST: usize = STREAMS_MAX as usize;

    fn promise(budget: &Budget) -> StreamsPromise {
        StreamsPromise::new(&budget.account(Identity::ephemeral().expect("a key").fingerprint()))
    }

    #[test]
    fn one_client_may_open_all_streams_that_there_are_and_many_have_a_part_each() {
        let budget = Budget::new(MEMORY_BYTES, 1);
        let mut all = Vec::new();
        for receivers in 1..=64 {
            let mut one = promise(&budget);
            one.aim_at(STREAMS_BYTES / receivers);
            assert_eq!(one.limit, (MOST / receivers).max(START));
            all.push(one);
        }
        assert!(budget.held() > STREAMS_BYTES, "nothing that was promised is taken back");
        drop(all);
        assert_eq!(budget.held(), 0);
    }

    #[test]
    fn what_was_promised_is_held_until_the_streams_have_ended() {
        let budget = Budget::new(MEMORY_BYTES, 1);
        let mut one = promise(&budget);
        assert!(one.aim_at(STREAMS_BYTES));
        let held = one.hold.amount();
        assert_eq!(held, (MOST - START) * STREAM_BYTES);
        assert!(one.aim_at(STREAMS_BYTES / 4));
        assert_eq!(
            (one.limit, one.granted, one.hold.amount()),
            (MOST / 4, MOST, held),
            "it may open all of them still"
        );
        (0..MOST / 4).for_each(|_| one.end_one());
        let kept = MOST / 4 * KEPT_BYTES;
        assert_eq!((one.granted, one.hold.amount()), (MOST / 4 * 3, held - MOST / 4 * STREAM_BYTES + kept));
        // What it may open still counts already.
        assert!(one.aim_at(STREAMS_BYTES / 2));
        assert_eq!((one.limit, one.granted), (MOST / 2, MOST / 4 * 3));
        (0..MOST).for_each(|_| one.end_one());
        assert_eq!((one.limit, one.granted), (MOST / 2, MOST / 2), "whoever ends one may open another");
    }

    #[test]
    fn where_nothing_is_left_a_client_has_the_first_streams_and_those_that_count_for_nothing() {
        let budget = Budget::new(0, 1);
        let mut one = promise(&budget);
        one.aim_at(STREAMS_BYTES);
        assert!(one.limit >= START && one.limit <= START + WORDS_FLOOR_BYTES / STREAM_BYTES, "{}", one.limit);
        assert_eq!(budget.held(), 0);
    }
}
