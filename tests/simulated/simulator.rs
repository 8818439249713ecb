//! The simulator itself: its queues, its policer and its TCP flows do what is known of the real ones.

use std::sync::Arc;
use std::time::Duration;

use crate::sim::{
    Control, Discipline, FlowConfig, LinkConfig, Loss, Policer, Report, Scenario, TcpConfig, Tls, bytes_in, run,
};
use qft::congestion::{ControllerConfig, Mechanism, Without};

const CUBIC: Control = Control::Cubic { hystart: true };

fn ms(value: u64) -> Duration {
    Duration::from_millis(value)
}

fn secs(value: u64) -> Duration {
    Duration::from_secs(value)
}

fn link(mbit: u64, rtt: u64) -> LinkConfig {
    LinkConfig::new(mbit * 1_000_000, ms(rtt))
}

/// The first begins at once, the others five seconds later; from the tenth second to the twenty-fifth.
fn together(link: LinkConfig, flows: Vec<FlowConfig>) -> Report {
    let mut scenario = Scenario::new(link, flows[0].clone());
    scenario.flows = flows;
    scenario.flows.iter_mut().skip(1).for_each(|flow| flow.start = secs(5));
    (scenario.measure_from, scenario.end) = (secs(10), secs(25));
    run(&scenario, &Tls::generate())
}

fn tcp(control: Control) -> FlowConfig {
    FlowConfig::tcp(control)
}

fn ours() -> FlowConfig {
    FlowConfig::new(Arc::new(ControllerConfig::new(Arc::default())))
}

/// Shares and queue of one flow alone.
fn alone(link: LinkConfig, flow: FlowConfig) -> (f64, Report) {
    let report = together(link, vec![flow]);
    (report.flows[0].share, report)
}

#[test]
fn every_tcp_fills_a_link_that_loses_nothing() {
    for control in [CUBIC, Control::Cubic { hystart: false }, Control::Bbr1, Control::Bbr3] {
        let (share, report) = alone(link(50, 50), tcp(control));
        // Its headers are a little smaller than QUIC's, and BBR stands aside for a moment every ten seconds.
        assert!((0.9..1.02).contains(&share), "{control:?}: {share}");
        assert!(report.flows[0].resent < 0.1, "{control:?}: {}", report.flows[0].resent);
    }
}

#[test]
fn cubic_collapses_under_random_loss_and_bbr_does_not() {
    let lossy = LinkConfig { loss: Loss::Random(0.01), ..link(50, 50) };
    let share = |control| alone(lossy, tcp(control)).0;
    // RFC 9438's Reno-friendly region: about sqrt(3/2p) segments, 12 of 140.
    assert!((0.04..0.15).contains(&share(CUBIC)), "{}", share(CUBIC));
    assert!(share(Control::Bbr1) > 0.85, "{}", share(Control::Bbr1));
    assert!(share(Control::Bbr3) > 0.3, "{}", share(Control::Bbr3));
}

/// Two that are alike share evenly in the long run, and nobody starves.
#[test]
fn flows_of_one_kind_leave_each_other_room() {
    for control in [CUBIC, Control::Bbr1, Control::Bbr3] {
        let report = together(link(50, 50), vec![tcp(control), tcp(control)]);
        let [first, second] = [report.flows[0].share, report.flows[1].share];
        assert!(first + second > 0.9, "{control:?}: {first} {second}");
        assert!(first.min(second) > 0.1, "{control:?}: {first} {second}");
    }
}

/// BBR's known strength in short queues and weakness in long ones (Hock, Bless, Zitterbart 2017).
#[test]
fn bbr_takes_from_cubic_in_short_queues_and_gives_in_long_ones() {
    let of = |queue: f64| {
        let mut link = link(100, 50);
        link.queue = bytes_in(link.rate, ms(50).mul_f64(queue));
        let report = together(link, vec![tcp(Control::Bbr1), tcp(CUBIC)]);
        (report.flows[0].share, report.flows[1].share)
    };
    let ((bbr, cubic), (bbr_long, cubic_long)) = (of(0.5), of(4.0));
    assert!(bbr > 2.0 * cubic, "short: bbr {bbr}, cubic {cubic}");
    assert!(cubic_long > bbr_long, "long: bbr {bbr_long}, cubic {cubic_long}");
}

/// What takes no notice of marks is dropped, what does is marked, and both stand at a few milliseconds.
#[test]
fn codel_keeps_a_queue_short_by_marks_or_by_drops() {
    for (ecn, discipline) in [(false, Discipline::CoDel), (true, Discipline::CoDel), (true, Discipline::FqCodel)] {
        let mut path = link(50, 50);
        (path.discipline, path.queue) = (discipline, bytes_in(path.rate, secs(1)));
        let flow = FlowConfig { tcp: Some(TcpConfig { ecn, ..TcpConfig::new(CUBIC) }), ..tcp(CUBIC) };
        let (share, report) = alone(path, flow);
        assert!(share > 0.8, "{ecn} {discipline:?}: {share}");
        assert!(report.queue_mean < ms(15), "{ecn} {discipline:?}: {:?}", report.queue_mean);
        assert_eq!(report.link.marked > 0, ecn, "{discipline:?}");
        assert_eq!(report.link.queue_drops > 0, !ecn, "{discipline:?}");
    }
}

#[test]
fn fq_codel_gives_each_flow_its_part() {
    let mut path = link(50, 50);
    (path.discipline, path.queue) = (Discipline::FqCodel, bytes_in(path.rate, secs(1)));
    let report = together(path, vec![tcp(Control::Bbr1), tcp(CUBIC), ours()]);
    for flow in &report.flows {
        assert!(
            (0.2..0.45).contains(&flow.share),
            "{:?}",
            report.flows.iter().map(|flow| flow.share).collect::<Vec<_>>()
        );
    }
}

/// quinn sends ECT(0), and the marks come back to the controller; a path without a marking queue clears the field.
#[test]
fn a_step_marks_what_waits_longer_and_a_plain_queue_marks_nothing() {
    let step = LinkConfig { discipline: Discipline::Step(ms(1)), ..link(50, 50) };
    let (_, report) = alone(step, ours());
    assert!(report.link.marked > 0);
    let (_, report) = alone(link(50, 50), ours());
    assert_eq!(report.link.marked, 0);
}

/// A mark is heard before a queue is as long as it would be otherwise, and costs no goodput.
#[test]
fn marks_shorten_the_queue_and_cost_nothing() {
    let deaf = ControllerConfig { without: Without::only(Mechanism::Marks), ..ControllerConfig::new(Arc::default()) };
    for (rtt, discipline, most) in [(20, Discipline::Step(ms(1)), 0.7), (200, Discipline::FqCodel, 0.1)] {
        let path = LinkConfig { discipline, ..link(100, rtt) };
        let (_, unheard) = alone(path, FlowConfig::new(Arc::new(deaf.clone())));
        let (share, report) = alone(path, ours());
        assert!(share > 0.95, "{discipline:?}: {share}");
        assert!(report.queue_mean < unheard.queue_mean.mul_f64(0.7), "{:?}", (report.queue_mean, unheard.queue_mean));
        let marked = report.link.marked as f64 / unheard.link.marked as f64;
        assert!(marked < most, "{discipline:?}: {marked} of the marks");
    }
}

#[test]
fn a_policer_drops_what_is_above_its_rate_and_keeps_no_queue() {
    let policer = Policer { rate: 10_000_000, burst: 64_000 };
    let path = LinkConfig { policer: Some(policer), ..link(100, 50) };
    let (share, report) = alone(path, tcp(Control::Bbr1));
    assert!(share < 0.105, "{share}");
    assert!(report.link.policed > 0);
    assert!(report.queue_mean < ms(2), "{:?}", report.queue_mean);
    assert_eq!(report.link.queue_drops, 0);
}

#[test]
fn a_flow_that_ends_leaves_the_link_to_the_other() {
    let mut first = tcp(CUBIC);
    first.until = Some(secs(12));
    let report = together(link(50, 50), vec![first, tcp(CUBIC)]);
    assert!(report.flows[0].share < 0.2, "{}", report.flows[0].share);
    assert!(report.flows[1].share > 0.7, "{}", report.flows[1].share);
}

#[test]
fn flows_of_tcp_repeat_themselves_with_the_same_seed() {
    let of = |seed| {
        let lossy = LinkConfig { loss: Loss::Random(0.001), ..link(20, 40) };
        let mut scenario = Scenario::new(lossy, tcp(Control::Bbr1));
        scenario.flows.push(tcp(CUBIC));
        (scenario.measure_from, scenario.end, scenario.seed) = (secs(2), secs(8), seed);
        run(&scenario, &Tls::generate())
    };
    assert_eq!(of(3), of(3));
    assert_ne!(of(3), of(4));
}
