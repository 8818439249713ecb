//! Files that are there already: they must be as durable as files that are sent, with the same time and mode.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::{Driver, Receiver};
use crate::broken::BreakableRule;
use crate::protocol::message::{Header, Kind, Mtime, SkipReason};
use crate::protocol::path::WirePath;
use crate::storage::{Commits, Committed, Files, ReadFile, StorageError, Store, Touch};

/// How long content may be in memory alone after it was written, where nobody syncs it. The kernel begins to write what is
/// older than half a minute; a slow disk that is busy may take many times that.
const UNWRITTEN_FOR: Duration = Duration::from_secs(15 * 60);

/// How far a file system's clock may be behind ours: it stamps with the time of the last tick.
const TICK: Duration = Duration::from_millis(20);

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
    pub(super) fn set_mode(&self, header: &Header, path: WirePath, changed: Option<Mtime>) -> Result<(), StorageError> {
        let options = &self.0.options;
        if options.dry_run {
            self.skip(header, SkipReason::Mode);
            return Ok(());
        }
        let source = match options.root.open_source(&path) {
            Ok(source) => Arc::new(source),
            // A file that we may not even open is not ours to change; its content is the right one.
            Err(error) => {
                self.remark_unset(&error);
                return self.skip_there(header, path, SkipReason::Same, changed);
            }
        };
        self.in_doubt(&path, false)?;
        let (receiver, header, mode) = (self.clone(), header.clone(), header.mode);
        let touch = Touch { root: options.root.clone(), source, path, mtime: header.mtime, mode };
        let touched = touch.source.clone();
        let done = Box::new(move |result: Result<Committed, StorageError>| match result {
            Ok(Committed { unset, .. }) => {
                unset.iter().for_each(|error| receiver.remark_unset(error));
                // Some file systems have one mode for all files, and say that they have set another.
                let is_set = unset.is_none() && touched.has_mode(mode);
                receiver.skip(&header, if is_set { SkipReason::Mode } else { SkipReason::Same });
            }
            Err(error) => receiver.refuse(header.id, error.at_destination()),
        });
        self.0.tools.committer.submit_touch(touch, done);
        Ok(())
    }
}

/// Whether a file system's time is later than one of ours.
fn is_after(time: Mtime, other: SystemTime) -> bool {
    let since = other.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    (time.secs, u64::from(time.nanos)) > (since.as_secs() as i64, u64::from(since.subsec_nanos()))
}
