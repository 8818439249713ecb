//! Hashing what is there already, a turn at a time.

use std::ops::Range;

use super::StorageError;
use crate::digest::{CHUNK_BYTES, ChunkHasher, Digest};
use crate::protocol::HAVE_DIGESTS_MAX;

/// Chunks hashed before the disk thread takes other work: 32 MiB, so that the first answers and the first repairs do
/// not wait for the whole prefix.
pub(crate) const CHUNKS_A_TURN: u64 = 32;
const _: () = assert!(CHUNKS_A_TURN <= HAVE_DIGESTS_MAX as u64);

/// Chunks read and hashed in one call: 32 leaves fill the widest SIMD schedule.
const CHUNKS_AT_ONCE: u64 = 2;

/// The alignment of buffers.
const PAGE_BYTES: usize = 4096;

/// The digests of one turn: chunks from `first` on, of those before `end`, the byte at which the prefix ends.
///
/// `read` fills a buffer from an offset and says how much was there; what is missing is zeros.
///
/// # Errors
/// The first one of `read`.
pub(super) fn hash_turn(
    hasher: &ChunkHasher,
    first: u64,
    end: u64,
    read: impl Fn(&mut [u8], u64) -> Result<usize, StorageError>,
) -> Result<Vec<Digest>, StorageError> {
    let Range { start, end } = first * CHUNK_BYTES..end.min((first + CHUNKS_A_TURN) * CHUNK_BYTES);
    let mut digests = Vec::with_capacity(CHUNKS_A_TURN as usize);
    let len = (CHUNKS_AT_ONCE * CHUNK_BYTES) as usize;
    // Reads into a whole page are the faster ones.
    let mut bytes = vec![0; len + PAGE_BYTES];
    let page = bytes.as_ptr().align_offset(PAGE_BYTES);
    let buffer = &mut bytes[page..page + len];
    for offset in (start..end).step_by(len) {
        let wanted = len.min((end - offset) as usize);
        let read = read(&mut buffer[..wanted], offset)?;
        buffer[read..wanted].fill(0);
        digests.extend(hasher.chunks(&buffer[..wanted]));
    }
    Ok(digests)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Salt;

    #[test]
    fn turns_cover_the_prefix_once_and_in_order() {
        let hasher = ChunkHasher::new(&Salt([1; 64]));
        let end = CHUNKS_A_TURN * CHUNK_BYTES + CHUNK_BYTES + 5;
        // Each chunk is filled with its index.
        let fill = |buffer: &mut [u8], offset: u64| {
            for (index, chunk) in buffer.chunks_mut(CHUNK_BYTES as usize).enumerate() {
                chunk.fill((offset / CHUNK_BYTES) as u8 + index as u8);
            }
            Ok(buffer.len())
        };
        let mut digests = hash_turn(&hasher, 0, end, fill).unwrap();
        assert_eq!(digests.len() as u64, CHUNKS_A_TURN);
        digests.extend(hash_turn(&hasher, CHUNKS_A_TURN, end, fill).unwrap());
        let expected: Vec<_> = (0..CHUNKS_A_TURN + 2)
            .map(|index| vec![index as u8; (end - index * CHUNK_BYTES).min(CHUNK_BYTES) as usize])
            .map(|chunk| hasher.chunk(&chunk))
            .collect();
        assert_eq!(digests, expected);
    }
}
