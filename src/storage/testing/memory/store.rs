//! A process's view of a disk in memory, and what it does there in several steps.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use rustix::io::Errno;

use super::image::{Number, Object};
use super::names::InDirectory;
use super::state::State;
use super::volume::Volume;
use crate::protocol::path::{PART_SUFFIX, WirePath};
use crate::storage::error::{Op, StorageError, failed};
use crate::storage::final_name::errno_of;
use crate::storage::{Replace, mode, system};
use crate::transfer::commit;

/// A process's view of a disk. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct MemoryStore {
    pub(super) volume: Volume,
    pub(super) process: u64,
    /// Directories whose names may not be durable, as far as this process knows.
    pub(super) unsynced: Arc<Mutex<BTreeMap<Number, LeadsOn>>>,
}

/// Whether other names lie below the names that may not be durable.
pub(super) type LeadsOn = bool;

impl MemoryStore {
    /// A process begins to use a disk: what another one has open there is dead.
    pub(crate) fn of_new_process(volume: &Volume) -> Self {
        Self { volume: volume.clone(), process: volume.begin_process(), unsynced: Arc::default() }
    }

    /// One operation on a name.
    pub(super) fn run<T>(
        &self,
        op: Op,
        path: &WirePath,
        act: impl FnOnce(&mut State) -> Result<T, Errno>,
    ) -> Result<T, StorageError> {
        let mut state = self.volume.state();
        let result = state.count(self.process).and_then(|()| act(&mut state));
        result.map_err(failed(op, path.as_path()))
    }

    pub(super) fn note(&self, dir: Number, leads_on: LeadsOn) {
        *self.unsynced.lock().expect("no holder panics").entry(dir).or_default() |= leads_on;
    }

    /// The directory that a path lies in, made where it is missing.
    pub(super) fn made_parent(&self, state: &mut State, path: &WirePath) -> Result<Number, Errno> {
        match (state.memory.parent(path), path.parent()) {
            (Err(Errno::NOENT), Some(parent)) => self.make_dirs(state, &parent, 0o777).map(|(dir, _)| dir),
            (found, _) => found,
        }
    }

    pub(super) fn make_dirs(&self, state: &mut State, path: &WirePath, mode: u32) -> Result<(Number, bool), Errno> {
        let parent = self.made_parent(state, path)?;
        if let Some((_, there)) = state.memory.entry(parent, path.name())? {
            return state.memory.entries(there).map(|_| (there, false));
        }
        let dir = state.make(Object::Dir(BTreeMap::new()), mode::of_made_directory(mode) & !system::umask());
        state.name(parent, path.name(), dir)?;
        self.note(parent, true);
        Ok((dir, true))
    }

    pub(super) fn place_link(
        &self,
        state: &mut State,
        path: &WirePath,
        target: &[u8],
        replace: Replace,
    ) -> Result<Option<WirePath>, Errno> {
        let dir = self.made_parent(state, path)?;
        let there = state.memory.entry(dir, path.name())?.map(|(_, there)| there);
        let is_same = |number| Ok(matches!(&state.memory.inode(number)?.object, Object::Link(to) if to == target));
        if there.map_or(Ok(false), is_same)? {
            return Ok(None);
        }
        let link = state.make(Object::Link(target.to_vec()), 0o777);
        let temporary = [b".qft-link", PART_SUFFIX].concat();
        state.name(dir, &temporary, link)?;
        let naming = InDirectory { state: Mutex::new(state), dir, temporary: &temporary };
        let given = commit::give_final_name(&naming, path, replace).map_err(errno_of);
        if given.is_err() {
            state.remove(dir, &temporary)?;
        }
        self.note(dir, true);
        given.map(Some)
    }
}
