//! The control stream: messages out in as few packets as possible, messages in one by one.

use std::sync::{Arc, Mutex, MutexGuard};

use quinn::{Connection, RecvStream, SendStream};
use tokio::sync::Notify;
use tracing::debug;

use super::SessionError;
use super::budget::{Account, Hold};
use super::unread::Unread;
use crate::protocol::close::CloseCode;
use crate::protocol::codec::{self, Decoder};
use crate::protocol::message::Message;
use crate::transfer::GROWTH;
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
        self.unwritten.frames().is_last = true;
        self.unwritten.more.notify_one();
    }
}

/// The messages that are said and not written yet.
#[derive(Debug)]
struct Unwritten {
    frames: Mutex<Frames>,
    more: Notify,
    fewer: Notify,
}

/// Messages as they go out, one after the other.
#[derive(Debug)]
struct Frames {
    bytes: Vec<u8>,
    /// Those that are being written count, too.
    messages: usize,
    /// The room that they take, likewise.
    room: Hold,
    /// Nobody can say any more.
    is_last: bool,
    /// Nobody writes any more.
    is_lost: bool,
}

impl Unwritten {
    fn new(room: Hold) -> Self {
        let frames = Mutex::new(Frames { bytes: Vec::new(), messages: 0, room, is_last: false, is_lost: false });
        Self { frames, more: Notify::new(), fewer: Notify::new() }
    }

    fn frames(&self) -> MutexGuard<'_, Frames> {
        self.frames.lock().expect("no holder panics")
    }

    /// Waits for messages, and takes all that are there into `taken`, which is empty; nothing, when no more come.
    async fn take(&self, taken: &mut Vec<u8>) {
        loop {
            let more = self.more.notified();
            {
                let mut frames = self.frames();
                std::mem::swap(&mut frames.bytes, taken);
                if !taken.is_empty() || frames.is_last {
                    return;
                }
            }
            more.await;
        }
    }

    fn on_lost(&self) {
        let mut frames = self.frames();
        frames.is_lost = true;
        frames.bytes = Vec::new();
    }

    fn on_written(&self, messages: usize, bytes: usize) {
        let mut frames = self.frames();
        frames.messages -= messages;
        frames.room.shrink(GROWTH * bytes);
        drop(frames);
        self.fewer.notify_waiters();
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
        let mut frames = unwritten.frames();
        if frames.is_lost {
            // The reader notices, too.
            return;
        }
        let before = frames.bytes.len();
        if let Err(error) = codec::encode(&message, &mut frames.bytes) {
            // Every message is built within its limits; reaching this is our fault, not the peer's.
            tracing::error!(%error, "a message could not be encoded");
            return transport::close(connection, CloseCode::Internal, "");
        }
        let bytes = frames.bytes.len() - before;
        if !frames.room.grow(GROWTH * bytes) {
            frames.bytes.truncate(before);
            return transport::close(connection, CloseCode::Busy, "no room for more answers that are not being read");
        }
        frames.messages += 1;
        if frames.messages > QUEUED_MESSAGES_MAX {
            transport::close(connection, CloseCode::Violation, "answers are not being read");
        }
        drop(frames);
        if before == 0 {
            unwritten.more.notify_one();
        }
    }

    /// Whether the peer keeps up with what is said.
    pub(crate) fn has_room(&self) -> bool {
        let frames = self.0.unwritten.frames();
        frames.messages < ROOM_MESSAGES && frames.room.amount() < GROWTH * ROOM_BYTES
    }

    /// Waits until the peer keeps up. For messages that are no answers and whose number only our own disk
    /// bounds; for ever, when the connection has ended.
    pub(crate) async fn room(&self) {
        loop {
            let fewer = self.0.unwritten.fewer.notified();
            if self.has_room() {
                return;
            }
            fewer.await;
        }
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
