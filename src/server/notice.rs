//! What a server tells its caller.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::transport::Fingerprint;

/// Notices that wait for a caller who does not read them: more than a second of small files. A peer decides how
/// many there are, so they cannot all be kept.
const NOTICES_KEPT: usize = 16 * 1024;

/// A client, as what is told of it names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Where it was when it was let in.
    pub addr: SocketAddr,
    /// Its key.
    pub fingerprint: Fingerprint,
    /// Its name in the list or in its certificate, else its name for itself; escaped for display.
    pub name: String,
}

/// What a server tells its caller as it happens.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Notice {
    /// A client was let in.
    Connected {
        /// The worker that serves it, from 0.
        worker: usize,
        /// The client.
        peer: Arc<Peer>,
        /// Whether an invite enrolled it now.
        enrolled: bool,
    },
    /// A client was not let in.
    Refused {
        /// Where it is.
        addr: SocketAddr,
        /// Its key, if the handshake got that far.
        fingerprint: Option<Fingerprint>,
        /// Why.
        why: String,
    },
    /// One file is through.
    Finished {
        /// Whose file it is.
        peer: Arc<Peer>,
        /// Where it is below the served directory, escaped for display.
        path: String,
        /// Its size in bytes.
        size: u64,
        /// Bytes of it that crossed the wire.
        written: u64,
        /// Since its content began to move.
        elapsed: Duration,
        /// Whether the client sent it; else it got it.
        from_peer: bool,
    },
    /// One file failed.
    Failed {
        /// Whose file it is.
        peer: Arc<Peer>,
        /// Where it is or should be below the served directory, as far as that is known; escaped for display.
        path: String,
        /// The cause.
        why: String,
    },
    /// A client's connection is over.
    Disconnected {
        /// The worker that served it.
        worker: usize,
        /// The client.
        peer: Arc<Peer>,
        /// How it ended.
        why: String,
        /// Since it was let in.
        elapsed: Duration,
        /// Files that it sent.
        files_in: u64,
        /// Files that it got.
        files_out: u64,
        /// Content bytes written for it.
        bytes_in: u64,
        /// Content bytes that it wrote.
        bytes_out: u64,
    },
    /// An unfinished file that nobody continued was removed.
    PartRemoved {
        /// The file that it was to become, below the served directory, escaped for display.
        path: String,
        /// Bytes that were there.
        size: u64,
        /// Since it was last written to.
        age: Duration,
    },
    /// Notices came faster than they were taken, and some are lost.
    Missed {
        /// How many.
        count: u64,
    },
}

/// Where notices go until the server has ended.
pub(super) struct Notices {
    sender: Mutex<Option<mpsc::Sender<Notice>>>,
    /// Lost since the last one that got through.
    missed: AtomicU64,
}

impl Notices {
    /// A way for notices, and its end.
    pub(super) fn channel() -> (Self, mpsc::Receiver<Notice>) {
        let (notices, stream) = mpsc::channel(NOTICES_KEPT);
        (Self { sender: Mutex::new(Some(notices)), missed: AtomicU64::new(0) }, stream)
    }

    pub(super) fn send(&self, notice: Notice) {
        let sender = self.sender.lock().expect("no holder panics");
        let Some(notices) = &*sender else { return };
        let count = self.missed.swap(0, Ordering::Relaxed);
        // The caller may not want to know at all; then nobody counts.
        let is_told = count == 0 || notices.try_send(Notice::Missed { count }).is_ok();
        let is_sent = notices.try_send(notice).is_ok();
        self.missed.fetch_add(if is_told { 0 } else { count } + u64::from(!is_sent), Ordering::Relaxed);
    }

    /// There will be no more.
    pub(super) fn end(&self) {
        self.sender.lock().expect("no holder panics").take();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_is_counted_and_told_once() {
        let (notices, mut stream) = Notices::channel();
        let refused = || Notice::Refused { addr: ([10, 0, 0, 1], 1).into(), fingerprint: None, why: String::new() };
        (0..NOTICES_KEPT + 5).for_each(|_| notices.send(refused()));
        (0..NOTICES_KEPT).for_each(|_| assert!(matches!(stream.try_recv(), Ok(Notice::Refused { .. }))));
        assert!(stream.try_recv().is_err());
        (0..2).for_each(|_| notices.send(refused()));
        assert!(matches!(stream.try_recv(), Ok(Notice::Missed { count: 5 })));
        (0..2).for_each(|_| assert!(matches!(stream.try_recv(), Ok(Notice::Refused { .. }))));
        assert!(stream.try_recv().is_err());
    }
}
