//! Files in miniature: each chunk is one value repeated, and zeros behind it. So a file of megabytes takes some bytes, and a
//! million jobs take minutes.

use crate::digest::{CHUNK_BYTES, ChunkHasher, Digest, chunk_count, chunk_len};

/// What a chunk holds: `value` in each of the first `filled` bytes, then zeros. No two values have a byte in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub(crate) struct Fill {
    value: u32,
    filled: u32,
}

impl Fill {
    /// Zeros, which may be a hole.
    pub(crate) const ZEROS: Self = Self { value: 0, filled: 0 };

    /// The first `len` bytes of it, and zeros.
    fn cut(self, len: u64) -> Self {
        match u64::from(self.filled).min(len) as u32 {
            0 => Self::ZEROS,
            filled => Self { filled, ..self },
        }
    }
}

/// What is read, or written, at one go: a chunk, or the end of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ChunkContent {
    fill: Fill,
    len: u64,
}

impl ChunkContent {
    /// So many bytes of this value; 0 is zeros.
    pub(crate) fn of(value: u32, len: u64) -> Self {
        assert!(len <= CHUNK_BYTES, "more than a chunk: {len}");
        Self { fill: Fill { value, filled: if value == 0 { 0 } else { len as u32 } }, len }
    }

    /// Zeros to be read into.
    pub(crate) fn zeroed(len: u64) -> Self {
        Self::of(0, len)
    }

    /// Bytes.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Its runs of one value, as a real file would be read.
    pub(crate) fn runs(&self) -> Vec<(u32, u64)> {
        let filled = u64::from(self.fill.filled);
        [(self.fill.value, filled), (0, self.len - filled)].into_iter().filter(|(_, len)| *len > 0).collect()
    }

    /// No real digest, which would cost a thousand times the rest; equal content has equal ones all the same, and zeros
    /// have their own, which the rules make for holes.
    pub(crate) fn digest(&self, hasher: &ChunkHasher) -> Digest {
        if self.fill == Fill::ZEROS {
            return hasher.zero_chunk(self.len);
        }
        let mut digest = [0xd1; 16];
        digest[..4].copy_from_slice(&self.fill.value.to_le_bytes());
        digest[4..8].copy_from_slice(&self.fill.filled.to_le_bytes());
        digest[8..12].copy_from_slice(&(self.len as u32).to_le_bytes());
        Digest(digest)
    }
}

/// The content of a file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash)]
pub(crate) struct FileData {
    size: u64,
    chunks: Vec<Fill>,
}

impl FileData {
    /// A file of `size` bytes, its chunks filled with these values; those that have none are holes.
    pub(crate) fn new(size: u64, values: &[u32]) -> Self {
        let mut data = Self::default();
        data.set_len(size);
        for (index, value) in (0..chunk_count(size)).zip(values) {
            data.write(index * CHUNK_BYTES, &ChunkContent::of(*value, chunk_len(size, index)));
        }
        data
    }

    /// Bytes.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Bytes that are no holes.
    pub(crate) fn filled(&self) -> u64 {
        self.chunks.iter().map(|fill| u64::from(fill.filled)).sum()
    }

    pub(crate) fn cut(&self, size: u64) -> Self {
        let mut cut = self.clone();
        cut.set_len(size.min(self.size));
        cut
    }

    /// Cuts it, or lengthens it with a hole.
    pub(crate) fn set_len(&mut self, size: u64) {
        self.size = size;
        self.chunks.resize(chunk_count(size) as usize, Fill::ZEROS);
        if let Some(last) = self.chunks.last_mut() {
            *last = last.cut(chunk_len(size, chunk_count(size) - 1));
        }
    }

    /// Writes from the start of a chunk on.
    pub(crate) fn write(&mut self, offset: u64, content: &ChunkContent) {
        assert!(offset.is_multiple_of(CHUNK_BYTES), "the rules write whole chunks, not at {offset}");
        if offset + content.len > self.size {
            self.set_len(offset + content.len);
        }
        if let Some(fill) = self.chunks.get_mut((offset / CHUNK_BYTES) as usize) {
            *fill = content.fill;
        }
    }

    /// Reads from the start of a chunk on; how many bytes were there.
    pub(crate) fn read(&self, offset: u64, content: &mut ChunkContent) -> u64 {
        assert!(offset.is_multiple_of(CHUNK_BYTES), "the rules read whole chunks, not at {offset}");
        let count = self.size.saturating_sub(offset).min(content.len);
        if count > 0 {
            content.fill = self.fill((offset / CHUNK_BYTES) as usize).cut(count);
        }
        count
    }

    /// The digests of the chunks from `first` on, of those before the byte `end`; what is missing reads as zeros.
    pub(crate) fn digests(&self, hasher: &ChunkHasher, first: u64, end: u64, most: u64) -> Vec<Digest> {
        let chunks = (first..end.div_ceil(CHUNK_BYTES)).take(most as usize);
        let digest = |index| {
            let mut content = ChunkContent::zeroed(chunk_len(end, index));
            self.read(index * CHUNK_BYTES, &mut content);
            content.digest(hasher)
        };
        chunks.map(digest).collect()
    }

    /// Which chunks at or after `from`, where one starts or the file ends, are no holes.
    pub(crate) fn data_ranges(&self, from: u64, size: u64) -> Vec<std::ops::Range<u64>> {
        let indices = from.div_ceil(CHUNK_BYTES)..chunk_count(size);
        let data = indices.filter(|index| self.fill(*index as usize) != Fill::ZEROS);
        data.map(|index| index * CHUNK_BYTES..index * CHUNK_BYTES + chunk_len(size, index)).collect()
    }

    /// What a power cut may leave of it where `durable` is what was synced last: each chunk the old, the new, or neither.
    pub(crate) fn torn(&self, durable: &Self, mut pick: impl FnMut(Torn) -> Kept) -> Self {
        let mut left = durable.clone();
        if pick(Torn::Size) == Kept::New {
            left.set_len(self.size);
        }
        let old = durable.cut(left.size);
        for index in 0..left.chunks.len() {
            let (old, new) = (old.fill(index), self.fill(index));
            left.chunks[index] = match old == new {
                true => old,
                false => match pick(Torn::Chunk) {
                    Kept::Old => old,
                    Kept::New => new,
                    Kept::Neither(0) => Fill::ZEROS,
                    Kept::Neither(value) => Fill { value, filled: CHUNK_BYTES as u32 },
                },
            };
        }
        left.set_len(left.size);
        left
    }

    fn fill(&self, index: usize) -> Fill {
        self.chunks.get(index).copied().unwrap_or(Fill::ZEROS)
    }
}

/// What of a file may have reached the disk without the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Torn {
    Size,
    Chunk,
}

/// What of it a power cut leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    Old,
    New,
    /// Something that nobody wrote.
    Neither(u32),
}
