//! TCP as Linux speaks it, for flows that compete with ours: SACK, RACK, proportional rate reduction, delayed
//! acknowledgements, segments sent in the bursts that segmentation offload makes.
//!
//! What is left out makes no difference to a sender that always has data: Nagle, flow control, the tail-loss probe, undo
//! after spurious losses. Segments are counted and not bytes. Times are nanoseconds since the simulation began.

mod aggregation;
mod bbr1;
mod bbr3;
mod congestion;
mod cubic;
mod receiver;
mod reduction;
mod rto;
mod sample;
mod scoreboard;
mod sender;

pub use receiver::Receiver;
pub use sender::Sender;

use congestion::Congestion;

/// Bytes of content in a full segment: an MTU of 1500 less IPv4, TCP and timestamps.
pub const MSS: u64 = 1448;
/// IPv4 header, TCP header and timestamps.
const HEADER: u64 = 52;
/// A SYN with its options.
const SYN_BYTES: u64 = 60;
/// Two bytes of padding and kind, then eight for each block.
const SACK_BYTES: [u64; SACK_BLOCKS + 1] = [0, 12, 20, 28];
/// Blocks that fit beside timestamps.
const SACK_BLOCKS: usize = 3;
/// The initial window of RFC 6928, in segments.
const INITIAL_WINDOW: u32 = 10;

const MILLIS: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;

/// Which congestion control a TCP flow has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// CUBIC (RFC 9438), with what works of Linux's HyStart or without any.
    Cubic { hystart: bool },
    /// BBR as Linux has it since 4.9, with what was added for aggregation in 5.1.
    Bbr1,
    /// BBR version 3.
    Bbr3,
}

/// A TCP flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpConfig {
    pub control: Control,
    /// Segments until an acknowledgement is due: two, or as many as receive offload puts together.
    pub ack_every: u32,
    /// Sends ECT(0) and halves, more or less, once a round trip that echoes a mark (RFC 3168). Linux does so only if told.
    pub ecn: bool,
}

impl TcpConfig {
    /// What two Linux hosts speak over a link without offloads.
    pub fn new(control: Control) -> Self {
        Self { control, ack_every: 2, ecn: false }
    }

    fn congestion(self, seed: u64) -> Box<dyn Congestion> {
        match self.control {
            Control::Cubic { hystart } => Box::new(cubic::Cubic::new(hystart)),
            Control::Bbr1 => Box::new(bbr1::Bbr1::new(seed)),
            Control::Bbr3 => Box::new(bbr3::Bbr3::new(seed)),
        }
    }
}

/// What is on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    Syn,
    SynAck,
    /// The segment of this number.
    Data(u64),
    Ack(Ack),
}

/// An acknowledgement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ack {
    /// All segments below are there.
    next: u64,
    /// Segments that are there beyond, from and to, the latest change first.
    blocks: [(u64, u64); SACK_BLOCKS],
    /// Segments since the last acknowledgement that carried a congestion mark.
    marked: u32,
}

impl Segment {
    /// Bytes of the IP packet.
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Syn | Self::SynAck => SYN_BYTES,
            Self::Data(_) => MSS + HEADER,
            Self::Ack(ack) => HEADER + SACK_BYTES[ack.blocks.iter().filter(|(from, to)| from < to).count()],
        }
    }
}
