//! The end of a file and of the job: the digests of what was there already, the verdict, the commit, what is done last.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::file::{FileIo, Finished, Proof};
use super::notes::Finish;
use super::{Complete, Driver, ReceiveOptions, Receiver};
use crate::digest::Digest;
use crate::protocol::message::{Failure, FileId, Status};
use crate::protocol::path::WirePath;
use crate::session::budget::Hold;
use crate::storage::commit::Answer;
use crate::storage::{Commit, Commits, Committed, DirMeta, Durability, Store};
use crate::transfer::file::receive::{FileVerdict, Judging};
use crate::transfer::job::answers::PrefixProgress;
use crate::transfer::{SUM_CHUNKS_A_STEP, SUM_CHUNKS_AT_ONCE};

impl<D: Driver> Receiver<D> {
    /// On a disk thread: hashes some chunks before the start, offers them, and queues the next turn.
    pub(super) fn hash_prefix(&self, id: FileId, io: &Arc<FileIo<D::Store>>, first: u64, waits: u32) {
        if self.0.driver.is_over() {
            return;
        }
        match io.hash_prefix(&self.0.tools.hasher, first) {
            Ok(digests) => self.on_prefix(id, io, first, digests),
            Err(error) if self.may_wait(&error, waits) => {
                let (receiver, io) = (self.clone(), io.clone());
                self.try_again(&error, move || receiver.hash_prefix(id, &io, first, waits + 1));
            }
            Err(error) => self.fail(id, error.at_destination()),
        }
    }

    fn on_prefix(&self, id: FileId, io: &Arc<FileIo<D::Store>>, first: u64, digests: Vec<Digest>) {
        let next = first + digests.len() as u64;
        match self.feed(|ledger| ledger.on_prefix(id, first, digests)) {
            Some(PrefixProgress::GoesOn) => {
                let (receiver, io) = (self.clone(), io.clone());
                self.0.driver.spawn(move || receiver.hash_prefix(id, &io, next, 0));
            }
            Some(PrefixProgress::Hashed(Some(complete))) => self.sum_up(complete),
            Some(PrefixProgress::Hashed(None)) | None => {}
        }
    }

    /// Commits a file that is complete and right; drops one that is complete and wrong.
    pub(super) fn judge(&self, complete: Complete<D>) {
        let receiver = self.clone();
        // Its digest is summed up, and touching the old version is disk work.
        self.0.driver.spawn(move || receiver.sum_up(complete));
    }

    /// On a disk thread: the same.
    pub(super) fn sum_up(&self, mut complete: Complete<D>) {
        #[cfg(test)]
        crate::storage::testing::panic_at("sum", complete.io.path());
        let Some(mut judging) = complete.rules.judge() else {
            return self.fail(complete.id, Failure::new(Status::Internal, "it is not complete"));
        };
        match judging.step(&self.0.tools.hasher, SUM_CHUNKS_AT_ONCE) {
            Some(verdict) => self.on_verdict(complete, verdict),
            None => self.sum_up_more(complete, judging),
        }
    }

    /// Goes on with a file that claims to be huge, behind all other work. The steps end with the connection, which takes
    /// its queue along.
    fn sum_up_more(&self, complete: Complete<D>, mut judging: Judging) {
        let receiver = self.clone();
        self.0.driver.spawn_long(move || match judging.step(&receiver.0.tools.hasher, SUM_CHUNKS_A_STEP) {
            None => receiver.sum_up_more(complete, judging),
            // The disk may keep us waiting from here on, which that thread is not for.
            Some(verdict) => receiver.clone().0.driver.spawn(move || receiver.on_verdict(complete, verdict)),
        });
    }

    /// On a disk thread: a file that is right goes to the committer.
    fn on_verdict(&self, complete: Complete<D>, verdict: FileVerdict) {
        if verdict == FileVerdict::Right {
            return self.commit(complete, 0);
        }
        let id = complete.id;
        complete.io.discard_on_drop();
        drop(complete);
        let text = "the content that arrived is not what was sent; send it again";
        self.fail(id, Failure::new(Status::VerifyFailed, text));
    }

    /// On a disk thread: hands the file to the committer.
    fn commit(&self, complete: Complete<D>, waits: u32) {
        let proof = Proof { hasher: &self.0.tools.hasher, root: complete.rules.announced() };
        match complete.io.finish(!complete.rules.has_ranges(), &proof) {
            Ok(finished) => self.hand_over(complete, finished, 0),
            // An empty file is opened here for the first time.
            Err(error) if self.may_wait(&error, waits) => {
                let receiver = self.clone();
                self.try_again(&error, move || receiver.commit(complete, waits + 1));
            }
            Err(error) => self.fail(complete.id, error.at_destination()),
        }
    }

    fn hand_over(&self, complete: Complete<D>, finished: Finished<D::Store>, waits: u32) {
        let (id, io) = (complete.id, &complete.io);
        // The process that made its directories may have been killed before it could sync their names.
        match self.in_doubt(io.path(), false) {
            Ok(()) => match finished {
                Finished::New(part, room) => self.submit(id, part, io, room),
                Finished::Same(touch) => {
                    self.0.tools.committer.submit_touch(touch, self.told(id, io.path()));
                }
            },
            Err(error) if self.may_wait(&error, waits) => {
                let receiver = self.clone();
                self.try_again(&error, move || receiver.hand_over(complete, finished, waits + 1));
            }
            Err(error) => self.fail(id, error.at_destination()),
        }
    }

    fn submit(&self, id: FileId, part: <D::Store as Store>::Part, io: &FileIo<D::Store>, room: Option<Hold>) {
        let replace = self.replace_of(io.path());
        let commit = Commit { part, size: io.size(), mtime: io.mtime(), mode: io.mode(), replace };
        let told = self.told(id, io.path());
        let told = Box::new(move |result| {
            // The committer has closed it.
            drop(room);
            told(result);
        });
        self.0.tools.committer.submit(commit, told);
    }

    /// The callback of the committer when it is done with a file, which was to be called `asked`.
    fn told(&self, id: FileId, asked: &WirePath) -> Answer {
        let (receiver, asked) = (self.clone(), asked.clone());
        Box::new(move |result| {
            if let Ok(Committed { path, unset }) = &result {
                if let Some(error) = unset {
                    receiver.remark_unset(error);
                }
                receiver.notes().has_placed = true;
                receiver.0.options.note_delivered(path);
                if *path != asked {
                    receiver.feed(|ledger| ledger.on_renamed(id, &path.last()));
                }
            }
            match result {
                Ok(_) => receiver.feed(|ledger| ledger.on_committed(id)),
                Err(error) => receiver.fail(id, error.at_destination()),
            }
        })
    }

    /// Gives one file up; its partial file stays for a later resume.
    pub(super) fn fail(&self, id: FileId, failure: Failure) {
        self.feed(|ledger| ledger.fail(id, failure));
    }

    /// Does what waits until every file is settled: directories get their times, and whether anybody will find what came is
    /// looked at.
    pub(super) fn wind_up(&self) {
        self.0.driver.on_last_word();
        let (directories, has_placed) = {
            let mut notes = self.notes();
            (std::mem::take(&mut notes.directories), notes.has_placed)
        };
        if directories.is_empty() && !has_placed {
            return self.feed(|ledger| ledger.on_wound_up());
        }
        let each = directories.into_iter().map(|(path, Finish { meta, room })| (room, (path, meta)));
        let (rooms, directories) = each.unzip();
        let receiver = self.clone();
        self.0.driver.spawn(move || receiver.finish_directories(directories, rooms, 0));
    }

    /// On a disk thread.
    fn finish_directories(&self, mut directories: BTreeMap<WirePath, DirMeta>, rooms: Vec<Hold>, waits: u32) {
        let ReceiveOptions { root, durable, .. } = &self.0.options;
        let sync = if *durable { Durability::Synced } else { Durability::Unsynced };
        match root.finish_dirs(&mut directories, sync, |error| self.remark_unset(error)) {
            Err(error) if self.may_wait(&error, waits) => {
                let receiver = self.clone();
                return self.try_again(&error, move || receiver.finish_directories(directories, rooms, waits + 1));
            }
            Err(error) => self.remark_unset(&error),
            Ok(()) => {}
        }
        drop(rooms);
        if !self.0.options.dry_run && root.is_misplaced() {
            let text =
                "the directory that this went to was moved or removed meanwhile, or another disk was mounted on it";
            self.feed(|ledger| ledger.remark(text.to_owned()));
        }
        // Only now is the end said: with it the sender takes all for safe.
        self.feed(|ledger| ledger.on_wound_up());
    }
}
