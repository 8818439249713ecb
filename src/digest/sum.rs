//! The root of a file, some chunks at a time: it takes as long as the file has chunks, be it all holes.

use std::collections::BTreeMap;
use std::ops::Range;

use md5::{Digest as _, Md5};

use super::{CHUNK_BYTES, ChunkHasher, DIGEST_BYTES, Digest, chunk_count, chunk_len};

/// Digests of a hole that go into the sum with one call: 4 KiB, above which a call costs nothing worth mentioning.
const HOLE_DIGESTS_AT_ONCE: usize = 256;

/// The digests of a file's chunks. A chunk of zeros takes no room, so a file may claim any size.
#[derive(Debug, Clone)]
pub struct ChunkDigests {
    size: u64,
    /// Of a full chunk of zeros; `None` where there is but one chunk, whose digest is kept whatever it is.
    zeros: Option<Digest>,
    others: BTreeMap<u64, Digest>,
}

impl ChunkDigests {
    /// Those of a file of `size` bytes of which every chunk is zeros so far.
    pub fn new(size: u64, hasher: &ChunkHasher) -> Self {
        let zeros = (size > CHUNK_BYTES).then(|| hasher.zero_chunk(CHUNK_BYTES));
        Self { size, zeros, others: BTreeMap::new() }
    }

    /// Moves the digests out; what stays behind is as new.
    pub fn take(&mut self) -> Self {
        Self { others: std::mem::take(&mut self.others), ..*self }
    }

    /// Notes the digest of one chunk.
    pub fn insert(&mut self, index: u64, digest: Digest) {
        if self.zeros == Some(digest) && chunk_len(self.size, index) == CHUNK_BYTES {
            self.others.remove(&index);
        } else {
            self.others.insert(index, digest);
        }
    }

    /// The digest of one chunk that was noted.
    pub fn get(&self, index: u64) -> Option<Digest> {
        self.others.get(&index).copied().or(self.zeros)
    }

    /// The digests in a range that are kept, each with its index: of the others it is only known that they are zeros, if
    /// anything is.
    pub fn known(&self, chunks: Range<u64>) -> impl Iterator<Item = (u64, Digest)> {
        self.others.range(chunks).map(|(index, digest)| (*index, *digest))
    }

    /// Chunks that take room.
    #[cfg(test)]
    pub fn held(&self) -> usize {
        self.others.len()
    }
}

/// The root of a file in the making: see [`root`](super::root) for what it is the sum of.
///
/// MD5 has no way around its input, so a hole of 16 TiB costs a third of a second like any other 256 MiB. Whoever makes the
/// sum therefore does it in steps, and looks between them whether it is still wanted.
#[derive(Debug, Clone)]
pub struct RootSum {
    digests: ChunkDigests,
    sum: Md5,
    /// The chunk that comes next.
    next: u64,
}

impl RootSum {
    /// A sum that has not begun.
    pub fn new(digests: ChunkDigests) -> Self {
        Self { digests, sum: Md5::new(), next: 0 }
    }

    /// Takes in at most `chunks` more chunks, at least one; the root once the last of them is in.
    pub fn step(&mut self, hasher: &ChunkHasher, chunks: u64) -> Option<Digest> {
        let count = chunk_count(self.digests.size);
        let end = self.next.saturating_add(chunks.max(1)).min(count);
        let known = self.digests.others.range(self.next..end).map(|(index, digest)| (*index, *digest));
        for (index, digest) in known {
            take_in_zeros(&mut self.sum, self.digests.size, self.next..index, hasher);
            self.sum.update(digest.0);
            self.next = index + 1;
        }
        take_in_zeros(&mut self.sum, self.digests.size, self.next..end, hasher);
        self.next = end;
        if end < count {
            return None;
        }
        self.sum.update(self.digests.size.to_le_bytes());
        Some(Digest(self.sum.finalize_reset().into()))
    }
}

/// Takes in chunks of zeros. Only the last of a file may be shorter than the others.
fn take_in_zeros(sum: &mut Md5, size: u64, chunks: Range<u64>, hasher: &ChunkHasher) {
    if chunks.is_empty() {
        return;
    }
    let last = chunk_len(size, chunks.end - 1);
    let is_short = last < CHUNK_BYTES;
    let mut full = chunks.end - chunks.start - u64::from(is_short);
    if full > 0 {
        let block = [hasher.zero_chunk(CHUNK_BYTES).0; HOLE_DIGESTS_AT_ONCE];
        while full > 0 {
            let count = usize::try_from(full).unwrap_or(usize::MAX).min(HOLE_DIGESTS_AT_ONCE);
            sum.update(&block.as_flattened()[..count * DIGEST_BYTES]);
            full -= count as u64;
        }
    }
    if is_short {
        sum.update(hasher.zero_chunk(last).0);
    }
}
