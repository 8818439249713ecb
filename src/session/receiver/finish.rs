//! Content and its end: ranges, chunks, the verdict and the commit.

use super::file::{FileIo, Finished, Proof};
use super::{File, Open, Place, Receiver};
use crate::digest::Digest;
use crate::progress::Phase;
use crate::protocol::message::{Done, Failure, FileId, Message, Status};
use crate::protocol::path::WirePath;
use crate::protocol::range::RangeHeader;
use crate::session::SessionError;
use crate::session::budget::Hold;
use crate::storage::commit::Answer;
use crate::storage::{Commit, Committed, Part, StorageError};
use crate::transfer::receive::{Judging, Verdict};
use crate::transfer::{SUM_CHUNKS_A_STEP, SUM_CHUNKS_AT_ONCE};

impl Receiver {
    /// A data stream announces its range. `None`: the file is settled already, nobody wants the bytes.
    pub(super) fn open_range(&self, header: RangeHeader) -> Result<Option<Place>, SessionError> {
        let mut guard = self.state();
        let state = &mut *guard;
        match state.files.get_mut(&header.id) {
            Some(File::Open(open)) => {
                open.rules.on_range(header.offset, header.len)?;
                Ok(Some(open.place()))
            }
            None if header.id.0 < state.next_id => Ok(None),
            _ => Err(SessionError::Order("content for a file that is not open")),
        }
    }

    pub(super) fn on_chunk(&self, id: FileId, index: u64, digest: Digest) {
        if let Some(File::Open(open)) = self.state().files.get_mut(&id) {
            open.rules.on_chunk(index, digest);
        }
    }

    /// On a disk thread.
    pub(super) fn on_range_stored(&self, id: FileId) {
        if let Some(File::Open(open)) = self.state().files.get_mut(&id) {
            open.rules.on_range_stored();
        }
        self.judge_now(id);
    }

    /// Commits a file that is complete and right; drops one that is complete and wrong.
    pub(super) fn judge(&self, id: FileId) {
        let Some(open) = self.take_complete(id) else { return };
        let receiver = self.clone();
        // Its digest is summed up, and touching the old version is disk work.
        self.0.tools.disk.spawn(move || receiver.sum_up(id, open));
    }

    /// The same, on a disk thread.
    pub(super) fn judge_now(&self, id: FileId) {
        if let Some(open) = self.take_complete(id) {
            self.sum_up(id, open);
        }
    }

    /// A file that is complete; from now on it is being committed.
    fn take_complete(&self, id: FileId) -> Option<Open> {
        let mut state = self.state();
        let Some(File::Open(open)) = state.files.get(&id) else { return None };
        if !open.rules.is_complete() {
            return None;
        }
        let progress = open.progress.clone();
        progress.set_phase(Phase::Committing);
        let Some(File::Open(open)) = state.files.insert(id, File::Committing(progress)) else {
            unreachable!("the lock was held since the file was seen open")
        };
        Some(open)
    }

    /// On a disk thread: compares the whole file's digest.
    fn sum_up(&self, id: FileId, mut open: Open) {
        #[cfg(test)]
        crate::storage::testing::panic_at("sum", &open.path);
        let Some(mut judging) = open.rules.judge() else {
            return self.fail(id, Failure::new(Status::Internal, "it is not complete"));
        };
        match judging.step(&self.0.tools.hasher, SUM_CHUNKS_AT_ONCE) {
            Some(verdict) => self.on_verdict(id, open, verdict),
            None => self.sum_up_more(id, open, judging),
        }
    }

    /// Goes on with a file that claims to be huge, behind all other work. The steps end with the connection, which takes
    /// its queue along.
    fn sum_up_more(&self, id: FileId, open: Open, mut judging: Judging) {
        let receiver = self.clone();
        self.0.tools.disk.spawn_long(move || match judging.step(&receiver.0.tools.hasher, SUM_CHUNKS_A_STEP) {
            None => receiver.sum_up_more(id, open, judging),
            // The disk may keep us waiting from here on, which that thread is not for.
            Some(verdict) => receiver.clone().0.tools.disk.spawn(move || receiver.on_verdict(id, open, verdict)),
        });
    }

    /// On a disk thread: a file that is right goes to the committer.
    fn on_verdict(&self, id: FileId, open: Open, verdict: Verdict) {
        if verdict == Verdict::Right {
            return self.commit(id, open, 0);
        }
        open.io.discard_on_drop();
        drop(open);
        let text = "the content that arrived is not what was sent; send it again";
        self.fail(id, Failure::new(Status::VerifyFailed, text));
    }

    /// On a disk thread: hands the file to the committer.
    fn commit(&self, id: FileId, open: Open, waits: u32) {
        let proof = Proof { hasher: &self.0.tools.hasher, root: open.rules.announced() };
        match open.io.finish(!open.rules.has_ranges(), &proof) {
            Ok(finished) => self.hand_over(id, open, finished, 0),
            // An empty file is opened here for the first time.
            Err(error) if self.may_wait(&error, waits) => {
                let receiver = self.clone();
                self.try_again(&error, move || receiver.commit(id, open, waits + 1));
            }
            Err(error) => self.on_committed(id, Err(error)),
        }
    }

    fn hand_over(&self, id: FileId, open: Open, finished: Finished, waits: u32) {
        // Whoever made the directories that it lies in may not have lived to sync their names.
        match self.in_doubt(open.io.path(), false) {
            Ok(()) => match finished {
                Finished::New(part, room) => self.submit(id, part, &open.io, room),
                Finished::Same(touch) => {
                    self.0.tools.committer.submit_touch(touch, self.told(id, open.io.path()));
                }
            },
            Err(error) if self.may_wait(&error, waits) => {
                let receiver = self.clone();
                self.try_again(&error, move || receiver.hand_over(id, open, finished, waits + 1));
            }
            Err(error) => self.on_committed(id, Err(error)),
        }
    }

    fn submit(&self, id: FileId, part: Part, io: &FileIo, room: Option<Hold>) {
        let commit =
            Commit { part, size: io.size(), mtime: io.mtime(), mode: io.mode(), replace: self.0.options.replace() };
        let told = self.told(id, io.path());
        let told = Box::new(move |result| {
            // The committer has closed it.
            drop(room);
            told(result);
        });
        self.0.tools.committer.submit(commit, told);
    }

    /// What the committer is to call when it is done with a file, which was to be called `asked`.
    fn told(&self, id: FileId, asked: &WirePath) -> Answer {
        let (receiver, asked) = (self.clone(), asked.clone());
        Box::new(move |result| {
            if let Ok(Committed { path, unset }) = &result {
                if let Some(error) = unset {
                    receiver.remark_unset(error);
                }
                receiver.0.options.note_delivered(path);
                if *path != asked {
                    receiver.on_renamed(id, &path.last());
                }
            }
            receiver.on_committed(id, result.map(|_| ()));
        })
    }

    fn on_renamed(&self, id: FileId, name: &WirePath) {
        if let Some(File::Committing(progress)) = self.state().files.get(&id) {
            progress.set_name(name.to_string());
        }
        self.say_name(id, name);
    }

    pub(super) fn on_committed(&self, id: FileId, result: Result<(), StorageError>) {
        if let Err(error) = result {
            return self.fail(id, (&error).into());
        }
        self.close(id, Message::Done(Done { id, failure: None }), |file| {
            if let File::Committing(progress) = file {
                self.0.tools.observer.finished(progress);
            }
        });
    }
}
