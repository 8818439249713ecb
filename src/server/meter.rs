//! The counters of a server, from its start: for monitoring over months.
//!
//! Counts are made where things happen, by whatever thread is there, and cost an addition each. Nothing here waits, and
//! nothing grows with the number of clients.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use quinn::{Connection, ConnectionStats};

use super::status::Direction;
use crate::progress::{Counters, Histogram, SECONDS, Scale};
use crate::protocol::close::CloseCode;
use crate::session::SessionError;
use crate::transport;

/// Shares, observed in millionths.
const SHARES: Scale =
    Scale { bounds: &[0, 100, 300, 1_000, 3_000, 10_000, 30_000, 100_000, 300_000], unit: 1_000_000.0 };

/// Bytes, from a kibibyte to four gibibytes.
const BYTES: Scale = Scale {
    bounds: &[
        1 << 10,
        1 << 12,
        1 << 14,
        1 << 16,
        1 << 18,
        1 << 20,
        1 << 22,
        1 << 24,
        1 << 26,
        1 << 28,
        1 << 30,
        1 << 32,
    ],
    unit: 1.0,
};

/// The counters of a server, from its start.
#[derive(Debug)]
pub(super) struct Meter {
    /// The totals of all jobs, for each direction.
    into: Arc<Counters>,
    out: Arc<Counters>,
    /// Clients that were let in.
    pub(super) admitted: AtomicU64,
    /// Connections and handshakes that were not let in.
    pub(super) refused: CounterFamily<RefusalReason>,
    /// Ends of clients' connections.
    pub(super) ended: CounterFamily<ConnectionEnd>,
    /// Bounds that somebody has met.
    pub(super) limits: CounterFamily<Limit>,
    /// Connections that move files, looked at once a second each.
    pub(super) links: LinkHistograms,
}

impl Meter {
    pub(super) fn new() -> Self {
        Self {
            into: Arc::default(),
            out: Arc::default(),
            admitted: AtomicU64::new(0),
            refused: CounterFamily::new(),
            ended: CounterFamily::new(),
            limits: CounterFamily::new(),
            links: LinkHistograms::new(),
        }
    }

    /// The totals of all jobs of one direction.
    pub(super) fn moved(&self, direction: Direction) -> &Arc<Counters> {
        match direction {
            Direction::In => &self.into,
            Direction::Out => &self.out,
        }
    }
}

/// Something that is counted by its kind, of which there is a fixed list.
pub(super) trait LabelValue: Copy + PartialEq {
    fn all() -> Vec<Self>;

    /// Letters and underscores.
    fn name(self) -> &'static str;
}

/// How often something has happened, by its kind.
#[derive(Debug)]
pub(super) struct CounterFamily<K>(Vec<(K, AtomicU64)>);

impl<K: LabelValue> CounterFamily<K> {
    fn new() -> Self {
        Self(K::all().into_iter().map(|kind| (kind, AtomicU64::new(0))).collect())
    }

    /// It happened once more.
    pub(super) fn count(&self, kind: K) {
        let found = self.0.iter().find(|(known, _)| *known == kind);
        debug_assert!(found.is_some(), "{} is in no list", kind.name());
        if let Some((_, count)) = found {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// All kinds with their counts.
    pub(super) fn look(&self) -> Vec<(&'static str, u64)> {
        self.0.iter().map(|(kind, count)| (kind.name(), count.load(Ordering::Relaxed))).collect()
    }
}

/// Why somebody was not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RefusalReason {
    /// No place was free, which cost no handshake.
    Full,
    /// Too many others waited for their handshake.
    Unanswered,
    /// The handshake failed, or took too long.
    Handshake,
    /// Its place among the pending connections went to a later one.
    Displaced,
    /// It was heard and told why.
    Told(CloseCode),
}

impl LabelValue for RefusalReason {
    fn all() -> Vec<Self> {
        let own = [Self::Full, Self::Unanswered, Self::Handshake, Self::Displaced];
        own.into_iter().chain(CloseCode::ALL.map(Self::Told)).collect()
    }

    fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Unanswered => "unanswered",
            Self::Handshake => "handshake",
            Self::Displaced => "displaced",
            Self::Told(code) => code.name(),
        }
    }
}

/// How a client's connection has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ConnectionEnd {
    /// Nothing came any more.
    Lost,
    /// Either end closed it.
    Closed(CloseCode),
}

impl ConnectionEnd {
    /// How a connection has ended that ended with this.
    pub(super) fn of(error: &SessionError) -> Self {
        match error {
            SessionError::Connection(error) => transport::closed_by(error).map_or(Self::Lost, Self::Closed),
            error => Self::Closed(error.close_code()),
        }
    }
}

impl LabelValue for ConnectionEnd {
    fn all() -> Vec<Self> {
        [Self::Lost].into_iter().chain(CloseCode::ALL.map(Self::Closed)).collect()
    }

    fn name(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Closed(code) => code.name(),
        }
    }
}

/// A bound of [`manual::limits`](crate::manual::limits) that somebody has met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Limit {
    /// Clients inside, in all, of one address or of one key.
    Clients,
    /// Pending connections at the same time.
    Pending,
    /// Bytes of a stranger that nobody reads.
    Unread,
    /// Those that wait for their handshake.
    Incoming,
    /// Pending connections whose address is not proven.
    UnprovenAddresses,
    /// Files on offer, so that the client comes again with the rest.
    Offers,
    /// Chunks that were begun and left so.
    Begun,
    /// Connections of those who watch.
    HttpConnections,
    /// Heads of their requests, by size or time.
    HttpRequests,
    /// Pages that they have open.
    HttpPages,
}

impl LabelValue for Limit {
    fn all() -> Vec<Self> {
        vec![
            Self::Clients,
            Self::Pending,
            Self::Unread,
            Self::Incoming,
            Self::UnprovenAddresses,
            Self::Offers,
            Self::Begun,
            Self::HttpConnections,
            Self::HttpRequests,
            Self::HttpPages,
        ]
    }

    fn name(self) -> &'static str {
        match self {
            Self::Clients => "clients",
            Self::Pending => "strangers",
            Self::Unread => "unread",
            Self::Incoming => "incoming",
            Self::UnprovenAddresses => "unproven_addresses",
            Self::Offers => "offers",
            Self::Begun => "begun",
            Self::HttpConnections => "http_connections",
            Self::HttpRequests => "http_requests",
            Self::HttpPages => "http_pages",
        }
    }
}

/// Round trips, losses and rates of the connections that move files, sampled every second.
#[derive(Debug)]
pub(super) struct LinkHistograms {
    pub(super) rtt: Histogram,
    pub(super) loss: Histogram,
    pub(super) rate: Histogram,
    pub(super) window: Histogram,
}

/// The traffic of a connection at its last sample.
#[derive(Debug, Clone, Copy)]
pub(super) struct LinkMark {
    at: Instant,
    stats: ConnectionStats,
}

impl LinkMark {
    pub(super) fn new(connection: &Connection, now: Instant) -> Self {
        Self { at: now, stats: connection.stats() }
    }
}

impl LinkHistograms {
    fn new() -> Self {
        Self {
            rtt: Histogram::new(&SECONDS),
            loss: Histogram::new(&SHARES),
            rate: Histogram::new(&BYTES),
            window: Histogram::new(&BYTES),
        }
    }

    /// Counts what a connection that moves files has been like since `mark`.
    pub(super) fn count(&self, mark: LinkMark, connection: &Connection, now: Instant) {
        let (before, stats) = (mark.stats, connection.stats());
        let seconds = now.saturating_duration_since(mark.at).as_secs_f64();
        if seconds == 0.0 {
            return;
        }
        let bytes = |stats: &ConnectionStats| stats.udp_rx.bytes + stats.udp_tx.bytes;
        self.rtt.observe_time(stats.path.rtt);
        self.window.observe(stats.path.cwnd);
        self.rate.observe((bytes(&stats).saturating_sub(bytes(&before)) as f64 / seconds) as u64);
        let sent = stats.path.sent_packets.saturating_sub(before.path.sent_packets);
        let lost = stats.path.lost_packets.saturating_sub(before.path.lost_packets);
        if let Some(share) = lost.min(sent).saturating_mul(1_000_000).checked_div(sent) {
            self.loss.observe(share);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has_proper_names<K: LabelValue>() {
        let names: Vec<_> = K::all().into_iter().map(LabelValue::name).collect();
        let distinct: std::collections::HashSet<_> = names.iter().collect();
        assert_eq!(distinct.len(), names.len(), "{names:?}");
        assert!(names.iter().all(|name| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')), "{names:?}");
    }

    #[test]
    fn every_kind_has_a_name_of_its_own() {
        has_proper_names::<RefusalReason>();
        has_proper_names::<ConnectionEnd>();
        has_proper_names::<Limit>();
    }

    #[test]
    fn what_happens_is_counted_by_its_kind() {
        let tally = CounterFamily::new();
        tally.count(RefusalReason::Told(CloseCode::Busy));
        tally.count(RefusalReason::Told(CloseCode::Busy));
        tally.count(RefusalReason::Full);
        let counted: Vec<_> = tally.look().into_iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(counted, [("full", 1), ("busy", 2)]);
    }
}
