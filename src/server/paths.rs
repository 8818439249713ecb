//! A server's memory of the paths to its clients, by which congestion control begins near what a path can carry.
//!
//! It goes by address, as the path does: a client that roams has another path, and those behind one router share theirs.
//! That the address alone decides also means that a connection can be told when it is accepted, before its client is
//! known. Only clients that were let in teach it anything, and a server that lets in anyone remembers nothing.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime};
use std::{io, net::SocketAddr};

use quinn::Connection;
use quinn::congestion::{Controller, ControllerFactory};
use tracing::info;

use super::source_prefix::SourcePrefix;
use crate::congestion::{ControllerConfig, PathSnapshot, PathState};
use crate::transport::{PathList, PathMemory, learnt};

/// How long an update waits for more: a server in demand writes its file no more often.
const GATHER: Duration = Duration::from_secs(2);
/// Longest that an ending server waits for its knowledge to be written. Whoever holds the lock longer is stopped.
const KEEP_WAIT: Duration = Duration::from_secs(1);

/// The paths to all clients.
#[derive(Debug)]
pub(super) struct Paths {
    known: Arc<Mutex<PathList>>,
    /// `None` when nothing is remembered, or nothing more.
    writer: Mutex<Option<PathWriter>>,
}

/// The file, and the thread that writes it.
#[derive(Debug)]
struct PathWriter {
    updates: Sender<PathList>,
    /// Ends with the thread.
    written: Receiver<()>,
}

/// The path of one connection.
#[derive(Debug)]
pub(super) struct ClientPath {
    prefix: SourcePrefix,
    controller: Arc<FirstPath>,
}

/// Makes the controller of a connection's first path, which is told what is known of it, and those of the paths that
/// the client may move to, of which nothing is known.
#[derive(Debug)]
struct FirstPath {
    config: Arc<ControllerConfig>,
    is_built: AtomicBool,
}

impl Paths {
    /// Reads what is remembered, and starts the thread that writes.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub(super) fn open(memory: Option<PathMemory>) -> io::Result<Self> {
        let Some(memory) = memory else {
            return Ok(Self { known: Arc::default(), writer: Mutex::new(None) });
        };
        let list = memory.load().inspect_err(|error| info!(%error, "the paths' past cannot be read"));
        let known = Arc::new(Mutex::new(list.unwrap_or_default()));
        let ((update, fresh), (done, written)) = (mpsc::channel(), mpsc::channel());
        let shared = known.clone();
        std::thread::Builder::new().name("qft-paths".to_owned()).spawn(move || {
            let _ends_with_the_thread: Sender<()> = done;
            write(&memory, &fresh, &shared);
        })?;
        Ok(Self { known, writer: Mutex::new(Some(PathWriter { updates: update, written })) })
    }

    /// The path to a client that connects, and what is known of it.
    pub(super) fn path_to(&self, addr: SocketAddr) -> ClientPath {
        let prefix = SourcePrefix::of(addr);
        let past = lock(&self.known).lookup(&prefix.to_string(), SystemTime::now());
        if let Some(past) = past {
            info!(%prefix, mbit = past.bandwidth * 8 / 1_000_000, rtt = ?past.min_rtt, age = ?past.age, "path known");
        }
        let config = ControllerConfig::new(Arc::<PathState>::default()).resuming(past);
        let config = config.in_step(Instant::now(), SystemTime::now());
        ClientPath {
            prefix,
            controller: Arc::new(FirstPath { config: Arc::new(config), is_built: AtomicBool::new(false) }),
        }
    }

    /// Remembers what the connection of a client that was let in has learnt, if it was enough. Never waits.
    pub(super) fn keep(&self, path: &ClientPath, connection: &Connection) {
        let writer = lock(&self.writer);
        let Some(writer) = &*writer else { return };
        // A client that has moved meanwhile used another path for most of it.
        let has_moved = path.was_left(connection);
        let Some(past) = learnt(connection, &path.controller.config.state).filter(|_| !has_moved) else { return };
        let now = SystemTime::now();
        let update = PathList::of(&path.prefix.to_string(), &past, now);
        lock(&self.known).take_in(update.clone(), now);
        // A thread that is gone has said why.
        let _ = writer.updates.send(update);
    }

    /// Writes what has not been written; after that, nothing more is remembered.
    pub(super) fn close(&self) {
        let Some(PathWriter { updates: update, written }) = lock(&self.writer).take() else { return };
        drop(update);
        // Nothing is ever sent on it.
        let _ = written.recv_timeout(KEEP_WAIT);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no holder panics")
}

/// Writes updates until there will be no more; takes from the file what other servers of the same home have learnt.
fn write(memory: &PathMemory, fresh: &Receiver<PathList>, known: &Mutex<PathList>) {
    while let Ok(update) = fresh.recv() {
        let update = gather(update, fresh);
        let now = SystemTime::now();
        match memory.keep(update, now) {
            Ok(all) => lock(known).take_in(all, now),
            Err(error) => info!(%error, "paths are not remembered"),
        }
    }
}

fn gather(mut update: PathList, fresh: &Receiver<PathList>) -> PathList {
    let end = Instant::now() + GATHER;
    loop {
        match fresh.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(more) => update.take_in(more, SystemTime::now()),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return update,
        }
    }
}

impl ClientPath {
    /// The factory of the connection's congestion controllers.
    pub(super) fn controller(&self) -> Arc<dyn ControllerFactory + Send + Sync> {
        self.controller.clone()
    }

    /// The figures of the controller of the first path.
    pub(super) fn state(&self) -> Arc<PathState> {
        self.controller.config.state.clone()
    }

    /// The controller's estimate of the path; `None` when the client has moved to another one.
    pub(super) fn path(&self, connection: &Connection) -> Option<PathSnapshot> {
        (!self.was_left(connection)).then(|| self.controller.config.state.snapshot())
    }

    fn was_left(&self, connection: &Connection) -> bool {
        SourcePrefix::of(connection.remote_address()) != self.prefix
    }
}

impl FirstPath {
    fn next(&self) -> Arc<ControllerConfig> {
        match self.is_built.swap(true, Ordering::Relaxed) {
            false => self.config.clone(),
            true => Arc::default(),
        }
    }
}

impl ControllerFactory for FirstPath {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        self.next().build(now, current_mtu)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::congestion::PastPath;

    const PAST: PastPath = PastPath { bandwidth: 12_200_000, min_rtt: Duration::from_millis(100), age: Duration::ZERO };

    fn addr(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    fn past(path: &ClientPath) -> Option<u64> {
        path.controller.config.past.map(|past| past.bandwidth)
    }

    #[test]
    fn what_is_in_the_file_is_known_to_the_clients_of_that_address_alone() {
        let home = tempfile::tempdir().unwrap();
        let (memory, now) = (PathMemory::of_clients(home.path()), SystemTime::now());
        memory.keep(PathList::of("192.0.2.7", &PAST, now), now).unwrap();
        memory.keep(PathList::of("2001:db8::/64", &PAST, now), now).unwrap();
        let paths = Paths::open(Some(memory)).unwrap();
        for known in ["192.0.2.7:1", "192.0.2.7:2", "[::ffff:192.0.2.7]:3", "[2001:db8::9]:4"] {
            assert_eq!(past(&paths.path_to(addr(known))), Some(PAST.bandwidth), "{known}");
        }
        for unknown in ["192.0.2.8:1", "[2001:db8:1::9]:1"] {
            assert_eq!(past(&paths.path_to(addr(unknown))), None, "{unknown}");
        }
        assert_eq!(past(&Paths::open(None).unwrap().path_to(addr("192.0.2.7:1"))), None);
    }

    #[test]
    fn news_are_written_before_the_end_and_bring_what_others_wrote() {
        let home = tempfile::tempdir().unwrap();
        let (memory, now) = (PathMemory::of_clients(home.path()), SystemTime::now());
        let paths = Paths::open(Some(memory.clone())).unwrap();
        memory.keep(PathList::of("192.0.2.1", &PAST, now), now).unwrap();
        let tell = |address: &str| {
            let writer = lock(&paths.writer);
            writer.as_ref().expect("open").updates.send(PathList::of(address, &PAST, now)).expect("the thread listens");
        };
        tell("192.0.2.2");
        tell("192.0.2.3");
        paths.close();
        let list = memory.load().unwrap();
        for address in ["192.0.2.1", "192.0.2.2", "192.0.2.3"] {
            assert!(list.lookup(address, SystemTime::now()).is_some(), "{address}: {list:?}");
            assert!(past(&paths.path_to(addr(&format!("{address}:1")))).is_some(), "{address}");
        }
    }

    #[test]
    fn a_home_that_cannot_be_used_stops_no_server() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("client_paths")).unwrap();
        let paths = Paths::open(Some(PathMemory::of_clients(home.path()))).unwrap();
        let path = paths.path_to(addr("192.0.2.7:1"));
        assert_eq!(past(&path), None);
        let update = PathList::of("192.0.2.7", &PAST, SystemTime::now());
        lock(&paths.writer).as_ref().expect("open").updates.send(update).expect("the thread listens");
        paths.close();
    }

    #[test]
    fn only_the_first_path_of_a_connection_is_the_one_that_is_known() {
        let home = tempfile::tempdir().unwrap();
        let (memory, now) = (PathMemory::of_clients(home.path()), SystemTime::now());
        memory.keep(PathList::of("192.0.2.7", &PAST, now), now).unwrap();
        let path = Paths::open(Some(memory)).unwrap().path_to(addr("192.0.2.7:1"));
        let (first, second) = (path.controller.next(), path.controller.next());
        assert!(first.past.is_some() && second.past.is_none());
        assert!(!Arc::ptr_eq(&first.state, &second.state), "what is learnt of another path is not kept for this one");
    }
}
