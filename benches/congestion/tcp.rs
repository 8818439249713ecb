//! `tcp`: TCP alone and beside TCP, to be held against the kernel's.

use std::time::Duration;

use crate::rivals::{Rival, link};
use crate::sim::{FlowConfig, LinkConfig, Scenario, Tls, run};

/// TCP alone and beside TCP, to be compared with the kernel's over the emulator.
pub fn tcp() {
    let tls = Tls::generate();
    let cell = |mbit, rtt, loss, queue, first, second| (mbit, rtt, loss, queue, first, second);
    use Rival::{Bbr1, Cubic};
    for (mbit, rtt, loss, queue, first, second) in [
        cell(100.0, 50.0, 0.0, 1.0, (Bbr1, 1), None),
        cell(100.0, 50.0, 0.0, 1.0, (Cubic, 1), None),
        cell(100.0, 50.0, 1.0, 1.0, (Bbr1, 1), None),
        cell(100.0, 50.0, 0.0, 1.0, (Bbr1, 1), Some((Cubic, 1))),
        cell(100.0, 50.0, 0.0, 1.0, (Cubic, 1), Some((Bbr1, 1))),
        cell(100.0, 50.0, 0.0, 1.0, (Bbr1, 1), Some((Bbr1, 1))),
        cell(100.0, 20.0, 0.0, 1.0, (Bbr1, 1), Some((Cubic, 1))),
        cell(100.0, 50.0, 0.0, 4.0, (Bbr1, 1), Some((Cubic, 1))),
        cell(100.0, 50.0, 0.0, 0.5, (Bbr1, 1), Some((Cubic, 1))),
        cell(100.0, 50.0, 0.0, 1.0, (Cubic, 1), Some((Cubic, 1))),
        cell(100.0, 200.0, 0.0, 1.0, (Bbr1, 1), Some((Cubic, 1))),
        cell(30.0, 50.0, 0.0, 1.0, (Bbr1, 1), Some((Cubic, 1))),
        cell(100.0, 50.0, 0.1, 1.0, (Cubic, 1), None),
        cell(100.0, 50.0, 0.0, 1.0, (Cubic, 4), Some((Bbr1, 1))),
        cell(100.0, 50.0, 0.0, 1.0, (Bbr1, 4), Some((Cubic, 1))),
        cell(100.0, 200.0, 0.0, 1.0, (Cubic, 1), None),
    ] {
        let outcomes: Vec<_> =
            (1..=3).map(|seed| of_tcp(link(mbit, rtt, loss, queue), first, second, &tls, seed)).collect();
        let mean = |of: &dyn Fn(&[f64; 4]) -> f64| outcomes.iter().map(of).sum::<f64>() / outcomes.len() as f64;
        let words = |group: (Rival, usize)| format!("{}:{}", group.0.word(), group.1);
        println!(
            "{mbit}/{rtt}/{loss} queue {queue} {:>8} {:>8} | {:6.1} {:6.1} Mbit/s, queue {:6.1} ms, dropped {:5.2} %",
            words(first),
            second.map_or_else(|| "none".to_owned(), words),
            mean(&|outcome| outcome[0]),
            mean(&|outcome| outcome[1]),
            mean(&|outcome| outcome[2]),
            mean(&|outcome| outcome[3]),
        );
    }
}

/// Mbit/s of the first and the second group, mean queue in ms, drops in percent.
fn of_tcp(link: LinkConfig, first: (Rival, usize), second: Option<(Rival, usize)>, tls: &Tls, seed: u64) -> [f64; 4] {
    let group = |(rival, count): (Rival, usize), start| {
        (0..count).map(move |nth| FlowConfig { start: start + Duration::from_millis(2) * nth as u32, ..rival.flow() })
    };
    let mut flows: Vec<_> = group(first, Duration::ZERO).collect();
    flows.extend(second.into_iter().flat_map(|second| group(second, Duration::from_secs(5))));
    let mut scenario = Scenario::new(link, flows[0].clone());
    scenario.flows = flows;
    scenario.seed = seed;
    (scenario.measure_from, scenario.end) = (Duration::from_secs(10), Duration::from_secs(25));
    let report = run(&scenario, tls);
    let shares: Vec<_> = report.flows.iter().map(|flow| flow.share).collect();
    let (first, second) = shares.split_at(first.1);
    let mbit = |shares: &[f64]| shares.iter().sum::<f64>() * scenario.limit() * 8.0 / 1e6;
    let drops = report.link.queue_drops as f64 / report.link.offered_packets as f64;
    [mbit(first), mbit(second), report.queue_mean.as_secs_f64() * 1e3, drops * 100.0]
}
