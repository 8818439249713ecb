//! Real files between a real client and a real server over UDP: what arrives is what was sent.

use std::fs::{self, File};
use std::num::NonZeroUsize;
use std::os::unix::fs::{FileExt, MetadataExt, symlink};
use std::path::Path;

use crate::support::pair::{Outcome, Pair};
use crate::support::tree::{
    assert_same, assert_same_content, facts, listing, make_mixed, parts, set_mtime, total_bytes, walk, write_noise,
};
use qft::client::Links;
use qft::client::{GetOptions, Job, SendOptions, TransferOptions};
use qft::progress::Event;
use qft::protocol::message::{IfExists, SkipReason, Status, Target, Why};
use qft::protocol::path::WirePath;

const MIB: u64 = 1 << 20;

fn wire(path: &str) -> WirePath {
    WirePath::parse(path.as_bytes()).expect("a plain path")
}

/// Files, as opposed to directories, below a directory.
fn files_in(top: &Path) -> u64 {
    listing(top).values().filter(|facts| facts.kind == "file").count() as u64
}

#[tokio::test]
async fn a_mixed_tree_is_sent_whole_and_sent_again_at_no_cost() {
    let pair = Pair::new();
    make_mixed(&pair.src(""));
    let (files, bytes) = (files_in(&pair.src("")), total_bytes(&pair.src("")));
    let first = pair.send(SendOptions::default()).await;
    assert_same(&pair.src(""), &pair.served(""));
    let report = &first.report;
    assert_eq!((report.done, report.skipped, report.failed), (files, 0, 0), "{report:?}");
    assert_eq!((report.bytes_written, report.bytes_resumed), (bytes, 0));
    let before = inodes(&pair.served(""));
    let again = pair.send(SendOptions::default()).await.report;
    assert_eq!((again.done, again.skipped, again.failed), (0, files, 0), "{again:?}");
    assert_eq!((again.bytes_written, again.bytes_skipped), (0, bytes));
    assert_eq!(inodes(&pair.served("")), before, "nothing was replaced");
    assert_same(&pair.src(""), &pair.served(""));
}

fn inodes(top: &Path) -> Vec<u64> {
    walk(top).iter().map(|path| fs::symlink_metadata(path).expect("it is there").ino()).collect()
}

#[tokio::test]
async fn a_mixed_tree_is_fetched_whole_and_fetched_again_at_no_cost() {
    let pair = Pair::new();
    make_mixed(&pair.served(""));
    let (files, bytes) = (files_in(&pair.served("")), total_bytes(&pair.served("")));
    let report = pair.get(GetOptions::default()).await.report;
    assert_same(&pair.served(""), &pair.got(""));
    assert_eq!((report.done, report.skipped, report.failed), (files, 0, 0), "{report:?}");
    assert_eq!((report.bytes_written, report.bytes_resumed), (bytes, 0));
    let again = pair.get(GetOptions::default()).await.report;
    assert_eq!((again.done, again.skipped, again.bytes_written), (0, files, 0), "{again:?}");
    assert_same(&pair.served(""), &pair.got(""));
}

#[tokio::test]
async fn links_are_left_out_with_a_note_and_copied_as_links_where_asked() {
    let pair = Pair::new();
    fs::create_dir(pair.src("d")).unwrap();
    write_noise(&pair.src("d/file"), 100, 1);
    for (target, name) in [("file", "d/to file"), ("../d", "d/to dir"), ("d/nowhere", "dangling")] {
        symlink(target, pair.src(name)).unwrap();
    }
    let without = pair.send(SendOptions::default()).await;
    assert!(without.is_clean());
    let notes = without.notes();
    assert_eq!(notes.len(), 3, "{notes:?}");
    assert!(notes.iter().all(|note| note.contains("symbolic link left out")), "{notes:?}");
    assert!(fs::symlink_metadata(pair.served("dangling")).is_err());
    for _ in 0..2 {
        assert!(pair.send(SendOptions { links: Links::Copy, ..SendOptions::default() }).await.is_clean());
        assert_same(&pair.src(""), &pair.served(""));
    }
    assert!(pair.get(GetOptions { links: true, ..GetOptions::default() }).await.is_clean());
    assert_same(&pair.served(""), &pair.got(""));
}

#[tokio::test]
async fn a_link_that_leaves_the_tree_is_left_out_with_a_note() {
    let pair = Pair::new();
    symlink("/etc/passwd", pair.src("absolute")).unwrap();
    symlink("../../up", pair.src("up")).unwrap();
    write_noise(&pair.src("file"), 100, 1);
    let outcome = pair.send(SendOptions { links: Links::Copy, ..SendOptions::default() }).await;
    assert!(outcome.is_clean());
    let notes = outcome.notes();
    for (note, start) in
        notes.iter().zip(["absolute: symbolic link to /etc/passwd left", "up: symbolic link to ../../up left"])
    {
        assert!(note.starts_with(start), "{notes:?}");
    }
    assert_eq!(notes.len(), 2);
    assert_same_content(&pair.src("file"), &pair.served("file"));
    assert_eq!(walk(&pair.served("")).len(), 1);
}

#[tokio::test]
async fn a_sparse_file_over_four_gibibytes_arrives_equal_and_stays_sparse() {
    const SIZE: u64 = 5 << 30;
    let pair = Pair::new();
    let file = File::create(pair.src("sparse")).unwrap();
    file.set_len(SIZE).unwrap();
    let places = [0, (4 << 30) + 12_345, SIZE - 5000];
    for place in places {
        file.write_all_at(&[7; 5000], place).unwrap();
    }
    drop(file);
    let report = pair.send(SendOptions::default()).await.report;
    assert_eq!((report.done, report.failed), (1, 0), "{report:?}");
    // A chunk for each place, and room for one that lies across two.
    assert!(report.bytes_written <= 4 * MIB, "{} bytes crossed the wire", report.bytes_written);
    let blocks = fs::metadata(pair.served("sparse")).unwrap().blocks() * 512;
    assert!(blocks <= 8 * MIB, "{blocks} bytes of disk");
    assert_eq!(facts(&pair.src("sparse")), facts(&pair.served("sparse")));
    assert_same_content(&pair.src("sparse"), &pair.served("sparse"));
    let report = pair.get(GetOptions::default()).await.report;
    assert!(report.done == 1 && report.bytes_written <= 4 * MIB, "{report:?}");
    assert!(fs::metadata(pair.got("sparse")).unwrap().blocks() * 512 <= 8 * MIB);
    assert_same_content(&pair.src("sparse"), &pair.got("sparse"));
}

#[tokio::test]
async fn a_comparison_by_content_finds_what_size_and_time_hide() {
    let pair = Pair::new();
    for (name, seed) in [("changed", 1), ("touched", 2), ("small", 3)] {
        let size = if name == "small" { 5000 } else { 3 * MIB + 5 };
        write_noise(&pair.src(name), size, seed);
        set_mtime(&pair.src(name), 1_000_000_000, 5);
    }
    assert!(pair.send(SendOptions::default()).await.is_clean());
    for name in ["changed", "small"] {
        File::options().write(true).open(pair.src(name)).unwrap().write_all_at(b"!", 4000).unwrap();
        set_mtime(&pair.src(name), 1_000_000_000, 5);
    }
    set_mtime(&pair.src("touched"), 1_100_000_000, 77);
    let blind = pair.send(SendOptions::default()).await.report;
    // The touched one is compared, and costs nothing.
    assert_eq!((blind.done, blind.skipped, blind.bytes_written), (1, 2, 0), "{blind:?}");
    assert_eq!(facts(&pair.src("touched")), facts(&pair.served("touched")));
    let report = pair.send(TransferOptions { checksum: true, ..TransferOptions::default() }).await.report;
    assert_eq!((report.done, report.failed), (3, 0), "{report:?}");
    assert_eq!(report.bytes_written, MIB + 5000, "one chunk of the large one, the small one whole");
    assert_same(&pair.src(""), &pair.served(""));
}

#[tokio::test]
async fn what_exists_is_treated_as_asked_for_in_both_directions() {
    for (mode, done, skipped, failed) in [
        (IfExists::Replace, 3, 1, 0),
        (IfExists::Skip, 1, 3, 0),
        (IfExists::Rename, 3, 1, 0),
        (IfExists::Fail, 1, 1, 2),
    ] {
        let pair = Pair::new();
        let make = |path: &Path, size: u64, seed: u64| {
            write_noise(path, size, seed);
            set_mtime(path, 1_000_000_000 + seed, 1);
        };
        for (from, to) in [(pair.src(""), pair.served("")), (pair.served("x"), pair.got("x"))] {
            make(&from.join("differs"), 2 * MIB, 1);
            make(&to.join("differs"), 2 * MIB, 2);
            make(&from.join("same"), 1000, 3);
            make(&to.join("same"), 1000, 3);
            make(&from.join("new"), 1000, 4);
            symlink("new", from.join("link")).unwrap();
            make(&to.join("link"), 1000, 5);
        }
        let old = fs::read(pair.served("differs")).unwrap();
        let transfer = TransferOptions { if_exists: mode, ..TransferOptions::default() };
        let options = SendOptions { links: Links::Copy, transfer: transfer.clone(), ..SendOptions::default() };
        let sent = pair.send(options).await;
        let options = GetOptions { links: true, transfer, ..GetOptions::default() };
        let got = pair.client.get(pair.ticket.clone(), vec![b"x".to_vec()], pair.got(""), options);
        let got = Outcome::of(got).await;
        for (outcome, to) in [(sent, pair.served("")), (got, pair.got("x"))] {
            let report = &outcome.report;
            assert_eq!((report.done, report.skipped, report.failed), (done, skipped, failed), "{mode:?} {report:?}");
            let kept = fs::read(to.join("differs")).unwrap() == old;
            assert_eq!(kept, mode != IfExists::Replace, "{mode:?}");
            assert_eq!(to.join("link").is_symlink(), mode == IfExists::Replace, "{mode:?}");
            assert_eq!(to.join("differs~1").exists(), mode == IfExists::Rename, "{mode:?}");
            if mode == IfExists::Rename {
                assert_same_content(&pair.src("differs"), &to.join("differs~1"));
                assert!(to.join("link~1").is_symlink());
            }
            if failed > 0 {
                assert!(outcome.failures().values().eq([&Status::Exists; 2]), "{outcome:?}");
            }
            assert!(parts(&to).is_empty());
        }
    }
}

#[tokio::test]
async fn filters_leave_out_in_both_directions() {
    let pair = Pair::new();
    for top in [pair.src(""), pair.served("there")] {
        for name in ["keep.txt", "a.log", "important.log", "build/x", "d/b.log", "d/build/y", "d/keep"] {
            write_noise(&top.join(name), 100, 1);
        }
    }
    let excludes = vec!["*.log".to_owned(), "/build".to_owned()];
    let includes = vec!["important.log".to_owned()];
    let to = Some(wire("sent"));
    let (out, kept) = (excludes.clone(), includes.clone());
    let transfer = TransferOptions { excludes, includes, ..TransferOptions::default() };
    assert!(pair.send(SendOptions { to, transfer, ..SendOptions::default() }).await.is_clean());
    let options = TransferOptions { excludes: out, includes: kept, ..TransferOptions::default() };
    let got = pair.client.get(pair.ticket.clone(), vec![b"there/".to_vec()], pair.got(""), options);
    assert!(Outcome::of(got).await.is_clean());
    let expected = ["d", "d/build", "d/build/y", "d/keep", "important.log", "keep.txt"];
    for top in [pair.served("sent"), pair.got("")] {
        let names: Vec<_> = listing(&top).into_keys().collect();
        assert!(names.iter().eq(expected.map(Path::new)), "{names:?}");
    }
}

#[tokio::test]
async fn a_dry_run_changes_nothing_and_plans_what_then_happens() {
    let pair = Pair::new();
    write_noise(&pair.src("new"), 5000, 1);
    write_noise(&pair.src("updated"), 3 * MIB, 2);
    write_noise(&pair.served("updated"), 2 * MIB + 9, 2);
    set_mtime(&pair.served("updated"), 5, 5);
    write_noise(&pair.src("small"), 500, 3);
    write_noise(&pair.served("small"), 400, 3);
    write_noise(&pair.src("sub/resumed"), 4 * MIB, 4);
    write_noise(&pair.served("sub/.resumed.qft-part"), 3 * MIB + 77, 4);
    write_noise(&pair.src("same"), 100, 5);
    fs::copy(pair.src("same"), pair.served("same")).unwrap();
    for top in [pair.src("same"), pair.served("same")] {
        set_mtime(&top, 1_000_000_000, 9);
    }
    fs::create_dir(pair.src("empty dir")).unwrap();
    let before = listing(&pair.served(""));
    let outcome = pair.send(TransferOptions { dry_run: true, ..TransferOptions::default() }).await;
    assert!(outcome.is_clean() && outcome.report.bytes_written == 0 && outcome.report.done == 0, "{outcome:?}");
    let expected = [
        ("new".to_owned(), 0, Why::New),
        ("small".to_owned(), 0, Why::Replace),
        ("sub/resumed".to_owned(), 3 * MIB, Why::Resume),
        ("updated".to_owned(), 2 * MIB, Why::Update),
    ];
    assert_eq!(planned(&outcome), expected);
    assert_eq!(outcome.report.skipped, 1);
    assert_eq!(listing(&pair.served("")), before, "a dry run changes nothing");
    let real = pair.send(SendOptions::default()).await.report;
    assert_eq!((real.done, real.skipped, real.failed), (4, 1, 0));
    assert_same(&pair.src(""), &pair.served(""));
}

fn planned(outcome: &Outcome) -> Vec<(String, u64, Why)> {
    let plan = |event: &Event| match event {
        Event::Planned { path, from, why, .. } => Some((path.clone(), *from, *why)),
        _ => None,
    };
    let mut planned: Vec<_> = outcome.events.iter().filter_map(plan).collect();
    planned.sort_by(|a, b| a.0.cmp(&b.0));
    planned
}

#[tokio::test]
async fn a_dry_run_of_a_fetch_makes_no_directory() {
    let pair = Pair::new();
    write_noise(&pair.served("a"), 100, 1);
    write_noise(&pair.served("d/b"), 100, 1);
    let get = |into: &str, target| {
        let options = TransferOptions { dry_run: true, target, ..TransferOptions::default() };
        let patterns = if target == Target::Directory { vec![Vec::new()] } else { vec![b"a".to_vec()] };
        Outcome::of(pair.client.get(pair.ticket.clone(), patterns, pair.got(into), options))
    };
    let outcome = get("new/deep", Target::Directory).await;
    assert!(outcome.is_clean(), "{outcome:?}");
    assert_eq!(planned(&outcome), [("a".to_owned(), 0, Why::New), ("d/b".to_owned(), 0, Why::New)]);
    let outcome = get("new/name", Target::FileOrDirectory).await;
    assert_eq!(planned(&outcome), [("a".to_owned(), 0, Why::New)]);
    assert!(walk(&pair.got("")).is_empty());
}

#[tokio::test]
async fn a_single_file_gets_a_new_name_or_goes_into_an_existing_directory() {
    let pair = Pair::new();
    write_noise(&pair.src("a"), 5000, 1);
    fs::create_dir(pair.served("there")).unwrap();
    for (to, target, lands) in [
        ("fresh/name", Target::FileOrDirectory, "fresh/name"),
        ("there", Target::FileOrDirectory, "there/a"),
        ("made", Target::Directory, "made/a"),
    ] {
        let transfer = TransferOptions { target, ..TransferOptions::default() };
        let options = SendOptions { to: Some(wire(to)), transfer, ..SendOptions::default() };
        let outcome = Outcome::of(pair.client.send(pair.ticket.clone(), vec![pair.src("a")], options)).await;
        assert!(outcome.is_clean(), "{outcome:?}");
        assert_same_content(&pair.src("a"), &pair.served(lands));
    }
    fs::create_dir(pair.got("here")).unwrap();
    for (into, target, lands) in [
        ("new", Target::FileOrDirectory, "new"),
        ("deep/new", Target::FileOrDirectory, "deep/new"),
        ("here", Target::FileOrDirectory, "here/a"),
        ("made", Target::Directory, "made/a"),
    ] {
        let options = TransferOptions { target, ..TransferOptions::default() };
        let patterns = vec![b"there/a".to_vec()];
        let outcome = Outcome::of(pair.client.get(pair.ticket.clone(), patterns, pair.got(into), options)).await;
        assert!(outcome.is_clean(), "{outcome:?}");
        assert_same_content(&pair.src("a"), &pair.got(lands));
    }
}

#[tokio::test]
async fn one_that_cannot_be_read_never_stops_the_others() {
    let pair = Pair::new();
    for top in [pair.src(""), pair.served("there")] {
        for n in 0..50 {
            write_noise(&top.join(format!("{n}")), 1000, n);
        }
        let mode = rustix::fs::Mode::RUSR;
        let kind = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, top.join("fifo"), kind, mode, 0).expect("a fifo");
    }
    // The FIFO is left out with a note.
    let mut expected = Vec::new();
    if !rustix::process::geteuid().is_root() {
        for path in [pair.src("locked"), pair.served("there/locked")] {
            write_noise(&path, 100, 1);
            crate::support::tree::set_mode(&path, 0);
        }
        expected.push(("locked", Status::NotAllowed));
    }
    let missing = pair.src("missing");
    let shown = missing.to_str().expect("a plain name").to_owned();
    let paths = vec![missing, pair.src("")];
    let outcome = Outcome::of(pair.client.send(pair.ticket.clone(), paths, SendOptions::default())).await;
    assert_eq!(outcome.report.done, 50);
    let mut sent = outcome.failures();
    assert_eq!(sent.remove(shown.as_str()), Some(Status::NotFound));
    assert!(sent.into_iter().eq(expected.clone()), "{outcome:?}");
    let patterns = vec![b"there/".to_vec(), b"nothing*".to_vec()];
    let options = GetOptions::default();
    let outcome = Outcome::of(pair.client.get(pair.ticket.clone(), patterns, pair.got(""), options)).await;
    assert_eq!(outcome.report.done, 50, "{outcome:?}");
    let mut got = outcome.failures();
    assert_eq!(got.remove("nothing*"), Some(Status::NotFound));
    assert!(got.into_iter().eq(expected), "{outcome:?}");
}

/// More than either end has under way at once, so that the last file waits while the first ones move.
fn make_queue(top: &Path) {
    for n in 0..24 {
        write_noise(&top.join(format!("a{n:02}")), 4 * MIB, n);
    }
    write_noise(&top.join("z"), 3 * MIB, 99);
}

#[tokio::test]
async fn one_that_vanishes_after_it_was_offered_is_reported_by_both_roles() {
    let pair = Pair::new();
    make_queue(&pair.src(""));
    make_queue(&pair.served("there"));
    let send = pair.sending(SendOptions { jobs: NonZeroUsize::MIN, ..SendOptions::default() });
    vanishing(send, &pair.src("z"), &pair.served("")).await;
    let patterns = vec![b"there/".to_vec()];
    let get = pair.client.get(pair.ticket.clone(), patterns, pair.got(""), GetOptions::default());
    vanishing(get, &pair.served("there/z"), &pair.got("")).await;
}

/// Removes a source when the first of many others starts, and looks at what the job says of it.
async fn vanishing(mut job: Job, doomed: &Path, top: &Path) {
    let mut gone = false;
    while let Some(event) = job.next().await {
        if matches!(event, Event::Started(_)) && !gone {
            fs::remove_file(doomed).unwrap();
            gone = true;
        }
    }
    let report = job.finish().await.expect("the job ends well");
    assert_eq!((report.done, report.failed), (24, 1), "{report:?}");
    assert_eq!((report.failures[0].0.as_str(), report.failures[0].1.status), ("z", Status::NotFound));
    assert!(!top.join("z").exists() && parts(top).is_empty());
}

#[tokio::test]
async fn both_directions_run_over_one_server_at_once() {
    let pair = Pair::new();
    make_mixed(&pair.src(""));
    write_noise(&pair.src("large"), 40 * MIB, 1);
    make_mixed(&pair.served("there"));
    write_noise(&pair.served("there/large"), 40 * MIB, 2);
    let to = Some(wire("sent"));
    let patterns = vec![b"there/".to_vec()];
    let get = pair.client.get(pair.ticket.clone(), patterns, pair.got(""), GetOptions::default());
    let send = pair.send(SendOptions { to, ..SendOptions::default() });
    let (sent, got) = tokio::join!(send, Outcome::of(get));
    assert!(sent.is_clean() && got.is_clean(), "{sent:?} {got:?}");
    assert_same(&pair.src(""), &pair.served("sent"));
    assert_same(&pair.served("there"), &pair.got(""));
}

#[tokio::test]
async fn what_is_in_the_way_of_a_kind_is_kept_and_reported() {
    let pair = Pair::new();
    write_noise(&pair.src("file"), 10, 1);
    write_noise(&pair.src("dir/inner"), 10, 1);
    fs::create_dir(pair.served("file")).unwrap();
    fs::write(pair.served("dir"), "in the way").unwrap();
    let outcome = pair.send(SendOptions::default()).await;
    let failures = outcome.failures();
    assert_eq!(failures.get("file"), Some(&Status::BadName), "{outcome:?}");
    assert_eq!(failures.get("dir"), Some(&Status::BadName));
    assert_eq!(failures.get("dir/inner"), Some(&Status::BadName));
    assert_eq!(fs::read(pair.served("dir")).unwrap(), b"in the way");
}

#[tokio::test]
async fn events_name_each_file_once_and_agree_with_the_counters() {
    let pair = Pair::new();
    make_mixed(&pair.src(""));
    let outcome = pair.send(SendOptions::default()).await;
    let mut finished: Vec<_> = outcome
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Finished { file } => Some((file.path.as_bytes().to_vec(), file.written())),
            Event::Skipped { reason, .. } => panic!("{reason:?} in an empty directory"),
            _ => None,
        })
        .collect();
    assert_eq!(finished.iter().map(|(_, written)| written).sum::<u64>(), outcome.report.bytes_written);
    let count = finished.len();
    finished.sort();
    finished.dedup_by(|a, b| a.0 == b.0);
    assert_eq!((finished.len(), count as u64), (count, outcome.report.done));
    let again = pair.send(SendOptions::default()).await;
    let skips = again.events.iter().filter(|e| matches!(e, Event::Skipped { reason: SkipReason::Same, .. })).count();
    assert_eq!(skips, count);
}
