//! The turns of streams that wait for room in the connection's window.
//!
//! When there is room, QUIC wakes all streams that wait for it, the last one first, and whoever writes first takes all: while
//! the window is smaller than what all files want to send, some files would move and others wait until those have ended.
//! So each piece of content gets a number when it is to be written, and of those that wait the least goes first: all files
//! get as much, and few pieces are begun and not complete, which are lost with the connection.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use tokio::task::yield_now;

/// The pieces of one job that wait. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct WriteTurns(Arc<Mutex<Numbers>>);

#[derive(Debug, Default)]
struct Numbers {
    next: u64,
    waiting: BTreeSet<u64>,
}

/// The turn of one piece; it waits until this is dropped.
struct Turn {
    turns: WriteTurns,
    number: u64,
}

impl WriteTurns {
    /// Calls `write` until it is done, each time when there may be room.
    pub(super) async fn take<T>(&self, mut write: impl FnMut(&mut Context<'_>) -> Poll<T>) -> T {
        let mut turn: Option<Turn> = None;
        loop {
            if let Poll::Ready(written) = poll_fn(|cx| Poll::Ready(write(cx))).await {
                return written;
            }
            let turn = turn.get_or_insert_with(|| self.wait());
            woken().await;
            // Whoever goes first may wait for its own receiver alone, so the others try, too, after it.
            if !turn.is_first() {
                yield_now().await;
            }
        }
    }

    fn wait(&self) -> Turn {
        let mut numbers = self.0.lock().expect("no holder panics");
        let number = numbers.next;
        numbers.next += 1;
        numbers.waiting.insert(number);
        Turn { turns: self.clone(), number }
    }
}

impl Turn {
    fn is_first(&self) -> bool {
        self.turns.0.lock().expect("no holder panics").waiting.first() == Some(&self.number)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.turns.0.lock().expect("no holder panics").waiting.remove(&self.number);
    }
}

/// Waits until this task is woken.
async fn woken() {
    let mut has_waited = false;
    poll_fn(|_| if std::mem::replace(&mut has_waited, true) { Poll::Ready(()) } else { Poll::Pending }).await;
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use tokio::sync::Notify;

    use super::*;

    const WRITERS: usize = 6;
    const PIECES: usize = 5;
    /// A piece takes so many rounds of room.
    const PARTS: usize = 3;

    /// Room for one part at a time, of which all that wait are told in the order that is told to be worst: the last first.
    #[derive(Default)]
    struct Window {
        room: AtomicU64,
        wakers: Mutex<Vec<std::task::Waker>>,
    }

    impl Window {
        fn write(&self, cx: &Context<'_>) -> Poll<()> {
            if self.room.swap(0, Ordering::Relaxed) > 0 {
                return Poll::Ready(());
            }
            self.wakers.lock().unwrap().push(cx.waker().clone());
            Poll::Pending
        }

        fn open(&self) {
            self.room.store(1, Ordering::Relaxed);
            self.wakers.lock().unwrap().drain(..).rev().for_each(std::task::Waker::wake);
        }
    }

    #[tokio::test]
    async fn streams_that_wait_for_one_window_get_as_much_and_few_pieces_are_begun() {
        let (window, turns, done) = (Arc::<Window>::default(), WriteTurns::default(), Arc::new(Notify::new()));
        let written = Arc::new(Mutex::new([0; WRITERS]));
        for writer in 0..WRITERS {
            let (window, turns, written, done) = (window.clone(), turns.clone(), written.clone(), done.clone());
            tokio::spawn(async move {
                for _ in 0..PIECES {
                    let mut left = PARTS;
                    let write = |cx: &mut Context<'_>| {
                        while left > 0 {
                            std::task::ready!(window.write(cx));
                            (left, written.lock().unwrap()[writer]) = (left - 1, written.lock().unwrap()[writer] + 1);
                        }
                        Poll::Ready(())
                    };
                    turns.take(write).await;
                }
                done.notify_one();
            });
        }
        for round in 0..WRITERS * PIECES * PARTS {
            settle().await;
            window.open();
            settle().await;
            let written = *written.lock().unwrap();
            assert_eq!(written.iter().sum::<usize>(), round + 1, "there was room");
            let begun = written.iter().filter(|written| **written % PARTS != 0).count();
            assert!(begun <= 1, "more than one piece is begun: {written:?}");
            let (least, most) = (written.iter().min().unwrap(), written.iter().max().unwrap());
            assert!(most - least <= PARTS, "some wait for others: {written:?}");
        }
    }

    /// Lets all tasks run until each has done what it can.
    async fn settle() {
        for _ in 0..4 * WRITERS {
            yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_stream_that_waits_for_its_own_receiver_holds_up_no_other() {
        let (window, turns) = (Window::default(), WriteTurns::default());
        let stuck = turns.take(|_| Poll::<()>::Pending);
        let other = async {
            settle().await;
            turns.take(|cx| window.write(cx)).await;
        };
        let opened = async {
            settle().await;
            settle().await;
            window.open();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            biased;
            () = stuck => unreachable!("nobody reads it"),
            () = opened => unreachable!("it never ends"),
            () = other => {}
        }
    }
}
