//! From a ticket to a greeted connection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quinn::{Connection, Endpoint};
use tokio::time::timeout;
use tracing::debug;

use super::Client;
use crate::digest::{Hasher, Salt};
use crate::error::Error;
use crate::progress::{Event, Observer};
use crate::protocol::close::CloseCode;
use crate::protocol::features;
use crate::protocol::message::{Hello, Message};
use crate::protocol::path::escape;
use crate::server::host_name;
use crate::session::control::{Control, ControlReader};
use crate::session::memory::Buffers;
use crate::session::{ATTENTION_DEADLINE, SessionError};
use crate::transport::congestion::ControllerConfig;
use crate::transport::{self, Ticket, TransportError, Tuning};

/// Longest wait for a server's first answer.
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);

/// Longest that the last packets may take to leave this machine.
const FLUSH: Duration = Duration::from_millis(20);

/// A connection whose server has welcomed us.
pub(super) struct Link {
    endpoint: Endpoint,
    pub(super) connection: Connection,
    pub(super) control: Control,
    pub(super) reader: ControlReader,
    pub(super) hasher: Hasher,
    pub(super) buffers: Buffers,
}

impl Link {
    /// Connects to the one right server and exchanges greetings.
    pub(super) async fn open(client: &Client, ticket: &Ticket, observer: &Observer) -> Result<Self, Error> {
        let addrs = transport::resolve(&ticket.host, ticket.port).await?;
        let tuning = Tuning::new(Arc::new(ControllerConfig::default()));
        let dialled =
            transport::connect(&addrs, ticket.fingerprint, &client.identity, &tuning, CONNECT_DEADLINE).await?;
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
        let mut link = Self {
            endpoint: dialled.endpoint,
            connection,
            control,
            reader: ControlReader::new(content),
            hasher: Hasher::new(&Salt(salt)),
            buffers: Buffers::default(),
        };
        link.welcome(observer).await.map_err(|error| Error::from_session(addr, error))?;
        Ok(link)
    }

    async fn welcome(&mut self, observer: &Observer) -> Result<(), SessionError> {
        let answer = timeout(ATTENTION_DEADLINE, self.reader.next()).await;
        match answer.map_err(|_| SessionError::Timeout("welcome us"))?? {
            Some(Message::Welcome(welcome)) => {
                let peer = escape(welcome.name.as_bytes()).to_string();
                let addr = self.connection.remote_address();
                observer.event(Event::Connected { addr, peer, enrolled: welcome.enrolled });
                Ok(())
            }
            None => Err(self.connection.closed().await.into()),
            Some(_) => Err(SessionError::Order("anything but a welcome first")),
        }
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

    /// Ends the connection and lets the farewell leave.
    pub(super) async fn close(self, code: CloseCode) {
        transport::close(&self.connection, code, "");
        let _ = timeout(FLUSH, self.endpoint.wait_idle()).await;
    }
}
