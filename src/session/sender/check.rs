//! Comparing a source with what the receiver holds before the start, and, where the source is not what it was when it was
//! opened, with what was sent of it.

use std::sync::Arc;

use super::Sender;
use super::outlet::PumpStop;
use crate::digest::CHUNK_BYTES;
use crate::protocol::message::FileId;
use crate::storage::{ByteFiles, ReadFile, StorageError};

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

    /// Reads all that was sent of a file once more, and holds it against the digests of what was sent.
    ///
    /// Where both are equal, the file was as it was sent at the moment between the two: each chunk was the same before and
    /// after. So a new mode, a new name, or more at its end does not matter, and a write whose time was put back does.
    ///
    /// # Errors
    /// [`PumpStop::Changed`] when they differ.
    pub(super) async fn read_again(&self, id: FileId, source: &Arc<F::Source>) -> Result<(), PumpStop> {
        let Some(size) = self.ledger().place(id).map(|place| place.header.size) else { return Err(PumpStop::Unwanted) };
        let looking = source.clone();
        let look = move || Ok::<_, StorageError>((looking.data_map(0, CHUNK_BYTES)?, looking.is_longer_than(size)?));
        let (map, grew) = self.0.tools.disk.run(look).await??;
        let mut next = 0;
        for range in self.search(id, source, map).await? {
            let (first, end) = (range.start / CHUNK_BYTES, range.end.min(size).div_ceil(CHUNK_BYTES));
            self.compare_holes(id, next, first)?;
            let mut compared = first;
            while compared < end {
                compared += self.compare_again(id, source, compared, range.end.min(size)).await?;
            }
            next = end;
        }
        self.compare_holes(id, next, size.div_ceil(CHUNK_BYTES))?;
        if grew {
            self.remark_growth(id);
        }
        Ok(())
    }

    /// Compares as many chunks as the store hashes at one go, and says how many that were.
    async fn compare_again(&self, id: FileId, source: &Arc<F::Source>, first: u64, end: u64) -> Result<u64, PumpStop> {
        let _work = self.work_on(id);
        let (source, hasher) = (source.clone(), self.0.tools.hasher.clone());
        let digests = self.0.tools.disk.run(move || source.hash(&hasher, first, end)).await??;
        let agrees = self.with_rules(id, |rules| rules.agrees(&self.0.tools.hasher, first, &digests));
        if agrees.unwrap_or(false) { Ok(digests.len() as u64) } else { Err(PumpStop::Changed) }
    }

    /// Checks that a range which is a hole now was sent as zeros.
    fn compare_holes(&self, id: FileId, first: u64, end: u64) -> Result<(), PumpStop> {
        let agrees = self.with_rules(id, |rules| rules.are_zeros(&self.0.tools.hasher, first..end));
        if agrees.unwrap_or(false) { Ok(()) } else { Err(PumpStop::Changed) }
    }

    /// Says that a file is longer by now than what is delivered of it.
    pub(super) fn remark_growth(&self, id: FileId) {
        let Some(path) = self.ledger().name(id) else { return };
        let text = format!("{path} grew while it was sent: what it held at first is there");
        self.feed(|ledger| ledger.remark(text));
    }

    /// Until the guard is dropped the peer is told that we are at work.
    pub(super) fn work_on(&self, id: FileId) -> AtWork<'_, F> {
        self.ledger().mark_read(id, true);
        AtWork { sender: self, id }
    }
}

/// We read our own copy of a file.
pub(super) struct AtWork<'a, F: ByteFiles> {
    sender: &'a Sender<F>,
    id: FileId,
}

impl<F: ByteFiles> Drop for AtWork<'_, F> {
    fn drop(&mut self) {
        self.sender.ledger().mark_read(self.id, false);
    }
}
