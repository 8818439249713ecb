//! A connection's queue of work for the disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{Notify, oneshot};

use super::{DISPOSALS, DiskHandle, DiskJob, Lane, Lost, Work};
use crate::storage::error::{FILES_WAIT, StorageError, Tries};
use crate::storage::fair::ClientId;

/// A connection's queue: the one that closes it.
#[derive(Debug)]
pub(crate) struct OpenQueue(pub(super) DiskQueue);

impl OpenQueue {
    /// The queue, for all who put in work.
    pub(crate) fn queue(&self) -> DiskQueue {
        self.0.clone()
    }
}

impl Drop for OpenQueue {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// A connection's queue. Cheap to clone. After it was closed, what is put in is not done; it is dropped on one of the
/// threads all the same, for it may hold files, and closing those may block.
#[derive(Clone)]
pub(crate) struct DiskQueue {
    pub(super) handle: Arc<DiskHandle>,
    pub(super) id: ClientId,
    pub(super) lost: Arc<LostWork>,
}

/// Whether a piece of a queue's work has panicked: whoever waits for what it would have done waits in vain.
pub(super) struct LostWork {
    pub(super) seen: AtomicBool,
    pub(super) noted: Notify,
}

impl DiskQueue {
    /// Runs `f` on one of the threads and waits for its result. `f` runs even when the wait is given up.
    ///
    /// # Errors
    /// [`Lost`] when `f` panicked, or the queue was closed before it began.
    pub(crate) fn run<T: Send + 'static, F: FnOnce() -> T + Send + 'static>(
        &self,
        f: F,
    ) -> impl Future<Output = Result<T, Lost>> + Send + use<T, F> {
        // Queued now, not when the answer is first waited for: callers read ahead.
        let (work, result) = answering(f);
        self.push(Lane::Usual, work);
        result
    }

    /// Looks at something, and looks again where the machine is short of something now. No thread waits meanwhile.
    ///
    /// # Errors
    /// As [`DiskQueue::run`]; what the last look gave is returned.
    pub(crate) async fn look<T: Send + 'static>(
        &self,
        look: impl Fn() -> Result<T, StorageError> + Send + Sync + 'static,
    ) -> Result<Result<T, StorageError>, Lost> {
        let (look, mut tries) = (Arc::new(look), Tries::default());
        loop {
            let now = look.clone();
            match self.run(move || now()).await? {
                Err(error) if tries.go_on(&error) => tokio::time::sleep(FILES_WAIT).await,
                looked => return Ok(looked),
            }
        }
    }

    /// Runs `f` on one of the threads, some time.
    pub(crate) fn spawn(&self, f: impl FnOnce() + Send + 'static) {
        self.push(Lane::Usual, Box::new(f));
    }

    /// Runs `f`, which takes processor time and no disk, behind all other work.
    ///
    /// It should be short all the same, and go on with another `f`: the queue may be closed meanwhile.
    pub(crate) fn spawn_long(&self, f: impl FnOnce() + Send + 'static) {
        self.push(Lane::Long, Box::new(f));
    }

    /// As [`DiskQueue::run`] for what [`DiskQueue::spawn_long`] is for.
    ///
    /// # Errors
    /// As [`DiskQueue::run`].
    pub(crate) fn run_long<T: Send + 'static, F: FnOnce() -> T + Send + 'static>(
        &self,
        f: F,
    ) -> impl Future<Output = Result<T, Lost>> + Send + use<T, F> {
        let (work, result) = answering(f);
        self.push(Lane::Long, work);
        result
    }

    /// Resolves when a piece of this queue's work has panicked.
    pub(crate) async fn lost(&self) {
        loop {
            let noted = self.lost.noted.notified();
            if self.lost.seen.load(Ordering::Acquire) {
                return;
            }
            noted.await;
        }
    }

    fn push(&self, lane: Lane, work: Work) {
        self.handle.push(lane, self.id, DiskJob::new(work, Some(Arc::clone(&self.lost))));
    }

    /// What waits is dropped, on one of the threads.
    fn close(&self) {
        let mut state = self.handle.shared.lock();
        let abandoned = (state.work.leave(self.id), state.long_work.leave(self.id));
        drop(state);
        if !abandoned.0.is_empty() || !abandoned.1.is_empty() {
            self.handle.push(Lane::Usual, DISPOSALS, DiskJob::dropping(abandoned));
        }
    }
}

impl std::fmt::Debug for DiskQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DiskQueue").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Work with an answer; whoever waits for it may have stopped, and then nobody misses it.
pub(super) fn answering<T: Send + 'static, F: FnOnce() -> T + Send + 'static>(
    f: F,
) -> (Work, impl Future<Output = Result<T, Lost>> + Send + use<T, F>) {
    let (answer, result) = oneshot::channel();
    let work = Box::new(move || drop(answer.send(f())));
    (work, async move { result.await.map_err(|_| Lost) })
}
