//! The display of a transfer. One [`Ui`] takes the job's events and is asked to draw ten times a second;
//! it shows bars, plain lines or JSON, and the same final block in all forms.
//!
//! | file | holds |
//! |---|---|
//! | `mode`, `decision` | which form, and why |
//! | `model`, `files`, `rate`, `stall`, `tally`, `outcome` | what is shown, without a terminal: totals, files, speed, silence, counts |
//! | `slots`, `fold`, `printer` | bars: lines for active files, what fits, drawing |
//! | `plain`, `json`, `message` | plain lines; events; errors |
//! | `summary`, `link`, `text` | the final block; the path; words and numbers |

mod decision;
mod files;
pub(crate) mod fold;
pub(crate) mod json;
mod limited;
pub(crate) mod link;
mod message;
mod mode;
pub(crate) mod model;
pub(crate) mod outcome;
pub(crate) mod plain;
mod printer;
pub(crate) mod rate;
pub(crate) mod slots;
mod stall;
pub(crate) mod summary;
mod tally;
pub(crate) mod text;

use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use self::json::Json;
use self::limited::{Measured, RateLimit};
pub(crate) use self::message::{message, report};
use self::mode::is_utf8;
pub(crate) use self::mode::{DisplayMode, has_bars, mode};
use self::model::{Model, Snapshot};
use self::plain::Plain;
use self::printer::{OutputForm, Printer};
use self::slots::{Screen, Slots, Style};
use self::stall::{Speed, StallNews, StallTeller};
pub(crate) use self::tally::EventTally;
pub(crate) use self::text::asking_again;
use self::text::{cause, shown, without_remedy};
use super::exit::{Exit, Verb};
use crate::cli::run::lines::{self, LineSink};
use crate::cli::run::standard;
use crate::cli::text::size;
use crate::progress::{Counters, Event, JobReport};
use crate::protocol::message::{SkipReason, Why};

/// Time between two looks.
pub(crate) const TICK: Duration = Duration::from_millis(100);
/// Larger files get lines of their own where there are no bars.
const BIG_FILE: u64 = 64 << 20;

/// The options of a [`Ui`].
#[derive(Debug, Clone)]
pub(crate) struct UiOptions {
    /// Which way.
    pub(crate) verb: Verb,
    /// See [`DisplayMode`].
    pub(crate) mode: DisplayMode,
    /// JSON on standard output.
    pub(crate) json: bool,
    /// A line for each file.
    pub(crate) verbose: bool,
    /// Decisions go to standard output.
    pub(crate) dry_run: bool,
    /// A file whose name is taken gets another one.
    pub(crate) steps_aside: bool,
    /// Files in flight.
    pub(crate) jobs: usize,
    /// `HOST:PORT`, for the hint when nobody answers.
    pub(crate) address: String,
    /// The other side is in this process.
    pub(crate) is_local: bool,
    /// Whether the measurements are printed at the end.
    pub(crate) stats: bool,
    /// The user's limit in bytes per second.
    pub(crate) rate_limit: Option<f64>,
}

/// The one renderer.
pub(crate) struct Ui {
    options: UiOptions,
    model: Model,
    rate_limit: RateLimit,
    printer: Printer,
    json: Option<Json>,
    stdout: Box<dyn Write>,
    /// The queues that may still have lines to write at the end, and how long each is given while nobody reads.
    outputs: Vec<(LineSink, Option<Duration>)>,
    connected: bool,
    stalls: StallTeller,
    /// Why the server lets nobody in, when that was said.
    waits_for: Option<String>,
    /// Whether small buffers were mentioned.
    hinted_buffers: bool,
    /// The requested names, escaped, and how they were typed.
    typed: HashMap<String, String>,
}

impl Ui {
    /// A renderer on the process's own streams. Only bars are drawn by the caller's thread: they are on a terminal, which
    /// somebody has to release who has stopped it.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn new(options: UiOptions) -> std::io::Result<Self> {
        let mut outputs = Vec::new();
        let face = match options.mode {
            DisplayMode::Bars => {
                let style = Style { utf8: is_utf8(|name| std::env::var(name).ok()), details: options.verbose };
                OutputForm::Bars(Slots::new(Screen::Stderr, options.jobs, style))
            }
            _ => {
                let lines = LineSink::stderr()?;
                let writer = lines.writer();
                outputs.push((lines, Some(lines::END_WAIT)));
                OutputForm::Lines(Plain::new(Box::new(writer), options.verbose))
            }
        };
        let json = match options.json {
            true => {
                let lines = LineSink::stdout(json::missing)?;
                let writer = lines.writer();
                // The transfer has ended by then, and a program that reads slowly is to read all.
                outputs.push((lines, None));
                Some(Json::new(Box::new(writer)))
            }
            false => None,
        };
        let ui = Self::with(options, face, json, Box::new(standard::output()), Instant::now());
        Ok(Self { outputs, printer: ui.printer.on_stderr(), ..ui })
    }

    fn with(options: UiOptions, face: OutputForm, json: Option<Json>, stdout: Box<dyn Write>, now: Instant) -> Self {
        let model = Model::new(now, &options.address);
        let printer = Printer::new(face, options.verbose);
        let rate_limit = RateLimit::new(options.rate_limit);
        Self {
            options,
            model,
            rate_limit,
            printer,
            json,
            stdout,
            outputs: Vec::new(),
            connected: false,
            stalls: StallTeller::default(),
            waits_for: None,
            hinted_buffers: false,
            typed: HashMap::new(),
        }
    }

    /// Prints the resolved target: always the first line.
    pub(crate) fn header(&mut self, line: &str, body: serde_json::Value) {
        if let Some(json) = &mut self.json {
            json.start(self.options.verb.present(), body);
        }
        if self.speaks() {
            self.printer.line(line);
        }
    }

    /// What is not found there goes by the name that was typed, and not by the one below the directory that was asked for.
    pub(crate) fn name_as_typed(&mut self, typed: HashMap<String, String>) {
        self.typed = typed;
    }

    /// Counts of events so far.
    pub(crate) fn tally(&self) -> EventTally {
        self.model.tally()
    }

    /// Takes the counters, once the job has them.
    pub(crate) fn set_counters(&mut self, counters: Arc<Counters>) {
        self.model.set_counters(counters);
    }

    /// Prints a remark.
    pub(crate) fn note(&mut self, text: &str) {
        if let Some(json) = &mut self.json {
            json.note("text", serde_json::json!({ "text": text }));
        }
        if self.speaks() {
            self.printer.line(text);
        }
    }

    /// Prints a remark for whoever wants to know more (`-v`).
    pub(crate) fn detail(&mut self, text: &str) {
        if self.options.verbose {
            self.note(text);
        }
    }

    /// Prints a line of the log.
    pub(crate) fn log(&mut self, line: String) {
        self.printer.line(&line);
    }

    /// The transfer begins only now: until here standard input was read, say, and nobody was asked to reply.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.model.begin(now);
    }

    /// Takes one event.
    pub(crate) fn event(&mut self, event: &Event, now: Instant) {
        self.model.on_event(event, now);
        let failed = match event {
            Event::Failed { path, failure } => {
                self.typed.get(path).map(|typed| Event::Failed { path: typed.clone(), failure: failure.clone() })
            }
            _ => None,
        };
        let event = failed.as_ref().unwrap_or(event);
        if let Some(json) = &mut self.json {
            json.event(event);
        }
        if self.options.dry_run && !self.options.json {
            let line = decision::line(event, self.options.steps_aside);
            // What standard output refuses is told when the program ends.
            line.iter().for_each(|line| drop(writeln!(self.stdout, "{line}")));
        }
        self.show(event);
    }

    /// Draws, where it is time to.
    pub(crate) fn tick(&mut self, now: Instant) {
        let look = self.model.sample(now);
        self.rate_limit.look(now, look.bytes_written);
        if let Some(news) = self.stalls.next(look.speed) {
            self.tell_stall(news);
        }
        self.mind_buffers(&look);
        if let Some(json) = &mut self.json {
            json.tick(&look);
        }
        match (&mut self.printer.face, self.options.mode) {
            (OutputForm::Bars(slots), _) => slots.draw(&look),
            (OutputForm::Lines(plain), DisplayMode::Plain) => plain.tick(&look),
            (OutputForm::Lines(_), _) => {}
        }
    }

    /// Prints how the job ended: the final block, or the error.
    pub(crate) fn end(&mut self, outcome: &anyhow::Result<JobReport>, exit: Exit, now: Instant) {
        if let OutputForm::Bars(slots) = &mut self.printer.face {
            slots.close();
        }
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
        if let OutputForm::Bars(slots) = &mut self.printer.face {
            slots.close();
        }
        for (lines, patience) in &self.outputs {
            lines.flush(*patience);
        }
    }

    /// Says that nothing moves any more, and why, or that something moves again. Bars show it as long as it lasts.
    fn tell_stall(&mut self, news: StallNews) {
        let text = news.text(self.model.peer());
        if let Some(json) = &mut self.json {
            json.stall(news, text.as_deref());
        }
        // A stall that is over soon leaves no line.
        let is_seen = matches!(&self.printer.face, OutputForm::Bars(slots) if slots.tells_stalls());
        if let Some(text) = text.filter(|_| self.speaks() && !is_seen) {
            self.printer.line(&text);
        }
    }

    /// Says once that the system's buffers are too small for what the path carries. A transfer within this machine
    /// has no path.
    fn mind_buffers(&mut self, look: &Snapshot) {
        let Speed::Moving(rate) = look.speed else { return };
        if self.hinted_buffers || self.options.is_local {
            return;
        }
        if let Some(hint) = look.link.hint(self.options.verb, rate) {
            self.hinted_buffers = true;
            self.note(&hint);
        }
    }

    /// The state of the link and the bottleneck of the transfer: a line at a terminal, all of it with `--stats`.
    fn last_words(&self, measured: &Measured, look: &Snapshot) -> Vec<String> {
        let (verb, link) = (self.options.verb, &look.link);
        match self.options.mode {
            _ if self.options.dry_run => Vec::new(),
            _ if self.options.stats => limited::details(measured, verb, link),
            DisplayMode::Bars => limited::line(measured, verb, link).into_iter().collect(),
            DisplayMode::Plain | DisplayMode::Final | DisplayMode::Errors | DisplayMode::Silent => Vec::new(),
        }
    }

    fn error_lines(&self, error: &anyhow::Error, exit: Exit, look: &Snapshot) -> Vec<String> {
        match exit {
            exit if exit.is_asked_for() => vec![summary::stopped(self.options.verb, look)],
            _ => vec![format!("qft: {}", message(error))],
        }
    }

    fn speaks(&self) -> bool {
        matches!(self.options.mode, DisplayMode::Bars | DisplayMode::Plain | DisplayMode::Final)
    }

    fn show(&mut self, event: &Event) {
        let (speaks, verbose) = (self.speaks(), self.options.verbose);
        match event {
            Event::Connected { addr, peer, .. } => {
                self.connected = true;
                self.waits_for = None;
                if verbose {
                    self.printer.line(&format!("connected to {addr}, which calls itself {}", shown(peer)));
                }
            }
            // Bars show the countdown themselves; the cause is said once.
            Event::Reconnecting { attempt, after, cause } if speaks && (*attempt == 1 || self.is_plain()) => {
                let after = after.as_secs_f64().ceil();
                let doing = if self.connected { "reconnecting" } else { "trying again" };
                self.printer.line(&format!("{}; {doing} ({attempt}) in {after}s", without_remedy(cause)));
            }
            // Said once: it asks every second or two.
            Event::Waiting { cause, .. } if speaks && self.waits_for.as_ref() != Some(cause) => {
                self.waits_for = Some(cause.clone());
                self.printer.line(&asking_again(cause));
            }
            Event::Note(text) if speaks => self.printer.note(text),
            Event::Failed { path, failure } if !self.options.dry_run && self.options.mode != DisplayMode::Silent => {
                self.printer.failure(&format!("  failed: {}: {}", shown(path), cause(failure)));
            }
            Event::Skipped { path, reason, .. } if speaks && !self.options.dry_run => self.show_skipped(path, *reason),
            Event::Started(file) if self.is_worth_a_line(file.size) => {
                let resumed = match (file.resumed, file.why) {
                    (0, _) => String::new(),
                    (there, Why::Resume) => format!(", resumed at {}", size::bytes(there)),
                    (there, _) => format!(", {} of it there", size::bytes(there)),
                };
                self.printer.line(&format!("  started {}, {}{resumed}", shown(&file.path), size::bytes(file.size)));
            }
            Event::Finished { file } if (speaks && verbose) || self.is_worth_a_line(file.size) => {
                self.printer.line(&format!("  {}", outcome::line(self.options.verb, file)));
            }
            _ => {}
        }
    }

    fn show_skipped(&mut self, path: &str, reason: SkipReason) {
        match reason {
            SkipReason::Exists => self.printer.about_file(&format!("  skipped: {}: exists", shown(path))),
            SkipReason::Same if self.options.verbose => self.printer.line(&format!("  unchanged {}", shown(path))),
            SkipReason::Mode if self.options.verbose => self.printer.line(&format!("  permissions {}", shown(path))),
            SkipReason::Same | SkipReason::Mode | SkipReason::Made => {}
        }
    }

    fn is_plain(&self) -> bool {
        self.options.mode == DisplayMode::Plain
    }

    fn is_worth_a_line(&self, size: u64) -> bool {
        self.is_plain() && size >= BIG_FILE
    }
}

#[cfg(test)]
pub(crate) mod tests;
