//! Files that keep their content and get a new time and mode.

use std::collections::HashMap;
use std::sync::Arc;

use crate::protocol::message::Mtime;
use crate::protocol::path::WirePath;

use super::{CommitJob, CommitWork, Committed, Told};
use crate::storage::error::{Op, StorageError, failed};
use crate::storage::root::Destination;
use crate::storage::source::Source;
use crate::storage::system::{self, SYNC_EACH_MAX};
use crate::storage::{meta, mode};

/// A file whose content turned out to be the new one already.
pub(crate) struct Touch<R = Destination, F = Source> {
    pub(crate) root: R,
    pub(crate) source: Arc<F>,
    pub(crate) path: WirePath,
    /// Its new time of modification.
    pub(crate) mtime: Mtime,
    /// Its new permission bits; the lower nine are used.
    pub(crate) mode: u32,
}

/// One of a group. Once `outcome` is a failure, the later steps leave it out.
pub(super) struct Touched {
    touch: Touch,
    /// The time or mode that could not be set, which the content does not need.
    unset: Option<StorageError>,
    outcome: Result<(), StorageError>,
    told: Told,
}

impl Touched {
    pub(super) fn new(touch: Touch, told: Told) -> Self {
        Self { touch, unset: None, outcome: Ok(()), told }
    }

    pub(super) fn apply(&mut self) {
        let Touch { source, path, mtime, mode, .. } = &self.touch;
        let decide = |there| mode::of_kept_file(*mode, there, system::umask());
        self.unset = meta::apply(source.file(), *mtime, decide).map_err(failed(Op::SetMeta, path.as_path())).err();
    }

    fn sync(&mut self) {
        // Not `fdatasync`: time and mode are all that there is to sync.
        self.outcome = system::sync(self.touch.source.file()).map_err(failed(Op::Sync, self.touch.path.as_path()));
    }

    /// `is_durable` tells whether the file's name is. Returns the job that is to be tried again.
    pub(super) fn answer(
        self,
        is_durable: impl FnOnce(&Destination, &WirePath) -> Result<(), StorageError>,
    ) -> Option<CommitJob> {
        let Self { touch, unset, outcome, mut told } = self;
        let outcome = outcome.and_then(|()| is_durable(&touch.root, &touch.path));
        if told.puts_off(outcome.as_ref().err().or(unset.as_ref())) {
            return Some(CommitJob { work: CommitWork::Touch(touch), told });
        }
        told.tell(outcome.map(|()| Committed { path: touch.path, unset }));
        None
    }
}

/// Makes times and modes durable: one by one when they are few, else a whole file system at once.
pub(super) fn sync(files: &mut [Touched]) {
    let mut by_device: HashMap<u64, Vec<&mut Touched>> = HashMap::new();
    for file in files.iter_mut().filter(|file| file.outcome.is_ok()) {
        by_device.entry(file.touch.source.meta().identity.dev).or_default().push(file);
    }
    for mut files in by_device.into_values() {
        if files.len() > SYNC_EACH_MAX && system::sync_file_system(files[0].touch.source.file()).is_ok() {
            continue;
        }
        files.iter_mut().for_each(|file| file.sync());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::testing::{SOME_TIME, TestRoot, wire};
    use crate::storage::{Committer, Durability};
    use std::os::unix::fs::MetadataExt;
    use std::sync::mpsc;

    #[test]
    fn content_stays_and_time_and_mode_are_new() {
        for (sync, count) in
            [(Durability::Synced, 1), (Durability::Synced, 3 * SYNC_EACH_MAX), (Durability::Unsynced, 2)]
        {
            let place = TestRoot::new();
            let committer = Committer::start(sync).unwrap();
            let (sender, outcomes) = mpsc::channel();
            for n in 0..count {
                place.write(&n.to_string(), b"kept");
                let path = wire(&n.to_string());
                let source = Arc::new(place.root.open_source(&path).unwrap());
                let sender = sender.clone();
                let touch = Touch { root: place.root.clone(), source, path, mtime: SOME_TIME, mode: 0o7640 };
                committer.submit_touch(touch, Box::new(move |done| sender.send(done).unwrap()));
            }
            for n in 0..count {
                assert_eq!(outcomes.recv().unwrap().unwrap().path, wire(&n.to_string()));
                let found = std::fs::metadata(place.path(n.to_string())).unwrap();
                assert_eq!((found.mtime(), found.mode() & 0o7777), (SOME_TIME.secs, 0o640));
                assert_eq!(std::fs::read(place.path(n.to_string())).unwrap(), b"kept");
            }
        }
    }
}
