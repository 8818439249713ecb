//! The real program, killed without warning at either end, and a disk that does not keep what it promised.
//!
//! An ordinary run kills 8 times in either direction in a job of 50 MB; `QFT_TEST_KILL_SHARE=1` makes it 300 MB, and
//! `QFT_TEST_KILLS=100` kills more often.

mod place;

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::tree::{Noise, assert_same, listing, part_of, parts, total_bytes, walk, write_noise};
use place::{Place, Process, Way, wait_for};
use serde_json::Value;

const MIB: u64 = 1 << 20;

/// Kills of an ordinary run in one direction: each end, by time and by what has arrived, twice.
const KILLS: u64 = 8;

/// Of the job of 300 MB an ordinary run takes a sixth, for the sake of slow disks: it is written more than thirty times.
const SHARE: u64 = 6;

/// What may be sent again although the disk seems to have it: a chunk that is being written on each of a few
/// disk threads is there in part only.
const SLACK_BYTES: u64 = 8 * MIB;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Client,
    Server,
}

/// A few large files, many small ones, and all between: 300 MB, or that divided by `share`.
fn make_job(top: &Path, share: u64) {
    for (n, size) in [100 * MIB + 1, 50 * MIB, 30 * MIB + 12_345].into_iter().enumerate() {
        write_noise(&top.join(format!("large/{n}")), size / share, n as u64);
    }
    let mut noise = Noise::new(7);
    for n in 0..100 / share {
        write_noise(&top.join(format!("middle/{n}")), 200_000 + noise.below(1_500_000), n);
    }
    for n in 0..2500 / share {
        write_noise(&top.join(format!("small/{}/{n}", n % 13)), noise.below(20_000), n);
    }
}

/// A number from the environment.
fn setting(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// Runs a command to its end and returns its summary.
fn run_to_the_end(command: &mut Command) -> Value {
    let output = command.stdin(Stdio::null()).output().expect("the program runs");
    let text = String::from_utf8(output.stdout).expect("JSON is UTF-8");
    let last = text.lines().last().unwrap_or_default();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{last} {errors}");
    let summary: Value = serde_json::from_str(last).expect("the last line is the summary");
    assert_eq!((&summary["type"], &summary["files_failed"]), (&"summary".into(), &0.into()), "{text}");
    summary
}

fn number(summary: &Value, key: &str) -> u64 {
    summary[key].as_u64().expect("a number")
}

/// Bytes of the job that a later run need not fetch again: files under their names, whole chunks of parts.
fn kept(job: &Path, arrived: &Path) -> u64 {
    let size_and_blocks = |path: &Path| fs::metadata(path).map(|meta| (meta.len(), meta.blocks() * 512)).ok();
    let mut kept = 0;
    for (path, facts) in listing(job).iter().filter(|(_, facts)| facts.kind == "file") {
        let there = arrived.join(path);
        if size_and_blocks(&there).is_some() {
            kept += facts.size;
        } else if let Some((len, on_disk)) = size_and_blocks(&part_of(&there)) {
            // Chunks come in any order: what is not on the disk is a hole in the part.
            let is_whole = len == facts.size && on_disk >= len;
            kept += if is_whole { len } else { len.min(on_disk) / MIB * MIB };
        }
    }
    kept
}

/// Waits for the moment of the kill: at a random time, or when a random share has arrived.
fn wait_for_the_moment(noise: &mut Noise, by_time: Option<Duration>, client: &mut Process, arrived: &Path, total: u64) {
    let start = Instant::now();
    let share = 1 + noise.below(95);
    let is_time = || match by_time {
        Some(whole) => start.elapsed() >= whole * share as u32 / 100,
        None => on_disk(arrived) >= total * share / 100,
    };
    wait_for("the moment", || is_time() || client.has_ended());
}

/// Bytes of disk that a tree takes, while it changes.
fn on_disk(top: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(top) else { return 0 };
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => on_disk(&entry.path()),
        Ok(meta) => meta.blocks() * 512,
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}

/// A job that is killed again and again.
struct Ordeal {
    way: Way,
    /// Ends before the directory goes.
    server: Process,
    place: Place,
    ticket: String,
    /// Bytes of the job.
    total: u64,
    /// How long it takes when nobody disturbs it.
    lasts: Duration,
    noise: Noise,
}

/// What one kill came to.
struct Round {
    /// Whether the job was still running.
    was_cut: bool,
    /// Bytes that were sent although the receiver had them.
    again: u64,
}

impl Ordeal {
    /// Runs the whole job once; `id` names what it leaves.
    fn new(way: Way, share: u64, id: u64) -> Self {
        let place = Place::new();
        let source = place.source(way);
        make_job(&source, share);
        let total = total_bytes(&source);
        let (server, ticket) = place.serve("127.0.0.1:0");
        let start = Instant::now();
        let whole = run_to_the_end(&mut place.command(way, &ticket, id));
        let lasts = start.elapsed();
        assert_eq!(number(&whole, "bytes_written"), total);
        assert_same(&source, &place.destination(way, id));
        fs::remove_dir_all(place.destination(way, id)).unwrap();
        Self { way, server, place, ticket, total, lasts, noise: Noise::new(2026) }
    }

    /// Kills one of the two in the middle of the job, then runs the same command to its end.
    fn round(&mut self, round: u64) -> Round {
        // All combinations, one after the other.
        let bit = |place: u32| round >> place & 1 == 1;
        let victim = if bit(0) { Victim::Server } else { Victim::Client };
        let by_time = (!bit(1)).then_some(self.lasts);
        let way = self.way;
        let (source, arrived) = (self.place.source(way), self.place.destination(way, round));
        let begun = Instant::now();
        let mut command = self.place.command(way, &self.ticket, round);
        let mut client = Process::start(command.stdout(Stdio::null()).stderr(Stdio::null()));
        wait_for_the_moment(&mut self.noise, by_time, &mut client, &arrived, self.total);
        let moment = begun.elapsed();
        let was_cut = !client.has_ended();
        self.kill(victim, client);
        let kept = kept(&source, &arrived);
        let start = Instant::now();
        let summary = run_to_the_end(&mut self.place.command(way, &self.ticket, round));
        let took = start.elapsed();
        assert_same(&source, &arrived);
        let written = number(&summary, "bytes_written");
        let again = written.saturating_sub(self.total - kept);
        println!(
            "round {round}: {victim:?} killed after {moment:.1?} of {way:?}, {kept} of {} bytes kept, \
             {written} written then in {took:.1?}, {again} of them again",
            self.total
        );
        fs::remove_dir_all(&arrived).unwrap();
        Round { was_cut, again }
    }

    /// A server that was killed is started again.
    fn kill(&mut self, victim: Victim, mut client: Process) {
        match victim {
            Victim::Client => client.kill(),
            Victim::Server => {
                self.server.kill();
                let status = client.interrupt();
                let interrupted = status.signal() == Some(rustix::process::Signal::INT.as_raw());
                assert!(status.success() || interrupted, "{status}");
                let address = self.ticket.rsplit('@').next().expect("a ticket has an address");
                self.server = self.place.serve(address).0;
            }
        }
    }
}

#[test]
fn killed_at_random_points_the_same_send_finishes_and_sends_nothing_twice() {
    killed_at_random_points(Way::Send);
}

#[test]
fn killed_at_random_points_the_same_get_finishes_and_fetches_nothing_twice() {
    killed_at_random_points(Way::Get);
}

fn killed_at_random_points(way: Way) {
    let kills = setting("QFT_TEST_KILLS", KILLS);
    let mut ordeal = Ordeal::new(way, setting("QFT_TEST_KILL_SHARE", SHARE), kills);
    let (mut cut, mut sent_again) = (0, Vec::new());
    for round in 0..kills {
        let Round { was_cut, again } = ordeal.round(round);
        assert!(again <= SLACK_BYTES, "{again} bytes were sent again");
        cut += u64::from(was_cut);
        sent_again.push(again);
    }
    let most = sent_again.iter().max().copied().unwrap_or_default();
    println!(
        "{cut} of {kills} kills hit a running job of {:?}; sent again: {most} bytes at most, {} in all",
        ordeal.lasts,
        sent_again.iter().sum::<u64>()
    );
    assert!(cut * 2 >= kills, "most kills came too late: {cut} of {kills}");
    assert!(parts(&ordeal.place.path("served")).is_empty());
}

#[test]
fn a_client_goes_on_when_its_killed_server_is_started_again() {
    let place = Place::new();
    write_noise(&place.path("src/large"), 128 * MIB, 5);
    let (mut server, ticket) = place.serve("127.0.0.1:0");
    let address = ticket.rsplit('@').next().expect("a ticket has an address").to_owned();
    let log = place.path("client log");
    let mut command = place.command(Way::Send, &ticket, 0);
    command.stdout(fs::File::create(&log).expect("a log")).stderr(Stdio::null());
    let mut client = Process::start(&mut command);
    let arrived = place.destination(Way::Send, 0);
    wait_for("some content", || on_disk(&arrived) >= 8 * MIB || client.has_ended());
    server.kill();
    assert!(!client.has_ended(), "the file was too small to be interrupted");
    let _server = place.serve(&address).0;
    wait_for("the client", || client.has_ended());
    let status = client.0.wait().expect("it has ended");
    let text = fs::read_to_string(&log).expect("a log");
    assert_eq!(status.code(), Some(0), "{text}");
    // The new server said that it knows no such connection; silence would have been called a timeout.
    assert!(text.lines().any(|line| line.contains("reconnecting") && line.contains("reset")), "{text}");
    assert_same(&place.path("src"), &arrived);
    assert!(parts(&place.path("served")).is_empty());
}

/// Whether strace is there and may trace.
fn has_strace() -> bool {
    let status = Command::new("strace").args(["-qq", "-e", "trace=none", "true"]).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

#[test]
fn a_disk_that_cannot_sync_gets_no_file_called_done() {
    if !has_strace() {
        println!("skipped: strace is not here or may not trace");
        return;
    }
    let place = Place::new();
    // More than are synced one by one, so that both ways of syncing are hit.
    for n in 0..30 {
        write_noise(&place.path(&format!("src/{n}")), 3000 + n, n);
    }
    write_noise(&place.path("src/large"), 3 * MIB, 99);
    write_noise(&place.path("first"), 10, 1);
    // Both homes are complete before syncs begin to fail, and the client is enrolled.
    let (server, ticket) = place.serve("127.0.0.1:0");
    run_to_the_end(place.qft("client home").arg("send").arg(place.path("first")).args(["--to", &ticket, "--json"]));
    drop(server);
    let log = place.path("server log");
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync,syncfs"]);
    command.args(["-e", "inject=fsync,fdatasync,syncfs:error=EIO"]).arg(env!("CARGO_BIN_EXE_qft"));
    command.env("QFT_HOME", place.path("server home")).arg("serve").arg(place.path("served"));
    command.args(["-l", "127.0.0.1:0", "--json"]).stdout(fs::File::create(&log).unwrap()).stderr(Stdio::null());
    let _server = Process::start(&mut command);
    let mut start = Value::Null;
    wait_for("the server", || {
        let text = fs::read_to_string(&log).unwrap_or_default();
        start = text.lines().next().and_then(|line| serde_json::from_str(line).ok()).unwrap_or_default();
        start["address"].is_string()
    });
    let text = |key: &str| start[key].as_str().expect("a text").to_owned();
    let remote = format!("qft://{}@{}", text("fingerprint"), text("address"));
    let mut send = place.qft("client home");
    send.arg("send").arg(place.path("src/")).args(["--to", &remote, "--json"]).stdin(Stdio::null());
    let output = send.output().expect("the program runs");
    let events = String::from_utf8(output.stdout).expect("JSON is UTF-8");
    let events: Vec<Value> = events.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let with_status = |status: &str| events.iter().filter(|e| e["type"] == "file" && e["status"] == status).count();
    assert_eq!((with_status("done"), with_status("failed")), (0, 31), "{events:?}");
    let summary = events.last().expect("a summary");
    assert_eq!((&summary["files_done"], &summary["files_failed"]), (&0.into(), &31.into()));
    assert!(!matches!(output.status.code(), Some(0) | None), "{:?}", output.status);
    // Nothing was given its name before it was safe.
    let names: Vec<_> = walk(&place.path("served")).into_iter().filter(|path| !is_part(path)).collect();
    assert_eq!(names, [place.path("served/first")]);
}

fn is_part(path: &Path) -> bool {
    path.as_os_str().as_bytes().ends_with(b".qft-part")
}
