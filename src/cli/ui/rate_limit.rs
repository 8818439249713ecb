//! The user's rate limit, and how often a transfer has reached it.

use std::time::{Duration, Instant};

/// Rates are told over so long: what was written is reported a few times a second.
const PERIOD: Duration = Duration::from_secs(1);
/// The share of a rate limit that counts as all of it: overhead takes some of it, and reports come late.
pub(super) const OF_LIMIT: f64 = 0.8;

/// How often content moved as fast as the user allowed, second by second.
#[derive(Debug, Clone, Default)]
pub(crate) struct RateLimit {
    /// Bytes per second; `None` is no limit.
    limit: Option<f64>,
    /// The start of this period, and the bytes that had moved then.
    from: Option<(Instant, u64)>,
    moving: u32,
    full: u32,
}

impl RateLimit {
    pub(crate) fn new(limit: Option<f64>) -> Self {
        Self { limit, ..Self::default() }
    }

    /// `None` is no limit.
    pub(super) fn bytes_per_second(&self) -> Option<f64> {
        self.limit
    }

    /// So many bytes of content have moved by now.
    pub(crate) fn look(&mut self, now: Instant, bytes: u64) {
        let Some(limit) = self.limit else { return };
        let (since, before) = *self.from.get_or_insert((now, bytes));
        let span = now.saturating_duration_since(since);
        if span < PERIOD {
            return;
        }
        let moved = bytes.saturating_sub(before) as f64;
        self.moving += u32::from(moved > 0.0);
        self.full += u32::from(moved >= OF_LIMIT * limit * span.as_secs_f64());
        self.from = Some((now, bytes));
    }

    /// Of the periods in which content moved, the part that reached the limit.
    pub(super) fn reached(&self) -> f64 {
        f64::from(self.full) / f64::from(self.moving.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_limit_is_reached_by_the_seconds_that_reach_it_whatever_came_before_and_after() {
        let (start, mut watch) = (Instant::now(), RateLimit::new(Some(1000.0)));
        let bytes = [0, 0, 0, 1000, 1950, 2900, 3000, 3000, 3000];
        (0..).zip(bytes).for_each(|(n, bytes)| watch.look(start + n * SECOND, bytes));
        assert_eq!(watch.reached(), 0.75);
        let mut none = RateLimit::new(None);
        (0..10).for_each(|n| none.look(start + n * SECOND, u64::from(n) << 30));
        assert_eq!(none.reached(), 0.0);
    }
}
