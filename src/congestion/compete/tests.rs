use super::*;
use crate::congestion::config::Without;

const RTT: Duration = Duration::from_millis(50);

fn round(queue_ms: u64, bandwidth: f64) -> Round {
    let (queue, target) = (Duration::from_millis(queue_ms), Duration::from_millis(5));
    let product = bandwidth * RTT.as_secs_f64();
    Round { queue, min_rtt: RTT, target, product, bandwidth, capacity: bandwidth, mtu: 1200.0, ..Round::default() }
}

fn judge(competitors: &mut Competitors, rounds: &[Round]) -> Judgement {
    let now = Instant::now();
    let judge = |round| competitors.on_round(now, round, 1.0, true);
    rounds.iter().map(judge).last().expect("at least one round")
}

#[test]
fn a_queue_at_its_target_raises_no_suspicion() {
    let mut competitors = Competitors::new(Instant::now());
    assert_eq!(judge(&mut competitors, &[round(6, 1e6); 200]).suspicion, Suspicion::None);
    assert!(competitors.is_calm());
}

#[test]
fn lasting_pressure_is_suspected_then_certain() {
    let mut competitors = Competitors::new(Instant::now());
    let pressed = [round(13, 1e6); PRESSURE_ROUNDS as usize];
    assert_eq!(judge(&mut competitors, &pressed[1..]).suspicion, Suspicion::None);
    assert_eq!(judge(&mut competitors, &pressed[..1]).suspicion, Suspicion::Suspected);
    competitors.become_wary(Instant::now(), Some(1e6));
    assert_eq!(judge(&mut competitors, &pressed).suspicion, Suspicion::Certain);
}

#[test]
fn on_a_short_path_pressure_takes_as_long() {
    let mut competitors = Competitors::new(Instant::now());
    let now = Instant::now();
    let mut model = PathModel::new(now, 1200, Without::default());
    model.round = Round { min_rtt: Duration::from_millis(2), ..round(13, 1e6) };
    let round_trips = rounds_of(&model, now + Duration::from_millis(5));
    let judge = |competitors: &mut Competitors, rounds: u32| {
        let judge = |_| competitors.on_round(now, &model.round, round_trips, true).suspicion;
        (0..rounds).map(judge).last()
    };
    assert_eq!(judge(&mut competitors, 150), Some(Suspicion::None));
    assert_eq!(judge(&mut competitors, 20), Some(Suspicion::Suspected));
}

#[test]
fn a_fall_after_a_contest_says_nothing() {
    let mut competitors = Competitors::new(Instant::now());
    competitors.become_wary(Instant::now(), None);
    assert_eq!(judge(&mut competitors, &[round(5, 4e5); 50]).suspicion, Suspicion::None);
    assert_eq!(judge(&mut competitors, &[round(5, 1e5); 100]).suspicion, Suspicion::None);
}

#[test]
fn a_cut_that_shortens_the_queue_is_repeated_and_one_that_does_not_is_futile() {
    let mut competitors = Competitors::new(Instant::now());
    assert!(judge(&mut competitors, &[round(100, 1e6)]).cut);
    let effective = judge(&mut competitors, &[100, 80, 60, 40].map(|queue| round(queue, 1e6)));
    assert!(effective.cut && effective.suspicion == Suspicion::None);
    let futile = judge(&mut competitors, &[40, 40, 40, 39].map(|queue| round(queue, 1e6)));
    assert!(!futile.cut && futile.suspicion == Suspicion::Suspected);
}

#[test]
fn a_lost_share_under_a_standing_queue_is_suspicious() {
    let mut competitors = Competitors::new(Instant::now());
    assert_eq!(judge(&mut competitors, &[round(5, 1e6)]).suspicion, Suspicion::None);
    assert_eq!(judge(&mut competitors, &[round(5, 5e5); 100]).suspicion, Suspicion::None);
    assert_eq!(judge(&mut competitors, &[round(5, 4e5); 100]).suspicion, Suspicion::Suspected);
}

#[test]
fn one_that_goes_on_falling_is_certain() {
    let mut competitors = Competitors::new(Instant::now());
    competitors.become_wary(Instant::now(), Some(4e5));
    assert_ne!(judge(&mut competitors, &[round(5, 3e5); 100]).suspicion, Suspicion::Certain);
    assert_eq!(judge(&mut competitors, &[round(5, 1.9e5); 100]).suspicion, Suspicion::Certain);
}

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
        Some(Round { rate: 1e6, queue: Duration::from_millis(queue_ms), standing: SECOND / 10, ..Round::default() }),
    );
    competitive
}

#[test]
fn it_never_grows_far_beyond_what_arrives() {
    let now = Instant::now();
    let mut competitive = CompetitiveMode::new(now, 100.0 * MTU, PASSES);
    let sample = Round { rate: 1e6, queue: SECOND / 20, standing: SECOND / 10, ..Round::default() };
    (0..100).for_each(|_| competitive.on_round(now + SECOND, MTU, Some(sample)));
    assert_eq!(competitive.window(), (GROWTH_MAX * 100.0 + f64::from(ACK_EVERY)) * MTU);
    // The rounds of a test, in which next to nothing arrives, do not shrink it.
    competitive.on_round(now + SECOND, MTU, None);
    assert_eq!(competitive.window(), (GROWTH_MAX * 100.0 + f64::from(ACK_EVERY)) * MTU);
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
    let mut competition = Competition::new(now);
    let mut passes_at = |at: Instant| {
        competition.begin(at, 0, true);
        assert!(competition.end(at, false));
        competition.passes
    };
    assert_eq!(passes_at(now), PASSES);
    assert_eq!(passes_at(now + SECOND), 2 * PASSES);
    assert_eq!(passes_at(now + 2 * SECOND), PASSES_MAX);
    assert_eq!(passes_at(now + 2 * SECOND + MEMORY), PASSES);
}
