use std::time::Duration;

use super::*;
use crate::congestion::config::Without;
use crate::congestion::model::rate::Sample;

const MTU: u64 = 1200;
const RTT: Duration = Duration::from_millis(50);
const SECOND: Duration = Duration::from_secs(1);
/// Bytes per second of the whole path.
const CAPACITY: f64 = 10e6;

/// A path of which we get `share`, after a round with such a queue.
fn path(now: Instant, queue_ms: u64, share: f64) -> PathModel {
    let mut model = PathModel::new(now, MTU, Without::default());
    let queue = Duration::from_millis(queue_ms);
    let bare = Sample { rate: CAPACITY, rtt: RTT, app_limited: false };
    model.on_sample(now, &bare);
    model.end_round(now);
    model.start_round(now, 0);
    model.on_sample(now, &Sample { rtt: RTT + queue, ..bare });
    model.round.queue = queue;
    model.round.min_rtt = RTT;
    model.round.target = RTT / 10;
    model.round.bandwidth = share * CAPACITY;
    model.round.capacity = CAPACITY;
    model.round.mtu = MTU as f64;
    model.round.product = model.round.bandwidth * RTT.as_secs_f64();
    model
}

fn moment(now: Instant, phase_rounds: u32) -> Moment {
    let phase = crate::congestion::Phase::Contested;
    Moment { now, phase, phase_rounds, window: 0, budget: 0.0, is_contested: true, is_cut: false, block: None }
}

#[test]
fn the_queue_of_our_own_kind_is_no_pressure() {
    let now = Instant::now();
    let mut pressure = Pressure::default();
    let model = path(now, 6, 1.0);
    assert!((0..200).all(|_| !pressure.on_round(&model, now + 2 * RTT, false)));
    assert!(pressure.is_none());
}

#[test]
fn a_queue_that_stays_long_is_looked_into_and_then_again() {
    let now = Instant::now();
    let mut pressure = Pressure::default();
    let model = path(now, 50, 1.0);
    let mut rounds_until = || (1..100).find(|_| pressure.on_round(&model, now + 2 * RTT, false));
    assert_eq!(rounds_until(), Some(MEMORY_ROUNDS));
    assert_eq!(rounds_until(), Some(MEMORY_ROUNDS));
}

#[test]
fn where_somebody_may_come_back_any_queue_counts_on_a_path_of_which_we_get_less_than_half() {
    let now = Instant::now();
    let is_pressed = |queue_ms, share: f64, is_expected| {
        let mut model = path(now, queue_ms, share);
        model.bandwidth.believe(0, share * CAPACITY);
        model.capacity.on_round(now, None, Some(CAPACITY));
        let mut pressure = Pressure::default();
        (0..100).any(|_| pressure.on_round(&model, now + 2 * RTT, is_expected))
    };
    assert!(is_pressed(4, 0.4, true));
    assert!(!is_pressed(4, 0.4, false));
    assert!(!is_pressed(4, 0.6, true), "nobody has come");
    assert!(!is_pressed(0, 0.4, true), "no queue stands");
}

/// After how many rounds with a queue of so many milliseconds a flow starves on a path of this round trip that has these shares of
/// it before and after, and loses so many packets of each round.
fn starves(rtt: Duration, queue_ms: u32, (before, after): (f64, f64), lost: u64) -> Option<u32> {
    let now = Instant::now();
    let mut starvation = Starvation::default();
    let get = |share: f64| {
        let mut model = path(now, queue_ms.into(), share);
        model.round.min_rtt = rtt;
        model.bandwidth.believe(0, share * CAPACITY);
        model.capacity.on_round(now, None, Some(CAPACITY));
        model.samples.lost = lost * MTU;
        model
    };
    assert!(!starvation.on_round(&get(before)));
    (2..100).find(|_| starvation.on_round(&get(after)))
}

#[test]
fn who_loses_ground_by_no_loss_starves() {
    let late = Duration::from_millis(200);
    assert_eq!(starves(late, 50, (0.3, 0.2), 0), Some(MEMORY_ROUNDS + 1));
    assert_eq!(starves(late, 50, (0.3, 0.22), 0), None, "most of it is left");
    assert_eq!(starves(late, 50, (1.0, 0.4), 0), None, "more than the share that would be held");
    assert_eq!(starves(late, 50, (0.6, 0.2), 100), None, "a full queue takes from everybody");
    assert_eq!(starves(late, 8, (0.3, 0.2), 0), None, "the queue is no longer than that of our own kind");
    assert_eq!(starves(RTT, 50, (0.3, 0.2), 0), None, "a drain is near");
}

#[test]
fn a_flow_starves_only_where_a_drain_comes_late() {
    let starving = [20, 100, 150, 250, 600].map(|ms| starves(Duration::from_millis(ms), 100, (0.3, 0.2), 0).is_some());
    assert_eq!(starving, [false, false, true, true, true]);
}

#[test]
fn on_a_short_path_pressure_takes_as_long() {
    let now = Instant::now();
    let mut pressure = Pressure::default();
    let mut model = path(now, 18, 1.0);
    model.round.min_rtt = Duration::from_millis(2);
    let rounds = (1..1000).take_while(|_| !pressure.on_round(&model, now + LONG_RTT / 8, false)).count();
    assert_eq!(rounds + 1, 8 * MEMORY_ROUNDS as usize);
}

#[test]
fn the_window_of_a_share_is_that_part_of_what_fits_the_present_round_trip() {
    let now = Instant::now();
    let mut competition = Competition::default();
    competition.begin(0, 0.0, CAPACITY);
    let model = path(now, 50, 1.0);
    assert_eq!(competition.on_round(&model, &moment(now + 2 * RTT, 1)), None);
    let hold = competition.hold.as_ref().expect("it has begun");
    assert!((hold.window / (SHARE * CAPACITY * (2 * RTT).as_secs_f64()) - 1.0).abs() < 1e-6, "{}", hold.window);
}

#[test]
fn it_begins_with_half_of_the_share_and_takes_the_rest_where_that_loses_nothing() {
    let now = Instant::now();
    let shares = |bandwidth: f64, lost: u64| {
        let mut competition = Competition::default();
        competition.begin(0, CAPACITY, bandwidth);
        let mut model = path(now, 50, 1.0);
        model.samples.lost = lost * MTU;
        let before = competition.hold.as_ref().map(|hold| hold.share);
        competition.on_round(&model, &moment(now + 2 * RTT, SETTLE_ROUNDS + 1));
        [before, competition.hold.map(|hold| hold.share)].map(|share| share.expect("it has begun") / SHARE)
    };
    assert_eq!(shares(0.01 * CAPACITY, 0), [0.5, 1.0]);
    assert_eq!(shares(0.4 * CAPACITY, 0), [1.0, 1.0], "we have as much");
    let [before, after] = shares(0.01 * CAPACITY, 1000);
    assert!(before == 0.5 && after < 0.5, "{after}");
}

/// Or a share of what we get would be less and less.
#[test]
fn it_is_a_share_of_what_the_path_carried_before() {
    let now = Instant::now();
    let mut competition = Competition::default();
    competition.begin(0, 2.0 * CAPACITY, CAPACITY);
    let model = path(now, 50, 1.0);
    competition.on_round(&model, &moment(now + 2 * RTT, 1));
    let window = competition.hold.as_ref().expect("it has begun").window;
    assert!((window / (SHARE * 2.0 * CAPACITY * (2 * RTT).as_secs_f64()) - 1.0).abs() < 1e-6, "{window}");
}

/// Sends batches whose acknowledgements are as far apart as the path makes them.
fn show_spacing(model: &mut PathModel, now: Instant) {
    let bytes = u64::from(BURST_PACKETS / 2) * MTU;
    for round in 0..=MEMORY_ROUNDS {
        let sent = now + RTT * round;
        model.sampler.on_sent(sent, false);
        for acks in 1..=2 {
            let at = sent + RTT + Duration::from_secs_f64(bytes as f64 / CAPACITY) * acks;
            model.sampler.on_ack(at, sent, bytes);
            model.sampler.on_end_acks(at, bytes, false);
        }
    }
}

/// The share of what the path carries that is held in the end where `lost` packets of each hundred are.
fn held(model: &mut PathModel, lost: u64) -> f64 {
    let now = Instant::now();
    let mut competition = Competition::default();
    competition.begin(0, 0.0, CAPACITY);
    let at = moment(now + 2 * RTT, SETTLE_ROUNDS + 1);
    for _ in 0..10 {
        (0..100 - lost).for_each(|_| model.sampler.on_ack(now, now, MTU));
        model.samples.lost = lost * MTU;
        competition.on_round(model, &at);
        model.start_round(now, 0);
        model.on_sample(now, &Sample { rate: CAPACITY, rtt: 2 * RTT, app_limited: false });
    }
    let window = competition.hold.as_ref().expect("it is on").window;
    window / (CAPACITY * (2 * RTT).as_secs_f64())
}

/// Beside three BBR a flow that had come late held a third of a twentieth of the path, whose few packets showed no more.
#[test]
fn what_comes_back_of_the_share_goes_to_a_capacity_that_is_only_guessed() {
    let now = Instant::now();
    let mut guessed = path(now, 50, 1.0);
    assert!(held(&mut guessed, 0) > 2.0 * SHARE, "nothing is lost");
    assert!(held(&mut guessed, 30) < SHARE, "as much is lost as comes back");
    let mut known = path(now, 50, 1.0);
    show_spacing(&mut known, now);
    assert!((held(&mut known, 0) / SHARE - 1.0).abs() < 1e-6);
}

#[test]
fn what_is_lost_is_taken_off_the_share_which_comes_back_by_a_step_a_round() {
    let now = Instant::now();
    let mut competition = Competition::default();
    competition.begin(0, 0.0, CAPACITY);
    let mut model = path(now, 50, 1.0);
    model.samples.lost = 1000 * MTU;
    competition.on_round(&model, &moment(now + 2 * RTT, SETTLE_ROUNDS + 1));
    let share = |competition: &Competition| competition.hold.as_ref().expect("it is on").share;
    assert_eq!(share(&competition), STEP, "all was lost");
    model.samples.lost = 0;
    competition.on_round(&model, &moment(now + 2 * RTT, SETTLE_ROUNDS + 1));
    assert!((share(&competition) - 2.0 * STEP).abs() < 1e-9);
    for _ in 0..10 {
        competition.on_round(&model, &moment(now + 2 * RTT, SETTLE_ROUNDS + 1));
    }
    assert_eq!(share(&competition), SHARE);
}

#[test]
fn beside_whoever_lets_the_queue_go_by_himself_twice_as_much_of_the_share_comes_back() {
    let now = Instant::now();
    let mut competition = Competition::default();
    let share_when_all_is_lost = |competition: &mut Competition| {
        let mut model = path(now, 50, 1.0);
        model.samples.lost = 1000 * MTU;
        competition.begin(0, 0.0, CAPACITY);
        competition.on_round(&model, &moment(now, SETTLE_ROUNDS + 1));
        competition.hold.as_ref().expect("it is on").share
    };
    assert_eq!(share_when_all_is_lost(&mut competition), STEP);
    let gone = path(now, 0, 0.3);
    assert!((1..100).any(|round| competition.on_round(&gone, &moment(now + RTT, round)).is_some()));
    assert_eq!(share_when_all_is_lost(&mut competition), 2.0 * STEP);
    competition.on_our_kind();
    assert_eq!(share_when_all_is_lost(&mut competition), STEP);
}

#[test]
fn packets_leave_one_by_one_until_losses_have_halved_the_share_and_again_after_a_test() {
    let now = Instant::now();
    let mut competition = Competition::default();
    let mut model = path(now, 50, 1.0);
    model.sampler.on_smoothed_rtt(RTT, RTT);
    let pace = |competition: &Competition, model: &PathModel| competition.pace(model, 10 * MTU);
    assert_eq!(pace(&competition, &model), None);
    competition.begin(0, 0.0, CAPACITY);
    let mut paced_after = |lost: u64| {
        model.samples.lost = lost * MTU;
        competition.on_round(&model, &moment(now + 2 * RTT, SETTLE_ROUNDS + 1));
        pace(&competition, &model).is_some()
    };
    assert_eq!([0, 1000, 0, 0].map(&mut paced_after), [true, false, false, false]);
    competition.on_tested();
    assert_eq!(pace(&competition, &model), Some(PACE_GAIN * (10 * MTU) as f64 / RTT.as_secs_f64()));
}

/// Rounds until a part of the path of this size, with such a queue, is taken for what others have left.
fn vacant_after(queue_ms: u64, share: f64, has_seen_queue: bool) -> Option<u32> {
    let now = Instant::now();
    let mut model = path(now, queue_ms, share);
    model.capacity.on_round(now, None, Some(CAPACITY / share));
    model.bandwidth.on_round(0, CAPACITY, has_seen_queue);
    let mut vacancy = Vacancy::default();
    (1..100).find(|_| vacancy.on_round(&model, now + RTT))
}

#[test]
fn what_others_have_left_is_taken_where_a_queue_has_stood_and_stands_no_more() {
    assert_eq!(vacant_after(0, 0.3, true), Some(EMPTY_ROUNDS + 1));
    assert_eq!(vacant_after(5, 0.3, true), None, "somebody is there");
    assert_eq!(vacant_after(0, 0.9, true), None, "nobody was");
    assert_eq!(vacant_after(0, 0.3, false), None, "a policer");
}

/// Rounds until competitive mode ends beside such a queue, where packets of this window leave one by one or all at once.
fn ends(queue_ms: u64, window: Option<u64>) -> Option<u32> {
    let now = Instant::now();
    let mut competition = Competition::default();
    competition.begin(0, 0.0, CAPACITY);
    let mut model = path(now, queue_ms, 0.3);
    if window.is_some() {
        model.sampler.on_smoothed_rtt(RTT, RTT);
    }
    let at = |round| Moment { window: window.unwrap_or(0), ..moment(now + RTT, round) };
    (1..200).find(|&round| competition.on_round(&model, &at(round)).is_some())
}

#[test]
fn it_ends_when_no_queue_stands() {
    assert_eq!(ends(0, None), Some(EMPTY_ROUNDS + 1));
    assert_eq!(ends(5, None), None);
    assert_eq!(ends(40, None), None);
}

/// A packet leaves each millisecond, so the last one of those for which an acknowledgement is due has waited for three.
#[test]
fn what_packets_wait_to_leave_one_by_one_is_no_queue() {
    let window = (RTT.as_millis() as f64 / PACE_GAIN) as u64 * MTU;
    assert_eq!(ends(3, Some(window)), Some(EMPTY_ROUNDS + 1));
    assert_eq!(ends(3, None), None);
    assert_eq!(ends(6, Some(window)), None, "more than half a target may be a queue of our own kind");
}

#[test]
fn it_was_on_lately_for_as_long_as_bbr_takes_to_empty_the_queue_again() {
    let now = Instant::now();
    let mut competition = Competition::default();
    assert!(!competition.was_on_lately(now));
    competition.begin(0, 0.0, CAPACITY);
    competition.on_round(&path(now, 50, 0.3), &moment(now, 1));
    competition.end();
    assert!(competition.was_on_lately(now + PROBE_RTT_INTERVAL / 2));
    assert!(!competition.was_on_lately(now + PROBE_RTT_INTERVAL));
}

#[test]
fn who_has_stood_aside_for_a_moment_is_expected_back_until_a_test_has_shown_that_it_was_our_kind() {
    let now = Instant::now();
    let mut competition = Competition::default();
    let vacate = |competition: &mut Competition| {
        competition.begin(0, 0.0, CAPACITY);
        (1..100).find_map(|round| competition.on_round(&path(now, 0, 0.3), &moment(now + RTT, round)));
        competition.end();
    };
    vacate(&mut competition);
    competition.on_our_kind();
    assert!(competition.is_expected_back(now + SECOND), "the drain after start-up has seen no queue yet");
    assert!(!competition.is_expected_back(now + 2 * PROBE_RTT_INTERVAL));
    competition.begin(0, 0.0, CAPACITY);
    competition.on_our_kind();
    assert!(!competition.is_expected_back(now + SECOND));
}
