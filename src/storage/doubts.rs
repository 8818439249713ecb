//! Names that a job relies on, and that whoever made them may not have made durable.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, MutexGuard};

use super::error::StorageError;
use super::store::Store;
use crate::protocol::path::WirePath;
use crate::transfer::Room;

/// The memory of a directory that a job remembers, beside its name; also while the map that holds it moves to a larger one.
pub(crate) const DIRECTORY_BYTES: usize = 192;

/// The doubts of one job about names that are there: the process that made them may have been killed before it could sync
/// them. Each directory of such names is noted once as long as there is room to remember that.
pub(crate) struct Doubts<R>(Mutex<DoubtedNames<R>>);

/// Directories whose names have been doubted; the root has no name.
struct DoubtedNames<R> {
    /// Whether as names that others lie below.
    lead_on: HashMap<Box<[u8]>, bool>,
    room: R,
}

impl<R: Room> Doubts<R> {
    /// None yet; `room` grows with what is remembered.
    pub(crate) fn new(room: R) -> Self {
        Self(Mutex::new(DoubtedNames { lead_on: HashMap::new(), room }))
    }

    /// Takes the names that lead to `path` for not durable until a commit has made them so. `is_dir`: other names are to lie
    /// below it.
    ///
    /// # Errors
    /// As [`Store::note_unsynced`].
    pub(crate) fn note(&self, store: &impl Store, path: &WirePath, is_dir: bool) -> Result<(), StorageError> {
        let (mut above, mut leads_on) = (None, is_dir);
        loop {
            let at = above.as_ref().unwrap_or(path);
            let dir = at.parent_bytes().unwrap_or_default();
            if self.names().has(dir, leads_on) {
                return Ok(());
            }
            store.note_unsynced(at, leads_on)?;
            // Only now: what could not be noted is to be noted when it is tried again.
            self.names().keep(dir, leads_on);
            let Some(parent) = at.parent() else { return Ok(()) };
            (above, leads_on) = (Some(parent), true);
        }
    }

    /// A directory is new: nobody else has made a name in it.
    pub(crate) fn on_new_dir(&self, dir: &WirePath) {
        self.names().keep(dir.as_bytes(), true);
    }

    fn names(&self) -> MutexGuard<'_, DoubtedNames<R>> {
        self.0.lock().expect("no holder panics")
    }
}

impl<R: Room> DoubtedNames<R> {
    /// Whether the names in a directory have been doubted, as names that others lie below if `leads_on`.
    fn has(&self, dir: &[u8], leads_on: bool) -> bool {
        self.lead_on.get(dir).is_some_and(|before| *before || !leads_on)
    }

    /// Remembers that they have, if there is room: a peer names as many directories as it likes. What is not remembered is
    /// doubted again, which is slower and as safe.
    fn keep(&mut self, dir: &[u8], leads_on: bool) {
        match self.lead_on.entry(dir.into()) {
            Entry::Occupied(mut before) => *before.get_mut() |= leads_on,
            Entry::Vacant(vacant) => {
                if self.room.grow(DIRECTORY_BYTES + dir.len()) {
                    vacant.insert(leads_on);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::CountedRoom;

    const DIRS: usize = 10_000;

    fn dir(number: usize) -> WirePath {
        WirePath::parse(format!("{}/{number}", "d".repeat(200)).as_bytes()).expect("a plain name")
    }

    #[test]
    fn of_directories_that_were_doubted_no_more_are_remembered_than_there_is_room_for() {
        const MEMORY: usize = 1 << 20;
        let doubts = Doubts::new(CountedRoom(MEMORY));
        (0..DIRS).for_each(|number| doubts.on_new_dir(&dir(number)));
        let kept = (0..DIRS).filter(|number| doubts.names().has(dir(*number).as_bytes(), true)).count();
        assert!(kept > 1000 && kept < MEMORY / 200, "{kept} directories are remembered");
    }

    #[test]
    fn every_directory_that_there_is_room_for_is_remembered_and_what_was_doubted_of_it() {
        let doubts = Doubts::new(CountedRoom(usize::MAX));
        let mut names = doubts.names();
        (0..DIRS).for_each(|number| names.keep(dir(number).as_bytes(), false));
        assert!((0..DIRS).all(|number| names.has(dir(number).as_bytes(), false)));
        assert!(!names.has(dir(0).as_bytes(), true) && !names.has(b"", false));
        names.keep(dir(0).as_bytes(), true);
        names.keep(dir(0).as_bytes(), false);
        assert!(names.has(dir(0).as_bytes(), true));
    }
}
