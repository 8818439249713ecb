//! A build farm behind one address: more clients at once than may be inside, each with work to do.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::alone::is_alone;
use crate::support::field::{identity, ticket};
use crate::support::peer::{Raw, header, push};
use crate::support::{content, soon};
use qft::client::{Client, SendOptions};
use qft::keys::{Identity, Ticket};
use qft::progress::{Event, JobReport};
use qft::protocol::path::WirePath;
use qft::server::limits::{ADDRESS_SHARE, KEY_SHARE};
use qft::server::{Access, CLIENTS_MAX, Server};

/// More than half of the places, which is what one address gets.
const CLIENTS: usize = 50;
const FILE_BYTES: usize = 3 << 20;
const SMALL_FILES: usize = 20;
const _: () = assert!(CLIENTS > CLIENTS_MAX / ADDRESS_SHARE);

/// What a server takes at most, whatever its clients do. Here it holds for all of them and for the server together.
const MEMORY_MAX: usize = 512 << 20;

/// A server that lets these in, its directory, and what they are to send.
struct Farm {
    place: tempfile::TempDir,
    server: Server,
    sources: PathBuf,
}

impl Farm {
    fn new(keys: &[Identity]) -> Self {
        qft::testing::storage::allow_many_open_files();
        let place = tempfile::tempdir().unwrap();
        let access = Access::Only(keys.iter().map(|key| key.fingerprint()).collect());
        let server = Server::builder(place.path().join("root"), identity()).access(access).sync(false).start().unwrap();
        let sources = place.path().join("backup");
        std::fs::create_dir(&sources).unwrap();
        std::fs::write(sources.join("large"), content(FILE_BYTES)).unwrap();
        for n in 0..SMALL_FILES {
            std::fs::write(sources.join(format!("small {n}")), content(n)).unwrap();
        }
        Self { place, server, sources }
    }

    /// Sees that all of a client's files are there. What was stored when a starved machine lost a connection is found there
    /// by the next one.
    fn holds_all_of(&self, n: usize, report: &JobReport) {
        assert_eq!((report.done + report.skipped, report.failed), (SMALL_FILES as u64 + 1, 0), "client {n}");
        let got = self.place.path().join("root").join(format!("from {n}")).join("backup");
        assert!(std::fs::read(got.join("large")).unwrap() == content(FILE_BYTES));
        assert!(std::fs::read(got.join("small 7")).unwrap() == content(7));
    }
}

/// Sends everything; `told` hears each cause for which it has to wait.
async fn send(key: Identity, ticket: Ticket, sources: &Path, n: usize, mut told: impl FnMut(String)) -> JobReport {
    let client = Client::builder(key).disk_threads(NonZeroUsize::MIN).build().unwrap();
    let to = WirePath::parse(format!("from {n}").as_bytes()).unwrap();
    let options = SendOptions { to: Some(to), ..SendOptions::default() };
    let mut job = client.send(ticket, vec![sources.to_owned()], options);
    while let Some(event) = job.next().await {
        if let Event::Waiting { cause, .. } = event {
            told(cause);
        }
    }
    job.finish().await.unwrap_or_else(|error| panic!("client {n}: {error}"))
}

/// The most bytes that this process has had in memory.
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

#[tokio::test]
async fn fifty_clients_at_once_from_one_address_all_finish() {
    if !is_alone("crowd::fifty_clients_at_once_from_one_address_all_finish") {
        return;
    }
    let keys: Vec<_> = (0..CLIENTS).map(|_| identity()).collect();
    let farm = Farm::new(&keys);
    let before = peak();
    let mut jobs = tokio::task::JoinSet::new();
    for (n, key) in keys.into_iter().enumerate() {
        let (ticket, sources) = (ticket(&farm.server), farm.sources.clone());
        jobs.spawn(async move {
            let mut waited = false;
            let report = send(key, ticket, &sources, n, |_| waited = true).await;
            (n, waited, report)
        });
    }
    let mut waited = 0;
    while let Some(ended) = soon("a client's end", jobs.join_next()).await {
        let (n, has_waited, report) = ended.unwrap();
        farm.holds_all_of(n, &report);
        waited += usize::from(has_waited);
    }
    let taken = peak() - before;
    println!("{waited} of {CLIENTS} clients waited for a place; all and the server took {} MiB", taken >> 20);
    assert!(taken < MEMORY_MAX, "{} MiB", taken >> 20);
}

#[tokio::test]
async fn while_all_places_of_an_address_are_taken_its_other_clients_are_told_so_and_wait() {
    let holders: Vec<_> = (0..KEY_SHARE).map(|_| identity()).collect();
    let keys: Vec<_> = (0..CLIENTS).map(|_| identity()).collect();
    let farm = Farm::new(&[&holders[..], &keys[..]].concat());
    // With a job that is under way each keeps its place.
    let mut held = Vec::new();
    for n in 0..CLIENTS_MAX / ADDRESS_SHARE {
        let mut peer = Raw::greeted(&farm.server, &holders[n % holders.len()]).await;
        peer.say(&push()).await;
        peer.offer(0, &format!("held {n}"), FILE_BYTES as u64).await;
        held.push(peer);
    }
    let told = Arc::new(AtomicUsize::new(0));
    let mut jobs = tokio::task::JoinSet::new();
    for (n, key) in keys.into_iter().enumerate() {
        let (ticket, sources, told) = (ticket(&farm.server), farm.sources.clone(), told.clone());
        jobs.spawn(async move {
            let mut causes = Vec::new();
            let report = send(key, ticket, &sources, n, |cause| {
                told.fetch_add(usize::from(causes.is_empty()), Ordering::Relaxed);
                causes.push(cause);
            });
            let report = report.await;
            (n, causes, report)
        });
    }
    let mut offered = 0;
    while told.load(Ordering::Relaxed) < CLIENTS {
        assert!(jobs.try_join_next().is_none(), "a client got in where no place was free");
        // A job that stood still would lose its place in the end.
        offered += 1;
        assert!(offered < 400, "{} of {CLIENTS} were told to wait", told.load(Ordering::Relaxed));
        for (n, peer) in held.iter_mut().enumerate() {
            peer.say(&header(offered, &format!("held {n}, {offered}"), 1)).await;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert!(jobs.try_join_next().is_none(), "a client got in where no place was free");
    drop(held);
    while let Some(ended) = soon("a client's end", jobs.join_next()).await {
        let (n, causes, report) = ended.unwrap();
        for cause in &causes {
            let says_why = cause.contains("full") || cause.contains("no place for one more client");
            assert!(says_why && cause.contains("try again later"), "client {n}: {cause}");
        }
        farm.holds_all_of(n, &report);
    }
}
