//! Jobs that go through all steps together.

use std::collections::HashMap;
use std::sync::Arc;

use rustix::io::Errno;

use super::there::{self, ExistingObject};
use super::touch::{self, Touched};
use super::{Commit, CommitJob, CommitWork, Committed, Durability, Told};
use crate::broken::BreakableRule;
use crate::protocol::path::WirePath;
use crate::storage::cause::Refusal;
use crate::storage::dir::Dir;
use crate::storage::error::{Op, StorageError, failed};
use crate::storage::file_system::NameObjection;
use crate::storage::final_name::give_final_name;
use crate::storage::meta::{self, ObjectId, StatFacts};
use crate::storage::own_names::once_closed;
use crate::storage::root::Destination;
use crate::storage::system::{self, SYNC_EACH_MAX};
use crate::storage::unsynced::{Change, NewNames, Unsynced};
use crate::transfer::commit::{CommitStep, steps};

/// Jobs that go through all steps together.
pub(super) struct CommitGroup {
    sync: Durability,
    files: Vec<GroupEntry>,
    there: Vec<ExistingObject>,
    touched: Vec<Touched>,
    /// Roots with directories whose new names may not be durable.
    unsynced: Vec<Arc<Unsynced>>,
}

/// One file on its way. Once `outcome` is a failure, the later steps leave it out.
struct GroupEntry {
    commit: Commit,
    /// See [`Committed::unset`].
    unset: Option<StorageError>,
    outcome: Result<WirePath, StorageError>,
    told: Told,
}

impl GroupEntry {
    fn is_good(&self) -> bool {
        self.outcome.is_ok()
    }

    /// Gives the part its length, mode and time. Only the first decides over the content.
    fn finish(&mut self) {
        let Commit { part, size, mtime, mode, .. } = &self.commit;
        match part.finish(*size, *mtime, *mode) {
            Ok(Some(error)) if self.told.tries.may_go_on(&error) => self.outcome = Err(error),
            Ok(unset) => self.unset = unset,
            Err(error) => self.outcome = Err(error),
        }
    }

    /// Closes the content where a file system may tell only then that there was no room for it, or date it then.
    fn close(&mut self, sync: Durability) {
        self.step(|commit| commit.part.flush());
        if !self.is_good() || self.unset.is_some() {
            return;
        }
        let Commit { part, mtime, .. } = &self.commit;
        match meta::keep_time(part.file(), *mtime).map_err(failed(Op::SetMeta, part.target().as_path())) {
            Ok(true) if sync == Durability::Synced => self.step(|commit| commit.part.sync()),
            Ok(_) => {}
            Err(error) => self.unset = Some(error),
        }
    }

    fn answer(self, failures: &Failures) -> Option<CommitJob> {
        let Self { commit, unset, outcome, mut told } = self;
        // One of which the disk may have lost content was emptied.
        let is_whole = !commit.part.is_empty() || commit.size == 0;
        if is_whole && told.puts_off(outcome.as_ref().err()) {
            return Some(CommitJob { work: CommitWork::File(Box::new(commit)), told });
        }
        let root = commit.part.root().clone();
        let named = outcome.map(|path| (failures.check(commit.part.dir(), &path), path));
        // Unlocks a part that stays, before anyone hears of it and tries again.
        drop(commit);
        match named {
            Ok((Err(error), path)) if told.puts_off(Some(&error)) => {
                return Some(CommitJob { work: CommitWork::There { root, path, content: false, unset }, told });
            }
            named => told.tell(named.and_then(|(durable, path)| durable.map(|()| Committed { path, unset }))),
        }
        None
    }

    fn step(&mut self, step: impl FnOnce(&mut Commit) -> Result<(), StorageError>) {
        if self.is_good()
            && let Err(error) = step(&mut self.commit)
        {
            self.outcome = Err(error);
        }
    }
}

impl CommitGroup {
    pub(super) fn new(sync: Durability) -> Self {
        Self { sync, files: Vec::new(), there: Vec::new(), touched: Vec::new(), unsynced: Vec::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.files.len() + self.there.len() + self.touched.len()
    }

    pub(super) fn add(&mut self, job: CommitJob) {
        match job.work {
            CommitWork::File(commit) => {
                self.note_root(commit.part.root());
                let outcome = Ok(commit.part.target().clone());
                self.files.push(GroupEntry { commit: *commit, unset: None, outcome, told: job.told });
            }
            CommitWork::There { root, path, content, unset } => {
                self.note_root(&root);
                self.there.push(ExistingObject::new(root, path, content, unset, job.told));
            }
            CommitWork::Touch(touch) => {
                self.note_root(&touch.root);
                self.touched.push(Touched::new(touch, job.told));
            }
        }
    }

    fn note_root(&mut self, root: &Destination) {
        if !self.unsynced.iter().any(|known| Arc::ptr_eq(known, root.unsynced())) {
            self.unsynced.push(Arc::clone(root.unsynced()));
        }
    }

    /// Takes all steps. Returns the jobs that are to be tried again.
    pub(super) fn commit(mut self) -> Vec<CommitJob> {
        let mut failures = Failures::default();
        for step in steps(self.sync) {
            match step {
                CommitStep::Finish => self.finish(),
                CommitStep::SyncContent => {
                    self.sync_data();
                    there::sync(&mut self.there);
                    touch::sync(&mut self.touched);
                }
                CommitStep::Rename => self.rename(),
                CommitStep::SyncNames => failures = self.sync_names(),
                CommitStep::Answer => break,
            }
        }
        tracing::debug!(files = self.files.len(), there = self.there.len(), "committed a group");
        self.answer(&failures)
    }

    fn finish(&mut self) {
        for entry in &mut self.files {
            #[cfg(test)]
            crate::storage::testing::panic_at("commit", entry.commit.part.target());
            entry.finish();
        }
        self.touched.iter_mut().for_each(Touched::apply);
    }

    fn rename(&mut self) {
        for entry in &mut self.files {
            if !entry.commit.part.dir().file_system().closes_silently() {
                entry.close(self.sync);
            }
            rename(entry, self.sync);
        }
    }

    fn sync_data(&mut self) {
        let mut by_device: HashMap<u64, Vec<&mut GroupEntry>> = HashMap::new();
        for entry in self.files.iter_mut().filter(|entry| entry.is_good()) {
            by_device.entry(entry.commit.part.device()).or_default().push(entry);
        }
        for entries in by_device.into_values() {
            if entries.len() > SYNC_EACH_MAX && sync_together(&entries) {
                continue;
            }
            for entry in entries {
                entry.step(|commit| commit.part.sync());
            }
        }
    }

    /// Makes all names durable: of the files just renamed, of directories made before, and of what could not be
    /// synced when it was tried last. What fails stays noted, so that nobody relies on it before it has succeeded.
    fn sync_names(&self) -> Failures {
        let changes: Vec<Vec<Change>> = self.unsynced.iter().map(|unsynced| unsynced.waiting()).collect();
        let mut failures = Failures::default();
        if self.sync == Durability::Synced {
            let mut dirs: HashMap<ObjectId, Arc<Dir>> = HashMap::new();
            let renamed = self.files.iter().filter(|entry| entry.is_good()).map(|entry| entry.commit.part.dir());
            for dir in renamed.chain(changes.iter().flatten().map(|change| &change.dir)) {
                dirs.entry(dir.id()).or_insert_with(|| Arc::clone(dir));
            }
            failures = Failures::new(sync_dirs(dirs), changes.iter().flatten());
        }
        for (unsynced, changes) in self.unsynced.iter().zip(&changes) {
            unsynced.settle(changes.iter().filter(|change| !failures.dirs.contains_key(&change.dir.id())));
        }
        failures
    }

    fn answer(self, failures: &Failures) -> Vec<CommitJob> {
        let Self { files, there, touched, .. } = self;
        let files = files.into_iter().filter_map(|entry| entry.answer(failures));
        let touched = touched.into_iter().filter_map(|file| file.answer(|root, path| failures.check_in(root, path)));
        let there = there.into_iter().filter_map(|there| there.answer(|root, path| failures.check_in(root, path)));
        files.chain(touched).chain(there).collect()
    }
}

/// The names that could not be synced.
#[derive(Default)]
struct Failures {
    /// The names in these are not durable.
    dirs: HashMap<ObjectId, Errno>,
    /// On these file systems a directory or link has a name that is not: any file there may lie below it.
    devices: HashMap<u64, Errno>,
}

impl Failures {
    fn new<'a>(dirs: HashMap<ObjectId, Errno>, changes: impl Iterator<Item = &'a Change>) -> Self {
        let above = changes.filter(|change| change.names == NewNames::Others);
        let devices = above.filter_map(|change| Some((change.dir.id().dev, *dirs.get(&change.dir.id())?))).collect();
        Self { dirs, devices }
    }

    /// Whether the name of `path` below `root` is durable.
    fn check_in(&self, root: &Destination, path: &WirePath) -> Result<(), StorageError> {
        if self.dirs.is_empty() {
            return Ok(());
        }
        let dir = root.in_parent(path, |dir, _| Ok(Arc::clone(dir))).map_err(failed(Op::Sync, path.as_path()))?;
        self.check(&dir, path)
    }

    /// Whether the name of `path` in `dir` is durable.
    fn check(&self, dir: &Dir, path: &WirePath) -> Result<(), StorageError> {
        let id = dir.id();
        // Where it may have had another number when it was synced, any directory of its disk may have been it.
        let may_be_it = |other: &ObjectId| other.dev == id.dev && !dir.file_system().keeps_numbers();
        let perhaps = || self.dirs.iter().find_map(|(other, errno)| may_be_it(other).then_some(errno));
        match self.dirs.get(&id).or_else(|| self.devices.get(&id.dev)).or_else(perhaps) {
            Some(errno) => Err(StorageError::new(Op::Sync, path.as_path(), *errno)),
            None => Ok(()),
        }
    }
}

/// Syncs the file system that all entries lie on; false when each has to be synced by itself.
fn sync_together(entries: &[&mut GroupEntry]) -> bool {
    // The kernel reports write-back errors since the descriptor was opened, and only once per descriptor: so
    // the one that is older than all that was written.
    let oldest = entries.iter().min_by_key(|entry| entry.commit.part.opened());
    // After an error each file is asked, for only it knows whether it was hit.
    oldest.is_some_and(|entry| system::sync_file_system(entry.commit.part.file()).is_ok())
}

/// Syncs directories and returns those that failed.
fn sync_dirs(dirs: HashMap<ObjectId, Arc<Dir>>) -> HashMap<ObjectId, Errno> {
    if BreakableRule::SyncDirectories.is_broken() {
        return HashMap::new();
    }
    let mut by_device: HashMap<u64, Vec<Arc<Dir>>> = HashMap::new();
    for dir in dirs.into_values() {
        by_device.entry(dir.id().dev).or_default().push(dir);
    }
    let mut failures = HashMap::new();
    for dirs in by_device.into_values() {
        if dirs.len() > SYNC_EACH_MAX && system::sync_file_system(&*dirs[0]).is_ok() {
            continue;
        }
        for dir in dirs {
            if let Err(errno) = dir.sync() {
                failures.insert(dir.id(), errno);
            }
        }
    }
    failures
}

fn name_part(commit: &Commit, sync: Durability) -> Result<WirePath, StorageError> {
    let Commit { part, replace, .. } = commit;
    let (dir, target) = (part.dir(), part.target());
    part.check_name()?;
    let unsynced = part.root().unsynced();
    unsynced
        .note_names(dir, NewNames::Files, || give_final_name(dir, part.name(), target, *replace, sync))
        .map_err(failed(Op::Rename, target.as_path()))
}

/// Whether it may have got no other name because it is open, or what it replaces is: some file systems in user space give that
/// a name with a dot first, and may refuse such names.
fn may_be_for_being_open(commit: &Commit, error: &StorageError) -> bool {
    let errno = Errno::from_io_error(&error.cause);
    let may_object = |what, errno| commit.part.dir().may_object_to(what, errno);
    errno.is_some_and(|errno| [NameObjection::Open, NameObjection::Dot].into_iter().any(|what| may_object(what, errno)))
}

fn rename(entry: &mut GroupEntry, sync: Durability) {
    if !entry.is_good() {
        return;
    }
    let mut renamed = name_part(&entry.commit, sync);
    if renamed.as_ref().is_err_and(|error| may_be_for_being_open(&entry.commit, error)) && entry.commit.part.close() {
        let name_closed = || name_part(&entry.commit, sync);
        renamed = once_closed(name_closed, |error| may_be_for_being_open(&entry.commit, error)).and_then(|name| {
            // Nobody has the lock any more, so another writer may have had the part for a moment.
            let Commit { part, size, .. } = &entry.commit;
            let found = part.dir().stat(name.name()).map_err(failed(Op::Rename, name.as_path()))?;
            match StatFacts::of(&found).size == *size {
                true => Ok(name),
                false => Err(StorageError::new(Op::Rename, name.as_path(), Refusal::PartReplaced)),
            }
        });
    }
    if renamed.is_ok() {
        entry.commit.part.settle();
    }
    entry.outcome = renamed;
}
