//! Ours beside TCP flows of the kernel's, on one link: who gets how much.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use super::carried::{OURS_FROM_PORT, Side, Snapshot};
use super::interrupt;
use super::links::LinkSpec;
use super::model::link::{Discipline, LinkConfig, bytes_in};
use super::model::policer::Policer;
use super::model::rng::Rng;
use super::namespace::Namespace;
use super::network::{FAR, Network};
use super::process::{self, Program};
use super::tools::{Bed, Qft, Ssh, Tool as _};

/// The second side begins so much later than the first.
const SECOND: Duration = Duration::from_secs(5);
/// What is measured: from so much after the first began...
const FROM: Duration = Duration::from_secs(10);
/// ... for so long.
const SPAN: Duration = Duration::from_secs(15);
/// Content enough for that, and for what may come quicker than the link for a moment.
const CONTENT: Duration = Duration::from_secs(40);
const THEIRS_FROM_PORT: u16 = 5201;
/// What the kernel may keep of a connection, so that no window limits: a few round trips of any link here.
const BUFFERS: &str = "4096 131072 67108864";
/// How often a wait looks for an interrupt.
const LOOK: Duration = Duration::from_millis(20);

/// Flows of one congestion control: `bbr:4`; or `none`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Flows {
    control: String,
    count: u16,
}

impl Flows {
    fn name(&self) -> String {
        if self.count == 0 { "nobody".to_owned() } else { format!("{}:{}", self.control, self.count) }
    }
}

impl FromStr for Flows {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        if text == "none" {
            return Ok(Self { control: String::new(), count: 0 });
        }
        let (control, count) = text.split_once(':').unwrap_or((text, "1"));
        let count = count.parse().with_context(|| format!("beside={text}: as in bbr:1, cubic:4 or none"))?;
        ensure!(count > 0 && !control.is_empty(), "beside={text}: as in bbr:1, cubic:4 or none");
        Ok(Self { control: control.to_owned(), count })
    }
}

/// Who is measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Who {
    /// A program that is called as qft is.
    Qft(PathBuf),
    /// A TCP flow in its place.
    Tcp(String),
}

impl Who {
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Qft(program) => program.display().to_string(),
            Self::Tcp(control) => format!("tcp-{control}"),
        }
    }
}

/// A policer as it is written: `20/64`, Mbit/s and kilobytes.
pub(crate) fn policer(text: &str) -> anyhow::Result<Policer> {
    let numbers =
        text.split_once('/').and_then(|(rate, burst)| Some((rate.parse::<f64>().ok()?, burst.parse::<f64>().ok()?)));
    let (rate, burst) = numbers.with_context(|| format!("policer={text}: as in 20/64, Mbit/s and KB"))?;
    Ok(Policer { rate: (rate * 1e6) as u64, burst: (burst * 1e3) as u64 })
}

/// What to measure.
#[derive(Debug, Clone)]
pub(crate) struct Matches {
    pub(crate) beside: Vec<Flows>,
    /// Who is measured, in turn.
    pub(crate) who: Vec<Who>,
    /// The queue in round trips.
    pub(crate) queue: Option<f64>,
    pub(crate) policer: Option<Policer>,
    /// The queue marks what waits longer than this.
    pub(crate) step: Option<Duration>,
    /// Whether ours is there before the others.
    pub(crate) ours_first: bool,
}

impl Matches {
    /// What `args` leaves open: the qft of this tree, behind a queue of a round trip, coming second.
    pub(crate) fn new() -> Self {
        Self { beside: Vec::new(), who: Vec::new(), queue: None, policer: None, step: None, ours_first: false }
    }

    fn config(&self, link: &LinkSpec) -> LinkConfig {
        let mut config = link.config();
        if let Some(queue) = self.queue {
            config.queue = bytes_in(config.rate, (config.delay * 2).mul_f64(queue));
        }
        config.policer = self.policer;
        if let Some(step) = self.step {
            config.discipline = Discipline::Step(step);
        }
        config
    }
}

/// Measures every match on every link, `runs` times, one of `who` after the other.
pub(crate) fn measure(
    matches: &Matches,
    links: &[LinkSpec],
    runs: u64,
    scratch: &Path,
    out: &Path,
) -> anyhow::Result<()> {
    let ssh = Ssh::prepare(scratch)?;
    let mut lines = String::new();
    for link in links {
        let source = content(scratch, link)?;
        for flows in &matches.beside {
            let mut runs_of: Vec<Vec<Snapshot>> = vec![Vec::new(); matches.who.len()];
            for seed in 1..=runs {
                for (who, runs) in matches.who.iter().zip(&mut runs_of) {
                    let one = Match { matches, link, flows, who, source: &source, ssh: &ssh, seed };
                    let dir = tempfile::tempdir_in(scratch)?;
                    let done = one.run(dir.path())?;
                    println!("  {}", line(&who.name(), &done));
                    runs.push(done);
                }
            }
            let order = if matches.ours_first { "ours first" } else { "they first" };
            let title = format!("{link}, beside {}, {order}", flows.name());
            for (who, mut runs) in matches.who.iter().zip(runs_of) {
                runs.sort_by_key(|run| run.bytes[Side::Ours as usize]);
                let median = line(&who.name(), &runs[runs.len() / 2]);
                println!("{title}: {median}");
                lines.push_str(&format!("{title}: {median}\n"));
            }
        }
    }
    let path = out.join("beside.txt");
    let mut file = File::options().create(true).append(true).open(&path).with_context(|| path.display().to_string())?;
    file.write_all(lines.as_bytes())?;
    Ok(())
}

fn line(who: &str, run: &Snapshot) -> String {
    let mbit = |side: Side| run.bytes[side as usize] as f64 * 8.0 / SPAN.as_secs_f64() / 1e6;
    let mut line = format!(
        "{who} {:.1}, others {:.1} Mbit/s on the link, queue {:.1} ms, lost {:.2} and {:.2} %",
        mbit(Side::Ours),
        mbit(Side::Theirs),
        run.queue_ms(),
        run.lost_percent(Side::Ours),
        run.lost_percent(Side::Theirs),
    );
    if run.marked != [0; 2] {
        line.push_str(&format!(
            ", marked {:.2} and {:.2} %",
            run.marked_percent(Side::Ours),
            run.marked_percent(Side::Theirs)
        ));
    }
    line
}

/// A file that no link here is done with before the end.
fn content(scratch: &Path, link: &LinkSpec) -> anyhow::Result<PathBuf> {
    let dir = scratch.join("content");
    fs::create_dir_all(&dir)?;
    let mut file = File::create(dir.join("file"))?;
    let mut rng = Rng::new(1);
    let block: Vec<u8> = (0..1 << 17).flat_map(|_| rng.next_u64().to_le_bytes()).collect();
    let mut left = bytes_in((link.mbit * 1e6) as u64, CONTENT);
    while left > 0 {
        let size = left.min(block.len() as u64);
        file.write_all(&block[..size as usize])?;
        left -= size;
    }
    Ok(dir)
}

struct Match<'a> {
    matches: &'a Matches,
    link: &'a LinkSpec,
    flows: &'a Flows,
    who: &'a Who,
    source: &'a Path,
    ssh: &'a Ssh,
    seed: u64,
}

impl Match<'_> {
    /// Runs it once; what the link carried in the measured span, from near to far.
    fn run(&self, scratch: &Path) -> anyhow::Result<Snapshot> {
        let target = scratch.join("target");
        fs::create_dir(&target)?;
        let network = Network::build_of(self.matches.config(self.link), self.seed)?;
        for host in [&network.near, &network.far] {
            host.set("ipv4/tcp_rmem", BUFFERS)?;
            host.set("ipv4/tcp_wmem", BUFFERS)?;
        }
        let bed =
            Bed { network: &network, link: self.link, ssh: self.ssh, scratch, source: self.source, target: &target };
        let began = Instant::now();
        let mut running = Vec::new();
        let mut start = |ours: bool| -> anyhow::Result<()> {
            running.extend(if ours { self.start_ours(&bed)? } else { self.start_others(&network, scratch)? });
            Ok(())
        };
        start(self.matches.ours_first)?;
        wait_until(began + SECOND)?;
        start(!self.matches.ours_first)?;
        wait_until(began + FROM)?;
        let before = network.carried();
        wait_until(began + FROM + SPAN)?;
        let after = network.carried();
        for program in &mut running {
            ensure!(program.is_running()?, "a program ended before the measurement did: {}", program.last_words());
        }
        drop(running);
        network.finish()?;
        Ok(after.since(&before))
    }

    fn start_ours(&self, bed: &Bed<'_>) -> anyhow::Result<Vec<Program>> {
        match self.who {
            Who::Qft(program) => {
                let (server, command) = Qft { program: program.clone() }.begin(bed)?;
                let client = Program::start(command, &bed.network.near, &bed.scratch.join("near.log"))?;
                Ok(vec![server, client])
            }
            Who::Tcp(control) => tcp(bed.network, control, OURS_FROM_PORT, 1, bed.scratch),
        }
    }

    fn start_others(&self, network: &Network, scratch: &Path) -> anyhow::Result<Vec<Program>> {
        tcp(network, &self.flows.control, THEIRS_FROM_PORT, self.flows.count, scratch)
    }
}

/// Starts so many TCP flows from near to far, on ports from `port` on.
fn tcp(network: &Network, control: &str, port: u16, count: u16, scratch: &Path) -> anyhow::Result<Vec<Program>> {
    let mut running = Vec::new();
    for port in port..port + count {
        let start = |words: &[&str], host: &Namespace, log: String| {
            let iperf3 = process::find("iperf3").context("iperf3 is not installed (package iperf3)")?;
            let mut command = Command::new(iperf3);
            command.args(words).args(["-p", &port.to_string()]);
            Program::start(command, host, &scratch.join(log))
        };
        // It says that it listens at once only if told so.
        let mut server = start(&["-s", "-1", "--forceflush"], &network.far, format!("server-{port}.log"))?;
        let log = scratch.join(format!("server-{port}.log"));
        server.wait_for(|| fs::read_to_string(&log).ok().filter(|said| said.contains("listening")))?;
        let seconds = (FROM + SPAN + CONTENT).as_secs().to_string();
        let words = ["-c", &FAR.to_string(), "-C", control, "-t", &seconds];
        running.push(server);
        running.push(start(&words, &network.near, format!("client-{port}.log"))?);
    }
    Ok(running)
}

fn wait_until(end: Instant) -> anyhow::Result<()> {
    while Instant::now() < end {
        interrupt::check()?;
        std::thread::sleep(LOOK.min(end.saturating_duration_since(Instant::now())));
    }
    Ok(())
}
