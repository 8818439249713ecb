//! One incoming data stream: its range to disk, its progress back.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use quinn::{RecvStream, SendStream};
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::backlog::Begun;
use super::file::FileIo;
use super::{Place, Receiver};
use crate::digest::CHUNK_BYTES;
use crate::progress::FileProgress;
use crate::protocol::close::CloseCode;
use crate::protocol::range::{RANGE_HEADER_BYTES, RangeHeader, Turn};
use crate::session::memory::Buffer;
use crate::session::{ATTENTION_DEADLINE, SessionError};

/// How often a range's progress is reported to the sender.
const REPORT_INTERVAL: Duration = Duration::from_millis(250);

/// One range on its way to disk.
struct Range {
    header: RangeHeader,
    io: Arc<FileIo>,
    progress: Arc<FileProgress>,
    written: AtomicU64,
    all_written: Notify,
}

impl Range {
    fn is_written(&self) -> bool {
        self.written.load(Ordering::Acquire) == self.header.len
    }

    /// The part of this range that lies in the chunk at `index`.
    fn block_len(&self, index: u64) -> usize {
        let start = (index * CHUNK_BYTES).max(self.header.offset);
        let end = ((index + 1) * CHUNK_BYTES).min(self.header.offset + self.header.len);
        (end - start) as usize
    }
}

/// A chunk that is being put together from packets in any order.
struct Block {
    buffer: Buffer,
    filled: usize,
    _begun: Begun,
}

impl Receiver {
    /// Serves one stream that the peer opened.
    ///
    /// # Errors
    /// A broken rule or the end of the connection; a file that fails is no error.
    pub(crate) async fn serve_stream(
        &self,
        mut reports: SendStream,
        mut content: RecvStream,
    ) -> Result<(), SessionError> {
        let Some(header) = read_header(&mut content).await? else { return Ok(()) };
        let place = match header.turn {
            Turn::Asked => self.open_range(header)?,
            Turn::Ahead => self.place_ahead(header).await?,
        };
        let Some(Place { io, progress }) = place else {
            let _ = content.stop(CloseCode::Cancelled.code().into());
            let _ = reports.reset(CloseCode::Cancelled.code().into());
            return Ok(());
        };
        let range = Arc::new(Range { header, io, progress, written: AtomicU64::new(0), all_written: Notify::new() });
        if header.len <= CHUNK_BYTES {
            // `Done` will say it all; a report would only cost a packet.
            let _ = reports.finish();
            return self.read_content(&range, &mut content).await;
        }
        let reading = self.read_content(&range, &mut content);
        // A broken rule ends the reports too: they would wait for content that nobody reads any more.
        let reporting = async {
            report(&range, &mut reports).await;
            Ok(())
        };
        tokio::try_join!(reading, reporting).map(|_| ())
    }

    /// Reads the range as it comes, in any order, and hands whole chunks to the disk.
    async fn read_content(&self, range: &Arc<Range>, content: &mut RecvStream) -> Result<(), SessionError> {
        let mut blocks: HashMap<u64, Block> = HashMap::new();
        let mut arrived = 0;
        while arrived < range.header.len {
            self.0.backlog.room().await;
            let chunk = match content.read_chunk(usize::MAX, false).await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => return Err(SessionError::Order("a stream ended before its range")),
                Err(error) => return self.on_read_error(range, error),
            };
            if range.io.is_given_up() {
                let _ = content.stop(CloseCode::DiskFailed.code().into());
                range.all_written.notify_one();
                return Ok(());
            }
            arrived += chunk.bytes.len() as u64;
            let at = chunk.offset - RANGE_HEADER_BYTES as u64;
            self.scatter(range, &mut blocks, at, &chunk.bytes)?;
        }
        match content.read_chunk(1, false).await {
            Ok(Some(_)) => Err(SessionError::Order("content beyond its range")),
            _ => Ok(()),
        }
    }

    fn on_read_error(&self, range: &Range, error: quinn::ReadError) -> Result<(), SessionError> {
        range.io.give_up();
        range.all_written.notify_one();
        match error {
            quinn::ReadError::ConnectionLost(error) => Err(error.into()),
            // The sender gave this file up; its `Cancel` says why.
            _ => Ok(()),
        }
    }

    /// Copies one packet's bytes to the chunks that they belong to.
    fn scatter(
        &self,
        range: &Arc<Range>,
        blocks: &mut HashMap<u64, Block>,
        at: u64,
        mut bytes: &[u8],
    ) -> Result<(), SessionError> {
        let end = at + bytes.len() as u64;
        if end > range.header.len {
            return Err(SessionError::Order("content beyond its range"));
        }
        let mut offset = range.header.offset + at;
        while !bytes.is_empty() {
            let index = offset / CHUNK_BYTES;
            let len = range.block_len(index);
            let block = match blocks.entry(index) {
                Entry::Occupied(block) => block.into_mut(),
                Entry::Vacant(place) => place.insert(self.begin(len)?),
            };
            let within = (offset % CHUNK_BYTES) as usize;
            let count = bytes.len().min(len - within);
            block.buffer[within..within + count].copy_from_slice(&bytes[..count]);
            block.filled += count;
            if block.filled == len
                && let Some(block) = blocks.remove(&index)
            {
                self.store(range, index, block.buffer);
            }
            bytes = &bytes[count..];
            offset += count as u64;
        }
        Ok(())
    }

    fn begin(&self, len: usize) -> Result<Block, SessionError> {
        // A single byte of a chunk makes us keep a buffer for all of it, so the buffers are what is counted.
        let begun = self.0.backlog.begin(len)?;
        Ok(Block { buffer: self.0.tools.buffers.take(len), filled: 0, _begun: begun })
    }

    /// Writes and hashes one chunk on a disk thread.
    fn store(&self, range: &Arc<Range>, index: u64, buffer: Buffer) {
        let (receiver, range) = (self.clone(), range.clone());
        let len = buffer.len();
        self.0.backlog.add(len);
        self.0.tools.disk.spawn(move || receiver.store_now(&range, index, buffer, 0));
    }

    /// On a disk thread.
    fn store_now(&self, range: &Arc<Range>, index: u64, buffer: Buffer, waits: u32) {
        let len = buffer.len();
        let written = range.io.write_at(&buffer, index * CHUNK_BYTES);
        if let Err(error) = &written
            && !range.io.is_given_up()
            && self.may_wait(error, waits)
        {
            let (receiver, range) = (self.clone(), range.clone());
            return self.try_again(error, move || receiver.store_now(&range, index, buffer, waits + 1));
        }
        let digest = self.0.tools.hasher.chunk(&buffer);
        drop(buffer);
        self.0.backlog.remove(len);
        match written {
            Ok(()) => {
                self.on_chunk(range.header.id, index, digest);
                self.on_written(range, len as u64);
            }
            Err(error) => {
                range.io.give_up();
                range.all_written.notify_one();
                self.fail(range.header.id, (&error).into());
            }
        }
    }

    fn on_written(&self, range: &Range, bytes: u64) {
        self.0.tools.observer.written(&range.progress, bytes);
        let before = range.written.fetch_add(bytes, Ordering::AcqRel);
        if before + bytes == range.header.len {
            range.all_written.notify_one();
            self.on_range_stored(range.header.id);
        }
    }
}

/// `None`: the sender took the range back before it was announced, or before that was heard.
async fn read_header(content: &mut RecvStream) -> Result<Option<RangeHeader>, SessionError> {
    let mut raw = [0; RANGE_HEADER_BYTES];
    match timeout(ATTENTION_DEADLINE, content.read_exact(&mut raw)).await {
        Ok(Ok(())) => Ok(Some(RangeHeader::from_bytes(raw))),
        Ok(Err(quinn::ReadExactError::ReadError(quinn::ReadError::Reset(_)))) => Ok(None),
        Ok(Err(quinn::ReadExactError::ReadError(quinn::ReadError::ConnectionLost(error)))) => Err(error.into()),
        Ok(Err(_)) => Err(SessionError::Order("a stream ended within its header")),
        Err(_) => Err(SessionError::Timeout("announce the range of a stream")),
    }
}

/// Tells the sender how much is written, until all is or nobody wants it any more.
async fn report(range: &Range, reports: &mut SendStream) {
    let mut ticks = interval(REPORT_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut reported = 0;
    while !range.is_written() {
        tokio::select! {
            () = range.all_written.notified() => {}
            _ = ticks.tick() => {}
        }
        if range.io.is_given_up() {
            let _ = reports.reset(CloseCode::DiskFailed.code().into());
            return;
        }
        let written = range.written.load(Ordering::Acquire);
        if written != reported && reports.write_all(&written.to_le_bytes()).await.is_err() {
            return;
        }
        reported = written;
    }
    let _ = reports.finish();
}
