//! A file that is being written: beside its target, under a lock, until it is committed.
//!
//! | file | holds |
//! |---|---|
//! | `open`, `lock` | the file behind a part's name, made or found; one writer for each |
//! | `content` | its content, written in any order |
//! | `unfinished` | parts that nobody continues |

mod content;
mod lock;
mod open;
mod unfinished;

use std::fs::File;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustix::fs::Stat;
use rustix::io::Errno;

use crate::protocol::message::Mtime;
use crate::protocol::path::WirePath;

use super::cause::{Cause as _, FailureKind, Refusal, ThereOrNot as _};
use super::dir::Dir;
use super::error::{Op, StorageError, failed};
use super::meta::{self, ObjectId, StatFacts};
use super::part_name::{Owner, without_dot};
use super::root::Destination;
use super::system;

pub(crate) use content::Adoption;
use lock::{HeldName, is_locked, lock};
use open::{PartOpening, length, named, open_either};
pub(crate) use unfinished::{Fate, PartSearch, Removal, Unfinished};

/// How often a part is opened again when someone removes or replaces it at that moment.
const OPEN_ATTEMPTS: usize = 16;
/// Nobody but its owner reads or writes a part.
const PART_MODE: u32 = 0o600;

/// Whether what an earlier transfer left is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fresh {
    /// It is emptied, and written anew.
    Yes,
    /// It is kept, to be continued.
    No,
}

/// A partial file, locked against every other writer until it is dropped.
///
/// Any number of threads may write it at once, each its own range. Dropping it keeps the file (unless it
/// never held anything), so that a later transfer continues from it.
#[derive(Debug)]
pub struct Part {
    root: Destination,
    dir: Arc<Dir>,
    target: WirePath,
    name: Box<[u8]>,
    file: File,
    /// Where the file system has no locks.
    _held: Option<HeldName>,
    id: ObjectId,
    opened: u64,
    /// End of everything written, zeros that were left out included.
    end: AtomicU64,
    /// End of what the file itself may hold as data: beyond it, zeros need no writing.
    data_end: AtomicU64,
    reserved: AtomicBool,
    write_back: AtomicBool,
    /// It has been given the mode of the file that it is to become.
    finished: AtomicBool,
    settled: bool,
}

impl Part {
    /// The length of the part that an earlier transfer left for `target`; `None` without one.
    ///
    /// # Errors
    /// When it cannot be told.
    pub fn peek(root: &Destination, target: &WirePath, owner: Owner<'_>) -> Result<Option<u64>, StorageError> {
        let found = root.in_parent(target, |dir, _| {
            Ok(length(dir, &owner.part_name(dir, target), || owner.spare_part_name(dir, target))?)
        });
        Ok(found.if_there().map_err(failed(Op::Stat, target.as_path()))?.flatten())
    }

    /// Makes sure that no writer has the part of `target`: one that lives, or the end of a connection that was lost. It may
    /// become the file at any moment.
    ///
    /// # Errors
    /// Status `Busy` when one has it.
    pub fn check_free(root: &Destination, target: &WirePath, owner: Owner<'_>) -> Result<(), StorageError> {
        let held = root.in_parent(target, |dir, _| {
            let (usual, spare) = (owner.part_name(dir, target), owner.spare_part_name(dir, target));
            let dotless = dir.file_system().is_particular_about_names().then(|| without_dot(&spare));
            for name in [&*usual, &*spare].into_iter().chain(dotless) {
                if is_locked(dir, name)? {
                    return Err(Errno::WOULDBLOCK.into());
                }
            }
            Ok(())
        });
        held.if_there().map(drop).map_err(failed(Op::Lock, target.as_path()))
    }

    /// Opens or makes the part of `target`, with missing parent directories, and locks it. A link or
    /// anything else that is no plain file of its own is removed from its name first, never followed. A file of another
    /// user is neither used nor removed: it may be a transfer of his, or wait to be read and changed by him later; nor is a
    /// directory, which is no part of ours. The part has another name then.
    ///
    /// # Errors
    /// Status `Busy` while another writer has it.
    pub fn open(root: &Destination, target: &WirePath, owner: Owner<'_>, fresh: Fresh) -> Result<Self, StorageError> {
        let mut is_spare = false;
        for _ in 0..OPEN_ATTEMPTS {
            let opened = root.in_made_parent(target, |dir, _| {
                let name = if is_spare { owner.spare_part_name(dir, target) } else { owner.part_name(dir, target) };
                let (opened, name) = open_either(dir, name, || owner.spare_part_name(dir, target))?;
                Ok((opened, name, Arc::clone(dir)))
            });
            let (opened, name, dir) = opened.map_err(|error| not_opened(target, error))?;
            let (file, id) = match opened {
                PartOpening::Part(file, id) => (file, id),
                PartOpening::Changed => continue,
                PartOpening::Foreign if is_spare || !name.starts_with(b".") => {
                    return Err(StorageError::new(Op::Create, target.as_path(), Refusal::PartForeign));
                }
                PartOpening::Foreign => {
                    is_spare = true;
                    continue;
                }
            };
            let held = lock(&file, &dir, &name, target.as_path())?;
            // The previous holder of the lock may have committed or removed the file that was opened here, or written
            // to it.
            if let Some(found) = named(&dir, &name, &file, id).map_err(failed(Op::Create, target.as_path()))? {
                return Self::locked(root.clone(), dir, target.clone(), name, file, held, &found, fresh);
            }
        }
        Err(StorageError::new(Op::Create, target.as_path(), Refusal::PartReplaced))
    }

    fn locked(
        root: Destination,
        dir: Arc<Dir>,
        target: WirePath,
        name: Box<[u8]>,
        file: File,
        held: Option<HeldName>,
        found: &Stat,
        fresh: Fresh,
    ) -> Result<Self, StorageError> {
        static OPENED: AtomicU64 = AtomicU64::new(0);
        if found.st_mode & 0o7777 != PART_MODE
            && let Err(error) = file.set_permissions(std::fs::Permissions::from_mode(PART_MODE))
        {
            if error.kind_of_failure() == FailureKind::Passing {
                // Others could read what is written to it meanwhile.
                return Err(StorageError::new(Op::Create, target.as_path(), error));
            }
            // FAT and its like have one mode for all files, which is no reason to take none.
            tracing::debug!(%target, %error, "the mode of a part cannot be set");
        }
        let len = StatFacts::of(found).size;
        let part = Self {
            root,
            dir,
            target,
            name,
            file,
            _held: held,
            id: ObjectId::of(found),
            opened: OPENED.fetch_add(1, Ordering::Relaxed),
            end: AtomicU64::new(len),
            data_end: AtomicU64::new(len),
            reserved: AtomicBool::new(false),
            write_back: AtomicBool::new(false),
            finished: AtomicBool::new(false),
            settled: false,
        };
        if fresh == Fresh::Yes && len > 0 {
            part.truncate(0)?;
        }
        Ok(part)
    }

    /// The name that it will have.
    pub fn target(&self) -> &WirePath {
        &self.target
    }

    /// The place that the target lies in.
    pub fn root(&self) -> &Destination {
        &self.root
    }

    /// End of everything written so far, in bytes. Ranges before it may be missing still.
    pub fn len(&self) -> u64 {
        self.end.load(Ordering::Acquire)
    }

    /// Whether nothing has been written.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Removes the part.
    ///
    /// # Errors
    /// When its name cannot be removed.
    pub fn discard(mut self) -> Result<(), StorageError> {
        self.settled = true;
        self.remove().map_err(failed(Op::Remove, self.target.as_path()))
    }

    /// Gives the content its final length, mode and time. What is returned is why it has not got mode or time.
    ///
    /// # Errors
    /// When it cannot have that length.
    pub(crate) fn finish(&self, size: u64, mtime: Mtime, mode: u32) -> Result<Option<StorageError>, StorageError> {
        let path = self.target.as_path();
        let found = rustix::fs::fstat(&self.file).map_err(failed(Op::Stat, path))?;
        self.check_kept(StatFacts::of(&found).size, size)?;
        // Also frees what was reserved beyond the end.
        if StatFacts::of(&found).size != size || self.reserved.load(Ordering::Acquire) {
            self.file.set_len(size).map_err(failed(Op::Write, path))?;
        }
        self.finished.store(true, Ordering::Release);
        let mode = meta::kept_mode(mode);
        let applied = meta::apply_to(&self.file, &found, self.dir.file_system(), mtime, |_| mode);
        Ok(applied.map_err(failed(Op::SetMeta, path)).err())
    }

    /// Asks for what only closing a file tells: on NFS, FUSE and others the last write may fail there. The lock stays, for
    /// a second descriptor is closed. After a failure the content is gone, as after that of a sync.
    pub(crate) fn flush(&self) -> Result<(), StorageError> {
        system::flush(&self.file).map_err(|error| {
            self.distrust();
            StorageError::new(Op::Write, self.target.as_path(), error)
        })
    }

    /// Makes the content durable. After a failure it is gone: the kernel has marked as clean what it could not
    /// write, so the next sync would succeed, and reading would show what never reached the disk.
    pub(crate) fn sync(&self) -> Result<(), StorageError> {
        // Not `fdatasync`: time and mode are part of what was promised.
        system::sync(&self.file).map_err(|error| {
            self.distrust();
            StorageError::new(Op::Sync, self.target.as_path(), error)
        })
    }

    fn remove(&mut self) -> Result<(), Errno> {
        let (dir, name) = (Arc::clone(&self.dir), self.name.clone());
        dir.remove_open(&name, || {
            self.close();
        })
    }

    /// Empties the part, so that its name goes with it when it is dropped.
    fn distrust(&self) {
        if let Err(error) = self.truncate(0) {
            tracing::warn!(%error, "what is left of a part that could not be synced");
            // Removing the name may still work.
            self.end.store(0, Ordering::Release);
        }
    }

    /// Fails when the part's name does not stand for this part any more: renaming would publish something else.
    pub(crate) fn check_name(&self) -> Result<(), StorageError> {
        match named(&self.dir, &self.name, &self.file, self.id) {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err(StorageError::new(Op::Rename, self.target.as_path(), Refusal::PartReplaced)),
            Err(error) => Err(StorageError::new(Op::Rename, self.target.as_path(), error)),
        }
    }

    pub(crate) fn name(&self) -> &[u8] {
        &self.name
    }

    pub(crate) fn dir(&self) -> &Arc<Dir> {
        &self.dir
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// The file system that it lies on.
    pub(crate) fn device(&self) -> u64 {
        self.id.dev
    }

    /// Counts up with every part that this process opens.
    pub(crate) fn opened(&self) -> u64 {
        self.opened
    }

    /// The part has its final name; it is no part any more.
    pub(crate) fn settle(&mut self) {
        self.settled = true;
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.settled && self.finished.load(Ordering::Acquire) {
            // Its commit failed. With the mode of the file, which may be read-only, nobody could continue it.
            let _ = self.file.set_permissions(std::fs::Permissions::from_mode(PART_MODE));
        }
        // One that holds nothing is litter. The lock is still held, so nobody else has begun to use it.
        if !self.settled && self.is_empty() && self.check_name().is_ok() {
            let _ = self.remove();
        }
    }
}

fn not_opened(target: &WirePath, error: io::Error) -> StorageError {
    let op = if error.kind() == io::ErrorKind::WouldBlock { Op::Lock } else { Op::Create };
    StorageError::new(op, target.as_path(), error)
}

#[cfg(test)]
mod tests;
