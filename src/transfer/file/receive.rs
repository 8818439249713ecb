//! The receiving side of one file: which ranges may come, and when the whole is right.

use std::collections::BTreeMap;

use crate::broken::BreakableRule;
use crate::digest::{CHUNK_BYTES, ChunkDigests, ChunkHasher, Digest, RootSum};
use crate::protocol::message::Tail;
use crate::transfer::Violation;

/// A file whose content is wanted from an offset on.
#[cfg_attr(not(feature = "testing"), allow(unreachable_pub, reason = "the fuzz targets reach it"))]
#[derive(Debug)]
pub struct ReceiveFile {
    size: u64,
    from: u64,
    /// Digests of the chunks on disk. The size is only the peer's word, so what is not there takes no room.
    digests: ChunkDigests,
    /// Chunks before `from` whose digests have been offered, counted from the start.
    offered: u64,
    /// Ranges that streams have claimed: start to end, in bytes.
    claimed: BTreeMap<u64, u64>,
    ranges_opened: u64,
    ranges_stored: u64,
    tail: Option<Tail>,
}

/// The verdict on a complete file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileVerdict {
    /// The digest is the announced one.
    Right,
    /// The digest is another.
    Wrong,
}

/// A complete file whose digest is being summed up.
#[derive(Debug)]
pub(crate) struct Judging {
    sum: RootSum,
    announced: Digest,
}

impl Judging {
    /// Sums up at most `chunks` more chunks; the verdict after the last of them.
    pub(crate) fn step(&mut self, hasher: &ChunkHasher, chunks: u64) -> Option<FileVerdict> {
        let root = self.sum.step(hasher, chunks)?;
        let is_right = root == self.announced || BreakableRule::CompareDigests.is_broken();
        Some(if is_right { FileVerdict::Right } else { FileVerdict::Wrong })
    }
}

#[cfg_attr(not(feature = "testing"), allow(unreachable_pub, reason = "the fuzz targets reach it"))]
impl ReceiveFile {
    /// A file of `size` bytes of which the content from `from` on was asked for.
    pub fn new(size: u64, from: u64, hasher: &ChunkHasher) -> Self {
        Self {
            size,
            from,
            digests: ChunkDigests::new(size, hasher),
            offered: 0,
            claimed: BTreeMap::new(),
            ranges_opened: 0,
            ranges_stored: 0,
            tail: None,
        }
    }

    /// Chunks before the start, all of which are to be offered by digest.
    pub fn prefix_chunks(&self) -> u64 {
        self.from.div_ceil(CHUNK_BYTES)
    }

    /// Whether chunks before the start are still to be hashed.
    pub(crate) fn is_hashing(&self) -> bool {
        self.offered < self.prefix_chunks()
    }

    /// Whether any content has been announced by a stream so far.
    pub fn has_ranges(&self) -> bool {
        self.ranges_opened > 0
    }

    /// A data stream announces `len` bytes at `offset`.
    ///
    /// # Errors
    /// The rule that the range breaks; the file is then unchanged.
    pub fn on_range(&mut self, offset: u64, len: u64) -> Result<(), Violation> {
        let bad = Violation::BadRange { offset, len };
        let Some(end) = offset.checked_add(len) else { return Err(bad) };
        let aligned = offset.is_multiple_of(CHUNK_BYTES) && (end.is_multiple_of(CHUNK_BYTES) || end == self.size);
        let straddles = offset < self.from && end > self.from;
        if len == 0 || end > self.size || !aligned || straddles {
            return Err(bad);
        }
        if offset < self.from && end.div_ceil(CHUNK_BYTES) > self.offered {
            return Err(Violation::EarlyRepair { offset });
        }
        let before = self.claimed.range(..end).next_back();
        if before.is_some_and(|(_, claimed_end)| *claimed_end > offset) {
            return Err(Violation::Overlap { offset });
        }
        if let Some(tail) = &self.tail
            && self.ranges_opened == tail.ranges
        {
            return Err(Violation::RangeCount { announced: tail.ranges, seen: self.ranges_opened + 1 });
        }
        self.claimed.insert(offset, end);
        self.ranges_opened += 1;
        Ok(())
    }

    /// A data stream announces the first `len` bytes, which it sent ahead of the answer: whether they are wanted.
    /// Content that is not wanted counts for nothing.
    ///
    /// # Errors
    /// The rule that the range breaks; the file is then unchanged.
    pub fn on_early(&mut self, len: u64) -> Result<bool, Violation> {
        if len != self.size.min(CHUNK_BYTES) {
            return Err(Violation::BadRange { offset: 0, len });
        }
        if self.from > 0 {
            return Ok(false);
        }
        self.on_range(0, len).map(|()| true)
    }

    /// A chunk that a stream carried is on disk.
    pub(crate) fn on_chunk(&mut self, index: u64, digest: Digest) {
        self.digests.insert(index, digest);
    }

    /// All chunks of one range are on disk.
    pub fn on_range_stored(&mut self) {
        self.ranges_stored += 1;
    }

    /// The next chunks before the start have been hashed and offered.
    pub fn on_prefix(&mut self, digests: &[Digest]) {
        for digest in digests {
            self.digests.insert(self.offered, *digest);
            self.offered += 1;
        }
    }

    /// The sender closes the file. What it said ahead of the answer is not about a file of which some is there already:
    /// another tail follows.
    ///
    /// # Errors
    /// A second tail, or one that announces fewer ranges than have come.
    pub fn on_tail(&mut self, tail: Tail) -> Result<(), Violation> {
        if tail.early && self.from > 0 {
            return Ok(());
        }
        if self.tail.is_some() {
            return Err(Violation::SecondTail);
        }
        if tail.ranges < self.ranges_opened {
            return Err(Violation::RangeCount { announced: tail.ranges, seen: self.ranges_opened });
        }
        self.tail = Some(tail);
        Ok(())
    }

    /// Whether the tail is there, all its ranges are stored and the whole prefix has been hashed.
    pub fn is_complete(&self) -> bool {
        let stored = self.tail.as_ref().is_some_and(|tail| self.ranges_stored >= tail.ranges);
        stored && !self.is_hashing()
    }

    /// The digest of the whole file as the sender has announced it; `None` before.
    pub(crate) fn announced(&self) -> Option<Digest> {
        self.tail.as_ref().map(|tail| tail.root)
    }

    /// What is left to do once the file is complete, said once; `None` before. Chunks that nothing carried are holes and count as
    /// zeros, so a file of many terabytes takes long to judge, however little of it has come.
    pub(crate) fn judge(&mut self) -> Option<Judging> {
        let announced = self.tail.as_ref().filter(|_| self.is_complete())?.root;
        Some(Judging { sum: RootSum::new(self.digests.take()), announced })
    }
}
