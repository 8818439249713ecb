//! An offer: it is planned on a disk thread, among many, and what follows from the decision is done, to its answer.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use super::driver::may_wait;
use super::file::IncomingFile;
use super::name::{Decision, Look};
use super::{Driver, ReceiveOptions, Receiver};
use crate::broken::BreakableRule;
use crate::progress::{FilePhase, FileProgress};
use crate::protocol::message::{Failure, FileId, Header, Kind, Mtime, SkipReason};
use crate::protocol::path::WirePath;
use crate::storage::{
    Cause as _, Commits, Committed, DirMeta, DirMode, FailureKind, FileIo, Files, ReadFile, StorageError, Store, Touch,
};
use crate::transfer::file::ReceiveFile;
use crate::transfer::file::resume::{Plan, Start};

/// How long content may be in memory alone after it was written, where nobody syncs it. The kernel begins to write what is
/// older than half a minute; a slow disk that is busy may take many times that.
const UNWRITTEN_FOR: Duration = Duration::from_secs(15 * 60);

/// How far a file system's clock may be behind ours: it stamps with the time of the last tick.
const TICK: Duration = Duration::from_millis(20);

/// Why an offer has no name here.
#[derive(Debug)]
pub(super) enum Unplaced {
    /// It may not have it.
    Refused(Failure),
    /// The disk does not say.
    Unknown(StorageError),
}

impl From<Failure> for Unplaced {
    fn from(failure: Failure) -> Self {
        Self::Refused(failure)
    }
}

impl From<StorageError> for Unplaced {
    fn from(error: StorageError) -> Self {
        Self::Unknown(error)
    }
}

impl<D: Driver> Receiver<D> {
    pub(super) fn refuse(&self, id: FileId, failure: Failure) {
        self.feed(|ledger| ledger.refuse(id, failure));
    }

    /// On a disk thread, after so many waits for what is in the way.
    pub(super) fn plan(&self, header: Header, waits: u32) {
        match self.try_to_plan(&header) {
            Ok(()) => {}
            Err(error) if may_wait(&error, waits) => {
                let receiver = self.clone();
                self.try_again(&error, move || receiver.plan(header, waits + 1));
            }
            Err(error) => self.leave_unplaced(&header, &error),
        }
    }

    fn try_to_plan(&self, header: &Header) -> Result<(), StorageError> {
        #[cfg(test)]
        crate::storage::testing::panic_at("plan", &header.path);
        let was_done = header.kind != Kind::Dir && self.0.tools.record.was_done_before(&header.path);
        if was_done {
            self.note_done(header)?;
        }
        if !self.feed(|ledger| ledger.is_to_be_planned(header.id, was_done)) {
            return Ok(());
        }
        let named = self.0.options.destination(header).and_then(|path| {
            let is_apart = self.0.options.root.tells_names_apart(&path);
            let is_another = if is_apart { Some(false) } else { self.is_another(header, &path)? };
            Ok(is_another.map(|is_another| (path, is_apart, is_another)))
        });
        match named {
            Ok(Some((path, is_apart, is_another))) => {
                let (options, time_step) = (&self.0.options, &self.0.time_step);
                let decision = Look { options, time_step, header, is_apart, is_another }.decide(path)?;
                return self.act(header, decision);
            }
            // It waits for its twin.
            Ok(None) => {}
            Err(Unplaced::Refused(failure)) => self.refuse(header.id, failure),
            Err(Unplaced::Unknown(error)) => return Err(error),
        }
        Ok(())
    }

    /// Remembers the name of a file that an earlier connection has brought, so that no later one replaces the file whose name the
    /// disk takes for this one. Nobody is asked whether it may be written: it is not.
    fn note_done(&self, header: &Header) -> Result<(), StorageError> {
        let options = &self.0.options;
        let path = match options.place(header) {
            Ok(path) => path,
            Err(Unplaced::Unknown(error)) => return Err(error),
            Err(Unplaced::Refused(_)) => return Ok(()),
        };
        if options.replaces() && !options.root.tells_names_apart(&path) {
            self.feed(|ledger| ledger.note_name(header.id, &path));
        }
        Ok(())
    }

    /// An offer gets no name, for the disk could not be asked, however long that was waited for. What lies below a directory
    /// would be compared with none of the names that may be its own.
    fn leave_unplaced(&self, header: &Header, error: &StorageError) {
        if let Ok(path) = self.0.options.place(header)
            && may_wait(error, 0)
            && header.kind == Kind::Dir
            && self.0.options.replaces()
            && !self.0.options.root.tells_names_apart(&path)
        {
            self.feed(|ledger| ledger.refuse_below(&path, &path));
        }
        self.refuse(header.id, error.at_destination());
    }

    fn act(&self, header: &Header, decision: Decision) -> Result<(), StorageError> {
        let Decision { path, is_aside, plan, changed } = decision;
        let root = &self.0.options.root;
        if matches!(plan, Plan::Receive(_) | Plan::MakeDir | Plan::MakeLink) {
            self.open_up_above(&path)?;
        }
        match plan {
            Plan::Skip(reason) => return self.skip_there(header, path, reason, changed),
            Plan::Refuse(failure) => self.refuse(header.id, failure),
            Plan::SetMode => return self.set_mode(header, path, changed),
            Plan::Receive(start) if self.0.options.dry_run => {
                let named = is_aside.then(|| path.last());
                self.feed(|ledger| ledger.plan_only(header.id, start.from, start.why, named));
            }
            Plan::Receive(start) => self.on_start(header, path, start),
            Plan::MakeDir | Plan::MakeLink if self.0.options.dry_run => self.on_made(header, &path, false),
            Plan::MakeDir if root.make_dir(&path, header.mode)? => return self.commit_name(header, path),
            Plan::MakeDir => return self.take_dir(header, path),
            Plan::MakeLink => match self.make_link(header, &path)? {
                Some(made) => return self.commit_name(header, made),
                None => return self.skip_there(header, path, SkipReason::Made, None),
            },
        }
        Ok(())
    }

    fn make_link(&self, header: &Header, path: &WirePath) -> Result<Option<WirePath>, StorageError> {
        let options = &self.0.options;
        match &header.kind {
            Kind::Link(target) => options.root.make_link(path, target, self.replace_of(path)?),
            Kind::File | Kind::Dir => unreachable!("only links are planned as links"),
        }
    }

    /// A new directory or link is done when its name is durable, like a file.
    fn commit_name(&self, header: &Header, path: WirePath) -> Result<(), StorageError> {
        let is_dir = header.kind == Kind::Dir;
        self.in_doubt(&path, is_dir)?;
        if is_dir && self.0.options.durable {
            self.0.doubts.on_new_dir(&path);
        }
        let made = path.clone();
        self.after_names(header, path, move |receiver, header| {
            receiver.on_made(header, &made, is_dir);
        });
        Ok(())
    }

    /// Goes on when the name is durable.
    fn after_names(&self, header: &Header, path: WirePath, then: impl FnOnce(&Self, &Header) + Send + 'static) {
        let (receiver, header) = (self.clone(), header.clone());
        let done = Box::new(move |result: Result<Committed, StorageError>| match result {
            Ok(_) => then(&receiver, &header),
            Err(error) => receiver.refuse(header.id, error.at_destination()),
        });
        self.0.tools.committer.submit_dir(self.0.options.root.clone(), path, done);
    }

    /// A directory or a link is in place.
    fn on_made(&self, header: &Header, path: &WirePath, directory: bool) {
        self.0.has_placed.store(true, Ordering::Relaxed);
        if directory {
            self.keep_for_the_end(path, DirMeta { mtime: header.mtime, mode: DirMode::Narrowed(header.mode) });
        }
        self.feed(|ledger| ledger.skip(header.id, SkipReason::Made));
    }

    /// On a disk thread: the content of an offer is wanted.
    fn on_start(&self, header: &Header, path: WirePath, start: Start) {
        let progress = FileProgress::new(header.path.to_string(), header.size, start.from, start.why);
        if start.from > 0 {
            progress.set_phase(FilePhase::Checking);
        }
        let ReceiveOptions { root, owner, durable, .. } = &self.0.options;
        let io = FileIo::new(root.clone(), path, header, start, self.0.tools.account.for_files());
        let file = Arc::new(IncomingFile::new(io.owned_by(owner.clone()).synced(*durable)));
        let rules = ReceiveFile::new(header.size, start.from, &self.0.tools.hasher);
        // An empty file is complete.
        if let Some(complete) = self.feed(|ledger| ledger.open(header.id, &start, rules, file, Arc::new(progress))) {
            self.sum_up(complete);
        }
    }
}

/// What is there already: it counts as sent, so it must be as durable as files that are sent, with the same time and mode.
impl<D: Driver> Receiver<D> {
    /// A file that is there already counts as sent, so it has to be as durable: the process that made it may have been
    /// killed before its name was synced, or may not have synced its content. `changed` is when it was last changed.
    pub(super) fn skip_there(
        &self,
        header: &Header,
        path: WirePath,
        reason: SkipReason,
        changed: Option<Mtime>,
    ) -> Result<(), StorageError> {
        let is_in_doubt = self.is_in_doubt(&path, &header.kind)?;
        let is_file = header.kind == Kind::File && reason == SkipReason::Same;
        if is_file && changed.is_some_and(|changed| self.may_be_unwritten(changed)) {
            self.after_content(header, path);
        } else if is_in_doubt {
            self.after_names(header, path, move |receiver, header| receiver.skip(header, reason));
        } else {
            self.skip(header, reason);
        }
        Ok(())
    }

    fn skip(&self, header: &Header, reason: SkipReason) {
        self.feed(|ledger| ledger.skip(header.id, reason));
    }

    /// Whether what was last changed then may not be on the disk.
    fn may_be_unwritten(&self, changed: Mtime) -> bool {
        let options = &self.0.options;
        if !options.durable || options.dry_run || BreakableRule::SkipDurably.is_broken() {
            return false;
        }
        let is_recent = is_after(changed, self.0.driver.now() - UNWRITTEN_FOR);
        is_recent && self.written_until().is_none_or(|until| is_after(changed, until - TICK))
    }

    /// Goes on when the content of what is there is on the disk. That writes all of the file system, so it is done once for
    /// all that was there before.
    fn after_content(&self, header: &Header, path: WirePath) {
        let (receiver, header, now) = (self.clone(), header.clone(), self.0.driver.now());
        let done = Box::new(move |result: Result<Committed, StorageError>| match result {
            Ok(_) => {
                let mut until = receiver.written_until();
                *until = (*until).max(Some(now));
                drop(until);
                receiver.skip(&header, SkipReason::Same);
            }
            Err(error) => receiver.refuse(header.id, error.at_destination()),
        });
        self.0.tools.committer.submit_there(self.0.options.root.clone(), path, done);
    }

    /// Whether the name of what is there, or of a directory above it, is to be made durable before anybody relies on it.
    /// True for the first of a directory in each job.
    fn is_in_doubt(&self, path: &WirePath, kind: &Kind) -> Result<bool, StorageError> {
        let options = &self.0.options;
        if !options.durable || options.dry_run || BreakableRule::SkipDurably.is_broken() {
            return Ok(false);
        }
        self.0.doubts.note(&options.root, path, *kind == Kind::Dir)?;
        options.root.is_unsynced(path)
    }

    /// Doubts the names that lead to `path` where that matters. `is_dir`: other names are to lie below it.
    pub(super) fn in_doubt(&self, path: &WirePath, is_dir: bool) -> Result<(), StorageError> {
        let is_noted = self.0.options.durable && !BreakableRule::DirectoriesAreNoted.is_broken();
        if is_noted { self.0.doubts.note(&self.0.options.root, path, is_dir) } else { Ok(()) }
    }

    /// Gives what is there, last changed at `changed`, the permission bits of what is on offer.
    fn set_mode(&self, header: &Header, path: WirePath, changed: Option<Mtime>) -> Result<(), StorageError> {
        let options = &self.0.options;
        if options.dry_run {
            self.skip(header, SkipReason::Mode);
            return Ok(());
        }
        let source = match options.root.open_source(&path) {
            Ok(source) => Arc::new(source),
            // A file that we may not even open is not ours to change; its content is the right one.
            Err(error) if error.kind_of_failure() == FailureKind::Denied => {
                self.remark_unset(&error);
                return self.skip_there(header, path, SkipReason::Same, changed);
            }
            Err(error) => return Err(error),
        };
        self.in_doubt(&path, false)?;
        let (receiver, header) = (self.clone(), header.clone());
        let touch = Touch { root: options.root.clone(), source, path, mtime: header.mtime, mode: header.mode };
        let touched = touch.source.clone();
        let done = Box::new(move |result: Result<Committed, StorageError>| match result {
            Ok(Committed { unset: None, .. }) => receiver.say_mode(header, touched),
            Ok(Committed { unset: Some(error), .. }) => {
                receiver.remark_unset(&error);
                receiver.skip(&header, SkipReason::Same);
            }
            Err(error) => receiver.refuse(header.id, error.at_destination()),
        });
        self.0.tools.committer.submit_touch(touch, done);
        Ok(())
    }

    /// Says whether what is there has got the permission bits. Some file systems have one mode for all files, and say that they
    /// have set another.
    fn say_mode(&self, header: Header, touched: Arc<<D::Store as Files>::Source>) {
        let mode = header.mode;
        self.keep_trying(
            move |_| touched.has_mode(mode),
            move |receiver, is_set| {
                let is_set = is_set.inspect_err(|error| receiver.remark_unset(error)).unwrap_or(false);
                receiver.skip(&header, if is_set { SkipReason::Mode } else { SkipReason::Same });
            },
        );
    }
}

/// Whether a file system's time is later than one of ours.
fn is_after(time: Mtime, other: SystemTime) -> bool {
    let since = other.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    (time.secs, u64::from(time.nanos)) > (since.as_secs() as i64, u64::from(since.subsec_nanos()))
}
