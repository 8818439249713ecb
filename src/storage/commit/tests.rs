use super::*;
use crate::protocol::message::Status;
use crate::storage::part::Fresh;
use crate::storage::system::SYNC_EACH_MAX;
use crate::storage::testing::{SOME_TIME, TestRoot, fail_sync, heal, wire};
use crate::storage::{Owner, Root};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::mpsc::{self, Receiver};

type Outcome = Result<WirePath, StorageError>;

fn part(root: &Destination, name: &str, content: &[u8]) -> Part {
    let part = Part::open(root, &wire(name), Owner::Anyone, Fresh::No).unwrap();
    part.write_at(content, 0).unwrap();
    part
}

fn commit(part: Part, replace: Replace) -> Commit {
    Commit { size: part.len(), part, mtime: SOME_TIME, mode: 0o640, replace }
}

fn submit(committer: &Committer, commit: Commit) -> Receiver<Outcome> {
    let (sender, outcome) = mpsc::channel();
    committer.submit(commit, Box::new(move |done| sender.send(done.map(|done| done.path)).unwrap()));
    outcome
}

fn job(work: CommitWork, answer: Answer) -> CommitJob {
    CommitJob { work, told: Told::new(wire("unnamed"), answer) }
}

fn committed(sync: Durability, commit: Commit) -> Outcome {
    submit(&Committer::start(sync).unwrap(), commit).recv().unwrap()
}

fn entries(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_commit_gives_name_length_time_and_mode() {
    for sync in [Durability::Synced, Durability::Unsynced] {
        let place = TestRoot::new();
        let part = part(&place.root, "new/dir/a", b"hello");
        let request = Commit { size: 8, mode: 0o7754, ..commit(part, Replace::No) };
        assert_eq!(committed(sync, request).unwrap(), wire("new/dir/a"));
        let found = fs::metadata(place.path("new/dir/a")).unwrap();
        assert_eq!((found.mtime(), found.mtime_nsec()), (SOME_TIME.secs, i64::from(SOME_TIME.nanos)));
        assert_eq!(found.mode() & 0o7777, 0o754);
        assert_eq!(fs::read(place.path("new/dir/a")).unwrap(), b"hello\0\0\0");
        assert_eq!(entries(&place.path("new/dir")), ["a"]);
        assert_eq!(place.root.unsynced().len(), 0, "the new directories are taken care of");
    }
}

#[test]
fn odd_names_and_empty_files_are_committed() {
    let place = TestRoot::new();
    let long = [b'n'; 255];
    for raw in [&b"new\nline"[..], b"\xff\xfe", b" ", &long] {
        let target = WirePath::parse(raw).unwrap();
        let part = Part::open(&place.root, &target, Owner::Anyone, Fresh::No).unwrap();
        assert_eq!(committed(Durability::Synced, commit(part, Replace::Yes)).unwrap(), target);
        assert_eq!(place.root.stat(&target).unwrap().unwrap().size, 0);
    }
    assert_eq!(fs::read_dir(place.path("")).unwrap().count(), 4);
}

#[test]
fn an_existing_file_is_replaced_at_once_or_not_at_all() {
    let place = TestRoot::new();
    let contents = [vec![b'a'; 100_000], vec![b'b'; 90_000]];
    place.write("a", &contents[0]);
    let committer = Committer::start(Durability::Unsynced).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let seen = fs::read(place.path("a")).expect("the name never goes away");
                assert!(contents.contains(&seen), "{} bytes", seen.len());
            }
        });
        for content in contents.iter().cycle().take(200) {
            submit(&committer, commit(part(&place.root, "a", content), Replace::Yes)).recv().unwrap().unwrap();
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_taken_name_is_replaced_refused_or_avoided() {
    let place = TestRoot::new();
    place.write("a", b"old");
    let refused = committed(Durability::Synced, commit(part(&place.root, "a", b"no"), Replace::No)).unwrap_err();
    assert_eq!(refused.status(), Status::Exists);
    assert_eq!(fs::read(place.path("a")).unwrap(), b"old");
    assert_eq!(Part::peek(&place.root, &wire("a"), Owner::Anyone).unwrap(), Some(2), "the part stays, and unlocked");
    for expected in ["a~1", "a~2"] {
        let part = Part::open(&place.root, &wire("a"), Owner::Anyone, Fresh::Yes).unwrap();
        part.write_at(b"free", 0).unwrap();
        assert_eq!(committed(Durability::Synced, commit(part, Replace::RenameFree)).unwrap(), wire(expected));
    }
    committed(Durability::Synced, commit(part(&place.root, "a", b"new"), Replace::Yes)).unwrap();
    assert_eq!(fs::read(place.path("a")).unwrap(), b"new");
    assert_eq!(entries(&place.path("")), ["a", "a~1", "a~2"]);
}

#[test]
fn a_link_of_the_name_is_replaced_and_its_target_is_not() {
    let place = TestRoot::new();
    std::os::unix::fs::symlink("../outside/secret", place.path("a")).unwrap();
    committed(Durability::Synced, commit(part(&place.root, "a", b"new"), Replace::Yes)).unwrap();
    assert!(fs::symlink_metadata(place.path("a")).unwrap().is_file());
    place.assert_outside_untouched();
}

#[test]
fn a_directory_of_the_name_fails_one_file_and_not_its_group() {
    let place = TestRoot::new();
    fs::create_dir_all(place.path("5")).unwrap();
    let mut group = CommitGroup::new(Durability::Synced);
    let (sender, outcomes) = mpsc::channel();
    for n in 0..20 {
        let part = part(&place.root, &n.to_string(), b"x");
        let sender = sender.clone();
        let answer: Answer = Box::new(move |done| sender.send((n, done)).unwrap());
        group.add(job(CommitWork::File(Box::new(commit(part, Replace::Yes))), answer));
    }
    group.commit();
    drop(sender);
    for (n, outcome) in outcomes {
        assert_eq!(outcome.as_ref().err().map(StorageError::status), (n == 5).then_some(Status::BadName), "{n}");
    }
    assert_eq!(Part::peek(&place.root, &wire("5"), Owner::Anyone).unwrap(), Some(1));
}

#[test]
fn a_part_that_was_replaced_is_not_published() {
    let place = TestRoot::new();
    let mine = part(&place.root, "a", b"mine");
    fs::remove_file(place.path(".a.qft-part")).unwrap();
    let theirs = part(&place.root, "a", b"theirs, half");
    let error = committed(Durability::Synced, commit(mine, Replace::Yes)).unwrap_err();
    assert_eq!(error.status(), Status::WriteFailed);
    assert!(!place.path("a").exists());
    assert_eq!(theirs.len(), 12);
}

#[test]
fn a_thousand_files_in_many_directories_are_committed() {
    for sync in [Durability::Synced, Durability::Unsynced] {
        let place = TestRoot::new();
        let committer = Committer::start(sync).unwrap();
        let outcomes: Vec<_> = (0..1000)
            .map(|n| {
                let part = part(&place.root, &format!("d{}/f{n}", n % 30), n.to_string().as_bytes());
                submit(&committer, commit(part, Replace::No))
            })
            .collect();
        for (n, outcome) in outcomes.iter().enumerate() {
            let name = outcome.recv().unwrap().unwrap();
            assert_eq!(fs::read(place.path(name.as_path())).unwrap(), n.to_string().as_bytes());
        }
        assert_eq!(place.root.unsynced().len(), 0);
    }
}

#[test]
fn what_was_queued_is_done_after_the_last_clone_is_gone() {
    let place = TestRoot::new();
    let committer = Committer::start(Durability::Synced).unwrap();
    let outcomes: Vec<_> = (0..50)
        .map(|n| submit(&committer.clone(), commit(part(&place.root, &n.to_string(), b"x"), Replace::No)))
        .collect();
    drop(committer);
    assert!(outcomes.iter().all(|outcome| outcome.recv().unwrap().is_ok()));
}

#[test]
fn new_directories_and_links_become_durable() {
    let place = TestRoot::new();
    let committer = Committer::start(Durability::Synced).unwrap();
    place.root.make_dir(&wire("a/b")).unwrap();
    place.root.make_link(&wire("a/link"), b"b", Replace::Yes).unwrap();
    assert_eq!(place.root.unsynced().len(), 2);
    let (sender, outcome) = mpsc::channel();
    committer.submit_dir(place.root.clone(), wire("a/b"), Box::new(move |done| sender.send(done).unwrap()));
    assert_eq!(outcome.recv().unwrap().unwrap().path, wire("a/b"));
    assert_eq!(place.root.unsynced().len(), 0);
}

#[test]
fn an_answer_that_panics_takes_nothing_with_it() {
    let place = TestRoot::new();
    let committer = Committer::start(Durability::Unsynced).unwrap();
    committer.submit(commit(part(&place.root, "a", b"x"), Replace::No), Box::new(|_| panic!("on purpose")));
    submit(&committer, commit(part(&place.root, "b", b"x"), Replace::No)).recv().unwrap().unwrap();
    assert_eq!(entries(&place.path("")), ["a", "b"]);
}

#[test]
fn a_free_name_that_would_be_too_long_is_refused() {
    let place = TestRoot::new();
    let name = "n".repeat(255);
    place.write(&name, b"old");
    let error =
        committed(Durability::Unsynced, commit(part(&place.root, &name, b"x"), Replace::RenameFree)).unwrap_err();
    assert_eq!(error.status(), Status::BadName);
}

/// Commits all of these as one durable group, on this thread, where syncs can be made to fail.
fn commit_here(commits: Vec<Commit>) -> Vec<Outcome> {
    let mut group = CommitGroup::new(Durability::Synced);
    let outcomes: Vec<_> = commits
        .into_iter()
        .map(|commit| {
            let (sender, outcome) = mpsc::channel();
            let answer: Answer = Box::new(move |done| sender.send(done.map(|done| done.path)).unwrap());
            group.add(job(CommitWork::File(Box::new(commit)), answer));
            outcome
        })
        .collect();
    group.commit();
    outcomes.into_iter().map(|outcome| outcome.recv().unwrap()).collect()
}

/// Makes a name durable that is there already, on this thread.
fn name_here(place: &TestRoot, name: &str) -> Outcome {
    let mut group = CommitGroup::new(Durability::Synced);
    let (sender, outcome) = mpsc::channel();
    let answer: Answer = Box::new(move |done| sender.send(done.map(|done| done.path)).unwrap());
    group.add(job(
        CommitWork::There { root: place.root.clone(), path: wire(name), content: false, unset: None },
        answer,
    ));
    group.commit();
    outcome.recv().unwrap()
}

#[test]
fn content_whose_sync_failed_is_never_continued() {
    for count in [1, 2 * SYNC_EACH_MAX] {
        let place = TestRoot::new();
        let commits: Vec<_> =
            (0..count).map(|n| commit(part(&place.root, &n.to_string(), b"lost"), Replace::Yes)).collect();
        fail_sync(&place.path(".0.qft-part"));
        let outcomes = commit_here(commits);
        heal();
        let error = outcomes[0].as_ref().unwrap_err();
        assert_eq!((error.op, error.cause.raw_os_error()), (Op::Sync, Some(5)), "the disk's own error");
        assert!(!place.path("0").exists());
        assert_eq!(Part::peek(&place.root, &wire("0"), Owner::Anyone).unwrap(), None, "nothing is left to resume");
        assert!(outcomes[1..].iter().all(Result::is_ok));
    }
}

#[test]
fn a_directory_that_cannot_be_synced_fails_its_own_files_and_stays_in_doubt() {
    let place = TestRoot::new();
    place.write("bad/old", b"x");
    place.write("good/old", b"x");
    fail_sync(&place.path("bad"));
    let group = || ["bad/a", "good/a"].map(|name| commit(part(&place.root, name, b"x"), Replace::Yes)).into();
    let outcomes: Vec<_> = commit_here(group()).into_iter().map(|outcome| outcome.map_err(|error| error.op)).collect();
    assert_eq!(outcomes, [Err(Op::Sync), Ok(wire("good/a"))]);
    let in_doubt = ["bad/a", "good/a"].map(|name| place.root.is_unsynced(&wire(name)).unwrap());
    assert_eq!(in_doubt, [true, false], "a second offer of it is not skipped before it is synced");
    assert!(name_here(&place, "bad/a").is_err());
    let outcomes = commit_here(group());
    assert!(outcomes[0].is_err() && outcomes[1].is_ok(), "{outcomes:?}");
    heal();
    name_here(&place, "bad/a").unwrap();
    assert!(!place.root.is_unsynced(&wire("bad/a")).unwrap());
    assert!(commit_here(group()).iter().all(Result::is_ok));
}

#[test]
fn a_new_directory_that_cannot_be_synced_fails_nothing_on_other_file_systems() {
    let place = TestRoot::new();
    let other = Root::open(Path::new("/dev/shm")).ok().map(|other| other.destination()).filter(|other| {
        let ours = fs::metadata(place.path("")).unwrap().dev();
        fs::metadata(other.path()).is_ok_and(|found| found.dev() != ours)
    });
    let Some(other) = other else { return println!("skipped: there is no second file system") };
    let name = format!("qft-test-{}", std::process::id());
    place.root.make_dir(&wire("new")).unwrap();
    fail_sync(&place.path(""));
    let commits = [part(&place.root, "new/a", b"x"), part(&other, &name, b"x")].map(|part| commit(part, Replace::Yes));
    let outcomes = commit_here(commits.into());
    heal();
    fs::remove_file(Path::new("/dev/shm").join(name)).unwrap();
    assert!(outcomes[0].is_err(), "what lies below the new directory is not safe");
    assert!(outcomes[1].is_ok(), "{outcomes:?}");
}

#[test]
fn a_part_whose_commit_failed_can_be_written_again() {
    let place = TestRoot::new();
    place.write("a", b"old");
    let request = Commit { mode: 0o444, ..commit(part(&place.root, "a", b"new"), Replace::No) };
    committed(Durability::Synced, request).unwrap_err();
    assert_eq!(fs::metadata(place.path(".a.qft-part")).unwrap().mode() & 0o7777, 0o600);
}

#[test]
fn a_panic_fails_its_group_and_the_next_is_committed() {
    let place = TestRoot::new();
    let committer = Committer::start(Durability::Synced).unwrap();
    let lost = submit(&committer, commit(part(&place.root, "panic at commit", b"x"), Replace::Yes)).recv().unwrap();
    assert_eq!(lost.unwrap_err().status(), Status::Internal);
    submit(&committer, commit(part(&place.root, "after", b"x"), Replace::Yes)).recv().unwrap().unwrap();
    assert_eq!(fs::read(place.path("after")).unwrap(), b"x");
}

#[test]
fn a_job_that_is_dropped_is_told() {
    let place = TestRoot::new();
    let (sender, outcome) = mpsc::channel();
    let mut group = CommitGroup::new(Durability::Unsynced);
    let answer: Answer = Box::new(move |done| sender.send(done).unwrap());
    group.add(job(
        CommitWork::There { root: place.root.clone(), path: wire("dir"), content: false, unset: None },
        answer,
    ));
    drop(group);
    assert_eq!(outcome.recv().unwrap().unwrap_err().status(), Status::Internal);
}

/// The one file of a client is in the next group, however many wait of another client that came first.
#[test]
fn each_client_has_its_part_of_a_group() {
    let place = TestRoot::new();
    let greedy = Committer::start(Durability::Unsynced).unwrap();
    let modest = greedy.for_client(1);
    // The thread is kept busy until everything is queued.
    let (release, released) = mpsc::channel::<()>();
    greedy.submit_dir(
        place.root.clone(),
        wire("held"),
        Box::new(move |_| assert!(released.recv().is_err(), "nothing is said")),
    );
    let (sender, order) = mpsc::channel();
    for n in 0..3 * GROUP_MAX {
        let sender = sender.clone();
        greedy.submit_dir(place.root.clone(), wire(&n.to_string()), Box::new(move |_| sender.send("greedy").unwrap()));
    }
    modest.submit_dir(place.root.clone(), wire("modest"), Box::new(move |_| sender.send("modest").unwrap()));
    drop((greedy, modest, release));
    let order: Vec<_> = order.iter().collect();
    assert_eq!(order.len(), 3 * GROUP_MAX + 1, "what was queued is done after the last committer is gone");
    let before = order.iter().position(|who| *who == "modest").unwrap();
    assert!(before < GROUP_MAX + 1, "{before} jobs of the other were done before");
}

#[test]
fn a_free_name_is_found_beside_thousands() {
    let place = TestRoot::new();
    place.write("a", b"old");
    (1..=3000).for_each(|number| place.write(&format!("a~{number}"), b"old"));
    let renamed = committed(Durability::Unsynced, commit(part(&place.root, "a", b"new"), Replace::RenameFree)).unwrap();
    assert_eq!(renamed, wire("a~3001"));
    assert_eq!(fs::read(place.path("a~3000")).unwrap(), b"old");
}
