//! The budget of a server: the memory and the open files that all its connections together may hold.
//!
//! A connection takes from it before it holds anything that a peer can make it hold for long: the window that lets the
//! peer send, chunks that are not complete, content that is not acknowledged, offers that are not settled, answers that
//! are not read. How much it may take depends on what is left (a dynamic threshold, as in switches with shared buffers):
//! never more than [`CONNECTION_TIMES`](shared_pool::CONNECTION_TIMES) what would still be free after it, all
//! connections of one key together [`KEY_TIMES`](shared_pool::KEY_TIMES). So one alone gets three quarters, many share
//! evenly, something is left for whoever comes next, and nobody has to be asked to give anything back. What a
//! connection holds first, [`FLOOR_BYTES`] of content and [`WORDS_FLOOR_BYTES`] of offers, and as many of all else,
//! counts for nothing: whatever others do, it goes on. Only of what is remembered to save work nothing is certain:
//! without it a connection goes on as well.
//!
//! A client has a budget for its one connection: what a server can make it hold is bounded in the same way.
//!
//! Who gets nothing waits, or does with less: no limit here fails a job. What was taken is given back when the guard is
//! dropped, so at the latest with the connection.
//!
//! | file | holds |
//! |---|---|
//! | `shared_pool` | one resource, shared by a dynamic threshold |
//! | `hold` | a share of it |

mod hold;
mod shared_pool;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

pub(crate) use self::hold::{Hold, Receiving};
use self::shared_pool::{PoolShare, SharedPool};
use crate::digest::CHUNK_BYTES;
use crate::keys::Fingerprint;
use crate::storage::{self, NameRoom};

/// Memory that is shared, in bytes. With the floors of [`CLIENTS_MAX`](crate::server::CLIENTS_MAX) connections, what QUIC
/// takes from peers before they are let in, and the program itself, it stays below 512 MiB.
pub const MEMORY_BYTES: usize = 192 << 20;
/// The same of an end that serves nobody else and has one connection. An honest server comes nowhere near it: windows, chunks
/// that are begun and content that is not acknowledged take half of it at most, and the rest is for the notes of a job with a
/// million directories.
pub const CLIENT_MEMORY_BYTES: usize = 512 << 20;
/// Of the files that the process may have open, this part is for what peers send; the rest is for all else.
const FILES_SHARE: usize = 2;
/// The memory that a connection may hold whatever others do: a chunk and its bookkeeping.
pub const FLOOR_BYTES: usize = CHUNK_BYTES as usize + (64 << 10);
/// The same of offers that are not settled, of messages that are not read, of digests that are not compared, of
/// directories that a job has made, of names that a disk may take for one, and of what a search needs: each for itself, so
/// that none keeps another from going on.
pub const WORDS_FLOOR_BYTES: usize = 128 << 10;
/// How many kinds of words have that floor.
#[cfg(test)]
pub(crate) const WORDS: usize = 7;
/// Of the memory, what the windows of all connections that receive aim at together; each aims at its part of it. One or
/// two far ones get the largest window there is.
pub const WINDOWS_BYTES: usize = 128 << 20;
/// The bytes that an offer is charged for beside its name: its state at each stage, with its entries in maps.
pub const OFFER_BYTES: usize = 1024;
/// Longest that a server waits for room for more offers before it asks the client to come again with the rest.
pub const HELD_FOR_MAX: Duration = Duration::from_secs(1);

/// The budget of one server. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Budget(Arc<BudgetInner>);

#[derive(Debug)]
struct BudgetInner {
    /// The size of the memory at the start.
    bytes: usize,
    memory: SharedPool,
    files: SharedPool,
    receivers: AtomicUsize,
}

impl Budget {
    /// A budget of `memory` bytes and `files` open files.
    pub(crate) fn new(memory: usize, files: usize) -> Self {
        let (bytes, memory, files) = (memory, SharedPool::new(memory), SharedPool::new(files));
        Self(Arc::new(BudgetInner { bytes, memory, files, receivers: AtomicUsize::new(0) }))
    }

    /// A budget of `memory` bytes, and of as many open files as this process has for what peers send.
    pub(crate) fn of_process(memory: usize) -> Self {
        Self::new(memory, storage::open_files_max() / FILES_SHARE)
    }

    /// The account of one connection of the client with this key.
    pub(crate) fn account(&self, key: Fingerprint) -> Account {
        Account(Arc::new(BudgetShare {
            budget: self.clone(),
            key,
            content: PoolShare::nothing(FLOOR_BYTES),
            offers: PoolShare::nothing(WORDS_FLOOR_BYTES),
            messages: PoolShare::nothing(WORDS_FLOOR_BYTES),
            digests: PoolShare::nothing(WORDS_FLOOR_BYTES),
            directories: PoolShare::nothing(WORDS_FLOOR_BYTES),
            remembered: PoolShare::nothing(0),
            names: PoolShare::nothing(WORDS_FLOOR_BYTES),
            search: PoolShare::nothing(WORDS_FLOOR_BYTES),
            streams: PoolShare::nothing(WORDS_FLOOR_BYTES),
            files: PoolShare::nothing(1),
        }))
    }

    /// Bytes of its memory that are taken.
    pub(crate) fn held(&self) -> usize {
        self.0.bytes.saturating_sub(self.0.memory.state().free)
    }

    /// Bytes that are not taken.
    #[cfg(test)]
    pub(crate) fn free(&self) -> usize {
        self.0.memory.state().free
    }
}

/// The share of one connection. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Account(Arc<BudgetShare>);

#[derive(Debug)]
struct BudgetShare {
    budget: Budget,
    key: Fingerprint,
    content: PoolShare,
    offers: PoolShare,
    messages: PoolShare,
    digests: PoolShare,
    directories: PoolShare,
    remembered: PoolShare,
    names: PoolShare,
    search: PoolShare,
    streams: PoolShare,
    files: PoolShare,
}

impl BudgetShare {
    fn pool(&self, resource: Resource) -> (&SharedPool, &PoolShare) {
        match resource {
            Resource::Content => (&self.budget.0.memory, &self.content),
            Resource::Offers => (&self.budget.0.memory, &self.offers),
            Resource::Messages => (&self.budget.0.memory, &self.messages),
            Resource::Digests => (&self.budget.0.memory, &self.digests),
            Resource::Directories => (&self.budget.0.memory, &self.directories),
            Resource::Remembered => (&self.budget.0.memory, &self.remembered),
            Resource::Names => (&self.budget.0.memory, &self.names),
            Resource::Search => (&self.budget.0.memory, &self.search),
            Resource::Streams => (&self.budget.0.memory, &self.streams),
            Resource::Files => (&self.budget.0.files, &self.files),
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Resource {
    Content,
    Offers,
    Messages,
    Digests,
    Directories,
    Remembered,
    Names,
    Search,
    Streams,
    Files,
}

impl Account {
    /// Of an end that has one connection and serves nobody else. There is one key, whichever it is.
    pub(crate) fn of_one(memory: usize) -> Self {
        Budget::of_process(memory).account(Fingerprint([0; 32]))
    }

    fn take(&self, resource: Resource, amount: usize) -> Option<Hold> {
        self.takes(resource, amount).then(|| Hold { account: self.clone(), resource, amount })
    }

    /// Takes so much for a [`Hold`], which gives it back, if the connection's share allows it.
    fn takes(&self, resource: Resource, amount: usize) -> bool {
        let (pool, held) = self.0.pool(resource);
        pool.take(self.0.key, held, amount)
    }

    fn give_back(&self, resource: Resource, amount: usize) {
        if amount > 0 {
            let (pool, held) = self.0.pool(resource);
            pool.give_back(self.0.key, held, amount);
        }
    }

    /// Takes memory for content, if the connection's share allows it.
    pub(crate) fn take_memory(&self, bytes: usize) -> Option<Hold> {
        self.take(Resource::Content, bytes)
    }

    /// Whether the connection's share allows for what is kept of an offer.
    pub(crate) fn has_room_for_offer(&self, bytes: usize) -> bool {
        let (pool, held) = self.0.pool(Resource::Offers);
        pool.allows(self.0.key, held, bytes)
    }

    /// Takes memory for what is kept of an offer, likewise.
    pub(crate) fn take_for_offer(&self, bytes: usize) -> Option<Hold> {
        self.take(Resource::Offers, bytes)
    }

    /// Takes memory for a message that waits, likewise.
    pub(crate) fn take_for_message(&self, bytes: usize) -> Option<Hold> {
        self.take(Resource::Messages, bytes)
    }

    /// Nothing yet for messages that are to go out, to grow with them.
    pub(crate) fn for_messages(&self) -> Hold {
        self.nothing_of(Resource::Messages)
    }

    /// Takes memory for digests that a receiver has sent and that wait for ours, likewise.
    pub(crate) fn take_for_digests(&self, bytes: usize) -> Option<Hold> {
        self.take(Resource::Digests, bytes)
    }

    /// Nothing yet for directories that are remembered until the end of their job, to grow with them.
    pub(crate) fn for_directories(&self) -> Hold {
        self.nothing_of(Resource::Directories)
    }

    /// Nothing yet for names that are remembered to save work, to grow with them. Nothing of it is certain: who gets none does
    /// the work again.
    pub(crate) fn to_remember(&self) -> Hold {
        self.nothing_of(Resource::Remembered)
    }

    /// Nothing yet for names that are remembered until the end of their job, because the disk may take some for one.
    pub(crate) fn for_names(&self) -> Hold {
        self.nothing_of(Resource::Names)
    }

    fn nothing_of(&self, resource: Resource) -> Hold {
        Hold { account: self.clone(), resource, amount: 0 }
    }

    /// Takes memory for what a search needs as long as it lasts, likewise.
    pub(crate) fn take_for_search(&self, bytes: usize) -> Option<Hold> {
        self.take(Resource::Search, bytes)
    }

    /// Takes memory for streams that the peer may open, likewise.
    pub(crate) fn take_for_streams(&self, bytes: usize) -> Option<Hold> {
        self.take(Resource::Streams, bytes)
    }

    /// Waits for memory for a stream that this end opens. Not for more than [`WORDS_FLOOR_BYTES`].
    pub(crate) async fn for_stream(&self, bytes: usize) -> Hold {
        self.wait_for(Resource::Streams, bytes).await
    }

    /// The same for the names of the directories that it looks at. Where there is none they are read a few at a time.
    pub(crate) fn name_room(&self) -> NameRoom {
        let account = self.clone();
        NameRoom::new(move |bytes| account.take_for_search(bytes))
    }

    /// No room yet among the open files, to grow by one with each.
    pub(crate) fn for_files(&self) -> Hold {
        self.nothing_of(Resource::Files)
    }

    /// Waits for memory for content. Not for more than [`FLOOR_BYTES`]: that much is there for whoever holds nothing.
    pub(crate) async fn memory(&self, bytes: usize) -> Hold {
        self.wait_for(Resource::Content, bytes).await
    }

    /// Waits for memory for an offer. Not for more than [`WORDS_FLOOR_BYTES`].
    pub(crate) async fn for_offer(&self, bytes: usize) -> Hold {
        self.wait_for(Resource::Offers, bytes).await
    }

    async fn wait_for(&self, resource: Resource, amount: usize) -> Hold {
        if let Some(hold) = self.take(resource, amount) {
            return hold;
        }
        let (pool, held) = self.0.pool(resource);
        debug_assert!(amount <= held.floor, "{amount} may never be there");
        let waits = pool.wait();
        loop {
            let freed = waits.freed();
            if let Some(hold) = self.take(resource, amount) {
                return hold;
            }
            freed.await;
        }
    }

    /// Counts a connection that receives, until the guard is dropped.
    pub(crate) fn receive(&self) -> Receiving {
        self.0.budget.0.receivers.fetch_add(1, Ordering::Relaxed);
        Receiving(self.clone())
    }
}

#[cfg(test)]
mod tests;
