//! Parts written and committed, without a network: small files in a group, a large one by each way of writing.
//!
//! `cargo bench --bench disk [-- FILTER]`, in `$QFT_BENCH_DIR`, else the system's temporary directory. Ways take turns,
//! so that a busy disk hits all of them alike; one line each run.

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use qft::protocol::message::Mtime;
use qft::protocol::path::WirePath;
use qft::storage::{Commit, Committer, Fresh, Owner, Part, Replace, Root, Sync};

/// How often each way has its turn.
const RUNS: usize = 3;

const MTIME: Mtime = Mtime { secs: 1_234_567_890, nanos: 0 };
const SMALL_FILES: usize = 1000;
const SMALL_BYTES: usize = 16 << 10;
const LARGE_BYTES: u64 = 1 << 30;
const PIECE_BYTES: usize = 1 << 20;

/// How a large file is written.
struct Way {
    name: &'static str,
    reserve: bool,
    early: bool,
}

const WAYS: [Way; 4] = [
    Way { name: "as it comes", reserve: false, early: false },
    Way { name: "reserved", reserve: true, early: false },
    Way { name: "early write-back", reserve: false, early: true },
    Way { name: "both", reserve: true, early: true },
];

fn main() {
    let filter = std::env::args().skip(1).find(|arg| !arg.starts_with('-')).unwrap_or_default();
    let dir = std::env::var_os("QFT_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let place = tempfile::Builder::new().prefix("qft-bench").tempdir_in(dir).expect("a scratch directory");
    println!("{:<16} {:<18} {:<8} {:>9} {:>9}", "load", "how", "sync", "write s", "commit s");
    for _ in 0..RUNS {
        for sync in [Sync::None, Sync::Durable] {
            if "small".contains(&filter) {
                report("1000 x 16 KiB", "", sync, small_files(&fresh(place.path()), sync));
            }
            for way in WAYS.iter().filter(|_| "large".contains(&filter)) {
                report("1 x 1 GiB", way.name, sync, large_file(&fresh(place.path()), way, sync));
            }
        }
    }
}

/// An empty directory; what the run before left is gone.
fn fresh(place: &Path) -> Root {
    let top = place.join("root");
    if top.exists() {
        std::fs::remove_dir_all(&top).expect("it is ours");
    }
    std::fs::create_dir(&top).expect("a directory");
    Root::open(&top).expect("it was just made")
}

fn report(load: &str, how: &str, sync: Sync, (written, committed): (Duration, Duration)) {
    let sync = if sync == Sync::Durable { "durable" } else { "none" };
    println!("{load:<16} {how:<18} {sync:<8} {:>9.3} {:>9.3}", written.as_secs_f64(), committed.as_secs_f64());
}

fn open(root: &Root, name: &str) -> Part {
    let path = WirePath::parse(name.as_bytes()).expect("a plain name");
    Part::open(root, &path, Owner::Anyone, Fresh::Yes).expect("a part")
}

/// Content that is neither zero nor the same in every block.
fn piece(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|n| (n * 31 + n / 4096 + 1) as u8 | 1).collect()
}

fn small_files(root: &Root, sync: Sync) -> (Duration, Duration) {
    let content = piece(SMALL_BYTES);
    let start = Instant::now();
    let parts = (0..SMALL_FILES).map(|n| {
        let part = open(root, &format!("d/{n}"));
        part.write_at(&content, 0).expect("room");
        part
    });
    let parts: Vec<_> = parts.collect();
    let written = start.elapsed();
    (written, commit(parts, SMALL_BYTES as u64, sync))
}

fn large_file(root: &Root, way: &Way, sync: Sync) -> (Duration, Duration) {
    let content = piece(PIECE_BYTES);
    let part = open(root, "a");
    let start = Instant::now();
    if way.early {
        part.write_back_early();
    }
    if way.reserve {
        part.reserve(LARGE_BYTES).expect("room");
    }
    for offset in (0..LARGE_BYTES).step_by(PIECE_BYTES) {
        part.write_at(&content, offset).expect("room");
    }
    let written = start.elapsed();
    (written, commit(vec![part], LARGE_BYTES, sync))
}

fn commit(parts: Vec<Part>, size: u64, sync: Sync) -> Duration {
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
