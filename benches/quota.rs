//! How much of its speed is left to a transfer where one end gets little processor time.
//!
//! `cargo bench --bench quota [-- [REPETITIONS] [WORD...]]` sends and gets a file over an emulated link, with the client and
//! the server in turn in a cgroup whose quota is [`QUOTAS`] percent of one core, or what `15%` says: in each period of 100
//! ms it runs for that much of it, and stands still for the rest. With other words (`send`, `client`) it measures the rows
//! that have them all. It needs root, `ip`, `/dev/net/tun`, and the cpu controller of cgroups.
//!
//! Beside the speed it shows what a MiB costs each end in processor time, of its own and of the system for it.

#[path = "../tests/support/bin.rs"]
mod bin;
#[path = "compare/carried.rs"]
#[allow(dead_code, reason = "the comparison uses more of it")]
mod carried;
#[path = "compare/counters.rs"]
#[allow(dead_code, reason = "the comparison uses more of it")]
mod counters;
#[path = "compare/ecn.rs"]
#[allow(dead_code, reason = "the comparison uses more of it")]
mod ecn;
#[path = "compare/emulator.rs"]
mod emulator;
#[path = "compare/lane.rs"]
mod lane;
#[path = "compare/links.rs"]
#[allow(dead_code, reason = "the comparison uses more of it")]
mod links;
#[path = "compare/model.rs"]
mod model;
#[path = "compare/namespace.rs"]
#[allow(dead_code, reason = "the comparison uses more of it")]
mod namespace;
#[path = "compare/network.rs"]
#[allow(dead_code, reason = "the comparison uses more of it")]
mod network;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use bin::Machine;
use network::Network;
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

/// The link: rate in Mbit/s, round trip in milliseconds, loss in percent.
const LINK: &str = "100/100/1";
/// A file that takes some seconds: the start of a transfer counts, and does not decide.
const FILE_BYTES: u64 = 64 << 20;
/// Percent of one core.
const QUOTAS: [u64; 2] = [50, 20];
/// The kernel's usual period.
const PERIOD_US: u64 = 100_000;
/// What Linux counts processor time in where it shows it (`USER_HZ`), on every usual machine.
const TICKS_PER_SECOND: u32 = 100;
/// Where the controllers are mounted.
const CGROUPS: &str = "/sys/fs/cgroup";

/// The direction of the content, seen from the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Send,
    Get,
}

/// Whose processor time is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Client,
    Server,
}

/// A cgroup with a quota. It is removed when this is dropped; whoever is in it has ended by then.
struct Quota(PathBuf);

impl Quota {
    /// Makes one of so many percent of a core.
    fn of(percent: u64) -> anyhow::Result<Self> {
        let name = format!("qft-quota-{}", std::process::id());
        let (quota, root) = (PERIOD_US * percent / 100, Path::new(CGROUPS));
        let has_unified = fs::read_to_string(root.join("cgroup.controllers")).is_ok_and(|all| all.contains("cpu"));
        if has_unified {
            // It fails where it is on already, and processes are in the root.
            let _ = fs::write(root.join("cgroup.subtree_control"), "+cpu");
            let group = Self::make(root.join(name))?;
            group.set("cpu.max", &format!("{quota} {PERIOD_US}"))?;
            return Ok(group);
        }
        let group = Self::make(root.join("cpu").join(name))?;
        group.set("cpu.cfs_period_us", &PERIOD_US.to_string())?;
        group.set("cpu.cfs_quota_us", &quota.to_string())?;
        Ok(group)
    }

    fn make(dir: PathBuf) -> anyhow::Result<Self> {
        fs::create_dir(&dir).with_context(|| dir.display().to_string())?;
        Ok(Self(dir))
    }

    fn set(&self, name: &str, value: &str) -> anyhow::Result<()> {
        let path = self.0.join(name);
        fs::write(&path, value).with_context(|| path.display().to_string())
    }

    /// Puts a process into it, with all its threads.
    fn take(&self, process: u32) -> anyhow::Result<()> {
        self.set("cgroup.procs", &process.to_string())
    }

    /// In how many of its periods it was stopped, in percent.
    fn throttled_percent(&self) -> anyhow::Result<u64> {
        let stat = fs::read_to_string(self.0.join("cpu.stat"))?;
        let figure = |name: &str| stat.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
        let (all, stopped) = (figure("nr_periods ").unwrap_or(0), figure("nr_throttled ").unwrap_or(0));
        Ok(stopped * 100 / all.max(1))
    }
}

impl Drop for Quota {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

/// One transfer.
struct Figures {
    mbit: f64,
    throttled_percent: u64,
    /// Milliseconds of processor time for each MiB, of the client and of the server.
    costs: [f64; 2],
}

fn measure(way: Way, limited: Option<(End, u64)>, seed: u64) -> anyhow::Result<Figures> {
    let network = Network::build(&LINK.parse()?, seed)?;
    let quota = limited.map(|(_, percent)| Quota::of(percent)).transpose()?;
    let of = |end| quota.as_ref().filter(|_| limited.is_some_and(|(limited, _)| limited == end));
    let (here, there) = (Machine::new(), Machine::new());
    let from = if way == Way::Send { &here } else { &there };
    from.write_large("in/file", FILE_BYTES);
    let serve = network.far.enter(|| there.serve_at(&format!("{}:0", network::FAR), "in", ""))?;
    of(End::Server).map_or(Ok(()), |quota| quota.take(serve.id()))?;
    let line = match way {
        Way::Send => format!("send -q in/file --to {}", serve.ticket()),
        Way::Get => format!("get -q {}/file .", serve.ticket()),
    };
    let joined = of(End::Client).map_or(String::new(), |quota| {
        let procs = quota.0.join("cgroup.procs");
        format!("sh -c 'echo $$ >{} && exec \"$@\"' sh ", procs.display())
    });
    let mut command = here.shell(&format!("{joined}qft {line}"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let (start, before) = (Instant::now(), processor_time(serve.id())?);
    let mut client = network.near.enter(|| command.spawn())??;
    // What a process has used can be read until somebody takes its end.
    waitid(WaitId::Pid(Pid::from_child(&client)), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)?;
    let took = start.elapsed();
    let used = [processor_time(client.id())?, processor_time(serve.id())? - before];
    let status = client.wait()?;
    ensure!(status.success(), "the client ended with {status}");
    let throttled_percent = quota.as_ref().map_or(Ok(0), Quota::throttled_percent)?;
    drop(serve);
    network.finish()?;
    let costs = used.map(|used| used.as_secs_f64() * 1e3 / (FILE_BYTES >> 20) as f64);
    Ok(Figures { mbit: megabits(FILE_BYTES, took), throttled_percent, costs })
}

/// What a process has used, its own and the system's for it; its threads that have ended included.
fn processor_time(process: u32) -> anyhow::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name before it may hold blanks. utime and stime are the fields 14 and 15 of proc_pid_stat(5).
    let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields).split(' ').skip(11).take(2);
    let ticks = fields.map(str::parse::<u64>).sum::<Result<u64, _>>()?;
    Ok(Duration::from_secs(ticks) / TICKS_PER_SECOND)
}

fn megabits(bytes: u64, time: Duration) -> f64 {
    bytes as f64 * 8.0 / 1e6 / time.as_secs_f64()
}

/// The figures in the middle of all repetitions.
fn median(way: Way, limited: Option<(End, u64)>, repetitions: u64) -> anyhow::Result<Figures> {
    let mut all = (0..repetitions).map(|seed| measure(way, limited, seed)).collect::<anyhow::Result<Vec<_>>>()?;
    all.sort_by(|a, b| a.mbit.total_cmp(&b.mbit));
    Ok(all.swap_remove(all.len() / 2))
}

fn main() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let repetitions = words.iter().find_map(|word| word.parse().ok()).unwrap_or(3);
    let quotas: Vec<u64> = words.iter().filter_map(|word| word.strip_suffix('%')?.parse().ok()).collect();
    let quotas = if quotas.is_empty() { QUOTAS.to_vec() } else { quotas };
    let wanted: Vec<_> =
        words.iter().filter(|word| word.chars().all(char::is_alphabetic)).map(String::as_str).collect();
    if let Err(error) = Quota::of(QUOTAS[0]) {
        println!("skipped: no quota can be set ({error:#})");
        return Ok(());
    }
    if let Err(error) = Network::build(&LINK.parse()?, 0) {
        println!("skipped: no link can be emulated ({error:#})");
        return Ok(());
    }
    println!("{LINK} (Mbit/s / RTT in ms / loss in %), {} MiB, medians of {repetitions}", FILE_BYTES >> 20);
    println!("way   limited end        quota  Mbit/s  kept  periods stopped  ms/MiB of client, server");
    for way in [Way::Send, Way::Get] {
        let rows = [End::Client, End::Server].into_iter().flat_map(|end| quotas.iter().map(move |quota| (end, *quota)));
        let is_wanted = |(end, _): &(End, u64)| {
            let row = [word(way), role(way, *end).split(',').next().unwrap_or_default()];
            wanted.iter().all(|word| row.contains(word))
        };
        let rows: Vec<_> = rows.filter(is_wanted).collect();
        if rows.is_empty() {
            continue;
        }
        let free = median(way, None, repetitions)?;
        let [client, server] = free.costs;
        println!("{:4}  {:17}  {:>5}  {:6.1}  {:22}  {client:.2}, {server:.2}", word(way), "none", "-", free.mbit, "");
        for (end, percent) in rows {
            let Figures { mbit, throttled_percent, costs } = median(way, Some((end, percent)), repetitions)?;
            let (role, kept, [client, server]) = (role(way, end), mbit / free.mbit * 100.0, costs);
            println!(
                "{:4}  {role:17}  {percent:3} %  {mbit:6.1}  {kept:3.0} %  {throttled_percent:13} %  {client:.2}, {server:.2}",
                word(way)
            );
        }
    }
    Ok(())
}

fn word(way: Way) -> &'static str {
    match way {
        Way::Send => "send",
        Way::Get => "get",
    }
}

fn role(way: Way, end: End) -> &'static str {
    match (way, end) {
        (Way::Send, End::Client) => "client, sends",
        (Way::Send, End::Server) => "server, receives",
        (Way::Get, End::Client) => "client, receives",
        (Way::Get, End::Server) => "server, sends",
    }
}
