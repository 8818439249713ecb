//! Checking what is there: digests of the part before the start, offered to the sender.

use std::sync::Arc;

use super::Receiver;
use super::file::FileIo;
use crate::digest::Digest;
use crate::protocol::message::FileId;
use crate::session::prefix::hash_turn;
use crate::transfer::job::answers::Prefix;

impl Receiver {
    /// On a disk thread: hashes some chunks before the start, offers them, and queues the next turn.
    pub(super) fn hash_prefix(&self, id: FileId, io: &Arc<FileIo>, first: u64, waits: u32) {
        if self.is_over() {
            return;
        }
        let read = |buffer: &mut [u8], offset| io.read_prefix(buffer, offset);
        match hash_turn(&self.0.tools.hasher, first, io.from(), read) {
            Ok(digests) => self.on_prefix(id, io, first, digests),
            Err(error) if self.may_wait(&error, waits) => {
                let (receiver, io) = (self.clone(), io.clone());
                self.try_again(&error, move || receiver.hash_prefix(id, &io, first, waits + 1));
            }
            Err(error) => self.fail(id, (&error).into()),
        }
    }

    fn on_prefix(&self, id: FileId, io: &Arc<FileIo>, first: u64, digests: Vec<Digest>) {
        let next = first + digests.len() as u64;
        match self.feed(|ledger| ledger.on_prefix(id, first, digests)) {
            Some(Prefix::GoesOn) => {
                let (receiver, io) = (self.clone(), io.clone());
                self.0.tools.disk.spawn(move || receiver.hash_prefix(id, &io, next, 0));
            }
            Some(Prefix::Hashed(Some(complete))) => self.sum_up(complete),
            Some(Prefix::Hashed(None)) | None => {}
        }
    }
}
