//! The rules for the ranges of one file, against a table of chunks that says the same more slowly.

use qft::digest::{CHUNK_BYTES, ChunkHasher, Digest, SALT_BYTES, Salt, chunk_count};
use qft::protocol::message::{FileId, Tail};
use qft::testing::ReceiveFile;

use super::cursor::Cursor;

/// Chunks of the largest file that the table is made for.
const CHUNKS_MAX: u64 = 40;

/// What a receiver of one file has to take and to refuse.
struct Table {
    size: u64,
    from: u64,
    claimed: Vec<bool>,
    offered: u64,
    opened: u64,
    stored: u64,
    tail: Option<u64>,
}

impl Table {
    fn takes_range(&self, offset: u64, len: u64) -> bool {
        let end = u128::from(offset) + u128::from(len);
        if len == 0 || end > self.size.into() || !offset.is_multiple_of(CHUNK_BYTES) {
            return false;
        }
        let end = offset + len;
        let (first, last) = (offset / CHUNK_BYTES, (end - 1) / CHUNK_BYTES);
        let is_whole = end == self.size || end.is_multiple_of(CHUNK_BYTES);
        let is_repair = offset < self.from;
        let is_known = !is_repair || (end <= self.from && last < self.offered);
        let is_free = (first..=last).all(|chunk| !self.claimed[chunk as usize]);
        is_whole && is_known && is_free && self.tail.is_none_or(|ranges| self.opened < ranges)
    }

    fn claim(&mut self, offset: u64, len: u64) {
        let chunks = offset / CHUNK_BYTES..(offset + len).div_ceil(CHUNK_BYTES);
        chunks.for_each(|chunk| self.claimed[chunk as usize] = true);
        self.opened += 1;
    }

    fn is_complete(&self) -> bool {
        self.tail.is_some_and(|ranges| self.stored >= ranges) && self.offered == self.from.div_ceil(CHUNK_BYTES)
    }
}

/// Ranges, digests and tails in any order.
pub(crate) fn rules(input: &[u8]) {
    let mut cursor = Cursor::new(input);
    let size = (cursor.number() % CHUNKS_MAX * CHUNK_BYTES).saturating_sub(cursor.pick(&[0, 1, CHUNK_BYTES - 1]));
    let from = if cursor.bool() { size } else { cursor.number() % CHUNKS_MAX * CHUNK_BYTES };
    let from = if from > size { 0 } else { from };
    let chunks = usize::try_from(chunk_count(size)).expect("few chunks");
    let mut rules = ReceiveFile::new(size, from, &ChunkHasher::new(&Salt([0; SALT_BYTES])));
    let mut table = Table { size, from, claimed: vec![false; chunks], offered: 0, opened: 0, stored: 0, tail: None };
    while !cursor.is_empty() {
        match cursor.byte() % 6 {
            0 | 1 => {
                let (offset, len) = (place(&mut cursor, size), place(&mut cursor, size));
                let is_taken = rules.on_range(offset, len).is_ok();
                assert_eq!(is_taken, table.takes_range(offset, len), "{offset}+{len} of {size} from {from}");
                if is_taken {
                    table.claim(offset, len);
                }
            }
            2 => {
                let len = place(&mut cursor, size);
                let is_start = len == size.min(CHUNK_BYTES);
                let expected = is_start && (from > 0 || table.takes_range(0, len));
                let taken = rules.on_early(len);
                assert_eq!(taken.is_ok(), expected, "{len} ahead of {size} from {from}");
                if taken == Ok(true) {
                    table.claim(0, len);
                }
            }
            3 if table.offered < rules.prefix_chunks() => {
                rules.on_prefix(&[Digest([cursor.byte(); 16])]);
                table.offered += 1;
            }
            4 if table.stored < table.opened => {
                rules.on_range_stored();
                table.stored += 1;
            }
            5 => {
                let (ranges, early) = (cursor.number(), cursor.bool());
                let tail = Tail { id: FileId(0), root: Digest([0; 16]), ranges, early };
                let counts = !early || from == 0;
                let expected = !counts || (table.tail.is_none() && ranges >= table.opened);
                assert_eq!(rules.on_tail(tail).is_ok(), expected, "a tail for {ranges}");
                if counts && expected {
                    table.tail = Some(ranges);
                }
            }
            _ => {}
        }
        assert_eq!((rules.is_complete(), rules.has_ranges()), (table.is_complete(), table.opened > 0));
    }
}

/// A number of bytes at or near the end of a chunk or of the file, or any.
fn place(cursor: &mut Cursor<'_>, size: u64) -> u64 {
    match cursor.byte() {
        255 => cursor.u64(),
        254 => size,
        253 => size.wrapping_sub(cursor.number().wrapping_mul(CHUNK_BYTES)),
        252 => cursor.number().wrapping_mul(CHUNK_BYTES).wrapping_add(cursor.pick(&[1, u64::MAX])),
        chunk => u64::from(chunk) * CHUNK_BYTES,
    }
}
