//! The decision on an offer: what the disk has under its name, and what the offer needs then.

use super::{Driver, ReceiveOptions, Receiver};
use crate::protocol::message::{Header, IfExists, Kind, Mtime, SkipReason};
use crate::protocol::path::WirePath;
use crate::storage::{Files, Meta, StorageError, Store};
use crate::transfer::commit;
use crate::transfer::file::resume::{self, Existing, Local, Plan};

/// The decision on an offer.
pub(super) struct Decision {
    /// Under which name.
    pub(super) path: WirePath,
    pub(super) plan: Plan,
    /// When content or attributes of what is there were last changed, if there is anything.
    pub(super) changed: Option<Mtime>,
}

/// What is there under a name, and what an offer needs then.
struct Look {
    plan: Plan,
    is_there: bool,
    changed: Option<Mtime>,
}

/// A name beside one that is taken.
enum FreeName {
    /// The same file is there under this name, and was last changed then.
    Same(WirePath, Mtime),
    /// Nothing is there under this name.
    Free(WirePath),
    /// All are taken.
    None,
}

impl From<Meta> for Existing {
    fn from(meta: Meta) -> Self {
        Self { kind: meta.kind, size: meta.size, mtime: meta.mtime, mode: meta.mode }
    }
}

impl<D: Driver> Receiver<D> {
    /// Decides what an offer needs, and under which name.
    pub(super) fn decide(&self, header: &Header, path: WirePath, is_another: bool) -> Result<Decision, StorageError> {
        let ReceiveOptions { root, policy, .. } = &self.0.options;
        let is_apart = root.tells_names_apart(&path);
        // What an earlier connection of this job is about to commit does no harm where everything may be replaced, unless the
        // disk takes its name for this one: then it would replace what was called the same.
        let waits = policy.if_exists != IfExists::Replace || !is_apart;
        let mut look = self.look(header, &path, is_another, None)?;
        // Most files of a job that is run again are there, and to ask for a partial file costs as much as to look at the file.
        let is_same = look.plan == Plan::Skip(SkipReason::Same) && is_apart;
        if header.kind == Kind::File && !is_same {
            let part = self.free_part(&path, waits)?;
            // A commit that ended between the two looks may have taken the name and the partial file away.
            if part.is_some() || waits {
                look = self.look(header, &path, is_another, part)?;
            }
        }
        let Look { plan, is_there, changed } = look;
        let steps_aside = policy.if_exists == IfExists::Rename && is_there && !policy.blind;
        let decision = Decision { path, plan, changed };
        if steps_aside && matches!(decision.plan, Plan::Receive(_) | Plan::MakeLink) {
            return Ok(match self.aside(header, &decision.path)? {
                FreeName::Same(path, changed) => {
                    Decision { path, plan: Plan::Skip(SkipReason::Same), changed: Some(changed) }
                }
                // A dry run says what would be; else the commit finds the name that is free by then.
                FreeName::Free(path) if self.0.options.dry_run => Decision { path, ..decision },
                FreeName::Free(_) | FreeName::None => decision,
            });
        }
        Ok(decision)
    }

    /// The length of the partial file of a name, if there is one that may be gone on with.
    fn free_part(&self, path: &WirePath, waits: bool) -> Result<Option<u64>, StorageError> {
        let root = &self.0.options.root;
        let part = root.part_len(path, self.0.options.part_owner())?;
        // It may be locked by this job's previous connection, which is about to commit it under its name. The name is
        // looked at only after that, or the job's own file would seem to be in its way.
        if part.is_some() && waits {
            root.check_part_free(path, self.0.options.part_owner())?;
        }
        Ok(part)
    }

    /// Looks at what is there under a name, with a partial file of that length beside it.
    fn look(
        &self,
        header: &Header,
        path: &WirePath,
        is_another: bool,
        part: Option<u64>,
    ) -> Result<Look, StorageError> {
        let ReceiveOptions { root, policy, .. } = &self.0.options;
        let there = if header.kind == Kind::Dir { root.stat_dir(path)? } else { self.there(path)? };
        let is_own = there.as_ref().is_some_and(|there| self.0.options.was_delivered(there));
        let changed = there.as_ref().map(|there| there.identity.ctime);
        let target = there.map(Existing::from);
        let local = Local { keeps: self.keeps(header, path, target.as_ref()), target, is_own, is_another, part };
        Ok(Look { plan: resume::decide(header, &local, policy), is_there: local.target.is_some(), changed })
    }

    /// The object that has that name. A name that an interrupted run has only reserved is free.
    fn there(&self, path: &WirePath) -> Result<Option<Meta>, StorageError> {
        let ReceiveOptions { root, dry_run, .. } = &self.0.options;
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
    fn aside(&self, header: &Header, path: &WirePath) -> Result<FreeName, StorageError> {
        let policy = &self.0.options.policy;
        for path in commit::asides(path) {
            let Some(there) = self.there(&path)? else { return Ok(FreeName::Free(path)) };
            let (changed, there) = (there.identity.ctime, Existing::from(there));
            let local =
                Local { keeps: self.keeps(header, &path, Some(&there)), target: Some(there), ..Local::default() };
            if resume::decide(header, &local, policy) == Plan::Skip(SkipReason::Same) {
                return Ok(FreeName::Same(path, changed));
            }
        }
        Ok(FreeName::None)
    }
}
