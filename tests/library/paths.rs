//! What one transfer learnt of a path is kept, and the next one begins with it: for whoever sends, client or server.
//!
//! What that is worth, and what it costs when it is wrong, is measured in virtual time (`recall`). Here it is only shown
//! that real clients and servers keep it, hand it over, and hand over nothing else.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::support::relay::Relay;
use crate::support::{content, field, soon, until};
use qft::client::{Client, GetOptions, Job, SendOptions};
use qft::congestion::PastPath;
use qft::keys::{Identity, Ticket};
use qft::progress::Counters;
use qft::protocol::path::WirePath;
use qft::server::{Access, Server};
use qft::transport::{PathList, PathMemory, Rate};
use tempfile::TempDir;

/// One way; a handshake may take half as long again and still be that of the path remembered.
const DELAY: Duration = Duration::from_millis(250);
/// A path as no transfer of [`SHORT`] bytes can make it out: its window is a thousand times that.
const FAST: PastPath = PastPath { bandwidth: 1_000_000_000, min_rtt: Duration::from_millis(500), age: Duration::ZERO };
/// Bytes that go through the relay at once without any being lost.
const SHORT: usize = 64 << 10;
/// Far above what start-up makes of [`SHORT`] bytes, even at eightfold growth, and far below half of [`FAST`]'s product.
const RECALLED: u64 = 100 << 20;
/// Bytes that are enough to know a path, and a rate at which they take a second.
const LONG: usize = 16 << 20;
const RATE: u64 = 16 << 20;
/// Jobs that may end before anything was told of the path.
const TRIES: usize = 10;
/// As a server calls a client on this machine.
const HERE: &str = "127.0.0.1";

/// Two machines.
struct Ends {
    place: TempDir,
    client: Identity,
}

impl Ends {
    fn new() -> Self {
        let ends = Self { place: tempfile::tempdir().unwrap(), client: field::identity() };
        field::write(&ends.place.path().join("served/short"), &content(SHORT));
        field::write(&ends.place.path().join("served/long"), &content(LONG));
        ends
    }

    fn client_home(&self) -> PathBuf {
        self.place.path().join("client")
    }

    fn server_home(&self) -> PathBuf {
        self.place.path().join("server")
    }

    fn access(&self) -> Access {
        Access::Only(vec![self.client.fingerprint()])
    }

    fn serve(&self, access: Access, limit: Option<Rate>) -> Server {
        let memory = PathMemory::of_clients(&self.server_home());
        let builder = Server::builder(self.place.path().join("served"), field::identity()).sync(false);
        builder.access(access).rate_limit(limit).path_memory(Some(memory)).start().unwrap()
    }

    fn client(&self, limit: Option<Rate>) -> Client {
        let memory = PathMemory::of_servers(&self.client_home());
        Client::builder(self.client.clone()).rate_limit(limit).path_memory(Some(memory)).build().unwrap()
    }

    /// Sends a file into a directory of that name.
    fn send(&self, ticket: Ticket, name: &str, to: &str, limit: Option<Rate>) -> Job {
        let path = self.place.path().join("served").join(name);
        let to = Some(WirePath::parse(to.as_bytes()).unwrap());
        self.client(limit).send(ticket, vec![path], SendOptions { to, ..SendOptions::default() })
    }

    /// Gets a file into a directory of that name.
    fn get(&self, ticket: Ticket, name: &str, into: &str, limit: Option<Rate>) -> Job {
        let into = self.place.path().join(into);
        self.client(limit).get(ticket, vec![name.as_bytes().to_vec()], into, GetOptions::default())
    }
}

fn limit() -> Option<Rate> {
    Some(Rate::new(RATE).unwrap())
}

async fn end(job: Job) {
    let report = soon("the end", job.finish()).await.unwrap();
    assert_eq!((report.done, report.failed), (1, 0), "{report:?}");
}

/// Ends a server, which writes what it knows.
async fn stop(server: Server) {
    tokio::task::spawn_blocking(move || drop(server)).await.unwrap();
}

fn known(memory: &PathMemory, address: &str) -> Option<PastPath> {
    memory.load().unwrap().lookup(address, SystemTime::now())
}

fn keep(memory: &PathMemory, address: &str) {
    let now = SystemTime::now();
    memory.keep(PathList::of(address, &FAST, now), now).unwrap();
}

/// The largest window that the sending side had during a job.
async fn largest_window(job: Job) -> u64 {
    let counters = job.counters();
    let job = tokio::spawn(end(job));
    let mut largest = 0;
    until("the job's end", || {
        largest = largest.max(Counters::read(&counters.window));
        job.is_finished()
    })
    .await;
    job.await.unwrap();
    largest
}

fn only_its_owner_reads(file: &Path) {
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn a_client_that_has_sent_enough_remembers_the_path() {
    let ends = Ends::new();
    let server = ends.serve(ends.access(), limit());
    let ticket = field::ticket(&server);
    let (memory, address) = (PathMemory::of_servers(&ends.client_home()), format!("{HERE}:{}", ticket.port));
    end(ends.send(ticket.clone(), "short", "first", None)).await;
    assert_eq!(known(&memory, &address), None, "too little to know");
    end(ends.send(ticket.clone(), "long", "second", limit())).await;
    assert_eq!(known(&memory, &address), None, "its own limit hides the path");
    end(ends.send(ticket, "long", "third", None)).await;
    assert!(known(&memory, &address).is_some_and(|past| past.bandwidth > 0));
    only_its_owner_reads(&ends.client_home().join("paths"));
    stop(server).await;
    assert!(!ends.server_home().exists(), "it sent nothing, and has a limit");
}

#[tokio::test]
async fn a_server_that_has_sent_enough_to_a_client_remembers_the_path() {
    let ends = Ends::new();
    let memory = PathMemory::of_clients(&ends.server_home());
    for (name, is_known) in [("short", false), ("long", true)] {
        let server = ends.serve(ends.access(), None);
        end(ends.get(field::ticket(&server), name, "got", limit())).await;
        stop(server).await;
        assert_eq!(known(&memory, HERE).is_some_and(|past| past.bandwidth > 0), is_known, "{name}");
    }
    only_its_owner_reads(&ends.server_home().join("client_paths"));
    assert!(!ends.client_home().exists(), "it sent nothing, and has a limit");
}

#[tokio::test]
async fn a_server_for_anyone_and_one_with_a_limit_remember_nobody() {
    let ends = Ends::new();
    for (access, limit, into) in [(Access::Anyone, None, "first"), (ends.access(), limit(), "second")] {
        let server = ends.serve(access, limit);
        end(ends.get(field::ticket(&server), "long", into, self::limit())).await;
        stop(server).await;
        assert!(!ends.server_home().exists(), "{into}");
    }
}

#[tokio::test]
async fn a_send_over_a_path_that_is_known_begins_with_its_window() {
    let ends = Ends::new();
    let server = ends.serve(ends.access(), None);
    let relay = Relay::start(server.local_addr(), DELAY).await;
    let ticket = Ticket { port: relay.port(), ..field::ticket(&server) };
    let unknown = largest_window(ends.send(ticket.clone(), "short", "first", None)).await;
    assert!(unknown < RECALLED, "{unknown}");
    keep(&PathMemory::of_servers(&ends.client_home()), &format!("{HERE}:{}", relay.port()));
    let known = largest_window(ends.send(ticket, "short", "second", None)).await;
    assert!(known > RECALLED, "{known}");
    stop(server).await;
}

#[tokio::test]
async fn a_get_over_a_path_that_the_server_knows_begins_with_its_window() {
    let ends = Ends::new();
    let unknown = window_of_a_get(&ends, "first").await;
    assert!(unknown < RECALLED, "{unknown}");
    keep(&PathMemory::of_clients(&ends.server_home()), HERE);
    let known = window_of_a_get(&ends, "second").await;
    assert!(known > RECALLED, "{known}");
}

/// The largest window that a server, started for it, had while one file was got over a long path. The server tells of it now
/// and then, and on a busy machine a short job may be over before: then another one is begun.
async fn window_of_a_get(ends: &Ends, into: &str) -> u64 {
    for attempt in 0..TRIES {
        let server = ends.serve(ends.access(), None);
        let relay = Relay::start(server.local_addr(), DELAY).await;
        let ticket = Ticket { port: relay.port(), ..field::ticket(&server) };
        let window = largest_window(ends.get(ticket, "short", &format!("{into} {attempt}"), None)).await;
        stop(server).await;
        if window > 0 {
            return window;
        }
    }
    panic!("the server never told of its window");
}
