//! What a hostile peer can make this program remember has a bound.
//!
//! Memory is that of the whole process, hostile end included, so each test has a process of its own.

use std::sync::Arc;

use crate::support::alone::is_alone;
use crate::support::any_server::AnyServer;
use crate::support::field::{self, Field};
use crate::support::peer::{Raw, end, frame, header, header_of, hello, push};
use crate::support::{soon, until};
use qft::digest::CHUNK_BYTES;
use qft::protocol::close::CloseCode;
use qft::protocol::message::{Failure, Kind, List, Message, Problem, Status};
use qft::protocol::path::WirePath;
use qft::protocol::{ALPN, BEGUN_BYTES_MAX, FILTERS_MAX, HEADERS_AHEAD_MAX};
use qft::server::limits::{FLOOR_BYTES, MEMORY_BYTES};
use qft::server::{Access, AccessMode, Notice, Server};
use qft::testing::storage::Filters;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, ConnectionError, Endpoint, TransportConfig};
use rcgen::{CertificateParams, KeyPair, PKCS_ED25519};
use rustls::crypto::ring;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

const MIB: usize = 1 << 20;

/// Buffers of both ends' QUIC, threads, what the allocator keeps.
const SLACK: usize = 128 * MIB;
/// The same where next to no content moves: it takes up to 27 MiB, so less has to be said until more would show.
const SLACK_OF_WORDS: usize = 48 * MIB;

/// The memory of this process since a test began.
struct Memory {
    before: usize,
}

impl Memory {
    /// `None` where the test of that name has run in another process.
    fn watch(test: &str) -> Option<Self> {
        is_alone(&format!("memory::{test}")).then(|| Self { before: resident() })
    }

    fn grew_less_than(&self, bound: usize) {
        let grown = resident().saturating_sub(self.before);
        assert!(grown < bound, "{} MiB more, {} allowed", grown / MIB, bound / MIB);
    }
}

/// Resident bytes of this process.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

#[tokio::test]
async fn a_frame_that_claims_a_gigabyte_reserves_nothing() {
    let Some(memory) = Memory::watch("a_frame_that_claims_a_gigabyte_reserves_nothing") else { return };
    let field = Field::new();
    let mut peer = field.pushing().await;
    peer.say_bytes(&(1_u32 << 30).to_le_bytes()).await;
    peer.say_bytes(&vec![0; MIB]).await;
    field.ends_with(&peer, CloseCode::Violation).await;
    memory.grew_less_than(SLACK);
}

#[tokio::test]
async fn chunks_that_are_begun_and_not_completed_are_bounded() {
    let Some(memory) = Memory::watch("chunks_that_are_begun_and_not_completed_are_bounded") else { return };
    let field = Field::new();
    let mut peer = field.pushing().await;
    let chunks = 2 * BEGUN_BYTES_MAX as u64 / CHUNK_BYTES;
    peer.offer(0, "x", chunks * CHUNK_BYTES).await;
    let mut streams = Vec::new();
    for chunk in 0..chunks {
        let Ok((mut send, recv)) = peer.connection.open_bi().await else { break };
        let header = qft::protocol::range::RangeHeader {
            id: qft::protocol::message::FileId(0),
            offset: chunk * CHUNK_BYTES,
            len: CHUNK_BYTES,
            timing: qft::protocol::range::RangeTiming::Asked,
        };
        let _ = send.write_all(&header.to_bytes()).await;
        let _ = send.write_all(b"x").await;
        streams.push((send, recv));
    }
    assert_eq!(peer.closed().await, Some(CloseCode::Violation));
    memory.grew_less_than(BEGUN_BYTES_MAX + SLACK);
    field.ends_with(&peer, CloseCode::Violation).await;
}

/// Begins `count` chunks of a file and leaves a byte of each out.
async fn begin_chunks(peer: &Raw, count: u64) -> Vec<(quinn::SendStream, quinn::RecvStream)> {
    let most = vec![b'x'; CHUNK_BYTES as usize - 1];
    let mut streams = Vec::new();
    for chunk in 0..count {
        streams.push(peer.begin(0, chunk * CHUNK_BYTES, CHUNK_BYTES, &most).await);
    }
    streams
}

#[tokio::test]
async fn chunks_begun_by_many_clients_take_no_more_than_the_server_has_for_all() {
    const CLIENTS: usize = 8;
    const CHUNKS: u64 = 80;
    let Some(memory) = Memory::watch("chunks_begun_by_many_clients_take_no_more_than_the_server_has_for_all") else {
        return;
    };
    let keys: Vec<_> = (0..CLIENTS).map(|_| field::identity()).collect();
    let place = tempfile::tempdir().unwrap();
    let access = Access::Only(keys.iter().map(|key| key.fingerprint()).collect());
    let server =
        Server::builder(place.path().join("root"), field::identity()).access(access).sync(false).start().unwrap();
    let mut held = Vec::new();
    for (n, key) in keys.iter().enumerate() {
        let mut peer = Raw::greeted(&server, key).await;
        peer.say(&push()).await;
        peer.offer(0, &format!("of {n}"), CHUNKS * CHUNK_BYTES).await;
        let streams = soon("all chunks", begin_chunks(&peer, CHUNKS)).await;
        held.push((peer, streams));
    }
    // All was sent, and all but the last bytes were taken: who finds no memory has its file.
    memory.grew_less_than(MEMORY_BYTES + CLIENTS * FLOOR_BYTES + SLACK);
    // It costs nobody's transfer: all of them end as they should.
    for (n, (mut peer, mut streams)) in held.into_iter().enumerate() {
        for (send, _) in &mut streams {
            send.write_all(b"x").await.unwrap();
            send.finish().unwrap();
        }
        let whole = vec![b'x'; (CHUNKS * CHUNK_BYTES) as usize];
        peer.say(&peer.tail(0, &whole, CHUNKS)).await;
        peer.is_done(0).await;
        assert!(std::fs::read(place.path().join("root").join(format!("of {n}"))).unwrap() == whole);
        peer.leave().await;
    }
}

#[tokio::test]
async fn a_directory_that_is_offered_over_and_over_takes_no_more_room() {
    const TIMES: u64 = 16_000;
    let Some(memory) = Memory::watch("a_directory_that_is_offered_over_and_over_takes_no_more_room") else { return };
    let field = Field::new();
    let mut peer = field.pushing().await;
    let name = vec!["d".repeat(250); 14].join("/");
    for batch in 0..TIMES / 1000 {
        for id in batch * 1000..(batch + 1) * 1000 {
            peer.say_bytes(&frame(&header_of(id, &name, Kind::Dir, 0))).await;
        }
        for _ in 0..1000 {
            peer.hear_pos().await;
        }
    }
    // 56 MB of names were said.
    memory.grew_less_than(SLACK_OF_WORDS);
    peer.say(&end(TIMES)).await;
    assert_eq!(peer.hear().await, Some(Message::Settled));
    peer.leave().await;
}

#[tokio::test]
async fn problems_without_end_are_not_all_remembered() {
    const TIMES: usize = 400_000;
    let Some(memory) = Memory::watch("problems_without_end_are_not_all_remembered") else { return };
    let field = Field::new();
    let mut peer = field.pushing().await;
    for batch in 0..TIMES / 1000 {
        let one =
            |n| frame(&Message::Problem(Problem::new(format!("{batch} {n}"), Failure::new(Status::NotFound, ""))));
        peer.say_bytes(&(0..1000).flat_map(one).collect::<Vec<u8>>()).await;
    }
    peer.say(&end(0)).await;
    assert_eq!(peer.hear().await, Some(Message::Settled));
    memory.grew_less_than(SLACK_OF_WORDS);
    peer.leave().await;
    field.honest_client_is_served().await;
}

#[tokio::test]
async fn jobs_without_end_are_not_all_remembered() {
    const TIMES: usize = 80_000;
    let Some(memory) = Memory::watch("jobs_without_end_are_not_all_remembered") else { return };
    let field = Field::new();
    let mut peer = field.greeted().await;
    let pair = [frame(&push()), frame(&end(0))].concat();
    for _ in 0..TIMES / 1000 {
        peer.say_bytes(&pair.repeat(1000)).await;
        for _ in 0..1000 {
            assert_eq!(peer.hear().await, Some(Message::Settled));
        }
    }
    memory.grew_less_than(SLACK_OF_WORDS);
    peer.leave().await;
    field.honest_client_is_served().await;
}

#[tokio::test]
async fn lists_do_not_take_a_thread_each() {
    let Some(memory) = Memory::watch("lists_do_not_take_a_thread_each") else { return };
    let field = Field::new();
    for n in 0..20_000 {
        field::write(&field.path(&format!("{:03}/{n}", n % 200)), b"");
    }
    let mut peer = field.greeted().await;
    let list = frame(&Message::List(List { pattern: Vec::new(), recursive: true }));
    peer.say_bytes(&list.repeat(10_000)).await;
    field.ends_with(&peer, CloseCode::Violation).await;
    memory.grew_less_than(SLACK);
}

/// A client that takes next to nothing, of which it tells QUIC from the start.
async fn narrow(server: &Server) -> (Endpoint, quinn::Connection) {
    let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let certificate = CertificateParams::new(vec!["narrow".to_owned()]).unwrap().self_signed(&key).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let mut tls = rustls::ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(AnyServer::verifier())
        .with_client_auth_cert(vec![certificate.der().clone()], key)
        .unwrap();
    tls.alpn_protocols = vec![ALPN.to_vec()];
    let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
    let mut transport = TransportConfig::default();
    transport.receive_window(4096_u32.into()).stream_receive_window(4096_u32.into());
    config.transport_config(Arc::new(transport));
    let endpoint = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    let connecting = endpoint.connect_with(config, server.local_addr(), "narrow").unwrap();
    let connection = soon("the handshake", connecting).await.unwrap();
    (endpoint, connection)
}

#[tokio::test]
async fn a_peer_that_asks_on_and_on_without_reading_the_answers_is_shut_out() {
    let Some(memory) = Memory::watch("a_peer_that_asks_on_and_on_without_reading_the_answers_is_shut_out") else {
        return;
    };
    let place = tempfile::tempdir().unwrap();
    let builder = Server::builder(place.path().join("root"), field::identity());
    let server = builder.access(Access::Anyone).mode(AccessMode::ReadOnly).start().unwrap();
    let (_endpoint, connection) = narrow(&server).await;
    let (mut send, _recv) = connection.open_bi().await.unwrap();
    send.write_all(&[frame(&hello()), frame(&push())].concat()).await.unwrap();
    let batch = HEADERS_AHEAD_MAX as u64 / 2;
    let mut next = 0;
    // Every header is refused; the next are sent when all before were, so that none is one too many.
    while connection.close_reason().is_none() {
        let headers: Vec<u8> = (next..next + batch).flat_map(|id| frame(&header(id, &format!("{id}"), 1))).collect();
        next += batch;
        let _ = send.write_all(&headers).await;
        let mut refused = 0;
        while refused < batch && connection.close_reason().is_none() {
            tokio::select! {
                notice = server.notice() => refused += u64::from(matches!(notice, Some(Notice::Failed { .. }))),
                _ = connection.closed() => {}
            }
        }
        assert!(next < 1_000_000, "the answers pile up");
    }
    let Some(ConnectionError::ApplicationClosed(close)) = connection.close_reason() else {
        panic!("{:?}", connection.close_reason())
    };
    assert_eq!(CloseCode::from_code(close.error_code.into_inner()), Some(CloseCode::Violation));
    assert_eq!(&close.reason[..], b"answers are not being read");
    memory.grew_less_than(SLACK);
    until("the connection's end", || server.active().iter().all(|active| *active == 0)).await;
}

#[test]
fn filters_take_no_more_memory_than_is_counted_for_them() {
    if !is_alone("memory::filters_take_no_more_memory_than_is_counted_for_them") {
        return;
    }
    let mut peak_before = peak();
    // What is freed serves the next ones, so those that take more come later.
    for (unit, count) in [("{ab,cd}", FILTERS_MAX), ("a", 200), ("*a", 8), ("?", 20), ("?", 60), ("[!a]", 60)] {
        let times = if unit.starts_with('{') { 16 } else { 1000 / unit.len() };
        let lines: Vec<String> = (0..count).map(|number| format!("{number}{}", unit.repeat(times))).collect();
        let filters = Filters::new(&lines, &[]);
        let is_made = filters
            .as_ref()
            .is_ok_and(|filters| !filters.leaves_out(&WirePath::parse(b"no/such/name").unwrap(), false));
        let (now, counted) = (peak(), Filters::memory_bytes(&lines));
        let grown = now.saturating_sub(peak_before);
        let text: usize = lines.iter().map(String::len).sum();
        println!("{count} lines of {unit}: {text} bytes took {grown}, {counted} counted, made: {is_made}");
        assert!(grown <= counted + MIB, "{count} lines of {unit}: {grown} bytes, {counted} counted");
        peak_before = now;
    }
}

/// The most bytes that this process has had in memory.
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}
