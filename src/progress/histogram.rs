//! Counts of values by their size.

use std::sync::atomic::{AtomicU64, Ordering};

/// How the values of a [`Histogram`] are sorted, and in what unit they are told.
#[derive(Debug)]
pub(crate) struct Scale {
    /// The largest value of each bucket, in ascending order; one more bucket has what is larger.
    pub bounds: &'static [u64],
    /// The number of recorded values in one displayed unit: a thousand million for seconds from nanoseconds.
    pub unit: f64,
}

/// From a tenth of a millisecond to ten seconds, observed in nanoseconds, told in seconds.
pub(crate) const SECONDS: Scale = Scale {
    bounds: &[
        100_000,
        300_000,
        1_000_000,
        3_000_000,
        10_000_000,
        30_000_000,
        100_000_000,
        300_000_000,
        1_000_000_000,
        3_000_000_000,
        10_000_000_000,
    ],
    unit: 1e9,
};

/// Counts of values by their size. Any thread adds, and any thread reads; neither waits.
#[derive(Debug)]
pub(crate) struct Histogram {
    scale: &'static Scale,
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
}

/// The content of a [`Histogram`] at one moment, in the displayed unit.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Distribution {
    /// The sum of all values.
    pub sum: f64,
    /// How many there were.
    pub count: u64,
    /// The largest value of each bucket, the last of them infinite, and how many fell into this bucket alone.
    pub buckets: Vec<(f64, u64)>,
}

impl Histogram {
    /// Nothing was observed yet.
    pub(crate) fn new(scale: &'static Scale) -> Self {
        let counts = (0..=scale.bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { scale, counts, sum: AtomicU64::new(0) }
    }

    /// Counts one value in its bucket, and adds it to the sum.
    pub(crate) fn observe(&self, value: u64) {
        let bucket = self.scale.bounds.partition_point(|bound| *bound < value);
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    /// Counts one time, where the scale is of nanoseconds.
    pub(crate) fn observe_time(&self, time: std::time::Duration) {
        self.observe(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    /// The observations so far.
    pub(crate) fn look(&self) -> Distribution {
        let counts: Vec<u64> = self.counts.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        let bounds = self.scale.bounds.iter().map(|bound| *bound as f64 / self.scale.unit);
        Distribution {
            sum: self.sum.load(Ordering::Relaxed) as f64 / self.scale.unit,
            // Of the same moment as the buckets: a reader adds them up.
            count: counts.iter().sum(),
            buckets: bounds.chain([f64::INFINITY]).zip(counts).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_value_falls_into_the_first_bucket_that_is_not_smaller() {
        const TENS: Scale = Scale { bounds: &[10, 20], unit: 10.0 };
        let histogram = Histogram::new(&TENS);
        [0, 10, 11, 20, 21, 1000].into_iter().for_each(|value| histogram.observe(value));
        let buckets = vec![(1.0, 2), (2.0, 2), (f64::INFINITY, 2)];
        assert_eq!(histogram.look(), Distribution { sum: 106.2, count: 6, buckets });
    }

    #[test]
    fn times_are_told_in_seconds() {
        let histogram = Histogram::new(&SECONDS);
        histogram.observe_time(Duration::from_millis(250));
        let look = histogram.look();
        assert_eq!((look.sum, look.count), (0.25, 1));
        assert_eq!(look.buckets.iter().find(|(_, count)| *count > 0), Some(&(0.3, 1)));
        assert!(SECONDS.bounds.is_sorted());
    }
}
