//! What has arrived and is not on disk yet, and the brake on the peer when it grows.
//!
//! QUIC's window counts bytes until they are *read*, and bodies are read at once. So the window is made
//! smaller by what waits for the disk: what the peer may send, what has come, and what waits are together
//! never more than one window, whichever of network and disk is slower.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::timeout;

use crate::protocol::BEGUN_BYTES_MAX;
use crate::session::SessionError;
use crate::session::window::ReceiveWindow;

/// How long a stream waits for room before it takes another packet all the same: the window that is left must
/// not fill up with content, or no message would come through. A few streams then take a megabyte a second.
const ROOM_WAIT: Duration = Duration::from_millis(10);

/// Longest that chunks may be begun while nothing of any content comes. What a lost packet leaves open is sent again within
/// seconds; who says something else meanwhile keeps its connection, not our memory.
pub const BEGUN_STILL_MAX: Duration = Duration::from_secs(120);

/// Content of one connection between QUIC and the disk.
pub(super) struct Backlog {
    window: Arc<ReceiveWindow>,
    /// Room taken by chunks that are being put together.
    begun: Arc<AtomicUsize>,
    /// Pieces of content that have come.
    pieces: AtomicU64,
    still: Mutex<Still>,
    fewer: Notify,
}

impl Backlog {
    pub(super) fn new(window: Arc<ReceiveWindow>) -> Self {
        let (begun, pieces) = Default::default();
        Self { window, begun, pieces, still: Mutex::new(Still::new(Instant::now())), fewer: Notify::new() }
    }

    /// Counts a chunk of which the first bytes have come.
    pub(super) fn begin(&self, len: usize) -> Result<Begun, SessionError> {
        let before = self.begun.fetch_add(len, Ordering::Relaxed);
        let begun = Begun { all: self.begun.clone(), len };
        if before + len > BEGUN_BYTES_MAX {
            return Err(SessionError::Order("too many chunks begun at once"));
        }
        Ok(begun)
    }

    /// A piece of content has come.
    pub(super) fn count_piece(&self) {
        self.pieces.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn is_busy(&self) -> bool {
        self.window.waiting() > 0
    }

    /// Whether the peer has begun chunks and left them so for too long. To be asked every few seconds.
    pub(super) fn is_left_begun(&self, now: Instant) -> bool {
        let waits = self.begun.load(Ordering::Relaxed) > 0 && !self.is_busy();
        let pieces = self.pieces.load(Ordering::Relaxed);
        self.still.lock().expect("no holder panics").look(waits, pieces, now) >= BEGUN_STILL_MAX
    }

    /// `bytes` more wait for the disk.
    pub(super) fn add(&self, bytes: usize) {
        self.window.add(bytes);
    }

    /// `bytes` wait no longer.
    pub(super) fn remove(&self, bytes: usize) {
        let before = self.window.remove(bytes);
        let bound = self.window.bound();
        if before >= bound && before - bytes < bound {
            self.fewer.notify_waiters();
        }
    }

    /// Returns when the disk has caught up, or after a short wait.
    ///
    /// Streams are otherwise read at once: unread gaps would make QUIC give the connection up. By the time
    /// that this waits, the window has room for few.
    pub(super) async fn room(&self) {
        if self.window.waiting() >= self.window.bound() {
            let _ = timeout(ROOM_WAIT, self.fewer.notified()).await;
        }
    }
}

/// Since when nothing has come that was waited for.
#[derive(Debug)]
struct Still {
    pieces: u64,
    since: Instant,
}

impl Still {
    fn new(now: Instant) -> Self {
        Self { pieces: 0, since: now }
    }

    fn look(&mut self, waits: bool, pieces: u64, now: Instant) -> Duration {
        if !waits || pieces != self.pieces {
            (self.pieces, self.since) = (pieces, now);
        }
        now.saturating_duration_since(self.since)
    }
}

/// A chunk that is being put together; counted no more when dropped.
pub(super) struct Begun {
    all: Arc<AtomicUsize>,
    len: usize,
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.all.fetch_sub(self.len, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_begun_and_not_gone_on_with_is_waited_for_and_then_not() {
        let start = Instant::now();
        let mut still = Still::new(start);
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(still.look(false, 0, at(500)), Duration::ZERO, "nothing is begun");
        assert_eq!(still.look(true, 0, at(560)), Duration::from_secs(60));
        assert_eq!(still.look(true, 1, at(600)), Duration::ZERO, "a piece has come");
        assert_eq!(still.look(true, 1, at(700)), Duration::from_secs(100));
        assert_eq!(still.look(false, 1, at(710)), Duration::ZERO, "it was completed, or the disk is what waits");
        assert!(still.look(true, 1, at(830)) >= BEGUN_STILL_MAX);
    }
}
