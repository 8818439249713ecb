use super::*;

const MS: Duration = Duration::from_millis(1);

/// One batch of ten packets of which five follow the first ones after so many microseconds.
fn train(model: &mut PathModel, start: Instant, micros: u64) {
    model.sampler.on_sent(start, false);
    let first = start + 50 * MS;
    for (at, packets) in [(first, 5), (first + Duration::from_micros(micros), 5)] {
        (0..packets).for_each(|_| model.sampler.on_ack(at, start, 1200));
        model.sampler.on_end_acks(at, 100_000, false);
    }
}

/// Beside others no eight trains agree: their packets come between ours, and some of ours come together.
#[test]
fn what_the_path_carries_is_known_where_few_trains_agree() {
    let now = Instant::now();
    let mut model = PathModel::new(now, 1200, Without::default());
    for round in 0..8u32 {
        for (nth, micros) in [400, 1200, 400, 100, 420].into_iter().enumerate() {
            train(&mut model, now + (10 * round + nth as u32) * 20 * MS, micros);
        }
        model.end_round(now + 200 * (round + 1) * MS);
    }
    let (median, most) = model.train_rates().expect("there were many");
    assert!(!do_agree(median, most) && model.jitter().is_zero(), "{median} {most}");
    assert!((model.capacity.get() / 1.5e7 - 1.0).abs() < 0.06, "{}", model.capacity.get());
}

#[test]
fn what_a_full_queue_drops_counts_as_if_it_stood_there() {
    let now = Instant::now();
    let lossless = |lost: u64| {
        let mut model = PathModel::new(now, 1200, Without::default());
        model.sampler.on_sent(now, false);
        for ack in 1..=4 {
            let at = now + 50 * MS + ack * MS;
            (0..10).for_each(|_| model.sampler.on_ack(at, now, 1200));
            let sample = model.sampler.on_end_acks(at, 100_000, false).expect("a batch was acknowledged");
            model.on_sample(at, &Sample { rtt: 100 * MS, ..sample });
        }
        model.samples.lost = lost * 1200;
        model.lossless_rtt()
    };
    assert_eq!(lossless(0), 100 * MS);
    assert_eq!(lossless(1), 100 * MS, "one packet is chance");
    assert_eq!(lossless(40), 200 * MS);
}
