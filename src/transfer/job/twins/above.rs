//! The directories that names lie in, of which the disk has said, or is still to say, whether they are other ones of the job.

use std::collections::HashMap;

use super::{NAME_BYTES, Twins};
use crate::protocol::message::FileId;
use crate::protocol::path::WirePath;
use crate::transfer::Room;

/// What became of directories.
#[derive(Default)]
pub(super) struct TwinDirs {
    /// Those that are another spelling of one before, and that one.
    refused: HashMap<WirePath, WirePath>,
    /// Those of which that is not known yet, each with its own offer: it is when that is settled.
    waiting: Vec<(WirePath, FileId)>,
    /// There was no room for one that was refused.
    pub(super) lacks_refused: bool,
}

impl<R: Room> Twins<R> {
    /// Whether there was a directory that was refused and that there was no room to remember.
    pub(crate) fn lacks_refused(&self) -> bool {
        self.above.lacks_refused
    }

    /// A directory waits for an earlier one of a name that is like its own, and what lies in it waits for that directory.
    pub(crate) fn wait(&mut self, dir: &WirePath, own: FileId) {
        self.above.waiting.push((dir.clone(), own));
    }

    /// The directory that `path` lies in, if that waits.
    pub(crate) fn waits_above(&self, path: &WirePath) -> Option<FileId> {
        let found = self.above.waiting.iter().find(|(dir, _)| path.strip_prefix(dir).is_some());
        found.map(|(_, own)| *own)
    }

    /// A directory waits no longer.
    pub(crate) fn settle(&mut self, own: FileId) {
        self.above.waiting.retain(|(_, id)| *id != own);
    }

    /// A directory is another spelling of one that is there.
    pub(crate) fn refuse(&mut self, dir: &WirePath, first: &WirePath) {
        if self.above.refused.contains_key(dir) {
            return;
        }
        match self.take(NAME_BYTES + dir.as_bytes().len() + first.as_bytes().len()) {
            true => drop(self.above.refused.insert(dir.clone(), first.clone())),
            false => self.above.lacks_refused = true,
        }
    }

    /// The directory before, if `path` lies in one that was refused for it.
    pub(crate) fn refused_above(&self, path: &WirePath) -> Option<&WirePath> {
        if self.above.refused.is_empty() {
            return None;
        }
        std::iter::successors(path.parent(), WirePath::parent).find_map(|dir| self.above.refused.get(&dir))
    }
}
