//! Symbolic links in the tree: made whole or not at all, and never to lead out of it.

use std::sync::Arc;

use rustix::io::Errno;

use super::super::cause::Refusal;
use super::super::dir::Dir;
use super::super::error::{Op, StorageError, failed};
use super::super::final_name::give_final_name;
use super::super::own_names::scratch_name;
use super::Destination;
use crate::protocol::path::WirePath;
use crate::transfer::commit::{Durability, Replace};

/// The name of a link before it has its own.
pub(super) const TEMPORARY: &str = "link";
/// Names that are tried for a link that is to be renamed.
const TEMPORARY_ATTEMPTS: usize = 64;

impl Destination {
    /// Puts a symbolic link in place, atomically; missing parents are made. `replace` says what becomes of a file or
    /// link that has the name. Says which name the link got; `None` when the same link is there already.
    ///
    /// # Errors
    /// When the target is absolute or leaves the root, a directory has the name, or what has it may not be replaced.
    pub fn make_link(
        &self,
        path: &WirePath,
        target: &[u8],
        replace: Replace,
    ) -> Result<Option<WirePath>, StorageError> {
        let depth = path.components().count() - 1;
        if !link_stays_inside(depth, target) {
            return Err(StorageError::new(Op::MakeLink, path.as_path(), Refusal::LinkLeaves));
        }
        // Its depth is that of its name only where no link stands for a directory on the way.
        self.without_dirlinks()
            .in_made_parent(path, |dir, _| Ok(self.place_link(dir, path, target, replace)?))
            .map_err(failed(Op::MakeLink, path.as_path()))
    }

    fn place_link(
        &self,
        dir: &Arc<Dir>,
        path: &WirePath,
        target: &[u8],
        replace: Replace,
    ) -> Result<Option<WirePath>, Errno> {
        if dir.read_link(path.name()).is_ok_and(|present| present == target) {
            return Ok(None);
        }
        let temporary = make_temporary(dir, target)?;
        let placed = self.note_made(dir, &temporary).and_then(|()| {
            self.unsynced().note(dir, || give_final_name(dir, &temporary, path, replace, Durability::Synced))
        });
        if placed.is_err() {
            let _ = dir.remove(&temporary);
        }
        placed.map(Some)
    }

    /// A link of this job stands for no directory, before it has a name that a peer could use.
    fn note_made(&self, dir: &Dir, temporary: &[u8]) -> Result<(), Errno> {
        if let Some(dirlinks) = self.dirlinks() {
            dirlinks.note_made(&dir.stat(temporary)?);
        }
        Ok(())
    }
}

/// Whether a link that lies `depth` directories below the top of a tree points into that tree, as far as
/// its text tells. (What the links on its way do is the kernel's business when it is followed.)
pub(crate) fn link_stays_inside(depth: usize, target: &[u8]) -> bool {
    if target.is_empty() || target[0] == b'/' || target.contains(&0) {
        return false;
    }
    let mut depth = depth;
    for component in target.split(|b| *b == b'/') {
        match component {
            b"" | b"." => {}
            b".." if depth == 0 => return false,
            b".." => depth -= 1,
            _ => depth += 1,
        }
    }
    true
}

/// Makes the link under a name that is free. One may be taken by a link that another process of the same number (in a
/// container that is always the same) left when it died, or that another user has put there to be in the way.
fn make_temporary(dir: &Dir, target: &[u8]) -> Result<Vec<u8>, Errno> {
    for _ in 0..TEMPORARY_ATTEMPTS {
        let name = scratch_name(TEMPORARY);
        match dir.with_or_without_dot(&name, |name| dir.make_link(name, target)) {
            Err(Errno::EXIST) => {}
            made => return made.map(|((), name)| name.to_vec()),
        }
    }
    Err(Errno::EXIST)
}
