//! Part files become files: in groups, and not before they are safe.
//!
//! One thread takes what is waiting and brings it through the same steps together: final length, mode and
//! time; data to the disk; final names; directories to the disk; answers. While it waits for the disk the
//! next group gathers. Many small files then cost one sync instead of one each.

mod group;
pub(super) mod name;

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::thread;

use crate::protocol::message::Mtime;
use crate::protocol::path::WirePath;

use super::error::{Op, Refusal, StorageError};
use super::part::Part;
use super::root::Destination;
use super::touch::Touch;
use group::Group;

pub(super) use group::SYNC_EACH_MAX;
pub use name::Replace;
pub(crate) use name::asides;

/// Most commits in one group, so that the first of many is answered soon.
const GROUP_MAX: usize = 1024;

/// What a commit promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    /// What was answered survives a power cut.
    Durable,
    /// What was answered is there, but may not survive a power cut.
    None,
}

/// A complete and verified part, and what it is to become.
#[derive(Debug)]
pub struct Commit {
    /// The content.
    pub part: Part,
    /// Its final length in bytes.
    pub size: u64,
    /// Its time of modification.
    pub mtime: Mtime,
    /// Its permission bits; the lower nine are used.
    pub mode: u32,
    /// What happens when the name is taken.
    pub replace: Replace,
}

/// Told once, on the committer's thread, what became of a commit: the final name or the failure. After a
/// failure the part is still there.
pub type Answer = Box<dyn FnOnce(Result<WirePath, StorageError>) + Send>;

/// Hands commits to the thread that does them. Cheap to clone; the thread does what it was given and ends
/// when the last clone is dropped.
#[derive(Debug, Clone)]
pub struct Committer(mpsc::Sender<Job>);

struct Job {
    work: Work,
    answer: Answer,
}

enum Work {
    File(Box<Commit>),
    Names { root: Destination, path: WirePath },
    Touch(Touch),
}

impl Committer {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start(sync: Sync) -> io::Result<Self> {
        let (sender, jobs) = mpsc::channel();
        thread::Builder::new().name("qft-commit".to_owned()).spawn(move || serve(&jobs, sync))?;
        Ok(Self(sender))
    }

    /// Queues a commit. The queue has no bound of its own; every job in it holds an open file.
    pub fn submit(&self, commit: Commit, answer: Answer) {
        self.queue(Job { work: Work::File(Box::new(commit)), answer });
    }

    /// Queues the request to make a new directory or link durable, which [`Destination`] has made already.
    pub fn submit_dir(&self, root: Destination, path: WirePath, answer: Answer) {
        self.queue(Job { work: Work::Names { root, path }, answer });
    }

    /// Queues a new time and mode of a file that keeps its content.
    pub fn submit_touch(&self, touch: Touch, answer: Answer) {
        self.queue(Job { work: Work::Touch(touch), answer });
    }

    fn queue(&self, job: Job) {
        let Err(mpsc::SendError(job)) = self.0.send(job) else { return };
        let path = match &job.work {
            Work::File(commit) => commit.part.target().clone(),
            Work::Names { path, .. } | Work::Touch(Touch { path, .. }) => path.clone(),
        };
        let gone = StorageError::new(Op::Rename, path.as_path(), Refusal::CommitterGone);
        drop(job.work);
        (job.answer)(Err(gone));
    }
}

fn serve(jobs: &mpsc::Receiver<Job>, sync: Sync) {
    while let Ok(first) = jobs.recv() {
        let mut group = Group::new(sync);
        group.add(first);
        while group.len() < GROUP_MAX {
            let Ok(next) = jobs.try_recv() else { break };
            group.add(next);
        }
        group.commit();
    }
}

pub(super) fn tell(answer: Answer, outcome: Result<WirePath, StorageError>) {
    // A caller's panic must not take the other commits with it.
    if catch_unwind(AssertUnwindSafe(|| answer(outcome))).is_err() {
        tracing::error!("the answer to a commit panicked");
    }
}

#[cfg(test)]
mod tests;
