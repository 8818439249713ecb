//! The status of a server at one moment, as a copy for its operator.
//!
//! It is also what `qft status` reads from a running server, which may be of another version: fields are added, never
//! changed, and what is new there has a default here. Sizes are bytes, rates bytes per second, times milliseconds unless
//! the name says otherwise. Nothing in it is secret.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Access, ServerInner};
use crate::congestion;
use crate::progress::FilePhase;

/// Connections that are listed one by one; more are only counted. It bounds the size of a copy: a few mebibytes.
const CONNECTIONS_MAX: usize = 1024;

/// The status of a server at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServerStatus {
    /// The version of the program.
    pub version: String,
    /// Milliseconds since the server was started.
    pub uptime_ms: u64,
    /// It takes no more clients and is about to end.
    pub is_ending: bool,
    /// The rules that hold for all clients.
    pub rules: Rules,
    /// Connections on each worker thread, those that are still in their handshake among them.
    pub workers: Vec<usize>,
    /// Clients that are let in.
    pub clients: usize,
    /// Most clients that are let in at the same time.
    pub clients_max: usize,
    /// The clients, in the order in which they came; of a very large number only the first.
    pub connections: Vec<ConnectionStatus>,
}

/// The rules that hold for all clients of a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// Files may be got and listed.
    pub read: bool,
    /// Files may be sent.
    pub write: bool,
    /// Nothing that exists is replaced.
    pub no_clobber: bool,
    /// No symbolic links are taken.
    #[serde(default)]
    pub no_links: bool,
    /// The server's own links stand for directories where files arrive.
    #[serde(default)]
    pub keep_dirlinks: bool,
    /// Dotfiles at the top are served.
    pub hidden: bool,
    /// Anyone is let in.
    pub no_auth: bool,
    /// A client that has the token is let in.
    pub token: bool,
    /// A client that has a certificate is let in.
    pub client_ca: bool,
    /// It ends after the first client whose files all went well.
    pub once: bool,
    /// A file is durable before it counts as done.
    pub sync: bool,
    /// Bytes of UDP payload per second that may go each way.
    pub rate_limit: Option<u64>,
}

/// The connection of one client, and its jobs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConnectionStatus {
    /// Its name, escaped for display.
    pub peer: String,
    /// The client's key, as a fingerprint.
    pub fingerprint: String,
    /// Where it is now.
    pub address: SocketAddr,
    /// The worker that serves it, from 0.
    pub worker: usize,
    /// Since it was let in.
    pub connected_ms: u64,
    /// Smoothed round trip in microseconds.
    pub rtt_us: u64,
    /// Share of the packets sent to it that were lost in the last seconds, 0 to 1; `None` when none were sent.
    pub loss: Option<f64>,
    /// UDP payload that came from it in the last seconds, per second; `None` while it is too new to tell.
    pub rate_in: Option<u64>,
    /// UDP payload that went to it, likewise.
    pub rate_out: Option<u64>,
    /// Its packet size in bytes.
    pub mtu: u64,
    /// The congestion controller's estimate of the path to it, once enough was sent to tell.
    pub path: Option<PathStatus>,
    /// The running jobs, at most one in each direction.
    pub jobs: Vec<JobStatus>,
}

/// The congestion controller's estimate of the path to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathStatus {
    /// Bytes of UDP payload per second that the path delivers.
    pub bandwidth: u64,
    /// Shortest round trip seen lately, in microseconds.
    pub min_rtt_us: u64,
    /// Congestion window in bytes.
    pub window: u64,
    /// The phase that the controller is in.
    pub phase: congestion::Phase,
}

/// Which way files go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// From the client to the server.
    In,
    /// From the server to the client.
    Out,
}

/// A job under way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobStatus {
    /// Which way its files go.
    pub direction: Direction,
    /// Milliseconds since the job began.
    pub elapsed_ms: u64,
    /// Files that are done, skipped or failed.
    pub files_settled: u64,
    /// Files found so far.
    pub files_found: u64,
    /// Files that failed so far, at either end.
    pub files_failed: u64,
    /// Whether those that were found are all.
    pub scan_ended: bool,
    /// Bytes that are there, whoever brought them.
    pub bytes_there: u64,
    /// Bytes of all files found so far.
    pub bytes_found: u64,
    /// Bytes that crossed the wire and were written.
    pub bytes_written: u64,
    /// Such bytes in the last seconds, per second; `None` while it is too new to tell.
    pub rate: Option<u64>,
    /// Share of the packets of its sender that were lost in the last seconds, 0 to 1; `None` when that is not known.
    pub loss: Option<f64>,
    /// Files whose content moves.
    pub files_active: usize,
    /// The largest of them.
    pub active: Vec<FileStatus>,
}

/// A file whose content moves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileStatus {
    /// Its name, escaped for display; of a very long one only the end.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
    /// Bytes of it that are there.
    pub bytes_there: u64,
    /// The phase that the file is in.
    pub phase: FilePhase,
}

impl ServerStatus {
    /// The server's present status. It takes a few short locks, none of them for longer than a copy.
    pub(super) fn of(shared: &ServerInner) -> Self {
        let mut connections = shared.registry.connections();
        connections.sort_by_key(|live| live.since());
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_ms: millis(shared.started.elapsed()),
            is_ending: shared.drain.borrow().is_some(),
            rules: Rules::of(shared),
            workers: shared.workers.active(),
            clients: connections.len(),
            clients_max: shared.gate.places.max(),
            connections: connections.iter().take(CONNECTIONS_MAX).map(|live| live.look()).collect(),
        }
    }
}

impl Rules {
    fn of(shared: &ServerInner) -> Self {
        Self {
            read: shared.config.mode.reads(),
            write: shared.config.mode.writes(),
            no_clobber: shared.config.no_clobber,
            no_links: !shared.config.links,
            keep_dirlinks: shared.config.keep_dirlinks,
            hidden: shared.config.hidden,
            no_auth: matches!(shared.config.access, Access::Anyone),
            token: shared.passes().token.is_some(),
            client_ca: shared.passes().authority.is_some(),
            once: shared.config.once.is_some(),
            sync: shared.config.sync,
            rate_limit: shared.config.rate_limit.map(|limit| limit.bytes_per_second()),
        }
    }
}

/// Whole milliseconds.
pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
