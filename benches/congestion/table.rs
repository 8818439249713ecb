//! The table on disk: cells of several runs in one file, so that it can be made in parts.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::{fs, io};

/// What stands for a cell that no run has filled.
const NOT_RUN: &str = "not run";
const SEPARATOR: char = '|';
/// Lines that are not cells begin with this.
const COMMENT: char = '#';

/// A link of the table: rate in kbit/s, round trip in µs, loss in ppm. Whole numbers, since they are a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Link([u64; 3]);

impl Link {
    pub fn new(mbit: f64, rtt_ms: f64, loss_percent: f64) -> Self {
        Self([mbit * 1e3, rtt_ms * 1e3, loss_percent * 1e4].map(|value| value.round() as u64))
    }

    fn parse(text: &str) -> Option<Self> {
        let numbers: Vec<f64> = text.split_whitespace().map(|word| word.parse().ok()).collect::<Option<_>>()?;
        let &[mbit, rtt_ms, loss_percent] = numbers.as_slice() else { return None };
        Some(Self::new(mbit, rtt_ms, loss_percent))
    }

    fn show(self) -> String {
        let [mbit, rtt_ms, loss_percent] =
            [(self.0[0], 1e3), (self.0[1], 1e3), (self.0[2], 1e4)].map(|(n, d)| n as f64 / d);
        format!("{mbit:6} {rtt_ms:6} {loss_percent:6} ")
    }
}

/// Cells by link, one column per controller and one for what ours missed.
pub struct Table {
    head: Vec<String>,
    rows: BTreeMap<Link, Vec<String>>,
}

impl Table {
    /// An empty table with these columns.
    pub fn new(head: &[&str]) -> Self {
        Self { head: head.iter().map(|&name| name.to_owned()).collect(), rows: BTreeMap::new() }
    }

    /// Takes what an earlier run left in `file`, if there is one.
    pub fn load(&mut self, file: &Path) -> io::Result<()> {
        let text = match fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        for line in text.lines().filter(|line| !line.starts_with(COMMENT)) {
            let mut parts = line.split(SEPARATOR);
            let Some(link) = parts.next().and_then(Link::parse) else { continue };
            for (column, cell) in parts.take(self.head.len()).enumerate() {
                if cell.trim() != NOT_RUN {
                    self.set(link, column, cell.trim().to_owned());
                }
            }
        }
        Ok(())
    }

    pub fn set(&mut self, link: Link, column: usize, cell: String) {
        let width = self.head.len();
        self.rows.entry(link).or_insert_with(|| vec![NOT_RUN.to_owned(); width])[column] = cell;
    }

    /// Writes everything, with `notes` above it.
    pub fn save(&self, file: &Path, notes: &[&str]) -> io::Result<()> {
        let mut text = String::new();
        for note in notes {
            writeln!(text, "{COMMENT} {note}").expect("writing to a string");
        }
        write!(text, "{COMMENT}Mbit/s RTT   loss  ").expect("writing to a string");
        self.head.iter().for_each(|name| write!(text, "{SEPARATOR} {name:<22}").expect("writing to a string"));
        text.push('\n');
        for (link, cells) in &self.rows {
            text.push_str(&link.show());
            // Figures stand below each other; the last column is words.
            let (words, figures) = cells.split_last().expect("a table has columns");
            figures.iter().for_each(|cell| write!(text, "{SEPARATOR} {cell:>21} ").expect("writing to a string"));
            write!(text, "{SEPARATOR} {words}").expect("writing to a string");
            text.truncate(text.trim_end().len());
            text.push('\n');
        }
        fs::write(file, text)
    }
}
