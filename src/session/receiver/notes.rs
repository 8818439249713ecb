//! Notes on the disk, for the whole job.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::time::SystemTime;

use super::{Driver, Receiver};
use crate::progress::Event;
use crate::protocol::path::WirePath;
use crate::session::budget::{Account, Hold};
use crate::storage::DirMeta;

/// The memory of a directory that waits for the end, or that was doubted, beside its name; also while the map that
/// holds it moves to a larger one.
const DIRECTORY_BYTES: usize = 192;

/// Answers of the disk that are asked for once, and orders to it that wait for the end.
#[derive(Default)]
pub(super) struct Notes {
    /// Directories whose time and mode are set last: writing into them changes their time. By name, so that
    /// one that is offered over and over takes no more room.
    pub(super) directories: BTreeMap<WirePath, Finish>,
    /// There was no room to keep them all.
    lacks_directories: bool,
    pub(super) doubts: DoubtedNames,
    /// The step of the disk's time stamps in nanoseconds, once it was asked for.
    pub(super) time_step: Option<u64>,
    /// Content that was written before this moment is on the disk, whoever wrote it.
    pub(super) written_until: Option<SystemTime>,
    /// Something was put in place.
    pub(super) has_placed: bool,
    /// It has been said that times or modes are not kept.
    pub(super) unset_said: bool,
}

/// The time and mode that a directory gets at the end.
pub(super) struct Finish {
    pub(super) meta: DirMeta,
    /// The memory that is charged until then.
    pub(super) room: Hold,
}

/// Directories whose names have been doubted, each once; `None` is the root.
#[derive(Default)]
pub(super) struct DoubtedNames(HashMap<Option<WirePath>, Doubted>);

struct Doubted {
    /// Whether as names that others lie below.
    leads_on: bool,
    /// The memory that is charged until the end of the job.
    _room: Hold,
}

impl DoubtedNames {
    /// Whether the names in a directory have been doubted, as names that others lie below if `leads_on`.
    pub(super) fn has(&self, dir: &Option<WirePath>, leads_on: bool) -> bool {
        self.0.get(dir).is_some_and(|before| before.leads_on || !leads_on)
    }

    /// Remembers that they have, if there is room: a peer names as many directories as it likes. What is not remembered is
    /// doubted again, which is slower and as safe.
    pub(super) fn keep(&mut self, dir: Option<WirePath>, leads_on: bool, account: &Account) {
        match self.0.entry(dir) {
            Entry::Occupied(mut before) => before.get_mut().leads_on |= leads_on,
            Entry::Vacant(vacant) => {
                let name_bytes = vacant.key().as_ref().map_or(0, |dir| dir.as_bytes().len());
                if let Some(room) = account.take_to_remember(DIRECTORY_BYTES + name_bytes) {
                    vacant.insert(Doubted { leads_on, _room: room });
                }
            }
        }
    }
}

impl<D: Driver> Receiver<D> {
    /// Writing into a directory changes its time, so that is set last. There is room for hundreds of thousands; of more, those
    /// that come last keep the time that they have. They take no room from what is on offer: a job with more directories than
    /// that would never come to its end.
    pub(super) fn keep_for_the_end(&self, path: &WirePath, meta: DirMeta) {
        let room = self.0.tools.account.take_for_directory(DIRECTORY_BYTES + path.as_bytes().len());
        let mut notes = self.notes();
        if let Some(room) = room {
            notes.directories.insert(path.clone(), Finish { meta, room });
        } else if !std::mem::replace(&mut notes.lacks_directories, true) {
            // The same command again would meet the same directories in the same order.
            let text = "too many directories in one job: some do not get their time and mode; a job for each part of the \
                tree sets them";
            self.0.tools.observer.event(Event::Note(text.to_owned()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Identity;
    use crate::session::budget::{Budget, CLIENT_MEMORY_BYTES};

    const DIRS: usize = 10_000;

    fn dir(number: usize) -> WirePath {
        WirePath::parse(format!("{}/{number}", "d".repeat(200)).as_bytes()).expect("a plain name")
    }

    #[test]
    fn of_directories_that_were_doubted_no_more_are_remembered_than_there_is_room_for() {
        const MEMORY: usize = 1 << 20;
        let budget = Budget::new(MEMORY, 1);
        let account = budget.account(Identity::ephemeral().expect("a key").fingerprint());
        let mut doubts = DoubtedNames::default();
        (0..DIRS).for_each(|number| doubts.keep(Some(dir(number)), true, &account));
        let kept = (0..DIRS).filter(|number| doubts.has(&Some(dir(*number)), true)).count();
        assert!(kept > 1000 && kept < MEMORY / 200, "{kept} directories are remembered");
        assert!(budget.free() >= MEMORY / 4, "{} bytes are left to others", budget.free());
        drop(doubts);
        assert_eq!(budget.free(), MEMORY);
    }

    #[test]
    fn whoever_serves_nobody_else_remembers_every_directory_and_what_was_doubted_of_it() {
        let (account, mut doubts) = (Account::of_one(CLIENT_MEMORY_BYTES), DoubtedNames::default());
        (0..DIRS).for_each(|number| doubts.keep(Some(dir(number)), false, &account));
        assert!((0..DIRS).all(|number| doubts.has(&Some(dir(number)), false)));
        assert!(!doubts.has(&Some(dir(0)), true) && !doubts.has(&None, false));
        doubts.keep(Some(dir(0)), true, &account);
        doubts.keep(Some(dir(0)), false, &account);
        assert!(doubts.has(&Some(dir(0)), true));
    }
}
