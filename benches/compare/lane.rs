//! One direction of a link that carries real packets: the model says when each is due, the lane keeps it until then.

use std::collections::VecDeque;
use std::sync::Arc;

use super::carried::{Carried, Side};
use super::ecn;
use super::model::link::{Link, LinkConfig, LinkStats};
use super::model::rng::Rng;

/// A packet that is under way.
struct Waiting {
    /// Nanoseconds since the link began.
    due: u64,
    packet: Vec<u8>,
}

/// The packets of one direction, in the order in which they come out. There is no clock in it.
pub(crate) struct Lane {
    link: Link,
    waiting: VecDeque<Waiting>,
    /// Buffers of packets that have left.
    spare: Vec<Vec<u8>>,
    bytes: u64,
    carried: Arc<Carried>,
}

impl Lane {
    /// An empty lane; the same seed loses the same packets.
    pub(crate) fn new(config: LinkConfig, seed: u64) -> Self {
        let link = Link::new(config, 0, Rng::new(seed));
        Self { link, waiting: VecDeque::new(), spare: Vec::new(), bytes: 0, carried: Arc::default() }
    }

    /// Takes an IP packet at `now`, or loses it.
    pub(crate) fn offer(&mut self, now: u64, packet: &[u8]) {
        self.bytes += packet.len() as u64;
        let waits = self.link.backlog(now);
        let arrival = self.link.carry(now, packet.len() as u64, ecn::is_markable(packet));
        if let Some(side) = Side::of(packet) {
            let (through, marked) =
                (arrival.map(|_| packet.len() as u64), arrival.is_some_and(|arrival| arrival.marked));
            self.carried.note(side, through, marked, waits.as_nanos() as u64);
        }
        let Some(arrival) = arrival else { return };
        let mut kept = self.spare.pop().unwrap_or_default();
        kept.clear();
        kept.extend_from_slice(packet);
        if arrival.marked {
            ecn::mark(&mut kept);
        }
        self.waiting.push_back(Waiting { due: arrival.at, packet: kept });
    }

    /// When the next packet comes out, if one is under way.
    pub(crate) fn next_due(&self) -> Option<u64> {
        self.waiting.front().map(|waiting| waiting.due)
    }

    /// Hands over all packets that are due at `now`, each with the time that it was due.
    pub(crate) fn deliver(&mut self, now: u64, mut out: impl FnMut(u64, &[u8])) {
        while self.next_due().is_some_and(|due| due <= now) {
            let Some(Waiting { due, packet }) = self.waiting.pop_front() else { return };
            out(due, &packet);
            self.spare.push(packet);
        }
    }

    /// What it has carried, to be looked at while it runs.
    pub(crate) fn carried(&self) -> Arc<Carried> {
        self.carried.clone()
    }

    /// Packets offered, lost, and dropped for want of room.
    pub(crate) fn stats(&self) -> LinkStats {
        self.link.stats
    }

    /// Bytes offered, those of lost packets included.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }
}
