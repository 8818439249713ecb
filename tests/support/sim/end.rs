//! One end of a flow, whatever it speaks, and what travels between two of them.

use std::time::{Duration, Instant};

use bytes::BytesMut;
use quinn_proto::EcnCodepoint;

use super::crypto::Tls;
use super::host::Host;
use super::link::IP_UDP_OVERHEAD;
use super::rng::Rng;
use super::scenario::FlowConfig;
use super::tcp::{MSS, Receiver, Segment, Sender};

/// Bodies are zeros and packets are in clear, so what comes after the headers need not be stored in flight.
const KEPT_PREFIX: usize = 128;
static ZEROS: [u8; 2048] = [0; 2048];

/// A packet in flight.
#[derive(Debug)]
pub struct Packet {
    content: Content,
    ecn: Option<EcnCodepoint>,
}

#[derive(Debug)]
enum Content {
    Datagram { head: Box<[u8]>, len: usize },
    Tcp(Segment),
}

impl Packet {
    fn datagram(data: &[u8], ecn: Option<EcnCodepoint>) -> Self {
        let zero_tail = data.len() > KEPT_PREFIX && data[KEPT_PREFIX..] == ZEROS[..data.len() - KEPT_PREFIX];
        let head = if zero_tail { &data[..KEPT_PREFIX] } else { data };
        Self { content: Content::Datagram { head: head.into(), len: data.len() }, ecn }
    }

    fn tcp(segment: Segment, has_ecn: bool) -> Self {
        let can_be_marked = has_ecn && matches!(segment, Segment::Data(_));
        Self { content: Content::Tcp(segment), ecn: can_be_marked.then_some(EcnCodepoint::Ect0) }
    }

    /// Bytes of the IP packet.
    pub fn bytes(&self) -> u64 {
        match &self.content {
            Content::Datagram { len, .. } => *len as u64 + IP_UDP_OVERHEAD,
            Content::Tcp(segment) => segment.bytes(),
        }
    }

    /// Whether its sender understands congestion marks.
    pub fn is_markable(&self) -> bool {
        self.ecn.is_some()
    }

    pub fn mark(&mut self) {
        self.ecn = Some(EcnCodepoint::Ce);
    }

    /// The path clears the field.
    pub fn clear_ecn(&mut self) {
        self.ecn = None;
    }
}

/// One end.
pub enum End {
    Quic(Box<Host>),
    TcpSender { sender: Box<Sender>, inbox: Vec<Segment> },
    TcpReceiver { receiver: Receiver, inbox: Vec<(Segment, bool)> },
}

impl End {
    /// Both ends of a flow: who sends, who receives.
    pub fn pair(flow: &FlowConfig, tls: &Tls, index: usize, rng: &mut Rng) -> [Self; 2] {
        match flow.tcp {
            Some(tcp) => [
                Self::TcpSender { sender: Box::new(Sender::new(tcp, rng.next_u64())), inbox: Vec::new() },
                Self::TcpReceiver { receiver: Receiver::new(tcp), inbox: Vec::new() },
            ],
            None => [
                Self::Quic(Box::new(Host::client(flow, index, rng))),
                Self::Quic(Box::new(Host::server(flow, tls, index, rng))),
            ],
        }
    }

    pub fn connect(&mut self, base: Instant, now: u64, flow: &FlowConfig, tls: &Tls) {
        match self {
            Self::Quic(host) => host.connect(base + Duration::from_nanos(now), flow, tls),
            Self::TcpSender { sender, .. } => sender.connect(now),
            Self::TcpReceiver { .. } => {}
        }
    }

    /// Ends a TCP flow.
    pub fn stop(&mut self) {
        if let Self::TcpSender { sender, .. } = self {
            sender.stop();
        }
    }

    pub fn is_tcp(&self) -> bool {
        !matches!(self, Self::Quic(_))
    }

    /// Keeps a packet until the host wakes. Says whether it is the first that waits.
    pub fn deliver(&mut self, packet: Packet) -> bool {
        let Packet { content, ecn } = packet;
        match (self, content) {
            (Self::Quic(host), Content::Datagram { head, len }) => {
                let mut data = BytesMut::zeroed(len);
                data[..head.len()].copy_from_slice(&head);
                host.deliver(ecn, data)
            }
            (Self::TcpSender { inbox, .. }, Content::Tcp(segment)) => {
                inbox.push(segment);
                inbox.len() == 1
            }
            (Self::TcpReceiver { inbox, .. }, Content::Tcp(segment)) => {
                inbox.push((segment, ecn == Some(EcnCodepoint::Ce)));
                inbox.len() == 1
            }
            _ => false,
        }
    }

    /// Takes all packets that have come.
    pub fn receive_all(&mut self, base: Instant, now: u64) {
        match self {
            Self::Quic(host) => host.receive_all(base + Duration::from_nanos(now)),
            Self::TcpSender { sender, inbox } => {
                inbox.drain(..).for_each(|segment| sender.on_segment(now, &segment));
            }
            Self::TcpReceiver { receiver, inbox } => {
                inbox.drain(..).for_each(|(segment, marked)| receiver.on_segment(now, &segment, marked));
            }
        }
    }

    /// Runs timers, application and transmission; each packet to send goes to `out`.
    pub fn drive(&mut self, base: Instant, now: u64, mut out: impl FnMut(Packet)) {
        match self {
            Self::Quic(host) => {
                host.drive(base, Duration::from_nanos(now), |data, ecn| out(Packet::datagram(data, ecn)));
            }
            Self::TcpSender { sender, .. } => {
                sender.on_timer(now);
                let has_ecn = sender.has_ecn();
                while let Some(segment) = sender.poll() {
                    out(Packet::tcp(segment, has_ecn));
                }
            }
            Self::TcpReceiver { receiver, .. } => {
                receiver.on_timer(now);
                while let Some(segment) = receiver.poll() {
                    out(Packet::tcp(segment, false));
                }
            }
        }
    }

    /// When it wants to be driven again, and whether to the nanosecond: the kernel's timers are not as coarse as tokio's.
    pub fn timeout(&mut self, base: Instant) -> Option<(u64, bool)> {
        match self {
            Self::Quic(host) => {
                let due = host.timeout(base)?;
                Some((u64::try_from(due.as_nanos()).expect("less than 584 years"), false))
            }
            Self::TcpSender { sender, .. } => Some((sender.timeout()?, true)),
            Self::TcpReceiver { receiver, .. } => Some((receiver.timeout()?, true)),
        }
    }

    /// The QUIC host, where it is one.
    pub fn host(&mut self) -> Option<&mut Host> {
        match self {
            Self::Quic(host) => Some(host),
            Self::TcpSender { .. } | Self::TcpReceiver { .. } => None,
        }
    }

    pub fn window(&self) -> u64 {
        match self {
            Self::Quic(host) => host.window(),
            Self::TcpSender { sender, .. } => sender.window(),
            Self::TcpReceiver { .. } => 0,
        }
    }

    /// Packets (sent, declared lost).
    pub fn packets(&self) -> (u64, u64) {
        match self {
            Self::Quic(host) => host.packets(),
            Self::TcpSender { sender, .. } => sender.packets(),
            Self::TcpReceiver { .. } => (0, 0),
        }
    }

    /// Bytes of content, each once.
    pub fn received(&self) -> u64 {
        match self {
            Self::Quic(host) => host.received(),
            Self::TcpSender { .. } => 0,
            Self::TcpReceiver { receiver, .. } => receiver.received() * MSS,
        }
    }

    pub fn finished(&self) -> Option<Duration> {
        match self {
            Self::Quic(host) => host.finished(),
            Self::TcpSender { .. } | Self::TcpReceiver { .. } => None,
        }
    }
}
