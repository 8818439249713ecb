//! Peers that make the other end work for long with a few bytes of their own.

use std::num::NonZeroUsize;
use std::time::Duration;

use tokio::time::timeout;

use super::*;

/// As many as were enough to keep a server of two cores from serving anybody for a quarter of a minute.
const SPARSE_FILES: u64 = 40;
/// The largest file that is taken.
const SPARSE_BYTES: u64 = 16 << 40;
/// The largest that ext4 holds is a little smaller than that.
const STORED_BYTES: u64 = 15 << 40;

/// An honest client that lists what is there.
async fn lists(field: &Field) {
    let client = Client::builder(field.honest.clone()).build().unwrap();
    soon("the listing", client.list(field.ticket(), Vec::new(), false)).await.expect("it is answered");
}

/// Offers sparse files of the greatest size and closes each: nothing of them is ever sent.
async fn offer_sparse(peer: &mut Raw) {
    for id in 0..SPARSE_FILES {
        peer.say(&header(id, &format!("sparse{id}"), SPARSE_BYTES)).await;
    }
    for _ in 0..SPARSE_FILES {
        peer.hear_pos().await;
    }
    for id in 0..SPARSE_FILES {
        let tail = Tail { id: FileId(id), root: Digest([7; 16]), ranges: 0, early: false };
        peer.say(&Message::Tail(tail)).await;
    }
}

/// How many such messages the other end had said so far: what has not come after a tenth of a second had not been said.
async fn heard_by_now(peer: &mut Raw, is_meant: impl Fn(&Message) -> bool) -> u64 {
    const ON_ITS_WAY: Duration = Duration::from_millis(100);
    let mut count = 0;
    while let Ok(message) = timeout(ON_ITS_WAY, peer.hear()).await {
        let message = message.unwrap_or_else(|| panic!("{:?}", peer.connection.close_reason()));
        count += u64::from(is_meant(&message));
    }
    count
}

#[tokio::test]
async fn sums_over_sparse_offers_keep_nobody_waiting() {
    let field = Field::listed();
    let mut peer = field.pushing().await;
    let mut bystander = field.honestly_pushing().await;
    offer_sparse(&mut peer).await;
    lists(&field).await;
    // Nor is anybody served on who was taken off the list.
    assert!(field.clients().remove(&field.honest.fingerprint()).unwrap());
    assert_eq!(bystander.closed().await, Some(CloseCode::Revoked));
    assert!(bystander.hear().await.is_none());
    // All that happened before the server was through with the sums.
    peer.say(&end(SPARSE_FILES)).await;
    let judged = heard_by_now(&mut peer, |message| match message {
        Message::Done(Done { failure: Some(failure), .. }) => failure.status == Status::VerifyFailed,
        _ => false,
    });
    assert!(judged.await < SPARSE_FILES, "all of them had been summed up by then");
}

#[tokio::test]
async fn what_a_client_that_left_had_begun_to_cost_is_not_paid() {
    let field = Field::new();
    let mut peer = field.pushing().await;
    offer_sparse(&mut peer).await;
    peer.leave().await;
    field.honest_client_is_served().await;
    // A server ends when its disk threads have ended, which finish what is queued.
    until("every connection's end", || field.server.active() == [0, 0]).await;
    let ended = tokio::task::spawn_blocking(move || drop(field));
    soon("the server's end", ended).await.unwrap();
}

#[tokio::test]
async fn sums_over_sparse_files_that_are_got_keep_nobody_on_the_same_worker_waiting() {
    const FILES: u64 = 16;
    let field = Field::with(|builder| builder.workers(NonZeroUsize::MIN));
    for n in 0..FILES {
        let path = field.path(&format!("sparse{n:02}"));
        if let Err(error) = fs::File::create(path).unwrap().set_len(STORED_BYTES) {
            return println!("skipped: no sparse file of 15 TiB here: {error}");
        }
    }
    let mut peer = field.greeted().await;
    peer.say(&get("sparse*")).await;
    for id in 0..FILES {
        let offered = peer.hear().await;
        assert!(matches!(&offered, Some(Message::Header(header)) if header.size == STORED_BYTES), "{offered:?}");
        peer.say(&Message::Pos(Pos { id: FileId(id), verdict: Verdict::From { offset: 0, why: Why::New } })).await;
    }
    lists(&field).await;
    field.honest_client_is_served().await;
    let closed = heard_by_now(&mut peer, |message| matches!(message, Message::Tail(_))).await;
    assert!(closed < FILES, "all of them had been summed up by then");
    peer.leave().await;
    until("every connection's end", || field.server.active() == [0]).await;
}
