//! Names that were made and may not be durable yet.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;

use super::dir::Dir;
use super::meta::ObjectId;

/// Directories with new names that are not durable yet, shared by a root and all roots below it.
///
/// A file is not safe before the directories above it are, whoever made them, so a commit syncs all of these.
#[derive(Debug, Default)]
pub(crate) struct Unsynced(Mutex<Pending>);

#[derive(Debug, Default)]
struct Pending {
    dirs: HashMap<ObjectId, Change>,
    changes: u64,
}

/// A directory as it was when it was seen in [`Unsynced`].
#[derive(Debug, Clone)]
pub(crate) struct Change {
    number: u64,
    pub(crate) dir: Arc<Dir>,
    pub(crate) names: NewNames,
    /// Names that are being made in it now: a sync may come before or after them.
    under_way: usize,
}

/// The meaning of the new names in a directory. The greater counts where there are both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum NewNames {
    /// Files: none but they depend on the directory.
    Files,
    /// Directories or links: whatever lies below depends on it too.
    Others,
}

impl Unsynced {
    /// Runs `change`, which makes a name in `dir`, and remembers it. Nobody can see the name before it is noted. The disk
    /// may take its time for the change; nobody else waits for it meanwhile.
    pub(crate) fn note<T>(&self, dir: &Arc<Dir>, change: impl FnOnce() -> Result<T, Errno>) -> Result<T, Errno> {
        self.note_names(dir, NewNames::Others, change)
    }

    /// The same for a name of that kind.
    pub(crate) fn note_names<T>(
        &self,
        dir: &Arc<Dir>,
        names: NewNames,
        change: impl FnOnce() -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let is_new = self.begin(dir, names);
        let changed = change();
        self.end(dir.id(), changed.is_ok(), is_new);
        changed
    }

    /// A name is about to be made. True when nothing else was noted of the directory.
    fn begin(&self, dir: &Arc<Dir>, names: NewNames) -> bool {
        let mut pending = self.pending();
        let is_new = !pending.dirs.contains_key(&dir.id());
        let unknown = || Change { number: 0, dir: Arc::clone(dir), names, under_way: 0 };
        let known = pending.dirs.entry(dir.id()).or_insert_with(unknown);
        known.names = known.names.max(names);
        known.under_way += 1;
        is_new
    }

    /// It was made, or could not be.
    fn end(&self, id: ObjectId, is_made: bool, is_new: bool) {
        let mut pending = self.pending();
        let number = pending.changes + u64::from(is_made);
        pending.changes = number;
        let Some(known) = pending.dirs.get_mut(&id) else { return };
        known.under_way -= 1;
        if is_made {
            known.number = number;
        } else if is_new && known.under_way == 0 && known.number == 0 {
            pending.dirs.remove(&id);
        }
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether names in that directory may not be durable. Where it may have had another number when it was noted, any
    /// directory of its disk may have been it.
    pub(crate) fn holds(&self, dir: &Dir) -> bool {
        let pending = self.pending();
        let may_be_it = |other: &ObjectId| other.dev == dir.id().dev && !dir.file_system().keeps_numbers();
        pending.dirs.contains_key(&dir.id()) || pending.dirs.keys().any(may_be_it)
    }

    pub(crate) fn len(&self) -> usize {
        self.pending().dirs.len()
    }

    /// What is waiting now. It stays until [`settle`](Self::settle), so that a second committer syncs it too
    /// instead of trusting a sync that has not happened yet.
    pub(crate) fn waiting(&self) -> Vec<Change> {
        let pending = self.pending();
        pending.dirs.values().cloned().collect()
    }

    /// Forgets changes that are durable now, but not a later change of the same directory.
    pub(crate) fn settle<'a>(&self, done: impl IntoIterator<Item = &'a Change>) {
        let mut pending = self.pending();
        for change in done {
            let id = change.dir.id();
            if pending.dirs.get(&id).is_some_and(|known| known.number == change.number && known.under_way == 0) {
                pending.dirs.remove(&id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::dir::DIR_MODE;

    #[test]
    fn a_change_during_a_sync_stays_noted() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Arc::new(Dir::open(temp.path()).unwrap());
        let unsynced = Unsynced::default();
        unsynced.note(&dir, || dir.make_dir(b"a", DIR_MODE)).unwrap();
        let first = unsynced.waiting();
        unsynced.note(&dir, || dir.make_dir(b"b", DIR_MODE)).unwrap();
        unsynced.settle(&first);
        assert_eq!(unsynced.len(), 1);
        unsynced.settle(&unsynced.waiting());
        assert_eq!(unsynced.len(), 0);
    }

    #[test]
    fn a_change_under_way_is_noted_and_keeps_nobody_waiting() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Arc::new(Dir::open(temp.path()).unwrap());
        let unsynced = Unsynced::default();
        let change = || {
            // On another thread this would be a committer, and a client that makes a directory.
            let seen = unsynced.waiting();
            assert!(unsynced.holds(&dir) && seen.len() == 1);
            unsynced.settle(&seen);
            unsynced.note(&dir, || dir.make_dir(b"b", DIR_MODE)).unwrap();
            unsynced.settle(&unsynced.waiting());
            dir.make_dir(b"a", DIR_MODE)
        };
        unsynced.note(&dir, change).unwrap();
        assert!(unsynced.holds(&dir), "it was synced before the change was made, perhaps");
        unsynced.settle(&unsynced.waiting());
        assert_eq!(unsynced.len(), 0);
    }

    #[test]
    fn a_change_that_failed_is_not_noted() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Arc::new(Dir::open(temp.path()).unwrap());
        let unsynced = Unsynced::default();
        assert_eq!(unsynced.note(&dir, || dir.make_dir(b"..", DIR_MODE)), Err(Errno::INVAL));
        assert_eq!(unsynced.len(), 0);
    }
}
