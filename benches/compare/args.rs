//! The words of the command line.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};

use super::beside::{self, Matches, Who};
use super::links::LinkSpec;
use super::load::{Kind, Load};
use super::table::OURS;
use super::tools;

/// What `--help` says.
pub(crate) const HELP: &str = "\
Compares qft with other tools over emulated links, as root:

  cargo bench --bench compare -- [--quick] [WORD=VALUE[,VALUE...] ...]

  tool=qft,rsync-bbr   these only (qft, rsync-bbr, rsync-cubic, scp, rclone,
                       qcp-cubic, qcp-bbr, sendme); figures are compared with
                       qft's of the same run
  link=table           these only: table, loss and rtt (the charts), all, or
                       RATE/RTT/LOSS[/BURST], as in 100/50/1 or 100/100/1/5:
                       Mbit/s, ms, percent each way, packets lost in a row
  load=large,small     these only (large, small, tiny)
  runs=3               the median of so many; 1 unless said otherwise
  peer-runs=1          so many of the other tools; as many as of qft unless
                       said otherwise
  cap=60               seconds after which a tool is stopped, or half as long
                       again as the link needs at least, where that is longer
  out=DIR              where results.json, table.md and the charts are written
                       and where results of earlier runs are kept, cell by
                       cell; target/compare unless said otherwise
  beside=bbr:1         no copies: qft beside so many TCP flows of this kind
                       (iperf3), or beside none; one begins 5 s after the
                       other, and the shares of 15 s from the 10th on are told
  who=old/qft,tcp-bbr  who is measured beside them, in turn: a qft, or TCP in its
                       place; the qft of this tree unless said otherwise
  order=they           who begins: they or ours
  queue=1              the queue in round trips
  policer=20/64        a token bucket before the link: Mbit/s and KB
  step=1               the queue marks what waits longer than so many ms
  --quick              small loads, two links, a cap of 20 s
  --redraw             draws table and charts from results.json, measures nothing

Some hours in all. A part of it, with the median of three for qft, in 15 minutes:

  cargo bench --bench compare -- link=100/100/0,100/100/1,100/100/5,100/20/1 \\
    load=small runs=3 peer-runs=1 cap=40

results.json, table.md and the charts hold whatever parts were measured, and
table.md lists the commands. Runs that are interrupted keep what they have.
";

/// Time that a tool gets, and what it gets in the quick form.
const CAP: Duration = Duration::from_secs(60);
const CAP_QUICK: Duration = Duration::from_secs(20);
/// A tool is not stopped before so many times the shortest time that the link allows.
const CAP_SHARE: f64 = 1.5;

/// What to do.
#[derive(Debug, Clone)]
pub(crate) struct Args {
    /// Words of tools; empty = all.
    pub(crate) tools: Vec<String>,
    pub(crate) links: Vec<LinkSpec>,
    pub(crate) loads: Vec<Kind>,
    pub(crate) runs: u64,
    pub(crate) peer_runs: Option<u64>,
    pub(crate) cap: Duration,
    pub(crate) out: PathBuf,
    pub(crate) quick: bool,
    pub(crate) redraw: bool,
    pub(crate) help: bool,
    /// Ours beside others, instead of copies.
    pub(crate) matches: Matches,
    /// All of it as it was given.
    pub(crate) words: String,
}

impl Args {
    /// Reads the words.
    pub(crate) fn parse(words: impl Iterator<Item = String>) -> anyhow::Result<Self> {
        let words: Vec<_> = words.collect();
        let quick = words.iter().any(|word| word == "--quick");
        let mut args = Self {
            tools: Vec::new(),
            links: LinkSpec::chosen(if quick { "quick" } else { "all" })?,
            loads: Kind::ALL.to_vec(),
            runs: 1,
            peer_runs: None,
            cap: if quick { CAP_QUICK } else { CAP },
            out: PathBuf::from("target/compare"),
            quick,
            redraw: false,
            help: false,
            matches: Matches::new(),
            words: String::new(),
        };
        for word in &words {
            match (word.as_str(), word.split_once('=')) {
                // The first comes from cargo.
                ("--bench" | "--quick", _) => {}
                ("--redraw", _) => args.redraw = true,
                ("--help" | "-h", _) => args.help = true,
                (_, Some((name, value))) => args.set(name, value)?,
                (other, None) => bail!("{other}: not a word of this command; --help lists them"),
            }
        }
        if args.matches.who.is_empty() {
            args.matches.who.push(Who::Qft(env!("CARGO_BIN_EXE_qft").into()));
        }
        let given = words.iter().filter(|word| *word != "--bench" && !word.starts_with("out="));
        args.words = given.cloned().collect::<Vec<_>>().join(" ");
        Ok(args)
    }

    /// The time that a tool gets.
    pub(crate) fn cap_on(&self, link: &LinkSpec, load: &Load) -> Duration {
        self.cap.max(load.time_on(link).mul_f64(CAP_SHARE))
    }

    /// How often a tool copies the same.
    pub(crate) fn runs_of(&self, tool: &str) -> u64 {
        if tool == OURS { self.runs } else { self.peer_runs.unwrap_or(self.runs) }
    }

    fn set(&mut self, name: &str, value: &str) -> anyhow::Result<()> {
        let values = || value.split(',');
        match name {
            "tool" => self.tools = values().map(known_tool).collect::<anyhow::Result<_>>()?,
            "load" => self.loads = values().map(known_load).collect::<anyhow::Result<_>>()?,
            "link" => {
                self.links = Vec::new();
                for link in values().map(LinkSpec::chosen).collect::<anyhow::Result<Vec<_>>>()?.concat() {
                    if !self.links.contains(&link) {
                        self.links.push(link);
                    }
                }
            }
            "runs" => self.runs = number(name, value)?,
            "peer-runs" => self.peer_runs = Some(number(name, value)?),
            "cap" => {
                let seconds = value.parse().with_context(|| format!("cap={value}: seconds are needed"))?;
                self.cap = Duration::from_secs(seconds);
            }
            "out" => self.out = PathBuf::from(value),
            "beside" => self.matches.beside = values().map(str::parse).collect::<anyhow::Result<_>>()?,
            "who" => self.matches.who = values().map(known_who).collect::<anyhow::Result<_>>()?,
            "order" => self.matches.ours_first = ours_first(value)?,
            "queue" => self.matches.queue = Some(decimal(name, value)?),
            "policer" => self.matches.policer = Some(beside::policer(value)?),
            "step" => self.matches.step = Some(Duration::from_secs_f64(decimal(name, value)? / 1e3)),
            other => bail!("{other}=: not one of the words that --help lists"),
        }
        let is_some = self.runs > 0 && self.peer_runs != Some(0) && !self.cap.is_zero();
        ensure!(is_some, "{name}={value}: nothing would be measured");
        Ok(())
    }
}

fn number(name: &str, value: &str) -> anyhow::Result<u64> {
    value.parse().with_context(|| format!("{name}={value}: a number is needed"))
}

fn decimal(name: &str, value: &str) -> anyhow::Result<f64> {
    let number: f64 = value.parse().with_context(|| format!("{name}={value}: a number is needed"))?;
    ensure!(number > 0.0 && number.is_finite(), "{name}={value}: a number above zero is needed");
    Ok(number)
}

fn ours_first(word: &str) -> anyhow::Result<bool> {
    match word {
        "ours" => Ok(true),
        "they" => Ok(false),
        other => bail!("order={other}: not one of ours, they"),
    }
}

fn known_who(word: &str) -> anyhow::Result<Who> {
    if let Some(control) = word.strip_prefix("tcp-") {
        return Ok(Who::Tcp(control.to_owned()));
    }
    // Programs are started elsewhere.
    let program = std::path::absolute(word).with_context(|| format!("who={word}"))?;
    ensure!(program.is_file(), "who={word}: neither a program nor tcp-bbr or tcp-cubic");
    Ok(Who::Qft(program))
}

fn known_tool(word: &str) -> anyhow::Result<String> {
    let known: Vec<_> = tools::all().iter().map(|tool| tools::word(tool.name())).collect();
    ensure!(known.iter().any(|known| known == word), "tool={word}: not one of {}", known.join(", "));
    Ok(word.to_owned())
}

fn known_load(word: &str) -> anyhow::Result<Kind> {
    let known = Kind::ALL.into_iter().find(|kind| kind.word() == word);
    known.with_context(|| format!("load={word}: not one of large, small, tiny"))
}
