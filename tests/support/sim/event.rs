//! What the event loop has before it.

use std::cmp::Ordering;

use super::end::Packet;

/// What happens at a moment.
pub(super) enum Event {
    Start {
        flow: usize,
    },
    Stop {
        flow: usize,
    },
    Arrive {
        host: usize,
        packet: Packet,
    },
    Receive {
        host: usize,
    },
    /// A packet that was paced leaves its host.
    Leave {
        host: usize,
        packet: Packet,
    },
    /// A managed queue may send its next packet.
    Depart {
        way: usize,
    },
    Timer {
        host: usize,
    },
    Wake {
        host: usize,
    },
    Refill {
        flow: usize,
    },
    Change {
        index: usize,
    },
    Measure,
    Trace,
}

/// An event and when it is due; `order` decides between those of one moment.
pub(super) struct Scheduled {
    pub(super) at: u64,
    pub(super) order: u64,
    pub(super) event: Event,
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
