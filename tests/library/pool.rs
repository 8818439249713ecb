//! Connections spread over the workers, and every one of them is counted down, however it ends.

use std::fs;
use std::time::Duration;

use crate::support::field::{self, Field, identity};
use crate::support::peer::{Raw, impatient, push, tuning};
use crate::support::{content, soon, until};
use qft::client::{Client, SendOptions};
use qft::protocol::close::CloseCode;

const CLIENTS: usize = 8;

/// Both workers of a [`Field`], idle.
const IDLE: [usize; 2] = [0, 0];

#[tokio::test]
async fn eight_clients_are_spread_evenly_and_all_their_files_arrive() {
    let field = Field::new();
    let mut peers = Vec::new();
    for _ in 0..CLIENTS {
        peers.push(field.pushing().await);
    }
    assert_eq!(field.server.active(), [CLIENTS / 2; 2]);
    // All at once, each over the connection that it holds open.
    let mut sending = tokio::task::JoinSet::new();
    for (n, mut peer) in peers.into_iter().enumerate() {
        sending.spawn(async move {
            peer.send_well(0, &format!("{n}/small"), &content(1000 + n)).await;
            peer.send_well(1, &format!("{n}/large"), &content((3 << 20) + n)).await;
            peer
        });
    }
    let peers = soon("all transfers", sending.join_all()).await;
    assert_eq!(field.server.active(), [CLIENTS / 2; 2]);
    for n in 0..CLIENTS {
        assert_eq!(fs::read(field.path(&format!("{n}/small"))).unwrap(), content(1000 + n));
        assert_eq!(fs::read(field.path(&format!("{n}/large"))).unwrap(), content((3 << 20) + n));
    }
    for peer in peers {
        peer.leave().await;
    }
    until("every connection's end", || field.server.active() == IDLE).await;
}

#[tokio::test]
async fn eight_real_clients_at_once_are_all_served() {
    let field = Field::new();
    let sources = tempfile::tempdir().unwrap();
    let mut sending = tokio::task::JoinSet::new();
    for n in 0..CLIENTS {
        let dir = sources.path().join(format!("from{n}"));
        for file in 0..20 {
            field::write(&dir.join(format!("{file}")), &content(1000 * n + file));
        }
        field::write(&dir.join("large"), &content((5 << 20) + n));
        let client = Client::builder(field.honest.clone()).build().unwrap();
        let job = client.send(field.ticket(), vec![dir], SendOptions::default());
        sending.spawn(job.finish());
    }
    for report in soon("all transfers", sending.join_all()).await {
        let report = report.unwrap();
        assert_eq!((report.done, report.failed), (21, 0), "{report:?}");
    }
    for n in 0..CLIENTS {
        for file in 0..20 {
            assert_eq!(fs::read(field.path(&format!("from{n}/{file}"))).unwrap(), content(1000 * n + file));
        }
        assert_eq!(fs::read(field.path(&format!("from{n}/large"))).unwrap(), content((5 << 20) + n));
    }
    until("every connection's end", || field.server.active() == IDLE).await;
}

/// Runs `work` on a runtime that then stops between two packets, as a machine does that loses its power.
fn on_a_machine_that_dies<T: Send>(work: impl AsyncFnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let run = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let result = runtime.block_on(work());
            runtime.shutdown_background();
            result
        };
        scope.spawn(run).join().unwrap()
    })
}

#[tokio::test]
async fn clients_that_vanish_are_counted_down_when_they_were_silent_for_too_long() {
    let field = Field::new();
    on_a_machine_that_dies(async || {
        let idle = impatient(Duration::from_secs(2));
        let mut peers = Vec::new();
        for n in 0..CLIENTS as u64 {
            let mut peer = Raw::greeted_with(&field.server, &field.hostile, &idle).await;
            peer.say(&push()).await;
            peer.offer(0, &format!("half{n}"), 2 << 20).await;
            std::mem::forget(peer.begin(0, 0, 2 << 20, &content(1 << 20)).await);
            peers.push(peer);
        }
        assert_eq!(field.server.active(), [CLIENTS / 2; 2]);
        peers.into_iter().for_each(Raw::vanish);
    });
    field.honest_client_is_served().await;
    until("the end of the silence", || field.server.active() == IDLE).await;
}

#[tokio::test]
async fn a_stale_connection_of_a_client_does_not_keep_its_next_run_out() {
    let field = Field::new();
    let bytes = content(2 << 20);
    on_a_machine_that_dies(async || {
        let mut peer = Raw::greeted_with(&field.server, &field.hostile, &tuning()).await;
        peer.say(&push()).await;
        peer.offer(0, "half", 2 << 20).await;
        std::mem::forget(peer.begin(0, 0, 2 << 20, &bytes[..3 << 19]).await);
        until("the first chunk on disk", || !field.names().is_empty()).await;
        peer.vanish();
    });
    // Its connection stands for half a minute more, and holds the partial file.
    assert_eq!(field.server.active().iter().sum::<usize>(), 1);
    let source = tempfile::tempdir().unwrap();
    field::write(&source.path().join("half"), &bytes);
    let client = Client::builder(field.hostile.clone()).build().unwrap();
    let job = client.send(field.ticket(), vec![source.path().join("half")], SendOptions::default());
    let report = soon("the second run", job.finish()).await.unwrap();
    assert_eq!((report.done, report.failed), (1, 0), "{report:?}");
    assert_eq!(fs::read(field.path("half")).unwrap(), bytes);
    until("the ghost's end", || field.server.active() == IDLE).await;
}

#[tokio::test]
async fn a_living_connection_of_the_same_client_is_not_stale() {
    let field = Field::new();
    let mut first = field.pushing().await;
    first.offer(0, "slow", 10).await;
    let mut second = Raw::greeted(&field.server, &field.hostile).await;
    second.say(&push()).await;
    second.send_well(0, "other", b"content").await;
    // Until the watch on ghosts has judged, and then some.
    let end = tokio::time::Instant::now() + Duration::from_secs(3);
    let mut id = 1;
    while tokio::time::Instant::now() < end {
        first.send_well(id, &format!("more{id}"), b"content").await;
        id += 1;
    }
    first.range(0, 0, b"0123456789").await;
    first.say(&first.tail(0, b"0123456789", 1)).await;
    first.is_done(0).await;
    first.leave().await;
    second.leave().await;
    until("every connection's end", || field.server.active() == IDLE).await;
}

#[tokio::test]
async fn strangers_and_rule_breakers_are_counted_down_too() {
    let field = Field::new();
    let mut stranger = Raw::connect(&field.server, &identity()).await;
    stranger.say(&crate::support::peer::hello()).await;
    assert_eq!(stranger.closed().await, Some(CloseCode::NotAuthorised));
    let mut breaker = field.greeted().await;
    breaker.say(&crate::support::peer::hello()).await;
    assert_eq!(breaker.closed().await, Some(CloseCode::Violation));
    let dropped = Raw::connect(&field.server, &field.hostile).await;
    drop(dropped);
    until("every connection's end", || field.server.active() == IDLE).await;
}
