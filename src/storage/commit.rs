//! Part files become files: in groups, and not before they are safe.
//!
//! One thread takes what is waiting and brings it through the same steps together: final length, mode and
//! time; data to the disk; final names; directories to the disk; answers. While it waits for the disk the
//! next group gathers. Many small files then cost one sync instead of one each.

use std::collections::HashMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, mpsc};
use std::thread;

use rustix::io::Errno;

use crate::protocol::message::Mtime;
use crate::protocol::path::WirePath;

use super::dir::{Change, Dir, ObjectId, Unsynced};
use super::error::{Op, Refusal, StorageError, failed};
use super::part::Part;
use super::root::Root;
use super::system;
use super::touch::{self, Touch, Touched};

/// Most commits in one group, so that the first of many is answered soon.
const GROUP_MAX: usize = 1024;
/// Up to here files (or directories) are synced one by one: a sync of the whole file system would also wait
/// for what other transfers are writing.
pub(super) const SYNC_EACH_MAX: usize = 8;
/// Highest number that [`Replace::RenameFree`] tries.
const FREE_NAMES_MAX: u32 = 9999;

/// What a commit promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    /// What was answered survives a power cut.
    Durable,
    /// What was answered is there, but may not survive a power cut.
    None,
}

/// What happens when the final name is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replace {
    /// The file (or link) that has it is replaced, atomically.
    Yes,
    /// The commit fails with status `Exists`.
    No,
    /// The new file gets the first free of `name~1`, `name~2` ….
    RenameFree,
}

/// A complete and verified part, and what it is to become.
#[derive(Debug)]
pub struct Commit {
    /// The content.
    pub part: Part,
    /// Its final length in bytes.
    pub size: u64,
    /// Its time of modification.
    pub mtime: Mtime,
    /// Its permission bits; the lower nine are used.
    pub mode: u32,
    /// What happens when the name is taken.
    pub replace: Replace,
}

/// Told once, on the committer's thread, what became of a commit: the final name or the failure. After a
/// failure the part is still there.
pub type Answer = Box<dyn FnOnce(Result<WirePath, StorageError>) + Send>;

/// Hands commits to the thread that does them. Cheap to clone; the thread does what it was given and ends
/// when the last clone is dropped.
#[derive(Debug, Clone)]
pub struct Committer(mpsc::Sender<Job>);

struct Job {
    work: Work,
    answer: Answer,
}

enum Work {
    File(Box<Commit>),
    Names { root: Root, path: WirePath },
    Touch(Touch),
}

impl Committer {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start(sync: Sync) -> io::Result<Self> {
        let (sender, jobs) = mpsc::channel();
        thread::Builder::new().name("qft-commit".to_owned()).spawn(move || serve(&jobs, sync))?;
        Ok(Self(sender))
    }

    /// Queues a commit. The queue has no bound of its own; every job in it holds an open file.
    pub fn submit(&self, commit: Commit, answer: Answer) {
        self.queue(Job { work: Work::File(Box::new(commit)), answer });
    }

    /// Queues the request to make a new directory or link durable, which [`Root`] has made already.
    pub fn submit_dir(&self, root: Root, path: WirePath, answer: Answer) {
        self.queue(Job { work: Work::Names { root, path }, answer });
    }

    /// Queues a new time and mode of a file that keeps its content.
    pub fn submit_touch(&self, touch: Touch, answer: Answer) {
        self.queue(Job { work: Work::Touch(touch), answer });
    }

    fn queue(&self, job: Job) {
        let Err(mpsc::SendError(job)) = self.0.send(job) else { return };
        let path = match &job.work {
            Work::File(commit) => commit.part.target().clone(),
            Work::Names { path, .. } | Work::Touch(Touch { path, .. }) => path.clone(),
        };
        let gone = StorageError::new(Op::Rename, path.as_path(), Refusal::CommitterGone);
        drop(job.work);
        (job.answer)(Err(gone));
    }
}

fn serve(jobs: &mpsc::Receiver<Job>, sync: Sync) {
    while let Ok(first) = jobs.recv() {
        let mut group = Group::new(sync);
        group.add(first);
        while group.len() < GROUP_MAX {
            let Ok(next) = jobs.try_recv() else { break };
            group.add(next);
        }
        group.commit();
    }
}

/// Jobs that go through all steps together.
struct Group {
    sync: Sync,
    files: Vec<Entry>,
    names: Vec<(WirePath, Answer)>,
    touched: Vec<Touched>,
    /// Roots with directories whose new names may not be durable.
    unsynced: Vec<Arc<Unsynced>>,
}

/// One file on its way. Once `outcome` is a failure, the later steps leave it out.
struct Entry {
    commit: Commit,
    outcome: Result<WirePath, StorageError>,
    answer: Answer,
}

impl Entry {
    fn is_good(&self) -> bool {
        self.outcome.is_ok()
    }

    fn step(&mut self, step: impl FnOnce(&mut Commit) -> Result<(), StorageError>) {
        if self.is_good()
            && let Err(error) = step(&mut self.commit)
        {
            self.outcome = Err(error);
        }
    }
}

impl Group {
    fn new(sync: Sync) -> Self {
        Self { sync, files: Vec::new(), names: Vec::new(), touched: Vec::new(), unsynced: Vec::new() }
    }

    fn len(&self) -> usize {
        self.files.len() + self.names.len() + self.touched.len()
    }

    fn add(&mut self, job: Job) {
        match job.work {
            Work::File(commit) => {
                self.note_root(commit.part.root());
                let outcome = Ok(commit.part.target().clone());
                self.files.push(Entry { commit: *commit, outcome, answer: job.answer });
            }
            Work::Names { root, path } => {
                self.note_root(&root);
                self.names.push((path, job.answer));
            }
            Work::Touch(touch) => self.touched.push(Touched::new(touch, job.answer)),
        }
    }

    fn note_root(&mut self, root: &Root) {
        if !self.unsynced.iter().any(|known| Arc::ptr_eq(known, root.unsynced())) {
            self.unsynced.push(Arc::clone(root.unsynced()));
        }
    }

    fn commit(mut self) {
        let new_names: Vec<Vec<Change>> = self.unsynced.iter().map(|unsynced| unsynced.waiting()).collect();
        for entry in &mut self.files {
            entry.step(|commit| commit.part.finish(commit.size, commit.mtime, commit.mode));
        }
        self.touched.iter_mut().for_each(Touched::apply);
        if self.sync == Sync::Durable {
            self.sync_data();
            touch::sync(&mut self.touched);
        }
        for entry in &mut self.files {
            rename(entry);
        }
        let names = if self.sync == Sync::Durable { self.sync_names(&new_names) } else { Ok(()) };
        if names.is_ok() {
            for (unsynced, changes) in self.unsynced.iter().zip(&new_names) {
                unsynced.settle(changes);
            }
        }
        tracing::debug!(files = self.files.len(), names = self.names.len(), "committed a group");
        self.answer(names);
    }

    fn sync_data(&mut self) {
        let mut by_device: HashMap<u64, Vec<&mut Entry>> = HashMap::new();
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

    /// Makes all names durable: of the files just renamed, and of directories made before. A failure of the
    /// latter hits the whole group, for any of it may lie below.
    fn sync_names(&mut self, new_names: &[Vec<Change>]) -> Result<(), StorageError> {
        let mut dirs: HashMap<ObjectId, Arc<Dir>> = HashMap::new();
        let renamed = self.files.iter().filter(|entry| entry.is_good()).map(|entry| entry.commit.part.dir());
        for dir in renamed.chain(new_names.iter().flatten().map(|change| &change.dir)) {
            dirs.entry(dir.id()).or_insert_with(|| Arc::clone(dir));
        }
        let failures = sync_dirs(dirs);
        for entry in &mut self.files {
            let failure = failures.get(&entry.commit.part.dir().id());
            entry.step(|commit| match failure {
                Some(errno) => Err(StorageError::new(Op::Sync, commit.part.target().as_path(), *errno)),
                None => Ok(()),
            });
        }
        let made = new_names.iter().flatten().find_map(|change| failures.get(&change.dir.id()));
        match made {
            Some(errno) => Err(StorageError::new(Op::Sync, std::path::Path::new("."), *errno)),
            None => Ok(()),
        }
    }

    fn answer(self, names: Result<(), StorageError>) {
        for Entry { commit, outcome, answer } in self.files {
            let outcome = match (&names, outcome) {
                (Err(error), Ok(path)) => Err(error.again_for(path.as_path())),
                (_, outcome) => outcome,
            };
            // Unlocks a part that stays, before anyone hears of it and tries again.
            drop(commit);
            tell(answer, outcome);
        }
        self.touched.into_iter().for_each(Touched::answer);
        for (path, answer) in self.names {
            let outcome = match &names {
                Ok(()) => Ok(path),
                Err(error) => Err(error.again_for(path.as_path())),
            };
            tell(answer, outcome);
        }
    }
}

pub(super) fn tell(answer: Answer, outcome: Result<WirePath, StorageError>) {
    // A caller's panic must not take the other commits with it.
    if catch_unwind(AssertUnwindSafe(|| answer(outcome))).is_err() {
        tracing::error!("the answer to a commit panicked");
    }
}

/// Syncs the file system that all entries lie on; false when each has to be synced by itself.
fn sync_together(entries: &[&mut Entry]) -> bool {
    // The kernel reports write-back errors since the descriptor was opened, and only once per descriptor: so
    // the one that is older than all that was written.
    let oldest = entries.iter().min_by_key(|entry| entry.commit.part.opened());
    // After an error each file is asked, for only it knows whether it was hit.
    oldest.is_some_and(|entry| system::sync_file_system(entry.commit.part.file()).is_ok())
}

/// Syncs directories and returns those that failed.
fn sync_dirs(dirs: HashMap<ObjectId, Arc<Dir>>) -> HashMap<ObjectId, Errno> {
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

fn rename(entry: &mut Entry) {
    if !entry.is_good() {
        return;
    }
    let renamed = entry.commit.part.check_name().and_then(|()| give_final_name(&entry.commit));
    if renamed.is_ok() {
        entry.commit.part.settle();
    }
    entry.outcome = renamed;
}

fn give_final_name(commit: &Commit) -> Result<WirePath, StorageError> {
    let (part, target) = (&commit.part, commit.part.target());
    let (dir, from) = (part.dir(), part.name());
    match commit.replace {
        Replace::Yes => dir.rename(from, target.name()),
        Replace::No | Replace::RenameFree => dir.rename_no_replace(from, target.name()),
    }
    .map(|()| target.clone())
    .or_else(|errno| match (errno, commit.replace) {
        (Errno::EXIST, Replace::RenameFree) => rename_free(part),
        _ => Err(errno),
    })
    .map_err(failed(Op::Rename, target.as_path()))
}

fn rename_free(part: &Part) -> Result<WirePath, Errno> {
    for number in 1..=FREE_NAMES_MAX {
        let mut path = part.target().as_bytes().to_vec();
        path.extend_from_slice(format!("~{number}").as_bytes());
        let path = WirePath::parse(&path).map_err(|_| Errno::NAMETOOLONG)?;
        match part.dir().rename_no_replace(part.name(), path.name()) {
            Err(Errno::EXIST) => {}
            settled => return settled.map(|()| path),
        }
    }
    Err(Errno::EXIST)
}

#[cfg(test)]
mod tests;
