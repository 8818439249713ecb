//! A file whose content comes: the digests of what was there already, the verdict, the commit.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tracing::debug;

use super::{Complete, Driver, Receiver};
use crate::digest::{ChunkHasher, Digest};
use crate::protocol::message::{Failure, FileId, Status};
use crate::session::budget::Hold;
use crate::storage::commit::Answer;
use crate::storage::{Commits, Committed, Content, FileIo, Finished, Proof, StorageError, Store};
use crate::transfer::file::receive::{FileVerdict, Judging};
use crate::transfer::job::answers::PrefixProgress;
use crate::transfer::{SUM_CHUNKS_A_STEP, SUM_CHUNKS_AT_ONCE};

/// A file whose content is on its way.
pub(super) struct IncomingFile<S: Store> {
    content: FileIo<S, Hold>,
    given_up: AtomicBool,
    /// Ranges that were announced after that.
    late_ranges: AtomicUsize,
}

impl<S: Store> IncomingFile<S> {
    pub(super) fn new(content: FileIo<S, Hold>) -> Self {
        Self { content, given_up: AtomicBool::new(false), late_ranges: AtomicUsize::new(0) }
    }

    /// Nobody wants the content any more: streams that still carry it are to be stopped.
    pub(super) fn give_up(&self) {
        self.given_up.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::Relaxed)
    }

    /// One more range is announced of what was given up; how many there were.
    pub(super) fn count_late_range(&self) -> usize {
        self.late_ranges.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Writes content at its place. The inner failure need not be waited for: nobody wants the content any more.
    pub(super) fn write_at(&self, content: &Content<S>, offset: u64) -> Result<Result<(), StorageError>, StorageError> {
        match self.content.write_at(content, offset) {
            Err(error) if !self.is_given_up() => Err(error),
            written => Ok(written),
        }
    }

    /// The digest of a chunk that was written in pieces.
    pub(super) fn hash_back(&self, hasher: &ChunkHasher, index: u64) -> Result<Digest, StorageError> {
        self.content.hash_back(hasher, index)
    }
}

impl<D: Driver> Receiver<D> {
    /// On a disk thread: hashes some chunks before the start, offers them, and queues the next turn.
    pub(super) fn hash_prefix(&self, id: FileId, io: Arc<IncomingFile<D::Store>>, first: u64) {
        let hashed = io.clone();
        let hash = move |receiver: &Self| match receiver.0.driver.is_over() {
            true => Ok(None),
            false => hashed.content.hash_prefix(&receiver.0.tools.hasher, first).map(Some),
        };
        self.keep_trying(hash, move |receiver, digests| match digests {
            Ok(Some(digests)) => receiver.on_prefix(id, io, first, digests),
            Ok(None) => {}
            Err(error) => receiver.fail(id, error.at_destination()),
        });
    }

    fn on_prefix(&self, id: FileId, io: Arc<IncomingFile<D::Store>>, first: u64, digests: Vec<Digest>) {
        let next = first + digests.len() as u64;
        match self.feed(|ledger| ledger.on_prefix(id, first, digests)) {
            Some(PrefixProgress::GoesOn) => {
                let receiver = self.clone();
                self.0.driver.spawn(move || receiver.hash_prefix(id, io, next));
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
        crate::storage::testing::panic_at("sum", complete.io.content.path());
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
            return self.commit(complete);
        }
        let id = complete.id;
        complete.io.content.discard_on_drop();
        drop(complete);
        let text = "the content that arrived is not what was sent; send it again";
        self.fail(id, Failure::new(Status::VerifyFailed, text));
    }

    /// On a disk thread: hands the file to the committer.
    fn commit(&self, complete: Complete<D>) {
        let Complete { id, rules, io: file } = complete;
        let (finished, has_ranges, root) = (file.clone(), rules.has_ranges(), rules.announced());
        // An empty file is opened here for the first time.
        let finish = move |receiver: &Self| {
            let proof = Proof { hasher: &receiver.0.tools.hasher, root };
            finished.content.finish(!has_ranges, &proof)
        };
        self.keep_trying(finish, move |receiver, finished| match finished {
            Ok(finished) => receiver.hand_over(id, file, finished),
            Err(error) => receiver.fail(id, error.at_destination()),
        });
    }

    fn hand_over(&self, id: FileId, file: Arc<IncomingFile<D::Store>>, finished: Finished<D::Store>) {
        let doubted = file.clone();
        // The process that made its directories may have been killed before it could sync their names.
        let doubt = move |receiver: &Self| {
            receiver.in_doubt(doubted.content.path(), false)?;
            receiver.replace_of(doubted.content.path())
        };
        self.keep_trying(doubt, move |receiver, noted| match (noted, finished) {
            (Ok(replace), Finished::New(part)) => {
                let commit = file.content.commit(part, replace);
                receiver.0.tools.committer.submit(commit, receiver.told(id, file));
            }
            (Ok(_), Finished::Same(touch)) => receiver.0.tools.committer.submit_touch(touch, receiver.told(id, file)),
            (Err(error), _) => receiver.fail(id, error.at_destination()),
        });
    }

    /// The callback of the committer when it is done with a file.
    fn told(&self, id: FileId, file: Arc<IncomingFile<D::Store>>) -> Answer {
        let receiver = self.clone();
        Box::new(move |result| {
            file.content.on_closed();
            match result {
                Ok(committed) => receiver.on_placed(id, &file, committed),
                Err(error) => receiver.fail(id, error.at_destination()),
            }
        })
    }

    /// A file has its name.
    fn on_placed(&self, id: FileId, file: &IncomingFile<D::Store>, committed: Committed) {
        let Committed { path, unset } = committed;
        unset.iter().for_each(|error| self.remark_unset(error));
        self.0.has_placed.store(true, Ordering::Relaxed);
        let renamed = (path != *file.content.path()).then(|| path.last());
        let note = move |receiver: &Self| receiver.0.options.note_delivered(&path);
        // Its sender may ask for it as soon as it hears that it is there.
        self.keep_trying(note, move |receiver, noted| {
            noted.unwrap_or_else(|error| debug!(%error, "its sender will not be told that it is there"));
            renamed.iter().for_each(|name| receiver.feed(|ledger| ledger.on_renamed(id, name)));
            receiver.feed(|ledger| ledger.on_committed(id));
        });
    }

    /// Gives one file up; its partial file stays for a later resume.
    pub(super) fn fail(&self, id: FileId, failure: Failure) {
        self.feed(|ledger| ledger.fail(id, failure));
    }
}
