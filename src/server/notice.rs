//! What a server tells its caller.

use std::net::SocketAddr;
use std::sync::Mutex;

use tokio::sync::mpsc;

use crate::transport::Fingerprint;

/// Notices that wait for a caller who does not read them: more than a second of small files. A peer decides how
/// many there are, so they cannot all be kept.
const NOTICES_KEPT: usize = 16 * 1024;

/// What a server tells its caller as it happens.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Notice {
    /// A client was let in.
    Connected {
        /// The worker that serves it, from 0.
        worker: usize,
        /// Where it is.
        addr: SocketAddr,
        /// Its key.
        peer: Fingerprint,
        /// Its name for itself, escaped for display.
        name: String,
        /// Whether an invite enrolled it now.
        enrolled: bool,
    },
    /// A client was not let in.
    Refused {
        /// Where it is.
        addr: SocketAddr,
        /// Its key, if the handshake got that far.
        peer: Option<Fingerprint>,
        /// Why.
        why: String,
    },
    /// One file is through.
    Finished {
        /// Its name, escaped for display.
        path: String,
        /// Bytes.
        size: u64,
        /// Whether the client sent it; else it got it.
        from_peer: bool,
    },
    /// One file failed.
    Failed {
        /// Its name, escaped for display.
        path: String,
        /// The cause.
        why: String,
    },
    /// A client's connection is over.
    Disconnected {
        /// The worker that served it.
        worker: usize,
        /// Where it was.
        addr: SocketAddr,
        /// Its key.
        peer: Fingerprint,
        /// How it ended.
        why: String,
        /// Files that it sent.
        files_in: u64,
        /// Files that it got.
        files_out: u64,
        /// Content bytes written for it.
        bytes_in: u64,
        /// Content bytes that it wrote.
        bytes_out: u64,
    },
}

/// Where notices go until the server has ended.
pub(super) struct Notices(Mutex<Option<mpsc::Sender<Notice>>>);

impl Notices {
    /// A way for notices, and its end.
    pub(super) fn channel() -> (Self, mpsc::Receiver<Notice>) {
        let (notices, stream) = mpsc::channel(NOTICES_KEPT);
        (Self(Mutex::new(Some(notices))), stream)
    }

    pub(super) fn send(&self, notice: Notice) {
        if let Some(notices) = &*self.0.lock().expect("no holder panics") {
            // The caller may not want to know.
            let _ = notices.try_send(notice);
        }
    }

    /// There will be no more.
    pub(super) fn end(&self) {
        self.0.lock().expect("no holder panics").take();
    }
}
