//! Who gives names in memory: groups that go through the rules' steps, one when somebody says so, so that a power cut may come
//! between any two.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use rustix::io::Errno;

use super::file::{MemoryPart, MemorySource};
use super::image::Number;
use super::names::InDirectory;
use super::store::MemoryStore;
use crate::broken::BreakableRule;
use crate::protocol::path::WirePath;
use crate::storage::commit::{Answer, Commit, Committed, Durability, Touch};
use crate::storage::error::{Op, StorageError, Tries};
use crate::storage::final_name::errno_of;
use crate::storage::store::PartFile as _;
use crate::storage::{Commits, mode, system};
use crate::transfer::commit::{self, CommitStep, steps};

/// The committer of one process. Cheap to clone.
#[derive(Clone)]
pub(crate) struct MemoryCommitter(Arc<Mutex<MemoryQueue>>);

struct MemoryQueue {
    sync: Durability,
    waiting: VecDeque<MemoryJob>,
    /// The group that goes through the steps, and the steps that are left.
    group: Vec<MemoryJob>,
    steps: VecDeque<CommitStep>,
}

struct MemoryJob {
    work: Work,
    outcome: Result<WirePath, StorageError>,
    unset: Option<StorageError>,
    answer: Answer,
    /// The name that it is to get, or has.
    asked: WirePath,
    tries: Tries,
}

enum Work {
    File(Box<Commit<MemoryPart>>),
    There { store: MemoryStore, content: bool },
    Touch(Touch<MemoryStore, MemorySource>),
}

impl MemoryCommitter {
    pub(crate) fn new(sync: Durability) -> Self {
        let (waiting, group, steps) = Default::default();
        Self(Arc::new(Mutex::new(MemoryQueue { sync, waiting, group, steps })))
    }

    /// Whether there is something to do.
    pub(crate) fn has_work(&self) -> bool {
        let queue = self.0.lock().expect("no holder panics");
        !queue.group.is_empty() || !queue.waiting.is_empty()
    }

    /// Takes one step: of the group that is under way, or of a new one of so many jobs.
    pub(crate) fn step(&self, most: usize) {
        let mut queue = self.0.lock().expect("no holder panics");
        if queue.group.is_empty() {
            let count = most.min(queue.waiting.len());
            queue.group = queue.waiting.drain(..count).collect();
            queue.steps = steps(queue.sync).collect();
        }
        let Some(step) = queue.steps.pop_front() else { return };
        queue.take(step);
        if step != CommitStep::Answer {
            return;
        }
        let group = std::mem::take(&mut queue.group);
        drop(queue);
        let again: Vec<_> = group.into_iter().filter_map(MemoryJob::tell).collect();
        self.0.lock().expect("no holder panics").waiting.extend(again);
    }

    /// Its process is dead: nothing more is done, and nobody is told.
    pub(crate) fn abandon(&self) {
        let mut queue = self.0.lock().expect("no holder panics");
        let jobs = (std::mem::take(&mut queue.group), std::mem::take(&mut queue.waiting));
        drop(queue);
        drop(jobs);
    }

    fn submit_job(&self, work: Work, path: WirePath, answer: Answer) {
        let (asked, tries) = (path.clone(), Tries::default());
        let job = MemoryJob { work, outcome: Ok(path), unset: None, answer, asked, tries };
        self.0.lock().expect("no holder panics").waiting.push_back(job);
    }
}

impl Commits<MemoryStore> for MemoryCommitter {
    fn submit(&self, commit: Commit<MemoryPart>, answer: Answer) {
        let path = commit.part.path.clone();
        self.submit_job(Work::File(Box::new(commit)), path, answer);
    }

    fn submit_dir(&self, store: MemoryStore, path: WirePath, answer: Answer) {
        self.submit_job(Work::There { store, content: false }, path, answer);
    }

    fn submit_there(&self, store: MemoryStore, path: WirePath, answer: Answer) {
        self.submit_job(Work::There { store, content: true }, path, answer);
    }

    fn submit_touch(&self, touch: Touch<MemoryStore, MemorySource>, answer: Answer) {
        let path = touch.path.clone();
        self.submit_job(Work::Touch(touch), path, answer);
    }
}

impl MemoryQueue {
    fn take(&mut self, step: CommitStep) {
        match step {
            CommitStep::Finish => self.group.iter_mut().for_each(MemoryJob::finish),
            CommitStep::SyncContent => self.group.iter_mut().for_each(MemoryJob::sync_content),
            CommitStep::Rename => self.group.iter_mut().for_each(MemoryJob::rename),
            CommitStep::SyncNames => self.sync_names(),
            CommitStep::Answer => {}
        }
    }

    /// Syncs the directories of what got a name, and all that were noted before. A file below a directory whose own name is
    /// not durable is not either.
    fn sync_names(&mut self) {
        let Some(store) = self.group.first().map(|job| job.work.store().clone()) else { return };
        let mut dirs = store.unsynced.lock().expect("no holder panics").clone();
        for job in self.group.iter().filter(|job| job.outcome.is_ok()) {
            if let Work::File(commit) = &job.work {
                dirs.entry(commit.part.dir).or_default();
            }
        }
        let mut failures: BTreeMap<Number, Errno> = BTreeMap::new();
        if self.sync == Durability::Synced && !BreakableRule::SyncDirectories.is_broken() {
            let mut state = store.volume.state();
            for dir in dirs.keys() {
                if let Err(errno) = state.count(store.process).and_then(|()| state.sync_dir(*dir)) {
                    failures.insert(*dir, errno);
                }
            }
        }
        store.unsynced.lock().expect("no holder panics").retain(|dir, _| failures.contains_key(dir));
        let above = failures.iter().find(|(dir, _)| dirs.get(dir) == Some(&true)).map(|(_, errno)| *errno);
        for job in &mut self.group {
            let own = job.dir().and_then(|dir| failures.get(&dir).copied());
            if let (Ok(path), Some(errno)) = (&job.outcome, own.or(above)) {
                job.outcome = Err(StorageError::new(Op::Sync, path.as_path(), errno));
            }
        }
    }
}

impl Work {
    fn store(&self) -> &MemoryStore {
        match self {
            Self::File(commit) => commit.part.store(),
            Self::There { store, .. } => store,
            Self::Touch(touch) => &touch.root,
        }
    }
}

impl MemoryJob {
    fn is_touch(&self) -> bool {
        matches!(self.work, Work::Touch(_))
    }

    /// Whether nothing of its content was lost.
    fn is_whole(&self) -> bool {
        !matches!(&self.work, Work::File(commit) if commit.part.len() == 0 && commit.size > 0)
    }

    /// The directory that its name is in.
    fn dir(&self) -> Option<Number> {
        match (&self.work, &self.outcome) {
            (Work::File(commit), _) => Some(commit.part.dir),
            (work, Ok(path)) => work.store().volume.state().memory.parent(path).ok(),
            (_, Err(_)) => None,
        }
    }

    fn finish(&mut self) {
        match &self.work {
            Work::File(commit) => match commit.part.finish(commit.size, commit.mtime, commit.mode) {
                Ok(Some(error)) if self.tries.may_go_on(&error) => self.outcome = Err(error),
                Ok(unset) => self.unset = unset,
                Err(error) => self.outcome = Err(error),
            },
            Work::There { .. } => {}
            Work::Touch(touch) => {
                let decide = |there| mode::of_kept_file(touch.mode, there, system::umask());
                self.unset = touch.source.set_meta(touch.mtime, decide).err();
            }
        }
    }

    fn sync_content(&mut self) {
        let Ok(path) = &self.outcome else { return };
        let synced = match &self.work {
            Work::File(commit) => commit.part.sync(),
            Work::There { store, content: true } => store.run(Op::Sync, path, |state| {
                state.sync_all();
                Ok(())
            }),
            Work::There { content: false, .. } => Ok(()),
            Work::Touch(touch) => touch.source.sync(),
        };
        if let Err(error) = synced {
            self.outcome = Err(error);
        }
    }

    fn rename(&mut self) {
        let Work::File(commit) = &mut self.work else { return };
        if self.outcome.is_err() {
            return;
        }
        let (part, replace) = (&mut commit.part, commit.replace);
        self.outcome = part.check_name().and_then(|()| {
            part.run(Op::Rename, |state, _| {
                let naming = InDirectory { state: Mutex::new(state), dir: part.dir, temporary: &part.name };
                commit::give_final_name(&naming, &part.path, replace).map_err(errno_of)
            })
        });
        if let Ok(named) = &self.outcome {
            part.store().note(part.dir, false);
            part.is_settled = true;
            self.asked = named.clone();
        }
    }

    /// Tells what became of it, unless it is to be tried again.
    fn tell(mut self) -> Option<Self> {
        let (is_touch, unset) = (self.is_touch(), self.unset.as_ref());
        let error = self.outcome.as_ref().err().or_else(|| unset.filter(|_| is_touch));
        if self.is_whole() && error.is_some_and(|error| self.tries.go_on(error)) {
            if let Work::File(commit) = &self.work
                && commit.part.is_settled
            {
                self.work = Work::There { store: commit.part.store().clone(), content: false };
            }
            self.outcome = Ok(self.asked.clone());
            return Some(self);
        }
        let Self { work, outcome, unset, answer, .. } = self;
        // Unlocks a part that stays, before anyone hears of it and tries again.
        drop(work);
        answer(outcome.map(|path| Committed { path, unset }));
        None
    }
}
