//! Who may come in: the one place that decides about a client's `Hello`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use quinn::Connection;
use tracing::{info, warn};

use super::{Access, Notice, Shared};
use crate::protocol::close::CloseCode;
use crate::protocol::message::Hello;
use crate::session::SessionError;
use crate::storage::Lost;
use crate::transport::{self, Fingerprint};

/// Why a client was not let in, and what it is told.
pub(super) struct Turned {
    code: CloseCode,
    why: String,
}

impl From<SessionError> for Turned {
    fn from(error: SessionError) -> Self {
        Self { code: error.close_code(), why: error.to_string() }
    }
}

impl From<CloseCode> for Turned {
    fn from(code: CloseCode) -> Self {
        Self { code, why: code.reason().to_owned() }
    }
}

impl Turned {
    /// Tells the client, and the operator.
    pub(super) fn away(self, connection: &Connection, shared: &Shared, addr: SocketAddr, peer: Fingerprint) {
        transport::close(connection, self.code, "");
        refuse(shared, addr, Some(peer), self.why);
    }
}

/// Decides whether a key may come in; `true` when its invite enrolled it just now.
pub(super) async fn authorise(shared: &Arc<Shared>, peer: Fingerprint, hello: &Hello) -> Result<bool, Turned> {
    let home_failed = |error: transport::HomeError| {
        warn!(%error, "cannot read who is enrolled");
        Turned { code: CloseCode::Internal, why: error.to_string() }
    };
    let disk_lost = |_: Lost| Turned::from(SessionError::Internal("a disk thread"));
    let clients = match (&shared.access, &shared.clients) {
        (Access::Anyone, _) => return Ok(false),
        (Access::Only(keys), _) if keys.contains(&peer) => return Ok(false),
        (Access::Only(_), _) | (Access::Enrolled { .. }, None) => return Err(CloseCode::NotAuthorised.into()),
        (Access::Enrolled { .. }, Some(clients)) => clients,
    };
    // The list is a file, which no worker thread reads.
    let list = clients.clone();
    let known = shared.disk.run(move || list.is_enrolled(&peer));
    if known.await.map_err(disk_lost)?.map_err(home_failed)? {
        return Ok(false);
    }
    let invite = hello.invite.ok_or(CloseCode::NotAuthorised)?;
    shared.invites.redeem(&invite, Instant::now()).map_err(CloseCode::from)?;
    let (list, name) = (clients.clone(), hello.name.clone());
    let enrolled = shared.disk.run(move || list.enrol(&peer, &name));
    enrolled.await.map_err(disk_lost)?.map_err(home_failed)?;
    Ok(true)
}

/// Tells the operator of a client that was not let in.
pub(super) fn refuse(shared: &Shared, addr: SocketAddr, peer: Option<Fingerprint>, why: String) {
    info!(%addr, peer = peer.map(|peer| peer.short()), why, "refused");
    shared.notices.send(Notice::Refused { addr, peer, why });
}
