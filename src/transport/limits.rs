//! The limits of a connection in bytes, packets and time, and why each figure is what it is.

use std::time::Duration;

use crate::protocol::range::RANGE_HEADER_BYTES;
use crate::protocol::{EARLY_BYTES_MAX, EARLY_FILES_MAX, HEADERS_AHEAD_MAX};

/// Bytes that a peer may have under way on one stream: 1.7 times what 1 Gbit/s holds at 300 ms. It bounds only what
/// arrived and was not read yet, so it costs nothing while the reader keeps up. Bodies must be read unordered: at
/// this size ordered reads end the connection on lossy links.
pub const STREAM_RECEIVE_WINDOW: u32 = 64 << 20;
/// The same for all streams of a connection together, once the peer is authorised.
pub const RECEIVE_WINDOW: u32 = 64 << 20;
/// The same for a peer that is [`NEAR`]: 10 Gbit/s for that long. What is under way and what waits for the disk are
/// together never more, and so little stays in the processor's cache.
pub const RECEIVE_WINDOW_NEAR: u32 = 16 << 20;
/// Longest round trip to a peer in the same building.
pub const NEAR: Duration = Duration::from_millis(10);
/// The same before the peer is authorised, and all the memory that a stranger can claim: what may go ahead of our answers,
/// and beside it the headers of some thousand files, which must not wait for it.
pub const RECEIVE_WINDOW_BEFORE_HELLO: u32 =
    (256 << 10) + EARLY_BYTES_MAX as u32 + (EARLY_FILES_MAX * RANGE_HEADER_BYTES) as u32;
/// The same for a stranger in a crowd: its first words, many times over. Nothing of what it sends ahead is lost, it only
/// waits; and a crowd of strangers from many addresses claims little more than a few alone.
pub const RECEIVE_WINDOW_IN_A_CROWD: u32 = 32 << 10;
/// Streams that a peer may have open at once, once it is authorised: one for each file on offer. QUIC has one back when
/// the end of its return half is acknowledged, two round trips after it was opened; with 4096 of them, 10,000 files of
/// 1 KiB stood still for two thirds of a round trip of 300 ms, twice.
pub const STREAMS_MAX: u32 = HEADERS_AHEAD_MAX as u32;
/// Streams that a client may open before it is authorised: the control stream, and one for each file that may go ahead.
/// QUIC keeps some hundred bytes for each.
pub const STREAMS_BEFORE_HELLO: u32 = 1 + EARLY_FILES_MAX as u32;
/// Bytes kept until they are acknowledged. Out of reach on purpose: the application bounds them, in whole blocks,
/// because a limit here would cut blocks into ever smaller pieces.
pub const SEND_WINDOW: u64 = 1 << 30;
/// Packets that may overtake one before it counts as lost. The standard's 3 sends much twice on links that reorder; 8
/// cost a loss 0.1 ms at 1 Gbit/s.
pub const PACKET_THRESHOLD: u32 = 8;
/// Packets that may arrive before one acknowledgement is due on a network: two for a burst of the sender (10 packets in
/// one call), since their spacing shows the rate of the path within a round trip.
pub const ACK_EVERY: u32 = 4;
/// The same within one machine, where there is no such rate to see and packets cost nothing but processor time: one a burst.
pub const ACK_EVERY_LOOPBACK: u32 = 9;
/// Longest that the peer may hold an acknowledgement back.
pub const ACK_DELAY_MAX: Duration = Duration::from_millis(10);
/// What tokio's timers can tell.
pub const TIMER_GRAIN: Duration = Duration::from_millis(1);
/// Round trip assumed before the first measurement: a lost first packet is sent again after three of them.
pub const INITIAL_RTT: Duration = Duration::from_millis(100);
/// Silence that ends a connection.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// A client sends something this often, so that a connection that only waits is not ended. One side suffices.
pub const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// Packet size that every QUIC path carries; larger ones are probed for.
pub const MTU_START: u16 = 1200;
/// Largest packet tried on a network: Ethernet's 1500 less IPv6 and UDP headers.
pub const MTU_NETWORK: u16 = 1452;
/// The same where the link to the peer takes larger ones (jumbo frames, 9000 bytes): ten of them pass in one call of 64
/// KiB, and it stays below [`MTU_LOOPBACK_SMALL`], by which the congestion controller knows a path within one machine.
pub const MTU_JUMBO: u16 = 6400;
/// Largest packet tried within one machine: two fill a call of the kernel's (64 KiB less headers).
pub const MTU_LOOPBACK: u16 = 32_700;
/// The same where little fits: into small buffers, or into a millisecond of a limited rate. Ten fill a call.
pub const MTU_LOOPBACK_SMALL: u16 = 6500;
/// Discovery within one machine tries the largest as soon as its steps are shorter than this: each probe is as long as a packet,
/// all of it padding, and a dozen of them would cost each end of a connection some 5 ms of processor time. It is less than
/// [`MTU_LOOPBACK_SMALL`] less [`MTU_START`], or a peer that takes no more would get no probe.
pub(super) const MTU_LOOPBACK_STEP: u16 = MTU_LOOPBACK / 8;
/// Buffer from which a socket takes packets of [`MTU_LOOPBACK`]: a congestion window has at least 20 packets, and the
/// kernel counts more than their bytes.
pub const LARGE_PACKETS_BUFFER_MIN: usize = 2 << 20;
/// Ethernet's 1500 less IPv4 and UDP headers: what carries more has large frames.
pub(super) const ETHERNET_PAYLOAD: u16 = 1472;
/// Time until a larger packet size is tried again after one was lost for good.
pub const MTU_COOLDOWN: Duration = Duration::from_secs(10);
/// Handshakes that may wait for the server; more are refused.
pub const INCOMING_MAX: usize = 1024;
/// Bytes kept for one handshake that waits: its first flight, many times over.
pub const INCOMING_BYTES_MAX: u64 = 256 << 10;
/// Bytes kept for all handshakes that wait.
pub const INCOMING_BYTES_TOTAL_MAX: u64 = 8 << 20;
