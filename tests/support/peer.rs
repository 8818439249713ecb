//! A peer that speaks the wire by hand, so that it can say anything at any time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use qft::congestion::ControllerConfig;
use qft::digest::{self, CHUNK_BYTES, ChunkHasher, Digest, Salt};
use qft::keys::{Fingerprint, Identity, Ticket};
use qft::protocol::close::CloseCode;
use qft::protocol::codec::{self, Decoder};
use qft::protocol::features;
use qft::protocol::message::{
    End, FileId, Get, Header, Hello, IfExists, Kind, Message, Mtime, Pos, Push, Tail, Target, Verdict, Welcome, Why,
};
use qft::protocol::path::WirePath;
use qft::protocol::range::{RangeHeader, RangeTiming};
use qft::server::Server;
use qft::transport::{self, Listener, Tuning};
use quinn::{Connection, Endpoint, RecvStream, SendStream, TransportConfig};

use super::field::identity;
use super::relay::Relay;
use super::{LONG, soon};

/// Stands for a name in a frame until a hostile one is put in its place.
const PLACEHOLDER: &[u8] = b"QQQQ";

/// One end of a connection, without any manners.
pub struct Raw {
    pub connection: Connection,
    pub hasher: ChunkHasher,
    send: SendStream,
    recv: RecvStream,
    decoder: Decoder,
    /// Of a client. Dropping it would say farewell.
    endpoint: Option<Endpoint>,
}

/// The usual values of a connection.
pub fn tuning() -> Tuning {
    Tuning::new(Arc::new(ControllerConfig::default()))
}

/// A connection whose control stream is not open yet.
pub async fn dial(server: &Server, identity: &Identity, tuning: &Tuning) -> transport::Dialled {
    let addr = server.local_addr();
    transport::connect(&[addr], server.fingerprint(), identity, tuning, LONG).await.unwrap()
}

impl Raw {
    /// As a client: the control stream is open, nothing has been said.
    pub async fn connect(server: &Server, identity: &Identity) -> Self {
        Self::connect_with(server, identity, &tuning()).await
    }

    pub async fn connect_with(server: &Server, identity: &Identity, tuning: &Tuning) -> Self {
        Self::dialled(dial(server, identity, tuning).await).await
    }

    async fn dialled(dialled: transport::Dialled) -> Self {
        let (send, recv) = dialled.connection.open_bi().await.unwrap();
        // It takes whatever the server sends.
        transport::open_up(&dialled.connection);
        Self::new(dialled.connection, send, recv, Some(dialled.endpoint))
    }

    /// As a client: let in.
    pub async fn greeted(server: &Server, identity: &Identity) -> Self {
        Self::greeted_with(server, identity, &tuning()).await
    }

    pub async fn greeted_with(server: &Server, identity: &Identity, tuning: &Tuning) -> Self {
        Self::greeted_by(server, identity, tuning, &hello()).await
    }

    /// As a client that finds the server at the end of a relay: let in.
    pub async fn greeted_through(relay: &Relay, server: &Server, identity: &Identity) -> Self {
        Self::greeted_at(relay.addr(), server.fingerprint(), identity).await
    }

    /// As a client of a server elsewhere: let in.
    pub async fn greeted_at(addr: SocketAddr, server: Fingerprint, identity: &Identity) -> Self {
        let dialled = transport::connect(&[addr], server, identity, &tuning(), LONG).await.unwrap();
        Self::dialled(dialled).await.greet(&hello()).await
    }

    /// As a client that greets like this: let in.
    pub async fn greeted_by(server: &Server, identity: &Identity, tuning: &Tuning, hello: &Message) -> Self {
        Self::connect_with(server, identity, tuning).await.greet(hello).await
    }

    async fn greet(self, hello: &Message) -> Self {
        let mut peer = self;
        peer.say(hello).await;
        let welcome = peer.hear().await;
        assert!(matches!(welcome, Some(Message::Welcome(_))), "{welcome:?}");
        peer
    }

    fn new(connection: Connection, send: SendStream, recv: RecvStream, endpoint: Option<Endpoint>) -> Self {
        let hasher = ChunkHasher::new(&Salt(transport::session_salt(&connection).unwrap()));
        Self { connection, hasher, send, recv, decoder: Decoder::new(), endpoint }
    }

    pub async fn say(&mut self, message: &Message) {
        self.say_bytes(&frame(message)).await;
    }

    /// Says bytes, or nothing when the other end has closed the connection already; that it did, and why, is for
    /// [`Raw::closed`].
    pub async fn say_bytes(&mut self, bytes: &[u8]) {
        let _ = soon("the write", self.send.write_all(bytes)).await;
    }

    /// The next message but reports on the link; `None` when there will be none.
    pub async fn hear(&mut self) -> Option<Message> {
        soon("a message", async {
            let mut buffer = vec![0; 64 * 1024];
            loop {
                match self.decoder.next().expect("a real end speaks well") {
                    Some(Message::Link(_)) => continue,
                    Some(message) => return Some(message),
                    None => {}
                }
                match self.recv.read(&mut buffer).await {
                    Ok(Some(count)) => self.decoder.push(&buffer[..count]),
                    Ok(None) => return None,
                    Err(error) => {
                        // Where a message was expected, the test's output tells why there is none.
                        eprintln!("no more messages: {error} ({:?})", self.connection.close_reason());
                        return None;
                    }
                }
            }
        })
        .await
    }

    /// The next message, which is an answer to an offer.
    pub async fn hear_pos(&mut self) -> Pos {
        match self.hear().await {
            Some(Message::Pos(pos)) => pos,
            other => panic!("{other:?} instead of an answer ({:?})", self.connection.close_reason()),
        }
    }

    /// Offers a new file and sees it wanted from its start.
    pub async fn offer(&mut self, id: u64, name: &str, size: u64) {
        self.say(&header(id, name, size)).await;
        let pos = self.hear_pos().await;
        let Verdict::From { offset: 0, why: Why::New } = pos.verdict else { panic!("{pos:?}") };
    }

    /// The code that the other end closed the connection with.
    pub async fn closed(&self) -> Option<CloseCode> {
        let error = soon("the connection's end", self.connection.closed()).await;
        let code = transport::closed_by(&error);
        assert!(code.is_some(), "{error}");
        code
    }

    /// Opens a data stream and writes its header and some bytes; it is not finished.
    pub async fn begin(&self, id: u64, offset: u64, len: u64, bytes: &[u8]) -> (SendStream, RecvStream) {
        self.announce(RangeHeader { id: FileId(id), offset, len, timing: RangeTiming::Asked }, bytes).await
    }

    /// The same ahead of an answer.
    pub async fn begin_early(&self, id: u64, offset: u64, len: u64, bytes: &[u8]) -> (SendStream, RecvStream) {
        self.announce(RangeHeader { id: FileId(id), offset, len, timing: RangeTiming::Early }, bytes).await
    }

    async fn announce(&self, header: RangeHeader, bytes: &[u8]) -> (SendStream, RecvStream) {
        let (mut send, recv) = soon("a stream", self.connection.open_bi()).await.unwrap();
        let _ = send.write_all(&header.to_bytes()).await;
        let _ = send.write_all(bytes).await;
        (send, recv)
    }

    /// Sends one whole range. The other half is dropped, which is no rule broken: reports need not be read.
    pub async fn range(&self, id: u64, offset: u64, bytes: &[u8]) {
        let (mut send, _) = self.begin(id, offset, bytes.len() as u64, bytes).await;
        let _ = send.finish();
    }

    /// The digest of a whole file.
    pub fn root(&self, bytes: &[u8]) -> Digest {
        digest::root(bytes.chunks(CHUNK_BYTES as usize).map(|chunk| self.hasher.chunk(chunk)), bytes.len() as u64)
    }

    /// The right closing of a file.
    pub fn tail(&self, id: u64, bytes: &[u8], ranges: u64) -> Message {
        Message::Tail(Tail { id: FileId(id), root: self.root(bytes), ranges, early: false })
    }

    /// The same ahead of an answer.
    pub fn tail_early(&self, id: u64, bytes: &[u8], ranges: u64) -> Message {
        Message::Tail(Tail { id: FileId(id), root: self.root(bytes), ranges, early: true })
    }

    /// Sends a new file as it should be sent and sees it done.
    pub async fn send_well(&mut self, id: u64, name: &str, bytes: &[u8]) {
        self.offer(id, name, bytes.len() as u64).await;
        self.range(id, 0, bytes).await;
        self.say(&self.tail(id, bytes, 1)).await;
        self.is_done(id).await;
    }

    /// The next message says that a file is done.
    pub async fn is_done(&mut self, id: u64) {
        let done = self.hear().await;
        let Some(Message::Done(done)) = done else { panic!("{done:?}") };
        assert_eq!((done.id, done.failure), (FileId(id), None));
    }

    /// Ends as a client should.
    pub async fn leave(self) {
        transport::close(&self.connection, CloseCode::Done, "");
        if let Some(endpoint) = &self.endpoint {
            soon("the farewell", endpoint.wait_idle()).await;
        }
    }

    /// Never speaks again and never ends: what a machine does that lost its power. To be called on a runtime that
    /// ends right after.
    pub fn vanish(self) {
        std::mem::forget(self);
    }
}

/// A server that is not what it seems.
pub struct RawServer {
    listener: Listener,
    identity: Identity,
    /// How many bytes of one stream clients may send before some of it was read; `None` for the usual.
    stream_window: Option<u32>,
}

impl RawServer {
    pub fn new() -> Self {
        let identity = identity();
        let listener = transport::listen("127.0.0.1:0".parse().unwrap(), &identity, &tuning()).unwrap();
        Self { listener, identity, stream_window: None }
    }

    /// One that lets nobody send more than `bytes` of a stream that it does not read.
    pub fn with_stream_window(bytes: u32) -> Self {
        Self { stream_window: Some(bytes), ..Self::new() }
    }

    pub fn ticket(&self) -> Ticket {
        let (fingerprint, port) = (self.identity.fingerprint(), self.listener.local_addr().port());
        Ticket { fingerprint, invite: None, host: "127.0.0.1".to_owned(), port }
    }

    /// The next client, which has said nothing that was heard yet.
    pub async fn accept(&self) -> Raw {
        let incoming = soon("a client", self.listener.next()).await.expect("the listener is open");
        let mut config = self.listener.server_config_for(incoming.remote_address());
        if let Some(bytes) = self.stream_window {
            let mut transport = TransportConfig::default();
            transport.stream_receive_window(bytes.into());
            Arc::make_mut(&mut config).transport_config(Arc::new(transport));
        }
        let connection = transport::accept(incoming, config, LONG).await.unwrap();
        let (send, recv) = soon("the control stream", connection.accept_bi()).await.unwrap();
        transport::open_up(&connection);
        Raw::new(connection, send, recv, None)
    }

    /// The next client, welcomed; its job has been heard.
    pub async fn welcome(&self) -> Raw {
        self.welcome_with(features::NONE).await
    }

    /// The next client, welcomed with features that both sides are to use.
    pub async fn greet_with(&self, features: u64) -> Raw {
        let mut peer = self.accept().await;
        assert!(matches!(peer.hear().await, Some(Message::Hello(_))));
        peer.say(&Message::Welcome(Welcome::new(features, "impostor", false))).await;
        peer
    }

    /// The same; its job has been heard.
    pub async fn welcome_with(&self, features: u64) -> Raw {
        let mut peer = self.greet_with(features).await;
        let job = peer.hear().await;
        assert!(matches!(job, Some(Message::Push(_) | Message::Get(_) | Message::List(_))), "{job:?}");
        peer
    }
}

pub fn frame(message: &Message) -> Vec<u8> {
    let mut bytes = Vec::new();
    codec::encode(message, &mut bytes).unwrap();
    bytes
}

/// A header with a name that no [`WirePath`] can hold.
pub fn header_named(raw: &[u8]) -> Vec<u8> {
    with_name(&header(0, std::str::from_utf8(PLACEHOLDER).unwrap(), 1), raw)
}

/// A push to a directory with a name that no [`WirePath`] can hold.
pub fn push_to(raw: &[u8]) -> Vec<u8> {
    let Message::Push(push) = push() else { unreachable!("it is a push") };
    with_name(&Message::Push(Push { to: Some(path(std::str::from_utf8(PLACEHOLDER).unwrap())), ..push }), raw)
}

/// The frame of `message` with `raw` in the place of the placeholder; both are shorter than 251 bytes, so their
/// length is one byte.
fn with_name(message: &Message, raw: &[u8]) -> Vec<u8> {
    let bytes = frame(message);
    let at = bytes.windows(PLACEHOLDER.len()).position(|window| window == PLACEHOLDER).unwrap();
    let payload = [&bytes[4..at - 1], &[raw.len() as u8], raw, &bytes[at + PLACEHOLDER.len()..]].concat();
    [&(payload.len() as u32).to_le_bytes(), &payload[..]].concat()
}

pub fn path(name: &str) -> WirePath {
    WirePath::parse(name.as_bytes()).unwrap()
}

pub fn hello() -> Message {
    hello_with(features::NONE)
}

pub fn hello_with(features: u64) -> Message {
    Message::Hello(Hello::new(features, "hostile", None))
}

pub fn push() -> Message {
    push_into(None)
}

pub fn push_into(to: Option<&str>) -> Message {
    let (to, target, if_exists) = (to.map(path), Target::Directory, IfExists::Replace);
    Message::Push(Push { to, target, if_exists, checksum: false, dry_run: false, resume: true })
}

pub fn get(pattern: &str) -> Message {
    Message::Get(Get { patterns: vec![pattern.as_bytes().to_vec()], filters: Vec::new(), links: false, early: false })
}

pub fn header(id: u64, name: &str, size: u64) -> Message {
    header_of(id, name, Kind::File, size)
}

pub fn header_of(id: u64, name: &str, kind: Kind, size: u64) -> Message {
    let mtime = Mtime { secs: 1_000_000_000, nanos: 0 };
    Message::Header(Header { id: FileId(id), path: path(name), kind, size, mtime, mode: 0o755 })
}

pub fn end(files: u64) -> Message {
    Message::End(End { files, bytes: 0 })
}

/// A connection that ends itself when it hears nothing for so long; the server does alike.
pub fn impatient(idle: Duration) -> Tuning {
    Tuning { idle_timeout: idle, ..tuning() }
}
