//! The server's end: one socket, and connections that are handed to whoever will serve them.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use quinn::congestion::ControllerFactory;
use quinn::{
    Connection, Endpoint, EndpointConfig, Incoming, ServerConfig, Side, TokioRuntime, TransportConfig, VarInt,
};
use quinn_proto::HashedConnectionIdGenerator;
use sha2::{Digest as _, Sha256};
use tokio::time::timeout;

use super::close::close;
use super::error::{TransportError, canonical};
use super::limits::{INCOMING_BYTES_MAX, INCOMING_BYTES_TOTAL_MAX, INCOMING_MAX, RECEIVE_WINDOW_IN_A_CROWD};
use super::tls;
use super::tuning::{Tuning, endpoint_config, packet_max, transport_config};
use super::udp::ThrottledPeer;
use super::udp::{Granted, socket};
use crate::keys::Identity;
use crate::protocol::close::CloseCode;

/// Sets what one server derives for its restarts apart from what the identity's other servers derive.
const SERVER_LABEL: &[u8] = b"qft server of one address";

/// A listening socket. Clones share it.
#[derive(Debug, Clone)]
pub struct Listener {
    endpoint: Endpoint,
    local_addr: SocketAddr,
    granted: Granted,
    /// Everything of a connection's configuration that does not depend on the peer.
    base: Arc<RwLock<ServerConfig>>,
    tuning: Tuning,
}

/// Listens on `addr` for clients, who will see `identity`. `[::]` takes IPv4 too; port 0 picks a port.
///
/// # Errors
/// [`TransportError::Bind`].
///
/// # Panics
/// Outside a tokio runtime. That runtime receives the packets; connections run on the runtime that [`accept`]s them.
pub fn listen(addr: SocketAddr, identity: &Identity, tuning: &Tuning) -> Result<Listener, TransportError> {
    Listener::open(addr, socket::bind(addr), tls::server(identity), identity.restart_seed(), tuning)
}

/// The same on a socket that whoever started this process has bound, as systemd does (`sd_listen_fds(3)`). Packets that arrive
/// before it is read from wait in it.
///
/// # Errors
/// [`TransportError::Bind`]: the socket cannot be used.
///
/// # Panics
/// As [`listen`].
pub(crate) fn listen_on(socket: UdpSocket, identity: &Identity, tuning: &Tuning) -> Result<Listener, TransportError> {
    // Only for the text of an error: a socket without an address is refused below.
    let addr = socket.local_addr().unwrap_or_else(|_| SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)));
    Listener::open(addr, socket::adopt(socket), tls::server(identity), identity.restart_seed(), tuning)
}

impl Listener {
    pub(crate) fn open(
        addr: SocketAddr,
        socket: io::Result<(UdpSocket, Granted)>,
        tls: rustls::ServerConfig,
        restart_seed: &[u8; 32],
        tuning: &Tuning,
    ) -> Result<Self, TransportError> {
        let refused = |source| TransportError::Bind { addr, source };
        let base = base_config(tls);
        let (socket, granted) = socket.map_err(refused)?;
        let runtime = Arc::new(TokioRuntime);
        // The server's socket takes the largest packets of all peers; what it sends depends on each.
        let packet_max = packet_max(granted, tuning.throttle.as_ref());
        let mut config = endpoint_config(packet_max);
        let bound = socket.local_addr().map_err(refused)?;
        survive_restarts(&mut config, &server_seed(restart_seed, bound));
        let socket =
            socket::attach(socket, granted, packet_max, tuning.throttle.as_ref(), &tuning.duplicates, &tuning.pacing)
                .map_err(refused)?;
        let endpoint =
            Endpoint::new_with_abstract_socket(config, Some(base.clone()), socket, runtime).map_err(refused)?;
        let local_addr = endpoint.local_addr().map_err(refused)?;
        Ok(Self { endpoint, local_addr, granted, base: Arc::new(RwLock::new(base)), tuning: tuning.clone() })
    }

    /// Shows `identity` to clients that come from now on. Connections that stand go on.
    pub fn show(&self, identity: &Identity) {
        let base = base_config(tls::server(identity));
        *self.base.write().expect("no holder panics") = base.clone();
        self.endpoint.set_server_config(Some(base));
    }

    /// The next incoming connection; `None` after [`Listener::close`].
    ///
    /// A server that drains goes on asking and refuses each ([`Incoming::refuse`]): a client hears that at once,
    /// whereas silence would cost it its whole deadline.
    pub async fn next(&self) -> Option<Incoming> {
        self.endpoint.accept().await
    }

    /// The configuration for a connection with `remote`, to be given to [`accept`].
    pub fn server_config_for(&self, remote: SocketAddr) -> Arc<ServerConfig> {
        self.configure(remote, &self.tuning)
    }

    /// The same with a congestion controller of its own, so that this one connection can be watched.
    pub(crate) fn server_config_with(
        &self,
        remote: SocketAddr,
        controller: Arc<dyn ControllerFactory + Send + Sync>,
    ) -> Arc<ServerConfig> {
        self.configure(remote, &Tuning { controller, ..self.tuning.clone() })
    }

    /// The same for a stranger in a crowd, who gets less room until it is let in.
    pub(crate) fn server_config_in_a_crowd(
        &self,
        remote: SocketAddr,
        controller: Arc<dyn ControllerFactory + Send + Sync>,
    ) -> Arc<ServerConfig> {
        let tuning = Tuning { controller, ..self.tuning.clone() };
        let mut transport = transport_config(&tuning, Side::Server, remote);
        transport.receive_window(RECEIVE_WINDOW_IN_A_CROWD.into());
        self.with_transport(transport)
    }

    fn configure(&self, remote: SocketAddr, tuning: &Tuning) -> Arc<ServerConfig> {
        self.with_transport(transport_config(tuning, Side::Server, remote))
    }

    fn with_transport(&self, transport: TransportConfig) -> Arc<ServerConfig> {
        let mut config = self.base.read().expect("no holder panics").clone();
        config.transport_config(Arc::new(transport));
        Arc::new(config)
    }

    /// A client was let in: what it sends spends the limit, if there is one.
    pub(crate) fn let_in(&self, remote: SocketAddr) -> Option<ThrottledPeer> {
        self.tuning.throttle.as_ref().map(|throttle| throttle.known(remote))
    }

    /// Where it listens, with the port that was picked.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The bytes that the system granted for the socket.
    pub fn granted(&self) -> Granted {
        self.granted
    }

    /// Ends all connections at once and takes no more clients.
    pub fn close(&self, code: CloseCode, text: &str) {
        self.endpoint.close(VarInt::from_u32(code.code()), text.as_bytes());
    }

    /// Waits until every peer was told of its connection's end, at most three round trips; call [`Listener::close`]
    /// first.
    pub async fn wait_idle(&self) {
        self.endpoint.wait_idle().await;
    }
}

fn base_config(tls: rustls::ServerConfig) -> ServerConfig {
    let mut base = ServerConfig::with_crypto(tls::quic_server(tls));
    base.migration(true)
        .max_incoming(INCOMING_MAX)
        .incoming_buffer_size(INCOMING_BYTES_MAX)
        .incoming_buffer_size_total(INCOMING_BYTES_TOTAL_MAX);
    base
}

/// The seed of this one server among all that show the same identity.
///
/// Servers that share the keys of [`survive_restarts`] answer for each other: whoever has seen a connection id of one can
/// have its connection reset by another (RFC 9000, section 21.11). A server is told from its siblings by where it listens
/// and on which machine, both of which it keeps when it is started again.
fn server_seed(identity_seed: &[u8; 32], bound: SocketAddr) -> [u8; 32] {
    let system = rustix::system::uname();
    let place = [bound.to_string().as_bytes(), b"\0", system.nodename().to_bytes()].concat();
    Sha256::new().chain_update(SERVER_LABEL).chain_update(identity_seed).chain_update(place).finalize().into()
}

/// Lets a server that was started again answer the packets of its predecessor's clients with stateless resets
/// (RFC 9000, section 10.3): they learn within a round trip that their connections are gone, instead of
/// waiting for the idle timeout. For that, both what recognises a connection id as ours and what makes its
/// reset token must be the same in both processes.
fn survive_restarts(config: &mut EndpointConfig, seed: &[u8; 32]) {
    // Connection ids are public; no byte that makes them may help to guess the other key.
    let (id_seed, reset_seed) = seed.split_first_chunk().expect("32 bytes begin with 8");
    let id_key = u64::from_le_bytes(*id_seed);
    config.reset_key(Arc::new(ring::hmac::Key::new(ring::hmac::HMAC_SHA256, reset_seed)));
    config.cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(id_key)));
}

/// Finishes the handshake with a client. The connection lives on the runtime that calls this. A client whose handshake is
/// dropped is told that there is no place for it, so that it asks again.
///
/// # Errors
/// [`TransportError::NoReply`] when the client does not finish within `deadline`, else why the handshake failed.
pub async fn accept(
    incoming: Incoming,
    config: Arc<ServerConfig>,
    deadline: Duration,
) -> Result<Connection, TransportError> {
    let addr = canonical(incoming.remote_address());
    let failed = |error| TransportError::from_connection(addr, &error);
    let connecting = incoming.accept_with(config).map_err(failed)?;
    let Ok((connection, ended)) = connecting.into_0rtt() else {
        unreachable!("at a server every connection is there before its handshake has ended")
    };
    let mut unfinished = UnfinishedHandshake { connection, told: Some(CloseCode::Busy) };
    if timeout(deadline, ended).await.is_err() {
        unfinished.told = Some(CloseCode::Timeout);
        return Err(TransportError::NoReply { addr });
    }
    unfinished.told = None;
    match unfinished.connection.close_reason() {
        None => Ok(unfinished.connection.clone()),
        Some(error) => Err(failed(error)),
    }
}

/// A connection whose handshake has not ended. Dropped as it is, quinn would close it with 0, which is
/// [`CloseCode::Done`].
struct UnfinishedHandshake {
    connection: Connection,
    /// The code that the client is told if this is dropped.
    told: Option<CloseCode>,
}

impl Drop for UnfinishedHandshake {
    fn drop(&mut self) {
        if let Some(code) = self.told {
            close(&self.connection, code, "");
        }
    }
}
