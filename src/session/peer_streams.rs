//! The streams that a peer opens.

use std::collections::VecDeque;
use std::sync::Arc;

use quinn::{Connection, ConnectionError, RecvStream, SendStream};

use super::unread::Unread;

/// The streams that a peer opens, the first of which may come before anybody knows what for.
pub(crate) struct PeerStreams {
    connection: Connection,
    unread: Arc<Unread>,
    early: VecDeque<(SendStream, RecvStream)>,
}

impl PeerStreams {
    pub(crate) fn new(connection: Connection, unread: Arc<Unread>) -> Self {
        Self { connection, unread, early: VecDeque::new() }
    }

    /// The next one. Safe to cancel.
    pub(crate) async fn next(&mut self) -> Result<(SendStream, RecvStream), ConnectionError> {
        match self.early.pop_front() {
            Some(stream) => Ok(stream),
            None => self.accept().await,
        }
    }

    async fn accept(&self) -> Result<(SendStream, RecvStream), ConnectionError> {
        let stream = self.connection.accept_bi().await?;
        self.unread.on_stream();
        Ok(stream)
    }

    /// Lets one more wait until it is known what they are for. Safe to cancel.
    pub(crate) async fn await_early(&mut self) -> Result<(), ConnectionError> {
        let stream = self.accept().await?;
        self.early.push_back(stream);
        Ok(())
    }
}
