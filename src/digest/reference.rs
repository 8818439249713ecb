//! The same digests, one plain MD5 after the other: what `lanes` has to equal.

use md5::{Digest as _, Md5};

use super::{CHUNK_BYTES, Digest, LEAF_BYTES, Salt};

/// Digest of one chunk, straight from the definition.
pub(super) fn chunk(salt: &Salt, data: &[u8]) -> Digest {
    let mut chunk = Md5::new();
    for leaf in data.chunks(LEAF_BYTES) {
        chunk.update(Md5::new().chain_update(salt.0).chain_update(leaf).finalize());
    }
    Digest(chunk.finalize().into())
}

/// Digests of consecutive chunks.
pub(super) fn chunks(salt: &Salt, data: &[u8]) -> Vec<Digest> {
    data.chunks(usize::try_from(CHUNK_BYTES).expect("a chunk fits in memory")).map(|c| chunk(salt, c)).collect()
}
