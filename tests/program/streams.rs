//! What clients can make a server hold with streams alone.

use std::net::SocketAddr;
use std::time::Duration;

use qft::digest::CHUNK_BYTES;
use qft::protocol::message::FileId;
use qft::protocol::range::{RangeHeader, RangeTiming};
use qft::server::CLIENTS_MAX;
use qft::server::limits::{ADDRESS_SHARE, STREAM_BYTES, STREAMS_BYTES};
use quinn::{RecvStream, SendStream};

use crate::support::bin::{Machine, Serve};
use crate::support::field::identity;
use crate::support::peer::{Raw, push};

const MIB: u64 = 1 << 20;
/// What a server takes at most, whatever its clients do.
const MEMORY_MAX: u64 = 512 * MIB;
/// How long a client waits for one more stream until it takes it that there is none.
const NO_MORE: Duration = Duration::from_millis(100);
/// Small files of an honest client.
const FILES: usize = 500;

/// A client that holds as many streams as it gets.
struct Hoarder {
    _peer: Raw,
    streams: Vec<(SendStream, RecvStream)>,
}

impl Hoarder {
    async fn new(serve: &Serve, key: &qft::keys::Identity) -> Self {
        let addr: SocketAddr = serve.address().parse().expect("an address");
        let mut peer = Raw::greeted_at(addr, serve.fingerprint().parse().expect("a key"), key).await;
        peer.say(&push()).await;
        peer.offer(0, &format!("of {}", key.fingerprint()), 16 << 40).await;
        let mut streams = Vec::new();
        // A range of more than a chunk, of which nothing comes: the server is to tell how much is written.
        while let Ok(Ok((mut send, recv))) = tokio::time::timeout(NO_MORE, peer.connection.open_bi()).await {
            let offset = 2 * CHUNK_BYTES * streams.len() as u64;
            let header = RangeHeader { id: FileId(0), offset, len: 2 * CHUNK_BYTES, timing: RangeTiming::Asked };
            send.write_all(&header.to_bytes()).await.expect("the stream is open");
            streams.push((send, recv));
        }
        Self { _peer: peer, streams }
    }
}

#[test]
fn streams_of_many_clients_take_no_more_than_the_server_has_for_all() {
    let (server, honest) = (Machine::new(), Machine::new());
    let keys: Vec<_> = (0..CLIENTS_MAX).map(|_| identity()).collect();
    for (n, key) in keys.iter().map(|key| key.fingerprint().to_string()).chain([honest.fingerprint()]).enumerate() {
        server.run(&format!("peers allow {key} --name client{n}")).exits(0);
    }
    std::fs::create_dir(server.path("served")).expect("a new directory");
    let serve = server.serve("served", &format!("--no-sync --max-clients {}", ADDRESS_SHARE * (CLIENTS_MAX + 1)));
    let before = serve.resident();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let hoarders = runtime.block_on(async {
        let mut hoarders = Vec::new();
        for key in &keys {
            // Each comes when those before it have all that they get.
            hoarders.push(Hoarder::new(&serve, key).await);
        }
        hoarders
    });
    let counts: Vec<_> = hoarders.iter().map(|hoarder| hoarder.streams.len()).collect();
    let (all, taken) = (counts.iter().sum::<usize>(), serve.resident().saturating_sub(before));
    println!("{all} streams, the first {:?}, the last {:?}: {} MiB", counts.first(), counts.last(), taken / MIB);
    println!("{} bytes a stream, and {STREAM_BYTES} are counted for one", taken / all as u64);
    assert!(all > STREAMS_BYTES / STREAM_BYTES, "there is more than one client's part: {all}");
    // Who comes last gets less, and all of its files through.
    for n in 0..FILES {
        honest.write(&format!("small/{n}"), format!("{n}"));
    }
    honest.run(&format!("send small {} --no-sync -q", serve.pinned())).exits(0);
    assert_eq!(server.tree("served/small").len(), FILES);
    assert!(serve.most_resident() < MEMORY_MAX, "{} MiB", serve.most_resident() / MIB);
    let _inside = runtime.enter();
    drop(hoarders);
}
