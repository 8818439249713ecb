//! The messages that are said and not written yet, from many threads to one writer.
//!
//! To wake the writer takes longer than to find an answer: it is woken when there is something, and whoever says many things
//! one after the other lets them gather before they go out.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::timeout;

use super::budget::Hold;
use crate::protocol::close::CloseCode;
use crate::protocol::codec;
use crate::protocol::message::Message;
use crate::transfer::GROWTH;

/// Messages that may wait because the peer does not read. A peer that keeps asking without reading the
/// answers would otherwise fill our memory.
pub const QUEUED_MESSAGES_MAX: usize = 64 * 1024;

/// Messages that may wait before those are held back that can be: the peer reads them no sooner for it.
const ROOM_MESSAGES: usize = 1024;

/// The same in bytes: names of a listing are many to a message.
const ROOM_BYTES: usize = 256 << 10;

/// Of what is gathered so much goes out at once: a few packets, which take one system call.
const GATHERED_BYTES: usize = 4 << 10;

/// How long what is said is gathered: not noticed by whoever waits for a file, and long enough for hundreds of answers.
const GATHERED_FOR: Duration = Duration::from_millis(5);

/// The messages that are said and not written yet.
#[derive(Debug)]
pub(super) struct Unwritten {
    frames: Mutex<Frames>,
    more: Notify,
    fewer: Notify,
}

/// Messages as they go out, one after the other.
#[derive(Debug)]
struct Frames {
    bytes: Vec<u8>,
    /// Those that are being written count, too.
    messages: usize,
    /// The room that they take, likewise.
    room: Hold,
    /// How many say at once that more follows soon.
    gatherers: usize,
    /// Nobody can say any more.
    is_last: bool,
    /// Nobody writes any more.
    is_lost: bool,
}

impl Frames {
    /// Whether what there is goes out without waiting for more.
    fn is_due(&self) -> bool {
        self.gatherers == 0 || self.bytes.len() >= GATHERED_BYTES || self.is_last
    }
}

impl Unwritten {
    /// None yet; `room` grows with them.
    pub(super) fn new(room: Hold) -> Self {
        let (is_last, is_lost) = (false, false);
        let frames = Mutex::new(Frames { bytes: Vec::new(), messages: 0, room, gatherers: 0, is_last, is_lost });
        Self { frames, more: Notify::new(), fewer: Notify::new() }
    }

    /// Adds a message.
    ///
    /// # Errors
    /// Why the connection is to be closed, and what the peer is told.
    pub(super) fn add(&self, message: &Message) -> Result<(), (CloseCode, &'static str)> {
        let mut frames = self.frames();
        if frames.is_lost {
            // The reader notices, too.
            return Ok(());
        }
        let before = frames.bytes.len();
        if let Err(error) = codec::encode(message, &mut frames.bytes) {
            // Every message is built within its limits; reaching this is our fault, not the peer's.
            tracing::error!(%error, "a message could not be encoded");
            return Err((CloseCode::Internal, ""));
        }
        let after = frames.bytes.len();
        if !frames.room.grow(GROWTH * (after - before)) {
            frames.bytes.truncate(before);
            return Err((CloseCode::Busy, "no room for more answers that are not being read"));
        }
        frames.messages += 1;
        let is_too_many = frames.messages > QUEUED_MESSAGES_MAX;
        drop(frames);
        let is_full = before < GATHERED_BYTES && after >= GATHERED_BYTES;
        if before == 0 || is_full {
            self.more.notify_one();
        }
        if is_too_many { Err((CloseCode::Violation, "answers are not being read")) } else { Ok(()) }
    }

    /// Lets what is said wait a little for more of it, as `MSG_MORE` does, until what is returned is dropped.
    pub(super) fn gather(self: &Arc<Self>) -> Gathering {
        self.frames().gatherers += 1;
        Gathering(self.clone())
    }

    /// Nobody says any more.
    pub(super) fn end(&self) {
        self.frames().is_last = true;
        self.more.notify_one();
    }

    /// Whether the peer keeps up with what is said.
    pub(super) fn has_room(&self) -> bool {
        let frames = self.frames();
        frames.messages < ROOM_MESSAGES && frames.room.amount() < GROWTH * ROOM_BYTES
    }

    /// Waits until it does; for ever, when the connection has ended.
    pub(super) async fn room(&self) {
        loop {
            let fewer = self.fewer.notified();
            if self.has_room() {
                return;
            }
            fewer.await;
        }
    }

    fn frames(&self) -> MutexGuard<'_, Frames> {
        self.frames.lock().expect("no holder panics")
    }

    /// Waits for messages, and takes all that are there into `taken`, which is empty; nothing, when no more come.
    pub(super) async fn take(&self, taken: &mut Vec<u8>) {
        let mut is_late = false;
        loop {
            let more = self.more.notified();
            let is_begun = {
                let mut frames = self.frames();
                let is_begun = !frames.bytes.is_empty();
                if (is_begun && (is_late || frames.is_due())) || frames.is_last {
                    return std::mem::swap(&mut frames.bytes, taken);
                }
                is_begun
            };
            match is_begun {
                // Whoever gathers may have to wait for the disk.
                true => is_late = timeout(GATHERED_FOR, more).await.is_err(),
                false => more.await,
            }
        }
    }

    /// Nobody writes any more.
    pub(super) fn on_lost(&self) {
        let mut frames = self.frames();
        frames.is_lost = true;
        frames.bytes = Vec::new();
    }

    /// So much of what was taken is written.
    pub(super) fn on_written(&self, messages: usize, bytes: usize) {
        let mut frames = self.frames();
        frames.messages -= messages;
        frames.room.shrink(GROWTH * bytes);
        drop(frames);
        self.fewer.notify_waiters();
    }
}

/// More is being said.
#[derive(Debug)]
pub(crate) struct Gathering(Arc<Unwritten>);

impl Drop for Gathering {
    fn drop(&mut self) {
        let mut frames = self.0.frames();
        frames.gatherers -= 1;
        let is_due = frames.is_due() && !frames.bytes.is_empty();
        drop(frames);
        if is_due {
            self.0.more.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};
    use std::time::Instant;

    use super::*;
    use crate::session::budget::Account;

    fn unwritten() -> Arc<Unwritten> {
        Arc::new(Unwritten::new(Account::of_one(1 << 20).for_messages()))
    }

    fn say(unwritten: &Unwritten) {
        unwritten.add(&Message::GoAway).expect("there is room");
    }

    /// Whether the writer takes something without waiting.
    fn goes_out(unwritten: &Unwritten) -> bool {
        let mut taken = Vec::new();
        let taking = pin!(unwritten.take(&mut taken)).poll(&mut Context::from_waker(Waker::noop()));
        taking == Poll::Ready(()) && !taken.is_empty()
    }

    #[tokio::test]
    async fn what_is_said_goes_out_at_once_unless_more_is_said_soon() {
        let unwritten = unwritten();
        say(&unwritten);
        assert!(goes_out(&unwritten) && !goes_out(&unwritten));
        let gatherings = [unwritten.gather(), unwritten.gather()];
        say(&unwritten);
        assert!(!goes_out(&unwritten));
        drop(gatherings);
        assert!(goes_out(&unwritten));
    }

    #[tokio::test]
    async fn what_is_gathered_does_not_wait_for_whoever_gathers_for_ever() {
        let unwritten = unwritten();
        let _gathering = unwritten.gather();
        say(&unwritten);
        let (begun, mut taken) = (Instant::now(), Vec::new());
        unwritten.take(&mut taken).await;
        assert!(!taken.is_empty() && begun.elapsed() >= GATHERED_FOR);
    }

    #[tokio::test]
    async fn of_what_is_gathered_no_more_waits_than_goes_out_together() {
        let unwritten = unwritten();
        let _gathering = unwritten.gather();
        let said = (1..).take_while(|_| {
            say(&unwritten);
            !goes_out(&unwritten)
        });
        let said = 1 + said.count();
        let mut one = Vec::new();
        codec::encode(&Message::GoAway, &mut one).expect("it is short");
        assert_eq!(said, GATHERED_BYTES.div_ceil(one.len()));
    }
}
