//! A rate limit is kept in both directions, by every connection, on a path without any delay of its own.
//!
//! Only "never faster" is asserted, which no busy machine can break; the share that was reached is printed. Time counts from
//! before the limit exists, for it makes up for some milliseconds in which nothing was sent.

use std::time::{Duration, Instant};

use crate::support::field::{self, Field};
use crate::support::{content, soon};
use qft::client::{Client, GetOptions, SendOptions};
use qft::progress::JobReport;
use qft::transport::Rate;

/// Bytes per second and bytes to move: half a second of each.
const CASES: [(u64, usize); 3] = [(400_000, 200_000), (4_000_000, 2_000_000), (60_000_000, 30_000_000)];

/// Bytes that one call takes of what has arrived, at a rate of few packets a millisecond: the kernel hands over up to 64 KiB of
/// one sender at once. They are paid for when they have come, so those of the last call are not before the job ends.
const LAST_CALL: usize = 2 * 65_536;

fn rate(bytes_per_second: u64) -> Option<Rate> {
    Some(Rate::new(bytes_per_second).expect("not zero"))
}

/// Bytes that a path of `limit` bytes per second cannot have carried in less time than this took.
fn assert_no_faster(what: &str, bytes: usize, limit: u64, took: Duration) {
    let share = bytes as f64 / took.as_secs_f64() / limit as f64;
    println!("{what}: {:.1} % of {limit} B/s", share * 100.0);
    assert!(share <= 1.0, "{what}: {share} of the limit");
}

async fn send(field: &Field, client: &Client, name: &str, bytes: usize) -> JobReport {
    let place = tempfile::tempdir().unwrap();
    field::write(&place.path().join(name), &content(bytes));
    let job = client.send(field.ticket(), vec![place.path().join(name)], SendOptions::default());
    let report = soon("the end", job.finish()).await.unwrap();
    assert_eq!((report.done, report.failed), (1, 0));
    report
}

#[tokio::test]
async fn a_client_sends_no_faster_than_it_may() {
    for (limit, bytes) in CASES {
        let field = Field::new();
        let start = Instant::now();
        let client = Client::builder(field.honest.clone()).rate_limit(rate(limit)).build().unwrap();
        send(&field, &client, "file", bytes).await;
        assert_no_faster("send", bytes, limit, start.elapsed());
    }
}

#[tokio::test]
async fn a_client_fetches_no_faster_than_it_may() {
    for (limit, bytes) in CASES {
        let bytes = 2 * bytes;
        let field = Field::new();
        field::write(&field.path("file"), &content(bytes));
        let into = tempfile::tempdir().unwrap();
        let start = Instant::now();
        let client = Client::builder(field.honest.clone()).rate_limit(rate(limit)).build().unwrap();
        let job = client.get(field.ticket(), vec![b"file".to_vec()], into.path().to_owned(), GetOptions::default());
        let report = soon("the end", job.finish()).await.unwrap();
        assert_eq!((report.done, report.failed), (1, 0));
        assert_no_faster("get", bytes - LAST_CALL, limit, start.elapsed());
    }
}

#[tokio::test]
async fn all_clients_of_a_server_share_its_limit() {
    let (limit, bytes) = CASES[1];
    // Twice as long: this limit is older than the first packet, and catches up what it then may.
    let bytes = 2 * bytes;
    let field = Field::with(|builder| builder.rate_limit(rate(limit)));
    let clients = [(); 2].map(|()| Client::builder(field.honest.clone()).build().unwrap());
    let start = Instant::now();
    tokio::join!(send(&field, &clients[0], "a", bytes / 2), send(&field, &clients[1], "b", bytes / 2));
    assert_no_faster("two clients", bytes - LAST_CALL, limit, start.elapsed());
}
