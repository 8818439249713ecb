//! Layers between QUIC and a UDP socket. Each changes a little, and passes on the rest.

use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use quinn::udp::{EcnCodepoint, RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};

/// A layer on top of a socket. The calls that it does not define here are those of the socket below it.
pub(super) trait Layer: fmt::Debug + Send + Sync + 'static {
    fn below(&self) -> &Arc<dyn AsyncUdpSocket>;

    fn poller(&self) -> Pin<Box<dyn UdpPoller>> {
        self.below().clone().create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.below().try_send(transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        self.below().poll_recv(cx, bufs, meta)
    }

    fn max_transmit_segments(&self) -> usize {
        self.below().max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.below().max_receive_segments()
    }
}

/// Makes a layer the socket that QUIC uses.
pub(super) fn layered(layer: impl Layer) -> Arc<dyn AsyncUdpSocket> {
    Arc::new(Layered(layer))
}

#[derive(Debug)]
struct Layered<L>(L);

impl<L: Layer> AsyncUdpSocket for Layered<L> {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        self.0.poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.0.try_send(transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        self.0.poll_recv(cx, bufs, meta)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.below().local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.0.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.0.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.0.below().may_fragment()
    }
}

/// A [`Transmit`] that is kept.
#[derive(Debug)]
pub(super) struct KeptTransmit {
    destination: SocketAddr,
    ecn: Option<EcnCodepoint>,
    contents: Vec<u8>,
    segment_size: Option<usize>,
    src_ip: Option<IpAddr>,
}

impl KeptTransmit {
    pub(super) fn new(transmit: &Transmit<'_>) -> Self {
        let Transmit { destination, ecn, contents, segment_size, src_ip } = *transmit;
        Self { destination, ecn, contents: contents.to_vec(), segment_size, src_ip }
    }

    /// The packets of a call, each for a call of its own.
    pub(super) fn each(transmit: &Transmit<'_>) -> impl Iterator<Item = Self> {
        let Transmit { destination, ecn, contents, segment_size, src_ip } = *transmit;
        let one =
            move |contents: &[u8]| Self { destination, ecn, contents: contents.to_vec(), segment_size: None, src_ip };
        contents.chunks(segment_size.unwrap_or(contents.len()).max(1)).map(one)
    }

    /// Bytes of its packets.
    pub(super) fn len(&self) -> usize {
        self.contents.len()
    }

    pub(super) fn transmit(&self) -> Transmit<'_> {
        let Self { destination, ecn, ref contents, segment_size, src_ip } = *self;
        Transmit { destination, ecn, contents, segment_size, src_ip }
    }
}
