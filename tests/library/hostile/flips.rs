//! Directories that somebody exchanges for links while files come and go.
//!
//! `QFT_FLIPS=1000000` flips that often for each role, instead of a few thousand times.

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::SystemTime;

use qft::progress::JobReport;
use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::*;

const FLIPS: &str = "QFT_FLIPS";
/// Unless the variable says otherwise.
const FLIPS_USUALLY: u64 = 10_000;
/// Jobs that run beside the flips at least.
const JOBS_MIN: u64 = 10;
/// What is looked for where it must not be.
const CANARY: &[u8] = b"canary";
/// Files of the tree that is sent, and of the place that nobody may touch or read.
const NAMES: [&str; 4] = ["a", "b", "sub/c", "sub/deep/d"];

/// Exchanges a directory for a link again and again, on a thread of its own.
struct Flipper {
    enough: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
}

impl Flipper {
    /// `None` where the system cannot exchange names.
    fn start(dir: PathBuf, link: PathBuf) -> Option<Self> {
        let flip = move || renameat_with(CWD, &dir, CWD, &link, RenameFlags::EXCHANGE);
        if let Err(error) = flip().and_then(|()| flip()) {
            println!("skipped: two names cannot be exchanged here: {error}");
            return None;
        }
        let enough = Arc::new(AtomicBool::new(false));
        let is_enough = enough.clone();
        let thread = std::thread::spawn(move || {
            let mut flips = 0;
            // It ends with the directory where it was.
            while flips % 2 == 1 || flips < wanted() || !is_enough.load(Ordering::Relaxed) {
                flip().expect("both are still there");
                flips += 1;
            }
            flips
        });
        Some(Self { enough, thread })
    }

    /// Runs jobs until the flips are done; returns what came of all, in words.
    async fn beside(self, mut job: impl AsyncFnMut(u64) -> JobReport) -> String {
        let (mut jobs, mut done, mut failed) = (0, 0, 0);
        while jobs < JOBS_MIN || !self.thread.is_finished() {
            self.enough.store(jobs + 1 >= JOBS_MIN, Ordering::Relaxed);
            let report = job(jobs).await;
            jobs += 1;
            done += report.done;
            failed += report.failed;
        }
        let flips = self.thread.join().unwrap();
        assert!(flips >= wanted());
        format!("{flips} flips beside {jobs} jobs; {done} files came through, {failed} failed, none escaped")
    }
}

fn wanted() -> u64 {
    std::env::var(FLIPS).map_or(FLIPS_USUALLY, |count| count.parse().expect("QFT_FLIPS is a number"))
}

/// All that can be told of a tree: names, kinds, modes, times and contents.
fn snapshot(top: &Path) -> Vec<impl PartialEq + Debug> {
    let mut found = Vec::new();
    let mut paths = vec![top.to_owned()];
    while let Some(path) = paths.pop() {
        let meta = path.symlink_metadata().unwrap();
        let content = if meta.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
        if meta.is_dir() {
            paths.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        found.push((path, meta.permissions(), meta.modified().unwrap(), content));
    }
    found.sort_by(|one, other| one.0.cmp(&other.0));
    found
}

/// A tree of files of one size and time.
fn write_tree(top: &Path, content: &[u8], time: SystemTime) {
    for name in NAMES {
        let path = top.join(name);
        field::write(&path, content);
        fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
    }
}

/// A place that nobody may touch, relative to `top`, and a link to it beside a directory of the same names.
fn elsewhere(top: &Path, target: &str) -> PathBuf {
    let place = top.join(target);
    write_tree(&place, CANARY, SystemTime::UNIX_EPOCH);
    fs::create_dir_all(top.join("d")).unwrap();
    symlink(target, top.join("l")).unwrap();
    place
}

/// Another content and time for each job, so that all of it is sent.
fn changed(top: &Path, job: u64) {
    write_tree(top, format!("{job:06}").as_bytes(), SystemTime::now());
    let _ = fs::remove_file(top.join("link"));
    symlink(format!("{job}"), top.join("link")).unwrap();
}

async fn ended(job: Job) -> JobReport {
    soon("the job's end", job.finish()).await.unwrap()
}

fn client(field: &Field) -> Client {
    Client::builder(field.honest.clone()).build().unwrap()
}

/// The tree of the last job is there, and nothing else.
fn is_whole(top: &Path, expected: &Path) {
    for name in NAMES {
        assert_eq!(fs::read(top.join(name)).unwrap(), fs::read(expected.join(name)).unwrap(), "{name}");
    }
}

/// No file below `top` holds what nobody may read.
fn holds_no_canary(top: &Path) {
    for name in field::names(top) {
        let path = top.join(&name);
        assert!(path.is_symlink() || fs::read(&path).unwrap() != CANARY, "{name} escaped");
    }
}

#[tokio::test]
async fn a_receiving_server_writes_nowhere_but_where_it_was_told() {
    for target in ["../outside", "inside"] {
        let field = Field::new();
        let elsewhere = elsewhere(&field.path(""), target);
        let before = snapshot(&elsewhere);
        let Some(flipper) = Flipper::start(field.path("d"), field.path("l")) else { return };
        let sources = tempfile::tempdir().unwrap();
        let source = sources.path().join("d");
        let client = client(&field);
        let send = async |job| {
            changed(&source, job);
            let options = SendOptions { links: Links::Copy, ..SendOptions::default() };
            ended(client.send(field.ticket(), vec![source.clone()], options)).await
        };
        let counts = flipper.beside(send).await;
        assert!(snapshot(&elsewhere) == before, "something in {target} was touched");
        println!("a receiving server, link to {target}: {counts}");
        assert_eq!(send(999_999).await.failed, 0);
        is_whole(&field.path("d"), &source);
    }
}

#[tokio::test]
async fn a_receiving_client_writes_nothing_outside_of_its_destination() {
    let field = Field::new();
    let place = tempfile::tempdir().unwrap();
    let into = place.path().join("into");
    fs::create_dir(&into).unwrap();
    let outside = elsewhere(&into, "../outside");
    let before = snapshot(&outside);
    let Some(flipper) = Flipper::start(into.join("d"), into.join("l")) else { return };
    let client = client(&field);
    let get = async |job| {
        changed(&field.path("d"), job);
        let options = GetOptions { links: true, ..GetOptions::default() };
        ended(client.get(field.ticket(), vec![b"d".to_vec()], into.clone(), options)).await
    };
    let counts = flipper.beside(get).await;
    assert!(snapshot(&outside) == before, "something outside was touched");
    println!("a receiving client: {counts}");
    assert_eq!(get(999_999).await.failed, 0);
    is_whole(&into.join("d"), &field.path("d"));
}

#[tokio::test]
async fn a_sending_client_reads_nothing_outside_of_what_was_named() {
    let field = Field::new();
    let place = tempfile::tempdir().unwrap();
    let source = place.path().join("source");
    fs::create_dir(&source).unwrap();
    elsewhere(&source, "../outside");
    write_tree(&source.join("d"), &CANARY.to_ascii_uppercase(), SystemTime::UNIX_EPOCH);
    let Some(flipper) = Flipper::start(source.join("d"), source.join("l")) else { return };
    let client = client(&field);
    let send = async |job| {
        let to = Some(path(&format!("job{job}")));
        let options = SendOptions { to, ..SendOptions::default() };
        let report = ended(client.send(field.ticket(), vec![source.clone()], options)).await;
        holds_no_canary(&field.path(""));
        report
    };
    println!("a sending client: {}", flipper.beside(send).await);
    let report = send(999_999).await;
    assert_eq!((report.done, report.failed), (NAMES.len() as u64, 0));
}

#[tokio::test]
async fn a_sending_server_reads_nothing_but_what_the_names_say() {
    for target in ["../outside", "inside"] {
        let field = Field::new();
        elsewhere(&field.path(""), target);
        write_tree(&field.path("d"), &CANARY.to_ascii_uppercase(), SystemTime::UNIX_EPOCH);
        let Some(flipper) = Flipper::start(field.path("d"), field.path("l")) else { return };
        let client = client(&field);
        let get = async |_| {
            let into = tempfile::tempdir().unwrap();
            let wanted = ["d/sub/", "d/*", "d", "d/**"].map(|pattern| pattern.as_bytes().to_vec());
            let job = client.get(field.ticket(), wanted.to_vec(), into.path().to_owned(), GetOptions::default());
            let report = ended(job).await;
            holds_no_canary(into.path());
            report
        };
        println!("a sending server, link to {target}: {}", flipper.beside(get).await);
        let report = get(0).await;
        assert!(report.done >= NAMES.len() as u64, "{report:?}");
    }
}
