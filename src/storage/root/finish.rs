//! Directories that are complete: their times and modes, set last, for writing into one changes its time.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::super::dir::Dir;
use super::super::error::{Op, StorageError, failed};
use super::super::meta::DirMeta;
use super::super::system::SYNC_EACH_MAX;
use super::Destination;
use crate::protocol::path::WirePath;
use crate::transfer::commit::Durability;

impl Destination {
    /// Sets times and modes of directories, which come in the order of their names, and makes that durable where `sync`
    /// says so. What one cannot have is told to `unset`; the others get theirs.
    ///
    /// # Errors
    /// When this process has too many files open; `dirs` are those that are left then, for another time.
    pub(crate) fn finish_dirs(
        &self,
        dirs: &mut BTreeMap<WirePath, DirMeta>,
        sync: Durability,
        mut unset: impl FnMut(&StorageError),
    ) -> Result<(), StorageError> {
        let mut changed = Changed::default();
        let mut result = Ok(());
        // Innermost first: what a child gets must not touch a parent that is done, nor shut it before.
        while let Some((path, meta)) = dirs.pop_last() {
            match self.open_dir(&path) {
                Ok(dir) => {
                    let applied = meta.apply(&dir).map_err(failed(Op::SetMeta, path.as_path()));
                    applied.unwrap_or_else(|error| unset(&error));
                    changed.note(path, dir);
                }
                Err(error) if error.is_passing() => {
                    dirs.insert(path, meta);
                    result = Err(error);
                    break;
                }
                Err(error) => unset(&error),
            }
        }
        if sync == Durability::Synced {
            changed.sync(unset);
        }
        result
    }
}

/// Directories whose times are not durable yet, by file system: more than are synced one by one need not be known.
#[derive(Default)]
struct Changed(HashMap<u64, Vec<(WirePath, Arc<Dir>)>>);

impl Changed {
    fn note(&mut self, path: WirePath, dir: Arc<Dir>) {
        let known = self.0.entry(dir.id().dev).or_default();
        if known.len() <= SYNC_EACH_MAX {
            known.push((path, dir));
        }
    }

    fn sync(self, mut unset: impl FnMut(&StorageError)) {
        for dirs in self.0.into_values() {
            if dirs.len() > SYNC_EACH_MAX && dirs[0].1.sync_file_system().is_ok() {
                continue;
            }
            for (path, dir) in dirs {
                dir.sync().unwrap_or_else(|error| unset(&failed(Op::Sync, path.as_path())(error)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::storage::meta::DirMode;
    use crate::storage::testing::{SOME_TIME, TestRoot, fail_sync, heal, wire};

    fn finish(place: &TestRoot, count: usize, sync: Durability) -> Vec<Op> {
        let meta = DirMeta { mtime: SOME_TIME, mode: DirMode::Kept };
        let mut dirs = (0..count).map(|n| (wire(&format!("{n}")), meta)).collect();
        let mut unset = Vec::new();
        place.root.finish_dirs(&mut dirs, sync, |error| unset.push(error.op)).unwrap();
        assert!(dirs.is_empty());
        unset
    }

    #[test]
    fn times_of_directories_are_synced_few_or_many() {
        for count in [1, 3 * SYNC_EACH_MAX] {
            let place = TestRoot::new();
            for n in 0..count {
                assert!(place.root.make_dir(&wire(&format!("{n}"))).unwrap());
            }
            fail_sync(&place.path("0"));
            let unset = finish(&place, count, Durability::Synced);
            assert_eq!(finish(&place, count, Durability::Unsynced), [], "nothing is synced");
            heal();
            // Of many the first that are asked one by one after the file system as a whole has failed.
            assert!(unset.iter().all(|op| *op == Op::Sync), "{unset:?}");
            assert!(count > 1 || unset.len() == 1, "{unset:?}");
            assert_eq!(finish(&place, count, Durability::Synced), []);
            for n in 0..count {
                assert_eq!(place.path(n.to_string()).metadata().unwrap().mtime(), SOME_TIME.secs);
            }
        }
    }

    #[test]
    fn a_directory_that_is_gone_keeps_no_other_from_its_time() {
        let place = TestRoot::new();
        place.root.make_dir(&wire("1")).unwrap();
        assert_eq!(finish(&place, 2, Durability::Synced), [Op::SetMeta]);
        assert_eq!(place.path("1").metadata().unwrap().mtime(), SOME_TIME.secs);
    }
}
