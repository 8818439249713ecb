//! The control stream: messages out in as few packets as possible, messages in one by one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use quinn::{Connection, RecvStream, SendStream};
use tokio::sync::{Notify, mpsc};
use tracing::debug;

use super::SessionError;
use super::budget::{Account, Hold};
use super::unread::Unread;
use crate::protocol::FRAME_BYTES_MAX;
use crate::protocol::close::CloseCode;
use crate::protocol::codec::{self, Decoder};
use crate::protocol::message::Message;
use crate::transport;

/// The control stream goes before all content.
const CONTROL_PRIORITY: i32 = 1000;

/// Messages that may wait because the peer does not read. A peer that keeps asking without reading the
/// answers would otherwise fill our memory.
pub const QUEUED_MESSAGES_MAX: usize = 64 * 1024;

/// Messages that may wait before those are held back that can be: the peer reads them no sooner for it.
const ROOM_MESSAGES: usize = 1024;

/// The same in bytes: names of a listing are many to a message.
const ROOM_BYTES: usize = 256 << 10;

/// Room for most messages: an answer takes some ten bytes, an offer its name and some thirty.
const FRAME_BYTES_USUAL: usize = 64;

/// Frames are gathered up to this size before a write.
const WRITE_BYTES: usize = 32 * 1024;

/// Bytes read from the stream at a time.
const READ_BYTES: usize = 64 * 1024;

/// The outgoing half. Cheap to clone, never blocks, usable from any thread.
#[derive(Debug, Clone)]
pub(crate) struct Control {
    queue: mpsc::UnboundedSender<Queued>,
    waiting: Arc<Unwritten>,
    connection: Connection,
    account: Account,
}

/// A message as it goes out, and the room that it takes meanwhile.
#[derive(Debug)]
struct Queued {
    frame: Vec<u8>,
    _room: Hold,
}

/// The messages that are queued and not written yet.
#[derive(Debug, Default)]
struct Unwritten {
    messages: AtomicUsize,
    bytes: AtomicUsize,
    fewer: Notify,
}

impl Control {
    /// Starts writing to `stream` on the current runtime. The stream is finished when all clones are gone.
    pub(crate) fn start(connection: Connection, stream: SendStream, account: Account) -> Self {
        let (queue, messages) = mpsc::unbounded_channel();
        let waiting = Arc::<Unwritten>::default();
        tokio::spawn(write_all(stream, messages, waiting.clone()));
        Self { queue, waiting, connection, account }
    }

    /// Queues a message. It is lost only with the connection.
    pub(crate) fn send(&self, message: Message) {
        let mut frame = Vec::with_capacity(FRAME_BYTES_USUAL);
        if let Err(error) = codec::encode(&message, &mut frame) {
            // Every message is built within its limits; reaching this is our fault, not the peer's.
            tracing::error!(%error, "a message could not be encoded");
            return transport::close(&self.connection, CloseCode::Internal, "");
        }
        if self.waiting.messages.fetch_add(1, Ordering::Relaxed) > QUEUED_MESSAGES_MAX {
            transport::close(&self.connection, CloseCode::Violation, "answers are not being read");
        }
        let Some(room) = self.account.take_for_message(size_of::<Queued>() + frame.len()) else {
            return transport::close(
                &self.connection,
                CloseCode::Busy,
                "no room for more answers that are not being read",
            );
        };
        self.waiting.bytes.fetch_add(frame.len(), Ordering::Relaxed);
        // The writer ends only with the connection, which the reader notices too.
        let _ = self.queue.send(Queued { frame, _room: room });
    }

    /// Whether the peer keeps up with what is said.
    pub(crate) fn has_room(&self) -> bool {
        self.waiting.messages.load(Ordering::Relaxed) < ROOM_MESSAGES
            && self.waiting.bytes.load(Ordering::Relaxed) < ROOM_BYTES
    }

    /// Waits until the peer keeps up. For messages that are no answers and whose number only our own disk
    /// bounds; for ever, when the connection has ended.
    pub(crate) async fn room(&self) {
        loop {
            let fewer = self.waiting.fewer.notified();
            if self.has_room() {
                return;
            }
            fewer.await;
        }
    }
}

async fn write_all(mut stream: SendStream, mut messages: mpsc::UnboundedReceiver<Queued>, waiting: Arc<Unwritten>) {
    let mut frames = Vec::with_capacity(WRITE_BYTES + FRAME_BYTES_MAX);
    let _ = stream.set_priority(CONTROL_PRIORITY);
    while let Some(first) = messages.recv().await {
        frames.clear();
        let mut next = Some(first);
        while let Some(message) = next {
            waiting.messages.fetch_sub(1, Ordering::Relaxed);
            waiting.bytes.fetch_sub(message.frame.len(), Ordering::Relaxed);
            frames.extend_from_slice(&message.frame);
            next = if frames.len() < WRITE_BYTES { messages.try_recv().ok() } else { None };
        }
        if let Err(error) = stream.write_all(&frames).await {
            debug!(%error, "control stream ended");
            return;
        }
        waiting.fewer.notify_waiters();
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

    /// The next message; `None` when the peer has finished the stream. Safe to cancel.
    ///
    /// # Errors
    /// An unreadable frame, or the end of the connection.
    pub(crate) async fn next(&mut self) -> Result<Option<Message>, SessionError> {
        loop {
            if let Some(message) = self.decoder.next()? {
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
