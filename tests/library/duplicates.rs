//! What leaves at the end of a transfer over a lossy path leaves several times, whoever sends it, and little else does.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::support::field::{self, Field};
use crate::support::relay::Relay;
use crate::support::{content, soon};
use qft::client::{Client, GetOptions, SendOptions};
use qft::keys::Ticket;
use qft::progress::JobReport;
use qft::transport::Rate;

/// One way: far enough for a round trip to be worth something.
const DELAY: Duration = Duration::from_millis(50);
/// Of a thousand packets.
const LOSS: u64 = 150;
/// Slow enough that no buffer on the way overflows: what is lost is lost by the relay.
const RATE: u64 = 4 << 20;
/// More than the last word of a receiver takes, with its copies, and less than those of lost content.
const SHORT: usize = 16 << 10;
const LARGE: usize = 3 << 20;
const SMALL: usize = 20_000;
const SMALL_FILES: usize = 50;

/// Transfers in one of which this machine has to be quick enough: to who gets too little of it, the link is never idle.
const TRIES: usize = 5;

/// A server behind a relay, and a client; both keep to [`RATE`].
struct Ends {
    field: Field,
    relay: Relay,
    client: Client,
}

impl Ends {
    async fn new(permille: u64) -> Self {
        let rate = Rate::new(RATE);
        let field = Field::with(|builder| builder.rate_limit(rate));
        let relay = Relay::losing(field.server.local_addr(), DELAY, permille).await;
        let client = Client::builder(field.honest.clone()).rate_limit(rate).build().unwrap();
        Self { field, relay, client }
    }

    fn ticket(&self) -> Ticket {
        Ticket { port: self.relay.port(), ..self.field.ticket() }
    }

    async fn send(&self, from: &Path) -> JobReport {
        let job = self.client.send(self.ticket(), vec![from.to_owned()], SendOptions::default());
        soon("the job's end", job.finish()).await.unwrap()
    }

    async fn get(&self, name: &str, into: &Path) -> JobReport {
        let patterns = vec![name.as_bytes().to_vec()];
        let job = self.client.get(self.ticket(), patterns, into.to_owned(), GetOptions::default());
        soon("the job's end", job.finish()).await.unwrap()
    }
}

/// One large file, or many small ones, in `tree`.
fn trees() -> [Vec<(String, Vec<u8>)>; 2] {
    let small = (0..SMALL_FILES).map(|n| (format!("tree/{n}"), content(SMALL + n))).collect();
    [vec![("tree/large".to_owned(), content(LARGE))], small]
}

fn assert_there(at: &Path, files: &[(String, Vec<u8>)]) {
    for (name, bytes) in files {
        assert!(fs::read(at.join(name)).unwrap() == *bytes, "{name}");
    }
}

#[tokio::test]
async fn the_end_of_a_send_over_a_lossy_path_comes_several_times() {
    for files in trees() {
        let mut seen = Vec::new();
        while !seen.iter().any(|(up, down)| *up > SHORT && *down > 0) {
            assert!(seen.len() < TRIES, "what was lost was sent again once, or the last word was said once: {seen:?}");
            let ends = Ends::new(LOSS).await;
            let place = tempfile::tempdir().unwrap();
            for (name, bytes) in &files {
                field::write(&place.path().join(name), bytes);
            }
            let report = ends.send(&place.path().join("tree")).await;
            assert_eq!(report.bytes_written, files.iter().map(|(_, bytes)| bytes.len() as u64).sum::<u64>());
            assert_there(&ends.field.path(""), &files);
            seen.push(ends.relay.copies());
        }
    }
}

#[tokio::test]
async fn the_end_of_a_get_over_a_lossy_path_comes_several_times() {
    for files in trees() {
        let mut seen = Vec::new();
        while !seen.iter().any(|(_, down)| *down > SHORT) {
            assert!(seen.len() < TRIES, "what was lost was sent again once: {seen:?}");
            let ends = Ends::new(LOSS).await;
            let place = tempfile::tempdir().unwrap();
            for (name, bytes) in &files {
                field::write(&ends.field.path(name), bytes);
            }
            let report = ends.get("tree", place.path()).await;
            assert_eq!(report.bytes_written, files.iter().map(|(_, bytes)| bytes.len() as u64).sum::<u64>());
            assert_there(place.path(), &files);
            seen.push(ends.relay.copies());
        }
    }
}

#[tokio::test]
async fn a_path_that_loses_nothing_carries_what_is_sent_once_but_for_the_last_word() {
    let ends = Ends::new(0).await;
    let place = tempfile::tempdir().unwrap();
    let [large, _] = trees();
    field::write(&place.path().join("tree/large"), &large[0].1);
    ends.send(&place.path().join("tree")).await;
    assert_there(&ends.field.path(""), &large);
    let (up, down) = ends.relay.copies();
    assert_eq!(up, 0);
    assert!(down > 0 && down <= SHORT, "{down}");
}
