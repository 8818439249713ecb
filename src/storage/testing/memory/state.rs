//! The state of a disk, and what can be done to it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use rustix::io::Errno;

use super::data::{ChunkContent, FileData};
use super::image::{DirChange, Image, Inode, Number, Object, ROOT, Seen};
use crate::protocol::message::Mtime;
use crate::protocol::path::WirePath;

/// The tick of the clock that files are stamped with, in nanoseconds: that of most kernels.
const TICK_NANOS: u64 = 4_000_000;

const NANOS_A_SECOND: u64 = 1_000_000_000;

/// The time that stands still until somebody moves it. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct ManualClock(Arc<AtomicU64>);

impl ManualClock {
    /// Some time in 2023, in the middle of a second.
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicU64::new(1_700_000_000 * NANOS_A_SECOND + 123_456_789)))
    }

    pub(crate) fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.since_1970()
    }

    pub(crate) fn since_1970(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.0.fetch_add(by.as_nanos() as u64, Ordering::Relaxed);
    }
}

/// The quirks of a disk.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Quirks {
    /// Names that differ in case alone are one name.
    pub(crate) folds: bool,
    /// Times are multiples of so many nanoseconds.
    pub(crate) time_step: u64,
    /// Files can share content, so that an older version need not be copied.
    pub(crate) shares: bool,
    /// Bytes that it holds.
    pub(crate) capacity: u64,
    /// Of what is written to a file it keeps so many bytes, and says nothing of the rest.
    pub(crate) keeps: u64,
}

impl Default for Quirks {
    fn default() -> Self {
        Self { folds: false, time_step: 1, shares: false, capacity: u64::MAX, keeps: u64::MAX }
    }
}

/// The change that another program makes.
#[derive(Debug, Clone)]
pub(crate) enum UserChange {
    /// It gives a name to something new, as an editor does that renames.
    Put(WirePath, Object, u32),
    /// It writes a file anew in its place.
    Overwrite(WirePath, FileData),
    /// It sets a time of modification, which stamps the inode with the present one.
    SetTime(WirePath, Mtime),
    /// It sets permission bits.
    SetMode(WirePath, u32),
    /// It takes a name away, with all that lies below it.
    TakeAway(WirePath),
}

impl UserChange {
    pub(super) fn path(&self) -> &WirePath {
        match self {
            Self::Put(path, ..)
            | Self::Overwrite(path, _)
            | Self::SetTime(path, _)
            | Self::SetMode(path, _)
            | Self::TakeAway(path) => path,
        }
    }
}

/// What a [`Volume`](super::Volume) is.
#[derive(Debug)]
pub(super) struct State {
    pub(super) memory: Image,
    pub(super) durable: Image,
    /// Changes of directories that were not, in their order.
    pub(super) pending: Vec<DirChange>,
    next: Number,
    pub(super) quirks: Quirks,
    clock: ManualClock,
    /// Counts up with each process that begins to use it; handles of one before it are dead.
    pub(super) process: u64,
    /// Parts that are being written.
    pub(super) locks: BTreeSet<Number>,
    /// What fails: the operation after so many others, and how.
    pub(super) failure: Option<(u64, Errno)>,
    pub(super) operations: u64,
    pub(super) failed: u64,
    /// What other programs are to do, each after so many more operations.
    pub(super) planned: Vec<(u64, UserChange)>,
    /// What they have done, and what was there then.
    pub(super) changed: Vec<(WirePath, Option<Seen>)>,
    /// Nobody finds it any more who looks for it by its path.
    pub(super) is_misplaced: bool,
}

impl State {
    pub(super) fn new(quirks: Quirks, clock: ManualClock) -> Self {
        let image = Image::new(quirks.folds, stamp(&clock, quirks.time_step));
        let (memory, durable) = (image.clone(), image);
        let (pending, locks, planned, changed) = Default::default();
        let (next, process, failure, operations, failed, is_misplaced) = (ROOT + 1, 0, None, 0, 0, false);
        Self {
            memory,
            durable,
            pending,
            next,
            quirks,
            clock,
            process,
            locks,
            failure,
            operations,
            failed,
            planned,
            changed,
            is_misplaced,
        }
    }

    /// Another process uses the disk from now on, and what the one before had open is dead.
    pub(super) fn begin_process(&mut self) -> u64 {
        self.process += 1;
        self.locks.clear();
        self.process
    }

    /// Counts an operation of a process, which fails if it is its turn to.
    pub(super) fn count(&mut self, process: u64) -> Result<(), Errno> {
        if process != self.process {
            return Err(Errno::IO);
        }
        self.interfere_in_time();
        self.operations += 1;
        match &mut self.failure {
            Some((0, errno)) => {
                let errno = *errno;
                self.failure = None;
                self.failed += 1;
                Err(errno)
            }
            Some((others, _)) => {
                *others -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Whether that process is the one that uses the disk.
    pub(super) fn is_alive(&self, process: u64) -> bool {
        self.process == process
    }

    pub(super) fn now(&self) -> Mtime {
        stamp(&self.clock, self.quirks.time_step)
    }

    pub(super) fn clock(&self) -> &ManualClock {
        &self.clock
    }

    /// A time as the disk keeps it.
    pub(super) fn kept_time(&self, time: Mtime) -> Mtime {
        let nanos = u64::try_from(time.secs).unwrap_or(0) * NANOS_A_SECOND + u64::from(time.nanos);
        rounded(nanos, self.quirks.time_step)
    }

    pub(super) fn number(&self, path: &WirePath) -> Result<Number, Errno> {
        self.memory.look_up(self.memory.parent(path)?, path.name())
    }

    pub(super) fn make(&mut self, object: Object, mode: u32) -> Number {
        let (number, now) = (self.next, self.now());
        self.next += 1;
        self.memory.insert(number, Inode { object, mtime: now, ctime: now, mode });
        number
    }

    /// Gives and takes names in one step.
    pub(super) fn change_names(&mut self, dir: Number, names: Vec<(Vec<u8>, Option<Number>)>) {
        let (change, now) = (DirChange { dir, names }, self.now());
        self.memory.apply(&change);
        if let Ok(inode) = self.memory.inode_mut(dir) {
            (inode.mtime, inode.ctime) = (now, now);
        }
        self.pending.push(change);
    }

    /// Puts something under a name that is free, or replaces what has it.
    pub(super) fn name(&mut self, dir: Number, name: &[u8], number: Number) -> Result<(), Errno> {
        // A disk that folds case keeps the spelling that is there.
        let name = self.memory.entry(dir, name)?.map_or_else(|| name.to_vec(), |(entry, _)| entry);
        self.change_names(dir, vec![(name, Some(number))]);
        Ok(())
    }

    pub(super) fn remove(&mut self, dir: Number, name: &[u8]) -> Result<(), Errno> {
        let (entry, _) = self.memory.entry(dir, name)?.ok_or(Errno::NOENT)?;
        self.change_names(dir, vec![(entry, None)]);
        Ok(())
    }

    /// Renames within a directory, over what has the new name.
    pub(super) fn rename(&mut self, dir: Number, old: &[u8], new: &[u8]) -> Result<(), Errno> {
        let (old, number) = self.memory.entry(dir, old)?.ok_or(Errno::NOENT)?;
        let there = self.memory.entry(dir, new)?;
        if let Some((_, there)) = &there
            && self.memory.entries(*there).is_ok()
        {
            return Err(Errno::ISDIR);
        }
        let new = there.map_or_else(|| new.to_vec(), |(entry, _)| entry);
        self.change_names(dir, vec![(old, None), (new, Some(number))]);
        Ok(())
    }

    /// Changes the content of a file, which stamps it.
    pub(super) fn write(&mut self, number: Number, write: impl FnOnce(&mut FileData)) -> Result<(), Errno> {
        let (before, capacity) = (self.memory.file(number)?.clone(), self.quirks.capacity);
        let filled = if capacity == u64::MAX { 0 } else { self.memory.filled() };
        write(self.memory.file_mut(number)?);
        if capacity < u64::MAX && self.memory.filled() > filled.max(capacity) {
            *self.memory.file_mut(number)? = before;
            return Err(Errno::NOSPC);
        }
        let now = self.now();
        let inode = self.memory.inode_mut(number)?;
        (inode.mtime, inode.ctime) = (now, now);
        Ok(())
    }

    /// Writes content to a file, of which the disk may keep less than it says.
    pub(super) fn write_content(&mut self, number: Number, offset: u64, content: &ChunkContent) -> Result<(), Errno> {
        let keeps = self.quirks.keeps;
        self.write(number, |data| {
            let kept = keeps.max(data.size());
            data.write(offset, content);
            data.set_len(data.size().min(kept));
        })
    }

    /// Sets time and mode.
    pub(super) fn set_meta(&mut self, number: Number, mtime: Mtime, mode: u32) -> Result<(), Errno> {
        let (mtime, now) = (self.kept_time(mtime), self.now());
        let inode = self.memory.inode_mut(number)?;
        (inode.mtime, inode.mode, inode.ctime) = (mtime, mode, now);
        Ok(())
    }

    pub(super) fn sync_file(&mut self, number: Number) -> Result<(), Errno> {
        self.durable.insert(number, self.memory.inode(number)?.clone());
        Ok(())
    }

    /// Makes the names in a directory durable, and nothing of what they lead to.
    pub(super) fn sync_dir(&mut self, dir: Number) -> Result<(), Errno> {
        let inode = self.memory.inode(dir)?.clone();
        for number in self.memory.entries(dir)?.values() {
            if self.durable.inode(*number).is_err() {
                let new = self.memory.inode(*number)?;
                let object = match &new.object {
                    Object::File(_) => Object::File(FileData::default()),
                    Object::Dir(_) => Object::Dir(BTreeMap::new()),
                    Object::Link(target) => Object::Link(target.clone()),
                };
                self.durable.insert(*number, Inode { object, ..new.clone() });
            }
        }
        self.durable.insert(dir, inode);
        self.pending.retain(|change| change.dir != dir);
        Ok(())
    }

    pub(super) fn sync_all(&mut self) {
        self.durable = self.memory.clone();
        self.pending.clear();
    }
}

fn stamp(clock: &ManualClock, step: u64) -> Mtime {
    let now = clock.since_1970().as_nanos() as u64;
    rounded(now - now % TICK_NANOS, step)
}

fn rounded(nanos: u64, step: u64) -> Mtime {
    let nanos = nanos - nanos % step;
    Mtime { secs: (nanos / NANOS_A_SECOND) as i64, nanos: (nanos % NANOS_A_SECOND) as u32 }
}
