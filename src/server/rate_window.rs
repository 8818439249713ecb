//! How fast totals grow, without a clock of its own: whoever comes by now and then leaves a mark.

use std::time::{Duration, Instant};

/// Below this a rate would say more of the moment than of what goes on.
const SPAN_MIN: Duration = Duration::from_millis(500);

/// Marks are at least so far apart.
const MARK_INTERVAL: Duration = Duration::from_secs(5);

/// Totals at two moments of late. One is between one and two [`MARK_INTERVAL`]s old, or as old as all of it.
#[derive(Debug)]
pub(super) struct RateWindow<T> {
    older: (Instant, T),
    newer: (Instant, T),
}

impl<T: Copy> RateWindow<T> {
    /// Begins at `now` with these totals.
    pub(super) fn new(now: Instant, totals: T) -> Self {
        Self { older: (now, totals), newer: (now, totals) }
    }

    /// Leaves a mark, if the last one is old enough.
    pub(super) fn mark(&mut self, now: Instant, totals: T) {
        if now.saturating_duration_since(self.newer.0) < MARK_INTERVAL {
            return;
        }
        self.older = std::mem::replace(&mut self.newer, (now, totals));
    }

    /// From where growth counts: the totals then, and the time since; `None` while that is too short.
    pub(super) fn since(&self, now: Instant) -> Option<(T, Duration)> {
        let (then, totals) = self.older;
        let span = now.saturating_duration_since(then);
        (span >= SPAN_MIN).then_some((totals, span))
    }
}

/// Growth per second.
pub(super) fn per_second(before: u64, now: u64, span: Duration) -> u64 {
    (now.saturating_sub(before) as f64 / span.as_secs_f64()) as u64
}

/// The share of the packets sent since then that were lost, 0 to 1; `None` when none were sent.
pub(super) fn share_lost(before: (u64, u64), (sent, lost): (u64, u64)) -> Option<f64> {
    let sent = sent.saturating_sub(before.0);
    (sent > 0).then(|| (lost.saturating_sub(before.1) as f64 / sent as f64).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn growth_counts_from_the_mark_before_the_last() {
        let start = Instant::now();
        let mut window = RateWindow::new(start, 0);
        assert_eq!(window.since(start + SPAN_MIN / 2), None, "too short");
        assert_eq!(window.since(start + SECOND), Some((0, SECOND)));
        window.mark(start + 5 * SECOND, 50);
        assert_eq!(window.since(start + 6 * SECOND), Some((0, 6 * SECOND)));
        window.mark(start + 10 * SECOND, 150);
        assert_eq!(window.since(start + 11 * SECOND), Some((50, 6 * SECOND)));
    }

    #[test]
    fn a_rate_is_growth_over_time_and_never_negative() {
        assert_eq!(per_second(50, 150, 4 * SECOND), 25);
        assert_eq!(per_second(150, 50, SECOND), 0);
    }

    #[test]
    fn loss_is_a_share_of_what_was_sent_since() {
        assert_eq!(share_lost((100, 10), (200, 15)), Some(0.05));
        assert_eq!(share_lost((100, 10), (100, 10)), None);
        assert_eq!(share_lost((200, 20), (10, 1)), None, "totals of another connection");
    }
}
