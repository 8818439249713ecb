//! `policer`: behind token buckets without a queue.

use std::path::Path;
use std::time::Duration;

use crate::rivals::{Rival, link, ours};
use crate::sheet::{Row, Sheet};
use crate::sim::{FlowConfig, Policer, Scenario, Tls, run};

/// Goodput over a policer's rate, and what may be lost there.
const POLICED: f64 = 0.95;
const POLICED_LOST: f64 = 0.03;

const POLICER_NOTES: [&str; 4] = [
    "cargo bench --bench congestion -- policer out=benches/congestion/policer.txt; simulated time, the same on every machine",
    "a token bucket of so many Mbit/s and KB before a link of 100 Mbit/s; from the 3rd to the 23rd second",
    "goodput in % of the bucket's limit (0.956 x rate), packets lost in %; the same of bbr and cubic",
    "bounds: goodput >= 95 %, lost <= 3 %",
];

/// Token buckets without a queue.
pub fn policer(out: Option<&Path>) {
    let tls = Tls::generate();
    let mut sheet = Sheet::new(&POLICER_NOTES);
    for rtt in [20.0, 50.0, 100.0] {
        for (mbit, burst) in [(20.0, 64_000), (20.0, 500_000), (48.0, 128_000), (5.0, 32_000), (90.0, 1_000_000)] {
            let policer = Policer { rate: (mbit * 1e6) as u64, burst };
            let of = |flow: FlowConfig| policed(policer, rtt, flow, &tls);
            let (share, lost) = of(ours(Duration::ZERO));
            let others: Vec<_> = [Rival::Bbr1, Rival::Bbr3, Rival::Cubic]
                .map(|rival| {
                    let (share, lost) = of(rival.flow());
                    format!("{} {:5.1} {:4.1}", rival.word(), share * 100.0, lost * 100.0)
                })
                .to_vec();
            let figures = format!("ours {:5.1} {:4.1} | {}", share * 100.0, lost * 100.0, others.join(" | "));
            let found = [(share < POLICED, "goodput"), (lost > POLICED_LOST, "lost")];
            let missed = found.into_iter().filter_map(|(is_missed, name)| is_missed.then_some(name)).collect();
            sheet.put(&Row { name: format!("{mbit} Mbit/s, {} KB, RTT {rtt}", burst / 1000), figures, missed });
        }
    }
    sheet.finish(out);
}

/// (goodput over the policer's limit, share of packets lost) of one flow.
pub fn policed(policer: Policer, rtt: f64, flow: FlowConfig, tls: &Tls) -> (f64, f64) {
    let mut scenario = Scenario::new(link(100.0, rtt, 0.0, 1.0), flow);
    let limit = scenario.limit() * policer.rate as f64 / scenario.forward.rate as f64;
    scenario.forward.policer = Some(policer);
    (scenario.measure_from, scenario.end) = (Duration::from_secs(3), Duration::from_secs(23));
    let report = run(&scenario, tls);
    let flow = &report.flows[0];
    (flow.share * scenario.limit() / limit, flow.resent)
}
