//! Who may come in, and a crowd at the door.

use super::*;
use qft::server::limits::PENDING_PER_ADDRESS_MAX;

#[tokio::test]
async fn a_stranger_that_sends_right_away_is_refused_before_anything_is_read() {
    for job in [push(), get("honest")] {
        let field = Field::new();
        field.honest_client_is_served().await;
        let before = field.names();
        let mut peer = Raw::connect(&field.server, &identity()).await;
        let all = [hello(), job, header(0, "x", 1), end(1)];
        // All that may go ahead.
        let mut streams = vec![peer.begin_early(0, 0, CHUNK_BYTES, &content(CHUNK)).await];
        for id in 1..EARLY_FILES_MAX as u64 {
            streams.push(peer.begin_early(id, 0, 1, b"x").await);
        }
        let one_more = tokio::time::timeout(Duration::ZERO, peer.connection.open_bi()).await;
        assert!(one_more.is_err(), "{} streams are not all", streams.len());
        peer.say_bytes(&all.iter().flat_map(frame).collect::<Vec<u8>>()).await;
        assert_eq!(peer.hear().await, None);
        assert_eq!(field.names(), before);
        field.ends_with(&peer, CloseCode::NotAuthorised).await;
    }
}

fn bring(invite: [u8; 16]) -> Message {
    Message::Hello(Hello::new(0, "bearer", Some(invite)))
}

#[tokio::test]
async fn an_invite_lets_in_once() {
    let field = Field::enrolling();
    let invite = field.server.invite("127.0.0.1").unwrap().invite.unwrap().0;
    let mut first = Raw::connect(&field.server, &field.hostile).await;
    first.say(&bring(invite)).await;
    assert!(matches!(first.hear().await, Some(Message::Welcome(welcome)) if welcome.enrolled));
    let mut second = Raw::connect(&field.server, &identity()).await;
    second.say(&bring(invite)).await;
    assert_eq!(second.closed().await, Some(CloseCode::InviteSpent));
    // Whoever is enrolled needs none any more.
    let again = field.greeted().await;
    again.leave().await;
    first.leave().await;
    assert!(field.names().is_empty());
    field.nothing_is_outside();
}

/// Wrong invites after which their address is told to wait.
const GUESSES: u8 = 12;

#[tokio::test]
async fn guesses_end_no_invite_and_shut_out_nobody_behind_the_same_address() {
    let field = Field::enrolling();
    let invite = || field.server.invite("127.0.0.1").unwrap().invite.unwrap().0;
    let (enrolling, kept) = (invite(), invite());
    let stranger = identity();
    let mut answers = Vec::new();
    for guess in 0..GUESSES {
        let mut peer = Raw::connect(&field.server, &stranger).await;
        peer.say(&bring([guess; 16])).await;
        answers.push(peer.closed().await.unwrap());
    }
    let wait = answers.iter().position(|code| *code == CloseCode::TooManyTries).expect("it has to wait");
    assert!(answers[..wait].iter().all(|code| *code == CloseCode::NotAuthorised), "{answers:?}");
    assert!(answers[wait..].iter().all(|code| *code == CloseCode::TooManyTries), "{answers:?}");
    // The guesser's address is that of an honest bearer, too.
    let mut bearer = Raw::connect(&field.server, &field.honest).await;
    bearer.say(&bring(enrolling)).await;
    assert!(matches!(bearer.hear().await, Some(Message::Welcome(welcome)) if welcome.enrolled));
    bearer.leave().await;
    field.honest_client_is_served().await;
    let home = field.path("../home");
    let open = qft::keys::trust::Invites::open(&home).unwrap().list(std::time::SystemTime::now()).unwrap();
    assert_eq!(open.len(), 1, "the other invite is still open");
    let mut other = Raw::connect(&field.server, &field.hostile).await;
    other.say(&bring(kept)).await;
    assert!(matches!(other.hear().await, Some(Message::Welcome(_))));
}

// ---- a crowd at the door ----

/// More than one address may have there, some times over.
const CROWD: usize = 3 * PENDING_PER_ADDRESS_MAX;

#[tokio::test]
async fn half_open_handshakes_do_not_keep_a_client_out() {
    let field = Field::new();
    // Real first packets, taken on their way and passed on; nobody ever answers what the server says.
    let (catcher, forwarder) = (bound().await, bound().await);
    let addr = catcher.local_addr().unwrap();
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..CROWD {
        let (fingerprint, identity) = (field.server.fingerprint(), field.hostile.clone());
        callers.spawn(async move {
            let _ = transport::connect(&[addr], fingerprint, &identity, &peer::tuning(), crate::support::LONG).await;
        });
    }
    let (mut seen, mut packet) = (std::collections::HashSet::new(), vec![0; 2048]);
    while seen.len() < CROWD {
        let (len, from) = soon("a first packet", catcher.recv_from(&mut packet)).await.unwrap();
        if seen.insert(from) {
            forwarder.send_to(&packet[..len], field.server.local_addr()).await.unwrap();
        }
    }
    callers.abort_all();
    field.honest_client_is_served().await;
    let active: usize = field.server.active().iter().sum();
    assert!(active < CROWD / 2, "{active} strangers are in the door");
}

async fn bound() -> tokio::net::UdpSocket {
    tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap()
}

#[tokio::test]
async fn silent_strangers_do_not_keep_a_client_out() {
    let field = Field::new();
    let mut silent = Vec::new();
    for _ in 0..CROWD {
        // They can receive, they finish the handshake, and say nothing.
        silent.push(peer::dial(&field.server, &field.hostile, &peer::tuning()).await);
    }
    let active: usize = field.server.active().iter().sum();
    assert!(active < CROWD / 2, "{active} strangers are in the door");
    let first = silent.swap_remove(0);
    let error = soon("the first one's end", first.connection.closed()).await;
    assert_eq!(transport::closed_by(&error), Some(CloseCode::Busy));
    field.honest_client_is_served().await;
    first.endpoint.close(0_u32.into(), b"");
}

#[tokio::test]
async fn a_full_server_turns_the_next_client_away_at_once() {
    let field = Field::with(|builder| builder.clients_max(2));
    let one = field.greeted().await;
    let addrs = [field.server.local_addr()];
    // One address has half of the places.
    let (fingerprint, tuning) = (field.server.fingerprint(), peer::tuning());
    let refused = transport::connect(&addrs, fingerprint, &field.honest, &tuning, crate::support::LONG).await;
    assert!(matches!(refused, Err(TransportError::TurnedAway { .. })), "{refused:?}");
    one.leave().await;
    until("its end", || field.server.active() == [0, 0]).await;
    field.honest_client_is_served().await;
}

#[tokio::test]
async fn a_stranger_that_sends_crumbs_is_not_waited_for() {
    let field = Field::new();
    let peer = Raw::connect(&field.server, &field.hostile).await;
    let (mut crumbs, _replies) = soon("a stream", peer.connection.open_bi()).await.unwrap();
    // Nobody reads them, and the window has room for hundred times as many.
    let sending = async {
        while crumbs.write_all(b"x").await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    soon("the end", sending).await;
    field.ends_with(&peer, CloseCode::Busy).await;
}
