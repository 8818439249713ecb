//! Which code hashes the leaves of this process, and the proof that it may.
//!
//! What a processor, a hypervisor or a compiler makes of vector code cannot be known when it is written. So before
//! the first use it has to give the digests that `md-5` gives, in every lane; where it does not, `md-5` does the
//! work alone, which is slower and never wrong.

use std::fmt;
use std::sync::OnceLock;

use fearless_simd::Level;
use md5::{Digest as _, Md5};

use super::compress::{self, BLOCK_BYTES, Block, INITIAL, Inputs, LANES, LaneGroup, State};
use super::lanes::padding;

/// `QFT_MD5=scalar` leaves the vector registers alone.
const VARIABLE: &str = "QFT_MD5";
const SCALAR: &str = "scalar";

/// Blocks that each message of the self-test takes in before its padding: the second depends on the first.
const TEST_BLOCKS: usize = 2;
const TEST_BYTES: usize = TEST_BLOCKS * BLOCK_BYTES;

/// How the leaves of this process are hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// Sixteen at once, with this instruction set.
    Lanes(&'static str),
    /// One after the other, as `QFT_MD5=scalar` asks for.
    AskedScalar,
    /// One after the other: with this instruction set, the lanes gave a wrong digest on this machine.
    FailedLanes(&'static str),
}

impl Engine {
    /// The complaint for a user who has not asked; `None` while all is well.
    pub fn complaint(self) -> Option<String> {
        match self {
            Self::Lanes(_) | Self::AskedScalar => None,
            Self::FailedLanes(set) => Some(format!(
                "this processor's {set} instructions fail the self-test of hashing, so they are not used and hashing \
                 is slower; test this machine's processor and memory"
            )),
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lanes(set) => write!(f, "MD5, {LANES} leaves at once ({set}), self-test passed"),
            Self::AskedScalar => write!(f, "MD5, one leaf at a time ({VARIABLE}={SCALAR})"),
            Self::FailedLanes(set) => write!(f, "MD5, one leaf at a time: {set} failed the self-test"),
        }
    }
}

/// How the leaves of this process are hashed. The first call tests the lanes, which takes some ten microseconds.
pub fn engine() -> Engine {
    chosen().0
}

/// The vector unit of the lanes, where they may be used.
pub(super) fn level() -> Option<Level> {
    chosen().1
}

fn chosen() -> (Engine, Option<Level>) {
    static CHOSEN: OnceLock<(Engine, Option<Level>)> = OnceLock::new();
    *CHOSEN.get_or_init(|| {
        let is_scalar_asked = std::env::var_os(VARIABLE).is_some_and(|value| value == SCALAR);
        let level = Level::new();
        choose(is_scalar_asked, level, || passes(level))
    })
}

fn choose(is_scalar_asked: bool, level: Level, passes: impl FnOnce() -> bool) -> (Engine, Option<Level>) {
    let set = instruction_set(level);
    match is_scalar_asked {
        true => (Engine::AskedScalar, None),
        false if passes() => (Engine::Lanes(set), Some(level)),
        false => (Engine::FailedLanes(set), None),
    }
}

/// The name of an instruction set, as its makers write it.
fn instruction_set(level: Level) -> &'static str {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    {
        if level.as_avx512().is_some() {
            return "AVX-512";
        }
        if level.as_avx2().is_some() {
            return "AVX2";
        }
        if level.as_sse4_2().is_some() {
            return "SSE4.2";
        }
        if level.as_sse2().is_some() {
            return "SSE2";
        }
    }
    #[cfg(target_arch = "aarch64")]
    if level.as_neon().is_some() {
        return "NEON";
    }
    if level.is_fallback() { "scalar" } else { "SIMD" }
}

/// The self-test of all that one instruction set is used for, and of what hashes a single leaf.
pub(super) fn passes(level: Level) -> bool {
    let single = is_right_alone(compress::compress_one);
    let alone = is_right(|groups, inputs| compress::compress::<1>(level, groups, inputs));
    let in_pairs = || is_right(|groups, inputs| compress::compress::<2>(level, groups, inputs));
    single && alone && (!compress::is_better_in_pairs(level) || in_pairs())
}

/// The same as [`is_right`] for what takes one message at a time.
fn is_right_alone(compress_one: impl Fn(&mut State, &[Block])) -> bool {
    let message = message(0);
    let mut state = INITIAL;
    compress_one(&mut state, message.as_chunks().0);
    let (last, count) = padding(&[], TEST_BYTES as u64);
    compress_one(&mut state, &last[..count]);
    compress::digest(state)[..] == Md5::digest(message)[..]
}

/// Whether `compress` gives the digests that `md-5` gives, for messages that are all different.
pub(super) fn is_right<const GROUPS: usize>(
    compress: impl Fn(&mut [LaneGroup; GROUPS], &[Inputs<'_>; GROUPS]),
) -> bool {
    let messages: Vec<[u8; TEST_BYTES]> = (0..GROUPS * LANES).map(message).collect();
    let mut groups = [LaneGroup::new(INITIAL); GROUPS];
    let blocks = |message: usize| messages[message].as_chunks::<BLOCK_BYTES>().0;
    compress(&mut groups, &std::array::from_fn(|group| std::array::from_fn(|lane| blocks(group * LANES + lane))));
    let (last, count) = padding(&[], TEST_BYTES as u64);
    compress(&mut groups, &[[&last[..count]; LANES]; GROUPS]);
    let digest = |message: usize| groups[message / LANES].digest(message % LANES);
    messages.iter().enumerate().all(|(at, message)| digest(at)[..] == Md5::digest(message)[..])
}

/// The message of one lane: bytes without a pattern (the upper bits of a linear congruential generator).
fn message(lane: usize) -> [u8; TEST_BYTES] {
    let mut state = lane as u64;
    std::array::from_fn(|_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    })
}

/// Every instruction set of this machine.
#[cfg(any(test, feature = "testing"))]
pub(super) fn levels() -> Vec<Level> {
    let best = Level::new();
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    let narrower =
        [best.as_avx2().map(Level::Avx2), best.as_sse4_2().map(Level::Sse4_2), best.as_sse2().map(Level::Sse2)];
    #[cfg(not(any(target_arch = "x86", target_arch = "x86_64")))]
    let narrower: [Option<Level>; 0] = [];
    narrower.into_iter().flatten().chain([best]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_instruction_set_of_this_machine_passes_the_self_test() {
        for level in levels() {
            assert!(passes(level), "{}", instruction_set(level));
        }
    }

    #[test]
    fn one_wrong_bit_in_one_lane_fails_the_self_test() {
        let level = Level::new();
        for lane in 0..2 * LANES {
            let wrong = |groups: &mut [LaneGroup; 2], inputs: &[Inputs<'_>; 2]| {
                compress::compress(level, groups, inputs);
                let mut state = groups[lane / LANES].state(lane % LANES);
                state[3] ^= 1 << 31;
                groups[lane / LANES].set_state(lane % LANES, state);
            };
            assert!(!is_right(wrong), "lane {lane}");
        }
    }

    #[test]
    fn one_wrong_bit_of_a_single_message_fails_the_self_test() {
        let wrong = |state: &mut State, blocks: &[Block]| {
            compress::compress_one(state, blocks);
            state[0] ^= 1;
        };
        assert!(!is_right_alone(wrong));
    }

    #[test]
    fn lanes_that_are_exchanged_fail_the_self_test() {
        let level = Level::new();
        let exchanged = |groups: &mut [LaneGroup; 1], inputs: &[Inputs<'_>; 1]| {
            let mut inputs = *inputs;
            inputs[0].swap(3, 11);
            compress::compress(level, groups, &inputs);
        };
        assert!(!is_right(exchanged));
    }

    #[test]
    fn lanes_that_fail_are_not_used_and_the_user_hears_of_it() {
        let level = Level::new();
        let (engine, used) = choose(false, level, || false);
        assert_eq!((engine, used.is_none()), (Engine::FailedLanes(instruction_set(level)), true));
        let complaint = engine.complaint().expect("something to say");
        assert!(complaint.contains("fail the self-test") && !complaint.contains('\n'), "{complaint}");
        assert!(engine.to_string().contains("failed the self-test"), "{engine}");
    }

    #[test]
    fn who_asks_for_scalar_code_gets_it_without_a_word() {
        let (engine, used) = choose(true, Level::new(), || panic!("what is not used is not tested"));
        assert_eq!((engine, used.is_none(), engine.complaint()), (Engine::AskedScalar, true, None));
    }

    #[test]
    fn lanes_that_pass_are_used() {
        let (engine, used) = choose(false, Level::new(), || true);
        assert!(matches!(engine, Engine::Lanes(_)) && used.is_some() && engine.complaint().is_none());
    }
}
