//! From a ticket to a greeted connection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quinn::{Connection, Endpoint};
use tokio::time::timeout;
use tracing::debug;

use super::Client;
use super::attempt::Attempt;
use crate::digest::{Hasher, Salt};
use crate::error::Error;
use crate::progress::{Event, Observer};
use crate::protocol::close::CloseCode;
use crate::protocol::features;
use crate::protocol::message::{Hello, Message};
use crate::protocol::path::escape;
use crate::session::control::{Control, ControlReader};
use crate::session::local::host_name;
use crate::session::memory::Buffers;
use crate::session::{ATTENTION_DEADLINE, SessionError};
use crate::transport::congestion::ControllerConfig;
use crate::transport::{self, Ticket, TransportError, Tuning};

/// Longest wait for a server's first answer.
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);

/// Time for the last packet to leave this machine: the connection's driver needs one turn.
const FLUSH: Duration = Duration::from_millis(2);

/// A connection with the right server. It has been greeted; its welcome is the first of its replies, and
/// the job need not wait for it: the server reads nothing of the job before it has accepted us.
pub(super) struct Link {
    endpoint: Endpoint,
    pub(super) connection: Connection,
    pub(super) control: Control,
    pub(super) replies: Replies,
    pub(super) hasher: Hasher,
    pub(super) buffers: Buffers,
}

impl Link {
    /// Connects to the one right server and greets it.
    pub(super) async fn open(client: &Client, ticket: &Ticket, observer: &Observer) -> Result<Self, Error> {
        let addrs = transport::resolve(&ticket.host, ticket.port).await?;
        let mut tuning = Tuning::new(Arc::new(ControllerConfig::default()));
        tuning.idle_timeout = client.within_patience(tuning.idle_timeout);
        let deadline = client.within_patience(CONNECT_DEADLINE);
        let dialled = transport::connect(&addrs, ticket.fingerprint, &client.identity, &tuning, deadline).await?;
        if let Some(hint) = dialled.granted.hint() {
            debug!(hint, "small socket buffers");
        }
        let connection = dialled.connection;
        let addr = connection.remote_address();
        let salt = transport::session_salt(&connection)?;
        let (stream, content) =
            connection.open_bi().await.map_err(|error| TransportError::from_connection(addr, &error))?;
        let control = Control::start(connection.clone(), stream);
        let invite = ticket.invite.as_ref().map(|invite| invite.0);
        control.send(Message::Hello(Hello { features: features::NONE, name: host_name(), invite }));
        Ok(Self {
            endpoint: dialled.endpoint,
            connection: connection.clone(),
            control,
            replies: Replies {
                reader: ControlReader::new(content),
                connection,
                observer: observer.clone(),
                welcomed: false,
            },
            hasher: Hasher::new(&Salt(salt)),
            buffers: Buffers::default(),
        })
    }

    /// What a session's end means, seen from here: why the server ended it, if it did, says more than the
    /// first stream that broke.
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

    /// Ends the connection and lets the farewell leave.
    pub(super) async fn close(self, code: CloseCode) {
        transport::close(&self.connection, code, "");
        let _ = timeout(FLUSH, self.endpoint.wait_idle()).await;
    }
}

/// What the server says.
pub(super) struct Replies {
    reader: ControlReader,
    connection: Connection,
    observer: Observer,
    welcomed: bool,
}

impl Replies {
    /// Whether the server has accepted us.
    pub(super) fn are_welcome(&self) -> bool {
        self.welcomed
    }

    /// The next message after the welcome.
    pub(super) async fn next(&mut self) -> Result<Message, SessionError> {
        if !self.welcomed {
            let first = timeout(ATTENTION_DEADLINE, self.reader.next()).await;
            self.on_first(first.map_err(|_| SessionError::Timeout("welcome us"))??).await?;
        }
        match self.reader.next().await? {
            Some(message) => Ok(message),
            None => Err(self.ended("the server ended the control stream").await),
        }
    }

    /// Waits for the welcome alone: the server's name, and whether it has just enrolled us.
    pub(super) async fn welcome(&mut self) -> Result<(String, bool), SessionError> {
        let first = self.reader.next().await?;
        self.on_first(first).await
    }

    async fn on_first(&mut self, first: Option<Message>) -> Result<(String, bool), SessionError> {
        match first {
            Some(Message::Welcome(welcome)) => {
                self.welcomed = true;
                let peer = escape(welcome.name.as_bytes()).to_string();
                let addr = self.connection.remote_address();
                let enrolled = welcome.enrolled;
                self.observer.event(Event::Connected { addr, peer: peer.clone(), enrolled });
                Ok((peer, enrolled))
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
impl Drop for Link {
    fn drop(&mut self) {
        transport::close(&self.connection, CloseCode::Cancelled, "");
    }
}
