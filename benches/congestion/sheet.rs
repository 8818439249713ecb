//! A table that is printed as it grows, and kept.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// A row of a table: a name, the figures, and what is missed.
pub struct Row {
    pub name: String,
    pub figures: String,
    pub missed: Vec<&'static str>,
}

/// Prints rows as they come, and keeps them.
pub struct Sheet {
    text: String,
    rows: usize,
    missed: usize,
}

impl Sheet {
    pub fn new(notes: &[&str]) -> Self {
        let mut sheet = Self { text: String::new(), rows: 0, missed: 0 };
        notes.iter().for_each(|note| sheet.line(&format!("# {note}")));
        sheet
    }

    pub fn line(&mut self, line: &str) {
        println!("{line}");
        writeln!(self.text, "{line}").expect("writing to a string");
    }

    pub fn put(&mut self, row: &Row) {
        self.rows += 1;
        self.missed += usize::from(!row.missed.is_empty());
        let line = format!("{:<48}| {} | {}", row.name, row.figures, row.missed.join(", "));
        self.line(line.trim_end());
    }

    /// Says how many rows miss something, and writes all to `out`.
    pub fn finish(mut self, out: Option<&Path>) {
        let (rows, missed) = (self.rows, self.missed);
        self.line(&format!("# {rows} cells, {missed} miss a bound"));
        self.save(out);
    }

    pub fn save(&self, out: Option<&Path>) {
        if let Some(out) = out {
            fs::write(out, &self.text).expect("the table can be written");
        }
    }
}
