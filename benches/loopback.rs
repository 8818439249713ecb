//! Disk to disk over loopback, the whole QUIC path, beside `cp` in the same run.
//!
//! `cargo bench --bench loopback [-- FILTER]`. Every copy is compared byte by byte. Figures are medians of
//! a few runs in this process (client and server share it, as with `local:`); `cp` is a fresh process.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use qft::client::{Client, SendOptions};
use qft::server::{Access, Server};
use qft::transport::{Identity, Ticket};

/// Runs a figure is the median of.
const RUNS: usize = 5;

/// One workload.
struct Load {
    name: &'static str,
    files: usize,
    size: usize,
}

const LOADS: [Load; 3] = [
    Load { name: "1 x 1 GiB", files: 1, size: 1 << 30 },
    Load { name: "1000 x 16 KiB", files: 1000, size: 16 << 10 },
    Load { name: "10000 x 1 KiB", files: 10_000, size: 1 << 10 },
];

fn main() {
    let filter = std::env::args().skip(1).find(|arg| !arg.starts_with('-')).unwrap_or_default();
    let place = tempfile::Builder::new().prefix("qft-bench").tempdir_in(bench_dir()).expect("a scratch directory");
    println!("{:<16} {:<12} {:>9} {:>10} {:>10}", "load", "how", "seconds", "MiB/s", "files/s");
    for load in LOADS.iter().filter(|load| load.name.contains(&filter)) {
        let source = place.path().join("source");
        make(&source, load);
        let targets = place.path().join("targets");
        std::fs::create_dir(&targets).expect("a directory");
        // A new target each time, and none removed in between: ext4 is slow to use inodes that were just freed.
        let mut number = 0;
        let mut target = || {
            number += 1;
            targets.join(number.to_string())
        };
        report(load, "cp -r", median(|| timed_cp(&source, &target(), false)));
        report(load, "cp -r + sync", median(|| timed_cp(&source, &target(), true)));
        report(load, "qft --no-sync", median(|| timed_qft(&source, &target(), false)));
        report(load, "qft", median(|| timed_qft(&source, &target(), true)));
        std::fs::remove_dir_all(&targets).expect("the targets are ours");
        std::fs::remove_dir_all(&source).expect("the source is ours");
    }
}

/// Where to measure: `$QFT_BENCH_DIR`, else the system's temporary directory.
fn bench_dir() -> PathBuf {
    std::env::var_os("QFT_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from)
}

/// Content that neither compresses nor repeats, made quickly (xorshift64*).
fn make(dir: &Path, load: &Load) {
    std::fs::create_dir_all(dir).expect("a directory");
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut content = vec![0; load.size];
    for file in 0..load.files {
        for word in content.chunks_exact_mut(8) {
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            word.copy_from_slice(&state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
        }
        std::fs::write(dir.join(format!("file-{file:05}")), &content).expect("a file");
    }
}

fn median(mut run: impl FnMut() -> Duration) -> Duration {
    let mut times: Vec<_> = (0..RUNS).map(|_| run()).collect();
    times.sort_unstable();
    times[RUNS / 2]
}

fn report(load: &Load, how: &str, time: Duration) {
    let seconds = time.as_secs_f64();
    let mebibytes = (load.files * load.size) as f64 / f64::from(1 << 20);
    let (rate, files) = (mebibytes / seconds, load.files as f64 / seconds);
    println!("{:<16} {how:<12} {seconds:>9.3} {rate:>10.0} {files:>10.0}", load.name);
}

fn timed_cp(source: &Path, target: &Path, sync: bool) -> Duration {
    let start = Instant::now();
    let copied = Command::new("cp").arg("-r").arg(source).arg(target).status().expect("cp runs");
    assert!(copied.success());
    if sync {
        let synced = Command::new("sync").arg("-f").arg(target).status().expect("sync runs");
        assert!(synced.success());
    }
    start.elapsed()
}

fn timed_qft(source: &Path, target: &Path, sync: bool) -> Duration {
    let identity = Identity::ephemeral().expect("a key");
    let server = Server::builder(target.to_owned(), Identity::ephemeral().expect("a key"))
        .workers(NonZeroUsize::MIN)
        .access(Access::Only(vec![identity.fingerprint()]))
        .sync(sync)
        .start()
        .expect("a server");
    let (fingerprint, port) = (server.fingerprint(), server.local_addr().port());
    let remote = Ticket { fingerprint, invite: None, host: "127.0.0.1".to_owned(), port };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let start = Instant::now();
    let report = runtime.block_on(async {
        let client = Client::builder(identity).build().expect("a client");
        client.send(remote, vec![source.join("")], SendOptions::default()).finish().await.expect("sent")
    });
    let time = start.elapsed();
    assert_eq!(report.failed, 0, "{:?}", report.failures);
    let same = Command::new("diff").arg("-r").arg(source).arg(target).status().expect("diff runs");
    assert!(same.success(), "the copy differs");
    time
}
