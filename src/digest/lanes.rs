//! Leaves in SIMD lanes.
//!
//! The engine is at its best when whole groups of lanes take in equally many whole blocks; uneven calls cost it
//! a factor of four. So it only ever sees even ones: leaves are padded to full groups with repetitions whose
//! digests nobody reads, and a short last leaf is taken out where it ends.

use md5_many::{Md5Many, Md5State};

use super::{DIGEST_BYTES, LEAF_BYTES, SALT_BYTES, Salt, WINDOW_LEAVES};

/// MD5 works in blocks of this many bytes; the salt is one.
const BLOCK_BYTES: usize = SALT_BYTES;
/// Groups of lanes in one call, interleaved to hide the latency of one behind the other. The engine can do
/// three, which is no faster for leaves and leaves the fourth group of two chunks alone, at half the speed.
const GROUPS_INTERLEAVED: usize = 2;

/// The lanes of this processor, and the state that every leaf starts from.
#[derive(Debug, Clone)]
pub(super) struct Lanes {
    engine: Md5Many,
    /// Has taken in the salt, which is one whole block: nothing is left in its buffer.
    salted: Md5State,
}

impl Lanes {
    pub(super) fn new(salt: &Salt) -> Self {
        let mut salted = Md5State::new();
        salted.update(&salt.0);
        Self { engine: Md5Many::new(), salted }
    }

    /// Writes the digest of each leaf of `data` to the front of `out`; returns how many there are.
    ///
    /// # Panics
    /// When `data` has more leaves than `out` has places, or more than a window.
    pub(super) fn leaves(&self, data: &[u8], out: &mut [[u8; DIGEST_BYTES]]) -> usize {
        let mut states = [self.salted; WINDOW_LEAVES];
        let count = data.len().div_ceil(LEAF_BYTES);
        if count <= 1 {
            states[0].update(data);
        } else {
            self.take_in(data, &mut states);
        }
        self.engine.finalize_many(&states[..count], &mut out[..count]);
        count
    }

    fn take_in(&self, data: &[u8], states: &mut [Md5State; WINDOW_LEAVES]) {
        let (full, short) = data.as_chunks::<LEAF_BYTES>();
        // All leaves together as far as the short one has whole blocks, then the full ones alone.
        let split = short.len() - short.len() % BLOCK_BYTES;
        if split > 0 {
            let leaves = full.iter().map(|leaf| &leaf[..split]).chain([&short[..split]]);
            self.in_step(leaves, states);
        }
        // The step that follows writes over the short leaf's place when it pads.
        let at_split = states.get(full.len()).copied();
        self.in_step(full.iter().map(|leaf| &leaf[split..]), states);
        if let (Some(mut state), false) = (at_split, short.is_empty()) {
            state.update(&short[split..]);
            states[full.len()] = state;
        }
    }

    /// Appends one of `parts` to each state. All are equally long, whole blocks.
    ///
    /// States behind the last part may take in something as well: padding.
    fn in_step<'a>(&self, parts: impl Iterator<Item = &'a [u8]>, states: &mut [Md5State; WINDOW_LEAVES]) {
        let mut inputs: [&[u8]; WINDOW_LEAVES] = [&[]; WINDOW_LEAVES];
        let mut count = 0_usize;
        for (input, part) in inputs.iter_mut().zip(parts) {
            *input = part;
            count += 1;
        }
        let lanes = self.engine.lanes();
        let groups = count.div_ceil(lanes);
        let padded = (groups * lanes).min(WINDOW_LEAVES);
        let repeated = inputs[0];
        inputs[count..padded].fill(repeated);

        // Evenly: a lone group runs at half the speed.
        let calls = groups.div_ceil(GROUPS_INTERLEAVED);
        let at_once = groups.div_ceil(calls) * lanes;
        let states = states[..padded].chunks_mut(at_once);
        for (states, inputs) in states.zip(inputs[..padded].chunks(at_once)) {
            self.engine.update_many(states, inputs);
        }
    }
}
