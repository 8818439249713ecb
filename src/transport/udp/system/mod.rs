//! A UDP socket as QUIC uses it, which costs less where processor time is short.
//!
//! Usually the system wakes us for each packet, so that it is acknowledged at once. A network thread that sleeps between
//! two packets, and a worker that it wakes for each, cost some 20 µs a packet, most of which goes to the waking: at 100
//! Mbit/s that is a fifth of a core. A process with a quota of as much is stopped again and again, for up to a tenth of a
//! second, in which nothing is acknowledged, and the sender's window has no room for what waits meanwhile.
//!
//! So a process that is [short](Shortage) of processor time fetches packets by the clock instead: all that came within a
//! millisecond or two in one call, and nothing wakes it in between (as NAPI does in the kernel). When nothing came, it
//! is woken by the next packet again. Packets of this machine, whose round trip is far below a millisecond, do not wait,
//! nor do acknowledgements: they tell a sender how fast the path is.
//! A MiB then costs 8 ms of processor time instead of 16; with a tenth of a core, a receiver at 100 Mbit/s, 100 ms and 1 %
//! of loss keeps 95 % of its speed instead of 72 % (`cargo bench --bench quota`). Who has time enough is woken for each
//! packet: batches of acknowledgements would hide from the sender how fast the path is.
//!
//! The system wakes whoever is registered for a socket, even if nobody asks for packets just now. So the socket is
//! registered only while somebody waits to be woken.

use std::fmt;
use std::future::Future;
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use quinn::udp::{RecvMeta, Transmit, UdpSocketState};
use quinn::{AsyncUdpSocket, UdpPoller};
use rustix::time::{ClockId, clock_gettime};
use tokio::io::Interest;
use tokio::time::{Instant, Sleep, sleep};
use tracing::debug;

use super::shortage::{LOOK, Shortage};
use crate::transport::canonical;

/// Time between two fetches: tokio's shortest, which makes one to two of it.
const PAUSE: Duration = Duration::from_millis(1);
/// Of the system's buffer, the part that what comes in such a time may fill. The system counts more than the bytes of
/// packets, and a process that is stopped needs the rest.
const BUFFER_SHARE: usize = 8;

/// Packets from this size on carry content. What only acknowledges is far smaller, and every path carries this much.
const CONTENT_BYTES_MIN: usize = 1000;

/// A socket that does not block.
pub(super) struct Udp {
    socket: UdpSocket,
    state: UdpSocketState,
    reading: Mutex<Reading>,
    /// The system took no more to send.
    is_full: AtomicBool,
}

/// How the one task that receives goes about it.
struct Reading {
    /// Wakes it for each packet; `None` while it fetches them by the clock.
    wakes: Option<tokio::net::UdpSocket>,
    /// Until the next fetch.
    pause: Option<Pin<Box<Sleep>>>,
    /// Bytes that came since the socket was empty last.
    bytes: usize,
    /// As many of them may come during a pause.
    pause_bytes_max: usize,
    look: Option<WakeProbe>,
    shortage: Shortage,
}

/// Looks once whether this thread is let run when it wants to.
struct WakeProbe {
    timer: Pin<Box<Sleep>>,
    since: Instant,
    used: Duration,
}

impl Udp {
    /// Takes a socket whose buffer for what arrives has so many bytes.
    ///
    /// # Errors
    /// The system refuses what QUIC needs.
    pub(super) fn new(socket: UdpSocket, buffer_bytes: usize) -> io::Result<Self> {
        let state = UdpSocketState::new((&socket).into())?;
        let reading = Reading {
            wakes: None,
            pause: None,
            bytes: 0,
            pause_bytes_max: buffer_bytes / BUFFER_SHARE,
            look: None,
            shortage: Shortage::default(),
        };
        Ok(Self { socket, state, reading: Mutex::new(reading), is_full: AtomicBool::new(false) })
    }

    /// The same socket, registered with this runtime until it is dropped.
    fn register(&self) -> io::Result<tokio::net::UdpSocket> {
        tokio::net::UdpSocket::from_std(self.socket.try_clone()?)
    }

    /// Waits until the system takes packets again.
    async fn writable(self: Arc<Self>) -> io::Result<()> {
        let Ok(wakes) = self.register() else {
            // No descriptor is left: one more try will tell as well.
            sleep(PAUSE).await;
            return Ok(());
        };
        wakes.writable().await
    }
}

impl fmt::Debug for Udp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Udp").field("socket", &self.socket).finish_non_exhaustive()
    }
}

impl AsyncUdpSocket for Udp {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(UdpSendPoller { socket: self, writable: None })
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let sent = self.state.send((&self.socket).into(), transmit);
        if sent.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
            self.is_full.store(true, Ordering::Relaxed);
        }
        sent
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut reading = self.reading.lock().expect("no holder panics");
        reading.poll_look(cx);
        loop {
            ready!(reading.poll_pause(cx));
            let mut receive = || self.state.recv((&self.socket).into(), bufs, meta);
            let received = match &reading.wakes {
                Some(wakes) => {
                    ready!(wakes.poll_recv_ready(cx))?;
                    wakes.try_io(Interest::READABLE, receive)
                }
                None => receive(),
            };
            match received {
                Ok(count) => {
                    reading.on_received(&meta[..count], count < bufs.len());
                    return Poll::Ready(Ok(count));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => reading.on_empty(|| self.register()),
                // What the network says of an earlier packet is no reason to stop.
                Err(_) => {}
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.state.max_gso_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.state.gro_segments()
    }

    fn may_fragment(&self) -> bool {
        self.state.may_fragment()
    }
}

impl Reading {
    /// Packets came; `is_last`: the socket has no more of them.
    fn on_received(&mut self, packets: &[RecvMeta], is_last: bool) {
        self.look.get_or_insert_with(WakeProbe::begin);
        self.bytes += packets.iter().map(|packet| packet.len).sum::<usize>();
        if !is_last {
            return;
        }
        let bytes = std::mem::take(&mut self.bytes);
        let is_far = packets.iter().all(|packet| !canonical(packet.addr).ip().is_loopback());
        let is_content = packets.iter().any(|packet| packet.stride >= CONTENT_BYTES_MIN);
        if is_far && is_content && bytes <= self.pause_bytes_max && self.shortage.is_short(Instant::now().into_std()) {
            self.wakes = None;
            self.pause = Some(Box::pin(sleep(PAUSE)));
        }
    }

    /// Nothing is there: the next packet is to wake us. Where the system has nothing left to register it with, the clock
    /// does.
    fn on_empty(&mut self, register: impl FnOnce() -> io::Result<tokio::net::UdpSocket>) {
        self.bytes = 0;
        if self.wakes.is_none() {
            match register() {
                Ok(wakes) => self.wakes = Some(wakes),
                Err(_) => self.pause = Some(Box::pin(sleep(PAUSE))),
            }
        }
    }

    fn poll_pause(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(cx));
            self.pause = None;
        }
        Poll::Ready(())
    }

    /// Looks, if it is time to; the next packet begins the next look, so that a socket where nothing comes costs nothing.
    fn poll_look(&mut self, cx: &mut Context<'_>) {
        let Some(look) = &mut self.look else { return };
        if look.timer.as_mut().poll(cx).is_pending() {
            return;
        }
        let (now, late, idle) = look.end();
        self.look = None;
        if self.shortage.on_look(now.into_std(), late, idle) {
            debug!(?late, "too little processor time: packets are fetched by the clock");
        }
    }
}

impl WakeProbe {
    fn begin() -> Self {
        Self { timer: Box::pin(sleep(LOOK)), since: Instant::now(), used: thread_time() }
    }

    /// Now, how late that is, and how long this thread has not run since the beginning.
    fn end(&self) -> (Instant, Duration, Duration) {
        let now = Instant::now();
        let late = now.saturating_duration_since(self.timer.deadline());
        let ran = thread_time().saturating_sub(self.used);
        (now, late, now.saturating_duration_since(self.since).saturating_sub(ran))
    }
}

/// Processor time that this thread has used.
fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Says when one connection may send.
struct UdpSendPoller {
    socket: Arc<Udp>,
    writable: Option<Pin<Box<dyn Future<Output = io::Result<()>> + Send + Sync>>>,
}

impl UdpPoller for UdpSendPoller {
    fn poll_writable(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.writable.is_none() && !this.socket.is_full.swap(false, Ordering::Relaxed) {
            return Poll::Ready(Ok(()));
        }
        let writable = this.writable.get_or_insert_with(|| Box::pin(this.socket.clone().writable()));
        let result = ready!(writable.as_mut().poll(cx));
        this.writable = None;
        Poll::Ready(result)
    }
}

impl fmt::Debug for UdpSendPoller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Poller").field("socket", &self.socket).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
