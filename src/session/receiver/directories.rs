//! The directories of a job. Writing into one changes its time, and its mode may keep even its owner out: each gets both when
//! every file is settled.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use super::{Driver, ReceiveOptions, Receiver};
use crate::progress::Event;
use crate::protocol::message::{Header, SkipReason};
use crate::protocol::path::WirePath;
use crate::session::budget::Hold;
use crate::storage::{DIRECTORY_BYTES, DirMeta, DirMode, Durability, Meta, StorageError, Store, mode};

/// The times and modes that directories get at the end.
pub(super) struct Directories {
    /// By name, so that one that is offered over and over takes no more room.
    metas: BTreeMap<WirePath, DirMeta>,
    room: Hold,
    /// There was no room to keep them all.
    lacks_some: bool,
}

impl Directories {
    pub(super) fn new(room: Hold) -> Self {
        Self { metas: BTreeMap::new(), room, lacks_some: false }
    }

    /// Whether there is room for that of one more.
    fn keep(&mut self, path: &WirePath, meta: DirMeta) -> bool {
        if let Some(before) = self.metas.get_mut(path) {
            *before = meta;
            return true;
        }
        let has_room = self.room.grow(DIRECTORY_BYTES + path.as_bytes().len());
        if has_room {
            self.metas.insert(path.clone(), meta);
        }
        has_room
    }

    /// Whether a directory will keep its own owner out at the end.
    fn will_shut(&self, dir: &WirePath) -> bool {
        self.metas.get(dir).copied().is_some_and(DirMeta::is_shut)
    }
}

impl<D: Driver> Receiver<D> {
    /// There is room for hundreds of thousands; of more, those that come last keep the time that they have. They take no room
    /// from what is on offer: a job with more directories than that would never come to its end.
    pub(super) fn keep_for_the_end(&self, path: &WirePath, meta: DirMeta) {
        let mut directories = self.directories();
        if !directories.keep(path, meta) && !std::mem::replace(&mut directories.lacks_some, true) {
            // The same command again would meet the same directories in the same order.
            let text = "too many directories in one job: some do not get their time and mode; a job for each part of the \
                tree sets them";
            self.0.tools.observer.event(Event::Note(text.to_owned()));
        }
    }

    /// A directory that was there before gets the sender's time, unless who decides here lets nobody replace anything. It
    /// gets its mode only from a sender that means to replace what is there: nobody else gets to shut one. Who only fills a
    /// drop box changes nothing of it.
    pub(super) fn take_dir(&self, header: &Header, path: WirePath) -> Result<(), StorageError> {
        let ReceiveOptions { root, policy, leaves_directories, .. } = &self.0.options;
        if !policy.blind {
            let there = if self.0.options.replaces() { None } else { root.stat_dir(&path)? };
            let meta = meta_at_end(header, there.as_ref(), *leaves_directories);
            let is_changed = meta.mode != DirMode::Kept;
            if is_changed && mode::is_blind(header.mode) {
                // Not even what it holds could be looked at.
                root.open_up_dir(&path)?;
            }
            if is_changed || !leaves_directories {
                // Files inside it need the directory, and are planned before its name is known to be durable.
                self.keep_for_the_end(&path, meta);
            }
        }
        self.skip_there(header, path, SkipReason::Made, None)
    }

    /// Lets this end's user into the directory that is to get a name, where it is shut both there and here: an earlier
    /// run has shut it as its source is. It is shut again at the end of the job, or of the next one if this one breaks
    /// off. One that is shut only here was shut by its owner, and stays so.
    pub(super) fn open_up_above(&self, path: &WirePath) -> Result<(), StorageError> {
        let Some(parent) = path.parent().filter(|_| !self.0.options.dry_run) else { return Ok(()) };
        let is_shut = self.directories().will_shut(&parent);
        if is_shut { self.0.options.root.open_up_dir(&parent) } else { Ok(()) }
    }

    /// Does what waits until every file is settled: directories get their times, and whether anybody will find what came is
    /// looked at.
    pub(super) fn wind_up(&self) {
        self.0.driver.on_last_word();
        let metas = std::mem::take(&mut self.directories().metas);
        if metas.is_empty() && !self.0.has_placed.load(Ordering::Relaxed) {
            return self.feed(|ledger| ledger.on_wound_up());
        }
        let receiver = self.clone();
        self.0.driver.spawn(move || receiver.finish_directories(metas));
    }

    /// On a disk thread.
    fn finish_directories(&self, mut metas: BTreeMap<WirePath, DirMeta>) {
        let sync = Durability::when(self.0.options.durable);
        let finish = move |receiver: &Self| {
            let root = &receiver.0.options.root;
            root.finish_dirs(&mut metas, sync, |error| receiver.remark_unset(error))
        };
        self.keep_trying(finish, move |receiver, finished| {
            finished.err().iter().for_each(|error| receiver.remark_unset(error));
            receiver.directories().room.shrink_to(0);
            receiver.say_where_it_went();
            // Only now is the end said: with it the sender takes all for safe.
            receiver.feed(|ledger| ledger.on_wound_up());
        });
    }

    /// Says so if nobody will find what came.
    fn say_where_it_went(&self) {
        let ReceiveOptions { root, dry_run, .. } = &self.0.options;
        if !dry_run && root.is_misplaced() {
            let text =
                "the directory that this went to was moved or removed meanwhile, or another disk was mounted on it";
            self.feed(|ledger| ledger.remark(text.to_owned()));
        }
    }
}

/// The time and mode that a directory gets which was there before the job; `there` is what it has now, where nothing may be
/// replaced.
fn meta_at_end(header: &Header, there: Option<&Meta>, leaves_directories: bool) -> DirMeta {
    let kept = |there: &Meta| if leaves_directories { there.mtime } else { header.mtime };
    let (mode, mtime) = match there {
        None => (DirMode::Narrowed(header.mode), header.mtime),
        // An earlier job has opened it, and did not come to its end.
        Some(there) if mode::was_opened(header.mode, there.mode) => {
            (DirMode::Restored(mode::of_shut_again(header.mode, there.mode)), kept(there))
        }
        // It is opened for what is put into it, and gets back what it had.
        Some(there) if mode::is_shut(header.mode) && mode::is_shut(there.mode) => {
            (DirMode::Restored(there.mode), kept(there))
        }
        Some(_) => (DirMode::Kept, header.mtime),
    };
    DirMeta { mtime, mode }
}
