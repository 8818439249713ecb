//! The threads that disks block, so that no network thread does.

use std::collections::VecDeque;
use std::io;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use tokio::sync::oneshot;

type Work = Box<dyn FnOnce() + Send>;

/// The work panicked; its result is lost. The thread lives on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("disk work panicked")]
pub struct Lost;

/// A fixed number of threads and one queue, first come, first served.
///
/// Cheap to clone. When the last clone is dropped, the threads finish what is queued and end. The queue has
/// no bound of its own: whoever queues waits for answers and bounds itself.
#[derive(Clone)]
pub struct Disk(Arc<Handle>);

struct Handle(Arc<Shared>);

struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

struct Queue {
    work: VecDeque<Work>,
    /// Threads that wait for work. Waking costs a system call even where nobody sleeps.
    idle: usize,
    closed: bool,
}

impl Disk {
    /// Starts the threads.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn new(threads: NonZeroUsize) -> io::Result<Self> {
        let queue = Mutex::new(Queue { work: VecDeque::new(), idle: 0, closed: false });
        let shared = Arc::new(Shared { queue, changed: Condvar::new() });
        // Made first: if a later thread cannot be started, dropping this ends those before it.
        let disk = Self(Arc::new(Handle(Arc::clone(&shared))));
        for n in 0..threads.get() {
            let shared = Arc::clone(&shared);
            thread::Builder::new().name(format!("qft-disk-{n}")).spawn(move || shared.serve())?;
        }
        Ok(disk)
    }

    /// Runs `f` on one of the threads and waits for its result. `f` runs even when the wait is given up.
    ///
    /// # Errors
    /// [`Lost`] when `f` panicked.
    pub fn run<T: Send + 'static, F: FnOnce() -> T + Send + 'static>(
        &self,
        f: F,
    ) -> impl Future<Output = Result<T, Lost>> + Send + use<T, F> {
        let (answer, result) = oneshot::channel();
        // Queued now, not when the answer is first waited for: callers read ahead.
        // The caller may have stopped waiting; then nobody misses the result.
        self.spawn(move || drop(answer.send(f())));
        async move { result.await.map_err(|_| Lost) }
    }

    /// Runs `f` on one of the threads, some time.
    pub fn spawn(&self, f: impl FnOnce() + Send + 'static) {
        let shared = &self.0.0;
        let mut queue = shared.lock();
        queue.work.push_back(Box::new(f));
        if queue.idle > 0 {
            drop(queue);
            shared.changed.notify_one();
        }
    }
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Disk").field("queued", &self.0.0.lock().work.len()).finish()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.changed.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self) {
        while let Some(work) = self.next() {
            // What panicked owns all it touched (it was `Send + 'static`), so nothing half-done stays behind.
            if catch_unwind(AssertUnwindSafe(work)).is_err() {
                tracing::error!("disk work panicked");
            }
        }
    }

    fn next(&self) -> Option<Work> {
        let mut queue = self.lock();
        loop {
            if let Some(work) = queue.work.pop_front() {
                return Some(work);
            }
            if queue.closed {
                return None;
            }
            queue.idle += 1;
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
            queue.idle -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    fn disk(threads: usize) -> Disk {
        Disk::new(NonZeroUsize::new(threads).unwrap()).unwrap()
    }

    #[tokio::test]
    async fn work_runs_on_a_named_thread_and_answers() {
        let name = disk(1).run(|| thread::current().name().map(str::to_owned)).await.unwrap();
        assert_eq!(name.as_deref(), Some("qft-disk-0"));
    }

    #[tokio::test]
    async fn a_panic_is_reported_and_the_thread_lives_on() {
        let disk = disk(1);
        assert_eq!(disk.run(|| panic!("on purpose")).await, Err::<(), _>(Lost));
        disk.spawn(|| panic!("on purpose"));
        assert_eq!(disk.run(|| 7).await, Ok(7));
    }

    #[tokio::test]
    async fn one_thread_keeps_the_order() {
        let disk = disk(1);
        let (sender, order) = mpsc::channel();
        for n in 0..100 {
            let sender = sender.clone();
            disk.spawn(move || sender.send(n).unwrap());
        }
        disk.run(|| ()).await.unwrap();
        drop(sender);
        assert!(order.iter().eq(0..100));
    }

    #[tokio::test]
    async fn threads_work_at_the_same_time() {
        let disk = disk(2);
        let barrier = Arc::new(std::sync::Barrier::new(2));
        let other = Arc::clone(&barrier);
        disk.spawn(move || {
            other.wait();
        });
        disk.run(move || barrier.wait().is_leader()).await.unwrap();
    }

    #[test]
    fn the_last_clone_drains_the_queue_and_ends_the_threads() {
        let disk = disk(2);
        let alive = Arc::downgrade(&disk.0.0);
        let (sender, done) = mpsc::channel();
        for n in 0..50 {
            let sender = sender.clone();
            disk.clone().spawn(move || sender.send(n).unwrap());
        }
        drop((disk, sender));
        assert_eq!(done.iter().count(), 50);
        while alive.strong_count() > 0 {
            thread::yield_now();
        }
    }
}
