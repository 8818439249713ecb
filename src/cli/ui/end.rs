//! How a transfer ends: the bars go, and the final block or the error is printed.

use std::time::Instant;

use super::limited::Measured;
use super::message::message;
use super::mode::DisplayMode;
use super::model::Snapshot;
use super::printer::OutputForm;
use super::{Ui, json, stats, summary};
use crate::cli::exit::Exit;
use crate::progress::JobReport;

impl Ui {
    /// Takes the bars away: the terminal is somebody else's until the end.
    pub(crate) fn clear(&mut self) {
        if let OutputForm::Bars(slots) = &mut self.printer.face {
            slots.close();
        }
    }

    /// Ends without another word.
    pub(crate) fn leave(&mut self) {
        self.clear();
        for (lines, patience) in &self.outputs {
            lines.flush(*patience);
        }
    }

    /// Prints how the job ended: the final block, or the error.
    pub(crate) fn end(&mut self, outcome: &anyhow::Result<JobReport>, exit: Exit, now: Instant) {
        self.clear();
        let look = self.model.sample(now);
        let mut lines = match outcome {
            Ok(report) => {
                let mut report = report.clone();
                let named = report.failures.iter_mut().filter_map(|(name, _)| Some((self.typed.get(name)?, name)));
                named.for_each(|(typed, name)| name.clone_from(typed));
                summary::block(self.options.verb, &report, self.model.tally(), self.options.dry_run)
            }
            Err(error) => self.error_lines(error, exit, &look),
        };
        // The findings of a dry run are on standard output.
        let is_printed = self.options.dry_run && !self.options.json && outcome.is_ok();
        if is_printed || self.printer.has_failures_in_sight() {
            lines.truncate(1);
        }
        lines.splice(0..0, self.printer.notes_left_out());
        let measured = Measured::of(self.model.counters(), look.elapsed, &self.rate_limit);
        if outcome.is_ok() {
            lines.extend(self.last_words(&measured, &look));
        }
        if self.speaks() || (outcome.is_err() && self.options.mode != DisplayMode::Silent) {
            lines.iter().for_each(|line| self.printer.line(line));
        }
        if let Some(json) = &mut self.json {
            let error = outcome.as_ref().err().map(message);
            let mut body = json::summary(outcome.as_ref().ok(), &look, self.model.tally());
            measured.write_to(&mut body, self.options.verb, &look.link);
            json.end(error.as_deref(), exit, body);
        }
        self.leave();
    }

    /// The state of the link and the bottleneck of the transfer: a line at a terminal, all of it with `--stats`.
    fn last_words(&self, measured: &Measured, look: &Snapshot) -> Vec<String> {
        let (verb, link) = (self.options.verb, &look.link);
        match self.options.mode {
            _ if self.options.dry_run => Vec::new(),
            _ if self.options.stats => stats::details(measured, verb, link),
            DisplayMode::Bars => stats::line(measured, verb, link).into_iter().collect(),
            DisplayMode::Plain | DisplayMode::Final | DisplayMode::Errors | DisplayMode::Silent => Vec::new(),
        }
    }

    fn error_lines(&self, error: &anyhow::Error, exit: Exit, look: &Snapshot) -> Vec<String> {
        match exit {
            exit if exit.is_asked_for() => vec![summary::stopped(self.options.verb, look)],
            _ => vec![format!("qft: {}", message(error))],
        }
    }
}
