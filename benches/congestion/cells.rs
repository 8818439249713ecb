//! The cells in which a mechanism of the controller may be worth something, a few seconds of simulated time each.

use std::sync::Arc;
use std::time::Duration;

use qft::congestion::{ControllerConfig, PastPath, PathState, Without};

use crate::rivals::{CLOCK, InStep, Match, Order, Rival, link};
use crate::sim::{
    Discipline, FlowConfig, LinkConfig, Loss, Lull, Policer, Report, Scenario, Stalls, Tls, TracePoint, bytes_in, run,
};

/// One figure of a cell.
#[derive(Debug, Clone, Copy)]
pub struct Figure {
    pub name: &'static str,
    pub value: f64,
    /// Smaller differences are chance.
    pub tolerance: f64,
    pub more_is_better: bool,
}

impl Figure {
    /// Name and value; shares of one are shown in percent as all others are.
    pub fn shown(&self) -> String {
        format!("{} {:.1}", self.name, self.percent())
    }

    pub fn percent(&self) -> f64 {
        if self.name == "Jain" { self.value * 100.0 } else { self.value }
    }
}

const fn good(name: &'static str, value: f64, tolerance: f64) -> Figure {
    Figure { name, value, tolerance, more_is_better: true }
}

const fn bad(name: &'static str, value: f64, tolerance: f64) -> Figure {
    Figure { name, value, tolerance, more_is_better: false }
}

pub fn goodput(share: f64) -> Figure {
    good("goodput %", share * 100.0, 2.0)
}

fn queue(queue: Duration) -> Figure {
    bad("queue ms", queue.as_secs_f64() * 1e3, 3.0)
}

pub fn resent(share: f64) -> Figure {
    bad("re-sent %", share * 100.0, 1.0)
}

/// Makes flows of ours with something switched off.
pub struct Ours {
    pub without: Without,
    pub tls: Tls,
}

impl Ours {
    fn config(&self) -> ControllerConfig {
        ControllerConfig { without: self.without, ..ControllerConfig::new(Arc::new(PathState::default())) }
    }

    /// One that begins at `start`, whose clock is wrong by `error`.
    fn late(&self, start: Duration, error: Duration) -> FlowConfig {
        let in_step = InStep { config: self.config(), clock: CLOCK + start + error };
        FlowConfig { start, ..FlowConfig::new(Arc::new(in_step)) }
    }

    pub fn flow(&self) -> FlowConfig {
        self.late(Duration::ZERO, Duration::ZERO)
    }

    fn run(&self, scenario: &Scenario) -> Report {
        run(scenario, &self.tls)
    }
}

/// How a cell is run.
type Run = Box<dyn Fn(&Ours) -> Vec<Figure>>;

/// A cell: what kind it is, its name, and how it is run.
pub struct Cell {
    pub kind: &'static str,
    pub name: String,
    pub run: Run,
}

pub fn cell(kind: &'static str, name: String, run: impl Fn(&Ours) -> Vec<Figure> + 'static) -> Cell {
    Cell { kind, name, run: Box::new(run) }
}

pub fn ms(value: u64) -> Duration {
    Duration::from_millis(value)
}

pub fn secs(value: u64) -> Duration {
    Duration::from_secs(value)
}

/// All of them.
pub fn all() -> Vec<Cell> {
    let mut cells = links();
    cells.extend([short(), uneven(), changes(), crowds(), competition(), marks(), policers()].into_iter().flatten());
    cells
}

/// The means of the figures of several seeds.
pub fn mean(seeds: u64, of: impl Fn(u64) -> Vec<Figure>) -> Vec<Figure> {
    let mut figures = of(1);
    for seed in 2..=seeds {
        figures.iter_mut().zip(of(seed)).for_each(|(sum, figure)| sum.value += figure.value);
    }
    figures.iter_mut().for_each(|figure| figure.value /= seeds as f64);
    figures
}

/// One flow in its steady state.
pub fn steady(ours: &Ours, link: LinkConfig, seed: u64) -> Vec<Figure> {
    let mut scenario = Scenario::new(link, ours.flow());
    scenario.measure_from = secs(2) + link.delay * 2 * 10;
    scenario.end = scenario.measure_from + if link.rate > 100_000_000 { secs(4) } else { secs(12) };
    scenario.seed = seed;
    let report = ours.run(&scenario);
    let flow = &report.flows[0];
    let start = report.link.start_queue_max.as_secs_f64() * 1e3;
    vec![
        goodput(flow.share),
        resent(flow.resent),
        queue(report.queue_mean),
        bad("start-up queue ms", start, 10.0 + link.delay.as_secs_f64() * 2e3 / 8.0),
    ]
}

fn links() -> Vec<Cell> {
    let mut cells = Vec::new();
    for (mbit, rtt, loss) in [
        (2.0, 100.0, 0.0),
        (10.0, 1.0, 10.0),
        (10.0, 20.0, 1.0),
        (10.0, 300.0, 3.0),
        (100.0, 1.0, 1.0),
        (100.0, 20.0, 0.0),
        (100.0, 100.0, 0.0),
        (100.0, 100.0, 5.0),
        (100.0, 300.0, 10.0),
        (500.0, 50.0, 0.1),
    ] {
        let mut path = link(mbit, rtt, loss, 1.0);
        path.queue = bytes_in(path.rate, ms(20).max(path.delay * 2));
        cells.push(cell("links", format!("{mbit}/{rtt}/{loss}"), move |ours| steady(ours, path, 1)));
    }
    let mut short = link(100.0, 50.0, 0.0, 1.0);
    short.queue = bytes_in(short.rate, ms(3));
    cells.push(cell("links", "100/50/0, queue of 3 ms".to_owned(), move |ours| steady(ours, short, 1)));
    let bursty = LinkConfig { loss: Loss::Gilbert { share: 0.05, burst: 5.0 }, ..link(100.0, 100.0, 0.0, 1.0) };
    cells.push(cell("links", "100/100/5 in bursts of 5".to_owned(), move |ours| {
        mean(2, |seed| steady(ours, bursty, seed))
    }));
    cells
}

/// The time that a body takes, as a share of what the limit alone would.
pub fn completion(ours: &Ours, path: LinkConfig, flow: FlowConfig, late: Duration, seed: u64) -> Vec<Figure> {
    let mut scenario = Scenario::new(path, flow);
    (scenario.end, scenario.wake_late, scenario.seed) = (secs(60), late, seed);
    let bytes = scenario.flows[0].body.expect("a body is sent") as f64;
    let report = ours.run(&scenario);
    let took = report.flows[0].finished.unwrap_or(scenario.end);
    let queue = report.link.start_queue_max.max(report.link.queue_max).as_secs_f64() * 1e3;
    let tolerance = 10.0 + path.delay.as_secs_f64() * 2e3 / 8.0;
    vec![
        good("done %", bytes / scenario.limit() / took.as_secs_f64() * 100.0, 1.5),
        resent(report.flows[0].resent_total),
        bad("longest queue ms", queue, tolerance),
    ]
}

fn short() -> Vec<Cell> {
    let mut cells = Vec::new();
    for (mib, mbit, rtt, loss, late) in [
        (1, 20.0, 50.0, 0.0, 0),
        (4, 100.0, 50.0, 0.0, 0),
        (64, 100.0, 100.0, 0.0, 0),
        (64, 100.0, 100.0, 1.0, 1),
        (64, 100.0, 200.0, 5.0, 0),
        (64, 500.0, 50.0, 0.0, 0),
    ] {
        let name = format!("{mib} MiB, {mbit}/{rtt}/{loss}, machines late by {late} ms");
        let seeds = if loss > 0.0 { 3 } else { 1 };
        cells.push(cell("short", name, move |ours| {
            let flow = FlowConfig { body: Some(mib << 20), ..ours.flow() };
            mean(seeds, |seed| completion(ours, link(mbit, rtt, loss, 1.0), flow.clone(), ms(late), seed))
        }));
    }
    cells.push(cell("short", "4 MiB, 100/100/0, remembered".to_owned(), |ours| {
        let past = PastPath { bandwidth: 11_900_000, min_rtt: ms(100), age: secs(60) };
        let config = ours.config().resuming(Some(past));
        let flow = FlowConfig { body: Some(4 << 20), ..FlowConfig::new(Arc::new(config)) };
        completion(ours, link(100.0, 100.0, 0.0, 1.0), flow, Duration::ZERO, 1)
    }));
    cells
}

/// Jitter and pauses.
fn uneven() -> Vec<Cell> {
    let mut cells = Vec::new();
    for (mbit, rtt, jitter, loss) in [(100.0, 100.0, 10, 0.0), (100.0, 40.0, 10, 1.0), (20.0, 100.0, 30, 0.0)] {
        let path = LinkConfig { jitter: ms(jitter), ..link(mbit, rtt, loss, 1.0) };
        let name = format!("{mbit}/{rtt}/{loss}, jitter {jitter} ms");
        cells.push(cell("jitter", name, move |ours| mean(3, |seed| steady(ours, path, seed))));
    }
    for (mbit, rtt, loss, every, longest) in
        [(100.0, 100.0, 0.0, 100, 20), (100.0, 20.0, 1.0, 100, 20), (100.0, 100.0, 5.0, 50, 25)]
    {
        let path = LinkConfig {
            stalls: Some(Stalls { every: ms(every), longest: ms(longest) }),
            ..link(mbit, rtt, loss, 1.0)
        };
        let name = format!("{mbit}/{rtt}/{loss}, up to {longest} ms in {every}");
        cells.push(cell("pauses", name, move |ours| mean(3, |seed| steady(ours, path, seed))));
    }
    cells
}

/// Goodput over the limit of the first link, and the mean queue, between two moments.
fn between(scenario: &Scenario, trace: &[TracePoint], from: Duration, to: Duration) -> (f64, Duration) {
    let at = |time| trace.iter().find(|point| point.at >= time).or_else(|| trace.last()).expect("there is a trace");
    let bytes = at(to).delivered - at(from).delivered;
    let queues: Vec<_> = trace.iter().filter(|point| (from..to).contains(&point.at)).map(|point| point.queue).collect();
    let queue = queues.iter().sum::<Duration>() / queues.len().max(1) as u32;
    (bytes as f64 / (to - from).as_secs_f64() / scenario.limit(), queue)
}

pub fn changed(
    ours: &Ours,
    flow: FlowConfig,
    steps: &[(u64, LinkConfig)],
    loss: Loss,
    from: u64,
    to: u64,
) -> Vec<Figure> {
    let mut scenario = Scenario::new(link(100.0, 100.0, 0.0, 1.0), flow).loss(loss);
    scenario.changes = steps.iter().map(|&(at, link)| (secs(at), link, link)).collect();
    (scenario.end, scenario.trace_every) = (secs(to), ms(50));
    let report = ours.run(&scenario);
    let (share, standing) = between(&scenario, &report.flows[0].trace, secs(from), secs(to) - ms(50));
    vec![goodput(share), queue(standing), resent(report.flows[0].resent_total)]
}

fn changes() -> Vec<Cell> {
    let path = |mbit, rtt| link(mbit, rtt, 0.0, 1.0);
    let dead = LinkConfig { rate: 0, ..path(100.0, 100.0) };
    let mut cells = Vec::new();
    for (name, steps, from, to) in [
        ("5 s without a link", vec![(8, dead), (13, path(100.0, 100.0))], 15, 22),
        ("another link after 5 s without", vec![(8, dead), (13, path(100.0, 400.0))], 16, 22),
        ("100 to 130 ms", vec![(8, path(100.0, 130.0))], 10, 30),
        ("100 to 40 ms", vec![(8, path(100.0, 40.0))], 10, 20),
        ("100 to 20 Mbit/s", vec![(8, path(20.0, 100.0))], 10, 20),
        ("100 to 300 Mbit/s", vec![(8, path(300.0, 100.0))], 10, 16),
        ("begins to lose 10 %", vec![(8, LinkConfig { loss: Loss::Random(0.1), ..path(100.0, 100.0) })], 9, 20),
    ] {
        cells.push(cell("changes", name.to_owned(), move |ours| {
            changed(ours, ours.flow(), &steps, Loss::None, from, to)
        }));
    }
    cells.push(cell("changes", "little to send for a while".to_owned(), |ours| {
        let lull = Lull { after: 50_000_000, every: (ms(200), 200), until: secs(20) };
        let flow = FlowConfig { lull: Some(lull), ..ours.flow() };
        changed(ours, flow, &[], Loss::Random(0.01), 20, 22)
    }));
    cells
}

/// Several of ours, which begin so much `apart`, and whose clocks differ by up to `clocks`.
pub fn crowd(ours: &Ours, path: LinkConfig, flows: u64, apart: Duration, clocks: Duration) -> Vec<Figure> {
    let flow = |nth: u64| ours.late(apart * nth as u32, clocks * (nth * 7 % 16) as u32 / 16);
    let mut scenario = Scenario::new(path, flow(0));
    scenario.flows.extend((1..flows).map(flow));
    (scenario.measure_from, scenario.end) = (secs(15), secs(40));
    let report = ours.run(&scenario);
    let shares = || report.flows.iter().map(|flow| flow.share);
    let (sum, squares): (f64, f64) = (shares().sum(), shares().map(|share| share * share).sum());
    let lost = report.flows.iter().map(|flow| flow.resent).fold(0.0, f64::max);
    let jain = sum * sum / (flows as f64 * squares);
    vec![good("Jain", jain, 0.04), goodput(sum), resent(lost), queue(report.queue_mean)]
}

fn crowds() -> Vec<Cell> {
    let mut cells = Vec::new();
    for (mbit, rtt, loss, flows, clocks) in [
        (50.0, 20.0, 0.0, 2, 0),
        (50.0, 100.0, 0.0, 2, 0),
        (50.0, 100.0, 1.0, 2, 10_000),
        (100.0, 100.0, 0.0, 4, 0),
        (100.0, 100.0, 0.0, 4, 50),
        (100.0, 100.0, 0.0, 4, 10_000),
        (100.0, 20.0, 0.0, 16, 0),
        (100.0, 20.0, 0.0, 16, 10_000),
        (100.0, 300.0, 0.0, 8, 0),
    ] {
        let name = format!("{flows} at {mbit}/{rtt}/{loss}, clocks {clocks} ms apart");
        let mut path = link(mbit, rtt, loss, 1.0);
        path.queue = bytes_in(path.rate, ms(20).max(path.delay * 2));
        cells.push(cell("crowds", name, move |ours| crowd(ours, path, flows, ms(700), ms(clocks))));
    }
    cells
}

/// Ours beside others.
pub fn beside(ours: &Ours, cell: &Match, seed: u64) -> Vec<Figure> {
    let outcome = cell.run(&|start| ours.late(start, Duration::ZERO), &ours.tls, seed);
    vec![
        good("ours %", outcome.ours * 100.0, 5.0),
        good("theirs %", outcome.theirs * 100.0, 10.0),
        resent(outcome.resent),
        good("after %", outcome.after * 100.0, 3.0),
        bad("queue after ms", outcome.queue_after.as_secs_f64() * 1e3, 5.0),
    ]
}

fn competition() -> Vec<Cell> {
    let mut cells = Vec::new();
    for (mbit, rtt, loss, queue, rival, rivals, order) in [
        (50.0, 20.0, 0.0, 1.0, Rival::Cubic, 1, Order::TheyFirst),
        (50.0, 50.0, 0.0, 1.0, Rival::Cubic, 1, Order::OursFirst),
        (50.0, 100.0, 0.0, 2.0, Rival::Cubic, 1, Order::TheyFirst),
        (50.0, 50.0, 0.0, 1.0, Rival::Cubic, 4, Order::TheyFirst),
        (50.0, 50.0, 0.0, 1.0, Rival::Bbr1, 1, Order::TheyFirst),
        (50.0, 50.0, 1.0, 1.0, Rival::Bbr1, 1, Order::OursFirst),
        (50.0, 50.0, 0.0, 4.0, Rival::Bbr1, 1, Order::TheyFirst),
        (50.0, 50.0, 0.0, 1.0, Rival::Bbr3, 1, Order::TheyFirst),
        (50.0, 50.0, 0.0, 1.0, Rival::Bbr3, 1, Order::OursFirst),
    ] {
        let who = if order == Order::TheyFirst { "they first" } else { "ours first" };
        let name = format!("{mbit}/{rtt}/{loss}, queue {queue}, {}:{rivals}, {who}", rival.word());
        let of = Match { link: link(mbit, rtt, loss, queue), ours: 1, rival, rivals, order };
        cells.push(cell("beside", name, move |ours| mean(2, |seed| beside(ours, &of, seed))));
    }
    cells
}

fn marks() -> Vec<Cell> {
    let mut cells = Vec::new();
    let step = Discipline::Step(ms(1));
    for (word, discipline) in [("step", step), ("codel", Discipline::CoDel), ("fq_codel", Discipline::FqCodel)] {
        let path = LinkConfig { discipline, ..link(50.0, 50.0, 0.0, 2.0) };
        cells.push(cell("marks", format!("{word} 50/50 alone"), move |ours| steady(ours, path, 1)));
        let of = Match { link: path, ours: 1, rival: Rival::CubicEcn, rivals: 1, order: Order::TheyFirst };
        cells.push(cell("marks", format!("{word} 50/50 beside cubic+ecn"), move |ours| beside(ours, &of, 1)));
    }
    cells
}

fn policers() -> Vec<Cell> {
    let mut cells = Vec::new();
    for (mbit, burst) in [(20.0, 64_000), (20.0, 500_000), (48.0, 128_000)] {
        let policer = Policer { rate: (mbit * 1e6) as u64, burst };
        cells.push(cell("policer", format!("{mbit} Mbit/s, {} KB, RTT 50", burst / 1000), move |ours| {
            let (share, lost) = crate::policer::policed(policer, 50.0, ours.flow(), &ours.tls);
            vec![goodput(share), resent(lost)]
        }));
    }
    cells
}
