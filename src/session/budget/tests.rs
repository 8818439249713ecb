use std::pin::pin;
use std::task::{Context, Waker};

use proptest::prelude::*;

use super::shared_pool::{CONNECTION_TIMES, KEY_TIMES};
use super::*;
use crate::keys::Identity;
use crate::protocol::BEGUN_BYTES_MAX;
use crate::session::streams::STREAMS_BYTES;
use crate::storage::{Filters, Links, Root, WalkEntry, WalkRequest, walk};
use crate::transport::limits::RECEIVE_WINDOW;

fn key() -> Fingerprint {
    Identity::ephemeral().expect("a key").fingerprint()
}

/// Takes pieces until the share is used up.
fn take_all(account: &Account, piece: usize) -> Vec<Hold> {
    std::iter::from_fn(|| account.take_memory(piece)).collect()
}

fn sum(holds: &[Hold]) -> usize {
    holds.iter().map(Hold::amount).sum()
}

const PIECE: usize = 64 << 10;

#[test]
fn one_alone_gets_most_and_leaves_some() {
    let budget = Budget::new(MEMORY_BYTES, 100);
    let holds = take_all(&budget.account(key()), PIECE);
    let share = MEMORY_BYTES / (CONNECTION_TIMES + 1) * CONNECTION_TIMES + FLOOR_BYTES;
    assert!((share - 2 * PIECE..=share).contains(&sum(&holds)), "{}", sum(&holds));
    assert!(budget.free() >= MEMORY_BYTES / (CONNECTION_TIMES + 1));
    drop(holds);
    assert_eq!(budget.free(), MEMORY_BYTES);
    assert!(budget.0.memory.state().of_keys.is_empty());
}

#[test]
fn many_connections_of_one_key_leave_a_fifth_to_the_others() {
    let budget = Budget::new(MEMORY_BYTES, 100);
    let (greedy, honest) = (key(), key());
    let all: Vec<_> = (0..32).map(|_| take_all(&budget.account(greedy), PIECE)).collect();
    assert!(budget.free() >= MEMORY_BYTES / (KEY_TIMES + 1));
    let own = take_all(&budget.account(honest), PIECE);
    assert!(sum(&own) >= MEMORY_BYTES / (KEY_TIMES + 1) / 4 * 3, "{}", sum(&own));
    drop(all);
    drop(own);
    assert_eq!(budget.free(), MEMORY_BYTES);
}

#[test]
fn whatever_others_hold_each_has_its_floor() {
    let budget = Budget::new(MEMORY_BYTES, 100);
    let greedy: Vec<_> = (0..64).map(|_| take_all(&budget.account(key()), PIECE)).collect();
    let late = budget.account(key());
    assert!(late.take_memory(MEMORY_BYTES).is_none());
    let floor = late.take_memory(FLOOR_BYTES).expect("it holds nothing");
    drop(floor);
    let all = greedy.iter().map(|holds| sum(holds)).sum::<usize>();
    assert!(all <= MEMORY_BYTES + 64 * FLOOR_BYTES, "{all}");
}

#[test]
fn files_are_shared_alike() {
    let budget = Budget::new(0, 1000);
    let account = budget.account(key());
    let mut files = account.for_files();
    assert_eq!((0..).take_while(|_| files.grow(1)).count(), 751, "three quarters, and one that counts for nothing");
    assert!(budget.account(key()).for_files().grow(1));
}

#[test]
fn what_is_remembered_to_save_work_leaves_room_to_others() {
    const MEMORY: usize = 1 << 20;
    const NAME: usize = 400;
    let budget = Budget::new(MEMORY, 1);
    let mut room = budget.account(key()).to_remember();
    let names = (0..).take_while(|_| room.grow(NAME)).count();
    assert!(names > 1000, "{names}");
    assert!(budget.free() >= MEMORY / 4, "{} bytes are left to others", budget.free());
    drop(room);
    assert_eq!(budget.free(), MEMORY);
}

#[tokio::test]
async fn who_waits_goes_on_when_something_was_given_back() {
    let budget = Budget::new(PIECE, 1);
    let account = budget.account(key());
    let floor = account.memory(FLOOR_BYTES).await;
    let mut waiting = pin!(account.memory(PIECE));
    assert!(waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    drop(floor);
    assert_eq!(waiting.await.amount(), PIECE);
    assert_eq!(budget.free(), PIECE);
}

#[test]
fn an_end_of_its_own_takes_what_any_job_needs_and_its_peer_makes_it_hold_no_more() {
    let account = Account::of_one(CLIENT_MEMORY_BYTES);
    let content = [RECEIVE_WINDOW as usize, STREAMS_BYTES, BEGUN_BYTES_MAX].map(|bytes| account.take_memory(bytes));
    assert!(content.iter().all(Option::is_some) && account.for_files().grow(1));
    assert!(
        account.receive().share() >= RECEIVE_WINDOW as usize
            && account.receive().share_of(STREAMS_BYTES) >= STREAMS_BYTES
    );
    drop(content);
    const NOTE: usize = 250;
    let mut notes = account.for_directories();
    let count = (0..).take_while(|_| notes.grow(NOTE)).count();
    assert!(count > 1_500_000, "{count}");
    assert!(account.0.budget.held() < CLIENT_MEMORY_BYTES);
    assert!(account.take_memory(FLOOR_BYTES).is_some(), "it goes on");
}

#[test]
fn windows_aim_at_an_equal_part() {
    let budget = Budget::new(MEMORY_BYTES, 1);
    let receiving: Vec<_> = (0..4).map(|_| budget.account(key()).receive()).collect();
    assert!(receiving.iter().all(|one| one.share() == WINDOWS_BYTES / 4));
    assert_eq!(receiving.into_iter().next().expect("one of four").share(), WINDOWS_BYTES / 4);
    assert_eq!(budget.account(key()).receive().share(), WINDOWS_BYTES);
}

proptest! {
    #[test]
    fn what_is_taken_in_any_order_is_bounded_and_all_given_back(
        steps in prop::collection::vec((0..6_usize, 0..3_u8, 0..400_000_usize), 1..300)
    ) {
        const ALL: usize = 4 << 20;
        let budget = Budget::new(ALL, 1);
        let keys = [key(), key(), key()];
        let accounts: Vec<_> = (0..6).map(|n| budget.account(keys[n % 3])).collect();
        let mut holds: Vec<Hold> = Vec::new();
        for (who, what, bytes) in steps {
            match what {
                0 => holds.extend(accounts[who].take_memory(bytes)),
                1 if !holds.is_empty() => drop(holds.swap_remove(bytes % holds.len())),
                2 if !holds.is_empty() => {
                    let at = bytes % holds.len();
                    if bytes % 2 == 0 { holds[at].shrink(bytes) } else { holds[at].grow(bytes); }
                }
                _ => {}
            }
            prop_assert!(sum(&holds) <= ALL + 6 * FLOOR_BYTES);
        }
        drop(holds);
        prop_assert_eq!(budget.free(), ALL);
    }
}

#[test]
fn what_many_threads_take_and_give_back_at_once_adds_up() {
    let budget = Budget::new(4 * FLOOR_BYTES, 100);
    let (one, two) = (budget.account(key()), budget.account(key()));
    std::thread::scope(|scope| {
        for account in [&one, &one, &one, &two] {
            scope.spawn(move || {
                let mut held = Vec::new();
                for timing in 0..20_000_usize {
                    // Around the floor, where what is taken begins to count.
                    held.extend(account.take_memory(timing * 7919 % (FLOOR_BYTES / 2)));
                    if held.len() > 3 || timing % 5 == 0 {
                        held.truncate(timing % 3);
                    }
                }
            });
        }
    });
    assert_eq!(budget.free(), 4 * FLOOR_BYTES);
    assert!(budget.0.memory.state().of_keys.is_empty());
    let (all, another) = (one.take_memory(FLOOR_BYTES), two.take_memory(FLOOR_BYTES));
    assert!(all.is_some() && another.is_some(), "nobody holds anything, so each has its floor");
    assert_eq!(budget.free(), 4 * FLOOR_BYTES, "the floors count for nothing");
}

#[test]
fn whoever_waits_is_called_for_every_piece_that_is_given_back() {
    const TURNS: usize = 2000;
    let budget = Budget::new(0, 100);
    let account = budget.account(key());
    // With no memory beyond the floor, one has to wait for the other each time.
    let taker = account.clone();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().expect("threads");
    let passed = runtime.block_on(async move {
        let turns = |account: Account| async move {
            for _ in 0..TURNS {
                drop(account.memory(FLOOR_BYTES).await);
            }
        };
        let both = async { tokio::join!(tokio::spawn(turns(account)), tokio::spawn(turns(taker))) };
        tokio::time::timeout(Duration::from_secs(60), both).await
    });
    assert!(passed.is_ok_and(|(one, two)| one.is_ok() && two.is_ok()));
}

#[test]
fn a_walk_through_more_names_than_there_is_room_for_takes_its_share_and_finds_all() {
    const MEMORY: usize = 256 << 10;
    const FILES: usize = 4000;
    let place = tempfile::tempdir().expect("a temporary directory");
    let names = (0..FILES).map(|number| format!("{number:04}{}", "x".repeat(150)));
    names.for_each(|name| std::fs::write(place.path().join(name), b"").expect("written"));
    let budget = Budget::new(MEMORY, 100);
    let account = budget.account(key());
    let request = || WalkRequest {
        root: Root::open(place.path()).expect("it is there").tree(),
        at: None,
        name: None,
        whole: true,
        named: true,
    };
    let (mut found, mut least) = (0, MEMORY);
    for item in walk(vec![request()], Filters::none(), Links::Skip).in_room(account.name_room()) {
        let WalkEntry::File { name, .. } = item else { panic!("{item:?}") };
        assert!(name.as_bytes().starts_with(format!("{found:04}").as_bytes()), "{name}");
        (found, least) = (found + 1, least.min(budget.free()));
    }
    assert_eq!(found, FILES);
    assert!((MEMORY / (CONNECTION_TIMES + 1)..MEMORY).contains(&least), "{least} were left to the others");
    assert_eq!(budget.free(), MEMORY);
    // Its filters come from the same share.
    let wild = vec!["?".repeat(1000); 60];
    assert!(account.take_for_search(Filters::memory_bytes(&wild)).is_none());
    assert!(account.take_for_search(Filters::memory_bytes(&["*.log", "/target", "node_modules/"])).is_some());
}
