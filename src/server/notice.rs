//! Notices: the events that a server reports to its caller.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::keys::Fingerprint;

/// Notices that wait for a caller who does not read them: more than a second of small files. A peer decides how
/// many there are, so they cannot all be kept.
pub const NOTICES_KEPT: usize = 16 * 1024;

/// Bytes of the texts of those that wait, likewise: 256 for each. A path of 4 KiB may take four times that when it is escaped.
pub const NOTICE_BYTES_KEPT: usize = 4 << 20;

/// A client, as what is told of it names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Where it was when it was let in.
    pub addr: SocketAddr,
    /// The key by which it is known.
    pub fingerprint: Fingerprint,
    /// Its name in the list or in its certificate, else its name for itself; escaped for display.
    pub name: String,
}

/// An event that a server reports to its caller.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Notice {
    /// A client was let in.
    Connected {
        /// The worker that serves it, from 0.
        worker: usize,
        /// The client that this is told of.
        peer: Arc<Peer>,
        /// Whether an invite enrolled it now.
        enrolled: bool,
    },
    /// A client was not let in.
    Refused {
        /// The address from which it came.
        addr: SocketAddr,
        /// Its key, if the handshake got that far.
        fingerprint: Option<Fingerprint>,
        /// The reason, in words for the operator.
        why: String,
    },
    /// One file is through.
    Finished {
        /// The client that the file belongs to.
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
    /// One file of a client failed; its other files go on.
    Failed {
        /// The client that the file belongs to.
        peer: Arc<Peer>,
        /// Where it is or should be below the served directory, as far as that is known; escaped for display.
        path: String,
        /// The cause, in words for the operator.
        why: String,
    },
    /// A client's connection is over.
    Disconnected {
        /// The worker that served it.
        worker: usize,
        /// The client that this is told of.
        peer: Arc<Peer>,
        /// How the connection ended, in words for the operator.
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
        /// How many notices are lost.
        count: u64,
    },
}

impl Notice {
    /// Bytes of the texts that are its own.
    fn text_bytes(&self) -> usize {
        match self {
            Self::Refused { why, .. } | Self::Disconnected { why, .. } => why.len(),
            Self::Finished { path, .. } | Self::PartRemoved { path, .. } => path.len(),
            Self::Failed { path, why, .. } => path.len() + why.len(),
            Self::Connected { .. } | Self::Missed { .. } => 0,
        }
    }
}

/// Where notices come from.
pub(super) struct NoticeStream {
    receiver: mpsc::Receiver<Notice>,
    waiting_bytes: Arc<AtomicUsize>,
}

impl NoticeStream {
    /// The next one; `None` when the server has ended.
    pub(super) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Notice>> {
        let next = self.receiver.poll_recv(context);
        if let Poll::Ready(Some(notice)) = &next {
            self.waiting_bytes.fetch_sub(notice.text_bytes(), Ordering::Relaxed);
        }
        next
    }

    pub(super) fn has_next(&self) -> bool {
        !self.receiver.is_empty() || self.receiver.is_closed()
    }
}

/// Where notices go until the server has ended.
pub(super) struct Notices {
    sender: Mutex<Option<mpsc::Sender<Notice>>>,
    /// Bytes of the texts of those that wait.
    waiting_bytes: Arc<AtomicUsize>,
    /// Lost since the last one that got through.
    missed: AtomicU64,
    /// Lost since the start.
    lost: AtomicU64,
}

impl Notices {
    /// A way for notices, and its end.
    pub(super) fn channel() -> (Self, NoticeStream) {
        let (sender, receiver) = mpsc::channel(NOTICES_KEPT);
        let waiting_bytes = Arc::<AtomicUsize>::default();
        let stream = NoticeStream { receiver, waiting_bytes: waiting_bytes.clone() };
        (
            Self {
                sender: Mutex::new(Some(sender)),
                waiting_bytes,
                missed: AtomicU64::new(0),
                lost: AtomicU64::new(0),
            },
            stream,
        )
    }

    pub(super) fn send(&self, notice: Notice) {
        let sender = self.sender.lock().expect("no holder panics");
        let Some(notices) = &*sender else { return };
        let bytes = notice.text_bytes();
        // Nobody else adds to them meanwhile. What is lost is told with the next one that there is room for.
        if self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes > NOTICE_BYTES_KEPT {
            self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.missed.fetch_add(1, Ordering::Relaxed);
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let count = self.missed.swap(0, Ordering::Relaxed);
        // The caller may not want to know at all; then nobody counts.
        let is_told = count == 0 || notices.try_send(Notice::Missed { count }).is_ok();
        let is_sent = notices.try_send(notice).is_ok();
        self.waiting_bytes.fetch_sub(if is_sent { 0 } else { bytes }, Ordering::Relaxed);
        self.lost.fetch_add(u64::from(!is_sent), Ordering::Relaxed);
        self.missed.fetch_add(if is_told { 0 } else { count } + u64::from(!is_sent), Ordering::Relaxed);
    }

    /// How many were lost since the start.
    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// There will be no more.
    pub(super) fn end(&self) {
        self.sender.lock().expect("no holder panics").take();
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    /// The next one that is there.
    fn next(stream: &mut NoticeStream) -> Option<Notice> {
        match stream.poll_next(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(notice) => notice,
            Poll::Pending => None,
        }
    }

    #[test]
    fn long_texts_wait_in_no_more_bytes_than_there_is_room_for_and_come_again_when_they_were_read() {
        const LONG: usize = 16 << 10;
        let (notices, mut stream) = Notices::channel();
        let refused = || Notice::Refused { addr: ([10, 0, 0, 1], 1).into(), fingerprint: None, why: "x".repeat(LONG) };
        for missed in [0, 5, 5] {
            (0..NOTICE_BYTES_KEPT / LONG + 5).for_each(|_| notices.send(refused()));
            let mut kept = 0;
            while let Some(notice) = next(&mut stream) {
                match notice {
                    Notice::Refused { .. } => kept += 1,
                    notice => assert!(matches!(notice, Notice::Missed { count } if count == missed), "{notice:?}"),
                }
            }
            assert_eq!(kept, NOTICE_BYTES_KEPT / LONG);
        }
        assert_eq!(notices.waiting_bytes.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn what_is_lost_is_counted_and_told_once() {
        let (notices, mut stream) = Notices::channel();
        let refused = || Notice::Refused { addr: ([10, 0, 0, 1], 1).into(), fingerprint: None, why: String::new() };
        (0..NOTICES_KEPT + 5).for_each(|_| notices.send(refused()));
        (0..NOTICES_KEPT).for_each(|_| assert!(matches!(next(&mut stream), Some(Notice::Refused { .. }))));
        assert!(next(&mut stream).is_none());
        (0..2).for_each(|_| notices.send(refused()));
        assert_eq!(notices.lost(), 5);
        assert!(matches!(next(&mut stream), Some(Notice::Missed { count: 5 })));
        (0..2).for_each(|_| assert!(matches!(next(&mut stream), Some(Notice::Refused { .. }))));
        assert!(next(&mut stream).is_none());
    }
}
