use super::*;

const MS: Duration = Duration::from_millis(1);

fn round(rtt: Duration) -> RoundSamples {
    let mut samples = RoundSamples::new(Instant::now(), 0, 0);
    (0..2 * GROUP_ACKS).for_each(|_| samples.on_rtt(rtt));
    samples
}

fn known(bandwidth: f64) -> StartupInputs {
    StartupInputs { bandwidth, min_rtt: 0.05, trains: None, flight: None, leaps: true }
}

#[test]
fn a_queue_ends_it_and_a_single_late_ack_does_not() {
    let now = Instant::now();
    let at = |ms| now + ms * MS;
    let mut startup = Startup::new(None);
    startup.is_flat(&round(100 * MS), &known(1.0));
    (0..GROUP_ACKS - 1).for_each(|_| startup.on_rtt(120 * MS));
    startup.on_rtt(101 * MS);
    assert!(!startup.is_queue_seen(at(0), Duration::ZERO));
    (0..GROUP_ACKS).for_each(|_| startup.on_rtt(110 * MS));
    assert!(!startup.is_queue_seen(at(0), Duration::ZERO), "it may be late for a moment");
    assert!(startup.is_queue_seen(at(13), Duration::ZERO));
    startup.on_rtt(101 * MS);
    assert!(!startup.is_queue_seen(at(14), Duration::ZERO));
}

#[test]
fn three_rounds_without_growth_end_it() {
    let mut startup = Startup::new(None);
    let flat = [1.0, 2.0, 2.1, 2.2, 2.2].map(|rate| startup.is_flat(&round(50 * MS), &known(rate)));
    assert_eq!(flat, [false, false, false, false, true]);
}

#[test]
fn it_leaps_only_while_the_trains_show_far_more() {
    let known = StartupInputs { bandwidth: 1e6, min_rtt: 0.1, trains: Some((1e7, 2e7)), flight: None, leaps: true };
    assert_eq!(known.growth(100_000, 1000), LEAP * 1000);
    assert_eq!(known.growth(800_000, 1000), 1000);
    assert_eq!(StartupInputs { trains: None, ..known }.growth(100_000, 1000), 1000);
}

#[test]
fn a_flight_earns_the_next_one_up_to_what_the_path_carries() {
    let flight = |stretched| Some(DispersionSample { rate: 4e6, stretched });
    let known = StartupInputs { bandwidth: 1e6, min_rtt: 0.1, trains: None, flight: flight(false), leaps: true };
    assert_eq!(known.earned(), 1e6);
    assert_eq!(known.bound(), 1e6);
    assert_eq!(StartupInputs { trains: Some((5e6, 6e6)), ..known }.earned(), 5e5);
    assert_eq!(StartupInputs { flight: flight(true), ..known }.earned(), 4e5);
    assert_eq!(StartupInputs { flight: None, ..known }.earned(), 0.0);
}

#[test]
fn trains_that_delivery_reaches_without_a_queue_are_not_believed_any_more() {
    let trains = Some((1e6, 1e6));
    let mut startup = Startup::new(None);
    let known = |bandwidth| StartupInputs { trains, ..known(bandwidth) };
    startup.is_flat(&round(50 * MS), &known(5e5));
    startup.is_flat(&round(50 * MS), &known(9.5e5));
    assert!(!startup.refuted, "the queue of this round has a round to show");
    startup.is_flat(&round(50 * MS), &known(1e6));
    assert!(startup.refuted);
}

const INITIAL: u64 = 76_800;
/// 100 Mbit/s and 100 ms.
const PAST: PastPath = PastPath { bandwidth: 12_500_000, min_rtt: Duration::from_millis(100), age: Duration::ZERO };
const FLIGHT: u64 = 625_000;

fn begin(past: PastPath, rtt: Duration) -> (Instant, CarefulResume) {
    let now = Instant::now();
    let mut resume = CarefulResume::new(Some(past));
    assert_eq!(resume.window(), 0, "nothing is believed before the first round trip");
    resume.on_first_rtt(now, rtt, INITIAL);
    (now, resume)
}

#[test]
fn the_same_path_begins_with_half_of_what_it_carried() {
    let mut resume = CarefulResume::new(Some(PAST));
    assert_eq!(resume.on_first_rtt(Instant::now(), 103 * MS, INITIAL), Some(103 * MS));
    assert_eq!(resume.window(), FLIGHT);
    assert_eq!(begin(PAST, 80 * MS).1.window(), FLIGHT / 100 * 80, "never faster than half the rate");
}

#[test]
fn another_round_trip_is_another_path() {
    for rtt in [20, 50, 74, 156, 400] {
        assert_eq!(begin(PAST, rtt * MS).1.window(), 0, "{rtt} ms");
    }
}

#[test]
fn old_and_worthless_knowledge_is_not_used() {
    let aged = |age| begin(PastPath { age, ..PAST }, 100 * MS).1.window();
    assert_eq!(aged(AGE_MAX), FLIGHT);
    assert_eq!(aged(AGE_MAX + MS), 0);
    assert_eq!(begin(PastPath { bandwidth: 1_500_000, ..PAST }, 100 * MS).1.window(), 0, "start-up begins with more");
    assert_eq!(begin(PastPath { bandwidth: 0, ..PAST }, 100 * MS).1.window(), 0);
}

#[test]
fn a_handshake_that_loses_packets_shows_nothing() {
    let now = Instant::now();
    let mut resume = CarefulResume::new(Some(PAST));
    assert_eq!(resume.on_loss(now, now, 1200), LossCause::Path);
    assert_eq!(resume.on_first_rtt(now, 100 * MS, INITIAL), None);
}

#[test]
fn the_flight_ends_when_it_is_answered_for_or_not_sent_in_time() {
    let (now, mut resume) = begin(PAST, 100 * MS);
    resume.on_ack(now + 100 * MS, FLIGHT - 20_000);
    assert_eq!(resume.on_loss(now + 101 * MS, now, 19_000), LossCause::Path);
    assert_eq!(resume.window(), FLIGHT);
    resume.on_ack(now + 102 * MS, 1000);
    assert_eq!(resume.window(), 0);
    let (now, mut idle) = begin(PAST, 100 * MS);
    idle.on_ack(now + MEMORY_ROUNDS * 100 * MS, 1000);
    assert_eq!(idle.window(), FLIGHT);
    idle.on_ack(now + MEMORY_ROUNDS * 100 * MS + MS, 1000);
    assert_eq!(idle.window(), 0);
}

#[test]
fn a_flight_that_is_lost_is_retreated_from_and_its_losses_are_not_the_paths() {
    let (now, mut resume) = begin(PAST, 100 * MS);
    let later = now + 110 * MS;
    resume.on_ack(later, 36_000);
    assert_eq!(resume.on_loss(later, now, 11_000), LossCause::Path, "a few are chance");
    assert_eq!(resume.on_loss(later, now, 6_000), LossCause::Unmasked);
    assert_eq!(resume.window(), 0);
    assert_eq!(resume.on_loss(later + MS, later - MS, 1200), LossCause::Flight);
    assert_eq!(resume.on_loss(later + 200 * MS, later + MS, 1200), LossCause::Path);
}

#[test]
fn a_queue_retreats_only_from_a_flight() {
    let (now, mut resume) = begin(PAST, 100 * MS);
    resume.on_ack(now, FLIGHT);
    resume.retreat(now);
    assert_eq!(resume.on_loss(now, now, 1200), LossCause::Path);
    let (now, mut resume) = begin(PAST, 100 * MS);
    resume.retreat(now);
    assert_eq!(resume.on_loss(now, now, 1200), LossCause::Flight);
}
