//! Both ends of the transport, over real UDP on the loopback interface.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use quinn::congestion::NewRenoConfig;
use quinn::{Connection, ConnectionError};
use tokio::time::timeout;

use super::dial::{handshake, open_endpoint};
use super::identity::CERTIFICATE_NAME;
use super::verify::{Rule, ServerCheck};
use super::*;
use crate::digest::SALT_BYTES;
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
async fn with_the_right_pin_each_end_sees_the_key_of_the_other() {
    let (server_id, client_id) = (identity(), identity());
    let listener = listen_as(&server_id);
    let (server, client) = tokio::join!(accept_one(&listener), dial(&listener, server_id.fingerprint(), &client_id));
    let (server, client) = (server.unwrap(), client.unwrap());
    assert_eq!(peer_fingerprint(&server), Some(client_id.fingerprint()));
    assert_eq!(peer_fingerprint(&client.connection), Some(server_id.fingerprint()));
}

#[tokio::test]
async fn a_server_with_another_key_is_refused_before_anything_is_said_and_both_keys_are_named() {
    let server_id = identity();
    let listener = listen_as(&server_id);
    let expected = identity().fingerprint();
    let client_id = identity();
    let (server, client) = tokio::join!(accept_one(&listener), dial(&listener, expected, &client_id));
    let error = client.unwrap_err();
    let found = server_id.fingerprint();
    assert!(
        matches!(error, TransportError::WrongServer { expected: e, found: f } if e == expected && f == found),
        "{error}"
    );
    assert_eq!(error.fault(), Fault::Trust);
    let text = error.to_string();
    assert!(text.contains(&expected.to_string()) && text.contains(&found.to_string()), "{text}");
    // The handshake never ended on the server, so there is no connection that could have carried a stream.
    let refusal = server.unwrap_err();
    assert!(matches!(refusal, TransportError::Handshake { .. }), "{refusal}");
}

#[tokio::test]
async fn a_server_that_shows_the_right_certificate_without_its_key_is_refused() {
    let (real, impostor) = (identity(), identity());
    let listener = listen_as(&Identity::forged(&real, &impostor));
    let client_id = identity();
    let (server, client) = tokio::join!(accept_one(&listener), dial(&listener, real.fingerprint(), &client_id));
    let error = client.unwrap_err();
    assert!(matches!(error, TransportError::Handshake { .. }), "{error}");
    assert_eq!(error.fault(), Fault::Trust);
    assert!(server.is_err());
}

#[tokio::test]
async fn a_client_that_shows_a_known_certificate_without_its_key_is_refused() {
    let server_id = identity();
    let (known, impostor) = (identity(), identity());
    let listener = listen_as(&server_id);
    let forged = Identity::forged(&known, &impostor);
    let (server, client) = tokio::join!(accept_one(&listener), dial(&listener, server_id.fingerprint(), &forged));
    let refusal = server.unwrap_err();
    assert!(matches!(refusal, TransportError::Handshake { .. }), "{refusal}");
    // In TLS 1.3 a client is done before the server has judged it: it learns of the refusal afterwards.
    let client = client.unwrap();
    let error = TransportError::from_connection(listener.local_addr(), &end_of(&client.connection).await);
    assert!(matches!(error, TransportError::Handshake { .. }), "{error}");
}

#[tokio::test]
async fn a_client_without_a_certificate_is_refused() {
    let server_id = identity();
    let listener = listen_as(&server_id);
    let addr = listener.local_addr();
    let (endpoint, _) = open_endpoint(addr, None, &Copies::default()).unwrap();
    let tls = tls::client(None, ServerCheck::new(Rule::Key(server_id.fingerprint())));
    let tuning = tuning();
    let (server, client) =
        tokio::join!(accept_one(&listener), handshake(&endpoint, addr, CERTIFICATE_NAME, tls, &tuning));
    let refusal = server.unwrap_err();
    assert!(matches!(refusal, TransportError::NoClientKey { .. }), "{refusal}");
    let error = TransportError::from_connection(addr, &end_of(&client.unwrap()).await);
    assert!(matches!(error, TransportError::NoClientKey { .. }), "{error}");
    assert_eq!(error.fault(), Fault::Trust);
}

#[tokio::test]
async fn a_stranger_is_recognised_by_its_key_and_hears_of_no_client() {
    let server_id = identity();
    let listener = listen_as(&server_id);
    let addrs = [listener.local_addr()];
    let tuning = tuning();
    let (server, found) = tokio::join!(accept_one(&listener), recognise(&addrs, &tuning, LONG));
    assert_eq!(found.unwrap(), server_id.fingerprint());
    // The handshake never ended there, so no stream was ever opened.
    let refusal = server.unwrap_err();
    assert!(matches!(refusal, TransportError::NoClientKey { .. }), "{refusal}");
}

#[tokio::test]
async fn a_stranger_that_shows_a_certificate_without_its_key_is_not_recognised() {
    let (real, impostor) = (identity(), identity());
    let listener = listen_as(&Identity::forged(&real, &impostor));
    let addrs = [listener.local_addr()];
    let tuning = tuning();
    let (server, found) = tokio::join!(accept_one(&listener), recognise(&addrs, &tuning, LONG));
    let error = found.unwrap_err();
    assert!(matches!(error, TransportError::Handshake { .. }), "{error}");
    assert!(server.is_err());
}

#[tokio::test]
async fn peers_of_different_protocol_versions_part_in_the_handshake() {
    let server_id = identity();
    let mut tls = tls::server(&server_id);
    tls.alpn_protocols = vec![b"qft/999".to_vec()];
    let listener = Listener::open(here(), tls, &[7; 32], &tuning()).unwrap();
    let client_id = identity();
    let (server, client) = tokio::join!(accept_one(&listener), dial(&listener, server_id.fingerprint(), &client_id));
    for error in [client.unwrap_err(), server.unwrap_err()] {
        assert!(matches!(error, TransportError::Version { .. }), "{error}");
        assert_eq!(error.fault(), Fault::Peer);
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
async fn no_answer_is_said_at_the_deadline_and_names_the_address() {
    let silent = UdpSocket::bind(here()).unwrap();
    let addr = silent.local_addr().unwrap();
    let started = Instant::now();
    let error = connect(&[addr], identity().fingerprint(), &identity(), &tuning(), BRIEF).await.unwrap_err();
    assert!(matches!(error, TransportError::NoReply { addr: named } if named == addr), "{error}");
    assert_eq!(error.fault(), Fault::Path);
    assert!(started.elapsed() >= BRIEF && started.elapsed() < LONG, "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_silent_first_address_delays_the_second_by_a_head_start_only() {
    let silent = UdpSocket::bind(here()).unwrap();
    let (server_id, client_id) = (identity(), identity());
    let listener = listen_as(&server_id);
    let addrs = [silent.local_addr().unwrap(), listener.local_addr()];
    let (tuning, started) = (tuning(), Instant::now());
    let calling = connect(&addrs, server_id.fingerprint(), &client_id, &tuning, LONG);
    let (server, client) = tokio::join!(accept_one(&listener), calling);
    assert_eq!(client.unwrap().connection.remote_address(), listener.local_addr());
    assert_eq!(peer_fingerprint(&server.unwrap()), Some(client_id.fingerprint()));
    assert!(started.elapsed() >= HEAD_START && started.elapsed() < LONG / 2, "{:?}", started.elapsed());
}

#[tokio::test]
async fn an_address_that_nothing_can_be_sent_to_does_not_hide_a_good_one() {
    let (server_id, client_id) = (identity(), identity());
    let listener = listen_as(&server_id);
    let addrs = [here(), listener.local_addr()];
    let tuning = tuning();
    let calling = connect(&addrs, server_id.fingerprint(), &client_id, &tuning, LONG);
    let (_server, client) = tokio::join!(accept_one(&listener), calling);
    assert!(client.is_ok());
    let error = connect(&[here()], server_id.fingerprint(), &client_id, &tuning, LONG).await.unwrap_err();
    assert!(matches!(error, TransportError::Resolve { .. }), "{error}");
}

#[tokio::test]
async fn no_address_at_all_is_no_answer() {
    let error = connect(&[], identity().fingerprint(), &identity(), &tuning(), LONG).await.unwrap_err();
    assert!(matches!(error, TransportError::NoReply { .. }), "{error}");
}

#[tokio::test]
async fn addresses_resolve_to_themselves_and_a_name_that_cannot_exist_to_nothing() {
    assert_eq!(resolve("127.0.0.1", 7).await.unwrap(), ["127.0.0.1:7".parse().unwrap()]);
    assert_eq!(resolve("::1", 7).await.unwrap(), ["[::1]:7".parse().unwrap()]);
    // A label may have 63 characters, so no resolver asks anyone for this one.
    let name = "x".repeat(64);
    let error = resolve(&name, 7).await.unwrap_err();
    assert!(matches!(&error, TransportError::Resolve { host, .. } if *host == name), "{error}");
    assert_eq!(error.fault(), Fault::Path);
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
async fn a_client_that_is_turned_down_at_the_door_is_told_that_the_server_is_busy() {
    let (server_id, client_id) = (identity(), identity());
    let listener = listen_as(&server_id);
    let turn_down = async { listener.next().await.unwrap().refuse() };
    let ((), client) = tokio::join!(turn_down, dial(&listener, server_id.fingerprint(), &client_id));
    let error = client.unwrap_err();
    assert!(matches!(error, TransportError::Refused { code: CloseCode::Busy }), "{error}");
}

#[tokio::test]
async fn a_closed_listener_has_no_next_client_and_tells_every_peer_why() {
    let pair = pair().await;
    pair.listener.close(CloseCode::GoingAway, "shutting down");
    assert!(timeout(LONG, pair.listener.next()).await.unwrap().is_none());
    let end = end_of(&pair.client.connection).await;
    assert_eq!(closed_by(&end), Some(CloseCode::GoingAway));
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
    assert_eq!(error.fault(), Fault::Trust);
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
    const BODY_BYTES: usize = 3 * tuning::RECEIVE_WINDOW_BEFORE_HELLO as usize;
    let pair = pair().await;
    let client = &pair.client.connection;
    let (mut control, _replies) = client.open_bi().await.unwrap();
    control.write_all(b"hello").await.unwrap();
    let (_answers, mut opening) = pair.server.accept_bi().await.unwrap();
    let mut others = Vec::new();
    for _ in 1..tuning::STREAMS_BEFORE_HELLO {
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
        let mut packet = vec![0; usize::from(tuning::MTU_LOOPBACK)];
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
