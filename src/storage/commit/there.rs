//! Files that are there under their names already, and are to be durable.

use std::collections::HashMap;
use std::sync::Arc;

use rustix::io::Errno;

use super::{CommitJob, CommitWork, Committed, Told};
use crate::protocol::path::WirePath;
use crate::storage::dir::Dir;
use crate::storage::error::{Op, StorageError, failed};
use crate::storage::root::Destination;

/// One of a group. Once `outcome` is a failure, the later steps leave it out.
pub(super) struct ExistingObject {
    root: Destination,
    path: WirePath,
    /// Whether its content may not be on the disk either.
    content: bool,
    /// See [`Committed::unset`].
    unset: Option<StorageError>,
    outcome: Result<(), StorageError>,
    told: Told,
}

impl ExistingObject {
    pub(super) fn new(
        root: Destination,
        path: WirePath,
        content: bool,
        unset: Option<StorageError>,
        told: Told,
    ) -> Self {
        Self { root, path, content, unset, outcome: Ok(()), told }
    }

    fn dir(&self) -> Result<Arc<Dir>, StorageError> {
        let found = self.root.in_parent(&self.path, |dir, _| Ok(Arc::clone(dir)));
        found.map_err(failed(Op::Sync, self.path.as_path()))
    }

    /// `is_durable` tells whether its name is. Returns the job that is to be tried again.
    pub(super) fn answer(
        self,
        is_durable: impl FnOnce(&Destination, &WirePath) -> Result<(), StorageError>,
    ) -> Option<CommitJob> {
        let Self { root, path, content, unset, outcome, mut told } = self;
        let outcome = outcome.and_then(|()| is_durable(&root, &path));
        if told.puts_off(outcome.as_ref().err()) {
            return Some(CommitJob { work: CommitWork::There { root, path, content, unset }, told });
        }
        told.tell(outcome.map(|()| Committed { path, unset }));
        None
    }
}

/// Makes contents durable that somebody else has written: whole file systems at once, for none of these files is open.
pub(super) fn sync(files: &mut [ExistingObject]) {
    let mut synced: HashMap<u64, Result<(), Errno>> = HashMap::new();
    for file in files.iter_mut().filter(|file| file.content) {
        file.outcome = file.dir().and_then(|dir| {
            let outcome = *synced.entry(dir.id().dev).or_insert_with(|| dir.sync_file_system());
            outcome.map_err(failed(Op::Sync, file.path.as_path()))
        });
    }
}
