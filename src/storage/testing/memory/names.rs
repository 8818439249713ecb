//! The names of objects, and how they get them.

use std::sync::Mutex;

use rustix::io::Errno;

use super::image::{Image, Number, Object};
use super::state::State;
use crate::protocol::message::Kind;
use crate::protocol::path::{PART_SUFFIX, WirePath};
use crate::storage::{FileIdentity, Meta, Owner};
use crate::transfer::commit;

/// The number of the one file system that all is on.
const DEVICE: u64 = 7;

/// As the disk's: nobody but its owner reads or writes a part.
pub(super) const PART_MODE: u32 = 0o600;

/// Something under a temporary name, and the directory that it is in.
pub(super) struct InDirectory<'a> {
    pub(super) state: Mutex<&'a mut State>,
    pub(super) dir: Number,
    pub(super) temporary: &'a [u8],
}

impl commit::Naming for InDirectory<'_> {
    type Error = Errno;

    fn replace(&self, name: &[u8]) -> Result<(), Errno> {
        self.state.lock().expect("no holder panics").rename(self.dir, self.temporary, name)
    }

    fn take(&self, name: &[u8]) -> Result<bool, Errno> {
        if self.is_taken(name)? { Ok(false) } else { self.replace(name).map(|()| true) }
    }

    fn is_taken(&self, name: &[u8]) -> Result<bool, Errno> {
        Ok(self.state.lock().expect("no holder panics").memory.entry(self.dir, name)?.is_some())
    }
}

/// The name of the part of a file.
pub(super) fn part_name(path: &WirePath, owner: Owner<'_>) -> Vec<u8> {
    match owner {
        Owner::Anyone => [b".", path.name(), PART_SUFFIX].concat(),
        Owner::Only(owner) => [b".", path.name(), b"~", owner.as_bytes(), PART_SUFFIX, PART_SUFFIX].concat(),
    }
}

pub(super) fn meta_of(image: &Image, number: Number) -> Result<Meta, Errno> {
    let inode = image.inode(number)?;
    let (kind, size, allocated) = match &inode.object {
        Object::File(data) => (Kind::File, data.size(), data.filled()),
        Object::Dir(_) => (Kind::Dir, 0, 0),
        Object::Link(target) => (Kind::Link(target.clone()), 0, 0),
    };
    let identity = FileIdentity { dev: DEVICE, ino: number, ctime: inode.ctime };
    Ok(Meta { kind, size, mtime: inode.mtime, mode: inode.mode, allocated, identity })
}
