//! The path between the ends: reports on it, and its measurement.

use serde::{Deserialize, Serialize};

/// The sender's view of the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LinkReport {
    /// Smoothed round trip in microseconds.
    pub rtt_us: u64,
    /// Packets sent so far.
    pub packets_sent: u64,
    /// Packets declared lost so far.
    pub packets_lost: u64,
    /// Congestion window in bytes.
    pub window: u64,
    /// Current packet size in bytes.
    pub mtu: u16,
}

/// How a sender's time went since it said so last, or since its job began on this connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SenderStats {
    /// Bytes that were acknowledged, all that QUIC adds included.
    pub acked: u64,
    /// Those of them that were sent while there was nothing more to send: the window was not full.
    pub acked_idle: u64,
    /// How long files have waited for the sender's disk, all together, in microseconds.
    pub read_wait_us: u64,
    /// How long they have waited until the connection took more of them, likewise.
    pub write_wait_us: u64,
    /// The time that this tells of, in microseconds.
    pub elapsed_us: u64,
    /// Of that time, how long a processor was at work for the sender without a break.
    pub processor_us: u64,
}

/// A request to measure the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// The content to be sent, and the end that sends it.
    pub kind: ProbeKind,
    /// For how long, in milliseconds.
    pub millis: u32,
}

/// The measurement that a probe makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProbeKind {
    /// Round trips: the server returns what the client sends.
    Echo,
    /// The rate of the path from the client to the server.
    Up,
    /// The rate of the path from the server to the client.
    Down,
}

/// The server's consent to a [`Probe`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeReady {
    /// The time that is granted, in milliseconds.
    pub millis: u32,
    /// The server's UDP buffer for packets that arrive, in bytes.
    pub udp_receive: u64,
    /// The server's UDP buffer for packets that leave, in bytes.
    pub udp_send: u64,
    /// The server's side of the path before the probe.
    pub link: LinkReport,
}

/// The end of a [`Probe`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeDone {
    /// The server's side of the path after the probe.
    pub link: LinkReport,
    /// How busy the server's thread for this connection was meanwhile, in thousandths of one core.
    pub cpu_permille: u16,
}
