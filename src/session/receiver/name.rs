//! The name of an offer on this disk: what has it, and what the offer needs then.

use std::sync::OnceLock;

use super::ReceiveOptions;
use crate::protocol::message::{Header, IfExists, Kind, Mtime, SkipReason};
use crate::protocol::path::WirePath;
use crate::storage::{Meta, StorageError, Store, kept_mode};
use crate::transfer::commit;
use crate::transfer::file::resume::{self, COARSEST_STEP, Existing, Keeps, Local, Plan};

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

/// The coarsest step, a power of ten or that of FAT, that a time is a multiple of.
fn guessed_step(time: Mtime) -> u64 {
    if time.nanos == 0 {
        return if time.secs % 2 == 0 { COARSEST_STEP } else { COARSEST_STEP / 2 };
    }
    let mut steps = (0..9).rev().map(|power| 10_u64.pow(power));
    steps.find(|step| u64::from(time.nanos).is_multiple_of(*step)).unwrap_or(1)
}
