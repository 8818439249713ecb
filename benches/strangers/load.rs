//! What hostile clients and strangers do, by hand.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use qft::congestion::ControllerConfig;
use qft::digest::{CHUNK_BYTES, Digest};
use qft::keys::{Fingerprint, Identity};
use qft::protocol::codec::{self, Decoder};
use qft::protocol::features;
use qft::protocol::message::{
    FileId, Get, Header, Hello, IfExists, Kind, Message, Mtime, Pos, Push, Tail, Target as To, Verdict, Why,
};
use qft::protocol::path::WirePath;
use qft::protocol::range::{RangeHeader, RangeTiming};
use qft::transport::{self, Tuning};
use quinn::{Connection, Endpoint, RecvStream, SendStream};

use super::Flag;

/// Enrolled keys that do their worst at once where that is the row.
pub(crate) const HOSTILE: usize = 64;
/// The same in the other rows.
const FEW: usize = 4;
const DEADLINE: Duration = Duration::from_secs(10);
/// The longest that a load waits for an answer that may never come.
const ANSWER: Duration = Duration::from_secs(5);

/// How long a load waits for one more stream until it takes it that there is none.
const NO_MORE: Duration = Duration::from_millis(100);

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
    /// What it counts.
    pub(crate) unit: &'static str,
    /// How many enrolled clients it takes.
    pub(crate) keys: usize,
    run: fn(&Target, &Arc<Work>),
}

impl Load {
    const fn new(name: &'static str, unit: &'static str, keys: usize, run: fn(&Target, &Arc<Work>)) -> Self {
        Self { name, unit, keys, run }
    }
}

pub(crate) const LOADS: [Load; 8] = [
    Load::new("nothing", "", 0, |_, _| {}),
    Load::new("40 sparse 16 TiB offers", "files claimed", FEW, |target, work| repeat(target, work, sparse)),
    Load::new("1000 patterns, 5000 files", "requests", FEW, |target, work| repeat(target, work, patterns)),
    Load::new("8000 one-byte streams", "streams", FEW, |target, work| repeat(target, work, streams)),
    Load::new("100,000 refused headers", "headers", FEW, |target, work| repeat(target, work, refused)),
    Load::new("1000 strangers", "handshakes", 0, strangers),
    Load::new("64 MiB/s of garbage", "packets", 0, garbage),
    Load::new("64 clients hold all they can", "things held", HOSTILE, |target, work| repeat(target, work, hold)),
];

/// What stops a load, and how much it has done.
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

    /// Goes on with it for so long, or until it is to stop.
    async fn go_on(&self, time: Duration) {
        let start = Instant::now();
        while !self.is_over() && start.elapsed() < time {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
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
        std::thread::sleep(Duration::from_secs(2));
        Running { work, thread }
    }
}

impl Running {
    /// How much it has done.
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
    pub(crate) fn new(hostile: usize) -> Self {
        let identity = || Identity::ephemeral().expect("a key");
        let hostile = (0..hostile).map(|_| identity()).collect();
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

    /// The answer to an offer.
    async fn hear_pos(&mut self, id: u64) -> Option<Verdict> {
        loop {
            if let Message::Pos(pos) = self.hear().await?
                && pos.id == FileId(id)
            {
                return Some(pos.verdict);
            }
        }
    }

    /// A stream that says it will carry `len` bytes, and carries one.
    async fn one_byte(&self, id: u64, offset: u64, len: u64) -> Option<(SendStream, RecvStream)> {
        let (mut send, recv) = self.connection.open_bi().await.ok()?;
        let header = RangeHeader { id: FileId(id), offset, len, timing: RangeTiming::Asked };
        send.write_all(&[&header.to_bytes()[..], b"x"].concat()).await.ok()?;
        if len == 1 {
            send.finish().ok()?;
        }
        Some((send, recv))
    }

    async fn offer(&mut self, id: u64, size: u64) -> Option<()> {
        let path = WirePath::parse(format!("hostile {id}").as_bytes()).expect("a plain name");
        let mtime = Mtime { secs: 1, nanos: 0 };
        self.say(&Message::Header(Header { id: FileId(id), path, kind: Kind::File, size, mtime, mode: 0o644 })).await
    }
}

/// Every hostile key does it, each on a thread and a connection of its own, again and again.
fn repeat(target: &Target, work: &Work, worst: impl AsyncFn(&Target, &Identity, &Work) -> Option<()> + Copy + Send) {
    std::thread::scope(|scope| {
        for identity in &target.hostile {
            scope.spawn(move || {
                runtime().block_on(async {
                    while !work.is_over() {
                        if worst(target, identity, work).await.is_none() {
                            tokio::time::sleep(Duration::from_millis(50)).await;
                        }
                    }
                });
            });
        }
    });
}

async fn sparse(target: &Target, identity: &Identity, work: &Work) -> Option<()> {
    const OFFERS: u64 = 40;
    let mut peer = Peer::greeted(target, identity).await?;
    peer.push().await?;
    for id in 0..OFFERS {
        peer.offer(id, 16 << 40).await?;
    }
    for id in 0..OFFERS {
        let tail = Tail { id: FileId(id), root: Digest([0; 16]), ranges: 0, early: false };
        peer.hear_pos(id).await?;
        peer.say(&Message::Tail(tail)).await?;
        work.count();
    }
    work.go_on(Duration::from_secs(1)).await;
    Some(())
}

async fn patterns(target: &Target, identity: &Identity, work: &Work) -> Option<()> {
    let mut peer = Peer::greeted(target, identity).await?;
    let patterns = vec![b"d/*".to_vec(); 1000];
    peer.say(&Message::Get(Get { patterns, filters: Vec::new(), links: false, early: false })).await?;
    // The first of the names.
    peer.hear().await?;
    work.count();
    work.go_on(Duration::from_secs(2)).await;
    Some(())
}

async fn streams(target: &Target, identity: &Identity, work: &Work) -> Option<()> {
    const STREAMS: u64 = 8000;
    let mut peer = Peer::greeted(target, identity).await?;
    peer.push().await?;
    let mut held = Vec::new();
    for id in 0..STREAMS {
        peer.offer(id, CHUNK_BYTES + 1).await?;
        if let Verdict::From { .. } = peer.hear_pos(id).await? {
            held.push(peer.one_byte(id, CHUNK_BYTES, 1).await?);
            work.count();
        }
        if work.is_over() {
            return None;
        }
    }
    work.go_on(Duration::from_secs(2)).await;
    Some(())
}

async fn refused(target: &Target, _: &Identity, work: &Work) -> Option<()> {
    const HEADERS: u64 = 100_000;
    const AT_ONCE: u64 = 1000;
    let mut peer = Peer::greeted(target, &target.reader).await?;
    peer.push().await?;
    for first in (0..HEADERS).step_by(AT_ONCE as usize) {
        for id in first..first + AT_ONCE {
            peer.offer(id, 1).await?;
        }
        for id in first..first + AT_ONCE {
            let Verdict::Refuse(_) = peer.hear_pos(id).await? else { return None };
            work.count();
        }
        if work.is_over() {
            break;
        }
    }
    Some(())
}

/// What a client can make a server hold: chunks that are begun, content that it does not read, offers that it does not
/// complete, streams that carry nothing.
async fn hold(target: &Target, identity: &Identity, work: &Work) -> Option<()> {
    // As many chunks as one connection may have begun, but for some.
    const CHUNKS: u64 = 240;
    const OFFERS: u64 = 7000;
    let mut peer = Peer::greeted(target, identity).await?;
    let get = Get { patterns: vec![b"large".to_vec()], filters: Vec::new(), links: false, early: false };
    let mut held = Vec::new();
    peer.say(&Message::Get(get)).await?;
    let Message::Header(header) = peer.hear().await? else { return None };
    let verdict = Verdict::From { offset: 0, why: Why::New };
    peer.say(&Message::Pos(Pos { id: header.id, verdict })).await?;
    let mut pusher = Peer::greeted(target, identity).await?;
    pusher.push().await?;
    pusher.offer(0, 16 << 40).await?;
    pusher.hear_pos(0).await?;
    for chunk in 0..CHUNKS {
        held.push(pusher.one_byte(0, chunk * CHUNK_BYTES, CHUNK_BYTES).await?);
        work.count();
    }
    for id in 1..OFFERS {
        pusher.offer(id, 1).await?;
        work.count();
    }
    while let Ok(opened) = tokio::time::timeout(NO_MORE, pusher.connection.open_bi()).await {
        let (mut send, recv) = opened.ok()?;
        let (id, offset) = (FileId(0), held.len() as u64 * CHUNK_BYTES);
        let header = RangeHeader { id, offset, len: CHUNK_BYTES, timing: RangeTiming::Asked };
        send.write_all(&header.to_bytes()).await.ok()?;
        held.push((send, recv));
        work.count();
    }
    work.go_on(Duration::from_secs(60)).await;
    Some(())
}

/// Without a key, as somebody who only looks at the server's: the most that a handshake can cost it.
fn strangers(target: &Target, work: &Arc<Work>) {
    const STRANGERS: usize = 1000;
    runtime().block_on(async {
        let mut all = tokio::task::JoinSet::new();
        for _ in 0..STRANGERS {
            let (addr, work) = (target.addr, work.clone());
            all.spawn(async move {
                while !work.is_over() {
                    if transport::recognise(&[addr], &tuning(), DEADLINE).await.is_ok() {
                        work.count();
                    }
                }
            });
        }
        work.go_on(Duration::MAX).await;
    });
}

fn garbage(target: &Target, work: &Arc<Work>) {
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
