//! Disk to disk over loopback, whole processes on both ends, beside `cp` in the same run.
//!
//! `cargo bench --bench loopback [-- FILTER]`, in `$QFT_BENCH_DIR`, else the system's temporary directory; needs 2 GiB
//! there. Every copy is compared byte by byte. Ways take turns, each starts with a clean disk, and figures are medians:
//! the time of the client's (or `cp`'s) whole process, user and system seconds per GiB, and the most memory, of each end.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Runs a figure is the median of.
const RUNS: usize = 5;
/// Time between two looks at a process; its end is seen that exactly, its memory in such steps.
const LOOK: Duration = Duration::from_millis(2);
/// The unit of times in `/proc`, everywhere that Linux runs today.
const TICKS_PER_SECOND: f64 = 100.0;
const GIB: f64 = (1_u64 << 30) as f64;

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

impl Load {
    /// Removes what is needed no more, for its room. Many small files stay until the very end: ext4 does not use inodes
    /// that were freed within the last minute, and searches past them for half a millisecond a file.
    fn clear(&self, dir: &Path) {
        if self.files == 1 {
            std::fs::remove_dir_all(dir).expect("it is ours");
        }
    }
}

/// How it is moved.
struct Way {
    name: &'static str,
    run: fn(&Place, &Path, bool) -> Run,
    sync: bool,
}

const WAYS: [Way; 4] = [
    Way { name: "cp -r", run: cp, sync: false },
    Way { name: "cp -r + sync", run: cp, sync: true },
    Way { name: "qft --no-sync", run: qft, sync: false },
    Way { name: "qft", run: qft, sync: true },
];

/// What one program took.
#[derive(Clone, Copy, Default)]
struct Cost {
    /// User and system.
    seconds: f64,
    resident: f64,
}

/// What one run took. `cp` has no server.
struct Run {
    seconds: f64,
    client: Cost,
    server: Option<Cost>,
}

/// Directories of a load.
struct Place {
    source: PathBuf,
    /// Each run has one of its own below.
    targets: PathBuf,
    /// Where the programs keep their keys, and the server its ticket.
    home: PathBuf,
}

fn main() {
    let filter = std::env::args().skip(1).find(|arg| !arg.starts_with('-')).unwrap_or_default();
    let top = tempfile::Builder::new().prefix("qft-bench").tempdir_in(bench_dir()).expect("a scratch directory");
    println!("{:46} CPU s/GiB        memory MiB", "");
    let columns = ["seconds", "MiB/s", "files/s", "client", "server", "client", "server"];
    let [seconds, rate, files, cpu, far_cpu, memory, far_memory] = columns;
    print!("{:<14} {:<13} {seconds:>7} {rate:>6} {files:>7}", "load", "how");
    println!(" {cpu:>6} {far_cpu:>6} {memory:>6} {far_memory:>6}");
    for load in LOADS.iter().filter(|load| load.name.contains(&filter)) {
        let here = top.path().join(load.files.to_string());
        let place = Place { source: here.join("source"), targets: here.join("targets"), home: top.path().join("home") };
        make(&place.source, load);
        for (way, runs) in WAYS.iter().zip(take_turns(load, &place)) {
            report(load, way, runs);
        }
        load.clear(&place.source);
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

/// The runs of each way.
fn take_turns(load: &Load, place: &Place) -> [Vec<Run>; WAYS.len()] {
    std::fs::create_dir_all(&place.targets).expect("a directory");
    let mut all = WAYS.map(|_| Vec::new());
    for number in 0..RUNS {
        for (n, (way, runs)) in WAYS.iter().zip(&mut all).enumerate() {
            let target = place.targets.join(format!("{number}-{n}"));
            // What the run before left is written now, not while this one is timed.
            rustix::fs::sync();
            runs.push((way.run)(place, &target, way.sync));
            let same = Command::new("diff").arg("-r").arg(&place.source).arg(&target).status().expect("diff runs");
            assert!(same.success(), "the copy differs");
            load.clear(&target);
        }
    }
    all
}

fn report(load: &Load, way: &Way, runs: Vec<Run>) {
    let bytes = (load.files * load.size) as f64;
    let mut seconds: Vec<_> = runs.iter().map(|run| run.seconds).collect();
    let time = median(&mut seconds);
    let (rate, files) = (bytes / f64::from(1 << 20) / time, load.files as f64 / time);
    print!("{:<14} {:<13} {time:>7.3} {rate:>6.0} {files:>7.0}", load.name, way.name);
    let client: Vec<_> = runs.iter().map(|run| run.client).collect();
    let server: Vec<_> = runs.iter().filter_map(|run| run.server).collect();
    let column = |costs: &[Cost], of: fn(&Cost) -> f64, unit: f64, digits: usize| {
        let mut values: Vec<_> = costs.iter().map(of).collect();
        let shown = if values.is_empty() { "-".to_owned() } else { format!("{:.digits$}", median(&mut values) / unit) };
        print!(" {shown:>6}");
    };
    let (cpu, memory) = (|cost: &Cost| cost.seconds, |cost: &Cost| cost.resident);
    for costs in [&client, &server] {
        column(costs, cpu, bytes / GIB, 2);
    }
    for costs in [&client, &server] {
        column(costs, memory, f64::from(1 << 20), 0);
    }
    println!();
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn cp(place: &Place, target: &Path, sync: bool) -> Run {
    let start = Instant::now();
    let client = watch(Command::new("cp").arg("-r").arg(&place.source).arg(target).spawn().expect("cp runs"));
    if sync {
        let synced = Command::new("sync").arg("-f").arg(target).status().expect("sync runs");
        assert!(synced.success());
    }
    Run { seconds: start.elapsed().as_secs_f64(), client, server: None }
}

fn qft(place: &Place, target: &Path, sync: bool) -> Run {
    let ticket = place.home.join("ticket");
    let _ = std::fs::remove_file(&ticket);
    let mut serve = program(place, "far");
    serve.arg("serve").arg(target).args(["-l", "127.0.0.1:0", "--ticket-file"]).arg(&ticket);
    let mut server = serve.args((!sync).then_some("--no-sync")).spawn().expect("the server starts");
    let remote = wait_for_ticket(&ticket, &mut server);
    let mut send = program(place, "near");
    send.arg("send").arg(place.source.join("")).arg("--to").arg(remote);
    let start = Instant::now();
    let client = watch(send.spawn().expect("the client starts"));
    let seconds = start.elapsed().as_secs_f64();
    kill_process(Pid::from_child(&server), Signal::INT).expect("it is ours and runs");
    Run { seconds, client, server: Some(watch(server)) }
}

fn program(place: &Place, home: &str) -> Command {
    let home = place.home.join(home);
    std::fs::create_dir_all(&home).expect("a directory");
    let mut command = Command::new(env!("CARGO_BIN_EXE_qft"));
    command.env("QFT_HOME", home).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn wait_for_ticket(file: &Path, server: &mut Child) -> String {
    loop {
        match std::fs::read_to_string(file) {
            Ok(ticket) if ticket.ends_with('\n') => return ticket.trim().to_owned(),
            _ => assert!(server.try_wait().expect("it is ours").is_none(), "the server ended at once"),
        }
        sleep(LOOK);
    }
}

/// Waits for a program to end well, and looks what it takes meanwhile.
fn watch(mut child: Child) -> Cost {
    let place = PathBuf::from(format!("/proc/{}", child.id()));
    let mut cost = Cost::default();
    loop {
        // A zombie has no memory any more, but its times.
        let status = std::fs::read_to_string(place.join("status")).expect("it was not waited for yet");
        let stat = std::fs::read_to_string(place.join("stat")).expect("it was not waited for yet");
        // After the name, which ends with the last parenthesis: state is field 3, utime and stime are 14 and 15.
        let fields: Vec<_> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks: f64 = fields[11..13].iter().map(|field| field.parse::<f64>().expect("a number")).sum();
        cost.seconds = ticks / TICKS_PER_SECOND;
        let kib = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
        cost.resident = kib.map_or(cost.resident, |kib| kib.parse::<f64>().expect("a number") * 1024.0);
        if fields[0] == "Z" {
            assert!(child.wait().expect("it is ours").success());
            return cost;
        }
        sleep(LOOK);
    }
}
