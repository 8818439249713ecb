//! MD5 that costs nothing: leaf, chunk and root.
//!
//! A file is cut into **leaves** of [`LEAF_BYTES`] and **chunks** of [`CHUNK_BYTES`]; only the last of each
//! may be shorter.
//!
//! ```text
//! leaf  = MD5(salt || leaf data)                      salt: 64 bytes of the session, see below
//! chunk = MD5(leaf digests of the chunk, in order)
//! root  = MD5(chunk digests of the file, in order || file size as u64 little endian)
//! ```
//!
//! Leaves do not depend on each other, so sixteen and more of them are hashed at once in SIMD lanes
//! (`lanes`); one MD5 after the other is the same sum at an eighth of the speed. `engine` says which of the two
//! this process does: the lanes have to pass a self-test first.
//!
//! The [`Salt`] is exported from the TLS session (`SALT_LABEL` in qft's `protocol`): neither side chose it
//! alone and nobody knew it before, so MD5 collisions that were prepared in advance collide no more.
//! It is one whole MD5 block long: leaf data stay aligned, and every leaf starts from one saved state.
//! MD5 finds corruption here and decides what a resume sends again; authenticity comes from TLS alone.
//!
//! | file | holds |
//! |---|---|
//! | `engine` | which code hashes leaves in this process, and the self-test |
//! | `lanes`, `compress`, `word` | leaves in SIMD lanes: sixteen messages at once, and what MD5 computes with |
//! | `sum` | the root of a file, some chunks at a time |
//! | `reference` | the same digests by the `md-5` crate, to compare with |

use std::fmt;
use std::sync::{Arc, OnceLock};

use md5::{Digest as _, Md5};
use serde::{Deserialize, Serialize};

mod compress;
mod engine;
mod lanes;
#[cfg(test)]
mod reference;
mod sum;
#[cfg(test)]
mod tests;
mod word;

pub use engine::{Engine, engine};
use lanes::Leaves;
pub use sum::{ChunkDigests, RootSum};

/// Bytes of a file that are hashed as one message: small enough for 16 SIMD lanes in a chunk.
pub const LEAF_BYTES: usize = 64 * 1024;
/// Bytes of a file that are compared, repaired and stored as one: 16 leaves.
pub const CHUNK_BYTES: u64 = 1024 * 1024;
/// Bytes of one [`Digest`].
pub const DIGEST_BYTES: usize = 16;
/// Bytes of a [`Salt`]: one MD5 block.
pub const SALT_BYTES: usize = 64;

/// [`CHUNK_BYTES`] as the length of a slice.
const CHUNK_LEN: usize = CHUNK_BYTES as usize;
const CHUNK_LEAVES: usize = CHUNK_LEN / LEAF_BYTES;
/// Chunks whose leaves may go through the lanes together: each hides the other's latency in the widest registers.
const WINDOW_CHUNKS: usize = 2;
const WINDOW_LEAVES: usize = WINDOW_CHUNKS * CHUNK_LEAVES;
const WINDOW_BYTES: usize = WINDOW_CHUNKS * CHUNK_LEN;

static ZERO_LEAF: [u8; LEAF_BYTES] = [0; LEAF_BYTES];

/// An MD5 digest: of a leaf, a chunk or a whole file. Shown in hex.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Digest(pub [u8; DIGEST_BYTES]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

/// The bytes behind which every leaf of a session is hashed. Not shown: whoever knew them could prepare collisions.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Salt(pub [u8; SALT_BYTES]);

impl fmt::Debug for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Salt(..)")
    }
}

/// Number of chunks in a file of `size` bytes; 0 for an empty file.
pub fn chunk_count(size: u64) -> u64 {
    size.div_ceil(CHUNK_BYTES)
}

/// Bytes in chunk `index` of a file of `size` bytes: [`CHUNK_BYTES`] but for the last; 0 behind the end.
pub fn chunk_len(size: u64, index: u64) -> u64 {
    let start = index.saturating_mul(CHUNK_BYTES);
    size.saturating_sub(start).min(CHUNK_BYTES)
}

/// Digest of a whole file of `size` bytes, from the digests of all its chunks in order.
///
/// The count is the caller's business: nothing here checks that there are [`chunk_count`] of them. A `RootSum` is the
/// same for a file of any size: it can be made in steps.
pub fn root(chunks: impl IntoIterator<Item = Digest>, size: u64) -> Digest {
    let mut hash = Md5::new();
    chunks.into_iter().for_each(|chunk| hash.update(chunk.0));
    hash.update(size.to_le_bytes());
    Digest(hash.finalize().into())
}

/// Hashes chunks under one session's salt. Cheap to clone; needs no lock to share.
///
/// One chunk takes a quarter of a millisecond: call it where blocking is allowed.
#[derive(Debug, Clone)]
pub struct ChunkHasher {
    leaves: Leaves,
    zero_chunk: Arc<OnceLock<Digest>>,
}

impl ChunkHasher {
    /// A hasher for one session.
    pub fn new(salt: &Salt) -> Self {
        Self { leaves: Leaves::new(salt, engine::level()), zero_chunk: Arc::default() }
    }

    /// Digest of one chunk.
    ///
    /// # Panics
    /// When `data` is empty or longer than [`CHUNK_BYTES`].
    pub fn chunk(&self, data: &[u8]) -> Digest {
        assert!((1..=CHUNK_LEN).contains(&data.len()), "a chunk has 1 to {CHUNK_LEN} bytes, not {}", data.len());
        let mut leaves = [[0; DIGEST_BYTES]; CHUNK_LEAVES];
        let count = self.leaves.digest(data, &mut leaves);
        fold(&leaves[..count])
    }

    /// Digests of consecutive chunks; `data` starts at a chunk's start, and only the last may be short.
    ///
    /// Faster than one [`ChunkHasher::chunk`] after the other where a processor hashes two chunks at once.
    /// Empty `data` has no chunks.
    pub fn chunks(&self, data: &[u8]) -> Vec<Digest> {
        let mut digests = Vec::with_capacity(data.len().div_ceil(CHUNK_LEN));
        let mut leaves = [[0; DIGEST_BYTES]; WINDOW_LEAVES];
        for window in data.chunks(WINDOW_BYTES) {
            let count = self.leaves.digest(window, &mut leaves);
            digests.extend(leaves[..count].chunks(CHUNK_LEAVES).map(fold));
        }
        digests
    }

    /// Digest of a chunk of `len` zero bytes: a hole. The full chunk is computed once for all clones.
    ///
    /// # Panics
    /// When `len` is 0 or more than [`CHUNK_BYTES`].
    pub fn zero_chunk(&self, len: u64) -> Digest {
        assert!((1..=CHUNK_BYTES).contains(&len), "a chunk has 1 to {CHUNK_BYTES} bytes, not {len}");
        if len == CHUNK_BYTES {
            *self.zero_chunk.get_or_init(|| self.hash_zeros(CHUNK_LEN))
        } else {
            self.hash_zeros(usize::try_from(len).expect("at most CHUNK_BYTES"))
        }
    }

    /// All full leaves of zeros are alike, so one is enough.
    fn hash_zeros(&self, len: usize) -> Digest {
        let full = self.leaf(&ZERO_LEAF);
        let mut leaves = [full; CHUNK_LEAVES];
        let (count, rest) = (len.div_ceil(LEAF_BYTES), len % LEAF_BYTES);
        if rest > 0 {
            leaves[count - 1] = self.leaf(&ZERO_LEAF[..rest]);
        }
        fold(&leaves[..count])
    }

    fn leaf(&self, data: &[u8]) -> [u8; DIGEST_BYTES] {
        let mut leaf = [[0; DIGEST_BYTES]];
        self.leaves.digest(data, &mut leaf);
        leaf[0]
    }
}

/// A hasher for each instruction set of this machine, and the one without.
#[cfg(any(test, feature = "testing"))]
pub fn hashers(salt: &Salt) -> impl Iterator<Item = ChunkHasher> {
    let levels = engine::levels().into_iter().map(Some).chain([None]);
    levels.map(|level| ChunkHasher { leaves: Leaves::new(salt, level), zero_chunk: Arc::default() })
}

/// A chunk's digest from its leaves'.
fn fold(leaves: &[[u8; DIGEST_BYTES]]) -> Digest {
    Digest(Md5::digest(leaves.as_flattened()).into())
}
