//! Checking what the receiver holds: our digests of the part before the start, compared with its own.

use std::sync::Arc;

use super::Sender;
use crate::digest::CHUNK_BYTES;
use crate::protocol::message::FileId;
use crate::storage::{ByteFiles, ReadFile};

impl<F: ByteFiles> Sender<F> {
    /// On a disk thread: hashes some of our own chunks before the start and queues the next turn.
    pub(super) fn hash_prefix(&self, id: FileId, source: &Arc<F::Source>, first: u64, from: u64) {
        if self.0.tools.connection.close_reason().is_some() {
            return;
        }
        // A source that became shorter is found out before its tail.
        let digests = match source.hash(&self.0.tools.hasher, first, from) {
            Ok(digests) => digests,
            Err(error) => return self.give_up(id, (&error).into()),
        };
        let last = first + digests.len() as u64;
        if !self.feed(|ledger| ledger.on_hashed(id, first, &digests)) {
            return;
        }
        if last < from.div_ceil(CHUNK_BYTES) {
            let (sender, source) = (self.clone(), source.clone());
            self.0.tools.disk.spawn(move || sender.hash_prefix(id, &source, last, from));
        }
    }
}
