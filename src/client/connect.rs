//! From a contact to a greeted connection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use quinn::{Connection, Endpoint, RecvStream};
use tokio::time::{Instant, timeout, timeout_at};

use super::Client;
use super::attempt::Attempt;
use super::call::{Answered, DialTask};
use super::standby::Standby;
use crate::congestion::PathState;
use crate::digest::{ChunkHasher, Salt};
use crate::error::Error;
use crate::keys::{Contact, Token};
use crate::progress::{Counters, Event, Observer};
use crate::protocol::close::CloseCode;
use crate::protocol::features;
use crate::protocol::message::{EitherMessage, Hello, Message, Problem, SenderMessage, ServerMessage, Spoken, Welcome};
use crate::protocol::path::escape;
use crate::session::budget::Account;
use crate::session::control::{Control, ControlReader};
use crate::session::conversation::{PeerWord, PeerWords};
use crate::session::memory::Buffers;
use crate::session::record::Record;
use crate::session::{ATTENTION_DEADLINE, JobTools, SessionError, host_name};
use crate::storage::OpenQueue;
use crate::transport::{self, Granted, Throttle, TransportError};

/// Time for the last packet to leave this machine without a rate limit: the connection's driver needs one turn.
const FLUSH: Duration = Duration::from_millis(2);

/// A connection with the right server. It has been greeted; its welcome is the first of its replies, and
/// the job need not wait for it: the server reads nothing of the job before it has accepted us.
pub(super) struct ServerConnection {
    endpoint: Endpoint,
    /// The rate limit, which the last packet waits for.
    throttle: Option<Throttle>,
    pub(super) connection: Connection,
    /// The bounds of what the server can make us hold.
    pub(super) account: Account,
    pub(super) control: Control,
    pub(super) replies: Replies,
    pub(super) hasher: ChunkHasher,
    pub(super) buffers: Buffers,
    /// Closed with the connection, so that what waits for the disk ends with it.
    pub(super) disk: OpenQueue,
    /// The server is reached by an address of this machine.
    pub(super) is_local: bool,
    /// From the first packet to a connection that stood.
    pub(super) handshake: Duration,
    pub(super) granted: Granted,
    /// The congestion controller's estimate of the path.
    pub(super) path: Arc<PathState>,
}

impl ServerConnection {
    /// The tools of a job over it.
    pub(super) fn tools(&self, observer: &Observer, record: &Record) -> JobTools {
        JobTools {
            connection: self.connection.clone(),
            control: self.control.clone(),
            disk: self.disk.queue(),
            hasher: self.hasher.clone(),
            buffers: self.buffers.clone(),
            account: self.account.clone(),
            observer: observer.clone(),
            record: record.of_connection(),
        }
    }

    /// Connects to the one right server and greets it.
    pub(super) async fn open(client: &Client, contact: &Contact, observer: &Observer) -> Result<Self, Error> {
        Self::over(DialTask::begin(client, contact, Some(observer)), client, contact, observer, features::NONE).await
    }

    /// The same for a job, which may have a connection at hand.
    pub(super) async fn open_for_job(
        client: &Client,
        contact: &Contact,
        observer: &Observer,
        standby: &Standby,
        record: &Record,
    ) -> Result<Self, Error> {
        let call = standby.take().await.unwrap_or_else(|| DialTask::begin(client, contact, Some(observer)));
        let continued = if record.is_continued() { features::CONTINUED } else { features::NONE };
        Self::over(call, client, contact, observer, continued).await
    }

    async fn over(
        call: DialTask,
        client: &Client,
        contact: &Contact,
        observer: &Observer,
        continued: u64,
    ) -> Result<Self, Error> {
        let Answered { dialled, path, handshake } = call.answered().await?;
        record_buffers(observer.counters(), dialled.granted);
        let connection = dialled.connection;
        let addr = connection.remote_address();
        let salt = transport::session_salt(&connection)?;
        let (stream, content) =
            connection.open_bi().await.map_err(|error| TransportError::from_connection(addr, &error))?;
        let account = Account::of_one(client.memory);
        let control = Control::start(connection.clone(), stream, &account);
        let is_local = transport::is_own_address(&connection);
        let features = offered_features(is_local) | continued;
        control.send(Message::Hello(hello(contact, &connection, features)?));
        Ok(Self {
            endpoint: dialled.endpoint,
            throttle: client.throttle.clone(),
            connection: connection.clone(),
            account,
            control,
            replies: Replies::new(content, connection, observer.clone()),
            hasher: ChunkHasher::new(&Salt(salt)),
            buffers: Buffers::default(),
            disk: client.disk.open_queue(),
            is_local,
            handshake,
            granted: dialled.granted,
            path,
        })
    }

    /// The error that a session's end amounts to: if the server ended it, its reason says more than the first stream
    /// that broke.
    pub(super) fn explain(&self, error: SessionError) -> Error {
        let addr: SocketAddr = self.connection.remote_address();
        match self.connection.close_reason() {
            Some(reason) => TransportError::from_connection(addr, &reason).into(),
            None => Error::from_session(addr, error),
        }
    }

    /// Ends the connection after a job's attempt, with the code that its outcome calls for.
    pub(super) async fn end(self, outcome: Result<(), Error>) -> Result<(), Attempt> {
        let code = match &outcome {
            Err(Error::Cancelled) => CloseCode::Cancelled,
            Err(Error::Session(error)) => error.close_code(),
            Ok(()) | Err(_) => CloseCode::Done,
        };
        let stood = self.replies.are_welcome();
        self.close(code).await;
        outcome.map_err(|error| Attempt { error, stood })
    }

    /// Ends the connection and lets the CONNECTION_CLOSE leave.
    pub(super) async fn close(self, code: CloseCode) {
        let mtu = self.connection.stats().path.current_mtu;
        transport::close(&self.connection, code, "");
        let flush = FLUSH + self.throttle.as_ref().map_or(Duration::ZERO, |throttle| throttle.flush_time(mtu));
        let _ = timeout(flush, self.endpoint.wait_idle()).await;
    }
}

/// Puts the socket's buffers into a job's counters, for whoever judges whether they suffice.
fn record_buffers(counters: &Counters, granted: Granted) {
    counters.udp_receive.store(granted.receive as u64, Ordering::Relaxed);
    counters.udp_send.store(granted.send as u64, Ordering::Relaxed);
}

/// The first message. The server has been verified by now, so it may be told the secrets that let the client in.
fn hello(contact: &Contact, connection: &Connection, features: u64) -> Result<Hello, TransportError> {
    let invite = contact.invite.as_ref().map(|invite| invite.0);
    let prove = |token: &Token| transport::token_material(connection).map(|material| token.proof(&material));
    let proof = contact.token.as_ref().map(prove).transpose()?;
    Ok(Hello::new(features, host_name(), invite).with_token_proof(proof))
}

/// Where a directory is, only a server hears that may be on this machine.
fn offered_features(is_local: bool) -> u64 {
    if is_local { features::ALL } else { features::ALL & !features::LOCATION }
}

/// The answer of a server to a request that is no job.
pub(super) enum QueryAnswer {
    /// The answer, or a part of it.
    Message(ServerMessage),
    /// Why it gives nothing, or leaves something out.
    Problem(Problem),
}

/// The messages of the server.
pub(super) struct Replies {
    reader: ControlReader,
    connection: Connection,
    observer: Observer,
    /// The features that both sides use, once the server has accepted us.
    welcome: Option<u64>,
    /// The conversation has heard of them.
    is_welcome_told: bool,
    /// When the server must have accepted us.
    welcome_by: Instant,
}

impl PeerWords for Replies {
    async fn hear(&mut self) -> Result<PeerWord, SessionError> {
        let features = self.features().await?;
        if !std::mem::replace(&mut self.is_welcome_told, true) {
            return Ok(PeerWord::Welcome(features));
        }
        Ok(PeerWord::Message(self.next().await?))
    }

    fn at_hand(&mut self) -> Result<Option<Message>, SessionError> {
        let is_heard = self.is_welcome_told && self.observer.has_room();
        if is_heard { self.reader.at_hand() } else { Ok(None) }
    }
}

impl Replies {
    fn new(content: RecvStream, connection: Connection, observer: Observer) -> Self {
        let (reader, welcome_by) = (ControlReader::new(content), Instant::now() + ATTENTION_DEADLINE);
        Self { reader, connection, observer, welcome: None, is_welcome_told: false, welcome_by }
    }

    /// Whether the server has accepted us.
    pub(super) fn are_welcome(&self) -> bool {
        self.welcome.is_some()
    }

    /// The features that both sides use; waits for the welcome.
    pub(super) async fn features(&mut self) -> Result<u64, SessionError> {
        match self.welcome {
            Some(features) => Ok(features),
            None => Ok(self.welcome().await?.features),
        }
    }

    /// The next message after the welcome. Safe to cancel.
    async fn next(&mut self) -> Result<Message, SessionError> {
        self.features().await?;
        self.observer.room().await;
        match self.reader.next().await? {
            Some(message) => Ok(message),
            None => Err(self.ended("the server ended the control stream").await),
        }
    }

    /// The next answer to a question that is no job: what a server says, or why there is no more. `owed` is what it owes us.
    pub(super) async fn answer(&mut self, deadline: Duration, owed: &'static str) -> Result<QueryAnswer, SessionError> {
        loop {
            let message = timeout(deadline, self.next()).await;
            return match Spoken::from(message.map_err(|_| SessionError::Timeout(owed))??) {
                Spoken::Server(message) => Ok(QueryAnswer::Message(message)),
                Spoken::Sender(SenderMessage::Problem(problem)) => Ok(QueryAnswer::Problem(problem)),
                // It still answers what it was asked before.
                Spoken::Either(EitherMessage::GoAway) => continue,
                Spoken::Either(
                    EitherMessage::Link(_)
                    | EitherMessage::SenderStats(_)
                    | EitherMessage::Remark(_)
                    | EitherMessage::Location(_),
                )
                | Spoken::Greeting(_)
                | Spoken::Client(_)
                | Spoken::Receiver(_)
                | Spoken::Sender(
                    SenderMessage::Header(_)
                    | SenderMessage::Tail(_)
                    | SenderMessage::Cancel(_)
                    | SenderMessage::Offered
                    | SenderMessage::End(_),
                ) => Err(SessionError::Order("anything but the answer to what was asked")),
            };
        }
    }

    /// Waits for the welcome, whose name is escaped for display and whose features both sides have.
    pub(super) async fn welcome(&mut self) -> Result<Welcome, SessionError> {
        let first = timeout_at(self.welcome_by, self.reader.next()).await;
        self.on_first(first.map_err(|_| SessionError::Timeout("welcome us"))??).await
    }

    async fn on_first(&mut self, first: Option<Message>) -> Result<Welcome, SessionError> {
        match first {
            Some(Message::Welcome(welcome)) => {
                // A feature that was not offered is not to be used, whatever the server says.
                let features = welcome.features & features::ALL;
                self.welcome = Some(features);
                let peer = escape(welcome.name.as_bytes()).to_string();
                let addr = self.connection.remote_address();
                self.observer.event(Event::Connected { addr, peer: peer.clone(), enrolled: welcome.enrolled });
                Ok(Welcome { features, name: peer, enrolled: welcome.enrolled })
            }
            Some(_) => Err(SessionError::Order("anything but a welcome first")),
            None => Err(self.ended("the server ended the control stream").await),
        }
    }

    /// The stream's end usually comes just before the connection's, which says why.
    async fn ended(&self, otherwise: &'static str) -> SessionError {
        match timeout(ATTENTION_DEADLINE, self.connection.closed()).await {
            Ok(reason) => reason.into(),
            Err(_) => SessionError::Order(otherwise),
        }
    }
}

/// Tasks that wait for the peer hold the connection too: without a close they would wait until it times out.
impl Drop for ServerConnection {
    fn drop(&mut self) {
        transport::close(&self.connection, CloseCode::Cancelled, "");
    }
}
