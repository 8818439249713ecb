use super::*;

const MS: Duration = Duration::from_millis(1);

/// Sends 10 packets of 1000 bytes every 10 ms and acknowledges each batch 50 ms later.
fn steady(sampler: &mut RateSampler, start: Instant, batches: u32) -> Vec<Sample> {
    let mut samples = Vec::new();
    for tick in 0..batches + 5 {
        let now = start + tick * 10 * MS;
        if tick >= 5 {
            let sent = start + (tick - 5) * 10 * MS;
            (0..10).for_each(|_| sampler.on_ack(now, sent, 1000));
            samples.extend(sampler.on_end_acks(now, 40_000, false));
        }
        sampler.on_sent(now, false);
    }
    samples
}

#[test]
fn a_steady_sender_is_measured_at_its_rate() {
    let start = Instant::now();
    let samples = steady(&mut RateSampler::new(start), start, 50);
    let last = samples.last().expect("acknowledged");
    assert!((last.rate - 1e6).abs() < 1e3, "{}", last.rate);
    assert_eq!(last.rtt, 50 * MS);
    assert!(!last.app_limited);
}

#[test]
fn compressed_acks_do_not_read_faster_than_what_was_sent() {
    let start = Instant::now();
    let mut sampler = RateSampler::new(start);
    steady(&mut sampler, start, 50);
    // Five batches are outstanding; all are acknowledged within a microsecond.
    let now = start + 700 * MS;
    for batch in 50..55u32 {
        let at = now + Duration::from_nanos(batch.into());
        (0..10).for_each(|_| sampler.on_ack(at, start + batch * 10 * MS, 1000));
        let sample = sampler.on_end_acks(at, 0, false).expect("a batch was acknowledged");
        assert!(sample.rate < 1.3e6, "{}", sample.rate);
    }
}

/// One batch of ten packets, of which each of `acks` (time in microseconds, packets) acknowledges some.
fn train(sampler: &mut RateSampler, start: Instant, acks: &[(u64, u32)]) {
    train_sent(sampler, start, false, acks);
}

fn train_sent(sampler: &mut RateSampler, start: Instant, is_paced: bool, acks: &[(u64, u32)]) {
    let at = |micros| start + Duration::from_micros(micros);
    sampler.on_sent(start, is_paced);
    for &(micros, packets) in acks {
        (0..packets).for_each(|_| sampler.on_ack(at(micros), start, 1200));
        sampler.on_end_acks(at(micros), 100_000, false);
    }
}

#[test]
fn the_spacing_of_a_batch_shows_the_rate_and_a_held_back_ack_does_not_spoil_it() {
    let start = Instant::now();
    let mut sampler = RateSampler::new(start);
    for batch in 0..4u32 {
        // Four packets in 0.4 ms; the last one waits ten milliseconds for its acknowledgement.
        train(&mut sampler, start + batch * 20 * MS, &[(50_000, 5), (50_400, 4), (60_400, 1)]);
    }
    let (median, most) = sampler.train_rates().expect("three whole trains");
    assert!((median - 1.2e7).abs() < 1e5 && (most - 1.2e7).abs() < 1e5, "{median} {most}");
}

#[test]
fn an_ack_that_a_later_batch_caused_says_nothing_about_an_earlier_one() {
    let start = Instant::now();
    let mut sampler = RateSampler::new(start);
    for batch in 0..8u32 {
        let sent = start + batch * 10 * MS;
        sampler.on_sent(sent, false);
        // The second half of the batch before it comes with the first half of this one, ten milliseconds later.
        let now = sent + 100 * MS;
        (0..5).for_each(|_| sampler.on_ack(now, sent - 10 * MS, 1200));
        (0..5).for_each(|_| sampler.on_ack(now, sent, 1200));
        sampler.on_end_acks(now, 100_000, false);
    }
    assert_eq!(sampler.train_rates(), None);
}

#[test]
fn what_was_sent_in_an_idle_spell_is_marked() {
    let start = Instant::now();
    let mut sampler = RateSampler::new(start);
    sampler.on_sent(start, false);
    sampler.on_ack(start + MS, start, 1000);
    assert!(sampler.on_end_acks(start + MS, 5000, true).is_some());
    sampler.on_sent(start + 2 * MS, false);
    sampler.on_ack(start + 3 * MS, start + 2 * MS, 1000);
    assert!(sampler.on_end_acks(start + 3 * MS, 4000, false).expect("acknowledged").app_limited);
}

#[test]
fn the_first_flight_after_an_idle_spell_is_marked_and_the_next_one_is_not() {
    let start = Instant::now();
    let mut sampler = RateSampler::new(start);
    sampler.on_sent(start, false);
    sampler.on_ack(start + MS, start, 1000);
    sampler.on_end_acks(start + MS, 0, true);
    for (at, marked) in [(10, true), (12, false)] {
        sampler.on_sent(start + at * MS, false);
        sampler.on_ack(start + (at + 1) * MS, start + at * MS, 1000);
        let sample = sampler.on_end_acks(start + (at + 1) * MS, 9000, false).expect("acknowledged");
        assert_eq!(sample.app_limited, marked, "sent at {at} ms");
    }
}

const BATCH: u64 = 10 * 1200;

/// Ten batches sent every `sent_every`, acknowledged from 100 ms on every `acked_every`.
fn flight(sent_every: Duration, acked_every: Duration) -> Option<DispersionSample> {
    let start = Instant::now();
    let mut dispersion = Dispersion::default();
    for batch in 0..10 {
        dispersion.on_ack(start + 100 * MS + acked_every * batch, start + sent_every * batch, BATCH);
    }
    dispersion.shown()
}

#[test]
fn a_flight_that_arrives_as_it_left_shows_how_fast_it_was_sent() {
    let shown = flight(2 * MS, 2 * MS).expect("a hundred packets");
    assert!((shown.rate - 6e6).abs() < 1e3 && !shown.stretched, "{shown:?}");
}

#[test]
fn a_flight_that_is_stretched_shows_the_path() {
    let shown = flight(2 * MS, 5 * MS).expect("a hundred packets");
    assert!((shown.rate - 2.4e6).abs() < 1e3 && shown.stretched, "{shown:?}");
}

#[test]
fn acks_that_come_together_show_no_more_than_was_sent() {
    let shown = flight(2 * MS, Duration::ZERO).expect("a hundred packets");
    assert!((shown.rate - 6e6).abs() < 1e3 && !shown.stretched, "{shown:?}");
}

#[test]
fn what_came_before_a_pause_does_not_count() {
    let start = Instant::now();
    let mut dispersion = Dispersion::default();
    dispersion.on_ack(start + 100 * MS, start, BATCH);
    for batch in 0..10 {
        let sent = start + (40 + 2 * batch) * MS;
        dispersion.on_ack(sent + 100 * MS, sent, BATCH);
    }
    let shown = dispersion.shown().expect("a hundred packets");
    assert!((shown.rate - 6e6).abs() < 1e3, "{shown:?}");
}

#[test]
fn a_few_packets_show_nothing() {
    let start = Instant::now();
    let mut dispersion = Dispersion::default();
    (0..3).for_each(|batch| dispersion.on_ack(start + (100 + batch) * MS, start + batch * MS, BATCH));
    assert_eq!(dispersion.shown(), None);
}

#[test]
fn what_left_one_by_one_says_nothing_of_the_slowest_link() {
    let start = Instant::now();
    for (is_paced, known) in [(false, true), (true, false)] {
        let mut sampler = RateSampler::new(start);
        for batch in 0..4u32 {
            train_sent(&mut sampler, start + batch * 10 * MS, is_paced, &[(50_000, 5), (50_400, 5)]);
        }
        assert_eq!(sampler.train_rates().is_some(), known, "paced: {is_paced}");
    }
}

#[test]
fn spacings_that_late_machines_make_longer_and_shorter_show_the_rate_together() {
    let start = Instant::now();
    let mut sampler = RateSampler::new(start);
    for batch in 0..16u32 {
        // Five packets in 0.4 ms, but each second batch is acknowledged all at once and the next one in twice the time.
        let late = [0, 800][batch as usize % 2];
        train(&mut sampler, start + batch * 20 * MS, &[(50_000, 4), (50_000 + late, 5), (60_400, 1)]);
    }
    let rate = sampler.spaced_rate().expect("many spacings");
    assert!((rate - 1.5e7).abs() < 1e5, "{rate}");
}

#[test]
fn a_few_spacings_that_are_far_off_say_nothing() {
    let start = Instant::now();
    let mut sampler = RateSampler::new(start);
    for batch in 0..16u32 {
        let time = if batch % 8 == 3 { 9000 } else { 400 };
        train(&mut sampler, start + batch * 20 * MS, &[(50_000, 5), (50_000 + time, 5)]);
    }
    let rate = sampler.spaced_rate().expect("many spacings");
    assert!((rate - 1.5e7).abs() < 1e5, "{rate}");
}

/// Few packets leave in a batch where little is in flight, and the time that their acknowledgement waits for more is not the path's.
#[test]
fn an_acknowledgement_that_was_not_due_yet_shows_no_spacing() {
    let start = Instant::now();
    for (packets, known) in [(ACK_EVERY, false), (ACK_EVERY + 1, true)] {
        let mut sampler = RateSampler::new(start);
        for batch in 0..MEMORY_ROUNDS {
            train(&mut sampler, start + batch * 20 * MS, &[(50_000, 5), (60_000, packets)]);
        }
        assert_eq!(sampler.spaced_rate().is_some(), known, "{packets} packets");
    }
}
