//! Packets leave one by one where the congestion controller asks for it.
//!
//! quinn's pacer lets ten packets go at once, and so does a call of the kernel's. A queue that other flows keep full has room
//! for one or two of them, whereas a flow that sends one by one finds room as often as its competitors do: beside one BBR at 30
//! Mbit/s and 20 ms a quarter of ours was lost, and a twentieth so. The pace is that of the controller's
//! [`PathState`]; where it gives none, nothing waits here.
//!
//! What waits is less than a window, and leaves in less than a round trip.

mod queue;

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Instant;

use quinn::AsyncUdpSocket;
use quinn::congestion::{Controller, ControllerFactory};
use quinn::udp::Transmit;
use tokio::runtime::Handle;
use tokio::time::sleep_until;

use self::queue::PacketQueue;
use super::by_peer::ByPeer;
use super::layer::{KeptTransmit, Layer, layered};
use crate::congestion::{PathController, PathState};
use crate::transport::canonical;
use crate::transport::limits::TIMER_GRAIN;

/// The paths of the connections that share a tuning, by which their packets are paced. Clones share it.
#[derive(Clone, Default)]
pub struct Pacing(Arc<ByPeer<PathState>>);

impl fmt::Debug for Pacing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pacing").finish_non_exhaustive()
    }
}

impl Pacing {
    /// Puts the pacing between a socket and its users.
    pub(super) fn wrap(&self, inner: Arc<dyn AsyncUdpSocket>) -> Arc<dyn AsyncUdpSocket> {
        let pacer = Pacer { inner, pacing: self.clone(), queues: Mutex::default(), is_served: AtomicBool::new(false) };
        layered(PacedSocket(Arc::new(pacer)))
    }

    /// Paces the connections to `peer` that will be made with these controllers. On the way to another end on this machine
    /// there is no queue.
    pub(in crate::transport) fn watch(
        &self,
        peer: SocketAddr,
        inner: Arc<dyn ControllerFactory + Send + Sync>,
    ) -> Arc<dyn ControllerFactory + Send + Sync> {
        if canonical(peer).ip().is_loopback() {
            return inner;
        }
        Arc::new(PacedFactory { inner, pacing: self.clone(), peer })
    }

    /// The pace of packets to `peer`, in bytes per second.
    fn of(&self, peer: SocketAddr) -> Option<f64> {
        self.0.get(peer)?.pace()
    }
}

/// Makes the controllers of another factory, and notes where each shows its pace.
struct PacedFactory {
    inner: Arc<dyn ControllerFactory + Send + Sync>,
    pacing: Pacing,
    peer: SocketAddr,
}

impl ControllerFactory for PacedFactory {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        let controller = self.inner.clone().build(now, current_mtu);
        // Controllers of quinn's leave the pace to its pacer.
        if let Ok(ours) = controller.clone_box().into_any().downcast::<PathController>() {
            self.pacing.0.enter(self.peer, ours.state());
        }
        controller
    }
}

/// A socket that paces.
#[derive(Debug)]
struct PacedSocket(Arc<Pacer>);

/// What waits before a socket.
#[derive(Debug)]
struct Pacer {
    inner: Arc<dyn AsyncUdpSocket>,
    pacing: Pacing,
    queues: Mutex<HashMap<SocketAddr, PacketQueue>>,
    /// A task looks after the queues, as long as there are some.
    is_served: AtomicBool,
}

impl Pacer {
    fn queues(&self) -> MutexGuard<'_, HashMap<SocketAddr, PacketQueue>> {
        self.queues.lock().expect("no holder panics")
    }

    /// Lets go what is due. Gives when to come again; `None`: nothing waits.
    fn release(&self, queues: &mut HashMap<SocketAddr, PacketQueue>, now: Instant) -> Option<Instant> {
        queues.retain(|&peer, queue| {
            let pace = self.pacing.of(peer);
            while let Some(packet) = queue.take_due(now, pace) {
                // Any other failure is that of a packet that is lost on its way.
                if self.inner.try_send(&packet.transmit()).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
                {
                    queue.put_back(now, TIMER_GRAIN, packet);
                    break;
                }
            }
            queue.due(now).is_some()
        });
        queues.values().filter_map(|queue| queue.due(now)).min()
    }

    /// Lets a task look after the queues, unless one does.
    fn serve(self: &Arc<Self>) {
        // Only an endpoint that outlives its runtime sends outside of one; what waits leaves with it.
        let Ok(runtime) = Handle::try_current() else { return };
        if !self.is_served.swap(true, Ordering::Relaxed) {
            runtime.spawn(look_after(PacerTask(Arc::downgrade(self))));
        }
    }
}

impl Drop for Pacer {
    /// What was said last must not be lost with the socket.
    fn drop(&mut self) {
        for queue in self.queues.get_mut().expect("no holder panics").values_mut() {
            while let Some(packet) = queue.take_due(Instant::now(), None) {
                let _ = self.inner.try_send(&packet.transmit());
            }
        }
    }
}

/// A pacer that a task looks after, until this is dropped: with its runtime, too.
struct PacerTask(Weak<Pacer>);

impl Drop for PacerTask {
    fn drop(&mut self) {
        if let Some(pacer) = self.0.upgrade() {
            pacer.is_served.store(false, Ordering::Relaxed);
        }
    }
}

impl PacerTask {
    /// Lets go what is due. Gives when to come again; `None`: nothing waits, and the pacer is looked after no longer.
    fn step(&mut self) -> Option<Instant> {
        let pacer = self.0.upgrade()?;
        let mut queues = pacer.queues();
        let due = pacer.release(&mut queues, Instant::now());
        if due.is_none() {
            // Still locked, so that whoever comes next sees it.
            pacer.is_served.store(false, Ordering::Relaxed);
            self.0 = Weak::new();
        }
        due
    }
}

async fn look_after(mut task: PacerTask) {
    while let Some(due) = task.step() {
        sleep_until(due.into()).await;
    }
}

impl Layer for PacedSocket {
    fn below(&self) -> &Arc<dyn AsyncUdpSocket> {
        &self.0.inner
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let pacer = &self.0;
        let is_paced = self.0.pacing.of(transmit.destination).is_some();
        if !is_paced && !pacer.is_served.load(Ordering::Relaxed) {
            return pacer.inner.try_send(transmit);
        }
        let (now, mut queues) = (Instant::now(), pacer.queues());
        // Behind those that wait already, if there are some.
        if !is_paced && !queues.contains_key(&canonical(transmit.destination)) {
            return pacer.inner.try_send(transmit);
        }
        let queue = queues.entry(canonical(transmit.destination)).or_insert_with(|| PacketQueue::new(now));
        KeptTransmit::each(transmit).for_each(|packet| queue.push(now, packet));
        if pacer.release(&mut queues, now).is_some() {
            pacer.serve();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::IoSliceMut;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use quinn::UdpPoller;
    use quinn::udp::RecvMeta;
    use tokio::sync::mpsc;

    use super::*;

    /// A socket that tells what is sent: to which port, and the bytes of each call.
    #[derive(Debug)]
    struct ToldSocket(mpsc::UnboundedSender<(u16, Vec<u8>)>);

    impl AsyncUdpSocket for ToldSocket {
        fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
            unreachable!("nobody waits for it")
        }

        fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
            // The test may have heard enough.
            let _ = self.0.send((transmit.destination.port(), transmit.contents.to_vec()));
            Ok(())
        }

        fn poll_recv(
            &self,
            _: &mut Context<'_>,
            _: &mut [IoSliceMut<'_>],
            _: &mut [RecvMeta],
        ) -> Poll<io::Result<usize>> {
            Poll::Pending
        }

        fn local_addr(&self) -> io::Result<SocketAddr> {
            Ok(peer(0))
        }
    }

    fn peer(port: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], port))
    }

    /// A call of one packet of a hundred bytes for each of these.
    fn send(socket: &Arc<dyn AsyncUdpSocket>, port: u16, packets: std::ops::Range<u8>) {
        let contents: Vec<u8> = packets.flat_map(|number| [number; 100]).collect();
        let (destination, segment_size) = (peer(port), Some(100));
        let transmit = Transmit { destination, ecn: None, contents: &contents, segment_size, src_ip: None };
        socket.try_send(&transmit).expect("it waits, or is sent");
    }

    type Told = mpsc::UnboundedReceiver<(u16, Vec<u8>)>;

    /// A socket on which packets to port 1 are paced like that, where the pace stands, and what is sent.
    fn paced(pace: f64) -> (Arc<dyn AsyncUdpSocket>, Arc<PathState>, Told) {
        let (pacing, path, (tell, told)) = (Pacing::default(), Arc::<PathState>::default(), mpsc::unbounded_channel());
        pacing.0.enter(peer(1), &path);
        path.set_pace(Some(pace));
        (pacing.wrap(Arc::new(ToldSocket(tell))), path, told)
    }

    /// The port and the first byte of the next packet, which must be one alone.
    async fn next(told: &mut Told) -> (u16, u8) {
        let (port, contents) = told.recv().await.expect("the socket is there");
        assert_eq!(contents.len(), 100);
        (port, contents[0])
    }

    #[tokio::test]
    async fn a_burst_leaves_one_by_one_and_what_is_sent_meanwhile_stays_behind_it() {
        let (socket, path, mut told) = paced(20_000.0);
        send(&socket, 1, 0..3);
        assert_eq!(next(&mut told).await, (1, 0));
        assert!(told.try_recv().is_err(), "the second one came with it");
        path.set_pace(None);
        send(&socket, 1, 3..4);
        for number in 1..4 {
            assert_eq!(next(&mut told).await, (1, number));
        }
        path.set_pace(Some(20_000.0));
        send(&socket, 1, 4..7);
        for number in 4..7 {
            assert_eq!(next(&mut told).await, (1, number), "nobody has to send for them to leave");
        }
    }

    #[tokio::test]
    async fn packets_to_others_leave_as_they_are() {
        let (socket, _path, mut told) = paced(1.0);
        send(&socket, 1, 0..3);
        send(&socket, 2, 0..3);
        assert_eq!(next(&mut told).await, (1, 0));
        assert_eq!(told.recv().await.map(|(port, contents)| (port, contents.len())), Some((2, 300)));
    }

    #[tokio::test]
    async fn what_waits_leaves_with_the_socket() {
        let (socket, _path, mut told) = paced(1.0);
        send(&socket, 1, 0..3);
        drop(socket);
        for number in 0..3 {
            assert_eq!(next(&mut told).await, (1, number));
        }
        assert_eq!(told.recv().await, None);
    }

    #[tokio::test]
    async fn a_connection_that_has_ended_is_paced_no_more() {
        let (socket, path, mut told) = paced(1.0);
        drop(path);
        send(&socket, 1, 0..3);
        assert_eq!(told.recv().await.map(|(port, contents)| (port, contents.len())), Some((1, 300)));
    }
}
