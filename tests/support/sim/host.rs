//! One end of a flow: a `quinn_proto` endpoint, its connection and the application on top.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use qft::congestion::{PathController, PathState};
use qft::transport::limits::{ACK_DELAY_MAX, INITIAL_RTT, MTU_COOLDOWN, MTU_NETWORK, PACKET_THRESHOLD, RECEIVE_WINDOW};
use quinn_proto::{
    AckFrequencyConfig, ClientConfig, Connection, ConnectionHandle, DatagramEvent, Dir, EcnCodepoint, Endpoint,
    EndpointConfig, Event, MtuDiscoveryConfig, ServerConfig, StreamEvent, StreamId, TransportConfig, VarInt,
    WriteError,
};

use super::crypto::Tls;
use super::rng::Rng;
use super::scenario::{Brake, FlowConfig};

/// Datagrams in one `sendmsg`: quinn's own limit.
const SEGMENTS_MAX: usize = 10;
const WRITE_BYTES: usize = 1 << 20;
static ZEROS: [u8; WRITE_BYTES] = [0; WRITE_BYTES];
/// Bytes the sender may hold unacknowledged; never the limit here.
const SEND_WINDOW: u64 = 1 << 40;
const PORT: u16 = 4433;

/// The application of one end.
enum App {
    /// Keeps a stream full, or writes what it has got by now.
    Sender { stream: Option<StreamId>, left: Option<u64>, stock: u64 },
    /// Reads everything at once, except while it stalls.
    Receiver(Receiver),
}

#[derive(Default)]
struct Receiver {
    stream: Option<StreamId>,
    stall: Option<(Duration, Duration)>,
    brake: Option<Brake>,
    finished: Option<Duration>,
    /// Bytes written; without a brake all that were read are.
    received: u64,
    /// Bytes read and not written, now and at most.
    kept: u64,
    kept_max: u64,
}

impl Receiver {
    fn is_stalled(&self, at: Duration) -> bool {
        self.stall.is_some_and(|(from, span)| at >= from && at < from + span)
    }

    fn take(&mut self, connection: &mut Connection, at: Duration, bytes: u64) {
        let Some(brake) = self.brake.filter(|_| self.is_stalled(at)) else {
            self.received += bytes;
            return;
        };
        self.kept += bytes;
        self.kept_max = self.kept_max.max(self.kept);
        if self.kept >= brake.kept {
            connection.set_receive_window(brake.window.into());
        }
    }

    /// The stall is over: writes what was kept and lets the peer go again.
    fn wake(&mut self, connection: &mut Connection, window: u32) {
        self.received += std::mem::take(&mut self.kept);
        connection.set_receive_window(window.into());
    }
}

/// One end of a flow.
pub struct Host {
    endpoint: Endpoint,
    connection: Option<(ConnectionHandle, Connection)>,
    /// Where the client's controller shows its pace, if it is one of ours.
    path: Option<Arc<PathState>>,
    app: App,
    peer: SocketAddr,
    /// Datagrams that arrived and were not looked at yet.
    inbox: Vec<(Option<EcnCodepoint>, BytesMut)>,
    pub closed: Option<String>,
    buffer: Vec<u8>,
}

impl Host {
    /// The sending end. It connects when it is told to.
    pub fn client(flow: &FlowConfig, index: usize, rng: &mut Rng) -> Self {
        Self::new(None, App::sender(flow), address(index, 2), rng)
    }

    /// The receiving end.
    pub fn server(flow: &FlowConfig, tls: &Tls, index: usize, rng: &mut Rng) -> Self {
        let mut config = ServerConfig::with_crypto(tls.server.clone());
        config.transport_config(Arc::new(transport(flow)));
        let app = App::Receiver(Receiver { stall: flow.stall, brake: flow.brake, ..Receiver::default() });
        Self::new(Some(Arc::new(config)), app, address(index, 1), rng)
    }

    fn new(config: Option<Arc<ServerConfig>>, app: App, peer: SocketAddr, rng: &mut Rng) -> Self {
        let mut endpoint = EndpointConfig::default();
        endpoint.rng_seed(Some(rng.bytes32()));
        Self {
            endpoint: Endpoint::new(Arc::new(endpoint), config, true, None),
            connection: None,
            path: None,
            app,
            peer,
            inbox: Vec::new(),
            closed: None,
            buffer: Vec::new(),
        }
    }

    pub fn connect(&mut self, now: Instant, flow: &FlowConfig, tls: &Tls) {
        let mut config = ClientConfig::new(tls.client.clone());
        config.transport_config(Arc::new(transport(flow)));
        let connected = self.endpoint.connect(now, config, self.peer, tls.server_name());
        let (handle, connection) = connected.expect("the address and the name are valid");
        let controller = connection.congestion_state().clone_box().into_any().downcast::<PathController>();
        self.path = controller.ok().map(|ours| ours.state().clone());
        self.connection = Some((handle, connection));
    }

    /// Keeps a datagram from the link until the host wakes. Says whether it is the first that waits.
    pub fn deliver(&mut self, ecn: Option<EcnCodepoint>, data: BytesMut) -> bool {
        self.inbox.push((ecn, data));
        self.inbox.len() == 1
    }

    /// Takes all datagrams that have come.
    pub fn receive_all(&mut self, now: Instant) {
        std::mem::take(&mut self.inbox).into_iter().for_each(|(ecn, data)| self.receive(now, ecn, data));
    }

    fn receive(&mut self, now: Instant, ecn: Option<EcnCodepoint>, data: BytesMut) {
        let Some(event) = self.endpoint.handle(now, self.peer, None, ecn, data, &mut self.buffer) else { return };
        match event {
            DatagramEvent::NewConnection(incoming) => {
                self.connection = self.endpoint.accept(incoming, now, &mut self.buffer, None).ok();
            }
            DatagramEvent::ConnectionEvent(handle, event) => {
                if let Some((own, connection)) = &mut self.connection
                    && *own == handle
                {
                    connection.handle_event(event);
                }
            }
            // Stateless resets and the like: nothing in a simulation of two well-behaved ends needs them.
            DatagramEvent::Response(_) => {}
        }
        self.buffer.clear();
    }

    /// Runs timers, application and transmission; each datagram to send goes to `out`, with its ECN field.
    pub fn drive(&mut self, base: Instant, at: Duration, mut out: impl FnMut(&[u8], Option<EcnCodepoint>)) {
        let Some((handle, connection)) = &mut self.connection else { return };
        let now = base + at;
        if connection.poll_timeout().is_some_and(|due| due <= now) {
            connection.handle_timeout(now);
        }
        loop {
            while let Some(event) = connection.poll_endpoint_events() {
                if let Some(event) = self.endpoint.handle_event(*handle, event) {
                    connection.handle_event(event);
                }
            }
            let mut progress = false;
            while let Some(event) = connection.poll() {
                progress = true;
                if let Event::ConnectionLost { reason } = &event {
                    self.closed.get_or_insert_with(|| reason.to_string());
                }
                self.app.on_event(connection, event, at);
            }
            while let Some(transmit) = connection.poll_transmit(now, SEGMENTS_MAX, &mut self.buffer) {
                progress = true;
                let segment = transmit.segment_size.unwrap_or(transmit.size);
                self.buffer[..transmit.size].chunks(segment).for_each(|data| out(data, transmit.ecn));
                self.buffer.clear();
            }
            if !progress {
                break;
            }
        }
    }

    /// When the connection wants to be driven again.
    pub fn timeout(&mut self, base: Instant) -> Option<Duration> {
        let due = self.connection.as_mut()?.1.poll_timeout()?;
        Some(due.saturating_duration_since(base))
    }

    /// The receiver's stall is over: read what has waited.
    pub fn wake(&mut self, at: Duration) {
        if let Some((_, connection)) = &mut self.connection {
            if let App::Receiver(receiver @ Receiver { brake: Some(_), .. }) = &mut self.app {
                receiver.wake(connection, RECEIVE_WINDOW);
            }
            self.app.read(connection, at);
        }
    }

    /// The sender has so many bytes more to send.
    pub fn refill(&mut self, bytes: u64) {
        if let App::Sender { stock, .. } = &mut self.app {
            *stock = stock.saturating_add(bytes);
        }
        if let Some((_, connection)) = &mut self.connection {
            self.app.write(connection);
        }
    }

    /// Bytes per second at which packets leave one by one, where that is asked for.
    pub fn pace(&self) -> Option<f64> {
        self.path.as_ref()?.pace()
    }

    pub fn window(&self) -> u64 {
        self.connection.as_ref().map_or(0, |(_, connection)| connection.congestion_state().window())
    }

    /// Packets (sent, declared lost).
    pub fn packets(&self) -> (u64, u64) {
        let Some((_, connection)) = &self.connection else { return (0, 0) };
        let stats = connection.stats();
        (stats.path.sent_packets, stats.path.lost_packets)
    }

    pub fn received(&self) -> u64 {
        self.receiver().map_or(0, |receiver| receiver.received)
    }

    pub fn kept_max(&self) -> u64 {
        self.receiver().map_or(0, |receiver| receiver.kept_max)
    }

    pub fn finished(&self) -> Option<Duration> {
        self.receiver()?.finished
    }

    fn receiver(&self) -> Option<&Receiver> {
        match &self.app {
            App::Receiver(receiver) => Some(receiver),
            App::Sender { .. } => None,
        }
    }
}

impl App {
    fn sender(flow: &FlowConfig) -> Self {
        Self::Sender { stream: None, left: flow.body, stock: flow.lull.map_or(u64::MAX, |lull| lull.after) }
    }

    fn on_event(&mut self, connection: &mut Connection, event: Event, at: Duration) {
        match event {
            Event::Connected => self.write(connection),
            Event::Stream(StreamEvent::Writable { .. }) => self.write(connection),
            Event::Stream(StreamEvent::Opened { .. } | StreamEvent::Readable { .. }) => self.read(connection, at),
            _ => {}
        }
    }

    fn write(&mut self, connection: &mut Connection) {
        let Self::Sender { stream, left, stock } = self else { return };
        if stream.is_none() {
            *stream = connection.streams().open(Dir::Uni);
        }
        let Some(id) = *stream else { return };
        let mut send = connection.send_stream(id);
        // One write ahead of the network is enough to keep it full; the next comes with the next event.
        loop {
            let len = left.unwrap_or(u64::MAX).min(WRITE_BYTES as u64) as usize;
            if len == 0 {
                // Finished before is the only error, and this may be called again after it.
                let _ = send.finish();
                return;
            }
            let len = len.min(usize::try_from(*stock).unwrap_or(len));
            if len == 0 {
                return;
            }
            match send.write_chunks(&mut [Bytes::from_static(&ZEROS[..len])]) {
                Ok(written) => {
                    if *stock < u64::MAX {
                        *stock -= written.bytes as u64;
                    }
                    if let Some(left) = left {
                        *left -= written.bytes as u64;
                    }
                }
                Err(WriteError::Blocked) => return,
                Err(error) => panic!("the stream is open: {error}"),
            }
        }
    }

    fn read(&mut self, connection: &mut Connection, at: Duration) {
        let Self::Receiver(receiver) = self else { return };
        if receiver.is_stalled(at) && receiver.brake.is_none() {
            return;
        }
        if receiver.stream.is_none() {
            receiver.stream = connection.streams().accept(Dir::Uni);
        }
        let Some(id) = receiver.stream else { return };
        let mut bytes = 0;
        let mut recv = connection.recv_stream(id);
        let Ok(mut chunks) = recv.read(false) else { return };
        loop {
            match chunks.next(usize::MAX) {
                Ok(Some(chunk)) => bytes += chunk.bytes.len() as u64,
                Ok(None) => {
                    receiver.finished.get_or_insert(at);
                    break;
                }
                Err(_) => break,
            }
        }
        // The flow-control update goes out with the transmission that follows every event.
        let _ = chunks.finalize();
        receiver.take(connection, at, bytes);
    }
}

fn address(flow: usize, end: u8) -> SocketAddr {
    let flow = u8::try_from(flow).expect("a simulation has few flows");
    SocketAddr::from((Ipv4Addr::new(10, 0, flow, end), PORT))
}

/// What qft uses on a real path, with windows that never limit.
fn transport(flow: &FlowConfig) -> TransportConfig {
    let mut mtu = MtuDiscoveryConfig::default();
    mtu.upper_bound(MTU_NETWORK).black_hole_cooldown(MTU_COOLDOWN);
    let window = |bytes| VarInt::from_u64(bytes).expect("a window below 2^62");
    let mut config = TransportConfig::default();
    config
        .stream_receive_window(window(flow.stream_window))
        .receive_window(window(flow.brake.map_or(flow.stream_window * 2, |_| RECEIVE_WINDOW.into())))
        .send_window(SEND_WINDOW)
        .packet_threshold(PACKET_THRESHOLD)
        .initial_rtt(INITIAL_RTT)
        .mtu_discovery_config(Some(mtu))
        .max_idle_timeout(Some(Duration::from_secs(30).try_into().expect("below 2^62 ms")))
        .congestion_controller_factory(flow.controller.clone());
    if let Some(threshold) = flow.ack_threshold {
        let mut ack = AckFrequencyConfig::default();
        ack.ack_eliciting_threshold(threshold.into())
            .reordering_threshold((PACKET_THRESHOLD - 1).into())
            .max_ack_delay(Some(ACK_DELAY_MAX));
        config.ack_frequency_config(Some(ack));
    }
    config
}
