//! The lines about a job: above its bars, or one after the other. Each kind is bounded, so that no job floods a screen.

use super::fold::{self, fold};
use super::message::coloured;
use super::mode::has_colours;
use super::plain::Plain;
use super::slots::Slots;
use super::text::shown;
use crate::cli::text::size;

/// Lines about single files above the bars; more would push everything else off the screen. The final block
/// and the counts go on.
const LIVE_LINES_MAX: u32 = 100;
/// The same where lines are written to a file or a pipe, which a hostile server could fill.
const FILE_LINES_MAX: u32 = 10_000;
/// Failures above the final block that are still in sight, so that it need not repeat them.
const IN_SIGHT_LINES: u32 = 12;
/// Notes about single files; more are only counted.
const NOTES_SHOWN: u32 = 20;

pub(super) enum OutputForm {
    /// Bars, with the lines above them.
    Bars(Slots),
    Lines(Plain),
}

pub(super) struct Printer {
    pub(super) face: OutputForm,
    /// Nothing is left out.
    is_verbose: bool,
    live_lines: u32,
    notes: u32,
    /// Lines since the first one about a failure, that one included; 0 while there is none.
    since_failure: u32,
    /// Where lines are folded; `None`: nowhere.
    columns: Option<usize>,
    has_colours: bool,
}

impl Printer {
    /// Lines that are neither folded nor coloured.
    pub(super) fn new(face: OutputForm, is_verbose: bool) -> Self {
        Self { face, is_verbose, live_lines: 0, notes: 0, since_failure: 0, columns: None, has_colours: false }
    }

    /// With the width and the colours of standard error.
    pub(super) fn on_stderr(self) -> Self {
        Self { columns: fold::stderr_columns(), has_colours: has_colours(), ..self }
    }

    pub(super) fn line(&mut self, line: &str) {
        if self.since_failure > 0 {
            self.since_failure += 1;
        }
        // A message with a key in it takes several lines.
        let fold = |part| self.columns.map_or_else(|| vec![str::to_owned(part)], |columns| fold(part, columns));
        let lines: Vec<String> = line.split('\n').flat_map(fold).collect();
        for line in lines {
            let line = if self.has_colours { coloured(&line) } else { line };
            match &mut self.face {
                OutputForm::Bars(slots) => slots.above(line),
                OutputForm::Lines(plain) => plain.line(&line),
            }
        }
    }

    /// Prints a line about one file, unless there were many.
    pub(super) fn about_file(&mut self, line: &str) {
        self.live_lines = self.live_lines.saturating_add(1);
        let lines_max = if matches!(self.face, OutputForm::Lines(_)) { FILE_LINES_MAX } else { LIVE_LINES_MAX };
        if self.is_verbose || self.live_lines < lines_max {
            self.line(line);
        } else if self.live_lines == lines_max {
            self.line("  ... more like these are only counted (-v shows them)");
        }
    }

    /// Prints a line about a file that failed.
    pub(super) fn failure(&mut self, line: &str) {
        self.since_failure = self.since_failure.max(1);
        self.about_file(line);
    }

    /// Prints a note of the job, unless there were many.
    pub(super) fn note(&mut self, text: &str) {
        self.notes = self.notes.saturating_add(1);
        if self.is_verbose || self.notes <= NOTES_SHOWN {
            self.line(&format!("note: {}", shown(text)));
        }
    }

    /// How many notes were left out.
    pub(super) fn notes_left_out(&self) -> Option<String> {
        let more = if self.is_verbose { 0 } else { self.notes.saturating_sub(NOTES_SHOWN) };
        let many = if more == 1 { "note" } else { "notes" };
        (more > 0).then(|| format!("... {} more {many} (-v shows all)", size::count(more.into())))
    }

    /// Whether the failures still stand just above.
    pub(super) fn has_failures_in_sight(&self) -> bool {
        (1..=IN_SIGHT_LINES).contains(&self.since_failure)
    }
}
