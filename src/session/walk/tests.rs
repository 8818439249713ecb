use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

impl Item for i32 {
    fn bytes(&self) -> usize {
        0
    }
}

impl Item for String {
    fn bytes(&self) -> usize {
        self.len()
    }
}

#[tokio::test]
async fn a_walk_is_no_more_bytes_ahead_than_there_is_room_for_and_ends_when_nobody_listens() {
    const ITEM_BYTES: usize = 10_000;
    const ITEMS: usize = 200;
    let (sent, ended) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let walk = |items: usize| {
        let (sent, ended) = (sent.clone(), ended.clone());
        walk_on_a_thread(
            1000,
            |failure| failure.to_string(),
            move |found| {
                for _ in 0..items {
                    let is_gone = found.blocking_send("x".repeat(ITEM_BYTES)).is_err();
                    sent.fetch_add(1, Ordering::Relaxed);
                    if is_gone {
                        break;
                    }
                }
                ended.fetch_add(1, Ordering::Relaxed);
            },
        )
    };
    let mut walked = walk(ITEMS);
    while sent.load(Ordering::Relaxed) < FOUND_BYTES_AHEAD / HALVES / ITEM_BYTES {
        tokio::task::yield_now().await;
    }
    for taken in 1..=ITEMS {
        let item = walked.next().await.expect("the walk goes on").expect("it is not at its end");
        assert_eq!(item.len(), ITEM_BYTES);
        // One that was taken, and one that has room and is not counted as sent yet.
        let ahead = sent.load(Ordering::Relaxed).saturating_sub(taken);
        assert!(ahead <= FOUND_BYTES_AHEAD / ITEM_BYTES, "{ahead} are ahead");
        tokio::task::yield_now().await;
    }
    assert!(matches!(walked.next().await, Ok(None)));
    drop(walked);
    let mut left = walk(usize::MAX);
    assert!(matches!(left.next().await, Ok(Some(_))));
    drop(left);
    while ended.load(Ordering::Relaxed) < 2 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_item_that_is_larger_than_all_room_comes_through() {
    let large = || "x".repeat(2 * FOUND_BYTES_AHEAD);
    let mut walked = walk_on_a_thread(
        10,
        |failure| failure.to_string(),
        move |found| {
            (0..3).for_each(|_| drop(found.blocking_send(large())));
        },
    );
    for _ in 0..3 {
        assert!(matches!(walked.next().await, Ok(Some(_))));
    }
    assert!(matches!(walked.next().await, Ok(None)));
}

#[tokio::test]
async fn a_walk_that_returns_has_an_end() {
    let mut walked = walk_on_a_thread(1, |_| 0, |found| (0..3).for_each(|n| drop(found.blocking_send(n))));
    for n in 0..3 {
        assert!(matches!(walked.next().await, Ok(Some(found)) if found == n));
    }
    assert!(matches!(walked.next().await, Ok(None)));
}

#[tokio::test]
async fn a_walk_that_breaks_off_is_an_error_after_what_it_found() {
    let mut walked = walk_on_a_thread(
        1,
        |_| 0,
        |found| {
            drop(found.blocking_send(1));
            panic!("a walk that breaks off");
        },
    );
    assert!(matches!(walked.next().await, Ok(Some(1))));
    assert!(matches!(walked.next().await, Err(SessionError::Internal(_))));
}

#[tokio::test]
async fn a_walk_that_gets_no_thread_says_so_and_ends() {
    let no_thread = |_| Err(io::ErrorKind::WouldBlock.into());
    let mut walked = walk_on(no_thread, 1, |failure| failure.to_string(), |_| unreachable!("it has no thread"));
    let said = walked.next().await.expect("it is no error of the connection").expect("something is said");
    assert!(said.contains("no thread for the search") && said.contains("try again later"), "{said}");
    assert!(matches!(walked.next().await, Ok(None)));
}
