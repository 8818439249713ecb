//! The receiving end: what is there, and when it is acknowledged.

use std::collections::{BTreeMap, VecDeque};

use super::{Ack, MILLIS, SACK_BLOCKS, Segment, TcpConfig};

/// Linux's shortest delay of an acknowledgement.
const DELAY: u64 = 40 * MILLIS;
/// Acknowledgements at the beginning that are sent at once (`TCP_MAX_QUICKACKS`).
const QUICK: u32 = 16;

/// Takes segments in any order.
#[derive(Debug)]
pub struct Receiver {
    config: TcpConfig,
    next: u64,
    /// Ranges beyond the first gap: start to end.
    beyond: BTreeMap<u64, u64>,
    /// Starts of ranges, the one that changed last first.
    recent: VecDeque<u64>,
    received: u64,
    unacked: u32,
    marked: u32,
    quick_left: u32,
    due: Option<u64>,
    out: VecDeque<Segment>,
}

impl Receiver {
    pub fn new(config: TcpConfig) -> Self {
        Self {
            config,
            next: 0,
            beyond: BTreeMap::new(),
            recent: VecDeque::new(),
            received: 0,
            unacked: 0,
            marked: 0,
            quick_left: QUICK,
            due: None,
            out: VecDeque::new(),
        }
    }

    /// Segments received, each once.
    pub fn received(&self) -> u64 {
        self.received
    }

    pub fn on_segment(&mut self, now: u64, segment: &Segment, marked: bool) {
        match segment {
            Segment::Syn => self.out.push_back(Segment::SynAck),
            Segment::Data(number) => self.on_data(now, *number, marked),
            Segment::SynAck | Segment::Ack(_) => {}
        }
    }

    fn on_data(&mut self, now: u64, number: u64, marked: bool) {
        self.marked += u32::from(marked);
        self.unacked += 1;
        let had_gap = !self.beyond.is_empty();
        if number == self.next {
            self.received += 1;
            self.next += 1;
            if let Some(end) = self.beyond.remove(&self.next) {
                self.recent.retain(|&start| start != self.next);
                self.next = end;
            }
        } else if number > self.next {
            self.insert(number);
        }
        let is_urgent = had_gap || number != self.next - 1 || marked || self.quick_left > 0;
        if is_urgent || self.unacked >= self.config.ack_every {
            self.acknowledge();
        } else {
            self.due.get_or_insert(now + DELAY);
        }
    }

    fn insert(&mut self, number: u64) {
        let before = self.beyond.range(..=number).next_back().map(|(&start, &end)| (start, end));
        if before.is_some_and(|(_, end)| end > number) {
            return;
        }
        self.received += 1;
        let start = before.filter(|&(_, end)| end == number).map_or(number, |(start, _)| start);
        let end = match self.beyond.remove(&(number + 1)) {
            Some(end) => {
                self.recent.retain(|&start| start != number + 1);
                end
            }
            None => number + 1,
        };
        self.beyond.insert(start, end);
        self.recent.retain(|&other| other != start);
        self.recent.push_front(start);
    }

    fn acknowledge(&mut self) {
        let mut blocks = [(0, 0); SACK_BLOCKS];
        for (block, start) in blocks.iter_mut().zip(&self.recent) {
            *block = (*start, self.beyond[start]);
        }
        self.out.push_back(Segment::Ack(Ack { next: self.next, blocks, marked: std::mem::take(&mut self.marked) }));
        self.unacked = 0;
        self.quick_left = self.quick_left.saturating_sub(1);
        self.due = None;
    }

    pub fn on_timer(&mut self, now: u64) {
        if self.due.is_some_and(|due| due <= now) {
            self.acknowledge();
        }
    }

    pub fn timeout(&self) -> Option<u64> {
        self.due
    }

    pub fn poll(&mut self) -> Option<Segment> {
        self.out.pop_front()
    }
}
