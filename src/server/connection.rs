//! One client: let in or turned away, then served until either side has enough.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use quinn::{Connection, Incoming};
use tokio::time::timeout;
use tracing::{debug, info};

use super::admission::refuse;
use super::conversation::Conversation;
use super::gate::PendingConnection;
use super::greeting::AdmittedClient;
use super::live_connection::LiveConnection;
use super::meter::{ConnectionEnd, Limit, RefusalReason};
use super::paths::ClientPath;
use super::places::PlaceGuard;
use super::pool::WorkerSlot;
use super::{Notice, Peer, ServerInner};
use crate::keys::Fingerprint;
use crate::protocol::close::CloseCode;
use crate::session::control::ControlReader;
use crate::session::{ATTENTION_DEADLINE, SessionError, unread};
use crate::transport::{
    self, Listener, RECEIVE_WINDOW_BEFORE_HELLO, RECEIVE_WINDOW_IN_A_CROWD, TransportError, canonical,
};

/// Longest that a handshake may take: over a slow and lossy path its steps are many seconds apart. One that stands in the
/// way of others goes before ([`PendingConnection::displaced`]).
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(30);

/// Serves one client from the handshake to the end. Runs on the worker that will drive the connection.
pub(super) async fn serve(
    incoming: Incoming,
    listener: Listener,
    shared: Arc<ServerInner>,
    slot: WorkerSlot,
    mut pending: PendingConnection,
) {
    let addr = incoming.remote_address();
    let path = Arc::new(shared.paths.path_to(addr));
    let (config, window) = match pending.is_crowded() {
        false => (listener.server_config_with(addr, path.controller()), RECEIVE_WINDOW_BEFORE_HELLO),
        true => (listener.server_config_in_a_crowd(addr, path.controller()), RECEIVE_WINDOW_IN_A_CROWD),
    };
    // From here on it is for people to read.
    let addr = canonical(addr);
    let accepted = tokio::select! {
        accepted = transport::accept(incoming, config, HANDSHAKE_DEADLINE) => accepted,
        () = pending.displaced() => {
            shared.meter.limits.count(Limit::Pending);
            shared.meter.refused.count(RefusalReason::Displaced);
            return debug!(%addr, "its place among the pending went to another");
        }
    };
    match accepted {
        Ok(connection) => serve_accepted(connection, &listener, shared, &slot, pending, (path, window)).await,
        Err(error) => on_handshake_failed(&shared, addr, &error),
    }
}

/// The same from the end of the handshake on. The client may send so much before it is let in.
async fn serve_accepted(
    connection: Connection,
    listener: &Listener,
    shared: Arc<ServerInner>,
    slot: &WorkerSlot,
    mut pending: PendingConnection,
    (path, window): (Arc<ClientPath>, u32),
) {
    let addr = canonical(connection.remote_address());
    let _closed_at_the_end = ClosedOnDrop(connection.clone());
    let Some(peer) = transport::peer_fingerprint(&connection) else {
        return refuse(&shared, addr, None, RefusalReason::Handshake, "no client key".to_owned());
    };
    let greeted = tokio::select! {
        greeted = timeout(ATTENTION_DEADLINE, AdmittedClient::greet(&connection, listener, &shared, peer)) => greeted,
        () = pending.displaced() => Ok(Err(CloseCode::Busy.into())),
        () = unread::is_too_much(&connection, window) => {
            shared.meter.limits.count(Limit::Unread);
            Ok(Err(CloseCode::Busy.into()))
        }
    };
    let greeted = greeted.unwrap_or_else(|_| Err(SessionError::Timeout("say hello").into()));
    let ending = connection.clone();
    let put_out = move || transport::close(&ending, CloseCode::Busy, "the place of a client that did nothing");
    let (mut client, reader, place) =
        match greeted.and_then(|(client, reader)| Ok((client, reader, pending.admit(peer, put_out)?))) {
            Ok(admitted) => admitted,
            // A second connection of a client whose first one lives after all.
            Err(_) if has_left(&connection) => return debug!(%addr, "left before it said hello"),
            Err(turned) => return turned.away(&connection, &shared, addr, peer),
        };
    client.known = listener.let_in(connection.remote_address());
    client.welcome();
    let parting = serve_admitted((client, reader), &shared, addr, peer, slot, path.clone(), place).await;
    shared.paths.keep(&path, &connection);
    if shared.config.once.is_some_and(|once| once.is_over_with(parting)) {
        shared.left.notify_one();
    }
}

/// A handshake that came to no connection.
fn on_handshake_failed(shared: &ServerInner, addr: SocketAddr, error: &TransportError) {
    match error {
        // A client that wants to see this server's key before it trusts it. That is no attempt to get in.
        TransportError::NoClientKey { .. } => debug!(%addr, "asked for the key of this server"),
        // It has called more than once, and another of its calls was answered first.
        TransportError::TurnedAway { .. } | TransportError::Refused { .. } => debug!(%addr, "gave up its handshake"),
        error => refuse(shared, addr, None, RefusalReason::Handshake, error.to_string()),
    }
}

/// Whether the client has said that it wants nothing, or nothing any more.
fn has_left(connection: &Connection) -> bool {
    let code = connection.close_reason().as_ref().and_then(transport::closed_by);
    matches!(code, Some(CloseCode::Done | CloseCode::Cancelled))
}

/// Closes a connection that is left without a word, by a panic: its peer would wait until it times out.
struct ClosedOnDrop(Connection);

impl Drop for ClosedOnDrop {
    fn drop(&mut self) {
        // Of a connection that was closed before, this changes nothing.
        transport::close(&self.0, CloseCode::Internal, "");
    }
}

/// Serves a client that was let in, until either side has enough.
async fn serve_admitted(
    (client, reader): (AdmittedClient, ControlReader),
    shared: &Arc<ServerInner>,
    addr: SocketAddr,
    peer: Fingerprint,
    slot: &WorkerSlot,
    path: Arc<ClientPath>,
    place: PlaceGuard,
) -> Departure {
    let connection = client.connection.clone();
    let (worker, name, enrolled) = (slot.worker(), client.name.clone(), client.welcome.enrolled);
    let live = Arc::new(LiveConnection::new(connection.clone(), peer, name.clone(), worker, path));
    let registered = shared.registry.enter(live.clone(), client.basis.clone());
    info!(worker, %addr, peer = peer.short(), name, "connected");
    let named = Arc::new(Peer { addr, fingerprint: peer, name });
    shared.meter.admitted.fetch_add(1, Ordering::Relaxed);
    shared.notices.send(Notice::Connected { worker, peer: named.clone(), enrolled });
    let mut conversation = Conversation::new((client, reader), shared.clone(), live.clone(), named.clone(), place);
    #[cfg(test)]
    shared.fault.trip("connection");
    let error = conversation.run().await;
    transport::close(&connection, error.close_code(), "");
    let ended = registered.ended().or_else(|| conversation.has_lost_its_place().then_some(CloseCode::Busy));
    shared.meter.ended.count(ended.map_or_else(|| ConnectionEnd::of(&error), ConnectionEnd::Closed));
    let why = ended.map_or_else(|| end_reason(addr, &error), |code| ended_by_us(code).to_owned());
    let total = conversation.totals();
    info!(worker, %addr, peer = peer.short(), why, %total, "disconnected");
    shared.notices.send(total.notice(worker, named, live.since().elapsed(), why));
    Departure::of(&error, total.went_well())
}

/// How a client has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Departure {
    /// It has sent or got files, all of them well, and says that it is done.
    Served,
    /// It closed the connection, or was sent away for good.
    Final,
    /// Its connection was lost, and it goes on trying.
    Lost,
}

impl Departure {
    fn of(error: &SessionError, went_well: bool) -> Self {
        let SessionError::Connection(error) = error else {
            return if matches!(error, SessionError::Timeout(_)) { Self::Lost } else { Self::Final };
        };
        match transport::closed_by(error) {
            // A client that has waited too long for us tries again, too.
            None | Some(CloseCode::Timeout) => Self::Lost,
            Some(CloseCode::Done) if went_well => Self::Served,
            Some(_) => Self::Final,
        }
    }
}

/// Why this end closed a connection in the middle of its work, for its operator.
fn ended_by_us(code: CloseCode) -> &'static str {
    match code {
        CloseCode::Revoked => "shut out: it was taken off the list",
        CloseCode::Expired => "its time has ended",
        CloseCode::RightsChanged => "its rights were narrowed; it may come again",
        CloseCode::WrongToken => "the token was replaced",
        CloseCode::CertificateExpired => "its certificate has expired",
        CloseCode::NotCertified => "the CA was replaced, and has not issued its certificate",
        CloseCode::Busy => "its place went to another client: it did nothing",
        code => code.reason(),
    }
}

fn end_reason(addr: SocketAddr, error: &SessionError) -> String {
    match error {
        SessionError::Connection(error) => match transport::closed_by(error) {
            Some(code) => code.reason().to_owned(),
            None => TransportError::from_connection(addr, error).to_string(),
        },
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::ServeOnce;
    use super::*;
    use quinn::{ApplicationClose, ConnectionError};

    #[test]
    fn a_client_that_waited_too_long_or_vanished_comes_back_and_only_one_that_says_so_is_served() {
        let closed = |code: CloseCode, went_well| {
            let close = ApplicationClose { error_code: code.code().into(), reason: Default::default() };
            Departure::of(&SessionError::Connection(ConnectionError::ApplicationClosed(close)), went_well)
        };
        assert_eq!(Departure::of(&SessionError::Connection(ConnectionError::TimedOut), true), Departure::Lost);
        assert_eq!(Departure::of(&SessionError::Timeout("go on"), true), Departure::Lost);
        assert_eq!(closed(CloseCode::Timeout, true), Departure::Lost);
        assert_eq!(closed(CloseCode::Done, true), Departure::Served);
        assert_eq!(closed(CloseCode::Done, false), Departure::Final);
        assert_eq!(closed(CloseCode::Cancelled, true), Departure::Final);
        assert!(
            !ServeOnce::Transfer.is_over_with(Departure::Final) && ServeOnce::Client.is_over_with(Departure::Final)
        );
        assert!([ServeOnce::Transfer, ServeOnce::Client].into_iter().all(|once| once.is_over_with(Departure::Served)));
        assert!(![ServeOnce::Transfer, ServeOnce::Client].into_iter().any(|once| once.is_over_with(Departure::Lost)));
    }
}
