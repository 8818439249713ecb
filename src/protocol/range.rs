//! The header of a data stream, and the reports that come back on it.

use super::FILE_BYTES_MAX;
use super::message::FileId;
use crate::digest::CHUNK_BYTES;

/// Bytes of a [`RangeHeader`] on the wire.
pub const RANGE_HEADER_BYTES: usize = 24;

/// Bytes of one report on the return half of a data stream: a `u64` little endian, the bytes of this range
/// that were written so far.
pub const REPORT_BYTES: usize = 8;

/// Set in the length of a range that goes ahead. No length reaches it: [`FILE_BYTES_MAX`] is below.
const EARLY_BIT: u64 = 1 << 63;
const _: () = assert!(FILE_BYTES_MAX < EARLY_BIT, "a length would look like a mark");

/// Whether a range waited for the answer to its file's offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RangeTiming {
    /// The answer, or a digest, asked for it.
    Asked,
    /// It goes ahead of the answer, which may not want it.
    Early,
}

/// The first bytes of a data stream: which part of which file it carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RangeHeader {
    /// The file, by the id of its header.
    pub id: FileId,
    /// Where the range starts in the file, in bytes.
    pub offset: u64,
    /// How many bytes follow.
    pub len: u64,
    /// Whether anybody asked for it.
    pub timing: RangeTiming,
}

impl RangeHeader {
    /// The form on the wire: three `u64`, little endian; the topmost bit of the last says that it goes ahead.
    pub fn to_bytes(self) -> [u8; RANGE_HEADER_BYTES] {
        let mark = if self.timing == RangeTiming::Early { EARLY_BIT } else { 0 };
        let mut bytes = [0; RANGE_HEADER_BYTES];
        for (field, value) in bytes.chunks_exact_mut(8).zip([self.id.0, self.offset, self.len | mark]) {
            field.copy_from_slice(&value.to_le_bytes());
        }
        bytes
    }

    /// Reads the form on the wire. Any bytes are a header; whether it fits its file is for [`RangeHeader::fits`].
    pub fn from_bytes(bytes: [u8; RANGE_HEADER_BYTES]) -> Self {
        let field = |index: usize| {
            let field = &bytes[index * 8..][..8];
            u64::from_le_bytes(field.try_into().expect("eight bytes were cut out"))
        };
        let timing = if field(2) & EARLY_BIT == 0 { RangeTiming::Asked } else { RangeTiming::Early };
        Self { id: FileId(field(0)), offset: field(1), len: field(2) & !EARLY_BIT, timing }
    }

    /// Whether this is a range of a file of `size` bytes: not empty, inside, and made of whole chunks but for
    /// the file's last.
    pub fn fits(self, size: u64) -> bool {
        let Some(end) = self.offset.checked_add(self.len) else {
            return false;
        };
        self.len > 0
            && self.offset.is_multiple_of(CHUNK_BYTES)
            && end <= size
            && (end == size || end.is_multiple_of(CHUNK_BYTES))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_range_header_is_three_little_endian_numbers_and_a_mark() {
        for (timing, top) in [(RangeTiming::Asked, 0x7f), (RangeTiming::Early, 0xff)] {
            let header = RangeHeader { id: FileId(1), offset: 0x0203, len: u64::MAX >> 1, timing };
            let mut bytes = *b"\x01\0\0\0\0\0\0\0\x03\x02\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff";
            bytes[23] = top;
            assert_eq!(header.to_bytes(), bytes);
            assert_eq!(RangeHeader::from_bytes(bytes), header);
        }
    }

    #[test]
    fn a_range_is_whole_chunks_within_its_file() {
        const C: u64 = CHUNK_BYTES;
        let table = [
            (0, C, 2 * C, true),
            (C, C, 2 * C, true),
            (0, 2 * C + 5, 2 * C + 5, true),
            (2 * C, 5, 2 * C + 5, true),
            (0, 1, 1, true),
            (0, 0, 0, false),
            (C, 0, 2 * C, false),
            (0, C - 1, 2 * C, false),
            (1, C - 1, C, false),
            (0, C + 1, C, false),
            (C, C, C, false),
            (2 * C, C, C, false),
            (C, u64::MAX, C, false),
            (u64::MAX - C + 1, u64::MAX, u64::MAX, false),
        ];
        for (offset, len, size, fits) in table {
            let header = RangeHeader { id: FileId(0), offset, len, timing: RangeTiming::Asked };
            assert_eq!(header.fits(size), fits, "{header:?} in {size}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_header_and_come_back(bytes: [u8; RANGE_HEADER_BYTES]) {
            prop_assert_eq!(RangeHeader::from_bytes(bytes).to_bytes(), bytes);
        }
    }
}
