//! One attempt at one address: a socket, a handshake, and whether the server is the right one.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use quinn::{ClientConfig, Connection, Endpoint, Side, TokioRuntime};

use super::error::TransportError;
use super::tls;
use super::tuning::{Tuning, endpoint_config, mtu_bound, packet_max, transport_config};
use super::udp::{Granted, Heard, socket};
use super::verify::{RejectedServer, ServerCheck, ServerRule};
use crate::keys::Identity;

/// A connection that stands, and the socket that it uses.
#[derive(Debug)]
pub struct Dialled {
    /// Keep it for as long as the connection is used; wait for it to be idle before the program ends.
    pub endpoint: Endpoint,
    /// The connection. The server is the right one.
    pub connection: Connection,
    /// The bytes that the system granted for the socket.
    pub granted: Granted,
}

/// The needs of one attempt.
#[derive(Clone)]
pub(super) struct DialAttempt {
    rule: ServerRule,
    /// The name that the server's certificate must have, if a certificate decides.
    name: String,
    /// The client's identity; a server that is only looked at is not told.
    identity: Option<Identity>,
    pub(super) tuning: Tuning,
    /// How long each step of the handshake may take.
    pub(super) patience: Duration,
    /// The time of the last packet that the sockets of all attempts have heard.
    pub(super) heard: Heard,
}

impl DialAttempt {
    pub(super) fn new(
        rule: ServerRule,
        name: String,
        identity: Option<&Identity>,
        tuning: &Tuning,
        patience: Duration,
    ) -> Self {
        Self { rule, name, identity: identity.cloned(), tuning: tuning.clone(), patience, heard: Heard::new() }
    }

    pub(super) async fn run(self, addr: SocketAddr) -> Result<Dialled, TransportError> {
        let check = ServerCheck::new(self.rule);
        let tls = tls::client(self.identity.as_ref(), Arc::clone(&check));
        let (endpoint, granted) = open_endpoint(addr, &self.tuning, &self.heard)?;
        let outcome = handshake(&endpoint, addr, &self.name, tls, &self.tuning).await;
        match (outcome, check.refused()) {
            (Ok(connection), _) => Ok(Dialled { endpoint, connection, granted }),
            (Err(_), Some(RejectedServer::WrongKey { expected, found })) => {
                Err(TransportError::WrongServer { expected, found })
            }
            (Err(_), Some(RejectedServer::Uncertified(why))) => {
                Err(TransportError::Uncertified { host: self.name, why })
            }
            (Err(error), None) => Err(error),
        }
    }
}

/// A socket of the peer's address family, so that a machine without the other family needs none of it.
/// The packets that arrive are noted in `heard`.
pub(super) fn open_endpoint(
    peer: SocketAddr,
    tuning: &Tuning,
    heard: &Heard,
) -> Result<(Endpoint, Granted), TransportError> {
    let throttle = tuning.throttle.as_ref();
    let addr = tuning.local.unwrap_or_else(|| match peer {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    });
    let refused = |source| match tuning.local {
        Some(local) => TransportError::BindTo { ip: local.ip(), source },
        None => TransportError::Bind { addr, source },
    };
    let (socket, granted) = socket::bind(addr).map_err(refused)?;
    let packet_max = mtu_bound(peer, throttle).min(packet_max(granted, throttle));
    let config = endpoint_config(packet_max);
    let socket =
        socket::attach(socket, granted, packet_max, throttle, &tuning.duplicates, &tuning.pacing).map_err(refused)?;
    let runtime = Arc::new(TokioRuntime);
    let endpoint = Endpoint::new_with_abstract_socket(config, None, heard.wrap(socket), runtime).map_err(refused)?;
    Ok((endpoint, granted))
}

pub(super) async fn handshake(
    endpoint: &Endpoint,
    addr: SocketAddr,
    name: &str,
    tls: rustls::ClientConfig,
    tuning: &Tuning,
) -> Result<Connection, TransportError> {
    let mut config = ClientConfig::new(tls::quic_client(tls));
    config.transport_config(Arc::new(transport_config(tuning, Side::Client, addr)));
    let connecting = endpoint.connect_with(config, addr, name).map_err(|error| {
        // Port 0 and the like: an address to which nothing can be sent.
        TransportError::Resolve { host: addr.to_string(), source: io::Error::other(error) }
    })?;
    connecting.await.map_err(|error| match error {
        quinn::ConnectionError::TimedOut => TransportError::silence(addr),
        error => TransportError::from_connection(addr, &error),
    })
}
