use std::collections::BTreeSet;
use std::sync::mpsc;
use std::time::Duration;

use rustix::io::Errno;

use super::*;
use crate::digest::CHUNK_BYTES;
use crate::protocol::message::{Mtime, Status};
use crate::storage::store::PartFile;
use crate::storage::testing::random::Random;
use crate::storage::testing::{SOME_TIME, wire};
use crate::storage::{Commit, Commits, Durability, Files, Fresh, Owner, ReadFile, Replace, Store};

/// Power cuts that are tried: enough that everything which may happen does.
const CUTS: u64 = 300;

fn volume(quirks: Quirks) -> Volume {
    Volume::new(quirks, ManualClock::new())
}

fn store(volume: &Volume) -> MemoryStore {
    MemoryStore::of_new_process(volume)
}

fn data(values: &[u32]) -> FileData {
    FileData::new(values.len() as u64 * CHUNK_BYTES, values)
}

fn content(value: u32) -> ChunkContent {
    ChunkContent::of(value, CHUNK_BYTES)
}

/// Writes a part of these values and hands it to the committer, which is not asked to do anything yet.
fn submit(store: &MemoryStore, committer: &MemoryCommitter, path: &str, values: &[u32]) -> mpsc::Receiver<bool> {
    let part = store.open_part(&wire(path), Owner::Anyone, Fresh::Yes).expect("it is free");
    for (index, value) in (0..).zip(values) {
        part.write_at(&content(*value), index * CHUNK_BYTES).expect("there is room");
    }
    let (sender, answers) = mpsc::channel();
    let size = values.len() as u64 * CHUNK_BYTES;
    let commit = Commit { part, size, mtime: SOME_TIME, mode: 0o644, replace: Replace::Yes };
    committer.submit(commit, Box::new(move |done| sender.send(done.is_ok()).expect("the test waits")));
    answers
}

/// What a file of that name holds after a power cut, over many of them.
fn left(prepare: impl Fn() -> Volume, path: &str) -> BTreeSet<Option<Vec<(u64, String)>>> {
    let cuts = (0..CUTS).map(|seed| {
        let volume = prepare();
        volume.cut_power(&mut Random::new(seed));
        let seen = volume.seen(&wire(path));
        seen.map(|seen| {
            let data = seen.data().expect("it is a file");
            let chunks = (0..data.size().div_ceil(CHUNK_BYTES)).map(|index| {
                let mut read = ChunkContent::zeroed(CHUNK_BYTES);
                data.read(index * CHUNK_BYTES, &mut read);
                let value = read.runs()[0].0;
                (index, if value > 100 { "garbage".to_owned() } else { value.to_string() })
            });
            chunks.collect()
        })
    });
    cuts.collect()
}

#[test]
fn what_was_synced_outlasts_a_power_cut() {
    let prepare = || {
        let volume = volume(Quirks::default());
        volume.put_dir(&wire("d"), 0o755);
        volume.put(&wire("d/a"), data(&[1, 2]), 0o644);
        volume.sync_all();
        volume
    };
    let whole = Some(vec![(0, "1".to_owned()), (1, "2".to_owned())]);
    assert_eq!(left(prepare, "d/a"), BTreeSet::from([whole]));
}

#[test]
fn of_a_file_that_was_not_synced_any_part_may_be_left_and_what_nobody_wrote() {
    let prepare = || {
        let volume = volume(Quirks::default());
        volume.put(&wire("a"), data(&[1]), 0o644);
        volume.sync_all();
        volume.change(UserChange::Overwrite(wire("a"), data(&[2, 3])));
        volume
    };
    let left = left(prepare, "a");
    let chunk = |index, value: &str| (index, value.to_owned());
    for expected in [
        vec![chunk(0, "1")],
        vec![chunk(0, "2"), chunk(1, "3")],
        vec![chunk(0, "1"), chunk(1, "3")],
        vec![chunk(0, "garbage")],
        vec![chunk(0, "0"), chunk(1, "0")],
    ] {
        assert!(left.contains(&Some(expected.clone())), "{expected:?} is not among {left:?}");
    }
    assert!(!left.contains(&None), "its name was synced");
}

#[test]
fn a_name_and_what_it_leads_to_are_synced_apart() {
    // A part of which the content is synced and the rename is not, and the other way round.
    for (steps, is_whole, is_certain) in [(2, true, false), (4, true, true)] {
        let prepare = || {
            let volume = volume(Quirks::default());
            volume.put(&wire("a"), data(&[1]), 0o644);
            volume.sync_all();
            let (store, committer) = (store(&volume), MemoryCommitter::new(Durability::Synced));
            let _answer = submit(&store, &committer, "a", &[7]);
            // Finish, sync, rename, sync of the names.
            (0..steps).for_each(|_| committer.step(1));
            volume
        };
        let left = left(prepare, "a");
        let old_and_new = [1, 7].map(|value| Some(vec![(0, value.to_string())]));
        assert!(left.iter().all(|found| old_and_new.contains(found)), "{is_whole}: {left:?}");
        assert_eq!(left.contains(&old_and_new[0]), !is_certain, "{left:?}");
    }
}

#[test]
fn a_directory_whose_own_name_was_not_synced_takes_along_what_lies_in_it() {
    let prepare = || {
        let volume = volume(Quirks::default());
        let (store, committer) = (store(&volume), MemoryCommitter::new(Durability::Synced));
        assert!(store.make_dir(&wire("d"), 0o755).expect("it is new"));
        // As if another process had made it: nobody knows that it is to be synced.
        let store = MemoryStore { unsynced: std::sync::Arc::default(), ..store };
        let answer = submit(&store, &committer, "d/a", &[7]);
        while committer.has_work() {
            committer.step(1);
        }
        assert!(answer.recv().expect("it is answered"));
        volume
    };
    let left = left(prepare, "d/a");
    assert!(left.contains(&None) && left.contains(&Some(vec![(0, "7".to_owned())])), "{left:?}");
}

#[test]
fn the_operation_that_is_named_fails_and_no_other() {
    let volume = volume(Quirks::default());
    let store = store(&volume);
    volume.fail_after(2, Errno::IO);
    let statuses: Vec<_> = (0..4).map(|_| store.stat(&wire("a")).map_err(|error| error.status())).collect();
    assert_eq!(statuses, [Ok(None), Ok(None), Err(Status::ReadFailed), Ok(None)]);
    for (errno, status) in [(Errno::NOSPC, Status::NoSpace), (Errno::IO, Status::WriteFailed)] {
        let part = store.open_part(&wire("a"), Owner::Anyone, Fresh::Yes).expect("it is free");
        volume.fail_after(0, errno);
        assert_eq!(part.write_at(&content(1), 0).map_err(|error| error.status()), Err(status));
    }
    assert_eq!(volume.operations().1, 3);
    volume.fail_after(0, Errno::IO);
    volume.heal();
    assert!(store.stat(&wire("a")).is_ok());
}

#[test]
fn a_part_that_cannot_be_synced_is_not_believed_any_more() {
    let volume = volume(Quirks::default());
    let (store, committer) = (store(&volume), MemoryCommitter::new(Durability::Synced));
    let answer = submit(&store, &committer, "a", &[7]);
    committer.step(1);
    volume.fail_after(0, Errno::IO);
    while committer.has_work() {
        committer.step(1);
    }
    assert!(!answer.recv().expect("it is answered"));
    assert_eq!(store.part_len(&wire("a"), Owner::Anyone).expect("it can be told"), None);
    assert_eq!(volume.look().len(), 0);
}

#[test]
fn a_full_disk_takes_no_more_content_and_keeps_what_it_has() {
    let volume = volume(Quirks { capacity: 2 * CHUNK_BYTES, ..Quirks::default() });
    let store = store(&volume);
    let part = store.open_part(&wire("a"), Owner::Anyone, Fresh::Yes).expect("it is free");
    part.write_at(&content(1), 0).expect("there is room");
    part.write_at(&content(2), CHUNK_BYTES).expect("there is room");
    let refused = part.write_at(&content(3), 2 * CHUNK_BYTES).expect_err("there is none");
    assert_eq!((refused.status(), part.len()), (Status::NoSpace, 2 * CHUNK_BYTES));
    part.truncate(5 * CHUNK_BYTES).expect("a hole takes no room");
    part.write_at(&content(4), 0).expect("it takes no more than before");
    volume.set_capacity(3 * CHUNK_BYTES);
    part.write_at(&content(3), 2 * CHUNK_BYTES).expect("there is room now");
}

#[test]
fn a_file_of_which_the_disk_has_kept_less_than_it_has_taken_does_not_become_complete() {
    let volume = volume(Quirks { keeps: CHUNK_BYTES, ..Quirks::default() });
    let (store, committer) = (store(&volume), MemoryCommitter::new(Durability::Synced));
    for (values, is_kept) in [(&[1][..], true), (&[2, 3], false)] {
        let answer = submit(&store, &committer, "a", values);
        (0..8).for_each(|_| committer.step(1));
        assert_eq!(answer.recv().expect("it is answered"), is_kept, "{values:?}");
        assert_eq!(volume.seen(&wire("a")).expect("it is there").data(), Some(&data(&[1])));
    }
}

#[test]
fn names_that_differ_in_case_are_one_where_case_is_folded() {
    for (folds, one, other) in
        [(true, "README", "readme"), (true, "\u{c9}", "\u{e9}"), (false, "README", "readme"), (true, "a", "b")]
    {
        let is_one = folds && one != "a";
        let volume = volume(Quirks { folds, ..Quirks::default() });
        let store = store(&volume);
        volume.put(&wire(one), data(&[1]), 0o644);
        let (one, other) = (wire(one), wire(other));
        assert_eq!(store.stat(&other).expect("it can be told").is_some(), is_one, "{other}");
        assert_eq!(store.is_one_name(&one, &other).expect("it can be told"), is_one);
        assert_eq!(store.is_other_spelling(&other).expect("it can be told"), is_one);
        assert_eq!([&one, &other].map(|name| store.has_entry(name).ok()), [Some(true), Some(false)]);
        assert_eq!(store.tells_names_apart(&one), !folds);
        volume.put(&other, data(&[2]), 0o644);
        let names: Vec<_> = volume.look().into_keys().collect();
        assert_eq!(names.len(), if is_one { 1 } else { 2 }, "{names:?}");
        assert!(names.contains(&one.to_string()), "the first spelling stays: {names:?}");
    }
}

#[test]
fn times_are_kept_in_steps_and_stamps_in_ticks() {
    for (time_step, kept) in [
        (1, SOME_TIME),
        (1_000_000_000, Mtime { nanos: 0, ..SOME_TIME }),
        (2_000_000_000, Mtime { secs: SOME_TIME.secs - SOME_TIME.secs % 2, nanos: 0 }),
    ] {
        let clock = ManualClock::new();
        let volume = Volume::new(Quirks { time_step, ..Quirks::default() }, clock.clone());
        let store = store(&volume);
        volume.put(&wire("a"), data(&[1]), 0o644);
        let written = volume.seen(&wire("a")).expect("it is there").mtime;
        assert_eq!(i128::from(written.nanos) % i128::from(time_step.min(4_000_000)), 0);
        volume.change(UserChange::SetTime(wire("a"), SOME_TIME));
        let source = store.open_source(&wire("a")).expect("it is there");
        assert_eq!((source.meta().mtime, store.time_step(&wire("a")).expect("it is known")), (kept, time_step));
        let wait = source.settles_in().expect("it was changed at this moment");
        assert!(wait <= if time_step == 1 { Duration::from_millis(20) } else { Duration::from_secs(2) });
        clock.advance(wait);
        assert_eq!(store.open_source(&wire("a")).expect("it is there").settles_in(), None);
    }
}

#[test]
fn a_part_is_locked_until_it_is_dropped_or_its_process_is_dead() {
    let volume = volume(Quirks::default());
    let first = store(&volume);
    let open =
        |store: &MemoryStore| store.open_part(&wire("a"), Owner::Anyone, Fresh::No).map_err(|error| error.status());
    let part = open(&first).expect("it is free");
    part.write_at(&content(1), 0).expect("there is room");
    assert_eq!(open(&first).map(drop), Err(Status::Busy));
    let busy = first.check_part_free(&wire("a"), Owner::Anyone).map_err(|error| error.status());
    assert_eq!(busy, Err(Status::Busy));
    let second = store(&volume);
    let taken = open(&second).expect("its process is dead");
    assert_eq!(taken.len(), CHUNK_BYTES, "what was written is there");
    assert!(part.write_at(&content(2), 0).is_err(), "the dead write no more");
    drop(part);
    assert_eq!(open(&second).map(drop), Err(Status::Busy), "and unlock nothing");
    drop(taken);
    assert!(open(&second).is_ok());
}

#[test]
fn a_source_stays_what_was_opened_and_says_what_became_of_it() {
    use crate::storage::Since;
    let volume = volume(Quirks::default());
    let store = store(&volume);
    volume.put(&wire("a"), data(&[1, 2]), 0o644);
    let open = || store.open_source(&wire("a")).expect("it is there");
    let source = open();
    volume.put(&wire("a"), data(&[3]), 0o644);
    let mut read = ChunkContent::zeroed(CHUNK_BYTES);
    assert_eq!(source.read_at(&mut read, CHUNK_BYTES).expect("it is read"), CHUNK_BYTES as usize);
    assert_eq!((read.runs(), source.since_opened().expect("it can be told")), (vec![(2, CHUNK_BYTES)], Since::Same));
    let source = open();
    volume.change(UserChange::Overwrite(wire("a"), data(&[4])));
    assert_eq!(source.since_opened().expect("it can be told"), Since::Same, "within one tick of the clock");
    volume.state().clock().advance(Duration::from_millis(4));
    volume.change(UserChange::Overwrite(wire("a"), data(&[5])));
    assert_eq!(source.since_opened().expect("it can be told"), Since::ReadAgain);
    let source = open();
    volume.state().clock().advance(Duration::from_millis(4));
    volume.change(UserChange::SetMode(wire("a"), 0o600));
    assert_eq!(source.since_opened().expect("it can be told"), Since::ReadAgain, "its mode is another");
    volume.change(UserChange::Overwrite(wire("a"), FileData::default()));
    assert_eq!(source.since_opened().expect("it can be told"), Since::Shorter);
}

#[test]
fn other_programs_change_things_in_the_middle_of_what_the_store_does() {
    let volume = volume(Quirks::default());
    let store = store(&volume);
    volume.put(&wire("a"), data(&[1]), 0o644);
    volume.take_changed();
    volume.change_after(1, UserChange::TakeAway(wire("a")));
    volume.change_after(1, UserChange::Put(wire("b"), Object::Link(b"a".to_vec()), 0o777));
    volume.change_after(9, UserChange::TakeAway(wire("b")));
    let is_there = || store.stat(&wire("a")).expect("it can be told").is_some();
    assert_eq!([is_there(), is_there()], [true, false]);
    let changed: Vec<_> = volume.take_changed().into_iter().map(|(path, seen)| (path, seen.is_some())).collect();
    assert_eq!(changed, [(wire("a"), false), (wire("b"), true)]);
    volume.forget_changes();
    (0..20).for_each(|_| assert!(!is_there()));
    assert_eq!(volume.look().len(), 1);
}
