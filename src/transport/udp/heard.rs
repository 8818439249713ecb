//! When a packet has last arrived: a handshake that goes on is told from one that nobody answers.

use std::fmt;
use std::io::{self, IoSliceMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use quinn::AsyncUdpSocket;
use quinn::udp::RecvMeta;
use tokio::time::{Duration, Instant};

use super::layer::{Layer, layered};

/// The last packet that any of the sockets has heard that share this.
#[derive(Clone)]
pub(crate) struct Heard(Arc<Clock>);

struct Clock {
    began: Instant,
    /// Microseconds from then to the last packet, at least 1; 0 before the first.
    last: AtomicU64,
}

impl Heard {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Clock { began: Instant::now(), last: AtomicU64::new(0) }))
    }

    /// Puts this between a socket and its user.
    pub(in crate::transport) fn wrap(&self, inner: Arc<dyn AsyncUdpSocket>) -> Arc<dyn AsyncUdpSocket> {
        layered(Hearing { inner, heard: self.clone() })
    }

    /// When the last packet arrived.
    pub(in crate::transport) fn last(&self) -> Option<Instant> {
        let last = self.0.last.load(Ordering::Relaxed);
        (last > 0).then(|| self.0.began + Duration::from_micros(last))
    }

    fn note(&self) {
        let since = self.0.began.elapsed().as_micros().max(1);
        self.0.last.store(u64::try_from(since).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

impl fmt::Debug for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Heard").field(&self.last()).finish()
    }
}

/// A socket that notes what arrives.
#[derive(Debug)]
struct Hearing {
    inner: Arc<dyn AsyncUdpSocket>,
    heard: Heard,
}

impl Layer for Hearing {
    fn below(&self) -> &Arc<dyn AsyncUdpSocket> {
        &self.inner
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let count = ready!(self.inner.poll_recv(cx, bufs, meta))?;
        self.heard.note();
        Poll::Ready(Ok(count))
    }
}
