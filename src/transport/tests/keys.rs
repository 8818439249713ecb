//! Who each end is to the other.

use super::*;

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
    assert_eq!(error.fault(), TransportFault::Trust);
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
    assert_eq!(error.fault(), TransportFault::Trust);
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
    let (endpoint, _) = open_endpoint(addr, &tuning(), &udp::Heard::new()).unwrap();
    let tls = tls::client(None, ServerCheck::new(ServerRule::Key(server_id.fingerprint())));
    let tuning = tuning();
    let (server, client) =
        tokio::join!(accept_one(&listener), handshake(&endpoint, addr, CERTIFICATE_NAME, tls, &tuning));
    let refusal = server.unwrap_err();
    assert!(matches!(refusal, TransportError::NoClientKey { .. }), "{refusal}");
    let error = TransportError::from_connection(addr, &end_of(&client.unwrap()).await);
    assert!(matches!(error, TransportError::NoClientKey { .. }), "{error}");
    assert_eq!(error.fault(), TransportFault::Trust);
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
