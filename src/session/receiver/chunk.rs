//! The chunks of a range that are put together from packets in any order, and written and hashed when they are whole.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::range::IncomingRange;
use super::{Driver, Receiver};
use crate::digest::CHUNK_BYTES;
use crate::progress::Counters;
use crate::session::SessionError;
use crate::session::backlog::Begun;
use crate::session::budget::Hold;
use crate::session::gaps::{Gaps, MostGaps};
use crate::session::memory::Buffer;
use crate::storage::{Content, Files, ReadFile};

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
pub(super) struct Blocks {
    begun: HashMap<u64, PartialChunk>,
    gaps: MostGaps,
    /// Where the piece that came last ended.
    next: u64,
}

impl Receiver {
    /// Copies one packet's bytes to the chunks that they belong to.
    pub(super) fn scatter(
        &self,
        range: &Arc<IncomingRange>,
        blocks: &mut Blocks,
        at: u64,
        mut bytes: &[u8],
    ) -> Result<(), SessionError> {
        let mut offset = range.place(at, bytes.len())?;
        // Where it does not go on from the piece before it, QUIC keeps a note of the gap.
        let jumps = std::mem::replace(&mut blocks.next, at + bytes.len() as u64) != at;
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
            if block.filled == len {
                self.end(range, blocks, index);
            }
            bytes = rest;
            offset += count as u64;
        }
        Ok(())
    }

    /// A chunk is whole. What was held of it goes to the disk.
    fn end(&self, range: &Arc<IncomingRange>, blocks: &mut Blocks, index: u64) {
        let Some(PartialChunk { place, gaps, .. }) = blocks.begun.remove(&index) else { return };
        blocks.gaps.keep(gaps);
        if let ChunkPlace::Memory(held) = place {
            self.store(range, index, held);
        }
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
    fn store(&self, range: &Arc<IncomingRange>, index: u64, held: HeldChunk) {
        let (receiver, range) = (self.clone(), range.clone());
        let is_behind = self.0.driver.backlog.is_behind();
        self.0.driver.backlog.add(held.buffer.len());
        self.count_taken(held.buffer.len(), is_behind);
        self.0.driver.spawn(move || receiver.store_chunk(range, index, held));
    }

    /// Writes a piece of a chunk that is put together in its file.
    fn store_piece(&self, range: &Arc<IncomingRange>, offset: u64, piece: Box<[u8]>, stored: Arc<Stored>) {
        let (receiver, range) = (self.clone(), range.clone());
        let is_behind = self.0.driver.backlog.is_behind();
        self.0.driver.backlog.add_piece(piece.len());
        self.count_taken(piece.len(), is_behind);
        self.0.driver.spawn(move || receiver.store_piece_now(range, offset, piece, stored));
    }

    /// On a disk thread. The last piece to be written is not the last one to have come.
    fn store_piece_now(&self, range: Arc<IncomingRange>, offset: u64, piece: Box<[u8]>, stored: Arc<Stored>) {
        let (count, index) = (piece.len(), offset / CHUNK_BYTES);
        let target = range.clone();
        self.keep_trying(
            move |_| target.file().write_at(&piece, offset),
            move |receiver, written| {
                receiver.0.driver.backlog.remove_piece(count);
                let len = range.block_len(index);
                match written.and_then(|written| written) {
                    Ok(()) if stored.0.fetch_add(count, Ordering::AcqRel) + count < len => {}
                    Ok(()) => {
                        let digest = range.file().hash_back(&receiver.0.tools.hasher, index);
                        receiver.on_stored(&range, index, len, digest);
                    }
                    Err(error) => receiver.on_stored(&range, index, len, Err(error)),
                }
            },
        );
    }
}

impl<D: Driver> Receiver<D> {
    /// On a disk thread: writes and hashes one chunk, which is whole.
    pub(super) fn store_chunk<C>(&self, range: Arc<IncomingRange<D::Store>>, index: u64, chunk: C)
    where
        C: std::ops::Deref<Target = Content<D::Store>> + Send + 'static,
    {
        let (len, target) = (range.block_len(index), range.clone());
        let store = move |receiver: &Self| {
            let written = target.file().write_at(&chunk, index * CHUNK_BYTES)?;
            Ok(written.map(|()| <D::Store as Files>::Source::digest(&chunk, &receiver.0.tools.hasher)))
        };
        self.keep_trying(store, move |receiver, stored| {
            receiver.0.driver.on_written(len);
            receiver.on_stored(&range, index, len, stored.and_then(|digest| digest));
        });
    }
}
