//! A directory on the way down.

use std::sync::Arc;

use rustix::io::Errno;

use super::WalkEntry;
use crate::protocol::message::Failure;
use crate::protocol::path::{WirePath, escape};
use crate::storage::dir::Dir;
use crate::storage::error::{Op, StorageError};
use crate::storage::names::{DirNames, NameRoom, NamesRead};
use crate::storage::request::bad_name;
use crate::storage::root::{Tree, shown};

#[derive(Debug)]
pub(super) struct Frame {
    pub(super) root: Tree,
    pub(super) at: Option<WirePath>,
    pub(super) name: Option<WirePath>,
    /// Directories between it and the top of the tree that is walked.
    pub(super) depth: usize,
    /// The file system of the top of that tree, once it was opened.
    pub(super) device: Option<u64>,
    pub(super) listing: DirListing,
}

/// A directory is opened only when the walk goes on into it, so that its own item comes first.
#[derive(Debug)]
pub(super) enum DirListing {
    Top,
    In(Arc<Dir>),
    Open(Arc<Dir>, DirNames),
}

impl Frame {
    pub(super) fn open(&mut self, read: NamesRead, room: &NameRoom) -> Result<(), StorageError> {
        let dir = match &self.listing {
            DirListing::Top => self.open_top()?,
            DirListing::In(parent) => {
                let last = self.at.as_ref().map_or(&b"."[..], WirePath::name);
                Arc::new(parent.child(last).map_err(|errno| self.failed(errno))?)
            }
            DirListing::Open(..) => return Ok(()),
        };
        self.device.get_or_insert_with(|| dir.id().dev);
        let names = DirNames::of(&dir, read, room).map_err(|errno| self.failed(errno))?;
        self.listing = DirListing::Open(dir, names);
        Ok(())
    }

    /// From here on nothing is read but what lies in this very directory.
    fn open_top(&mut self) -> Result<Arc<Dir>, StorageError> {
        if let Some(at) = &self.at {
            self.root = self.root.narrowed(at)?;
        }
        self.root.open_dir(self.at.as_ref())
    }

    /// A note of the unfinished files in it.
    pub(super) fn unfinished(&self, count: usize) -> WalkEntry {
        let (name, s) = (self.shown_name(), if count == 1 { "" } else { "s" });
        WalkEntry::Note(format!("{}: {count} unfinished file{s} of earlier transfers left out", escape(&name)))
    }

    /// As a failure names it.
    pub(super) fn shown_name(&self) -> Vec<u8> {
        self.name.as_ref().or(self.at.as_ref()).map_or_else(|| b".".to_vec(), |name| name.as_bytes().to_vec())
    }

    pub(super) fn failed(&self, errno: Errno) -> StorageError {
        StorageError::new(Op::List, shown(self.at.as_ref().map_or(&b"."[..], WirePath::as_bytes)), errno)
    }
}

/// The name of something in a directory.
pub(super) fn below(base: Option<&WirePath>, last: &[u8]) -> Result<WirePath, Failure> {
    let name = base.map_or_else(|| WirePath::parse(last), |base| base.child(last));
    name.map_err(|error| bad_name(&error))
}

pub(super) fn joined(base: Option<&WirePath>, last: &[u8]) -> Vec<u8> {
    match base {
        Some(base) => [base.as_bytes(), b"/", last].concat(),
        None => last.to_vec(),
    }
}
