//! One client: let in or turned away, then served until either side has enough.

use std::net::SocketAddr;
use std::sync::Arc;

use quinn::{Connection, Incoming};
use tokio::time::timeout;
use tracing::info;

use super::admission::{Turned, authorise, refuse};
use super::conversation::Conversation;
use super::pool::Slot;
use super::{Notice, Shared};
use crate::digest::{Hasher, Salt};
use crate::protocol::features;
use crate::protocol::message::{Message, Welcome};
use crate::protocol::path::escape;
use crate::session::control::{Control, ControlReader};
use crate::session::local::host_name;
use crate::session::{ATTENTION_DEADLINE, SessionError};
use crate::transport::{self, Fingerprint, Listener, TransportError};

/// Serves one client from the handshake to the end. Runs on the worker that will drive the connection.
pub(super) async fn serve(incoming: Incoming, listener: Listener, shared: Arc<Shared>, slot: Slot) {
    let addr = incoming.remote_address();
    let config = listener.server_config_for(addr);
    let connection = match transport::accept(incoming, config, ATTENTION_DEADLINE).await {
        Ok(connection) => connection,
        Err(error) => return refuse(&shared, addr, None, error.to_string()),
    };
    let Some(peer) = transport::peer_fingerprint(&connection) else {
        return refuse(&shared, addr, None, "no client key".to_owned());
    };
    let client = match timeout(ATTENTION_DEADLINE, Client::greet(&connection, &shared, peer)).await {
        Ok(Ok(client)) => client,
        Ok(Err(turned)) => return turned.away(&connection, &shared, addr, peer),
        Err(_) => return Turned::from(SessionError::Timeout("say hello")).away(&connection, &shared, addr, peer),
    };
    client.serve(&shared, addr, peer, &slot).await;
    shared.left.notify_one();
}

/// A client that was let in.
pub(super) struct Client {
    pub(super) connection: Connection,
    pub(super) control: Control,
    pub(super) reader: ControlReader,
    pub(super) hasher: Hasher,
    name: String,
    enrolled: bool,
}

impl Client {
    /// Hears the client's `Hello` and answers it.
    async fn greet(connection: &Connection, shared: &Arc<Shared>, peer: Fingerprint) -> Result<Self, Turned> {
        let (stream, content) = connection.accept_bi().await.map_err(SessionError::from)?;
        let mut reader = ControlReader::new(content);
        let Some(Message::Hello(hello)) = reader.next().await? else {
            return Err(SessionError::Order("anything but a hello first").into());
        };
        let enrolled = authorise(shared, peer, &hello).await?;
        let salt = transport::session_salt(connection).map_err(|_| SessionError::Internal("the key exporter"))?;
        transport::open_up(connection);
        let control = Control::start(connection.clone(), stream);
        let welcome = Welcome { features: hello.features & features::NONE, name: host_name(), enrolled };
        control.send(Message::Welcome(welcome));
        let name = escape(hello.name.as_bytes()).to_string();
        let hasher = Hasher::new(&Salt(salt));
        Ok(Self { connection: connection.clone(), control, reader, hasher, name, enrolled })
    }

    async fn serve(self, shared: &Arc<Shared>, addr: SocketAddr, peer: Fingerprint, slot: &Slot) {
        let connection = self.connection.clone();
        let _entered = shared.leases.enter(peer, connection.clone());
        let (worker, name, enrolled) = (slot.worker(), self.name.clone(), self.enrolled);
        info!(worker, %addr, peer = peer.short(), name, "connected");
        shared.notices.send(Notice::Connected { worker, addr, peer, name, enrolled });
        let mut conversation = Conversation::new(self, shared.clone(), peer);
        let error = conversation.run().await;
        transport::close(&connection, error.close_code(), "");
        let why = farewell(addr, &error);
        let total = conversation.totals;
        info!(worker, %addr, peer = peer.short(), why, ?total, "disconnected");
        shared.notices.send(total.notice(worker, addr, peer, why));
    }
}

fn farewell(addr: SocketAddr, error: &SessionError) -> String {
    match error {
        SessionError::Connection(error) => match transport::closed_by(error) {
            Some(code) => code.reason().to_owned(),
            None => TransportError::from_connection(addr, error).to_string(),
        },
        error => error.to_string(),
    }
}
