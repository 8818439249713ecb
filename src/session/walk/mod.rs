//! A walk on a thread of its own, and the items that it is ahead of whoever takes them.

use std::collections::VecDeque;
use std::io;
use std::ops::ControlFlow;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use tokio::sync::Notify;
use tokio::task::coop::consume_budget;
use tracing::warn;

use super::SessionError;
use crate::protocol::message::{Failure, Kind, Message, Status};
use crate::storage::{Expanded, Walk, WalkEntry, plain};

/// Names that a walk may be ahead of their headers.
pub const FOUND_AHEAD: usize = 1024;

/// Bytes of names and texts among them, which a peer's directories may have made long: 256 for each.
pub const FOUND_BYTES_AHEAD: usize = 256 << 10;

/// What waits to be taken may be half of that; what was taken together, and is not passed on yet, the other half.
const HALVES: usize = 2;

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

/// Walks trees on a thread of its own: a walk lasts as long as its job, and a job may last for days. It may be
/// `ahead` items, and [`FOUND_BYTES_AHEAD`], before whoever takes them. Where the system gives no thread, `no_thread` makes
/// that the only item.
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
    let untaken = Arc::new(Untaken {
        items_max: (ahead / HALVES).max(1),
        state: Mutex::default(),
        less: Condvar::new(),
        more: Notify::new(),
    });
    let finder = Finder(untaken.clone());
    let run = move || {
        walk(&finder);
        // Only a walk that returns gets here.
        finder.0.end(WalkState::Ended);
    };
    if let Err(error) = start(Box::new(run)) {
        warn!(%error, "cannot start a thread for the walk");
        let detail = format!("this system gives no thread for the search ({}); try again later", plain(&error));
        let mut state = untaken.state();
        state.items.push_back(no_thread(Failure::new(Status::Internal, detail)));
        state.walk = WalkState::Ended;
    }
    Walked { untaken, taken: VecDeque::new() }
}

/// Where a walk puts what it finds.
pub(crate) struct Finder<T>(Arc<Untaken<T>>);

/// Nobody takes what is found any more.
pub(crate) struct FinderClosed;

impl<T: Item> Finder<T> {
    /// Waits for room; whatever one item takes, it may be there alone.
    pub(crate) fn blocking_send(&self, item: T) -> Result<(), FinderClosed> {
        let (more, mut state) = (item.bytes(), self.0.state());
        while !state.is_over && self.0.is_full(&state, more) {
            state.is_waited_for = true;
            state = self.0.less.wait(state).expect("no holder panics");
        }
        if state.is_over {
            return Err(FinderClosed);
        }
        state.bytes += more;
        state.items.push_back(item);
        let is_first = state.items.len() == 1;
        drop(state);
        if is_first {
            self.0.more.notify_one();
        }
        Ok(())
    }

    /// Whether nobody takes what is found any more. For a walk that may find nothing for long.
    pub(crate) fn is_over(&self) -> bool {
        self.0.state().is_over
    }
}

impl<T: Item + Send + 'static> Finder<T> {
    /// The same for whoever waits for something else meanwhile.
    pub(crate) fn over(&self) -> impl Fn() -> bool + Send + Sync + 'static + use<T> {
        let untaken = self.0.clone();
        move || untaken.state().is_over
    }
}

impl Finder<WalkEntry> {
    /// Walks what a pattern or a name has led to, before the next is looked up, so that no more waits to be taken than there
    /// is room for.
    pub(crate) fn walk(&self, walk: &mut Walk, expanded: Expanded) -> Result<(), FinderClosed> {
        match expanded {
            Ok(request) => walk.add(request),
            Err((name, failure)) => return self.blocking_send(WalkEntry::Problem { name, failure }),
        }
        while let ControlFlow::Continue(item) = walk.step() {
            match item {
                Some(item) => self.blocking_send(item)?,
                None if self.is_over() => return Err(FinderClosed),
                None => {}
            }
        }
        Ok(())
    }
}

/// A walk that did not return has broken off.
impl<T> Drop for Finder<T> {
    fn drop(&mut self) {
        self.0.end(WalkState::BrokenOff);
    }
}

/// The items that a walk finds. The end is told, so that a walk that broke off is never taken for a complete one.
pub(crate) struct Walked<T> {
    untaken: Arc<Untaken<T>>,
    /// Taken together, and not passed on yet.
    taken: VecDeque<T>,
}

impl<T> Walked<T> {
    /// An item that was taken already.
    pub(crate) fn at_hand(&mut self) -> Option<T> {
        self.taken.pop_front()
    }

    /// The next item; `None` at the end. Safe to cancel.
    ///
    /// # Errors
    /// When the walk broke off.
    pub(crate) async fn next(&mut self) -> Result<Option<T>, SessionError> {
        loop {
            // Others on this thread are to have their turn, however much is there.
            consume_budget().await;
            if let Some(item) = self.at_hand() {
                return Ok(Some(item));
            }
            match self.untaken.take(&mut self.taken) {
                _ if !self.taken.is_empty() => {}
                WalkState::Going => self.untaken.more.notified().await,
                WalkState::Ended => return Ok(None),
                WalkState::BrokenOff => return Err(SessionError::Internal("the walk")),
            }
        }
    }
}

impl<T> Drop for Walked<T> {
    fn drop(&mut self) {
        self.untaken.state().is_over = true;
        self.untaken.less.notify_one();
    }
}

/// What was found and not taken. It is taken all together: to wake a thread for each item, on either side, takes longer
/// than to find one.
struct Untaken<T> {
    items_max: usize,
    state: Mutex<UntakenState<T>>,
    /// For the one who finds.
    less: Condvar,
    /// For the one who takes.
    more: Notify,
}

struct UntakenState<T> {
    items: VecDeque<T>,
    bytes: usize,
    /// The walk waits for room.
    is_waited_for: bool,
    walk: WalkState,
    /// Nobody takes any more.
    is_over: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WalkState {
    Going,
    Ended,
    BrokenOff,
}

impl<T> Default for UntakenState<T> {
    fn default() -> Self {
        Self { items: VecDeque::new(), bytes: 0, is_waited_for: false, walk: WalkState::Going, is_over: false }
    }
}

impl<T> Untaken<T> {
    fn state(&self) -> MutexGuard<'_, UntakenState<T>> {
        self.state.lock().expect("no holder panics")
    }

    fn is_full(&self, state: &UntakenState<T>, more: usize) -> bool {
        let is_beyond = state.bytes.saturating_add(more) > FOUND_BYTES_AHEAD / HALVES;
        !state.items.is_empty() && (state.items.len() >= self.items_max || is_beyond)
    }

    /// Takes all that is there into `taken`, which is empty, and says how far the walk is.
    fn take(&self, taken: &mut VecDeque<T>) -> WalkState {
        let mut state = self.state();
        std::mem::swap(&mut state.items, taken);
        state.bytes = 0;
        let (is_waited_for, walk) = (std::mem::take(&mut state.is_waited_for), state.walk);
        drop(state);
        if is_waited_for {
            self.less.notify_one();
        }
        walk
    }

    /// Ends a walk that goes on.
    fn end(&self, walk: WalkState) {
        let mut state = self.state();
        if state.walk == WalkState::Going {
            state.walk = walk;
        }
        drop(state);
        self.more.notify_one();
    }
}

#[cfg(test)]
mod tests;
