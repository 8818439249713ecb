//! The resources of this machine that both ends use: its name, threads for the disk, a thread for a walk.

use std::io;
use std::num::NonZeroUsize;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use tokio::sync::mpsc;
use tracing::warn;

use super::SessionError;
use crate::protocol::message::{Failure, Kind, Message, Status};
use crate::storage::{WalkEntry, plain};

/// Names that a walk may be ahead of their headers.
pub const FOUND_AHEAD: usize = 1024;

/// Bytes of names and texts among them, which a peer's directories may have made long: 256 for each.
pub const FOUND_BYTES_AHEAD: usize = 256 << 10;

/// An item that a walk passes on.
pub(crate) trait Item {
    /// The memory that the item takes beside its own size, as far as nothing else bounds that.
    fn bytes(&self) -> usize;
}

impl<F> Item for WalkEntry<F> {
    fn bytes(&self) -> usize {
        match self {
            Self::File { at, name, meta, root: _ } => {
                let target = if let Kind::Link(target) = &meta.kind { target.len() } else { 0 };
                at.as_bytes().len() + name.as_bytes().len() + target
            }
            Self::Problem { name, failure } => name.len() + failure.detail.len(),
            Self::Note(text) => text.len(),
        }
    }
}

/// Few are ahead, and each is less than a frame.
impl Item for Message {
    fn bytes(&self) -> usize {
        0
    }
}

/// This machine's name, as it introduces itself.
pub(crate) fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Threads for files and digests: two more than cores, so that a slow disk does not idle the hashing.
pub(crate) fn disk_threads(cores: NonZeroUsize) -> NonZeroUsize {
    cores.saturating_add(2)
}

/// Walks trees on a thread of its own: a walk lasts as long as its job, and a job may last for days. It may be
/// `ahead` items, and [`FOUND_BYTES_AHEAD`], before whoever takes them. Where the system gives no thread, `no_thread` makes that the only item.
pub(crate) fn walk_on_a_thread<T: Item + Send + 'static>(
    ahead: usize,
    no_thread: impl FnOnce(Failure) -> T,
    walk: impl FnOnce(&Finder<T>) + Send + 'static,
) -> Walked<T> {
    let start = |run| std::thread::Builder::new().name("qft-walk".to_owned()).spawn(run).map(drop);
    walk_on(start, ahead, no_thread, walk)
}

fn walk_on<T: Item + Send + 'static>(
    start: impl FnOnce(Box<dyn FnOnce() + Send>) -> io::Result<()>,
    ahead: usize,
    no_thread: impl FnOnce(Failure) -> T,
    walk: impl FnOnce(&Finder<T>) + Send + 'static,
) -> Walked<T> {
    // Room for an item and the end, whatever is asked for.
    let (items, walked) = mpsc::channel(ahead.max(2));
    let bytes = Arc::<BytesAhead>::default();
    let finder = Finder { items: items.clone(), bytes: bytes.clone() };
    let run = move || {
        walk(&finder);
        // Only a walk that returns gets here. It fails when nobody listens any more.
        let _ = finder.items.blocking_send(None);
    };
    if let Err(error) = start(Box::new(run)) {
        warn!(%error, "cannot start a thread for the walk");
        let detail = format!("this system gives no thread for the search ({}); try again later", plain(&error));
        let item = no_thread(Failure::new(Status::Internal, detail));
        // Nothing else is there.
        let _ = bytes.wait_to_add(item.bytes());
        let _ = items.try_send(Some(item));
        let _ = items.try_send(None);
    }
    Walked { items: walked, bytes }
}

/// Where a walk puts what it finds.
pub(crate) struct Finder<T> {
    items: mpsc::Sender<Option<T>>,
    bytes: Arc<BytesAhead>,
}

/// Nobody takes what is found any more.
pub(crate) struct FinderClosed;

impl<T: Item> Finder<T> {
    /// Waits for room.
    pub(crate) fn blocking_send(&self, item: T) -> Result<(), FinderClosed> {
        self.bytes.wait_to_add(item.bytes())?;
        self.items.blocking_send(Some(item)).map_err(|_| FinderClosed)
    }

    /// Whether nobody takes what is found any more. For a walk that may find nothing for long.
    pub(crate) fn is_over(&self) -> bool {
        self.items.is_closed()
    }
}

/// The items that a walk finds. The end is told, so that a walk that broke off is never taken for a complete one.
pub(crate) struct Walked<T> {
    items: mpsc::Receiver<Option<T>>,
    bytes: Arc<BytesAhead>,
}

impl<T> Drop for Walked<T> {
    fn drop(&mut self) {
        self.bytes.end();
    }
}

impl<T: Item> Walked<T> {
    /// The next item; `None` at the end, after which there is nothing to ask for.
    ///
    /// # Errors
    /// When the walk broke off.
    pub(crate) async fn next(&mut self) -> Result<Option<T>, SessionError> {
        let item = self.items.recv().await.ok_or(SessionError::Internal("the walk"))?;
        if let Some(item) = &item {
            self.bytes.take_out(item.bytes());
        }
        Ok(item)
    }
}

/// Bytes of what was found and not taken.
#[derive(Default)]
struct BytesAhead {
    state: Mutex<UntakenBytes>,
    changed: Condvar,
}

#[derive(Default)]
struct UntakenBytes {
    bytes: usize,
    /// Nobody takes any more.
    is_over: bool,
}

impl BytesAhead {
    fn state(&self) -> MutexGuard<'_, UntakenBytes> {
        self.state.lock().expect("no holder panics")
    }

    /// Waits until so many more may be there; whatever one item takes, it may be there alone.
    fn wait_to_add(&self, more: usize) -> Result<(), FinderClosed> {
        let is_full = |ahead: &mut UntakenBytes| {
            !ahead.is_over && ahead.bytes > 0 && ahead.bytes.saturating_add(more) > FOUND_BYTES_AHEAD
        };
        let mut ahead = self.changed.wait_while(self.state(), is_full).expect("no holder panics");
        if ahead.is_over {
            return Err(FinderClosed);
        }
        ahead.bytes += more;
        Ok(())
    }

    fn take_out(&self, less: usize) {
        self.state().bytes -= less;
        self.changed.notify_all();
    }

    fn end(&self) {
        self.state().is_over = true;
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    impl Item for i32 {
        fn bytes(&self) -> usize {
            0
        }
    }

    impl Item for String {
        fn bytes(&self) -> usize {
            self.len()
        }
    }

    #[tokio::test]
    async fn a_walk_is_no_more_bytes_ahead_than_there_is_room_for_and_ends_when_nobody_listens() {
        const ITEM_BYTES: usize = 10_000;
        const ITEMS: usize = 200;
        let (sent, ended) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let walk = |items: usize| {
            let (sent, ended) = (sent.clone(), ended.clone());
            walk_on_a_thread(
                1000,
                |failure| failure.to_string(),
                move |found| {
                    for _ in 0..items {
                        let is_gone = found.blocking_send("x".repeat(ITEM_BYTES)).is_err();
                        sent.fetch_add(1, Ordering::Relaxed);
                        if is_gone {
                            break;
                        }
                    }
                    ended.fetch_add(1, Ordering::Relaxed);
                },
            )
        };
        let mut walked = walk(ITEMS);
        while sent.load(Ordering::Relaxed) < FOUND_BYTES_AHEAD / ITEM_BYTES {
            tokio::task::yield_now().await;
        }
        for taken in 1..=ITEMS {
            let item = walked.next().await.expect("the walk goes on").expect("it is not at its end");
            assert_eq!(item.len(), ITEM_BYTES);
            // One that was taken, and one that has room and is not counted as sent yet.
            let ahead = sent.load(Ordering::Relaxed).saturating_sub(taken);
            assert!(ahead <= FOUND_BYTES_AHEAD / ITEM_BYTES, "{ahead} are ahead");
            tokio::task::yield_now().await;
        }
        assert!(matches!(walked.next().await, Ok(None)));
        drop(walked);
        let mut left = walk(usize::MAX);
        assert!(matches!(left.next().await, Ok(Some(_))));
        drop(left);
        while ended.load(Ordering::Relaxed) < 2 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn an_item_that_is_larger_than_all_room_comes_through() {
        let large = || "x".repeat(2 * FOUND_BYTES_AHEAD);
        let mut walked = walk_on_a_thread(
            10,
            |failure| failure.to_string(),
            move |found| {
                (0..3).for_each(|_| drop(found.blocking_send(large())));
            },
        );
        for _ in 0..3 {
            assert!(matches!(walked.next().await, Ok(Some(_))));
        }
        assert!(matches!(walked.next().await, Ok(None)));
    }

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
