//! Managed queues: CoDel (RFC 8289) and FQ-CoDel (RFC 8290), after Linux's `codel_impl.h` and `sch_fq_codel.c`.

use std::collections::VecDeque;

const TARGET: u64 = 5_000_000;
const INTERVAL: u64 = 100_000_000;
/// A queue of no more than one packet is none.
const MTU: u64 = 1514;
const QUANTUM: i64 = 1514;
const FLOWS: usize = 1024;
/// How soon after a spell of dropping the next one goes on where it ended.
const AGAIN: u64 = 16 * INTERVAL;

/// A packet that waits.
#[derive(Debug)]
pub struct Waiting<P> {
    pub packet: P,
    pub bytes: u64,
    pub since: u64,
    /// Its sender understands congestion marks.
    pub markable: bool,
    pub marked: bool,
}

/// CoDel's state of one queue.
#[derive(Debug, Default)]
struct CoDel {
    count: u32,
    last_count: u32,
    dropping: bool,
    first_above: u64,
    drop_next: u64,
}

impl CoDel {
    /// Whether the queue has stood above the target for an interval.
    fn is_over<P>(&mut self, now: u64, packet: Option<&Waiting<P>>, backlog: u64) -> bool {
        let is_long = packet.is_some_and(|packet| now - packet.since >= TARGET) && backlog > MTU;
        if !is_long {
            self.first_above = 0;
            return false;
        }
        if self.first_above == 0 {
            self.first_above = now + INTERVAL;
            return false;
        }
        now > self.first_above
    }

    /// When to drop again: ever sooner, with the root of the count.
    fn control(&self, from: u64) -> u64 {
        from + (INTERVAL as f64 / f64::from(self.count).sqrt()) as u64
    }

    fn begin(&mut self, now: u64) {
        self.dropping = true;
        let before = self.count - self.last_count;
        self.count = if before > 1 && now.saturating_sub(self.drop_next) < AGAIN { before } else { 1 };
        self.last_count = self.count;
        self.drop_next = self.control(now);
    }
}

#[derive(Debug)]
struct Flow<P> {
    queue: VecDeque<Waiting<P>>,
    backlog: u64,
    codel: CoDel,
    deficit: i64,
    is_listed: bool,
}

impl<P> Flow<P> {
    fn new() -> Self {
        Self { queue: VecDeque::new(), backlog: 0, codel: CoDel::default(), deficit: 0, is_listed: false }
    }

    fn pop(&mut self) -> Option<Waiting<P>> {
        let packet = self.queue.pop_front()?;
        self.backlog -= packet.bytes;
        Some(packet)
    }

    /// The next packet, after CoDel has marked or dropped what it must. Counts what it drops.
    fn dequeue(&mut self, now: u64, drops: &mut u64) -> Option<Waiting<P>> {
        let mut packet = self.pop();
        let is_over = self.codel.is_over(now, packet.as_ref(), self.backlog);
        if packet.is_none() {
            self.codel.dropping = false;
            return None;
        }
        if self.codel.dropping && !is_over {
            self.codel.dropping = false;
        } else if self.codel.dropping {
            while self.codel.dropping && now >= self.codel.drop_next {
                self.codel.count += 1;
                if mark(&mut packet) {
                    self.codel.drop_next = self.codel.control(self.codel.drop_next);
                    break;
                }
                *drops += 1;
                packet = self.pop();
                if self.codel.is_over(now, packet.as_ref(), self.backlog) {
                    self.codel.drop_next = self.codel.control(self.codel.drop_next);
                } else {
                    self.codel.dropping = false;
                }
            }
        } else if is_over {
            if !mark(&mut packet) {
                *drops += 1;
                packet = self.pop();
                self.codel.is_over(now, packet.as_ref(), self.backlog);
            }
            self.codel.begin(now);
        }
        packet
    }
}

fn mark<P>(packet: &mut Option<Waiting<P>>) -> bool {
    let Some(packet) = packet.as_mut().filter(|packet| packet.markable) else { return false };
    packet.marked = true;
    true
}

/// A queue of many flows, each behind its own CoDel, served in turn by bytes; or of all in one.
#[derive(Debug)]
pub struct ManagedQueue<P> {
    flows: Vec<Flow<P>>,
    /// Flows that have just begun to send come before the others.
    new: VecDeque<usize>,
    old: VecDeque<usize>,
    backlog: u64,
    /// Bytes that may wait in all.
    limit: u64,
    pub drops: u64,
}

impl<P> ManagedQueue<P> {
    /// `fair`: a queue for each flow.
    pub fn new(fair: bool, limit: u64) -> Self {
        let flows = if fair { FLOWS } else { 1 };
        Self {
            flows: (0..flows).map(|_| Flow::new()).collect(),
            new: VecDeque::new(),
            old: VecDeque::new(),
            backlog: 0,
            limit,
            drops: 0,
        }
    }

    /// Bytes that wait.
    pub fn backlog(&self) -> u64 {
        self.backlog
    }

    /// Takes a packet of a flow. One too many makes the longest of all queues lose half of what it has, as Linux does.
    pub fn enqueue(&mut self, flow: usize, packet: Waiting<P>) {
        let index = flow % self.flows.len();
        self.backlog += packet.bytes;
        let flow = &mut self.flows[index];
        flow.backlog += packet.bytes;
        flow.queue.push_back(packet);
        if !flow.is_listed {
            flow.is_listed = true;
            flow.deficit = QUANTUM;
            self.new.push_back(index);
        }
        if self.backlog > self.limit {
            self.drop_from_longest();
        }
    }

    /// Linux drops from the head of the fattest flow, up to half of its backlog or a batch of 64. A queue for all drops the
    /// one that came.
    fn drop_from_longest(&mut self) {
        let is_single = self.flows.len() == 1;
        let longest = self.flows.iter_mut().max_by_key(|flow| flow.backlog).expect("there is a flow");
        let least = if is_single { 1 } else { longest.backlog / 2 };
        let mut dropped = 0;
        while dropped < least {
            let packet = if is_single { longest.queue.pop_back() } else { longest.queue.pop_front() };
            let Some(packet) = packet else { break };
            longest.backlog -= packet.bytes;
            dropped += packet.bytes;
            self.drops += 1;
        }
        self.backlog -= dropped;
    }

    /// The packet to send next.
    pub fn dequeue(&mut self, now: u64) -> Option<Waiting<P>> {
        loop {
            let is_new = !self.new.is_empty();
            let list = if is_new { &mut self.new } else { &mut self.old };
            let index = *list.front()?;
            let flow = &mut self.flows[index];
            if flow.deficit <= 0 {
                flow.deficit += QUANTUM;
                list.pop_front();
                self.old.push_back(index);
                continue;
            }
            let before = flow.backlog;
            let packet = flow.dequeue(now, &mut self.drops);
            self.backlog -= before - flow.backlog;
            let Some(packet) = packet else {
                list.pop_front();
                // A flow that was new must wait for the others once, or it could be new for ever.
                if is_new && !self.old.is_empty() {
                    self.old.push_back(index);
                } else {
                    flow.is_listed = false;
                }
                continue;
            };
            flow.deficit -= packet.bytes as i64;
            return Some(packet);
        }
    }
}
