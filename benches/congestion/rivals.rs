//! Links on which ours is not alone: how a cell is run and what is read off it.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use qft::congestion::{ControllerConfig, PathState};
use quinn_proto::congestion::{Controller, ControllerFactory};

use crate::sim::{Control, FlowConfig, LinkConfig, Loss, Report, Scenario, TcpConfig, Tls, TracePoint, bytes_in, run};

/// The second group begins so much later.
const SECOND: Duration = Duration::from_secs(5);
/// Shares are the mean of this span, in which all run.
const FROM: Duration = Duration::from_secs(10);
const TO: Duration = Duration::from_secs(25);
/// Others end at [`TO`], and ours should have the link to itself from so much later on, until the end.
const RECOVERY: Duration = Duration::from_secs(3);
const END: Duration = Duration::from_secs(31);
const TRACE_EVERY: Duration = Duration::from_millis(100);
/// Flows of one group begin so much apart.
const APART: Duration = Duration::from_millis(150);
/// Trace points in the shortest span that a standstill is looked for in.
const SECOND_POINTS: usize = 10;

/// What the others are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rival {
    Cubic,
    /// CUBIC that understands congestion marks.
    CubicEcn,
    Bbr1,
    Bbr3,
}

impl Rival {
    pub fn word(self) -> &'static str {
        match self {
            Self::Cubic => "cubic",
            Self::CubicEcn => "cubic+ecn",
            Self::Bbr1 => "bbr",
            Self::Bbr3 => "bbr3",
        }
    }

    pub fn flow(self) -> FlowConfig {
        match self {
            Self::Cubic => FlowConfig::tcp(Control::Cubic { hystart: true }),
            Self::CubicEcn => {
                let tcp = TcpConfig { ecn: true, ..TcpConfig::new(Control::Cubic { hystart: true }) };
                FlowConfig { tcp: Some(tcp), ..FlowConfig::tcp(tcp.control) }
            }
            Self::Bbr1 => FlowConfig::tcp(Control::Bbr1),
            Self::Bbr3 => FlowConfig::tcp(Control::Bbr3),
        }
    }
}

/// Who begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    TheyFirst,
    OursFirst,
}

/// Ours and others on one link.
#[derive(Debug, Clone)]
pub struct Match {
    pub link: LinkConfig,
    pub ours: usize,
    pub rival: Rival,
    pub rivals: usize,
    pub order: Order,
}

/// What came of it. Shares are of the link's limit.
#[derive(Debug, Clone, Copy, Default)]
pub struct Outcome {
    pub ours: f64,
    pub theirs: f64,
    /// The slowest second of ours, in Mbit/s.
    pub slowest: f64,
    pub resent: f64,
    pub queue: Duration,
    /// Marked packets over all.
    pub marked: f64,
    /// What ours has when the others have gone.
    pub after: f64,
    pub queue_after: Duration,
}

/// The link of a cell: its queue in round trips.
pub fn link(mbit: f64, rtt_ms: f64, loss_percent: f64, queue: f64) -> LinkConfig {
    let rtt = Duration::from_secs_f64(rtt_ms / 1e3);
    let mut link = LinkConfig::new((mbit * 1e6) as u64, rtt);
    link.queue = bytes_in(link.rate, rtt.mul_f64(queue));
    if loss_percent > 0.0 {
        link.loss = Loss::Random(loss_percent / 100.0);
    }
    link
}

impl Match {
    fn flows(&self, ours: &dyn Fn(Duration) -> FlowConfig) -> Vec<FlowConfig> {
        let starts = match self.order {
            Order::TheyFirst => (SECOND, Duration::ZERO),
            Order::OursFirst => (Duration::ZERO, SECOND),
        };
        let mut flows = Vec::new();
        for nth in 0..self.ours {
            flows.push(ours(starts.0 + APART * nth as u32));
        }
        for nth in 0..self.rivals {
            let start = starts.1 + APART * nth as u32;
            flows.push(FlowConfig { start, until: Some(TO), ..self.rival.flow() });
        }
        flows
    }

    /// Runs it. `ours` makes a flow of ours that begins then.
    pub fn run(&self, ours: &dyn Fn(Duration) -> FlowConfig, tls: &Tls, seed: u64) -> Outcome {
        let flows = self.flows(ours);
        let mut scenario = Scenario::new(self.link, flows[0].clone());
        scenario.reverse.policer = None;
        scenario.flows = flows;
        (scenario.measure_from, scenario.end, scenario.trace_every) = (FROM, END, TRACE_EVERY);
        scenario.seed = seed;
        let report = run(&scenario, tls);
        self.outcome(&scenario, &report)
    }

    fn outcome(&self, scenario: &Scenario, report: &Report) -> Outcome {
        let (ours, theirs) = report.flows.split_at(self.ours);
        let limit = scenario.limit();
        let share = |flows: &[crate::sim::FlowReport], from, to| {
            flows.iter().map(|flow| rate(&flow.trace, from, to)).fold(0.0, |sum, rate| sum + rate) / limit
        };
        let slowest = ours.iter().map(|flow| slowest_second(&flow.trace)).fold(f64::INFINITY, f64::min);
        let (sent, lost) = ours.iter().fold((0, 0), |(sent, lost), flow| {
            let [from, to] = [FROM, TO].map(|time| at(&flow.trace, time));
            (sent + to.sent_packets - from.sent_packets, lost + to.lost_packets - from.lost_packets)
        });
        Outcome {
            ours: share(ours, FROM, TO),
            theirs: share(theirs, FROM, TO),
            slowest: if slowest.is_finite() { slowest * 8.0 / 1e6 } else { 0.0 },
            resent: lost as f64 / (sent as f64).max(1.0),
            queue: mean_queue(&report.flows[0].trace, FROM, TO),
            marked: report.link.marked as f64 / report.link.offered_packets.max(1) as f64,
            after: share(ours, TO + RECOVERY, END - TRACE_EVERY),
            queue_after: mean_queue(&report.flows[0].trace, TO + RECOVERY, END - TRACE_EVERY),
        }
    }
}

fn at(trace: &[TracePoint], time: Duration) -> &TracePoint {
    trace.iter().find(|point| point.at >= time).or_else(|| trace.last()).expect("there is a trace")
}

/// Bytes per second.
fn rate(trace: &[TracePoint], from: Duration, to: Duration) -> f64 {
    let bytes = at(trace, to).delivered - at(trace, from).delivered;
    bytes as f64 / (to - from).as_secs_f64()
}

fn slowest_second(trace: &[TracePoint]) -> f64 {
    let measured: Vec<_> = trace.iter().filter(|point| (FROM..=TO).contains(&point.at)).collect();
    let seconds = measured.windows(SECOND_POINTS + 1).map(|points| {
        let [first, last] = [points[0], points[SECOND_POINTS]];
        (last.delivered - first.delivered) as f64 / (last.at - first.at).as_secs_f64()
    });
    seconds.fold(f64::INFINITY, f64::min)
}

fn mean_queue(trace: &[TracePoint], from: Duration, to: Duration) -> Duration {
    let queues: Vec<_> =
        trace.iter().filter(|point| (from..=to).contains(&point.at)).map(|point| point.queue).collect();
    queues.iter().sum::<Duration>() / queues.len().max(1) as u32
}

/// Builds our controller with a clock that all flows go by, as machines with the right time have it.
#[derive(Clone)]
pub struct InStep {
    pub config: ControllerConfig,
    /// The time of day when it begins.
    pub clock: Duration,
}

impl ControllerFactory for InStep {
    fn build(self: Arc<Self>, now: Instant, mtu: u16) -> Box<dyn Controller> {
        let config = self.config.clone().in_step(now, SystemTime::UNIX_EPOCH + self.clock);
        Arc::new(config).build(now, mtu)
    }
}

/// A flow of ours that begins at `start`, with the right time.
pub fn ours(start: Duration) -> FlowConfig {
    let config = ControllerConfig::new(Arc::new(PathState::default()));
    FlowConfig { start, ..FlowConfig::new(Arc::new(InStep { config, clock: CLOCK + start })) }
}

/// The time of day when a simulation begins: nothing that goes by the clock is due then.
pub const CLOCK: Duration = Duration::from_millis(1300);
