//! Very many small files in one job. What is looked at is the memory of a process that holds both ends.

use std::fs;
use std::path::Path;

use crate::support::alone::is_alone;
use crate::support::pair::Pair;
use crate::support::tree::assert_same;
use qft::client::{GetOptions, SendOptions};

/// Files of an ordinary run, more than may be on offer at once; `QFT_TEST_FILES=100000` takes more.
const FILES: u64 = 10_000;
const FILE_BYTES: usize = 100;

/// Most memory in KiB that both ends take together, however many files there are. Measured: 68 MB with 20,000,
/// 84 MB with 40,000; what waits for the disk makes the difference, and at most 8192 files are on offer at once.
const MEMORY_MAX_KIB: u64 = 160 * 1024;

fn make(top: &Path, files: u64) {
    for n in 0..files {
        let dir = top.join(format!("{}/{}", n % 10, n / 10 % 20));
        if n < 200 {
            fs::create_dir_all(&dir).expect("directories");
        }
        let mut content = [n as u8; FILE_BYTES];
        content[..8].copy_from_slice(&n.to_le_bytes());
        fs::write(dir.join(format!("file {n}")), content).expect("written");
    }
}

/// The most memory that this process has taken since [`forget_the_most`], in KiB.
fn most_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("it can be read");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the kernel counts it");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

fn forget_the_most() {
    fs::write("/proc/self/clear_refs", "5").expect("the count can be reset");
}

/// Sends and fetches that many files, and returns the most memory that it took.
async fn there_and_back(files: u64) -> u64 {
    let pair = Pair::new();
    make(&pair.src(""), files);
    let bytes = files * FILE_BYTES as u64;
    forget_the_most();
    for (done, skipped) in [(files, 0), (0, files)] {
        // Nobody keeps the events here, so that only what a job itself keeps is measured.
        let report = pair.sending(SendOptions::default()).finish().await.expect("the job ends well");
        assert_eq!((report.done, report.skipped, report.failed), (done, skipped, 0));
        assert_eq!((report.bytes_written, report.bytes_skipped), (done * 100, bytes - done * 100));
    }
    let report = pair.getting(GetOptions::default()).finish().await.expect("the job ends well");
    assert_eq!((report.done, report.failed, report.bytes_written), (files, 0, bytes));
    let memory = most_memory();
    assert_same(&pair.src(""), &pair.served(""));
    assert_same(&pair.src(""), &pair.got(""));
    memory
}

#[tokio::test]
async fn memory_stays_flat_however_many_files_there_are() {
    if !is_alone("many::memory_stays_flat_however_many_files_there_are") {
        return;
    }
    qft::testing::storage::allow_many_open_files();
    let files = std::env::var("QFT_TEST_FILES").ok().and_then(|text| text.parse().ok()).unwrap_or(FILES);
    let start = std::time::Instant::now();
    let memory = there_and_back(files).await;
    println!("{files} files: {memory} KiB, {:.1?}", start.elapsed());
    assert!(memory <= MEMORY_MAX_KIB, "{memory} KiB");
}
