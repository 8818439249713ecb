//! A build farm behind one address: more clients at once than may be inside, each with work to do.

use std::num::NonZeroUsize;

use crate::support::field::{identity, ticket};
use crate::support::{content, soon};
use qft::client::{Client, SendOptions};
use qft::progress::Event;
use qft::server::{Access, CLIENTS_MAX, Server};

/// More than half of the places, which is what one address gets.
const CLIENTS: usize = 50;
const FILE_BYTES: usize = 3 << 20;
const SMALL_FILES: usize = 20;
const _: () = assert!(CLIENTS > CLIENTS_MAX / 2);

#[tokio::test]
async fn fifty_clients_at_once_from_one_address_all_finish() {
    qft::storage::allow_many_open_files();
    let place = tempfile::tempdir().unwrap();
    let keys: Vec<_> = (0..CLIENTS).map(|_| identity()).collect();
    let access = Access::Only(keys.iter().map(|key| key.fingerprint()).collect());
    let server = Server::builder(place.path().join("root"), identity()).access(access).sync(false).start().unwrap();
    let sources = place.path().join("backup");
    std::fs::create_dir(&sources).unwrap();
    std::fs::write(sources.join("large"), content(FILE_BYTES)).unwrap();
    for n in 0..SMALL_FILES {
        std::fs::write(sources.join(format!("small {n}")), content(n)).unwrap();
    }
    let mut jobs = tokio::task::JoinSet::new();
    for (n, key) in keys.into_iter().enumerate() {
        let (ticket, sources) = (ticket(&server), sources.clone());
        jobs.spawn(async move {
            let client = Client::builder(key).disk_threads(NonZeroUsize::MIN).build().unwrap();
            let to = qft::protocol::path::WirePath::parse(format!("from {n}").as_bytes()).unwrap();
            let options = SendOptions { to: Some(to), ..SendOptions::default() };
            let mut job = client.send(ticket, vec![sources], options);
            let mut waited = false;
            while let Some(event) = job.next().await {
                waited |= matches!(event, Event::Waiting { .. });
            }
            (n, waited, job.finish().await)
        });
    }
    let mut waited = 0;
    while let Some(ended) = soon("a client's end", jobs.join_next()).await {
        let (n, has_waited, report) = ended.unwrap();
        let report = report.unwrap_or_else(|error| panic!("client {n}: {error}"));
        assert_eq!((report.done, report.failed), (SMALL_FILES as u64 + 1, 0), "client {n}");
        let got = place.path().join("root").join(format!("from {n}")).join("backup");
        assert!(std::fs::read(got.join("large")).unwrap() == content(FILE_BYTES));
        assert!(std::fs::read(got.join("small 7")).unwrap() == content(7));
        waited += usize::from(has_waited);
    }
    println!("{waited} of {CLIENTS} clients waited for a place");
}
