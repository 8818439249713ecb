//! A live connection, from its welcome to its end: what other threads can see of it.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use quinn::{Connection, ConnectionStats};

use super::job::ServerJob;
use super::paths::ClientPath;
use super::rate_window::{RateWindow, per_second, share_lost};
use super::status::{self, Direction, millis};
use crate::congestion::PathState;
use crate::keys::Fingerprint;
use crate::transport::canonical;

#[derive(Debug)]
pub(super) struct LiveConnection {
    pub(super) connection: Connection,
    pub(super) peer: Fingerprint,
    /// Escaped for display.
    name: String,
    worker: usize,
    since: Instant,
    path: Arc<ClientPath>,
    traffic: Mutex<RateWindow<UdpTraffic>>,
    /// The last one each way.
    jobs: Mutex<Vec<Arc<ServerJob>>>,
}

/// The traffic of a connection: bytes of UDP payload.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct UdpTraffic {
    pub(super) received: u64,
    pub(super) sent: u64,
    /// Packets sent, and those of them that were lost.
    pub(super) packets: (u64, u64),
}

impl UdpTraffic {
    /// Adds that of another connection.
    pub(super) fn add(&mut self, other: Self) {
        self.received += other.received;
        self.sent += other.sent;
        self.packets.0 += other.packets.0;
        self.packets.1 += other.packets.1;
    }
}

impl From<&ConnectionStats> for UdpTraffic {
    fn from(stats: &ConnectionStats) -> Self {
        Self {
            received: stats.udp_rx.bytes,
            sent: stats.udp_tx.bytes,
            packets: (stats.path.sent_packets, stats.path.lost_packets),
        }
    }
}

impl LiveConnection {
    /// A connection that begins now.
    pub(super) fn new(
        connection: Connection,
        peer: Fingerprint,
        name: String,
        worker: usize,
        path: Arc<ClientPath>,
    ) -> Self {
        let since = Instant::now();
        let traffic = Mutex::new(RateWindow::new(since, UdpTraffic::from(&connection.stats())));
        Self { connection, peer, name, worker, since, path, traffic, jobs: Mutex::default() }
    }

    pub(super) fn since(&self) -> Instant {
        self.since
    }

    /// The traffic of the connection so far.
    pub(super) fn traffic(&self) -> UdpTraffic {
        UdpTraffic::from(&self.connection.stats())
    }

    /// The figures of the congestion controller on the path that the client came by.
    pub(super) fn path_state(&self) -> Arc<PathState> {
        self.path.state()
    }

    /// Puts a new job in the place of the one before it in the same direction, which is over.
    pub(super) fn begin(&self, job: Arc<ServerJob>) -> Option<Arc<ServerJob>> {
        let mut jobs = self.jobs();
        let earlier = jobs.iter().position(|earlier| earlier.direction() == job.direction());
        let earlier = earlier.map(|at| jobs.swap_remove(at));
        jobs.push(job);
        earlier
    }

    /// Whether there has been no job yet.
    pub(super) fn is_fresh(&self) -> bool {
        self.jobs().is_empty()
    }

    /// Whether a job is not over.
    pub(super) fn is_running(&self) -> bool {
        self.jobs().iter().any(|job| job.is_running())
    }

    /// A number that grows whenever something of the last jobs moves.
    pub(super) fn moved(&self) -> u64 {
        self.jobs().iter().map(|job| job.moved()).sum()
    }

    /// The jobs that are over by now, and still the last ones of their direction.
    pub(super) fn ended_jobs(&self, now: Instant) -> Vec<Arc<ServerJob>> {
        let ended: Vec<_> = self.jobs().iter().filter(|job| !job.is_running()).cloned().collect();
        ended.iter().for_each(|job| job.note_end(now));
        ended
    }

    /// Takes the jobs away, at the end.
    pub(super) fn end(&self) -> Vec<Arc<ServerJob>> {
        std::mem::take(&mut *self.jobs())
    }

    /// Leaves a mark by which rates are told. To be called every second or so.
    pub(super) fn mark(&self, now: Instant) {
        let totals = UdpTraffic::from(&self.connection.stats());
        self.traffic.lock().expect("no holder panics").mark(now, totals);
        self.jobs().iter().for_each(|job| job.mark(now));
    }

    /// A copy of what goes on.
    pub(super) fn look(&self) -> status::ConnectionStatus {
        let (now, stats) = (Instant::now(), self.connection.stats());
        let totals = UdpTraffic::from(&stats);
        let recent = self.traffic.lock().expect("no holder panics").since(now);
        let rate = |of: fn(&UdpTraffic) -> u64| recent.map(|(before, span)| per_second(of(&before), of(&totals), span));
        status::ConnectionStatus {
            peer: self.name.clone(),
            fingerprint: self.peer.to_string(),
            address: canonical(self.connection.remote_address()),
            worker: self.worker,
            connected_ms: millis(now.saturating_duration_since(self.since)),
            rtt_us: micros(stats.path.rtt),
            loss: recent.and_then(|(before, _)| share_lost(before.packets, totals.packets)),
            rate_in: rate(|traffic| traffic.received),
            rate_out: rate(|traffic| traffic.sent),
            mtu: stats.path.current_mtu.into(),
            path: self.path(),
            jobs: self.running().iter().map(|job| job.look(now)).collect(),
        }
    }

    fn path(&self) -> Option<status::PathStatus> {
        let path = self.path.path(&self.connection).filter(|path| path.bandwidth > 0)?;
        let (bandwidth, window, phase) = (path.bandwidth, path.window, path.phase);
        Some(status::PathStatus { bandwidth, min_rtt_us: micros(path.min_rtt), window, phase })
    }

    /// The jobs that are not over. Those that the client sends come first.
    pub(super) fn running(&self) -> Vec<Arc<ServerJob>> {
        let mut running: Vec<_> = self.jobs().iter().filter(|job| job.is_running()).cloned().collect();
        running.sort_by_key(|job| job.direction() == Direction::Out);
        running
    }

    fn jobs(&self) -> MutexGuard<'_, Vec<Arc<ServerJob>>> {
        self.jobs.lock().expect("no holder panics")
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
