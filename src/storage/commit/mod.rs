//! Part files become files: in groups, and not before they are safe.
//!
//! One thread takes what is waiting, of all clients by turns, and brings it through the same steps together:
//! final length, mode and time; data to the disk; final names; directories to the disk; answers. While it
//! waits for the disk the next group gathers. Many small files then cost one sync instead of one each.
//!
//! | file | holds |
//! |---|---|
//! | `group` | jobs that go through all steps together |
//! | `there` | files that somebody else has written, and names that others lie below |
//! | `touch` | files that keep their content and get a new time and mode |
//! | `later` | jobs that are tried again, for this machine was short of something |

mod group;
mod later;
mod there;
mod touch;

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use crate::progress::{Histogram, SECONDS, Scale};
use crate::protocol::message::Mtime;
use crate::protocol::path::WirePath;

use super::cause::Refusal;
use super::error::{Op, StorageError, Tries};
use super::fair::{ClientId, FairQueue, Party};
use super::part::Part;
use super::root::Destination;
use group::CommitGroup;
use later::Later;
pub(crate) use touch::Touch;

pub use crate::transfer::commit::{Durability, Replace};

/// Most commits in one group, so that the first of many is answered soon.
const GROUP_MAX: usize = 1024;

const GROUPS: Scale = Scale { bounds: &[1, 4, 16, 64, 256, GROUP_MAX as u64], unit: 1.0 };

/// A complete and verified part, and what it is to become.
#[derive(Debug)]
pub struct Commit<P = Part> {
    /// The content, in a file without a final name.
    pub part: P,
    /// Its final length in bytes.
    pub size: u64,
    /// Its time of modification.
    pub mtime: Mtime,
    /// Its permission bits; the lower nine are used.
    pub mode: u32,
    /// The rule for a name that is taken.
    pub replace: Replace,
}

/// The file, directory or link that is in place.
#[derive(Debug)]
pub struct Committed {
    /// Its final name below the root.
    pub path: WirePath,
    /// The time or mode that it has not got, although its content is whole.
    pub unset: Option<StorageError>,
}

impl From<WirePath> for Committed {
    fn from(path: WirePath) -> Self {
        Self { path, unset: None }
    }
}

/// Told once, on the committer's thread, what became of a commit: the final name or the failure. After a
/// failure the part is still there. What may work soon has been tried for as long as anybody would.
pub(crate) type Answer = Box<dyn FnOnce(Result<Committed, StorageError>) + Send>;

/// Hands commits to the thread that does them. Each connection has its own ([`Committer::for_client`]); they take turns,
/// so that nobody's one file waits for thousands of somebody else's.
///
/// Cheap to clone; the thread does what it was given and ends when the last committer is dropped.
#[derive(Debug, Clone)]
pub struct Committer(Arc<CommitClient>);

/// One client's place in the queue.
struct CommitClient {
    handle: Arc<CommitHandle>,
    id: ClientId,
}

struct CommitHandle {
    shared: Arc<CommitInner>,
    next_client: AtomicU64,
}

struct CommitInner {
    state: Mutex<CommitState>,
    changed: Condvar,
    times: CommitTimes,
}

/// How many jobs the groups had, and how long each group took.
#[derive(Debug)]
pub(crate) struct CommitTimes {
    pub(crate) jobs: Histogram,
    pub(crate) taken: Histogram,
}

struct CommitState {
    jobs: FairQueue<CommitJob>,
    /// The thread waits. Waking costs a system call even where nobody sleeps.
    idle: bool,
    closed: bool,
}

struct CommitJob {
    work: CommitWork,
    told: Told,
}

enum CommitWork {
    File(Box<Commit>),
    There { root: Destination, path: WirePath, content: bool, unset: Option<StorageError> },
    Touch(Touch),
}

/// Who is told what became of a job. Where nothing ever becomes of it that is told, too: whoever waits for a file that a
/// panic took along would otherwise wait for ever.
pub(super) struct Told {
    path: WirePath,
    answer: Option<Answer>,
    tries: Tries,
}

impl Committer {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start(sync: Durability) -> io::Result<Self> {
        let state = Mutex::new(CommitState { jobs: FairQueue::new(), idle: false, closed: false });
        let times = CommitTimes { jobs: Histogram::new(&GROUPS), taken: Histogram::new(&SECONDS) };
        let shared = Arc::new(CommitInner { state, changed: Condvar::new(), times });
        let handle = Arc::new(CommitHandle { shared: Arc::clone(&shared), next_client: AtomicU64::new(0) });
        thread::Builder::new().name("qft-commit".to_owned()).spawn(move || shared.serve(sync))?;
        Ok(Self(CommitClient::take(&handle, None)))
    }

    /// The same thread for another client, whose jobs take turns with those of all others. Clients of one `party` have one
    /// turn together.
    #[must_use]
    pub fn for_client(&self, party: u64) -> Self {
        Self(CommitClient::take(&self.0.handle, Some(Party(party))))
    }

    /// Queues a commit. The queue has no bound of its own; every job in it holds an open file.
    pub fn submit(&self, commit: Commit, answer: Answer) {
        let path = commit.part.target().clone();
        self.queue(CommitWork::File(Box::new(commit)), path, answer);
    }

    /// Queues the request to make the name of a directory or link durable, which [`Destination`] has made already, or that
    /// of a file in a directory whose names [`Destination`] was told to doubt.
    pub fn submit_dir(&self, root: Destination, path: WirePath, answer: Answer) {
        self.queue(CommitWork::There { root, path: path.clone(), content: false, unset: None }, path, answer);
    }

    /// The same for a file whose content somebody else has written, who may not have synced it.
    pub fn submit_there(&self, root: Destination, path: WirePath, answer: Answer) {
        self.queue(CommitWork::There { root, path: path.clone(), content: true, unset: None }, path, answer);
    }

    /// Queues a new time and mode of a file that keeps its content.
    pub(crate) fn submit_touch(&self, touch: Touch, answer: Answer) {
        let path = touch.path.clone();
        self.queue(CommitWork::Touch(touch), path, answer);
    }

    /// Jobs that wait for their group.
    pub(crate) fn queued(&self) -> usize {
        self.0.handle.shared.lock().jobs.len()
    }

    /// The sizes of the groups and the times that they took.
    pub(crate) fn times(&self) -> &CommitTimes {
        &self.0.handle.shared.times
    }

    fn queue(&self, work: CommitWork, path: WirePath, answer: Answer) {
        let CommitClient { handle, id } = &*self.0;
        let job = CommitJob { work, told: Told::new(path, answer) };
        // A client leaves with its last clone, so this one is known, and the thread is there.
        let mut state = handle.shared.lock();
        let queued = state.jobs.push(*id, job);
        // The thread is woken once, however long it takes to wake.
        let is_awaited = std::mem::take(&mut state.idle);
        drop(state);
        drop(queued);
        if is_awaited {
            handle.shared.changed.notify_one();
        }
    }
}

impl CommitClient {
    fn take(handle: &Arc<CommitHandle>, party: Option<Party>) -> Arc<Self> {
        let id = ClientId(handle.next_client.fetch_add(1, Ordering::Relaxed));
        handle.shared.lock().jobs.join(id, party);
        Arc::new(Self { handle: Arc::clone(handle), id })
    }
}

impl std::fmt::Debug for CommitClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CommitClient")
            .field("id", &self.id)
            .field("queued", &self.handle.shared.lock().jobs.len())
            .finish()
    }
}

impl Drop for CommitClient {
    fn drop(&mut self) {
        // What was submitted is committed all the same.
        self.handle.shared.lock().jobs.leave_when_done(self.id);
    }
}

impl Drop for CommitHandle {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_one();
    }
}

impl CommitInner {
    fn lock(&self) -> MutexGuard<'_, CommitState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, sync: Durability) {
        let mut later = Later::default();
        while let Some(group) = self.next_group(sync, &mut later) {
            let begun = Instant::now();
            self.times.jobs.observe(group.len() as u64);
            // Jobs of the group are told by `Told`; the thread goes on with the next group.
            match catch_unwind(AssertUnwindSafe(|| group.commit())) {
                Ok(again) => later.add(Instant::now(), again),
                Err(_) => tracing::error!("a group commit panicked"),
            }
            self.times.taken.observe_time(begun.elapsed());
        }
    }

    /// Waits for jobs and takes those that wait, of each client by turns; `None` when there will be no more.
    fn next_group(&self, sync: Durability, later: &mut Later) -> Option<CommitGroup> {
        let (mut state, mut group) = (self.lock(), CommitGroup::new(sync));
        loop {
            let now = Instant::now();
            while group.len() < GROUP_MAX
                && let Some(job) = later.take_due(now).or_else(|| state.jobs.pop(1).map(|(_, job)| job))
            {
                group.add(job);
            }
            if group.len() > 0 {
                return Some(group);
            }
            state = match later.next_due() {
                None if state.closed => return None,
                due => self.wait(state, due),
            };
        }
    }

    /// Waits for a change, or for a moment.
    fn wait<'a>(&self, mut state: MutexGuard<'a, CommitState>, due: Option<Instant>) -> MutexGuard<'a, CommitState> {
        state.idle = true;
        let mut state = match due.map(|due| due.saturating_duration_since(Instant::now())) {
            None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            Some(time) => self.changed.wait_timeout(state, time).unwrap_or_else(PoisonError::into_inner).0,
        };
        state.idle = false;
        state
    }
}

impl Told {
    fn new(path: WirePath, answer: Answer) -> Self {
        Self { path, answer: Some(answer), tries: Tries::default() }
    }

    /// Whether nobody is told of a failure yet, for the job is to be tried again.
    pub(super) fn puts_off(&mut self, error: Option<&StorageError>) -> bool {
        error.is_some_and(|error| self.tries.go_on(error))
    }

    /// Tells what became of the job.
    pub(super) fn tell(mut self, outcome: Result<Committed, StorageError>) {
        if let Some(answer) = self.answer.take() {
            call(answer, outcome);
        }
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        if let Some(answer) = self.answer.take() {
            call(answer, Err(StorageError::new(Op::Rename, self.path.as_path(), Refusal::CommitLost)));
        }
    }
}

fn call(answer: Answer, outcome: Result<Committed, StorageError>) {
    // A caller's panic must not take the other commits with it.
    if catch_unwind(AssertUnwindSafe(|| answer(outcome))).is_err() {
        tracing::error!("the answer to a commit panicked");
    }
}

#[cfg(test)]
mod tests;
