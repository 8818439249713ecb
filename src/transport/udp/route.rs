//! The system's knowledge of the way to a peer before the first packet goes out.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use rustix::net::sockopt::{ip_mtu, ipv6_mtu};

/// Bytes of the headers of a UDP packet over IPv4 and over IPv6, without options.
const HEADERS_V4: u32 = 20 + 8;
const HEADERS_V6: u32 = 40 + 8;

/// The largest UDP payload that fits the first link towards `peer`, or the whole path where the system has learnt of
/// something narrower. `None` when it has no route, no such address family, or no socket left.
///
/// Nothing is sent: connecting a UDP socket only looks the route up.
pub(in crate::transport) fn payload_max(peer: SocketAddr) -> Option<u16> {
    // A server's socket takes both families and shows IPv4 peers as ::ffff:192.0.2.1.
    let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
    let payload = match peer {
        SocketAddr::V4(_) => ip_mtu(look_up(peer).ok()?).ok()?.checked_sub(HEADERS_V4)?,
        SocketAddr::V6(_) => ipv6_mtu(look_up(peer).ok()?).ok()?.checked_sub(HEADERS_V6)?,
    };
    Some(u16::try_from(payload).unwrap_or(u16::MAX))
}

/// Whether the system knows a way to `peer`.
///
/// # Errors
/// What it says when it knows none.
pub(crate) fn find_route(peer: SocketAddr) -> io::Result<()> {
    look_up(SocketAddr::new(peer.ip().to_canonical(), peer.port())).map(drop)
}

/// The address of this machine that packets to `peer` come from.
pub(crate) fn source_of(peer: SocketAddr) -> Option<IpAddr> {
    Some(look_up(peer).ok()?.local_addr().ok()?.ip())
}

fn look_up(peer: SocketAddr) -> io::Result<UdpSocket> {
    let any = match peer {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let socket = UdpSocket::bind(any)?;
    socket.connect(peer)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_carries_far_more_than_ethernet_under_either_name() {
        for peer in ["127.0.0.1:9", "[::ffff:127.0.0.1]:9"] {
            let payload = payload_max(peer.parse().unwrap()).expect("every machine has it");
            assert!(payload > 9000, "{peer}: {payload}");
        }
    }

    #[test]
    fn a_peer_that_the_system_routes_nothing_to_has_none() {
        // Broadcast has to be asked for.
        let nobody = "255.255.255.255:9".parse().unwrap();
        assert_eq!(payload_max(nobody), None);
        assert!(find_route(nobody).is_err());
        assert!(find_route("[::ffff:127.0.0.1]:9".parse().unwrap()).is_ok());
    }
}
