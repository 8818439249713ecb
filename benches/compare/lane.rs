//! One direction of a link that carries real packets: the model says when each is due, the lane keeps it until then.

use std::collections::VecDeque;

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
}

impl Lane {
    /// An empty lane; the same seed loses the same packets.
    pub(crate) fn new(config: LinkConfig, seed: u64) -> Self {
        Self { link: Link::new(config, 0, Rng::new(seed)), waiting: VecDeque::new(), spare: Vec::new(), bytes: 0 }
    }

    /// Takes an IP packet at `now`, or loses it.
    pub(crate) fn offer(&mut self, now: u64, packet: &[u8]) {
        self.bytes += packet.len() as u64;
        let Some(arrival) = self.link.carry(now, packet.len() as u64, false) else { return };
        let mut kept = self.spare.pop().unwrap_or_default();
        kept.clear();
        kept.extend_from_slice(packet);
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

    /// Packets offered, lost, and dropped for want of room.
    pub(crate) fn stats(&self) -> LinkStats {
        self.link.stats
    }

    /// Bytes offered, those of lost packets included.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }
}
