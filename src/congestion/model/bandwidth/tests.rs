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

const MS: Duration = Duration::from_millis(1);
/// 100 Mbit/s, for ourselves.
const ALONE: Usual = Usual { bandwidth: 12.5e6, capacity: 12.5e6, mtu: 1250.0 };
/// What 100 Mbit/s carry in a millisecond.
const PER_MS: u64 = 12_500;

impl AckAggregation {
    fn on_more(&mut self, now: Instant, bytes: u64, usual: Option<Usual>) {
        self.on_ack(now, self.delivered + bytes, usual);
    }
}

/// A path that carries all of `usual` for 100 ms, then pauses for 20 ms, after which `lump` milliseconds' worth comes
/// in so many steps of `step`; and so on.
fn path(usual: Usual, lump: u64, steps: u32, step: Duration) -> AckAggregation {
    let mut ack_aggregation = AckAggregation::new();
    let mut now = Instant::now();
    for _ in 0..8 {
        for _ in 0..100 {
            now += MS;
            ack_aggregation.on_more(now, (usual.bandwidth / 1e3) as u64, Some(usual));
        }
        now += 20 * MS - step;
        for _ in 0..steps {
            now += step;
            ack_aggregation.on_more(now, lump * PER_MS / u64::from(steps), Some(usual));
        }
    }
    ack_aggregation
}

#[test]
fn pauses_after_which_all_comes_at_once_are_ack_aggregation() {
    assert!(path(ALONE, 20, 10, MS / 20).is_on());
    assert!(path(ALONE, 20, 10, Duration::ZERO).is_on(), "read at one go");
}

#[test]
fn a_pause_after_which_the_path_goes_on_at_its_rate_is_none() {
    assert!(!path(ALONE, 20, 20, MS).is_on());
}

#[test]
fn the_packets_of_others_before_ours_are_none() {
    let quarter = Usual { bandwidth: ALONE.bandwidth / 4.0, ..ALONE };
    // Ours of 20 ms pass together, as fast as the link carries them.
    assert!(!path(quarter, 5, 5, MS).is_on());
}

#[test]
fn pauses_of_the_sender_do_not_count() {
    let mut ack_aggregation = AckAggregation::new();
    let start = Instant::now();
    (1..100).for_each(|n| ack_aggregation.on_more(start + n * 20 * MS, 20 * PER_MS, None));
    assert!(!ack_aggregation.is_on());
}

#[test]
fn a_path_that_flows_again_is_believed_after_some_seconds() {
    let mut ack_aggregation = path(ALONE, 20, 10, MS / 20);
    ack_aggregation.on_round(12 * MS, 10 * MS);
    assert!(!ack_aggregation.late().is_zero());
    let later = ack_aggregation.heard.expect("it has been heard of") + 2 * SPAN;
    ack_aggregation.on_more(later, PER_MS, None);
    assert!(!ack_aggregation.is_on() && ack_aggregation.late().is_zero());
}

#[test]
fn lateness_is_what_the_mean_is_above_the_least() {
    let mut ack_aggregation = path(ALONE, 20, 10, MS / 20);
    (0..40).for_each(|_| ack_aggregation.on_round(105 * MS, 101 * MS));
    assert!(ack_aggregation.late().abs_diff(4 * MS) < MS / 100, "{:?}", ack_aggregation.late());
}
