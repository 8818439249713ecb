//! qft beside other tools, over the same emulated links between two network namespaces; every copy is compared byte
//! by byte.
//!
//! `cargo bench --bench compare -- --help` says how to choose. It needs root (for the namespaces), `ip` (package
//! iproute2), and whichever of rsync, openssh-server, rclone, qcp and sendme is to be compared; what is missing is left out and
//! said. Everything takes hours, most of it waiting for tools that do not get done; `--quick` minutes.

mod allowed;
mod args;
mod beside;
mod carried;
mod chart;
mod counters;
mod ecn;
mod emulator;
mod interrupt;
mod lane;
mod links;
mod load;
mod machine;
mod measure;
mod model;
mod namespace;
mod network;
mod page;
mod process;
mod results;
mod table;
mod tools;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{geteuid, getpid, set_child_subreaper};

use allowed::Allowed;
use args::Args;
use interrupt::Interrupted;
use links::LinkSpec;
use load::{Kind, Load};
use measure::{Run, Trial};
use results::{Cell, Machine, Outcome, Results};
use tools::{Ssh, Tool};

const RESULTS: &str = "results.json";
const TABLE: &str = "table.md";
/// Exit code of what was interrupted.
const EXIT_INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let done = Args::parse(std::env::args().skip(1)).and_then(|args| match () {
        () if args.help => {
            print!("{}", args::HELP);
            Ok(())
        }
        () if args.redraw => redraw(&args.out),
        () => compare(&args),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("compare: {error:#}");
            if error.is::<Interrupted>() { ExitCode::from(EXIT_INTERRUPTED) } else { ExitCode::FAILURE }
        }
    }
}

/// Writes table and charts from what was saved.
fn redraw(out: &Path) -> anyhow::Result<()> {
    let results = Results::load(&out.join(RESULTS))?;
    let results = results.with_context(|| format!("nothing was measured yet: no {RESULTS} in {}", out.display()))?;
    println!("{}", table::terminal(&results));
    draw(&results, out)
}

fn draw(results: &Results, out: &Path) -> anyhow::Result<()> {
    let path = out.join(TABLE);
    fs::write(&path, page::page(results)).with_context(|| path.display().to_string())?;
    println!("written: {}", path.display());
    for kind in Kind::ALL {
        let path = out.join(kind.word()).with_extension("svg");
        if let Some(svg) = chart::draw(results, kind) {
            fs::write(&path, svg).with_context(|| path.display().to_string())?;
            println!("drawn: {}", path.display());
        }
    }
    Ok(())
}

/// Measures what was asked for.
fn compare(args: &Args) -> anyhow::Result<()> {
    if let Some(why) = impossible() {
        println!("compare: nothing is measured: {why}");
        return Ok(());
    }
    interrupt::watch()?;
    // Processes that lose their parents become ours, to be ended and accounted.
    set_child_subreaper(Some(getpid()))?;
    namespace::sweep();
    let _allowed = Allowed::all().map_err(|error| println!("TCP keeps to what the system allows: {error:#}"));
    let scratch = tempfile::Builder::new().prefix("qft-compare").tempdir_in(scratch_dir())?;
    fs::create_dir_all(&args.out).with_context(|| args.out.display().to_string())?;
    if !args.matches.beside.is_empty() {
        return beside::measure(&args.matches, &args.links, args.runs, scratch.path(), &args.out);
    }
    let tools = present(&args.tools);
    let results = earlier(&args.out)?;
    let ssh = Ssh::prepare(scratch.path())?;
    let run = machine::now()?;
    let mut comparison = Comparison { args, scratch: scratch.path(), ssh, tools, results, run };
    let measured = comparison.measure();
    print!("\n{}", table::origin(&comparison.results));
    draw(&comparison.results, &args.out)?;
    measured
}

/// Why nothing can be measured here.
fn impossible() -> Option<String> {
    if !geteuid().is_root() {
        return Some(
            "it makes network namespaces, which only root may (sudo -E cargo bench --bench compare)".to_owned(),
        );
    }
    if !Path::new("/dev/net/tun").exists() {
        return Some("there is no /dev/net/tun (modprobe tun)".to_owned());
    }
    process::find("ip").is_none().then(|| "ip is not installed (package iproute2)".to_owned())
}

/// Where files are copied: `$QFT_BENCH_DIR`, else the system's temporary directory.
fn scratch_dir() -> PathBuf {
    std::env::var_os("QFT_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from)
}

/// What earlier runs saved here. Figures of another machine are not mixed in.
fn earlier(out: &Path) -> anyhow::Result<Results> {
    let here = Machine::here()?;
    match Results::load(&out.join(RESULTS))? {
        Some(results) if results.machine == here => Ok(results),
        Some(_) => {
            println!("results of another machine, or another kernel, are replaced");
            Ok(Results::new(here))
        }
        None => Ok(Results::new(here)),
    }
}

/// The tools that were asked for and are here, with their versions. The others are named.
fn present(asked: &[String]) -> Vec<(Box<dyn Tool>, String)> {
    let chosen = |tool: &dyn Tool| asked.is_empty() || asked.contains(&tools::word(tool.name()));
    let mut present = Vec::new();
    for tool in tools::all().into_iter().filter(|tool| chosen(&**tool)) {
        match tool.version() {
            Ok(version) => present.push((tool, version)),
            Err(why) => println!("{} is left out: {why:#}", tool.name()),
        }
    }
    present
}

struct Comparison<'a> {
    args: &'a Args,
    scratch: &'a Path,
    ssh: Ssh,
    tools: Vec<(Box<dyn Tool>, String)>,
    results: Results,
    /// When it began.
    run: String,
}

impl Comparison<'_> {
    fn measure(&mut self) -> anyhow::Result<()> {
        println!("{}", self.extent());
        for link in &self.args.links {
            for kind in &self.args.loads {
                self.measure_load(link, &Load::of(*kind, link, self.args.quick))?;
            }
        }
        Ok(())
    }

    /// How much there is to do.
    fn extent(&self) -> String {
        let (mut copies, mut most) = (0, Duration::ZERO);
        for (link, kind) in
            self.args.links.iter().flat_map(|link| self.args.loads.iter().map(move |kind| (link, *kind)))
        {
            let cap = self.args.cap_on(link, &Load::of(kind, link, self.args.quick));
            for (tool, _) in &self.tools {
                let runs = self.args.runs_of(tool.name());
                copies += runs;
                most += cap * runs as u32;
            }
        }
        format!("{copies} copies, {} minutes at most", most.as_secs().div_ceil(60))
    }

    fn measure_load(&mut self, link: &LinkSpec, load: &Load) -> anyhow::Result<()> {
        let source = load.make(self.scratch)?;
        println!("\n{}", table::heading(link, load));
        for number in 0..self.tools.len() {
            match self.cell(number, link, load, &source) {
                Ok(cell) => self.keep(cell)?,
                Err(error) if error.is::<Interrupted>() => return Err(error),
                Err(error) => println!("  {} is left out: {error:#}", self.tools[number].0.name()),
            }
        }
        Ok(())
    }

    /// Shows and saves a cell.
    fn keep(&mut self, cell: Cell) -> anyhow::Result<()> {
        self.results.put(cell.clone());
        println!("{}", table::row(&cell, table::ours(&self.results, &cell.link, &cell.load)));
        self.results.save(&self.args.out.join(RESULTS))
    }

    /// The median of the runs.
    fn cell(&self, number: usize, link: &LinkSpec, load: &Load, source: &Path) -> anyhow::Result<Cell> {
        let (tool, version) = &self.tools[number];
        let mut runs = Vec::new();
        for seed in 1..=self.args.runs_of(tool.name()) {
            // Many files stay until the very end: ext4 does not use inodes that were freed within the last minute, and
            // searches past them for half a millisecond a file.
            let stays = load.files > 1;
            let scratch = tempfile::Builder::new().disable_cleanup(stays).tempdir_in(self.scratch)?;
            let (tool, ssh, cap) = (&**tool, &self.ssh, self.args.cap_on(link, load));
            let run = Trial { tool, link, load, source, ssh, cap, seed }.run(scratch.path())?;
            if run.outcome != Outcome::Done {
                self.keep_logs(scratch.path(), &format!("{}-{link}-{}", tools::word(tool.name()), load.title()))?;
            }
            runs.push(run);
        }
        // Those that were not done come last.
        let key = |run: &Run| (run.outcome != Outcome::Done, run.seconds);
        runs.sort_by(|a, b| key(a).partial_cmp(&key(b)).expect("times are numbers"));
        let all_seconds = runs.iter().map(|run| run.seconds).collect();
        let run = runs.swap_remove(runs.len() / 2);
        Ok(Cell {
            link: *link,
            load: *load,
            tool: tool.name().to_owned(),
            version: version.clone(),
            date: machine::today()?,
            run: self.run.clone(),
            command: self.args.words.clone(),
            outcome: run.outcome,
            seconds: run.seconds,
            all_seconds,
            arrived: run.arrived,
            core_seconds: run.core_seconds,
            there: run.there,
            back: run.back,
        })
    }

    /// What the programs said, for whoever wants to know why.
    fn keep_logs(&self, scratch: &Path, name: &str) -> anyhow::Result<()> {
        let name: String = name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).collect();
        let logs = self.args.out.join("logs").join(name);
        fs::create_dir_all(&logs)?;
        for entry in fs::read_dir(scratch)? {
            let path = entry?.path();
            if let Some(name) = path.file_name().filter(|_| path.extension().is_some_and(|end| end == "log")) {
                fs::copy(&path, logs.join(name))?;
            }
        }
        Ok(())
    }
}
