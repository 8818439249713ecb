//! The knobs of a connection, and why each stands where it stands.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quinn::congestion::ControllerFactory;
use quinn::{
    AckFrequencyConfig, Connection, EndpointConfig, IdleTimeout, MtuDiscoveryConfig, Side, TransportConfig, VarInt,
};

use super::close::Opening;
use super::limits::{
    ACK_DELAY_MAX, ACK_EVERY, ACK_EVERY_LOOPBACK, ETHERNET_PAYLOAD, IDLE_TIMEOUT, INITIAL_RTT, KEEP_ALIVE,
    LARGE_PACKETS_BUFFER_MIN, MTU_COOLDOWN, MTU_JUMBO, MTU_LOOPBACK, MTU_LOOPBACK_SMALL, MTU_LOOPBACK_STEP,
    MTU_NETWORK, MTU_START, NEAR, PACKET_THRESHOLD, RECEIVE_WINDOW, RECEIVE_WINDOW_BEFORE_HELLO, RECEIVE_WINDOW_NEAR,
    SEND_WINDOW, STREAM_RECEIVE_WINDOW, STREAMS_BEFORE_HELLO, STREAMS_MAX,
};
use super::udp::Duplicates;
use super::udp::Granted;
use super::udp::Pacing;
use super::udp::Throttle;
use super::udp::route;

/// The settings of a connection that its caller decides. All others follow from the peer's address and the link.
#[derive(Clone)]
pub struct Tuning {
    /// Makes the congestion controller of each connection.
    pub controller: Arc<dyn ControllerFactory + Send + Sync>,
    /// Ask the peer for one acknowledgement per [`ACK_EVERY`] packets instead of one per two. To be switched off for
    /// controllers that measure the gaps between acknowledgements (quinn's BBR).
    pub thin_acks: bool,
    /// Silence that ends a connection; the shorter of the two ends' values counts.
    pub idle_timeout: Duration,
    /// A limit on what the socket sends and receives.
    pub throttle: Option<Throttle>,
    /// Where a client's sockets are bound; `None`: where the system's routes say.
    pub local: Option<SocketAddr>,
    /// Copies of what leaves while a lossy link stands nearly empty.
    pub duplicates: Duplicates,
    /// The paces of the connections.
    pub pacing: Pacing,
}

impl Tuning {
    /// The usual values with this controller.
    pub fn new(controller: Arc<dyn ControllerFactory + Send + Sync>) -> Self {
        Self {
            controller,
            thin_acks: true,
            idle_timeout: IDLE_TIMEOUT,
            throttle: None,
            local: None,
            duplicates: Duplicates::default(),
            pacing: Pacing::default(),
        }
    }
}

impl fmt::Debug for Tuning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { controller: _, thin_acks, idle_timeout, throttle, local, duplicates: _, pacing: _ } = self;
        let mut all = f.debug_struct("Tuning");
        all.field("thin_acks", thin_acks)
            .field("idle_timeout", idle_timeout)
            .field("throttle", throttle)
            .field("local", local);
        all.finish_non_exhaustive()
    }
}

/// The transport parameters of one end of a connection to `peer`.
///
/// A server starts with what a stranger may have; [`open_up`] raises it. A client knows its server by key before the
/// handshake ends, so its window is open from the start; when it is about to receive, it widens it to [`receive_window`]
/// and lets the server open streams, which has nothing to say on any before.
pub fn transport_config(tuning: &Tuning, side: Side, peer: SocketAddr) -> TransportConfig {
    let (receive_window, streams) = match side {
        Side::Server => (RECEIVE_WINDOW_BEFORE_HELLO, STREAMS_BEFORE_HELLO),
        Side::Client => (RECEIVE_WINDOW_NEAR, 0),
    };
    let keep_alive = KEEP_ALIVE.min(tuning.idle_timeout / 3);
    let packet = mtu_bound(peer, tuning.throttle.as_ref());
    let mut config = TransportConfig::default();
    config
        .stream_receive_window(STREAM_RECEIVE_WINDOW.into())
        .receive_window(receive_window.into())
        .max_concurrent_bidi_streams(streams.into())
        .max_concurrent_uni_streams(0_u32.into())
        .datagram_receive_buffer_size(None)
        .send_window(SEND_WINDOW)
        // Without it a stream that always has data is never interrupted, not even by the control stream.
        .send_fairness(true)
        .packet_threshold(PACKET_THRESHOLD)
        .initial_rtt(INITIAL_RTT)
        .initial_mtu(MTU_START)
        .min_mtu(MTU_START)
        .mtu_discovery_config(Some(mtu_discovery(packet)))
        .ack_frequency_config(tuning.thin_acks.then(|| ack_frequency(tuning, peer, packet)))
        .keep_alive_interval((side == Side::Client).then_some(keep_alive))
        .max_idle_timeout(Some(idle_timeout(tuning.idle_timeout)))
        .congestion_controller_factory(Arc::new(Opening(
            tuning.duplicates.watch(peer, tuning.pacing.watch(peer, Arc::clone(&tuning.controller))),
        )));
    config
}

/// Gives an authorised peer the full limits, whatever others have: for ends that serve nobody else.
pub fn open_up(connection: &Connection) {
    connection.set_receive_window(receive_window(connection).into());
    connection.set_max_concurrent_bi_streams(STREAMS_MAX.into());
}

/// Bytes that the peer may have under way, by how far away it is.
pub fn receive_window(connection: &Connection) -> u32 {
    if connection.stats().path.min_rtt < NEAR { RECEIVE_WINDOW_NEAR } else { RECEIVE_WINDOW }
}

/// The largest packet worth trying towards `peer`, who may take less (`packet_max`). Discovery finds what the whole path
/// takes.
pub fn mtu_bound(peer: SocketAddr, throttle: Option<&Throttle>) -> u16 {
    match throttle {
        _ if !is_local(peer) => mtu_by_route(route::payload_max(peer)),
        Some(_) => MTU_LOOPBACK_SMALL,
        None => MTU_LOOPBACK,
    }
}

/// The same for a network whose first link carries so much in a packet, as far as is known.
fn mtu_by_route(payload_max: Option<u16>) -> u16 {
    match payload_max {
        // Ethernet: the path beyond it may be one of IPv6, and twenty bytes are not worth a probe that is lost.
        Some(payload) if payload > ETHERNET_PAYLOAD => payload.min(MTU_JUMBO),
        Some(payload) => payload.clamp(MTU_START, MTU_NETWORK),
        None => MTU_NETWORK,
    }
}

/// The largest packet that a socket takes, wherever it comes from. The peer learns of it in the handshake.
pub(super) fn packet_max(granted: Granted, throttle: Option<&Throttle>) -> u16 {
    let large = granted.receive >= LARGE_PACKETS_BUFFER_MIN && throttle.is_none();
    if large { MTU_LOOPBACK } else { MTU_LOOPBACK_SMALL }
}

fn is_local(peer: SocketAddr) -> bool {
    // An IPv4 peer of a dual-stack socket appears as ::ffff:127.0.0.1.
    peer.ip().to_canonical().is_loopback()
}

/// Parameters of a socket that takes packets of up to `packet_max` bytes.
pub(crate) fn endpoint_config(packet_max: u16) -> EndpointConfig {
    let mut config = EndpointConfig::default();
    config.max_udp_payload_size(packet_max).expect("both packet sizes here are ones that QUIC allows");
    config
}

fn mtu_discovery(packet: u16) -> MtuDiscoveryConfig {
    let mut config = MtuDiscoveryConfig::default();
    config.upper_bound(packet).black_hole_cooldown(MTU_COOLDOWN);
    if packet == MTU_LOOPBACK {
        config.minimum_change(MTU_LOOPBACK_STEP);
    }
    config
}

fn ack_frequency(tuning: &Tuning, peer: SocketAddr, packet: u16) -> AckFrequencyConfig {
    let usual = if is_local(peer) { ACK_EVERY_LOOPBACK } else { ACK_EVERY };
    // Below a packet a millisecond, waiting for more would cost a short path more than its round trip.
    let every = tuning.throttle.as_ref().map_or(usual, |throttle| throttle.packets_in_call_of(packet).min(usual));
    let mut config = AckFrequencyConfig::default();
    config
        .ack_eliciting_threshold(every.into())
        .max_ack_delay(Some(ACK_DELAY_MAX))
        // One less than the loss threshold, as the draft advises: an acknowledgement goes out just before a loss is
        // certain.
        .reordering_threshold((PACKET_THRESHOLD - 1).into());
    config
}

fn idle_timeout(silence: Duration) -> IdleTimeout {
    let millis = u32::try_from(silence.as_millis()).unwrap_or(u32::MAX);
    IdleTimeout::from(VarInt::from_u32(millis))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::Rate;

    #[test]
    fn peers_on_this_machine_get_large_packets() {
        let limited = Throttle::new(Rate::new(1_000_000).unwrap());
        for peer in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            let peer = peer.parse().unwrap();
            assert_eq!(mtu_bound(peer, None), MTU_LOOPBACK, "{peer}");
            assert_eq!(mtu_bound(peer, Some(&limited)), MTU_LOOPBACK_SMALL, "{peer}");
        }
    }

    #[test]
    fn on_a_network_the_link_to_the_peer_bounds_the_packets() {
        for (payload_max, bound) in [
            (None, MTU_NETWORK),
            (Some(1472), MTU_NETWORK),
            (Some(1452), MTU_NETWORK),
            (Some(1392), 1392),
            (Some(500), MTU_START),
            (Some(4000), 4000),
            (Some(8972), MTU_JUMBO),
            (Some(u16::MAX), MTU_JUMBO),
        ] {
            assert_eq!(mtu_by_route(payload_max), bound, "{payload_max:?}");
        }
        const { assert!(MTU_JUMBO < MTU_LOOPBACK_SMALL) };
        const { assert!(MTU_LOOPBACK_STEP < MTU_LOOPBACK_SMALL - MTU_START) };
    }

    #[test]
    fn a_socket_with_little_room_asks_for_small_packets() {
        let granted = |receive| Granted { receive, send: 0 };
        assert_eq!(packet_max(Granted::WANTED, None), MTU_LOOPBACK);
        assert_eq!(packet_max(granted(212_992), None), MTU_LOOPBACK_SMALL);
    }
}
