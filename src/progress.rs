//! What a running job tells its caller: events that matter one by one, and counters that are sampled.
//!
//! A transfer touches only atomics on its hot path; whoever draws reads them ten times a second.

use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::protocol::message::{Failure, SkipReason, Why};

/// One step of a job.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// The connection stands and the peer is who it should be.
    Connected {
        /// Where it is.
        addr: SocketAddr,
        /// Its name for itself, escaped for display.
        peer: String,
        /// Whether this connection used an invite to enrol this client.
        enrolled: bool,
    },
    /// A file's content begins to move or to be compared.
    Started(Arc<FileProgress>),
    /// A file is committed at the receiver.
    Finished {
        /// The file, with its final counts.
        file: Arc<FileProgress>,
    },
    /// A file needed no content.
    Skipped {
        /// Its name, escaped for display.
        path: String,
        /// Its size in bytes.
        size: u64,
        /// Why.
        reason: SkipReason,
    },
    /// In a dry run: what would happen to a file.
    Planned {
        /// Its name, escaped for display.
        path: String,
        /// Its size in bytes.
        size: u64,
        /// How many bytes are there already.
        from: u64,
        /// What its content would be.
        why: Why,
    },
    /// One file (or name) failed; the others go on.
    Failed {
        /// Its name, escaped for display.
        path: String,
        /// The cause.
        failure: Failure,
    },
    /// Something worth a line that is no failure (a link left out, a small socket buffer).
    Note(String),
    /// The connection was lost; the job goes on by itself.
    Reconnecting {
        /// Counts from 1; starts again after progress.
        attempt: u32,
        /// Time until the attempt.
        after: Duration,
        /// Why the last connection ended.
        cause: String,
    },
}

/// One file that is moving.
#[derive(Debug)]
pub struct FileProgress {
    /// Its name, escaped for display.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
    /// Bytes that the receiver held already when the file started.
    pub resumed: u64,
    /// What its content is.
    pub why: Why,
    /// Bytes that earlier attempts of the same job wrote.
    earlier: AtomicU64,
    written: AtomicU64,
    phase: AtomicU8,
}

/// What is being done to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Content crosses the wire.
    Moving,
    /// Digests of what was there already are compared.
    Checking,
    /// Everything is there; it is being made durable.
    Committing,
}

impl FileProgress {
    /// A file of which `resumed` bytes are there and nothing has moved yet.
    pub fn new(path: String, size: u64, resumed: u64, why: Why) -> Self {
        let (earlier, written, phase) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU8::new(0));
        Self { path, size, resumed, why, earlier, written, phase }
    }

    /// Content bytes that the receiver has written since the file started.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Bytes that were there before the job and stayed: those that proved wrong were written again.
    pub fn reused(&self) -> u64 {
        let there = self.resumed.min(self.size.saturating_sub(self.written()));
        there.saturating_sub(self.earlier.load(Ordering::Relaxed))
    }

    /// Content bytes that the receiver has written in the whole job.
    fn written_in_all(&self) -> u64 {
        self.earlier.load(Ordering::Relaxed) + self.written()
    }

    /// Goes on where `before`, the same file of the same job, was lost.
    fn follow(&self, before: &Self) {
        self.earlier.store(before.written_in_all(), Ordering::Relaxed);
    }

    /// Counts `bytes` more as written.
    pub fn add_written(&self, bytes: u64) {
        self.written.fetch_add(bytes, Ordering::Relaxed);
    }

    /// What is being done to it now.
    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Moving,
            1 => Phase::Checking,
            _ => Phase::Committing,
        }
    }

    /// Sets what is being done to it.
    pub fn set_phase(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }
}

/// The totals of a job, updated as it runs and read at any time.
#[derive(Debug, Default)]
pub struct Counters {
    /// Files found so far (directories and links included).
    pub files_found: AtomicU64,
    /// Sum of their sizes in bytes.
    pub bytes_found: AtomicU64,
    /// Whether the search for files has ended, so that the two above are totals.
    pub scan_ended: AtomicBool,
    /// Files committed.
    pub files_done: AtomicU64,
    /// Files that needed no content.
    pub files_skipped: AtomicU64,
    /// Files and names that failed.
    pub files_failed: AtomicU64,
    /// Content bytes that the receiver wrote in this run: the only bytes that count for the rate.
    pub bytes_written: AtomicU64,
    /// Bytes that were there already in files that were continued or updated.
    pub bytes_resumed: AtomicU64,
    /// Bytes of files that were skipped.
    pub bytes_skipped: AtomicU64,
    /// Smoothed round trip in microseconds.
    pub rtt_us: AtomicU64,
    /// Packets sent by the sending side.
    pub packets_sent: AtomicU64,
    /// Packets lost by the sending side.
    pub packets_lost: AtomicU64,
    /// The sending side's congestion window in bytes.
    pub window: AtomicU64,
    /// The sending side's packet size in bytes.
    pub mtu: AtomicU64,
    /// This end's UDP buffer for packets that arrive, in bytes, as the system granted it; 0 before there is a socket.
    pub udp_receive: AtomicU64,
    /// This end's UDP buffer for packets that leave, likewise.
    pub udp_send: AtomicU64,
}

impl Counters {
    /// Adds to one counter.
    pub fn add(counter: &AtomicU64, amount: u64) {
        counter.fetch_add(amount, Ordering::Relaxed);
    }

    /// Reads one counter.
    pub fn read(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }
}

/// What a finished job amounts to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Files committed.
    pub done: u64,
    /// Files that needed no content.
    pub skipped: u64,
    /// Files and names that failed, each with its cause, at most [`FAILURES_KEPT`] of them.
    pub failures: Vec<(String, Failure)>,
    /// How many failed in all.
    pub failed: u64,
    /// Content bytes that crossed the wire and were written.
    pub bytes_written: u64,
    /// Bytes that were there already in files that were continued or updated.
    pub bytes_resumed: u64,
    /// Bytes of skipped files.
    pub bytes_skipped: u64,
    /// From the start of the job to its end.
    pub elapsed: Duration,
}

/// Failures listed by name in a [`Report`]; more are only counted, so that memory stays flat.
pub const FAILURES_KEPT: usize = 1000;

/// Where a job's roles report to. Cheap to clone; never blocks.
#[derive(Debug, Clone)]
pub struct Observer {
    counters: Arc<Counters>,
    events: mpsc::UnboundedSender<Event>,
    /// `None` when nothing follows the one connection that it observes.
    names: Option<Arc<Mutex<Names>>>,
}

/// Names of a job by hash, so that a new connection counts none of them twice.
#[derive(Debug, Default)]
struct Names {
    found: HashSet<u64>,
    settled: HashSet<u64>,
    /// What has started and is not settled: what it wrote is counted.
    moving: HashMap<u64, Arc<FileProgress>>,
}

impl Observer {
    /// An observer and the stream of its events. Dropping the stream silences it.
    pub fn new() -> (Self, mpsc::UnboundedReceiver<Event>) {
        let (events, stream) = mpsc::unbounded_channel();
        (Self { counters: Arc::default(), events, names: Some(Arc::default()) }, stream)
    }

    /// An observer of a job that ends with its connection, as a server's do: it remembers no names, of which a
    /// peer could send any number.
    pub(crate) fn for_one_connection() -> (Self, mpsc::UnboundedReceiver<Event>) {
        let (observer, stream) = Self::new();
        (Self { names: None, ..observer }, stream)
    }

    /// The totals.
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// Passes an event on.
    pub fn event(&self, event: Event) {
        // A caller that stopped listening does not want to know.
        let _ = self.events.send(event);
    }

    fn names(&self) -> Option<MutexGuard<'_, Names>> {
        Some(self.names.as_ref()?.lock().expect("no holder panics"))
    }

    /// A file is part of the job.
    pub fn found(&self, path: &str, size: u64) {
        if self.names().is_none_or(|mut names| note(&mut names.found, path)) {
            Counters::add(&self.counters.files_found, 1);
            Counters::add(&self.counters.bytes_found, size);
        }
    }

    /// There are no more files than those found.
    pub fn scan_ended(&self) {
        self.counters.scan_ended.store(true, Ordering::Relaxed);
    }

    /// A file's content begins to move.
    pub fn started(&self, file: &Arc<FileProgress>) {
        if let Some(mut names) = self.names()
            && let Some(before) = names.moving.insert(name_hash(&file.path), file.clone())
        {
            file.follow(&before);
        }
        self.event(Event::Started(file.clone()));
    }

    /// Content of a file has been written by the receiver.
    pub fn written(&self, file: &FileProgress, bytes: u64) {
        file.add_written(bytes);
        Counters::add(&self.counters.bytes_written, bytes);
    }

    /// A file is committed.
    pub fn finished(&self, file: &Arc<FileProgress>) {
        if self.settle(&file.path).is_some() {
            Counters::add(&self.counters.files_done, 1);
            Counters::add(&self.counters.bytes_resumed, file.reused());
        }
        self.event(Event::Finished { file: file.clone() });
    }

    /// A file needed no content.
    pub fn skipped(&self, path: String, size: u64, reason: SkipReason) {
        let Some(written) = self.settle(&path) else { return };
        match reason {
            SkipReason::Made => Counters::add(&self.counters.files_done, 1),
            SkipReason::Same | SkipReason::Exists => {
                Counters::add(&self.counters.files_skipped, 1);
                Counters::add(&self.counters.bytes_skipped, size.saturating_sub(written));
            }
        }
        self.event(Event::Skipped { path, size, reason });
    }

    /// A file or name failed for good.
    pub fn failed(&self, path: String, failure: Failure) {
        if self.settle(&path).is_some() {
            Counters::add(&self.counters.files_failed, 1);
            self.event(Event::Failed { path, failure });
        }
    }

    /// Whether a name's fate is known from an earlier connection of the same job.
    pub fn is_settled(&self, path: &str) -> bool {
        self.names().is_some_and(|names| names.settled.contains(&name_hash(path)))
    }

    /// Notes that a name's fate is known, and says how much of it the job has written so far; `None` when it was
    /// known before, so that nothing counts twice.
    fn settle(&self, path: &str) -> Option<u64> {
        let Some(mut names) = self.names() else { return Some(0) };
        let moved = names.moving.remove(&name_hash(path));
        note(&mut names.settled, path).then(|| moved.map_or(0, |file| file.written_in_all()))
    }
}

/// Names remembered at most; what is beyond may count twice after a lost connection. A hostile server could
/// otherwise fill our memory with names alone.
const NAMES_KEPT: usize = 8 << 20;

/// Remembers a name; false when it was known.
fn note(names: &mut HashSet<u64>, path: &str) -> bool {
    let hash = name_hash(path);
    if names.len() < NAMES_KEPT { names.insert(hash) } else { !names.contains(&hash) }
}

/// Eight bytes a name instead of the name: 100,000 files cost less than a megabyte. A collision would
/// leave a file out only if the connection also broke in between; 64 bits make that one in 10^9 jobs.
fn name_hash(path: &str) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    path.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(observer: &Observer, resumed: u64) -> Arc<FileProgress> {
        let file = Arc::new(FileProgress::new("a".into(), 100, resumed, Why::Resume));
        observer.started(&file);
        file
    }

    #[test]
    fn what_a_lost_connection_brought_is_not_resumed() {
        let (observer, _events) = Observer::new();
        observer.written(&start(&observer, 10), 20);
        observer.written(&start(&observer, 30), 30);
        let last = start(&observer, 60);
        assert_eq!(last.reused(), 10);
        observer.written(&last, 40);
        observer.finished(&last);
        let counters = observer.counters();
        assert_eq!((Counters::read(&counters.bytes_written), Counters::read(&counters.bytes_resumed)), (90, 10));
    }

    #[test]
    fn a_file_whose_end_was_not_heard_counts_once() {
        let (observer, _events) = Observer::new();
        observer.written(&start(&observer, 0), 70);
        observer.skipped("a".into(), 100, SkipReason::Same);
        let counters = observer.counters();
        assert_eq!((Counters::read(&counters.bytes_written), Counters::read(&counters.bytes_skipped)), (70, 30));
    }
}
