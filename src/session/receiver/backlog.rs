//! What has arrived and is not on disk yet, and the brake on the peer when it grows.
//!
//! QUIC's window counts bytes until they are *read*, and bodies are read at once. So the window is made
//! smaller by what waits for the disk: what the peer may send, what has come, and what waits are together
//! never more than one window, whichever of network and disk is slower.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use quinn::{Connection, VarInt};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::protocol::BEGUN_BYTES_MAX;
use crate::session::SessionError;
use crate::transport::receive_window;

/// The window when all of it waits for the disk: what frees the disk may be a message of the peer's.
const WINDOW_MIN: usize = 1 << 20;

/// The window follows the backlog in steps of this part of it: each step costs a wake-up of the connection.
const STEPS: usize = 16;

/// How long a stream waits for room before it takes another packet all the same: the window that is left must
/// not fill up with content, or no message would come through. A few streams then take a megabyte a second.
const ROOM_WAIT: Duration = Duration::from_millis(10);

/// Content of one connection between QUIC and the disk.
pub(super) struct Backlog {
    bytes: AtomicUsize,
    /// Room taken by chunks that are being put together.
    begun: Arc<AtomicUsize>,
    /// Most bytes that may wait: the window of an idle disk.
    bound: usize,
    /// The window as it was last set.
    window: Mutex<usize>,
    fewer: Notify,
    connection: Connection,
}

impl Backlog {
    pub(super) fn new(connection: Connection) -> Self {
        let window = receive_window(&connection);
        connection.set_receive_window(window.into());
        let bound = window as usize;
        let (bytes, window, fewer) = (AtomicUsize::new(0), Mutex::new(bound), Notify::new());
        Self { bytes, begun: Arc::default(), bound, window, fewer, connection }
    }

    /// Takes room for a chunk of which the first bytes have come.
    pub(super) fn begin(&self, len: usize) -> Result<Begun, SessionError> {
        let before = self.begun.fetch_add(len, Ordering::Relaxed);
        let begun = Begun { all: self.begun.clone(), len };
        if before + len > BEGUN_BYTES_MAX {
            return Err(SessionError::Order("too many chunks begun at once"));
        }
        Ok(begun)
    }

    pub(super) fn is_busy(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) > 0
    }

    /// `bytes` more wait for the disk.
    pub(super) fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.follow();
    }

    /// `bytes` wait no longer.
    pub(super) fn remove(&self, bytes: usize) {
        let before = self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.follow();
        if before >= self.bound && before - bytes < self.bound {
            self.fewer.notify_waiters();
        }
    }

    /// Returns when the disk has caught up, or after a short wait.
    ///
    /// Streams are otherwise read at once: unread gaps would make QUIC give the connection up. By the time
    /// that this waits, the window has room for few.
    pub(super) async fn room(&self) {
        if self.bytes.load(Ordering::Relaxed) >= self.bound {
            let _ = timeout(ROOM_WAIT, self.fewer.notified()).await;
        }
    }

    /// Sets the window to what the backlog leaves of it, if that differs by a step.
    fn follow(&self) {
        let mut window = self.window.lock().expect("no holder panics");
        // Read under the lock: whoever sets the window last must have seen the latest.
        let left = self.bound.saturating_sub(self.bytes.load(Ordering::Relaxed)).max(WINDOW_MIN);
        if left.abs_diff(*window) < self.bound / STEPS {
            return;
        }
        *window = left;
        let left = u32::try_from(left).expect("at most the bound, which was one");
        self.connection.set_receive_window(VarInt::from_u32(left));
    }
}

/// The room of one chunk that is being put together; given back when dropped.
pub(super) struct Begun {
    all: Arc<AtomicUsize>,
    len: usize,
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.all.fetch_sub(self.len, Ordering::Relaxed);
    }
}
