//! A policer: a token bucket without a queue, as mobile and cable plans have.

/// What it lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policer {
    /// Bits per second, IP headers included.
    pub rate: u64,
    /// Bytes that may come at once.
    pub burst: u64,
}

/// What is left in the bucket.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tokens {
    /// Bytes, and when that was; `None` = the bucket is full.
    level: Option<(f64, u64)>,
}

impl Tokens {
    /// Takes so many bytes at `now` (nanoseconds), if they are there.
    pub(super) fn take(&mut self, policer: &Policer, now: u64, bytes: u64) -> bool {
        let burst = policer.burst as f64;
        let (level, at) = self.level.unwrap_or((burst, now));
        let filled = level + policer.rate as f64 / 8.0 * (now - at) as f64 / 1e9;
        let level = filled.min(burst);
        let is_there = level >= bytes as f64;
        self.level = Some((if is_there { level - bytes as f64 } else { level }, now));
        is_there
    }
}
