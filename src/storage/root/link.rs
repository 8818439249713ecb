//! Symbolic links in the tree: made whole or not at all, and never to lead out of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::io::Errno;

use super::super::dir::Dir;
use super::super::error::{Op, Refusal, StorageError, failed};
use super::Root;
use crate::protocol::path::{PART_SUFFIX, WirePath};

impl Root {
    /// Puts a symbolic link in place, atomically where a file or link has the name; missing parents are
    /// made. False when the same link is there already.
    ///
    /// # Errors
    /// When the target is absolute or leaves the root, or a directory has the name.
    pub fn make_link(&self, path: &WirePath, target: &[u8]) -> Result<bool, StorageError> {
        let depth = path.components().count() - 1;
        if !link_stays_inside(depth, target) {
            return Err(StorageError::new(Op::MakeLink, path.as_path(), Refusal::LinkLeaves));
        }
        self.in_made_parent(path, |dir, name| Ok(self.place_link(dir, name, target)?))
            .map_err(failed(Op::MakeLink, path.as_path()))
    }

    fn place_link(&self, dir: &Arc<Dir>, name: &[u8], target: &[u8]) -> Result<bool, Errno> {
        if dir.read_link(name).is_ok_and(|present| present == target) {
            return Ok(false);
        }
        let temporary = temporary_link_name();
        dir.make_link(&temporary, target)?;
        if let Err(error) = self.0.unsynced.note(dir, || dir.rename(&temporary, name)) {
            let _ = dir.remove(&temporary);
            return Err(error);
        }
        Ok(true)
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

/// A name that nobody else uses: it ends like our part files, so no peer can choose it and no walk finds it.
fn temporary_link_name() -> Vec<u8> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let mut name = format!(".qft-link-{}-{number}", std::process::id()).into_bytes();
    name.extend_from_slice(PART_SUFFIX);
    name
}
