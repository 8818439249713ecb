//! What the interface asks of a store, done to a disk in memory.

use std::collections::BTreeMap;
use std::path::Path;

use rustix::io::Errno;

use super::committer::MemoryCommitter;
use super::data::FileData;
use super::file::{MemoryPart, MemorySource};
use super::image::{Object, fold};
use super::names::{PART_MODE, meta_of, part_name};
use super::store::MemoryStore;
use crate::protocol::message::Kind;
use crate::protocol::path::WirePath;
use crate::storage::cause::{Refusal, ThereOrNot as _};
use crate::storage::error::{Op, StorageError};
use crate::storage::root::link_stays_inside;
use crate::storage::{DirMeta, DirMode, Durability, Files, Fresh, Meta, Owner, Replace, Store, mode, system};

impl Files for MemoryStore {
    type Source = MemorySource;

    fn stat(&self, path: &WirePath) -> Result<Option<Meta>, StorageError> {
        self.run(Op::Stat, path, |state| match state.number(path) {
            Err(Errno::NOENT) => Ok(None),
            found => meta_of(&state.memory, found?).map(Some),
        })
    }

    fn path(&self) -> &Path {
        Path::new("/memory")
    }

    fn open_source(&self, path: &WirePath) -> Result<MemorySource, StorageError> {
        self.run(Op::Open, path, |state| {
            let number = state.number(path)?;
            let meta = meta_of(&state.memory, number)?;
            let opened = state.clock().now();
            match meta.kind {
                Kind::File => Ok(MemorySource::new(self.clone(), path.clone(), number, meta, opened)),
                Kind::Link(_) => Err(Errno::LOOP),
                Kind::Dir => Err(Errno::ISDIR),
            }
        })
    }
}

impl Store for MemoryStore {
    type Part = MemoryPart;
    type Adoption = u64;
    type Committer = MemoryCommitter;

    fn stat_dir(&self, path: &WirePath) -> Result<Option<Meta>, StorageError> {
        self.stat(path)
    }

    fn is_reserved(&self, _: &WirePath) -> Result<bool, StorageError> {
        // Names that are taken are spared in one step.
        Ok(false)
    }

    fn give_back(&self, path: &WirePath) -> Result<(), StorageError> {
        Err(StorageError::new(Op::Remove, path.as_path(), Errno::NOENT))
    }

    fn part_len(&self, path: &WirePath, owner: Owner<'_>) -> Result<Option<u64>, StorageError> {
        self.run(Op::Stat, path, |state| {
            let found = state.memory.parent(path).and_then(|dir| state.memory.look_up(dir, &part_name(path, owner)));
            match found {
                Err(Errno::NOENT) => Ok(None),
                found => Ok(state.memory.file(found?).ok().map(FileData::size)),
            }
        })
    }

    fn check_part_free(&self, path: &WirePath, owner: Owner<'_>) -> Result<(), StorageError> {
        self.run(Op::Lock, path, |state| {
            let found = state.memory.parent(path).and_then(|dir| state.memory.look_up(dir, &part_name(path, owner)));
            match found {
                Ok(number) if state.locks.contains(&number) => Err(Errno::WOULDBLOCK),
                Ok(_) | Err(Errno::NOENT) => Ok(()),
                Err(error) => Err(error),
            }
        })
    }

    fn open_part(&self, path: &WirePath, owner: Owner<'_>, fresh: Fresh) -> Result<MemoryPart, StorageError> {
        let name = part_name(path, owner);
        let (dir, number) = self.run(Op::Create, path, |state| {
            let dir = self.made_parent(state, path)?;
            let number = match state.memory.entry(dir, &name)? {
                Some((_, number)) if state.memory.file(number).is_ok() => number,
                Some((_, number)) if state.memory.entries(number).is_ok() => return Err(Errno::ISDIR),
                _ => {
                    let number = state.make(Object::File(FileData::default()), PART_MODE);
                    state.name(dir, &name, number)?;
                    number
                }
            };
            Ok((dir, number))
        })?;
        self.run(Op::Lock, path, |state| {
            if !state.locks.insert(number) {
                return Err(Errno::WOULDBLOCK);
            }
            state.memory.inode_mut(number)?.mode = PART_MODE;
            if fresh == Fresh::Yes { state.write(number, |data| data.set_len(0)) } else { Ok(()) }
        })?;
        MemoryPart::new(self.clone(), dir, path.clone(), name, number)
    }

    fn adopt(part: &MemoryPart, from: &MemorySource, len: u64) -> Result<u64, StorageError> {
        part.begin_to_adopt(from, len)
    }

    fn adopt_more(part: &MemoryPart, from: &MemorySource, left: &mut u64, _: u64) -> Result<bool, StorageError> {
        part.adopt_rest(from, *left)
    }

    fn make_dir(&self, path: &WirePath, mode: u32) -> Result<bool, StorageError> {
        self.run(Op::MakeDir, path, |state| {
            self.make_dirs(state, path, mode::of_open_directory(mode)).map(|(_, is_new)| is_new)
        })
    }

    fn open_up_dir(&self, path: &WirePath) -> Result<(), StorageError> {
        // As an administrator, whom no mode keeps out.
        self.run(Op::SetMeta, path, |state| state.memory.dir(path).map(drop))
    }

    fn make_link(&self, path: &WirePath, target: &[u8], replace: Replace) -> Result<Option<WirePath>, StorageError> {
        if !link_stays_inside(path.components().count() - 1, target) {
            return Err(StorageError::new(Op::MakeLink, path.as_path(), Refusal::LinkLeaves));
        }
        self.run(Op::MakeLink, path, |state| self.place_link(state, path, target, replace))
    }

    fn finish_dirs(
        &self,
        dirs: &mut BTreeMap<WirePath, DirMeta>,
        sync: Durability,
        mut unset: impl FnMut(&StorageError),
    ) -> Result<(), StorageError> {
        while let Some((path, meta)) = dirs.pop_last() {
            let applied = self.run(Op::SetMeta, &path, |state| {
                let number = state.memory.dir(&path)?;
                let there = meta_of(&state.memory, number)?.mode;
                let mode = match meta.mode {
                    DirMode::Kept => there,
                    DirMode::Narrowed(mode) => mode::of_directory(mode, there, system::umask()),
                    DirMode::Restored(mode) => mode,
                };
                state.set_meta(number, meta.mtime, mode)?;
                if sync == Durability::Synced { state.sync_dir(number) } else { Ok(()) }
            });
            match applied {
                Err(error) if error.is_passing() => {
                    dirs.insert(path, meta);
                    return Err(error);
                }
                Err(error) => unset(&error),
                Ok(()) => {}
            }
        }
        Ok(())
    }

    fn note_unsynced(&self, path: &WirePath, leads_on: bool) -> Result<(), StorageError> {
        let dir = self.run(Op::Sync, path, |state| state.memory.parent(path))?;
        self.note(dir, leads_on);
        Ok(())
    }

    fn is_unsynced(&self, path: &WirePath) -> Result<bool, StorageError> {
        if self.unsynced.lock().expect("no holder panics").is_empty() {
            return Ok(false);
        }
        let dir = self.run(Op::Stat, path, |state| state.memory.parent(path))?;
        Ok(self.unsynced.lock().expect("no holder panics").contains_key(&dir))
    }

    fn is_misplaced(&self) -> bool {
        self.volume.is_misplaced()
    }

    fn time_step(&self, path: &WirePath) -> Result<u64, StorageError> {
        self.run(Op::SetMeta, path, |state| Ok(state.quirks.time_step))
    }

    fn tells_names_apart(&self, _: &WirePath) -> bool {
        !self.volume.state().quirks.folds
    }

    fn is_one_name(&self, first: &WirePath, path: &WirePath) -> Result<bool, StorageError> {
        self.run(Op::List, path, |state| {
            let found = state.memory.parent(path).and_then(|dir| {
                let is_listed = |name: &[u8]| Ok(state.memory.entries(dir)?.contains_key(name));
                let are_there = state.memory.entry(dir, path.name())?.is_some();
                Ok(are_there
                    && fold(first.name()) == fold(path.name())
                    && !(is_listed(first.name())? && is_listed(path.name())?))
            });
            if found == Err(Errno::NOENT) { Ok(false) } else { found }
        })
    }

    fn is_other_spelling(&self, path: &WirePath) -> Result<bool, StorageError> {
        self.run(Op::List, path, |state| {
            let found = state.memory.parent(path).and_then(|dir| state.memory.entry(dir, path.name()));
            match found {
                Err(Errno::NOENT) => Ok(false),
                found => Ok(found?.is_some_and(|(entry, _)| entry != path.name())),
            }
        })
    }

    fn has_entry(&self, path: &WirePath) -> Result<bool, StorageError> {
        self.run(Op::List, path, |state| {
            let entries = state.memory.parent(path).and_then(|dir| state.memory.entries(dir));
            Ok(entries.if_there()?.is_some_and(|entries| entries.contains_key(path.name())))
        })
    }
}
