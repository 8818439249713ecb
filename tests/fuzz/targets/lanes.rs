//! The lanes of every instruction set against plain MD5.

use md5::{Digest as _, Md5};
use qft::digest::{CHUNK_BYTES, Digest, LEAF_BYTES, SALT_BYTES, Salt};
use qft::testing;

use super::cursor::Cursor;

/// Two chunks that are hashed as a pair, and two leaves and a bit: beyond that everything repeats.
const BYTES_MAX: u64 = (2 << 20) + (130 << 10);
/// Two leaves and a bit, for what is not about whole chunks: a hundred times as many of them are tried in the same time.
const SHORT_MAX: u64 = 130 << 10;

/// Content of any length, at any alignment, behind any salt. It ends where its memory ends, so that who reads beyond is
/// caught.
pub(crate) fn lanes(input: &[u8]) {
    let mut cursor = Cursor::new(input);
    let salt = Salt([cursor.byte(); SALT_BYTES]);
    let unit = cursor.pick(&[1, 64, LEAF_BYTES as u64, CHUNK_BYTES]);
    let len_max = if unit == CHUNK_BYTES { BYTES_MAX } else { SHORT_MAX };
    let len = (unit.saturating_mul(cursor.number()).saturating_add(cursor.number()) % len_max) as usize;
    let before = usize::from(cursor.byte()) % 64;
    let bytes = noise(before + len, cursor.rest()).into_boxed_slice();
    let content = &bytes[before..];
    let expected: Vec<Digest> = content.chunks(CHUNK_BYTES as usize).map(|chunk| reference(&salt, chunk)).collect();
    for hasher in testing::hashers(&salt) {
        assert!(hasher.chunks(content) == expected, "{len} bytes at {before}");
        let one_by_one = content.chunks(CHUNK_BYTES as usize).map(|chunk| hasher.chunk(chunk));
        assert!(one_by_one.eq(expected.iter().copied()), "{len} bytes at {before}, one chunk after the other");
    }
}

/// A chunk's digest, straight from its definition.
fn reference(salt: &Salt, chunk: &[u8]) -> Digest {
    let leaves = chunk.chunks(LEAF_BYTES).map(|leaf| Md5::new().chain_update(salt.0).chain_update(leaf).finalize());
    Digest(leaves.fold(Md5::new(), |chunk, leaf| chunk.chain_update(leaf)).finalize().into())
}

/// Bytes without a pattern, which depend on the seed.
fn noise(len: usize, seed: &[u8]) -> Vec<u8> {
    let mut state = seed.iter().fold(0x9e37_79b9_7f4a_7c15, |state: u64, byte| state.rotate_left(5) ^ u64::from(*byte));
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        bytes.extend_from_slice(&(state ^ (state >> 29)).to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}
