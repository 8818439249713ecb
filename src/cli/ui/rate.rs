//! How fast it goes: estimators that are fed totals and times, and never ask the clock themselves.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Without progress for this long, a rate is no longer a rate (scp's meter waits as long). A path that carries nothing is
/// found to be silent before that, which says more.
pub(crate) const STALL_AFTER: Duration = Duration::from_secs(5);
/// Packet loss is shown over this window: long enough for a small loss to show, short enough to follow a change.
const LOSS_WINDOW: Duration = Duration::from_secs(10);

/// A rate in bytes per second: an exponentially weighted mean of a counter's growth.
///
/// Early values are divided by the weight that has come together so far, so the mean is right from the first
/// sample on, not only after some time constants.
#[derive(Debug)]
pub(crate) struct Estimator {
    time_constant: Duration,
    last: Option<(Instant, u64)>,
    mean: f64,
    /// How much of the mean is made of samples, not of its start at zero: 0 to 1.
    weight: f64,
    moved: Option<Instant>,
}

impl Estimator {
    /// An estimator that forgets over `time_constant`.
    pub(crate) fn new(time_constant: Duration) -> Self {
        Self { time_constant, last: None, mean: 0.0, weight: 0.0, moved: None }
    }

    /// Takes the counter's value at a time. A counter that fell starts the estimate again.
    pub(crate) fn sample(&mut self, now: Instant, total: u64) {
        let Some((then, before)) = self.last else {
            return self.restart(now, total);
        };
        let elapsed = now.saturating_duration_since(then);
        if total < before {
            return self.restart(now, total);
        }
        if elapsed.is_zero() {
            return;
        }
        let keep = (-elapsed.as_secs_f64() / self.time_constant.as_secs_f64()).exp();
        let speed = (total - before) as f64 / elapsed.as_secs_f64();
        self.mean = keep * self.mean + (1.0 - keep) * speed;
        self.weight = keep * self.weight + (1.0 - keep);
        self.last = Some((now, total));
        if total > before {
            self.moved = Some(now);
        }
    }

    /// Forgets what was: the estimate starts here.
    pub(crate) fn restart(&mut self, now: Instant, total: u64) {
        *self = Self { last: Some((now, total)), moved: Some(now), ..Self::new(self.time_constant) };
    }

    /// Bytes per second; `None` before there are two samples.
    pub(crate) fn rate(&self) -> Option<f64> {
        (self.weight > 0.0).then(|| self.mean / self.weight)
    }

    /// How long nothing has moved.
    pub(crate) fn still(&self, now: Instant) -> Duration {
        self.moved.map_or(Duration::ZERO, |moved| now.saturating_duration_since(moved))
    }

    /// The same, once that is longer than [`STALL_AFTER`].
    pub(crate) fn stalled(&self, now: Instant) -> Option<Duration> {
        Some(self.still(now)).filter(|still| *still >= STALL_AFTER)
    }

    /// Takes the present as the last time something moved, since work is done that does not count.
    pub(crate) fn excuse(&mut self, now: Instant) {
        self.moved = Some(now);
    }
}

/// The share of packets lost lately.
#[derive(Debug, Default)]
pub(crate) struct LossWindow {
    samples: VecDeque<(Instant, u64, u64)>,
}

impl LossWindow {
    /// Takes the totals of packets sent and lost. Totals that fell belong to a new connection.
    pub(crate) fn sample(&mut self, now: Instant, sent: u64, lost: u64) {
        if self.samples.back().is_some_and(|(_, before, _)| sent < *before) {
            self.samples.clear();
        }
        while let [(_, _, _), (second, _, _), ..] = self.samples.make_contiguous() {
            // The first sample stays while it is the only one that is old enough to span the window.
            if now.saturating_duration_since(*second) < LOSS_WINDOW {
                break;
            }
            self.samples.pop_front();
        }
        self.samples.push_back((now, sent, lost));
    }

    /// Lost packets per sent packet, 0 to 1; `None` when no packets were sent in the window.
    pub(crate) fn loss(&self) -> Option<f64> {
        let (_, first_sent, first_lost) = self.samples.front()?;
        let (_, sent, lost) = self.samples.back()?;
        let sent = sent.saturating_sub(*first_sent);
        (sent > 0).then(|| lost.saturating_sub(*first_lost) as f64 / sent as f64)
    }
}

/// Time left for `remaining` bytes; `None` when that is not known.
pub(crate) fn eta(remaining: u64, rate: Option<f64>) -> Option<Duration> {
    // Below one byte per second the answer would be longer than anyone waits.
    let rate = rate.filter(|rate| *rate >= 1.0)?;
    Duration::try_from_secs_f64(remaining as f64 / rate).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(100);
    const MIB: u64 = 1 << 20;

    /// Feeds `ticks` samples at `per_tick` bytes each.
    fn run(estimator: &mut Estimator, now: &mut Instant, total: &mut u64, ticks: u32, per_tick: u64) {
        for _ in 0..ticks {
            *now += TICK;
            *total += per_tick;
            estimator.sample(*now, *total);
        }
    }

    fn start(estimator: &mut Estimator, total: u64) -> (Instant, u64) {
        let now = Instant::now();
        estimator.sample(now, total);
        (now, total)
    }

    #[test]
    fn a_steady_rate_is_right_from_the_second_sample_on() {
        let mut estimator = Estimator::new(Duration::from_secs(15));
        let (mut now, mut total) = start(&mut estimator, 0);
        assert_eq!(estimator.rate(), None);
        for _ in 0..300 {
            run(&mut estimator, &mut now, &mut total, 1, MIB);
            let rate = estimator.rate().expect("two samples");
            assert!((rate / (10 * MIB) as f64 - 1.0).abs() < 1e-9, "{rate}");
        }
    }

    #[test]
    fn what_was_there_before_the_first_sample_is_no_rate() {
        let mut estimator = Estimator::new(Duration::from_secs(15));
        let (mut now, mut total) = start(&mut estimator, 9_000_000_000_000);
        run(&mut estimator, &mut now, &mut total, 10, 0);
        assert_eq!(estimator.rate(), Some(0.0));
    }

    #[test]
    fn a_change_shows_within_the_time_constant() {
        let mut estimator = Estimator::new(Duration::from_secs(15));
        let (mut now, mut total) = start(&mut estimator, 0);
        run(&mut estimator, &mut now, &mut total, 600, MIB);
        run(&mut estimator, &mut now, &mut total, 150, 2 * MIB);
        let rate = estimator.rate().expect("samples") / (10 * MIB) as f64;
        assert!((1.55..1.75).contains(&rate), "{rate} of the old rate after one time constant");
    }

    #[test]
    fn the_length_of_a_tick_does_not_matter() {
        let begin = Instant::now();
        let mut fine = Estimator::new(Duration::from_secs(15));
        let mut coarse = Estimator::new(Duration::from_secs(15));
        for tick in 0..=300_u32 {
            let total = u64::from(tick) * MIB;
            fine.sample(begin + TICK * tick, total);
            if tick % 50 == 0 {
                coarse.sample(begin + TICK * tick, total);
            }
        }
        let (fine, coarse) = (fine.rate().expect("samples"), coarse.rate().expect("samples"));
        assert!((fine / coarse - 1.0).abs() < 0.01, "{fine} {coarse}");
    }

    #[test]
    fn a_stall_shows_after_five_seconds_and_ends_with_the_next_byte() {
        let mut estimator = Estimator::new(Duration::from_secs(15));
        let (mut now, mut total) = start(&mut estimator, 0);
        run(&mut estimator, &mut now, &mut total, 10, MIB);
        run(&mut estimator, &mut now, &mut total, 49, 0);
        assert_eq!(estimator.stalled(now), None);
        run(&mut estimator, &mut now, &mut total, 21, 0);
        assert_eq!(estimator.stalled(now), Some(Duration::from_secs(7)));
        run(&mut estimator, &mut now, &mut total, 1, 1);
        assert_eq!(estimator.stalled(now), None);
        estimator.restart(now, total);
        assert_eq!(estimator.rate(), None, "a mean over the stall says nothing of what comes");
        run(&mut estimator, &mut now, &mut total, 1, MIB);
        assert_eq!(estimator.rate().map(f64::round), Some((10 * MIB) as f64));
    }

    #[test]
    fn a_counter_that_falls_starts_again() {
        let mut estimator = Estimator::new(Duration::from_secs(15));
        let (mut now, mut total) = start(&mut estimator, 0);
        run(&mut estimator, &mut now, &mut total, 10, MIB);
        estimator.sample(now + TICK, 0);
        assert_eq!(estimator.rate(), None);
    }

    #[test]
    fn a_time_that_does_not_advance_is_no_division_by_zero() {
        let mut estimator = Estimator::new(Duration::from_secs(15));
        let (now, _) = start(&mut estimator, 0);
        estimator.sample(now, 5);
        assert_eq!(estimator.rate(), None);
    }

    #[test]
    fn loss_is_that_of_the_last_ten_seconds() {
        let mut window = LossWindow::default();
        let begin = Instant::now();
        assert_eq!(window.loss(), None);
        // Ten seconds with 10 % loss, then twenty without.
        for tick in 0..=300_u64 {
            let lost = tick.min(100) * 10;
            window.sample(begin + TICK * tick as u32, tick * 100, lost);
            let loss = window.loss();
            match tick {
                0 => assert_eq!(loss, None),
                1..=100 => assert!((loss.expect("packets") - 0.1).abs() < 1e-9),
                210.. => assert_eq!(loss, Some(0.0)),
                _ => {}
            }
        }
        assert!(window.samples.len() <= 102, "old samples are dropped");
    }

    #[test]
    fn packets_of_a_new_connection_start_again() {
        let mut window = LossWindow::default();
        let begin = Instant::now();
        window.sample(begin, 0, 0);
        window.sample(begin + TICK, 1000, 500);
        window.sample(begin + TICK * 2, 10, 0);
        assert_eq!(window.loss(), None);
        window.sample(begin + TICK * 3, 110, 1);
        assert_eq!(window.loss(), Some(0.01));
    }

    #[test]
    fn time_left_needs_a_rate() {
        assert_eq!(eta(100, None), None);
        assert_eq!(eta(100, Some(0.0)), None);
        assert_eq!(eta(100, Some(10.0)), Some(Duration::from_secs(10)));
        assert_eq!(eta(0, Some(10.0)), Some(Duration::ZERO));
        assert_eq!(eta(u64::MAX, Some(1.0)), None, "longer than a time can be");
    }
}
