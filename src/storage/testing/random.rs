//! Numbers that look random and are the same for the same seed.

/// SplitMix64.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Below `count`, which is not 0.
    pub(crate) fn below(&mut self, count: usize) -> usize {
        (self.next() % count as u64) as usize
    }

    pub(crate) fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }

    /// Takes any of them out.
    pub(crate) fn take<T>(&mut self, items: &mut Vec<T>) -> T {
        let index = self.below(items.len());
        items.swap_remove(index)
    }
}

mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_seed_gives_the_same_numbers_each_time_and_in_the_end_all_of_them() {
        let draw = || {
            let (mut random, mut items) = (Random::new(7), vec![1, 2, 3]);
            let mut drawn: Vec<_> = (0..100).map(|_| random.pick(&[4, 5, 6])).collect();
            drawn.extend((0..3).map(|_| random.take(&mut items)));
            drawn
        };
        assert_eq!(draw(), draw());
        assert_eq!(BTreeSet::from_iter(draw()), BTreeSet::from([1, 2, 3, 4, 5, 6]));
        let hits = (0..1000).fold((Random::new(1), 0), |(mut random, hits), _| {
            let hit = usize::from(random.percent(30));
            (random, hits + hit)
        });
        assert!((250..350).contains(&hits.1), "{}", hits.1);
    }
}
