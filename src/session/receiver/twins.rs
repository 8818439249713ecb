//! Names that the disk may take for one: what the ledger remembers of them, and what the disk says where it does not.

use super::{Driver, ReceiveOptions, Receiver};
use crate::broken::BreakableRule;
use crate::protocol::message::{Failure, Header, IfExists, Kind, Status};
use crate::protocol::path::WirePath;
use crate::storage::{Files, Replace, Store};
use crate::transfer::job::answers::NameConflict;
use crate::transfer::job::twins::with_other_accents;

impl<D: Driver> Receiver<D> {
    /// Whether what has the name of an offer is, or may be, another file of the job, whose name is the same one on this disk;
    /// `None` while that cannot be told, because the other one is still under way: the offer is planned again then.
    ///
    /// # Errors
    /// When the other one would be replaced.
    pub(super) fn is_another(&self, header: &Header, path: &WirePath) -> Result<Option<bool>, Failure> {
        let ReceiveOptions { root, policy, dry_run, .. } = &self.0.options;
        if root.tells_names_apart(path) || BreakableRule::NamesAreToldApart.is_broken() {
            return Ok(Some(false));
        }
        let apart = self.feed(|ledger| ledger.tell_apart(header, path, |bytes| self.has_room_for_names(bytes)));
        match apart {
            NameConflict::Waits => return Ok(None),
            NameConflict::Refused(first) => return Err(one_name(&first)),
            // It has given no name, and may make no file to ask the disk with.
            NameConflict::Unsure if *dry_run => return Ok(Some(false)),
            NameConflict::Yes | NameConflict::Unsure | NameConflict::Twin(_) => {}
        }
        let replaces = policy.if_exists == IfExists::Replace;
        if replaces && !dry_run {
            self.check_above(path)?;
        }
        let (asked, first) = match apart {
            NameConflict::Twin(first) => (root.is_one_name(&first, path), first),
            // Its bytes do not tell it from that one where a disk rewrites accents.
            NameConflict::Unsure if self.was_given_otherwise(header) => {
                (root.stat(path).map(|there| there.is_some()), path.clone())
            }
            NameConflict::Unsure => (root.is_other_spelling(path), path.clone()),
            NameConflict::Yes | NameConflict::Waits | NameConflict::Refused(_) => return Ok(Some(false)),
        };
        let refuse_below = || {
            if replaces && header.kind == Kind::Dir {
                self.feed(|ledger| ledger.refuse_below(path, &first, |bytes| self.has_room_for_names(bytes)));
            }
        };
        // What cannot be told now might be the other one: the names below it would be compared with none of that one's.
        let is_another = asked.inspect_err(|_| refuse_below())?;
        if !is_another && first != *path {
            self.feed(|ledger| ledger.take_over_name(header, path));
        }
        if is_another && first == *path {
            // It is not there under this name, so no later one is held against it.
            self.feed(|ledger| ledger.forget_name(path));
        }
        // A policy that replaces nothing loses nothing.
        if !is_another || !replaces {
            return Ok(Some(is_another));
        }
        refuse_below();
        Err(if first == *path { other_spelling(path) } else { one_name(&first) })
    }

    /// Whether an earlier connection has brought a name that differs from this one in how its accents are written. Only a
    /// client remembers that; one that sends does not offer such a name.
    fn was_given_otherwise(&self, header: &Header) -> bool {
        with_other_accents(&header.path).any(|other| self.0.tools.record.was_done_before(&other))
    }

    /// Where the ledger does not remember each directory that was refused, the disk is asked for those above a name.
    fn check_above(&self, path: &WirePath) -> Result<(), Failure> {
        if !self.feed(|ledger| ledger.lacks_refused()) {
            return Ok(());
        }
        for dir in std::iter::successors(path.parent(), WirePath::parent) {
            if self.0.options.root.is_other_spelling(&dir)? {
                return Err(other_spelling(&dir));
            }
        }
        Ok(())
    }

    /// The rule for a name that turns out to be taken. Where the ledger does not remember each name, another file of
    /// the job may have got it since it was looked at: only a file with exactly this name is replaced then.
    pub(super) fn replace_of(&self, path: &WirePath) -> Replace {
        let root = &self.0.options.root;
        let replace = self.0.options.replace();
        let lacks_some = || {
            let ledger = self.ledger();
            ledger.lacks_names() || ledger.lacks_refused()
        };
        let is_unsure = replace == Replace::Yes && lacks_some() && !root.tells_names_apart(path);
        if is_unsure && !root.has_entry(path) { Replace::No } else { replace }
    }

    /// Takes so much for a name that is remembered, if the connection's share allows it.
    fn has_room_for_names(&self, bytes: usize) -> bool {
        let mut room = self.0.names_room.lock().expect("no holder panics");
        match &mut *room {
            Some(room) => room.grow(bytes),
            None => {
                *room = self.0.tools.account.take_for_names(bytes);
                room.is_some()
            }
        }
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
