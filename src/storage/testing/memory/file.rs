//! Files of a store in memory that are open: to be read, and to be written.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use rustix::io::Errno;

use super::data::{ChunkContent, FileData};
use super::image::Number;
use super::names::{PART_MODE, meta_of};
use super::state::State;
use super::store::MemoryStore;
use crate::digest::{ChunkHasher, Digest};
use crate::protocol::message::Mtime;
use crate::protocol::path::WirePath;
use crate::storage::cause::Refusal;
use crate::storage::error::{Op, StorageError, failed};
use crate::storage::source::{DataMap, Since, settles_in};
use crate::storage::store::PartFile;
use crate::storage::{Meta, ReadFile, kept_mode};

/// Chunks that are hashed at one go: fewer than a file may have here.
const CHUNKS_A_TURN: u64 = 2;

/// A file that is open to be read. It stays what it is when its name is given to another.
#[derive(Debug)]
pub(crate) struct MemorySource {
    store: MemoryStore,
    path: WirePath,
    number: Number,
    meta: Meta,
    opened: SystemTime,
}

impl MemorySource {
    pub(super) fn new(store: MemoryStore, path: WirePath, number: Number, meta: Meta, opened: SystemTime) -> Self {
        Self { store, path, number, meta, opened }
    }

    fn run<T>(&self, op: Op, act: impl FnOnce(&mut State, Number) -> Result<T, Errno>) -> Result<T, StorageError> {
        self.store.run(op, &self.path, |state| act(state, self.number))
    }

    fn now(&self) -> Result<Meta, StorageError> {
        self.run(Op::Stat, |state, number| meta_of(&state.memory, number))
    }

    /// Gives it time and mode.
    pub(super) fn set_meta(&self, mtime: Mtime, mode: impl FnOnce(u32) -> u32) -> Result<(), StorageError> {
        self.run(Op::SetMeta, |state, number| {
            let there = state.memory.inode(number)?.mode;
            state.set_meta(number, mtime, mode(there))
        })
    }

    pub(super) fn sync(&self) -> Result<(), StorageError> {
        self.run(Op::Sync, |state, number| state.sync_file(number))
    }
}

impl ReadFile for MemorySource {
    type Content = ChunkContent;

    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn read_at(&self, content: &mut ChunkContent, offset: u64) -> Result<usize, StorageError> {
        self.run(Op::Read, |state, number| Ok(state.memory.file(number)?.read(offset, content) as usize))
    }

    fn read_to_end(&self, content: &mut ChunkContent) -> Result<usize, StorageError> {
        self.run(Op::Read, |state, number| {
            let data = state.memory.file(number)?;
            let read = data.read(0, content);
            Ok((read + u64::from(data.size() > content.len())) as usize)
        })
    }

    fn digest(content: &ChunkContent, hasher: &ChunkHasher) -> Digest {
        content.digest(hasher)
    }

    fn hash(&self, hasher: &ChunkHasher, first: u64, end: u64) -> Result<Vec<Digest>, StorageError> {
        self.run(Op::Read, |state, number| Ok(state.memory.file(number)?.digests(hasher, first, end, CHUNKS_A_TURN)))
    }

    fn advise_sequential(&self) {}

    fn data_map(&self, from: u64, _: u64) -> Result<DataMap, StorageError> {
        let ranges =
            self.run(Op::Read, |state, number| Ok(state.memory.file(number)?.data_ranges(from, self.meta.size)))?;
        let mut map = DataMap::default();
        map.add(ranges);
        Ok(map)
    }

    fn data_in(&self, range: Range<u64>, _: u64) -> Result<Vec<Range<u64>>, StorageError> {
        self.run(Op::Read, |state, number| Ok(state.memory.file(number)?.data_ranges(range.start, range.end)))
    }

    fn settles_in(&self) -> Option<Duration> {
        settles_in(self.meta.identity.ctime, self.opened)
    }

    fn since_opened(&self) -> Result<Since, StorageError> {
        Ok(Since::between(&self.meta, &self.now()?))
    }

    fn has_honest_size(&self) -> Result<bool, StorageError> {
        Ok(true)
    }

    fn is_longer_than(&self, size: u64) -> Result<bool, StorageError> {
        Ok(self.now()?.size > size)
    }

    fn has_mode(&self, mode: u32) -> Result<bool, StorageError> {
        Ok(self.now()?.mode & 0o777 == kept_mode(mode))
    }

    fn up_to(mut self, size: u64) -> Self {
        self.meta.size = self.meta.size.min(size);
        self
    }
}

/// A file that is being written, under a lock that goes with it.
#[derive(Debug)]
pub(crate) struct MemoryPart {
    store: MemoryStore,
    pub(super) dir: Number,
    pub(super) path: WirePath,
    pub(super) name: Vec<u8>,
    number: Number,
    /// End of everything that was written.
    end: AtomicU64,
    /// It has its final name.
    pub(super) is_settled: bool,
}

impl MemoryPart {
    pub(super) fn new(
        store: MemoryStore,
        dir: Number,
        path: WirePath,
        name: Vec<u8>,
        number: Number,
    ) -> Result<Self, StorageError> {
        let part = Self { store, dir, path, name, number, end: AtomicU64::new(0), is_settled: false };
        part.end.store(part.kept()?, Ordering::Relaxed);
        Ok(part)
    }

    /// Bytes that the disk has of it.
    fn kept(&self) -> Result<u64, StorageError> {
        let state = self.store.volume.state();
        let size = state.memory.file(self.number).map(FileData::size);
        size.map_err(failed(Op::Stat, self.path.as_path()))
    }

    pub(super) fn store(&self) -> &MemoryStore {
        &self.store
    }

    pub(super) fn run<T>(
        &self,
        op: Op,
        act: impl FnOnce(&mut State, Number) -> Result<T, Errno>,
    ) -> Result<T, StorageError> {
        self.store.run(op, &self.path, |state| act(state, self.number))
    }

    /// Empties it; the content that is left to be taken over, where it is not shared.
    pub(super) fn begin_to_adopt(&self, from: &MemorySource, len: u64) -> Result<u64, StorageError> {
        let len = len.min(from.meta.size);
        self.run(Op::Write, |state, number| {
            let held = state.memory.file(from.number)?.clone();
            let is_shared = state.quirks.shares;
            state.write(number, |data| *data = if is_shared { held } else { FileData::default() })
        })?;
        self.end.store(self.kept()?, Ordering::Relaxed);
        Ok(len)
    }

    /// Takes over the rest. A source that was cut meanwhile leaves a hole.
    pub(super) fn adopt_rest(&self, from: &MemorySource, len: u64) -> Result<bool, StorageError> {
        self.run(Op::Write, |state, number| {
            let held = state.memory.file(from.number)?.clone();
            let is_shared = state.quirks.shares;
            state.write(number, |data| {
                if !is_shared {
                    *data = held;
                }
                data.set_len(len);
            })
        })?;
        self.end.store(len, Ordering::Relaxed);
        Ok(true)
    }

    /// Gives it its final length, time and mode. What is returned is why it has not got the latter two.
    pub(super) fn finish(&self, size: u64, mtime: Mtime, mode: u32) -> Result<Option<StorageError>, StorageError> {
        // As the disk does before it lengthens a file with zeros.
        if self.kept()? < self.end.load(Ordering::Relaxed).min(size) {
            return Err(StorageError::new(Op::Write, self.path.as_path(), Refusal::NotKept));
        }
        self.run(Op::Write, |state, number| {
            if state.memory.file(number)?.size() == size {
                return Ok(());
            }
            state.write(number, |data| data.set_len(size))
        })?;
        Ok(self.run(Op::SetMeta, |state, number| state.set_meta(number, mtime, kept_mode(mode))).err())
    }

    /// Makes it durable, or nothing of it is left.
    pub(super) fn sync(&self) -> Result<(), StorageError> {
        self.run(Op::Sync, |state, number| state.sync_file(number)).inspect_err(|_| drop(self.truncate(0)))
    }

    /// Fails when its name stands for something else.
    pub(super) fn check_name(&self) -> Result<(), StorageError> {
        let found = self.run(Op::Rename, |state, _| match state.memory.look_up(self.dir, &self.name) {
            Err(Errno::NOENT) => Ok(None),
            found => found.map(Some),
        })?;
        match found {
            Some(number) if number == self.number => Ok(()),
            _ => Err(StorageError::new(Op::Rename, self.path.as_path(), Refusal::PartReplaced)),
        }
    }
}

impl PartFile for MemoryPart {
    type Content = ChunkContent;

    fn len(&self) -> u64 {
        self.end.load(Ordering::Relaxed)
    }

    fn truncate(&self, len: u64) -> Result<(), StorageError> {
        self.run(Op::Write, |state, number| state.write(number, |data| data.set_len(len)))?;
        self.end.store(len, Ordering::Relaxed);
        Ok(())
    }

    fn write_at(&self, content: &ChunkContent, offset: u64) -> Result<(), StorageError> {
        self.run(Op::Write, |state, number| state.write_content(number, offset, content))?;
        self.end.fetch_max(offset + content.len(), Ordering::Relaxed);
        Ok(())
    }

    fn hash(&self, hasher: &ChunkHasher, first: u64, end: u64) -> Result<Vec<Digest>, StorageError> {
        self.run(Op::Read, |state, number| Ok(state.memory.file(number)?.digests(hasher, first, end, CHUNKS_A_TURN)))
    }

    fn write_back_early(&self) {}

    fn discard(mut self) -> Result<(), StorageError> {
        self.is_settled = true;
        self.run(Op::Remove, |state, _| state.remove(self.dir, &self.name))
    }
}

impl Drop for MemoryPart {
    fn drop(&mut self) {
        let mut state = self.store.volume.state();
        if !state.is_alive(self.store.process) {
            return;
        }
        state.locks.remove(&self.number);
        if self.is_settled {
            return;
        }
        if let Ok(inode) = state.memory.inode_mut(self.number) {
            inode.mode = PART_MODE;
        }
        let is_empty = state.memory.file(self.number).is_ok_and(|data| data.size() == 0);
        let is_named = state.memory.look_up(self.dir, &self.name).is_ok_and(|number| number == self.number);
        if is_empty && is_named {
            // As on a disk that fails, it stays.
            let _ = state.remove(self.dir, &self.name);
        }
    }
}
