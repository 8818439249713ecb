//! Windowed extremes that really expire.

use std::collections::VecDeque;

/// The largest of the values seen in the last `span` steps of a counter that only grows (rounds, nanoseconds).
///
/// A monotonic queue: each value is pushed and popped once, so an update costs O(1) on average.
/// Negate the values for a minimum.
#[derive(Debug, Clone)]
pub(super) struct MaxFilter {
    span: u64,
    values: VecDeque<(u64, f64)>,
}

impl MaxFilter {
    pub(super) fn new(span: u64) -> Self {
        Self { span, values: VecDeque::new() }
    }

    /// Adds `value` seen at `at`. Smaller values that are older can never be the maximum again and go.
    pub(super) fn push(&mut self, at: u64, value: f64) {
        while self.values.back().is_some_and(|&(_, old)| old <= value) {
            self.values.pop_back();
        }
        self.values.push_back((at, value));
        self.expire(at);
    }

    /// Forgets what is older than the span. The newest value stays: an old figure is better than none.
    pub(super) fn expire(&mut self, now: u64) {
        while self.values.len() > 1 && self.values[0].0 + self.span < now {
            self.values.pop_front();
        }
    }

    pub(super) fn get(&self) -> Option<f64> {
        self.values.front().map(|&(_, value)| value)
    }

    pub(super) fn clear(&mut self) {
        self.values.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_maximum_expires_and_the_next_best_takes_over() {
        let mut filter = MaxFilter::new(10);
        filter.push(0, 9.0);
        filter.push(1, 5.0);
        filter.push(2, 7.0);
        assert_eq!(filter.get(), Some(9.0));
        filter.push(11, 1.0);
        assert_eq!(filter.get(), Some(7.0));
        filter.push(13, 2.0);
        assert_eq!(filter.get(), Some(2.0));
    }

    #[test]
    fn the_last_value_outlives_its_span() {
        let mut filter = MaxFilter::new(10);
        filter.push(0, 3.0);
        filter.expire(1000);
        assert_eq!(filter.get(), Some(3.0));
    }

    #[test]
    fn it_equals_the_naive_maximum_over_a_long_run() {
        let mut filter = MaxFilter::new(7);
        let mut all = Vec::new();
        let mut x = 12_345_u64;
        for at in 0..2000 {
            x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let value = (x >> 40) as f64;
            filter.push(at, value);
            all.push((at, value));
            let naive = all.iter().filter(|(t, _)| t + 7 >= at).map(|&(_, v)| v).fold(f64::MIN, f64::max);
            assert_eq!(filter.get(), Some(naive));
        }
    }
}
