use super::*;

const MS: Duration = Duration::from_millis(1);

fn shown(standing: Duration) -> Drained {
    Drained {
        standing,
        target: 5 * MS,
        jitter: Duration::ZERO,
        believed: 100 * MS,
        response: QueueResponse::Unclear,
        is_shared: true,
        is_contested: false,
    }
}

fn drained(rtt: Duration) -> MinRttFilter {
    let mut min_rtt_filter = MinRttFilter::new(Instant::now(), rtt);
    assert_eq!(min_rtt_filter.on_drained(&shown(rtt)), DrainFinding::Quiet);
    min_rtt_filter
}

#[test]
fn a_queue_that_stays_in_a_drain_is_foreign() {
    let mut min_rtt_filter = drained(100 * MS);
    assert_eq!(min_rtt_filter.on_drained(&shown(150 * MS)), DrainFinding::Foreign);
    assert_eq!(min_rtt_filter.rtt(), 100 * MS);
}

/// Our own kind would have stood aside with us. `believed` is 100 ms, the target 5.
#[test]
fn who_does_not_stand_aside_with_us_is_foreign_though_his_queue_is_short() {
    use QueueResponse::{Absent, Alone, Joint, Unclear};
    for (response, standing, is_shared, expected) in [
        (Alone, 104, true, DrainFinding::Foreign),
        (Alone, 96, true, DrainFinding::Foreign),
        (Alone, 101, true, DrainFinding::Quiet),
        (Alone, 104, false, DrainFinding::Quiet),
        (Joint, 104, true, DrainFinding::Quiet),
        (Joint, 96, true, DrainFinding::Quiet),
        (Unclear, 104, true, DrainFinding::Foreign),
        (Unclear, 102, true, DrainFinding::Quiet),
        (Unclear, 96, true, DrainFinding::Quiet),
        (Absent, 104, true, DrainFinding::Longer),
    ] {
        let shown = Drained { response, is_shared, ..shown(standing * MS) };
        let found = drained(100 * MS).on_drained(&shown);
        assert_eq!(found, expected, "{response:?} at {standing} ms, shared: {is_shared}");
    }
}

#[test]
fn a_longer_path_is_believed_at_the_third_drain() {
    let mut min_rtt_filter = drained(100 * MS);
    assert_eq!(min_rtt_filter.on_drained(&shown(150 * MS)), DrainFinding::Foreign);
    assert_eq!(min_rtt_filter.on_drained(&shown(151 * MS)), DrainFinding::Foreign);
    assert_eq!(min_rtt_filter.on_drained(&shown(150 * MS)), DrainFinding::Longer);
    assert_eq!(min_rtt_filter.rtt(), 150 * MS);
}

/// One that is bound by its window holds the same queue for long.
#[test]
fn the_steady_queue_of_a_competitor_is_no_longer_path() {
    let mut min_rtt_filter = drained(100 * MS);
    let test = Drained { is_contested: true, ..shown(150 * MS) };
    for _ in 0..5 {
        assert_eq!(min_rtt_filter.on_drained(&test), DrainFinding::Foreign);
    }
    assert_eq!(min_rtt_filter.rtt(), 100 * MS);
}

#[test]
fn a_queue_on_a_path_that_is_ours_alone_is_no_competitors() {
    let mut min_rtt_filter = drained(100 * MS);
    let alone = Drained { is_shared: false, ..shown(150 * MS) };
    assert_eq!(min_rtt_filter.on_drained(&alone), DrainFinding::Slower);
}

#[test]
fn an_emptied_queue_ends_a_contest_only_if_others_stood_aside_as_well() {
    let mut min_rtt_filter = drained(100 * MS);
    let test = Drained { is_contested: true, ..shown(101 * MS) };
    assert_eq!(min_rtt_filter.on_drained(&test), DrainFinding::Foreign);
    assert_eq!(min_rtt_filter.on_drained(&Drained { response: QueueResponse::Joint, ..test }), DrainFinding::Quiet);
}

#[test]
fn a_shorter_round_trip_is_looked_at_again_until_it_stands() {
    let mut min_rtt_filter = drained(100 * MS);
    assert_eq!(min_rtt_filter.on_drained(&shown(100 * MS)), DrainFinding::Quiet);
    assert!(!min_rtt_filter.is_doubtful());
    assert_eq!(min_rtt_filter.on_drained(&shown(80 * MS)), DrainFinding::Quiet);
    assert!(min_rtt_filter.is_doubtful());
    let again = Drained { believed: 80 * MS, ..shown(80 * MS) };
    assert_eq!(min_rtt_filter.on_drained(&again), DrainFinding::Quiet);
    assert!(!min_rtt_filter.is_doubtful());
}

#[test]
fn a_queue_that_went_without_our_doing_was_a_competitors() {
    let now = Instant::now();
    let mut min_rtt_filter = drained(100 * MS);
    min_rtt_filter.on_round(now, 91 * MS, Duration::ZERO);
    assert!(!min_rtt_filter.has_fallen(), "two targets are our kind's");
    min_rtt_filter.on_round(now, 70 * MS, Duration::ZERO);
    assert!(min_rtt_filter.has_fallen());
    min_rtt_filter.on_round(now, 70 * MS, Duration::ZERO);
    assert!(!min_rtt_filter.has_fallen());
}

#[test]
fn what_has_fallen_in_several_rounds_counts_together_but_not_what_a_drain_has_made() {
    let now = Instant::now();
    for (is_drained_between, has_fallen) in [(false, true), (true, false)] {
        let mut min_rtt_filter = drained(100 * MS);
        min_rtt_filter.on_round(now, 93 * MS, Duration::ZERO);
        if is_drained_between {
            min_rtt_filter.on_drained(&shown(93 * MS));
        }
        min_rtt_filter.on_round(now, 86 * MS, Duration::ZERO);
        assert_eq!(min_rtt_filter.has_fallen(), has_fallen);
    }
}

#[test]
fn a_longer_path_without_any_queue_is_believed_at_once() {
    let mut min_rtt_filter = drained(100 * MS);
    let absent = Drained { response: QueueResponse::Absent, ..shown(150 * MS) };
    assert_eq!(min_rtt_filter.on_drained(&absent), DrainFinding::Longer);
    assert_eq!(min_rtt_filter.rtt(), 150 * MS);
    assert_eq!(min_rtt_filter.on_drained(&shown(151 * MS)), DrainFinding::Quiet);
}

/// Beside BBR a test of competitive mode may see a queue that stays as it was.
#[test]
fn a_test_that_has_moved_nothing_is_believed_when_the_next_one_has_not_either() {
    let test = |response| Drained { is_contested: true, response, ..shown(150 * MS) };
    let (absent, unclear) = (test(QueueResponse::Absent), test(QueueResponse::Unclear));
    let mut min_rtt_filter = drained(100 * MS);
    assert_eq!(min_rtt_filter.on_drained(&absent), DrainFinding::Foreign);
    assert_eq!(min_rtt_filter.on_drained(&unclear), DrainFinding::Foreign);
    assert_eq!(min_rtt_filter.on_drained(&absent), DrainFinding::Foreign);
    assert_eq!(min_rtt_filter.rtt(), 100 * MS);
    assert_eq!(min_rtt_filter.on_drained(&absent), DrainFinding::Longer);
    assert_eq!(min_rtt_filter.rtt(), 150 * MS);
}

/// By less than a stranger's queue, too: yielding to what is no queue at all would leave next to nothing.
#[test]
fn a_path_that_is_a_little_longer_is_believed_as_late() {
    let mut min_rtt_filter = drained(20 * MS);
    let alone = Drained { believed: 20 * MS, is_shared: false, ..shown(24 * MS) };
    for _ in 0..2 {
        assert_eq!(min_rtt_filter.on_drained(&alone), DrainFinding::Quiet);
        assert!(min_rtt_filter.is_doubtful() && min_rtt_filter.rtt() == 20 * MS);
    }
    assert_eq!(min_rtt_filter.on_drained(&alone), DrainFinding::Longer);
    assert!(!min_rtt_filter.is_doubtful() && min_rtt_filter.rtt() == 24 * MS);
}

#[test]
fn a_changing_queue_is_never_taken_for_the_path() {
    let mut min_rtt_filter = drained(100 * MS);
    for rtt in [150, 170, 190, 150, 165, 180] {
        assert_eq!(min_rtt_filter.on_drained(&shown(rtt * MS)), DrainFinding::Foreign);
    }
}

#[test]
fn the_queue_of_another_flow_of_ours_is_neither_foreign_nor_the_path() {
    let mut min_rtt_filter = drained(100 * MS);
    let joint = |ms| Drained { response: QueueResponse::Joint, ..shown(ms * MS) };
    assert_eq!(min_rtt_filter.on_drained(&joint(104)), DrainFinding::Quiet);
    assert_eq!(min_rtt_filter.rtt(), 100 * MS);
    assert_eq!(min_rtt_filter.on_drained(&joint(106)), DrainFinding::Foreign, "so much of it stays");
}

#[test]
fn the_shortest_sample_outlives_a_drain_that_others_spoiled() {
    let mut min_rtt_filter = MinRttFilter::new(Instant::now(), 50 * MS);
    assert_eq!(min_rtt_filter.on_drained(&shown(90 * MS)), DrainFinding::Quiet);
    assert_eq!((min_rtt_filter.rtt(), min_rtt_filter.least()), (90 * MS, 50 * MS));
}

const MTU: u64 = 1452;
const RTT: Duration = Duration::from_millis(100);
const TARGET: Duration = Duration::from_millis(5);

const PACKET: Duration = Duration::from_micros(120);

/// What is believed after groups of these round trips, in microseconds above the bare one.
fn jitter_of(groups: impl IntoIterator<Item = u64>) -> Duration {
    let mut jitter_filter = JitterFilter::new();
    let mut delivered = 0;
    for above in groups {
        for _ in 0..GROUP_ACKS {
            delivered += 4 * MTU;
            jitter_filter.on_rtt(RTT + Duration::from_micros(above), delivered, MTU);
        }
    }
    jitter_filter.jitter(RTT, PACKET)
}

#[test]
fn what_goes_up_and_down_from_group_to_group_is_jitter() {
    let jitter = jitter_of((0..40).map(|group| if group % 2 == 0 { 0 } else { 4000 }));
    assert!(jitter > TARGET && jitter <= RTT / 2, "{jitter:?}");
}

#[test]
fn a_queue_that_grows_and_is_drained_is_none() {
    assert_eq!(jitter_of((0..60).map(|group| 1000 * (group % 20))), Duration::ZERO);
}

#[test]
fn small_turns_are_left_to_chance() {
    assert_eq!(jitter_of((0..40).map(|group| 500 * (group % 2))), Duration::ZERO);
}

#[test]
fn a_few_groups_show_nothing() {
    assert_eq!(jitter_of([0, 9000, 0, 9000, 0]), Duration::ZERO);
}

#[test]
fn no_more_than_half_the_round_trip_is_believed() {
    assert_eq!(jitter_of((0..40).map(|group| 90_000 * (group % 2))), RTT / 2);
}

#[test]
fn the_time_that_an_acknowledgement_was_held_back_is_no_part_of_its_round_trip() {
    let mut undelayed = UndelayedRtt::default();
    undelayed.on_smoothed(50 * MS, 50 * MS);
    assert_eq!(undelayed.on_sample(75 * MS), 75 * MS, "nothing is known of it yet");
    // quinn takes 25 ms off it, so that the smoothed round trip stays what it was.
    undelayed.on_smoothed(50 * MS, 50 * MS);
    assert_eq!(undelayed.on_sample(60 * MS), 50 * MS);
    undelayed.on_smoothed(10 * MS, 50 * MS);
    assert_eq!(undelayed.on_sample(50 * MS), 60 * MS, "no eighth of that sample has made this of what it was");
}
