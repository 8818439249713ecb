//! Something that a walk came across, and what is said of it.

use super::{Links, Walk};
use crate::protocol::message::{Failure, Kind};
use crate::protocol::path::{WirePath, escape};
use crate::storage::cause::Refusal;
use crate::storage::error::{StorageError, patiently};
use crate::storage::meta::Meta;
use crate::storage::root::{Tree, link_stays_inside};
use crate::storage::source::unknown_size;

/// Something that a walk came across.
#[derive(Debug)]
pub(crate) enum WalkEntry<F = Tree> {
    /// A file, a directory or a link.
    File {
        /// The tree that it lies in.
        root: F,
        /// Where in that tree.
        at: WirePath,
        /// Its name on the wire.
        name: WirePath,
        meta: Meta,
    },
    /// Something that cannot be sent. The walk goes on.
    Problem {
        /// Its name on the wire, as far as it has one: untrusted bytes.
        name: Vec<u8>,
        failure: Failure,
    },
    /// Something that was left out on purpose and that the user may want to know; safe to print.
    Note(String),
}

pub(super) fn problem(name: &[u8], error: StorageError) -> Option<WalkEntry> {
    Some(WalkEntry::Problem { name: name.to_vec(), failure: error.into() })
}

impl Walk {
    pub(super) fn judge(
        &mut self,
        root: &Tree,
        at: WirePath,
        name: WirePath,
        meta: Meta,
        depth: usize,
    ) -> Option<WalkEntry> {
        if meta.kind != Kind::Dir {
            self.filters.let_pass();
        }
        match &meta.kind {
            Kind::Link(_) if self.links == Links::Skip => {
                return Some(WalkEntry::Note(format!("{name}: symbolic link left out (--links copies it)")));
            }
            Kind::Link(target) if self.links == Links::Copy && !link_stays_inside(depth, target) => {
                let (target, why) = (escape(target), Refusal::LinkLeaves);
                return Some(WalkEntry::Note(format!("{name}: symbolic link to {target} left out: {why}")));
            }
            _ => {}
        }
        let is_called_empty = self.reads && meta.kind == Kind::File && meta.size == 0;
        if is_called_empty {
            match patiently(|| root.is_reserved(&at), || self.is_over()) {
                Ok(false) => {}
                Ok(true) => {
                    let why = "a transfer has reserved the name, and was interrupted";
                    return Some(WalkEntry::Note(format!("{name}: left out: {why}")));
                }
                Err(error) => return problem(name.as_bytes(), error),
            }
            if !self.is_empty(root, &at) {
                return Some(WalkEntry::Problem { name: name.as_bytes().to_vec(), failure: unknown_size() });
            }
        }
        Some(WalkEntry::File { root: root.clone(), at, name, meta })
    }

    /// Whether a file that is called empty is. One that cannot be read is left to whoever reads it to say so.
    fn is_empty(&self, root: &Tree, at: &WirePath) -> bool {
        patiently(|| root.open_source(at)?.has_honest_size(), || self.is_over()).unwrap_or(true)
    }
}
