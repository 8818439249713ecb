//! What was measured, as it is saved: a file that the table and the charts are drawn from.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::counters::Counters;
use super::links::LinkSpec;
use super::load::Load;

/// Where it was measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) kernel: String,
}

/// How a copy ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Outcome {
    /// All there, and the same byte by byte.
    Done,
    /// Stopped when its time was over.
    Stopped,
    /// It gave up, or said that it was done and was not.
    Failed(String),
}

/// One tool, one load, one link.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cell {
    pub(crate) link: LinkSpec,
    pub(crate) load: Load,
    pub(crate) tool: String,
    pub(crate) version: String,
    /// The day, in UTC: `2026-01-31`.
    pub(crate) date: String,
    /// When the comparison began that this is of. Only figures of the same one are compared.
    #[serde(default)]
    pub(crate) run: String,
    /// What was asked for: the words of the command line.
    #[serde(default)]
    pub(crate) command: String,
    pub(crate) outcome: Outcome,
    /// From the start of the command to its end; of several runs, the median one.
    pub(crate) seconds: f64,
    /// Of all runs, shortest first.
    pub(crate) all_seconds: Vec<f64>,
    /// Bytes of content that were there at the end.
    pub(crate) arrived: u64,
    /// CPU time of both ends, user and system; of those alone that ended by themselves.
    pub(crate) core_seconds: Option<f64>,
    /// What the link carried from near to far.
    pub(crate) there: Counters,
    /// What it carried back.
    pub(crate) back: Counters,
}

impl Cell {
    /// Mbit/s of content.
    pub(crate) fn mbit(&self) -> f64 {
        self.arrived as f64 * 8.0 / 1e6 / self.seconds.max(1e-9)
    }

    /// Share of the most that the link can carry.
    pub(crate) fn share(&self) -> f64 {
        self.mbit() / self.link.limit_mbit()
    }

    /// Bytes that were put on the link for each byte of content that arrived.
    pub(crate) fn wire(&self) -> f64 {
        self.there.bytes as f64 / self.arrived.max(1) as f64
    }

    fn is_of(&self, other: &Self) -> bool {
        self.link == other.link && self.load == other.load && self.tool == other.tool
    }
}

/// All that was measured on one machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Results {
    pub(crate) machine: Machine,
    pub(crate) cells: Vec<Cell>,
}

impl Results {
    /// Nothing yet.
    pub(crate) fn new(machine: Machine) -> Self {
        Self { machine, cells: Vec::new() }
    }

    /// Reads a file; `None` when there is none.
    pub(crate) fn load(path: &Path) -> anyhow::Result<Option<Self>> {
        match fs::read(path) {
            Ok(text) => Ok(Some(serde_json::from_slice(&text).with_context(|| path.display().to_string())?)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| path.display().to_string()),
        }
    }

    /// Writes the file anew, in one step.
    pub(crate) fn save(&self, path: &Path) -> anyhow::Result<()> {
        let new = path.with_extension("json.new");
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        fs::write(&new, text).with_context(|| new.display().to_string())?;
        fs::rename(&new, path).with_context(|| path.display().to_string())
    }

    /// Adds a cell, in place of an older one of the same tool, load and link.
    pub(crate) fn put(&mut self, cell: Cell) {
        match self.cells.iter_mut().find(|old| old.is_of(&cell)) {
            Some(old) => *old = cell,
            None => self.cells.push(cell),
        }
    }

    /// The cells of one link and load.
    pub(crate) fn of(&self, link: &LinkSpec, load: &Load) -> Vec<&Cell> {
        self.cells.iter().filter(|cell| cell.link == *link && cell.load == *load).collect()
    }
}
