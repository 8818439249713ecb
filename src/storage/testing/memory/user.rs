//! Programs of somebody else's that use the disk: what they write is not synced, and nothing that they do fails.

use std::collections::BTreeMap;

use rustix::io::Errno;

use super::data::FileData;
use super::image::{Number, Object, ROOT, Seen};
use super::names::{PART_MODE, part_name};
use super::state::{State, UserChange};
use super::volume::Volume;
use crate::protocol::message::Mtime;
use crate::protocol::path::WirePath;
use crate::storage::Owner;

impl UserChange {
    fn act(&self, state: &mut State) -> Result<(), Errno> {
        match self {
            Self::Put(path, object, mode) => put(state, path, object.clone(), *mode),
            Self::Overwrite(path, data) => {
                let number = state.number(path)?;
                state.write(number, |there| *there = data.clone())
            }
            Self::SetTime(path, mtime) => set_meta(state, path, |there| (*mtime, there.1)),
            Self::SetMode(path, mode) => set_meta(state, path, |there| (there.0, *mode)),
            Self::TakeAway(path) => {
                let dir = state.memory.parent(path)?;
                state.remove(dir, path.name())
            }
        }
    }
}

impl Volume {
    /// Another program does that now. Where it cannot, nothing happens.
    pub(crate) fn change(&self, change: UserChange) {
        self.state().interfere(change);
    }

    /// It does so after so many more operations: between any two, in the middle of what the store is asked for.
    pub(crate) fn change_after(&self, operations: u64, change: UserChange) {
        self.state().planned.push((operations, change));
    }

    /// Nothing that was planned happens any more.
    pub(crate) fn forget_changes(&self) {
        self.state().planned.clear();
    }

    /// What other programs have changed since this was asked last, in order, and what was there then.
    pub(crate) fn take_changed(&self) -> Vec<(WirePath, Option<Seen>)> {
        std::mem::take(&mut self.state().changed)
    }

    pub(crate) fn put(&self, path: &WirePath, data: FileData, mode: u32) {
        self.change(UserChange::Put(path.clone(), Object::File(data), mode));
    }

    pub(crate) fn put_dir(&self, path: &WirePath, mode: u32) {
        self.change(UserChange::Put(path.clone(), Object::Dir(BTreeMap::new()), mode));
    }

    /// As an interrupted transfer leaves it that anyone may continue.
    pub(crate) fn leave_part(&self, path: &WirePath, data: FileData) {
        let name = part_name(path, Owner::Anyone);
        let mut state = self.state();
        let made = match path.parent() {
            Some(parent) => put_dir(&mut state, &parent),
            None => Ok(ROOT),
        };
        let dir = made.expect("nothing is in the way");
        let number = state.make(Object::File(data), PART_MODE);
        state.name(dir, &name, number).expect("it is a directory");
    }
}

impl State {
    fn interfere(&mut self, change: UserChange) {
        if change.act(self).is_ok() {
            let path = change.path().clone();
            let seen = self.number(&path).and_then(|number| self.memory.inode(number).map(Seen::of)).ok();
            self.changed.push((path, seen));
        }
    }

    /// An operation of the store's is about to be done: what others were to do before it is done.
    pub(super) fn interfere_in_time(&mut self) {
        let mut planned = std::mem::take(&mut self.planned);
        for (left, change) in planned.extract_if(.., |(left, _)| *left == 0) {
            debug_assert_eq!(left, 0);
            self.interfere(change);
        }
        planned.iter_mut().for_each(|(left, _)| *left -= 1);
        self.planned = planned;
    }
}

fn set_meta(
    state: &mut State,
    path: &WirePath,
    decide: impl FnOnce((Mtime, u32)) -> (Mtime, u32),
) -> Result<(), Errno> {
    let number = state.number(path)?;
    let inode = state.memory.inode(number)?;
    let (mtime, mode) = decide((inode.mtime, inode.mode));
    state.set_meta(number, mtime, mode)
}

/// What is a directory stays one.
fn put(state: &mut State, path: &WirePath, object: Object, mode: u32) -> Result<(), Errno> {
    let dir = path.parent().map_or(Ok(ROOT), |parent| put_dir(state, &parent))?;
    let is_dir = |number: Number| state.memory.entries(number).is_ok();
    if state.memory.entry(dir, path.name())?.is_some_and(|(_, number)| is_dir(number)) {
        return Err(Errno::ISDIR);
    }
    let number = state.make(object, mode);
    state.name(dir, path.name(), number)
}

/// The directory of that path, made where it is missing.
fn put_dir(state: &mut State, path: &WirePath) -> Result<Number, Errno> {
    if state.memory.dir(path) == Err(Errno::NOENT) {
        put(state, path, Object::Dir(BTreeMap::new()), 0o755)?;
    }
    state.memory.dir(path)
}
