//! One incoming data stream: its range to disk, its progress back.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use quinn::{RecvStream, SendStream};
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval};

use super::backlog::Begun;
use super::beginning::{self, Beginning, Pieces};
use super::file::FileIo;
use super::gaps::Gaps;
use super::{Driver, Online, Place, Receiver};
use crate::digest::{CHUNK_BYTES, Digest};
use crate::progress::{Counters, FileProgress};
use crate::protocol::close::CloseCode;
use crate::protocol::range::{RANGE_HEADER_BYTES, RangeHeader, RangeTiming};
use crate::session::SessionError;
use crate::session::budget::Hold;
use crate::session::memory::Buffer;
use crate::storage::{Content, Destination, Files, ReadFile, StorageError, Store};

/// How often a range's progress is reported to the sender.
const REPORT_INTERVAL: Duration = Duration::from_millis(250);

/// Ranges that may be announced of a file after one of them was taken back. Which ranges there were is remembered until the
/// file is over, and only those that are carried cost a sender something.
pub const LATE_RANGES_MAX: usize = 64;

/// One range on its way to the store.
pub(super) struct Incoming<S: Store = Destination> {
    header: RangeHeader,
    io: Arc<FileIo<S>>,
    progress: Arc<FileProgress>,
    written: AtomicU64,
    all_written: Notify,
}

impl<S: Store> Incoming<S> {
    /// A range, of which it is known where it goes.
    pub(super) fn begin<D: Driver<Store = S>>(header: RangeHeader, place: Place<D>) -> Arc<Self> {
        let Place { io, progress } = place;
        progress.begin();
        Arc::new(Self { header, io, progress, written: AtomicU64::new(0), all_written: Notify::new() })
    }

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
struct PartialChunk {
    place: ChunkPlace,
    filled: usize,
    gaps: Gaps,
    _begun: Begun,
}

/// Where it is put together.
enum ChunkPlace {
    Memory(HeldChunk),
    /// In its file, where there is no memory for it beside all others: each piece is written as it comes, and the whole is
    /// read again for its digest. Slower, and nobody waits for anybody.
    File(Arc<Stored>),
}

/// A chunk in memory, and the room that it takes.
struct HeldChunk {
    buffer: Buffer,
    _room: Hold,
}

impl std::ops::Deref for HeldChunk {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.buffer
    }
}

/// How many bytes of a chunk are in its file.
#[derive(Default)]
struct Stored(AtomicUsize);

/// The chunks of one range that are begun.
#[derive(Default)]
struct Blocks {
    begun: HashMap<u64, PartialChunk>,
    /// Where the piece that came last ended.
    next: u64,
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
        let Some(Beginning { header, pieces }) = beginning::read(&mut content, &self.0.tools.account).await? else {
            return Ok(());
        };
        let place = match header.timing {
            RangeTiming::Asked => self.feed(|ledger| ledger.on_range(header))?,
            RangeTiming::Early => self.place_early(header).await?,
        };
        let Some(place) = place else {
            let _ = content.stop(CloseCode::Cancelled.code().into());
            let _ = reports.reset(CloseCode::Cancelled.code().into());
            return Ok(());
        };
        if place.io.is_given_up() && place.io.count_late_range() > LATE_RANGES_MAX {
            return Err(SessionError::Order("content without end for a file that was given up"));
        }
        let range = <Incoming>::begin::<Online>(header, place);
        if header.len <= CHUNK_BYTES {
            // `Done` will say it all; a report would only cost a packet.
            let _ = reports.finish();
            return self.read_content(&range, pieces, &mut content).await;
        }
        let reading = self.read_content(&range, pieces, &mut content);
        // A broken rule ends the reports too: they would wait for content that nobody reads any more.
        let reporting = async {
            report(&range, &mut reports).await;
            Ok(())
        };
        tokio::try_join!(reading, reporting).map(|_| ())
    }

    /// Reads the range as it comes, in any order, and hands whole chunks to the disk.
    async fn read_content(
        &self,
        range: &Arc<Incoming>,
        mut pieces: Pieces,
        content: &mut RecvStream,
    ) -> Result<(), SessionError> {
        let mut blocks = Blocks::default();
        let mut arrived = 0;
        while arrived < range.header.len {
            self.0.driver.backlog.room().await;
            let chunk = match pieces.next() {
                Some(chunk) => chunk,
                None => {
                    pieces.are_unordered = true;
                    match content.read_chunk(usize::MAX, false).await {
                        Ok(Some(chunk)) => chunk,
                        Ok(None) => return Err(SessionError::Order("a stream ended before its range")),
                        Err(error) => return self.on_read_error(range, error),
                    }
                }
            };
            if range.io.is_given_up() {
                let _ = content.stop(CloseCode::DiskFailed.code().into());
                range.all_written.notify_one();
                return Ok(());
            }
            arrived += chunk.bytes.len() as u64;
            self.0.driver.backlog.count_piece();
            let at = chunk.offset - RANGE_HEADER_BYTES as u64;
            self.scatter(range, &mut blocks, at, &chunk.bytes)?;
        }
        match content.read_chunk(1, !pieces.are_unordered).await {
            Ok(Some(_)) => Err(SessionError::Order("content beyond its range")),
            _ => Ok(()),
        }
    }

    fn on_read_error(&self, range: &Incoming, error: quinn::ReadError) -> Result<(), SessionError> {
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
        range: &Arc<Incoming>,
        blocks: &mut Blocks,
        at: u64,
        mut bytes: &[u8],
    ) -> Result<(), SessionError> {
        let end = at + bytes.len() as u64;
        if end > range.header.len {
            return Err(SessionError::Order("content beyond its range"));
        }
        let mut offset = range.header.offset + at;
        // Where it does not go on from the piece before it, QUIC keeps a note of the gap.
        let jumps = std::mem::replace(&mut blocks.next, end) != at;
        while !bytes.is_empty() {
            let index = offset / CHUNK_BYTES;
            let len = range.block_len(index);
            let block = match blocks.begun.entry(index) {
                Entry::Occupied(block) => block.into_mut(),
                Entry::Vacant(place) => place.insert(self.begin(len)?),
            };
            if jumps {
                block.gaps.count(len, &self.0.tools.account)?;
            }
            let within = (offset % CHUNK_BYTES) as usize;
            let count = bytes.len().min(len - within);
            let (piece, rest) = bytes.split_at(count);
            block.filled += count;
            match &mut block.place {
                ChunkPlace::Memory(held) => held.buffer[within..within + count].copy_from_slice(piece),
                ChunkPlace::File(stored) => self.store_piece(range, offset, piece.into(), stored.clone()),
            }
            if block.filled == len
                && let Some(PartialChunk { place: ChunkPlace::Memory(held), .. }) = blocks.begun.remove(&index)
            {
                self.store(range, index, held);
            }
            bytes = rest;
            offset += count as u64;
        }
        Ok(())
    }

    fn begin(&self, len: usize) -> Result<PartialChunk, SessionError> {
        // A single byte of a chunk makes us keep a buffer for all of it, so the buffers are what is counted.
        let begun = self.0.driver.backlog.begin(len)?;
        let place = match self.0.tools.account.take_memory(len) {
            Some(room) => ChunkPlace::Memory(HeldChunk { buffer: self.0.driver.buffers.take(len), _room: room }),
            None => ChunkPlace::File(Arc::default()),
        };
        Ok(PartialChunk { place, filled: 0, gaps: Gaps::default(), _begun: begun })
    }

    /// Content has come, and waits for the disk.
    fn count_taken(&self, bytes: usize, is_behind: bool) {
        let (counters, bytes) = (self.0.tools.observer.counters(), bytes as u64);
        Counters::add(&counters.taken, bytes);
        Counters::add(&counters.taken_behind, if is_behind { bytes } else { 0 });
    }

    /// Writes and hashes one chunk on a disk thread.
    fn store(&self, range: &Arc<Incoming>, index: u64, held: HeldChunk) {
        let (receiver, range) = (self.clone(), range.clone());
        let is_behind = self.0.driver.backlog.is_behind();
        self.0.driver.backlog.add(held.buffer.len());
        self.count_taken(held.buffer.len(), is_behind);
        self.0.driver.spawn(move || receiver.store_chunk(&range, index, held, 0));
    }

    /// Writes a piece of a chunk that is put together in its file.
    fn store_piece(&self, range: &Arc<Incoming>, offset: u64, piece: Box<[u8]>, stored: Arc<Stored>) {
        let (receiver, range) = (self.clone(), range.clone());
        let is_behind = self.0.driver.backlog.is_behind();
        self.0.driver.backlog.add_piece(piece.len());
        self.count_taken(piece.len(), is_behind);
        self.0.driver.spawn(move || receiver.store_piece_now(&range, offset, piece, stored, 0));
    }

    /// On a disk thread. The last piece to be written is not the last one to have come.
    fn store_piece_now(&self, range: &Arc<Incoming>, offset: u64, piece: Box<[u8]>, stored: Arc<Stored>, waits: u32) {
        let (count, index) = (piece.len(), offset / CHUNK_BYTES);
        let written = range.io.write_at(&piece, offset);
        if let Some(error) = self.to_try_again(range, &written, waits) {
            let (receiver, range) = (self.clone(), range.clone());
            return self.try_again(error, move || receiver.store_piece_now(&range, offset, piece, stored, waits + 1));
        }
        drop(piece);
        self.0.driver.backlog.remove_piece(count);
        let len = range.block_len(index);
        match written {
            Ok(()) if stored.0.fetch_add(count, Ordering::AcqRel) + count < len => {}
            Ok(()) => self.on_stored(range, index, len, range.io.hash_back(&self.0.tools.hasher, index)),
            Err(error) => self.on_stored(range, index, len, Err(error)),
        }
    }
}

impl<D: Driver> Receiver<D> {
    /// On a disk thread: writes and hashes one chunk, which is whole.
    pub(super) fn store_chunk<C>(&self, range: &Arc<Incoming<D::Store>>, index: u64, chunk: C, waits: u32)
    where
        C: std::ops::Deref<Target = Content<D::Store>> + Send + 'static,
    {
        let len = range.block_len(index);
        let written = range.io.write_at(&chunk, index * CHUNK_BYTES);
        if let Some(error) = self.to_try_again(range, &written, waits) {
            let (receiver, range) = (self.clone(), range.clone());
            return self.try_again(error, move || receiver.store_chunk(&range, index, chunk, waits + 1));
        }
        let digest = <D::Store as Files>::Source::digest(&chunk, &self.0.tools.hasher);
        drop(chunk);
        self.0.driver.on_written(len);
        self.on_stored(range, index, len, written.map(|()| digest));
    }

    /// Why it was not written, if that may pass.
    fn to_try_again<'a>(
        &self,
        range: &Incoming<D::Store>,
        written: &'a Result<(), StorageError>,
        waits: u32,
    ) -> Option<&'a StorageError> {
        written.as_ref().err().filter(|error| !range.io.is_given_up() && self.may_wait(error, waits))
    }

    /// A chunk is in its file, or cannot be.
    fn on_stored(&self, range: &Incoming<D::Store>, index: u64, len: usize, digest: Result<Digest, StorageError>) {
        match digest {
            Ok(digest) => self.on_chunk(range, index, len as u64, digest),
            Err(error) => {
                range.io.give_up();
                range.all_written.notify_one();
                self.fail(range.header.id, (&error).into());
            }
        }
    }

    /// On a disk thread.
    fn on_chunk(&self, range: &Incoming<D::Store>, index: u64, bytes: u64, digest: Digest) {
        self.0.tools.observer.written(&range.progress, bytes);
        let complete = self.feed(|ledger| {
            // Counted where it is noted: whoever ends the range finds all its other chunks noted.
            let ends_range = range.written.fetch_add(bytes, Ordering::AcqRel) + bytes == range.header.len;
            ledger.on_chunk(range.header.id, index, digest, ends_range)
        });
        if range.is_written() {
            range.all_written.notify_one();
        }
        complete.into_iter().for_each(|complete| self.sum_up(complete));
    }
}

/// Tells the sender how much is written, until all is or nobody wants it any more.
async fn report(range: &Incoming, reports: &mut SendStream) {
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
