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
/// The window is at most so many times what arrived in the last round trip, and some packets: whatever losses are taken for,
/// no more than that part is lost.
const DELIVERED_MAX: f64 = 1.5;
const DELIVERED_PACKETS: f64 = 4.0;
/// The search ends at the first loss at which we have this part of the path...
const SEARCH_SHARE: f64 = 1.0 / 3.0;
/// ... or at the last of so many losses. A loss makes room, since everyone gives up three tenths and takes many seconds to
/// come back for them; a flow that came late and got little can use it.
const SEARCH_LOSSES: u32 = 3;
/// So many tests in a row must find nobody: after a loss, a competitor may leave the queue empty for a moment.
const PASSES: u32 = 2;
/// Each contest that begins so soon after another one shows that the last tests were wrong, and wants twice as many...
const RELAPSE: Duration = Duration::from_secs(20);
/// ... up to this.
const PASSES_MAX: u32 = 8;
/// A queue that was so many times what we held of it went because others stood aside at the same moment. Only our kind does.
const JOINT: f64 = 2.0;

/// A CUBIC window in bytes.
#[derive(Debug, Clone)]
pub(super) struct CompetitiveMode {
    window: f64,
    window_max: f64,
    /// What Reno would have by now: on short paths the cubic curve is slower than that, and CUBIC takes the larger.
    friendly: f64,
    samples: Instant,
    reduced_at: Instant,
    /// Losses until the search is over: how much there is to take is not known yet.
    search_losses: u32,
    /// Tests that must find nobody, and how many of them are still to come.
    passes: u32,
    passes_left: u32,
    last: CompetitiveRound,
}

/// What the last round of competitive mode showed, before a test.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct CompetitiveRound {
    /// Bytes per second that we got.
    pub(super) rate: f64,
    pub(super) queue: Duration,
    /// The round trip with it.
    pub(super) rtt: Duration,
}

impl CompetitiveMode {
    pub(super) fn new(now: Instant, window: f64, passes: u32) -> Self {
        Self {
            window,
            window_max: window,
            friendly: window,
            samples: now,
            reduced_at: now,
            search_losses: SEARCH_LOSSES,
            passes,
            passes_left: passes,
            last: CompetitiveRound::default(),
        }
    }

    pub(super) fn window(&self) -> f64 {
        self.window
    }

    /// What there is to take is not looked for.
    pub(super) fn end_search(&mut self) {
        self.search_losses = 0;
    }

    fn is_searching(&self) -> bool {
        self.search_losses > 0
    }

    pub(super) fn last(&self) -> CompetitiveRound {
        self.last
    }

    /// Follows the cubic curve. `stake`: what the round showed, unless it says more of the test before it.
    pub(super) fn on_round(&mut self, now: Instant, mtu: f64, sample: Option<CompetitiveRound>) {
        self.last = sample.unwrap_or(self.last);
        if self.is_searching() {
            self.window = (self.window * SEARCH_GROWTH).min(self.bound(mtu));
            return;
        }
        let packets_max = self.window_max / mtu;
        let k = (packets_max * (1.0 - BETA) / C).cbrt();
        let t = now.saturating_duration_since(self.samples).as_secs_f64();
        let cubic = (C * (t - k).powi(3) + packets_max) * mtu;
        self.friendly += FRIENDLY_STEP * mtu;
        let window = cubic.max(self.friendly).clamp(self.window, self.window * GROWTH_MAX);
        self.window = window.min(self.bound(mtu));
    }

    /// What arrives in a round trip is in flight; of much more than that, the rest is only lost.
    fn bound(&self, mtu: f64) -> f64 {
        if self.last.rate <= 0.0 {
            return f64::MAX;
        }
        DELIVERED_MAX * self.last.rate * self.last.rtt.as_secs_f64() + DELIVERED_PACKETS * mtu
    }

    /// A loss above the path's own: at most one reduction for what was sent before the last one. `share` is our part of
    /// the path.
    pub(super) fn on_loss(&mut self, now: Instant, sent: Instant, share: f64) {
        if sent <= self.reduced_at {
            return;
        }
        self.reduced_at = now;
        self.search_losses = if share < SEARCH_SHARE { self.search_losses.saturating_sub(1) } else { 0 };
        self.samples = now;
        self.window_max = self.window;
        self.window *= BETA;
        self.friendly = self.window;
    }

    /// A test found nobody. Says whether that is enough to end competitive mode. `capacity`: of the whole path, in
    /// bytes per second; `target`: the queue that our kind holds.
    pub(super) fn on_quiet(&mut self, capacity: f64, target: Duration) -> bool {
        let ours = Duration::from_secs_f64(self.window / capacity.max(1.0));
        let joint = self.last.queue > (ours + target).mul_f64(JOINT);
        self.passes_left = if joint { 0 } else { self.passes_left.saturating_sub(1) };
        self.passes_left == 0
    }

    /// A test found the competitor.
    pub(super) fn on_foreign(&mut self) {
        self.passes_left = self.passes;
    }
}

/// How far the tests that ended earlier competitive modes are to be trusted.
#[derive(Debug, Clone, Copy)]
pub(super) struct TestTrust {
    passes: u32,
    ended: Option<Instant>,
}

impl TestTrust {
    pub(super) fn new() -> Self {
        Self { passes: PASSES, ended: None }
    }

    /// Whether competitive mode that begins now goes on with the last one, which ended too soon.
    pub(super) fn is_relapse(&self, now: Instant) -> bool {
        self.ended.is_some_and(|ended| now.saturating_duration_since(ended) < RELAPSE)
    }

    /// Competitive mode begins. Gives the tests in a row that are to end it.
    pub(super) fn on_begin(&mut self, now: Instant) -> u32 {
        self.passes = if self.is_relapse(now) { (self.passes * 2).min(PASSES_MAX) } else { PASSES };
        self.passes
    }

    pub(super) fn on_end(&mut self, now: Instant) {
        self.ended = Some(now);
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
        let mut competitive = CompetitiveMode::new(now, 100.0 * MTU, PASSES);
        competitive.on_round(now + SECOND, MTU, None);
        assert_eq!(competitive.window(), 120.0 * MTU);
        competitive.on_loss(now + 2 * SECOND, now + SECOND, 0.5);
        competitive.on_loss(now + 3 * SECOND, now + SECOND, 0.5);
        assert!((competitive.window() - 84.0 * MTU).abs() < 1.0, "{}", competitive.window());
        assert!(!competitive.is_searching());
    }

    #[test]
    fn a_small_flow_goes_on_searching_in_the_room_that_a_loss_made() {
        let now = Instant::now();
        let mut competitive = CompetitiveMode::new(now, 100.0 * MTU, PASSES);
        for loss in 1..SEARCH_LOSSES {
            competitive.on_loss(now + 2 * loss * SECOND, now + (2 * loss - 1) * SECOND, 0.1);
            assert!(competitive.is_searching());
        }
        competitive.on_loss(now + 60 * SECOND, now + 59 * SECOND, 0.1);
        assert!(!competitive.is_searching());
    }

    #[test]
    fn it_comes_back_to_the_old_maximum_at_k() {
        let now = Instant::now();
        let mut competitive = CompetitiveMode::new(now, 1000.0 * MTU, PASSES);
        competitive.on_loss(now + SECOND, now + SECOND, 0.5);
        let k = Duration::from_secs_f64((300.0_f64 / C).cbrt());
        for step in 1..=20 {
            competitive.on_round(now + SECOND + k * step / 20, MTU, None);
        }
        assert!((competitive.window() / (1000.0 * MTU) - 1.0).abs() < 0.01, "{}", competitive.window());
    }

    const TARGET: Duration = Duration::from_millis(5);

    /// Competitive mode for a megabyte per second, of which 100 ms are in its window, with such a queue before the
    /// test.
    fn tested(queue_ms: u64) -> CompetitiveMode {
        let now = Instant::now();
        let mut competitive = CompetitiveMode::new(now, 100.0 * MTU, PASSES);
        competitive.on_loss(now + SECOND, now + SECOND, 0.5);
        competitive.on_round(
            now + SECOND,
            MTU,
            Some(CompetitiveRound { rate: 1e6, queue: Duration::from_millis(queue_ms), rtt: SECOND / 10 }),
        );
        competitive
    }

    #[test]
    fn it_never_grows_far_beyond_what_arrives() {
        let now = Instant::now();
        let mut competitive = CompetitiveMode::new(now, 100.0 * MTU, PASSES);
        let sample = CompetitiveRound { rate: 1e6, queue: SECOND / 20, rtt: SECOND / 10 };
        (0..100).for_each(|_| competitive.on_round(now + SECOND, MTU, Some(sample)));
        assert_eq!(competitive.window(), (DELIVERED_MAX * 100.0 + DELIVERED_PACKETS) * MTU);
        // The rounds of a test, in which next to nothing arrives, do not shrink it.
        competitive.on_round(now + SECOND, MTU, None);
        assert_eq!(competitive.window(), (DELIVERED_MAX * 100.0 + DELIVERED_PACKETS) * MTU);
    }

    #[test]
    fn it_ends_when_tests_in_a_row_find_nobody() {
        let mut competitive = tested(50);
        assert!(!competitive.on_quiet(1e6, TARGET));
        competitive.on_foreign();
        assert!(!competitive.on_quiet(1e6, TARGET));
        assert!(competitive.on_quiet(1e6, TARGET));
    }

    #[test]
    fn a_queue_that_went_with_more_than_was_ours_was_given_up_by_our_own_kind() {
        assert!(!tested(140).on_quiet(1e6, TARGET));
        assert!(tested(180).on_quiet(1e6, TARGET));
    }

    #[test]
    fn a_contest_that_ended_too_soon_makes_the_next_one_last() {
        let now = Instant::now();
        let mut trust = TestTrust::new();
        assert_eq!(trust.on_begin(now), PASSES);
        trust.on_end(now);
        assert_eq!(trust.on_begin(now + SECOND), 2 * PASSES);
        trust.on_end(now + SECOND);
        assert_eq!(trust.on_begin(now + 2 * SECOND), PASSES_MAX);
        trust.on_end(now + 3 * SECOND);
        assert_eq!(trust.on_begin(now + 3 * SECOND + RELAPSE), PASSES);
    }
}
