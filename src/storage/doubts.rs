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

/// Directories whose names have been doubted, as have those above each; the root has no name.
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
        let above = std::iter::successors(path.parent(), WirePath::parent).map(|dir| (dir, true));
        let names = std::iter::once((path.clone(), is_dir)).chain(above);
        let unknown: Vec<_> = names.take_while(|(name, leads_on)| !self.names().has(dir_of(name), *leads_on)).collect();
        // From the root down: what is remembered of a directory says that the names above it were noted, too. One that could
        // not be noted then leaves nothing behind that says so.
        for (name, leads_on) in unknown.into_iter().rev() {
            store.note_unsynced(&name, leads_on)?;
            self.names().keep(dir_of(&name), leads_on);
        }
        Ok(())
    }

    /// A directory is new: nobody else has made a name in it.
    pub(crate) fn on_new_dir(&self, dir: &WirePath) {
        self.names().keep(dir.as_bytes(), true);
    }

    fn names(&self) -> MutexGuard<'_, DoubtedNames<R>> {
        self.0.lock().expect("no holder panics")
    }
}

/// The directory that a name is in.
fn dir_of(name: &WirePath) -> &[u8] {
    name.parent_bytes().unwrap_or_default()
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
    use rustix::io::Errno;

    use super::*;
    use crate::storage::testing::memory::{ManualClock, MemoryStore, Quirks, Volume};
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
    fn names_above_one_that_could_not_be_noted_are_noted_when_it_is_tried_again() {
        const NAMES: [&str; 3] = ["d", "d/e", "d/e/f"];
        let path = |name: &str| WirePath::parse(name.as_bytes()).expect("a plain name");
        for others in 0..NAMES.len() as u64 {
            let volume = Volume::new(Quirks::default(), ManualClock::new());
            let before = MemoryStore::of_new_process(&volume);
            NAMES.iter().for_each(|name| assert!(before.make_dir(&path(name), 0o755).expect("there is room")));
            let (store, doubts) = (MemoryStore::of_new_process(&volume), Doubts::new(CountedRoom(usize::MAX)));
            volume.fail_after(others, Errno::MFILE);
            doubts.note(&store, &path(NAMES[2]), true).expect_err("an operation fails");
            volume.heal();
            doubts.note(&store, &path(NAMES[2]), true).expect("none fails");
            let noted = NAMES.map(|name| store.is_unsynced(&path(name)).expect("it can be told"));
            assert_eq!(noted, [true; 3], "after {others} operations");
        }
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
