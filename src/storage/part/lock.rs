//! One writer for each part.

use std::collections::BTreeSet;
use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::protocol::path::escape_path;
use crate::storage::cause::{Cause as _, FailureKind, ThereOrNot as _};
use crate::storage::dir::Dir;
use crate::storage::error::{Op, StorageError};
use crate::storage::meta::ObjectId;

/// Takes the lock. Where the file system has none, this process at least holds the name once.
pub(super) fn lock(file: &File, dir: &Dir, name: &[u8], target: &Path) -> Result<Option<HeldName>, StorageError> {
    match file.try_lock() {
        Ok(()) => Ok(None),
        Err(TryLockError::WouldBlock) => Err(StorageError::new(Op::Lock, target, Errno::WOULDBLOCK)),
        // Elsewhere there may be locks, and another writer that has this one.
        Err(TryLockError::Error(cause)) if cause.kind_of_failure() == FailureKind::Passing => {
            Err(StorageError::new(Op::Lock, target, cause))
        }
        Err(TryLockError::Error(cause)) => {
            tracing::debug!(target = %escape_path(target), %cause, "there are no locks");
            HeldName::take(dir.lasting_id(), name)
                .map(Some)
                .ok_or_else(|| StorageError::new(Op::Lock, target, Errno::WOULDBLOCK))
        }
    }
}

/// Whether somebody has the lock of the part of that name. One that is not ours to open, or is not there, nobody is known to
/// have.
pub(super) fn is_locked(dir: &Dir, name: &[u8]) -> io::Result<bool> {
    let Some(file) = dir.open_file(name, OFlags::RDONLY).if_had()? else { return Ok(false) };
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(cause)) if cause.kind_of_failure() == FailureKind::Passing => Err(cause),
        Err(TryLockError::Error(_)) => Ok(HeldName::is_taken(dir.lasting_id(), name)),
    }
}

/// The names of parts that this process writes where there are no locks.
static HELD: Mutex<BTreeSet<(ObjectId, Box<[u8]>)>> = Mutex::new(BTreeSet::new());

/// One of [`HELD`], given back when dropped.
#[derive(Debug)]
pub(super) struct HeldName(ObjectId, Box<[u8]>);

impl HeldName {
    fn is_taken(dir: ObjectId, name: &[u8]) -> bool {
        HELD.lock().unwrap_or_else(PoisonError::into_inner).contains(&(dir, name.into()))
    }

    fn take(dir: ObjectId, name: &[u8]) -> Option<Self> {
        let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
        held.insert((dir, name.into())).then(|| Self(dir, name.into()))
    }
}

impl Drop for HeldName {
    fn drop(&mut self) {
        HELD.lock().unwrap_or_else(PoisonError::into_inner).remove(&(self.0, std::mem::take(&mut self.1)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_locks_a_name_is_held_once_at_a_time_in_this_process() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open(temp.path()).unwrap().id();
        let held = HeldName::take(dir, b"part");
        assert!(held.is_some() && HeldName::take(dir, b"part").is_none() && HeldName::take(dir, b"other").is_some());
        assert!(HeldName::is_taken(dir, b"part") && !HeldName::is_taken(dir, b"other"));
        drop(held);
        assert!(!HeldName::is_taken(dir, b"part") && HeldName::take(dir, b"part").is_some());
    }
}
