//! Checking what is there: digests of the part before the start, offered to the sender.

use std::sync::Arc;

use super::file::FileIo;
use super::{Driver, Receiver};
use crate::digest::Digest;
use crate::protocol::message::FileId;
use crate::transfer::job::answers::PrefixProgress;

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
            Err(error) => self.fail(id, (&error).into()),
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
}
