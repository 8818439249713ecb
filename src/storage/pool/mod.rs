//! The threads that disks block, so that no network thread does.
//!
//! Each connection has a queue of its own ([`Disk::open_queue`]). The threads serve the queues by turns, weighed by the
//! time that each one's work takes, so nobody waits for more than one piece of work of everybody else; all connections of
//! one key share what one of them would get. When a connection is over its queue is closed, and what waits there is never
//! begun.
//!
//! Sums over very large files, which take seconds of a processor and no disk, have a lane of their own
//! ([`DiskQueue::spawn_long`]): one thread that gets little of a processor which others want.

mod queue;

use std::io;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use tokio::sync::Notify;

pub(crate) use self::queue::{DiskQueue, OpenQueue};
use self::queue::{LostWork, answering};
use super::fair::{ClientId, FairQueue, Party};
use super::system;
use crate::progress::{Histogram, SECONDS};

type Work = Box<dyn FnOnce() + Send>;

/// A piece of work, and who hears of it if it panics.
struct DiskJob {
    work: Work,
    lost: Option<Arc<LostWork>>,
    since: Instant,
}

/// How long work waits for a thread, and how long it takes. What [`DiskQueue::spawn_long`] is for is not counted: it waits
/// on purpose.
#[derive(Debug)]
pub(crate) struct DiskTimes {
    pub(crate) wait: Histogram,
    pub(crate) work: Histogram,
}

/// What a piece of work counts as until it is done, in nanoseconds: about that of a small one. Without it one client could
/// take all threads before it is charged for the first.
const EXPECTED_COST: u64 = 50_000;

/// The fate of work that is not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("disk work was lost")]
pub struct Lost;

/// A fixed number of threads, and queues that they serve fairly.
///
/// Cheap to clone. When the last clone and the last queue are dropped, the threads finish what is queued and end. A queue
/// has no bound of its own: whoever queues waits for answers and bounds itself.
#[derive(Clone)]
pub(crate) struct Disk {
    handle: Arc<DiskHandle>,
    /// Of whoever has no connection.
    own: ClientId,
}

struct DiskHandle {
    shared: Arc<DiskInner>,
    next_client: AtomicU64,
}

struct DiskInner {
    name: &'static str,
    times: DiskTimes,
    state: Mutex<DiskState>,
    changed: Condvar,
    long_changed: Condvar,
}

struct DiskState {
    work: FairQueue<DiskJob>,
    idle: Idle,
    long_work: FairQueue<DiskJob>,
    /// Whether the thread for long work runs; it is started for the first.
    has_long_thread: bool,
    closed: bool,
}

/// Threads that wait for work. A call costs a system call even where nobody sleeps, so it is made only for a thread that
/// waits, and for one at a time: small work is done before a second one is awake. Whoever takes a piece and leaves others
/// calls the next thread for them.
#[derive(Default)]
struct Idle {
    waiting: usize,
    is_called: bool,
}

impl Idle {
    /// Whether one is to be called for one more piece of work.
    fn call(&mut self) -> bool {
        let is_to_be_called = self.waiting > 0 && !self.is_called;
        self.is_called |= is_to_be_called;
        is_to_be_called
    }

    fn begin(&mut self) {
        self.waiting += 1;
    }

    /// One wakes. It may do so without a call: then another may be called beside the one that is on its way, and nobody is
    /// missed.
    fn end(&mut self) {
        self.waiting -= 1;
        self.is_called = false;
    }
}

/// Which threads do a piece of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lane {
    Usual,
    Long,
}

impl Disk {
    /// Threads for files and digests on a machine with so many cores: two more, so that a slow disk does not idle the hashing.
    pub(crate) fn threads_for(cores: NonZeroUsize) -> NonZeroUsize {
        cores.saturating_add(2)
    }

    /// Starts the threads.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub(crate) fn new(threads: NonZeroUsize) -> io::Result<Self> {
        Self::named("qft-disk", threads)
    }

    /// The same with another name for the threads, which a number follows.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub(crate) fn named(name: &'static str, threads: NonZeroUsize) -> io::Result<Self> {
        let (work, long_work) = (FairQueue::new(), FairQueue::new());
        let state =
            Mutex::new(DiskState { work, idle: Idle::default(), long_work, has_long_thread: false, closed: false });
        let times = DiskTimes { wait: Histogram::new(&SECONDS), work: Histogram::new(&SECONDS) };
        let shared = Arc::new(DiskInner { name, times, state, changed: Condvar::new(), long_changed: Condvar::new() });
        // Made first: if a later thread cannot be started, dropping this ends those before it.
        let handle = Arc::new(DiskHandle { shared: Arc::clone(&shared), next_client: AtomicU64::new(0) });
        let own = handle.join(None);
        for n in 0..threads.get() {
            let shared = Arc::clone(&shared);
            thread::Builder::new().name(format!("{name}-{n}")).spawn(move || shared.serve(Lane::Usual))?;
        }
        Ok(Self { handle, own })
    }

    /// A queue for one connection; it is closed when what is returned here is dropped.
    pub(crate) fn open_queue(&self) -> OpenQueue {
        self.open(None)
    }

    /// The same for one of several connections of one `party`: together they get no more than one connection would.
    pub(crate) fn open_queue_of(&self, party: u64) -> OpenQueue {
        self.open(Some(Party(party)))
    }

    /// Pieces of work that wait for a thread.
    pub(crate) fn queued(&self) -> usize {
        self.handle.shared.lock().work.len()
    }

    /// How long work has waited, and taken.
    pub(crate) fn times(&self) -> &DiskTimes {
        &self.handle.shared.times
    }

    fn open(&self, party: Option<Party>) -> OpenQueue {
        let id = self.handle.join(party);
        let lost = Arc::new(LostWork { seen: AtomicBool::new(false), noted: Notify::new() });
        OpenQueue(DiskQueue { handle: Arc::clone(&self.handle), id, lost })
    }

    /// Runs `f` on one of the threads and waits for its result. `f` runs even when the wait is given up.
    ///
    /// # Errors
    /// [`Lost`] when `f` panicked.
    pub(crate) fn run<T: Send + 'static, F: FnOnce() -> T + Send + 'static>(
        &self,
        f: F,
    ) -> impl Future<Output = Result<T, Lost>> + Send + use<T, F> {
        let (work, result) = answering(f);
        self.handle.push(Lane::Usual, self.own, DiskJob::new(work, None));
        result
    }
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Disk").field("queued", &self.handle.shared.lock().work.len()).finish()
    }
}

impl DiskJob {
    fn new(work: Work, lost: Option<Arc<LostWork>>) -> Self {
        Self { work, lost, since: Instant::now() }
    }

    /// Drops what is not wanted any more.
    fn dropping(unwanted: impl Send + 'static) -> Self {
        Self::new(Box::new(move || drop(unwanted)), None)
    }

    /// The thread survives a panic, and the queue's owner hears of it.
    fn run(self) {
        // What panicked owns all it touched (it was `Send + 'static`), so nothing half-done stays behind.
        if catch_unwind(AssertUnwindSafe(self.work)).is_err() {
            tracing::error!("disk work panicked");
            if let Some(lost) = self.lost {
                lost.seen.store(true, Ordering::Release);
                lost.noted.notify_waiters();
            }
        }
    }
}

/// The client that abandoned work is dropped for.
const DISPOSALS: ClientId = ClientId(u64::MAX);

impl DiskHandle {
    fn join(&self, party: Option<Party>) -> ClientId {
        let id = ClientId(self.next_client.fetch_add(1, Ordering::Relaxed));
        let mut state = self.shared.lock();
        state.work.join(DISPOSALS, None);
        state.work.join(id, party);
        state.long_work.join(id, party);
        id
    }

    fn push(&self, lane: Lane, id: ClientId, job: DiskJob) {
        let shared = &self.shared;
        let mut state = shared.lock();
        let lane = if lane == Lane::Long && shared.has_long_thread(&mut state) { Lane::Long } else { Lane::Usual };
        if let Err(unwanted) = state.lane(lane).push(id, job) {
            // The queue was closed. Not here: what is dropped may close files.
            let is_queued = state.work.push(DISPOSALS, DiskJob::dropping(unwanted.work)).is_ok();
            debug_assert!(is_queued, "it joined with the first client");
            return shared.wake(state, Lane::Usual);
        }
        shared.wake(state, lane);
    }
}

impl Drop for DiskHandle {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_all();
        self.shared.long_changed.notify_all();
    }
}

impl DiskInner {
    fn lock(&self) -> MutexGuard<'_, DiskState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls a thread for a piece of work that was just queued, if one is to be called.
    fn wake(&self, mut state: MutexGuard<'_, DiskState>, lane: Lane) {
        let called = lane == Lane::Long || state.idle.call();
        drop(state);
        match lane {
            Lane::Usual if !called => {}
            Lane::Usual => self.changed.notify_one(),
            Lane::Long => self.long_changed.notify_one(),
        }
    }

    /// Starts the thread for long work with the first of it. Where the system gives none the other threads do it.
    fn has_long_thread(self: &Arc<Self>, state: &mut DiskState) -> bool {
        if !state.has_long_thread {
            let shared = Arc::clone(self);
            let started = thread::Builder::new().name(format!("{}-long", self.name)).spawn(move || {
                system::give_way_to_others();
                shared.serve(Lane::Long);
            });
            state.has_long_thread =
                started.inspect_err(|error| tracing::debug!(%error, "no thread for long work")).is_ok();
        }
        state.has_long_thread
    }

    fn serve(&self, lane: Lane) {
        let mut done = None;
        while let Some((id, job)) = self.next(lane, done) {
            let (begun, since) = (Instant::now(), job.since);
            job.run();
            let taken = begun.elapsed();
            if lane == Lane::Usual {
                self.times.wait.observe_time(begun.saturating_duration_since(since));
                self.times.work.observe_time(taken);
            }
            let nanos = u64::try_from(taken.as_nanos()).unwrap_or(u64::MAX);
            done = Some((id, nanos.saturating_sub(EXPECTED_COST)));
        }
    }

    /// Charges a client for what its work has cost beyond what was expected, and takes the next piece.
    fn next(&self, lane: Lane, done: Option<(ClientId, u64)>) -> Option<(ClientId, DiskJob)> {
        let mut state = self.lock();
        if let Some((id, more)) = done.filter(|(_, more)| *more > 0) {
            state.lane(lane).charge(id, more);
        }
        loop {
            if let Some(next) = state.lane(lane).pop(EXPECTED_COST) {
                if lane == Lane::Usual && state.work.len() > 0 {
                    self.wake(state, lane);
                }
                return Some(next);
            }
            if state.closed {
                return None;
            }
            state = match lane {
                Lane::Usual => {
                    state.idle.begin();
                    let mut state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                    state.idle.end();
                    state
                }
                Lane::Long => self.long_changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}

impl DiskState {
    fn lane(&mut self, lane: Lane) -> &mut FairQueue<DiskJob> {
        match lane {
            Lane::Usual => &mut self.work,
            Lane::Long => &mut self.long_work,
        }
    }
}

#[cfg(test)]
mod tests;
