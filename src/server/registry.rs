//! The registry of live connections: each client's, with the entry or pass that let it in.
//!
//! A client that was killed, or whose connection is dead, sends no CONNECTION_CLOSE: that connection stands until the
//! idle timeout, and holds the partial files that the client's next one wants. When another connection *of the same
//! client* begins a job, those that are silent meanwhile are closed at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use quinn::Connection;

use super::live_connection::{LiveConnection, UdpTraffic};
use super::passes::AuthorizedBy;
use crate::keys::Fingerprint;
use crate::protocol::close::CloseCode;
use crate::transport;

/// Silence that tells a stale connection from a connection that is merely slow: a client that moves files sends
/// something every few milliseconds.
const STALE_AFTER: Duration = Duration::from_millis(1500);

/// The live connections of every client.
#[derive(Debug, Default)]
pub(super) struct Registry {
    all: Mutex<HashMap<Fingerprint, Vec<Registered>>>,
    /// The traffic of connections that have ended. It is changed and read under the lock of the live ones.
    gone: Mutex<UdpTraffic>,
}

#[derive(Debug, Clone)]
struct Registered {
    live: Arc<LiveConnection>,
    /// The entry or pass that let the client in; `None` where every client is admitted.
    basis: Option<AuthorizedBy>,
    /// Why this end closed it.
    ended: Arc<OnceLock<CloseCode>>,
}

impl Registry {
    /// Every connection's worker comes here, so nothing that may block is done under this lock, and a panic elsewhere is no
    /// reason to turn everybody away.
    fn all(&self) -> MutexGuard<'_, HashMap<Fingerprint, Vec<Registered>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a connection until the guard is dropped.
    pub(super) fn enter(self: &Arc<Self>, live: Arc<LiveConnection>, basis: Option<AuthorizedBy>) -> RegistryGuard {
        let ended = Arc::<OnceLock<CloseCode>>::default();
        let registered = Registered { live: live.clone(), basis, ended: ended.clone() };
        self.all().entry(live.peer).or_default().push(registered);
        RegistryGuard { registry: self.clone(), live, ended }
    }

    /// Whether nobody is connected.
    pub(super) fn is_empty(&self) -> bool {
        self.all().is_empty()
    }

    /// Whether anybody's job is under way.
    pub(super) fn serves_anybody(&self) -> bool {
        // Each job has a lock of its own, which is not waited for under that of all connections.
        self.connections().iter().any(|live| live.is_running())
    }

    /// All live connections, in no order.
    pub(super) fn connections(&self) -> Vec<Arc<LiveConnection>> {
        let all = self.all();
        all.values().flatten().map(|registered| registered.live.clone()).collect()
    }

    /// The traffic of all connections since the start. It never gets less: each connection is counted among the live
    /// ones or among those that have ended.
    pub(super) fn traffic(&self) -> UdpTraffic {
        let all = self.all();
        let connections: Vec<_> = all.values().flatten().map(|registered| registered.live.clone()).collect();
        let mut sum = *self.gone();
        drop(all);
        connections.iter().for_each(|live| sum.add(live.traffic()));
        sum
    }

    fn gone(&self) -> MutexGuard<'_, UdpTraffic> {
        self.gone.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes every connection for which `judge` has a reason. It may read the list from a disk that hangs: meanwhile
    /// clients come and go.
    pub(super) fn end_where(&self, judge: impl Fn(&Fingerprint, &AuthorizedBy) -> Option<CloseCode>) {
        let judged = |registered: &&Registered| registered.basis.is_some() && registered.ended.get().is_none();
        let registry: Vec<Registered> = self.all().values().flatten().filter(judged).cloned().collect();
        for Registered { live, basis, ended } in registry {
            if let Some(code) = basis.and_then(|basis| judge(&live.peer, &basis)) {
                ended.get_or_init(|| code);
                transport::close(&live.connection, code, "");
            }
        }
    }

    /// Closes the client's other connections that stay silent while we watch.
    pub(super) async fn close_stale(&self, peer: Fingerprint, own: &Connection) {
        let of_peer = self.all().get(&peer).cloned().unwrap_or_default();
        let others = of_peer.into_iter().map(|registered| registered.live.connection.clone());
        let not_own = others.filter(|other| other.stable_id() != own.stable_id());
        let others: Vec<_> = not_own.map(|other| (other.clone(), other.stats().udp_rx.datagrams)).collect();
        if others.is_empty() {
            return;
        }
        tokio::time::sleep(STALE_AFTER).await;
        for (other, received) in others {
            if other.stats().udp_rx.datagrams == received {
                tracing::info!(addr = %other.remote_address(), "closing a silent connection of the same client");
                transport::close(&other, CloseCode::Timeout, "another connection of this client took over");
            }
        }
    }
}

/// A registered connection; leaves the registry when it is dropped.
#[derive(Debug)]
pub(super) struct RegistryGuard {
    registry: Arc<Registry>,
    live: Arc<LiveConnection>,
    ended: Arc<OnceLock<CloseCode>>,
}

impl RegistryGuard {
    /// Why this end closed the connection in the middle of its work, if it did.
    pub(super) fn ended(&self) -> Option<CloseCode> {
        self.ended.get().copied()
    }
}

impl Drop for RegistryGuard {
    fn drop(&mut self) {
        let traffic = self.live.traffic();
        let mut all = self.registry.all();
        self.registry.gone().add(traffic);
        if let Some(connections) = all.get_mut(&self.live.peer) {
            connections.retain(|registered| !Arc::ptr_eq(&registered.live, &self.live));
            if connections.is_empty() {
                all.remove(&self.live.peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::congestion::ControllerConfig;
    use crate::keys::Identity;
    use crate::keys::trust::{Clients, Rights};
    use crate::protocol::message::{Hello, Message};
    use crate::protocol::{codec, features};
    use crate::server::{Access, Server};
    use crate::transport::Tuning;

    /// Far above what a loaded machine needs, so that only a hang reaches it.
    const LONG: Duration = Duration::from_secs(60);

    /// A server with one listed client, which has said hello.
    async fn visited() -> (tempfile::TempDir, Server, Clients, transport::Dialled, Fingerprint) {
        let place = tempfile::tempdir().unwrap();
        let (home, identity) = (place.path().join("home"), Identity::ephemeral().unwrap());
        let clients = Clients::open(&home).unwrap();
        clients.allow(&identity.fingerprint(), None, &Rights::default()).unwrap();
        let builder = Server::builder(place.path().join("served"), Identity::ephemeral().unwrap());
        let server = builder.access(Access::Enrolled { home }).start().unwrap();
        let tuning = Tuning::new(Arc::new(ControllerConfig::default()));
        let addrs = [server.local_addr()];
        let dialled = transport::connect(&addrs, server.fingerprint(), &identity, &tuning, LONG).await.unwrap();
        (place, server, clients, dialled, identity.fingerprint())
    }

    /// Greets the server, and waits until it has let the client in.
    async fn come_in(server: &Server, dialled: &transport::Dialled) -> (quinn::SendStream, quinn::RecvStream) {
        let (mut send, recv) = dialled.connection.open_bi().await.unwrap();
        let mut hello = Vec::new();
        codec::encode(&Message::Hello(Hello::new(features::NONE, "client", None)), &mut hello).unwrap();
        send.write_all(&hello).await.unwrap();
        let end = std::time::Instant::now() + LONG;
        while server.shared.registry.is_empty() {
            assert!(std::time::Instant::now() < end, "it is not let in");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        (send, recv)
    }

    async fn is_revoked(dialled: &transport::Dialled) {
        let closed = tokio::time::timeout(LONG, dialled.connection.closed()).await.expect("it is closed");
        assert_eq!(transport::closed_by(&closed), Some(CloseCode::Revoked));
    }

    #[tokio::test]
    async fn while_every_disk_thread_is_busy_clients_are_let_in_and_shut_out() {
        let (_place, server, clients, dialled, key) = visited().await;
        let threads = crate::storage::Disk::threads_for(std::thread::available_parallelism().unwrap()).get();
        let held: Vec<_> = (0..2 * threads)
            .map(|_| {
                let (release, released) = std::sync::mpsc::channel::<()>();
                drop(server.shared.disk.run(move || released.recv()));
                release
            })
            .collect();
        let _streams = come_in(&server, &dialled).await;
        assert!(clients.remove(&key).unwrap());
        is_revoked(&dialled).await;
        drop(held);
    }

    #[tokio::test]
    async fn while_the_list_is_asked_clients_come_and_go() {
        let (_place, server, _clients, dialled, _key) = visited().await;
        let _streams = come_in(&server, &dialled).await;
        let (registry, (tell, told)) = (server.shared.registry.clone(), tokio::sync::oneshot::channel());
        let mut tell = Some(tell);
        // A list on a disk that hangs takes as long as it takes; meanwhile a worker is here.
        std::thread::spawn(move || {
            let tell = std::cell::RefCell::new(&mut tell);
            registry.end_where(|_, _| {
                let place = registry.connections().len();
                tell.borrow_mut().take().map(|tell| tell.send(place));
                Some(CloseCode::Revoked)
            });
        });
        let place = tokio::time::timeout(LONG, told).await.expect("nobody waits for the list").unwrap();
        assert_eq!(place, 1);
        is_revoked(&dialled).await;
    }
}
