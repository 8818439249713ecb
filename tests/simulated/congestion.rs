//! The congestion controller on simulated links, against the bounds it is built for.
//!
//! Virtual time: the same figures everywhere, however slow the machine. `cargo bench --bench congestion` prints the whole
//! table; here are the cells that cover its corners. An ordinary run looks at the first of each list, which cover them in
//! seconds; all of them, with all seeds: `QFT_SIM_ALL=1 cargo test --test simulated`.

use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::sim::{
    Control, Factory, FlowConfig, FlowReport, LinkConfig, Loss, Lull, Policer, Report, Scenario, Stalls, Tls, run,
};
use qft::congestion::{ControllerConfig, PathState, Phase};
use quinn_proto::RttEstimator;
use quinn_proto::congestion::{Controller, ControllerFactory, CubicConfig};

const MBIT: u64 = 1_000_000;

fn ms(value: u64) -> Duration {
    Duration::from_millis(value)
}

fn secs(value: u64) -> Duration {
    Duration::from_secs(value)
}

fn ours() -> Factory {
    Arc::new(ControllerConfig::new(Arc::default()))
}

fn cubic() -> Factory {
    Arc::new(CubicConfig::default())
}

/// Whether all is looked at.
fn is_long_run() -> bool {
    std::env::var_os("QFT_SIM_ALL").is_some()
}

/// Of a list of cases the first ones, or all.
fn looked_at<T>(ordinary: usize, all: &[T]) -> &[T] {
    if is_long_run() { all } else { &all[..ordinary] }
}

/// Seeds of which the mean counts.
fn seeds(all: u64) -> std::ops::RangeInclusive<u64> {
    /// As many as it takes for a single bad one not to decide.
    const ORDINARY: u64 = 2;
    1..=if is_long_run() { all } else { ORDINARY }
}

fn mean_of(figures: &[f64]) -> f64 {
    figures.iter().sum::<f64>() / figures.len() as f64
}

/// One cell of the table: a link and the loss it has in both directions.
#[derive(Debug, Clone, Copy)]
struct Cell {
    mbit: u64,
    rtt_ms: u64,
    loss_percent: f64,
}

impl Cell {
    fn rtt(self) -> Duration {
        ms(self.rtt_ms)
    }

    fn link(self) -> LinkConfig {
        LinkConfig::new(self.mbit * MBIT, self.rtt())
    }

    /// Steady state: after start-up, for at least twelve seconds, so that a drain is in it.
    fn run(self, controller: Factory) -> Report {
        let loss = if self.loss_percent > 0.0 { Loss::Random(self.loss_percent / 100.0) } else { Loss::None };
        let mut scenario = Scenario::new(self.link(), FlowConfig::new(controller)).loss(loss);
        scenario.measure_from = secs(1) + self.rtt() * 14;
        let measured = if self.mbit > 100 { secs(3) } else { secs(12) };
        scenario.end = scenario.measure_from + measured.max(self.rtt() * 20);
        run(&scenario, &Tls::generate())
    }

    /// What of the bounds the controller misses; `None` when it meets them all.
    fn missed_by(self, report: &Report) -> Option<String> {
        let flow = &report.flows[0];
        let queue_max = ms(10).max(self.rtt() / 10);
        let start_max = self.rtt().max(ms(20));
        let failed = [
            (flow.closed.is_some(), "connection"),
            (flow.share < 0.95, "goodput"),
            (flow.resent > self.loss_percent / 100.0 + 0.015, "re-sent"),
            (report.queue_mean > queue_max, "mean queue"),
            (report.link.start_queue_max > start_max, "start-up queue"),
        ];
        let names: Vec<_> = failed.iter().filter(|(failed, _)| *failed).map(|&(_, name)| name).collect();
        (!names.is_empty()).then(|| {
            format!(
                "{self:?} misses {names:?}: share {:.3}, re-sent {:.4}, queue {:?}, start-up queue {:?}, closed {:?}",
                flow.share, flow.resent, report.queue_mean, report.link.start_queue_max, flow.closed
            )
        })
    }
}

fn assert_bounds(ordinary: usize, cells: &[(u64, u64, f64)]) {
    for &(mbit, rtt_ms, loss_percent) in looked_at(ordinary, cells) {
        let cell = Cell { mbit, rtt_ms, loss_percent };
        assert_eq!(cell.missed_by(&cell.run(ours())), None);
    }
}

#[test]
fn slow_links_are_filled_without_a_standing_queue() {
    let cells = [
        (10, 1, 5.0),
        (10, 1, 10.0),
        (10, 20, 0.0),
        (10, 20, 5.0),
        (10, 100, 1.0),
        (10, 100, 5.0),
        (10, 300, 3.0),
        (10, 300, 10.0),
        (10, 600, 10.0),
    ];
    assert_bounds(cells.len(), &cells);
}

#[test]
fn ordinary_links_are_filled_without_a_standing_queue() {
    let cells = [(100, 1, 1.0), (100, 20, 10.0), (100, 100, 0.0), (100, 100, 1.0), (100, 20, 0.0), (100, 100, 0.1)];
    assert_bounds(3, &cells);
}

#[test]
fn lossy_and_far_links_are_filled_without_a_standing_queue() {
    let cells = [(100, 300, 3.0), (100, 600, 10.0), (100, 100, 5.0), (100, 100, 10.0), (100, 600, 0.0)];
    assert_bounds(2, &cells);
}

#[test]
fn fast_links_are_filled_without_a_standing_queue() {
    assert_bounds(1, &[(1000, 20, 1.0), (1000, 100, 0.0)]);
}

#[test]
fn bursty_loss_costs_no_more_than_what_is_lost() {
    let cell = Cell { mbit: 100, rtt_ms: 100, loss_percent: 5.0 };
    let (mut shares, mut resent) = (Vec::new(), Vec::new());
    for seed in seeds(6) {
        let mut scenario =
            Scenario::new(cell.link(), FlowConfig::new(ours())).loss(Loss::Gilbert { share: 0.05, burst: 5.0 });
        (scenario.end, scenario.seed) = (secs(20), seed);
        let flow = run(&scenario, &Tls::generate()).flows.remove(0);
        shares.push(flow.share);
        resent.push(flow.resent);
    }
    // A run of bursts is uneven (0.92 to 0.97), so the mean is what counts.
    assert!(mean_of(&shares) > 0.94, "{shares:?}");
    assert!(mean_of(&resent) < 0.055, "{resent:?}");
}

/// Always the same small window, as a sender with an untuned buffer has.
#[derive(Debug, Clone)]
struct FixedWindow(u64);

impl Controller for FixedWindow {
    fn on_congestion_event(&mut self, _: Instant, _: Instant, _: bool, _: u64) {}
    fn on_mtu_update(&mut self, _: u16) {}
    fn window(&self) -> u64 {
        self.0
    }
    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }
    fn initial_window(&self) -> u64 {
        self.0
    }
    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

impl ControllerFactory for FixedWindow {
    fn build(self: Arc<Self>, _: Instant, _: u16) -> Box<dyn Controller> {
        self.clone_box()
    }
}

/// Grows by what is acknowledged, never yields: what ignoring all loss gives without a model.
#[derive(Debug, Clone)]
struct Greedy(u64);

impl Controller for Greedy {
    fn on_ack(&mut self, _: Instant, _: Instant, bytes: u64, _: bool, _: &RttEstimator) {
        self.0 = (self.0 + bytes).min(1 << 24);
    }
    fn on_congestion_event(&mut self, _: Instant, _: Instant, _: bool, _: u64) {}
    fn on_mtu_update(&mut self, _: u16) {}
    fn window(&self) -> u64 {
        self.0
    }
    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }
    fn initial_window(&self) -> u64 {
        self.0
    }
    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

impl ControllerFactory for Greedy {
    fn build(self: Arc<Self>, _: Instant, _: u16) -> Box<dyn Controller> {
        self.clone_box()
    }
}

#[test]
fn wrong_controllers_miss_the_same_bounds() {
    let lossy = Cell { mbit: 20, rtt_ms: 100, loss_percent: 1.0 };
    let missed = |controller: Factory| lossy.missed_by(&lossy.run(controller)).expect("a wrong controller is caught");
    assert!(missed(Arc::new(FixedWindow(64 * 1024))).contains("\"goodput\""));
    assert!(missed(cubic()).contains("\"goodput\""), "Cubic collapses on random loss");
    let greedy = missed(Arc::new(Greedy(64 * 1200)));
    assert!(greedy.contains("\"re-sent\"") && greedy.contains("\"mean queue\""), "{greedy}");
}

#[test]
fn the_same_seed_gives_the_same_figures_and_another_seed_others() {
    let cell = Cell { mbit: 20, rtt_ms: 50, loss_percent: 2.0 };
    let with_seed = |seed| {
        let mut link = cell.link();
        link.jitter = ms(3);
        link.reorder = 0.01;
        let mut scenario = Scenario::new(link, FlowConfig::new(ours())).loss(Loss::Random(0.02));
        scenario.seed = seed;
        scenario.measure_from = secs(2);
        scenario.end = secs(6);
        scenario.trace_every = ms(100);
        run(&scenario, &Tls::generate())
    };
    assert_eq!(with_seed(7), with_seed(7));
    assert_ne!(with_seed(7).flows[0].trace, with_seed(8).flows[0].trace);
}

/// Time to have the whole body, as a share of what the limit alone would take, on machines that look at their packets
/// and timers up to `late` late.
fn completion(cell: Cell, mib: u64, late: Duration, seed: u64) -> f64 {
    let loss = if cell.loss_percent > 0.0 { Loss::Random(cell.loss_percent / 100.0) } else { Loss::None };
    let mut flow = FlowConfig::new(ours());
    flow.body = Some(mib << 20);
    let mut scenario = Scenario::new(cell.link(), flow).loss(loss);
    scenario.end = secs(100);
    scenario.wake_late = late;
    scenario.seed = seed;
    let took = run(&scenario, &Tls::generate()).flows[0].finished.expect("a hundred seconds are plenty");
    (mib << 20) as f64 / scenario.limit() / took.as_secs_f64()
}

/// The same of several seeds: which of the last packets are lost makes a tenth of a single one.
fn mean_completion(cell: Cell, mib: u64, wake_late: Duration) -> f64 {
    mean_of(&seeds(6).map(|seed| completion(cell, mib, wake_late, seed)).collect::<Vec<_>>())
}

#[test]
fn short_transfers_lose_little_to_start_up() {
    let near = |loss_percent| completion(Cell { mbit: 100, rtt_ms: 100, loss_percent }, 64, ms(0), 1);
    assert!(near(0.0) > 0.945, "{}", near(0.0));
    assert!(near(1.0) > 0.915, "{}", near(1.0));
    let far = mean_completion(Cell { mbit: 100, rtt_ms: 200, loss_percent: 5.0 }, 64, ms(0));
    assert!(far > 0.83, "{far}");
}

/// The first flight is all that a slow path may have to queue.
#[test]
fn a_slow_path_queues_the_first_flight_and_no_more() {
    for (mbit, most) in [(2, ms(550)), (10, ms(100))] {
        let mut link = LinkConfig::new(mbit * MBIT, ms(100));
        link.queue = crate::sim::bytes_in(link.rate, secs(2));
        let mut scenario = Scenario::new(link, FlowConfig::new(ours()));
        scenario.end = secs(8);
        let report = run(&scenario, &Tls::generate());
        let queue = report.link.start_queue_max;
        assert!(queue < most, "{mbit} Mbit/s: {queue:?}");
        assert!(report.queue_mean < ms(20), "{mbit} Mbit/s: {:?}", report.queue_mean);
    }
}

/// Late timers and bunched acknowledgements space what the path did not: taken for the path, that ended start-up at a
/// third of the rate.
#[test]
fn busy_machines_do_not_end_start_up_early() {
    for seed in 1..=3 {
        let near = completion(Cell { mbit: 100, rtt_ms: 100, loss_percent: 1.0 }, 64, ms(1), seed);
        assert!(near > 0.9, "{near} with seed {seed}");
    }
    let far = mean_completion(Cell { mbit: 100, rtt_ms: 200, loss_percent: 5.0 }, 64, ms(1));
    assert!(far > 0.81, "{far}");
}

/// Shares of two flows, the second starting later, and the report.
fn two_flows(link: LinkConfig, first: Factory, second: Factory, from: u64, end: u64) -> (f64, f64, Report) {
    let mut scenario = Scenario::new(link, FlowConfig::new(first));
    let mut late = FlowConfig::new(second);
    late.start = secs(5);
    scenario.flows.push(late);
    scenario.measure_from = secs(from);
    scenario.end = secs(end);
    let report = run(&scenario, &Tls::generate());
    (report.flows[0].share, report.flows[1].share, report)
}

#[test]
fn two_of_our_flows_share_evenly_and_keep_the_queue_short() {
    for &(mbit, rtt) in looked_at(1, &[(50, 100), (50, 20), (100, 200)]) {
        let (first, second, report) = two_flows(LinkConfig::new(mbit * MBIT, ms(rtt)), ours(), ours(), 20, 50);
        let share = first / (first + second);
        assert!((0.4..=0.6).contains(&share), "rtt {rtt}: {first} {second}");
        assert!(first + second > 0.95, "rtt {rtt}: {first} {second}");
        assert!(report.queue_mean < ms(20), "rtt {rtt}: {:?}", report.queue_mean);
    }
}

/// Builds our controller with the clock that all flows of a scenario go by.
struct InStep(Duration);

impl ControllerFactory for InStep {
    fn build(self: Arc<Self>, now: Instant, mtu: u16) -> Box<dyn Controller> {
        let config = ControllerConfig::new(Arc::default()).in_step(now, SystemTime::UNIX_EPOCH + self.0);
        Arc::new(config).build(now, mtu)
    }
}

/// Jain's fairness index (1 = even, 1/n = one has everything) of so many of our flows, which begin `apart` from each other; from
/// the twentieth second on.
fn crowd(link: LinkConfig, flows: u64, apart: Duration) -> (f64, Report) {
    /// The clock when the first one begins: the beats are nowhere near it.
    const CLOCK: Duration = Duration::from_millis(1300);
    let flow = |nth: u64| {
        let start = apart * nth as u32;
        FlowConfig { start, ..FlowConfig::new(Arc::new(InStep(CLOCK + start))) }
    };
    let mut scenario = Scenario::new(link, flow(0));
    scenario.flows.extend((1..flows).map(flow));
    (scenario.measure_from, scenario.end) = (secs(20), secs(45));
    let report = run(&scenario, &Tls::generate());
    let sum: f64 = report.flows.iter().map(|flow| flow.share).sum();
    let squares: f64 = report.flows.iter().map(|flow| flow.share.powi(2)).sum();
    (sum * sum / (flows as f64 * squares), report)
}

/// On a long path their shares are a matter of luck, as is who re-sends most, but once each took the full queue for a longer
/// path and its losses for the path's own, and more than half of everything was re-sent for ever.
#[test]
fn a_crowd_on_a_long_path_does_not_flood_it() {
    let resent = [500, 700, 900].map(|apart| {
        let (_, report) = crowd(LinkConfig::new(100 * MBIT, ms(300)), 16, ms(apart));
        let (sum, most) =
            report.flows.iter().fold((0.0, 0.0), |(sum, most), flow| (sum + flow.share, flow.resent.max(most)));
        assert!(sum > 0.9, "{sum}");
        most
    });
    assert!(resent.iter().sum::<f64>() / resent.len() as f64 <= 0.4, "{resent:?} re-sent");
}

/// Each once took the others for strangers, and sixteen of them re-sent nearly all they sent.
#[test]
fn many_of_our_flows_share_evenly_and_lose_little() {
    // Sixteen of ten packets each may still take each other for strangers now and then.
    let crowds =
        [(100, 20, 16, 0.7, 0.2), (100, 100, 4, 0.98, 0.02), (100, 100, 8, 0.95, 0.02), (500, 50, 8, 0.98, 0.02)];
    for &(mbit, rtt, flows, least, most) in looked_at(1, &crowds) {
        let (jain, report) = crowd(LinkConfig::new(mbit * MBIT, ms(rtt)), flows, ms(700));
        assert!(jain > least, "{mbit} Mbit/s, rtt {rtt}, {flows} flows: {jain}");
        let resent = report.flows.iter().map(|flow| flow.resent).fold(0.0, f64::max);
        assert!(resent < most, "{mbit} Mbit/s, rtt {rtt}, {flows} flows: {resent} re-sent");
    }
}

#[test]
fn beside_cubic_neither_starves() {
    for &(mbit, rtt) in looked_at(1, &[(50, 20), (50, 100), (100, 20), (100, 300)]) {
        let link = LinkConfig::new(mbit * MBIT, ms(rtt));
        for (first, second) in [(ours(), cubic()), (cubic(), ours())] {
            let (first, second, _) = two_flows(link, first, second, 15, 60);
            assert!(first.min(second) > 0.25, "{mbit} Mbit/s, rtt {rtt}: {first} {second}");
        }
    }
}

/// Who gives way to a queue on a long path was at a hundredth of it before a drain told who holds that: 12 % of the link in these
/// seconds, and half of one in the slowest of them.
#[test]
fn on_a_long_path_a_cubic_that_comes_later_does_not_push_us_aside() {
    for queue in [1, 2] {
        let rtt = ms(200);
        let mut link = LinkConfig::new(100 * MBIT, rtt);
        link.queue = crate::sim::bytes_in(link.rate, rtt * queue);
        let mut scenario = Scenario::new(link, FlowConfig::new(ours()));
        let cubic = FlowConfig::tcp(Control::Cubic { hystart: true });
        scenario.flows.push(FlowConfig { start: secs(5), ..cubic });
        (scenario.measure_from, scenario.end) = (secs(10), secs(25));
        let share = run(&scenario, &Tls::generate()).flows[0].share;
        assert!(share > 0.25, "queue of {queue} round trips: {share}");
    }
}

/// Our share of a link, in seconds from and to, beside a TCP flow that was there five seconds before us and ends after a while.
fn beside_tcp(link: LinkConfig, control: Control, until: u64, from: u64, to: u64) -> (f64, Duration) {
    let competitor = FlowConfig { until: Some(secs(until)), ..FlowConfig::tcp(control) };
    let mut scenario = Scenario::new(link, competitor);
    scenario.flows.push(FlowConfig { start: secs(5), ..FlowConfig::new(ours()) });
    (scenario.measure_from, scenario.end) = (secs(from), secs(to));
    let report = run(&scenario, &Tls::generate());
    (report.flows[1].share, report.queue_mean)
}

#[test]
fn what_a_competitor_had_is_taken_within_three_seconds_after_it_has_gone() {
    let cubic = Control::Cubic { hystart: true };
    for (mbit, rtt, control) in [(100, 50, Control::Bbr1), (100, 200, cubic), (30, 20, cubic), (30, 20, Control::Bbr1)]
    {
        let (share, queue) = beside_tcp(LinkConfig::new(mbit * MBIT, ms(rtt)), control, 25, 28, 32);
        assert!(share > 0.9 && queue < ms(15), "{mbit} Mbit/s, {control:?}: {share}, {queue:?}");
    }
}

/// Ours beside so many BBR, which begin at another time than we do.
fn beside_several_bbr(rtt: Duration, bbr: usize, ours_at: u64, bbr_at: u64) -> FlowReport {
    let ours = FlowConfig { start: secs(ours_at), ..FlowConfig::new(ours()) };
    let mut scenario = Scenario::new(LinkConfig::new(100 * MBIT, rtt), ours);
    let one = || FlowConfig { start: secs(bbr_at), ..FlowConfig::tcp(Control::Bbr1) };
    scenario.flows.extend((0..bbr).map(|_| one()));
    (scenario.measure_from, scenario.end) = (secs(10), secs(25));
    run(&scenario, &Tls::generate()).flows.swap_remove(0)
}

/// A full queue takes one or two packets of a burst: in bursts a third was lost there. Where they come second, it was in bursts
/// again for ever, once the losses of their beginning had halved our share.
#[test]
fn beside_several_bbr_little_is_lost() {
    for (rtt, ours_at, bbr_at) in [(50, 5, 0), (20, 0, 5)] {
        let ours = beside_several_bbr(ms(rtt), 4, ours_at, bbr_at);
        assert!(ours.share > 0.2 && ours.resent < 0.2, "{} of the link, {} sent twice", ours.share, ours.resent);
    }
}

/// Of a queue that is full all the time so little comes through in the beginning that it does not show what the path carries, and
/// a share of that is no more: 7 % of the link, and half of one beside Linux's BBR.
#[test]
fn beside_many_bbr_that_were_there_first_we_get_a_share_of_what_the_path_carries() {
    let ours = beside_several_bbr(ms(50), 8, 5, 0);
    assert!(ours.share > 0.12 && ours.resent < 0.25, "{} of the link, {} sent twice", ours.share, ours.resent);
}

/// A flow that comes late takes the queue of one who never lets it become shorter for a part of the path. Nor is it our own kind that
/// keeps the queue short for half a second after a loss.
#[test]
fn a_queue_that_stood_before_us_is_seen_to_be_a_competitors() {
    let cubic = Control::Cubic { hystart: true };
    for (mbit, rtt) in [(100, 20), (50, 50)] {
        let (share, _) = beside_tcp(LinkConfig::new(mbit * MBIT, ms(rtt)), cubic, 25, 10, 20);
        assert!(share > 0.3, "{mbit} Mbit/s, rtt {rtt}: {share}");
    }
}

/// A token bucket drops what exceeds its rate, and no queue tells. One that is full when a trial of less is made passes for a path
/// that loses by itself: 12 % was lost for ten seconds behind the second of these, 5 % behind the third.
#[test]
fn behind_a_policer_its_rate_is_reached_and_little_is_lost() {
    for (mbit, bucket, rtt) in [(20, 64_000, 50), (20, 500_000, 50), (48, 128_000, 20)] {
        let policer = Policer { rate: mbit * MBIT, burst: bucket };
        let link = LinkConfig { policer: Some(policer), ..LinkConfig::new(100 * MBIT, ms(rtt)) };
        let mut scenario = Scenario::new(link, FlowConfig::new(ours()));
        (scenario.measure_from, scenario.end) = (secs(3), secs(23));
        let flow = &run(&scenario, &Tls::generate()).flows[0];
        let share = flow.share * 100.0 / mbit as f64;
        assert!(share > 0.95 && flow.resent < 0.03, "{mbit} Mbit/s, {bucket}: {share}, {} lost", flow.resent);
    }
}

/// Delay that varies from packet to packet, in order, as on Wi-Fi or behind a satellite: no queue, and not to be yielded to.
/// Once taken for one, it left a tenth of the path.
#[test]
fn jitter_is_not_taken_for_a_queue() {
    let clean = ms(10);
    let cases = [
        (100, 20, 10, 0.01, 0.95, clean),
        (100, 100, 10, 0.0, 0.95, clean),
        (100, 100, 30, 0.01, 0.9, ms(25)),
        (100, 40, 10, 0.01, 0.9, clean),
        (20, 100, 30, 0.0, 0.9, ms(25)),
    ];
    for &(mbit, rtt, jitter, loss, least, queue_max) in looked_at(2, &cases) {
        let mut link = LinkConfig::new(mbit * MBIT, ms(rtt));
        link.jitter = ms(jitter);
        let loss = if loss > 0.0 { Loss::Random(loss) } else { Loss::None };
        let mut scenario = Scenario::new(link, FlowConfig::new(ours())).loss(loss);
        scenario.measure_from = secs(6);
        scenario.end = secs(18);
        let (share, queue) = mean_of_seeds(scenario);
        assert!(share > least && queue < queue_max, "{mbit} Mbit/s, {rtt} ms, jitter {jitter} ms: {share}, {queue:?}");
    }
}

/// Share and queue of several runs: by chance, a probe that would find room fails now and then.
fn mean_of_seeds(scenario: Scenario) -> (f64, Duration) {
    let of = |seed| {
        let report = run(&Scenario { seed, ..scenario.clone() }, &Tls::generate());
        (report.flows[0].share, report.queue_mean)
    };
    let (shares, queues): (Vec<f64>, Vec<Duration>) = seeds(4).map(of).unzip();
    (mean_of(&shares), queues.iter().sum::<Duration>() / queues.len() as u32)
}

/// A link whose machine does something else every few moments, as a busy host or an access point does: what waited comes
/// late, and all at once. Taken for a queue again and again, it left half of the path, or a third.
#[test]
fn a_path_that_stops_for_moments_is_used_all_the_same() {
    let cases = [
        (100, 20, 0.01, 100, 20, 0.87),
        (100, 100, 0.05, 50, 25, 0.88),
        (100, 100, 0.0, 100, 20, 0.93),
        (500, 100, 0.01, 100, 20, 0.9),
    ];
    for &(mbit, rtt, loss, every, longest, least) in looked_at(1, &cases) {
        let mut link = LinkConfig::new(mbit * MBIT, ms(rtt));
        link.stalls = Some(Stalls { every: ms(every), longest: ms(longest) });
        let loss = if loss > 0.0 { Loss::Random(loss) } else { Loss::None };
        let (share, queue) = mean_of_seeds(Scenario::new(link, FlowConfig::new(ours())).loss(loss));
        let case = format!("{mbit} Mbit/s, {rtt} ms, up to {longest} ms in {every}");
        assert!(share > least && queue < ms(25), "{case}: {share}, {queue:?}");
    }
}

/// Goodput share between two moments, from a trace.
fn share_between(scenario: &Scenario, report: &Report, from: Duration, to: Duration) -> f64 {
    let at = |time| report.flows[0].trace.iter().find(|point| point.at >= time).expect("traced").delivered;
    (at(to) - at(from)) as f64 / (scenario.limit() * (to - from).as_secs_f64())
}

fn changing(cell: Cell, changes: Vec<(Duration, LinkConfig)>, end: u64) -> (Scenario, Report) {
    let mut scenario = Scenario::new(cell.link(), FlowConfig::new(ours()));
    scenario.changes = changes.into_iter().map(|(at, link)| (at, link, link)).collect();
    scenario.end = secs(end);
    scenario.trace_every = ms(50);
    let report = run(&scenario, &Tls::generate());
    (scenario, report)
}

const ORDINARY: Cell = Cell { mbit: 100, rtt_ms: 100, loss_percent: 0.0 };

#[test]
fn an_outage_of_five_seconds_is_recovered_from_in_two() {
    let mut down = ORDINARY.link();
    down.rate = 0;
    let (scenario, report) = changing(ORDINARY, vec![(secs(8), down), (secs(13), ORDINARY.link())], 24);
    assert_eq!(report.flows[0].closed, None);
    // quinn's probe timer has backed off: the first probe after the outage may be as late as the outage was long.
    let at_work =
        report.flows[0].trace.windows(2).find(|pair| pair[0].at > secs(13) && pair[1].delivered > pair[0].delivered);
    let back = at_work.expect("the flow comes back")[1].at;
    assert!(back < secs(19), "{back:?}");
    let share = share_between(&scenario, &report, back + secs(2), secs(24));
    assert!(share > 0.95, "{share}");
}

/// After an outage the network may be another one, from Wi-Fi to a mobile one, say. Bounded by the round trip that it had
/// before, a transfer once had a third of it for eight seconds.
#[test]
fn a_longer_path_after_an_outage_is_begun_again() {
    let mut dead = ORDINARY.link();
    dead.loss = Loss::Random(1.0);
    let longer = Cell { rtt_ms: 400, ..ORDINARY }.link();
    let (scenario, report) = changing(ORDINARY, vec![(secs(8), dead), (secs(13), longer)], 24);
    let share = share_between(&scenario, &report, secs(18), secs(24));
    assert!(share > 0.95, "{share}");
}

/// What is now longer looks like a queue that does not yield, and was once yielded to for ever.
#[test]
fn a_path_that_becomes_longer_is_not_yielded_to() {
    let cases = [(20, 26, secs(16)), (100, 130, secs(25)), (20, 80, secs(16))];
    for &(rtt_ms, longer_ms, by) in looked_at(2, &cases) {
        let cell = Cell { rtt_ms, ..ORDINARY };
        let longer = Cell { rtt_ms: longer_ms, ..ORDINARY }.link();
        let (scenario, report) = changing(cell, vec![(secs(8), longer)], 35);
        let share = share_between(&scenario, &report, by, secs(35));
        assert!(share > 0.95, "{rtt_ms} to {longer_ms} ms: {share}");
    }
}

/// A sender that waits for its disk, or for answers, has its path back as soon as it has something to send again. What
/// little it sent meanwhile was once taken for what the path carries: 1 % of it for three seconds.
#[test]
fn a_sender_that_had_little_to_say_has_its_path_back_at_once() {
    const FOUR_SECONDS: u64 = 50_000_000;
    const RESUMES: Duration = Duration::from_secs(26);
    for (after, every, bytes, least) in [
        (FOUR_SECONDS, ms(200), 200, 0.8),
        (FOUR_SECONDS, secs(1), 2000, 0.8),
        // Nothing is known of the path but its round trip.
        (200, ms(200), 200, 0.7),
        (200, ms(50), 1000, 0.7),
    ] {
        for loss_percent in [0.0, 3.0] {
            let mut flow = FlowConfig::new(ours());
            flow.lull = Some(Lull { after, every: (every, bytes), until: RESUMES });
            let mut scenario = Scenario::new(ORDINARY.link(), flow);
            if loss_percent > 0.0 {
                scenario = scenario.loss(Loss::Random(loss_percent / 100.0));
            }
            scenario.end = RESUMES + secs(2);
            scenario.trace_every = ms(50);
            let report = run(&scenario, &Tls::generate());
            let share = share_between(&scenario, &report, RESUMES, RESUMES + secs(1));
            assert!(share > least, "{bytes} bytes every {every:?}, {loss_percent} % lost: {share}");
        }
    }
}

#[test]
fn a_slower_path_is_noticed_and_its_queue_emptied() {
    let mut slower = ORDINARY.link();
    slower.rate = 20 * MBIT;
    let (scenario, report) = changing(ORDINARY, vec![(secs(8), slower)], 20);
    let share = share_between(&scenario, &report, secs(12), secs(20));
    assert!(share > 0.95 * 0.2, "{share}");
    let longest = report.flows[0].trace.iter().filter(|point| point.at > secs(12)).map(|point| point.queue).max();
    assert!(longest < Some(ms(60)), "{longest:?}");
}

#[test]
fn a_faster_path_is_filled_within_five_seconds() {
    let mut faster = ORDINARY.link();
    faster.rate = 300 * MBIT;
    let (scenario, report) = changing(ORDINARY, vec![(secs(8), faster)], 18);
    let share = share_between(&scenario, &report, secs(13), secs(18));
    assert!(share > 0.95 * 3.0, "{share}");
}

#[test]
fn a_path_that_begins_to_lose_keeps_its_rate() {
    let mut lossy = ORDINARY.link();
    lossy.loss = Loss::Random(0.1);
    let (scenario, report) = changing(ORDINARY, vec![(secs(8), lossy)], 20);
    let share = share_between(&scenario, &report, secs(10), secs(20));
    assert!(share > 0.95, "{share}");
}

#[test]
fn a_stalled_reader_neither_breaks_the_connection_nor_confuses_the_model() {
    let mut flow = FlowConfig::new(ours());
    flow.stall = Some((secs(6), secs(2)));
    // Small enough that what waits unread stays below quinn's limit of gaps, large enough for the path.
    flow.stream_window = 4 << 20;
    let mut scenario = Scenario::new(ORDINARY.link(), flow).loss(Loss::Random(0.03));
    scenario.end = secs(14);
    scenario.trace_every = ms(50);
    let report = run(&scenario, &Tls::generate());
    assert_eq!(report.flows[0].closed, None);
    let share = share_between(&scenario, &report, secs(9), secs(14));
    assert!(share > 0.95, "{share}");
}

#[test]
fn live_figures_tell_the_truth_about_the_path() {
    let state = Arc::new(PathState::default());
    let flow = FlowConfig::new(Arc::new(ControllerConfig::new(state.clone())));
    let mut scenario = Scenario::new(ORDINARY.link(), flow).loss(Loss::Random(0.05));
    scenario.end = secs(8);
    run(&scenario, &Tls::generate());
    // Server and client build from the same factory in a simulation; the server sends almost nothing.
    let seen = state.snapshot();
    assert!((seen.min_rtt.as_secs_f64() - 0.1).abs() < 0.005, "{seen:?}");
    assert!((seen.loss - 0.05).abs() < 0.02, "{seen:?}");
    assert!((seen.bandwidth as f64 * 8.0 / 98.1e6 - 1.0).abs() < 0.05, "{seen:?}");
    assert_eq!(seen.phase, Phase::Cruise, "{seen:?}");
}
