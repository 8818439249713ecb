//! MD5's compression function (RFC 1321, 3.4) over sixteen messages at once, and over one.
//!
//! One message is a chain in which every step waits for the one before, so a processor idles; sixteen messages
//! side by side fill its vector registers. The code is safe: the instructions of each processor are behind
//! `fearless_simd`, which compiles the one text below for each of them and picks at run time.

use std::array;

use fearless_simd::prelude::*;
use fearless_simd::{Level, dispatch, u8x64, u32x16};

use super::word::Word;

/// Messages in one group. On a processor with narrower registers a group takes two or four of them.
pub(super) const LANES: usize = 16;
/// MD5 works in blocks of this many bytes.
pub(super) const BLOCK_BYTES: usize = 64;
/// Words of a block, and of 32 bits.
const BLOCK_WORDS: usize = 16;

/// One block of one message.
pub(super) type Block = [u8; BLOCK_BYTES];
/// The state of one message.
pub(super) type State = [u32; 4];

/// The state of a message before its first block.
pub(super) const INITIAL: State = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];

/// The states of a group of messages: each word of all lanes side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LaneGroup([[u32; LANES]; 4]);

impl LaneGroup {
    /// All messages in the same state.
    pub(super) fn new(state: State) -> Self {
        Self(state.map(|word| [word; LANES]))
    }

    /// The state of one message.
    pub(super) fn state(&self, lane: usize) -> State {
        self.0.map(|words| words[lane])
    }

    /// Puts one message into a state.
    #[cfg(test)]
    pub(super) fn set_state(&mut self, lane: usize, state: State) {
        for (words, word) in self.0.iter_mut().zip(state) {
            words[lane] = word;
        }
    }

    /// The digest of one message that has taken in its padding.
    pub(super) fn digest(&self, lane: usize) -> [u8; 16] {
        digest(self.state(lane))
    }
}

/// The digest of a message that has taken in its padding.
pub(super) fn digest(state: State) -> [u8; 16] {
    let mut digest = [0; 16];
    for (bytes, word) in digest.chunks_exact_mut(4).zip(state) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    digest
}

/// One message takes in blocks, in no lane.
pub(super) fn compress_one(state: &mut State, blocks: &[Block]) {
    let mut states = [*state];
    for block in blocks {
        let (words, _) = block.as_chunks();
        rounds(&mut states, &[array::from_fn(|word| u32::from_le_bytes(words[word]))]);
    }
    [*state] = states;
}

/// What each message of a group takes in: all equally many blocks.
pub(super) type Inputs<'a> = [&'a [Block]; LANES];

/// Whether two groups at once are faster than one after the other: where one fills no more than a register for
/// each word. The second then hides the latency of the first; elsewhere both would not fit into the registers.
pub(super) fn is_better_in_pairs(level: Level) -> bool {
    dispatch!(level, simd => lanes_of(simd)) == LANES
}

#[inline(always)]
fn lanes_of<S: Simd>(_: S) -> usize {
    S::u32s::LEN
}

/// Each message takes in its blocks; `GROUPS` groups are interleaved.
///
/// # Panics
/// When the messages of all groups do not have equally many blocks.
pub(super) fn compress<const GROUPS: usize>(
    level: Level,
    groups: &mut [LaneGroup; GROUPS],
    inputs: &[Inputs<'_>; GROUPS],
) {
    let blocks = inputs[0][0].len();
    let is_even = inputs.as_flattened().iter().all(|input| input.len() == blocks);
    assert!(is_even, "the messages of a group advance in step");
    dispatch!(level, simd => take_in(simd, groups, inputs, blocks));
}

#[inline(always)]
fn take_in<S: Simd, const GROUPS: usize>(
    simd: S,
    groups: &mut [LaneGroup; GROUPS],
    inputs: &[Inputs<'_>; GROUPS],
    blocks: usize,
) {
    let mut states = groups.map(|group| group.0.map(|words| u32x16::load_array(simd, words)));
    #[expect(clippy::needless_range_loop, reason = "the blocks of all messages are walked in step")]
    for at in 0..blocks {
        let words: [_; GROUPS] =
            array::from_fn(|group| transpose(simd, array::from_fn(|lane| &inputs[group][lane][at])));
        rounds(&mut states, &words);
    }
    for (group, state) in groups.iter_mut().zip(states) {
        group.0 = state.map(|words| words.to_array());
    }
}

/// Turns a block of each message into the words of all messages: the first words, the second words, and so on.
#[inline(always)]
fn transpose<S: Simd>(simd: S, blocks: [&Block; LANES]) -> [u32x16<S>; BLOCK_WORDS] {
    const HALF: usize = LANES / 2;
    let mut rows = blocks.map(|block| u32x16::from_bytes(u8x64::load_array_ref(simd, block)));
    // Zipping the upper half of the rows into the lower one moves the topmost bit of the row's number to the lowest
    // bit of the column's, and the column's topmost to the row's lowest. Four times, and the two are exchanged.
    for _ in 0..LANES.ilog2() {
        let before = rows;
        for row in 0..HALF {
            rows[2 * row] = before[row].zip_low(before[row + HALF]);
            rows[2 * row + 1] = before[row].zip_high(before[row + HALF]);
        }
    }
    rows
}

/// Four steps, which turn the roles of the four words of a state once around: `$first` is the number of the first,
/// the words of the block and the distances of the rotations follow.
macro_rules! steps {
    ($states:ident, $words:ident, $add_mix:ident, $first:literal, [$w0:literal $w1:literal $w2:literal $w3:literal], [$s0:literal $s1:literal $s2:literal $s3:literal]) => {
        step($states, $words, W::$add_mix, [0, 1, 2, 3], $w0, SINES[$first], $s0);
        step($states, $words, W::$add_mix, [3, 0, 1, 2], $w1, SINES[$first + 1], $s1);
        step($states, $words, W::$add_mix, [2, 3, 0, 1], $w2, SINES[$first + 2], $s2);
        step($states, $words, W::$add_mix, [1, 2, 3, 0], $w3, SINES[$first + 3], $s3);
    };
}

/// The four rounds of one block.
#[inline(always)]
fn rounds<W: Word, const GROUPS: usize>(states: &mut [[W; 4]; GROUPS], words: &[[W; BLOCK_WORDS]; GROUPS]) {
    let mut new = *states;
    let next = &mut new;
    steps!(next, words, add_f, 0, [0 1 2 3], [7 12 17 22]);
    steps!(next, words, add_f, 4, [4 5 6 7], [7 12 17 22]);
    steps!(next, words, add_f, 8, [8 9 10 11], [7 12 17 22]);
    steps!(next, words, add_f, 12, [12 13 14 15], [7 12 17 22]);

    steps!(next, words, add_g, 16, [1 6 11 0], [5 9 14 20]);
    steps!(next, words, add_g, 20, [5 10 15 4], [5 9 14 20]);
    steps!(next, words, add_g, 24, [9 14 3 8], [5 9 14 20]);
    steps!(next, words, add_g, 28, [13 2 7 12], [5 9 14 20]);

    steps!(next, words, add_h, 32, [5 8 11 14], [4 11 16 23]);
    steps!(next, words, add_h, 36, [1 4 7 10], [4 11 16 23]);
    steps!(next, words, add_h, 40, [13 0 3 6], [4 11 16 23]);
    steps!(next, words, add_h, 44, [9 12 15 2], [4 11 16 23]);

    steps!(next, words, add_i, 48, [0 7 14 5], [6 10 15 21]);
    steps!(next, words, add_i, 52, [12 3 10 1], [6 10 15 21]);
    steps!(next, words, add_i, 56, [8 15 6 13], [6 10 15 21]);
    steps!(next, words, add_i, 60, [4 11 2 9], [6 10 15 21]);
    for (state, new) in states.as_flattened_mut().iter_mut().zip(new.as_flattened()) {
        *state = state.add(*new);
    }
}

/// One step of all groups: what stands in the RFC as `a = b + ((a + mix(b, c, d) + word + sine) <<< turn)`.
#[inline(always)]
fn step<W: Word, const GROUPS: usize>(
    states: &mut [[W; 4]; GROUPS],
    words: &[[W; BLOCK_WORDS]; GROUPS],
    add_mix: impl Fn(W, W, W, W) -> W,
    [a, b, c, d]: [usize; 4],
    word: usize,
    sine: u32,
    turn: u32,
) {
    for (state, words) in states.iter_mut().zip(words) {
        let sum = state[a].add(words[word].add_sine(sine));
        state[a] = state[b].add(add_mix(sum, state[b], state[c], state[d]).turn(turn));
    }
}

/// The constants of the steps: `floor(2^32 * |sin(n)|)` for n from 1 to 64, in radians.
#[rustfmt::skip]
const SINES: [u32; 64] = [
    0xd76a_a478, 0xe8c7_b756, 0x2420_70db, 0xc1bd_ceee, 0xf57c_0faf, 0x4787_c62a, 0xa830_4613, 0xfd46_9501,
    0x6980_98d8, 0x8b44_f7af, 0xffff_5bb1, 0x895c_d7be, 0x6b90_1122, 0xfd98_7193, 0xa679_438e, 0x49b4_0821,
    0xf61e_2562, 0xc040_b340, 0x265e_5a51, 0xe9b6_c7aa, 0xd62f_105d, 0x0244_1453, 0xd8a1_e681, 0xe7d3_fbc8,
    0x21e1_cde6, 0xc337_07d6, 0xf4d5_0d87, 0x455a_14ed, 0xa9e3_e905, 0xfcef_a3f8, 0x676f_02d9, 0x8d2a_4c8a,
    0xfffa_3942, 0x8771_f681, 0x6d9d_6122, 0xfde5_380c, 0xa4be_ea44, 0x4bde_cfa9, 0xf6bb_4b60, 0xbebf_bc70,
    0x289b_7ec6, 0xeaa1_27fa, 0xd4ef_3085, 0x0488_1d05, 0xd9d4_d039, 0xe6db_99e5, 0x1fa2_7cf8, 0xc4ac_5665,
    0xf429_2244, 0x432a_ff97, 0xab94_23a7, 0xfc93_a039, 0x655b_59c3, 0x8f0c_cc92, 0xffef_f47d, 0x8584_5dd1,
    0x6fa8_7e4f, 0xfe2c_e6e0, 0xa301_4314, 0x4e08_11a1, 0xf753_7e82, 0xbd3a_f235, 0x2ad7_d2bb, 0xeb86_d391,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_constants_are_the_sines_of_the_rfc() {
        for (sine, n) in SINES.iter().zip(1_u32..) {
            let exact = f64::from(n).sin().abs() * 4_294_967_296.0;
            assert_eq!(*sine, exact as u32, "step {n}");
        }
    }

    #[test]
    #[should_panic(expected = "advance in step")]
    fn messages_that_do_not_advance_in_step_are_a_bug_of_the_caller() {
        let blocks = [[0; BLOCK_BYTES]; 2];
        let mut inputs: Inputs<'_> = [&blocks; LANES];
        inputs[7] = &blocks[..1];
        compress(Level::new(), &mut [LaneGroup::new(INITIAL)], &[inputs]);
    }
}
