//! The event loop: nothing happens between two events, so a quiet second costs nothing.

use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use super::crypto::Tls;
use super::end::{End, Packet};
use super::event::{Event, Scheduled};
use super::rng::Rng;
use super::scenario::{FlowReport, Report, Scenario, TracePoint};
use super::way::{FORWARD, Offered, REVERSE, Sent, Way};

/// Counters of a flow when measuring began.
#[derive(Clone, Copy, Default)]
struct Mark {
    delivered: u64,
    sent: u64,
    lost: u64,
}

/// A kernel looks at packets and timers up to so much late. Without any of that flows could fall into step, and whose packets
/// find a queue full would be decided for ever (Floyd and Jacobson 1991).
const KERNEL_LATE: Duration = Duration::from_micros(100);

struct World<'a> {
    scenario: &'a Scenario,
    tls: &'a Tls,
    base: Instant,
    now: u64,
    order: u64,
    events: BinaryHeap<Scheduled>,
    /// Flow `n` has its client at `2n` and its server at `2n + 1`.
    hosts: Vec<End>,
    ways: [Way; 2],
    /// What a host has just sent.
    outbox: Vec<Packet>,
    /// The earliest timer of each host that is queued already, so that each is queued once.
    timers: Vec<Option<u64>>,
    /// When the next packet of each host may leave, where packets leave one by one.
    free: Vec<u64>,
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
            hosts.extend(End::pair(flow, tls, index, &mut rng));
        }
        let timers = vec![None; hosts.len()];
        let mut world = Self {
            scenario,
            tls,
            base: Instant::now(),
            now: 0,
            order: 0,
            events: BinaryHeap::new(),
            hosts,
            ways: [scenario.forward, scenario.reverse]
                .map(|config| Way::new(config, measure_from, Rng::new(rng.next_u64()))),
            outbox: Vec::new(),
            free: vec![0; timers.len()],
            timers,
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
            if let Some(until) = config.until {
                self.schedule(nanos(until), Event::Stop { flow });
            }
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
                self.hosts[2 * flow].connect(self.base, self.now, &self.scenario.flows[flow], self.tls);
                self.drive(2 * flow);
            }
            Event::Stop { flow } => self.hosts[2 * flow].stop(),
            Event::Arrive { host, packet } => {
                if self.hosts[host].deliver(packet) {
                    let late = self.lateness(host, self.now);
                    if late == 0 { self.receive(host) } else { self.schedule(self.now + late, Event::Receive { host }) }
                }
            }
            Event::Receive { host } => self.receive(host),
            Event::Leave { host, packet } => self.send(host, packet),
            Event::Depart { way } => self.depart(way),
            Event::Timer { host } => {
                if self.timers[host] == Some(self.now) {
                    self.timers[host] = None;
                }
                self.drive(host);
            }
            Event::Wake { host } => {
                let now = Duration::from_nanos(self.now);
                self.hosts[host].host().into_iter().for_each(|host| host.wake(now));
                self.drive(host);
            }
            Event::Refill { flow } => self.refill(flow),
            Event::Change { index } => {
                let (_, forward, reverse) = self.scenario.changes[index];
                self.ways[FORWARD].change(forward);
                self.ways[REVERSE].change(reverse);
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
        let more = if is_over { u64::MAX } else { bytes };
        self.hosts[2 * flow].host().into_iter().for_each(|host| host.refill(more));
        if !is_over {
            self.schedule(self.now + nanos(every), Event::Refill { flow });
        }
        self.drive(2 * flow);
    }

    fn receive(&mut self, host: usize) {
        self.hosts[host].receive_all(self.base, self.now);
        self.drive(host);
    }

    /// How late a machine is with what is due at `at`: as busy as it is, and while it stands still.
    fn lateness(&mut self, host: usize, at: u64) -> u64 {
        let most = if self.hosts[host].is_tcp() { KERNEL_LATE } else { self.scenario.wake_late };
        let busy = (nanos(most) as f64 * self.rng.unit()) as u64;
        let Some((still, period)) = self.scenario.standstill.filter(|_| !host.is_multiple_of(2)) else { return busy };
        let into = (at + busy) % nanos(period);
        busy + nanos(still).saturating_sub(into)
    }

    fn drive(&mut self, index: usize) {
        let mut outbox = std::mem::take(&mut self.outbox);
        self.hosts[index].drive(self.base, self.now, |packet| outbox.push(packet));
        let pace = self.hosts[index].host().and_then(|host| host.pace());
        outbox.drain(..).for_each(|packet| self.leave(index, packet, pace));
        self.outbox = outbox;
        self.arm(index);
    }

    /// Lets a packet leave its host: at once, or by a timer when those before it have left.
    fn leave(&mut self, host: usize, packet: Packet, pace: Option<f64>) {
        let at = self.free[host].max(self.now);
        if let Some(pace) = pace {
            self.free[host] = at + (packet.bytes() as f64 / pace * 1e9) as u64;
        }
        if at == self.now {
            self.send(host, packet);
        } else {
            self.schedule(at.next_multiple_of(nanos(self.scenario.timer_grain).max(1)), Event::Leave { host, packet });
        }
    }

    /// Puts a packet of the host `from` on the link.
    fn send(&mut self, from: usize, packet: Packet) {
        let number = from % 2;
        match self.ways[number].offer(self.now, from ^ 1, packet) {
            Offered::Lost | Offered::Waits => {}
            Offered::Sent(sent) => self.arrive(sent),
            Offered::Next => self.depart(number),
        }
    }

    /// The managed queue of a direction sends its next packet.
    fn depart(&mut self, number: usize) {
        if let Some((sent, free)) = self.ways[number].depart(self.now) {
            self.schedule(free, Event::Depart { way: number });
            self.arrive(sent);
        }
    }

    fn arrive(&mut self, sent: Sent) {
        let Sent { at, host, packet } = sent;
        let access = nanos(self.scenario.flows[host / 2].access_delay);
        self.schedule(at + access, Event::Arrive { host, packet });
    }

    /// Queues the host's next timer unless an earlier one is already queued.
    fn arm(&mut self, index: usize) {
        let Some((due, is_exact)) = self.hosts[index].timeout(self.base) else { return };
        let grain = if is_exact { 1 } else { nanos(self.scenario.timer_grain).max(1) };
        // A timer is late by up to one grain and never early.
        let at = due.next_multiple_of(grain).max(self.now + 1);
        if self.timers[index].is_none_or(|queued| at < queued) {
            let at = at + self.lateness(index, at);
            self.timers[index] = Some(at);
            self.schedule(at, Event::Timer { host: index });
        }
    }

    fn mark(&mut self) {
        for (flow, mark) in self.marks.iter_mut().enumerate() {
            let (sent, lost) = self.hosts[2 * flow].packets();
            *mark = Mark { delivered: self.hosts[2 * flow + 1].received(), sent, lost };
        }
    }

    fn trace(&mut self) {
        let at = Duration::from_nanos(self.now);
        let queue = self.ways[FORWARD].backlog(self.now);
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
        let stats = self.ways[FORWARD].stats(self.now);
        let measured = Duration::from_nanos(self.now.saturating_sub(nanos(self.scenario.measure_from)));
        let flows = (0..self.scenario.flows.len()).map(|flow| self.flow_report(flow, measured)).collect();
        Report { flows, link: stats, queue_mean: stats.queue_mean(measured), measured }
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
            kept_max: self.hosts[2 * flow + 1].host().map_or(0, |host| host.kept_max()),
            closed: self.hosts[2 * flow].host().and_then(|host| host.closed.clone()),
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
