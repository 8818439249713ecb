//! What the memory of a path is worth on a simulated link, and what it costs when the path is another one by now.

use std::sync::Arc;
use std::time::Duration;

use crate::sim::{FlowConfig, LinkConfig, Report, Scenario, Tls, run};
use qft::congestion::{AGE_MAX, ControllerConfig, PastPath, PathState};

const MBIT: u64 = 1_000_000;
const MIB: u64 = 1 << 20;
/// What a connection leaves of a link of 100 Mbit/s: UDP payload.
const BANDWIDTH: u64 = 12_200_000;

fn ms(value: u64) -> Duration {
    Duration::from_millis(value)
}

fn past(rtt_ms: u64) -> PastPath {
    PastPath { bandwidth: BANDWIDTH, min_rtt: ms(rtt_ms), age: Duration::ZERO }
}

/// One transfer; what its connection learnt goes to `state`.
struct Transfer {
    link: LinkConfig,
    bytes: u64,
    late: Duration,
    seed: u64,
    state: Arc<PathState>,
}

impl Transfer {
    fn new(mbit: u64, rtt_ms: u64, bytes: u64) -> Self {
        let link = LinkConfig::new(mbit * MBIT, ms(rtt_ms));
        Self { link, bytes, late: Duration::ZERO, seed: 1, state: Arc::default() }
    }

    fn run(&self, past: Option<PastPath>) -> Report {
        let config = ControllerConfig::new(self.state.clone()).resuming(past);
        let mut flow = FlowConfig::new(Arc::new(config));
        flow.body = Some(self.bytes);
        let mut scenario = Scenario::new(self.link, flow);
        scenario.measure_from = Duration::ZERO;
        scenario.end = Duration::from_secs(60);
        scenario.trace_every = ms(10);
        scenario.wake_late = self.late;
        scenario.seed = self.seed;
        run(&scenario, &Tls::generate())
    }

    /// Round trips that the memory saves.
    fn saved(&self, past: PastPath) -> f64 {
        let (fresh, recalled) = (took(&self.run(None)), took(&self.run(Some(past))));
        (fresh.as_secs_f64() - recalled.as_secs_f64()) / (2 * self.link.delay).as_secs_f64()
    }
}

fn took(report: &Report) -> Duration {
    report.flows[0].finished.expect("a minute is plenty")
}

fn lost_bytes(report: &Report) -> u64 {
    let last = report.flows[0].trace.last().expect("traced");
    last.lost_packets * 1452
}

#[test]
fn the_same_path_saves_half_a_round_trip_and_more() {
    for (rtt, mib) in [(20, 8), (100, 1), (100, 8), (100, 64), (200, 1), (200, 8), (300, 1), (300, 8)] {
        let saved = Transfer::new(100, rtt, mib * MIB).saved(past(rtt));
        assert!(saved > 0.4, "{mib} MiB at {rtt} ms: {saved:.2} round trips");
    }
}

/// There the spacing of acknowledgements is blurred.
#[test]
fn on_busy_machines_it_saves_as_much() {
    for rtt in [100, 200, 300] {
        let with = |seed| Transfer { late: ms(1), seed, ..Transfer::new(100, rtt, 8 * MIB) };
        let saved = (1..=5).map(|seed| with(seed).saved(past(rtt))).sum::<f64>() / 5.0;
        assert!(saved > 0.4, "{rtt} ms: {saved:.2} round trips");
    }
}

#[test]
fn what_one_connection_learnt_serves_the_next() {
    let transfer = Transfer::new(100, 100, 16 * MIB);
    transfer.run(None);
    let learnt = transfer.state.snapshot().past().expect("the path was full");
    assert!(learnt.bandwidth.abs_diff(BANDWIDTH) < BANDWIDTH / 20, "{learnt:?}");
    assert!(learnt.min_rtt.abs_diff(ms(100)) < ms(5), "{learnt:?}");
    let saved = transfer.saved(learnt);
    assert!(saved > 0.4, "{saved:.2} round trips");
    let short = Transfer::new(100, 100, 100_000);
    short.run(None);
    assert_eq!(short.state.snapshot().past(), None, "too short to know");
}

/// A tenth of what it was, with queues of every depth.
#[test]
fn a_path_that_became_ten_times_slower_is_retreated_from_at_once() {
    let flight = BANDWIDTH / 2 / 10;
    for queue_ms in [20, 100, 1000] {
        let mut transfer = Transfer::new(10, 100, 8 * MIB);
        transfer.link.queue = crate::sim::bytes_in(transfer.link.rate, ms(queue_ms));
        let (fresh, recalled) = (transfer.run(None), transfer.run(Some(past(100))));
        let cost = took(&recalled).saturating_sub(took(&fresh));
        assert!(cost < ms(200), "{queue_ms} ms: {cost:?} longer");
        let lost = lost_bytes(&recalled) - lost_bytes(&fresh);
        assert!(lost < flight, "{queue_ms} ms: {lost} bytes more lost");
        let draining = ms(flight * 8 / (10 * MBIT / 1000));
        assert!(recalled.link.queue_max < draining, "{queue_ms} ms: {:?}", recalled.link.queue_max);
        // The flight has left the queue by then, and nothing keeps it up.
        let settled = draining + ms(600);
        let later = recalled.flows[0].trace.iter().filter(|point| point.at > settled).map(|point| point.queue).max();
        assert!(later < Some(ms(60)), "{queue_ms} ms: {later:?}");
    }
}

#[test]
fn half_the_rate_is_no_harm() {
    let transfer = Transfer::new(50, 100, 8 * MIB);
    let (fresh, recalled) = (transfer.run(None), transfer.run(Some(past(100))));
    assert!(took(&recalled) < took(&fresh));
    assert_eq!(lost_bytes(&recalled), 0);
}

#[test]
fn another_round_trip_or_old_knowledge_changes_nothing() {
    let transfer = Transfer::new(100, 100, 4 * MIB);
    let fresh = transfer.run(None);
    for rtt in [20, 50, 150, 300] {
        assert_eq!(transfer.run(Some(past(rtt))), fresh, "{rtt} ms");
    }
    assert_eq!(transfer.run(Some(PastPath { age: AGE_MAX + ms(1), ..past(100) })), fresh);
    assert_ne!(transfer.run(Some(past(100))), fresh);
}
