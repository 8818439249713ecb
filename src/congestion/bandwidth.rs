//! How fast the path delivers to us: the best of late while it is not full, our share once it is.

use super::filter::MaxFilter;

/// Rounds over which the best sample counts: BBR's eight to ten.
const BEST_ROUNDS: u64 = 8;
/// Rounds over which our share of a full path is averaged. Every round of memory holds on to the share that was, and flows
/// even out the slower: what divides two of them at 100 Mbit/s and 200 ms falls to 1/e in 26 s with four, in 22 s with two.
const SHARE_ROUNDS: usize = 2;
/// Rounds without a queue until the path counts as not full: longer than a drain of another flow.
const EMPTY_ROUNDS: u32 = 4;

/// The bandwidth estimate, in bytes per second.
#[derive(Debug, Clone)]
pub(super) struct Bandwidth {
    best: MaxFilter,
    /// Delivery rates of the last rounds, as a ring.
    shares: [f64; SHARE_ROUNDS],
    /// A queue stood lately: the path is full and the last rounds show our share of it.
    full: bool,
    /// Rounds without a queue since.
    empty_rounds: u32,
    /// A queue stood at some time.
    queue_seen: bool,
    /// The path is full and shows no queue: more than our share is dropped at once.
    policed: bool,
    /// The path pauses: some rounds bring what belongs to others.
    uneven: bool,
}

impl Bandwidth {
    pub(super) fn new() -> Self {
        Self {
            best: MaxFilter::new(BEST_ROUNDS),
            shares: [0.0; SHARE_ROUNDS],
            full: false,
            empty_rounds: 0,
            queue_seen: false,
            policed: false,
            uneven: false,
        }
    }

    /// The best of the last rounds while the path is not full. Once it is, the mean: a maximum reads a few percent high,
    /// which would outweigh the queue budget, and with it the force that makes flows share evenly. Under ACK
    /// aggregation it is the maximum again: each round that a pause fell into would lower the window, and with it all
    /// rounds after.
    pub(super) fn get(&self) -> f64 {
        let known = self.shares.iter().all(|&share| share > 0.0);
        if self.is_full() && known && !self.uneven {
            self.shares.iter().sum::<f64>() / SHARE_ROUNDS as f64
        } else {
            self.best()
        }
    }

    /// The best of the last rounds.
    pub(super) fn best(&self) -> f64 {
        self.best.get().unwrap_or(0.0)
    }

    pub(super) fn is_known(&self) -> bool {
        self.best.get().is_some()
    }

    pub(super) fn is_full(&self) -> bool {
        self.full || self.policed
    }

    /// Whether a queue has ever stood.
    pub(super) fn is_queue_seen(&self) -> bool {
        self.queue_seen
    }

    pub(super) fn is_policed(&self) -> bool {
        self.policed
    }

    pub(super) fn set_policed(&mut self) {
        self.policed = true;
    }

    /// Whether the path pauses.
    pub(super) fn set_uneven(&mut self, uneven: bool) {
        self.uneven = uneven;
    }

    /// Whether the path is full is not known any more.
    pub(super) fn set_not_full(&mut self) {
        self.full = false;
    }

    pub(super) fn on_sample(&mut self, round: u64, rate: f64) {
        self.best.push(round, rate);
    }

    /// Takes the delivery rate of a whole round and whether a queue stood in it.
    pub(super) fn on_round(&mut self, round: u64, rate: f64, queue_stood: bool) {
        if queue_stood {
            self.empty_rounds = 0;
            (self.full, self.queue_seen, self.policed) = (true, true, false);
        } else {
            self.empty_rounds += 1;
        }
        if self.empty_rounds >= EMPTY_ROUNDS {
            self.full = false;
        }
        // What we get while others drain is not our share: it would be too much for all when they come back.
        if self.empty_rounds == 0 || !self.full || self.policed {
            self.shares[round as usize % SHARE_ROUNDS] = rate;
        }
    }

    /// A probe has found this much.
    pub(super) fn raise(&mut self, round: u64, rate: f64) {
        self.best.push(round, rate);
        self.shares = [rate; SHARE_ROUNDS];
    }

    /// Forgets all but the last round.
    pub(super) fn believe(&mut self, round: u64, rate: f64) {
        self.best.clear();
        self.raise(round, rate);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_path_is_averaged_and_an_empty_one_keeps_its_best() {
        let mut bandwidth = Bandwidth::new();
        bandwidth.on_sample(0, 120.0);
        assert_eq!(bandwidth.get(), 120.0);
        for (round, rate) in [(1, 60.0), (2, 90.0), (3, 110.0)] {
            bandwidth.on_round(round, rate, true);
        }
        assert_eq!(bandwidth.get(), 100.0);
    }

    #[test]
    fn what_the_drain_of_another_flow_gives_us_is_not_our_share() {
        let mut bandwidth = Bandwidth::new();
        (0..4).for_each(|round| bandwidth.on_round(round, 50.0, true));
        (4..7).for_each(|round| bandwidth.on_round(round, 80.0, false));
        assert_eq!(bandwidth.get(), 50.0);
    }

    #[test]
    fn a_lasting_lack_of_queue_ends_the_averaging() {
        let mut bandwidth = Bandwidth::new();
        bandwidth.on_sample(0, 60.0);
        (0..4).for_each(|round| bandwidth.on_round(round, 50.0, true));
        (4..8).for_each(|round| bandwidth.on_round(round, 50.0, false));
        assert!(!bandwidth.is_full());
        assert_eq!(bandwidth.get(), 60.0);
    }
}
