//! The display of a transfer. One [`Ui`] takes the job's events and is asked to draw ten times a second;
//! it shows bars, plain lines or JSON, and the same final block in all forms.
//!
//! | file | holds |
//! |---|---|
//! | `mode`, `decision` | which form, and why |
//! | `model`, `files`, `rate`, `stall`, `tally`, `outcome` | what is shown, without a terminal: totals, files, speed, silence, counts |
//! | `slots`, `fold`, `printer` | bars: lines for active files, what fits, drawing |
//! | `plain`, `event_lines`, `json`, `message` | plain lines; lines of events; events as JSON; errors |
//! | `end`, `summary`, `link`, `text` | how it ends; the final block; the path; words and numbers |
//! | `limited`, `rate_limit`, `stats` | what held the transfer back, and that in words |

mod decision;
mod end;
mod event_lines;
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
mod rate_limit;
pub(crate) mod slots;
mod stall;
mod stats;
pub(crate) mod summary;
mod tally;
pub(crate) mod text;

use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use self::json::Json;
pub(crate) use self::message::{message, report};
use self::mode::is_utf8;
pub(crate) use self::mode::{DisplayMode, has_bars, mode};
use self::model::{Model, Snapshot};
use self::plain::Plain;
use self::printer::{OutputForm, Printer};
use self::rate_limit::RateLimit;
use self::slots::{Screen, Slots, Style};
use self::stall::{Speed, StallNews, StallTeller};
pub(crate) use self::tally::EventTally;
pub(crate) use self::text::asking_again;
use crate::cli::run::lines::{self, LineSink};
use crate::cli::run::standard;
use crate::cli::text::verb::Verb;
use crate::progress::{Counters, Event};

/// Time between two looks.
pub(crate) const TICK: Duration = Duration::from_millis(100);

/// The options of a [`Ui`].
#[derive(Debug, Clone)]
pub(crate) struct UiOptions {
    pub(crate) verb: Verb,
    pub(crate) mode: DisplayMode,
    /// JSON on standard output.
    pub(crate) json: bool,
    /// A line for each file.
    pub(crate) verbose: bool,
    /// Decisions go to standard output.
    pub(crate) dry_run: bool,
    /// A file whose name is taken gets another one.
    pub(crate) steps_aside: bool,
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

    pub(crate) fn event(&mut self, event: &Event, now: Instant) {
        self.model.on_event(event, now);
        let failed = match event {
            Event::Failed { path, failure, by_peer } => {
                let typed = self.typed.get(path).cloned();
                typed.map(|path| Event::Failed { path, failure: failure.clone(), by_peer: *by_peer })
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

    fn speaks(&self) -> bool {
        matches!(self.options.mode, DisplayMode::Bars | DisplayMode::Plain | DisplayMode::Final)
    }

    fn is_plain(&self) -> bool {
        self.options.mode == DisplayMode::Plain
    }
}

#[cfg(test)]
pub(crate) mod tests;
