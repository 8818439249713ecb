//! Leaves in SIMD lanes.
//!
//! A chunk has as many leaves as a group has lanes. They advance in step: as far as a short last leaf has whole
//! blocks it goes along, then the full ones go on alone, and the lanes that nobody needs repeat the first.
//!
//! # Why not a crate
//! Measured on one core of a Zen 4 at 2.6 GHz, all in one run, by the processor time of the thread, median of 31
//! slices; leaves of 64 KiB, GB/s:
//!
//! | | 1 leaf | 16 leaves | 32 leaves | upkeep |
//! |---|---|---|---|---|
//! | this, AVX-512 | – | 6.5 | 6.4 | safe code over `fearless_simd` 1.2: stable releases, Linebender |
//! | this, AVX2 | – | 5.3 | 5.3 | |
//! | this, SSE2 | – | 3.1 | 3.1 | |
//! | this, in no lane | 0.80 | – | – | |
//! | `md5-many` 0.1.0-alpha.4 | 0.80 | 6.8 | 6.4 | alphas of one author, 146 `unsafe` blocks and assembly |
//! | `md5-simd` 0.2.0 | – | 5.0 | 4.2 | one author, `unsafe`; its incremental interface has no lanes |
//! | `fast-md5` 1.0.0 | 0.80 | – | – | assembly, no lanes |
//! | `md-5` 0.11.0 | 0.64 | – | – | RustCrypto; the reference, and what hashes where the self-test fails |
//!
//! `isa-l_crypto` has no bindings on crates.io, and `md5-asm` was given up for `md-5`. So no crate with stable
//! releases came within 30 percent of the fastest, and a compression function over a well-kept crate of vectors did:
//! what peers send meets no `unsafe` code and no assembly but that crate's loads.

use fearless_simd::Level;
use md5::{Digest as _, Md5};

use super::compress::{
    BLOCK_BYTES, Block, INITIAL, Inputs, LANES, LaneGroup, State, compress, compress_one, digest, is_better_in_pairs,
};
use super::{CHUNK_LEAVES, CHUNK_LEN, DIGEST_BYTES, LEAF_BYTES, SALT_BYTES, Salt, WINDOW_BYTES, WINDOW_CHUNKS};

const _: () = assert!(CHUNK_LEAVES == LANES, "a chunk is a group");
const _: () = assert!(SALT_BYTES == BLOCK_BYTES, "every leaf starts from one saved state");
const _: () = assert!(LEAF_BYTES.is_multiple_of(BLOCK_BYTES), "the padding of a full leaf is a block of its own");

/// Bytes that the padding of a message needs at least: the mark and the length.
const PADDING_BYTES: usize = 9;

/// Hashes leaves behind one salt: in lanes where these are proven and more than one leaf is there.
#[derive(Debug, Clone)]
pub(super) struct Leaves {
    /// Has taken in the salt.
    salted: Md5,
    lanes: Option<Lanes>,
}

impl Leaves {
    pub(super) fn new(salt: &Salt, level: Option<Level>) -> Self {
        Self { salted: Md5::new_with_prefix(salt.0), lanes: level.map(|level| Lanes::new(salt, level)) }
    }

    /// Writes the digest of each leaf of `data` to the front of `out`; returns how many there are. `data` starts at a
    /// chunk's start and is at most a window.
    ///
    /// # Panics
    /// When `data` has more leaves than `out` has places.
    pub(super) fn digest(&self, data: &[u8], out: &mut [[u8; DIGEST_BYTES]]) -> usize {
        if let Some(lanes) = &self.lanes
            && lanes.in_pairs
            && data.len() == WINDOW_BYTES
        {
            lanes.window(data, out);
        } else {
            for (chunk, out) in data.chunks(CHUNK_LEN).zip(out.chunks_mut(CHUNK_LEAVES)) {
                self.chunk(chunk, out);
            }
        }
        data.len().div_ceil(LEAF_BYTES)
    }

    fn chunk(&self, data: &[u8], out: &mut [[u8; DIGEST_BYTES]]) {
        match &self.lanes {
            Some(lanes) if data.len() > LEAF_BYTES => lanes.chunk(data, out),
            // All lanes together take longer than one leaf does alone.
            Some(lanes) => {
                for (leaf, out) in data.chunks(LEAF_BYTES).zip(out) {
                    *out = lanes.leaf(leaf);
                }
            }
            None => {
                for (leaf, out) in data.chunks(LEAF_BYTES).zip(out) {
                    *out = self.salted.clone().chain_update(leaf).finalize().into();
                }
            }
        }
    }
}

/// The lanes of this processor, and the state that every leaf starts from.
#[derive(Debug, Clone)]
struct Lanes {
    level: Level,
    /// Two chunks at once are faster than one after the other.
    in_pairs: bool,
    salted: State,
}

impl Lanes {
    fn new(salt: &Salt, level: Level) -> Self {
        let mut salted = INITIAL;
        compress_one(&mut salted, &[salt.0]);
        Self { level, in_pairs: is_better_in_pairs(level), salted }
    }

    fn leaf(&self, data: &[u8]) -> [u8; DIGEST_BYTES] {
        let (whole, rest) = data.as_chunks();
        let mut state = self.salted;
        compress_one(&mut state, whole);
        end(state, rest, SALT_BYTES + data.len())
    }

    /// The leaves of two full chunks.
    fn window(&self, data: &[u8], out: &mut [[u8; DIGEST_BYTES]]) {
        let (leaves, _) = data.as_chunks::<LEAF_BYTES>();
        let mut groups = [LaneGroup::new(self.salted); WINDOW_CHUNKS];
        let inputs = |chunk: usize| in_lanes(leaves[chunk * LANES..][..LANES].iter().map(blocks));
        compress(self.level, &mut groups, &std::array::from_fn(inputs));
        self.end_full(&mut groups);
        for (out, group) in out.chunks_mut(LANES).zip(&groups) {
            write_digests(group, out);
        }
    }

    /// The leaves of one chunk, the last of which may be short.
    fn chunk(&self, data: &[u8], out: &mut [[u8; DIGEST_BYTES]]) {
        let (full, short) = data.as_chunks::<LEAF_BYTES>();
        let (with_short, rest) = short.as_chunks::<BLOCK_BYTES>();
        let split = with_short.len();
        let mut groups = [LaneGroup::new(self.salted)];
        let together = full.iter().map(|leaf| &blocks(leaf)[..split]).chain([with_short]);
        compress(self.level, &mut groups, &[in_lanes(together)]);
        if !short.is_empty() {
            // The steps that follow write over its lane.
            out[full.len()] = end(groups[0].state(full.len()), rest, SALT_BYTES + short.len());
        }
        compress(self.level, &mut groups, &[in_lanes(full.iter().map(|leaf| &blocks(leaf)[split..]))]);
        self.end_full(&mut groups);
        write_digests(&groups[0], &mut out[..full.len()]);
    }

    /// All lanes take in the padding of a full leaf.
    fn end_full<const GROUPS: usize>(&self, groups: &mut [LaneGroup; GROUPS]) {
        let (last, count) = padding(&[], (SALT_BYTES + LEAF_BYTES) as u64);
        compress(self.level, groups, &[[&last[..count]; LANES]; GROUPS]);
    }
}

/// The digest of a message of `bytes` bytes, whose whole blocks are taken in and of which this is `left`.
fn end(mut state: State, left: &[u8], bytes: usize) -> [u8; DIGEST_BYTES] {
    let (last, count) = padding(left, bytes as u64);
    compress_one(&mut state, &last[..count]);
    digest(state)
}

fn blocks(leaf: &[u8; LEAF_BYTES]) -> &[Block] {
    leaf.as_chunks::<BLOCK_BYTES>().0
}

/// What each lane takes in: `inputs` in order, and the first of them once more where there are fewer than lanes. More
/// than lanes, of which the last is empty, are a full chunk without a short leaf.
fn in_lanes<'a>(inputs: impl Iterator<Item = &'a [Block]>) -> Inputs<'a> {
    let mut lanes: Inputs<'_> = [&[]; LANES];
    let mut used = 0;
    for (lane, input) in lanes.iter_mut().zip(inputs) {
        *lane = input;
        used += 1;
    }
    let first = lanes[0];
    lanes[used..].fill(first);
    lanes
}

fn write_digests(group: &LaneGroup, out: &mut [[u8; DIGEST_BYTES]]) {
    for (lane, out) in out.iter_mut().enumerate() {
        *out = group.digest(lane);
    }
}

/// The last blocks of a message of `bytes` bytes, which begin with what is `left` of it after its whole blocks; and how
/// many blocks they are.
///
/// # Panics
/// When a whole block is left.
pub(super) fn padding(left: &[u8], bytes: u64) -> ([Block; 2], usize) {
    assert!(left.len() < BLOCK_BYTES, "whole blocks need no padding");
    let mut last = [[0; BLOCK_BYTES]; 2];
    let count = (left.len() + PADDING_BYTES).div_ceil(BLOCK_BYTES);
    last[0][..left.len()].copy_from_slice(left);
    last[0][left.len()] = 0x80;
    let length = last[count - 1].last_chunk_mut().expect("a block is longer than a length");
    // Modulo 2^64, as the RFC says.
    *length = bytes.wrapping_mul(8).to_le_bytes();
    (last, count)
}
