//! One copy over a fresh link: prepared, timed, and compared byte by byte.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::counters::Counters;
use super::links::LinkSpec;
use super::load::{self, Load};
use super::network::Network;
use super::process::{self, Program};
use super::results::Outcome;
use super::tools::{Bed, Ssh, Tool};

/// What one copy came to.
pub(crate) struct Run {
    pub(crate) outcome: Outcome,
    pub(crate) seconds: f64,
    pub(crate) arrived: u64,
    pub(crate) core_seconds: Option<f64>,
    pub(crate) there: Counters,
    pub(crate) back: Counters,
}

/// What is measured, and with what.
pub(crate) struct Trial<'a> {
    pub(crate) tool: &'a dyn Tool,
    pub(crate) link: &'a LinkSpec,
    pub(crate) load: &'a Load,
    pub(crate) source: &'a Path,
    pub(crate) ssh: &'a Ssh,
    /// It is stopped after this time.
    pub(crate) cap: Duration,
    pub(crate) seed: u64,
}

impl Trial<'_> {
    /// Copies once. `scratch` is an empty directory. Fails only where the comparison itself cannot go on.
    pub(crate) fn run(&self, scratch: &Path) -> anyhow::Result<Run> {
        let target = scratch.join("target");
        fs::create_dir(&target)?;
        let before = process::children_seconds()?;
        let network = Network::build(self.link, self.seed)?;
        if let Some(name) = self.tool.congestion_control() {
            network.set_congestion_control(name)?;
        }
        let bed =
            Bed { network: &network, link: self.link, ssh: self.ssh, scratch, source: self.source, target: &target };
        let (mut outcome, seconds) = self.copy(&bed)?;
        let [there, back] = network.finish()?;
        // All have ended and were waited for now.
        let spent = process::children_seconds()? - before;
        let copy = target.join(self.source.file_name().context("a source without a name")?);
        let arrived = match outcome {
            Outcome::Done => match load::compare(self.source, &copy) {
                Ok(()) => self.load.bytes(),
                Err(error) => {
                    outcome = Outcome::Failed(format!("it said that it was done, but {error:#}"));
                    load::arrived(&target)?
                }
            },
            // Some have every byte twice for a while.
            _ => load::arrived(&target)?.min(self.load.bytes()),
        };
        let core_seconds = (outcome == Outcome::Done).then_some(spent);
        Ok(Run { outcome, seconds, arrived, core_seconds, there, back })
    }

    /// From the start of the client to its end.
    fn copy(&self, bed: &Bed<'_>) -> anyhow::Result<(Outcome, f64)> {
        let (server, command) = self.tool.begin(bed).with_context(|| self.tool.name())?;
        let start = Instant::now();
        let (host, log) = match self.tool.is_fetched() {
            true => (&bed.network.far, "far.log"),
            false => (&bed.network.near, "near.log"),
        };
        let mut client = Program::start(command, host, &bed.scratch.join(log))?;
        let ended = client.wait_until(start + self.cap)?;
        let seconds = start.elapsed().as_secs_f64();
        let outcome = match ended {
            None => Outcome::Stopped,
            Some(status) if status.success() => Outcome::Done,
            Some(status) => Outcome::Failed(format!("{status}: {}", client.last_words())),
        };
        if ended.is_some() {
            server.end()?;
        }
        Ok((outcome, seconds))
    }
}
