//! Sharing with senders that fill every queue: CUBIC's window (RFC 9438), taken only while they are there.
//!
//! A delay-based sender starves beside a loss-based one (Copa, section 2.2). While another holds the queue we take the
//! share that CUBIC would, and test from time to time whether it is still there.

use std::time::{Duration, Instant};

/// CUBIC's constants.
const C: f64 = 0.4;
const BETA: f64 = 0.7;
/// Packets per round that keep Reno's average at this beta: 3 (1 - beta) / (1 + beta).
const FRIENDLY_STEP: f64 = 3.0 * (1.0 - BETA) / (1.0 + BETA);
/// Growth per round at most: half as much again, as the RFC bounds it.
const GROWTH_MAX: f64 = 1.5;
/// Growth per round of the search; slow start would lose half a window to find out.
const SEARCH_GROWTH: f64 = 1.2;
/// The search ends at the first loss at which we have this part of the path...
const SEARCH_SHARE: f64 = 1.0 / 3.0;
/// ... or at the last of so many losses. A loss makes room, since everyone gives up three tenths and takes many seconds to
/// come back for them; a flow that came late and got little can use it.
const SEARCH_LOSSES: u32 = 3;
/// After so long the queue is drained to see whether the competitor is still there; twice as long each time it is.
const SPAN: Duration = Duration::from_secs(4);
const SPAN_MAX: Duration = Duration::from_secs(30);
/// In round trips at least this.
const SPAN_ROUNDS: u32 = 40;
/// The test follows a loss, when every competitor has just backed off: two of our flows that take each other for
/// strangers then find the queue empty together. Without any loss it comes after so many spans.
const PATIENCE: u32 = 3;
/// So many tests in a row must find nobody: after a loss, a competitor may leave the queue empty for a moment.
const PASSES: u32 = 2;

/// A CUBIC window in bytes.
#[derive(Debug, Clone)]
pub(super) struct Contest {
    window: f64,
    window_max: f64,
    /// What Reno would have by now: on short paths the cubic curve is slower than that, and CUBIC takes the larger.
    friendly: f64,
    epoch: Instant,
    reduced_at: Instant,
    /// Losses until the search is over: how much there is to take is not known yet.
    search_losses: u32,
    tested: Instant,
    passed: u32,
}

impl Contest {
    pub(super) fn new(now: Instant, window: f64) -> Self {
        Self {
            window,
            window_max: window,
            friendly: window,
            epoch: now,
            reduced_at: now,
            search_losses: SEARCH_LOSSES,
            tested: now,
            passed: 0,
        }
    }

    pub(super) fn window(&self) -> f64 {
        self.window
    }

    fn is_searching(&self) -> bool {
        self.search_losses > 0
    }

    /// Follows the cubic curve.
    pub(super) fn on_round(&mut self, now: Instant, mtu: f64) {
        if self.is_searching() {
            self.window *= SEARCH_GROWTH;
            return;
        }
        let packets_max = self.window_max / mtu;
        let k = (packets_max * (1.0 - BETA) / C).cbrt();
        let t = now.saturating_duration_since(self.epoch).as_secs_f64();
        let cubic = (C * (t - k).powi(3) + packets_max) * mtu;
        self.friendly += FRIENDLY_STEP * mtu;
        self.window = cubic.max(self.friendly).clamp(self.window, self.window * GROWTH_MAX);
    }

    /// A loss above the path's own: at most one reduction for what was sent before the last one. `share` is our part of
    /// the path.
    pub(super) fn on_loss(&mut self, now: Instant, sent: Instant, share: f64) {
        if sent <= self.reduced_at {
            return;
        }
        self.reduced_at = now;
        self.search_losses = if share < SEARCH_SHARE { self.search_losses.saturating_sub(1) } else { 0 };
        self.epoch = now;
        self.window_max = self.window;
        self.window *= BETA;
        self.friendly = self.window;
    }

    /// Whether to drain the queue now, at the end of a round that began at `round_began`.
    pub(super) fn is_test_due(&self, now: Instant, round_began: Instant, span: Span, rtt: Duration) -> bool {
        let span = span.0.max(rtt * SPAN_ROUNDS);
        let since = now.saturating_duration_since(self.tested);
        let reduced = !self.is_searching() && self.reduced_at >= round_began;
        since > span * PATIENCE || (since > span && reduced)
    }

    /// A test found nobody. Says whether that is enough to end the contest.
    pub(super) fn on_quiet(&mut self, now: Instant) -> bool {
        self.tested = now;
        self.passed += 1;
        self.passed >= PASSES
    }

    /// A test found the competitor.
    pub(super) fn on_foreign(&mut self, now: Instant) {
        self.tested = now;
        self.passed = 0;
    }
}

/// Time between two tests; outlives a contest, since the competitor may come back.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span(Duration);

impl Span {
    pub(super) fn new() -> Self {
        Self(SPAN)
    }

    pub(super) fn double(&mut self) {
        self.0 = (self.0 * 2).min(SPAN_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MTU: f64 = 1000.0;
    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn it_searches_until_a_loss_and_backs_off_once_per_round_trip() {
        let now = Instant::now();
        let mut contest = Contest::new(now, 100.0 * MTU);
        contest.on_round(now + SECOND, MTU);
        assert_eq!(contest.window(), 120.0 * MTU);
        contest.on_loss(now + 2 * SECOND, now + SECOND, 0.5);
        contest.on_loss(now + 3 * SECOND, now + SECOND, 0.5);
        assert!((contest.window() - 84.0 * MTU).abs() < 1.0, "{}", contest.window());
        assert!(!contest.is_searching());
    }

    #[test]
    fn a_small_flow_goes_on_searching_in_the_room_that_a_loss_made() {
        let now = Instant::now();
        let mut contest = Contest::new(now, 100.0 * MTU);
        for loss in 1..SEARCH_LOSSES {
            contest.on_loss(now + 2 * loss * SECOND, now + (2 * loss - 1) * SECOND, 0.1);
            assert!(contest.is_searching());
        }
        contest.on_loss(now + 60 * SECOND, now + 59 * SECOND, 0.1);
        assert!(!contest.is_searching());
    }

    #[test]
    fn it_comes_back_to_the_old_maximum_at_k() {
        let now = Instant::now();
        let mut contest = Contest::new(now, 1000.0 * MTU);
        contest.on_loss(now + SECOND, now + SECOND, 0.5);
        let k = Duration::from_secs_f64((300.0_f64 / C).cbrt());
        for step in 1..=20 {
            contest.on_round(now + SECOND + k * step / 20, MTU);
        }
        assert!((contest.window() / (1000.0 * MTU) - 1.0).abs() < 0.01, "{}", contest.window());
    }

    #[test]
    fn it_tests_after_a_loss_or_when_patience_ends() {
        let now = Instant::now();
        let mut contest = Contest::new(now, 100.0 * MTU);
        let due = |contest: &Contest, at: u32| {
            contest.is_test_due(now + at * SECOND, now + (at - 1) * SECOND, Span::new(), SECOND / 100)
        };
        assert!(!due(&contest, 5));
        assert!(due(&contest, 13));
        contest.on_loss(now + 5 * SECOND, now + 4 * SECOND, 0.5);
        assert!(due(&contest, 5));
        assert!(!due(&contest, 7));
        assert!(!contest.on_quiet(now + 5 * SECOND));
        assert!(contest.on_quiet(now + 10 * SECOND));
    }
}
