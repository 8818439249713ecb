//! One direction of the path: its link, and the queue before it where that is managed.

use std::time::Duration;

use super::aqm::{ManagedQueue, Waiting};
use super::end::Packet;
use super::link::{Arrival, Discipline, Link, LinkConfig, LinkStats};
use super::rng::Rng;

pub(super) const FORWARD: usize = 0;
pub(super) const REVERSE: usize = 1;

/// A packet that got onto the link: when it arrives, at which host.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) at: u64,
    pub(super) host: usize,
    pub(super) packet: Packet,
}

/// A direction.
pub(super) struct Way {
    link: Link,
    /// Packets with the host that they are for.
    queue: Option<ManagedQueue<(usize, Packet)>>,
    /// The link is sending what a managed queue gave it.
    is_busy: bool,
}

impl Way {
    pub(super) fn new(config: LinkConfig, measure_from: u64, rng: Rng) -> Self {
        let fair = config.discipline == Discipline::FqCodel;
        let queue = config.discipline.is_managed().then(|| ManagedQueue::new(fair, config.queue));
        Self { link: Link::new(config, measure_from, rng), queue, is_busy: false }
    }

    pub(super) fn change(&mut self, config: LinkConfig) {
        self.link.config = config;
    }

    /// How long a packet that came at `now` would wait.
    pub(super) fn backlog(&self, now: u64) -> Duration {
        let Some(queue) = &self.queue else { return self.link.backlog(now) };
        Duration::from_secs_f64(queue.backlog() as f64 * 8.0 / self.link.config.rate.max(1) as f64)
    }

    /// Takes a packet for `host`. Before a drop-tail queue, what becomes of it is known at once; before a managed one that
    /// is idle, [`depart`](Self::depart) has to be asked.
    pub(super) fn offer(&mut self, now: u64, host: usize, mut packet: Packet) -> Offered {
        if !self.link.config.discipline.does_mark() {
            packet.clear_ecn();
        }
        let bytes = packet.bytes();
        let Some(queue) = &mut self.queue else {
            let arrival = self.link.carry(now, bytes, packet.is_markable());
            return arrival.map_or(Offered::Lost, |arrival| Offered::Sent(sent(arrival, host, packet)));
        };
        if !self.link.admits(now, bytes) {
            return Offered::Lost;
        }
        self.link.note_backlog(now, queue.backlog());
        let markable = packet.is_markable();
        let waiting = Waiting { packet: (host, packet), bytes, since: now, markable, marked: false };
        queue.enqueue(host / 2, waiting);
        if self.is_busy { Offered::Waits } else { Offered::Next }
    }

    /// The managed queue sends its next packet, if there is one. Gives it, and when the one after it may go.
    pub(super) fn depart(&mut self, now: u64) -> Option<(Sent, u64)> {
        let queue = self.queue.as_mut()?;
        self.link.note_backlog(now, queue.backlog());
        let waiting = queue.dequeue(now);
        self.is_busy = waiting.is_some();
        let Waiting { packet: (host, packet), bytes, since, marked, .. } = waiting?;
        let (free, arrival) = self.link.depart(now, bytes, now - since, marked);
        Some((sent(arrival, host, packet), free))
    }

    /// The counters up to `now`.
    pub(super) fn stats(&mut self, now: u64) -> LinkStats {
        let Some(queue) = &self.queue else {
            self.link.advance(now);
            return self.link.stats;
        };
        self.link.note_backlog(now, queue.backlog());
        let mut stats = self.link.stats;
        stats.queue_drops += queue.drops;
        stats
    }
}

/// What became of a packet.
pub(super) enum Offered {
    Lost,
    Sent(Sent),
    /// It waits in a managed queue, behind others...
    Waits,
    /// ... or with nothing before it on the link.
    Next,
}

fn sent(arrival: Arrival, host: usize, mut packet: Packet) -> Sent {
    if arrival.marked {
        packet.mark();
    }
    Sent { at: arrival.at, host, packet }
}
