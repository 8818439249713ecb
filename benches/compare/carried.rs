//! What a direction of the link has carried so far, for whoever looks while it runs.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Whose a packet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Ours,
    Theirs,
}

/// Who stands in for ours may speak TCP as well: it has ports from here on.
pub(crate) const OURS_FROM_PORT: u16 = 5301;

const PROTOCOL_AT: usize = 9;
const TCP: u8 = 6;
const UDP: u8 = 17;

impl Side {
    /// Reads it off an IPv4 packet: UDP is ours, TCP theirs unless it goes to one of our ports. `None`: a ping, say.
    pub(crate) fn of(packet: &[u8]) -> Option<Self> {
        let header = usize::from(packet.first()? & 0xf) * 4;
        match *packet.get(PROTOCOL_AT)? {
            UDP => Some(Self::Ours),
            TCP => {
                let port = packet.get(header + 2..header + 4)?;
                let port = u16::from_be_bytes([port[0], port[1]]);
                Some(if port >= OURS_FROM_PORT { Self::Ours } else { Self::Theirs })
            }
            _ => None,
        }
    }
}

/// Counters of the two sides.
#[derive(Debug, Default)]
pub(crate) struct Carried {
    bytes: [AtomicU64; 2],
    packets: [AtomicU64; 2],
    lost: [AtomicU64; 2],
    marked: [AtomicU64; 2],
    /// Waiting time over the packets that came, in nanoseconds.
    waited: AtomicU64,
}

/// The same at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Snapshot {
    /// Bytes of IP packets that got through, ours and theirs.
    pub(crate) bytes: [u64; 2],
    /// Packets that were offered...
    pub(crate) packets: [u64; 2],
    /// ... those that were lost, wherever...
    pub(crate) lost: [u64; 2],
    /// ... and those that got a congestion mark.
    pub(crate) marked: [u64; 2],
    waited: u64,
}

impl Carried {
    /// A packet was offered; `through`: its bytes, if it was not lost.
    pub(crate) fn note(&self, side: Side, through: Option<u64>, marked: bool, waited: u64) {
        let side = side as usize;
        self.packets[side].fetch_add(1, Relaxed);
        match through {
            Some(bytes) => self.bytes[side].fetch_add(bytes, Relaxed),
            None => self.lost[side].fetch_add(1, Relaxed),
        };
        self.marked[side].fetch_add(u64::from(marked), Relaxed);
        self.waited.fetch_add(waited, Relaxed);
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let read = |counters: &[AtomicU64; 2]| [counters[0].load(Relaxed), counters[1].load(Relaxed)];
        Snapshot {
            bytes: read(&self.bytes),
            packets: read(&self.packets),
            lost: read(&self.lost),
            marked: read(&self.marked),
            waited: self.waited.load(Relaxed),
        }
    }
}

impl Snapshot {
    /// What came after `earlier`.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        let less = |now: [u64; 2], then: [u64; 2]| [now[0] - then[0], now[1] - then[1]];
        Self {
            bytes: less(self.bytes, earlier.bytes),
            packets: less(self.packets, earlier.packets),
            lost: less(self.lost, earlier.lost),
            marked: less(self.marked, earlier.marked),
            waited: self.waited - earlier.waited,
        }
    }

    /// Mean time that a packet found waiting, in milliseconds.
    pub(crate) fn queue_ms(&self) -> f64 {
        self.waited as f64 / 1e6 / (self.packets[0] + self.packets[1]).max(1) as f64
    }

    /// Share of a side's packets that were lost, in percent.
    pub(crate) fn lost_percent(&self, side: Side) -> f64 {
        self.lost[side as usize] as f64 * 100.0 / self.packets[side as usize].max(1) as f64
    }

    /// Share of a side's packets that got a congestion mark, in percent.
    pub(crate) fn marked_percent(&self, side: Side) -> f64 {
        self.marked[side as usize] as f64 * 100.0 / self.packets[side as usize].max(1) as f64
    }
}
