//! Names that the disk may take for one: what the ledger remembers of them, and what the disk says where it does not.

use super::driver::may_wait;
use super::offer::Unplaced;
use super::{Driver, ReceiveOptions, Receiver};
use crate::broken::BreakableRule;
use crate::protocol::message::{Failure, Header, Kind, Status};
use crate::protocol::path::WirePath;
use crate::storage::{Files as _, Replace, StorageError, Store as _};
use crate::transfer::job::answers::{DirConflict, NameConflict};
use crate::transfer::job::twins::with_other_accents;

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
