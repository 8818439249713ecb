//! The name of an offer on this disk: what has it, what the offer needs then, and whether another file of the job has it.

use std::sync::OnceLock;

use super::driver::may_wait;
use super::offer::Unplaced;
use super::{Driver, ReceiveOptions, Receiver};
use crate::broken::BreakableRule;
use crate::protocol::message::{Failure, Header, IfExists, Kind, Mtime, SkipReason, Status};
use crate::protocol::path::WirePath;
use crate::storage::{Files, Meta, Replace, StorageError, Store, kept_mode};
use crate::transfer::commit;
use crate::transfer::file::resume::{self, COARSEST_STEP, Existing, Keeps, Local, Plan};
use crate::transfer::job::answers::{DirConflict, NameConflict};
use crate::transfer::job::twins::with_other_accents;

/// The look at what the disk has under the name of an offer.
pub(super) struct Look<'a, S: Store> {
    pub(super) options: &'a ReceiveOptions<S>,
    /// The step of the disk's time stamps in nanoseconds, once a job has asked for it.
    pub(super) time_step: &'a OnceLock<u64>,
    pub(super) header: &'a Header,
    /// The disk tells all names apart there.
    pub(super) is_apart: bool,
    /// What is there is, or may be, another file of the job, whose name the disk takes for this one.
    pub(super) is_another: bool,
}

/// The decision on an offer.
pub(super) struct Decision {
    /// Under which name.
    pub(super) path: WirePath,
    /// That is another one than was asked for.
    pub(super) is_aside: bool,
    pub(super) plan: Plan,
    /// When content or attributes of what is there were last changed, if there is anything.
    pub(super) changed: Option<Mtime>,
}

/// A name beside one that is taken.
enum FreeName {
    /// The same file is there under this name, and was last changed then.
    Same(WirePath, Mtime),
    /// Nothing is there under this name.
    Free(WirePath),
    None,
}

impl From<Meta> for Existing {
    fn from(meta: Meta) -> Self {
        Self { kind: meta.kind, size: meta.size, mtime: meta.mtime, mode: meta.mode }
    }
}

impl<S: Store> Look<'_, S> {
    /// Decides what the offer needs, and under which name; `path` is the one that was asked for.
    pub(super) fn decide(&self, path: WirePath) -> Result<Decision, StorageError> {
        let ReceiveOptions { policy, dry_run, .. } = self.options;
        let is_apart = self.is_apart;
        // What an earlier connection of this job is about to commit does no harm where everything may be replaced, unless the
        // disk takes its name for this one: then it would replace what was called the same.
        let waits = !self.options.replaces() || !is_apart;
        let (mut plan, mut changed) = self.look(&path, None)?;
        // Most files of a job that is run again are there, and to ask for a partial file costs as much as to look at the file.
        let is_same = plan == Plan::Skip(SkipReason::Same) && is_apart;
        if self.header.kind == Kind::File && !is_same {
            let part = self.free_part(&path, waits)?;
            // A commit that ended between the two looks may have taken the name and the partial file away.
            if part.is_some() || waits {
                (plan, changed) = self.look(&path, part)?;
            }
        }
        let steps_aside = policy.if_exists == IfExists::Rename && changed.is_some() && !policy.blind;
        if steps_aside && matches!(plan, Plan::Receive(_) | Plan::MakeLink) {
            match self.aside(&path)? {
                FreeName::Same(path, changed) => {
                    let plan = Plan::Skip(SkipReason::Same);
                    return Ok(Decision { path, is_aside: true, plan, changed: Some(changed) });
                }
                // A dry run says what would be; else the commit finds the name that is free by then.
                FreeName::Free(path) if *dry_run => return Ok(Decision { path, is_aside: true, plan, changed }),
                FreeName::Free(_) | FreeName::None => {}
            }
        }
        Ok(Decision { path, is_aside: false, plan, changed })
    }

    /// The length of the partial file of a name, if there is one that may be gone on with.
    fn free_part(&self, path: &WirePath, waits: bool) -> Result<Option<u64>, StorageError> {
        let (root, owner) = (&self.options.root, self.options.part_owner());
        let part = root.part_len(path, owner)?;
        // It may be locked by this job's previous connection, which is about to commit it under its name. The name is
        // looked at only after that, or the job's own file would seem to be in its way.
        if part.is_some() && waits {
            root.check_part_free(path, owner)?;
        }
        Ok(part)
    }

    /// What the offer needs under a name, with a partial file of that length beside it; and when what is there was last
    /// changed.
    fn look(&self, path: &WirePath, part: Option<u64>) -> Result<(Plan, Option<Mtime>), StorageError> {
        let ReceiveOptions { root, policy, .. } = self.options;
        let there = if self.header.kind == Kind::Dir { root.stat_dir(path)? } else { self.there(path)? };
        let is_own = there.as_ref().is_some_and(|there| self.options.was_delivered(there));
        let changed = there.as_ref().map(|there| there.identity.ctime);
        let target = there.map(Existing::from);
        let keeps = self.keeps(path, target.as_ref())?;
        let local = Local { target, is_own, is_another: self.is_another, part, keeps };
        Ok((resume::decide(self.header, &local, policy), changed))
    }

    /// The object that has that name. A name that an interrupted run has only reserved is free.
    fn there(&self, path: &WirePath) -> Result<Option<Meta>, StorageError> {
        let ReceiveOptions { root, dry_run, .. } = self.options;
        let found = root.stat(path)?;
        let is_empty = found.as_ref().is_some_and(|there| there.kind == Kind::File && there.size == 0);
        if !is_empty || !root.is_reserved(path)? {
            return Ok(found);
        }
        if !dry_run {
            root.give_back(path)?;
        }
        Ok(None)
    }

    /// Where what is on offer has stepped aside to already (in an earlier run, or over a connection that was lost before
    /// its sender heard of it), or would.
    fn aside(&self, path: &WirePath) -> Result<FreeName, StorageError> {
        for path in commit::asides(path) {
            let Some(there) = self.there(&path)? else { return Ok(FreeName::Free(path)) };
            let (changed, there) = (there.identity.ctime, Existing::from(there));
            let keeps = self.keeps(&path, Some(&there))?;
            let local = Local { target: Some(there), keeps, ..Local::default() };
            if resume::decide(self.header, &local, &self.options.policy) == Plan::Skip(SkipReason::Same) {
                return Ok(FreeName::Same(path, changed));
            }
        }
        Ok(FreeName::None)
    }

    /// The time and mode that the disk would keep for the offer, to be compared with those that are there.
    fn keeps(&self, path: &WirePath, there: Option<&Existing>) -> Result<Keeps, StorageError> {
        let asked = there.filter(|there| resume::may_be_rounded(self.header, there));
        let time_step = asked.map_or(Ok(1), |there| self.step_of_times(path, there))?;
        Ok(Keeps { mode: kept_mode(self.header.mode), time_step })
    }

    /// The step of time stamps of the disk there: asked once a job.
    fn step_of_times(&self, path: &WirePath, there: &Existing) -> Result<u64, StorageError> {
        if self.options.dry_run {
            // Nothing may be made to ask. At worst a file is called the same that differs by less than two seconds.
            return Ok(guessed_step(there.mtime));
        }
        if let Some(step) = self.time_step.get() {
            return Ok(*step);
        }
        let step = match self.options.root.time_step(path) {
            // It would be the answer for the whole job.
            Err(error) if error.is_passing() => return Err(error),
            asked => asked.unwrap_or_else(|error| {
                tracing::debug!(%error, "nobody says how fine times are; they are compared as they are");
                1
            }),
        };
        Ok(*self.time_step.get_or_init(|| step))
    }
}

/// Names that the disk may take for one: what the ledger remembers of them, and what the disk says where it does not.
impl<D: Driver> Receiver<D> {
    /// Whether what has the name of an offer, on a disk that may take some names for one, is or may be another file of the job;
    /// `None` while that cannot be told, because the other one is still under way: the offer is planned again then.
    ///
    /// # Errors
    /// When the other one would be replaced, or that cannot be told now.
    pub(super) fn is_another(&self, header: &Header, path: &WirePath) -> Result<Option<bool>, Unplaced> {
        let ReceiveOptions { dry_run, .. } = &self.0.options;
        if BreakableRule::NamesAreToldApart.is_broken() {
            return Ok(Some(false));
        }
        let replaces = self.0.options.replaces();
        if replaces && !self.is_apart_above(header, path)? {
            return Ok(None);
        }
        let apart = self.feed(|ledger| ledger.tell_apart(header, path));
        match apart {
            NameConflict::Waits => return Ok(None),
            NameConflict::Refused(first) => return Err(one_name(&first).into()),
            // It has given no name, and may make no file to ask the disk with.
            NameConflict::Unsure if *dry_run => return Ok(Some(false)),
            NameConflict::Yes | NameConflict::Unsure | NameConflict::Twin(_) => {}
        }
        if replaces && !dry_run {
            self.check_above(path)?;
        }
        if apart == NameConflict::Unsure && header.kind == Kind::File {
            self.check_not_under_way(path)?;
        }
        match self.ask_disk(apart, header, path) {
            Some((asked, first)) => self.on_asked(header, path, asked, &first).map(Some),
            None => Ok(Some(false)),
        }
    }

    /// Whether an earlier connection is not about to give a file that name: what the disk says of it would not hold.
    ///
    /// # Errors
    /// When it is, perhaps.
    fn check_not_under_way(&self, path: &WirePath) -> Result<(), StorageError> {
        match self.0.options.root.check_part_free(path, self.0.options.part_owner()) {
            Err(error) if may_wait(&error, 0) => Err(error),
            // What else may be wrong with it is met by the look at what is there.
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// The disk was asked whether it takes a name for the one that was `first`.
    ///
    /// # Errors
    /// When it could not tell, or it does and the other one would be replaced.
    fn on_asked(
        &self,
        header: &Header,
        path: &WirePath,
        asked: Result<bool, StorageError>,
        first: &WirePath,
    ) -> Result<bool, Unplaced> {
        let replaces = self.0.options.replaces();
        let refuse_below = || {
            if replaces && header.kind == Kind::Dir {
                self.feed(|ledger| ledger.refuse_below(path, first));
            }
        };
        let is_another = match asked {
            Err(error) if may_wait(&error, 0) => return Err(error.into()),
            // What cannot be told might be the other one: the names below it would be compared with none of that one's.
            asked => asked.inspect_err(|_| refuse_below())?,
        };
        if !is_another {
            self.feed(|ledger| ledger.take_over_name(header, path));
        }
        if is_another && first == path {
            // It is not there under this name, so no later one is held against it.
            self.feed(|ledger| ledger.forget_name(path));
        }
        // A policy that replaces nothing loses nothing.
        if !is_another || !replaces {
            return Ok(is_another);
        }
        refuse_below();
        Err(if first == path { other_spelling(path) } else { one_name(first) }.into())
    }

    /// The disk's answer for a name that the ledger cannot tell from others: whether it is taken, and by which name. `None`:
    /// it need not be asked.
    fn ask_disk(
        &self,
        apart: NameConflict,
        header: &Header,
        path: &WirePath,
    ) -> Option<(Result<bool, StorageError>, WirePath)> {
        let root = &self.0.options.root;
        match apart {
            NameConflict::Twin(first) => Some((root.is_one_name(&first, path), first)),
            // Its bytes do not tell it from that one where a disk rewrites accents.
            NameConflict::Unsure if self.was_given_otherwise(header) => {
                Some((root.stat(path).map(|there| there.is_some()), path.clone()))
            }
            NameConflict::Unsure => Some((root.is_other_spelling(path), path.clone())),
            NameConflict::Yes | NameConflict::Waits | NameConflict::Refused(_) => None,
        }
    }

    /// Whether the directories above a name are none in which, spelt in another way, the job has put files; `false` while
    /// that cannot be told.
    ///
    /// # Errors
    /// When the disk takes one of them for such a directory.
    fn is_apart_above(&self, header: &Header, path: &WirePath) -> Result<bool, Unplaced> {
        loop {
            let conflict = self.feed(|ledger| ledger.tell_above_apart(header, path));
            let (dir, first) = match conflict {
                DirConflict::None => return Ok(true),
                DirConflict::Waits => return Ok(false),
                DirConflict::Twin { dir, first } => (dir, first),
            };
            let refuse = || {
                self.feed(|ledger| ledger.refuse_below(&dir, &first));
            };
            match self.0.options.root.is_one_name(&first, &dir) {
                Ok(false) => {}
                Ok(true) => {
                    refuse();
                    return Err(one_name(&first).into());
                }
                Err(error) if may_wait(&error, 0) => return Err(error.into()),
                Err(error) => {
                    refuse();
                    return Err(error.into());
                }
            }
            self.feed(|ledger| ledger.take_over_name(header, &dir));
        }
    }

    /// Whether an earlier connection has brought a name that differs from this one in how its accents are written. Only a
    /// client remembers that; one that sends does not offer such a name.
    fn was_given_otherwise(&self, header: &Header) -> bool {
        with_other_accents(&header.path).any(|other| self.0.tools.record.was_done_before(&other))
    }

    /// Where the ledger does not remember each directory that was refused, the disk is asked for those above a name.
    fn check_above(&self, path: &WirePath) -> Result<(), Unplaced> {
        if !self.feed(|ledger| ledger.lacks_refused()) {
            return Ok(());
        }
        for dir in std::iter::successors(path.parent(), WirePath::parent) {
            if self.0.options.root.is_other_spelling(&dir)? {
                return Err(other_spelling(&dir).into());
            }
        }
        Ok(())
    }

    /// The rule for a name that turns out to be taken. Where the ledger does not remember each name, another file of
    /// the job may have got it since it was looked at: only a file with exactly this name is replaced then.
    pub(super) fn replace_of(&self, path: &WirePath) -> Result<Replace, StorageError> {
        let root = &self.0.options.root;
        let replace = self.0.options.replace();
        let lacks_some = || {
            let ledger = self.ledger();
            ledger.lacks_names() || ledger.lacks_refused()
        };
        let is_unsure = replace == Replace::Yes && lacks_some() && !root.tells_names_apart(path);
        Ok(if is_unsure && !root.has_entry(path)? { Replace::No } else { replace })
    }
}

/// The failure of a name that the disk takes for one that the job has given already.
fn one_name(first: &WirePath) -> Failure {
    Failure::new(Status::Exists, format!("{first} has this name there: the file system takes both names for one"))
}

/// The failure of a name that the disk takes for one that is there, when nobody remembers whether the job has given it.
fn other_spelling(path: &WirePath) -> Failure {
    let text =
        format!("another spelling of {path} is there, perhaps of this job: the file system takes both names for one");
    Failure::new(Status::Exists, text)
}

/// The coarsest step, a power of ten or that of FAT, that a time is a multiple of.
fn guessed_step(time: Mtime) -> u64 {
    if time.nanos == 0 {
        return if time.secs % 2 == 0 { COARSEST_STEP } else { COARSEST_STEP / 2 };
    }
    let mut steps = (0..9).rev().map(|power| 10_u64.pow(power));
    steps.find(|step| u64::from(time.nanos).is_multiple_of(*step)).unwrap_or(1)
}
