//! Which address answers, and when.

use super::*;
use crate::transport::race::HEAD_START;

#[tokio::test]
async fn no_answer_is_said_at_the_deadline_and_names_the_address() {
    let silent = UdpSocket::bind(here()).unwrap();
    let addr = silent.local_addr().unwrap();
    let started = Instant::now();
    let error = connect(&[addr], identity().fingerprint(), &identity(), &tuning(), BRIEF).await.unwrap_err();
    assert!(matches!(error, TransportError::NoReply { addr: named } if named == addr), "{error}");
    assert_eq!(error.fault(), TransportFault::Path);
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
    assert_eq!(error.fault(), TransportFault::Path);
}

/// How long each step of a slow handshake takes, and how long it may: together they take longer than one may.
const STEP: Duration = Duration::from_millis(1500);
const STEP_MAX: Duration = Duration::from_millis(2500);

#[tokio::test]
async fn a_handshake_that_goes_on_outlives_the_wait_for_a_first_answer() {
    let (server_id, client_id) = (identity(), identity());
    let listener = listen_as(&server_id);
    let (addrs, tuning, started) = ([listener.local_addr()], tuning(), Instant::now());
    let slow = async {
        let first = listener.next().await.unwrap();
        tokio::time::sleep(STEP).await;
        first.retry().unwrap();
        // Others of its attempts come by as well.
        let proven = loop {
            let incoming = listener.next().await.unwrap();
            if incoming.remote_address_validated() {
                break incoming;
            }
        };
        tokio::time::sleep(STEP).await;
        let config = listener.server_config_for(proven.remote_address());
        accept(proven, config, LONG).await
    };
    let calling = connect(&addrs, server_id.fingerprint(), &client_id, &tuning, STEP_MAX);
    let (server, client) = tokio::join!(slow, calling);
    assert!(server.is_ok() && client.is_ok(), "{:?}", client.err());
    assert!(started.elapsed() > STEP_MAX, "it took two steps");
}
