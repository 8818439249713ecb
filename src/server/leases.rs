//! Who writes which file, so that a client that lost its connection is not kept out by its own ghost.
//!
//! A client that was killed says no farewell: its connection stands until the idle timeout, and holds the
//! partial files that the client's next run wants. When a file is wanted that another connection *of the
//! same client* holds, and that connection has gone silent, it is closed at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use quinn::Connection;

use crate::protocol::close::CloseCode;
use crate::transport::{self, Fingerprint};

/// Silence that tells a ghost from a connection that is merely slow: a client that moves files sends
/// something every few milliseconds.
const GHOST_SILENCE: Duration = Duration::from_millis(1500);

/// The live connections of every client.
#[derive(Debug, Default)]
pub(super) struct Leases(Mutex<HashMap<Fingerprint, Vec<Connection>>>);

impl Leases {
    /// Notes a connection until the guard is dropped.
    pub(super) fn enter(self: &Arc<Self>, peer: Fingerprint, connection: Connection) -> Entered {
        let id = connection.stable_id();
        self.0.lock().expect("no holder panics").entry(peer).or_default().push(connection);
        Entered { leases: self.clone(), peer, id }
    }

    /// Closes the client's other connections that stay silent while we watch.
    pub(super) async fn close_ghosts(&self, peer: Fingerprint, own: &Connection) {
        let others: Vec<_> = {
            let all = self.0.lock().expect("no holder panics");
            let of_peer = all.get(&peer).into_iter().flatten();
            let not_own = of_peer.filter(|other| other.stable_id() != own.stable_id());
            not_own.map(|other| (other.clone(), other.stats().udp_rx.datagrams)).collect()
        };
        if others.is_empty() {
            return;
        }
        tokio::time::sleep(GHOST_SILENCE).await;
        for (other, received) in others {
            if other.stats().udp_rx.datagrams == received {
                tracing::info!(addr = %other.remote_address(), "closing a silent connection of the same client");
                transport::close(&other, CloseCode::Timeout, "another connection of this client took over");
            }
        }
    }
}

/// A noted connection.
#[derive(Debug)]
pub(super) struct Entered {
    leases: Arc<Leases>,
    peer: Fingerprint,
    id: usize,
}

impl Drop for Entered {
    fn drop(&mut self) {
        let mut all = self.leases.0.lock().expect("no holder panics");
        if let Some(connections) = all.get_mut(&self.peer) {
            connections.retain(|connection| connection.stable_id() != self.id);
            if connections.is_empty() {
                all.remove(&self.peer);
            }
        }
    }
}
