//! One direction of a link: a policer, loss, then a queue drained at a rate, then delay, jitter and reordering.
//!
//! What happens to a packet in a drop-tail queue is known when it comes; one that is managed (`aqm`) decides when it goes.
//!
//! Loss comes before the queue, as in `tc netem` and `linkem`: the bottleneck can still be filled with what survives,
//! so the goodput limit does not depend on the loss.

use std::collections::VecDeque;
use std::time::Duration;

use super::policer::{Policer, Tokens};
use super::rng::Rng;

/// IPv4 and UDP headers: the rate of a link is counted in IP packets, as an operator counts it.
pub const IP_UDP_OVERHEAD: u64 = 28;

/// Stream bytes in a full packet over its IP bytes: 1415 of 1480 at a UDP payload of 1452.
/// The goodput limit of a link is this share of its rate.
pub const PAYLOAD_SHARE: f64 = 0.956;

/// Stalls that are remembered: far more than fall between a packet's coming and its going.
const STALLS_KEPT: usize = 256;

const NANOS: f64 = 1e9;

/// Which packets the link loses.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Loss {
    None,
    /// Each packet on its own, with this probability.
    Random(f64),
    /// Gilbert's two states: `share` of all packets, in runs of `burst` packets on average.
    Gilbert {
        share: f64,
        burst: f64,
    },
}

/// A link whose machine is busy with something else now and then: it takes and gives packets only afterwards, all at once.
#[derive(Debug, Clone, Copy)]
pub struct Stalls {
    /// Mean time between two of them; they come as randomly as can be.
    pub every: Duration,
    /// Each lasts up to so long.
    pub longest: Duration,
}

/// How the queue says that it is too long, before it is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Discipline {
    /// It does not.
    DropTail,
    /// Marks every packet that has waited longer than this, if its sender understands marks: what L4S has (RFC 9332).
    Step(Duration),
    /// CoDel (RFC 8289): marks, or drops what cannot be marked, ever more often while it stands at 5 ms for 100 ms.
    CoDel,
    /// The same for each flow on its own, in turn (RFC 8290).
    FqCodel,
}

impl Discipline {
    /// Whether what happens to a packet is decided when it leaves the queue.
    pub fn is_managed(self) -> bool {
        matches!(self, Self::CoDel | Self::FqCodel)
    }

    /// Whether it marks. Elsewhere paths are taken for such as clear the ECN field, as many do.
    pub fn does_mark(self) -> bool {
        self != Self::DropTail
    }
}

/// What becomes of a packet that is not lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    pub at: u64,
    /// It carries a congestion mark.
    pub marked: bool,
}

/// What one direction does to packets.
#[derive(Debug, Clone, Copy)]
pub struct LinkConfig {
    /// Bits per second, IP headers included. 0 = down: everything is lost.
    pub rate: u64,
    /// One way.
    pub delay: Duration,
    /// Bytes that may wait; a packet that does not fit is dropped.
    pub queue: u64,
    /// Extra delay, uniform in `[0, jitter)`, without overtaking.
    pub jitter: Duration,
    /// Probability that a packet waits another quarter of `delay` and is overtaken.
    pub reorder: f64,
    pub loss: Loss,
    pub stalls: Option<Stalls>,
    pub discipline: Discipline,
    /// Stands before everything else.
    pub policer: Option<Policer>,
}

impl LinkConfig {
    /// A clean link with a queue of one round trip, at least 20 ms (what `linkem` gives).
    pub fn new(rate: u64, rtt: Duration) -> Self {
        let queue_time = rtt.max(Duration::from_millis(20));
        Self {
            rate,
            delay: rtt / 2,
            queue: bytes_in(rate, queue_time),
            jitter: Duration::ZERO,
            reorder: 0.0,
            loss: Loss::None,
            stalls: None,
            discipline: Discipline::DropTail,
            policer: None,
        }
    }
}

/// Bytes that `rate` carries in `time`.
pub fn bytes_in(rate: u64, time: Duration) -> u64 {
    (rate as f64 / 8.0 * time.as_secs_f64()) as u64
}

/// Counters of one direction.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct LinkStats {
    pub offered_packets: u64,
    pub lost_packets: u64,
    pub queue_drops: u64,
    /// Dropped for want of tokens.
    pub policed: u64,
    /// Packets that got a congestion mark.
    pub marked: u64,
    /// Longest wait before measuring began.
    pub start_queue_max: Duration,
    /// Longest wait after measuring began.
    pub queue_max: Duration,
    /// Integral of the waiting time since measuring began, in s².
    queue_area: f64,
}

impl LinkStats {
    /// Mean waiting time over the measured `span`.
    pub fn queue_mean(&self, span: Duration) -> Duration {
        Duration::from_secs_f64(self.queue_area / span.as_secs_f64().max(1e-9))
    }
}

/// The state of one direction. Times are nanoseconds since the simulation began.
#[derive(Debug)]
pub struct Link {
    pub config: LinkConfig,
    pub stats: LinkStats,
    rng: Rng,
    /// When the last accepted byte has left the queue.
    busy_until: u64,
    /// When the queue was last looked at, for its time integral.
    seen: u64,
    last_arrival: u64,
    in_burst: bool,
    measure_from: u64,
    /// The beginning and the end of each stall up to the latest time that was asked for.
    stalls: VecDeque<(u64, u64)>,
    stall_rng: Rng,
    tokens: Tokens,
}

impl Link {
    pub fn new(config: LinkConfig, measure_from: u64, rng: Rng) -> Self {
        let stall_rng = Rng::new(rng.clone().next_u64());
        Self {
            config,
            stats: LinkStats::default(),
            rng,
            busy_until: 0,
            seen: 0,
            last_arrival: 0,
            in_burst: false,
            measure_from,
            stalls: VecDeque::new(),
            stall_rng,
            tokens: Tokens::default(),
        }
    }

    /// Whether a packet comes as far as the queue. What is lost on the way is counted.
    pub fn admits(&mut self, now: u64, bytes: u64) -> bool {
        self.stats.offered_packets += 1;
        if self.config.policer.is_some_and(|policer| !self.tokens.take(&policer, now, bytes)) {
            self.stats.policed += 1;
            return false;
        }
        let is_lost = self.config.rate == 0 || self.loses();
        self.stats.lost_packets += u64::from(is_lost);
        !is_lost
    }

    /// Offers an IP packet of so many bytes, header included, to a drop-tail queue; gives its arrival, or `None` when it is
    /// lost. `markable`: its sender understands congestion marks.
    pub fn carry(&mut self, now: u64, bytes: u64, markable: bool) -> Option<Arrival> {
        let now = self.awake(now);
        self.advance(now);
        if !self.admits(now, bytes) {
            return None;
        }
        let waiting = self.backlog(now);
        if bytes_in(self.config.rate, waiting) + bytes > self.config.queue.max(bytes) {
            self.stats.queue_drops += 1;
            return None;
        }
        let marked = markable && matches!(self.config.discipline, Discipline::Step(most) if waiting > most);
        self.stats.marked += u64::from(marked);
        self.busy_until = self.busy_until.max(now) + self.service(bytes);
        self.note_wait(now);
        Some(Arrival { at: self.arrival(), marked })
    }

    /// How long a packet of so many bytes occupies the link.
    fn service(&self, bytes: u64) -> u64 {
        (bytes as f64 * 8.0 * NANOS / self.config.rate as f64) as u64
    }

    /// A managed queue gives up a packet that has `waited`: when the link is free again, and when the packet arrives.
    pub fn depart(&mut self, now: u64, bytes: u64, waited: u64, marked: bool) -> (u64, Arrival) {
        self.stats.marked += u64::from(marked);
        self.busy_until = now + self.service(bytes);
        let wait = Duration::from_nanos(waited);
        let max = if now < self.measure_from { &mut self.stats.start_queue_max } else { &mut self.stats.queue_max };
        *max = wait.max(*max);
        (self.busy_until, Arrival { at: self.arrival(), marked })
    }

    /// A managed queue has had so many bytes since it was last told.
    pub fn note_backlog(&mut self, now: u64, bytes: u64) {
        let from = self.seen.max(self.measure_from);
        self.seen = now;
        if now > from {
            let wait = bytes as f64 * 8.0 / self.config.rate.max(1) as f64;
            self.stats.queue_area += wait * (now - from) as f64 / NANOS;
        }
    }

    /// How long a packet that came at `now` would wait.
    pub fn backlog(&self, now: u64) -> Duration {
        Duration::from_nanos(self.busy_until.saturating_sub(now))
    }

    /// Brings the time integral of the queue up to `now`. Between packets the queue falls linearly.
    pub fn advance(&mut self, now: u64) {
        let from = self.seen.max(self.measure_from);
        self.seen = now;
        if now <= from {
            return;
        }
        let start = self.backlog(from).as_secs_f64();
        let end = self.backlog(now).as_secs_f64();
        let span = if end > 0.0 { (now - from) as f64 / NANOS } else { start };
        self.stats.queue_area += (start + end) / 2.0 * span;
    }

    fn note_wait(&mut self, now: u64) {
        let wait = self.backlog(now);
        let max = if now < self.measure_from { &mut self.stats.start_queue_max } else { &mut self.stats.queue_max };
        *max = wait.max(*max);
    }

    fn arrival(&mut self) -> u64 {
        let base = self.busy_until + self.config.delay.as_nanos() as u64;
        if self.config.reorder > 0.0 && self.rng.unit() < self.config.reorder {
            return base + self.config.delay.as_nanos() as u64 / 4;
        }
        let base = self.awake(base);
        let jitter = (self.config.jitter.as_nanos() as f64 * self.rng.unit()) as u64;
        self.last_arrival = self.last_arrival.max(base + jitter);
        self.last_arrival
    }

    /// `at`, or the end of the stall that it falls into.
    fn awake(&mut self, at: u64) -> u64 {
        let Some(Stalls { every, longest }) = self.config.stalls else { return at };
        let mut last = self.stalls.back().map_or(0, |&(_, end)| end);
        while last <= at {
            let from = last + (every.as_nanos() as f64 * -(1.0 - self.stall_rng.unit()).ln()) as u64;
            last = from + (longest.as_nanos() as f64 * self.stall_rng.unit()) as u64;
            self.stalls.push_back((from, last));
        }
        while self.stalls.len() > STALLS_KEPT {
            self.stalls.pop_front();
        }
        self.stalls.iter().find(|&&(from, end)| (from..end).contains(&at)).map_or(at, |&(_, end)| end)
    }

    fn loses(&mut self) -> bool {
        match self.config.loss {
            Loss::None => false,
            Loss::Random(p) => self.rng.unit() < p,
            Loss::Gilbert { share, burst } => {
                let leave = 1.0 / burst.max(1.0);
                let enter = share * leave / (1.0 - share);
                self.in_burst = if self.in_burst { self.rng.unit() >= leave } else { self.rng.unit() < enter };
                self.in_burst
            }
        }
    }
}
