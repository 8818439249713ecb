//! Both ends of the transport, over real UDP on the loopback interface.

mod dialling;
mod keys;
mod restart;

use std::future::{Future as _, poll_fn};
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use quinn::congestion::NewRenoConfig;
use quinn::{ApplicationClose, Connection, ConnectionError};
use tokio::time::timeout;

use super::attempt::{handshake, open_endpoint};
use super::verify::{ServerCheck, ServerRule};
use super::*;
use crate::digest::SALT_BYTES;
use crate::keys::{CERTIFICATE_NAME, Fingerprint, Identity};
use crate::protocol::close::CloseCode;

/// Far beyond what anything on this machine takes; only a hang reaches it.
const LONG: Duration = Duration::from_secs(20);
/// A deadline that is meant to pass.
const BRIEF: Duration = Duration::from_millis(300);

fn tuning() -> Tuning {
    Tuning::new(Arc::new(NewRenoConfig::default()))
}

fn identity() -> Identity {
    Identity::ephemeral().unwrap()
}

fn here() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

fn listen_as(identity: &Identity) -> Listener {
    listen(here(), identity, &tuning()).unwrap()
}

/// The next client's handshake, as a server runs it.
async fn accept_one(listener: &Listener) -> Result<Connection, TransportError> {
    let incoming = timeout(LONG, listener.next()).await.expect("a client comes").expect("the listener is open");
    let config = listener.server_config_for(incoming.remote_address());
    accept(incoming, config, LONG).await
}

async fn dial(listener: &Listener, expected: Fingerprint, client: &Identity) -> Result<Dialled, TransportError> {
    connect(&[listener.local_addr()], expected, client, &tuning(), LONG).await
}

/// Both ends of a connection that stands, and what must live as long.
struct Pair {
    listener: Listener,
    server: Connection,
    client: Dialled,
}

async fn pair() -> Pair {
    let (server_id, client_id) = (identity(), identity());
    let listener = listen_as(&server_id);
    let (server, client) = tokio::join!(accept_one(&listener), dial(&listener, server_id.fingerprint(), &client_id));
    Pair { server: server.unwrap(), client: client.unwrap(), listener }
}

/// The end of a connection that the other side is about to end.
async fn end_of(connection: &Connection) -> ConnectionError {
    timeout(LONG, connection.closed()).await.expect("the connection ends")
}

#[tokio::test]
async fn peers_of_different_protocol_versions_part_in_the_handshake() {
    let server_id = identity();
    let mut tls = tls::server(&server_id);
    tls.alpn_protocols = vec![b"qft/999".to_vec()];
    let listener = Listener::open(here(), udp::socket::bind(here()), tls, &[7; 32], &tuning()).unwrap();
    let client_id = identity();
    let (server, client) = tokio::join!(accept_one(&listener), dial(&listener, server_id.fingerprint(), &client_id));
    for error in [client.unwrap_err(), server.unwrap_err()] {
        assert!(matches!(error, TransportError::Version { .. }), "{error}");
        assert_eq!(error.fault(), TransportFault::Peer);
    }
}

#[tokio::test]
async fn the_salt_is_the_same_at_both_ends_and_another_in_every_connection() {
    let (one, two) = (pair().await, pair().await);
    let salts = [&one, &two].map(|pair| {
        let salt = session_salt(&pair.server).unwrap();
        assert_eq!(salt, session_salt(&pair.client.connection).unwrap());
        salt
    });
    assert_ne!(salts[0], salts[1]);
    assert_ne!(salts[0], [0; SALT_BYTES]);
}

#[tokio::test]
async fn a_client_whose_address_is_to_be_validated_comes_back() {
    let (server_id, client_id) = (identity(), identity());
    let listener = listen_as(&server_id);
    let serve = async {
        let first = listener.next().await.unwrap();
        assert!(!first.remote_address_validated() && first.may_retry());
        first.retry().unwrap();
        let second = listener.next().await.unwrap();
        assert!(second.remote_address_validated());
        let config = listener.server_config_for(second.remote_address());
        accept(second, config, LONG).await
    };
    let (server, client) = tokio::join!(serve, dial(&listener, server_id.fingerprint(), &client_id));
    assert!(server.is_ok() && client.is_ok());
}

#[tokio::test]
async fn a_client_that_is_turned_down_at_the_gate_is_told_that_the_server_is_stopping_or_full() {
    let (server_id, client_id) = (identity(), identity());
    let listener = listen_as(&server_id);
    let turn_down = async { listener.next().await.unwrap().refuse() };
    let ((), client) = tokio::join!(turn_down, dial(&listener, server_id.fingerprint(), &client_id));
    let error = client.unwrap_err();
    assert!(matches!(error, TransportError::TurnedAway { .. }), "{error}");
    assert!(error.to_string().contains("it is stopping or full") && error.fault() == TransportFault::Path, "{error}");
}

#[tokio::test]
async fn a_client_whose_handshake_is_given_up_at_its_end_is_told_to_come_again() {
    let (server_id, client_id) = (identity(), identity());
    let listener = listen_as(&server_id);
    let mut accepting = None;
    let begin = async {
        let incoming = listener.next().await.unwrap();
        let config = listener.server_config_for(incoming.remote_address());
        // It is begun, and not looked at again, as on a machine with too much to do.
        let accepting = accepting.insert(Box::pin(accept(incoming, config, LONG)));
        assert!(poll_fn(|context| Poll::Ready(accepting.as_mut().poll(context))).await.is_pending());
    };
    let ((), client) = tokio::join!(begin, dial(&listener, server_id.fingerprint(), &client_id));
    let client = client.unwrap().connection;
    let confirmed = async {
        while client.stats().frame_rx.handshake_done == 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, confirmed).await.expect("the server confirms the handshake");
    drop(accepting);
    assert_eq!(closed_by(&end_of(&client).await), Some(CloseCode::Busy));
}

#[test]
fn a_peer_that_owes_something_and_says_that_all_is_done_has_dropped_the_connection() {
    let closed = ApplicationClose { error_code: CloseCode::Done.code().into(), reason: Vec::new().into() };
    let error = TransportError::from_connection(here(), &ConnectionError::ApplicationClosed(closed));
    assert!(matches!(error, TransportError::TurnedAway { .. }), "{error}");
}

#[tokio::test]
async fn a_closed_listener_has_no_next_client_and_tells_every_peer_why() {
    let pair = pair().await;
    pair.listener.close(CloseCode::GoingAway, "shutting down");
    assert!(timeout(LONG, pair.listener.next()).await.unwrap().is_none());
    let end = end_of(&pair.client.connection).await;
    assert_eq!(closed_by(&end), Some(CloseCode::GoingAway));
    // Who comes now can be told nothing but that.
    let late = dial(&pair.listener, identity().fingerprint(), &identity()).await.unwrap_err();
    assert!(matches!(late, TransportError::TurnedAway { .. }), "{late}");
    timeout(LONG, pair.listener.wait_idle()).await.unwrap();
}

#[tokio::test]
async fn the_code_of_a_close_reaches_the_other_end_only() {
    let pair = pair().await;
    close(&pair.server, CloseCode::NotAuthorised, "not enrolled\x1b[2J");
    let end = end_of(&pair.client.connection).await;
    assert_eq!(closed_by(&end), Some(CloseCode::NotAuthorised));
    assert_eq!(closed_by(&end_of(&pair.server).await), None, "this end closed it itself");
    let error = TransportError::from_connection(pair.listener.local_addr(), &end);
    assert_eq!(error.fault(), TransportFault::Trust);
    assert_eq!(error.to_string(), CloseCode::NotAuthorised.reason());
}

#[tokio::test]
async fn an_unknown_close_code_is_a_lost_connection_and_its_text_is_escaped() {
    let pair = pair().await;
    pair.server.close(9_999_u32.into(), b"from the future\x1b[2J");
    let end = end_of(&pair.client.connection).await;
    assert_eq!(closed_by(&end), None);
    let error = TransportError::from_connection(pair.listener.local_addr(), &end);
    assert!(matches!(error, TransportError::Lost { .. }), "{error}");
    assert!(!error.to_string().contains('\x1b'), "{error}");
}

#[tokio::test]
async fn a_stranger_has_few_streams_and_little_room_until_it_is_let_in() {
    const BODY_BYTES: usize = 3 * RECEIVE_WINDOW_BEFORE_HELLO as usize;
    let pair = pair().await;
    let client = &pair.client.connection;
    let (mut control, _replies) = client.open_bi().await.unwrap();
    control.write_all(b"hello").await.unwrap();
    let (_answers, mut opening) = pair.server.accept_bi().await.unwrap();
    let mut others = Vec::new();
    for _ in 1..STREAMS_BEFORE_HELLO {
        others.push(client.open_bi().await.unwrap());
    }
    assert!(timeout(BRIEF, client.open_bi()).await.is_err(), "one more has to wait");
    let body = vec![7; BODY_BYTES];
    let writing = tokio::spawn(async move {
        control.write_all(&body).await.unwrap();
        control.finish().unwrap();
    });

    let until = async |reached: &dyn Fn() -> bool| {
        while !reached() {
            tokio::task::yield_now().await;
        }
    };
    // Nobody reads yet, so only the windows decide how much leaves.
    let sent = || client.stats().udp_tx.bytes;
    timeout(LONG, until(&|| client.stats().frame_tx.data_blocked > 0)).await.expect("the writer runs into the limit");
    assert!(sent() < BODY_BYTES as u64 / 2, "{} bytes left", sent());
    open_up(&pair.server);
    timeout(LONG, until(&|| sent() > BODY_BYTES as u64)).await.expect("the limit is raised");
    let more = timeout(LONG, client.open_bi()).await.expect("streams are free now");
    assert!(more.is_ok());
    let received = timeout(LONG, opening.read_to_end(BODY_BYTES + 5)).await.unwrap().unwrap();
    assert_eq!(received.len(), BODY_BYTES + 5);
    writing.await.unwrap();
}

#[tokio::test]
async fn a_stranger_in_a_crowd_has_less_room_until_it_is_let_in() {
    const BODY_BYTES: usize = 3 * RECEIVE_WINDOW_BEFORE_HELLO as usize;
    let (server_id, client_id) = (identity(), identity());
    let listener = listen_as(&server_id);
    let accept_in_a_crowd = async {
        let incoming = timeout(LONG, listener.next()).await.expect("a client comes").expect("the listener is open");
        let controller = Arc::new(NewRenoConfig::default());
        let config = listener.server_config_in_a_crowd(incoming.remote_address(), controller);
        accept(incoming, config, LONG).await
    };
    let (server, dialled) = tokio::join!(accept_in_a_crowd, dial(&listener, server_id.fingerprint(), &client_id));
    let (server, dialled) = (server.unwrap(), dialled.unwrap());
    let client = &dialled.connection;
    let (mut control, _replies) = client.open_bi().await.unwrap();
    let writing = tokio::spawn(async move {
        control.write_all(&vec![7; BODY_BYTES]).await.unwrap();
        control.finish().unwrap();
    });
    let blocked = async {
        while client.stats().frame_tx.data_blocked == 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, blocked).await.expect("the writer runs into the limit");
    // Beside the window, packets that probe for a larger size have left.
    let sent = client.stats().udp_tx.bytes;
    assert!(sent < u64::from(RECEIVE_WINDOW_BEFORE_HELLO) / 2, "{sent} bytes left");
    let (_answers, mut opening) = server.accept_bi().await.unwrap();
    open_up(&server);
    let received = timeout(LONG, opening.read_to_end(BODY_BYTES)).await.unwrap().unwrap();
    assert_eq!(received.len(), BODY_BYTES);
    writing.await.unwrap();
}

#[tokio::test]
async fn no_one_may_open_a_unidirectional_stream_or_send_a_datagram() {
    let pair = pair().await;
    open_up(&pair.server);
    for connection in [&pair.server, &pair.client.connection] {
        assert!(timeout(BRIEF, connection.open_uni()).await.is_err());
        assert!(connection.send_datagram(b"x".as_slice().into()).is_err());
    }
}

#[tokio::test]
async fn packets_grow_within_one_machine() {
    let pair = pair().await;
    // A system that gives small buffers gets small packets.
    let taken = tuning::packet_max(pair.listener.granted(), None);
    let grown = async {
        while pair.client.connection.stats().path.current_mtu < taken / 2 {
            // Every probe that is answered raises the size; data in both directions keep the acknowledgements coming.
            let (mut send, _receive) = pair.client.connection.open_bi().await.unwrap();
            send.write_all(&[0; 1024]).await.unwrap();
            send.finish().unwrap();
            let (mut reply, mut receive) = pair.server.accept_bi().await.unwrap();
            receive.read_to_end(1024).await.unwrap();
            reply.finish().unwrap();
        }
    };
    open_up(&pair.server);
    timeout(LONG, grown).await.expect("loopback carries large packets");
}

#[tokio::test]
async fn a_client_that_never_finishes_its_handshake_is_given_up() {
    let server_id = identity();
    let listener = listen_as(&server_id);
    // Passes the client's first packet on and no answer back: to the server, the client falls silent.
    let relay = tokio::net::UdpSocket::bind(here()).await.unwrap();
    let relay_addr = relay.local_addr().unwrap();
    let (client_id, tuning) = (identity(), tuning());
    let addrs = [relay_addr];
    let client = connect(&addrs, server_id.fingerprint(), &client_id, &tuning, LONG);
    let serve = async {
        let mut packet = vec![0; usize::from(limits::MTU_LOOPBACK)];
        let (bytes, _) = relay.recv_from(&mut packet).await.unwrap();
        relay.send_to(&packet[..bytes], listener.local_addr()).await.unwrap();
        let incoming = listener.next().await.unwrap();
        let config = listener.server_config_for(incoming.remote_address());
        accept(incoming, config, BRIEF).await
    };
    let outcome = tokio::select! {
        outcome = serve => outcome,
        early = client => panic!("nobody answered the client: {early:?}"),
    };
    let error = outcome.unwrap_err();
    assert!(matches!(error, TransportError::NoReply { addr } if addr == relay_addr), "{error}");
}
