//! A socket behind a limit.

use std::fmt;
use std::io::{self, IoSliceMut};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};

use super::Throttle;
use super::line::Place;
use crate::transport::udp::layer::Layer;

/// A socket behind a limit.
pub(super) struct Throttled {
    inner: Arc<dyn AsyncUdpSocket>,
    throttle: Throttle,
    /// That of the one task that receives.
    place: Mutex<Option<Place>>,
}

impl Throttled {
    pub(super) fn new(inner: Arc<dyn AsyncUdpSocket>, throttle: Throttle) -> Self {
        Self { inner, throttle, place: Mutex::new(None) }
    }
}

impl Layer for Throttled {
    fn below(&self) -> &Arc<dyn AsyncUdpSocket> {
        &self.inner
    }

    fn poller(&self) -> Pin<Box<dyn UdpPoller>> {
        let inner = self.inner.clone().create_io_poller();
        Box::pin(ThrottledPoller { inner, throttle: self.throttle.clone(), place: None })
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.inner.try_send(transmit)?;
        self.throttle.0.sent.pool().take(transmit.contents.len());
        Ok(())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let line = &self.throttle.0.received;
        ready!(line.poll(&mut self.place.lock().expect("no holder panics"), cx));
        let calls = self.throttle.packets_in_call().min(bufs.len());
        let count = ready!(self.inner.poll_recv(cx, &mut bufs[..calls], &mut meta[..calls]))?;
        let counted = meta[..count].iter().filter(|received| self.throttle.0.counts(received.addr));
        let bytes = counted.map(|received| received.len).sum();
        line.pool().take(bytes);
        Poll::Ready(Ok(count))
    }

    fn max_transmit_segments(&self) -> usize {
        self.inner.max_transmit_segments().min(self.throttle.packets_in_call())
    }
}

/// Says when one connection may send.
struct ThrottledPoller {
    inner: Pin<Box<dyn UdpPoller>>,
    throttle: Throttle,
    place: Option<Place>,
}

impl fmt::Debug for Throttled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Throttled")
            .field("inner", &self.inner)
            .field("throttle", &self.throttle)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ThrottledPoller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Poller").field("throttle", &self.throttle).finish_non_exhaustive()
    }
}

impl UdpPoller for ThrottledPoller {
    fn poll_writable(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.throttle.0.sent.poll(&mut this.place, cx));
        this.inner.as_mut().poll_writable(cx)
    }
}
