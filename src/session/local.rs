//! What both ends take from this machine: its name, threads for the disk, a thread for a walk.

use std::io;
use std::num::NonZeroUsize;

use tokio::sync::mpsc;
use tracing::warn;

use super::SessionError;
use crate::protocol::message::{Failure, Status};
use crate::storage::plain;

/// Names that a walk may be ahead of their headers.
pub(crate) const FOUND_AHEAD: usize = 1024;

/// This machine's name, as it introduces itself.
pub(crate) fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Threads for files and digests: two more than cores, so that a slow disk does not idle the hashing.
pub(crate) fn disk_threads(cores: NonZeroUsize) -> NonZeroUsize {
    cores.saturating_add(2)
}

/// Walks trees on a thread of its own: a walk lasts as long as its job, and a job may last for days. It may be
/// `ahead` items before whoever takes them. Where the system gives no thread, `no_thread` makes that the only item.
pub(crate) fn walk_on_a_thread<T: Send + 'static>(
    ahead: usize,
    no_thread: impl FnOnce(Failure) -> T,
    walk: impl FnOnce(&Finder<T>) + Send + 'static,
) -> Walked<T> {
    let start = |run| std::thread::Builder::new().name("qft-walk".to_owned()).spawn(run).map(drop);
    walk_on(start, ahead, no_thread, walk)
}

fn walk_on<T: Send + 'static>(
    start: impl FnOnce(Box<dyn FnOnce() + Send>) -> io::Result<()>,
    ahead: usize,
    no_thread: impl FnOnce(Failure) -> T,
    walk: impl FnOnce(&Finder<T>) + Send + 'static,
) -> Walked<T> {
    // Room for an item and the end, whatever is asked for.
    let (items, walked) = mpsc::channel(ahead.max(2));
    let finder = items.clone();
    let run = move || {
        walk(&Finder(finder.clone()));
        // Only a walk that returns gets here. It fails when nobody listens any more.
        let _ = finder.blocking_send(None);
    };
    if let Err(error) = start(Box::new(run)) {
        warn!(%error, "cannot start a thread for the walk");
        let detail = format!("this system gives no thread for the search ({}); try again later", plain(&error));
        let _ = items.try_send(Some(no_thread(Failure::new(Status::Internal, detail))));
        let _ = items.try_send(None);
    }
    Walked(walked)
}

/// Where a walk puts what it finds.
pub(crate) struct Finder<T>(mpsc::Sender<Option<T>>);

/// Nobody takes what is found any more.
pub(crate) struct Gone;

impl<T> Finder<T> {
    /// Waits for room.
    pub(crate) fn blocking_send(&self, item: T) -> Result<(), Gone> {
        self.0.blocking_send(Some(item)).map_err(|_| Gone)
    }

    /// Whether nobody takes what is found any more. For a walk that may find nothing for long.
    pub(crate) fn is_over(&self) -> bool {
        self.0.is_closed()
    }
}

/// What a walk finds. Its end is said, so that a walk that broke off is never taken for one that found no more.
pub(crate) struct Walked<T>(mpsc::Receiver<Option<T>>);

impl<T> Walked<T> {
    /// The next item; `None` at the end, after which there is nothing to ask for.
    ///
    /// # Errors
    /// When the walk broke off.
    pub(crate) async fn next(&mut self) -> Result<Option<T>, SessionError> {
        self.0.recv().await.ok_or(SessionError::Internal("the walk"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_walk_that_returns_has_an_end() {
        let mut walked = walk_on_a_thread(1, |_| 0, |found| (0..3).for_each(|n| drop(found.blocking_send(n))));
        for n in 0..3 {
            assert!(matches!(walked.next().await, Ok(Some(found)) if found == n));
        }
        assert!(matches!(walked.next().await, Ok(None)));
    }

    #[tokio::test]
    async fn a_walk_that_breaks_off_is_an_error_after_what_it_found() {
        let mut walked = walk_on_a_thread(
            1,
            |_| 0,
            |found| {
                drop(found.blocking_send(1));
                panic!("a walk that breaks off");
            },
        );
        assert!(matches!(walked.next().await, Ok(Some(1))));
        assert!(matches!(walked.next().await, Err(SessionError::Internal(_))));
    }

    #[tokio::test]
    async fn a_walk_that_gets_no_thread_says_so_and_ends() {
        let no_thread = |_| Err(io::ErrorKind::WouldBlock.into());
        let mut walked = walk_on(no_thread, 1, |failure| failure.to_string(), |_| unreachable!("it has no thread"));
        let said = walked.next().await.expect("it is no error of the connection").expect("something is said");
        assert!(said.contains("no thread for the search") && said.contains("try again later"), "{said}");
        assert!(matches!(walked.next().await, Ok(None)));
    }
}
