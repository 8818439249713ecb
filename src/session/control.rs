//! The control stream: messages out in as few packets as possible, messages in one by one.

use std::sync::Arc;

use quinn::{Connection, RecvStream, SendStream};
use tracing::debug;

use super::SessionError;
use super::budget::Account;
use super::unread::Unread;
use super::unwritten::{Gathering, Unwritten};
use crate::protocol::codec::{self, Decoder};
use crate::protocol::message::Message;
use crate::transport;

/// The control stream goes before all content.
const CONTROL_PRIORITY: i32 = 1000;

/// Frames are written so many bytes at a time, or one of them that is longer.
const WRITE_BYTES: usize = 32 * 1024;

/// Bytes read from the stream at a time.
const READ_BYTES: usize = 64 * 1024;

/// The outgoing half. Cheap to clone, never blocks, usable from any thread.
#[derive(Debug, Clone)]
pub(crate) struct Control(Arc<ControlInner>);

#[derive(Debug)]
struct ControlInner {
    unwritten: Arc<Unwritten>,
    connection: Connection,
}

/// The stream is finished when everything is written.
impl Drop for ControlInner {
    fn drop(&mut self) {
        self.unwritten.end();
    }
}

impl Control {
    /// Starts writing to `stream` on the current runtime. The stream is finished when all clones are gone.
    pub(crate) fn start(connection: Connection, stream: SendStream, account: &Account) -> Self {
        let unwritten = Arc::new(Unwritten::new(account.for_messages()));
        tokio::spawn(write_all(stream, unwritten.clone()));
        Self(Arc::new(ControlInner { unwritten, connection }))
    }

    /// Queues a message. It is lost only with the connection.
    pub(crate) fn send(&self, message: Message) {
        let ControlInner { unwritten, connection } = &*self.0;
        unwritten.add(&message).unwrap_or_else(|(code, why)| transport::close(connection, code, why));
    }

    /// Lets what is said wait a little for more of it, until what is returned is dropped.
    pub(crate) fn gather(&self) -> Gathering {
        self.0.unwritten.gather()
    }

    /// Whether the peer keeps up with what is said.
    pub(crate) fn has_room(&self) -> bool {
        self.0.unwritten.has_room()
    }

    /// Waits until the peer keeps up. For messages that are no answers and whose number only our own disk
    /// bounds; for ever, when the connection has ended.
    pub(crate) async fn room(&self) {
        self.0.unwritten.room().await;
    }
}

async fn write_all(mut stream: SendStream, unwritten: Arc<Unwritten>) {
    let _ = stream.set_priority(CONTROL_PRIORITY);
    let mut frames = Vec::new();
    loop {
        unwritten.take(&mut frames).await;
        let mut rest = &frames[..];
        if rest.is_empty() {
            break;
        }
        while !rest.is_empty() {
            let (bytes, messages) = codec::whole_frames(rest, WRITE_BYTES);
            if let Err(error) = stream.write_all(&rest[..bytes]).await {
                debug!(%error, "control stream ended");
                return unwritten.on_lost();
            }
            unwritten.on_written(messages, bytes);
            rest = &rest[bytes..];
        }
        frames.clear();
        // What many messages took is not kept for few.
        frames.shrink_to(WRITE_BYTES);
    }
    let _ = stream.finish();
}

#[derive(Debug)]
pub(crate) struct ControlReader {
    stream: RecvStream,
    decoder: Decoder,
    buffer: Vec<u8>,
    /// Told of what is read.
    unread: Option<Arc<Unread>>,
}

impl ControlReader {
    pub(crate) fn new(stream: RecvStream) -> Self {
        Self { stream, decoder: Decoder::default(), buffer: vec![0; READ_BYTES], unread: None }
    }

    /// From now on tells what it reads.
    pub(crate) fn tell(&mut self, unread: Arc<Unread>) {
        self.unread = Some(unread);
    }

    /// A message that has been read already.
    ///
    /// # Errors
    /// An unreadable frame.
    pub(crate) fn at_hand(&mut self) -> Result<Option<Message>, SessionError> {
        Ok(self.decoder.next()?)
    }

    /// The next message; `None` when the peer has finished the stream. Safe to cancel.
    ///
    /// # Errors
    /// An unreadable frame, or the end of the connection.
    pub(crate) async fn next(&mut self) -> Result<Option<Message>, SessionError> {
        loop {
            if let Some(message) = self.at_hand()? {
                return Ok(Some(message));
            }
            match self.stream.read(&mut self.buffer).await {
                Ok(Some(count)) => {
                    self.decoder.push(&self.buffer[..count]);
                    self.unread.iter().for_each(|unread| unread.on_read(count));
                }
                Ok(None) => return Ok(None),
                Err(quinn::ReadError::ConnectionLost(error)) => return Err(error.into()),
                Err(_) => return Err(SessionError::Order("the control stream was reset")),
            }
        }
    }
}
