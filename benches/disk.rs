//! Parts written and committed, without a network: small files in a group, a large one by each way of writing.
//!
//! `cargo bench --bench disk [-- FILTER]`, in `$QFT_BENCH_DIR`, else the system's temporary directory; needs 2 GiB there.
//! Ways take turns, so that a busy disk hits all of them alike, each starts with a clean disk, and figures are medians,
//! with all of their runs behind them.

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use qft::protocol::message::Mtime;
use qft::protocol::path::WirePath;
use qft::testing::storage::{Commit, Committer, Destination, Durability, Fresh, Owner, Part, Replace, Root};

/// Runs a figure is the median of.
const RUNS: usize = 5;

const MTIME: Mtime = Mtime { secs: 1_234_567_890, nanos: 0 };
const SMALL_FILES: usize = 1000;
const SMALL_BYTES: usize = 16 << 10;
const LARGE_BYTES: u64 = 1 << 30;
const PIECE_BYTES: usize = 1 << 20;

/// What is written, and how.
struct Case {
    load: &'static str,
    how: &'static str,
    write: Write,
}

enum Write {
    Small,
    Large { reserve: bool, early: bool },
}

const CASES: [Case; 5] = [
    Case { load: "1000 x 16 KiB", how: "in a group", write: Write::Small },
    Case { load: "1 x 1 GiB", how: "as it comes", write: Write::Large { reserve: false, early: false } },
    Case { load: "1 x 1 GiB", how: "reserved", write: Write::Large { reserve: true, early: false } },
    Case { load: "1 x 1 GiB", how: "early write-back", write: Write::Large { reserve: false, early: true } },
    Case { load: "1 x 1 GiB", how: "both", write: Write::Large { reserve: true, early: true } },
];
const SYNCS: [Durability; 2] = [Durability::Unsynced, Durability::Synced];

/// What one run took.
struct Run {
    written: Duration,
    committed: Duration,
}

fn main() {
    let filter = std::env::args().skip(1).find(|arg| !arg.starts_with('-')).unwrap_or_default();
    let dir = std::env::var_os("QFT_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let place = tempfile::Builder::new().prefix("qft-bench").tempdir_in(dir).expect("a scratch directory");
    let chosen = CASES.iter().filter(|case| case.load.contains(&filter) || case.how.contains(&filter));
    let mut rows: Vec<_> = chosen.flat_map(|case| SYNCS.map(|sync| (case, sync, Vec::new()))).collect();
    for _ in 0..RUNS {
        for (case, sync, runs) in &mut rows {
            runs.push(run(case, *sync, place.path()));
        }
    }
    println!("{:<14} {:<17} {:<8} {:>8} {:>8}  all runs", "load", "how", "sync", "write s", "commit s");
    for (case, sync, runs) in &rows {
        report(case, *sync, runs);
    }
}

/// One run, in a directory of its own.
fn run(case: &Case, sync: Durability, place: &Path) -> Run {
    // Many small files stay until the very end: ext4 does not use inodes that were freed within the last minute, and
    // searches past them.
    let stays = matches!(case.write, Write::Small);
    let dir = tempfile::Builder::new().disable_cleanup(stays).tempdir_in(place).expect("a directory");
    let root = Root::open(dir.path()).expect("it was just made").destination();
    // What the run before left is written now, not while this one is timed.
    rustix::fs::sync();
    match case.write {
        Write::Small => small_files(&root, sync),
        Write::Large { reserve, early } => large_file(&root, reserve, early, sync),
    }
}

fn report(case: &Case, sync: Durability, runs: &[Run]) {
    let sorted = |of: fn(&Run) -> Duration| {
        let mut seconds: Vec<_> = runs.iter().map(|run| of(run).as_secs_f64()).collect();
        seconds.sort_by(f64::total_cmp);
        seconds
    };
    let (written, committed) = (sorted(|run| run.written), sorted(|run| run.committed));
    let all: Vec<_> = sorted(|run| run.written + run.committed).iter().map(|all| format!("{all:.2}")).collect();
    let sync = if sync == Durability::Synced { "durable" } else { "none" };
    let (written, committed, all) = (written[RUNS / 2], committed[RUNS / 2], all.join(" "));
    println!("{:<14} {:<17} {sync:<8} {written:>8.3} {committed:>8.3}  {all}", case.load, case.how);
}

fn open(root: &Destination, name: &str) -> Part {
    let path = WirePath::parse(name.as_bytes()).expect("a plain name");
    Part::open(root, &path, Owner::Anyone, Fresh::Yes).expect("a part")
}

/// Content that is neither zero nor the same in every block.
fn piece(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|n| (n * 31 + n / 4096 + 1) as u8 | 1).collect()
}

fn small_files(root: &Destination, sync: Durability) -> Run {
    let content = piece(SMALL_BYTES);
    let start = Instant::now();
    let parts = (0..SMALL_FILES).map(|n| {
        let part = open(root, &format!("d/{n}"));
        part.write_at(&content, 0).expect("room");
        part
    });
    let parts: Vec<_> = parts.collect();
    let written = start.elapsed();
    Run { written, committed: commit(parts, SMALL_BYTES as u64, sync) }
}

fn large_file(root: &Destination, reserve: bool, early: bool, sync: Durability) -> Run {
    let content = piece(PIECE_BYTES);
    let part = open(root, "a");
    let start = Instant::now();
    if early {
        part.write_back_early();
    }
    if reserve {
        part.reserve(LARGE_BYTES).expect("room");
    }
    for offset in (0..LARGE_BYTES).step_by(PIECE_BYTES) {
        part.write_at(&content, offset).expect("room");
    }
    let written = start.elapsed();
    Run { written, committed: commit(vec![part], LARGE_BYTES, sync) }
}

fn commit(parts: Vec<Part>, size: u64, sync: Durability) -> Duration {
    let committer = Committer::start(sync).expect("a thread");
    let (sender, outcomes) = mpsc::channel();
    let count = parts.len();
    let start = Instant::now();
    for part in parts {
        let sender = sender.clone();
        let commit = Commit { part, size, mtime: MTIME, mode: 0o644, replace: Replace::Yes };
        committer.submit(commit, Box::new(move |done| sender.send(done).expect("someone waits")));
    }
    for _ in 0..count {
        outcomes.recv().expect("an answer each").expect("committed");
    }
    start.elapsed()
}
