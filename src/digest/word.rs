//! The words of MD5: 32 bits of one message, or of as many as there are lanes.

use fearless_simd::prelude::*;
use fearless_simd::u32x16;

/// A word of the state of one message, or of as many as there are lanes. What is mixed of three words is added to a sum: `b`
/// is the word that the step before has made, so whatever can do without it comes first.
pub(super) trait Word: Copy {
    /// Modulo 2^32.
    fn add(self, other: Self) -> Self;
    /// The same with a constant.
    fn add_sine(self, sine: u32) -> Self;
    /// Rotates to the left.
    fn turn(self, bits: u32) -> Self;
    /// `self + F(b, c, d)`, with `F = (b & c) | (!b & d)`.
    fn add_f(self, b: Self, c: Self, d: Self) -> Self;
    /// `self + G(b, c, d)`, with `G = (b & d) | (c & !d)`.
    fn add_g(self, b: Self, c: Self, d: Self) -> Self;
    /// `self + H(b, c, d)`, with `H = b ^ c ^ d`.
    fn add_h(self, b: Self, c: Self, d: Self) -> Self;
    /// `self + I(b, c, d)`, with `I = c ^ (b | !d)`.
    fn add_i(self, b: Self, c: Self, d: Self) -> Self;
}

impl Word for u32 {
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self.wrapping_add(other)
    }

    #[inline(always)]
    fn add_sine(self, sine: u32) -> Self {
        self.wrapping_add(sine)
    }

    #[inline(always)]
    fn turn(self, bits: u32) -> Self {
        self.rotate_left(bits)
    }

    #[inline(always)]
    fn add_f(self, b: Self, c: Self, d: Self) -> Self {
        self.wrapping_add(d ^ (b & (c ^ d)))
    }

    /// The two halves share no bit, so their sum is what the RFC has; only one of them waits for `b`.
    #[inline(always)]
    fn add_g(self, b: Self, c: Self, d: Self) -> Self {
        self.wrapping_add(c & !d).wrapping_add(b & d)
    }

    #[inline(always)]
    fn add_h(self, b: Self, c: Self, d: Self) -> Self {
        self.wrapping_add(b ^ (c ^ d))
    }

    #[inline(always)]
    fn add_i(self, b: Self, c: Self, d: Self) -> Self {
        self.wrapping_add(c ^ (b | !d))
    }
}

/// The other lanes hide what one waits for, so here the fewest operations are best.
impl<S: Simd> Word for u32x16<S> {
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self + other
    }

    #[inline(always)]
    fn add_sine(self, sine: u32) -> Self {
        self + sine
    }

    #[inline(always)]
    fn turn(self, bits: u32) -> Self {
        (self << bits) | (self >> (32 - bits))
    }

    #[inline(always)]
    fn add_f(self, b: Self, c: Self, d: Self) -> Self {
        self + (d ^ (b & (c ^ d)))
    }

    #[inline(always)]
    fn add_g(self, b: Self, c: Self, d: Self) -> Self {
        self + (c ^ (d & (b ^ c)))
    }

    #[inline(always)]
    fn add_h(self, b: Self, c: Self, d: Self) -> Self {
        self + (b ^ c ^ d)
    }

    #[inline(always)]
    fn add_i(self, b: Self, c: Self, d: Self) -> Self {
        self + (c ^ (b | !d))
    }
}
