//! What a file system holds at one moment: objects, and the directories that name them.

use std::collections::{BTreeMap, BTreeSet};

use rustix::io::Errno;

use super::data::FileData;
use crate::protocol::message::Mtime;
use crate::protocol::path::WirePath;

/// The number of an object.
pub(super) type Number = u64;

/// The number of the root.
pub(super) const ROOT: Number = 1;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Inode {
    pub(super) object: Object,
    pub(super) mtime: Mtime,
    pub(super) ctime: Mtime,
    pub(super) mode: u32,
}

/// The kind of an object, and its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Object {
    File(FileData),
    Dir(BTreeMap<Vec<u8>, Number>),
    Link(Vec<u8>),
}

/// Some names of one directory that change in one step: given to an object, or to none.
#[derive(Debug, Clone)]
pub(super) struct DirChange {
    pub(super) dir: Number,
    pub(super) names: Vec<(Vec<u8>, Option<Number>)>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Image {
    inodes: BTreeMap<Number, Inode>,
    /// Names that differ in case alone are one.
    folds: bool,
}

impl Image {
    pub(super) fn new(folds: bool, now: Mtime) -> Self {
        let object = Object::Dir(BTreeMap::new());
        let root = Inode { object, mtime: now, ctime: now, mode: 0o755 };
        Self { inodes: BTreeMap::from([(ROOT, root)]), folds }
    }

    pub(super) fn inode(&self, number: Number) -> Result<&Inode, Errno> {
        self.inodes.get(&number).ok_or(Errno::STALE)
    }

    pub(super) fn inode_mut(&mut self, number: Number) -> Result<&mut Inode, Errno> {
        self.inodes.get_mut(&number).ok_or(Errno::STALE)
    }

    pub(super) fn insert(&mut self, number: Number, inode: Inode) {
        self.inodes.insert(number, inode);
    }

    pub(super) fn numbers(&self) -> Vec<Number> {
        self.inodes.keys().copied().collect()
    }

    pub(super) fn entries(&self, dir: Number) -> Result<&BTreeMap<Vec<u8>, Number>, Errno> {
        match &self.inode(dir)?.object {
            Object::Dir(entries) => Ok(entries),
            Object::File(_) => Err(Errno::NOTDIR),
            Object::Link(_) => Err(Errno::LOOP),
        }
    }

    pub(super) fn file(&self, number: Number) -> Result<&FileData, Errno> {
        match &self.inode(number)?.object {
            Object::File(data) => Ok(data),
            Object::Dir(_) | Object::Link(_) => Err(Errno::ISDIR),
        }
    }

    pub(super) fn file_mut(&mut self, number: Number) -> Result<&mut FileData, Errno> {
        match &mut self.inode_mut(number)?.object {
            Object::File(data) => Ok(data),
            Object::Dir(_) | Object::Link(_) => Err(Errno::ISDIR),
        }
    }

    /// The entry that a name leads to: its own, or on a disk that folds case one that differs in case alone.
    pub(super) fn entry(&self, dir: Number, name: &[u8]) -> Result<Option<(Vec<u8>, Number)>, Errno> {
        let entries = self.entries(dir)?;
        if let Some(number) = entries.get(name) {
            return Ok(Some((name.to_vec(), *number)));
        }
        if !self.folds {
            return Ok(None);
        }
        let folded = fold(name);
        let found = entries.iter().find(|(entry, _)| fold(entry) == folded);
        Ok(found.map(|(entry, number)| (entry.clone(), *number)))
    }

    pub(super) fn look_up(&self, dir: Number, name: &[u8]) -> Result<Number, Errno> {
        self.entry(dir, name)?.map(|(_, number)| number).ok_or(Errno::NOENT)
    }

    /// The directory that a path lies in. No link is followed.
    pub(super) fn parent(&self, path: &WirePath) -> Result<Number, Errno> {
        path.parent().map_or(Ok(ROOT), |parent| self.dir(&parent))
    }

    /// The directory of that path.
    pub(super) fn dir(&self, path: &WirePath) -> Result<Number, Errno> {
        let down = |dir, name: &[u8]| {
            let found = self.look_up(dir, name)?;
            self.entries(found).map(|_| found)
        };
        path.components().try_fold(ROOT, down)
    }

    pub(super) fn apply(&mut self, change: &DirChange) {
        let Ok(Inode { object: Object::Dir(entries), .. }) = self.inode_mut(change.dir) else { return };
        for (name, number) in &change.names {
            match number {
                Some(number) => drop(entries.insert(name.clone(), *number)),
                None => drop(entries.remove(name)),
            }
        }
    }

    /// Bytes of all files.
    pub(super) fn filled(&self) -> u64 {
        let file = |inode: &Inode| if let Object::File(data) = &inode.object { data.filled() } else { 0 };
        self.inodes.values().map(file).sum()
    }

    /// Everything that has a name, with that.
    pub(super) fn all(&self) -> Vec<(Vec<u8>, Number)> {
        let (mut found, mut dirs) = (Vec::new(), vec![(Vec::new(), ROOT)]);
        while let Some((path, dir)) = dirs.pop() {
            let Ok(entries) = self.entries(dir) else { continue };
            for (name, number) in entries {
                let separator: &[u8] = if path.is_empty() { b"" } else { b"/" };
                let below = [&path[..], separator, name].concat();
                if self.entries(*number).is_ok() {
                    dirs.push((below.clone(), *number));
                }
                found.push((below, *number));
            }
        }
        found
    }

    /// Forgets what nothing leads to, and names of what is not there.
    pub(super) fn check(&mut self) {
        let known: BTreeSet<_> = self.inodes.keys().copied().collect();
        for inode in self.inodes.values_mut() {
            if let Object::Dir(entries) = &mut inode.object {
                entries.retain(|_, number| known.contains(number));
            }
        }
        let mut named: BTreeSet<_> = self.all().into_iter().map(|(_, number)| number).collect();
        named.insert(ROOT);
        self.inodes.retain(|number, _| named.contains(number));
    }
}

/// A name as a disk sees it that folds case, of other letters than ASCII ones too.
pub(super) fn fold(name: &[u8]) -> String {
    String::from_utf8_lossy(name).to_lowercase()
}

/// An object that has a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) object: Object,
    pub(crate) mtime: Mtime,
    pub(crate) mode: u32,
}

impl Seen {
    pub(super) fn of(inode: &Inode) -> Self {
        Self { object: inode.object.clone(), mtime: inode.mtime, mode: inode.mode }
    }

    /// What it holds, if it is a file.
    pub(crate) fn data(&self) -> Option<&FileData> {
        if let Object::File(data) = &self.object { Some(data) } else { None }
    }
}
