//! Content and its end: ranges, chunks, the verdict and the commit.

use super::file::{FileIo, Finished};
use super::{File, Open, Place, Receiver};
use crate::digest::Digest;
use crate::progress::Phase;
use crate::protocol::message::{Done, Failure, FileId, Message, Status};
use crate::protocol::range::RangeHeader;
use crate::session::SessionError;
use crate::storage::commit::Answer;
use crate::storage::{Commit, Part, StorageError};
use crate::transfer::receive::Verdict;

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
        // The root of a file that claims to be huge takes long, and touching the old version is disk work.
        self.0.tools.disk.spawn(move || receiver.commit(id, open, 0));
    }

    /// The same, on a disk thread.
    pub(super) fn judge_now(&self, id: FileId) {
        if let Some(open) = self.take_complete(id) {
            self.commit(id, open, 0);
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

    /// On a disk thread: compares the whole file's digest and hands the file to the committer.
    fn commit(&self, id: FileId, open: Open, waits: u32) {
        if open.rules.verdict(&self.0.tools.hasher) != Verdict::Right {
            open.io.discard_on_drop();
            drop(open);
            let text = "the content that arrived is not what was sent; send it again";
            return self.fail(id, Failure::new(Status::VerifyFailed, text));
        }
        match open.io.finish(!open.rules.has_ranges()) {
            Ok(Finished::New(part)) => self.submit(id, part, &open.io),
            Ok(Finished::Same(touch)) => self.0.tools.committer.submit_touch(touch, self.told(id)),
            // An empty file is opened here for the first time.
            Err(error) if self.may_wait(&error, waits) => {
                let receiver = self.clone();
                self.later(move || receiver.commit(id, open, waits + 1));
            }
            Err(error) => self.on_committed(id, Err(error)),
        }
    }

    fn submit(&self, id: FileId, part: Part, io: &FileIo) {
        let commit =
            Commit { part, size: io.size(), mtime: io.mtime(), mode: io.mode(), replace: self.0.options.replace() };
        self.0.tools.committer.submit(commit, self.told(id));
    }

    /// What the committer is to call when it is done with a file.
    fn told(&self, id: FileId) -> Answer {
        let receiver = self.clone();
        Box::new(move |result| receiver.on_committed(id, result.map(|_| ())))
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
