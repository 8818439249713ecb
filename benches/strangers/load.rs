//! What hostile clients and strangers do, by hand.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use qft::digest::{CHUNK_BYTES, Digest};
use qft::protocol::codec::{self, Decoder};
use qft::protocol::features;
use qft::protocol::message::{
    FileId, Get, Header, Hello, IfExists, Kind, Message, Mtime, Push, Tail, Target as To, Verdict,
};
use qft::protocol::path::WirePath;
use qft::protocol::range::{RangeHeader, Turn};
use qft::transport::congestion::ControllerConfig;
use qft::transport::{self, Fingerprint, Identity, Tuning};
use quinn::{Connection, Endpoint, RecvStream, SendStream};

use super::Flag;

/// Enrolled keys that do their worst.
const HOSTILE: usize = 4;
const DEADLINE: Duration = Duration::from_secs(10);
/// The longest that a load waits for an answer that may never come.
const ANSWER: Duration = Duration::from_secs(5);

/// A server under load, and the keys that it knows.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) hostile: Vec<Identity>,
    pub(crate) reader: Identity,
    pub(crate) victim: Identity,
    addr: SocketAddr,
    key: Option<Fingerprint>,
}

/// A kind of load.
pub(crate) struct Load {
    pub(crate) name: &'static str,
    run: fn(&Target, &Work),
}

pub(crate) const LOADS: [Load; 7] = [
    Load { name: "nothing", run: |_, _| {} },
    Load { name: "40 sparse offers of 16 TiB, again and again", run: |target, work| repeat(target, work, sparse) },
    Load { name: "1000 patterns over 5000 files, and gone", run: |target, work| repeat(target, work, patterns) },
    Load { name: "8000 streams of one byte, held", run: |target, work| repeat(target, work, streams) },
    Load { name: "100,000 refused headers, again and again", run: |target, work| repeat(target, work, refused) },
    Load { name: "1000 strangers that shake hands", run: strangers },
    Load { name: "64 MiB a second of garbage", run: garbage },
];

/// What stops a load, and how often it did its worst.
#[derive(Default)]
pub(crate) struct Work {
    over: AtomicBool,
    done: AtomicU64,
}

impl Work {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    fn count(&self) {
        self.done.fetch_add(1, Ordering::Relaxed);
    }
}

/// A load that runs until it is dropped.
pub(crate) struct Running {
    work: Arc<Work>,
    thread: Option<JoinHandle<()>>,
}

impl Load {
    pub(crate) fn start(&self, target: &Target) -> Running {
        let work = Arc::<Work>::default();
        let (run, target, own) = (self.run, target.clone(), work.clone());
        let thread = Some(std::thread::spawn(move || run(&target, &own)));
        // It is to be in full swing.
        std::thread::sleep(Duration::from_secs(1));
        Running { work, thread }
    }
}

impl Running {
    /// How often it did its worst.
    pub(crate) fn stop(self) -> u64 {
        let work = self.work.clone();
        drop(self);
        work.done.load(Ordering::Relaxed)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.work.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A client that is inside and does nothing.
pub(crate) struct Inside {
    over: Flag,
    thread: JoinHandle<()>,
}

impl Inside {
    pub(crate) fn wait_for_the_end(self) {
        self.thread.join().expect("it waits for its end");
        assert!(self.over.load(Ordering::Relaxed), "it was let in and put out");
    }
}

impl Target {
    pub(crate) fn new() -> Self {
        let identity = || Identity::ephemeral().expect("a key");
        let hostile = (0..HOSTILE).map(|_| identity()).collect();
        Self { hostile, reader: identity(), victim: identity(), addr: ([127, 0, 0, 1], 0).into(), key: None }
    }

    pub(crate) fn at(self, addr: &str, key: &str) -> Self {
        Self { addr: addr.parse().expect("an address"), key: Some(key.parse().expect("a fingerprint")), ..self }
    }

    /// The client that is to be revoked, once it is inside.
    pub(crate) fn victim_inside(&self) -> Inside {
        let (over, target) = (Flag::default(), self.clone());
        let (ended, (inside, is_inside)) = (over.clone(), std::sync::mpsc::channel());
        let thread = std::thread::spawn(move || {
            runtime().block_on(async {
                let peer = Peer::greeted(&target, &target.victim).await.expect("the victim is let in");
                inside.send(()).expect("somebody waits");
                peer.connection.closed().await;
                ended.store(true, Ordering::Relaxed);
            });
        });
        is_inside.recv().expect("the victim gets in");
        Inside { over, thread }
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

fn tuning() -> Tuning {
    Tuning::new(Arc::new(ControllerConfig::default()))
}

/// A connection without manners.
struct Peer {
    connection: Connection,
    _endpoint: Endpoint,
    send: SendStream,
    recv: RecvStream,
    decoder: Decoder,
}

impl Peer {
    async fn greeted(target: &Target, identity: &Identity) -> Option<Self> {
        let key = target.key.expect("the server runs");
        let dialled = transport::connect(&[target.addr], key, identity, &tuning(), DEADLINE).await.ok()?;
        let (send, recv) = dialled.connection.open_bi().await.ok()?;
        let (connection, endpoint) = (dialled.connection, dialled.endpoint);
        let mut peer = Self { connection, _endpoint: endpoint, send, recv, decoder: Decoder::new() };
        peer.say(&Message::Hello(Hello::new(features::NONE, "hostile", None))).await?;
        matches!(peer.hear().await?, Message::Welcome(_)).then_some(peer)
    }

    async fn say(&mut self, message: &Message) -> Option<()> {
        let mut bytes = Vec::new();
        codec::encode(message, &mut bytes).expect("within the limits");
        self.send.write_all(&bytes).await.ok()
    }

    async fn hear(&mut self) -> Option<Message> {
        let hearing = async {
            let mut buffer = vec![0; 64 * 1024];
            loop {
                if let Some(message) = self.decoder.next().ok()? {
                    return Some(message);
                }
                let count = self.recv.read(&mut buffer).await.ok()??;
                self.decoder.push(&buffer[..count]);
            }
        };
        tokio::time::timeout(ANSWER, hearing).await.ok()?
    }

    async fn push(&mut self) -> Option<()> {
        let (to, target, if_exists) = (None, To::Directory, IfExists::Replace);
        self.say(&Message::Push(Push { to, target, if_exists, checksum: false, dry_run: false, resume: true })).await
    }

    async fn offer(&mut self, id: u64, size: u64) -> Option<()> {
        let path = WirePath::parse(format!("hostile {id}").as_bytes()).expect("a plain name");
        let mtime = Mtime { secs: 1, nanos: 0 };
        self.say(&Message::Header(Header { id: FileId(id), path, kind: Kind::File, size, mtime, mode: 0o644 })).await
    }
}

/// Every hostile key does it on a connection of its own, again and again.
fn repeat(target: &Target, work: &Work, worst: impl AsyncFn(&Target, &Identity) -> Option<()>) {
    runtime().block_on(async {
        let each = target.hostile.iter().map(async |identity| {
            while !work.is_over() {
                if worst(target, identity).await.is_some() {
                    work.count();
                } else {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        });
        let mut all: Vec<_> = each.map(Box::pin).collect();
        std::future::poll_fn(|context| {
            all.retain_mut(|one| one.as_mut().poll(context).is_pending());
            if all.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        })
        .await;
    });
}

async fn sparse(target: &Target, identity: &Identity) -> Option<()> {
    const OFFERS: u64 = 40;
    let mut peer = Peer::greeted(target, identity).await?;
    peer.push().await?;
    for id in 0..OFFERS {
        peer.offer(id, 16 << 40).await?;
    }
    for id in 0..OFFERS {
        let tail = Tail { id: FileId(id), root: Digest([0; 16]), ranges: 0, ahead: false };
        while !matches!(peer.hear().await?, Message::Pos(pos) if pos.id == FileId(id)) {}
        peer.say(&Message::Tail(tail)).await?;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    Some(())
}

async fn patterns(target: &Target, identity: &Identity) -> Option<()> {
    let mut peer = Peer::greeted(target, identity).await?;
    let patterns = vec![b"d/*".to_vec(); 1000];
    peer.say(&Message::Get(Get { patterns, filters: Vec::new(), links: false, ahead: false })).await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    Some(())
}

async fn streams(target: &Target, identity: &Identity) -> Option<()> {
    const STREAMS: u64 = 8000;
    let mut peer = Peer::greeted(target, identity).await?;
    peer.push().await?;
    let mut held = Vec::new();
    for id in 0..STREAMS {
        peer.offer(id, CHUNK_BYTES + 1).await?;
        loop {
            if let Message::Pos(pos) = peer.hear().await?
                && let Verdict::From { .. } = pos.verdict
            {
                break;
            }
        }
        let (mut send, recv) = peer.connection.open_bi().await.ok()?;
        let header = RangeHeader { id: FileId(id), offset: CHUNK_BYTES, len: 1, turn: Turn::Asked };
        send.write_all(&[&header.to_bytes()[..], b"x"].concat()).await.ok()?;
        send.finish().ok()?;
        held.push((send, recv));
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    Some(())
}

async fn refused(target: &Target, _: &Identity) -> Option<()> {
    const HEADERS: u64 = 100_000;
    let mut peer = Peer::greeted(target, &target.reader).await?;
    peer.push().await?;
    for id in 0..HEADERS {
        peer.offer(id, 1).await?;
        if id % 1000 == 999 {
            while !matches!(peer.hear().await?, Message::Pos(pos) if pos.id == FileId(id)) {}
        }
    }
    Some(())
}

/// Without a key, as somebody who only looks at the server's: the most that a handshake can cost it.
fn strangers(target: &Target, work: &Work) {
    const STRANGERS: usize = 1000;
    runtime().block_on(async {
        let mut all = tokio::task::JoinSet::new();
        let addr = target.addr;
        let mut count = 0;
        while !work.is_over() {
            while count < STRANGERS {
                all.spawn(async move { transport::recognise(&[addr], &tuning(), DEADLINE).await.is_ok() });
                count += 1;
            }
            if let Ok(Some(ended)) = tokio::time::timeout(Duration::from_millis(100), all.join_next()).await {
                count -= 1;
                if ended.is_ok_and(|shook| shook) {
                    work.count();
                }
            }
        }
    });
}

fn garbage(target: &Target, work: &Work) {
    const BYTES: usize = 1200;
    const A_SECOND: f64 = (64 << 20) as f64;
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let mut junk: Vec<u8> = (0..BYTES).map(|n| (n * 37 % 251) as u8).collect();
    let (start, mut sent) = (Instant::now(), 0.0);
    while !work.is_over() {
        if sent > start.elapsed().as_secs_f64() * A_SECOND {
            std::thread::sleep(Duration::from_millis(1));
            continue;
        }
        // Long and short headers, with ids that nobody has.
        junk[0] = junk[0].wrapping_add(61);
        junk[5] = junk[5].wrapping_add(1);
        if socket.send_to(&junk, target.addr).is_ok() {
            work.count();
        }
        sent += BYTES as f64;
    }
}
