//! Files in miniature: one byte stands for each chunk, 0 for a hole.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::OnceLock;

use super::random::Random;
use crate::digest::{CHUNK_BYTES, ChunkHasher, Digest, SALT_BYTES, Salt, chunk_count, chunk_len};

/// What a file holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Content {
    pub(super) size: u64,
    pub(super) chunks: Vec<u8>,
}

impl Content {
    /// A file of a few chunks, the last of which may be short.
    pub(super) fn any(random: &mut Random) -> Self {
        let size = random.below(4) as u64 * CHUNK_BYTES + if random.percent(70) { 5 } else { 0 };
        let chunks = (0..chunk_count(size)).map(|_| random.below(4) as u8).collect();
        Self { size, chunks }
    }

    /// A file that can be sent early as a whole.
    pub(super) fn small(random: &mut Random) -> Self {
        let size = [0, 5, CHUNK_BYTES, CHUNK_BYTES][random.below(4)];
        Self { size, chunks: (0..chunk_count(size)).map(|_| 1 + random.below(3) as u8).collect() }
    }

    /// A part of which one chunk can be used.
    pub(super) fn part(random: &mut Random) -> Self {
        Self { size: CHUNK_BYTES, chunks: vec![1 + random.below(3) as u8] }
    }

    /// The digest of one chunk of it.
    pub(super) fn digest(&self, index: u64) -> Digest {
        // A source that became shorter reads as nothing there.
        let Some(byte) = self.chunks.get(index as usize) else { return Digest([0xff; 16]) };
        digest_of(*byte, chunk_len(self.size, index))
    }

    /// The parts at or after `from` that hold data.
    pub(super) fn data(&self, from: u64) -> Vec<Range<u64>> {
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for index in from.div_ceil(CHUNK_BYTES)..chunk_count(self.size) {
            let (start, end) = (index * CHUNK_BYTES, index * CHUNK_BYTES + chunk_len(self.size, index));
            match ranges.last_mut() {
                _ if self.chunks[index as usize] == 0 => {}
                Some(last) if last.end == start => last.end = end,
                _ => ranges.push(start..end),
            }
        }
        ranges
    }

    /// Its first bytes. What is cut in the middle of a chunk is no chunk of anything any more.
    pub(super) fn cut(&self, size: u64) -> Self {
        let size = size.min(self.size);
        Self { size, chunks: self.chunks[..chunk_count(size) as usize].to_vec() }
    }

    /// Writes one chunk of a file that is to have `size` bytes.
    pub(super) fn write(&mut self, size: u64, index: u64, byte: u8) {
        self.grow(size.min((index + 1) * CHUNK_BYTES));
        self.chunks[index as usize] = byte;
    }

    /// Makes it so long, with holes.
    pub(super) fn grow(&mut self, size: u64) {
        self.size = self.size.max(size);
        self.chunks.resize(chunk_count(self.size) as usize, 0);
    }
}

pub(super) fn hasher() -> &'static ChunkHasher {
    static HASHER: OnceLock<ChunkHasher> = OnceLock::new();
    HASHER.get_or_init(|| ChunkHasher::new(&Salt([7; SALT_BYTES])))
}

/// The digest of a chunk that is filled with one byte; a table, since hashing megabytes is not the point.
fn digest_of(byte: u8, len: u64) -> Digest {
    if byte == 0 {
        return hasher().zero_chunk(len);
    }
    let mut digest = [byte; 16];
    digest[..8].copy_from_slice(&len.to_le_bytes());
    Digest(digest)
}

/// A source: all versions that it ever had, the present one last. Its time of modification is their number.
pub(super) type Sources = BTreeMap<String, Vec<Content>>;

/// The receiver's disk: what stands under final names, with times of modification, and partial files.
#[derive(Debug, Clone, Default)]
pub(super) struct Disk {
    pub(super) files: BTreeMap<String, (Content, i64)>,
    pub(super) parts: BTreeMap<String, Content>,
}
