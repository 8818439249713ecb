//! The event loop: nothing happens between two events, so a quiet second costs nothing.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use bytes::BytesMut;

use super::crypto::Tls;
use super::host::Host;
use super::link::Link;
use super::rng::Rng;
use super::scenario::{FlowReport, Report, Scenario, TracePoint};

/// Bodies are zeros and packets are in clear, so what comes after the headers need not be stored in flight.
const KEPT_PREFIX: usize = 128;
static ZEROS: [u8; 2048] = [0; 2048];

/// A datagram in flight.
struct Packet {
    head: Box<[u8]>,
    len: usize,
}

impl Packet {
    fn new(data: &[u8]) -> Self {
        let zero_tail = data.len() > KEPT_PREFIX && data[KEPT_PREFIX..] == ZEROS[..data.len() - KEPT_PREFIX];
        let head = if zero_tail { &data[..KEPT_PREFIX] } else { data };
        Self { head: head.into(), len: data.len() }
    }

    fn restore(&self) -> BytesMut {
        let mut data = BytesMut::zeroed(self.len);
        data[..self.head.len()].copy_from_slice(&self.head);
        data
    }
}

enum Event {
    Start { flow: usize },
    Arrive { host: usize, packet: Packet },
    Receive { host: usize },
    Timer { host: usize },
    Wake { host: usize },
    Refill { flow: usize },
    Change { index: usize },
    Measure,
    Trace,
}

struct Scheduled {
    at: u64,
    order: u64,
    event: Event,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Scheduled {}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scheduled {
    /// Reversed: `BinaryHeap` gives the largest first, and we want the earliest.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}

/// Counters of a flow when measuring began.
#[derive(Clone, Copy, Default)]
struct Mark {
    delivered: u64,
    sent: u64,
    lost: u64,
}

struct World<'a> {
    scenario: &'a Scenario,
    tls: &'a Tls,
    base: Instant,
    now: u64,
    order: u64,
    events: BinaryHeap<Scheduled>,
    /// Flow `n` has its client at `2n` and its server at `2n + 1`.
    hosts: Vec<Host>,
    forward: Link,
    reverse: Link,
    /// Decides how late machines are.
    rng: Rng,
    marks: Vec<Mark>,
    traces: Vec<Vec<TracePoint>>,
}

/// Runs a scenario to its end, or until every body has arrived.
pub fn run(scenario: &Scenario, tls: &Tls) -> Report {
    let mut world = World::new(scenario, tls);
    let end = nanos(scenario.end);
    while let Some(next) = world.events.pop() {
        if next.at > end {
            break;
        }
        world.now = next.at;
        world.handle(next.event);
        if world.all_finished() {
            break;
        }
    }
    if !world.all_finished() {
        world.now = end;
    }
    world.report()
}

impl<'a> World<'a> {
    fn new(scenario: &'a Scenario, tls: &'a Tls) -> Self {
        let mut rng = Rng::new(scenario.seed);
        let measure_from = nanos(scenario.measure_from);
        let mut hosts = Vec::new();
        for (index, flow) in scenario.flows.iter().enumerate() {
            hosts.push(Host::client(flow, index, &mut rng));
            hosts.push(Host::server(flow, tls, index, &mut rng));
        }
        let mut world = Self {
            scenario,
            tls,
            base: Instant::now(),
            now: 0,
            order: 0,
            events: BinaryHeap::new(),
            hosts,
            forward: Link::new(scenario.forward, measure_from, Rng::new(rng.next_u64())),
            reverse: Link::new(scenario.reverse, measure_from, Rng::new(rng.next_u64())),
            rng: Rng::new(rng.next_u64()),
            marks: vec![Mark::default(); scenario.flows.len()],
            traces: vec![Vec::new(); scenario.flows.len()],
        };
        world.schedule_script();
        world
    }

    fn schedule_script(&mut self) {
        let scenario = self.scenario;
        for (flow, config) in scenario.flows.iter().enumerate() {
            self.schedule(nanos(config.start), Event::Start { flow });
            if let Some((from, span)) = config.stall {
                self.schedule(nanos(from + span), Event::Wake { host: 2 * flow + 1 });
            }
            if let Some(lull) = config.lull {
                self.schedule(nanos(config.start + lull.every.0), Event::Refill { flow });
            }
        }
        for (index, (at, ..)) in scenario.changes.iter().enumerate() {
            self.schedule(nanos(*at), Event::Change { index });
        }
        self.schedule(nanos(scenario.measure_from), Event::Measure);
        if !scenario.trace_every.is_zero() {
            self.schedule(0, Event::Trace);
        }
    }

    fn schedule(&mut self, at: u64, event: Event) {
        self.order += 1;
        self.events.push(Scheduled { at, order: self.order, event });
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Start { flow } => {
                let now = self.instant();
                self.hosts[2 * flow].connect(now, &self.scenario.flows[flow], self.tls);
                self.drive(2 * flow);
            }
            Event::Arrive { host, packet } => {
                if self.hosts[host].deliver(packet.restore()) {
                    let late = self.lateness(host, self.now);
                    if late == 0 { self.receive(host) } else { self.schedule(self.now + late, Event::Receive { host }) }
                }
            }
            Event::Receive { host } => self.receive(host),
            Event::Timer { host } => {
                if self.hosts[host].timer == Some(self.now) {
                    self.hosts[host].timer = None;
                }
                self.drive(host);
            }
            Event::Wake { host } => {
                self.hosts[host].wake(Duration::from_nanos(self.now));
                self.drive(host);
            }
            Event::Refill { flow } => self.refill(flow),
            Event::Change { index } => {
                let (_, forward, reverse) = self.scenario.changes[index];
                self.forward.config = forward;
                self.reverse.config = reverse;
            }
            Event::Measure => self.mark(),
            Event::Trace => {
                self.trace();
                self.schedule(self.now + nanos(self.scenario.trace_every), Event::Trace);
            }
        }
    }

    /// A sender in its lull has a little more to send, and after it all the rest.
    fn refill(&mut self, flow: usize) {
        let lull = self.scenario.flows[flow].lull.expect("only a lull is refilled");
        let (every, bytes) = lull.every;
        let is_over = self.now >= nanos(lull.until);
        self.hosts[2 * flow].refill(if is_over { u64::MAX } else { bytes });
        if !is_over {
            self.schedule(self.now + nanos(every), Event::Refill { flow });
        }
        self.drive(2 * flow);
    }

    fn receive(&mut self, host: usize) {
        let now = self.instant();
        self.hosts[host].receive_all(now);
        self.drive(host);
    }

    /// How late a machine is with what is due at `at`: as busy as it is, and while it stands still.
    fn lateness(&mut self, host: usize, at: u64) -> u64 {
        let busy = (nanos(self.scenario.wake_late) as f64 * self.rng.unit()) as u64;
        let Some((still, period)) = self.scenario.standstill.filter(|_| !host.is_multiple_of(2)) else { return busy };
        let into = (at + busy) % nanos(period);
        busy + nanos(still).saturating_sub(into)
    }

    fn drive(&mut self, index: usize) {
        let at = Duration::from_nanos(self.now);
        let access = nanos(self.scenario.flows[index / 2].access_delay);
        let link = if index.is_multiple_of(2) { &mut self.forward } else { &mut self.reverse };
        let (now, order, events) = (self.now, &mut self.order, &mut self.events);
        let host = &mut self.hosts[index];
        host.drive(self.base, at, |data| {
            if let Some(arrival) = link.send(now, data.len()) {
                *order += 1;
                let event = Event::Arrive { host: index ^ 1, packet: Packet::new(data) };
                events.push(Scheduled { at: arrival + access, order: *order, event });
            }
        });
        self.arm(index);
    }

    /// Queues the host's next timer unless an earlier one is already queued.
    fn arm(&mut self, index: usize) {
        let Some(due) = self.hosts[index].timeout(self.base) else { return };
        let grain = nanos(self.scenario.timer_grain).max(1);
        // A timer is late by up to one grain and never early.
        let at = nanos(due).next_multiple_of(grain).max(self.now + 1);
        if self.hosts[index].timer.is_none_or(|queued| at < queued) {
            let at = at + self.lateness(index, at);
            self.hosts[index].timer = Some(at);
            self.schedule(at, Event::Timer { host: index });
        }
    }

    fn instant(&self) -> Instant {
        self.base + Duration::from_nanos(self.now)
    }

    fn mark(&mut self) {
        for (flow, mark) in self.marks.iter_mut().enumerate() {
            let (sent, lost) = self.hosts[2 * flow].packets();
            *mark = Mark { delivered: self.hosts[2 * flow + 1].received(), sent, lost };
        }
    }

    fn trace(&mut self) {
        let at = Duration::from_nanos(self.now);
        let queue = self.forward.backlog(self.now);
        for (flow, trace) in self.traces.iter_mut().enumerate() {
            let (sent_packets, lost_packets) = self.hosts[2 * flow].packets();
            let window = self.hosts[2 * flow].window();
            let delivered = self.hosts[2 * flow + 1].received();
            trace.push(TracePoint { at, window, delivered, queue, sent_packets, lost_packets });
        }
    }

    fn all_finished(&self) -> bool {
        self.hosts.iter().skip(1).step_by(2).all(|server| server.finished().is_some())
    }

    fn report(mut self) -> Report {
        self.forward.advance(self.now);
        let measured = Duration::from_nanos(self.now.saturating_sub(nanos(self.scenario.measure_from)));
        let flows = (0..self.scenario.flows.len()).map(|flow| self.flow_report(flow, measured)).collect();
        let queue_mean = self.forward.stats.queue_mean(measured);
        Report { flows, link: self.forward.stats, queue_mean, measured }
    }

    fn flow_report(&mut self, flow: usize, measured: Duration) -> FlowReport {
        let (sent, lost) = self.hosts[2 * flow].packets();
        let mark = self.marks[flow];
        let delivered = self.hosts[2 * flow + 1].received();
        let possible = self.scenario.limit() * measured.as_secs_f64();
        let start = self.scenario.flows[flow].start;
        FlowReport {
            delivered,
            share: delivered.saturating_sub(mark.delivered) as f64 / possible.max(1.0),
            resent: ratio(lost - mark.lost, sent - mark.sent),
            resent_total: ratio(lost, sent),
            finished: self.hosts[2 * flow + 1].finished().map(|at| at - start),
            kept_max: self.hosts[2 * flow + 1].kept_max(),
            closed: self.hosts[2 * flow].closed.clone(),
            trace: std::mem::take(&mut self.traces[flow]),
        }
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).expect("a simulation lasts less than 584 years")
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}
