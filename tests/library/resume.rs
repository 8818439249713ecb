//! What is there already does not cross the wire again, and is never trusted unseen.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::support::pair::{Outcome, Pair};
use crate::support::tree::{
    Noise, assert_same, assert_same_content, facts, part_of, parts, set_mtime, total_bytes, write_noise,
};
use crate::support::until;
use qft::client::{GetOptions, SendOptions, TransferOptions};
use qft::progress::{Event, FilePhase};
use qft::protocol::message::{IfExists, Status, Why};
use qft::protocol::path::WirePath;
use qft::testing::storage::{Fresh, Owner, Part, Root};

const MIB: u64 = 1 << 20;

/// Writes the first `len` bytes of `from` as the part of `target`.
fn make_part(from: &Path, target: &Path, len: u64) -> PathBuf {
    let part = part_of(target);
    fs::copy(from, &part).expect("copied");
    File::options().write(true).open(&part).expect("it opens").set_len(len).expect("cut");
    part
}

fn change(path: &Path, offset: u64, bytes: &[u8]) {
    File::options().write(true).open(path).expect("it opens").write_all_at(bytes, offset).expect("written");
}

fn flip(path: &Path, offset: u64) {
    let file = File::options().read(true).write(true).open(path).expect("it opens");
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).expect("read");
    file.write_all_at(&[!byte[0]], offset).expect("written");
}

/// Sends `src/f` and returns how many bytes crossed the wire, after a look at the result.
async fn send_f(pair: &Pair, options: impl Into<SendOptions>) -> u64 {
    let outcome = pair.send(options).await;
    assert!(outcome.is_clean() && outcome.report.done == 1, "{outcome:?}");
    assert_same(&pair.src(""), &pair.served(""));
    outcome.report.bytes_written
}

#[tokio::test]
async fn only_what_a_part_lacks_crosses_the_wire() {
    // Length of the part, and what is still needed of 24 MiB and 5 bytes.
    const SIZE: u64 = 24 * MIB + 5;
    for (part, needed) in [
        (MIB - 1, SIZE),
        (MIB, SIZE - MIB),
        (10 * MIB + 77, SIZE - 10 * MIB),
        (24 * MIB, 5),
        (24 * MIB + 4, 5),
        (SIZE, 0),
    ] {
        let pair = Pair::new();
        write_noise(&pair.src("f"), SIZE, 1);
        make_part(&pair.src("f"), &pair.served("f"), part);
        let outcome = pair.send(SendOptions::default()).await;
        assert_eq!(outcome.report.bytes_written, needed, "a part of {part}");
        assert_eq!(outcome.report.bytes_resumed, if part < MIB { 0 } else { SIZE - needed });
        assert_same(&pair.src(""), &pair.served(""));
        make_part(&pair.src("f"), &pair.got("f"), part);
        let report = pair.get(GetOptions::default()).await.report;
        assert_eq!(report.bytes_written, needed, "fetched over a part of {part}");
        assert_same(&pair.served(""), &pair.got(""));
    }
}

#[tokio::test]
async fn one_flipped_byte_in_the_middle_of_a_large_file_costs_one_chunk() {
    const SIZE: u64 = 256 * MIB;
    let pair = Pair::new();
    write_noise(&pair.src("f"), SIZE, 1);
    let part = make_part(&pair.src("f"), &pair.served("f"), SIZE);
    flip(&part, SIZE / 2 + 12_345);
    assert_eq!(send_f(&pair, SendOptions::default()).await, MIB);
    assert!(parts(&pair.served("")).is_empty());
}

#[tokio::test]
async fn damage_anywhere_is_repaired_and_nothing_else_is_sent() {
    const SIZE: u64 = 20 * MIB + 100;
    let pair = Pair::new();
    write_noise(&pair.src("f"), SIZE, 1);
    let part = make_part(&pair.src("f"), &pair.served("f"), 15 * MIB);
    // The first byte, both sides of a border, and the last byte before the start: chunks 0, 6, 7 and 14.
    for offset in [0, 7 * MIB - 1, 7 * MIB, 15 * MIB - 1] {
        flip(&part, offset);
    }
    assert_eq!(send_f(&pair, SendOptions::default()).await, 4 * MIB + SIZE - 15 * MIB);
}

#[tokio::test]
async fn a_part_longer_than_the_file_is_cut() {
    let pair = Pair::new();
    write_noise(&pair.src("f"), 5 * MIB + 7, 1);
    let part = make_part(&pair.src("f"), &pair.served("f"), 5 * MIB + 7);
    OpenOptions::new().append(true).open(&part).unwrap().write_all(&[1; 3_000_000]).unwrap();
    assert_eq!(send_f(&pair, SendOptions::default()).await, 0);
}

#[tokio::test]
async fn a_part_of_something_else_is_replaced_chunk_by_chunk() {
    let pair = Pair::new();
    write_noise(&pair.src("f"), 5 * MIB + 7, 1);
    for (other, needed) in [(3 * MIB + 9, 5 * MIB + 7), (9 * MIB, 5 * MIB + 7)] {
        write_noise(&part_of(&pair.served("f")), other, 2);
        assert_eq!(send_f(&pair, SendOptions::default()).await, needed);
        fs::remove_file(pair.served("f")).unwrap();
    }
}

#[tokio::test]
async fn a_hole_behind_the_start_keeps_nothing_of_what_a_part_had_there() {
    let pair = Pair::new();
    // 1 MiB of data, then a hole up to the last chunk.
    let file = File::create(pair.src("f")).unwrap();
    file.set_len(6 * MIB).unwrap();
    let mut noise = Noise::new(1);
    file.write_all_at(&noise.bytes(MIB as usize), 0).unwrap();
    file.write_all_at(&noise.bytes(100), 6 * MIB - 100).unwrap();
    let part = make_part(&pair.src("f"), &pair.served("f"), MIB);
    // What came before had data where the hole is, and broke off in the middle of that chunk.
    OpenOptions::new().append(true).open(&part).unwrap().write_all(&[7; 500_000]).unwrap();
    assert_eq!(send_f(&pair, SendOptions::default()).await, MIB);
}

#[tokio::test]
async fn of_an_older_version_only_the_changed_chunks_cross_the_wire() {
    const OLD: u64 = 8 * MIB + 5;
    type Edit = fn(&Path);
    let edits: [(&str, Edit, u64); 6] = [
        ("changed in the middle", |path| change(path, 3 * MIB + 17, b"new"), MIB),
        ("changed across a border", |path| change(path, 4 * MIB - 1, b"new"), 2 * MIB),
        ("appended", |path| OpenOptions::new().append(true).open(path).unwrap().write_all(&[9; 100]).unwrap(), 105),
        // The last chunk of what is shorter crosses again, so that nobody takes it for compared and equal.
        ("cut", |path| File::options().write(true).open(path).unwrap().set_len(3 * MIB + 7).unwrap(), 7),
        ("cut to nothing", |path| File::create(path).unwrap().set_len(0).unwrap(), 0),
        ("only touched", |_| {}, 0),
    ];
    for (what, edit, needed) in edits {
        let pair = Pair::new();
        write_noise(&pair.src("f"), OLD, 1);
        assert_eq!(send_f(&pair, SendOptions::default()).await, OLD);
        edit(&pair.src("f"));
        set_mtime(&pair.src("f"), 1_200_000_000, 3);
        assert_eq!(send_f(&pair, SendOptions::default()).await, needed, "{what}");
        // The other way: what is served is newer than what was fetched.
        write_noise(&pair.got("f"), OLD, 1);
        let report = pair.get(GetOptions::default()).await.report;
        assert_eq!((report.bytes_written, report.failed), (needed, 0), "{what}, fetched");
        assert_same(&pair.served(""), &pair.got(""));
        assert!(parts(&pair.served("")).is_empty() && parts(&pair.got("")).is_empty());
    }
}

#[tokio::test]
async fn a_touched_file_that_is_equal_is_not_even_copied() {
    let pair = Pair::new();
    write_noise(&pair.src("f"), 8 * MIB, 1);
    send_f(&pair, SendOptions::default()).await;
    let inode = fs::metadata(pair.served("f")).unwrap().ino();
    set_mtime(&pair.src("f"), 1_200_000_000, 3);
    assert_eq!(send_f(&pair, SendOptions::default()).await, 0);
    assert_eq!(fs::metadata(pair.served("f")).unwrap().ino(), inode);
}

#[tokio::test]
async fn a_file_that_is_there_waits_for_nobody_who_holds_a_partial_file_of_it() {
    let pair = Pair::new();
    write_noise(&pair.src("f"), MIB, 1);
    send_f(&pair, SendOptions::default()).await;
    let (root, name) = (Root::open(&pair.served("")).unwrap(), WirePath::parse(b"f").unwrap());
    let _held = Part::open(&root.destination(), &name, Owner::Anyone, Fresh::No).unwrap();
    for if_exists in [IfExists::Fail, IfExists::Skip, IfExists::Rename, IfExists::Replace] {
        let outcome = pair.send(TransferOptions { if_exists, ..TransferOptions::default() }).await;
        assert!(outcome.is_clean() && outcome.report.skipped == 1, "{outcome:?}");
    }
}

#[tokio::test]
async fn without_resume_everything_is_sent() {
    let pair = Pair::new();
    write_noise(&pair.src("f"), 6 * MIB, 1);
    make_part(&pair.src("f"), &pair.served("f"), 5 * MIB);
    let options = TransferOptions { resume: false, ..TransferOptions::default() };
    assert_eq!(send_f(&pair, options.clone()).await, 6 * MIB);
    set_mtime(&pair.src("f"), 1_200_000_000, 3);
    assert_eq!(send_f(&pair, options).await, 6 * MIB, "an equal older version is no help either");
}

#[tokio::test]
async fn content_moves_while_the_part_is_still_being_compared() {
    const HAVE: u64 = 512 * MIB;
    let pair = Pair::new();
    write_noise(&pair.src("f"), HAVE + 4 * MIB, 1);
    make_part(&pair.src("f"), &pair.served("f"), HAVE);
    let mut job = pair.sending(SendOptions::default());
    let file = loop {
        match job.next().await.expect("the file starts") {
            Event::Started(file) => break file,
            _ => continue,
        }
    };
    assert_eq!((file.resumed, file.why, file.phase()), (HAVE, Why::Resume, FilePhase::Checking));
    // The new bytes are on the server's disk before the old ones have been compared.
    until("the rest to arrive", || fs::metadata(part_of(&pair.served("f"))).is_ok_and(|part| part.len() > HAVE)).await;
    assert_eq!(file.phase(), FilePhase::Checking);
    let report = job.finish().await.expect("the job ends well");
    assert_eq!((report.done, report.bytes_written), (1, 4 * MIB), "{report:?}");
    assert_same(&pair.src(""), &pair.served(""));
}

/// Does something to a file again and again, until it is told to stop.
struct Meddler {
    stop: Arc<AtomicBool>,
    /// Ends with the longest time between two meddlings.
    thread: JoinHandle<Duration>,
}

impl Meddler {
    fn start(mut meddle: impl FnMut(u64) + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let (mut round, mut last, mut longest) = (0, Instant::now(), Duration::ZERO);
            while !stopped.load(Ordering::Relaxed) {
                meddle(round);
                longest = longest.max(last.elapsed());
                last = Instant::now();
                round += 1;
                // Long enough for a file to be opened as it was offered, and shorter than a pass over it.
                std::thread::sleep(Duration::from_millis(4));
            }
            longest
        });
        Self { stop, thread }
    }

    /// Whether it meddled all the time. A disk that is busy with the syncs of others may let it wait.
    fn stop(self) -> bool {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the meddler works") < PASS
    }
}

const RESTLESS: u64 = 128 * MIB;
/// Less than a pass over so much takes.
const PASS: Duration = Duration::from_millis(30);
/// How often a job is tried whose file had a rest all the same.
const TRIES: u32 = 20;

fn shrinking(path: &Path) -> Meddler {
    let file = File::options().write(true).open(path).expect("it opens");
    // Ever shorter: what only grows after it was opened is delivered as it was.
    Meddler::start(move |round| file.set_len(RESTLESS.saturating_sub(round * 1000)).expect("cut"))
}

fn rewritten(path: &Path) -> Meddler {
    let file = File::options().write(true).open(path).expect("it opens");
    Meddler::start(move |round| file.write_all_at(&round.to_le_bytes(), round % RESTLESS).expect("written"))
}

/// Sends and gets a file that never rests, with quiet ones, and back at rest sends it once more. `false`: it had a rest
/// that was long enough for it to arrive.
async fn send_and_get_restless(meddle: fn(&Path) -> Meddler) -> bool {
    let pair = Pair::new();
    for top in [pair.src(""), pair.served("there")] {
        write_noise(&top.join("restless"), RESTLESS, 1);
        for n in 0..20 {
            write_noise(&top.join(format!("quiet {n}")), 100_000, n);
        }
    }
    let meddlers = [meddle(&pair.src("restless")), meddle(&pair.served("there/restless"))];
    let patterns = vec![b"there/".to_vec()];
    let sent = pair.send(SendOptions::default()).await;
    let got = pair.client.get(pair.ticket.clone(), patterns, pair.got(""), GetOptions::default());
    let got = Outcome::of(got).await;
    let rested = !meddlers.map(Meddler::stop).into_iter().all(|worked| worked);
    if rested && [&sent, &got].into_iter().any(|outcome| outcome.report.done > 20) {
        return false;
    }
    for (outcome, from, to) in [(&sent, pair.src(""), pair.served("")), (&got, pair.served("there"), pair.got(""))] {
        assert_eq!(outcome.report.done, 20, "{:?}", outcome.report);
        assert!(outcome.failures().into_iter().eq([("restless", Status::Changed)]), "{:?}", outcome.report);
        assert_eq!(outcome.starts("restless"), 3, "it is tried three times");
        assert!(!to.join("restless").exists(), "no mixed file has the final name");
        for n in 0..20 {
            assert_same_content(&from.join(format!("quiet {n}")), &to.join(format!("quiet {n}")));
        }
    }
    let outcome = pair.send(SendOptions::default()).await;
    assert!(outcome.is_clean() && outcome.report.done == 1, "{outcome:?}");
    assert_same_content(&pair.src("restless"), &pair.served("restless"));
    assert!(parts(&pair.served("")).is_empty());
    true
}

#[tokio::test]
async fn a_source_that_never_rests_is_tried_again_then_reported_and_the_others_arrive() {
    for meddle in [shrinking, rewritten] {
        let mut tries = 0;
        while !send_and_get_restless(meddle).await {
            tries += 1;
            assert!(tries < TRIES, "this machine lets nobody change a file while it is read");
        }
    }
}

#[tokio::test]
async fn a_source_that_changes_once_is_sent_as_it_is_then() {
    let pair = Pair::new();
    write_noise(&pair.src("f"), 256 * MIB, 1);
    let mut job = pair.sending(SendOptions::default());
    until("the transfer to be under way", || fs::metadata(part_of(&pair.served("f"))).is_ok()).await;
    change(&pair.src("f"), 5, b"another line");
    let mut starts = 0;
    while let Some(event) = job.next().await {
        starts += u32::from(matches!(event, Event::Started(_)));
    }
    let report = job.finish().await.expect("the job ends well");
    assert_eq!((report.done, report.failed, starts), (1, 0, 2), "{report:?}");
    assert_same(&pair.src(""), &pair.served(""));
}

#[tokio::test]
async fn a_basis_that_changes_under_the_comparison_never_becomes_part_of_a_file() {
    const SIZE: u64 = 64 * MIB;
    for last_chunk_differs in [true, false] {
        let pair = Pair::new();
        for (n, top) in [pair.src(""), pair.served("")].iter().enumerate() {
            write_noise(&top.join("f"), SIZE, 1);
            set_mtime(&top.join("f"), 1_000_000_000 + n as u64, 1);
        }
        write_noise(&pair.src("other"), MIB, 5);
        if last_chunk_differs {
            change(&pair.src("f"), SIZE - 10, b"different");
            set_mtime(&pair.src("f"), 1_000_000_000, 1);
        }
        let old = fs::metadata(pair.served("f")).unwrap().ino();
        let meddler = rewritten(&pair.served("f"));
        let outcome = pair.send(SendOptions::default()).await;
        meddler.stop();
        assert_same_content(&pair.src("other"), &pair.served("other"));
        let replaced = fs::metadata(pair.served("f")).unwrap().ino() != old;
        match outcome.report.failed {
            0 => assert_same_content(&pair.src("f"), &pair.served("f")),
            _ => assert!(!replaced, "a failed file leaves the old one alone"),
        }
        let again = pair.send(TransferOptions { checksum: true, ..TransferOptions::default() }).await;
        assert!(again.is_clean(), "{again:?}");
        assert_same(&pair.src(""), &pair.served(""));
    }
}

#[tokio::test]
async fn two_jobs_that_send_the_same_file_do_not_mix() {
    let pair = Pair::new();
    write_noise(&pair.src("f"), 32 * MIB, 1);
    let (one, two) = tokio::join!(pair.send(SendOptions::default()), pair.send(SendOptions::default()));
    let done = one.report.done + two.report.done;
    assert!(done >= 1, "{one:?} {two:?}");
    for outcome in [one, two] {
        assert!(outcome.failures().values().all(|status| *status == Status::Busy), "{outcome:?}");
    }
    assert_same(&pair.src(""), &pair.served(""));
}

/// A few large files and many small ones.
fn make_job(top: &Path, large_bytes: u64, small: u64) {
    for n in 0..4 {
        write_noise(&top.join(format!("large/{n}")), large_bytes + n, n);
    }
    for n in 0..small {
        write_noise(&top.join(format!("small/{}/{n}", n % 7)), 4096 + n, n);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_outlives_its_server_and_counts_each_file_once() {
    let mut pair = Pair::new();
    make_job(&pair.src(""), 60 * MIB, 2000);
    let total = total_bytes(&pair.src(""));
    let mut job = pair.sending(SendOptions::default());
    let counters = job.counters();
    let served = pair.served("");
    for round in 1..=2 {
        let enough = round * total / 4;
        until("content to arrive", || allocated(&served) > enough).await;
        pair.drop_server().await;
        pair.restart_server().await;
    }
    let (mut reconnects, mut connects, mut finished) = (0, 0, Vec::new());
    while let Some(event) = job.next().await {
        match event {
            Event::Reconnecting { .. } => reconnects += 1,
            Event::Connected { .. } => connects += 1,
            Event::Finished { file } => finished.push(file.path.clone()),
            Event::Failed { path, failure, .. } => panic!("{path}: {failure}"),
            _ => {}
        }
    }
    let report = job.finish().await.expect("the job ends well");
    assert!(reconnects >= 2 && connects == 3, "{reconnects} reconnects, {connects} connections");
    assert_eq!((report.done + report.skipped, report.failed), (2004, 0), "{report:?}");
    assert_eq!(counters.files_found.load(Ordering::Relaxed), 2004);
    assert_eq!(counters.bytes_found.load(Ordering::Relaxed), total);
    let count = finished.len();
    finished.sort();
    finished.dedup();
    assert_eq!(finished.len(), count, "no file is finished twice");
    let overhead = report.bytes_written.saturating_sub(total);
    println!("{total} bytes, of which {overhead} were sent again over {connects} connections");
    assert!(overhead < total / 4, "{report:?}");
    assert_same(&pair.src(""), &pair.served(""));
}

/// However often the connection breaks, whoever heard of it last, and in the next run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_finds_its_name_taken_steps_aside_once() {
    const SMALL: u64 = 800;
    for is_sent in [true, false] {
        let mut pair = Pair::new();
        let (from, to) = if is_sent { (pair.src(""), pair.served("")) } else { (pair.served(""), pair.got("")) };
        make_job(&from, 24 * MIB, SMALL);
        let total = total_bytes(&from);
        let names = || (0..4).map(|n| format!("large/{n}")).chain((0..SMALL).map(|n| format!("small/{}/{n}", n % 7)));
        names().for_each(|name| write_small(&to.join(name), b"taken"));
        let start = |pair: &Pair| {
            let if_exists = IfExists::Rename;
            if is_sent {
                pair.sending(TransferOptions { if_exists, ..TransferOptions::default() })
            } else {
                pair.getting(TransferOptions { if_exists, ..TransferOptions::default() })
            }
        };
        let job = start(&pair);
        until("content to arrive", || allocated(&to) > total / 2).await;
        pair.drop_server().await;
        pair.restart_server().await;
        let outcome = Outcome::of(job).await;
        assert!(outcome.events.iter().any(|event| matches!(event, Event::Reconnecting { .. })), "sent: {is_sent}");
        assert!(outcome.is_clean(), "{:?}", outcome.report);
        for name in names() {
            assert_eq!(fs::read(to.join(&name)).unwrap(), b"taken");
            assert_same_content(&from.join(&name), &to.join(format!("{name}~1")));
            assert!(!to.join(format!("{name}~2")).exists(), "{name}, sent: {is_sent}");
        }
        let again = Outcome::of(start(&pair)).await.report;
        assert_eq!((again.done, again.skipped, again.failed), (0, SMALL + 4, 0), "sent: {is_sent}");
    }
}

fn write_small(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().expect("below a top")).expect("made");
    fs::write(path, bytes).expect("written");
}

/// Bytes of disk that a tree takes.
fn allocated(top: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(top) else { return 0 };
    let size = |entry: std::io::Result<fs::DirEntry>| {
        let entry = entry.ok()?;
        let meta = entry.metadata().ok()?;
        Some(if meta.is_dir() { allocated(&entry.path()) } else { meta.blocks() * 512 })
    };
    entries.filter_map(size).sum()
}

#[tokio::test]
async fn a_job_that_is_dropped_lets_go_at_once_and_is_continued_by_the_next() {
    let pair = Pair::new();
    write_noise(&pair.src("f"), 128 * MIB, 1);
    // Which of its parts hears first that a job is dropped is a matter of luck.
    for round in 1..=5 {
        let job = pair.sending(SendOptions::default());
        until("content to arrive", || allocated(&pair.served("")) > round * 16 * MIB).await;
        drop(job);
        let why = pair.disconnected().await;
        assert!(!why.contains("timed out"), "the server was not told: {why}");
        until("the connection to end", || pair.connections() == 0).await;
    }
    let report = pair.send(SendOptions::default()).await.report;
    assert!(report.done == 1 && report.bytes_written < 64 * MIB, "{report:?}");
    assert_eq!(facts(&pair.src("f")), facts(&pair.served("f")));
    assert_same(&pair.src(""), &pair.served(""));
}
